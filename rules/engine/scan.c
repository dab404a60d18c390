/*
 * Scanning: all values that a phase shows, each of them once; and a value's forms on demand.
 */
#include "rules/engine/run.h"

#include <stdlib.h>

/* What a value is after some form, remembered. */
struct form_memo {
    struct form_memo *next;
    struct span text;
    uint16_t form;
};

/* ---- forms on demand ------------------------------------------------------------------------
 */

static struct span remembered(const struct sec_value *value, unsigned form)
{
    const struct form_memo *memo = value->forms;
    while (memo != NULL && memo->form != form)
        memo = memo->next;
    return memo != NULL ? memo->text : (struct span){ 0 };
}

static bool remember(struct sec_run *run, struct sec_value *value, unsigned form,
                     struct span text)
{
    struct form_memo *memo = arena_new(run->arena, struct form_memo);
    if (memo == NULL)
        return false;
    *memo = (struct form_memo){ .next = value->forms, .text = text, .form = (uint16_t)form };
    value->forms = memo;
    return true;
}

struct span sec_form_text(struct sec_run *run, struct sec_value *value, unsigned form)
{
    const struct plan_form *row = &run->plan->forms[form];
    struct span none = { 0 };
    struct span text = value->text.p != NULL ? value->text : SPAN("");
    if (form == 0)
        return text;
    if (!value->has_traits) {
        value->traits = traits_of(text);
        value->has_traits = true;
    }
    if ((value->traits & row->triggers) == 0)
        return text;
    struct span known = remembered(value, form);
    if (known.p != NULL)
        return known;
    struct span parent = sec_form_text(run, value, row->parent);
    if (parent.p == NULL)
        return none;
    char *room = arena_alloc(run->arena, transform_room(row->step, parent.len));
    if (room == NULL)
        return none;
    run->work += parent.len + TRANSFORM_WORK;
    text = row->step->apply(parent, room);
    if (text.p == NULL)
        text = SPAN("");
    return remember(run, value, form, text) ? text : none;
}

/* ---- values that were looked at before ------------------------------------------------------
 */

/*
 * Short values by class, and what was found in them: names of fields, methods, hosts and what
 * browsers send with every request come again and again. An entry is used only for the very
 * same bytes, and stands for the same finds and the same counted work, so that no decision
 * depends on what came before.
 *
 * Most values never come again: of one that is new there is only a mark, in a table that stays
 * in the cache, and when it comes once more, and no other new one of its row has between, an
 * entry is made. So what comes often keeps its own.
 */
enum { KNOWN_ENTRIES = 1024, KNOWN_BYTES = 160, KNOWN_FINDS_MAX = 8, KNOWN_LINE = 64 };

struct sec_known { /* three lines of the cache; a short text is in the first */
    uint32_t work, traits;
    uint16_t group; /* 0: empty */
    uint8_t len;
    bool together; /* work is counted otherwise then */
    uint8_t find_count;
    uint16_t finds[KNOWN_FINDS_MAX]; /* bits of links */
    char text[KNOWN_BYTES];
};
_Static_assert(sizeof(struct sec_known) % KNOWN_LINE == 0, "entries begin where lines do");

struct sec_known_values {
    struct sec_known entries[KNOWN_ENTRIES];
    struct {
        uint16_t entry, last; /* marks of the value that has it, and of one that might */
    } marks[KNOWN_ENTRIES];
};
_Static_assert(sizeof(struct sec_known_values) % KNOWN_LINE == 0, "it is allocated in lines");

static struct sec_known_values *known_new(void)
{
    struct sec_known_values *known = aligned_alloc(KNOWN_LINE, sizeof(*known));
    if (known != NULL)
        memset(known, 0, sizeof(*known));
    return known;
}

/* Words overlap at the end. */
static uint64_t hash_of(uint64_t hash, struct span text)
{
    uint64_t word = 0;
    for (size_t i = 0; i + sizeof(word) < text.len; i += sizeof(word)) {
        memcpy(&word, text.p + i, sizeof(word));
        hash = (hash ^ word) * UINT64_C(0xff51afd7ed558ccd);
        hash ^= hash >> 32;
    }
    if (text.len >= sizeof(word)) {
        memcpy(&word, text.p + text.len - sizeof(word), sizeof(word));
    } else if (text.len >= sizeof(uint32_t)) {
        uint32_t first, last;
        memcpy(&first, text.p, sizeof(first));
        memcpy(&last, text.p + text.len - sizeof(last), sizeof(last));
        word = (uint64_t)first << 32 | last;
    } else if (text.len > 0) {
        word = (uint64_t)(uint8_t)text.p[0] << 16 |
               (uint64_t)(uint8_t)text.p[text.len / 2] << 8 | (uint8_t)text.p[text.len - 1];
    }
    return (hash ^ word) * UINT64_C(0xc4ceb9fe1a85ec53);
}

/* NULL: it is new, or not to be remembered. */
static struct sec_known *known_entry(struct sec_local *local, unsigned group, struct span text)
{
    if (local->known == NULL)
        local->known = known_new();
    if (local->known == NULL || text.len > KNOWN_BYTES || text.len == 0)
        return NULL;
    uint64_t hash = hash_of((text.len + 1) * UINT64_C(0x9e3779b97f4a7c15) ^ group, text);
    size_t at = hash >> 32 & (KNOWN_ENTRIES - 1);
    uint16_t mark = (uint16_t)(hash >> 48), last = local->known->marks[at].last;
    local->known->marks[at].last = mark;
    if (local->known->marks[at].entry != mark) {
        if (last != mark)
            return NULL;
        local->known->marks[at].entry = mark;
    }
    return &local->known->entries[at];
}

