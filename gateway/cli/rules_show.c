/* `sallyport rules show ID|NAME`: a rule's text, what it looks at, and how it is matched. */
#include "gateway/cli/rules.h"

#include "conf/expr.h"
#include "conf/source.h"

/* ---- parts ----------------------------------------------------------------------------------
 */

static void write_target(struct text *out, const struct sec_target *target)
{
    if (target->exclude)
        text_char(out, '!');
    if (target->count)
        text_char(out, '&');
    text_add(out, span_text(variable_rows[target->var].name));
    if (target->key_kind == KEY_NONE)
        return;
    text_lit(out, ":");
    if (target->key_kind == KEY_REGEX)
        text_char(out, '/');
    text_add(out, target->key);
    if (target->key_kind == KEY_REGEX)
        text_char(out, '/');
}

static void write_operator(struct text *out, const struct sec_rule *rule)
{
    text_format(out, "%s@%s", rule->op.negated ? "!" : "", rule->op.row->name);
    if (rule->op.argument.source.len > 0)
        text_char(out, ' ');
    text_add(out, rule->op.argument.source);
}

/* Why it is as it is. */
static const char *sentence_of(const char *state)
{
    static const struct {
        const char *state, *sentence;
    } rows[] = {
        { "never", "is not asked: the configuration decides that a condition never holds" },
        { "done",
          "is not asked: it always matches, and what follows is settled from the beginning" },
        { "skipped", "is not asked: a rule before it always skips past it" },
        { "unseen", "is not asked: nobody could tell whether it matched" },
        { "deferred", "is run when another rule turns to a collection" },
        { "removed", "is not asked: an exclusion removed it" },
        { "left out", "is not asked: it needs what the gateway does not have" },
        { "always", "is run in each transaction" },
        { "scanned", "is looked at when a scan of the values found its pattern" },
        { "direct", "is asked in each transaction, value by value" },
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        if (strcmp(rows[i].state, state) == 0)
            return rows[i].sentence;
    }
    return "";
}

static const char *how(const struct sec_link *link)
{
    static const char *const ways[] = {
        [LINK_ALWAYS] = "always",
        [LINK_SCANNED] = "scan",
        [LINK_REGEX] = "PCRE2",
        [LINK_OPERATOR] = "operator",
    };
    return link != NULL ? ways[link->match] : "";
}

/* Classes of values whose database has the link's patterns. */
static void write_classes(struct text *out, const struct sec_plan *plan,
                          const struct sec_link *link)
{
    for (unsigned i = 1; i < plan->class_count; i++) {
        const struct scan_class *class = &plan->classes[i];
        bool has = false;
        for (unsigned j = 0; j < class->id_count && !has; j++) {
            const struct plan_pattern *pattern = &plan->patterns[class->ids[j]];
            for (unsigned k = 0; k < pattern->find_count; k++)
                has = has || pattern->finds[k].bit == link->bit;
        }
        if (has)
            text_format(out, " %u", i);
    }
}

/* ---- one link -------------------------------------------------------------------------------
 */

static void show_link(struct text *out, const struct sec_plan *plan,
                      const struct sec_rule *rule, const struct sec_link *link)
{
    if (rule->place.source != NULL) {
        text_add(out, rule->place.source->name);
        text_format(out, ":%u\n", rule->place.line);
    }
    if (rule->own == NULL) {
        text_add(out, rule_text(rule));
        text_lit(out, "\n");
    }
    for (unsigned i = 0; i < rule->target_count; i++) {
        text_add(out, i == 0 ? SPAN("  targets          ") : SPAN("|"));
        write_target(out, &rule->targets[i]);
    }
    text_add(out, rule->transform_count > 0 ? SPAN("\n  transformations  ") : SPAN("\n"));
    for (unsigned i = 0; i < rule->transform_count; i++)
        text_format(out, i == 0 ? "%s" : ", %s", rule->transforms[i]->name);
    if (rule->transform_count > 0)
        text_char(out, '\n');
    if (link == NULL)
        return;
    text_format(out, "  matched by       %s", how(link));
    if (link->bit != NO_BIT) {
        text_format(out, ", bit %u, classes", (unsigned)link->bit);
        write_classes(out, plan, link);
    }
    text_char(out, '\n');
}

