/*
 * The connection's life:
 *
 *     DOWN --timer--> CONNECTING --greeting answered--> READY --lost--> DOWN
 *
 * READY is usable unless it hangs: after REDIS_MISSES_MAX deadlines in a row nobody is let near
 * it but the probe, and the first reply in time makes it usable again.
 */
#include "gateway/store/redis.h"

#include <stdlib.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include "gateway/base/siphash.h"
#include "gateway/net/channel.h"
#include "gateway/store/redis_tell.h"
#include "gateway/store/topology.h"

enum state { REDIS_DOWN, REDIS_CONNECTING, REDIS_READY };

enum { NS_PER_MS = 1000000, ARGUMENTS_MAX = 8192, SCRIPTS_MAX = 4, NUMBER_BYTES = 32 };

struct pending {
    struct redis_call *call; /* NULL: nobody waits any more */
    uint64_t sent_ns;
};

struct redis {
    struct channel channel; /* first: found from channel events */
    struct worker *worker;
    const struct redis_server *server;
    struct redis_parser *parser;
    enum state state;
    struct pending ring[REDIS_PIPELINE_MAX];
    size_t first, count;
    struct watch deadline; /* timerfd: the loop's timers are too coarse for milliseconds */
    uint64_t armed_ns;     /* when it comes; 0: it does not */
    struct timer retry, probe;
    unsigned address, failures, misses;
    struct addr target; /* when pointed: the only one */
    char target_name[64];
    struct span tls_name;
    bool pointed, started;
    bool hangs, told;
    uint64_t down_since_ns, heard_ns, back_ns;
    bool served; /* it was usable at some time */
    struct redis_call greeting, beat;
    unsigned greetings; /* answers still to come */
    bool beating;
    struct span scripts[SCRIPTS_MAX];
    unsigned script_count;
    char *command; /* as it is written */
    size_t command_size;
};

static uint64_t now_ns(const struct redis *redis)
{
    return redis->worker->loop.clock.mono_ns;
}

static void lose(struct redis *redis, const char *why);

/* ---- deadlines ---- */

static void arm(struct redis *redis, uint64_t at_ns)
{
    uint64_t now = clock_mono_ns(), in = at_ns > now ? at_ns - now : 1;
    struct itimerspec spec = { .it_value = { .tv_sec = (time_t)(in / 1000000000u),
                                             .tv_nsec = (long)(in % 1000000000u) } };
    redis->armed_ns = timerfd_settime(redis->deadline.fd, 0, &spec, NULL) == 0 ? at_ns : 0;
}

static uint64_t due_ns(const struct redis *redis, const struct pending *pending)
{
    uint64_t ms = redis->state == REDIS_CONNECTING ? (uint64_t)REDIS_CONNECT_MS
                                                   : redis->server->timeout_ms;
    return pending->sent_ns + ms * NS_PER_MS;
}

static struct pending *pending_at(struct redis *redis, size_t i)
{
    return &redis->ring[(redis->first + i) % REDIS_PIPELINE_MAX];
}

static void answer_to(struct pending *pending, enum err err, const struct redis_value *value)
{
    struct redis_call *call = pending->call;
    pending->call = NULL;
    if (call != NULL)
        call->done(call, err, value);
}

static void missed(struct redis *redis)
{
    if (redis->misses < REDIS_MISSES_MAX && ++redis->misses < REDIS_MISSES_MAX)
        return;
    if (!redis->hangs) {
        redis->hangs = true;
        redis->down_since_ns = now_ns(redis);
        redis_tell_hangs(redis->server, redis_addr(redis));
    }
}

/* They were sent in order and all have the same time, so the first that is not due ends it. */
static void on_deadline(struct watch *watch, uint32_t events)
{
    (void)events;
    struct redis *redis = CONTAINER(watch, struct redis, deadline);
    uint64_t expirations, now = clock_mono_ns();
    if (read(watch->fd, &expirations, sizeof(expirations)) < 0)
        return;
    redis->armed_ns = 0;
    unsigned expired = 0;
    for (size_t i = 0; i < redis->count; i++) {
        struct pending *pending = pending_at(redis, i);
        if (pending->call == NULL)
            continue;
        if (due_ns(redis, pending) > now) {
            arm(redis, due_ns(redis, pending));
            break;
        }
        expired++;
        answer_to(pending, ERR_TIMEOUT, NULL);
    }
    if (expired > 0 && redis->state == REDIS_CONNECTING)
        lose(redis, "no greeting in time");
    else if (expired > 0)
        missed(redis);
    worker_flush(redis->worker);
}

