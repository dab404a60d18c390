/* Verification: a log that is whole is said to be, and each way to tamper with one is found. */
#include "gateway/audit/verify.h"

#include <dirent.h>
#include <fcntl.h>
#include <setjmp.h>
#include <sodium.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "gateway/audit/journal.h"
#include "gateway/base/log.h"

enum { RECORDS = 3600 };

static char folder[64], path[96];
static struct arena arena;
static struct verify verify;
static char key[64];

static void name_of(char *out, size_t size, const char *suffix)
{
    (void)snprintf(out, size, "%s%s", path, suffix);
}

/* The text of a file, in memory of the test's. */
static struct text load(const char *suffix)
{
    char name[160];
    struct stat info;
    name_of(name, sizeof(name), suffix);
    int fd = open(name, O_RDONLY | O_CLOEXEC);
    assert_true(fd >= 0);
    assert_int_equal(fstat(fd, &info), 0);
    struct text text = text_growing(&arena, (size_t)info.st_size + 1024);
    assert_true(text_reserve(&text, (size_t)info.st_size + 1));
    text.len = (size_t)read(fd, text.p, (size_t)info.st_size);
    assert_int_equal(text.len, info.st_size);
    (void)close(fd);
    return text;
}

static void store(const char *suffix, struct span bytes)
{
    char name[160];
    name_of(name, sizeof(name), suffix);
    int fd = open(name, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, bytes.p, bytes.len), (ssize_t)bytes.len);
    (void)close(fd);
}

static struct journal journal;

static void put(unsigned n)
{
    char line[200];
    int len =
        snprintf(line, sizeof(line), "{\"n\":%u,\"sallyport\":{\"pad\":\"%080u\"}}", n, n);
    assert_int_equal(journal_line(&journal, span_of(line, (size_t)len)), OK);
}

/* Four segments, checkpoints between. */
static int make_log(void **state)
{
    (void)state;
    static const uint64_t now = 1800000000000000u;
    log_open("test", LOG_ERROR + 1);
    arena_init(&arena, NULL, 0, NULL, (size_t)1 << 30);
    (void)snprintf(folder, sizeof(folder), "/tmp/verify-XXXXXX");
    if (mkdtemp(folder) == NULL)
        return -1;
    (void)snprintf(path, sizeof(path), "%s/audit.jsonl", folder);
    struct journal_conf conf = { .path = path };
    assert_int_equal(journal_open(&journal, &conf, NULL, now), OK);
    for (unsigned n = 1; n <= RECORDS; n++) {
        put(n);
        if (n % 100 != 0)
            continue;
        assert_int_equal(journal_flush(&journal), OK);
        journal.conf.rotate_bytes = n % 1000 == 500 ? 1 : 0;
        journal_tick(&journal, now + n);
    }
    journal_close(&journal, now + RECORDS);
    return 0;
}

static int drop_log(void **state)
{
    (void)state;
    DIR *dir = opendir(folder);
    const struct dirent *entry;
    while (dir != NULL && (entry = readdir(dir)) != NULL)
        (void)unlinkat(dirfd(dir), entry->d_name, 0);
    if (dir != NULL)
        (void)closedir(dir);
    arena_reset(&arena);
    return rmdir(folder);
}

static void check(void)
{
    assert_int_equal(verify_log(&verify, path, NULL, &arena), OK);
}

static bool found(enum verify_kind kind, uint64_t seq)
{
    for (unsigned i = 0; i < verify.count; i++)
        if (verify.problems[i].kind == kind && (seq == 0 || verify.problems[i].seq == seq))
            return true;
    for (unsigned i = 0; i < verify.count; i++)
        print_message("%s %llu %s\n", verify_kind_name(verify.problems[i].kind),
                      (unsigned long long)verify.problems[i].seq, verify.problems[i].text);
    return false;
}

/* Line number `n` (from 0) of a text, with its newline. */
static struct span line_at(const struct text *text, unsigned n)
{
    struct span rest = text_span(text);
    for (; n > 0; n--)
        rest = span_sub(rest, (size_t)span_index(rest, '\n') + 1, rest.len);
    return span_sub(rest, 0, (size_t)span_index(rest, '\n') + 1);
}

