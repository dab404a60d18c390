/* PROXY protocol heads: both versions, cut at every byte, and every wrong form refused. */
#include "gateway/net/proxyproto.h"

#include <stdlib.h>

#include "tests/unit/check.h"

#define SIGNATURE "\r\n\r\n\0\r\nQUIT\n"
#define V4_BLOCK "\xc0\x00\x02\x01\xc6\x33\x64\x02\x12\x34\x01\xbb"
#define V6_BLOCK                                                                               \
    "\x20\x01\x0d\xb8\0\0\0\0\0\0\0\0\0\0\0\x01\x20\x01\x0d\xb8\0\0\0\0\0\0\0\0\0\0\0\x02"     \
    "\x12\x34\x01\xbb"

struct proxied {
    struct span input;
    ssize_t result;
    const char *client; /* NULL: unchanged */
    uint16_t port;
};

#define WHOLE(text) SPAN_INIT(text), sizeof(text) - 1
#define BAD(text)                                                                              \
    {                                                                                          \
        SPAN_INIT(text), PROXY_BAD, NULL, 0                                                    \
    }
#define MORE(text)                                                                             \
    {                                                                                          \
        SPAN_INIT(text), PROXY_MORE, NULL, 0                                                   \
    }

static const struct proxied cases[] = {
    { WHOLE("PROXY TCP4 192.0.2.1 198.51.100.2 4660 443\r\n"), "192.0.2.1", 4660 },
    { WHOLE("PROXY TCP6 2001:db8::1 2001:db8::2 0 65535\r\n"), "2001:db8::1", 0 },
    { WHOLE("PROXY TCP6 ::ffff:192.0.2.1 2001:db8::2 1 2\r\n"), "192.0.2.1", 1 },
    { WHOLE("PROXY UNKNOWN\r\n"), NULL, 0 },
    { WHOLE("PROXY UNKNOWN ffff::1 whatever 1\r\n"), NULL, 0 },
    { SPAN_INIT("PROXY TCP4 192.0.2.1 192.0.2.2 1 2\r\nGET /"), 36, "192.0.2.1", 1 },
    { WHOLE(SIGNATURE "\x21\x11\x00\x0c" V4_BLOCK), "192.0.2.1", 0x1234 },
    { WHOLE(SIGNATURE "\x21\x21\x00\x24" V6_BLOCK), "2001:db8::1", 0x1234 },
    { WHOLE(SIGNATURE "\x21\x11\x00\x11" V4_BLOCK "\x04\x00\x02"
                      "ab"),
      "192.0.2.1", 0x1234 },
    { WHOLE(SIGNATURE "\x20\x11\x00\x0c" V4_BLOCK), NULL, 0 },
    { WHOLE(SIGNATURE "\x20\x00\x00\x03"
                      "abc"),
      NULL, 0 },
    { WHOLE(SIGNATURE "\x21\x00\x00\x00"), NULL, 0 },
    MORE(""),
    MORE("P"),
    MORE("PROXY "),
    MORE("PROXY TCP4 192.0.2.1"),
    MORE("PROXY UNKNOWN\r"),
    MORE("\r\n\r\n"),
    MORE(SIGNATURE),
    MORE(SIGNATURE "\x21\x11\x00\x0c"),
    BAD("GET / HTTP/1.1\r\n"),
    BAD("proxy TCP4 192.0.2.1 192.0.2.2 1 2\r\n"),
    BAD("PROXY\r\n"),
    BAD("PROXY \r\n"),
    BAD("PROXY UNKNOWNX\r\n"),
    BAD("PROXY TCP5 192.0.2.1 192.0.2.2 1 2\r\n"),
    BAD("PROXY TCP4 192.0.2.1 192.0.2.2 1 2\n"),
    BAD("PROXY TCP4 192.0.2.1 192.0.2.2 1\r2\r\n"),
    BAD("PROXY TCP4 192.0.2.1 192.0.2.2 1\r\n"),
    BAD("PROXY TCP4 192.0.2.1 192.0.2.2 1 2 3\r\n"),
    BAD("PROXY TCP4 192.0.2.1 192.0.2.2 1 2 \r\n"),
    BAD("PROXY TCP4  192.0.2.1 192.0.2.2 1 2\r\n"),
    BAD("PROXY TCP4 192.0.2.1 192.0.2.2 01 2\r\n"),
    BAD("PROXY TCP4 192.0.2.1 192.0.2.2 65536 2\r\n"),
    BAD("PROXY TCP4 192.0.2.1 192.0.2.2 -1 2\r\n"),
    BAD("PROXY TCP4 192.0.2.01 192.0.2.2 1 2\r\n"),
    BAD("PROXY TCP4 2001:db8::1 2001:db8::2 1 2\r\n"),
    BAD("PROXY TCP6 192.0.2.1 192.0.2.2 1 2\r\n"),
    BAD("\r\n\r\nX"),
    BAD(SIGNATURE "\x11"),
    BAD(SIGNATURE "\x22\x11\x00\x0c" V4_BLOCK),
    BAD(SIGNATURE "\x21\x12\x00\x0c" V4_BLOCK),
    BAD(SIGNATURE "\x21\x11\x00\x0b" V4_BLOCK),
    BAD(SIGNATURE "\x21\x21\x00\x0c" V4_BLOCK),
    BAD(SIGNATURE "\x21\x11\x02\x09"),
    BAD(SIGNATURE "\x21\x11\x00\x0e" V4_BLOCK "\x04\x00"),
    BAD(SIGNATURE "\x21\x11\x00\x0f" V4_BLOCK "\x04\x00\x01"),
};