/* ---- commands ---- */

/* Room for so many bytes; it is kept, for calls come all the time and are of one kind. */
static bool make_room(struct redis *redis, size_t size)
{
    if (size <= redis->command_size)
        return true;
    char *room = realloc(redis->command, size);
    if (room == NULL)
        return false;
    redis->command = room;
    redis->command_size = size;
    return true;
}

static char *write_digits(char *at, size_t number)
{
    char digits[NUMBER_BYTES], *first = digits + sizeof(digits);
    do
        *--first = (char)('0' + number % 10);
    while ((number /= 10) > 0);
    while (first < digits + sizeof(digits))
        *at++ = *first++;
    return at;
}

/* '*' or '$', the number, and the end of the line. */
static char *write_head(char *at, char kind, size_t number)
{
    *at++ = kind;
    if (number < 100) { /* most lengths */
        *at = (char)('0' + number / 10);
        at += number >= 10;
        *at++ = (char)('0' + number % 10);
    } else {
        at = write_digits(at, number);
    }
    *at++ = '\r';
    *at++ = '\n';
    return at;
}

/*
 * *ARGC, then $LENGTH and the bytes of each: as clients write all commands. The room was
 * reckoned before, so nothing is asked in between: a call has a hundred of them.
 */
static enum err format(struct redis *redis, unsigned argc, const struct span *argv,
                       struct span *command)
{
    size_t size = NUMBER_BYTES;
    for (unsigned i = 0; i < argc; i++)
        if (__builtin_add_overflow(size, argv[i].len + NUMBER_BYTES, &size))
            return ERR_LIMIT;
    if (!make_room(redis, size))
        return ERR_MEMORY;
    char *at = write_head(redis->command, '*', argc);
    for (unsigned i = 0; i < argc; i++) {
        at = write_head(at, '$', argv[i].len);
        if (argv[i].len > 0)
            memcpy(at, argv[i].p, argv[i].len);
        at += argv[i].len;
        *at++ = '\r';
        *at++ = '\n';
    }
    *command = span_range(redis->command, at);
    INVARIANT(command->len <= size);
    return OK;
}

/* Formats and queues one; the caller has looked whether it may. */
static enum err put(struct redis *redis, struct redis_call *call, unsigned argc,
                    const struct span *argv)
{
    struct span command;
    if (redis->count == REDIS_PIPELINE_MAX || argc > ARGUMENTS_MAX)
        return ERR_BUSY;
    TRY(format(redis, argc, argv, &command));
    channel_write(&redis->channel, command);

    struct pending *pending = pending_at(redis, redis->count++);
    *pending = (struct pending){ .call = call, .sent_ns = now_ns(redis) };
    call->sent_ns = pending->sent_ns;
    uint64_t due = due_ns(redis, pending); /* a greeting has more time than what comes after */
    if (redis->armed_ns == 0 || due < redis->armed_ns)
        arm(redis, due);
    return OK;
}

enum err redis_post(struct redis *redis, struct redis_call *call, unsigned argc,
                    const struct span *argv)
{
    if (!redis_usable(redis))
        return ERR_CLOSED;
    return put(redis, call, argc, argv);
}

enum err redis_send(struct redis *redis, struct redis_call *call, unsigned argc,
                    const struct span *argv)
{
    TRY(redis_post(redis, call, argc, argv));
    channel_flush(&redis->channel);
    return OK;
}

/* ---- greeting and probe ---- */

