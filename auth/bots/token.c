/* Bytes, base64url, and BLAKE2b under a key of the day. */
#include "auth/bots/token.h"

#include <sodium.h>

#include "auth/base64url.h"
#include "gateway/base/secret.h"

enum {
    VERSION = 1,
    MAC_BYTES = 16,
    MAC_TEXT_BYTES = 22,
    HEAD_BYTES = 4 + 4 + 4 + CHALLENGE_ID_BYTES,
    CLEARANCE_BYTES = 4 + 4 + 4,
    CLEARANCE_BODY_TEXT = CLEARANCE_BYTES / 3 * 4,
    FLAG_PROVED = 1,
};
static const struct span challenge_use = SPAN_INIT("challenge");
static const struct span clearance_use = SPAN_INIT("clearance");

_Static_assert((int)CLEARANCE_TEXT_BYTES == CLEARANCE_BODY_TEXT + 1 + MAC_TEXT_BYTES, "whole");
_Static_assert((HEAD_BYTES + CHALLENGE_TARGET_MAX) / 3 * 4 + 4 + 1 + MAC_TEXT_BYTES <=
                   CHALLENGE_TEXT_MAX,
               "whole");

/* ---- keys ---- */

void bot_keys_init(struct bot_keys *keys, struct span secret)
{
    static const char use[] = "sallyport bots";
    *keys = (struct bot_keys){ .root = { 0 } };
    crypto_generichash_state state;
    (void)crypto_generichash_init(&state, NULL, 0, BOT_KEY_BYTES);
    (void)crypto_generichash_update(&state, (const uint8_t *)use, sizeof(use));
    (void)crypto_generichash_update(&state, (const uint8_t *)secret.p, secret.len);
    (void)crypto_generichash_final(&state, keys->root, sizeof(keys->root));
}

static const uint8_t *key_of(struct bot_keys *keys, uint64_t issued_s)
{
    uint64_t day = issued_s / BOT_KEY_S + 1;
    struct bot_key *kept = &keys->kept[day & 1];
    if (kept->day != day) {
        (void)crypto_generichash(kept->key, sizeof(kept->key), (const uint8_t *)&day,
                                 sizeof(day), keys->root, sizeof(keys->root));
        kept->day = day;
    }
    return kept->key;
}

/* ---- MAC ---- */

static void feed(crypto_generichash_state *state, struct span part)
{
    uint64_t len = part.len;
    (void)crypto_generichash_update(state, (const uint8_t *)&len, sizeof(len));
    if (part.len > 0)
        (void)crypto_generichash_update(state, (const uint8_t *)part.p, part.len);
}

/* Each part with its length before it, so that no two lists of parts are the same bytes. */
static void make_mac(uint8_t mac[MAC_BYTES], const uint8_t *key, struct span use,
                     struct span body, const struct bot_holder *holder)
{
    crypto_generichash_state state;
    const uint8_t net[2] = { holder->net.addr.family, holder->net.bits };
    (void)crypto_generichash_init(&state, key, BOT_KEY_BYTES, MAC_BYTES);
    feed(&state, use);
    feed(&state, body);
    feed(&state, holder->scheme);
    feed(&state, holder->host);
    feed(&state, holder->ciphers);
    feed(&state, span_of((const char *)net, sizeof(net)));
    feed(&state, span_of((const char *)holder->net.addr.bytes, sizeof(holder->net.addr.bytes)));
    (void)crypto_generichash_final(&state, mac, MAC_BYTES);
}

struct cidr bot_net(const struct addr *client)
{
    struct cidr net = { .addr = *client };
    net.addr.port = 0;
    net.bits = client->family == ADDR_V4 ? 24 : client->family == ADDR_V6 ? 48 : 0;
    if (net.bits > 0)
        addr_mask(&net.addr, net.bits);
    return net;
}

/* ---- numbers, most significant byte first ---- */

static void put32(uint8_t *to, uint32_t number)
{
    for (unsigned i = 0; i < 4; i++)
        to[i] = (uint8_t)(number >> (24 - 8 * i));
}

static uint32_t get32(const uint8_t *from)
{
    return (uint32_t)from[0] << 24 | (uint32_t)from[1] << 16 | (uint32_t)from[2] << 8 | from[3];
}

static bool is_over(uint32_t issued_s, uint64_t lasts_s, uint64_t now_s)
{
    return now_s + CLOCK_SLACK_S < issued_s || now_s >= issued_s + lasts_s;
}

/* ---- both: body, dot, MAC ---- */

static void write_text(struct text *out, const uint8_t *key, struct span use, struct span body,
                       const struct bot_holder *holder)
{
    uint8_t mac[MAC_BYTES];
    make_mac(mac, key, use, body, holder);
    base64url_encode(out, body);
    text_char(out, '.');
    base64url_encode(out, span_of((const char *)mac, sizeof(mac)));
}

/* The bytes in front of the MAC, and the MAC, which nobody has looked at yet. */
static bool split(struct span text, uint8_t *body, size_t max, size_t *len,
                  uint8_t mac[MAC_BYTES])
{
    struct span rest = text, first;
    size_t mac_len;
    return span_cut(&rest, '.', &first) && rest.p != NULL && rest.len == MAC_TEXT_BYTES &&
           base64url_decode(first, body, max, len) &&
           base64url_decode(rest, mac, MAC_BYTES, &mac_len) && mac_len == MAC_BYTES;
}

/* ---- challenges ---- */

