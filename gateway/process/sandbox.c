/*
 * What a role gives up before it serves: the user, all capabilities, new privileges, files,
 * system calls.
 *
 * Each layer stands alone, since any may be missing: landlock in old kernels, the user switch
 * without root. A layer that the kernel has and that then fails stops the role. Debug builds
 * kill at a forbidden call, so that tests see it; release builds answer EPERM, so that a
 * library's odd call costs a request and not a worker.
 */
#include "gateway/process/sandbox.h"

#include <errno.h>
#include <grp.h>
#include <linux/capability.h>
#include <pwd.h>
#include <seccomp.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "gateway/base/log.h"
#include "gateway/base/poison.h"

#ifdef POISON_ON
#include <sanitizer/common_interface_defs.h>
#endif

/* ---- user and capabilities ---- */

enum { PASSWD_BYTES = 16 * 1024, CAPABILITIES_MAX = 64 };

/* Roots of no use: what exec of a set-user-ID file could give back is gone too. Needs the
 * capabilities still. */
static void drop_bounding(void)
{
    for (int capability = 0; capability < CAPABILITIES_MAX; capability++) {
        if (prctl(PR_CAPBSET_READ, capability) < 0)
            break;
        (void)prctl(PR_CAPBSET_DROP, capability);
    }
    (void)prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0);
}

static enum err drop_capabilities(void)
{
    struct __user_cap_header_struct head = { .version = _LINUX_CAPABILITY_VERSION_3 };
    struct __user_cap_data_struct none[_LINUX_CAPABILITY_U32S_3] = { { .effective = 0 } };
    if (syscall(SYS_capset, &head, none) != 0) {
        log_error("cannot give up capabilities", F_ERRNO(errno));
        return ERR_PERMISSION;
    }
    return OK;
}

static enum err switch_user(const char *name)
{
    char buffer[PASSWD_BYTES];
    struct passwd entry, *found = NULL;
    int failed = getpwnam_r(name, &entry, buffer, sizeof(buffer), &found);
    if (found == NULL) {
        log_error("server.user is not a user of this system", F_TEXT("user", name),
                  F_ERRNO(failed));
        return ERR_UNKNOWN;
    }
    if (initgroups(entry.pw_name, entry.pw_gid) != 0 ||
        setresgid(entry.pw_gid, entry.pw_gid, entry.pw_gid) != 0 ||
        setresuid(entry.pw_uid, entry.pw_uid, entry.pw_uid) != 0) {
        log_error("cannot become server.user", F_TEXT("user", name), F_ERRNO(errno));
        return ERR_PERMISSION;
    }
    /* A switch that can be undone is none. */
    if (entry.pw_uid != 0 && (setuid(0) == 0 || setgid(0) == 0 || geteuid() != entry.pw_uid)) {
        log_error("the way back to root is open", F_TEXT("user", name));
        return ERR_PERMISSION;
    }
    return OK;
}

static enum err drop_privileges(const struct sandbox *sandbox)
{
    int signal_at_death = 0;
    (void)prctl(PR_GET_PDEATHSIG, &signal_at_death);
    pid_t parent = getppid();

    drop_bounding();
    if (process_table[sandbox->role].drops_user && sandbox->user != NULL && geteuid() == 0)
        TRY(switch_user(sandbox->user));
    TRY(drop_capabilities());

    /* A change of user disarms the signal, and the parent may have died meanwhile. */
    if (signal_at_death != 0 && !process_follow(parent, signal_at_death))
        return ERR_CLOSED;
#ifndef SALLYPORT_FAULTS
    struct rlimit none = { 0, 0 };
    (void)setrlimit(RLIMIT_CORE, &none);
    (void)prctl(PR_SET_DUMPABLE, 0); /* keys of TLS and of records are in memory */
#endif
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0) {
        log_error("cannot set no_new_privs", F_ERRNO(errno));
        return ERR_PERMISSION;
    }
    return OK;
}

enum err sandbox_drop(const struct sandbox *sandbox)
{
    TRY(drop_privileges(sandbox));
    if (sandbox->off || process_table[sandbox->role].access == FILES_ALL)
        return OK;
    return landlock_enter(sandbox);
}

/* ---- system calls ---- */

struct narrow {
    struct scmp_arg_cmp args[2];
    int number;
    unsigned count;
    unsigned roles; /* bits by enum role; 0: all */
};

#define STREAM_SOCKET(family)                                                                  \
    {                                                                                          \
        { { 0, SCMP_CMP_EQ, (family), 0 }, { 1, SCMP_CMP_MASKED_EQ, 0xf, SOCK_STREAM } },      \
            SCMP_SYS(socket), 2, 0                                                             \
    }

/* Questions to name servers. */
#define DATAGRAM_SOCKET(family)                                                                \
    {                                                                                          \
        { { 0, SCMP_CMP_EQ, (family), 0 }, { 1, SCMP_CMP_MASKED_EQ, 0xf, SOCK_DGRAM } },       \
            SCMP_SYS(socket), 2, 1u << ROLE_STEWARD                                            \
    }

/* A call of syscall_table that is listed here is allowed only with one of these sets of
 * arguments. */
