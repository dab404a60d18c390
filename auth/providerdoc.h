/*
 * What is known of a provider: its keys and, by discovery (OpenID Connect Discovery 1.0, RFC
 * 8414), where it is to be asked what. The steward makes one document of both, of checked parts
 * only; workers read it as if somebody else had.
 */
#ifndef SALLYPORT_PROVIDERDOC_H
#define SALLYPORT_PROVIDERDOC_H

#include "auth/jwks.h"
#include "conf/kinds.h"
#include "gateway/chain/config.h"

enum { PROVIDER_DOC_BYTES_MAX = 256 * 1024, PROVIDER_HOSTS_MAX = 4 };

enum provider_endpoint {
    ENDPOINT_AUTHORIZATION,
    ENDPOINT_TOKEN,
    ENDPOINT_USERINFO,
    ENDPOINT_END_SESSION,
    ENDPOINT_JWKS,
    ENDPOINT_COUNT
};

struct provider_host {
    struct span name;
    struct addr addrs[PROVIDER_ADDRESSES_MAX];
    unsigned addr_count;
};

struct provider_meta {
    struct span endpoints[ENDPOINT_COUNT];          /* URLs; empty: it has none */
    bool tells_issuer;                              /* RFC 9207: answers carry `iss` */
    bool basic_refused;                             /* client_secret_post is what it takes */
    struct provider_host hosts[PROVIDER_HOSTS_MAX]; /* of the endpoints that are asked by us */
    unsigned host_count;
};

/* https, or http to this machine itself. NULL, or why not. */
const char *provider_url_check(const struct url *url);
/* `issuer`/.well-known/openid-configuration. False: too long. */
MUST_USE bool provider_discovery_url(struct span issuer, struct text *out);
/*
 * A discovery document of `issuer`, which it must name byte by byte. Texts are copied to the
 * arena. NULL, or why it cannot be used.
 */
const char *provider_discovered(struct span text, struct span issuer, struct arena *arena,
                                struct provider_meta *meta);
/*
 * The document: `meta` may be NULL. Of the key set only what is a public key for one of `algs`
 * goes in. NULL, or why the set cannot be used.
 */
const char *provider_write(struct text *out, const uint8_t key[PROVIDER_KEY_BYTES],
                           const struct provider_meta *meta, struct span jwks, uint32_t algs,
                           struct arena *arena);
/* Reads one; `meta` is zeroed when it has none, its texts are in the arena. False: it is of
 * another provider, or malformed. The keys are the caller's to jwks_free. */
MUST_USE bool provider_read(struct span document, const uint8_t key[PROVIDER_KEY_BYTES],
                            uint32_t algs, struct arena *arena, struct jwks *keys,
                            struct provider_meta *meta);
/* Whether it is one JSON object of a length that is taken. */
bool provider_document_valid(struct span document);
/* Addresses of `host` as the document has them. */
unsigned provider_addresses(const struct provider_meta *meta, struct span host,
                            struct addr *out, unsigned max);

#endif
