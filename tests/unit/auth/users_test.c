/* Local users: the store, the block that workers get, codes by time and for recovery. */
#include "auth/userdb.h"

#include <sodium.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tests/unit/auth/hashes.h"
#include "tests/unit/check.h"

static const char hash[] = HASH_ARGON2ID;
static char path[64];
static struct arena arena;
static struct userdb *db;

static void clean(void)
{
    char name[80];
    static const char *const ends[] = { "", "-wal", "-shm" };
    for (size_t i = 0; i < ARRAY_LEN(ends); i++) {
        snprintf(name, sizeof(name), "%s%s", path, ends[i]);
        (void)unlink(name);
    }
}

static int set_up(void **state)
{
    (void)state;
    snprintf(path, sizeof(path), "/tmp/sallyport-users-%d.db", (int)getpid());
    clean();
    arena_init(&arena, NULL, 0, NULL, 64 << 20);
    return sodium_init() >= 0 && totp_init() == OK && userdb_open(&db, path, true) == NULL ? 0
                                                                                           : -1;
}

static int tear_down(void **state)
{
    (void)state;
    userdb_close(db);
    clean();
    arena_reset(&arena);
    return 0;
}

static const struct user_entry *find(const char *name)
{
    struct span block;
    assert_int_equal(userdb_build(db, &arena, &block), OK);
    assert_true(users_valid(block));
    return users_find(block, span_text(name));
}

static void users_come_and_go(void **state)
{
    (void)state;
    assert_null(userdb_add(db, SPAN("ann"), span_text(hash), SPAN("ops,staff")));
    assert_null(userdb_add(db, SPAN("bob"), span_text(hash), SPAN("")));
    assert_non_null(userdb_add(db, SPAN("ann"), span_text(hash), SPAN("")));
    assert_non_null(userdb_add(db, SPAN("Ann"), span_text(hash), SPAN("")));
    assert_non_null(userdb_add(db, SPAN("eve"), span_text(hash), SPAN("a,,b")));
    const struct user_entry *ann = find("ann");
    assert_non_null(ann);
    assert_string_equal(ann->groups, "ops,staff");
    assert_string_equal(ann->hash, hash);
    assert_int_equal(ann->totp_len, 0);
    assert_null(find("eve"));
    assert_null(userdb_remove(db, SPAN("ann")));
    assert_non_null(userdb_remove(db, SPAN("ann")));
    assert_null(find("ann"));
    assert_non_null(find("bob"));
}

static void each_change_begins_an_epoch(void **state)
{
    (void)state;
    static const uint8_t codes[1][USER_CODE_HASH_BYTES] = { { 1 } };
    uint64_t seen[7];
    assert_null(userdb_add(db, SPAN("ann"), span_text(hash), SPAN("")));
    seen[0] = find("ann")->epoch;
    assert_null(userdb_set_password(db, SPAN("ann"), span_text(hash)));
    seen[1] = find("ann")->epoch;
    assert_null(userdb_set_groups(db, SPAN("ann"), SPAN("ops")));
    seen[2] = find("ann")->epoch;
    assert_null(userdb_revoke(db, SPAN("ann")));
    seen[3] = find("ann")->epoch;
    assert_null(userdb_set_totp(db, SPAN("ann"), SPAN("0123456789abcdef0123"), codes, 1));
    seen[4] = find("ann")->epoch;
    assert_null(userdb_set_totp(db, SPAN("ann"), SPAN(""), NULL, 0));
    seen[5] = find("ann")->epoch;
    assert_null(userdb_remove(db, SPAN("ann")));
    assert_null(userdb_add(db, SPAN("ann"), span_text(hash), SPAN("")));
    seen[6] = find("ann")->epoch;
    for (size_t i = 0; i < ARRAY_LEN(seen); i++)
        for (size_t j = 0; j < i; j++)
            assert_int_not_equal(seen[i], seen[j]);
    assert_non_null(userdb_revoke(db, SPAN("nobody")));
    assert_non_null(userdb_set_totp(db, SPAN("nobody"), SPAN(""), NULL, 0));
}

