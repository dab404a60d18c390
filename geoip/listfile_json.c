/*
 * Lists in JSON (RFC 8259), read without building a document: an object that names an address
 * is an entry, a string in an array is one, and everything else is passed over.
 */
#include "geoip/listfile_parts.h"

struct scan {
    struct reading *reading;
    const char *p, *end;
    bool barren; /* an object in an array that names no address was seen */
};

enum token { TOKEN_STRING, TOKEN_OBJECT, TOKEN_ARRAY, TOKEN_OTHER };

static bool fail(struct scan *scan, const char *why)
{
    unsigned line = 1;
    for (const char *p = scan->reading->text.p; p < scan->p; p++)
        line += *p == '\n';
    scan->reading->problem->line = line;
    return listfile_fail(scan->reading, ERR_SYNTAX, why);
}

static void skip_space(struct scan *scan)
{
    while (scan->p < scan->end &&
           (*scan->p == ' ' || *scan->p == '\t' || *scan->p == '\n' || *scan->p == '\r'))
        scan->p++;
}

static bool take(struct scan *scan, char c)
{
    skip_space(scan);
    if (scan->p == scan->end || *scan->p != c)
        return false;
    scan->p++;
    return true;
}

/* ---- strings ---- */

static void put_utf8(char *out, size_t *len, unsigned code)
{
    if (code < 0x80) {
        out[(*len)++] = (char)code;
    } else if (code < 0x800) {
        out[(*len)++] = (char)(0xc0 | code >> 6);
        out[(*len)++] = (char)(0x80 | (code & 0x3f));
    } else {
        out[(*len)++] = (char)(0xe0 | code >> 12);
        out[(*len)++] = (char)(0x80 | (code >> 6 & 0x3f));
        out[(*len)++] = (char)(0x80 | (code & 0x3f));
    }
}

/* Four digits behind \u. Halves of a pair come out as U+FFFD each: these are notes, no keys. */
static bool read_code(struct span raw, size_t at, unsigned *code)
{
    *code = 0;
    for (size_t i = at; i < at + 4; i++) {
        int digit = i < raw.len ? hex_value(raw.p[i]) : -1;
        if (digit < 0)
            return false;
        *code = *code << 4 | (unsigned)digit;
    }
    if (*code >= 0xd800 && *code <= 0xdfff)
        *code = 0xfffd;
    return true;
}

static bool unescape(struct scan *scan, struct span raw, struct span *value)
{
    static const char from[] = "\"\\/bfnrt", to[] = "\"\\/\b\f\n\r\t";
    char *out = arena_alloc(scan->reading->arena, raw.len);
    size_t len = 0;
    if (out == NULL)
        return listfile_fail(scan->reading, ERR_MEMORY, "there is no memory for it");
    for (size_t i = 0; i < raw.len; i++) {
        if (raw.p[i] != '\\') {
            out[len++] = raw.p[i];
            continue;
        }
        unsigned code;
        const char *found = memchr(from, raw.p[++i], sizeof(from) - 1);
        if (found != NULL) {
            out[len++] = to[found - from];
        } else if (raw.p[i] == 'u' && read_code(raw, i + 1, &code)) {
            put_utf8(out, &len, code); /* at most three bytes for six */
            i += 4;
        } else {
            return fail(scan, "an escape is not one of JSON");
        }
    }
    *value = span_of(out, len);
    return true;
}

/* Behind the opening quote. */
static bool read_string(struct scan *scan, struct span *value)
{
    const char *start = scan->p;
    bool escaped = false;
    for (; scan->p < scan->end && *scan->p != '"'; scan->p++) {
        if ((unsigned char)*scan->p < 0x20)
            return fail(scan, "a control character stands in a string");
        if (*scan->p == '\\') {
            escaped = true;
            if (++scan->p == scan->end)
                break;
        }
    }
    if (scan->p >= scan->end) {
        scan->p = scan->end;
        return fail(scan, "it ends in a string");
    }
    *value = span_range(start, scan->p++);
    return !escaped || unescape(scan, *value, value);
}

/* ---- values ---- */

