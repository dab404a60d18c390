/*
 * The JSON scanner: a table of states over tokens, with a stack of open objects and arrays.
 * Strings without escapes are spans of the text; names are built in one buffer and copied for
 * each value. Names and keys are in jsonscan_name.c.
 */
#include "gateway/http/jsonscan.h"

#include "gateway/http/chars.h"
#include "gateway/http/jsonscan_name.h"

enum { LEVELS_FIRST = 8 };

enum state {
    WANT_VALUE,
    WANT_FIRST, /* of an array, or its end */
    WANT_KEY,
    WANT_FIRST_KEY, /* of an object, or its end */
    WANT_COLON,
    WANT_NEXT, /* a comma, or the end of what is open */
    IN_STRING,
    UNESCAPING,
    AFTER,
    OVER,
};

static bool fail(struct jsonscan *scan, unsigned findings)
{
    scan->findings |= findings;
    scan->state = OVER;
    return false;
}

/* ---- values and levels ---------------------------------------------------------------------
 */

static struct jsonscan_level *innermost(struct jsonscan *scan)
{
    return scan->depth > 0 ? &scan->levels[scan->depth - 1] : NULL;
}

/* What may follow a value that is complete. A comma at once is the usual thing. */
static inline void value_done(struct jsonscan *scan)
{
    if (scan->depth == 0) {
        scan->state = AFTER;
    } else if (scan->p < scan->stop && *scan->p == ',') {
        scan->p++;
        scan->state = scan->levels[scan->depth - 1].array ? WANT_VALUE : WANT_KEY;
    } else {
        scan->state = WANT_NEXT;
    }
}

static void tell(struct jsonscan *scan, struct span name, struct span value,
                 enum jsonscan_kind kind)
{
    if (scan->count == scan->limits.values) {
        fail(scan, JSONSCAN_OVER_COUNT);
        return;
    }
    scan->count++;
    if (!scan->fn(scan->ctx, name, value, kind))
        fail(scan, JSONSCAN_STOPPED);
}

static void value_take(struct jsonscan *scan, struct span value, enum jsonscan_kind kind)
{
    struct span name;

    if (!jsonscan_name_of_value(scan, innermost(scan), &name)) {
        scan->state = OVER;
        return;
    }
    value_done(scan);
    tell(scan, name, value, kind);
}

static bool levels_grow(struct jsonscan *scan)
{
    unsigned capacity = scan->level_capacity == 0 ? LEVELS_FIRST : scan->level_capacity * 2;
    struct jsonscan_level *levels =
        arena_alloc(scan->arena, capacity * sizeof(struct jsonscan_level));

    if (levels == NULL) {
        scan->err = ERR_MEMORY;
        return fail(scan, 0);
    }
    if (scan->depth > 0)
        memcpy(levels, scan->levels, scan->depth * sizeof(*levels));
    scan->levels = levels;
    scan->level_capacity = capacity;
    return true;
}

static void open_level(struct jsonscan *scan, bool array)
{
    if (scan->depth == scan->limits.depth) {
        fail(scan, JSONSCAN_OVER_DEPTH);
        return;
    }
    if (scan->depth == scan->level_capacity && !levels_grow(scan))
        return;
    struct jsonscan_level *outer = innermost(scan);
    struct jsonscan_level *level = &scan->levels[scan->depth];
    level->element.p = NULL;
    level->key_count = level->index = 0;
    level->array = array;
    level->keyed = outer != NULL && !outer->array;
    level->told = scan->count;
    level->serial = scan->serial++;
    if (!jsonscan_name_open(scan, outer, level)) {
        scan->state = OVER;
        return;
    }
    scan->depth++;
    scan->state = array ? WANT_FIRST : WANT_FIRST_KEY;
}

static void close_level(struct jsonscan *scan, bool array)
{
    struct jsonscan_level *level = innermost(scan);

    if (level->array != array) {
        fail(scan, JSONSCAN_INVALID);
        return;
    }
    scan->depth--;
    value_done(scan);
    /* Nothing below was told, so nobody has seen the key. */
    if (level->keyed && level->told == scan->count) {
        struct span name = arena_copy(scan->arena, span_of(scan->name, level->own_len));
        if (name.p == NULL) {
            scan->err = ERR_MEMORY;
            fail(scan, 0);
            return;
        }
        tell(scan, name, SPAN(""), JSONSCAN_HOLLOW);
    }
    if (scan->depth > 0)
        jsonscan_name_back(scan, innermost(scan));
}

/* ---- strings -------------------------------------------------------------------------------
 */

