/*
 * What transformations are made of.
 *
 * Most are a step function driven over the value: it looks at the bytes at `p`, and either
 * writes what they stand for and answers how many it took, or answers 0 and the driver copies
 * one byte. A step never writes more bytes than it takes, so the output fits in the room of the
 * input, and every step that takes something changes the value.
 */
#ifndef SALLYPORT_RULES_DRIVE_H
#define SALLYPORT_RULES_DRIVE_H

#include "gateway/base/span.h"

/* Bytes taken from `p` (never past `end`), 0 for "copy one". Writes at `*out` and moves it. */
typedef size_t step_fn(const char *p, const char *end, char **out);

static inline struct span drive(struct span in, char *room, step_fn *step)
{
    const char *p = in.p, *end = span_end(in);
    char *out = room;
    bool changed = false;
    while (p < end) {
        size_t taken = step(p, end, &out);
        changed |= taken != 0;
        if (taken == 0)
            *out++ = *p++;
        else
            p += taken;
    }
    return changed ? span_range(room, out) : in;
}

/* The same where only `trigger` can begin a step: what is between is copied at once. */
static inline struct span drive_from(struct span in, char *room, char trigger, step_fn *step)
{
    const char *p = in.p, *end = span_end(in);
    char *out = room;
    bool changed = false;
    while (p < end) {
        const char *at = memchr(p, trigger, (size_t)(end - p));
        size_t plain = (size_t)((at != NULL ? at : end) - p);
        if (plain > 0) {
            memcpy(out, p, plain);
            out += plain;
            p += plain;
            continue;
        }
        size_t taken = step(p, end, &out);
        changed |= taken != 0;
        if (taken == 0)
            *out++ = *p++;
        else
            p += taken;
    }
    return changed ? span_range(room, out) : in;
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
