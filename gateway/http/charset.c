/* Character sets: what is declared, what the first bytes tell, and UTF-16 and -32 decoded. */
#include "gateway/http/charset.h"

/* ---- declared ------------------------------------------------------------------------------
 */

static const struct {
    struct span name;
    enum charset charset;
} names[] = {
    { SPAN_INIT("utf-8"), CHARSET_ASCII_LIKE },
    { SPAN_INIT("utf8"), CHARSET_ASCII_LIKE },
    { SPAN_INIT("us-ascii"), CHARSET_ASCII_LIKE },
    { SPAN_INIT("ascii"), CHARSET_ASCII_LIKE },
    { SPAN_INIT("iso-8859-1"), CHARSET_ASCII_LIKE },
    { SPAN_INIT("iso-8859-15"), CHARSET_ASCII_LIKE },
    { SPAN_INIT("latin1"), CHARSET_ASCII_LIKE },
    { SPAN_INIT("windows-1252"), CHARSET_ASCII_LIKE },
    { SPAN_INIT("utf-16"), CHARSET_UTF16 },
    { SPAN_INIT("utf-16le"), CHARSET_UTF16LE },
    { SPAN_INIT("utf-16be"), CHARSET_UTF16BE },
    { SPAN_INIT("utf-32"), CHARSET_UTF32 },
    { SPAN_INIT("utf-32le"), CHARSET_UTF32LE },
    { SPAN_INIT("utf-32be"), CHARSET_UTF32BE },
};

static const struct span parameter = SPAN_INIT("charset");

static bool is_blank(char c)
{
    return c == ' ' || (c >= '\t' && c <= '\r');
}

static struct span skip_blanks(struct span s)
{
    while (s.len > 0 && is_blank(s.p[0]))
        s = span_sub(s, 1, s.len);
    return s;
}

/*
 * The value behind the next `charset =`, wherever it stands: a reader that is less careful than
 * the grammar finds it there, too. False: there is none.
 */
static bool next_value(struct span *rest, struct span *value)
{
    while (rest->len >= parameter.len) {
        if (!span_starts_nocase(*rest, parameter)) {
            *rest = span_sub(*rest, 1, rest->len);
            continue;
        }
        *rest = span_sub(*rest, parameter.len, rest->len);
        struct span behind = skip_blanks(*rest);
        /* RFC 2231 `charset*=` and `charset*0=` are a charset to some. */
        if (behind.len > 0 && (behind.p[0] == '=' || behind.p[0] == '*')) {
            *value = skip_blanks(span_sub(behind, 1, behind.len));
            return true;
        }
    }
    return false;
}

static bool value_cut(struct span *value)
{
    if (value->len > 0 && value->p[0] == '"') {
        struct span quoted = span_sub(*value, 1, value->len);
        ssize_t close = span_index(quoted, '"');
        struct span behind =
            close < 0 ? SPAN("") : skip_blanks(span_sub(quoted, (size_t)close + 1, quoted.len));
        *value = close < 0 ? SPAN("") : span_sub(quoted, 0, (size_t)close);
        return close >= 0 && (behind.len == 0 || behind.p[0] == ';');
    }
    struct span rest = *value;
    return span_cut(&rest, ';', value) && (*value = span_trim(*value)).len > 0;
}

enum charset charset_of(struct span content_type)
{
    struct span rest = content_type, value, second;

    if (!next_value(&rest, &value))
        return CHARSET_NONE;
    if (next_value(&rest, &second) || !value_cut(&value))
        return CHARSET_AMBIGUOUS;
    for (size_t i = 0; i < ARRAY_LEN(names); i++)
        if (span_equal_nocase(value, names[i].name))
            return names[i].charset;
    return CHARSET_UNKNOWN;
}

enum charset charset_sniff(struct span body, size_t *mark)
{
    static const struct {
        struct span bytes;
        enum charset charset;
    } marks[] = {
        /* That of UTF-32 begins like that of UTF-16. */
        { SPAN_INIT("\xff\xfe\0\0"), CHARSET_UTF32LE },
        { SPAN_INIT("\0\0\xfe\xff"), CHARSET_UTF32BE },
        { SPAN_INIT("\xff\xfe"), CHARSET_UTF16LE },
        { SPAN_INIT("\xfe\xff"), CHARSET_UTF16BE },
        { SPAN_INIT("\xef\xbb\xbf"), CHARSET_ASCII_LIKE },
    };

