/* Transformation chains of all links, merged into one tree. */
#include "rules/engine/build.h"

/* The form that is `step` after `parent`; PLAN_FORMS_MAX when there is no room for it. */
static unsigned form_after(struct sec_plan *plan, unsigned parent, const struct transform *step)
{
    if (step->apply == NULL)
        return parent;
    for (unsigned i = 1; i < plan->form_count; i++) {
        if (plan->forms[i].parent == parent && plan->forms[i].step == step)
            return i;
    }
    if (plan->form_count == PLAN_FORMS_MAX)
        return PLAN_FORMS_MAX;
    plan->forms[plan->form_count] = (struct plan_form){
        .step = step,
        .parent = (uint16_t)parent,
        .triggers = step->triggers | plan->forms[parent].triggers,
        .set_off_by = step->triggers,
    };
    return plan->form_count++;
}

/* ---- without case ---------------------------------------------------------------------------
 */

enum { STEPS_MAX = 32 };

/* What these do does not depend on the case of letters. */
static bool is_blind_to_case(const struct transform *step)
{
    static const char *const names[] = {
        "removeWhitespace",
        "compressWhitespace",
        "removeNulls",
        "replaceNulls",
        "trim",
        "trimLeft",
        "trimRight",
        "normalizePath",
        "normalisePath",
        "normalizePathWin",
        "normalisePathWin",
        "replaceComments",
    };
    for (size_t i = 0; i < ARRAY_LEN(names); i++) {
        if (strcmp(step->name, names[i]) == 0)
            return true;
    }
    return step == &seclang_cmd_line_cased;
}

/* The step that is left of `step` when case does not count; NULL: none. */
static const struct transform *without_case(const struct transform *step)
{
    if (strcmp(step->name, "lowercase") == 0)
        return NULL;
    return strcmp(step->name, "cmdLine") == 0 ? &seclang_cmd_line_cased : step;
}

unsigned plan_form_without_case(struct sec_plan *plan, unsigned form)
{
    const struct transform *kept[STEPS_MAX];
    unsigned count = 0, at = form;
    for (; at != 0; at = plan->forms[at].parent) {
        const struct transform *step = without_case(plan->forms[at].step);
        if (count == STEPS_MAX || (step != NULL && !is_blind_to_case(step)))
            break;
        if (step != NULL)
            kept[count++] = step;
    }
    while (count > 0 && at != PLAN_FORMS_MAX)
        at = form_after(plan, at, kept[--count]);
    return at != PLAN_FORMS_MAX ? at : form;
}

enum err plan_link_forms(struct plan_builder *b, struct sec_link *link)
{
    const struct sec_rule *rule = link->rule;
    uint16_t *path = arena_array(b->arena, uint16_t, rule->transform_count + 1);
    if (path == NULL)
        return ERR_MEMORY;
    unsigned at = 0;
    for (unsigned i = 0; i < rule->transform_count; i++) {
        at = form_after(b->plan, at, rule->transforms[i]);
        if (at == PLAN_FORMS_MAX) {
            text_format(b->why, "more than %d different transformation chains", PLAN_FORMS_MAX);
            return ERR_CONFIG;
        }
        path[i + 1] = (uint16_t)at;
    }
    link->form = (uint16_t)at;
    link->path = path;
    link->path_count = (uint16_t)(rule->transform_count + 1);
    return OK;
}
