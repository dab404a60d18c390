/*
 * What a hostile server says about other servers: redirects, maps of a Cluster, Sentinels'
 * answers. What is accepted has slots, ports and owners in the bounds that the code behind
 * relies on; and a map that is accepted names each of its masters once.
 */
#include <stdlib.h>

#include "gateway/store/topology.h"

static struct slot_map map;

static void try_map(const struct redis_value *value, const struct addr *self)
{
    if (!slot_map_read(value, self, &map))
        return;
    INVARIANT(map.node_count > 0 && map.node_count <= CLUSTER_NODES_MAX);
    unsigned owned = 0;
    for (unsigned slot = 0; slot < CLUSTER_SLOTS; slot++) {
        INVARIANT(map.owner[slot] == SLOT_NOBODY || map.owner[slot] < map.node_count);
        owned += map.owner[slot] != SLOT_NOBODY;
    }
    INVARIANT(owned > 0);
    for (unsigned a = 0; a < map.node_count; a++) {
        INVARIANT(map.nodes[a].port != 0 && map.nodes[a].family != ADDR_NONE);
        for (unsigned b = a + 1; b < map.node_count; b++)
            INVARIANT(!addr_equal(&map.nodes[a], &map.nodes[b]) ||
                      map.nodes[a].port != map.nodes[b].port);
    }
}

static void try_all(const struct redis_value *value, const struct addr *self)
{
    struct redirect redirect;
    struct addr addr;
    if (redirect_read(value, self, &redirect)) {
        INVARIANT(value->type == REDIS_ERROR && redirect.slot < CLUSTER_SLOTS);
        INVARIANT(redirect.addr.port != 0 && redirect.addr.family != ADDR_NONE);
    }
    if (sentinel_read(value, &addr))
        INVARIANT(addr.port != 0 && addr.family != ADDR_NONE && addr.family != ADDR_UNIX);
    if (value->type == REDIS_TEXT)
        INVARIANT(key_slot(value->text) < CLUSTER_SLOTS);
    (void)!role_is_master(value);
    try_map(value, self);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const struct redis_value *value = NULL;
    struct addr self;
    if (size > 64 * 1024 || !addr_parse(SPAN("192.0.2.1"), &self))
        return 0;
    struct redis_parser *parser = redis_parser_new();
    char *copy = malloc(size > 0 ? size : 1); /* of its size: a read outside is seen */
    INVARIANT(parser != NULL && copy != NULL);
    if (size > 0)
        memcpy(copy, data, size);
    enum err err = redis_parser_feed(parser, span_of(copy, size));
    while (err == OK && (err = redis_parser_next(parser, &value)) == OK && value != NULL)
        try_all(value, &self);
    free(copy);
    redis_parser_free(parser);
    return 0;
}
