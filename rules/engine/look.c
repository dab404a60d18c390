/*
 * One value looked at: its different forms are made, its checks are asked, and each distinct
 * text is scanned once, for what its class looks for and its bytes allow.
 */
#include "rules/engine/hand.h"
#include "rules/engine/run.h"

#include <hs/hs_runtime.h>
#include <limits.h>
#include <stdlib.h>

enum {
    WORK_SCAN = 64, /* of one call of Hyperscan */
    WORK_FIND = 8,
    DISTINCT_MAX = 255,
    MADE_MAX = 24,
    HAND_BYTES = 8,         /* looked at for one byte in the time that one is scanned */
    STEP_BYTES = 4,         /* a transformation takes so many in the time of one scanned */
    LONG_BYTES = 8 * 1024,  /* of a value during which others may have their turn */
    AWAY_BYTES = 16 * 1024, /* of one whose single steps would stall others */
};
_Static_assert((int)PLAN_FORMS_MAX <= (int)DISTINCT_MAX,
               "the last index says that there is none");

/* What a step made of one of the texts: chains share steps. */
struct made {
    struct span (*apply)(struct span in, char *room);
    uint8_t from, to;
};

/* The different texts that the forms of a value are. */
struct distinct {
    struct span texts[DISTINCT_MAX];
    uint32_t traits[DISTINCT_MAX];
    uint8_t index_of[PLAN_FORMS_MAX];
    struct made made[MADE_MAX];
    unsigned count, made_count;
    char *room;
    size_t used; /* of the room */
};

/*
 * How far one value is looked at: its forms are made, its checks are asked, and its texts are
 * scanned. A long one gives way between two steps of that.
 */
struct look {
    struct sec_run *run;
    struct sec_local *local;
    const struct scan_class *class;
    struct sec_value *value;
    struct span whole;       /* the value as it came */
    struct distinct *d;      /* NULL: all forms are the same bytes */
    const uint8_t *index_of; /* which distinct text each form is */
    const struct scan_part *asked;
    uint64_t marks;                              /* of the text that is scanned */
    uint32_t open;                               /* parts for which a text was found in it */
    unsigned form, check, find, text, own, part; /* where it stands */
    unsigned said_of;                            /* the text that the check was asked about */
    bool said;
    bool gives_way, memory;
    const bool *stop; /* atomic: nobody wants to know any more. NULL: somebody will */
};

static bool must_give_way(const struct look *look)
{
    return (look->gives_way && look->run->work > look->run->slice_end) ||
           (look->stop != NULL && __atomic_load_n(look->stop, __ATOMIC_RELAXED));
}

/* What comes before each step. */
static enum sec_end may_go_on(const struct look *look)
{
    if (look->run->work > look->run->budget)
        return SEC_SPENT;
    return must_give_way(look) ? SEC_PAUSE : SEC_DONE;
}

/* ---- finds ----------------------------------------------------------------------------------
 */

static void bring_to_life(struct sec_run *run, unsigned bit)
{
    uint32_t entry = run->plan->entry_of_bit[bit];
    if (entry != UINT32_MAX)
        bit_add(run->live[run->plan->phase_of_bit[bit]], entry);
}

/* A class's links need not all look at the value. */
bool sec_note_find(struct sec_run *run, struct sec_value *value, unsigned bit)
{
    if (!bit_has(run->plan->groups[value->group].bits, bit))
        return true;
    if (value->hits == NULL)
        value->hits = arena_array(run->arena, uint64_t, run->plan->bit_words);
    if (value->hits == NULL)
        return false;
    bit_add(value->hits, bit);
    bring_to_life(run, bit);
    return true;
}

static bool note_find(struct look *look, const struct plan_find *find)
{
    look->memory = !sec_note_find(look->run, look->value, find->bit);
    return !look->memory;
}

