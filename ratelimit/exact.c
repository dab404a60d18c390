/*
 * Batches. Who asks is put to the leader of its group, or leads a new one; at the end of the
 * loop's turn the groups go out in one call. While CALLS_MAX calls are under way nothing more
 * is sent, so that batches grow with the load instead of the queue.
 */
#include "ratelimit/exact.h"

#include <openssl/evp.h>
#include <sodium.h>
#include <stdlib.h>

#include "gateway/chain/txn.h"
#include "gateway/store/redis.h"

enum {
    CALLS_MAX = 4,
    GROUPS_MAX = 256,
    KEYS_MAX = 1024,
    HASH_SLOTS = 1024,
    KEY_TEXT_MAX = 64,
    PACKED_ITEM = 6 * 8,
    PACKED_HEAD = 2 * 8,
    NAMED_SLOTS = 8192,
};

struct ask {
    struct op op; /* first */
    struct exact *exact;
    struct ask *next;       /* of leaders; in the pool */
    struct ask *peers;      /* the others of this group, in order of arrival */
    struct ask **peers_end; /* leaders only */
    struct ask *hash_next;
    uint64_t hash;
    uint64_t want; /* leaders only: how many are in the group */
    unsigned count;
    struct exact_item items[ASK_ITEMS_MAX];
};

struct batch {
    struct redis_call call;
    struct exact *exact;
    struct ask *groups; /* leaders, linked */
    unsigned group_count, key_count;
    bool busy, whole; /* whole: the script itself went along */
};

struct exact {
    struct worker *worker;
    const struct store *store;
    struct redis *redis;
    struct task flush;
    struct ask *waiting, **waiting_end; /* leaders */
    struct ask *slots[HASH_SLOTS];
    struct ask *free;
    unsigned asks;
    struct batch batches[CALLS_MAX];
    crypto_auth_hmacsha256_state hmac;
    struct named {
        struct cell_key local;
        char name[EXACT_NAME_BYTES];
    } named[NAMED_SLOTS]; /* of the last keys, for a MAC takes most of a question's time */
    char sha[41];
    /* what a call is put together from */
    struct span argv[3 + KEYS_MAX + GROUPS_MAX];
    char names[KEYS_MAX][KEY_TEXT_MAX];
    char packed[GROUPS_MAX * PACKED_HEAD + KEYS_MAX * PACKED_ITEM];
    struct exact_group shape[GROUPS_MAX];
};

/*
 * ARGV[g]: wanted, keys; for each key step, tolerance, penalty, floor, how, expiry. How: 0
 * asks, 1 only watches, 2 takes as far as it goes. With an expiry the key is a counter: its
 * clock stands still. Answers, flat: for each group how many were granted, and for each of its
 * keys how many that key would have let pass and what is taken of it now.
 */
static const char script[] =
    "local t=redis.call('TIME')\n"
    "local now=(t[1]-1760000000)*8000000+t[2]*8\n"
    "local out,o,k={},0,0\n"
    "for a=1,#ARGV do\n"
    " local s=ARGV[a]\n"
    " local want,n,at=struct.unpack('<dd',s)\n"
    " local g,ks=want,{}\n"
    " for i=1,n do\n"
    "  local step,dvt,pen,floor,how,ttl\n"
    "  step,dvt,pen,floor,how,ttl,at=struct.unpack('<dddddd',s,at)\n"
    "  local was=tonumber(redis.call('GET',KEYS[k+i]) or 0) or 0\n"
    "  local tat,base=was,ttl>0 and 0 or now\n"
    "  if tat>base+dvt then tat=base+dvt end\n"
    "  if tat<base+floor then tat=base+floor end\n"
    "  local m=step>0 and math.floor((base+dvt-tat)/step) or want\n"
    "  if m<0 then m=0 elseif m>want then m=want end\n"
    "  if how==0 and m<g then g=m end\n"
    "  ks[i]={tat,step,dvt,pen,how,m,was,ttl,base}\n"
    " end\n"
    " o=o+1 out[o]=g\n"
    " for i=1,n do\n"
    "  local x=ks[i]\n"
    "  local base,nt=x[9],x[1]\n"
    "  if x[5]==2 then nt=math.min(base+x[3],nt+want*x[2])\n"
    "  else\n"
    "   nt=nt+(x[5]==0 and g or x[6])*x[2]\n"
    "   if x[6]<want and x[4]>0 then nt=math.min(base+x[3],nt+(want-x[6])*x[4]) end\n"
    "  end\n"
    "  if nt>base and nt~=x[7] then\n"
    "   local ttl=x[8]>0 and x[8]*1000 or math.ceil((nt-base)/8000)+1\n"
    "   redis.call('SET',KEYS[k+i],string.format('%.0f',nt),'PX',string.format('%.0f',ttl))\n"
    "  end\n"
    "  out[o+1]=x[6] out[o+2]=math.max(0,nt-base) o=o+2\n"
    " end\n"
    " k=k+n\n"
    "end\n"
    "return out\n";

