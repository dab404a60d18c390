/* Security fields: what each preset does to an answer, custom edits, and what is refused at
 * load. */
#include "auth/headers.h"

#include "tests/unit/check.h"
#include "tests/unit/stage_kit.h"

static struct kit kit;

struct pair {
    const char *name, *value; /* value NULL: not there */
};

static void answer_with(const char *yaml, const char *scheme, const struct pair *sent)
{
    kit_open(&kit, &headers_stage);
    if (!kit_configure(&kit, yaml, NULL))
        fail_msg("%s: %s", yaml, kit_complaint(&kit));
    kit_begin(&kit);
    kit.req.scheme = span_text(scheme);
    for (; sent != NULL && sent->name != NULL; sent++)
        assert_int_equal(fields_add(&kit.rsp.fields, &kit.txn_arena, span_text(sent->name),
                                    span_text(sent->value)),
                         OK);
    assert_int_equal(kit_run(&kit, PHASE_RESPONSE_HEAD).action, ACTION_PASS);
    assert_int_equal(edits_apply(&kit.txn, EDIT_RESPONSE, &kit.rsp.fields), OK);
}

static void expect(const struct pair *expected)
{
    for (; expected->name != NULL; expected++) {
        const struct field *field = fields_find(&kit.rsp.fields, span_text(expected->name));
        if ((field != NULL) != (expected->value != NULL))
            fail_msg("%s is %s", expected->name, field != NULL ? "there" : "missing");
        if (field == NULL)
            continue;
        assert_span(field->value, span_text(expected->value));
    }
    kit_close(&kit);
}

static const struct pair telling[] = { { "Server", "Apache/2.2" },
                                       { "x-powered-by", "PHP/5.3" },
                                       { "X-AspNet-Version", "4" },
                                       { "X-AspNetMvc-Version", "5" },
                                       { NULL, NULL } };

static void strict_over_https(void **state)
{
    (void)state;
    answer_with("strict", "https", telling);
    static const struct pair expected[] = {
        { "Strict-Transport-Security", "max-age=31536000; includeSubDomains" },
        { "X-Content-Type-Options", "nosniff" },
        { "X-Frame-Options", "DENY" },
        { "Referrer-Policy", "strict-origin-when-cross-origin" },
        { "Permissions-Policy",
          "accelerometer=(), camera=(), geolocation=(), gyroscope=(), magnetometer=(), "
          "microphone=(), payment=(), usb=()" },
        { "Cross-Origin-Opener-Policy", "same-origin" },
        { "Content-Security-Policy", "frame-ancestors 'none'" },
        { "Server", NULL },
        { "X-Powered-By", NULL },
        { "X-AspNet-Version", NULL },
        { "X-AspNetMvc-Version", NULL },
        { NULL, NULL },
    };
    expect(expected);
}

static void hsts_is_not_said_over_http(void **state)
{
    (void)state;
    answer_with("strict", "http", NULL);
    static const struct pair expected[] = { { "Strict-Transport-Security", NULL },
                                            { "X-Frame-Options", "DENY" },
                                            { NULL, NULL } };
    expect(expected);
}

static void basic_is_less(void **state)
{
    (void)state;
    answer_with("{preset: basic}", "https", telling);
    static const struct pair expected[] = {
        { "Strict-Transport-Security", NULL },
        { "X-Content-Type-Options", "nosniff" },
        { "X-Frame-Options", "SAMEORIGIN" },
        { "Referrer-Policy", "strict-origin-when-cross-origin" },
        { "Content-Security-Policy", NULL },
        { "Cross-Origin-Opener-Policy", NULL },
        { "Server", NULL },
        { "X-Powered-By", NULL },
        { NULL, NULL },
    };
    expect(expected);
}

static void a_policy_of_the_application_stands(void **state)
{
    (void)state;
    static const struct pair own[] = {
        { "content-security-policy", "default-src 'self'" },
        { "x-frame-options", "SAMEORIGIN" },
        { "referrer-policy", "no-referrer" },
        { "X-Content-Type-Options", "sniff-away" },
        { NULL, NULL },
    };
    answer_with("strict", "https", own);
    static const struct pair expected[] = {
        { "Content-Security-Policy", "default-src 'self'" },
        { "X-Frame-Options", "SAMEORIGIN" },
        { "Referrer-Policy", "no-referrer" },
        { "X-Content-Type-Options", "nosniff" },
        { NULL, NULL },
    };
    expect(expected);
}

