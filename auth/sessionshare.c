/* Questions to the store, one command each, and what hangs on their answers. */
#include "auth/sessionshare.h"

#include <openssl/evp.h>
#include <sodium.h>
#include <stdlib.h>

#include "auth/sharejoin.h"
#include "gateway/base/secret.h"
#include "gateway/base/text.h"
#include "gateway/chain/config.h"
#include "gateway/chain/txn.h"
#include "gateway/net/worker.h"
#include "gateway/store/store.h"

enum {
    ARGS_MAX = 20,
    NUMBER_BYTES = 24,
    DETOURS_MAX = 3,
    IMAGE_MAX = VAULT_VALUE_MAX + VAULT_OVERHEAD_MAX,
    BYTES_MAX = IMAGE_MAX + 8 * SHARE_KEY_MAX,
};

/* What an answer has to be. */
enum expect {
    EXPECT_NOTHING,
    EXPECT_OK,    /* anything but an error */
    EXPECT_ONE,   /* 1, or OK; all else: somebody else was first */
    EXPECT_FEW,   /* a number up to `most` */
    EXPECT_ENTRY, /* an image, or none */
};

struct ask {
    struct redis_call call, asking;
    struct session_share *share;
    struct ask *next;        /* in the pool */
    struct share_join *join; /* NULL: nobody waits */
    enum expect expect;
    bool script, whole; /* whole: the script itself goes along */
    int64_t most;       /* EXPECT_FEW */
    unsigned argc, detours;
    struct redis *asked; /* NULL: who holds the slot */
    struct span argv[ARGS_MAX];
    size_t used;
    char bytes[BYTES_MAX];
    /* EXPECT_ENTRY */
    const struct vault *vault;
    struct ticket ticket;
    enum share_kind kind;
    uint64_t grace_ms;
    bool touched; /* its end was moved with the question */
};

struct session_share {
    struct worker *worker;
    struct keyspace *keys;
    struct ask *free;
    struct join_pool joins;
    unsigned asks, users;
    unsigned slot;
    uint64_t flows_s; /* the second that is counted in */
    unsigned flows;
    struct span prefix;
    char prefix_text[SHARE_KEY_MAX], sha[41];
};

static uint64_t now_ms(const struct session_share *share)
{
    return share->worker->loop.clock.wall_us / 1000;
}

static struct session_share *share_of(const struct share_join *join)
{
    return join->worker->session_share;
}

struct share_join *share_join(struct call *c)
{
    return join_new(c, &c->worker->session_share->joins);
}

/* ---- asks ---- */

static void ask_free(struct ask *ask)
{
    wipe(&ask->ticket, sizeof(ask->ticket));
    ask->next = ask->share->free;
    ask->share->free = ask;
}

static struct ask *ask_new(struct session_share *share, struct share_join *join,
                           enum expect expect)
{
    struct ask *ask = share->free;
    if (ask != NULL) {
        share->free = ask->next;
    } else if (share->asks < SHARE_ASKS_MAX && (ask = malloc(sizeof(*ask))) != NULL) {
        share->asks++;
    } else {
        join_note(join, ERR_BUSY);
        return NULL;
    }
    memset(ask, 0, offsetof(struct ask, argv));
    memset((char *)ask + offsetof(struct ask, vault), 0,
           sizeof(*ask) - offsetof(struct ask, vault));
    ask->used = 0;
    ask->share = share;
    ask->join = join;
    ask->expect = expect;
    return ask;
}

/* Arguments stand in the ask: it may have to be sent again. Those that are constant are not
 * copied. */
static void put_constant(struct ask *ask, struct span argument)
{
    INVARIANT(ask->argc < ARGS_MAX);
    ask->argv[ask->argc++] = argument;
}

static struct text room(struct ask *ask, size_t size)
{
    INVARIANT(size <= sizeof(ask->bytes) - ask->used);
    return text_fixed(ask->bytes + ask->used, size);
}

static void put_written(struct ask *ask, const struct text *text)
{
    INVARIANT(!text->overflow);
    ask->used += text->len;
    put_constant(ask, text_span(text));
}

