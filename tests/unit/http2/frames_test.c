/*
 * The frame counter and its allowances: at the limit and one beyond, and the same result whole
 * or byte by byte.
 */
#include "gateway/http2/frames.h"

#include <stdlib.h>

#include "tests/unit/check.h"

enum { OUT_BYTES = 1 << 20, T0 = 1000000 };

static char out[OUT_BYTES];
static size_t out_len;

static void put(unsigned type, unsigned flags, unsigned stream, size_t len, char fill)
{
    const unsigned char head[] = { (unsigned char)(len >> 16),
                                   (unsigned char)(len >> 8),
                                   (unsigned char)len,
                                   (unsigned char)type,
                                   (unsigned char)flags,
                                   0,
                                   0,
                                   0,
                                   (unsigned char)stream };

    assert_true(out_len + sizeof head + len <= sizeof out);
    memcpy(out + out_len, head, sizeof head);
    memset(out + out_len + sizeof head, fill, len);
    out_len += sizeof head + len;
}

static struct frames fresh(void)
{
    out_len = 0;
    return (struct frames){ .preface = PREFACE_BYTES };
}

static enum flood count(struct frames *frames, uint64_t now_us)
{
    enum flood flood = frames_count(frames, span_of(out, out_len), now_us);

    out_len = 0;
    return flood;
}

static void test_budget(void **state)
{
    struct budgets budgets = { 0 };

    (void)state;
    for (enum flood flood = 0; flood < FLOOD_COUNT; flood++) {
        for (unsigned i = 0; i < budget_burst(flood); i++)
            assert_true(budget_spend(&budgets, flood, T0));
        assert_false(budget_spend(&budgets, flood, T0));
        assert_true(budget_spend(&budgets, flood, T0 + 1000000)); /* at least one a second */
        assert_true(flood_name(flood).len > 0 && http_error_status(flood_error(flood)) == 429);
    }
    budgets = (struct budgets){ 0 };
    budget_credit(&budgets, FLOOD_WINDOWS, 5); /* a full one stays full */
    for (unsigned i = 0; i < budget_burst(FLOOD_WINDOWS); i++)
        assert_true(budget_spend(&budgets, FLOOD_WINDOWS, T0));
    assert_false(budget_spend(&budgets, FLOOD_WINDOWS, T0));
    budget_credit(&budgets, FLOOD_WINDOWS, 1);
    assert_true(budget_spend(&budgets, FLOOD_WINDOWS, T0));
    assert_false(budget_spend(&budgets, FLOOD_WINDOWS, T0));
}

static void test_kinds(void **state)
{
    static const struct {
        unsigned type;
        enum flood flood;
    } rows[] = { { 2, FLOOD_PRIORITIES }, { 3, FLOOD_RESETS },   { 4, FLOOD_SETTINGS },
                 { 6, FLOOD_PINGS },      { 8, FLOOD_WINDOWS },  { 5, FLOOD_UNKNOWN },
                 { 7, FLOOD_UNKNOWN },    { 10, FLOOD_UNKNOWN }, { 255, FLOOD_UNKNOWN } };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct frames frames = fresh();
        unsigned burst = budget_burst(rows[i].flood);
        for (unsigned n = 0; n < burst; n++)
            put(rows[i].type, 0, 0, 8, 0);
        assert_int_equal(count(&frames, T0), FLOOD_COUNT);
        put(rows[i].type, 0, 0, 8, 0);
        assert_int_equal(count(&frames, T0), rows[i].flood);
    }
}

