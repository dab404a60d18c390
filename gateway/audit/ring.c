/*
 * The rings: framing, commit and drain.
 *
 * A record is a frame of eight bytes (its length and a mark) and the line, padded to a multiple
 * of eight, so that a frame never wraps. The consumer believes nothing that it reads: a worker
 * that was taken over can write anything here, and must not be able to make the recorder read
 * outside of the ring.
 */
#include "gateway/audit/ring.h"

#include <unistd.h>

#include "gateway/audit/record.h"
#include "gateway/base/clock.h"

enum {
    FRAME_BYTES = 8,
    FRAME_MARK = 0x5a115e9d /* plus the record's class; behind them: aside */
};

/* How much of the ring a class may fill. */
static const size_t room_of[RECORD_CLASSES] = {
    [RECORD_FORWARDED] = RING_BYTES / 4 * 3,
    [RECORD_DETECTED] = RING_BYTES / 8 * 7,
    [RECORD_DECIDED] = RING_BYTES,
};

_Static_assert((RING_BYTES & (RING_BYTES - 1)) == 0, "positions are masked");
_Static_assert(RECORD_BYTES_MAX + FRAME_BYTES <= RING_BYTES, "the longest record fits");

struct frame {
    uint32_t len, mark;
};

static size_t frame_size(size_t len)
{
    return FRAME_BYTES + ((len + 7) & ~(size_t)7);
}

static size_t position(uint64_t count)
{
    return (size_t)(count & (RING_BYTES - 1));
}

/* ---- slots ---- */

enum err ring_claim(struct rings *rings, int32_t pid, unsigned *slot)
{
    for (unsigned i = 0; i < RING_SLOTS; i++) {
        struct ring *ring = &rings->ring[i];
        uint32_t state = RING_FREE;
        if (!__atomic_compare_exchange_n(&ring->state, &state, RING_CLEARING, false,
                                         __ATOMIC_ACQUIRE, __ATOMIC_RELAXED))
            continue;
        ring->head = ring->tail = 0;
        memset(ring->lost, 0, sizeof(ring->lost));
        memset(ring->lost_told, 0, sizeof(ring->lost_told));
        memset(ring->flood, 0, sizeof(ring->flood));
        ring->waits = 0;
        ring->life++;
        ring->pid = pid;
        __atomic_store_n(&ring->state, RING_LIVE, __ATOMIC_RELEASE);
        *slot = i;
        return OK;
    }
    return ERR_BUSY;
}

void ring_orphan(struct rings *rings, unsigned slot)
{
    INVARIANT(slot < RING_SLOTS);
    uint32_t state = RING_LIVE;
    (void)__atomic_compare_exchange_n(&rings->ring[slot].state, &state, RING_ORPHAN, false,
                                      __ATOMIC_RELEASE, __ATOMIC_RELAXED);
}

bool ring_free(struct ring *ring)
{
    if (__atomic_load_n(&ring->state, __ATOMIC_ACQUIRE) != RING_ORPHAN)
        return false;
    if (ring->head != ring->tail ||
        memcmp(ring->lost, ring->lost_told, sizeof(ring->lost)) != 0)
        return false;
    for (unsigned i = 0; i < FLOOD_SLOTS; i++)
        if (ring->flood[i].count != ring->flood[i].told)
            return false;
    __atomic_store_n(&ring->state, RING_FREE, __ATOMIC_RELEASE);
    return true;
}

/* ---- producer ---- */

static void put(struct ring *ring, uint64_t at, const void *bytes, size_t len)
{
    size_t from = position(at), first = RING_BYTES - from;
    if (first > len)
        first = len;
    memcpy(ring->bytes + from, bytes, first);
    memcpy(ring->bytes, (const char *)bytes + first, len - first);
}

static void wake(struct ring_writer *writer)
{
    /*
     * The recorder says that it sleeps, then looks at `head` once more; we move `head`, then
     * look whether it sleeps. The fences on both sides see to it that one of the two notices.
     */
    __atomic_thread_fence(__ATOMIC_SEQ_CST);
    uint32_t *sleeps = &writer->rings->recorder_sleeps;
    if (__atomic_load_n(sleeps, __ATOMIC_RELAXED) == 0 || writer->wake_fd < 0)
        return;
    if (__atomic_exchange_n(sleeps, 0, __ATOMIC_ACQ_REL) == 0)
        return;
    uint64_t one = 1;
    /* It fails only when the counter is full, and then the recorder is awake. */
    ssize_t written = write(writer->wake_fd, &one, sizeof(one));
    (void)written;
}

void ring_kick(struct ring_writer *writer)
{
    if (writer->wake_fd < 0 || __atomic_exchange_n(&writer->rings->kicked, 1, __ATOMIC_ACQ_REL))
        return;
    uint64_t one = 1;
    ssize_t written = write(writer->wake_fd, &one, sizeof(one));
    (void)written;
}

