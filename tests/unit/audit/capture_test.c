/* Captures: what is sealed opens with its key and no other, whole or not at all; and the files
 * that the recorder keeps of them. */
#include "gateway/audit/capture.h"

#include <dirent.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "gateway/audit/captures.h"
#include "gateway/base/log.h"

static struct rings *rings;
static struct ring_writer writer;
static struct capture_sealer sealer;
static struct capture_opener opener;
static uint8_t public_key[CAPTURE_KEY_BYTES], secret_key[CAPTURE_KEY_BYTES];
static char buffer[RECORD_BYTES_MAX], scratch[RECORD_BYTES_MAX];
static char clear[CAPTURE_BYTES_MAX], large[CAPTURE_BYTES_MAX];
static uint64_t cursor;
static char folder[64], path[96];

static int open_all(void **state)
{
    (void)state;
    unsigned slot;
    log_open("test", LOG_ERROR + 1);
    rings =
        mmap(NULL, sizeof(*rings), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (rings == MAP_FAILED || ring_claim(rings, getpid(), &slot) != OK ||
        !capture_key_pair(public_key, secret_key) || !capture_opener_open(&opener, secret_key))
        return -1;
    writer = (struct ring_writer){ .rings = rings, .ring = &rings->ring[slot], .wake_fd = -1 };
    capture_sealer_open(&sealer, public_key);
    cursor = 0;
    (void)snprintf(folder, sizeof(folder), "/tmp/capture-XXXXXX");
    if (mkdtemp(folder) == NULL)
        return -1;
    (void)snprintf(path, sizeof(path), "%s/audit.jsonl", folder);
    memset(large, 'x', sizeof(large));
    return 0;
}

static int close_all(void **state)
{
    (void)state;
    capture_opener_close(&opener);
    DIR *dir = opendir(folder);
    const struct dirent *entry;
    while (dir != NULL && (entry = readdir(dir)) != NULL)
        (void)unlinkat(dirfd(dir), entry->d_name, 0);
    if (dir != NULL)
        (void)closedir(dir);
    (void)munmap(rings, sizeof(*rings));
    return rmdir(folder);
}

static bool next_frame(struct capture_frame *frame)
{
    struct ring_record record;
    if (!ring_peek(writer.ring, &cursor, &record, scratch))
        return false;
    assert_true(record.aside);
    assert_true(capture_frame_read(record.line, frame));
    assert_int_equal(frame->bytes.len, record.line.len);
    return true;
}

static struct capture_parts parts_of(struct span facts, struct span head, size_t body)
{
    return (struct capture_parts){ .facts = facts, .head = head, .body = span_of(large, body) };
}

static void check_round(size_t body, unsigned frames)
{
    struct capture_parts in = parts_of(SPAN("{\"v\":1}"), SPAN("GET / HTTP/1.1\r\n\r\n"), body),
                         out;
    struct capture_frame frame;
    size_t len = 0;
    unsigned count = 0;
    assert_true(capture_commit(&sealer, &writer, &in, buffer));
    while (next_frame(&frame)) {
        assert_int_equal(frame.part, count++);
        assert_int_equal(frame.parts, frames);
        assert_true(capture_frame_open(&opener, &frame, clear + len));
        len += frame.box_len;
    }
    ring_release(writer.ring, cursor);
    assert_int_equal(count, frames);
    assert_true(capture_parts_read(span_of(clear, len), &out));
    assert_true(span_equal(in.facts, out.facts) && span_equal(in.head, out.head) &&
                span_equal(in.body, out.body));
}

static void test_rounds(void **state)
{
    (void)state;
    size_t rest = CAPTURE_PART_BYTES - 12 - 7 - 18; /* one part is full */
    check_round(0, 1);
    check_round(rest, 1);
    check_round(rest + 1, 2);
    check_round(CAPTURE_BODY_MAX, 11);
}

static void test_limits(void **state)
{
    (void)state;
    size_t rest = (size_t)CAPTURE_BYTES_MAX - 12 - 7 - 18;
    struct capture_parts parts =
        parts_of(SPAN("{\"v\":1}"), SPAN("GET / HTTP/1.1\r\n\r\n"), rest);
    assert_true(capture_commit(&sealer, &writer, &parts, buffer));
    /* Half of the ring, not more: this one does not fit beside it. */
    assert_false(capture_commit(&sealer, &writer, &parts, buffer));
    cursor = writer.ring->head;
    ring_release(writer.ring, cursor);
    parts.body.len++;
    assert_false(capture_commit(&sealer, &writer, &parts, buffer));
    assert_true(cursor == writer.ring->head);
    /* A disk that is full has no room for such things. */
    rings->pressure = PRESSURE_DROP_LOW;
    parts.body.len = 1;
    assert_false(capture_commit(&sealer, &writer, &parts, buffer));
    rings->pressure = PRESSURE_NONE;
}

static void test_tampering(void **state)
{
    (void)state;
    struct capture_parts parts = parts_of(SPAN("{}"), SPAN("head"), 100);
    struct capture_frame frame;
    assert_true(capture_commit(&sealer, &writer, &parts, buffer));
    assert_true(next_frame(&frame));
    char copy[1024];
    memcpy(copy, frame.bytes.p, frame.bytes.len);
    for (size_t i = 0; i < frame.bytes.len; i++) {
        struct capture_frame changed;
        copy[i] ^= 1;
        if (capture_frame_read(span_of(copy, frame.bytes.len), &changed))
            assert_false(capture_frame_open(&opener, &changed, clear));
        copy[i] ^= 1;
    }
    for (size_t len = 0; len < frame.bytes.len; len++)
        assert_false(capture_frame_read(span_of(copy, len), &frame));
    assert_true(capture_frame_read(span_of(copy, sizeof(copy)), &frame));
    assert_true(capture_frame_open(&opener, &frame, clear));
}

static void test_another_key(void **state)
{
    (void)state;
    struct capture_parts parts = parts_of(SPAN("{}"), SPAN("head"), 100);
    struct capture_frame frame;
    struct capture_opener other;
    uint8_t public[CAPTURE_KEY_BYTES], secret[CAPTURE_KEY_BYTES], read[CAPTURE_KEY_BYTES];
    assert_true(capture_key_pair(public, secret) && capture_opener_open(&other, secret));
    assert_true(capture_commit(&sealer, &writer, &parts, buffer));
    assert_true(next_frame(&frame));
    assert_false(capture_frame_open(&other, &frame, clear));
    assert_true(capture_frame_open(&opener, &frame, clear));
    /* Keys as text. */
    char text[64];
    struct text out = text_fixed(text, sizeof(text));
    capture_key_write(&out, public);
    assert_int_equal(out.len, CAPTURE_KEY_TEXT);
    assert_true(capture_key_read(text_span(&out), read));
    assert_memory_equal(read, public, sizeof(read));
    assert_false(capture_key_read(span_sub(text_span(&out), 1, 64), read));
    text[3] = '*';
    assert_false(capture_key_read(text_span(&out), read));
}

/* An epoch's key serves so many frames, then it is another, and the old one is wiped. */
static void test_epochs(void **state)
{
    (void)state;
    static const uint8_t zero[CAPTURE_KEY_BYTES];
    struct capture_parts parts = parts_of(SPAN("{}"), SPAN("head"), 0);
    uint8_t first[CAPTURE_SEAL_BYTES];
    for (unsigned i = 0; i < CAPTURE_EPOCH; i++) {
        assert_true(capture_commit(&sealer, &writer, &parts, buffer));
        ring_release(writer.ring, writer.ring->head);
        if (i == 0)
            memcpy(first, sealer.seal, sizeof(first));
        assert_memory_equal(first, sealer.seal, sizeof(first));
    }
    assert_memory_equal(sealer.key, zero, sizeof(zero));
    assert_true(capture_commit(&sealer, &writer, &parts, buffer));
    assert_memory_not_equal(first, sealer.seal, sizeof(first));
}

/* ---- files ---- */

static size_t size_of(const char *suffix)
{
    char name[128];
    struct stat info;
    (void)snprintf(name, sizeof(name), "%s%s", path, suffix);
    return stat(name, &info) == 0 ? (size_t)info.st_size : 0;
}

static struct span one_frame(size_t body)
{
    struct capture_parts parts = parts_of(SPAN("{}"), SPAN("head"), body);
    struct capture_frame frame;
    assert_true(capture_commit(&sealer, &writer, &parts, buffer));
    assert_true(next_frame(&frame));
    ring_release(writer.ring, cursor);
    return frame.bytes;
}

static void test_files(void **state)
{
    (void)state;
    struct captures captures;
    enum { LIMIT = 400 * 1024 };
    captures_open(&captures, path, LIMIT);
    struct span frame = one_frame(20 * 1024);
    char *copy = malloc(frame.len);
    assert_non_null(copy);
    memcpy(copy, frame.p, frame.len);
    frame.p = copy;
    for (unsigned i = 0; i < 60; i++)
        captures_add(&captures, frame);
    captures_close(&captures);
    size_t sum = size_of(".capture"), segments = 0;
    for (unsigned i = 1; i <= 60; i++) {
        char suffix[32];
        (void)snprintf(suffix, sizeof(suffix), ".capture.%06u", i);
        sum += size_of(suffix);
        segments += size_of(suffix) > 0;
    }
    assert_true(sum <= LIMIT && sum > LIMIT / 2);
    assert_true(segments >= CAPTURES_SEGMENTS - 2);
    free(copy);
}

static void test_torn_end_is_cut(void **state)
{
    (void)state;
    struct captures captures;
    char name[128];
    (void)snprintf(name, sizeof(name), "%s.capture", path);
    captures_open(&captures, path, 1024 * 1024);
    struct span frame = one_frame(100);
    captures_add(&captures, frame);
    captures_add(&captures, frame);
    captures_add(&captures, SPAN("no frame"));
    captures_close(&captures);
    assert_int_equal(size_of(".capture"), 2 * frame.len);
    for (size_t torn = 1; torn < frame.len; torn += 37) {
        assert_int_equal(truncate(name, (off_t)(2 * frame.len - torn)), 0);
        captures_open(&captures, path, 1024 * 1024);
        assert_int_equal(size_of(".capture"), frame.len);
        captures_add(&captures, frame);
        captures_close(&captures);
        assert_int_equal(size_of(".capture"), 2 * frame.len);
    }
    captures_open(&captures, NULL, 1024);
    captures_add(&captures, frame); /* nowhere */
    captures_open(&captures, path, 0);
    captures_add(&captures, frame);
    assert_int_equal(size_of(".capture"), 2 * frame.len);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, open_all, close_all)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_rounds),          TEST(test_limits), TEST(test_tampering),
        TEST(test_another_key),     TEST(test_epochs), TEST(test_files),
        TEST(test_torn_end_is_cut),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
