/*
 * The master's state, shared by its files only. It is written by nobody but the master; what
 * comes in messages from generations and the steward is checked where it arrives.
 *
 *   master.c             argv, signals, reaping, stopping
 *   master_generation.c  generations: start, load, serve, retire, replace
 *   master_member.c      workers, as the master knows them
 *   master_service.c     recorder and steward
 *   master_listen.c      listening sockets
 *   master_memory.c      shared memory
 *   master_spawn.c       fork and exec
 *   master_upgrade.c     becoming another version of the program
 */
#ifndef SALLYPORT_MASTER_H
#define SALLYPORT_MASTER_H

#include <limits.h>

#include "gateway/net/loop.h"
#include "gateway/process/messages.h"
#include "gateway/store/slots.h"

enum {
    GENERATIONS_MAX =
        6,            /* one loading, one serving, two draining, and those on their way out */
    DRAINING_MAX = 2, /* a third reload cuts the oldest */
    LISTENING_MAX = 64,
    REGIONS_MAX = 128,
    LOAD_MS = 10 * 60 * 1000,  /* for all of it, but for the slow steps that it tells of */
    DRAIN_GRACE_MS = 5 * 1000, /* over a generation's own drain time, before it is killed */
    BACKOFF_MIN_MS = 10,
    BACKOFF_MAX_MS = 5 * 1000,
    STEADY_MS = 10 * 1000, /* who lived that long starts over with the shortest back-off */
};

#define REGION_BYTES_MAX ((uint64_t)4 << 30)

struct master;

enum generation_state {
    GENERATION_NONE,
    GENERATION_LOADING,
    GENERATION_SERVING,
    GENERATION_DRAINING,
    GENERATION_ENDING, /* refused: it exits by itself */
};

struct generation {
    struct watch watch; /* our end of its socket pair */
    struct timer deadline;
    struct master *master;
    enum generation_state state;
    uint32_t number;
    uint32_t cookie; /* of the steward's reload request that it answers; 0: none */
    int32_t pid;
    uint64_t drain_ms, served_ms; /* served_ms: since when, monotonic */
    int recorder_fd, steward_fd;  /* settings, applied once it serves; -1: none */
};

/* A worker: its generation's child, or ours when that has died. */
struct member {
    int32_t pid;     /* 0: none in this slot */
    uint32_t number; /* of its generation */
    bool orphan;     /* the generation is dead, the worker serves on until a successor does */
    bool told;       /* an orphan that was told to drain */
    int control_fd;  /* the steward's end of its control socket */
};

struct listening {
    int fd; /* -1: free */
    struct addr addr;
    uint32_t ordinal, flags, next_flags; /* next: as the loading generation wants it */
    char path[MESSAGE_NAME_BYTES];
    bool serving, loading; /* who wants it */
    bool lent;             /* by a service manager: its path is not ours to remove */
};

/* master_inherit.c: a socket that was open before us. */
enum { INHERITED_MAX = LISTENING_MAX };
struct inherited {
    int fd;
    struct addr addr;
    bool dual; /* of IPv6, and takes IPv4 too */
    char path[MESSAGE_NAME_BYTES];
};

struct region {
    int fd; /* -1: free */
    char name[MESSAGE_NAME_BYTES];
    uint32_t layout;
    uint64_t size;
    bool kept;             /* the core's own: for as long as the master lives */
    bool serving, loading; /* who wants it */
};

struct service {
    struct watch watch;
    struct timer restart;
    struct master *master;
    enum role role;
    int32_t pid;     /* 0: not running */
    int settings_fd; /* -1: not wanted */
    bool finishing;  /* told to, by the end of its socket */
    unsigned failures;
    uint64_t began_ms;
};

/* Of generations and services, to the next master: see master_upgrade.c. */
struct saved_generation {
    uint32_t state, number;
    int32_t pid, socket; /* socket -1: closed */
    uint64_t drain_ms;
};
struct saved_service {
    int32_t pid, socket, settings_fd;
    bool finishing;
};

/* Under way: a child of the new program looks whether it can take over. */
struct upgrade {
    int32_t pid;     /* 0: none */
    int socket;      /* our end of its pair, while there is one */
    uint32_t cookie; /* of the steward's request; 0: none */
    struct timer deadline;
};

struct master {
    struct loop loop;
    struct watch signals;
    const struct run_options *options;
    char program[PATH_MAX];
    int32_t pid;
    int exit_code;
    bool announced; /* the ready line has been printed */
    bool stopping, at_once;

