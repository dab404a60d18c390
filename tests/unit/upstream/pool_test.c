/* Kept connections, the choice of a server, and ejection. */
#include "gateway/upstream/pool.h"

#include <unistd.h>

#include "gateway/net/certs.h"
#include "tests/unit/plane/plane.h"

#include "tests/unit/check.h"

enum { MINUTE = 60 * 1000 };

static struct plane plane;
static struct exchange *nobody; /* the pool only hands it on */

static int open_plane(void **state)
{
    (void)state;
    plane_open(&plane, NULL);
    return 0;
}

static int close_plane(void **state)
{
    (void)state;
    plane_close(&plane);
    return 0;
}

static struct upstream_local *local(void)
{
    return plane.worker.upstreams;
}

static struct server_local *choose(uint64_t tried)
{
    static const struct pick none;
    return balance_choose(local(), tried, &none);
}

static struct server_local *server(unsigned i)
{
    return &local()->servers[i];
}

static bool ready;

static void on_drained(struct channel *channel)
{
    (void)channel;
    ready = true;
}

static void unexpected(struct channel *channel)
{
    (void)channel;
    fail_msg("an event that nobody caused");
}

static const struct channel_events events = { unexpected, on_drained, unexpected };

static struct server_conn *connect_one(unsigned i, int *far)
{
    ready = false;
    struct server_conn *conn = pool_connect(server(i), nobody, &events);
    assert_non_null(conn);
    *far = plane_accept(&plane, i);
    plane_turns(&plane, 1);
    assert_true(ready && *far >= 0);
    return conn;
}

static void the_connection_kept_last_is_taken_first(void **state)
{
    struct server_conn *conns[3];
    int fars[3];

    (void)state;
    for (unsigned i = 0; i < 3; i++)
        conns[i] = connect_one(0, &fars[i]);
    assert_int_equal(server(0)->active, 3);
    assert_null(pool_take(server(0), nobody));
    for (unsigned i = 0; i < 3; i++)
        pool_keep(conns[i]);
    assert_int_equal(server(0)->active, 0);
    assert_int_equal(server(0)->idle_count, 3);
    for (unsigned i = 3; i-- > 0;)
        assert_ptr_equal(pool_take(server(0), nobody), conns[i]);
    for (unsigned i = 0; i < 3; i++) {
        pool_close(conns[i]);
        plane_hang_up(&fars[i]);
    }
}

static void only_so_many_are_kept_and_none_that_is_spent(void **state)
{
    struct server_conn *conns[4];
    int fars[4];

    (void)state;
    plane.upstream.keepalive = 2;
    for (unsigned i = 0; i < 4; i++)
        conns[i] = connect_one(0, &fars[i]);
    for (unsigned i = 0; i < 3; i++)
        pool_keep(conns[i]);
    assert_int_equal(server(0)->idle_count, 2);
    assert_int_equal(server(0)->active, 1);
    upstreams_drain(&plane.worker);
    assert_int_equal(server(0)->idle_count, 0);
    conns[3]->channel.eof = true; /* upstream has ended it */
    pool_keep(conns[3]);
    assert_int_equal(server(0)->idle_count, 0);
    for (unsigned i = 0; i < 4; i++)
        plane_hang_up(&fars[i]);

    conns[0] = connect_one(0, &fars[0]);
    plane.worker.draining = true;
    pool_keep(conns[0]);
    assert_int_equal(server(0)->idle_count + server(0)->active, 0);
    plane_hang_up(&fars[0]);
}

/* Bytes that nobody asked for would be taken for the next request's answer. */
static void an_idle_connection_that_speaks_or_ends_is_dropped(void **state)
{
    (void)state;
    for (int how = 0; how < 3; how++) {
        int far;
        struct server_conn *conn = connect_one(0, &far);
        pool_keep(conn);
        assert_int_equal(server(0)->idle_count, 1);
        if (how == 0)
            assert_true(plane_say(&plane, far, SPAN("HTTP/1.1 200 OK\r\n\r\n")));
        else if (how == 1)
            plane_hang_up(&far);
        else
            conn->timer.fire(&conn->timer); /* it has been idle for too long */
        plane_turns(&plane, 2);
        assert_int_equal(server(0)->idle_count, 0);
        assert_int_equal(server(0)->active, 0);
        plane_hang_up(&far);
    }
}

