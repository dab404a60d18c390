/*
 * Scanning: each value's distinct forms, each of them once, and what is found to bits.
 */
#include "rules/engine/run.h"

#include <hs/hs_runtime.h>
#include <limits.h>
#include <stdlib.h>

enum {
    WORK_SCAN = 64, /* of one call of Hyperscan */
    WORK_STEP = 8,  /* of one transformation, besides its bytes */
    WORK_FIND = 8,
};

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
    run->work += parent.len + WORK_STEP;
    text = row->step->apply(parent, room);
    if (text.p == NULL)
        text = SPAN("");
    return remember(run, value, form, text) ? text : none;
}

/* ---- finds ----------------------------------------------------------------------------------
 */

enum { DISTINCT_MAX = 255 };
_Static_assert((int)PLAN_FORMS_MAX <= (int)DISTINCT_MAX,
               "the last index says that there is none");

struct look {
    struct sec_run *run;
    const struct scan_class *class;
    const struct scan_part *part;
    struct sec_value *value;
    const uint8_t *index_of; /* which distinct text each form is */
    unsigned at;             /* the one that is scanned */
    uint32_t open;           /* parts for which a text was found */
    bool memory;
};

static void bring_to_life(struct sec_run *run, unsigned bit)
{
    uint32_t entry = run->plan->entry_of_bit[bit];
    if (entry != UINT32_MAX)
        bit_add(run->live[run->plan->phase_of_bit[bit]], entry);
}

/* False: out of memory. */
static bool note_find(struct look *look, const struct plan_find *find)
{
    struct sec_value *value = look->value;
    if (value->hits == NULL)
        value->hits = arena_array(look->run->arena, uint64_t, look->run->plan->bit_words);
    look->memory = value->hits == NULL;
    if (look->memory)
        return false;
    bit_add(value->hits, find->bit);
    bring_to_life(look->run, find->bit);
    return true;
}

/* Non-zero ends the scan. */
static int on_find(unsigned id, unsigned long long from, unsigned long long to, unsigned flags,
                   void *context)
{
    struct look *look = context;
    const struct sec_plan *plan = look->run->plan;
    uint32_t index = look->part->ids[id];
    (void)from, (void)to, (void)flags;

    look->run->work += WORK_FIND;
    if ((index & PART_OPENS) != 0) {
        look->open |= index;
        return 0;
    }
    const struct plan_pattern *pattern = &plan->patterns[index];
    for (unsigned i = 0; i < pattern->find_count; i++) {
        const struct plan_find *find = &pattern->finds[i];
        if (look->index_of[find->form] == look->at && !note_find(look, find))
            return 1;
    }
    return 0;
}

static enum sec_end look_in(struct look *look, const struct scan_part *part, struct span text)
{
    struct sec_run *run = look->run;
    run->counts.scans++;
    run->counts.scanned_bytes += text.len;
    run->work += text.len + WORK_SCAN;
    look->part = part;
    hs_error_t err =
        hs_scan(part->db, text.p, (unsigned)text.len, 0, run->local->scratch, on_find, look);
    if (look->memory)
        return SEC_MEMORY;
    INVARIANT(err == HS_SUCCESS);
    return run->work > run->budget ? SEC_SPENT : SEC_DONE;
}

static enum sec_end look_at(struct look *look, const struct scan_class *class, struct span text)
{
    enum sec_end end = SEC_DONE;
    uint64_t marks = marks_of(look->run->plan->marks, text);
    look->open = 0;
    for (unsigned i = 0; i < class->part_count && end == SEC_DONE; i++) {
        if (scan_part_is_asked(&class->parts[i], i, look->open, marks, text.len))
            end = look_in(look, &class->parts[i], text);
    }
    return end;
}

/* ---- checks ---------------------------------------------------------------------------------
 */

enum { WORK_CHECK = 64 };

