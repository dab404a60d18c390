/*
 * Sessions that several nodes share, in the store (gateway/store/): every node keeps what it
 * has met in its own memory (auth/vault.h), and asks the store again when what it knows is a
 * second old. What stands there is an image of a vault's entry: found by a keyed hash of the
 * cookie's first part, and of no use to anybody who has not its second one.
 *
 *     PREFIX:{s}:i:NAME   a session          PREFIX:{s}:a       names of all of them
 *     PREFIX:{s}:f:NAME   a sign-in          PREFIX:{s}:t:N:TAG names of those of one user
 *     PREFIX:{s}:o:HASH   good once          PREFIX:{s}:l:NAME  who renews it now
 *     PREFIX:{s}:c:HASH   how many attempts
 *
 * Whatever is asked or told for a transaction hangs on a join: it is sent at once, and the
 * transaction waits for all answers together, before it answers itself.
 */
#ifndef SALLYPORT_SESSIONSHARE_H
#define SALLYPORT_SESSIONSHARE_H

#include "auth/vault.h"
#include "gateway/chain/op.h"
#include "gateway/store/redis_reply.h"

enum {
    SHARE_FRESH_MS = 1000, /* what was confirmed so lately is not asked again */
    SHARE_ASKS_MAX = 1024, /* in one worker, at a time */
    SHARE_FLOWS_S = 50,    /* sign-ins that one worker tells the store of in a second: who
                              begins more has to come back to this node */
    SHARE_USER_MAX = 256,  /* sessions of one user; the one that ends first makes room */
    SHARE_KEY_MAX = 192,
    SHARE_LIST_STEP = 16, /* sessions in one answer for a list */
};

struct session_share;
struct share_join;
struct store;

/* For the worker, with its keyspace, before that connects; each user lets go once. */
MUST_USE enum err session_share_attach(struct worker *worker);
void session_share_detach(struct worker *worker);

/* NULL: out of memory. It goes with the transaction; what was sent is not called back. */
struct share_join *share_join(struct call *c);
/* Waits for all that hangs on it, if anything does; c->error then is OK, ERR_MISSING (something
 * was good for one, and that was another one), ERR_LIMIT (there were too many), or that the
 * store does not answer. */
struct verdict share_wait(struct call *c, struct share_join *join, stage_fn *then);

enum share_kind { SHARE_SESSION, SHARE_FLOW };

/*
 * Brings the entry of this ticket up to date: it is confirmed, replaced, or gone from the
 * vault. Without a word of the store, one that was confirmed within `grace_ms` may go on.
 */
void share_fetch(struct share_join *join, const struct vault *vault,
                 const struct ticket *ticket, enum share_kind kind, uint64_t grace_ms);
/* The entry as it stands in the vault; `fresh`: it may be new there, else it has to exist. */
void share_put(struct share_join *join, const struct vault *vault, const struct ticket *ticket,
               bool fresh);
/* A sign-in that has begun. Nobody waits; false: it stays on this node. */
MUST_USE bool share_put_flow(struct worker *worker, const struct vault *vault,
                             const struct ticket *ticket);
/* `only`: ERR_MISSING for everybody but one. `join` may be NULL: nobody waits. */
void share_end(struct worker *worker, struct share_join *join, const struct vault *vault,
               const struct ticket *ticket, enum share_kind kind, bool only);
void share_end_tagged(struct share_join *join, unsigned place, uint64_t tag);
/* ERR_MISSING for all but the first within `seconds`, on whatever node. */
void share_once(struct share_join *join, const struct vault *vault, struct span what,
                uint64_t seconds);
/* One more attempt: ERR_LIMIT for each beyond `most` within `seconds` of the first. */
void share_count(struct share_join *join, const struct vault *vault, struct span what,
                 uint64_t most, uint64_t seconds);
/* It begins anew. Nobody waits. */
void share_uncount(struct worker *worker, const struct vault *vault, struct span what);
/* The same as share_once, of who is to renew this session. */
void share_lock(struct share_join *join, const struct vault *vault,
                const struct ticket *ticket);

/* sessionshare_wire.c: what the command line has in common with workers. */
extern const char share_script[];
/* The beginning of every key. */
void share_prefix(const struct store *store, struct text *out);
/* The key of the vaults, on all nodes of a store. */
void share_key(const struct store *store, uint8_t key[32]);

#endif