static void a_connection_without_tls_is_given_back_unopened(void **state)
{
    static char memory[1 << 20];
    static char long_name[300];
    struct arena arena;
    struct span why;
    struct tls_client_conf conf = { .verify = false, .profile = TLS_INTERMEDIATE };

    (void)state;
    arena_init(&arena, memory, sizeof memory, NULL, 0);
    plane.upstream.tls = tls_client_new(&conf, &arena, &why);
    assert_non_null(plane.upstream.tls);
    memset(long_name, 'a', sizeof long_name);
    plane.upstream.tls_name = span_of(long_name, sizeof long_name);
    assert_null(pool_connect(server(0), nobody, &events));
    assert_int_equal(server(0)->active, 0);
    assert_int_not_equal(access("/proc/self/fd/0", F_OK), -1); /* nobody closed it */
    tls_client_free(plane.upstream.tls);
    plane.upstream.tls = NULL;
}

static void weights_share_exactly_and_smoothly(void **state)
{
    unsigned got[PLANE_SERVERS] = { 0 };
    char order[16] = "";

    (void)state;
    plane_servers(&plane, 3, 0);
    plane.servers[0].weight = 5;
    for (unsigned i = 0; i < 70; i++) {
        unsigned which = (unsigned)(choose(0) - local()->servers);
        got[which]++;
        if (i < 7)
            order[i] = (char)('a' + which);
    }
    assert_int_equal(got[0], 50);
    assert_int_equal(got[1], 10);
    assert_int_equal(got[2], 10);
    assert_string_equal(order, "aabacaa"); /* not all of the heavy one first */
}

static void the_least_loaded_for_its_weight_is_chosen(void **state)
{
    (void)state;
    plane_servers(&plane, 3, 0);
    plane.upstream.balance = BALANCE_LEAST_CONN;
    plane.servers[0].weight = 4;
    server(0)->active = 3;
    server(1)->active = 1;
    server(2)->active = 2;
    assert_ptr_equal(choose(0), server(0));
    assert_ptr_equal(choose(1), server(1));
    assert_ptr_equal(choose(3), server(2));
    assert_null(choose(7));
    server(0)->active = server(1)->active = server(2)->active = 0;
    unsigned seen = 0;
    for (unsigned i = 0; i < 6; i++) /* equals by turns */
        seen |= 1u << (choose(0) - local()->servers);
    assert_int_equal(seen, 7);
}

static void a_server_that_fails_is_left_out_for_longer_and_longer(void **state)
{
    uint64_t last = 0;

    (void)state;
    plane_servers(&plane, 2, 0);
    plane.upstream.passive_fails = 2;
    plane.upstream.passive_for.ms = MINUTE;
    uint64_t now = clock_ms(&plane.worker.loop.clock);
    server_failed(server(0));
    assert_int_equal(server(0)->ejected_until_ms, 0);
    server_succeeded(server(0)); /* in a row only */
    server_failed(server(0));
    assert_int_equal(server(0)->ejected_until_ms, 0);
    for (unsigned i = 0; i < 14; i++) {
        server_failed(server(0));
        server_failed(server(0));
        uint64_t window = server(0)->ejected_until_ms - now;
        assert_true(window >= last && window <= (uint64_t)MINUTE << EJECTIONS_MAX);
        last = window;
    }
    for (unsigned i = 0; i < 4; i++)
        assert_ptr_equal(choose(0), server(1));
    assert_ptr_equal(choose(2), server(0)); /* better than none */
    server_failed(server(1));
    server_failed(server(1));
    assert_non_null(choose(0));
    assert_null(choose(3));

    plane.upstream.passive_fails = 0; /* off */
    plane_servers(&plane, 1, 0);
    for (unsigned i = 0; i < 10; i++)
        server_failed(server(0));
    assert_int_equal(server(0)->ejected_until_ms, 0);
}

static void the_only_server_is_chosen_once(void **state)
{
    (void)state;
    assert_ptr_equal(choose(0), server(0));
    assert_null(choose(1));
}

#define CASE(fn) cmocka_unit_test_setup_teardown(fn, open_plane, close_plane)

int main(void)
{
    return RUN(CASE(the_connection_kept_last_is_taken_first),
               CASE(only_so_many_are_kept_and_none_that_is_spent),
               CASE(an_idle_connection_that_speaks_or_ends_is_dropped),
               CASE(a_connection_without_tls_is_given_back_unopened),
               CASE(weights_share_exactly_and_smoothly),
               CASE(the_least_loaded_for_its_weight_is_chosen),
               CASE(a_server_that_fails_is_left_out_for_longer_and_longer),
               CASE(the_only_server_is_chosen_once));
}
