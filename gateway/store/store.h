/*
 * The store that nodes share: `store:` of the configuration, opened at load, connected to in
 * each worker.
 */
#ifndef SALLYPORT_STORE_H
#define SALLYPORT_STORE_H

#include "conf/option.h"
#include "gateway/store/keyspace.h"

enum { STORE_KEY_BYTES = 32, STORE_NODES_MAX = 1024, STORE_PREFIX_MAX = 24 };

enum on_failure { FAILURE_LOCAL, FAILURE_ALLOW, FAILURE_DENY };

/* Where the keys are. */
enum store_kind { STORE_SERVER, STORE_SENTINEL, STORE_CLUSTER };

struct store_conf {
    struct span redis, user, prefix;
    struct {
        struct texts servers;
        struct span master, user;
        struct secret password;
    } sentinel;
    struct texts cluster;
    struct secret password, secret;
    int64_t database, nodes;
    struct duration timeout;
    int on_failure; /* enum on_failure */
    struct path snapshot;
    bool sessions;
    struct duration grace;
    struct {
        struct path ca, cert, key;
        bool verify;
        struct span name;
    } tls;
};
extern const struct option store_options[];

struct store {
    enum store_kind kind;
    struct redis_server server;
    struct redis_server sentinels;
    struct span master; /* as the Sentinels call it */
    struct span prefix;
    uint8_t key[STORE_KEY_BYTES]; /* of the HMACs under which things are kept */
    unsigned nodes;               /* that share the limits when each counts alone */
    enum on_failure on_failure;
    bool keyed;        /* the key is a secret's */
    bool sessions;     /* they are to be shared */
    uint64_t grace_ms; /* how long they go on while the store does not answer */
};

struct complaint;
/* NULL when nothing is shared, and after a complaint. */
const struct store *store_open(const struct store_conf *conf, struct arena *arena,
                               struct complaint *complaint);

/*
 * The key for what is kept in `snapshot`: of this machine and that path, so that what was saved
 * is found again. False when the machine has no id: then nothing can be.
 */
MUST_USE bool store_kept_key(struct span snapshot, uint8_t key[STORE_KEY_BYTES]);

/* worker->keys, before the stages attach and may give it scripts; then it connects. */
MUST_USE enum err store_attach(struct worker *worker, const struct store *store);
void store_start(struct worker *worker);

#endif
