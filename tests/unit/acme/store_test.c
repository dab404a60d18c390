/* Files, names and times: what is kept, and when what is due. */
#include "gateway/acme/store.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "auth/strictjson.h"
#include "gateway/acme/schedule.h"
#include "tests/unit/check.h"

static char folder[64];
static int fd = -1;

static int open_all(void **state)
{
    (void)state;
    strict_json_init();
    (void)snprintf(folder, sizeof(folder), "/tmp/acme-store-XXXXXX");
    if (mkdtemp(folder) == NULL)
        return 1;
    fd = acme_store_open(folder);
    return fd < 0;
}

static int close_all(void **state)
{
    (void)state;
    char command[128];
    (void)close(fd);
    (void)snprintf(command, sizeof(command), "rm -rf %s", folder);
    return system(command); /* NOLINT */
}

static struct span content_of(const char *name, struct arena *arena)
{
    struct span content;
    assert_null(acme_store_read(fd, name, arena, &content));
    return content;
}

static void test_files(void **state)
{
    (void)state;
    struct arena arena;
    struct span content;
    struct stat info;

    arena_init(&arena, NULL, 0, NULL, 2 * ACME_FILE_MAX);
    assert_int_equal(content_of("none", &arena).len, 0);
    assert_int_equal(acme_store_time(fd, "none"), 0);
    assert_null(acme_store_write(fd, "one", SPAN("first")));
    assert_null(acme_store_write(fd, "one", SPAN("second")));
    assert_text(content_of("one", &arena), "second");
    assert_int_equal(fstatat(fd, "one", &info, 0), 0);
    assert_int_equal(info.st_mode & 07777, 0600);
    assert_true(acme_store_time(fd, "one") > 0);
    /* What a killed writer has left is in nobody's way; nor is a link that is put there. */
    assert_int_equal(symlinkat("/etc/passwd", fd, "one.new"), 0);
    assert_null(acme_store_write(fd, "one", SPAN("third")));
    assert_text(content_of("one", &arena), "third");
    assert_int_equal(symlinkat("one", fd, "link"), 0);
    assert_non_null(acme_store_read(fd, "link", &arena, &content));
    /* A folder in its place: what was there stays, and nothing is left behind. */
    assert_int_equal(mkdirat(fd, "full", 0700), 0);
    assert_int_equal(mkdirat(fd, "full/x", 0700), 0);
    assert_non_null(acme_store_write(fd, "full", SPAN("x")));
    assert_int_equal(fstatat(fd, "full.new", &info, 0), -1);
    assert_string_equal(acme_store_read(fd, "full", &arena, &content),
                        "it is not a regular file");
    /* As large as may be, and one more. */
    int big = openat(fd, "big", O_WRONLY | O_CREAT, 0600);
    assert_int_equal(ftruncate(big, ACME_FILE_MAX), 0);
    assert_int_equal(content_of("big", &arena).len, ACME_FILE_MAX);
    assert_int_equal(ftruncate(big, ACME_FILE_MAX + 1), 0);
    assert_string_equal(acme_store_read(fd, "big", &arena, &content), "it is too large");
    (void)close(big);
    assert_non_null(acme_store_write(-1, "one", SPAN("x")));
    arena_reset(&arena);
}

static void test_folders(void **state)
{
    (void)state;
    char path[128];
    struct stat info;

    (void)snprintf(path, sizeof(path), "%s/a/b/acme", folder);
    assert_null(acme_store_make(path, NULL));
    assert_null(acme_store_make(path, NULL));
    assert_int_equal(stat(path, &info), 0);
    assert_int_equal(info.st_mode & 07777, 0700);
    assert_int_equal(chmod(path, 0750), 0);
    assert_string_equal(acme_store_make(path, NULL),
                        "it is open to others: private keys need mode 0700");
    (void)snprintf(path, sizeof(path), "%s/one/acme", folder);
    assert_non_null(acme_store_make(path, NULL)); /* a file is in the way */
    assert_non_null(acme_store_make("relative", NULL));
}

