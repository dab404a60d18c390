/*
 * Sessions that the browser carries: beside the ticket a copy of the session, sealed with keys
 * of the configuration. With it a session is found again behind a restart, or at another node
 * with the same keys, where there is no store that nodes share.
 *
 * The first key seals, both open: so a key is changed by making it the second one for as long
 * as a session lasts. A copy is bound to its ticket and site, and says when it was made: it is
 * made anew as the session goes on, and one that is older than a session may be unused is none.
 *
 * What was ended here stays ended though its copies are whole: the ends are kept as marks, in
 * the memory that workers share. A restart forgets those; SECURITY.md says so.
 */
#ifndef SALLYPORT_SESSIONCARRY_H
#define SALLYPORT_SESSIONCARRY_H

#include "auth/vault.h"
#include "gateway/base/arena.h"
#include "gateway/base/secret.h"
#include "gateway/base/text.h"
#include "gateway/store/cells.h"

enum {
    CARRY_KEYS = 2,
    CARRY_SECRET_MIN = 32,    /* bytes of a secret */
    CARRY_CONTENT_MAX = 2700, /* more is not carried: browsers keep 4,096 bytes of a cookie */
    CARRY_TEXT_MAX = 3800,
    CARRY_AHEAD_S = 60, /* clocks of nodes differ */
    ENDED_CELLS = 16384,
};

struct carry {
    uint8_t keys[CARRY_KEYS][32];
    unsigned count; /* 0: nothing is carried */
};

struct carried {
    uint64_t issued_s, began_s, until_s, idle_s;
    struct span content;
    bool old_key; /* filled in: it was sealed with the second one */
};

/* Whose it is: for nobody else it opens. */
struct carry_owner {
    const struct ticket *ticket;
    struct span site;
};

void carry_add(struct carry *carry, const struct secret *secret);
/* False: it has no room in a cookie, or memory. */
MUST_USE bool carry_write(const struct carry *carry, const struct carry_owner *owner,
                          const struct carried *what, struct text *out);
/* Whole, for this owner, made before now and not longer ago than it lasts unused. */
MUST_USE bool carry_read(const struct carry *carry, const struct carry_owner *owner,
                         struct span cookie, uint64_t now_s, struct arena *arena,
                         struct carried *out);

/* ---- ends ---- */

/* One session by its handle, or all of a tag that had begun until then. */
void ended_mark(const struct cells *ended, const struct vault *vault, unsigned place,
                uint64_t what, uint64_t now_s);
enum { ENDED_HANDLE = VAULT_TAGS };
/* When; 0: it was not. */
uint64_t ended_when(const struct cells *ended, const struct vault *vault, unsigned place,
                    uint64_t what);
uint64_t ended_handle(const struct vault *vault, const struct ticket *ticket);

#endif
