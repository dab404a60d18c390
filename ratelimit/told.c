/*
 * What clients are told on answers that are no refusals, where `always` asks for it: of every
 * limit that was asked what is left, or in the older forms, which have room for one, of the
 * one that is nearest. Wider networks and shadows are not told, nor requests at a time, which
 * nobody can say anything about that still holds when it arrives.
 */
#include "gateway/chain/edit.h"
#include "ratelimit/limit.h"

static const uint64_t second_ns = UINT64_C(1000000000);

static bool is_told(const struct limit *limit)
{
    return !limit->shadow && limit->v6_bits == KEY_NETWORK_BITS && limit->kind != KIND_SLOTS;
}

/* The store was asked later than the request began: by that clock one would be missing. */
static uint64_t now_of(const struct call *c, const struct limit_item *item)
{
    uint64_t turn_ns = c->txn->worker->loop.clock.mono_ns;
    return item->limit->kind == KIND_RATE && turn_ns > item->now ? turn_ns : item->now;
}

void limits_note(struct call *c, const struct limits_state *state, enum limit_counter shared)
{
    const struct rate_limits *conf = c->conf;
    struct limit_told *told = c->txn->facts.limit_told;
    for (unsigned i = 0; i < state->count; i++) {
        const struct limit_item *item = &state->items[i];
        const struct limit *limit = item->limit;
        if (!is_told(limit))
            continue;
        if (told == NULL) {
            told = arena_new(c->txn->arena, struct limit_told);
            if (told == NULL)
                return; /* what is not told is no less enforced */
            fact_set_limit_told(c, told);
        }
        if (told->count == ARRAY_LEN(told->items))
            return;
        uint64_t tat = tats_get(limit_table(conf, limit), item->key), now = now_of(c, item);
        uint64_t ahead = tat > now ? tat - now : 0, full = limit->gcra.tolerance_ns;
        ahead = ahead < full ? ahead : full;
        uint64_t left = (full - ahead) / limit->gcra.interval_ns, in_ns = ahead;
        int64_t ends_s = item->ends_s - (int64_t)(c->txn->clock->wall_us / 1000000);
        if (limit->kind == KIND_QUOTA)
            in_ns = ends_s > 0 ? (uint64_t)ends_s * second_ns : 0;
        told->items[told->count].limit = limit;
        told->items[told->count].remaining = left;
        told->items[told->count].full_ns = in_ns;
        told->items[told->count++].counter = limit_counted(item, shared);
    }
}

/* Of which the smallest part is left. */
static unsigned nearest(const struct limit_told *told)
{
    unsigned found = 0;
    for (unsigned i = 1; i < told->count; i++)
        if (told->items[i].remaining * told->items[found].limit->burst <
            told->items[found].remaining * told->items[i].limit->burst)
            found = i;
    return found;
}

static uint64_t seconds(uint64_t ns)
{
    return ns / second_ns + (ns % second_ns != 0);
}

static bool tell_draft(struct txn *txn, const struct limit_told *told)
{
    struct text state = text_growing(txn->arena, 256), policy = text_growing(txn->arena, 256);
    for (unsigned i = 0; i < told->count; i++) {
        if (i > 0) {
            text_lit(&state, ", ");
            text_lit(&policy, ", ");
        }
        limit_write_state(&state, told->items[i].limit, told->items[i].remaining,
                          seconds(told->items[i].full_ns));
        text_add(&policy, told->items[i].limit->policy);
    }
    return !state.overflow && !policy.overflow &&
           edit_field(txn, EDIT_RESPONSE, EDIT_ADD, SPAN("RateLimit"), text_span(&state)) &&
           edit_field(txn, EDIT_RESPONSE, EDIT_ADD, SPAN("RateLimit-Policy"),
                      text_span(&policy));
}

static bool tell_three(struct txn *txn, const struct limit_told *told, enum limit_fields fields)
{
    unsigned at = nearest(told);
    uint64_t in_s = seconds(told->items[at].full_ns);
    if (fields == FIELDS_GITHUB)
        in_s += txn->clock->wall_us / 1000000;
    const uint64_t numbers[3] = { limit_amount(told->items[at].limit),
                                  told->items[at].remaining, in_s };
    for (unsigned i = 0; i < 3; i++) {
        struct text text = text_growing(txn->arena, 24);
        text_uint(&text, numbers[i]);
        if (text.overflow || !edit_field(txn, EDIT_RESPONSE, EDIT_SET,
                                         limit_field_names(fields)[i], text_span(&text)))
            return false;
    }
    return true;
}

bool limits_tell(struct call *c)
{
    const struct rate_limits *conf = c->conf;
    const struct limit_told *told = c->txn->facts.limit_told;
    if (told == NULL || told->count == 0 || c->txn->facts.limit.len > 0)
        return true; /* a refusal tells of the limit that refused, and of no other */
    unsigned at = nearest(told);
    fact_set_limit(c, told->items[at].limit->name);
    fact_set_limit_left(c, told->items[at].remaining);
    fact_set_limit_store(c, meter_counters[told->items[at].counter]);
    switch ((enum limit_fields)conf->fields) {
    case FIELDS_DRAFT:
        return tell_draft(c->txn, told);
    case FIELDS_LEGACY:
    case FIELDS_GITHUB:
        return tell_three(c->txn, told, (enum limit_fields)conf->fields);
    case FIELDS_NONE:
        return true;
    }
    return false;
}
