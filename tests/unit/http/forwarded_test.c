/* Who the client is: never somebody whom only an untrusted hop named. */
#include "gateway/http/forwarded.h"

#include "gateway/http/section.h"
#include "tests/unit/http/http.h"

struct question {
    struct span peer, section, client; /* client: empty when the request is refused */
    const char *scheme;
};

/* 10.0.0.0/8 and 2001:db8::/32 are trusted. */
static const struct question questions[] = {
    /* nobody trusted, nobody believed */
    { SPAN_INIT("192.0.2.1"),
      SPAN_INIT("X-Forwarded-For: 1.1.1.1\r\nX-Forwarded-Proto: https\r\n"),
      SPAN_INIT("192.0.2.1"), NULL },
    { SPAN_INIT("10.0.0.1"), SPAN_INIT(""), SPAN_INIT("10.0.0.1"), NULL },
    /* X-Forwarded-For from the right */
    { SPAN_INIT("10.0.0.1"), SPAN_INIT("X-Forwarded-For: 1.1.1.1\r\n"), SPAN_INIT("1.1.1.1"),
      NULL },
    { SPAN_INIT("10.0.0.1"), SPAN_INIT("X-Forwarded-For: 9.9.9.9, 1.1.1.1\r\n"),
      SPAN_INIT("1.1.1.1"), NULL },
    { SPAN_INIT("10.0.0.1"),
      SPAN_INIT("X-Forwarded-For: 9.9.9.9, 1.1.1.1\r\nX-Forwarded-For: 10.0.0.7\r\n"),
      SPAN_INIT("1.1.1.1"), NULL },
    { SPAN_INIT("10.0.0.1"), SPAN_INIT("X-Forwarded-For: 10.0.0.3, 10.0.0.2\r\n"),
      SPAN_INIT("10.0.0.3"), NULL },
    { SPAN_INIT("10.0.0.1"), SPAN_INIT("X-Forwarded-For: 1.1.1.1:4711, 2001:db8::1\r\n"),
      SPAN_INIT("1.1.1.1"), NULL },
    { SPAN_INIT("10.0.0.1"), SPAN_INIT("X-Forwarded-For: [2001:dead::1]:80\r\n"),
      SPAN_INIT("2001:dead::1"), NULL },
    { SPAN_INIT("10.0.0.1"), SPAN_INIT("X-Forwarded-For: ::ffff:1.1.1.1\r\n"),
      SPAN_INIT("1.1.1.1"), NULL },
    /* malformed entries end the walk */
    { SPAN_INIT("10.0.0.1"), SPAN_INIT("X-Forwarded-For: 1.1.1.1, unknown\r\n"),
      SPAN_INIT("10.0.0.1"), NULL },
    { SPAN_INIT("10.0.0.1"), SPAN_INIT("X-Forwarded-For: 1.1.1.1, x, 10.0.0.2\r\n"),
      SPAN_INIT("10.0.0.2"), NULL },
    { SPAN_INIT("10.0.0.1"), SPAN_INIT("X-Forwarded-For: 1.1.1.1 10.0.0.2\r\n"),
      SPAN_INIT("10.0.0.1"), NULL },
    { SPAN_INIT("10.0.0.1"), SPAN_INIT("X-Forwarded-For: \"1.1.1.1\"\r\n"),
      SPAN_INIT("10.0.0.1"), NULL },
    /* the scheme, from the right too */
    { SPAN_INIT("10.0.0.1"),
      SPAN_INIT("X-Forwarded-For: 1.1.1.1\r\nX-Forwarded-Proto: http, HTTPS\r\n"),
      SPAN_INIT("1.1.1.1"), "https" },
    { SPAN_INIT("10.0.0.1"), SPAN_INIT("X-Forwarded-Proto: gopher\r\n"), SPAN_INIT("10.0.0.1"),
      NULL },
    /* RFC 7239 */
    { SPAN_INIT("10.0.0.1"), SPAN_INIT("Forwarded: for=9.9.9.9, For=1.1.1.1;proto=https\r\n"),
      SPAN_INIT("1.1.1.1"), "https" },
    { SPAN_INIT("10.0.0.1"),
      SPAN_INIT("Forwarded: by=\"a,b\";for=\"[2001:dead::1]:80\";proto=http, for=10.1.1.1\r\n"),
      SPAN_INIT("2001:dead::1"), "http" },
    { SPAN_INIT("10.0.0.1"), SPAN_INIT("Forwarded: for=1.1.1.1, for=unknown\r\n"),
      SPAN_INIT("10.0.0.1"), NULL },
    { SPAN_INIT("10.0.0.1"), SPAN_INIT("Forwarded: for=_secret\r\n"), SPAN_INIT("10.0.0.1"),
      NULL },
    { SPAN_INIT("10.0.0.1"), SPAN_INIT("Forwarded: for=1.1.1.1;for=2.2.2.2\r\n"),
      SPAN_INIT("10.0.0.1"), NULL },
    { SPAN_INIT("10.0.0.1"), SPAN_INIT("Forwarded: proto=https\r\n"), SPAN_INIT("10.0.0.1"),
      NULL },
    { SPAN_INIT("10.0.0.1"), SPAN_INIT("Forwarded: for=1.1.1.1;\r\n"), SPAN_INIT("10.0.0.1"),
      NULL },
    { SPAN_INIT("10.0.0.1"), SPAN_INIT("Forwarded: for=\"1.1.1.1\r\n"), SPAN_INIT("10.0.0.1"),
      NULL },
    { SPAN_INIT("10.0.0.1"), SPAN_INIT("Forwarded: for=\"1.1\\.1.1\"\r\n"),
      SPAN_INIT("10.0.0.1"), NULL },
    /* an open quote cannot swallow what the proxy adds: who leaves one is not the proxy */
    { SPAN_INIT("10.0.0.1"), SPAN_INIT("Forwarded: for=9.9.9.9;by=\"x, for=1.1.1.1\r\n"),
      SPAN_INIT("1.1.1.1"), NULL },
    { SPAN_INIT("10.0.0.1"), SPAN_INIT("Forwarded: for=\"x\\, for=\"1.1.1.1\"\r\n"),
      SPAN_INIT("1.1.1.1"), NULL },
    { SPAN_INIT("10.0.0.1"), SPAN_INIT("X-Forwarded-For: \", 1.1.1.1\r\n"),
      SPAN_INIT("1.1.1.1"), NULL },
    { SPAN_INIT("10.0.0.1"), SPAN_INIT("X-Forwarded-For: 9.9.9.9\", 1.1.1.1, 10.0.0.2\r\n"),
      SPAN_INIT("1.1.1.1"), NULL },
    { SPAN_INIT("10.0.0.1"),
      SPAN_INIT("X-Forwarded-For: 1.1.1.1\r\nX-Forwarded-Proto: \", https\r\n"),
      SPAN_INIT("1.1.1.1"), "https" },
    /* quoted commas of the proxy's own */
    { SPAN_INIT("10.0.0.1"), SPAN_INIT("Forwarded: for=9.9.9.9, for=1.1.1.1;ext=\"a,b\"\r\n"),
      SPAN_INIT("1.1.1.1"), NULL },
    /* both: the same, or none */
    { SPAN_INIT("10.0.0.1"),
      SPAN_INIT("Forwarded: for=1.1.1.1\r\nX-Forwarded-For: 1.1.1.1\r\n"), SPAN_INIT("1.1.1.1"),
      NULL },
    { SPAN_INIT("10.0.0.1"),
      SPAN_INIT("Forwarded: for=1.1.1.1;proto=https\r\nX-Forwarded-For: 2.2.2.2\r\n"),
      SPAN_INIT(""), NULL },
    { SPAN_INIT("10.0.0.1"), SPAN_INIT("Forwarded: x\r\nX-Forwarded-For: 2.2.2.2\r\n"),
      SPAN_INIT(""), NULL },
    { SPAN_INIT("192.0.2.1"), SPAN_INIT("Forwarded: x\r\nX-Forwarded-For: 2.2.2.2\r\n"),
      SPAN_INIT("192.0.2.1"), NULL },
};

