/*
 * One request through a worker of the command line's own (stand.h), over a socket pair. An
 * upstream is never asked: that it would be is what is to be known.
 */
#include <sys/socket.h>
#include <unistd.h>

#include "gateway/cli/explain.h"
#include "gateway/cli/stand.h"

/* The client's end: sends, and throws away what comes. */
static bool push(int fd, struct span *request)
{
    char answer[16 * 1024];
    while (request->len > 0) {
        ssize_t sent = send(fd, request->p, request->len, MSG_DONTWAIT | MSG_NOSIGNAL);
        if (sent <= 0)
            break;
        *request = span_sub(*request, (size_t)sent, request->len);
    }
    while (recv(fd, answer, sizeof(answer), MSG_DONTWAIT) > 0)
        continue;
    return request->len > 0;
}

struct span explain_record(struct loaded *loaded, struct span request, const struct addr *from)
{
    static char scratch[RECORD_BYTES_MAX];
    static struct stand only; /* of one request: the process ends with it */
    struct ring_record record;
    uint64_t cursor = 0;
    int pair[2];
    struct stand *stand = &only;
    enum err err = stand_open(stand, loaded);
    if (err == OK && socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, pair))
        err = ERR_SYSTEM;
    if (err != OK) {
        (void)usage_error("cannot set up a worker: %s", err_text(err));
        return span_of(NULL, 0);
    }
    session_accept(&stand->worker, &stand->host, pair[1], from, NULL, false);
    uint64_t end = clock_mono_ns() + (uint64_t)STAND_SECONDS * 1000000000u;
    bool found = false, ended = false;
    while (!found && clock_mono_ns() < end) {
        bool more = push(pair[0], &request);
        loop_turn(&stand->worker.loop, STAND_TURN_MS);
        found = ring_peek(stand->ring.ring, &cursor, &record, scratch);
        /* What does not come any more is not waited for. */
        if (!more && !ended && !found) {
            ended = true;
            (void)shutdown(pair[0], SHUT_WR);
        }
    }
    (void)close(pair[0]);
    if (!found) {
        (void)usage_error("the request is not complete");
        return span_of(NULL, 0);
    }
    return arena_copy(&loaded->arena, record.line);
}
