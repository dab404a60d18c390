/*
 * The chain: asks the stages of a phase one after the other and makes of their verdicts what
 * the configuration says. Whether a failure refuses or passes, and whether a denial is
 * enforced, is decided in settle() and nowhere else.
 *
 * A stage that waits leaves through sleep(); wake() goes on where it left. Both run the same
 * loop, so that a phase reads the same whether or not anything in it waited.
 */
#include "gateway/chain/chain.h"
#include "gateway/chain/meter.h"

#include <sys/mman.h>

#include "gateway/chain/replayed.h"
#include "gateway/chain/scope.h"
#include "gateway/net/channel.h"
#include "gateway/net/share.h"

#ifdef SALLYPORT_FAULTS
#include "gateway/chain/fault.h"
#endif

static const char *const phase_names[PHASE_COUNT] = {
    [PHASE_CONNECT] = "connect",
    [PHASE_REQUEST_HEAD] = "request_head",
    [PHASE_REQUEST_BODY] = "request_body",
    [PHASE_PAGE] = "page",
    [PHASE_RESPONSE_HEAD] = "response_head",
    [PHASE_RESPONSE_BODY] = "response_body",
};

static const char *const action_names[] = {
    [ACTION_PASS] = "pass", [ACTION_DENY] = "deny", [ACTION_REPLY] = "reply",
    [ACTION_WAIT] = "wait", [ACTION_FAIL] = "fail",
};

const char *phase_name(enum phase phase)
{
    INVARIANT(phase < PHASE_COUNT);
    return phase_names[phase];
}

/* ---- verdicts ---- */

/* What follows from a stage's verdict. */
struct outcome {
    struct verdict verdict; /* PASS: ask the next stage */
    bool enforced;          /* false: an objection, or a failure, that was let through */
    bool objected;          /* block mode would have refused */
};

static struct outcome settle(enum mode mode, enum on_error on_error, struct verdict said)
{
    bool detect = mode == MODE_DETECT;
    struct outcome outcome = { .verdict = pass(), .enforced = !detect, .objected = true };

    switch (said.action) {
    case ACTION_PASS:
        outcome.enforced = true;
        outcome.objected = false;
        return outcome;
    case ACTION_DENY:
    case ACTION_REPLY:
        if (!detect)
            outcome.verdict = said;
        return outcome;
    case ACTION_FAIL:
        if (on_error == ON_ERROR_PASS) {
            outcome.enforced = false;
            outcome.objected = false;
        } else if (!detect) {
            outcome.verdict = deny(said.reason);
        }
        return outcome;
    case ACTION_WAIT:
        break;
    }
    INVARIANT(said.action != ACTION_WAIT);
    return outcome;
}

/* A verdict that stands: every denial and failure has a reason. */
static struct verdict checked(struct verdict said)
{
    if (said.action == ACTION_FAIL && said.reason == REASON_NONE)
        said.reason = REASON_STAGE_FAILED;
    INVARIANT(said.reason < REASON_COUNT);
    INVARIANT((said.action != ACTION_DENY && said.action != ACTION_REPLY) ||
              said.reason != REASON_NONE);
    return said;
}

/* ---- the trail ---- */

static struct trail_entry *trail_add(struct txn *txn, const char *stage, const char *phase)
{
    /* An answer that is asked about again: each stage has one entry for all of it. */
    if (txn->run.phase == PHASE_RESPONSE_BODY)
        for (unsigned i = txn->trail_count; i > 0; i--)
            if (txn->trail[i - 1].stage == stage && txn->trail[i - 1].phase == phase)
                return &txn->trail[i - 1];
    if (txn->trail_count == TRAIL_MAX)
        return NULL;
    struct trail_entry *entry = &txn->trail[txn->trail_count++];
    *entry = (struct trail_entry){
        .stage = stage, .phase = phase, .action = action_names[ACTION_PASS], .enforced = true
    };
    return entry;
}

static uint32_t sum_us(uint32_t before, uint64_t ns)
{
    uint64_t us = before + ns / 1000;
    return us < UINT32_MAX ? (uint32_t)us : UINT32_MAX;
}

