/*
 * Counting likeness: in the worker by a table of its own, in the ring by lines that wait to be
 * told.
 */
#include "gateway/audit/flood.h"

#include "gateway/base/clock.h"

enum { COUNT_PROBES = 4, SLOT_PROBES = 8 };
/* The last slots are for lines about many clients, so that one client each cannot take them. */
enum { CROWD_SLOTS = 8, CLIENT_SLOTS = FLOOD_SLOTS - CROWD_SLOTS };

void flood_init(struct repeats *flood, uint64_t per_window, const struct siphash_key *key)
{
    *flood = (struct repeats){ .per_window = per_window, .key = *key };
}

/* One network is one client: an IPv6 client has a /64 to itself. */
static void mask_client(struct addr *addr)
{
    addr->port = 0;
    if (addr->family == ADDR_V6)
        addr_mask(addr, 64);
}

/* `crowd`: whoever the client is. */
static uint64_t key_of(const struct repeats *flood, const struct record *record, bool crowd)
{
    struct {
        const char *site, *route, *reason;
        uint64_t rule;
        struct addr client;
    } kind;
    memset(&kind, 0, sizeof(kind));
    kind.site = record->site; /* constants of the configuration: their address is enough */
    kind.route = record->route;
    kind.reason = record->reason;
    if (record->finding_count > 0)
        kind.rule =
            siphash(&flood->key, record->findings[0].rule.p, record->findings[0].rule.len);
    if (!crowd) {
        memcpy(kind.client.bytes, record->client.bytes, sizeof(kind.client.bytes));
        kind.client.family = record->client.family;
        mask_client(&kind.client);
    }
    uint64_t key = siphash(&flood->key, &kind, sizeof(kind));
    return key != 0 ? key : 1;
}

/* How many of this key came in this window, this one included; 0: no place to count. */
static uint64_t count_one(struct repeats *flood, uint64_t key, uint64_t window)
{
    struct flood_count *free = NULL;
    for (unsigned i = 0; i < COUNT_PROBES; i++) {
        struct flood_count *at = &flood->counts[(key + i) % ARRAY_LEN(flood->counts)];
        if (at->key == key && at->window == window)
            return ++at->count;
        if (free == NULL && at->window != window)
            free = at;
    }
    if (free == NULL)
        return 0;
    *free = (struct flood_count){ .key = key, .window = window, .count = 1 };
    return 1;
}

/* The line up to where the count goes; false when it does not fit. */
static bool write_head(struct flood_slot *slot, const struct record *record, bool crowd)
{
    struct text out = text_fixed(slot->line, sizeof(slot->line));
    struct json j = json_writer(&out);
    char address[64];
    struct text client = text_fixed(address, sizeof(address));
    addr_write(&client, &record->client);

    json_begin_object(&j, NULL);
    json_begin_object(&j, "ecs");
    json_text(&j, "version", SPAN("8.11"));
    json_end_object(&j);
    json_begin_object(&j, "event");
    json_text(&j, "kind", SPAN("alert"));
    json_begin_array(&j, "category");
    json_text(&j, NULL, SPAN("web"));
    json_end_array(&j);
    json_text(&j, "action", span_text(record->action));
    json_text(&j, "outcome", SPAN("failure"));
    json_text(&j, "reason", span_text(record->reason));
    json_end_object(&j);
    if (!crowd) {
        json_begin_object(&j, "client");
        json_text(&j, "ip", text_span(&client));
        json_end_object(&j);
    }
    if (record->finding_count > 0) {
        json_begin_object(&j, "rule");
        json_text(&j, "id", record->findings[0].rule);
        json_end_object(&j);
    }
    json_begin_object(&j, "sallyport");
    if (record->site != NULL)
        json_text(&j, "site", span_text(record->site));
    if (record->route != NULL)
        json_text(&j, "route", span_text(record->route));
    json_text(&j, "action", SPAN("repeat"));
    json_text(&j, "reason", span_text(record->reason));
    slot->len = (uint32_t)out.len;
    return !out.overflow;
}

