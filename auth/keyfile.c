/* Text to entries, entries to a block, and the look-up. */
#include "auth/keyfile.h"

#include <sodium.h>
#include <stdlib.h>

#include "gateway/base/secret.h"
#include "gateway/base/siphash.h"

static const char letters[] = "abcdefghijklmnopqrstuvwxyz234567"; /* RFC 4648's base32, small */

/* ---- words ---- */

bool apikey_word_valid(struct span word, size_t max)
{
    for (size_t i = 0; i < word.len; i++) {
        char c = ascii_lower(word.p[i]);
        if (!(c >= 'a' && c <= 'z') && !(c >= '0' && c <= '9') &&
            (c == '\0' || strchr("._-@/+", c) == NULL))
            return false;
    }
    return word.len > 0 && word.len <= max;
}

static bool is_base32(struct span text, size_t len)
{
    for (size_t i = 0; i < text.len; i++)
        if (text.p[i] == '\0' || strchr(letters, text.p[i]) == NULL)
            return false;
    return text.len == len;
}

bool apikey_is_one(struct span key)
{
    return key.len == APIKEY_BYTES && span_starts(key, SPAN("sp_")) &&
           is_base32(span_sub(key, 3, APIKEY_ID_BYTES), APIKEY_ID_BYTES) &&
           key.p[3 + APIKEY_ID_BYTES] == '_' &&
           is_base32(span_sub(key, 4 + APIKEY_ID_BYTES, key.len), APIKEY_SECRET_BYTES);
}

bool apikey_has_scope(const struct apikey *key, struct span scope)
{
    struct span rest = span_text(key->scopes), one;
    while (rest.len > 0 && span_cut(&rest, ',', &one))
        if (span_equal(one, scope))
            return true;
    return false;
}

/* ---- making one ---- */

/* The whole key, so that the id is bound to its secret. */
static void hash_key(struct span key, uint8_t hash[APIKEY_HASH_BYTES])
{
    (void)crypto_hash_sha256(hash, (const uint8_t *)key.p, key.len);
}

void apikey_make(struct apikey *like, char key[APIKEY_BYTES])
{
    uint8_t bytes[APIKEY_BYTES];
    random_bytes(bytes, sizeof(bytes));
    for (size_t i = 0; i < APIKEY_BYTES; i++)
        key[i] = letters[bytes[i] & 31]; /* 32 letters: no bias */
    memcpy(key, "sp_", 3);
    key[3 + APIKEY_ID_BYTES] = '_';
    memcpy(like->id, key + 3, APIKEY_ID_BYTES);
    hash_key(span_of(key, APIKEY_BYTES), like->hash);
    wipe(bytes, sizeof(bytes));
}

/* ---- the file ---- */

static bool keep(char *to, size_t max, struct span word)
{
    if (!apikey_word_valid(word, max))
        return false;
    memcpy(to, word.p, word.len);
    to[word.len] = '\0';
    return true;
}

static bool read_user(struct apikey *key, struct span value)
{
    return keep(key->user, APIKEY_USER_MAX, value);
}

static bool read_plan(struct apikey *key, struct span value)
{
    return keep(key->plan, APIKEY_PLAN_MAX, value);
}

static bool read_scopes(struct apikey *key, struct span value)
{
    struct span rest = value, one;
    if (value.len == 0 || value.len > APIKEY_SCOPES_MAX)
        return false;
    while (span_cut(&rest, ',', &one))
        if (!apikey_word_valid(one, APIKEY_SCOPES_MAX))
            return false;
    memcpy(key->scopes, value.p, value.len);
    return true;
}

static bool read_expires(struct apikey *key, struct span value)
{
    return span_uint(value, &key->expires_s) && key->expires_s > 0 &&
           key->expires_s <= INT64_MAX;
}

static bool read_after(struct apikey *key, struct span value)
{
    if (!is_base32(value, APIKEY_ID_BYTES))
        return false;
    memcpy(key->after, value.p, APIKEY_ID_BYTES);
    return true;
}

static const struct attribute {
    struct span name;
    bool (*read)(struct apikey *key, struct span value);
} attributes[] = {
    { SPAN_INIT("user"), read_user },     { SPAN_INIT("plan"), read_plan },
    { SPAN_INIT("scopes"), read_scopes }, { SPAN_INIT("expires"), read_expires },
    { SPAN_INIT("after"), read_after },
};

static bool read_attribute(struct apikey *key, struct span word, uint32_t *seen)
{
    struct span value = word, name;
    if (!span_cut(&value, '=', &name) || value.p == NULL)
        return false;
    for (size_t i = 0; i < ARRAY_LEN(attributes); i++) {
        if (!span_equal(attributes[i].name, name))
            continue;
        if ((*seen >> i & 1) != 0)
            return false;
        *seen |= 1u << i;
        return attributes[i].read(key, value);
    }
    return false;
}

static bool read_hash(struct apikey *key, struct span hex)
{
    if (hex.len != 2 * APIKEY_HASH_BYTES)
        return false;
    for (size_t i = 0; i < hex.len; i += 2) {
        int high = hex_value(hex.p[i]), low = hex_value(hex.p[i + 1]);
        if (high < 0 || low < 0)
            return false;
        key->hash[i / 2] = (uint8_t)(high << 4 | low);
    }
    return true;
}

