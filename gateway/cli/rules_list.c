/* `sallyport rules list`: one line a rule, in the order of the files. */
#include "gateway/cli/rules.h"

#include "rules/inspect.h"

static const char *severity_of(const struct sec_rule *rule)
{
    if (rule->own != NULL)
        return rule->own->severity != NULL ? rule->own->severity : "";
    return rule->severity >= 0 ? inspect_severities[rule->severity] : "";
}

/* Of the tag that the Core Rule Set gives its rules; empty: a rule of all levels. */
static struct span paranoia_of(const struct sec_rule *rule)
{
    static const struct span prefix = SPAN_INIT("paranoia-level/");
    for (unsigned i = 0; i < rule->tag_count; i++) {
        if (span_starts(rule->tags[i], prefix))
            return span_sub(rule->tags[i], prefix.len, rule->tags[i].len);
    }
    return (struct span){ 0 };
}

static void pad(struct text *out, size_t from, size_t width)
{
    do {
        text_char(out, ' ');
    } while (out->len - from < width);
}

/* Numbers have six digits; names, of the configuration or of the pack, are as long as they are.
 */
static size_t called_width(const struct sec_program *program)
{
    size_t width = 12;
    for (unsigned i = 0; i < program->rule_count; i++) {
        char room[24];
        size_t len = rule_called(program->rules[i], room).len;
        width = len + 2 > width ? len + 2 : width;
    }
    return width;
}

static void list_human(struct text *out, const struct ruleset *set)
{
    const struct sec_program *program = set->program;
    unsigned asked = 0, heads = 0;
    size_t width = called_width(program), began = out->len;
    text_lit(out, "id");
    pad(out, began, width);
    text_lit(out, "phase  level  state     severity   message\n");
    for (unsigned i = 0; i < program->rule_count; i++) {
        const struct sec_rule *rule = program->rules[i];
        size_t from = out->len;
        if (rule->head != rule)
            continue;
        heads++;
        asked += rule_link(set->plan, rule) != NULL;
        char room[24];
        text_add(out, rule_called(rule, room));
        pad(out, from, width);
        text_uint(out, (uint64_t)rule->phase);
        pad(out, from, width + 7);
        text_add(out, paranoia_of(rule));
        pad(out, from, width + 14);
        text_add(out, span_text(rule_state(set->plan, rule)));
        pad(out, from, width + 24);
        text_add(out, span_text(severity_of(rule)));
        pad(out, from, width + 35);
        text_add(out, rule->message.source);
        text_char(out, '\n');
    }
    text_format(out, "%u rules, %u of them asked\n", heads, asked);
}

static void list_json(struct json *j, const struct ruleset *set)
{
    const struct sec_program *program = set->program;
    json_begin_object(j, NULL);
    json_begin_array(j, "rules");
    for (unsigned i = 0; i < program->rule_count; i++) {
        const struct sec_rule *rule = program->rules[i];
        if (rule->head != rule)
            continue;
        json_begin_object(j, NULL);
        if (rule->own != NULL)
            json_text(j, "name", rule->own->name);
        else
            json_uint(j, "id", rule->id);
        json_uint(j, "phase", (uint64_t)rule->phase);
        json_text(j, "paranoia", paranoia_of(rule));
        json_text(j, "state", span_text(rule_state(set->plan, rule)));
        json_text(j, "severity", span_text(severity_of(rule)));
        json_text(j, "message", rule->message.source);
        json_end_object(j);
    }
    json_end_array(j);
    json_end_object(j);
}

void rules_list(struct text *out, const struct rule_sets *sets, bool json)
{
    struct json j = json_writer(out);
    if (json) {
        json_begin_object(&j, NULL);
        json_begin_array(&j, "sets");
    }
    for (unsigned i = 0; i < sets->count; i++) {
        if (json)
            list_json(&j, sets->items[i]);
        else
            list_human(out, sets->items[i]);
    }
    if (json) {
        json_end_array(&j);
        json_end_object(&j);
        text_char(out, '\n');
    }
}
