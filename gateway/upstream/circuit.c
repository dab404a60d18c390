/*
 * Circuit breakers: see circuit.h. Without locks: whoever changes the state does so by
 * compare-and-swap, and only the winner counts and tells it. What is lost in a race is a
 * request in a count.
 */
#include "gateway/upstream/circuit.h"

#include "conf/schema.h"
#include "gateway/base/log.h"
#include "gateway/upstream/health.h"

/* ---- options ---- */

static void check_status(const void *field, struct complaint *complaint)
{
    const struct span *text = field;
    uint32_t from, to;

    if (!health_status_parse(*text, &from, &to))
        complain(complaint, SEVERITY_ERROR, "a status or a range of them: 500-599");
}

const struct option circuit_options[] = {
    OPTION(struct circuit_conf, threshold, OPT_INT, .fallback = "0", .min = 0, .max = 100,
           .flags = OPTION_SHORTHAND, .example = "50",
           .help = "Per cent of requests that fail, at which no more are sent; 0: never."),
    OPTION(struct circuit_conf, window, OPT_DURATION, .fallback = "10s", .min = 100,
           .max = 3600000, .help = "Over how long they are counted."),
    OPTION(struct circuit_conf, requests, OPT_INT, .fallback = "20", .min = 1, .max = 1000000,
           .help = "With fewer in the window nothing is concluded."),
    OPTION(struct circuit_conf, open, OPT_DURATION, .fallback = "5s", .min = 10, .max = 3600000,
           .help = "How long nobody is let through; they get 503 with Retry-After."),
    OPTION(struct circuit_conf, trials, OPT_INT, .fallback = "3", .min = 1, .max = 1000,
           .help = "So many are let through then. When all succeed, all others are, too; when "
                   "one fails, it begins anew."),
    OPTION(struct circuit_conf, status, OPT_TEXT, .fallback = "500-599", .check = check_status,
           .help = "Answers that count as failures, beside those that do not come."),
    OPTIONS_END,
};

/* ---- counting ---- */

static uint64_t tenth_of(const struct circuit_conf *conf, uint64_t now_ms)
{
    return now_ms / ((uint64_t)conf->window.ms / CIRCUIT_BUCKETS);
}

static void count(const struct circuit_pass *pass, uint64_t now_ms, bool bad)
{
    uint64_t number = tenth_of(pass->conf, now_ms);
    struct circuit_bucket *bucket = &pass->circuit->buckets[number % CIRCUIT_BUCKETS];
    uint64_t had = __atomic_load_n(&bucket->number, __ATOMIC_RELAXED);

    if (had != number && __atomic_compare_exchange_n(&bucket->number, &had, number, false,
                                                     __ATOMIC_RELAXED, __ATOMIC_RELAXED)) {
        __atomic_store_n(&bucket->all, 0, __ATOMIC_RELAXED);
        __atomic_store_n(&bucket->bad, 0, __ATOMIC_RELAXED);
    }
    __atomic_fetch_add(&bucket->all, 1, __ATOMIC_RELAXED);
    if (bad)
        __atomic_fetch_add(&bucket->bad, 1, __ATOMIC_RELAXED);
}

static bool too_many_fail(const struct circuit_pass *pass, uint64_t now_ms)
{
    uint64_t number = tenth_of(pass->conf, now_ms), all = 0, bad = 0;

    for (size_t i = 0; i < CIRCUIT_BUCKETS; i++) {
        const struct circuit_bucket *bucket = &pass->circuit->buckets[i];
        uint64_t its = __atomic_load_n(&bucket->number, __ATOMIC_RELAXED);
        if (its > number || number - its >= CIRCUIT_BUCKETS)
            continue;
        all += __atomic_load_n(&bucket->all, __ATOMIC_RELAXED);
        bad += __atomic_load_n(&bucket->bad, __ATOMIC_RELAXED);
    }
    return all >= (uint64_t)pass->conf->requests &&
           bad * 100 >= all * (uint64_t)pass->conf->threshold;
}

/* ---- changes ---- */

static struct span label_of(const struct circuit *circuit)
{
    return span_of(circuit->label, strnlen(circuit->label, CIRCUIT_LABEL_BYTES));
}

static bool change(struct circuit *circuit, enum circuit_state from, enum circuit_state to,
                   uint64_t now_ms)
{
    uint32_t had = from;

    if (!__atomic_compare_exchange_n(&circuit->state, &had, (uint32_t)to, false,
                                     __ATOMIC_ACQ_REL, __ATOMIC_RELAXED))
        return false;
    __atomic_store_n(&circuit->since_ms, now_ms, __ATOMIC_RELAXED);
    return true;
}

static void forget_trials(struct circuit *circuit)
{
    __atomic_store_n(&circuit->begun, 0, __ATOMIC_RELAXED);
    __atomic_store_n(&circuit->succeeded, 0, __ATOMIC_RELAXED);
}

static void open_it(struct circuit *circuit, enum circuit_state from, uint64_t now_ms)
{
    if (!change(circuit, from, CIRCUIT_OPEN, now_ms))
        return;
    forget_trials(circuit);
    __atomic_fetch_add(&circuit->opened, 1, __ATOMIC_RELAXED);
    log_warn("circuit is open: the upstream fails too often, and is not asked for a while",
             F_SPAN("upstream", label_of(circuit)));
}

