/*
 * The store of local users: a SQLite database that the steward keeps open and publishes from,
 * and that `sallyport users` changes, while the gateway runs or not. Passwords stand there as
 * argon2id hashes, recovery codes as hashes; secrets of second factors as they are, for codes
 * are made of them: nobody but the gateway's user may read the file.
 *
 * What is read from it is checked like any input.
 */
#ifndef SALLYPORT_USERDB_H
#define SALLYPORT_USERDB_H

#include "auth/users.h"

struct userdb;

enum { USERDB_TEXT_BYTES = 256 };

/* NULL, or what is wrong; `create` makes it where it is missing, for the owner alone. A missing
 * one is otherwise userdb_missing. */
const char *userdb_open(struct userdb **db, const char *path, bool create);
extern const char userdb_missing[];
void userdb_close(struct userdb *db);
/* Changes with every commit of somebody else. */
uint64_t userdb_version(struct userdb *db);

/* All users; the block for workers. */
MUST_USE enum err userdb_build(struct userdb *db, struct arena *arena, struct span *block);

/* Changes, each whole or not at all: NULL, or why not. */
const char *userdb_add(struct userdb *db, struct span name, struct span hash,
                       struct span groups);
const char *userdb_remove(struct userdb *db, struct span name);
/* Ends the user's sessions, as all that follow. */
const char *userdb_set_password(struct userdb *db, struct span name, struct span hash);
const char *userdb_set_groups(struct userdb *db, struct span name, struct span groups);
/* An empty secret takes the second factor away. `codes` has `count` hashes. */
const char *userdb_set_totp(struct userdb *db, struct span name, struct span secret,
                            const uint8_t (*codes)[USER_CODE_HASH_BYTES], size_t count);
const char *userdb_revoke(struct userdb *db, struct span name);

/* What the steward notes of what workers have accepted. */
const char *userdb_note_step(struct userdb *db, struct span name, uint64_t step);
const char *userdb_drop_code(struct userdb *db, struct span name,
                             const uint8_t hash[USER_CODE_HASH_BYTES]);

#endif
