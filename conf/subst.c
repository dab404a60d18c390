/*
 * $(env:NAME), $(env:NAME:-default), $(file:PATH) and $(cred:NAME) in scalars. Replaced after
 * parsing, scalar by scalar, and what comes in is not looked at again: a value can neither add
 * structure nor name further values. What looks like a reference and is none is an error, as it
 * would otherwise become part of a password or an address.
 */
#include <stdlib.h>

#include "conf/loading.h"

struct reference {
    struct loading *loading;
    struct node *node;
    size_t at, len; /* of the $(...) in the node's text */
    struct span argument;
    struct text *out;
};

/* The message is made of three parts, of which the middle one is data. */
static bool fail(const struct reference *ref, enum diag_code code, const char *before,
                 struct span middle, const char *after, const char *hint)
{
    struct text message = text_growing(ref->loading->arena, 96);
    struct place place = node_text_place(ref->node);
    text_add(&message, span_text(before));
    text_add(&message, span_sub(middle, 0, 200));
    text_add(&message, span_text(after));
    diag_add(ref->loading->diags, SEVERITY_ERROR, code,
             place_inside(place, ref->node->text, ref->at, ref->len), text_span(&message),
             span_text(hint));
    return false;
}

static const struct span nothing = SPAN_INIT("");

static bool is_name(struct span s)
{
    for (size_t i = 0; i < s.len; i++) {
        char c = s.p[i];
        bool letter = (ascii_lower(c) >= 'a' && ascii_lower(c) <= 'z') || c == '_';
        if (!letter && (i == 0 || c < '0' || c > '9'))
            return false;
    }
    return s.len > 0;
}

/* A configuration is loaded before there are threads, and no other code sets variables. */
static const char *variable(const char *name)
{
    return getenv(name); /* NOLINT(concurrency-mt-unsafe) */
}

static bool replace_env(const struct reference *ref)
{
    struct span name = ref->argument, fallback = { .p = NULL };
    ssize_t at = span_find(name, SPAN(":-"));
    if (at >= 0) {
        fallback = span_sub(name, (size_t)at + 2, name.len);
        name = span_sub(name, 0, (size_t)at);
    }

    if (!is_name(name))
        return fail(ref, DIAG_SUBSTITUTION, "\"", name, "\" is no name of a variable",
                    "$(env:NAME)");
    const char *key = arena_cstring(ref->loading->arena, name);
    const char *value = key != NULL ? variable(key) : NULL;
    if ((value == NULL || *value == '\0') && fallback.p != NULL) {
        text_add(ref->out, fallback);
        return true;
    }
    if (value == NULL)
        return fail(ref, DIAG_SUBSTITUTION, "the environment variable ", name, " is not set",
                    "$(env:NAME:-default) gives a default");
    text_add(ref->out, span_text(value));
    return true;
}

static struct span without_newline(struct span text)
{
    if (text.len > 0 && text.p[text.len - 1] == '\n')
        text.len--;
    if (text.len > 0 && text.p[text.len - 1] == '\r')
        text.len--;
    return text;
}

static bool add_file(const struct reference *ref, const char *path)
{
    struct file file;
    if (path == NULL)
        return fail(ref, DIAG_LIMIT, "out of memory", nothing, "", "");
    const char *why = file_read(path, YAML_SUBSTITUTED_MAX, ref->loading->arena, &file);
    if (why == NULL && span_index(file.text, '\0') >= 0)
        why = "it holds a NUL byte";
    if (why != NULL)
        return fail(ref, DIAG_FILE, "cannot read ", span_text(path), "", why);
    if ((file.stat.st_mode & S_IROTH) != 0)
        ref->node->exposed = true;
    text_add(ref->out, without_newline(file.text));
    return true;
}

static bool replace_file(const struct reference *ref)
{
    const struct source *source = ref->node->place.source;
    if (source->memory)
        return fail(ref, DIAG_SUBSTITUTION, "only a configuration in a file can name files",
                    nothing, "", "");
    if (ref->argument.len == 0)
        return fail(ref, DIAG_SUBSTITUTION, "a path is missing", nothing, "", "$(file:PATH)");
    return add_file(ref, source_path(source, ref->argument, ref->loading->arena));
}

