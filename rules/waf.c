/* The stage `waf`, run side: values are scanned, then the rules are gone through in order. */
#include "rules/waf.h"

#include "gateway/chain/edit.h"
#include "gateway/chain/reply.h"
#include "gateway/chain/scope.h"
#include "gateway/chain/txn.h"
#include "rules/bodies.h"
#include "rules/inspect.h"

enum {
    SLICE_BYTES = 256 * 1024, /* looked at before others get their turn */
    SLICE_WORK = 64 * 1024,   /* the same of the rule set, in counted work */
    SLICES = RESUMES_MAX - 2, /* of one phase; the last one has no end but the budget's */
};

/* A body of the default limit is looked at in slices of the usual size. */
_Static_assert(SLICES / 4 * SLICE_BYTES >= 10 * 1024 * 1024, "a long body stalls nobody");

struct waf_local {
    struct scan_local own;
    struct sec_local seclang;
};

struct waf_state {
    struct inspect_state seclang;
    struct verdict own; /* what the rules of the YAML said in this phase */
    struct scan scan;
    uint64_t *fired; /* set of rules; NULL: none */
    int64_t score;
    struct span tags; /* names of `do: tag`, comma-separated */
    bool body;        /* the head has been judged: it is the body's turn */
    bool allowed;     /* by a rule: nothing more is asked */
    bool refused;     /* the sum of the scores was objected to */
    struct body *reading;
    bool malformed;  /* the body is, and the route is strict */
    unsigned slices; /* of this phase */
    uint64_t slice;
    struct op turn; /* finished at once: only to let others have a turn */
};

/* ---- rules in order -------------------------------------------------------------------------
 */

static struct verdict block(struct call *c, const struct rule *rule)
{
    struct reply *reply = rule->status != 0 ? reply_new(c->txn, rule->status) : NULL;
    return deny_with(REASON_RULE, reply);
}

static bool add_tag(struct waf_state *state, struct arena *arena, struct span name)
{
    struct text text = text_growing(arena, state->tags.len + 1 + name.len);
    text_add(&text, state->tags);
    if (state->tags.len != 0)
        text_char(&text, ',');
    text_add(&text, name);
    state->tags = text_span(&text);
    return !text.overflow;
}

static bool note_fired(struct call *c, unsigned index)
{
    const struct waf_conf *conf = c->conf;
    struct waf_state *state = c->state;
    const struct rule *rule = &conf->plan->rules[index];
    if (state->fired == NULL)
        state->fired = arena_array(c->txn->arena, uint64_t, conf->plan->words);
    if (state->fired == NULL)
        return false;
    set_add(state->fired, index);

    struct finding finding = { .rule = rule->name,
                               .message = rule->message,
                               .severity = rule->severity,
                               .score = rule->action == RULE_SCORE ? rule->score : 0 };
    const struct hit *hit = scan_hit(&state->scan, index);
    if (hit != NULL) {
        finding.field = hit->field;
        finding.sample = hit->sample;
        finding.value = hit->value;
        finding.offset = hit->offset;
    }
    txn_find(c->txn, &finding);
    return true;
}

/*
 * What follows from a rule that fired. The first one that decides stands in `*verdict`; those
 * behind it are only recorded. False: out of memory.
 */
static bool act(struct call *c, const struct rule *rule, struct verdict *verdict)
{
    struct waf_state *state = c->state;
    if (verdict->action != ACTION_PASS)
        return true;
    switch (rule->action) {
    case RULE_BLOCK:
        *verdict = block(c, rule);
        return true;
    case RULE_SCORE:
        state->score += rule->score;
        return true;
    case RULE_ALLOW:
        state->allowed = true;
        return true;
    case RULE_TAG:
        return add_tag(state, c->txn->arena, rule->name);
    case RULE_LOG:
        return true;
    }
    return true;
}

