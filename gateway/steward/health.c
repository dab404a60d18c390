/*
 * Active health checks: each server with a check is asked at its interval, by an exchange as
 * requests are, over TLS where these are, and counted up or down after `rise` or `fall` equal
 * results. And the operator's `upstream list|drain|ready`.
 *
 * A server's answer is hostile here, too: its head is parsed as strictly as for clients, and
 * 16 KiB of its body are read.
 */
#include <jansson.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "gateway/base/log.h"
#include "gateway/net/certs.h"
#include "gateway/process/process.h"
#include "gateway/steward/steward.h"
#include "gateway/upstream/exchange.h"

enum {
    BODY_BYTES = 16 * 1024,
    STAGGER_MS = 20,
    CHECK_MEMORY = 128 * 1024,
    INTERVAL_LEAST_MS = 100,
    TIMEOUT_LEAST_MS = 10,
};

struct check {
    struct steward *steward;
    struct server_state *row;
    struct server_check conf; /* a copy: the row may be forged later */
    char label[SERVER_LABEL_BYTES];
    struct timer timer; /* the next one */
    struct task task;   /* the end of this one, outside of the exchange's stack */
    struct arena arena; /* of one check */
    struct request req;
    struct exchange exchange;
    struct upstream upstream; /* of one server */
    struct upstream_server server;
    struct upstream_local local;
    struct server_local server_local;
    char *body; /* NULL: nothing must be in it */
    size_t len;
    bool running, told, good_now;
    char why[CHECK_WHY_BYTES];
    uint32_t good, bad; /* in a row */
};

/* A way of TLS as the configuration has it; NULL client: its files could not be read. */
struct check_way {
    uint64_t key;
    struct tls_client *client;
};

struct checks {
    struct server_states *states;
    struct check *items;
    size_t count;
    struct check_way ways[CHECK_TLS_MAX];
    size_t way_count;
};

/* ---- what follows from a check ---- */

static void next_one(struct check *check)
{
    timer_set(&check->steward->loop, &check->timer, check->conf.interval_ms);
}

static void stop(struct check *check)
{
    if (!check->running)
        return;
    exchange_abort(&check->exchange);
    task_cancel(&check->task);
    while (check->local.free_conns != NULL) {
        struct server_conn *conn = check->local.free_conns;
        check->local.free_conns = conn->next;
        free(conn);
    }
    arena_reset(&check->arena);
    free(check->body);
    check->body = NULL;
    check->running = false;
}

static void set_down(struct check *check, bool down)
{
    struct server_state *row = check->row;

    if ((row->down != 0) == down)
        return;
    if (!down)
        __atomic_store_n(&row->since_ms, clock_ms(&check->steward->loop.clock),
                         __ATOMIC_RELAXED);
    __atomic_store_n(&row->down, (uint32_t)down, __ATOMIC_RELAXED);
    if (down)
        log_warn("server is down", F_TEXT("server", check->label), F_TEXT("why", check->why));
    else
        log_info("server is up", F_TEXT("server", check->label));
}

static void conclude(struct check *check, bool good)
{
    stop(check);
    check->good = good ? check->good + 1 : 0;
    check->bad = good ? 0 : check->bad + 1;
    memcpy(check->row->why, good ? "" : check->why, good ? 1 : sizeof check->why);
    if (check->good >= check->conf.rise)
        set_down(check, false);
    if (check->bad >= check->conf.fall)
        set_down(check, true);
    next_one(check);
}

static void on_task(struct task *task)
{
    struct check *check = CONTAINER(task, struct check, task);

    conclude(check, check->good_now);
}

/* The first word counts. From inside an exchange: the rest follows from the run queue. */
static void tell(struct check *check, bool good, const char *why)
{
    struct text text = text_fixed(check->why, sizeof check->why - 1);

    if (check->told)
        return;
    check->told = true;
    check->good_now = good;
    memset(check->why, 0, sizeof check->why);
    text_add(&text, span_sub(span_text(why), 0, sizeof check->why - 1));
    exchange_abort(&check->exchange);
    loop_post(&check->steward->loop, &check->task);
}

/* ---- the answer ---- */

static struct span wanted_text(const struct check *check)
{
    return span_of(check->conf.body, strnlen(check->conf.body, CHECK_TEXT_BYTES));
}

static void on_head(struct exchange *x)
{
    struct check *check = CONTAINER(x, struct check, exchange);
    int status = x->rsp.status;

    if (status >= (int)check->conf.status_from && status <= (int)check->conf.status_to) {
        if (wanted_text(check).len == 0)
            tell(check, true, "");
        return;
    }
    char why[32];
    struct text text = text_fixed(why, sizeof why - 1);
    memset(why, 0, sizeof why);
    text_format(&text, "it answers %d", status);
    tell(check, false, why);
}

