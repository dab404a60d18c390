/*
 * Address lists from hostile bytes. As entries: what is found agrees with a walk over all of
 * them, at every expiry. As the inside of a block whose head adds up: no lookup reads outside
 * (the block has memory of its exact size). The first byte picks.
 */
#include <stdlib.h>

#include "gateway/base/addrlist_block.h"

enum { ENTRIES_MAX = 256, ENTRY_BYTES = 20, FORGED_MAX = 600 };

static void check(struct span block, const struct addrlist_entry *entries, size_t count,
                  struct addr addr, uint32_t now_s)
{
    int best = -1;
    for (size_t i = 0; i < count; i++)
        if (cidr_contains(&entries[i].cidr, &addr) &&
            (entries[i].expires_s == 0 || entries[i].expires_s > now_s) &&
            entries[i].cidr.bits > best)
            best = entries[i].cidr.bits;
    struct addrlist_hit hit;
    uint32_t place;
    bool found = addrlist_find(block, &addr, now_s, &place);
    INVARIANT(found == (best >= 0));
    if (!found)
        return;
    addrlist_tell(block, &addr, place, &hit);
    INVARIANT(hit.prefix.bits == best && cidr_contains(&hit.prefix, &addr));
}

static void try_entries(const uint8_t *data, size_t size)
{
    struct arena arena;
    struct addrlist_entry entries[ENTRIES_MAX];
    struct span block;
    size_t count = 0;
    arena_init(&arena, NULL, 0, NULL, 64 << 20);
    for (; count < ENTRIES_MAX && size >= ENTRY_BYTES; count++) {
        struct addrlist_entry *entry = &entries[count];
        *entry = (struct addrlist_entry){ .reason = span_of((const char *)data, 3) };
        entry->cidr.addr.family = data[0] % 2 ? ADDR_V6 : ADDR_V4;
        memcpy(entry->cidr.addr.bytes, data + 3, data[0] % 2 ? 16 : 4);
        entry->cidr.bits = (uint8_t)(data[1] % (data[0] % 2 ? 129 : 33));
        entry->expires_s = data[2];
        addr_mask(&entry->cidr.addr, entry->cidr.bits);
        data += ENTRY_BYTES;
        size -= ENTRY_BYTES;
    }
    INVARIANT(addrlist_build(entries, count, 0, &arena, &block) == OK);
    INVARIANT(addrlist_valid(block));
    for (size_t i = 0; i < count; i++) {
        struct addr addr = entries[i].cidr.addr;
        uint32_t now_s = entries[(i + 1) % count].expires_s;
        check(block, entries, count, addr, now_s);
        addr.bytes[(i * 7) % (addr.family == ADDR_V4 ? 4 : 16)] ^= 0x81;
        check(block, entries, count, addr, 0);
    }
    arena_reset(&arena);
}

static void try_forged(const uint8_t *data, size_t size)
{
    if (size < 20)
        return;
    struct addrlist_head head = { .magic = ADDRLIST_MAGIC };
    head.v4.count = (uint32_t)(data[0] | data[1] << 8) % FORGED_MAX;
    head.v6.count = (uint32_t)(data[2] | data[3] << 8) % FORGED_MAX;
    if (data[0] % 64 == 0) /* with an index */
        head.v4.count += ADDRLIST_INDEXED_FROM;
    if (data[2] % 64 == 0)
        head.v6.count += ADDRLIST_INDEXED_FROM;
    head.v4.slots = head.v4.count + (head.v4.count > 0 ? data[4] % head.v4.count : 0);
    head.v6.slots = head.v6.count + (head.v6.count > 0 ? data[5] % head.v6.count : 0);
    head.low_count = head.v6.count > 0 ? data[4] % head.v6.count : 0;
    head.place_count = data[5];
    head.soonest_s = data[6] % 2 ? UINT32_MAX : 0;
    head.info_count = data[6];
    head.text_bytes = data[7];
    INVARIANT(addrlist_lay_out(&head));
    char *block = malloc(head.bytes);
    INVARIANT(block != NULL);
    for (size_t i = 0; i < head.bytes; i++)
        block[i] = (char)data[8 + (i * 2654435761u >> 7) % (size - 8)];
    memcpy(block, &head, sizeof(head));
    struct span forged = span_of(block, head.bytes);
    INVARIANT(addrlist_valid(forged));
    for (size_t i = 0; i + 17 < size && i < 512; i++) {
        struct addr addr = { .family = i % 2 ? ADDR_V6 : ADDR_V4 };
        struct addrlist_hit hit;
        uint32_t place;
        bool nested;
        memcpy(addr.bytes, data + i, i % 2 ? 16 : 4);
        if (addrlist_find(forged, &addr, data[i + 1], &place))
            addrlist_tell(forged, &addr, place, &hit);
        struct cidr cidr = { addr, (uint8_t)(data[i] % (i % 2 ? 129 : 33)) };
        (void)addrlist_overlaps(forged, &cidr, data[i + 1], &hit);
        (void)addrlist_at(forged, data[i], &hit, &nested);
        (void)addrlist_find_place(forged, data[i], 0, &hit);
    }
    struct addrlist_walk walk = { .block = forged };
    struct addrlist_hit hit;
    bool nested;
    while (addrlist_next(&walk, &hit, &nested))
        INVARIANT(hit.prefix.bits <= 128);
    free(block);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size == 0 || size > 16 * 1024)
        return 0;
    if (data[0] == 'b')
        try_forged(data + 1, size - 1);
    else
        try_entries(data + 1, size - 1);
    return 0;
}
