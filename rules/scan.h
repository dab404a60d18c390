/*
 * Scanning: values against a plan. The run side of rules/: no allocation but from the
 * transaction's arena on a match, one scratch a worker, bounded by counted work so that a
 * decision can be replayed.
 *
 * A long value is looked at in windows that overlap: in a value longer than WINDOW_BYTES, a
 * match is found for sure if it spans at most WINDOW_OVERLAP bytes.
 */
#ifndef SALLYPORT_RULES_SCAN_H
#define SALLYPORT_RULES_SCAN_H

#include "gateway/base/arena.h"
#include "rules/locate.h"
#include "rules/plan.h"

enum {
    WINDOW_BYTES = 64 * 1024,
    WINDOW_OVERLAP = 8 * 1024,
    HIT_SAMPLE_BYTES = 64, /* up to the end of the match */
};

struct hs_scratch;

/* One per worker and plan. */
struct scan_local {
    struct hs_scratch *scratch;
    struct locate_local locate;
    char *room; /* WINDOW_BYTES for each form; untouched until a value needs them */
};

MUST_USE enum err scan_attach(struct scan_local *local, const struct plan *plan);
void scan_detach(struct scan_local *local);

/* The first match of a rule. */
struct hit {
    struct hit *next;
    struct span field, sample; /* in the arena */
    struct span value;         /* all that was looked at, as it came */
    uint32_t offset;           /* of the match, in the form it was found in */
    uint16_t rule;
};

struct scan_budget {
    uint64_t bytes;  /* looked at, every form counted */
    uint64_t values; /* looked at */
};

/* What a transaction's scanning came to so far. Zeroed, then `budget` set. */
struct scan {
    struct values values;      /* being scanned */
    unsigned at;               /* the next of them */
    size_t offset;             /* the next window of it */
    struct scan_budget budget; /* what is left */
    uint64_t *matched;         /* set of rules; NULL: none */
    struct hit *hits;
};

enum scan_end {
    SCAN_DONE,   /* all values were scanned */
    SCAN_PAUSE,  /* `slice` bytes were: call again */
    SCAN_SPENT,  /* the budget does not suffice */
    SCAN_MEMORY, /* the arena is exhausted */
};

void scan_begin(struct scan *scan, struct values values);
enum scan_end scan_run(struct scan *scan, const struct plan *plan, struct scan_local *local,
                       struct arena *arena, uint64_t slice);
const struct hit *scan_hit(const struct scan *scan,
                           unsigned rule); /* NULL: it has no pattern */

#endif