/* Nothing of what the server says goes to the log but its first word, and only of ours. */
static void greeted(struct redis_call *call, enum err err, const struct redis_value *value)
{
    struct redis *redis = CONTAINER(call, struct redis, greeting);
    if (redis->state != REDIS_CONNECTING)
        return;
    redis->greetings--;
    if (err != OK)
        return; /* who answers with that takes the connection down as well */
    if (value->type == REDIS_ARRAY && redis->server->check_role && !role_is_master(value)) {
        lose(redis, "it is a replica");
        return;
    }
    if (value->type == REDIS_ERROR) {
        bool refused = redis_is_error(value, SPAN("WRONGPASS")) ||
                       redis_is_error(value, SPAN("NOAUTH")) ||
                       redis_is_error(value, SPAN("NOPERM"));
        bool loading = redis_is_error(value, SPAN("LOADING"));
        lose(redis, refused   ? "user or password refused"
                    : loading ? "it is loading its data"
                              : "it refused the greeting");
        return;
    }
    if (redis->greetings > 0)
        return;
    redis->state = REDIS_READY;
    /* Not before: where there is nothing to probe yet, it does not come again. */
    timer_set(&redis->worker->loop, &redis->probe, REDIS_PROBE_MS);
    redis->failures = redis->misses = 0;
    redis->hangs = false;
    redis->heard_ns = now_ns(redis);
    redis->back_ns = redis->served ? now_ns(redis) : 0;
    redis->served = true;
    if (redis->told)
        redis_tell_up(redis->server, redis_addr(redis));
    redis->told = false;
}

static void greet_with(struct redis *redis, unsigned argc, const struct span *argv)
{
    if (redis->state != REDIS_CONNECTING)
        return;
    redis->greetings++;
    if (put(redis, &redis->greeting, argc, argv) != OK)
        lose(redis, "out of memory");
    else
        channel_flush(&redis->channel);
}

static void greet(struct redis *redis)
{
    const struct redis_server *server = redis->server;
    char number[24];
    struct text database = text_fixed(number, sizeof(number));
    text_int(&database, server->database);

    redis->greeting.done = greeted;
    redis->greetings = 0;
    if (server->password != NULL && server->password->len > 0) {
        struct span password = span_of(server->password->p, server->password->len);
        struct span with_user[] = { SPAN("AUTH"), server->user, password };
        struct span without[] = { SPAN("AUTH"), password };
        if (server->user.len > 0)
            greet_with(redis, 3, with_user);
        else
            greet_with(redis, 2, without);
    }
    if (server->database != 0)
        greet_with(redis, 2, (struct span[]){ SPAN("SELECT"), text_span(&database) });
    for (unsigned i = 0; i < redis->script_count; i++)
        greet_with(redis, 3,
                   (struct span[]){ SPAN("SCRIPT"), SPAN("LOAD"), redis->scripts[i] });
    if (server->check_role)
        greet_with(redis, 1, (struct span[]){ SPAN("ROLE") });
    greet_with(redis, 1, (struct span[]){ SPAN("PING") });
}

static void beaten(struct redis_call *call, enum err err, const struct redis_value *value)
{
    struct redis *redis = CONTAINER(call, struct redis, beat);
    (void)err;
    (void)value;
    redis->beating = false;
}

/* While it hangs: is it back? While it is quiet: is it still there? */
static void on_probe(struct timer *timer)
{
    struct redis *redis = CONTAINER(timer, struct redis, probe);
    if (redis->state != REDIS_READY)
        return;
    uint64_t now = now_ns(redis), silent = now - redis->heard_ns;
    timer_set(&redis->worker->loop, timer, REDIS_PROBE_MS);
    if (redis->hangs && now - redis->down_since_ns > (uint64_t)REDIS_SILENCE_MS * NS_PER_MS &&
        silent > (uint64_t)REDIS_SILENCE_MS * NS_PER_MS) {
        lose(redis, "it does not answer");
        return;
    }
    if (redis->beating || (!redis->hangs && silent < (uint64_t)REDIS_BEAT_MS * NS_PER_MS))
        return;
    redis->beat.done = beaten;
    redis->beating = put(redis, &redis->beat, 1, (struct span[]){ SPAN("PING") }) == OK;
    channel_flush(&redis->channel);
}

/* ---- replies ---- */

/* An answer to somebody who still waits was in time. */
static void heard(struct redis *redis, bool in_time)
{
    redis->heard_ns = now_ns(redis);
    if (!in_time)
        return;
    redis->misses = 0;
    if (redis->hangs && redis->state == REDIS_READY) {
        redis->hangs = false;
        redis->back_ns = now_ns(redis);
        redis_tell_up(redis->server, redis_addr(redis));
    }
}

