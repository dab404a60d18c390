/* Listening sockets in the master: kept by what the configuration says, closed when nobody
 * wants them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "gateway/process/master.h"

static struct master master;
static char folder[32], path[64];

static int set_up(void **state)
{
    (void)state;
    memset(&master, 0, sizeof(master));
    for (size_t i = 0; i < LISTENING_MAX; i++)
        master.listening[i].fd = -1;
    (void)snprintf(folder, sizeof(folder), "/tmp/listen-test-XXXXXX");
    if (mkdtemp(folder) == NULL)
        return -1;
    (void)snprintf(path, sizeof(path), "%s/control.sock", folder);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    listen_close_all(&master);
    (void)unlink(path);
    return rmdir(folder);
}

static struct message inet(const char *text, uint64_t flags, uint32_t ordinal)
{
    struct message message = { .kind = MESSAGE_BIND, .number = flags, .layout = ordinal };
    assert_true(addr_parse_port(span_text(text), &message.addr));
    return message;
}

static struct message unix_path(uint64_t flags)
{
    struct message message = { .kind = MESSAGE_BIND,
                               .number = flags,
                               .addr = { .family = ADDR_UNIX } };
    memcpy(message.name, path, strlen(path) + 1);
    return message;
}

static void lend(struct message message, struct sockaddr *name, socklen_t len)
{
    int fd = socket(name->sa_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_true(fd >= 0);
    assert_int_equal(bind(fd, name, len), 0);
    assert_int_equal(listen(fd, 1), 0);
    struct inherited *one = &master.inherited[master.inherited_count++];
    *one = (struct inherited){ .fd = fd, .addr = message.addr };
    memcpy(one->path, message.name, sizeof(one->path));
}

/* A socket that is lent is used, however often it is wanted, and stays when nobody wants it. */
static void test_lent(void **state)
{
    (void)state;
    struct sockaddr_un name = { .sun_family = AF_UNIX };
    memcpy(name.sun_path, path, strlen(path) + 1);
    struct message message = unix_path(0);
    lend(message, (struct sockaddr *)&name, sizeof(name));
    for (int i = 0; i < 2; i++) {
        int fd = -1, probe = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
        assert_int_equal(listen_bind(&master, &message, &fd), 0);
        assert_int_equal(connect(probe, (struct sockaddr *)&name, sizeof(name)), 0);
        int got = accept4(fd, NULL, NULL, SOCK_CLOEXEC);
        assert_true(got >= 0);
        (void)close(got);
        (void)close(probe);
        listen_commit(&master);
        listen_commit(&master); /* a configuration without it */
        assert_int_equal(access(path, F_OK), 0);
    }
    struct message other = unix_path(0);
    other.name[strlen(other.name) - 1] = 'x';
    assert_int_equal(inherit_find(&master, &other), -1);
    (void)close(master.inherited[0].fd);
}

/* LISTEN_FDS is believed when it is for us, and only as far as the descriptors are sockets. */
static void test_inherit(void **state)
{
    (void)state;
    char text[32];
    (void)setenv("LISTEN_FDS", "1", 1);
    (void)setenv("LISTEN_PID", "1", 1);
    inherit_open(&master);
    assert_int_equal(master.inherited_count, 0);
    assert_null(getenv("LISTEN_FDS"));

    pid_t child = fork();
    if (child == 0) {
        struct sockaddr_in6 name = { .sin6_family = AF_INET6,
                                     .sin6_addr = IN6ADDR_LOOPBACK_INIT };
        int fd = socket(AF_INET6, SOCK_STREAM, 0), file = open("/dev/null", O_RDONLY);
        bool good = bind(fd, (struct sockaddr *)&name, sizeof(name)) == 0 && listen(fd, 1) == 0;
        int far = fcntl(fd, F_DUPFD, 100), far_file = fcntl(file, F_DUPFD, 100);
        good = good && dup2(far, 3) == 3 && dup2(far_file, 4) == 4;
        (void)close(5);
        (void)snprintf(text, sizeof(text), "%d", (int)getpid());
        (void)setenv("LISTEN_PID", text, 1);
        (void)setenv("LISTEN_FDS", "3", 1);
        inherit_open(&master);
        const struct inherited *one = &master.inherited[0];
        good = good && master.inherited_count == 1 && one->addr.family == ADDR_V6 &&
               one->addr.port != 0 && fcntl(one->fd, F_GETFD) == FD_CLOEXEC &&
               (fcntl(one->fd, F_GETFL) & O_NONBLOCK) != 0 && fcntl(3, F_GETFD) < 0;
        _exit(good ? 0 : 1);
    }
    int status;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
}

static int bind_it(struct message message)
{
    int fd = -1;
    assert_int_equal(listen_bind(&master, &message, &fd), 0);
    assert_true(fd >= 0);
    return fd;
}

