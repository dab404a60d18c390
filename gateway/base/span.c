/* Searching, cutting and comparing spans. */
#include "gateway/base/span.h"

struct span span_sub(struct span s, size_t from, size_t len)
{
    if (from > s.len)
        from = s.len;
    if (len > s.len - from)
        len = s.len - from;
    /* No arithmetic on a pointer that may be NULL. */
    return span_of(from == 0 ? s.p : s.p + from, len);
}

bool span_equal_nocase(struct span a, struct span b)
{
    if (a.len != b.len)
        return false;
    for (size_t i = 0; i < a.len; i++)
        if (a.p[i] != b.p[i] && ascii_lower(a.p[i]) != ascii_lower(b.p[i]))
            return false;
    return true;
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

ssize_t span_find(struct span s, struct span needle)
{
    if (needle.len == 0)
        return 0;
    const char *at = s.len < needle.len ? NULL : memmem(s.p, s.len, needle.p, needle.len);
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

int hex_value(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    c = ascii_lower(c);
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}
