/*
 * Actions that change state: setvar and its family, collections, and what records mask.
 */
#include "conf/suggest.h"
#include "rules/seclang/parser.h"

static const struct {
    const char *name;
    enum sec_collection collection;
    bool kept; /* beyond the transaction */
} collections[] = {
    { "tx", COLLECTION_TX, false },        { "ip", COLLECTION_IP, true },
    { "global", COLLECTION_GLOBAL, true }, { "session", COLLECTION_SESSION, true },
    { "user", COLLECTION_USER, true },     { "resource", COLLECTION_RESOURCE, true },
    { "env", COLLECTION_ENV, false },
};

static void bad(struct parser *parser, const struct action_at *at, const char *text,
                struct span part)
{
    fault(parser, DIAG_SECLANG_VALUE, value_place(at, part), text, part);
}

static struct sec_step *add_step(struct parser *parser, const struct action_at *at,
                                 const struct sec_step *step)
{
    struct sec_step *added = LIST_ADD(parser, &at->set->steps);
    if (added != NULL)
        *added = *step;
    return added;
}

/* The collection of that name; ARRAY_LEN(collections): there is none, which was told. */
static size_t find_collection(struct parser *parser, const struct action_at *at,
                              struct span name)
{
    struct suggestion suggestion = suggest_for(name);
    size_t i = 0;
    while (i < ARRAY_LEN(collections) &&
           !span_equal_nocase(name, span_text(collections[i].name)))
        i++;
    if (i < ARRAY_LEN(collections))
        return i;
    for (size_t j = 0; j < ARRAY_LEN(collections); j++)
        suggest_consider(&suggestion, span_text(collections[j].name));
    struct text hint = text_growing(parser->arena, 64);
    suggest_write(&hint, &suggestion);
    fault_hint(parser, DIAG_SECLANG_NAME, value_place(at, name), "unknown collection %", name,
               text_span(&hint));
    return i;
}

static struct span trim_start(struct span text)
{
    while (text.len > 0 && lex_space(text.p[0]))
        text = span_sub(text, 1, text.len);
    return text;
}

/* `name=value`; without `=` the value is 1. */
static struct span split_value(struct span text, struct span *name)
{
    ssize_t at = span_index(text, '=');
    *name = at < 0 ? text : span_sub(text, 0, (size_t)at);
    return at < 0 ? SPAN("1") : trim_start(span_sub(text, (size_t)at + 1, text.len));
}

/* `collection.name`, with macros in the name only. */
static bool read_variable(struct parser *parser, const struct action_at *at, struct span text,
                          struct sec_step *step)
{
    ssize_t dot = span_index(text, '.');
    struct span name = dot < 0 ? SPAN("") : span_sub(text, (size_t)dot + 1, text.len);
    if (name.len == 0) {
        bad(parser, at, "a variable is written collection.name, not %", text);
        return false;
    }
    size_t found = find_collection(parser, at, span_sub(text, 0, (size_t)dot));
    if (found == ARRAY_LEN(collections))
        return false;
    step->collection = collections[found].collection;
    return macro_parse(parser, &step->name, name, at->word, MACRO_VALUE);
}

void read_setvar(struct parser *parser, const struct action_at *at)
{
    struct sec_step step = { .kind = STEP_SETVAR };
    struct span text = at->pair.value, name;
    if (span_starts(text, SPAN("!"))) {
        step.kind = STEP_UNSETVAR;
        text = span_sub(text, 1, text.len);
        if (span_index(text, '=') >= 0) {
            bad(parser, at, "% : a variable that is unset has no value", at->pair.value);
            return;
        }
    }
    struct span value = split_value(text, &name);
    if (!read_variable(parser, at, name, &step))
        return;
    if (value.len > 1 && span_starts(value, SPAN("'")) && span_ends(value, SPAN("'")))
        note_hint(parser, DIAG_SECLANG_VALUE, value_place(at, value),
                  "the quotes of % are part of the value", value,
                  SPAN("they stand around all of it: setvar:'tx.name=value'"));
    if (span_starts(value, SPAN("+")) || span_starts(value, SPAN("-"))) {
        step.kind = STEP_ADDVAR;
        if (value.p[0] == '+')
            value = span_sub(value, 1, value.len);
    }
    if (step.kind == STEP_UNSETVAR)
        step.value = macro_literal(SPAN(""));
    else if (!macro_parse(parser, &step.value, value, at->word, MACRO_VALUE))
        return;
    (void)add_step(parser, at, &step);
}

