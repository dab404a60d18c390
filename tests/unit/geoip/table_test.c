/* Tables of ranges: the forms they come in, what is malformed, and which range holds. */
#include "geoip/table.h"

#include "geoip/build.h"
#include "geoip/countries.h"
#include "geoip/geofile.h"
#include "tests/unit/check.h"

static struct arena arena;

static enum err parse(struct geo_table *table, const char *text, unsigned *line)
{
    *table = (struct geo_table){ .count = 0 };
    assert_int_equal(geo_table_reserve(table, span_text(text), &arena), OK);
    return geo_table_parse(table, span_text(text), line);
}

static void forms(void **state)
{
    (void)state;
    static const char *const same[] = {
        "16777216,16777471,AU\n",
        "# by somebody\n\n1.0.0.0,1.0.0.255,AU",
        "1.0.0.0/24,au\r\n",
        "1.0.0.77/24,AU\n",
        "\"16777216\",\"16777471\",\"AU\",\"Australia\"\n",
        "network,country,name\n1.0.0.0/24,AU,Australia\n",
        "::ffff:1.0.0.0,::ffff:1.0.0.255,AU\n",
        "281470698520576,281470698520831,AU\n",
    };
    for (size_t i = 0; i < ARRAY_LEN(same); i++) {
        struct geo_table table;
        unsigned line;
        assert_int_equal(parse(&table, same[i], &line), OK);
        assert_int_equal(table.count, 1);
        assert_true(table.ranges[0].first == 0x01000000);
        assert_true(table.ranges[0].last == 0x010000ff);
        assert_int_equal(table.ranges[0].country, country_number("AU"));
    }
}

static void codes(void **state)
{
    (void)state;
    static const char *const none[] = { "??", "-", "", "EU", "A1", "ZZ", "XX", "1" };
    struct geo_table table;
    unsigned line;
    for (size_t i = 0; i < ARRAY_LEN(none); i++) {
        char text[64];
        struct text t = text_fixed(text, sizeof(text));
        text_lit(&t, "1.0.0.0/24,");
        text_add(&t, span_text(none[i]));
        assert_int_equal(parse(&table, text_cstring(&t), &line), OK);
        assert_int_equal(table.count, 0);
        assert_int_equal(table.unknown, 1);
    }
    assert_int_equal(parse(&table, "1.0.0.0/24,UK", &line), OK);
    assert_int_equal(table.ranges[0].country, country_number("GB"));
}

static void malformed(void **state)
{
    (void)state;
    static const char *const bad[] = {
        "1.0.0.0/33,AU",
        "1.0.0.0",
        "1.0.0.0,1.0.0.9",
        "1.0.0.9,1.0.0.0,AU",
        "1.0.0.0,::2,AU",
        "1.0.0.0/24,Australia",
        "1.0.0.0,1.0.0.256,AU",
        ",,AU",
        "-1,5,AU",
        "1.0.0.0/24;AU",
        "network,country",
        "1.0.0.0/24",
        "340282366920938463463374607431768211456,340282366920938463463374607431768211456,AU",
    };
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        char text[256];
        struct text t = text_fixed(text, sizeof(text));
        struct geo_table table;
        unsigned line;
        text_lit(&t, "# one\n2.0.0.0/8,FR\n");
        text_add(&t, span_text(bad[i]));
        assert_int_equal(parse(&table, text_cstring(&t), &line), ERR_SYNTAX);
        assert_int_equal(line, 3);
    }
}

/* The narrowest that contains it; of equals the latest line. */
static int naive(const struct geo_table *table, unsigned __int128 number)
{
    const struct geo_range *best = NULL;
    for (size_t i = 0; i < table->count; i++) {
        const struct geo_range *r = &table->ranges[i];
        if (number < r->first || number > r->last)
            continue;
        if (best == NULL || r->last - r->first < best->last - best->first ||
            (r->last - r->first == best->last - best->first && r->order > best->order))
            best = r;
    }
    return best != NULL ? best->country : -1;
}

