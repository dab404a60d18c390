/* The journal: what was written is taken up again after any crash, once; full disks; rotation.
 */
#include "gateway/audit/journal.h"

#include <dirent.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "gateway/base/log.h"

static char folder[64], path[96];
static char content[4 * 1024 * 1024];
static struct journal journal;
static struct seal_memory memory;
static struct journal_conf conf;
static const uint64_t start_us = 1800000000000000u;

static int open_folder(void **state)
{
    (void)state;
    log_open("test", LOG_ERROR + 1);
    (void)signal(SIGXFSZ, SIG_IGN);
    (void)snprintf(folder, sizeof(folder), "/tmp/journal-XXXXXX");
    if (mkdtemp(folder) == NULL)
        return -1;
    (void)snprintf(path, sizeof(path), "%s/audit.jsonl", folder);
    memset(&memory, 0, sizeof(memory));
    conf = (struct journal_conf){ .path = path, .spill_bytes = 64 * 1024 };
    return 0;
}

static int close_folder(void **state)
{
    (void)state;
    DIR *dir = opendir(folder);
    const struct dirent *entry;
    while (dir != NULL && (entry = readdir(dir)) != NULL)
        (void)unlinkat(dirfd(dir), entry->d_name, 0);
    if (dir != NULL)
        (void)closedir(dir);
    return rmdir(folder);
}

static struct span read_file(const char *suffix)
{
    char name[160];
    (void)snprintf(name, sizeof(name), "%s%s", path, suffix);
    int fd = open(name, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return span_of(NULL, 0);
    ssize_t len = read(fd, content, sizeof(content));
    assert_true(len >= 0);
    assert_int_equal(close(fd), 0);
    return span_of(content, (size_t)len);
}

static void append_file(const char *suffix, struct span bytes)
{
    char name[160];
    (void)snprintf(name, sizeof(name), "%s%s", path, suffix);
    int fd = open(name, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0600);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, bytes.p, bytes.len), (ssize_t)bytes.len);
    assert_int_equal(close(fd), 0);
}

static void start(struct seal_memory *kept)
{
    assert_int_equal(journal_open(&journal, &conf, kept, start_us), OK);
}

/* As SIGKILL leaves it: descriptors go, nothing is flushed. */
static void kill_it(void)
{
    seal_close(&journal.seal);
    spill_close(&journal.spill);
    sink_forget(&journal.sink);
    sink_close(&journal.sink);
    free(journal.recovered);
    free(journal.roster);
    journal.recovered = NULL;
    journal.roster = NULL;
}

static struct span record_of(unsigned n)
{
    static char buffer[256];
    int len =
        snprintf(buffer, sizeof(buffer), "{\"n\":%u,\"sallyport\":{\"pad\":\"%060u\"}}", n, n);
    return span_of(buffer, (size_t)len);
}

static void put(unsigned n)
{
    assert_int_equal(journal_line(&journal, record_of(n)), OK);
}

/* Follows the public chain over the lines of a file; answers how many are sealed in order. */
static unsigned follow(struct span text, uint8_t head[CHAIN_BYTES], uint64_t *seq)
{
    unsigned lines = 0;
    struct span line;
    while (text.len > 0 && span_cut(&text, '\n', &line)) {
        struct sealed sealed;
        uint8_t leaf[CHAIN_BYTES];
        assert_true(sealed_parse(line, &sealed));
        assert_int_equal(sealed.seq, ++*seq);
        chain_leaf(sealed.body, leaf);
        chain_advance(head, sealed.seq, leaf);
        assert_memory_equal(head, sealed.hash, CHAIN_SHOWN);
        lines++;
    }
    return lines;
}

static unsigned lines_with(struct span text, const char *needle)
{
    unsigned count = 0;
    ssize_t at;
    while ((at = span_find(text, span_text(needle))) >= 0) {
        count++;
        text = span_sub(text, (size_t)at + 1, text.len);
    }
    return count;
}

