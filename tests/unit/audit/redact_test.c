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

/* Log data tells of whole values, and of what a chain met before. */
static void log_data(void **state)
{
    (void)state;
    static const struct finding_source secret[] = { { SPAN_INIT("ARGS:password"),
                                                      SPAN_INIT("x") } };
    static const struct finding_source nameless[] = { { { 0 }, { 0 } } };
    static const struct finding_source body[] = { { SPAN_INIT("REQUEST_BODY"),
                                                    SPAN_INIT("{password: x}") } };
    static const struct finding_source plain[] = { { SPAN_INIT("ARGS:q"), SPAN_INIT("x") } };
    static const struct finding_source capture[] = {
        { SPAN_INIT("ARGS:q"), SPAN_INIT("a piece=1") },
        { SPAN_INIT("TX:1"), SPAN_INIT("piece") }
    };
    static const struct finding_source named[] = { { SPAN_INIT("ARGS:q"),
                                                     SPAN_INIT("http://Piece-1:80") } };
    static const struct finding_source foreign[] = {
        { SPAN_INIT("ARGS:q"), SPAN_INIT("a piece=1") },
        { SPAN_INIT("TX:1"), SPAN_INIT("other") }
    };
    static const struct finding_source circle[] = { { SPAN_INIT("TX:2"), SPAN_INIT("piece") },
                                                    { SPAN_INIT("TX:1"), SPAN_INIT("piece") } };
    static const struct finding_source taken[] = { { SPAN_INIT("ARGS:password"),
                                                     SPAN_INIT("a piece=1") },
                                                   { SPAN_INIT("TX:1"), SPAN_INIT("piece") } };
    static const struct {
        const char *why;
        struct finding finding;
        bool hidden;
    } cases[] = {
        { "a plain argument",
          { .field = SPAN_INIT("ARGS:q"), .value = SPAN_INIT("x") },
          false },
        { "a secret one",
          { .field = SPAN_INIT("ARGS:password"), .value = SPAN_INIT("x") },
          true },
        { "a secret one, counted",
          { .field = SPAN_INIT("&ARGS:password"), .value = SPAN_INIT("1") },
          true },
        { "pairs in an argument",
          { .field = SPAN_INIT("ARGS:next"), .value = SPAN_INIT("/?a=1&password=x") },
          true },
        { "a cookie",
          { .field = SPAN_INIT("REQUEST_COOKIES:a"), .value = SPAN_INIT("x") },
          true },
        { "a query",
          { .field = SPAN_INIT("QUERY_STRING"), .value = SPAN_INIT("a=%3C&b=2") },
          false },
        { "a query with a secret",
          { .field = SPAN_INIT("REQUEST_URI"), .value = SPAN_INIT("/?a=<x>&password=y") },
          true },
        { "a body",
          { .field = SPAN_INIT("REQUEST_BODY"), .value = SPAN_INIT("a text") },
          false },
        { "a body with a secret behind the sample",
          { .field = SPAN_INIT("REQUEST_BODY"), .value = SPAN_INIT("<x> password: y") },
          true },
        { "a document", { .field = SPAN_INIT("XML:/*"), .value = SPAN_INIT("text") }, true },
        { "a path",
          { .field = SPAN_INIT("REQUEST_FILENAME"), .value = SPAN_INIT("/a%20b") },
          false },
        { "a score",
          { .field = SPAN_INIT("TX:anomaly_score"), .value = SPAN_INIT("15") },
          false },
        { "a text of unknown origin",
          { .field = SPAN_INIT("TX:piece"), .value = SPAN_INIT("hunter2") },
          true },
        { "a capture", { .field = SPAN_INIT("TX:1"), .value = SPAN_INIT("1234") }, true },
        { "what matched before",
          { .field = SPAN_INIT("MATCHED_VAR"), .value = SPAN_INIT("x") },
          true },
        { "a chain that met a plain argument",
          { .field = SPAN_INIT("REQUEST_METHOD"),
            .value = SPAN_INIT("POST"),
            .sources = plain,
            .source_count = 1 },
          false },
        { "a capture of a plain argument, by a link before",
          { .field = SPAN_INIT("TX:1"),
            .value = SPAN_INIT("piece"),
            .sources = capture,
            .source_count = 2 },
          false },
        { "what matched before, as it was met",
          { .field = SPAN_INIT("MATCHED_VAR"),
            .value = SPAN_INIT("a piece=1"),
            .sources = capture,
            .source_count = 1 },
          false },
        { "a capture with a rule's punctuation around it, in lower case",
          { .field = SPAN_INIT("TX:host_ARGS:q"),
            .value = SPAN_INIT("/.piece-1/"),
            .sources = named,
            .source_count = 1 },
          false },
        { "nothing but punctuation that was not met",
          { .field = SPAN_INIT("TX:host_ARGS:q"),
            .value = SPAN_INIT(";;"),
            .sources = named,
            .source_count = 1 },
          true },
        { "a capture with more around it",
          { .field = SPAN_INIT("TX:host_ARGS:q"),
            .value = SPAN_INIT("piece-1x"),
            .sources = named,
            .source_count = 1 },
          true },
        { "a capture that is of something else",
          { .field = SPAN_INIT("TX:1"),
            .value = SPAN_INIT("other"),
            .sources = foreign,
            .source_count = 2 },
          true },
        { "a capture that stands in another one",
          { .field = SPAN_INIT("TX:1"),
            .value = SPAN_INIT("piece"),
            .sources = circle,
            .source_count = 2 },
          true },
        { "a capture of a secret",
          { .field = SPAN_INIT("TX:1"),
            .value = SPAN_INIT("piece"),
            .sources = taken,
            .source_count = 2 },
          true },
        { "a chain that met a secret",
          { .field = SPAN_INIT("REQUEST_METHOD"),
            .value = SPAN_INIT("POST"),
            .sources = secret,
            .source_count = 1 },
          true },
        { "a chain that met a body with one",
          { .field = SPAN_INIT("REQUEST_METHOD"),
            .value = SPAN_INIT("POST"),
            .sources = body,
            .source_count = 1 },
          true },
        { "a chain that met too much",
          { .field = SPAN_INIT("REQUEST_METHOD"),
            .value = SPAN_INIT("POST"),
            .sources = nameless,
            .source_count = 1 },
          true },
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        if (redaction_hides_logdata(&redaction, &cases[i].finding) != cases[i].hidden)
            fail_msg("%s", cases[i].why);
    }
}

/* What rules want hidden in one record. */
static void names_of_one_record(void **state)
{
    static const struct span more[] = { SPAN_INIT("card"), SPAN_INIT("REQUEST_BODY") };
    static const struct record record;
    struct redaction own = redaction;
    (void)state;
    struct finding card = { .field = SPAN("ARGS:Card"), .sample = SPAN("4111") };
    struct finding body = { .field = SPAN("REQUEST_BODY"),
                            .sample = SPAN("a"),
                            .value = SPAN("a") };
    struct finding other = { .field = SPAN("ARGS:q"), .sample = SPAN("x") };
    assert_false(redaction_hides(&own, &record, &card));
    assert_false(redaction_hides(&own, &record, &body));
    own.more = more;
    own.more_count = ARRAY_LEN(more);
    assert_true(redaction_hides(&own, &record, &card));
    assert_true(redaction_hides(&own, &record, &body));
    assert_false(redaction_hides(&own, &record, &other));
    own.all = true;
    assert_true(redaction_hides(&own, &record, &other));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_names),   cmocka_unit_test(test_pairs),
        cmocka_unit_test(test_samples), cmocka_unit_test(test_pseudonyms),
        cmocka_unit_test(log_data),     cmocka_unit_test(names_of_one_record),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