/* The text with the bytes of `old` (a part of it) replaced. */
static struct span replaced(const struct text *text, struct span old, struct span fresh)
{
    struct text out = text_growing(&arena, text->len + fresh.len + 16);
    text_add(&out, span_range(text->p, old.p));
    text_add(&out, fresh);
    text_add(&out, span_range(old.p + old.len, text->p + text->len));
    return text_span(&out);
}

static void test_a_whole_log(void **state)
{
    (void)state;
    check();
    if (verify.count != 0)
        (void)found(VERIFY_KINDS, 0);
    assert_int_equal(verify.count, 0);
    assert_int_equal(verify.records, RECORDS);
    assert_int_equal(verify.segments, 5);
    assert_int_equal(verify.unsealed, 0);
    assert_int_equal(strlen(verify.key), 43);
    memcpy(key, verify.key, sizeof(key));
    assert_int_equal(verify_log(&verify, path, key, &arena), OK);
    assert_int_equal(verify.count, 0);
    key[3] = key[3] == 'A' ? 'B' : 'A';
    assert_int_equal(verify_log(&verify, path, key, &arena), OK);
    assert_true(found(VERIFY_RESEAL, 0));
}

static void test_edit(void **state)
{
    (void)state;
    struct text text = load(".000002");
    char *digit = (char *)(uintptr_t)line_at(&text, 700).p + 40;
    *digit = *digit == '0' ? '1' : '0';
    store(".000002", text_span(&text));
    check();
    assert_true(found(VERIFY_EDIT, 500 + 701));
    assert_int_equal(verify.count, 1);
}

/* Who knows how the hashes are made, and makes them anew, fails at the next checkpoint. */
static void test_edit_with_new_hashes(void **state)
{
    (void)state;
    struct text text = load(".000001"), out = text_growing(&arena, text.len + 1024);
    struct chain chain = { .seq = 0 };
    struct span rest = text_span(&text), line;
    while (rest.len > 0 && span_cut(&rest, '\n', &line)) {
        struct sealed sealed;
        char body[256];
        assert_true(sealed_parse(line, &sealed));
        struct text copy = text_fixed(body, sizeof(body));
        text_add(&copy, sealed.body);
        text_lit(&copy, "}}");
        if (sealed.seq == 17)
            body[5] = '9';
        assert_true(chain_seal(&chain, text_span(&copy), &out));
        text_char(&out, '\n');
    }
    store(".000001", text_span(&out));
    check();
    assert_true(found(VERIFY_EDIT, 500));
}

static void test_delete(void **state)
{
    (void)state;
    struct text text = load(".000002");
    store(".000002", replaced(&text, line_at(&text, 20), SPAN("")));
    check();
    assert_true(found(VERIFY_DELETE, 521));
    assert_int_equal(verify.count, 1);
}

static void test_a_deleted_segment(void **state)
{
    (void)state;
    char name[160];
    name_of(name, sizeof(name), ".000003");
    assert_int_equal(unlink(name), 0);
    check();
    assert_true(found(VERIFY_DELETE, 0));
}

static void test_reorder(void **state)
{
    (void)state;
    struct text text = load(".000002"), swapped = text_growing(&arena, text.len);
    struct span first = line_at(&text, 30), second = line_at(&text, 31);
    text_add(&swapped, second);
    text_add(&swapped, first);
    store(".000002",
          replaced(&text, span_of(first.p, first.len + second.len), text_span(&swapped)));
    check();
    assert_true(found(VERIFY_REORDER, 531));
    assert_false(found(VERIFY_DELETE, 531));
}

static void test_insert(void **state)
{
    (void)state;
    struct text text = load(".000002");
    struct span at = span_of(line_at(&text, 30).p, 0);
    store(".000002", replaced(&text, at, SPAN("{\"n\":0,\"sallyport\":{}}\n")));
    check();
    assert_true(found(VERIFY_INSERT, 530));
    assert_int_equal(verify.count, 1);
}

