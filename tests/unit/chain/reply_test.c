/* Local answers: which form, what stands in it, and that the page's style is the one its policy
 * allows. */
#include "tests/unit/chain/bench.h"

#include <jansson.h>
#include <openssl/evp.h>
#include <openssl/sha.h>

static struct response rsp;
static struct span body;

static void render(enum reason reason, const struct reply *reply, const char *accept)
{
    assert_int_equal(fields_init(&req.fields, &arena, 2), OK);
    if (accept != NULL)
        assert_int_equal(fields_add(&req.fields, &arena, SPAN("Accept"), span_text(accept)),
                         OK);
    assert_int_equal(reply_render(&txn, reason, reply, &rsp, &body), OK);
    assert_int_equal(rsp.length, body.len);
}

static struct span value(const char *name)
{
    const struct field *field = fields_find(&rsp.fields, span_text(name));
    return field != NULL ? field->value : SPAN("");
}

static bool has(const char *text)
{
    return span_find(body, span_text(text)) >= 0;
}

static void test_the_page(void **state)
{
    (void)state;
    req.path = SPAN("/<script>");
    render(REASON_RULE, NULL, "text/html,application/xhtml+xml,*/*;q=0.8");
    assert_int_equal(rsp.status, 403);
    assert_true(span_equal(value("content-type"), SPAN("text/html; charset=utf-8")));
    assert_true(span_equal(value("cache-control"), SPAN("no-store")));
    assert_true(span_equal(value("x-content-type-options"), SPAN("nosniff")));
    assert_true(span_equal(value("referrer-policy"), SPAN("no-referrer")));
    assert_int_equal(value("date").len, 29);
    assert_in_range(body.len, 1000, 6 * 1024);
    assert_true(has("<html lang=\"en\">") && has("<main>") && has("<title>Forbidden</title>"));
    assert_true(has("The request was blocked by a security rule."));
    char code[64];
    (void)snprintf(code, sizeof(code), "<code>%.36s</code>", txn.id);
    assert_true(has(code));
    assert_false(has("script"));
    assert_false(has("http:") || has("https:") || has("url("));
}

/* A browser refuses the style if the policy's hash is not that of the bytes between the tags.
 */
static void test_the_style_is_the_one_allowed(void **state)
{
    (void)state;
    unsigned char digest[SHA256_DIGEST_LENGTH], base64[64];
    char source[128];
    render(REASON_RULE, NULL, "text/html");
    ssize_t from = span_find(body, SPAN("<style>")), to = span_find(body, SPAN("</style>"));
    assert_true(from > 0 && to > from);
    from += 7;
    SHA256((const unsigned char *)body.p + from, (size_t)(to - from), digest);
    EVP_EncodeBlock(base64, digest, sizeof(digest));
    (void)snprintf(source, sizeof(source), "style-src 'sha256-%s'", (char *)base64);
    struct span policy = value("content-security-policy");
    if (span_find(policy, span_text(source)) < 0)
        fail_msg("should be %s", source);
    assert_true(span_starts(policy, SPAN("default-src 'none'; ")));
}

static void test_the_document(void **state)
{
    (void)state;
    render(REASON_RATE_LIMIT, NULL, "*/*");
    assert_int_equal(rsp.status, 429);
    assert_true(span_equal(value("content-type"), SPAN("application/problem+json")));
    json_t *root = json_loadb(body.p, body.len, JSON_REJECT_DUPLICATES, NULL);
    assert_non_null(root);
    assert_string_equal(json_string_value(json_object_get(root, "type")), "about:blank");
    assert_string_equal(json_string_value(json_object_get(root, "title")), "Too many requests");
    assert_int_equal(json_integer_value(json_object_get(root, "status")), 429);
    assert_string_equal(json_string_value(json_object_get(root, "reason")), "rate-limit");
    const char *instance = json_string_value(json_object_get(root, "instance"));
    assert_memory_equal(instance, "urn:uuid:", 9);
    assert_memory_equal(instance + 9, txn.id, 36);
    json_decref(root);
}

