/*
 * Classes: which values are scanned with which patterns. Variables that nearly the same
 * patterns look at share a class, so that one database stays in the cache.
 */
#include "rules/engine/build.h"

enum { GROUPS_MAX = 256 };

/* A variable whose values are scanned, and one that shows the same values. */
static const struct shown_as {
    enum variable var, also;
    bool named; /* one of them may have a class of its own, by name */
} shown_as[] = {
    { VAR_ARGS_GET, VAR_ARGS, false },
    { VAR_ARGS_POST, VAR_ARGS, false },
    { VAR_ARGS_GET_NAMES, VAR_ARGS_NAMES, false },
    { VAR_ARGS_POST_NAMES, VAR_ARGS_NAMES, false },
    { VAR_REQUEST_COOKIES, VAR_COUNT, false },
    { VAR_REQUEST_COOKIES_NAMES, VAR_COUNT, false },
    { VAR_REQUEST_HEADERS, VAR_COUNT, true },
    { VAR_REQUEST_HEADERS_NAMES, VAR_COUNT, false },
    { VAR_REQUEST_URI, VAR_COUNT, false },
    { VAR_REQUEST_URI_RAW, VAR_COUNT, false },
    { VAR_REQUEST_FILENAME, VAR_COUNT, false },
    { VAR_REQUEST_BASENAME, VAR_COUNT, false },
    { VAR_REQUEST_LINE, VAR_COUNT, false },
    { VAR_REQUEST_METHOD, VAR_COUNT, false },
    { VAR_REQUEST_PROTOCOL, VAR_COUNT, false },
    { VAR_QUERY_STRING, VAR_COUNT, false },
    { VAR_REQUEST_BODY, VAR_COUNT, false },
    { VAR_XML, VAR_COUNT, false },
    { VAR_FILES, VAR_COUNT, false },
    { VAR_FILES_NAMES, VAR_COUNT, false },
    { VAR_MULTIPART_PART_HEADERS, VAR_COUNT, false },
    { VAR_RESPONSE_HEADERS, VAR_COUNT, true },
    { VAR_RESPONSE_HEADERS_NAMES, VAR_COUNT, false },
    { VAR_RESPONSE_STATUS, VAR_COUNT, false },
    { VAR_RESPONSE_BODY, VAR_COUNT, false },
    { VAR_OWN_PATH, VAR_COUNT, false },
    { VAR_OWN_HOST, VAR_COUNT, false },
    { VAR_OWN_COOKIES, VAR_COUNT, false },
    { VAR_OWN_ARGS, VAR_COUNT, false },
    { VAR_OWN_ARGS_NAMES, VAR_COUNT, false },
    { VAR_OWN_BODY, VAR_COUNT, false },
};

enum variable plan_seen_as(enum variable var, unsigned *from)
{
    for (; *from < ARRAY_LEN(shown_as); ++*from) {
        const struct shown_as *row = &shown_as[*from];
        if (row->var == var || row->also == var) {
            ++*from;
            return row->var;
        }
    }
    return VAR_COUNT;
}

/* The values of a variable, or those of one name, and the bits that may be found in them. */
struct group {
    enum variable var;
    struct span name; /* p NULL: all that have no group of their own */
    uint64_t *bits;
    unsigned class;
};

_Static_assert(GROUPS_MAX < UINT16_MAX, "a group's number, and group 0");

struct grouping {
    struct plan_builder *b;
    struct group groups[GROUPS_MAX];
    unsigned count;
};

/* ---- groups ---------------------------------------------------------------------------------
 */

static enum err add_group(struct grouping *g, enum variable var, struct span name)
{
    for (unsigned i = 0; i < g->count; i++) {
        if (g->groups[i].var == var && span_equal_nocase(g->groups[i].name, name))
            return OK;
    }
    if (g->count == GROUPS_MAX) {
        text_format(g->b->why, "rules name more than %d fields", GROUPS_MAX);
        return ERR_CONFIG;
    }
    uint64_t *bits = arena_array(g->b->arena, uint64_t, g->b->plan->bit_words);
    if (bits == NULL)
        return ERR_MEMORY;
    g->groups[g->count++] = (struct group){ .var = var, .name = name, .bits = bits };
    return OK;
}

/* One field, which the rule itself names. */
static bool names_field(const struct sec_target *target)
{
    return target->key_kind == KEY_NAME &&
           (target->key_macro.literal || target->key_macro.count == 0);
}

bool plan_names_one_of_many(const struct sec_target *target)
{
    bool told_apart = false;
    for (size_t i = 0; i < ARRAY_LEN(shown_as); i++)
        told_apart = told_apart || (shown_as[i].named && shown_as[i].var == target->var);
    return names_field(target) && !told_apart;
}