/* Non-zero ends the scan. */
static int on_find(unsigned id, unsigned long long from, unsigned long long to, unsigned flags,
                   void *context)
{
    struct look *look = context;
    const struct sec_plan *plan = look->run->plan;
    uint32_t index = look->asked->ids[id];
    (void)from, (void)to, (void)flags;

    look->run->work += WORK_FIND;
    if ((index & PART_OPENS) != 0) {
        look->open |= index;
        return 0;
    }
    const struct plan_pattern *pattern = &plan->patterns[index];
    if ((pattern->at_start && look->value->goes_back) ||
        (pattern->at_end && look->value->goes_on))
        return 0;
    for (unsigned i = 0; i < pattern->find_count; i++) {
        const struct plan_find *find = &pattern->finds[i];
        if (look->index_of[find->form] == look->text && !note_find(look, find))
            return 1;
    }
    return 0;
}

static enum sec_end look_by_hand(struct look *look, const struct scan_part *part,
                                 struct span text)
{
    struct sec_run *run = look->run;
    run->work += part->usual != NULL ? text.len / USUAL_BYTES + 1
                                     : (text.len / HAND_BYTES + 1) * part->id_count;
    look->asked = part;
    uint32_t found = hand_found(part, text);
    for (; found != 0 && !look->memory; found &= found - 1)
        (void)on_find((unsigned)__builtin_ctz(found), 0, 0, 0, look);
    if (look->memory)
        return SEC_MEMORY;
    return run->work > run->budget ? SEC_SPENT : SEC_DONE;
}

static enum sec_end ask_part(struct look *look, const struct scan_part *part, struct span text)
{
    struct sec_run *run = look->run;
    if ((part->bytes && part->few != NULL) || part->usual != NULL)
        return look_by_hand(look, part, text);
    run->counts.scans++;
    run->counts.scanned_bytes += text.len;
    run->work += text.len + WORK_SCAN;
    look->asked = part;
    hs_error_t err =
        hs_scan(part->db, text.p, (unsigned)text.len, 0, look->local->scratch, on_find, look);
    if (look->memory)
        return SEC_MEMORY;
    INVARIANT(err == HS_SUCCESS);
    return run->work > run->budget ? SEC_SPENT : SEC_DONE;
}

static enum sec_end ask_class(struct look *look, const struct scan_class *class,
                              struct span text)
{
    if (look->part == 0) {
        look->marks = marks_of(look->run->plan->marks, text);
        look->open = 0;
    }
    enum sec_end end = SEC_DONE;
    for (; look->part < class->part_count; look->part++) {
        const struct scan_part *part = &class->parts[look->part];
        if (!scan_part_is_asked(part, look->part, look->open, look->marks, text.len))
            continue;
        if (must_give_way(look))
            return SEC_PAUSE;
        end = ask_part(look, part, text);
        if (end != SEC_DONE)
            return end;
    }
    look->part = 0;
    return SEC_DONE;
}

/* ---- checks ---------------------------------------------------------------------------------
 */

/* None of what only links of another class look at. */
static uint32_t traits_at(const struct look *look, unsigned text)
{
    if (text == DISTINCT_MAX)
        return 0;
    return look->d != NULL ? look->d->traits[text] : look->value->traits;
}

/* The check once for each different text that its links see. */
static enum sec_end ask_check(struct look *look, const struct plan_pattern *check)
{
    for (; look->find < check->find_count; look->find++) {
        const struct plan_find *find = &check->finds[look->find];
        unsigned text = look->index_of[find->form];
        if ((traits_at(look, text) & check->check->traits) == 0)
            continue;
        if (text != look->said_of) {
            if (must_give_way(look))
                return SEC_PAUSE;
            struct span asked = look->d != NULL ? look->d->texts[text] : look->whole;
            look->said = sec_check_says_yes(look->run, look->local, check->check, asked);
            look->said_of = text;
        }
        if (look->said && !note_find(look, find))
            return SEC_MEMORY;
    }
    look->find = 0;
    return SEC_DONE;
}

static enum sec_end ask_checks(struct look *look)
{
    const struct sec_plan *plan = look->run->plan;
    const struct plan_group *group = &plan->groups[look->value->group];
    for (; look->check < group->check_count; look->check++) {
        if (look->find == 0)
            look->said_of = UINT_MAX;
        enum sec_end end = ask_check(look, group->checks[look->check].pattern);
        if (end != SEC_DONE)
            return end;
    }
    return SEC_DONE;
}

/* ---- distinct forms -------------------------------------------------------------------------
 */

