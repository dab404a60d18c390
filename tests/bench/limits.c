/*
 * What a decision of a limit costs: alone in shared memory, and shared through a real Redis.
 *
 *     make bench-limits            starts a redis-server of its own
 *
 * Local: one limit by address over many clients, the whole stage function, key and hash
 * included, in CPU time. Exact: decisions offered at a rate (Poisson), or as many as N in
 * flight can be; latency from the question to the wake-up of who asked, and CPU time of this
 * process alone.
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#include "gateway/chain/txn.h"
#include "ratelimit/exact.h"
#include "ratelimit/limit.h"

enum { ASKERS_MAX = 4096, SAMPLES_MAX = 4 << 20 };

static double cpu_us(void)
{
    struct rusage usage;
    (void)getrusage(RUSAGE_SELF, &usage);
    return (double)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) * 1e6 +
           (double)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec);
}

/* ---- local ---- */

static void bench_local(unsigned clients)
{
    static char first[1 << 16];
    size_t bytes = tats_bytes(LIMITS_ENTRIES);
    int fd = memfd_create("limits", MFD_CLOEXEC); /* as the master makes it */
    void *memory = fd >= 0 && ftruncate(fd, (off_t)bytes) == 0
                       ? mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0)
                       : MAP_FAILED;
    if (memory == MAP_FAILED)
        exit(1);
    (void)madvise(memory, bytes, MADV_HUGEPAGE);
    (void)close(fd);
    struct limit_rule rule = { .cost = 1, .rate = { .rate = { 60, 60000 } } };
    struct limit limit = { .rule = &rule,
                           .burst = 1000000,
                           .scale = 1,
                           .unit = UNIT_NS,
                           .v6_bits = KEY_NETWORK_BITS,
                           .name = SPAN("bench") };
    struct rate_limits conf = { .limits = &limit, .count = 1, .at = { 1, 0, 0 } };
    struct worker *worker = calloc(1, sizeof(*worker));
    struct txn *txn = calloc(1, sizeof(*txn));
    struct limits_state state = { 0 };
    struct arena arena;
    if (worker == NULL || txn == NULL || gcra_make(&limit.gcra, 60, 60000, 1000000) != OK ||
        key_plan_parse(&limit.plan, SPAN("")) != NULL)
        exit(1);
    tats_over(&conf.table, memory, LIMITS_ENTRIES);
    random_bytes(&conf.place, sizeof(conf.place));
    random_bytes(&conf.fingerprint, sizeof(conf.fingerprint));
    arena_init(&arena, first, sizeof(first), NULL, 1 << 20);
    clock_read(&worker->loop.clock);
    *txn = (struct txn){ .worker = worker,
                         .arena = &arena,
                         .clock = &worker->loop.clock,
                         .client = { .family = ADDR_V4 } };
    struct call c = { .txn = txn, .conf = &conf, .state = &state };
    const unsigned rounds = 4000000;
    unsigned passed = 0;
    uint32_t seed = 1;
    double began = 0;
    for (unsigned pass_number = 0; pass_number < 2; pass_number++) { /* the first one fills */
        began = cpu_us();
        for (unsigned i = 0; i < rounds; i++) {
            seed = seed * 1664525u + 1013904223u;
            uint32_t client = (seed >> 8) % clients;
            memcpy(txn->client.bytes, &client, sizeof(client));
            arena_reset(&arena);
            passed += limits_ask(&c, KEY_AT_HEAD).action == ACTION_PASS;
        }
    }
    double ns = (cpu_us() - began) * 1000 / rounds;
    printf("local, %8u keys: %6.1f ns a decision (%u of %u passed, %llu evicted)\n", clients,
           ns, passed, 2 * rounds, (unsigned long long)tats_evicted(&conf.table));
    (void)munmap(memory, bytes);
    free(txn);
    free(worker);
}

/* ---- exact ---- */

struct asker {
    struct txn txn; /* of which only the arena and what waits are used */
    char room[1024];
    struct arena arena;
    uint64_t asked_ns;
    struct asker *next; /* free */
};

static struct worker *worker;
static struct exact *exact;
static struct asker *askers, *free_askers;
static float *samples;
static size_t sample_count, granted, failed, missed;
static unsigned in_flight, keys;
static bool closed_loop;

static bool ask_one(void);

static void on_wake(struct task *task)
{
    struct asker *asker = CONTAINER(task, struct asker, txn.await.wake);
    struct op *op = asker->txn.await.op;
    const struct exact_answer *answer = op->value;
    uint64_t now = clock_mono_ns();
    failed += op->error != OK;
    granted += op->error == OK && answer->granted;
    if (sample_count < SAMPLES_MAX)
        samples[sample_count++] = (float)(now - asker->asked_ns) / 1000;
    await_cut(&asker->txn.await);
    arena_reset(&asker->arena);
    in_flight--;
    asker->next = free_askers;
    free_askers = asker;
    if (closed_loop)
        ask_one();
}

/* xorshift: the bench is not to measure a generator. */
static uint32_t random32(void)
{
    static uint64_t x = 88172645463325252u;
    x ^= x << 13;
    x ^= x >> 7;
    x ^= x << 17;
    return (uint32_t)(x >> 16);
}

