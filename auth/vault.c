/* Entries in sets of eight, found by a keyed hash of the ticket's first half. */
#include "auth/vault.h"

#include <sodium.h>

#include "auth/base64url.h"
#include "gateway/base/secret.h"
#include "gateway/base/siphash.h"

enum {
    HASH_BYTES = 32,
    NONCE_BYTES = crypto_aead_xchacha20poly1305_ietf_NPUBBYTES,
    MAC_BYTES = crypto_aead_xchacha20poly1305_ietf_ABYTES,
    SEEN_GRAIN_S = 10, /* visits are noted no more often */
    TRIES = 4,
};

/* The word: when it was claimed (32 bits), how often it has changed hands (24), its state. */
enum { STATE_FREE, STATE_WRITING, STATE_LIVE };

struct vault_entry {
    _Alignas(64) uint64_t word;
    uint64_t seen_s, locked_s, confirmed_ms;
    /* From here on written only by who claimed the entry, and authenticated. */
    uint64_t began_s, until_s, idle_s;
    uint64_t tags[VAULT_TAGS];
    uint64_t serial; /* of two under one ticket the later one holds */
    uint8_t hash[HASH_BYTES];
    char label[VAULT_LABEL_BYTES];
    uint64_t len;
    uint8_t nonce[NONCE_BYTES];
    uint8_t sealed[];
};

enum {
    OPEN_BYTES = offsetof(struct vault_entry, nonce) - offsetof(struct vault_entry, began_s)
};

_Static_assert(sizeof(struct ticket) == 2 * TICKET_PART_BYTES, "no padding");

/* ---- tickets ---- */

void ticket_make(struct ticket *ticket)
{
    random_bytes(ticket, sizeof(*ticket));
}

void ticket_write(const struct ticket *ticket, char text[TICKET_TEXT_BYTES])
{
    struct text out = text_fixed(text, TICKET_TEXT_BYTES);
    base64url_encode(&out, span_of((const char *)ticket, sizeof(*ticket)));
    INVARIANT(!out.overflow && out.len == TICKET_TEXT_BYTES);
}

bool ticket_read(struct ticket *ticket, struct span text)
{
    size_t len;
    return text.len == TICKET_TEXT_BYTES &&
           base64url_decode(text, ticket, sizeof(*ticket), &len) && len == sizeof(*ticket);
}

/* ---- where things are ---- */

static size_t stride_of(size_t value_max)
{
    return (sizeof(struct vault_entry) + value_max + MAC_BYTES + 63) & ~(size_t)63;
}

size_t vault_bytes(size_t entries, size_t value_max)
{
    return entries * stride_of(value_max);
}

void vault_over(struct vault *vault, void *memory, size_t entries, size_t value_max,
                const char *use, const uint8_t boot_key[32])
{
    INVARIANT(entries >= VAULT_WAYS && (entries & (entries - 1)) == 0);
    INVARIANT(value_max <= VAULT_VALUE_MAX);
    *vault = (struct vault){ .memory = memory,
                             .entries = entries,
                             .stride = stride_of(value_max),
                             .value_max = value_max };
    (void)crypto_generichash(vault->key, sizeof(vault->key), (const uint8_t *)use, strlen(use),
                             boot_key, 32);
}

static struct vault_entry *entry_at(const struct vault *vault, size_t index)
{
    return (void *)(vault->memory + index * vault->stride);
}

static void hash_id(const struct vault *vault, const struct ticket *ticket,
                    uint8_t hash[HASH_BYTES])
{
    (void)crypto_generichash(hash, HASH_BYTES, ticket->id, sizeof(ticket->id), vault->key,
                             sizeof(vault->key));
}

static void value_key(const struct vault *vault, const struct ticket *ticket, uint8_t key[32])
{
    (void)crypto_generichash(key, 32, ticket->secret, sizeof(ticket->secret), vault->key,
                             sizeof(vault->key));
}

