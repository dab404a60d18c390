/* The files of a ModSecurity set-up, and the statements in them, in the order of reading. */
#include <glob.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "conf/source.h"
#include "gateway/base/file.h"
#include "gateway/cli/import.h"

/* Every Core Rule Set has it, 3 and 4. */
#define CRS_FIRST "REQUEST-901-INITIALIZATION.conf"
#define DEBIAN_RULES "/usr/share/modsecurity-crs/rules/"
#define DEBIAN_SETUP "/etc/modsecurity/crs/"

struct walk {
    struct import *import;
    unsigned depth;
};

static bool walk_file(struct walk *walk, const char *path);

static bool refuse(const char *path, const char *why)
{
    (void)fprintf(stderr, "error: %s: %s\n", path, why);
    return false;
}

static struct span base_of(struct span path)
{
    size_t at = path.len;
    while (at > 0 && path.p[at - 1] != '/')
        at--;
    return span_sub(path, at, path.len);
}

static bool there(struct span folder, const char *name)
{
    char buffer[4096];
    struct text path = text_fixed(buffer, sizeof(buffer));
    struct stat status;
    text_add(&path, folder);
    text_add(&path, span_text(name));
    return text_cstring(&path) != NULL && stat(buffer, &status) == 0;
}

/* Plugins stand in a folder beside the rules, and are read from there. */
static bool is_plugin(struct span folder, struct span name)
{
    return span_ends(folder, SPAN("/plugins/")) &&
           (span_ends(name, SPAN("-config.conf")) || span_ends(name, SPAN("-before.conf")) ||
            span_ends(name, SPAN("-after.conf"))) &&
           there(folder, "../rules/" CRS_FIRST);
}

static enum import_kind kind_of(struct import *import, struct span path)
{
    struct span name = base_of(path), folder = span_sub(path, 0, path.len - name.len);
    bool debian =
        span_equal(folder, SPAN(DEBIAN_SETUP)) && there(SPAN(DEBIAN_RULES), CRS_FIRST);
    if (span_starts(name, SPAN("crs-setup.conf")))
        return IMPORT_SETUP;
    if (there(folder, CRS_FIRST)) {
        if (import->crs == NULL)
            import->crs = arena_cstring(&import->arena, folder);
        return IMPORT_COVERED;
    }
    if (is_plugin(folder, name) ||
        (debian && (span_equal(name, SPAN("REQUEST-900-EXCLUSION-RULES-BEFORE-CRS.conf")) ||
                    span_equal(name, SPAN("RESPONSE-999-EXCLUSION-RULES-AFTER-CRS.conf")))))
        return IMPORT_COVERED;
    return IMPORT_OWN;
}

/* ---- statements ---- */

static bool keep(struct walk *walk, struct import_file *file, const struct statement *said)
{
    struct import *import = walk->import;
    if (import->statement_count == import->statement_room) {
        size_t room = import->statement_room == 0 ? 64 : import->statement_room * 2;
        struct import_statement *grown =
            room > IMPORT_STATEMENTS_MAX
                ? NULL
                : arena_array(&import->arena, struct import_statement, room);
        if (grown == NULL)
            return refuse(file->path, "there are too many directives");
        if (import->statement_count > 0)
            memcpy(grown, import->statements, import->statement_count * sizeof *grown);
        import->statements = grown;
        import->statement_room = room;
    }
    import->statements[import->statement_count++] = (struct import_statement){
        .said = *said,
        .file = file,
        .before = import->crs == NULL,
    };
    return true;
}

static bool is_include(const struct statement *said)
{
    return (span_equal_nocase(said->name.text, SPAN("Include")) ||
            span_equal_nocase(said->name.text, SPAN("IncludeOptional"))) &&
           said->count == 1;
}

