/*
 * Password hashes: which are accepted, and the check of a password against one. Cost parameters
 * stand in the hash itself, so a hash is also an order to spend memory and time: they are
 * capped here, when the configuration is loaded.
 */
#ifndef SALLYPORT_PASSWORD_H
#define SALLYPORT_PASSWORD_H

#include "gateway/base/span.h"

enum {
    PASSWORD_BYTES_MAX = 511,      /* libcrypt takes 512 with the NUL */
    PASSWORD_HASH_BYTES_MAX = 255, /* of the hash's text */
    PASSWORD_MEMORY_MAX_KIB = 256 * 1024,
    PASSWORD_ARGON2_PASSES_MAX = 10,
    PASSWORD_BCRYPT_COST_MAX = 14,
    PASSWORD_SHA_ROUNDS_MAX = 1000 * 1000,
};

enum password_kind {
    PASSWORD_ARGON2ID,
    PASSWORD_BCRYPT,
    PASSWORD_SHA512,
    PASSWORD_SHA256,
    PASSWORD_YESCRYPT,
    PASSWORD_APR1, /* these two are weak: auth/oldhash.h */
    PASSWORD_SHA1,
};

struct password_hash {
    enum password_kind kind;
    char text[PASSWORD_HASH_BYTES_MAX + 1]; /* NUL-terminated */
};

/* Once per process, before anything else here. */
MUST_USE enum err password_init(void);
/* NULL when `text` is a hash that we take; else a sentence that says what to do. */
const char *password_hash_read(struct span text, struct password_hash *hash);

/* Why a hash that is taken had better not be there; NULL: it is as it should be. */
const char *password_weakness(const struct password_hash *hash);

/* Whether a check takes its memory from the system, as much as the hash says, and gives it back
 * at once. */
bool password_maps(const struct password_hash *hash);

/* An argon2id hash of what the gateway itself makes: 19 MiB, two passes. Takes its time. */
MUST_USE enum err password_make(struct span password, struct password_hash *hash);
/* What two hashes that take the same time have in common: kind and cost, as text. */
struct span password_cost(const struct password_hash *hash);

/* What a thread needs to check: large, and wiped after use. */
struct password_scratch;
struct password_scratch *password_scratch_new(void); /* NULL: out of memory */
void password_scratch_free(struct password_scratch *scratch);
/*
 * Takes as long as the hash says: never on a loop. `password` is PASSWORD_BYTES_MAX long at
 * most and has no NUL; else false at once. ERR_MEMORY when the hash could not be computed.
 */
MUST_USE enum err password_verify(const struct password_hash *hash, struct span password,
                                  struct password_scratch *scratch, bool *right);

#endif
