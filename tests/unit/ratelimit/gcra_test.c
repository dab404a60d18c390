/* The rate algorithm: what it admits over time, its edges, and that rounding never admits more.
 */
#include "ratelimit/gcra.h"

#include "tests/unit/check.h"

#define S UINT64_C(1000000000)

static struct gcra make(uint64_t count, uint64_t per_ms, uint64_t burst)
{
    struct gcra limit;
    assert_int_equal(gcra_make(&limit, count, per_ms, burst), OK);
    return limit;
}

static void refuses_rates_that_it_cannot_hold(void **state)
{
    (void)state;
    struct gcra limit;
    static const struct {
        uint64_t count, per_ms, burst;
        enum err err;
    } rows[] = {
        { 0, 1000, 1, ERR_RANGE },
        { 1, 0, 1, ERR_RANGE },
        { 1, 1000, 0, ERR_RANGE },
        { 1000000, 1, 1, OK }, /* one a nanosecond */
        { 1000001, 1, 1, ERR_RANGE },
        { 1, UINT64_MAX, 1, ERR_RANGE },
        { 1, UINT64_MAX / 1000000, 1, ERR_RANGE },
        { 1, 1000, GCRA_SPAN_MAX_NS / S, OK },
        { 1, 1000, GCRA_SPAN_MAX_NS / S + 1, ERR_RANGE },
        { 1, 1000, UINT64_MAX, ERR_RANGE },
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++)
        assert_int_equal(gcra_make(&limit, rows[i].count, rows[i].per_ms, rows[i].burst),
                         rows[i].err);
}

static void admits_the_burst_then_the_rate(void **state)
{
    (void)state;
    struct gcra limit = make(60, 60 * 1000, 5);
    uint64_t tat = 0, now = 1000 * S;
    for (unsigned i = 0; i < 5; i++) {
        struct gcra_answer answer = gcra_ask(&limit, tat, now, limit.interval_ns);
        assert_true(answer.allowed);
        tat = answer.tat;
    }
    struct gcra_answer answer = gcra_ask(&limit, tat, now, limit.interval_ns);
    assert_false(answer.allowed);
    assert_int_equal(answer.wait_ns, S);
    assert_int_equal(answer.remaining, 0);
    assert_false(gcra_ask(&limit, tat, now + S - 1, limit.interval_ns).allowed);
    assert_true(gcra_ask(&limit, tat, now + S, limit.interval_ns).allowed);
    /* A full pause fills the bucket, and no more than that. */
    now += 1000 * S;
    for (unsigned i = 0; i < 5; i++)
        tat = gcra_ask(&limit, tat, now, limit.interval_ns).tat;
    assert_false(gcra_ask(&limit, tat, now, limit.interval_ns).allowed);
}

static void costs_more_than_one(void **state)
{
    (void)state;
    struct gcra limit = make(10, 1000, 10);
    uint64_t now = S, cost = 4 * limit.interval_ns;
    uint64_t tat = gcra_ask(&limit, 0, now, cost).tat;
    tat = gcra_ask(&limit, tat, now, cost).tat;
    struct gcra_answer answer = gcra_ask(&limit, tat, now, cost);
    assert_false(answer.allowed);
    assert_int_equal(answer.remaining, 2);
    assert_int_equal(answer.wait_ns, S / 5);
    assert_true(gcra_ask(&limit, tat, now, 2 * limit.interval_ns).allowed);
    assert_true(gcra_ask(&limit, 0, now, 10 * limit.interval_ns).allowed);
    assert_false(gcra_ask(&limit, 0, now, 11 * limit.interval_ns).allowed);
}

/* Rates that do not divide a second, asked far too often: never above burst + rate * time. */
static void rounding_never_admits_more(void **state)
{
    (void)state;
    static const struct {
        uint64_t count, per_ms, burst;
    } rows[] = { { 3, 1000, 1 }, { 7, 1000, 3 }, { 333, 1000, 10 }, { 999999, 60000, 100 } };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct gcra limit = make(rows[i].count, rows[i].per_ms, rows[i].burst);
        uint64_t start = 5 * S, end = start + 10 * S, admitted = 0, tat = 0;
        uint64_t step = limit.interval_ns / 3 + 1;
        for (uint64_t now = start; now <= end; now += step) {
            struct gcra_answer answer = gcra_ask(&limit, tat, now, limit.interval_ns);
            if (!answer.allowed)
                continue;
            tat = answer.tat;
            admitted++;
        }
        uint64_t rate = rows[i].count * 10000 / rows[i].per_ms;
        assert_true(admitted <= rows[i].burst + rate + 1);
        assert_true(admitted >= (rows[i].burst + rate) * 97 / 100 - 1);
    }
}

static void forged_and_old_times_are_a_full_burst_at_most(void **state)
{
    (void)state;
    struct gcra limit = make(1, 1000, 3);
    struct gcra_answer answer = gcra_ask(&limit, UINT64_MAX, 10 * S, limit.interval_ns);
    assert_false(answer.allowed);
    assert_int_equal(answer.wait_ns, S);
    assert_true(gcra_ask(&limit, 1, 10 * S, 3 * limit.interval_ns).allowed);
}

int main(void)
{
    return RUN(TEST(refuses_rates_that_it_cannot_hold), TEST(admits_the_burst_then_the_rate),
               TEST(costs_more_than_one), TEST(rounding_never_admits_more),
               TEST(forged_and_old_times_are_a_full_burst_at_most));
}