static bool has_text(const struct check *check)
{
    return span_find(span_of(check->body, check->len), wanted_text(check)) >= 0;
}

static void on_body(struct exchange *x, struct span bytes)
{
    struct check *check = CONTAINER(x, struct check, exchange);

    if (check->told)
        return;
    bytes = span_sub(bytes, 0, BODY_BYTES - check->len);
    memcpy(check->body + check->len, bytes.p, bytes.len);
    check->len += bytes.len;
    if (has_text(check))
        tell(check, true, "");
    else if (check->len == BODY_BYTES)
        tell(check, false, "the text is not in its answer");
}

static void on_end(struct exchange *x)
{
    tell(CONTAINER(x, struct check, exchange), false, "the text is not in its answer");
}

static void on_error(struct exchange *x, enum err err)
{
    tell(CONTAINER(x, struct check, exchange), false, x->why != NULL ? x->why : err_text(err));
}

static void on_drained(struct exchange *x)
{
    (void)x;
}

static const struct exchange_events check_events = {
    .head = on_head, .body = on_body, .end = on_end, .error = on_error, .drained = on_drained
};

/* ---- the request ---- */

static struct tls_client *way_of(const struct check *check)
{
    const struct checks *checks = check->steward->checks;

    for (size_t i = 0; i < checks->way_count; i++) {
        if (checks->ways[i].key == check->conf.tls)
            return checks->ways[i].client;
    }
    return NULL;
}

static void make_server(struct check *check)
{
    const struct server_check *conf = &check->conf;
    struct duration all = { .ms = conf->timeout_ms };

    check->server = (struct upstream_server){
        .url = { .host = span_text(conf->tls_name), .path = span_text(conf->unix_path) },
        .weight = 1,
        .addrs = { conf->addr },
        .addr_count = 1,
        .label = span_text(check->label),
    };
    check->upstream = (struct upstream){ .servers = &check->server,
                                         .server_count = 1,
                                         .connect = all,
                                         .response = all,
                                         .idle = all,
                                         .total = all,
                                         .tls = conf->secure ? way_of(check) : NULL };
    check->local = (struct upstream_local){ .conf = &check->upstream,
                                            .worker = &check->steward->agent,
                                            .servers = &check->server_local };
    server_local_init(&check->server_local, &check->server, &check->local);
}

static enum err make_request(struct check *check)
{
    struct span path = span_text(check->conf.path), before;
    struct request *req = &check->req;

    *req = (struct request){ .method = SPAN("GET"), .method_id = METHOD_GET, .minor = 1 };
    req->host = span_text(check->conf.host);
    (void)span_cut(&path, '?', &before);
    req->path_wire = before;
    req->query = path;
    req->has_query = path.p != NULL;
    TRY(fields_init(&req->fields, &check->arena, 4));
    TRY(fields_add(&req->fields, &check->arena, SPAN("User-Agent"), SPAN("sallyport-health")));
    return fields_add(&req->fields, &check->arena, SPAN("Accept"), SPAN("*/*"));
}

static void begin(struct check *check)
{
    if (check->conf.addr.family == ADDR_NONE) { /* nobody is in the slot */
        next_one(check);
        return;
    }
    check->running = true;
    check->told = false;
    check->len = 0;
    check->exchange =
        (struct exchange){ .events = &check_events, .framing = { .body = BODY_NONE } };
    if (wanted_text(check).len > 0)
        check->body = malloc(BODY_BYTES);
    make_server(check);
    if ((wanted_text(check).len > 0 && check->body == NULL) || make_request(check) != OK)
        tell(check, false, err_text(ERR_MEMORY));
    else if (check->conf.secure && check->upstream.tls == NULL)
        tell(check, false, "its `tls` files could not be read");
    else
        exchange_start_at(&check->exchange, &check->steward->agent, &check->local,
                          &check->arena, &check->req);
    worker_flush(&check->steward->agent);
}

static void on_timer(struct timer *timer)
{
    begin(CONTAINER(timer, struct check, timer));
}

/* ---- life ---- */

static bool is_ours(const struct steward *steward, const struct server_state *row)
{
    return row->key != 0 && row->generation >= steward->settings->generation;
}

