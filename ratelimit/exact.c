/*
 * Batches. Who asks is put to the leader of its group, or leads a new one; at the end of the
 * loop's turn the groups of a lane go out in one call. While a lane has its calls under way
 * nothing more is sent, so that batches grow with the load instead of the queue.
 */
#include "ratelimit/exact.h"

#include <openssl/evp.h>
#include <stdlib.h>

#include "gateway/base/siphash.h"
#include "gateway/chain/txn.h"
#include "gateway/store/keyspace.h"
#include "ratelimit/holds.h"
#include "ratelimit/lease.h"

enum {
    CALLS_MAX = 4,    /* under way, of one lane */
    CALLS_SPREAD = 1, /* where there are many lanes */
    DETOURS_MAX = 3,  /* of one call */
    GROUPS_MAX = 256,
    KEYS_MAX = 1024,
    HASH_SLOTS = 1024,
    RECHECKS = 1024,
    ASK_ITEMS_FEW = 4,
};

struct ask {
    struct op op; /* first */
    struct exact *exact;
    struct ask *next;       /* of leaders; in the pool */
    struct ask *peers;      /* the others of this group, in order of arrival */
    struct ask **peers_end; /* leaders only */
    struct ask *hash_next;
    uint64_t hash;
    uint64_t want;  /* leaders only: how many are in the group */
    uint64_t extra; /* tokens in advance; of leaders the most that one of them asks for */
    unsigned lane;
    unsigned count;
    bool wide; /* room for ASK_ITEMS_MAX, not for ASK_ITEMS_FEW */
    struct exact_item items[];
};

struct lane;

struct batch {
    struct redis_call call, asking;
    struct exact *exact;
    struct lane *lane;
    struct ask *groups; /* leaders, linked */
    unsigned group_count, key_count, detours;
    struct redis *asked; /* NULL: who holds the slot */
    bool busy, whole;    /* whole: the script itself went along */
};

struct lane {
    unsigned slot;
    struct ask *waiting, **waiting_end; /* leaders */
    struct batch batches[CALLS_MAX];
};

struct exact {
    struct worker *worker;
    const struct store *store;
    struct keyspace *keys;
    struct task flush;
    struct ask *slots[HASH_SLOTS];
    struct ask *free[2]; /* narrow, wide */
    unsigned asks;
    size_t calls;
    struct lane lanes[EXACT_LANES];
    struct exact_names names;
    struct exact_kept kept;
    uint64_t rechecked_ns[RECHECKS];
    struct leases leases;
    struct holds holds;
    char sha[41];
    /* what a call is put together from */
    struct span argv[3 + KEYS_MAX + GROUPS_MAX];
    char texts[KEYS_MAX][EXACT_KEY_TEXT_MAX];
    char packed[GROUPS_MAX * EXACT_PACKED_HEAD + KEYS_MAX * EXACT_PACKED_ITEM];
    struct exact_group shape[GROUPS_MAX];
};

/* ---- asks ---- */

static void release_ask(struct op *op)
{
    struct ask *ask = (struct ask *)(void *)op, **pool = &ask->exact->free[ask->wide];
    ask->next = *pool;
    *pool = ask;
}

/* Most have one item or three: with room for all, each would be a page of its own. */
static struct ask *take_ask(struct exact *exact, unsigned count)
{
    bool wide = count > ASK_ITEMS_FEW;
    struct ask *ask = exact->free[wide];
    if (ask != NULL) {
        exact->free[wide] = ask->next;
        return ask;
    }
    if (exact->asks == ASKS_MAX)
        return NULL;
    size_t most = wide ? ASK_ITEMS_MAX : ASK_ITEMS_FEW;
    ask = malloc(sizeof(*ask) + most * sizeof(ask->items[0]));
    if (ask == NULL)
        return NULL;
    ask->wide = wide;
    exact->asks++;
    return ask;
}

/* The same question: same keys, same price. What is known of them may differ. */
static bool same_question(const struct ask *ask, const struct exact_item *items, unsigned count)
{
    if (ask->count != count)
        return false;
    for (unsigned i = 0; i < count; i++) {
        const struct exact_item *a = &ask->items[i], *b = &items[i];
        if (memcmp(a->name, b->name, sizeof(a->name)) != 0 || a->step != b->step ||
            a->tolerance != b->tolerance || a->penalty != b->penalty || a->most != b->most ||
            a->expires_s != b->expires_s || a->shadow != b->shadow || a->charge != b->charge ||
            a->slots != b->slots || a->tell != b->tell)
            return false;
    }
    return true;
}

