/* Lines of text to ranges; one malformed line, and the table is not taken. */
#include "geoip/table.h"

#include "geoip/countries.h"

enum { CODE_BYTES_MAX = 3 };

unsigned __int128 geo_number(const struct addr *addr)
{
    unsigned __int128 number = 0;
    for (size_t i = 0; i < (addr->family == ADDR_V4 ? 4 : 16); i++)
        number = number << 8 | addr->bytes[i];
    return number;
}

/* ---- one line ---- */

static struct span unquoted(struct span field)
{
    field = span_trim(field);
    if (field.len >= 2 && field.p[0] == '"' && field.p[field.len - 1] == '"')
        field = span_sub(field, 1, field.len - 2);
    return span_trim(field);
}

/* A number of up to 128 bits; those of mapped addresses are IPv4. */
static bool parse_number(struct span text, unsigned __int128 *number, bool *v4)
{
    unsigned __int128 value = 0;
    for (size_t i = 0; i < text.len; i++) {
        if (text.p[i] < '0' || text.p[i] > '9' || __builtin_mul_overflow(value, 10, &value) ||
            __builtin_add_overflow(value, (unsigned)(text.p[i] - '0'), &value))
            return false;
    }
    if (value >> 32 == 0xffff)
        value &= UINT32_MAX;
    *number = value;
    *v4 = value <= UINT32_MAX;
    return text.len > 0;
}

static bool parse_address(struct span text, unsigned __int128 *number, bool *v4)
{
    struct addr addr;
    if (!addr_parse(text, &addr))
        return parse_number(text, number, v4);
    *number = geo_number(&addr);
    *v4 = addr.family == ADDR_V4;
    return true;
}

static bool parse_prefix(struct span text, struct geo_range *range)
{
    struct cidr cidr;
    if (!cidr_parse(text, true, &cidr))
        return false;
    unsigned host = (cidr.addr.family == ADDR_V4 ? 32u : 128u) - cidr.bits;
    unsigned __int128 all = host == 128 ? 0 : (unsigned __int128)1 << host;
    range->first = geo_number(&cidr.addr);
    range->last = range->first + (all - 1);
    return true;
}

static bool parse_range(struct span *rest, struct geo_range *range)
{
    struct span first, last;
    bool first_v4, last_v4;
    if (!span_cut(rest, ',', &first))
        return false;
    first = unquoted(first);
    if (span_index(first, '/') >= 0)
        return parse_prefix(first, range);
    return span_cut(rest, ',', &last) && parse_address(first, &range->first, &first_v4) &&
           parse_address(unquoted(last), &range->last, &last_v4) && first_v4 == last_v4 &&
           range->first <= range->last;
}

/* -1: none that we know; false: not even the form of a code. */
static bool parse_country(struct span *rest, int *number)
{
    struct span field;
    char code[CODE_BYTES_MAX + 1] = "";
    if (!span_cut(rest, ',', &field))
        return false;
    field = unquoted(field);
    if (field.len > CODE_BYTES_MAX)
        return false;
    for (size_t i = 0; i < field.len; i++)
        code[i] = (char)(field.p[i] >= 'a' && field.p[i] <= 'z' ? field.p[i] - 32 : field.p[i]);
    /* Registries write UK, which ISO 3166-1 reserves for what it calls GB. */
    if (strcmp(code, "UK") == 0)
        memcpy(code, "GB", 2);
    *number = field.len == 2 && country_continent(code) != NULL ? country_number(code) : -1;
    return true;
}

/* Column names, in the first line: it begins with a letter and with no address. */
static bool is_heading(struct span line)
{
    struct span field;
    struct addr addr;
    if (!span_cut(&line, ',', &field))
        return false;
    field = unquoted(field);
    char first = field.len > 0 ? ascii_lower(field.p[0]) : '0';
    return first >= 'a' && first <= 'z' && !addr_parse(field, &addr) &&
           span_index(field, ':') < 0;
}

/* ---- the whole ---- */

enum err geo_table_reserve(struct geo_table *table, struct span text, struct arena *arena)
{
    size_t lines = 1;
    for (size_t i = 0; i < text.len; i++)
        lines += text.p[i] == '\n';
    if (lines > GEO_RANGES_MAX || table->count + lines > GEO_RANGES_MAX)
        return ERR_LIMIT;
    struct geo_range *ranges =
        arena_alloc(arena, (table->count + lines) * sizeof(struct geo_range));
    if (ranges == NULL)
        return ERR_MEMORY;
    if (table->count > 0)
        memcpy(ranges, table->ranges, table->count * sizeof(*ranges));
    table->ranges = ranges;
    table->capacity = table->count + lines;
    return OK;
}

enum err geo_table_parse(struct geo_table *table, struct span text, unsigned *line)
{
    struct span entry;
    bool begun = false;
    for (*line = 1; span_cut(&text, '\n', &entry); (*line)++) {
        if (entry.len > 0 && entry.p[entry.len - 1] == '\r')
            entry.len--;
        entry = span_trim(entry);
        if (entry.len == 0 || entry.p[0] == '#')
            continue;
        bool heading = !begun && is_heading(entry);
        begun = true;
        if (heading)
            continue;
        struct geo_range range = { .order = (uint32_t)table->count };
        int number;
        if (!parse_range(&entry, &range) || !parse_country(&entry, &number))
            return ERR_SYNTAX;
        table->unknown += number < 0;
        if (number < 0)
            continue;
        range.country = (uint16_t)number;
        INVARIANT(table->count < table->capacity);
        table->ranges[table->count++] = range;
    }
    *line = 0;
    return OK;
}
