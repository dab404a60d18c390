/* Scanning: the forms of a value, each distinct one scanned once, matches to a set of rules. */
#include "rules/scan.h"

#include <hs/hs_runtime.h>
#include <stdlib.h>

enum { FIELD_NAME_BYTES = 64 };

/* One call of hs_scan, as its callback sees it. */
struct look {
    struct scan *scan;
    const struct plan *plan;
    struct arena *arena;
    const struct locate_local *locate;
    const struct value *value;
    struct span bytes;
    size_t offset;    /* of the window in the value */
    uint32_t forms;   /* that these bytes are */
    bool first, last; /* the window begins, ends the value */
};

enum err scan_attach(struct scan_local *local, const struct plan *plan)
{
    local->scratch = NULL;
    local->room = NULL;
    for (unsigned i = 0; i < CLASS_COUNT; i++) {
        const struct hs_database *db = plan->classes[i].db;
        if (db != NULL && hs_alloc_scratch(db, &local->scratch) != HS_SUCCESS)
            return ERR_MEMORY;
    }
    TRY(locate_attach(&local->locate));
    local->room = malloc((size_t)plan->form_count * WINDOW_BYTES);
    return local->room != NULL ? OK : ERR_MEMORY;
}

void scan_detach(struct scan_local *local)
{
    hs_free_scratch(local->scratch);
    locate_detach(&local->locate);
    free(local->room);
    local->scratch = NULL;
    local->room = NULL;
}

void scan_begin(struct scan *scan, struct values values)
{
    scan->values = values;
    scan->at = 0;
    scan->offset = 0;
}

const struct hit *scan_hit(const struct scan *scan, unsigned rule)
{
    const struct hit *hit = scan->hits;
    while (hit != NULL && hit->rule != rule)
        hit = hit->next;
    return hit;
}

/* ---- a match --------------------------------------------------------------------------------
 */

/* "path", "args:q": the label, and the value's own name, of which the client chose the bytes.
 */
static struct span field_of(const struct value *value, struct arena *arena)
{
    struct span label = span_text(targets[value->target].label);
    if (value->name.len == 0)
        return label;
    struct span name = span_sub(value->name, 0, FIELD_NAME_BYTES);
    char *p = arena_alloc(arena, label.len + 1 + name.len);
    if (p == NULL)
        return span_of(NULL, 0);
    memcpy(p, label.p, label.len);
    p[label.len] = ':';
    memcpy(p + label.len + 1, name.p, name.len);
    return span_of(p, label.len + 1 + name.len);
}

static bool record(struct look *look, unsigned id, size_t end)
{
    struct scan *scan = look->scan;
    if (scan->matched == NULL)
        scan->matched = arena_array(look->arena, uint64_t, look->plan->words);
    struct hit *hit = arena_new(look->arena, struct hit);
    if (scan->matched == NULL || hit == NULL)
        return false;
    unsigned rule = look->plan->patterns[id].rule;
    size_t from = end > HIT_SAMPLE_BYTES ? end - HIT_SAMPLE_BYTES : 0;
    from = locate(look->locate, look->plan->locators[id], span_sub(look->bytes, 0, end), from);
    size_t offset = look->offset + from;
    size_t sample = end - from < HIT_SAMPLE_BYTES ? end - from : HIT_SAMPLE_BYTES;
    *hit = (struct hit){
        .next = scan->hits,
        .field = field_of(look->value, look->arena),
        .value = look->value->text,
        .sample = arena_copy(look->arena, span_sub(look->bytes, from, sample)),
        .offset = offset < UINT32_MAX ? (uint32_t)offset : UINT32_MAX,
        .rule = (uint16_t)rule,
    };
    if (hit->field.p == NULL || hit->sample.p == NULL)
        return false;
    set_add(scan->matched, rule);
    scan->hits = hit;
    return true;
}

/* Non-zero ends the scan. */
static int on_match(unsigned id, unsigned long long from, unsigned long long to, unsigned flags,
                    void *context)
{
    struct look *look = context;
    const struct pattern *pattern = &look->plan->patterns[id];
    (void)from, (void)flags;

    if ((pattern->forms & look->forms) == 0 || (pattern->selects & look->value->selects) == 0)
        return 0;
    if (pattern->at_start && !look->first)
        return 0;
    if (pattern->at_end && !look->last)
        return 0;
    if (look->scan->matched != NULL && set_has(look->scan->matched, pattern->rule))
        return 0;
    return record(look, id, (size_t)to) ? 0 : 1;
}

/* ---- a window -------------------------------------------------------------------------------
 */

/* The distinct forms of a window: `forms[i]` is the set of those that are `bytes[i]`. */
struct distinct {
    struct span bytes[FORMS_MAX];
    uint32_t forms[FORMS_MAX];
    unsigned count;
};

