/*
 * Answers to the questions of a certificate authority (RFC 8555 section 8.3, RFC 8737), as one
 * block of bytes: made by the steward while an order is under way, read by workers. One entry
 * for each name that is to be proved. What is not in the block is not answered.
 */
#ifndef SALLYPORT_CHALLENGE_H
#define SALLYPORT_CHALLENGE_H

#include "gateway/base/span.h"

#define CHALLENGE_PATH "/.well-known/acme-challenge/"
#define CHALLENGE_PROTOCOL "acme-tls/1" /* of ALPN */

enum {
    CHALLENGES_MAX = 100, /* names of one certificate */
    CHALLENGE_NAME_MAX = 253,
    CHALLENGE_TOKEN_MIN = 16, /* RFC 8555 section 8.3: 128 bits at least */
    CHALLENGE_TOKEN_MAX = 128,
    CHALLENGE_ANSWER_MAX = CHALLENGE_TOKEN_MAX + 1 + 43, /* a point and SHA-256 in base64url */
    CHALLENGE_CERT_MAX = 1024,                           /* DER */
    CHALLENGE_KEY_MAX = 256,
};

/* Texts end with NUL. */
struct challenge {
    char name[CHALLENGE_NAME_MAX + 1];     /* lower case */
    char token[CHALLENGE_TOKEN_MAX + 1];   /* of http-01; else empty */
    char answer[CHALLENGE_ANSWER_MAX + 1]; /* to it */
    uint16_t cert_len, key_len;            /* of tls-alpn-01; else 0 */
    uint8_t cert[CHALLENGE_CERT_MAX], key[CHALLENGE_KEY_MAX];
};

struct challenges {
    uint32_t magic, count;
    struct challenge items[CHALLENGES_MAX]; /* `count` of them are there */
};
enum { CHALLENGES_MAGIC = 0x41434d31 };

/* The bytes that a block of `count` takes. */
static inline size_t challenges_size(size_t count)
{
    return offsetof(struct challenges, items) + count * sizeof(struct challenge);
}

/* base64url, 16 to 128 characters: nothing that could be a path of its own. */
MUST_USE bool challenge_token_valid(struct span token);
MUST_USE bool challenges_valid(struct span block);
/* The body for a GET of `path` on plain HTTP; an empty span: nobody asked for that. The block
 * may be empty. */
struct span challenge_answer(struct span block, struct span host, struct span path);
/* What a handshake for `name` (lower case) by CHALLENGE_PROTOCOL gets; NULL: nothing. */
const struct challenge *challenge_certificate(struct span block, struct span name);

#endif