static void second_factors_are_kept(void **state)
{
    (void)state;
    static const uint8_t codes[2][USER_CODE_HASH_BYTES] = { { 1, 2 }, { 3, 4 } };
    assert_null(userdb_add(db, SPAN("ann"), span_text(hash), SPAN("")));
    assert_non_null(userdb_set_totp(db, SPAN("ann"), SPAN("too short"), codes, 2));
    assert_null(userdb_set_totp(db, SPAN("ann"), SPAN("0123456789abcdef0123"), codes, 2));
    assert_int_equal(find("ann")->totp_len, 20);
    assert_int_equal(find("ann")->code_count, 2);
    assert_null(userdb_note_step(db, SPAN("ann"), 100));
    assert_null(userdb_note_step(db, SPAN("ann"), 99)); /* never back */
    assert_int_equal(find("ann")->totp_step, 100);
    assert_null(userdb_drop_code(db, SPAN("ann"), codes[0]));
    assert_int_equal(find("ann")->code_count, 1);
    assert_memory_equal(find("ann")->codes[0], codes[1], USER_CODE_HASH_BYTES);
}

static void it_is_for_its_owner_alone(void **state)
{
    (void)state;
    struct userdb *other;
    struct stat info;
    assert_int_equal(stat(path, &info), 0);
    assert_int_equal(info.st_mode & 077, 0);
    assert_int_equal(chmod(path, 0640), 0);
    assert_non_null(userdb_open(&other, path, false));
    assert_int_equal(chmod(path, 0600), 0);
    assert_ptr_equal(userdb_open(&other, "/tmp/sallyport-none.db", false), userdb_missing);
    assert_non_null(userdb_open(&other, "/tmp", false));
}

/* Made by one while another one opens it: not there yet, or there; never broken. */
static void a_new_one_appears_whole(void **state)
{
    (void)state;
    struct userdb *other;
    char empty[80];
    snprintf(empty, sizeof(empty), "%s.empty", path);
    FILE *file = fopen(empty, "w");
    assert_non_null(file);
    assert_int_equal(fclose(file), 0);
    assert_int_equal(chmod(empty, 0600), 0);
    assert_ptr_equal(userdb_open(&other, empty, false), userdb_missing);
    assert_null(userdb_open(&other, empty, true));
    userdb_close(other);
    assert_null(userdb_open(&other, empty, false));
    userdb_close(other);
    assert_int_equal(unlink(empty), 0);
}

static void others_changes_are_seen(void **state)
{
    (void)state;
    struct userdb *other;
    assert_null(userdb_open(&other, path, false));
    uint64_t before = userdb_version(db);
    assert_int_equal(userdb_version(db), before);
    assert_null(userdb_add(other, SPAN("ann"), span_text(hash), SPAN("")));
    assert_int_not_equal(userdb_version(db), before);
    assert_non_null(find("ann"));
    userdb_close(other);
}

static void blocks_are_looked_at(void **state)
{
    (void)state;
    struct user_entry entries[2] = { { .name = "bob", .epoch = 1 },
                                     { .name = "ann", .epoch = 1 } };
    struct span block;
    memcpy(entries[0].hash, hash, sizeof(hash));
    memcpy(entries[1].hash, hash, sizeof(hash));
    assert_int_equal(users_build(entries, 2, &arena, &block), OK);
    assert_true(users_valid(block));
    assert_int_equal(users_count(block), 2);
    assert_string_equal(users_at(block, 0)->name, "ann");
    assert_null(users_at(block, 2));
    assert_false(users_valid(span_sub(block, 0, block.len - 1)));
    struct span copy = arena_copy(&arena, block);
    memcpy((char *)(uintptr_t)copy.p, "x", 1);
    assert_false(users_valid(copy));
    entries[0] = entries[1];
    assert_int_equal(users_build(entries, 2, &arena, &block), ERR_DUPLICATE);
    entries[0].epoch = 0;
    assert_int_equal(users_build(entries, 2, &arena, &block), ERR_SYNTAX);
}

