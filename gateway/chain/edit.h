/*
 * Changes to what upstream and client will receive. Stages propose, the flow applies them once
 * before writing; so every stage of a phase sees the message as it came. Names and values are
 * not copied: they live in the arena, the message or the configuration, or are constants.
 *
 * On the request side a name stands for all its aliases (X_User, x.user): SET and DROP take
 * them all away, since some backend reads them as one.
 */
#ifndef SALLYPORT_EDIT_H
#define SALLYPORT_EDIT_H

#include "gateway/chain/stage.h"
#include "gateway/http/fields.h"

enum edit_side { EDIT_REQUEST, EDIT_RESPONSE };
enum edit_kind { EDIT_SET, EDIT_ADD, EDIT_DROP, EDIT_DEFAULT }; /* DEFAULT: set when absent */

struct ready_edit {
    enum edit_kind kind;
    struct field field; /* made: nothing of it is checked again */
};

struct edit {
    struct edit *next;
    enum edit_side side;
    const struct ready_edit *items; /* of a configuration, or `one` */
    size_t count;
    struct ready_edit one;
};

/*
 * For the same edits of many messages, made at load. False when name or value have bytes that a
 * field may not have, or when the field is framing or routing, which only the writer sets.
 */
MUST_USE bool edit_make(struct ready_edit *ready, enum edit_kind kind, struct span name,
                        struct span value);
/* Proposes them, in order; they outlive the transaction. False when the arena is exhausted. */
MUST_USE bool edits_propose(struct txn *txn, enum edit_side side,
                            const struct ready_edit *items, size_t count);
/* The same for one that is made now, false for either reason: fail then. */
MUST_USE bool edit_field(struct txn *txn, enum edit_side side, enum edit_kind kind,
                         struct span name, struct span value);
/* A field that the gateway lends to upstream: every alias that the client sent is dropped
 * first. */
MUST_USE bool edit_lend_field(struct txn *txn, struct span name, struct span value);
/* At load: `name` is the gateway's on that site, or on all. False when memory ran out. */
MUST_USE bool lend_field(struct setup *setup, struct span name);
/* What the client sent under such a name, aliases too. In head and trailers of a request. */
void lent_fields_drop(const struct txn *txn, struct fields *fields);
/*
 * Cookies whose names begin so are the gateway's, on every route of every site: upstream
 * neither sees the client's, which would let it act as its users, nor sets one, which could put
 * somebody into another's session. False when memory ran out.
 */
#define OWN_COOKIES "__Host-sallyport"
#define OWN_PLAIN_COOKIES "sallyport-clear" /* auth/bots/, where a site is not on HTTPS */
/* The other pairs of one Cookie line; `*good` is false when memory ran out. */
struct span own_cookies_without(struct span cookies, struct arena *arena, bool *good);
MUST_USE bool own_cookies_hide(struct txn *txn, struct fields *fields); /* of a request */
void own_cookies_refuse(struct fields *fields);                         /* of an answer */
/* In the order in which they were proposed. */
MUST_USE enum err edits_apply(struct txn *txn, enum edit_side side, struct fields *fields);
/* Trailers that some recipients merge into the head: none has the name of an edited field. */
void edits_guard_trailers(const struct txn *txn, enum edit_side side, struct fields *trailers);

#endif
