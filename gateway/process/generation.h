/*
 * The state of a generation, shared by its files only.
 *
 *   generation.c           load, bind, announce, retire
 *   generation_ask.c       requests to the master
 *   generation_crew.c      its workers: fork, reap, watch
 *   generation_settings.c  what recorder and steward are told
 *   generation_names.c     what names of upstreams stand for
 *   generation_feeds.c     what fetched lists held last
 *   generation_certs.c     certificates that were got before
 */
#ifndef SALLYPORT_GENERATION_H
#define SALLYPORT_GENERATION_H

#include "conf/watch.h"
#include "gateway/audit/ring.h"
#include "gateway/load.h"
#include "gateway/net/certs.h"
#include "gateway/net/listener.h"
#include "gateway/process/messages.h"
#include "gateway/process/worker.h"
#include "gateway/store/slots.h"

enum {
    CREW_MAX = SLOTS_MAX / 2, /* so that the next generation finds slots beside this one */
    MAPPINGS_MAX = 128,
    TICK_MS = 1000,
    STUCK_TICKS = 10,      /* without a heartbeat: SIGABRT */
    STUCK_KILL_TICKS = 12, /* and then SIGKILL */
    REFORK_MIN_MS = 10,
    REFORK_MAX_MS = 5 * 1000,
    STEADY_WORKER_MS =
        10 * 1000, /* who lived that long starts over with the shortest back-off */
};

struct home;

/* One place for a worker: filled again when the worker dies. */
struct crew {
    struct home *home;
    struct timer refork;
    int32_t pid; /* 0: nobody now */
    unsigned slot, ring_slot;
    bool serving;
    unsigned failures;
    uint64_t began_ms, heartbeat_ms;
    unsigned still; /* ticks without a new heartbeat */
};

struct mapping {
    const char *name;
    uint32_t layout;
    size_t size;
    void *p;
};

struct home {
    struct loop loop;
    struct watch master, signals, report;
    struct timer tick, deadline;
    uint32_t number;
    int32_t pid, master_pid;
    const char *source; /* configuration's path, or the URL to protect */
    bool protect;
    bool watches; /* --watch */
    struct yaml_watch files;
    uint64_t files_told, files_last; /* states: reloaded for; seen at the last look */

    struct arena arena;
    struct diags diags;
    struct config *config;
    struct slots *slots;
    struct rings *rings; /* NULL: audit is off */
    struct meters *meters;
    struct peer_counts *peers;
    struct ticket_keys *tickets;
    struct mapping mappings[MAPPINGS_MAX];
    unsigned mapping_count;
    int wake_fd, written_fd; /* eventfds: to the recorder, and from it */
    int listen_fds[LISTEN_MAX];
    struct span *list_blocks;

    int retire_fd, retire_read_fd, report_write_fd;
    struct crew crew[CREW_MAX];
    unsigned crew_count;
    bool ready, retiring, cut;
};

/* generation.c: the configuration is bad; tells why, and exits. */
void refuse(struct home *home, struct span why) NORETURN;

/* generation_ask.c: ends the process when the master is gone. */
/* errno or 0; a descriptor in `*fd` when there is one, else -1. */
int ask(struct home *home, const struct message *message, const int *fds, unsigned count,
        int *fd);
void tell(struct home *home, const struct message *message, const int *fds, unsigned count);
/* Zeroed at birth, shared by all generations; NULL with errno. */
void *ask_memory(struct home *home, struct span name, uint32_t layout, size_t size);
/* As struct load has it: complains on failure. */
void *setup_memory(struct setup *setup, const char *name, uint32_t layout, size_t size);

/* generation_names.c: what names of upstreams stand for; waits a moment for those that nobody
 * remembers. */
void names_load(struct home *home);
/* `server.resolver` as resolver_open takes it. */
void names_servers(struct text *out, const struct config *config);

/* generation_feeds.c: what lists of other servers held last. */
void feeds_load(struct home *home);

/* generation_certs.c: certificates that the steward keeps, in place of self-signed ones. */
void certificates_load(struct home *home);
/* Those that were got since: for workers that are forked later. */
void certificates_again(struct home *home);
/* What it needs to get them; false: something is too long. */
struct acme_settings;
MUST_USE bool certificates_put(struct acme_settings *to, const struct config *config);

/* generation_crew.c */
void crew_start(struct home *home);
/* Workers that ended. */
void crew_reap(struct home *home);
void crew_reported(struct home *home, uint32_t slot);
void crew_watch(struct home *home); /* once a tick */
void crew_signal(struct home *home, int signal);
unsigned crew_alive(const struct home *home);
bool crew_serving(const struct home *home);

/* generation_settings.c */
void settings_send(struct home *home);

#endif