static void put_number(struct ask *ask, uint64_t number)
{
    struct text text = room(ask, NUMBER_BYTES);
    text_uint(&text, number);
    put_written(ask, &text);
}

/* PREFIX:{s}:KIND:NAME */
static void put_key(struct ask *ask, struct span kind, struct span name)
{
    struct text text = room(ask, SHARE_KEY_MAX);
    text_add(&text, ask->share->prefix);
    text_add(&text, kind);
    text_add(&text, name);
    put_written(ask, &text);
}

static struct span kind_prefix(enum share_kind kind)
{
    return kind == SHARE_SESSION ? SPAN("i:") : SPAN("f:");
}

static void put_entry_key(struct ask *ask, const struct vault *vault,
                          const struct ticket *ticket, struct span kind)
{
    char name[VAULT_NAME_BYTES];
    vault_name(vault, ticket, name);
    put_key(ask, kind, span_of(name, sizeof(name)));
}

static void put_tag_key(struct ask *ask, unsigned place, uint64_t tag)
{
    char buffer[NUMBER_BYTES];
    struct text text = text_fixed(buffer, sizeof(buffer));
    text_uint(&text, place);
    text_char(&text, ':');
    text_hex(&text, &tag, sizeof(tag));
    put_key(ask, SPAN("t:"), text_span(&text));
}

static void put_script(struct ask *ask, unsigned keys)
{
    ask->script = true;
    put_constant(ask, SPAN("EVALSHA"));
    put_constant(ask, span_text(ask->share->sha));
    put_number(ask, keys);
}

/* ---- answers ---- */

static void send_ask(struct ask *ask);
static void put_session(struct session_share *share, struct share_join *join,
                        const struct vault *vault, const struct ticket *ticket, bool fresh);

/* A first look does not know how long it lasts unused; now it does. */
static void touch(const struct ask *ask, const struct vault_facts *facts)
{
    struct ask *more = ask_new(ask->share, NULL, EXPECT_NOTHING);
    if (more == NULL)
        return;
    uint64_t now_s = now_ms(ask->share) / 1000, left_s = facts->until_s - now_s;
    put_constant(more, SPAN("PEXPIRE"));
    put_entry_key(more, ask->vault, &ask->ticket, kind_prefix(ask->kind));
    put_number(more, (facts->idle_s < left_s ? facts->idle_s : left_s) * 1000);
    send_ask(more);
}

static bool facts_here(const struct ask *ask, struct vault_facts *facts)
{
    struct vault_value value;
    bool here = vault_get(ask->vault, &ask->ticket, now_ms(ask->share) / 1000, false, &value);
    if (here)
        *facts = value.facts;
    vault_value_wipe(&value);
    return here;
}

static void take_entry(struct ask *ask, const struct redis_value *value)
{
    struct vault_facts facts;
    enum adopted adopted = ADOPT_BAD;
    if (value->type == REDIS_TEXT)
        adopted = vault_adopt(ask->vault, &ask->ticket, value->text, now_ms(ask->share));
    if (adopted == ADOPT_BAD)
        (void)vault_take(ask->vault, &ask->ticket, now_ms(ask->share) / 1000);
    else if (adopted == ADOPT_OLDER)
        /* The store missed a renewal. */
        put_session(ask->share, NULL, ask->vault, &ask->ticket, false);
    else if (!ask->touched && ask->kind == SHARE_SESSION && facts_here(ask, &facts))
        touch(ask, &facts);
}

/* Nobody says whether it has been ended: for a while it goes on. */
static enum err without_word(const struct ask *ask)
{
    struct vault_facts facts;
    uint64_t now = now_ms(ask->share);
    if (ask->kind == SHARE_FLOW)
        return OK; /* as far as this node knows it; that it is good once is asked again */
    return facts_here(ask, &facts) &&
                   (now <= facts.confirmed_ms || now - facts.confirmed_ms <= ask->grace_ms)
               ? OK
               : ERR_CLOSED;
}

static void finish(struct ask *ask, enum err err)
{
    struct share_join *join = ask->join;
    if (err != OK && ask->expect == EXPECT_ENTRY)
        err = without_word(ask);
    ask_free(ask);
    join_answered(join, err);
}

