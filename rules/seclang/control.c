/*
 * ctl: what a rule changes of the engine for the rest of its transaction.
 */
#include "conf/suggest.h"
#include "rules/seclang/parser.h"

enum ctl_argument {
    ARGUMENT_IDS,
    ARGUMENT_REGEX,
    ARGUMENT_IDS_TARGET,
    ARGUMENT_REGEX_TARGET,
    ARGUMENT_SWITCH,
    ARGUMENT_MODE,
    ARGUMENT_NUMBER,
    ARGUMENT_TEXT,
};

static const struct ctl_row {
    const char *name;
    enum ctl_argument argument;
} rows[CTL_COUNT] = {
#define CTL(id, name, argument) [CTL_##id] = { name, ARGUMENT_##argument },
#include "rules/seclang/ctl.def"
#undef CTL
};

struct control {
    struct parser *parser;
    const struct action_at *at;
    struct span value;
    struct sec_step step;
};

static void bad(const struct control *control, const char *text, struct span part)
{
    fault(control->parser, DIAG_SECLANG_VALUE, value_place(control->at, part), text, part);
}

static void add_step(const struct control *control)
{
    struct sec_step *added = LIST_ADD(control->parser, &control->at->set->steps);
    if (added != NULL)
        *added = control->step;
}

/* One step for each target. */
static void add_targets(struct control *control, struct span targets)
{
    struct span rest = targets, one;
    while (span_cut(&rest, ',', &one)) {
        one = span_trim(one);
        if (target_parse_one(control->parser, control->at->word, one, &control->step.target))
            add_step(control);
    }
}

/* The part behind the semicolon is the target. */
static bool split_target(struct control *control, struct span *target)
{
    struct span whole = control->value;
    *target = whole;
    if (span_cut(target, ';', &control->value) && target->p != NULL && target->len > 0)
        return true;
    bad(control, "a target is missing: rule;TARGET is needed, not %", whole);
    return false;
}

/* Ids and ranges, with commas between them where the value is quoted. */
static void read_ids(struct control *control, struct span targets)
{
    struct span rest = control->value, one;
    while (span_cut(&rest, ',', &one)) {
        one = span_trim(one);
        if (!ids_parse(one, &control->step.id_from, &control->step.id_to))
            bad(control, "a rule's id or a range of ids is needed, not %", one);
        else if (targets.p != NULL)
            add_targets(control, targets);
        else
            add_step(control);
    }
}

static void read_regex(struct control *control, struct span targets)
{
    control->step.tag = control->value;
    control->step.regex = pattern_compile(control->parser, control->value, false,
                                          value_place(control->at, control->value));
    if (control->step.regex == NULL)
        return;
    if (targets.p != NULL)
        add_targets(control, targets);
    else
        add_step(control);
}

static void read_switch(struct control *control)
{
    bool on;
    if (!span_switch(control->value, &on)) {
        bad(control, "On or Off is needed, not %", control->value);
        return;
    }
    bool hashes =
        control->step.ctl == CTL_HASH_ENGINE || control->step.ctl == CTL_HASH_ENFORCEMENT;
    control->step.option = on ? 1 : 0;
    if (hashes && on)
        cannot_run(control->parser, control->at->place, control->at->pair.whole,
                   "links are not signed: bodies go through unchanged");
    else
        add_step(control);
}

static void read_mode(struct control *control)
{
    static const struct {
        const char *name;
        enum engine_mode mode;
    } modes[] = { { "on", ENGINE_ON },
                  { "off", ENGINE_OFF },
                  { "detectiononly", ENGINE_DETECT } };
    for (size_t i = 0; i < ARRAY_LEN(modes); i++) {
        if (!span_equal_nocase(control->value, span_text(modes[i].name)))
            continue;
        control->step.option = (int)modes[i].mode;
        add_step(control);
        return;
    }
    bad(control, "On, Off or DetectionOnly is needed, not %", control->value);
}

static void read_number(struct control *control)
{
    uint64_t most = control->step.ctl == CTL_DEBUG_LOG_LEVEL ? 9 : INT64_MAX;
    if (!span_number(control->value, most, &control->step.number))
        bad(control, "a number is needed, not %", control->value);
    else if (control->step.ctl == CTL_DEBUG_LOG_LEVEL)
        note(control->parser, DIAG_SECLANG_IGNORED, control->at->place, "% has no effect here",
             control->at->pair.whole);
    else
        add_step(control);
}

