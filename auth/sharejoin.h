/*
 * Questions that a transaction has asked the store, joined: it waits for all answers together.
 * A join lives until the transaction is gone and the last answer has come.
 */
#ifndef SALLYPORT_SHAREJOIN_H
#define SALLYPORT_SHAREJOIN_H

#include "auth/sessionshare.h"

struct join_pool {
    struct share_join *free;
};

struct share_join {
    struct op op; /* first */
    struct join_pool *pool;
    struct worker *worker;
    struct share_join *next; /* in the pool */
    unsigned left;           /* answers still to come */
    enum err worst;
    bool sealed; /* somebody waits: nothing more is added */
    bool gone;   /* the transaction is */
};

/* NULL: out of memory. */
struct share_join *join_new(struct call *c, struct join_pool *pool);
void join_pool_free(struct join_pool *pool);
/* One more is asked; it was answered; it could not even be asked. Of NULL nothing is known. */
void join_expect(struct share_join *join);
void join_answered(struct share_join *join, enum err err);
void join_note(struct share_join *join, enum err err);

#endif