static struct ask *find_leader(const struct exact *exact, uint64_t hash,
                               const struct exact_item *items, unsigned count)
{
    struct ask *ask = exact->slots[hash % HASH_SLOTS];
    while (ask != NULL && (ask->hash != hash || !same_question(ask, items, count)))
        ask = ask->hash_next;
    return ask;
}

/* It is about to be sent: nobody can join it any more. */
static void unlead(struct exact *exact, const struct ask *ask)
{
    struct ask **at = &exact->slots[ask->hash % HASH_SLOTS];
    while (*at != NULL && *at != ask)
        at = &(*at)->hash_next;
    if (*at != NULL)
        *at = ask->hash_next;
}

static void lead(struct exact *exact, struct ask *ask)
{
    struct lane *lane = &exact->lanes[ask->lane];
    struct ask **slot = &exact->slots[ask->hash % HASH_SLOTS];
    ask->want = 1;
    ask->peers_end = &ask->peers;
    ask->hash_next = *slot;
    *slot = ask;
    *lane->waiting_end = ask;
    lane->waiting_end = &ask->next;
}

static void follow(struct ask *leader, struct ask *ask)
{
    leader->want++;
    if (ask->extra > leader->extra)
        leader->extra = ask->extra;
    *leader->peers_end = ask;
    leader->peers_end = &ask->peers;
    for (unsigned i = 0; i < ask->count; i++)
        if (ask->items[i].floor > leader->items[i].floor)
            leader->items[i].floor = ask->items[i].floor;
}

/* ---- answers ---- */

/* What was on its way has an answer, or will have none. */
static void land(const struct batch *batch)
{
    for (const struct ask *ask = batch->groups; ask != NULL; ask = ask->next)
        holds_landed(ask->items, ask->count);
}

static void fail_group(struct ask *leader, enum err err)
{
    struct worker *worker = leader->exact->worker;
    for (struct ask *ask = leader, *next; ask != NULL; ask = next) {
        next = ask->peers;
        holds_leave(ask->items, ask->count);
        op_finish(&ask->op, worker, err, NULL);
    }
}

static void fail_all(struct ask *leaders, enum err err)
{
    for (struct ask *leader = leaders, *next; leader != NULL; leader = next) {
        next = leader->next;
        fail_group(leader, err);
    }
}

struct advance {
    uint64_t extra, sent_ns;
};

/* Slots are the waiter's from here on, also when it is gone before it reads of them. */
static void take_slots(const struct ask *ask, uint64_t rank, const struct redis_value *group,
                       struct arena *arena)
{
    for (unsigned i = 0; i < ask->count; i++) {
        const struct exact_item *item = &ask->items[i];
        uint64_t passed = (uint64_t)(item->shadow ? group[1 + 2 * i] : group[0]).integer;
        if (item->slots && !item->tell && rank < passed)
            hold_take(item->hold, arena);
    }
    holds_leave(ask->items, ask->count);
}

static void answer_one(struct ask *ask, uint64_t rank, const struct redis_value *group,
                       struct advance advance)
{
    struct arena *arena = op_arena(&ask->op);
    struct exact_answer *answer = NULL;
    take_slots(ask, rank, group, arena);
    size_t size = sizeof(*answer) + ask->count * sizeof(answer->items[0]);
    if (arena != NULL)
        answer = arena_zero(arena, 1, size);
    if (answer == NULL) {
        op_finish(&ask->op, ask->exact->worker, ERR_MEMORY, NULL);
        return;
    }
    answer->sent_ns = advance.sent_ns;
    answer->extra = advance.extra;
    answer->count = ask->count;
    answer->granted = rank < (uint64_t)group[0].integer;
    for (unsigned i = 0; i < ask->count; i++) {
        answer->items[i].taken = rank < (uint64_t)group[1 + 2 * i].integer;
        answer->items[i].ahead = (uint64_t)group[2 + 2 * i].integer;
    }
    op_finish(&ask->op, ask->exact->worker, OK, answer);
}

