/*
 * What a flood leaves: the first of each client by itself, some more one by one, all others in
 * sums that miss none.
 */
#include "gateway/audit/flood.h"
#include "tests/unit/check.h"

enum { PER_WINDOW = 5, LINE_BYTES = FLOOD_LINE_BYTES + 512 };

static struct ring ring;
static struct repeats flood;

static int fresh(void **state)
{
    static const struct siphash_key key = { 1, 2 };
    (void)state;
    memset(&ring, 0, sizeof(ring));
    flood_init(&flood, PER_WINDOW, &key);
    return 0;
}

static struct record refusal(unsigned client, uint64_t us)
{
    static const uint64_t day_us = (uint64_t)20000 * 86400 * 1000000;
    return (struct record){ .wall_us = day_us + us,
                            .client = { .family = ADDR_V4,
                                        .bytes = { 10, (uint8_t)(client >> 16),
                                                   (uint8_t)(client >> 8), (uint8_t)client } },
                            .site = "site",
                            .route = "route",
                            .action = "block",
                            .reason = "rule" };
}

static bool absorbs(unsigned client, uint64_t us)
{
    const struct record record = refusal(client, us);
    return flood_absorbs(&flood, &ring, &record);
}

/* All that is told now; `crowds`: how many lines name no client. */
static uint64_t tell_all(unsigned *lines, unsigned *crowds)
{
    uint64_t sum = 0;
    *lines = *crowds = 0;
    for (unsigned slot = 0; slot < FLOOD_SLOTS; slot++) {
        char buffer[LINE_BYTES];
        struct text line = text_fixed(buffer, sizeof(buffer));
        struct flood_news news;
        uint64_t told = ring.flood[slot].told;
        if (!flood_line(&ring, slot, UINT64_MAX / 2, true, &line, &news))
            continue;
        sum += news.count - told;
        flood_told(&ring, &news);
        *lines += 1;
        *crowds += span_find(text_span(&line), SPAN("\"client\"")) < 0;
        assert_true(span_ends(text_span(&line), SPAN("}}}")));
    }
    return sum;
}

static void test_one_client(void **state)
{
    unsigned lines, crowds, alone = 0;
    (void)state;
    for (unsigned i = 0; i < 100; i++)
        alone += !absorbs(1, 1000 + i);
    assert_int_equal(alone, PER_WINDOW);
    assert_false(absorbs(2, 2000)); /* another client: its first */
    assert_int_equal(tell_all(&lines, &crowds), 100 - PER_WINDOW);
    assert_int_equal(lines, 1);
    assert_int_equal(crowds, 0);
    assert_false(absorbs(1, 1000 + FLOOD_WINDOW_US)); /* the next second */
}

static void test_many_clients(void **state)
{
    enum { CLIENTS = 100, EACH = 20 };
    unsigned lines, crowds, alone = 0;
    (void)state;
    for (unsigned i = 0; i < CLIENTS * EACH; i++) {
        bool first = i < CLIENTS, absorbed = absorbs(i % CLIENTS, 1000 + i);
        assert_false(first && absorbed);
        alone += !absorbed;
    }
    /* The first of each; beyond that no more than a few clients are granted. */
    assert_true(alone <= CLIENTS + FLOOD_CROWD * PER_WINDOW);
    assert_int_equal(tell_all(&lines, &crowds) + alone, CLIENTS * EACH);
    assert_int_equal(crowds, 1); /* more clients than lines */
    assert_true(lines <= FLOOD_SLOTS);
}

/* What cannot be counted is recorded. */
static void test_more_clients_than_are_counted(void **state)
{
    enum { CLIENTS = 20000 };
    unsigned lines, crowds, alone = 0;
    (void)state;
    for (unsigned i = 0; i < CLIENTS; i++)
        alone += !absorbs(i, 1000);
    assert_int_equal(alone, CLIENTS);
    assert_int_equal(tell_all(&lines, &crowds), 0);
}

static void test_off(void **state)
{
    static const struct siphash_key key = { 1, 2 };
    (void)state;
    flood_init(&flood, 0, &key);
    for (unsigned i = 0; i < 100; i++)
        assert_false(absorbs(1, 1000));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_one_client, fresh),
        cmocka_unit_test_setup(test_many_clients, fresh),
        cmocka_unit_test_setup(test_more_clients_than_are_counted, fresh),
        cmocka_unit_test_setup(test_off, fresh),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
