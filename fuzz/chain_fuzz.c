/*
 * The chain under every order of events. The input is a script: it says what each stage
 * answers, when operations finish, when time passes, and when clients leave, for several
 * transactions at once. What must hold:
 *
 * - `done` is called once for each phase that was started, and not at all after an abort or a
 * cancelled phase;
 * - a stage leaves one trail entry in a phase, exempt stages none, and none comes behind a
 * refusal;
 * - nothing is refused by a stage in detect mode, and no failure by one with `on_error: pass`;
 * - an operation is released once, and not touched after that (they are freed: the sanitizer
 * watches);
 * - in the end no timer, task, operation or slab is left.
 */
#include <stdlib.h>

#include "gateway/chain/chain.h"
#include "gateway/net/worker.h"

enum { TXNS = 4, STAGES = 4, OPS = 64, START_MS = 1000000 };

struct input {
    const uint8_t *p, *end;
};

static uint8_t take(struct input *input)
{
    return input->p < input->end ? *input->p++ : 0;
}

/* ---- operations ---- */

struct fuzz_op {
    struct op op;
    unsigned index;
    bool frees_itself; /* when abandoned; else it runs on */
};

static struct fuzz_op *ops[OPS]; /* in flight */
static struct input *script;
static struct worker worker;

static void forget(struct fuzz_op *fuzz)
{
    INVARIANT(ops[fuzz->index] == fuzz);
    ops[fuzz->index] = NULL;
    free(fuzz);
}

static void on_abandon(struct op *op)
{
    struct fuzz_op *fuzz = CONTAINER(op, struct fuzz_op, op);
    INVARIANT(!op->finished);
    if (fuzz->frees_itself)
        forget(fuzz);
}

static void on_release(struct op *op)
{
    INVARIANT(op->finished);
    forget(CONTAINER(op, struct fuzz_op, op));
}

static struct op *new_op(uint8_t how)
{
    unsigned index = 0;
    while (index < OPS && ops[index] != NULL)
        index++;
    if (index == OPS)
        return NULL;
    struct fuzz_op *fuzz = malloc(sizeof(*fuzz));
    INVARIANT(fuzz != NULL);
    *fuzz = (struct fuzz_op){ .index = index, .frees_itself = how & 1 };
    op_init(&fuzz->op);
    fuzz->op.abandon = on_abandon;
    fuzz->op.release = on_release;
    ops[index] = fuzz;
    if (how & 2)
        op_finish(&fuzz->op, &worker, OK, NULL);
    return &fuzz->op;
}

static void finish_op(unsigned index)
{
    struct fuzz_op *fuzz = ops[index];
    if (fuzz == NULL || fuzz->op.finished)
        return;
    struct arena *arena = op_arena(&fuzz->op);
    const char *value = arena != NULL ? arena_alloc(arena, 16) : NULL;
    op_finish(&fuzz->op, &worker, OK, value);
}

/* ---- stages ---- */

static struct verdict behave(struct call *c)
{
    static const enum reason reasons[] = { REASON_RULE, REASON_AUTH_REQUIRED,
                                           REASON_RATE_LIMIT };
    uint8_t how = take(script);
    struct op *op;

    ++*(char *)c->state;
    switch (how % 6) {
    case 0:
        return deny(reasons[how / 6 % 3]);
    case 1:
        return answer(reasons[how / 6 % 3], NULL);
    case 2:
        return fail(how & 64 ? REASON_NONE : REASON_AUTH_BUSY);
    case 3:
    case 4:
        op = new_op(how / 6);
        return op != NULL ? wait_for(c, op, behave) : pass();
    default:
        return pass();
    }
}

#define ROW(n)                                                                                 \
    {                                                                                          \
        .name = n, .state_size = 1, .on = {                                                    \
            [PHASE_REQUEST_HEAD] = behave,                                                     \
            [PHASE_REQUEST_BODY] = behave,                                                     \
            [PHASE_PAGE] = behave,                                                             \
            [PHASE_RESPONSE_HEAD] = behave,                                                    \
            [PHASE_RESPONSE_BODY] = behave                                                     \
        }                                                                                      \
    }

static const struct stage_type types[STAGES] = { ROW("a"), ROW("b"), ROW("c"), ROW("d") };
static struct stage_common commons[STAGES];
static struct stage_instance stages[STAGES];
static struct route route;

/* ---- transactions ---- */

struct life {
    struct txn txn;
    struct arena arena;
    struct request req;
    char first[512];
    bool running;        /* a phase was started, and its done has not come */
    enum phase phase;    /* the last one */
    unsigned trail_from; /* where this phase's entries begin */
    unsigned done;
};

static struct life lives[TXNS];

static void check_trail(const struct life *life, struct verdict verdict)
{
    const struct txn *txn = &life->txn;
    unsigned stage = 0, count = txn->trail_count - life->trail_from;
    bool refused = verdict.action != ACTION_PASS;

    INVARIANT(txn->trail_count >= life->trail_from && count <= STAGES);
    for (unsigned i = life->trail_from; i < txn->trail_count; i++, stage++) {
        const struct trail_entry *entry = &txn->trail[i];
        while (stage < STAGES &&
               (commons[stage].unless != NULL || entry->stage != types[stage].name))
            INVARIANT(commons[stage++].unless !=
                      NULL); /* in order, and only the exempt are left out */
        INVARIANT(stage < STAGES && strcmp(entry->phase, phase_name(life->phase)) == 0);
        bool last = i + 1 == txn->trail_count;
        bool objected = strcmp(entry->action, "pass") != 0;
        bool failed = strcmp(entry->action, "fail") == 0;
        bool enforced = objected && stages[stage].mode == MODE_BLOCK &&
                        !(failed && commons[stage].on_error == ON_ERROR_PASS);
        INVARIANT(enforced == (refused && last));
        INVARIANT(entry->enforced == (enforced || !objected));
        INVARIANT(objected == (entry->reason != NULL));
    }
    while (!refused && stage < STAGES)
        INVARIANT(commons[stage++].unless != NULL);
}