enum pressure ring_pressure(const struct rings *rings)
{
    uint32_t pressure = __atomic_load_n(&rings->pressure, __ATOMIC_RELAXED);
    return pressure <= PRESSURE_CLOSED ? (enum pressure)pressure : PRESSURE_NONE;
}

static void publish(struct ring_writer *writer, uint32_t mark, struct span bytes)
{
    struct ring *ring = writer->ring;
    uint64_t head = ring->head;
    struct frame frame = { .len = (uint32_t)bytes.len, .mark = mark };
    memcpy(ring->bytes + position(head), &frame, sizeof(frame));
    put(ring, head + FRAME_BYTES, bytes.p, bytes.len);
    __atomic_store_n(&ring->head, head + frame_size(bytes.len), __ATOMIC_RELEASE);
    wake(writer);
}

bool ring_commit(struct ring_writer *writer, enum record_class class, struct span record)
{
    struct ring *ring = writer->ring;
    uint64_t head = ring->head;
    uint64_t used = head - __atomic_load_n(&ring->tail, __ATOMIC_ACQUIRE);
    size_t size = frame_size(record.len), room = room_of[class];
    bool unwanted =
        class == RECORD_FORWARDED && ring_pressure(writer->rings) == PRESSURE_DROP_LOW;

    if (unwanted || record.len == 0 || record.len > RECORD_BYTES_MAX || used > room ||
        size > room - used) {
        __atomic_store_n(&ring->lost[class], ring->lost[class] + 1, __ATOMIC_RELAXED);
        wake(writer);
        return false;
    }
    publish(writer, FRAME_MARK + class, record);
    return true;
}

bool ring_is_filling(const struct ring_writer *writer)
{
    const struct ring *ring = writer->ring;
    uint64_t used = ring->head - __atomic_load_n(&ring->tail, __ATOMIC_ACQUIRE);
    return used > RING_BYTES / 8 * 5; /* above what stands aside, below where losses begin */
}

bool ring_has_room_aside(const struct ring_writer *writer, size_t bytes)
{
    const struct ring *ring = writer->ring;
    uint64_t used = ring->head - __atomic_load_n(&ring->tail, __ATOMIC_ACQUIRE);
    return ring_pressure(writer->rings) == PRESSURE_NONE && used <= RING_BYTES / 2 &&
           bytes <= RING_BYTES / 2 - used;
}

bool ring_commit_aside(struct ring_writer *writer, struct span bytes)
{
    if (bytes.len == 0 || bytes.len > RECORD_BYTES_MAX ||
        !ring_has_room_aside(writer, frame_size(bytes.len)))
        return false;
    publish(writer, FRAME_MARK + RECORD_CLASSES, bytes);
    return true;
}

/* ---- consumer ---- */

static struct span damaged(char *scratch)
{
    static const uint64_t unknown[RECORD_CLASSES];
    struct clock now;
    struct text line = text_fixed(scratch, RECORD_BYTES_MAX);
    clock_read(&now);
    record_gap(&line, now.wall_us, "ring-damaged", unknown);
    return text_span(&line);
}

bool ring_peek(const struct ring *ring, uint64_t *cursor, struct ring_record *record,
               char *scratch)
{
    uint64_t head = __atomic_load_n(&ring->head, __ATOMIC_ACQUIRE);
    uint64_t ready = head - *cursor;
    if (ready == 0)
        return false;

    struct frame frame = { 0 };
    if (ready >= FRAME_BYTES && ready <= RING_BYTES && position(*cursor) % FRAME_BYTES == 0)
        memcpy(&frame, ring->bytes + position(*cursor), sizeof(frame));
    uint32_t class = frame.mark - FRAME_MARK;
    if (class > RECORD_CLASSES || frame.len == 0 || frame.len > RECORD_BYTES_MAX ||
        frame_size(frame.len) > ready) {
        *cursor = head;
        *record = (struct ring_record){ .line = damaged(scratch),
                                        .class = RECORD_DECIDED,
                                        .damaged = true };
        return true;
    }

    record->aside = class == RECORD_CLASSES;
    record->class = record->aside ? RECORD_FORWARDED : (enum record_class) class;
    record->damaged = false;
    size_t from = position(*cursor + FRAME_BYTES), first = RING_BYTES - from;
    *cursor += frame_size(frame.len);
    if (first >= frame.len) {
        record->line = span_of(ring->bytes + from, frame.len);
        return true;
    }
    memcpy(scratch, ring->bytes + from, first);
    memcpy(scratch + first, ring->bytes, frame.len - first);
    record->line = span_of(scratch, frame.len);
    return true;
}

void ring_release(struct ring *ring, uint64_t cursor)
{
    __atomic_store_n(&ring->tail, cursor, __ATOMIC_RELEASE);
}