static struct flood_slot *slot_for(struct ring *ring, uint64_t key, const struct record *record,
                                   bool crowd)
{
    struct flood_slot *free = NULL;
    unsigned first = crowd ? CLIENT_SLOTS : 0, room = crowd ? CROWD_SLOTS : CLIENT_SLOTS;
    for (unsigned i = 0; i < SLOT_PROBES; i++) {
        struct flood_slot *slot = &ring->flood[first + (key + i) % room];
        if (slot->key == key)
            return slot;
        if (free == NULL && slot->count == __atomic_load_n(&slot->told, __ATOMIC_ACQUIRE))
            free = slot;
    }
    if (free == NULL)
        return NULL;
    /* All told: the recorder does not look at it before the count moves. */
    free->key = 0;
    if (!write_head(free, record, crowd))
        return NULL;
    free->key = key;
    return free;
}

/* Whether this one is recorded by itself. */
static bool is_told_alone(struct repeats *flood, uint64_t client, uint64_t crowd,
                          uint64_t window)
{
    uint64_t seen = count_one(flood, client, window), all = count_one(flood, crowd, window);
    if (seen <= 1)
        return true;
    return seen <= flood->per_window && all <= FLOOD_CROWD * flood->per_window;
}

bool flood_absorbs(struct repeats *flood, struct ring *ring, const struct record *record)
{
    if (flood->per_window == 0 || record->reason == NULL)
        return false;
    uint64_t client = key_of(flood, record, false), crowd = key_of(flood, record, true);
    if (is_told_alone(flood, client, crowd, record->wall_us / FLOOD_WINDOW_US))
        return false;
    struct flood_slot *slot = slot_for(ring, client, record, false);
    if (slot == NULL)
        slot = slot_for(ring, crowd, record, true);
    if (slot == NULL)
        return false;
    if (slot->count == __atomic_load_n(&slot->told, __ATOMIC_ACQUIRE))
        slot->began_us = record->wall_us;
    slot->last_us = record->wall_us;
    __atomic_store_n(&slot->count, slot->count + 1, __ATOMIC_RELEASE);
    return true;
}

/* ---- the recorder's half ---- */

static void put_time(struct text *out, const char *name, uint64_t us)
{
    text_format(out, "\"%s\":\"", name);
    clock_write_iso(out, us);
    text_lit(out, "\",");
}

bool flood_line(struct ring *ring, unsigned slot, uint64_t now_us, bool all, struct text *out,
                struct flood_news *news)
{
    struct flood_slot *from = &ring->flood[slot];
    uint64_t count = __atomic_load_n(&from->count, __ATOMIC_ACQUIRE);
    if (count == from->told)
        return false;
    uint64_t began = from->began_us, last = from->last_us;
    if (!all && now_us >= began && now_us - began < FLOOD_WINDOW_US)
        return false;
    uint32_t len = from->len;
    if (len > FLOOD_LINE_BYTES || len == 0)
        len = 0;
    *news = (struct flood_news){ .count = count, .slot = slot };
    if (last > now_us) /* a worker that lies cannot write beyond today */
        last = now_us;
    text_char(out, '{');
    put_time(out, "@timestamp", last);
    if (len > 1)
        text_add(out, span_of(from->line + 1, len - 1));
    else
        text_lit(out, "\"sallyport\":{\"action\":\"repeat\"");
    text_lit(out, ",\"repeat\":{\"count\":");
    text_uint(out, count - from->told);
    text_char(out, ',');
    put_time(out, "first", began <= last ? began : last);
    put_time(out, "last", last);
    out->len--;
    text_lit(out, "}}}");
    return !out->overflow;
}

void flood_told(struct ring *ring, const struct flood_news *news)
{
    __atomic_store_n(&ring->flood[news->slot].told, news->count, __ATOMIC_RELEASE);
}
