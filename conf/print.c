/*
 * Structs back to YAML: what `config print` shows. It can be read again and means the same, but
 * for secrets, which are never written.
 */
#include "conf/expr.h"
#include "conf/scalar.h"
#include "conf/source.h"

enum { INDENT = 2, COMMENT_WIDTH = 88 };

struct printer {
    struct text *out;
    bool comments;
};

static void print_rows(struct printer *p, const struct option *rows, const void *base,
                       unsigned indent);

static void pad(struct text *out, unsigned count)
{
    while (count-- > 0)
        text_char(out, ' ');
}

static bool plain_character(char c)
{
    bool letter = ascii_lower(c) >= 'a' && ascii_lower(c) <= 'z';
    return letter || (c >= '0' && c <= '9') || c == '_' || c == '.' || c == '/' || c == '-';
}

static bool is_plain(struct span s)
{
    for (size_t i = 0; i < s.len; i++) {
        bool colon = s.p[i] == ':' && i + 1 < s.len && i > 0;
        if (!plain_character(s.p[i]) && !colon)
            return false;
    }
    return s.len > 0 && s.p[0] != '-' && s.p[0] != '.';
}

static void write_escaped(struct text *out, const char **p, const char *end)
{
    const char *start = *p;
    int32_t point = utf8_next(p, end);
    if (point == '"' || point == '\\') {
        text_char(out, '\\');
        text_char(out, (char)point);
    } else if (point < 0) {
        text_lit(out, "\\x");
        text_hex(out, start, 1);
    } else if (point < 0x20 || (point >= 0x7f && point <= 0x9f)) {
        text_format(out, "\\x%02x", (unsigned)point);
    } else if ((point >= 0x2000 && point <= 0x206f) || point >= 0xe000) {
        text_format(out, "\\U%08x", (unsigned)point);
    } else {
        text_add(out, span_range(start, *p));
    }
}

/* Quoted where YAML or the loader would read something else than the text. */
static void write_text(struct text *out, struct span s)
{
    if (is_plain(s)) {
        text_add(out, s);
        return;
    }
    text_char(out, '"');
    for (const char *p = s.p, *end = span_end(s); p < end;) {
        if (*p == '$' && p + 1 < end && (p[1] == '(' || p[1] == '{'))
            text_char(out, '$'); /* what looks like a substitution is none any more */
        write_escaped(out, &p, end);
    }
    text_char(out, '"');
}

static void print_bool(struct text *out, const struct option *row UNUSED, const void *field)
{
    text_add(out, *(const bool *)field ? SPAN("true") : SPAN("false"));
}

static void print_int(struct text *out, const struct option *row UNUSED, const void *field)
{
    text_int(out, *(const int64_t *)field);
}

static void print_size(struct text *out, const struct option *row UNUSED, const void *field)
{
    write_size(out, *(const uint64_t *)field);
}

static void print_duration(struct text *out, const struct option *row UNUSED, const void *field)
{
    write_duration(out, (uint64_t)((const struct duration *)field)->ms);
}

static void print_rate(struct text *out, const struct option *row UNUSED, const void *field)
{
    write_rate(out, field);
}

static void print_keyed_rate(struct text *out, const struct option *row UNUSED,
                             const void *field)
{
    const struct keyed_rate *value = field;
    char buffer[512];
    struct text t = text_fixed(buffer, sizeof(buffer));
    write_rate(&t, &value->rate);
    if (value->key.len > 0) {
        text_lit(&t, " per ");
        text_add(&t, value->key);
    }
    if (value->burst > 0) {
        text_lit(&t, " burst ");
        text_uint(&t, value->burst);
    }
    write_text(out, text_span(&t));
}

static void print_enum(struct text *out, const struct option *row, const void *field)
{
    for (const struct choice *c = row->choices; c->name != NULL; c++) {
        if (c->value != *(const int *)field)
            continue;
        write_text(out, span_text(c->name));
        return;
    }
}

