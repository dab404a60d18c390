/*
 * Patterns in pieces: where the whole matches, one of the pieces does, and nowhere else; and
 * what Hyperscan finds is what PCRE2 finds. Over patterns by hand and generated ones, with
 * texts made from the patterns.
 */
#include "rules/engine/split.h"

#include <hs/hs.h>

#include "rules/pattern.h"
#include "rules/regex.h"
#include "tests/reference/sample.h"
#include "tests/unit/check.h"

static struct arena arena;

/* ---- which patterns are cut, and where ------------------------------------------------------
 */

static const struct row {
    const char *source, *first, *second; /* first NULL: it is not cut */
} rows[] = {
    { "a|b", "a", "b" },
    { "(?i)aa|bb|cc", "(?i)aa", "(?i)bb|cc" },
    { "x(?:aa|bb)y", "x(?:aa)y", "x(?:bb)y" },
    { "(?:a|b)(?:ccc|ddd)", "(?:a|b)(?:ccc)", "(?:a|b)(?:ddd)" },
    { "x[a|b]y", NULL, NULL },
    { "x\\|y", NULL, NULL },
    { "x[]|]y", NULL, NULL },
    { "x[[:alpha:]|]y", NULL, NULL },
    { "(?:a|b)+", NULL, NULL },
    { "(?:a|b){2}", NULL, NULL },
    { "(?:a|b)?", NULL, NULL },
    { "x(?=a|b)", NULL, NULL },
    { "x(?!a|b)", NULL, NULL },
    { "x(?>a|ab)c", NULL, NULL },
    { "(a|b)\\1", NULL, NULL },
    { "(?:a|(b|c)+)", "(?:a)", "(?:(b|c)+)" },
    /* Flags in the middle hold for the alternatives behind them too. */
    { "a(?i)b|c", NULL, NULL },
    { "(?:(?i)a|b)c", NULL, NULL },
    { "(?i:a|b)c|d", "(?i:a|b)c", "d" },
    /* Bars and brackets that are none. */
    { "(?x)a # b | c (\n | d", NULL, NULL },
    { "(?:a(?#|)b|c)", NULL, NULL },
    { "\\Qa|b\\E", NULL, NULL },
    { "[\\Q]|\\E]x", NULL, NULL },
    { "(*ANYCRLF)a|b", NULL, NULL },
    { "abc", NULL, NULL },
};

static void cuts(void **state)
{
    unsigned wrong = 0;
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct span halves[2] = { { 0 } };
        bool cut = pattern_split(span_text(rows[i].source), &arena, halves);
        bool good = cut == (rows[i].first != NULL) &&
                    (!cut || (span_equal(halves[0], span_text(rows[i].first)) &&
                              span_equal(halves[1], span_text(rows[i].second))));
        if (!good)
            print_error("%s: %s \"%.*s\" \"%.*s\"\n", rows[i].source,
                        cut ? "cut into" : "whole", (int)halves[0].len, halves[0].p,
                        (int)halves[1].len, halves[1].p);
        wrong += !good;
        arena_reset(&arena);
    }
    assert_int_equal(wrong, 0);
}

/* ---- alternatives ---------------------------------------------------------------------------
 */

/* What stands before all of them, they, and what stands behind, with spaces between. */
static const struct {
    const char *source, *shown; /* NULL: it has none */
} alternative_rows[] = {
    { "a|b", " a b " },
    { "(?i)aa|bb|cc", "(?i) aa bb cc " },
    { "(?:a|b)", "(?: a b )" },
    { "(?i:(?:a|(b|c)x|[|)]))", "(?i:(?: a (b|c)x [|)] ))" },
    { "(?i)((?s-i:a\\||b))", "(?i)((?s-i: a\\| b ))" },
    { "(?:a|b)c", NULL },
    { "(?:a|b)+", NULL },
    { "(?:a|b)(?:c|d)", NULL },
    { "\\b(?:a|b)", NULL },
    { "(?=a|b)", NULL },
    { "(?!a|b)", NULL },
    { "(?>a|ab)", NULL },
    { "(?<n>a|b)", NULL },
    { "(a|b)\\1", NULL },
    { "a(?i)b|c", NULL },
    { "(?:(?i)a|b)", NULL },
    { "\\Qa|b\\E", NULL },
    { "(?x)a|b", NULL },
    { "[a|b]", NULL },
    { "(a", NULL },
    { "a)|b", NULL },
    { "abc", NULL },
};