/* The fields of a kind that a rule names. */
static enum err find_fields(struct grouping *g, const struct sec_link *link, enum variable var)
{
    for (unsigned i = 0; plan_bit_of(link) != NO_BIT && i < link->rule->target_count; i++) {
        const struct sec_target *target = &link->rule->targets[i];
        if (target->var == var && names_field(target) && !target->exclude && !target->count)
            TRY(add_group(g, var, target->key));
    }
    return OK;
}

static enum err find_groups(struct grouping *g)
{
    for (size_t i = 0; i < ARRAY_LEN(shown_as); i++) {
        TRY(add_group(g, shown_as[i].var, (struct span){ 0 }));
        for (unsigned j = 0; shown_as[i].named && j < g->b->link_count; j++)
            TRY(find_fields(g, g->b->links[j], shown_as[i].var));
    }
    return OK;
}

static const struct shown_as *row_of(enum variable var)
{
    for (size_t i = 0; i < ARRAY_LEN(shown_as); i++) {
        if (shown_as[i].var == var)
            return &shown_as[i];
    }
    return NULL;
}

static bool looks_at(const struct group *group, const struct sec_target *target)
{
    const struct shown_as *row = row_of(group->var);
    if (target->exclude || target->count)
        return false;
    if (target->var != row->var && target->var != row->also)
        return false;
    if (!row->named || !names_field(target))
        return true;
    return group->name.p != NULL && span_equal_nocase(group->name, target->key);
}

static void fill_group(struct grouping *g, struct group *group)
{
    for (unsigned i = 0; i < g->b->link_count; i++) {
        const struct sec_link *link = g->b->links[i];
        bool looked = false;
        for (unsigned j = 0; plan_bit_of(link) != NO_BIT && j < link->rule->target_count; j++)
            looked = looked || looks_at(group, &link->rule->targets[j]);
        unsigned bits = !looked ? 0 : link->rule->multi_match ? link->path_count : 1;
        for (unsigned j = 0; j < bits; j++)
            bit_add(group->bits, plan_bit_of(link) + j);
    }
}

/* ---- groups to classes ----------------------------------------------------------------------
 */

struct sets {
    unsigned both, either;
};

static struct sets compare(const uint64_t *a, const uint64_t *b, unsigned words)
{
    struct sets sets = { 0, 0 };
    for (unsigned i = 0; i < words; i++) {
        sets.both += (unsigned)__builtin_popcountll(a[i] & b[i]);
        sets.either += (unsigned)__builtin_popcountll(a[i] | b[i]);
    }
    return sets;
}

struct class_draft {
    uint64_t *bits;
};

/* The class that shares at least half of the bits, or a new one. */
static enum err classify(struct grouping *g, struct class_draft *drafts, struct group *group)
{
    struct sec_plan *plan = g->b->plan;
    unsigned words = plan->bit_words, best = 0, best_both = 0;
    if (compare(group->bits, group->bits, words).both == 0)
        return OK;
    for (unsigned i = 1; i < plan->class_count; i++) {
        struct sets sets = compare(drafts[i].bits, group->bits, words);
        if (2 * sets.both >= sets.either && sets.both > best_both) {
            best = i;
            best_both = sets.both;
        }
    }
    if (best == 0 && plan->class_count == PLAN_CLASSES_MAX)
        best = 1;
    if (best == 0) {
        best = plan->class_count++;
        drafts[best].bits = arena_array(g->b->arena, uint64_t, words);
        if (drafts[best].bits == NULL)
            return ERR_MEMORY;
    }
    for (unsigned i = 0; i < words; i++)
        drafts[best].bits[i] |= group->bits[i];
    group->class = best;
    return OK;
}

static enum err name_classes(struct grouping *g)
{
    struct sec_plan *plan = g->b->plan;
    plan->named = arena_array(g->b->arena, struct plan_named, g->count);
    plan->groups = arena_array(g->b->arena, struct plan_group, g->count + 1);
    if (plan->named == NULL || plan->groups == NULL)
        return ERR_MEMORY;
    for (unsigned i = 0; i < g->count; i++) {
        const struct group *group = &g->groups[i];
        uint16_t number = group->class != 0 ? (uint16_t)(i + 1) : 0;
        if (number != 0)
            plan->groups[number] =
                (struct plan_group){ .bits = group->bits, .class = (uint8_t)group->class };
        if (group->name.p == NULL) {
            plan->group_of[group->var] = number;
            continue;
        }
        plan->named[plan->named_count++] =
            (struct plan_named){ .name = group->name, .var = group->var, .group = number };
        bit_add(plan->named_vars, group->var);
    }
    for (size_t i = 0; i < ARRAY_LEN(shown_as); i++) {
        enum variable var = shown_as[i].var;
        if (plan->group_of[var] != 0 || bit_has(plan->named_vars, var))
            plan->scanned[plan->scanned_count++] = var;
    }
    return OK;
}

