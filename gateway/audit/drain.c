/*
 * Draining: cursors, gaps, sums, acknowledgement.
 */
#include "gateway/audit/drain.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <sys/pidfd.h>
#include <unistd.h>

#include "gateway/base/log.h"

enum {
    TURN_RECORDS = 256, /* of one ring before the next has its turn */
    GAP_BYTES = 1024,
    FLOOD_BYTES = FLOOD_LINE_BYTES + 512,
};

_Static_assert((int)RING_ACK_HEAD_BYTES == (int)CHAIN_BYTES, "acks stand under a head");

static bool in_use(const struct ring *ring)
{
    uint32_t state = __atomic_load_n(&ring->state, __ATOMIC_ACQUIRE);
    return state == RING_LIVE || state == RING_ORPHAN;
}

/* Those who wait for `tail` to move. */
static void tell_waiters(struct drain *drain)
{
    __atomic_thread_fence(__ATOMIC_SEQ_CST);
    for (unsigned i = 0; i < RING_SLOTS; i++) {
        if (__atomic_load_n(&drain->rings->ring[i].waits, __ATOMIC_RELAXED) == 0)
            continue;
        uint64_t one = 1;
        ssize_t written = write(drain->written_fd, &one, sizeof(one));
        (void)written;
        return;
    }
}

/* ---- how far it has come ---- */

static bool stands_under(const struct ring_acks *acks, const uint8_t head[CHAIN_BYTES])
{
    return memcmp(acks->head, head, CHAIN_BYTES) == 0;
}

/* The one that says nothing of the file as it is, or as it was when it was opened. */
static struct ring_acks *spare_acks(const struct drain *drain)
{
    const struct journal *journal = drain->journal;
    const uint8_t *head = journal->seal.state.chain.head;
    bool second = stands_under(&drain->acks[0], head) ||
                  (!stands_under(&drain->acks[1], head) &&
                   stands_under(&drain->acks[0], journal->opened_head));
    return &drain->acks[second];
}

/* Before the batch is written, under the head that the chain will have then. What the file has
 * by now stays valid until then, in the other of the two. */
static void promise(struct drain *drain)
{
    struct journal *journal = drain->journal;
    if (drain->acks == NULL || sink_rest(&journal->sink).len == 0)
        return;
    struct ring_acks *acks = spare_acks(drain);
    memset(acks->head, 0, sizeof(acks->head));
    __atomic_signal_fence(__ATOMIC_SEQ_CST);
    for (unsigned i = 0; i < RING_SLOTS; i++) {
        struct ring_ack *ack = &acks->ring[i];
        ack->life = 0;
        if (!drain->follows[i])
            continue;
        const struct ring *ring = &drain->rings->ring[i];
        ack->life = ring->life;
        ack->cursor = drain->cursor[i];
        memcpy(ack->lost_told, drain->told[i], sizeof(ack->lost_told));
        for (unsigned k = 0; k < FLOOD_SLOTS; k++)
            ack->flood_told[k] = ring->flood[k].told;
    }
    for (unsigned i = 0; i < drain->flood_count; i++) {
        const struct flood_news *news = &drain->floods[i].news;
        acks->ring[drain->floods[i].ring].flood_told[news->slot] = news->count;
    }
    __atomic_signal_fence(__ATOMIC_SEQ_CST);
    memcpy(acks->head, journal->chain.head, sizeof(acks->head));
}

/* Where the last recorder stood with this ring; the ring itself says no more than what was
 * released, and its worker can write there. */
static void take_up(struct drain *drain, const struct ring_acks *acks, unsigned slot)
{
    struct ring *ring = &drain->rings->ring[slot];
    const struct ring_ack *ack = &acks->ring[slot];
    uint64_t head = __atomic_load_n(&ring->head, __ATOMIC_ACQUIRE);
    if (ack->life == 0 || ack->life != ring->life || ack->cursor < ring->tail ||
        ack->cursor > head)
        return;
    drain->cursor[slot] = ack->cursor;
    for (unsigned k = 0; k < RECORD_CLASSES; k++)
        if (ack->lost_told[k] > drain->told[slot][k])
            drain->told[slot][k] = ack->lost_told[k];
    for (unsigned k = 0; k < FLOOD_SLOTS; k++)
        if (ack->flood_told[k] > ring->flood[k].told) {
            const struct flood_news news = { .count = ack->flood_told[k], .slot = k };
            flood_told(ring, &news);
        }
}

static void follow(struct drain *drain, unsigned slot)
{
    const struct ring *ring = &drain->rings->ring[slot];
    drain->follows[slot] = true;
    drain->cursor[slot] = ring->tail;
    memcpy(drain->told[slot], ring->lost_told, sizeof(ring->lost_told));
}

