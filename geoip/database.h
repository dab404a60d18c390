/*
 * Geo databases in a worker: country, continent, number and name of the network of an address,
 * from whichever of the databases knows. A database is swapped between requests.
 */
#ifndef SALLYPORT_DATABASE_H
#define SALLYPORT_DATABASE_H

#include "gateway/chain/geo.h"
#include "gateway/store/snapshot.h"
#include "geoip/geofile.h"

struct geo_reader;

/* `count` databases, in snapshots from id `first` on. NULL: out of memory. */
struct geo_reader *geo_reader_new(const struct snapshots *snapshots, uint32_t first,
                                  size_t count, struct arena *arena);
/* `names` is where city and network go; NULL: they are not looked for. */
void geo_reader_look_up(struct geo_reader *reader, const struct addr *addr, struct geo *geo,
                        struct arena *names);
/* Private, shared, local, documentation, multicast and the like: no database knows them. */
bool geo_is_private(const struct addr *addr);
/* The number of the network that a value of a database says; 0: none. */
uint32_t geo_entry_network(MMDB_entry_s *entry);
/* The same as config->geo_lookup. */
struct worker;
void geo_look_up(struct worker *worker, const struct addr *addr, struct geo *geo,
                 struct arena *names);

#endif