/* Index of `bytes` among the distinct ones, added when new. */
static unsigned distinct_index(struct distinct *d, struct span bytes)
{
    for (unsigned i = 0; i < d->count; i++) {
        if (d->bytes[i].len == bytes.len &&
            (d->bytes[i].p == bytes.p || span_equal(d->bytes[i], bytes)))
            return i;
    }
    d->bytes[d->count] = bytes;
    d->forms[d->count] = 0;
    return d->count++;
}

static void find_distinct(struct distinct *d, const struct plan *plan, char *room,
                          struct span window, uint32_t traits)
{
    uint32_t traits_at[FORMS_MAX]; /* of each distinct one */
    uint8_t index_of[FORMS_MAX];   /* of each form */
    d->bytes[0] = window;
    d->forms[0] = 1;
    d->count = 1;
    traits_at[0] = traits;
    index_of[0] = 0;
    for (unsigned f = 1; f < plan->form_count; f++) {
        const struct form *form = &plan->forms[f];
        unsigned index = index_of[form->parent];
        if ((traits_at[index] & form->step->triggers) != 0) {
            unsigned known = d->count;
            struct span made =
                form->step->apply(d->bytes[index], room + (size_t)(f - 1) * WINDOW_BYTES);
            index = distinct_index(d, made);
            if (index == known)
                traits_at[index] = traits_of(made);
        }
        index_of[f] = (uint8_t)index;
        d->forms[index] |= UINT32_C(1) << f;
    }
}

static bool charge(struct scan *scan, size_t bytes)
{
    if (scan->budget.bytes < bytes)
        return false;
    scan->budget.bytes -= bytes;
    return true;
}

static enum scan_end look_at(struct look *look, const struct plan_class *class,
                             struct hs_scratch *scratch)
{
    if ((look->forms & class->forms) == 0 || look->bytes.len < class->shortest)
        return SCAN_DONE;
    if (!charge(look->scan, look->bytes.len))
        return SCAN_SPENT;
    hs_error_t err = hs_scan(class->db, look->bytes.p, (unsigned)look->bytes.len, 0, scratch,
                             on_match, look);
    INVARIANT(err == HS_SUCCESS || err == HS_SCAN_TERMINATED);
    return err == HS_SUCCESS ? SCAN_DONE : SCAN_MEMORY;
}

static enum scan_end scan_window(struct look *look, struct scan_local *local)
{
    const struct plan *plan = look->plan;
    const struct plan_class *class = &plan->classes[targets[look->value->target].class];
    if (class->db == NULL)
        return SCAN_DONE;

    struct span window = look->bytes;
    if (look->value->mixed) {
        if (!charge(look->scan, window.len))
            return SCAN_SPENT;
        window = text_runs(window, local->room + (size_t)(plan->form_count - 1) * WINDOW_BYTES);
        look->bytes = window;
    }
    uint32_t traits = traits_of(window);
    if ((traits & plan->triggers) == 0) {
        look->forms = UINT32_MAX;
        return look_at(look, class, local->scratch);
    }
    struct distinct d;
    find_distinct(&d, plan, local->room, window, traits);
    for (unsigned i = 0; i < d.count; i++) {
        look->bytes = d.bytes[i];
        look->forms = d.forms[i];
        enum scan_end end = look_at(look, class, local->scratch);
        if (end != SCAN_DONE)
            return end;
    }
    return SCAN_DONE;
}

/* ---- all values -----------------------------------------------------------------------------
 */

enum scan_end scan_run(struct scan *scan, const struct plan *plan, struct scan_local *local,
                       struct arena *arena, uint64_t slice)
{
    uint64_t began = scan->budget.bytes;
    while (scan->at < scan->values.count) {
        const struct value *value = &scan->values.items[scan->at];
        if (began - scan->budget.bytes > slice)
            return SCAN_PAUSE;
        if (scan->offset == 0) {
            if (scan->budget.values == 0)
                return SCAN_SPENT;
            scan->budget.values--;
        }
        struct span window = span_sub(value->text, scan->offset, WINDOW_BYTES);
        bool last = scan->offset + window.len == value->text.len;
        struct look look = { .scan = scan,
                             .plan = plan,
                             .arena = arena,
                             .locate = &local->locate,
                             .value = value,
                             .bytes = window,
                             .offset = scan->offset,
                             .first = scan->offset == 0,
                             .last = last };
        enum scan_end end = scan_window(&look, local);
        if (end != SCAN_DONE)
            return end;
        scan->offset = last ? 0 : scan->offset + WINDOW_BYTES - WINDOW_OVERLAP;
        scan->at += last;
    }
    return SCAN_DONE;
}