static bool ask_one(void)
{
    struct asker *asker = free_askers;
    uint32_t key = random32() % keys;
    struct exact_item item = { .step = 8000,
                               .tolerance = 8000ull * 1000000,
                               .most = 8000ull * 1000000 };
    if (asker == NULL)
        return false;
    struct cell_key local = { key, key + 1 };
    exact_name(exact, &local, span_of((const char *)&key, sizeof(key)), item.name);
    struct op *op = exact_ask(exact, 0, &item, 1, 0);
    if (op == NULL)
        return false;
    free_askers = asker->next;
    asker->txn.await.op = op;
    asker->txn.await.wake.run = on_wake;
    op->waiter = &asker->txn.await;
    asker->asked_ns = clock_mono_ns();
    in_flight++;
    return true;
}

static int by_value(const void *a, const void *b)
{
    float x = *(const float *)a, y = *(const float *)b;
    return (x > y) - (x < y);
}

static void report(const char *what, double offered, double seconds, double cpu)
{
    qsort(samples, sample_count, sizeof(*samples), by_value);
    double n = (double)sample_count;
    printf(
        "exact, %-12s %7.0f/s: %7.0f decisions/s, p50 %6.0f us, p99 %6.0f us, %.2f us CPU each"
        " (%zu failed, %zu found all askers busy)\n",
        what, offered, n / seconds, (double)samples[sample_count / 2],
        (double)samples[sample_count * 99 / 100], cpu / n, failed, missed);
}

static void begin(void)
{
    sample_count = granted = failed = missed = 0;
}

static void bench_closed(unsigned in_flight_wanted, double seconds)
{
    begin();
    closed_loop = true;
    uint64_t stop = clock_mono_ns() + (uint64_t)(seconds * 1e9);
    double cpu = cpu_us();
    for (unsigned i = 0; i < in_flight_wanted; i++)
        (void)ask_one();
    while (clock_mono_ns() < stop)
        loop_turn(&worker->loop, 1);
    cpu = cpu_us() - cpu;
    char what[32];
    (void)snprintf(what, sizeof(what), "%u at once", in_flight_wanted);
    report(what, 0, seconds, cpu);
    closed_loop = false;
    while (in_flight > 0)
        loop_turn(&worker->loop, 1);
}

static void bench_open(double rate, double seconds)
{
    begin();
    uint64_t now = clock_mono_ns(), stop = now + (uint64_t)(seconds * 1e9);
    double next = (double)now, cpu = cpu_us();
    while ((now = clock_mono_ns()) < stop) {
        while (next <= (double)now) {
            next += -log(((double)random32() + 1) / 4294967297.0) * 1e9 / rate;
            missed += !ask_one();
        }
        loop_turn(&worker->loop, 0);
    }
    cpu = cpu_us() - cpu;
    while (in_flight > 0)
        loop_turn(&worker->loop, 1);
    report("Poisson", rate, seconds, cpu);
}

static void connect_to(const char *path)
{
    static struct store store;
    store = (struct store){ .prefix = SPAN("bench"), .nodes = 1 };
    store.server = (struct redis_server){ .addrs = { { .family = ADDR_UNIX } },
                                          .addr_count = 1,
                                          .path = span_text(path),
                                          .timeout_ms = 1000 };
    worker = calloc(1, sizeof(*worker));
    askers = calloc(ASKERS_MAX, sizeof(*askers));
    samples = malloc(SAMPLES_MAX * sizeof(*samples));
    if (worker == NULL || askers == NULL || samples == NULL || loop_init(&worker->loop) != OK)
        exit(1);
    worker->scratch = malloc(SCRATCH_BYTES);
    worker->cork = malloc(CORK_BYTES);
    worker->wire = malloc(CORK_BYTES + 16 * 1024);
    slab_pool_init(&worker->slabs, 16, 4096);
    for (unsigned i = 0; i < ASKERS_MAX; i++) {
        arena_init(&askers[i].arena, askers[i].room, sizeof(askers[i].room), NULL, 1 << 16);
        askers[i].txn.arena = &askers[i].arena;
        askers[i].txn.worker = worker;
        askers[i].next = free_askers;
        free_askers = &askers[i];
    }
    if (store_attach(worker, &store) != OK || (exact = exact_attach(worker, &store)) == NULL)
        exit(1);
    store_start(worker);
    for (unsigned i = 0; i < 1000 && !exact_usable(exact, 0); i++)
        loop_turn(&worker->loop, 10);
    if (!exact_usable(exact, 0)) {
        (void)fprintf(stderr, "no Redis at %s\n", path);
        exit(1);
    }
}

int main(int argc, char **argv)
{
    bench_local(1000);
    bench_local(100000);
    bench_local(1000000);
    if (argc < 2)
        return 0;
    connect_to(argv[1]);
    keys = 10000;
    bench_open(10000, 2);
    bench_open(30000, 2);
    bench_open(100000, 2);
    bench_closed(32, 2);
    bench_closed(256, 2);
    bench_closed(2048, 2);
    return 0;
}
