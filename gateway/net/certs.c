/*
 * TLS contexts at load: sites by name, and the client side. What sites have in common is loaded
 * once: a wildcard certificate that a thousand sites name is one certificate and one SSL_CTX.
 */
#include "gateway/net/certs.h"

#include <stdlib.h>

#include <openssl/err.h>
#include <openssl/sha.h>

#include "gateway/base/text.h"
#include "gateway/net/challenge.h"
#include "gateway/net/tls_state.h"

enum { CHAIN_DEPTH_MAX = 8 };

/* Debian's. The file and not the folder beside it: a worker opens no file. */
#define SYSTEM_BUNDLE "/etc/ssl/certs/ca-certificates.crt"

/*
 * Mozilla's intermediate list without finite-field DHE: there a client makes the server do a
 * long exponentiation at almost no cost of its own (CVE-2002-20001), and none in use needs it.
 */
static const char ciphers[] = "ECDHE-ECDSA-AES128-GCM-SHA256:ECDHE-RSA-AES128-GCM-SHA256:"
                              "ECDHE-ECDSA-AES256-GCM-SHA384:ECDHE-RSA-AES256-GCM-SHA384:"
                              "ECDHE-ECDSA-CHACHA20-POLY1305:ECDHE-RSA-CHACHA20-POLY1305";
static const char ciphers_13[] = "TLS_AES_128_GCM_SHA256:TLS_AES_256_GCM_SHA384:"
                                 "TLS_CHACHA20_POLY1305_SHA256";
static const char groups[] = "X25519:P-256:P-384";

/* In the order of preference, each with its length before it (RFC 7301 section 3.1). */
static const unsigned char protocols[] = "\x02"
                                         "h2"
                                         "\x08"
                                         "http/1.1";
enum { H2_BYTES = 3, PROTOCOLS_BYTES = sizeof(protocols) - 1, SECURITY_LEVEL = 2 };

/* ---- what both sides have ---- */

static SSL_CTX *context_new(const SSL_METHOD *method, enum tls_profile profile)
{
    SSL_CTX *ctx = SSL_CTX_new(method);
    if (ctx == NULL)
        return NULL;
    SSL_CTX_set_security_level(ctx, SECURITY_LEVEL);
    SSL_CTX_set_options(ctx, SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION);
    /* All ciphers listed are good, so the order is ours, the one that costs both sides least
     * first; but the client knows whether it has AES in hardware. */
    SSL_CTX_set_options(ctx, SSL_OP_CIPHER_SERVER_PREFERENCE | SSL_OP_PRIORITIZE_CHACHA);
    SSL_CTX_clear_options(ctx, SSL_OP_ALLOW_UNSAFE_LEGACY_RENEGOTIATION);
    /* No chain is built from the store at each handshake: what the file has is what is sent. */
    SSL_CTX_set_mode(ctx, SSL_MODE_RELEASE_BUFFERS | SSL_MODE_NO_AUTO_CHAIN);
    SSL_CTX_set_read_ahead(ctx, 0);
    SSL_CTX_set_msg_callback(ctx, tls_count);
    SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_OFF);
    SSL_CTX_set_verify_depth(ctx, CHAIN_DEPTH_MAX);
    int least = profile == TLS_MODERN ? TLS1_3_VERSION : TLS1_2_VERSION;
    if (SSL_CTX_set_min_proto_version(ctx, least) == 1 &&
        SSL_CTX_set_max_proto_version(ctx, 0) == 1 &&
        SSL_CTX_set_cipher_list(ctx, ciphers) == 1 &&
        SSL_CTX_set_ciphersuites(ctx, ciphers_13) == 1 &&
        SSL_CTX_set1_groups_list(ctx, groups) == 1 && SSL_CTX_set_max_early_data(ctx, 0) == 1)
        return ctx;
    SSL_CTX_free(ctx);
    return NULL;
}

bool context_identity(SSL_CTX *ctx, const struct identity *identity)
{
    /* An empty chain would be copied for each connection. */
    STACK_OF(X509) *chain = sk_X509_num(identity->chain) > 0 ? identity->chain : NULL;

    return SSL_CTX_use_cert_and_key(ctx, identity->leaf, identity->key, chain, 1) == 1;
}

/* ---- server ---- */

struct loading {
    struct tls_server *server;
    const struct tls_site *site;
    struct problem problem;
    struct table identities, authorities, credentials; /* by the files' paths */
};

/* False without memory: a key cut short could stand for other files. */
static bool joined(struct loading *loading, const struct span *paths, size_t count,
                   struct span *key)
{
    struct text text = text_growing(loading->problem.arena, 256);
    for (size_t i = 0; i < count; i++) {
        text_add(&text, paths[i]);
        text_char(&text, '\0');
    }
    *key = text_span(&text);
    return !text.overflow || problem_say(&loading->problem, paths[0], "out of memory");
}

