/* When calls are held back: only where many come, never for long, and not again in vain. */
#include "ratelimit/exact_pace.h"

#include "tests/unit/check.h"

#define US UINT64_C(1000)
#define MS UINT64_C(1000000)

/* One group each `gap_ns`, for `ms`; answers the moment behind it. */
static uint64_t come(struct pace *pace, uint64_t from_ns, uint64_t gap_ns, uint64_t ms)
{
    uint64_t now = from_ns;
    for (; now < from_ns + ms * MS; now += gap_ns) {
        pace->groups++;
        pace_turn(pace, now);
    }
    return now;
}

static void few_are_never_held(void **state)
{
    struct pace pace = { 0 };
    (void)state;
    uint64_t now = come(&pace, MS, 1000000000 / (MANY_PER_S * 9 / 10), 20);
    pace_sent(&pace, now, 3);
    assert_false(pace_holds(&pace, now, 1));
}

static void many_are_held_until_full_or_late(void **state)
{
    struct pace pace = { 0 };
    (void)state;
    uint64_t now = come(&pace, MS, 1000000000 / (MANY_PER_S * 11 / 10), 20);
    pace_sent(&pace, now, 3);
    assert_true(pace_holds(&pace, now, 1));
    assert_true(pace_holds(&pace, now + HOLD_US * US - 1, CALL_FULL - 1));
    assert_false(pace_holds(&pace, now + HOLD_US * US, CALL_FULL - 1));
    assert_false(pace_holds(&pace, now, CALL_FULL));
    /* No more come: the next turn finds that they are few. */
    pace_turn(&pace, now + 2 * PACE_MS * MS);
    assert_false(pace_holds(&pace, now, 1));
}

static void not_again_in_vain(void **state)
{
    struct pace pace = { 0 };
    (void)state;
    uint64_t now = come(&pace, MS, 5 * US, 20);
    for (unsigned few = 0; few < 2; few++) {
        pace_sent(&pace, now, CALL_FULL);
        assert_true(pace_holds(&pace, now, 30));
        now += HOLD_US * US;
        pace_sent(&pace, now, 30 + VAIN_GROUPS - few);
        assert_true(pace_holds(&pace, now, 30) == !few);
    }
    assert_false(pace_holds(&pace, now + VAIN_MS * MS - 1, 9));
    now += VAIN_MS * MS;
    pace_sent(&pace, now, 9);
    assert_true(pace_holds(&pace, now, CALL_FULL - 1));
    /* What was filled up was not held in vain, however many waited before. */
    pace_sent(&pace, now, CALL_FULL);
    assert_true(pace_holds(&pace, now, 1));
}

int main(void)
{
    return RUN(TEST(few_are_never_held), TEST(many_are_held_until_full_or_late),
               TEST(not_again_in_vain));
}
