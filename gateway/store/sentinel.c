/* Questions to Sentinels, and what follows from the answers. */
#include "gateway/store/sentinel.h"

#include <stdlib.h>

#include "gateway/base/log.h"
#include "gateway/net/channel.h"
#include "gateway/store/topology.h"

struct sentinel {
    struct worker *worker;
    struct redis *link, *store;
    struct span master;
    struct timer timer;
    struct redis_call call;
    bool asking, told;
    unsigned turn;
    uint64_t doubted_ms; /* of the store's absence, when the last Sentinel was let go */
};

static void pass_over(struct sentinel *sentinel, const char *why)
{
    if (!sentinel->told)
        log_warn("a Sentinel cannot name the master", F_SPAN("master", sentinel->master),
                 F_TEXT("why", why));
    sentinel->told = true;
    redis_useless(sentinel->link);
}

static void on_answer(struct redis_call *call, enum err err, const struct redis_value *value)
{
    struct sentinel *sentinel = CONTAINER(call, struct sentinel, call);
    struct addr addr;
    sentinel->asking = false;
    if (err != OK)
        return;
    if (!sentinel_read(value, &addr)) {
        pass_over(sentinel, value->type == REDIS_NIL ? "it does not know it"
                            : value->type == REDIS_ERROR
                                ? "it refused"
                                : "it answers something else than an address and a port");
        return;
    }
    sentinel->told = false;
    redis_point(sentinel->store, &addr);
    uint64_t away_ms = redis_down_ms(sentinel->store);
    if (away_ms == 0)
        sentinel->doubted_ms = 0;
    if (away_ms > sentinel->doubted_ms + SENTINEL_DOUBT_MS) {
        sentinel->doubted_ms = away_ms;
        redis_useless(sentinel->link);
    }
}

static void on_turn(struct timer *timer)
{
    struct sentinel *sentinel = CONTAINER(timer, struct sentinel, timer);
    const struct span question[] = { SPAN("SENTINEL"), SPAN("GET-MASTER-ADDR-BY-NAME"),
                                     sentinel->master };
    timer_set(&sentinel->worker->loop, timer, SENTINEL_TURN_MS);
    bool quiet = redis_usable(sentinel->store) && ++sentinel->turn % SENTINEL_QUIET_TURNS != 0;
    if (quiet || sentinel->asking || !redis_usable(sentinel->link))
        return;
    sentinel->call.done = on_answer;
    sentinel->asking =
        redis_send(sentinel->link, &sentinel->call, ARRAY_LEN(question), question) == OK;
    worker_flush(sentinel->worker);
}

struct sentinel *sentinel_new(struct worker *worker, const struct redis_server *server,
                              struct span master, struct redis *store)
{
    struct sentinel *sentinel = calloc(1, sizeof(*sentinel));
    if (sentinel == NULL)
        return NULL;
    sentinel->link = redis_new(worker, server);
    if (sentinel->link == NULL) {
        free(sentinel);
        return NULL;
    }
    sentinel->worker = worker;
    sentinel->store = store;
    sentinel->master = master;
    sentinel->timer.fire = on_turn;
    return sentinel;
}

void sentinel_free(struct sentinel *sentinel)
{
    if (sentinel == NULL)
        return;
    timer_remove(&sentinel->worker->loop, &sentinel->timer);
    redis_free(sentinel->link);
    free(sentinel);
}

void sentinel_start(struct sentinel *sentinel)
{
    redis_start(sentinel->link);
    timer_set(&sentinel->worker->loop, &sentinel->timer, 1);
}
