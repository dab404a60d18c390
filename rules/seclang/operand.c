/*
 * The operator of a rule: `@rx pattern`, `!@streq text`, or a pattern alone. A literal argument
 * is compiled here; one with macros when it is expanded.
 */
#include "conf/suggest.h"
#include "rules/seclang/parser.h"

/*
 * Not supported, yet in rule sets that are in common use: such a chain is left out and told,
 * and the rest of the rules still loads. (The Core Rule Set 3 has one @rbl, which its settings
 * switch off unless somebody has a key for that list.)
 */
static const char *const usual[] = { "rbl" };

struct operand {
    struct parser *parser;
    const struct word *word;
    struct sec_operator *op;
    struct span name; /* with its @ */
    struct span argument;
};

static void unknown(const struct operand *operand, struct span name)
{
    struct text hint = text_growing(operand->parser->arena, 64);
    struct suggestion suggestion = suggest_for(name);
    for (const struct operator_row *row = operators; row->name != NULL; row++)
        suggest_consider(&suggestion, span_text(row->name));
    suggest_write(&hint, &suggestion);
    fault_hint(operand->parser, DIAG_SECLANG_NAME, word_place_of(operand->word, operand->name),
               "unknown operator %", operand->name, text_span(&hint));
}

static void refuse(const struct operand *operand)
{
    struct obstacle *obstacle = &operand->parser->obstacle;
    const struct operator_row *row = operand->op->row;
    bool first = obstacle->why == NULL;
    cannot_run(operand->parser, word_place_of(operand->word, operand->name), operand->name,
               row->refusal);
    for (size_t i = 0; first && i < ARRAY_LEN(usual); i++)
        obstacle->usual = obstacle->usual || strcmp(usual[i], row->name) == 0;
}

static void compile(const struct operand *operand)
{
    struct parser *parser = operand->parser;
    const struct operator_row *row = operand->op->row;
    struct place place = word_place_of(operand->word, operand->argument);
    if (row->kind == OPERATOR_REGEX) {
        operand->op->regex = pattern_compile(parser, operand->argument, false, place);
        return;
    }
    if (row->kind != OPERATOR_EVAL || row->compile == NULL)
        return;

    struct text why = text_growing(parser->arena, 128);
    const struct operator_source source = {
        .argument = operand->argument,
        .folder = operand->word->source->folder,
        .arena = parser->arena,
        .why = &why,
        .hash = &parser->program->hash,
    };
    if (!row->compile(&source, &operand->op->prepared)) {
        operand->op->prepared = NULL;
        fault_hint(parser, DIAG_SECLANG_VALUE, place, "% cannot use its argument",
                   operand->name, text_span(&why));
        return;
    }
    if (row->release != NULL && operand->op->prepared != NULL &&
        !own(parser, row->release, operand->op->prepared))
        operand->op->prepared = NULL;
}

/* Cuts the name off; an argument alone is a pattern. */
static void split(struct operand *operand)
{
    struct span text = operand->word->text;
    size_t at = 0;
    if (span_starts(text, SPAN("!"))) {
        operand->op->negated = true;
        at++;
        while (at < text.len && lex_space(text.p[at]))
            at++;
    }
    struct span rest = span_sub(text, at, text.len);
    if (!span_starts(rest, SPAN("@"))) {
        operand->argument = rest;
        if (span_starts(span_trim(rest), SPAN("@")))
            note(operand->parser, DIAG_SECLANG_VALUE, word_place_of(operand->word, rest),
                 "% is taken as a pattern: white space stands before the @", rest);
        return;
    }
    size_t end = 0;
    while (end < rest.len && !lex_space(rest.p[end]))
        end++;
    operand->name = span_sub(rest, 0, end);
    while (end < rest.len && lex_space(rest.p[end]))
        end++;
    operand->argument = span_sub(rest, end, rest.len);
}

void operand_parse(struct parser *parser, const struct word *word, struct sec_operator *op)
{
    struct operand operand = { .parser = parser, .word = word, .op = op };
    split(&operand);
    bool pattern_alone = operand.name.p == NULL;
    struct span name = pattern_alone ? SPAN("rx") : span_sub(operand.name, 1, operand.name.len);
    op->argument = macro_literal(operand.argument);
    op->row = operator_find(name);
    if (op->row == NULL) {
        unknown(&operand, name);
        return;
    }
    if (pattern_alone)
        operand.name = SPAN("@rx");
    if (op->row->kind == OPERATOR_REFUSED) {
        refuse(&operand);
        return;
    }
    /* White space behind a text or a pattern is part of it. */
    if (op->row->compile != NULL || op->row->argument)
        operand.argument = op->argument.source = span_trim(operand.argument);
    if (op->row->argument && operand.argument.len == 0) {
        fault(parser, DIAG_SECLANG_VALUE, word_place_of(word, operand.name),
              "% needs an argument", operand.name);
        return;
    }
    bool may_hold = op->row->macros || op->row->kind == OPERATOR_REGEX;
    if (may_hold && !macro_parse(parser, &op->argument, operand.argument, word, MACRO_VALUE))
        return;
    if (op->argument.literal)
        compile(&operand);
}
