/* Addresses as text (strict in, RFC 5952 out), prefixes, and the way from and to sockaddr. */
#include "gateway/base/addr.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>

static const unsigned char mapped_prefix[12] = { [10] = 0xff, [11] = 0xff }; /* ::ffff:0:0/96 */

static unsigned family_bits(const struct addr *addr)
{
    return addr->family == ADDR_V4 ? 32 : addr->family == ADDR_V6 ? 128 : 0;
}

static bool is_mapped(const struct addr *addr)
{
    return addr->family == ADDR_V6 && memcmp(addr->bytes, mapped_prefix, 12) == 0;
}

static void unmap(struct addr *addr)
{
    if (!is_mapped(addr))
        return;
    memcpy(addr->bytes, addr->bytes + 12, 4);
    memset(addr->bytes + 4, 0, 12);
    addr->family = ADDR_V4;
}

/* inet_pton of the C library takes no leading zeros, no octal, no short forms and no zone. */
static bool parse_as_written(struct span text, struct addr *addr)
{
    char buffer[INET6_ADDRSTRLEN];
    if (text.len == 0 || text.len >= sizeof(buffer) || span_index(text, '\0') >= 0)
        return false;
    memcpy(buffer, text.p, text.len);
    buffer[text.len] = '\0';

    bool v6 = span_index(text, ':') >= 0;
    struct addr made = { .family = v6 ? ADDR_V6 : ADDR_V4 };
    if (inet_pton(v6 ? AF_INET6 : AF_INET, buffer, made.bytes) != 1)
        return false;
    *addr = made;
    return true;
}

bool addr_parse(struct span text, struct addr *addr)
{
    if (!parse_as_written(text, addr))
        return false;
    unmap(addr);
    return true;
}

static bool parse_port(struct span text, uint16_t *port)
{
    uint64_t value;
    if (text.len > 5 || !span_uint(text, &value) || value > UINT16_MAX)
        return false;
    *port = (uint16_t)value;
    return true;
}

bool addr_parse_port(struct span text, struct addr *addr)
{
    struct addr made;
    uint16_t port = 0;
    struct span host = text, behind = span_of(NULL, 0); /* behind: ":port", or nothing */

    ssize_t colon = span_index(text, ':');
    if (span_starts(text, SPAN("["))) {
        ssize_t bracket = span_index(text, ']');
        if (bracket < 0)
            return false;
        host = span_sub(text, 1, (size_t)bracket - 1);
        behind = span_sub(text, (size_t)bracket + 1, text.len);
        if (span_index(host, ':') < 0) /* RFC 3986 3.2.2: brackets are for IPv6 */
            return false;
    } else if (colon >= 0 && span_index(span_sub(text, (size_t)colon + 1, text.len), ':') < 0) {
        host = span_sub(text, 0, (size_t)colon);
        behind = span_sub(text, (size_t)colon, text.len);
    }
    if (behind.len > 0 &&
        (behind.p[0] != ':' || !parse_port(span_sub(behind, 1, behind.len), &port)))
        return false;
    if (!addr_parse(host, &made))
        return false;
    made.port = port;
    *addr = made;
    return true;
}

bool cidr_parse(struct span text, bool lenient, struct cidr *cidr)
{
    struct span rest = text, host;
    struct addr addr;
    uint64_t bits;
    if (!span_cut(&rest, '/', &host) || !parse_as_written(host, &addr))
        return false;
    bits = family_bits(&addr);
    if (rest.p != NULL &&
        (rest.len > 3 || !span_uint(rest, &bits) || bits > family_bits(&addr)))
        return false;

    struct addr masked = addr;
    addr_mask(&masked, (unsigned)bits);
    if (!lenient && !addr_equal(&addr, &masked))
        return false;
    if (bits >= 96 && is_mapped(&masked)) { /* addresses are held unmapped, so prefixes too */
        unmap(&masked);
        bits -= 96;
    }
    *cidr = (struct cidr){ .addr = masked, .bits = (uint8_t)bits };
    return true;
}

bool addr_equal(const struct addr *a, const struct addr *b)
{
    return a->family == b->family && memcmp(a->bytes, b->bytes, sizeof(a->bytes)) == 0;
}