static bool take_reply(struct redis *redis)
{
    const struct redis_value *value;
    if (redis_parser_next(redis->parser, &value) != OK) {
        lose(redis, "it broke the protocol");
        return false;
    }
    if (value == NULL)
        return false;
    if (redis->count == 0) {
        lose(redis, "it answered what nobody asked");
        return false;
    }
    struct pending pending = *pending_at(redis, 0);
    redis->first = (redis->first + 1) % REDIS_PIPELINE_MAX;
    redis->count--;
    heard(redis, pending.call != NULL);
    answer_to(&pending, OK, value);
    return redis->state != REDIS_DOWN;
}

static void on_readable(struct channel *channel)
{
    struct redis *redis = CONTAINER(channel, struct redis, channel);
    for (;;) {
        ssize_t got = channel_read(channel, redis->worker->scratch, SCRATCH_BYTES);
        if (got == CHANNEL_AGAIN)
            break;
        if (got <= 0) {
            lose(redis, "connection lost");
            break;
        }
        if (redis_parser_feed(redis->parser, span_of(redis->worker->scratch, (size_t)got)) !=
            OK) {
            lose(redis, "it answers more than is read");
            break;
        }
        while (take_reply(redis))
            ;
        /* What there still is, or comes, is told of again; only TLS may have kept some. */
        if (redis->state == REDIS_DOWN ||
            (redis->server->tls == NULL && (size_t)got < SCRATCH_BYTES))
            break;
    }
    worker_flush(redis->worker);
}

static void on_drained(struct channel *channel)
{
    struct redis *redis = CONTAINER(channel, struct redis, channel);
    if (redis->state != REDIS_CONNECTING || redis->greetings > 0)
        return;
    channel_reading(channel, true);
    greet(redis);
}

static void on_broken(struct channel *channel)
{
    lose(CONTAINER(channel, struct redis, channel), "connection lost");
    worker_flush(CONTAINER(channel, struct redis, channel)->worker);
}

static const struct channel_events events = {
    .readable = on_readable,
    .drained = on_drained,
    .broken = on_broken,
};

/* ---- connection ---- */

static uint64_t backoff_ms(const struct redis *redis)
{
    uint64_t ms = REDIS_BACKOFF_MIN_MS;
    for (unsigned i = 1; i < redis->failures && ms < REDIS_BACKOFF_MAX_MS; i++)
        ms *= 2;
    if (ms > REDIS_BACKOFF_MAX_MS)
        ms = REDIS_BACKOFF_MAX_MS;
    uint16_t jitter; /* or a fleet that lost the same server would come back at once */
    random_bytes(&jitter, sizeof(jitter));
    return ms / 2 + jitter % (ms / 2 + 1);
}

/* All who wait are told, and a new connection is made in a while. */
static void lose(struct redis *redis, const char *why)
{
    if (redis->state == REDIS_DOWN)
        return;
    if (redis->state == REDIS_READY && !redis->hangs)
        redis->down_since_ns = now_ns(redis);
    redis->state = REDIS_DOWN;
    if (!redis->told)
        redis_tell_lost(redis->server, redis_addr(redis), why);
    redis->told = true;
    channel_close(&redis->channel);
    redis_parser_free(redis->parser);
    redis->parser = NULL;
    redis->beating = false;
    while (redis->count > 0) {
        struct pending pending = *pending_at(redis, 0);
        redis->first = (redis->first + 1) % REDIS_PIPELINE_MAX;
        redis->count--;
        answer_to(&pending, ERR_CLOSED, NULL);
    }
    redis->failures++;
    redis->address++;
    timer_set(&redis->worker->loop, &redis->retry, backoff_ms(redis));
}

static void on_connect_late(struct redis *redis)
{
    if (redis->state == REDIS_CONNECTING)
        lose(redis, "no connection in time");
}

static struct span name_of(const struct redis *redis)
{
    const struct redis_server *server = redis->server;
    if (server->tls_name.len > 0)
        return server->tls_name;
    return redis->pointed ? redis->tls_name
                          : server->names[redis->address % server->addr_count];
}

