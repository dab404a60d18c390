/* Patterns and plans: what Hyperscan is given, what is refused and why, what rules share. */
#include "rules/compile.h"

#include <stdlib.h>

#include "rules/pattern.h"
#include "tests/unit/check.h"

static struct arena arena;
static char said[512];

static int open_arena(void **state)
{
    (void)state;
    arena_init(&arena, NULL, 0, NULL, 1 << 24);
    return 0;
}

static int close_arena(void **state)
{
    (void)state;
    arena_reset(&arena);
    return 0;
}

/* ---- patterns ---- */

static void dollar_is_the_very_end(void **state)
{
    (void)state;
    static const struct {
        const char *source, *given;
    } rows[] = {
        { "a$", "a\\z" },           { "$|b", "$|b" },
        { "a\\$b", "a\\$b" },       { "a[$]b", "a[$]b" },
        { "a[]$]b$", "a[]$]b\\z" }, { "a[^]$]b", "a[^]$]b" },
        { "a[\\]$]b", "a[\\]$]b" }, { "a\\Q$\\Eb$", "a\\Q$\\Eb\\z" },
        { "a\\Q$b", "a\\Q$b" },     { "a[[:alpha:]$]b", "a[[:alpha:]$]b" },
        { "(?m)a$", "(?m)a$" },     { "(?im:a$)", "(?im:a$)" },
        { "(?i)a$", "(?i)a\\z" },
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct pattern_info info = { .text = "" };
        struct text why = text_fixed(said, sizeof(said));
        bool usable = pattern_read(span_text(rows[i].source), false, &arena, &info, &why);
        /* `$` alone matches the empty text, which is another test. */
        if (usable && strcmp(info.text, rows[i].given) != 0)
            fail_msg("%s became %s", rows[i].source, info.text);
        if (!usable && strcmp(rows[i].source, "$|b") != 0)
            fail_msg("%s: %.*s", rows[i].source, (int)why.len, why.p);
    }
}

static void ties_to_start_and_end(void **state)
{
    (void)state;
    static const struct {
        const char *source;
        bool start, end;
    } rows[] = {
        { "abc", false, false },     { "^abc", true, false },      { "abc$", false, true },
        { "(?i)^abc$", true, true }, { "\\Aabc", true, false },    { "^a|b", false, false },
        { "^?abc", false, false },   { "(?m)^abc", false, false }, { "(^a)", false, false },
        { "(?:^a)b", false, false },
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct pattern_info info;
        struct text why = text_fixed(said, sizeof(said));
        if (!pattern_read(span_text(rows[i].source), false, &arena, &info, &why))
            continue; /* Hyperscan takes no quantifier behind `^` */
        if (info.at_start != rows[i].start || info.at_end != rows[i].end)
            fail_msg("%s: start %d end %d", rows[i].source, info.at_start, info.at_end);
    }
}

static void patterns_that_cannot_be(void **state)
{
    (void)state;
    static const struct {
        struct span source;
        const char *reason;
    } rows[] = {
        { SPAN_INIT(""), "empty" },
        { SPAN_INIT("a\0b"), "NUL" },
        { SPAN_INIT("a*"), "matches the empty text" },
        { SPAN_INIT("a|"), "matches the empty text" },
        { SPAN_INIT("(a)\\1"), "eference" },
        { SPAN_INIT("a(?=b)"), "Zero-width" },
        { SPAN_INIT("(a"), "arenthes" },
        { SPAN_INIT("[b"), "haracter class" },
        { SPAN_INIT("*a"), "Invalid repeat" },
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct text why = text_fixed(said, sizeof(said) - 1);
        bool usable = pattern_check(rows[i].source, &arena, &why);
        said[why.len] = '\0';
        if (usable || strstr(said, rows[i].reason) == NULL)
            fail_msg("%.*s: %s", (int)rows[i].source.len, rows[i].source.p, said);
    }
    static char longest[PATTERN_BYTES_MAX + 1];
    memset(longest, 'a', sizeof(longest));
    struct pattern_info info;
    struct text why = text_fixed(said, sizeof(said));
    assert_true(pattern_read(span_of(longest, PATTERN_BYTES_MAX), false, &arena, &info, &why));
    assert_int_equal(info.shortest, PATTERN_BYTES_MAX);
    assert_false(
        pattern_read(span_of(longest, PATTERN_BYTES_MAX + 1), false, &arena, &info, &why));
}