static void note(struct txn *txn, const struct stage_instance *stage, struct verdict said,
                 const struct outcome *outcome)
{
    uint64_t now = clock_mono_ns();
    struct trail_entry *entry = trail_add(txn, stage->type->name, phase_names[txn->run.phase]);
    if (entry != NULL) {
        entry->us = sum_us(entry->us, now - txn->run.began_ns);
        entry->resumes = (uint16_t)(entry->resumes + txn->run.resumes);
        if (said.action != ACTION_PASS) {
            entry->action = action_names[said.action];
            entry->reason = said.reason != REASON_NONE ? reason_row(said.reason)->slug : NULL;
            entry->enforced = outcome->enforced;
        }
    }
    /* In its row: pass, deny, reply, fail; what detect mode let through is the last. */
    unsigned action = said.action == ACTION_FAIL ? 3 : (unsigned)said.action;
    bool passed_over = said.action != ACTION_PASS && outcome->verdict.action == ACTION_PASS;
    meter_stage(txn->worker->meters, stage->meter, passed_over ? METER_ACTIONS - 1 : action,
                (now - txn->run.began_ns) / 1000);
    txn->run.began_ns = now; /* the next stage's */

    if (outcome->verdict.action != ACTION_PASS) {
        txn->decided = outcome->verdict.action;
        txn->reason = outcome->verdict.reason;
    } else if (outcome->objected) {
        txn->detected = true;
        if (txn->reason == REASON_NONE)
            txn->reason = said.reason;
    }
}

/* ---- calling a stage ---- */

static bool is_exempt(struct txn *txn, const struct stage_instance *stage)
{
    if (stage->common->unless == NULL)
        return false;
    txn->undecided = false;
    struct expr_source source = scope_source(txn);
    bool exempt = expr_eval(stage->common->unless, &source);
    return exempt && !txn->undecided;
}

bool chain_will_ask(struct txn *txn, const struct stage_instance *stage)
{
    return stage->mode == MODE_BLOCK && !is_exempt(txn, stage);
}

static struct call call_for(struct txn *txn, const struct stage_instance *stage)
{
    return (struct call){
        .txn = txn,
        .worker = txn->worker,
        .peer = &txn->peer,
        .req = txn->req,
        .rsp = txn->run.phase >= PHASE_RESPONSE_HEAD ? txn->rsp : NULL,
        .conf = stage->conf,
        .local = txn->worker->locals != NULL ? txn->worker->locals[stage->local] : NULL,
        .state = stage->type->state_size > 0 ? txn->state + stage->state_offset : NULL,
        .body = txn->run.body,
        .mode = stage->mode,
    };
}

static struct verdict call_stage(struct call *c, stage_fn *fn)
{
    struct txn *txn = c->txn;
    bool exhausted = txn->arena->exhausted;

    txn->run.calling = true;
    struct verdict said = fn(c);
    txn->run.calling = false;
    /* Only wait_for and wait_behind make a wait, and a stage that waits has nothing else to
     * say. */
    INVARIANT((said.action == ACTION_WAIT) == (txn->await.resume != NULL));
    /* What a stage could not remember it cannot vouch for. */
    if (said.action == ACTION_PASS && !exhausted && txn->arena->exhausted)
        return fail(REASON_MEMORY);
    return said.action == ACTION_WAIT ? said : checked(said);
}

static struct verdict ask(struct txn *txn, const struct stage_instance *stage)
{
    struct call c = call_for(txn, stage);
    if (txn->replayed != NULL &&
        (stage->type->remembers || replayed_knows(txn->replayed, stage->type, txn->run.phase)))
        return checked(replayed_word(txn, stage->type, txn->run.phase));
#ifdef SALLYPORT_FAULTS
    struct verdict fault;
    if (fault_inject(&c, stage, txn->run.phase, &fault))
        return fault.action == ACTION_WAIT ? fault : checked(fault);
#endif
    return call_stage(&c, stage->type->on[txn->run.phase]);
}

/* ---- waiting ---- */

static void wake(struct task *task);
static void wake_behind(struct task *task);

struct verdict wait_for(struct call *c, struct op *op, stage_fn *resume)
{
    INVARIANT(c->txn != NULL);
    struct await *await = &c->txn->await;
    INVARIANT(await->op == NULL && op->waiter == NULL && !op->abandoned && resume != NULL);
    await->op = op;
    await->resume = resume;
    await->wake.run = wake;
    op->waiter = await;
    if (op->finished)
        loop_post(&c->txn->worker->loop, &await->wake);
    return (struct verdict){ .action = ACTION_WAIT };
}