static void names_have_one_spelling(void **state)
{
    (void)state;
    char name[USER_NAME_MAX + 1];
    assert_true(user_name_fold(SPAN(" Ann.B@Example.org "), name));
    assert_string_equal(name, "ann.b@example.org");
    assert_false(user_name_fold(SPAN("ann b"), name));
    assert_false(user_name_fold(SPAN("\xc3\xa4nn"), name));
    assert_false(user_name_fold(SPAN(""), name));
    static char longest[USER_NAME_MAX + 1];
    memset(longest, 'a', sizeof(longest));
    assert_true(user_name_fold(span_of(longest, USER_NAME_MAX), name));
    assert_false(user_name_fold(span_of(longest, USER_NAME_MAX + 1), name));
}

/* RFC 6238 appendix B, SHA-1, the last six digits. */
static void codes_are_the_standards(void **state)
{
    (void)state;
    static const struct {
        uint64_t at_s;
        const char *code;
    } rows[] = {
        { 59, "287082" },         { 1111111109, "081804" }, { 1111111111, "050471" },
        { 1234567890, "005924" }, { 2000000000, "279037" }, { 20000000000, "353130" }
    };
    struct span secret = SPAN("12345678901234567890");
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        char code[TOTP_DIGITS];
        assert_true(totp_code(secret, rows[i].at_s / 30, code));
        assert_memory_equal(code, rows[i].code, TOTP_DIGITS);
    }
    uint64_t at = 1111111111, step = at / 30;
    struct span code = SPAN("050471");
    assert_int_equal(totp_check(secret, code, at, 0), step);
    assert_int_equal(totp_check(secret, code, at + 30, 0), step);
    assert_int_equal(totp_check(secret, code, at - 30, 0), step);
    assert_int_equal(totp_check(secret, code, at + 60, 0), 0);
    assert_int_equal(totp_check(secret, code, at - 60, 0), 0);
    assert_int_equal(totp_check(secret, code, at, step), 0); /* used */
    assert_int_equal(totp_check(secret, code, at, step - 1), step);
    assert_int_equal(totp_check(secret, SPAN("05047"), at, 0), 0);
    assert_int_equal(totp_check(secret, SPAN("0504711"), at, 0), 0);
    struct text uri = text_growing(&arena, 64);
    totp_uri(&uri, SPAN("My shop"), SPAN("ann@x"), secret);
    assert_text(text_span(&uri),
                "otpauth://totp/My%20shop:ann%40x?secret=GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ"
                "&issuer=My%20shop");
}

static void recovery_codes_are_their_users(void **state)
{
    (void)state;
    char text[RECOVERY_TEXT_BYTES];
    uint8_t one[USER_CODE_HASH_BYTES], two[USER_CODE_HASH_BYTES];
    recovery_make(text);
    struct span code = span_of(text, sizeof(text));
    assert_true(recovery_hash(SPAN("ann"), code, one));
    assert_true(recovery_hash(SPAN("bob"), code, two));
    assert_memory_not_equal(one, two, sizeof(one));
    assert_true(recovery_hash(SPAN("ann"), SPAN("abcd efgh ijkl mnop"), one));
    assert_true(recovery_hash(SPAN("ann"), SPAN("ABCD-EFGH-IJKL-MNOP"), two));
    assert_memory_equal(one, two, sizeof(one));
    assert_false(recovery_hash(SPAN("ann"), SPAN("abcd-efgh-ijkl-mno"), one));
    assert_false(recovery_hash(SPAN("ann"), SPAN("abcd-efgh-ijkl-mnopq"), one));
    assert_false(recovery_hash(SPAN("ann"), SPAN("abcd-efgh-ijkl-mno1"), one));
    assert_false(recovery_hash(SPAN("ann"), SPAN(""), one));
}

int main(void)
{
#define CASE(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        CASE(users_come_and_go),       CASE(each_change_begins_an_epoch),
        CASE(second_factors_are_kept), CASE(it_is_for_its_owner_alone),
        CASE(a_new_one_appears_whole), CASE(others_changes_are_seen),
        CASE(blocks_are_looked_at),    CASE(names_have_one_spelling),
        CASE(codes_are_the_standards), CASE(recovery_codes_are_their_users),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
