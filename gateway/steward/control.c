/*
 * The control socket: one JSON object a line in, one out, then the connection ends. Its mode
 * lets only the owner connect; who connects is asked of the kernel again, for modes get
 * changed.
 */
#include <errno.h>
#include <jansson.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "gateway/base/log.h"
#include "gateway/cli/version.h"
#include "gateway/process/messages.h"
#include "gateway/steward/steward.h"

/* ---- answers ---- */

static void client_close(struct client *client)
{
    int fd = client->watch.fd;
    loop_remove(&client->steward->loop, &client->watch);
    timer_remove(&client->steward->loop, &client->deadline);
    (void)close(fd);
    free(client->in);
    arena_reset(&client->arena);
    *client = (struct client){ .steward = client->steward, .watch = { .fd = -1 } };
}

static void client_send(struct client *client)
{
    while (client->sent < client->out.len) {
        ssize_t sent = send(client->watch.fd, client->out.p + client->sent,
                            client->out.len - client->sent, MSG_NOSIGNAL | MSG_DONTWAIT);
        if (sent < 0 && errno == EINTR)
            continue;
        if (sent < 0 && (errno == EAGAIN || errno == EWOULDBLOCK)) {
            loop_change(&client->steward->loop, &client->watch, EPOLLOUT);
            return;
        }
        if (sent <= 0)
            break;
        client->sent += (size_t)sent;
    }
    client_close(client);
}

struct json answer_begin(struct client *client, bool ok)
{
    client->out = text_growing(&client->arena, 4096);
    struct json j = json_writer(&client->out);
    json_begin_object(&j, NULL);
    json_bool(&j, "ok", ok);
    return j;
}

/* Whatever happens next, the client is told this and nothing else. */
void answer_end(struct client *client, struct json *j)
{
    json_end_object(j);
    text_char(&client->out, '\n');
    client->answered = true;
    client->cookie = 0;
    timer_set(&client->steward->loop, &client->deadline, CLIENT_MS);
    if (client->out.overflow)
        client_close(client);
    else
        client_send(client);
}

void answer_error(struct client *client, const char *error)
{
    struct json j = answer_begin(client, false);
    json_text(&j, "error", span_text(error));
    answer_end(client, &j);
}

static void answer_ok(struct client *client)
{
    struct json j = answer_begin(client, true);
    answer_end(client, &j);
}

/* ---- commands ---- */

static void do_status(struct client *client, const json_t *request)
{
    (void)request;
    struct json j = answer_begin(client, true);
    status_write(&j, client->steward);
    answer_end(client, &j);
}

/* As at the metrics' address, also where there is none. */
static void do_metrics(struct client *client, const json_t *request)
{
    (void)request;
    struct text metrics = text_growing(&client->arena, 64 * 1024);
    metrics_write(&metrics, client->steward);
    struct json j = answer_begin(client, !metrics.overflow);
    json_text(&j, "metrics", text_span(&metrics));
    answer_end(client, &j);
}

static void do_version(struct client *client, const json_t *request)
{
    (void)request;
    struct json j = answer_begin(client, true);
    json_text(&j, "version", span_text(SALLYPORT_VERSION));
    answer_end(client, &j);
}

static void ask_and_wait(struct client *client, const json_t *request, enum message_kind kind)
{
    struct steward *steward = client->steward;
    uint32_t cookie = ++steward->last_cookie;
    if (!steward_ask_master(steward, kind, cookie)) {
        answer_error(client, "again"); /* another generation's steward has taken over */
        return;
    }
    if (!json_is_true(json_object_get(request, "wait"))) {
        answer_ok(client);
        return;
    }
    client->cookie = cookie;
    timer_set(&steward->loop, &client->deadline, RELOAD_MS);
    loop_change(&steward->loop, &client->watch, 0); /* only its end is of interest now */
}

static void do_reload(struct client *client, const json_t *request)
{
    ask_and_wait(client, request, MESSAGE_RELOAD);
}

static void do_upgrade(struct client *client, const json_t *request)
{
    ask_and_wait(client, request, MESSAGE_UPGRADE);
}

static void do_stop(struct client *client, const json_t *request)
{
    (void)request;
    if (steward_ask_master(client->steward, MESSAGE_STOP, 0))
        answer_ok(client);
    else
        answer_error(client, "again");
}

/* Watched files are looked at now, and not when the next event tells of them. With `path` it is
 * about that one. */
static void do_files(struct client *client, const json_t *request)
{
    const char *path = json_string_value(json_object_get(request, "path"));
    const char *trouble = lists_look(client->steward, path);
    if (trouble != NULL)
        answer_error(client, trouble);
    else
        answer_ok(client);
}

static const struct {
    const char *name;
    void (*run)(struct client *client, const json_t *request);
} commands[] = {
    { "status", do_status },          { "files", do_files },
    { "metrics", do_metrics },        { "version", do_version },
    { "reload", do_reload },          { "stop", do_stop },
    { "ban", bans_command },          { "upstream", upstream_command },
    { "quota", quota_command },       { "sessions", sessions_command },
    { "limits", limits_command },     { "upgrade", do_upgrade },
    { "cert", certificates_command }, { "bots", bots_command },
    { "lists", lists_command },
};