bool cidr_contains(const struct cidr *cidr, const struct addr *addr)
{
    if (cidr->addr.family != addr->family || family_bits(addr) == 0)
        return false;
    size_t whole = cidr->bits / 8;
    unsigned part = cidr->bits % 8;
    if (memcmp(cidr->addr.bytes, addr->bytes, whole) != 0)
        return false;
    return part == 0 || (cidr->addr.bytes[whole] ^ addr->bytes[whole]) >> (8 - part) == 0;
}

bool cidrs_contain(const struct cidrs *cidrs, const struct addr *addr)
{
    for (size_t i = 0; i < cidrs->count; i++)
        if (cidr_contains(&cidrs->items[i], addr))
            return true;
    return false;
}

void addr_mask(struct addr *addr, unsigned bits)
{
    for (unsigned i = 0; i < sizeof(addr->bytes); i++) {
        unsigned kept = bits > i * 8 ? bits - i * 8 : 0;
        if (kept < 8)
            addr->bytes[i] = (uint8_t)(addr->bytes[i] & (0xff00u >> kept));
    }
}

bool addr_subscriber(const struct addr *addr, struct addr *subscriber)
{
    enum { V6_SUBSCRIBER_BITS = 64 };

    *subscriber = *addr;
    subscriber->port = 0;
    if (addr->family == ADDR_V6)
        addr_mask(subscriber, V6_SUBSCRIBER_BITS);
    return addr->family == ADDR_V4 || addr->family == ADDR_V6;
}

static void write_v4(struct text *out, const uint8_t *bytes)
{
    for (unsigned i = 0; i < 4; i++) {
        if (i > 0)
            text_char(out, '.');
        text_uint(out, bytes[i]);
    }
}

struct run {
    unsigned from, len;
};

/* RFC 5952 4.2: the longest run of two or more zero groups, the first of equals. */
static struct run longest_zeros(const unsigned groups[8])
{
    struct run best = { 8, 1 }, now = { 0, 0 };
    for (unsigned i = 0; i < 8; i++) {
        now = groups[i] != 0 ? (struct run){ i + 1, 0 } : (struct run){ now.from, now.len + 1 };
        if (now.len > best.len)
            best = now;
    }
    return best;
}

static void write_group(struct text *out, unsigned group)
{
    static const char digits[] = "0123456789abcdef";
    unsigned shift = group > 0xfff ? 12 : group > 0xff ? 8 : group > 0xf ? 4 : 0;
    text_char(out, digits[group >> shift & 15]);
    while (shift > 0) {
        shift -= 4;
        text_char(out, digits[group >> shift & 15]);
    }
}

static void write_v6(struct text *out, const uint8_t *bytes)
{
    unsigned groups[8];
    for (size_t i = 0; i < 8; i++)
        groups[i] = (unsigned)bytes[2 * i] << 8 | bytes[2 * i + 1];

    struct run zeros = longest_zeros(groups);
    for (unsigned i = 0; i < 8; i++) {
        if (i == zeros.from) {
            text_lit(out, "::");
            i += zeros.len - 1;
            continue;
        }
        if (i > 0 && i != zeros.from + zeros.len)
            text_char(out, ':');
        write_group(out, groups[i]);
    }
}

void addr_write(struct text *out, const struct addr *addr)
{
    switch ((enum addr_family)addr->family) {
    case ADDR_NONE:
        text_lit(out, "unknown"); /* the word of RFC 7239 6.2 */
        return;
    case ADDR_V4:
        write_v4(out, addr->bytes);
        return;
    case ADDR_V6:
        write_v6(out, addr->bytes);
        return;
    case ADDR_UNIX:
        text_lit(out, "unix:");
        return;
    }
}

void addr_write_port(struct text *out, const struct addr *addr)
{
    bool v6 = addr->family == ADDR_V6;

    text_add(out, v6 ? SPAN("[") : SPAN(""));
    addr_write(out, addr);
    text_add(out, v6 ? SPAN("]:") : SPAN(":"));
    text_uint(out, addr->port);
}

void cidr_write(struct text *out, const struct cidr *cidr)
{
    addr_write(out, &cidr->addr);
    text_char(out, '/');
    text_uint(out, cidr->bits);
}

