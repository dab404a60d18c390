/* Records of connections: a bounded rate, and the sum of what was left out. */
#include "gateway/connection_log.h"

#include <stdlib.h>

#include "gateway/audit/ring.h"
#include "gateway/store/slots.h"
#include "tests/unit/plane/plane.h"

#include "tests/unit/check.h"

static struct plane plane;
static struct rings *rings;
static struct ring_writer writer;
static uint64_t cursor;

static int open_plane(void **state)
{
    (void)state;
    plane_open(&plane, NULL);
    rings = calloc(1, sizeof *rings);
    assert_non_null(rings);
    writer = (struct ring_writer){ .rings = rings, .ring = &rings->ring[0], .wake_fd = -1 };
    plane.worker.ring = &writer;
    plane.config.audit.on = true;
    plane.config.audit.record = AUDIT_BLOCKED;
    cursor = 0;
    return 0;
}

static int close_plane(void **state)
{
    (void)state;
    connection_log_flush(&plane.worker);
    plane_close(&plane);
    free(rings);
    return 0;
}

/* The next record holds this. */
static bool next_has(const char *text)
{
    static char scratch[RECORD_BYTES_MAX];
    struct ring_record record;

    return ring_peek(writer.ring, &cursor, &record, scratch) && span_has(record.line, text);
}

static bool none_left(void)
{
    static char scratch[RECORD_BYTES_MAX];
    struct ring_record record;

    return !ring_peek(writer.ring, &cursor, &record, scratch);
}

static void fail_one(enum connection_kind kind)
{
    struct connection_fault fault = { .kind = kind, .reason = "tls-failed", .detail = "why" };

    connection_log(&plane.worker, &fault);
}

static void a_second_has_so_many_records(void **state)
{
    (void)state;
    for (unsigned i = 0; i < CONNECTION_RECORDS_PER_S + 5; i++)
        fail_one(CONNECTION_TLS_FAILED);
    for (unsigned i = 0; i < CONNECTION_RECORDS_PER_S; i++)
        assert_true(next_has("\"detail\":\"why\""));
    assert_true(none_left());
    assert_int_equal(plane.shared.counters.tls_failures, CONNECTION_RECORDS_PER_S + 5);
    assert_int_equal(plane.shared.counters.connection_records_suppressed, 5);
    plane_sleep(&plane, 1100);
    assert_true(next_has("\"reason\":\"suppressed\""));
    assert_true(none_left());
    fail_one(CONNECTION_REFUSED);
    assert_true(next_has("\"detail\":\"why\""));
    assert_int_equal(plane.shared.counters.connections_refused, 1);
}

static void the_next_record_tells_what_was_left_out(void **state)
{
    (void)state;
    for (unsigned i = 0; i < CONNECTION_RECORDS_PER_S + 2; i++)
        fail_one(CONNECTION_TLS_FAILED);
    for (unsigned i = 0; i < CONNECTION_RECORDS_PER_S; i++)
        assert_false(next_has("suppressed"));
    connection_log_flush(&plane.worker); /* the worker goes */
    assert_true(next_has("\"suppressed\":2"));
    connection_log_flush(&plane.worker);
    assert_true(none_left());
}

static void what_nobody_selected_is_only_counted(void **state)
{
    (void)state;
    plane.config.audit.record = AUDIT_DETECTED;
    fail_one(CONNECTION_TLS_FAILED);
    plane.config.audit.record = AUDIT_BLOCKED;
    plane.config.audit.on = false;
    fail_one(CONNECTION_TLS_FAILED);
    assert_true(none_left());
    assert_int_equal(plane.shared.counters.tls_failures, 2);
}

#define CASE(fn) cmocka_unit_test_setup_teardown(fn, open_plane, close_plane)

int main(void)
{
    return RUN(CASE(a_second_has_so_many_records),
               CASE(the_next_record_tells_what_was_left_out),
               CASE(what_nobody_selected_is_only_counted));
}
