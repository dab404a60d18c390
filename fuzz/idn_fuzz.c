/*
 * Host names as people write them, any bytes. What comes out is ASCII, no longer than a name
 * may be, and stands for what went in: read back (RFC 3492 section 6.2) and written again, it
 * is the same name. ASCII stays as it is.
 */
#include <stdlib.h>

#include "gateway/base/text.h"
#include "gateway/http/idn.h"

enum { BASE = 36, T_MIN = 1, T_MAX = 26, SKEW = 38, DAMP = 700, BIAS = 72, FIRST = 0x80 };

static unsigned adapt(unsigned delta, unsigned points, bool first)
{
    unsigned k = 0;

    delta = (first ? delta / DAMP : delta / 2);
    for (delta += delta / points; delta > (BASE - T_MIN) * T_MAX / 2; k += BASE)
        delta /= BASE - T_MIN;
    return k + (BASE - T_MIN + 1) * delta / (delta + SKEW);
}

static unsigned value_of(char c)
{
    INVARIANT((c >= 'a' && c <= 'z') || (c >= '0' && c <= '9'));
    return c >= 'a' ? (unsigned)(c - 'a') : (unsigned)(c - '0') + 26;
}

/* The characters of what stands behind "xn--". */
static unsigned decode(struct span label, uint32_t codes[IDN_LABEL_MAX])
{
    unsigned count = 0, i = 0, bias = BIAS;
    uint32_t n = FIRST;
    size_t basic = label.len, at = 0;

    while (basic > 0 && label.p[basic - 1] != '-')
        basic--;
    for (; at + 1 < basic; at++)
        codes[count++] = (unsigned char)label.p[at];
    at = basic;
    while (at < label.len) {
        unsigned before = i, weight = 1;
        for (unsigned k = BASE;; k += BASE) {
            INVARIANT(at < label.len);
            unsigned digit = value_of(label.p[at++]);
            i += digit * weight;
            unsigned t = k <= bias ? T_MIN : k >= bias + T_MAX ? T_MAX : k - bias;
            if (digit < t)
                break;
            weight *= BASE - t;
        }
        INVARIANT(count < IDN_LABEL_MAX);
        bias = adapt(i - before, count + 1, before == 0);
        n += i / (count + 1);
        i %= count + 1;
        memmove(codes + i + 1, codes + i, (count - i) * sizeof *codes);
        codes[i++] = n;
        count++;
    }
    return count;
}

static void put_utf8(struct text *out, uint32_t code)
{
    unsigned tail = code < 0x80 ? 0 : code < 0x800 ? 1 : code < 0x10000 ? 2 : 3;
    static const unsigned char lead[] = { 0, 0xc0, 0xe0, 0xf0 };

    text_char(out, (char)(lead[tail] | code >> (6 * tail)));
    while (tail-- > 0)
        text_char(out, (char)(0x80 | ((code >> (6 * tail)) & 0x3f)));
}

/* As it was written, letters small. */
static struct span read_back(struct span name, struct arena *arena)
{
    struct text out = text_growing(arena, 1024);
    struct span rest = name, label;

    for (bool first = true; rest.p != NULL && span_cut(&rest, '.', &label); first = false) {
        uint32_t codes[IDN_LABEL_MAX];
        unsigned count = 0;
        if (!first)
            text_char(&out, '.');
        if (!span_starts(label, SPAN("xn--"))) {
            text_add(&out, label);
            continue;
        }
        count = decode(span_sub(label, 4, label.len), codes);
        for (unsigned i = 0; i < count; i++)
            put_utf8(&out, codes[i]);
    }
    return text_span(&out);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct arena arena;
    struct span out, again, name;
    bool ascii = true;

    arena_init(&arena, NULL, 0, NULL, 1 << 20);
    char *copy = malloc(size > 0 ? size : 1); /* a byte beyond it is noticed */
    INVARIANT(copy != NULL);
    if (size > 0)
        memcpy(copy, data, size);
    name = span_of(copy, size);
    for (size_t i = 0; i < size; i++)
        ascii &= data[i] < 0x80;

    const char *why = idn_to_ascii(name, &arena, &out);
    if (ascii) {
        INVARIANT(why == NULL && span_equal(out, name));
    } else if (why == NULL) {
        INVARIANT(out.len <= IDN_NAME_MAX);
        for (size_t i = 0; i < out.len; i++)
            INVARIANT((out.p[i] & 0x80) == 0);
        /* Labels that said "xn--" themselves are taken as they are, whatever they stand for. */
        if (span_find(name, SPAN("xn--")) < 0) {
            struct span back = read_back(out, &arena);
            INVARIANT(idn_to_ascii(back, &arena, &again) == NULL && span_equal(again, out));
        }
    }
    arena_reset(&arena);
    free(copy);
    return 0;
}
