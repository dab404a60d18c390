/*
 * One TLS session: OpenSSL between a window of received ciphertext and the output callback.
 */
#include "gateway/net/tls.h"

#include <stdlib.h>

#include <openssl/err.h>
#include <openssl/x509v3.h>

#include "gateway/base/addr.h"
#include "gateway/net/tls_state.h"

enum { NAME_MAX_BYTES = 253 }; /* of a DNS name in text form */

/* ---- the BIO ---- */

static int bio_write(BIO *bio, const char *bytes, size_t len, size_t *written)
{
    struct tls *tls = BIO_get_data(bio);
    INVARIANT(tls != NULL && tls->output.write != NULL);
    tls->output.write(tls->output.owner, span_of(bytes, len));
    *written = len;
    return 1;
}

static int bio_read(BIO *bio, char *out, size_t size, size_t *taken)
{
    struct tls *tls = BIO_get_data(bio);
    INVARIANT(tls != NULL);
    BIO_clear_retry_flags(bio);
    if (tls->flooded)
        return 0; /* as if the connection had ended: it is how OpenSSL can be stopped */
    size_t n = size < tls->input.len ? size : tls->input.len;
    if (n == 0) {
        BIO_set_retry_read(bio);
        return 0;
    }
    memcpy(out, tls->input.p, n);
    tls->input.p += n;
    tls->input.len -= n;
    tls->received += n;
    *taken = n;
    return 1;
}

static long bio_ctrl(BIO *bio, int command, long number, void *pointer)
{
    (void)bio;
    (void)number;
    (void)pointer;
    return command == BIO_CTRL_FLUSH ? 1 : 0;
}

bool window_open(struct tls_window *window)
{
    window->method = BIO_meth_new(BIO_TYPE_SOURCE_SINK, "tls window");
    if (window->method == NULL || BIO_meth_set_write_ex(window->method, bio_write) != 1 ||
        BIO_meth_set_read_ex(window->method, bio_read) != 1 ||
        BIO_meth_set_ctrl(window->method, bio_ctrl) != 1)
        return false;
    window->bio = BIO_new(window->method);
    if (window->bio == NULL)
        return false;
    BIO_set_init(window->bio, 1);
    return true;
}

void window_close(struct tls_window *window)
{
    BIO_free(window->bio);
    BIO_meth_free(window->method);
}

struct tls *tls_of(const SSL *ssl)
{
    return BIO_get_data(SSL_get_rbio(ssl));
}

static void flood(struct tls *tls, const char *what)
{
    tls->flooded = true;
    tls->failure = what;
}

/* As OpenSSL wants it: NOLINTNEXTLINE(readability-function-size) */
void tls_count(int sent, int version, int content, const void *bytes, size_t len, SSL *ssl,
               void *unused)
{
    struct tls *tls = tls_of(ssl);
    (void)version;
    (void)bytes;
    (void)len;
    (void)unused;
    if (content == SSL3_RT_HEADER) {
        tls->records += sent == 0;
        if (!tls->established && tls->records > TLS_HANDSHAKE_RECORDS)
            flood(tls, "too many records in a handshake");
        return;
    }
    /* An attempt to renegotiate is no message to OpenSSL, but the alert that refuses it is. */
    if (content != (sent == 0 ? SSL3_RT_HANDSHAKE : SSL3_RT_ALERT))
        return;
    if (++tls->messages > TLS_MESSAGES_FREE + tls->received / TLS_MESSAGE_BYTES)
        flood(tls, "too many messages of handshakes");
}

/* Around every call into OpenSSL that may read or write. */
static void enter(struct tls *tls)
{
    BIO *bio = SSL_get_rbio(tls->ssl);
    INVARIANT(BIO_get_data(bio) == NULL);
    BIO_set_data(bio, tls);
    /* An error that some other code left behind would be taken for the session's own. */
    if (__builtin_expect(ERR_peek_error() != 0, 0))
        ERR_clear_error();
}

static void leave(struct tls *tls)
{
    BIO_set_data(SSL_get_rbio(tls->ssl), NULL);
}

/* ---- failures ---- */

const char *tls_reason(void)
{
    const char *reason = ERR_reason_error_string(ERR_peek_error());
    ERR_clear_error();
    return reason != NULL ? reason : "unknown reason";
}

