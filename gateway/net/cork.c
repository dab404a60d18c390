/*
 * The cork: what is written to channels, gathered in one buffer of the worker until it is sent.
 *
 * Bytes lie there in the order in which they were written, cut into pieces by the channel that
 * they go to. Where they go together behind events (loop.c), the other processes are woken
 * once and find much to do; sent one by one, each send would wake a process that slept, and
 * share the caches with it, before the next request is looked at.
 */
#include "gateway/net/cork.h"

#include "gateway/net/channel.h"

/* Above this many bytes a write goes to the kernel at once, beside the cork, instead of through
 * it. */
enum { CORK_COPY_MAX = 16 * 1024 };

static struct span corked_span(const struct worker *worker, const struct corked *corked)
{
    return span_of(worker->cork + corked->from, corked->to - corked->from);
}

/* What is behind the last piece that has not gone is free. */
static void trim_cork(struct worker *worker)
{
    while (worker->corked_count > 0 && worker->corked[worker->corked_count - 1].channel == NULL)
        worker->cork_len = worker->corked[--worker->corked_count].from;
    worker->loop.gathered = worker->corked_count > 0;
}

/* Sends what is corked for it, and `rest` right behind that. */
static void send_corked(struct channel *ch, struct span rest)
{
    struct worker *worker = ch->worker;

    for (unsigned i = 0; ch->corked > 0; i++) {
        struct corked *corked = &worker->corked[i];
        if (corked->channel != ch)
            continue;
        corked->channel = NULL;
        bool last = --ch->corked == 0;
        channel_send(ch, corked_span(worker, corked), last ? rest : span_of(NULL, 0));
        if (last)
            rest = span_of(NULL, 0);
    }
    trim_cork(worker);
    channel_send(ch, span_of(NULL, 0), rest);
}

void channel_flush(struct channel *ch)
{
    if (ch->corked > 0)
        send_corked(ch, span_of(NULL, 0));
}

void channel_take_back(struct channel *ch)
{
    for (unsigned i = 0; ch->corked > 0; i++) {
        struct corked *corked = &ch->worker->corked[i];
        if (corked->channel != ch)
            continue;
        corked->channel = NULL;
        ch->corked--;
    }
    trim_cork(ch->worker);
}

static void flush_all(struct worker *worker)
{
    for (unsigned i = 0; i < worker->corked_count; i++) {
        struct channel *ch = worker->corked[i].channel;
        if (ch == NULL)
            continue;
        ch->corked--;
        channel_send(ch, corked_span(worker, &worker->corked[i]), span_of(NULL, 0));
    }
    worker->corked_count = 0;
    worker->cork_len = 0;
    worker->loop.gathered = false;
}

static void flush_turn(struct loop *loop)
{
    flush_all(CONTAINER(loop, struct worker, loop));
}

void worker_gather(struct worker *worker)
{
    worker->loop.flush = flush_turn;
}

/* It is longer than the first of those who wait for what is corked should wait. */
static bool is_due(struct worker *worker)
{
    const struct loop *loop = &worker->loop;
    uint64_t began = worker->gathered_ns;

    if (loop->batch_count > 0 && loop->batch_index == loop->batch_count)
        return false; /* the last event: the loop comes next */
    uint64_t now = clock_mono_ns();
    if (now < (worker->flushed_ns > began ? worker->flushed_ns : began) + GATHER_NS)
        return false;
    worker->flushed_ns = now;
    return true;
}

void worker_flush(struct worker *worker)
{
    if (worker->corked_count > 0 && (worker->loop.flush == NULL || is_due(worker)))
        flush_all(worker);
}

/* Nothing is corked for who will send nothing: it may be gone before the cork is. */
char *channel_room(struct channel *ch, size_t size)
{
    struct worker *worker = ch->worker;

    INVARIANT(!ch->connecting);
    if (size > CORK_BYTES)
        return NULL;
    bool open = ch->corked > 0 && worker->corked[worker->corked_count - 1].channel == ch;
    if (size > CORK_BYTES - worker->cork_len || (!open && worker->corked_count == CORKED_MAX)) {
        flush_all(worker);
        open = false;
    }
    if (worker->corked_count == 0) {
        worker->loop.gathered = true;
        worker->gathered_ns = worker->loop.clock.mono_ns;
    }
    if (!open && !ch->failed) {
        uint32_t at = (uint32_t)worker->cork_len;
        worker->corked[worker->corked_count++] = (struct corked){ ch, at, at };
        ch->corked++;
    }
    return worker->cork + worker->cork_len;
}

void channel_wrote(struct channel *ch, size_t size)
{
    struct worker *worker = ch->worker;

    if (ch->failed)
        return;
    struct corked *last = &worker->corked[worker->corked_count - 1];
    INVARIANT(worker->corked_count > 0 && last->channel == ch);
    INVARIANT(size <= CORK_BYTES - worker->cork_len);
    worker->cork_len += size;
    last->to += (uint32_t)size;
}

void channel_write(struct channel *ch, struct span bytes)
{
    if (bytes.len == 0 || ch->failed || ch->shut)
        return;
    if (bytes.len > CORK_COPY_MAX) {
        send_corked(ch, bytes);
        return;
    }
    char *room = channel_room(ch, bytes.len);
    memcpy(room, bytes.p, bytes.len);
    channel_wrote(ch, bytes.len);
}
