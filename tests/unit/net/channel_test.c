/* Channels: back-pressure, and the many ways in which a connection ends. */
#include "gateway/net/channel.h"

#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "gateway/net/certs.h"
#include "tests/unit/net/tls_ends.h"
#include "tests/unit/plane/plane.h"

#include "tests/unit/check.h"

enum { MUCH = 6 << 20 };

static struct plane plane;
static char much[MUCH], got[MUCH];

/* A channel and what it was told. */
struct seen {
    struct channel channel;
    unsigned drained, broken;
    ssize_t last; /* what the last read said */
    size_t len;   /* in `got` */
    bool in_call; /* one of its functions is on the stack: nothing may be told */
};

static struct seen a, b;

static struct seen *seen_of(struct channel *channel)
{
    return CONTAINER(channel, struct seen, channel);
}

static void on_readable(struct channel *channel)
{
    struct seen *s = seen_of(channel);
    char *scratch = plane.worker.scratch;

    assert_false(s->in_call);
    s->last = channel_read(channel, scratch, SCRATCH_BYTES);
    for (ssize_t i = 0; i < s->last && s->len < MUCH; i++)
        got[s->len++] = scratch[i];
    if (s->last == 0)
        channel_reading(channel, false);
    if (s->last == CHANNEL_FAILED)
        channel_close(channel);
}

static void on_drained(struct channel *channel)
{
    assert_false(seen_of(channel)->in_call);
    seen_of(channel)->drained++;
}

static void on_broken(struct channel *channel)
{
    assert_false(seen_of(channel)->in_call);
    seen_of(channel)->broken++;
    channel_close(channel);
}

static const struct channel_events events = { on_readable, on_drained, on_broken };

static int open_plane(void **state)
{
    (void)state;
    plane_open(&plane, NULL);
    memset(&a, 0, sizeof a);
    memset(&b, 0, sizeof b);
    a.channel.watch.fd = b.channel.watch.fd = -1;
    for (size_t i = 0; i < MUCH; i++)
        much[i] = (char)(i * 2654435761u >> 13);
    return 0;
}

static int close_plane(void **state)
{
    (void)state;
    channel_close(&a.channel);
    channel_close(&b.channel);
    assert_int_equal(plane.worker.slabs.in_use, 0);
    assert_int_equal(plane.worker.corked_count, 0);
    plane_close(&plane);
    return 0;
}

/* The far end of a channel of ours. */
static int open_one(struct seen *s)
{
    int ends[2];

    plane_tcp(ends);
    assert_int_equal(channel_open(&s->channel, &plane.worker, ends[1], NULL, &events), OK);
    return ends[0];
}

static void put(struct seen *s, struct span bytes)
{
    s->in_call = true;
    channel_write(&s->channel, bytes);
    s->in_call = false;
}

static void flush(void)
{
    a.in_call = b.in_call = true;
    worker_flush(&plane.worker);
    a.in_call = b.in_call = false;
}

/* ---- back-pressure ---- */

static void what_the_kernel_does_not_take_waits(void **state)
{
    size_t heard = 0;

    (void)state;
    int far = open_one(&a);
    put(&a, span_of(much, MUCH));
    put(&a, SPAN("the end"));
    a.in_call = true;
    channel_shut(&a.channel); /* after what waits */
    a.in_call = false;
    assert_true(a.channel.unsent > 0);
    put(&a, SPAN("too late"));
    enum plane_over over = PLANE_OPEN;
    while (over == PLANE_OPEN) {
        struct span part = plane_hear(&plane, far, &over);
        size_t of_much = heard < MUCH ? MUCH - heard : 0;
        of_much = part.len < of_much ? part.len : of_much;
        assert_memory_equal(part.p, much + heard, of_much);
        heard += part.len;
    }
    assert_int_equal(over, PLANE_ENDED);
    assert_int_equal(heard, MUCH + 7);
    assert_int_equal(a.channel.unsent, 0);
    assert_int_equal(a.drained, 1);
    plane_hang_up(&far);
}

static void a_channel_without_memory_breaks(void **state)
{
    (void)state;
    int far = open_one(&a);
    plane.worker.slabs.limit = 4;
    put(&a, span_of(much, MUCH));
    assert_int_equal(a.broken, 0); /* told from the loop */
    plane_turns(&plane, 2);
    assert_int_equal(a.broken, 1);
    plane_hang_up(&far);
}

