/* Addresses: what is taken and what is not, canonical text, prefixes at every length. */
#include "tests/unit/check.h"

#include <netinet/in.h>
#include <sys/socket.h>

#include "gateway/base/addr.h"

static struct span written(const struct addr *addr)
{
    static char buffer[64];
    struct text t = text_fixed(buffer, sizeof(buffer));
    addr_write(&t, addr);
    return text_span(&t);
}

static struct addr must(const char *text)
{
    struct addr addr;
    if (!addr_parse(span_text(text), &addr))
        fail_msg("%s refused", text);
    return addr;
}

static void canonical(void **state)
{
    (void)state;
    static const char *const rows[][2] = {
        { "192.0.2.1", "192.0.2.1" },
        { "0.0.0.0", "0.0.0.0" },
        { "255.255.255.255", "255.255.255.255" },
        { "::", "::" },
        { "::1", "::1" },
        { "1::", "1::" },
        { "2001:DB8:0:0:1:0:0:1", "2001:db8::1:0:0:1" },    /* RFC 5952 4.2.3: the first */
        { "2001:db8:0:1:1:1:1:1", "2001:db8:0:1:1:1:1:1" }, /* 4.2.2: not for one group */
        { "2001:0db8::0001", "2001:db8::1" },               /* 4.1 */
        { "2001:0:0:1:0:0:0:1", "2001:0:0:1::1" },          /* the longest */
        { "1:2:3:4:5:6::", "1:2:3:4:5:6::" },
        { "0:0:3:4:5:6:7:8", "::3:4:5:6:7:8" },
        { "::ffff:192.0.2.1", "192.0.2.1" }, /* one client, one spelling */
        { "::FFFF:c000:201", "192.0.2.1" },
        { "::192.0.2.1", "::c000:201" },
        { "64:ff9b::192.0.2.33", "64:ff9b::c000:221" },
        { "fe80:10f:a0b:c00d:1000:100:10:1", "fe80:10f:a0b:c00d:1000:100:10:1" },
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct addr addr = must(rows[i][0]);
        assert_span(written(&addr), span_text(rows[i][1]));
        struct addr again = must(rows[i][1]);
        assert_true(addr_equal(&addr, &again));
    }
}

static void refused(void **state)
{
    (void)state;
    static const struct span rows[] = {
        SPAN_INIT(""),
        SPAN_INIT("1.2.3"),
        SPAN_INIT("1.2.3.4.5"),
        SPAN_INIT("01.2.3.4"),
        SPAN_INIT("1.2.3.04"),
        SPAN_INIT("256.1.1.1"),
        SPAN_INIT("0x1.2.3.4"),
        SPAN_INIT("1.2.3.4 "),
        SPAN_INIT(" 1.2.3.4"),
        SPAN_INIT("1.2.3.4\0"),
        SPAN_INIT("1.2.3.4\0x"),
        SPAN_INIT("127.1"),
        SPAN_INIT("2130706433"),
        SPAN_INIT(":::"),
        SPAN_INIT("1::2::3"),
        SPAN_INIT("fe80::1%eth0"),
        SPAN_INIT("[::1]"),
        SPAN_INIT("12345::"),
        SPAN_INIT("1:2:3:4:5:6:7"),
        SPAN_INIT("1:2:3:4:5:6:7:8:9"),
        SPAN_INIT("::ffff:1.2.3"),
        SPAN_INIT("1.2.3.4:80"),
        SPAN_INIT(":"),
        SPAN_INIT("::1/128"),
        SPAN_INIT("0000:0000:0000:0000:0000:0000:0000:0000:0000"),
        SPAN_INIT("localhost"),
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct addr addr = { .family = 99 };
        if (addr_parse(rows[i], &addr))
            fail_msg("\"%.*s\" was taken", (int)rows[i].len, rows[i].p);
        assert_int_equal(addr.family, 99);
    }
}

static void ports(void **state)
{
    (void)state;
    static const struct {
        const char *text, *addr;
        uint16_t port;
    } rows[] = {
        { "192.0.2.1", "192.0.2.1", 0 },
        { "192.0.2.1:80", "192.0.2.1", 80 },
        { "192.0.2.1:65535", "192.0.2.1", 65535 },
        { "2001:db8::1", "2001:db8::1", 0 },
        { "[2001:db8::1]", "2001:db8::1", 0 },
        { "[2001:db8::1]:443", "2001:db8::1", 443 },
        { "[::ffff:192.0.2.1]:80", "192.0.2.1", 80 },
        { "192.0.2.1:", NULL, 0 },
        { "192.0.2.1:65536", NULL, 0 },
        { "192.0.2.1:000080", NULL, 0 },
        { "192.0.2.1:80x", NULL, 0 },
        { "[192.0.2.1]:80", NULL, 0 },
        { "[::1", NULL, 0 },
        { "[::1]80", NULL, 0 },
        { "[::1]:", NULL, 0 },
        { "[]:80", NULL, 0 },
        { "[", NULL, 0 },
        { ":80", NULL, 0 },
        { "", NULL, 0 },
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct addr addr;
        bool taken = addr_parse_port(span_text(rows[i].text), &addr);
        if (taken != (rows[i].addr != NULL))
            fail_msg("\"%s\"", rows[i].text);
        if (!taken)
            continue;
        assert_span(written(&addr), span_text(rows[i].addr));
        assert_int_equal(addr.port, rows[i].port);
    }
}

