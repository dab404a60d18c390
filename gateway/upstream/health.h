/*
 * What is known of servers beside what a worker sees itself: whether they answer checks, and
 * whether an operator takes them out. A table in memory that the master holds, so it outlives
 * reloads. The generation enters the servers of its configuration, the steward writes what it
 * finds and what it is told, the workers read.
 *
 * A worker that was taken over could write here: nothing is trusted as a size, an index or a
 * pointer.
 */
#ifndef SALLYPORT_HEALTH_H
#define SALLYPORT_HEALTH_H

#include "gateway/base/addr.h"
#include "gateway/upstream/circuit.h"

enum { SERVER_STATES_MAX = 1024, SERVER_STATES_LAYOUT = 4 };
enum {
    SERVER_LABEL_BYTES = 256,
    SERVER_ADDRESS_BYTES = 64,
    CHECK_TEXT_BYTES = 128,
    CHECK_HOST_BYTES = 256,
    CHECK_TLS_MAX = 64, /* different ways of TLS that checks use */
    CHECK_WHY_BYTES = 96,
    CHECK_PATH_BYTES = 4096,
};

/* One check, as the steward needs it. Texts end with NUL unless forged. */
struct server_check {
    bool on;
    bool secure;
    uint64_t tls;                    /* which of struct check_tls; the steward looks it up */
    char tls_name[CHECK_HOST_BYTES]; /* SNI, and what the certificate must be for */
    struct addr addr;
    char unix_path[108];
    char host[CHECK_HOST_BYTES];
    char path[CHECK_TEXT_BYTES],
        body[CHECK_TEXT_BYTES]; /* body: what the answer must contain */
    uint32_t status_from, status_to;
    uint32_t interval_ms, timeout_ms, rise, fall;
};

struct server_state {
    uint64_t key;        /* of server and check; 0: free */
    uint32_t generation; /* that named it last */
    uint32_t down;       /* the steward's word */
    uint32_t drained;    /* the operator's */
    uint64_t since_ms;   /* monotonic: of the last change to up and ready; 0: none */
    char label[SERVER_LABEL_BYTES];
    char address[SERVER_ADDRESS_BYTES]; /* of one that was found by name; empty: nobody yet */
    bool found;                         /* by name */
    char why[CHECK_WHY_BYTES];          /* the steward's word on the last check that failed */
    struct server_check check;
};

struct server_states {
    struct server_state rows[SERVER_STATES_MAX];
    struct circuit circuits[CIRCUITS_MAX];
};

/* How servers of an upstream are talked to over TLS: its `tls:` in bounded strings. */
struct check_tls {
    uint64_t key; /* of all below */
    bool verify;
    char ca[CHECK_PATH_BYTES], cert[CHECK_PATH_BYTES], file[CHECK_PATH_BYTES];
};

struct upstream;

/* What checks need of the TLS of an upstream that has some; false: a path is too long. */
MUST_USE bool check_tls_of(const struct upstream *upstream, struct check_tls *tls);

/* `200` or `200-399`. */
MUST_USE bool health_status_parse(struct span text, uint32_t *from, uint32_t *to);
/*
 * Enters all servers, and points each at its row. The row of a server that nobody names any
 * more makes room when the table is full; beyond that a server has none, and counts as up.
 */
void server_states_fill(struct server_states *states, struct upstream *upstreams, size_t count,
                        uint32_t generation);

static inline bool server_is_down(const struct server_state *state)
{
    return state != NULL && __atomic_load_n(&state->down, __ATOMIC_RELAXED) != 0;
}

static inline bool server_is_drained(const struct server_state *state)
{
    return state != NULL && __atomic_load_n(&state->drained, __ATOMIC_RELAXED) != 0;
}

#endif