static void a_paused_reader_sleeps(void **state)
{
    (void)state;
    int far = open_one(&a);
    channel_reading(&a.channel, false);
    assert_true(plane_say(&plane, far, SPAN("unread")));
    assert_true(plane_busy(&plane, 40) < 10);
    assert_int_equal(a.len, 0);
    channel_reading(&a.channel, true);
    plane_turns(&plane, 1);
    assert_int_equal(a.len, 6);
    plane_hang_up(&far);
    plane_turns(&plane, 2);
    assert_int_equal(a.last, 0);
    assert_true(plane_busy(&plane, 40) < 10); /* an end that was seen wakes nobody */
}

/* ---- ends ---- */

static void a_reset_breaks_a_paused_reader(void **state)
{
    (void)state;
    int far = open_one(&a);
    channel_reading(&a.channel, false);
    plane_reset(&far);
    plane_turns(&plane, 1);
    assert_int_equal(a.broken, 1);
}

static void a_hang_up_waits_for_the_paused_reader(void **state)
{
    int ends[2];

    (void)state;
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, ends),
                     0);
    assert_int_equal(channel_open(&a.channel, &plane.worker, ends[1], NULL, &events), OK);
    channel_reading(&a.channel, false);
    assert_true(plane_say(&plane, ends[0], SPAN("goodbye")));
    plane_hang_up(&ends[0]);
    assert_true(plane_busy(&plane, 40) < 10);
    assert_int_equal(a.broken, 0);
    channel_reading(&a.channel, true);
    plane_turns(&plane, 2);
    assert_span(span_of(got, a.len), SPAN("goodbye"));
    assert_int_equal(a.last, 0);
    /* Whoever writes to it after all learns that it is gone. */
    put(&a, SPAN("hello?"));
    flush();
    plane_turns(&plane, 2);
    assert_int_equal(a.broken, 1);
}

static void writing_to_who_is_gone_is_told_by_the_loop(void **state)
{
    (void)state;
    int far = open_one(&a);
    plane_reset(&far);
    for (int i = 0; i < 3; i++) {
        put(&a, SPAN("hello?"));
        flush();
    }
    plane_turns(&plane, 2);
    assert_true(a.broken == 1 || a.last == CHANNEL_FAILED);
}

static void a_cut_is_visible(void **state)
{
    enum plane_over over;

    (void)state;
    int far = open_one(&a);
    channel_reset(&a.channel);
    (void)plane_hear(&plane, far, &over);
    assert_int_equal(over, PLANE_RESET);
    plane_hang_up(&far);
}

/* ---- connecting ---- */

static struct addr address_of(int listener)
{
    struct sockaddr_storage name = { 0 };
    socklen_t len = sizeof name;
    struct addr addr;

    assert_int_equal(getsockname(listener, (struct sockaddr *)&name, &len), 0);
    addr_from_sockaddr(&addr, (struct sockaddr *)&name);
    return addr;
}

static int listener_new(void)
{
    struct addr addr;
    struct sockaddr_storage name = { 0 };
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    assert_true(addr_parse(SPAN("127.0.0.1"), &addr));
    addr.port = 0;
    socklen_t len = addr_to_sockaddr(&addr, (struct sockaddr *)&name);
    assert_int_equal(bind(fd, (struct sockaddr *)&name, len), 0);
    assert_int_equal(listen(fd, 4), 0);
    return fd;
}

static void connecting_succeeds_or_breaks(void **state)
{
    (void)state;
    int listener = listener_new();
    struct addr addr = address_of(listener);
    assert_int_equal(channel_connect(&a.channel, &plane.worker, &addr, SPAN(""), NULL, &events),
                     OK);
    assert_int_equal(a.drained, 0);
    plane_turns(&plane, 2);
    assert_int_equal(a.drained, 1);
    (void)close(listener);
    enum err err = channel_connect(&b.channel, &plane.worker, &addr, SPAN(""), NULL, &events);
    plane_turns(&plane, 2);
    assert_true(err == ERR_CONNECT || b.broken == 1);

    char path[200];
    memset(path, 'x', sizeof path);
    addr = (struct addr){ .family = ADDR_UNIX };
    assert_int_equal(channel_connect(&b.channel, &plane.worker, &addr,
                                     span_of(path, sizeof path), NULL, &events),
                     ERR_CONNECT);
}

