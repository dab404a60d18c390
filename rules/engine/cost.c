/* Measuring scans. */
#include "rules/engine/cost.h"

#include <hs/hs.h>
#include <stdlib.h>
#include <time.h>

#include "rules/engine/database.h"
#include "rules/engine/need.h"

enum {
    LONG_BYTES = 8192,
    TRIES = 7,           /* the best counts: the others were disturbed */
    TRY_NS = 100 * 1000, /* of one try, at least */
};

const struct cost_sample cost_samples[COST_SAMPLES] = {
    { "word", 8 }, { "token", 36 }, { "browser", 78 }, { "prose", 300 }, { "long", LONG_BYTES },
};

static const char word[] = "checkout";
static const char token[] = "6f9619ff-8b86-d011-b42d-00c04fc964ff";
static const char browser[] =
    "Mozilla/5.0 (X11; Linux x86_64; rv:109.0) Gecko/20100101 Firefox/115.0 (Debian)";
static const char prose[] =
    "It was late when the last of the visitors had left; the gardener closed the gate, took "
    "his lamp and went down the path to the old house. \"Who is there?\" asked a voice (it "
    "was the cook's), and he answered: \"Only me - 3 of the 40 apples are missing!\" Nobody "
    "slept much that night, and in the morning all went on as before. ";

struct measuring {
    const struct sec_plan *plan;
    struct arena *arena;
    hs_scratch_t *scratch;
    struct span samples[COST_SAMPLES];
};

/* ---- one scan -------------------------------------------------------------------------------
 */

struct seen {
    const struct scan_part *part;
    uint32_t open;
};

static int on_find(unsigned id, unsigned long long from, unsigned long long to, unsigned flags,
                   void *context)
{
    struct seen *seen = context;
    (void)from, (void)to, (void)flags;
    if (seen != NULL && (seen->part->ids[id] & PART_OPENS) != 0)
        seen->open |= seen->part->ids[id];
    return 0;
}

