/*
 * Edges pass every text in which one of their patterns matches, wherever it stands; of known
 * patterns they do not pass plain text.
 */
#include "rules/engine/edge.h"

#include <hs/hs_compile.h>
#include <stdio.h>
#include <stdlib.h>

#include "rules/engine/edge_make.h"
#include "rules/engine/edge_places.h"
#include "rules/regex.h"
#include "tests/unit/check.h"
#include "tests/unit/rules/engine/patterns.h"

static struct arena arena;
static struct edge_room *room;

static int begin(void **state)
{
    (void)state;
    arena_init(&arena, NULL, 0, NULL, 256 << 20);
    room = arena_new(&arena, struct edge_room);
    assert_non_null(room);
    room->arena = &arena;
    return 0;
}

static int end(void **state)
{
    (void)state;
    arena_reset(&arena);
    return 0;
}

/* Of all of them; NULL: there are none of one of them, or of all together. */
static const struct edges *edges_of(const char *const *patterns, unsigned count)
{
    const struct pattern_edges *chosen[9];
    const struct edges *made = NULL;
    assert_true(count <= ARRAY_LEN(chosen));
    for (unsigned i = 0; i < count; i++) {
        chosen[i] = edges_choose(room, patterns[i], HS_FLAG_DOTALL);
        if (chosen[i] == NULL)
            return NULL;
    }
    assert_int_equal(edges_make(room, chosen, count, &arena, &made), OK);
    return made;
}

/* In memory of its own, so that a byte too far is seen. */
static bool passes(const struct edges *edges, struct span text)
{
    char *copy = malloc(text.len + 1);
    assert_non_null(copy);
    memcpy(copy, text.p, text.len);
    char *tight = realloc(copy, text.len > 0 ? text.len : 1);
    assert_non_null(tight);
    bool pass = edges_pass(edges, span_of(tight, text.len));
    free(tight);
    return pass;
}

/* ---- known patterns -------------------------------------------------------------------------
 */

static void known(void **state)
{
    static const struct {
        const char *pattern, *plain, *like;
    } rows[] = {
        { "(?i)[\"'`];?\\s*(?:having|union)\\b", "it's a union of \"two\" parts", "x' UNION" },
        { "(?i)\\b(?:strrev|eval|end)(?:\\s|/\\*.*\\*/|#.*)*\\(.*\\)", "the town (below)",
          "end /* x */ (1)" },
        { "^(?i:file|ftp|https?)://\\d", "see http://1 or https://a", "HTTPS://1" },
        { "(?:^|=)\\s*(?:ls|cat)\\b", "a list = dog", " cat" },
        { "(?:^|=)\\s*(?:ls|cat)\\b", "a ls, b cat", "x= ls" },
        { "[;|]\\s*(?:\\w+/)*sh", "this; and that/sh", "; bin/x/sh" },
        { "(?i)[\\s;]on[a-z]+\\s*=", "salon = one on=; x=on", "a onload =" },
        { "s\\s*c\\s*r\\s*i\\s*p\\s*t\\s*:", "a script; 12:30 pt:", "xs cript :" },
        { "<[^>]*\xbe", "2 < 3 and 4 > 3", "a <b\xbe" },
        { "\\(a\\)|\\[b\\]|\"c\"", "(b) [c] \"a\"", "x[b]" },
        /* Lines of plain text begin with no command. */
        { "[;&\\n]\\s*(?:more|who|cat|ls|rm)\\b", "Tom & Eve\nleave", "a\nwho" },
    };
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        const struct edges *edges = edges_of(&rows[i].pattern, 1);
        if (edges == NULL || passes(edges, span_text(rows[i].plain)))
            fail_msg("%s: \"%s\" is let pass", rows[i].pattern, rows[i].plain);
        if (!passes(edges, span_text(rows[i].like)))
            fail_msg("%s: \"%s\" is not let pass", rows[i].pattern, rows[i].like);
    }
}

/* What is everywhere in plain text has no place by which it is told. */
static void without(void **state)
{
    static const char *const patterns[] = { "[a-z]+ing?", ".", "select", "\\w+\\s", "a\\1" };
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(patterns); i++)
        assert_null(edges_of(&patterns[i], 1));
}

