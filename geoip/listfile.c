/* Entries, expiries, the plain format, and which format a file is in. */
#include "geoip/listfile.h"

#include <time.h>

#include "geoip/listfile_parts.h"

/* ---- expiry ---- */

/* Nanoseconds of each unit of a Go duration; longer names before their beginnings. */
static const struct unit {
    struct span name;
    uint64_t ns;
} units[] = {
    { SPAN_INIT("ns"), 1 },           { SPAN_INIT("us"), 1000 },
    { SPAN_INIT("\xc2\xb5s"), 1000 }, { SPAN_INIT("\xce\xbcs"), 1000 },
    { SPAN_INIT("ms"), 1000000 },     { SPAN_INIT("h"), 3600000000000u },
    { SPAN_INIT("m"), 60000000000u }, { SPAN_INIT("s"), 1000000000u },
};

static bool digit(char c)
{
    return c >= '0' && c <= '9';
}

/* 3h20m1.5s; the fraction is below what matters here. Sticks at UINT64_MAX. */
static bool duration_s(struct span text, uint64_t *seconds)
{
    uint64_t total = 0;
    if (text.len == 0)
        return false;
    while (text.len > 0) {
        uint64_t number = 0, part;
        size_t i = 0, k = 0;
        for (; i < text.len && digit(text.p[i]); i++)
            if (__builtin_mul_overflow(number, 10, &number) ||
                __builtin_add_overflow(number, (uint64_t)(text.p[i] - '0'), &number))
                number = UINT64_MAX / 16;
        size_t digits = i;
        if (i < text.len && text.p[i] == '.')
            for (i++; i < text.len && digit(text.p[i]); i++)
                digits++;
        text = span_sub(text, i, text.len);
        while (k < ARRAY_LEN(units) && !span_starts(text, units[k].name))
            k++;
        if (digits == 0 || k == ARRAY_LEN(units))
            return false;
        text = span_sub(text, units[k].name.len, text.len);
        if (__builtin_mul_overflow(number, units[k].ns, &part) ||
            __builtin_add_overflow(total, part, &total))
            total = UINT64_MAX;
    }
    *seconds = total / 1000000000u;
    return true;
}

/* Two digits, or four, at a place of the text. */
static bool number_at(struct span text, size_t at, size_t len, int *value)
{
    uint64_t number;
    if (at + len > text.len || !span_uint(span_sub(text, at, len), &number))
        return false;
    *value = (int)number;
    return true;
}

/* The offset behind a time: nothing, Z, or +hh:mm. */
static bool zone_s(struct span text, int *offset)
{
    int hours, minutes;
    *offset = 0;
    if (text.len == 0 || span_equal(text, SPAN("Z")) || span_equal(text, SPAN("z")))
        return true;
    if (text.len != 6 || (text.p[0] != '+' && text.p[0] != '-') || text.p[3] != ':' ||
        !number_at(text, 1, 2, &hours) || !number_at(text, 4, 2, &minutes) || hours > 23 ||
        minutes > 59)
        return false;
    *offset = (hours * 60 + minutes) * (text.p[0] == '-' ? -60 : 60);
    return true;
}

/* RFC 3339, with the time left out or not. */
static bool date_s(struct span text, int64_t *seconds)
{
    struct tm tm = { .tm_isdst = 0 };
    int offset = 0;
    if (text.len < 10 || text.p[4] != '-' || text.p[7] != '-' ||
        !number_at(text, 0, 4, &tm.tm_year) || !number_at(text, 5, 2, &tm.tm_mon) ||
        !number_at(text, 8, 2, &tm.tm_mday) || tm.tm_mon < 1 || tm.tm_mon > 12 ||
        tm.tm_mday < 1 || tm.tm_mday > 31)
        return false;
    if (text.len > 10) {
        if (text.len < 19 || (text.p[10] != 'T' && text.p[10] != 't' && text.p[10] != ' ') ||
            text.p[13] != ':' || text.p[16] != ':' || !number_at(text, 11, 2, &tm.tm_hour) ||
            !number_at(text, 14, 2, &tm.tm_min) || !number_at(text, 17, 2, &tm.tm_sec) ||
            tm.tm_hour > 23 || tm.tm_min > 59 || tm.tm_sec > 60)
            return false;
        size_t i = 19;
        if (i < text.len && text.p[i] == '.')
            for (i++; i < text.len && digit(text.p[i]);)
                i++;
        if (!zone_s(span_sub(text, i, text.len), &offset))
            return false;
    }
    tm.tm_year -= 1900;
    tm.tm_mon -= 1;
    *seconds = (int64_t)timegm(&tm) - offset;
    return true;
}