static void prefixes(void **state)
{
    (void)state;
    static const struct {
        const char *text, *strict, *lenient; /* NULL: refused */
    } rows[] = {
        { "10.0.0.0/8", "10.0.0.0/8", "10.0.0.0/8" },
        { "10.0.0.1/8", NULL, "10.0.0.0/8" },
        { "10.0.0.1", "10.0.0.1/32", "10.0.0.1/32" },
        { "0.0.0.0/0", "0.0.0.0/0", "0.0.0.0/0" },
        { "192.0.2.129/25", NULL, "192.0.2.128/25" },
        { "::/0", "::/0", "::/0" },
        { "2001:db8::/32", "2001:db8::/32", "2001:db8::/32" },
        { "2001:db8:ffff::/33", NULL, "2001:db8:8000::/33" },
        { "::1", "::1/128", "::1/128" },
        { "::ffff:10.0.0.0/104", "10.0.0.0/8", "10.0.0.0/8" }, /* held as IPv4 */
        { "::ffff:0:0/96", "0.0.0.0/0", "0.0.0.0/0" },
        { "::ffff:1.2.3.4/0", NULL, "::/0" },
        { "10.0.0.0/33", NULL, NULL },
        { "::/129", NULL, NULL },
        { "10.0.0.0/", NULL, NULL },
        { "10.0.0.0/08x", NULL, NULL },
        { "10.0.0.0/8/8", NULL, NULL },
        { "10.0.0.0/-1", NULL, NULL },
        { "10.0.0.0/0008", NULL, NULL },
        { "/8", NULL, NULL },
        { "", NULL, NULL },
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++)
        for (int lenient = 0; lenient < 2; lenient++) {
            const char *expected = lenient ? rows[i].lenient : rows[i].strict;
            char buffer[64];
            struct text t = text_fixed(buffer, sizeof(buffer));
            struct cidr cidr;
            bool taken = cidr_parse(span_text(rows[i].text), lenient != 0, &cidr);
            if (taken != (expected != NULL))
                fail_msg("\"%s\" lenient %d", rows[i].text, lenient);
            if (!taken)
                continue;
            cidr_write(&t, &cidr);
            assert_span(text_span(&t), span_text(expected));
        }
}

/* At each length: the address itself is in, the one with the last prefix bit turned is not. */
static void contains_at_every_length(void **state)
{
    (void)state;
    static const char *const addresses[] = { "172.21.165.90",
                                             "2001:db8:a5a5:5a5a:ffff:1:0:99" };
    for (size_t i = 0; i < ARRAY_LEN(addresses); i++) {
        struct addr addr = must(addresses[i]);
        unsigned most = addr.family == ADDR_V4 ? 32 : 128;
        for (unsigned bits = 0; bits <= most; bits++) {
            struct cidr cidr = { .addr = addr, .bits = (uint8_t)bits };
            addr_mask(&cidr.addr, bits);
            assert_true(cidr_contains(&cidr, &addr));
            struct addr other = addr;
            if (bits > 0) {
                other.bytes[(bits - 1) / 8] ^= (uint8_t)(0x80 >> (bits - 1) % 8);
                assert_false(cidr_contains(&cidr, &other));
            }
            other = addr;
            if (bits < most) {
                other.bytes[bits / 8] ^= (uint8_t)(0x80 >> bits % 8);
                assert_true(cidr_contains(&cidr, &other));
            }
        }
    }
}

static void families_stay_apart(void **state)
{
    (void)state;
    struct cidr items[2];
    struct cidrs cidrs = { items, 2 };
    assert_true(cidr_parse(SPAN("::/0"), false, &items[0]));
    assert_true(cidr_parse(SPAN("192.0.2.0/24"), false, &items[1]));
    struct addr v4 = must("198.51.100.1"), in = must("192.0.2.7"), v6 = must("2001:db8::1");
    assert_false(cidrs_contain(&cidrs, &v4));
    assert_true(cidrs_contain(&cidrs, &in));
    assert_true(cidrs_contain(&cidrs, &v6));
    assert_false(cidrs_contain(&(struct cidrs){ NULL, 0 }, &v6));
    struct cidr all = { .addr = { .family = ADDR_UNIX } };
    assert_false(cidr_contains(&all, &(struct addr){ .family = ADDR_UNIX }));

    struct addr other_port = in;
    other_port.port = 1;
    assert_true(addr_equal(&in, &other_port));
    assert_text(written(&(struct addr){ .family = ADDR_UNIX }), "unix:");
    assert_text(written(&(struct addr){ .family = ADDR_NONE }), "unknown");
}