static size_t set_of(const struct vault *vault, const uint8_t hash[HASH_BYTES])
{
    uint64_t word;
    memcpy(&word, hash, sizeof(word));
    return (size_t)(word & (vault->entries / VAULT_WAYS - 1)) * VAULT_WAYS;
}

uint64_t vault_tag(const struct vault *vault, const char *kind, struct span bytes)
{
    uint64_t tag;
    crypto_generichash_state state;
    (void)crypto_generichash_init(&state, vault->key, sizeof(vault->key),
                                  crypto_generichash_BYTES);
    (void)crypto_generichash_update(&state, (const uint8_t *)kind, strlen(kind) + 1);
    if (bytes.len > 0)
        (void)crypto_generichash_update(&state, (const uint8_t *)bytes.p, bytes.len);
    uint8_t hash[crypto_generichash_BYTES];
    (void)crypto_generichash_final(&state, hash, sizeof(hash));
    memcpy(&tag, hash, sizeof(tag));
    return tag != 0 ? tag : 1;
}

/* ---- the word ---- */

static unsigned state_of(uint64_t word)
{
    return word & 0xff;
}

static uint64_t stamp_of(uint64_t word)
{
    return word >> 32;
}

static uint64_t next_word(uint64_t word, unsigned state, uint64_t now_s)
{
    uint64_t generation = (word >> 8) + 1;
    return (now_s & 0xffffffff) << 32 | (generation & 0xffffff) << 8 | state;
}

static uint64_t word_of(const struct vault_entry *entry)
{
    return __atomic_load_n(&entry->word, __ATOMIC_ACQUIRE);
}

static bool change(struct vault_entry *entry, uint64_t from, uint64_t to)
{
    return __atomic_compare_exchange_n(&entry->word, &from, to, false, __ATOMIC_ACQ_REL,
                                       __ATOMIC_RELAXED);
}

static bool unchanged(const struct vault_entry *entry, uint64_t word)
{
    __atomic_thread_fence(__ATOMIC_ACQUIRE);
    return __atomic_load_n(&entry->word, __ATOMIC_RELAXED) == word;
}

static uint64_t seen_of(const struct vault_entry *entry)
{
    return __atomic_load_n(&entry->seen_s, __ATOMIC_RELAXED);
}

static bool holds(const struct vault_entry *entry, uint64_t now_s)
{
    uint64_t seen_s = seen_of(entry), idle_s = entry->idle_s;
    return entry->until_s > now_s &&
           (idle_s == 0 || now_s < seen_s || now_s - seen_s <= idle_s);
}

/* ---- reading ---- */

/* The entry under this hash, `*word` as it was; NULL: none. A copy is looked at later. */
static struct vault_entry *find(const struct vault *vault, const uint8_t hash[HASH_BYTES],
                                uint64_t now_s, uint64_t *word)
{
    size_t set = set_of(vault, hash);
    struct vault_entry *found = NULL;
    uint64_t serial = 0;
    for (size_t way = 0; way < VAULT_WAYS; way++) {
        struct vault_entry *entry = entry_at(vault, set + way);
        uint64_t seen = word_of(entry);
        if (state_of(seen) != STATE_LIVE ||
            !bytes_equal_constant_time(entry->hash, hash, HASH_BYTES) || !holds(entry, now_s))
            continue;
        if (found != NULL && entry->serial <= serial)
            continue;
        found = entry;
        serial = entry->serial;
        *word = seen;
    }
    return found;
}

static void copy_facts(struct vault_facts *facts, const struct vault_entry *entry)
{
    facts->began_s = entry->began_s;
    facts->until_s = entry->until_s;
    facts->idle_s = entry->idle_s;
    facts->seen_s = seen_of(entry);
    facts->confirmed_ms = __atomic_load_n(&entry->confirmed_ms, __ATOMIC_RELAXED);
    memcpy(facts->tags, entry->tags, sizeof(facts->tags));
    memcpy(facts->label, entry->label, sizeof(facts->label));
    facts->label[sizeof(facts->label) - 1] = '\0';
}

struct copy {
    _Alignas(64) char bytes[sizeof(struct vault_entry) + VAULT_VALUE_MAX + MAC_BYTES + 64];
};

