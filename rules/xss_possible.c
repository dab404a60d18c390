/*
 * What cannot be script, decided without libinjection and exactly as it would.
 *
 * libinjection reads a value as HTML in five contexts. It fires on tags, declarations and
 * comments, which begin with `<` and a letter, a NUL or one of `!/?%`; and on the value of an
 * attribute whose name it knows, which stands behind `=`. Without such a `<` it is enough to
 * look at what stands before each `=`: an attribute's name ends there, or at white space before
 * it; and it begins behind a byte that ends names or values, or behind a quote.
 */
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

/* Whether what stands before the `=` at `at` may be an attribute that fires. */
static bool is_telling(const char *begin, const char *at)
{
    while (at > begin && is_white(at[-1]))
        at--;
    const char *from = at;
    for (; from > begin && !ends_names(from[-1]); from--) {
        if (is_quote(from[-1]) && is_known(span_range(from, at)))
            return true;
    }
    return is_known(span_range(from, at));
}

/* Neither of these: most values have none. */
static bool has_signs(struct span value)
{
    const __m128i open = _mm_set1_epi8('<'), equals = _mm_set1_epi8('=');
    __m128i any = _mm_setzero_si128(), bytes;
    for (size_t at = 0; at < value.len; at += sizeof(bytes)) {
        if (value.len < sizeof(bytes))
            bytes = load_few(value);
        else if (value.len - at < sizeof(bytes))
            bytes = load16(value.p + value.len - sizeof(bytes));
        else
            bytes = load16(value.p + at);
        __m128i here = _mm_or_si128(_mm_cmpeq_epi8(bytes, open), _mm_cmpeq_epi8(bytes, equals));
        any = _mm_or_si128(any, here);
    }
    return _mm_movemask_epi8(any) != 0;
}

/* `<` with something behind it that makes markup of it. */
static bool has_markup(struct span value)
{
    const char *p = value.p, *end = span_end(value);
    for (; p < end && (p = memchr(p, '<', (size_t)(end - p))) != NULL; p++) {
        if (p + 1 < end && (((uint8_t)p[1] | 0x20u) - 'a' < 26 || p[1] == '!' || p[1] == '/' ||
                            p[1] == '?' || p[1] == '%' || p[1] == '\0'))
            return true;
    }
    return false;
}

bool xss_possible(struct span value)
{
    const char *p = value.p, *end = span_end(value);
    if (!has_signs(value))
        return false;
    if (has_markup(value))
        return true;
    for (; p < end && (p = memchr(p, '=', (size_t)(end - p))) != NULL; p++) {
        if (!known.ready || is_telling(value.p, p))
            return true;
    }
    return false;
}
