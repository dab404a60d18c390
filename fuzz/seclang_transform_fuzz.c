/*
 * Each of SecLang's transformations under any value. The output fits in the room that the row
 * promises; a value that has none of the row's triggers comes back as the very same span, and
 * so does one that does not change; what is called idempotent is; what was encoded decodes.
 * Input: the first byte picks the row.
 */
#include <stdlib.h>

#include "rules/transform.h"

static const struct transform *pick(uint8_t byte)
{
    size_t count = 0;
    while (seclang_transforms[count].name != NULL)
        count++;
    return &seclang_transforms[byte % count];
}

/* Room of exactly the length that is promised, so that a byte more is seen. */
static struct span apply(const struct transform *row, struct span in, char **room)
{
    size_t size = transform_room(row, in.len);
    INVARIANT(size < SIZE_MAX);
    *room = malloc(size + 1);
    INVARIANT(*room != NULL);
    struct span out = row->apply(in, *room + 1);
    if (out.p == *room + 1)
        INVARIANT(out.len <= size && !span_equal(out, in));
    else
        INVARIANT(out.p >= in.p && span_end(out) <= span_end(in));
    return out;
}

static void check_round_trip(const char *encoder, const char *decoder, struct span in)
{
    char *wire, *back;
    const struct transform *encode = seclang_transform_find(span_text(encoder));
    const struct transform *decode = seclang_transform_find(span_text(decoder));
    struct span encoded = apply(encode, in, &wire);
    INVARIANT(span_equal(apply(decode, encoded, &back), in));
    free(wire);
    free(back);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 1)
        return 0;
    const struct transform *row = pick(data[0]);
    struct span in = span_of((const char *)data + 1, size - 1);
    if (row->apply == NULL) {
        check_round_trip("urlEncode", "urlDecode", in);
        check_round_trip("urlEncode", "urlDecodeUni", in);
        check_round_trip("hexEncode", "hexDecode", in);
        check_round_trip("base64Encode", "base64Decode", in);
        check_round_trip("base64Encode", "base64DecodeExt", in);
        return 0;
    }
    char *room, *again = NULL;
    struct span out = apply(row, in, &room);
    bool same = out.p == in.p && out.len == in.len;
    INVARIANT((traits_of(in) & row->triggers) != 0 || same);
    if (row->idempotent) {
        struct span twice = apply(row, out, &again);
        INVARIANT(twice.p == out.p && twice.len == out.len);
    }
    free(room);
    free(again);
    return 0;
}
