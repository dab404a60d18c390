/*
 * The one interface of the inspection chain. A stage is a const struct stage_type: what it
 * reads from the configuration, and one function per phase that answers with a verdict.
 *
 * A stage never replies, logs, times out, or decides what its own failure means: mode,
 * on_error, deadline, unless, counters and the audit trail belong to the chain (chain.c). Six
 * rules of suspension: op.h.
 */
#ifndef SALLYPORT_STAGE_H
#define SALLYPORT_STAGE_H

#include "conf/expr.h"
#include "conf/option.h"
#include "gateway/audit/record.h"

enum phase {
    /*
     * The peer's address is known, and nothing else: before TLS, once per connection, for what
     * `connect:` of the file names. Not asked about trusted proxies. May not wait.
     */
    PHASE_CONNECT,
    PHASE_REQUEST_HEAD, /* request parsed, canonical; client, site and route are known */
    PHASE_REQUEST_BODY, /* the whole body in memory; only on routes whose stages want it */
    /*
     * A request below /.sallyport/NAME, a page of the stage's own: REPLY answers it, PASS means
     * that there is no such page (404). Everything else of the chain has been asked before, but
     * stages that are a `gate`. c->body is the request's body, whole.
     */
    PHASE_PAGE,
    PHASE_RESPONSE_HEAD, /* upstream's status and fields; nothing has been sent */
    /*
     * The answer's body, content codings taken off, whole or to the limit, before its head has
     * gone out. Only on routes whose stages want it, and there once per answer of
     * upstream: c->body.p is NULL when nothing is held (no body, another media type, an event
     * stream, a tunnel).
     */
    PHASE_RESPONSE_BODY,
    PHASE_COUNT
};

enum action {
    ACTION_PASS,  /* nothing to object to */
    ACTION_DENY,  /* refuse; the reason fixes the status */
    ACTION_REPLY, /* answer here: a challenge, a redirect */
    ACTION_WAIT,  /* not yet: made only by wait_for and wait_behind */
    ACTION_FAIL,  /* could not decide; the chain applies on_error */
};

enum reason {
#define REASON(name, slug, status, title, text) REASON_##name,
#include "gateway/chain/reason.def"
#undef REASON
    REASON_COUNT
};

struct reason_row {
    const char *slug;
    int status;
    const char *title, *text;
};
const struct reason_row *reason_row(enum reason reason);

/* What a stage's denials come to; the least strict of server, site, route and stage wins. */
enum mode { MODE_BLOCK, MODE_DETECT, MODE_OFF };

struct reply; /* reply.h */
struct txn;   /* txn.h */
struct op;    /* op.h */
struct worker;
struct config;
struct identity; /* identity.h */

struct verdict {
    enum action action;
    enum reason reason;
    const struct reply *reply; /* REPLY, or DENY with a body or fields of its own; else NULL */
};

struct call {        /* what a stage is given */
    struct txn *txn; /* arena, clock, facts, edits, findings. NULL in CONNECT */
    struct worker *worker;
    const struct addr *peer;    /* of the connection: all that is known in CONNECT */
    struct list_hit denied_by;  /* CONNECT: set to the list that denies, for the record */
    const struct request *req;  /* canonical: what upstream will receive. NULL in CONNECT */
    const struct response *rsp; /* response phases only */
    const void *conf;           /* options: one per configuration and route */
    void *local;                /* one per worker and conf */
    void *state;                /* zeroed: one per transaction */
    struct span body;           /* body phases: the bytes to look at */
    enum mode mode;             /* the stage's, here */
    const void *answer;         /* resumed: the operation's value */
    enum err error;             /* resumed: how the operation ended */
};

typedef struct verdict stage_fn(struct call *c);

enum { RESPONSE_LIMIT = 512 * 1024 };

/* At load, in the generation process; see load.c. */
struct setup {
    struct arena *arena;
    struct config *config;
    struct complaint *complaint; /* where the stage's mapping stands in the file */
    const char *site, *route;    /* names; route NULL: the site's own */
    /*
     * Zeroed shared memory that lives as long as the master, by name; the same name gives the
     * same memory to all generations as long as `layout` and `size` agree. NULL after a
     * complaint.
     */
    void *(*shared)(struct setup *setup, const char *name, uint32_t layout, size_t size);
    void *shared_owner;
    /* Told of each slow step that is done; NULL: nobody listens. */
    void (*progress)(struct setup *setup, unsigned done, unsigned all);
    /* Secret of this boot, the same in all workers and generations: for keyed hashes. 32 bytes.
     */
    const uint8_t *boot_key;
    /* Nobody will be served: for who asks about the rest, what is slow to make is left out. */
    bool outline;
};