static void names_go_before_the_preset(void **state)
{
    (void)state;
    static const struct pair own[] = { { "Server", "app" },
                                       { "X-Runtime", "12" },
                                       { "Content-Security-Policy", "default-src *" },
                                       { "Vary", "Cookie" },
                                       { NULL, NULL } };
    answer_with("{preset: strict, set: {x-frame-options: SAMEORIGIN, Server: mine, X-New: a}, "
                "add: {Vary: Origin}, remove: [X-Runtime, Referrer-Policy], "
                "csp: \"default-src 'self'\"}",
                "https", own);
    const struct field *vary = fields_find(&kit.rsp.fields, SPAN("Vary"));
    assert_non_null(vary);
    assert_text(vary->value, "Cookie");
    vary = fields_next(&kit.rsp.fields, vary);
    assert_non_null(vary);
    assert_text(vary->value, "Origin");
    static const struct pair expected[] = {
        { "X-Frame-Options", "SAMEORIGIN" },
        { "Server", "mine" },
        { "X-New", "a" },
        { "X-Runtime", NULL },
        { "Referrer-Policy", NULL },
        { "Content-Security-Policy", "default-src 'self'" },
        { "X-Content-Type-Options", "nosniff" },
        { NULL, NULL },
    };
    expect(expected);
}

static void without_a_preset_only_what_is_named(void **state)
{
    (void)state;
    answer_with("{preset: off, set: {X-New: a}}", "https", telling);
    static const struct pair expected[] = { { "X-New", "a" },
                                            { "Server", "Apache/2.2" },
                                            { "X-Frame-Options", NULL },
                                            { NULL, NULL } };
    expect(expected);
}

static void complains_of_what_cannot_be(void **state)
{
    (void)state;
    static const struct {
        const char *yaml, *says;
    } rows[] = {
        { "{set: {Content-Length: \"0\"}}", "Content-Length" },
        { "{add: {Transfer-Encoding: chunked}}", "Transfer-Encoding" },
        { "{remove: [Connection]}", "Connection" },
        { "{set: {\"X New\": a}}", "X New" },
        { "{set: {X-New: \"a\\r\\nSet-Cookie: b\"}}", "value of X-New" },
        { "{set: {X-New: \" a\"}}", "value of X-New" },
        { "{csp: \"a\\nb\"}", "Content-Security-Policy" },
        { "hard", "strict" },
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        kit_open(&kit, &headers_stage);
        assert_false(kit_configure(&kit, rows[i].yaml, NULL));
        if (strstr(kit_complaint(&kit), rows[i].says) == NULL)
            fail_msg("%s: %s", rows[i].yaml, kit_complaint(&kit));
        kit_close(&kit);
    }
}

static void off_is_idle(void **state)
{
    (void)state;
    static const struct {
        const char *yaml;
        bool idle;
    } rows[] = {
        { "{}", false }, /* strict, unless told otherwise */
        { "{preset: off}", true },
        { "basic", false },
        { "{preset: off, set: {A: b}}", false },
        { "{preset: off, add: {A: b}}", false },
        { "{preset: off, remove: [A]}", false },
        { "{preset: off, csp: x}", false },
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        kit_open(&kit, &headers_stage);
        assert_true(kit_configure(&kit, rows[i].yaml, NULL));
        assert_int_equal(headers_stage.idle(kit.instance.conf), rows[i].idle);
        kit_close(&kit);
    }
    kit_open(&kit, &headers_stage);
    assert_true(kit_configure(&kit, "off", NULL));
    assert_int_equal(kit.common.mode, MODE_OFF);
    kit_close(&kit);
}

int main(void)
{
    return RUN(TEST(strict_over_https), TEST(hsts_is_not_said_over_http), TEST(basic_is_less),
               TEST(a_policy_of_the_application_stands), TEST(names_go_before_the_preset),
               TEST(without_a_preset_only_what_is_named), TEST(complains_of_what_cannot_be),
               TEST(off_is_idle));
}
