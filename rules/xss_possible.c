/*
 * What cannot be script, decided without libinjection and exactly as it would.
 *
 * libinjection reads a value as HTML in five contexts. It fires on tags, declarations and
 * comments, which begin with `<` and a letter, a NUL or one of `!/?%`; and on the value of an
 * attribute whose name it knows, which stands behind `=`. Without such a `<` it is enough to
 * look at what stands before each `=`: an attribute's name ends there, or at white space before
 * it; and it begins behind a byte that ends names or values, or behind a quote.
 */
#include <tmmintrin.h>

#include "rules/detect.h"
#include "rules/load.h"

enum { NAMES_MIN = 8, NAMES_MAX = 64, NAME_MIN = 2, NAME_MAX = 24, EVENT_MIN = 5 };

/*
 * The names that libinjection knows, in upper case, of the very object that is linked; besides
 * them, what begins with "on", "xmlns" or "xlink" and has five bytes or more. Weak: absent
 * where the object was built in another way.
 */
struct attribute {
    const char *name; /* NULL: the end */
    int type;
};
extern const struct attribute BLACKATTR[] __attribute__((weak));

static struct {
    bool ready;
    struct span names[NAMES_MAX];
    size_t count;
    bool last[256]; /* bytes that a name ends with, in either case */
} known;

void xss_prepare(void)
{
    size_t count = 0;
    if (known.ready || BLACKATTR == NULL)
        return;
    for (; count < NAMES_MAX && BLACKATTR[count].name != NULL; count++) {
        struct span name = span_text(BLACKATTR[count].name);
        if (name.len < NAME_MIN || name.len > NAME_MAX)
            return;
        known.names[count] = name;
        char last = name.p[name.len - 1];
        known.last[(uint8_t)last] = known.last[(uint8_t)ascii_lower(last)] = true;
    }
    known.count = count;
    known.ready = count >= NAMES_MIN && count < NAMES_MAX;
}

/* As libinjection: NUL is white space, too. */
static inline bool is_white(char c)
{
    return c == ' ' || (c >= '\t' && c <= '\r') || c == '\0';
}

static inline bool ends_names(char c)
{
    return is_white(c) || c == '/' || c == '>' || c == '=';
}

/* Whether libinjection knows it: what begins with "on", "xmlns" or "xlink" is taken for known a
 * little earlier. */
static bool is_known(struct span name)
{
    if (name.len < NAME_MIN)
        return false;
    unsigned first = (uint8_t)name.p[0] | 0x20u, second = (uint8_t)name.p[1] | 0x20u;
    if (name.len >= EVENT_MIN &&
        ((first == 'o' && second == 'n') || (first == 'x' && (second == 'm' || second == 'l'))))
        return true;
    if (!known.last[(uint8_t)name.p[name.len - 1]])
        return false;
    for (size_t i = 0; i < known.count; i++) {
        if (span_equal_nocase(name, known.names[i]))
            return true;
    }
    return false;
}

static inline bool is_quote(char c)
{
    return c == '\'' || c == '"' || c == '`';
}

/* Of 16 bytes, those that end names or values, and quotes: by the two halves of a byte. */
static inline unsigned stops_of(__m128i bytes)
{
    enum { R0 = 1, R2 = 2, R3 = 4, R6 = 8 }; /* rows: what begins with that half */
    const __m128i by_high = _mm_setr_epi8(R0, 0, R2, R3, 0, 0, R6, 0, 0, 0, 0, 0, 0, 0, 0, 0);
    const __m128i by_low =
        _mm_setr_epi8(R0 | R2 | R6, 0, R2, 0, 0, 0, 0, R2, 0, R0, R0, R0, R0, R0 | R3, R3, R2);
    const __m128i half = _mm_set1_epi8(0x0f);
    __m128i low = _mm_and_si128(bytes, half);
    __m128i high = _mm_and_si128(_mm_srli_epi16(bytes, 4), half);
    __m128i stops =
        _mm_and_si128(_mm_shuffle_epi8(by_high, high), _mm_shuffle_epi8(by_low, low));
    stops = _mm_cmpeq_epi8(stops, _mm_setzero_si128());
    return ~(unsigned)_mm_movemask_epi8(stops) & 0xffff;
}

/* Where the run of bytes before `at` begins, or the first of them behind a quote. */
static const char *begin_of_name(const char *begin, const char *at)
{
    while (at - begin >= (ptrdiff_t)sizeof(__m128i)) {
        const char *block = at - sizeof(__m128i);
        unsigned stops = stops_of(load16(block));
        if (stops != 0)
            return block + (32 - __builtin_clz(stops));
        at = block;
    }
    while (at > begin && !ends_names(at[-1]) && !is_quote(at[-1]))
        at--;
    return at;
}

/* Whether what stands before the `=` at `at` may be an attribute that fires. */
static bool is_telling(const char *begin, const char *at)
{
    while (at > begin && is_white(at[-1]))
        at--;
    for (const char *from = at;; from--) {
        from = begin_of_name(begin, from);
        if (is_known(span_range(from, at)))
            return true;
        if (from == begin || !is_quote(from[-1]))
            return false;
    }
}

/* `<` with what is behind it is markup. */
static bool is_markup(const char *p, const char *end)
{
    return p + 1 < end && (((uint8_t)p[1] | 0x20u) - 'a' < 26 || p[1] == '!' || p[1] == '/' ||
                           p[1] == '?' || p[1] == '%' || p[1] == '\0');
}

/* A `<` or `=` that may be a part of what fires. */
static bool is_possible(struct span value, const char *p)
{
    if (*p == '<')
        return is_markup(p, span_end(value));
    return !known.ready || is_telling(value.p, p);
}

static inline unsigned signs_of(__m128i bytes)
{
    __m128i open = _mm_cmpeq_epi8(bytes, _mm_set1_epi8('<'));
    __m128i equals = _mm_cmpeq_epi8(bytes, _mm_set1_epi8('='));
    return (unsigned)_mm_movemask_epi8(_mm_or_si128(open, equals));
}

static bool is_block_possible(struct span value, const char *block)
{
    for (unsigned signs = signs_of(load16(block)); signs != 0; signs &= signs - 1) {
        if (is_possible(value, block + __builtin_ctz(signs)))
            return true;
    }
    return false;
}

bool xss_possible(struct span value)
{
    const char *p = value.p, *end = span_end(value);
    if (value.len < sizeof(__m128i)) {
        if (value.len == 0 || signs_of(load_few(value)) == 0)
            return false;
        for (; p < end; p++) {
            if ((*p == '<' || *p == '=') && is_possible(value, p))
                return true;
        }
        return false;
    }
    for (const char *last = end - sizeof(__m128i); p < last; p += sizeof(__m128i)) {
        if (is_block_possible(value, p))
            return true;
    }
    return is_block_possible(value, end - sizeof(__m128i));
}
