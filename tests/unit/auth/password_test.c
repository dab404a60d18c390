/* Password hashes: each kind right and wrong, the caps at limit and limit + 1, and remedies. */
#include "auth/password.h"

#include "tests/unit/auth/hashes.h"
#include "tests/unit/check.h"

#define REST_512                                                                               \
    "e/5XKibXPLqVcfjpD.ouauaJrAOL5V0uo80Lt7n7EbRdRiCx3HbQ90yjOHr.G0T.mx79PEMRy8nmtr0qSYhQp1"
#define REST_BCRYPT "l4k1UWY08LTeRoZRo/Eor.1weWDDagz6i9ZK.Hh4RPlzTyM4rIs2i"
#define REST_ARGON "p=1$9QrNBZlD54ArkRVUj6wGeg$RChYkMldY0XiqAcoW75956W+LnUASm3P+uaF/sME3u8"
#define REST_YESCRYPT "$ab3OXGtSeLayZSD1Z3X5C0$Npz5oUUQCDdjiXDKQpGkjGdEN382grtuFUx/faw2rs6"

static bool verify(const char *text, struct span password)
{
    struct password_hash hash;
    struct password_scratch *scratch = password_scratch_new();
    bool right = false;
    assert_non_null(scratch);
    const char *wrong = password_hash_read(span_text(text), &hash);
    if (wrong != NULL)
        fail_msg("%s: %s", text, wrong);
    assert_int_equal(password_verify(&hash, password, scratch, &right), OK);
    password_scratch_free(scratch);
    return right;
}

static void knows_right_from_wrong(void **state)
{
    (void)state;
    static const char *const hashes[] = { HASH_ARGON2ID, HASH_2B,       HASH_2Y,
                                          HASH_2A,       HASH_SHA512,   HASH_SHA512_PLAIN,
                                          HASH_SHA256,   HASH_YESCRYPT, HASH_APR1,
                                          HASH_SHA1 };
    for (size_t i = 0; i < ARRAY_LEN(hashes); i++) {
        assert_true(verify(hashes[i], SPAN("open sesame")));
        assert_false(verify(hashes[i], SPAN("open sesamf")));
        assert_false(verify(hashes[i], SPAN("open sesam")));
        assert_false(verify(hashes[i], SPAN("open sesame ")));
        assert_false(verify(hashes[i], SPAN("")));
        /* crypt(3) would stop at the NUL and see the right one. */
        assert_false(verify(hashes[i], SPAN("open sesame\0x")));
    }
}

/* `openssl passwd -apr1`: blocks of MD5, salts short and long, nothing at all. */
static void old_hashes_are_those_of_others(void **state)
{
    (void)state;
    assert_true(verify("$apr1$x$tMwYqBfQwi3FYAr0aJc8M/", SPAN("")));
    assert_true(verify("$apr1$abcdefgh$nVWT2mVJ1a1c9VK2aSQHC1",
                       SPAN("a password that is longer than one block of MD5, which has 64 "
                            "bytes: 12345")));
    assert_false(verify("$apr1$abcdefgi$nVWT2mVJ1a1c9VK2aSQHC1",
                        SPAN("a password that is longer than one block of MD5, which has 64 "
                             "bytes: 12345")));
    struct password_hash hash;
    static const char *const weak[] = { HASH_APR1, HASH_SHA1 }, *const good[] = { HASH_2B };
    for (size_t i = 0; i < ARRAY_LEN(weak); i++) {
        assert_null(password_hash_read(span_text(weak[i]), &hash));
        assert_non_null(strstr(password_weakness(&hash), "htpasswd -B"));
    }
    assert_null(password_hash_read(span_text(good[0]), &hash));
    assert_null(password_weakness(&hash));
}

static void hashes_of_one_cost_are_alike(void **state)
{
    static const struct {
        const char *text, *cost;
    } rows[] = {
        { HASH_ARGON2ID, "$argon2id$v=19$m=64,t=1,p=1" },
        { HASH_2B, "04" },
        { HASH_2Y, "04" },
        { HASH_SHA512, "$6$rounds=1000" },
        { HASH_SHA512_PLAIN, "$6" },
        { HASH_SHA256, "$5$rounds=1000" },
        { HASH_YESCRYPT, "$y$j75" },
        { HASH_APR1, "$apr1" },
        { HASH_SHA1, "{SHA}" },
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct password_hash hash;
        assert_null(password_hash_read(span_text(rows[i].text), &hash));
        assert_span(password_cost(&hash), span_text(rows[i].cost));
    }
}

static void bounds_the_password(void **state)
{
    (void)state;
    char long_one[PASSWORD_BYTES_MAX + 1];
    memset(long_one, 'a', sizeof(long_one));
    assert_false(verify(HASH_SHA256, span_of(long_one, PASSWORD_BYTES_MAX)));
    assert_false(verify(HASH_SHA256, span_of(long_one, PASSWORD_BYTES_MAX + 1)));
}

