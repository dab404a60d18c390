/*
 * Bans among nodes: a stream in the store, to which each node appends what it bans and lifts,
 * and which one worker of each node reads on from where it was. What is read is applied as it
 * stands, for a ban says until when; so it does not matter how often, or by how many workers.
 *
 *     XADD sallyport:bans MAXLEN ~ 10000 * a 192.0.2.7/32 u 1795269600 c rule r ticket-91
 *          s shop.example.com q 01a2008e-2b83-7ced-800b-c229557dbc0a
 *
 * s and q: on which site, and the id of the last request that led to it.
 * Addresses stand there in the open, for a ban is to be listed.
 */
#include <stdlib.h>

#include "gateway/chain/config.h"
#include "gateway/store/store.h"
#include "ratelimit/bans.h"

enum {
    TURN_MS = 20, /* between two looks at the ring, and at the stream */
    READ_MAX = 200,
    PAGES_MAX = 64, /* in one turn: who starts with a long stream before it has a lot to read */
    ID_BYTES = 48,
    KEY_BYTES = 64,
    CALLS_MAX = 16,
};

struct tell {
    struct redis_call call;
    struct ban_event event;
    bool busy;  /* claimed, and not told yet */
    bool again; /* the store did not take it: in the next turn */
};

struct ban_share {
    struct worker *worker;
    const struct bans *bans;
    struct timer timer;
    struct redis_call read;
    bool reading;
    struct tell tells[CALLS_MAX];
    uint64_t cursor; /* in the ring */
    char last[ID_BYTES];
    size_t last_len; /* 0: from the beginning */
    char key[KEY_BYTES];
    size_t key_len;
    unsigned slot;
    uint32_t who;
    unsigned pages; /* read in this turn */
};

static bool send(struct ban_share *share, struct redis_call *call, unsigned argc,
                 const struct span *argv)
{
    return keyspace_send(share->worker->keys, share->slot, call, argc, argv) == OK;
}

/* Where the stream is now is found out here, too; what was told is told again. */
static void look_around(struct ban_share *share, const struct redis_value *value)
{
    struct redis *asked;
    if (value->type == REDIS_ERROR && keyspace_spread(share->worker->keys))
        (void)keyspace_detour(share->worker->keys, share->slot, value, &asked);
}

static uint64_t now_s(const struct ban_share *share)
{
    return share->worker->loop.clock.wall_us / 1000000;
}

/* ---- what others say ---- */

static struct span member(const struct redis_value *fields, struct span name)
{
    for (unsigned i = 0; i + 1 < fields->count; i += 2) {
        const struct redis_value *key = &fields->items[i], *value = &fields->items[i + 1];
        if (key->type == REDIS_TEXT && value->type == REDIS_TEXT && span_equal(key->text, name))
            return value->text;
    }
    return span_of(NULL, 0);
}

static enum ban_cause cause_of(struct span name)
{
    for (unsigned i = 0; i < CAUSE_COUNT; i++)
        if (span_equal(name, span_text(ban_cause_name(i))))
            return (enum ban_cause)i;
    return CAUSE_NODE;
}

/* Printable ASCII or nothing: it is shown to people. */
static void copy_text(char *to, size_t size, struct span text)
{
    size_t len = text.len < size - 1 ? text.len : size - 1;
    for (size_t i = 0; i < len; i++)
        to[i] = text.p[i] >= ' ' && text.p[i] < 0x7f ? text.p[i] : '?';
    to[len] = '\0';
}

bool ban_share_read(const struct redis_value *entry, uint64_t now, struct ban_event *event)
{
    if (entry->type != REDIS_ARRAY || entry->count != 2 || entry->items[0].type != REDIS_TEXT ||
        entry->items[1].type != REDIS_ARRAY)
        return false;
    const struct redis_value *fields = &entry->items[1];
    *event =
        (struct ban_event){ .at_s = now, .kind = BAN_SET, .shared = true, .foreign = true };
    if (!cidr_parse(member(fields, SPAN("a")), false, &event->net) ||
        !ban_net_ok(&event->net) || !span_uint(member(fields, SPAN("u")), &event->until_s))
        return false;
    if (event->until_s > now + BAN_LONGEST_S)
        return false; /* nobody bans for longer: a clock, or a hand, that is not ours */
    event->cause = (uint8_t)cause_of(member(fields, SPAN("c")));
    copy_text(event->reason, sizeof(event->reason), member(fields, SPAN("r")));
    copy_text(event->site, sizeof(event->site), member(fields, SPAN("s")));
    copy_text(event->request, sizeof(event->request), member(fields, SPAN("q")));
    if (event->until_s == 0)
        event->kind = BAN_LIFTED;
    return true;
}