static bool remember(struct loading *loading, struct table *table, struct span key, void *value)
{
    if (table_put(table, key, value) == OK)
        return true;
    return problem_say(&loading->problem, key, "out of memory");
}

static struct identity *identity_of(struct loading *loading)
{
    struct span paths[] = { loading->site->cert, loading->site->key };
    struct span key;
    if (!joined(loading, paths, ARRAY_LEN(paths), &key))
        return NULL;
    struct identity *identity = table_get(&loading->identities, key);
    if (identity != NULL)
        return identity;
    const struct tls_site *site = loading->site;
    identity = site->bundle.len > 0
                   ? identity_of_bundle(site->bundle, site->cert, &loading->problem)
                   : identity_load(site->cert, site->key, &loading->problem);
    if (identity == NULL)
        return NULL;
    identity->next = loading->server->identities;
    loading->server->identities = identity;
    return remember(loading, &loading->identities, key, identity) ? identity : NULL;
}

static struct authority *authority_of(struct loading *loading)
{
    struct span paths[] = { loading->site->client_ca, loading->site->client_crl }, key;
    if (!joined(loading, paths, ARRAY_LEN(paths), &key))
        return NULL;
    struct authority *authority = table_get(&loading->authorities, key);
    if (authority != NULL)
        return authority;
    authority = authority_load(paths[0], paths[1], &loading->problem);
    if (authority == NULL)
        return NULL;
    authority->next = loading->server->authorities;
    loading->server->authorities = authority;
    return remember(loading, &loading->authorities, key, authority) ? authority : NULL;
}

static bool context_authority(struct loading *loading, SSL_CTX *ctx)
{
    if (loading->site->client_ca.len == 0)
        return true;
    const struct authority *authority = authority_of(loading);
    if (authority == NULL)
        return false;
    STACK_OF(X509_NAME) *names = SSL_dup_CA_list(authority->names);
    if (names == NULL)
        return problem_say(&loading->problem, loading->site->client_ca, "out of memory");
    SSL_CTX_set_client_CA_list(ctx, names);
    SSL_CTX_set1_cert_store(ctx, authority->store);
    return true;
}

/* RFC 7301 section 3.2: a client that names none of ours is refused, not given another. */
static int on_alpn(SSL *ssl, const unsigned char **chosen, unsigned char *chosen_len,
                   const unsigned char *offered, unsigned offered_len, void *unused)
{
    (void)unused;
    unsigned char *found = NULL;
    if (tls_of(ssl)->proving) { /* the hello has nothing else: see sni.c */
        *chosen = (const unsigned char *)CHALLENGE_PROTOCOL;
        *chosen_len = sizeof(CHALLENGE_PROTOCOL) - 1;
        return SSL_TLSEXT_ERR_OK;
    }
    unsigned skip = tls_of(ssl)->server->http2 ? 0 : H2_BYTES;
    if (SSL_select_next_proto(&found, chosen_len, protocols + skip, PROTOCOLS_BYTES - skip,
                              offered, offered_len) != OPENSSL_NPN_NEGOTIATED)
        return SSL_TLSEXT_ERR_ALERT_FATAL;
    *chosen = found;
    return SSL_TLSEXT_ERR_OK;
}

static bool credential_fill(struct loading *loading, struct credential *credential)
{
    const struct tls_site *site = loading->site;
    const struct identity *identity = identity_of(loading);
    if (identity == NULL)
        return false;
    credential->ctx = context_new(TLS_server_method(), TLS_INTERMEDIATE);
    if (credential->ctx == NULL || !context_identity(credential->ctx, identity))
        return problem_say(&loading->problem, site->cert, tls_reason());
    if (!context_authority(loading, credential->ctx))
        return false;
    if (site->staple.len > 0) {
        if (!staple_load(&credential->staple, site->staple, identity->leaf, &loading->problem))
            return false;
        staple_attach(credential->ctx, &credential->staple);
    }
    SSL_CTX_set_alpn_select_cb(credential->ctx, on_alpn, NULL);
    sni_attach(credential->ctx);
    tickets_attach(credential->ctx);
    return true;
}

static struct credential *credential_of(struct loading *loading)
{
    const struct tls_site *site = loading->site;
    struct span paths[] = { site->cert, site->key, site->staple, site->client_ca,
                            site->client_crl };
    struct span key;
    if (!joined(loading, paths, ARRAY_LEN(paths), &key))
        return NULL;
    struct credential *credential = table_get(&loading->credentials, key);
    if (credential != NULL)
        return credential;
    credential = arena_new(loading->problem.arena, struct credential);
    if (credential == NULL) {
        (void)problem_say(&loading->problem, site->cert, "out of memory");
        return NULL;
    }
    credential->next = loading->server->credentials;
    loading->server->credentials = credential;
    if (!credential_fill(loading, credential) ||
        !remember(loading, &loading->credentials, key, credential))
        return NULL;
    return credential;
}