/* An undecided one is a "yes": the rule asks again, and sees it. */
static bool says_yes(struct sec_run *run, const struct sec_operator *op, struct span text)
{
    struct operator_match match = { .captured = { 0 } };
    struct operator_call call = { .prepared = op->prepared,
                                  .value = text,
                                  .argument = op->argument.source,
                                  .regex = &run->local->regex };
    run->counts.operator_calls++;
    run->work += text.len + WORK_CHECK;
    if (op->row->kind == OPERATOR_REGEX)
        return regex_match(&run->local->regex, op->regex, text, NULL) != REGEX_NO;
    return op->row->eval != NULL && op->row->eval(&call, &match);
}

/* Each check once for each different text that its links see. */
static bool check_value(struct look *look, const struct span *texts)
{
    const struct scan_class *class = look->class;
    for (unsigned i = 0; i < class->check_count; i++) {
        const struct plan_pattern *check =
            &look->run->plan->patterns[class->ids[class->id_count + i]];
        unsigned asked = UINT_MAX;
        bool yes = false;
        for (unsigned j = 0; j < check->find_count; j++) {
            unsigned at = look->index_of[check->finds[j].form];
            if (at == DISTINCT_MAX)
                continue; /* a link of another class */
            if (at != asked)
                yes = says_yes(look->run, check->op, texts[at]);
            asked = at;
            if (yes && !note_find(look, &check->finds[j]))
                return false;
        }
    }
    return true;
}

/* ---- distinct forms -------------------------------------------------------------------------
 */

struct distinct {
    struct span texts[DISTINCT_MAX];
    uint32_t traits[DISTINCT_MAX];
    uint8_t index_of[PLAN_FORMS_MAX];
    unsigned count;
    size_t used; /* of the room */
};

#define ROOM_MAX ((size_t)4 << 30)

static bool room_for(struct sec_local *local, size_t size)
{
    if (size <= local->room_size)
        return true;
    if (size > ROOM_MAX)
        return false;
    size_t wanted = size + size / 2 + 4096;
    char *room = malloc(wanted);
    if (room == NULL)
        return false;
    free(local->room);
    local->room = room;
    local->room_size = wanted;
    return true;
}

/* The most bytes that all forms of a value can take: a form that grows multiplies. */
static size_t bound_of(const struct scan_class *class, size_t len)
{
    size_t bound;
    if (__builtin_mul_overflow(len, class->room_each, &bound) ||
        __builtin_add_overflow(bound, class->room_least, &bound))
        return SIZE_MAX;
    return bound;
}

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

/* What a step made of one of the texts: chains share steps. */
struct made {
    struct span (*apply)(struct span in, char *room);
    uint8_t from, to;
};

enum { MADE_MAX = 24 };

struct making {
    struct distinct *d;
    struct sec_run *run;
    struct made made[MADE_MAX];
    unsigned count;
};

static unsigned make(struct making *m, const struct transform *step, unsigned from)
{
    struct distinct *d = m->d;
    for (unsigned i = 0; i < m->count; i++) {
        if (m->made[i].apply == step->apply && m->made[i].from == from)
            return m->made[i].to;
    }
    struct span in = d->texts[from];
    char *room = m->run->local->room + d->used;
    struct span out = step->apply(in, room);
    m->run->work += in.len + WORK_STEP;
    if (out.p == NULL)
        out = SPAN("");
    if (out.p == room)
        d->used += (out.len + 15) & ~(size_t)15;
    unsigned to = distinct_index(d, out);
    if (m->count < MADE_MAX)
        m->made[m->count++] = (struct made){ step->apply, (uint8_t)from, (uint8_t)to };
    return to;
}

static void find_distinct(struct distinct *d, struct sec_run *run,
                          const struct scan_class *class)
{
    const struct sec_plan *plan = run->plan;
    UNCLEARED struct making m;
    m.d = d;
    m.run = run;
    m.count = 0;
    for (unsigned i = 0; i < class->form_count && run->work <= run->budget; i++) {
        unsigned f = class->forms[i];
        const struct plan_form *form = &plan->forms[f];
        unsigned index = d->index_of[form->parent];
        if ((d->traits[index] & form->set_off_by) != 0)
            index = make(&m, form->step, index);
        d->index_of[f] = (uint8_t)index;
    }
}

