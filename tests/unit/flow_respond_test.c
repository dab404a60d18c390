/*
 * Answers on their way back, held and judged: what a stage sees of them, what the client gets,
 * and how much memory that may take. One stage wants text/html, and does what the body says.
 */
#include <stdio.h>
#include <sys/socket.h>

#include <zlib.h>

#include "gateway/chain/chain.h"
#include "gateway/chain/edit.h"
#include "gateway/flow.h"
#include "tests/unit/plane/plane.h"

#include "tests/unit/check.h"

enum { LIMIT = 1000 };

static struct plane plane;
static int client = -1, up = -1; /* the far ends */

/* ---- the stage ---- */

static unsigned heads, bodies; /* how often it was asked */
static char seen[LIMIT + 1];
static size_t seen_len;
static bool seen_none, finds;

static struct verdict on_response_head(struct call *c)
{
    heads++;
    if (!edit_field(c->txn, EDIT_RESPONSE, EDIT_ADD, SPAN("X-Seen"), SPAN("yes")))
        return deny(REASON_MEMORY);
    return c->rsp->status == 299 ? deny(REASON_RULE) : pass();
}

static struct verdict on_response_body(struct call *c)
{
    bodies++;
    assert_true(c->body.len <= plane.route.response_limit);
    seen_none = c->body.p == NULL;
    seen_len = c->body.len < LIMIT ? c->body.len : LIMIT;
    if (seen_len > 0)
        memcpy(seen, c->body.p, seen_len);
    if (finds) {
        struct finding finding = { .rule = SPAN("r"), .sample = c->body };
        txn_find(c->txn, &finding);
    }
    return span_has(c->body, "secret") ? deny(REASON_RULE) : pass();
}

static bool wants_html(const void *conf, struct span media_type)
{
    (void)conf;
    return span_equal_nocase(media_type, SPAN("text/html"));
}

static const struct stage_type stage = {
    .name = "test",
    .response_type = wants_html,
    .on = { [PHASE_RESPONSE_HEAD] = on_response_head,
            [PHASE_RESPONSE_BODY] = on_response_body },
};
static const struct stage_common common = { .deadline = { .ms = 1000 } };
static struct stage_instance instance = { .type = &stage, .common = &common };

static int open_plane(void **state)
{
    (void)state;
    plane_hang_up(&client);
    plane_hang_up(&up);
    plane_open(&plane, &flow_events);
    instance.mode = MODE_BLOCK;
    finds = false;
    plane.config.instances = &instance;
    plane.config.instance_count = 1;
    plane.route.holds_response = true;
    plane.route.response_limit = LIMIT;
    plane.route.response_over_denies = false;
    for (unsigned phase = 0; phase < PHASE_COUNT; phase++) {
        plane.route.chain[phase] = &instance;
        plane.route.chain_count[phase] = stage.on[phase] != NULL;
    }
    assert_int_equal(chain_attach(&plane.worker, &plane.config), OK);
    return 0;
}

static int close_plane(void **state)
{
    (void)state;
    sessions_cut(&plane.worker);
    chain_detach(&plane.worker, &plane.config);
    plane_close(&plane);
    return 0;
}

/* ---- both ends ---- */

#define GET "GET /x HTTP/1.1\r\nHost: h\r\nAccept-Encoding: gzip, zstd\r\n\r\n"
#define HTML "HTTP/1.1 200 OK\r\nContent-Type: text/html; charset=utf-8\r\n"

static struct span asked(const char *text)
{
    heads = bodies = 0;
    seen_len = 0;
    seen_none = false;
    if (client < 0)
        client = plane_client(&plane);
    assert_true(plane_say(&plane, client, span_text(text)));
    if (up < 0)
        up = plane_accept(&plane, 0);
    assert_true(up >= 0);
    return plane_hear(&plane, up, NULL);
}

static void say(struct span text)
{
    assert_true(plane_say(&plane, up, text));
}

