/*
 * Challenges and clearances as a client could send them. What was not made with the key is
 * never good; what was is read back as it was; and a proof is digits, few of them, or none. The
 * first byte says what the rest is: a token, a clearance, a proof, or what a token is to be
 * made of.
 */
#include <sodium.h>

#include "auth/bots/token.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { NOW = 1800000000 };

static void make_and_read(struct bot_keys *keys, const struct bot_holder *holder,
                          struct span rest, struct arena *arena)
{
    struct challenge challenge = { .issued_s = NOW, .bits = 16, .target = rest }, read;
    struct text out = text_growing(arena, 0);
    bool written = challenge_write(&out, keys, holder, &challenge);
    INVARIANT(written == (rest.len <= CHALLENGE_TARGET_MAX));
    if (!written)
        return;
    INVARIANT(challenge_read(keys, holder, text_span(&out), NOW, arena, &read) == TOKEN_GOOD);
    INVARIANT(rest.len == 0 || span_equal(read.target, rest));
    INVARIANT(read.bits == 16 && read.issued_s == NOW);
    struct bot_holder other = *holder;
    other.host = rest;
    if (!span_equal(rest, holder->host))
        INVARIANT(challenge_read(keys, &other, text_span(&out), NOW, arena, &read) ==
                  TOKEN_FORGED);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct bot_keys keys;
    struct bot_holder holder = { .host = SPAN("a"), .scheme = SPAN("https") };
    struct arena arena;
    struct challenge challenge;
    struct clearance clearance;
    if (size == 0 || sodium_init() < 0)
        return 0;
    struct span rest = span_of((const char *)data + 1, size - 1);
    arena_init(&arena, NULL, 0, NULL, 1 << 20);
    bot_keys_init(&keys, SPAN("a key that no input knows"));
    switch (data[0] & 3) {
    case 0:
        INVARIANT(challenge_read(&keys, &holder, rest, NOW, &arena, &challenge) <=
                  TOKEN_FORGED);
        INVARIANT(challenge_read(&keys, &holder, rest, NOW, &arena, &challenge) != TOKEN_GOOD);
        INVARIANT(challenge_seed(rest).len <= rest.len);
        break;
    case 1: {
        enum token_verdict said = clearance_read(&keys, &holder, rest, NOW, &clearance);
        INVARIANT(said == TOKEN_MALFORMED || said == TOKEN_FORGED);
        break;
    }
    case 2:
        if (challenge_proved(SPAN("0123456789012345678901"), 0, rest))
            for (size_t i = 0; i < rest.len; i++)
                INVARIANT(rest.len <= PROOF_MAX && rest.p[i] >= '0' && rest.p[i] <= '9');
        break;
    default:
        make_and_read(&keys, &holder, rest, &arena);
    }
    arena_reset(&arena);
    return 0;
}
