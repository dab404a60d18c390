/* Searching, cutting and comparing spans. */
#include "gateway/base/span.h"

#ifdef __SSE2__
#include <emmintrin.h>
#endif

struct span span_sub(struct span s, size_t from, size_t len)
{
    if (from > s.len)
        from = s.len;
    if (len > s.len - from)
        len = s.len - from;
    /* No arithmetic on a pointer that may be NULL. */
    return span_of(from == 0 ? s.p : s.p + from, len);
}

static inline bool bytes_equal_nocase(const char *a, const char *b, size_t len)
{
    for (size_t i = 0; i < len; i++)
        if (a[i] != b[i] && ascii_lower(a[i]) != ascii_lower(b[i]))
            return false;
    return true;
}

/* Fewer than eight bytes, some of them twice. */
static uint64_t word_of_few(struct span s)
{
    uint32_t first, last;
    if (s.len < sizeof(first))
        return s.len == 0 ? 0
                          : (uint8_t)s.p[0] | (uint32_t)(uint8_t)s.p[s.len / 2] << 8 |
                                (uint32_t)(uint8_t)s.p[s.len - 1] << 16;
    memcpy(&first, s.p, sizeof(first));
    memcpy(&last, s.p + s.len - sizeof(last), sizeof(last));
    return first | (uint64_t)last << 32;
}

static uint64_t word_at(const char *p)
{
    uint64_t word;
    memcpy(&word, p, sizeof(word));
    return word;
}

/* Other letters differ in more than the bit of case. */
static bool may_differ_in_case(uint64_t x, uint64_t y)
{
    return ((x ^ y) & UINT64_C(0xdfdfdfdfdfdfdfdf)) == 0;
}

/* Eight bytes at a time; the last ones may be among those before. */
bool span_equal_nocase(struct span a, struct span b)
{
    enum { EACH = sizeof(uint64_t) };
    bool same = true;
    if (a.len != b.len)
        return false;
    if (a.len < EACH) {
        uint64_t x = word_of_few(a), y = word_of_few(b);
        return x == y || (may_differ_in_case(x, y) && bytes_equal_nocase(a.p, b.p, a.len));
    }
    for (size_t left = a.len; left > 0; left -= left < EACH ? left : EACH) {
        size_t at = left < EACH ? a.len - EACH : a.len - left;
        uint64_t x = word_at(a.p + at), y = word_at(b.p + at);
        if (!may_differ_in_case(x, y))
            return false;
        same = same && x == y;
    }
    return same || bytes_equal_nocase(a.p, b.p, a.len);
}

bool span_starts(struct span s, struct span prefix)
{
    return s.len >= prefix.len && span_equal(span_of(s.p, prefix.len), prefix);
}

bool span_starts_nocase(struct span s, struct span prefix)
{
    return s.len >= prefix.len && span_equal_nocase(span_of(s.p, prefix.len), prefix);
}

bool span_ends(struct span s, struct span suffix)
{
    return s.len >= suffix.len &&
           span_equal(span_sub(s, s.len - suffix.len, suffix.len), suffix);
}

int span_compare(struct span a, struct span b)
{
    size_t common = a.len < b.len ? a.len : b.len;
    int order = common == 0 ? 0 : memcmp(a.p, b.p, common);
    if (order != 0)
        return order;
    return (a.len > b.len) - (a.len < b.len);
}

ssize_t span_index(struct span s, char c)
{
    const char *at = s.len == 0 ? NULL : memchr(s.p, c, s.len);
    return at == NULL ? -1 : at - s.p;
}

enum { FEW_PLACES = 16 };

#ifdef __SSE2__
enum {
    LANES = 16,
    FIND_SHORT_MAX = 1024, /* of the text: a longer one could make this quadratic */
};

/* Of LANES places from `p` on, those where the needle's first and last byte stand. */
static unsigned likely_places(const char *p, struct span needle)
{
    __m128i first = _mm_loadu_si128((const __m128i *)p);
    __m128i last = _mm_loadu_si128((const __m128i *)(p + needle.len - 1));
    __m128i both = _mm_and_si128(_mm_cmpeq_epi8(first, _mm_set1_epi8(needle.p[0])),
                                 _mm_cmpeq_epi8(last, _mm_set1_epi8(needle.p[needle.len - 1])));
    return (unsigned)_mm_movemask_epi8(both);
}

/* memmem prepares itself for long texts at a cost of its own. `places` >= LANES. */
static ssize_t find_in_short(struct span s, struct span needle, size_t places)
{
    for (size_t at = 0; at < places; at += LANES) {
        size_t from = at + LANES <= places ? at : places - LANES; /* the last ones overlap */
        unsigned likely = likely_places(s.p + from, needle);
        for (; likely != 0; likely &= likely - 1) {
            size_t place = from + (size_t)__builtin_ctz(likely);
            if (memcmp(s.p + place, needle.p, needle.len) == 0)
                return (ssize_t)place;
        }
    }
    return -1;
}
#endif

/* A few places are looked at before memmem has begun. */
static ssize_t find_at_few(struct span s, struct span needle, size_t places)
{
    for (size_t at = 0; at < places; at++) {
        if (s.p[at] == needle.p[0] && memcmp(s.p + at, needle.p, needle.len) == 0)
            return (ssize_t)at;
    }
    return -1;
}

ssize_t span_find(struct span s, struct span needle)
{
    if (needle.len == 0)
        return 0;
    if (s.len < needle.len)
        return -1;
    size_t places = s.len - needle.len + 1;
    if (places < FEW_PLACES)
        return find_at_few(s, needle, places);
#ifdef __SSE2__
    if (places >= LANES && s.len <= FIND_SHORT_MAX)
        return find_in_short(s, needle, places);
#endif
    const char *at = memmem(s.p, s.len, needle.p, needle.len);
    return at == NULL ? -1 : at - s.p;
}

static bool is_ows(char c)
{
    return c == ' ' || c == '\t';
}

struct span span_trim(struct span s)
{
    while (s.len > 0 && is_ows(s.p[s.len - 1]))
        s.len--;
    while (s.len > 0 && is_ows(s.p[0])) {
        s.p++;
        s.len--;
    }
    return s;
}

bool span_cut(struct span *rest, char separator, struct span *part)
{
    if (rest->p == NULL)
        return false;
    ssize_t at = span_index(*rest, separator);
    if (at < 0) {
        *part = *rest;
        *rest = span_of(NULL, 0);
        return true;
    }
    *part = span_of(rest->p, (size_t)at);
    *rest = span_sub(*rest, (size_t)at + 1, rest->len);
    return true;
}

bool span_uint(struct span s, uint64_t *value)
{
    uint64_t sum = 0;
    for (size_t i = 0; i < s.len; i++) {
        unsigned digit = (unsigned)(unsigned char)s.p[i] - '0';
        if (digit > 9 || __builtin_mul_overflow(sum, 10u, &sum) ||
            __builtin_add_overflow(sum, digit, &sum))
            return false;
    }
    if (s.len == 0)
        return false;
    *value = sum;
    return true;
}
