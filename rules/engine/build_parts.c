/*
 * A class's patterns to databases. Most patterns need something that plain values do not have:
 * a bracket, a quote, a certain word. Those of one kind of need share a database, which texts
 * without that never meet.
 */
#include <hs/hs_compile.h>

#include "rules/engine/build.h"
#include "rules/engine/database.h"
#include "rules/engine/need.h"

enum {
    TEXTS_PER_CLASS_MAX = 4096,
    WORTH_A_LOOK = 4, /* patterns for whose texts the first part is made, where it has nothing
                         else to do */
};

enum part_kind {
    KIND_PLAIN,     /* asked about everything */
    KIND_RARE,      /* needs a byte that is rare in plain values */
    KIND_RARE_TEXT, /* the same, and a text */
    KIND_TEXT,
    KIND_COMMON, /* needs a byte that words do not have */
};
_Static_assert(KIND_COMMON + 1 == PARTS_MAX, "a part for each kind");

struct sorting {
    struct plan_builder *b;
    struct pattern_need *needs; /* by pattern of the plan */
    uint8_t *kinds;
};

/* One class while it is taken apart. */
struct draft {
    struct scan_class *class;
    uint8_t index[PARTS_MAX]; /* of the part, by kind; 0 of kinds that go with the first one */
    struct byte_set bytes[PARTS_MAX]; /* by part */
    struct span *texts;
    uint32_t *opens;
    unsigned text_count, text_max;
    struct table known; /* text -> index + 1 */
    bool bounded;       /* texts did not fit: parts that need one are always open */
};

/* ---- kinds ----------------------------------------------------------------------------------
 */

enum rarity { RARE, COMMON, EVERYWHERE };

static enum rarity rarity_of(const struct byte_set *set)
{
    enum rarity rarity = RARE;
    for (unsigned c = 0; c < 256; c++) {
        char lower = ascii_lower((char)c);
        if (!byte_set_has(set, (uint8_t)c))
            continue;
        if ((lower >= 'a' && lower <= 'z') || (c >= '0' && c <= '9'))
            return EVERYWHERE;
        if (c != 0 && strchr(" _-./,:+%@", (int)c) != NULL)
            rarity = COMMON;
    }
    return rarity;
}

static enum part_kind kind_of(const struct pattern_need *need)
{
    enum rarity rarity = rarity_of(&need->bytes);
    if (need->literal)
        return KIND_PLAIN;
    if (rarity == RARE)
        return need->text_count > 0 ? KIND_RARE_TEXT : KIND_RARE;
    if (need->text_count > 0)
        return KIND_TEXT;
    return rarity == COMMON ? KIND_COMMON : KIND_PLAIN;
}

static enum err sort_patterns(struct sorting *s)
{
    const struct sec_plan *plan = s->b->plan;
    s->needs = arena_array(s->b->arena, struct pattern_need, plan->pattern_count);
    s->kinds = arena_array(s->b->arena, uint8_t, plan->pattern_count);
    if (s->needs == NULL || s->kinds == NULL)
        return ERR_MEMORY;
    for (unsigned i = 0; i < plan->pattern_count; i++) {
        const struct plan_pattern *pattern = &plan->patterns[i];
        if (pattern->op != NULL)
            continue;
        TRY(pattern_need(pattern->text, pattern->flags, s->b->arena, &s->needs[i]));
        s->kinds[i] = (uint8_t)kind_of(&s->needs[i]);
    }
    return OK;
}

/* ---- one class ------------------------------------------------------------------------------
 */