static void apply(struct ban_share *share, const struct redis_value *entry)
{
    struct ban_event event;
    uint64_t now = now_s(share);
    if (!ban_share_read(entry, now, &event) || (event.kind == BAN_SET && event.until_s <= now))
        return;
    uint64_t before = bans_get(share->bans, &event.net);
    if (event.kind == BAN_LIFTED ? before == 0 : before >= event.until_s)
        return;
    if (event.kind == BAN_LIFTED)
        bans_forget(share->bans, &event.net.addr);
    if (bans_set(share->bans, &event.net, event.until_s, now))
        bans_log(share->bans, &event);
}

static void read_on(struct ban_share *share);

static void on_read(struct redis_call *call, enum err err, const struct redis_value *value)
{
    struct ban_share *share = CONTAINER(call, struct ban_share, read);
    share->reading = false;
    if (err == OK)
        look_around(share, value);
    if (err != OK || value->type != REDIS_ARRAY)
        return;
    for (unsigned i = 0; i < value->count && i < READ_MAX; i++) {
        const struct redis_value *entry = &value->items[i];
        apply(share, entry);
        if (entry->type != REDIS_ARRAY || entry->count == 0 ||
            entry->items[0].type != REDIS_TEXT || entry->items[0].text.len >= ID_BYTES - 1)
            return;
        share->last_len = entry->items[0].text.len;
        memcpy(share->last, entry->items[0].text.p, share->last_len);
    }
    if (value->count >= READ_MAX && share->pages++ < PAGES_MAX)
        read_on(share);
}

static void read_on(struct ban_share *share)
{
    char from[ID_BYTES + 1], count[8];
    struct text start = text_fixed(from, sizeof(from)), most = text_fixed(count, sizeof(count));
    text_char(&start, share->last_len > 0 ? '(' : '-');
    text_add(&start, span_of(share->last, share->last_len));
    text_uint(&most, READ_MAX);
    const struct span command[] = { SPAN("XRANGE"),    span_of(share->key, share->key_len),
                                    text_span(&start), SPAN("+"),
                                    SPAN("COUNT"),     text_span(&most) };
    share->read.done = on_read;
    share->reading = send(share, &share->read, ARRAY_LEN(command), command);
}

/* ---- what we say ---- */

/* It may have been taken even so; told twice it is the same ban. */
static void on_told(struct redis_call *call, enum err err, const struct redis_value *value)
{
    struct tell *tell = CONTAINER(call, struct tell, call);
    tell->again = err != OK || value->type == REDIS_ERROR;
    tell->busy = tell->again;
}

static void tell(struct ban_share *share, struct tell *tell)
{
    const struct ban_event *event = &tell->event;
    char net[64], until[24];
    struct text address = text_fixed(net, sizeof(net)), end = text_fixed(until, sizeof(until));
    cidr_write(&address, &event->net);
    text_uint(&end, event->kind == BAN_LIFTED ? 0 : event->until_s);
    const struct span command[] = {
        SPAN("XADD"),   span_of(share->key, share->key_len),
        SPAN("MAXLEN"), SPAN("~"),
        SPAN("10000"),  SPAN("*"),
        SPAN("a"),      text_span(&address),
        SPAN("u"),      text_span(&end),
        SPAN("c"),      span_text(ban_cause_name(event->cause)),
        SPAN("r"),      span_text(event->reason),
        SPAN("s"),      span_text(event->site),
        SPAN("q"),      span_text(event->request),
    };
    tell->call.done = on_told;
    tell->busy = true;
    tell->again = !send(share, &tell->call, ARRAY_LEN(command), command);
}

static struct tell *free_tell(struct ban_share *share)
{
    for (unsigned i = 0; i < CALLS_MAX; i++)
        if (!share->tells[i].busy)
            return &share->tells[i];
    return NULL;
}

static void on_turn(struct timer *timer)
{
    struct ban_share *share = CONTAINER(timer, struct ban_share, timer);
    struct tell *next;
    timer_set(&share->worker->loop, timer, TURN_MS);
    if (!keyspace_usable(share->worker->keys, share->slot))
        return; /* what is not told stays in the ring */
    for (unsigned i = 0; i < CALLS_MAX; i++)
        if (share->tells[i].busy && share->tells[i].again)
            tell(share, &share->tells[i]);
    while ((next = free_tell(share)) != NULL &&
           bans_claim(share->bans, &share->cursor, &next->event))
        tell(share, next);
    uint64_t now_ms = clock_ms(&share->worker->loop.clock);
    share->pages = 0;
    if (!share->reading && bans_lead(share->bans, share->who, now_ms))
        read_on(share);
}

struct ban_share *ban_share_attach(struct worker *worker, const struct bans *bans)
{
    struct ban_share *share = calloc(1, sizeof(*share));
    if (share == NULL)
        return NULL;
    share->worker = worker;
    share->bans = bans;
    share->timer.fire = on_turn;
    random_bytes(&share->who, sizeof(share->who));
    struct text key = text_fixed(share->key, sizeof(share->key));
    text_add(&key, worker->config->store->prefix);
    text_lit(&key, ":bans");
    share->key_len = key.len;
    share->slot = keyspace_slot(worker->keys, text_span(&key));
    timer_set(&worker->loop, &share->timer, TURN_MS);
    return share;
}