static bool open_value(const struct vault *vault, const struct ticket *ticket,
                       const struct vault_entry *entry, void *value, size_t *len)
{
    uint8_t key[32];
    unsigned long long opened = 0;
    value_key(vault, ticket, key);
    bool good = entry->len >= MAC_BYTES && entry->len <= vault->value_max + MAC_BYTES &&
                crypto_aead_xchacha20poly1305_ietf_decrypt(
                    value, &opened, NULL, entry->sealed, entry->len,
                    (const uint8_t *)&entry->began_s, OPEN_BYTES, entry->nonce, key) == 0;
    wipe(key, sizeof(key));
    *len = (size_t)opened;
    return good;
}

void vault_value_wipe(struct vault_value *value)
{
    wipe(value->bytes, value->len);
    value->len = 0;
}

bool vault_get(const struct vault *vault, const struct ticket *ticket, uint64_t now_s,
               bool visit, struct vault_value *value)
{
    value->len = 0;
    uint8_t hash[HASH_BYTES];
    uint64_t word = 0;
    struct copy copy;
    hash_id(vault, ticket, hash);
    /* One that is replaced while we read is found again under its new entry. */
    for (unsigned i = 0; i < TRIES; i++) {
        struct vault_entry *entry = find(vault, hash, now_s, &word);
        if (entry == NULL)
            return false;
        memcpy(copy.bytes, entry, vault->stride);
        if (!unchanged(entry, word))
            continue;
        const struct vault_entry *read = (const void *)copy.bytes;
        if (!open_value(vault, ticket, read, value->bytes, &value->len))
            return false;
        copy_facts(&value->facts, read);
        if (visit && now_s > value->facts.seen_s + SEEN_GRAIN_S)
            __atomic_store_n(&entry->seen_s, now_s, __ATOMIC_RELAXED);
        return true;
    }
    return false;
}

/* ---- writing ---- */

/*
 * Who makes room: an entry of nobody, else the least recently seen one of whoever has most of
 * this set. So who makes very many throws out his own, and not everybody's.
 */
static struct vault_entry *victim(const struct vault *vault, size_t set, uint64_t now_s,
                                  uint64_t *word)
{
    struct vault_entry *best = NULL;
    unsigned most = 0;
    for (size_t way = 0; way < VAULT_WAYS; way++) {
        struct vault_entry *entry = entry_at(vault, set + way);
        uint64_t seen = word_of(entry);
        unsigned same = 0;
        if (state_of(seen) == STATE_WRITING) {
            if (((now_s - stamp_of(seen)) & 0xffffffff) <= VAULT_HALF_DONE_S)
                continue;
            *word = seen;
            return entry;
        }
        if (state_of(seen) != STATE_LIVE || !holds(entry, now_s)) {
            *word = seen;
            return entry;
        }
        for (size_t other = 0; other < VAULT_WAYS; other++)
            same += entry_at(vault, set + other)->tags[0] == entry->tags[0];
        if (best != NULL && (same < most || (same == most && seen_of(entry) >= seen_of(best))))
            continue;
        best = entry;
        most = same;
        *word = seen;
    }
    return best;
}

static void write_entry(const struct vault *vault, struct vault_entry *entry,
                        const struct ticket *ticket, const struct vault_facts *facts,
                        struct span value, uint64_t now_s)
{
    uint8_t key[32];
    unsigned long long len = 0;
    __atomic_store_n(&entry->seen_s,
                     facts->began_s > facts->seen_s ? facts->began_s : facts->seen_s,
                     __ATOMIC_RELAXED);
    __atomic_store_n(&entry->locked_s, 0, __ATOMIC_RELAXED);
    __atomic_store_n(&entry->confirmed_ms, now_s * 1000, __ATOMIC_RELAXED);
    entry->began_s = facts->began_s;
    entry->until_s = facts->until_s;
    entry->idle_s = facts->idle_s;
    memcpy(entry->tags, facts->tags, sizeof(entry->tags));
    memcpy(entry->label, facts->label, sizeof(entry->label));
    entry->label[sizeof(entry->label) - 1] = '\0';
    entry->len = value.len + MAC_BYTES;
    random_bytes(entry->nonce, sizeof(entry->nonce));
    value_key(vault, ticket, key);
    (void)crypto_aead_xchacha20poly1305_ietf_encrypt(
        entry->sealed, &len, (const uint8_t *)value.p, value.len,
        (const uint8_t *)&entry->began_s, OPEN_BYTES, NULL, entry->nonce, key);
    wipe(key, sizeof(key));
}