/* Wherever a match stands, in texts of all lengths about those of blocks. */
static void every_place(void **state)
{
    static const struct {
        const char *pattern, *match;
    } rows[] = {
        { "<b", "<b" },
        { "b[>}]", "b}" },
        { "(?i)[\\s;]on\\s*=", ";ON=" },
        { "[(|&`]\\s*ls|[\\\\$\\x80]x", "\\x" },
    };
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        const struct edges *edges = edges_of(&rows[i].pattern, 1);
        const size_t match = strlen(rows[i].match);
        char text[2 * EDGE_PLACES + 20];
        assert_non_null(edges);
        for (size_t len = match; len <= sizeof(text); len++) {
            for (size_t at = 0; at + match <= len; at++) {
                memset(text, '.', len);
                assert_false(passes(edges, span_of(text, len)));
                memcpy(text + at, rows[i].match, match);
                if (!passes(edges, span_of(text, len)))
                    fail_msg("%s at %zu of %zu is not let pass", rows[i].pattern, at, len);
            }
        }
    }
}

static void write_set(struct random *random, struct edge_bytes *set)
{
    for (unsigned i = 0; i < 16; i++) {
        set->low[i] = (uint8_t)(random_below(random, 256) & random_below(random, 256));
        set->high[i] = (uint8_t)(random_below(random, 256) & random_below(random, 256));
    }
}

/* Whatever the tables and the text are, with AVX2 or without. */
static void both_widths(void **state)
{
    struct random random = { 7 };
    struct edges edges = { .anywhere = true };
    char text[1 + EDGE_PLACES + 1];
    unsigned some = 0;
    (void)state;
    for (unsigned round = 0; round < 2000; round++) {
        write_set(&random, &edges.here);
        write_set(&random, &edges.ahead);
        write_set(&random, &edges.before);
        for (size_t i = 0; i < sizeof(text); i++)
            text[i] = (char)random_below(&random, 256);
        uint64_t places = edge_places_narrow(&edges, text + 1);
        if (edge_places_are_wide())
            assert_int_equal(edge_places_wide(&edges, text + 1), places);
        assert_int_equal(edge_places(&edges, text + 1), places);
        some += places != 0 && places != UINT64_MAX;
    }
    assert_true(some > 1000);
}

/* Bytes that lead a long way from each of many places, on or back. */
static void long_ways(void **state)
{
    static const char *const pattern = "<[<>a]*>";
    const struct edges *edges = edges_of(&pattern, 1);
    char text[2048];
    (void)state;
    assert_non_null(edges);
    memset(text, '<', sizeof(text) / 2);
    memset(text + sizeof(text) / 2, '>', sizeof(text) / 2);
    text[sizeof(text) / 2] = ';';
    assert_true(passes(edges, span_of(text, sizeof(text))));
    assert_false(passes(edges, span_of(text + sizeof(text) / 2 - 3, 7)));
}

/* Places that lead nowhere are steps, too: a text that is full of them is let pass. */
static void places_everywhere(void **state)
{
    static const char *const pattern = "<ac!";
    const struct edges *edges = edges_of(&pattern, 1);
    char text[400];
    (void)state;
    assert_non_null(edges);
    for (size_t i = 0; i < sizeof(text); i++)
        text[i] = i % 2 == 0 ? '<' : 'a';
    assert_true(passes(edges, span_of(text, sizeof(text))));
    assert_false(passes(edges, span_of(text, 8)));
}

/* Of more than there is room for nothing is held off. */
static void too_many(void **state)
{
    enum { PATTERNS = 24, WORDS = 100, LETTERS = 8, BYTES = WORDS * (LETTERS + 1) + 16 };
    static char patterns[PATTERNS][BYTES];
    const struct pattern_edges *chosen[PATTERNS];
    struct random random = { 3 };
    unsigned made_of = 0;
    (void)state;
    for (unsigned i = 0; i < PATTERNS; i++) {
        const struct edges *edges;
        struct text out = text_fixed(patterns[i], BYTES);
        for (unsigned j = 0; j < WORDS; j++) {
            text_add(&out, span_text(j == 0 ? "(?:" : "|"));
            for (unsigned k = 0; k < LETTERS; k++)
                text_char(&out, (char)('a' + (char)random_below(&random, 26)));
        }
        text_lit(&out, ")\\(\\$");
        assert_non_null(text_cstring(&out));
        chosen[i] = edges_choose(room, patterns[i], HS_FLAG_DOTALL);
        assert_non_null(chosen[i]);
        assert_int_equal(edges_make(room, chosen, i + 1, &arena, &edges), OK);
        made_of += edges != NULL;
        for (unsigned j = 0; j <= i && edges != NULL; j++) {
            char match[64];
            (void)snprintf(match, sizeof(match), "hello %.8s($x", patterns[j] + 3);
            assert_true(passes(edges, span_text(match)));
        }
    }
    assert_in_range(made_of, 8, PATTERNS - 1); /* others were too many */
}

