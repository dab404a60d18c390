/*
 * The metrics listener: GET /metrics over HTTP/1.1, one request a connection. It has a few
 * places of its own, so that nobody who scrapes can take the control socket's.
 */
#include <errno.h>
#include <sys/socket.h>
#include <unistd.h>

#include "gateway/steward/steward.h"

enum { SCRAPERS_MAX = 8, HEAD_BYTES_MAX = 4096, SCRAPER_MS = 5000 };

struct scraper {
    struct metrics_server *server;
    struct watch watch;
    struct timer deadline;
    struct arena arena;
    struct text out;
    size_t sent, in_len;
    bool answered;
    char in[HEAD_BYTES_MAX];
};

struct metrics_server {
    struct steward *steward;
    struct watch listener;
    struct scraper scrapers[SCRAPERS_MAX];
};

static void scraper_close(struct scraper *scraper)
{
    struct loop *loop = &scraper->server->steward->loop;
    int fd = scraper->watch.fd;
    loop_remove(loop, &scraper->watch);
    timer_remove(loop, &scraper->deadline);
    (void)close(fd);
    arena_reset(&scraper->arena);
    scraper->watch.fd = -1;
}

static void scraper_send(struct scraper *scraper)
{
    while (scraper->sent < scraper->out.len) {
        ssize_t sent = send(scraper->watch.fd, scraper->out.p + scraper->sent,
                            scraper->out.len - scraper->sent, MSG_NOSIGNAL | MSG_DONTWAIT);
        if (sent < 0 && errno == EINTR)
            continue;
        if (sent < 0 && (errno == EAGAIN || errno == EWOULDBLOCK)) {
            loop_change(&scraper->server->steward->loop, &scraper->watch, EPOLLOUT);
            return;
        }
        if (sent <= 0)
            break;
        scraper->sent += (size_t)sent;
    }
    scraper_close(scraper);
}

static void answer_scraper(struct scraper *scraper, const char *status, struct span body)
{
    scraper->answered = true;
    scraper->out = text_growing(&scraper->arena, body.len + 512);
    text_format(&scraper->out,
                "HTTP/1.1 %s\r\nContent-Type: text/plain; version=0.0.4; charset=utf-8\r\n"
                "Content-Length: %zu\r\nConnection: close\r\n\r\n",
                status, body.len);
    text_add(&scraper->out, body);
    if (scraper->out.overflow)
        scraper_close(scraper);
    else
        scraper_send(scraper);
}

static void respond(struct scraper *scraper)
{
    struct span head = span_of(scraper->in, scraper->in_len);
    if (!span_starts(head, SPAN("GET "))) {
        answer_scraper(scraper, "405 Method Not Allowed", SPAN("GET only\n"));
    } else if (!span_starts(head, SPAN("GET /metrics ")) &&
               !span_starts(head, SPAN("GET /metrics?"))) {
        answer_scraper(scraper, "404 Not Found", SPAN("/metrics is here\n"));
    } else {
        struct text body = text_growing(&scraper->arena, 64 * 1024);
        metrics_write(&body, scraper->server->steward);
        answer_scraper(scraper, "200 OK", text_span(&body));
    }
}

static void on_scraper(struct watch *watch, uint32_t events)
{
    struct scraper *scraper = CONTAINER(watch, struct scraper, watch);
    (void)events;
    if (scraper->answered) {
        scraper_send(scraper);
        return;
    }
    ssize_t got = recv(watch->fd, scraper->in + scraper->in_len,
                       HEAD_BYTES_MAX - scraper->in_len, MSG_DONTWAIT);
    if (got < 0 && (errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR))
        return;
    if (got <= 0) {
        scraper_close(scraper);
        return;
    }
    scraper->in_len += (size_t)got;
    if (span_find(span_of(scraper->in, scraper->in_len), SPAN("\r\n\r\n")) >= 0)
        respond(scraper);
    else if (scraper->in_len == HEAD_BYTES_MAX)
        answer_scraper(scraper, "431 Request Header Fields Too Large", SPAN("too large\n"));
}

static void on_deadline(struct timer *timer)
{
    scraper_close(CONTAINER(timer, struct scraper, deadline));
}

static void on_connection(struct watch *watch, uint32_t events)
{
    struct metrics_server *server = CONTAINER(watch, struct metrics_server, listener);
    struct loop *loop = &server->steward->loop;
    (void)events;
    int fd = accept4(watch->fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (fd < 0)
        return;
    struct scraper *scraper = NULL;
    for (size_t i = 0; i < SCRAPERS_MAX && scraper == NULL; i++)
        if (server->scrapers[i].watch.fd < 0)
            scraper = &server->scrapers[i];
    if (scraper == NULL) {
        (void)close(fd);
        return;
    }
    scraper->watch = (struct watch){ .fd = -1, .on_event = on_scraper };
    scraper->deadline = (struct timer){ .fire = on_deadline };
    scraper->sent = scraper->in_len = 0;
    scraper->answered = false;
    arena_init(&scraper->arena, NULL, 0, NULL, 2 * ANSWER_BYTES_MAX);
    if (loop_add(loop, &scraper->watch, fd, EPOLLIN) != OK) {
        (void)close(fd);
        scraper->watch.fd = -1;
        return;
    }
    timer_set(loop, &scraper->deadline, SCRAPER_MS);
}

enum err metrics_open(struct steward *steward, int fd)
{
    if (fd < 0)
        return OK;
    struct metrics_server *server = arena_new(&steward->arena, struct metrics_server);
    if (server == NULL)
        return ERR_MEMORY;
    server->steward = steward;
    server->listener = (struct watch){ .fd = -1, .on_event = on_connection };
    for (size_t i = 0; i < SCRAPERS_MAX; i++) {
        server->scrapers[i].server = server;
        server->scrapers[i].watch.fd = -1;
    }
    return loop_add(&steward->loop, &server->listener, fd, EPOLLIN);
}
