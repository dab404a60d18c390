/*
 * The option rows as pages for people: the reference, and the answer to one question.
 */
#include "conf/manual.h"

#include "conf/manual_rows.h"
#include "conf/scalar.h"

enum { LIKE_DEPTH_MAX = 4, PATH_BYTES_MAX = 256 };

static const char *const kind_words[] = {
    [OPT_BOOL] = "true or false",
    [OPT_INT] = "whole number",
    [OPT_SIZE] = "size",
    [OPT_DURATION] = "duration",
    [OPT_RATE] = "rate",
    [OPT_KEYED_RATE] = "rate per key",
    [OPT_ENUM] = "one of",
    [OPT_TEXT] = "text",
    [OPT_TEXTS] = "list of texts",
    [OPT_FILE] = "path",
    [OPT_SECRET] = "secret",
    [OPT_URL] = "URL",
    [OPT_CIDRS] = "list of addresses and prefixes",
    [OPT_EXPR] = "expression",
    [OPT_OBJECT] = "mapping",
    [OPT_LIST] = "list",
    [OPT_MAP] = "mapping from names",
    [OPT_REF] = "name",
};

static void write_bound(struct text *out, const struct option *row, int64_t bound)
{
    if (row->kind == OPT_SIZE)
        write_size(out, (uint64_t)bound);
    else if (row->kind == OPT_DURATION)
        write_duration(out, (uint64_t)bound);
    else
        text_int(out, bound);
}

static void write_bounds(struct text *out, const struct option *row)
{
    bool lists = row->kind == OPT_TEXTS || row->kind == OPT_CIDRS || row->kind == OPT_LIST ||
                 row->kind == OPT_MAP;
    if ((row->min == 0 && row->max == 0) || lists)
        return;
    text_lit(out, ", ");
    if (row->max < row->min)
        text_lit(out, "at least ");
    write_bound(out, row, row->min);
    if (row->max < row->min)
        return;
    text_lit(out, " to ");
    write_bound(out, row, row->max);
}

void manual_type(struct text *out, const struct option *row)
{
    text_add(out, span_text(kind_words[row->kind]));
    if (row->kind == OPT_ENUM) {
        for (const struct choice *c = row->choices; c->name != NULL; c++) {
            text_add(out, c == row->choices ? SPAN(" ") : SPAN(", "));
            text_add(out, span_text(c->name));
        }
    }
    if (row->refers != NULL) {
        text_lit(out, " under ");
        text_add(out, span_text(row->refers));
    }
    write_bounds(out, row);
}

struct span manual_last(const char *path)
{
    struct span rest = span_text(path), part = rest;
    while (span_cut(&rest, '.', &part))
        ;
    return part;
}

bool manual_is_child(const struct manual_part *part, struct span path)
{
    struct span own = span_text(part->path), last = manual_last(part->path);
    if (own.len == 0)
        return false;
    size_t parent = own.len == last.len ? 0 : own.len - last.len - 1;
    return span_equal(span_sub(own, 0, parent), path);
}

const struct manual_part *manual_find(const struct manual_part *parts, size_t count,
                                      struct span path)
{
    for (size_t i = 0; i < count; i++) {
        if (span_equal(span_text(parts[i].path), path))
            return &parts[i];
    }
    return NULL;
}

bool manual_lends(const struct manual_part *like, const struct manual_part *part,
                  const struct manual_part *to)
{
    return part->shape == MANUAL_MAPPING && part != to &&
           manual_is_child(part, span_text(like->path));
}

/* The reference */

static void write_cell(struct text *out, struct span s)
{
    for (size_t i = 0; i < s.len; i++) {
        if (s.p[i] == '|')
            text_char(out, '\\');
        text_char(out, s.p[i] == '\n' ? ' ' : s.p[i]);
    }
}

static void write_default_cell(struct text *out, const struct option *row)
{
    if ((row->flags & OPTION_REQUIRED) != 0) {
        text_lit(out, "required");
    } else if (row->fallback != NULL) {
        text_char(out, '`');
        write_cell(out, row->fallback[0] != '\0' ? span_text(row->fallback) : SPAN("\"\""));
        text_char(out, '`');
    }
}

