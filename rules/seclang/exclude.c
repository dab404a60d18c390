/*
 * Exclusions: SecRuleRemove* and SecRuleUpdate*. They act on the rules that stand before them,
 * on whole chains; ctl is what acts on a single transaction.
 */
#include "rules/seclang/parser.h"

enum choice { BY_ID, BY_TAG, BY_MSG };

/* Which rules a directive means. */
struct selection {
    enum choice choice;
    uint64_t from, to; /* BY_ID */
    unsigned link;     /* of the chain, from 0; meaningful if `one` */
    bool one;          /* only that link, and not the whole chain */
    const struct sec_regex *regex;
    struct regex_local local;
};

static bool selects(const struct selection *s, const struct sec_rule *head)
{
    if (head->removed)
        return false;
    if (s->choice == BY_ID)
        return head->id >= s->from && head->id <= s->to;
    if (s->choice == BY_MSG)
        return head->message.source.len > 0 &&
               regex_match(&s->local, s->regex, head->message.source, NULL) == REGEX_YES;
    for (unsigned i = 0; i < head->tag_count; i++) {
        if (regex_match(&s->local, s->regex, head->tags[i], NULL) == REGEX_YES)
            return true;
    }
    return false;
}

static struct place whole_word(const struct word *word)
{
    return word_place(word, 0, word->text.len);
}

/* 12, 12-20, or 12:1 for the second rule of the chain 12. */
static bool read_id(struct selection *s, struct span text)
{
    struct span rest = text, id;
    uint64_t link;
    if (!span_cut(&rest, ':', &id) || !ids_parse(id, &s->from, &s->to))
        return false;
    if (rest.p == NULL)
        return true;
    if (!span_number(rest, SECLANG_CHAIN_MAX, &link) || s->from != s->to)
        return false;
    s->one = true;
    s->link = (unsigned)link;
    return true;
}

static bool read_selection(struct parser *parser, const struct word *word, struct span text,
                           struct selection *s)
{
    if (s->choice == BY_ID) {
        if (read_id(s, text))
            return true;
        fault(parser, DIAG_SECLANG_VALUE, word_place_of(word, text),
              "a rule's id or a range of ids is needed, not %", text);
        return false;
    }
    s->regex = pattern_compile(parser, text, false, whole_word(word));
    if (s->regex == NULL)
        return false;
    if (regex_attach(&s->local) != OK) {
        out_of_memory(parser);
        return false;
    }
    return true;
}

static void end_selection(struct selection *s)
{
    if (s->choice != BY_ID)
        regex_detach(&s->local);
}

static void tell_none(struct parser *parser, const struct word *word, struct span text)
{
    note(parser, DIAG_SECLANG_REFERENCE, word_place_of(word, text),
         "no rule that stands before this line is meant by %", text);
}

/* ---- removal ---- */

static void remove_one(struct parser *parser, const struct word *word, struct span text,
                       enum choice choice)
{
    struct selection s = { .choice = choice };
    bool any = false;
    if (!read_selection(parser, word, text, &s))
        return;
    if (s.one)
        fault(parser, DIAG_SECLANG_VALUE, word_place_of(word, text),
              "only whole chains can be removed, not %", text);
    for (unsigned i = 0; i < parser->entry_count && !s.one; i++) {
        struct sec_rule *rule = parser->entries[i].rule;
        if (rule == NULL || !selects(&s, rule))
            continue;
        rule->removed = any = true;
    }
    end_selection(&s);
    if (!any && !s.one)
        tell_none(parser, word, text);
}

void remove_directive(struct parser *parser, const struct statement *statement, int data)
{
    for (unsigned i = 0; i < statement->count; i++) {
        const struct word *word = &statement->words[i];
        if (data != BY_ID) {
            remove_one(parser, word, word->text, (enum choice)data);
            continue;
        }
        size_t at = 0; /* ids stand in several words, or in one with commas or spaces */
        while (at < word->text.len) {
            size_t end = at;
            while (end < word->text.len && word->text.p[end] != ',' &&
                   !lex_space(word->text.p[end]))
                end++;
            if (end > at)
                remove_one(parser, word, span_sub(word->text, at, end - at), BY_ID);
            at = end + 1;
        }
    }
}

/* ---- targets ---- */

struct retarget {
    const struct target_list *add;
    const struct sec_target *replaced; /* NULL: nothing is */
};

static bool retarget(struct parser *parser, struct draft *draft, const struct retarget *how)
{
    struct target_list targets = { 0 };
    bool found = false;
    for (unsigned i = 0; i < draft->targets.count; i++) {
        if (how->replaced != NULL && target_same(&draft->targets.at[i], how->replaced)) {
            found = true;
            continue;
        }
        struct sec_target *kept = LIST_ADD(parser, &targets);
        if (kept == NULL)
            return false;
        *kept = draft->targets.at[i];
    }
    if (how->replaced != NULL && !found)
        return false;
    for (unsigned i = 0; i < how->add->count; i++) {
        bool there = false;
        for (unsigned j = 0; j < targets.count && !there; j++)
            there = target_same(&targets.at[j], &how->add->at[i]);
        if (there)
            continue;
        struct sec_target *added = LIST_ADD(parser, &targets);
        if (added == NULL)
            return false;
        *added = how->add->at[i];
    }
    if (targets.count > SECLANG_TARGETS_MAX) {
        fault(parser, DIAG_SECLANG_LIMIT, draft->rule.place, "a rule has too many targets",
              SPAN(""));
        return false;
    }
    draft->targets = targets;
    draft->rule.targets = targets.at;
    draft->rule.target_count = targets.count;
    return true;
}

