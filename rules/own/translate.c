/*
 * Rules of the configuration to rules of a program.
 *
 * A rule stands in phase 1, where the head is judged, and in phase 2 when it may find more with
 * the body. Both are one rule: it fires once in a transaction. One that looks at answers stands
 * in phases 3 and 4 in their place.
 */
#include "rules/own/translate.h"

#include "conf/expr.h"
#include "gateway/chain/scope.h"
#include "rules/own/target.h"
#include "rules/packs/pack.h"
#include "rules/regex.h"

struct translation {
    struct sec_program *program;
    struct own_rules *own;
    struct sec_rule **heads[SEC_PHASES];
    unsigned head_count[SEC_PHASES];
    struct sec_rule **all; /* each once */
    struct arena *arena;
    struct text *why;
};

static enum err wrong(struct translation *t, const struct rule_source *source, struct span what,
                      const char *reason)
{
    text_lit(t->why, "rule \"");
    text_add(t->why, source->name);
    text_lit(t->why, "\": ");
    if (what.len != 0) {
        text_lit(t->why, "\"");
        text_add(t->why, what);
        text_lit(t->why, "\": ");
    }
    text_add(t->why, span_text(reason));
    return ERR_CONFIG;
}

/* ---- conditions -----------------------------------------------------------------------------
 */

static void note_answer(void *asked, int id, struct span argument)
{
    (void)argument;
    *(bool *)asked = *(bool *)asked || scope_of_answer(id);
}

static bool condition_asks_answers(const struct expr *when)
{
    bool asked = false;
    if (when != NULL)
        expr_each_name(when, note_answer, &asked);
    return asked;
}

static void note_argument(void *late, int id, struct span argument)
{
    (void)argument;
    for (const struct expr_name *name = scope_names; name->name != NULL; name++) {
        if (name->id == id && strcmp(name->name, "arg") == 0)
            *(bool *)late = true;
    }
}

bool own_condition_is_late(const struct expr *when)
{
    bool late = false;
    if (when != NULL)
        expr_each_name(when, note_argument, &late);
    return late;
}

/* ---- parts of a rule ------------------------------------------------------------------------
 */

static enum err translate_targets(struct translation *t, const struct rule_source *source,
                                  struct sec_rule *rule)
{
    size_t room = source->in.count * OWN_VARIABLES_MAX;
    if (room > SECLANG_TARGETS_MAX)
        return wrong(t, source, SPAN(""), "it has too many targets");
    struct sec_target *targets = arena_array(t->arena, struct sec_target, room);
    if (targets == NULL)
        return ERR_MEMORY;
    for (size_t i = 0; i < source->in.count; i++) {
        struct span name = source->in.items[i];
        enum err err = own_targets_add(targets, &rule->target_count, name);
        if (err != OK)
            return wrong(t, source, name,
                         err == ERR_UNKNOWN
                             ? "there is no such target"
                             : "a name is missing behind the colon, or too long");
    }
    rule->targets = targets;
    if (rule->target_count == 0)
        return wrong(t, source, SPAN(""), "it has no target");
    return OK;
}

/*
 * Lower case at the end of a chain is left to the patterns: the bytes of the value need not
 * change for it, so that more rules share a form.
 */
static enum err translate_chain(struct translation *t, const struct rule_source *source,
                                struct sec_rule *rule, bool *caseless)
{
    *caseless = false;
    for (size_t i = 0; i < source->transform.count; i++) {
        struct span name = source->transform.items[i];
        const struct transform *row = transform_find(name);
        if (row == NULL)
            return wrong(t, source, name, "there is no such transformation");
        *caseless = i + 1 == source->transform.count && span_equal(name, SPAN("lowercase"));
        if (*caseless)
            break;
        if (rule->transform_count + row->times > OWN_STEPS_MAX)
            return wrong(t, source, name, "too many transformations in one rule");
        for (unsigned n = 0; n < row->times; n++)
            rule->transforms[rule->transform_count++] = row;
    }
    return OK;
}

static void release_regex(const void *regex)
{
    regex_free((struct sec_regex *)(uintptr_t)regex);
}

