/*
 * The steward's side of bans: the list for people, with the evidence for each, and bans by
 * hand. Workers and other nodes make bans without it; what they did is read from the ring in
 * shared memory, which a worker that was taken over may forge: all of it is for people.
 */
#include <jansson.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "gateway/base/log.h"
#include "gateway/process/process.h"
#include "gateway/steward/steward.h"
#include "gateway/store/bans.h"

enum {
    READ_MS = 200,
    ROWS_MAX = 16384, /* listed at a time; bans beyond hold all the same */
    EVIDENCE_MAX = 8,
    WITNESSES = 4096, /* addresses whose last offences are kept: by hash, the later one stays */
    SHOWN_MAX = 10000,
    HALF_LIFE_S = 600,
};

struct offence {
    uint64_t at_s;
    uint8_t cause;
    char request[40], site[BAN_TEXT_BYTES];
};

struct witness {
    struct cidr net;
    unsigned count; /* of all; the last EVIDENCE_MAX are kept */
    struct offence last[EVIDENCE_MAX];
};

struct ban_row {
    struct ban_event event; /* that made it */
    unsigned count;
    struct offence evidence[EVIDENCE_MAX];
};

struct ban_keeper {
    struct steward *steward;
    struct bans bans;
    struct timer timer;
    uint64_t cursor;
    struct ban_row *rows;
    size_t count, size;
    struct witness witnesses[WITNESSES];
};

static uint64_t now_s(const struct ban_keeper *keeper)
{
    return keeper->steward->loop.clock.wall_us / 1000000;
}

/* ---- what happened ---- */

static bool same_net(const struct cidr *a, const struct cidr *b)
{
    return a->bits == b->bits && addr_equal(&a->addr, &b->addr);
}

static struct witness *witness_of(struct ban_keeper *keeper, const struct cidr *net)
{
    uint64_t hash = siphash(&keeper->bans.place, net->addr.bytes, sizeof(net->addr.bytes));
    return &keeper->witnesses[hash % WITNESSES];
}

static struct offence offence_of(const struct ban_event *event)
{
    struct offence offence = { .at_s = event->at_s, .cause = event->cause };
    memcpy(offence.request, event->request, sizeof(offence.request));
    memcpy(offence.site, event->site, sizeof(offence.site));
    return offence;
}

static void note_offence(struct ban_keeper *keeper, const struct ban_event *event)
{
    struct witness *witness = witness_of(keeper, &event->net);
    if (!same_net(&witness->net, &event->net))
        *witness = (struct witness){ .net = event->net };
    witness->last[witness->count++ % EVIDENCE_MAX] = offence_of(event);
}

static struct ban_row *find_row(struct ban_keeper *keeper, const struct cidr *net)
{
    for (size_t i = 0; i < keeper->count; i++)
        if (same_net(&keeper->rows[i].event.net, net))
            return &keeper->rows[i];
    return NULL;
}

static void drop_row(struct ban_keeper *keeper, struct ban_row *row)
{
    *row = keeper->rows[--keeper->count];
}

static void drop_expired(struct ban_keeper *keeper)
{
    for (size_t i = keeper->count; i > 0; i--)
        if (keeper->rows[i - 1].event.until_s <= now_s(keeper))
            drop_row(keeper, &keeper->rows[i - 1]);
}

static struct ban_row *new_row(struct ban_keeper *keeper)
{
    if (keeper->count == keeper->size) {
        drop_expired(keeper);
        size_t size = keeper->size > 0 ? keeper->size * 2 : 64;
        if (keeper->count < keeper->size)
            return &keeper->rows[keeper->count++];
        if (size > ROWS_MAX)
            return NULL;
        struct ban_row *rows = realloc(keeper->rows, size * sizeof(*rows));
        if (rows == NULL)
            return NULL;
        keeper->rows = rows;
        keeper->size = size;
    }
    return &keeper->rows[keeper->count++];
}

static void note_ban(struct ban_keeper *keeper, const struct ban_event *event)
{
    struct ban_row *row = find_row(keeper, &event->net);
    if (event->kind == BAN_LIFTED) {
        if (row != NULL)
            drop_row(keeper, row);
        return;
    }
    if (row == NULL)
        row = new_row(keeper);
    if (row == NULL)
        return;
    *row = (struct ban_row){ .event = *event };
    const struct witness *witness = witness_of(keeper, &event->net);
    if (!same_net(&witness->net, &event->net)) {
        /* What another node saw; that has the others. */
        if (event->request[0] != '\0')
            row->evidence[row->count++] = offence_of(event);
        return;
    }
    unsigned first = witness->count > EVIDENCE_MAX ? witness->count - EVIDENCE_MAX : 0;
    for (unsigned i = first; i < witness->count; i++)
        row->evidence[row->count++] = witness->last[i % EVIDENCE_MAX];
}

