/* Tokens of JSON: see jsonread.h. */
#include "geoip/jsonread.h"

void jsonread_begin(struct jsonread *in, struct span text, struct arena *arena)
{
    *in = (struct jsonread){ .text = text, .p = text.p, .arena = arena };
}

bool jsonread_fail(struct jsonread *in, enum err err, const char *why)
{
    in->err = err;
    in->why = why;
    return false;
}

static bool bad(struct jsonread *in, const char *why)
{
    return jsonread_fail(in, ERR_SYNTAX, why);
}

unsigned jsonread_line(const struct jsonread *in)
{
    unsigned line = 1;
    for (const char *p = in->text.p; p < in->p; p++)
        line += *p == '\n';
    return line;
}

bool jsonread_at_end(struct jsonread *in)
{
    const char *end = span_end(in->text);
    while (in->p < end && (*in->p == ' ' || *in->p == '\t' || *in->p == '\n' || *in->p == '\r'))
        in->p++;
    return in->p == end;
}

bool jsonread_take(struct jsonread *in, char c)
{
    if (jsonread_at_end(in) || *in->p != c)
        return false;
    in->p++;
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

static bool unescape(struct jsonread *in, struct span raw, struct span *value)
{
    static const char from[] = "\"\\/bfnrt", to[] = "\"\\/\b\f\n\r\t";
    char *out = arena_alloc(in->arena, raw.len);
    size_t len = 0;
    if (out == NULL)
        return jsonread_fail(in, ERR_MEMORY, "there is no memory for it");
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
            return bad(in, "an escape is not one of JSON");
        }
    }
    *value = span_of(out, len);
    return true;
}

/* Behind the opening quote. */
static bool read_string(struct jsonread *in, struct span *value)
{
    const char *start = in->p, *end = span_end(in->text);
    bool escaped = false;
    for (; in->p < end && *in->p != '"'; in->p++) {
        if ((unsigned char)*in->p < 0x20)
            return bad(in, "a control character stands in a string");
        if (*in->p == '\\') {
            escaped = true;
            if (++in->p == end)
                break;
        }
    }
    if (in->p >= end) {
        in->p = end;
        return bad(in, "it ends in a string");
    }
    *value = span_range(start, in->p++);
    return !escaped || unescape(in, *value, value);
}

/* ---- values ---- */

static bool read_word(struct jsonread *in, struct span *word)
{
    const char *start = in->p, *end = span_end(in->text);
    while (in->p < end &&
           ((*in->p >= '0' && *in->p <= '9') || (*in->p >= 'a' && *in->p <= 'z') ||
            *in->p == '-' || *in->p == '+' || *in->p == '.' || *in->p == 'E'))
        in->p++;
    *word = span_range(start, in->p);
    if (word->len == 0)
        return bad(in, "that is not JSON");
    char c = word->p[0];
    if (c != '-' && !(c >= '0' && c <= '9') && !span_equal(*word, SPAN("true")) &&
        !span_equal(*word, SPAN("false")) && !span_equal(*word, SPAN("null")))
        return bad(in, "that is not JSON");
    return true;
}

bool jsonread_next(struct jsonread *in, enum jsonread_token *token, struct span *value)
{
    *value = SPAN("");
    *token = JSONREAD_STRING;
    if (jsonread_take(in, '"'))
        return read_string(in, value);
    *token = JSONREAD_OBJECT;
    if (jsonread_take(in, '{'))
        return true;
    *token = JSONREAD_ARRAY;
    if (jsonread_take(in, '['))
        return true;
    *token = JSONREAD_WORD;
    return read_word(in, value);
}

bool jsonread_key(struct jsonread *in, struct span *key)
{
    if (!jsonread_take(in, '"'))
        return bad(in, "a key is missing");
    return read_string(in, key) && (jsonread_take(in, ':') || bad(in, "a colon is missing"));
}

bool jsonread_skip(struct jsonread *in, enum jsonread_token token, unsigned depth)
{
    bool object = token == JSONREAD_OBJECT;
    enum jsonread_token inner;
    struct span ignored;
    if (token != JSONREAD_OBJECT && token != JSONREAD_ARRAY)
        return true;
    if (depth == 0)
        return bad(in, "it is nested too deeply");
    if (jsonread_take(in, object ? '}' : ']'))
        return true;
    do {
        if ((object && !jsonread_key(in, &ignored)) || !jsonread_next(in, &inner, &ignored) ||
            !jsonread_skip(in, inner, depth - 1))
            return false;
    } while (jsonread_take(in, ','));
    return jsonread_take(in, object ? '}' : ']') ||
           bad(in, object ? "an object is not closed" : "an array is not closed");
}