void drain_open(struct drain *drain, struct rings *rings, struct journal *journal,
                struct seal_memory *memory)
{
    drain->rings = rings;
    drain->journal = journal;
    drain->acks = journal->conf.path != NULL && memory != NULL ? memory->acks : NULL;
    for (unsigned slot = 0; slot < RING_SLOTS; slot++)
        if (in_use(&rings->ring[slot]))
            follow(drain, slot);
    if (drain->acks == NULL)
        return;
    /* A whole batch was written, or none; of a part, the journal knows the lines. */
    const struct ring_acks *good = NULL;
    for (int i = 0; i < 2 && good == NULL; i++)
        if (stands_under(&drain->acks[i], journal->chain.head))
            good = &drain->acks[i];
    for (int i = 0; i < 2 && good == NULL; i++)
        if (stands_under(&drain->acks[i], journal->opened_head))
            good = &drain->acks[i];
    for (unsigned slot = 0; slot < RING_SLOTS && good != NULL; slot++)
        if (drain->follows[slot])
            take_up(drain, good, slot);
}

/* ---- batches ---- */

/* What is in the file may leave the rings. False: nothing leaves, and it is tried again. */
static bool flush(struct drain *drain)
{
    promise(drain);
    if (journal_flush(drain->journal) != OK) {
        drain->rings->write_errors++;
        return false;
    }
    for (unsigned i = 0; i < RING_SLOTS; i++) {
        if (!drain->follows[i])
            continue;
        struct ring *ring = &drain->rings->ring[i];
        ring_release(ring, drain->cursor[i]);
        memcpy(ring->lost_told, drain->told[i], sizeof(ring->lost_told));
    }
    for (unsigned i = 0; i < drain->flood_count; i++)
        flood_told(&drain->rings->ring[drain->floods[i].ring], &drain->floods[i].news);
    drain->flood_count = 0;
    drain->rings->sequence += drain->buffered;
    drain->rings->flushes += drain->buffered > 0;
    drain->buffered = 0;
    return true;
}

/* False: the file takes nothing now, and the line is not in the buffer. */
static bool put(struct drain *drain, struct span line)
{
    enum err err = journal_line(drain->journal, line);
    if (err == ERR_LIMIT) {
        if (!flush(drain))
            return false;
        err = journal_line(drain->journal, line);
    }
    if (err != OK)
        log_error("record dropped: its line is not well-formed", F_ERR(err));
    drain->buffered += err == OK;
    return true;
}

static bool put_gap(struct drain *drain, const char *reason,
                    const uint64_t lost[RECORD_CLASSES])
{
    char buffer[GAP_BYTES];
    struct text line = text_fixed(buffer, sizeof(buffer));
    record_gap(&line, drain->now_us, reason, lost);
    return put(drain, text_span(&line));
}

/* What a full ring lost since last told. While the disk is full it is added up. */
static bool put_ring_gap(struct drain *drain, unsigned slot)
{
    const struct ring *ring = &drain->rings->ring[slot];
    uint64_t lost[RECORD_CLASSES], now[RECORD_CLASSES];
    bool any = false;
    for (int class = 0; class < RECORD_CLASSES; class ++) {
        now[class] = __atomic_load_n(&ring->lost[class], __ATOMIC_RELAXED);
        lost[class] = now[class] - drain->told[slot][class];
        any = any || lost[class] != 0;
    }
    if (!any || drain->journal->spilling)
        return false;
    if (!put_gap(drain, "ring-full", lost))
        return false;
    memcpy(drain->told[slot], now, sizeof(now));
    return true;
}

static bool put_floods(struct drain *drain, unsigned slot)
{
    struct ring *ring = &drain->rings->ring[slot];
    bool all = __atomic_load_n(&ring->state, __ATOMIC_ACQUIRE) == RING_ORPHAN, any = false;
    for (unsigned i = 0; i < FLOOD_SLOTS && drain->flood_count < DRAIN_FLOODS_MAX; i++) {
        char buffer[FLOOD_BYTES];
        struct text line = text_fixed(buffer, sizeof(buffer));
        struct flood_news news;
        if (!flood_line(ring, i, drain->now_us, all, &line, &news))
            continue;
        bool waiting = false; /* told in this batch already */
        for (unsigned k = 0; k < drain->flood_count; k++)
            waiting =
                waiting || (drain->floods[k].ring == slot && drain->floods[k].news.slot == i);
        if (waiting || !put(drain, text_span(&line)))
            continue;
        drain->floods[drain->flood_count].ring = slot;
        drain->floods[drain->flood_count++].news = news;
        any = true;
    }
    return any;
}

/* Forwarded requests give way while only reserved room is left. */
static bool is_dropped(const struct drain *drain, const struct ring_record *record)
{
    return drain->journal->spilling && record->class == RECORD_FORWARDED &&
           drain->on_full == ON_FULL_DROP_LOW;
}