/* Hyperscan decides; PCRE2 tells where a match begins, and may refuse without harm. */
static enum err translate_patterns(struct translation *t, const struct rule_source *source,
                                   struct own_rule *own)
{
    size_t count = source->match.count;
    const struct sec_regex **regexes = arena_array(t->arena, const struct sec_regex *, count);
    if (regexes == NULL)
        return ERR_MEMORY;
    for (size_t i = 0; i < count; i++) {
        char buffer[256];
        struct text why = text_fixed(buffer, sizeof(buffer));
        struct sec_regex *regex = regex_compile(source->match.items[i], own->caseless, &why);
        regexes[i] = regex;
        if (regex != NULL && !program_own(t->program, t->arena, release_regex, regex))
            return ERR_MEMORY;
    }
    own->regexes = regexes;
    own->patterns = source->match.items;
    own->pattern_count = (unsigned)count;
    return OK;
}

/* Packs tell it by the score. */
static const char *severity_of(const struct rule_source *source)
{
    static const struct {
        int64_t score;
        const char *name;
    } names[] = { { SCORE_CRITICAL, "critical" },
                  { SCORE_ERROR, "error" },
                  { SCORE_WARNING, "warning" },
                  { SCORE_NOTICE, "notice" } };
    int64_t score = source->severity != 0 ? source->severity : source->score;

    for (size_t i = 0; i < ARRAY_LEN(names); i++) {
        if (names[i].score == score)
            return names[i].name;
    }
    return NULL;
}

static enum sec_disruptive decision_of(enum rule_action action)
{
    switch (action) {
    case RULE_BLOCK:
        return DISRUPT_DENY;
    case RULE_ALLOW:
        return DISRUPT_ALLOW;
    case RULE_SCORE:
    case RULE_LOG:
    case RULE_TAG:
        break;
    }
    return DISRUPT_PASS;
}

/* ---- a rule ---------------------------------------------------------------------------------
 */

static void place_in(struct translation *t, struct sec_rule *rule, enum sec_phase phase)
{
    rule->phase = phase;
    rule->head = rule;
    t->heads[phase][t->head_count[phase]++] = rule;
}

static bool looks_at_answers(const struct sec_rule *rule)
{
    bool looks = condition_asks_answers(rule->own->when);
    for (unsigned i = 0; i < rule->target_count; i++)
        looks = looks || own_variable_of_answer(rule->targets[i].var);
    return looks;
}

bool own_rule_asks_answers(const struct rule_source *source)
{
    bool asks = condition_asks_answers(source->when);
    for (size_t i = 0; i < source->in.count && source->match.count > 0; i++) {
        struct sec_target targets[OWN_VARIABLES_MAX];
        unsigned count = 0;
        if (own_targets_add(targets, &count, source->in.items[i]) == OK)
            asks = asks || own_variable_of_answer(targets[0].var);
    }
    return asks;
}

/* Whether the body may bring what it looks at: of a request that is over, nothing more. */
static bool goes_on(const struct sec_rule *rule)
{
    if (!rule->own->answers && own_condition_is_late(rule->own->when))
        return true;
    for (unsigned i = 0; i < rule->target_count; i++) {
        if (own_variable_of_answer(rule->targets[i].var) == rule->own->answers &&
            own_variable_late(rule->targets[i].var))
            return true;
    }
    return false;
}

static bool wants_body(const struct sec_rule *rule)
{
    bool wants = own_condition_is_late(rule->own->when);
    for (unsigned i = 0; i < rule->target_count; i++)
        wants = wants || (own_variable_in_body(rule->targets[i].var) &&
                          !own_variable_of_answer(rule->targets[i].var));
    return wants;
}

static bool wants_text(const struct sec_rule *rule)
{
    bool wants = false;
    for (unsigned i = 0; i < rule->target_count; i++)
        wants = wants || rule->targets[i].var == VAR_OWN_BODY;
    return wants;
}

static void note_wants(struct own_rules *all, const struct sec_rule *rule, bool more)
{
    all->wants_body = all->wants_body || wants_body(rule);
    all->wants_text = all->wants_text || wants_text(rule);
    all->tags = all->tags || rule->own->action == RULE_TAG;
    if (all->answers == NULL && rule->own->answers)
        all->answers = rule->own;
    all->answer_bodies = all->answer_bodies || (rule->own->answers && more);
}

