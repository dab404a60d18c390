/*
 * Requests out of captures, through flow and stages, one after the other. The third
 * implementation of struct stream: it has no connection.
 */
#include <stdlib.h>

#include "gateway/cli/replay.h"
#include "gateway/cli/stand.h"
#include "gateway/flow.h"
#include "gateway/http/head.h"
#include "gateway/net/tls.h"

struct player {
    struct stand stand;
    struct capturing capturing;
    struct stream stream;
    struct task task;
    struct replay_facts facts;
    struct span body;
    struct arena *arena; /* of what is told */
    struct span told;    /* of this request */
    bool wants, delivered, ended, short_of_body;
};
static struct player only; /* the process ends with it */

/* ---- the stream ---- */

static enum http_error error_named(const char *slug)
{
    for (int i = HTTP_OK + 1; slug != NULL && i < HTTP_ERROR_COUNT; i++)
        if (span_equal(http_error_slug((enum http_error)i), span_text(slug)))
            return (enum http_error)i;
    return HTTP_OK;
}

static void deliver(struct player *player)
{
    struct stream *stream = &player->stream;
    enum http_error error = error_named(player->facts.refused);
    player->delivered = true;
    if (!player->facts.whole && error == HTTP_OK) {
        player->short_of_body = player->ended = true;
        return;
    }
    stream->body_bytes += player->body.len;
    if (player->body.len > 0)
        stream->events->body(stream, player->body);
    if (player->ended)
        return;
    if (error != HTTP_OK) {
        stream->events->body_error(stream, error);
        return;
    }
    stream->body_ended = true;
    stream->events->body_end(stream);
}

static void on_task(struct task *task)
{
    struct player *player = CONTAINER(task, struct player, task);
    if (player->wants && !player->delivered && !player->ended && !player->stream.body_ended)
        deliver(player);
}

static void read_body(struct stream *stream, bool on)
{
    struct player *player = stream->connection;
    player->wants = on;
    if (on)
        loop_post(&stream->worker->loop, &player->task);
}

static void send_head(struct stream *stream, const struct response *rsp,
                      struct wire_framing framing)
{
    (void)stream;
    (void)rsp;
    (void)framing;
}

static void send_body(struct stream *stream, struct span bytes)
{
    (void)stream;
    (void)bytes;
}

static void send_end(struct stream *stream, const struct fields *trailers)
{
    struct player *player = stream->connection;
    (void)trailers;
    player->ended = true;
}

static void cut(struct stream *stream)
{
    struct player *player = stream->connection;
    player->ended = true;
}

static size_t unsent(const struct stream *stream)
{
    (void)stream;
    return 0;
}

static void tunnel(struct stream *stream)
{
    (void)stream;
}

static const struct stream_ops player_ops = {
    .read_body = read_body,
    .send_head = send_head,
    .send_body = send_body,
    .send_end = send_end,
    .cut = cut,
    .unsent = unsent,
    .tunnel = tunnel,
};

/* ---- one request ---- */

static bool keep_facts(struct worker *worker, const struct capture_parts *parts)
{
    (void)worker;
    only.told = arena_copy(only.arena, parts->facts);
    return only.told.p != NULL;
}

static void open_stream(struct player *player, struct span head)
{
    struct stream *stream = &player->stream;
    struct worker *worker = &player->stand.worker;
    memset(stream, 0, offsetof(struct stream, first));
    arena_init(&stream->arena, stream->first, sizeof(stream->first), &worker->slabs,
               player->stand.host.arena_ceiling);
    stream->ops = &player_ops;
    stream->events = &flow_events;
    stream->worker = worker;
    stream->connection = player;
    stream->peer = player->facts.peer;
    stream->tls = player->facts.tls;
    stream->body_ended = player->facts.bodyless;
    stream->head = arena_copy(&stream->arena, head);
    worker->current = stream;
}