/* Which parts there are. Looking for texts must be worth it. */
static void choose_parts(const struct sorting *s, struct draft *draft)
{
    unsigned counts[PARTS_MAX] = { 0 };
    struct scan_class *class = draft->class;
    for (unsigned i = 0; i < class->id_count; i++)
        counts[s->kinds[class->ids[i]]]++;
    bool look =
        counts[KIND_PLAIN] > 0 || counts[KIND_TEXT] + counts[KIND_RARE_TEXT] >= WORTH_A_LOOK;
    class->part_count = 1;
    for (unsigned kind = KIND_RARE; kind < PARTS_MAX; kind++) {
        bool text = kind == KIND_TEXT || kind == KIND_RARE_TEXT;
        if (counts[kind] == 0 || (kind == KIND_TEXT && !look))
            continue;
        struct scan_part *part = &class->parts[class->part_count];
        part->needs_bytes = kind != KIND_TEXT;
        part->needs_text = text && look;
        draft->index[kind] = (uint8_t) class->part_count++;
    }
}

/* True as well when the text is not looked for: the part is open then. */
static enum err look_for(struct draft *draft, struct span text, unsigned part)
{
    const void *found = table_get(&draft->known, text);
    if (found != NULL) {
        draft->opens[(uintptr_t)found - 1] |= UINT32_C(1) << part;
        return OK;
    }
    if (draft->text_count == draft->text_max) {
        draft->bounded = true;
        return OK;
    }
    draft->texts[draft->text_count] = text;
    draft->opens[draft->text_count] = UINT32_C(1) << part;
    return table_put(&draft->known, text, (void *)(uintptr_t)++draft->text_count);
}

static enum err fill_part(const struct sorting *s, struct draft *draft, unsigned index)
{
    const struct sec_plan *plan = s->b->plan;
    struct scan_class *class = draft->class;
    struct scan_part *part = &class->parts[index];
    uint32_t *ids = arena_array(s->b->arena, uint32_t, class->id_count + draft->text_max);
    if (ids == NULL)
        return ERR_MEMORY;
    part->shortest = SIZE_MAX;
    for (unsigned i = 0; i < class->id_count; i++) {
        uint32_t id = class->ids[i];
        const struct pattern_need *need = &s->needs[id];
        if (draft->index[s->kinds[id]] != index)
            continue;
        ids[part->id_count++] = id;
        byte_set_unite(&draft->bytes[index], &need->bytes);
        if (plan->patterns[id].shortest < part->shortest)
            part->shortest = plan->patterns[id].shortest;
        for (unsigned j = 0; part->needs_text && j < need->text_count; j++)
            TRY(look_for(draft, need->texts[j], index));
    }
    part->ids = ids;
    byte_gate_make(&part->bytes, &draft->bytes[index]);
    return OK;
}

/* Behind the patterns of the first part: what opens others. */
static void add_texts(struct draft *draft)
{
    struct scan_part *first = &draft->class->parts[0];
    uint32_t *ids = (uint32_t *)first->ids;
    for (unsigned i = 1; i < draft->class->part_count && draft->bounded; i++)
        draft->class->parts[i].needs_text = false;
    for (unsigned i = 0; i < draft->text_count && !draft->bounded; i++) {
        ids[first->id_count++] = PART_OPENS | draft->opens[i];
        if (draft->texts[i].len < first->shortest)
            first->shortest = draft->texts[i].len;
    }
}

static enum err take_apart(const struct sorting *s, struct draft *draft)
{
    for (unsigned i = 0; i < draft->class->id_count; i++)
        draft->text_max += s->needs[draft->class->ids[i]].text_count;
    if (draft->text_max > TEXTS_PER_CLASS_MAX)
        draft->text_max = TEXTS_PER_CLASS_MAX;
    draft->texts = arena_array(s->b->arena, struct span, draft->text_max);
    draft->opens = arena_array(s->b->arena, uint32_t, draft->text_max);
    if (draft->texts == NULL || draft->opens == NULL)
        return ERR_MEMORY;
    TRY(table_init(&draft->known, s->b->arena, draft->text_max));
    choose_parts(s, draft);
    for (unsigned i = 0; i < draft->class->part_count; i++)
        TRY(fill_part(s, draft, i));
    add_texts(draft);
    return OK;
}

/* ---- databases ------------------------------------------------------------------------------
 */