/* TEXT and REF; FILE and URL begin with their text. */
static void print_text(struct text *out, const struct option *row UNUSED, const void *field)
{
    write_text(out, *(const struct span *)field);
}

static void print_secret(struct text *out, const struct option *row UNUSED,
                         const void *field UNUSED)
{
    text_lit(out, "<secret>");
}

static void print_expr(struct text *out, const struct option *row UNUSED, const void *field)
{
    write_text(out, expr_text(*(struct expr *const *)field));
}

static void print_texts(struct text *out, const struct option *row UNUSED, const void *field)
{
    const struct texts *texts = field;
    text_char(out, '[');
    for (size_t i = 0; i < texts->count; i++) {
        if (i > 0)
            text_lit(out, ", ");
        write_text(out, texts->items[i]);
    }
    text_char(out, ']');
}

static void print_cidrs(struct text *out, const struct option *row UNUSED, const void *field)
{
    const struct cidrs *cidrs = field;
    text_char(out, '[');
    for (size_t i = 0; i < cidrs->count; i++) {
        char buffer[64];
        struct text t = text_fixed(buffer, sizeof(buffer));
        cidr_write(&t, &cidrs->items[i]);
        if (i > 0)
            text_lit(out, ", ");
        write_text(out, text_span(&t));
    }
    text_char(out, ']');
}

static void (*const printers[])(struct text *out, const struct option *row,
                                const void *field) = {
    [OPT_BOOL] = print_bool,     [OPT_INT] = print_int,
    [OPT_SIZE] = print_size,     [OPT_DURATION] = print_duration,
    [OPT_RATE] = print_rate,     [OPT_KEYED_RATE] = print_keyed_rate,
    [OPT_ENUM] = print_enum,     [OPT_TEXT] = print_text,
    [OPT_TEXTS] = print_texts,   [OPT_FILE] = print_text,
    [OPT_SECRET] = print_secret, [OPT_URL] = print_text,
    [OPT_CIDRS] = print_cidrs,   [OPT_EXPR] = print_expr,
    [OPT_REF] = print_text,
};

_Static_assert(offsetof(struct path, text) == 0 && offsetof(struct url, text) == 0,
               "print_text reads the first member");

/* Zero where the row's bounds do not allow it: never given. */
static bool zero_unset(const struct option *row, int64_t value)
{
    return value == 0 && row->min > 0;
}

static bool enum_unset(const struct option *row, int value)
{
    for (const struct choice *c = row->choices; c->name != NULL; c++) {
        if (c->value == value)
            return false;
    }
    return true;
}

static bool is_unset(const struct option *row, const void *field)
{
    switch (row->kind) {
    case OPT_INT:
        return zero_unset(row, *(const int64_t *)field);
    case OPT_SIZE:
        return zero_unset(row, (int64_t) * (const uint64_t *)field);
    case OPT_DURATION:
        return zero_unset(row, ((const struct duration *)field)->ms);
    case OPT_RATE:
        return ((const struct rate *)field)->count == 0;
    case OPT_KEYED_RATE:
        return ((const struct keyed_rate *)field)->rate.count == 0;
    case OPT_ENUM:
        return enum_unset(row, *(const int *)field);
    case OPT_TEXT:
    case OPT_REF:
    case OPT_FILE:
    case OPT_URL:
        return ((const struct span *)field)->p == NULL;
    case OPT_SECRET:
        return ((const struct secret *)field)->p == NULL;
    case OPT_EXPR:
        return *(struct expr *const *)field == NULL;
    case OPT_TEXTS:
        return ((const struct texts *)field)->items == NULL;
    case OPT_CIDRS:
        return ((const struct cidrs *)field)->items == NULL;
    case OPT_LIST:
    case OPT_MAP:
        return ((const struct list *)field)->items == NULL;
    case OPT_BOOL:
    case OPT_OBJECT:
    case OPT_END:
        return false;
    }
    return false;
}