static void write_help_cell(struct text *out, const struct option *row)
{
    if (row->help != NULL)
        write_cell(out, span_text(row->help));
    if (row->kind == OPT_ENUM) {
        for (const struct choice *c = row->choices; c->name != NULL; c++) {
            if (c->help == NULL)
                continue;
            text_lit(out, " `");
            write_cell(out, span_text(c->name));
            text_lit(out, "`: ");
            write_cell(out, span_text(c->help));
        }
    }
    if ((row->flags & OPTION_APPEND) != 0)
        text_lit(out, " Adds to what is inherited; `[]` clears it.");
    if (row->example != NULL) {
        text_lit(out, " Example: `");
        write_cell(out, span_text(row->example));
        text_lit(out, "`.");
    }
}

static void write_row(struct text *out, const struct option *row, struct span prefix)
{
    text_lit(out, "| `");
    text_add(out, prefix);
    text_add(out, span_text(row->name));
    text_lit(out, "` | ");
    char type[1024];
    struct text t = text_fixed(type, sizeof(type));
    manual_type(&t, row);
    write_cell(out, text_span(&t));
    text_lit(out, " | ");
    write_default_cell(out, row);
    text_lit(out, " | ");
    write_help_cell(out, row);
    text_lit(out, " |\n");
}

static void write_rows(struct text *out, const struct option *rows, struct span prefix)
{
    for (const struct option *row = rows; row != NULL && row->kind != OPT_END; row++) {
        if ((row->flags & OPTION_HIDDEN) != 0)
            continue;
        write_row(out, row, prefix);
        if (row->options == NULL)
            continue;
        char buffer[PATH_BYTES_MAX];
        struct text inner = text_fixed(buffer, sizeof(buffer));
        text_add(&inner, prefix);
        text_add(&inner, span_text(row->name));
        text_add(&inner, row->kind == OPT_LIST  ? SPAN("[].")
                         : row->kind == OPT_MAP ? SPAN(".<name>.")
                                                : SPAN("."));
        write_rows(out, row->options, text_span(&inner));
    }
}

static void write_heading(struct text *out, const struct manual_part *part)
{
    static const char *const marks[] = {
        [MANUAL_MAPPING] = "",
        [MANUAL_LIST] = "[]",
        [MANUAL_MAP] = ".<name>",
    };
    if (part->path[0] == '\0') {
        text_lit(out, "## The file\n\n");
    } else {
        text_lit(out, "## `");
        text_add(out, span_text(part->path));
        text_add(out, span_text(marks[part->shape]));
        text_lit(out, "`\n\n");
    }
    if (part->summary != NULL) {
        text_add(out, span_text(part->summary));
        text_lit(out, "\n\n");
    }
}

void manual_write_markdown(struct text *out, const struct manual_part *parts, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        const struct manual_part *part = &parts[i];
        if (i > 0)
            text_char(out, '\n');
        write_heading(out, part);
        if (part->like != NULL) {
            text_lit(out, "Takes the sections of `");
            text_add(out, span_text(part->like));
            text_lit(out, "`, too.\n\n");
        }
        bool rows = (part->rows != NULL && part->rows->kind != OPT_END) ||
                    (part->more != NULL && part->more->kind != OPT_END);
        if (!rows)
            continue;
        text_lit(out, "| key | type | default | |\n|---|---|---|---|\n");
        write_rows(out, part->rows, SPAN(""));
        write_rows(out, part->more, SPAN(""));
    }
}

/* One question */

struct question {
    struct text *out;
    const struct manual_part *parts;
    size_t count;
    struct span path; /* as it was asked */
    enum manual_form form;
};

static void list_rows(struct text *out, const struct option *rows)
{
    for (const struct option *row = rows; row != NULL && row->kind != OPT_END; row++) {
        if ((row->flags & OPTION_HIDDEN) != 0)
            continue;
        text_format(out, "  %-18s ", row->name);
        manual_type(out, row);
        text_char(out, '\n');
    }
}

static void explain_part(const struct question *q, const struct manual_part *part)
{
    text_add(q->out, q->path.len > 0 ? q->path : SPAN("the file"));
    text_lit(q->out, "\n");
    if (part->summary != NULL) {
        text_lit(q->out, "  ");
        text_add(q->out, span_text(part->summary));
        text_lit(q->out, "\n");
    }
    text_char(q->out, '\n');
    list_rows(q->out, part->rows);
    list_rows(q->out, part->more);
    for (size_t i = 0; i < q->count; i++) {
        if (!manual_is_child(&q->parts[i], span_text(part->path)))
            continue;
        struct span name = manual_last(q->parts[i].path);
        const char *summary = q->parts[i].summary;
        text_format(q->out, "  %-18.*s %s\n", (int)name.len, name.p,
                    summary != NULL ? summary : "");
    }
}

