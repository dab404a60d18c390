/*
 * The choice of the site by SNI (RFC 6066 section 3), in OpenSSL's ClientHello callback.
 *
 * It must be this callback and no later one: by the server name callback OpenSSL has already
 * chosen the version and looked into the ticket, so a site that asks for 1.3 or for client
 * certificates could be entered with another site's session.
 */
#include <stdlib.h>

#include "gateway/net/challenge.h"
#include "gateway/net/tls_state.h"

enum { SNI_LIST_HEAD = 2, SNI_ENTRY_HEAD = 3, SNI_HOST_NAME = 0 };

static size_t uint16_at(const unsigned char *p)
{
    return (size_t)p[0] << 8 | p[1];
}

/* False for an extension that is not exactly one host name. */
static bool extension_name(const unsigned char *p, size_t len, struct span *name)
{
    if (len < SNI_LIST_HEAD + SNI_ENTRY_HEAD || uint16_at(p) != len - SNI_LIST_HEAD)
        return false;
    const unsigned char *entry = p + SNI_LIST_HEAD;
    *name = span_of((const char *)entry + SNI_ENTRY_HEAD, len - SNI_LIST_HEAD - SNI_ENTRY_HEAD);
    return entry[0] == SNI_HOST_NAME && uint16_at(entry + 1) == name->len;
}

