/*
 * Snapshots: read-only data that changes at run time, published by the steward as a sealed
 * memfd over each worker's control socket and swapped in between requests. A worker accepts one
 * only when it is sealed against writing, growing and shrinking, and its content passes the
 * kind's own check.
 */
#ifndef SALLYPORT_SNAPSHOT_H
#define SALLYPORT_SNAPSHOT_H

#include "gateway/base/arena.h"
#include "gateway/net/loop.h"

enum snapshot_kind {
    SNAPSHOT_ADDRESS_LIST,
    SNAPSHOT_GEO_DATABASE,
    SNAPSHOT_API_KEYS,
    SNAPSHOT_PROVIDER, /* auth/provider.h */
    SNAPSHOT_USERS,
    SNAPSHOT_FOUND,       /* gateway/upstream/discovery.h */
    SNAPSHOT_CERTIFICATE, /* chain and key of a site, as PEM */
    SNAPSHOT_CHALLENGES,  /* gateway/net/challenge.h */
    SNAPSHOT_KINDS
};
enum { SNAPSHOT_BYTES_MAX = 256 * 1024 * 1024, SNAPSHOT_IDS_MAX = 1024 };

/* One message on the worker's control socket (SOCK_SEQPACKET), the descriptor beside it. */
struct snapshot_message {
    uint32_t magic, kind, id, version;
    uint64_t bytes;
};
/* From a worker, without a descriptor: it would have snapshot `id` made anew. Answered by that
 * snapshot, changed or not. */
enum { SNAPSHOT_MAGIC = 0x53504e31, SNAPSHOT_ASK_MAGIC = 0x53504e41 };

/* The worker's side. */
struct snapshot {
    struct span bytes; /* mapped, or the configuration's own (then not unmapped) */
    uint32_t version;
    uint32_t swaps;          /* in this worker: what is derived from the bytes is made anew */
    enum snapshot_kind kind; /* of this id; a message of another kind is refused */
    bool mapped;
};

/* Told of each snapshot that came, taken or not, and of an ask that has an answer. */
struct snapshot_listener {
    struct snapshot_listener *next;
    void (*came)(struct snapshot_listener *listener, uint32_t id);
};

struct snapshots {
    struct watch watch;
    struct snapshot_listener *listeners;
    struct loop *loop;      /* set by snapshots_listen */
    struct snapshot *items; /* by id */
    size_t count;
    /* Per kind: whether the bytes are well-formed. A refused snapshot keeps the old one. */
    bool (*valid)(enum snapshot_kind kind, struct span bytes);
};

MUST_USE enum err snapshots_init(struct snapshots *snapshots, struct arena *arena,
                                 size_t count);
void snapshot_initial(struct snapshots *snapshots, uint32_t id, struct span bytes);
/* Bytes of `id`, valid until the loop turns. */
static inline struct span snapshot_get(const struct snapshots *snapshots, uint32_t id)
{
    return snapshots->items[id].bytes;
}
/* Receives on `fd` from now on. The peer's end closing is not an error: a new steward may come.
 */
MUST_USE enum err snapshots_listen(struct snapshots *snapshots, struct loop *loop, int fd);
/* One message; used by the watch, and by tests. */
MUST_USE enum err snapshots_receive(struct snapshots *snapshots, int fd);
void snapshots_tell(struct snapshots *snapshots, struct snapshot_listener *listener);
void snapshots_forget(struct snapshots *snapshots, struct snapshot_listener *listener);
/* Asks the steward. False: it cannot be asked now. */
MUST_USE bool snapshot_ask(const struct snapshots *snapshots, uint32_t id);

/*
 * The steward's side: a sealed memfd with these bytes, or -1, and errno. Then sent to each
 * worker. ERR_BUSY: the worker has not read its last ones yet; ERR_CLOSED: it is gone. Neither
 * blocks.
 */
int snapshot_seal(struct span bytes);
/* `memfd` -1, and SNAPSHOT_ASK_MAGIC: an ask has been heard, and there is nothing to be had. */
MUST_USE enum err snapshot_send(int socket, int memfd, const struct snapshot_message *message);
/* What a worker asks for. ERR_BUSY: nothing more; ERR_PROTOCOL: no ask, passed over. */
MUST_USE enum err snapshot_asked(int socket, uint32_t *id);

#endif
