/*
 * Targets: `ARGS`, `&ARGS`, `!ARGS:name`, `ARGS:/pattern/`, `ARGS:'/with | and , in it/'`,
 * `XML://@*`, `TX:count_%{tx.n}`. Patterns of names have no case.
 */
#include "rules/seclang/parser.h"

struct aim {
    struct parser *parser;
    const struct word *word;
    struct pair pair;
    struct place place;
};

static bool refuse(const struct aim *aim, const char *text)
{
    fault(aim->parser, DIAG_SECLANG_VALUE, aim->place, text, aim->pair.whole);
    return false;
}

static bool read_xpath(const struct aim *aim, struct sec_target *target)
{
    target->key_kind = KEY_NAME;
    target->key_macro = macro_literal(target->key);
    if (!span_equal(target->key, SPAN("/*")) && !span_equal(target->key, SPAN("//@*")))
        cannot_run(aim->parser, aim->place, aim->pair.whole,
                   "of XPath there are XML:/* (all texts) and XML://@* (all attributes)");
    return true;
}

static bool read_key(const struct aim *aim, struct sec_target *target)
{
    struct span key = target->key;
    struct place place = word_place_of(aim->word, key);
    bool pattern = key.len > 2 && key.p[0] == '/' && key.p[key.len - 1] == '/';

    if (pattern) {
        target->key_kind = KEY_REGEX;
        target->key = span_sub(key, 1, key.len - 2);
        if (span_find(target->key, SPAN("%{")) >= 0)
            return refuse(aim, "% : a pattern of names cannot hold macros");
        target->regex = pattern_compile(aim->parser, target->key, true, place);
        return target->regex != NULL;
    }
    if (key.p[0] == '/')
        note(aim->parser, DIAG_SECLANG_VALUE, place,
             "% is taken as a name: a pattern ends with a slash, too", key);
    target->key_kind = KEY_NAME;
    return macro_parse(aim->parser, &target->key_macro, key, aim->word, MACRO_VALUE);
}

/* `!` and `&` stand before the name. */
static struct span read_signs(struct span name, struct sec_target *target)
{
    target->exclude = span_starts(name, SPAN("!"));
    target->count = span_starts(name, SPAN("&"));
    return target->exclude || target->count ? span_sub(name, 1, name.len) : name;
}

static bool read_target(const struct aim *aim, struct sec_target *target)
{
    struct variable_ref ref;
    struct span name = read_signs(aim->pair.name, target);
    enum variable_name known = variable_resolve(aim->parser->arena, name, &ref);
    if (known == NAME_UNKNOWN) {
        variable_unknown(aim->parser, word_place_of(aim->word, name), name);
        return false;
    }
    if (known == NAME_REFUSED) {
        cannot_run(aim->parser, aim->place, name, ref.reason);
        return false;
    }
    enum variable_shape shape = variable_rows[ref.var].shape;
    target->var = ref.var;
    target->key = ref.key.p != NULL ? ref.key : aim->pair.value;
    if (target->count && shape == SHAPE_SCALAR)
        return refuse(aim, "%: & counts values of collections, and this variable is none");
    if (target->key.len == 0)
        return true;
    if (shape == SHAPE_SCALAR)
        return refuse(aim, "%: this variable has one value and takes no name");
    return shape == SHAPE_XML ? read_xpath(aim, target) : read_key(aim, target);
}

void targets_parse(struct parser *parser, const struct word *word, struct span text,
                   struct target_list *targets)
{
    struct pair_reader reader = { parser, word, text, true };
    struct aim aim = { .parser = parser, .word = word };

    while (pair_next(&reader, &aim.pair) == PAIR_READ) {
        struct sec_target target = { .key_kind = KEY_NONE };
        aim.place = word_place_of(word, aim.pair.whole);
        if (!read_target(&aim, &target))
            continue;
        if (targets->count == SECLANG_TARGETS_MAX) {
            fault(parser, DIAG_SECLANG_LIMIT, aim.place, "a rule has too many targets",
                  SPAN(""));
            return;
        }
        struct sec_target *added = LIST_ADD(parser, targets);
        if (added == NULL)
            return;
        *added = target;
    }
}

bool target_parse_one(struct parser *parser, const struct word *word, struct span text,
                      struct sec_target *target)
{
    struct target_list targets = { 0 };
    unsigned errors = parser->diags->errors;
    targets_parse(parser, word, text, &targets);
    if (parser->no_memory || parser->diags->errors > errors)
        return false;
    if (targets.count != 1 || targets.at[0].exclude || targets.at[0].count) {
        fault(parser, DIAG_SECLANG_VALUE, word_place_of(word, text),
              "one target is needed here, without ! and &, not %", text);
        return false;
    }
    *target = targets.at[0];
    return true;
}

bool target_same(const struct sec_target *a, const struct sec_target *b)
{
    return a->var == b->var && a->count == b->count && a->exclude == b->exclude &&
           a->key_kind == b->key_kind && span_equal_nocase(a->key, b->key);
}
