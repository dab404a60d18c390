/* Redaction: which names are secret, and which samples may not be shown. */
#include "gateway/audit/record.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

static const struct span params[] = {
    SPAN_INIT("password"), SPAN_INIT("*token*"), SPAN_INIT("api*"),
    SPAN_INIT("*_key"),    SPAN_INIT("pwd"),
};
static const struct redaction redaction = { .params = params,
                                            .param_count = ARRAY_LEN(params),
                                            .key = { 1, 2 } };

static void test_names(void **state)
{
    (void)state;
    static const struct {
        struct span name;
        bool secret;
    } cases[] = {
        { SPAN_INIT("password"), true },
        { SPAN_INIT("PassWord"), true },
        { SPAN_INIT("password2"), false },
        { SPAN_INIT("xpassword"), false },
        { SPAN_INIT("pass%77ord"), true },
        { SPAN_INIT("%70%61%73%73%77%6F%72%64"), true },
        { SPAN_INIT("user[password]"), true },
        { SPAN_INIT("user%5Bpassword%5D"), true },
        { SPAN_INIT("user.password"), true },
        { SPAN_INIT("+password"), true },
        { SPAN_INIT("token"), true },
        { SPAN_INIT("csrf_token_2"), true },
        { SPAN_INIT("toke"), false },
        { SPAN_INIT("api"), true },
        { SPAN_INIT("apikey"), true },
        { SPAN_INIT("xapi"), false },
        { SPAN_INIT("access_key"), true },
        { SPAN_INIT("access_keys"), false },
        { SPAN_INIT("_key"), true },
        { SPAN_INIT("key"), false },
        { SPAN_INIT(""), false },
        { SPAN_INIT("pass%7"), false },
        { SPAN_INIT("[]"), false },
        { SPAN_INIT("passwor%"), false },
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++)
        if (redaction_covers(&redaction, cases[i].name) != cases[i].secret)
            fail_msg("%.*s", (int)cases[i].name.len, cases[i].name.p);

    static char name[300];
    memset(name, 'n', sizeof(name));
    assert_false(redaction_covers(&redaction, span_of(name, 256)));
    assert_true(redaction_covers(&redaction, span_of(name, 257)));
    static const struct span all[] = { SPAN_INIT("*") };
    static const struct span none[] = { SPAN_INIT("") };
    struct redaction every = { .params = all, .param_count = 1 };
    struct redaction empty = { .params = none, .param_count = 1 };
    assert_true(redaction_covers(&every, SPAN("x")));
    assert_false(redaction_covers(&empty, SPAN("x")));
}

static void test_pairs(void **state)
{
    (void)state;
    struct span rest = SPAN("a=1;password=x;y=2&b&=c&pwd=&q=a=b#f");
    static const struct {
        struct span name, value, end;
        bool secret;
    } expected[] = {
        { SPAN_INIT("a"), SPAN_INIT("1"), SPAN_INIT(";"), false },
        { SPAN_INIT("password"), SPAN_INIT("x;y=2"), SPAN_INIT("&"), true },
        { SPAN_INIT("b"), SPAN_INIT(""), SPAN_INIT("&"), false },
        { SPAN_INIT(""), SPAN_INIT("c"), SPAN_INIT("&"), false },
        { SPAN_INIT("pwd"), SPAN_INIT(""), SPAN_INIT("&"), true },
        { SPAN_INIT("q"), SPAN_INIT("a=b"), SPAN_INIT("#"), false },
        { SPAN_INIT("f"), SPAN_INIT(""), SPAN_INIT(""), false },
    };
    struct redaction_pair pair;
    for (size_t i = 0; i < ARRAY_LEN(expected); i++) {
        assert_true(redaction_pair(&redaction, &rest, &pair));
        assert_true(span_equal(pair.name, expected[i].name));
        assert_true(span_equal(pair.value, expected[i].value));
        assert_true(span_equal(pair.end, expected[i].end));
        assert_int_equal(pair.secret, expected[i].secret);
    }
    assert_false(redaction_pair(&redaction, &rest, &pair));
}

