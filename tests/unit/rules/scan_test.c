/* Scanning: which patterns count for which values, long values, budgets and pauses. */
#include "rules/scan.h"

#include <stdlib.h>

#include "rules/compile.h"
#include "tests/unit/check.h"

enum { PLENTY = 1 << 30 };

static struct arena load_arena, arena;
static struct plan *plan;
static struct scan_local local;
static struct scan scan;

static struct texts texts_of(const char *list)
{
    struct span rest = span_text(list), item;
    struct texts texts = { arena_array(&load_arena, struct span, 16), 0 };
    while (span_cut(&rest, ',', &item))
        texts.items[texts.count++] = span_trim(item);
    return texts;
}

struct given {
    const char *match, *in, *transform;
};

static void load(const struct given *given, size_t count)
{
    static struct rule_source rules[16];
    char said[512];
    struct text why = text_fixed(said, sizeof(said));
    arena_init(&load_arena, NULL, 0, NULL, 1 << 24);
    arena_init(&arena, NULL, 0, NULL, 1 << 24);
    for (size_t i = 0; i < count; i++)
        rules[i] = (struct rule_source){ .name = SPAN("r"),
                                         .match = texts_of(given[i].match),
                                         .in = texts_of(given[i].in),
                                         .transform = texts_of(given[i].transform) };
    if (plan_compile(&plan, rules, count, &load_arena, &why) != OK)
        fail_msg("%.*s", (int)why.len, why.p);
    assert_int_equal(scan_attach(&local, plan), OK);
    scan = (struct scan){ .budget = { PLENTY, PLENTY } };
}

static void unload(void)
{
    scan_detach(&local);
    plan_free(plan);
    arena_reset(&load_arena);
    arena_reset(&arena);
}

static enum scan_end run(struct value *values, unsigned count)
{
    scan_begin(&scan, (struct values){ values, count });
    return scan_run(&scan, plan, &local, &arena, UINT64_MAX);
}

static struct value arg(struct span text)
{
    return (struct value){ .text = text,
                           .name = SPAN("q"),
                           .selects = UINT64_C(1) << TARGET_ARGS,
                           .target = TARGET_ARGS };
}

static bool matched(unsigned rule)
{
    return scan.matched != NULL && set_has(scan.matched, rule);
}

/* Whether one pattern over args, after `transform`, is found in the value. */
static bool finds(const char *match, const char *transform, struct span text)
{
    load(&(struct given){ match, "args", transform }, 1);
    struct value value = arg(text);
    assert_int_equal(run(&value, 1), SCAN_DONE);
    bool found = matched(0);
    unload();
    return found;
}

static void forms_of_values(void **state)
{
    (void)state;
    static const struct {
        const char *match, *transform;
        struct span text;
        bool found;
    } rows[] = {
        { "abc", "none", SPAN_INIT("xabcx"), true },
        { "abc", "none", SPAN_INIT("xABCx"), false },
        { "abc", "lowercase", SPAN_INIT("xABCx"), true },
        { "ABC", "lowercase", SPAN_INIT("xabcx"), true },
        { "(?i)abc", "none", SPAN_INIT("ABC"), true },
        { "a.c", "none", SPAN_INIT("a\nc"), true },
        { "a$", "none", SPAN_INIT("ba"), true },
        { "a$", "none", SPAN_INIT("ba\n"), false },
        { "a b", "none", SPAN_INIT("a%20b"), false },
        { "a b", "url_decode", SPAN_INIT("a%20b"), true },
        { "a b", "url_decode", SPAN_INIT("a%2520b"), true },
        { "a b", "url_decode", SPAN_INIT("a%252520b"), true },
        { "a b", "url_decode", SPAN_INIT("a%25252520b"), false },
        { "a%20b", "url_decode", SPAN_INIT("a%20b"), true },   /* as it came */
        { "a%20b", "url_decode", SPAN_INIT("a%2520b"), true }, /* between */
        { "<b", "url_decode,html_decode", SPAN_INIT("%26lt;b"), true },
        { "<b", "html_decode,url_decode", SPAN_INIT("%26lt;b"), false },
        { "\\x00", "none", SPAN_INIT("a\0b"), true },
        { "ab", "remove_nulls", SPAN_INIT("a\0b"), true },
        { "ab", "lowercase,remove_nulls", SPAN_INIT("A\0B"), true },
        { "a", "none", SPAN_INIT(""), false },
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        if (finds(rows[i].match, rows[i].transform, rows[i].text) != rows[i].found)
            fail_msg("row %zu: %s", i, rows[i].match);
    }
}

