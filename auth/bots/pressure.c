/*
 * When a route is under attack: more requests without a clearance than was set, or many times
 * as many as is usual there. It begins at once, and is over when for a while there has been
 * less than half of what began it: so it does not go on and off at the edge.
 */
#include "auth/bots/memory.h"

enum { USUAL_UNIT = 16, USUAL_WEIGHT = 8, GAP_MAX = 64 };

static uint64_t load(const uint64_t *p)
{
    return __atomic_load_n(p, __ATOMIC_RELAXED);
}

bool pressure_is_on(const struct route_pressure *pressure, uint64_t now_s)
{
    return now_s < load(&pressure->until_s);
}

/* So many requests as a part of each level, in eighths: 8 is at it. The most that any has. */
static uint64_t reached(const struct route_pressure *pressure,
                        const struct pressure_rules *rules, uint64_t all, uint64_t odd)
{
    uint64_t usual = __atomic_load_n(&pressure->usual, __ATOMIC_RELAXED);
    uint64_t level = usual * PRESSURE_TIMES / USUAL_UNIT, most = 0, part;
    if (rules->all > 0)
        most = all * 8 / rules->all;
    part = rules->odd > 0 ? odd * 8 / rules->odd : 0;
    most = part > most ? part : most;
    if (!rules->learn ||
        __atomic_load_n(&pressure->learned, __ATOMIC_RELAXED) < PRESSURE_LEARNED)
        return most;
    level = level > PRESSURE_FLOOR ? level : PRESSURE_FLOOR;
    part = all * 8 / level;
    return part > most ? part : most;
}

static void judge(struct route_pressure *pressure, const struct pressure_rules *rules,
                  uint64_t now_s, uint64_t part)
{
    bool on = pressure_is_on(pressure, now_s);
    if (part < (on ? 4 : 8))
        return;
    if (!on) {
        __atomic_store_n(&pressure->began_s, now_s, __ATOMIC_RELAXED);
        (void)__atomic_add_fetch(&pressure->times, 1, __ATOMIC_RELAXED);
    }
    __atomic_store_n(&pressure->until_s, now_s + rules->hold_s, __ATOMIC_RELAXED);
}

/* What is usual follows slowly, and not at all while the route is under attack. */
static void learn(struct route_pressure *pressure, uint64_t all, uint64_t windows, bool on)
{
    uint64_t usual = __atomic_load_n(&pressure->usual, __ATOMIC_RELAXED);
    uint32_t learned = __atomic_load_n(&pressure->learned, __ATOMIC_RELAXED);
    if (on)
        return;
    all = all < UINT32_MAX / USUAL_UNIT ? all * USUAL_UNIT : UINT32_MAX;
    for (uint64_t i = 0; i < windows && i < GAP_MAX; i++) {
        uint64_t came = i == 0 ? all : 0; /* nobody in the others */
        usual = usual - usual / USUAL_WEIGHT + came / USUAL_WEIGHT;
        learned += learned < PRESSURE_LEARNED;
    }
    __atomic_store_n(&pressure->usual, (uint32_t)usual, __ATOMIC_RELAXED);
    __atomic_store_n(&pressure->learned, learned, __ATOMIC_RELAXED);
}

/* One worker closes a window: who changes its number. */
static void turn(struct route_pressure *pressure, const struct pressure_rules *rules,
                 uint64_t now_s)
{
    uint64_t window = now_s / PRESSURE_WINDOW_S, seen = load(&pressure->window);
    if (window == seen || !__atomic_compare_exchange_n(&pressure->window, &seen, window, false,
                                                       __ATOMIC_ACQ_REL, __ATOMIC_RELAXED))
        return;
    uint64_t all = __atomic_exchange_n(&pressure->all, 0, __ATOMIC_RELAXED);
    uint64_t odd = __atomic_exchange_n(&pressure->odd, 0, __ATOMIC_RELAXED);
    if (seen == 0 || window < seen)
        return; /* the first one, or a clock that was set back */
    bool on = pressure_is_on(pressure, now_s);
    if (window - seen == 1)
        judge(pressure, rules, now_s, reached(pressure, rules, all, odd));
    learn(pressure, all, window - seen, on || pressure_is_on(pressure, now_s));
}

bool pressure_note(struct route_pressure *pressure, const struct pressure_rules *rules,
                   uint64_t now_s, bool odd)
{
    turn(pressure, rules, now_s);
    uint64_t all = __atomic_add_fetch(&pressure->all, 1, __ATOMIC_RELAXED);
    uint64_t bad = odd ? __atomic_add_fetch(&pressure->odd, 1, __ATOMIC_RELAXED)
                       : __atomic_load_n(&pressure->odd, __ATOMIC_RELAXED);
    judge(pressure, rules, now_s, reached(pressure, rules, all, bad));
    return pressure_is_on(pressure, now_s);
}
