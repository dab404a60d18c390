/*
 * The option rows as JSON Schema, draft 2020-12, for editors. Each mapping is a definition of
 * its own under its dotted path. It is a little more lenient than the gateway: what inheritance
 * may supply is not required, and bounds of durations and sizes are not checked.
 */
#include "conf/manual.h"
#include "conf/manual_rows.h"
#include "conf/scalar.h"
#include "gateway/base/json.h"

enum { PATH_BYTES_MAX = 256 };

struct writer {
    struct json json;
    const struct manual_part *parts;
    size_t count;
};

/* $(env:...) and its like may stand for any scalar. */
#define SUBSTITUTION "\\$\\((env|file|cred):"

static const struct {
    const char *name, *pattern;
    bool number;
} scalar_defs[] = {
    { "substitution", SUBSTITUTION, false },
    { "duration", "^[0-9]+(ms|s|m|h|d)$|" SUBSTITUTION, false },
    { "size", "^[0-9]+(B|KiB|MiB|GiB|TiB|kB|MB|GB|TB)?$|" SUBSTITUTION, true },
    { "rate", "^[0-9]+( (requests|blocks|failures))?/[0-9]*[a-z]+$|" SUBSTITUTION, false },
    { "keyed_rate",
      "^[0-9]+( (requests|blocks|failures))?/[0-9]*[a-z]+( +(per +\\S+|burst "
      "+[0-9]+))*$|" SUBSTITUTION,
      false },
    { "url", "^(https?://|unix:)|" SUBSTITUTION, false },
};

static const char *const def_of_kind[] = {
    [OPT_SIZE] = "#/$defs/size", [OPT_DURATION] = "#/$defs/duration",
    [OPT_RATE] = "#/$defs/rate", [OPT_KEYED_RATE] = "#/$defs/keyed_rate",
    [OPT_TEXT] = "#/$defs/text", [OPT_TEXTS] = "#/$defs/texts",
    [OPT_FILE] = "#/$defs/text", [OPT_SECRET] = "#/$defs/text",
    [OPT_URL] = "#/$defs/url",   [OPT_CIDRS] = "#/$defs/texts",
    [OPT_EXPR] = "#/$defs/text", [OPT_REF] = "#/$defs/text",
};

static void constant(struct json *j, const char *key, const char *value)
{
    json_text(j, key, span_text(value));
}

static void reference(struct json *j, const char *to)
{
    json_begin_object(j, NULL);
    constant(j, "$ref", to);
    json_end_object(j);
}

static void write_pattern(struct json *j, const char *pattern)
{
    json_begin_object(j, NULL);
    constant(j, "type", "string");
    constant(j, "pattern", pattern);
    json_end_object(j);
}

/* What YAML editors take a plain text for: 1.2 is a number to them, and off may be false. */
static void write_text_type(struct json *j)
{
    json_begin_array(j, "type");
    constant(j, NULL, "string");
    constant(j, NULL, "number");
    constant(j, NULL, "boolean");
    json_end_array(j);
}

static void write_scalar_defs(struct json *j)
{
    for (size_t i = 0; i < ARRAY_LEN(scalar_defs); i++) {
        json_begin_object(j, scalar_defs[i].name);
        json_begin_array(j, "anyOf");
        write_pattern(j, scalar_defs[i].pattern);
        if (scalar_defs[i].number) {
            json_begin_object(j, NULL);
            constant(j, "type", "integer");
            json_uint(j, "minimum", 0);
            json_end_object(j);
        }
        json_end_array(j);
        json_end_object(j);
    }
    json_begin_object(j, "text");
    write_text_type(j);
    json_end_object(j);

    json_begin_object(j, "texts");
    json_begin_array(j, "anyOf");
    reference(j, "#/$defs/text");
    json_begin_object(j, NULL);
    constant(j, "type", "array");
    json_begin_object(j, "items");
    constant(j, "$ref", "#/$defs/text");
    json_end_object(j);
    json_end_object(j);
    json_end_array(j);
    json_end_object(j);
}

static void write_typed(struct json *j, const char *type, const struct option *row)
{
    json_begin_object(j, NULL);
    constant(j, "type", type);
    if (row->kind == OPT_INT && (row->min != 0 || row->max != 0)) {
        json_int(j, "minimum", row->min);
        if (row->max >= row->min)
            json_int(j, "maximum", row->max);
    }
    json_end_object(j);
}

static void write_choices(struct json *j, const struct option *row)
{
    bool number = false;
    json_begin_object(j, NULL);
    json_begin_array(j, "enum");
    for (const struct choice *c = row->choices; c->name != NULL; c++) {
        struct span name = span_text(c->name);
        json_text(j, NULL, name);
        if (span_equal(name, SPAN("off")))
            json_bool(j, NULL, false);
        if (span_equal(name, SPAN("on")))
            json_bool(j, NULL, true);
        number = number || (c->name[0] >= '0' && c->name[0] <= '9');
    }
    json_end_array(j);
    json_end_object(j);
    if (!number)
        return;
    json_begin_object(j, NULL);
    constant(j, "type", "number");
    json_end_object(j);
}