/* Length of the well-formed sequence at `p`, whose first byte is not ASCII (RFC 3629); or 0. */
static inline size_t utf8_length(const uint8_t *p, size_t left)
{
    uint8_t lead = p[0];

    if (lead < 0xc2 || lead > 0xf4)
        return 0;
    size_t len = lead < 0xe0 ? 2 : lead < 0xf0 ? 3 : 4;
    if (left < len || (p[1] & 0xc0) != 0x80)
        return 0;
    if ((lead == 0xe0 && p[1] < 0xa0) || (lead == 0xed && p[1] > 0x9f) ||
        (lead == 0xf0 && p[1] < 0x90) || (lead == 0xf4 && p[1] > 0x8f))
        return 0;
    if ((len > 2 && (p[2] & 0xc0) != 0x80) || (len > 3 && (p[3] & 0xc0) != 0x80))
        return 0;
    return len;
}

/* First byte that is a quote, a backslash, a control byte or not ASCII; or `end`. */
static inline const char *skip_plain(const char *p, const char *end)
{
#if defined(__SSSE3__)
    while (end - p >= 16) {
        __m128i bytes = load_bytes(p);
        __m128i stop = _mm_or_si128(bytes_equal(bytes, '"'), bytes_equal(bytes, '\\'));
        /* Signed: below space are the control bytes and all that is not ASCII. */
        stop = _mm_or_si128(stop, _mm_cmplt_epi8(bytes, _mm_set1_epi8(' ')));
        unsigned stops = (unsigned)_mm_movemask_epi8(stop);
        if (stops != 0)
            return p + __builtin_ctz(stops);
        p += 16;
    }
#endif
    while (p < end && *p != '"' && *p != '\\' && (uint8_t)*p >= ' ' && (uint8_t)*p < 0x80)
        p++;
    return p;
}

static void string_done(struct jsonscan *scan, struct span string)
{
    if (!scan->in_key) {
        value_take(scan, string, JSONSCAN_STRING);
        return;
    }
    if (!jsonscan_name_key(scan, innermost(scan), string)) {
        scan->state = OVER;
    } else if (scan->p < scan->stop && *scan->p == ':') {
        scan->p++;
        scan->state = WANT_VALUE;
    } else {
        scan->state = WANT_COLON;
    }
}

static void string_begin(struct jsonscan *scan, bool key)
{
    scan->start = ++scan->p;
    scan->in_key = key;
    scan->escaped = false;
    scan->state = IN_STRING;
}

/* The closing quote is at `p`. */
static void string_close(struct jsonscan *scan)
{
    struct span raw = span_range(scan->start, scan->p);

    scan->p++;
    if (!scan->escaped) {
        string_done(scan, raw);
        return;
    }
    scan->out = arena_alloc(scan->arena, raw.len);
    scan->out_len = 0;
    scan->from = raw.p;
    scan->state = UNESCAPING;
    if (scan->out == NULL) {
        scan->err = ERR_MEMORY;
        fail(scan, 0);
    }
}

/* Looks for the closing quote. What stands behind a backslash is judged when unescaped. */
static void string_run(struct jsonscan *scan)
{
    const char *p = scan->p, *end = scan->end;

    for (;;) {
        p = skip_plain(p, scan->stop);
        if (p >= scan->stop || *p == '"')
            break;
        if (*p == '\\') {
            scan->escaped = true;
            p += end - p > 1 ? 2 : 1;
            continue;
        }
        size_t len =
            (uint8_t)*p < 0x80 ? 0 : utf8_length((const uint8_t *)p, (size_t)(end - p));
        if (len == 0) {
            scan->p = p;
            fail(scan, JSONSCAN_INVALID | ((uint8_t)*p < 0x80 ? 0 : JSONSCAN_UTF8));
            return;
        }
        p += len;
    }
    scan->p = p;
    if (p < scan->stop)
        string_close(scan);
    else if (p >= end)
        fail(scan, JSONSCAN_INVALID | JSONSCAN_TRUNCATED);
}

/* Four hexadecimal digits, or -1. */
static int32_t hex4(const char *p, const char *end)
{
    int32_t value = 0;

    if (end - p < 4)
        return -1;
    for (unsigned i = 0; i < 4; i++) {
        int digit = hex_value(p[i]);
        if (digit < 0)
            return -1;
        value = value << 4 | digit;
    }
    return value;
}

static void put_point(struct jsonscan *scan, uint32_t point)
{
    static const uint8_t leads[] = { 0, 0, 0xc0, 0xe0, 0xf0 };
    char *out = scan->out + scan->out_len;
    size_t len = point < 0x80 ? 1 : point < 0x800 ? 2 : point < 0x10000 ? 3 : 4;

    for (size_t i = len - 1; i > 0; i--, point >>= 6)
        out[i] = (char)(0x80 | (point & 0x3f));
    out[0] = (char)(leads[len] | point);
    scan->out_len += len;
}

