/* What is known of patterns: the same when it was kept, found out anew when it was not. */
#include "rules/engine/facts.h"

#include <hs/hs_compile.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "gateway/base/build.h"
#include "rules/engine/database.h"
#include "tests/unit/check.h"

static struct arena arena;
static char folder[64];

static int begin(void **state)
{
    (void)state;
    arena_init(&arena, NULL, 0, NULL, 256 << 20);
    (void)snprintf(folder, sizeof(folder), "%s", "/tmp/sallyport-facts-XXXXXX");
    return mkdtemp(folder) != NULL ? 0 : -1;
}

static int end(void **state)
{
    char command[128];
    (void)state;
    arena_reset(&arena);
    (void)snprintf(command, sizeof(command), "rm -rf '%s'", folder);
    return system(command);
}

static const char *const patterns[] = {
    "abc",
    "union\\s+all",
    "(?i)select|insert|delete",
    "^/etc/passwd$",
    "<script[^>]*>",
    "[\\x00-\\x08]",
    "['\"`]",
    "a*",        /* matches the empty text */
    "(?=ahead)", /* nothing for Hyperscan */
    "(unclosed",
};

/* ---- answers --------------------------------------------------------------------------------
 */

static void same_texts(const struct span *a, const struct span *b, unsigned count)
{
    for (unsigned i = 0; i < count; i++)
        assert_span(a[i], b[i]);
}

static void same_need(const struct pattern_need *a, const struct pattern_need *b)
{
    assert_memory_equal(&a->bytes, &b->bytes, sizeof(a->bytes));
    assert_memory_equal(&a->relied, &b->relied, sizeof(a->relied));
    assert_int_equal(a->set_count, b->set_count);
    assert_memory_equal(a->sets, b->sets, a->set_count * sizeof(a->sets[0]));
    assert_int_equal(a->literal, b->literal);
    assert_int_equal(a->never, b->never);
    assert_int_equal(a->text_count, b->text_count);
    same_texts(a->texts, b->texts, a->text_count);
}

static void same_ways(const struct pattern_ways *a, const struct pattern_ways *b)
{
    assert_int_equal(a->count, b->count);
    for (unsigned i = 0; i < a->count; i++) {
        const struct need_way *one = &a->items[i], *other = &b->items[i];
        assert_memory_equal(one->starts, other->starts, sizeof(one->starts));
        assert_int_equal(one->set_count, other->set_count);
        assert_memory_equal(one->sets, other->sets, one->set_count * sizeof(one->sets[0]));
        assert_int_equal(one->list_count, other->list_count);
        for (unsigned j = 0; j < one->list_count; j++) {
            assert_int_equal(one->lists[j].count, other->lists[j].count);
            same_texts(one->lists[j].texts, other->lists[j].texts, one->lists[j].count);
        }
    }
}

/* Whatever is known, the answers are those of who derives them. */
static void check_answers(struct facts *facts, const char *pattern, bool caseless)
{
    struct pattern_info info, plain;
    struct pattern_need need, derived;
    struct pattern_ways ways, derived_ways;
    char buffer[256], other[256];
    struct text why = text_fixed(buffer, sizeof(buffer));
    struct text words = text_fixed(other, sizeof(other));
    bool good = pattern_read(span_text(pattern), caseless, &arena, &plain, &why);
    assert_int_equal(facts_read(facts, span_text(pattern), caseless, &arena, &info, NULL),
                     good);
    assert_int_equal(facts_read(facts, span_text(pattern), caseless, &arena, &info, &words),
                     good);
    assert_span(text_span(&words), text_span(&why));
    assert_string_equal(info.text, plain.text);
    assert_int_equal(info.flags, plain.flags);
    if (!good)
        return;
    assert_int_equal(info.shortest, plain.shortest);
    assert_int_equal(info.at_start, plain.at_start);
    assert_int_equal(info.at_end, plain.at_end);
    assert_int_equal(pattern_need(info.text, info.flags, &arena, &derived), OK);
    assert_int_equal(facts_need(facts, info.text, info.flags, &arena, &need), OK);
    same_need(&need, &derived);
    assert_int_equal(pattern_ways(info.text, info.flags, &arena, &derived_ways), OK);
    assert_int_equal(facts_ways(facts, info.text, info.flags, &arena, &ways), OK);
    same_ways(&ways, &derived_ways);
    assert_int_equal(facts_is_blind_to_case(facts, info.text, info.flags),
                     pattern_is_blind_to_case(info.text, info.flags));
}