static bool read_line(struct apikey *key, struct span line)
{
    struct span rest = line, word;
    uint32_t seen = 0;
    unsigned number = 0;
    for (; span_cut(&rest, ' ', &word); number++) {
        bool good = number == 0   ? is_base32(word, APIKEY_ID_BYTES)
                    : number == 1 ? read_hash(key, word)
                                  : read_attribute(key, word, &seen);
        if (!good)
            return false;
        if (number == 0)
            memcpy(key->id, word.p, APIKEY_ID_BYTES);
    }
    return number >= 2 && key->user[0] != '\0';
}

enum err keyfile_parse(struct span text, struct arena *arena, struct apikeys *keys,
                       unsigned *line)
{
    struct span rest = text, one;
    size_t room = 1;
    *line = 0;
    *keys = (struct apikeys){ 0 };
    if (text.len > KEYFILE_BYTES_MAX)
        return ERR_LIMIT;
    for (size_t i = 0; i < text.len; i++)
        room += text.p[i] == '\n';
    keys->items =
        arena_array(arena, struct apikey, room < KEYFILE_KEYS_MAX ? room : KEYFILE_KEYS_MAX);
    if (keys->items == NULL)
        return ERR_MEMORY;
    for (unsigned number = 1; text.len > 0 && span_cut(&rest, '\n', &one); number++) {
        one = span_trim(span_ends(one, SPAN("\r")) ? span_sub(one, 0, one.len - 1) : one);
        if (one.len == 0 || one.p[0] == '#')
            continue;
        *line = number;
        if (keys->count == KEYFILE_KEYS_MAX)
            return ERR_LIMIT;
        if (!read_line(&keys->items[keys->count++], one))
            return ERR_SYNTAX;
    }
    *line = 0;
    return OK;
}

void keyfile_write(struct text *out, const struct apikey *key)
{
    text_add(out, span_of(key->id, APIKEY_ID_BYTES));
    text_char(out, ' ');
    text_hex(out, key->hash, APIKEY_HASH_BYTES);
    text_format(out, " user=%s", key->user);
    if (key->plan[0] != '\0')
        text_format(out, " plan=%s", key->plan);
    if (key->scopes[0] != '\0')
        text_format(out, " scopes=%s", key->scopes);
    if (key->expires_s != 0)
        text_format(out, " expires=%llu", (unsigned long long)key->expires_s);
    if (key->after[0] != '\0')
        text_format(out, " after=%s", key->after);
    text_char(out, '\n');
}

/* ---- the block ---- */

static const char magic[16] = "sallyport-keys-1";

struct block {
    char magic[sizeof(magic)];
    uint64_t count;
    struct apikey keys[];
};

static int by_id(const void *a, const void *b)
{
    return memcmp(((const struct apikey *)a)->id, ((const struct apikey *)b)->id,
                  APIKEY_ID_BYTES);
}

enum err keyfile_build(struct span text, struct arena *arena, struct span *out, unsigned *line)
{
    struct apikeys keys;
    TRY(keyfile_parse(text, arena, &keys, line));
    size_t size = sizeof(struct block) + keys.count * sizeof(struct apikey);
    struct block *block = arena_zero(arena, 1, size);
    if (block == NULL)
        return ERR_MEMORY;
    memcpy(block->magic, magic, sizeof(magic));
    block->count = keys.count;
    if (keys.count > 0) {
        memcpy(block->keys, keys.items, keys.count * sizeof(struct apikey));
        qsort(block->keys, keys.count, sizeof(struct apikey), by_id);
    }
    for (size_t i = 1; i < keys.count; i++)
        if (by_id(&block->keys[i - 1], &block->keys[i]) == 0)
            return ERR_DUPLICATE;
    *out = span_of((const char *)block, size);
    return OK;
}

static const struct block *block_of(struct span bytes)
{
    return (const void *)bytes.p;
}

static bool ends(const char *text, size_t size)
{
    return memchr(text, '\0', size) != NULL;
}

bool keyfile_valid(struct span bytes)
{
    const struct block *block = block_of(bytes);
    if (bytes.len < sizeof(*block) || memcmp(block->magic, magic, sizeof(magic)) != 0 ||
        block->count > KEYFILE_KEYS_MAX ||
        bytes.len != sizeof(*block) + block->count * sizeof(struct apikey))
        return false;
    for (size_t i = 0; i < block->count; i++) {
        const struct apikey *key = &block->keys[i];
        if (!ends(key->user, sizeof(key->user)) || !ends(key->plan, sizeof(key->plan)) ||
            !ends(key->scopes, sizeof(key->scopes)) || !ends(key->after, sizeof(key->after)) ||
            key->user[0] == '\0' || (i > 0 && by_id(key - 1, key) >= 0))
            return false;
    }
    return true;
}

size_t keyfile_count(struct span block)
{
    return block.len > 0 ? block_of(block)->count : 0;
}

const struct apikey *keyfile_find(struct span bytes, struct span key)
{
    struct apikey wanted = { .expires_s = 0 };
    uint8_t hash[APIKEY_HASH_BYTES];
    if (!apikey_is_one(key) || bytes.len == 0)
        return NULL;
    hash_key(key, hash);
    memcpy(wanted.id, key.p + 3, APIKEY_ID_BYTES);
    const struct block *block = block_of(bytes);
    const struct apikey *found =
        bsearch(&wanted, block->keys, block->count, sizeof(struct apikey), by_id);
    return found != NULL && bytes_equal_constant_time(found->hash, hash, sizeof(hash)) ? found
                                                                                       : NULL;
}
