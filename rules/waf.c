/* The stage `waf`, run side: each phase of the chain is one or two of the rule set's. */
#include "rules/waf.h"

#include <stdlib.h>

#include "gateway/chain/crew.h"
#include "gateway/chain/txn.h"
#include "gateway/net/worker.h"
#include "rules/inspect.h"

enum {
    SLICE_WORK = 64 * 1024,   /* counted work before others get their turn */
    SLICES = RESUMES_MAX - 2, /* of one phase, and one that has no end but the budget's */
    VALUE_WORK = 256,         /* about what reading, showing and meeting any value is like */
    LONG_VALUES = 64,         /* of a worker that are looked at elsewhere, or wait for that */
    LONG_NICE = 10,
};

/* A body of the default limits is looked at in slices that stall nobody. */
_Static_assert(SLICES / 8 * 7 * SLICE_WORK >= 10 * 1024 * 1024 + 10000 * VALUE_WORK,
               "a long body stalls nobody");
/* Each ends with a wait, and `begin` waits before the first one. */
_Static_assert(SLICES + 1 < RESUMES_MAX, "the last slice is never refused");

/* The thread beside the loop that looks at long values: one for all stages of a worker. */
struct rules_crew {
    struct worker *worker;
    struct crew *crew;
    unsigned stages, out;
};

/* A long value on its way to the thread and back. */
struct long_value {
    struct errand errand;
    struct waf_local *local;
    struct sec_away *away;
    struct long_value *next; /* of the free */
    struct long_value *made_before;
};

struct waf_local {
    const struct sec_plan *plan;
    struct sec_local rules, away; /* the loop's, and the thread's */
    struct rules_crew *crew;
    struct long_value *free, *made;
};

struct waf_state {
    struct inspect_state rules;
    unsigned slices; /* of this phase */
    size_t bytes;    /* that it has to look at */
    struct op turn;  /* finished at once: only to let others have a turn */
};

static struct inspect_conf inspect_conf_of(const struct waf_conf *conf)
{
    const struct ruleset *set = conf->set;
    return (struct inspect_conf){ .plan = set->plan,
                                  .seclang = set->seclang,
                                  .values = (unsigned)conf->budget.values,
                                  .budget = conf->budget.bytes,
                                  .store = set->collects ? &set->store : NULL };
}

/* ---- phases ---------------------------------------------------------------------------------
 */

static struct verdict resume(struct call *c);

/* The own rules' and the set's. */
static void note_scores(struct call *c)
{
    struct waf_state *state = c->state;
    const struct sec_own *own = &state->rules.run.own;
    const int64_t ours[SCORE_KINDS] = {
        [SCORE_INBOUND] = own->score, [SCORE_OUTBOUND] = own->out_score
    };
    for (int kind = 0; kind < SCORE_KINDS; kind++) {
        int64_t score;
        (void)inspect_score(&state->rules, (enum score_kind)kind, &score);
        if (score + ours[kind] != 0)
            txn_score(c->txn, (enum score_kind)kind, score + ours[kind]);
    }
}

/* ---- long values ----------------------------------------------------------------------------
 */

/* On the thread. */
static void look_at(struct errand *errand, unsigned hand)
{
    struct long_value *value = CONTAINER(errand, struct long_value, errand);
    (void)hand;
    if (!errand_called_off(errand))
        sec_away_look(value->away, &value->local->away, &errand->called_off);
}

static void put_back(struct op *op)
{
    struct long_value *value = CONTAINER(op, struct long_value, errand.op);
    value->next = value->local->free;
    value->local->free = value;
    value->local->crew->out--;
}

/* One that is free, the first of its list; NULL: all are out. */
static struct long_value *long_value_at_hand(struct waf_local *local)
{
    if (local->free != NULL || local->crew->out == LONG_VALUES)
        return local->free;
    struct long_value *value = calloc(1, sizeof(*value));
    if (value == NULL)
        return NULL;
    value->away = sec_away_new(local->plan);
    if (value->away == NULL) {
        free(value);
        return NULL;
    }
    value->local = local;
    value->made_before = local->made;
    local->made = local->free = value;
    return value;
}