static void on_done(struct txn *txn, struct verdict verdict)
{
    struct life *life = CONTAINER(txn, struct life, txn);
    INVARIANT(life->running && !txn->ended);
    life->running = false;
    life->done++;
    INVARIANT(verdict.action == ACTION_PASS || verdict.action == ACTION_DENY ||
              verdict.action == ACTION_REPLY);
    INVARIANT((verdict.action == ACTION_PASS) == (verdict.reason == REASON_NONE));
    /* A started phase is never in doubt about the reason that stands in the record. */
    if (verdict.action != ACTION_PASS)
        INVARIANT(txn->reason == verdict.reason && txn->decided == verdict.action);
    if (life->phase != PHASE_RESPONSE_BODY)
        check_trail(life, verdict);
}

static void life_begin(struct life *life)
{
    arena_init(&life->arena, life->first, sizeof(life->first), &worker.slabs, 64 * 1024);
    life->req = (struct request){ .method = SPAN("GET"), .path = SPAN("/x") };
    txn_init(&life->txn, &worker, &life->arena, &life->req);
    life->txn.route = &route;
    life->running = false;
}

static void life_end(struct life *life)
{
    txn_abort(&life->txn);
    arena_reset(&life->arena);
    /* Whoever still looks at it shall see nonsense. */
    memset(&life->txn, 0xa5, sizeof(life->txn));
    life->running = false;
}

static void start_phase(struct life *life, uint8_t which)
{
    if (life->running || life->txn.trail_count + STAGES > TRAIL_MAX)
        return;
    life->phase = (enum phase)(PHASE_REQUEST_HEAD + which % (PHASE_COUNT - 1));
    life->trail_from = life->txn.trail_count;
    life->running = true;
    unsigned before = life->done;
    chain_start(&life->txn, life->phase, SPAN("body"), on_done);
    INVARIANT(life->done - before + life->running == 1);
}

/* ---- the loop, on a clock of our own ---- */

static void turn(void)
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

static void set_up(struct input *input)
{
    static struct diags diags;
    static struct arena arena;
    static char memory[4096];
    static struct expr *never_asked;
    static const struct expr_name names[] = { { "path", EXPR_TEXT, false, 1, "" }, { 0 } };

    if (never_asked == NULL) {
        struct expr_scope scope = { .names = names };
        INVARIANT(loop_init(&worker.loop) == OK);
        slab_pool_init(&worker.slabs, 8, 4096);
        arena_init(&arena, memory, sizeof(memory), NULL, 65536);
        diags_init(&diags, &arena);
        never_asked =
            expr_parse(SPAN("path == \"/x\""), (struct place){ 0 }, &scope, &arena, &diags);
        INVARIANT(never_asked != NULL);
    }
    worker.loop.clock.mono_ns = (uint64_t)START_MS * 1000000;
    worker.loop.wheel_ms = START_MS - START_MS % LOOP_TICK_MS;
    for (unsigned i = 0; i < STAGES; i++) {
        uint8_t how = take(input);
        commons[i] = (struct stage_common){ .on_error = how & 1 ? ON_ERROR_PASS : ON_ERROR_DENY,
                                            .deadline = { 1 + how % 100 },
                                            .unless = how >> 5 == 7 ? never_asked : NULL };
        stages[i] = (struct stage_instance){ .type = &types[i],
                                             .common = &commons[i],
                                             .local = i,
                                             .mode = how & 2 ? MODE_DETECT : MODE_BLOCK,
                                             .state_offset = i };
    }
    route = (struct route){ .state_size = STAGES };
    for (int phase = PHASE_REQUEST_HEAD; phase < PHASE_COUNT; phase++) {
        route.chain[phase] = stages;
        route.chain_count[phase] = STAGES;
    }
    for (size_t i = 0; i < TXNS; i++)
        life_begin(&lives[i]);
}

static void tear_down(void)
{
    for (size_t i = 0; i < TXNS; i++)
        life_end(&lives[i]);
    turn();
    for (unsigned i = 0; i < OPS; i++)
        finish_op(i); /* late answers, dropped */
    for (unsigned i = 0; i < OPS; i++)
        INVARIANT(ops[i] == NULL);
    INVARIANT(worker.loop.timers == 0);
    INVARIANT(worker.loop.queue.next == &worker.loop.queue);
    INVARIANT(worker.slabs.in_use == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct input input = { data, data + size };
    script = &input;
    set_up(&input);
    while (input.p < input.end) {
        uint8_t what = take(&input);
        struct life *life = &lives[what / 8 % TXNS];
        switch (what % 8) {
        case 0:
        case 1:
            start_phase(life, take(&input));
            break;
        case 2:
            turn();
            break;
        case 3:
        case 4:
            finish_op(what / 8);
            finish_op(take(&input) % OPS);
            break;
        case 5:
            loop_advance(&worker.loop, clock_ms(&worker.loop.clock) + take(&input));
            break;
        case 6:
            if (what & 64) {
                txn_cancel_phase(&life->txn);
                life->running = false;
            }
            break;
        case 7:
            life_end(life);
            life_begin(life);
            break;
        }
    }
    tear_down();
    return 0;
}
