/*
 * What of the links that stay is the same in every transaction: arguments of operators whose
 * macros name only variables that nothing writes any more are texts. And links that do nothing
 * but make, of each value, a variable which the next link looks at: such a chain is looked at
 * only where the next one would match, so that lists of what fields are restricted cost
 * nothing where none of them is sent.
 */
#include "rules/engine/build.h"
#include "rules/engine/run.h"

struct settling {
    struct plan_builder *b;
    bool *written; /* by slot: something that stays writes it */
};

/* ---- what is written ------------------------------------------------------------------------
 */

static bool writes_tx(const struct sec_step *step)
{
    return (step->kind == STEP_SETVAR || step->kind == STEP_ADDVAR ||
            step->kind == STEP_UNSETVAR || step->kind == STEP_DEPRECATEVAR) &&
           step->collection == COLLECTION_TX;
}

static void find_written(struct settling *s)
{
    const struct sec_plan *plan = s->b->plan;
    for (unsigned i = 0; i < s->b->link_count; i++) {
        const struct sec_link *link = s->b->links[i];
        for (unsigned j = 0; j < link->step_count; j++) {
            const struct sec_step *step = link->steps[j].step;
            for (unsigned k = 0; writes_tx(step) && k < plan->slot_count; k++)
                s->written[k] =
                    s->written[k] || plan_may_name(&step->name, plan->slot_names[k]);
        }
    }
}

/* ---- arguments ------------------------------------------------------------------------------
 */

static bool is_settled(const struct settling *s, const struct macro *macro)
{
    if (!plan_all_slots(s->b->plan, macro))
        return false;
    for (unsigned i = 0; i < macro->count; i++) {
        const struct macro_part *part = &macro->parts[i];
        if (part->variable && s->written[part->slot - 1])
            return false;
    }
    return true;
}

/* As sec_expand would have it. */
static enum err settle_argument(struct settling *s, struct sec_link *link)
{
    const struct macro *macro = &link->op->argument;
    struct arena *arena = s->b->arena;
    if (link->rule->unconditional || macro->literal || link->op->row->kind != OPERATOR_EVAL ||
        link->op->row->compile != NULL || !is_settled(s, macro))
        return OK;
    struct text text = text_growing(arena, RUN_MACRO_BYTES_MAX);
    struct sec_operator *op = arena_new(arena, struct sec_operator);
    for (unsigned i = 0; i < macro->count; i++) {
        const struct macro_part *part = &macro->parts[i];
        text_add(&text, part->variable ? s->b->plan->initial[part->slot - 1] : part->text);
    }
    if (op == NULL)
        return ERR_MEMORY;
    if (text.overflow || text.len == 0 || text.len >= RUN_MACRO_BYTES_MAX)
        return arena->exhausted ? ERR_MEMORY : OK;
    *op = *link->op;
    op->argument = (struct macro){ .source = text_span(&text), .literal = true };
    link->op = op;
    return OK;
}

/* ---- links that feed the next ---------------------------------------------------------------
 */

/* Of text and TX:0 alone, text first. */
static bool is_made_of_match(const struct macro *macro)
{
    for (unsigned i = 0; !macro->literal && i < macro->count; i++) {
        const struct macro_part *part = &macro->parts[i];
        if (part->variable ? part->var != VAR_TX || part->slot != PLAN_CAPTURES_FROM
                           : part->text.len == 0)
            return false;
    }
    return !macro->literal && macro->count > 0 && !macro->parts[0].variable;
}

static bool overlap(struct span a, struct span b)
{
    return a.len < b.len ? span_starts_nocase(b, a) : span_starts_nocase(a, b);
}

/* Names that begin with `prefix` may be written by it, too. */
static bool may_write(const struct macro *name, struct span prefix)
{
    if (name->literal)
        return span_starts_nocase(name->source, prefix);
    if (name->count == 0 || name->parts[0].variable)
        return name->count == 0 || name->parts[0].var != VAR_RULE ||
               (prefix.p[0] >= '0' && prefix.p[0] <= '9');
    return overlap(name->parts[0].text, prefix);
}

static bool macro_may_read(const struct macro *macro, struct span prefix)
{
    for (unsigned i = 0; !macro->literal && i < macro->count; i++) {
        const struct macro_part *part = &macro->parts[i];
        if (part->variable && part->var == VAR_TX && span_starts_nocase(part->text, prefix))
            return true;
    }
    return false;
}

/* Whether the target may see a name that begins so, but for those that a check asks about
 * (check.c). */