/* As the sessions of HTTP/1 and HTTP/2 begin it. */
static void begin(struct player *player)
{
    struct stream *stream = &player->stream;
    const struct session_host *host = &player->stand.host;
    struct head_limits limits = { .head_bytes = host->head_bytes,
                                  .uri_bytes = host->uri_bytes,
                                  .fields = host->fields,
                                  .preserve_encoded = host->preserve_encoded };
    struct request *req = &stream->req;
    enum http_error error = request_parse(req, stream->head, &stream->arena, &limits);
    req->scheme = stream->tls != NULL ? SPAN("https") : SPAN("http");
    req->http2 = player->facts.http2;
    if (req->http2 && !req->websocket && !stream->body_ended && req->body == BODY_NONE)
        req->body = BODY_CHUNKED;
    if (player->facts.refused_head && error_named(player->facts.refused) != HTTP_OK)
        error = error_named(player->facts.refused);
    if (error != HTTP_OK)
        stream->events->refused(stream, error);
    else
        stream->events->begin(stream);
}

static void play(struct player *player)
{
    struct loop *loop = &player->stand.worker.loop;
    uint64_t end = clock_mono_ns() + (uint64_t)STAND_SECONDS * 1000000000u;
    struct clock now;
    clock_read(&now);
    loop->wall_shift_us = (int64_t)(player->facts.time_us - now.wall_us);
    loop->clock.wall_us = player->facts.time_us;
    loop->clock.mono_ns = now.mono_ns;
    begin(player);
    while (!player->ended && player->told.p == NULL && clock_mono_ns() < end)
        loop_turn(loop, task_queued(&player->task) ? 0 : STAND_TURN_MS);
    bool whole = player->ended && !player->short_of_body;
    player->stream.events->ended(&player->stream, whole ? STREAM_DONE : STREAM_GONE);
    task_cancel(&player->task);
    arena_reset(&player->stream.arena);
    player->stand.worker.current = NULL;
}

static void run_one(struct player *player, const struct captured *captured,
                    struct replay_told *told)
{
    const struct config *config = player->stand.worker.config;
    player->wants = player->delivered = player->ended = player->short_of_body = false;
    player->told = span_of(NULL, 0);
    player->body = captured->parts.body;
    if (!replay_facts_read(&player->facts, captured->facts, config, player->arena)) {
        told->why = "its facts cannot be read";
        return;
    }
    if (player->facts.identity) {
        told->why = "it rests on what another server said of the user";
        return;
    }
    player->stand.worker.replayed = &player->facts.replayed;
    open_stream(player, captured->parts.head);
    play(player);
    told->facts = player->told;
    if (player->told.p == NULL)
        told->why = player->short_of_body ? "its body was not kept whole"
                                          : "it rests on the gateway's state then";
}

static enum err open_player(struct loaded *loaded, struct player *player)
{
    TRY(stand_open(&player->stand, loaded));
    loaded->config->audit.capture = (struct capture_conf){
        .on = true, .of = AUDIT_ALL, .rate = INT64_MAX, .body = CAPTURE_BODY_MAX
    };
    player->arena = &loaded->arena;
    player->task.run = on_task;
    player->capturing.take = keep_facts;
    player->stand.worker.capturing = &player->capturing;
    return OK;
}

bool replay_run(struct loaded *loaded, const struct captured_list *list,
                void (*told)(void *owner, size_t index, const struct replay_told *told),
                void *owner)
{
    struct player *player = &only;
    enum err err = open_player(loaded, player);
    if (err != OK) {
        (void)usage_error("cannot set up a worker: %s", err_text(err));
        return false;
    }
    loaded->config->audit.record = 0; /* nobody reads the records */
    for (size_t i = 0; i < list->count; i++) {
        struct replay_told one = { .why = NULL };
        run_one(player, &list->items[i], &one);
        told(owner, i, &one);
    }
    return true;
}

struct span replay_record(struct loaded *loaded, const struct captured *captured,
                          const char **why)
{
    static char scratch[RECORD_BYTES_MAX];
    struct player *player = &only;
    struct replay_told told = { .why = "no worker can be set up" };
    struct ring_record record = { .aside = true };
    uint64_t cursor = 0;
    if (open_player(loaded, player) == OK) {
        told.why = NULL;
        run_one(player, captured, &told);
    }
    *why = told.why;
    if (told.why != NULL || !ring_peek(player->stand.ring.ring, &cursor, &record, scratch) ||
        record.aside)
        return span_of(NULL, 0);
    return arena_copy(&loaded->arena, record.line);
}