static void test_a_restart_goes_on(void **state)
{
    (void)state;
    uint8_t head[CHAIN_BYTES] = { 0 };
    uint64_t seq = 0;
    for (int life = 0; life < 4; life++) {
        start(life % 2 == 0 ? &memory : NULL); /* with the master's memory, and without */
        if (life == 2)
            memset(&memory, 0, sizeof(memory)); /* another master */
        for (unsigned n = 0; n < 50; n++)
            put((unsigned)life * 100 + n);
        journal_close(&journal, start_us);
    }
    assert_int_equal(follow(read_file(""), head, &seq), 200);
    assert_int_equal(lines_with(read_file(".seal"), "\"seal\":\"genesis\""), 1);
    assert_int_equal(lines_with(read_file(".seal"), "\"seal\":\"open\""), 1);
}

/* Killed between the write and the word that it was written: the rings bring all of it again.
 */
static void test_nothing_is_written_twice(void **state)
{
    (void)state;
    uint8_t head[CHAIN_BYTES] = { 0 };
    uint64_t seq = 0;
    start(&memory);
    for (unsigned n = 0; n < 10; n++)
        put(n);
    assert_int_equal(journal_flush(&journal), OK);
    for (unsigned n = 10; n < 30; n++)
        put(n);
    assert_int_equal(sink_flush(&journal.sink), OK); /* and there it falls */
    kill_it();
    start(&memory); /* and the next one before it has written anything */
    kill_it();
    start(&memory);
    assert_int_equal(journal.recovered_left, 20);
    for (unsigned n = 10; n < 40; n++)
        put(n);
    assert_int_equal(journal.recovered_left, 0);
    assert_int_equal(journal_flush(&journal), OK);
    journal_close(&journal, start_us);
    assert_int_equal(follow(read_file(""), head, &seq), 40);
    for (unsigned n = 0; n < 40; n++) {
        char needle[32];
        (void)snprintf(needle, sizeof(needle), "{\"n\":%u,", n);
        assert_int_equal(lines_with(read_file(""), needle), 1);
    }
}

static void test_a_torn_line_is_cut_off(void **state)
{
    (void)state;
    uint8_t head[CHAIN_BYTES] = { 0 };
    uint64_t seq = 0;
    start(&memory);
    put(1);
    assert_int_equal(journal_flush(&journal), OK);
    kill_it();
    append_file("", SPAN("{\"n\":2,\"sally"));
    start(&memory);
    put(2);
    journal_close(&journal, start_us);
    assert_int_equal(lines_with(read_file(""), "\"torn-line\""), 2); /* in event and in ours */
    assert_int_equal(follow(read_file(""), head, &seq), 3);
}

static void test_strangers_lines_are_left_and_told(void **state)
{
    (void)state;
    start(&memory);
    put(1);
    journal_close(&journal, start_us);
    append_file("", SPAN("{\"forged\":{}}\n"));
    start(&memory);
    put(2);
    journal_close(&journal, start_us);
    assert_int_equal(lines_with(read_file(""), "forged"), 1);
    assert_int_equal(
        lines_with(read_file(""), "\"action\":\"gap\",\"reason\":\"foreign-lines\""), 1);
    assert_int_equal(lines_with(read_file(".seal"), "\"seal\":\"open\""), 2);

    /* Nor is a file that got shorter passed over. */
    assert_int_equal(truncate(path, 20), 0);
    start(&memory);
    journal_close(&journal, start_us);
    assert_int_equal(lines_with(read_file(""), "\"action\":\"gap\",\"reason\":\"file-cut\""),
                     1);
}

static void test_rotation(void **state)
{
    (void)state;
    uint8_t head[CHAIN_BYTES] = { 0 };
    uint64_t seq = 0;
    conf.rotate_bytes = 2000;
    start(&memory);
    for (unsigned n = 0; n < 30; n++) {
        put(n);
        assert_int_equal(journal_flush(&journal), OK);
        journal_tick(&journal, start_us + n);
    }
    assert_true(journal.rotated);
    journal_close(&journal, start_us);
    unsigned lines = 0, files = 0;
    char suffix[16];
    do {
        (void)snprintf(suffix, sizeof(suffix), ".%06u", ++files);
        lines += follow(read_file(suffix), head, &seq);
    } while (read_file(suffix).len > 0);
    lines += follow(read_file(""), head, &seq);
    assert_int_equal(lines, 30);
    assert_true(files > 2);
    conf.rotate_bytes = 0;

    /* By age, and only when there is something in it. */
    conf.rotate_us = 1000000;
    start(&memory);
    uint64_t before = journal.seal.state.segment, later = start_us + 100;
    put(99);
    assert_int_equal(journal_flush(&journal), OK);
    journal_tick(&journal, later + conf.rotate_us);
    assert_int_equal(journal.seal.state.segment, before + 1);
    journal_tick(&journal, later + 3 * conf.rotate_us);
    assert_int_equal(journal.seal.state.segment, before + 1);
    journal_close(&journal, start_us);
}

