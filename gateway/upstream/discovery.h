/*
 * Servers that a name stands for, found by DNS while the gateway runs: `dns://name:port`, each
 * address a server, and `srv://_service._proto.name`, each target one.
 *
 * The steward asks, and publishes what it found to the workers as a snapshot of all names. A
 * server has its slot as long as it is there, so that all workers, health checks and operators
 * speak of the same one. What was found last stays until there is another good answer; it is
 * kept in memory of the master's, which only the steward writes, so that a reload begins with
 * it.
 */
#ifndef SALLYPORT_DISCOVERY_H
#define SALLYPORT_DISCOVERY_H

#include "gateway/base/addr.h"

enum {
    DISCOVERIES_MAX = 64, /* names in one configuration */
    FOUND_MAX = 32,       /* servers of one name */
    FOUND_WEIGHT_MAX = 1000,
    DISCOVERY_NAME_BYTES = 256,
};
enum discovery_kind { DISCOVER_ADDRESSES, DISCOVER_SERVICES };

/* One name, as the configuration has it. Plain bytes: it goes to the steward as it is. */
struct discovery {
    uint32_t kind;  /* enum discovery_kind */
    uint32_t index; /* among all of the configuration */
    uint32_t slots;
    uint32_t ttl_min_ms, ttl_max_ms;
    uint16_t port;                    /* of addresses */
    char name[DISCOVERY_NAME_BYTES];  /* to ask for */
    char label[DISCOVERY_NAME_BYTES]; /* as written: that of slot 3 is this, # and 3 */
};

struct found_server {
    struct addr addr; /* with its port; family ADDR_NONE: the slot is empty */
    uint16_t weight;
    uint16_t backup;
};

struct found {
    struct found_server slots[FOUND_MAX];
};

enum { FOUND_MAGIC = 0x666f756e };
/* The snapshot: by index of the discovery. */
struct found_block {
    uint32_t magic, count;
    struct found items[DISCOVERIES_MAX];
};
/* Of the right size, with addresses that can be connected to. */
MUST_USE bool found_valid(struct span block);

/* What an answer came to. */
struct found_list {
    struct found_server items[FOUND_MAX];
    unsigned count;
};
/* False: there is no room, or it is an address that no server can have. The same address and
 * port is taken once. */
bool found_add(struct found_list *list, const struct addr *addr, uint32_t weight, bool backup);
/*
 * The list into the slots: who was there keeps its place, others get free ones, those that were
 * free before first. True: something changed.
 */
bool found_merge(struct found *found, const struct found_list *list, uint32_t slots);
unsigned found_count(const struct found *found);

/* ---- what is kept over reloads ---- */

enum { NAMES_KEPT_MAX = 128, NAMES_KEPT_LAYOUT = 1 };
struct name_kept {
    uint32_t turn;             /* odd: being written */
    uint32_t kind, port, used; /* used: of what is used longest ago is thrown out first */
    char name[DISCOVERY_NAME_BYTES];
    struct found found;
};
struct names_kept {
    uint32_t used;
    struct name_kept rows[NAMES_KEPT_MAX];
};
/* False: nothing is kept of it. */
bool names_recall(const struct names_kept *kept, const struct discovery *discovery,
                  struct found *found);
void names_keep(struct names_kept *kept, const struct discovery *discovery,
                const struct found *found);

#endif
