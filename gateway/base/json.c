/* The JSON writer and its one escape. */
#include "gateway/base/json.h"

struct json json_writer(struct text *out)
{
    return (struct json){ .out = out };
}

/* What stands before a value: a comma, unless it is the first here, and the key. */
static void begin(struct json *j, const char *key)
{
    if (j->comma[j->depth])
        text_char(j->out, ',');
    j->comma[j->depth] = true;
    if (key == NULL)
        return;
    text_char(j->out, '"');
    text_add(j->out, span_text(key));
    text_lit(j->out, "\":");
}

static void open_level(struct json *j, const char *key, char bracket)
{
    INVARIANT(j->depth + 1 < JSON_DEPTH_MAX);
    begin(j, key);
    text_char(j->out, bracket);
    j->comma[++j->depth] = false;
}

static void close_level(struct json *j, char bracket)
{
    INVARIANT(j->depth > 0);
    j->depth--;
    text_char(j->out, bracket);
}

void json_begin_object(struct json *j, const char *key)
{
    open_level(j, key, '{');
}

void json_begin_array(struct json *j, const char *key)
{
    open_level(j, key, '[');
}

void json_end_object(struct json *j)
{
    close_level(j, '}');
}

void json_end_array(struct json *j)
{
    close_level(j, ']');
}

static void add_string(struct text *out, struct span value)
{
    text_char(out, '"');
    json_escape(out, value);
    text_char(out, '"');
}

void json_text(struct json *j, const char *key, struct span value)
{
    begin(j, key);
    add_string(j->out, value);
}

void json_uint(struct json *j, const char *key, uint64_t value)
{
    begin(j, key);
    text_uint(j->out, value);
}

void json_int(struct json *j, const char *key, int64_t value)
{
    begin(j, key);
    text_int(j->out, value);
}

void json_bool(struct json *j, const char *key, bool value)
{
    begin(j, key);
    text_add(j->out, value ? SPAN("true") : SPAN("false"));
}

void json_key(struct json *j, struct span key)
{
    begin(j, NULL);
    add_string(j->out, key);
    text_char(j->out, ':');
    j->comma[j->depth] = false; /* the value follows at once */
}

/* The length of the UTF-8 sequence (RFC 3629) at `p` and its code point; 0 if it is not one. */
static unsigned sequence(const unsigned char *p, const unsigned char *end, uint32_t *point)
{
    static const struct {
        unsigned char first, last, second_first, second_last, len;
    } forms[] = {
        { 0xc2, 0xdf, 0x80, 0xbf, 2 }, { 0xe0, 0xe0, 0xa0, 0xbf, 3 },
        { 0xe1, 0xec, 0x80, 0xbf, 3 }, { 0xed, 0xed, 0x80, 0x9f, 3 },
        { 0xee, 0xef, 0x80, 0xbf, 3 }, { 0xf0, 0xf0, 0x90, 0xbf, 4 },
        { 0xf1, 0xf3, 0x80, 0xbf, 4 }, { 0xf4, 0xf4, 0x80, 0x8f, 4 },
    };
    for (size_t i = 0; i < ARRAY_LEN(forms); i++) {
        unsigned len = forms[i].len;
        if (p[0] < forms[i].first || p[0] > forms[i].last)
            continue;
        if ((size_t)(end - p) < len || p[1] < forms[i].second_first ||
            p[1] > forms[i].second_last)
            return 0;
        *point = p[0] & (0x7fu >> len);
        for (unsigned k = 1; k < len; k++) {
            if ((p[k] & 0xc0) != 0x80)
                return 0;
            *point = *point << 6 | (p[k] & 0x3f);
        }
        return len;
    }
    return 0;
}

/*
 * Valid, but not to be shown raw: controls of the terminal (C1), line and paragraph separators,
 * and the invisible and reordering characters by which a log line is made to read as another.
 */
static bool is_hidden(uint32_t point)
{
    static const struct {
        uint32_t first, last;
    } ranges[] = {
        { 0x80, 0x9f },     { 0xad, 0xad },     { 0x61c, 0x61c },   { 0x180e, 0x180e },
        { 0x200b, 0x200f }, { 0x2028, 0x202e }, { 0x2060, 0x206f }, { 0xfeff, 0xfeff },
        { 0xfff9, 0xfffb }, { 0xfffe, 0xffff },
    };
    for (size_t i = 0; i < ARRAY_LEN(ranges); i++)
        if (point >= ranges[i].first && point <= ranges[i].last)
            return true;
    return false;
}

static void add_escaped(struct text *out, uint32_t unit)
{
    static const char digits[] = "0123456789abcdef";
    static const char brief[][2] = { { '"', '"' },  { '\\', '\\' }, { '\n', 'n' },
                                     { '\r', 'r' }, { '\t', 't' },  { '\b', 'b' },
                                     { '\f', 'f' } };
    for (size_t i = 0; i < ARRAY_LEN(brief); i++)
        if (unit == (uint32_t)brief[i][0]) {
            const char pair[2] = { '\\', brief[i][1] };
            text_add(out, span_of(pair, sizeof(pair)));
            return;
        }
    const char escape[6] = { '\\',
                             'u',
                             digits[unit >> 12 & 15],
                             digits[unit >> 8 & 15],
                             digits[unit >> 4 & 15],
                             digits[unit & 15] };
    text_add(out, span_of(escape, sizeof(escape)));
}

static bool is_plain(unsigned char c)
{
    return c >= 0x20 && c < 0x7f && c != '"' && c != '\\';
}

void json_escape(struct text *out, struct span value)
{
    const unsigned char *p = (const unsigned char *)value.p;
    const unsigned char *end = (const unsigned char *)span_end(value);
    const unsigned char *run = p; /* what goes out as it is starts here */

    while (p < end) {
        uint32_t point = 0;
        unsigned len = is_plain(*p) ? 1 : sequence(p, end, &point);
        if (len > 0 && !is_hidden(point)) {
            p += len;
            continue;
        }
        text_add(out, span_range((const char *)run, (const char *)p));
        add_escaped(out, len > 0 ? point : *p);
        p += len > 0 ? len : 1;
        run = p;
    }
    text_add(out, span_range((const char *)run, (const char *)p));
}
