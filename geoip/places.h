/*
 * Countries and networks that a configuration names, for `allow` and `deny`.
 */
#ifndef SALLYPORT_PLACES_H
#define SALLYPORT_PLACES_H

#include "conf/kinds.h"
#include "gateway/chain/geo.h"
#include "gateway/chain/stage.h"

enum { PLACES_MAX = 4096 };

struct place_row {
    uint32_t number;
    struct span label; /* "country:DE", "asn:3320": what the record says */
};

struct place_rows { /* sorted by number */
    struct place_row *items;
    size_t count;
};

struct places {
    struct place_rows countries, networks;
};

/* False after a complaint: not a country, not a number, or no database to ask. */
MUST_USE bool places_resolve(struct places *places, const struct texts *countries,
                             const struct texts *networks, struct setup *setup);
static inline bool places_any(const struct places *places)
{
    return places->countries.count > 0 || places->networks.count > 0;
}
enum place_kind { PLACE_NONE, PLACE_COUNTRY, PLACE_NETWORK };
/* Whether the client's country or network is among them, and which. */
enum place_kind places_find(const struct places *places, const struct geo *geo,
                            struct span *label);

#endif