static void failed(struct tls *tls)
{
    tls->failed = true;
    /* The certificate's fault says more than that verification failed. */
    long verified = SSL_get_verify_result(tls->ssl);
    bool certificate = ERR_GET_REASON(ERR_peek_error()) == SSL_R_CERTIFICATE_VERIFY_FAILED &&
                       ERR_GET_LIB(ERR_peek_error()) == ERR_LIB_SSL;
    const char *reason = tls_reason();
    if (certificate && verified != X509_V_OK)
        reason = X509_verify_cert_error_string(verified);
    if (tls->failure == NULL)
        tls->failure = reason;
}

const char *tls_failure(const struct tls *tls)
{
    return tls->failure;
}

bool tls_flooded(const struct tls *tls)
{
    return tls->flooded;
}

uint64_t tls_records(const struct tls *tls)
{
    return tls->records;
}

/* ---- making and freeing ---- */

static struct tls *tls_new(SSL_CTX *ctx, BIO *bio)
{
    struct tls *tls = calloc(1, sizeof(*tls));
    if (tls == NULL)
        return NULL;
    tls->info.site = -1;
    tls->ssl = SSL_new(ctx);
    if (tls->ssl == NULL || BIO_up_ref(bio) != 1) {
        SSL_free(tls->ssl);
        free(tls);
        ERR_clear_error();
        return NULL;
    }
    SSL_set_bio(tls->ssl, bio, bio);
    return tls;
}

struct tls *tls_accept(struct tls_server *server)
{
    struct tls *tls = tls_new(server->credentials->ctx, server->window.bio);
    if (tls == NULL)
        return NULL;
    tls->server = server;
    SSL_set_accept_state(tls->ssl);
    return tls;
}

/* What is asked for and verified: an address as one, or a name, in SNI too (RFC 6066 section
 * 3). */
static bool expect_name(SSL *ssl, struct span name, bool verify)
{
    X509_VERIFY_PARAM *param = SSL_get0_param(ssl);
    if (name.len > 2 && name.p[0] == '[' && name.p[name.len - 1] == ']')
        name = span_sub(name, 1, name.len - 2);
    struct addr addr;
    if (addr_parse(name, &addr)) {
        size_t len = addr.family == ADDR_V4 ? 4 : 16;
        return X509_VERIFY_PARAM_set1_ip(param, addr.bytes, len) == 1;
    }

    if (name.len > 0 && name.p[name.len - 1] == '.')
        name.len--;
    if (name.len == 0)
        return !verify;
    if (name.len > NAME_MAX_BYTES || memchr(name.p, '\0', name.len) != NULL)
        return false;
    char host[NAME_MAX_BYTES + 1];
    memcpy(host, name.p, name.len);
    host[name.len] = '\0';
    /* RFC 9110 section 4.3.4: the subject's common name is no identity of a server. */
    X509_VERIFY_PARAM_set_hostflags(param, X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS |
                                               X509_CHECK_FLAG_NEVER_CHECK_SUBJECT);
    return X509_VERIFY_PARAM_set1_host(param, host, name.len) == 1 &&
           SSL_set_tlsext_host_name(ssl, host) == 1;
}

struct tls *tls_connect(struct tls_client *client, struct span name)
{
    struct tls *tls = tls_new(client->ctx, client->window.bio);
    if (tls == NULL)
        return NULL;
    if (!expect_name(tls->ssl, name, client->verify)) {
        ERR_clear_error();
        tls_free(tls);
        return NULL;
    }
    SSL_set_connect_state(tls->ssl);
    return tls;
}

void tls_output(struct tls *tls, struct tls_output output)
{
    tls->output = output;
}

void tls_free(struct tls *tls)
{
    if (tls == NULL)
        return;
    SSL_free(tls->ssl);
    free(tls->sni);
    free(tls->client);
    free(tls);
}

/* ---- the stream ---- */

/*
 * OpenSSL keeps the keys of the exchange until the session is freed. Nobody asks for them
 * again, and who reads our memory later shall not find the private one (forward secrecy: RFC
 * 8446 appendix C.4); they are also 430 bytes of an idle connection. The object stays, emptied.
 */
static void forget_exchange(SSL *ssl)
{
    EVP_PKEY *key = NULL;

    if (SSL_get_tmp_key(ssl, &key) == 1)
        (void)EVP_PKEY_set_type(key, EVP_PKEY_X25519);
    EVP_PKEY_free(key);
    key = NULL;
    if (SSL_get_peer_tmp_key(ssl, &key) == 1)
        (void)EVP_PKEY_set_type(key, EVP_PKEY_X25519);
    EVP_PKEY_free(key);
}