static void test_who_gets_the_page(void **state)
{
    (void)state;
    static const struct {
        const char *accept;
        bool page;
    } cases[] = {
        { NULL, false },
        { "", false },
        { "*/*", false },
        { "text/*", false },
        { "text/html", true },
        { "TEXT/HTML", true },
        { "application/json, text/html ; level=1; q=0.1", true },
        { "text/html;q=0", false },
        { "text/html; q=0.000, */*", false },
        { "text/html;Q=0.", false },
        { "text/html;q=0.001", true },
        { "text/html;q=1.0", true },
        { "text/htmlx", false },
        { "x;y=\"text/html\"", false },
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        render(REASON_RULE, NULL, cases[i].accept);
        if (has("<html") != cases[i].page)
            fail_msg("%s", cases[i].accept);
    }
    txn.req = NULL; /* a head that was not understood */
    assert_int_equal(reply_render(&txn, REASON_HTTP, NULL, &rsp, &body), OK);
    assert_false(has("<html"));
}

static void test_status_and_fields_of_its_own(void **state)
{
    (void)state;
    struct reply *reply = reply_new(&txn, 501);
    assert_true(reply_field(reply, SPAN("Retry-After"), SPAN("7")));
    render(REASON_HTTP, reply, NULL);
    assert_int_equal(rsp.status, 501);
    assert_true(has("\"Not Implemented\"")); /* the status's title, not that of a 400 */
    assert_true(span_equal(value("retry-after"), SPAN("7")));
    for (unsigned i = 1; i < REPLY_FIELDS_MAX; i++)
        assert_true(reply_field(reply, SPAN("X"), SPAN("y")));
    assert_false(reply_field(reply, SPAN("X"), SPAN("y")));
    assert_false(reply_field(NULL, SPAN("X"), SPAN("y")));
}

/* CWE-113: whatever a stage makes of a client's bytes, it is one field or none. */
static void test_no_value_ends_its_field(void **state)
{
    (void)state;
    static const char *const bad[] = {
        "a\r\nb: c", "a\nb", "a\rb", " a", "a\t", "\x7f", "\x01"
    };
    struct reply *reply = reply_new(&txn, 302);
    for (size_t i = 0; i < ARRAY_LEN(bad); i++)
        assert_false(reply_field(reply, SPAN("Location"), span_text(bad[i])));
    assert_false(reply_field(reply, SPAN("Location"), SPAN("a\0b")));
    assert_true(reply_field(reply, SPAN("Location"), SPAN("a b\xc3\xa9")));
    assert_true(reply_field(reply, SPAN("Location"), SPAN("")));
}

static void test_bodies_of_its_own(void **state)
{
    (void)state;
    struct reply reply = { .status = 200, .body = SPAN("hello"), .type = SPAN("text/plain") };
    render(REASON_RESPOND, &reply, "text/html");
    assert_true(span_equal(body, SPAN("hello")));
    assert_true(span_equal(value("content-type"), SPAN("text/plain")));
    assert_int_equal(rsp.body, BODY_LENGTH);

    reply = (struct reply){ .status = 302 };
    assert_true(reply_field(&reply, SPAN("Location"), SPAN("/y")));
    render(REASON_REDIRECT, &reply, "text/html");
    assert_int_equal(body.len, 0);
    assert_true(span_equal(value("location"), SPAN("/y")));
    assert_null(fields_find(&rsp.fields, SPAN("content-type")));

    reply = (struct reply){ .status = 204, .body = SPAN("no"), .type = SPAN("text/plain") };
    render(REASON_RESPOND, &reply, NULL);
    assert_int_equal(body.len, 0);
    assert_int_equal(rsp.body, BODY_NONE);

    reply = (struct reply){ .status = 403 };
    render(REASON_RESPOND, &reply, "text/html");
    assert_true(has("<h1>Forbidden</h1>"));
}

static void test_every_reason_renders(void **state)
{
    (void)state;
    for (int i = 0; i < REASON_COUNT; i++) {
        render((enum reason)i, NULL, "text/html");
        assert_true(body.len <= 6 * 1024);
        render((enum reason)i, NULL, NULL);
    }
}

static void test_out_of_memory_says_so(void **state)
{
    (void)state;
    arena_init(&arena, NULL, 0, NULL, 0);
    req.fields = (struct fields){ 0 };
    assert_int_equal(reply_render(&txn, REASON_RULE, NULL, &rsp, &body), ERR_MEMORY);
    assert_null(reply_new(&txn, 200));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        BENCH_TEST(test_the_page),
        BENCH_TEST(test_the_style_is_the_one_allowed),
        BENCH_TEST(test_the_document),
        BENCH_TEST(test_who_gets_the_page),
        BENCH_TEST(test_status_and_fields_of_its_own),
        BENCH_TEST(test_no_value_ends_its_field),
        BENCH_TEST(test_bodies_of_its_own),
        BENCH_TEST(test_every_reason_renders),
        BENCH_TEST(test_out_of_memory_says_so),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
