/* Accepting on real sockets, and the caps per address with several workers' rows. */
#include "gateway/net/listener.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

/* ---- caps ---- */

static struct addr addr_of(const char *text)
{
    struct addr addr;
    assert_true(addr_parse(span_text(text), &addr));
    return addr;
}

static struct peer_counts *counts_new(void)
{
    struct peer_counts *counts = calloc(1, sizeof(*counts));
    assert_non_null(counts);
    return counts;
}

static struct peer_cap cap_of(struct peer_counts *counts, unsigned row, unsigned per_address)
{
    return (struct peer_cap){ counts, { 1, 2 }, row, per_address };
}

static void test_cap_over_rows(void **state)
{
    (void)state;
    struct peer_counts *counts = counts_new();
    struct peer_cap caps[] = { cap_of(counts, 0, 5), cap_of(counts, 1, 5),
                               cap_of(counts, PEER_WORKERS - 1, 5) };
    struct addr a = addr_of("192.0.2.1");
    struct addr b = addr_of("192.0.2.2");
    for (size_t i = 0; i < 3; i++)
        peer_cap_open(&caps[i]);
    for (size_t i = 0; i < 5; i++)
        assert_true(peer_cap_enter(&caps[i % 3], &a));
    for (size_t i = 0; i < 3; i++)
        assert_false(peer_cap_enter(&caps[i], &a)); /* limit + 1, from any worker */
    assert_true(peer_cap_enter(&caps[0], &b));
    peer_cap_leave(&caps[1], &a);
    assert_true(peer_cap_enter(&caps[2], &a));
    assert_false(peer_cap_enter(&caps[0], &a));

    /* Worker 2 died with two connections of `a` (rows 0 and 1 hold three): its successor clears
     * them. */
    peer_cap_open(&caps[2]);
    assert_true(peer_cap_enter(&caps[0], &a));
    assert_true(peer_cap_enter(&caps[0], &a));
    assert_false(peer_cap_enter(&caps[0], &a));
    free(counts);
}

static void test_cap_counts_networks(void **state)
{
    (void)state;
    static const struct {
        const char *first, *second;
        bool same;
    } rows[] = {
        { "192.0.2.1", "192.0.2.1", true },
        { "192.0.2.1", "192.0.2.3", false },
        { "2001:db8::1", "2001:db8::ffff:1", true },
        { "2001:db8:0:1::1", "2001:db8:0:2::1", false },
        { "::ffff:192.0.2.1", "192.0.2.1", true },
        { "c000:201::", "192.0.2.1", false }, /* the same first bytes, another family */
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct peer_counts *counts = counts_new();
        struct peer_cap cap = cap_of(counts, 3, 1);
        struct addr first = addr_of(rows[i].first);
        struct addr second = addr_of(rows[i].second);
        second.port = 4711;
        assert_true(peer_cap_enter(&cap, &first));
        assert_int_equal(peer_cap_enter(&cap, &second), !rows[i].same);
        free(counts);
    }
}

static void test_cap_edges(void **state)
{
    (void)state;
    struct peer_counts *counts = counts_new();
    struct addr a = addr_of("192.0.2.1");
    struct addr local = { .family = ADDR_UNIX };
    struct peer_cap off = cap_of(counts, 0, 0);
    struct peer_cap none = cap_of(NULL, 0, 1);
    struct peer_cap one = cap_of(counts, 0, 1);
    struct peer_cap many = cap_of(counts, 0, 100000);
    peer_cap_open(&none);
    for (int i = 0; i < 3; i++) {
        assert_true(peer_cap_enter(&off, &a));
        assert_true(peer_cap_enter(&none, &a));
        assert_true(peer_cap_enter(&one, &local));
    }
    peer_cap_leave(&one, &a); /* below zero it stays zero */
    assert_true(peer_cap_enter(&one, &a));
    assert_false(peer_cap_enter(&one, &a));
    peer_cap_leave(&one, &a);
    for (int i = 0; i < UINT16_MAX; i++)
        assert_true(peer_cap_enter(&many, &a));
    assert_false(peer_cap_enter(&many, &a)); /* no wrap to zero */
    free(counts);
}

/* ---- accepting ---- */

enum { FDS = 64 };

static struct worker worker;
static struct listener listener;
static struct sockaddr_in here;
static int listen_fd;
static int taken[FDS], clients[FDS];
static size_t taken_count, client_count;
static struct addr last_peer;
static bool close_at_accept;

static void on_accepted(struct listener *from, int fd, const struct addr *peer)
{
    assert_ptr_equal(from, &listener);
    assert_true(taken_count < FDS);
    taken[taken_count++] = fd;
    last_peer = *peer;
    if (close_at_accept)
        listener_close(&listener);
}

