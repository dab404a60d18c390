/*
 * Active health checks: each server with a check is asked at its interval, and counted up or
 * down after `rise` or `fall` equal results. And the operator's `upstream list|drain|ready`.
 *
 * A server's answer is hostile here, too: 16 KiB of it are read, and nothing is parsed but the
 * status.
 */
#include <errno.h>
#include <jansson.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "gateway/base/log.h"
#include "gateway/process/process.h"
#include "gateway/steward/steward.h"
#include "gateway/upstream/health.h"

enum { ANSWER_BYTES = 16 * 1024, REQUEST_BYTES = 1024, STAGGER_MS = 20, STATUS_AT = 9 };

struct check {
    struct steward *steward;
    struct server_state *row;
    struct server_check conf; /* a copy: the row may be forged later */
    char label[SERVER_LABEL_BYTES];
    struct watch watch;
    struct timer timer; /* the next one, or the end of this one */
    char *answer;
    size_t len;
    bool running, sent;
    uint32_t good, bad; /* in a row */
};

struct checks {
    struct server_states *states;
    struct check *items;
    size_t count;
};

static void next_one(struct check *check)
{
    timer_set(&check->steward->loop, &check->timer, check->conf.interval_ms);
}

static void stop(struct check *check)
{
    int fd = check->watch.fd;

    if (fd >= 0) {
        loop_remove(&check->steward->loop, &check->watch);
        (void)close(fd);
    }
    free(check->answer);
    check->answer = NULL;
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
        log_warn("server is down", F_TEXT("server", check->label));
    else
        log_info("server is up", F_TEXT("server", check->label));
}

static void conclude(struct check *check, bool good)
{
    stop(check);
    check->good = good ? check->good + 1 : 0;
    check->bad = good ? 0 : check->bad + 1;
    if (check->good >= check->conf.rise)
        set_down(check, false);
    if (check->bad >= check->conf.fall)
        set_down(check, true);
    next_one(check);
}

/* "HTTP/1.x NNN", the status in its range, and the text that must be there. */
static bool is_good(const struct check *check)
{
    struct span answer = span_of(check->answer, check->len);
    uint64_t status;

    if (!span_starts(answer, SPAN("HTTP/1.")) || answer.len < STATUS_AT + 4 ||
        answer.p[STATUS_AT - 1] != ' ' || !span_uint(span_sub(answer, STATUS_AT, 3), &status))
        return false;
    if (status < check->conf.status_from || status > check->conf.status_to)
        return false;
    struct span body = span_of(check->conf.body, strnlen(check->conf.body, CHECK_TEXT_BYTES));
    return body.len == 0 || span_find(answer, body) >= 0;
}

static void ask(struct check *check)
{
    char buffer[REQUEST_BYTES];
    struct text out = text_fixed(buffer, sizeof buffer);

    text_lit(&out, "GET ");
    text_add(&out, span_text(check->conf.path));
    text_lit(&out, " HTTP/1.1\r\nHost: ");
    text_add(&out, span_text(check->conf.host));
    text_lit(&out, "\r\nUser-Agent: sallyport-health\r\nConnection: close\r\n\r\n");
    check->sent = true;
    if (out.overflow ||
        send(check->watch.fd, out.p, out.len, MSG_NOSIGNAL) != (ssize_t)out.len) {
        conclude(check, false);
        return;
    }
    loop_change(&check->steward->loop, &check->watch, EPOLLIN);
}

static void connected(struct check *check)
{
    int error = 0;
    socklen_t len = sizeof error;

    if (getsockopt(check->watch.fd, SOL_SOCKET, SO_ERROR, &error, &len) != 0 || error != 0)
        conclude(check, false);
    else if (check->conf.connect_only)
        conclude(check, true);
    else
        ask(check);
}

static void on_event(struct watch *watch, uint32_t events)
{
    struct check *check = CONTAINER(watch, struct check, watch);

    (void)events;
    if (!check->sent) {
        connected(check);
        return;
    }
    ssize_t n =
        recv(watch->fd, check->answer + check->len, ANSWER_BYTES - check->len, MSG_DONTWAIT);
    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    if (n > 0)
        check->len += (size_t)n;
    if (n <= 0 || check->len == ANSWER_BYTES)
        conclude(check, is_good(check));
}

static int open_socket(const struct server_check *conf)
{
    struct sockaddr_storage storage = { 0 };
    socklen_t len;
    int family = conf->addr.family == ADDR_V4   ? AF_INET
                 : conf->addr.family == ADDR_V6 ? AF_INET6
                                                : AF_UNIX;

    if (family == AF_UNIX) {
        struct sockaddr_un *un = (struct sockaddr_un *)(void *)&storage;
        un->sun_family = AF_UNIX;
        memcpy(un->sun_path, conf->unix_path,
               strnlen(conf->unix_path, sizeof un->sun_path - 1));
        len = sizeof *un;
    } else {
        len = addr_to_sockaddr(&conf->addr, (struct sockaddr *)(void *)&storage);
    }
    int fd = socket(family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return -1;
    if (connect(fd, (struct sockaddr *)(void *)&storage, len) == 0 || errno == EINPROGRESS)
        return fd;
    (void)close(fd);
    return -1;
}

static void begin(struct check *check)
{
    if (check->conf.addr.family == ADDR_NONE) { /* nobody is in the slot */
        next_one(check);
        return;
    }
    int fd = open_socket(&check->conf);

    check->running = true;
    check->sent = false;
    check->len = 0;
    check->answer = malloc(ANSWER_BYTES);
    if (fd < 0 || check->answer == NULL ||
        loop_add(&check->steward->loop, &check->watch, fd, EPOLLOUT) != OK) {
        if (fd >= 0)
            (void)close(fd);
        conclude(check, false);
        return;
    }
    timer_set(&check->steward->loop, &check->timer, check->conf.timeout_ms);
}

static void on_timer(struct timer *timer)
{
    struct check *check = CONTAINER(timer, struct check, timer);

    if (check->running)
        conclude(check, !check->conf.connect_only && check->len > 0 && is_good(check));
    else
        begin(check);
}

/* ---- life ---- */

static bool is_ours(const struct steward *steward, const struct server_state *row)
{
    return row->key != 0 && row->generation >= steward->settings->generation;
}

static void open_check(struct steward *steward, struct server_state *row)
{
    struct check *check = &steward->checks->items[steward->checks->count++];

    *check = (struct check){ .steward = steward,
                             .row = row,
                             .conf = row->check,
                             .watch = { .fd = -1, .on_event = on_event },
                             .timer = { .fire = on_timer } };
    memcpy(check->label, row->label, sizeof check->label - 1);
    check->conf.host[CHECK_HOST_BYTES - 1] = check->conf.path[CHECK_TEXT_BYTES - 1] = '\0';
    if (check->conf.interval_ms < 100)
        check->conf.interval_ms = 100;
    timer_set(&steward->loop, &check->timer, 1 + steward->checks->count * STAGGER_MS % 1000);
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
    checks->items = arena_array(&steward->arena, struct check, SERVER_STATES_MAX);
    if (checks->items == NULL)
        return ERR_MEMORY;
    steward->checks = checks;
    for (size_t i = 0; i < SERVER_STATES_MAX; i++) {
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

/* ---- the operator ---- */

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
    answer_end(client, &j);
}
