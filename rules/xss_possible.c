/*
 * What cannot be script, decided without libinjection and exactly as it would.
 *
 * libinjection reads a value as HTML in five contexts. It fires on tags, declarations and
 * comments, which begin with `<` and a letter, a NUL or one of `!/?%`; and on the value of an
 * attribute whose name it knows, which stands behind `=`. Without such a `<` it is enough to
 * look at what stands before each `=`: an attribute's name ends there, or at white space before
 * it, and it begins behind a byte that ends names or values, so it is an end of the run of
 * bytes before. Which of the run's bytes it begins with depends on the context; any of them may
 * be the one.
 */
#include "rules/detect.h"

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

static bool ends_with_name(struct span run)
{
    if (!known.last[(uint8_t)span_end(run)[-1]])
        return false;
    for (size_t i = 0; i < known.count; i++) {
        size_t len = known.names[i].len;
        if (run.len >= len &&
            span_equal_nocase(span_sub(run, run.len - len, len), known.names[i]))
            return true;
    }
    return false;
}

/* "on", or the beginning of "xmlns" and "xlink", with as much behind it as they need. */
static bool has_prefix(struct span run)
{
    for (size_t i = 0; i + EVENT_MIN <= run.len; i++) {
        unsigned first = (uint8_t)run.p[i] | 0x20u, second = (uint8_t)run.p[i + 1] | 0x20u;
        if ((first == 'o' && second == 'n') ||
            (first == 'x' && (second == 'm' || second == 'l')))
            return true;
    }
    return false;
}

/* Whether what stands before the `=` at `at` may be an attribute that fires. */
static bool is_telling(const char *begin, const char *at)
{
    while (at > begin && is_white(at[-1]))
        at--;
    const char *from = at;
    while (from > begin && !ends_names(from[-1]))
        from--;
    struct span run = span_range(from, at);
    return run.len >= NAME_MIN && (ends_with_name(run) || has_prefix(run));
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
    if (value.len == 0)
        return false;
    if (has_markup(value))
        return true;
    for (; p < end && (p = memchr(p, '=', (size_t)(end - p))) != NULL; p++) {
        if (!known.ready || is_telling(value.p, p))
            return true;
    }
    return false;
}
