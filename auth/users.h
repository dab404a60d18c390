/*
 * Local users as workers know them: a block, sorted by name, of entries of one size, which the
 * steward makes of the store of users (auth/userdb.h) and publishes as a snapshot.
 *
 * A name is its own only spelling: small letters, digits and . _ - @ +, so that nobody is
 * counted under two.
 */
#ifndef SALLYPORT_USERS_H
#define SALLYPORT_USERS_H

#include "auth/password.h"
#include "auth/totp.h"
#include "gateway/base/arena.h"

enum {
    USERS_MAX = 10000,
    USER_NAME_MAX = 64,
    USER_GROUPS_MAX = 255, /* all of them, with commas */
    USER_GROUP_COUNT_MAX = 32,
    USER_CODES_MAX = 10,
    USER_CODE_HASH_BYTES = 16,
};

struct user_entry {
    uint64_t epoch;     /* another one after each change that ends sessions; never 0 */
    uint64_t totp_step; /* the last one that was used, as far as the store knows */
    char name[USER_NAME_MAX + 1];
    char hash[PASSWORD_HASH_BYTES_MAX + 1];
    char groups[USER_GROUPS_MAX + 1];
    uint8_t totp_len; /* 0: no second factor */
    uint8_t code_count;
    uint8_t totp[TOTP_SECRET_MAX];
    uint8_t codes[USER_CODES_MAX][USER_CODE_HASH_BYTES]; /* hashes of what is left of them */
};

bool user_name_valid(struct span name);
/* Small letters, white space around it gone: what a person may have typed. False: nobody's. */
MUST_USE bool user_name_fold(struct span typed, char name[USER_NAME_MAX + 1]);
/* Names with commas between them, each of the bytes that a user's name may have, in any case.
 */
bool user_groups_valid(struct span groups);
bool user_entry_valid(const struct user_entry *entry);

/* Sorts `entries` in place. ERR_DUPLICATE, ERR_SYNTAX, ERR_LIMIT, ERR_MEMORY. */
MUST_USE enum err users_build(struct user_entry *entries, size_t count, struct arena *arena,
                              struct span *block);
bool users_valid(struct span block);
size_t users_count(struct span block);
const struct user_entry *users_find(struct span block, struct span name);
const struct user_entry *users_at(struct span block, size_t index);

/* Hash of a recovery code, bound to its user. False: it does not look like one. */
MUST_USE bool recovery_hash(struct span name, struct span typed,
                            uint8_t hash[USER_CODE_HASH_BYTES]);
enum { RECOVERY_LETTERS = 16, RECOVERY_TEXT_BYTES = RECOVERY_LETTERS + 3 }; /* abcd-efgh-... */
void recovery_make(char text[RECOVERY_TEXT_BYTES]);

#endif
