/*
 * What a generation, the steward and the master say to one another: fixed-size messages over a
 * SOCK_SEQPACKET pair, descriptors beside them. One table says who may send which kind and with
 * how many descriptors; a message of another size, kind, sender or number of descriptors ends
 * the connection.
 */
#ifndef SALLYPORT_MESSAGES_H
#define SALLYPORT_MESSAGES_H

#include "gateway/base/addr.h"
#include "gateway/process/process.h"

enum message_kind {
    MESSAGE_NONE,
    /* generation -> master */
    MESSAGE_BIND, /* address, or unix path in `name`; `number`: enum bind_flags; `layout`: which
                     of several equal addresses (port 0). Answered with a listening descriptor
                   */
    MESSAGE_MEMORY,   /* `name`, `layout`, size in `number`: answered with a memfd */
    MESSAGE_RECORDER, /* run it with these settings (1 descriptor: a sealed memfd); answered
                         with the eventfd that wakes it */
    MESSAGE_WRITTEN,  /* answered with the eventfd by which the recorder tells that it has
                         written */
    MESSAGE_STEWARD,  /* the same for the steward; answered */
    MESSAGE_WORKER,   /* slot in `number`, pid in `layout` (1: the steward's end of its control
                         socket) */
    MESSAGE_WORKER_GONE, /* slot in `number` */
    MESSAGE_LOADING,     /* a slow step of loading is done: it gets time for the next one */
    MESSAGE_READY, /* serving; drain time in ms in `number`. The previous generation is retired.
                      Of a master that could take over: `number` is the layout */
    MESSAGE_REFUSED, /* the configuration is bad (1: memfd with the diagnostics) */
    /* master -> generation */
    MESSAGE_ANSWER, /* `number`: errno or 0, then perhaps a descriptor beside it */
    MESSAGE_RETIRE, /* drain and exit within `number` ms; 0: cut what is left */
    /* steward -> master */
    MESSAGE_RELOAD, /* `number`: cookie, growing; of a generation whose files changed: 0 */
    MESSAGE_STOP,
    MESSAGE_UPGRADE, /* the same as of a reload, to the program that is there now */
    /* master -> steward: MESSAGE_WORKER and MESSAGE_WORKER_GONE too */
    MESSAGE_OUTCOME, /* `number`: 0 serving, 2 refused (then 1: memfd with the diagnostics);
                        `layout`: the last cookie that it answers */
    MESSAGE_KINDS
};

enum bind_flags {
    BIND_TLS = 1,
    BIND_CONTROL = 2,
    BIND_DUAL = 4, /* [::] takes 0.0.0.0 along */
    BIND_METRICS = 8
};

enum { MESSAGE_NAME_BYTES = 108, MESSAGE_FDS_MAX = 2 };

struct message {
    uint32_t kind;
    uint32_t layout;
    uint64_t number; /* size, slot, errno, milliseconds: as the kind says */
    struct addr addr;
    char name[MESSAGE_NAME_BYTES]; /* NUL-terminated, checked */
};

/* Whether `sender` may send this kind. */
bool message_allowed(uint32_t kind, enum role sender);

/*
 * ERR_CLOSED at the end of the stream, ERR_BUSY when a non-blocking socket has nothing (or no
 * room), ERR_PROTOCOL for what is not a message. Received descriptors are close-on-exec and
 * belong to the caller; after an error there are none. Sent ones stay the caller's.
 */
MUST_USE enum err message_send(int socket, const struct message *message, const int *fds,
                               unsigned fd_count);
MUST_USE enum err message_receive(int socket, struct message *message, int fds[MESSAGE_FDS_MAX],
                                  unsigned *fd_count);

#endif
