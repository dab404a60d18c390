/*
 * Files: the main one and those that its `include:` names. Each is a regular file, read whole
 * under a limit. What is included becomes part of the same tree: top-level lists append,
 * top-level mappings gain keys, and a key that stands in two files is an error that shows both.
 */
#include <glob.h>
#include <unistd.h>

#include "conf/loading.h"
#include "conf/watch.h"

struct inclusion {
    struct loading *loading;
    struct node *root;     /* of the main file: what is included is merged into it */
    const struct node *by; /* the scalar that names the pattern */
    unsigned depth;
};

static void refuse(struct loading *loading, enum diag_code code, const struct node *by,
                   struct span path, const char *why)
{
    struct text message = text_growing(loading->arena, 96);
    text_lit(&message, "cannot use ");
    text_add(&message, path);
    text_lit(&message, ": ");
    text_add(&message, span_text(why));
    struct place place = { .source = NULL };
    if (by != NULL)
        place = by->place;
    diag_add(loading->diags, SEVERITY_ERROR, code, place, text_span(&message), SPAN(""));
}

/* Whoever may write a file that root reads may become root. */
static const char *ownership(const struct stat *st)
{
    if (geteuid() != 0)
        return NULL;
    if ((st->st_mode & S_IWOTH) != 0)
        return "every user may write to it, and the gateway starts as root";
    return NULL;
}

static const char *remember(struct loading *loading, const struct stat *st)
{
    for (unsigned i = 0; i < loading->files; i++) {
        if (loading->ids[i].device == st->st_dev && loading->ids[i].inode == st->st_ino)
            return "it is included twice, or includes itself";
    }
    if (loading->files == YAML_FILES_MAX)
        return "there are too many files";
    loading->ids[loading->files++] = (struct file_id){ st->st_dev, st->st_ino };
    return NULL;
}

static struct span folder_of(struct span path)
{
    while (path.len > 0 && path.p[path.len - 1] != '/')
        path.len--;
    return path;
}

static struct node *load_file(struct loading *loading, struct span name, const struct node *by)
{
    const struct source *from = by != NULL ? by->place.source : NULL;
    const char *path = source_path(from, name, loading->arena);
    struct source *source = arena_new(loading->arena, struct source);
    struct file file;
    enum diag_code code = by != NULL ? DIAG_INCLUDE : DIAG_FILE;

    const char *why = path == NULL || source == NULL ? "out of memory" : NULL;
    if (why == NULL)
        why = file_read(path, YAML_BYTES_MAX, loading->arena, &file);
    if (why == NULL)
        why = ownership(&file.stat);
    if (why == NULL)
        why = remember(loading, &file.stat);
    if (why != NULL) {
        refuse(loading, code, by, name, why);
        return NULL;
    }
    yaml_watch_file(loading->watch, path, &file.stat);
    *source = (struct source){
        .name = arena_copy(loading->arena, name),
        .text = file.text,
        .folder = folder_of(span_text(path)),
        .order = loading->files,
    };
    return yaml_parse(loading, source);
}

/* Takes the child out of its mapping. */
static struct node *take(struct node *map, struct span key)
{
    struct node **link = &map->child;
    for (; *link != NULL; link = &(*link)->next) {
        struct node *node = *link;
        if (node->key->kind != NODE_SCALAR || !span_equal(node->key->text, key))
            continue;
        *link = node->next;
        map->count--;
        return node;
    }
    return NULL;
}

static void append(struct node *to, struct node *child)
{
    struct node **link = &to->child;
    while (*link != NULL)
        link = &(*link)->next;
    *link = child;
    for (; child != NULL; child = child->next)
        to->count++;
}

static void duplicate(struct loading *loading, const struct node *first,
                      const struct node *second)
{
    struct text message = text_growing(loading->arena, 64);
    text_lit(&message, "the key \"");
    text_add(&message, span_sub(second->key->text, 0, 80));
    text_lit(&message, "\" stands in another file, too");
    const struct place places[2] = { second->key->place, first->key->place };
    diag_add_pair(loading->diags, SEVERITY_ERROR, DIAG_DUPLICATE, places, text_span(&message),
                  SPAN(""));
}

static void merge_keys(struct loading *loading, struct node *to, struct node *from)
{
    for (struct node *next, *child = from->child; child != NULL; child = next) {
        next = child->next;
        child->next = NULL;
        const struct node *there = node_child(to, child->key->text);
        if (there != NULL)
            duplicate(loading, there, child);
        else
            append(to, child);
    }
}

static bool same_version(const struct node *a, const struct node *b)
{
    return span_equal(a->key->text, SPAN("version")) && a->kind == NODE_SCALAR &&
           b->kind == NODE_SCALAR && span_equal(a->text, b->text);
}

static void merge(struct loading *loading, struct node *root, struct node *from)
{
    for (struct node *next, *child = from->child; child != NULL; child = next) {
        next = child->next;
        child->next = NULL;
        struct node *there =
            child->key->kind == NODE_SCALAR ? node_child(root, child->key->text) : NULL;
        if (there == NULL)
            append(root, child);
        else if (there->kind == NODE_LIST && child->kind == NODE_LIST)
            append(there, child->child);
        else if (there->kind == NODE_MAP && child->kind == NODE_MAP)
            merge_keys(loading, there, child);
        else if (!same_version(there, child))
            duplicate(loading, there, child);
    }
}

