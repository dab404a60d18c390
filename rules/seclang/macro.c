/*
 * Macros: %{REQUEST_URI}, %{tx.score}, cut at load into literal parts and variables. A `%` that
 * begins none is itself.
 *
 * mod_security2 expands a macro that it cannot resolve to nothing, at run time: a comparison
 * with nothing is true too often. Here it is an error, and in messages a warning.
 */
#include "conf/suggest.h"
#include "rules/seclang/parser.h"

struct cutting {
    struct parser *parser;
    const struct word *word;
    enum macro_use use;
    struct macro_part *parts;
    unsigned count, room;
};

struct macro macro_literal(struct span text)
{
    return (struct macro){ .source = text, .literal = true };
}

static bool add(struct cutting *cut, const struct macro_part *part)
{
    if (!part->variable && part->text.len == 0)
        return true;
    void *parts = list_add(cut->parser, cut->parts, &cut->count, &cut->room, sizeof *part);
    if (parts == NULL)
        return false;
    cut->parts = parts;
    cut->parts[cut->count - 1] = *part;
    return true;
}

static void tell_unknown(const struct cutting *cut, struct span inside, struct span name,
                         const char *reason)
{
    struct text hint = text_growing(cut->parser->arena, 64);
    struct suggestion suggestion = suggest_for(name);
    for (unsigned i = 0; reason == NULL && i < VAR_COUNT; i++)
        suggest_consider(&suggestion, span_text(variable_rows[i].name));
    suggest_write(&hint, &suggestion);
    if (reason != NULL)
        text_add(&hint, span_text(reason));
    else if (hint.len == 0)
        text_lit(&hint, "in a pattern a percent sign that begins no macro is written \\x25");
    fault_hint(cut->parser, DIAG_SECLANG_NAME, word_place_of(cut->word, inside),
               "unknown variable in the macro %", inside, text_span(&hint));
}

/* What stands between the braces, as a variable. False: it is none, which was told. */
static bool resolve(const struct cutting *cut, struct span inside, struct macro_part *part)
{
    struct span key = inside, name;
    (void)span_cut(&key, '.', &name);
    struct variable_ref ref;
    enum variable_name known = variable_resolve(cut->parser->arena, name, &ref);
    struct place place = word_place_of(cut->word, inside);

    if (known == NAME_KNOWN) {
        bool scalar = variable_rows[ref.var].shape == SHAPE_SCALAR;
        if (ref.key.p != NULL && key.p == NULL)
            key = ref.key;
        *part = (struct macro_part){ .variable = true, .var = ref.var, .text = key };
        if (!scalar || key.p == NULL)
            return true;
        if (cut->use == MACRO_VALUE)
            fault(cut->parser, DIAG_SECLANG_VALUE, place,
                  "the macro %: this variable has one value and takes no name", inside);
        else
            note(cut->parser, DIAG_SECLANG_VALUE, place,
                 "the macro % stays as it is: this variable has one value and takes no name",
                 inside);
        return false;
    }
    if (cut->use == MACRO_VALUE)
        tell_unknown(cut, inside, name, known == NAME_REFUSED ? ref.reason : NULL);
    else
        note(cut->parser, DIAG_SECLANG_NAME, place,
             "unknown variable in the macro %, which stays as it is", inside);
    return false;
}

/* The next %{...} of the text; -1: none. */
static ssize_t find_macro(struct span text, size_t *inside)
{
    ssize_t at = span_find(text, SPAN("%{"));
    if (at < 0)
        return -1;
    struct span rest = span_sub(text, (size_t)at + 2, text.len);
    ssize_t end = span_index(rest, '}');
    if (end <= 0)
        return -1;
    *inside = (size_t)end;
    return at;
}

bool macro_parse(struct parser *parser, struct macro *macro, struct span text,
                 const struct word *word, enum macro_use use)
{
    struct cutting cut = { .parser = parser, .word = word, .use = use };
    struct span rest = text;
    size_t literal = 0; /* bytes of `rest` that are text so far */
    bool good = true, variable = false;

    *macro = macro_literal(text);
    for (;;) {
        size_t len;
        ssize_t at = find_macro(span_sub(rest, literal, rest.len), &len);
        if (at < 0)
            break;
        size_t from = literal + (size_t)at;
        struct macro_part part;
        if (!resolve(&cut, span_sub(rest, from + 2, len), &part)) {
            good = good && use == MACRO_TEXT;
            literal = from + 2;
            continue;
        }
        struct macro_part before = { .text = span_sub(rest, 0, from) };
        if (!add(&cut, &before) || !add(&cut, &part))
            return false;
        variable = true;
        rest = span_sub(rest, from + 2 + len + 1, rest.len);
        literal = 0;
    }
    if (!good)
        return false;
    if (!variable)
        return true;
    struct macro_part tail = { .text = rest };
    if (!add(&cut, &tail))
        return false;
    if (cut.count > SECLANG_MACRO_PARTS_MAX) {
        fault(parser, DIAG_SECLANG_LIMIT, word_place_of(word, text),
              "there are too many macros in one text", SPAN(""));
        return false;
    }
    macro->literal = false;
    macro->parts = cut.parts;
    macro->count = cut.count;
    return true;
}