/* ---- TLS ---- */

static int connect_tls(struct tls_server *server, struct tls_client *client)
{
    int listener = listener_new();
    struct addr addr = address_of(listener);

    assert_int_equal(channel_connect(&a.channel, &plane.worker, &addr, SPAN(""),
                                     tls_connect(client, SPAN("a.example")), &events),
                     OK);
    int fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
    assert_true(fd >= 0);
    assert_int_equal(channel_open(&b.channel, &plane.worker, fd, tls_accept(server), &events),
                     OK);
    (void)close(listener);
    for (unsigned i = 0; i < 100 && a.drained + a.broken == 0; i++)
        plane_turns(&plane, 1);
    return fd;
}

static void records_carry_much_and_end_cleanly(void **state)
{
    (void)state;
    struct tls_server *server = server_new(true, NULL);
    struct tls_client *client = client_new("ca", NULL, NULL);
    (void)connect_tls(server, client);
    assert_int_equal(a.drained, 1);
    uint64_t sent = a.channel.sent;
    plane.worker.loop.clock.mono_ns += 60 * (uint64_t)1000000000; /* the turn is not long */
    put(&a, SPAN("short"));
    flush();
    put(&a, SPAN(" and sweet"));
    assert_int_equal(a.channel.sent, sent); /* no record of it before the turn is over */
    plane_turns(&plane, 3);
    assert_span(span_of(got, b.len), SPAN("short and sweet"));
    b.len = 0;
    channel_reading(&b.channel, false);
    put(&a, span_of(much, MUCH));
    channel_shut(&a.channel);
    assert_true(a.channel.unsent > 0);
    assert_true(plane_busy(&plane, 30) < 20);
    channel_reading(&b.channel, true);
    for (unsigned i = 0; i < 4000 && b.channel.reading; i++)
        plane_turns(&plane, 1);
    assert_int_equal(b.last, 0);
    assert_memory_equal(got, much, MUCH);
    channel_close(&a.channel);
    channel_close(&b.channel);
    tls_server_free(server);
    tls_client_free(client);
}

/* Without close_notify somebody may have cut it there. */
static void a_truncated_tls_stream_has_not_ended_well(void **state)
{
    (void)state;
    struct tls_server *server = server_new(true, NULL);
    struct tls_client *client = client_new("ca", NULL, NULL);
    int fd = connect_tls(server, client);
    assert_int_equal(a.drained, 1);
    assert_int_equal(shutdown(fd, SHUT_WR), 0);
    plane_turns(&plane, 3);
    assert_int_equal(a.last, CHANNEL_FAILED);
    channel_close(&a.channel);
    channel_close(&b.channel);
    tls_server_free(server);
    tls_client_free(client);
}

static void a_server_that_is_not_trusted_breaks_at_once(void **state)
{
    (void)state;
    struct tls_server *server = server_new(true, NULL);
    struct tls_client *client = client_new("other-ca", NULL, NULL);
    (void)connect_tls(server, client);
    assert_int_equal(a.drained, 0);
    assert_int_equal(a.broken, 1);
    channel_close(&b.channel);
    tls_server_free(server);
    tls_client_free(client);
}

#define CASE(fn) cmocka_unit_test_setup_teardown(fn, open_plane, close_plane)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(what_the_kernel_does_not_take_waits),
        CASE(a_channel_without_memory_breaks),
        CASE(a_paused_reader_sleeps),
        CASE(a_reset_breaks_a_paused_reader),
        CASE(a_hang_up_waits_for_the_paused_reader),
        CASE(writing_to_who_is_gone_is_told_by_the_loop),
        CASE(a_cut_is_visible),
        CASE(connecting_succeeds_or_breaks),
        CASE(records_carry_much_and_end_cleanly),
        CASE(a_truncated_tls_stream_has_not_ended_well),
        CASE(a_server_that_is_not_trusted_breaks_at_once),
    };
    return cmocka_run_group_tests(tests, ends_open, ends_close);
}
