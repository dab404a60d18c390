/* Names of keys in the store: HMACs as another library makes them, and what is kept of them. */
#include "ratelimit/exact_name.h"

#include <sodium.h>
#include <stdlib.h>

#include "tests/unit/check.h"

static struct exact_names names;
static struct store store;
static struct exact_kept *kept;

static int set_up(void **state)
{
    (void)state;
    store = (struct store){ .prefix = SPAN("here"), .nodes = 1 };
    for (size_t i = 0; i < sizeof(store.key); i++)
        store.key[i] = (uint8_t)(i * 7 + 1);
    exact_names_open(&names, &store);
    kept = aligned_alloc(64, sizeof(*kept));
    if (kept != NULL)
        memset(kept, 0, sizeof(*kept));
    return kept == NULL;
}

static int tear_down(void **state)
{
    (void)state;
    free(kept);
    return 0;
}

/* RFC 2104 by libsodium; of all lengths about the blocks that SHA-256 takes. */
static void names_are_hmacs(void **state)
{
    (void)state;
    char bytes[200], name[EXACT_NAME_BYTES];
    unsigned char mac[crypto_auth_hmacsha256_BYTES];
    for (size_t i = 0; i < sizeof(bytes); i++)
        bytes[i] = (char)(i * 31 + 5);
    for (size_t len = 0; len <= sizeof(bytes); len++) {
        crypto_auth_hmacsha256_state hmac;
        (void)crypto_auth_hmacsha256_init(&hmac, store.key, sizeof(store.key));
        (void)crypto_auth_hmacsha256_update(&hmac, (const unsigned char *)bytes, len);
        (void)crypto_auth_hmacsha256_final(&hmac, mac);
        exact_names_mac(&names, span_of(bytes, len), name);
        assert_memory_equal(name, mac, sizeof(name));
    }
}

static void another_secret_another_name(void **state)
{
    (void)state;
    char name[EXACT_NAME_BYTES], other[EXACT_NAME_BYTES];
    exact_names_mac(&names, SPAN("key"), name);
    store.key[31] ^= 1;
    exact_names_open(&names, &store);
    exact_names_mac(&names, SPAN("key"), other);
    assert_memory_not_equal(name, other, sizeof(name));
}

static void kept_ones_are_the_same(void **state)
{
    (void)state;
    char name[EXACT_NAME_BYTES], again[EXACT_NAME_BYTES];
    for (uint64_t i = 0; i < 5; i++) { /* more than a set keeps, in one set */
        struct cell_key local = { i * EXACT_KEPT_SETS, i + 1 };
        struct span key = span_of((const char *)&i, sizeof(i));
        exact_names_mac(&names, key, name);
        for (unsigned turn = 0; turn < 2; turn++) {
            exact_names_find(&names, kept, &local, key, again);
            assert_memory_equal(name, again, sizeof(name));
        }
    }
}

static void written_with_prefix_and_lane(void **state)
{
    (void)state;
    char name[EXACT_NAME_BYTES], buffer[EXACT_KEY_TEXT_MAX];
    for (unsigned i = 0; i < sizeof(name); i++)
        name[i] = (char)(i * 17);
    struct text text = text_fixed(buffer, sizeof(buffer));
    exact_names_write(&names, 0, name, &text);
    assert_text(text_span(&text), "here:l:00112233445566778899aabbccddeeff");
    store.kind = STORE_CLUSTER;
    exact_names_open(&names, &store);
    text = text_fixed(buffer, sizeof(buffer));
    exact_names_write(&names, 127, name, &text);
    assert_text(text_span(&text), "here:l:{127}00112233445566778899aabbccddeeff");
}

/* A prefix may be so long, and a key still has room. */
static void the_longest_fits(void **state)
{
    (void)state;
    char name[EXACT_NAME_BYTES] = { 0 }, buffer[EXACT_KEY_TEXT_MAX];
    store.prefix = SPAN("0123456789abcdefghijklmn");
    assert_int_equal(store.prefix.len, STORE_PREFIX_MAX);
    store.kind = STORE_CLUSTER;
    exact_names_open(&names, &store);
    struct text text = text_fixed(buffer, sizeof(buffer));
    exact_names_write(&names, EXACT_LANES - 1, name, &text);
    assert_false(text.overflow);
}

int main(void)
{
#define IN(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)
    return RUN(IN(names_are_hmacs), IN(another_secret_another_name), IN(kept_ones_are_the_same),
               IN(written_with_prefix_and_lane), IN(the_longest_fits));
}