static void caps_the_cost(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        bool taken;
    } rows[] = {
        { "$argon2id$v=19$m=262144,t=10," REST_ARGON, true },
        { "$argon2id$v=19$m=262145,t=10," REST_ARGON, false },
        { "$argon2id$v=19$m=262144,t=11," REST_ARGON, false },
        { "$argon2id$v=19$m=64,t=0," REST_ARGON, false },
        { "$argon2id$v=19$m=18446744073709551680,t=1," REST_ARGON, false },
        { "$2b$14$" REST_BCRYPT, true },
        { "$2b$15$" REST_BCRYPT, false },
        { "$2b$03$" REST_BCRYPT, false },
        { "$6$rounds=1000000$saltsalt$" REST_512, true },
        { "$6$rounds=1000001$saltsalt$" REST_512, false },
        { "$6$rounds=999$saltsalt$" REST_512, false },
        { "$y$jDT" REST_YESCRYPT, true }, /* 256 MiB */
        { "$y$jET" REST_YESCRYPT, false },
        { "$y$jzz" REST_YESCRYPT, false },
    };
    struct password_hash hash;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++)
        if ((password_hash_read(span_text(rows[i].text), &hash) == NULL) != rows[i].taken)
            fail_msg("%s", rows[i].text);
}

static void refuses_the_malformed(void **state)
{
    (void)state;
    static const struct span rows[] = {
        SPAN_INIT(""),
        SPAN_INIT("$2b$"),
        SPAN_INIT("$2b$4$" REST_BCRYPT),
        SPAN_INIT("$2b$04$" REST_BCRYPT "x"),
        SPAN_INIT("$2b$04$l4k1UWY08LTeRoZRo/Eor!1weWDDagz6i9ZK.Hh4RPlzTyM4rIs2i"),
        SPAN_INIT("$6$"),
        SPAN_INIT("$6$salt"),
        SPAN_INIT("$6$saltsaltsaltsalt1$" REST_512),
        SPAN_INIT("$6$rounds=5000"),
        SPAN_INIT("$6$rounds=5000$salt"),
        SPAN_INIT("$6$rounds=+5000$salt$" REST_512),
        SPAN_INIT("$6$salt$" REST_512 "/"),
        SPAN_INIT("$5$salt$" REST_512),
        SPAN_INIT("$y$"),
        SPAN_INIT("$y$j9$salt$x"),
        SPAN_INIT("$y$j9TX" REST_YESCRYPT),
        SPAN_INIT("$argon2id$"),
        SPAN_INIT("$argon2id$v=16$m=64,t=1," REST_ARGON),
        SPAN_INIT("$argon2id$v=19$m=64,t=1,p=1$salt"),
        SPAN_INIT("$argon2id$v=19$m=64,t=1,p=1$$"),
        SPAN_INIT("$argon2id$v=19$m=64,t=1," REST_ARGON "!"),
        SPAN_INIT("$6$saltsalt\0$" REST_512),
    };
    struct password_hash hash;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++)
        if (password_hash_read(rows[i], &hash) == NULL)
            fail_msg("taken: %.*s", (int)rows[i].len, rows[i].p);
}

static void names_the_remedy_for_weak_kinds(void **state)
{
    (void)state;
    static const struct {
        const char *text, *says;
    } rows[] = {
        { "$apr1$salt$hash", "$apr1$" },
        { "$apr1$saltsalts$HIDXe7D36X22w1CH4M1cQ.", "$apr1$" },
        { "{SHA}W8r/fyL/UzygmbNAjq2HbA67qac", "{SHA}" },
        { "{SHA}W8r/fyL/UzygmbNAjq2HbA67qa==", "{SHA}" },
        { "{SHA}W8r/fyL.UzygmbNAjq2HbA67qac=", "{SHA}" },
        { "$1$salt$hash", "$1$" },
        { "$2x$04$" REST_BCRYPT, "$2x$" },
        { "$argon2i$v=19$m=64,t=1,p=1$a$b", "argon2id" },
        { "secret", "no password hash" },
        { "rqXexS6ZhobKA", "no password hash" },
    };
    struct password_hash hash;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        const char *wrong = password_hash_read(span_text(rows[i].text), &hash);
        if (wrong == NULL || strstr(wrong, rows[i].says) == NULL)
            fail_msg("%s: %s", rows[i].text, wrong != NULL ? wrong : "taken");
    }
}

int main(void)
{
    if (password_init() != OK)
        return 1;
    return RUN(TEST(knows_right_from_wrong), TEST(hashes_of_one_cost_are_alike),
               TEST(old_hashes_are_those_of_others), TEST(bounds_the_password),
               TEST(caps_the_cost), TEST(refuses_the_malformed),
               TEST(names_the_remedy_for_weak_kinds));
}
