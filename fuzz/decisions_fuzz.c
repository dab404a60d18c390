/*
 * Answers of a CrowdSec's stream from hostile bytes, one upon the other (a zero byte ends one):
 * a refused answer changes nothing; what is kept makes lists that add up, hold no spared
 * address and nothing too wide; and the same answer whole, taken twice, is the same set.
 */
#include "geoip/decisions.h"
#include "geoip/listguard.h"

enum { NOW_S = 1800000000, ANSWERS_MAX = 16 };

static const struct cidr proxy = { { .family = ADDR_V4, .bytes = { 203, 0, 113, 5 } }, 32 };

static size_t total(const struct decisions *set)
{
    return decisions_count(set, DECISION_BAN) + decisions_count(set, DECISION_CHALLENGE);
}

static void check(const struct decisions *set, struct arena *arena)
{
    for (unsigned kind = 0; kind < DECISION_KINDS; kind++) {
        struct span block;
        struct addrlist_hit hit;
        bool nested;
        uint32_t place;
        enum err err = decisions_build(set, (enum decision_kind)kind, NOW_S, arena, &block);
        INVARIANT(err == OK && addrlist_valid(block));
        INVARIANT(addrlist_count(block) + addrlist_places(block) ==
                  decisions_count(set, (enum decision_kind)kind));
        INVARIANT(!addrlist_find(block, &proxy.addr, NOW_S, &place));
        for (size_t i = 0; addrlist_at(block, i, &hit, &nested); i++)
            INVARIANT(hit.expires_s > NOW_S && listguard_share(&hit.prefix) <= 10);
        for (size_t i = 0; addrlist_place_at(block, i, &hit); i++) {
            struct addrlist_hit again;
            INVARIANT(addrlist_find_place(block, hit.place, NOW_S, &again));
        }
    }
}

static void take_twice(struct span answer, const struct decision_rules *rules)
{
    struct decisions *set = decisions_new();
    struct decision_tally tally;
    const char *why;
    INVARIANT(set != NULL);
    enum err err = decisions_apply(set, answer, rules, NOW_S, &tally, &why);
    size_t count = total(set);
    INVARIANT(err == OK || count == 0);
    INVARIANT(decisions_apply(set, answer, rules, NOW_S, &tally, &why) == err);
    INVARIANT(total(set) == count);
    decisions_free(set);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct decision_rules rules = { .own = SPAN("own"),
                                    .spared = { (struct cidr *)(uintptr_t)&proxy, 1 },
                                    .max_cover = 10 };
    struct decisions *set = decisions_new();
    struct span rest = span_of((const char *)data, size), answer;
    struct arena arena;
    if (set == NULL || size > 64 * 1024) {
        decisions_free(set);
        return 0;
    }
    arena_init(&arena, NULL, 0, NULL, 64 << 20);
    for (unsigned i = 0; i < ANSWERS_MAX && span_cut(&rest, '\0', &answer); i++) {
        struct decision_tally tally;
        const char *why;
        size_t before = total(set);
        enum err err = decisions_apply(set, answer, &rules, NOW_S, &tally, &why);
        INVARIANT((err == OK) == (why == NULL));
        INVARIANT(err == OK || total(set) == before);
        take_twice(answer, &rules);
    }
    check(set, &arena);
    arena_reset(&arena);
    decisions_free(set);
    return 0;
}
