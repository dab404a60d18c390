/*
 * The processes of Sallyport, as one table: who each is, how it starts, what it may do. The
 * sandbox is made from the row; SECURITY.md prints the same rows.
 */
#ifndef SALLYPORT_PROCESS_H
#define SALLYPORT_PROCESS_H

#include <signal.h>

#include "gateway/base/text.h"

enum role {
    ROLE_MASTER,
    ROLE_GENERATION,
    ROLE_WORKER,
    ROLE_RECORDER,
    ROLE_STEWARD,
    ROLE_COUNT
};

/* One system call and who may make it. */
struct syscall_row {
    const char *name, *why;
    int number;     /* negative: not on this architecture */
    unsigned roles; /* bits by enum role */
};
extern const struct syscall_row syscall_table[]; /* ends with name NULL */

/* What landlock leaves open below the sandbox's paths. */
enum file_access { FILES_ALL, FILES_NONE, FILES_READ, FILES_WRITE };

struct process_row {
    enum role role;
    const char *name, *purpose, *never;
    const char *lives;       /* from when to when */
    bool drops_user;         /* to server.user, when started as root */
    bool filtered;           /* seccomp: only the rows of syscall_table */
    enum file_access access; /* landlock */
    const char *files;       /* the same in words */
};
extern const struct process_row process_table[ROLE_COUNT];

/* Name of the role to enum; ROLE_COUNT: unknown. */
enum role process_find(struct span name);
/* Both tables in Markdown, as SECURITY.md has them. */
void process_write_markdown(struct text *out);

/* How a service ends that asks to be started anew at once, with the rights it has dropped. */
enum { EXIT_AGAIN = 75 };

/*
 * Descriptors of an exec'd role. 3 is its socket pair to the master; its end means that the
 * role is to finish. What a role does not have is closed.
 */
enum role_fd {
    ROLE_FD_MASTER = 3,
    ROLE_FD_SETTINGS = 4,  /* recorder, steward: sealed memfd, gateway/process/settings.h */
    ROLE_FD_CONTROL = 5,   /* steward: listening control socket */
    ROLE_FD_RINGS = 6,     /* recorder, steward: memfd, struct rings */
    ROLE_FD_WAKE = 7,      /* recorder: eventfd */
    ROLE_FD_SLOTS = 8,     /* steward: memfd, struct slots */
    ROLE_FD_SEAL = 9,      /* recorder: memfd, struct seal_memory */
    ROLE_FD_WRITTEN = 10,  /* recorder: eventfd */
    ROLE_FD_BANS = 11,     /* steward: memfd, gateway/store/bans.h; none without bans */
    ROLE_FD_SERVERS = 12,  /* steward: memfd, gateway/upstream/health.h */
    ROLE_FD_QUOTAS = 13,   /* steward: memfd of the quotas' cells; none without limits */
    ROLE_FD_METERS = 14,   /* steward: memfd, gateway/chain/meter.h */
    ROLE_FD_METRICS = 15,  /* steward: listening socket; none without server.metrics */
    ROLE_FD_KEPT = 16,     /* steward: memfd, struct kept of gateway/process/settings.h */
    ROLE_FD_LOCKOUT = 17,  /* steward: memfd, auth/lockout.h; none without login */
    ROLE_FD_SESSIONS = 18, /* steward: memfd, auth/session.h; none without sessions */
    ROLE_FD_NAMES = 19,    /* steward: memfd, struct names_kept of upstream/discovery.h */
    ROLE_FD_FEEDS = 20,    /* steward: memfd, geoip/feedkept.h; none without such lists */
    ROLE_FD_BOTS = 21,     /* steward: memfd, auth/bots/memory.h; none without bots */
    ROLE_FD_END
};

/*
 * To a worker, from its generation or from the master when that is dead: drain, or cut what is
 * left and exit. Signals that nobody else sends; a worker ignores SIGTERM, which service
 * managers send to a whole group.
 */
#define WORKER_DRAIN (SIGRTMIN)
#define WORKER_CUT (SIGRTMIN + 1)

/* Command line of `run`. */
struct run_options {
    const char *config_path; /* NULL with `protect` */
    const char *protect;     /* URL of --protect */
    bool watch;              /* reload when a file of the configuration changes */
};

int master_run(const struct run_options *options);
/* In a child of the program that an upgrade leads to: 0 when it can take over. */
int upgrade_check(void);
/* Entry point of the exec'd roles: the arguments behind `--role`. */
int role_main(int argc, char **argv);
/* argv: number of the generation, "-c" or "--protect", its value. */
int generation_main(int argc, char **argv);
int recorder_main(void);
int steward_main(void);

/*
 * What every process does first: name, log, signals that terminals and service managers send to
 * a whole group ignored (the master alone decides), none blocked.
 */
void process_open(enum role role);
/* The same for a master that is executed anew: signals stay as they are, and none is lost. */
void process_resume(enum role role);
/* Arms the signal that comes when the parent dies; false when `parent` is no longer the parent.
 */
MUST_USE bool process_follow(int32_t parent, int signal);

/* For a role that serves: user, capabilities, no_new_privs, landlock, seccomp. Once, at the end
 * of set-up. */
struct sandbox {
    enum role role;
    const char *user; /* NULL: keep */
    const char *const
        *paths; /* that stay open for writing (recorder) or reading (steward); NULL ends */
    const char *written; /* one more, for writing; NULL: none */
    bool off;
};
/* Both halves. */
MUST_USE enum err sandbox_enter(const struct sandbox *sandbox);
/* User, capabilities, no_new_privs, landlock: before threads are started, for they are per
 * thread. */
MUST_USE enum err sandbox_drop(const struct sandbox *sandbox);
/* seccomp, for all threads at once. */
MUST_USE enum err sandbox_filter(const struct sandbox *sandbox);
/* Whether the kernel has landlock: its ABI, 0 for none. For `doctor` and `status`. */
int sandbox_landlock_abi(void);

#ifdef SALLYPORT_FAULTS
/*
 * Tests of the sandbox: SALLYPORT_PROBE="ROLE:ACT" makes that role try what it must not, right
 * after it closed its sandbox, and log how it ended.
 */
void sandbox_probe(enum role role);
#else
static inline void sandbox_probe(enum role role)
{
    (void)role;
}
#endif

#endif
