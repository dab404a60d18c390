/* Signatures of an ACME client: see jws.h. */
#include "gateway/acme/jws.h"

#include <openssl/ecdsa.h>
#include <openssl/err.h>
#include <openssl/hmac.h>

#include "auth/base64url.h"
#include "gateway/acme/certificate.h"
#include "gateway/base/json.h"
#include "gateway/base/secret.h"

enum { HALF = 32, DIGEST = 32, DER_MAX = 80, MAC_MIN = 16, MAC_MAX = 256 };

static struct span bytes_of(const void *p, size_t len)
{
    return span_of(p, len);
}

/* In the order and without the spaces that RFC 7638 section 3.3 wants. */
static bool write_jwk(struct text *out, const EVP_PKEY *key)
{
    uint8_t x[HALF], y[HALF];

    if (!acme_key_point(key, x, y))
        return false;
    text_lit(out, "{\"crv\":\"P-256\",\"kty\":\"EC\",\"x\":\"");
    base64url_encode(out, bytes_of(x, HALF));
    text_lit(out, "\",\"y\":\"");
    base64url_encode(out, bytes_of(y, HALF));
    text_lit(out, "\"}");
    return !out->overflow;
}

bool acme_thumbprint(const EVP_PKEY *key, char out[static ACME_THUMBPRINT_BYTES])
{
    char jwk[256];
    uint8_t digest[DIGEST];
    struct text text = text_fixed(jwk, sizeof(jwk));
    struct text print = text_fixed(out, ACME_THUMBPRINT_BYTES);

    if (!write_jwk(&text, key) ||
        EVP_Digest(text.p, text.len, digest, NULL, EVP_sha256(), NULL) != 1)
        return false;
    base64url_encode(&print, bytes_of(digest, DIGEST));
    return !print.overflow && print.len == ACME_THUMBPRINT_BYTES;
}

/* RFC 7518 section 3.4: both numbers, 32 bytes each, and not DER. */
static bool sign(EVP_PKEY *key, struct span text, uint8_t out[static 2 * HALF])
{
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    uint8_t der[DER_MAX];
    size_t len = sizeof(der);
    ECDSA_SIG *both = NULL;
    const uint8_t *p = der;
    bool good = ctx != NULL && EVP_DigestSignInit(ctx, NULL, EVP_sha256(), NULL, key) == 1 &&
                EVP_DigestSign(ctx, der, &len, (const uint8_t *)text.p, text.len) == 1 &&
                (both = d2i_ECDSA_SIG(NULL, &p, (long)len)) != NULL &&
                BN_bn2binpad(ECDSA_SIG_get0_r(both), out, HALF) == HALF &&
                BN_bn2binpad(ECDSA_SIG_get0_s(both), out + HALF, HALF) == HALF;

    ECDSA_SIG_free(both);
    EVP_MD_CTX_free(ctx);
    ERR_clear_error();
    return good;
}

static bool write_head(struct text *out, const struct acme_signed *what)
{
    struct json j = json_writer(out);

    json_begin_object(&j, NULL);
    json_text(&j, "alg", SPAN("ES256"));
    json_text(&j, "nonce", what->nonce);
    json_text(&j, "url", what->url);
    if (what->kid.len > 0)
        json_text(&j, "kid", what->kid);
    else
        text_lit(out, ",\"jwk\":");
    bool good = what->kid.len > 0 || write_jwk(out, what->key);
    json_end_object(&j);
    return good && !out->overflow;
}

/* `head`.`payload`, both encoded; answers where the payload begins. */
static size_t write_input(struct text *out, struct span head, struct span payload)
{
    base64url_encode(out, head);
    text_char(out, '.');
    size_t at = out->len;
    base64url_encode(out, payload);
    return at;
}

static void write_whole(struct text *out, struct span input, size_t at, struct span signature)
{
    text_lit(out, "{\"protected\":\"");
    text_add(out, span_of(input.p, at - 1));
    text_lit(out, "\",\"payload\":\"");
    text_add(out, span_sub(input, at, input.len));
    text_lit(out, "\",\"signature\":\"");
    base64url_encode(out, signature);
    text_lit(out, "\"}");
}

bool acme_sign(struct text *out, const struct acme_signed *what)
{
    struct text head = text_growing(out->arena, 1024);
    struct text input = text_growing(out->arena, 2048 + 2 * what->payload.len);
    uint8_t signature[2 * HALF];

    if (!write_head(&head, what))
        return false;
    size_t at = write_input(&input, text_span(&head), what->payload);
    if (input.overflow || !sign(what->key, text_span(&input), signature))
        return false;
    write_whole(out, text_span(&input), at, bytes_of(signature, sizeof(signature)));
    return !out->overflow;
}

/* Some authorities write it with padding. */
static struct span unpadded(struct span mac)
{
    while (mac.len > 0 && mac.p[mac.len - 1] == '=')
        mac.len--;
    return mac;
}

bool acme_mac_valid(struct span mac)
{
    uint8_t key[MAC_MAX];
    size_t len = 0;
    bool good = base64url_decode(unpadded(mac), key, sizeof(key), &len) && len >= MAC_MIN;

    wipe(key, sizeof(key));
    return good;
}

bool acme_bind(struct text *out, const EVP_PKEY *key, struct span url, struct span kid,
               struct span mac)
{
    struct text head = text_growing(out->arena, 1024);
    struct text jwk = text_growing(out->arena, 256);
    struct text input = text_growing(out->arena, 2048);
    struct json j = json_writer(&head);
    uint8_t secret[MAC_MAX], signature[DIGEST];
    size_t len = 0;
    unsigned signed_len = 0;

    json_begin_object(&j, NULL);
    json_text(&j, "alg", SPAN("HS256"));
    json_text(&j, "kid", kid);
    json_text(&j, "url", url);
    json_end_object(&j);
    if (head.overflow || !write_jwk(&jwk, key) ||
        !base64url_decode(unpadded(mac), secret, sizeof(secret), &len))
        return false;
    size_t at = write_input(&input, text_span(&head), text_span(&jwk));
    bool good = !input.overflow &&
                HMAC(EVP_sha256(), secret, (int)len, (const uint8_t *)input.p, input.len,
                     signature, &signed_len) != NULL &&
                signed_len == DIGEST;
    wipe(secret, sizeof(secret));
    if (good)
        write_whole(out, text_span(&input), at, bytes_of(signature, DIGEST));
    return good && !out->overflow;
}
