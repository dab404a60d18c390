/*
 * A run of captures in a process of its own: it reaches no network, and ends with what it was
 * for.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>

#include "gateway/cli/replay.h"

enum { WHY_MAX = 128 };

/* What a run tells of one capture, over a pipe. */
struct told_head {
    uint32_t index, facts_len, why_len;
};

struct run {
    pid_t pid;
    int fd;
};

/* ---- the child ---- */

static void tell(void *owner, size_t index, const struct replay_told *told)
{
    const int *fd = owner;
    struct told_head head = { .index = (uint32_t)index,
                              .facts_len = (uint32_t)told->facts.len,
                              .why_len =
                                  (uint32_t)(told->why != NULL ? strlen(told->why) : 0) };
    if (!print_all(*fd, span_of((const char *)&head, sizeof(head))) ||
        !print_all(*fd, told->facts) || !print_all(*fd, span_text(told->why)))
        _exit(EXIT_TROUBLE);
}

static bool start_run(struct loaded *loaded, struct run *run, const struct captured_list *list)
{
    int fds[2];
    run->fd = -1;
    if (pipe2(fds, O_CLOEXEC) != 0)
        return false;
    (void)fflush(stdout);
    run->pid = fork();
    if (run->pid == 0) {
        (void)close(fds[0]);
        /* Threads of stages may run still: nothing is cleared up for them. */
        _exit(replay_run(loaded, list, tell, &fds[1]) ? EXIT_GOOD : EXIT_TROUBLE);
    }
    (void)close(fds[1]);
    run->fd = fds[0];
    return run->pid > 0;
}

/* ---- the parent ---- */

static bool read_all(int fd, void *to, size_t len)
{
    for (size_t done = 0; done < len;) {
        ssize_t got = read(fd, (char *)to + done, len - done);
        if (got < 0 && errno == EINTR)
            continue;
        if (got <= 0)
            return false;
        done += (size_t)got;
    }
    return true;
}

static bool hear_one(struct run *run, struct replay_answers *answers, size_t count,
                     struct arena *arena)
{
    struct told_head head;
    if (!read_all(run->fd, &head, sizeof(head)) || head.index >= count ||
        head.facts_len > CAPTURE_BYTES_MAX || head.why_len > WHY_MAX)
        return false;
    char *facts = arena_alloc(arena, head.facts_len + 1);
    char *why = arena_zero(arena, 1, head.why_len + 1);
    if (facts == NULL || why == NULL || !read_all(run->fd, facts, head.facts_len) ||
        !read_all(run->fd, why, head.why_len))
        return false;
    json_t *all = json_loadb(facts, head.facts_len, JSON_ALLOW_NUL, NULL);
    answers->decisions[head.index] = json_incref(json_object_get(all, "decision"));
    answers->whys[head.index] = why;
    json_decref(all);
    return true;
}

bool replay_answers(struct loaded *loaded, const struct captured_list *list,
                    struct replay_answers *answers, struct arena *arena)
{
    struct run run;
    int status = 0;
    size_t heard = 0;
    answers->decisions = arena_array(arena, json_t *, list->count + 1);
    answers->whys = arena_array(arena, const char *, list->count + 1);
    if (answers->decisions == NULL || answers->whys == NULL || !start_run(loaded, &run, list))
        return false;
    while (heard < list->count && hear_one(&run, answers, list->count, arena))
        heard++;
    (void)close(run.fd);
    if (waitpid(run.pid, &status, 0) == run.pid && heard == list->count && WIFEXITED(status) &&
        WEXITSTATUS(status) == EXIT_GOOD)
        return true;
    (void)usage_error("a run ended after %zu of %zu requests", heard, list->count);
    return false;
}
