/*
 * Actions: the table of all of them, and what is read by a line or two. Those that change state
 * are in steps.c, ctl in control.c.
 */
#include "conf/suggest.h"
#include "rules/seclang/parser.h"

enum action_class {
    CLASS_DISRUPTIVE, /* what happens to the transaction */
    CLASS_METADATA,   /* what is said about the rule */
    CLASS_FLOW,       /* what runs next */
    CLASS_PHASE,
    CLASS_STATE, /* what the rule does besides: each link of a chain may */
    CLASS_DATA,  /* belongs to another action */
};

enum action_value { VALUE_NONE, VALUE_MAY, VALUE_MUST };

struct action_row {
    const char *name;
    enum action_class class;
    enum action_value value;
    void (*read)(struct parser *parser, const struct action_at *at);
    int data;
    const char *refusal; /* cannot be done: why */
};

struct place value_place(const struct action_at *at, struct span part)
{
    uintptr_t p = (uintptr_t)part.p, base = (uintptr_t)at->word->text.p;
    bool inside = p >= base && p - base <= at->word->text.len;
    return inside ? word_place_of(at->word, part) : at->place;
}

static void bad_value(struct parser *parser, const struct action_at *at, const char *text)
{
    fault(parser, DIAG_SECLANG_VALUE, value_place(at, at->pair.value), text, at->pair.value);
}

/* ---- disruptive ---- */

static void read_disruptive(struct parser *parser, const struct action_at *at)
{
    (void)parser;
    at->set->disruptive = (enum sec_disruptive)at->data;
}

static void read_allow(struct parser *parser, const struct action_at *at)
{
    struct span value = at->pair.value;
    at->set->disruptive = DISRUPT_ALLOW;
    if (value.p == NULL)
        return;
    if (span_equal_nocase(value, SPAN("phase")))
        at->set->disruptive = DISRUPT_ALLOW_PHASE;
    else if (span_equal_nocase(value, SPAN("request")))
        at->set->disruptive = DISRUPT_ALLOW_REQUEST;
    else
        bad_value(parser, at, "allow takes phase, request or nothing, not %");
}

static void read_redirect(struct parser *parser, const struct action_at *at)
{
    at->set->disruptive = DISRUPT_REDIRECT;
    if (!macro_parse(parser, &at->set->redirect, at->pair.value, at->word, MACRO_VALUE))
        at->set->redirect = macro_literal(at->pair.value);
}

static void read_status(struct parser *parser, const struct action_at *at)
{
    enum { LEAST = 200, MOST = 599 };
    uint64_t number;
    if (span_number(at->pair.value, MOST, &number) && number >= LEAST)
        at->set->status = (int)number;
    else
        bad_value(parser, at, "status is a number from 200 to 599, not %");
}

/* ---- metadata ---- */

static void read_id(struct parser *parser, const struct action_at *at)
{
    at->set->id_text = at->pair.value;
    at->set->id_at = at->place;
    if (!span_number(at->pair.value, INT64_MAX, &at->set->id) || at->set->id == 0) {
        at->set->id = 0;
        bad_value(parser, at, "an id is a number above 0, not %");
    }
}

static void read_message(struct parser *parser, const struct action_at *at)
{
    struct macro *macro = at->data == 0 ? &at->set->message : &at->set->log_data;
    if (!macro_parse(parser, macro, at->pair.value, at->word, MACRO_TEXT))
        *macro = macro_literal(at->pair.value);
}

static void read_tag(struct parser *parser, const struct action_at *at)
{
    struct macro *tag = LIST_ADD(parser, &at->set->tags);
    if (tag != NULL && !macro_parse(parser, tag, at->pair.value, at->word, MACRO_TEXT))
        *tag = macro_literal(at->pair.value);
}

static void read_version(struct parser *parser, const struct action_at *at)
{
    (void)parser;
    *(at->data == 0 ? &at->set->version : &at->set->revision) = at->pair.value;
}

static const char *const severities[] = {
    "EMERGENCY", "ALERT", "CRITICAL", "ERROR", "WARNING", "NOTICE", "INFO", "DEBUG",
};