static void connect_now(struct redis *redis)
{
    const struct redis_server *server = redis->server;
    struct tls *tls = NULL;

    if (!redis->pointed && server->addr_count == 0)
        return;
    redis->state = REDIS_CONNECTING;
    redis->greetings = 0;
    redis->parser = redis_parser_new();
    redis->channel = (struct channel){ .watch = { .fd = -1 } };
    if (server->tls != NULL)
        tls = tls_connect(server->tls, name_of(redis));
    if (redis->parser == NULL || (server->tls != NULL && tls == NULL)) {
        lose(redis, "out of memory");
        return;
    }
    if (channel_connect(&redis->channel, redis->worker, redis_addr(redis), server->path, tls,
                        &events) != OK) {
        lose(redis, "it cannot be connected to");
        return;
    }
    timer_set(&redis->worker->loop, &redis->retry, REDIS_CONNECT_MS);
}

static void on_retry(struct timer *timer)
{
    struct redis *redis = CONTAINER(timer, struct redis, retry);
    if (redis->state == REDIS_DOWN)
        connect_now(redis);
    else
        on_connect_late(redis);
    worker_flush(redis->worker);
}

struct redis *redis_new(struct worker *worker, const struct redis_server *server)
{
    struct redis *redis = calloc(1, sizeof(*redis));
    if (redis == NULL)
        return NULL;
    redis->worker = worker;
    redis->server = server;
    redis->channel.watch.fd = -1;
    redis->retry.fire = on_retry;
    redis->probe.fire = on_probe;
    redis->deadline = (struct watch){ .fd = -1, .on_event = on_deadline };
    int fd = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC);
    if (fd < 0 || loop_add(&worker->loop, &redis->deadline, fd, EPOLLIN) != OK) {
        if (fd >= 0)
            (void)close(fd);
        free(redis);
        return NULL;
    }
    return redis;
}

void redis_free(struct redis *redis)
{
    if (redis == NULL)
        return;
    struct loop *loop = &redis->worker->loop;
    redis->told = true;
    lose(redis, "");
    timer_remove(loop, &redis->retry);
    timer_remove(loop, &redis->probe);
    int fd = redis->deadline.fd;
    loop_remove(loop, &redis->deadline);
    (void)close(fd);
    free(redis->command);
    free(redis);
}

void redis_keep_script(struct redis *redis, struct span script)
{
    INVARIANT(redis->script_count < SCRIPTS_MAX && redis->state == REDIS_DOWN);
    redis->scripts[redis->script_count++] = script;
}

void redis_start(struct redis *redis)
{
    redis->down_since_ns = now_ns(redis);
    redis->started = true;
    connect_now(redis);
    worker_flush(redis->worker);
}

const struct addr *redis_addr(const struct redis *redis)
{
    static const struct addr nowhere = { .family = ADDR_NONE };
    const struct redis_server *server = redis->server;
    if (redis->pointed)
        return &redis->target;
    return server->addr_count > 0 ? &server->addrs[redis->address % server->addr_count]
                                  : &nowhere;
}

void redis_point(struct redis *redis, const struct addr *addr)
{
    if (redis->pointed && addr_equal(&redis->target, addr) && redis->target.port == addr->port)
        return;
    if (redis->state != REDIS_DOWN)
        lose(redis, "another server has its place");
    redis->target = *addr;
    redis->pointed = true;
    struct text name = text_fixed(redis->target_name, sizeof(redis->target_name));
    addr_write(&name, addr);
    redis->tls_name = text_span(&name);
    redis->failures = 0;
    if (redis->started)
        connect_now(redis);
}

void redis_rest(struct redis *redis)
{
    redis->told = true;
    lose(redis, "");
    redis->pointed = false;
    redis->told = redis->hangs = false;
    timer_remove(&redis->worker->loop, &redis->retry);
    timer_remove(&redis->worker->loop, &redis->probe);
}

bool redis_usable(const struct redis *redis)
{
    return redis->state == REDIS_READY && !redis->hangs;
}

uint64_t redis_down_ms(const struct redis *redis)
{
    if (redis_usable(redis))
        return 0;
    return (now_ns(redis) - redis->down_since_ns) / NS_PER_MS + 1;
}

uint64_t redis_back_ns(const struct redis *redis)
{
    return redis->back_ns;
}

void redis_useless(struct redis *redis)
{
    lose(redis, "it cannot serve now");
}
