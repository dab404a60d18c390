/*
 * One name, asked once: addresses of both families, or services and then the addresses of their
 * targets. For the steward, and for a generation as it loads.
 */
#ifndef SALLYPORT_DNSLOOKUP_H
#define SALLYPORT_DNSLOOKUP_H

#include "gateway/net/resolver.h"
#include "gateway/upstream/discovery.h"

enum { LOOKUP_TARGETS_MAX = 16 };

struct lookup;

struct lookup_question {
    struct question question;
    struct lookup *lookup;
    struct addr at; /* its port */
    uint32_t weight;
    bool backup;
};

struct lookup {
    /*
     * From the loop, once. `partly`: some question had no answer, so that servers may be
     * missing. An empty list without it: there are none.
     */
    void (*done)(struct lookup *lookup);
    struct found_list list;
    bool partly;
    uint32_t ttl; /* seconds, of what was found; 0: no answer had any */
    /* its own */
    struct resolver *resolver;
    unsigned open, count;
    bool starting;
    struct lookup_question services;
    struct lookup_question questions[2 * LOOKUP_TARGETS_MAX];
};

/* `lookup` is zeroed but for `done`, or was done before. */
void lookup_start(struct lookup *lookup, struct resolver *resolver,
                  const struct discovery *discovery);

#endif