static void read_severity(struct parser *parser, const struct action_at *at)
{
    uint64_t number;
    if (span_number(at->pair.value, ARRAY_LEN(severities) - 1, &number)) {
        at->set->severity = (int)number;
        return;
    }
    for (size_t i = 0; i < ARRAY_LEN(severities); i++) {
        if (!span_equal_nocase(at->pair.value, span_text(severities[i])))
            continue;
        at->set->severity = (int)i;
        return;
    }
    bad_value(parser, at, "severity is 0 to 7, or EMERGENCY to DEBUG, not %");
}

static void read_rating(struct parser *parser, const struct action_at *at)
{
    enum { MOST = 10 };
    uint64_t number = 0;
    if (!span_number(at->pair.value, MOST, &number))
        bad_value(parser, at, "maturity and accuracy are 1 to 9, not %");
    *(at->data == 0 ? &at->set->maturity : &at->set->accuracy) = (unsigned)number;
}

/* ---- flow ---- */

static void read_chain(struct parser *parser, const struct action_at *at)
{
    (void)parser;
    at->set->chain = true;
    at->set->chain_at = at->place;
}

static void read_skip(struct parser *parser, const struct action_at *at)
{
    uint64_t number;
    if (span_number(at->pair.value, SECLANG_RULES_MAX, &number) && number > 0)
        at->set->skip = (unsigned)number;
    else
        bad_value(parser, at, "skip is the number of rules to skip, not %");
}

static void read_skip_after(struct parser *parser, const struct action_at *at)
{
    (void)parser;
    at->set->skip_after = at->pair.value;
    at->set->skip_after_at = at->place;
}

static void read_phase(struct parser *parser, const struct action_at *at)
{
    static const struct {
        const char *name;
        enum sec_phase phase;
    } names[] = {
        { "request", SEC_REQUEST_BODY },
        { "response", SEC_RESPONSE_BODY },
        { "logging", SEC_LOGGING },
    };
    uint64_t number;
    if (span_number(at->pair.value, SEC_LOGGING, &number) && number > 0) {
        at->set->phase = (enum sec_phase)number;
        return;
    }
    for (size_t i = 0; i < ARRAY_LEN(names); i++) {
        if (!span_equal_nocase(at->pair.value, span_text(names[i].name)))
            continue;
        at->set->phase = names[i].phase;
        return;
    }
    bad_value(parser, at, "a phase is 1 to 5, request, response or logging, not %");
}

/* ---- the rest ---- */

static void read_log(struct parser *parser, const struct action_at *at)
{
    (void)parser;
    at->set->log = at->data != 0 ? YES : NO;
    if (at->data == 0) /* what is not logged is not audited, unless that is said behind */
        at->set->audit_log = NO;
}

static void read_audit_log(struct parser *parser, const struct action_at *at)
{
    (void)parser;
    at->set->audit_log = at->data != 0 ? YES : NO;
}

static void read_flag(struct parser *parser, const struct action_at *at)
{
    (void)parser;
    *(at->data == 0 ? &at->set->capture : &at->set->multi_match) = true;
}

static void read_transform(struct parser *parser, const struct action_at *at)
{
    struct action_set *set = at->set;
    if (span_equal_nocase(at->pair.value, SPAN("none"))) {
        set->transforms_anew = true;
        set->transform_count = 0;
        return;
    }
    const struct transform *found = seclang_transform_find(at->pair.value);
    if (found == NULL) {
        struct text hint = text_growing(parser->arena, 64);
        struct suggestion suggestion = suggest_for(at->pair.value);
        for (const struct transform *row = seclang_transforms; row->name != NULL; row++)
            suggest_consider(&suggestion, span_text(row->name));
        suggest_write(&hint, &suggestion);
        fault_hint(parser, DIAG_SECLANG_NAME, value_place(at, at->pair.value),
                   "unknown transformation %", at->pair.value, text_span(&hint));
        return;
    }
    if (set->transform_count == SECLANG_TRANSFORMS_MAX)
        fault(parser, DIAG_SECLANG_LIMIT, at->place, "a rule has too many transformations",
              SPAN(""));
    else
        set->transforms[set->transform_count++] = found;
}

static void read_nothing(struct parser *parser, const struct action_at *at)
{
    note(parser, DIAG_SECLANG_IGNORED, at->place, "% has no effect here", at->pair.name);
}

/* ---- the table ---- */

static const char no_rewriting[] = "responses go through as they are";
static const char no_programs[] = "the gateway runs no program for a request";

