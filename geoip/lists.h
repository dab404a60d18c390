/*
 * Address lists: who is let in at all (`allow`), and who is kept out (`deny`).
 */
#ifndef SALLYPORT_LISTS_H
#define SALLYPORT_LISTS_H

#include "gateway/base/addrlist.h"
#include "gateway/chain/stage.h"

extern const struct stage_type allow_stage;
extern const struct stage_type deny_stage;

/* Whether the address is on a list, as its block says: by a prefix, or else by its country or
 * network, where the list has any and a database tells them. */
bool list_find(struct span block, struct worker *worker, const struct addr *addr,
               struct addrlist_hit *hit);

#endif