static enum err translate_one(struct translation *t, const struct rule_source *source)
{
    struct own_rule *own = arena_new(t->arena, struct own_rule);
    struct sec_rule *rules = arena_array(t->arena, struct sec_rule, 2);
    if (own == NULL || rules == NULL)
        return ERR_MEMORY;
    *own = (struct own_rule){
        .name = source->name,
        .message = source->message,
        .when = source->when,
        .index = t->own->count++,
        .action = (enum rule_action)source->action,
        .status = (int)source->status,
        .score = (int32_t)(source->score != 0 ? source->score : source->severity),
        .severity = severity_of(source),
    };
    rules[0] = (struct sec_rule){
        .own = own,
        .severity = -1,
        .op = { .row = operator_find(SPAN("rx")), .argument = { .literal = true } },
        .message = { .source = source->message.len > 0 ? source->message : SPAN(""),
                     .literal = true },
        .log_data = { .source = SPAN(""), .literal = true },
        .disruptive = decision_of(own->action),
        .resolved = decision_of(own->action),
        .log = true,
        .audit_log = true,
        .multi_match = source->match.count > 0,
        .unconditional = source->match.count == 0,
    };
    if (rules->unconditional && own->when == NULL)
        return wrong(t, source, SPAN(""), "it needs `when` or `match`");
    if (!rules->unconditional) {
        TRY(translate_targets(t, source, &rules[0]));
        TRY(translate_chain(t, source, &rules[0], &own->caseless));
        TRY(translate_patterns(t, source, own));
    }
    own->answers = looks_at_answers(&rules[0]);
    bool more = goes_on(&rules[0]);
    note_wants(t->own, &rules[0], more);
    enum sec_phase first = own->answers ? SEC_RESPONSE_HEADERS : SEC_REQUEST_HEADERS;
    rules[1] = rules[0];
    t->all[own->index] = &rules[0];
    place_in(t, &rules[0], first);
    if (more)
        place_in(t, &rules[1], first + 1);
    return OK;
}

/* ---- the program ----------------------------------------------------------------------------
 */

static enum err put_before(struct translation *t, enum sec_phase phase)
{
    struct sec_program *program = t->program;
    unsigned own = t->head_count[phase], others = program->item_count[phase];
    struct sec_item *items = arena_array(t->arena, struct sec_item, (size_t)own + others);
    if (items == NULL)
        return ERR_MEMORY;
    for (unsigned i = 0; i < own; i++)
        items[i].rule = t->heads[phase][i];
    if (others > 0)
        memcpy(items + own, program->items[phase], others * sizeof(*items));
    program->items[phase] = items;
    program->item_count[phase] = own + others;
    return OK;
}

/* For who lists them each stands once. */
static enum err list_all(struct translation *t)
{
    struct sec_program *program = t->program;
    unsigned own = t->own->count;
    struct sec_rule **rules =
        arena_array(t->arena, struct sec_rule *, (size_t)own + program->rule_count);
    if (rules == NULL)
        return ERR_MEMORY;
    memcpy(rules, t->all, own * sizeof(struct sec_rule *));
    if (program->rule_count > 0)
        memcpy(rules + own, program->rules, program->rule_count * sizeof(struct sec_rule *));
    program->rules = rules;
    program->rule_count += own;
    return OK;
}

enum err own_translate(struct sec_program *program, const struct rule_source *rules,
                       size_t count, struct own_threshold threshold, struct arena *arena,
                       struct text *why)
{
    struct translation t = { .program = program, .arena = arena, .why = why };
    t.own = arena_new(arena, struct own_rules);
    if (t.own == NULL)
        return ERR_MEMORY;
    t.own->threshold = threshold;
    t.all = arena_array(arena, struct sec_rule *, count);
    if (t.all == NULL)
        return ERR_MEMORY;
    for (int phase = SEC_REQUEST_HEADERS; phase <= SEC_RESPONSE_BODY; phase++) {
        t.heads[phase] = arena_array(arena, struct sec_rule *, count);
        if (t.heads[phase] == NULL)
            return ERR_MEMORY;
    }
    for (size_t i = 0; i < count; i++)
        TRY(translate_one(&t, &rules[i]));
    for (int phase = SEC_REQUEST_HEADERS; phase <= SEC_RESPONSE_BODY; phase++)
        TRY(put_before(&t, (enum sec_phase)phase));
    TRY(list_all(&t));
    program->own = t.own;
    return OK;
}
