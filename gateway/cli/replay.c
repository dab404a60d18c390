/*
 * The verbs `replay`, `diff` and `capture`. Each run is a process of its own: it reaches no
 * network and ends with what it was for.
 */
#include "gateway/cli/replay.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include "gateway/base/secret.h"
#include "gateway/cli/replay_groups.h"

enum { WHY_MAX = 128 };

/* What a run tells of one capture, over a pipe. */
struct told_head {
    uint32_t index, facts_len, why_len;
};

struct run {
    struct loaded loaded;
    json_t **decisions; /* NULL: not decided */
    const char **whys;  /* then this is why */
    pid_t pid;
    int fd;
};

struct replaying {
    struct arena arena;
    struct captured_list captures;
    struct replay_groups groups;
};
static struct replaying replaying;

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

static bool start_run(struct run *run, const struct captured_list *list)
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
        _exit(replay_run(&run->loaded, list, tell, &fds[1]) ? EXIT_GOOD : EXIT_TROUBLE);
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

static bool hear_one(struct run *run, size_t count)
{
    struct told_head head;
    if (!read_all(run->fd, &head, sizeof(head)) || head.index >= count ||
        head.facts_len > CAPTURE_BYTES_MAX || head.why_len > WHY_MAX)
        return false;
    char *facts = arena_alloc(&replaying.arena, head.facts_len + 1);
    char *why = arena_zero(&replaying.arena, 1, head.why_len + 1);
    if (facts == NULL || why == NULL || !read_all(run->fd, facts, head.facts_len) ||
        !read_all(run->fd, why, head.why_len))
        return false;
    json_t *all = json_loadb(facts, head.facts_len, 0, NULL);
    run->decisions[head.index] = json_incref(json_object_get(all, "decision"));
    run->whys[head.index] = why;
    json_decref(all);
    return true;
}

static bool hear_run(struct run *run, size_t count)
{
    int status = 0;
    run->decisions = arena_array(&replaying.arena, json_t *, count + 1);
    run->whys = arena_array(&replaying.arena, const char *, count + 1);
    if (run->decisions == NULL || run->whys == NULL)
        return false;
    size_t heard = 0;
    while (heard < count && hear_one(run, count))
        heard++;
    (void)close(run->fd);
    if (waitpid(run->pid, &status, 0) == run->pid && heard == count && WIFEXITED(status) &&
        WEXITSTATUS(status) == EXIT_GOOD)
        return true;
    (void)usage_error("a run ended after %zu of %zu requests", heard, count);
    return false;
}

static int open_run(struct run *run, const char *config)
{
    loaded_open(&run->loaded, config);
    if (run->loaded.config != NULL)
        return EXIT_GOOD;
    loaded_print(&run->loaded, STDERR_FILENO, false);
    return EXIT_BAD;
}

static int read_captures(const struct arguments *arguments, const struct config *config)
{
    const char *key = arguments->values[FLAG_KEY], *file = arguments->values[FLAG_FILE];
    arena_init(&replaying.arena, NULL, 0, NULL, (size_t)16 << 30);
    replaying.groups.arena = &replaying.arena;
    if (key == NULL)
        return usage_error("needs --key FILE: the private key that captures are sealed to");
    if (file == NULL && config->audit.file.text.len > 0)
        file = arena_cstring(&replaying.arena, config->audit.file.text);
    if (file == NULL)
        return usage_error("the configuration has no audit.file: say which by --file");
    const char *wrong = captured_read(&replaying.captures, file, key, &replaying.arena);
    if (wrong != NULL)
        return usage_error("captures of %s: %s", file, wrong);
    replaying.groups.unreadable = replaying.captures.unreadable;
    replaying.groups.incomplete = replaying.captures.incomplete;
    return EXIT_GOOD;
}

/* `from` NULL: what was decided then. */
static int compare(const struct run *from, const struct run *to, bool json)
{
    const struct captured_list *list = &replaying.captures;
    for (size_t i = 0; i < list->count; i++) {
        const json_t *facts = list->items[i].facts;
        const json_t *before =
            from != NULL ? from->decisions[i] : json_object_get(facts, "decision");
        if (before == NULL)
            groups_unknown(&replaying.groups, from->whys[i]);
        else if (to->decisions[i] == NULL)
            groups_unknown(&replaying.groups, to->whys[i]);
        else
            groups_compare(&replaying.groups, facts, before, to->decisions[i],
                           &replaying.arena);
    }
    groups_print(&replaying.groups, json);
    (void)fflush(stdout);
    return replaying.groups.changed > 0 ? EXIT_CHANGED : EXIT_GOOD;
}