static void worth(void **state)
{
    static const struct {
        const char *pattern;
        bool worth;
    } rows[] = {
        { "union.*?select", true },
        { "xp_cmdshell", false },
        { "union.*?pg_sleep", false },
        { "^https?://.*union", true },
        { "x", true },
    };
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct pattern_ways ways;
        assert_int_equal(pattern_ways(rows[i].pattern, HS_FLAG_DOTALL, &arena, &ways), OK);
        if (edges_are_worth_it(&ways) != rows[i].worth)
            fail_msg("%s", rows[i].pattern);
    }
}

/* ---- limits ---------------------------------------------------------------------------------
 */

struct choice {
    unsigned count, first, bytes;
    const char *before, *after;
    unsigned times; /* that `after` stands there */
};

/* `<(?:`, and then alternatives: some of `bytes` bytes from `first` on, between two texts. */
static const char *choice_of(const struct choice *choice)
{
    struct text out = text_growing(&arena, 1024);
    text_lit(&out, "<(?:");
    for (unsigned i = 0; i < choice->count; i++) {
        text_format(&out, "%s%s\\x%x", i > 0 ? "|" : "", choice->before,
                    choice->first + i % choice->bytes);
        for (unsigned j = 0; j < choice->times; j++)
            text_add(&out, span_text(choice->after));
    }
    text_lit(&out, ")");
    return text_cstring(&out);
}

/* `count` times the text, and another at its start. */
static const char *repeated(const char *before, const char *text, unsigned count)
{
    struct text out = text_growing(&arena, 1024);
    text_add(&out, span_text(before));
    for (unsigned i = 0; i < count; i++)
        text_add(&out, span_text(text));
    return text_cstring(&out);
}

static const struct edges *edges_of_same(const char *pattern, unsigned count)
{
    const char *patterns[9];
    for (unsigned i = 0; i < count; i++)
        patterns[i] = pattern;
    return edges_of(patterns, count);
}

/* 3000 states: from each '<' on, as what is behind it is everywhere. */
static const struct choice large = { 50, 'A', 50, "", "a", 59 };

/* Beyond them there are no edges. */
static void numbers(void **state)
{
    const char *starts = repeated("<z", "|<y", EDGE_STARTS_MAX - 1);
    const char *states = choice_of(&large);
    (void)state;
    assert_non_null(edges_of_same(starts, 1));
    assert_null(edges_of_same(repeated(starts, "|<x", 1), 1));
    assert_non_null(edges_of_same(starts, 8));
    assert_null(edges_of_same(starts, 9));
    assert_non_null(edges_of_same(repeated("<", "a", EDGE_PARTS_MAX - 1), 1));
    assert_null(edges_of_same(repeated("<", "a", EDGE_PARTS_MAX), 1));
    /* Three classes of bytes besides. */
    assert_non_null(edges_of_same(choice_of(&(struct choice){ 93, 128, 93, "", "a", 1 }), 1));
    assert_null(edges_of_same(choice_of(&(struct choice){ 94, 128, 94, "", "a", 1 }), 1));
    assert_non_null(edges_of_same(states, 5));
    assert_null(edges_of_same(states, 6));
}

/* What there is no room for is passed. */
static void no_room(void **state)
{
    const struct edges *few =
        edges_of_same(choice_of(&(struct choice){ 100, 128, 80, ".", "", 0 }), 1);
    const struct edges *many =
        edges_of_same(choice_of(&(struct choice){ 250, 128, 80, ".", "", 0 }), 1);
    const struct edges *deep = edges_of_same(choice_of(&large), 1);
    (void)state;
    assert_non_null(few);
    assert_true(passes(few, SPAN("<q\x80")));
    assert_false(passes(few, SPAN("<qr")));
    assert_non_null(many);
    assert_true(passes(many, SPAN("<q\x80")));
    assert_true(passes(many, SPAN("<qr")));
    assert_non_null(deep);
    assert_true(passes(deep, SPAN("<Caaaaaaaaaaaaaaaaaaaaaaaaaaaaaa")));
    assert_false(passes(deep, SPAN("<Caaab")));
}

/* Without memory there are no edges, and it is no mistake. */
static void no_memory(void **state)
{
    static const char pattern[] = "<\\s+b";
    struct arena none;
    const struct edges *made;
    const struct pattern_edges *chosen = edges_choose(room, pattern, HS_FLAG_DOTALL);
    (void)state;
    assert_non_null(chosen);
    arena_init(&none, NULL, 0, NULL, 64);
    room->arena = &none;
    assert_null(edges_choose(room, pattern, HS_FLAG_DOTALL));
    assert_int_equal(edges_make(room, &chosen, 1, &arena, &made), OK);
    assert_null(made);
    room->arena = &arena;
    assert_int_equal(edges_make(room, &chosen, 1, &none, &made), ERR_MEMORY);
    assert_int_equal(edges_make(room, &chosen, 1, &arena, &made), OK);
    assert_non_null(made);
    arena_reset(&none);
}