/* Rules of one word that have not fired and of whose conditions only `when` is open. */
static uint64_t candidates(const struct plan *plan, const struct waf_state *state,
                           unsigned word)
{
    uint64_t rules = plan->unpatterned[word];
    if (state->body)
        rules &= plan->late[word];
    if (state->scan.matched != NULL)
        rules |= state->scan.matched[word];
    if (state->fired != NULL)
        rules &= ~state->fired[word];
    return rules;
}

static struct verdict walk(struct call *c)
{
    const struct plan *plan = ((const struct waf_conf *)c->conf)->plan;
    struct waf_state *state = c->state;
    struct expr_source source = scope_source(c->txn);
    struct verdict verdict = pass();
    c->txn->undecided = false;
    for (unsigned word = 0; word < plan->words; word++) {
        uint64_t rules = candidates(plan, state, word);
        for (; rules != 0 && !state->allowed; rules &= rules - 1) {
            unsigned index = word * 64 + (unsigned)__builtin_ctzll(rules);
            const struct rule *rule = &plan->rules[index];
            bool applies = rule->when == NULL || expr_eval(rule->when, &source);
            if (c->txn->undecided)
                return fail(REASON_STAGE_FAILED);
            if (applies && (!note_fired(c, index) || !act(c, rule, &verdict)))
                return fail(REASON_MEMORY);
        }
    }
    return verdict;
}

static int64_t own_threshold(const struct waf_conf *conf)
{
    enum { DEFAULT = 5 };
    return conf->threshold.inbound != 0 ? conf->threshold.inbound : DEFAULT;
}

static struct verdict judge_own(struct call *c)
{
    const struct waf_conf *conf = c->conf;
    struct waf_state *state = c->state;
    struct span tags = state->tags;
    struct verdict verdict = walk(c);
    if (state->score != 0)
        txn_score(c->txn, SCORE_INBOUND, state->score);
    /* In the head always, so that no client can lend itself a tag. */
    if (conf->plan->tags && (!state->body || tags.len != state->tags.len) &&
        !edit_lend_field(c->txn, SPAN("X-Sallyport-Tags"), state->tags))
        return fail(REASON_MEMORY);
    if (verdict.action != ACTION_PASS || state->allowed || state->refused)
        return verdict;
    if (state->malformed)
        return deny(REASON_BODY_MALFORMED);
    if (state->score < own_threshold(conf))
        return verdict;
    state->refused = true;
    return deny(REASON_RULE);
}

/* ---- the SecLang rule set -------------------------------------------------------------------
 */

static struct verdict resume_set(struct call *c);

/* The own rules' and the set's. */
static void note_scores(struct call *c)
{
    struct waf_state *state = c->state;
    int64_t score;
    if (inspect_score(&state->seclang, SCORE_INBOUND, &score) && score + state->score != 0)
        txn_score(c->txn, SCORE_INBOUND, score + state->score);
    if (inspect_score(&state->seclang, SCORE_OUTBOUND, &score) && score != 0)
        txn_score(c->txn, SCORE_OUTBOUND, score);
}

/* What the own rules said comes first. */
static struct verdict go_on(struct call *c)
{
    struct waf_state *state = c->state;
    uint64_t slice = state->slices < SLICES ? SLICE_WORK : UINT64_MAX;
    struct verdict verdict;
    if (inspect_go_on(c, &state->seclang, slice, &verdict) == SEC_PAUSE) {
        state->slices++;
        op_init(&state->turn);
        op_finish(&state->turn, c->txn->worker, OK, NULL);
        return wait_for(c, &state->turn, resume_set);
    }
    note_scores(c);
    return state->own.action != ACTION_PASS ? state->own : verdict;
}

static struct verdict resume_set(struct call *c)
{
    return c->error == OK ? go_on(c) : fail(REASON_STAGE_DEADLINE);
}

static struct inspect_conf inspect_conf_of(const struct waf_conf *conf)
{
    const struct ruleset *set = conf->seclang_set;
    return (struct inspect_conf){ .plan = set->plan,
                                  .values = (unsigned)conf->budget.values,
                                  .budget = conf->budget.bytes,
                                  .store = set->collects ? &set->store : NULL };
}

