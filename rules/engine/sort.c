/* Patterns by what they need. */
#include "rules/engine/sort.h"

#include "rules/engine/database.h"
#include "rules/engine/facts.h"

static bool needs_line_end(const struct pattern_need *need)
{
    struct byte_set all = { { 0 } };
    byte_set_add(&all, '\n');
    byte_set_add(&all, '\r');
    byte_set_unite(&all, &need->bytes);
    return all.words[0] == (UINT64_C(1) << '\n' | UINT64_C(1) << '\r') &&
           (all.words[1] | all.words[2] | all.words[3]) == 0;
}

/* What its ways have, each by itself: one text of a list, or one byte. */
static enum err sort_ways(struct sorted *s, struct arena *arena)
{
    unsigned count = 0;
    for (unsigned i = 0; i < s->ways.count; i++)
        count += s->ways.items[i].lists[0].count;
    s->texts = arena_array(arena, struct span, count + 1);
    if (s->texts == NULL)
        return ERR_MEMORY;
    for (unsigned i = 0; i < s->ways.count; i++) {
        const struct need_way *way = &s->ways.items[i];
        const struct byte_set *rarest = &way->starts[0];
        if (way->set_count > 0 && byte_set_share(&way->sets[0]) < byte_set_share(rarest))
            rarest = &way->sets[0];
        if (way->list_count == 0) {
            byte_set_unite(&s->unless, rarest);
            s->others += need_way_share(way);
            s->started = s->started || need_starts_tell(way->starts);
        }
        for (unsigned j = 0; j < way->lists[0].count && way->list_count > 0; j++)
            s->texts[s->text_count++] = way->lists[0].texts[j];
    }
    return OK;
}

/* Only if most of the values that pass the gate have to have something else, too. */
static bool is_told(const struct sorted *s)
{
    unsigned gate = byte_set_share(&s->gate);
    return (s->text_count > 0 || s->started) && s->text_count <= NEED_TOLD_MAX &&
           2 * s->others < (gate < 1000 ? gate : 1000);
}

/* `apart`: so that the databases of the rule set do not depend on it. */
static void sort_pattern(struct sorted *s, const struct plan_pattern *pattern, bool apart)
{
    const struct pattern_need *need = &s->need;
    s->gate = need->bytes;
    s->kind = CLUSTER_UNTOLD;
    if (need->never && byte_set_share(&need->relied) < byte_set_share(&s->gate))
        s->gate = need->relied;
    if (apart)
        s->kind = CLUSTER_OWN;
    else if (need->literal)
        s->kind = pattern->shortest == 1 ? CLUSTER_BYTES : CLUSTER_LITERALS;
    else if (needs_line_end(need))
        s->kind = CLUSTER_LINE_ENDS;
    else if (is_told(s))
        s->kind =
            s->others <= NEED_STARTS_SHARE * NEED_WAYS_MAX ? CLUSTER_TOLD : CLUSTER_PLAIN_TOLD;
    if (s->kind != CLUSTER_TOLD && s->kind != CLUSTER_PLAIN_TOLD)
        s->text_count = 0;
}

static bool is_mixed(const struct sec_plan *plan)
{
    bool own = false, others = false;
    for (unsigned i = 0; i < plan->pattern_count; i++) {
        own = own || plan->patterns[i].own;
        others = others || !plan->patterns[i].own;
    }
    return own && others;
}

enum err plan_sort(struct plan_builder *b, struct edge_room *edges, struct sorted **patterns)
{
    const struct sec_plan *plan = b->plan;
    struct facts *facts = b->maker->facts;
    bool mixed = is_mixed(plan);
    *patterns = arena_array(b->arena, struct sorted, plan->pattern_count);
    if (*patterns == NULL)
        return ERR_MEMORY;
    for (unsigned i = 0; i < plan->pattern_count; i++) {
        const struct plan_pattern *pattern = &plan->patterns[i];
        struct sorted *s = &(*patterns)[i];
        if (pattern->check != NULL)
            continue;
        TRY(facts_need(facts, pattern->text, pattern->flags, b->arena, &s->need));
        if (!s->need.literal)
            TRY(facts_ways(facts, pattern->text, pattern->flags, b->arena, &s->ways));
        TRY(sort_ways(s, b->arena));
        sort_pattern(s, pattern, mixed && pattern->own);
        bool told = s->kind == CLUSTER_TOLD || s->kind == CLUSTER_PLAIN_TOLD;
        if (!s->need.literal && (!told || edges_are_worth_it(&s->ways)))
            s->edges = edges_choose(edges, pattern->text, pattern->flags);
    }
    return OK;
}