static void part(void)
{
    plane_hang_up(&client);
    plane_hang_up(&up);
    plane_turns(&plane, 4);
    int left = plane_accept(&plane, 0);
    plane_hang_up(&left);
    assert_int_equal(plane.worker.streams, 0);
    assert_int_equal(plane.worker.held_bytes, 0);
}

/* An answer of `len` bytes x, the length told. */
static struct span html_of(size_t len)
{
    static char answer[1024 * 1024];
    struct text out = text_fixed(answer, sizeof answer);

    text_lit(&out, HTML "Content-Length: ");
    text_uint(&out, len);
    text_lit(&out, "\r\n\r\n");
    for (size_t i = 0; i < len; i++)
        text_char(&out, 'x');
    assert_false(out.overflow);
    return text_span(&out);
}

/* ---- what is held ---- */

static void a_listed_answer_is_held_until_it_is_judged(void **state)
{
    static const char *const ends[] = {
        HTML "Content-Length: 10\r\n\r\nhello",
        HTML "Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n",
        HTML "\r\nhello",
    };
    static const char *const rests[] = { "world", "5\r\nworld\r\n0\r\n\r\n", "world" };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(ends); i++) {
        (void)asked(GET);
        say(span_text(ends[i]));
        assert_int_equal(plane_hear(&plane, client, NULL).len, 0);
        assert_int_equal(heads, 1);
        assert_int_equal(bodies, 0);
        say(span_text(rests[i]));
        if (i == 2)
            plane_hang_up(&up);
        struct span all = plane_hear(&plane, client, NULL);
        assert_true(span_has(all, "Content-Length: 10\r\n"));
        assert_true(span_has(all, "\r\n\r\nhelloworld"));
        assert_int_equal(span_count(all, "X-Seen"), 1);
        assert_int_equal(bodies, 1);
        assert_span(span_of(seen, seen_len), SPAN("helloworld"));
        part();
    }
}

static void trailers_come_behind_chunks(void **state)
{
    (void)state;
    (void)asked(GET);
    say(SPAN(HTML "Transfer-Encoding: chunked\r\nTrailer: X-Sum\r\n\r\n2\r\nok\r\n0\r\n"
                  "X-Sum: 1\r\n\r\n"));
    struct span all = plane_hear(&plane, client, NULL);
    assert_true(span_has(all, "2\r\nok\r\n0\r\nX-Sum: 1\r\n\r\n"));
    part();
}

static void other_answers_stream_and_show_no_body(void **state)
{
    static const struct {
        const char *answer, *has;
    } rows[] = {
        { "HTTP/1.1 200 OK\r\nContent-Type: image/png\r\nContent-Length: 9\r\n\r\nsecr",
          "\r\n\r\nsecr" },
        { "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nsecr", "\r\n\r\nsecr" },
        { "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\nsecr", "4\r\nsecr\r\n" },
        { HTML "Content-Encoding: compress\r\nContent-Length: 9\r\n\r\nsecr", "\r\n\r\nsecr" },
        { HTML "Content-Length: 0\r\n\r\n", "200 OK" },
        { "HTTP/1.1 204 No Content\r\n\r\n", "204 No Content" },
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        (void)asked(GET);
        say(span_text(rows[i].answer));
        assert_true(span_has(plane_hear(&plane, client, NULL), rows[i].has));
        assert_int_equal(bodies, 1);
        assert_true(seen_none);
        assert_int_equal(plane.worker.held_bytes, 0);
        part();
    }
}

/* Of two Content-Type lines a browser may believe either. */
static void the_second_type_counts_too(void **state)
{
    (void)state;
    (void)asked(GET);
    say(SPAN("HTTP/1.1 200 OK\r\nContent-Type: image/png\r\nContent-Type: text/html\r\n"
             "Content-Length: 6\r\n\r\nsecret"));
    assert_false(span_has(plane_hear(&plane, client, NULL), "secret"));
    part();
}

