/*
 * Loading: sources and what they include, one file after the other, and the end of it.
 */
#include <errno.h>
#include <glob.h>
#include <unistd.h>

#include "gateway/base/file.h"
#include "gateway/base/siphash.h"
#include "rules/seclang/parser.h"

/* ---- one text ---- */

static void mix(struct parser *parser, struct span text)
{
    const struct siphash_key key = { parser->program->hash, parser->files };
    parser->program->hash = siphash(&key, text.p, text.len);
}

static bool binary(struct parser *parser, const struct source *source)
{
    ssize_t at = span_index(source->text, '\0');
    if (at < 0)
        return false;
    const char *p = source->text.p + at;
    unsigned line = 1;
    for (const char *q = source->text.p; q < p; q++)
        line += *q == '\n' ? 1 : 0;
    const struct word word = { .raw = span_of(p, 1), .source = source, .line = line };
    fault(parser, DIAG_SECLANG_SYNTAX, word_place(&word, 0, 1), "there is a NUL byte in %",
          source->name);
    return true;
}

static void read_source(struct parser *parser, const struct source *source)
{
    struct lexer lexer = lexer_of(source, parser->arena);
    unsigned blocks = parser->block_count;
    struct statement statement;
    enum lexed lexed = LEXED_STATEMENT;

    mix(parser, source->text);
    if (binary(parser, source))
        return;
    while (!parser_full(parser) && lexed != LEXED_END) {
        lexed = lex_next(&lexer, &statement);
        if (lexed == LEXED_MEMORY)
            out_of_memory(parser);
        else if (lexed == LEXED_FAULT)
            fault(parser, DIAG_SECLANG_SYNTAX, lexer.place, lexer.fault, SPAN(""));
        else if (lexed == LEXED_STATEMENT)
            statement_run(parser, &statement);
    }
    if (parser->chain != NULL)
        fault(parser, DIAG_SECLANG_RULE, parser->chain->rule.place,
              "the chain ends with its file: another rule must follow this one", SPAN(""));
    parser->chain = NULL;
    blocks_end(parser, blocks);
}

/* ---- files ---- */

/* Who names a file: a word of a file, or the caller. */
struct naming {
    struct parser *parser;
    const struct word *by; /* NULL: the caller */
    struct span path;
    bool optional;
};

static void refuse(const struct naming *naming, struct span path, const char *why)
{
    struct place place = { .source = NULL };
    if (naming->by != NULL)
        place = word_place(naming->by, 0, naming->by->text.len);
    fault_hint(naming->parser, naming->by != NULL ? DIAG_INCLUDE : DIAG_FILE, place,
               "cannot use %", path, span_text(why));
}

static struct span folder_of(struct span path)
{
    while (path.len > 0 && path.p[path.len - 1] != '/')
        path.len--;
    return path;
}

static void read_file(const struct naming *naming, struct span name)
{
    struct parser *parser = naming->parser;
    const struct source *from = naming->by != NULL ? naming->by->source : NULL;
    const char *path = source_path(from, name, parser->arena);
    struct source *source = arena_new(parser->arena, struct source);
    struct span shown = arena_copy(parser->arena, name);
    struct file file;
    if (path == NULL || source == NULL || shown.p == NULL) {
        out_of_memory(parser);
        return;
    }
    const char *why = parser->files == SECLANG_FILES_MAX
                          ? "there are too many files"
                          : file_read(path, SECLANG_FILE_BYTES_MAX, parser->arena, &file);
    /* Whoever may write a file that root reads may become root. */
    if (why == NULL && geteuid() == 0 && (file.stat.st_mode & S_IWOTH) != 0)
        why = "every user may write to it, and the gateway starts as root";
    if (why != NULL) {
        refuse(naming, name, why);
        return;
    }
    *source = (struct source){
        .name = shown,
        .text = file.text,
        .folder = folder_of(span_text(path)),
        .order = ++parser->files,
    };
    read_source(parser, source);
}

/* Characters of the folder itself are no pattern. */
static const char *pattern_of(const struct naming *naming)
{
    struct text t = text_growing(naming->parser->arena, 128);
    if (naming->by != NULL && !span_starts(naming->path, SPAN("/"))) {
        struct span folder = naming->by->source->folder;
        for (size_t i = 0; i < folder.len; i++) {
            if (strchr("*?[]\\", folder.p[i]) != NULL)
                text_char(&t, '\\');
            text_char(&t, folder.p[i]);
        }
    }
    text_add(&t, naming->path);
    return text_cstring(&t);
}

