/*
 * Theoretical arrival times of many keys in shared memory, by the rate algorithm over
 * gateway/store/cells.h.
 */
#ifndef SALLYPORT_RATELIMIT_TABLE_H
#define SALLYPORT_RATELIMIT_TABLE_H

#include "gateway/base/siphash.h"
#include "gateway/store/cells.h"
#include "ratelimit/gcra.h"

enum {
    TATS_LAYOUT = CELLS_LAYOUT,
    QUOTA_ENTRIES = 1 << 18,
    /* Numbers of quotas, from below: what is used, how often that was reset, and in which
     * quarter of an hour the window ends (civil times are whole quarters away from UTC). */
    QUOTA_USED_BITS = 34,
    QUOTA_TURN_BITS = 8,
    QUOTA_SHIFT = QUOTA_USED_BITS + QUOTA_TURN_BITS,
    QUOTA_STEP_S = 900,
};
#define QUOTA_USED_MAX ((UINT64_C(1) << QUOTA_USED_BITS) - 1)
#define QUOTA_TURN_MAX ((UINT64_C(1) << QUOTA_TURN_BITS) - 1)

/* The clock of a quota stands still within a window, and jumps further than any quota goes to
 * the next. */
static inline uint64_t quota_clock(int64_t ends_s)
{
    return (uint64_t)((ends_s + QUOTA_STEP_S - 1) / QUOTA_STEP_S) << QUOTA_SHIFT;
}

struct tats {
    struct cells cells;
};

size_t tats_bytes(size_t entries);
void tats_over(struct tats *tats, void *memory, size_t entries);

/* The TAT of a key, 0 when there is none. */
uint64_t tats_get(const struct tats *tats, struct cell_key key);
/*
 * Asks and, if allowed, takes, in one step against all other processes. ERR_BUSY when the entry
 * changed under us over and over: nothing was taken.
 */
MUST_USE enum err tats_take(const struct tats *tats, struct cell_key key,
                            const struct gcra *limit, uint64_t now_ns, uint64_t cost_ns,
                            struct gcra_answer *answer);
/* A penalty, or what an answer has cost: taken until `most_ns` are, and no further. */
void tats_charge(const struct tats *tats, struct cell_key key, uint64_t most_ns,
                 uint64_t now_ns, uint64_t cost_ns);
/* What is known of a key from elsewhere, in place of what stands here. */
void tats_store(const struct tats *tats, struct cell_key key, uint64_t tat, uint64_t now_ns);
/* Gives back what tats_take took, if the entry is still there. */
void tats_refund(const struct tats *tats, struct cell_key key, uint64_t cost_ns);
/* The hash that limits are kept under, from 32 secret bytes. */
struct siphash_key limits_key(const uint8_t from[32]);
/* Of a whole key; gather.c has it in two steps. */
struct cell_key limits_cell(const struct siphash_key *key, const void *bytes, size_t len);

/* Entries given up while they still held something back. */
uint64_t tats_evicted(const struct tats *tats);

#endif