/* ---- plans ---- */

static struct texts texts_of(const char *list)
{
    struct span rest = span_text(list), item;
    struct texts texts = { arena_array(&arena, struct span, 64), 0 };
    while (list != NULL && span_cut(&rest, ',', &item))
        texts.items[texts.count++] = span_trim(item);
    return texts;
}

static struct rule_source rule(const char *name, const char *match, const char *in,
                               const char *transform)
{
    return (struct rule_source){ .name = span_text(name),
                                 .match = texts_of(match),
                                 .in = texts_of(in),
                                 .transform = texts_of(transform),
                                 .severity = 5 };
}

static struct plan *compiled(const struct rule_source *rules, size_t count)
{
    struct plan *plan = NULL;
    struct text why = text_fixed(said, sizeof(said) - 1);
    enum err err = plan_compile(&plan, rules, count, &arena, &why);
    said[why.len] = '\0';
    assert_true((err == OK) == (plan != NULL));
    assert_true(err == OK || err == ERR_CONFIG);
    return plan;
}

static void refusal(struct rule_source source, const char *reason)
{
    if (compiled(&source, 1) != NULL || strstr(said, reason) == NULL)
        fail_msg("\"%s\" does not say \"%s\"", said, reason);
}

static void rules_that_cannot_be(void **state)
{
    (void)state;
    refusal(rule("r", NULL, "path", "none"), "needs `when` or `match`");
    refusal(rule("r", "a", "bogus", "none"), "\"bogus\": there is no such target");
    refusal(rule("r", "a", "arg:", "none"), "name is missing");
    refusal(rule("r", "a", NULL, "none"), "no target");
    refusal(rule("r", "a", "path", "rot13"), "\"rot13\": there is no such transformation");
    refusal(rule("my-rule", "(", "path", "none"), "rule \"my-rule\": \"(\":");
    refusal(rule("r", "a", "path",
                 "url_decode,url_decode,url_decode,url_decode,url_decode,none,"
                 "html_decode,js_decode"),
            "too many transformations");
}

static void too_many_of_anything(void **state)
{
    (void)state;
    static struct rule_source rules[RULES_MAX + 1];
    for (size_t i = 0; i < ARRAY_LEN(rules); i++) {
        rules[i] = rule("r", NULL, NULL, NULL);
        rules[i].when = (struct expr *)(void *)&rules[i]; /* is not looked into */
    }
    struct plan *plan = compiled(rules, RULES_MAX);
    assert_non_null(plan);
    assert_int_equal(plan->words, RULES_MAX / 64);
    plan_free(plan);
    assert_null(compiled(rules, RULES_MAX + 1));
    assert_non_null(strstr(said, "too many rules"));

    /* One pattern too many is told before any is compiled. */
    static struct span patterns[PATTERNS_MAX + 1];
    for (size_t i = 0; i < ARRAY_LEN(patterns); i++)
        patterns[i] = SPAN("a");
    rules[0] = rule("r", "a", "path", NULL);
    rules[0].match.items = patterns;
    rules[0].match.count = PATTERNS_MAX + 1;
    assert_null(compiled(rules, 1));
    assert_non_null(strstr(said, "too many rules or patterns"));
    rules[0].match.count = PATTERNS_MAX;
    rules[0].match.items[PATTERNS_MAX - 1] = SPAN("("); /* it was got to */
    assert_null(compiled(rules, 1));
    assert_null(strstr(said, "too many"));

    /* Chains that begin differently share nothing. */
    static const char *const starts[] = { "html_decode", "js_decode", "remove_nulls",
                                          "remove_comments", "normalize_path" };
    char chain[64][128];
    size_t count = 0;
    for (size_t a = 0; a < ARRAY_LEN(starts); a++) {
        for (size_t b = 0; b < ARRAY_LEN(starts); b++, count++) {
            struct text t = text_fixed(chain[count], sizeof(chain[count]));
            text_format(&t, "%s,%s,compress_whitespace", starts[a], starts[b]);
            assert_non_null(text_cstring(&t));
            rules[count] = rule("r", "a", "path", chain[count]);
        }
    }
    assert_null(compiled(rules, count));
    assert_non_null(strstr(said, "too many different transformation chains"));
}

