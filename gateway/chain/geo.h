/*
 * Where an address is, as the geo databases of the configuration say. The databases lie above
 * the chain (geoip/database.h); a transaction asks once, and only when something wants to know.
 */
#ifndef SALLYPORT_GEO_H
#define SALLYPORT_GEO_H

#include "gateway/base/addr.h"

enum { GEO_DATABASES_MAX = 3, GEO_NAME_MAX = 128 };

/* Countries that are none. */
#define GEO_UNKNOWN "XX" /* in no database */
#define GEO_PRIVATE "ZZ" /* not an address of the public Internet */

struct geo {
    char country[3];          /* ISO 3166-1 alpha-2, GEO_UNKNOWN or GEO_PRIVATE */
    char continent[3];        /* AF AN AS EU NA OC SA, or empty */
    bool named;               /* the two below were asked for; empty when not known */
    struct span city, as_org; /* in the asker's arena */
    uint32_t asn;             /* 0: not known */
};

struct txn;
/* NULL: the configuration has no databases. `names`: city and as_org, too. */
const struct geo *txn_geo(struct txn *txn, bool names);

#endif
