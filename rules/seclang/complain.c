/*
 * Complaints, and the small things that every part of the front end needs: lists, numbers, and
 * patterns that are compiled once however many rules name them.
 */
#include "gateway/base/siphash.h"
#include "rules/seclang/parser.h"

enum { NAME_SHOWN_MAX = 80, LIST_ROOM = 4 };

/* ---- complaints ---- */

static struct span compose(struct parser *parser, const char *text, struct span name)
{
    struct text out = text_growing(parser->arena, 128);
    struct span rest = span_text(text), before;
    while (span_cut(&rest, '%', &before)) {
        text_add(&out, before);
        if (rest.p == NULL)
            break;
        text_char(&out, '"');
        text_add(&out, span_sub(name, 0, NAME_SHOWN_MAX));
        text_add(&out, name.len > NAME_SHOWN_MAX ? SPAN("...\"") : SPAN("\""));
    }
    return text_span(&out);
}

void fault_hint(struct parser *parser, enum diag_code code, struct place place,
                const char *text, struct span name, struct span hint)
{
    if (!parser_full(parser))
        diag_add(parser->diags, SEVERITY_ERROR, code, place, compose(parser, text, name), hint);
}

void fault(struct parser *parser, enum diag_code code, struct place place, const char *text,
           struct span name)
{
    fault_hint(parser, code, place, text, name, SPAN(""));
}

void fault_pair(struct parser *parser, enum diag_code code, const struct place places[2],
                const char *text, struct span name)
{
    if (!parser_full(parser))
        diag_add_pair(parser->diags, SEVERITY_ERROR, code, places, compose(parser, text, name),
                      SPAN(""));
}

void note_hint(struct parser *parser, enum diag_code code, struct place place, const char *text,
               struct span name, struct span hint)
{
    if (parser->diags->count < DIAGS_MAX)
        diag_add(parser->diags, SEVERITY_WARNING, code, place, compose(parser, text, name),
                 hint);
    else
        parser->diags->warnings++;
}

void note(struct parser *parser, enum diag_code code, struct place place, const char *text,
          struct span name)
{
    note_hint(parser, code, place, text, name, SPAN(""));
}

void unsupported(struct parser *parser, struct place place, struct span what, const char *why)
{
    if (parser->options.skip_unsupported)
        note_hint(parser, DIAG_SECLANG_UNSUPPORTED, place, "% is left out: not supported", what,
                  span_text(why));
    else
        fault_hint(parser, DIAG_SECLANG_UNSUPPORTED, place, "% is not supported", what,
                   span_text(why));
}

void cannot_run(struct parser *parser, struct place place, struct span what, const char *why)
{
    if (parser->obstacle.why == NULL)
        parser->obstacle = (struct obstacle){ place, what, why, false };
}

bool parser_full(const struct parser *parser)
{
    return parser->no_memory || parser->diags->errors >= DIAGS_MAX;
}

void out_of_memory(struct parser *parser)
{
    parser->no_memory = true;
}

/* ---- lists ---- */

void *list_add(struct parser *parser, void *at, unsigned *count, unsigned *room, size_t size)
{
    if (*count < *room) {
        memset((char *)at + *count * size, 0, size);
        ++*count;
        return at;
    }
    unsigned more = *room == 0 ? LIST_ROOM : *room * 2;
    void *grown = arena_zero(parser->arena, more, size);
    if (grown == NULL) {
        out_of_memory(parser);
        return NULL;
    }
    if (*count > 0)
        memcpy(grown, at, *count * size);
    *room = more;
    ++*count;
    return grown;
}

/* ---- words ---- */

bool span_number(struct span text, uint64_t max, uint64_t *value)
{
    return span_uint(text, value) && *value <= max;
}

bool span_switch(struct span text, bool *on)
{
    *on = span_equal_nocase(text, SPAN("on"));
    return *on || span_equal_nocase(text, SPAN("off"));
}

bool ids_parse(struct span text, uint64_t *from, uint64_t *to)
{
    struct span rest = text, first;
    if (!span_cut(&rest, '-', &first) || !span_uint(first, from))
        return false;
    *to = *from;
    return rest.p == NULL || (span_uint(rest, to) && *to >= *from);
}

/* ---- what outlives the arena's own memory ---- */

bool own(struct parser *parser, void (*release)(const void *), const void *ptr)
{
    bool kept = program_own(parser->program, parser->arena, release, ptr);
    if (!kept)
        out_of_memory(parser);
    return kept;
}

static void release_regex(const void *ptr)
{
    const struct regex_node *node = ptr;
    regex_free(node->regex);
}

const struct sec_regex *pattern_compile(struct parser *parser, struct span pattern,
                                        bool caseless, struct place place)
{
    static const struct siphash_key key;
    uint64_t hash = siphash(&key, pattern.p, pattern.len);
    struct regex_node **bucket = &parser->regexes[hash % REGEX_BUCKETS];
    for (const struct regex_node *node = *bucket; node != NULL; node = node->next) {
        if (node->caseless == caseless && span_equal(node->pattern, pattern))
            return node->regex;
    }

    char room[256];
    struct text why = text_fixed(room, sizeof room);
    struct sec_regex *regex = regex_compile(pattern, caseless, &why);
    if (regex == NULL) {
        fault_hint(parser, DIAG_SECLANG_PATTERN, place, "invalid pattern %", pattern,
                   text_span(&why));
        return NULL;
    }
    struct regex_node *node = arena_new(parser->arena, struct regex_node);
    if (node == NULL) {
        regex_free(regex);
        out_of_memory(parser);
        return NULL;
    }
    *node = (struct regex_node){ *bucket, regex_source(regex), caseless, regex };
    if (!own(parser, release_regex, node))
        return NULL;
    *bucket = node;
    return regex;
}
