/*
 * Which server a request goes to: by turns, by load, by a hash of the request, or where its
 * cookie says that it went before. Backups serve only when no other server can; ejected ones
 * only when not even those are left.
 */
#ifndef SALLYPORT_BALANCE_H
#define SALLYPORT_BALANCE_H

#include "gateway/upstream/upstream.h"

struct txn;
struct server_local;
struct upstream_local;

/* What of a request counts for the choice. Zeroed: nothing. */
struct pick {
    uint64_t hash;
    unsigned stuck;  /* index of the server that the cookie names, and 1; 0: none */
    uint64_t client; /* for a fair queue; 0: the gateway itself */
};

/* Parses `upstream.hash`; false: it is none of client.ip, host, path, header:NAME, cookie:NAME.
 */
MUST_USE bool hash_key_parse(struct span text, struct hash_key *key);
void balance_attach(struct upstream_local *upstream);
/* From the request's fields; cheap when neither hash nor sticky is configured. */
void balance_pick(const struct upstream *upstream, struct txn *txn, struct pick *pick);
/*
 * The server for the next try, not among the bits of `tried`. NULL: all were tried.
 */
struct server_local *balance_choose(struct upstream_local *upstream, uint64_t tried,
                                    const struct pick *pick);
/* After NULL: whether some server has only too much to do. */
bool balance_waits(const struct upstream_local *upstream, uint64_t tried);
/* Whether some server may take another request. */
bool balance_has_room(const struct upstream_local *upstream, uint64_t tried);
/*
 * The cookie that binds the client to `server`: true when it is to be sent, since another one
 * or none came. False: nothing to send, or no memory.
 */
MUST_USE bool balance_cookie(const struct server_local *server, const struct pick *pick,
                             const struct txn *txn, struct text *out);

#endif