static void show_own(struct text *out, const struct own_rule *own)
{
    if (own->when != NULL) {
        text_lit(out, "  when             ");
        text_add(out, expr_text(own->when));
        text_char(out, '\n');
    }
    for (unsigned i = 0; i < own->pattern_count; i++) {
        text_add(out, i == 0 ? SPAN("  match            ") : SPAN("                   "));
        text_add(out, own->patterns[i]);
        text_char(out, '\n');
    }
}

static void show_human(struct text *out, const struct ruleset *set, const struct sec_rule *head)
{
    const struct sec_link *link = rule_link(set->plan, head);
    const char *state = rule_state(set->plan, head);
    char room[24];
    text_lit(out, "Rule ");
    text_add(out, rule_called(head, room));
    text_format(out, " (phase %d) %s.\n\n", (int)head->phase, sentence_of(state));
    if (head->own != NULL)
        show_own(out, head->own);
    for (const struct sec_rule *rule = head; rule != NULL; rule = rule->next) {
        show_link(out, set->plan, rule, link);
        link = link != NULL ? link->next : NULL;
    }
}

static void json_link(struct json *j, struct arena *arena, const struct sec_rule *rule,
                      const struct sec_link *link)
{
    json_begin_object(j, NULL);
    if (rule->place.source != NULL) {
        json_text(j, "file", rule->place.source->name);
        json_uint(j, "line", rule->place.line);
    }
    if (rule->own == NULL)
        json_text(j, "text", rule_text(rule));
    json_begin_array(j, "targets");
    for (unsigned i = 0; i < rule->target_count; i++) {
        struct text target = text_growing(arena, 64);
        write_target(&target, &rule->targets[i]);
        json_text(j, NULL, text_span(&target));
    }
    json_end_array(j);
    json_begin_array(j, "transformations");
    for (unsigned i = 0; i < rule->transform_count; i++)
        json_text(j, NULL, span_text(rule->transforms[i]->name));
    json_end_array(j);
    if (!rule->unconditional && rule->own == NULL) {
        struct text op = text_growing(arena, 64);
        write_operator(&op, rule);
        json_text(j, "operator", text_span(&op));
    }
    json_text(j, "matched_by", span_text(how(link)));
    if (link != NULL && link->bit != NO_BIT)
        json_uint(j, "bit", link->bit);
    json_end_object(j);
}

static void json_own(struct json *j, const struct own_rule *own)
{
    json_text(j, "name", own->name);
    if (own->when != NULL)
        json_text(j, "when", expr_text(own->when));
    json_begin_array(j, "match");
    for (unsigned i = 0; i < own->pattern_count; i++)
        json_text(j, NULL, own->patterns[i]);
    json_end_array(j);
}

static void show_json(struct json *j, struct arena *arena, const struct ruleset *set,
                      const struct sec_rule *head)
{
    const struct sec_link *link = rule_link(set->plan, head);
    json_begin_object(j, NULL);
    if (head->own != NULL)
        json_own(j, head->own);
    else
        json_uint(j, "id", head->id);
    json_uint(j, "phase", (uint64_t)head->phase);
    json_text(j, "state", span_text(rule_state(set->plan, head)));
    json_begin_array(j, "links");
    for (const struct sec_rule *rule = head; rule != NULL; rule = rule->next) {
        json_link(j, arena, rule, link);
        link = link != NULL ? link->next : NULL;
    }
    json_end_array(j);
    json_end_object(j);
}

bool rules_show(struct text *out, const struct rule_sets *sets, struct span id, bool json)
{
    struct json j = json_writer(out);
    bool found = false;
    if (json)
        json_begin_array(&j, NULL);
    for (unsigned i = 0; i < sets->count; i++) {
        const struct sec_program *program = sets->items[i]->program;
        for (unsigned k = 0; k < program->rule_count; k++) {
            const struct sec_rule *rule = program->rules[k];
            char room[24];
            if (rule->head != rule || !span_equal(rule_called(rule, room), id))
                continue;
            found = true;
            if (json)
                show_json(&j, sets->items[i]->plan->arena, sets->items[i], rule);
            else
                show_human(out, sets->items[i], rule);
        }
    }
    if (json) {
        json_end_array(&j);
        text_char(out, '\n');
    }
    return found;
}
