/*
 * Starting a role: fork, descriptors to their fixed numbers, a clean environment, exec of the
 * same program.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "gateway/base/log.h"
#include "gateway/process/master.h"

enum { ENVIRONMENT_MAX = 32, ARGUMENTS_MAX = 8, FAR_FD = 64 };

/* The configuration may draw secrets from the environment: only the generation gets all of it.
 */
static const struct span kept_variables[] = {
    SPAN_INIT("PATH="),
    SPAN_INIT("LANG="),
    SPAN_INIT("TZ="),
    SPAN_INIT("ASAN_OPTIONS="),
    SPAN_INIT("UBSAN_OPTIONS="),
    SPAN_INIT("LSAN_OPTIONS="),
    SPAN_INIT("TSAN_OPTIONS="),
    SPAN_INIT("SALLYPORT_PROBE="),
};

static bool kept(const char *variable)
{
    for (size_t i = 0; i < ARRAY_LEN(kept_variables); i++)
        if (span_starts(span_text(variable), kept_variables[i]))
            return true;
    return false;
}

static void clean_environment(char *out[ENVIRONMENT_MAX])
{
    unsigned count = 0;
    for (char **variable = environ; *variable != NULL && count < ENVIRONMENT_MAX - 1;
         variable++)
        if (kept(*variable))
            out[count++] = *variable;
    out[count] = NULL;
}

/* First far away, so that no source is overwritten before its turn, then home; the rest is
 * closed by exec. */
static bool place_fds(int fds[ROLE_FD_END])
{
    for (int i = ROLE_FD_MASTER; i < ROLE_FD_END; i++) {
        if (fds[i] < 0)
            continue;
        fds[i] = fcntl(fds[i], F_DUPFD_CLOEXEC, FAR_FD);
        if (fds[i] < 0)
            return false;
    }
    for (int i = ROLE_FD_MASTER; i < ROLE_FD_END; i++) {
        if (fds[i] < 0)
            (void)close(i);
        else if (dup2(fds[i], i) != i)
            return false;
    }
    return true;
}

/* Until the role has its own: what is sent to the whole group is the master's to answer. */
static void calm_signals(void)
{
    static const int ignored[] = { SIGHUP, SIGINT, SIGTERM, SIGUSR1, SIGUSR2 };
    for (size_t i = 0; i < ARRAY_LEN(ignored); i++)
        (void)signal(ignored[i], SIG_IGN);
    sigset_t none;
    (void)sigemptyset(&none);
    (void)pthread_sigmask(SIG_SETMASK, &none, NULL);
}

static void become(const struct master *master, struct spawn *spawn) NORETURN;
static void become(const struct master *master, struct spawn *spawn)
{
    /* The recorder outlives the master for the moment that it takes to write what is left. */
    if (spawn->role != ROLE_RECORDER && !process_follow(master->pid, SIGKILL))
        _exit(1);
    calm_signals();
    if (!place_fds(spawn->fds))
        _exit(1);

    const char *argv[ARGUMENTS_MAX] = { "sallyport", "--role",
                                        process_table[spawn->role].name };
    for (unsigned i = 0; i < ARRAY_LEN(spawn->arguments) && spawn->arguments[i] != NULL; i++)
        argv[3 + i] = spawn->arguments[i];
    char *clean[ENVIRONMENT_MAX];
    clean_environment(clean);
    char **environment = spawn->role == ROLE_GENERATION ? environ : clean;

    /* By path, so that a reload takes up a new version; by what runs when the path is gone. */
    (void)execve(master->program, (char *const *)argv, environment);
    (void)execve("/proc/self/exe", (char *const *)argv, environment);
    log_error("cannot execute", F_TEXT("program", master->program), F_ERRNO(errno));
    _exit(1);
}

void spawn_clear(struct spawn *spawn, enum role role)
{
    *spawn = (struct spawn){ .role = role };
    for (size_t i = 0; i < ARRAY_LEN(spawn->fds); i++)
        spawn->fds[i] = -1;
}

int32_t spawn_role(const struct master *master, struct spawn *spawn, int *socket)
{
    int pair[2];
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) != 0)
        return -1;
    spawn->fds[ROLE_FD_MASTER] = pair[1];
    pid_t pid = fork();
    if (pid == 0)
        become(master, spawn);
    int reason = errno;
    (void)close(pair[1]);
    if (pid < 0 || fcntl(pair[0], F_SETFL, O_NONBLOCK) != 0) {
        (void)close(pair[0]);
        errno = reason;
        return -1;
    }
    *socket = pair[0];
    return pid;
}