/* `\u` and its digits at `p`, and a second one of the pair. Answers the bytes taken; 0: bad. */
static size_t unescape_point(struct jsonscan *scan, const char *p, const char *end)
{
    int32_t unit = hex4(p + 2, end);
    uint32_t point = (uint32_t)unit;
    size_t taken = 6;

    if (unit < 0)
        return 0;
    if ((unit & 0xfc00) == 0xd800 && end - p >= 12 && p[6] == '\\' && p[7] == 'u') {
        int32_t low = hex4(p + 8, end);
        if (low >= 0 && (low & 0xfc00) == 0xdc00) {
            point = 0x10000u + (((uint32_t)unit & 0x3ff) << 10) + ((uint32_t)low & 0x3ff);
            taken = 12;
        }
    }
    if ((point & 0xfffff800u) == 0xd800) {
        scan->findings |= JSONSCAN_SURROGATE;
        point = 0xfffd;
    }
    if (point == 0)
        scan->findings |= JSONSCAN_NUL;
    put_point(scan, point);
    return taken;
}

static char simple_escape(char c)
{
    static const char from[] = "\"\\/bfnrt", to[] = "\"\\/\b\f\n\r\t";
    const char *at = c != '\0' ? strchr(from, c) : NULL;

    return at != NULL ? to[at - from] : '\0';
}

/* From `from` to the closing quote, which is before `p`. */
static void unescape_run(struct jsonscan *scan)
{
    const char *end = scan->p - 1, *p = scan->from;
    const char *stop = (size_t)(end - p) > scan->slice ? p + scan->slice : end;

    while (p < stop) {
        if (*p != '\\') {
            const char *next = memchr(p, '\\', (size_t)(stop - p));
            size_t len = (size_t)((next != NULL ? next : stop) - p);
            memcpy(scan->out + scan->out_len, p, len);
            scan->out_len += len;
            p += len;
            continue;
        }
        char simple = end - p > 1 ? simple_escape(p[1]) : '\0';
        size_t taken = simple != '\0'               ? 2
                       : end - p > 1 && p[1] == 'u' ? unescape_point(scan, p, end)
                                                    : 0;
        if (taken == 0) {
            scan->p = p;
            fail(scan, JSONSCAN_INVALID);
            return;
        }
        if (simple != '\0')
            scan->out[scan->out_len++] = simple;
        p += taken;
    }
    scan->from = p;
    if (p >= end)
        string_done(scan, span_of(scan->out, scan->out_len));
}

/* ---- other tokens --------------------------------------------------------------------------
 */

static const char *skip_digits(const char *p, const char *end)
{
    while (p < end && *p >= '0' && *p <= '9')
        p++;
    return p;
}

/* RFC 8259 section 6: no `+`, no leading zero, a digit on both sides of the point. */
static const char *number_end(const char *p, const char *end)
{
    const char *digits;

    p += p < end && *p == '-';
    digits = p;
    p = skip_digits(p, end);
    if (p == digits || (*digits == '0' && p > digits + 1))
        return NULL;
    if (p < end && *p == '.') {
        digits = ++p;
        p = skip_digits(p, end);
        if (p == digits)
            return NULL;
    }
    if (p < end && (*p == 'e' || *p == 'E')) {
        p++;
        p += p < end && (*p == '+' || *p == '-');
        digits = p;
        p = skip_digits(p, end);
        if (p == digits)
            return NULL;
    }
    return p;
}

static void number_read(struct jsonscan *scan)
{
    size_t left = (size_t)(scan->end - scan->p);
    const char *p = scan->p;
    const char *most = left > JSONSCAN_NUMBER_MAX ? p + JSONSCAN_NUMBER_MAX + 1 : scan->end;
    const char *end = number_end(p, most);

    if (end == NULL || end - p > JSONSCAN_NUMBER_MAX) {
        fail(scan, end == NULL ? JSONSCAN_INVALID : JSONSCAN_OVER_NUMBER);
        return;
    }
    scan->p = end;
    value_take(scan, span_range(p, end), JSONSCAN_NUMBER);
}

static void word_read(struct jsonscan *scan, struct span word, enum jsonscan_kind kind)
{
    struct span rest = span_range(scan->p, scan->end);

    if (!span_starts(rest, word)) {
        fail(scan, JSONSCAN_INVALID | (span_starts(word, rest) ? JSONSCAN_TRUNCATED : 0));
        return;
    }
    scan->p += word.len;
    value_take(scan, kind == JSONSCAN_NULL ? SPAN("") : word, kind);
}

