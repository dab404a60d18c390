/*
 * SecRule, SecAction, SecMarker, SecDefaultAction: rules are put together, tied into chains and
 * given their defaults.
 *
 * Whatever is wrong with a part of a rule, its place in its chain is kept, so that one mistake
 * is one complaint.
 */
#include "rules/seclang/parser.h"

/* ---- what may stand where ---- */

struct ban {
    struct place place; /* line 0: there is none of it */
    const char *text;
};

static void refuse_all(struct parser *parser, const struct ban *bans, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        if (bans[i].place.line != 0)
            fault(parser, DIAG_SECLANG_RULE, bans[i].place, bans[i].text, SPAN(""));
    }
}

static void check_link(struct parser *parser, const struct action_set *set)
{
    const struct ban bans[] = {
        { set->id_at, "only the first rule of a chain has an id: is a `chain` too many before "
                      "this rule?" },
        { set->disruptive_at, "only the first rule of a chain says what happens (deny, pass, "
                              "block and the like)" },
        { set->phase_at, "only the first rule of a chain names its phase" },
        { set->flow_at, "only the first rule of a chain skips others" },
        { set->metadata_at, "only the first rule of a chain has metadata (msg, logdata, "
                            "severity, ver, rev, accuracy, maturity)" },
    };
    /* An id is metadata, too: one complaint is enough. */
    refuse_all(parser, bans, set->id_at.line != 0 ? 1 : ARRAY_LEN(bans));
}

static void check_head(struct parser *parser, const struct action_set *set,
                       const struct draft *draft)
{
    if (set->id_at.line == 0)
        fault_hint(parser, DIAG_SECLANG_RULE, draft->rule.place, "the rule has no id", SPAN(""),
                   SPAN("every rule and every chain needs an id of its own"));
    enum sec_disruptive d = set->disruptive;
    bool stops = d == DISRUPT_DENY || d == DISRUPT_DROP || d == DISRUPT_REDIRECT;
    if (draft->rule.phase == SEC_LOGGING && stops)
        fault(parser, DIAG_SECLANG_RULE, set->disruptive_at,
              "in phase 5 nothing can be stopped any more: use pass", SPAN(""));
}

/* ---- ids ---- */

static struct id_node **bucket_of(struct parser *parser, uint64_t id)
{
    return &parser->ids[(id ^ id >> 12) % ID_BUCKETS];
}

struct sec_rule *rule_find(struct parser *parser, uint64_t id)
{
    for (struct id_node *node = *bucket_of(parser, id); node != NULL; node = node->next) {
        if (node->rule->id == id)
            return node->rule;
    }
    return NULL;
}

static void register_id(struct parser *parser, struct sec_rule *rule, struct place id_at,
                        struct span text)
{
    if (rule->id == 0)
        return;
    struct sec_rule *first = rule_find(parser, rule->id);
    if (first != NULL) {
        const struct place places[2] = { id_at, first->place };
        fault_pair(parser, DIAG_SECLANG_RULE, places, "another rule has the id % already",
                   text);
        return;
    }
    struct id_node *node = arena_new(parser->arena, struct id_node);
    if (node == NULL) {
        out_of_memory(parser);
        return;
    }
    struct id_node **bucket = bucket_of(parser, rule->id);
    *node = (struct id_node){ *bucket, rule };
    *bucket = node;
}

/* ---- obstacles ---- */

/* A part of the rule asks for what there is not: the chain is left out, or it is an error. */
static void meet_obstacle(struct parser *parser, struct sec_rule *head)
{
    const struct obstacle *obstacle = &parser->obstacle;
    if (obstacle->why == NULL)
        return;
    bool out = obstacle->usual || parser->options.skip_unsupported;
    struct text text = text_growing(parser->arena, 64);
    text_lit(&text, "rule ");
    text_uint(&text, head->id);
    text_add(&text, out ? SPAN(" is left out: % is not supported")
                        : SPAN(" cannot run: % is not supported"));
    const char *sentence = text_cstring(&text);
    if (sentence == NULL) {
        out_of_memory(parser);
        return;
    }
    head->left_out = true;
    if (obstacle->usual && parser->options.unasked)
        return;
    (out ? note_hint : fault_hint)(parser, DIAG_SECLANG_UNSUPPORTED, obstacle->place, sentence,
                                   obstacle->what, span_text(obstacle->why));
}

/* ---- building ---- */

static bool remember_rule(struct parser *parser, struct sec_rule *rule)
{
    if (parser->rule_count == SECLANG_RULES_MAX) {
        fault(parser, DIAG_SECLANG_LIMIT, rule->place, "there are too many rules", SPAN(""));
        return false;
    }
    struct sec_rule **rules = list_add(parser, parser->rules, &parser->rule_count,
                                       &parser->rule_room, sizeof(struct sec_rule *));
    if (rules == NULL)
        return false;
    parser->rules = rules;
    rules[parser->rule_count - 1] = rule;
    return true;
}

static bool remember_entry(struct parser *parser, struct entry entry, struct place place)
{
    if (parser->entry_count == 2 * SECLANG_RULES_MAX) {
        fault(parser, DIAG_SECLANG_LIMIT, place, "there are too many rules and markers",
              SPAN(""));
        return false;
    }
    struct entry *entries = list_add(parser, parser->entries, &parser->entry_count,
                                     &parser->entry_room, sizeof *entries);
    if (entries == NULL)
        return false;
    parser->entries = entries;
    entries[parser->entry_count - 1] = entry;
    return true;
}