static void test_names(void **state)
{
    (void)state;
    static const struct span one[] = { SPAN_INIT("a.test"), SPAN_INIT("b.test") };
    static const struct span joined[] = { SPAN_INIT("a.test\nb.test") };
    static const struct span odd[] = { SPAN_INIT("../../etc/passwd") };
    char name[ACME_NAME_MAX], other[ACME_NAME_MAX];

    acme_store_name(name, SPAN("https://ca.test/dir"), (struct acme_hosts){ one, 2 });
    assert_true(span_starts(span_text(name), SPAN("a.test-")));
    acme_store_name(other, SPAN("https://ca.test/dir2"), (struct acme_hosts){ one, 2 });
    assert_string_not_equal(name, other);
    acme_store_name(other, SPAN("https://ca.test/dir"), (struct acme_hosts){ one, 1 });
    assert_string_not_equal(name, other);
    acme_store_name(other, SPAN("https://ca.test/dir"), (struct acme_hosts){ joined, 1 });
    assert_null(strchr(other, '\n'));
    acme_store_name(other, SPAN("https://ca.test/dir"), (struct acme_hosts){ odd, 1 });
    assert_null(strchr(other, '/'));
    assert_true(other[0] != '.');
}

static void test_tries(void **state)
{
    (void)state;
    struct acme_tries tries = { .failures = 3, .next_s = 1900000000, .why = "so \"it\" is" };
    struct acme_tries read;

    assert_null(acme_tries_write(fd, "site", &tries));
    acme_tries_read(fd, "site", &read);
    assert_int_equal(read.failures, 3);
    assert_int_equal(read.next_s, 1900000000);
    assert_string_equal(read.why, tries.why);
    assert_null(acme_store_write(fd, "site.tries.json",
                                 SPAN("{\"failures\":-1,\"next\":1,\"why\":\"\\u001b[2J\"}")));
    acme_tries_read(fd, "site", &read);
    assert_int_equal(read.failures, 0);
    assert_null(acme_store_write(fd, "site.tries.json", SPAN("nonsense")));
    acme_tries_read(fd, "site", &read);
    assert_int_equal(read.failures, 0);
    tries.failures = 0;
    assert_null(acme_tries_write(fd, "site", &tries));
    assert_int_equal(acme_store_time(fd, "site.tries.json"), 0);
}

static void test_nearest(void **state)
{
    (void)state;
    static const struct span wanted[] = { SPAN_INIT("a.near"), SPAN_INIT("b.near"),
                                          SPAN_INIT("c.near") };
    static char room[8192];
    char name[ACME_NAME_MAX];
    struct acme_hosts hosts = { wanted, 3 };
    int64_t now = time(NULL);

    assert_false(acme_store_nearest(fd, hosts, now, name));
    for (size_t count = 1; count <= 2; count++) {
        struct text text = text_fixed(room, sizeof(room));
        assert_true(acme_self_signed(&text, (struct acme_hosts){ wanted, count }));
        assert_null(acme_store_write(fd, count == 1 ? "near-1" : "near-2", text_span(&text)));
        assert_null(acme_store_write(fd, "near.json", text_span(&text)));
    }
    assert_null(acme_store_write(fd, "near-3", SPAN("broken")));
    assert_true(acme_store_nearest(fd, hosts, now, name));
    assert_string_equal(name, "near-2");
    assert_false(acme_store_nearest(fd, hosts, now + 30 * 86400, name)); /* all have run out */
    struct span other = SPAN("d.near");
    assert_false(acme_store_nearest(fd, (struct acme_hosts){ &other, 1 }, now, name));
}

/* ---- times ---- */

static void test_due(void **state)
{
    (void)state;
    struct acme_dates dates = { .from_s = 0, .until_s = 9000 };
    struct acme_window past = { 100, 200 }, far = { 100000, 200000 }, good = { 5000, 5100 };

    assert_int_equal(acme_due(&dates, 0), 6000);
    assert_int_equal(acme_due(&dates, 179), 6000 - 179);
    assert_int_equal(acme_due(&dates, 180), 6000);
    for (uint32_t dice = 0; dice < 1000; dice += 37) {
        int64_t due = acme_due_window(&dates, &good, 0, dice);
        assert_true(due >= 5000 && due < 5100);
    }
    /* Not so late that it runs out; not so soon that it never ends. */
    assert_int_equal(acme_due_window(&dates, &far, 0, 7), 9000 - 9000 / 8);
    assert_int_equal(acme_due_window(&dates, &past, 1000, 7), 1000 + ACME_HELD_LEAST_S);
}