/* Whether it goes out once more, and where. */
static bool detour(struct ask *ask, const struct redis_value *value)
{
    struct session_share *share = ask->share;
    struct redis *asked;
    if (ask->script && !ask->whole && redis_is_error(value, SPAN("NOSCRIPT"))) {
        ask->whole = true;
        ask->argv[0] = SPAN("EVAL");
        ask->argv[1] = span_text(share_script);
        return true;
    }
    switch (keyspace_detour(share->keys, share->slot, value, &asked)) {
    case DETOUR_NONE:
    case DETOUR_USELESS:
        keyspace_useless(share->keys, share->slot);
        return false;
    case DETOUR_LATER:
        return false;
    case DETOUR_MOVED:
    case DETOUR_ASK:
        break;
    }
    ask->asked = asked;
    return ask->detours++ < DETOURS_MAX;
}

static void on_reply(struct redis_call *call, enum err err, const struct redis_value *value)
{
    struct ask *ask = CONTAINER(call, struct ask, call);
    if (err == OK && value->type == REDIS_ERROR) {
        if (detour(ask, value)) {
            send_ask(ask);
            return;
        }
        err = ERR_REMOTE;
    }
    if (err == OK && ask->expect == EXPECT_ENTRY)
        take_entry(ask, value);
    if (err == OK && ask->expect == EXPECT_FEW &&
        !(value->type == REDIS_INTEGER && value->integer <= ask->most))
        err = ERR_LIMIT;
    if (err == OK && ask->expect == EXPECT_ONE &&
        !(value->type == REDIS_STATUS || (value->type == REDIS_INTEGER && value->integer == 1)))
        err = ERR_MISSING;
    finish(ask, err);
}

static void on_asking(struct redis_call *call, enum err err, const struct redis_value *value)
{
    (void)call; /* what follows it tells how it went */
    (void)err;
    (void)value;
}

static enum err pass_on(struct ask *ask)
{
    struct redis *asked = ask->asked;
    ask->asked = NULL;
    ask->call.done = on_reply;
    if (asked == NULL)
        return keyspace_send(ask->share->keys, ask->share->slot, &ask->call, ask->argc,
                             ask->argv);
    ask->asking.done = on_asking;
    TRY(redis_send(asked, &ask->asking, 1, (struct span[]){ SPAN("ASKING") }));
    return redis_send(asked, &ask->call, ask->argc, ask->argv);
}

/* What is sent is answered once, from the loop; what cannot be sent is answered now. */
static void send_ask(struct ask *ask)
{
    enum err err = pass_on(ask);
    if (err != OK)
        finish(ask, err);
}

static void send_first(struct ask *ask)
{
    join_expect(ask->join);
    send_ask(ask);
}

/* ---- what is asked and told ---- */

void share_fetch(struct share_join *join, const struct vault *vault,
                 const struct ticket *ticket, enum share_kind kind, uint64_t grace_ms)
{
    struct ask *ask = ask_new(share_of(join), join, EXPECT_ENTRY);
    struct vault_facts facts = { 0 };
    if (ask == NULL)
        return;
    ask->vault = vault;
    ask->ticket = *ticket;
    ask->kind = kind;
    ask->grace_ms = grace_ms;
    ask->touched = kind == SHARE_SESSION && facts_here(ask, &facts);
    put_constant(ask, ask->touched ? SPAN("GETEX") : SPAN("GET"));
    put_entry_key(ask, vault, ticket, kind_prefix(kind));
    if (ask->touched) {
        uint64_t left_s = facts.until_s - now_ms(ask->share) / 1000;
        put_constant(ask, SPAN("PX"));
        put_number(ask, (facts.idle_s < left_s ? facts.idle_s : left_s) * 1000);
    }
    send_first(ask);
}

static void put_image(struct ask *ask, size_t len)
{
    put_constant(ask, span_of(ask->bytes + ask->used, len));
    ask->used += len;
}

/* Keys of the sets that a session stands in: how many there are. */
static unsigned count_tags(const struct vault_facts *facts)
{
    unsigned count = 0;
    for (unsigned i = 0; i < VAULT_TAGS; i++)
        count += facts->tags[i] != 0;
    return count;
}