/* The choices for scalars that are not texts to JSON. */
static void write_any_of(struct json *j, const struct option *row)
{
    json_begin_array(j, "anyOf");
    if (row->kind == OPT_BOOL)
        write_typed(j, "boolean", row);
    else if (row->kind == OPT_INT)
        write_typed(j, "integer", row);
    else
        write_choices(j, row);
    reference(j, "#/$defs/substitution");
    json_end_array(j);
}

static void write_default(struct json *j, const struct option *row)
{
    uint64_t number;
    struct span rest = span_text(row->fallback), part;
    if (row->fallback == NULL || row->kind == OPT_SECRET)
        return;
    if (row->kind == OPT_BOOL) {
        json_bool(j, "default", span_equal(rest, SPAN("true")));
    } else if (row->kind == OPT_INT && span_uint(rest, &number)) {
        json_uint(j, "default", number);
    } else if (row->kind == OPT_TEXTS || row->kind == OPT_CIDRS || row->kind == OPT_LIST) {
        json_begin_array(j, "default");
        while (row->fallback[0] != '\0' && span_cut(&rest, ',', &part))
            json_text(j, NULL, span_trim(part));
        json_end_array(j);
    } else {
        json_text(j, "default", rest);
    }
}

static struct span join(struct text *t, struct span path, struct span name)
{
    text_add(t, path);
    if (path.len > 0)
        text_char(t, '.');
    text_add(t, name);
    return text_span(t);
}

static void write_reference_to(struct json *j, const char *key, struct span path)
{
    char buffer[PATH_BYTES_MAX + 16];
    struct text t = text_fixed(buffer, sizeof(buffer));
    text_lit(&t, "#/$defs/");
    text_add(&t, path);
    if (key != NULL)
        json_begin_object(j, key);
    json_text(j, "$ref", text_span(&t));
    if (key != NULL)
        json_end_object(j);
}

static bool has_shorthand(const struct option *rows)
{
    for (; rows->kind != OPT_END; rows++) {
        if ((rows->flags & OPTION_SHORTHAND) != 0)
            return true;
    }
    return false;
}

/* A list of mappings, or one mapping's shorthand where a list could stand. */
static void write_list(struct json *j, struct span path, bool shorthand)
{
    json_begin_array(j, "anyOf");
    json_begin_object(j, NULL);
    constant(j, "type", "array");
    write_reference_to(j, "items", path);
    json_end_object(j);
    json_begin_object(j, NULL);
    json_begin_array(j, "enum");
    constant(j, NULL, "off");
    json_bool(j, NULL, false);
    json_end_array(j);
    json_end_object(j);
    if (shorthand)
        reference(j, "#/$defs/text");
    json_end_array(j);
}

static void write_map(struct json *j, struct span path)
{
    constant(j, "type", "object");
    write_reference_to(j, "additionalProperties", path);
}

/* The members of the object that describes a value of the row; `path` is the row's. */
static void write_value(struct json *j, const struct option *row, struct span path)
{
    switch (row->kind) {
    case OPT_BOOL:
    case OPT_INT:
    case OPT_ENUM:
        write_any_of(j, row);
        return;
    case OPT_OBJECT:
        write_reference_to(j, NULL, path);
        return;
    case OPT_LIST:
        write_list(j, path, has_shorthand(row->options));
        return;
    case OPT_MAP:
        write_map(j, path);
        return;
    default:
        constant(j, "$ref", def_of_kind[row->kind]);
        return;
    }
}

static void write_properties(struct json *j, const struct option *rows, struct span path)
{
    for (const struct option *row = rows; row != NULL && row->kind != OPT_END; row++) {
        char buffer[PATH_BYTES_MAX];
        struct text t = text_fixed(buffer, sizeof(buffer));
        if ((row->flags & OPTION_HIDDEN) != 0)
            continue;
        json_begin_object(j, row->name);
        if (row->help != NULL)
            constant(j, "description", row->help);
        write_value(j, row, join(&t, path, span_text(row->name)));
        write_default(j, row);
        if (row->example != NULL) {
            json_begin_array(j, "examples");
            constant(j, NULL, row->example);
            json_end_array(j);
        }
        json_end_object(j);
    }
}

static void write_part_property(struct json *j, const struct manual_part *part)
{
    struct span path = span_text(part->path);
    json_key(j, manual_last(part->path));
    json_begin_object(j, NULL);
    if (part->summary != NULL)
        constant(j, "description", part->summary);
    if (part->shape == MANUAL_LIST)
        write_list(j, path, false);
    else if (part->shape == MANUAL_MAP)
        write_map(j, path);
    else
        write_reference_to(j, NULL, path);
    json_end_object(j);
}

static bool has_row(const struct manual_part *part, struct span name)
{
    const struct option *tables[] = { part->rows, part->more };
    for (size_t i = 0; i < ARRAY_LEN(tables); i++) {
        for (const struct option *row = tables[i]; row != NULL && row->kind != OPT_END; row++) {
            if (span_equal(span_text(row->name), name))
                return true;
        }
    }
    return false;
}