/* expirevar:ip.x=60, deprecatevar:ip.x=60/300 */
void read_lifetime(struct parser *parser, const struct action_at *at)
{
    struct sec_step step = { .kind = (enum sec_step_kind)at->data };
    bool expires = step.kind == STEP_EXPIREVAR;
    struct span name, value = split_value(at->pair.value, &name);
    if (!read_variable(parser, at, name, &step) ||
        !macro_parse(parser, &step.value, value, at->word, MACRO_VALUE))
        return;

    uint64_t number = 0;
    struct span rest = value, first;
    bool good = expires ? span_uint(value, &number)
                        : span_cut(&rest, '/', &first) && span_uint(first, &number) &&
                              span_uint(rest, &number) && number > 0;
    if (step.value.literal && !good) {
        bad(parser, at,
            expires ? "expirevar takes seconds, as in ip.name=60, not %"
                    : "deprecatevar takes an amount and seconds, as in ip.name=60/300, not %",
            value);
        return;
    }
    if (step.collection == COLLECTION_TX || step.collection == COLLECTION_ENV)
        note(parser, DIAG_SECLANG_IGNORED, at->place,
             "% has no effect: this collection ends with its transaction", at->pair.whole);
    else
        (void)add_step(parser, at, &step);
}

void read_initcol(struct parser *parser, const struct action_at *at)
{
    struct sec_step step = { .kind = STEP_INITCOL };
    struct span name, value = split_value(at->pair.value, &name);
    if (name.len == at->pair.value.len || value.len == 0) {
        bad(parser, at, "initcol takes a collection and its key, name=key, not %",
            at->pair.value);
        return;
    }
    size_t found = find_collection(parser, at, name);
    if (found == ARRAY_LEN(collections))
        return;
    if (!collections[found].kept) {
        bad(parser, at, "the collection % is there in every transaction", name);
        return;
    }
    step.collection = collections[found].collection;
    step.name = macro_literal(name);
    if (macro_parse(parser, &step.value, value, at->word, MACRO_VALUE))
        (void)add_step(parser, at, &step);
}

/* setuid, setsid, setrsc: the key of a collection. */
void read_named(struct parser *parser, const struct action_at *at)
{
    struct sec_step step = { .kind = (enum sec_step_kind)at->data };
    step.collection = step.kind == STEP_SETUID   ? COLLECTION_USER
                      : step.kind == STEP_SETSID ? COLLECTION_SESSION
                                                 : COLLECTION_RESOURCE;
    step.name = macro_literal(SPAN(""));
    if (macro_parse(parser, &step.value, at->pair.value, at->word, MACRO_VALUE))
        (void)add_step(parser, at, &step);
}

void read_setenv(struct parser *parser, const struct action_at *at)
{
    struct sec_step step = { .kind = STEP_SETENV, .collection = COLLECTION_ENV };
    struct span text = at->pair.value, name;
    if (span_starts(text, SPAN("!"))) {
        step.kind = STEP_UNSETVAR;
        text = span_sub(text, 1, text.len);
    }
    struct span value = split_value(text, &name);
    if (name.len == 0) {
        bad(parser, at, "setenv takes name=value, not %", at->pair.value);
        return;
    }
    if (macro_parse(parser, &step.name, name, at->word, MACRO_VALUE) &&
        macro_parse(parser, &step.value, value, at->word, MACRO_VALUE))
        (void)add_step(parser, at, &step);
}

/* sanitiseMatchedBytes:1/4: all but the first byte and the last four. */
static bool read_kept(struct span value, struct sec_step *step)
{
    enum { KEPT_MAX = 255 };
    struct span rest = value, first;
    uint64_t from, to;
    if (!span_cut(&rest, '/', &first) || !span_number(first, KEPT_MAX, &from) ||
        !span_number(rest, KEPT_MAX, &to))
        return false;
    step->keep_first = (unsigned)from;
    step->keep_last = (unsigned)to;
    return true;
}

void read_sanitise(struct parser *parser, const struct action_at *at)
{
    static const struct {
        enum variable var;
        bool bytes;
    } kinds[] = { { VAR_ARGS, false },
                  { VAR_MATCHED_VARS, false },
                  { VAR_MATCHED_VARS, true },
                  { VAR_REQUEST_HEADERS, false },
                  { VAR_RESPONSE_HEADERS, false } };
    struct sec_step step = {
        .kind = STEP_SANITISE,
        .sanitise = kinds[at->data].var,
        .sanitise_bytes = kinds[at->data].bytes,
        .name = macro_literal(SPAN("")),
        .value = macro_literal(SPAN("")),
    };
    if (step.sanitise_bytes && at->pair.value.p != NULL && !read_kept(at->pair.value, &step)) {
        bad(parser, at,
            "sanitiseMatchedBytes takes how many first and last bytes stay, as in "
            "1/4, not %",
            at->pair.value);
        return;
    }
    bool named = step.sanitise != VAR_MATCHED_VARS;
    if (!named || macro_parse(parser, &step.name, at->pair.value, at->word, MACRO_VALUE))
        (void)add_step(parser, at, &step);
}