/* Letters, digits, '-', '_' in labels of 1 to 63; no dot at the end. */
static bool name_lower(struct span name, char out[static SNI_NAME_MAX])
{
    if (name.len == 0 || name.len > SNI_NAME_MAX)
        return false;
    size_t label = 0;
    for (size_t i = 0; i < name.len; i++) {
        char c = ascii_lower(name.p[i]);
        bool word = (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-' || c == '_';
        if (word ? ++label > 63 : c != '.' || label == 0)
            return false;
        if (c == '.')
            label = 0;
        out[i] = c;
    }
    return label > 0;
}

enum sni_reading sni_read(const unsigned char *extension, size_t len,
                          char lower[static SNI_NAME_MAX], struct span *name)
{
    struct span sent;

    if (!extension_name(extension, len, &sent))
        return SNI_MALFORMED;
    if (!name_lower(sent, lower))
        return SNI_ODD;
    *name = span_of(lower, sent.len);
    return SNI_NAME;
}

const struct server_site *sni_site(const struct tls_server *server, struct span name)
{
    const struct server_site *site = NULL;
    if (name.len > 0) {
        site = table_get(&server->names, name);
        ssize_t dot = span_index(name, '.');
        if (site == NULL && dot > 0)
            site = table_get(&server->names, span_sub(name, (size_t)dot, name.len));
    }
    return site != NULL ? site : server->fallback;
}

static bool enter_site(SSL *ssl, struct tls *tls, const struct server_site *site)
{
    static const int modes[] = {
        [TLS_VERIFY_OFF] = SSL_VERIFY_NONE,
        [TLS_VERIFY_OPTIONAL] = SSL_VERIFY_PEER,
        [TLS_VERIFY_REQUIRE] = SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT,
    };
    tls->site = site;
    tls->info.site = site->index;
    SSL_set_verify(ssl, modes[site->verify], NULL);
    tickets_session(ssl, tls);
    return SSL_set_SSL_CTX(ssl, site->credential->ctx) != NULL &&
           SSL_set_session_id_context(ssl, site->sid_ctx, sizeof(site->sid_ctx)) == 1 &&
           (site->profile != TLS_MODERN || SSL_set_min_proto_version(ssl, TLS1_3_VERSION) == 1);
}

/* Whether this protocol, and no other, is offered (RFC 8737 section 3). */
static bool wants_proof(SSL *ssl)
{
    enum { LIST = sizeof(CHALLENGE_PROTOCOL) }; /* a length, and the name */
    const unsigned char *extension = NULL;
    size_t len = 0;
    return SSL_client_hello_get0_ext(ssl, TLSEXT_TYPE_application_layer_protocol_negotiation,
                                     &extension, &len) == 1 &&
           len == 2 + LIST && uint16_at(extension) == LIST && extension[2] == LIST - 1 &&
           memcmp(extension + 3, CHALLENGE_PROTOCOL, LIST - 1) == 0;
}

/* The certificate that proves the name, for this handshake alone. */
static bool enter_proof(SSL *ssl, struct tls *tls, const struct challenge *challenge)
{
    const unsigned char *cert = challenge->cert, *der = challenge->key;
    X509 *leaf = d2i_X509(NULL, &cert, challenge->cert_len);
    EVP_PKEY *key = d2i_AutoPrivateKey(NULL, &der, challenge->key_len);
    SSL_certs_clear(ssl); /* those of whatever site comes first */
    bool good =
        leaf != NULL && key != NULL && SSL_use_cert_and_key(ssl, leaf, key, NULL, 1) == 1;
    X509_free(leaf);
    EVP_PKEY_free(key);
    SSL_set_options(ssl, SSL_OP_NO_TICKET);
    tls->proving = true;
    return good && SSL_set_num_tickets(ssl, 0) == 1;
}

static int refuse(struct tls *tls, int *alert, int code, const char *reason)
{
    tls->failure = reason;
    *alert = code;
    return SSL_CLIENT_HELLO_ERROR;
}

static int on_client_hello(SSL *ssl, int *alert, void *unused)
{
    (void)unused;
    struct tls *tls = tls_of(ssl);
    const unsigned char *extension = NULL;
    size_t len = 0;
    struct span name = { NULL, 0 };
    char lower[SNI_NAME_MAX];
    if (SSL_client_hello_get0_ext(ssl, TLSEXT_TYPE_server_name, &extension, &len) == 1) {
        enum sni_reading reading = sni_read(extension, len, lower, &name);
        if (reading != SNI_NAME)
            return refuse(tls, alert,
                          reading == SNI_ODD ? SSL_AD_UNRECOGNIZED_NAME : SSL_AD_DECODE_ERROR,
                          "malformed server name");
    }

    /* After a HelloRetryRequest: RFC 8446 section 4.1.2 forbids another name. */
    if (tls->site != NULL) {
        if (!span_equal(name, tls->info.sni))
            return refuse(tls, alert, SSL_AD_ILLEGAL_PARAMETER, "server name changed");
        return SSL_CLIENT_HELLO_SUCCESS;
    }

    const struct server_site *site = sni_site(tls->server, name);
    if (site == NULL || site->credential == NULL)
        return refuse(tls, alert, SSL_AD_UNRECOGNIZED_NAME, "no site for this server name");
    if (name.len > 0) {
        tls->sni = malloc(name.len);
        if (tls->sni == NULL)
            return refuse(tls, alert, SSL_AD_INTERNAL_ERROR, "out of memory");
        memcpy(tls->sni, name.p, name.len);
        tls->info.sni = span_of(tls->sni, name.len);
    }
    if (wants_proof(ssl)) {
        const struct challenge *challenge =
            tls->server->challenges != NULL
                ? challenge_certificate(*tls->server->challenges, name)
                : NULL;
        if (challenge == NULL)
            return refuse(tls, alert, SSL_AD_NO_APPLICATION_PROTOCOL,
                          "nothing is to be proved for this name");
        tls->site = site;
        tls->info.site = site->index;
        if (!enter_proof(ssl, tls, challenge))
            return refuse(tls, alert, SSL_AD_INTERNAL_ERROR, "proof refused");
        return SSL_CLIENT_HELLO_SUCCESS;
    }
    if (!enter_site(ssl, tls, site))
        return refuse(tls, alert, SSL_AD_INTERNAL_ERROR, "context refused");
    return SSL_CLIENT_HELLO_SUCCESS;
}

/*
 * The first message of a connection, as it came: the callback above hides extensions that
 * OpenSSL does not know, and those are what fingerprints live by. Heads of records come here,
 * too.
 */
/* As OpenSSL wants it: NOLINTNEXTLINE(readability-function-size) */
static void on_message(int sent, int version, int content, const void *bytes, size_t len,
                       SSL *ssl, void *unused)
{
    tls_count(sent, version, content, bytes, len, ssl, unused);
    if (sent != 0 || content != SSL3_RT_HANDSHAKE)
        return;
    struct tls *tls = tls_of(ssl);
    if (ja4_write(span_of(bytes, len), tls->ja4))
        tls->info.ja4 = span_of(tls->ja4, JA4_BYTES);
    SSL_set_msg_callback(ssl, tls_count);
}

void sni_attach(SSL_CTX *ctx)
{
    SSL_CTX_set_msg_callback(ctx, on_message);
    SSL_CTX_set_client_hello_cb(ctx, on_client_hello, NULL);
}
