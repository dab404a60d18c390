/*
 * What a visitor carries: the challenge, which says what is to be proved, and the clearance,
 * which says that it was. Both are texts of ours with a MAC. No state is kept for either, so
 * any number of tabs may be challenged at once, and any worker takes any answer.
 *
 * The MAC covers what is not in the text, too: the host, the network that the visitor comes
 * from, and the ciphers that his TLS offers. So a text that was moved elsewhere is as wrong as
 * a forged one, and nobody can tell the two apart. Difficulty and times stand in the text, and
 * so does the address to return to: nothing of it is the client's to choose (CVE-2025-24369).
 *
 * Keys follow from a root key and the day, so that all workers agree and none lives long.
 */
#ifndef SALLYPORT_BOT_TOKEN_H
#define SALLYPORT_BOT_TOKEN_H

#include "gateway/base/addr.h"

enum {
    BOT_KEY_BYTES = 32,
    BOT_KEY_S = 86400, /* how long one key makes texts */
    CHALLENGE_ID_BYTES = 12,
    CHALLENGE_TARGET_MAX = 1024,
    CHALLENGE_TEXT_MAX = 1536,
    CHALLENGE_S = 10 * 60, /* to come back with an answer */
    CHALLENGE_BITS_MAX = 24,
    PROOF_MAX = 20, /* digits of an answer */
    CLEARANCE_TEXT_BYTES = 39,
    CLEARANCE_S_MAX = BOT_KEY_S, /* the key before this one is the last that counts */
    CLOCK_SLACK_S = 60,          /* between workers' and nodes' clocks */
    BOT_CIPHERS_BYTES = 12,
};

struct bot_keys {
    uint8_t root[BOT_KEY_BYTES];
    struct bot_key {
        uint64_t day; /* 0: none yet */
        uint8_t key[BOT_KEY_BYTES];
    } kept[2]; /* derived, by the day's last bit */
};

/* Made from a secret of any length. */
void bot_keys_init(struct bot_keys *keys, struct span secret);

/* Whose text it is. */
struct bot_holder {
    struct span host; /* as the request names it: small letters */
    struct span scheme;
    struct cidr net;
    struct span ciphers; /* the middle part of JA4, or empty */
};
/* /24 or /48: who moves within his provider's network keeps his clearance. */
struct cidr bot_net(const struct addr *client);

enum token_verdict {
    TOKEN_GOOD,
    TOKEN_MALFORMED,
    TOKEN_FORGED, /* or of another host, network, client, or boot */
    TOKEN_EXPIRED,
};

struct challenge {
    uint32_t issued_s;
    uint32_t clear_s; /* how long the clearance will be */
    uint8_t bits;     /* of zero that the proof's hash begins with */
    uint8_t wait_s;   /* after which it passes without a proof; 0: never */
    uint8_t id[CHALLENGE_ID_BYTES];
    struct span target; /* where to return to; when read, in the arena */
};

/* False when the target is too long or memory ran out. */
MUST_USE bool challenge_write(struct text *out, struct bot_keys *keys,
                              const struct bot_holder *holder,
                              const struct challenge *challenge);
/* After TOKEN_EXPIRED, too, `challenge` is what was issued. */
MUST_USE enum token_verdict challenge_read(struct bot_keys *keys,
                                           const struct bot_holder *holder, struct span text,
                                           uint64_t now_s, struct arena *arena,
                                           struct challenge *challenge);
/* The part of the text that the proof is about. */
struct span challenge_seed(struct span text);
/* Whether SHA-256 of seed, ":" and proof begins with that many bits of zero: one hash. */
MUST_USE bool challenge_proved(struct span seed, unsigned bits, struct span proof);

struct clearance {
    uint32_t issued_s, clear_s;
    uint8_t bits;
    bool proved; /* false: by waiting */
};

void clearance_write(char text[CLEARANCE_TEXT_BYTES], struct bot_keys *keys,
                     const struct bot_holder *holder, const struct clearance *clearance);
MUST_USE enum token_verdict clearance_read(struct bot_keys *keys,
                                           const struct bot_holder *holder, struct span text,
                                           uint64_t now_s, struct clearance *clearance);

#endif