    struct generation generations[GENERATIONS_MAX];
    uint32_t last_number;
    uint64_t last_drain_ms;
    bool reload_again; /* asked for while one was loading */
    uint32_t reload_cookie;
    unsigned failures; /* of generations in a row */
    struct timer successor, orphans_deadline, last_resort;

    struct member members[SLOTS_MAX];
    struct listening listening[LISTENING_MAX];
    struct inherited inherited[INHERITED_MAX];
    unsigned inherited_count;
    struct region regions[REGIONS_MAX];
    struct slots *slots;
    int slots_fd, seal_fd, kept_fd, wake_fd, written_fd;
    struct service recorder, steward;
    struct upgrade upgrade;
};

/* master.c */
void master_stop(struct master *master, bool at_once);
void master_finish_if_done(struct master *master);
/* Milliseconds before the next try after so many failures in a row. */
uint64_t backoff_ms(unsigned failures);

/* master_inherit.c: what LISTEN_FDS promises; before anything else is opened. */
void inherit_open(struct master *master);
/* A descriptor for that address; -1: nobody lends one. */
int inherit_find(const struct master *master, const struct message *message);

/* master_generation.c */
void generation_start(struct master *master);
void generation_reload(struct master *master, uint32_t cookie);
/* A new steward counts from one, and knows nobody who waits. */
void generation_forget_cookies(struct master *master);
bool generation_reaped(struct master *master, int32_t pid, int status);
void generations_stop(struct master *master);
bool generations_gone(const struct master *master);
bool generations_loading(const struct master *master);
void generations_save(const struct master *master,
                      struct saved_generation saved[GENERATIONS_MAX]);
void generations_adopt(struct master *master,
                       const struct saved_generation saved[GENERATIONS_MAX]);

/* master_member.c */
void member_add(struct master *master, uint32_t number, uint64_t slot, uint32_t pid, int fd);
void member_gone(struct master *master, uint32_t number, uint64_t slot);
bool member_reaped(struct master *master, int32_t pid);
/* The generation died: its workers are ours now. */
void members_adopt(struct master *master, uint32_t number);
/* Of that generation; 0: of every one. */
void members_drain_orphans(struct master *master, uint32_t number, bool at_once);
/* Those that were told, and had their time. */
void members_kill_told(struct master *master);
void members_tell(struct master *master);
bool members_gone(const struct master *master);

/* master_service.c */
void services_open(struct master *master);
void service_apply(struct service *service, int settings_fd);
void service_finish(struct service *service);
bool service_reaped(struct master *master, int32_t pid, int status);
void service_save(const struct service *service, struct saved_service *saved);
void service_adopt(struct service *service, const struct saved_service *saved);
/* Says how a reload ended: `diagnostics` -1 when it serves. */
void steward_outcome(struct master *master, uint32_t cookie, int diagnostics);
void steward_tell(struct master *master, const struct message *message, int fd);

/* master_listen.c */
int listen_bind(struct master *master, const struct message *message, int *fd); /* errno or 0 */
void listen_commit(struct master *master);   /* the loading generation serves now */
void listen_rollback(struct master *master); /* it was refused */
void listen_close_all(struct master *master);
int listen_find(const struct master *master,
                uint32_t flag); /* the serving one with it; -1: none */
void listen_write(const struct master *master,
                  struct text *out); /* " http=... https=... control=..." */

/* master_memory.c */
MUST_USE enum err memory_open(struct master *master);
int memory_get(struct master *master, const struct message *message, int *fd); /* errno or 0 */
int memory_find(const struct master *master,
                const char *name); /* of the serving generation, or -1 */
void memory_commit(struct master *master);
void memory_rollback(struct master *master);

/* master_upgrade.c */
void upgrade_begin(struct master *master, uint32_t cookie);
bool upgrade_reaped(struct master *master, int32_t pid, int status);
/* The memfd of a master that became us; -1: we are the first. */
int upgrade_inherited(void);
MUST_USE enum err upgrade_adopt(struct master *master, int fd);

/* master_spawn.c */
struct spawn {
    enum role role;
    const char *arguments[4]; /* behind `--role NAME`; NULL ends */
    int fds[ROLE_FD_END];     /* by enum role_fd; -1: none. The first three are not used */
};
/* The pid, and our end of the pair in `*socket` (non-blocking); -1 with errno. */
int32_t spawn_role(const struct master *master, struct spawn *spawn, int *socket);
void spawn_clear(struct spawn *spawn, enum role role);

#endif
