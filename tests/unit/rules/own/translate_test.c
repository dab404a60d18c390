/*
 * Rules of the configuration as rules of a program: which values a target names, in which
 * forms patterns are looked for, what follows, and what cannot be translated.
 */
#include "tests/unit/rules/own/kit.h"

static struct own_kit kit;

static struct rule_source rule_of(const char *name, const char *match, const char *in,
                                  const char *transform)
{
    static struct span patterns[16];
    static unsigned used;
    struct span *pattern = &patterns[used++ % ARRAY_LEN(patterns)];
    if (kit.load_arena.ceiling == 0)
        arena_init(&kit.load_arena, NULL, 0, NULL, 1 << 28);
    *pattern = span_text(match);
    return (struct rule_source){ .name = span_text(name),
                                 .match = { pattern, 1 },
                                 .in = own_kit_texts(&kit, in),
                                 .transform = own_kit_texts(&kit, transform),
                                 .action = RULE_LOG };
}

static void close_kit(void)
{
    own_kit_close(&kit);
    memset(&kit, 0, sizeof(kit));
}

static bool fires(const char *in, const char *target, const char *name)
{
    struct rule_source rule = rule_of("r", "evil", in, "none");
    assert_int_equal(own_kit_open(&kit, &rule, 1), OK);
    own_kit_add(&kit, span_text(target), span_text(name), SPAN("an evil text"));
    assert_int_equal(own_kit_run(&kit, UINT64_MAX), SEC_DONE);
    bool fired = own_kit_fired(&kit, SPAN("r"));
    close_kit();
    return fired;
}

static void targets(void **state)
{
    (void)state;
    static const struct {
        const char *in, *target, *name;
        bool fires;
    } rows[] = {
        { "method", "method", "", true },
        { "host", "host", "", true },
        { "path", "path", "", true },
        { "path", "query", "", false },
        { "query", "query", "", true },
        { "args", "args", "q", true },
        { "arg:q", "args", "q", true },
        { "arg:q", "args", "Q", false },
        { "arg:q", "args", "r", false },
        { "arg_names", "arg_names", "q", true },
        { "headers", "headers", "x-a", true },
        { "headers", "user_agent", "", true },
        { "header:X-A", "headers", "x-a", true },
        { "header:x-b", "headers", "x-a", false },
        { "user_agent", "user_agent", "", true },
        { "user_agent", "headers", "x-a", false },
        { "referer", "referer", "", true },
        { "referer", "user_agent", "", false },
        { "cookies", "cookies", "c", true },
        { "cookie:c", "cookies", "c", true },
        { "cookie:c", "cookies", "C", false },
        { "body", "body", "", true },
        { "body", "args", "q", false },
        { "all", "body", "", true },
        { "all", "headers", "x-a", true },
        { "path, arg:q", "args", "q", true },
        { "response_headers", "response_headers", "x-a", true },
        { "response_header:X-A", "response_headers", "x-a", true },
        { "response_header:x-b", "response_headers", "x-a", false },
        { "response_headers", "headers", "x-a", false },
        { "headers", "response_headers", "x-a", false },
        { "response_body", "response_body", "", true },
        { "body", "response_body", "", false },
        { "all", "response_body", "", false },
        { "all", "response_headers", "x-a", false },
        { "arg:q, response_body", "args", "q", true },
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        if (fires(rows[i].in, rows[i].target, rows[i].name) != rows[i].fires)
            fail_msg("%s of %s %s", rows[i].in, rows[i].target, rows[i].name);
    }
}

static void forms(void **state)
{
    (void)state;
    static const struct {
        const char *match, *transform, *text;
        bool fires;
    } rows[] = {
        { "evil", "none", "EVIL", false },
        { "evil", "lowercase", "EVIL", true },
        { "EVIL", "lowercase", "evil", true },
        { "%65vil", "url_decode", "%65vil", true }, /* as it came, too */
        { "evil", "url_decode", "%2565vil", true },
        { "evil", "url_decode", "%25252565vil", false },
        { "Evil", "lowercase, url_decode", "%45vil", true },
        { "<b>", "url_decode, html_decode", "%26lt;b%26gt;", true },
        { "^evil$", "none", "evil\n", false },
        { "^evil$", "none", "evil", true },
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct rule_source rule = rule_of("r", rows[i].match, "args", rows[i].transform);
        assert_int_equal(own_kit_open(&kit, &rule, 1), OK);
        own_kit_add(&kit, SPAN("args"), SPAN("q"), span_text(rows[i].text));
        assert_int_equal(own_kit_run(&kit, UINT64_MAX), SEC_DONE);
        if (own_kit_fired(&kit, SPAN("r")) != rows[i].fires)
            fail_msg("%s after %s in %s", rows[i].match, rows[i].transform, rows[i].text);
        close_kit();
    }
}

/* The decisions themselves are the stage's tests; here, that each fires once, and pauses. */
static void once_and_with_pauses(void **state)
{
    (void)state;
    struct rule_source rules[3] = { rule_of("a", "evil", "args", "none"),
                                    rule_of("b", "evil", "all", "url_decode"),
                                    rule_of("c", "good", "all", "none") };
    rules[0].action = RULE_SCORE;
    rules[0].score = 3;
    rules[1].action = RULE_SCORE;
    rules[1].score = 2;
    assert_int_equal(own_kit_open(&kit, rules, 3), OK);
    for (uint64_t slice = 0; slice < 2; slice++) {
        own_kit_begin(&kit);
        own_kit_add(&kit, SPAN("args"), SPAN("q"), SPAN("evil"));
        own_kit_add(&kit, SPAN("args"), SPAN("r"), SPAN("ev%69l evil"));
        assert_int_equal(own_kit_run(&kit, slice == 0 ? 0 : UINT64_MAX), SEC_DONE);
        assert_int_equal(kit.run.match_count, 2);
        assert_int_equal(kit.run.own.score, 5);
        assert_true(kit.run.own.refused);
        assert_null(kit.run.own.by);
        assert_false(own_kit_fired(&kit, SPAN("c")));
    }
    close_kit();
}

