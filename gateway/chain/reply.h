/*
 * Local answers: refusal pages (HTML for browsers, problem+json for the rest, RFC 9457),
 * redirects, challenges, fixed responses. Every page carries the request id; none carries a
 * byte of the client's.
 */
#ifndef SALLYPORT_REPLY_H
#define SALLYPORT_REPLY_H

#include "gateway/chain/stage.h"

enum { REPLY_FIELDS_MAX = 8 };

struct reply {
    int status;             /* 0: the reason's */
    struct span body, type; /* type empty: the reason's page is made */
    struct {
        struct span name, value;
    } fields[REPLY_FIELDS_MAX];
    unsigned field_count;
    /* Problem documents: a registered type, and the policies that were violated. Of ours only.
     */
    struct span problem, policy; /* empty: about:blank, and none */
    bool cut; /* no answer at all: the connection (of HTTP/2: the stream) is cut */
};

/* In the transaction's arena; NULL when exhausted. */
struct reply *reply_new(struct txn *txn, int status);
MUST_USE bool reply_field(struct reply *reply, struct span name, struct span value);

struct response;
struct request;
/* Whether a page for people is wanted, and not a document for programs. */
bool reply_wants_page(const struct request *req);
/*
 * The answer for `reason` with what `reply` (may be NULL) adds: fills `rsp` (fields, status)
 * and `body`. Content negotiation by the request's Accept; req may be NULL when no head was
 * understood. Cache-Control: no-store always. HTTP_... detail of the parser never changes the
 * page.
 */
MUST_USE enum err reply_render(struct txn *txn, enum reason reason, const struct reply *reply,
                               struct response *rsp, struct span *body);

#endif
