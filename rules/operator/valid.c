/*
 * Operators that match what is not well formed: bytes out of a range, broken percent-escapes,
 * broken UTF-8.
 */
#include "rules/operator/valid.h"

#include "gateway/http/escapes.h"
#include "rules/operator/rows.h"
#include "rules/transform.h"

/* ---- validateByteRange ----------------------------------------------------------------------
 */

/* Decimal, 0 to 255, with white space around it. */
static bool read_byte(struct span text, unsigned *byte)
{
    uint64_t number;
    if (!span_uint(span_trim(text), &number) || number > 255)
        return false;
    *byte = (unsigned)number;
    return true;
}

static bool read_range(struct span text, struct byte_set *set)
{
    struct span rest = text, from;
    unsigned first, last;
    if (!span_cut(&rest, '-', &from) || !read_byte(from, &first))
        return false;
    last = first;
    if (rest.p != NULL && !read_byte(rest, &last))
        return false;
    for (unsigned i = first; i <= last; i++)
        byte_set_add(set, i);
    return first <= last;
}

/*
 * "32-126,9": mod_security2 reads anything else as 0 and so lets NUL through; here it is an
 * error. Nothing at all allows no byte.
 */
bool compile_byte_range(const struct operator_source *source, const void **prepared)
{
    struct byte_set *set = arena_new(source->arena, struct byte_set);
    if (set == NULL) {
        text_lit(source->why, "out of memory");
        return false;
    }
    struct span rest = source->argument, part;
    while (source->argument.len > 0 && span_cut(&rest, ',', &part)) {
        if (part.len > 0 && !read_range(part, set)) {
            text_format(source->why, "\"%.*s\" is no byte (0 to 255) and no range of bytes",
                        (int)span_sub(part, 0, 40).len, part.p);
            return false;
        }
    }
    *prepared = set;
    return true;
}

/* What most configurations ask for. */
static bool is_all_but_nul(const struct byte_set *set)
{
    static const struct byte_set all = { { UINT64_MAX - 1, UINT64_MAX, UINT64_MAX,
                                           UINT64_MAX } };
    return memcmp(set, &all, sizeof(all)) == 0;
}

uint32_t byte_range_wants(const void *prepared)
{
    return is_all_but_nul(prepared) ? TRAIT_NUL : TRAIT_ANY;
}

bool eval_byte_range(const struct operator_call *call, struct operator_match *match)
{
    const struct byte_set *set = call->prepared;
    if (call->value.len == 0 ||
        (is_all_but_nul(set) && memchr(call->value.p, '\0', call->value.len) == NULL))
        return false;
    for (size_t i = 0; i < call->value.len; i++) {
        if (!byte_set_has(set, (uint8_t)call->value.p[i]))
            return matched(match, i, 1);
    }
    return false;
}

/* ---- validateUrlEncoding --------------------------------------------------------------------
 */

uint32_t url_encoding_wants(const void *prepared)
{
    (void)prepared;
    return TRAIT_PERCENT;
}

bool eval_url_encoding(const struct operator_call *call, struct operator_match *match)
{
    const char *begin = call->value.p, *end = span_end(call->value);
    const char *broken = escapes_broken(begin, end);
    if (broken == NULL)
        return false;
    return matched(match, (size_t)(broken - begin),
                   end - broken < 3 ? (size_t)(end - broken) : 3);
}

/* ---- validateUtf8Encoding -------------------------------------------------------------------
 */

/* Bytes of ASCII at `p`: 8 at a time. */
static size_t ascii_run(const char *p, const char *end)
{
    const char *from = p;
    uint64_t eight;
    for (; end - p >= 8; p += 8) {
        memcpy(&eight, p, 8);
        if ((eight & UINT64_C(0x8080808080808080)) != 0)
            break;
    }
    while (p < end && (*p & 0x80) == 0)
        p++;
    return (size_t)(p - from);
}

/*
 * RFC 3629, section 4: what may follow a first byte. Overlong forms, surrogates and what is
 * beyond U+10FFFF are those where the second byte is out of its range.
 */
static const struct {
    uint8_t first, last;           /* of the first byte */
    uint8_t second_low, second_up; /* of the second */
    uint8_t len;
} utf8_forms[] = {
    { 0xc2, 0xdf, 0x80, 0xbf, 2 }, { 0xe0, 0xe0, 0xa0, 0xbf, 3 }, { 0xe1, 0xec, 0x80, 0xbf, 3 },
    { 0xed, 0xed, 0x80, 0x9f, 3 }, { 0xee, 0xef, 0x80, 0xbf, 3 }, { 0xf0, 0xf0, 0x90, 0xbf, 4 },
    { 0xf1, 0xf3, 0x80, 0xbf, 4 }, { 0xf4, 0xf4, 0x80, 0x8f, 4 },
};

/* Length of the character at `p`, which is not ASCII; 0 when it is none. */
static size_t utf8_len(const char *p, const char *end)
{
    uint8_t first = (uint8_t)*p;
    for (size_t i = 0; i < ARRAY_LEN(utf8_forms); i++) {
        if (first < utf8_forms[i].first || first > utf8_forms[i].last)
            continue;
        size_t len = utf8_forms[i].len;
        if ((size_t)(end - p) < len || (uint8_t)p[1] < utf8_forms[i].second_low ||
            (uint8_t)p[1] > utf8_forms[i].second_up)
            return 0;
        for (size_t k = 2; k < len; k++) {
            if ((p[k] & 0xc0) != 0x80)
                return 0;
        }
        return len;
    }
    return 0;
}

size_t utf8_valid_len(struct span s)
{
    const char *p = s.p, *end = span_end(s);
    while (p < end) {
        p += ascii_run(p, end);
        while (p < end && (*p & 0x80) != 0) {
            size_t len = utf8_len(p, end);
            if (len == 0)
                return (size_t)(p - s.p);
            p += len;
        }
    }
    return s.len;
}

uint32_t utf8_encoding_wants(const void *prepared)
{
    (void)prepared;
    return TRAIT_HIGH;
}

bool eval_utf8_encoding(const struct operator_call *call, struct operator_match *match)
{
    size_t good = utf8_valid_len(call->value);
    return good < call->value.len && matched(match, good, 1);
}