/* A text that only a few forms are, is scanned for their patterns alone. */
static enum sec_end look_at_distinct(struct look *look, struct span text)
{
    enum { FEW = 3 };
    const struct scan_class *class = look->class;
    unsigned own[FEW], count = 0;
    bool few = look->at > 0;
    for (unsigned i = 0; i < class->looked_count && few; i++) {
        if (look->index_of[class->looked[i]] != look->at)
            continue;
        few = class->own[i] != 0 && count < FEW;
        if (few)
            own[count++] = class->own[i];
    }
    if (!few)
        return look_at(look, class, text);
    enum sec_end end = SEC_DONE;
    for (unsigned i = 0; i < count && end == SEC_DONE; i++)
        end = look_at(look, &look->run->plan->classes[own[i]], text);
    return end;
}

static enum sec_end scan_value(struct sec_run *run, struct sec_value *value,
                               const struct scan_class *class)
{
    static const uint8_t all_the_same[PLAN_FORMS_MAX];
    struct span text = value->text.p != NULL ? value->text : SPAN("");
    struct look look = { .run = run, .class = class, .value = value, .index_of = all_the_same };
    value->traits = traits_of(text);
    value->has_traits = true;
    run->counts.values++;
    if ((value->traits & class->triggers) == 0) {
        run->counts.distinct++;
        if (!check_value(&look, &text))
            return SEC_MEMORY;
        return look_at(&look, class, text);
    }
    UNCLEARED struct distinct d;
    if (!room_for(run->local, bound_of(class, text.len)))
        return SEC_MEMORY;
    d.texts[0] = text;
    d.traits[0] = value->traits;
    memset(d.index_of, DISTINCT_MAX, run->plan->form_count);
    d.index_of[0] = 0;
    d.count = 1;
    d.used = 0;
    find_distinct(&d, run, class);
    if (run->work > run->budget)
        return SEC_SPENT;
    run->counts.distinct += d.count;
    look.index_of = d.index_of;
    if (!check_value(&look, d.texts))
        return SEC_MEMORY;
    for (unsigned i = 0; i < d.count; i++) {
        look.at = i;
        enum sec_end end = look_at_distinct(&look, d.texts[i]);
        if (end != SEC_DONE)
            return end;
    }
    return SEC_DONE;
}

/* ---- values that were clean before ----------------------------------------------------------
 */

/*
 * Short values in which nothing was found, by class: names of fields, methods, hosts and what
 * browsers send with every request come again and again. An entry is used only for the very
 * same bytes, and stands for the same counted work, so that no decision depends on what came
 * before.
 */
enum { CLEAN_ENTRIES = 1024, CLEAN_BYTES = 104, ROOM_KEPT = 8 << 20 };

struct sec_clean {
    uint32_t work, traits;
    uint8_t class, len; /* class 0: empty */
    char text[CLEAN_BYTES];
};

static struct sec_clean *clean_entry(struct sec_local *local, unsigned class, struct span text)
{
    uint64_t hash = (text.len + 1) * UINT64_C(0x9e3779b97f4a7c15) ^ class, word;
    if (local->clean == NULL)
        local->clean = calloc(CLEAN_ENTRIES, sizeof(struct sec_clean));
    if (local->clean == NULL || text.len > CLEAN_BYTES || text.len == 0)
        return NULL;
    for (size_t i = 0; i + sizeof(word) <= text.len; i += sizeof(word)) {
        memcpy(&word, text.p + i, sizeof(word));
        hash = (hash ^ word) * UINT64_C(0xff51afd7ed558ccd);
        hash ^= hash >> 32;
    }
    word = 0;
    memcpy(&word, text.p + (text.len & ~(size_t)7), text.len & 7);
    hash = (hash ^ word) * UINT64_C(0xc4ceb9fe1a85ec53);
    return &local->clean[hash >> 32 & (CLEAN_ENTRIES - 1)];
}

static bool is_clean(struct sec_run *run, const struct sec_clean *entry, unsigned class,
                     struct sec_value *value)
{
    if (entry->class != class || entry->len != value->text.len ||
        memcmp(entry->text, value->text.p, entry->len) != 0)
        return false;
    run->work += entry->work;
    value->traits = entry->traits;
    value->has_traits = true;
    return true;
}

