/* Whether lower case before a pattern may be left out: the pattern without case does the same,
 * or has none. */
#include <hs/hs_compile.h>

#include "rules/engine/need.h"

enum { MEMORY_MAX = 32 << 20 };

/* Each byte is taken by `blind` just when its lower-case form is taken by `as_is`. */
static bool same_set(const struct byte_set *as_is, const struct byte_set *blind)
{
    uint64_t letters = as_is->words[1] & UINT64_C(0x07fffffe00000000); /* a to z */
    uint64_t wanted = (as_is->words[1] & ~UINT64_C(0x07fffffe)) | letters >> 32;
    return blind->words[0] == as_is->words[0] && blind->words[1] == wanted &&
           blind->words[2] == as_is->words[2] && blind->words[3] == as_is->words[3];
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

/* Of each letter that a byte may be, the other case, too. */
static bool has_no_case(const struct rx_node *node)
{
    const uint64_t upper = UINT64_C(0x07fffffe), letters = node->set.words[1];
    if (node->kind == RX_SET)
        return (letters & upper) == (letters >> 32 & upper);
    const struct rx_node *child = node->child;
    while (child != NULL && has_no_case(child))
        child = child->next;
    return child == NULL;
}

bool pattern_has_no_case(const char *text, unsigned flags)
{
    struct arena scratch;
    arena_init(&scratch, NULL, 0, NULL, MEMORY_MAX);
    const struct rx_node *tree = rx_parse(span_text(text), flags, &scratch);
    bool yes = tree != NULL && has_no_case(tree);
    arena_reset(&scratch);
    return yes;
}