static void test_backoff(void **state)
{
    (void)state;
    assert_int_equal(acme_backoff(60, 1, 0, 6), 60);
    assert_int_equal(acme_backoff(60, 1, 0, 0), 54);
    assert_int_equal(acme_backoff(60, 1, 0, 11), 65);
    assert_int_equal(acme_backoff(60, 3, 0, 24), 240);
    assert_true(acme_backoff(60, 1000, 0, 0) <= ACME_BACKOFF_MOST_S);
    assert_int_equal(acme_backoff(60, 1, 5000, 0), 5000);
    assert_int_equal(acme_retry_after(SPAN("120"), 0), 120);
    assert_int_equal(acme_retry_after(SPAN("99999999999"), 0), ACME_RETRY_AFTER_MOST_S);
    assert_int_equal(acme_retry_after(SPAN("-1"), 0), 0);
    static const struct span date = SPAN_INIT("Fri, 31 Dec 2027 23:59:59 GMT");
    assert_int_equal(acme_retry_after(date, 1830297599 - 60), 60);
    assert_int_equal(acme_retry_after(date, 1830297599), 0);
    assert_int_equal(acme_retry_after(date, 0), ACME_RETRY_AFTER_MOST_S);
    assert_int_equal(acme_retry_after(SPAN("Fri, 31 Dec 2027 23:59:59 CET"), 0), 0);
    assert_int_equal(acme_retry_after(SPAN(""), 0), 0);
    assert_int_equal(acme_info_wait(0), ACME_INFO_USUAL_S);
    assert_int_equal(acme_info_wait(1), ACME_INFO_LEAST_S);
    assert_int_equal(acme_info_wait(1 << 30), ACME_INFO_MOST_S);
}

static void test_windows(void **state)
{
    (void)state;
#define WINDOW(start, end)                                                                     \
    "{\"suggestedWindow\":{\"start\":\"" start "\",\"end\":\"" end "\"},\"x\":1}"
    static const struct {
        const char *text;
        int64_t from_s, until_s; /* 0: refused */
    } rows[] = {
        { WINDOW("2025-01-02T04:00:00Z", "2025-01-03T04:00:00Z"), 1735790400, 1735876800 },
        { WINDOW("2025-01-02T04:00:00.123Z", "2025-01-03T06:00:00+02:00"), 1735790400,
          1735876800 },
        { WINDOW("2025-01-02T03:30:00-00:30", "2025-01-03T04:00:00Z"), 1735790400, 1735876800 },
        { WINDOW("2025-01-03T04:00:00Z", "2025-01-03T04:00:00Z"), 0, 0 },
        { WINDOW("2025-01-02", "2025-01-03"), 0, 0 },
        { WINDOW("2025-01-02T04:00:00", "2025-01-03T04:00:00Z"), 0, 0 },
        { WINDOW("2025-13-02T04:00:00Z", "2026-01-03T04:00:00Z"), 0, 0 },
        { WINDOW("2025-01-02T04:00:00+99:00", "2025-01-03T04:00:00Z"), 0, 0 },
        { "{}", 0, 0 },
        { "", 0, 0 },
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct acme_window window;
        const char *why = acme_read_window(span_text(rows[i].text), &window);
        assert_true((why == NULL) == (rows[i].from_s != 0));
        if (why == NULL) {
            assert_int_equal(window.from_s, rows[i].from_s);
            assert_int_equal(window.until_s, rows[i].until_s);
        }
    }
}

static void test_urls(void **state)
{
    (void)state;
    static char longest[ACME_URL_MAX + 2];
    static const struct {
        const char *text;
        bool good;
    } rows[] = {
        { "https://ca.test/x", true },
        { "https://CA.test:443/x?y=1", true },
        { "http://ca.test/x", false },
        { "https://ca.test:444/x", false },
        { "https://ca.test.evil/x", false },
        { "https://user@ca.test/x", false },
        { "https://ca.test/x y", false },
        { "https://ca.test/\"", false },
        { "//ca.test/x", false },
        { "/x", false },
        { "", false },
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++)
        if (acme_url_allowed(SPAN("https://ca.test/dir"), span_text(rows[i].text)) !=
            rows[i].good)
            fail_msg("%s", rows[i].text);
    memset(longest, 'x', sizeof(longest));
    memcpy(longest, "https://ca.test/", 16);
    assert_true(acme_url_allowed(SPAN("https://ca.test/dir"), span_of(longest, ACME_URL_MAX)));
    assert_false(
        acme_url_allowed(SPAN("https://ca.test/dir"), span_of(longest, ACME_URL_MAX + 1)));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_files),   TEST(test_folders), TEST(test_names),
        TEST(test_tries),   TEST(test_nearest), TEST(test_due),
        TEST(test_backoff), TEST(test_windows), TEST(test_urls),
    };
    return cmocka_run_group_tests(tests, open_all, close_all);
}