/* ---- asks ---- */

static void release_ask(struct op *op)
{
    struct ask *ask = (struct ask *)(void *)op;
    ask->next = ask->exact->free;
    ask->exact->free = ask;
}

static struct ask *take_ask(struct exact *exact)
{
    struct ask *ask = exact->free;
    if (ask != NULL) {
        exact->free = ask->next;
        return ask;
    }
    if (exact->asks == ASKS_MAX)
        return NULL;
    ask = malloc(sizeof(*ask));
    if (ask != NULL)
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
            a->tolerance != b->tolerance || a->penalty != b->penalty ||
            a->expires_s != b->expires_s || a->shadow != b->shadow || a->charge != b->charge)
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

static void lead(struct exact *exact, struct ask *ask)
{
    struct ask **slot = &exact->slots[ask->hash % HASH_SLOTS];
    ask->want = 1;
    ask->peers_end = &ask->peers;
    ask->hash_next = *slot;
    *slot = ask;
    *exact->waiting_end = ask;
    exact->waiting_end = &ask->next;
}

static void follow(struct ask *leader, struct ask *ask)
{
    leader->want++;
    *leader->peers_end = ask;
    leader->peers_end = &ask->peers;
    for (unsigned i = 0; i < ask->count; i++)
        if (ask->items[i].floor > leader->items[i].floor)
            leader->items[i].floor = ask->items[i].floor;
}

/* ---- answers ---- */

