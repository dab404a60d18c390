/*
 * Questions that stages ask of other servers: a fetch as an operation for wait_for. Of one
 * worker and one owner, with a limit on how many are under way: over it the server is slower
 * than it is asked, and more waiting would help nobody.
 *
 * A remote is one server that is asked again and again: its connections are kept.
 */
#ifndef SALLYPORT_ASKER_H
#define SALLYPORT_ASKER_H

#include "gateway/chain/op.h"
#include "gateway/upstream/fetch.h"

enum { ASKER_QUESTIONS_MAX = 1024 };

/* What wait_for's function finds in c->answer when c->error is OK; in its arena. */
struct fetch_answer {
    int status;
    struct fields fields;
    struct span body;
};

/* ---- one server, as configured ---- */

struct remote {
    struct upstream upstream;
    struct fetch_policy policy;
    struct span
        base; /* "https://host:port", for the URL of a question; path or query follows */
};

struct remote_conf {
    struct url url; /* without its path, but for unix: */
    struct path ca;
    size_t body_bytes;
    uint64_t connect_ms, total_ms;
    int64_t keepalive;
};

struct complaint;
/* At load: resolves the name. ERR_CONFIG after a complaint. */
MUST_USE enum err remote_open(struct remote *remote, const struct remote_conf *conf,
                              struct arena *arena, struct complaint *complaint);

/* ---- in a worker ---- */

struct asker;
/* `remote` may be NULL: then each question says its policy. */
struct asker *asker_new(struct worker *worker, const struct remote *remote); /* NULL: memory */
void asker_free(struct asker *asker);
/*
 * To be waited for at once. `policy` NULL: the remote's, over its kept connections. NULL: too
 * many are under way, or no memory.
 */
struct op *asker_ask(struct asker *asker, const struct fetch_policy *policy,
                     const struct fetch_ask *ask);
/* Why the last question that ended did so with an error; constant text, for the log. */
const char *asker_why(const struct asker *asker);

#endif