/* Any entry of this set but `keep`, which is claimed then. */
static struct vault_entry *claim(const struct vault *vault, size_t set, uint64_t now_s,
                                 uint64_t *claimed)
{
    uint64_t word = 0;
    for (unsigned i = 0; i < VAULT_WAYS; i++) {
        struct vault_entry *entry = victim(vault, set, now_s, &word);
        if (entry == NULL)
            return NULL;
        *claimed = next_word(word, STATE_WRITING, now_s);
        if (change(entry, word, *claimed))
            return entry;
    }
    return NULL;
}

bool vault_put(const struct vault *vault, const struct ticket *ticket,
               const struct vault_facts *facts, struct span value, uint64_t now_s)
{
    uint8_t hash[HASH_BYTES];
    uint64_t word = 0, claimed = 0;
    if (value.len > vault->value_max)
        return false;
    hash_id(vault, ticket, hash);
    struct vault_entry *old = find(vault, hash, now_s, &word);
    uint64_t serial = old != NULL ? old->serial + 1 : 1;
    struct vault_entry *entry = claim(vault, set_of(vault, hash), now_s, &claimed);
    if (entry == NULL)
        return false;
    entry->serial = serial;
    memcpy(entry->hash, hash, sizeof(hash));
    write_entry(vault, entry, ticket, facts, value, now_s);
    if (!change(entry, claimed, next_word(claimed, STATE_LIVE, now_s)))
        return false; /* we were taken for dead */
    if (old != NULL && old != entry)
        (void)change(old, word, next_word(word, STATE_FREE, now_s));
    return true;
}

bool vault_lock(const struct vault *vault, const struct ticket *ticket, uint64_t now_s)
{
    uint8_t hash[HASH_BYTES];
    uint64_t word = 0;
    hash_id(vault, ticket, hash);
    struct vault_entry *entry = find(vault, hash, now_s, &word);
    if (entry == NULL)
        return false;
    uint64_t locked_s = __atomic_load_n(&entry->locked_s, __ATOMIC_RELAXED);
    if (locked_s <= now_s && now_s - locked_s <= VAULT_HALF_DONE_S)
        return false;
    return __atomic_compare_exchange_n(&entry->locked_s, &locked_s, now_s, false,
                                       __ATOMIC_ACQ_REL, __ATOMIC_RELAXED);
}

/* ---- elsewhere ---- */

enum {
    IMAGE_LEAST = OPEN_BYTES + NONCE_BYTES + MAC_BYTES,
    SEAL_BYTES = NONCE_BYTES + MAC_BYTES
};

_Static_assert(offsetof(struct vault_entry, sealed) ==
                   offsetof(struct vault_entry, nonce) + NONCE_BYTES,
               "an image is one piece");
_Static_assert(OPEN_BYTES + NONCE_BYTES + MAC_BYTES + SEAL_BYTES <= VAULT_OVERHEAD_MAX, "fits");

static void write_name(const uint8_t hash[HASH_BYTES], char name[VAULT_NAME_BYTES])
{
    struct text text = text_fixed(name, VAULT_NAME_BYTES);
    text_hex(&text, hash + HASH_BYTES - VAULT_NAME_BYTES / 2, VAULT_NAME_BYTES / 2);
}

void vault_name(const struct vault *vault, const struct ticket *ticket,
                char name[VAULT_NAME_BYTES])
{
    uint8_t hash[HASH_BYTES];
    hash_id(vault, ticket, hash);
    write_name(hash, name);
}

