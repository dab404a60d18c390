/*
 * `sallyport import modsecurity FILE...`: a ModSecurity set-up, in the order in which its
 * server reads it, as a configuration on standard output. Each directive that is not carried
 * over, or not to the letter, has a line on standard error.
 */
#include "gateway/cli/import.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "gateway/base/json.h"
#include "gateway/cli/cli.h"

#define IMPORT_BYTES_MAX ((size_t)1 << 30)

/* ---- the report ---- */

/* Bytes of files go to a terminal: nothing in them may speak to it. */
static void put_shown(struct text *out, struct span text)
{
    enum { SHOWN_MAX = 160 };
    for (size_t i = 0; i < text.len && i < SHOWN_MAX; i++)
        text_char(out, text.p[i] < ' ' || text.p[i] == 0x7f ? '?' : text.p[i]);
    if (text.len > SHOWN_MAX)
        text_lit(out, "...");
}

static void put_line(struct import *import, struct span file, unsigned line)
{
    import->loss_count++;
    put_shown(&import->losses, file);
    text_format(&import->losses, ":%u: ", line);
}

void import_loss(struct import *import, const struct import_statement *at, struct span what,
                 const char *why)
{
    if (import->dry)
        return;
    if (import->loss_count >= IMPORT_LOSSES_MAX) {
        import->loss_count++;
        return;
    }
    put_line(import, span_text(at->file->path), at->said.name.line);
    put_shown(&import->losses, at->said.name.text);
    if (what.len > 0 && !span_equal(what, at->said.name.raw)) {
        text_char(&import->losses, ' ');
        put_shown(&import->losses, what);
    }
    text_format(&import->losses, ": %s\n", why);
}

/* What rules/seclang has to say. True: some rules have to be left out. */
static bool add_complaints(struct import *import)
{
    bool unsupported = false;
    const struct diags *diags = &import->diags;
    for (unsigned i = 0; i < diags->count; i++) {
        const struct diag *diag = &diags->items[i];
        const struct source *source = diag->place.source;
        unsupported = unsupported || diag->code == DIAG_SECLANG_UNSUPPORTED;
        put_line(import, source != NULL ? source->name : SPAN("-"), diag->place.line);
        if (diag->severity == SEVERITY_ERROR)
            text_lit(&import->losses, "error: ");
        put_shown(&import->losses, diag->message);
        if (diag->hint.len > 0) {
            text_lit(&import->losses, ": ");
            put_shown(&import->losses, diag->hint);
        }
        text_char(&import->losses, '\n');
    }
    if (diags->errors + diags->warnings > diags->count)
        import->loss_count += diags->errors + diags->warnings - diags->count;
    return unsupported;
}

/* ---- the configuration ---- */

static void put_quoted(struct text *out, struct span value)
{
    text_char(out, '"');
    for (size_t i = 0; i < value.len; i++) {
        if (value.p[i] == '"' || value.p[i] == '\\')
            text_char(out, '\\');
        if (span_starts(span_sub(value, i, 2), SPAN("$("))) /* else a substitution */
            text_char(out, '$');
        if ((unsigned char)value.p[i] < ' ' || value.p[i] == 0x7f) {
            text_lit(out, "\\x");
            text_hex(out, value.p + i, 1);
        } else {
            text_char(out, value.p[i]);
        }
    }
    text_char(out, '"');
}

static bool wanted(const struct import_file *file, enum import_kind kind, bool before)
{
    return file->kind == kind && (kind == IMPORT_SETUP || (file->has_rest && !file->includes &&
                                                           file->before == before));
}

static void put_files(struct text *out, const struct import *import, const char *key,
                      enum import_kind kind, bool before)
{
    bool any = false;
    for (size_t i = 0; i < import->file_count; i++) {
        const struct import_file *file = &import->files[i];
        if (!wanted(file, kind, before))
            continue;
        text_add(out, span_text(any ? ", " : key));
        text_add(out, any ? SPAN("") : SPAN(": ["));
        put_quoted(out, span_text(file->path));
        any = true;
    }
    if (any)
        text_lit(out, "]\n");
}

static void put_number(struct text *out, const char *key, uint64_t value)
{
    if (value != 0)
        text_format(out, "      %s: %llu\n", key, (unsigned long long)value);
}

static void put_values(struct text *out, const struct import_values *values)
{
    if (values->conditional)
        return;
    put_number(out, "paranoia", values->paranoia);
    put_number(out, "detect_paranoia", values->detect);
    if (values->inbound == 0 && values->outbound == 0)
        return;
    text_lit(out, "      threshold:\n");
    put_number(out, "  inbound", values->inbound);
    put_number(out, "  outbound", values->outbound);
}

static void put_rules(struct text *out, const struct import *import)
{
    if (import->crs != NULL) {
        text_lit(out, "      ruleset: crs\n      crs:\n        path: ");
        put_quoted(out, span_text(import->crs));
        text_char(out, '\n');
        put_files(out, import, "        setup", IMPORT_SETUP, false);
        put_values(out, &import->values);
    } else {
        text_lit(out, "      ruleset: none\n");
    }
}

