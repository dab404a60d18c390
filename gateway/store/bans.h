/*
 * Who is kept out for a while, in memory that all workers and the steward share: a ban holds on
 * every worker at once, whoever made it.
 *
 * Three tables. Bans: until when, by address. Offenders: a score that halves with time, and how
 * often that address was banned already. Events: a ring of what happened last, from which the
 * steward keeps the evidence and the list for people, and from which bans go to other nodes.
 *
 * IPv4 is judged by /32, IPv6 by /64; a ban may also cover a /24 or a /48. The memory may be
 * written by a compromised worker: it decides nothing but who is refused.
 */
#ifndef SALLYPORT_BANS_H
#define SALLYPORT_BANS_H

#include "gateway/base/addr.h"
#include "gateway/base/siphash.h"
#include "gateway/store/cells.h"

enum {
    BANS_LAYOUT = 5,
    BANS_ENTRIES = 1 << 16,
    OFFENDERS_ENTRIES = 1 << 17,
    BAN_EVENTS = 1 << 13,
    BAN_NEVER_MAX = 64,
    BAN_TEXT_BYTES = 48,
    BAN_LEVEL_MAX = 15,
    BAN_LEVEL_MEMORY_S =
        7 * 86400, /* so long without an offence, and it is a first one again */
    BAN_LONGEST_S = 366 * 86400,
    OFFENCE_POINTS_MAX = 1 << 16,
};

enum ban_cause {
    CAUSE_RULE,
    CAUSE_LOGIN,
    CAUSE_LIMIT,
    CAUSE_HONEYPOT,
    CAUSE_NOT_FOUND,
    CAUSE_OPERATOR,
    CAUSE_NODE, /* another one, which did not say */
    CAUSE_COUNT
};
const char *ban_cause_name(unsigned cause); /* "?" for none of them */

enum ban_event_kind { BAN_OFFENCE, BAN_SET, BAN_LIFTED };

struct ban_event {
    uint64_t at_s, until_s; /* wall clock */
    struct cidr net;
    uint8_t kind, cause, level;
    bool shared;               /* other nodes know it */
    bool foreign;              /* another node made it */
    bool restored;             /* from before this start: it was told of then */
    char request[40];          /* id, or "" */
    char site[BAN_TEXT_BYTES]; /* name, cut */
    char reason[BAN_TEXT_BYTES];
};

/* When offences make a ban, and for how long. */
struct ban_policy {
    uint32_t threshold;                  /* points */
    uint32_t half_s;                     /* in which a score halves */
    uint64_t first_s, longest_s, factor; /* each ban of one address is `factor` times as long */
};

struct bans_memory;

struct bans {
    struct bans_memory *memory;
    struct cells banned, offenders;
    struct siphash_key place, fingerprint;
};

size_t bans_bytes(void);
void bans_over(struct bans *bans, void *memory, const uint8_t boot_key[32]);

/* The net that an address is judged by. */
struct cidr ban_net(const struct addr *addr);
/* Whether bans of nets of this length are looked up: /32 and /24, /64 and /48. */
bool ban_net_ok(const struct cidr *net);

/* Until when (wall clock, s) the address is kept out; 0: it is not. */
uint64_t bans_until(const struct bans *bans, const struct addr *addr, uint64_t now_s);
/* A ban, or until_s 0: none any more. False when that is what stood there already. */
bool bans_set(const struct bans *bans, const struct cidr *net, uint64_t until_s,
              uint64_t now_s);
/* What stands there for exactly this net. */
uint64_t bans_get(const struct bans *bans, const struct cidr *net);
/*
 * An offence. The end of the ban that follows from it, 0 for none; `*level` counts the bans of
 * this address before.
 */
uint64_t bans_offend(const struct bans *bans, const struct addr *addr,
                     const struct ban_policy *policy, uint32_t points, uint64_t now_s,
                     uint8_t *level);
/* Score (points) and level as they are now, for people. */
void bans_score(const struct bans *bans, const struct addr *addr, uint32_t half_s,
                uint64_t now_s, uint32_t *points, uint8_t *level);
void bans_forget(const struct bans *bans, const struct addr *addr);

void bans_log(const struct bans *bans, const struct ban_event *event);
/* The next event from `*cursor` on, which moves; false: none. What was overwritten is skipped.
 */
bool bans_next(const struct bans *bans, uint64_t *cursor, struct ban_event *event);
/* The same, but only those that no node was told of yet, each to one caller alone. */
bool bans_claim(const struct bans *bans, uint64_t *cursor, struct ban_event *event);
/*
 * The cursor up to which somebody outside has been told (CrowdSec); it outlives the steward, so
 * that the next one neither leaves out nor repeats.
 */
uint64_t bans_told(const struct bans *bans);
void bans_told_set(const struct bans *bans, uint64_t cursor);

/*
 * Whether `who` is the one on this node that hears of other nodes' bans at `now_ms`
 * (monotonic); who asks becomes it when the one before has not asked for BAN_LEAD_MS.
 */
enum { BAN_LEAD_MS = 300, BAN_LEADER_BITS = 20 };
bool bans_lead(const struct bans *bans, uint32_t who, uint64_t now_ms);

/* True once in the life of this memory: for who brings back what was saved. */
bool bans_first_start(const struct bans *bans);

/* Nets that are never banned, as the configuration has them: for whoever bans by hand. */
void bans_never_set(const struct bans *bans, const struct cidr *nets, size_t count);
bool bans_never(const struct bans *bans, const struct cidr *net);

#endif