static void patterns_see_their_own_forms_only(void **state)
{
    (void)state;
    static const struct given given[] = { { "a b", "args", "none" },
                                          { "a b", "args", "url_decode" },
                                          { "<", "args", "html_decode" },
                                          { "<", "args", "url_decode" } };
    load(given, ARRAY_LEN(given));
    struct value value = arg(SPAN("a%20b &lt;"));
    assert_int_equal(run(&value, 1), SCAN_DONE);
    assert_false(matched(0));
    assert_true(matched(1));
    assert_true(matched(2));
    assert_false(matched(3));
    unload();
}

static void patterns_see_their_own_targets_only(void **state)
{
    (void)state;
    static const struct given given[] = { { "evil", "args", "none" },
                                          { "evil", "path", "none" },
                                          { "evil", "header:x-a", "none" },
                                          { "evil", "headers", "none" } };
    load(given, ARRAY_LEN(given));
    struct value value = arg(SPAN("evil"));
    assert_int_equal(run(&value, 1), SCAN_DONE);
    assert_true(matched(0));
    assert_false(matched(1));
    assert_false(matched(2));
    value = (struct value){ .text = SPAN("evil"),
                            .name = SPAN("X-A"),
                            .selects = UINT64_C(1) << TARGET_COUNT,
                            .target = TARGET_HEADERS };
    assert_int_equal(run(&value, 1), SCAN_DONE);
    assert_true(matched(2));
    assert_false(matched(3));
    unload();
}

static void what_a_hit_tells(void **state)
{
    (void)state;
    char text[200];
    memset(text, 'x', sizeof(text));
    memcpy(text + 120, "%65vil", 6);
    load(&(struct given){ "evil", "args", "url_decode" }, 1);
    struct value values[] = { arg(span_of(text, sizeof(text))), arg(SPAN("evil")) };
    values[0].name =
        SPAN("a name that is longer than what goes to a record, by quite a number");
    assert_int_equal(run(values, 2), SCAN_DONE);
    const struct hit *hit = scan_hit(&scan, 0);
    assert_non_null(hit);
    assert_null(hit->next); /* the second match of the rule is none */
    assert_int_equal(hit->offset, 120);
    assert_text(hit->sample, "evil");
    assert_true(span_starts(hit->field, SPAN("args:a name that ")));
    assert_int_equal(hit->field.len, 5 + 64);
    assert_null(scan_hit(&scan, 1));
    unload();
}

/* A match of `len` bytes anywhere around the first window's end. */
static void long_values(void **state)
{
    (void)state;
    static char text[3 * WINDOW_BYTES];
    load(&(struct given){ "evil[a]+word", "args", "url_decode" }, 1);
    for (size_t at = WINDOW_BYTES - 40; at < WINDOW_BYTES + 8; at++) {
        memset(text, 'x', sizeof(text));
        memcpy(text + at, "evi%6caaaaaaaaaaaaaaaaaaaaword", 30);
        scan = (struct scan){ .budget = { PLENTY, PLENTY } };
        struct value value = arg(span_of(text, sizeof(text)));
        assert_int_equal(run(&value, 1), SCAN_DONE);
        assert_true(matched(0));
    }
    /* As wide as the overlap, wherever it stands. */
    memset(text, 'x', sizeof(text));
    size_t from = WINDOW_BYTES - WINDOW_OVERLAP + 1;
    memset(text + from, 'a', WINDOW_OVERLAP);
    memcpy(text + from, "evil", 4);
    memcpy(text + from + WINDOW_OVERLAP - 4, "word", 4);
    scan = (struct scan){ .budget = { PLENTY, PLENTY } };
    struct value value = arg(span_of(text, sizeof(text)));
    assert_int_equal(run(&value, 1), SCAN_DONE);
    assert_true(matched(0));
    assert_int_equal(scan_hit(&scan, 0)->offset, from);
    unload();
}