static void run(struct client *client, struct span line)
{
    json_error_t error;
    json_t *request = json_loadb(line.p, line.len, JSON_REJECT_DUPLICATES, &error);
    const char *name = json_string_value(json_object_get(request, "command"));
    for (size_t i = 0; name != NULL && i < ARRAY_LEN(commands); i++) {
        if (strcmp(commands[i].name, name) != 0)
            continue;
        commands[i].run(client, request);
        json_decref(request);
        return;
    }
    answer_error(client, request == NULL ? "not one JSON object" : "unknown command");
    json_decref(request);
}

/* ---- clients ---- */

static void on_client(struct watch *watch, uint32_t events)
{
    struct client *client = CONTAINER(watch, struct client, watch);
    if (client->answered && (events & EPOLLOUT) != 0) {
        client_send(client);
        return;
    }
    if (client->answered || client->cookie != 0) { /* gone while it waited */
        client_close(client);
        return;
    }
    ssize_t got = recv(watch->fd, client->in + client->in_len,
                       REQUEST_BYTES_MAX - client->in_len, MSG_DONTWAIT);
    if (got < 0 && (errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR))
        return;
    if (got <= 0) {
        client_close(client);
        return;
    }
    client->in_len += (size_t)got;
    ssize_t end = span_index(span_of(client->in, client->in_len), '\n');
    if (end >= 0)
        run(client, span_of(client->in, (size_t)end));
    else if (client->in_len == REQUEST_BYTES_MAX)
        answer_error(client, "the request is longer than 64 KiB");
}

static void on_client_deadline(struct timer *timer)
{
    client_close(CONTAINER(timer, struct client, deadline));
}

static bool permitted(const struct steward *steward, int fd)
{
    struct ucred peer;
    socklen_t len = sizeof(peer);
    if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &len) != 0)
        return false;
    if (peer.uid == 0 || peer.uid == steward->uid)
        return true;
    log_warn("control socket: another user was turned away", F_INT("uid", peer.uid));
    return false;
}

static struct client *free_client(struct steward *steward)
{
    for (size_t i = 0; i < CLIENTS_MAX; i++)
        if (steward->clients[i].watch.fd < 0)
            return &steward->clients[i];
    return NULL;
}

static void on_connection(struct watch *watch, uint32_t events)
{
    (void)events;
    struct steward *steward = CONTAINER(watch, struct steward, control);
    int fd = accept4(watch->fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (fd < 0)
        return;
    struct client *client = free_client(steward);
    char *in = client != NULL && permitted(steward, fd) ? malloc(REQUEST_BYTES_MAX) : NULL;
    if (in == NULL) {
        (void)close(fd);
        return;
    }
    *client = (struct client){ .steward = steward,
                               .watch = { .fd = -1, .on_event = on_client },
                               .deadline = { .fire = on_client_deadline },
                               .in = in };
    arena_init(&client->arena, NULL, 0, NULL, ANSWER_BYTES_MAX);
    if (loop_add(&steward->loop, &client->watch, fd, EPOLLIN) != OK) {
        free(in);
        (void)close(fd);
        client->in = NULL;
        return;
    }
    timer_set(&steward->loop, &client->deadline, CLIENT_MS);
}

enum err control_open(struct steward *steward, int fd)
{
    for (size_t i = 0; i < CLIENTS_MAX; i++)
        steward->clients[i] = (struct client){ .steward = steward, .watch = { .fd = -1 } };
    steward->control = (struct watch){ .fd = -1, .on_event = on_connection };
    if (fd < 0)
        return OK;
    return loop_add(&steward->loop, &steward->control, fd, EPOLLIN);
}

void control_outcome(struct steward *steward, uint32_t cookie, struct span diagnostics,
                     bool serving)
{
    for (size_t i = 0; i < CLIENTS_MAX; i++) {
        struct client *client = &steward->clients[i];
        if (client->watch.fd < 0 || client->cookie == 0 || client->cookie > cookie)
            continue;
        struct json j = answer_begin(client, serving);
        if (!serving) {
            json_text(&j, "error", SPAN("it was refused"));
            json_text(&j, "diagnostics", diagnostics);
        }
        answer_end(client, &j);
    }
}

void control_finish(struct steward *steward)
{
    loop_remove(&steward->loop, &steward->control);
    for (size_t i = 0; i < CLIENTS_MAX; i++) {
        struct client *client = &steward->clients[i];
        if (client->watch.fd >= 0 && !client->answered)
            answer_error(client, "again"); /* the next steward will answer */
    }
}

bool control_idle(const struct steward *steward)
{
    for (size_t i = 0; i < CLIENTS_MAX; i++)
        if (steward->clients[i].watch.fd >= 0)
            return false;
    return true;
}
