/*
 * What all workers know together: which challenges were answered, what addresses did lately,
 * how hard each route is pressed, and counts. Of fixed size; what is forgotten first is what
 * would be forgotten soonest anyway.
 *
 * The memory may be written by a worker that was taken over. It decides who is asked to prove
 * something, and never where anything is read or written.
 */
#ifndef SALLYPORT_BOTS_MEMORY_H
#define SALLYPORT_BOTS_MEMORY_H

#include "gateway/base/addr.h"
#include "gateway/base/siphash.h"
#include "gateway/store/cells.h"

enum {
    BOTS_LAYOUT = 2,
    BOTS_USED = 1 << 16,     /* answers that count for CHALLENGE_S */
    BOTS_VISITORS = 1 << 16, /* addresses */
    BOTS_ROUTES = 256,       /* that are watched; further ones share the last place */
    BOTS_ROUTE_BYTES = 112,  /* of site and route, for people */
    BOTS_VERIFIED = 1 << 13, /* addresses of crawlers, true and false ones */
    BOTS_QUESTIONS = 256,    /* to the steward */
    CRAWLER_NAME_BYTES = 32,
    CRAWLER_DOMAINS_MAX = 4,
    CRAWLER_DOMAIN_BYTES = 64,
    VISITOR_WINDOW_S = 600, /* in which what somebody did counts half */
};

/* ---- counts ---- */

enum bots_count {
    COUNT_CHALLENGED,
    COUNT_PROVED,
    COUNT_WAITED,
    COUNT_WRONG,
    COUNT_REPLAYED,
    COUNT_EXPIRED,
    COUNT_BLOCKED,
    COUNT_UNCLEARED,
    COUNT_TRAPPED,
    COUNT_VERIFIED,
    COUNT_FALSE,
    BOTS_COUNTS
};
extern const char *const bots_count_names[BOTS_COUNTS];

/* ---- how hard a route is pressed ---- */

enum {
    PRESSURE_WINDOW_S = 10,
    PRESSURE_LEARNED = 30, /* windows, before what is usual is known */
    PRESSURE_FLOOR = 200,  /* requests in a window that are an attack on nobody */
    PRESSURE_TIMES = 8,    /* as many as usual */
};

/* One place per route. Counts are of the window; each worker adds to them. */
struct route_pressure {
    _Alignas(64) uint64_t key; /* 0: free */
    uint64_t window;           /* number of the window that is counted */
    uint32_t all, odd; /* requests of visitors without a clearance; those with a score */
    uint64_t until_s;  /* under attack until then */
    uint64_t began_s;  /* since when; 0: never */
    uint32_t usual;    /* requests in a window, times 16 */
    uint32_t learned;  /* windows that made it */
    uint32_t times;    /* how often it was under attack */
    char name[BOTS_ROUTE_BYTES];
};

struct pressure_rules {
    uint64_t all, odd; /* in a window; 0: no such level */
    bool learn;
    uint64_t hold_s; /* so long below half of it, and it is over */
};

/* Notes one request; true: the route is under attack. */
bool pressure_note(struct route_pressure *pressure, const struct pressure_rules *rules,
                   uint64_t now_s, bool odd);
bool pressure_is_on(const struct route_pressure *pressure, uint64_t now_s);

/* ---- all of it ---- */

/* What somebody wants to know of an address; auth/bots/verify.h. */
struct verify_question {
    struct addr addr;
    char name[CRAWLER_NAME_BYTES]; /* of the crawler that it claims to be */
    char domains[CRAWLER_DOMAINS_MAX][CRAWLER_DOMAIN_BYTES];
};

struct verify_slot {
    uint64_t turn; /* of the question that stands here, from 1 on; 0: it is being written */
    struct verify_question question;
};

struct bots_shared {
    uint64_t counts[BOTS_COUNTS];
    uint64_t asked; /* questions so far */
    struct verify_slot questions[BOTS_QUESTIONS];
    struct route_pressure routes[BOTS_ROUTES];
};

struct bots_memory {
    struct bots_shared *shared;
    struct cells used, visitors, verified;
    struct siphash_key place, fingerprint;
};

size_t bots_memory_bytes(void);
void bots_memory_over(struct bots_memory *view, void *memory, const uint8_t boot_key[32]);

void bots_count(const struct bots_memory *view, enum bots_count count);
uint64_t bots_counted(const struct bots_memory *view, enum bots_count count);

/* The place of a route, the same in all generations. At load. */
struct route_pressure *bots_route(const struct bots_memory *view, struct span site,
                                  struct span route);

/*
 * True once for each id, whichever worker asks, as long as it is remembered: until `until_s`.
 */
MUST_USE bool bots_use_once(const struct bots_memory *view, struct span id, uint64_t now_s,
                            uint64_t until_s);

/* ---- visitors, by address (IPv6: by /64) ---- */

enum visitor_event {
    VISITOR_MISSED, /* a page that is not there */
    VISITOR_ASKED,
    VISITOR_PASSED,
    VISITOR_FAILED,
    VISITOR_TRAPPED,
    VISITOR_EVENTS
};

struct visitor {
    uint64_t since_s; /* 0: nothing is known */
    unsigned score;   /* of the last request that had one */
    unsigned counts[VISITOR_EVENTS];
};

struct visitor bots_visitor(const struct bots_memory *view, const struct addr *addr,
                            uint64_t now_s);
/* Counts end at a most; one trap is at once as many as count. */
void bots_note(const struct bots_memory *view, const struct addr *addr,
               enum visitor_event event, uint64_t now_s);
void bots_note_score(const struct bots_memory *view, const struct addr *addr, unsigned score,
                     uint64_t now_s);

#endif