static void answer_all(const struct batch *batch, const struct redis_value *value,
                       struct ask *leader)
{
    const struct redis_value *group = value->items;
    while (leader != NULL) {
        struct ask *next_leader = leader->next, *ask = leader;
        unsigned width = 1 + 2 * leader->count;
        uint64_t want = leader->want, given = (uint64_t)group[0].integer;
        for (uint64_t rank = 0; ask != NULL; rank++) {
            struct ask *next = ask->peers;
            uint64_t extra = rank == 0 && given > want ? given - want : 0;
            answer_one(ask, rank, group, (struct advance){ extra, batch->call.sent_ns });
            ask = next;
        }
        group += width;
        leader = next_leader;
    }
}

/* ---- calls ---- */

static void send_batch(struct batch *batch);

static bool reply_fits(struct exact *exact, const struct batch *batch,
                       const struct redis_value *value)
{
    unsigned n = 0;
    for (const struct ask *ask = batch->groups; ask != NULL; ask = ask->next)
        exact->shape[n++] =
            (struct exact_group){ .count = ask->count, .want = ask->want, .extra = ask->extra };
    return exact_reply_valid(value, exact->shape, n);
}

/* Whether it goes out once more, and where. */
static bool detour(struct batch *batch, const struct redis_value *value)
{
    struct exact *exact = batch->exact;
    struct redis *asked;
    if (redis_is_error(value, SPAN("NOSCRIPT")) && !batch->whole) {
        batch->whole = true; /* somebody flushed the scripts: now it brings its own */
        return true;
    }
    switch (keyspace_detour(exact->keys, batch->lane->slot, value, &asked)) {
    case DETOUR_NONE: /* no error, and yet no answer */
    case DETOUR_USELESS:
        keyspace_useless(exact->keys, batch->lane->slot);
        return false;
    case DETOUR_LATER:
        return false;
    case DETOUR_MOVED:
    case DETOUR_ASK:
        break;
    }
    batch->asked = asked;
    return batch->detours++ < DETOURS_MAX;
}

/* Who has not been sent yet would wait as long in vain. */
static void fail_waiting(struct exact *exact, struct lane *lane)
{
    struct ask *waiting = lane->waiting;
    for (struct ask *ask = waiting; ask != NULL; ask = ask->next)
        unlead(exact, ask);
    lane->waiting = NULL;
    lane->waiting_end = &lane->waiting;
    fail_all(waiting, ERR_CLOSED);
}

static void on_reply(struct redis_call *call, enum err err, const struct redis_value *value)
{
    struct batch *batch = CONTAINER(call, struct batch, call);
    struct exact *exact = batch->exact;
    struct lane *lane = batch->lane;
    bool fits = err == OK && reply_fits(exact, batch, value);
    land(batch);
    if (err == OK && !fits && detour(batch, value)) {
        send_batch(batch);
        if (!batch->busy && lane->waiting != NULL)
            loop_post(&exact->worker->loop, &exact->flush);
        return;
    }
    struct ask *leaders = batch->groups;
    batch->groups = NULL;
    batch->busy = false;
    if (fits) {
        answer_all(batch, value, leaders);
    } else {
        fail_all(leaders, err != OK ? err : ERR_REMOTE);
        fail_waiting(exact, lane);
    }
    if (lane->waiting != NULL)
        loop_post(&exact->worker->loop, &exact->flush);
}

static void on_asking(struct redis_call *call, enum err err, const struct redis_value *value)
{
    (void)call; /* what follows it tells how it went */
    (void)err;
    (void)value;
}

static struct span write_name(struct exact *exact, unsigned slot, unsigned lane,
                              const char *name)
{
    struct text text = text_fixed(exact->texts[slot], EXACT_KEY_TEXT_MAX);
    exact_names_write(&exact->names, lane, name, &text);
    return text_span(&text);
}

static char *pack_item(const struct exact *exact, const struct exact_item *item, char *at)
{
    if (!item->slots)
        return exact_pack_item(at, item);
    struct hold_word word = hold_tell(item->hold);
    return exact_pack_slots(at, item, exact->holds.holder, &word);
}