static void image_key(const struct vault *vault, uint8_t key[32])
{
    static const char use[] = "image";
    (void)crypto_generichash(key, 32, (const uint8_t *)use, sizeof(use), vault->key,
                             sizeof(vault->key));
}

/* Bound to its name: one entry cannot be put in the place of another. */
bool vault_export(const struct vault *vault, const struct ticket *ticket, uint64_t now_s,
                  void *image, size_t *len)
{
    uint8_t hash[HASH_BYTES], key[32], *out = image;
    char name[VAULT_NAME_BYTES];
    uint64_t word = 0;
    unsigned long long sealed = 0;
    struct copy copy;
    hash_id(vault, ticket, hash);
    write_name(hash, name);
    struct vault_entry *entry = find(vault, hash, now_s, &word);
    if (entry == NULL)
        return false;
    memcpy(copy.bytes, entry, vault->stride);
    const struct vault_entry *read = (const void *)copy.bytes;
    if (!unchanged(entry, word) || read->len < MAC_BYTES ||
        read->len > vault->value_max + MAC_BYTES)
        return false;
    image_key(vault, key);
    random_bytes(out, NONCE_BYTES);
    (void)crypto_aead_xchacha20poly1305_ietf_encrypt(
        out + NONCE_BYTES, &sealed, (const uint8_t *)&read->began_s,
        OPEN_BYTES + NONCE_BYTES + read->len, (const uint8_t *)name, sizeof(name), NULL, out,
        key);
    wipe(key, sizeof(key));
    *len = NONCE_BYTES + (size_t)sealed;
    return true;
}

/* Into a copy that is laid out as an entry. */
static bool open_image(const struct vault *vault, struct span name, struct span image,
                       struct copy *copy)
{
    uint8_t key[32];
    unsigned long long opened = 0;
    struct vault_entry *read = (void *)copy->bytes;
    const uint8_t *bytes = (const uint8_t *)image.p;
    if (image.len < IMAGE_LEAST + SEAL_BYTES ||
        image.len > IMAGE_LEAST + SEAL_BYTES + vault->value_max)
        return false;
    image_key(vault, key);
    bool good =
        crypto_aead_xchacha20poly1305_ietf_decrypt(
            (uint8_t *)&read->began_s, &opened, NULL, bytes + NONCE_BYTES,
            image.len - NONCE_BYTES, (const uint8_t *)name.p, name.len, bytes, key) == 0;
    wipe(key, sizeof(key));
    return good && opened == OPEN_BYTES + NONCE_BYTES + read->len;
}

bool vault_image_facts(const struct vault *vault, struct span name, struct span image,
                       struct vault_facts *facts)
{
    struct copy copy;
    struct vault_entry *read = (void *)copy.bytes;
    memset(read, 0, offsetof(struct vault_entry, began_s));
    if (!open_image(vault, name, image, &copy))
        return false;
    copy_facts(facts, read);
    return true;
}

static bool put_copy(const struct vault *vault, const struct vault_entry *read, uint64_t now_ms)
{
    uint64_t word = 0, claimed = 0, now_s = now_ms / 1000;
    struct vault_entry *old = find(vault, read->hash, now_s, &word);
    struct vault_entry *entry = claim(vault, set_of(vault, read->hash), now_s, &claimed);
    if (entry == NULL)
        return false;
    __atomic_store_n(&entry->seen_s, now_s, __ATOMIC_RELAXED);
    __atomic_store_n(&entry->locked_s, 0, __ATOMIC_RELAXED);
    __atomic_store_n(&entry->confirmed_ms, now_ms, __ATOMIC_RELAXED);
    memcpy(&entry->began_s, &read->began_s, OPEN_BYTES + NONCE_BYTES + read->len);
    if (!change(entry, claimed, next_word(claimed, STATE_LIVE, now_s)))
        return false;
    if (old != NULL && old != entry)
        (void)change(old, word, next_word(word, STATE_FREE, now_s));
    return true;
}