static bool read_word(struct scan *scan, struct span *word)
{
    const char *start = scan->p;
    while (scan->p < scan->end &&
           ((*scan->p >= '0' && *scan->p <= '9') || (*scan->p >= 'a' && *scan->p <= 'z') ||
            *scan->p == '-' || *scan->p == '+' || *scan->p == '.' || *scan->p == 'E'))
        scan->p++;
    *word = span_range(start, scan->p);
    if (word->len == 0)
        return fail(scan, "that is not JSON");
    char c = word->p[0];
    if (c != '-' && !(c >= '0' && c <= '9') && !span_equal(*word, SPAN("true")) &&
        !span_equal(*word, SPAN("false")) && !span_equal(*word, SPAN("null")))
        return fail(scan, "that is not JSON");
    return true;
}

static bool read_value(struct scan *scan, unsigned depth, bool in_array, enum token *token,
                       struct span *value);

static bool note(struct scan *scan, struct listfile_said *said, struct span key,
                 enum token token, struct span value)
{
    enum listfile_part part = listfile_part(key);
    if (part == PART_COUNT || token == TOKEN_OBJECT || token == TOKEN_ARRAY)
        return true;
    if (token == TOKEN_OTHER && (part == PART_PREFIX || part == PART_SOURCE))
        return span_equal(value, SPAN("null")) || fail(scan, "an address is not a string");
    if (token == TOKEN_OTHER && (part == PART_REASON || span_equal(value, SPAN("null"))))
        return true;
    if (part == PART_PREFIX && said->parts[part].len > 0)
        return fail(scan, "an object names two addresses");
    if (said->parts[part].len == 0)
        said->parts[part] = value;
    return true;
}

static bool add(struct scan *scan, const struct listfile_said *said)
{
    if (listfile_add(scan->reading, said))
        return true;
    return scan->reading->err == ERR_SYNTAX ? fail(scan, scan->reading->problem->why) : false;
}

static bool read_object(struct scan *scan, unsigned depth, bool in_array)
{
    struct listfile_said said = { 0 };
    bool nested = false;
    if (!take(scan, '}')) {
        do {
            struct span key, value;
            enum token token;
            if (!take(scan, '"'))
                return fail(scan, "a key is missing");
            if (!read_string(scan, &key))
                return false;
            if (!take(scan, ':'))
                return fail(scan, "a colon is missing");
            if (!read_value(scan, depth, false, &token, &value) ||
                !note(scan, &said, key, token, value))
                return false;
            nested = nested || token == TOKEN_OBJECT || token == TOKEN_ARRAY;
        } while (take(scan, ','));
        if (!take(scan, '}'))
            return fail(scan, "an object is not closed");
    }
    if (said.parts[PART_PREFIX].len > 0)
        return add(scan, &said);
    scan->barren = scan->barren || (in_array && !nested);
    return true;
}

static bool read_array(struct scan *scan, unsigned depth)
{
    if (take(scan, ']'))
        return true;
    do {
        struct listfile_said said = { 0 };
        enum token token;
        if (!read_value(scan, depth, true, &token, &said.parts[PART_PREFIX]))
            return false;
        if (token == TOKEN_STRING && !add(scan, &said))
            return false;
    } while (take(scan, ','));
    return take(scan, ']') || fail(scan, "an array is not closed");
}

static bool read_value(struct scan *scan, unsigned depth, bool in_array, enum token *token,
                       struct span *value)
{
    *value = SPAN("");
    if (depth == LISTFILE_DEPTH_MAX)
        return fail(scan, "it is nested too deeply");
    *token = TOKEN_STRING;
    if (take(scan, '"'))
        return read_string(scan, value);
    *token = TOKEN_OBJECT;
    if (take(scan, '{'))
        return read_object(scan, depth + 1, in_array);
    *token = TOKEN_ARRAY;
    if (take(scan, '['))
        return read_array(scan, depth + 1);
    *token = TOKEN_OTHER;
    return read_word(scan, value);
}

/* Several values behind one another are a file with one a line. */
bool listfile_json(struct reading *reading)
{
    struct scan scan = { .reading = reading,
                         .p = reading->text.p,
                         .end = span_end(reading->text) };
    bool one = false;
    for (skip_space(&scan); scan.p < scan.end; skip_space(&scan)) {
        struct span value;
        enum token token;
        if (!read_value(&scan, 0, one, &token, &value))
            return false;
        if (token != TOKEN_OBJECT && token != TOKEN_ARRAY)
            return fail(&scan, "neither an object nor an array");
        one = true;
    }
    if (scan.barren && reading->out->count == 0)
        return fail(&scan, "no object in it names an address");
    return true;
}