static struct verdict wait_for_thread(struct call *c, struct long_value *value)
{
    struct waf_local *local = value->local;
    local->free = value->next;
    local->crew->out++;
    value->errand.run = look_at;
    value->errand.op.release = put_back;
    crew_send(local->crew->crew, &value->errand);
    value->errand.op.untimed = true;
    return wait_for(c, &value->errand.op, resume);
}

/* ---- slices ---------------------------------------------------------------------------------
 */

static struct verdict let_others(struct call *c)
{
    struct waf_state *state = c->state;
    op_init(&state->turn);
    op_finish(&state->turn, c->txn->worker, OK, NULL);
    return wait_for(c, &state->turn, resume);
}

/* Such that reading and usual work are through before the last one: they grow with the values
 * that are found in the body. */
static uint64_t slice_of(const struct waf_state *state)
{
    uint64_t values = inspect_values(&state->rules);
    uint64_t share = (state->bytes + values * VALUE_WORK) / (SLICES / 8);
    if (state->slices >= SLICES)
        return UINT64_MAX;
    return share > SLICE_WORK ? share : SLICE_WORK;
}

static struct verdict go_on(struct call *c)
{
    struct waf_state *state = c->state;
    struct sec_run *run = &state->rules.run;
    uint64_t slice = slice_of(state);
    struct long_value *value = long_value_at_hand(c->local);
    struct verdict verdict;
    run->offered = value != NULL ? value->away : NULL;
    enum sec_end end = inspect_go_on(c, &state->rules, slice, &verdict);
    run->offered = NULL;
    state->slices++;
    if (end == SEC_AWAY)
        return wait_for_thread(c, value);
    if (end == SEC_PAUSE)
        return let_others(c);
    note_scores(c);
    return verdict;
}

static struct verdict resume(struct call *c)
{
    if (c->error != OK)
        return fail(REASON_STAGE_DEADLINE);
    struct loop *loop = &c->txn->worker->loop;
    struct verdict verdict = go_on(c);
    loop_rest(loop);
    return verdict;
}

/* A request is looked at behind the events of the turn, which may bring many: these are looked
 * at one right after the other, in warm caches. Of answers little is looked at, and they go on
 * at once. What takes more than one slice comes behind all that does not. */
static struct verdict begin(struct call *c, enum err err, size_t body)
{
    struct waf_state *state = c->state;
    if (err != OK)
        return fail(err == ERR_LIMIT ? REASON_ARGUMENT_LIMIT : REASON_MEMORY);
    state->slices = 0;
    state->bytes = body;
    c->txn->undecided = false;
    if (body > SLICE_WORK / 2)
        return let_others(c);
    return c->rsp == NULL && loop_among_events(&c->txn->worker->loop) ? wait_behind(c, go_on)
                                                                      : go_on(c);
}

static struct verdict see_head(struct call *c)
{
    const struct waf_conf *conf = c->conf;
    struct waf_state *state = c->state;
    struct waf_local *local = c->local;
    struct inspect_conf rules = inspect_conf_of(conf);
    return begin(c, inspect_begin_head(c, &rules, &local->rules, &state->rules, false), 0);
}

static struct verdict see_body(struct call *c)
{
    const struct waf_conf *conf = c->conf;
    struct waf_state *state = c->state;
    struct inspect_conf rules = inspect_conf_of(conf);
    if (!state->rules.begun || inspect_allowed(&state->rules))
        return pass();
    return begin(c, inspect_begin_body(c, &rules, &state->rules), c->body.len);
}

static struct verdict
judge_answer(struct call *c, enum err (*begin_phase)(struct call *, struct inspect_state *))
{
    const struct waf_conf *conf = c->conf;
    struct waf_state *state = c->state;
    /* To a request that it could not check, the answer is the gateway's own. */
    bool own = state->rules.failed && c->txn->decided != ACTION_PASS;
    if (!conf->response || !state->rules.begun || own)
        return pass();
    return begin(c, begin_phase(c, &state->rules), c->body.len);
}

static struct verdict see_answer(struct call *c)
{
    return judge_answer(c, inspect_begin_answer);
}

static struct verdict see_answer_body(struct call *c)
{
    return judge_answer(c, inspect_begin_answer_body);
}

static void finish(struct call *c)
{
    struct waf_state *state = c->state;
    inspect_finish(c, &state->rules);
}

