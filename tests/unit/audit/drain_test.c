/*
 * The recorder's work killed at any instruction: a child drains rings with records into a
 * journal, is stepped through what lies between the write and the end of the turn, and killed
 * there. Whoever follows writes each record once, and the chain holds.
 */
#include "gateway/audit/drain.h"

#include <dirent.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/ptrace.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "gateway/base/log.h"

enum { RINGS = 3, RECORDS = 4, STEPS_MAX = 4000000, LOST = 7, REPEATS = 5 };

static char folder[64], path[96];
static char content[1024 * 1024];
static struct rings *rings;
static struct seal_memory *memory;
static struct drain drain;
static struct journal journal;
static struct ring_writer writers[RINGS];
static const uint64_t start_us = 1800000000000000u;

static void *shared(size_t size)
{
    void *p = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    assert_true(p != MAP_FAILED);
    return p;
}

static int open_folder(void **state)
{
    (void)state;
    log_open("test", LOG_ERROR + 1);
    (void)snprintf(folder, sizeof(folder), "/tmp/drain-XXXXXX");
    if (mkdtemp(folder) == NULL)
        return -1;
    (void)snprintf(path, sizeof(path), "%s/audit.jsonl", folder);
    rings = shared(sizeof(struct rings));
    memory = shared(sizeof(struct seal_memory));
    return 0;
}

static void empty_folder(void)
{
    DIR *dir = opendir(folder);
    const struct dirent *entry;
    while (dir != NULL && (entry = readdir(dir)) != NULL)
        (void)unlinkat(dirfd(dir), entry->d_name, 0);
    if (dir != NULL)
        (void)closedir(dir);
}

static int close_folder(void **state)
{
    (void)state;
    empty_folder();
    (void)munmap(rings, sizeof(struct rings));
    (void)munmap(memory, sizeof(struct seal_memory));
    return rmdir(folder);
}

static void start(void)
{
    const struct journal_conf conf = { .path = path };
    memset(&drain, 0, sizeof(drain));
    drain.written_fd = -1;
    assert_int_equal(journal_open(&journal, &conf, memory, start_us), OK);
    drain_open(&drain, rings, &journal, memory);
}

static struct drain_turn turn(void)
{
    struct drain_turn done = drain_turn(&drain, start_us, false);
    journal_tick(&journal, start_us);
    if (done.flushed)
        drain_settle(&drain);
    return done;
}

static void stop(void)
{
    journal_close(&journal, start_us);
}

static void commit(unsigned ring, unsigned n)
{
    char line[128];
    int len =
        snprintf(line, sizeof(line), "{\"ring\":%u,\"n\":%u,\"sallyport\":{\"a\":0}}", ring, n);
    assert_true(ring_commit(&writers[ring], RECORD_DECIDED, span_of(line, (size_t)len)));
}

static void fill(unsigned from)
{
    for (unsigned ring = 0; ring < RINGS; ring++)
        for (unsigned n = 0; n < RECORDS; n++)
            commit(ring, from + n);
}

/* What a full ring lost, and what repeated: told once, too. */
static void lose_and_repeat(void)
{
    static const char head[] = "{\"event\":{},\"sallyport\":{\"action\":\"block\"";
    struct ring *ring = &rings->ring[1];
    struct flood_slot *slot = &ring->flood[3];
    ring->lost[RECORD_FORWARDED] += LOST;
    slot->key = 9;
    slot->len = sizeof(head) - 1;
    memcpy(slot->line, head, sizeof(head));
    slot->began_us = slot->last_us = start_us - 10000000;
    slot->count += REPEATS;
}

static void prepare(void)
{
    empty_folder();
    memset(rings, 0, sizeof(*rings));
    memset(memory, 0, sizeof(*memory));
    for (unsigned i = 0; i < RINGS; i++) {
        unsigned slot;
        assert_int_equal(ring_claim(rings, getpid(), &slot), OK);
        writers[slot] =
            (struct ring_writer){ .rings = rings, .ring = &rings->ring[slot], .wake_fd = -1 };
    }
    fill(0); /* one batch is behind them all */
    start();
    (void)turn();
    stop();
    fill(RECORDS);
    lose_and_repeat();
}

static unsigned occurrences(struct span text, const char *what)
{
    unsigned count = 0;
    ssize_t at;
    while ((at = span_find(text, span_text(what))) >= 0) {
        count++;
        text = span_sub(text, (size_t)at + 1, text.len);
    }
    return count;
}