static void confirm(struct vault_entry *entry, uint64_t now_ms)
{
    uint64_t now_s = now_ms / 1000;
    __atomic_store_n(&entry->confirmed_ms, now_ms, __ATOMIC_RELAXED);
    if (now_s > seen_of(entry))
        __atomic_store_n(&entry->seen_s, now_s, __ATOMIC_RELAXED);
}

enum adopted vault_adopt(const struct vault *vault, const struct ticket *ticket,
                         struct span image, uint64_t now_ms)
{
    uint8_t hash[HASH_BYTES];
    char name[VAULT_NAME_BYTES], value[VAULT_VALUE_MAX];
    uint64_t word = 0, now_s = now_ms / 1000;
    size_t len = 0;
    struct copy copy;
    const struct vault_entry *read = (const void *)copy.bytes;
    hash_id(vault, ticket, hash);
    write_name(hash, name);
    if (!open_image(vault, span_of(name, sizeof(name)), image, &copy) ||
        !bytes_equal_constant_time(read->hash, hash, sizeof(hash)) || read->until_s <= now_s ||
        !open_value(vault, ticket, read, value, &len))
        return ADOPT_BAD;
    wipe(value, len);
    struct vault_entry *here = find(vault, hash, now_s, &word);
    if (here != NULL && here->serial > read->serial)
        return ADOPT_OLDER;
    if (here == NULL || here->serial < read->serial)
        return put_copy(vault, read, now_ms) ? ADOPT_TAKEN : ADOPT_BAD;
    confirm(here, now_ms);
    return ADOPT_TAKEN;
}

/* ---- ends ---- */

bool vault_take(const struct vault *vault, const struct ticket *ticket, uint64_t now_s)
{
    uint8_t hash[HASH_BYTES];
    uint64_t word = 0;
    bool taken = false;
    hash_id(vault, ticket, hash);
    for (unsigned i = 0; i < VAULT_WAYS; i++) {
        struct vault_entry *entry = find(vault, hash, now_s, &word);
        if (entry == NULL)
            return taken;
        taken |= change(entry, word, next_word(word, STATE_FREE, now_s));
    }
    return taken;
}

size_t vault_end_tagged(const struct vault *vault, unsigned place, uint64_t tag)
{
    size_t count = 0;
    INVARIANT(place < VAULT_TAGS);
    for (size_t i = 0; tag != 0 && i < vault->entries; i++) {
        struct vault_entry *entry = entry_at(vault, i);
        uint64_t word = word_of(entry);
        if (state_of(word) == STATE_LIVE && entry->tags[place] == tag)
            count += change(entry, word, next_word(word, STATE_FREE, stamp_of(word)));
    }
    return count;
}

bool vault_next(const struct vault *vault, size_t *cursor, uint64_t now_s,
                struct vault_facts *facts, uint8_t handle[VAULT_HANDLE_BYTES])
{
    while (*cursor < vault->entries) {
        const struct vault_entry *entry = entry_at(vault, (*cursor)++);
        uint64_t word = word_of(entry);
        if (state_of(word) != STATE_LIVE || !holds(entry, now_s))
            continue;
        copy_facts(facts, entry);
        /* The end of the hash; its beginning is the place. */
        memcpy(handle, entry->hash + HASH_BYTES - VAULT_HANDLE_BYTES, VAULT_HANDLE_BYTES);
        if (unchanged(entry, word))
            return true;
    }
    return false;
}

bool vault_end_handle(const struct vault *vault, const uint8_t handle[VAULT_HANDLE_BYTES])
{
    bool ended = false;
    for (size_t i = 0; i < vault->entries; i++) {
        struct vault_entry *entry = entry_at(vault, i);
        uint64_t word = word_of(entry);
        if (state_of(word) == STATE_LIVE &&
            memcmp(entry->hash + HASH_BYTES - VAULT_HANDLE_BYTES, handle, VAULT_HANDLE_BYTES) ==
                0)
            ended |= change(entry, word, next_word(word, STATE_FREE, stamp_of(word)));
    }
    return ended;
}
