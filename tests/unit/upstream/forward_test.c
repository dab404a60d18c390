/* What upstream is told about the client: by us alone, whatever the client wrote. */
#include "gateway/upstream/forward.h"

#include "gateway/http/head.h"
#include "gateway/http/write.h"
#include "tests/unit/plane/plane.h"

#include "tests/unit/check.h"

static char out_bytes[32 * 1024];
static struct {
    bool http2;
    uint8_t minor;
} version = { .minor = 1 };

/* The head as upstream receives it; `extra` are the client's field lines. */
static struct span forwarded(struct arena *arena, const char *extra, const char *client)
{
    static const struct head_limits limits = { .head_bytes = 16 * 1024,
                                               .uri_bytes = 8 * 1024,
                                               .fields = 100 };
    char head[2048];
    struct text text = text_fixed(head, sizeof head);
    struct request req = { 0 };
    struct forward_facts facts = { .id = SPAN("0193-id") };

    text_lit(&text, "GET /a?b=c HTTP/1.1\r\nHost: Shop.Example:8080\r\n");
    text_add(&text, span_text(extra));
    text_lit(&text, "\r\n");
    assert_false(text.overflow);
    struct span copy = arena_copy(arena, text_span(&text));
    assert_int_equal(request_parse(&req, copy, arena, &limits), HTTP_OK);
    req.scheme = SPAN("https");
    req.http2 = version.http2;
    req.minor = version.minor;
    assert_true(addr_parse(span_text(client), &facts.client));
    assert_true(addr_parse(SPAN("192.0.2.7"), &facts.peer));
    assert_int_equal(forward_prepare(&req, arena, &facts), OK);
    struct text out = text_fixed(out_bytes, sizeof out_bytes);
    write_request_head(&out, &req, (struct wire_framing){ .keep_alive = true });
    return text_span(&out);
}

static int open_arena(void **state)
{
    static struct arena arena;
    arena_init(&arena, NULL, 0, NULL, 1 << 20);
    *state = &arena;
    return 0;
}

static int close_arena(void **state)
{
    arena_reset(*state);
    return 0;
}

static void the_client_is_told_once_and_by_us(void **state)
{
    struct span head = forwarded(*state, "", "192.0.2.7");

    assert_true(span_starts(head, SPAN("GET /a?b=c HTTP/1.1\r\nHost: shop.example:8080\r\n")));
    assert_true(span_has(head, "\r\nX-Forwarded-For: 192.0.2.7\r\n"));
    assert_true(span_has(head, "\r\nX-Real-IP: 192.0.2.7\r\n"));
    assert_true(span_has(head, "\r\nX-Forwarded-Proto: https\r\n"));
    assert_true(span_has(head, "\r\nX-Forwarded-Host: shop.example:8080\r\n"));
    assert_true(span_has(head, "\r\nX-Request-Id: 0193-id\r\n"));
    assert_true(span_has(head, "\r\nVia: 1.1 sallyport\r\n"));
}

static void via_tells_the_version_that_came(void **state)
{
    static const struct {
        bool http2;
        uint8_t minor;
        const char *via;
    } rows[] = { { false, 1, "Via: 1.1 sallyport\r\n" },
                 { false, 0, "Via: 1.0 sallyport\r\n" },
                 { true, 1, "Via: 2 sallyport\r\n" } };

    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        version.http2 = rows[i].http2;
        version.minor = rows[i].minor;
        assert_true(span_has(forwarded(*state, "", "192.0.2.7"), rows[i].via));
    }
    version.http2 = false;
    version.minor = 1;
}

static void a_trusted_hop_stands_behind_the_client(void **state)
{
    struct span head =
        forwarded(*state, "X-Forwarded-For: 203.0.113.5, 198.51.100.1\r\n", "203.0.113.5");

    assert_true(span_has(head, "\r\nX-Forwarded-For: 203.0.113.5, 192.0.2.7\r\n"));
    assert_true(span_has(head, "\r\nX-Real-IP: 203.0.113.5\r\n"));
    assert_false(span_has(head, "198.51.100.1"));
}

/* CGI and its heirs fold `-`, `_`, `.` and case: a spoofed spelling would win there. */
static void no_spelling_of_our_fields_gets_through(void **state)
{
    static const char *const spoofs[] = {
        "X-Forwarded-For: 6.6.6.6\r\n",
        "x-forwarded-for: 6.6.6.6\r\nX-FORWARDED-FOR: 6.6.6.6\r\n",
        "X_Forwarded_For: 6.6.6.6\r\n",
        "X.Forwarded.For: 6.6.6.6\r\n",
        "x_forwarded-for: 6.6.6.6\r\n",
        "X-Real-IP: 6.6.6.6\r\n",
        "X_Real_IP: 6.6.6.6\r\n",
        "Forwarded: for=6.6.6.6\r\n",
        "X-Forwarded-Host: 6.6.6.6\r\n",
        "X-Forwarded-Proto: 6.6.6.6\r\n",
        "X_Request_Id: 6.6.6.6\r\n",
        "Expect: 100-continue\r\nX-Request-Id: 6.6.6.6\r\n",
    };

    for (size_t i = 0; i < ARRAY_LEN(spoofs); i++) {
        struct span head = forwarded(*state, spoofs[i], "192.0.2.7");
        if (span_has(head, "6.6.6.6") || span_has(head, "100-continue"))
            fail_msg("%s reached upstream", spoofs[i]);
    }
}

static void other_fields_stay_and_hop_by_hop_ones_do_not(void **state)
{
    struct span head = forwarded(*state,
                                 "X_Custom: stays\r\nConnection: keep-alive, X-Hop\r\n"
                                 "X-Hop: goes\r\nTE: trailers\r\nProxy-Connection: x\r\n"
                                 "Keep-Alive: timeout=5\r\n",
                                 "192.0.2.7");

    assert_true(span_has(head, "X_Custom: stays\r\n"));
    assert_false(span_has(head, "goes"));
    assert_false(span_has(head, "Connection"));
    assert_false(span_has(head, "Keep-Alive"));
}

static void memory_that_runs_out_is_told(void **state)
{
    struct arena small;
    struct request req = { .host = SPAN("h"), .scheme = SPAN("http") };
    struct forward_facts facts = { .id = SPAN("id") };

    (void)state;
    assert_true(addr_parse(SPAN("192.0.2.7"), &facts.client));
    facts.peer = facts.client;
    arena_init(&small, NULL, 0, NULL, 0);
    assert_int_equal(forward_prepare(&req, &small, &facts), ERR_MEMORY);
    arena_reset(&small);
}

#define CASE(fn) cmocka_unit_test_setup_teardown(fn, open_arena, close_arena)

int main(void)
{
    return RUN(CASE(the_client_is_told_once_and_by_us), CASE(via_tells_the_version_that_came),
               CASE(a_trusted_hop_stands_behind_the_client),
               CASE(no_spelling_of_our_fields_gets_through),
               CASE(other_fields_stay_and_hop_by_hop_ones_do_not),
               CASE(memory_that_runs_out_is_told));
}