static bool may_read(const struct sec_plan *plan, const struct sec_target *target,
                     const struct link_target *known, struct span prefix)
{
    if (macro_may_read(&target->key_macro, prefix))
        return true;
    if (target->var != VAR_TX)
        return false;
    if (target->key_kind == KEY_NAME)
        return !(target->key_macro.literal || target->key_macro.count == 0) ||
               span_starts_nocase(target->key, prefix);
    return target->key_kind != KEY_REGEX || known->key == PLAN_KEYS_MAX ||
           plan->keys[known->key].digits != 0;
}

static bool link_may_read(const struct sec_plan *plan, const struct sec_link *link,
                          struct span prefix)
{
    const struct sec_rule *rule = link->rule;
    bool reads = macro_may_read(&link->op->argument, prefix);
    for (unsigned i = 0; i < rule->target_count && !reads; i++)
        reads = may_read(plan, &rule->targets[i], &link->targets[i], prefix);
    for (unsigned i = 0; i < link->step_count && !reads; i++)
        reads = macro_may_read(&link->steps[i].step->name, prefix) ||
                macro_may_read(&link->steps[i].step->value, prefix);
    if (link->rule != link->rule->head || reads)
        return reads;
    reads = macro_may_read(&rule->message, prefix) || macro_may_read(&rule->log_data, prefix) ||
            macro_may_read(&rule->redirect, prefix);
    for (unsigned i = 0; rule->tag_macros != NULL && i < rule->tag_count && !reads; i++)
        reads = macro_may_read(&rule->tag_macros[i], prefix);
    return reads;
}

/* Whether nothing but the feeder writes names that begin so. */
static bool only_writes(const struct settling *s, const struct sec_link *feeder,
                        struct span prefix)
{
    for (unsigned i = 0; i < s->b->plan->slot_count; i++) {
        if (span_starts_nocase(s->b->plan->slot_names[i], prefix))
            return false;
    }
    for (unsigned i = 0; i < s->b->link_count; i++) {
        const struct sec_link *link = s->b->links[i];
        for (unsigned j = 0; link != feeder && j < link->step_count; j++) {
            const struct sec_step *step = link->steps[j].step;
            if (writes_tx(step) && may_write(&step->name, prefix))
                return false;
        }
    }
    return true;
}

/* And nothing but the next link reads them. */
static bool is_private(const struct settling *s, const struct sec_link *feeder,
                       struct span prefix)
{
    for (unsigned i = 0; i < s->b->link_count; i++) {
        const struct sec_link *link = s->b->links[i];
        if (link != feeder->next && link_may_read(s->b->plan, link, prefix))
            return false;
    }
    return only_writes(s, feeder, prefix);
}

/* ---- captures -------------------------------------------------------------------------------
 */

static bool macro_reads_captures(const struct macro *macro)
{
    for (unsigned i = 0; !macro->literal && i < macro->count; i++) {
        if (macro->parts[i].variable && macro->parts[i].slot >= PLAN_CAPTURES_FROM)
            return true;
    }
    return false;
}

static bool targets_read_captures(const struct sec_plan *plan, const struct sec_link *link)
{
    for (unsigned i = 0; i < link->rule->target_count; i++) {
        const struct sec_target *target = &link->rule->targets[i];
        unsigned key = link->targets[i].key;
        if (target->var != VAR_TX || link->targets[i].slot != NO_SLOT)
            continue;
        if (target->key_kind != KEY_REGEX || key == PLAN_KEYS_MAX ||
            plan->keys[key].digits != 0)
            return true;
    }
    return false;
}

/* What matches leaves no older captures: of regular expressions, and lists of words. */
static bool captures_anew(const struct sec_link *link)
{
    const struct sec_rule *rule = link->rule;
    return rule->capture && !rule->unconditional && !link->op->negated &&
           (link->op->row->kind == OPERATOR_REGEX ||
            link->op->row->eval == operator_find(SPAN("pm"))->eval ||
            link->op->row->eval == operator_find(SPAN("detectSQLi"))->eval ||
            link->op->row->eval == operator_find(SPAN("detectXSS"))->eval);
}

static bool steps_read_captures(const struct sec_link *link)
{
    for (unsigned i = 0; i < link->step_count; i++) {
        if (macro_reads_captures(&link->steps[i].step->name) ||
            macro_reads_captures(&link->steps[i].step->value))
            return true;
    }
    return false;
}

