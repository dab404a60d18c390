/*
 * A pointer and a length: how all input is held. A span never owns and is never NUL-terminated.
 * An empty span may have a NULL pointer. Comparison without case folds ASCII only.
 */
#ifndef SALLYPORT_SPAN_H
#define SALLYPORT_SPAN_H

#include <string.h>

#include "gateway/base/base.h"

struct span {
    const char *p;
    size_t len;
};

#define SPAN(literal) ((struct span){ "" literal, sizeof(literal) - 1 })
#define SPAN_INIT(literal)                                                                     \
    {                                                                                          \
        "" literal, sizeof(literal) - 1                                                        \
    } /* for static tables */

static inline struct span span_of(const char *p, size_t len)
{
    return (struct span){ p, len };
}

static inline struct span span_range(const char *p, const char *end)
{
    return (struct span){ p, (size_t)(end - p) };
}

static inline struct span span_text(const char *text)
{
    return (struct span){ text, text != NULL ? strlen(text) : 0 };
}

static inline const char *span_end(struct span s)
{
    return s.len == 0 ? s.p : s.p + s.len; /* no arithmetic on NULL */
}

static inline bool span_equal(struct span a, struct span b)
{
    return a.len == b.len && (a.len == 0 || memcmp(a.p, b.p, a.len) == 0);
}

/* Part of `s` from `from`, at most `len` bytes; clamped to `s`. */
struct span span_sub(struct span s, size_t from, size_t len);

bool span_equal_nocase(struct span a, struct span b);
bool span_starts(struct span s, struct span prefix);
bool span_starts_nocase(struct span s, struct span prefix);
bool span_ends(struct span s, struct span suffix);
int span_compare(struct span a, struct span b); /* as memcmp, then by length */

/* Index of the first occurrence, or -1. */
ssize_t span_index(struct span s, char c);
ssize_t span_find(struct span s, struct span needle);

/* Without the bytes of RFC 9110 OWS (space, tab) at both ends. */
struct span span_trim(struct span s);

/*
 * Cuts `*rest` at the first `separator`: the part before goes to `*part`, the part after stays
 * in `*rest`. The last part is all that is left. False when `rest->p` is NULL, which is how it
 * stands after the last part.
 */
bool span_cut(struct span *rest, char separator, struct span *part);

/* The whole span as an unsigned decimal: digits only, at least one, no overflow. */
MUST_USE bool span_uint(struct span s, uint64_t *value);

static inline char ascii_lower(char c)
{
    return c >= 'A' && c <= 'Z' ? (char)(c + 32) : c;
}

/* Value of a hexadecimal digit, or -1. Inline: escapes are all that some values have. */
static inline int hex_value(char c)
{
    unsigned digit = (uint8_t)c - (unsigned)'0', letter = ((uint8_t)c | 0x20u) - 'a';
    return digit < 10 ? (int)digit : letter < 6 ? (int)letter + 10 : -1;
}

#endif
