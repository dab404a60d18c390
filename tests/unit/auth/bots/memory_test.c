/* What workers know together: once is once, doings fade, and attacks begin and end. */
#include "auth/bots/memory.h"

#include "tests/unit/auth/bots/memory_kit.h"
#include "tests/unit/check.h"

enum { NOW = 1800000000 };

static void once_is_once(void **state)
{
    (void)state;
    assert_true(bots_use_once(&memory_kit, SPAN("one"), NOW, NOW + 600));
    assert_false(bots_use_once(&memory_kit, SPAN("one"), NOW, NOW + 600));
    assert_false(bots_use_once(&memory_kit, SPAN("one"), NOW + 599, NOW + 1200));
    assert_true(bots_use_once(&memory_kit, SPAN("two"), NOW, NOW + 600));
    /* Another process over the same memory. */
    struct bots_memory other;
    memory_kit_over(&other);
    assert_false(bots_use_once(&other, SPAN("one"), NOW + 10, NOW + 600));
    assert_true(bots_use_once(&other, SPAN("one"), NOW + 600, NOW + 1200));
}

/* A table that is full gives up what would be forgotten soonest, and stays as large as it is.
 */
static void the_table_is_bounded(void **state)
{
    (void)state;
    unsigned again = 0;
    for (uint32_t i = 0; i < 2 * BOTS_USED; i++)
        assert_true(bots_use_once(&memory_kit, span_of((const char *)&i, sizeof(i)), NOW,
                                  NOW + 1 + i / 1024));
    for (uint32_t i = 2 * BOTS_USED - 1024; i < 2 * BOTS_USED; i++)
        again +=
            bots_use_once(&memory_kit, span_of((const char *)&i, sizeof(i)), NOW, NOW + 1000);
    assert_int_equal(again, 0); /* the latest are all there */
    assert_true(cells_evicted(&memory_kit.used) > 0);
}

static struct addr addr_of(const char *text)
{
    struct addr addr;
    assert_true(addr_parse(span_text(text), &addr));
    return addr;
}

static void visitors_are_remembered_and_fade(void **state)
{
    (void)state;
    struct addr one = addr_of("192.0.2.1"), other = addr_of("192.0.2.2");
    assert_int_equal(bots_visitor(&memory_kit, &one, NOW).since_s, 0);
    for (unsigned i = 0; i < 100; i++)
        bots_note(&memory_kit, &one, VISITOR_MISSED, NOW);
    for (unsigned i = 0; i < 100; i++)
        bots_note(&memory_kit, &one, VISITOR_ASKED, NOW);
    bots_note(&memory_kit, &one, VISITOR_FAILED, NOW);
    bots_note(&memory_kit, &one, VISITOR_TRAPPED, NOW);
    bots_note_score(&memory_kit, &one, 100, NOW);
    struct visitor visitor = bots_visitor(&memory_kit, &one, NOW + VISITOR_WINDOW_S - 1);
    assert_int_equal(visitor.since_s, NOW);
    assert_int_equal(visitor.score, 100);
    assert_int_equal(visitor.counts[VISITOR_MISSED], 63);
    assert_int_equal(visitor.counts[VISITOR_ASKED], 31);
    assert_int_equal(visitor.counts[VISITOR_FAILED], 1);
    assert_int_equal(visitor.counts[VISITOR_PASSED], 0);
    assert_int_equal(visitor.counts[VISITOR_TRAPPED], 7);
    visitor = bots_visitor(&memory_kit, &one, NOW + VISITOR_WINDOW_S);
    assert_int_equal(visitor.counts[VISITOR_MISSED], 31);
    assert_int_equal(visitor.counts[VISITOR_FAILED], 0);
    assert_int_equal(visitor.counts[VISITOR_TRAPPED], 3);
    /* Who goes on is halved all the same. */
    bots_note(&memory_kit, &one, VISITOR_PASSED, NOW + 2 * VISITOR_WINDOW_S);
    visitor = bots_visitor(&memory_kit, &one, NOW + 2 * VISITOR_WINDOW_S);
    assert_int_equal(visitor.counts[VISITOR_MISSED], 15);
    assert_int_equal(visitor.counts[VISITOR_PASSED], 1);
    assert_int_equal(bots_visitor(&memory_kit, &one, NOW + 20 * VISITOR_WINDOW_S).since_s, 0);
    assert_int_equal(bots_visitor(&memory_kit, &other, NOW).since_s, 0);
}

static void one_subscriber_is_one_visitor(void **state)
{
    (void)state;
    struct addr one = addr_of("2001:db8::1"), neighbour = addr_of("2001:db8::ffff:2"),
                other = addr_of("2001:db8:0:1::1"), none = { .family = ADDR_UNIX };
    bots_note(&memory_kit, &one, VISITOR_PASSED, NOW);
    assert_int_equal(bots_visitor(&memory_kit, &neighbour, NOW).counts[VISITOR_PASSED], 1);
    assert_int_equal(bots_visitor(&memory_kit, &other, NOW).since_s, 0);
    bots_note(&memory_kit, &none, VISITOR_PASSED, NOW);
    assert_int_equal(bots_visitor(&memory_kit, &none, NOW).since_s, 0);
}

