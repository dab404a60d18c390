/* The rate algorithm's one number per key, changed in one step. */
#include "ratelimit/table.h"

enum { FORGIVEN_NS = 1000 * 1000 * 1000 }; /* clocks of two loops hardly ever differ by more */

size_t tats_bytes(size_t entries)
{
    return cells_bytes(entries);
}

void tats_over(struct tats *tats, void *memory, size_t entries)
{
    cells_over(&tats->cells, memory, entries);
}

uint64_t tats_get(const struct tats *tats, struct cell_key key)
{
    return cells_get(&tats->cells, key);
}

struct taking {
    const struct gcra *limit;
    uint64_t now_ns, cost_ns;
    struct gcra_answer *answer;
    uint64_t most_ns; /* a charge goes so far */
};

/* A TAT that no request can have set is put right, or it would lock a client out for years. */
static bool step_take(void *ctx, uint64_t seen, uint64_t *next)
{
    const struct taking *taking = ctx;
    uint64_t full = taking->now_ns + taking->limit->most_ns;
    *taking->answer = gcra_ask(taking->limit, seen, taking->now_ns, taking->cost_ns);
    *next = taking->answer->allowed ? taking->answer->tat : full;
    return taking->answer->allowed || seen > full + FORGIVEN_NS;
}

enum err tats_take(const struct tats *tats, struct cell_key key, const struct gcra *limit,
                   uint64_t now_ns, uint64_t cost_ns, struct gcra_answer *answer)
{
    struct taking taking = {
        .limit = limit, .now_ns = now_ns, .cost_ns = cost_ns, .answer = answer
    };
    bool evicted;
    enum err err = cells_change(&tats->cells, key, now_ns, step_take, &taking, &evicted);
    answer->evicted = evicted;
    return err;
}

void tats_store(const struct tats *tats, struct cell_key key, uint64_t tat, uint64_t now_ns)
{
    cells_store(&tats->cells, key, tat, now_ns);
}

static bool step_charge(void *ctx, uint64_t seen, uint64_t *next)
{
    const struct taking *taking = ctx;
    uint64_t full = taking->now_ns + taking->most_ns;
    uint64_t from = seen > taking->now_ns ? seen : taking->now_ns;
    if (from >= full)
        return false;
    *next = taking->cost_ns < full - from ? from + taking->cost_ns : full;
    return true;
}

/* One that is lost in a storm of changes is a penalty less. */
void tats_charge(const struct tats *tats, struct cell_key key, uint64_t most_ns,
                 uint64_t now_ns, uint64_t cost_ns)
{
    struct taking taking = { .now_ns = now_ns, .cost_ns = cost_ns, .most_ns = most_ns };
    enum err err = cells_change(&tats->cells, key, now_ns, step_charge, &taking, NULL);
    (void)err;
}

static bool step_refund(void *ctx, uint64_t seen, uint64_t *next)
{
    uint64_t cost_ns = *(const uint64_t *)ctx;
    *next = seen > cost_ns ? seen - cost_ns : 0;
    return seen > 0;
}

void tats_refund(const struct tats *tats, struct cell_key key, uint64_t cost_ns)
{
    enum err err = cells_change(&tats->cells, key, 0, step_refund, &cost_ns, NULL);
    (void)err;
}

struct siphash_key limits_key(const uint8_t from[32])
{
    static const char uses[2][16] = { "limits place 0", "limits place 1" };
    struct siphash_key key[2];
    memcpy(key, from, sizeof(key));
    return (struct siphash_key){ siphash(&key[0], uses[0], sizeof(uses[0])),
                                 siphash(&key[1], uses[1], sizeof(uses[1])) };
}

struct cell_key limits_cell(const struct siphash_key *key, const void *bytes, size_t len)
{
    struct siphash_state state = siphash128_begin(key, "", 0);
    struct cell_key cell = { .place = siphash128_first(&state, bytes, len) };
    cell.fingerprint = siphash128_second(&state);
    return cell;
}

uint64_t tats_evicted(const struct tats *tats)
{
    return cells_evicted(&tats->cells);
}