bool listfile_expiry(struct span text, uint32_t now_s, uint32_t *expires_s)
{
    uint64_t seconds;
    int64_t date;
    bool past = span_starts(text, SPAN("-"));
    if (span_uint(text, &seconds)) {
        *expires_s = seconds < UINT32_MAX ? (uint32_t)seconds : UINT32_MAX;
        /* 0 would be never, and is 1970 here. */
        *expires_s += *expires_s == 0;
        return true;
    }
    if (date_s(text, &date)) {
        *expires_s = date < 1 ? 1 : date < UINT32_MAX ? (uint32_t)date : UINT32_MAX;
        return true;
    }
    if (!duration_s(past ? span_sub(text, 1, text.len) : text, &seconds))
        return false;
    if (past)
        *expires_s = seconds < now_s ? now_s - (uint32_t)seconds : 1;
    else
        *expires_s = seconds < UINT32_MAX - now_s ? now_s + (uint32_t)seconds : UINT32_MAX;
    return true;
}

/* ---- entries ---- */

static const struct {
    struct span name;
    enum listfile_part part;
} names[] = {
    { SPAN_INIT("prefix"), PART_PREFIX },      { SPAN_INIT("ip"), PART_PREFIX },
    { SPAN_INIT("cidr"), PART_PREFIX },        { SPAN_INIT("address"), PART_PREFIX },
    { SPAN_INIT("ip_address"), PART_PREFIX },  { SPAN_INIT("network"), PART_PREFIX },
    { SPAN_INIT("range"), PART_PREFIX },       { SPAN_INIT("value"), PART_PREFIX },
    { SPAN_INIT("ip_prefix"), PART_PREFIX },   { SPAN_INIT("ipv6_prefix"), PART_PREFIX },
    { SPAN_INIT("ipv4prefix"), PART_PREFIX },  { SPAN_INIT("ipv6prefix"), PART_PREFIX },
    { SPAN_INIT("reason"), PART_REASON },      { SPAN_INIT("comment"), PART_REASON },
    { SPAN_INIT("description"), PART_REASON }, { SPAN_INIT("scenario"), PART_REASON },
    { SPAN_INIT("category"), PART_REASON },    { SPAN_INIT("sblid"), PART_REASON },
    { SPAN_INIT("source"), PART_SOURCE },      { SPAN_INIT("origin"), PART_SOURCE },
    { SPAN_INIT("feed"), PART_SOURCE },        { SPAN_INIT("expires"), PART_EXPIRES },
    { SPAN_INIT("expiry"), PART_EXPIRES },     { SPAN_INIT("expires_at"), PART_EXPIRES },
    { SPAN_INIT("until"), PART_EXPIRES },      { SPAN_INIT("valid_until"), PART_EXPIRES },
    { SPAN_INIT("expiration"), PART_EXPIRES }, { SPAN_INIT("duration"), PART_EXPIRES },
};

enum listfile_part listfile_part(struct span name)
{
    for (size_t i = 0; i < ARRAY_LEN(names); i++)
        if (span_equal_nocase(name, names[i].name))
            return names[i].part;
    return PART_COUNT;
}

bool listfile_fail(struct reading *reading, enum err err, const char *why)
{
    reading->err = err;
    reading->problem->why = why;
    return false;
}

