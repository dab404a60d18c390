/*
 * What a decision of a limit costs: alone in shared memory, and shared through a real Redis;
 * and whether that keeps to the bars.
 *
 *     make bench-limits            starts a redis-server of its own; T=cluster: three masters
 *
 * Measured is the whole stage function, key and hash included. Local: over many clients, in
 * CPU time. Shared: decisions offered at a rate, or as many as N in flight can be. An offered
 * one has a moment at which it is due (Poisson), whether the worker keeps up or not, and its
 * latency runs from there to the wake-up of who asked.
 *
 * The worker is one that has other things to do, too: it never sleeps, and looks for what has
 * come when it is done with what came before. Its time is that which went into decisions: the
 * asking, and the turns of the loop that sent or brought something. To fall asleep and be woken
 * again costs the same for a decision as for anything else that a worker waits for, and on a
 * virtual machine more than a decision (up to 30 us each); what comes out where the worker does
 * nothing but decide, and sleeps in between, is printed beside.
 *
 * The worker has one CPU and Redis has another. What else runs there makes it slower: in a
 * round that is disturbed one of the two was kept waiting for its CPU, or a hypervisor took the
 * CPUs away, for more than DISTURBED of the time. There are up to ROUNDS_MAX rounds, before
 * each of which the machine has a while to calm down, until ROUNDS were not disturbed; and the
 * median of those that were not is judged. Where all were, a bar that all of them together hold
 * holds, and of another nothing is proven.
 */
#include <math.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

#include "gateway/chain/txn.h"
#include "ratelimit/exact.h"
#include "ratelimit/lease.h"
#include "ratelimit/limit.h"

enum {
    ASKERS_MAX = 4096,
    SAMPLES_MAX = 4 << 20,
    ROUNDS = 5,
    ROUNDS_MAX = 10,
    FIGURES_MAX = 5,
    BURST = 1000000,
    COUNTED = 100000, /* decisions that instructions are counted of */
    COUNTED_KEYS = 10000,
    CALL_GROUPS_COUNTED = 128, /* as many as go out in one call where many come */
};
#define DISTURBED 0.03
#define CALM_WAIT_S 25.0 /* all waits for calm together */

static unsigned bars_missed, bars_open;

static void bar(const char *what, bool held)
{
    bars_missed += !held;
    printf("    %-6s %s\n", held ? "holds" : "MISSED", what);
}

/* Nothing gets faster by being disturbed, but what is too slow then may be so for that. */
static void bar_in_calm(const char *what, bool held, unsigned calm_rounds)
{
    if (held || calm_rounds > 0) {
        bar(what, held);
        return;
    }
    bars_open++;
    printf("    not proven, no round was calm: %s\n", what);
}

/* 1: a bar is missed; 2: none is, but not all are proven. */
static int outcome(void)
{
    if (bars_missed + bars_open > 0)
        printf("%u bars missed, %u not proven\n", bars_missed, bars_open);
    return bars_missed > 0 ? 1 : bars_open > 0 ? 2 : 0;
}

static double cpu_us(void)
{
    struct timespec spent;
    (void)clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &spent);
    return (double)spent.tv_sec * 1e6 + (double)spent.tv_nsec / 1e3;
}

/* What a process has run, and how long it could have but did not; in us. */
struct spent {
    double ran, waited;
};

static struct spent spent_by(const char *pid)
{
    char path[64];
    struct spent spent = { 0 };
    (void)snprintf(path, sizeof(path), "/proc/%s/schedstat", pid);
    FILE *file = fopen(path, "re");
    if (file == NULL)
        return spent;
    if (fscanf(file, "%lf %lf", &spent.ran, &spent.waited) != 2)
        spent = (struct spent){ 0 };
    (void)fclose(file);
    return (struct spent){ spent.ran / 1e3, spent.waited / 1e3 };
}

/* Redis has a part in what is measured, and its CPU with it. */
static bool with_redis;

