/*
 * What transformations are made of.
 *
 * Most are a step function driven over the value: it looks at the bytes at `p`, and either
 * writes what they stand for and answers how many it took, or answers 0 and the byte stays. A
 * step never writes more bytes than it takes, so the output fits in the room of the input, and
 * every step that takes something changes the value.
 */
#ifndef SALLYPORT_RULES_DRIVE_H
#define SALLYPORT_RULES_DRIVE_H

#include "gateway/base/span.h"

/* Bytes taken from `p` (never past `end`), 0: the byte stays. Writes at `*out` and moves it. */
typedef size_t step_fn(const char *p, const char *end, char **out);

/* Runs are short where there is much to change: a call of memcpy would cost more than they do.
 */
static inline char *copy_run(char *out, const char *from, const char *to)
{
    size_t len = (size_t)(to - from);
    if (len >= 16) {
        memcpy(out, from, len);
        return out + len;
    }
    while (from < to)
        *out++ = *from++;
    return out;
}

/* Where the next step may begin, from `p` on, which is before `end`. NULL: nowhere. */
typedef const char *find_fn(const char *p, const char *end, char trigger);

/* A run of bytes that stay is copied at once, when a step behind it takes something. */
static inline struct span drive_where(struct span in, char *room, find_fn *find, char trigger,
                                      step_fn *step)
{
    const char *p = in.p, *end = span_end(in), *run = p;
    char *out = room;
    while (p < end && (p = find(p, end, trigger)) != NULL) {
        char *behind = out + (p - run); /* the step writes there, before the run is copied */
        size_t taken = step(p, end, &behind);
        if (taken == 0) {
            p++;
            continue;
        }
        (void)copy_run(out, run, p);
        out = behind;
        run = p += taken;
    }
    if (run == in.p)
        return in;
    return span_range(room, copy_run(out, run, end));
}

static inline const char *find_any(const char *p, const char *end, char trigger)
{
    (void)end, (void)trigger;
    return p;
}

static inline const char *find_one(const char *p, const char *end, char trigger)
{
    return memchr(p, trigger, (size_t)(end - p));
}

/* Any byte can begin a step. */
static inline struct span drive(struct span in, char *room, step_fn *step)
{
    return drive_where(in, room, find_any, 0, step);
}

/* Only `trigger` can. */
static inline struct span drive_from(struct span in, char *room, char trigger, step_fn *step)
{
    return drive_where(in, room, find_one, trigger, step);
}

/* What was made, or `in` where that is the same. */
static inline struct span made(struct span in, const char *room, const char *out)
{
    struct span result = span_range(room, out);
    return span_equal(result, in) ? in : result;
}

/* `digits` hexadecimal digits at `p`; -1 when there are fewer. */
static inline int32_t fixed_hex(const char *p, const char *end, int digits)
{
    int32_t value = 0;
    if (end - p < digits)
        return -1;
    for (int i = 0; i < digits; i++) {
        int digit = hex_value(p[i]);
        if (digit < 0)
            return -1;
        value = value << 4 | digit;
    }
    return value;
}

/* The byte that mod_security2 makes of a code unit: the low one; full-width forms (U+FF01 to
 * U+FF5E) as their ASCII. */
static inline char low_byte(int32_t point)
{
    if (point >= 0xff01 && point <= 0xff5e)
        point += 0x20;
    return (char)(point & 0xff);
}

/* White space of C's "C" locale. */
static inline bool is_white(char c)
{
    return c == ' ' || (c >= '\t' && c <= '\r');
}

#endif
