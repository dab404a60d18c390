/*
 * Signatures of compact JWS (RFC 7515, algorithms of RFC 7518 and 8037) over OpenSSL and
 * libsodium. What a key may be used for follows from the key alone: an RSA key never checks an
 * HMAC, however the token calls itself, so a public key cannot be passed off as a secret.
 */
#ifndef SALLYPORT_JOSE_H
#define SALLYPORT_JOSE_H

#include <openssl/evp.h>

#include "auth/rsa.h"
#include "gateway/base/arena.h"

enum {
    TOKEN_BYTES_MAX = 8 * 1024,
    TOKEN_HEADER_BYTES_MAX = 2 * 1024, /* decoded */
    TOKEN_KID_BYTES_MAX = 256,
    SIGNATURE_BYTES_MAX = RSA_BYTES_MAX,
    HMAC_KEY_BYTES_MIN = 32,
    HMAC_KEY_BYTES_MAX = 512,
};

enum jose_error {
#define JOSE(name, slug) JOSE_##name,
#include "auth/jose.def"
#undef JOSE
    JOSE_ERROR_COUNT
};
const char *jose_slug(enum jose_error error);

enum jose_kind { JOSE_RSA, JOSE_P256, JOSE_P384, JOSE_ED25519, JOSE_SECRET };

enum jose_alg {
    JOSE_RS256,
    JOSE_RS384,
    JOSE_RS512,
    JOSE_PS256,
    JOSE_PS384,
    JOSE_PS512,
    JOSE_ES256,
    JOSE_ES384,
    JOSE_EDDSA,
    JOSE_HS256,
    JOSE_HS384,
    JOSE_HS512,
    JOSE_ALGS
};
#define JOSE_ALL_ALGS ((1u << JOSE_ALGS) - 1)

/* JOSE_ALGS when there is none of that name; names have case. */
enum jose_alg jose_alg_of(struct span name);
const char *jose_alg_name(enum jose_alg alg);
/* Bits: what a key of this kind can check. */
uint32_t jose_algs_of(enum jose_kind kind);

struct jose_key {
    struct span kid; /* NULL pointer: none */
    enum jose_kind kind;
    uint32_t algs;                /* bits of what it may check: never more than its kind can */
    EVP_PKEY *pkey;               /* RSA, EC */
    struct rsa_public *rsa;       /* for RS256 and its kin; NULL: they go by EVP, too */
    EVP_PKEY_CTX *ctx[JOSE_ALGS]; /* ready to verify, by algorithm; RSA, EC */
    EVP_MD *md[JOSE_ALGS];        /* what it hashes with; RSA, EC */
    struct span bytes;            /* ED25519: 32; SECRET: the secret; malloced */
};

/*
 * Takes over `pkey`, of which only the public half is used. NULL, or a sentence why the key is
 * refused (then it is freed): kind, size, exponent, curve.
 */
const char *jose_key_public(struct jose_key *key, EVP_PKEY *pkey);
const char *jose_key_ed25519(struct jose_key *key, struct span bytes);
const char *jose_key_secret(struct jose_key *key, struct span bytes);
/* Narrows what a key may check, and makes it ready for that. False: out of memory. */
MUST_USE bool jose_key_ready(struct jose_key *key, uint32_t algs);
/* Whatever was set; OK on a zeroed key. */
void jose_key_free(struct jose_key *key);

/* A token taken apart; spans into the token, and into `header`, which is decoded JSON. */
struct jws {
    struct span signed_text; /* header and payload, as sent */
    struct span payload;     /* still encoded */
    enum jose_alg alg;
    struct span kid, type; /* NULL pointer: none */
    uint8_t signature[SIGNATURE_BYTES_MAX];
    size_t signature_len;
};

/* All that can be said without a key. `arena` holds what is decoded. */
MUST_USE enum jose_error jws_parse(struct jws *jws, struct span token, struct arena *arena);
/* Whether the signature is this key's over `text`. */
MUST_USE bool jose_verify(const struct jose_key *key, enum jose_alg alg, struct span text,
                          struct span signature);

#endif
