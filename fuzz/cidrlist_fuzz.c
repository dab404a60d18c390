/*
 * Address lists from hostile bytes. As text: what was read, built and looked up agrees with the
 * plain list at the edges of every entry. As a block: what passes the check can be looked up in
 * without a read outside (the block has memory of its exact size). The first byte picks.
 */
#include <stdlib.h>

#include "gateway/base/cidrset.h"

static void look_up(struct span block, const struct cidrs *naive, struct addr addr)
{
    for (unsigned i = 0; i < 17; i++) { /* as it is, then with one byte flipped */
        struct addr near = addr;
        if (i < 16 && (i < 4 || near.family == ADDR_V6))
            near.bytes[i] ^= 0xff;
        bool found = cidrset_contains(block, &near);
        if (naive != NULL)
            INVARIANT(found == cidrs_contain(naive, &near));
    }
}

static void try_text(struct span text, struct arena *arena)
{
    struct cidrs cidrs;
    struct span block;
    unsigned line;
    enum err err = cidrset_parse(text, arena, &cidrs, &line);
    INVARIANT((err == OK) == (line == 0));
    if (err != OK)
        return;
    INVARIANT(cidrset_build(cidrs.items, cidrs.count, arena, &block) == OK);
    INVARIANT(cidrset_valid(block));
    INVARIANT(cidrset_ranges(block) <= cidrs.count);
    for (size_t i = 0; i < cidrs.count && i < 64; i++) {
        INVARIANT(cidrset_contains(block, &cidrs.items[i].addr));
        look_up(block, &cidrs, cidrs.items[i].addr);
    }
}

static void try_block(const uint8_t *data, size_t size)
{
    char *copy = malloc(size > 0 ? size : 1);
    INVARIANT(copy != NULL);
    if (size > 0)
        memcpy(copy, data, size);
    struct span block = span_of(copy, size);
    if (cidrset_valid(block)) {
        struct addr addr = { .family = ADDR_V4 };
        look_up(block, NULL, addr);
        addr.family = ADDR_V6;
        look_up(block, NULL, addr);
    }
    free(copy);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size == 0 || size > 64 * 1024)
        return 0;
    struct arena arena;
    arena_init(&arena, NULL, 0, NULL, 64 << 20);
    if (data[0] == 'b')
        try_block(data + 1, size - 1);
    else
        try_text(span_of((const char *)data + 1, size - 1), &arena);
    arena_reset(&arena);
    return 0;
}