static uint64_t next(uint64_t *seed)
{
    *seed = *seed * 6364136223846793005u + 1442695040888963407u;
    return *seed >> 33;
}

/* Nested prefixes at random; ranges that cross one another are cut where the tables are. */
static void the_narrowest_holds(void **state)
{
    (void)state;
    static const char *const countries[] = { "DE", "FR", "GB", "NO", "US" };
    uint64_t seed = 20240229;
    for (unsigned round = 0; round < 20; round++) {
        struct text text = text_growing(&arena, 4096);
        for (unsigned i = 0; i < 60; i++) {
            bool v4 = next(&seed) % 2 == 0;
            text_format(&text, v4 ? "81.%u.0.0/%u,%s\n" : "2a02:%x::/%u,%s\n",
                        (unsigned)(next(&seed) % 16) * (v4 ? 1 : 0x1000),
                        (unsigned)(next(&seed) % 12) + (v4 ? 6 : 16),
                        countries[next(&seed) % ARRAY_LEN(countries)]);
        }
        struct geo_table table;
        struct geo_build build = { .record_size = 0 };
        unsigned line;
        assert_int_equal(parse(&table, text_cstring(&text), &line), OK);
        assert_int_equal(geo_build(&build, &table, &arena), OK);
        assert_null(geofile_verify(build.bytes));
        for (size_t i = 0; i < table.count; i++) {
            unsigned __int128 edges[] = { table.ranges[i].first, table.ranges[i].last,
                                          table.ranges[i].first - 1, table.ranges[i].last + 1 };
            for (size_t e = 0; e < ARRAY_LEN(edges); e++) {
                struct addr addr = { .family = ADDR_V6 };
                for (size_t k = 0; k < 16; k++)
                    addr.bytes[k] = (uint8_t)(edges[e] >> 8 * (15 - k));
                assert_int_equal(geo_tree_find(build.tree, &addr), naive(&table, edges[e]));
            }
        }
    }
}

static void any_range_is_written(void **state)
{
    (void)state;
    static const char *const tables[] = {
        "::/0,DE",
        "0.0.0.0/0,DE",
        "0.0.0.1,255.255.255.254,DE",
        "::1,ffff:ffff:ffff:ffff:ffff:ffff:ffff:fffe,DE",
        "255.255.255.255,255.255.255.255,DE",
    };
    for (size_t i = 0; i < ARRAY_LEN(tables); i++) {
        struct geo_table table;
        struct geo_build build = { .record_size = 0 };
        unsigned line;
        assert_int_equal(parse(&table, tables[i], &line), OK);
        assert_int_equal(geo_build(&build, &table, &arena), OK);
        assert_null(geofile_verify(build.bytes));
        struct geo_range range = table.ranges[0];
        struct addr addr = { .family = ADDR_V6 };
        for (size_t k = 0; k < 16; k++)
            addr.bytes[k] = (uint8_t)(range.last >> 8 * (15 - k));
        assert_int_equal(geo_tree_find(build.tree, &addr), country_number("DE"));
    }
    struct geo_table table;
    struct geo_build small = { .record_size = 23 };
    unsigned line;
    assert_int_equal(parse(&table, tables[0], &line), OK);
    assert_int_equal(geo_build(&small, &table, &arena), ERR_LIMIT);
}

static int open_arena(void **state)
{
    (void)state;
    arena_init(&arena, NULL, 0, NULL, (size_t)256 << 20);
    return 0;
}

static int close_arena(void **state)
{
    (void)state;
    arena_reset(&arena);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(forms),
        cmocka_unit_test(codes),
        cmocka_unit_test(malformed),
        cmocka_unit_test(the_narrowest_holds),
        cmocka_unit_test(any_range_is_written),
    };
    return cmocka_run_group_tests(tests, open_arena, close_arena);
}
