/*
 * Sites, routes and their stages out of configuration nodes. Private to load*.c.
 */
#ifndef SALLYPORT_LOAD_SITE_H
#define SALLYPORT_LOAD_SITE_H

#include "conf/schema.h"
#include "gateway/load.h"
#include "gateway/load_rows.h"

enum { STAGES_MAX = 32, PAGES_MAX = 16 }; /* pages: of one site */

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

/* Who answers pages below /.sallyport/ on the site that is being loaded. */
struct page_owner {
    struct stage_instance stage;
    struct place place;
};

struct site_load {
    struct load *load;
    struct schema schema;
    struct config *config;
    size_t upstream_max, instance_max;
    struct tls_site *tls_sites;
    size_t tls_count;
    bool acme; /* certificates are asked for */
    struct page_owner owners[PAGES_MAX];
    size_t owner_count;
};

/* load_chain.c. `p`, complained about when it is NULL. */
void *load_need(struct site_load *sl, void *p);
struct complaint load_complaint(struct site_load *sl, struct place place, const char *option);
/* A stage's options as the parent has them; NULL parent: the defaults. */
struct stage_slot *load_slot(struct site_load *sl, const struct stage_type *type,
                             const struct stage_slot *parent);
/* What `node` says about stages. */
void load_stages(struct site_load *sl, const struct node *node, struct level *level,
                 const char *site, const char *route);
/* The route's chain, phase by phase; of a page without what guards the site's. */
void load_chain(struct site_load *sl, struct route *route, const struct level *level,
                bool page);
/* `connect:`, what is asked about a connection; NULL: nothing. */
void load_connect(struct site_load *sl, const struct node *node);
/* A route for each page of the site's stages, before all others. */
void load_pages(struct site_load *sl, struct site *site, const struct level *level);

/* load_compress.c. NULL: off. */
const struct compress_conf *load_compress(struct site_load *sl,
                                          const struct settings *settings);

void load_defaults(struct site_load *sl, const struct node *defaults, struct level *level);
void load_sites(struct site_load *sl, const struct node *sites, const struct level *defaults);

/* load_acme.c: the top-level `acme:`, for at most so many sites; what is listened on for it; */
void load_acme(struct site_load *sl, struct top_conf *top, size_t sites);
void load_acme_listen(struct site_load *sl);
/* a site without a certificate of its own: false after a complaint; and what all need. */
MUST_USE bool load_acme_site(struct site_load *sl, struct site *site, struct place place,
                             struct span *bundle);
void load_acme_end(struct site_load *sl);

/* load_feed.c: whether the list is fetched; complains of what is wrong with it. */
bool load_feed(struct site_load *sl, const struct list_conf *list, struct place place);

/* load_crowdsec.c: the top-level `crowdsec:` and its lists, behind those of `lists:`. */
enum { CROWDSEC_LISTS = 2 };
void load_crowdsec(struct site_load *sl, const struct top_conf *top);

#endif