    for (size_t i = 0; i < ARRAY_LEN(marks); i++)
        if (span_starts(body, marks[i].bytes)) {
            *mark = marks[i].bytes.len;
            return marks[i].charset;
        }
    *mark = 0;
    return CHARSET_NONE;
}

/* ---- decoded -------------------------------------------------------------------------------
 */

enum { REPLACEMENT = 0xfffd };

static size_t utf8_put(char *out, uint32_t point)
{
    if (point < 0x80) {
        out[0] = (char)point;
        return 1;
    }
    size_t len = point < 0x800 ? 2 : point < 0x10000 ? 3 : 4;
    static const uint8_t leads[] = { 0, 0, 0xc0, 0xe0, 0xf0 };
    for (size_t i = len - 1; i > 0; i--, point >>= 6)
        out[i] = (char)(0x80 | (point & 0x3f));
    out[0] = (char)(leads[len] | point);
    return len;
}

static uint32_t unit_at(const uint8_t *p, unsigned size, bool little)
{
    uint32_t unit = 0;

    for (unsigned i = 0; i < size; i++)
        unit = unit << 8 | p[little ? size - 1 - i : i];
    return unit;
}

static bool is_half(uint32_t point, uint32_t first)
{
    return (point & 0xfffffc00u) == first;
}

static unsigned unit_size(enum charset charset)
{
    bool two =
        charset == CHARSET_UTF16 || charset == CHARSET_UTF16LE || charset == CHARSET_UTF16BE;
    return two ? 2 : 4;
}

static bool is_little(enum charset charset)
{
    return charset == CHARSET_UTF16LE || charset == CHARSET_UTF32LE;
}

void transcode_begin(struct transcode *t, enum charset charset, struct span body,
                     struct arena *arena)
{
    size_t mark, room;
    enum charset marked = charset_sniff(body, &mark);

    *t = (struct transcode){ .rest = body,
                             .size = (uint8_t)unit_size(charset),
                             .little = is_little(charset),
                             .output = SPAN("") };
    if (marked != CHARSET_NONE && mark == t->size) {
        if (charset == CHARSET_UTF16 || charset == CHARSET_UTF32)
            t->little = is_little(marked);
        if (t->little == is_little(marked))
            t->rest = span_sub(body, mark, body.len);
    }
    /* Two bytes make three at most, and four make four; a cut unit makes three. */
    if (__builtin_mul_overflow(t->rest.len / t->size, t->size == 2 ? 3u : 4u, &room) ||
        __builtin_add_overflow(room, 3u, &room)) {
        t->err = ERR_MEMORY;
        return;
    }
    t->out = arena_alloc(arena, room);
    if (t->out == NULL)
        t->err = ERR_MEMORY;
}

/* The next code point; the units it takes are cut off `rest`. */
static uint32_t next_point(struct transcode *t)
{
    const uint8_t *p = (const uint8_t *)t->rest.p;
    unsigned size = t->size, taken = size;
    uint32_t point = unit_at(p, size, t->little);

    if (size == 2 && is_half(point, 0xd800) && t->rest.len >= 4) {
        uint32_t low = unit_at(p + 2, size, t->little);
        if (is_half(low, 0xdc00)) {
            point = 0x10000 + ((point & 0x3ff) << 10) + (low & 0x3ff);
            taken = 4;
        }
    }
    if (is_half(point, 0xd800) || is_half(point, 0xdc00) || point > 0x10ffff) {
        point = REPLACEMENT;
        t->lossy = true;
    }
    t->rest = span_sub(t->rest, taken, t->rest.len);
    return point;
}

bool transcode_run(struct transcode *t, size_t bytes)
{
    size_t left = t->rest.len > bytes ? t->rest.len - bytes : 0;

    if (t->err != OK)
        return true;
    while (t->rest.len > left && t->rest.len >= t->size)
        t->output.len += utf8_put(t->out + t->output.len, next_point(t));
    if (t->rest.len >= t->size)
        return false;
    if (t->rest.len > 0) {
        t->lossy = true;
        t->rest.len = 0;
        t->output.len += utf8_put(t->out + t->output.len, REPLACEMENT);
    }
    t->output.p = t->out;
    return true;
}
