/*
 * Sets of addresses that were kept for the next steward, as bytes that somebody else may have
 * written: what is recalled is whole, and a list that can be looked up in, without what is left
 * out; what was written last and not spoiled is recalled; nothing reads outside. The first
 * bytes say which of two banks are made well, and the rest is one of them.
 */
#include <sodium.h>
#include <string.h>
#include <sys/mman.h>

#include "geoip/feedkept.h"

enum { NOW_S = 1800000000 };

static bool unused(void *ctx, const char *name)
{
    (void)ctx;
    (void)name;
    return false;
}

static struct feeds_kept *kept;

static struct span list_of(const uint8_t *data, size_t size, struct arena *arena)
{
    struct addrlist_entry entries[64] = { 0 };
    struct span block = SPAN("");
    size_t count = 0;
    for (; count < ARRAY_LEN(entries) && size >= 6; count++, data += 6, size -= 6) {
        entries[count].cidr.addr.family = ADDR_V4;
        memcpy(entries[count].cidr.addr.bytes, data, 4);
        entries[count].cidr.bits = data[4] % 33;
        if (data[4] >= 250)
            entries[count].place = addrlist_network(data[5] + 1u);
        addr_mask(&entries[count].cidr.addr, entries[count].cidr.bits);
        entries[count].expires_s = data[5] % 2 ? 0 : NOW_S + data[5];
    }
    INVARIANT(addrlist_build(entries, count, NOW_S, arena, &block) == OK);
    return block;
}

/* As bytes are, with a digest that is right, or is not. */
static void forge(struct feed_bank *bank, const uint8_t *data, size_t size, bool right)
{
    crypto_generichash_state state;
    bank->turn = data[0];
    bank->len = size > 512 && data[1] == 255 ? UINT64_MAX : size;
    memcpy(bank->bytes, data, size);
    memset(&bank->facts, data[1], sizeof(bank->facts));
    (void)crypto_generichash_init(&state, NULL, 0, FEED_HASH_BYTES);
    (void)crypto_generichash_update(&state, (const uint8_t *)"list", 5);
    (void)crypto_generichash_update(&state, (const uint8_t *)&bank->facts, sizeof(bank->facts));
    (void)crypto_generichash_update(&state, (const uint8_t *)bank->bytes, size);
    (void)crypto_generichash_final(&state, bank->digest, FEED_HASH_BYTES);
    bank->digest[0] ^= !right;
}

static void recall(struct arena *arena, bool must)
{
    struct cidr left_out = { { .family = ADDR_V4, .bytes = { 10 } }, 8 };
    struct cidrs without = { &left_out, 1 }, nothing = { NULL, 0 };
    struct feed_known known;
    struct addrlist_hit hit;
    bool nested;
    bool found = feed_recall(kept, "list", &nothing, NOW_S, arena, &known);
    INVARIANT(found || !must);
    if (!found)
        return;
    INVARIANT(addrlist_valid(known.block) && memchr(known.facts.etag, '\0', FEED_ETAG_BYTES));
    for (size_t i = 0; i < 64; i++)
        (void)addrlist_at(known.block, i, &hit, &nested);
    if (!feed_recall(kept, "list", &without, NOW_S, arena, &known))
        return;
    INVARIANT(addrlist_valid(known.block));
    for (size_t i = 0; i < 64 && addrlist_at(known.block, i, &hit, &nested); i++)
        INVARIANT(hit.prefix.bits < 8 || !cidr_contains(&left_out, &hit.prefix.addr));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct arena arena;
    if (size < 8 || size > 16 * 1024 || sodium_init() < 0)
        return 0;
    if (kept == NULL) {
        kept = mmap(NULL, sizeof(*kept), PROT_READ | PROT_WRITE,
                    MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
        INVARIANT(kept != MAP_FAILED);
    }
    struct feed_slot *slot = &kept->slots[0];
    arena_init(&arena, NULL, 0, NULL, 64 << 20);
    memset(slot->name, 0, sizeof(slot->name));
    slot->banks[0].len = slot->banks[1].len = slot->banks[0].turn = slot->banks[1].turn = 0;
    struct feed_known known = { .block = list_of(data + 2, size - 2, &arena) };
    bool whole = data[0] % 2 != 0;
    if (whole)
        INVARIANT(feed_keep(kept, "list", &known, unused, NULL));
    else
        memcpy(slot->name, "list", 5);
    /* The other bank, as if it had been written by somebody, or half. */
    unsigned used = slot->banks[1].turn > slot->banks[0].turn;
    forge(&slot->banks[whole ? !used : 0], data, size, data[0] % 4 > 1);
    recall(&arena, whole);
    arena_reset(&arena);
    return 0;
}
