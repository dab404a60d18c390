/* JA4 of ClientHellos that are built here: the published example, GREASE, edges, and halves. */
#include "gateway/net/ja4.h"

#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>

#include "gateway/base/text.h"
#include "tests/unit/check.h"

static struct arena arena;

/* What a hello consists of, in hexadecimal. */
struct parts {
    const char *version, *ciphers;
    const char *extensions[24]; /* type, then the body */
};

static void put_hex(struct text *out, const char *hex)
{
    for (size_t i = 0; hex[i] != '\0'; i += hex[i + 2] == ' ' ? 3 : 2)
        text_char(out, (char)(hex_value(hex[i]) << 4 | hex_value(hex[i + 1])));
}

static void put_number(struct text *out, size_t number, unsigned bytes)
{
    while (bytes-- > 0)
        text_char(out, (char)(number >> 8 * bytes));
}

static void put_vector(struct text *out, unsigned bytes, struct span vector)
{
    put_number(out, vector.len, bytes);
    text_add(out, vector);
}

static struct span hello_of(const struct parts *parts)
{
    struct text body = text_growing(&arena, 512), part = text_growing(&arena, 512);
    put_hex(&body, parts->version);
    for (unsigned i = 0; i < 32; i++)
        text_char(&body, (char)i);
    put_vector(&body, 1, SPAN("session"));
    put_hex(&part, parts->ciphers);
    put_vector(&body, 2, text_span(&part));
    put_vector(&body, 1, SPAN("\0"));
    part.len = 0;
    for (size_t i = 0; parts->extensions[i] != NULL; i++) {
        struct text raw = text_growing(&arena, 64);
        put_hex(&raw, parts->extensions[i]);
        text_add(&part, span_sub(text_span(&raw), 0, 2));
        put_vector(&part, 2, span_sub(text_span(&raw), 2, raw.len));
    }
    if (part.len > 0)
        put_vector(&body, 2, text_span(&part));
    struct text message = text_growing(&arena, 512);
    text_char(&message, 1);
    put_vector(&message, 3, text_span(&body));
    return text_span(&message);
}

static struct span ja4_of(const struct parts *parts)
{
    char *out = arena_alloc(&arena, JA4_BYTES);
    return ja4_write(hello_of(parts), out) ? span_of(out, JA4_BYTES) : SPAN("none");
}

static void fresh_arena(void)
{
    arena_reset(&arena);
    arena_init(&arena, NULL, 0, NULL, 16 << 20);
}

/* The one of FoxIO's description, from Chrome: GREASE among everything, extensions shuffled. */
static void agrees_with_the_published_example(void **state)
{
    (void)state;
    struct parts parts = {
        .version = "0303",
        .ciphers = "3a3a 1301 1302 1303 c02b c02f c02c c030 cca9 cca8 c013 c014 009c 009d 002f "
                   "0035",
        .extensions = { "0a0a", "001b 02 0002", "0000 0006 00 0003 61 2e 62", "0033",
                        "0010 000c 02 6832 08 687474702f312e31", "4469", "0017", "002d",
                        "000d "
                        "0014 8a8a 0403 0804 0401 0503 0805 0501 0806 0601 1a1a",
                        "0005", "0023", "0012", "002b 06 4a4a 0304 0303", "ff01", "000b",
                        "000a", "0015", "fafa 00" },
    };
    fresh_arena();
    assert_text(ja4_of(&parts), "t13d1516h2_8daaf6152771_e5627efa2ab1");
    /* Another order of the extensions is the same client. */
    const char *first = parts.extensions[1];
    parts.extensions[1] = parts.extensions[3];
    parts.extensions[3] = first;
    assert_text(ja4_of(&parts), "t13d1516h2_8daaf6152771_e5627efa2ab1");
}