static const struct narrow narrow_table[] = {
    /* No page is ever writable and then executable: there is nowhere to put code. */
    { { { 2, SCMP_CMP_MASKED_EQ, PROT_EXEC, 0 } }, SCMP_SYS(mmap), 1, 0 },
    { { { 2, SCMP_CMP_MASKED_EQ, PROT_EXEC, 0 } }, SCMP_SYS(mprotect), 1, 0 },
    STREAM_SOCKET(AF_UNIX),
    STREAM_SOCKET(AF_INET),
    STREAM_SOCKET(AF_INET6),
    DATAGRAM_SOCKET(AF_INET),
    DATAGRAM_SOCKET(AF_INET6),
    { { { 1, SCMP_CMP_EQ, 0, 0 } }, SCMP_SYS(kill), 1, 0 },
};

static int allow_call(scmp_filter_ctx filter, const struct syscall_row *row, enum role role)
{
    if (row->number == SCMP_SYS(tgkill))
        return seccomp_rule_add(filter, SCMP_ACT_ALLOW, row->number, 1,
                                SCMP_A0(SCMP_CMP_EQ, (scmp_datum_t)getpid(), 0));
    bool narrowed = false;
    for (size_t i = 0; i < ARRAY_LEN(narrow_table); i++) {
        const struct narrow *narrow = &narrow_table[i];
        if (narrow->number != row->number)
            continue;
        narrowed = true;
        if (narrow->roles != 0 && (narrow->roles >> role & 1) == 0)
            continue;
        int failed = seccomp_rule_add_array(filter, SCMP_ACT_ALLOW, row->number, narrow->count,
                                            narrow->args);
        if (failed != 0)
            return failed;
    }
    return narrowed ? 0 : seccomp_rule_add(filter, SCMP_ACT_ALLOW, row->number, 0);
}

#ifdef POISON_ON
/* What the address sanitizer tries while it reports: refused, but not killed, or there is no
 * report. */
static int spare_sanitizer(scmp_filter_ctx filter, enum role role)
{
    static const int calls[] = {
        SCMP_SYS(open),
        SCMP_SYS(openat),
        SCMP_SYS(readlink),
        SCMP_SYS(pipe2),
        SCMP_SYS(clone),
        SCMP_SYS(fork),
        SCMP_SYS(execve),
        SCMP_SYS(prctl),
        SCMP_SYS(sched_getaffinity),
        SCMP_SYS(prlimit64),
        SCMP_SYS(process_vm_readv),
    };
    for (size_t i = 0; i < ARRAY_LEN(calls); i++) {
        bool allowed = false;
        for (const struct syscall_row *row = syscall_table; row->name != NULL; row++)
            allowed = allowed || (row->number == calls[i] && ((row->roles >> role) & 1) != 0);
        if (allowed || calls[i] < 0)
            continue;
        int failed = seccomp_rule_add(filter, SCMP_ACT_ERRNO(EPERM), calls[i], 0);
        if (failed != 0)
            return failed;
    }
    return 0;
}
#else
static int spare_sanitizer(scmp_filter_ctx filter, enum role role)
{
    (void)filter, (void)role;
    return 0;
}
#endif

static int fill_filter(scmp_filter_ctx filter, enum role role)
{
    int failed = seccomp_attr_set(filter, SCMP_FLTATR_CTL_TSYNC, 1);
    if (failed != 0)
        return failed;
    (void)seccomp_attr_set(filter, SCMP_FLTATR_CTL_OPTIMIZE, 2); /* a tree, not a chain */
    (void)seccomp_attr_set(filter, SCMP_FLTATR_CTL_LOG, 1);
    for (const struct syscall_row *row = syscall_table; row->name != NULL; row++) {
        if (((row->roles >> role) & 1) == 0 || row->number < 0)
            continue;
        failed = allow_call(filter, row, role);
        if (failed != 0)
            return failed;
    }
    failed = spare_sanitizer(filter, role);
    return failed != 0 ? failed : seccomp_load(filter);
}

enum err sandbox_filter(const struct sandbox *sandbox)
{
    if (sandbox->off || !process_table[sandbox->role].filtered)
        return OK;
#ifdef POISON_ON
    __sanitizer_sandbox_arguments nothing = { .coverage_sandboxed = 0 };
    __sanitizer_sandbox_on_notify(&nothing);
#endif
#ifdef SALLYPORT_FAULTS
    uint32_t otherwise = SCMP_ACT_KILL_PROCESS;
#else
    uint32_t otherwise = SCMP_ACT_ERRNO(EPERM);
#endif
    scmp_filter_ctx filter = seccomp_init(otherwise);
    int failed = filter != NULL ? fill_filter(filter, sandbox->role) : -ENOMEM;
    if (filter != NULL)
        seccomp_release(filter);
    if (failed != 0) {
        log_error("cannot filter system calls; `server.sandbox: off` goes without",
                  F_ERRNO(-failed));
        return ERR_SYSTEM;
    }
    return OK;
}

enum err sandbox_enter(const struct sandbox *sandbox)
{
    TRY(sandbox_drop(sandbox));
    return sandbox_filter(sandbox);
}
