/*
 * Append-only text. Over a fixed buffer or growing in an arena. Overflow is sticky: once set,
 * nothing more is added, and the writer checks once at the end.
 */
#ifndef SALLYPORT_TEXT_H
#define SALLYPORT_TEXT_H

#include "gateway/base/arena.h"

struct text {
    char *p;
    size_t len, size;
    struct arena *arena; /* NULL: fixed */
    bool overflow;
};

struct text text_fixed(void *buffer, size_t size);
struct text text_growing(struct arena *arena, size_t first_size);

MUST_USE bool text_reserve_slow(struct text *t, size_t more);

/* True when `more` bytes fit; the caller may then write at t->p + t->len. */
static inline bool text_reserve(struct text *t, size_t more)
{
    if (__builtin_expect(more <= t->size - t->len && !t->overflow, 1))
        return true;
    return text_reserve_slow(t, more);
}

static inline void text_add(struct text *t, struct span s)
{
    if (s.len == 0 || !text_reserve(t, s.len))
        return;
    memcpy(t->p + t->len, s.p, s.len);
    t->len += s.len;
}

#define text_lit(t, literal) text_add((t), SPAN(literal))

static inline void text_char(struct text *t, char c)
{
    if (!text_reserve(t, 1))
        return;
    t->p[t->len++] = c;
}

void text_uint(struct text *t, uint64_t value);
void text_int(struct text *t, int64_t value);
void text_hex(struct text *t, const void *bytes, size_t len); /* lower case */
void text_lower(struct text *t, struct span s);               /* ASCII folded */
/* printf for our own constant formats only: no client byte goes through it. */
void text_format(struct text *t, const char *format, ...) __attribute__((format(printf, 2, 3)));

static inline struct span text_span(const struct text *t)
{
    return span_of(t->p, t->len);
}

/* The text with a NUL behind it, which is not counted; NULL on overflow. */
const char *text_cstring(struct text *t);

#endif