static void upstream_is_asked_for_what_can_be_read(void **state)
{
    static const struct {
        const char *sent, *asked; /* NULL: no such field */
    } rows[] = {
        { "gzip, zstd", "gzip, zstd" },
        { "gzip;q=0.5, dcb, br;q=1", "gzip;q=0.5, br;q=1" },
        { "GZIP\r\nAccept-Encoding: dcz, deflate", "GZIP, deflate" },
        { "*", "identity" },
        { "compress", "identity" },
        { NULL, "identity" },
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        char request[256], field[128];
        (void)snprintf(request, sizeof request, "GET / HTTP/1.1\r\nHost: h\r\n%s%s%s\r\n",
                       rows[i].sent != NULL ? "Accept-Encoding: " : "",
                       rows[i].sent != NULL ? rows[i].sent : "",
                       rows[i].sent != NULL ? "\r\n" : "");
        (void)snprintf(field, sizeof field, "Accept-Encoding: %s\r\n", rows[i].asked);
        struct span all = asked(request);
        assert_true(span_has(all, field));
        assert_int_equal(span_count(all, "Accept-Encoding"), 1);
        part();
    }
    plane.route.holds_response = false;
    assert_true(span_has(asked(GET), "Accept-Encoding: gzip, zstd\r\n"));
    part();
}

/* ---- content codings ---- */

static struct span gzipped(struct span plain)
{
    static char coded[1024 * 1024];
    z_stream z = { .next_in = (Bytef *)(uintptr_t)plain.p,
                   .avail_in = (uInt)plain.len,
                   .next_out = (Bytef *)coded,
                   .avail_out = sizeof coded };

    assert_int_equal(deflateInit2(&z, 9, Z_DEFLATED, 15 + 16, 8, Z_DEFAULT_STRATEGY), Z_OK);
    assert_int_equal(deflate(&z, Z_FINISH), Z_STREAM_END);
    struct span made = span_of(coded, z.total_out);
    assert_int_equal(deflateEnd(&z), Z_OK);
    return made;
}

/* What no coding makes much shorter. */
static unsigned noise_byte(size_t i)
{
    uint64_t x = (i + 1) * 0x9e3779b97f4a7c15u;
    x ^= x >> 29;
    x *= 0xbf58476d1ce4e5b9u;
    return (unsigned)(x >> 56);
}

static void say_coded(struct span body)
{
    char head[256];
    int len = snprintf(head, sizeof head,
                       HTML "Content-Encoding: gzip\r\nContent-Length: %zu\r\n\r\n", body.len);

    assert_true(plane_say(&plane, up, span_of(head, (size_t)len)));
    assert_true(plane_say(&plane, up, body));
}

static void codings_are_taken_off_for_the_stages(void **state)
{
    static char many[600 * 1000];

    (void)state;
    /* The client gets what upstream sent. */
    struct span coded = gzipped(SPAN("hello world"));
    (void)asked(GET);
    say_coded(coded);
    struct span all = plane_hear(&plane, client, NULL);
    assert_true(span_ends(all, coded) && span_has(all, "Content-Encoding: gzip\r\n"));
    assert_span(span_of(seen, seen_len), SPAN("hello world"));
    part();

    (void)asked(GET);
    say_coded(gzipped(SPAN("a secret in it")));
    all = plane_hear(&plane, client, NULL);
    assert_true(span_starts(all, SPAN("HTTP/1.1 403 ")));
    assert_false(span_has(all, "gzip"));
    part();

    /* In several turns of the loop. */
    plane.route.response_limit = sizeof many;
    for (size_t i = 0; i < sizeof many; i++)
        many[i] = (char)('a' + noise_byte(i) % 16);
    memcpy(many + sizeof many - 6, "secret", 6);
    (void)asked(GET);
    say_coded(gzipped(span_of(many, sizeof many)));
    assert_true(span_has(plane_hear(&plane, client, NULL), "403 "));
    part();
    (void)asked(GET);
    say_coded(gzipped(span_of(many, sizeof many - 6)));
    assert_true(span_has(plane_hear(&plane, client, NULL), "200 OK"));
    part();
    /* Who leaves in between leaves nothing behind. */
    (void)asked(GET);
    struct span body = gzipped(span_of(many, sizeof many));
    say_coded(span_sub(body, 0, body.len - 1));
    assert_int_equal(send(up, body.p + body.len - 1, 1, MSG_NOSIGNAL), 1);
    plane_turns(&plane, 1);
    plane_reset(&client);
    plane_turns(&plane, 8);
    part();
}