/* What a request scores and what its answer scores are two sums. */
static void answers_have_scores_of_their_own(void **state)
{
    (void)state;
    struct rule_source rules[3] = { rule_of("a", "evil", "args", "none"),
                                    rule_of("b", "evil", "response_headers", "none"),
                                    rule_of("c", "evil", "response_body", "none") };
    for (size_t i = 0; i < 3; i++) {
        rules[i].action = RULE_SCORE;
        rules[i].score = 3;
    }
    assert_int_equal(own_kit_open(&kit, rules, 3), OK);
    for (unsigned both = 0; both < 2; both++) {
        own_kit_begin(&kit);
        own_kit_add(&kit, SPAN("args"), SPAN("q"), SPAN("evil"));
        own_kit_add(&kit, SPAN("response_headers"), SPAN("x-a"), SPAN("evil"));
        if (both != 0)
            own_kit_add(&kit, SPAN("response_body"), SPAN(""), SPAN("evil"));
        assert_int_equal(own_kit_run(&kit, UINT64_MAX), SEC_DONE);
        assert_int_equal(kit.run.own.score, 3);
        assert_int_equal(kit.run.own.out_score, both != 0 ? 6 : 3);
        assert_int_equal(kit.run.own.refused, both != 0);
    }
    close_kit();
}

/* Parts of a longer text have no beginning and no end of their own. */
static void anchors_in_windows(void **state)
{
    (void)state;
    struct rule_source rules[3] = { rule_of("start", "^evil", "body", "none"),
                                    rule_of("end", "evil$", "body", "none"),
                                    rule_of("any", "evil", "body", "none") };
    static const struct {
        bool goes_back, goes_on, start, end;
    } rows[] = {
        { false, false, true, true },
        { true, false, false, true },
        { false, true, true, false },
        { true, true, false, false },
    };
    assert_int_equal(own_kit_open(&kit, rules, 3), OK);
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        own_kit_begin(&kit);
        own_kit_add(&kit, SPAN("body"), SPAN(""), SPAN("evil"));
        struct sec_value *value = kit.run.values.lists[VAR_OWN_BODY].items[0];
        value->goes_back = rows[i].goes_back;
        value->goes_on = rows[i].goes_on;
        assert_int_equal(own_kit_run(&kit, UINT64_MAX), SEC_DONE);
        assert_int_equal(own_kit_fired(&kit, SPAN("start")), rows[i].start);
        assert_int_equal(own_kit_fired(&kit, SPAN("end")), rows[i].end);
        assert_true(own_kit_fired(&kit, SPAN("any")));
    }
    close_kit();
}

static void what_cannot_be(void **state)
{
    (void)state;
    static const struct {
        const char *match, *in, *transform, *says;
    } rows[] = {
        { "x", "bogus", "none", "rule \"r\": \"bogus\": there is no such target" },
        { "x", "arg:", "none", "a name is missing behind the colon" },
        { "x", "args", "rot13", "\"rot13\": there is no such transformation" },
        { "x", "args", "url_decode, url_decode, url_decode, url_decode, url_decode, url_decode",
          "too many transformations in one rule" },
        { "(x", "args", "none", "rule \"r\": \"(x\": Missing close parenthesis" },
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct rule_source rule = rule_of("r", rows[i].match, rows[i].in, rows[i].transform);
        assert_int_equal(own_kit_open(&kit, &rule, 1), ERR_CONFIG);
        kit.said[kit.why.len] = '\0';
        if (strstr(kit.said, rows[i].says) == NULL)
            fail_msg("%s: %s", rows[i].says, kit.said);
        close_kit();
    }
    struct rule_source bare = { .name = SPAN("r") };
    assert_int_equal(own_kit_open(&kit, &bare, 1), ERR_CONFIG);
    close_kit();
}

/* Steps at the limit, and the longest name of a target. */
static void limits(void **state)
{
    (void)state;
    static char name[8 + OWN_TARGET_NAME_MAX];
    struct rule_source rule =
        rule_of("r", "x", "args",
                "url_decode, url_decode, url_decode, url_decode, url_decode, html_decode");
    assert_int_equal(own_kit_open(&kit, &rule, 1), OK);
    close_kit();
    memcpy(name, "arg:", 4);
    memset(name + 4, 'n', OWN_TARGET_NAME_MAX);
    rule = rule_of("r", "x", name, "none");
    assert_int_equal(own_kit_open(&kit, &rule, 1), OK);
    close_kit();
    name[4 + OWN_TARGET_NAME_MAX] = 'n';
    rule = rule_of("r", "x", name, "none");
    assert_int_equal(own_kit_open(&kit, &rule, 1), ERR_CONFIG);
    close_kit();
}

int main(void)
{
    return RUN(TEST(targets), TEST(forms), TEST(once_and_with_pauses),
               TEST(answers_have_scores_of_their_own), TEST(anchors_in_windows),
               TEST(what_cannot_be), TEST(limits));
}
