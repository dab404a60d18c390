/*
 * Gates: entries that cannot match are not looked at, and what may make them match wakes them.
 *
 * Each row is run over several requests: which rules match, and how many entries were looked at
 * for that.
 */
#include "tests/unit/rules/engine/kit.h"

#define LOG ",phase:2,pass,log,t:none"
#define SET ",phase:1,pass,nolog,t:none"

struct seen {
    const char *values; /* NULL: no more */
    const char *ids;
    unsigned entries;
};

struct row {
    const char *what, *rules;
    struct seen seen[4];
};

static const struct row rows[] = {
    { "a field that is not there",
      "SecRule REQUEST_HEADERS:X-Odd \"!@rx ^a\" \"id:1" LOG "\"\n"
      "SecRule REQUEST_HEADERS:/^x-/ \"!@rx ^a\" \"id:2" LOG "\"\n"
      "SecRule RESPONSE_HEADERS:X-Odd \"!@rx ^a\" \"id:3,phase:5,pass,log,t:none\"",
      { { "REQUEST_HEADERS:X-Odder=b", "2", 1 },
        { "REQUEST_HEADERS:x-odd=b", "1 2", 2 },
        { "RESPONSE_HEADERS:X-ODD=b", "3", 1 } } },
    { "a value of any name",
      "SecRule ARGS \"!@streq a\" \"id:1" LOG "\"\n"
      "SecRule FILES|XML:/* \"!@streq a\" \"id:2" LOG "\"",
      { { "REQUEST_HEADERS:a=b", "", 0 },
        { "ARGS_GET:x=b", "1", 1 },
        { "ARGS_POST:x=a", "", 1 },
        { "FILES:x=b", "2", 1 } } },
    { "a count is asked of what is not there",
      "SecRule &REQUEST_HEADERS:Host \"@eq 0\" \"id:1" LOG "\"\n"
      "SecRule ARGS|&REQUEST_HEADERS:Host \"@eq 0\" \"id:2" LOG "\"\n"
      "SecRule &REQUEST_HEADERS:Host \"!@eq 0\" \"id:3" LOG "\"",
      { { "REQUEST_HEADERS:a=b", "1 2", 2 }, { "REQUEST_HEADERS:host=b", "3", 2 } } },
    { "or of how many there are",
      "SecRule &REQUEST_HEADERS:Host \"@eq 1\" \"id:1" LOG "\"\n"
      "SecRule &REQUEST_HEADERS:Host \"@ge 0\" \"id:2" LOG "\"",
      { { "REQUEST_HEADERS:a=b", "2", 1 }, { "REQUEST_HEADERS:host=b", "1 2", 2 } } },
    { "one that is none rules a chain out",
      "SecRule REQUEST_METHOD \"@rx ^GET\" \"id:1" LOG ",chain\"\n"
      "SecRule &REQUEST_HEADERS:Host \"@eq 0\"\n"
      "SecRule REQUEST_METHOD \"@rx ^GET\" \"id:2" LOG ",chain,setvar:tx.seen=1\"\n"
      "SecRule &REQUEST_HEADERS:Host \"@eq 0\"\n"
      "SecRule TX:seen \"@eq 1\" \"id:3" LOG "\"",
      { { "REQUEST_METHOD=GET", "1 2 3", 3 },
        { "REQUEST_METHOD=GET\nREQUEST_HEADERS:Host=b", "3", 2 } } },
    { "a variable that does not change",
      "SecAction \"id:1" SET ",setvar:tx.level=0,setvar:tx.limit=5\"\n"
      "SecRule ARGS:set \"!@streq -\" \"id:2" SET ",setvar:tx.level=%{ARGS.set}\"\n"
      "SecRule ARGS:limit \"!@streq -\" \"id:3" SET ",setvar:tx.limit=%{ARGS.limit}\"\n"
      "SecRule TX:level \"@ge %{tx.limit}\" \"id:4" LOG "\"",
      { { "ARGS_GET:set=0", "", 1 },
        { "ARGS_GET:set=4", "", 2 },
        { "ARGS_GET:set=5", "4", 2 },
        { "ARGS_GET:limit=0", "4", 2 } } },
    { "one that is taken away",
      "SecAction \"id:1" SET ",setvar:tx.a=1\"\n"
      "SecRule ARGS:x \"!@streq -\" \"id:2" SET ",setvar:!tx.a\"\n"
      "SecRule &TX:a \"@eq 0\" \"id:3" LOG "\"",
      { { "ARGS_GET:y=1", "", 0 }, { "ARGS_GET:x=1", "3", 2 } } },
    { "names that are made",
      "SecRule ARGS \"!@streq -\" \"id:1" SET ",setvar:tx.%{MATCHED_VAR}=1\"\n"
      "SecRule TX:/LEAK\\/X/ \"@eq 1\" \"id:2" LOG "\"\n"
      "SecRule TX:/le(?:ft|ak)/ \"@eq 1\" \"id:3" LOG "\"\n"
      "SecRule TX:/^odd_/ \"@eq 1\" \"id:4" LOG "\"\nSecAction \"id:5" LOG
      ",chain\"\nSecRule TX:odd_one \"@eq 1\"",
      { { "ARGS_GET:x=lak1", "", 2 },
        { "ARGS_GET:x=a_Leak/x2", "2 3", 3 },
        { "ARGS_GET:x=left", "3", 2 },
        { "ARGS_GET:x=ODD_one", "4 5", 3 } } },
    { "a later link, behind some that nobody can tell",
      "SecRule REQUEST_METHOD \"@rx ^GET\" \"id:1" LOG ",chain\"\n"
      "SecRule REQUEST_HEADERS:X-Odd \"!@streq a\"\n"
      "SecRule REQUEST_METHOD \"@rx ^GET\" \"id:2" LOG ",chain,setvar:tx.seen=1\"\n"
      "SecRule REQUEST_HEADERS:X-Odd \"!@streq a\"\n"
      "SecRule TX:seen \"@eq 1\" \"id:3" LOG "\"",
      { { "REQUEST_METHOD=GET", "3", 2 },
        { "REQUEST_METHOD=GET\nREQUEST_HEADERS:x-odd=b", "1 2 3", 3 },
        { "REQUEST_METHOD=PUT\nREQUEST_HEADERS:x-odd=b", "", 1 } } },
    { "of what matched last a rule may ask: then all links are",
      "SecRule REQUEST_METHOD \"@rx ^GET\" \"id:1" LOG ",chain\"\n"
      "SecRule REQUEST_HEADERS:X-Odd \"!@streq a\"\n"
      "SecRule MATCHED_VAR_NAME \"@streq REQUEST_METHOD\" \"id:2" LOG "\"",
      { { "REQUEST_METHOD=GET", "2", 2 }, { "REQUEST_METHOD=PUT", "", 1 } } },
    { "and of what the chain itself matched",
      "SecRule REQUEST_METHOD \"@rx ^GET\" \"id:1" LOG ",chain\"\n"
      "SecRule ARGS:a \"!@streq a\" \"chain\"\n"
      "SecRule MATCHED_VARS_NAMES \"@streq ARGS:a\" \"chain\"\nSecRule MATCHED_VARS \"@streq "
      "b\"",
      { { "REQUEST_METHOD=GET\nARGS_GET:a=b", "1", 1 },
        { "REQUEST_METHOD=GET\nARGS_GET:a=c", "", 1 } } },
};