static bool drain_ring(struct drain *drain, unsigned slot)
{
    struct ring *ring = &drain->rings->ring[slot];
    bool any = false;
    for (int i = 0; i < TURN_RECORDS; i++) {
        uint64_t cursor = drain->cursor[slot];
        struct ring_record record;
        if (!ring_peek(ring, &cursor, &record, drain->scratch))
            break;
        if (record.aside) {
            if (drain->captures != NULL)
                captures_add(drain->captures, record.line);
        } else if (is_dropped(drain, &record)) {
            drain->dropped[record.class]++;
            drain->rings->dropped[record.class]++;
        } else if (!put(drain, record.line)) {
            break;
        }
        drain->cursor[slot] = cursor;
        any = true;
    }
    any = put_floods(drain, slot) || any;
    return put_ring_gap(drain, slot) || any;
}

/* ---- a full disk ---- */

static enum pressure pressure_now(const struct drain *drain)
{
    const struct journal *journal = drain->journal;
    if (!journal->spilling && !journal->stuck)
        return PRESSURE_NONE;
    /* Reserved room is for what is on its way when the others are asked to wait. */
    bool short_of_room = journal->stuck || journal->spill.len > journal->spill.room / 2;
    switch (drain->on_full) {
    case ON_FULL_DROP_LOW:
        return PRESSURE_DROP_LOW;
    case ON_FULL_BLOCK:
        return short_of_room ? PRESSURE_HOLD : PRESSURE_NONE;
    case ON_FULL_FAIL_CLOSED:
        return short_of_room ? PRESSURE_CLOSED : PRESSURE_NONE;
    }
    return PRESSURE_NONE;
}

void drain_pressure(struct drain *drain)
{
    enum pressure pressure = pressure_now(drain);
    struct rings *rings = drain->rings;
    if (!drain->journal->spilling &&
        drain->dropped[RECORD_FORWARDED] + drain->dropped[RECORD_DETECTED] > 0 &&
        put_gap(drain, "disk-full", drain->dropped))
        memset(drain->dropped, 0, sizeof(drain->dropped));
    rings->file_bytes = drain->journal->bytes;
    rings->spilled = drain->journal->spilling ? drain->journal->spill.len : 0;
    if (__atomic_load_n(&rings->pressure, __ATOMIC_RELAXED) == pressure)
        return;
    __atomic_store_n(&rings->pressure, pressure, __ATOMIC_RELEASE);
    tell_waiters(drain);
}

/* ---- turns ---- */

/* One that has ended but has nobody to ask for its status is gone, too; kill() finds it. */
static bool process_gone(int32_t pid)
{
    if (pid <= 0)
        return true;
    struct pollfd ended = { .fd = pidfd_open(pid, 0), .events = POLLIN };
    if (ended.fd < 0)
        return errno == ESRCH || (kill(pid, 0) != 0 && errno == ESRCH);
    bool gone = poll(&ended, 1, 0) == 1;
    (void)close(ended.fd);
    return gone;
}

struct drain_turn drain_turn(struct drain *drain, uint64_t now_us, bool look_for_dead)
{
    struct drain_turn turn = { 0 };
    drain->now_us = now_us;
    __atomic_store_n(&drain->rings->kicked, 0, __ATOMIC_RELEASE);
    for (unsigned slot = 0; slot < RING_SLOTS; slot++) {
        struct ring *ring = &drain->rings->ring[slot];
        if (!in_use(ring))
            continue;
        if (!drain->follows[slot])
            follow(drain, slot);
        if (look_for_dead && process_gone(__atomic_load_n(&ring->pid, __ATOMIC_ACQUIRE)))
            ring_orphan(drain->rings, slot);
        turn.any = drain_ring(drain, slot) || turn.any;
    }
    turn.flushed = flush(drain);
    return turn;
}

void drain_settle(struct drain *drain)
{
    tell_waiters(drain);
    for (unsigned slot = 0; slot < RING_SLOTS; slot++)
        if (drain->follows[slot] && ring_free(&drain->rings->ring[slot]))
            drain->follows[slot] = false;
}

bool drain_ready(const struct drain *drain)
{
    for (unsigned slot = 0; slot < RING_SLOTS; slot++) {
        const struct ring *ring = &drain->rings->ring[slot];
        if (in_use(ring) &&
            (!drain->follows[slot] ||
             __atomic_load_n(&ring->head, __ATOMIC_ACQUIRE) != drain->cursor[slot]))
            return true;
    }
    return false;
}

bool drain_workers_left(const struct drain *drain)
{
    for (unsigned slot = 0; slot < RING_SLOTS; slot++) {
        const struct ring *ring = &drain->rings->ring[slot];
        if (in_use(ring) && !process_gone(__atomic_load_n(&ring->pid, __ATOMIC_ACQUIRE)))
            return true;
    }
    return false;
}