static void alternatives(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(alternative_rows); i++) {
        struct split_alternatives found;
        struct text text = text_growing(&arena, 256);
        const char *wanted = alternative_rows[i].shown;
        bool has = pattern_alternatives(span_text(alternative_rows[i].source), &found);
        assert_int_equal(has, wanted != NULL);
        if (!has)
            continue;
        text_add(&text, found.before);
        for (unsigned j = 0; j < found.count; j++) {
            text_char(&text, ' ');
            text_add(&text, found.items[j]);
        }
        text_char(&text, ' ');
        text_add(&text, found.behind);
        assert_string_equal(text_cstring(&text), wanted);
    }
}

static void as_many_alternatives_as_there_is_room_for(void **state)
{
    (void)state;
    for (unsigned more = 0; more < 2; more++) {
        struct split_alternatives found;
        struct text text = text_growing(&arena, 256);
        text_char(&text, 'a');
        for (unsigned i = 1; i < SPLIT_ALTERNATIVES_MAX + more; i++)
            text_lit(&text, "|a");
        assert_int_equal(pattern_alternatives(text_span(&text), &found), more == 0);
    }
}

/* ---- the halves match what the whole does ---------------------------------------------------
 */

static void write_pattern(struct text *out, struct dice *dice, unsigned depth)
{
    static const char *const atoms[] = { "a",     "b",   "ab",      "c+",  "[ab]", "[^a]",
                                         "\\x61", "\\w", "[|)a(]+", "\\|", ".",    "\\bb" };
    for (unsigned i = 1 + dice_below(dice, 3); i > 0; i--) {
        if (depth == 0 || dice_chance(dice, 60)) {
            text_add(out, span_text(atoms[dice_below(dice, ARRAY_LEN(atoms))]));
            continue;
        }
        static const char *const groups[] = { "(?:", "(?:", "(", "(?i:" };
        text_add(out, span_text(groups[dice_below(dice, ARRAY_LEN(groups))]));
        for (unsigned j = dice_below(dice, 4); j > 0; j--) {
            write_pattern(out, dice, depth - 1);
            text_char(out, '|');
        }
        write_pattern(out, dice, depth - 1);
        text_lit(out, ")");
        static const char *const repeats[] = { "", "", "", "?", "{2}", "*" };
        text_add(out, span_text(repeats[dice_below(dice, ARRAY_LEN(repeats))]));
    }
}

/* A pattern for both engines; `db` NULL: Hyperscan has no meaning for it. */
struct compiled {
    struct span pattern;
    struct sec_regex *regex;
    hs_database_t *db;
    hs_scratch_t *scratch;
};

static void compile_for_scan(struct compiled *compiled)
{
    char buffer[128];
    struct text why = text_fixed(buffer, sizeof(buffer));
    struct pattern_info info;
    hs_compile_error_t *error = NULL;
    if (!pattern_read(compiled->pattern, false, &arena, &info, &why))
        return;
    assert_int_equal(
        hs_compile(info.text, info.flags, HS_MODE_BLOCK, NULL, &compiled->db, &error),
        HS_SUCCESS);
    assert_int_equal(hs_alloc_scratch(compiled->db, &compiled->scratch), HS_SUCCESS);
}

static struct compiled compile(struct span pattern)
{
    char buffer[128];
    struct text why = text_fixed(buffer, sizeof(buffer));
    struct compiled compiled = { .pattern = pattern };
    compiled.regex = regex_compile(pattern, false, &why);
    assert_non_null(compiled.regex);
    return compiled;
}

static void compiled_free(struct compiled *compiled)
{
    regex_free(compiled->regex);
    hs_free_scratch(compiled->scratch);
    hs_free_database(compiled->db);
}

static bool matches(const struct regex_local *local, const struct compiled *compiled,
                    struct span text)
{
    return regex_match(local, compiled->regex, text, NULL) == REGEX_YES;
}

static int on_find(unsigned id, unsigned long long from, unsigned long long to, unsigned flags,
                   void *found)
{
    (void)id, (void)from, (void)to, (void)flags;
    *(bool *)found = true;
    return 1;
}