/* The own rules have spoken; in block mode a refusal is the last word. */
static struct verdict ask_set(struct call *c, struct verdict own)
{
    const struct waf_conf *conf = c->conf;
    struct waf_state *state = c->state;
    struct waf_local *local = c->local;
    if (conf->seclang_set == NULL || state->allowed ||
        (own.action != ACTION_PASS && c->mode == MODE_BLOCK))
        return own;
    struct inspect_conf set = inspect_conf_of(conf);
    state->own = own;
    state->slices = 0;
    enum err err = state->body ? inspect_begin_body(c, &set, &state->seclang)
                               : inspect_begin_head(c, &set, &local->seclang, &state->seclang);
    if (err != OK)
        return fail(err == ERR_LIMIT ? REASON_ARGUMENT_LIMIT : REASON_MEMORY);
    return go_on(c);
}

static struct verdict judge(struct call *c)
{
    const struct waf_conf *conf = c->conf;
    return ask_set(c, conf->plan != NULL ? judge_own(c) : pass());
}

/* ---- values ---------------------------------------------------------------------------------
 */

static struct verdict resume(struct call *c);

static struct verdict proceed(struct call *c)
{
    const struct waf_conf *conf = c->conf;
    struct waf_state *state = c->state;
    uint64_t slice = state->slices < SLICES ? state->slice : UINT64_MAX;
    struct waf_local *local = c->local;
    switch (scan_run(&state->scan, conf->plan, &local->own, c->txn->arena, slice)) {
    case SCAN_DONE:
        return judge(c);
    case SCAN_PAUSE:
        state->slices++;
        op_init(&state->turn);
        op_finish(&state->turn, c->txn->worker, OK, NULL);
        return wait_for(c, &state->turn, resume);
    case SCAN_SPENT:
        return fail(REASON_STAGE_FAILED);
    case SCAN_MEMORY:
        break;
    }
    return fail(REASON_MEMORY);
}

static struct verdict resume(struct call *c)
{
    return c->error == OK ? proceed(c) : fail(REASON_STAGE_DEADLINE);
}

/* Slices such that the usual number of forms is through before the last one. */
static struct verdict begin(struct call *c, enum err err, const struct values *values)
{
    struct waf_state *state = c->state;
    if (err != OK)
        return fail(err == ERR_LIMIT ? REASON_ARGUMENT_LIMIT : REASON_MEMORY);
    uint64_t bytes = 0;
    for (unsigned i = 0; i < values->count; i++)
        bytes += values->items[i].text.len;
    state->slices = 0;
    state->slice = bytes / (SLICES / 4) > SLICE_BYTES ? bytes / (SLICES / 4) : SLICE_BYTES;
    scan_begin(&state->scan, *values);
    return proceed(c);
}

static struct intake intake_of(const struct call *c)
{
    const struct waf_conf *conf = c->conf;
    return (struct intake){ .selectors = &conf->plan->selectors,
                            .wanted = conf->plan->selects,
                            .limit = (unsigned)conf->budget.values,
                            .arena = c->txn->arena };
}

static struct verdict see_head(struct call *c)
{
    const struct waf_conf *conf = c->conf;
    struct waf_state *state = c->state;
    if (conf->plan == NULL)
        return judge(c);
    struct intake intake = intake_of(c);
    struct values values;
    state->scan.budget = (struct scan_budget){ .bytes = conf->budget.bytes,
                                               .values = (uint64_t)conf->budget.values };
    return begin(c, values_of_head(&values, &intake, c->req), &values);
}

static struct verdict body_read(struct call *c)
{
    struct waf_state *state = c->state;
    const struct body *body = state->reading;
    struct intake intake = intake_of(c);
    struct values values;
    if (body->err != OK)
        return fail(REASON_MEMORY);
    if ((body->findings & BODY_FOUND_VALUES) != 0)
        return fail(REASON_ARGUMENT_LIMIT);
    state->malformed = bodies_refused(c->txn, body);
    return begin(c, values_of_body(&values, &intake, c->req, body), &values);
}

static struct verdict read_more(struct call *c);