static void read_events(struct ban_keeper *keeper)
{
    struct ban_event event;
    while (bans_next(&keeper->bans, &keeper->cursor, &event)) {
        if (event.kind == BAN_OFFENCE)
            note_offence(keeper, &event);
        else
            note_ban(keeper, &event);
        if (event.kind != BAN_OFFENCE)
            crowdsec_banned(keeper->steward, &event, keeper->cursor);
    }
}

static void on_timer(struct timer *timer)
{
    struct ban_keeper *keeper = CONTAINER(timer, struct ban_keeper, timer);
    read_events(keeper);
    timer_set(&keeper->steward->loop, timer, READ_MS);
}

enum err bans_open(struct steward *steward)
{
    struct stat info;
    if (fstat(ROLE_FD_BANS, &info) != 0)
        return OK; /* no site has bans */
    void *memory = MAP_FAILED;
    if (info.st_size == (off_t)bans_bytes())
        memory = mmap(NULL, bans_bytes(), PROT_READ | PROT_WRITE, MAP_SHARED, ROLE_FD_BANS, 0);
    (void)close(ROLE_FD_BANS);
    struct ban_keeper *keeper = memory != MAP_FAILED ? calloc(1, sizeof(*keeper)) : NULL;
    if (keeper == NULL)
        return ERR_MEMORY;
    keeper->steward = steward;
    bans_over(&keeper->bans, memory, steward->slots->boot_key);
    keeper->timer.fire = on_timer;
    timer_set(&steward->loop, &keeper->timer, READ_MS);
    steward->bans = keeper;
    return OK;
}

const struct bans *keeper_bans(const struct steward *steward)
{
    return steward->bans != NULL ? &steward->bans->bans : NULL;
}

bool keeper_each(struct steward *steward,
                 bool (*each)(const struct ban_event *event, uint64_t until_s, void *ctx),
                 void *ctx)
{
    struct ban_keeper *keeper = steward->bans;
    if (keeper == NULL)
        return true;
    read_events(keeper);
    for (size_t i = 0; i < keeper->count; i++) {
        const struct ban_event *event = &keeper->rows[i].event;
        uint64_t until_s = bans_get(&keeper->bans, &event->net);
        if (until_s > now_s(keeper) && !each(event, until_s, ctx))
            return false;
    }
    return true;
}

/* ---- commands ---- */

static void write_net(struct json *j, const char *key, const struct cidr *net)
{
    char buffer[64];
    struct text text = text_fixed(buffer, sizeof(buffer));
    bool whole = net->bits == (net->addr.family == ADDR_V6 ? 128 : 32);
    if (whole)
        addr_write(&text, &net->addr);
    else
        cidr_write(&text, net);
    json_text(j, key, text_span(&text));
}

static void write_ban(struct json *j, const struct ban_keeper *keeper,
                      const struct ban_event *event, uint64_t until_s)
{
    write_net(j, "net", &event->net);
    json_uint(j, "until", until_s);
    json_uint(j, "left_s", until_s - now_s(keeper));
    json_uint(j, "since", event->at_s);
    json_text(j, "cause", span_text(ban_cause_name(event->cause)));
    json_uint(j, "bans_before", event->level);
    if (event->site[0] != '\0')
        json_text(j, "site", span_text(event->site));
    if (event->reason[0] != '\0')
        json_text(j, "reason", span_text(event->reason));
}

static void write_offences(struct json *j, const struct offence *offences, unsigned count)
{
    json_begin_array(j, "evidence");
    for (unsigned i = 0; i < count; i++) {
        json_begin_object(j, NULL);
        json_uint(j, "at", offences[i].at_s);
        json_text(j, "cause", span_text(ban_cause_name(offences[i].cause)));
        json_text(j, "site", span_text(offences[i].site));
        json_text(j, "request", span_text(offences[i].request));
        json_end_object(j);
    }
    json_end_array(j);
}

static void list_bans(struct client *client, struct ban_keeper *keeper, const json_t *request)
{
    (void)request;
    struct json j = answer_begin(client, true);
    unsigned shown = 0;
    json_begin_array(&j, "bans");
    for (size_t i = 0; i < keeper->count && shown < SHOWN_MAX; i++) {
        const struct ban_event *event = &keeper->rows[i].event;
        uint64_t until_s = bans_get(&keeper->bans, &event->net);
        if (until_s <= now_s(keeper))
            continue;
        json_begin_object(&j, NULL);
        write_ban(&j, keeper, event, until_s);
        json_end_object(&j);
        shown++;
    }
    json_end_array(&j);
    answer_end(client, &j);
}

/* An address is the net that it would be judged by. */
static bool read_net(const json_t *request, struct cidr *net)
{
    const char *text = json_string_value(json_object_get(request, "net"));
    struct addr addr;
    if (text == NULL)
        return false;
    if (addr_parse(span_text(text), &addr)) {
        *net = ban_net(&addr);
        return true;
    }
    return cidr_parse(span_text(text), true, net) && ban_net_ok(net); /* of any address in it */
}