/* Names the site in its tickets, the same in every worker and generation. */
static bool site_context(struct loading *loading, struct server_site *site)
{
    struct text text = text_growing(loading->problem.arena, 256);
    for (size_t i = 0; i < loading->site->host_count; i++) {
        text_lower(&text, loading->site->hosts[i]);
        text_char(&text, '\0');
    }
    text_add(&text, loading->site->client_ca);
    text_char(&text, '\0');
    text_add(&text, loading->site->client_crl);
    text_char(&text, (char)('0' + (int)site->verify));
    if (text.overflow)
        return problem_say(&loading->problem, loading->site->cert, "out of memory");
    SHA256((const unsigned char *)text.p, text.len, site->sid_ctx);
    return true;
}

static bool site_name(struct loading *loading, struct server_site *site, struct span host)
{
    struct tls_server *server = loading->server;
    if (span_equal(host, SPAN("*"))) {
        if (server->fallback != NULL)
            return problem_say(&loading->problem, host, "two sites are the default");
        server->fallback = site;
        return true;
    }
    struct text text = text_growing(loading->problem.arena, host.len + 1);
    text_lower(&text, span_starts(host, SPAN("*.")) ? span_sub(host, 1, host.len) : host);
    enum err err =
        text.overflow ? ERR_MEMORY : table_put(&server->names, text_span(&text), site);
    if (err == OK)
        return true;
    return problem_say(&loading->problem, host,
                       err == ERR_DUPLICATE ? "two sites have this host" : err_text(err));
}

static bool site_load(struct loading *loading, struct server_site *site, int index)
{
    const struct tls_site *from = loading->site;
    site->index = index;
    site->verify = from->verify;
    site->profile = from->profile;
    site->tickets = from->tickets;
    for (size_t i = 0; i < from->host_count; i++)
        if (!site_name(loading, site, from->hosts[i]))
            return false;
    if (from->cert.len == 0)
        return true;
    if (from->client_crl.len > 0 && from->client_ca.len == 0)
        return problem_say(&loading->problem, from->client_crl,
                           "a revocation list, but no CA whose it could be");
    if (from->verify != TLS_VERIFY_OFF && from->client_ca.len == 0)
        return problem_say(&loading->problem, from->cert,
                           "client certificates are asked for, but no CA is given for them");
    site->bundled = from->bundle.len > 0;
    site->credential = credential_of(loading);
    return site->credential != NULL && site_context(loading, site);
}

static bool server_load(struct loading *loading, const struct tls_site *sites, size_t count)
{
    struct tls_server *server = loading->server;
    struct arena *arena = loading->problem.arena;
    size_t hosts = 0;
    for (size_t i = 0; i < count; i++)
        hosts += sites[i].host_count;
    server->sites = arena_array(arena, struct server_site, count);
    server->site_count = count;
    if (!window_open(&server->window) || server->sites == NULL ||
        table_init(&server->names, arena, hosts) != OK ||
        table_init(&loading->identities, arena, count) != OK ||
        table_init(&loading->authorities, arena, count) != OK ||
        table_init(&loading->credentials, arena, count) != OK)
        return problem_say(&loading->problem, SPAN(""), "out of memory");
    for (size_t i = 0; i < count; i++) {
        loading->site = &sites[i];
        if (!site_load(loading, &server->sites[i], (int)i))
            return false;
    }
    if (server->credentials == NULL)
        return problem_say(&loading->problem, SPAN(""), "no site has a certificate");
    return true;
}

struct tls_server *tls_server_new(const struct tls_site *sites, size_t count,
                                  const struct ticket_keys *keys, struct arena *arena,
                                  struct span *why)
{
    struct loading loading = { .problem = { arena, why } };
    loading.server = arena_new(arena, struct tls_server);
    if (loading.server == NULL) {
        (void)problem_say(&loading.problem, SPAN(""), "out of memory");
        return NULL;
    }
    loading.server->keys = keys;
    if (server_load(&loading, sites, count))
        return loading.server;
    tls_server_free(loading.server);
    return NULL;
}

void tls_server_offer_http2(struct tls_server *server)
{
    server->http2 = true;
}

static const struct server_site *site_at(const struct tls_server *server, int index)
{
    return index >= 0 && (size_t)index < server->site_count ? &server->sites[index] : NULL;
}