static void what_cannot_be_decoded_is_over_or_raw(void **state)
{
    static char zeros[100 * 1000];

    (void)state;
    /* Longer than the limit when decoded, and a bomb. */
    for (int denies = 0; denies < 2; denies++) {
        plane.route.response_over_denies = denies != 0;
        for (size_t len = LIMIT; len <= sizeof zeros;
             len = len == LIMIT ? LIMIT + 1 : len * 99) {
            (void)asked(GET);
            say_coded(gzipped(span_of(zeros, len)));
            struct span all = plane_hear(&plane, client, NULL);
            assert_true(span_has(all, denies && len > LIMIT ? "502 " : "200 OK"));
            assert_int_equal(seen_none, !denies && len > LIMIT);
            part();
        }
    }
    /* The label was a lie: what a browser might read as plain is looked at so. */
    plane.route.response_over_denies = false;
    (void)asked(GET);
    say_coded(SPAN("a secret"));
    assert_true(span_has(plane_hear(&plane, client, NULL), "403 "));
    part();
    /* Half of a coded body, since it is over the limit. */
    static char noise[4 * LIMIT];
    for (size_t i = 0; i < sizeof noise; i++)
        noise[i] = (char)noise_byte(i);
    struct span body = gzipped(span_of(noise, sizeof noise));
    assert_true(body.len > LIMIT);
    (void)asked(GET);
    say_coded(body);
    assert_true(span_ends(plane_hear(&plane, client, NULL), body));
    assert_true(seen_none);
    part();
}

/* What stands in an answer is not to be had in pieces that no rule knows. */
static void answers_are_asked_for_whole(void **state)
{
    static const char ranged[] = "GET /x HTTP/1.1\r\nHost: h\r\nRange: bytes=5-9\r\n"
                                 "range_: x\r\nIf-Range: \"a\"\r\nIf_Range: \"b\"\r\n\r\n";

    (void)state;
    struct span head = asked(ranged);
    assert_false(span_has(head, "bytes=5-9") || span_has(head, "If-Range") ||
                 span_has(head, "If_Range"));
    say(SPAN(HTML "Content-Length: 8\r\n\r\na secret"));
    assert_true(span_has(plane_hear(&plane, client, NULL), "403 "));
    part();

    plane.route.holds_response = false;
    assert_true(span_has(asked(ranged), "Range: bytes=5-9\r\n"));
    say(SPAN("HTTP/1.1 206 Partial Content\r\nContent-Range: bytes 5-6/9\r\n"
             "Content-Length: 2\r\n\r\nok"));
    assert_true(span_has(plane_hear(&plane, client, NULL), "206 "));
    part();
}

/* ---- denial ---- */

static void a_denied_answer_gives_nothing_away(void **state)
{
    static const char *const answers[] = {
        HTML "X-Inner: 1\r\nContent-Length: 9\r\n\r\na secret.",
        HTML
        "X-Inner: 1\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nasec\r\n4\r\nret.\r\n0\r\n\r\n",
        "HTTP/1.1 299 Odd\r\nX-Inner: 1\r\nContent-Type: text/html\r\nContent-Length: "
        "6\r\n\r\nsecret",
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(answers); i++) {
        (void)asked(GET);
        say(span_text(answers[i]));
        struct span all = plane_hear(&plane, client, NULL);
        assert_true(span_starts(all, SPAN("HTTP/1.1 403 ")));
        assert_false(span_has(all, "secret"));
        assert_false(span_has(all, "X-Inner"));
        /* The page has the edits of its own head phase, and not those of upstream's too. */
        assert_int_equal(span_count(all, "X-Seen"), 1);
        part();
    }
    instance.mode = MODE_DETECT;
    (void)asked(GET);
    say(span_text(answers[0]));
    assert_true(span_has(plane_hear(&plane, client, NULL), "a secret."));
    part();
}