/* Without regard to case; each byte as \xHH has no other meaning. */
static const char *text_pattern(struct plan_builder *b, struct span text)
{
    struct text out = text_growing(b->arena, 4 * text.len + 1);
    for (size_t i = 0; i < text.len; i++) {
        text_lit(&out, "\\x");
        text_hex(&out, text.p + i, 1);
    }
    return text_cstring(&out);
}

static enum err describe(struct plan_builder *b, const struct draft *draft,
                         const struct scan_part *part, struct database_job *job)
{
    const char **texts = arena_array(b->arena, const char *, part->id_count);
    unsigned *flags = arena_array(b->arena, unsigned, part->id_count);
    unsigned *ids = arena_array(b->arena, unsigned, part->id_count);
    unsigned text = 0;
    if (texts == NULL || flags == NULL || ids == NULL)
        return ERR_MEMORY;
    for (unsigned i = 0; i < part->id_count; i++) {
        ids[i] = i;
        if ((part->ids[i] & PART_OPENS) != 0) {
            texts[i] = text_pattern(b, draft->texts[text++]);
            flags[i] = HS_FLAG_CASELESS | HS_FLAG_SINGLEMATCH;
            if (texts[i] == NULL)
                return ERR_MEMORY;
            continue;
        }
        texts[i] = b->plan->patterns[part->ids[i]].text;
        flags[i] = b->plan->patterns[part->ids[i]].flags;
    }
    *job = (struct database_job){ .texts = texts,
                                  .flags = flags,
                                  .ids = ids,
                                  .count = part->id_count,
                                  .mode = HS_MODE_BLOCK };
    return OK;
}

static void explain(struct plan_builder *b, const struct database_job *jobs, unsigned count)
{
    for (unsigned i = 0; i < count; i++) {
        if (jobs[i].error == NULL)
            continue;
        text_add(b->why, span_text(jobs[i].error));
        if (jobs[i].error_at < 0 || (unsigned)jobs[i].error_at >= jobs[i].count)
            return;
        text_lit(b->why, ": ");
        text_add(b->why, span_sub(span_text(jobs[i].texts[jobs[i].error_at]), 0, 200));
        return;
    }
}

struct jobs {
    struct database_job items[PLAN_CLASSES_MAX * PARTS_MAX];
    struct scan_part *parts[PLAN_CLASSES_MAX * PARTS_MAX];
    unsigned count;
};

/* A first part that has nothing to look for is left out. */
static enum err add_jobs(struct plan_builder *b, struct jobs *jobs, const struct draft *draft)
{
    struct scan_class *class = draft->class;
    if (class->parts[0].id_count == 0) {
        class->part_count--;
        memmove(&class->parts[0], &class->parts[1], class->part_count * sizeof(*class->parts));
    }
    for (unsigned i = 0; i < class->part_count; i++) {
        jobs->parts[jobs->count] = &class->parts[i];
        TRY(describe(b, draft, &class->parts[i], &jobs->items[jobs->count++]));
    }
    return OK;
}

/* All at once, so that they can be compiled side by side. */
enum err plan_parts(struct plan_builder *b)
{
    struct sorting s = { .b = b };
    struct jobs *jobs = arena_new(b->arena, struct jobs);
    if (jobs == NULL)
        return ERR_MEMORY;
    TRY(sort_patterns(&s));
    for (unsigned i = 1; i < b->plan->class_count; i++) {
        struct draft draft = { .class = &b->plan->classes[i] };
        TRY(take_apart(&s, &draft));
        TRY(add_jobs(b, jobs, &draft));
    }
    enum err err = databases_make(b->maker, jobs->items, jobs->count);
    if (err == ERR_CONFIG)
        explain(b, jobs->items, jobs->count);
    for (unsigned i = 0; i < jobs->count; i++) {
        jobs->parts[i]->db = jobs->items[i].db;
        jobs->items[i].db = NULL;
        database_job_clear(&jobs->items[i]);
    }
    return err;
}
