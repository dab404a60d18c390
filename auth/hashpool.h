/*
 * Password checks off the loop: two threads in each worker that run when nobody else wants to,
 * and a queue that is full at HASHPOOL_JOBS. Hashing is dear by intent (1 to 200 ms), so
 * whoever can order it without bound can stop a server; here more logins only make logins slow.
 *
 * The threads are a crew (gateway/chain/crew.h). Hashes that map megabytes are computed one at
 * a time: whoever maps waits for others of the process that do, and before Linux 6.4 a page
 * fault of the loop then waits behind both, which are of low priority and may wait for long.
 */
#ifndef SALLYPORT_HASHPOOL_H
#define SALLYPORT_HASHPOOL_H

#include "auth/password.h"
#include "gateway/chain/op.h"

enum {
    HASHPOOL_THREADS = 2,
    HASHPOOL_JOBS = 64,
    HASHPOOL_SHARE = HASHPOOL_JOBS / 4, /* of one client, so that others can still sign in */
    HASHPOOL_NICE = 10                  /* where the kernel refuses better */
};

struct hashpool;

MUST_USE enum err hashpool_open(struct hashpool **out, struct worker *worker);
/*
 * The one of this worker (worker->hashpool), for all stages that check passwords: opened for
 * the first that attaches, closed with the last one that lets it go.
 */
MUST_USE enum err hashpool_share(struct hashpool **out, struct worker *worker);
void hashpool_let_go(struct hashpool *pool);
/* Waits for the hash that is being computed, at most one a thread. No op may be waited for. */
void hashpool_close(struct hashpool *pool);

/*
 * An op whose value is a `const bool *`: whether the password is right. The bytes are copied
 * into memory that is kept out of dumps, and wiped when the hash is done. NULL when the queue
 * is full, the client has its share of it, or the password is too long for any hash. An op that
 * is abandoned before its turn costs nothing.
 */
struct op *hashpool_verify(struct hashpool *pool, const struct password_hash *hash,
                           struct span password, const struct addr *client);
/* Jobs at hand: queued, running, or not yet taken. */
size_t hashpool_load(const struct hashpool *pool);

#endif