static const struct pressure_rules set = { .all = 100, .odd = 10, .hold_s = 60 };

static void an_attack_begins_at_its_level_and_ends_below_half(void **state)
{
    (void)state;
    struct route_pressure *route = bots_route(&memory_kit, SPAN("shop"), SPAN("/x"));
    for (unsigned i = 0; i < 99; i++)
        assert_false(pressure_note(route, &set, NOW, false));
    assert_true(pressure_note(route, &set, NOW, false));
    assert_int_equal(route->times, 1);
    uint64_t now_s = NOW;
    /* Half of it keeps it on, for as long as that lasts. */
    for (unsigned window = 0; window < 30; window++) {
        now_s += PRESSURE_WINDOW_S;
        for (unsigned i = 0; i < 50; i++)
            assert_true(pressure_note(route, &set, now_s, false));
    }
    /* Less than half does not. */
    for (unsigned window = 0; window < 7; window++) {
        now_s += PRESSURE_WINDOW_S;
        for (unsigned i = 0; i < 49; i++)
            (void)pressure_note(route, &set, now_s, false);
    }
    assert_false(pressure_is_on(route, now_s));
    assert_int_equal(route->times, 1);
    for (unsigned i = 0; i < 9; i++)
        assert_false(pressure_note(route, &set, now_s + 100, true));
    assert_true(pressure_note(route, &set, now_s + 100, true));
    assert_int_equal(route->times, 2);
}

static void what_is_usual_is_learned(void **state)
{
    (void)state;
    static const struct pressure_rules learning = { .learn = true, .hold_s = 60 };
    struct route_pressure *route = bots_route(&memory_kit, SPAN("shop"), SPAN("/y"));
    uint64_t now_s = NOW;
    for (unsigned i = 0; i < 5000; i++) /* nothing is usual yet */
        assert_false(pressure_note(route, &learning, now_s, true));
    for (unsigned window = 0; window < 100; window++) {
        now_s += PRESSURE_WINDOW_S;
        for (unsigned i = 0; i < 100; i++)
            assert_false(pressure_note(route, &learning, now_s, false));
    }
    now_s += PRESSURE_WINDOW_S;
    unsigned count = 0;
    while (!pressure_note(route, &learning, now_s, false))
        count++;
    assert_in_range(count, 100 * PRESSURE_TIMES * 9 / 10, 100 * PRESSURE_TIMES * 11 / 10);
    uint32_t usual = route->usual;
    for (unsigned i = 0; i < 3; i++) { /* an attack is not what is usual */
        now_s += PRESSURE_WINDOW_S;
        for (unsigned n = 0; n < 5000; n++)
            assert_true(pressure_note(route, &learning, now_s, false));
    }
    assert_true(route->usual <= usual);
}

static void a_quiet_route_is_not_attacked_by_a_few(void **state)
{
    (void)state;
    static const struct pressure_rules learning = { .learn = true, .hold_s = 60 };
    struct route_pressure *route = bots_route(&memory_kit, SPAN("shop"), SPAN("/z"));
    (void)pressure_note(route, &learning, NOW, false);
    uint64_t now_s = NOW + 1000 * PRESSURE_WINDOW_S;
    for (unsigned i = 0; i < PRESSURE_FLOOR - 1; i++)
        assert_false(pressure_note(route, &learning, now_s, false));
    assert_true(pressure_note(route, &learning, now_s, false));
}

static void routes_have_places_and_the_last_is_shared(void **state)
{
    (void)state;
    struct route_pressure *one = bots_route(&memory_kit, SPAN("a"), SPAN("b"));
    assert_ptr_equal(one, bots_route(&memory_kit, SPAN("a"), SPAN("b")));
    assert_ptr_not_equal(one, bots_route(&memory_kit, SPAN("ab"), SPAN("")));
    assert_string_equal(one->name, "a b");
    char name[16];
    for (unsigned i = 0; i < 2 * BOTS_ROUTES; i++) {
        struct text text = text_fixed(name, sizeof(name));
        text_uint(&text, i);
        struct route_pressure *route = bots_route(&memory_kit, SPAN("site"), text_span(&text));
        assert_true(route >= memory_kit.shared->routes &&
                    route < memory_kit.shared->routes + BOTS_ROUTES);
    }
    assert_ptr_equal(one, bots_route(&memory_kit, SPAN("a"), SPAN("b")));
    assert_ptr_equal(bots_route(&memory_kit, SPAN("one"), SPAN("more")),
                     &memory_kit.shared->routes[BOTS_ROUTES - 1]);
}

#define CASE(fn) cmocka_unit_test_setup_teardown(fn, memory_kit_open, memory_kit_close)

int main(void)
{
    return RUN(CASE(once_is_once), CASE(the_table_is_bounded),
               CASE(visitors_are_remembered_and_fade), CASE(one_subscriber_is_one_visitor),
               CASE(an_attack_begins_at_its_level_and_ends_below_half),
               CASE(what_is_usual_is_learned), CASE(a_quiet_route_is_not_attacked_by_a_few),
               CASE(routes_have_places_and_the_last_is_shared));
}
