/*
 * A byte stream over one socket, plain or TLS: the only code that reads and writes connections.
 *
 * Reading goes into the worker's scratch. Writing is corked: what the events of a turn of the
 * loop write, and what came behind those of the turn before, is gathered in the worker's cork
 * and sent when they are over, what follows one another for a channel in one send; bytes that
 * the kernel does not take wait in slabs, and EPOLLOUT is asked only then. A plain request so
 * costs one recv and one send on each side, and who waits for it is woken when there is
 * something to be done for others no more: to wake a process costs more than to send to one
 * that is at work.
 */
#ifndef SALLYPORT_CHANNEL_H
#define SALLYPORT_CHANNEL_H

#include "gateway/base/addr.h"
#include "gateway/net/tls.h"
#include "gateway/net/worker.h"

/*
 * Events are told from the loop only, never from inside one of the functions below. A channel
 * that breaks while it is written to is told by the loop, too.
 */
struct channel_events {
    void (*readable)(struct channel *channel); /* call channel_read until it answers <= 0 or you
                                                  have enough */
    void (*drained)(struct channel *channel);  /* all that was written has gone to the kernel */
    void (*broken)(
        struct channel *channel); /* reset or write error: nothing more will go out */
};

struct unsent {
    struct unsent *next;
    uint32_t from, to;
    char bytes[SLAB_BYTES - 16];
};

struct channel {
    struct watch watch;
    struct worker *worker;
    const struct channel_events *events;
    struct tls *tls;         /* owned; NULL: plain */
    struct slab_pool *slabs; /* for what is unsent; changed only when nothing is */
    struct unsent *head, *tail;
    size_t unsent;           /* bytes in the slabs; not what is corked */
    unsigned corked;         /* pieces of the cork that are to go here */
    uint64_t sent, received; /* wire bytes */
    bool reading;            /* EPOLLIN is asked for */
    bool bulky;              /* TLS: what came last were large records */
    bool connecting;
    bool eof;  /* the other side has ended its direction */
    bool hung; /* it ended both directions while we were not reading */
    bool failed;
    bool shut; /* our direction is ended once `unsent` is gone */
};

enum { CHANNEL_AGAIN = -1, CHANNEL_FAILED = -2 };
/* What one read of records can bring: all of them, and what OpenSSL still held of one. */
enum { CHANNEL_READ_MIN = CIPHER_BYTES + 20 * 1024 };

/* `fd` is non-blocking and belongs to the channel from here on, also on an error. */
MUST_USE enum err channel_open(struct channel *channel, struct worker *worker, int fd,
                               struct tls *tls, const struct channel_events *events);
/* `connecting`: the socket's connect is under way; `drained` or `broken` tells how it ended. */
MUST_USE enum err channel_connect(struct channel *channel, struct worker *worker,
                                  const struct addr *addr, struct span unix_path,
                                  struct tls *tls, const struct channel_events *events);
/*
 * Moves an open channel, with what is unsent, to `to`, where other events wait for it; `from`
 * is closed then. On an error both are.
 */
MUST_USE enum err channel_move(struct channel *to, struct channel *from,
                               const struct channel_events *events);
void channel_close(struct channel *channel); /* idempotent; drops what is unsent */
void channel_reset(struct channel *channel); /* the same, with RST: a visible cut */

/* Starts TLS on a channel that was opened plain and has read nothing yet (after a PROXY head).
 */
void channel_secure(struct channel *channel, struct tls *tls);

/* Bytes read, 0 at the end of the stream, CHANNEL_AGAIN, CHANNEL_FAILED. On TLS `size` >=
 * CHANNEL_READ_MIN. */
ssize_t channel_read(struct channel *channel, char *buffer, size_t size);
/* The same, asking the kernel for at most `wire` bytes. */
ssize_t channel_read_some(struct channel *channel, char *buffer, size_t size, size_t wire);
void channel_reading(struct channel *channel, bool on); /* back-pressure */

/* Not before the channel is connected. Bytes for one that failed or was shut are dropped. */
void channel_write(struct channel *channel, struct span bytes);
/* Room for up to `size` bytes in the cork, to be written in place, then channel_wrote. NULL:
 * too much. */
char *channel_room(struct channel *channel, size_t size);
void channel_wrote(struct channel *channel, size_t size);
/* Sends what is corked for this one, now: for who goes by what the kernel took. */
void channel_flush(struct channel *channel);
/* What is corked for this one is not sent: it never was written. */
void channel_take_back(struct channel *channel);
/*
 * Called at the end of every event, timer and task that wrote, and of those that take long:
 * what others wrote may wait. Sends what is corked, but for a worker that gathers: there the
 * loop does it, and this only sees to it that what has waited for GATHER_NS goes behind the
 * event at hand.
 */
enum { GATHER_NS = 2000 * 1000 };
void worker_flush(struct worker *worker);
/* From now on the loop sends what is written, many writes together. */
void worker_gather(struct worker *worker);
/*
 * Wire bytes that the other side has acknowledged: what a slow reader really takes, while the
 * kernel's own buffer takes more. A system call: for deadlines only.
 */
uint64_t channel_delivered(const struct channel *channel);
/* Ends our direction after what is unsent: close_notify and shutdown(SHUT_WR). */
void channel_shut(struct channel *channel);

#endif
