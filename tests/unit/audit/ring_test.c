/* The rings: order, wrapping, loss, wake-ups, hostile contents, and a producer killed at any
 * moment. */
#include "gateway/audit/ring.h"

#include <poll.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>
#include <jansson.h>

static struct rings *rings;
static char scratch[RECORD_BYTES_MAX];

static int open_rings(void **state)
{
    (void)state;
    rings =
        mmap(NULL, sizeof(*rings), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    return rings == MAP_FAILED ? -1 : 0;
}

static int close_rings(void **state)
{
    (void)state;
    return munmap(rings, sizeof(*rings));
}

static struct ring_writer writer_on(unsigned slot)
{
    return (struct ring_writer){ .rings = rings, .ring = &rings->ring[slot], .wake_fd = -1 };
}

/* Record `n` has a length and bytes that follow from n. */
static struct span record_of(uint64_t n, char *buffer)
{
    size_t len = 1 + (size_t)(n * 7919 % 3000);
    if (n % 50 == 0)
        len = RECORD_BYTES_MAX;
    if (len < 8)
        len = 8;
    memset(buffer, (int)('a' + n % 26), len);
    memcpy(buffer, &n, sizeof(n));
    return span_of(buffer, len);
}

static void test_records_come_out_as_they_went_in(void **state)
{
    (void)state;
    static char buffer[RECORD_BYTES_MAX];
    unsigned slot;
    assert_int_equal(ring_claim(rings, 7, &slot), OK);
    struct ring *ring = &rings->ring[slot];
    struct ring_writer writer = writer_on(slot);
    uint64_t sent = 0, seen = 0, cursor = ring->tail;
    struct ring_record record;

    srandom(1);
    assert_false(ring_peek(ring, &cursor, &record, scratch));
    while (seen < 20000) {
        for (long k = random() % 40; k > 0; k--)
            if (ring_commit(&writer, RECORD_FORWARDED, record_of(sent, buffer)))
                sent++;
        for (long k = random() % 40; k > 0 && ring_peek(ring, &cursor, &record, scratch); k--) {
            struct span expected = record_of(seen, buffer);
            assert_true(span_equal(record.line, expected));
            seen++;
        }
        ring_release(ring, cursor);
    }
    assert_true(ring->head > 4 * (uint64_t)RING_BYTES); /* it went round */
}

static void test_a_full_ring_counts_by_class(void **state)
{
    (void)state;
    static char big[RECORD_BYTES_MAX + 1];
    unsigned slot;
    memset(big, 'x', sizeof(big));
    assert_int_equal(ring_claim(rings, 7, &slot), OK);
    struct ring *ring = &rings->ring[slot];
    struct ring_writer writer = writer_on(slot);

    assert_false(ring_commit(&writer, RECORD_DECIDED, span_of(big, sizeof(big))));
    assert_false(ring_commit(&writer, RECORD_DECIDED, span_of(big, 0)));
    assert_int_equal(ring->lost[RECORD_DECIDED], 2);
    /* Each class has its share; the last of the ring is for decisions alone. */
    unsigned fitted = 0;
    while (ring_commit(&writer, RECORD_FORWARDED, span_of(big, RECORD_BYTES_MAX)))
        fitted++;
    assert_int_equal(fitted, RING_BYTES / 4 * 3 / (RECORD_BYTES_MAX + 8));
    assert_int_equal(ring->lost[RECORD_FORWARDED], 1);
    while (ring_commit(&writer, RECORD_DETECTED, span_of(big, RECORD_BYTES_MAX)))
        fitted++;
    assert_int_equal(fitted, RING_BYTES / 8 * 7 / (RECORD_BYTES_MAX + 8));
    assert_int_equal(ring->lost[RECORD_DETECTED], 1);
    while (ring_commit(&writer, RECORD_DECIDED, span_of(big, RECORD_BYTES_MAX)))
        fitted++;
    assert_int_equal(fitted, RING_BYTES / (RECORD_BYTES_MAX + 8));
    assert_int_equal(ring->lost[RECORD_DECIDED], 3);
    /* The rest takes a record that fills it to the last byte, and not one more. */
    size_t left = RING_BYTES - (size_t)(ring->head - ring->tail);
    assert_false(ring_commit(&writer, RECORD_DECIDED, span_of(big, left - 7)));
    assert_true(ring_commit(&writer, RECORD_DECIDED, span_of(big, left - 8)));
    assert_int_equal(ring->head - ring->tail, RING_BYTES);

    struct ring_record record;
    uint64_t cursor = ring->tail;
    for (unsigned i = 0; i <= fitted; i++)
        assert_true(ring_peek(ring, &cursor, &record, scratch));
    assert_false(ring_peek(ring, &cursor, &record, scratch));
    ring_release(ring, cursor);
    assert_true(ring_commit(&writer, RECORD_FORWARDED, SPAN("again")));
}

static void test_classes_come_out(void **state)
{
    (void)state;
    unsigned slot;
    assert_int_equal(ring_claim(rings, 7, &slot), OK);
    struct ring_writer writer = writer_on(slot);
    struct ring_record record;
    uint64_t cursor = 0;
    for (int class = 0; class < RECORD_CLASSES; class ++)
        assert_true(ring_commit(&writer, (enum record_class) class, SPAN("x")));
    for (int class = 0; class < RECORD_CLASSES; class ++) {
        assert_true(ring_peek(writer.ring, &cursor, &record, scratch));
        assert_int_equal(record.class, class);
        assert_false(record.damaged);
    }
}

static void test_pressure(void **state)
{
    (void)state;
    unsigned slot;
    assert_int_equal(ring_claim(rings, 7, &slot), OK);
    struct ring_writer writer = writer_on(slot);
    rings->pressure = PRESSURE_DROP_LOW;
    assert_false(ring_commit(&writer, RECORD_FORWARDED, SPAN("x")));
    assert_true(ring_commit(&writer, RECORD_DETECTED, SPAN("x")));
    assert_int_equal(writer.ring->lost[RECORD_FORWARDED], 1);
    rings->pressure = PRESSURE_CLOSED;
    assert_true(ring_commit(&writer, RECORD_FORWARDED, SPAN("x")));
    assert_int_equal(ring_pressure(rings), PRESSURE_CLOSED);
    rings->pressure = 77; /* nobody's word */
    assert_int_equal(ring_pressure(rings), PRESSURE_NONE);
}

static void test_slots(void **state)
{
    (void)state;
    unsigned slot, again;
    for (unsigned i = 0; i < RING_SLOTS; i++)
        assert_int_equal(ring_claim(rings, (int32_t)i + 1, &slot), OK);
    assert_int_equal(ring_claim(rings, 1, &slot), ERR_BUSY);

    struct ring *ring = &rings->ring[5];
    struct ring_writer writer = writer_on(5);
    assert_true(ring_commit(&writer, RECORD_FORWARDED, SPAN("last words")));
    assert_false(ring_free(ring)); /* alive */
    ring_orphan(rings, 5);
    assert_false(ring_free(ring)); /* not drained */
    uint64_t cursor = ring->tail;
    struct ring_record record;
    assert_true(ring_peek(ring, &cursor, &record, scratch));
    ring_release(ring, cursor);
    ring->lost[RECORD_DECIDED] = 3;
    assert_false(ring_free(ring)); /* a loss that was not told */
    ring->lost_told[RECORD_DECIDED] = 3;
    assert_true(ring_free(ring));
    assert_false(ring_free(ring));
    assert_int_equal(ring_claim(rings, 99, &again), OK);
    assert_int_equal(again, 5);
    assert_int_equal(ring->lost[RECORD_DECIDED], 0);
    assert_int_equal(ring->pid, 99);
}

static void test_wakes_a_sleeper_once(void **state)
{
    (void)state;
    unsigned slot;
    assert_int_equal(ring_claim(rings, 7, &slot), OK);
    struct ring_writer writer = writer_on(slot);
    writer.wake_fd = eventfd(0, EFD_NONBLOCK);
    uint64_t count = 0;

    assert_true(ring_commit(&writer, RECORD_FORWARDED, SPAN("awake")));
    assert_int_equal(read(writer.wake_fd, &count, sizeof(count)), -1);
    rings->recorder_sleeps = 1;
    assert_true(ring_commit(&writer, RECORD_FORWARDED, SPAN("one")));
    assert_true(ring_commit(&writer, RECORD_FORWARDED, SPAN("two")));
    assert_int_equal(read(writer.wake_fd, &count, sizeof(count)), sizeof(count));
    assert_int_equal(count, 1);
    assert_int_equal(rings->recorder_sleeps, 0);
    assert_int_equal(close(writer.wake_fd), 0);
}

/* Whatever a hostile worker writes, the consumer reads inside the ring and says that something
 * is wrong. */
static void test_hostile_contents(void **state)
{
    (void)state;
    struct ring *ring = &rings->ring[0];
    static const struct {
        uint64_t head, tail;
        uint32_t len, mark;
    } cases[] = {
        { 64, 0, 8, 0 },           /* no mark */
        { 64, 0, 0, 0x5a115e9d },  /* empty */
        { 64, 0, 57, 0x5a115e9d }, /* longer than what is there */
        { 64, 0, UINT32_MAX, 0x5a115e9d },
        { RING_BYTES, 0, RECORD_BYTES_MAX + 1, 0x5a115e9d },
        { RING_BYTES + 8, 0, 8, 0x5a115e9d }, /* more than a ring */
        { 0, 64, 8, 0x5a115e9d },             /* head went back */
        { 7, 0, 8, 0x5a115e9d },              /* not even a frame */
        { 68, 4, 8, 0x5a115e9d },             /* not aligned */
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        memset(ring->bytes, 'x', 128);
        memcpy(ring->bytes, &cases[i].len, 4);
        memcpy(ring->bytes + 4, &cases[i].mark, 4);
        ring->head = cases[i].head;
        ring->tail = cases[i].tail;
        uint64_t cursor = ring->tail;
        struct ring_record record;
        assert_true(ring_peek(ring, &cursor, &record, scratch));
        assert_int_equal(cursor, ring->head);
        json_t *line = json_loadb(record.line.p, record.line.len, 0, NULL);
        assert_non_null(line);
        assert_string_equal(
            json_string_value(json_object_get(json_object_get(line, "event"), "reason")),
            "ring-damaged");
        json_decref(line);
        assert_false(ring_peek(ring, &cursor, &record, scratch));
    }
}

static void produce(unsigned slot)
{
    static char buffer[RECORD_BYTES_MAX];
    struct ring_writer writer = writer_on(slot);
    for (uint64_t n = 0;;)
        if (ring_commit(&writer, RECORD_FORWARDED, record_of(n, buffer)))
            n++;
}

/* The producer dies by SIGKILL at a random moment: only whole records, in order, without a gap.
 */
static void test_a_killed_producer_leaves_whole_records(void **state)
{
    (void)state;
    static char buffer[RECORD_BYTES_MAX];
    srandom(3);
    uint64_t all = 0;
    for (int round = 0; round < 40; round++) {
        unsigned slot;
        assert_int_equal(ring_claim(rings, 1, &slot), OK);
        struct ring *ring = &rings->ring[slot];
        pid_t child = fork();
        assert_true(child >= 0);
        if (child == 0)
            produce(slot);

        uint64_t seen = 0, cursor = ring->tail;
        struct ring_record record;
        struct timespec start, now;
        long life_us = 500 + random() % 8000;
        bool killed = false;
        clock_gettime(CLOCK_MONOTONIC, &start);
        for (;;) {
            clock_gettime(CLOCK_MONOTONIC, &now);
            long us =
                (now.tv_sec - start.tv_sec) * 1000000 + (now.tv_nsec - start.tv_nsec) / 1000;
            if (!killed && us > life_us) {
                assert_int_equal(kill(child, SIGKILL), 0);
                assert_int_equal(waitpid(child, NULL, 0), child);
                ring_orphan(rings, slot);
                killed = true;
            }
            bool more = ring_peek(ring, &cursor, &record, scratch);
            if (more) {
                struct span expected = record_of(seen++, buffer);
                assert_true(span_equal(record.line, expected));
                ring_release(ring, cursor);
            } else if (killed) {
                break;
            }
        }
        all += seen;
        memcpy(ring->lost_told, ring->lost, sizeof(ring->lost));
        assert_true(ring_free(ring));
    }
    assert_true(all > 0);
}

/* A consumer that sleeps is always woken: no record waits for the next one. */
static void test_no_wake_up_is_missed(void **state)
{
    (void)state;
    enum { RECORDS = 3000 };
    unsigned slot;
    assert_int_equal(ring_claim(rings, 1, &slot), OK);
    struct ring *ring = &rings->ring[slot];
    int fd = eventfd(0, EFD_NONBLOCK);
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        struct ring_writer writer = writer_on(slot);
        writer.wake_fd = fd;
        for (int i = 0; i < RECORDS; i++) {
            if (!ring_commit(&writer, RECORD_FORWARDED, SPAN("tick")))
                _exit(1);
            for (volatile int spin = 0; spin < i % 500; spin++)
                continue;
        }
        _exit(0);
    }
    int seen = 0;
    uint64_t cursor = ring->tail, count;
    struct ring_record record;
    while (seen < RECORDS) {
        while (ring_peek(ring, &cursor, &record, scratch))
            seen++;
        ring_release(ring, cursor);
        __atomic_store_n(&rings->recorder_sleeps, 1, __ATOMIC_SEQ_CST);
        __atomic_thread_fence(__ATOMIC_SEQ_CST);
        if (__atomic_load_n(&ring->head, __ATOMIC_ACQUIRE) != cursor || seen == RECORDS)
            continue;
        struct pollfd wait = { .fd = fd, .events = POLLIN };
        assert_int_equal(poll(&wait, 1, 10000), 1);
        assert_int_equal(read(fd, &count, sizeof(count)), sizeof(count));
    }
    int status;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
    assert_int_equal(close(fd), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_records_come_out_as_they_went_in, open_rings,
                                        close_rings),
        cmocka_unit_test_setup_teardown(test_a_full_ring_counts_by_class, open_rings,
                                        close_rings),
        cmocka_unit_test_setup_teardown(test_classes_come_out, open_rings, close_rings),
        cmocka_unit_test_setup_teardown(test_pressure, open_rings, close_rings),
        cmocka_unit_test_setup_teardown(test_slots, open_rings, close_rings),
        cmocka_unit_test_setup_teardown(test_wakes_a_sleeper_once, open_rings, close_rings),
        cmocka_unit_test_setup_teardown(test_hostile_contents, open_rings, close_rings),
        cmocka_unit_test_setup_teardown(test_a_killed_producer_leaves_whole_records, open_rings,
                                        close_rings),
        cmocka_unit_test_setup_teardown(test_no_wake_up_is_missed, open_rings, close_rings),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
