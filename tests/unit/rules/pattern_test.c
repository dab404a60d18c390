/*
 * Patterns for values that stand in lines: whatever a pattern finds in a value, its form for
 * lines finds in the value's line, whatever stands beside it.
 */
#include "rules/pattern.h"

#include <hs/hs.h>

#include "tests/unit/check.h"

static struct arena arena;

static const char *for_lines(const char *pattern, bool *tied)
{
    return pattern_for_lines(pattern, &arena, tied);
}

static void edges_become_edges_of_lines(void **state)
{
    static const struct {
        const char *pattern, *lines;
        bool tied;
    } rows[] = {
        { "abc", "abc", false },
        { "[^a]b", "[^a]b", false },
        { "^a", "^a", true },
        { "a\\z", "a$", true },
        { "\\Aa\\Z", "^a$", true },
        { "a\\\\z", "a\\\\z",
          true }, /* a backslash and a z: taken for an edge, which is harmless */
        { "[\\^$]a", "[\\^$]a", true },
        { "\\[^a", "\\[^a", true },
        { "(?m)^a", NULL, false },
        { "(?i-m:a)", NULL, false },
        { "\\Qa\\E", NULL, false },
        { "\\Ga", NULL, false },
    };
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        bool tied;
        const char *lines = for_lines(rows[i].pattern, &tied);
        if (rows[i].lines == NULL) {
            assert_null(lines);
            continue;
        }
        assert_non_null(lines);
        assert_string_equal(lines, rows[i].lines);
        assert_int_equal(tied, rows[i].tied);
    }
}

static int on_find(unsigned id, unsigned long long from, unsigned long long to, unsigned flags,
                   void *context)
{
    (void)id, (void)from, (void)to, (void)flags;
    *(bool *)context = true;
    return 1;
}

static bool finds(const hs_database_t *db, hs_scratch_t *scratch, struct span text)
{
    bool found = false;
    hs_error_t err = hs_scan(db, text.p, (unsigned)text.len, 0, scratch, on_find, &found);
    assert_true(err == HS_SUCCESS || err == HS_SCAN_TERMINATED);
    return found;
}

static hs_database_t *compiled(const char *text, unsigned flags)
{
    hs_database_t *db = NULL;
    hs_compile_error_t *error = NULL;
    if (hs_compile(text, flags, HS_MODE_BLOCK, NULL, &db, &error) != HS_SUCCESS)
        hs_free_compile_error(error);
    return db;
}

struct random {
    uint64_t state;
};

static unsigned below(struct random *random, unsigned limit)
{
    random->state = random->state * UINT64_C(6364136223846793005) + 1442695040888963407u;
    return (unsigned)(random->state >> 33) % limit;
}

static void write_from(struct random *random, struct text *out, const char *const *atoms,
                       unsigned atom_count, unsigned most)
{
    unsigned count = 1 + below(random, most);
    for (unsigned i = 0; i < count; i++)
        text_add(out, span_text(atoms[below(random, atom_count)]));
}

static unsigned compare(struct random *random, const char *pattern, unsigned flags)
{
    static const char *const bytes[] = { "a", "b", " ", "-", "\n", "ab", "\r\n", "c", "\\" };
    bool tied;
    unsigned found = 0;
    const char *lines = for_lines(pattern, &tied);
    assert_non_null(lines);
    hs_database_t *alone = compiled(pattern, flags);
    hs_database_t *wide = compiled(lines, flags | (tied ? HS_FLAG_MULTILINE : 0));
    hs_scratch_t *scratch = NULL;
    if (alone != NULL && wide != NULL) {
        assert_int_equal(hs_alloc_scratch(alone, &scratch), HS_SUCCESS);
        assert_int_equal(hs_alloc_scratch(wide, &scratch), HS_SUCCESS);
    }
    for (unsigned i = 0; scratch != NULL && i < 20; i++) {
        char buffer[512];
        struct text text = text_fixed(buffer, sizeof(buffer));
        write_from(random, &text, bytes, ARRAY_LEN(bytes), 4);
        text_char(&text, '\n');
        size_t from = text.len;
        write_from(random, &text, bytes, ARRAY_LEN(bytes), 5);
        struct span value = span_of(buffer + from, text.len - from);
        text_char(&text, '\n');
        write_from(random, &text, bytes, ARRAY_LEN(bytes), 4);
        text_char(&text, '\n');
        if (!finds(alone, scratch, value))
            continue;
        found++;
        if (!finds(wide, scratch, text_span(&text)))
            fail_msg("%s misses \"%.*s\"", pattern, (int)value.len, value.p);
    }
    hs_free_scratch(scratch);
    hs_free_database(alone);
    hs_free_database(wide);
    return found;
}

static void lines_have_what_values_have(void **state)
{
    static const char *const atoms[] = {
        "a", "b",    "^",   "\\z",    "\\A",     "\\b",       "\\B",       "[^a]",
        ".", "\\s",  "\\W", "a|b",    "(?:^|-)", "(?:b|\\z)", "(?:a|^b)",  "[^\\n]",
        "-", "\\\\", ".*?", "[a-c]+", "(?i:A)",  "\\Z",       "(?:\\W|^)",
    };
    struct random random = { 7 };
    unsigned found = 0;
    (void)state;
    for (unsigned i = 0; i < 1500; i++) {
        char pattern[256];
        struct text out = text_fixed(pattern, sizeof(pattern) - 1);
        write_from(&random, &out, atoms, ARRAY_LEN(atoms), 5);
        found += compare(&random, text_cstring(&out), HS_FLAG_DOTALL | HS_FLAG_ALLOWEMPTY);
    }
    assert_true(found > 1000);
}

static int begin(void **state)
{
    (void)state;
    arena_init(&arena, NULL, 0, NULL, 16 << 20);
    return 0;
}

static int end(void **state)
{
    (void)state;
    arena_reset(&arena);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(edges_become_edges_of_lines, begin, end),
        cmocka_unit_test_setup_teardown(lines_have_what_values_have, begin, end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
