/* PROXY protocol heads, both versions. Each answer is the same however the bytes are cut. */
#include "gateway/net/proxyproto.h"

enum { V1_HEAD_MAX = 107, V2_FIXED = 16, V2_LEN_MAX = PROXY_HEAD_MAX - V2_FIXED, TLV_HEAD = 3 };

static bool port_parse(struct span text, uint16_t *port)
{
    uint64_t value;

    if (text.len == 0 || text.len > 5 || (text.p[0] == '0' && text.len > 1))
        return false;
    if (!span_uint(text, &value) || value > UINT16_MAX)
        return false;
    *port = (uint16_t)value;
    return true;
}

/* ---- version 1: `PROXY TCP4 192.0.2.1 198.51.100.1 56324 443` CR LF ---- */

enum { V1_FAMILY, V1_SOURCE, V1_TARGET, V1_SOURCE_PORT, V1_TARGET_PORT, V1_WORDS };

/* A TCP6 line may spell a mapped IPv4 address, but its text must be of IPv6. */
static bool v1_addr(struct span text, bool v6, struct addr *addr)
{
    return (span_index(text, ':') >= 0) == v6 && addr_parse(text, addr);
}

static bool v1_line(struct span line, struct addr *client)
{
    struct span words[V1_WORDS], rest = line;
    struct addr source, target;
    uint16_t target_port;
    size_t n = 0;

    if (span_equal(line, SPAN("UNKNOWN")) || span_starts(line, SPAN("UNKNOWN ")))
        return true;
    while (n < V1_WORDS && span_cut(&rest, ' ', &words[n]))
        n++;
    if (n != V1_WORDS || rest.p != NULL)
        return false;
    bool v6 = span_equal(words[V1_FAMILY], SPAN("TCP6"));
    if (!v6 && !span_equal(words[V1_FAMILY], SPAN("TCP4")))
        return false;
    if (!v1_addr(words[V1_SOURCE], v6, &source) || !v1_addr(words[V1_TARGET], v6, &target))
        return false;
    if (!port_parse(words[V1_SOURCE_PORT], &source.port) ||
        !port_parse(words[V1_TARGET_PORT], &target_port))
        return false;
    *client = source;
    return true;
}

static ssize_t v1_parse(struct span input, struct addr *client)
{
    const struct span prefix = SPAN("PROXY ");
    struct span head = span_sub(input, 0, V1_HEAD_MAX);
    ssize_t lf = span_index(head, '\n');

    if (lf < 0) {
        ssize_t cr = span_index(head, '\r');
        if (cr >= 0 && (size_t)cr + 1 < head.len)
            return PROXY_BAD;
        return head.len == V1_HEAD_MAX ? PROXY_BAD : PROXY_MORE;
    }
    if ((size_t)lf < prefix.len + 1 || span_index(head, '\r') != lf - 1)
        return PROXY_BAD;
    struct span line = span_range(head.p + prefix.len, head.p + lf - 1);
    return v1_line(line, client) ? lf + 1 : PROXY_BAD;
}

/* ---- version 2: a signature, two bytes of kinds, a length, addresses, TLVs ---- */

enum {
    V2_LOCAL = 0x20,
    V2_PROXY = 0x21,
    V2_UNSPEC = 0x00,
    V2_TCP4 = 0x11,
    V2_TCP6 = 0x21,
    V2_UNIX = 0x31
};

static const char v2_signature[] = "\r\n\r\n\0\r\nQUIT\n";

static unsigned load16(const char *p)
{
    return (unsigned)(uint8_t)p[0] << 8 | (uint8_t)p[1];
}

/* Bytes of source and target address and ports; TLVs follow. */
static const struct v2_family {
    uint8_t kind, addr_bytes, block;
} v2_families[] = {
    { V2_UNSPEC, 0, 0 },
    { V2_TCP4, 4, 12 },
    { V2_TCP6, 16, 36 },
    { V2_UNIX, 0, 216 }, /* its path is no client's address: the peer stays */
};

static bool tlvs_fit(struct span tlvs)
{
    while (tlvs.len > 0) {
        if (tlvs.len < TLV_HEAD)
            return false;
        size_t len = TLV_HEAD + (size_t)load16(tlvs.p + 1);
        if (len > tlvs.len)
            return false;
        tlvs = span_range(tlvs.p + len, span_end(tlvs));
    }
    return true;
}

/* A mapped address becomes IPv4, as everywhere. */
static void v2_addr(struct addr *addr, const char *block, size_t bytes)
{
    static const char mapped[12] = { 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, (char)0xff, (char)0xff };

    *addr = (struct addr){ .family = bytes == 4 ? ADDR_V4 : ADDR_V6 };
    addr->port = (uint16_t)load16(block + 2 * bytes);
    if (bytes == 16 && memcmp(block, mapped, sizeof mapped) == 0) {
        addr->family = ADDR_V4;
        block += sizeof mapped;
        bytes = 4;
    }
    memcpy(addr->bytes, block, bytes);
}

static const struct v2_family *v2_family_of(uint8_t kind)
{
    for (size_t i = 0; i < ARRAY_LEN(v2_families); i++)
        if (v2_families[i].kind == kind)
            return &v2_families[i];
    return NULL;
}

static ssize_t v2_parse(struct span input, struct addr *client)
{
    if (input.len > 12 && (uint8_t)input.p[12] != V2_LOCAL && (uint8_t)input.p[12] != V2_PROXY)
        return PROXY_BAD;
    if (input.len < V2_FIXED)
        return PROXY_MORE;
    size_t len = load16(input.p + 14);
    if (len > V2_LEN_MAX)
        return PROXY_BAD;
    if (input.len < V2_FIXED + len)
        return PROXY_MORE;

    const char *block = input.p + V2_FIXED;
    ssize_t whole = (ssize_t)(V2_FIXED + len);
    if ((uint8_t)input.p[12] == V2_LOCAL) /* the receiver skips the rest, whatever it is */
        return whole;
    const struct v2_family *family = v2_family_of((uint8_t)input.p[13]);
    if (family == NULL || len < family->block)
        return PROXY_BAD;
    if (!tlvs_fit(span_range(block + family->block, block + len)))
        return PROXY_BAD;
    if (family->addr_bytes > 0)
        v2_addr(client, block, family->addr_bytes);
    return whole;
}

/* Whether the input is `signature` as far as both go. */
static bool agrees(struct span input, struct span signature)
{
    size_t len = input.len < signature.len ? input.len : signature.len;
    return len == 0 || memcmp(input.p, signature.p, len) == 0;
}

ssize_t proxy_head_parse(struct span input, struct addr *client)
{
    if (input.len == 0)
        return PROXY_MORE;
    if (agrees(input, SPAN("PROXY ")))
        return v1_parse(input, client);
    if (agrees(input, span_of(v2_signature, sizeof v2_signature - 1)))
        return v2_parse(input, client);
    return PROXY_BAD;
}