static bool follow(struct walk *walk, struct import_file *file, const struct statement *said)
{
    struct span named = said->words[0].text;
    const char *pattern = source_path(&file->source, named, &walk->import->arena);
    bool optional = span_equal_nocase(said->name.text, SPAN("IncludeOptional"));
    glob_t found;
    file->includes = true;
    if (pattern == NULL || named.len == 0)
        return refuse(file->path, "an Include that names nothing");
    /* no threads yet: NOLINTNEXTLINE(concurrency-mt-unsafe) */
    int failed = glob(pattern, 0, NULL, &found);
    if (failed == GLOB_NOMATCH && optional)
        return true;
    if (failed != 0)
        return refuse(pattern, "no file is meant by it, or its folder cannot be read");
    bool good = true;
    for (size_t i = 0; i < found.gl_pathc && good; i++)
        good = walk_file(walk, found.gl_pathv[i]);
    globfree(&found);
    return good;
}

/* Blocks that hold wherever ModSecurity is; all others choose by place, host or definition. */
static bool is_transparent(const struct statement *said)
{
    return span_equal_nocase(said->name.text, SPAN("IfModule")) && said->count == 1 &&
           (span_starts_nocase(said->words[0].text, SPAN("security")) ||
            span_starts_nocase(said->words[0].text, SPAN("mod_security")) ||
            span_equal_nocase(said->words[0].text, SPAN("unique_id_module")) ||
            span_equal_nocase(said->words[0].text, SPAN("mod_unique_id.c")));
}

struct nesting {             /* of blocks */
    unsigned depth, foreign; /* foreign: the depth of the outermost that is; 0: none */
};

static bool take(struct walk *walk, struct import_file *file, const struct statement *said,
                 struct nesting *nesting)
{
    if (said->block == BLOCK_OPEN) {
        nesting->depth++;
        if (nesting->foreign == 0 && !is_transparent(said)) {
            const struct import_statement at = { .said = *said, .file = file };
            nesting->foreign = nesting->depth;
            import_loss(walk->import, &at, said->name.raw,
                        "what stands in this block is not carried over: sites and routes say "
                        "what applies where");
        }
        return true;
    }
    if (said->block == BLOCK_CLOSE) {
        if (nesting->foreign == nesting->depth)
            nesting->foreign = 0;
        nesting->depth -= nesting->depth > 0 ? 1 : 0;
        return true;
    }
    if (nesting->foreign != 0)
        return true;
    return is_include(said) ? follow(walk, file, said) : keep(walk, file, said);
}

static bool walk_statements(struct walk *walk, struct import_file *file)
{
    struct lexer lexer = lexer_of(&file->source, &walk->import->arena);
    struct nesting nesting = { 0 };
    struct statement said;
    enum lexed lexed;
    while ((lexed = lex_next(&lexer, &said)) != LEXED_END) {
        if (lexed == LEXED_MEMORY)
            return refuse(file->path, "no memory");
        if (lexed == LEXED_STATEMENT && !take(walk, file, &said, &nesting))
            return false;
    }
    return true; /* faults: rules/seclang tells them */
}

static bool walk_file(struct walk *walk, const char *path)
{
    struct import *import = walk->import;
    const char *absolute = source_path(NULL, span_text(path), &import->arena);
    struct file read;
    if (absolute == NULL || import->file_count == IMPORT_FILES_MAX ||
        walk->depth == SECLANG_INCLUDE_DEPTH_MAX)
        return refuse(path, "there are too many files, or they include one another");
    struct span whole = span_text(absolute), name = base_of(whole);
    struct import_file *file = &import->files[import->file_count++];
    *file = (struct import_file){ .path = absolute };
    file->before = import->crs == NULL;
    file->kind = kind_of(import, whole);
    if (file->kind == IMPORT_COVERED)
        return true;
    const char *why = file_read(absolute, SECLANG_FILE_BYTES_MAX, &import->arena, &read);
    if (why != NULL)
        return refuse(path, why);
    file->source = (struct source){
        .name = whole,
        .text = read.text,
        .folder = span_sub(whole, 0, whole.len - name.len),
    };
    walk->depth++;
    bool good = walk_statements(walk, file);
    walk->depth--;
    return good;
}

bool import_read(struct import *import, const char *path)
{
    struct walk walk = { .import = import };
    return walk_file(&walk, path);
}
