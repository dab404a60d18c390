/* What the names of expressions mean for a request, and the limits of patterns. */
#include "tests/unit/chain/bench.h"

#include "gateway/chain/pattern.h"

static const struct field_line {
    struct span name, value;
} usual_fields[] = {
    { SPAN_INIT("User-Agent"), SPAN_INIT("curl/8") },
    { SPAN_INIT("Referer"), SPAN_INIT("http://a/") },
    { SPAN_INIT("X-Two"), SPAN_INIT("a") },
    { SPAN_INIT("Cookie"), SPAN_INIT("sid=1; theme=dark") },
    { SPAN_INIT("x-two"), SPAN_INIT("b") },
    { SPAN_INIT("Cookie"), SPAN_INIT("more=x%20y") },
    { SPAN_INIT("X-Empty"), SPAN_INIT("") },
    { SPAN_INIT("Content-Type"), SPAN_INIT("Application/X-WWW-Form-Urlencoded; charset=x") },
};

static bool holds(const char *text)
{
    struct expr *expr = expression(text);
    struct expr_source source = scope_source(&txn);
    return expr_eval(expr, &source);
}

static int set_up_request(void **state)
{
    static const struct site site = { .name = "shop" };
    if (set_up(state) != 0)
        return -1;
    config.arena = &arena;
    req = (struct request){ .method = SPAN("POST"),
                            .path = SPAN("/a b;v=1"),
                            .path_plain = SPAN("/a b"),
                            .query = SPAN("q=1%27&p&q=2&a+b=c"),
                            .has_query = true,
                            .host = SPAN("shop.example.com"),
                            .scheme = SPAN("https"),
                            .body = BODY_LENGTH,
                            .length = 42 };
    assert_int_equal(fields_init(&req.fields, &arena, 8), OK);
    for (size_t i = 0; i < ARRAY_LEN(usual_fields); i++)
        assert_int_equal(
            fields_add(&req.fields, &arena, usual_fields[i].name, usual_fields[i].value), OK);
    txn.site = &site;
    txn.client = (struct addr){ .bytes = { 192, 0, 2, 9 }, .family = ADDR_V4 };
    txn.sni = SPAN("shop.example.com");
    txn.tls_version = SPAN("TLSv1.3");
    return 0;
}

static void test_every_name(void **state)
{
    (void)state;
    static const struct {
        const char *expr;
        bool holds;
    } cases[] = {
        { "method == \"POST\"", true },
        { "path == \"/a b\"", true },
        { "query == \"q=1%27&p&q=2&a+b=c\"", true },
        { "host == \"shop.example.com\"", true },
        { "scheme == \"https\"", true },
        { "user_agent starts_with \"curl\"", true },
        { "referer == \"http://a/\"", true },
        { "size == 42", true },
        { "site == \"shop\"", true },
        { "tls.sni == \"shop.example.com\"", true },
        { "tls.version == \"TLSv1.3\"", true },
        { "client.ip in \"192.0.2.0/24\"", true },
        { "client.ip in [\"10.0.0.0/8\"]", false },
        { "header(\"x-TWO\") == \"a, b\"", true },
        { "header(\"cookie\") == \"sid=1; theme=dark; more=x%20y\"", true },
        { "header(\"x-empty\") == \"\"", true },
        { "header(\"x-none\") == \"\"", false },
        { "cookie(\"theme\") == \"dark\"", true },
        { "cookie(\"more\") == \"x%20y\"", true },
        { "cookie(\"none\") == \"\"", false },
        { "arg(\"q\") == \"1'\"", true },
        { "arg(\"p\") == \"\"", true },
        { "arg(\"a b\") == \"c\"", true },
        { "arg(\"f\") == \"form\"", false },
        { "authenticated", false },
        { "user == \"alice\"", false },
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++)
        if (holds(cases[i].expr) != cases[i].holds)
            fail_msg("%s", cases[i].expr);
    txn.facts.user = SPAN("alice");
    assert_true(holds("authenticated and user == \"alice\" and client.user == \"alice\""));
    static const struct span groups[] = { SPAN_INIT("ops"), SPAN_INIT("staff") };
    static const struct claim claims[] = { { SPAN_INIT("a.b"), SPAN_INIT("x") },
                                           { SPAN_INIT("a.b"), SPAN_INIT("y") } };
    struct identity identity = {
        .groups = groups, .group_count = 2, .claims = claims, .claim_count = 2
    };
    assert_false(holds("group(\"ops\")"));
    txn.facts.identity = &identity;
    txn.facts.auth = SPAN("jwt");
    assert_true(holds("group(\"ops\") and group(\"staff\") and not group(\"op\")"));
    assert_true(holds("claim(\"a.b\") == \"x\" and auth == \"jwt\""));
    assert_false(holds("claim(\"a\") == \"\""));
    assert_false(txn.undecided);
}

static void test_forms_in_their_phase(void **state)
{
    (void)state;
    txn.run.phase = PHASE_REQUEST_BODY;
    txn.run.body = SPAN("f=form&q=other");
    assert_true(holds("arg(\"f\") == \"form\""));
    assert_true(holds("arg(\"q\") == \"1'\"")); /* the query comes first */
    assert_true(holds("size == 14"));
    txn.run.phase = PHASE_RESPONSE_HEAD;
    txn.run.body = SPAN("");
    assert_false(holds("arg(\"f\") == \"form\""));
}

static void test_other_types_are_no_forms(void **state)
{
    (void)state;
    fields_drop(&req.fields, FIELD_CONTENT_TYPE);
    txn.run.phase = PHASE_REQUEST_BODY;
    txn.run.body = SPAN("f=form");
    assert_false(holds("arg(\"f\") == \"form\""));
}

