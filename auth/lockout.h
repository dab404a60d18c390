/*
 * How often somebody may guess. Three things are counted, in memory that all workers share: the
 * account at one address, the address (an IPv6 /64) over all accounts, and the account over all
 * addresses; and second factors by account alone. Each lets some failures pass and then asks
 * for a pause that doubles. An attempt is counted before its password is looked at, and taken
 * back when it was right: so a thousand at once are a thousand.
 *
 * An account is never shut: what others have guessed wrong makes it wait a minute at most. A
 * browser that has signed in to it before has one count of its own, and does not wait for
 * anybody else: neither for guesses from afar nor for a neighbour behind the same address. Who
 * fails with many different accounts is shut out of signing in for a while.
 *
 * A tool that tries stolen passwords from thousands of addresses has one TLS fingerprint (JA4).
 * One that fails with many accounts and hardly ever succeeds may try one a second, all its
 * addresses together: but no more than slowed, for a browser may have it, too.
 *
 * Names are counted whether they exist or not, and nothing here says which.
 */
#ifndef SALLYPORT_LOCKOUT_H
#define SALLYPORT_LOCKOUT_H

#include "gateway/base/addr.h"
#include "gateway/base/siphash.h"
#include "gateway/store/cells.h"

enum {
    LOCKOUT_LAYOUT = 2,
    LOCKOUT_CELLS = 65536,
    LOCKOUT_MARKS = 65536,
    LOCKOUT_FORGET_S = 3600, /* without an attempt */
    LOCKOUT_PAIR_FREE = 5,
    LOCKOUT_ADDRESS_FREE = 20,
    LOCKOUT_ACCOUNT_FREE = 20,
    LOCKOUT_SECOND_FREE = 5,
    LOCKOUT_SECOND_ALL = 20,  /* of all nodes together, in LOCKOUT_FORGET_S */
    LOCKOUT_ACCOUNT_ALL = 40, /* the same of passwords, in LOCKOUT_ACCOUNT_PAUSE_MAX_S, by
                                 browsers that are not known */
    LOCKOUT_PAUSE_MAX_S = 900,
    LOCKOUT_ACCOUNT_PAUSE_MAX_S = 60,
    LOCKOUT_SPREAD_BITS = 24,
    LOCKOUT_SPREAD_MAX = 12, /* of the bits: about 16 accounts ... */
    LOCKOUT_SPREAD_S = 600,  /* ... within so long */
    LOCKOUT_SHUT_S = 900,
    LOCKOUT_TOOL_WRONG = 50, /* failures of a fingerprint, within LOCKOUT_SPREAD_S ... */
    LOCKOUT_TOOL_RATIO = 10, /* ... and so many times as many as sign-ins */
    LOCKOUT_HOME_S = 30 * 86400,
};

struct lockout {
    struct cells counts, marks;
    struct siphash_key place, fingerprint;
};

size_t lockout_bytes(void);
void lockout_over(struct lockout *lockout, void *memory, const uint8_t boot_key[32]);

struct attempt {
    struct span user; /* in its one spelling; who typed none has one of his own */
    const struct addr *client;
    bool known; /* this browser has signed in to it before */
    uint64_t now_s;
    struct span ja4; /* may be empty */
};

/* 0: counted, and may go on; else seconds to wait, and nothing was counted. */
MUST_USE uint64_t lockout_begin(const struct lockout *lockout, const struct attempt *attempt);
/* Afterwards one of these: it was wrong; it was right; it was not decided at all. */
void lockout_wrong(const struct lockout *lockout, const struct attempt *attempt);
void lockout_right(const struct lockout *lockout, const struct attempt *attempt);
void lockout_undone(const struct lockout *lockout, const struct attempt *attempt);

/*
 * For who cannot count beforehand, for a good password comes many times at once, and whose
 * attempts at a time are few anyway. Seconds to wait; then it was wrong, or right: from then on
 * this account has a count of its own at this address (`known` of later attempts).
 */
uint64_t lockout_look(const struct lockout *lockout, const struct attempt *attempt);
void lockout_failed(const struct lockout *lockout, const struct attempt *attempt);
void lockout_proved(const struct lockout *lockout, const struct attempt *attempt);
bool lockout_was_here(const struct lockout *lockout, const struct attempt *attempt);

/* The same for second factors; only a right one takes back what was counted. */
MUST_USE uint64_t lockout_second_begin(const struct lockout *lockout, struct span user,
                                       uint64_t now_s);
void lockout_second_right(const struct lockout *lockout, struct span user);

/*
 * Things that are good once. The step of a code by time: true when it is behind every step of
 * this account that was accepted before, and then it is accepted. A recovery code: true once.
 */
MUST_USE bool lockout_take_step(const struct lockout *lockout, struct span user, uint64_t epoch,
                                uint64_t step);
MUST_USE bool lockout_take_code(const struct lockout *lockout, struct span user, uint64_t epoch,
                                const void *hash, size_t len, uint64_t step);
/* For who keeps that: the last step, 0 for none; whether the code was taken. */
uint64_t lockout_step(const struct lockout *lockout, struct span user, uint64_t epoch);
bool lockout_code_taken(const struct lockout *lockout, struct span user, uint64_t epoch,
                        const void *hash, size_t len);

#endif
