/* The credential cache: what a tag binds, time, replacement. */
#include "auth/credcache.h"

#include "auth/password.h"
#include "tests/unit/check.h"

static const uint8_t boot_key[32] = { 1, 2, 3 };

static struct cred_tag tag_of(const struct credcache *cache, unsigned i)
{
    return credcache_tag(cache, SPAN("ann"), SPAN("hash"),
                         span_of((const char *)&i, sizeof(i)));
}

static void a_tag_binds_user_hash_and_password(void **state)
{
    (void)state;
    static const struct span rows[][3] = {
        { SPAN_INIT("ann"), SPAN_INIT("hash"), SPAN_INIT("pass") },
        { SPAN_INIT("bob"), SPAN_INIT("hash"), SPAN_INIT("pass") },
        { SPAN_INIT("ann"), SPAN_INIT("hasi"), SPAN_INIT("pass") },
        { SPAN_INIT("ann"), SPAN_INIT("hash"), SPAN_INIT("past") },
        { SPAN_INIT("ann"), SPAN_INIT("has"), SPAN_INIT("hpass") },
        { SPAN_INIT("annhash"), SPAN_INIT(""), SPAN_INIT("pass") },
    };
    struct credcache *cache = credcache_new(boot_key);
    assert_non_null(cache);
    struct cred_tag first = credcache_tag(cache, rows[0][0], rows[0][1], rows[0][2]);
    credcache_add(cache, &first, 1000);
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct cred_tag tag = credcache_tag(cache, rows[i][0], rows[i][1], rows[i][2]);
        assert_int_equal(credcache_has(cache, &tag, 1000), i == 0);
    }
    /* Another boot, other tags. */
    static const uint8_t other_key[32] = { 1, 2, 4 };
    struct credcache *other = credcache_new(other_key);
    struct cred_tag tag = credcache_tag(other, rows[0][0], rows[0][1], rows[0][2]);
    assert_memory_not_equal(tag.bytes, first.bytes, sizeof(tag.bytes));
    credcache_free(other);
    credcache_free(cache);
}

static void an_entry_runs_out(void **state)
{
    (void)state;
    struct credcache *cache = credcache_new(boot_key);
    struct cred_tag tag = tag_of(cache, 1);
    assert_false(credcache_has(cache, &tag, 0));
    credcache_add(cache, &tag, 5000);
    assert_true(credcache_has(cache, &tag, 5000 + CREDCACHE_TTL_MS - 1));
    assert_false(credcache_has(cache, &tag, 5000 + CREDCACHE_TTL_MS));
    credcache_add(cache, &tag, 90000);
    assert_true(credcache_has(cache, &tag, 90000));
    credcache_free(cache);
}

/* No key at all is the tag of zeros; a fresh cache must not have it. */
static void an_empty_entry_is_no_match(void **state)
{
    (void)state;
    struct credcache *cache = credcache_new(boot_key);
    struct cred_tag zeros = { { 0 } };
    assert_false(credcache_has(cache, &zeros, 0));
    credcache_free(cache);
}

static void the_latest_stay_when_it_is_full(void **state)
{
    (void)state;
    struct credcache *cache = credcache_new(boot_key);
    unsigned kept = 0, many = 4 * CREDCACHE_ENTRIES;
    for (unsigned i = 0; i < many; i++) {
        struct cred_tag tag = tag_of(cache, i);
        credcache_add(cache, &tag, i);
        assert_true(credcache_has(cache, &tag, i));
    }
    for (unsigned i = 0; i < many; i++) {
        struct cred_tag tag = tag_of(cache, i);
        kept += credcache_has(cache, &tag, many);
    }
    assert_true(kept <= CREDCACHE_ENTRIES);
    assert_true(kept > CREDCACHE_ENTRIES * 9 / 10);
    credcache_free(cache);
}

int main(void)
{
    if (password_init() != OK)
        return 1;
    return RUN(TEST(a_tag_binds_user_hash_and_password), TEST(an_entry_runs_out),
               TEST(an_empty_entry_is_no_match), TEST(the_latest_stay_when_it_is_full));
}
