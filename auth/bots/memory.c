/* Cells for what is looked up by a key, and one row for each route. */
#include "auth/bots/memory.h"

#include "gateway/base/text.h"

const char *const bots_count_names[BOTS_COUNTS] = {
    [COUNT_CHALLENGED] = "challenged", [COUNT_PROVED] = "proved",
    [COUNT_WAITED] = "waited",         [COUNT_WRONG] = "wrong",
    [COUNT_REPLAYED] = "replayed",     [COUNT_EXPIRED] = "expired",
    [COUNT_BLOCKED] = "blocked",       [COUNT_UNCLEARED] = "uncleared",
    [COUNT_TRAPPED] = "trapped",       [COUNT_VERIFIED] = "verified",
    [COUNT_FALSE] = "false",
};

/* ---- the memory ---- */

static size_t rounded(size_t size)
{
    return (size + 127) & ~(size_t)127;
}

size_t bots_memory_bytes(void)
{
    return rounded(sizeof(struct bots_shared)) + rounded(cells_bytes(BOTS_USED)) +
           rounded(cells_bytes(BOTS_VISITORS)) + rounded(cells_bytes(BOTS_VERIFIED));
}

void bots_memory_over(struct bots_memory *view, void *memory, const uint8_t boot_key[32])
{
    char *p = memory;
    view->shared = memory;
    p += rounded(sizeof(struct bots_shared));
    cells_over(&view->used, p, BOTS_USED);
    p += rounded(cells_bytes(BOTS_USED));
    cells_over(&view->visitors, p, BOTS_VISITORS);
    p += rounded(cells_bytes(BOTS_VISITORS));
    cells_over(&view->verified, p, BOTS_VERIFIED);
    memcpy(&view->place, boot_key, sizeof(view->place));
    memcpy(&view->fingerprint, boot_key + 16, sizeof(view->fingerprint));
}

void bots_count(const struct bots_memory *view, enum bots_count count)
{
    (void)__atomic_add_fetch(&view->shared->counts[count], 1, __ATOMIC_RELAXED);
}

uint64_t bots_counted(const struct bots_memory *view, enum bots_count count)
{
    return __atomic_load_n(&view->shared->counts[count], __ATOMIC_RELAXED);
}

/* ---- what is good once ---- */

static struct cell_key key_of(const struct bots_memory *view, struct span bytes)
{
    return (struct cell_key){ siphash(&view->place, bytes.p, bytes.len),
                              siphash(&view->fingerprint, bytes.p, bytes.len) };
}

struct use {
    uint64_t now_s, until_s;
    bool first;
};

static bool mark_used(void *ctx, uint64_t seen, uint64_t *next)
{
    struct use *use = ctx;
    use->first = seen <= use->now_s;
    *next = use->until_s;
    return use->first;
}

bool bots_use_once(const struct bots_memory *view, struct span id, uint64_t now_s,
                   uint64_t until_s)
{
    struct use use = { now_s, until_s, false };
    enum err err = cells_change(&view->used, key_of(view, id), now_s, mark_used, &use, NULL);
    return err == OK && use.first;
}

/* ---- visitors ---- */

/* A number of the table: 32 bits of time first, so that who was here least lately makes room.
 */
enum { MISSED_BITS = 6, COUNT_BITS = 5, TRAPPED_BITS = 3, SCORE_BITS = 8 };

static const struct {
    unsigned shift, bits;
} parts[VISITOR_EVENTS] = {
    [VISITOR_MISSED] = { 18, MISSED_BITS },  [VISITOR_ASKED] = { 13, COUNT_BITS },
    [VISITOR_PASSED] = { 8, COUNT_BITS },    [VISITOR_FAILED] = { 3, COUNT_BITS },
    [VISITOR_TRAPPED] = { 0, TRAPPED_BITS },
};
enum { SCORE_SHIFT = 24 };

static unsigned most(unsigned event)
{
    return (1u << parts[event].bits) - 1;
}

/* As it counts now: half after each window. */
static struct visitor visitor_of(uint64_t number, uint64_t now_s)
{
    struct visitor visitor = { .since_s = number >> 32 };
    uint64_t age_s = now_s > visitor.since_s ? now_s - visitor.since_s : 0;
    uint64_t halves = age_s / VISITOR_WINDOW_S;
    if (number == 0 || halves > MISSED_BITS)
        return (struct visitor){ .since_s = 0 };
    visitor.score = (unsigned)(number >> SCORE_SHIFT) & ((1u << SCORE_BITS) - 1);
    for (unsigned i = 0; i < VISITOR_EVENTS; i++)
        visitor.counts[i] = ((unsigned)(number >> parts[i].shift) & most(i)) >> halves;
    visitor.since_s += halves * VISITOR_WINDOW_S;
    return visitor;
}

