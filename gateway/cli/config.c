/*
 * `sallyport config`: the effective configuration, and what may stand in one. From the same
 * rows as the parser.
 */
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "gateway/base/json.h"
#include "gateway/chain/stage.h"
#include "gateway/cli/cli.h"
#include "gateway/cli/loaded.h"
#include "gateway/http/message.h"
#include "gateway/process/process.h"

static int config_print(struct text *out, const struct arguments *arguments)
{
    const char *path = arguments->values[FLAG_CONFIG];
    bool json;
    if (!output_is_json(arguments, &json))
        return EXIT_BAD;
    if (path == NULL)
        return usage_error("`config print` needs -c FILE");
    struct loaded loaded;
    loaded_open(&loaded, path);
    if (loaded.diags.count > 0)
        loaded_print(&loaded, STDERR_FILENO, json);
    int code = loaded.config != NULL ? EXIT_GOOD : EXIT_BAD;
    if (loaded.config != NULL && json) {
        struct text yaml = text_growing(&loaded.arena, OUTPUT_BYTES);
        load_print(&yaml, loaded.config);
        if (yaml.overflow || !yaml_to_json(out, text_span(&yaml)))
            code = EXIT_TROUBLE;
    } else if (loaded.config != NULL) {
        load_print(out, loaded.config);
    }
    loaded_close(&loaded);
    return code;
}

static int config_schema(struct text *out, const struct arguments *arguments)
{
    (void)arguments;
    size_t count;
    const struct manual_part *parts = load_manual(&count);
    manual_write_schema(out, parts, count);
    return EXIT_GOOD;
}

static int config_manual(struct text *out, const struct arguments *arguments)
{
    if (arguments->values[FLAG_OUTPUT] != NULL)
        return usage_error("`config manual` is a page; `config schema` is for programs");
    size_t count;
    const struct manual_part *parts = load_manual(&count);
    manual_write_markdown(out, parts, count);
    return EXIT_GOOD;
}

/* A diagnostic's code, as `check` prints it. */
static bool explain_code(struct text *out, struct span name, bool json)
{
    enum diag_code code;
    if (!diag_code_find(name, &code))
        return false;
    if (json) {
        struct json j = json_writer(out);
        json_begin_object(&j, NULL);
        json_text(&j, "code", span_text(diag_code_text(code)));
        json_text(&j, "cause", span_text(diag_code_cause(code)));
        json_text(&j, "remedy", span_text(diag_code_remedy(code)));
        json_end_object(&j);
        text_char(out, '\n');
        return true;
    }
    text_format(out, "%s: %s\n\n  %s\n", diag_code_text(code), diag_code_cause(code),
                diag_code_remedy(code));
    return true;
}

static void write_answer(struct text *out, struct span name, int status, struct span sentence,
                         bool json)
{
    if (!json) {
        text_format(out, "%.*s: %d. %.*s\n", (int)name.len, name.p, status, (int)sentence.len,
                    sentence.p);
        return;
    }
    struct json j = json_writer(out);
    json_begin_object(&j, NULL);
    json_text(&j, "reason", name);
    json_int(&j, "status", status);
    json_text(&j, "text", sentence);
    json_end_object(&j);
    text_char(out, '\n');
}

/* What stands in records and answers as `reason` or `detail`. */
static bool explain_reason(struct text *out, struct span name, bool json)
{
    for (int i = 0; i < REASON_COUNT; i++) {
        const struct reason_row *row = reason_row((enum reason)i);
        if (name.len == 0 || !span_equal(span_text(row->slug), name))
            continue;
        write_answer(out, name, row->status, span_text(row->text), json);
        return true;
    }
    for (int i = 1; i < HTTP_ERROR_COUNT; i++) {
        enum http_error error = (enum http_error)i;
        if (!span_equal(http_error_slug(error), name))
            continue;
        write_answer(out, name, http_error_status(error), http_error_text(error), json);
        return true;
    }
    return false;
}

static int config_explain(struct text *out, const struct arguments *arguments)
{
    size_t count;
    const struct manual_part *parts = load_manual(&count);
    if (arguments->operand_count < 2)
        return usage_error(
            "`config explain` needs a key, such as server.limits.body, a code, such as "
            "SP0103, or a reason, such as http-length");
    bool json;
    if (!output_is_json(arguments, &json))
        return EXIT_BAD;
    struct span name = span_text(arguments->operands[1]);
    if (explain_code(out, name, json) || explain_reason(out, name, json) ||
        manual_explain(out, parts, count, name, json ? MANUAL_JSON : MANUAL_TEXT))
        return EXIT_GOOD;
    char buffer[2048];
    struct text hint = text_fixed(buffer, sizeof(buffer));
    manual_suggest(&hint, parts, count, name);
    if (hint.len == 0)
        text_lit(&hint, "`sallyport config manual` has them all");
    return usage_error("no option \"%s\"; %.*s", arguments->operands[1], (int)hint.len, hint.p);
}

/* For SECURITY.md. */
static int config_processes(struct text *out, const struct arguments *arguments)
{
    (void)arguments;
    process_write_markdown(out);
    return EXIT_GOOD;
}

static const struct {
    const char *name;
    int (*run)(struct text *out, const struct arguments *arguments);
} parts[] = {
    { "print", config_print },         { "schema", config_schema },
    { "explain", config_explain },     { "manual", config_manual },
    { "processes", config_processes },
};

int verb_config(const struct arguments *arguments)
{
    const char *name = arguments->operand_count > 0 ? arguments->operands[0] : "";
    struct arena arena;
    arena_init(&arena, NULL, 0, NULL, (size_t)64 << 20);
    struct text out = text_growing(&arena, OUTPUT_BYTES);
    int code = EXIT_BAD;
    bool found = false;
    for (size_t i = 0; i < ARRAY_LEN(parts); i++) {
        if (strcmp(parts[i].name, name) != 0)
            continue;
        found = true;
        code = parts[i].run(&out, arguments);
    }
    if (!found)
        code = usage_error("`config` takes print, schema, explain, manual or processes");
    if (code == EXIT_GOOD && (out.overflow || !print_all(STDOUT_FILENO, text_span(&out))))
        code = EXIT_TROUBLE;
    arena_reset(&arena);
    return code;
}