static bool wild(struct span path)
{
    return span_index(path, '*') >= 0 || span_index(path, '?') >= 0 ||
           span_index(path, '[') >= 0;
}

/* A folder that is not there has no files; one that cannot be read might have some. */
static int folder_failed(const char *path, int error)
{
    (void)path;
    return error != ENOENT && error != ENOTDIR;
}

static void read_pattern(const struct naming *naming)
{
    struct parser *parser = naming->parser;
    const char *pattern = pattern_of(naming);
    glob_t found;
    if (pattern == NULL) {
        out_of_memory(parser);
        return;
    }
    if (!wild(naming->path) && !naming->optional) {
        read_file(naming, naming->path);
        return;
    }
    /* no threads yet: NOLINTNEXTLINE(concurrency-mt-unsafe) */
    int failed = glob(pattern, 0, folder_failed, &found);
    if (failed == GLOB_NOMATCH && naming->optional)
        return;
    if (failed != 0) {
        refuse(naming, naming->path,
               failed == GLOB_NOMATCH ? "no file is meant by it" : "the folder cannot be read");
        return;
    }
    for (size_t i = 0; i < found.gl_pathc && !parser_full(parser); i++)
        read_file(naming, span_text(found.gl_pathv[i]));
    globfree(&found);
}

void include_directive(struct parser *parser, const struct statement *statement, int data)
{
    const struct naming naming = {
        .parser = parser,
        .by = &statement->words[0],
        .path = statement->words[0].text,
        .optional = data != 0,
    };
    if (naming.by->source->memory)
        refuse(&naming, naming.path, "directives that are not in a file cannot include files");
    else if (parser->depth == SECLANG_INCLUDE_DEPTH_MAX)
        refuse(&naming, naming.path, "includes are nested too deeply");
    else if (parser->chain != NULL)
        refuse(&naming, naming.path, "a chain cannot go on in another file");
    else if (naming.path.len == 0)
        refuse(&naming, naming.path, "it is empty");
    else {
        parser->depth++;
        read_pattern(&naming);
        parser->depth--;
    }
}

/* ---- the whole ---- */

static void read_given(struct parser *parser, const struct seclang_source *given)
{
    if (given->text.p == NULL) {
        const struct naming naming = { .parser = parser,
                                       .path = given->path,
                                       .optional = given->optional };
        read_pattern(&naming);
        return;
    }
    struct source *source = arena_new(parser->arena, struct source);
    if (source == NULL) {
        out_of_memory(parser);
        return;
    }
    *source = (struct source){
        .name = arena_copy(parser->arena, given->path),
        .text = arena_copy(parser->arena, given->text),
        .memory = true,
        .order = ++parser->files,
    };
    if (source->name.p == NULL || source->text.p == NULL)
        out_of_memory(parser);
    else
        read_source(parser, source);
}

enum err seclang_load(struct sec_program **program, const struct seclang_source *sources,
                      size_t count, const struct seclang_options *options, struct arena *arena,
                      struct diags *diags)
{
    struct parser *parser = arena_new(arena, struct parser);
    struct sec_program *made = arena_new(arena, struct sec_program);
    if (parser == NULL || made == NULL)
        return ERR_MEMORY;
    unsigned errors = diags->errors;
    parser->arena = arena;
    parser->diags = diags;
    parser->options = *options;
    parser->program = made;
    for (size_t i = 0; i < count && !parser_full(parser); i++)
        read_given(parser, &sources[i]);
    if (!parser_full(parser))
        program_finish(parser);

    bool memory = parser->no_memory || arena->exhausted;
    if (memory || diags->errors > errors) {
        seclang_free(made);
        return memory ? ERR_MEMORY : ERR_CONFIG;
    }
    *program = made;
    return OK;
}

bool program_own(struct sec_program *program, struct arena *arena,
                 void (*release)(const void *), const void *ptr)
{
    struct sec_owned *owned = arena_new(arena, struct sec_owned);
    if (owned == NULL) {
        release(ptr);
        return false;
    }
    *owned = (struct sec_owned){ program->owned, release, ptr };
    program->owned = owned;
    return true;
}

void seclang_free(struct sec_program *program)
{
    for (struct sec_owned *owned = program->owned; owned != NULL; owned = owned->next)
        owned->release(owned->ptr);
    program->owned = NULL;
}
