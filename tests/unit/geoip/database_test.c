/* Look-ups in a worker: which database is believed, private addresses, swaps, names. */
#include "geoip/database.h"

#include "geoip/build.h"
#include "tests/unit/check.h"

static struct arena arena;
static struct snapshots snapshots;

static struct span database_of(const char *text)
{
    struct geo_table table = { .count = 0 };
    struct geo_build build = { .record_size = 0 };
    unsigned line;
    assert_int_equal(geo_table_reserve(&table, span_text(text), &arena), OK);
    assert_int_equal(geo_table_parse(&table, span_text(text), &line), OK);
    assert_int_equal(geo_build(&build, &table, &arena), OK);
    return build.bytes;
}

static struct geo look_up(struct geo_reader *reader, const char *address)
{
    struct addr addr;
    struct geo geo;
    assert_true(addr_parse(span_text(address), &addr));
    geo_reader_look_up(reader, &addr, &geo, NULL);
    return geo;
}

static void country_and_continent(void **state)
{
    (void)state;
    snapshot_initial(&snapshots, 1, database_of("81.2.69.0/24,GB\n2a02::/16,NO\n"));
    snapshot_initial(&snapshots, 2, database_of("81.0.0.0/8,DE\n12.0.0.0/8,US\n"));
    struct geo_reader *reader = geo_reader_new(&snapshots, 1, 2, &arena);
    static const struct {
        const char *address, *country, *continent;
    } rows[] = {
        { "81.2.69.1", "GB", "EU" },        { "81.2.70.1", "DE", "EU" },
        { "12.1.1.1", "US", "NA" },         { "9.9.9.9", "XX", "" },
        { "2a02::1", "NO", "EU" },          { "2a03::1", "XX", "" },
        { "::ffff:81.2.69.1", "GB", "EU" },
    };
    for (unsigned round = 0; round < 2; round++) /* the second time from what was kept */
        for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
            struct geo geo = look_up(reader, rows[i].address);
            assert_string_equal(geo.country, rows[i].country);
            assert_string_equal(geo.continent, rows[i].continent);
            assert_int_equal(geo.asn, 0);
        }
}

/* Even if a database says otherwise. */
static void private_addresses(void **state)
{
    (void)state;
    static const struct {
        const char *address;
        bool private;
    } rows[] = {
        { "9.255.255.255", false },
        { "10.0.0.0", true },
        { "10.255.255.255", true },
        { "11.0.0.0", false },
        { "100.63.255.255", false },
        { "100.64.0.0", true },
        { "100.127.255.255", true },
        { "100.128.0.0", false },
        { "127.0.0.1", true },
        { "169.254.1.1", true },
        { "172.15.255.255", false },
        { "172.16.0.0", true },
        { "172.31.255.255", true },
        { "172.32.0.0", false },
        { "192.0.0.1", true },
        { "192.0.1.1", false },
        { "192.0.2.1", true },
        { "192.168.255.255", true },
        { "192.169.0.0", false },
        { "198.17.255.255", false },
        { "198.18.0.0", true },
        { "198.19.255.255", true },
        { "198.20.0.0", false },
        { "198.51.100.1", true },
        { "203.0.113.255", true },
        { "203.0.114.0", false },
        { "223.255.255.255", false },
        { "224.0.0.0", true },
        { "255.255.255.255", true },
        { "0.1.2.3", true },
        { "::", true },
        { "::1", true },
        { "100::1", true },
        { "2001:db8::1", true },
        { "2001:db9::1", false },
        { "fbff::1", false },
        { "fc00::1", true },
        { "fdff::1", true },
        { "fe7f::1", false },
        { "fe80::1", true },
        { "febf::1", true },
        { "fec0::1", true }, /* site-local of old, RFC 3879 */
        { "ff02::1", true },
        { "2a02::1", false },
        { "::ffff:10.0.0.1", true },
    };
    snapshot_initial(&snapshots, 1, database_of("0.0.0.0/0,GB\n::/0,GB\n"));
    struct geo_reader *reader = geo_reader_new(&snapshots, 1, 1, &arena);
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct geo geo = look_up(reader, rows[i].address);
        assert_string_equal(geo.country, rows[i].private ? "ZZ" : "GB");
        assert_string_equal(geo.continent, rows[i].private ? "" : "EU");
    }
    struct addr local = { .family = ADDR_UNIX };
    assert_true(geo_is_private(&local));
}

static void a_swap_is_seen(void **state)
{
    (void)state;
    struct span old = database_of("81.0.0.0/8,GB\n"), new = database_of("81.0.0.0/8,DE\n");
    snapshot_initial(&snapshots, 1, old);
    struct geo_reader *reader = geo_reader_new(&snapshots, 1, 1, &arena);
    assert_string_equal(look_up(reader, "81.1.1.1").country, "GB");
    /* Another database at the same place in memory, as a new mapping may be. */
    assert_int_equal(old.len, new.len);
    memcpy((char *)old.p, new.p, new.len);
    snapshots.items[1].swaps++;
    assert_string_equal(look_up(reader, "81.1.1.1").country, "DE");
}

static void without_a_database_nothing_is_known(void **state)
{
    (void)state;
    snapshot_initial(&snapshots, 1, SPAN("this is no database"));
    snapshot_initial(&snapshots, 2, span_of(NULL, 0));
    struct geo_reader *reader = geo_reader_new(&snapshots, 1, 2, &arena);
    assert_string_equal(look_up(reader, "81.1.1.1").country, GEO_UNKNOWN);
}

static int open_arena(void **state)
{
    (void)state;
    arena_init(&arena, NULL, 0, NULL, (size_t)64 << 20);
    return snapshots_init(&snapshots, &arena, 3) == OK ? 0 : -1;
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
        cmocka_unit_test(country_and_continent),
        cmocka_unit_test(private_addresses),
        cmocka_unit_test(a_swap_is_seen),
        cmocka_unit_test(without_a_database_nothing_is_known),
    };
    return cmocka_run_group_tests(tests, open_arena, close_arena);
}