static void check_established(struct tls *tls)
{
    if (tls->established || SSL_in_init(tls->ssl))
        return;
    tls->established = true;
    tls->ended = tls->proving; /* RFC 8737 section 3: nothing is spoken over it */
    forget_exchange(tls->ssl);
    /* It has been sent; a copy would stay as long as the session. */
    if (tls->server != NULL)
        SSL_set_tlsext_status_ocsp_resp(tls->ssl, NULL, 0);
}

enum err tls_start(struct tls *tls)
{
    enter(tls);
    int done = SSL_do_handshake(tls->ssl);
    leave(tls);
    check_established(tls);
    if (done == 1 || SSL_get_error(tls->ssl, done) == SSL_ERROR_WANT_READ)
        return OK;
    failed(tls);
    return ERR_TLS;
}

void tls_input(struct tls *tls, struct span cipher)
{
    tls->input = cipher;
}

/* Nothing that a call of OpenSSL could bring forth. */
static bool drained(const struct tls *tls)
{
    return tls->established && tls->input.len == 0 && !SSL_has_pending(tls->ssl);
}

/* One record or part of one. Sets `ended` or `failed` when there will be no more. */
static size_t read_some(struct tls *tls, char *plain, size_t size)
{
    size_t n = 0;
    enter(tls);
    int done = SSL_read_ex(tls->ssl, plain, size, &n);
    leave(tls);
    check_established(tls);
    if (done == 1)
        return tls->proving ? 0 : n; /* it may have come in one flight with the handshake */
    int error = SSL_get_error(tls->ssl, done);
    if (error == SSL_ERROR_ZERO_RETURN)
        tls->ended = true;
    else if (error != SSL_ERROR_WANT_READ)
        failed(tls);
    return 0;
}

ssize_t tls_read(struct tls *tls, char *plain, size_t size)
{
    size_t total = 0;
    while (total < size && !tls->ended && !tls->failed && !drained(tls)) {
        size_t n = read_some(tls, plain + total, size - total);
        if (n == 0)
            break;
        total += n;
    }
    if (total > 0)
        return (ssize_t)total;
    if (tls->failed)
        return TLS_FAILED;
    return tls->ended ? 0 : TLS_AGAIN;
}

enum err tls_write(struct tls *tls, struct span plain)
{
    if (tls->failed || !tls->established || tls->shut)
        return ERR_TLS;
    if (plain.len == 0)
        return OK;
    size_t n = 0;
    enter(tls);
    int done = SSL_write_ex(tls->ssl, plain.p, plain.len, &n);
    leave(tls);
    if (done == 1) {
        INVARIANT(n == plain.len);
        return OK;
    }
    failed(tls);
    return ERR_TLS;
}

void tls_shutdown(struct tls *tls)
{
    if (tls->shut || tls->failed || !tls->established)
        return;
    tls->shut = true;
    enter(tls);
    if (SSL_shutdown(tls->ssl) < 0)
        ERR_clear_error();
    leave(tls);
}

/* ---- what is known ---- */

enum { CLIENT_PARTS = 5 };

/* What is written to `bio`, once, with the lengths of its parts. */
static bool keep_client(struct tls *tls, const char *text, const size_t lens[CLIENT_PARTS])
{
    struct span *parts[] = { &tls->info.client_fingerprint, &tls->info.client_serial,
                             &tls->info.client_subject, &tls->info.client_issuer,
                             &tls->info.client_sans };
    size_t at = 0, all = 0;

    _Static_assert(ARRAY_LEN(parts) == CLIENT_PARTS, "a length for each");
    for (size_t i = 0; i < CLIENT_PARTS; i++)
        all += lens[i];
    tls->client = malloc(all);
    if (tls->client == NULL)
        return false;
    for (size_t i = 0; i < ARRAY_LEN(parts); i++) {
        memcpy(tls->client + at, text + at, lens[i]);
        *parts[i] = span_of(tls->client + at, lens[i]);
        at += lens[i];
    }
    return true;
}

static bool write_fingerprint(BIO *bio, const X509 *certificate)
{
    unsigned char digest[EVP_MAX_MD_SIZE];
    char hex[2 * EVP_MAX_MD_SIZE];
    struct text text = text_fixed(hex, sizeof hex);
    unsigned len = 0;

    if (X509_digest(certificate, EVP_sha256(), digest, &len) != 1)
        return false;
    text_hex(&text, digest, len);
    return BIO_write(bio, text.p, (int)text.len) == (int)text.len;
}

