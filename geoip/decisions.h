/*
 * What a CrowdSec local API (LAPI) has decided, kept up to date by its stream
 * (/v1/decisions/stream): a first answer with everything, then what is new and what is gone.
 *
 * A decision is known by its scope, value and type, and not by its number: the stream tells of
 * several for one address only the one that lives longest, and tells of its end only when no
 * other is left. So what is gone is taken out first, and then what is new put in. A new one
 * replaces one that stands there, also where its life is shorter.
 *
 * An answer is read whole before anything of it counts. A decision that makes no sense is
 * passed over and counted: whoever may write decisions must not stop those of others.
 */
#ifndef SALLYPORT_DECISIONS_H
#define SALLYPORT_DECISIONS_H

#include "gateway/base/addrlist.h"
#include "gateway/base/siphash.h"

enum {
    DECISIONS_MAX = 1000 * 1000,
    DECISIONS_BYTES_MAX = 256 * 1024 * 1024, /* of an answer */
    DECISIONS_DEPTH_MAX = 16,                /* of its JSON */
    DECISIONS_TEXTS_MAX = 4096,              /* different origins and scenarios; then "..." */
};

/* Remedies, a list each. A captcha is a challenge here; what is not known keeps out. */
enum decision_kind { DECISION_BAN, DECISION_CHALLENGE, DECISION_KINDS };

struct decision_rules {
    struct span own;      /* origin of those that we have sent ourselves: passed over */
    struct cidrs without; /* prefixes whose decisions are passed over */
    struct cidrs spared;  /* prefixes that no decision may hold (geoip/listguard.h) */
    unsigned max_cover;   /* percent of the public addresses that one decision may hold */
    /* Percent that a network has, 0 where nobody knows; NULL: nobody does. */
    unsigned (*network_share)(void *ctx, uint32_t asn);
    void *ctx;
};

struct decision_tally {
    size_t fresh, gone; /* that have changed something */
    size_t unusable;    /* malformed, of a scope that we do not know, or expired */
    size_t refused;     /* over max_cover, or of spared addresses */
    struct cidr blame;  /* one of the refused; no family: none, or a place */
    uint64_t blame_place;
};

struct decisions;

struct decisions *decisions_new(void); /* NULL: memory */
void decisions_free(struct decisions *set);
/* A stream's answer. With an error nothing has changed, and `*why` is a constant sentence. */
MUST_USE enum err decisions_apply(struct decisions *set, struct span json,
                                  const struct decision_rules *rules, uint32_t now_s,
                                  struct decision_tally *tally, const char **why);
size_t decisions_count(const struct decisions *set, enum decision_kind kind);
/* Of those, by country or network. */
size_t decisions_places(const struct decisions *set, enum decision_kind kind);
/* The list of one kind, in the arena. */
MUST_USE enum err decisions_build(const struct decisions *set, enum decision_kind kind,
                                  uint32_t now_s, struct arena *arena, struct span *out);

#endif