static void what_rules_share(void **state)
{
    (void)state;
    struct rule_source rules[] = {
        rule("a", "aaa,bb", "path,header:x", "url_decode, lowercase"),
        rule("b", "ccc", "args", "url_decode, html_decode"),
        rule("c", "ddd", "header:X", "none"),
    };
    rules[1].severity = 3;
    rules[2].score = 7;
    struct plan *plan = compiled(rules, ARRAY_LEN(rules));
    assert_non_null(plan);
    assert_int_equal(plan->rule_count, 3);
    assert_int_equal(plan->pattern_count, 4);
    assert_int_equal(plan->form_count, 5); /* as it came, three layers, html */
    assert_int_equal(plan->patterns[0].forms, 0x0f);
    assert_int_equal(plan->patterns[2].forms, 0x1f);
    assert_int_equal(plan->patterns[3].forms, 0x01);
    assert_int_equal(plan->triggers, TRAIT_ESCAPE | TRAIT_AMPERSAND); /* not TRAIT_UPPER */
    assert_int_equal(plan->selectors.count, 1);
    assert_int_equal(plan->rules[0].score, 5);
    assert_int_equal(plan->rules[1].score, 3);
    assert_int_equal(plan->rules[2].score, 7);
    assert_int_equal(plan->classes[CLASS_INPUT].shortest, 2);
    assert_true(plan->wants_body);
    assert_false(plan->tags);
    plan_free(plan);

    plan = compiled(&rules[2], 1);
    assert_non_null(plan);
    assert_false(plan->wants_body);
    assert_true(plan->classes[CLASS_FIELD].borrowed); /* the same one pattern in both */
    assert_ptr_equal(plan->classes[CLASS_FIELD].db, plan->classes[CLASS_INPUT].db);
    plan_free(plan);
}

static void rules_by_when_alone(void **state)
{
    (void)state;
    struct rule_source rules[] = { rule("a", "aaa", "path", "none"),
                                   rule("b", NULL, "args", "none"),
                                   rule("c", NULL, NULL, NULL) };
    rules[1].when = rules[2].when = (struct expr *)(void *)rules;
    rules[1].action = RULE_TAG;
    struct plan *plan = compiled(rules, ARRAY_LEN(rules));
    assert_non_null(plan);
    assert_int_equal(plan->unpatterned[0], 6);
    assert_int_equal(plan->late[0], 0);
    assert_false(plan->wants_body); /* no pattern looks at args */
    assert_true(plan->tags);
    plan_free(plan);
    rules[2].late = true;
    plan = compiled(rules, ARRAY_LEN(rules));
    assert_non_null(plan);
    assert_int_equal(plan->late[0], 4);
    assert_true(plan->wants_body);
    plan_free(plan);
}

#define CASE(fn) cmocka_unit_test_setup_teardown(fn, open_arena, close_arena)

int main(void)
{
    return RUN(CASE(dollar_is_the_very_end), CASE(ties_to_start_and_end),
               CASE(patterns_that_cannot_be), CASE(rules_that_cannot_be),
               CASE(too_many_of_anything), CASE(what_rules_share), CASE(rules_by_when_alone));
}