/* Each record once, gaps and sums once, and one chain over all. */
static void check_file(unsigned killed_at)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    assert_true(fd >= 0);
    ssize_t len = read(fd, content, sizeof(content));
    assert_int_equal(close(fd), 0);
    assert_true(len > 0);
    struct span text = span_of(content, (size_t)len), rest = text, line;
    for (unsigned ring = 0; ring < RINGS; ring++)
        for (unsigned n = 0; n < 3 * RECORDS; n++) {
            char what[64];
            (void)snprintf(what, sizeof(what), "{\"ring\":%u,\"n\":%u,", ring, n);
            if (occurrences(text, what) != 1)
                fail_msg("killed at %u: record %u of ring %u stands there %u times", killed_at,
                         n, ring, occurrences(text, what));
        }
    if (occurrences(text, "\"action\":\"gap\",\"reason\":\"ring-full") != 1 ||
        occurrences(text, "\"repeat\":{\"count\":5") != 1)
        fail_msg("killed at %u: gap %u times, sum %u times", killed_at,
                 occurrences(text, "\"action\":\"gap\",\"reason\":\"ring-full"),
                 occurrences(text, "\"repeat\":{\"count\":5"));
    uint8_t head[CHAIN_BYTES] = { 0 }, leaf[CHAIN_BYTES];
    uint64_t seq = 0;
    while (rest.len > 0 && span_cut(&rest, '\n', &line)) {
        struct sealed sealed;
        assert_true(sealed_parse(line, &sealed));
        assert_int_equal(sealed.seq, ++seq);
        chain_leaf(sealed.body, leaf);
        chain_advance(head, sealed.seq, leaf);
        assert_memory_equal(head, sealed.hash, CHAIN_SHOWN);
    }
}

/* ---- what a kill leaves: shared memory and files ---- */

enum { FILES = 3, FILE_MAX = 128 * 1024, STATES_MAX = 4096 };
static const char *const suffixes[FILES] = { "", ".seal", ".state" };

struct left {
    char rings[RINGS][offsetof(struct ring, bytes)];
    struct seal_memory memory;
};
static struct files {
    char content[FILES][FILE_MAX];
    size_t len[FILES];
} kept_files;

static void look(struct left *left)
{
    for (unsigned i = 0; i < RINGS; i++)
        memcpy(left->rings[i], &rings->ring[i], sizeof(left->rings[i]));
    left->memory = *memory;
}

static bool changed(const struct left *left)
{
    for (unsigned i = 0; i < RINGS; i++)
        if (memcmp(left->rings[i], &rings->ring[i], sizeof(left->rings[i])) != 0)
            return true;
    return memcmp(&left->memory, memory, sizeof(left->memory)) != 0;
}

static int open_file(int i, int flags)
{
    char name[128];
    (void)snprintf(name, sizeof(name), "%s%s", path, suffixes[i]);
    int fd = open(name, flags | O_CLOEXEC, 0600);
    assert_true(fd >= 0);
    return fd;
}

static void keep_files(struct files *files)
{
    for (int i = 0; i < FILES; i++) {
        int fd = open_file(i, O_RDONLY);
        ssize_t len = read(fd, files->content[i], FILE_MAX);
        assert_true(len >= 0 && len < FILE_MAX);
        files->len[i] = (size_t)len;
        assert_int_equal(close(fd), 0);
    }
}

static void restore(const struct left *left, const struct files *files)
{
    /* The records' bytes stay: nobody writes over them here. */
    for (unsigned i = 0; i < RINGS; i++)
        memcpy((void *)&rings->ring[i], left->rings[i], sizeof(left->rings[i]));
    *memory = left->memory;
    for (int i = 0; i < FILES; i++) {
        int fd = open_file(i, O_WRONLY | O_TRUNC);
        assert_int_equal(write(fd, files->content[i], files->len[i]), (ssize_t)files->len[i]);
        assert_int_equal(close(fd), 0);
    }
}

static void follow_up(unsigned killed_at)
{
    start();
    fill(2 * RECORDS);
    while (turn().any)
        continue;
    stop();
    check_file(killed_at);
}

/* ---- the child ---- */

static pid_t start_child(void)
{
    pid_t child = fork();
    assert_true(child >= 0);
    if (child > 0)
        return child;
    start();
    if (ptrace(PTRACE_TRACEME, 0, NULL, NULL) != 0)
        _exit(7);
    (void)raise(SIGSTOP);
    (void)turn();
    (void)raise(SIGSTOP);
    _exit(0);
}

/* True while it is in its turn: it has gone to a system call boundary, or one instruction. */
static bool step(pid_t child, bool instruction)
{
    int status;
    return ptrace(instruction ? PTRACE_SINGLESTEP : PTRACE_SYSCALL, child, NULL, NULL) == 0 &&
           waitpid(child, &status, 0) == child && WIFSTOPPED(status) &&
           WSTOPSIG(status) == SIGTRAP;
}

