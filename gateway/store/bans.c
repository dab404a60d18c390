/*
 * Bans, offenders, events: see bans.h.
 *
 * An offender's number: the second of the last offence above, then how often it was banned,
 * then its score in 256ths of a point. So a full set of entries gives up who has been quiet the
 * longest.
 */
#include "gateway/store/bans.h"

enum { POINT = 256, SCORE_BITS = 28, LEVEL_BITS = 4 };

/* A slot of the ring. `sequence` is 0 while it is written, else number of the event plus 1. */
struct event_slot {
    uint64_t sequence;
    struct ban_event event;
};

struct bans_memory {
    _Alignas(64) uint64_t next_event;
    uint64_t leader; /* when it asked last, above who it is */
    uint64_t told;   /* events before this one need no alert any more */
    uint32_t never_count;
    bool started;
    struct cidr never[BAN_NEVER_MAX];
    _Alignas(64) struct event_slot events[BAN_EVENTS];
};

const char *ban_cause_name(unsigned cause)
{
    static const char *const names[CAUSE_COUNT] = {
        [CAUSE_RULE] = "rule",           [CAUSE_LOGIN] = "login",
        [CAUSE_LIMIT] = "limit",         [CAUSE_HONEYPOT] = "honeypot",
        [CAUSE_NOT_FOUND] = "not-found", [CAUSE_OPERATOR] = "operator",
        [CAUSE_NODE] = "node",
    };
    return cause < CAUSE_COUNT ? names[cause] : "?";
}

static size_t rounded(size_t size)
{
    return (size + 127) & ~(size_t)127; /* as tables of cells are aligned */
}

size_t bans_bytes(void)
{
    return rounded(sizeof(struct bans_memory)) + rounded(cells_bytes(BANS_ENTRIES)) +
           cells_bytes(OFFENDERS_ENTRIES);
}

void bans_over(struct bans *bans, void *memory, const uint8_t boot_key[32])
{
    char *at = memory;
    struct siphash_key boot;
    uint64_t words[4];
    bans->memory = memory;
    at += rounded(sizeof(struct bans_memory));
    cells_over(&bans->banned, at, BANS_ENTRIES);
    at += rounded(cells_bytes(BANS_ENTRIES));
    cells_over(&bans->offenders, at, OFFENDERS_ENTRIES);
    memcpy(&boot, boot_key, sizeof(boot));
    for (unsigned i = 0; i < 4; i++) {
        char use[8] = "bans  0";
        use[6] = (char)('0' + i);
        words[i] = siphash(&boot, use, sizeof(use));
    }
    bans->place = (struct siphash_key){ words[0], words[1] };
    bans->fingerprint = (struct siphash_key){ words[2], words[3] };
}

/* ---- nets ---- */

struct cidr ban_net(const struct addr *addr)
{
    struct cidr net = { .addr = *addr, .bits = addr->family == ADDR_V6 ? 64 : 32 };
    addr_mask(&net.addr, net.bits);
    net.addr.port = 0;
    return net;
}

bool ban_net_ok(const struct cidr *net)
{
    if (net->addr.family == ADDR_V4)
        return net->bits == 32 || net->bits == 24;
    return net->addr.family == ADDR_V6 && (net->bits == 64 || net->bits == 48);
}

static struct cell_key key_of(const struct bans *bans, const struct addr *addr, unsigned bits)
{
    struct addr net = *addr;
    uint64_t parts[3];
    addr_mask(&net, bits);
    memcpy(parts, net.bytes, 16);
    parts[2] = (uint64_t)net.family << 8 | bits;
    return (struct cell_key){ .place = siphash(&bans->place, parts, sizeof(parts)),
                              .fingerprint =
                                  siphash(&bans->fingerprint, parts, sizeof(parts)) };
}

/* ---- bans ---- */

uint64_t bans_until(const struct bans *bans, const struct addr *addr, uint64_t now_s)
{
    static const unsigned v4[] = { 32, 24 }, v6[] = { 64, 48 };
    const unsigned *bits = addr->family == ADDR_V6 ? v6 : v4;
    if (addr->family != ADDR_V4 && addr->family != ADDR_V6)
        return 0;
    for (unsigned i = 0; i < 2; i++) {
        uint64_t until = cells_get(&bans->banned, key_of(bans, addr, bits[i]));
        if (until > now_s)
            return until;
    }
    return 0;
}

uint64_t bans_get(const struct bans *bans, const struct cidr *net)
{
    return cells_get(&bans->banned, key_of(bans, &net->addr, net->bits));
}

struct setting {
    uint64_t until_s;
    bool changed;
};

static bool step_set(void *ctx, uint64_t seen, uint64_t *next)
{
    struct setting *setting = ctx;
    *next = setting->until_s;
    setting->changed = seen != setting->until_s;
    return setting->changed;
}