static bool scans(const struct compiled *compiled, struct span text)
{
    bool found = false;
    (void)hs_scan(compiled->db, text.p, (unsigned)text.len, 0, compiled->scratch, on_find,
                  &found);
    return found;
}

static struct span text_for(struct span pattern, struct dice *dice)
{
    struct text text = text_growing(&arena, 64);
    if (dice_chance(dice, 80))
        sample_regex(&text, pattern, dice);
    for (unsigned i = dice_below(dice, 4); i > 0; i--)
        text_char(&text, "abcABC|("[dice_below(dice, 8)]);
    return text.len > 0 ? text_span(&text) : SPAN("");
}

static void check_text(const struct regex_local *local, const struct compiled *whole,
                       const struct compiled halves[2], struct span text)
{
    bool wanted = matches(local, whole, text);
    bool first = matches(local, &halves[0], text), second = matches(local, &halves[1], text);
    bool scanned = wanted;
    if (halves[0].db != NULL && halves[1].db != NULL)
        scanned = scans(&halves[0], text) || scans(&halves[1], text);
    if (wanted != (first || second) || wanted != scanned)
        fail_msg("%.*s is %d, its halves %.*s and %.*s are %d and %d, on \"%.*s\" (%d)",
                 (int)whole->pattern.len, whole->pattern.p, wanted, (int)halves[0].pattern.len,
                 halves[0].pattern.p, (int)halves[1].pattern.len, halves[1].pattern.p, first,
                 second, (int)text.len, text.p, scanned);
}

typedef bool cutting(struct span pattern, struct span cut[2]);

static unsigned check_one(const struct regex_local *local, struct span pattern,
                          struct dice *dice, cutting *cut_in_two)
{
    enum { TEXTS = 6 };
    struct span cut[2];
    if (!cut_in_two(pattern, cut))
        return 0;
    struct compiled whole = compile(pattern), halves[2] = { compile(cut[0]), compile(cut[1]) };
    compile_for_scan(&halves[0]);
    compile_for_scan(&halves[1]);
    for (unsigned i = 0; i < TEXTS; i++)
        check_text(local, &whole, halves, text_for(pattern, dice));
    compiled_free(&whole);
    compiled_free(&halves[0]);
    compiled_free(&halves[1]);
    return 1;
}

/* The first alternative, and the others together. */
static bool first_and_others(struct span pattern, struct span cut[2])
{
    struct split_alternatives found;
    if (!pattern_alternatives(pattern, &found))
        return false;
    for (unsigned i = 0; i < 2; i++) {
        struct text text = text_growing(&arena, 256);
        text_add(&text, found.before);
        for (unsigned j = i; j < (i == 0 ? 1 : found.count); j++) {
            text_add(&text, j > 1 ? SPAN("|") : SPAN(""));
            text_add(&text, found.items[j]);
        }
        text_add(&text, found.behind);
        cut[i] = text_span(&text);
    }
    return true;
}

static bool halves(struct span pattern, struct span cut[2])
{
    return pattern_split(pattern, &arena, cut);
}

static void pieces_match_what_the_whole_does(void **state)
{
    enum { PATTERNS = 400 };
    struct regex_local local;
    unsigned cut = 0, apart = 0;
    (void)state;
    assert_int_equal(regex_attach(&local), OK);
    for (unsigned i = 0; i < PATTERNS; i++) {
        struct dice dice = { .state = i };
        struct text text = text_growing(&arena, 256);
        write_pattern(&text, &dice, 3);
        if (dice_chance(&dice, 30)) {
            text_char(&text, '|');
            write_pattern(&text, &dice, 2);
        }
        cut += check_one(&local, text_span(&text), &dice, halves);
        apart += check_one(&local, text_span(&text), &dice, first_and_others);
        arena_reset(&arena);
    }
    regex_detach(&local);
    assert_true(cut > PATTERNS / 4);
    assert_true(apart > PATTERNS / 8);
}

int main(void)
{
    arena_init(&arena, NULL, 0, NULL, 64 * 1024 * 1024);
    return RUN(TEST(cuts), TEST(alternatives), TEST(as_many_alternatives_as_there_is_room_for),
               TEST(pieces_match_what_the_whole_does));
}
