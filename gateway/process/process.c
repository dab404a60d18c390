/*
 * The table of processes, and what each does at its very beginning.
 */
#include "gateway/process/process.h"

#include <seccomp.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <unistd.h>

#include "gateway/base/log.h"

const struct process_row process_table[ROLE_COUNT] = {
    [ROLE_MASTER] = { .role = ROLE_MASTER,
                      .name = "master",
                      .lives = "for ever",
                      .purpose = "owns listening sockets and shared memory; starts, reaps and "
                                 "replaces the others",
                      .never = "parses network bytes or configuration",
                      .access = FILES_ALL,
                      .files = "all" },
    [ROLE_GENERATION] = { .role = ROLE_GENERATION,
                          .name = "generation",
                          .lives = "one per loaded configuration",
                          .purpose = "reads configuration, keys and rules; forks its workers "
                                     "and watches over them",
                          .never = "reads network bytes",
                          .access = FILES_ALL,
                          .files = "all" },
    [ROLE_WORKER] = { .role = ROLE_WORKER,
                      .name = "worker",
                      .lives = "with its generation",
                      .purpose = "serves: TLS, HTTP, inspection, upstreams",
                      .never = "opens a file, starts a process, binds a port",
                      .drops_user = true,
                      .filtered = true,
                      .access = FILES_NONE,
                      .files = "none" },
    [ROLE_RECORDER] = { .role = ROLE_RECORDER,
                        .name = "recorder",
                        .lives = "replaced by each generation",
                        .purpose =
                            "writes the audit records that workers leave in shared memory",
                        .never = "sees a secret or the network",
                        .drops_user = true,
                        .filtered = true,
                        .access = FILES_WRITE,
                        .files = "the audit file's folder, for writing" },
    [ROLE_STEWARD] = { .role = ROLE_STEWARD,
                       .name = "steward",
                       .lives = "replaced by each generation",
                       .purpose = "control socket; publishes watched and fetched lists to the "
                                  "workers; "
                                  "checks the health of servers, asks for the names that "
                                  "they are found by, and for those of crawlers; gets and "
                                  "renews certificates",
                       .never = "is in the way of a request",
                       .drops_user = true,
                       .filtered = true,
                       .access = FILES_READ,
                       .files = "folders of watched lists, for reading; `acme.folder`, for "
                                "writing; databases that were opened before" },
};

#define W (1u << ROLE_WORKER)
#define R (1u << ROLE_RECORDER)
#define S (1u << ROLE_STEWARD)
const struct syscall_row syscall_table[] = {
#define SYSCALL(name, roles, why) { #name, why, SCMP_SYS(name), (roles) },
#include "gateway/process/syscalls.def"
#undef SYSCALL
    { .name = NULL },
};
#undef W
#undef R
#undef S

enum role process_find(struct span name)
{
    for (int role = 0; role < ROLE_COUNT; role++)
        if (span_equal(name, span_text(process_table[role].name)))
            return (enum role)role;
    return ROLE_COUNT;
}

static void write_processes(struct text *out)
{
    text_lit(out, "| process | lives | does | never | user | files | system calls |\n"
                  "|---|---|---|---|---|---|---|\n");
    for (int role = 0; role < ROLE_COUNT; role++) {
        const struct process_row *row = &process_table[role];
        unsigned calls = 0;
        for (const struct syscall_row *call = syscall_table; call->name != NULL; call++)
            calls += (call->roles >> role) & 1;
        text_format(out, "| `%s` | %s | %s | %s | %s | %s | ", row->name, row->lives,
                    row->purpose, row->never,
                    row->drops_user ? "`server.user`, no capabilities" : "as started",
                    row->files);
        if (row->filtered)
            text_format(out, "%u |\n", calls);
        else
            text_lit(out, "not filtered |\n");
    }
}

void process_write_markdown(struct text *out)
{
    write_processes(out);
    text_lit(out,
             "\n| system call | worker | recorder | steward | for |\n|---|---|---|---|---|\n");
    for (const struct syscall_row *call = syscall_table; call->name != NULL; call++) {
        text_format(out, "| `%s` |", call->name);
        for (int role = ROLE_WORKER; role <= ROLE_STEWARD; role++)
            text_add(out, (call->roles >> role) & 1 ? SPAN(" yes |") : SPAN(" |"));
        text_format(out, " %s |\n", call->why);
    }
}

void process_resume(enum role role)
{
    const char *name = process_table[role].name;

    log_open(name, LOG_INFO);
    (void)prctl(PR_SET_NAME, name);
}

void process_open(enum role role)
{
    process_resume(role);

    sigset_t none;
    INVARIANT(sigemptyset(&none) == 0);
    INVARIANT(pthread_sigmask(SIG_SETMASK, &none, NULL) == 0);
    static const int group_signals[] = { SIGPIPE, SIGHUP, SIGINT, SIGTERM, SIGUSR1, SIGUSR2 };
    for (size_t i = 0; i < ARRAY_LEN(group_signals); i++)
        (void)signal(group_signals[i], SIG_IGN);
    (void)signal(SIGCHLD, SIG_DFL);
#ifndef SALLYPORT_FAULTS
    if (role == ROLE_GENERATION) { /* keys and secrets of the configuration are in memory */
        const struct rlimit nothing = { 0, 0 };
        (void)setrlimit(RLIMIT_CORE, &nothing);
        (void)prctl(PR_SET_DUMPABLE, 0);
    }
#endif
}

bool process_follow(int32_t parent, int signal)
{
    (void)prctl(PR_SET_PDEATHSIG, signal);
    return getppid() == parent;
}
