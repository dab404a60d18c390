/* Exclusions: which are refused, what SecLang they become, and that it means what they say. */
#include "rules/exclusion.h"

#include "rules/waf.h"
#include "tests/unit/rules/engine/kit.h"
#include "tests/unit/stage_kit.h"

static struct kit kit;
static struct text before, behind;

/* Of the YAML list `yaml`: what has to stand before and behind the rules. */
static bool write_at(const char *yaml, uint64_t now)
{
    kit_open(&kit, &waf_stage);
    struct text whole = text_growing(&kit.config_arena, 512);
    text_format(&whole, "{ruleset: none, exclude: %s}", yaml);
    if (!kit_configure(&kit, text_cstring(&whole), NULL))
        return false;
    const struct waf_conf *conf = kit.instance.conf;
    before = text_growing(&kit.config_arena, 256);
    behind = text_growing(&kit.config_arena, 256);
    exclusions_write(&conf->exclude, now, &kit.complaint, &before, &behind);
    assert_false(before.overflow || behind.overflow);
    return true;
}

static void refused(void **state)
{
    static const struct {
        const char *yaml, *says;
    } rows[] = {
        { "[{rules: [1]}]", "reason" },
        { "[{reason: r}]", "rules" },
        { "[{rules: [0], reason: r}]", "\"0\" is no rule id" },
        { "[{rules: [x], reason: r}]", "\"x\" is no rule id" },
        { "[{rules: [\"9-1\"], reason: r}]", "\"9-1\" is no rule id" },
        { "[{rules: [\"1-\"], reason: r}]", "\"1-\" is no rule id" },
        { "[{rules: [\"1 2\"], reason: r}]", "\"1 2\" is no rule id" },
        { "[{rules: [1], fields: [argz], reason: r}]", "\"argz\" is no field" },
        { "[{rules: [1], fields: [\"body:x\"], reason: r}]", "\"body:x\" is no field" },
        { "[{rules: [1], fields: [cookie], reason: r}]", "\"cookie\" is no field" },
        { "[{rules: [1], fields: ['args:a\"b'], reason: r}]", "is no field" },
        { "[{rules: [1], fields: ['args:a,b'], reason: r}]", "is no field" },
        { "[{rules: [1], fields: ['args:'], reason: r}]", "is no field" },
        { "[{rules: [1], fields: ['args:/x/'], reason: r}]", "is no field" },
        { "[{rules: [1], paths: [x], reason: r}]", "\"x\" is no path" },
        { "[{rules: [1], paths: ['/a\"b'], reason: r}]", "is no path" },
        { "[{rules: [1], methods: [get], reason: r}]", "\"get\" is no method" },
        { "[{rules: [1], expires: tomorrow, reason: r}]", "\"tomorrow\" is no day" },
        { "[{rules: [1], expires: 2027-13-01, reason: r}]", "is no day" },
    };
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        if (write_at(rows[i].yaml, 0))
            fail_msg("%s was taken", rows[i].yaml);
        if (strstr(kit_complaint(&kit), rows[i].says) == NULL)
            fail_msg("%s: %s", rows[i].yaml, kit_complaint(&kit));
        kit_close(&kit);
    }
}

/* ---- forms ----------------------------------------------------------------------------------
 */

#define RULE(id)                                                                               \
    "SecRule ARGS|REQUEST_COOKIES|REQUEST_HEADERS \"@rx bad\" \"id:" #id ",phase:2,pass,"      \
    "log\"\n"

