/* `sallyport rules cost`: what scanning for the rules costs on this machine. */
#include "gateway/cli/rules.h"

#include "rules/engine/cost.h"

enum { SHOWN_PATTERNS = 30, SHOWN_RULES = 8, SHOWN_TEXT = 60, IDS_MAX = 256 };

struct view {
    struct text *out;
    const struct sec_plan *plan;
    const struct plan_cost *cost;
};

static void pad(struct text *out, size_t from, size_t width)
{
    do {
        text_char(out, ' ');
    } while (out->len - from < width);
}

/* ---- databases ------------------------------------------------------------------------------
 */

static const char *needs_of(const struct scan_part *part)
{
    if ((part->gate & MARK_ANY) == 0)
        return part->needs_text ? "byte, text" : "byte";
    return part->needs_text ? "text" : "";
}

/* Variables whose values are scanned in the class, and fields by name. */
static void write_values(struct text *out, const struct sec_plan *plan, unsigned class)
{
    bool first = true;
    for (unsigned i = 0; i < plan->scanned_count; i++) {
        enum variable var = plan->scanned[i];
        if (plan_class_of(plan, var) != class)
            continue;
        text_format(out, "%s%s", first ? "" : " ", variable_rows[var].name);
        first = false;
    }
    for (unsigned i = 0; i < plan->named_count; i++) {
        const struct plan_named *named = &plan->named[i];
        if (plan->groups[named->group].class != class)
            continue;
        text_format(out, "%s%s:", first ? "" : " ", variable_rows[named->var].name);
        text_add(out, named->name);
        first = false;
    }
}

static void write_part(const struct view *view, const struct part_cost *part)
{
    struct text *out = view->out;
    size_t from = out->len;
    if (part->part == 0) {
        text_format(out, "%u: ", part->class);
        write_values(out, view->plan, part->class);
        text_char(out, '\n');
        from = out->len;
    }
    text_format(out, "    %u", part->patterns);
    pad(out, from, 12);
    text_uint(out, part->bytes / 1024);
    pad(out, from, 18);
    text_add(out, span_text(needs_of(&view->plan->classes[part->class].parts[part->part])));
    for (unsigned i = 0; i < COST_SAMPLES; i++) {
        pad(out, from, 30 + 9 * (size_t)i);
        text_uint(out, part->ns[i]);
        if (!part->asked[i])
            text_char(out, '-');
    }
    text_char(out, '\n');
}

static void write_parts(const struct view *view)
{
    struct text *out = view->out;
    size_t from = out->len;
    text_lit(out, "    patterns");
    pad(out, from, 12);
    text_lit(out, "KiB");
    pad(out, from, 18);
    text_lit(out, "needs");
    for (unsigned i = 0; i < COST_SAMPLES; i++) {
        pad(out, from, 30 + 9 * (size_t)i);
        text_add(out, span_text(cost_samples[i].name));
    }
    text_lit(out, "   (ns of a scan; -: not asked)\n");
    for (unsigned i = 0; i < view->cost->part_count; i++)
        write_part(view, &view->cost->parts[i]);
}

/* ---- patterns -------------------------------------------------------------------------------
 */

static void write_pattern(const struct view *view, const struct pattern_cost *cost)
{
    struct text *out = view->out;
    const struct sec_rule *rules[SHOWN_RULES + 1];
    unsigned count = cost_rules(view->plan, cost->pattern, rules, SHOWN_RULES + 1);
    struct span text = span_text(view->plan->patterns[cost->pattern].text);
    size_t from = out->len;
    text_uint(out, cost->ps_per_byte * 1024 / 1000);
    pad(out, from, 10);
    text_add(out, span_sub(text, 0, SHOWN_TEXT));
    if (text.len > SHOWN_TEXT)
        text_lit(out, "...");
    text_lit(out, "  of");
    for (unsigned i = 0; i < count && i < SHOWN_RULES; i++) {
        char room[24];
        text_char(out, ' ');
        text_add(out, rule_called(rules[i], room));
    }
    text_format(out, "%s\n", count > SHOWN_RULES ? " and others" : "");
}

static void write_human(const struct view *view)
{
    write_parts(view);
    text_lit(view->out, "\nns per KiB of prose, each pattern by itself, the dearest first\n");
    for (unsigned i = 0; i < view->cost->pattern_count && i < SHOWN_PATTERNS; i++)
        write_pattern(view, &view->cost->patterns[i]);
}

/* ---- for programs ---------------------------------------------------------------------------
 */

static void json_part(struct json *j, const struct view *view, const struct part_cost *part)
{
    char buffer[2048];
    struct text values = text_fixed(buffer, sizeof(buffer));
    write_values(&values, view->plan, part->class);
    json_begin_object(j, NULL);
    json_uint(j, "class", part->class);
    json_text(j, "values", text_span(&values));
    json_uint(j, "patterns", part->patterns);
    json_uint(j, "openers", part->openers);
    json_uint(j, "bytes", part->bytes);
    json_text(j, "needs",
              span_text(needs_of(&view->plan->classes[part->class].parts[part->part])));
    json_begin_object(j, "ns");
    for (unsigned i = 0; i < COST_SAMPLES; i++)
        json_uint(j, cost_samples[i].name, part->ns[i]);
    json_end_object(j);
    json_begin_object(j, "asked");
    for (unsigned i = 0; i < COST_SAMPLES; i++)
        json_bool(j, cost_samples[i].name, part->asked[i]);
    json_end_object(j);
    json_end_object(j);
}

static void json_pattern(struct json *j, const struct view *view,
                         const struct pattern_cost *cost)
{
    const struct sec_rule *rules[IDS_MAX];
    unsigned count = cost_rules(view->plan, cost->pattern, rules, IDS_MAX);
    json_begin_object(j, NULL);
    json_text(j, "pattern", span_text(view->plan->patterns[cost->pattern].text));
    json_uint(j, "ns_per_kib", cost->ps_per_byte * 1024 / 1000);
    json_begin_array(j, "rules");
    for (unsigned i = 0; i < count; i++) {
        if (rules[i]->own != NULL)
            json_text(j, NULL, rules[i]->own->name);
        else
            json_uint(j, NULL, rules[i]->id);
    }
    json_end_array(j);
    json_end_object(j);
}

static void write_json(const struct view *view, struct json *j)
{
    json_begin_object(j, NULL);
    json_begin_array(j, "databases");
    for (unsigned i = 0; i < view->cost->part_count; i++)
        json_part(j, view, &view->cost->parts[i]);
    json_end_array(j);
    json_begin_array(j, "patterns");
    for (unsigned i = 0; i < view->cost->pattern_count; i++)
        json_pattern(j, view, &view->cost->patterns[i]);
    json_end_array(j);
    json_end_object(j);
}

/* ---- all ------------------------------------------------------------------------------------
 */

bool rules_cost(struct text *out, const struct rule_sets *sets, struct arena *arena, bool json)
{
    struct json j = json_writer(out);
    if (json) {
        json_begin_object(&j, NULL);
        json_begin_array(&j, "sets");
    }
    for (unsigned i = 0; i < sets->count; i++) {
        struct plan_cost cost;
        struct view view = { .out = out, .plan = sets->items[i]->plan, .cost = &cost };
        if (plan_cost(&cost, view.plan, arena) != OK)
            return false;
        if (json)
            write_json(&view, &j);
        else
            write_human(&view);
    }
    if (json) {
        json_end_array(&j);
        json_end_object(&j);
        text_char(out, '\n');
    }
    return true;
}
