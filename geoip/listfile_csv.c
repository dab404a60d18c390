/* Comma-separated lists: RFC 4180, without line breaks inside of quotes. */
#include "geoip/listfile_parts.h"

struct columns {
    enum listfile_part parts[LISTFILE_COLUMNS_MAX];
    size_t count;
};

/* Quotes written twice inside of quotes stand for one; then the field is copied. */
static bool unquote(struct reading *reading, struct span quoted, struct span *field)
{
    *field = quoted;
    if (span_index(quoted, '"') < 0)
        return true;
    char *copy = arena_alloc(reading->arena, quoted.len);
    size_t len = 0;
    if (copy == NULL)
        return listfile_fail(reading, ERR_MEMORY, "there is no memory for it");
    for (size_t i = 0; i < quoted.len; i++) {
        copy[len++] = quoted.p[i];
        i += quoted.p[i] == '"'; /* the next is one, too: see cut_quoted */
    }
    *field = span_of(copy, len);
    return true;
}

/* `*rest` begins with a quote. */
static bool cut_quoted(struct reading *reading, struct span *rest, struct span *field)
{
    size_t i = 1;
    for (; i < rest->len; i++) {
        if (rest->p[i] != '"')
            continue;
        if (i + 1 >= rest->len || rest->p[i + 1] != '"')
            break;
        i++;
    }
    if (i >= rest->len)
        return listfile_fail(reading, ERR_SYNTAX, "a quote is not closed");
    if (!unquote(reading, span_sub(*rest, 1, i - 1), field))
        return false;
    struct span behind = span_trim(span_sub(*rest, i + 1, rest->len));
    if (behind.len > 0 && behind.p[0] != ',')
        return listfile_fail(reading, ERR_SYNTAX, "something stands behind a closing quote");
    *rest = behind.len > 0 ? span_sub(behind, 1, behind.len) : span_of(NULL, 0);
    return true;
}

static bool cut_field(struct reading *reading, struct span *rest, struct span *field)
{
    struct span from = span_trim(*rest);
    if (from.len > 0 && from.p[0] == '"') {
        *rest = from;
        return cut_quoted(reading, rest, field);
    }
    (void)span_cut(rest, ',', field);
    *field = span_trim(*field);
    return true;
}

static bool cut_line(struct reading *reading, struct span line, struct span *fields,
                     size_t *count)
{
    *count = 0;
    while (line.p != NULL) {
        if (*count == LISTFILE_COLUMNS_MAX)
            return listfile_fail(reading, ERR_LIMIT, "it has too many columns");
        if (!cut_field(reading, &line, &fields[(*count)++]))
            return false;
    }
    return true;
}

/* A line of names says at least where the address is; one that only looks like it is an error
 * of the line, not a line of names. */
static bool is_header(const struct span *fields, size_t count, struct columns *columns)
{
    bool prefix = false;
    for (size_t i = 0; i < count; i++) {
        columns->parts[i] = listfile_part(fields[i]);
        prefix = prefix || columns->parts[i] == PART_PREFIX;
    }
    columns->count = count;
    return prefix;
}

static bool add_line(struct reading *reading, const struct span *fields, size_t count,
                     const struct columns *columns)
{
    struct listfile_said said = { 0 };
    for (size_t i = 0; i < count && i < columns->count; i++) {
        enum listfile_part part = columns->parts[i];
        if (part < PART_COUNT && said.parts[part].len == 0)
            said.parts[part] = fields[i];
    }
    return listfile_add(reading, &said);
}

bool listfile_csv(struct reading *reading)
{
    struct columns columns = {
        .parts = { PART_PREFIX, PART_REASON, PART_EXPIRES, PART_SOURCE },
        .count = 4,
    };
    struct span rest = reading->text, line, fields[LISTFILE_COLUMNS_MAX];
    bool first = true;
    while (span_cut(&rest, '\n', &line)) {
        struct columns named;
        size_t count;
        reading->problem->line++;
        if (line.len > 0 && line.p[line.len - 1] == '\r')
            line.len--;
        line = span_trim(line);
        if (line.len == 0 || line.p[0] == '#' || line.p[0] == ';')
            continue;
        if (!cut_line(reading, line, fields, &count))
            return false;
        if (first && is_header(fields, count, &named))
            columns = named;
        else if (!add_line(reading, fields, count, &columns))
            return false;
        first = false;
    }
    return true;
}