static const struct action_row rows[] = {
    { "accuracy", CLASS_METADATA, VALUE_MUST, read_rating, 1, NULL },
    { "allow", CLASS_DISRUPTIVE, VALUE_MAY, read_allow, 0, NULL },
    { "append", CLASS_STATE, VALUE_MUST, NULL, 0, no_rewriting },
    { "auditlog", CLASS_STATE, VALUE_NONE, read_audit_log, 1, NULL },
    { "block", CLASS_DISRUPTIVE, VALUE_NONE, read_disruptive, DISRUPT_BLOCK, NULL },
    { "capture", CLASS_STATE, VALUE_NONE, read_flag, 0, NULL },
    { "chain", CLASS_STATE, VALUE_NONE, read_chain, 0, NULL },
    { "ctl", CLASS_STATE, VALUE_MUST, read_ctl, 0, NULL },
    { "deny", CLASS_DISRUPTIVE, VALUE_NONE, read_disruptive, DISRUPT_DENY, NULL },
    { "deprecatevar", CLASS_STATE, VALUE_MUST, read_lifetime, STEP_DEPRECATEVAR, NULL },
    { "drop", CLASS_DISRUPTIVE, VALUE_NONE, read_disruptive, DISRUPT_DROP, NULL },
    { "exec", CLASS_STATE, VALUE_MUST, NULL, 0, no_programs },
    { "expirevar", CLASS_STATE, VALUE_MUST, read_lifetime, STEP_EXPIREVAR, NULL },
    { "id", CLASS_METADATA, VALUE_MUST, read_id, 0, NULL },
    { "initcol", CLASS_STATE, VALUE_MUST, read_initcol, 0, NULL },
    { "log", CLASS_STATE, VALUE_NONE, read_log, 1, NULL },
    { "logdata", CLASS_METADATA, VALUE_MUST, read_message, 1, NULL },
    { "maturity", CLASS_METADATA, VALUE_MUST, read_rating, 0, NULL },
    { "msg", CLASS_METADATA, VALUE_MUST, read_message, 0, NULL },
    { "multiMatch", CLASS_STATE, VALUE_NONE, read_flag, 1, NULL },
    { "noauditlog", CLASS_STATE, VALUE_NONE, read_audit_log, 0, NULL },
    { "nolog", CLASS_STATE, VALUE_NONE, read_log, 0, NULL },
    { "pass", CLASS_DISRUPTIVE, VALUE_NONE, read_disruptive, DISRUPT_PASS, NULL },
    { "pause", CLASS_DISRUPTIVE, VALUE_MUST, NULL, 0,
      "held connections serve an attacker: use a limit" },
    { "phase", CLASS_PHASE, VALUE_MUST, read_phase, 0, NULL },
    { "prepend", CLASS_STATE, VALUE_MUST, NULL, 0, no_rewriting },
    { "proxy", CLASS_DISRUPTIVE, VALUE_MUST, NULL, 0, "use a route with an upstream" },
    { "redirect", CLASS_DISRUPTIVE, VALUE_MUST, read_redirect, 0, NULL },
    { "rev", CLASS_METADATA, VALUE_MUST, read_version, 1, NULL },
    { "sanitiseArg", CLASS_STATE, VALUE_MUST, read_sanitise, 0, NULL },
    { "sanitiseMatched", CLASS_STATE, VALUE_NONE, read_sanitise, 1, NULL },
    { "sanitiseMatchedBytes", CLASS_STATE, VALUE_MAY, read_sanitise, 2, NULL },
    { "sanitiseRequestHeader", CLASS_STATE, VALUE_MUST, read_sanitise, 3, NULL },
    { "sanitiseResponseHeader", CLASS_STATE, VALUE_MUST, read_sanitise, 4, NULL },
    { "sanitizeArg", CLASS_STATE, VALUE_MUST, read_sanitise, 0, NULL },
    { "sanitizeMatched", CLASS_STATE, VALUE_NONE, read_sanitise, 1, NULL },
    { "sanitizeMatchedBytes", CLASS_STATE, VALUE_MAY, read_sanitise, 2, NULL },
    { "sanitizeRequestHeader", CLASS_STATE, VALUE_MUST, read_sanitise, 3, NULL },
    { "sanitizeResponseHeader", CLASS_STATE, VALUE_MUST, read_sanitise, 4, NULL },
    { "setenv", CLASS_STATE, VALUE_MUST, read_setenv, 0, NULL },
    { "setrsc", CLASS_STATE, VALUE_MUST, read_named, STEP_SETRSC, NULL },
    { "setsid", CLASS_STATE, VALUE_MUST, read_named, STEP_SETSID, NULL },
    { "setuid", CLASS_STATE, VALUE_MUST, read_named, STEP_SETUID, NULL },
    { "setvar", CLASS_STATE, VALUE_MUST, read_setvar, 0, NULL },
    { "severity", CLASS_METADATA, VALUE_MUST, read_severity, 0, NULL },
    { "skip", CLASS_FLOW, VALUE_MUST, read_skip, 0, NULL },
    { "skipAfter", CLASS_FLOW, VALUE_MUST, read_skip_after, 0, NULL },
    { "status", CLASS_DATA, VALUE_MUST, read_status, 0, NULL },
    { "t", CLASS_STATE, VALUE_MUST, read_transform, 0, NULL },
    /* mod_security2 does not refuse tags in links; they say nothing about the chain. */
    { "tag", CLASS_STATE, VALUE_MUST, read_tag, 0, NULL },
    { "ver", CLASS_METADATA, VALUE_MUST, read_version, 0, NULL },
    { "xmlns", CLASS_STATE, VALUE_MUST, read_nothing, 0, NULL },
};