static void test_continuations(void **state)
{
    struct frames frames = fresh();

    (void)state;
    put(1, 0, 1, 10, 'x');
    for (unsigned i = 0; i < CONTINUATIONS_MAX; i++)
        put(9, 0, 1, 0, 'x');
    assert_int_equal(count(&frames, T0), FLOOD_COUNT);
    assert_true(frames_wait(&frames));
    put(9, 4, 1, 0, 'x');
    assert_int_equal(count(&frames, T0), FLOOD_CONTINUATIONS);

    frames = fresh();
    put(1, 0, 1, 10, 'x');
    for (unsigned i = 1; i < CONTINUATIONS_MAX; i++)
        put(9, 0, 1, 0, 'x');
    put(9, 4, 1, 0, 'x');
    put(1, 4, 3, 10, 'x'); /* the next one begins anew */
    assert_int_equal(count(&frames, T0), FLOOD_COUNT);
    assert_false(frames_wait(&frames));

    frames = fresh();
    for (unsigned i = 0; i < 4; i++)
        put(i == 0 ? 1 : 9, 0, 1, BLOCK_BYTES_MAX / 4, 'x');
    assert_int_equal(count(&frames, T0), FLOOD_COUNT);
    put(9, 0, 1, 1, 'x');
    assert_int_equal(count(&frames, T0), FLOOD_CONTINUATIONS);
}

static void test_data(void **state)
{
    struct frames frames = fresh();

    (void)state;
    /* Empty ones, but for those that end a stream. */
    for (unsigned i = 0; i < budget_burst(FLOOD_DATA); i++)
        put(0, 0, 1, 0, 0);
    for (unsigned i = 0; i < 300; i++)
        put(0, 1, 1, 0, 0);
    assert_int_equal(count(&frames, T0), FLOOD_COUNT);
    put(0, 0, 1, 0, 0);
    assert_int_equal(count(&frames, T0), FLOOD_DATA);

    /* Two bytes a frame are a fair use, one is for a while. */
    frames = fresh();
    for (unsigned i = 0; i < 50000; i++)
        put(0, 0, 1, 2, 'x');
    assert_int_equal(count(&frames, T0), FLOOD_COUNT);
    frames = fresh();
    for (unsigned i = 0; i < DATA_OVERHEAD_FREE; i++)
        put(0, 0, 1, 1, 'x');
    assert_int_equal(count(&frames, T0), FLOOD_COUNT);
    put(0, 0, 1, 1, 'x');
    assert_int_equal(count(&frames, T0), FLOOD_DATA);

    /* Padding is no data: 1 + 100 bytes of it beside 4. */
    frames = fresh();
    for (unsigned i = 0; i < 400; i++)
        put(0, 8, 1, 105, 100);
    assert_int_equal(count(&frames, T0), FLOOD_DATA);
}

static void test_waiting(void **state)
{
    struct frames frames = fresh();

    (void)state;
    put(6, 0, 0, 8, 0);
    out_len -= 1;
    assert_int_equal(count(&frames, T0), FLOOD_COUNT);
    assert_true(frames_wait(&frames));
    assert_int_equal(frames.since_us, T0);
    out_len = 1;
    assert_int_equal(count(&frames, T0 + 5), FLOOD_COUNT);
    assert_false(frames_wait(&frames));
    put(0, 0, 1, 100, 'x'); /* a body may take its time */
    out_len -= 50;
    assert_int_equal(count(&frames, T0 + 7), FLOOD_COUNT);
    assert_false(frames_wait(&frames));
}

static void test_whole_or_in_pieces(void **state)
{
    (void)state;
    srand(7);
    for (unsigned round = 0; round < 300; round++) {
        struct frames whole = { 0 }, pieces = { 0 };
        fresh();
        memcpy(out, http2_preface.p, PREFACE_BYTES);
        out_len = PREFACE_BYTES;
        for (unsigned i = 0; i < 400; i++)
            put((unsigned)rand() % 11, (unsigned)rand() & 13, 1, (size_t)rand() % 40,
                (char)(rand() % 50));
        enum flood once = frames_count(&whole, span_of(out, out_len), T0), now = FLOOD_COUNT;
        for (size_t i = 0; i < out_len && now == FLOOD_COUNT; i++)
            now = frames_count(&pieces, span_of(out + i, 1), T0);
        assert_int_equal(once, now);
        if (now == FLOOD_COUNT)
            assert_memory_equal(&whole, &pieces, sizeof whole);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_budget),        cmocka_unit_test(test_kinds),
        cmocka_unit_test(test_continuations), cmocka_unit_test(test_data),
        cmocka_unit_test(test_waiting),       cmocka_unit_test(test_whole_or_in_pieces),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
