/*
 * A client for proofs under load: many connections that ask over and over, and remember what
 * they were answered.
 *
 *     asker PORT [--source ADDRESS] [--connections N] [--seconds S] [--count N] [--rate R]
 *           [--ids FILE] [--spread N] [--each N] REQUEST...
 *
 * Each REQUEST is "PATH" or "PATH NAME:VALUE"; they are asked in turn. Without a rate each
 * connection asks again as soon as it is answered; with one, requests are due at fixed times,
 * and a late answer does not put off the next request (its time counts from when it was due).
 * A connection that ends is made anew. With --spread connections come from N addresses, from
 * the source on, and with --each they end after N answers and are made anew from ever others
 * of these. Of each answer that shows the id of its request (pages of refusals do) the
 * file of ids gets the status, the id, and when it came, in milliseconds of the monotonic
 * clock.
 *
 * At the end, or on SIGTERM, one line of JSON: what was sent and answered, by status, and the
 * times of the answers in microseconds.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "gateway/base/span.h"

enum {
    CONNECTIONS_MAX = 1024,
    REQUESTS_MAX = 1024,
    REQUEST_BYTES = 1024,
    ANSWER_BYTES = 32 * 1024,
    EVENTS_MAX = 256,
    ID_BYTES = 36,
    STATUS_MAX = 600,
    /* Of times: 16 steps to each power of two. */
    TIME_STEPS = 16,
    TIME_BUCKETS = 40 * TIME_STEPS,
};

struct line {
    int fd; /* -1: to be connected */
    bool asked;
    uint64_t due_ns, again_ns;
    uint64_t answers, turns; /* of this connection; connections before it */
    size_t len;
    char bytes[ANSWER_BYTES];
};

static struct asker {
    struct sockaddr_in to, from;
    uint64_t count, rate, seconds, spread, each, sent, answered, broken, late;
    unsigned lines_count, request_count;
    struct {
        size_t len;
        char bytes[REQUEST_BYTES];
    } requests[REQUESTS_MAX];
    uint64_t by_status[STATUS_MAX], times[TIME_BUCKETS], longest_us, next_due_ns;
    FILE *ids;
    int epoll;
    struct line lines[CONNECTIONS_MAX];
} asker;

static volatile sig_atomic_t stopped;

static void on_stop(int number)
{
    (void)number;
    stopped = 1;
}

