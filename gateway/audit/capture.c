/*
 * Sealing captures, and opening them.
 */
#include "gateway/audit/capture.h"

#include <sodium.h>

#include "gateway/base/secret.h"
#include "gateway/base/siphash.h"

enum { PREFIX_BYTES = 12 /* three lengths */, FRAME_FIXED = 8 };
static const char magic[4] = { 'S', 'P', 'C', '1' };

_Static_assert(CAPTURE_SEAL_BYTES == CAPTURE_KEY_BYTES + crypto_box_SEALBYTES,
               "libsodium agrees");
_Static_assert(CAPTURE_NONCE_BYTES == crypto_aead_xchacha20poly1305_ietf_NPUBBYTES,
               "here, too");
_Static_assert(CAPTURE_TAG_BYTES == crypto_aead_xchacha20poly1305_ietf_ABYTES, "and here");
_Static_assert(CAPTURE_KEY_BYTES == crypto_box_PUBLICKEYBYTES, "and here");

static void put_le(char *to, uint64_t value, size_t bytes)
{
    for (size_t i = 0; i < bytes; i++)
        to[i] = (char)(uint8_t)(value >> (8 * i));
}

static uint32_t get_le(const char *from, size_t bytes)
{
    uint32_t value = 0;
    for (size_t i = 0; i < bytes; i++)
        value |= (uint32_t)(uint8_t)from[i] << (8 * i);
    return value;
}

/* ---- keys ---- */

bool capture_key_read(struct span text, uint8_t key[CAPTURE_KEY_BYTES])
{
    size_t len = 0;
    return text.len == CAPTURE_KEY_TEXT &&
           sodium_base642bin(key, CAPTURE_KEY_BYTES, text.p, text.len, NULL, &len, NULL,
                             sodium_base64_VARIANT_ORIGINAL_NO_PADDING) == 0 &&
           len == CAPTURE_KEY_BYTES;
}

void capture_key_write(struct text *out, const uint8_t key[CAPTURE_KEY_BYTES])
{
    char shown[CAPTURE_KEY_TEXT + 1];
    (void)sodium_bin2base64(shown, sizeof(shown), key, CAPTURE_KEY_BYTES,
                            sodium_base64_VARIANT_ORIGINAL_NO_PADDING);
    text_add(out, span_of(shown, CAPTURE_KEY_TEXT));
    wipe(shown, sizeof(shown));
}

bool capture_key_pair(uint8_t public[CAPTURE_KEY_BYTES], uint8_t secret[CAPTURE_KEY_BYTES])
{
    return sodium_init() >= 0 && crypto_box_keypair(public, secret) == 0;
}

/* ---- sealing ---- */

void capture_sealer_open(struct capture_sealer *sealer, const uint8_t public[CAPTURE_KEY_BYTES])
{
    *sealer = (struct capture_sealer){ .left = 0 };
    memcpy(sealer->public, public, CAPTURE_KEY_BYTES);
}

static bool next_epoch(struct capture_sealer *sealer)
{
    random_bytes(sealer->key, sizeof(sealer->key));
    if (sodium_init() < 0 ||
        crypto_box_seal(sealer->seal, sealer->key, sizeof(sealer->key), sealer->public) != 0)
        return false;
    sealer->left = CAPTURE_EPOCH;
    return true;
}

/* Copies bytes [from, from + len) of prefix, facts, head and body as one run. */
static void gather(const struct capture_parts *parts, const char prefix[PREFIX_BYTES],
                   size_t from, size_t len, char *to)
{
    const struct span runs[] = { span_of(prefix, PREFIX_BYTES), parts->facts, parts->head,
                                 parts->body };
    for (size_t i = 0; i < ARRAY_LEN(runs) && len > 0; i++) {
        if (from >= runs[i].len) {
            from -= runs[i].len;
            continue;
        }
        struct span run = span_sub(runs[i], from, len);
        memcpy(to, run.p, run.len);
        to += run.len;
        len -= run.len;
        from = 0;
    }
}

static size_t frame_head(char *frame, const uint8_t id[CAPTURE_ID_BYTES], unsigned part,
                         unsigned count)
{
    memcpy(frame, magic, sizeof(magic));
    memcpy(frame + FRAME_FIXED, id, CAPTURE_ID_BYTES);
    put_le(frame + FRAME_FIXED + CAPTURE_ID_BYTES, part, 2);
    put_le(frame + FRAME_FIXED + CAPTURE_ID_BYTES + 2, count, 2);
    return FRAME_FIXED + CAPTURE_ID_BYTES + 4;
}

static bool seal_part(struct capture_sealer *sealer, char *frame, size_t at, size_t len,
                      size_t *size)
{
    if (sealer->left == 0 && !next_epoch(sealer))
        return false;
    sealer->left--;
    memcpy(frame + at, sealer->seal, CAPTURE_SEAL_BYTES);
    *size = len + CAPTURE_OVERHEAD;
    put_le(frame + sizeof(magic), *size - FRAME_FIXED, 4);
    unsigned char *nonce = (unsigned char *)frame + CAPTURE_FRAME_HEAD;
    unsigned char *box = nonce + CAPTURE_NONCE_BYTES;
    random_bytes(nonce, CAPTURE_NONCE_BYTES);
    int failed = crypto_aead_xchacha20poly1305_ietf_encrypt(
        box, NULL, box, len, (const unsigned char *)frame, CAPTURE_FRAME_HEAD, NULL, nonce,
        sealer->key);
    if (sealer->left == 0)
        wipe(sealer->key, sizeof(sealer->key));
    return failed == 0;
}