static unsigned distinct_index(struct distinct *d, struct span text)
{
    for (unsigned i = 0; i < d->count; i++) {
        if (d->texts[i].len == text.len &&
            (d->texts[i].p == text.p || memcmp(d->texts[i].p, text.p, text.len) == 0))
            return i;
    }
    d->texts[d->count] = text;
    d->traits[d->count] = traits_of(text);
    return d->count++;
}

static unsigned make(struct look *look, const struct transform *step, unsigned from)
{
    struct distinct *d = look->d;
    for (unsigned i = 0; i < d->made_count; i++) {
        if (d->made[i].apply == step->apply && d->made[i].from == from)
            return d->made[i].to;
    }
    struct span in = d->texts[from];
    char *room = d->room + d->used;
    struct span out = step->apply(in, room);
    look->run->work += in.len / STEP_BYTES + TRANSFORM_WORK;
    if (out.p == NULL)
        out = SPAN("");
    if (out.p == room)
        d->used += (out.len + 15) & ~(size_t)15;
    unsigned to = distinct_index(d, out);
    if (d->made_count < MADE_MAX)
        d->made[d->made_count++] = (struct made){ step->apply, (uint8_t)from, (uint8_t)to };
    return to;
}

static enum sec_end make_forms(struct look *look)
{
    const struct scan_class *class = look->class;
    struct distinct *d = look->d;
    for (; look->form < class->form_count; look->form++) {
        unsigned at = class->forms[look->form];
        const struct plan_form *form = &look->run->plan->forms[at];
        unsigned index = d->index_of[form->parent];
        if ((d->traits[index] & form->set_off_by) != 0) {
            enum sec_end end = may_go_on(look);
            if (end != SEC_DONE)
                return end;
            index = make(look, form->step, index);
        }
        d->index_of[at] = (uint8_t)index;
    }
    return look->run->work > look->run->budget ? SEC_SPENT : SEC_DONE;
}

/* A text that only a few forms are, is scanned for their patterns alone. */
static enum sec_end scan_distinct(struct look *look, struct span text)
{
    enum { FEW = 3 };
    const struct scan_class *class = look->class;
    unsigned own[FEW], count = 0;
    bool few = look->text > 0;
    for (unsigned i = 0; i < class->looked_count && few; i++) {
        if (look->index_of[class->looked[i]] != look->text)
            continue;
        few = class->own[i] != 0 && count < FEW;
        if (few)
            own[count++] = class->own[i];
    }
    if (!few)
        return ask_class(look, class, text);
    for (; look->own < count; look->own++) {
        enum sec_end end = ask_class(look, &look->run->plan->classes[own[look->own]], text);
        if (end != SEC_DONE)
            return end;
    }
    look->own = 0;
    return SEC_DONE;
}

static enum sec_end look_on(struct look *look)
{
    struct distinct *d = look->d;
    enum sec_end end = SEC_DONE;
    if (d != NULL)
        end = make_forms(look);
    if (end == SEC_DONE)
        end = ask_checks(look);
    if (d == NULL)
        return end == SEC_DONE ? ask_class(look, look->class, look->whole) : end;
    for (; end == SEC_DONE && look->text < d->count; look->text += end == SEC_DONE)
        end = scan_distinct(look, d->texts[look->text]);
    return end;
}

/* ---- room for the forms ---------------------------------------------------------------------
 */

#define ROOM_MAX ((size_t)4 << 30)
enum { ROOM_KEPT = 1 << 20 };

size_t sec_forms_bound(const struct scan_class *class, size_t len)
{
    size_t bound;
    if (__builtin_mul_overflow(len, class->room_each, &bound) ||
        __builtin_add_overflow(bound, class->room_least, &bound))
        return SIZE_MAX;
    return bound;
}

bool sec_room_for(struct sec_room *room, size_t size, size_t wanted)
{
    if (size <= room->size)
        return true;
    char *p = malloc(wanted);
    if (p == NULL)
        return false;
    free(room->p);
    room->p = p;
    room->size = wanted;
    return true;
}

static bool room_for(struct sec_room *room, size_t size)
{
    return size <= ROOM_MAX && sec_room_for(room, size, size + size / 2 + 4096);
}