static uint64_t number_of(const struct visitor *visitor)
{
    uint64_t number = visitor->since_s << 32 | (uint64_t)visitor->score << SCORE_SHIFT;
    for (unsigned i = 0; i < VISITOR_EVENTS; i++)
        number |= (uint64_t)visitor->counts[i] << parts[i].shift;
    return number;
}

static bool subscriber_key(const struct bots_memory *view, const struct addr *addr,
                           struct cell_key *key)
{
    struct addr subscriber = { .family = ADDR_NONE };
    char bytes[sizeof(subscriber.bytes) + 1];
    if (!addr_subscriber(addr, &subscriber))
        return false;
    memcpy(bytes, subscriber.bytes, sizeof(subscriber.bytes));
    bytes[sizeof(subscriber.bytes)] = (char)subscriber.family;
    *key = key_of(view, span_of(bytes, sizeof(bytes)));
    return true;
}

struct visitor bots_visitor(const struct bots_memory *view, const struct addr *addr,
                            uint64_t now_s)
{
    struct cell_key key;
    if (!subscriber_key(view, addr, &key))
        return (struct visitor){ .since_s = 0 };
    return visitor_of(cells_get(&view->visitors, key), now_s);
}

struct note {
    uint64_t now_s;
    int event; /* -1: the score */
    unsigned score;
};

static bool add_note(void *ctx, uint64_t seen, uint64_t *next)
{
    const struct note *note = ctx;
    struct visitor visitor = visitor_of(seen, note->now_s);
    if (visitor.since_s == 0)
        visitor.since_s = note->now_s;
    if (note->event < 0)
        visitor.score = note->score;
    else if (note->event == VISITOR_TRAPPED)
        visitor.counts[VISITOR_TRAPPED] = most(VISITOR_TRAPPED);
    else if (visitor.counts[note->event] < most((unsigned)note->event))
        visitor.counts[note->event]++;
    *next = number_of(&visitor);
    return *next != seen;
}

/* What could not be noted is forgotten: a table that is full of others' doings says nothing. */
static void change(const struct bots_memory *view, const struct addr *addr, struct note *note)
{
    struct cell_key key;
    uint64_t forgotten_s = (uint64_t)(MISSED_BITS + 1) * VISITOR_WINDOW_S;
    uint64_t stale = note->now_s > forgotten_s ? (note->now_s - forgotten_s) << 32 : 0;
    if (subscriber_key(view, addr, &key) &&
        cells_change(&view->visitors, key, stale, add_note, note, NULL) != OK)
        return;
}

void bots_note(const struct bots_memory *view, const struct addr *addr,
               enum visitor_event event, uint64_t now_s)
{
    struct note note = { .now_s = now_s, .event = (int)event };
    change(view, addr, &note);
}

void bots_note_score(const struct bots_memory *view, const struct addr *addr, unsigned score,
                     uint64_t now_s)
{
    struct note note = { .now_s = now_s, .event = -1, .score = score };
    change(view, addr, &note);
}

/* ---- routes ---- */

struct route_pressure *bots_route(const struct bots_memory *view, struct span site,
                                  struct span route)
{
    char name[BOTS_ROUTE_BYTES] = { 0 };
    struct text text = text_fixed(name, sizeof(name) - 1);
    uint64_t halves[2] = { siphash(&view->place, site.p, site.len),
                           siphash(&view->place, route.p, route.len) };
    uint64_t key = siphash(&view->fingerprint, halves, sizeof(halves)) | 1;
    text_add(&text, span_sub(site, 0, 40));
    text_char(&text, ' ');
    text_add(&text, span_sub(route, 0, 64));
    for (unsigned i = 0; i < BOTS_ROUTES - 1; i++) {
        struct route_pressure *pressure = &view->shared->routes[i];
        uint64_t seen = 0;
        if (__atomic_compare_exchange_n(&pressure->key, &seen, key, false, __ATOMIC_ACQ_REL,
                                        __ATOMIC_ACQUIRE))
            memcpy(pressure->name, name, sizeof(name));
        else if (seen != key)
            continue;
        return pressure;
    }
    return &view->shared->routes[BOTS_ROUTES - 1];
}