static bool shows(struct bench *bench, const struct row *row, const struct seen *seen)
{
    struct span ids = bench_ask(bench, seen->values);
    unsigned entries = (unsigned)bench->run.counts.entries;
    if (span_equal(ids, span_text(seen->ids)) && entries == seen->entries)
        return true;
    print_error("%s: \"%s\" matched \"%.*s\", with %u entries looked at\n", row->what,
                seen->values, (int)ids.len, ids.p, entries);
    return false;
}

static void entries_sleep(void **state)
{
    bool good = true;
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct bench bench;
        bench_load(&bench, rows[i].rules);
        for (size_t j = 0; j < ARRAY_LEN(rows[i].seen) && rows[i].seen[j].values != NULL; j++)
            good = shows(&bench, &rows[i], &rows[i].seen[j]) && good;
        bench_unload(&bench);
    }
    assert_true(good);
}

/* More names than are told from each other: the others wake with any of their variable. */
static void names_beyond_the_limit(void **state)
{
    struct bench bench;
    static char rules[(PLAN_NAMED_MAX + 2) * 80];
    struct text text = text_fixed(rules, sizeof(rules) - 1);
    (void)state;
    for (unsigned i = 0; i < PLAN_NAMED_MAX / 2 + 1; i++)
        text_format(&text, "SecRule ARGS:n%u \"!@streq a\" \"id:%u" LOG "\"\n", i, i + 1);
    assert_false(text.overflow);
    bench_load(&bench, rules);
    assert_text(bench_ask(&bench, "ARGS_POST:n7=b"), "8");
    assert_int_equal(bench.run.counts.entries, 2); /* and the one beyond */
    bench_unload(&bench);
}

