/* Messages: what is well-formed arrives whole with its descriptors; anything else is refused
 * and leaks nothing. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <fcntl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "gateway/process/messages.h"

static int pair[2];

static int open_pair(void **state)
{
    (void)state;
    return socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair);
}

static int close_pair(void **state)
{
    (void)state;
    (void)close(pair[0]);
    (void)close(pair[1]);
    return 0;
}

/* The lowest free descriptor: the same before and after when nothing leaked. */
static int next_fd(void)
{
    int fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
    (void)close(fd);
    return fd;
}

static void send_raw(const void *bytes, size_t len, const int *fds, unsigned count)
{
    union {
        struct cmsghdr align;
        char bytes[CMSG_SPACE(8 * sizeof(int))];
    } control = { .bytes = { 0 } };
    struct iovec iov = { (void *)(uintptr_t)bytes, len };
    struct msghdr msg = { .msg_iov = &iov, .msg_iovlen = 1 };
    if (count > 0) {
        msg.msg_control = control.bytes;
        msg.msg_controllen = CMSG_SPACE(count * sizeof(int));
        struct cmsghdr *head = CMSG_FIRSTHDR(&msg);
        *head = (struct cmsghdr){ CMSG_LEN(count * sizeof(int)), SOL_SOCKET, SCM_RIGHTS };
        memcpy(CMSG_DATA(head), fds, count * sizeof(int));
    }
    assert_int_equal(sendmsg(pair[0], &msg, 0), (ssize_t)len);
}

static void test_round_trip(void **state)
{
    (void)state;
    struct message out = { .kind = MESSAGE_WORKER, .layout = 77, .number = 1ULL << 40 };
    memcpy(out.name, "slots", 6);
    int null = open("/dev/null", O_RDONLY | O_CLOEXEC);
    assert_int_equal(message_send(pair[0], &out, &null, 1), OK);

    struct message in;
    int fds[MESSAGE_FDS_MAX];
    unsigned count = 9;
    assert_int_equal(message_receive(pair[1], &in, fds, &count), OK);
    assert_memory_equal(&in, &out, sizeof(in));
    assert_int_equal(count, 1);
    assert_int_equal(fcntl(fds[0], F_GETFD), FD_CLOEXEC);
    (void)close(fds[0]);
    (void)close(null);
}

static void test_ends(void **state)
{
    (void)state;
    struct message in, out = { .kind = MESSAGE_STOP };
    int fds[MESSAGE_FDS_MAX];
    unsigned count;
    assert_int_equal(message_receive(pair[1], &in, fds, &count), ERR_BUSY);
    (void)close(pair[0]);
    assert_int_equal(message_receive(pair[1], &in, fds, &count), ERR_CLOSED);
    assert_int_equal(message_send(pair[1], &out, NULL, 0), ERR_CLOSED);
}

/* A receiver that reads nothing must not stall the sender. */
static void test_full(void **state)
{
    (void)state;
    struct message out = { .kind = MESSAGE_STOP };
    enum err err = OK;
    for (int i = 0; i < 100000 && err == OK; i++)
        err = message_send(pair[0], &out, NULL, 0);
    assert_int_equal(err, ERR_BUSY);
}

static void test_malformed(void **state)
{
    (void)state;
    const struct message good = { .kind = MESSAGE_BIND };
    struct message bad_kind = good, none = good, bad_name = good, bad_family = good,
                   refused = good;
    bad_kind.kind = MESSAGE_KINDS;
    none.kind = MESSAGE_NONE;
    memset(bad_name.name, 'a', sizeof(bad_name.name));
    bad_family.addr.family = ADDR_UNIX + 1;
    refused.kind = MESSAGE_REFUSED;
    char longer[sizeof(good) + 1];
    memset(longer, 0, sizeof(longer));
    memcpy(longer, &good, sizeof(good));

    const struct {
        const void *bytes;
        size_t len;
        unsigned fds;
    } cases[] = {
        { &bad_kind, sizeof(good), 0 },   { &none, sizeof(good), 0 },
        { &bad_name, sizeof(good), 0 },   { &bad_family, sizeof(good), 0 },
        { &good, sizeof(good) - 1, 0 },   { longer, sizeof(longer), 0 },
        { &good, sizeof(good), 1 },       { &good, sizeof(good), 5 },
        { &refused, sizeof(refused), 0 }, { &refused, sizeof(refused), 2 },
    };
    int null = open("/dev/null", O_RDONLY | O_CLOEXEC);
    int five[5] = { null, null, null, null, null };
    int before = next_fd();
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        send_raw(cases[i].bytes, cases[i].len, five, cases[i].fds);
        struct message in;
        int fds[MESSAGE_FDS_MAX];
        unsigned count = 9;
        assert_int_equal(message_receive(pair[1], &in, fds, &count), ERR_PROTOCOL);
        assert_int_equal(count, 0);
        assert_int_equal(next_fd(), before);
    }
    (void)close(null);
}

static void test_senders(void **state)
{
    (void)state;
    static const struct {
        enum message_kind kind;
        bool master, generation, worker, recorder, steward;
    } rows[] = {
        { MESSAGE_BIND, .generation = true },
        { MESSAGE_MEMORY, .generation = true },
        { MESSAGE_RECORDER, .generation = true },
        { MESSAGE_STEWARD, .generation = true },
        { MESSAGE_WRITTEN, .generation = true },
        { MESSAGE_LOADING, .generation = true },
        { MESSAGE_READY, .master = true, .generation = true },
        { MESSAGE_REFUSED, .generation = true },
        { MESSAGE_ANSWER, .master = true },
        { MESSAGE_RETIRE, .master = true },
        { MESSAGE_OUTCOME, .master = true },
        { MESSAGE_RELOAD, .generation = true, .steward = true },
        { MESSAGE_STOP, .steward = true },
        { MESSAGE_UPGRADE, .steward = true },
        { MESSAGE_WORKER, .master = true, .generation = true },
        { MESSAGE_WORKER_GONE, .master = true, .generation = true },
        { MESSAGE_NONE, .master = false },
    };
    assert_int_equal(ARRAY_LEN(rows), MESSAGE_KINDS);
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        assert_int_equal(message_allowed(rows[i].kind, ROLE_MASTER), rows[i].master);
        assert_int_equal(message_allowed(rows[i].kind, ROLE_GENERATION), rows[i].generation);
        assert_int_equal(message_allowed(rows[i].kind, ROLE_WORKER), rows[i].worker);
        assert_int_equal(message_allowed(rows[i].kind, ROLE_RECORDER), rows[i].recorder);
        assert_int_equal(message_allowed(rows[i].kind, ROLE_STEWARD), rows[i].steward);
    }
    assert_false(message_allowed(MESSAGE_KINDS, ROLE_GENERATION));
    assert_false(message_allowed(UINT32_MAX, ROLE_GENERATION));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_round_trip, open_pair, close_pair),
        cmocka_unit_test_setup_teardown(test_ends, open_pair, close_pair),
        cmocka_unit_test_setup_teardown(test_full, open_pair, close_pair),
        cmocka_unit_test_setup_teardown(test_malformed, open_pair, close_pair),
        cmocka_unit_test(test_senders),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