static uint64_t now_ns(void)
{
    struct timespec now;
    (void)clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
    return (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
}

/* Picoseconds of one scan. */
static uint64_t measure(const struct measuring *m, const hs_database_t *db, struct span text)
{
    uint64_t best = UINT64_MAX, rounds = 1;
    for (unsigned i = 0; i < TRIES;) {
        uint64_t began = now_ns();
        for (uint64_t j = 0; j < rounds; j++)
            INVARIANT(hs_scan(db, text.p, (unsigned)text.len, 0, m->scratch, on_find, NULL) ==
                      HS_SUCCESS);
        uint64_t ns = now_ns() - began;
        if (ns < TRY_NS) {
            rounds *= 2; /* until a try is long enough for the clock */
            continue;
        }
        best = 1000 * ns / rounds < best ? 1000 * ns / rounds : best;
        i++;
    }
    return best;
}

/* ---- databases ------------------------------------------------------------------------------
 */

static void mark_asked(const struct measuring *m, const struct scan_class *class,
                       struct part_cost *parts)
{
    for (unsigned i = 0; i < COST_SAMPLES; i++) {
        struct seen seen = { .open = 0 };
        for (unsigned j = 0; j < class->part_count; j++) {
            seen.part = &class->parts[j];
            if (!scan_part_is_asked(seen.part, j, seen.open,
                                    marks_of(m->plan->marks, m->samples[i]), m->samples[i].len))
                continue;
            parts[j].asked[i] = true;
            INVARIANT(hs_scan(seen.part->db, m->samples[i].p, (unsigned)m->samples[i].len, 0,
                              m->scratch, on_find, &seen) == HS_SUCCESS);
        }
    }
}

static enum err measure_class(struct measuring *m, unsigned number, struct plan_cost *cost)
{
    const struct scan_class *class = &m->plan->classes[number];
    struct part_cost *parts = &cost->parts[cost->part_count];
    for (unsigned i = 0; i < class->part_count; i++) {
        const struct scan_part *part = &class->parts[i];
        if (hs_alloc_scratch(part->db, &m->scratch) != HS_SUCCESS)
            return ERR_MEMORY;
        parts[i] = (struct part_cost){ .class = number, .part = i, .patterns = part->id_count };
        (void)hs_database_size(part->db, &parts[i].bytes);
        for (unsigned j = 0; j < part->id_count; j++)
            parts[i].openers += (part->ids[j] & PART_OPENS) != 0;
        parts[i].patterns -= parts[i].openers;
        for (unsigned j = 0; j < COST_SAMPLES; j++)
            parts[i].ns[j] = measure(m, part->db, m->samples[j]) / 1000;
    }
    mark_asked(m, class, parts);
    cost->part_count += class->part_count;
    return OK;
}

/* ---- patterns -------------------------------------------------------------------------------
 */

static enum err describe(const struct measuring *m, struct plan_cost *cost,
                         struct database_job *jobs)
{
    static const unsigned id;
    for (unsigned i = 0; i < m->plan->pattern_count; i++) {
        const struct plan_pattern *pattern = &m->plan->patterns[i];
        struct pattern_need need;
        if (pattern->check != NULL)
            continue;
        TRY(pattern_need(pattern->text, pattern->flags, m->arena, &need));
        if (need.literal)
            continue;
        jobs[cost->pattern_count] = (struct database_job){ .texts = &pattern->text,
                                                           .flags = &pattern->flags,
                                                           .ids = &id,
                                                           .count = 1,
                                                           .mode = HS_MODE_BLOCK };
        cost->patterns[cost->pattern_count++].pattern = i;
    }
    return OK;
}

static int dearer(const void *a, const void *b)
{
    uint64_t x = ((const struct pattern_cost *)a)->ps_per_byte;
    uint64_t y = ((const struct pattern_cost *)b)->ps_per_byte;
    return x < y ? 1 : x > y ? -1 : 0;
}

static enum err measure_patterns(struct measuring *m, struct plan_cost *cost)
{
    unsigned all = m->plan->pattern_count;
    struct database_job *jobs = arena_array(m->arena, struct database_job, all);
    cost->patterns = arena_array(m->arena, struct pattern_cost, all);
    if (jobs == NULL || cost->patterns == NULL)
        return ERR_MEMORY;
    TRY(describe(m, cost, jobs));
    struct database_maker maker;
    database_maker_open(&maker, NULL); /* nobody wants these again */
    hs_scratch_t *scratch = NULL;
    enum err err = databases_make(&maker, jobs, cost->pattern_count, &scratch);
    database_maker_close(&maker);
    if (err == OK) {
        hs_free_scratch(m->scratch);
        m->scratch = scratch;
    }
    for (unsigned i = 0; i < cost->pattern_count; i++) {
        if (err == OK)
            cost->patterns[i].ps_per_byte =
                measure(m, jobs[i].db, m->samples[COST_SAMPLES - 1]) / LONG_BYTES;
        database_job_clear(&jobs[i]);
    }
    if (cost->pattern_count > 0)
        qsort(cost->patterns, cost->pattern_count, sizeof(*cost->patterns), dearer);
    return err;
}

/* ---- all ------------------------------------------------------------------------------------
 */

static bool fill_samples(struct measuring *m)
{
    static const char *const texts[COST_SAMPLES - 1] = { word, token, browser, prose };
    char *p = arena_alloc(m->arena, LONG_BYTES);
    for (unsigned i = 0; i + 1 < COST_SAMPLES; i++)
        m->samples[i] = span_sub(span_text(texts[i]), 0, cost_samples[i].len);
    for (size_t i = 0; p != NULL && i < LONG_BYTES; i++)
        p[i] = prose[i % (sizeof(prose) - 1)];
    m->samples[COST_SAMPLES - 1] = span_of(p, LONG_BYTES);
    return p != NULL;
}

enum err plan_cost(struct plan_cost *cost, const struct sec_plan *plan, struct arena *arena)
{
    struct measuring m = { .plan = plan, .arena = arena };
    *cost = (struct plan_cost){ .parts = arena_array(arena, struct part_cost,
                                                     PLAN_CLASSES_MAX * PARTS_MAX) };
    if (cost->parts == NULL || !fill_samples(&m))
        return ERR_MEMORY;
    enum err err = OK;
    for (unsigned i = 1; i < plan->class_count && err == OK; i++)
        err = measure_class(&m, i, cost);
    if (err == OK)
        err = measure_patterns(&m, cost);
    hs_free_scratch(m.scratch);
    return err;
}

/* ---- whose a pattern is ---------------------------------------------------------------------
 */

static bool has_bit(const struct plan_pattern *pattern, const struct sec_link *link)
{
    unsigned bits = link->rule->multi_match ? link->path_count : 1;
    for (unsigned i = 0; link->bit != NO_BIT && i < pattern->find_count; i++) {
        if (pattern->finds[i].bit >= link->bit && pattern->finds[i].bit < link->bit + bits)
            return true;
    }
    return false;
}

static bool chain_looks(const struct plan_pattern *pattern, const struct sec_link *link)
{
    while (link != NULL && !has_bit(pattern, link))
        link = link->next;
    return link != NULL;
}

/* A rule of the configuration stands in two phases, and is one. */
static bool is_told(const struct sec_rule *rule, const struct sec_rule *const *rules,
                    unsigned count)
{
    for (unsigned i = 0; i < count; i++) {
        if (rule->own != NULL && rules[i]->own == rule->own)
            return true;
    }
    return false;
}

unsigned cost_rules(const struct sec_plan *plan, unsigned pattern,
                    const struct sec_rule **rules, unsigned max)
{
    unsigned count = 0;
    for (unsigned phase = 1; phase < SEC_PHASES; phase++) {
        const struct plan_phase *list = &plan->phases[phase];
        for (unsigned i = 0; i < list->count && count < max; i++) {
            const struct sec_link *head = list->entries[i].head;
            if (chain_looks(&plan->patterns[pattern], head) &&
                !is_told(head->rule, rules, count))
                rules[count++] = head->rule;
        }
    }
    return count;
}
