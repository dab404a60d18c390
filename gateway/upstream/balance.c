/* The choice of a server: see balance.h. */
#include "gateway/upstream/balance.h"

#include <math.h>

#include "gateway/base/siphash.h"
#include "gateway/chain/config.h"
#include "gateway/chain/txn.h"
#include "gateway/upstream/pool.h"

enum { WEIGHT_UNITS = 100, SLOW_START_LEAST = 10 };

static const struct span header_prefix = SPAN_INIT("header:");
static const struct span cookie_prefix = SPAN_INIT("cookie:");

bool hash_key_parse(struct span text, struct hash_key *key)
{
    static const struct {
        struct span name;
        enum hash_by by;
    } rows[] = { { SPAN_INIT("client.ip"), HASH_CLIENT },
                 { SPAN_INIT("host"), HASH_HOST },
                 { SPAN_INIT("path"), HASH_PATH } };

    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        if (span_equal(text, rows[i].name)) {
            *key = (struct hash_key){ .by = rows[i].by };
            return true;
        }
    }
    bool header = span_starts(text, header_prefix), cookie = span_starts(text, cookie_prefix);
    *key = (struct hash_key){ .by = header ? HASH_HEADER : HASH_COOKIE,
                              .name = span_sub(text, header_prefix.len, text.len) };
    return (header || cookie) && key->name.len > 0;
}

/* ---- what of the request counts ---- */

/* The first cookie of that name; empty when there is none. */
static struct span cookie_value(const struct request *req, struct span name)
{
    const struct field *field = fields_get(&req->fields, FIELD_COOKIE);

    for (; field != NULL; field = fields_next(&req->fields, field)) {
        struct span rest = field->value, part, key;
        while (rest.p != NULL && span_cut(&rest, ';', &part)) {
            part = span_trim(part);
            if (span_cut(&part, '=', &key) && span_equal(key, name) && part.p != NULL)
                return part;
        }
    }
    return span_of(NULL, 0);
}

static struct span client_bytes(const struct txn *txn)
{
    /* IPv6 by its network: a client changes the rest at will. */
    size_t len = txn->client.family == ADDR_V4 ? 4 : 8;
    return span_of((const char *)txn->client.bytes, len);
}

static struct span hashed_part(const struct hash_key *key, const struct txn *txn)
{
    const struct request *req = txn->req;
    struct span value = span_of(NULL, 0);
    const struct field *field;

    switch (key->by) {
    case HASH_CLIENT:
        break;
    case HASH_HOST:
        value = req->host;
        break;
    case HASH_PATH:
        value = req->path_wire;
        break;
    case HASH_HEADER:
        field = fields_find(&req->fields, key->name);
        value = field != NULL ? field->value : value;
        break;
    case HASH_COOKIE:
        value = cookie_value(req, key->name);
        break;
    }
    return value.len > 0 ? value : client_bytes(txn); /* who has none is told by the address */
}

/* The same on every node and after every restart: the hash is no secret, and who chooses its
 * own key chooses only its own server. */
static const struct siphash_key public_key = { 0x73616c6c79706f72, 0x742d686173682d31 };

static unsigned stuck_to(const struct upstream_local *upstream, const struct txn *txn)
{
    struct span value = cookie_value(txn->req, upstream->conf->sticky_cookie);

    if (value.len != SERVER_TOKEN_BYTES)
        return 0;
    for (unsigned i = 0; i < upstream->conf->server_count; i++) {
        if (!upstream->servers[i].vacant &&
            memcmp(upstream->servers[i].token, value.p, SERVER_TOKEN_BYTES) == 0)
            return i + 1;
    }
    return 0;
}

/* Of no other worker, and of no other start: nobody can choose with whom to share a turn. */
static uint64_t waits_as(const struct txn *txn)
{
    struct addr client;

    if (!addr_subscriber(&txn->client, &client))
        return 0;
    return siphash(&txn->worker->held_key, client.bytes, sizeof client.bytes) ^ client.family;
}

