/*
 * The control socket under any bytes, whole or in two pieces: the connection ends with one JSON
 * object in one line, or, for a request without its line end, with nothing; the master is asked
 * for nothing but a reload or a stop, and nothing is left behind. Input: the first byte picks
 * where the request is cut.
 */
#include <errno.h>
#include <jansson.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "gateway/process/messages.h"
#include "gateway/steward/steward.h"

enum { TURNS_MAX = 64, ANSWER_ROOM = 256 * 1024 };

static struct steward *steward;
static struct sockaddr_storage name;
static socklen_t name_len;
static int master; /* the far end of the steward's channel to the master */

static void set_up(void)
{
    static struct sockaddr first = { .sa_family = AF_UNIX };
    int pair[2], fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

    steward = calloc(1, sizeof *steward);
    INVARIANT(steward != NULL && fd >= 0);
    steward->settings = calloc(1, sizeof *steward->settings);
    steward->slots = calloc(1, sizeof *steward->slots);
    INVARIANT(steward->settings != NULL && steward->slots != NULL);
    for (size_t i = 0; i < SLOTS_MAX; i++)
        steward->members[i].watch.fd = -1;
    steward->uid = getuid();
    INVARIANT(loop_init(&steward->loop) == OK);
    /* A name of the kernel's choice, in no folder. */
    INVARIANT(bind(fd, &first, sizeof first.sa_family) == 0 && listen(fd, 8) == 0);
    name_len = sizeof name;
    INVARIANT(getsockname(fd, (struct sockaddr *)&name, &name_len) == 0);
    INVARIANT(control_open(steward, fd) == OK);
    INVARIANT(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, pair) == 0);
    steward->master.fd = pair[0];
    master = pair[1];
}

static void turn(void)
{
    loop_turn(&steward->loop, 0);
}

/* What the master would have been told. */
static void check_master(void)
{
    struct message message;
    int fds[MESSAGE_FDS_MAX];
    unsigned count;

    while (message_receive(master, &message, fds, &count) == OK) {
        INVARIANT(message.kind == MESSAGE_RELOAD || message.kind == MESSAGE_STOP);
        INVARIANT(count == 0 && message_allowed(message.kind, ROLE_STEWARD));
    }
}

static void check_answer(struct span answer, bool whole)
{
    if (answer.len == 0) {
        INVARIANT(!whole);
        return;
    }
    INVARIANT(span_index(answer, '\n') == (ssize_t)answer.len - 1);
    json_t *said = json_loadb(answer.p, answer.len, JSON_REJECT_DUPLICATES, NULL);
    INVARIANT(json_is_boolean(json_object_get(said, "ok")));
    json_decref(said);
}

static bool is_over(int fd, char *answer, size_t *len)
{
    ssize_t n = recv(fd, answer + *len, ANSWER_ROOM - *len, MSG_DONTWAIT);

    *len += n > 0 ? (size_t)n : 0;
    return n == 0 || (n < 0 && errno != EAGAIN);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static char answer[ANSWER_ROOM];
    size_t len = 0;
    bool over = false;

    if (size == 0 || size > 4096)
        return 0;
    if (steward == NULL)
        set_up();
    struct span all = span_of((const char *)data + 1, size - 1);
    struct span first = span_sub(all, 0, data[0]), second = span_sub(all, first.len, all.len);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    INVARIANT(fd >= 0 && connect(fd, (struct sockaddr *)&name, name_len) == 0);
    (void)send(fd, first.p, first.len, MSG_NOSIGNAL);
    turn();
    turn();
    (void)send(fd, second.p, second.len, MSG_NOSIGNAL);
    (void)shutdown(fd, SHUT_WR);
    for (unsigned i = 0; i < TURNS_MAX && !over; i++) {
        turn();
        over = is_over(fd, answer, &len);
    }
    /* Whoever waits for a reload is answered when it ends. */
    if (!over) {
        control_outcome(steward, steward->last_cookie, SPAN("x"), true);
        for (unsigned i = 0; i < TURNS_MAX && !over; i++) {
            turn();
            over = is_over(fd, answer, &len);
        }
    }
    INVARIANT(over);
    check_answer(span_of(answer, len), span_index(all, '\n') >= 0);
    (void)close(fd);
    check_master();
    turn();
    INVARIANT(control_idle(steward));
    return 0;
}
