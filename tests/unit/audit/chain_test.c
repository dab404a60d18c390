/* The chain: what is sealed is accepted, and nothing else. */
#include "gateway/audit/chain.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

static int open_chain(void **state)
{
    (void)state;
    return chain_init() == OK ? 0 : -1;
}

static struct span seal(struct chain *chain, const char *line, char *buffer, size_t size)
{
    struct text out = text_fixed(buffer, size);
    assert_true(chain_seal(chain, span_text(line), &out));
    return text_span(&out);
}

static void test_sealed_lines_are_accepted_in_order(void **state)
{
    (void)state;
    struct chain writer = { .seq = 41 }, reader;
    char first[512], second[512];
    uint8_t leaf[CHAIN_BYTES];
    struct sealed one, two;

    memset(writer.key, 7, sizeof(writer.key));
    reader = writer;
    struct span a = seal(&writer, "{\"x\":1,\"sallyport\":{\"y\":2}}", first, sizeof(first));
    struct span b = seal(&writer, "{\"x\":1,\"sallyport\":{\"y\":2}}", second, sizeof(second));
    assert_true(span_starts(a, SPAN("{\"x\":1,\"sallyport\":{\"y\":2,\"seq\":42,\"hash\":\"")));
    assert_false(span_equal(a, b));
    assert_true(sealed_parse(a, &one));
    assert_true(sealed_parse(b, &two));
    assert_int_equal(one.seq, 42);
    assert_true(span_equal(one.body, SPAN("{\"x\":1,\"sallyport\":{\"y\":2")));

    assert_false(chain_accept(&reader, &two, leaf)); /* not yet */
    assert_true(chain_accept(&reader, &one, leaf));
    assert_false(chain_accept(&reader, &one, leaf)); /* not again */
    assert_true(chain_accept(&reader, &two, leaf));
    assert_memory_equal(&reader, &writer, sizeof(reader));

    /* The key has moved on: it seals no earlier record. */
    uint8_t old[CHAIN_BYTES];
    memset(old, 7, sizeof(old));
    assert_memory_not_equal(reader.key, old, sizeof(old));
}

/* Every byte of a sealed line counts, and the public half alone sees it, too. */
static void test_any_change_is_seen(void **state)
{
    (void)state;
    struct chain writer = { .seq = 0 }, before;
    char buffer[512];
    uint8_t leaf[CHAIN_BYTES];

    before = writer;
    struct span line = seal(&writer, "{\"a\":\"b\",\"sallyport\":{}}", buffer, sizeof(buffer));
    for (size_t i = 0; i < line.len; i++)
        for (int bit = 0; bit < 8; bit++) {
            struct chain reader = before;
            struct sealed sealed;
            buffer[i] = (char)(buffer[i] ^ (1 << bit));
            if (sealed_parse(line, &sealed))
                assert_false(chain_accept(&reader, &sealed, leaf));
            buffer[i] = (char)(buffer[i] ^ (1 << bit));
        }
}

static void test_lines_that_are_not_ours(void **state)
{
    (void)state;
    static const char *const lines[] = { "", "}}", "{}}", "{\"a\":1}", "{\"a\":{}} ", "x" };
    struct chain chain = { .seq = 3 }, before = chain;
    char buffer[256];
    for (size_t i = 0; i < ARRAY_LEN(lines); i++) {
        struct text out = text_fixed(buffer, sizeof(buffer));
        assert_false(chain_seal(&chain, span_text(lines[i]), &out));
        assert_int_equal(out.len, 0);
    }
    struct text small = text_fixed(buffer, 100);
    assert_false(chain_seal(&chain, SPAN("{\"sallyport\":{}}"), &small));
    assert_memory_equal(&chain, &before, sizeof(chain));

    static const char *const unsealed[] = {
        "",
        "{\"sallyport\":{}}",
        "{,\"seq\":01,\"hash\":\"AAAAAAAAAAAAAAAAAAAAAA\",\"mac\":\"AAAAAAAAAAAAAAAAAAAAAA\"}}",
        "{,\"seq\":,\"hash\":\"AAAAAAAAAAAAAAAAAAAAAA\",\"mac\":\"AAAAAAAAAAAAAAAAAAAAAA\"}}",
        "{,\"seq\":1,\"hash\":\"AAAAAAAAAAAAAAAAAAAAA!\",\"mac\":\"AAAAAAAAAAAAAAAAAAAAAA\"}}",
        "{,\"seq\":99999999999999999999,\"hash\":\"AAAAAAAAAAAAAAAAAAAAAA\",\"mac\":"
        "\"AAAAAAAAAAAAAAAAAAAAAA\"}}",
    };
    struct sealed sealed;
    for (size_t i = 0; i < ARRAY_LEN(unsealed); i++)
        assert_false(sealed_parse(span_text(unsealed[i]), &sealed));
}

/* A line that brings a seal of its own is sealed around it. */
static void test_a_forged_seal_is_just_text(void **state)
{
    (void)state;
    struct chain chain = { .seq = 8 };
    char buffer[512];
    struct sealed sealed;
    struct span line =
        seal(&chain,
             "{\"sallyport\":{\"x\":0,\"seq\":77,\"hash\":\"AAAAAAAAAAAAAAAAAAAAAA\",\"mac\":"
             "\"AAAAAAAAAAAAAAAAAAAAAA\"}}",
             buffer, sizeof(buffer));
    assert_true(sealed_parse(line, &sealed));
    assert_int_equal(sealed.seq, 9);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_sealed_lines_are_accepted_in_order),
        cmocka_unit_test(test_any_change_is_seen),
        cmocka_unit_test(test_lines_that_are_not_ours),
        cmocka_unit_test(test_a_forged_seal_is_just_text),
    };
    return cmocka_run_group_tests(tests, open_chain, NULL);
}
