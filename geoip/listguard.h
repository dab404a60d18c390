/*
 * What a list of addresses from a file or another server may not do: refuse half of the world,
 * the operator, or the proxies in front of us; or lose half of itself, as a feed does whose
 * download broke off. A list that would is refused whole, and the one before it stays.
 */
#ifndef SALLYPORT_LISTGUARD_H
#define SALLYPORT_LISTGUARD_H

#include "gateway/base/addrlist.h"

enum { LISTGUARD_SHRINK_FROM = 64 /* entries: shorter lists are edited by hand */ };

struct listguard {
    unsigned max_cover;  /* percent of the public addresses of a family; 100: all */
    unsigned max_shrink; /* percent of its entries that a new list may have less; 100: all */
    struct cidrs spared; /* none of which may be on the list */
};

/* NULL, or why not, with the particulars in `detail`. `was`: entries of what it replaces. */
const char *listguard_refuses(const struct listguard *guard, struct span fresh, size_t was,
                              uint32_t now_s, struct text *detail);

/* Leaves out the entries that stand inside of one of `without`. */
void listguard_without(struct addrlist_entries *entries, const struct cidrs *without);

/* Addresses of IPv4 that can be on the Internet, and /64s of IPv6. */
struct listguard_size {
    uint64_t v4, v6;
};
struct listguard_size listguard_size(struct span block);
/* Percent of the public addresses, the family of which it covers more; rounded up. */
unsigned listguard_percent(const struct listguard_size *size);
unsigned listguard_cover(struct span block);
/* The same of one prefix; 0: it is not on the Internet. */
unsigned listguard_share(const struct cidr *cidr);

#endif
