/*
 * The steward's state, shared by its files only.
 *
 *   steward.c  life, messages from the master
 *   control.c  the control socket: who asks, and the table of commands
 *   status.c   the answer to `status`
 *   quota.c    what is used of a quota
 *   state.c    what survives a restart
 *   bans.c     who is kept out: the list, the evidence, bans by hand
 *   watch.c    watched list files to snapshots
 *   providers.c  keys of providers to snapshots
 *   users.c    stores of local users to snapshots
 *   sessions.c who is signed in
 *   feeds.c    lists of other servers to snapshots
 *   crowdsec.c decisions of a CrowdSec to snapshots; crowdsec_alerts.c: our bans to it;
 *              lapi.c: how both ask it
 *   certificates.c  certificates that are got by ACME, to snapshots; acme.c: at the authority
 *   names.c    what names of upstreams stand for, to snapshots
 *   crawlers.c who crawlers are, and what is known of bots
 *   metrics.c  the metrics listener; exposition.c: what it shows
 */
#ifndef SALLYPORT_STEWARD_H
#define SALLYPORT_STEWARD_H

#include <sys/stat.h>

#include "gateway/base/json.h"
#include "gateway/net/worker.h"
#include "gateway/process/settings.h"
#include "gateway/store/slots.h"

enum {
    CLIENTS_MAX = 32,
    REQUEST_BYTES_MAX = 64 * 1024,
    ANSWER_BYTES_MAX = 4 * 1024 * 1024,
    CLIENT_MS = 10 * 1000,      /* for a request to arrive, and for its answer to be taken */
    RELOAD_MS = 11 * 60 * 1000, /* over the master's own limit for a load */
    DEBOUNCE_MS = 100,          /* events of one change come in flocks */
    RESEND_MS = 100,            /* to a worker that has not read its last snapshots */
    POLL_MS = 10 * 1000,        /* where no event comes: network file systems, new folders */
    ENDING_MS = 1000,           /* for answers to be taken before it makes room for the next */
};

struct steward;

struct client {
    struct steward *steward;
    struct watch watch;
    struct timer deadline;
    struct arena arena;
    struct text out; /* the answer */
    size_t sent;
    char *in; /* REQUEST_BYTES_MAX */
    size_t in_len;
    uint32_t cookie; /* waits for this reload; 0: no */
    bool answered;
};

struct watched {
    const struct steward_settings *steward_settings;
    const struct watched_list *settings;
    struct stat seen; /* of the file when it was last read */
    int memfd;        /* the published snapshot, -1: none yet */
    uint64_t bytes;
    uint32_t version; /* 0: what the configuration was loaded with */
    size_t ranges;
    const char *trouble; /* NULL: the last reading was good */
    uint64_t loaded_s;   /* wall clock */
    uint64_t fetched_s;  /* wall clock, when its server was last heard; 0: never */
    bool another;        /* what is published is of another URL: lengths are not compared */
};

struct member {
    struct steward *steward;
    struct watch watch; /* its control socket: snapshots go there, asks come from there */
    int32_t pid;        /* 0: none */
    bool behind;        /* some snapshot did not go out */
};

struct steward {
    /* Fetches run on a worker's loop: the steward's own is that of a worker that serves nobody.
     */
    union {
        struct loop loop;
        struct worker agent;
    };
    struct watch master, control, inotify;
    struct timer debounce, poll, resend, ending;
    const struct steward_settings *settings;
    const struct slots *slots;
    const struct meters *meters; /* NULL: none */
    const struct rings *rings;   /* NULL: audit is off */
    uid_t uid; /* of the start: who may talk to the control socket, besides root */
    struct client clients[CLIENTS_MAX];
    uint32_t last_cookie;
    struct member members[SLOTS_MAX];
    struct watched *lists;
    struct ban_keeper *bans; /* bans.c; NULL: none */
    struct cells *quotas;    /* NULL: no site has limits */
    size_t quota_cells;
    struct state *state;                  /* state.c; NULL: nothing is kept */
    struct checks *checks;                /* health.c; NULL: none */
    struct sources *sources;              /* providers.c */
    struct user_keeper *users;            /* users.c */
    const struct session_table *sessions; /* sessions.c; NULL: no site has any */
    struct names *names;                  /* names.c; NULL: none */
    struct feeds *feeds;                  /* feeds.c; NULL: none */
    struct crowdsec *crowdsec;            /* crowdsec.c; NULL: none is asked */
    struct certificates *certificates;    /* certificates.c; NULL: none */
    struct crawlers *crawlers;            /* crawlers.c; NULL: no site has bots */
    struct arena arena;
    int landlock_abi; /* asked before the sandbox closed */
    bool finishing;
};

/* control.c */
MUST_USE enum err control_open(struct steward *steward, int fd);
void control_outcome(struct steward *steward, uint32_t cookie, struct span diagnostics,
                     bool serving);
/* Answers whoever waits, takes nobody new. */
void control_finish(struct steward *steward);
bool control_idle(const struct steward *steward);

/* The answers of control.c; each client gets one. */
struct json answer_begin(struct client *client, bool ok);
void answer_end(struct client *client, struct json *j);
void answer_error(struct client *client, const char *error);

/* bans.c */
struct json_t;
MUST_USE enum err bans_open(struct steward *steward);
void bans_command(struct client *client, const struct json_t *request);
struct bans;
struct ban_event;
const struct bans *keeper_bans(const struct steward *steward); /* NULL: none */
/* Every ban that holds, until `each` answers false; then so does this. */
MUST_USE bool keeper_each(struct steward *steward,
                          bool (*each)(const struct ban_event *event, uint64_t until_s,
                                       void *ctx),
                          void *ctx);