static int open_listener(void **state)
{
    (void)state;
    memset(&listener, 0, sizeof(listener));
    taken_count = client_count = 0;
    close_at_accept = false;
    here = (struct sockaddr_in){ .sin_family = AF_INET,
                                 .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    socklen_t len = sizeof(here);
    listen_fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    assert_true(listen_fd >= 0);
    assert_int_equal(bind(listen_fd, (struct sockaddr *)&here, len), 0);
    assert_int_equal(listen(listen_fd, FDS), 0);
    assert_int_equal(getsockname(listen_fd, (struct sockaddr *)&here, &len), 0);
    assert_int_equal(loop_init(&worker.loop), OK);
    listener.accepted = on_accepted;
    assert_int_equal(listener_open(&listener, &worker, listen_fd), OK);
    return 0;
}

static int close_listener(void **state)
{
    (void)state;
    for (size_t i = 0; i < taken_count; i++)
        (void)close(taken[i]);
    for (size_t i = 0; i < client_count; i++)
        (void)close(clients[i]);
    listener_close(&listener);
    listener_close(&listener);
    assert_int_equal(worker.loop.timers, 0);
    loop_close(&worker.loop);
    assert_int_equal(close(listen_fd), 0); /* it was left open */
    return 0;
}

static void connect_some(size_t count)
{
    for (size_t i = 0; i < count; i++) {
        int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
        assert_true(fd >= 0);
        assert_int_equal(connect(fd, (struct sockaddr *)&here, sizeof(here)), 0);
        clients[client_count++] = fd;
    }
}

static void test_accepts_in_batches(void **state)
{
    (void)state;
    connect_some(LISTENER_BATCH + 3);
    loop_turn(&worker.loop, 1000);
    assert_int_equal(taken_count, LISTENER_BATCH);
    loop_turn(&worker.loop, 1000);
    assert_int_equal(taken_count, LISTENER_BATCH + 3);

    struct sockaddr_in client;
    socklen_t len = sizeof(client);
    assert_int_equal(getsockname(clients[client_count - 1], (struct sockaddr *)&client, &len),
                     0);
    assert_int_equal(last_peer.family, ADDR_V4);
    assert_int_equal(last_peer.port, ntohs(client.sin_port));
    int on = 0;
    len = sizeof(on);
    assert_int_equal(getsockopt(taken[0], IPPROTO_TCP, TCP_NODELAY, &on, &len), 0);
    assert_int_not_equal(on, 0);
    assert_true(fcntl(taken[0], F_GETFL) & O_NONBLOCK);
    assert_true(fcntl(taken[0], F_GETFD) & FD_CLOEXEC);
}

static void test_may_be_closed_while_accepting(void **state)
{
    (void)state;
    close_at_accept = true;
    connect_some(3);
    loop_turn(&worker.loop, 1000);
    loop_turn(&worker.loop, 0);
    assert_int_equal(taken_count, 1);
}

static void test_pauses_without_descriptors(void **state)
{
    (void)state;
    connect_some(3);
    struct rlimit before, none;
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &before), 0);
    int next = dup(listen_fd);
    assert_int_equal(close(next), 0);
    none = before;
    none.rlim_cur = (rlim_t)next;
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &none), 0);

    loop_turn(&worker.loop, 1000);
    assert_int_equal(taken_count, 0);
    assert_int_equal(listener.watch.fd, -1);
    uint64_t turns = worker.loop.turns;
    uint64_t until = clock_ms(&worker.loop.clock) + LISTENER_PAUSE_MS * 3;
    while (clock_ms(&worker.loop.clock) < until)
        loop_turn(&worker.loop, 50);
    assert_in_range(worker.loop.turns - turns, 1, 20); /* it tried again, and did not spin */

    assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);
    for (int i = 0; i < 20 && taken_count < 3; i++)
        loop_turn(&worker.loop, 100);
    assert_int_equal(taken_count, 3);
}

static void test_refuses_a_bad_descriptor(void **state)
{
    (void)state;
    struct listener bad = { .accepted = on_accepted };
    assert_int_equal(listener_open(&bad, &worker, -1), ERR_SYSTEM);
    listener_close(&bad);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define LISTENER_TEST(fn) cmocka_unit_test_setup_teardown(fn, open_listener, close_listener)
        cmocka_unit_test(test_cap_over_rows),
        cmocka_unit_test(test_cap_counts_networks),
        cmocka_unit_test(test_cap_edges),
        LISTENER_TEST(test_accepts_in_batches),
        LISTENER_TEST(test_may_be_closed_while_accepting),
        LISTENER_TEST(test_pauses_without_descriptors),
        LISTENER_TEST(test_refuses_a_bad_descriptor),
    };
    return cmocka_run_group_tests_name("listener", tests, NULL, NULL);
}
