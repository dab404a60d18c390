/*
 * Rules of the configuration: the first entries of each phase, in their order.
 *
 * Each fires once in a transaction. The first that refuses stands; those behind it are only
 * recorded. At the end of the phase the sum of the scores is compared with the threshold. What
 * is refused where that is enforced, and what is allowed in any case, no SecLang rule sees.
 */
#include "rules/engine/run.h"

enum { WORK_CONDITION = 64 };

bool sec_own_holds(struct sec_run *run, const struct own_rule *rule)
{
    struct sec_own *own = &run->own;
    if (rule->when == NULL || own->known)
        return rule->when == NULL || own->holds;
    run->work += WORK_CONDITION;
    own->known = true;
    own->holds = expr_eval(rule->when, &own->ask->source);
    /* Undecided is not "no": the budget is called spent, and the stage's on_error decides. */
    if (*own->ask->undecided)
        run->spent = true;
    own->holds = own->holds && !run->spent;
    return own->holds;
}

/* ---- what follows ---------------------------------------------------------------------------
 */

static bool add_tag(struct sec_run *run, struct span name)
{
    struct span *tags = &run->own.tags;
    struct text text = text_growing(run->arena, tags->len + 1 + name.len);
    text_add(&text, *tags);
    if (tags->len != 0)
        text_char(&text, ',');
    text_add(&text, name);
    *tags = text_span(&text);
    return !text.overflow;
}

bool sec_own_fire(struct sec_run *run, const struct own_rule *rule)
{
    struct sec_own *own = &run->own;
    own->settled = true;
    bit_add(own->fired, rule->index);
    if (own->refused)
        return true;
    switch (rule->action) {
    case RULE_BLOCK:
        own->refused = true;
        own->by = rule;
        return true;
    case RULE_SCORE:
        *(rule->answers ? &own->out_score : &own->score) += rule->score;
        return true;
    case RULE_ALLOW:
        own->allowed = own->ended = true;
        return true;
    case RULE_TAG:
        return add_tag(run, rule->name);
    case RULE_LOG:
        return true;
    }
    return true;
}

static void sum_up(struct sec_run *run)
{
    struct sec_own *own = &run->own;
    const struct own_threshold *threshold = &run->plan->program->own->threshold;
    bool over = run->phase < SEC_RESPONSE_HEADERS ? own->score >= threshold->inbound
                                                  : own->out_score >= threshold->outbound;
    if (!own->allowed && over)
        own->refused = true;
    own->ended = own->ended || (own->refused && run->ceiling == ENGINE_ON);
}

/* ---- in order -------------------------------------------------------------------------------
 */

static bool begin(struct sec_run *run)
{
    size_t words = (run->plan->program->own->count + 63) / 64;
    if (run->own.fired == NULL)
        run->own.fired = arena_array(run->arena, uint64_t, words);
    return run->own.fired != NULL;
}

/* 1, 0, or -1: out of memory. */
static int run_rule(struct sec_run *run, const struct sec_link *head)
{
    if (bit_has(run->own.fired, head->rule->own->index))
        return 0;
    run->own.settled = run->own.known = run->own.holds = false;
    run->running = head->rule;
    int matched = sec_match_link(run, head);
    run->own.settled = false;
    run->matched = NULL;
    run->matched_tail = &run->matched;
    return matched;
}

enum sec_end sec_own_run(struct sec_run *run)
{
    const struct plan_phase *list = &run->plan->phases[run->phase];
    const uint64_t *live = run->live[run->phase];
    if (run->own.ask == NULL) {
        run->at_entry = list->own_count;
        return SEC_DONE;
    }
    if (!begin(run))
        return SEC_MEMORY;
    while (!run->own.ended) {
        unsigned at = bit_next(live, run->at_entry, list->own_count);
        run->at_entry = at < list->own_count ? at + 1 : list->own_count;
        if (at >= list->own_count) /* a SecLang rule behind them */
            break;
        run->counts.entries++;
        if (run_rule(run, list->entries[at].head) < 0)
            return SEC_MEMORY;
        if (run->spent || run->work > run->budget) {
            run->spent = true;
            return SEC_SPENT;
        }
        if (run->work > run->slice_end && run->at_entry < list->own_count)
            return SEC_PAUSE;
    }
    sum_up(run);
    return SEC_DONE;
}