static void shows_versions(void **state)
{
    (void)state;
    static const struct {
        const char *legacy, *extension, *want;
    } rows[] = {
        { "0303", "002b 04 0303 0304", "t13" },
        { "0303", "002b 02 7a7a", "t12" },
        { "0303", "4444", "t12" },
        { "0302", "4444", "t11" },
        { "0301", "4444", "t10" },
        { "0300", "4444", "ts3" },
        { "0002", "4444", "ts2" },
        { "7f1c", "4444", "t00" },
        { "0303", "002b 02 7f1c", "t00" },
    };
    fresh_arena();
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct parts parts = { rows[i].legacy, "1301", { rows[i].extension } };
        assert_span(span_sub(ja4_of(&parts), 0, 3), span_text(rows[i].want));
    }
}

static void shows_alpn(void **state)
{
    (void)state;
    static const struct {
        const char *extension, *want;
    } rows[] = {
        { "4444", "00" },
        { "0010 0000", "00" },
        { "0010 0001 00", "00" },
        { "0010 0003 02 6832", "h2" },
        { "0010 0009 08 687474702f312e31", "h1" },
        { "0010 0002 01 68", "hh" },
        { "0010 0002 01 ab", "ab" },
        { "0010 0003 02 abcd", "ad" },
        { "0010 0003 02 30ab", "3b" },
        { "0010 0005 04 30313ac3", "33" },
    };
    fresh_arena();
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct parts parts = { "0303", "1301", { rows[i].extension } };
        assert_span(span_sub(ja4_of(&parts), 8, 2), span_text(rows[i].want));
    }
}

static void knows_hellos_of_nothing(void **state)
{
    (void)state;
    struct parts bare = { "0303", "", { NULL } }, grease = { "0303", "0a0a", { "1a1a" } };
    fresh_arena();
    assert_text(ja4_of(&bare), "t12i000000_000000000000_000000000000");
    assert_text(ja4_of(&grease), "t12i000000_000000000000_000000000000");
}

static void counts_to_its_limits(void **state)
{
    (void)state;
    char ciphers[(JA4_ITEMS_MAX + 1) * 4 + 1];
    fresh_arena();
    for (unsigned i = 0; i <= JA4_ITEMS_MAX; i++)
        (void)snprintf(ciphers + 4 * (size_t)i, 5, "%04x", 0x1000 + i);
    struct parts parts = { "0303", ciphers, { NULL } };
    assert_text(ja4_of(&parts), "none");
    ciphers[JA4_ITEMS_MAX * 4] = '\0';
    assert_text(span_sub(ja4_of(&parts), 0, 8), "t12i9900");
    ciphers[99 * 4] = '\0';
    assert_text(span_sub(ja4_of(&parts), 0, 8), "t12i9900");
    ciphers[98 * 4] = '\0';
    assert_text(span_sub(ja4_of(&parts), 0, 8), "t12i9800");
}

static void refuses_what_is_not_whole(void **state)
{
    (void)state;
    struct parts parts = { "0303", "1301 1302", { "002b 02 0304", "0010 0003 02 6832" } };
    char out[JA4_BYTES];
    fresh_arena();
    struct span hello = hello_of(&parts);
    assert_true(ja4_write(hello, out));
    for (size_t len = 0; len < hello.len; len++) {
        char *copy = malloc(len > 0 ? len : 1); /* of the exact size, for the sanitizer */
        assert_non_null(copy);
        memcpy(copy, hello.p, len);
        assert_false(ja4_write(span_of(copy, len), out));
        free(copy);
    }
    static const char *const wrong[] = { "002b 03 0304",      "002b 01 03",
                                         "000d 0003 040308",  "000d 0004 0403",
                                         "0010 0003 05 6832", "0010" };
    for (size_t i = 0; i < ARRAY_LEN(wrong); i++) {
        struct parts bad = { "0303", "1301", { wrong[i] } };
        assert_text(ja4_of(&bad), "none");
    }
    arena_reset(&arena);
}

int main(void)
{
    assert_true(sodium_init() >= 0);
    return RUN(TEST(agrees_with_the_published_example), TEST(shows_versions), TEST(shows_alpn),
               TEST(knows_hellos_of_nothing), TEST(counts_to_its_limits),
               TEST(refuses_what_is_not_whole));
}