static struct verdict read_on(struct call *c)
{
    struct waf_state *state = c->state;
    if (body_run(state->reading, state->slice))
        return body_read(c);
    op_init(&state->turn);
    op_finish(&state->turn, c->txn->worker, OK, NULL);
    return wait_for(c, &state->turn, read_more);
}

static struct verdict read_more(struct call *c)
{
    return c->error == OK ? read_on(c) : fail(REASON_STAGE_DEADLINE);
}

/* A body is read at most twice; that takes an eighth of the slices each time. */
static struct verdict see_body(struct call *c)
{
    const struct waf_conf *conf = c->conf;
    struct waf_state *state = c->state;
    struct body_limits limits;
    if (state->allowed)
        return pass();
    state->body = true;
    if (conf->plan == NULL)
        return judge(c);
    bodies_limits(&limits, (unsigned)conf->budget.values);
    state->slice =
        c->body.len / (SLICES / 8) > SLICE_BYTES ? c->body.len / (SLICES / 8) : SLICE_BYTES;
    state->reading =
        body_open(&c->req->fields, c->body, PROCESSOR_AUTO, &limits, c->txn->arena);
    return state->reading != NULL ? read_on(c) : fail(REASON_MEMORY);
}

/* ---- the stage ------------------------------------------------------------------------------
 */

static struct verdict
judge_answer(struct call *c, enum err (*begin_phase)(struct call *, struct inspect_state *))
{
    const struct waf_conf *conf = c->conf;
    struct waf_state *state = c->state;
    struct verdict verdict;
    if (!conf->response || !state->seclang.begun)
        return pass();
    if (begin_phase(c, &state->seclang) != OK)
        return fail(REASON_MEMORY);
    (void)inspect_go_on(c, &state->seclang, UINT64_MAX, &verdict);
    note_scores(c);
    return verdict;
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
    inspect_finish(c, &state->seclang);
}

/* A head that was refused: the set's rules are asked, and nothing is decided. */
static void evidence(struct call *c)
{
    const struct waf_conf *conf = c->conf;
    struct waf_state *state = c->state;
    struct waf_local *local = c->local;
    struct verdict verdict;
    if (conf->seclang_set == NULL)
        return;
    struct inspect_conf set = inspect_conf_of(conf);
    c->mode = MODE_DETECT;
    if (inspect_begin_head(c, &set, &local->seclang, &state->seclang) != OK)
        return;
    (void)inspect_go_on(c, &state->seclang, UINT64_MAX, &verdict);
    inspect_finish(c, &state->seclang);
}

static bool idle(const void *conf)
{
    const struct waf_conf *waf = conf;
    return waf->plan == NULL && waf->seclang_set == NULL;
}

static bool wants_body(const void *conf)
{
    const struct waf_conf *waf = conf;
    return waf->seclang_set != NULL || (waf->plan != NULL && waf->plan->wants_body);
}

static bool wants_response(const void *conf)
{
    const struct waf_conf *waf = conf;
    return waf->seclang_set != NULL && waf->response;
}

static bool response_type(const void *conf, struct span media_type)
{
    return wants_response(conf) && inspect_type(media_type);
}

static uint64_t response_limit(const void *conf)
{
    return ((const struct waf_conf *)conf)->response_limit;
}

static uint64_t body_limit(const void *conf)
{
    return ((const struct waf_conf *)conf)->body_limit;
}

static enum err attach(void *local, const void *conf, struct worker *worker)
{
    const struct waf_conf *waf = conf;
    struct waf_local *own = local;
    (void)worker;
    if (waf->plan != NULL)
        TRY(scan_attach(&own->own, waf->plan));
    return waf->seclang_set != NULL ? sec_local_attach(&own->seclang, waf->seclang_set->plan)
                                    : OK;
}

static void detach(void *local)
{
    struct waf_local *own = local;
    scan_detach(&own->own);
    sec_local_detach(&own->seclang);
}

const struct stage_type waf_stage = {
    .name = "waf",
    .summary = "Looks for attacks in the request: own rules, and a pack of common ones.",
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