bool capture_commit(struct capture_sealer *sealer, struct ring_writer *writer,
                    const struct capture_parts *parts, char *buffer)
{
    size_t all = PREFIX_BYTES + parts->facts.len + parts->head.len + parts->body.len;
    unsigned count = (unsigned)((all + CAPTURE_PART_BYTES - 1) / CAPTURE_PART_BYTES);
    char prefix[PREFIX_BYTES];
    uint8_t id[CAPTURE_ID_BYTES];
    if (parts->facts.len > CAPTURE_BYTES_MAX || parts->head.len > CAPTURE_BYTES_MAX ||
        parts->body.len > CAPTURE_BYTES_MAX || count > CAPTURE_PARTS_MAX ||
        !ring_has_room_aside(writer, all + (size_t)count * (CAPTURE_OVERHEAD + 16)))
        return false;
    put_le(prefix, parts->facts.len, 4);
    put_le(prefix + 4, parts->head.len, 4);
    put_le(prefix + 8, parts->body.len, 4);
    random_bytes(id, sizeof(id));
    for (unsigned part = 0; part < count; part++) {
        size_t from = (size_t)part * CAPTURE_PART_BYTES, size;
        size_t len = all - from < CAPTURE_PART_BYTES ? all - from : CAPTURE_PART_BYTES;
        size_t at = frame_head(buffer, id, part, count);
        gather(parts, prefix, from, len, buffer + CAPTURE_FRAME_HEAD + CAPTURE_NONCE_BYTES);
        if (!seal_part(sealer, buffer, at, len, &size) ||
            !ring_commit_aside(writer, span_of(buffer, size)))
            return false;
    }
    return true;
}

/* ---- reading ---- */

uint64_t capture_frame_size(struct span head)
{
    if (head.len < CAPTURE_OVERHEAD || memcmp(head.p, magic, sizeof(magic)) != 0)
        return 0;
    uint64_t size = (uint64_t)get_le(head.p + sizeof(magic), 4) + FRAME_FIXED;
    return size >= CAPTURE_OVERHEAD && size <= CAPTURE_PART_BYTES + CAPTURE_OVERHEAD ? size : 0;
}

bool capture_frame_read(struct span bytes, struct capture_frame *frame)
{
    uint64_t size = capture_frame_size(bytes);
    if (size == 0 || size > bytes.len)
        return false;
    const char *at = bytes.p + FRAME_FIXED;
    memcpy(frame->id, at, CAPTURE_ID_BYTES);
    frame->part = get_le(at + CAPTURE_ID_BYTES, 2);
    frame->parts = get_le(at + CAPTURE_ID_BYTES + 2, 2);
    frame->bytes = span_sub(bytes, 0, size);
    frame->box_len = frame->bytes.len - CAPTURE_OVERHEAD;
    return frame->parts > 0 && frame->parts <= CAPTURE_PARTS_MAX && frame->part < frame->parts;
}

bool capture_opener_open(struct capture_opener *opener, const uint8_t secret[CAPTURE_KEY_BYTES])
{
    *opener = (struct capture_opener){ .known = false };
    memcpy(opener->secret, secret, CAPTURE_KEY_BYTES);
    return sodium_init() >= 0 && crypto_scalarmult_base(opener->public, secret) == 0;
}

void capture_opener_close(struct capture_opener *opener)
{
    wipe(opener, sizeof(*opener));
}

bool capture_frame_open(struct capture_opener *opener, const struct capture_frame *frame,
                        char *out)
{
    const unsigned char *bytes = (const unsigned char *)frame->bytes.p;
    const unsigned char *seal = bytes + CAPTURE_FRAME_HEAD - CAPTURE_SEAL_BYTES;
    const unsigned char *nonce = bytes + CAPTURE_FRAME_HEAD, *box = nonce + CAPTURE_NONCE_BYTES;
    if (!opener->known || memcmp(opener->seal, seal, CAPTURE_SEAL_BYTES) != 0) {
        opener->known = crypto_box_seal_open(opener->key, seal, CAPTURE_SEAL_BYTES,
                                             opener->public, opener->secret) == 0;
        memcpy(opener->seal, seal, CAPTURE_SEAL_BYTES);
    }
    return opener->known &&
           crypto_aead_xchacha20poly1305_ietf_decrypt(
               (unsigned char *)out, NULL, NULL, box, frame->box_len + CAPTURE_TAG_BYTES, bytes,
               CAPTURE_FRAME_HEAD, nonce, opener->key) == 0;
}

bool capture_parts_read(struct span clear, struct capture_parts *parts)
{
    if (clear.len < PREFIX_BYTES)
        return false;
    uint64_t facts = get_le(clear.p, 4), head = get_le(clear.p + 4, 4),
             body = get_le(clear.p + 8, 4);
    if (facts + head + body != clear.len - PREFIX_BYTES)
        return false;
    parts->facts = span_sub(clear, PREFIX_BYTES, facts);
    parts->head = span_sub(clear, PREFIX_BYTES + facts, head);
    parts->body = span_sub(clear, PREFIX_BYTES + facts + head, body);
    return true;
}