int verb_replay(const struct arguments *arguments)
{
    static struct run run;
    bool json;
    if (!output_is_json(arguments, &json))
        return EXIT_BAD;
    if (arguments->operand_count != 0 || arguments->values[FLAG_CONFIG] == NULL)
        return usage_error("`replay` takes -c FILE and --key FILE");
    int code = open_run(&run, arguments->values[FLAG_CONFIG]);
    if (code == EXIT_GOOD)
        code = read_captures(arguments, run.loaded.config);
    if (code != EXIT_GOOD)
        return code;
    if (!start_run(&run, &replaying.captures) || !hear_run(&run, replaying.captures.count))
        return EXIT_TROUBLE;
    return compare(NULL, &run, json);
}

int verb_diff(const struct arguments *arguments)
{
    static struct run from, to;
    bool json;
    if (!output_is_json(arguments, &json))
        return EXIT_BAD;
    if (arguments->operand_count != 2)
        return usage_error("`diff` takes two configurations: OLD NEW");
    int code = open_run(&from, arguments->operands[0]);
    if (code == EXIT_GOOD)
        code = open_run(&to, arguments->operands[1]);
    if (code == EXIT_GOOD)
        code = read_captures(arguments, from.loaded.config);
    if (code != EXIT_GOOD)
        return code;
    size_t count = replaying.captures.count;
    if (!start_run(&from, &replaying.captures) || !hear_run(&from, count) ||
        !start_run(&to, &replaying.captures) || !hear_run(&to, count))
        return EXIT_TROUBLE;
    return compare(&from, &to, json);
}

/* ---- keys ---- */

static int make_key(const char *to)
{
    uint8_t public[CAPTURE_KEY_BYTES], secret[CAPTURE_KEY_BYTES];
    char private_text[CAPTURE_KEY_TEXT + 2], public_text[CAPTURE_KEY_TEXT + 2];
    struct text first = text_fixed(private_text, sizeof(private_text));
    struct text second = text_fixed(public_text, sizeof(public_text));
    if (to == NULL)
        return usage_error("`capture key` takes --to FILE, which will hold the private key");
    if (!capture_key_pair(public, secret))
        return usage_error("no key could be made");
    capture_key_write(&first, secret);
    capture_key_write(&second, public);
    text_char(&first, '\n');
    text_char(&second, '\n');
    int fd = open(to, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
    bool good = fd >= 0 && print_all(fd, text_span(&first)) && fsync(fd) == 0;
    int reason = errno;
    if (fd >= 0)
        (void)close(fd);
    wipe(secret, sizeof(secret));
    wipe(private_text, sizeof(private_text));
    if (!good)
        return usage_error("%s: %s", to, strerrordesc_np(reason));
    (void)print_all(STDOUT_FILENO, text_span(&second));
    return EXIT_GOOD;
}

static int list_captures(const struct arguments *arguments, bool json)
{
    static struct run run;
    int code = open_run(&run, arguments->values[FLAG_CONFIG]);
    if (code == EXIT_GOOD)
        code = read_captures(arguments, run.loaded.config);
    for (size_t i = 0; code == EXIT_GOOD && i < replaying.captures.count; i++) {
        const json_t *facts = replaying.captures.items[i].facts;
        char line[512];
        struct text out = text_fixed(line, sizeof(line));
        if (json) {
            (void)json_dumpf(facts, stdout, JSON_COMPACT);
            (void)putchar('\n');
            continue;
        }
        decision_text(&out, json_object_get(facts, "decision"));
        (void)printf("%s  %.*s\n", json_string_value(json_object_get(facts, "id")),
                     (int)out.len, out.p);
    }
    return code;
}

int verb_capture(const struct arguments *arguments)
{
    bool json;
    if (!output_is_json(arguments, &json))
        return EXIT_BAD;
    const char *what = arguments->operand_count == 1 ? arguments->operands[0] : "";
    if (strcmp(what, "key") == 0)
        return make_key(arguments->values[FLAG_TO]);
    if (strcmp(what, "list") == 0 && arguments->values[FLAG_CONFIG] != NULL)
        return list_captures(arguments, json);
    return usage_error("`capture` takes `key --to FILE`, or `list -c FILE --key FILE`");
}
