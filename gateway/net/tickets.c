/*
 * Session tickets (RFC 5077, RFC 8446 section 4.6.1): keys in shared memory, and the decision
 * whether a ticket may be used for the site it is shown to.
 *
 * Tickets are AES-256-CBC, then HMAC-SHA256 over name, IV and ciphertext; OpenSSL checks the
 * MAC before it decrypts. A ticket under a key that is no longer the current one is renewed.
 */
#include <openssl/core_names.h>
#include <openssl/rand.h>

#include "gateway/base/secret.h"
#include "gateway/base/siphash.h"
#include "gateway/net/tls_state.h"

enum { READ_TRIES = 1000 };

/* ---- keys ---- */

static void key_make(struct ticket_key *key, uint64_t now_s)
{
    random_bytes(key->name, sizeof(key->name));
    random_bytes(key->aes, sizeof(key->aes));
    random_bytes(key->hmac, sizeof(key->hmac));
    key->made_s = now_s;
}

void ticket_keys_rotate(struct ticket_keys *keys, uint64_t now_s)
{
    uint64_t made_s = keys->current.made_s;
    bool empty = made_s == 0;
    bool set_back = now_s + TICKET_ROTATE_S < made_s; /* the wall clock was */
    if (!empty && !set_back && now_s < made_s + TICKET_ROTATE_S)
        return;

    struct ticket_key fresh;
    key_make(&fresh, now_s);
    /* One that is odd already is that of a writer that died: it is finished here. */
    uint32_t writing = __atomic_load_n(&keys->sequence, __ATOMIC_ACQUIRE) | 1;
    __atomic_store_n(&keys->sequence, writing, __ATOMIC_RELAXED);
    __atomic_thread_fence(__ATOMIC_SEQ_CST);
    if (empty) {
        key_make(&keys->next, now_s);
        memset(&keys->previous, 0, sizeof(keys->previous));
    } else {
        keys->previous = keys->current;
        /* Nobody rotated for long: tickets of that key are past their two rotations. */
        if (set_back || now_s >= made_s + TICKET_SESSION_S)
            memset(&keys->previous, 0, sizeof(keys->previous));
    }
    keys->current = keys->next;
    keys->current.made_s = now_s;
    keys->next = fresh;
    __atomic_store_n(&keys->sequence, writing + 1, __ATOMIC_RELEASE);
    wipe(&fresh, sizeof(fresh));
}

/* False: there are none, or a writer died and left them half written. Wipe the copy. */
static bool keys_copy(const struct ticket_keys *keys, struct ticket_keys *copy)
{
    if (keys == NULL)
        return false;
    for (int i = 0; i < READ_TRIES; i++) {
        uint32_t before = __atomic_load_n(&keys->sequence, __ATOMIC_ACQUIRE);
        if (before & 1)
            continue;
        memcpy(copy, keys, sizeof(*copy));
        __atomic_thread_fence(__ATOMIC_ACQUIRE);
        if (__atomic_load_n(&keys->sequence, __ATOMIC_RELAXED) == before)
            return copy->current.made_s != 0;
    }
    return false;
}

static const struct ticket_key *key_named(const struct ticket_keys *keys,
                                          const unsigned char *name)
{
    const struct ticket_key *all[] = { &keys->current, &keys->previous, &keys->next };
    for (size_t i = 0; i < ARRAY_LEN(all); i++)
        if (all[i]->made_s != 0 && memcmp(all[i]->name, name, sizeof(all[i]->name)) == 0)
            return all[i];
    return NULL;
}

/* ---- sealing ---- */

static bool seal_init(const struct ticket_key *key, unsigned char *iv, EVP_CIPHER_CTX *cipher,
                      EVP_MAC_CTX *mac, int sealing)
{
    OSSL_PARAM params[] = {
        OSSL_PARAM_construct_octet_string(OSSL_MAC_PARAM_KEY, (void *)(uintptr_t)key->hmac,
                                          sizeof(key->hmac)),
        OSSL_PARAM_construct_utf8_string(OSSL_MAC_PARAM_DIGEST, (char[]){ "SHA256" }, 0),
        OSSL_PARAM_construct_end(),
    };
    return EVP_MAC_CTX_set_params(mac, params) == 1 &&
           EVP_CipherInit_ex(cipher, EVP_aes_256_cbc(), NULL, key->aes, iv, sealing) == 1;
}