void balance_pick(const struct upstream *upstream, struct txn *txn, struct pick *pick)
{
    if (upstream->max_active > 0)
        pick->client = waits_as(txn);
    if (upstream->balance == BALANCE_HASH) {
        struct span part = hashed_part(&upstream->hash, txn);
        pick->hash = siphash(&public_key, part.p, part.len);
    }
    if (upstream->sticky_cookie.len > 0)
        pick->stuck = stuck_to(upstream_local(txn->worker, upstream), txn);
}

/* ---- the cookie ---- */

/* A keyed name of the server: it tells nothing of it, and nobody can make one up. */
static void make_token(struct server_local *server, const struct siphash_key keys[2])
{
    struct text token = text_fixed(server->token, sizeof server->token);
    struct span label = server_label(server);

    for (unsigned i = 0; i < 2; i++) {
        uint64_t half = siphash(&keys[i], label.p, label.len);
        text_hex(&token, &half, sizeof half);
    }
    INVARIANT(!token.overflow && token.len == SERVER_TOKEN_BYTES);
}

static void sticky_keys(const struct upstream_local *upstream, struct siphash_key keys[2])
{
    const struct config *config = upstream->worker->config;
    struct span secret = upstream->conf->sticky_secret;

    memcpy(keys, config->boot_key, 2 * sizeof *keys);
    for (unsigned i = 0; secret.len > 0 && i < 2; i++) {
        /* The same on all nodes that share the secret. */
        const struct siphash_key outer = { 0x737469636b79, i }, inner = { i, 0x73656372657473 };
        keys[i].k0 = siphash(&outer, secret.p, secret.len);
        keys[i].k1 = siphash(&inner, secret.p, secret.len);
    }
}

void balance_attach(struct upstream_local *upstream)
{
    struct siphash_key keys[2];

    random_bytes(&upstream->random, sizeof upstream->random);
    upstream->random |= 1;
    if (upstream->conf->sticky_cookie.len == 0)
        return;
    sticky_keys(upstream, keys);
    for (size_t i = 0; i < upstream->conf->server_count; i++)
        make_token(&upstream->servers[i], keys);
}

/* ---- servers that are found ---- */

static void enter(struct server_local *server, const struct found_server *found)
{
    struct text name = text_fixed(server->name, sizeof server->name);
    struct siphash_key keys[2];

    server->found = *found;
    server->vacant = false;
    addr_write_port(&name, &found->addr);
    INVARIANT(!name.overflow);
    server->name_len = name.len;
    if (server->upstream->conf->sticky_cookie.len == 0)
        return;
    sticky_keys(server->upstream, keys);
    make_token(server, keys);
}

static void look_into_slot(struct server_local *server, const struct found_server *found)
{
    const struct addr *addr = &server->found.addr;
    bool same = !server->vacant && found->addr.family == addr->family &&
                found->addr.port == addr->port && addr_equal(&found->addr, addr);

    if (!same && !server->vacant)
        server_leave(server);
    if (found->addr.family != ADDR_NONE)
        enter(server, found);
}

/* Takes over what was found by name since the last time; each choice does. */
static void found_apply(struct upstream_local *upstream)
{
    struct worker *worker = upstream->worker;
    uint32_t turn = 0;

    if (!upstream->conf->discovers || worker->found == NULL)
        return;
    struct span block = worker->found(worker, &turn);
    if (turn == upstream->found_turn || block.p == NULL)
        return;
    upstream->found_turn = turn;
    const struct found_block *found = (const struct found_block *)(const void *)block.p;
    for (size_t i = 0; i < upstream->conf->server_count; i++) {
        struct server_local *server = &upstream->servers[i];
        const struct discovery *discovery = server->conf->discovery;
        if (discovery != NULL && discovery->index < found->count &&
            server->conf->slot < FOUND_MAX)
            look_into_slot(server, &found->items[discovery->index].slots[server->conf->slot]);
    }
}

bool balance_cookie(const struct server_local *server, const struct pick *pick,
                    const struct txn *txn, struct text *out)
{
    const struct upstream *conf = server->upstream->conf;

    if (conf->sticky_cookie.len == 0 ||
        pick->stuck == (unsigned)(server - server->upstream->servers) + 1)
        return false;
    text_add(out, conf->sticky_cookie);
    text_char(out, '=');
    text_add(out, span_of(server->token, SERVER_TOKEN_BYTES));
    text_lit(out, "; Path=/; HttpOnly; SameSite=Lax");
    if (span_equal(txn->req->scheme, SPAN("https")))
        text_lit(out, "; Secure");
    if (conf->sticky_age.ms > 0) {
        text_lit(out, "; Max-Age=");
        text_uint(out, (uint64_t)conf->sticky_age.ms / 1000);
    }
    return !out->overflow;
}