/* logrotate moved the file, perhaps made another of its name, and its SIGUSR1 is on its way
 * when our own rotation is due: theirs is the one that counts, and nobody's file is moved on.
 */
static void test_a_rotation_that_somebody_else_made(void **state)
{
    (void)state;
    char moved[160];
    uint8_t head[CHAIN_BYTES] = { 0 };
    uint64_t seq = 0;

    (void)snprintf(moved, sizeof moved, "%s.old", path);
    for (int made = 0; made < 2; made++) {
        conf.rotate_bytes = 0;
        start(&memory);
        for (unsigned n = 0; n < 10; n++)
            put(n);
        assert_int_equal(journal_flush(&journal), OK);
        assert_int_equal(rename(path, moved), 0);
        if (made)
            append_file("", SPAN(""));
        journal.conf.rotate_bytes = 1;
        journal_tick(&journal, start_us);
        journal.conf.rotate_bytes = 0;
        put(99);
        assert_int_equal(journal_flush(&journal), OK);
        assert_int_equal(journal_reopen(&journal, start_us), OK); /* the signal, late */
        journal_close(&journal, start_us);
        assert_int_equal(follow(read_file(".old"), head, &seq), 10 + made);
        assert_int_equal(read_file(".000001").len + read_file(".000002").len, 0);
        assert_int_equal(lines_with(read_file(""), "\"seq\":"), 1);
    }
}

/* Every moment of a rotation may be the last one. */
static void test_a_rotation_cut_short(void **state)
{
    (void)state;
    uint8_t head[CHAIN_BYTES] = { 0 };
    uint64_t seq = 0;
    char moved[160];
    start(&memory);
    put(1);
    assert_int_equal(journal_flush(&journal), OK);
    kill_it();
    (void)snprintf(moved, sizeof(moved), "%s.000001", path);
    assert_int_equal(rename(path, moved), 0);
    start(&memory);
    put(2);
    journal_close(&journal, start_us);
    assert_int_equal(follow(read_file(".000001"), head, &seq), 1);
    assert_int_equal(follow(read_file(""), head, &seq), 1);
    assert_int_equal(lines_with(read_file(".seal"), "\"seal\":\"close\""), 1);

    /* A name that is taken is not written over. */
    conf.rotate_bytes = 1;
    start(&memory);
    append_file(".000002", SPAN("precious"));
    journal_tick(&journal, start_us);
    journal_close(&journal, start_us);
    assert_true(span_equal(read_file(".000002"), SPAN("precious")));
    assert_true(read_file("").len > 0);
    conf.rotate_bytes = 0;
}

static void limit_files(rlim_t bytes)
{
    struct rlimit limit = { .rlim_cur = bytes, .rlim_max = RLIM_INFINITY };
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &limit), 0);
}

/* Files may not grow beyond a size, but the reserved one has its size already. */
static void test_a_full_disk_spills(void **state)
{
    (void)state;
    uint8_t head[CHAIN_BYTES] = { 0 };
    uint64_t seq = 0;
    conf.spill_bytes = 2 * 1024 * 1024;
    start(&memory);
    unsigned n = 0;
    while (journal.bytes < 3 * 1024 * 1024 - 100000) {
        put(n++);
        if (n % 64 == 0)
            assert_int_equal(journal_flush(&journal), OK);
    }
    limit_files(3 * 1024 * 1024);
    while (!journal.spilling) {
        put(n++);
        assert_int_equal(journal_flush(&journal), OK);
    }
    for (int i = 0; i < 100; i++)
        put(n++);
    assert_int_equal(journal_flush(&journal), OK);
    journal_tick(&journal, start_us + 1000000);
    assert_true(journal.spilling);

    /* Killed and started anew while it is full: nothing is lost, nothing comes twice. */
    kill_it();
    start(&memory);
    assert_true(journal.spilling);
    put(n++);
    assert_int_equal(journal_flush(&journal), OK);

    limit_files(RLIM_INFINITY);
    journal_tick(&journal, start_us + 2000000);
    assert_false(journal.spilling);
    put(n++);
    journal_close(&journal, start_us);
    assert_int_equal(follow(read_file(""), head, &seq), n);
    conf.spill_bytes = 64 * 1024;
}