static void include_all(const struct inclusion *inclusion, struct node *from);

static void include_one(const struct inclusion *inclusion, struct span name)
{
    struct node *node = load_file(inclusion->loading, name, inclusion->by);
    if (node == NULL)
        return;
    struct inclusion inner = *inclusion;
    inner.depth++;
    include_all(&inner, node);
    merge(inclusion->loading, inclusion->root, node);
}

static bool is_wild(struct span pattern)
{
    return span_index(pattern, '*') >= 0 || span_index(pattern, '?') >= 0 ||
           span_index(pattern, '[') >= 0;
}

/* The folder's own characters are no pattern. */
static const char *pattern_of(struct arena *arena, const struct node *by)
{
    struct text t = text_growing(arena, 128);
    struct span folder = by->place.source->folder;
    if (!span_starts(by->text, SPAN("/"))) {
        for (size_t i = 0; i < folder.len; i++) {
            if (strchr("*?[]\\", folder.p[i]) != NULL)
                text_char(&t, '\\');
            text_char(&t, folder.p[i]);
        }
    }
    text_add(&t, by->text);
    return text_cstring(&t);
}

static void include_pattern(const struct inclusion *inclusion)
{
    struct loading *loading = inclusion->loading;
    const struct node *by = inclusion->by;
    glob_t found;
    if (inclusion->depth >= YAML_INCLUDE_DEPTH_MAX) {
        refuse(loading, DIAG_INCLUDE, by, by->text, "includes are nested too deeply");
        return;
    }
    const char *pattern = pattern_of(loading->arena, by);
    int failed = GLOB_NOSPACE;
    if (pattern != NULL) /* no threads yet: NOLINTNEXTLINE(concurrency-mt-unsafe) */
        failed = glob(pattern, GLOB_ERR, NULL, &found);
    bool wild = is_wild(by->text);
    if (pattern != NULL && wild)
        yaml_watch_pattern(loading->watch, pattern);
    if (failed == GLOB_NOMATCH && wild)
        return; /* conf.d/ may be empty, but not absent */
    if (failed != 0) {
        refuse(loading, DIAG_INCLUDE, by, by->text,
               failed == GLOB_NOMATCH ? "there is no such file" : "the folder cannot be read");
        return;
    }
    for (size_t i = 0; i < found.gl_pathc; i++) {
        if (wild)
            yaml_watch_match(loading->watch, found.gl_pathv[i]);
        include_one(inclusion, arena_copy(loading->arena, span_text(found.gl_pathv[i])));
    }
    globfree(&found);
}

static void include_all(const struct inclusion *inclusion, struct node *from)
{
    struct node *include = take(from, SPAN("include"));
    if (include == NULL || include->bad)
        return;
    struct inclusion each = *inclusion;
    struct node *item = include->kind == NODE_LIST ? include->child : include;
    for (; item != NULL; item = include->kind == NODE_LIST ? item->next : NULL) {
        if (item->bad)
            continue;
        if (item->kind != NODE_SCALAR || item->text.len == 0) {
            diag_add(inclusion->loading->diags, SEVERITY_ERROR, DIAG_TYPE, item->place,
                     SPAN("include takes file names or patterns"), SPAN(""));
            continue;
        }
        if (item->place.source->memory) {
            refuse(inclusion->loading, DIAG_INCLUDE, item, item->text,
                   "a configuration that is not a file cannot include files");
            continue;
        }
        each.by = item;
        include_pattern(&each);
    }
}

static struct loading *new_loading(struct arena *arena, struct diags *diags)
{
    struct loading *loading = arena_new(arena, struct loading);
    if (loading != NULL) {
        loading->arena = arena;
        loading->diags = diags;
    }
    return loading;
}

static void refuse_memory(struct diags *diags)
{
    diag_add(diags, SEVERITY_ERROR, DIAG_LIMIT, (struct place){ .source = NULL },
             SPAN("out of memory"), SPAN(""));
}

struct node *yaml_load_file(const char *path, struct arena *arena, struct diags *diags)
{
    return yaml_load_watched(path, arena, diags, NULL);
}

struct node *yaml_load_watched(const char *path, struct arena *arena, struct diags *diags,
                               struct yaml_watch *watch)
{
    struct loading *loading = new_loading(arena, diags);
    if (loading == NULL) {
        refuse_memory(diags);
        return NULL;
    }
    loading->watch = watch;
    struct node *root = load_file(loading, span_text(path), NULL);
    if (root == NULL)
        return NULL;
    struct inclusion inclusion = { loading, root, NULL, 0 };
    include_all(&inclusion, root);
    return root;
}

struct node *yaml_load_text(struct span text, const char *name, struct arena *arena,
                            struct diags *diags)
{
    struct loading *loading = new_loading(arena, diags);
    struct source *source = arena_new(arena, struct source);
    if (loading == NULL || source == NULL) {
        refuse_memory(diags);
        return NULL;
    }
    *source = (struct source){
        .name = arena_copy(arena, span_text(name)),
        .text = arena_copy(arena, text),
        .memory = true,
    };
    struct node *root = yaml_parse(loading, source);
    if (root == NULL)
        return NULL;
    struct inclusion inclusion = { loading, root, NULL, 0 };
    include_all(&inclusion, root);
    return root;
}
