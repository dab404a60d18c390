/*
 * Sites, routes and their stages out of configuration nodes. Private to load*.c.
 */
#ifndef SALLYPORT_LOAD_SITE_H
#define SALLYPORT_LOAD_SITE_H

#include "conf/schema.h"
#include "gateway/load.h"
#include "gateway/load_rows.h"

enum { STAGES_MAX = 32 };

/*
 * A stage's options at one level of the file. `raw` is what inheritance copies; `opened` is
 * what the first route that uses it made of a copy, shared by all that inherit it unchanged.
 */
struct stage_slot {
    void *raw;
    struct stage_common common;
    const void *opened;
    unsigned local;
    struct place place;
    const char *site, *route; /* where it was written; NULL: defaults */
};

/* All that is inherited: defaults -> site -> route. */
struct level {
    struct settings settings;
    struct upstream_conf upstream_conf;
    bool has_upstream;
    const struct upstream *upstream; /* opened at the level that wrote it */
    struct stage_slot *slots[STAGES_MAX];
};

struct site_load {
    struct load *load;
    struct schema schema;
    struct config *config;
    size_t upstream_max, instance_max;
    struct tls_site *tls_sites;
    size_t tls_count;
};

void load_defaults(struct site_load *sl, const struct node *defaults, struct level *level);
void load_sites(struct site_load *sl, const struct node *sites, const struct level *defaults);

#endif