static char *pack_group(struct exact *exact, const struct ask *ask, unsigned *slot, char *at)
{
    at = exact_pack_head(at, ask->want, ask->count, ask->extra);
    for (unsigned i = 0; i < ask->count; i++) {
        exact->argv[3 + *slot] = write_name(exact, *slot, ask->lane, ask->items[i].name);
        (*slot)++;
        at = pack_item(exact, &ask->items[i], at);
    }
    return at;
}

/* A slot that is on its way to another node is asked there behind ASKING. */
static enum err pass_on(struct batch *batch, unsigned argc)
{
    struct exact *exact = batch->exact;
    struct redis *asked = batch->asked;
    batch->asked = NULL;
    if (asked == NULL)
        return keyspace_send(exact->keys, batch->lane->slot, &batch->call, argc, exact->argv);
    batch->asking.done = on_asking;
    TRY(redis_send(asked, &batch->asking, 1, (struct span[]){ SPAN("ASKING") }));
    return redis_send(asked, &batch->call, argc, exact->argv);
}

static void send_batch(struct batch *batch)
{
    struct exact *exact = batch->exact;
    char count[16], *at = exact->packed;
    struct text keys = text_fixed(count, sizeof(count));
    unsigned slot = 0, group = 0;

    text_uint(&keys, batch->key_count);
    exact->argv[0] = batch->whole ? SPAN("EVAL") : SPAN("EVALSHA");
    exact->argv[1] = batch->whole ? span_text(exact_script) : span_text(exact->sha);
    exact->argv[2] = text_span(&keys);
    for (const struct ask *ask = batch->groups; ask != NULL; ask = ask->next) {
        char *from = at;
        at = pack_group(exact, ask, &slot, at);
        exact->argv[3 + batch->key_count + group++] = span_range(from, at);
    }
    INVARIANT(slot == batch->key_count && group == batch->group_count);
    batch->busy = true;
    batch->call.done = on_reply;
    exact->calls++;
    enum err err = pass_on(batch, 3 + slot + group);
    if (err == OK)
        return;
    land(batch);
    struct ask *leaders = batch->groups;
    batch->groups = NULL;
    batch->busy = false;
    fail_all(leaders, err);
}

static struct batch *free_batch(struct exact *exact, struct lane *lane)
{
    unsigned most = exact->names.lane_count > 1 ? CALLS_SPREAD : CALLS_MAX;
    for (unsigned i = 0; i < most; i++)
        if (!lane->batches[i].busy)
            return &lane->batches[i];
    return NULL;
}

/* As many groups as one call may have; they can be joined no more. */
static void fill_batch(struct exact *exact, struct lane *lane, struct batch *batch)
{
    struct ask **end = &batch->groups;
    *batch = (struct batch){ .exact = exact, .lane = lane };
    while (lane->waiting != NULL && batch->group_count < GROUPS_MAX &&
           batch->key_count + lane->waiting->count <= KEYS_MAX) {
        struct ask *ask = lane->waiting;
        lane->waiting = ask->next;
        unlead(exact, ask);
        ask->next = NULL;
        *end = ask;
        end = &ask->next;
        batch->group_count++;
        batch->key_count += ask->count;
    }
    if (lane->waiting == NULL)
        lane->waiting_end = &lane->waiting;
}

static void on_flush(struct task *task)
{
    struct exact *exact = CONTAINER(task, struct exact, flush);
    for (unsigned i = 0; i < exact->names.lane_count; i++) {
        struct lane *lane = &exact->lanes[i];
        struct batch *batch;
        while (lane->waiting != NULL && (batch = free_batch(exact, lane)) != NULL) {
            fill_batch(exact, lane, batch);
            send_batch(batch);
        }
    }
}

/* ---- the worker's side ---- */

static void open_lanes(struct exact *exact)
{
    for (unsigned i = 0; i < exact->names.lane_count; i++) {
        struct lane *lane = &exact->lanes[i];
        char name[EXACT_KEY_TEXT_MAX];
        struct text text = text_fixed(name, sizeof(name));
        exact_names_tag(&exact->names, i, &text);
        lane->slot = keyspace_slot(exact->keys, text_span(&text));
        lane->waiting_end = &lane->waiting;
    }
}