/* A head that was refused: the set's rules are asked, and nothing is decided. */
static void evidence(struct call *c)
{
    const struct waf_conf *conf = c->conf;
    struct waf_state *state = c->state;
    struct waf_local *local = c->local;
    struct verdict verdict;
    if (conf->set == NULL || !conf->set->seclang)
        return;
    struct inspect_conf rules = inspect_conf_of(conf);
    c->mode = MODE_DETECT;
    if (inspect_begin_head(c, &rules, &local->rules, &state->rules, true) != OK)
        return;
    (void)inspect_go_on(c, &state->rules, UINT64_MAX, &verdict);
    inspect_finish(c, &state->rules);
}

/* ---- the stage ------------------------------------------------------------------------------
 */

static bool idle(const void *conf)
{
    return ((const struct waf_conf *)conf)->set == NULL;
}

static bool wants_body(const void *conf)
{
    const struct ruleset *set = ((const struct waf_conf *)conf)->set;
    return set != NULL && (set->seclang || set->program->own->wants_body);
}

static bool wants_response(const void *conf)
{
    const struct waf_conf *waf = conf;
    return waf->set != NULL && waf->response &&
           (waf->set->seclang || waf->set->program->own->answers != NULL);
}

static bool response_type(const void *conf, struct span media_type)
{
    const struct ruleset *set = ((const struct waf_conf *)conf)->set;
    return wants_response(conf) && inspect_type(media_type) &&
           (set->seclang || set->program->own->answer_bodies);
}

static uint64_t response_limit(const void *conf)
{
    return ((const struct waf_conf *)conf)->response_limit;
}

static uint64_t body_limit(const void *conf)
{
    return ((const struct waf_conf *)conf)->body_limit;
}

static enum err crew_share(struct rules_crew **out, struct worker *worker)
{
    static const struct crew_kind kind = {
        .what = "long values", .threads = 1, .capacity = LONG_VALUES, .nice = LONG_NICE
    };
    struct rules_crew *crew = worker->rules_crew;
    if (crew == NULL) {
        crew = calloc(1, sizeof(*crew));
        if (crew == NULL)
            return ERR_MEMORY;
        crew->worker = worker;
        enum err err = crew_open(&crew->crew, worker, &kind);
        if (err != OK) {
            free(crew);
            return err;
        }
        worker->rules_crew = crew;
    }
    crew->stages++;
    *out = crew;
    return OK;
}

/* Stages are detached together, and the thread may be looking at a value of any of them. */
static void crew_let_go(struct rules_crew *crew)
{
    if (crew->crew != NULL)
        crew_close(crew->crew);
    crew->crew = NULL;
    if (--crew->stages > 0)
        return;
    crew->worker->rules_crew = NULL;
    free(crew);
}

static enum err attach(void *local, const void *conf, struct worker *worker)
{
    const struct waf_conf *waf = conf;
    struct waf_local *own = local;
    if (waf->set == NULL)
        return OK;
    own->plan = waf->set->plan;
    TRY(crew_share(&own->crew, worker));
    TRY(sec_local_attach(&own->rules, own->plan));
    return sec_local_attach(&own->away, own->plan);
}

static void detach(void *local)
{
    struct waf_local *own = local;
    if (own->crew != NULL)
        crew_let_go(own->crew);
    for (struct long_value *value = own->made, *next; value != NULL; value = next) {
        next = value->made_before;
        sec_away_free(value->away);
        free(value);
    }
    sec_local_detach(&own->away);
    sec_local_detach(&own->rules);
}

const struct stage_type waf_stage = {
    .name = "waf",
    .summary = "Looks for attacks in the request: own rules, and a rule set.",
    .options = waf_options,
    .conf_size = sizeof(struct waf_conf),
    .local_size = sizeof(struct waf_local),
    .state_size = sizeof(struct waf_state),
    .open = waf_open,
    .close = waf_close,
    .attach = attach,
    .detach = detach,
    .idle = idle,
    .wants_body = wants_body,
    .body_limit = body_limit,
    .wants_response = wants_response,
    .response_type = response_type,
    .response_limit = response_limit,
    .finish = finish,
    .evidence = evidence,
    .on = { [PHASE_REQUEST_HEAD] = see_head,
            [PHASE_REQUEST_BODY] = see_body,
            [PHASE_RESPONSE_HEAD] = see_answer,
            [PHASE_RESPONSE_BODY] = see_answer_body },
};