static void tie_link(struct parser *parser, struct draft *draft)
{
    struct draft *before = parser->chain;
    unsigned links = 1;
    draft->rule.head = before->rule.head;
    for (const struct sec_rule *rule = draft->rule.head; rule != NULL; rule = rule->next)
        links++;
    if (links > SECLANG_CHAIN_MAX)
        fault(parser, DIAG_SECLANG_LIMIT, draft->rule.place, "a chain has too many rules",
              SPAN(""));
    before->rule.next = &draft->rule;
}

/* `own` are the rule's actions as written. */
static void finish_rule(struct parser *parser, struct draft *draft,
                        const struct action_set *own)
{
    struct sec_rule *rule = &draft->rule;
    bool link = parser->chain != NULL;
    enum sec_phase phase = link ? parser->chain->rule.phase : own->phase;
    const struct action_set *parent = default_actions(parser, phase);

    if (!actions_merge(parser, &draft->actions, parent, own, rule->place))
        return;
    rule->phase = phase != 0 ? phase : draft->actions.phase;
    draft->inherited = parent->disruptive;
    rule->head = rule;
    if (link) {
        check_link(parser, own);
        tie_link(parser, draft);
    } else {
        check_head(parser, own, draft);
        rule->id = own->id;
        register_id(parser, rule, own->id_at, own->id_text);
    }
    meet_obstacle(parser, rule->head);
    if (!actions_apply(parser, draft) || !remember_rule(parser, rule))
        return;
    if (!link && !remember_entry(parser, (struct entry){ .rule = rule }, rule->place))
        return;
    parser->chain = own->chain ? draft : NULL;
}

static struct draft *new_draft(struct parser *parser, const struct statement *statement)
{
    struct draft *draft = arena_new(parser->arena, struct draft);
    parser->obstacle = (struct obstacle){ .why = NULL };
    if (draft == NULL)
        out_of_memory(parser);
    else
        draft->rule.place = statement_place(statement);
    return draft;
}

static void read_targets(struct parser *parser, const struct word *word, struct draft *draft)
{
    unsigned errors = parser->diags->errors;
    targets_parse(parser, word, word->text, &draft->targets);
    draft->rule.targets = draft->targets.at;
    draft->rule.target_count = draft->targets.count;
    for (unsigned i = 0; i < draft->targets.count; i++) {
        if (!draft->targets.at[i].exclude)
            return;
    }
    if (parser->diags->errors == errors && parser->obstacle.why == NULL)
        fault(parser, DIAG_SECLANG_RULE, word_place(word, 0, word->text.len),
              "the rule has no target: % only takes away", word->text);
}

void rule_directive(struct parser *parser, const struct statement *statement, int data)
{
    (void)data;
    struct draft *draft = new_draft(parser, statement);
    struct action_set own;
    if (draft == NULL)
        return;
    action_set_init(&own);
    read_targets(parser, &statement->words[0], draft);
    operand_parse(parser, &statement->words[1], &draft->rule.op);
    if (statement->count > 2)
        actions_parse(parser, &statement->words[2], &own);
    finish_rule(parser, draft, &own);
}

void action_directive(struct parser *parser, const struct statement *statement, int data)
{
    (void)data;
    struct draft *draft = new_draft(parser, statement);
    struct action_set own;
    if (draft == NULL)
        return;
    action_set_init(&own);
    draft->rule.unconditional = true;
    draft->rule.op.argument = macro_literal(SPAN(""));
    actions_parse(parser, &statement->words[0], &own);
    finish_rule(parser, draft, &own);
}

void marker_directive(struct parser *parser, const struct statement *statement, int data)
{
    (void)data;
    struct span name = statement->words[0].text;
    if (name.len == 0) {
        fault(parser, DIAG_SECLANG_VALUE, argument_place(statement, 0), "a marker needs a name",
              SPAN(""));
        return;
    }
    if (parser->chain != NULL) {
        fault(parser, DIAG_SECLANG_RULE, statement_place(statement),
              "a marker cannot stand inside of a chain", SPAN(""));
        return;
    }
    (void)remember_entry(parser, (struct entry){ .marker = name }, statement_place(statement));
}

void default_directive(struct parser *parser, const struct statement *statement, int data)
{
    (void)data;
    struct action_set *set = arena_new(parser->arena, struct action_set);
    parser->obstacle = (struct obstacle){ .why = NULL };
    if (set == NULL) {
        out_of_memory(parser);
        return;
    }
    action_set_init(set);
    actions_parse(parser, &statement->words[0], set);

    static const struct place nowhere;
    struct place whole = statement_place(statement);
    bool says_what = set->disruptive != DISRUPT_NONE && set->disruptive != DISRUPT_BLOCK;
    const struct ban bans[] = {
        { says_what ? nowhere : whole,
          "SecDefaultAction has to say what happens: pass, deny, drop, redirect or allow" },
        { set->phase != 0 ? nowhere : whole, "SecDefaultAction has to name a phase" },
        { set->metadata_at, "SecDefaultAction takes no metadata (id, msg, severity and the "
                            "like)" },
        { set->chain_at, "SecDefaultAction takes no chain" },
        { set->flow_at, "SecDefaultAction takes no skip and no skipAfter" },
    };
    unsigned errors = parser->diags->errors;
    if (parser->obstacle.why != NULL)
        fault_hint(parser, DIAG_SECLANG_UNSUPPORTED, parser->obstacle.place,
                   "SecDefaultAction: % is not supported", parser->obstacle.what,
                   span_text(parser->obstacle.why));
    else
        refuse_all(parser, bans, ARRAY_LEN(bans));
    if (parser->diags->errors > errors || set->phase == 0)
        return;
    if (set->log == UNSAID)
        set->log = YES;
    if (set->audit_log == UNSAID)
        set->audit_log = YES;
    parser->defaults[set->phase] = parser->last_default = set;
}
