/* The restrict stage: each measure at its limit and one beyond it, and what is refused at load.
 */
#include "rules/restrict.h"

#include <stdlib.h>

#include "tests/unit/check.h"
#include "tests/unit/stage_kit.h"

static struct kit kit;

static void open_with(const char *yaml)
{
    kit_open(&kit, &restrict_stage);
    if (!kit_configure(&kit, yaml, NULL))
        fail_msg("%s: %s", yaml, kit_complaint(&kit));
    kit_begin(&kit);
}

static enum reason judged(enum phase phase)
{
    struct verdict verdict = kit_run(&kit, phase);
    assert_true(verdict.action == ACTION_PASS || verdict.action == ACTION_DENY);
    return verdict.action == ACTION_PASS ? REASON_NONE : verdict.reason;
}

static void serves_the_methods_that_stand_there(void **state)
{
    (void)state;
    static const struct {
        const char *yaml, *method;
        bool served;
    } rows[] = {
        { "{methods: [GET, POST]}", "GET", true },
        { "{methods: [GET, POST]}", "HEAD", false },
        { "{methods: [GET, POST]}", "get", false },
        { "{methods: [GET, POST]}", "PROPFIND", false },
        { "{methods: [GET, PROPFIND]}", "PROPFIND", true },
        { "{methods: [GET, PROPFIND]}", "PROPPATCH", false },
        { "{methods: []}", "ANYTHING", true },
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        open_with(rows[i].yaml);
        kit.req.method = span_text(rows[i].method);
        kit.req.method_id = method_of(kit.req.method);
        if (judged(PHASE_REQUEST_HEAD) != (rows[i].served ? REASON_NONE : REASON_METHOD))
            fail_msg("%s for %s", rows[i].method, rows[i].yaml);
        kit_close(&kit);
    }
    open_with("{methods: [HEAD, POST]}");
    struct verdict verdict = kit_run(&kit, PHASE_REQUEST_HEAD);
    assert_text(kit_reply_field(&verdict, "Allow"), "HEAD, POST");
    kit_close(&kit);
}

static void counts_fields(void **state)
{
    (void)state;
    open_with("{headers: 3}");
    for (unsigned i = 0; i < 4; i++) {
        assert_int_equal(judged(PHASE_REQUEST_HEAD), REASON_NONE);
        kit_field(&kit, "X-Any", "1");
    }
    assert_int_equal(judged(PHASE_REQUEST_HEAD), REASON_HEADER_LIMIT);
    kit_close(&kit);
}

static void measures_the_target(void **state)
{
    (void)state;
    static const struct {
        struct span path, query;
        bool has_query, passes;
    } rows[] = {
        { SPAN_INIT("/345678"), SPAN_INIT(""), false, true },
        { SPAN_INIT("/3456789"), SPAN_INIT(""), false, true },
        { SPAN_INIT("/34567890"), SPAN_INIT(""), false, false },
        { SPAN_INIT("/345678"), SPAN_INIT(""), true, true },
        { SPAN_INIT("/34"), SPAN_INIT("a=b&"), true, true },
        { SPAN_INIT("/34"), SPAN_INIT("a=b&c"), true, false },
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        open_with("{uri: 8}");
        kit.req.path = kit.req.path_wire = rows[i].path;
        kit.req.query = rows[i].query;
        kit.req.has_query = rows[i].has_query;
        assert_int_equal(judged(PHASE_REQUEST_HEAD),
                         rows[i].passes ? REASON_NONE : REASON_URI_LIMIT);
        kit_close(&kit);
    }
}

static void measures_arguments(void **state)
{
    (void)state;
    static const struct {
        const char *yaml;
        struct span query;
        bool passes;
    } rows[] = {
        { "{args: 3}", SPAN_INIT("a&b=1&&c"), true },
        { "{args: 3}", SPAN_INIT("a&b=1&c&d"), false },
        { "{args: 3}", SPAN_INIT(""), true },
        { "{arg_name: 3}", SPAN_INIT("abc=1&%61%62%63=2"), true },
        { "{arg_name: 3}", SPAN_INIT("abcd"), false },
        { "{arg_length: 3}", SPAN_INIT("abcdef=123&b=%31%32%33"), true },
        { "{arg_length: 3}", SPAN_INIT("a=1&b=1234"), false },
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        open_with(rows[i].yaml);
        kit.req.query = rows[i].query;
        kit.req.has_query = true;
        if (judged(PHASE_REQUEST_HEAD) !=
            (rows[i].passes ? REASON_NONE : REASON_ARGUMENT_LIMIT))
            fail_msg("%s for %s", rows[i].query.p, rows[i].yaml);
        kit_close(&kit);
    }
}

static void bounds_declared_bodies(void **state)
{
    (void)state;
    static const struct {
        enum body_kind kind;
        uint64_t length;
        bool passes;
    } rows[] = {
        { BODY_NONE, 0, true },
        { BODY_LENGTH, 0, true },
        { BODY_LENGTH, 10240, true },
        { BODY_LENGTH, 10241, false },
        { BODY_LENGTH, UINT64_MAX, false },
        { BODY_CHUNKED, 0, true },
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        open_with("{body: 10KiB}");
        kit.req.body = rows[i].kind;
        kit.req.length = rows[i].length;
        assert_int_equal(judged(PHASE_REQUEST_HEAD),
                         rows[i].passes ? REASON_NONE : REASON_BODY_LIMIT);
        kit_close(&kit);
    }
}

