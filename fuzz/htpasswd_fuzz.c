/*
 * htpasswd files and the hashes in them. What is read is read again from what it says, users
 * stand once, names may go into a field; a hash that is taken costs no more than the caps allow
 * (no hash is computed here: that is what the caps are for).
 */
#include <stdlib.h>

#include "auth/htpasswd.h"
#include "auth/password.h"
#include "gateway/base/text.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* The number behind `name` in a hash that was taken, with another reader than the one on trial.
 */
static unsigned long number_behind(const char *text, const char *name)
{
    const char *at = strstr(text, name);
    return at != NULL ? strtoul(at + strlen(name), NULL, 10) : 0;
}

/* They take no work to speak of, so whatever is taken is computed, too. */
static void check_old(const struct password_hash *hash)
{
    struct password_scratch *scratch = password_scratch_new();
    bool right = true;
    INVARIANT(password_weakness(hash) != NULL && scratch != NULL);
    INVARIANT(password_verify(hash, SPAN("nobody has this one"), scratch, &right) == OK);
    INVARIANT(!right);
    password_scratch_free(scratch);
}

static void check_hash(struct span text)
{
    struct password_hash hash;
    if (password_hash_read(text, &hash) != NULL)
        return;
    INVARIANT(span_equal(span_text(hash.text), text));
    INVARIANT(text.len <= PASSWORD_HASH_BYTES_MAX);
    INVARIANT(text.p[0] == '$' || hash.kind == PASSWORD_SHA1);
    switch (hash.kind) {
    case PASSWORD_ARGON2ID:
        INVARIANT(number_behind(hash.text, "$m=") <= PASSWORD_MEMORY_MAX_KIB);
        INVARIANT(number_behind(hash.text, ",t=") <= PASSWORD_ARGON2_PASSES_MAX);
        return;
    case PASSWORD_BCRYPT:
        INVARIANT(strtoul(hash.text + 4, NULL, 10) <= PASSWORD_BCRYPT_COST_MAX);
        return;
    case PASSWORD_SHA512:
    case PASSWORD_SHA256:
        INVARIANT(number_behind(hash.text, "$rounds=") <= PASSWORD_SHA_ROUNDS_MAX);
        return;
    case PASSWORD_YESCRYPT:
        INVARIANT(hash.text[6] == '$');
        return;
    case PASSWORD_APR1:
    case PASSWORD_SHA1:
        check_old(&hash);
        return;
    }
}

static void check_again(const struct htpasswd *file, struct arena *arena)
{
    struct text out = text_growing(arena, 0);
    for (size_t i = 0; i < file->count; i++) {
        const struct htpasswd_user *user = &file->users[i];
        INVARIANT(htpasswd_name_valid(user->name) && user->hash.len > 0);
        INVARIANT(span_index(user->name, '\n') < 0 && span_index(user->hash, ':') < 0);
        check_hash(user->hash);
        text_add(&out, user->name);
        text_char(&out, ':');
        text_add(&out, user->hash);
        text_lit(&out, "\r\n");
    }
    struct htpasswd again;
    unsigned line;
    INVARIANT(htpasswd_parse(text_span(&out), arena, &again, &line) == OK);
    INVARIANT(again.count == file->count);
    for (size_t i = 0; i < file->count; i++) {
        INVARIANT(span_equal(again.users[i].name, file->users[i].name));
        INVARIANT(span_equal(again.users[i].hash, file->users[i].hash));
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size > 16 * 1024 || password_init() != OK)
        return 0;
    struct arena arena;
    arena_init(&arena, NULL, 0, NULL, 64 << 20);
    struct htpasswd file;
    unsigned line;
    struct span text = span_of((const char *)data, size);
    enum err err = htpasswd_parse(text, &arena, &file, &line);
    INVARIANT((err == OK) == (line == 0));
    if (err == OK)
        check_again(&file, &arena);
    check_hash(text);
    arena_reset(&arena);
    return 0;
}