static void test_a_spill_that_is_full_holds(void **state)
{
    (void)state;
    uint8_t head[CHAIN_BYTES] = { 0 };
    uint64_t seq = 0;
    conf.spill_bytes = 4096;
    start(&memory);
    limit_files(SPILL_HEADER_BYTES + 4096);
    unsigned n = 0;
    while (journal_flush(&journal) == OK && n < 1000)
        put(n++);
    assert_true(journal.stuck && journal.spilling);
    assert_in_range(n, 40, 900);
    limit_files(RLIM_INFINITY);
    journal_tick(&journal, start_us + 1000000);
    assert_int_equal(journal_flush(&journal), OK);
    assert_false(journal.stuck);
    journal_close(&journal, start_us);
    assert_int_equal(follow(read_file(""), head, &seq), n);
    conf.spill_bytes = 64 * 1024;
}

static void test_lines_that_are_refused(void **state)
{
    (void)state;
    start(&memory);
    assert_int_equal(journal_line(&journal, SPAN("{\"a\":{}}\n{\"forged\":{}}")), ERR_SYNTAX);
    assert_int_equal(journal_line(&journal, SPAN("{\"a\":{}}\r{\"forged\":{}}")), ERR_SYNTAX);
    assert_int_equal(journal_line(&journal, SPAN("no JSON")), ERR_SYNTAX);
    static char big[RECORD_BYTES_MAX + 1];
    assert_int_equal(journal_line(&journal, span_of(big, sizeof(big))), ERR_SYNTAX);
    assert_int_equal(journal_flush(&journal), OK);
    assert_int_equal(read_file("").len, 0);
    journal_close(&journal, start_us);
}

static void test_checkpoints(void **state)
{
    (void)state;
    start(&memory);
    for (unsigned n = 0; n < CHECKPOINT_RECORDS - 1; n++)
        put(n);
    assert_int_equal(journal_flush(&journal), OK);
    journal_tick(&journal, start_us);
    assert_int_equal(lines_with(read_file(".seal"), "\"checkpoint\""), 0);
    put(1);
    assert_int_equal(journal_flush(&journal), OK);
    journal_tick(&journal, start_us);
    assert_int_equal(lines_with(read_file(".seal"), "\"checkpoint\""), 1);
    put(2);
    assert_int_equal(journal_flush(&journal), OK);
    journal_tick(&journal, start_us + 9999999);
    assert_int_equal(lines_with(read_file(".seal"), "\"checkpoint\""), 1);
    journal_tick(&journal, start_us + 10000001);
    assert_int_equal(lines_with(read_file(".seal"), "\"checkpoint\""), 2);
    journal_close(&journal, start_us);

    /* Each is signed by the key that the one before it named. */
    struct span text = read_file(".seal"), line;
    struct seal_entry entry;
    uint8_t key[SEAL_KEY_BYTES];
    unsigned lines = 0;
    while (text.len > 0 && span_cut(&text, '\n', &line)) {
        assert_true(seal_parse(line, lines > 0 ? key : NULL, &entry));
        memcpy(key, entry.next, sizeof(key));
        lines++;
        assert_false(lines > 1 && seal_parse(line, key, &entry)); /* nor by its own */
    }
    assert_int_equal(lines, 4);
}