struct stage_type {
    const char *name; /* YAML key, audit and metrics label */
    const char *summary;
    const struct option *options;
    /* Another stage, earlier in the list, whose configuration this one works by: one thing to
     * the user that has its place in the order twice. It has no options of its own. */
    const struct stage_type *with;
    size_t conf_size, local_size, state_size;
    /* At load, once per conf: open files, compile. Errors are complained. */
    enum err (*open)(void *conf, struct setup *setup);
    void (*close)(void *conf);
    /* In each worker, before the sandbox closes. */
    enum err (*attach)(void *local, const void *conf, struct worker *worker);
    void (*detach)(void *local);
    /* Whether it has anything to do with this conf: a stage that is idle is left out of the
     * route. */
    bool (*idle)(const void *conf);
    /* Whether it needs the request body held (PHASE_REQUEST_BODY). NULL: no. */
    bool (*wants_body)(const void *conf);
    /* How much of it, in bytes, when it wants it; over that block mode answers 413. NULL: no
     * limit of its own. */
    uint64_t (*body_limit)(const void *conf);
    /*
     * Names of pages, from i = 0 up to an empty one: small letters, digits and `-`. On a site
     * of which some route has the stage, /.sallyport/NAME and all below it then goes to
     * on[PHASE_PAGE], never to upstream; req->path tells the rest, req->method_id the method.
     * With the conf of the route that has the stage; a site on which two confs have a page of
     * one name is refused at load, unless the stage says that they are alike.
     */
    struct span (*page)(const void *conf, unsigned i);
    /* Whether pages by the one conf will do for the other. NULL: no. */
    bool (*pages_alike)(const void *a, const void *b);
    /* Bytes of a request body that pages take; over it 413. NULL: none. */
    uint64_t (*page_body)(const void *conf);
    /* It may demand what pages give, a log-in say: pages go without it. */
    bool gate;
    /*
     * What it answers rests on more than the request and the configuration: on counters, on
     * what another server says. Who replays a request takes its recorded word
     * (gateway/chain/replayed.h) and does not ask it again.
     */
    bool remembers;
    /* It says who a request is from, and refuses those of nobody: where several such stages
     * stand, any of them will do (auth/demand.h). */
    bool authenticates;
    /* Why it refuses one whom it knows, as the record has it (`sallyport.detail`); NULL: it
     * does not. For who asks beforehand. NULL: it lets in all whom it knows. */
    const char *(*lacks)(const void *conf, const struct identity *identity);
    /* Whether it needs answers' bodies (PHASE_RESPONSE_BODY). NULL: no. */
    bool (*wants_response)(const void *conf);
    /*
     * Which of them: by media type, without parameters, as sent; empty when the answer names
     * none. NULL: all. One stage's yes shows the body to every stage of the phase.
     */
    bool (*response_type)(const void *conf, struct span media_type);
    /* How much of a body, in bytes; the least of all stages holds. NULL: RESPONSE_LIMIT. */
    uint64_t (*response_limit)(const void *conf);
    /* Over the limit: true refuses the answer (in block mode), false shows the beginning and
     * lets the rest pass. NULL: false. */
    bool (*response_over_denies)(const void *conf);
    /*
     * Once, when the transaction is over and before its record is written, for stages that may
     * be asked in PHASE_REQUEST_HEAD (whether it was or not: `state` is zero then). It may
     * report findings, and decides nothing.
     */
    void (*finish)(struct call *c);
    /*
     * A head that was refused, as far as it can be told what it says (gateway/http/evidence.h):
     * so that an attack is on record by its name. Findings only; may not wait.
     */
    void (*evidence)(struct call *c);
    stage_fn *on[PHASE_COUNT];
};

/* Options that the chain adds to every stage. Least strict of server, site, route and stage
 * wins. */
enum on_error { ON_ERROR_DENY, ON_ERROR_PASS };

struct stage_common {
    int mode;                 /* enum mode */
    int on_error;             /* enum on_error */
    struct duration deadline; /* of all its waiting in one transaction */
    struct expr *unless;      /* true: the stage is not asked */
};
extern const struct option stage_common_options[];
/* The same rows, but those that the stage has of its own (a `mode` with other words). */
const struct option *stage_common_rows(const struct stage_type *type);
extern const struct choice mode_choices[];

static inline struct verdict pass(void)
{
    return (struct verdict){ .action = ACTION_PASS };
}
static inline struct verdict deny(enum reason reason)
{
    return (struct verdict){ .action = ACTION_DENY, .reason = reason };
}
static inline struct verdict deny_with(enum reason reason, const struct reply *reply)
{
    return (struct verdict){ .action = ACTION_DENY, .reason = reason, .reply = reply };
}
static inline struct verdict answer(enum reason reason, const struct reply *reply)
{
    return (struct verdict){ .action = ACTION_REPLY, .reason = reason, .reply = reply };
}
static inline struct verdict fail(enum reason reason)
{
    return (struct verdict){ .action = ACTION_FAIL, .reason = reason };
}
/* The transaction sleeps until `op` is finished, then `resume` is called in place of the
 * phase's function. */
struct verdict wait_for(struct call *c, struct op *op, stage_fn *resume);
/* Among the events of a turn (loop_among_events): they come first, then `resume` is called, in
 * a later turn if the client has had its time in this one (share.h). Such a wait is no part of
 * the stage's time, and none of its resumes. */
struct verdict wait_behind(struct call *c, stage_fn *resume);

#endif