static void test_what_is_missing_equals_nothing(void **state)
{
    (void)state;
    req = (struct request){ .body = BODY_CHUNKED };
    txn.client = (struct addr){ .family = ADDR_UNIX };
    txn.sni = txn.tls_version = SPAN("");
    txn.site = NULL;
    static const char *const cases[] = {
        "method == \"\"",      "path == \"\"",
        "query == \"\"",       "host == \"\"",
        "scheme == \"\"",      "user_agent == \"\"",
        "size == 0",           "site == \"\"",
        "tls.sni == \"\"",     "client.ip in \"0.0.0.0/0\"",
        "path matches \".*\"",
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++)
        if (holds(cases[i]))
            fail_msg("%s", cases[i]);
    req.has_query = true;
    assert_true(holds("query == \"\""));
    req.body = BODY_NONE;
    assert_true(holds("size == 0"));
    txn.req = NULL;
    assert_false(
        holds("path == \"\" or arg(\"q\") == \"\" or header(\"x\") == \"\" or size == 0"));
}

static void test_too_many_arguments_are_undecided(void **state)
{
    (void)state;
    static char query[4 * SCOPE_PARAMS_MAX + 8];
    struct text text = text_fixed(query, sizeof(query));
    for (unsigned i = 0; i < SCOPE_PARAMS_MAX; i++)
        text_lit(&text, "a=b&");
    req.query = text_span(&text);
    assert_false(holds("arg(\"late\") == \"1\""));
    assert_false(txn.undecided);
    text_lit(&text, "late=1");
    req.query = text_span(&text);
    txn.scope = NULL;
    assert_true(holds("arg(\"a\") == \"b\""));
    assert_false(txn.undecided);
    assert_false(holds("arg(\"late\") == \"1\""));
    assert_true(txn.undecided);
}

static bool in_second(const struct config *of, struct worker *by, int list,
                      const struct addr *addr)
{
    assert_ptr_equal(of, &config);
    assert_ptr_equal(by, &worker);
    return list == 1 && addr->bytes[3] == 9;
}

static void test_lists(void **state)
{
    (void)state;
    static struct cidr inline_one = { .addr = { .bytes = { 192, 0, 2 }, .family = ADDR_V4 },
                                      .bits = 24 };
    static struct list_conf lists[] = { { .name = SPAN_INIT("office"),
                                          .ips = { &inline_one, 1 } },
                                        { .name = SPAN_INIT("feed") } };
    config.lists = lists;
    config.list_count = 2;
    assert_true(holds("client.ip in @office"));
    assert_false(holds("client.ip in @feed"));
    assert_false(txn.undecided);
    lists[1].file.text = SPAN("/feed");
    assert_false(holds("client.ip in @feed"));
    assert_true(txn.undecided); /* nobody has told what the file says */
    config.list_contains = in_second;
    assert_false(holds("client.ip in @office"));
    assert_true(holds("client.ip in @feed"));
}

static void test_patterns(void **state)
{
    (void)state;
    static const struct {
        const char *pattern;
        struct span text;
        enum pattern_answer answer;
    } cases[] = {
        { "^/admin", SPAN_INIT("/admin/x"), PATTERN_YES },
        { "^/admin", SPAN_INIT("/x/admin"), PATTERN_NO },
        { "a.b", SPAN_INIT("a\nb"), PATTERN_YES },
        { "^a$", SPAN_INIT("a\n"), PATTERN_NO },
        { "^$", SPAN_INIT(""), PATTERN_YES },
        { "\\xff", SPAN_INIT("\xff"), PATTERN_YES },
        { "(?i)ABC", SPAN_INIT("xabc"), PATTERN_YES },
        { "a\\x00b", SPAN_INIT("a\0b"), PATTERN_YES },
        { "^(a+)+$", SPAN_INIT("aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa!"),
          PATTERN_LIMIT },
        { "(.*)*x\\1$", SPAN_INIT("aaaaaaaaaaaaaaaaaaaaaaaaaaaaxaaaaaaaaaaaaaaaaaaay"),
          PATTERN_LIMIT },
    };
    struct patterns *patterns = patterns_new(&arena);
    struct span why;
    assert_non_null(patterns);
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        int id = patterns_add(patterns, span_text(cases[i].pattern), &arena, &why);
        assert_int_equal(id, (int)i);
        if (pattern_match(patterns, id, cases[i].text) != cases[i].answer)
            fail_msg("%s", cases[i].pattern);
    }
    assert_int_equal(pattern_match(patterns, 4, span_of(NULL, 0)), PATTERN_YES);

    static const char *const bad[] = { "(", "[a", "a**", "(*UTF)x", "\\C", "(?<n>a)(?<n>b)" };
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        why = SPAN("");
        assert_int_equal(patterns_add(patterns, span_text(bad[i]), &arena, &why), -1);
        assert_true(why.len > 0);
    }
    static char text[PATTERN_BYTES_MAX + 1];
    memset(text, 'a', sizeof(text));
    assert_true(patterns_add(patterns, span_of(text, PATTERN_BYTES_MAX), &arena, &why) >= 0);
    assert_int_equal(patterns_add(patterns, span_of(text, sizeof(text)), &arena, &why), -1);
}

#define REQUEST_TEST(name) cmocka_unit_test_setup_teardown(name, set_up_request, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        REQUEST_TEST(test_every_name),
        REQUEST_TEST(test_forms_in_their_phase),
        REQUEST_TEST(test_other_types_are_no_forms),
        REQUEST_TEST(test_what_is_missing_equals_nothing),
        REQUEST_TEST(test_too_many_arguments_are_undecided),
        REQUEST_TEST(test_lists),
        REQUEST_TEST(test_patterns),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