/* systemd's LoadCredential= puts files into a folder of the service's own. */
static bool replace_credential(const struct reference *ref)
{
    struct text path = text_growing(ref->loading->arena, 64);
    const char *folder = variable("CREDENTIALS_DIRECTORY");

    if (ref->node->place.source->memory)
        return fail(ref, DIAG_SUBSTITUTION,
                    "only a configuration in a file can name credentials", nothing, "", "");
    bool name = ref->argument.len > 0 && ref->argument.p[0] != '.' &&
                span_index(ref->argument, '/') < 0;
    if (!name)
        return fail(ref, DIAG_SUBSTITUTION, "a credential has a name, not a path", nothing, "",
                    "$(cred:NAME)");
    if (folder == NULL)
        return fail(ref, DIAG_SUBSTITUTION, "CREDENTIALS_DIRECTORY is not set", nothing, "",
                    "systemd sets it for a service with LoadCredential=");
    text_add(&path, span_text(folder));
    text_char(&path, '/');
    text_add(&path, ref->argument);
    return add_file(ref, text_cstring(&path));
}

static const struct {
    struct span name;
    bool (*replace)(const struct reference *ref);
} kinds[] = {
    { SPAN_INIT("env"), replace_env },
    { SPAN_INIT("file"), replace_file },
    { SPAN_INIT("cred"), replace_credential },
};

/* The length of a lower-case word and its colon: what makes $( a reference; 0 for none. */
static size_t word_length(struct span s)
{
    size_t len = 0;
    while (len < s.len && s.p[len] >= 'a' && s.p[len] <= 'z')
        len++;
    return len > 0 && len < s.len && s.p[len] == ':' ? len + 1 : 0;
}

/* The reference begins at ref->at. Answers its length, 0 after an error. */
static size_t replace_one(struct reference *ref)
{
    struct span rest = span_sub(ref->node->text, ref->at + 2, ref->node->text.len);
    size_t word = word_length(rest);
    ssize_t close = span_index(rest, ')');

    ref->len = close >= 0 ? (size_t)close + 3 : rest.len + 2;
    if (close < 0) {
        (void)fail(ref, DIAG_SUBSTITUTION, "this $( has no closing parenthesis", nothing, "",
                   "write $$( for a literal $(");
        return 0;
    }
    struct span name = span_sub(rest, 0, word - 1);
    ref->argument = span_sub(rest, word, (size_t)close > word ? (size_t)close - word : 0);
    for (size_t i = 0; i < ARRAY_LEN(kinds); i++) {
        if (span_equal(name, kinds[i].name))
            return kinds[i].replace(ref) ? ref->len : 0;
    }
    (void)fail(ref, DIAG_SUBSTITUTION, "unknown substitution $(", name, ":...)",
               "there are env, file and cred; write $$( for a literal $(");
    return 0;
}

static bool leftover(struct span rest)
{
    return span_starts(rest, SPAN("${")) && rest.len > 2 && is_name(span_sub(rest, 2, 1));
}

/* The bytes at ref->at that were dealt with; 0 after an error. */
static size_t step(struct reference *ref)
{
    struct span rest = span_sub(ref->node->text, ref->at, ref->node->text.len);
    if (span_starts(rest, SPAN("$$(")) || span_starts(rest, SPAN("$${"))) {
        text_add(ref->out, span_sub(rest, 1, 2));
        return 3;
    }
    if (leftover(rest)) {
        ref->len = 2;
        (void)fail(ref, DIAG_SUBSTITUTION, "${...} is not replaced", nothing, "",
                   "write $(env:NAME); or $${ for a literal ${");
        return 0;
    }
    if (span_starts(rest, SPAN("$(")) && word_length(span_sub(rest, 2, rest.len)) > 0) {
        ref->node->substituted = true;
        return replace_one(ref);
    }
    ssize_t next = span_index(span_sub(rest, 1, rest.len), '$');
    size_t len = next >= 0 ? (size_t)next + 1 : rest.len;
    text_add(ref->out, span_sub(rest, 0, len));
    return len;
}

void substitute(struct loading *loading, struct node *scalar)
{
    if (span_index(scalar->text, '$') < 0)
        return;

    struct text out = text_growing(loading->arena, scalar->text.len + 1);
    size_t most = scalar->text.len + YAML_SUBSTITUTED_MAX;
    for (size_t at = 0; at < scalar->text.len;) {
        struct reference ref = { .loading = loading, .node = scalar, .at = at, .out = &out };
        size_t done = step(&ref);
        if (done > 0 && (out.overflow || out.len > most)) {
            (void)fail(&ref, DIAG_LIMIT, "the value is too long after substitution", nothing,
                       "", "");
            done = 0;
        }
        if (done == 0) {
            scalar->bad = true;
            return;
        }
        at += done;
    }
    scalar->text = text_span(&out);
}