bool bans_set(const struct bans *bans, const struct cidr *net, uint64_t until_s, uint64_t now_s)
{
    struct setting setting = { .until_s = until_s };
    struct cell_key key = key_of(bans, &net->addr, net->bits);
    return cells_change(&bans->banned, key, now_s, step_set, &setting, NULL) == OK &&
           setting.changed;
}

/* ---- offences ---- */

struct offender {
    uint64_t last_s, level, score;
};

static struct offender unpack(uint64_t number)
{
    return (struct offender){
        .last_s = number >> (SCORE_BITS + LEVEL_BITS),
        .level = number >> SCORE_BITS & BAN_LEVEL_MAX,
        .score = number & ((UINT64_C(1) << SCORE_BITS) - 1),
    };
}

static uint64_t pack(struct offender o)
{
    uint64_t most = (UINT64_C(1) << SCORE_BITS) - 1;
    return o.last_s << (SCORE_BITS + LEVEL_BITS) | o.level << SCORE_BITS |
           (o.score < most ? o.score : most);
}

/* What is left of a score: halves in each half-life, straight lines between. */
static struct offender aged(struct offender o, uint32_t half_s, uint64_t now_s)
{
    uint64_t age = now_s > o.last_s ? now_s - o.last_s : 0;
    uint64_t halvings = half_s > 0 ? age / half_s : 0;
    o.score = halvings < SCORE_BITS ? o.score >> halvings : 0;
    if (half_s > 0)
        o.score -= o.score * (age % half_s) / (2 * (uint64_t)half_s);
    if (age > BAN_LEVEL_MEMORY_S)
        o.level = 0;
    o.last_s = now_s;
    return o;
}

struct offending {
    const struct ban_policy *policy;
    uint32_t points;
    uint64_t now_s;
    bool banned;
    uint64_t level;
};

static bool step_offend(void *ctx, uint64_t seen, uint64_t *next)
{
    struct offending *offending = ctx;
    struct offender o = aged(unpack(seen), offending->policy->half_s, offending->now_s);
    o.score += (uint64_t)offending->points * POINT;
    offending->level = o.level;
    offending->banned = o.score >= (uint64_t)offending->policy->threshold * POINT;
    if (offending->banned) {
        o.score = 0;
        o.level += o.level < BAN_LEVEL_MAX;
    }
    *next = pack(o);
    return true;
}

static uint64_t length_s(const struct ban_policy *policy, uint64_t level)
{
    uint64_t length = policy->first_s;
    while (level-- > 0 && length < policy->longest_s)
        if (__builtin_mul_overflow(length, policy->factor, &length))
            return policy->longest_s;
    return length < policy->longest_s ? length : policy->longest_s;
}

uint64_t bans_offend(const struct bans *bans, const struct addr *addr,
                     const struct ban_policy *policy, uint32_t points, uint64_t now_s,
                     uint8_t *level)
{
    struct cidr net = ban_net(addr);
    struct offending offending = { .policy = policy,
                                   .points = points < OFFENCE_POINTS_MAX ? points
                                                                         : OFFENCE_POINTS_MAX,
                                   .now_s = now_s };
    struct cell_key key = key_of(bans, &net.addr, net.bits);
    /* Who was quiet for as long as levels are remembered is of no use here. */
    uint64_t stale_s = now_s > BAN_LEVEL_MEMORY_S ? now_s - BAN_LEVEL_MEMORY_S : 0;
    uint64_t stale = stale_s << (SCORE_BITS + LEVEL_BITS);
    if (cells_change(&bans->offenders, key, stale, step_offend, &offending, NULL) != OK ||
        !offending.banned)
        return 0;
    *level = (uint8_t)offending.level;
    uint64_t until_s = now_s + length_s(policy, offending.level);
    if (bans_get(bans, &net) < until_s)
        (void)bans_set(bans, &net, until_s, now_s);
    return until_s;
}

void bans_score(const struct bans *bans, const struct addr *addr, uint32_t half_s,
                uint64_t now_s, uint32_t *points, uint8_t *level)
{
    struct cidr net = ban_net(addr);
    uint64_t number = cells_get(&bans->offenders, key_of(bans, &net.addr, net.bits));
    struct offender o = aged(unpack(number), half_s, now_s);
    *points = (uint32_t)(o.score / POINT);
    *level = (uint8_t)o.level;
}

void bans_forget(const struct bans *bans, const struct addr *addr)
{
    struct cidr net = ban_net(addr);
    cells_store(&bans->offenders, key_of(bans, &net.addr, net.bits), 0, 0);
}

/* ---- events ---- */