/* A long value's room is not kept for ever. */
static void trim_room(struct sec_room *room)
{
    if (room->size <= ROOM_KEPT)
        return;
    free(room->p);
    room->p = NULL;
    room->size = 0;
}

static void distinct_begin(struct look *look, struct distinct *d, char *room)
{
    d->texts[0] = look->whole;
    d->traits[0] = look->value->traits;
    memset(d->index_of, DISTINCT_MAX, look->run->plan->form_count);
    d->index_of[0] = 0;
    d->count = 1;
    d->made_count = 0;
    d->room = room;
    d->used = 0;
    look->d = d;
    look->index_of = d->index_of;
}

/* ---- a value at one go, or in turns ---------------------------------------------------------
 */

static void look_begin(struct look *look, struct sec_run *run, struct sec_value *value,
                       const struct scan_class *class)
{
    static const uint8_t all_the_same[PLAN_FORMS_MAX];
    *look = (struct look){ .run = run,
                           .local = run->local,
                           .class = class,
                           .value = value,
                           .whole = value->text.p != NULL ? value->text : SPAN(""),
                           .index_of = all_the_same };
    value->traits = traits_of(look->whole);
    value->has_traits = true;
    run->counts.values++;
}

static bool has_distinct(const struct look *look)
{
    return (look->value->traits & look->class->triggers) != 0;
}

static enum sec_end look_at_once(struct sec_run *run, struct sec_value *value,
                                 const struct scan_class *class)
{
    UNCLEARED struct distinct d;
    struct look look;
    look_begin(&look, run, value, class);
    run->counts.distinct++;
    if (!has_distinct(&look))
        return look_on(&look);
    struct sec_room *room = &run->local->room;
    if (!room_for(room, sec_forms_bound(class, value->text.len)))
        return SEC_MEMORY;
    distinct_begin(&look, &d, room->p);
    enum sec_end end = look_on(&look);
    run->counts.distinct += d.count - 1;
    trim_room(room);
    return end;
}

/* A long value that is looked at in turns. The rooms of a worker are few: all of them together
 * bound what values under way take, and who finds none free is looked at in one go. */
struct sec_turns {
    struct look look;
    struct distinct d;
    struct sec_room *room;
};

static void give_back(void *of)
{
    struct sec_turns *turns = of;
    if (turns->room == NULL)
        return;
    trim_room(turns->room);
    turns->room->lent = false;
    turns->room = NULL;
}

static struct sec_room *free_room(struct sec_local *local)
{
    for (unsigned i = 0; i < RUN_ROOMS_MAX; i++) {
        if (!local->rooms[i].lent)
            return &local->rooms[i];
    }
    return NULL;
}

/* NULL: it is looked at in one go. */
static struct sec_turns *turns_begin(struct sec_run *run, struct sec_value *value,
                                     const struct scan_class *class)
{
    struct sec_room *room = free_room(run->local);
    if (room == NULL || !room_for(room, sec_forms_bound(class, value->text.len)))
        return NULL;
    struct sec_turns *turns = arena_alloc(run->arena, sizeof(*turns));
    if (turns == NULL)
        return NULL;
    turns->room = room;
    if (!arena_defer(run->arena, give_back, turns))
        return NULL;
    room->lent = true;
    look_begin(&turns->look, run, value, class);
    turns->look.gives_way = true;
    run->counts.distinct++;
    if (has_distinct(&turns->look))
        distinct_begin(&turns->look, &turns->d, room->p);
    return turns;
}

void sec_look_end(struct sec_run *run)
{
    if (run->turns != NULL)
        give_back(run->turns);
    run->turns = NULL;
    run->away = NULL;
}

/* ---- a value elsewhere ----------------------------------------------------------------------
 */

/*
 * Everything that it works on is its own: the transaction may go at any time. Its run has only
 * what looking needs, and nothing comes from an arena.
 */
struct sec_away {
    struct sec_run run;
    struct sec_value value;
    struct look look;
    struct distinct d;
    struct sec_room text, room;
    uint64_t *bits; /* memory of value.hits and run.live */
    size_t bit_bytes;
    enum sec_end end; /* SEC_AWAY: not over */
};

