/* The sink: batches, torn lines, files that change under it, a disk that is full. */
#include "gateway/audit/sink.h"

#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <unistd.h>

#include <cmocka.h>

#include "gateway/base/log.h"

static char folder[] = "/tmp/sink-XXXXXX";
static char path[64], other[64];
static char content[2 * SINK_BATCH_BYTES];

static int open_folder(void **state)
{
    (void)state;
    log_open("test", LOG_ERROR + 1);
    if (mkdtemp(folder) == NULL)
        return -1;
    (void)snprintf(path, sizeof(path), "%s/audit.jsonl", folder);
    (void)snprintf(other, sizeof(other), "%s/audit.1", folder);
    return 0;
}

static int close_folder(void **state)
{
    (void)state;
    (void)unlink(path);
    (void)unlink(other);
    return rmdir(folder);
}

static int remove_files(void **state)
{
    (void)state;
    (void)unlink(path);
    (void)unlink(other);
    return 0;
}

static struct span read_file(const char *name)
{
    int fd = open(name, O_RDONLY | O_CLOEXEC);
    assert_true(fd >= 0);
    ssize_t len = read(fd, content, sizeof(content));
    assert_true(len >= 0);
    assert_int_equal(close(fd), 0);
    return span_of(content, (size_t)len);
}

static void write_file(const char *name, struct span bytes)
{
    int fd = open(name, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, bytes.p, bytes.len), (ssize_t)bytes.len);
    assert_int_equal(close(fd), 0);
}

/* A line and its end, as the journal puts it there; false when there is no room. */
static bool put(struct sink *sink, struct span line)
{
    struct text out = sink_room(sink);
    text_add(&out, line);
    text_char(&out, '\n');
    if (!out.overflow)
        sink_add(sink, out.len);
    return !out.overflow;
}

static void test_lines_append(void **state)
{
    (void)state;
    struct sink sink;
    write_file(path, SPAN("old\n"));
    assert_int_equal(sink_open(&sink, path), OK);
    assert_true(put(&sink, SPAN("one")));
    assert_true(put(&sink, SPAN("two")));
    assert_true(span_equal(read_file(path), SPAN("old\n")));
    assert_int_equal(sink_flush(&sink), OK);
    assert_true(span_equal(read_file(path), SPAN("old\none\ntwo\n")));
    assert_int_equal(sink_flush(&sink), OK);
    assert_true(put(&sink, SPAN("three")));
    sink_close(&sink);
    assert_true(span_equal(read_file(path), SPAN("old\none\ntwo\nthree\n")));
}

static void test_a_full_batch(void **state)
{
    (void)state;
    static char line[SINK_BATCH_BYTES];
    struct sink sink;
    memset(line, 'x', sizeof(line));
    assert_int_equal(sink_open(&sink, path), OK);
    assert_false(put(&sink, span_of(line, SINK_BATCH_BYTES)));
    assert_true(put(&sink, span_of(line, SINK_BATCH_BYTES - 1)));
    assert_false(put(&sink, span_of(line, 0)));
    assert_int_equal(sink_flush(&sink), OK);
    assert_true(put(&sink, SPAN("y")));
    sink_close(&sink);
    assert_int_equal(read_file(path).len, SINK_BATCH_BYTES + 2);
}

static void test_reopening(void **state)
{
    (void)state;
    struct sink sink;
    assert_int_equal(sink_open(&sink, path), OK);
    assert_true(put(&sink, SPAN("before")));
    assert_int_equal(rename(path, other), 0);
    assert_int_equal(sink_reopen(&sink), OK);
    assert_true(put(&sink, SPAN("after")));
    sink_close(&sink);
    assert_true(span_equal(read_file(other), SPAN("before\n")));
    assert_true(span_equal(read_file(path), SPAN("after\n")));
    assert_int_equal(sink_open(&sink, "/nonexistent/audit"), ERR_OPEN);
}

/* The file may not grow beyond `bytes`: what a full disk does, without one. */
static void limit_files(rlim_t bytes)
{
    struct rlimit limit = { .rlim_cur = bytes, .rlim_max = RLIM_INFINITY };
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &limit), 0);
}

static void test_a_full_disk(void **state)
{
    (void)state;
    struct sink sink;
    (void)signal(SIGXFSZ, SIG_IGN);
    assert_int_equal(sink_open(&sink, path), OK);
    assert_true(put(&sink, SPAN("first")));
    assert_true(put(&sink, SPAN("second")));
    assert_true(put(&sink, SPAN("third")));
    limit_files(9);
    assert_int_equal(sink_flush(&sink), ERR_WRITE);
    assert_true(sink.failing);
    assert_int_equal(sink_flush(&sink), ERR_WRITE);
    assert_true(span_equal(read_file(path), SPAN("first\nsec")));
    assert_true(span_equal(sink_rest(&sink), SPAN("ond\nthird\n")));
    limit_files(RLIM_INFINITY);
    assert_true(put(&sink, SPAN("fourth")));
    assert_int_equal(sink_flush(&sink), OK);
    assert_false(sink.failing);
    assert_true(span_equal(read_file(path), SPAN("first\nsecond\nthird\nfourth\n")));

    /* A half-written line starts anew in another file. */
    assert_true(put(&sink, SPAN("fifth")));
    limit_files(29);
    assert_int_equal(sink_flush(&sink), ERR_WRITE);
    assert_int_equal(rename(path, other), 0);
    assert_int_equal(sink_reopen(&sink), OK);
    limit_files(RLIM_INFINITY);
    sink_close(&sink);
    assert_true(span_equal(read_file(path), SPAN("fifth\n")));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(test_lines_append, remove_files),
        cmocka_unit_test_teardown(test_a_full_batch, remove_files),
        cmocka_unit_test_teardown(test_reopening, remove_files),
        cmocka_unit_test_teardown(test_a_full_disk, remove_files),
    };
    return cmocka_run_group_tests(tests, open_folder, close_folder);
}
