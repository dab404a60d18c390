/*
 * SecLang of any bytes. Nothing crashes; every complaint stands inside of the text, where its
 * line and column say. What loads holds together: chains end, each rule that runs stands once
 * in its phase's list and in file order, each skipAfter has a marker behind it. Loading it
 * again gives the same.
 */
#include <stdlib.h>

#include "conf/source.h"
#include "rules/seclang/program.h"

enum { CEILING = 64 * 1024 * 1024, CHECKED_MAX = 64 };

static void check_place(const struct place *place)
{
    if (place->source == NULL)
        return;
    struct span text = place->source->text;
    INVARIANT(place->offset <= text.len && place->length <= text.len - place->offset);
    INVARIANT(place->line > 0 && place->column > 0 && place->width > 0);

    struct span before = span_sub(text, 0, place->offset);
    unsigned line = 1;
    size_t start = 0;
    for (size_t i = 0; i < before.len; i++) {
        if (before.p[i] != '\n')
            continue;
        line++;
        start = i + 1;
    }
    INVARIANT(place->line == line);
    INVARIANT(place->column == utf8_count(span_sub(before, start, before.len)) + 1);
}

static void check_diags(struct diags *diags, struct arena *arena)
{
    for (unsigned i = 0; i < diags->count; i++) {
        check_place(&diags->items[i].place);
        check_place(&diags->items[i].other);
        INVARIANT(diags->items[i].message.len > 0);
    }
    struct text human = text_growing(arena, 4096);
    diags_write(&human, diags, DIAG_HUMAN);
}

static void check_macro(const struct macro *macro)
{
    size_t len = 0;
    INVARIANT(macro->literal == (macro->count == 0));
    for (unsigned i = 0; i < macro->count; i++) {
        const struct macro_part *part = &macro->parts[i];
        INVARIANT(!part->variable || part->var < VAR_COUNT);
        INVARIANT(part->variable || part->text.len > 0);
        len += part->text.len;
    }
    INVARIANT(len <= macro->source.len);
}

static void check_targets(const struct sec_rule *rule)
{
    for (unsigned i = 0; i < rule->target_count; i++) {
        const struct sec_target *target = &rule->targets[i];
        INVARIANT(target->var < VAR_COUNT);
        INVARIANT(!(target->count && target->exclude));
        INVARIANT((target->key_kind == KEY_REGEX) == (target->regex != NULL));
        INVARIANT((target->key_kind == KEY_NONE) == (target->key.len == 0));
        if (target->key_kind == KEY_NAME)
            check_macro(&target->key_macro);
    }
}

static void check_rule(const struct sec_rule *rule)
{
    INVARIANT(rule->phase >= SEC_REQUEST_HEADERS && rule->phase <= SEC_LOGGING);
    INVARIANT((rule->id != 0) == (rule->head == rule));
    INVARIANT(rule->head->phase == rule->phase);
    INVARIANT(rule->resolved != DISRUPT_NONE && rule->resolved != DISRUPT_BLOCK);
    INVARIANT(rule->transform_count <= SECLANG_TRANSFORMS_MAX);
    check_targets(rule);
    check_macro(&rule->message);
    check_macro(&rule->log_data);
    check_macro(&rule->op.argument);
    for (unsigned i = 0; i < rule->step_count; i++) {
        check_macro(&rule->steps[i].name);
        check_macro(&rule->steps[i].value);
    }
    bool runs = !rule->head->left_out && !rule->head->removed;
    INVARIANT(!runs || rule->unconditional || rule->op.row != NULL);
    if (runs && !rule->unconditional && rule->op.argument.literal)
        INVARIANT((rule->op.row->kind == OPERATOR_REGEX) == (rule->op.regex != NULL));
}

static bool skip_ends(const struct sec_program *program, const struct sec_rule *rule)
{
    const struct sec_item *items = program->items[rule->phase];
    unsigned count = program->item_count[rule->phase], i = 0;
    while (i < count && items[i].rule != rule)
        i++;
    INVARIANT(i < count);
    for (i++; i < count; i++) {
        if (items[i].rule == NULL && span_equal(items[i].marker, rule->skip_after))
            return true;
    }
    return false;
}

static void check_program(const struct sec_program *program)
{
    unsigned running = 0, listed = 0, left_out = 0;
    for (unsigned i = 0; i < program->rule_count; i++) {
        const struct sec_rule *rule = program->rules[i];
        check_rule(rule);
        if (rule->next != NULL)
            INVARIANT(rule->next->head == rule->head && rule->next == program->rules[i + 1]);
        if (rule->head != rule)
            continue;
        left_out += rule->left_out ? 1 : 0;
        if (rule->left_out || rule->removed)
            continue;
        running++;
        if (rule->skip_after.p != NULL && running < CHECKED_MAX)
            INVARIANT(skip_ends(program, rule));
    }
    for (int phase = SEC_REQUEST_HEADERS; phase < SEC_PHASES; phase++) {
        for (unsigned i = 0; i < program->item_count[phase]; i++) {
            const struct sec_rule *rule = program->items[phase][i].rule;
            INVARIANT(rule == NULL || rule->phase == (enum sec_phase)phase);
            listed += rule != NULL ? 1 : 0;
        }
    }
    INVARIANT(running == listed);
    INVARIANT(left_out == program->left_out);
}

struct outcome {
    enum err err;
    unsigned errors, warnings, rules;
    uint64_t hash;
};

static struct outcome load(struct span text, bool skip, struct arena *arena)
{
    static struct diags diags;
    const struct seclang_source source = { .path = SPAN("fuzz.conf"), .text = text };
    const struct seclang_options options = { .skip_unsupported = skip };
    struct sec_program *program = NULL;
    diags_init(&diags, arena);
    struct outcome outcome = { .err = seclang_load(&program, &source, 1, &options, arena,
                                                   &diags) };
    INVARIANT(outcome.err != ERR_CONFIG || diags.errors > 0);
    INVARIANT(outcome.err != OK || diags.errors == 0);
    check_diags(&diags, arena);
    outcome.errors = diags.errors;
    outcome.warnings = diags.warnings;
    if (outcome.err != OK)
        return outcome;
    check_program(program);
    outcome.rules = program->rule_count;
    outcome.hash = program->hash;
    seclang_free(program);
    return outcome;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size == 0)
        return 0;
    struct span text = span_of((const char *)data + 1, size - 1);
    struct outcome outcomes[2];
    for (int i = 0; i < 2; i++) {
        struct arena arena;
        arena_init(&arena, NULL, 0, NULL, CEILING);
        outcomes[i] = load(text, (data[0] & 1) != 0, &arena);
        arena_reset(&arena);
    }
    INVARIANT(outcomes[0].err == outcomes[1].err && outcomes[0].hash == outcomes[1].hash);
    INVARIANT(outcomes[0].errors == outcomes[1].errors &&
              outcomes[0].warnings == outcomes[1].warnings &&
              outcomes[0].rules == outcomes[1].rules);
    return 0;
}
