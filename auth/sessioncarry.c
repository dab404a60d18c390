/* A nonce, then, sealed: four times of eight bytes, and what the session is. */
#include "auth/sessioncarry.h"

#include <sodium.h>

#include "auth/base64url.h"
#include "gateway/base/siphash.h"

enum {
    NONCE_BYTES = crypto_aead_xchacha20poly1305_ietf_NPUBBYTES,
    MAC_BYTES = crypto_aead_xchacha20poly1305_ietf_ABYTES,
    TIMES = 4,
    TIMES_BYTES = TIMES * 8,
    PLAIN_MAX = TIMES_BYTES + CARRY_CONTENT_MAX,
    RAW_MAX = NONCE_BYTES + PLAIN_MAX + MAC_BYTES,
    SITE_MAX = 512,
    BOUND_MAX = 2 * TICKET_PART_BYTES + SITE_MAX,
};

_Static_assert((RAW_MAX * 4 + 2) / 3 <= CARRY_TEXT_MAX, "it fits into a cookie");

void carry_add(struct carry *carry, const struct secret *secret)
{
    static const char use[] = "sallyport carried session 1";
    INVARIANT(carry->count < CARRY_KEYS);
    crypto_generichash_state state;
    uint8_t *key = carry->keys[carry->count++];
    (void)crypto_generichash_init(&state, (const uint8_t *)use, sizeof(use), 32);
    (void)crypto_generichash_update(&state, (const uint8_t *)secret->p, secret->len);
    (void)crypto_generichash_final(&state, key, 32);
    wipe(&state, sizeof(state));
}

/* Nobody can put it beside another ticket, or carry it to another site. */
static bool bind(const struct carry_owner *owner, char bytes[BOUND_MAX], size_t *len)
{
    struct text text = text_fixed(bytes, BOUND_MAX);
    text_add(&text, span_of((const char *)owner->ticket, sizeof(*owner->ticket)));
    text_add(&text, owner->site);
    *len = text.len;
    return !text.overflow;
}

bool carry_write(const struct carry *carry, const struct carry_owner *owner,
                 const struct carried *what, struct text *out)
{
    const uint64_t times[TIMES] = { what->issued_s, what->began_s, what->until_s,
                                    what->idle_s };
    uint8_t plain[PLAIN_MAX], raw[RAW_MAX];
    char bound[BOUND_MAX];
    size_t bound_len;
    unsigned long long sealed = 0;
    if (carry->count == 0 || what->content.len > CARRY_CONTENT_MAX ||
        !bind(owner, bound, &bound_len))
        return false;
    memcpy(plain, times, sizeof(times));
    memcpy(plain + TIMES_BYTES, what->content.p, what->content.len);
    random_bytes(raw, NONCE_BYTES);
    (void)crypto_aead_xchacha20poly1305_ietf_encrypt(
        raw + NONCE_BYTES, &sealed, plain, TIMES_BYTES + what->content.len,
        (const uint8_t *)bound, bound_len, NULL, raw, carry->keys[0]);
    wipe(plain, sizeof(plain));
    wipe(bound, sizeof(bound));
    base64url_encode(out, span_of((const char *)raw, NONCE_BYTES + (size_t)sealed));
    return !out->overflow;
}

/* `plain` has PLAIN_MAX bytes. Which of the keys opens it; -1: none. */
static int open_raw(const struct carry *carry, const struct carry_owner *owner, struct span raw,
                    uint8_t *plain, size_t *len)
{
    char bound[BOUND_MAX];
    size_t bound_len;
    unsigned long long opened = 0;
    int found = -1;
    const uint8_t *bytes = (const uint8_t *)raw.p;
    if (!bind(owner, bound, &bound_len))
        return -1;
    for (unsigned i = 0; i < carry->count && found < 0; i++)
        if (crypto_aead_xchacha20poly1305_ietf_decrypt(
                plain, &opened, NULL, bytes + NONCE_BYTES, raw.len - NONCE_BYTES,
                (const uint8_t *)bound, bound_len, bytes, carry->keys[i]) == 0)
            found = (int)i;
    wipe(bound, sizeof(bound));
    *len = (size_t)opened;
    return found;
}

bool carry_read(const struct carry *carry, const struct carry_owner *owner, struct span cookie,
                uint64_t now_s, struct arena *arena, struct carried *out)
{
    uint8_t raw[RAW_MAX], plain[PLAIN_MAX];
    uint64_t times[TIMES];
    size_t len = 0, plain_len = 0;
    if (carry->count == 0 || cookie.len == 0 || cookie.len > CARRY_TEXT_MAX ||
        (cookie.len * 3) / 4 > sizeof(raw) ||
        !base64url_decode(cookie, raw, sizeof(raw), &len) ||
        len < NONCE_BYTES + TIMES_BYTES + MAC_BYTES)
        return false;
    int key = open_raw(carry, owner, span_of((const char *)raw, len), plain, &plain_len);
    if (key < 0 || plain_len < TIMES_BYTES)
        return false;
    memcpy(times, plain, sizeof(times));
    *out = (struct carried){ .issued_s = times[0],
                             .began_s = times[1],
                             .until_s = times[2],
                             .idle_s = times[3],
                             .content =
                                 arena_copy(arena, span_of((const char *)plain + TIMES_BYTES,
                                                           plain_len - TIMES_BYTES)),
                             .old_key = key > 0 };
    wipe(plain, sizeof(plain));
    return out->content.p != NULL && out->issued_s <= now_s + CARRY_AHEAD_S &&
           now_s <= out->issued_s + out->idle_s && out->began_s <= out->issued_s &&
           now_s < out->until_s;
}

/* ---- ends ---- */

static struct cell_key ended_key(const struct vault *vault, unsigned place, uint64_t what)
{
    uint64_t words[2] = { place, what };
    struct span bytes = span_of((const char *)words, sizeof(words));
    return (struct cell_key){ .place = vault_tag(vault, "ended place", bytes),
                              .fingerprint = vault_tag(vault, "ended", bytes) };
}

void ended_mark(const struct cells *ended, const struct vault *vault, unsigned place,
                uint64_t what, uint64_t now_s)
{
    if (what != 0)
        cells_store(ended, ended_key(vault, place, what), now_s, 0);
}

uint64_t ended_when(const struct cells *ended, const struct vault *vault, unsigned place,
                    uint64_t what)
{
    return what != 0 ? cells_get(ended, ended_key(vault, place, what)) : 0;
}

uint64_t ended_handle(const struct vault *vault, const struct ticket *ticket)
{
    char name[VAULT_NAME_BYTES];
    struct span digits =
        span_of(name + VAULT_NAME_BYTES - 2 * VAULT_HANDLE_BYTES, 2 * VAULT_HANDLE_BYTES);
    uint64_t handle = 0;
    vault_name(vault, ticket, name);
    for (size_t i = 0; i < digits.len; i++)
        handle = handle << 4 | (uint64_t)hex_value(digits.p[i]);
    return handle;
}