static void trust(struct cidrs *cidrs)
{
    static struct cidr items[2];

    assert_true(cidr_parse(SPAN("10.0.0.0/8"), false, &items[0]));
    assert_true(cidr_parse(SPAN("2001:db8::/32"), false, &items[1]));
    *cidrs = (struct cidrs){ items, 2 };
}

static enum http_error ask(struct span section, struct span peer_text, struct addr *client,
                           struct span *scheme)
{
    struct fields fields = { 0 };
    struct cidrs trusted;
    struct addr peer;
    char buffer[2048];
    struct text whole = text_fixed(buffer, sizeof buffer);

    trust(&trusted);
    assert_true(addr_parse(peer_text, &peer));
    text_add(&whole, section);
    text_lit(&whole, "\r\n");
    assert_http(section_parse(&fields, exact(text_span(&whole)), 100, fresh_arena()), HTTP_OK);
    return forwarded_client(&fields, &peer, &trusted, client, scheme);
}

static void test_questions(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(questions); i++) {
        struct addr client, wanted;
        struct span scheme, answer = questions[i].client;
        bool refused = answer.len == 0;
        assert_http(ask(questions[i].section, questions[i].peer, &client, &scheme),
                    refused ? HTTP_FORWARDED : HTTP_OK);
        assert_true(addr_parse(refused ? questions[i].peer : answer, &wanted));
        if (!addr_equal(&client, &wanted))
            fail_msg("%.*s", (int)questions[i].section.len, questions[i].section.p);
        assert_span(scheme, span_text(questions[i].scheme));
    }
}

/* A list longer than we walk: its right end counts, and the walk ends at the last hop seen. */
static void test_hops(void **state)
{
    char buffer[2000];

    (void)state;
    for (unsigned hops = FORWARDED_HOPS_MAX - 1; hops <= FORWARDED_HOPS_MAX; hops++) {
        struct text section = text_fixed(buffer, sizeof buffer);
        struct addr client, wanted;
        struct span scheme;
        text_lit(&section, "X-Forwarded-For: 8.8.8.8, 1.1.1.1");
        for (unsigned i = hops; i > 0; i--)
            text_format(&section, ", 10.0.1.%u", i);
        text_lit(&section, "\r\n");
        assert_http(ask(text_span(&section), SPAN("10.0.0.1"), &client, &scheme), HTTP_OK);
        struct span last = hops < FORWARDED_HOPS_MAX ? SPAN("1.1.1.1") : SPAN("10.0.1.32");
        assert_true(addr_parse(last, &wanted));
        assert_true(addr_equal(&client, &wanted));
    }
}

int main(void)
{
    return finish(RUN(TEST(test_questions), TEST(test_hops)));
}