static void note_clean(struct sec_clean *entry, unsigned class, const struct sec_value *value,
                       uint64_t work)
{
    if (value->hits != NULL || work > UINT32_MAX)
        return;
    entry->class = (uint8_t) class;
    entry->len = (uint8_t)value->text.len;
    entry->work = (uint32_t)work;
    entry->traits = value->traits;
    memcpy(entry->text, value->text.p, value->text.len);
}

/* What may be kept beyond the transaction: never what could be a secret, as values of
 * arguments, cookies and most fields could. */
static bool may_be_kept(enum variable var, const struct sec_value *value)
{
    static const struct span fields[] = {
        SPAN_INIT("accept"),     SPAN_INIT("cache-control"), SPAN_INIT("connection"),
        SPAN_INIT("content-"),   SPAN_INIT("host"),          SPAN_INIT("pragma"),
        SPAN_INIT("sec-"),       SPAN_INIT("server"),        SPAN_INIT("te"),
        SPAN_INIT("user-agent"), SPAN_INIT("vary"),
    };
    switch ((int)var) {
    case VAR_ARGS_GET_NAMES:
    case VAR_ARGS_POST_NAMES:
    case VAR_REQUEST_COOKIES_NAMES:
    case VAR_REQUEST_HEADERS_NAMES:
    case VAR_RESPONSE_HEADERS_NAMES:
    case VAR_REQUEST_METHOD:
    case VAR_REQUEST_PROTOCOL:
    case VAR_RESPONSE_STATUS:
        return true;
    case VAR_REQUEST_HEADERS:
    case VAR_RESPONSE_HEADERS:
        break;
    default:
        return false;
    }
    for (size_t i = 0; i < ARRAY_LEN(fields); i++) {
        if (span_equal_nocase(span_sub(value->key, 0, fields[i].len), fields[i]))
            return true;
    }
    return false;
}

/* A long value's room is not kept for ever. */
static void trim_room(struct sec_local *local)
{
    if (local->room_size <= ROOM_KEPT)
        return;
    free(local->room);
    local->room = NULL;
    local->room_size = 0;
}

static enum sec_end look_through(struct sec_run *run, struct sec_value *value, unsigned class,
                                 bool kept)
{
    struct sec_clean *entry = kept ? clean_entry(run->local, class, value->text) : NULL;
    if (entry != NULL && is_clean(run, entry, class, value))
        return SEC_DONE;
    uint64_t before = run->work;
    enum sec_end end = scan_value(run, value, &run->plan->classes[class]);
    trim_room(run->local);
    if (entry != NULL && end == SEC_DONE)
        note_clean(entry, class, value, run->work - before);
    return end;
}

/* ---- all values -----------------------------------------------------------------------------
 */

/* 0: nothing is looked for. */
static unsigned class_for(const struct sec_plan *plan, enum variable var,
                          const struct sec_value *value)
{
    unsigned class = plan->class_of[var];
    if (bit_has(plan->named_vars, var)) {
        for (unsigned i = 0; i < plan->named_count; i++) {
            const struct plan_named *named = &plan->named[i];
            if (named->var == var && span_equal_nocase(named->name, value->key))
                class = named->class;
        }
    }
    return plan->classes[class].part_count + plan->classes[class].check_count > 0 ? class : 0;
}

enum sec_end sec_scan(struct sec_run *run)
{
    const struct sec_plan *plan = run->plan;
    for (; run->at_var < plan->scanned_count; run->at_var++, run->at_value = 0) {
        enum variable var = plan->scanned[run->at_var];
        const struct sec_list *list = &run->values.lists[var];
        while (run->at_value < list->count) {
            struct sec_value *value = list->items[run->at_value];
            if (run->work > run->budget)
                return SEC_SPENT;
            if (run->work > run->slice_end)
                return SEC_PAUSE;
            run->at_value++;
            if (value->scanned)
                continue;
            unsigned class = class_for(plan, var, value);
            enum sec_end end = SEC_DONE;
            if (class != 0)
                end = look_through(run, value, class, may_be_kept(var, value));
            if (end != SEC_DONE)
                return end;
            value->scanned = true;
        }
    }
    return SEC_DONE;
}