/* Whether the chain might read what an earlier one captured. */
static bool reads_old_captures(const struct sec_plan *plan, const struct sec_link *head)
{
    const struct sec_rule *rule = head->rule;
    bool anew = false;
    for (const struct sec_link *link = head; link != NULL; link = link->next) {
        if (!anew &&
            (targets_read_captures(plan, link) || macro_reads_captures(&link->op->argument)))
            return true;
        anew = anew || captures_anew(link);
        if (!anew && steps_read_captures(link))
            return true;
    }
    for (unsigned i = 0; rule->tag_macros != NULL && i < rule->tag_count;
         i++) { /* expanded later than the rest */
        if (macro_reads_captures(&rule->tag_macros[i]))
            return true;
    }
    return !anew &&
           (macro_reads_captures(&rule->message) || macro_reads_captures(&rule->log_data) ||
            macro_reads_captures(&rule->redirect));
}

/* Links are in the order of the program. */
static bool captures_are_read(const struct settling *s, const struct sec_link *feeder)
{
    bool behind = false;
    for (unsigned i = 0; i < s->b->link_count; i++) {
        const struct sec_link *link = s->b->links[i];
        if (behind && link->rule == link->rule->head && reads_old_captures(s->b->plan, link))
            return true;
        behind = behind || link == feeder;
    }
    return false;
}

/* ---- all ------------------------------------------------------------------------------------
 */

/* What the next link looks at is what this one makes. */
static bool is_fed(const struct sec_plan *plan, const struct sec_link *next)
{
    const struct sec_rule *rule = next->rule;
    const struct sec_target *target = rule->targets;
    return rule->target_count == 1 && !target->exclude && !target->count &&
           target->var == VAR_TX && target->key_kind == KEY_REGEX &&
           next->targets[0].key != PLAN_KEYS_MAX &&
           plan->keys[next->targets[0].key].prefix.len > 0 && next->form == 0 &&
           !rule->multi_match && next->op->row->kind == OPERATOR_EVAL &&
           next->op->argument.literal && !next->op->negated;
}

static bool feeds(const struct settling *s, const struct sec_link *link)
{
    const struct sec_rule *rule = link->rule;
    const struct sec_plan *plan = s->b->plan;
    if (rule != rule->head || rule->own != NULL || link->next == NULL || !rule->capture ||
        rule->unconditional || rule->multi_match || link->op->negated ||
        link->op->regex == NULL || !regex_takes_all(link->op->regex) ||
        !is_fed(plan, link->next) ||
        plan->unseen_name_count + link->step_count > PLAN_FEEDS_MAX)
        return false;
    for (unsigned i = 0; i < rule->target_count; i++) {
        if (rule->targets[i].count || !plan_scannable(rule->targets[i].var))
            return false;
    }
    for (unsigned i = 0; i < link->step_count; i++) {
        const struct sec_step *step = link->steps[i].step;
        if (step->kind != STEP_SETVAR || step->collection != COLLECTION_TX ||
            !is_made_of_match(&step->name) || !is_made_of_match(&step->value) ||
            !is_private(s, link, step->name.parts[0].text))
            return false;
    }
    return only_writes(s, link, plan->keys[link->next->targets[0].key].prefix) &&
           !captures_are_read(s, link);
}

void plan_feed_check(const struct plan_builder *b, const struct sec_link *link,
                     struct plan_check *check)
{
    *check = (struct plan_check){ .op = link->op, .feeds = link };
    for (unsigned i = 0; i < b->link_count; i++) {
        const struct sec_link *other = b->links[i];
        for (unsigned j = 0; j < other->rule->target_count; j++) {
            unsigned key = other->targets[j].key;
            if (other != link->next && key != PLAN_KEYS_MAX &&
                other->rule->targets[j].var == VAR_TX)
                check->keys |= UINT64_C(1) << key;
        }
    }
}

static enum err settle(struct settling *s)
{
    struct sec_plan *plan = s->b->plan;
    find_written(s);
    for (unsigned i = 0; i < s->b->link_count; i++)
        TRY(settle_argument(s, s->b->links[i]));
    if (s->b->all_seen || plan_looks_back(s->b))
        return OK;
    for (unsigned i = 0; i < s->b->link_count; i++) {
        struct sec_link *link = s->b->links[i];
        link->feeds = feeds(s, link);
        for (unsigned j = 0; link->feeds && j < link->step_count; j++)
            plan->unseen_names[plan->unseen_name_count++] =
                link->steps[j].step->name.parts[0].text;
    }
    return OK;
}

enum err plan_settle(struct plan_builder *b)
{
    struct settling s = { .b = b };
    s.written = arena_array(b->arena, bool, b->plan->slot_count);
    return s.written != NULL ? settle(&s) : ERR_MEMORY;
}
