/* Listing and reading a log while a recorder rotates, compresses and prunes it. */
#include "gateway/audit/segments.h"

#include <fcntl.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>
#include <zstd.h>

static char folder[64], log_path[128];
static struct arena arena;

static const char *numbered(unsigned number, const char *suffix)
{
    static char name[160];
    (void)snprintf(name, sizeof name, "%s.%06u%s", log_path, number, suffix);
    return name;
}

static void put(const char *path, const void *bytes, size_t len)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, bytes, len), (ssize_t)len);
    close(fd);
}

static int set_up(void **state)
{
    (void)state;
    (void)snprintf(folder, sizeof folder, "/tmp/sallyport-segments-XXXXXX");
    assert_non_null(mkdtemp(folder));
    (void)snprintf(log_path, sizeof log_path, "%s/a.jsonl", folder);
    arena_init(&arena, NULL, 0, NULL, 64 * 1024 * 1024);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    char command[128];
    (void)snprintf(command, sizeof command, "rm -rf %s", folder);
    assert_int_equal(system(command), 0);
    arena_reset(&arena);
    return 0;
}

static void assert_reads(const struct segment *segment, const char *expected)
{
    struct lines lines;
    struct span line;
    for (int turn = 0; turn < 2; turn++) { /* from the beginning each time */
        assert_int_equal(segment_open(&lines, segment), OK);
        assert_true(lines_next(&lines, &line));
        assert_true(span_equal(line, span_text(expected)));
        assert_false(lines_next(&lines, &line));
        lines_close(&lines);
    }
}

static void compress(unsigned number, const char *text)
{
    char packed[256], name[160];
    size_t len = ZSTD_compress(packed, sizeof packed, text, strlen(text), 1);
    (void)snprintf(name, sizeof name, "%s", numbered(number, ".zst"));
    put(name, packed, len);
    assert_int_equal(unlink(numbered(number, "")), 0);
}

static void test_what_was_listed_is_what_is_read(void **state)
{
    (void)state;
    struct segments segments;
    put(numbered(1, ""), "one\n", 4);
    put(numbered(2, ""), "two\n", 4);
    put(log_path, "three\n", 6);
    assert_int_equal(segments_list(&segments, log_path, &arena), OK);
    assert_int_equal(segments.count, 3);

    compress(1, "one\n");
    assert_int_equal(rename(log_path, numbered(3, "")), 0);
    put(log_path, "four\n", 5);
    compress(3, "three\n");
    assert_reads(&segments.items[0], "one");
    assert_reads(&segments.items[1], "two");
    assert_reads(&segments.items[2], "three");

    struct lines lines;
    assert_int_equal(unlink(numbered(2, "")), 0);
    assert_int_equal(segment_open(&lines, &segments.items[1]), ERR_MISSING);
    segments_close(&segments);
    assert_int_equal(segments_list(&segments, log_path, &arena), OK);
    assert_int_equal(segments.count, 3);
    assert_true(segments.items[0].compressed && segments.items[1].compressed);
    assert_reads(&segments.items[2], "four");
    segments_close(&segments);
}

static void test_no_growing_file(void **state)
{
    (void)state;
    struct segments segments;
    put(numbered(7, ""), "seven\n", 6);
    assert_int_equal(segments_list(&segments, log_path, &arena), OK);
    assert_int_equal(segments.count, 1);
    segments_close(&segments);
    /* A pipe of that name is not waited for. */
    assert_int_equal(mkfifo(log_path, 0600), 0);
    assert_int_equal(segments_list(&segments, log_path, &arena), OK);
    assert_int_equal(segments.count, 1);
    segments_close(&segments);
}

enum { ROTATIONS = 400 };

static void *rotate(void *unused)
{
    (void)unused;
    for (unsigned i = 1; i <= ROTATIONS; i++) {
        char text[16], name[160];
        int len = snprintf(text, sizeof text, "%u\n", i);
        put(log_path, text, (size_t)len);
        (void)usleep(200);
        (void)snprintf(name, sizeof name, "%s.%06u", log_path, i);
        assert_int_equal(rename(log_path, name), 0);
    }
    return NULL;
}

/* Each list is whole: all numbers up to the last one, and then what grew at that moment. */
static void test_a_list_is_of_one_moment(void **state)
{
    (void)state;
    pthread_t thread;
    size_t seen = 0, lists = 0;
    assert_int_equal(pthread_create(&thread, NULL, rotate, NULL), 0);
    while (seen < ROTATIONS) {
        struct segments segments;
        struct lines lines;
        struct span line;
        enum err err = segments_list(&segments, log_path, &arena);
        if (err == ERR_BUSY)
            continue;
        assert_int_equal(err, OK);
        lists++;
        seen = segments.count;
        for (size_t i = 0; i < segments.count; i++) {
            uint64_t number = 0;
            assert_int_equal(segment_open(&lines, &segments.items[i]), OK);
            if (lines_next(&lines, &line)) { /* the growing one may be empty yet */
                assert_true(span_uint(line, &number));
                assert_int_equal(number, i + 1);
            } else {
                assert_int_equal(segments.items[i].number, UINT64_MAX);
                seen--;
            }
            lines_close(&lines);
        }
        segments_close(&segments);
        arena_reset(&arena);
    }
    assert_true(lists > 0);
    (void)pthread_join(thread, NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_what_was_listed_is_what_is_read, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(test_no_growing_file, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_a_list_is_of_one_moment, set_up, tear_down),
    };
    return cmocka_run_group_tests_name("segments", tests, NULL, NULL);
}