void addr_from_sockaddr(struct addr *addr, const struct sockaddr *sa)
{
    *addr = (struct addr){ .family = ADDR_NONE };
    if (sa->sa_family == AF_INET) {
        struct sockaddr_in in;
        memcpy(&in, sa, sizeof(in));
        addr->family = ADDR_V4;
        addr->port = ntohs(in.sin_port);
        memcpy(addr->bytes, &in.sin_addr, 4);
    } else if (sa->sa_family == AF_INET6) {
        struct sockaddr_in6 in6;
        memcpy(&in6, sa, sizeof(in6));
        addr->family = ADDR_V6;
        addr->port = ntohs(in6.sin6_port);
        memcpy(addr->bytes, &in6.sin6_addr, 16);
        unmap(addr);
    } else if (sa->sa_family == AF_UNIX) {
        addr->family = ADDR_UNIX;
    }
}

unsigned addr_to_sockaddr(const struct addr *addr, struct sockaddr *storage)
{
    INVARIANT(addr->family == ADDR_V4 || addr->family == ADDR_V6);
    if (addr->family == ADDR_V4) {
        struct sockaddr_in in = { .sin_family = AF_INET, .sin_port = htons(addr->port) };
        memcpy(&in.sin_addr, addr->bytes, 4);
        memcpy(storage, &in, sizeof(in));
        return sizeof(in);
    }
    struct sockaddr_in6 in6 = { .sin6_family = AF_INET6, .sin6_port = htons(addr->port) };
    memcpy(&in6.sin6_addr, addr->bytes, 16);
    memcpy(storage, &in6, sizeof(in6));
    return sizeof(in6);
}

/* ---- addresses that are nobody's on the Internet ---- */

struct block {
    uint8_t bytes[4], bits;
};

static const struct block special4[] = {
    { { 0, 0, 0, 0 }, 8 },     { { 10, 0, 0, 0 }, 8 },      { { 100, 64, 0, 0 }, 10 },
    { { 127, 0, 0, 0 }, 8 },   { { 169, 254, 0, 0 }, 16 },  { { 172, 16, 0, 0 }, 12 },
    { { 192, 0, 0, 0 }, 24 },  { { 192, 0, 2, 0 }, 24 },    { { 192, 168, 0, 0 }, 16 },
    { { 198, 18, 0, 0 }, 15 }, { { 198, 51, 100, 0 }, 24 }, { { 203, 0, 113, 0 }, 24 },
    { { 224, 0, 0, 0 }, 3 }, /* 224.0.0.0/4 and 240.0.0.0/4 */
};
/* ::/32 has :: and ::1; a mapped IPv4 address is held as IPv4. */
static const struct block special6[] = {
    { { 0, 0, 0, 0 }, 32 },
    { { 0x01, 0x00, 0, 0 }, 32 }, /* 100::/64 */
    { { 0x20, 0x01, 0, 0 }, 32 }, /* Teredo: the address in it is disguised */
    { { 0x20, 0x01, 0x0d, 0xb8 }, 32 },
    { { 0xfc, 0, 0, 0 }, 7 },
    { { 0xfe, 0x80, 0, 0 }, 9 }, /* link-local, and fec0::/10 of RFC 3879 */
    { { 0xff, 0, 0, 0 }, 8 },
};

static uint32_t top_bits(const uint8_t *bytes)
{
    return (uint32_t)bytes[0] << 24 | (uint32_t)bytes[1] << 16 | (uint32_t)bytes[2] << 8 |
           bytes[3];
}

static bool in_blocks(const struct block *blocks, size_t count, const uint8_t *bytes)
{
    uint32_t top = top_bits(bytes);
    for (size_t i = 0; i < count; i++)
        if ((top ^ top_bits(blocks[i].bytes)) >> (32 - blocks[i].bits) == 0)
            return true;
    return false;
}

bool addr_is_global(const struct addr *addr)
{
    static const uint8_t nat64[12] = { 0, 0x64, 0xff, 0x9b }; /* RFC 6052 */
    const uint8_t *b = addr->bytes;

    if (addr->family == ADDR_V4)
        return !in_blocks(special4, ARRAY_LEN(special4), b);
    if (addr->family != ADDR_V6 || in_blocks(special6, ARRAY_LEN(special6), b))
        return false;
    if (b[0] == 0x20 && b[1] == 0x02) /* 6to4, RFC 3056 */
        return !in_blocks(special4, ARRAY_LEN(special4), b + 2);
    if (memcmp(b, nat64, sizeof nat64) == 0)
        return !in_blocks(special4, ARRAY_LEN(special4), b + 12);
    return memcmp(b, nat64, 4) != 0; /* 64:ff9b:1::/48 of RFC 8215 is local */
}