static void one_subscriber_is_an_address_or_a_64(void **state)
{
    static const struct {
        const char *a, *b;
        bool same;
    } rows[] = {
        { "192.0.2.1", "192.0.2.1", true },
        { "192.0.2.1", "192.0.2.2", false },
        { "2001:db8::1", "2001:db8::ffff:0:0:1", true },
        { "2001:db8::1", "2001:db8:0:1::1", false },
    };
    struct addr none = { .family = ADDR_UNIX }, a, b;

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        assert_true(addr_parse(span_text(rows[i].a), &a) &&
                    addr_parse(span_text(rows[i].b), &b));
        assert_true(addr_subscriber(&a, &a) && addr_subscriber(&b, &b));
        assert_int_equal(addr_equal(&a, &b), rows[i].same);
    }
    assert_false(addr_subscriber(&none, &a));
}

static void sockaddr_and_back(void **state)
{
    (void)state;
    static const char *const rows[] = { "192.0.2.1:8080", "[2001:db8::1]:443" };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct sockaddr_storage storage;
        struct addr addr, back;
        assert_true(addr_parse_port(span_text(rows[i]), &addr));
        unsigned len = addr_to_sockaddr(&addr, (struct sockaddr *)&storage);
        assert_int_equal(len,
                         i == 0 ? sizeof(struct sockaddr_in) : sizeof(struct sockaddr_in6));
        addr_from_sockaddr(&back, (const struct sockaddr *)&storage);
        assert_true(addr_equal(&addr, &back));
        assert_int_equal(back.port, addr.port);
    }
    struct sockaddr_in6 mapped = { .sin6_family = AF_INET6, .sin6_port = htons(9) };
    memcpy(&mapped.sin6_addr, "\0\0\0\0\0\0\0\0\0\0\xff\xff\xc0\0\x02\x01", 16);
    struct addr addr;
    addr_from_sockaddr(&addr, (const struct sockaddr *)&mapped);
    assert_int_equal(addr.family, ADDR_V4);
    assert_text(written(&addr), "192.0.2.1");
    addr_from_sockaddr(&addr, &(struct sockaddr){ .sa_family = AF_UNIX });
    assert_int_equal(addr.family, ADDR_UNIX);
    addr_from_sockaddr(&addr, &(struct sockaddr){ .sa_family = AF_UNSPEC });
    assert_int_equal(addr.family, ADDR_NONE);
}

static void what_is_not_on_the_internet_is_not_global(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        bool global;
    } rows[] = {
        { "8.8.8.8", true },
        { "0.0.0.0", false },
        { "9.255.255.255", true },
        { "10.0.0.0", false },
        { "10.255.255.255", false },
        { "11.0.0.0", true },
        { "100.63.255.255", true },
        { "100.64.0.1", false },
        { "127.0.0.1", false },
        { "169.254.169.254", false },
        { "172.15.255.255", true },
        { "172.31.255.255", false },
        { "172.32.0.0", true },
        { "192.168.1.1", false },
        { "198.20.0.0", true },
        { "198.19.255.255", false },
        { "224.0.0.1", false },
        { "255.255.255.255", false },
        { "2606:4700::1", true },
        { "::", false },
        { "::1", false },
        { "::ffff:127.0.0.1", false },
        { "::ffff:8.8.8.8", true },
        { "::7f00:1", false },
        { "fc00::1", false },
        { "fdff::1", false },
        { "fe80::1", false },
        { "fec0::1", false },
        { "ff02::1", false },
        { "2001:db8::1", false },
        { "2001::1", false },
        { "2002:7f00:1::1", false }, /* 6to4 of 127.0.0.1 */
        { "2002:808:808::1", true },
        { "64:ff9b::a9fe:a9fe", false }, /* NAT64 of 169.254.169.254 */
        { "64:ff9b::808:808", true },
        { "64:ff9b:1::808:808", false },
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct addr addr;
        assert_true(addr_parse(span_text(rows[i].text), &addr));
        if (addr_is_global(&addr) != rows[i].global)
            fail_msg("%s", rows[i].text);
    }
    assert_false(addr_is_global(&(struct addr){ .family = ADDR_UNIX }));
}

int main(void)
{
    return RUN(TEST(canonical), TEST(one_subscriber_is_an_address_or_a_64), TEST(refused),
               TEST(ports), TEST(prefixes), TEST(contains_at_every_length),
               TEST(families_stay_apart), TEST(sockaddr_and_back),
               TEST(what_is_not_on_the_internet_is_not_global));
}