struct verdict wait_behind(struct call *c, stage_fn *resume)
{
    INVARIANT(c->txn != NULL);
    struct await *await = &c->txn->await;
    INVARIANT(await->op == NULL && await->resume == NULL && resume != NULL);
    await->resume = resume;
    await->wake.run = wake_behind;
    loop_put_behind(&c->txn->worker->loop, &await->wake);
    return (struct verdict){ .action = ACTION_WAIT };
}

static struct waited *waited_of(struct txn *txn, unsigned local)
{
    for (struct waited *waited = txn->waited; waited != NULL; waited = waited->next)
        if (waited->local == local)
            return waited;
    struct waited *waited = arena_new(txn->arena, struct waited);
    if (waited == NULL)
        return NULL;
    *waited = (struct waited){ .local = local, .next = txn->waited };
    txn->waited = waited;
    return waited;
}

static uint64_t now_ms(const struct txn *txn)
{
    return clock_ms(&txn->worker->loop.clock);
}

static struct verdict step_aside(struct txn *txn)
{
    txn->run.waiting = true;
    txn->run.aside_ns = clock_mono_ns();
    return (struct verdict){ .action = ACTION_WAIT };
}

/*
 * Lets the transaction sleep. The deadline is set at the stage's first wait in a phase, from
 * what earlier phases have left of it, and stays as it is however often the stage waits again.
 */
static struct verdict sleep_on(struct txn *txn, const struct stage_instance *stage)
{
    struct await *await = &txn->await;
    if (await->op == NULL)
        return step_aside(txn);
    if (txn->run.resumes == RESUMES_MAX) {
        await_cut(await);
        return fail(REASON_STAGE_STUCK);
    }
    if (await->deadline_ms == 0) {
        struct waited *waited = waited_of(txn, stage->local);
        if (waited == NULL) {
            await_cut(await);
            return fail(REASON_MEMORY);
        }
        int64_t deadline = stage->common->deadline.ms;
        uint64_t allowed = deadline > 0 ? (uint64_t)deadline : 0;
        await->deadline_ms = now_ms(txn) + (waited->ms < allowed ? allowed - waited->ms : 0);
    }
    uint64_t now = now_ms(txn);
    if (!await->op->untimed)
        timer_set(&txn->worker->loop, &await->deadline,
                  await->deadline_ms > now ? await->deadline_ms - now : 0);
    txn->run.waiting = true;
    return (struct verdict){ .action = ACTION_WAIT };
}

/* The stage has settled: what it waited counts against its deadline in later phases. */
static void close_wait(struct txn *txn, const struct stage_instance *stage)
{
    struct await *await = &txn->await;
    if (await->deadline_ms == 0)
        return;
    struct waited *waited = waited_of(txn, stage->local); /* it is there since sleep_on */
    uint64_t now = now_ms(txn);
    int64_t deadline = stage->common->deadline.ms;
    uint64_t allowed = deadline > 0 ? (uint64_t)deadline : 0;
    uint64_t left = await->deadline_ms > now ? await->deadline_ms - now : 0;
    waited->ms = left < allowed ? allowed - left : 0;
    timer_clear(&await->deadline);
    await->deadline_ms = 0;
}

static void expire(struct timer *timer)
{
    struct await *await = CONTAINER(timer, struct await, deadline);
    struct txn *txn = CONTAINER(await, struct txn, await);
    /* An answer that is here already was in time. */
    if (task_queued(&await->wake))
        return;
    await_cut(await);
    await->expired = true;
    loop_post(&txn->worker->loop, &await->wake);
}

/* The turn's events are over. What they took is not the stage's time. */
static struct verdict step_back(struct txn *txn, struct call *c)
{
    stage_fn *fn = txn->await.resume;
    txn->await.resume = NULL;
    txn->run.began_ns += clock_mono_ns() - txn->run.aside_ns;
    return call_stage(c, fn);
}

/* The answer to what the stage waited for, or the deadline. */
static struct verdict resume(struct txn *txn, const struct stage_instance *stage)
{
    struct await *await = &txn->await;
    struct call c = call_for(txn, stage);
    stage_fn *fn = await->resume;

