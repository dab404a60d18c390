/*
 * Each transformation under any value. The output fits in the room of the input; a value that
 * has none of the row's triggers, and one that does not change, come back as the very same
 * span; what is called idempotent is; and url_decode takes back the percent-encoding of the
 * whole value. Input: the first byte picks the row.
 */
#include <stdlib.h>

#include "rules/transform.h"

static const struct transform *pick(uint8_t byte)
{
    size_t count = 0;
    while (transforms[count].name != NULL)
        count++;
    return &transforms[byte % count];
}

/* Traits one byte at a time, from the definition. */
static uint32_t slow_traits(struct span s)
{
    uint32_t traits = TRAIT_ANY;
    for (size_t i = 0; i < s.len; i++) {
        unsigned char c = (unsigned char)s.p[i];
        unsigned char next = i + 1 < s.len ? (unsigned char)s.p[i + 1] : '.';
        bool last = i + 1 == s.len, slash = !last && next == '/';
        unsigned char letter = next | 0x20;
        traits |= c == '%' ? TRAIT_PERCENT : 0u;
        traits |= c == '+' ? TRAIT_PLUS : 0u;
        traits |= c == '&' ? TRAIT_AMPERSAND : 0u;
        traits |= c == '\\' ? TRAIT_BACKSLASH : 0u;
        traits |= c == '\0' ? TRAIT_NUL : 0u;
        traits |= c == '*' ? TRAIT_STAR : 0u;
        traits |= c >= 'A' && c <= 'Z' ? TRAIT_UPPER : 0u;
        traits |= c == ' ' ? TRAIT_BLANK : 0u;
        traits |= c >= '\t' && c <= '\r' ? TRAIT_CONTROL : 0u;
        traits |= c == 0xa0 ? TRAIT_NO_BREAK : 0u;
        traits |= c == ' ' && (next == ' ' || slash || next == '(') ? TRAIT_GAP : 0u;
        traits |= c == ' ' && next == ' ' ? TRAIT_BLANKS : 0u;
        traits |= (c == '.' && (last || slash)) || (c == '/' && slash) ? TRAIT_PATH : 0u;
        traits |= c == '&' && next == '#' ? TRAIT_ENTITY_NUMBER : 0u;
        traits |= c == '&' && strchr("lgaqn", letter) != NULL ? TRAIT_ENTITY_NAME : 0u;
        traits |= c == '%' && next >= '0' && next <= '9' ? TRAIT_ESCAPE_DIGIT : 0u;
        traits |= c == '%' && strchr("abcdefu", letter) != NULL ? TRAIT_ESCAPE_LETTER : 0u;
        traits |= c >= 0x80 ? TRAIT_HIGH : 0u;
        traits |= c == '-' || c == '#' ? TRAIT_COMMENT : 0u;
        traits |= c == '"' || c == '\'' || c == ',' ? TRAIT_QUOTE : 0u;
        traits |= c == ';' ? TRAIT_SEMICOLON : 0u;
        traits |= c == '^' ? TRAIT_CARET : 0u;
        traits |= c == 'x' || c == 'X' ? TRAIT_X : 0u;
        traits |= c == '<' || c == '=' ? TRAIT_MARKUP : 0u;
    }
    return traits;
}

static void check_round_trip(struct span in)
{
    static const char digits[] = "0123456789aBcDeF";
    char *wire = malloc(in.len * 3 + 1), *room = malloc(in.len * 3 + 1);
    INVARIANT(wire != NULL && room != NULL);
    for (size_t i = 0; i < in.len; i++) {
        wire[3 * i] = '%';
        wire[3 * i + 1] = digits[(uint8_t)in.p[i] >> 4];
        wire[3 * i + 2] = digits[in.p[i] & 0x0f];
    }
    const struct transform *row = transform_find(SPAN("url_decode"));
    INVARIANT(span_equal(row->apply(span_of(wire, in.len * 3), room), in));
    free(wire);
    free(room);
}

static void check_runs(struct span in)
{
    char *room = malloc(in.len + 1), *again = malloc(in.len + 1);
    INVARIANT(room != NULL && again != NULL);
    struct span out = text_runs(in, room + 1);
    INVARIANT(out.len <= in.len);
    INVARIANT(out.p == in.p || out.p == room + 1);
    INVARIANT(span_equal(text_runs(out, again + 1), out));
    free(room);
    free(again);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 1)
        return 0;
    const struct transform *row = pick(data[0]);
    struct span in = span_of((const char *)data + 1, size - 1);
    uint32_t traits = traits_of(in);
    INVARIANT((slow_traits(in) & ~traits) == 0);
    check_round_trip(in);
    if (row->apply == NULL) {
        check_runs(in);
        return 0;
    }

    /* Of exactly the length that is promised, so that a byte more is seen. */
    char *room = malloc(in.len + 1), *again = malloc(in.len + 1);
    INVARIANT(room != NULL && again != NULL);
    struct span out = row->apply(in, room + 1);
    INVARIANT(out.len <= in.len);
    INVARIANT(out.p == in.p ? out.len == in.len : !span_equal(out, in) && out.p == room + 1);
    INVARIANT((traits & row->triggers) != 0 || out.p == in.p);
    if (row->idempotent)
        INVARIANT(row->apply(out, again + 1).p == out.p);
    free(room);
    free(again);
    return 0;
}