/* OpenSSL's answers: 0 no ticket or not ours, 1 done, 2 good but to be renewed, -1 error. */
static int on_seal(SSL *ssl, unsigned char *name, unsigned char *iv, EVP_CIPHER_CTX *cipher,
                   EVP_MAC_CTX *mac, int sealing)
{
    struct ticket_keys keys;
    int answer = 0;
    if (keys_copy(tls_of(ssl)->server->keys, &keys)) {
        const struct ticket_key *key = sealing ? &keys.current : key_named(&keys, name);
        bool good = key != NULL;
        if (good && sealing) {
            memcpy(name, key->name, sizeof(key->name));
            good = RAND_bytes(iv, EVP_CIPHER_get_iv_length(EVP_aes_256_cbc())) == 1;
        }
        if (good && seal_init(key, iv, cipher, mac, sealing))
            answer = sealing || key == &keys.current ? 1 : 2;
        else if (key != NULL)
            answer = -1;
    }
    wipe(&keys, sizeof(keys));
    return answer;
}

/* ---- use ---- */

/* A certificate may have expired, and the site's CAs changed, since the ticket was made. */
static bool still_trusted(SSL *ssl, X509 *certificate)
{
    X509_STORE_CTX *ctx = X509_STORE_CTX_new();
    X509_STORE *store = SSL_CTX_get_cert_store(SSL_get_SSL_CTX(ssl));
    bool trusted = false;
    if (ctx != NULL && X509_STORE_CTX_init(ctx, store, certificate, NULL) == 1 &&
        X509_STORE_CTX_set_default(ctx, "ssl_client") == 1) {
        X509_VERIFY_PARAM *param = X509_STORE_CTX_get0_param(ctx);
        X509_VERIFY_PARAM_set_auth_level(param, SSL_get_security_level(ssl));
        X509_VERIFY_PARAM_set_depth(param, SSL_get_verify_depth(ssl));
        trusted = X509_verify_cert(ctx) == 1;
    }
    X509_STORE_CTX_free(ctx);
    return trusted;
}

static bool session_fits(SSL *ssl, const struct server_site *site, SSL_SESSION *session)
{
    unsigned len = 0;
    const unsigned char *id = SSL_SESSION_get0_id_context(session, &len);
    if (site == NULL || len != sizeof(site->sid_ctx) || memcmp(id, site->sid_ctx, len) != 0)
        return false;
    if (site->verify == TLS_VERIFY_OFF)
        return true;
    X509 *certificate = SSL_SESSION_get0_peer(session);
    if (certificate == NULL)
        return site->verify == TLS_VERIFY_OPTIONAL;
    return still_trusted(ssl, certificate);
}

/* A ticket that is not taken leads to a full handshake, never to a failure. */
static SSL_TICKET_RETURN on_ticket(SSL *ssl, SSL_SESSION *session, const unsigned char *name,
                                   size_t name_len, SSL_TICKET_STATUS status, void *unused)
{
    (void)name;
    (void)name_len;
    (void)unused;
    if (status != SSL_TICKET_SUCCESS && status != SSL_TICKET_SUCCESS_RENEW)
        return SSL_TICKET_RETURN_IGNORE_RENEW;
    if (!session_fits(ssl, tls_of(ssl)->site, session))
        return SSL_TICKET_RETURN_IGNORE_RENEW;
    return status == SSL_TICKET_SUCCESS ? SSL_TICKET_RETURN_USE : SSL_TICKET_RETURN_USE_RENEW;
}

void tickets_attach(SSL_CTX *ctx)
{
    SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_OFF);
    SSL_CTX_set_timeout(ctx, TICKET_SESSION_S);
    SSL_CTX_set_tlsext_ticket_key_evp_cb(ctx, on_seal);
    SSL_CTX_set_session_ticket_cb(ctx, NULL, on_ticket, NULL);
}

void tickets_session(SSL *ssl, const struct tls *tls)
{
    struct ticket_keys keys;
    bool have = tls->site->tickets && keys_copy(tls->server->keys, &keys);
    wipe(&keys, sizeof(keys));
    if (have)
        return;
    SSL_set_options(ssl, SSL_OP_NO_TICKET);
    /* With the option alone, TLS 1.3 would send tickets that name a server-side session. */
    SSL_set_num_tickets(ssl, 0);
}