#ifdef SALLYPORT_FAULTS
static void failures_follow_on_error(void **state)
{
    static const char *const kinds[] = { "error", "deadline", "late" };

    (void)state;
    for (int policy = ON_ERROR_DENY; policy <= ON_ERROR_PASS; policy++) {
        struct stage_common own = { .on_error = policy, .deadline = { .ms = 30 } };
        instance.common = &own;
        for (size_t i = 0; i < ARRAY_LEN(kinds); i++) {
            char request[256];
            struct text out = text_fixed(request, sizeof request);
            text_lit(&out, "GET / HTTP/1.1\r\nHost: h\r\nX-Sallyport-Fault: "
                           "stage=test;phase=response_body;kind=");
            text_add(&out, span_text(kinds[i]));
            text_lit(&out, "\r\n\r\n");
            (void)asked(text_cstring(&out));
            say(SPAN(HTML "Content-Length: 5\r\n\r\nhello"));
            struct span all = plane_hear_for(&plane, client, 1, 5000, NULL);
            assert_true(span_has(all, policy == ON_ERROR_PASS ? "hello" : "503 "));
            assert_int_equal(span_has(all, "hello"), policy == ON_ERROR_PASS);
            part();
            plane_sleep(&plane, 200); /* the late answer, too */
        }
        instance.common = &common;
    }
}
#endif

/* ---- limits ---- */

static void the_limit_is_exact(void **state)
{
    (void)state;
    for (int denies = 0; denies < 2; denies++) {
        plane.route.response_over_denies = denies != 0;
        for (size_t len = LIMIT; len <= LIMIT + 1; len++) {
            (void)asked(GET);
            say(html_of(len));
            struct span all = plane_hear(&plane, client, NULL);
            bool refused = denies && len > LIMIT;
            assert_true(span_has(all, refused ? "502 " : "200 OK"));
            assert_int_equal(span_has(all, "xxx"), !refused);
            if (!refused) {
                assert_int_equal(seen_len, LIMIT);
                assert_int_equal(span_count(all, "x"), len + span_count(all, "ext/"));
            }
            part();
        }
    }
    /* What only watches refuses nothing. */
    instance.mode = MODE_DETECT;
    (void)asked(GET);
    say(html_of(LIMIT + 1));
    assert_true(span_has(plane_hear(&plane, client, NULL), "200 OK"));
    part();
}

static void the_beginning_of_a_long_answer_is_judged(void **state)
{
    (void)state;
    (void)asked(GET);
    say(SPAN(HTML "\r\nsecret"));
    say(html_of(LIMIT));
    assert_true(span_has(plane_hear(&plane, client, NULL), "403 "));
    part();
}

static void a_long_answer_is_whole_and_in_order(void **state)
{
    static char body[3 << 20];
    struct text head = text_fixed(body, sizeof body);

    (void)state;
    for (int memory = 0; memory < 2; memory++) {
        head.len = 0;
        text_lit(&head, HTML "Content-Length: 3000000\r\n\r\n");
        size_t start = head.len;
        for (size_t i = 0; i < 3000000; i++)
            body[start + i] = (char)('a' + i / 7 % 26);
        plane.route.response_limit = memory ? 100000 : LIMIT;
        plane.config.server.limits.held = memory ? 20000 : 64 << 20;
        instance.mode = memory ? MODE_DETECT : MODE_BLOCK;
        instance.type = &stage;
        (void)asked(GET);
        size_t said = 0, got = 0;
        while (got < start + 3000000) {
            ssize_t n = send(up, body + said, start + 3000000 - said, MSG_NOSIGNAL);
            said += n > 0 ? (size_t)n : 0;
            struct span all = plane_hear(&plane, client, NULL);
            if (got == 0) {
                struct span rest = all;
                while (rest.len > 4 && !span_starts(rest, SPAN("\r\n\r\n")))
                    rest = span_sub(rest, 1, rest.len);
                all = span_sub(rest, 4, rest.len);
                got = start;
            }
            assert_memory_equal(body + got, all.p, all.len);
            got += all.len;
        }
        part();
    }
}