static void check_all(struct facts *facts)
{
    for (size_t i = 0; i < ARRAY_LEN(patterns); i++) {
        check_answers(facts, patterns[i], false);
        check_answers(facts, patterns[i], true);
    }
}

static struct span made(void)
{
    struct span none = { 0 };
    struct facts *facts = facts_open(none);
    assert_non_null(facts);
    check_all(facts);
    check_all(facts);
    struct span content = arena_copy(&arena, facts_content(facts));
    assert_non_null(content.p);
    assert_true(content.len > 1000);
    facts_close(facts);
    return content;
}

static void without(void **state)
{
    (void)state;
    check_all(NULL);
}

/* Refusals aside, for who wants to hear why asks again. */
static void kept(void **state)
{
    (void)state;
    struct pattern_info info;
    struct pattern_need need;
    struct pattern_ways ways;
    struct facts *facts = facts_open(made());
    for (size_t i = 0; i < ARRAY_LEN(patterns); i++) {
        if (!facts_read(facts, span_text(patterns[i]), false, &arena, &info, NULL))
            continue;
        assert_int_equal(facts_need(facts, info.text, info.flags, &arena, &need), OK);
        assert_int_equal(facts_ways(facts, info.text, info.flags, &arena, &ways), OK);
        (void)facts_is_blind_to_case(facts, info.text, info.flags);
    }
    assert_null(facts_content(facts).p); /* nothing was found out */
    check_all(facts);
    (void)facts_is_blind_to_case(facts, "another", 0);
    assert_non_null(facts_content(facts).p);
    facts_close(facts);
}

/* The flags are part of what a fact is known by. */
static void flags_tell_apart(void **state)
{
    (void)state;
    struct span none = { 0 };
    struct facts *facts = facts_open(none);
    struct pattern_need as_is, blind;
    assert_int_equal(facts_need(facts, "abc", 0, &arena, &as_is), OK);
    assert_int_equal(facts_need(facts, "abc", HS_FLAG_CASELESS, &arena, &blind), OK);
    assert_false(byte_set_has(&as_is.bytes, 'A') && byte_set_has(&as_is.bytes, 'B'));
    assert_memory_not_equal(&as_is.bytes, &blind.bytes, sizeof(blind.bytes));
    facts_close(facts);
}

/* ---- what is not as it was written ----------------------------------------------------------
 */

static void cut_off(void **state)
{
    (void)state;
    struct span content = made();
    for (size_t len = 0; len < content.len; len += len < 600 ? 1 : 97) {
        char *copy = malloc(len + 1); /* so that a byte too many is seen */
        memcpy(copy, content.p, len);
        struct facts *facts = facts_open(span_of(copy, len));
        free(copy);
        check_answers(facts, patterns[0], false);
        check_answers(facts, patterns[2], false);
        facts_close(facts);
    }
}

static void within_limits(const struct pattern_need *need)
{
    assert_true(need->set_count <= NEED_SETS_MAX);
    assert_true(need->text_count <= NEED_TEXTS_MAX);
    for (unsigned i = 0; i < need->text_count; i++)
        assert_in_range(need->texts[i].len, 1, NEED_TEXT_BYTES_MAX);
}

static void damaged(void **state)
{
    (void)state;
    struct span content = made();
    char *copy = malloc(content.len);
    for (size_t at = 0; at < content.len; at += at < 1200 ? 1 : 61) {
        memcpy(copy, content.p, content.len);
        copy[at] = (char)~copy[at];
        struct facts *facts = facts_open(span_of(copy, content.len));
        for (size_t i = 0; i < ARRAY_LEN(patterns); i++) {
            struct pattern_need need;
            assert_int_equal(facts_need(facts, patterns[i],
                                        HS_FLAG_DOTALL | HS_FLAG_SINGLEMATCH, &arena, &need),
                             OK);
            within_limits(&need);
        }
        facts_close(facts);
    }
    free(copy);
}

/* ---- limits ---------------------------------------------------------------------------------
 */

static size_t most_kept(size_t len, unsigned count)
{
    struct span none = { 0 };
    struct facts *facts = facts_open(none);
    char *text = malloc(len + 1);
    memset(text, 'x', len);
    memcpy(text, "(?<", 3); /* not understood: that is known at once */
    text[len] = '\0';
    for (unsigned i = 0; i < count; i++) {
        char number[16];
        (void)snprintf(number, sizeof(number), "%08u", i);
        memcpy(text + 3, number, 8);
        assert_false(facts_is_blind_to_case(facts, text, 0));
    }
    free(text);
    size_t written = facts_content(facts).len;
    facts_close(facts);
    return written;
}

