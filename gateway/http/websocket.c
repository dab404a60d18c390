/* Keys and their answers (RFC 6455 sections 4.1 and 4.2.2). */
#include "gateway/http/websocket.h"

#include <openssl/evp.h>
#include <openssl/sha.h>

enum { KEY_BYTES = 24, KEY_DIGITS = 22 };

static bool is_base64(char c)
{
    return (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') ||
           c == '+' || c == '/';
}

bool websocket_key_valid(struct span key)
{
    if (key.len != KEY_BYTES || !span_ends(key, SPAN("==")))
        return false;
    for (size_t i = 0; i < KEY_DIGITS; i++)
        if (!is_base64(key.p[i]))
            return false;
    /* The last digit carries two bits; the others are zero in the one spelling. */
    return memchr("AQgw", key.p[KEY_DIGITS - 1], 4) != NULL;
}

void websocket_accept(struct span key, char out[WEBSOCKET_ACCEPT_BYTES])
{
    static const char guid[] = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";
    unsigned char joined[KEY_BYTES + sizeof guid - 1];
    unsigned char digest[SHA_DIGEST_LENGTH];
    unsigned char encoded[WEBSOCKET_ACCEPT_BYTES + 1];

    INVARIANT(key.len == KEY_BYTES);
    memcpy(joined, key.p, KEY_BYTES);
    memcpy(joined + KEY_BYTES, guid, sizeof guid - 1);
    SHA1(joined, sizeof joined, digest);
    int len = EVP_EncodeBlock(encoded, digest, (int)sizeof digest);
    INVARIANT(len == WEBSOCKET_ACCEPT_BYTES);
    memcpy(out, encoded, WEBSOCKET_ACCEPT_BYTES);
}
