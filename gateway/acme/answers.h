/*
 * What an ACME server answers (RFC 8555 section 7, RFC 9773), read into structs of fixed size.
 * All of it is hostile: sizes, counts and depth are bounded, URLs stay on the directory's own
 * server, and what is shown to people is visible ASCII.
 */
#ifndef SALLYPORT_ACME_ANSWERS_H
#define SALLYPORT_ACME_ANSWERS_H

#include "gateway/base/arena.h"
#include "gateway/net/challenge.h"

enum {
    ACME_JSON_MAX = 64 * 1024, /* an order with 100 names has some 15 KiB */
    ACME_URL_MAX = 512,
    ACME_DETAIL_MAX = 200, /* of a problem */
    ACME_NAMES_MAX = CHALLENGES_MAX,
};

struct acme_url {
    char text[ACME_URL_MAX + 1]; /* empty: none */
};

struct acme_directory {
    struct acme_url nonce, account, order, renewal; /* the last one may be missing */
    bool binding_required;
};

/* RFC 8555 section 7.1.6, of orders and authorizations together. */
enum acme_status {
    ACME_PENDING,
    ACME_READY,
    ACME_PROCESSING,
    ACME_VALID,
    ACME_INVALID, /* and all that is no better: deactivated, expired, revoked, unknown */
};

/* What went wrong over there (RFC 7807). */
struct acme_problem {
    char type[48];                    /* behind urn:ietf:params:acme:error: ; else empty */
    char detail[ACME_DETAIL_MAX + 1]; /* what is not visible ASCII is `?` */
};

struct acme_order {
    enum acme_status status;
    struct acme_url finalize, certificate;
    struct acme_url authorizations[ACME_NAMES_MAX];
    size_t authorization_count;
    struct acme_problem problem;
};

struct acme_authorization {
    enum acme_status status;
    char name[CHALLENGE_NAME_MAX + 1]; /* lower case */
    struct acme_url challenge;         /* of the type that was asked for; empty: not offered */
    char token[CHALLENGE_TOKEN_MAX + 1];
    struct acme_problem problem; /* of that challenge */
};

struct acme_window {
    int64_t from_s, until_s;
};

/*
 * Whether `text` is a URL that `directory`'s server may be asked by: https, the same host and
 * port, visible ASCII, no longer than ACME_URL_MAX.
 */
MUST_USE bool acme_url_allowed(struct span directory, struct span text);

/* Each: NULL, or why the answer is not understood. `directory` is the URL of that. */
const char *acme_read_directory(struct span body, struct span directory,
                                struct acme_directory *out);
const char *acme_read_order(struct span body, struct span directory, struct acme_order *out);
const char *acme_read_authorization(struct span body, struct span directory, const char *type,
                                    struct acme_authorization *out);
const char *acme_read_window(struct span body, struct acme_window *out);
/* Whatever it is: empty texts, when it is nothing. */
void acme_read_problem(struct span body, struct acme_problem *out);

#endif
