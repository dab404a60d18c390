/* The shared table: keys, eviction, refunds, forged memory, and four processes on one key. */
#include "ratelimit/table.h"

#include <stdlib.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "gateway/base/clock.h"
#include "tests/unit/check.h"

#define S UINT64_C(1000000000)

static void *memory;
static size_t memory_bytes;

static struct tats table_of(size_t entries)
{
    if (memory != NULL)
        munmap(memory, memory_bytes);
    memory_bytes = tats_bytes(entries);
    memory =
        mmap(NULL, memory_bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    assert_true(memory != MAP_FAILED);
    struct tats tats;
    tats_over(&tats, memory, entries);
    return tats;
}

static struct gcra limit_of(uint64_t count, uint64_t per_ms, uint64_t burst)
{
    struct gcra limit;
    assert_int_equal(gcra_make(&limit, count, per_ms, burst), OK);
    return limit;
}

static bool take(const struct tats *tats, struct cell_key key, const struct gcra *limit,
                 uint64_t now)
{
    struct gcra_answer answer;
    uint64_t before = tats_evicted(tats);
    assert_int_equal(tats_take(tats, key, limit, now, limit->interval_ns, &answer), OK);
    assert_int_equal(answer.evicted, tats_evicted(tats) - before);
    return answer.allowed;
}

static void counts_each_key_alone(void **state)
{
    (void)state;
    struct tats tats = table_of(64);
    struct gcra limit = limit_of(1, 1000, 2);
    struct cell_key keys[] = { { 4, 0 }, { 5, 1 }, { 0, 2 },
                               { 3, 2 }, { 8, 9 }, { UINT64_MAX, 5 } };
    for (size_t i = 0; i < ARRAY_LEN(keys); i++)
        assert_int_equal(tats_get(&tats, keys[i]), 0);
    for (size_t i = 2; i < ARRAY_LEN(keys); i++) {
        assert_true(take(&tats, keys[i], &limit, S));
        assert_true(take(&tats, keys[i], &limit, S));
        assert_false(take(&tats, keys[i], &limit, S));
        assert_int_equal(tats_get(&tats, keys[i]), 3 * S);
        assert_true(take(&tats, keys[i], &limit, 2 * S));
    }
    /* The two fingerprints with a meaning of their own are used for no key. */
    assert_true(take(&tats, keys[0], &limit, S));
    assert_true(tats_get(&tats, keys[0]) != 0);
}

static void refunds(void **state)
{
    (void)state;
    struct tats tats = table_of(64);
    struct gcra limit = limit_of(1, 1000, 1);
    struct cell_key key = { 1, 77 };
    tats_refund(&tats, key, limit.interval_ns); /* nothing there */
    assert_true(take(&tats, key, &limit, S));
    assert_false(take(&tats, key, &limit, S));
    tats_refund(&tats, key, limit.interval_ns);
    assert_true(take(&tats, key, &limit, S));
    tats_refund(&tats, key, UINT64_MAX);
    assert_int_equal(tats_get(&tats, key), 0);
}

static void a_full_set_gives_up_the_oldest(void **state)
{
    (void)state;
    struct tats tats = table_of(8); /* one set */
    struct gcra limit = limit_of(1, 1000, 10);
    for (uint64_t i = 0; i < CELLS_WAYS; i++)
        assert_true(take(&tats, (struct cell_key){ i, 100 + i }, &limit, S * (10 + i)));
    assert_int_equal(tats_evicted(&tats), 0);
    /* Now is before the oldest TAT (11 s): what is given up still held something back. */
    assert_true(take(&tats, (struct cell_key){ 0, 200 }, &limit, 10 * S + 1));
    assert_int_equal(tats_evicted(&tats), 1);
    assert_int_equal(tats_get(&tats, (struct cell_key){ 0, 100 }), 0);
    assert_true(tats_get(&tats, (struct cell_key){ 1, 101 }) != 0);
    /* Much later all have run out: nothing is lost. */
    assert_true(take(&tats, (struct cell_key){ 0, 201 }, &limit, 1000 * S));
    assert_int_equal(tats_evicted(&tats), 1);
    /* Asking does not evict. */
    assert_int_equal(tats_get(&tats, (struct cell_key){ 0, 999 }), 0);
    assert_true(tats_get(&tats, (struct cell_key){ 0, 201 }) != 0);
}

static void heals_a_forged_time(void **state)
{
    (void)state;
    struct tats tats = table_of(8);
    struct cell_key key = { 0, 50 };
    struct gcra vast = limit_of(1, 3600 * 1000, 1000), small = limit_of(1, 1000, 2);
    struct gcra_answer answer;
    assert_int_equal(tats_take(&tats, key, &vast, S, 1000 * vast.interval_ns, &answer), OK);
    assert_true(answer.allowed);
    /* Refused once, as after a full burst; then at the rate, and not in weeks. */
    assert_false(take(&tats, key, &small, S));
    assert_false(take(&tats, key, &small, S));
    assert_true(take(&tats, key, &small, 2 * S));
    assert_false(take(&tats, key, &small, 2 * S));
}

static void any_memory_is_harmless(void **state)
{
    (void)state;
    struct tats tats = table_of(64);
    memset(memory, 0xff, memory_bytes);
    struct gcra limit = limit_of(1, 1000, 2);
    for (uint64_t i = 0; i < 1000; i++)
        (void)take(&tats, (struct cell_key){ i, i * i }, &limit, S);
    (void)take(&tats, (struct cell_key){ 0, UINT64_MAX }, &limit, S);
}

/* ---- several processes --------------------------------------------------------------------
 */

enum { PROCESSES = 4 };

struct tally {
    _Alignas(64) uint64_t admitted, asked, first_ns, last_ns;
};

static void hammer(const struct tats *tats, const struct gcra *limit, struct tally *tally,
                   uint64_t keys, uint64_t until)
{
    tally->first_ns = clock_mono_ns();
    for (uint64_t i = 0;; i++) {
        uint64_t now = clock_mono_ns();
        tally->last_ns = now;
        if (now >= until)
            return;
        struct cell_key key = { i % keys, 1000 + i % keys };
        struct gcra_answer answer;
        if (tats_take(tats, key, limit, now, limit->interval_ns, &answer) != OK)
            continue;
        tally->asked++;
        tally->admitted += answer.allowed;
    }
}

static struct tally *run_processes(const struct tats *tats, const struct gcra *limit,
                                   uint64_t keys)
{
    struct tally *tallies = mmap(NULL, PROCESSES * sizeof(struct tally), PROT_READ | PROT_WRITE,
                                 MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    assert_true(tallies != MAP_FAILED);
    uint64_t until = clock_mono_ns() + S / 4;
    pid_t children[PROCESSES];
    for (unsigned i = 0; i < PROCESSES; i++) {
        children[i] = fork();
        assert_true(children[i] >= 0);
        if (children[i] == 0) {
            hammer(tats, limit, &tallies[i], keys, until);
            _exit(0);
        }
    }
    for (unsigned i = 0; i < PROCESSES; i++) {
        int status;
        assert_int_equal(waitpid(children[i], &status, 0), children[i]);
        assert_int_equal(status, 0);
    }
    return tallies;
}

/* admitted <= burst + rate * time + 1, whatever the processes do to one another. */
static void processes_never_admit_more(void **state)
{
    (void)state;
    static const struct {
        uint64_t rate, burst, keys;
    } rows[] = { { 1000, 200, 1 }, { 100000, 10, 1 }, { 2000, 1, 7 } };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct tats tats = table_of(64);
        struct gcra limit = limit_of(rows[i].rate, 1000, rows[i].burst);
        struct tally *tallies = run_processes(&tats, &limit, rows[i].keys);
        uint64_t admitted = 0, asked = 0, first = UINT64_MAX, last = 0;
        for (unsigned p = 0; p < PROCESSES; p++) {
            admitted += tallies[p].admitted;
            asked += tallies[p].asked;
            first = tallies[p].first_ns < first ? tallies[p].first_ns : first;
            last = tallies[p].last_ns > last ? tallies[p].last_ns : last;
        }
        uint64_t grown = (last - first) / limit.interval_ns;
        assert_true(admitted <= rows[i].keys * (rows[i].burst + grown + 1));
        assert_true(asked > admitted);
        assert_true(admitted >= rows[i].keys * rows[i].burst);
        assert_int_equal(tats_evicted(&tats), 0);
        munmap(tallies, PROCESSES * sizeof(struct tally));
    }
}

/* One full set under pressure: no key ever stands twice, and give-ups are counted. */
static void a_crowded_set_holds_each_key_once(void **state)
{
    (void)state;
    struct tats tats = table_of(8);
    struct gcra limit = limit_of(1, 1000, 1);
    struct tally *tallies = run_processes(&tats, &limit, 24);
    munmap(tallies, PROCESSES * sizeof(struct tally));
    assert_true(tats_evicted(&tats) > 0);
    const uint64_t *entries = (const uint64_t *)(const void *)tats.cells.entries;
    for (unsigned a = 0; a < CELLS_WAYS; a++)
        for (unsigned b = a + 1; b < CELLS_WAYS; b++)
            assert_true(entries[2 * a] != entries[2 * b] || entries[2 * a] <= 1);
}

int main(void)
{
    return RUN(TEST(counts_each_key_alone), TEST(refunds), TEST(a_full_set_gives_up_the_oldest),
               TEST(heals_a_forged_time), TEST(any_memory_is_harmless),
               TEST(processes_never_admit_more), TEST(a_crowded_set_holds_each_key_once));
}