static void value_read(struct jsonscan *scan, char c)
{
    if (c == '"') {
        string_begin(scan, false);
    } else if (c == '{' || c == '[') {
        scan->p++;
        open_level(scan, c == '[');
    } else if (c == '-' || (c >= '0' && c <= '9')) {
        number_read(scan);
    } else if (c == 't') {
        word_read(scan, SPAN("true"), JSONSCAN_TRUE);
    } else if (c == 'f') {
        word_read(scan, SPAN("false"), JSONSCAN_FALSE);
    } else if (c == 'n') {
        word_read(scan, SPAN("null"), JSONSCAN_NULL);
    } else {
        fail(scan, JSONSCAN_INVALID);
    }
}

/* Between values: a comma, or the end. */
static void next_read(struct jsonscan *scan, char c)
{
    if (c == ',') {
        scan->p++;
        scan->state = innermost(scan)->array ? WANT_VALUE : WANT_KEY;
    } else if (c == '}' || c == ']') {
        scan->p++;
        close_level(scan, c == ']');
    } else {
        fail(scan, JSONSCAN_INVALID);
    }
}

/* One token that begins with `c`. */
static void token_read(struct jsonscan *scan, char c)
{
    switch ((enum state)scan->state) {
    case WANT_FIRST:
        if (c == ']')
            next_read(scan, c);
        else
            value_read(scan, c);
        break;
    case WANT_VALUE:
        value_read(scan, c);
        break;
    case WANT_FIRST_KEY:
    case WANT_KEY:
        if (c == '"')
            string_begin(scan, true);
        else if (c == '}' && scan->state == WANT_FIRST_KEY)
            next_read(scan, c);
        else
            fail(scan, JSONSCAN_INVALID);
        break;
    case WANT_COLON:
        if (c != ':') {
            fail(scan, JSONSCAN_INVALID);
            break;
        }
        scan->p++;
        scan->state = WANT_VALUE;
        break;
    case WANT_NEXT:
        next_read(scan, c);
        break;
    case AFTER:
        fail(scan, JSONSCAN_INVALID | JSONSCAN_TRAILING);
        break;
    case IN_STRING:
    case UNESCAPING:
    case OVER:
        break;
    }
}

/* ---- entry points --------------------------------------------------------------------------
 */

void jsonscan_begin(struct jsonscan *scan, struct span text,
                    const struct jsonscan_limits *limits, struct arena *arena, jsonscan_fn *fn,
                    void *ctx)
{
    *scan = (struct jsonscan){ .p = text.p,
                               .end = span_end(text),
                               .limits = *limits,
                               .arena = arena,
                               .fn = fn,
                               .ctx = ctx,
                               .state = WANT_VALUE };
    if (span_starts(text, SPAN("\xef\xbb\xbf"))) {
        scan->findings |= JSONSCAN_BOM;
        scan->p += 3;
    }
}

static inline bool is_space(char c)
{
    return c == ' ' || c == '\n' || c == '\r' || c == '\t';
}

bool jsonscan_run(struct jsonscan *scan, size_t bytes)
{
    scan->slice = bytes;
    scan->stop = (size_t)(scan->end - scan->p) > bytes ? scan->p + bytes : scan->end;
    while (scan->state != OVER) {
        if (scan->state == UNESCAPING) {
            unescape_run(scan);
            if (scan->state == UNESCAPING)
                return false;
            continue;
        }
        if (scan->p >= scan->stop && scan->stop < scan->end)
            return false;
        if (scan->state == IN_STRING) {
            string_run(scan);
            continue;
        }
        const char *p = scan->p;
        while (p < scan->stop && is_space(*p))
            p++;
        scan->p = p;
        if (p < scan->stop)
            token_read(scan, *p);
        else if (p >= scan->end)
            fail(scan, scan->state == AFTER ? 0 : JSONSCAN_INVALID | JSONSCAN_TRUNCATED);
    }
    return true;
}

bool jsonscan_failed(const struct jsonscan *scan)
{
    return (scan->findings & JSONSCAN_FATAL) != 0;
}

const char *jsonscan_error(const struct jsonscan *scan)
{
    static const struct {
        unsigned finding;
        const char *text;
    } texts[] = {
        { JSONSCAN_OVER_DEPTH, "JSON depth limit exceeded" },
        { JSONSCAN_OVER_COUNT, "JSON has too many values" },
        { JSONSCAN_OVER_NAME, "JSON has a name that is too long" },
        { JSONSCAN_OVER_NUMBER, "JSON has a number that is too long" },
        { JSONSCAN_STOPPED, "JSON was not read to its end" },
        { JSONSCAN_UTF8, "lexical error: invalid bytes in UTF8 string." },
        { JSONSCAN_TRUNCATED, "parse error: premature EOF" },
        { JSONSCAN_TRAILING, "parse error: trailing garbage" },
        { JSONSCAN_INVALID, "parse error: not JSON" },
    };

    for (size_t i = 0; i < ARRAY_LEN(texts); i++)
        if ((scan->findings & texts[i].finding) != 0)
            return texts[i].text;
    return NULL;
}
