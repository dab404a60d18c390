/*
 * Action sets: how a rule's own actions and the default that stands make what it does.
 *
 * As in mod_security2 the default's transformations come first (unless `t:none` drops them),
 * then its state changes and tags; of what can be said once, the rule's own word counts. Unlike
 * there, a default counts for the phase that it names: the last one of any phase only stands in
 * where a rule's phase has none.
 */
#include "rules/seclang/parser.h"

static bool append_macros(struct parser *parser, struct macro_list *to,
                          const struct macro_list *from)
{
    for (unsigned i = 0; i < from->count; i++) {
        struct macro *added = LIST_ADD(parser, to);
        if (added == NULL)
            return false;
        *added = from->at[i];
    }
    return true;
}

static bool append_steps(struct parser *parser, struct step_list *to,
                         const struct step_list *from)
{
    for (unsigned i = 0; i < from->count; i++) {
        struct sec_step *added = LIST_ADD(parser, to);
        if (added == NULL)
            return false;
        *added = from->at[i];
    }
    return true;
}

static bool merge_lists(struct parser *parser, struct action_set *out,
                        const struct action_set *parent, const struct action_set *child,
                        struct place place)
{
    out->tags = (struct macro_list){ 0 };
    out->steps = (struct step_list){ 0 };
    out->transform_count = 0;
    unsigned inherited = child->transforms_anew ? 0 : parent->transform_count;
    if (inherited + child->transform_count > SECLANG_TRANSFORMS_MAX) {
        fault(parser, DIAG_SECLANG_LIMIT, place,
              "with its default actions the rule has too many transformations", SPAN(""));
        return false;
    }
    for (unsigned i = 0; i < inherited; i++)
        out->transforms[out->transform_count++] = parent->transforms[i];
    for (unsigned i = 0; i < child->transform_count; i++)
        out->transforms[out->transform_count++] = child->transforms[i];
    return append_macros(parser, &out->tags, &parent->tags) &&
           append_macros(parser, &out->tags, &child->tags) &&
           append_steps(parser, &out->steps, &parent->steps) &&
           append_steps(parser, &out->steps, &child->steps);
}

bool actions_merge(struct parser *parser, struct action_set *out,
                   const struct action_set *parent, const struct action_set *child,
                   struct place place)
{
    struct action_set merged = *child;
    const struct action_set *p = parent;

#define INHERIT(field, unsaid)                                                                 \
    if (unsaid)                                                                                \
    merged.field = p->field
    INHERIT(id, child->id == 0);
    INHERIT(id_text, child->id == 0);
    INHERIT(phase, child->phase == 0);
    INHERIT(disruptive, child->disruptive == DISRUPT_NONE);
    INHERIT(redirect, child->disruptive == DISRUPT_NONE || child->disruptive == DISRUPT_BLOCK);
    INHERIT(status, child->status == 0);
    INHERIT(skip_after, child->skip_after.p == NULL);
    INHERIT(skip_after_at, child->skip_after.p == NULL);
    INHERIT(skip, child->skip == 0);
    INHERIT(log, child->log == UNSAID);
    INHERIT(audit_log, child->audit_log == UNSAID);
    INHERIT(message, child->message.source.p == NULL);
    INHERIT(log_data, child->log_data.source.p == NULL);
    INHERIT(version, child->version.p == NULL);
    INHERIT(revision, child->revision.p == NULL);
    INHERIT(severity, child->severity < 0);
    INHERIT(maturity, child->maturity == 0);
    INHERIT(accuracy, child->accuracy == 0);
#undef INHERIT
    merged.capture = merged.capture || parent->capture;
    merged.multi_match = merged.multi_match || parent->multi_match;
    if (!merge_lists(parser, &merged, parent, child, place))
        return false;
    *out = merged;
    return true;
}

const struct action_set *default_actions(struct parser *parser, enum sec_phase phase)
{
    static const struct action_set built_in = {
        .phase = SEC_REQUEST_BODY,
        .log = YES,
        .audit_log = YES,
        .disruptive = DISRUPT_PASS,
        .severity = -1,
    };
    const struct action_set *last =
        parser->last_default != NULL ? parser->last_default : &built_in;
    return phase != 0 && parser->defaults[phase] != NULL ? parser->defaults[phase] : last;
}

/* ---- into the rule ---- */

static const char *const severity_names[] = {
    "EMERGENCY", "ALERT", "CRITICAL", "ERROR", "WARNING", "NOTICE", "INFO", "DEBUG",
};

static void apply_texts(struct sec_rule *rule, const struct action_set *set)
{
    const struct macro empty = macro_literal(SPAN(""));
    rule->message = set->message.source.p != NULL ? set->message : empty;
    rule->log_data = set->log_data.source.p != NULL ? set->log_data : empty;
    rule->redirect = set->redirect.source.p != NULL ? set->redirect : empty;
    rule->version = set->version;
    rule->revision = set->revision;
    rule->severity = set->severity;
    rule->severity_name =
        set->severity >= 0 ? span_text(severity_names[set->severity]) : SPAN("");
    rule->maturity = set->maturity;
    rule->accuracy = set->accuracy;
}

static bool apply_tags(struct parser *parser, struct sec_rule *rule,
                       const struct action_set *set)
{
    if (set->tags.count == 0)
        return true;
    struct span *tags = arena_array(parser->arena, struct span, set->tags.count);
    if (tags == NULL) {
        out_of_memory(parser);
        return false;
    }
    for (unsigned i = 0; i < set->tags.count; i++)
        tags[i] = set->tags.at[i].source;
    rule->tags = tags;
    rule->tag_macros = set->tags.at;
    rule->tag_count = set->tags.count;
    return true;
}

/* What happens in the end. Nothing can be stopped any more when a transaction is logged. */
static enum sec_disruptive resolve(const struct draft *draft)
{
    enum sec_disruptive d = draft->actions.disruptive;
    if (d == DISRUPT_BLOCK || d == DISRUPT_NONE)
        d = draft->inherited;
    bool allows = d == DISRUPT_ALLOW || d == DISRUPT_ALLOW_PHASE || d == DISRUPT_ALLOW_REQUEST;
    return draft->rule.phase == SEC_LOGGING && !allows ? DISRUPT_PASS : d;
}

bool actions_apply(struct parser *parser, struct draft *draft)
{
    enum { DENIED = 403, REDIRECTED = 302 };
    struct sec_rule *rule = &draft->rule;
    const struct action_set *set = &draft->actions;

    rule->disruptive = set->disruptive;
    rule->resolved = resolve(draft);
    int usual = rule->resolved == DISRUPT_REDIRECT ? REDIRECTED : DENIED;
    rule->status = set->status != 0 ? set->status : usual;
    rule->skip_after = set->skip_after;
    draft->skip_after_at = set->skip_after_at;
    rule->skip = set->skip;
    rule->log = set->log != NO;
    rule->audit_log = set->audit_log != NO;
    rule->capture = set->capture;
    rule->multi_match = set->multi_match;
    rule->steps = set->steps.at;
    rule->step_count = set->steps.count;
    rule->transform_count = set->transform_count;
    memcpy(rule->transforms, set->transforms, sizeof rule->transforms);
    apply_texts(rule, set);
    return apply_tags(parser, rule, set);
}