static const struct row {
    const char *what, *yaml, *values, *logged;
} rows[] = {
    { "a rule everywhere", "[{rules: [11], reason: r}]", "ARGS_GET:a=bad", "12 13" },
    { "a range", "[{rules: [\"11-12\", 77], reason: r}]", "ARGS_GET:a=bad", "13" },
    { "an argument everywhere", "[{rules: [11], fields: [\"args:a\"], reason: r}]",
      "ARGS_GET:a=bad\nARGS_GET:b=bad", "11 12 12 13 13" },
    { "all arguments", "[{rules: [11], fields: [args], reason: r}]",
      "ARGS_GET:a=bad\nREQUEST_COOKIES:c=bad", "11 12 12 13 13" },
    { "a cookie and a field",
      "[{rules: [\"11-13\"], fields: [\"cookie:c\", \"header:x-a\"], "
      "reason: r}]",
      "REQUEST_COOKIES:C=bad\nREQUEST_HEADERS:X-A=bad\nREQUEST_HEADERS:X-B=bad", "11 12 13" },
    { "a value in JSON", "[{rules: [\"11-13\"], fields: [\"json:a.b\"], reason: r}]",
      "ARGS_POST:json.a.b=bad\nARGS_POST:json.a=bad", "11 12 13" },
    { "on a path", "[{rules: [11], paths: [/x], reason: r}]",
      "REQUEST_FILENAME=/x\nARGS_GET:a=bad", "12 13" },
    { "not below it", "[{rules: [11], paths: [/x], reason: r}]",
      "REQUEST_FILENAME=/x/y\nARGS_GET:a=bad", "11 12 13" },
    { "below it", "[{rules: [11], paths: [/x/**], reason: r}]",
      "REQUEST_FILENAME=/x/y/z\nARGS_GET:a=bad", "12 13" },
    { "and it itself", "[{rules: [11], paths: [/x/**], reason: r}]",
      "REQUEST_FILENAME=/x\nARGS_GET:a=bad", "12 13" },
    { "and not beside it", "[{rules: [11], paths: [/x/**], reason: r}]",
      "REQUEST_FILENAME=/xy\nARGS_GET:a=bad", "11 12 13" },
    { "one segment of any name", "[{rules: [11], paths: [/x/*/z], reason: r}]",
      "REQUEST_FILENAME=/x/y/z\nARGS_GET:a=bad", "12 13" },
    { "one segment, not two", "[{rules: [11], paths: [/x/*/z], reason: r}]",
      "REQUEST_FILENAME=/x/y/y/z\nARGS_GET:a=bad", "11 12 13" },
    { "a path's bytes have no meaning", "[{rules: [11], paths: [\"/a.b(c)|d\"], reason: r}]",
      "REQUEST_FILENAME=/a.b(c)|d\nARGS_GET:a=bad", "12 13" },
    { "nor as a pattern", "[{rules: [11], paths: [\"/a.b\"], reason: r}]",
      "REQUEST_FILENAME=/axb\nARGS_GET:a=bad", "11 12 13" },
    { "one of two paths, a field of two rules",
      "[{rules: [11, 13], fields: [\"args:a\"], paths: [/x, /y], reason: r}]",
      "REQUEST_FILENAME=/y\nARGS_GET:a=bad\nARGS_GET:b=bad", "11 12 12 13" },
    { "by method", "[{rules: [11], methods: [PUT, POST], reason: r}]",
      "REQUEST_METHOD=POST\nARGS_GET:a=bad", "12 13" },
    { "not by another", "[{rules: [11], methods: [PUT, POST], reason: r}]",
      "REQUEST_METHOD=POSTS\nARGS_GET:a=bad", "11 12 13" },
    { "path and method: both", "[{rules: [11], paths: [/x], methods: [PUT], reason: r}]",
      "REQUEST_FILENAME=/x\nREQUEST_METHOD=PUT\nARGS_GET:a=bad", "12 13" },
    { "path and method: one is not enough",
      "[{rules: [11], paths: [/x], methods: [PUT], reason: r}]",
      "REQUEST_FILENAME=/x\nREQUEST_METHOD=GET\nARGS_GET:a=bad", "11 12 13" },
    { "two exclusions",
      "[{rules: [11], paths: [/x], reason: r}, {rules: [12], paths: [/x], "
      "reason: r}]",
      "REQUEST_FILENAME=/x\nARGS_GET:a=bad", "13" },
};

static void forms(void **state)
{
    static struct bench bench;
    unsigned wrong = 0;
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        if (!write_at(rows[i].yaml, 0))
            fail_msg("%s: %s", rows[i].yaml, kit_complaint(&kit));
        struct text rules = text_growing(&kit.config_arena, 1024);
        text_add(&rules, text_span(&before));
        text_lit(&rules, RULE(11) RULE(12) RULE(13));
        text_add(&rules, text_span(&behind));
        bench_load(&bench, text_cstring(&rules));
        struct span ids = bench_ask(&bench, rows[i].values);
        if (!span_equal(ids, span_text(rows[i].logged))) {
            print_error("%s: \"%.*s\", not \"%s\", of\n%s\n", rows[i].what, (int)ids.len, ids.p,
                        rows[i].logged, rules.p);
            wrong++;
        }
        bench_unload(&bench);
        kit_close(&kit);
    }
    assert_int_equal(wrong, 0);
}

static void the_last_day_counts(void **state)
{
    enum { END = 1798848000 }; /* 2027-01-02T00:00Z */
    static const char yaml[] = "[{rules: [11], expires: 2027-01-01, reason: r}]";
    (void)state;
    assert_true(write_at(yaml, END - 1));
    assert_text(text_span(&behind), "SecRuleRemoveById 11\n");
    kit_close(&kit);
    assert_true(write_at(yaml, END));
    assert_int_equal(behind.len, 0);
    assert_non_null(strstr(kit_complaint(&kit), "expired on 2027-01-01"));
    kit_close(&kit);
}

int main(void)
{
    return RUN(TEST(refused), TEST(forms), TEST(the_last_day_counts));
}
