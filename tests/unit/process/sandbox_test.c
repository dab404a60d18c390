/*
 * The sandbox, proved: in a child per role and act, what the role must not do does not work,
 * and what it needs does. A forbidden act ends in an error or, in checked builds, in SIGSYS.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "gateway/process/process.h"

enum { DONE = 0, STOPPED = 10, NOT_ENTERED = 20 };

static char folder[] = "/tmp/sandbox-test-XXXXXX";
static const char *paths[] = { folder, NULL };

struct act {
    const char *name;
    bool (*works)(void);
};

static bool opened(const char *path, int flags)
{
    int fd = open(path, flags | O_CLOEXEC, 0600);
    return fd >= 0;
}

static bool open_other(void)
{
    return opened("/etc/passwd", O_RDONLY);
}

static bool open_own(void)
{
    char path[64];
    (void)snprintf(path, sizeof(path), "%s/file", folder);
    return opened(path, O_RDONLY);
}

static bool append_own(void)
{
    char path[64];
    (void)snprintf(path, sizeof(path), "%s/file", folder);
    return opened(path, O_WRONLY | O_APPEND);
}

static bool create_own(void)
{
    char path[64];
    (void)snprintf(path, sizeof(path), "%s/new", folder);
    bool ok = opened(path, O_WRONLY | O_CREAT);
    return ok;
}

static bool run_program(void)
{
    char *const argv[] = { (char[]){ "true" }, NULL };
    (void)execv("/bin/true", argv);
    return false; /* it exits 0, which counts as having worked, when it does run */
}

static bool fork_child(void)
{
    return syscall(SYS_clone, SIGCHLD, 0, 0, 0, 0) >= 0;
}

static bool new_thread_namespace(void)
{
    return syscall(SYS_unshare, 0x10000000 /* CLONE_NEWUSER */) == 0;
}

static bool trace_parent(void)
{
    return ptrace(PTRACE_ATTACH, getppid(), NULL, NULL) == 0;
}

static bool signal_parent(void)
{
    return kill(getppid(), SIGURG) == 0;
}

static bool netlink(void)
{
    return socket(AF_NETLINK, SOCK_RAW, 0) >= 0;
}

static bool datagram(void)
{
    return socket(AF_INET, SOCK_DGRAM, 0) >= 0;
}

static bool stream_socket(void)
{
    return socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0) >= 0 &&
           socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0) >= 0;
}

static bool bind_port(void)
{
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    struct sockaddr_in any = { .sin_family = AF_INET };
    return fd >= 0 && bind(fd, (struct sockaddr *)&any, sizeof(any)) == 0;
}

static bool executable_page(void)
{
    return mmap(NULL, 4096, PROT_READ | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) !=
           MAP_FAILED;
}

static bool page_turned_executable(void)
{
    void *page = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    return page != MAP_FAILED && mprotect(page, 4096, PROT_READ | PROT_EXEC) == 0;
}

static bool memory(void)
{
    void *big = malloc((size_t)64 << 20);
    bool ok = big != NULL;
    free(big);
    return ok;
}

static bool become_root(void)
{
    return setuid(0) == 0;
}

static const struct act acts[] = {
    { "open another file", open_other },
    { "open in own folder", open_own },
    { "append in own folder", append_own },
    { "create in own folder", create_own },
    { "exec", run_program },
    { "fork", fork_child },
    { "unshare", new_thread_namespace },
    { "ptrace", trace_parent },
    { "signal the parent", signal_parent },
    { "netlink socket", netlink },
    { "datagram socket", datagram },
    { "stream socket", stream_socket },
    { "bind a port", bind_port },
    { "executable page", executable_page },
    { "page turned executable", page_turned_executable },
    { "malloc", memory },
    { "setuid", become_root },
};