/* SecAction has no targets: there is nothing to add to or to take from. */
static bool retarget_chain(struct parser *parser, struct sec_rule *head,
                           const struct selection *s, const struct retarget *how)
{
    unsigned link = 0;
    bool any = false;
    for (struct sec_rule *rule = head; rule != NULL; rule = rule->next, link++) {
        if (rule->unconditional || (s->one && link != s->link))
            continue;
        any = retarget(parser, draft_of(rule), how) || any;
    }
    return any;
}

static bool read_retarget(struct parser *parser, const struct statement *statement,
                          struct target_list *add, struct sec_target *replaced)
{
    unsigned errors = parser->diags->errors;
    const struct word *word = &statement->words[1];
    parser->obstacle = (struct obstacle){ .why = NULL };
    targets_parse(parser, word, word->text, add);
    if (statement->count > 2) {
        struct target_list old = { 0 };
        word = &statement->words[2];
        targets_parse(parser, word, word->text, &old);
        if (old.count == 1)
            *replaced = old.at[0];
        else if (parser->diags->errors == errors)
            fault(parser, DIAG_SECLANG_VALUE, whole_word(word),
                  "one target can be replaced at a time, not %", word->text);
    }
    if (parser->obstacle.why != NULL)
        fault_hint(parser, DIAG_SECLANG_UNSUPPORTED, parser->obstacle.place,
                   "% is not supported", parser->obstacle.what,
                   span_text(parser->obstacle.why));
    return parser->diags->errors == errors && !parser->no_memory;
}

void update_target_directive(struct parser *parser, const struct statement *statement, int data)
{
    const struct word *word = &statement->words[0];
    struct selection s = { .choice = (enum choice)data };
    struct target_list add = { 0 };
    struct sec_target replaced;
    if (!read_retarget(parser, statement, &add, &replaced) ||
        !read_selection(parser, word, word->text, &s))
        return;

    const struct retarget how = { &add, statement->count > 2 ? &replaced : NULL };
    bool any = false, changed = false;
    for (unsigned i = 0; i < parser->entry_count; i++) {
        struct sec_rule *rule = parser->entries[i].rule;
        if (rule == NULL || !selects(&s, rule))
            continue;
        any = true;
        changed = retarget_chain(parser, rule, &s, &how) || changed;
    }
    end_selection(&s);
    if (!any)
        tell_none(parser, word, word->text);
    else if (!changed)
        note(parser, DIAG_SECLANG_REFERENCE, argument_place(statement, statement->count - 1),
             "no target of these rules is replaced: % is none of them",
             statement->words[statement->count - 1].text);
}

/* ---- actions ---- */

static void update_actions(struct parser *parser, struct draft *draft,
                           const struct action_set *set, struct place place)
{
    struct sec_rule *rule = &draft->rule;
    bool link = rule->head != rule;
    const struct place *banned = set->id_at.line != 0      ? &set->id_at
                                 : set->phase_at.line != 0 ? &set->phase_at
                                 : set->chain_at.line != 0 ? &set->chain_at
                                                           : NULL;
    if (banned != NULL) {
        fault(parser, DIAG_SECLANG_RULE, *banned,
              "id, phase and chain cannot be changed: they are what the rule is", SPAN(""));
        return;
    }
    if (link && (set->disruptive_at.line != 0 || set->metadata_at.line != 0 ||
                 set->flow_at.line != 0)) {
        fault(parser, DIAG_SECLANG_RULE, place,
              "only the first rule of a chain says what happens, and has metadata", SPAN(""));
        return;
    }
    if (actions_merge(parser, &draft->actions, &draft->actions, set, place))
        (void)actions_apply(parser, draft);
}

void update_action_directive(struct parser *parser, const struct statement *statement, int data)
{
    (void)data;
    const struct word *word = &statement->words[0];
    struct selection s = { .choice = BY_ID };
    struct action_set set;
    if (!read_selection(parser, word, word->text, &s))
        return;
    action_set_init(&set);
    parser->obstacle = (struct obstacle){ .why = NULL };
    actions_parse(parser, &statement->words[1], &set);
    if (parser->obstacle.why != NULL)
        fault_hint(parser, DIAG_SECLANG_UNSUPPORTED, parser->obstacle.place,
                   "% is not supported", parser->obstacle.what,
                   span_text(parser->obstacle.why));

    bool any = false;
    for (unsigned i = 0; i < parser->entry_count; i++) {
        struct sec_rule *rule = parser->entries[i].rule;
        if (rule == NULL || !selects(&s, rule))
            continue;
        for (unsigned link = 0; rule != NULL && link < s.link; link++)
            rule = rule->next;
        if (rule == NULL)
            continue;
        any = true;
        update_actions(parser, draft_of(rule), &set, argument_place(statement, 1));
    }
    if (!any)
        tell_none(parser, word, word->text);
}