bool listfile_add(struct reading *reading, const struct listfile_said *said)
{
    const struct listfile_how *how = reading->how;
    struct span expires = said->parts[PART_EXPIRES];
    if (reading->out->count >= reading->room)
        return listfile_fail(reading, ERR_LIMIT, "it has too many entries");
    struct addrlist_entry *entry = &reading->out->items[reading->out->count];
    *entry = (struct addrlist_entry){ .source = how->source,
                                      .reason = how->reason,
                                      .expires_s = how->expires_s };
    if (!cidr_parse(said->parts[PART_PREFIX], true, &entry->cidr))
        return listfile_fail(reading, ERR_SYNTAX, "that is no address and no prefix");
    if (expires.len > 0 && !listfile_expiry(expires, how->now_s, &entry->expires_s))
        return listfile_fail(reading, ERR_SYNTAX, "its expiry is no time and no duration");
    if (said->parts[PART_SOURCE].len > 0)
        entry->source = said->parts[PART_SOURCE];
    if (said->parts[PART_REASON].len > 0)
        entry->reason = said->parts[PART_REASON];
    reading->out->count++;
    return true;
}

/* ---- plain ---- */

static struct span without_return(struct span line)
{
    if (line.len > 0 && line.p[line.len - 1] == '\r')
        line.len--;
    return line;
}

/* Cuts what stands behind the first comment mark off, for a reason. */
static void cut_comment(struct span *line, struct span *comment)
{
    for (size_t i = 0; i < line->len; i++) {
        if (line->p[i] != '#' && line->p[i] != ';')
            continue;
        *comment = span_trim(span_sub(*line, i + 1, line->len));
        line->len = i;
        return;
    }
}

static bool read_plain(struct reading *reading)
{
    struct span rest = reading->text, line;
    while (span_cut(&rest, '\n', &line)) {
        struct listfile_said said = { 0 };
        reading->problem->line++;
        line = without_return(line);
        cut_comment(&line, &said.parts[PART_REASON]);
        said.parts[PART_PREFIX] = span_trim(line);
        if (said.parts[PART_PREFIX].len > 0 && !listfile_add(reading, &said))
            return false;
    }
    return true;
}

/* ---- the whole ---- */

/* By the first line that says something: JSON begins with a bracket, and a comma outside of
 * comments is CSV. */
static enum listfile_format guess(struct span text)
{
    struct span line, comment;
    while (span_cut(&text, '\n', &line)) {
        cut_comment(&line, &comment);
        line = span_trim(without_return(line));
        if (line.len == 0)
            continue;
        if (line.p[0] == '{' || line.p[0] == '[')
            return LISTFILE_JSON;
        return span_index(line, ',') >= 0 ? LISTFILE_CSV : LISTFILE_PLAIN;
    }
    return LISTFILE_PLAIN;
}

/* No more entries than this: one a line, or one a string. */
static size_t entries_at_most(struct span text, char mark)
{
    size_t count = 1;
    const char *p = text.p, *end = span_end(text);
    while (p != NULL && p < end && (p = memchr(p, mark, (size_t)(end - p))) != NULL) {
        count++;
        p++;
    }
    return count < ADDRLIST_ENTRIES_MAX ? count : ADDRLIST_ENTRIES_MAX;
}

enum err listfile_read(struct span text, const struct listfile_how *how, struct arena *arena,
                       struct addrlist_entries *out, struct listfile_problem *problem)
{
    static bool (*const readers[])(struct reading *) = {
        [LISTFILE_PLAIN] = read_plain,
        [LISTFILE_CSV] = listfile_csv,
        [LISTFILE_JSON] = listfile_json,
    };
    *problem = (struct listfile_problem){ .why = NULL };
    *out = (struct addrlist_entries){ .count = 0 };
    if (text.len > LISTFILE_BYTES_MAX) {
        problem->why = "it is too long";
        return ERR_LIMIT;
    }
    if (span_starts(text, SPAN("\xef\xbb\xbf")))
        text = span_sub(text, 3, text.len);
    enum listfile_format format = how->format != LISTFILE_AUTO ? how->format : guess(text);
    struct reading reading = { .text = text,
                               .how = how,
                               .arena = arena,
                               .out = out,
                               .problem = problem,
                               .room = entries_at_most(text,
                                                       format == LISTFILE_JSON ? '"' : '\n') };
    out->items = arena_alloc(arena, reading.room * sizeof(*out->items));
    if (out->items == NULL) {
        problem->why = "there is no memory for it";
        return ERR_MEMORY;
    }
    if (readers[format](&reading)) {
        problem->line = 0;
        return OK;
    }
    out->count = 0;
    return reading.err;
}