static bool audit_parts(struct span value)
{
    if (span_starts(value, SPAN("+")) || span_starts(value, SPAN("-")))
        value = span_sub(value, 1, value.len);
    for (size_t i = 0; i < value.len; i++) {
        char c = ascii_lower(value.p[i]);
        if (c != 'z' && (c < 'a' || c > 'k'))
            return false;
    }
    return value.len > 0;
}

static void read_text(struct control *control)
{
    static const struct {
        enum sec_ctl ctl;
        const char *words[5];
        const char *sentence;
    } choices[] = {
        { CTL_AUDIT_ENGINE,
          { "On", "Off", "RelevantOnly" },
          "On, Off or RelevantOnly is needed, not %" },
        { CTL_REQUEST_BODY_PROCESSOR,
          { "URLENCODED", "MULTIPART", "XML", "JSON" },
          "the processors are URLENCODED, MULTIPART, XML and JSON, not %" },
        { CTL_PARSE_XML_INTO_ARGS,
          { "On", "Off", "OnlyArgs" },
          "On, Off or OnlyArgs is needed, not %" },
    };
    struct span value = control->value;
    control->step.value = macro_literal(value);
    if (control->step.ctl == CTL_AUDIT_LOG_PARTS && !audit_parts(value)) {
        bad(control, "the parts of an audit log are letters from A to K and Z, not %", value);
        return;
    }
    for (size_t i = 0; i < ARRAY_LEN(choices); i++) {
        if (choices[i].ctl != control->step.ctl)
            continue;
        bool found = false;
        for (size_t j = 0; j < ARRAY_LEN(choices[i].words) && !found; j++) {
            const char *word = choices[i].words[j];
            found = word != NULL && span_equal_nocase(value, span_text(word));
            if (found)
                control->step.value = macro_literal(span_text(word));
        }
        if (!found) {
            bad(control, choices[i].sentence, value);
            return;
        }
    }
    add_step(control);
}

static void read_argument(struct control *control)
{
    struct span target;
    switch (rows[control->step.ctl].argument) {
    case ARGUMENT_IDS:
        read_ids(control, (struct span){ .p = NULL });
        break;
    case ARGUMENT_REGEX:
        read_regex(control, (struct span){ .p = NULL });
        break;
    case ARGUMENT_IDS_TARGET:
        if (split_target(control, &target))
            read_ids(control, target);
        break;
    case ARGUMENT_REGEX_TARGET:
        if (split_target(control, &target))
            read_regex(control, target);
        break;
    case ARGUMENT_SWITCH:
        read_switch(control);
        break;
    case ARGUMENT_MODE:
        read_mode(control);
        break;
    case ARGUMENT_NUMBER:
        read_number(control);
        break;
    case ARGUMENT_TEXT:
        read_text(control);
        break;
    }
}

void read_ctl(struct parser *parser, const struct action_at *at)
{
    const struct macro empty = macro_literal(SPAN(""));
    struct control control = {
        .parser = parser,
        .at = at,
        .value = at->pair.value,
        .step = { .kind = STEP_CTL, .name = empty, .value = empty },
    };
    struct span name;
    if (!span_cut(&control.value, '=', &name) || control.value.p == NULL ||
        control.value.len == 0) {
        bad(&control, "ctl takes name=value, not %", at->pair.value);
        return;
    }
    for (unsigned i = 0; i < CTL_COUNT; i++) {
        if (!span_equal_nocase(name, span_text(rows[i].name)))
            continue;
        control.step.ctl = (enum sec_ctl)i;
        read_argument(&control);
        return;
    }
    struct text hint = text_growing(parser->arena, 64);
    struct suggestion suggestion = suggest_for(name);
    for (unsigned i = 0; i < CTL_COUNT; i++)
        suggest_consider(&suggestion, span_text(rows[i].name));
    suggest_write(&hint, &suggestion);
    fault_hint(parser, DIAG_SECLANG_NAME, value_place(at, name), "unknown ctl %", name,
               text_span(&hint));
}