/* What a hypervisor gave to others of what the CPUs could have run that this is about; us. */
static double stolen(void)
{
    char name[16] = "cpu ", line[256];
    double steal = 0;
    FILE *file = fopen("/proc/stat", "re");
    if (file == NULL)
        return 0;
    if (!with_redis)
        (void)snprintf(name, sizeof(name), "cpu%d ", sched_getcpu());
    while (fgets(line, sizeof(line), file) != NULL)
        if (strncmp(line, name, strlen(name)) == 0 &&
            sscanf(line, "%*s %*f %*f %*f %*f %*f %*f %*f %lf", &steal) != 1)
            steal = 0;
    (void)fclose(file);
    return steal * 1e6 / (double)sysconf(_SC_CLK_TCK);
}

/* ---- calm ---- */

/* Of redis-server; of a Cluster's, with a comma between. */
static const char *redis_pids;

static struct spent spent_by_redis(void)
{
    struct span rest = span_text(redis_pids), pid;
    struct spent sum = { 0 };
    while (span_cut(&rest, ',', &pid)) {
        char name[24];
        (void)snprintf(name, sizeof(name), "%.*s", (int)pid.len, pid.p);
        struct spent spent = spent_by(name);
        sum.ran += spent.ran;
        sum.waited += spent.waited;
    }
    return sum;
}

/* What stood where at some moment, and which part of the time since then went elsewhere. */
struct peace {
    uint64_t from_ns;
    struct spent worker, redis;
    double stolen;
};

struct trouble {
    double worker, redis, stolen;
};

static struct peace peace_begin(void)
{
    return (struct peace){ clock_mono_ns(), spent_by("self"), spent_by_redis(), stolen() };
}

static struct trouble peace_end(const struct peace *from)
{
    double us = (double)(clock_mono_ns() - from->from_ns) / 1e3;
    return (struct trouble){ (spent_by("self").waited - from->worker.waited) / us,
                             (spent_by_redis().waited - from->redis.waited) / us,
                             (stolen() - from->stolen) / us };
}

static bool is_calm(struct trouble trouble)
{
    return trouble.worker <= DISTURBED && trouble.redis <= DISTURBED &&
           trouble.stolen <= DISTURBED;
}

static void print_trouble(struct trouble trouble)
{
    if (!is_calm(trouble))
        printf(" (disturbed: waited for a CPU %.0f %% and %.0f %% of the time, stolen %.0f %%)",
               100 * trouble.worker, 100 * trouble.redis, 100 * trouble.stolen);
}

/* Nothing is stolen from who sleeps, so this does not. */
static void wait_for_calm(void)
{
    static double left_s = CALM_WAIT_S;
    for (bool calm = false; !calm && left_s > 0; left_s -= 0.2) {
        struct peace peace = peace_begin();
        while (clock_mono_ns() - peace.from_ns < 200000000)
            ;
        calm = is_calm(peace_end(&peace));
    }
}

/* Rounds of one measurement, of so many figures each. */
struct rounds {
    double figures[FIGURES_MAX][ROUNDS_MAX];
    unsigned count, calm; /* the figures are of the calm ones; of all, if none is */
};

static bool rounds_wanted(const struct rounds *rounds, bool judged)
{
    if (rounds->count == (judged ? ROUNDS_MAX : ROUNDS) || rounds->calm == ROUNDS)
        return false;
    if (judged)
        wait_for_calm();
    return true;
}

static void rounds_add(struct rounds *rounds, struct trouble trouble, const double *figures)
{
    bool calm = is_calm(trouble);
    unsigned at = calm ? rounds->calm : rounds->count;
    for (unsigned i = 0; i < FIGURES_MAX && (calm || rounds->calm == 0); i++)
        rounds->figures[i][at] = figures[i];
    rounds->count++;
    rounds->calm += calm;
}