static void put_seclang(struct text *out, const struct import *import)
{
    size_t at = out->len;
    text_lit(out, "      seclang:\n");
    size_t from = out->len;
    if (import->crs != NULL)
        put_files(out, import, "        before", IMPORT_OWN, true);
    put_files(out, import, "        after", IMPORT_OWN, import->crs == NULL);
    if (out->len == from)
        out->len = at;
}

static void put_configuration(struct text *out, const struct import *import, bool unsupported)
{
    text_lit(out,
             "# From a ModSecurity set-up. Sites and upstreams are not in there: put yours.\n"
             "version: 1\n"
             "server:\n"
             "  listen: {http: \":80\"}\n"
             "sites:\n"
             "  - host: \"*\"\n"
             "    upstream: http://127.0.0.1:8080\n"
             "    waf:\n");
    text_format(out, "      mode: %s\n", import->mode != NULL ? import->mode : "detect");
    put_rules(out, import);
    put_seclang(out, import);
    put_number(out, "body_limit", import->body_limit);
    if (import->response)
        text_lit(out, "      response: true\n");
    put_number(out, "response_limit", import->response_limit);
    if (unsupported)
        text_lit(out, "      skip_unsupported: true\n");
    if (import->exclude.len > 0) {
        text_lit(out, "      exclude:\n");
        text_add(out, text_span(&import->exclude));
    }
}

/* ---- the verb ---- */

static bool load_program(struct import *import, const struct arguments *arguments)
{
    struct seclang_source sources[OPERANDS_MAX];
    const struct seclang_options options = { .skip_unsupported = true };
    size_t count = 0;
    for (unsigned i = 1; i < arguments->operand_count; i++)
        sources[count++] = (struct seclang_source){ .path = span_text(arguments->operands[i]) };
    enum err err = seclang_load(&import->program, sources, count, &options, &import->arena,
                                &import->diags);
    if (err != OK)
        import->program = NULL;
    return err == OK || err == ERR_CONFIG;
}

static bool print_document(struct import *import, struct span configuration)
{
    struct text out = text_growing(&import->arena, OUTPUT_BYTES);
    struct json j = json_writer(&out);
    struct span losses = text_span(&import->losses), line;
    json_begin_object(&j, NULL);
    json_text(&j, "configuration", configuration);
    json_begin_array(&j, "lost");
    while (losses.len > 0 && span_cut(&losses, '\n', &line))
        if (line.len > 0)
            json_text(&j, NULL, line);
    json_end_array(&j);
    json_end_object(&j);
    text_char(&out, '\n');
    return !out.overflow && print_all(STDOUT_FILENO, text_span(&out));
}

static bool print_texts(struct import *import, struct span configuration)
{
    if (import->loss_count > 0)
        text_format(&import->losses, "%llu not carried over as they are\n",
                    (unsigned long long)import->loss_count);
    return !import->losses.overflow && print_all(STDERR_FILENO, text_span(&import->losses)) &&
           print_all(STDOUT_FILENO, configuration);
}

static int print_both(struct import *import, bool json)
{
    struct text out = text_growing(&import->arena, OUTPUT_BYTES);
    bool unsupported = add_complaints(import);
    if (import->mode == NULL) {
        import->loss_count++;
        text_lit(&import->losses, "-: SecRuleEngine: said nowhere: the mode is detect\n");
    }
    put_configuration(&out, import, unsupported);
    if (out.overflow || import->losses.overflow || import->exclude.overflow)
        return EXIT_TROUBLE;
    if (!(json ? print_document(import, text_span(&out))
               : print_texts(import, text_span(&out))))
        return EXIT_TROUBLE;
    return import->loss_count > 0 ? EXIT_LOSSES : EXIT_GOOD;
}

int verb_import(const struct arguments *arguments)
{
    bool json;
    if (!output_is_json(arguments, &json))
        return EXIT_BAD;
    if (arguments->operand_count < 2 || strcmp(arguments->operands[0], "modsecurity") != 0)
        return usage_error("`import` takes modsecurity and its files, in their order");
    struct import *import = calloc(1, sizeof(*import));
    int code = EXIT_TROUBLE;
    if (import == NULL)
        return code;
    arena_init(&import->arena, NULL, 0, NULL, IMPORT_BYTES_MAX);
    diags_init(&import->diags, &import->arena);
    import->exclude = text_growing(&import->arena, 4096);
    import->losses = text_growing(&import->arena, 4096);
    bool read = true;
    for (unsigned i = 1; i < arguments->operand_count && read; i++)
        read = import_read(import, arguments->operands[i]);
    if (!read) {
        code = EXIT_BAD;
    } else if (load_program(import, arguments)) {
        import_map(import);
        code = print_both(import, json);
    }
    if (import->program != NULL)
        seclang_free(import->program);
    arena_reset(&import->arena);
    free(import);
    return code;
}