/* Rows may be forged by a worker that was taken over: texts end here, and times are sane. */
static void sanitize(struct server_check *conf)
{
    conf->host[CHECK_HOST_BYTES - 1] = conf->path[CHECK_TEXT_BYTES - 1] = '\0';
    conf->tls_name[CHECK_HOST_BYTES - 1] = conf->body[CHECK_TEXT_BYTES - 1] = '\0';
    conf->unix_path[sizeof conf->unix_path - 1] = '\0';
    if (conf->interval_ms < INTERVAL_LEAST_MS)
        conf->interval_ms = INTERVAL_LEAST_MS;
    if (conf->timeout_ms < TIMEOUT_LEAST_MS)
        conf->timeout_ms = TIMEOUT_LEAST_MS;
}

static void open_check(struct steward *steward, struct server_state *row)
{
    struct check *check = &steward->checks->items[steward->checks->count++];

    *check = (struct check){ .steward = steward,
                             .row = row,
                             .conf = row->check,
                             .timer = { .fire = on_timer },
                             .task = { .run = on_task } };
    memcpy(check->label, row->label, sizeof check->label - 1);
    sanitize(&check->conf);
    arena_init(&check->arena, NULL, 0, &steward->agent.slabs, CHECK_MEMORY);
    timer_set(&steward->loop, &check->timer, 1 + steward->checks->count * STAGGER_MS % 1000);
}

/* Before the sandbox closes, and while the keys can be read. */
static void open_ways(struct steward *steward, struct checks *checks)
{
    const struct steward_settings *settings = steward->settings;

    for (uint32_t i = 0; i < settings->check_tls_count; i++) {
        const struct check_tls *tls = &settings->check_tls[i];
        struct tls_client_conf client = { .ca = span_text(tls->ca),
                                          .cert = span_text(tls->cert),
                                          .key = span_text(tls->file),
                                          .verify = tls->verify,
                                          .profile = TLS_INTERMEDIATE };
        struct span why = { 0 };
        struct check_way *way = &checks->ways[checks->way_count++];
        *way = (struct check_way){ .key = tls->key,
                                   .client = tls_client_new(&client, &steward->arena, &why) };
        if (way->client == NULL)
            log_error("checks cannot use an upstream's tls", F_SPAN("why", why));
    }
}

enum err checks_open(struct steward *steward)
{
    struct stat info;

    if (fstat(ROLE_FD_SERVERS, &info) != 0)
        return OK; /* there are none */
    void *memory = MAP_FAILED;
    if ((size_t)info.st_size >= sizeof(struct server_states))
        memory = mmap(NULL, sizeof(struct server_states), PROT_READ | PROT_WRITE, MAP_SHARED,
                      ROLE_FD_SERVERS, 0);
    (void)close(ROLE_FD_SERVERS);
    struct checks *checks = arena_new(&steward->arena, struct checks);
    if (memory == MAP_FAILED || checks == NULL)
        return ERR_MEMORY;
    checks->states = memory;
    open_ways(steward, checks);
    steward->checks = checks;
    return OK;
}

enum err checks_start(struct steward *steward)
{
    struct checks *checks = steward->checks;
    size_t count = 0;

    if (checks == NULL)
        return OK;
    for (size_t i = 0; i < SERVER_STATES_MAX; i++) {
        const struct server_state *row = &checks->states->rows[i];
        count += is_ours(steward, row) && row->check.on;
    }
    checks->items = arena_array(&steward->arena, struct check, count + 1);
    if (checks->items == NULL)
        return ERR_MEMORY;
    for (size_t i = 0; i < SERVER_STATES_MAX && checks->count < count; i++) {
        struct server_state *row = &checks->states->rows[i];
        if (is_ours(steward, row) && row->check.on)
            open_check(steward, row);
    }
    return OK;
}

void checks_moved(struct steward *steward, const char *label, const struct addr *addr)
{
    struct server_state *rows = steward->checks != NULL ? steward->checks->states->rows : NULL;
    char address[SERVER_ADDRESS_BYTES] = "";
    struct text text = text_fixed(address, sizeof address - 1);

    if (addr->family != ADDR_NONE)
        addr_write_port(&text, addr);
    for (size_t i = 0; rows != NULL && i < SERVER_STATES_MAX; i++) {
        struct server_state *row = &rows[i];
        if (!is_ours(steward, row) || strncmp(row->label, label, SERVER_LABEL_BYTES) != 0)
            continue;
        row->check.addr = *addr;
        if (strncmp(row->address, address, sizeof address) == 0)
            continue; /* the one that was there before a reload */
        memcpy(row->address, address, sizeof address);
        __atomic_store_n(&row->down, 0, __ATOMIC_RELAXED);
        __atomic_store_n(&row->drained, 0, __ATOMIC_RELAXED);
        __atomic_store_n(&row->since_ms, clock_ms(&steward->loop.clock), __ATOMIC_RELAXED);
    }
    for (size_t i = 0; rows != NULL && i < steward->checks->count; i++) {
        struct check *check = &steward->checks->items[i];
        if (strncmp(check->label, label, sizeof check->label) != 0)
            continue;
        stop(check);
        check->conf.addr = *addr;
        check->good = check->bad = 0;
        timer_set(&steward->loop, &check->timer, 1);
    }
}