static void write_sub_parts(struct writer *w, const struct manual_part *part)
{
    const struct manual_part *like =
        part->like != NULL ? manual_find(w->parts, w->count, span_text(part->like)) : NULL;
    for (size_t i = 0; i < w->count; i++) {
        const struct manual_part *sub = &w->parts[i];
        bool own = manual_is_child(sub, span_text(part->path));
        bool lent = like != NULL && manual_lends(like, sub, part);
        if ((own || lent) && !has_row(part, manual_last(sub->path)))
            write_part_property(&w->json, sub);
    }
}

static void write_required(struct json *j, const struct option *rows)
{
    json_begin_array(j, "required");
    for (const struct option *row = rows; row != NULL && row->kind != OPT_END; row++) {
        if ((row->flags & OPTION_REQUIRED) != 0)
            constant(j, NULL, row->name);
    }
    json_end_array(j);
}

/* What may stand in place of the mapping. */
static void write_shorthands(struct json *j, const struct option *rows, struct span path)
{
    for (const struct option *row = rows; row != NULL && row->kind != OPT_END; row++) {
        char buffer[PATH_BYTES_MAX];
        struct text t = text_fixed(buffer, sizeof(buffer));
        bool off = strcmp(row->name, "mode") == 0 && row->kind == OPT_ENUM;
        if ((row->flags & OPTION_SHORTHAND) != 0 && row->kind != OPT_OBJECT) {
            json_begin_object(j, NULL);
            write_value(j, row, join(&t, path, span_text(row->name)));
            json_end_object(j);
        } else if (off) {
            json_begin_object(j, NULL);
            json_begin_array(j, "enum");
            constant(j, NULL, "off");
            json_bool(j, NULL, false);
            json_end_array(j);
            json_end_object(j);
        }
    }
}

/* `part` or `rows` describes the mapping; items of lists and maps inherit nothing. */
static void write_mapping(struct writer *w, const struct manual_part *part, struct span path,
                          bool item)
{
    struct json *j = &w->json;
    constant(j, "type", "object");
    json_bool(j, "additionalProperties", false);
    json_begin_object(j, "properties");
    write_properties(j, part->rows, path);
    write_properties(j, part->more, path);
    write_sub_parts(w, part);
    json_end_object(j);
    if (item)
        write_required(j, part->rows);
}

static void write_nested(struct writer *w, const struct option *rows, struct span path);

static void write_definition(struct writer *w, const struct manual_part *part, struct span path,
                             bool item)
{
    struct json *j = &w->json;
    json_key(j, path);
    json_begin_object(j, NULL);
    json_begin_array(j, "anyOf");
    json_begin_object(j, NULL);
    write_mapping(w, part, path, item);
    json_end_object(j);
    write_shorthands(j, part->rows, path);
    write_shorthands(j, part->more, path);
    json_end_array(j);
    json_end_object(j);
    write_nested(w, part->rows, path);
    write_nested(w, part->more, path);
}

static void write_nested(struct writer *w, const struct option *rows, struct span path)
{
    for (const struct option *row = rows; row != NULL && row->kind != OPT_END; row++) {
        char buffer[PATH_BYTES_MAX];
        struct text t = text_fixed(buffer, sizeof(buffer));
        struct manual_part part = { .path = "", .rows = row->options };
        if (row->options == NULL || (row->flags & OPTION_HIDDEN) != 0)
            continue;
        join(&t, path, span_text(row->name));
        const char *own = text_cstring(&t);
        if (own == NULL)
            continue;
        part.path = own;
        write_definition(w, &part, span_text(own), row->kind != OPT_OBJECT);
    }
}

void manual_write_schema(struct text *out, const struct manual_part *parts, size_t count)
{
    struct writer w = { json_writer(out), parts, count };
    struct json *j = &w.json;
    const struct manual_part *top = manual_find(parts, count, SPAN(""));
    static const struct manual_part none = { .path = "" };
    if (top == NULL)
        top = &none;

    json_begin_object(j, NULL);
    constant(j, "$schema", "https://json-schema.org/draft/2020-12/schema");
    constant(j, "title", "Sallyport configuration");
    constant(j, "type", "object");
    json_bool(j, "additionalProperties", false);
    json_begin_object(j, "properties");
    if (!has_row(top, SPAN("include"))) {
        json_begin_object(j, "include");
        constant(j, "description", "Files or patterns to take in, relative to this file.");
        constant(j, "$ref", "#/$defs/texts");
        json_end_object(j);
    }
    write_properties(j, top->rows, SPAN(""));
    write_properties(j, top->more, SPAN(""));
    write_sub_parts(&w, top);
    json_end_object(j);

    json_begin_object(j, "$defs");
    write_scalar_defs(j);
    write_nested(&w, top->rows, SPAN(""));
    write_nested(&w, top->more, SPAN(""));
    for (size_t i = 0; i < count; i++) {
        if (parts[i].path[0] != '\0')
            write_definition(&w, &parts[i], span_text(parts[i].path),
                             parts[i].shape != MANUAL_MAPPING);
    }
    json_end_object(j);
    json_end_object(j);
    text_char(out, '\n');
}
