/*
 * Batches. Who asks is put to the leader of its group, or leads a new one; at the end of the
 * loop's turn the groups of a lane go out in one call. While a lane has its calls under way
 * nothing more is sent, so that batches grow with the load instead of the queue.
 */
#include "ratelimit/exact.h"

#include <openssl/evp.h>
#include <sys/mman.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include "gateway/base/siphash.h"
#include "gateway/chain/txn.h"
#include "gateway/net/channel.h"
#include "gateway/store/keyspace.h"
#include "gateway/store/slots.h"
#include "ratelimit/exact_ask.h"
#include "ratelimit/exact_pace.h"
#include "ratelimit/holds.h"
#include "ratelimit/lease.h"

enum {
    CALLS_MAX = 4,    /* under way, of one lane */
    CALL_GROUPS = 8,  /* for one more: so many that wait, for each that is under way */
    CALLS_SPREAD = 1, /* where there are many lanes */
    HOLD_END_US = 2000,
    DETOURS_MAX = 3, /* of one call */
    GROUPS_MAX = 256,
    KEYS_MAX = 1024,
    RECHECKS = 1024,
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
    unsigned waiting_count;
    struct lane *next; /* of those where something waits, or did until just now */
    bool listed;
    struct batch batches[CALLS_MAX];
};

struct exact {
    struct worker *worker;
    const struct store *store;
    struct keyspace *keys;
    struct task flush;
    struct asks asks;
    struct pace pace;
    struct watch
        hold; /* timerfd, for when no more come: while they do, each looks at the clock */
    bool hold_armed;
    size_t calls;
    struct lane lanes[EXACT_LANES], *waiting;
    struct exact_names names;
    struct exact_kept kept;
    uint64_t rechecked_ns[RECHECKS];
    struct leases leases;
    struct holds holds;
    char sha[41];
    /* what a call is put together from */
    struct span argv[3 + KEYS_MAX + 1];
    char texts[KEYS_MAX][EXACT_KEY_TEXT_MAX];
    char packed[GROUPS_MAX * EXACT_PACKED_HEAD + KEYS_MAX * EXACT_PACKED_ITEM];
    struct exact_group shape[GROUPS_MAX];
};

static void wait_in(struct exact *exact, struct lane *lane, struct ask *leader)
{
    *lane->waiting_end = leader;
    lane->waiting_end = &leader->next;
    lane->waiting_count++;
    if (lane->listed)
        return;
    lane->listed = true;
    lane->next = exact->waiting;
    exact->waiting = lane;
}

/* ---- answers ---- */

/* What was on its way has an answer, or will have none. */
static void land(const struct batch *batch)
{
    for (const struct ask *ask = batch->groups; ask != NULL; ask = ask->next)
        if (ask->slots)
            holds_landed(ask->items, ask->group.count);
}