struct exact *exact_attach(struct worker *worker, const struct store *store)
{
    unsigned char digest[20];
    struct exact *exact = calloc(1, sizeof(*exact));
    if (exact == NULL)
        return NULL;
    exact->worker = worker;
    exact->store = store;
    exact->keys = worker->keys;
    exact->flush.run = on_flush;
    exact_names_open(&exact->names, store);
    open_lanes(exact);
    if (EVP_Digest(exact_script, strlen(exact_script), digest, NULL, EVP_sha1(), NULL) != 1) {
        free(exact);
        return NULL;
    }
    struct text sha = text_fixed(exact->sha, sizeof(exact->sha) - 1);
    text_hex(&sha, digest, sizeof(digest));
    keyspace_keep_script(worker->keys, span_text(exact_script));
    holds_open(&exact->holds, exact, worker);
    return exact;
}

bool exact_spread(const struct exact *exact)
{
    return exact->names.lane_count > 1;
}

unsigned exact_lane(const struct exact *exact, struct span subject)
{
    return exact_names_lane(&exact->names, subject);
}

bool exact_recheck(struct exact *exact, const struct cell_key *key, uint64_t now_ns)
{
    uint64_t *at = &exact->rechecked_ns[key->place % RECHECKS];
    if (*at != 0 && now_ns - *at < (uint64_t)RECHECK_MS * 1000000)
        return false;
    *at = now_ns;
    return true;
}

bool exact_usable(const struct exact *exact, unsigned lane)
{
    return exact != NULL && keyspace_usable(exact->keys, exact->lanes[lane].slot);
}

uint64_t exact_back_ns(const struct exact *exact, unsigned lane)
{
    return keyspace_back_ns(exact->keys, exact->lanes[lane].slot);
}

size_t exact_calls(const struct exact *exact)
{
    return exact->calls;
}

struct leases *exact_leases(struct exact *exact)
{
    return &exact->leases;
}

struct holds *exact_holds(struct exact *exact)
{
    return &exact->holds;
}

void exact_name(struct exact *exact, const struct cell_key *local, struct span key,
                char name[EXACT_NAME_BYTES])
{
    exact_names_find(&exact->names, &exact->kept, local, key, name);
}

static struct ask *put_ask(struct exact *exact, unsigned lane, const struct exact_item *items,
                           unsigned count, unsigned extra)
{
    INVARIANT(count > 0 && count <= ASK_ITEMS_MAX && lane < exact->names.lane_count);
    struct ask *ask = take_ask(exact, count);
    if (ask == NULL)
        return NULL;
    op_init(&ask->op);
    ask->op.release = release_ask;
    ask->exact = exact;
    ask->next = ask->peers = NULL;
    ask->lane = lane;
    ask->extra = extra;
    ask->count = count;
    memcpy(ask->items, items, count * sizeof(*items));
    if (!holds_use(&exact->holds, lane, ask->items, count)) {
        release_ask(&ask->op);
        return NULL;
    }
    /* The names are MACs, so the first eight bytes of one are a hash already. */
    memcpy(&ask->hash, items[0].name, sizeof(ask->hash));
    ask->hash += count;
    struct ask *leader = find_leader(exact, ask->hash, items, count);
    if (leader != NULL)
        follow(leader, ask);
    else
        lead(exact, ask);
    loop_post(&exact->worker->loop, &exact->flush);
    return ask;
}

struct op *exact_ask(struct exact *exact, unsigned lane, const struct exact_item *items,
                     unsigned count, unsigned extra)
{
    struct ask *ask = put_ask(exact, lane, items, count, extra);
    return ask != NULL ? &ask->op : NULL;
}

void exact_charge(struct exact *exact, unsigned lane, const struct exact_item *item)
{
    struct exact_item charge = *item;
    charge.charge = true;
    struct ask *ask = put_ask(exact, lane, &charge, 1, 0);
    if (ask != NULL)
        ask->op.abandoned = true;
}

void exact_tell(struct exact *exact, struct hold *hold)
{
    struct exact_item word = { .tolerance = hold->limit, .slots = true, .tell = true };
    memcpy(word.name, hold->name, sizeof(word.name));
    struct ask *ask = put_ask(exact, hold->lane, &word, 1, 0);
    if (ask != NULL)
        ask->op.abandoned = true;
}