void bans_log(const struct bans *bans, const struct ban_event *event)
{
    struct bans_memory *memory = bans->memory;
    uint64_t number = __atomic_fetch_add(&memory->next_event, 1, __ATOMIC_RELAXED);
    struct event_slot *slot = &memory->events[number % BAN_EVENTS];
    __atomic_store_n(&slot->sequence, 0, __ATOMIC_RELEASE);
    __atomic_thread_fence(__ATOMIC_SEQ_CST);
    slot->event = *event;
    __atomic_store_n(&slot->sequence, number + 1, __ATOMIC_RELEASE);
}

/* Texts end, whoever wrote them. */
static void bound(struct ban_event *event)
{
    event->request[sizeof(event->request) - 1] = '\0';
    event->site[sizeof(event->site) - 1] = '\0';
    event->reason[sizeof(event->reason) - 1] = '\0';
}

static bool event_ok(const struct ban_event *event)
{
    return event->kind <= BAN_LIFTED && event->cause < CAUSE_COUNT && ban_net_ok(&event->net);
}

bool bans_next(const struct bans *bans, uint64_t *cursor, struct ban_event *event)
{
    const struct bans_memory *memory = bans->memory;
    uint64_t end = __atomic_load_n(&memory->next_event, __ATOMIC_ACQUIRE);
    if (*cursor > end)
        *cursor = end;
    if (end - *cursor > BAN_EVENTS)
        *cursor = end - BAN_EVENTS;
    for (; *cursor < end; (*cursor)++) {
        const struct event_slot *slot = &memory->events[*cursor % BAN_EVENTS];
        uint64_t before = __atomic_load_n(&slot->sequence, __ATOMIC_ACQUIRE);
        if (before != *cursor + 1)
            continue; /* overwritten, or its writer is not done: or dead */
        *event = slot->event;
        __atomic_thread_fence(__ATOMIC_ACQUIRE);
        if (__atomic_load_n(&slot->sequence, __ATOMIC_RELAXED) != before)
            continue;
        bound(event);
        if (!event_ok(event))
            continue;
        (*cursor)++;
        return true;
    }
    return false;
}

bool bans_claim(const struct bans *bans, uint64_t *cursor, struct ban_event *event)
{
    while (bans_next(bans, cursor, event)) {
        struct event_slot *slot = &bans->memory->events[(*cursor - 1) % BAN_EVENTS];
        bool told = false;
        if (event->kind != BAN_OFFENCE && !event->shared &&
            __atomic_compare_exchange_n(&slot->event.shared, &told, true, false,
                                        __ATOMIC_ACQ_REL, __ATOMIC_RELAXED))
            return true;
    }
    return false;
}

uint64_t bans_told(const struct bans *bans)
{
    return __atomic_load_n(&bans->memory->told, __ATOMIC_ACQUIRE);
}

void bans_told_set(const struct bans *bans, uint64_t cursor)
{
    __atomic_store_n(&bans->memory->told, cursor, __ATOMIC_RELEASE);
}

bool bans_lead(const struct bans *bans, uint32_t who, uint64_t now_ms)
{
    const uint64_t mask = (UINT64_C(1) << BAN_LEADER_BITS) - 1;
    uint64_t *leader = &bans->memory->leader, mine = now_ms << BAN_LEADER_BITS | (who & mask);
    uint64_t seen = __atomic_load_n(leader, __ATOMIC_ACQUIRE), at_ms = seen >> BAN_LEADER_BITS;
    bool late = now_ms - at_ms > BAN_LEAD_MS; /* so is one whose time is still to come */
    if ((seen & mask) != (who & mask) && !late)
        return false;
    return __atomic_compare_exchange_n(leader, &seen, mine, false, __ATOMIC_ACQ_REL,
                                       __ATOMIC_RELAXED);
}

bool bans_first_start(const struct bans *bans)
{
    return !__atomic_exchange_n(&bans->memory->started, true, __ATOMIC_ACQ_REL);
}

/* ---- never ---- */

void bans_never_set(const struct bans *bans, const struct cidr *nets, size_t count)
{
    struct bans_memory *memory = bans->memory;
    __atomic_store_n(&memory->never_count, 0, __ATOMIC_RELEASE);
    if (count > BAN_NEVER_MAX)
        count = BAN_NEVER_MAX;
    if (count > 0)
        memcpy(memory->never, nets, count * sizeof(*nets));
    __atomic_store_n(&memory->never_count, (uint32_t)count, __ATOMIC_RELEASE);
}

/* Whether one lies in the other. */
static bool overlap(const struct cidr *a, const struct cidr *b)
{
    return cidr_contains(a, &b->addr) || cidr_contains(b, &a->addr);
}

bool bans_never(const struct bans *bans, const struct cidr *net)
{
    const struct bans_memory *memory = bans->memory;
    uint32_t count = __atomic_load_n(&memory->never_count, __ATOMIC_ACQUIRE);
    for (uint32_t i = 0; i < count && i < BAN_NEVER_MAX; i++)
        if (overlap(&memory->never[i], net))
            return true;
    return false;
}