const struct server_states *checks_states(const struct steward *steward)
{
    return steward->checks != NULL ? steward->checks->states : NULL;
}

/* ---- the operator ---- */

static void write_circuits(struct json *j, const struct steward *steward)
{
    static const char *const states[] = { "closed", "open", "half-open" };

    json_begin_array(j, "circuits");
    for (size_t i = 0; i < CIRCUITS_MAX; i++) {
        const struct circuit *circuit = &steward->checks->states->circuits[i];
        uint32_t state = __atomic_load_n(&circuit->state, __ATOMIC_RELAXED);
        if (circuit->key == 0 || circuit->generation < steward->settings->generation)
            continue;
        json_begin_object(j, NULL);
        json_text(j, "upstream",
                  span_of(circuit->label, strnlen(circuit->label, CIRCUIT_LABEL_BYTES)));
        json_text(j, "state", span_text(state < ARRAY_LEN(states) ? states[state] : "?"));
        json_uint(j, "opened", __atomic_load_n(&circuit->opened, __ATOMIC_RELAXED));
        json_uint(j, "refused", __atomic_load_n(&circuit->refused, __ATOMIC_RELAXED));
        json_end_object(j);
    }
    json_end_array(j);
}

static void write_row(struct json *j, const struct server_state *row)
{
    char label[SERVER_LABEL_BYTES];

    memcpy(label, row->label, sizeof label);
    label[sizeof label - 1] = '\0';
    json_begin_object(j, NULL);
    char address[SERVER_ADDRESS_BYTES];
    memcpy(address, row->address, sizeof address);
    address[sizeof address - 1] = '\0';
    json_text(j, "server", span_text(label));
    if (row->found)
        json_text(j, "address", span_text(address));
    json_text(j, "state",
              row->found && address[0] == '\0' ? SPAN("empty")
              : row->drained != 0              ? SPAN("drained")
              : row->down != 0                 ? SPAN("down")
                                               : SPAN("up"));
    json_bool(j, "checked", row->check.on);
    char why[CHECK_WHY_BYTES];
    memcpy(why, row->why, sizeof why);
    why[sizeof why - 1] = '\0';
    if (why[0] != '\0')
        json_text(j, "why", span_text(why));
    json_end_object(j);
}

void upstream_command(struct client *client, const json_t *request)
{
    const struct steward *steward = client->steward;
    const char *what = json_string_value(json_object_get(request, "do"));
    const char *server = json_string_value(json_object_get(request, "server"));
    bool drain = what != NULL && strcmp(what, "drain") == 0;
    bool ready = what != NULL && strcmp(what, "ready") == 0;
    size_t found = 0;

    if (steward->checks == NULL || ((drain || ready) && server == NULL)) {
        answer_error(client, "there is no such server");
        return;
    }
    struct server_state *rows = steward->checks->states->rows;
    for (size_t i = 0; (drain || ready) && i < SERVER_STATES_MAX; i++) {
        if (!is_ours(steward, &rows[i]) ||
            (strncmp(rows[i].label, server, SERVER_LABEL_BYTES) != 0 &&
             (server[0] == '\0' ||
              strncmp(rows[i].address, server, SERVER_ADDRESS_BYTES) != 0)))
            continue;
        found++;
        if (ready && rows[i].drained != 0)
            __atomic_store_n(&rows[i].since_ms, clock_ms(&steward->loop.clock),
                             __ATOMIC_RELAXED);
        __atomic_store_n(&rows[i].drained, (uint32_t)drain, __ATOMIC_RELAXED);
    }
    if ((drain || ready) && found == 0) {
        answer_error(client, "there is no such server");
        return;
    }
    struct json j = answer_begin(client, true);
    json_begin_array(&j, "servers");
    for (size_t i = 0; i < SERVER_STATES_MAX; i++) {
        if (is_ours(steward, &rows[i]))
            write_row(&j, &rows[i]);
    }
    json_end_array(&j);
    write_circuits(&j, steward);
    answer_end(client, &j);
}