    txn->run.waiting = false;
    timer_clear(&await->deadline);
    if (await->expired) {
        await->expired = false;
        return fail(REASON_STAGE_DEADLINE);
    }
    struct op *op = await->op;
    INVARIANT(fn != NULL);
    if (op == NULL)
        return step_back(txn, &c);
    INVARIANT(op->finished);
    c.error = op->error;
    c.answer = op->value;
    await_cut(await); /* the op is its owner's again: the answer is in our arena */
    txn->run.resumes++;
    return call_stage(&c, fn);
}

/* ---- the loop ---- */

static void conclude(struct txn *txn, struct verdict verdict)
{
    void (*done)(struct txn *, struct verdict) = txn->run.done;
    txn->run.running = false;
    txn->run.done = NULL;
    done(txn, verdict); /* the transaction may be gone behind this */
}

static void run_stages(struct txn *txn, bool resumed)
{
    struct chain_run *run = &txn->run;
    const struct stage_instance *stages = txn->route->chain[run->phase];
    unsigned count = txn->route->chain_count[run->phase];

    for (; run->index < count; run->index++, run->resumes = 0, resumed = false) {
        const struct stage_instance *stage = &stages[run->index];
        if (!resumed && is_exempt(txn, stage))
            continue;
        struct verdict said = resumed ? resume(txn, stage) : ask(txn, stage);
        if (said.action == ACTION_WAIT)
            said = sleep_on(txn, stage);
        if (said.action == ACTION_WAIT)
            return;
        close_wait(txn, stage);
        struct outcome outcome =
            settle(stage->mode, (enum on_error)stage->common->on_error, said);
        note(txn, stage, said, &outcome);
        if (outcome.verdict.action != ACTION_PASS) {
            conclude(txn, outcome.verdict);
            return;
        }
    }
    conclude(txn, pass());
}

static struct txn *txn_of(struct task *task)
{
    return CONTAINER(CONTAINER(task, struct await, wake), struct txn, await);
}

static void wake(struct task *task)
{
    struct txn *txn = txn_of(task);
    struct worker *worker = txn->worker;
    worker->current = txn->stream;
    run_stages(txn, true); /* the transaction may be gone behind this */
    worker_flush(worker);
}

static struct client_share *share_of(const struct txn *txn)
{
    struct slab_pool *slabs = txn->arena->pool;
    return slabs != NULL ? client_of_slabs(txn->worker, slabs) : NULL;
}

/* It would have been done among the events: this is the time of the client that sent it, too.
 */
static void wake_behind(struct task *task)
{
    struct txn *txn = txn_of(task);
    struct worker *worker = txn->worker;
    struct client_share *share = share_of(txn);
    uint64_t began_ns;
    if (!client_turn_enter(worker, share, &began_ns)) {
        loop_post(&worker->loop, task);
        return;
    }
    wake(task);
    client_turn_leave(share, began_ns);
}

void chain_start(struct txn *txn, enum phase phase, struct span body,
                 void (*done)(struct txn *txn, struct verdict verdict))
{
    const struct route *route = txn->route;
    INVARIANT(!txn->run.running && !txn->ended && phase > PHASE_CONNECT && phase < PHASE_COUNT);
    if (route->chain_count[phase] == 0) {
        done(txn, pass());
        return;
    }
    txn->await.deadline.fire = expire;
    txn->run = (struct chain_run){
        .phase = phase, .running = true, .body = body, .done = done, .began_ns = clock_mono_ns()
    };
    if (txn->state == NULL && route->state_size > 0) {
        txn->state = arena_zero(txn->arena, 1, route->state_size);
        if (txn->state == NULL) {
            txn->decided = ACTION_DENY;
            txn->reason = REASON_MEMORY;
            conclude(txn, deny(REASON_MEMORY));
            return;
        }
    }
    run_stages(txn, false);
}

/* The transaction keeps no route: nothing else is ever asked about it. */
void chain_evidence(struct txn *txn, const struct route *route)
{
    txn->state = arena_zero(txn->arena, 1, route->state_size + 1);
    for (unsigned i = 0; txn->state != NULL && i < route->chain_count[PHASE_REQUEST_HEAD];
         i++) {
        const struct stage_instance *stage = &route->chain[PHASE_REQUEST_HEAD][i];
        if (stage->type->evidence == NULL)
            continue;
        struct call c = call_for(txn, stage);
        stage->type->evidence(&c);
    }
}

