/*
 * Forbidden acts, for the tests that prove the sandbox. Not in release builds.
 */
#include "gateway/process/process.h"

#ifdef SALLYPORT_FAULTS

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "gateway/base/log.h"

static int act_open(void)
{
    return open("/etc/passwd", O_RDONLY | O_CLOEXEC);
}

static int act_create(void)
{
    return open("/tmp/sallyport-probe", O_RDWR | O_CREAT | O_CLOEXEC, 0600);
}

static int act_exec(void)
{
    char *const argv[] = { (char[]){ "true" }, NULL };
    return execv("/bin/true", argv);
}

static int act_fork(void)
{
    return (int)syscall(SYS_clone, SIGCHLD, 0, 0, 0, 0);
}

static int act_family(void)
{
    return socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, 0);
}

static int act_raw(void)
{
    return socket(AF_INET, SOCK_RAW | SOCK_CLOEXEC, IPPROTO_ICMP);
}

static int act_bind(void)
{
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    struct sockaddr_in any = { .sin_family = AF_INET };
    return bind(fd, (struct sockaddr *)&any, sizeof(any));
}

static int act_signal(void)
{
    return kill(getppid(), SIGURG);
}

static int act_ptrace(void)
{
    return (int)ptrace(PTRACE_ATTACH, getppid(), NULL, NULL);
}

static int act_code(void)
{
    void *page = mmap(NULL, 4096, PROT_READ | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    return page == MAP_FAILED ? -1 : 0;
}

static int act_root(void)
{
    return setuid(0);
}

/* For the watchdog and the crash handler. */
static int act_hang(void)
{
    const volatile bool never = false;
    while (!never)
        continue;
    return 0;
}

static int act_crash(void)
{
    return raise(SIGSEGV);
}

static const struct {
    struct span name;
    int (*act)(void);
} acts[] = {
    { SPAN_INIT("open"), act_open },     { SPAN_INIT("create"), act_create },
    { SPAN_INIT("exec"), act_exec },     { SPAN_INIT("fork"), act_fork },
    { SPAN_INIT("family"), act_family }, { SPAN_INIT("raw"), act_raw },
    { SPAN_INIT("bind"), act_bind },     { SPAN_INIT("signal"), act_signal },
    { SPAN_INIT("ptrace"), act_ptrace }, { SPAN_INIT("code"), act_code },
    { SPAN_INIT("root"), act_root },     { SPAN_INIT("hang"), act_hang },
    { SPAN_INIT("crash"), act_crash },
};

void sandbox_probe(enum role role)
{
    struct span rest = span_text(getenv("SALLYPORT_PROBE")), name;
    if (!span_cut(&rest, ':', &name) || !span_equal(name, span_text(process_table[role].name)))
        return;
    for (size_t i = 0; i < ARRAY_LEN(acts); i++) {
        if (!span_equal(acts[i].name, rest))
            continue;
        log_info("probe begins", F_SPAN("act", acts[i].name));
        errno = 0;
        int result = acts[i].act();
        log_info("probe ended", F_SPAN("act", acts[i].name),
                 F_TEXT("outcome", result < 0 ? "stopped" : "allowed"), F_ERRNO(errno));
    }
}

#endif