static bool is_known(const struct sec_run *run, const struct sec_known *entry,
                     const struct sec_value *value)
{
    return entry->group == value->group && entry->len == value->text.len &&
           entry->together == run->together &&
           memcmp(entry->text, value->text.p, entry->len) == 0;
}

static enum sec_end recall(struct sec_run *run, const struct sec_known *entry,
                           struct sec_value *value)
{
    run->work += entry->work;
    value->traits = entry->traits;
    value->has_traits = true;
    for (unsigned i = 0; i < entry->find_count; i++) {
        if (!sec_note_find(run, value, entry->finds[i]))
            return SEC_MEMORY;
    }
    return SEC_DONE;
}

void sec_known_note(const struct sec_run *run, struct sec_known *entry,
                    const struct sec_value *value, uint64_t work)
{
    const struct sec_plan *plan = run->plan;
    unsigned count = 0, bit = value->hits != NULL ? 0 : plan->bit_count;
    uint16_t finds[KNOWN_FINDS_MAX];
    for (;; bit++) {
        bit = value->hits != NULL ? bit_next(value->hits, bit, plan->bit_count) : bit;
        if (bit >= plan->bit_count)
            break;
        if (count == KNOWN_FINDS_MAX)
            return;
        finds[count++] = (uint16_t)bit;
    }
    if (work > UINT32_MAX)
        return;
    entry->group = value->group;
    entry->len = (uint8_t)value->text.len;
    entry->together = run->together;
    entry->work = (uint32_t)work;
    entry->traits = value->traits;
    entry->find_count = (uint8_t)count;
    memcpy(entry->finds, finds, count * sizeof(*finds));
    memcpy(entry->text, value->text.p, value->text.len);
}

/* Short values wait for others; a long one waits for none. */
static enum sec_end look_through(struct sec_run *run, struct sec_value *value, unsigned class,
                                 bool kept)
{
    struct sec_known *entry = kept ? known_entry(run->local, value->group, value->text) : NULL;
    if (entry != NULL && is_known(run, entry, value))
        return recall(run, entry, value);
    enum sec_end end = SEC_AWAY;
    if (sec_batch_takes(run, value))
        end = sec_batch_add(run, value, class, entry);
    if (end != SEC_AWAY)
        return end;
    end = sec_batch_end(run);
    uint64_t before = run->work;
    if (end == SEC_DONE)
        end = sec_look_through(run, value, &run->plan->classes[class]);
    if (entry != NULL && end == SEC_DONE)
        sec_known_note(run, entry, value, run->work - before);
    return end;
}

/* ---- all values -----------------------------------------------------------------------------
 */

/* Index and one more; 0: the name is no different from others. */
static unsigned named_row(const struct sec_plan *plan, enum variable var, struct span name)
{
    unsigned row =
        bit_has(plan->named_vars, var) ? plan->named_first[plan_name_bucket(name)] : 0;
    while (row != 0 &&
           (plan->named[row - 1].var != var || plan->named[row - 1].name.len != name.len ||
            !span_equal_nocase(plan->named[row - 1].name, name)))
        row = plan->named[row - 1].next;
    return row;
}

/* Wakes what waits for such a value. Its class; 0: nothing is looked for. `*kept`: what is
 * found in it may be remembered. */
static unsigned meet(struct sec_run *run, enum variable var, struct sec_value *value,
                     bool *kept)
{
    const struct sec_plan *plan = run->plan;
    unsigned row = named_row(plan, var, value->key);
    const struct plan_named *named = row != 0 ? &plan->named[row - 1] : NULL;
    value->group = named != NULL ? named->group : plan->group_of[var];
    *kept = named != NULL ? named->kept : bit_has(plan->kept_vars, var);
    if (named != NULL) {
        bit_add(run->seen, row - 1);
        sec_wake(run, plan_event_named(plan, row - 1));
    }
    const struct plan_group *group = &plan->groups[value->group];
    return group->idle ? 0 : group->class;
}

/* Short values take longer than their bytes tell: about as long as so much counted work,
 * measured. It is not counted, and says only when others have their turn. */
enum { MET_WORK = 96 };

static enum sec_end scan_values(struct sec_run *run)
{
    const struct sec_plan *plan = run->plan;
    uint64_t looked = 0;
    for (; run->at_var < plan->scanned_count; run->at_var++) {
        enum variable var = plan->scanned[run->at_var];
        const struct sec_list *list = &run->values.lists[var];
        uint32_t *passed = &run->passed[run->at_var];
        if (*passed < list->count && bit_has(plan->waking_vars, var))
            sec_wake(run, plan_event_var(plan, var));
        while (*passed < list->count) {
            struct sec_value *value = list->items[*passed];
            if (run->work > run->budget)
                return SEC_SPENT;
            if (run->work > run->slice_end || looked > run->slice_end - run->work)
                return SEC_PAUSE;
            looked += MET_WORK;
            bool kept = false;
            unsigned class = value->scanned ? 0 : meet(run, var, value, &kept);
            enum sec_end end = SEC_DONE;
            if (class != 0)
                end = look_through(run, value, class, kept);
            if (end != SEC_DONE)
                return end;
            value->scanned = true;
            ++*passed;
        }
    }
    return SEC_DONE;
}

/* None is left waiting when others have their turn. */
enum sec_end sec_scan(struct sec_run *run)
{
    sec_batch_drop(run->local);
    enum sec_end end = scan_values(run);
    if (end == SEC_DONE || end == SEC_PAUSE) {
        enum sec_end rest = sec_batch_end(run);
        return rest == SEC_DONE ? end : rest;
    }
    sec_batch_drop(run->local);
    return end;
}