bool tls_server_sites_alike(const struct tls_server *server, int a, int b)
{
    const struct server_site *one = site_at(server, a), *other = site_at(server, b);

    return one != NULL && other != NULL && one->credential != NULL &&
           one->credential == other->credential && one->verify == other->verify &&
           one->profile == other->profile;
}

void tls_server_challenges(struct tls_server *server, const struct span *block)
{
    server->challenges = block;
}

/* ---- replacing ---- */

/* What is wrong is said by whoever made the bundle. */
static struct identity *bundle_open(struct span bundle)
{
    char room[256];
    struct arena arena;
    struct span why;
    arena_init(&arena, room, sizeof(room), NULL, 0);
    struct problem problem = { &arena, &why };
    struct identity *identity = bundle.len > 0 && bundle.len <= TLS_BUNDLE_BYTES_MAX
                                    ? identity_of_bundle(bundle, SPAN(""), &problem)
                                    : NULL;
    arena_reset(&arena);
    if (identity == NULL || sk_X509_num(identity->chain) < TLS_CHAIN_MAX)
        return identity;
    identity_free(identity);
    return NULL;
}

bool tls_bundle_valid(struct span bundle)
{
    struct identity *identity = bundle_open(bundle);
    identity_free(identity);
    return identity != NULL;
}

/*
 * In place: the site's context keeps its callbacks and its memory's address, and a handshake
 * that is under way has a reference to the certificate that it began with.
 */
enum err tls_server_replace(struct tls_server *server, int index, struct span bundle)
{
    const struct server_site *site = site_at(server, index);
    if (site == NULL || !site->bundled || site->credential == NULL)
        return ERR_UNKNOWN;
    struct identity *identity = bundle_open(bundle);
    if (identity == NULL)
        return ERR_SYNTAX;
    bool used = context_identity(site->credential->ctx, identity);
    identity_free(identity);
    ERR_clear_error();
    return used ? OK : ERR_TLS;
}

void tls_server_free(struct tls_server *server)
{
    if (server == NULL)
        return;
    for (struct credential *c = server->credentials; c != NULL; c = c->next)
        SSL_CTX_free(c->ctx);
    for (struct identity *i = server->identities, *next = NULL; i != NULL; i = next) {
        next = i->next;
        identity_free(i);
    }
    for (struct authority *a = server->authorities, *next = NULL; a != NULL; a = next) {
        next = a->next;
        authority_free(a);
    }
    window_close(&server->window);
    memset(server, 0, sizeof(*server));
}

/* ---- client ---- */

static bool client_trust(SSL_CTX *ctx, const struct tls_client_conf *conf,
                         const struct problem *problem)
{
    if (!conf->verify)
        return true;
    struct span bundle = conf->ca.len > 0 ? conf->ca : SPAN(SYSTEM_BUNDLE);
    struct authority *authority = authority_load(bundle, SPAN(""), problem);
    if (authority == NULL)
        return false;
    SSL_CTX_set1_cert_store(ctx, authority->store);
    SSL_CTX_set_verify(ctx, SSL_VERIFY_PEER, NULL);
    authority_free(authority);
    return true;
}

static bool client_identity(SSL_CTX *ctx, const struct tls_client_conf *conf,
                            const struct problem *problem)
{
    if (conf->cert.len == 0)
        return true;
    struct identity *identity = identity_load(conf->cert, conf->key, problem);
    if (identity == NULL)
        return false;
    bool used = context_identity(ctx, identity);
    identity_free(identity);
    return used || problem_say(problem, conf->cert, tls_reason());
}

struct tls_client *tls_client_new(const struct tls_client_conf *conf, struct arena *arena,
                                  struct span *why)
{
    struct problem problem = { arena, why };
    struct tls_client *client = arena_new(arena, struct tls_client);
    if (client == NULL) {
        (void)problem_say(&problem, SPAN(""), "out of memory");
        return NULL;
    }
    client->verify = conf->verify;
    client->ctx = context_new(TLS_client_method(), conf->profile);
    if (!window_open(&client->window) || client->ctx == NULL ||
        SSL_CTX_set_alpn_protos(client->ctx, protocols + H2_BYTES,
                                PROTOCOLS_BYTES - H2_BYTES) != 0) {
        (void)problem_say(&problem, SPAN(""), tls_reason());
    } else if (client_trust(client->ctx, conf, &problem) &&
               client_identity(client->ctx, conf, &problem)) {
        return client;
    }
    tls_client_free(client);
    return NULL;
}

void tls_client_free(struct tls_client *client)
{
    if (client == NULL)
        return;
    SSL_CTX_free(client->ctx);
    window_close(&client->window);
    memset(client, 0, sizeof(*client));
}
