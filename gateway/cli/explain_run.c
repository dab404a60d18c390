/*
 * One request through a worker of the command line's own (stand.h), over a socket pair. An
 * upstream is never asked: that it would be is what is to be known.
 */
#include <sys/socket.h>
#include <unistd.h>

#include "gateway/cli/explain.h"
#include "gateway/cli/stand.h"

/* Turns that a record may come after its connection has ended. */
enum { LAST_TURNS = 10 };

struct client {
    int fd;
    struct span rest;
    bool sent, ended; /* all that there is; by the other end */
};

/* The client's end: sends, and throws away what comes. What does not come any more is not
 * waited for. */
static void push(struct client *client)
{
    char answer[16 * 1024];
    ssize_t got;
    while (client->rest.len > 0) {
        ssize_t sent =
            send(client->fd, client->rest.p, client->rest.len, MSG_DONTWAIT | MSG_NOSIGNAL);
        if (sent <= 0)
            break;
        client->rest = span_sub(client->rest, (size_t)sent, client->rest.len);
    }
    while ((got = recv(client->fd, answer, sizeof(answer), MSG_DONTWAIT)) > 0)
        continue;
    client->ended = client->ended || got == 0;
}

/* TLS without a handshake: what the client would have asked for by the Host that it names. */
static void pretend_tls(struct stand *stand, struct span request, struct tls_info *tls)
{
    struct span rest = request, line, host = { NULL, 0 };
    while (host.p == NULL && span_cut(&rest, '\n', &line) && line.len > 1)
        if (line.len > 5 && span_equal_nocase(span_sub(line, 0, 5), SPAN("Host:")))
            host = span_trim(span_sub(line, 5, line.len - 6));
    ssize_t port = span_index(host, ':');
    if (port >= 0)
        host = span_sub(host, 0, (size_t)port);
    const struct site *site = host.len > 0 ? site_find(stand->worker.config, host) : NULL;
    *tls = (struct tls_info){ .established = true,
                              .version = SPAN("TLSv1.3"),
                              .cipher = SPAN("TLS_AES_256_GCM_SHA384"),
                              .sni = host,
                              .site = site != NULL ? site->tls_site : -1 };
    stand->host.pretended_tls = tls;
}

struct span explain_record(struct loaded *loaded, struct span request,
                           const struct explain_client *client)
{
    static struct tls_info tls;
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
    if (client->https)
        pretend_tls(stand, request, &tls);
    session_accept(&stand->worker, &stand->host, pair[1], &client->from, NULL, false);
    uint64_t end = clock_mono_ns() + (uint64_t)STAND_SECONDS * 1000000000u;
    struct client far = { .fd = pair[0], .rest = request };
    bool found = false;
    for (int last = 0; !found && last < LAST_TURNS && clock_mono_ns() < end;
         last += far.ended) {
        push(&far);
        loop_turn(&stand->worker.loop, far.ended ? 0 : STAND_TURN_MS);
        found = ring_peek(stand->ring.ring, &cursor, &record, scratch);
        if (far.rest.len == 0 && !far.sent && !found) {
            far.sent = true;
            (void)shutdown(far.fd, SHUT_WR);
        }
    }
    (void)close(pair[0]);
    if (!found) {
        (void)usage_error("the request is not complete");
        return span_of(NULL, 0);
    }
    return arena_copy(&loaded->arena, record.line);
}
