/* Sets of addresses that outlive their steward: see feedkept.h. */
#include "geoip/feedkept.h"

#include <sodium.h>
#include <string.h>

#include "geoip/listguard.h"

static void digest_of(const char *name, const struct feed_facts *facts, struct span bytes,
                      uint8_t out[FEED_HASH_BYTES])
{
    crypto_generichash_state state;

    (void)crypto_generichash_init(&state, NULL, 0, FEED_HASH_BYTES);
    (void)crypto_generichash_update(&state, (const uint8_t *)name, strlen(name) + 1);
    (void)crypto_generichash_update(&state, (const uint8_t *)facts, sizeof *facts);
    (void)crypto_generichash_update(&state, (const uint8_t *)bytes.p, bytes.len);
    (void)crypto_generichash_final(&state, out, FEED_HASH_BYTES);
}

static int slot_of(const struct feeds_kept *kept, const char *name)
{
    for (int i = 0; i < FEEDS_KEPT; i++)
        if (strncmp(kept->slots[i].name, name, FEED_NAME_BYTES) == 0)
            return i;
    return -1;
}

/* As it was when it was copied, or false. */
static bool copy_bank(const struct feed_bank *bank, const char *name, struct arena *arena,
                      struct feed_known *out)
{
    uint8_t digest[FEED_HASH_BYTES], found[FEED_HASH_BYTES];
    uint64_t len = bank->len;

    if (len == 0 || len > FEED_BYTES_MAX)
        return false;
    char *bytes = arena_alloc(arena, len);
    if (bytes == NULL)
        return false;
    memcpy(bytes, bank->bytes, len);
    memcpy(digest, bank->digest, sizeof digest);
    out->facts = bank->facts;
    out->fetched_s = bank->fetched_s;
    out->block = span_of(bytes, len);
    digest_of(name, &out->facts, out->block, found);
    out->facts.etag[FEED_ETAG_BYTES - 1] = '\0';
    return memcmp(digest, found, sizeof digest) == 0 && addrlist_valid(out->block);
}

/* Made anew: the configuration may leave out more than it did. */
static bool leave_out(const struct cidrs *without, uint32_t now_s, struct arena *arena,
                      struct feed_known *known)
{
    size_t count = addrlist_count(known->block), places = addrlist_places(known->block);
    struct addrlist_entries entries = {
        .items = arena_array(arena, struct addrlist_entry, count + places + 1),
    };
    struct addrlist_walk walk = { .block = known->block };
    struct addrlist_hit hit;
    bool nested;

    if (entries.items == NULL)
        return false;
    while (entries.count < count && addrlist_next(&walk, &hit, &nested))
        entries.items[entries.count++] = (struct addrlist_entry){ .cidr = hit.prefix,
                                                                  .source = hit.source,
                                                                  .reason = hit.reason,
                                                                  .expires_s = hit.expires_s };
    listguard_without(&entries, without);
    for (size_t i = 0; i < places && addrlist_place_at(known->block, i, &hit); i++)
        entries.items[entries.count++] = (struct addrlist_entry){ .place = hit.place,
                                                                  .source = hit.source,
                                                                  .reason = hit.reason,
                                                                  .expires_s = hit.expires_s };
    return addrlist_build(entries.items, entries.count, now_s, arena, &known->block) == OK;
}

bool feed_recall(const struct feeds_kept *kept, const char *name, const struct cidrs *without,
                 uint32_t now_s, struct arena *arena, struct feed_known *out)
{
    int slot = name[0] != '\0' ? slot_of(kept, name) : -1;

    if (slot < 0)
        return false;
    const struct feed_bank *banks = kept->slots[slot].banks;
    unsigned later = banks[1].turn > banks[0].turn;
    if (!copy_bank(&banks[later], name, arena, out) &&
        !copy_bank(&banks[!later], name, arena, out))
        return false;
    return without->count == 0 || leave_out(without, now_s, arena, out);
}

/* The list's own, a free one, or one of a list that is no more. */
static int slot_for(struct feeds_kept *kept, const char *name,
                    bool (*in_use)(void *ctx, const char *name), void *ctx)
{
    int slot = slot_of(kept, name);

    for (int i = 0; i < FEEDS_KEPT && slot < 0; i++)
        if (kept->slots[i].name[0] == '\0')
            slot = i;
    for (int i = 0; i < FEEDS_KEPT && slot < 0; i++)
        if (!in_use(ctx, kept->slots[i].name))
            slot = i;
    return slot;
}

bool feed_keep(struct feeds_kept *kept, const char *name, const struct feed_known *known,
               bool (*in_use)(void *ctx, const char *name), void *ctx)
{
    if (name[0] == '\0' || strlen(name) >= FEED_NAME_BYTES || known->block.len == 0 ||
        known->block.len > FEED_BYTES_MAX)
        return false;
    int at = slot_for(kept, name, in_use, ctx);
    if (at < 0)
        return false;
    struct feed_slot *slot = &kept->slots[at];
    if (strncmp(slot->name, name, sizeof slot->name) != 0) {
        slot->banks[0].len = slot->banks[1].len = 0;
        memset(slot->name, 0, sizeof slot->name);
        memcpy(slot->name, name, strlen(name));
    }
    unsigned later = slot->banks[1].turn > slot->banks[0].turn;
    struct feed_bank *bank = &slot->banks[!later];
    __atomic_store_n(&bank->len, 0, __ATOMIC_SEQ_CST);
    bank->facts = known->facts;
    bank->fetched_s = known->fetched_s;
    memcpy(bank->bytes, known->block.p, known->block.len);
    digest_of(name, &known->facts, known->block, bank->digest);
    __atomic_store_n(&bank->len, known->block.len, __ATOMIC_SEQ_CST);
    __atomic_store_n(&bank->turn, slot->banks[later].turn + 1, __ATOMIC_SEQ_CST);
    return true;
}

void feed_confirm(struct feeds_kept *kept, const char *name, uint64_t fetched_s)
{
    int slot = slot_of(kept, name);

    if (slot < 0)
        return;
    struct feed_bank *banks = kept->slots[slot].banks;
    banks[banks[1].turn > banks[0].turn].fetched_s = fetched_s;
}