/* Held answers share the pool of held requests. */
static void held_answers_are_bounded_together(void **state)
{
    (void)state;
    plane.route.response_limit = 200 * 1024;
    plane.config.server.limits.held = 64 * 1024;
    (void)asked(GET);
    say(html_of(150 * 1024));
    struct span all = plane_hear(&plane, client, NULL);
    assert_true(span_has(all, "503 "));
    assert_false(span_has(all, "xxx"));
    part();
}

static void a_slow_client_is_fed_from_what_is_held(void **state)
{
    enum { BODY = 1000 * 1000 };

    (void)state;
    for (int found = 0; found < 2; found++) {
        plane.route.response_limit = BODY;
        plane.config.server.limits.response_buffer = 8 * 1024;
        finds = found != 0; /* the record looks into what was held, to the end */
        client = plane_client_pair(&plane);
        (void)asked(GET);
        say(html_of(BODY));
        plane_turns(&plane, 20);
        assert_true(plane.worker.held_bytes >= BODY);
        assert_true(plane.worker.slabs.in_use * SLAB_BYTES < 128 * 1024);
        struct span all = plane_hear_for(&plane, client, BODY + 4096, 500, NULL);
        assert_true(span_count(all, "x") >= BODY);
        part();
    }
}

/* ---- upstreams and clients that go ---- */

static void an_answer_that_breaks_while_it_is_held_is_a_502(void **state)
{
    static const char *const answers[] = {
        HTML "Content-Length: 100\r\n\r\nsecr",
        HTML "Transfer-Encoding: chunked\r\n\r\n4\r\nsecr\r\nzz\r\n",
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(answers); i++) {
        (void)asked(GET);
        say(span_text(answers[i]));
        plane_hang_up(&up);
        plane_turns(&plane, 4);
        struct span all = plane_hear(&plane, client, NULL);
        assert_true(span_has(all, "502 "));
        assert_false(span_has(all, "secr"));
        part();
    }
}

static void a_client_may_leave_while_its_answer_is_held(void **state)
{
    (void)state;
    (void)asked(GET);
    say(SPAN(HTML "\r\nhello"));
    plane_reset(&client);
    plane_turns(&plane, 4);
    part();
}

#define CASE(fn) cmocka_unit_test_setup_teardown(fn, open_plane, close_plane)

int main(void)
{
    return RUN(
        CASE(a_listed_answer_is_held_until_it_is_judged), CASE(trailers_come_behind_chunks),
        CASE(other_answers_stream_and_show_no_body), CASE(the_second_type_counts_too),
        CASE(upstream_is_asked_for_what_can_be_read),
        CASE(codings_are_taken_off_for_the_stages), CASE(what_cannot_be_decoded_is_over_or_raw),
        CASE(answers_are_asked_for_whole), CASE(a_denied_answer_gives_nothing_away),
#ifdef SALLYPORT_FAULTS
        CASE(failures_follow_on_error),
#endif
        CASE(the_limit_is_exact), CASE(the_beginning_of_a_long_answer_is_judged),
        CASE(a_long_answer_is_whole_and_in_order), CASE(held_answers_are_bounded_together),
        CASE(a_slow_client_is_fed_from_what_is_held),
        CASE(an_answer_that_breaks_while_it_is_held_is_a_502),
        CASE(a_client_may_leave_while_its_answer_is_held));
}
