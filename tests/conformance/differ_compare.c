/* What differs between the two: matches in their order, variables in TX, and the verdict. */
#include "gateway/base/json.h"
#include "tests/conformance/differ.h"

static void add_quoted(struct text *out, const char *name, struct span value)
{
    enum { SHOWN_MAX = 160 };
    text_format(out, " %s=\"", name);
    json_escape(out, span_sub(value, 0, SHOWN_MAX));
    text_add(out, value.len > SHOWN_MAX ? SPAN("...\"") : SPAN("\""));
}

static void write_logged(struct text *out, const struct logged *logged)
{
    text_lit(out, "  reference: ");
    if (logged == NULL) {
        text_lit(out, "nothing\n");
        return;
    }
    text_format(out, "rule %lu phase %d", (unsigned long)logged->rule->id, (int)logged->phase);
    add_quoted(out, "field", logged->variable);
    add_quoted(out, "value", logged->value);
    add_quoted(out, "msg", logged->message);
    add_quoted(out, "data", logged->log_data);
    text_char(out, '\n');
}

static void write_match(struct text *out, const struct sec_match *match)
{
    text_lit(out, "  plan:      ");
    if (match == NULL) {
        text_lit(out, "nothing\n");
        return;
    }
    text_format(out, "rule %lu phase %d", (unsigned long)match->rule->id, (int)match->phase);
    add_quoted(out, "field", match->field);
    add_quoted(out, "value", match->text);
    add_quoted(out, "msg", match->message);
    add_quoted(out, "data", match->log_data);
    text_char(out, '\n');
}

static bool same_match(const struct logged *logged, const struct sec_match *match)
{
    return logged->rule == match->rule && logged->phase == match->phase &&
           span_equal_nocase(logged->variable, match->field) &&
           span_equal(logged->value, match->text) &&
           span_equal(logged->message, match->message) &&
           span_equal(logged->log_data, match->log_data);
}

static void compare_matches(struct text *out, const struct reference *ref,
                            const struct sec_run *run)
{
    const struct sec_match *match = run->matches;
    for (unsigned i = 0; i < ref->log_count && i < RUN_MATCHES_MAX; i++) {
        const struct logged *logged = &ref->log[i];
        if (match == NULL || !same_match(logged, match)) {
            text_format(out, "match %u differs\n", i);
            write_logged(out, logged);
            write_match(out, match);
            return;
        }
        match = match->next;
    }
    /* Beyond the limit the plan keeps the first of each rule. */
    if (match != NULL && ref->log_count <= RUN_MATCHES_MAX) {
        text_format(out, "match %u differs\n", ref->log_count);
        write_logged(out, NULL);
        write_match(out, match);
    }
}

/* What nobody reads the plan need not make. */
static bool is_seen(const struct sec_plan *plan, struct span lower_name)
{
    if (plan->unseen_name_count > 0 && lower_name.len == 1) /* a capture */
        return false;
    for (unsigned i = 0; i < plan->unseen_name_count; i++) {
        if (span_starts_nocase(lower_name, plan->unseen_names[i]))
            return false;
    }
    for (unsigned i = 0; i < plan->slot_count; i++) {
        if (span_equal(plan->slot_names[i], lower_name))
            return !bit_has(plan->unseen, i);
    }
    return true;
}

static void compare_variables(struct text *out, const struct reference *ref,
                              const struct sec_run *run)
{
    unsigned shown = 0;
    for (unsigned i = 0; i < ref->tx.list.count && shown < 3; i++) {
        const struct pair *var = &ref->tx.list.items[i];
        struct span lower = sec_lower(run->arena, var->name);
        struct span other = sec_run_tx(run, lower);
        if (!is_seen(run->plan, lower))
            continue;
        if (other.p != NULL && span_equal(other, var->value))
            continue;
        text_lit(out, "TX:");
        json_escape(out, var->name);
        add_quoted(out, "reference", var->value);
        if (other.p == NULL)
            text_lit(out, " plan has none\n");
        else
            add_quoted(out, "plan", other);
        text_char(out, '\n');
        shown++;
    }
    for (unsigned i = 0; i < run->plan->slot_count && shown < 3; i++) {
        struct span name = run->plan->slot_names[i];
        if (run->slots[i].p == NULL || !is_seen(run->plan, name) ||
            vars_find(&ref->tx, name) != NULL)
            continue;
        text_lit(out, "TX:");
        json_escape(out, name);
        add_quoted(out, "plan", run->slots[i]);
        text_lit(out, " reference has none\n");
        shown++;
    }
}

static void compare_verdicts(struct text *out, const struct reference *ref,
                             const struct sec_run *run)
{
    uint64_t theirs = run->intercepted == NULL ? 0 : run->intercepted->id;
    bool same_phase = theirs == 0 || ref->verdict.phase == run->intercept_phase;
    if (ref->verdict.rule == theirs && same_phase)
        return;
    text_format(out, "the reference is interrupted by rule %lu, the plan by %lu\n",
                (unsigned long)ref->verdict.rule, (unsigned long)theirs);
}

void differ_compare(struct text *out, const struct reference *ref, const struct sec_run *run)
{
    compare_matches(out, ref, run);
    compare_variables(out, ref, run);
    compare_verdicts(out, ref, run);
    int severity = run->highest_severity;
    if (severity != ref->highest_severity)
        text_format(out, "highest severity: reference %d, plan %d\n", ref->highest_severity,
                    severity);
}