/* ---- a class's patterns ---------------------------------------------------------------------
 */

static bool wanted(const struct plan_pattern *pattern, const uint64_t *bits)
{
    for (unsigned i = 0; i < pattern->find_count; i++) {
        if (bit_has(bits, pattern->finds[i].bit))
            return true;
    }
    return false;
}

static void add_form(const struct sec_plan *plan, bool *forms, unsigned form)
{
    for (; form != 0; form = plan->forms[form].parent)
        forms[form] = true;
}

/* What is too much stays so: no memory suffices for it. */
static size_t product(size_t a, size_t b)
{
    size_t result;
    return __builtin_mul_overflow(a, b, &result) ? SIZE_MAX : result;
}

static size_t sum(size_t a, size_t b)
{
    size_t result;
    return __builtin_add_overflow(a, b, &result) ? SIZE_MAX : result;
}

/* A step's room is in proportion to what it is given, or a constant. */
static enum err class_room(struct plan_builder *b, struct scan_class *class)
{
    enum { ALIGNED = 16 };
    const struct sec_plan *plan = b->plan;
    size_t *each = arena_array(b->arena, size_t, plan->form_count);
    size_t *least = arena_array(b->arena, size_t, plan->form_count);
    if (each == NULL || least == NULL)
        return ERR_MEMORY;
    each[0] = 1;
    for (unsigned i = 0; i < class->form_count; i++) {
        unsigned form = class->forms[i], parent = plan->forms[form].parent;
        const struct transform *step = plan->forms[form].step;
        size_t grow = step->grow > 1 ? step->grow : 1;
        each[form] = product(each[parent], grow);
        least[form] = sum(product(least[parent], grow), step->least);
        class->room_each = sum(class->room_each, each[form]);
        class->room_least = sum(class->room_least, sum(least[form], ALIGNED));
    }
    return OK;
}

static enum err class_forms(struct plan_builder *b, struct scan_class *class, const bool *wants)
{
    uint16_t *forms = arena_array(b->arena, uint16_t, b->plan->form_count);
    if (forms == NULL)
        return ERR_MEMORY;
    for (unsigned i = 1; i < b->plan->form_count; i++) {
        if (!wants[i])
            continue;
        forms[class->form_count++] = (uint16_t)i;
        class->triggers |= b->plan->forms[i].step->triggers;
    }
    class->forms = forms;
    TRY(plan_batch_begin(b, class));
    return class_room(b, class);
}

struct gathering {
    const struct sec_plan *plan;
    const uint64_t *bits;
    uint32_t *ids;
    unsigned count;
    bool forms[PLAN_FORMS_MAX];
};

/* Patterns, or checks. */
static unsigned gather_all(struct gathering *g, bool checks)
{
    unsigned before = g->count;
    for (unsigned i = 0; i < g->plan->pattern_count; i++) {
        const struct plan_pattern *pattern = &g->plan->patterns[i];
        if ((pattern->check != NULL) != checks || !wanted(pattern, g->bits))
            continue;
        g->ids[g->count++] = i;
        for (unsigned j = 0; j < pattern->find_count; j++) {
            if (bit_has(g->bits, pattern->finds[j].bit))
                add_form(g->plan, g->forms, pattern->finds[j].form);
        }
    }
    return g->count - before;
}

static enum err gather(struct plan_builder *b, struct scan_class *class, const uint64_t *bits)
{
    struct gathering g = { .plan = b->plan, .bits = bits };
    g.ids = arena_array(b->arena, uint32_t, b->plan->pattern_count);
    if (g.ids == NULL)
        return ERR_MEMORY;
    class->ids = g.ids;
    class->id_count = gather_all(&g, false);
    class->check_count = gather_all(&g, true);
    return class_forms(b, class, g.forms);
}

/* ---- a form's patterns ----------------------------------------------------------------------
 */

/* What plain values may have: steps that these set off make texts of their own all the time. */
enum {
    USUAL_TRAITS = TRAIT_ANY | TRAIT_UPPER | TRAIT_SPACE | TRAIT_GAP | TRAIT_RUN | TRAIT_QUOTE |
                   TRAIT_SHELL | TRAIT_HIGH,
};

static bool is_found_in(const struct plan_pattern *pattern, const uint64_t *bits, unsigned form)
{
    for (unsigned i = 0; i < pattern->find_count; i++) {
        if (pattern->finds[i].form == form && bit_has(bits, pattern->finds[i].bit))
            return true;
    }
    return false;
}