static void put_session(struct session_share *share, struct share_join *join,
                        const struct vault *vault, const struct ticket *ticket, bool fresh)
{
    struct ask *ask = ask_new(share, join, fresh ? EXPECT_OK : EXPECT_ONE);
    struct vault_facts facts;
    size_t len = 0;
    uint64_t now_s = now_ms(share) / 1000;
    if (ask == NULL)
        return;
    ask->vault = vault;
    ask->ticket = *ticket;
    if (!facts_here(ask, &facts)) {
        ask_free(ask);
        join_note(join, ERR_MISSING);
        return;
    }
    put_script(ask, 2 + count_tags(&facts));
    put_entry_key(ask, vault, ticket, SPAN("i:"));
    put_key(ask, SPAN("a"), SPAN(""));
    for (unsigned i = 0; i < VAULT_TAGS; i++)
        if (facts.tags[i] != 0)
            put_tag_key(ask, i, facts.tags[i]);
    put_constant(ask, SPAN("put"));
    INVARIANT(IMAGE_MAX <= sizeof(ask->bytes) - ask->used);
    if (!vault_export(vault, ticket, now_s, ask->bytes + ask->used, &len)) {
        ask_free(ask);
        join_note(join, ERR_MISSING);
        return;
    }
    put_image(ask, len);
    uint64_t left_s = facts.until_s - now_s;
    char name[VAULT_NAME_BYTES];
    vault_name(vault, ticket, name);
    put_number(ask, (facts.idle_s < left_s ? facts.idle_s : left_s) * 1000);
    put_number(ask, facts.until_s);
    struct text text = room(ask, sizeof(name));
    text_add(&text, span_of(name, sizeof(name)));
    put_written(ask, &text);
    put_number(ask, !fresh);
    put_number(ask, now_s);
    put_key(ask, SPAN("i:"), SPAN(""));
    put_number(ask, SHARE_USER_MAX);
    send_first(ask);
}

void share_put(struct share_join *join, const struct vault *vault, const struct ticket *ticket,
               bool fresh)
{
    put_session(share_of(join), join, vault, ticket, fresh);
}

bool share_put_flow(struct worker *worker, const struct vault *vault,
                    const struct ticket *ticket)
{
    struct session_share *share = worker->session_share;
    uint64_t now_s = now_ms(share) / 1000;
    size_t len = 0;
    if (share->flows_s != now_s)
        share->flows = 0;
    share->flows_s = now_s;
    if (!keyspace_usable(share->keys, share->slot) || share->flows++ >= SHARE_FLOWS_S)
        return false;
    struct ask *ask = ask_new(share, NULL, EXPECT_NOTHING);
    if (ask == NULL)
        return false;
    put_constant(ask, SPAN("SET"));
    put_entry_key(ask, vault, ticket, SPAN("f:"));
    if (!vault_export(vault, ticket, now_s, ask->bytes + ask->used, &len)) {
        ask_free(ask);
        return false;
    }
    put_image(ask, len);
    put_constant(ask, SPAN("EX"));
    put_number(ask, 15 * 60);
    send_first(ask);
    return true;
}

void share_end(struct worker *worker, struct share_join *join, const struct vault *vault,
               const struct ticket *ticket, enum share_kind kind, bool only)
{
    struct ask *ask = ask_new(worker->session_share, join, only ? EXPECT_ONE : EXPECT_OK);
    if (ask == NULL)
        return;
    put_constant(ask, SPAN("DEL"));
    put_entry_key(ask, vault, ticket, kind_prefix(kind));
    send_first(ask);
}

void share_end_tagged(struct share_join *join, unsigned place, uint64_t tag)
{
    struct ask *ask = ask_new(share_of(join), join, EXPECT_OK);
    if (ask == NULL)
        return;
    put_script(ask, 1);
    put_tag_key(ask, place, tag);
    put_constant(ask, SPAN("end"));
    put_key(ask, SPAN("i:"), SPAN(""));
    send_first(ask);
}