static void fail_group(struct ask *leader, enum err err)
{
    struct worker *worker = leader->exact->worker;
    for (struct ask *ask = leader, *next; ask != NULL; ask = next) {
        next = ask->peers;
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

static void answer_one(struct ask *ask, uint64_t rank, const struct redis_value *group,
                       uint64_t sent_ns)
{
    struct arena *arena = op_arena(&ask->op);
    struct exact_answer *answer = NULL;
    size_t size = sizeof(*answer) + ask->count * sizeof(answer->items[0]);
    if (arena != NULL)
        answer = arena_zero(arena, 1, size);
    if (answer == NULL) {
        op_finish(&ask->op, ask->exact->worker, ERR_MEMORY, NULL);
        return;
    }
    answer->sent_ns = sent_ns;
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
        for (uint64_t rank = 0; ask != NULL; rank++) {
            struct ask *next = ask->peers;
            answer_one(ask, rank, group, batch->call.sent_ns);
            ask = next;
        }
        group += width;
        leader = next_leader;
    }
}

bool exact_reply_valid(const struct redis_value *value, const struct exact_group *groups,
                       unsigned group_count)
{
    uint64_t number;
    unsigned at = 0;
    if (value->type != REDIS_ARRAY)
        return false;
    for (unsigned g = 0; g < group_count; g++) {
        if (!redis_uint(value, at++, groups[g].want, &number))
            return false;
        for (unsigned i = 0; i < groups[g].count; i++, at += 2)
            if (!redis_uint(value, at, groups[g].want, &number) ||
                !redis_uint(value, at + 1, UINT64_C(1) << 53, &number))
                return false;
    }
    return at == value->count;
}

/* ---- calls ---- */

static void send_batch(struct batch *batch);

static bool reply_fits(struct exact *exact, const struct batch *batch,
                       const struct redis_value *value)
{
    unsigned n = 0;
    for (const struct ask *ask = batch->groups; ask != NULL; ask = ask->next)
        exact->shape[n++] = (struct exact_group){ .count = ask->count, .want = ask->want };
    return exact_reply_valid(value, exact->shape, n);
}

static void on_reply(struct redis_call *call, enum err err, const struct redis_value *value)
{
    struct batch *batch = CONTAINER(call, struct batch, call);
    struct exact *exact = batch->exact;
    if (err == OK && redis_is_error(value, SPAN("NOSCRIPT")) && !batch->whole) {
        batch->whole = true; /* somebody flushed the scripts: now it brings its own */
        send_batch(batch);
        return;
    }
    bool fits = err == OK && reply_fits(exact, batch, value);
    struct ask *leaders = batch->groups;
    batch->groups = NULL;
    batch->busy = false;
    if (fits) {
        answer_all(batch, value, leaders);
    } else {
        fail_all(leaders, err != OK ? err : ERR_REMOTE);
        if (err == OK)
            redis_useless(exact->redis);
        /* Who has not been sent yet would wait as long in vain. */
        struct ask *waiting = exact->waiting;
        exact->waiting = NULL;
        exact->waiting_end = &exact->waiting;
        memset(exact->slots, 0, sizeof(exact->slots));
        fail_all(waiting, ERR_CLOSED);
    }
    if (exact->waiting != NULL)
        loop_post(&exact->worker->loop, &exact->flush);
}

static void put_double(char **at, uint64_t value)
{
    double number = (double)value;
    memcpy(*at, &number, sizeof(number));
    *at += sizeof(number);
}

static struct span write_name(struct exact *exact, unsigned slot, const char *name)
{
    struct text text = text_fixed(exact->names[slot], KEY_TEXT_MAX);
    text_add(&text, exact->store->prefix);
    text_lit(&text, ":l:");
    text_hex(&text, name, EXACT_NAME_BYTES);
    return text_span(&text);
}

static char *pack_group(struct exact *exact, const struct ask *ask, unsigned *slot, char *at)
{
    put_double(&at, ask->want);
    put_double(&at, ask->count);
    for (unsigned i = 0; i < ask->count; i++) {
        const struct exact_item *item = &ask->items[i];
        exact->argv[3 + *slot] = write_name(exact, *slot, item->name);
        (*slot)++;
        put_double(&at, item->step);
        put_double(&at, item->tolerance);
        put_double(&at, item->penalty);
        put_double(&at, item->floor);
        put_double(&at, item->charge ? 2 : item->shadow);
        put_double(&at, item->expires_s);
    }
    return at;
}

static void send_batch(struct batch *batch)
{
    struct exact *exact = batch->exact;
    char count[16], *at = exact->packed;
    struct text keys = text_fixed(count, sizeof(count));
    unsigned slot = 0, group = 0;

    text_uint(&keys, batch->key_count);
    exact->argv[0] = batch->whole ? SPAN("EVAL") : SPAN("EVALSHA");
    exact->argv[1] = batch->whole ? span_text(script) : span_text(exact->sha);
    exact->argv[2] = text_span(&keys);
    for (const struct ask *ask = batch->groups; ask != NULL; ask = ask->next) {
        char *from = at;
        at = pack_group(exact, ask, &slot, at);
        exact->argv[3 + batch->key_count + group++] = span_range(from, at);
    }
    INVARIANT(slot == batch->key_count && group == batch->group_count);
    batch->busy = true;
    batch->call.done = on_reply;
    enum err err = redis_send(exact->redis, &batch->call, 3 + slot + group, exact->argv);
    if (err == OK)
        return;
    struct ask *leaders = batch->groups;
    batch->groups = NULL;
    batch->busy = false;
    fail_all(leaders, err);
}

static struct batch *free_batch(struct exact *exact)
{
    for (unsigned i = 0; i < CALLS_MAX; i++)
        if (!exact->batches[i].busy)
            return &exact->batches[i];
    return NULL;
}

/* As many groups as one call may have; they can be joined no more. */
static void fill_batch(struct exact *exact, struct batch *batch)
{
    struct ask **end = &batch->groups;
    *batch = (struct batch){ .exact = exact };
    while (exact->waiting != NULL && batch->group_count < GROUPS_MAX &&
           batch->key_count + exact->waiting->count <= KEYS_MAX) {
        struct ask *ask = exact->waiting;
        exact->waiting = ask->next;
        ask->next = NULL;
        *end = ask;
        end = &ask->next;
        batch->group_count++;
        batch->key_count += ask->count;
    }
    if (exact->waiting == NULL)
        exact->waiting_end = &exact->waiting;
    memset(exact->slots, 0, sizeof(exact->slots));
}

static void on_flush(struct task *task)
{
    struct exact *exact = CONTAINER(task, struct exact, flush);
    struct batch *batch;
    while (exact->waiting != NULL && (batch = free_batch(exact)) != NULL) {
        fill_batch(exact, batch);
        send_batch(batch);
    }
}

/* ---- the worker's side ---- */

struct exact *exact_attach(struct worker *worker, const struct store *store)
{
    unsigned char digest[20];
    struct exact *exact = calloc(1, sizeof(*exact));
    if (exact == NULL)
        return NULL;
    exact->worker = worker;
    exact->store = store;
    exact->redis = worker->redis;
    exact->flush.run = on_flush;
    exact->waiting_end = &exact->waiting;
    (void)crypto_auth_hmacsha256_init(&exact->hmac, store->key, sizeof(store->key));
    if (EVP_Digest(script, sizeof(script) - 1, digest, NULL, EVP_sha1(), NULL) != 1) {
        free(exact);
        return NULL;
    }
    struct text sha = text_fixed(exact->sha, sizeof(exact->sha) - 1);
    text_hex(&sha, digest, sizeof(digest));
    redis_keep_script(worker->redis, span_text(script));
    return exact;
}

void exact_detach(struct exact *exact)
{
    if (exact == NULL)
        return;
    task_cancel(&exact->flush);
    while (exact->free != NULL) {
        struct ask *next = exact->free->next;
        free(exact->free);
        exact->free = next;
    }
    free(exact);
}

bool exact_usable(const struct exact *exact)
{
    return exact != NULL && redis_usable(exact->redis);
}

uint64_t exact_back_ns(const struct exact *exact)
{
    return redis_back_ns(exact->redis);
}

void exact_name(struct exact *exact, const struct cell_key *local, struct span key,
                char name[EXACT_NAME_BYTES])
{
    struct named *named = &exact->named[local->place % NAMED_SLOTS];
    if (named->local.place != local->place || named->local.fingerprint != local->fingerprint) {
        unsigned char mac[crypto_auth_hmacsha256_BYTES];
        crypto_auth_hmacsha256_state state = exact->hmac;
        (void)crypto_auth_hmacsha256_update(&state, (const unsigned char *)key.p, key.len);
        (void)crypto_auth_hmacsha256_final(&state, mac);
        named->local = *local;
        memcpy(named->name, mac, EXACT_NAME_BYTES);
    }
    memcpy(name, named->name, EXACT_NAME_BYTES);
}

static struct ask *put_ask(struct exact *exact, const struct exact_item *items, unsigned count)
{
    INVARIANT(count > 0 && count <= ASK_ITEMS_MAX);
    struct ask *ask = take_ask(exact);
    if (ask == NULL)
        return NULL;
    op_init(&ask->op);
    ask->op.release = release_ask;
    ask->exact = exact;
    ask->next = ask->peers = NULL;
    ask->count = count;
    memcpy(ask->items, items, count * sizeof(*items));
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

struct op *exact_ask(struct exact *exact, const struct exact_item *items, unsigned count)
{
    struct ask *ask = put_ask(exact, items, count);
    return ask != NULL ? &ask->op : NULL;
}

void exact_charge(struct exact *exact, const struct exact_item *item)
{
    struct exact_item charge = *item;
    charge.charge = true;
    struct ask *ask = put_ask(exact, &charge, 1);
    if (ask != NULL)
        ask->op.abandoned = true;
}
