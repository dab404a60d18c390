/*
 * A phase of the program, in file order.
 *
 * Counted work: a byte scanned is 1, and everything else is given in the bytes that Hyperscan
 * could have scanned in the same time.
 */
#include "rules/engine/run.h"

#include <hs/hs_runtime.h>
#include <stdlib.h>

enum { WORK_ENTRY = 16 };

/* ---- per worker -----------------------------------------------------------------------------
 */

enum err sec_local_attach(struct sec_local *local, const struct sec_plan *plan)
{
    *local = (struct sec_local){ 0 };
    if (plan->scratch != NULL && hs_clone_scratch(plan->scratch, &local->scratch) != HS_SUCCESS)
        return ERR_MEMORY;
    return regex_attach(&local->regex);
}

void sec_local_detach(struct sec_local *local)
{
    hs_free_scratch(local->scratch);
    regex_detach(&local->regex);
    for (unsigned i = 0; i < RUN_PATTERNS_MAX; i++)
        regex_free(local->patterns.items[i]);
    free(local->room.p);
    for (unsigned i = 0; i < RUN_ROOMS_MAX; i++)
        free(local->rooms[i].p);
    free(local->known);
    sec_batch_free(local->batch);
    *local = (struct sec_local){ 0 };
}

/* ---- a transaction --------------------------------------------------------------------------
 */

enum err sec_run_init(struct sec_run *run, const struct sec_plan *plan, struct sec_local *local,
                      struct arena *arena)
{
    memset(run, 0, sizeof(*run));
    run->plan = plan;
    run->local = local;
    run->arena = arena;
    run->engine = run->ceiling = ENGINE_ON;
    run->highest_severity = 255;
    run->budget = UINT64_MAX;
    run->deferred = plan->deferred_count > 0;
    run->matches_tail = &run->matches;
    run->matched_tail = &run->matched;
    sec_values_init(&run->values, arena);
    run->slots = arena_alloc(arena, plan->slot_count * sizeof(*run->slots));
    run->slot_order = arena_alloc(arena, plan->slot_count * sizeof(*run->slot_order));
    run->passed = arena_array(arena, uint32_t, plan->scanned_count);
    run->seen = arena_array(arena, uint64_t, (plan->named_count + 63) / 64);
    if (run->slots == NULL || run->slot_order == NULL || run->passed == NULL ||
        run->seen == NULL)
        return ERR_MEMORY;
    if (plan->slot_count > 0)
        memcpy(run->slots, plan->initial, plan->slot_count * sizeof(*run->slots));
    if (plan->slot_count > 0)
        memcpy(run->slot_order, plan->slot_order, plan->slot_count * sizeof(*run->slot_order));
    run->order = plan->slot_count;
    for (unsigned phase = 1; phase < SEC_PHASES; phase++) {
        const struct plan_phase *list = &plan->phases[phase];
        run->live[phase] = arena_alloc(arena, list->words * sizeof(uint64_t));
        if (run->live[phase] == NULL)
            return ERR_MEMORY;
        if (list->words > 0)
            memcpy(run->live[phase], list->always, list->words * sizeof(uint64_t));
    }
    return OK;
}

struct span sec_run_tx(const struct sec_run *run, struct span name)
{
    return sec_tx_get(run, name);
}

/* ---- chains ---------------------------------------------------------------------------------
 */

static void forget_matched(struct sec_run *run)
{
    run->matched = NULL;
    run->matched_tail = &run->matched;
}

/* 1: every link matched; 0: one did not; -1: out of memory; MATCH_STANDS: call again. */
static int run_chain(struct sec_run *run, const struct sec_link *head)
{
    int matched = 1;
    const struct sec_link *link = run->stand.link != NULL ? run->stand.link : head;
    run->running = head->rule->head;
    for (; link != NULL && matched == 1; link = link->next) {
        matched = sec_match_link(run, link);
        if (matched == MATCH_STANDS)
            return matched;
        if (run->intercepted != NULL)
            break;
    }
    forget_matched(run);
    return matched;
}

/* As if it had been run in its place: what it looks at is still the same (seen.c), and of what
 * goes on now it changes nothing. */