static void knows_kinds_of_content(void **state)
{
    (void)state;
    static const struct {
        enum body_kind kind;
        const char *type; /* NULL: no field */
        bool passes;
    } rows[] = {
        { BODY_NONE, NULL, true },
        { BODY_NONE, "text/plain", true },
        { BODY_CHUNKED, NULL, false },
        { BODY_CHUNKED, "", false },
        { BODY_CHUNKED, "application/json", true },
        { BODY_CHUNKED, "Application/JSON ; charset=utf-8", true },
        { BODY_CHUNKED, "application/jsonx", false },
        { BODY_CHUNKED, "text/plain;application/json", false },
        { BODY_CHUNKED, "image/png", true },
        { BODY_CHUNKED, "imagex/png", false },
        { BODY_CHUNKED, "text/image/*", false },
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        open_with("{content_types: [application/json, image/*]}");
        kit.req.body = rows[i].kind;
        if (rows[i].type != NULL)
            kit_field(&kit, "Content-Type", rows[i].type);
        if (judged(PHASE_REQUEST_HEAD) != (rows[i].passes ? REASON_NONE : REASON_CONTENT_TYPE))
            fail_msg("row %zu", i);
        kit_close(&kit);
    }
}

static enum reason judge_form(const char *query, const char *type, struct span body)
{
    kit_begin(&kit);
    kit.req.query = span_text(query);
    kit.req.has_query = true;
    kit_field(&kit, "Content-Type", type);
    kit.body = body;
    return judged(PHASE_REQUEST_BODY);
}

/* Query and form are one set of arguments to the application. */
static void counts_forms_that_are_held(void **state)
{
    (void)state;
    static const char form[] = "application/x-www-form-urlencoded";
    open_with("{args: 3, arg_length: 4, body: 20}");
    assert_true(restrict_stage.wants_body(kit.instance.conf));
    assert_int_equal(judge_form("a&b", form, SPAN("c=1234")), REASON_NONE);
    assert_int_equal(judge_form("a&b", form, SPAN("c&d")), REASON_ARGUMENT_LIMIT);
    assert_int_equal(judge_form("a&b&c", form, SPAN("d")), REASON_ARGUMENT_LIMIT);
    assert_int_equal(judge_form("a&b&c&d", form, SPAN("")), REASON_ARGUMENT_LIMIT);
    assert_int_equal(judge_form("", form, SPAN("c=12345")), REASON_ARGUMENT_LIMIT);
    assert_int_equal(judge_form("", "text/plain", SPAN("c=12345")), REASON_NONE);
    assert_int_equal(judge_form("", "text/plain", SPAN("12345678901234567890")), REASON_NONE);
    assert_int_equal(judge_form("", "text/plain", SPAN("123456789012345678901")),
                     REASON_BODY_LIMIT);
    kit_close(&kit);
    open_with("{body: 20, headers: 5}"); /* a large upload is not held for its length alone */
    assert_false(restrict_stage.wants_body(kit.instance.conf));
    kit_close(&kit);
}

static void complains_of_what_cannot_be(void **state)
{
    (void)state;
    static const struct {
        const char *yaml, *says;
    } rows[] = {
        { "{methods: [get]}", "capitals" },
        { "{methods: [\"GET POST\"]}", "no method" },
        { "{content_types: [json]}", "no kind of content" },
        { "{content_types: [\"application/json; charset=x\"]}", "no kind of content" },
        { "{content_types: [\"*/*\"]}", "no kind of content" },
        { "{headers: 100001}", "100000" },
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        kit_open(&kit, &restrict_stage);
        assert_false(kit_configure(&kit, rows[i].yaml, NULL));
        if (strstr(kit_complaint(&kit), rows[i].says) == NULL)
            fail_msg("%s: %s", rows[i].yaml, kit_complaint(&kit));
        kit_close(&kit);
    }
}

static void nothing_set_is_idle(void **state)
{
    (void)state;
    static const struct {
        const char *yaml;
        bool idle;
    } rows[] = { { "{}", true },
                 { "{args: 0}", true },
                 { "{methods: [GET]}", false },
                 { "{headers: 1}", false },
                 { "{args: 1}", false },
                 { "{arg_name: 1}", false },
                 { "{arg_length: 1}", false },
                 { "{uri: 1}", false },
                 { "{body: 1}", false },
                 { "{content_types: [a/b]}", false } };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        open_with(rows[i].yaml);
        assert_int_equal(restrict_stage.idle(kit.instance.conf), rows[i].idle);
        kit_close(&kit);
    }
}

int main(void)
{
    return RUN(TEST(serves_the_methods_that_stand_there), TEST(counts_fields),
               TEST(measures_the_target), TEST(measures_arguments),
               TEST(bounds_declared_bodies), TEST(knows_kinds_of_content),
               TEST(counts_forms_that_are_held), TEST(complains_of_what_cannot_be),
               TEST(nothing_set_is_idle));
}