/* ---- the choice ---- */

static uint64_t now_ms(const struct server_local *server)
{
    return clock_ms(&server->upstream->worker->loop.clock);
}

/* Its weight in hundredths: one that comes back begins with little, for it is cold. */
static int64_t weight_now(const struct server_local *server)
{
    int64_t slow = server->upstream->conf->slow_start.ms, weight = server_weight(server);

    uint64_t since = server->ejected_until_ms;
    if (slow > 0 && server->conf->state != NULL) {
        uint64_t told = __atomic_load_n(&server->conf->state->since_ms, __ATOMIC_RELAXED);
        since = told > since ? told : since;
    }
    if (slow == 0 || since == 0)
        return weight * WEIGHT_UNITS;
    uint64_t now = now_ms(server);
    uint64_t back = now > since ? now - since : 0;
    if (back >= (uint64_t)slow)
        return weight * WEIGHT_UNITS;
    int64_t part = (int64_t)back * WEIGHT_UNITS / slow;
    return weight * (part > SLOW_START_LEAST ? part : SLOW_START_LEAST);
}

/* Each round adds every weight to its server, the largest sum wins and pays the total: smooth
 * and exact. */
static struct server_local *by_turns(struct upstream_local *upstream, uint64_t out,
                                     const struct pick *pick)
{
    struct server_local *best = NULL;
    int64_t total = 0;

    (void)pick;
    for (size_t i = 0; i < upstream->conf->server_count; i++) {
        struct server_local *server = &upstream->servers[i];
        if (out >> i & 1)
            continue;
        int64_t weight = weight_now(server);
        server->current_weight += weight;
        total += weight;
        if (best == NULL || server->current_weight > best->current_weight)
            best = server;
    }
    if (best != NULL)
        best->current_weight -= total;
    return best;
}

/* Negative: the first has less to do for its weight. */
static int64_t compare_load(const struct server_local *a, const struct server_local *b)
{
    return (int64_t)a->active * weight_now(b) - (int64_t)b->active * weight_now(a);
}

static struct server_local *by_load(struct upstream_local *upstream, uint64_t out,
                                    const struct pick *pick)
{
    uint64_t equal = ~(uint64_t)0;
    const struct server_local *best = NULL;

    for (size_t i = 0; i < upstream->conf->server_count; i++) {
        const struct server_local *server = &upstream->servers[i];
        if (out >> i & 1)
            continue;
        int64_t less = best == NULL ? -1 : compare_load(server, best);
        if (less < 0) {
            best = server;
            equal = ~((uint64_t)1 << i);
        } else if (less == 0) {
            equal &= ~((uint64_t)1 << i);
        }
    }
    /* Among equals by turns, or the first server would get all of a light load. */
    return best == NULL ? NULL : by_turns(upstream, out | equal, pick);
}

/* xorshift64: which two are compared is no secret. */
static uint64_t next_random(struct upstream_local *upstream)
{
    uint64_t x = upstream->random;

    x ^= x << 13;
    x ^= x >> 7;
    x ^= x << 17;
    upstream->random = x;
    return x;
}

/* The `which`-th server that is not out. */
static struct server_local *nth(struct upstream_local *upstream, uint64_t out, unsigned which)
{
    for (size_t i = 0; i < upstream->conf->server_count; i++) {
        if ((out >> i & 1) == 0 && which-- == 0)
            return &upstream->servers[i];
    }
    return NULL;
}

/* Two at random, the one with less to do (Mitzenmacher 2001): many gateways do not run to the
 * same server. */