/* What each role may do, of the above. */
static const struct {
    enum role role;
    const char *may[5];
} roles[] = {
    { ROLE_WORKER, { "stream socket", "malloc" } },
    { ROLE_RECORDER,
      { "open in own folder", "append in own folder", "create in own folder", "malloc" } },
    { ROLE_STEWARD, { "open in own folder", "datagram socket", "stream socket", "malloc" } },
};

/* Runs `act` in a child with its sandbox closed; true: the act worked. */
static bool works_inside(const struct sandbox *sandbox, bool (*act)(void))
{
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        if (sandbox_enter(sandbox) != OK)
            _exit(NOT_ENTERED);
        _exit(act() ? DONE : STOPPED);
    }
    int status;
    assert_int_equal(waitpid(child, &status, 0), child);
    if (WIFSIGNALED(status)) {
        assert_int_equal(WTERMSIG(status), SIGSYS);
        return false;
    }
    assert_int_not_equal(WEXITSTATUS(status), NOT_ENTERED);
    return WEXITSTATUS(status) == DONE;
}

static bool listed(const char *const *may, const char *name)
{
    for (; *may != NULL; may++)
        if (strcmp(*may, name) == 0)
            return true;
    return false;
}

static void test_acts(void **state)
{
    (void)state;
    for (size_t r = 0; r < ARRAY_LEN(roles); r++) {
        struct sandbox sandbox = { .role = roles[r].role, .paths = paths };
        for (size_t i = 0; i < ARRAY_LEN(acts); i++) {
            bool worked = works_inside(&sandbox, acts[i].works);
            if (worked != listed(roles[r].may, acts[i].name))
                fail_msg("%s: %s %s", process_table[roles[r].role].name, acts[i].name,
                         worked ? "worked" : "was stopped");
        }
    }
}

/* The same acts work outside: otherwise the tests above would prove nothing. */
static void test_acts_outside(void **state)
{
    (void)state;
    static const char *const must[] = { "open another file", "exec",        "netlink socket",
                                        "datagram socket",   "bind a port", "executable page",
                                        "signal the parent" };
    (void)signal(SIGURG, SIG_IGN);
    for (size_t i = 0; i < ARRAY_LEN(acts); i++) {
        bool wanted = false;
        for (size_t m = 0; m < ARRAY_LEN(must); m++)
            wanted = wanted || strcmp(must[m], acts[i].name) == 0;
        if (!wanted)
            continue;
        pid_t child = fork();
        if (child == 0)
            _exit(acts[i].works() ? DONE : STOPPED);
        int status;
        assert_int_equal(waitpid(child, &status, 0), child);
        assert_true(WIFEXITED(status));
        assert_int_equal(WEXITSTATUS(status), DONE);
    }
}

/* Landlock by itself, without the filter of system calls. */
static void test_files_alone(void **state)
{
    (void)state;
    if (sandbox_landlock_abi() == 0)
        skip();
    pid_t child = fork();
    if (child == 0) {
        struct sandbox sandbox = { .role = ROLE_STEWARD, .paths = paths };
        if (sandbox_drop(&sandbox) != OK)
            _exit(NOT_ENTERED);
        bool stopped = !open_other() && errno == EACCES && !append_own() && errno == EACCES;
        _exit(stopped && open_own() ? DONE : STOPPED);
    }
    int status;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
}

/* 0: not yet running; 1: running; 2: to try now. */
static void *thread_tries(void *go)
{
    __atomic_store_n((int *)go, 1, __ATOMIC_RELEASE);
    while (__atomic_load_n((int *)go, __ATOMIC_ACQUIRE) != 2)
        (void)sched_yield();
    return opened("/etc/passwd", O_RDONLY) ? go : NULL;
}

static int thread_go;