static void explain_row(const struct question *q, const struct option *row)
{
    struct text *out = q->out;
    text_add(out, q->path);
    text_lit(out, ": ");
    manual_type(out, row);
    if ((row->flags & OPTION_REQUIRED) != 0)
        text_lit(out, "\n  required");
    if (row->fallback != NULL) {
        text_lit(out, "\n  default: ");
        text_add(out, row->fallback[0] != '\0' ? span_text(row->fallback) : SPAN("\"\""));
    }
    if (row->example != NULL) {
        text_lit(out, "\n  example: ");
        text_add(out, span_text(row->example));
    }
    text_lit(out, "\n");
    if (row->help != NULL) {
        text_lit(out, "\n  ");
        text_add(out, span_text(row->help));
        text_lit(out, "\n");
    }
    for (const struct choice *c = row->choices; c != NULL && c->name != NULL; c++) {
        if (c->help != NULL)
            text_format(out, "  %-18s %s\n", c->name, c->help);
    }
    if (row->options != NULL) {
        text_char(out, '\n');
        list_rows(out, row->options);
    }
}

static const struct option *row_named(const struct option *rows, struct span name)
{
    for (const struct option *row = rows; row != NULL && row->kind != OPT_END; row++) {
        if (span_equal(span_text(row->name), name))
            return row;
    }
    return NULL;
}

/* "servers[]" and "servers" are one; a name of the user's stands for any. */
static struct span without_brackets(struct span word)
{
    return span_ends(word, SPAN("[]")) ? span_sub(word, 0, word.len - 2) : word;
}

static const struct option *descend(const struct option *rows, const struct option *more,
                                    bool names, struct span rest)
{
    const struct option *row = NULL;
    struct span word;
    while (span_cut(&rest, '.', &word)) {
        const struct option *found = row_named(rows, without_brackets(word));
        if (found == NULL)
            found = row_named(more, without_brackets(word));
        if (found == NULL && names) {
            names = false;
            continue;
        }
        if (found == NULL)
            return NULL;
        row = found;
        rows = row->options;
        more = NULL;
        names = row->kind == OPT_MAP;
    }
    return row;
}

static bool explain_in(const struct question *q, const struct manual_part *part,
                       struct span rest)
{
    const struct option *row = descend(part->rows, part->more, part->shape == MANUAL_MAP, rest);
    if (row != NULL && q->form == MANUAL_JSON)
        manual_row_json(q->out, q->path, row);
    else if (row != NULL)
        explain_row(q, row);
    return row != NULL;
}

static bool explain(const struct question *q, struct span path, unsigned depth);

/* The same path below the part that lends its mappings. */
static bool explain_like(const struct question *q, const struct manual_part *part,
                         struct span rest, unsigned depth)
{
    char buffer[PATH_BYTES_MAX];
    struct text t = text_fixed(buffer, sizeof(buffer));
    if (part->like == NULL || depth == 0)
        return false;
    text_add(&t, span_text(part->like));
    text_char(&t, '.');
    text_add(&t, rest);
    return !t.overflow && explain(q, text_span(&t), depth - 1);
}

static bool explain(const struct question *q, struct span path, unsigned depth)
{
    const struct manual_part *whole = manual_find(q->parts, q->count, path);
    if (whole != NULL) {
        if (q->form == MANUAL_JSON)
            manual_part_json(q->out, q->path, whole);
        else
            explain_part(q, whole);
        return true;
    }
    /* The part with the longest path that the question begins with. */
    for (size_t len = path.len; len > 0; len--) {
        if (path.p[len - 1] != '.')
            continue;
        const struct manual_part *part =
            manual_find(q->parts, q->count, span_sub(path, 0, len - 1));
        struct span rest = span_sub(path, len, path.len);
        if (part != NULL && (explain_in(q, part, rest) || explain_like(q, part, rest, depth)))
            return true;
    }
    const struct manual_part *top = manual_find(q->parts, q->count, SPAN(""));
    return top != NULL && explain_in(q, top, path);
}

bool manual_explain(struct text *out, const struct manual_part *parts, size_t count,
                    struct span path, enum manual_form form)
{
    struct question q = { out, parts, count, path, form };
    return explain(&q, path, LIKE_DEPTH_MAX);
}
