/* The block, its checks, and codes for who has lost his telephone. */
#include "auth/users.h"

#include <sodium.h>
#include <stdlib.h>

#include "gateway/base/secret.h"
#include "gateway/base/siphash.h"

static const char magic[16] = "sallyport-users1";
static const char letters[] = "abcdefghijklmnopqrstuvwxyz234567"; /* RFC 4648's base32, small */

struct block {
    char magic[sizeof(magic)];
    uint64_t count;
    struct user_entry users[];
};

/* ---- names ---- */

static bool name_byte(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') ||
           (c != '\0' && strchr("._-@+", c) != NULL);
}

bool user_name_valid(struct span name)
{
    for (size_t i = 0; i < name.len; i++)
        if (!name_byte(name.p[i]))
            return false;
    return name.len > 0 && name.len <= USER_NAME_MAX;
}

bool user_name_fold(struct span typed, char name[USER_NAME_MAX + 1])
{
    struct span trimmed = span_trim(typed);
    memset(name, 0, USER_NAME_MAX + 1);
    if (trimmed.len > USER_NAME_MAX)
        return false;
    for (size_t i = 0; i < trimmed.len; i++)
        name[i] = ascii_lower(trimmed.p[i]);
    return user_name_valid(span_of(name, trimmed.len));
}

bool user_groups_valid(struct span groups)
{
    struct span rest = groups, one;
    unsigned count = 0;
    if (groups.len > USER_GROUPS_MAX)
        return false;
    while (groups.len > 0 && span_cut(&rest, ',', &one)) {
        for (size_t i = 0; i < one.len; i++)
            if (!name_byte(ascii_lower(one.p[i])))
                return false;
        if (one.len == 0 || ++count > USER_GROUP_COUNT_MAX)
            return false;
    }
    return true;
}

/* ---- the block ---- */

static bool ends(const char *text, size_t size)
{
    return memchr(text, '\0', size) != NULL;
}

bool user_entry_valid(const struct user_entry *entry)
{
    struct password_hash hash;
    return ends(entry->name, sizeof(entry->name)) && ends(entry->hash, sizeof(entry->hash)) &&
           ends(entry->groups, sizeof(entry->groups)) &&
           user_name_valid(span_text(entry->name)) &&
           password_hash_read(span_text(entry->hash), &hash) == NULL &&
           user_groups_valid(span_text(entry->groups)) && entry->epoch != 0 &&
           (entry->totp_len == 0 || totp_length_valid(entry->totp_len)) &&
           entry->code_count <= USER_CODES_MAX;
}

static int by_name(const void *a, const void *b)
{
    return strcmp(((const struct user_entry *)a)->name, ((const struct user_entry *)b)->name);
}

enum err users_build(struct user_entry *entries, size_t count, struct arena *arena,
                     struct span *out)
{
    if (count > USERS_MAX)
        return ERR_LIMIT;
    for (size_t i = 0; i < count; i++)
        if (!user_entry_valid(&entries[i]))
            return ERR_SYNTAX;
    size_t size = sizeof(struct block) + count * sizeof(struct user_entry);
    struct block *block = arena_zero(arena, 1, size);
    if (block == NULL)
        return ERR_MEMORY;
    memcpy(block->magic, magic, sizeof(magic));
    block->count = count;
    if (count > 0) {
        qsort(entries, count, sizeof(*entries), by_name);
        memcpy(block->users, entries, count * sizeof(*entries));
    }
    for (size_t i = 1; i < count; i++)
        if (by_name(&entries[i - 1], &entries[i]) == 0)
            return ERR_DUPLICATE;
    *out = span_of((const char *)block, size);
    return OK;
}

static const struct block *block_of(struct span bytes)
{
    return (const void *)bytes.p;
}

bool users_valid(struct span bytes)
{
    const struct block *block = block_of(bytes);
    if (bytes.len < sizeof(*block) || memcmp(block->magic, magic, sizeof(magic)) != 0 ||
        block->count > USERS_MAX ||
        bytes.len != sizeof(*block) + block->count * sizeof(struct user_entry))
        return false;
    for (size_t i = 0; i < block->count; i++)
        if (!user_entry_valid(&block->users[i]) ||
            (i > 0 && by_name(&block->users[i - 1], &block->users[i]) >= 0))
            return false;
    return true;
}

size_t users_count(struct span block)
{
    return block.len > 0 ? block_of(block)->count : 0;
}

const struct user_entry *users_at(struct span block, size_t index)
{
    return index < users_count(block) ? &block_of(block)->users[index] : NULL;
}

const struct user_entry *users_find(struct span bytes, struct span name)
{
    struct user_entry wanted = { .epoch = 0 };
    if (bytes.len == 0 || !user_name_valid(name))
        return NULL;
    memcpy(wanted.name, name.p, name.len);
    const struct block *block = block_of(bytes);
    return bsearch(&wanted, block->users, block->count, sizeof(struct user_entry), by_name);
}

/* ---- recovery codes ---- */

void recovery_make(char text[RECOVERY_TEXT_BYTES])
{
    uint8_t bytes[RECOVERY_LETTERS];
    size_t at = 0;
    random_bytes(bytes, sizeof(bytes));
    for (size_t i = 0; i < sizeof(bytes); i++) {
        if (i > 0 && i % 4 == 0)
            text[at++] = '-';
        text[at++] = letters[bytes[i] & 31];
    }
    wipe(bytes, sizeof(bytes));
}

/* Hyphens and spaces are for the eye. */
bool recovery_hash(struct span name, struct span typed, uint8_t hash[USER_CODE_HASH_BYTES])
{
    char code[RECOVERY_LETTERS];
    size_t len = 0;
    crypto_generichash_state state;
    for (size_t i = 0; i < typed.len; i++) {
        char c = ascii_lower(typed.p[i]);
        if (c == '-' || c == ' ')
            continue;
        if (len == sizeof(code) || c == '\0' || strchr(letters, c) == NULL)
            return false;
        code[len++] = c;
    }
    if (len != sizeof(code))
        return false;
    (void)crypto_generichash_init(&state, NULL, 0, USER_CODE_HASH_BYTES);
    (void)crypto_generichash_update(&state, (const uint8_t *)name.p, name.len);
    (void)crypto_generichash_update(&state, (const uint8_t *)"\n", 1);
    (void)crypto_generichash_update(&state, (const uint8_t *)code, sizeof(code));
    (void)crypto_generichash_final(&state, hash, USER_CODE_HASH_BYTES);
    wipe(code, sizeof(code));
    return true;
}