static uint64_t now_ns(void)
{
    struct timespec now;
    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

static void die(const char *what)
{
    (void)fprintf(stderr, "asker: %s\n", what);
    exit(2);
}

/* ---- times ---- */

static unsigned bucket_of(uint64_t us)
{
    if (us < TIME_STEPS)
        return (unsigned)us;
    unsigned power = 63 - (unsigned)__builtin_clzll(us);
    unsigned at = (power - 3) * TIME_STEPS + (unsigned)(us >> (power - 4)) % TIME_STEPS;
    return at < TIME_BUCKETS ? at : TIME_BUCKETS - 1;
}

static uint64_t bucket_us(unsigned at)
{
    if (at < TIME_STEPS)
        return at;
    return (uint64_t)(TIME_STEPS + at % TIME_STEPS) << (at / TIME_STEPS - 1);
}

static uint64_t percentile(unsigned hundredths)
{
    uint64_t wanted = asker.answered * hundredths / 10000, seen = 0;
    for (unsigned i = 0; i < TIME_BUCKETS; i++) {
        seen += asker.times[i];
        if (seen > wanted)
            return bucket_us(i);
    }
    return asker.longest_us;
}

/* ---- one connection ---- */

static void hang_up(struct line *line, uint64_t now)
{
    if (line->fd >= 0)
        (void)close(line->fd);
    asker.broken += line->asked;
    line->fd = -1;
    line->asked = false;
    line->len = 0;
    line->again_ns = now + 2000000; /* somebody is being started again */
}

static void connect_line(struct line *line, uint64_t now)
{
    line->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (line->fd < 0)
        die("no socket");
    struct sockaddr_in from = asker.from;
    if (asker.spread > 0) {
        uint64_t number = (uint64_t)(line - asker.lines) + line->turns * asker.lines_count;
        uint32_t step = (uint32_t)(number % asker.spread);
        from.sin_addr.s_addr = htonl(ntohl(from.sin_addr.s_addr) + step);
    }
    if ((from.sin_addr.s_addr != 0 && bind(line->fd, (void *)&from, sizeof(from)) != 0) ||
        connect(line->fd, (void *)&asker.to, sizeof(asker.to)) != 0) {
        hang_up(line, now);
        return;
    }
    struct epoll_event event = { .events = EPOLLIN, .data.ptr = line };
    if (epoll_ctl(asker.epoll, EPOLL_CTL_ADD, line->fd, &event) != 0)
        die("epoll");
}

static void ask(struct line *line, uint64_t due, uint64_t now)
{
    unsigned which = (unsigned)(asker.sent % asker.request_count);
    size_t len = asker.requests[which].len;
    ssize_t sent =
        send(line->fd, asker.requests[which].bytes, len, MSG_NOSIGNAL | MSG_DONTWAIT);
    asker.sent++;
    line->asked = true;
    line->due_ns = due;
    if (sent != (ssize_t)len)
        hang_up(line, now);
}

static void note_id(int status, struct span answer, uint64_t now)
{
    for (size_t i = 0; asker.ids != NULL && i + ID_BYTES <= answer.len; i++) {
        const char *p = answer.p + i;
        if (p[8] == '-' && p[13] == '-' && p[14] == '7' && p[18] == '-' && p[23] == '-') {
            (void)fprintf(asker.ids, "%d %.*s %llu\n", status, ID_BYTES, p,
                          (unsigned long long)now / 1000000);
            return;
        }
    }
}

/* The length of the answer as a whole; 0: not there yet. */
static size_t whole_answer(const struct line *line)
{
    struct span text = span_of(line->bytes, line->len);
    ssize_t end = span_find(text, SPAN("\r\n\r\n"));
    if (end < 0)
        return 0;
    size_t head = (size_t)end + 4;
    const char *field = strcasestr(line->bytes, "\r\ncontent-length:");
    size_t body =
        field != NULL && field < line->bytes + head ? strtoul(field + 17, NULL, 10) : 0;
    return head + body <= line->len ? head + body : 0;
}

static int status_of(const char *answer)
{
    unsigned long status =
        strncmp(answer, "HTTP/1.1 ", 9) == 0 ? strtoul(answer + 9, NULL, 10) : 0;
    if (status < 100 || status >= STATUS_MAX)
        die("no answer of HTTP/1.1");
    return (int)status;
}

static void take_answer(struct line *line, size_t len, uint64_t now)
{
    int status = status_of(line->bytes);
    uint64_t us = (now - line->due_ns) / 1000;
    asker.answered++;
    asker.by_status[status]++;
    asker.times[bucket_of(us)]++;
    asker.longest_us = us > asker.longest_us ? us : asker.longest_us;
    note_id(status, span_of(line->bytes, len), now);
    line->asked = false;
    bool ends = asker.each > 0 && ++line->answers == asker.each;
    bool closes = strcasestr(line->bytes, "\r\nconnection: close") != NULL;
    line->len = 0;
    if (ends) {
        line->answers = 0;
        line->turns++;
    }
    if (closes || ends)
        hang_up(line, now - 2000000);
}

static void receive(struct line *line, uint64_t now)
{
    ssize_t got =
        recv(line->fd, line->bytes + line->len, ANSWER_BYTES - 1 - line->len, MSG_DONTWAIT);
    if (got < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    if (got <= 0 || !line->asked) {
        hang_up(line, now);
        return;
    }
    line->len += (size_t)got;
    line->bytes[line->len] = '\0';
    size_t len = whole_answer(line);
    if (len > 0)
        take_answer(line, len, now);
    else if (line->len == ANSWER_BYTES - 1)
        die("an answer longer than is good");
}

/* ---- all of them ---- */

static bool is_due(uint64_t now)
{
    if (asker.count > 0 && asker.sent >= asker.count)
        return false;
    return asker.rate == 0 || asker.next_due_ns <= now;
}

static void ask_who_may(uint64_t now)
{
    for (unsigned i = 0; i < asker.lines_count; i++) {
        struct line *line = &asker.lines[i];
        if (line->fd < 0 && line->again_ns <= now)
            connect_line(line, now);
        if (line->fd < 0 || line->asked || !is_due(now))
            continue;
        uint64_t due = asker.rate > 0 ? asker.next_due_ns : now;
        if (asker.rate > 0)
            asker.next_due_ns += 1000000000u / asker.rate;
        ask(line, due, now);
    }
}

static bool is_done(void)
{
    return asker.count > 0 && asker.answered + asker.broken >= asker.count;
}

/* For a millisecond at most, and not beyond when the next request is due. */
static int wait_for_events(struct epoll_event *events, uint64_t now)
{
    uint64_t wait_ns = 1000000;
    if (asker.rate > 0 && asker.next_due_ns > now && asker.next_due_ns - now < wait_ns)
        wait_ns = asker.next_due_ns - now;
    struct timespec wait = { .tv_nsec = (long)wait_ns };
    return epoll_pwait2(asker.epoll, events, EVENTS_MAX, &wait, NULL);
}

static double run(void)
{
    struct epoll_event events[EVENTS_MAX];
    uint64_t began = now_ns(), end = began + asker.seconds * 1000000000u, now = began;
    asker.next_due_ns = began;
    while (!stopped && now < end && !is_done()) {
        ask_who_may(now);
        int count = wait_for_events(events, now);
        now = now_ns();
        for (int i = 0; i < count; i++) {
            struct line *line = events[i].data.ptr;
            if (line->fd >= 0)
                receive(line, now);
        }
    }
    if (asker.rate > 0 && asker.next_due_ns < now)
        asker.late = (now - asker.next_due_ns) / (1000000000u / asker.rate);
    return (double)(now - began) / 1e9;
}

static void tell(double seconds)
{
    uint64_t open = 0;
    for (unsigned i = 0; i < asker.lines_count; i++)
        open += asker.lines[i].asked;
    (void)printf("{\"seconds\": %.3f, \"sent\": %llu, \"answered\": %llu, \"broken\": %llu, "
                 "\"open\": %llu, \"late\": %llu, \"p50_us\": %llu, \"p99_us\": %llu, "
                 "\"max_us\": %llu, \"status\": {",
                 seconds, (unsigned long long)asker.sent, (unsigned long long)asker.answered,
                 (unsigned long long)asker.broken, (unsigned long long)open,
                 (unsigned long long)asker.late, (unsigned long long)percentile(5000),
                 (unsigned long long)percentile(9900), (unsigned long long)asker.longest_us);
    const char *comma = "";
    for (unsigned i = 0; i < STATUS_MAX; i++)
        if (asker.by_status[i] > 0) {
            (void)printf("%s\"%u\": %llu", comma, i, (unsigned long long)asker.by_status[i]);
            comma = ", ";
        }
    (void)printf("}}\n");
    if (asker.ids != NULL)
        (void)fclose(asker.ids);
}

/* ---- the command line ---- */

static uint64_t number(const char *text)
{
    uint64_t value = 0;
    if (text == NULL || !span_uint(span_text(text), &value))
        die("a number is wanted");
    return value;
}

static void address(struct sockaddr_in *to, const char *text)
{
    to->sin_family = AF_INET;
    if (text == NULL || inet_pton(AF_INET, text, &to->sin_addr) != 1)
        die("an address is wanted");
}

static bool option(const char *name, const char *value)
{
    struct {
        const char *name;
        uint64_t *to;
    } numbers[] = { { "--seconds", &asker.seconds },
                    { "--count", &asker.count },
                    { "--rate", &asker.rate },
                    { "--spread", &asker.spread },
                    { "--each", &asker.each } };
    for (size_t i = 0; i < ARRAY_LEN(numbers); i++)
        if (strcmp(name, numbers[i].name) == 0) {
            *numbers[i].to = number(value);
            return true;
        }
    if (strcmp(name, "--connections") == 0)
        asker.lines_count = (unsigned)number(value);
    else if (strcmp(name, "--source") == 0)
        address(&asker.from, value);
    else if (strcmp(name, "--ids") == 0)
        asker.ids = fopen(value, "w");
    else
        return false;
    return true;
}

static void add_request(const char *text)
{
    const char *field = strchr(text, ' ');
    int path = field != NULL ? (int)(field - text) : (int)strlen(text);
    if (asker.request_count == REQUESTS_MAX)
        die("too many requests");
    int len = snprintf(asker.requests[asker.request_count].bytes, REQUEST_BYTES,
                       "GET %.*s HTTP/1.1\r\nHost: bench.test\r\nUser-Agent: asker\r\n"
                       "Accept: */*\r\n%s%s\r\n",
                       path, text, field != NULL ? field + 1 : "", field != NULL ? "\r\n" : "");
    if (len < 0 || len >= REQUEST_BYTES)
        die("a request longer than is good");
    asker.requests[asker.request_count++].len = (size_t)len;
}

int main(int argc, char **argv)
{
    asker.lines_count = 32;
    asker.seconds = 3600;
    if (argc < 3)
        die("asker PORT [options] REQUEST...");
    address(&asker.to, "127.0.0.1");
    asker.to.sin_port = htons((uint16_t)number(argv[1]));
    for (int i = 2; i < argc; i++) {
        if (argv[i][0] == '/')
            add_request(argv[i]);
        else if (i + 1 == argc || !option(argv[i], argv[i + 1]))
            die("an option that is not known");
        else
            i++;
    }
    if (asker.request_count == 0 || asker.lines_count == 0 ||
        asker.lines_count > CONNECTIONS_MAX)
        die("no requests, or connections that are too many");
    (void)signal(SIGTERM, on_stop);
    asker.epoll = epoll_create1(EPOLL_CLOEXEC);
    for (unsigned i = 0; i < asker.lines_count; i++)
        asker.lines[i].fd = -1;
    tell(run());
    return 0;
}