/* Every shorter piece asks for more, or refuses early what would be refused. */
static void test_cases(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct addr before, client, wanted;
        size_t most = cases[i].result > 0 ? (size_t)cases[i].result : cases[i].input.len;

        assert_true(addr_parse(SPAN("203.0.113.9"), &before));
        for (size_t len = 0; len <= cases[i].input.len; len++) {
            char *bytes = malloc(len > 0 ? len : 1);
            assert_non_null(bytes);
            memcpy(bytes, cases[i].input.p, len);
            client = before;
            ssize_t result = proxy_head_parse(span_of(bytes, len), &client);
            free(bytes);
            bool whole = len >= most && len == (cases[i].result > 0 ? len : most);
            ssize_t expected = whole ? cases[i].result : PROXY_MORE;
            bool early = result == PROXY_BAD && cases[i].result == PROXY_BAD;
            if (result != expected && !early)
                fail_msg("case %zu, %zu bytes: %zd", i, len, result);
            if (result < 0)
                assert_true(addr_equal(&client, &before));
        }
        if (cases[i].result < 0)
            continue;
        assert_true(addr_parse(
            cases[i].client ? span_text(cases[i].client) : SPAN("203.0.113.9"), &wanted));
        assert_true(addr_equal(&client, &wanted));
        assert_int_equal(client.port, cases[i].port);
    }
}

/* 107 bytes of version 1 and 520 behind the fixed part of version 2, and one more of each. */
static void test_limits(void **state)
{
    char head[PROXY_HEAD_MAX + 1];
    struct addr client = { 0 };

    (void)state;
    for (size_t len = 107; len <= 108; len++) {
        memset(head, 'x', sizeof head);
        memcpy(head, "PROXY UNKNOWN ", 14);
        memcpy(head + len - 2, "\r\n", 2);
        assert_int_equal(proxy_head_parse(span_of(head, len), &client),
                         len == 107 ? 107 : PROXY_BAD);
    }
    assert_int_equal(proxy_head_parse(span_of(head, 106), &client), PROXY_MORE);
    for (unsigned extra = 0; extra < 2; extra++) {
        memset(head, 0, sizeof head);
        memcpy(head, SIGNATURE "\x20\x00\x02", 15);
        head[15] = (char)(8 + extra);
        assert_int_equal(proxy_head_parse(span_of(head, sizeof head), &client),
                         extra ? PROXY_BAD : PROXY_HEAD_MAX);
    }
}

int main(void)
{
    return RUN(TEST(test_cases), TEST(test_limits));
}
