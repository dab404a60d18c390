/*
 * Files of addresses in every format from hostile bytes: what is taken makes a list in which
 * each entry is found, and the guard can judge it; what is not says why. The first byte picks
 * the format.
 */
#include "geoip/listfile.h"
#include "geoip/listguard.h"

enum { NOW_S = 1800000000 };

static void try_entries(const struct addrlist_entries *entries, struct arena *arena)
{
    struct span block;
    INVARIANT(addrlist_build(entries->items, entries->count, NOW_S, arena, &block) == OK);
    INVARIANT(addrlist_valid(block));
    for (size_t i = 0; i < entries->count && i < 64; i++) {
        const struct addrlist_entry *entry = &entries->items[i];
        uint32_t place;
        bool found = addrlist_find(block, &entry->cidr.addr, NOW_S, &place);
        INVARIANT(found || (entry->expires_s != 0 && entry->expires_s <= NOW_S));
    }
    struct cidr spared = { { .family = ADDR_V4, .bytes = { 10 } }, 8 };
    struct listguard guard = { .max_cover = 10, .max_shrink = 50, .spared = { &spared, 1 } };
    char buffer[256];
    struct text detail = text_fixed(buffer, sizeof(buffer));
    (void)listguard_refuses(&guard, block, entries->count, NOW_S, &detail);
    INVARIANT(listguard_cover(block) <= 100);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct arena arena;
    struct addrlist_entries entries;
    struct listfile_problem problem;
    if (size == 0 || size > 64 * 1024)
        return 0;
    struct listfile_how how = { .format = (enum listfile_format)(data[0] % 4), .now_s = NOW_S };
    arena_init(&arena, NULL, 0, NULL, 64 << 20);
    enum err err = listfile_read(span_of((const char *)data + 1, size - 1), &how, &arena,
                                 &entries, &problem);
    INVARIANT((err == OK) == (problem.why == NULL));
    INVARIANT(err == OK || entries.count == 0);
    if (err == OK)
        try_entries(&entries, &arena);
    arena_reset(&arena);
    return 0;
}