/* quota.c */
void quotas_map(struct steward *steward);
void quota_command(struct client *client, const struct json_t *request);

/* state.c: opened before the sandbox closes, restored when all else is open. */
MUST_USE enum err state_open(struct steward *steward);
void state_restore(struct steward *steward);
void state_save(struct steward *steward);

/* health.c: opened before the sandbox closes, for it reads authorities and keys, and behind
 * sources_open, by whose agent it asks; then started. */
MUST_USE enum err checks_open(struct steward *steward);
MUST_USE enum err checks_start(struct steward *steward);
struct server_states;
const struct server_states *checks_states(const struct steward *steward); /* NULL: none */
struct addr;
/* The servers of that label are at another address; none: nobody is there. */
void checks_moved(struct steward *steward, const char *label, const struct addr *addr);
/* limits.c */
void limits_command(struct client *client, const struct json_t *request);
void upstream_command(struct client *client, const struct json_t *request);

/* providers.c: opened before the sandbox closes, for it reads authorities; then started. */
MUST_USE enum err sources_open(struct steward *steward);
void sources_start(struct steward *steward);
/* All that there are; false: the worker has not read its last ones yet. */
MUST_USE bool sources_send(struct steward *steward, int fd);
/* On a member's watch: what the worker asks for. */
void sources_asked(struct watch *watch, uint32_t events);

/* sessions.c */
void sessions_map(struct steward *steward);
void sessions_command(struct client *client, const struct json_t *request);

/* feeds.c: opened before the sandbox closes, for it reads authorities, and behind sources_open,
 * by whose agent it asks; then started. */
MUST_USE enum err feeds_open(struct steward *steward);
void feeds_start(struct steward *steward);
/* No word of its server for longer than max_age. */
bool feed_stale(const struct watched *list, uint64_t now_s);
/* What is kept over the steward's end: what is published now; that its server was heard; and
 * publishing what the one before has left. The block in `known` is gone then. */
struct feed_facts;
struct feed_known;
MUST_USE bool feeds_keep(struct steward *steward, const struct watched *list,
                         const struct feed_facts *facts);
void feeds_heard(struct steward *steward, struct watched *list);
MUST_USE bool feeds_take_kept(struct steward *steward, struct watched *list,
                              struct feed_known *known);

/* crowdsec.c: opened before the sandbox closes, behind feeds_open; then started. */
struct json;
MUST_USE enum err crowdsec_open(struct steward *steward);
void crowdsec_start(struct steward *steward);
void crowdsec_status(struct json *j, const struct steward *steward);
void crowdsec_metrics(struct text *out, const struct steward *steward);
/* A ban that was made here, and the cursor behind it. */
void crowdsec_banned(struct steward *steward, const struct ban_event *event, uint64_t after);

/* certificates.c: opened before the sandbox closes, as feeds_open; then started. */
MUST_USE enum err certificates_open(struct steward *steward);
void certificates_start(struct steward *steward);
void certificates_close(struct steward *steward);
/* False: the worker has not read its last snapshots yet. */
MUST_USE bool certificates_send(struct steward *steward, int fd);
/* certificates_tell.c */
void certificates_command(struct client *client, const struct json_t *request);
void certificates_metrics(struct text *out, const struct steward *steward);

/* names.c: opened before the sandbox closes, for it reads resolv.conf; then started. */
MUST_USE enum err names_open(struct steward *steward);
void names_start(struct steward *steward);
/* False: the worker has not read its last snapshots yet. */
MUST_USE bool names_send(struct steward *steward, int fd);

/* crawlers.c: opened before the sandbox closes, for it reads resolv.conf; then started. */
struct bots_memory;
MUST_USE enum err crawlers_open(struct steward *steward);
void crawlers_start(struct steward *steward);
const struct bots_memory *crawlers_memory(const struct steward *steward); /* NULL: none */
void bots_command(struct client *client, const struct json_t *request);

/* steward.c */
bool steward_ask_master(struct steward *steward, uint32_t kind, uint32_t cookie);

/* status.c */
void status_write(struct json *j, const struct steward *steward);

/* metrics.c: `fd` listens, or is -1 */
MUST_USE enum err metrics_open(struct steward *steward, int fd);
/* exposition.c */
void metrics_write(struct text *out, const struct steward *steward);

/* lists_tell.c: on which of the published lists an address is */
void lists_command(struct client *client, const struct json_t *request);

/* watch.c */
MUST_USE enum err lists_open(struct steward *steward);
/* Reads what has changed, and sends it; answers the trouble of that file, or of any (NULL, or
 * one that is not watched); or NULL. */
const char *lists_look(struct steward *steward, const char *path);
void lists_send(struct steward *steward, struct member *member);
/* Read, checked and sent; NULL, or why not. */
const char *lists_take(struct steward *steward, struct watched *list, struct span text);
/* The same of a block that was checked before. */
const char *lists_take_block(struct steward *steward, struct watched *list, struct span block);
/* A watched file as it is now, to be freed, for who asks what is in it; false: it cannot be
 * read. */
MUST_USE bool lists_read(const struct watched *list, char **bytes, size_t *len);
/* Everything once more, a little later: it has not read its last ones. */
void lists_resend(struct steward *steward, struct member *member);
void lists_look_kind(struct steward *steward, uint32_t kind); /* enum snapshot_kind */

#endif