static void print_comment(struct text *out, const char *help, unsigned indent)
{
    struct span rest = span_text(help), word;
    size_t column = COMMENT_WIDTH;
    while (span_cut(&rest, ' ', &word)) {
        if (column + 1 + word.len >= COMMENT_WIDTH) {
            if (column != COMMENT_WIDTH)
                text_char(out, '\n');
            pad(out, indent);
            text_char(out, '#');
            column = indent + 1;
        }
        text_char(out, ' ');
        text_add(out, word);
        column += 1 + word.len;
    }
    text_char(out, '\n');
}

static void print_list(struct printer *p, const struct option *row, const struct list *list,
                       unsigned indent)
{
    struct printer plain = { p->out, false }; /* the help once is enough */
    for (size_t i = 0; i < list->count; i++) {
        size_t start = p->out->len;
        print_rows(&plain, row->options, (const char *)list->items + i * row->item_size,
                   indent + INDENT);
        if (p->out->len == start) {
            pad(p->out, indent);
            text_lit(p->out, "- {}\n");
        } else if (!p->out->overflow) {
            p->out->p[start + indent] = '-';
        }
    }
}

static void print_map(struct printer *p, const struct option *row, const struct list *list,
                      unsigned indent)
{
    struct printer plain = { p->out, false };
    for (size_t i = 0; i < list->count; i++) {
        const char *item = (const char *)list->items + i * row->item_size;
        pad(p->out, indent);
        write_text(p->out, ((const struct map_item *)(const void *)item)->key);
        size_t start = p->out->len;
        text_lit(p->out, ":\n");
        size_t empty = p->out->len;
        print_rows(&plain, row->options, item, indent + INDENT);
        if (p->out->len == empty) {
            p->out->len = start;
            text_lit(p->out, ": {}\n");
        }
    }
}

static void print_inside(struct printer *p, const struct option *row, const void *field,
                         unsigned indent)
{
    if (row->kind == OPT_LIST)
        print_list(p, row, field, indent);
    else if (row->kind == OPT_MAP)
        print_map(p, row, field, indent);
    else
        print_rows(p, row->options, field, indent);
}

/* An option with others inside. An object in which nothing is set is left out. */
static void print_nested(struct printer *p, const struct option *row, const void *field,
                         unsigned indent, size_t start)
{
    text_lit(p->out, ":\n");
    size_t empty = p->out->len;
    print_inside(p, row, field, indent + INDENT);
    if (p->out->len != empty)
        return;
    if (row->kind == OPT_OBJECT) {
        p->out->len = start;
        return;
    }
    p->out->len = empty - 1;
    text_add(p->out, row->kind == OPT_LIST ? SPAN(" []\n") : SPAN(" {}\n"));
}

static void print_row(struct printer *p, const struct option *row, const void *field,
                      unsigned indent)
{
    size_t start = p->out->len;
    bool unset = is_unset(row, field);
    if (unset && !p->comments)
        return;
    if (p->comments && row->help != NULL)
        print_comment(p->out, row->help, indent);
    pad(p->out, indent);
    if (unset)
        text_lit(p->out, "# ");
    text_add(p->out, span_text(row->name));
    if (unset) {
        text_lit(p->out, ":\n");
    } else if (row->kind < ARRAY_LEN(printers) && printers[row->kind] != NULL) {
        text_lit(p->out, ": ");
        printers[row->kind](p->out, row, field);
        text_char(p->out, '\n');
    } else {
        print_nested(p, row, field, indent, start);
    }
}

static void print_rows(struct printer *p, const struct option *rows, const void *base,
                       unsigned indent)
{
    for (const struct option *row = rows; row->kind != OPT_END; row++)
        print_row(p, row, (const char *)base + row->offset, indent);
}

void schema_print(struct text *out, const struct option *rows, const void *base,
                  unsigned indent, bool comments)
{
    struct printer printer = { out, comments };
    print_rows(&printer, rows, base, indent);
}
