/*
 * Whether CrowdSec's bans keep out too many. Prefixes and networks are weighed by their
 * addresses, where a database says what a network has; it is read for that when the first
 * network is named, and again when the file is another one. Countries are counted: who bans a
 * large one means it. So are networks that nobody can weigh.
 */
#include <stdlib.h>

#include "gateway/base/log.h"
#include "gateway/steward/crowdsec.h"
#include "gateway/store/snapshot.h"
#include "geoip/geofile.h"
#include "geoip/listguard.h"

enum {
    COUNTRIES = 249,
    NETWORKS = 75 * 1000, /* about as many are seen on the Internet */
};

static uint64_t mix(uint64_t sum, uint64_t more)
{
    return (sum ^ more) * UINT64_C(0x9e3779b97f4a7c15);
}

/* Of the databases, which files they are; 0: there are none. */
static uint64_t files_of(const struct steward *steward)
{
    uint64_t sum = 0;
    for (uint32_t i = 0; i < steward->settings->list_count; i++) {
        const struct stat *seen = &steward->lists[i].seen;
        if (steward->lists[i].settings->kind != SNAPSHOT_GEO_DATABASE)
            continue;
        sum = mix(mix(sum + 1, seen->st_ino), (uint64_t)seen->st_size);
        sum = mix(mix(sum, (uint64_t)seen->st_mtim.tv_sec), (uint64_t)seen->st_mtim.tv_nsec);
    }
    return sum;
}

static struct geocover *read_cover(const struct watched *list)
{
    char *bytes = NULL;
    size_t len;
    if (!lists_read(list, &bytes, &len))
        return NULL;
    struct span file = span_of(bytes, len);
    struct geocover *cover = geofile_verify(file) == NULL ? geocover_new(file) : NULL;
    free(bytes);
    return cover;
}

/* The first database that knows of networks, as in look-ups. */
static void find_cover(struct crowdsec *crowdsec)
{
    const struct steward *steward = crowdsec->steward;
    uint64_t files = files_of(steward);
    struct geocover *cover = NULL;
    if (files == crowdsec->cover_of)
        return;
    crowdsec->cover_of = files;
    for (uint32_t i = 0; i < steward->settings->list_count && cover == NULL; i++)
        if (steward->lists[i].settings->kind == SNAPSHOT_GEO_DATABASE)
            cover = read_cover(&steward->lists[i]);
    if (cover != NULL) {
        geocover_free(crowdsec->cover);
        crowdsec->cover = cover;
        log_info("networks are weighed by a database",
                 F_INT("networks", geocover_count(cover)));
    } else if (crowdsec->cover == NULL) {
        log_error("no database tells how many addresses networks have: those that CrowdSec "
                  "bans are counted");
    }
}

unsigned crowdsec_network_share(void *ctx, uint32_t asn)
{
    struct crowdsec *crowdsec = ctx;
    struct listguard_size size = { 0, 0 };
    find_cover(crowdsec);
    if (crowdsec->cover != NULL)
        geocover_add(crowdsec->cover, asn, &size.v4, &size.v6);
    return listguard_percent(&size);
}

bool crowdsec_covers_too_much(struct crowdsec *crowdsec, struct span block, unsigned max_cover)
{
    struct listguard_size size = listguard_size(block);
    struct addrlist_hit hit;
    size_t countries = 0, networks = 0;

    for (size_t i = 0; addrlist_place_at(block, i, &hit); i++) {
        countries += addrlist_is_country(hit.place);
        if (addrlist_is_country(hit.place))
            continue;
        networks++;
        find_cover(crowdsec);
        if (crowdsec->cover != NULL)
            geocover_add(crowdsec->cover, (uint32_t)hit.place, &size.v4, &size.v6);
    }
    return countries * 100 > (size_t)COUNTRIES * max_cover ||
           networks * 100 > (size_t)NETWORKS * max_cover ||
           listguard_percent(&size) > max_cover;
}