static void test_samples(void **state)
{
    (void)state;
    static const struct record record = {
        .query = SPAN_INIT("q=attack&password=hunter2&z=1"),
        .referrer = SPAN_INIT("http://a/?token=hunter2"),
    };
    static const struct {
        const char *why;
        struct span field, sample;
        uint32_t offset;
        struct span value;
        bool hidden;
    } cases[] = {
        { "a plain argument", SPAN_INIT("args:q"), SPAN_INIT("attack"), 0, { 0 }, false },
        { "a secret argument",
          SPAN_INIT("args:password"),
          SPAN_INIT("hunter2"),
          0,
          { 0 },
          true },
        { "a secret part of a document",
          SPAN_INIT("json:user.password"),
          SPAN_INIT("hunter2"),
          0,
          { 0 },
          true },
        { "pairs inside an argument",
          SPAN_INIT("args:next"),
          SPAN_INIT("/?password=hunter2"),
          0,
          { 0 },
          true },
        { "any cookie", SPAN_INIT("cookie:theme"), SPAN_INIT("dark"), 0, { 0 }, true },
        { "credentials",
          SPAN_INIT("header:Authorization"),
          SPAN_INIT("Basic"),
          0,
          { 0 },
          true },
        { "a plain field",
          SPAN_INIT("header:accept"),
          SPAN_INIT("text/html"),
          0,
          { 0 },
          false },
        { "the path", SPAN_INIT("path"), SPAN_INIT("/etc/passwd"), 0, { 0 }, false },
        { "the query before", SPAN_INIT("query"), SPAN_INIT("attack"), 2, { 0 }, false },
        { "the query after", SPAN_INIT("query"), SPAN_INIT("z=1"), 26, { 0 }, false },
        { "the query at it", SPAN_INIT("query"), SPAN_INIT("hunter2"), 18, { 0 }, true },
        { "the query into it", SPAN_INIT("query"), SPAN_INIT("d=h"), 16, { 0 }, true },
        { "the query out of it", SPAN_INIT("query"), SPAN_INIT("2&z"), 24, { 0 }, true },
        { "the query elsewhere", SPAN_INIT("query"), SPAN_INIT("attack"), 3, { 0 }, true },
        { "a query of its own", SPAN_INIT("query"), SPAN_INIT("ATTACK"), 2,
          SPAN_INIT("q=ATTACK"), false },
        { "behind a secret", SPAN_INIT("query"), SPAN_INIT("ATT"), 12,
          SPAN_INIT("password=x&qATT"), true },
        { "the referer", SPAN_INIT("header:referer"), SPAN_INIT("http"), 0, { 0 }, false },
        { "the referer's secret",
          SPAN_INIT("header:referer"),
          SPAN_INIT("hunter2"),
          16,
          { 0 },
          true },
        { "a body unseen", SPAN_INIT("body"), SPAN_INIT("attack"), 0, { 0 }, true },
        { "a body", SPAN_INIT("body"), SPAN_INIT("attack"), 2, SPAN_INIT("q=attack"), false },
        { "a body with a secret before", SPAN_INIT("body"), SPAN_INIT("attack"), 17,
          SPAN_INIT("{\"password\":\"x\", attack"), true },
        { "a body with an escape before", SPAN_INIT("body"), SPAN_INIT("hunter2"), 14,
          SPAN_INIT("\\u0070assword:hunter2"), true },
        { "offset beyond", SPAN_INIT("body"), SPAN_INIT("attack"), UINT32_MAX,
          SPAN_INIT("q=attack"), true },
        { "no field", SPAN_INIT(""), SPAN_INIT("attack"), 0, { 0 }, true },
        { "no sample", SPAN_INIT("args:password"), SPAN_INIT(""), 0, { 0 }, false },
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct finding finding = { .field = cases[i].field,
                                   .sample = cases[i].sample,
                                   .offset = cases[i].offset,
                                   .value = cases[i].value };
        if (redaction_hides(&redaction, &record, &finding) != cases[i].hidden)
            fail_msg("%s", cases[i].why);
    }
}

static void test_pseudonyms(void **state)
{
    (void)state;
    char buffer[64], other[64];
    struct text a = text_fixed(buffer, sizeof(buffer)), b = text_fixed(other, sizeof(other));
    struct redaction keyed = redaction;
    redaction_pseudonym(&a, &redaction, SPAN("hunter2"));
    redaction_pseudonym(&b, &redaction, SPAN("hunter2"));
    assert_int_equal(a.len, 27);
    assert_true(span_equal(text_span(&a), text_span(&b)));
    keyed.key.k0 = 9;
    b.len = 0;
    redaction_pseudonym(&b, &keyed, SPAN("hunter2"));
    assert_false(span_equal(text_span(&a), text_span(&b)));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_names),
        cmocka_unit_test(test_pairs),
        cmocka_unit_test(test_samples),
        cmocka_unit_test(test_pseudonyms),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