/* Whatever phase the transaction ended in, the stages see it as it stands now. */
void chain_finish(struct txn *txn)
{
    const struct route *route = txn->route;
    if (route == NULL || txn->state == NULL)
        return;
    for (unsigned i = 0; i < route->chain_count[PHASE_REQUEST_HEAD]; i++) {
        const struct stage_instance *stage = &route->chain[PHASE_REQUEST_HEAD][i];
        if (stage->type->finish == NULL)
            continue;
        struct call c = call_for(txn, stage);
        c.rsp = txn->rsp;
        stage->type->finish(&c);
    }
}

/* ---- connections ---- */

static bool peer_is_exempt(const struct config *config, struct worker *worker,
                           const struct addr *peer, const struct stage_instance *stage)
{
    if (stage->common->unless == NULL)
        return false;
    /* Nothing but the address is known: every other name is missing. */
    struct arena arena;
    struct txn txn = {
        .worker = worker, .arena = &arena, .config = config, .client = *peer, .peer = *peer
    };
    arena_init(&arena, NULL, 0, NULL, 0);
    bool exempt = is_exempt(&txn, stage);
    arena_reset(&arena);
    return exempt;
}

struct verdict chain_connect(const struct config *config, struct worker *worker,
                             const struct addr *peer, struct list_hit *denied_by)
{
    for (unsigned i = 0; i < config->connect_count; i++) {
        const struct stage_instance *stage = &config->connect[i];
        if (peer_is_exempt(config, worker, peer, stage))
            continue;
        struct call c = { .worker = worker,
                          .peer = peer,
                          .conf = stage->conf,
                          .local =
                              worker->locals != NULL ? worker->locals[stage->local] : NULL };
        struct verdict said = checked(stage->type->on[PHASE_CONNECT](&c));
        INVARIANT(said.action != ACTION_WAIT);
        struct outcome outcome =
            settle(stage->mode, (enum on_error)stage->common->on_error, said);
        if (outcome.verdict.action == ACTION_PASS)
            continue;
        if (denied_by != NULL)
            *denied_by = c.denied_by;
        return deny(outcome.verdict.reason);
    }
    return pass();
}

/* ---- workers ---- */

static size_t rounded(size_t size)
{
    return (size + 63) &
           ~(size_t)63; /* a line of its own: locals are written, each by its stage */
}

static size_t locals_size(const struct config *config)
{
    size_t size = rounded(config->instance_count * sizeof(void *));
    for (size_t i = 0; i < config->instance_count; i++)
        size += rounded(config->instances[i].type->local_size);
    return size;
}

static void detach_first(struct worker *worker, const struct config *config, size_t count)
{
    for (size_t i = count; i > 0; i--) {
        const struct stage_instance *stage = &config->instances[i - 1];
        if (stage->type->detach != NULL)
            stage->type->detach(worker->locals[stage->local]);
    }
    (void)munmap(worker->locals, locals_size(config));
    worker->locals = NULL;
}

enum err chain_attach(struct worker *worker, const struct config *config)
{
    if (config->instance_count == 0)
        return OK;
    /* Once in a worker's life, so it is mapped rather than carved out of a pool. */
    char *memory = mmap(NULL, locals_size(config), PROT_READ | PROT_WRITE,
                        MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (memory == MAP_FAILED)
        return ERR_MEMORY;
    worker->locals = (void **)(void *)memory;
    memory += rounded(config->instance_count * sizeof(void *));
    for (size_t i = 0; i < config->instance_count; i++) {
        const struct stage_instance *stage = &config->instances[i];
        INVARIANT(stage->local < config->instance_count);
        worker->locals[stage->local] = memory;
        memory += rounded(stage->type->local_size);
    }
    for (size_t i = 0; i < config->instance_count; i++) {
        const struct stage_instance *stage = &config->instances[i];
        if (stage->type->attach == NULL)
            continue;
        enum err err = stage->type->attach(worker->locals[stage->local], stage->conf, worker);
        if (err != OK) {
            detach_first(worker, config, i);
            return err;
        }
    }
    return OK;
}

void chain_detach(struct worker *worker, const struct config *config)
{
    if (worker->locals != NULL)
        detach_first(worker, config, config->instance_count);
}
