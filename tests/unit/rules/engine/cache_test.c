/* The cache of compiled rules: what is believed, and what is not. */
#include "rules/engine/cache.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "tests/unit/check.h"

enum { LIMIT = 1024 * 1024, HEAD = 80 };

static char folder[64];
static const struct cache_name name = { { 1, 2, 3, 0xab } };
static const char *const file_name =
    "010203ab00000000000000000000000000000000000000000000000000000000.entry";

static int begin(void **state)
{
    (void)state;
    (void)snprintf(folder, sizeof(folder), "%s", "/tmp/sallyport-cache-XXXXXX");
    return mkdtemp(folder) != NULL ? 0 : -1;
}

static int end(void **state)
{
    char command[128];
    (void)state;
    (void)snprintf(command, sizeof(command), "rm -rf '%s'", folder);
    return system(command);
}

static struct cache *opened(void)
{
    const char *why = "?";
    struct cache *cache = cache_open(folder, LIMIT, &why);
    assert_non_null(cache);
    assert_null(why);
    return cache;
}

static void refused(const char *path, const char *reason)
{
    const char *why = NULL;
    assert_null(cache_open(path, LIMIT, &why));
    assert_non_null(strstr(why, reason));
}

static const char *entry(const char *file)
{
    static char path[192];
    (void)snprintf(path, sizeof(path), "%s/%s", folder, file);
    return path;
}

static void assert_has(struct cache *cache, struct span wanted)
{
    struct span got = cache_get(cache, &name);
    assert_non_null(got.p);
    assert_span(got, wanted);
    free((char *)got.p);
}

static void assert_gone(struct cache *cache)
{
    assert_null(cache_get(cache, &name).p);
}

static void put(struct cache *cache)
{
    assert_int_equal(cache_put(cache, &name, SPAN("content")), 0);
    assert_has(cache, SPAN("content"));
}

static void kept_and_replaced(void **state)
{
    (void)state;
    struct cache *cache = opened();
    assert_gone(cache);
    put(cache);
    assert_int_equal(cache_put(cache, &name, SPAN("other")), 0);
    assert_has(cache, SPAN("other"));
    assert_int_equal(cache_put(cache, &name, SPAN("")), 0);
    assert_has(cache, SPAN(""));
    cache_close(cache);

    struct stat info;
    assert_int_equal(stat(entry(file_name), &info), 0);
    assert_int_equal(info.st_mode & 07777, 0600);
    cache = opened();
    assert_has(cache, SPAN(""));
    cache_close(cache);
}

static void folder_is_made(void **state)
{
    (void)state;
    char path[128];
    const char *why;
    struct stat info;
    (void)snprintf(path, sizeof(path), "%s/a/b/c", folder);
    struct cache *cache = cache_open(path, LIMIT, &why);
    assert_non_null(cache);
    assert_int_equal(stat(path, &info), 0);
    assert_int_equal(info.st_mode & 07777, 0700);
    put(cache);
    cache_close(cache);
}

static void folder_of_others(void **state)
{
    (void)state;
    static const mode_t modes[] = { 0701, 0710, 0740, 0770, 0777, 01777 };
    for (size_t i = 0; i < ARRAY_LEN(modes); i++) {
        assert_int_equal(chmod(folder, modes[i]), 0);
        refused(folder, "0700");
    }
    assert_int_equal(chmod(folder, 0700), 0);

    char link[128];
    (void)snprintf(link, sizeof(link), "%s.link", folder);
    assert_int_equal(symlink(folder, link), 0);
    refused(link, "");
    assert_int_equal(unlink(link), 0);
    refused("/dev/null", "");
    refused("/proc/none/at/all", "");
    if (geteuid() == 0) {
        assert_int_equal(chown(folder, 1, 1), 0);
        refused(folder, "another user");
    }
}

/* A change of any byte of the file, a byte less, a byte more. */
static void every_byte_counts(void **state)
{
    (void)state;
    struct cache *cache = opened();
    put(cache);
    for (off_t at = 0; at < HEAD + 7; at++) {
        int fd = open(entry(file_name), O_RDWR | O_CLOEXEC);
        char byte;
        assert_int_equal(pread(fd, &byte, 1, at), 1);
        byte ^= 0x10;
        assert_int_equal(pwrite(fd, &byte, 1, at), 1);
        assert_gone(cache);
        byte ^= 0x10;
        assert_int_equal(pwrite(fd, &byte, 1, at), 1);
        (void)close(fd);
        assert_has(cache, SPAN("content"));
    }
    for (off_t len = 0; len < HEAD + 7; len++) {
        put(cache);
        assert_int_equal(truncate(entry(file_name), len), 0);
        assert_gone(cache);
    }
    put(cache);
    assert_int_equal(truncate(entry(file_name), HEAD + 8), 0);
    assert_gone(cache);
    cache_close(cache);
}

static void open_files(void **state)
{
    (void)state;
    static const mode_t modes[] = { 0604, 0620, 0660, 0666, 0602 };
    struct cache *cache = opened();
    for (size_t i = 0; i < ARRAY_LEN(modes); i++) {
        put(cache);
        assert_int_equal(chmod(entry(file_name), modes[i]), 0);
        assert_gone(cache);
    }
    put(cache); /* which puts another in its place */
    if (geteuid() == 0) {
        assert_int_equal(chown(entry(file_name), 1, 1), 0);
        assert_gone(cache);
        put(cache);
    }
    cache_close(cache);
}