/* The class of one form's patterns, of those of `whole`; 0 where all of them serve as well. */
static enum err class_of_form(struct plan_builder *b, const struct scan_class *whole,
                              const uint64_t *bits, unsigned form, uint8_t *number)
{
    struct sec_plan *plan = b->plan;
    uint32_t *ids = arena_array(b->arena, uint32_t, whole->id_count);
    unsigned count = 0;
    *number = 0;
    if (ids == NULL)
        return ERR_MEMORY;
    for (unsigned i = 0; i < whole->id_count; i++) {
        if (is_found_in(&plan->patterns[whole->ids[i]], bits, form))
            ids[count++] = whole->ids[i];
    }
    if (2 * count > whole->id_count || plan->class_count == PLAN_CLASSES_MAX ||
        (plan->forms[form].triggers & USUAL_TRAITS) == 0)
        return OK;
    *number = (uint8_t)plan->class_count;
    struct scan_class *class = &plan->classes[plan->class_count++];
    *class = (struct scan_class){ .ids = ids, .id_count = count };
    return plan_batch_begin(b, class);
}

static enum err classes_of_forms(struct plan_builder *b, struct scan_class *class,
                                 const uint64_t *bits)
{
    uint16_t *looked = arena_array(b->arena, uint16_t, b->plan->form_count);
    uint8_t *own = arena_array(b->arena, uint8_t, b->plan->form_count);
    if (looked == NULL || own == NULL)
        return ERR_MEMORY;
    for (unsigned form = 0; form < b->plan->form_count; form++) {
        bool any = false;
        for (unsigned i = 0; i < class->id_count && !any; i++)
            any = is_found_in(&b->plan->patterns[class->ids[i]], bits, form);
        if (!any)
            continue;
        if (form > 0)
            TRY(class_of_form(b, class, bits, form, &own[class->looked_count]));
        looked[class->looked_count++] = (uint16_t)form;
    }
    class->looked = looked;
    class->own = own;
    return OK;
}

/* ---- what a group needs of its class --------------------------------------------------------
 */

static void add_place(const struct scan_class *class, unsigned form, struct places *places)
{
    unsigned place = class->place_of[form];
    if (place == class->place_count)
        return;
    for (; form != 0; form = class->steps[class->place_of[form]].parent)
        bit_add(places->words, class->place_of[form]);
    bit_add(places->words, 0);
}

/* False: it has nothing to do with the pattern. */
static bool add_pattern(const struct sec_plan *plan, struct plan_group *group, unsigned id)
{
    const struct plan_pattern *pattern = &plan->patterns[id];
    for (unsigned i = 0; i < pattern->find_count; i++) {
        if (bit_has(group->bits, pattern->finds[i].bit))
            add_place(&plan->classes[group->class], pattern->finds[i].form, &group->places);
    }
    return wanted(pattern, group->bits);
}

static enum err finish_group(struct plan_builder *b, struct plan_group *group)
{
    const struct sec_plan *plan = b->plan;
    const struct scan_class *class = &plan->classes[group->class];
    struct group_check *checks = arena_array(b->arena, struct group_check, class->check_count);
    if (checks == NULL)
        return ERR_MEMORY;
    for (unsigned i = 0; i < class->check_count; i++) {
        uint32_t id = class->ids[class->id_count + i];
        const struct plan_pattern *check = &plan->patterns[id];
        if (add_pattern(plan, group, id))
            checks[group->check_count++] = (struct group_check){ check, check->check->traits };
    }
    group->checks = checks;
    for (unsigned i = 0; i < class->part_count; i++) {
        const struct scan_part *part = &class->parts[i];
        for (unsigned j = 0; j < part->id_count; j++) {
            if ((part->ids[j] & PART_OPENS) == 0 && add_pattern(plan, group, part->ids[j]))
                group->parts |= UINT32_C(1) << i;
        }
    }
    group->idle = group->parts == 0 && group->check_count == 0;
    return OK;
}

enum err plan_classes(struct plan_builder *b)
{
    struct grouping *g = arena_new(b->arena, struct grouping);
    struct class_draft drafts[PLAN_CLASSES_MAX] = { { NULL } };
    if (g == NULL)
        return ERR_MEMORY;
    g->b = b;
    b->plan->class_count = 1;
    TRY(find_groups(g));
    for (unsigned i = 0; i < g->count; i++) {
        fill_group(g, &g->groups[i]);
        TRY(classify(g, drafts, &g->groups[i]));
    }
    TRY(name_classes(g));
    unsigned count = b->plan->class_count;
    for (unsigned i = 1; i < count; i++)
        TRY(gather(b, &b->plan->classes[i], drafts[i].bits));
    for (unsigned i = 1; i < count; i++)
        TRY(classes_of_forms(b, &b->plan->classes[i], drafts[i].bits));
    TRY(plan_parts(b));
    for (unsigned i = 0; i <= g->count; i++) {
        if (b->plan->groups[i].class != 0)
            TRY(finish_group(b, &b->plan->groups[i]));
    }
    return OK;
}
