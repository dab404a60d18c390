/*
 * A bench for the chain: three stages that do as their scripts say, operations that are
 * finished from outside, and a clock that moves by hand. Included by the tests of the chain,
 * which are programs of their own.
 */
#ifndef SALLYPORT_CHAIN_BENCH_H
#define SALLYPORT_CHAIN_BENCH_H

#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include "gateway/chain/chain.h"
#include "gateway/chain/reply.h"
#include "gateway/chain/scope.h"
#include "gateway/net/worker.h"

/* Behind ours: its macro `fail` would break the function of that name. */
#include <cmocka.h>

static struct worker worker;
static struct arena arena;
static struct request req;
static struct txn txn;
static struct config config;

/* ---- a stage that does as it is told ---- */

struct script {
    struct verdict first, then; /* `first` WAIT: waits for `op`, then answers `then` */
    struct op *op;
    bool behind; /* the events of the turn, instead of for `op` */
    bool again;  /* waits once more for the next op, without end */
    struct op *ops;
    unsigned asked, resumed;
    enum err error;
    const void *answer;
    unsigned *state_seen;
    const struct stream *current; /* of the worker, when it was resumed */
};

static UNUSED struct verdict resume_script(struct call *c);

static UNUSED struct verdict run_script(struct call *c)
{
    struct script *script = (struct script *)(uintptr_t)c->conf;
    script->asked++;
    if (c->state != NULL)
        ++*(unsigned *)c->state;
    if (script->first.action != ACTION_WAIT)
        return script->first;
    return script->behind ? wait_behind(c, resume_script)
                          : wait_for(c, script->op, resume_script);
}

static UNUSED struct verdict resume_script(struct call *c)
{
    struct script *script = (struct script *)(uintptr_t)c->conf;
    script->resumed++;
    script->error = c->error;
    script->answer = c->answer;
    script->current = c->worker->current;
    if (script->again)
        return wait_for(c, &script->ops[script->resumed], resume_script);
    return script->then;
}

#define EVERY_PHASE                                                                            \
    {                                                                                          \
        [PHASE_CONNECT] = run_script, [PHASE_REQUEST_HEAD] = run_script,                       \
        [PHASE_REQUEST_BODY] = run_script, [PHASE_RESPONSE_HEAD] = run_script,                 \
        [PHASE_RESPONSE_BODY] = run_script                                                     \
    }

static const struct stage_type types[] = {
    { .name = "one", .on = EVERY_PHASE, .state_size = sizeof(unsigned) },
    { .name = "two", .on = EVERY_PHASE },
    { .name = "three", .on = EVERY_PHASE },
};

enum { STAGES = ARRAY_LEN(types), DEADLINE_MS = 50 };

static struct script scripts[STAGES];
static struct stage_common commons[STAGES];
static struct stage_instance stages[STAGES];
static struct route route;

/* ---- an operation that is finished from outside ---- */

struct fake_op {
    struct op op;
    unsigned abandoned, released;
};
static struct fake_op ops[RESUMES_MAX + 4];

static UNUSED void on_abandon(struct op *op)
{
    CONTAINER(op, struct fake_op, op)->abandoned++;
}

static UNUSED void on_release(struct op *op)
{
    CONTAINER(op, struct fake_op, op)->released++;
}

static UNUSED void finish(struct fake_op *fake, const void *value)
{
    op_finish(&fake->op, &worker, OK, value);
}

static unsigned done_count;
static struct verdict done_verdict;
static const char *const taken = "taken";

static UNUSED void on_done(struct txn *of, struct verdict verdict)
{
    assert_ptr_equal(of, &txn);
    done_count++;
    done_verdict = verdict;
}

/* ---- the bench ---- */

/* The tasks of one turn. Not loop_turn, which would set the clock right. */
static UNUSED void turn(void)
{
    struct task last = { .run = NULL }, *head = &worker.loop.queue;
    loop_post(&worker.loop, &last);
    while (head->next != &last) {
        struct task *task = head->next;
        task_cancel(task);
        task->run(task);
    }
    task_cancel(&last);
}

static UNUSED void pass_ms(uint64_t ms)
{
    loop_advance(&worker.loop, clock_ms(&worker.loop.clock) + ms);
}

static UNUSED int set_up(void **state)
{
    (void)state;
    memset(&worker, 0, sizeof(worker));
    assert_int_equal(loop_init(&worker.loop), OK);
    slab_pool_init(&worker.slabs, 4, 64);
    uuid_source_init(&worker.uuids);
    worker.config = &config;
    arena_init(&arena, NULL, 0, NULL, 1024 * 1024);
    config = (struct config){ 0 };
    req = (struct request){ .method = SPAN("GET"), .path = SPAN("/x") };
    route = (struct route){ .state_size = sizeof(unsigned) };
    done_count = 0;
    for (unsigned i = 0; i < STAGES; i++) {
        scripts[i] = (struct script){ .first = pass(), .then = pass(), .op = &ops[i].op };
        commons[i] = (struct stage_common){ .deadline = { DEADLINE_MS } };
        stages[i] = (struct stage_instance){ .type = &types[i],
                                             .conf = &scripts[i],
                                             .common = &commons[i],
                                             .mode = MODE_BLOCK,
                                             .local = i };
    }
    for (int phase = PHASE_REQUEST_HEAD; phase < PHASE_COUNT; phase++) {
        route.chain[phase] = stages;
        route.chain_count[phase] = STAGES;
    }
    for (size_t i = 0; i < ARRAY_LEN(ops); i++) {
        ops[i] = (struct fake_op){ 0 };
        op_init(&ops[i].op);
        ops[i].op.abandon = on_abandon;
        ops[i].op.release = on_release;
    }
    txn_init(&txn, &worker, &arena, &req);
    txn.route = &route;
    return 0;
}

static UNUSED int tear_down(void **state)
{
    (void)state;
    txn_abort(&txn);
    assert_int_equal(worker.loop.timers, 0);
    arena_reset(&arena);
    slab_pool_close(&worker.slabs);
    loop_close(&worker.loop);
    return 0;
}

static UNUSED void start(enum phase phase)
{
    chain_start(&txn, phase, SPAN("body"), on_done);
}

static UNUSED void waits(unsigned stage)
{
    scripts[stage].first = (struct verdict){ .action = ACTION_WAIT };
}

static UNUSED void expect_done(enum action action, enum reason reason)
{
    assert_int_equal(done_count, 1);
    assert_int_equal(done_verdict.action, action);
    assert_int_equal(done_verdict.reason, reason);
}

static UNUSED void expect_entry(unsigned i, const char *stage, const char *action,
                                const char *reason, bool enforced)
{
    assert_true(i < txn.trail_count);
    assert_string_equal(txn.trail[i].stage, stage);
    assert_string_equal(txn.trail[i].action, action);
    if (reason == NULL)
        assert_null(txn.trail[i].reason);
    else
        assert_string_equal(txn.trail[i].reason, reason);
    assert_int_equal(txn.trail[i].enforced, enforced);
}

static UNUSED struct expr *expression(const char *text)
{
    static struct diags diags;
    struct expr_scope scope = scope_make(&config);
    diags_init(&diags, &arena);
    struct expr *expr =
        expr_parse(span_text(text), (struct place){ 0 }, &scope, &arena, &diags);
    assert_non_null(expr);
    return expr;
}

#define BENCH_TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

#endif
