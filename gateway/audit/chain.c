/*
 * Sealing and checking one line.
 */
#include "gateway/audit/chain.h"

#include <sodium.h>

enum { SHOWN_TEXT = 22 /* 16 bytes in base64 without padding */ };

static const char ratchet_label[] = "sallyport ratchet";

enum err chain_init(void)
{
    return sodium_init() >= 0 ? OK : ERR_SYSTEM;
}

/* Lines end with the bracket of `sallyport` and that of the whole. */
static bool cut_brackets(struct span *line)
{
    if (!span_ends(*line, SPAN("}}")) || line->len < 4)
        return false;
    *line = span_sub(*line, 0, line->len - 2);
    return true;
}

void chain_leaf(struct span body, uint8_t leaf[CHAIN_BYTES])
{
    crypto_generichash_state state;
    (void)crypto_generichash_init(&state, NULL, 0, CHAIN_BYTES);
    (void)crypto_generichash_update(&state, (const unsigned char *)body.p, body.len);
    (void)crypto_generichash_update(&state, (const unsigned char *)"}}", 2);
    (void)crypto_generichash_final(&state, leaf, CHAIN_BYTES);
}

void chain_advance(uint8_t head[CHAIN_BYTES], uint64_t seq, const uint8_t leaf[CHAIN_BYTES])
{
    uint8_t block[2 * CHAIN_BYTES + 8];
    memcpy(block, head, CHAIN_BYTES);
    for (int i = 0; i < 8; i++)
        block[CHAIN_BYTES + i] = (uint8_t)(seq >> (8 * i));
    memcpy(block + CHAIN_BYTES + 8, leaf, CHAIN_BYTES);
    (void)crypto_generichash(head, CHAIN_BYTES, block, sizeof(block), NULL, 0);
}

static void mac_of(const struct chain *chain, uint8_t mac[CHAIN_BYTES])
{
    (void)crypto_generichash(mac, CHAIN_BYTES, chain->head, CHAIN_BYTES, chain->key,
                             CHAIN_BYTES);
}

static void ratchet(struct chain *chain)
{
    uint8_t next[CHAIN_BYTES];
    (void)crypto_generichash(next, CHAIN_BYTES, (const unsigned char *)ratchet_label,
                             sizeof(ratchet_label) - 1, chain->key, CHAIN_BYTES);
    memcpy(chain->key, next, CHAIN_BYTES);
    sodium_memzero(next, sizeof(next));
}

static void put_shown(struct text *out, const uint8_t bytes[CHAIN_BYTES])
{
    char shown[SHOWN_TEXT + 1];
    (void)sodium_bin2base64(shown, sizeof(shown), bytes, CHAIN_SHOWN,
                            sodium_base64_VARIANT_ORIGINAL_NO_PADDING);
    text_add(out, span_of(shown, SHOWN_TEXT));
}

bool chain_seal(struct chain *chain, struct span line, struct text *out)
{
    uint8_t leaf[CHAIN_BYTES], mac[CHAIN_BYTES];
    if (!cut_brackets(&line) || !text_reserve(out, line.len + CHAIN_SUFFIX_MAX))
        return false;

    chain_leaf(line, leaf);
    chain->seq++;
    chain_advance(chain->head, chain->seq, leaf);
    mac_of(chain, mac);
    ratchet(chain);

    text_add(out, line);
    text_lit(out, ",\"seq\":");
    text_uint(out, chain->seq);
    text_lit(out, ",\"hash\":\"");
    put_shown(out, chain->head);
    text_lit(out, "\",\"mac\":\"");
    put_shown(out, mac);
    text_lit(out, "\"}}");
    return true;
}

/* ---- reading ---- */

/* Takes `tail` off the end of `*line`. */
static bool cut_tail(struct span *line, struct span tail)
{
    if (!span_ends(*line, tail))
        return false;
    line->len -= tail.len;
    return true;
}

static bool cut_shown(struct span *line, uint8_t bytes[CHAIN_SHOWN])
{
    size_t len = 0;
    if (line->len < SHOWN_TEXT)
        return false;
    line->len -= SHOWN_TEXT;
    return sodium_base642bin(bytes, CHAIN_SHOWN, line->p + line->len, SHOWN_TEXT, NULL, &len,
                             NULL, sodium_base64_VARIANT_ORIGINAL_NO_PADDING) == 0 &&
           len == CHAIN_SHOWN;
}

static bool cut_number(struct span *line, uint64_t *value)
{
    size_t digits = 0;
    while (digits < line->len && line->p[line->len - 1 - digits] >= '0' &&
           line->p[line->len - 1 - digits] <= '9')
        digits++;
    struct span number = span_sub(*line, line->len - digits, digits);
    line->len -= digits;
    return digits > 0 && number.p[0] != '0' && span_uint(number, value);
}

bool sealed_parse(struct span line, struct sealed *sealed)
{
    if (!cut_tail(&line, SPAN("\"}}")) || !cut_shown(&line, sealed->mac) ||
        !cut_tail(&line, SPAN("\",\"mac\":\"")) || !cut_shown(&line, sealed->hash) ||
        !cut_tail(&line, SPAN(",\"hash\":\"")) || !cut_number(&line, &sealed->seq) ||
        !cut_tail(&line, SPAN(",\"seq\":")))
        return false;
    sealed->body = line;
    return true;
}

bool chain_accept(struct chain *chain, const struct sealed *sealed, uint8_t leaf[CHAIN_BYTES])
{
    struct chain next = *chain;
    uint8_t mac[CHAIN_BYTES];

    chain_leaf(sealed->body, leaf);
    next.seq++;
    chain_advance(next.head, next.seq, leaf);
    mac_of(&next, mac);
    bool good = sealed->seq == next.seq &&
                sodium_memcmp(next.head, sealed->hash, CHAIN_SHOWN) == 0 &&
                sodium_memcmp(mac, sealed->mac, CHAIN_SHOWN) == 0;
    if (good) {
        ratchet(&next);
        *chain = next;
    }
    sodium_memzero(&next, sizeof(next));
    return good;
}