bool challenge_write(struct text *out, struct bot_keys *keys, const struct bot_holder *holder,
                     const struct challenge *challenge)
{
    uint8_t body[HEAD_BYTES + CHALLENGE_TARGET_MAX] = { VERSION, challenge->bits,
                                                        challenge->wait_s, 0 };
    if (challenge->target.len > CHALLENGE_TARGET_MAX)
        return false;
    put32(body + 4, challenge->issued_s);
    put32(body + 8, challenge->clear_s);
    memcpy(body + 12, challenge->id, CHALLENGE_ID_BYTES);
    if (challenge->target.len > 0)
        memcpy(body + HEAD_BYTES, challenge->target.p, challenge->target.len);
    write_text(out, key_of(keys, challenge->issued_s), challenge_use,
               span_of((const char *)body, HEAD_BYTES + challenge->target.len), holder);
    return !out->overflow;
}

enum token_verdict challenge_read(struct bot_keys *keys, const struct bot_holder *holder,
                                  struct span text, uint64_t now_s, struct arena *arena,
                                  struct challenge *challenge)
{
    uint8_t body[HEAD_BYTES + CHALLENGE_TARGET_MAX], mac[MAC_BYTES], right[MAC_BYTES];
    size_t len = 0;
    if (text.len > CHALLENGE_TEXT_MAX || !split(text, body, sizeof(body), &len, mac) ||
        len < HEAD_BYTES || body[0] != VERSION || body[3] != 0 || body[1] > CHALLENGE_BITS_MAX)
        return TOKEN_MALFORMED;
    *challenge = (struct challenge){ .bits = body[1],
                                     .wait_s = body[2],
                                     .issued_s = get32(body + 4),
                                     .clear_s = get32(body + 8) };
    make_mac(right, key_of(keys, challenge->issued_s), challenge_use,
             span_of((const char *)body, len), holder);
    if (!bytes_equal_constant_time(mac, right, sizeof(mac)))
        return TOKEN_FORGED;
    memcpy(challenge->id, body + 12, CHALLENGE_ID_BYTES);
    challenge->target =
        arena_copy(arena, span_of((const char *)body + HEAD_BYTES, len - HEAD_BYTES));
    if (challenge->target.p == NULL)
        challenge->target = SPAN("/");
    return is_over(challenge->issued_s, CHALLENGE_S, now_s) ? TOKEN_EXPIRED : TOKEN_GOOD;
}

struct span challenge_seed(struct span text)
{
    return text.len > MAC_TEXT_BYTES ? span_sub(text, text.len - MAC_TEXT_BYTES, MAC_TEXT_BYTES)
                                     : SPAN("");
}

static bool is_digits(struct span text)
{
    for (size_t i = 0; i < text.len; i++)
        if (text.p[i] < '0' || text.p[i] > '9')
            return false;
    return text.len > 0;
}

bool challenge_proved(struct span seed, unsigned bits, struct span proof)
{
    char buffer[MAC_TEXT_BYTES + 1 + PROOF_MAX];
    uint8_t hash[crypto_hash_sha256_BYTES];
    struct text message = text_fixed(buffer, sizeof(buffer));
    if (seed.len != MAC_TEXT_BYTES || proof.len > PROOF_MAX || !is_digits(proof) ||
        bits > CHALLENGE_BITS_MAX)
        return false;
    text_add(&message, seed);
    text_char(&message, ':');
    text_add(&message, proof);
    (void)crypto_hash_sha256(hash, (const uint8_t *)message.p, message.len);
    uint32_t first = get32(hash);
    return bits == 0 || first >> (32 - bits) == 0;
}

/* ---- clearances ---- */

void clearance_write(char text[CLEARANCE_TEXT_BYTES], struct bot_keys *keys,
                     const struct bot_holder *holder, const struct clearance *clearance)
{
    uint8_t body[CLEARANCE_BYTES] = { VERSION, clearance->bits,
                                      clearance->proved ? FLAG_PROVED : 0, 0 };
    struct text out = text_fixed(text, CLEARANCE_TEXT_BYTES);
    put32(body + 4, clearance->issued_s);
    put32(body + 8, clearance->clear_s);
    write_text(&out, key_of(keys, clearance->issued_s), clearance_use,
               span_of((const char *)body, sizeof(body)), holder);
    INVARIANT(!out.overflow && out.len == CLEARANCE_TEXT_BYTES);
}

enum token_verdict clearance_read(struct bot_keys *keys, const struct bot_holder *holder,
                                  struct span text, uint64_t now_s, struct clearance *clearance)
{
    uint8_t body[CLEARANCE_BYTES], mac[MAC_BYTES], right[MAC_BYTES];
    size_t len = 0;
    if (text.len != CLEARANCE_TEXT_BYTES || !split(text, body, sizeof(body), &len, mac) ||
        len != sizeof(body) || body[0] != VERSION || body[2] > FLAG_PROVED || body[3] != 0)
        return TOKEN_MALFORMED;
    *clearance = (struct clearance){ .bits = body[1],
                                     .proved = body[2] == FLAG_PROVED,
                                     .issued_s = get32(body + 4),
                                     .clear_s = get32(body + 8) };
    make_mac(right, key_of(keys, clearance->issued_s), clearance_use,
             span_of((const char *)body, sizeof(body)), holder);
    if (!bytes_equal_constant_time(mac, right, sizeof(mac)))
        return TOKEN_FORGED;
    return clearance->clear_s > CLEARANCE_S_MAX ||
                   is_over(clearance->issued_s, clearance->clear_s, now_s)
               ? TOKEN_EXPIRED
               : TOKEN_GOOD;
}