static void links(void **state)
{
    (void)state;
    struct cache *cache = opened();
    put(cache);
    char other[192];
    (void)snprintf(other, sizeof(other), "%s/other", folder);
    assert_int_equal(link(entry(file_name), other), 0);
    assert_gone(cache);
    assert_int_equal(unlink(entry(file_name)), 0);
    assert_int_equal(symlink(other, entry(file_name)), 0);
    assert_gone(cache);
    put(cache); /* replaces the link, not what it leads to */
    struct stat info;
    assert_int_equal(lstat(entry(file_name), &info), 0);
    assert_true(S_ISREG(info.st_mode));

    assert_int_equal(unlink(entry(file_name)), 0);
    assert_int_equal(mkfifo(entry(file_name), 0600), 0);
    assert_gone(cache);
    assert_int_equal(unlink(entry(file_name)), 0);
    assert_int_equal(mkdir(entry(file_name), 0700), 0);
    assert_gone(cache);
    assert_int_not_equal(cache_put(cache, &name, SPAN("content")), 0);
    cache_close(cache);
}

/* A good file under another's name is not that other. */
static void renamed(void **state)
{
    (void)state;
    struct cache_name second = { { 9 } };
    struct cache *cache = opened();
    assert_int_equal(cache_put(cache, &second, SPAN("second")), 0);
    char from[192];
    (void)snprintf(from, sizeof(from),
                   "%s/09000000000000000000000000000000000000000000000000"
                   "00000000000000.entry",
                   folder);
    assert_int_equal(rename(from, entry(file_name)), 0);
    assert_gone(cache);
    cache_close(cache);
}

static unsigned put_many(unsigned count, size_t size)
{
    struct cache *cache = opened();
    char *content = calloc(1, size);
    for (unsigned i = 0; i < count; i++) {
        struct cache_name numbered = { { 7, (uint8_t)i, (uint8_t)(i >> 8) } };
        assert_int_equal(cache_put(cache, &numbered, span_of(content, size)), 0);
    }
    free(content);
    cache_close(cache);

    cache = opened();
    unsigned left = 0;
    for (unsigned i = 0; i < count; i++) {
        struct cache_name numbered = { { 7, (uint8_t)i, (uint8_t)(i >> 8) } };
        struct span got = cache_get(cache, &numbered);
        left += got.p != NULL;
        free((char *)got.p);
    }
    cache_close(cache);
    return left;
}

static void pruned_by_count(void **state)
{
    (void)state;
    assert_int_equal(put_many(CACHE_FILES_MAX, 10), CACHE_FILES_MAX);
    assert_int_equal(put_many(CACHE_FILES_MAX + 1, 10), CACHE_FILES_MAX);
}

static void pruned_by_bytes(void **state)
{
    (void)state;
    assert_int_equal(put_many(4, LIMIT / 4 - HEAD), 4);
    assert_int_equal(put_many(5, LIMIT / 4 - HEAD), 4);
}

static void make(const char *file, time_t age)
{
    int fd = open(entry(file), O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    struct timespec times[2] = { { time(NULL) - age, 0 }, { time(NULL) - age, 0 } };
    assert_true(fd >= 0);
    assert_int_equal(futimens(fd, times), 0);
    (void)close(fd);
}

static void drafts_and_strangers(void **state)
{
    (void)state;
    char old[128], young[128];
    (void)snprintf(old, sizeof(old), "%s.12.0", file_name);
    (void)snprintf(young, sizeof(young), "%s.13.0", file_name);
    make(old, CACHE_STALE_S + 10);
    make(young, CACHE_STALE_S - 60);
    make("notes", 10 * CACHE_STALE_S);
    struct cache *cache = opened();
    put(cache);
    cache_close(cache);
    assert_int_not_equal(access(entry(old), F_OK), 0);
    assert_int_equal(access(entry(young), F_OK), 0);
    assert_int_equal(access(entry("notes"), F_OK), 0);
    assert_int_equal(access(entry(file_name), F_OK), 0);
}

static void used_stay(void **state)
{
    (void)state;
    struct cache *cache = opened();
    put(cache);
    cache_close(cache);
    struct timespec times[2] = { { time(NULL) - 1000, 0 }, { time(NULL) - 1000, 0 } };
    assert_int_equal(utimensat(AT_FDCWD, entry(file_name), times, 0), 0);
    cache = opened();
    assert_has(cache, SPAN("content"));
    cache_close(cache);
    struct stat info;
    assert_int_equal(stat(entry(file_name), &info), 0);
    assert_true(info.st_mtim.tv_sec > time(NULL) - 500);
}

#define IN_FOLDER(fn) cmocka_unit_test_setup_teardown(fn, begin, end)

int main(void)
{
    return RUN(IN_FOLDER(kept_and_replaced), IN_FOLDER(folder_is_made),
               IN_FOLDER(folder_of_others), IN_FOLDER(every_byte_counts), IN_FOLDER(open_files),
               IN_FOLDER(links), IN_FOLDER(renamed), IN_FOLDER(pruned_by_count),
               IN_FOLDER(pruned_by_bytes), IN_FOLDER(drafts_and_strangers),
               IN_FOLDER(used_stay));
}