static void ends_of_windows_are_no_ends(void **state)
{
    (void)state;
    static char text[WINDOW_BYTES * 2];
    static const struct given given[] = { { "^evil", "args", "none" },
                                          { "evil$", "args", "none" } };
    load(given, ARRAY_LEN(given));
    memset(text, 'x', sizeof(text));
    memcpy(text + WINDOW_BYTES - WINDOW_OVERLAP, "evil", 4); /* the second window's start */
    memcpy(text + WINDOW_BYTES - 4, "evil", 4);              /* the first one's end */
    struct value value = arg(span_of(text, sizeof(text)));
    assert_int_equal(run(&value, 1), SCAN_DONE);
    assert_null(scan.matched);
    memcpy(text, "evil", 4);
    memcpy(text + sizeof(text) - 4, "evil", 4);
    assert_int_equal(run(&value, 1), SCAN_DONE);
    assert_true(matched(0) && matched(1));
    unload();
}

static void uploads(void **state)
{
    (void)state;
    static char data[WINDOW_BYTES * 2];
    static const struct given given[] = { { "<x", "body", "url_decode" },
                                          { "evil word", "body", "url_decode" } };
    load(given, ARRAY_LEN(given));
    memset(data, 0xff, sizeof(data));
    data[0] = data[WINDOW_BYTES + 100] = data[sizeof(data) - 1] = 0;
    memcpy(data + 100, "<x", 2); /* too short to be text */
    memcpy(data + WINDOW_BYTES - 5, "an%20evil%20word", 16);
    struct value value = { .text = span_of(data, sizeof(data)),
                           .selects = UINT64_C(1) << TARGET_BODY,
                           .target = TARGET_BODY,
                           .mixed = true };
    assert_int_equal(run(&value, 1), SCAN_DONE);
    assert_false(matched(0));
    assert_true(matched(1));
    /* All windows were looked at for text, but nearly nothing scanned. */
    uint64_t spent = PLENTY - scan.budget.bytes;
    assert_true(spent >= sizeof(data) && spent < sizeof(data) + 2 * WINDOW_OVERLAP + 200);
    value.mixed = false;
    assert_int_equal(run(&value, 1), SCAN_DONE);
    assert_true(matched(0));
    unload();
}

static void budgets(void **state)
{
    (void)state;
    struct value values[] = { arg(SPAN("0123456789")), arg(SPAN("%41bcdefgh")) };
    load(&(struct given){ "evil", "args", "url_decode" }, 1);
    /* The second value has two forms, of 10 and 8 bytes. */
    scan.budget = (struct scan_budget){ 28, 2 };
    assert_int_equal(run(values, 2), SCAN_DONE);
    assert_int_equal(scan.budget.bytes, 0);
    assert_int_equal(scan.budget.values, 0);
    scan.budget = (struct scan_budget){ 27, 2 };
    assert_int_equal(run(values, 2), SCAN_SPENT);
    scan.budget = (struct scan_budget){ 28, 1 };
    assert_int_equal(run(values, 2), SCAN_SPENT);
    unload();
}

static void pauses_change_nothing(void **state)
{
    (void)state;
    static char text[WINDOW_BYTES * 4];
    static const struct given given[] = { { "evil", "args", "none" },
                                          { "last$", "args", "none" } };
    load(given, ARRAY_LEN(given));
    memset(text, 'x', sizeof(text));
    memcpy(text + WINDOW_BYTES * 3, "evil", 4);
    struct value values[] = { arg(span_of(text, sizeof(text))), arg(SPAN("the last")) };
    scan_begin(&scan, (struct values){ values, 2 });
    unsigned pauses = 0;
    enum scan_end end;
    while ((end = scan_run(&scan, plan, &local, &arena, 1)) == SCAN_PAUSE)
        pauses++;
    assert_int_equal(end, SCAN_DONE);
    assert_int_equal(pauses, 5);
    assert_true(matched(0) && matched(1));
    unload();
}

static void memory_ends(void **state)
{
    (void)state;
    load(&(struct given){ "evil", "args", "none" }, 1);
    arena_init(&arena, NULL, 0, NULL, 0);
    struct value value = arg(SPAN("evil"));
    assert_int_equal(run(&value, 1), SCAN_MEMORY);
    unload();
}

int main(void)
{
    return RUN(TEST(forms_of_values), TEST(patterns_see_their_own_forms_only),
               TEST(patterns_see_their_own_targets_only), TEST(what_a_hit_tells),
               TEST(long_values), TEST(ends_of_windows_are_no_ends), TEST(uploads),
               TEST(budgets), TEST(pauses_change_nothing), TEST(memory_ends));
}