static void test_truncate(void **state)
{
    (void)state;
    struct text text = load("");
    store("", span_sub(text_span(&text), 0, (size_t)(line_at(&text, 50).p - text.p)));
    check();
    assert_true(found(VERIFY_TRUNCATE, 0));

    /* And the seals along with it, up to one that fits: the state knows better. */
    struct text seals = load(".seal");
    unsigned last = 0;
    while (line_at(&seals, last).p + line_at(&seals, last).len < seals.p + seals.len)
        last++;
    store(".seal", span_sub(text_span(&seals), 0, (size_t)(line_at(&seals, last).p - seals.p)));
    store("", span_sub(text_span(&text), 0, (size_t)(line_at(&text, 0).p - text.p)));
    check();
    assert_true(found(VERIFY_TRUNCATE, 0));
}

static void test_swap(void **state)
{
    (void)state;
    struct text second = load(".000002"), third = load(".000003");
    store(".000002", text_span(&third));
    store(".000003", text_span(&second));
    check();
    assert_true(found(VERIFY_SWAP, 0));
}

/*
 * With the key that signs now (who took over the host has it), an old record is changed, and
 * every hash and every seal behind it made anew.
 */
static void test_reseal(void **state)
{
    (void)state;
    struct seal_state kept;
    assert_true(seal_state_read(path, &kept));
    struct text seals = load(".seal"), out = text_growing(&arena, seals.len + 1024);
    struct span rest = text_span(&seals), line;
    unsigned n = 0;
    while (rest.len > 0 && span_cut(&rest, '\n', &line)) {
        ssize_t at = span_find(line, SPAN(",\"sig\":\""));
        struct span body = span_sub(line, 0, (size_t)at);
        uint8_t signature[crypto_sign_BYTES];
        char shown[100];
        if (n++ < 3) {
            text_add(&out, line);
        } else {
            (void)crypto_sign_detached(signature, NULL, (const unsigned char *)body.p, body.len,
                                       kept.secret);
            (void)sodium_bin2base64(shown, sizeof(shown), signature, sizeof(signature),
                                    sodium_base64_VARIANT_ORIGINAL_NO_PADDING);
            text_add(&out, body);
            text_format(&out, ",\"sig\":\"%s\"}", shown);
        }
        text_char(&out, '\n');
    }
    store(".seal", text_span(&out));
    check();
    assert_true(found(VERIFY_RESEAL, 4));
}

static void test_a_new_chain_in_place_of_the_old(void **state)
{
    (void)state;
    char name[160];
    check();
    memcpy(key, verify.key, sizeof(key));
    assert_int_equal(drop_log(NULL), 0);
    assert_int_equal(make_log(NULL), 0);
    assert_int_equal(verify_log(&verify, path, key, &arena), OK);
    assert_true(found(VERIFY_RESEAL, 0)); /* who wrote the key down sees it */

    name_of(name, sizeof(name), ".state");
    assert_int_equal(unlink(name), 0);
    struct journal_conf conf = { .path = path };
    assert_int_equal(journal_open(&journal, &conf, NULL, 1), OK);
    put(1);
    journal_close(&journal, 1);
    check();
    assert_true(found(VERIFY_RESEAL, 0));
}

static void test_duplicate(void **state)
{
    (void)state;
    struct text text = load(".000002");
    struct span line = line_at(&text, 30);
    store(".000002", replaced(&text, span_of(line.p, 0), line));
    check();
    assert_true(found(VERIFY_DUPLICATE, 531));
    assert_int_equal(verify.count, 1);
}

/* Each problem is told, not the first one alone. */
static void test_several(void **state)
{
    (void)state;
    struct text text = load(".000002"), third = load(".000003");
    store(".000002", replaced(&text, line_at(&text, 20), SPAN("")));
    struct span line = line_at(&third, 900);
    store(".000003", replaced(&third, span_of(line.p, 0), line));
    check();
    assert_true(found(VERIFY_DELETE, 521));
    assert_true(found(VERIFY_DUPLICATE, 0));
    assert_int_equal(verify.count, 2);
}

int main(void)
{
#define EACH(test) cmocka_unit_test_setup_teardown(test, make_log, drop_log)
    const struct CMUnitTest tests[] = {
        EACH(test_a_whole_log),
        EACH(test_edit),
        EACH(test_edit_with_new_hashes),
        EACH(test_delete),
        EACH(test_a_deleted_segment),
        EACH(test_reorder),
        EACH(test_insert),
        EACH(test_truncate),
        EACH(test_swap),
        EACH(test_reseal),
        EACH(test_a_new_chain_in_place_of_the_old),
        EACH(test_duplicate),
        EACH(test_several),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
