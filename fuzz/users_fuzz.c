/*
 * What people type and what workers are sent about local users: a block that is valid holds
 * entries that are, each found under its name and no other; a name that is folded is its own
 * only spelling; a ticket or a recovery code has one.
 */
#include "auth/users.h"
#include "auth/vault.h"
#include "gateway/base/arena.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_names(struct span text)
{
    char name[USER_NAME_MAX + 1], again[USER_NAME_MAX + 1];
    uint8_t hash[USER_CODE_HASH_BYTES];
    if (user_name_fold(text, name)) {
        INVARIANT(user_name_valid(span_text(name)));
        INVARIANT(user_name_fold(span_text(name), again) && strcmp(name, again) == 0);
    } else {
        INVARIANT(!user_name_valid(text));
    }
    if (user_groups_valid(text))
        INVARIANT(text.len <= USER_GROUPS_MAX && (text.len == 0 || text.p[0] != ','));
    if (recovery_hash(SPAN("ann"), text, hash))
        INVARIANT(text.len >= RECOVERY_LETTERS);
}

static void check_ticket(struct span text)
{
    struct ticket ticket;
    char written[TICKET_TEXT_BYTES];
    if (!ticket_read(&ticket, text))
        return;
    ticket_write(&ticket, written);
    INVARIANT(span_equal(text, span_of(written, sizeof(written))));
}

static void check_block(struct span block)
{
    if (!users_valid(block))
        return;
    for (size_t i = 0; i < users_count(block); i++) {
        const struct user_entry *entry = users_at(block, i);
        INVARIANT(user_entry_valid(entry));
        INVARIANT(users_find(block, span_text(entry->name)) == entry);
    }
    INVARIANT(users_at(block, users_count(block)) == NULL);
    INVARIANT(users_find(block, SPAN("")) == NULL && users_find(block, SPAN("A")) == NULL);
}

/* Entries that are as the bytes have it, but for the hash, which is a good one. */
static void check_build(struct span text, struct arena *arena)
{
    static const char hash[] = "$argon2id$v=19$m=64,t=1,p=1$9QrNBZlD54ArkRVUj6wGeg$"
                               "RChYkMldY0XiqAcoW75956W+LnUASm3P+uaF/sME3u8";
    struct user_entry *entries = arena_array(arena, struct user_entry, 8);
    struct span rest = text, line, block;
    size_t count = 0;
    while (entries != NULL && count < 8 && text.len > 0 && span_cut(&rest, '\n', &line)) {
        struct user_entry *entry = &entries[count];
        struct span name;
        if (!span_cut(&line, ' ', &name) || name.len > USER_NAME_MAX ||
            line.len > USER_GROUPS_MAX)
            continue;
        entry->epoch = 1;
        memcpy(entry->hash, hash, sizeof(hash));
        if (name.len > 0)
            memcpy(entry->name, name.p, name.len);
        if (line.len > 0)
            memcpy(entry->groups, line.p, line.len);
        count++;
    }
    if (users_build(entries, count, arena, &block) == OK) {
        INVARIANT(users_valid(block) && users_count(block) == count);
        check_block(block);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct arena arena;
    struct span text = span_of((const char *)data, size);
    if (size > 64 * 1024)
        return 0;
    arena_init(&arena, NULL, 0, NULL, 16 << 20);
    check_names(text);
    check_ticket(text);
    check_build(text, &arena);
    check_block(arena_copy(&arena, text)); /* aligned */
    arena_reset(&arena);
    return 0;
}