static bool run_to_write(pid_t child)
{
    struct stat before, now;
    int status;
    assert_int_equal(waitpid(child, &status, 0), child);
    if (WIFEXITED(status)) /* no tracing here */
        return false;
    assert_int_equal(stat(path, &before), 0);
    do {
        assert_true(step(child, false));
        assert_int_equal(stat(path, &now), 0);
    } while (now.st_size == before.st_size);
    return true;
}

/* Every instruction from the write to the end of the turn, as far as it changed anything that
 * outlives the process. */
static void test_killed_anywhere_writes_each_once(void **state)
{
    (void)state;
    static struct left *left;
    unsigned count = 0;
    long steps = 0;
    left = calloc(STATES_MAX, sizeof(*left));
    assert_non_null(left);
    prepare();
    pid_t child = start_child();
    if (!run_to_write(child)) {
        free(left);
        skip();
    }
    keep_files(&kept_files);
    look(&left[count++]);
    for (; steps < STEPS_MAX && step(child, true); steps++)
        if (changed(&left[count - 1]) && count < STATES_MAX)
            look(&left[count++]);
    assert_int_equal(kill(child, SIGKILL), 0);
    assert_int_equal(waitpid(child, NULL, 0), child);
    assert_true(steps > 100 && steps < STEPS_MAX);
    assert_true(count > 3 + RINGS && count < STATES_MAX);
    for (unsigned i = 0; i < count; i++) {
        restore(&left[i], &kept_files);
        follow_up(i);
    }
    free(left);
}

/* Of the batch that is written next, and how many bytes it has. */
static struct seal_memory one_turn(size_t *bytes, struct files *files)
{
    struct stat before, after;
    keep_files(files);
    assert_int_equal(stat(path, &before), 0);
    start();
    (void)drain_turn(&drain, start_us, false);
    assert_int_equal(stat(path, &after), 0);
    *bytes = (size_t)(after.st_size - before.st_size);
    struct seal_memory then = *memory;
    stop();
    return then;
}

/* Before the write nothing has left the rings, whatever was put down for it. */
static void test_killed_before_the_write(void **state)
{
    (void)state;
    static struct left left;
    size_t bytes;
    prepare();
    look(&left);
    struct seal_memory then = one_turn(&bytes, &kept_files);
    memcpy(left.memory.acks, then.acks, sizeof(then.acks));
    restore(&left, &kept_files);
    follow_up(0);

    /* Half put down: it stands under no head then. */
    prepare();
    unsigned next =
        memcmp(memory->acks[0].head, memory->state[0].chain.head, CHAIN_BYTES) == 0 ||
        memcmp(memory->acks[0].head, memory->state[1].chain.head, CHAIN_BYTES) == 0;
    memset(memory->acks[next].head, 0, CHAIN_BYTES);
    memset(memory->acks[next].ring, 0xff, sizeof(memory->acks[next].ring) / 2);
    follow_up(1);
}

/* The kernel took a part of the batch: its whole lines are known again, the torn one goes. */
static void test_killed_within_the_write(void **state)
{
    (void)state;
    static struct left left;
    static struct files files;
    size_t bytes;
    prepare();
    /* The gap and the sum of a torn batch may be told twice: they come later here. */
    rings->ring[1].lost[RECORD_FORWARDED] = 0;
    rings->ring[1].flood[3].count = 0;
    look(&left);
    struct seal_memory then = one_turn(&bytes, &kept_files);
    memcpy(left.memory.acks, then.acks, sizeof(then.acks));
    struct files *written = malloc(sizeof(*written));
    assert_non_null(written);
    keep_files(written);
    for (size_t part = 1; part < bytes; part += bytes / 60 + 1) {
        files = kept_files;
        memcpy(files.content[0], written->content[0], files.len[0] + part);
        files.len[0] += part;
        restore(&left, &files);
        lose_and_repeat();
        follow_up((unsigned)part);
    }
    free(written);
}

/* A ring that was given to another worker since: what was put down is not about it. */
static void test_another_life_of_a_ring(void **state)
{
    (void)state;
    unsigned slot;
    prepare();
    rings->ring[0].head = rings->ring[0].tail = 0;
    rings->ring[0].state = RING_FREE;
    assert_int_equal(ring_claim(rings, getpid(), &slot), OK);
    assert_int_equal(slot, 0);
    for (unsigned n = 0; n < RECORDS; n++)
        commit(0, RECORDS + n);
    follow_up(0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_killed_anywhere_writes_each_once, open_folder,
                                        close_folder),
        cmocka_unit_test_setup_teardown(test_killed_before_the_write, open_folder,
                                        close_folder),
        cmocka_unit_test_setup_teardown(test_killed_within_the_write, open_folder,
                                        close_folder),
        cmocka_unit_test_setup_teardown(test_another_life_of_a_ring, open_folder, close_folder),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