/* Where rules mean one argument by its name, no other is asked about. */
static void what_one_argument_is_asked(void **state)
{
    struct bench bench;
    (void)state;
    bench_load(&bench, "SecRule ARGS:a \"!@within b c\" \"id:1" LOG "\"\n"
                       "SecRule REQUEST_METHOD \"@rx ^GET\" \"id:2" LOG ",chain\"\n"
                       "SecRule ARGS:b|!ARGS:c \"!@within b c\" \"t:lowercase\"\n");
    assert_text(bench_ask(&bench, "ARGS_GET:x=1\nARGS_POST:y=2\nREQUEST_METHOD=GET"), "");
    assert_int_equal(bench.run.counts.operator_calls, 0);
    assert_text(bench_ask(&bench, "ARGS_GET:x=1\nARGS_POST:A=2\nREQUEST_METHOD=GET"), "1");
    assert_int_equal(bench.run.counts.operator_calls, 1);
    assert_text(bench_ask(&bench, "ARGS_GET:b=1\nARGS_POST:a=B\nREQUEST_METHOD=GET"), "1 2");
    assert_int_equal(bench.run.counts.operator_calls, 2);
    bench_unload(&bench);
}

/* Fields that nearly the same is looked for in are scanned alike, but asked what is theirs,
 * alone or among others. */
static void what_one_field_is_asked(void **state)
{
    static const char few[] = "REQUEST_HEADERS:a=x \xa0\nREQUEST_HEADERS:b=x \xa0";
    char values[512];
    struct text many = text_fixed(values, sizeof(values) - 1);
    struct bench bench;
    (void)state;
    bench_load(&bench,
               "SecRule REQUEST_HEADERS:a|REQUEST_HEADERS:b \"@rx x1\" \"id:1" LOG "\"\n"
               "SecRule REQUEST_HEADERS:a|REQUEST_HEADERS:b \"@rx x2\" \"id:2" LOG "\"\n"
               "SecRule REQUEST_HEADERS:b \"@validateUtf8Encoding\" \"id:3" LOG "\"\n");
    for (unsigned i = 0; i < 20; i++)
        text_format(&many, "REQUEST_HEADERS:a=%u\xa0\n", i);
    text_add(&many, span_text(few));
    assert_false(many.overflow);
    values[many.len] = '\0';
    const char *const both[] = { few, values };
    for (size_t i = 0; i < ARRAY_LEN(both); i++) {
        assert_text(bench_ask(&bench, both[i]), "3");
        assert_int_equal(bench.run.counts.operator_calls, 2); /* ahead, and for the place */
    }
    bench_unload(&bench);
}

/* Nor is a pattern tried on what has not a byte that all its matches have. */
static void what_has_the_byte_is_asked(void **state)
{
    struct bench bench;
    (void)state;
    bench_load(&bench,
               "SecRule RESPONSE_BODY \"@rx <\\?(?!xml)\" \"id:1,phase:4,pass,log,t:none\"");
    assert_text(bench_ask(&bench, "RESPONSE_BODY=?xml> it is"), "");
    assert_int_equal(bench.run.counts.operator_calls, 0);
    assert_text(bench_ask(&bench, "RESPONSE_BODY=it is <?xml>"), "");
    assert_int_equal(bench.run.counts.operator_calls, 1);
    assert_text(bench_ask(&bench, "RESPONSE_BODY=it is <?php>"), "1");
    bench_unload(&bench);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(entries_sleep),           cmocka_unit_test(what_one_argument_is_asked),
        cmocka_unit_test(what_one_field_is_asked), cmocka_unit_test(what_has_the_byte_is_asked),
        cmocka_unit_test(names_beyond_the_limit),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
