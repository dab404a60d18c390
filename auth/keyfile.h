/*
 * API keys: `sp_ID_SECRET`, and the file that lists them. The secret has 260 random bits, so a
 * plain hash of the key is all that is kept, and nobody can guess his way back to it.
 *
 *     k3v9x2m8q1zt SHA-256-IN-HEX user=ann plan=gold scopes=read,write expires=1830000000
 *
 * One key a line; `#` begins a comment. `expires` is in seconds since 1970; `after` names the
 * key that this one is to replace. A line that is not understood makes the file no file of
 * keys: it is taken whole or not at all. What the workers look keys up in is a block, sorted by
 * id, of entries of one size.
 */
#ifndef SALLYPORT_KEYFILE_H
#define SALLYPORT_KEYFILE_H

#include "gateway/base/arena.h"
#include "gateway/base/text.h"

enum {
    APIKEY_ID_BYTES = 12,
    APIKEY_SECRET_BYTES = 52,
    APIKEY_BYTES = 3 + APIKEY_ID_BYTES + 1 + APIKEY_SECRET_BYTES,
    APIKEY_HASH_BYTES = 32,
    APIKEY_USER_MAX = 64,
    APIKEY_PLAN_MAX = 31,
    APIKEY_SCOPES_MAX = 159, /* all of them, with commas */
    KEYFILE_BYTES_MAX = 16 * 1024 * 1024,
    KEYFILE_KEYS_MAX = 50000,
};

struct apikey {
    char id[APIKEY_ID_BYTES]; /* no NUL */
    uint8_t hash[APIKEY_HASH_BYTES];
    uint64_t expires_s; /* wall clock; 0: never */
    char after[APIKEY_ID_BYTES + 1], user[APIKEY_USER_MAX + 1], plan[APIKEY_PLAN_MAX + 1];
    char scopes[APIKEY_SCOPES_MAX + 1];
};

struct apikeys {
    struct apikey *items; /* in order of the file */
    size_t count;
};

/* ERR_SYNTAX or ERR_DUPLICATE with the line's number; ERR_LIMIT, ERR_MEMORY. */
MUST_USE enum err keyfile_parse(struct span text, struct arena *arena, struct apikeys *keys,
                                unsigned *line);
void keyfile_write(struct text *out, const struct apikey *key);

/* The block for the workers. */
MUST_USE enum err keyfile_build(struct span text, struct arena *arena, struct span *block,
                                unsigned *line);
bool keyfile_valid(struct span block);
/*
 * The entry whose key this is, expired or not; NULL: nobody's. Takes as long for a wrong secret
 * as for a right one.
 */
const struct apikey *keyfile_find(struct span block, struct span key);
size_t keyfile_count(struct span block);

/* A new key for `like`'s user, plan and scopes: fills id and hash, writes the key. */
void apikey_make(struct apikey *like, char key[APIKEY_BYTES]);
/* Whether the text could be a key, as far as form goes. */
bool apikey_is_one(struct span key);
/* Names of users, plans and scopes: letters, digits and . _ - @ / + */
bool apikey_word_valid(struct span word, size_t max);
/* Whether `scope` is among the key's. */
bool apikey_has_scope(const struct apikey *key, struct span scope);

#endif