static void test_kept_over_a_reload(void **state)
{
    (void)state;
    int first = bind_it(inet("127.0.0.1:0", 0, 0));
    int second = bind_it(inet("127.0.0.1:0", 0, 1));
    assert_int_not_equal(first, second);
    listen_commit(&master);

    /* The next configuration keeps one, turns it to TLS, and drops the other. */
    assert_int_equal(bind_it(inet("127.0.0.1:0", BIND_TLS, 0)), first);
    listen_commit(&master);
    assert_int_equal(fcntl(second, F_GETFD), -1);
    char buffer[256];
    struct text line = text_fixed(buffer, sizeof(buffer));
    listen_write(&master, &line);
    assert_true(span_starts(text_span(&line), SPAN(" https=127.0.0.1:")));
    assert_int_equal(span_find(text_span(&line), SPAN("http=")), -1);
}

static void test_refused_configuration(void **state)
{
    (void)state;
    int kept = bind_it(inet("127.0.0.1:0", 0, 0));
    listen_commit(&master);
    assert_int_equal(bind_it(inet("127.0.0.1:0", BIND_TLS, 0)), kept);
    int dropped = bind_it(inet("127.0.0.1:0", 0, 1));
    listen_rollback(&master);
    assert_int_equal(fcntl(dropped, F_GETFD), -1);
    assert_int_not_equal(fcntl(kept, F_GETFD), -1);
    char buffer[256];
    struct text line = text_fixed(buffer, sizeof(buffer));
    listen_write(&master, &line);
    assert_true(span_starts(text_span(&line), SPAN(" http=")));
}

static void test_what_is_refused(void **state)
{
    (void)state;
    struct message nothing = { .kind = MESSAGE_BIND };
    struct message both = unix_path(0), flags = inet("127.0.0.1:0", 16, 0);
    both.addr = inet("127.0.0.1:0", 0, 0).addr;
    struct message no_path = { .kind = MESSAGE_BIND, .addr = { .family = ADDR_UNIX } };
    const struct message *bad[] = { &nothing, &both, &flags, &no_path };
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        int fd = -1;
        assert_int_equal(listen_bind(&master, bad[i], &fd), EINVAL);
        assert_int_equal(fd, -1);
    }
}

static void test_limit(void **state)
{
    (void)state;
    for (uint32_t i = 0; i < LISTENING_MAX; i++)
        (void)bind_it(inet("127.0.0.1:0", 0, i));
    struct message more = inet("127.0.0.1:0", 0, LISTENING_MAX);
    int fd = -1;
    assert_int_equal(listen_bind(&master, &more, &fd), ENOSPC);
}

static void test_taken_port(void **state)
{
    (void)state;
    struct sockaddr_storage name;
    socklen_t len = sizeof(name);
    int first = bind_it(inet("127.0.0.1:0", 0, 0));
    assert_int_equal(getsockname(first, (struct sockaddr *)&name, &len), 0);
    struct message again = inet("127.0.0.1:0", 0, 0);
    addr_from_sockaddr(&again.addr, (struct sockaddr *)&name);
    int fd = -1;
    assert_int_equal(listen_bind(&master, &again, &fd), EADDRINUSE);
}

static void test_control_socket(void **state)
{
    (void)state;
    struct stat info;
    int fd = bind_it(unix_path(BIND_CONTROL));
    assert_int_equal(stat(path, &info), 0);
    assert_int_equal(info.st_mode & 0777, 0600);
    assert_int_equal(listen_find(&master, BIND_CONTROL), -1); /* not before it serves */
    listen_commit(&master);
    assert_int_equal(listen_find(&master, BIND_CONTROL), fd);
    listen_commit(&master); /* a configuration without one */
    assert_int_equal(listen_find(&master, BIND_CONTROL), -1);
    assert_int_equal(stat(path, &info), -1);
}

static int left_behind(bool listens)
{
    struct sockaddr_un name = { .sun_family = AF_UNIX };
    memcpy(name.sun_path, path, strlen(path) + 1);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(fd, (struct sockaddr *)&name, sizeof(name)), 0);
    if (listens)
        assert_int_equal(listen(fd, 1), 0);
    return fd;
}

static void test_stale_and_live(void **state)
{
    (void)state;
    struct message message = unix_path(BIND_CONTROL);
    int fd = -1, other = left_behind(true);
    assert_int_equal(listen_bind(&master, &message, &fd), EADDRINUSE);
    (void)close(other);
    assert_int_equal(listen_bind(&master, &message, &fd), 0);
}

/* Neither a file nor a link is ever removed for a socket. */
static void test_other_files(void **state)
{
    (void)state;
    struct message message = unix_path(BIND_CONTROL);
    int fd = -1, file = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    (void)close(file);
    assert_int_equal(listen_bind(&master, &message, &fd), EEXIST);
    assert_int_equal(access(path, F_OK), 0);
    (void)unlink(path);
    assert_int_equal(symlink("/nowhere", path), 0);
    assert_int_equal(listen_bind(&master, &message, &fd), EEXIST);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_lent, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_inherit, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_kept_over_a_reload, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_refused_configuration, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_what_is_refused, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_limit, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_taken_port, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_control_socket, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_stale_and_live, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_other_files, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
