/* Whether lower case before a pattern may be left out: the pattern without case does the same.
 */
#include <hs/hs_compile.h>

#include "rules/engine/need.h"

enum { MEMORY_MAX = 32 << 20 };

/* Each byte is taken by `blind` just when its lower-case form is taken by `as_is`. */
static bool same_set(const struct byte_set *as_is, const struct byte_set *blind)
{
    for (unsigned c = 0; c < 256; c++) {
        uint8_t lower = (uint8_t)ascii_lower((char)c);
        if (byte_set_has(blind, (uint8_t)c) != byte_set_has(as_is, lower))
            return false;
    }
    return true;
}

static bool same(const struct rx_node *as_is, const struct rx_node *blind)
{
    if (as_is->kind != blind->kind)
        return false;
    if (as_is->kind == RX_SET)
        return same_set(&as_is->set, &blind->set);
    const struct rx_node *a = as_is->child, *b = blind->child;
    while (a != NULL && b != NULL && same(a, b)) {
        a = a->next;
        b = b->next;
    }
    return a == NULL && b == NULL;
}

bool pattern_is_blind_to_case(const char *text, unsigned flags)
{
    struct arena scratch;
    arena_init(&scratch, NULL, 0, NULL, MEMORY_MAX);
    const struct rx_node *as_is = rx_parse(span_text(text), flags, &scratch);
    const struct rx_node *blind =
        as_is != NULL ? rx_parse(span_text(text), flags | HS_FLAG_CASELESS, &scratch) : NULL;
    bool yes = blind != NULL && same(as_is, blind);
    arena_reset(&scratch);
    return yes;
}