void sec_run_deferred(struct sec_run *run)
{
    const struct sec_rule *running = run->running;
    struct sec_removal *removed_targets = run->removed_targets;
    struct sec_matched *matched = run->matched, **tail = run->matched_tail,
                       *last = run->last_matched;
    const bool may_stand = run->may_stand;
    run->may_stand = false;
    run->deferred = false;
    run->removed_targets = NULL;
    run->matched = NULL;
    run->matched_tail = &run->matched;
    for (unsigned i = 0; i < run->plan->deferred_count && !run->spent; i++) {
        if (run_chain(run, run->plan->deferred[i]) < 0)
            run->spent = true;
    }
    run->may_stand = may_stand;
    run->running = running;
    run->removed_targets = removed_targets;
    run->matched = matched;
    run->matched_tail = matched != NULL ? tail : &run->matched;
    run->last_matched = last;
}

static bool over(const struct sec_run *run)
{
    return run->intercepted != NULL || run->allow_phase || run->allow_request ||
           run->allow_all || run->spent;
}

static bool removed(const struct sec_run *run, const struct sec_link *head)
{
    return run->removed_rules != NULL && bit_has(run->removed_rules, head->ordinal);
}

/* Whether the entry is to be run; one that gave way has begun already. */
static bool is_run(struct sec_run *run, const struct sec_entry *entry)
{
    if (run->stand.link != NULL)
        return true;
    if (entry->absent != 0 && bit_has(run->seen, entry->absent - 1U))
        return false;
    run->work += WORK_ENTRY;
    run->counts.entries++;
    return run->engine != ENGINE_OFF && !removed(run, entry->head);
}

static enum sec_end run_entries(struct sec_run *run)
{
    const struct plan_phase *list = &run->plan->phases[run->phase];
    const uint64_t *live = run->live[run->phase];
    while (!over(run)) {
        unsigned at = bit_next(live, run->at_entry, list->count);
        if (at >= list->count)
            break;
        const struct sec_entry *entry = &list->entries[at];
        run->at_entry = at + 1;
        if (!is_run(run, entry))
            continue;
        run->may_stand = true;
        int matched = run_chain(run, entry->head);
        run->may_stand = false;
        if (matched < 0)
            return SEC_MEMORY;
        if (matched == MATCH_STANDS) {
            run->at_entry = at;
            return SEC_PAUSE;
        }
        if (matched > 0 && entry->skip_to > run->at_entry)
            run->at_entry = entry->skip_to;
        if (run->work > run->budget)
            run->spent = true;
        else if (run->work > run->slice_end)
            return SEC_PAUSE;
    }
    return run->spent ? SEC_SPENT : SEC_DONE;
}

/* ---- a phase --------------------------------------------------------------------------------
 */

/* Few values are looked at one by one: a batch has to be begun and ended. */
static bool are_many(const struct sec_run *run)
{
    enum { MANY = 16 };
    return run->values.count - run->values_seen >= MANY;
}

static void begin(struct sec_run *run, enum sec_phase phase)
{
    run->phase = phase;
    run->scanning = run->values.count > run->values_seen;
    run->together = are_many(run);
    run->at_var = run->at_entry = 0;
    run->stand.link = NULL;
    sec_look_end(run);
    run->allow_phase = false;
    if (phase >= SEC_RESPONSE_HEADERS)
        run->allow_request = false;
    forget_matched(run);
}

enum sec_end sec_run_phase(struct sec_run *run, enum sec_phase phase, uint64_t slice)
{
    if (run->phase != phase)
        begin(run, phase);
    const struct plan_phase *list = &run->plan->phases[phase];
    /* What interrupted a request, or allowed all of it, leaves only the logging phase, and what
     * SecLang does not decide. */
    bool decided_before = run->intercepted != NULL || (run->allow_all && list->own_count == 0);
    if (run->own.ended || (decided_before && phase != SEC_LOGGING))
        return SEC_DONE;
    run->slice_end = slice > UINT64_MAX - run->work ? UINT64_MAX : run->work + slice;
    if (run->scanning) {
        enum sec_end end = list->count > 0 ? sec_scan(run) : SEC_DONE;
        if (end != SEC_DONE)
            return end;
        run->scanning = false;
        if (list->count > 0)
            run->values_seen = run->values.count;
    }
    if (run->at_entry < list->own_count) {
        enum sec_end end = sec_own_run(run);
        if (end != SEC_DONE || run->own.ended)
            return end;
    }
    /* The logging phase runs whatever decided before, and decides nothing. */
    const struct sec_rule *decided = run->intercepted;
    if (phase == SEC_LOGGING) {
        run->intercepted = NULL;
        run->allow_all = run->allow_request = false;
    }
    enum sec_end end = run_entries(run);
    if (phase == SEC_LOGGING)
        run->intercepted = decided;
    return end;
}
