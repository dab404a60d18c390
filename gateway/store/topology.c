/* Replies about other servers, read strictly. */
#include "gateway/store/topology.h"

enum { PORT_MAX = 65535 };

/* CRC-16/XMODEM, as the cluster specification has it. */
static unsigned crc16(struct span bytes)
{
    unsigned crc = 0;
    for (size_t i = 0; i < bytes.len; i++) {
        crc ^= (unsigned)(unsigned char)bytes.p[i] << 8;
        for (unsigned bit = 0; bit < 8; bit++)
            crc = (crc & 0x8000 ? crc << 1 ^ 0x1021 : crc << 1) & 0xffff;
    }
    return crc;
}

unsigned key_slot(struct span key)
{
    ssize_t open = span_index(key, '{');
    if (open >= 0) {
        struct span rest = span_sub(key, (size_t)open + 1, key.len);
        ssize_t close = span_index(rest, '}');
        if (close > 0)
            key = span_sub(rest, 0, (size_t)close);
    }
    return crc16(key) % CLUSTER_SLOTS;
}

static bool port_of(uint64_t number, struct addr *addr)
{
    if (number == 0 || number > PORT_MAX)
        return false;
    addr->port = (uint16_t)number;
    return true;
}

/* The last colon ends the host, for IPv6 stands without brackets. */
static bool host_and_port(struct span text, const struct addr *self, struct addr *addr)
{
    uint64_t port;
    size_t colon = text.len;
    while (colon > 0 && text.p[colon - 1] != ':')
        colon--;
    if (colon == 0 || !span_uint(span_sub(text, colon, text.len), &port))
        return false;
    struct span host = span_sub(text, 0, colon - 1);
    if (host.len == 0)
        *addr = *self;
    else if (!addr_parse(host, addr))
        return false;
    return port_of(port, addr);
}

bool redirect_read(const struct redis_value *value, const struct addr *self,
                   struct redirect *redirect)
{
    bool moved = redis_is_error(value, SPAN("MOVED"));
    if (!moved && !redis_is_error(value, SPAN("ASK")))
        return false;
    struct span rest = value->text, word, slot;
    uint64_t number;
    if (!span_cut(&rest, ' ', &word) || !span_cut(&rest, ' ', &slot) ||
        !span_uint(slot, &number) || number >= CLUSTER_SLOTS)
        return false;
    *redirect = (struct redirect){ .ask = !moved, .slot = (unsigned)number };
    return host_and_port(rest, self, &redirect->addr);
}

/* Of a node that is known by a name its address stands among what else is told of it. */
static bool endpoint(const struct redis_value *node, const struct addr *self, struct addr *addr)
{
    const struct redis_value *host = &node->items[0];
    if (host->type == REDIS_TEXT && addr_parse(host->text, addr))
        return true;
    if (node->count > 3 && node->items[3].type == REDIS_ARRAY) {
        const struct redis_value *more = &node->items[3];
        for (unsigned i = 0; i + 1 < more->count; i += 2)
            if (more->items[i].type == REDIS_TEXT && more->items[i + 1].type == REDIS_TEXT &&
                span_equal(more->items[i].text, SPAN("ip")) &&
                addr_parse(more->items[i + 1].text, addr))
                return true;
    }
    if (host->type != REDIS_NIL && (host->type != REDIS_TEXT || host->text.len > 0))
        return false;
    *addr = *self;
    return true;
}

static bool node_read(const struct redis_value *node, const struct addr *self,
                      struct addr *addr)
{
    uint64_t port;
    return node->type == REDIS_ARRAY && node->count >= 2 && endpoint(node, self, addr) &&
           redis_uint(node, 1, PORT_MAX, &port) && port_of(port, addr);
}

static bool node_index(struct slot_map *map, const struct addr *addr, unsigned *index)
{
    for (unsigned i = 0; i < map->node_count; i++) {
        *index = i;
        if (addr_equal(&map->nodes[i], addr) && map->nodes[i].port == addr->port)
            return true;
    }
    if (map->node_count == CLUSTER_NODES_MAX)
        return false;
    *index = map->node_count;
    map->nodes[map->node_count++] = *addr;
    return true;
}

/* first, last, master, replicas... */
static bool range_read(const struct redis_value *range, const struct addr *self,
                       struct slot_map *map)
{
    struct addr addr;
    uint64_t first, last;
    unsigned index;
    if (range->type != REDIS_ARRAY || range->count < 3 ||
        !redis_uint(range, 0, CLUSTER_SLOTS - 1, &first) ||
        !redis_uint(range, 1, CLUSTER_SLOTS - 1, &last) || last < first ||
        !node_read(&range->items[2], self, &addr) || !node_index(map, &addr, &index))
        return false;
    memset(map->owner + first, (int)index, (size_t)(last - first) + 1);
    return true;
}

bool slot_map_read(const struct redis_value *value, const struct addr *self,
                   struct slot_map *map)
{
    _Static_assert(CLUSTER_NODES_MAX <= SLOT_NOBODY, "an index is an octet");
    map->node_count = 0;
    memset(map->owner, SLOT_NOBODY, sizeof(map->owner));
    if (value->type != REDIS_ARRAY || value->count == 0)
        return false;
    for (unsigned i = 0; i < value->count; i++)
        if (!range_read(&value->items[i], self, map))
            return false;
    return true;
}

bool sentinel_read(const struct redis_value *value, struct addr *addr)
{
    uint64_t port;
    return value->type == REDIS_ARRAY && value->count == 2 &&
           value->items[0].type == REDIS_TEXT && value->items[1].type == REDIS_TEXT &&
           addr_parse(value->items[0].text, addr) && span_uint(value->items[1].text, &port) &&
           port_of(port, addr);
}

bool role_is_master(const struct redis_value *value)
{
    return value->type == REDIS_ARRAY && value->count > 0 &&
           value->items[0].type == REDIS_TEXT &&
           span_equal(value->items[0].text, SPAN("master"));
}