static void number_is_limited(void **state)
{
    (void)state;
    enum { LEN = 12, RECORD = 24 + 4 + LEN };
    assert_int_equal(most_kept(LEN, FACTS_MAX), FACTS_MAX * RECORD);
    assert_int_equal(most_kept(LEN, FACTS_MAX + 1), FACTS_MAX * RECORD);
}

static void bytes_are_limited(void **state)
{
    (void)state;
    enum { LEN = 64 * 1024 - 28, RECORD = 64 * 1024 };
    assert_int_equal(most_kept(LEN, FACTS_BYTES_MAX / RECORD), FACTS_BYTES_MAX);
    assert_int_equal(most_kept(LEN, FACTS_BYTES_MAX / RECORD + 1), FACTS_BYTES_MAX);
}

/* Who was asked for stands first, and so is the last to be left out. */
static void the_asked_come_first(void **state)
{
    (void)state;
    struct span none = { 0 };
    struct facts *facts = facts_open(none);
    (void)facts_is_blind_to_case(facts, "first", 0);
    (void)facts_is_blind_to_case(facts, "second", 0);
    struct span content = arena_copy(&arena, facts_content(facts));
    facts_close(facts);
    assert_true(span_find(content, SPAN("first")) < span_find(content, SPAN("second")));
    facts = facts_open(content);
    (void)facts_is_blind_to_case(facts, "third", 0);
    (void)facts_is_blind_to_case(facts, "second", 0);
    content = facts_content(facts);
    assert_true(span_find(content, SPAN("second")) < span_find(content, SPAN("third")));
    assert_true(span_find(content, SPAN("third")) < span_find(content, SPAN("first")));
    facts_close(facts);
}

/* ---- in the cache ---------------------------------------------------------------------------
 */

static void names_differ(void **state)
{
    (void)state;
    struct database_cpu cpu = database_cpu(), other = cpu;
    struct cache_name here, again, elsewhere, built;
    other.features ^= HS_CPU_FEATURES_AVX2;
    assert_true(build_id().len >= 16);
    database_facts_name(&cpu, build_id(), &here);
    database_facts_name(&cpu, build_id(), &again);
    assert_memory_equal(&here, &again, sizeof(here));
    database_facts_name(&other, build_id(), &elsewhere);
    assert_memory_not_equal(&here, &elsewhere, sizeof(here));
    database_facts_name(&cpu, SPAN("another build"), &built);
    assert_memory_not_equal(&here, &built, sizeof(here));
}

static struct cache *open_cache(void)
{
    const char *why;
    struct cache *cache = cache_open(folder, 1 << 20, &why);
    assert_non_null(cache);
    return cache;
}

/* True: something had to be found out. */
static bool learns(void)
{
    struct database_maker maker;
    struct pattern_info info;
    database_maker_open(&maker, open_cache());
    assert_true(facts_read(maker.facts, SPAN("abc"), false, &arena, &info, NULL));
    assert_int_equal(info.shortest, 3);
    bool learnt = facts_content(maker.facts).p != NULL;
    database_maker_close(&maker);
    return learnt;
}

static void from_one_start_to_the_next(void **state)
{
    (void)state;
    struct database_cpu cpu = database_cpu();
    struct cache_name name;
    assert_true(learns());
    assert_false(learns());
    /* Damaged, as its digest tells. */
    database_facts_name(&cpu, build_id(), &name);
    char path[192];
    int at = snprintf(path, sizeof(path), "%s/", folder);
    for (unsigned i = 0; i < CACHE_NAME_BYTES; i++)
        at += snprintf(path + at, sizeof(path) - (size_t)at, "%02x", name.bytes[i]);
    (void)snprintf(path + at, sizeof(path) - (size_t)at, ".entry");
    assert_int_equal(truncate(path, 100), 0);
    assert_true(learns());
    assert_false(learns());
    /* Well kept, but of nobody who could write it. */
    struct cache *cache = open_cache();
    assert_int_equal(cache_put(cache, &name, SPAN("no facts at all, but some bytes")), 0);
    cache_close(cache);
    assert_true(learns());
    assert_false(learns());
}

#define WITH_MEMORY(fn) cmocka_unit_test_setup_teardown(fn, begin, end)

int main(void)
{
    return RUN(WITH_MEMORY(without), WITH_MEMORY(kept), WITH_MEMORY(flags_tell_apart),
               WITH_MEMORY(cut_off), WITH_MEMORY(damaged), WITH_MEMORY(number_is_limited),
               WITH_MEMORY(bytes_are_limited), WITH_MEMORY(the_asked_come_first),
               WITH_MEMORY(names_differ), WITH_MEMORY(from_one_start_to_the_next));
}