static struct server_local *by_two(struct upstream_local *upstream, uint64_t out,
                                   const struct pick *pick)
{
    size_t all = upstream->conf->server_count;
    uint64_t in = ~out & (all < 64 ? ((uint64_t)1 << all) - 1 : ~(uint64_t)0);
    unsigned count = (unsigned)__builtin_popcountll(in);

    (void)pick;
    if (count == 0)
        return NULL;
    if (count == 1)
        return nth(upstream, out, 0);
    uint64_t random = next_random(upstream);
    unsigned first = (unsigned)(random & UINT32_MAX) % count;
    unsigned second = (unsigned)(random >> 32) % (count - 1);
    struct server_local *a = nth(upstream, out, first);
    struct server_local *b = nth(upstream, out, second + (second >= first));
    return compare_load(b, a) < 0 ? b : a;
}

/* Rendezvous hashing (Thaler and Ravishankar 1998), weighted: a server that goes takes only its
 * own share along. */
static struct server_local *by_hash(struct upstream_local *upstream, uint64_t out,
                                    const struct pick *pick)
{
    struct server_local *best = NULL;
    double most = 0;

    for (size_t i = 0; i < upstream->conf->server_count; i++) {
        struct server_local *server = &upstream->servers[i];
        if (out >> i & 1)
            continue;
        const struct siphash_key key = { pick->hash, 0x72656e64657a };
        struct span label = server_label(server);
        uint64_t drawn = siphash(&key, label.p, label.len);
        double unit = ((double)(drawn >> 11) + 0.5) * 0x1p-53; /* in (0, 1) */
        double score = (double)server_weight(server) / -log(unit);
        if (best == NULL || score > most) {
            best = server;
            most = score;
        }
    }
    return best;
}

static bool is_full(const struct server_local *server)
{
    int64_t most = server->upstream->conf->max_active;

    return most > 0 && (int64_t)server->active >= most;
}

/* Whether some server that could serve has room, or has none. */
static bool some_server(const struct upstream_local *upstream, uint64_t tried, bool full)
{
    for (size_t i = 0; i < upstream->conf->server_count; i++) {
        const struct server_local *server = &upstream->servers[i];
        if ((tried >> i & 1) == 0 && !server->vacant && is_full(server) == full &&
            !server_is_drained(server->conf->state))
            return true;
    }
    return false;
}

bool balance_waits(const struct upstream_local *upstream, uint64_t tried)
{
    return some_server(upstream, tried, true);
}

bool balance_has_room(const struct upstream_local *upstream, uint64_t tried)
{
    return some_server(upstream, tried, false);
}

struct server_local *balance_choose(struct upstream_local *upstream, uint64_t tried,
                                    const struct pick *pick)
{
    static struct server_local *(*const ways[])(struct upstream_local *, uint64_t,
                                                const struct pick *) = {
        [BALANCE_ROUND_ROBIN] = by_turns,
        [BALANCE_LEAST_CONN] = by_load,
        [BALANCE_TWO_CHOICES] = by_two,
        [BALANCE_HASH] = by_hash,
    };
    size_t count = upstream->conf->server_count;
    found_apply(upstream);
    uint64_t ejected = 0, backups = 0;

    if (count == 1)
        return (tried & 1) || upstream->servers->vacant ||
                       server_is_drained(upstream->servers->conf->state) ||
                       is_full(upstream->servers)
                   ? NULL
                   : upstream->servers;
    for (size_t i = 0; i < count; i++) {
        const struct server_local *server = &upstream->servers[i];
        if (server->vacant ||
            server_is_drained(server->conf->state)) /* not even when no other is left */
            tried |= (uint64_t)1 << i;
        if ((server->ejected_until_ms != 0 && server->ejected_until_ms > now_ms(server)) ||
            (server->trial && server->active > 0) || /* one tries it */
            server_is_down(server->conf->state))
            ejected |= (uint64_t)1 << i;
        if (server_is_backup(server))
            backups |= (uint64_t)1 << i;
    }
    uint64_t outs[] = { tried | ejected | backups, tried | ejected, tried };
    for (size_t i = 0; i < ARRAY_LEN(outs); i++) {
        if (pick->stuck > 0 && (outs[i] >> (pick->stuck - 1) & 1) == 0)
            return &upstream->servers[pick->stuck - 1];
        struct server_local *server = ways[upstream->conf->balance](upstream, outs[i], pick);
        if (server != NULL)
            return server;
    }
    return NULL;
}