static const struct action_row *find_row(struct parser *parser, const struct action_at *at)
{
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        if (span_equal_nocase(at->pair.name, span_text(rows[i].name)))
            return &rows[i];
    }
    struct text hint = text_growing(parser->arena, 64);
    struct suggestion suggestion = suggest_for(at->pair.name);
    for (size_t i = 0; i < ARRAY_LEN(rows); i++)
        suggest_consider(&suggestion, span_text(rows[i].name));
    suggest_write(&hint, &suggestion);
    fault_hint(parser, DIAG_SECLANG_NAME, value_place(at, at->pair.name), "unknown action %",
               at->pair.name, text_span(&hint));
    return NULL;
}

/* Chains and SecDefaultAction refuse some classes: where the first of each stands. */
static void remember(const struct action_row *row, const struct action_at *at)
{
    struct place *places[] = {
        [CLASS_DISRUPTIVE] = &at->set->disruptive_at,
        [CLASS_METADATA] = &at->set->metadata_at,
        [CLASS_FLOW] = &at->set->flow_at,
        [CLASS_PHASE] = &at->set->phase_at,
        [CLASS_STATE] = NULL,
        [CLASS_DATA] = NULL,
    };
    struct place *place = places[row->class];
    if (place != NULL && place->line == 0)
        *place = at->place;
}

static void read_action(struct parser *parser, struct action_at *at)
{
    const struct action_row *row = find_row(parser, at);
    if (row == NULL)
        return;
    at->data = row->data;
    remember(row, at);
    bool has = at->pair.value.p != NULL;
    if (row->value == VALUE_MUST && !has)
        fault(parser, DIAG_SECLANG_VALUE, at->place, "the action % needs a value",
              at->pair.name);
    else if (row->value == VALUE_NONE && has)
        fault(parser, DIAG_SECLANG_VALUE, at->place, "the action % takes no value",
              at->pair.name);
    else if (row->refusal != NULL)
        cannot_run(parser, at->place, at->pair.name, row->refusal);
    else
        row->read(parser, at);
}

void action_set_init(struct action_set *set)
{
    *set = (struct action_set){ .severity = -1 };
}

void actions_parse(struct parser *parser, const struct word *word, struct action_set *set)
{
    struct pair_reader reader = { parser, word, word->text, false };
    struct action_at at = { .word = word, .set = set };
    struct word_mark mark = { .p = NULL };
    unsigned count = 0;

    while (pair_next(&reader, &at.pair) == PAIR_READ) {
        at.place = word_place_next(word, at.pair.whole, &mark);
        if (count++ == SECLANG_ACTIONS_MAX) {
            fault(parser, DIAG_SECLANG_LIMIT, at.place, "a rule has too many actions",
                  SPAN(""));
            return;
        }
        read_action(parser, &at);
    }
}