static const char bad_net[] = "not an address, nor an IPv4 /24 or an IPv6 /64 or /48";

static void copy_text(char *to, size_t size, const char *text)
{
    size_t n = 0;
    for (; text != NULL && text[n] != '\0' && n + 1 < size; n++)
        to[n] = text[n] >= ' ' && text[n] < 0x7f ? text[n] : '?';
    to[n] = '\0';
}

static void add_ban(struct client *client, struct ban_keeper *keeper, const json_t *request)
{
    struct cidr net;
    json_int_t seconds = json_integer_value(json_object_get(request, "seconds"));
    if (!read_net(request, &net)) {
        answer_error(client, bad_net);
        return;
    }
    if (seconds < 1 || seconds > BAN_LONGEST_S) {
        answer_error(client, "a ban lasts from a second to a year");
        return;
    }
    if (!json_is_true(json_object_get(request, "force")) && bans_never(&keeper->bans, &net)) {
        answer_error(client, "the configuration says that this is never banned; and it would "
                             "not be: `never` holds over bans by hand, too");
        return;
    }
    struct ban_event event = { .at_s = now_s(keeper),
                               .until_s = now_s(keeper) + (uint64_t)seconds,
                               .net = net,
                               .kind = BAN_SET,
                               .cause = CAUSE_OPERATOR };
    copy_text(event.reason, sizeof(event.reason),
              json_string_value(json_object_get(request, "reason")));
    (void)bans_set(&keeper->bans, &net, event.until_s, event.at_s);
    bans_log(&keeper->bans, &event);
    read_events(keeper);
    struct json j = answer_begin(client, true);
    write_ban(&j, keeper, &event, event.until_s);
    answer_end(client, &j);
}

static void delete_ban(struct client *client, struct ban_keeper *keeper, const json_t *request)
{
    struct cidr net;
    if (!read_net(request, &net)) {
        answer_error(client, bad_net);
        return;
    }
    if (bans_get(&keeper->bans, &net) <= now_s(keeper)) {
        answer_error(client, "there is no such ban");
        return;
    }
    struct ban_event event = {
        .at_s = now_s(keeper), .net = net, .kind = BAN_LIFTED, .cause = CAUSE_OPERATOR
    };
    (void)bans_set(&keeper->bans, &net, 0, event.at_s);
    bans_forget(&keeper->bans, &net.addr);
    bans_log(&keeper->bans, &event);
    read_events(keeper);
    struct json j = answer_begin(client, true);
    answer_end(client, &j);
}

static void explain_ban(struct client *client, struct ban_keeper *keeper, const json_t *request)
{
    struct cidr net;
    uint32_t points;
    uint8_t level;
    if (!read_net(request, &net)) {
        answer_error(client, bad_net);
        return;
    }
    uint64_t until_s = bans_until(&keeper->bans, &net.addr, now_s(keeper));
    struct ban_row *row = find_row(keeper, &net);
    const struct witness *witness = witness_of(keeper, &net);
    bans_score(&keeper->bans, &net.addr, HALF_LIFE_S, now_s(keeper), &points, &level);
    struct json j = answer_begin(client, true);
    json_bool(&j, "banned", until_s > 0);
    json_bool(&j, "never", bans_never(&keeper->bans, &net));
    json_uint(&j, "points", points);
    json_uint(&j, "bans_so_far", level);
    if (until_s > 0 && row != NULL) {
        json_begin_object(&j, "ban");
        write_ban(&j, keeper, &row->event, until_s);
        json_end_object(&j);
        write_offences(&j, row->evidence, row->count);
    } else if (same_net(&witness->net, &net)) {
        unsigned count = witness->count < EVIDENCE_MAX ? witness->count : EVIDENCE_MAX;
        write_offences(&j, witness->last, count);
    }
    answer_end(client, &j);
}

static const struct {
    const char *name;
    void (*run)(struct client *client, struct ban_keeper *keeper, const json_t *request);
} actions[] = {
    { "list", list_bans },
    { "add", add_ban },
    { "del", delete_ban },
    { "why", explain_ban },
};

void bans_command(struct client *client, const json_t *request)
{
    struct ban_keeper *keeper = client->steward->bans;
    const char *name = json_string_value(json_object_get(request, "action"));
    if (keeper == NULL) {
        answer_error(client, "no site has bans");
        return;
    }
    read_events(keeper);
    for (size_t i = 0; name != NULL && i < ARRAY_LEN(actions); i++) {
        if (strcmp(actions[i].name, name) != 0)
            continue;
        actions[i].run(client, keeper, request);
        return;
    }
    answer_error(client, "unknown action");
}