/* The last seal; of the records that it speaks of, all in one file, its roster is the one. */
static struct seal_entry check_roster(uint64_t first, uint64_t last, bool has_roster)
{
    static struct roster roster;
    struct span text = read_file(".seal"), line;
    struct seal_entry entry = { .seq = 0 };
    uint8_t key[SEAL_KEY_BYTES], root[ROSTER_HASH];
    for (unsigned lines = 0; text.len > 0 && span_cut(&text, '\n', &line); lines++) {
        assert_true(seal_parse(line, lines > 0 ? key : NULL, &entry));
        memcpy(key, entry.next, sizeof(key));
    }
    assert_int_equal(entry.seq, last);
    assert_int_equal(entry.has_roster, has_roster);
    text = read_file("");
    roster_begin(&roster, first);
    while (text.len > 0 && span_cut(&text, '\n', &line)) {
        struct sealed sealed;
        assert_true(sealed_parse(line, &sealed));
        if (sealed.seq >= first)
            roster_add(&roster, sealed.seq, line);
    }
    assert_true(roster_root(&roster, first, last, root));
    if (has_roster)
        assert_memory_equal(root, entry.roster, ROSTER_HASH);
    return entry;
}

static void put_client(unsigned n)
{
    char buffer[256];
    int len = snprintf(buffer, sizeof(buffer),
                       "{\"@timestamp\":\"2027-01-14T09:12:%02u.503Z\",\"client\":{\"ip\":"
                       "\"198.51.100.%u\"},\"sallyport\":{\"action\":\"pass\"}}",
                       n % 60, n % 7);
    assert_int_equal(journal_line(&journal, span_of(buffer, (size_t)len)), OK);
}

/* Who takes over finds in the file what the one that fell had on its roster. */
static void test_a_roster_outlives_its_recorder(void **state)
{
    (void)state;
    start(&memory);
    for (unsigned n = 0; n < 20; n++)
        put_client(n);
    assert_int_equal(journal_flush(&journal), OK);
    journal_tick(&journal, start_us + 10000001);
    struct seal_entry entry = check_roster(1, 20, true);
    uint64_t us;
    assert_true(time_parse(SPAN("2027-01-14T09:12:19.503Z"), &us));
    assert_int_equal(entry.to_us, us);
    assert_int_equal(entry.from_us, us - 19000000);

    for (unsigned n = 20; n < 25; n++)
        put_client(n);
    assert_int_equal(journal_flush(&journal), OK);
    put_client(25); /* is in the buffer, and was never written */
    kill_it();
    start(&memory);
    put_client(26);
    assert_int_equal(journal_flush(&journal), OK);
    kill_it(); /* the file alone knows */
    start(NULL);
    put_client(27);
    assert_int_equal(journal_flush(&journal), OK);
    journal_tick(&journal, start_us + 20000002);
    (void)check_roster(21, 27, true);
    journal_close(&journal, start_us);
}

/* Of what cannot be found any more nothing is said. */
static void test_a_roster_with_a_hole_is_left_out(void **state)
{
    (void)state;
    start(&memory);
    put_client(1);
    put_client(2);
    assert_int_equal(journal_flush(&journal), OK);
    roster_add(journal.roster, 9, SPAN("{}"));
    journal_tick(&journal, start_us + 10000001);
    (void)check_roster(1, 2, false);
    put_client(3);
    assert_int_equal(journal_flush(&journal), OK);
    journal_tick(&journal, start_us + 20000002);
    (void)check_roster(3, 3, true);
    journal_close(&journal, start_us);
}

/* A second writer would break the chain. */
static void test_one_at_a_time(void **state)
{
    static struct journal other;
    (void)state;
    start(NULL);
    assert_int_equal(journal_open(&other, &conf, NULL, start_us), ERR_BUSY);
    kill_it();
    start(NULL);
    journal_close(&journal, start_us);
}

int main(void)
{
#define EACH(test) cmocka_unit_test_setup_teardown(test, open_folder, close_folder)
    const struct CMUnitTest tests[] = {
        EACH(test_a_restart_goes_on),
        EACH(test_nothing_is_written_twice),
        EACH(test_a_torn_line_is_cut_off),
        EACH(test_strangers_lines_are_left_and_told),
        EACH(test_rotation),
        EACH(test_a_rotation_that_somebody_else_made),
        EACH(test_a_rotation_cut_short),
        EACH(test_a_full_disk_spills),
        EACH(test_a_spill_that_is_full_holds),
        EACH(test_lines_that_are_refused),
        EACH(test_checkpoints),
        EACH(test_a_roster_outlives_its_recorder),
        EACH(test_a_roster_with_a_hole_is_left_out),
        EACH(test_one_at_a_time),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