static void set_if_none(struct share_join *join, struct span kind, struct span name,
                        uint64_t seconds)
{
    struct ask *ask = ask_new(share_of(join), join, EXPECT_ONE);
    if (ask == NULL)
        return;
    put_constant(ask, SPAN("SET"));
    put_key(ask, kind, name);
    put_constant(ask, SPAN("1"));
    put_constant(ask, SPAN("NX"));
    put_constant(ask, SPAN("EX"));
    put_number(ask, seconds);
    send_first(ask);
}

enum { HASH_BYTES = 16 };

static struct span hash_of(const struct vault *vault, struct span what,
                           char name[2 * HASH_BYTES])
{
    uint8_t hash[HASH_BYTES];
    struct text text = text_fixed(name, 2 * HASH_BYTES);
    (void)crypto_generichash(hash, sizeof(hash), (const uint8_t *)what.p, what.len, vault->key,
                             sizeof(vault->key));
    text_hex(&text, hash, sizeof(hash));
    return text_span(&text);
}

void share_once(struct share_join *join, const struct vault *vault, struct span what,
                uint64_t seconds)
{
    char name[2 * HASH_BYTES];
    set_if_none(join, SPAN("o:"), hash_of(vault, what, name), seconds);
}

void share_count(struct share_join *join, const struct vault *vault, struct span what,
                 uint64_t most, uint64_t seconds)
{
    char name[2 * HASH_BYTES];
    struct ask *ask = ask_new(share_of(join), join, EXPECT_FEW);
    if (ask == NULL)
        return;
    ask->most = (int64_t)most;
    put_script(ask, 1);
    put_key(ask, SPAN("c:"), hash_of(vault, what, name));
    put_constant(ask, SPAN("count"));
    put_number(ask, seconds);
    send_first(ask);
}

void share_uncount(struct worker *worker, const struct vault *vault, struct span what)
{
    char name[2 * HASH_BYTES];
    struct ask *ask = ask_new(worker->session_share, NULL, EXPECT_NOTHING);
    if (ask == NULL)
        return;
    put_constant(ask, SPAN("DEL"));
    put_key(ask, SPAN("c:"), hash_of(vault, what, name));
    send_first(ask);
}

void share_lock(struct share_join *join, const struct vault *vault, const struct ticket *ticket)
{
    char name[VAULT_NAME_BYTES];
    vault_name(vault, ticket, name);
    set_if_none(join, SPAN("l:"), span_of(name, sizeof(name)), VAULT_HALF_DONE_S);
}

/* ---- in a worker ---- */

static bool open_share(struct session_share *share, struct worker *worker)
{
    unsigned char digest[20];
    struct text prefix = text_fixed(share->prefix_text, sizeof(share->prefix_text));
    struct text sha = text_fixed(share->sha, sizeof(share->sha) - 1);
    share->worker = worker;
    share->keys = worker->keys;
    share_prefix(worker->config->store, &prefix);
    share->prefix = text_span(&prefix);
    share->slot = keyspace_slot(worker->keys, share->prefix);
    if (prefix.overflow || prefix.len > SHARE_KEY_MAX - 64 ||
        EVP_Digest(share_script, strlen(share_script), digest, NULL, EVP_sha1(), NULL) != 1)
        return false;
    text_hex(&sha, digest, sizeof(digest));
    keyspace_keep_script(worker->keys, span_text(share_script));
    return true;
}

enum err session_share_attach(struct worker *worker)
{
    INVARIANT(worker->keys != NULL);
    if (worker->session_share == NULL) {
        struct session_share *share = calloc(1, sizeof(*share));
        if (share == NULL || !open_share(share, worker)) {
            free(share);
            return ERR_MEMORY;
        }
        worker->session_share = share;
    }
    worker->session_share->users++;
    return OK;
}

void session_share_detach(struct worker *worker)
{
    struct session_share *share = worker->session_share;
    if (share == NULL || --share->users > 0)
        return;
    for (struct ask *ask = share->free, *next; ask != NULL; ask = next) {
        next = ask->next;
        free(ask);
    }
    join_pool_free(&share->joins);
    free(share);
    worker->session_share = NULL;
}