/* RFC 5280 section 4.1.2.2: at most 20 octets; a longer one is cut. */
static bool write_serial(BIO *bio, const X509 *certificate)
{
    enum { SERIAL_HEX_MAX = 40 };
    BIGNUM *number = ASN1_INTEGER_to_BN(X509_get0_serialNumber(certificate), NULL);
    char *hex = number != NULL ? BN_bn2hex(number) : NULL;
    size_t len = hex != NULL ? strnlen(hex, SERIAL_HEX_MAX) : 0;
    bool good = len > 0 && BIO_write(bio, hex, (int)len) == (int)len;

    OPENSSL_free(hex);
    BN_free(number);
    return good;
}

static bool write_name(BIO *bio, const X509_NAME *name)
{
    return X509_NAME_print_ex(bio, name, 0, XN_FLAG_RFC2253) >= 0;
}

/* CVE-2009-2408: a NUL in a name, and half of the world read one name and the rest another. */
static bool write_san(BIO *bio, const char *kind, const ASN1_IA5STRING *value)
{
    const unsigned char *bytes = ASN1_STRING_get0_data(value);
    int len = ASN1_STRING_length(value);
    if (len <= 0 || len > TLS_SAN_BYTES_MAX)
        return true;
    for (int i = 0; i < len; i++)
        if (bytes[i] <= 0x20 || bytes[i] >= 0x7f)
            return true;
    return BIO_printf(bio, "%s:%.*s\n", kind, len, (const char *)bytes) > 0;
}

static bool write_sans(BIO *bio, const X509 *certificate)
{
    GENERAL_NAMES *names = X509_get_ext_d2i(certificate, NID_subject_alt_name, NULL, NULL);
    bool good = true;

    for (int i = 0;
         sk_GENERAL_NAME_num(names) <= TLS_SANS_MAX && i < sk_GENERAL_NAME_num(names) && good;
         i++) {
        const GENERAL_NAME *name = sk_GENERAL_NAME_value(names, i);
        if (name->type == GEN_EMAIL)
            good = write_san(bio, "email", name->d.rfc822Name);
        else if (name->type == GEN_URI)
            good = write_san(bio, "uri", name->d.uniformResourceIdentifier);
        else if (name->type == GEN_DNS)
            good = write_san(bio, "dns", name->d.dNSName);
    }
    GENERAL_NAMES_free(names);
    return good;
}

static size_t written_since(BIO *bio, size_t *before)
{
    size_t all = BIO_ctrl_pending(bio), since = all - *before;

    *before = all;
    return since;
}

static void describe_client(struct tls *tls, const X509 *certificate)
{
    BIO *bio = BIO_new(BIO_s_mem());
    size_t lens[CLIENT_PARTS] = { 0 }, before = 0;
    char *text = NULL;
    bool good = bio != NULL && write_fingerprint(bio, certificate);

    if (good) {
        lens[0] = written_since(bio, &before);
        good = write_serial(bio, certificate);
        lens[1] = written_since(bio, &before);
        good = good && write_name(bio, X509_get_subject_name(certificate));
        lens[2] = written_since(bio, &before);
        good = good && write_name(bio, X509_get_issuer_name(certificate));
        lens[3] = written_since(bio, &before);
        good = good && write_sans(bio, certificate);
        lens[4] = written_since(bio, &before);
    }
    tls->info.client_cert =
        good && BIO_get_mem_data(bio, &text) > 0 && keep_client(tls, text, lens);
    BIO_free(bio);
    ERR_clear_error();
}

const struct tls_info *tls_info(struct tls *tls)
{
    struct tls_info *info = &tls->info;
    if (!tls->established || tls->info_done)
        return info;
    tls->info_done = true;
    info->established = true;
    info->resumed = SSL_session_reused(tls->ssl) == 1;
    info->version = span_text(SSL_get_version(tls->ssl));
    info->cipher = span_text(SSL_get_cipher_name(tls->ssl));
    const unsigned char *alpn = NULL;
    unsigned len = 0;
    SSL_get0_alpn_selected(tls->ssl, &alpn, &len);
    info->alpn = span_of((const char *)alpn, len);

    X509 *certificate = SSL_get0_peer_certificate(tls->ssl);
    if (tls->site != NULL && tls->site->verify != TLS_VERIFY_OFF && certificate != NULL &&
        SSL_get_verify_result(tls->ssl) == X509_V_OK)
        describe_client(tls, certificate);
    return info;
}