/* More children than are added at once. */
static void long_sequence(void **state)
{
    const char *text = repeated("<", "a", 70);
    const struct edges *edges =
        edges_of_same(repeated(repeated("<(?:", "a", 70), "b|c)", 1), 1);
    (void)state;
    assert_non_null(edges);
    assert_false(passes(edges, span_text(text)));
    assert_true(passes(edges, span_text(repeated(text, "b", 1))));
}

/* ---- generated patterns ---------------------------------------------------------------------
 */

/* What may stand around a match. */
static void write_plain(struct random *random, struct text *out)
{
    static const char some[] = "aBcx09 .,;:=<>()[]{}\"'`&|$#%/\\-+*!?@\n\t\xbc\xbe";
    for (unsigned i = random_below(random, 40); i > 0; i--)
        text_char(out, some[random_below(random, sizeof(some) - 1)]);
}

struct sample {
    const char *pattern;
    struct sec_regex *regex;
    const struct rx_node *tree;
};

static bool take_sample(struct random *random, struct sample *sample)
{
    char pattern[512], buffer[128];
    struct text out = text_fixed(pattern, sizeof(pattern) - 1);
    struct text why = text_fixed(buffer, sizeof(buffer));
    text_add(&out, span_text(random_below(random, 6) == 0 ? "^" : ""));
    pattern_write(random, &out, 2);
    if (out.overflow)
        return false;
    sample->pattern = arena_cstring(&arena, text_span(&out));
    sample->regex = regex_compile(text_span(&out), false, &why);
    sample->tree = rx_parse(span_text(sample->pattern), HS_FLAG_DOTALL, &arena);
    return sample->regex != NULL && sample->tree != NULL;
}

static void matches_pass(void **state)
{
    enum { ROUNDS = 1500, TOGETHER = 3, TEXTS = 20 };
    struct random random = { 7 };
    struct regex_local local;
    unsigned made = 0, matched = 0, held = 0;
    (void)state;
    assert_int_equal(regex_attach(&local), OK);
    for (unsigned i = 0; i < ROUNDS; i++) {
        struct sample samples[TOGETHER] = { { NULL } };
        const char *patterns[TOGETHER];
        unsigned count = 0, wanted = 1 + i % TOGETHER;
        while (count < wanted) {
            regex_free(samples[count].regex);
            if (take_sample(&random, &samples[count])) {
                patterns[count] = samples[count].pattern;
                count += edges_of(&patterns[count], 1) != NULL;
            }
        }
        const struct edges *edges = edges_of(patterns, count);
        made += edges != NULL;
        for (unsigned j = 0; edges != NULL && j < TEXTS; j++) {
            char buffer[2048];
            struct text text = text_fixed(buffer, sizeof(buffer));
            const struct sample *sample = &samples[j % count];
            if (j % 4 != 0)
                write_plain(&random, &text);
            if (j % 5 != 0)
                pattern_write_text(&random, &text, sample->tree);
            write_plain(&random, &text);
            if (text.overflow)
                continue;
            bool match =
                regex_match(&local, sample->regex, text_span(&text), NULL) == REGEX_YES;
            bool pass = passes(edges, text_span(&text));
            if (match && !pass)
                fail_msg("%s matches \"%.*s\", which is not let pass", sample->pattern,
                         (int)text.len, text.p);
            matched += match;
            held += !pass;
        }
        for (unsigned j = 0; j < count; j++)
            regex_free(samples[j].regex);
        (void)end(NULL);
        (void)begin(NULL);
    }
    regex_detach(&local);
    assert_true(made > ROUNDS / 2);
    assert_true(matched > made * TEXTS / 3);
    assert_true(held > made * TEXTS / 20);
}

#define WITH_ARENA(fn) cmocka_unit_test_setup_teardown(fn, begin, end)

int main(void)
{
    return RUN(WITH_ARENA(known), WITH_ARENA(without), WITH_ARENA(every_place),
               cmocka_unit_test(both_widths), WITH_ARENA(long_ways),
               WITH_ARENA(places_everywhere), WITH_ARENA(too_many), WITH_ARENA(worth),
               WITH_ARENA(numbers), WITH_ARENA(no_room), WITH_ARENA(no_memory),
               WITH_ARENA(long_sequence), WITH_ARENA(matches_pass));
}
