/* Punycode (RFC 3492), written from its section 6; and UTF-8, read strictly. */
#include "gateway/http/idn.h"

#include <locale.h>
#include <wctype.h>

#include "gateway/base/text.h"

enum {
    BASE = 36,
    T_MIN = 1,
    T_MAX = 26,
    SKEW = 38,
    DAMP = 700,
    FIRST_BIAS = 72,
    FIRST_N = 0x80,
    CODE_MAX = 0x10ffff,
};

/* ---- UTF-8 ---- */

/* The next character; 0: what is there is none. */
static uint32_t next_code(struct span *rest)
{
    static const struct {
        uint8_t mask, lead;
        unsigned len;
        uint32_t least;
    } forms[] = {
        { 0x80, 0x00, 1, 0x01 },
        { 0xe0, 0xc0, 2, 0x80 },
        { 0xf0, 0xe0, 3, 0x800 },
        { 0xf8, 0xf0, 4, 0x10000 },
    };
    uint8_t first = (uint8_t)rest->p[0];

    for (size_t f = 0; f < ARRAY_LEN(forms); f++) {
        if ((first & forms[f].mask) != forms[f].lead)
            continue;
        uint32_t code = first & (uint8_t)~forms[f].mask;
        if (rest->len < forms[f].len)
            return 0;
        for (unsigned i = 1; i < forms[f].len; i++) {
            uint8_t byte = (uint8_t)rest->p[i];
            if ((byte & 0xc0) != 0x80)
                return 0;
            code = code << 6 | (byte & 0x3f);
        }
        *rest = span_sub(*rest, forms[f].len, rest->len);
        bool surrogate = code >= 0xd800 && code <= 0xdfff;
        return code >= forms[f].least && code <= CODE_MAX && !surrogate ? code : 0;
    }
    return 0;
}

/* Spaces, marks of direction, joiners and the like; marks that belong to the letter before. */
static bool is_refused(uint32_t code)
{
    static const struct {
        uint32_t from, to;
    } ranges[] = {
        { 0x80, 0xa0 },        { 0xad, 0xad },     { 0x300, 0x36f },   { 0x61c, 0x61c },
        { 0x115f, 0x1160 },    { 0x180b, 0x180f }, { 0x1ab0, 0x1aff }, { 0x1dc0, 0x1dff },
        { 0x2000, 0x206f },    { 0x20d0, 0x20ff }, { 0x3000, 0x3002 }, { 0x3164, 0x3164 },
        { 0xe000, 0xf8ff },    { 0xfe00, 0xfe2f }, { 0xfeff, 0xffef }, { 0xfff0, 0xffff },
        { 0xe0000, CODE_MAX },
    };

    for (size_t i = 0; i < ARRAY_LEN(ranges); i++) {
        if (code >= ranges[i].from && code <= ranges[i].to)
            return true;
    }
    return false;
}

/* ---- Punycode ---- */

struct label {
    uint32_t codes[IDN_LABEL_MAX];
    unsigned count;
};

static unsigned adapt(unsigned delta, unsigned points, bool first)
{
    unsigned k = 0;

    delta = first ? delta / DAMP : delta / 2;
    delta += delta / points;
    for (; delta > (BASE - T_MIN) * T_MAX / 2; k += BASE)
        delta /= BASE - T_MIN;
    return k + (BASE - T_MIN + 1) * delta / (delta + SKEW);
}

static char digit(unsigned value)
{
    return (char)(value < 26 ? 'a' + value : '0' + (value - 26));
}

static void put_number(struct text *out, unsigned value, unsigned bias)
{
    for (unsigned k = BASE;; k += BASE) {
        unsigned t = k <= bias ? T_MIN : k >= bias + T_MAX ? T_MAX : k - bias;
        if (value < t)
            break;
        text_char(out, digit(t + (value - t) % (BASE - t)));
        value = (value - t) / (BASE - t);
    }
    text_char(out, digit(value));
}

static uint32_t least_from(const struct label *label, uint32_t n)
{
    uint32_t least = UINT32_MAX;

    for (unsigned i = 0; i < label->count; i++) {
        if (label->codes[i] >= n && label->codes[i] < least)
            least = label->codes[i];
    }
    return least;
}

/* With 63 characters of 21 bits nothing here overflows 32. */
static void encode(struct text *out, const struct label *label)
{
    unsigned basic = 0, bias = FIRST_BIAS, delta = 0;
    uint32_t n = FIRST_N;

    for (unsigned i = 0; i < label->count; i++) {
        if (label->codes[i] < FIRST_N) {
            text_char(out, (char)label->codes[i]);
            basic++;
        }
    }
    if (basic > 0)
        text_char(out, '-');
    for (unsigned done = basic; done < label->count; delta++, n++) {
        uint32_t next = least_from(label, n);
        delta += (next - n) * (done + 1);
        n = next;
        for (unsigned i = 0; i < label->count; i++) {
            delta += label->codes[i] < n;
            if (label->codes[i] != n)
                continue;
            put_number(out, delta, bias);
            bias = adapt(delta, done + 1, done == basic);
            delta = 0;
            done++;
        }
    }
}

/* ---- names ---- */

static bool is_ascii(struct span text)
{
    for (size_t i = 0; i < text.len; i++) {
        if ((text.p[i] & 0x80) != 0)
            return false;
    }
    return true;
}

static const char *read_label(struct span text, locale_t small, struct label *label)
{
    while (text.len > 0) {
        uint32_t code = next_code(&text);
        if (code == 0)
            return "it is not UTF-8";
        if (is_refused(code))
            return "a character in it may not stand in a name";
        if (label->count == IDN_LABEL_MAX)
            return "a part of it is too long";
        bool capital = code < FIRST_N && code >= 'A' && code <= 'Z';
        if (code >= FIRST_N && small != (locale_t)0)
            code = (uint32_t)towlower_l((wint_t)code, small);
        label->codes[label->count++] = capital ? code | 0x20 : code;
    }
    return NULL;
}

static const char *put_label(struct text *out, struct span text, locale_t small)
{
    struct label label = { .count = 0 };
    size_t from = out->len;

    if (is_ascii(text)) {
        text_add(out, text);
        return NULL;
    }
    const char *why = read_label(text, small, &label);
    if (why != NULL)
        return why;
    text_lit(out, "xn--");
    encode(out, &label);
    return out->len - from > IDN_LABEL_MAX ? "a part of it is too long" : NULL;
}

const char *idn_to_ascii(struct span name, struct arena *arena, struct span *out)
{
    struct text text = text_growing(arena, IDN_NAME_MAX);
    struct span rest = name, label;
    const char *why = NULL;

    *out = name;
    if (is_ascii(name))
        return NULL;
    locale_t small = newlocale(LC_CTYPE_MASK, "C.UTF-8", (locale_t)0);
    for (bool first = true; why == NULL && rest.p != NULL && span_cut(&rest, '.', &label);
         first = false) {
        if (!first)
            text_char(&text, '.');
        why = put_label(&text, label, small);
    }
    if (small != (locale_t)0)
        freelocale(small);
    if (why == NULL && (text.overflow || text.len > IDN_NAME_MAX))
        why = "it is too long";
    *out = text_span(&text);
    return why;
}