struct sec_away *sec_away_new(const struct sec_plan *plan)
{
    size_t words = plan->bit_words;
    for (unsigned phase = 1; phase < SEC_PHASES; phase++)
        words += plan->phases[phase].words;
    struct sec_away *away = calloc(1, sizeof(*away));
    uint64_t *bits = calloc(words, sizeof(*bits));
    if (away == NULL || bits == NULL) {
        free(away);
        free(bits);
        return NULL;
    }
    away->bits = bits;
    away->bit_bytes = words * sizeof(*bits);
    away->run.plan = plan;
    away->value.hits = bits;
    bits += plan->bit_words;
    for (unsigned phase = 1; phase < SEC_PHASES; phase++) {
        away->run.live[phase] = bits;
        bits += plan->phases[phase].words;
    }
    return away;
}

void sec_away_free(struct sec_away *away)
{
    if (away == NULL)
        return;
    free(away->text.p);
    free(away->room.p);
    free(away->bits);
    free(away);
}

void sec_away_look(struct sec_away *away, struct sec_local *local, const bool *stop)
{
    away->look.local = local;
    away->look.stop = stop;
    away->end = look_on(&away->look);
}

/* False: it is looked at here. */
static bool away_begin(struct sec_run *run, const struct sec_value *value,
                       const struct scan_class *class)
{
    struct sec_away *away = run->offered;
    size_t len = value->text.len;
    if (away == NULL || len <= AWAY_BYTES || run->slice_end == UINT64_MAX ||
        !room_for(&away->text, len) || !room_for(&away->room, sec_forms_bound(class, len)))
        return false;
    memset(away->bits, 0, away->bit_bytes);
    memcpy(away->text.p, value->text.p, len);
    away->value.text = span_of(away->text.p, len);
    away->value.goes_back = value->goes_back;
    away->value.goes_on = value->goes_on;
    away->value.group = value->group;
    away->run.work = run->work;
    away->run.budget = run->budget;
    away->run.counts = run->counts;
    away->end = SEC_AWAY;
    look_begin(&away->look, &away->run, &away->value, class);
    away->run.counts.distinct++;
    if (has_distinct(&away->look))
        distinct_begin(&away->look, &away->d, away->room.p);
    run->offered = NULL;
    run->away = away;
    return true;
}

/* What was found elsewhere is taken over. */
static enum sec_end away_end(struct sec_run *run, struct sec_value *value)
{
    struct sec_away *away = run->away;
    const struct sec_plan *plan = run->plan;
    bool any = false;
    INVARIANT(away->end != SEC_AWAY);
    run->away = NULL;
    run->work = away->run.work;
    run->counts = away->run.counts;
    if (away->look.d != NULL)
        run->counts.distinct += away->d.count - 1;
    value->traits = away->value.traits;
    value->has_traits = true;
    for (unsigned i = 0; i < plan->bit_words; i++)
        any = any || away->value.hits[i] != 0;
    if (any) {
        value->hits = arena_array(run->arena, uint64_t, plan->bit_words);
        if (value->hits == NULL)
            return SEC_MEMORY;
        memcpy(value->hits, away->value.hits, plan->bit_words * sizeof(uint64_t));
    }
    for (unsigned phase = 1; phase < SEC_PHASES; phase++) {
        for (unsigned i = 0; i < plan->phases[phase].words; i++)
            run->live[phase][i] |= away->run.live[phase][i];
    }
    trim_room(&away->text);
    trim_room(&away->room);
    return away->end;
}

enum sec_end sec_look_through(struct sec_run *run, struct sec_value *value,
                              const struct scan_class *class)
{
    if (run->away != NULL)
        return away_end(run, value);
    if (run->turns == NULL && value->text.len > LONG_BYTES) {
        if (away_begin(run, value, class))
            return SEC_AWAY;
        run->turns = turns_begin(run, value, class);
    }
    struct sec_turns *turns = run->turns;
    if (turns == NULL)
        return look_at_once(run, value, class);
    enum sec_end end = look_on(&turns->look);
    if (end == SEC_PAUSE)
        return end;
    if (turns->look.d != NULL)
        run->counts.distinct += turns->d.count - 1;
    sec_look_end(run);
    return end;
}
