/*
 * The end of loading: skipAfter finds its markers, and each phase gets its list.
 */
#include "conf/suggest.h"
#include "rules/seclang/parser.h"

/* `skipAfter` may name a rule's id: then a marker of that name stands behind the rule. */
static bool names_rule(struct parser *parser, const struct entry *from, struct span name,
                       const struct entry **found)
{
    uint64_t id;
    struct sec_rule *rule = span_uint(name, &id) ? rule_find(parser, id) : NULL;
    if (rule == NULL || rule->phase != from->rule->phase)
        return false;
    for (unsigned i = 0; i < parser->entry_count; i++) {
        if (parser->entries[i].rule == rule)
            *found = &parser->entries[i];
    }
    return true;
}

static void tell_missing(struct parser *parser, const struct entry *entry, bool before)
{
    struct draft *draft = draft_of(entry->rule);
    struct span name = entry->rule->skip_after;
    if (before) {
        fault(parser, DIAG_SECLANG_REFERENCE, draft->skip_after_at,
              "the marker % stands before the rule that skips to it", name);
        return;
    }
    struct text hint = text_growing(parser->arena, 64);
    struct suggestion suggestion = suggest_for(name);
    for (unsigned i = 0; i < parser->entry_count; i++)
        suggest_consider(&suggestion, parser->entries[i].marker);
    suggest_write(&hint, &suggestion);
    fault_hint(parser, DIAG_SECLANG_REFERENCE, draft->skip_after_at,
               "there is no marker % to skip to", name, text_span(&hint));
}

/* Usually near: markers end the section that their rules stand in. */
static void check_skip(struct parser *parser, const struct entry *entry, bool *behind)
{
    struct span name = entry->rule->skip_after;
    const struct entry *end = parser->entries + parser->entry_count;
    for (const struct entry *e = entry + 1; e < end; e++) {
        if (e->rule == NULL && span_equal(e->marker, name))
            return;
    }
    const struct entry *found = NULL;
    if (names_rule(parser, entry, name, &found) && found > entry) {
        behind[found - parser->entries] = true;
        return;
    }
    bool before = found != NULL;
    for (const struct entry *e = parser->entries; e < entry && !before; e++)
        before = e->rule == NULL && span_equal(e->marker, name);
    tell_missing(parser, entry, before);
}

static bool belongs(const struct entry *entry, enum sec_phase phase)
{
    return entry->rule == NULL ||
           (entry->rule->phase == phase && !entry->rule->removed && !entry->rule->left_out);
}

/* An entry whose rule is gone may still carry a marker. */
static struct span marker_behind(struct parser *parser, const struct entry *entry)
{
    struct text name = text_growing(parser->arena, 24);
    text_uint(&name, entry->rule->id);
    return text_span(&name);
}

static bool fill_phase(struct parser *parser, enum sec_phase phase, const bool *behind)
{
    struct sec_program *program = parser->program;
    struct sec_item *items =
        arena_array(parser->arena, struct sec_item, 2 * (size_t)parser->entry_count + 1);
    if (items == NULL)
        return false;
    unsigned count = 0;
    for (unsigned i = 0; i < parser->entry_count; i++) {
        const struct entry *entry = &parser->entries[i];
        if (belongs(entry, phase))
            items[count++] = (struct sec_item){ entry->rule, entry->marker };
        if (behind[i] && entry->rule != NULL && entry->rule->phase == phase)
            items[count++] = (struct sec_item){ NULL, marker_behind(parser, entry) };
    }
    program->items[phase] = items;
    program->item_count[phase] = count;
    return true;
}

void program_finish(struct parser *parser)
{
    struct sec_program *program = parser->program;
    bool *behind = arena_array(parser->arena, bool, (size_t)parser->entry_count + 1);
    if (behind == NULL) {
        out_of_memory(parser);
        return;
    }
    for (unsigned i = 0; i < parser->entry_count && !parser_full(parser); i++) {
        const struct sec_rule *rule = parser->entries[i].rule;
        if (rule == NULL)
            continue;
        program->left_out += rule->left_out ? 1 : 0;
        if (rule->skip_after.p != NULL && !rule->removed && !rule->left_out)
            check_skip(parser, &parser->entries[i], behind);
    }
    for (int phase = SEC_REQUEST_HEADERS; phase < SEC_PHASES; phase++) {
        if (!fill_phase(parser, (enum sec_phase)phase, behind)) {
            out_of_memory(parser);
            return;
        }
    }
    program->rules = parser->rules;
    program->rule_count = parser->rule_count;
}