static void close_it(struct circuit *circuit, uint64_t now_ms)
{
    if (!change(circuit, CIRCUIT_TRIAL, CIRCUIT_CLOSED, now_ms))
        return;
    for (size_t i = 0; i < CIRCUIT_BUCKETS; i++)
        __atomic_store_n(&circuit->buckets[i].number, 0, __ATOMIC_RELAXED);
    log_info("circuit is closed: the upstream is asked again",
             F_SPAN("upstream", label_of(circuit)));
}

/* ---- requests ---- */

static bool is_over(const struct circuit_conf *conf, const struct circuit *circuit,
                    uint64_t now_ms)
{
    uint64_t since = __atomic_load_n(&circuit->since_ms, __ATOMIC_RELAXED);

    return now_ms >= since && now_ms - since >= (uint64_t)conf->open.ms;
}

static bool try_it(struct circuit_pass *pass, uint64_t now_ms)
{
    struct circuit *circuit = pass->circuit;

    /* Trials whose workers died are not waited for. */
    if (is_over(pass->conf, circuit, now_ms)) {
        __atomic_store_n(&circuit->since_ms, now_ms, __ATOMIC_RELAXED);
        forget_trials(circuit);
    }
    if (__atomic_fetch_add(&circuit->begun, 1, __ATOMIC_RELAXED) <
        (uint32_t)pass->conf->trials) {
        pass->trial = true;
        return true;
    }
    __atomic_fetch_sub(&circuit->begun, 1, __ATOMIC_RELAXED);
    return false;
}

bool circuit_enter(const struct circuit_conf *conf, struct circuit *circuit, uint64_t now_ms,
                   struct circuit_pass *pass)
{
    if (circuit == NULL || conf->threshold == 0)
        return true;
    *pass = (struct circuit_pass){ .conf = conf, .circuit = circuit };
    uint32_t state = __atomic_load_n(&circuit->state, __ATOMIC_ACQUIRE);
    if (state == CIRCUIT_CLOSED)
        return true;
    if (state == CIRCUIT_OPEN && is_over(conf, circuit, now_ms)) {
        (void)change(circuit, CIRCUIT_OPEN, CIRCUIT_TRIAL, now_ms);
        state = CIRCUIT_TRIAL;
    }
    if (state == CIRCUIT_TRIAL && try_it(pass, now_ms))
        return true;
    __atomic_fetch_add(&circuit->refused, 1, __ATOMIC_RELAXED);
    *pass = (struct circuit_pass){ .conf = NULL };
    return false;
}

static void trial_ended(const struct circuit_pass *pass, uint64_t now_ms,
                        enum circuit_outcome outcome)
{
    struct circuit *circuit = pass->circuit;

    if (__atomic_load_n(&circuit->state, __ATOMIC_ACQUIRE) != CIRCUIT_TRIAL)
        return;
    if (outcome == CIRCUIT_BAD) {
        open_it(circuit, CIRCUIT_TRIAL, now_ms);
    } else if (outcome == CIRCUIT_NOTHING) { /* somebody else may try */
        if (__atomic_load_n(&circuit->begun, __ATOMIC_RELAXED) > 0)
            __atomic_fetch_sub(&circuit->begun, 1, __ATOMIC_RELAXED);
    } else if (__atomic_add_fetch(&circuit->succeeded, 1, __ATOMIC_RELAXED) >=
               (uint32_t)pass->conf->trials) {
        close_it(circuit, now_ms);
    }
}

void circuit_leave(struct circuit_pass *owed, uint64_t now_ms, enum circuit_outcome outcome)
{
    struct circuit_pass pass = *owed;

    *owed = (struct circuit_pass){ .conf = NULL };
    if (pass.circuit == NULL)
        return;
    if (pass.trial) {
        trial_ended(&pass, now_ms, outcome);
        return;
    }
    /* What was begun before it opened says nothing new. */
    if (outcome == CIRCUIT_NOTHING ||
        __atomic_load_n(&pass.circuit->state, __ATOMIC_ACQUIRE) != CIRCUIT_CLOSED)
        return;
    count(&pass, now_ms, outcome == CIRCUIT_BAD);
    if (outcome == CIRCUIT_BAD && too_many_fail(&pass, now_ms))
        open_it(pass.circuit, CIRCUIT_CLOSED, now_ms);
}

void circuit_answered(struct circuit_pass *pass, uint64_t now_ms, int status)
{
    bool bad = pass->conf != NULL && status >= (int)pass->conf->bad_from &&
               status <= (int)pass->conf->bad_to;

    circuit_leave(pass, now_ms, bad ? CIRCUIT_BAD : CIRCUIT_GOOD);
}

void circuit_failed(struct circuit_pass *pass, uint64_t now_ms, enum err err)
{
    bool asked = err != ERR_BUSY && err != ERR_MEMORY && err != ERR_LIMIT;

    circuit_leave(pass, now_ms, asked ? CIRCUIT_BAD : CIRCUIT_NOTHING);
}

uint64_t circuit_wait_s(const struct circuit_conf *conf, const struct circuit *circuit,
                        uint64_t now_ms)
{
    uint64_t since = __atomic_load_n(&circuit->since_ms, __ATOMIC_RELAXED);
    uint64_t gone = now_ms > since ? now_ms - since : 0, all = (uint64_t)conf->open.ms;
    uint64_t left = gone < all ? (all - gone + 999) / 1000 : 1;

    return left > 0 ? left : 1;
}