static void fail_group(struct ask *leader, enum err err)
{
    struct worker *worker = leader->asks->worker;
    for (struct ask *ask = leader, *next; ask != NULL; ask = next) {
        next = ask->peers;
        if (ask->slots)
            holds_leave(ask->items, ask->group.count);
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

/* Of one group; items: what each would have let pass, and what is taken of it. */
struct said {
    uint64_t granted, extra, sent_ns;
    const struct redis_value *items;
};

/* Slots are the waiter's from here on, also when it is gone before it reads of them. */
static void take_slots(const struct ask *ask, uint64_t rank, const struct said *said,
                       struct arena *arena)
{
    for (unsigned i = 0; i < ask->group.count; i++) {
        const struct exact_item *item = &ask->items[i];
        uint64_t passed = item->shadow ? (uint64_t)said->items[2 * i].integer : said->granted;
        if (item->slots && !item->tell && rank < passed)
            hold_take(item->hold, arena);
    }
    holds_leave(ask->items, ask->group.count);
}

static void answer_one(struct ask *ask, uint64_t rank, const struct said *said)
{
    struct arena *arena = op_arena(&ask->op);
    struct exact_answer *answer = NULL;
    if (ask->slots)
        take_slots(ask, rank, said, arena);
    size_t size = sizeof(*answer) + ask->group.count * sizeof(answer->items[0]);
    if (arena != NULL)
        answer = arena_alloc(arena, size); /* all of it is filled in */
    if (answer == NULL) {
        op_finish(&ask->op, ask->asks->worker, ERR_MEMORY, NULL);
        return;
    }
    answer->sent_ns = said->sent_ns;
    answer->extra = rank == 0 ? said->extra : 0;
    answer->count = ask->group.count;
    answer->granted = rank < said->granted;
    for (unsigned i = 0; i < ask->group.count; i++) {
        __builtin_prefetch(ask->items[i].line, 1); /* who waits writes there, in a while */
        answer->items[i].taken = rank < (uint64_t)said->items[2 * i].integer;
        answer->items[i].ahead = (uint64_t)said->items[2 * i + 1].integer;
    }
    op_finish(&ask->op, ask->asks->worker, OK, answer);
}

static void answer_all(const struct batch *batch, const struct redis_value *value,
                       struct ask *leader)
{
    const struct redis_value *at = value->items;
    while (leader != NULL) {
        struct ask *next_leader = leader->next, *ask = leader;
        const struct exact_group *group = &leader->group;
        if (next_leader != NULL)
            __builtin_prefetch(next_leader->op.waiter); /* many wait: each was away for long */
        struct said said = { .granted = (uint64_t)at[0].integer,
                             .items = group->plain ? at : at + 1,
                             .sent_ns = batch->call.sent_ns };
        at += exact_group_width(group);
        if (said.granted > group->want)
            said.extra = said.granted - group->want;
        for (uint64_t rank = 0; ask != NULL; rank++) {
            struct ask *next = ask->peers;
            answer_one(ask, rank, &said);
            ask = next;
        }
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
        exact->shape[n++] = ask->group;
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
static void fail_waiting(struct lane *lane)
{
    struct ask *waiting = lane->waiting;
    for (struct ask *ask = waiting; ask != NULL; ask = ask->next)
        ask_unlead(ask);
    lane->waiting = NULL;
    lane->waiting_end = &lane->waiting;
    lane->waiting_count = 0;
    fail_all(waiting, ERR_CLOSED);
}

/* What an operator sees of the store's health. */
static void meter_call(const struct batch *batch, bool useful)
{
    struct worker *worker = batch->exact->worker;
    if (worker->shared == NULL)
        return;
    struct worker_counters *counters = &worker->shared->counters;
    counters->store_calls++;
    counters->store_us += (worker->loop.clock.mono_ns - batch->call.sent_ns) / 1000;
    counters->store_failures += !useful;
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
    meter_call(batch, fits);
    struct ask *leaders = batch->groups;
    batch->groups = NULL;
    batch->busy = false;
    if (fits) {
        answer_all(batch, value, leaders);
    } else {
        fail_all(leaders, err != OK ? err : ERR_REMOTE);
        fail_waiting(lane);
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

static char *pack_group(struct exact *exact, struct ask *ask, unsigned *slot, char *at)
{
    at = exact_pack_head(at, &ask->group, ask->items);
    for (unsigned i = 0; i < ask->group.count; i++) {
        exact->argv[3 + *slot] = write_name(exact, *slot, ask->lane, ask->items[i].name);
        (*slot)++;
        if (!ask->group.plain)
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
        return keyspace_post(exact->keys, batch->lane->slot, &batch->call, argc, exact->argv);
    batch->asking.done = on_asking;
    TRY(redis_send(asked, &batch->asking, 1, (struct span[]){ SPAN("ASKING") }));
    return redis_send(asked, &batch->call, argc, exact->argv);
}

static void send_batch(struct batch *batch)
{
    struct exact *exact = batch->exact;
    char count[16], *at = exact->packed;
    struct text keys = text_fixed(count, sizeof(count));
    unsigned slot = 0;

    text_uint(&keys, batch->key_count);
    exact->argv[0] = batch->whole ? SPAN("EVAL") : SPAN("EVALSHA");
    exact->argv[1] = batch->whole ? span_text(exact_script) : span_text(exact->sha);
    exact->argv[2] = text_span(&keys);
    for (struct ask *ask = batch->groups; ask != NULL; ask = ask->next)
        at = pack_group(exact, ask, &slot, at);
    INVARIANT(slot == batch->key_count);
    exact->argv[3 + slot] = span_range(exact->packed, at);
    batch->busy = true;
    batch->call.done = on_reply;
    exact->calls++;
    enum err err = pass_on(batch, 3 + slot + 1);
    if (err == OK)
        return;
    land(batch);
    struct ask *leaders = batch->groups;
    batch->groups = NULL;
    batch->busy = false;
    fail_all(leaders, err);
}

static void on_hold_end(struct watch *watch, uint32_t events)
{
    struct exact *exact = CONTAINER(watch, struct exact, hold);
    uint64_t expirations;
    (void)events;
    if (read(watch->fd, &expirations, sizeof(expirations)) < 0)
        return;
    exact->hold_armed = false;
    loop_post(&exact->worker->loop, &exact->flush);
}

/* So many could go out. Without a timer nothing is held back. */
static bool hold(struct exact *exact, unsigned ready)
{
    static const struct itimerspec in = { .it_value = { .tv_nsec = HOLD_END_US * 1000 } };
    if (!pace_holds(&exact->pace, exact->worker->loop.clock.mono_ns, ready))
        return false;
    if (!exact->hold_armed)
        exact->hold_armed = timerfd_settime(exact->hold.fd, 0, &in, NULL) == 0;
    return exact->hold_armed;
}

/*
 * NULL: those that wait are to wait for an answer. The more calls are under way the fuller the
 * next one is to be.
 */
static struct batch *free_batch(const struct exact *exact, struct lane *lane)
{
    unsigned most = exact->names.lane_count > 1 ? CALLS_SPREAD : CALLS_MAX, busy = 0;
    struct batch *free = NULL;
    for (unsigned i = 0; i < most; i++) {
        struct batch *batch = &lane->batches[i];
        busy += batch->busy;
        if (!batch->busy)
            free = batch;
    }
    return lane->waiting_count < busy * CALL_GROUPS ? NULL : free;
}

/* As many groups as one call may have; they can be joined no more. */
static void fill_batch(struct exact *exact, struct lane *lane, struct batch *batch)
{
    struct ask **end = &batch->groups;
    *batch = (struct batch){ .exact = exact, .lane = lane };
    while (lane->waiting != NULL && batch->group_count < GROUPS_MAX &&
           batch->key_count + lane->waiting->group.count <= KEYS_MAX) {
        struct ask *ask = lane->waiting;
        lane->waiting = ask->next;
        ask_unlead(ask);
        ask->next = NULL;
        *end = ask;
        end = &ask->next;
        lane->waiting_count--;
        batch->group_count++;
        batch->key_count += ask->group.count;
    }
    if (lane->waiting == NULL)
        lane->waiting_end = &lane->waiting;
}

static unsigned count_ready(const struct exact *exact)
{
    unsigned ready = 0;
    for (struct lane *lane = exact->waiting; lane != NULL; lane = lane->next)
        ready += free_batch(exact, lane) != NULL ? lane->waiting_count : 0;
    return ready;
}

static void flush_lane(struct exact *exact, struct lane *lane)
{
    struct batch *batch;
    while (lane->waiting != NULL && (batch = free_batch(exact, lane)) != NULL) {
        fill_batch(exact, lane, batch);
        send_batch(batch);
    }
}

/* The lanes of one server after each other, so that their calls are one write; false: all are
 * flushed. */
static bool flush_server(struct exact *exact)
{
    const struct redis *server = NULL;
    bool any = false;
    for (struct lane *lane = exact->waiting; lane != NULL; lane = lane->next) {
        if (lane->waiting == NULL || free_batch(exact, lane) == NULL)
            continue;
        const struct redis *its = keyspace_server(exact->keys, lane->slot);
        if (!any)
            server = its;
        any = true;
        if (its == server)
            flush_lane(exact, lane);
    }
    return any;
}

static void unlist_empty(struct exact *exact)
{
    struct lane **at = &exact->waiting, *lane;
    while ((lane = *at) != NULL) {
        lane->listed = lane->waiting != NULL;
        if (lane->listed)
            at = &lane->next;
        else
            *at = lane->next;
    }
}

/* All lanes are held back together: a call is of one lane, but a write is of one server. */
static void on_flush(struct task *task)
{
    struct exact *exact = CONTAINER(task, struct exact, flush);
    uint64_t now = exact->worker->loop.clock.mono_ns;
    pace_turn(&exact->pace, now);
    unsigned ready = count_ready(exact);
    if (ready == 0 || hold(exact, ready))
        return;
    pace_sent(&exact->pace, now, ready);
    while (flush_server(exact))
        ;
    unlist_empty(exact);
    worker_flush(exact->worker);
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

/* In large pages, if there are: names and leases are looked for all over it. */
static struct exact *make_exact(void)
{
    void *memory = mmap(NULL, sizeof(struct exact), PROT_READ | PROT_WRITE,
                        MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (memory == MAP_FAILED)
        return NULL;
    (void)madvise(memory, sizeof(struct exact), MADV_HUGEPAGE);
    (void)madvise(memory, sizeof(struct exact), MADV_POPULATE_WRITE);
    return memory;
}

struct exact *exact_attach(struct worker *worker, const struct store *store)
{
    unsigned char digest[20];
    struct exact *exact = make_exact();
    if (exact == NULL)
        return NULL;
    exact->worker = exact->asks.worker = worker;
    exact->store = store;
    exact->keys = worker->keys;
    exact->flush.run = on_flush;
    exact_names_open(&exact->names, store);
    open_lanes(exact);
    int fd = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC);
    exact->hold = (struct watch){ .fd = fd, .on_event = on_hold_end };
    if (fd < 0 ||
        EVP_Digest(exact_script, strlen(exact_script), digest, NULL, EVP_sha1(), NULL) != 1 ||
        loop_add(&worker->loop, &exact->hold, fd, EPOLLIN) != OK) {
        if (fd >= 0)
            (void)close(fd);
        (void)munmap(exact, sizeof(*exact));
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

void exact_name_soon(const struct exact *exact, uint64_t place)
{
    exact_names_soon(&exact->kept, place);
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
    struct ask *ask = ask_new(&exact->asks, lane, items, count, extra);
    if (ask == NULL)
        return NULL;
    if (ask->slots && !holds_use(&exact->holds, lane, ask->items, count)) {
        ask->op.release(&ask->op);
        return NULL;
    }
    if (ask_lead(ask)) {
        wait_in(exact, &exact->lanes[lane], ask);
        exact->pace.groups++;
    }
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