static int by_double(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static double median(double *numbers, unsigned count)
{
    qsort(numbers, count, sizeof(*numbers), by_double);
    return count > 0 ? numbers[count / 2] : 1e12;
}

static double rounds_median(struct rounds *rounds, unsigned figure)
{
    return median(rounds->figures[figure], rounds->calm > 0 ? rounds->calm : rounds->count);
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

/* Facts ask which stage it is that sets them. */
static struct stage_instance instance = { .type = &limits_stage };
static struct route route = { .chain = { [PHASE_REQUEST_HEAD] = &instance } };

static void set_stage(struct txn *txn)
{
    txn->route = &route;
    txn->run.phase = PHASE_REQUEST_HEAD;
    txn->run.calling = true;
}

/* ---- one limit, as it stands in a configuration ---- */

struct limited {
    struct limit_rule rule;
    struct limit limit;
    struct rate_limits conf;
    void *memory;
    size_t bytes;
};

static void *map_table(size_t bytes)
{
    int fd = memfd_create("limits", MFD_CLOEXEC); /* as the master makes it */
    void *memory = fd >= 0 && ftruncate(fd, (off_t)bytes) == 0
                       ? mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0)
                       : MAP_FAILED;
    if (memory == MAP_FAILED)
        exit(1);
    (void)madvise(memory, bytes, MADV_HUGEPAGE);
    (void)close(fd);
    return memory;
}

static void open_limit(struct limited *limited, uint64_t count, uint64_t per_ms, uint64_t burst)
{
    struct limit *limit = &limited->limit;
    struct rate_limits *conf = &limited->conf;
    *limited = (struct limited){
        .rule = { .cost = 1, .rate = { .rate = { count, per_ms } } },
        .limit = { .burst = burst,
                   .scale = 1,
                   .unit = UNIT_NS,
                   .v6_bits = KEY_NETWORK_BITS,
                   .name = SPAN("bench") },
        .conf = { .count = 1, .at = { 1, 0, 0 } },
        .bytes = tats_bytes(LIMITS_ENTRIES),
    };
    limit->rule = &limited->rule;
    conf->limits = limit;
    if (gcra_make(&limit->gcra, count, per_ms, burst) != OK ||
        key_plan_parse(&limit->plan, SPAN("")) != NULL)
        exit(1);
    limit->interval_units = (limit->gcra.interval_ns + UNIT_NS - 1) / UNIT_NS;
    limited->memory = map_table(limited->bytes);
    tats_over(&conf->table, limited->memory, LIMITS_ENTRIES);
    random_bytes(&conf->hash, sizeof(conf->hash));
    random_bytes(limit->id, sizeof(limit->id));
    limit->begun = limit_hash(conf, limit);
}

static void close_limit(struct limited *limited)
{
    (void)munmap(limited->memory, limited->bytes);
}

/* ---- local ---- */

struct local {
    struct limited limited;
    struct worker worker;
    struct txn txn;
    struct limits_state state;
    struct arena arena;
    char first[1 << 12];
    struct call call;
};

static struct local *open_local(uint64_t count, uint64_t per_ms, uint64_t burst)
{
    struct local *local = calloc(1, sizeof(*local));
    if (local == NULL)
        exit(1);
    open_limit(&local->limited, count, per_ms, burst);
    arena_init(&local->arena, local->first, sizeof(local->first), NULL, 1 << 20);
    clock_read(&local->worker.loop.clock);
    local->txn.worker = &local->worker;
    local->txn.arena = &local->arena;
    local->txn.clock = &local->worker.loop.clock;
    local->txn.client.family = ADDR_V4;
    set_stage(&local->txn);
    local->call = (struct call){ .txn = &local->txn,
                                 .conf = &local->limited.conf,
                                 .state = &local->state };
    return local;
}

static void close_local(struct local *local)
{
    close_limit(&local->limited);
    free(local);
}

static bool ask_local(struct local *local)
{
    arena_reset(&local->arena);
    return limits_ask(&local->call, KEY_AT_HEAD).action == ACTION_PASS;
}

static void bench_local(unsigned clients, double most_ns)
{
    struct local *local = open_local(60, 60000, BURST);
    const unsigned decisions = 1000000;
    struct rounds rounds = { .count = 0 };
    uint32_t seed = 1;
    for (bool filled = false; !filled || rounds_wanted(&rounds, most_ns > 0); filled = true) {
        struct peace peace = peace_begin();
        double began = cpu_us();
        for (unsigned i = 0; i < decisions; i++) {
            seed = seed * 1664525u + 1013904223u;
            uint32_t client = (seed >> 8) % clients;
            memcpy(local->txn.client.bytes, &client, sizeof(client));
            (void)ask_local(local);
        }
        double ns[FIGURES_MAX] = { (cpu_us() - began) * 1000 / decisions };
        if (filled) /* the first one fills */
            rounds_add(&rounds, peace_end(&peace), ns);
    }
    double ns = rounds_median(&rounds, 0);
    unsigned last = (rounds.calm > 0 ? rounds.calm : rounds.count) - 1;
    printf("local, %8u keys: %6.1f ns a decision, %.1f to %.1f, %u of %u rounds calm (%llu "
           "forgotten)\n",
           clients, ns, rounds.figures[0][0], rounds.figures[0][last], rounds.calm,
           rounds.count, (unsigned long long)tats_evicted(&local->limited.conf.table));
    if (most_ns > 0)
        bar_in_calm("a decision over a million keys takes at most 300 ns", ns <= most_ns,
                    rounds.calm);
    close_local(local);
}

/* All addresses of one /64 are one client, and stand in one place. */
static void bench_spoofed(void)
{
    struct local *local = open_local(1, 3600000, 50);
    const struct cells *cells = &local->limited.conf.table.cells;
    unsigned passed = 0, used = 0;
    uint64_t fingerprint, number;
    local->txn.client.family = ADDR_V6;
    for (uint64_t i = 0; i < 1000000; i++) {
        uint64_t low = i * UINT64_C(0x9e3779b97f4a7c15);
        memcpy(local->txn.client.bytes + 8, &low, sizeof(low));
        passed += ask_local(local);
    }
    for (size_t i = 0; i < LIMITS_ENTRIES; i++)
        used += cells_read(cells, i, &fingerprint, &number);
    printf("spoofed, a million addresses of one /64: %u passed, %u keys\n", passed, used);
    bar("they are one key", passed == 50 && used == 1);
    close_local(local);
}

/* Far more keys than there are places: who is over the limit stays out meanwhile. */
static void bench_full(void)
{
    struct local *local = open_local(60, 60000, 20);
    struct tats *table = &local->limited.conf.table;
    const uint32_t hot = 0xffffffff;
    unsigned passed = 0, hot_passed = 0;
    for (uint32_t i = 0; i < 2 * LIMITS_ENTRIES; i++) {
        memcpy(local->txn.client.bytes, i % 1000 == 0 ? &hot : &i, sizeof(i));
        bool pass = ask_local(local);
        *(i % 1000 == 0 ? &hot_passed : &passed) += pass;
    }
    printf(
        "full, %d keys in %d places: %llu forgotten and counted, of the one that is over its "
        "burst of 20 %u passed\n",
        2 * LIMITS_ENTRIES, LIMITS_ENTRIES, (unsigned long long)tats_evicted(table),
        hot_passed);
    bar("a full table forgets the oldest, counts it, and never stops limiting",
        tats_evicted(table) > LIMITS_ENTRIES / 2 && hot_passed == 20);
    close_local(local);
}

/* ---- shared ---- */

struct asker {
    struct txn txn;
    struct limits_state state;
    struct call call;
    char room[2048];
    struct arena arena;
    uint64_t due_ns;
    struct asker *next; /* free */
};

static struct worker *worker;
static struct config config;
static struct limited shared;
static struct asker *askers, *free_askers;
static float *samples;
static size_t sample_count, passed, failed, missed;
static unsigned in_flight, keys;
static bool closed_loop;
static struct watch ticker;

static bool ask_one(uint64_t due_ns);

static void done(struct asker *asker, struct verdict verdict)
{
    passed += verdict.action == ACTION_PASS;
    failed += verdict.action == ACTION_FAIL;
    if (sample_count < SAMPLES_MAX)
        samples[sample_count++] = (float)(clock_mono_ns() - asker->due_ns) / 1000;
    arena_reset(&asker->arena);
    in_flight--;
    asker->next = free_askers;
    free_askers = asker;
}

static void on_wake(struct task *task)
{
    struct asker *asker = CONTAINER(task, struct asker, txn.await.wake);
    struct await *await = &asker->txn.await;
    stage_fn *resume = await->resume;
    asker->call.answer = await->op->value;
    asker->call.error = await->op->error;
    await_cut(await);
    done(asker, resume(&asker->call));
    if (closed_loop)
        (void)ask_one(clock_mono_ns());
}

static bool ask_one(uint64_t due_ns)
{
    struct asker *asker = free_askers;
    uint32_t key = random32() % keys;
    if (asker == NULL)
        return false;
    free_askers = asker->next;
    memcpy(asker->txn.client.bytes, &key, sizeof(key));
    asker->call.conf = &shared.conf;
    asker->due_ns = due_ns;
    in_flight++;
    struct verdict verdict = limits_ask(&asker->call, KEY_AT_HEAD);
    if (verdict.action != ACTION_WAIT)
        done(asker, verdict);
    return true;
}

static int by_value(const void *a, const void *b)
{
    float x = *(const float *)a, y = *(const float *)b;
    return (x > y) - (x < y);
}

struct result {
    double per_s, p50_us, p99_us, cpu_us, redis_us, per_call;
    struct trouble trouble;
};

/* What stood where when a round began. */
struct round {
    struct peace peace;
    double cpu;
    size_t calls;
};

static struct round begin(void)
{
    sample_count = passed = failed = missed = 0;
    return (struct round){ peace_begin(), cpu_us(), exact_calls(worker->exact) };
}

static struct result result_of(const struct round *round)
{
    double us = (double)(clock_mono_ns() - round->peace.from_ns) / 1e3;
    double cpu = cpu_us() - round->cpu, redis = spent_by_redis().ran;
    struct trouble trouble = peace_end(&round->peace);
    size_t calls = exact_calls(worker->exact) - round->calls;
    double n = sample_count > 0 ? (double)sample_count : 1;
    qsort(samples, sample_count, sizeof(*samples), by_value);
    return (struct result){
        .per_s = n / us * 1e6,
        .p50_us = sample_count > 0 ? (double)samples[sample_count / 2] : 0,
        .p99_us = sample_count > 0 ? (double)samples[sample_count * 99 / 100] : 0,
        .cpu_us = cpu / n,
        .redis_us = (redis - round->peace.redis.ran) / n,
        .per_call = n / (double)(calls > 0 ? calls : 1),
        .trouble = trouble,
    };
}

static void print_result(const char *what, const struct result *result)
{
    printf(
        "%-22s %7.0f/s, %5.1f a call, p50 %5.0f us, p99 %6.0f us, worker %5.2f us each, Redis "
        "%5.2f",
        what, result->per_s, result->per_call, result->p50_us, result->p99_us, result->cpu_us,
        result->redis_us);
    if (failed > 0 || missed > 0)
        printf(" (%zu failed, %zu found all askers busy)", failed, missed);
    print_trouble(result->trouble);
    printf("\n");
}

static void drain(void)
{
    closed_loop = false;
    while (in_flight > 0)
        loop_turn(&worker->loop, 1);
}

static struct result run_closed(unsigned wanted, double seconds)
{
    struct round round = begin();
    closed_loop = true;
    uint64_t stop = round.peace.from_ns + (uint64_t)(seconds * 1e9);
    for (unsigned i = 0; i < wanted; i++)
        (void)ask_one(clock_mono_ns());
    while (clock_mono_ns() < stop)
        loop_turn(&worker->loop, 1);
    struct result result = result_of(&round);
    drain();
    return result;
}

static void on_tick(struct watch *watch, uint32_t events)
{
    uint64_t expired;
    (void)events;
    if (read(watch->fd, &expired, sizeof(expired)) < 0)
        return;
}

/* Sleeps until the next one is due; where they are many, in ticks. */
static void arm_ticker(double next, double rate)
{
    const uint64_t tick_ns = rate > 50000 ? 100000 : 1;
    static uint64_t armed_ns;
    uint64_t at_ns = ((uint64_t)next / tick_ns + 1) * tick_ns;
    struct itimerspec spec = { .it_value = { .tv_sec = (time_t)(at_ns / 1000000000),
                                             .tv_nsec = (long)(at_ns % 1000000000) } };
    if (at_ns != armed_ns)
        (void)timerfd_settime(ticker.fd, TFD_TIMER_ABSTIME, &spec, NULL);
    armed_ns = at_ns;
}

/* Exponential, of mean 1; made before, for what is measured is not how they are made. */
static double next_gap(void)
{
    static double gaps[1 << 16];
    if (gaps[0] == 0)
        for (unsigned i = 0; i < ARRAY_LEN(gaps); i++)
            gaps[i] = -log(((double)random32() + 1) / 4294967298.0);
    return gaps[random32() % ARRAY_LEN(gaps)];
}

static size_t moved(void)
{
    return sample_count + exact_calls(worker->exact);
}

static struct result run_open(double rate, double seconds, bool sleeps)
{
    struct round round = begin();
    uint64_t now = round.peace.from_ns, stop = now + (uint64_t)(seconds * 1e9), worked_ns = 0;
    double next = (double)now;
    while (now < stop) {
        bool asked = next <= (double)now;
        for (; next <= (double)now; next += next_gap() * 1e9 / rate)
            missed += !ask_one((uint64_t)next);
        if (sleeps)
            arm_ticker(next, rate);
        uint64_t turned = asked ? clock_mono_ns() : now;
        size_t before = moved();
        worked_ns += turned - now;
        loop_turn(&worker->loop, sleeps ? 10 : 0);
        now = clock_mono_ns();
        if (moved() != before)
            worked_ns += now - turned;
    }
    struct result result = result_of(&round);
    if (!sleeps)
        result.cpu_us = (double)worked_ns / 1e3 / (double)(sample_count > 0 ? sample_count : 1);
    (void)timerfd_settime(ticker.fd, 0, &(struct itimerspec){ 0 }, NULL);
    drain();
    return result;
}

static struct result judged(double rate, unsigned *calm)
{
    struct rounds rounds = { .count = 0 };
    char what[32];
    (void)snprintf(what, sizeof(what), "exact, %.0f/s offered", rate);
    (void)run_open(rate, 0.5, false);
    while (rounds_wanted(&rounds, true)) {
        struct result r = run_open(rate, 1, false);
        print_result(what, &r);
        const double of[FIGURES_MAX] = { r.per_s, r.p50_us, r.p99_us, r.cpu_us, r.redis_us };
        rounds_add(&rounds, r.trouble, of);
    }
    struct result m = { .per_s = rounds_median(&rounds, 0),
                        .p50_us = rounds_median(&rounds, 1),
                        .p99_us = rounds_median(&rounds, 2),
                        .cpu_us = rounds_median(&rounds, 3),
                        .redis_us = rounds_median(&rounds, 4) };
    printf("    %u of %u rounds were calm; median: %.0f/s, p50 %.0f us, p99 %.0f us, worker "
           "%.2f us each, Redis %.2f us\n",
           rounds.calm, rounds.count, m.per_s, m.p50_us, m.p99_us, m.cpu_us, m.redis_us);
    *calm = rounds.calm;
    struct result asleep = run_open(rate, 1, true);
    print_result("  where it sleeps", &asleep);
    return m;
}

/* Twice what the limits of many keys let through, where calls are full and held back. */
static void bench_accuracy(double offered)
{
    const double rate = (unsigned)(offered / 2100), burst = 20;
    keys = 1000;
    open_limit(&shared, (uint64_t)rate, 1000, (uint64_t)burst);
    shared.limit.exact = true;
    struct result result = run_open(offered, 2, false);
    double each = burst + rate * (double)sample_count / result.per_s;
    print_result("exact, over limits", &result);
    printf("    %zu passed, %.0f are allowed\n", passed, each * keys);
    bar("never more than burst + rate * T + 1 of each key",
        (double)passed <= (each + 1) * keys);
    bar_in_calm("and 99 % of it",
                (double)passed >= 0.99 * (each - 1) * keys && failed + missed == 0,
                is_calm(result.trouble));
    close_limit(&shared);
}

static void bench_exact(void)
{
    keys = 10000;
    open_limit(&shared, 1000000, 1000, BURST);
    shared.limit.exact = true;
    (void)run_open(1000, 0.2, false);
    unsigned calm;
    struct result at_30k = judged(30000, &calm);
    bar_in_calm("at 30000 a second p50 is at most 150 us", at_30k.p50_us <= 150, calm);
    bar_in_calm("and p99 at most 1.5 ms", at_30k.p99_us <= 1500 && at_30k.per_s >= 29000, calm);
    struct result at_105k = judged(105000, &calm);
    bar_in_calm("100000 a second and more through one worker, p99 at most 5 ms",
                at_105k.per_s >= 100000 && at_105k.p99_us <= 5000, calm);
    bar_in_calm("at most 1.5 us of CPU each", at_105k.cpu_us <= 1.5, calm);
    static const unsigned wanted[] = { 1, 32, 256 };
    for (unsigned i = 0; i < ARRAY_LEN(wanted); i++) {
        char what[32];
        struct result result = run_closed(wanted[i], 1);
        (void)snprintf(what, sizeof(what), "exact, %u at once", wanted[i]);
        print_result(what, &result);
    }
    close_limit(&shared);
}

/* ---- a Cluster ---- */

/*
 * A call is for one node, so that calls are smaller there, and held back for each by itself.
 * All nodes share one CPU here: the figures tell of the calls and of the worker, and how many
 * decisions a Cluster could make they do not.
 */
static void bench_cluster(void)
{
    static const double rates[] = { 1000, 10000, 30000, 60000 };
    keys = 10000;
    open_limit(&shared, 1000000, 1000, BURST);
    shared.limit.exact = true;
    (void)run_open(1000, 0.5, false);
    for (unsigned i = 0; i < ARRAY_LEN(rates); i++) {
        char what[32];
        (void)snprintf(what, sizeof(what), "cluster, %.0f/s offered", rates[i]);
        (void)run_open(rates[i], 0.3, false);
        struct result result = run_open(rates[i], 1, false);
        print_result(what, &result);
        bar_in_calm("each is decided by its node", failed + missed == 0,
                    is_calm(result.trouble));
    }
    struct result result = run_closed(256, 1);
    print_result("cluster, 256 at once", &result);
    close_limit(&shared);
    bench_accuracy(30000);
}

/* ---- leases ---- */

static void bench_lease(void)
{
    struct rounds rounds = { .count = 0 };
    keys = 64;
    open_limit(&shared, 1000000, 100, BURST);
    shared.limit.exact = shared.limit.lease = true;
    for (bool warm = false; !warm || rounds_wanted(&rounds, true); warm = true) {
        struct round round = begin();
        uint64_t stop = round.peace.from_ns + 700000000, now;
        while ((now = clock_mono_ns()) < stop) {
            for (unsigned k = 0; k < 500; k++)
                missed += !ask_one(now);
            loop_turn(&worker->loop, 0);
        }
        struct result result = result_of(&round);
        print_result("lease, 64 hot keys", &result);
        drain();
        if (warm)
            rounds_add(&rounds, result.trouble, (double[FIGURES_MAX]){ result.cpu_us });
    }
    /* What it would be on a core of its own. */
    double per_s = 1e6 / rounds_median(&rounds, 0);
    printf("    median: %.0f decisions in a second of CPU\n", per_s);
    bar_in_calm("a million leased decisions a second on hot keys", per_s >= 1e6, rounds.calm);
    close_limit(&shared);

    keys = 16; /* 2000 a second each, at 90 % of their limit */
    open_limit(&shared, 2222, 1000, 500);
    shared.limit.exact = shared.limit.lease = true;
    (void)run_open(32000, 1, false);
    struct result result = run_open(32000, 3, false);
    double calls = 1 / result.per_call;
    print_result("lease, 90 % of limits", &result);
    printf("    %.4f calls a decision, %.3f %% refused\n", calls,
           100 * (1 - (double)passed / (double)sample_count));
    bar("at most 0.1 calls a request at 90 % load", calls <= 0.1);
    close_limit(&shared);
}

/* ---- what instructions are counted of ---- */

/* By name, for who counts (limits.sh). */
__attribute__((noipa)) static void counted_local(struct local *local, unsigned decisions)
{
    for (uint32_t i = 0; i < decisions; i++) {
        uint32_t client = i * 2654435761u % COUNTED_KEYS;
        memcpy(local->txn.client.bytes, &client, sizeof(client));
        (void)ask_local(local);
    }
}

__attribute__((noipa)) static void counted_exact(unsigned decisions)
{
    while (sample_count < decisions)
        loop_turn(&worker->loop, 1);
}

static void count_local(void)
{
    struct local *local = open_local(60, 60000, BURST);
    for (uint32_t client = 0; client < COUNTED_KEYS; client++) {
        memcpy(local->txn.client.bytes, &client, sizeof(client));
        (void)ask_local(local);
    }
    counted_local(local, COUNTED);
    close_local(local);
}

static void count_exact(void)
{
    keys = COUNTED_KEYS;
    open_limit(&shared, 1000000, 1000, BURST);
    shared.limit.exact = true;
    (void)run_closed(CALL_GROUPS_COUNTED, 0.5);
    struct round round = begin();
    closed_loop = true;
    for (unsigned i = 0; i < CALL_GROUPS_COUNTED; i++)
        (void)ask_one(clock_mono_ns());
    counted_exact(COUNTED);
    closed_loop = false;
    printf("%zu decisions in %zu calls\n", sample_count,
           exact_calls(worker->exact) - round.calls);
    drain();
    close_limit(&shared);
}

/* ---- set-up ---- */

static void make_askers(void)
{
    askers = calloc(ASKERS_MAX, sizeof(*askers));
    samples = malloc(SAMPLES_MAX * sizeof(*samples));
    if (askers == NULL || samples == NULL)
        exit(1);
    for (unsigned i = 0; i < ASKERS_MAX; i++) {
        struct asker *asker = &askers[i];
        arena_init(&asker->arena, asker->room, sizeof(asker->room), NULL, 1 << 16);
        asker->txn.arena = &asker->arena;
        asker->txn.worker = worker;
        asker->txn.config = &config;
        asker->txn.clock = &worker->loop.clock;
        asker->txn.client.family = ADDR_V4;
        set_stage(&asker->txn);
        asker->txn.await.wake.run = on_wake;
        asker->call = (struct call){ .txn = &asker->txn, .state = &asker->state };
        asker->next = free_askers;
        free_askers = asker;
    }
}

/* A path: a server's unix socket. Else ports, of nodes of a Cluster. */
static void address(struct store *store, const char *where)
{
    struct redis_server *server = &store->server;
    struct span rest = span_text(where), item;
    uint64_t port;
    if (where[0] == '/') {
        server->path = rest;
        server->addrs[server->addr_count++].family = ADDR_UNIX;
        return;
    }
    store->kind = STORE_CLUSTER;
    while (server->addr_count < REDIS_ADDRESSES_MAX && span_cut(&rest, ',', &item)) {
        struct addr *addr = &server->addrs[server->addr_count++];
        if (!addr_parse(SPAN("127.0.0.1"), addr) || !span_uint(item, &port) || port > 65535)
            exit(1);
        addr->port = (uint16_t)port;
    }
}

static void connect_to(const char *where)
{
    static struct store store;
    store = (struct store){ .prefix = SPAN("bench"), .nodes = 1 };
    store.server.timeout_ms = 1000;
    address(&store, where);
    config.store = &store;
    worker = calloc(1, sizeof(*worker));
    int fd = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC);
    if (worker == NULL || fd < 0 || loop_init(&worker->loop) != OK)
        exit(1);
    worker->scratch = malloc(SCRATCH_BYTES);
    worker->cork = malloc(CORK_BYTES);
    worker->wire = malloc(CORK_BYTES + 16 * 1024);
    worker->config = &config;
    slab_pool_init(&worker->slabs, 16, 4096);
    ticker.on_event = on_tick;
    make_askers();
    if (loop_add(&worker->loop, &ticker, fd, EPOLLIN) != OK ||
        store_attach(worker, &store) != OK ||
        (worker->exact = exact_attach(worker, &store)) == NULL)
        exit(1);
    store_start(worker);
    for (unsigned i = 0; i < 1000 && !exact_usable(worker->exact, 0); i++)
        loop_turn(&worker->loop, 10);
    if (!exact_usable(worker->exact, 0)) {
        (void)fprintf(stderr, "no Redis at %s\n", where);
        exit(1);
    }
}

/* bench-limits [SOCKET|PORT,... PID-OF-REDIS,... [local|exact|lease|count|cluster]] */
int main(int argc, char **argv)
{
    const char *only = argc > 3 ? argv[3] : "";
    redis_pids = argc > 2 ? argv[2] : "self";
    (void)setvbuf(stdout, NULL, _IOLBF, 0);
    if (only[0] == '\0' || strcmp(only, "local") == 0) {
        bench_local(1000, 0);
        bench_local(100000, 0);
        bench_local(1000000, 300);
        bench_spoofed();
        bench_full();
    }
    if (argc < 2 || strcmp(only, "local") == 0)
        return outcome();
    with_redis = true;
    connect_to(argv[1]);
    if (strcmp(only, "count") == 0) {
        count_local();
        count_exact();
        return 0;
    }
    if (strcmp(only, "cluster") == 0) {
        bench_cluster();
        return outcome();
    }
    if (strcmp(only, "lease") != 0) {
        bench_exact();
        bench_accuracy(105000);
    }
    if (strcmp(only, "exact") != 0)
        bench_lease();
    return outcome();
}