/* Threads of before the sandbox are in it too. */
static void test_threads(void **state)
{
    (void)state;
    pid_t child = fork();
    if (child == 0) {
        pthread_t thread;
        void *result = NULL;
        struct sandbox sandbox = { .role = ROLE_WORKER };
        if (pthread_create(&thread, NULL, thread_tries, &thread_go) != 0)
            _exit(NOT_ENTERED);
        while (__atomic_load_n(&thread_go, __ATOMIC_ACQUIRE) != 1)
            (void)sched_yield();
        if (sandbox_enter(&sandbox) != OK)
            _exit(NOT_ENTERED);
        __atomic_store_n(&thread_go, 2, __ATOMIC_RELEASE);
        (void)pthread_join(thread, &result);
        _exit(result != NULL ? DONE : STOPPED);
    }
    int status;
    assert_int_equal(waitpid(child, &status, 0), child);
    if (WIFSIGNALED(status))
        assert_int_equal(WTERMSIG(status), SIGSYS);
    else
        assert_int_equal(WEXITSTATUS(status), STOPPED);
}

static bool is_nobody(void)
{
    return getuid() == 65534 && geteuid() == 65534 && getgid() != 0 && setuid(0) != 0;
}

static void test_user(void **state)
{
    (void)state;
    if (geteuid() != 0)
        skip();
    /* Off: the calls of the test itself are not filtered, the user is changed all the same. */
    struct sandbox sandbox = { .role = ROLE_WORKER, .user = "nobody", .off = true };
    assert_true(works_inside(&sandbox, is_nobody));
    sandbox.role = ROLE_GENERATION;
    assert_false(works_inside(&sandbox, is_nobody));
}

static void test_unknown_user(void **state)
{
    (void)state;
    if (geteuid() != 0)
        skip();
    pid_t child = fork();
    if (child == 0) {
        struct sandbox sandbox = { .role = ROLE_WORKER, .user = "no-such-user", .off = true };
        _exit(sandbox_enter(&sandbox) == ERR_UNKNOWN ? DONE : NOT_ENTERED);
    }
    int status;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
}

static bool follows(void)
{
    int armed = 0;
    return prctl(PR_GET_PDEATHSIG, &armed) == 0 && armed == SIGURG;
}

/* A change of user must not cut the tie to the parent. */
static void test_parent_death_stays_armed(void **state)
{
    (void)state;
    struct sandbox sandbox = { .role = ROLE_WORKER, .user = "nobody", .off = true };
    pid_t self = getpid();
    pid_t child = fork();
    if (child == 0) {
        if (!process_follow(self, SIGURG) || sandbox_enter(&sandbox) != OK)
            _exit(NOT_ENTERED);
        _exit(follows() ? DONE : STOPPED);
    }
    int status;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
}

static bool privileges_gone(void)
{
    return prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) == 1 &&
           prctl(PR_CAPBSET_READ, 0 /* CAP_CHOWN */) <= 0 && open_other() &&
           chown("/", 1, 1) != 0;
}

static void test_privileges(void **state)
{
    (void)state;
    if (geteuid() != 0)
        skip();
    struct sandbox sandbox = { .role = ROLE_WORKER, .off = true };
    assert_true(works_inside(&sandbox, privileges_gone));
}

static int make_folder(void **state)
{
    (void)state;
    if (mkdtemp(folder) == NULL)
        return -1;
    char path[64];
    (void)snprintf(path, sizeof(path), "%s/file", folder);
    int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    return fd < 0 ? -1 : close(fd);
}

static int remove_folder(void **state)
{
    (void)state;
    static const char *const names[] = { "file", "new" };
    for (size_t i = 0; i < ARRAY_LEN(names); i++) {
        char path[64];
        (void)snprintf(path, sizeof(path), "%s/%s", folder, names[i]);
        (void)unlink(path);
    }
    return rmdir(folder);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_acts),
        cmocka_unit_test(test_acts_outside),
        cmocka_unit_test(test_files_alone),
        cmocka_unit_test(test_threads),
        cmocka_unit_test(test_user),
        cmocka_unit_test(test_unknown_user),
        cmocka_unit_test(test_parent_death_stays_armed),
        cmocka_unit_test(test_privileges),
    };
    return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
