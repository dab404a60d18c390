/* Address sets: against a naive set over random prefixes, at the edges, forged, and as text. */
#include "gateway/base/cidrset.h"

#include <stdlib.h>

#include "tests/unit/check.h"

static struct arena arena;

static void fresh_arena(void)
{
    arena_reset(&arena);
    arena_init(&arena, NULL, 0, NULL, (size_t)1 << 30);
}

static uint64_t state_of_chance = 0x9e3779b97f4a7c15u;

static uint32_t chance(void) /* xorshift64*: the same run every time */
{
    state_of_chance ^= state_of_chance >> 12;
    state_of_chance ^= state_of_chance << 25;
    state_of_chance ^= state_of_chance >> 27;
    return (uint32_t)((state_of_chance * 0x2545f4914f6cdd1du) >> 32);
}

static struct addr address(const char *text)
{
    struct addr addr;
    assert_true(addr_parse(span_text(text), &addr));
    return addr;
}

static struct cidr prefix(const char *text)
{
    struct cidr cidr;
    assert_true(cidr_parse(span_text(text), true, &cidr));
    return cidr;
}

/* Few distinct top bits, so that prefixes nest, touch and repeat. */
static struct addr random_addr(bool v6)
{
    struct addr addr = { .family = v6 ? ADDR_V6 : ADDR_V4 };
    unsigned width = v6 ? 16 : 4;
    for (unsigned i = 0; i < width; i++) {
        static const uint8_t edges[] = { 0x00, 0x01, 0x7f, 0x80, 0xfe, 0xff };
        addr.bytes[i] =
            chance() % 3 == 0 ? (uint8_t)chance() : edges[chance() % ARRAY_LEN(edges)];
    }
    return addr;
}

static struct addr neighbour(struct addr addr, int step)
{
    int width = addr.family == ADDR_V6 ? 16 : 4;
    for (int i = width - 1; i >= 0; i--) {
        addr.bytes[i] = (uint8_t)(addr.bytes[i] + step);
        if (addr.bytes[i] != (step > 0 ? 0x00 : 0xff))
            break;
    }
    return addr;
}

static struct addr last_of(const struct cidr *cidr)
{
    struct addr addr = cidr->addr;
    unsigned width = addr.family == ADDR_V6 ? 128 : 32;
    for (unsigned bit = cidr->bits; bit < width; bit++)
        addr.bytes[bit / 8] |= (uint8_t)(0x80 >> bit % 8);
    return addr;
}

static void compare(struct span block, const struct cidrs *naive, const struct addr *addr)
{
    assert_int_equal(cidrset_contains(block, addr), cidrs_contain(naive, addr));
}

static void differs_from_naive(size_t count, unsigned least_bits)
{
    fresh_arena();
    struct cidr *items = arena_array(&arena, struct cidr, count);
    for (size_t i = 0; i < count; i++) {
        bool v6 = chance() % 2;
        unsigned width = v6 ? 128 : 32;
        items[i].addr = random_addr(v6);
        items[i].bits = (uint8_t)(least_bits + chance() % (width + 1 - least_bits));
        addr_mask(&items[i].addr, items[i].bits);
    }
    struct cidrs naive = { items, count };
    struct span block;
    assert_int_equal(cidrset_build(items, count, &arena, &block), OK);
    assert_true(cidrset_valid(block));
    assert_true(cidrset_ranges(block) <= count);

    for (size_t i = 0; i < count; i++) {
        struct addr first = items[i].addr, last = last_of(&items[i]);
        struct addr before = neighbour(first, -1), after = neighbour(last, 1);
        compare(block, &naive, &first);
        compare(block, &naive, &last);
        compare(block, &naive, &before);
        compare(block, &naive, &after);
    }
    for (unsigned i = 0; i < 2000; i++) {
        struct addr addr = random_addr(chance() % 2);
        compare(block, &naive, &addr);
    }
}

static void agrees_with_a_naive_set(void **state)
{
    (void)state;
    for (unsigned round = 0; round < 40; round++)
        differs_from_naive(1 + chance() % 40, 0);
    for (unsigned round = 0; round < 10; round++)
        differs_from_naive(200 + chance() % 400, 8); /* around the size that gets an index */
    differs_from_naive(3000, 12);
}

static void merges_what_touches(void **state)
{
    (void)state;
    static const struct {
        const char *items[4];
        size_t ranges;
    } rows[] = {
        { { "10.0.0.0/9", "10.128.0.0/9" }, 1 },
        { { "10.0.0.0/8", "10.1.2.3", "10.0.0.0/8" }, 1 },
        { { "10.0.0.0", "10.0.0.2" }, 2 },
        { { "0.0.0.0/0", "255.255.255.255" }, 1 },
        { { "255.255.255.254", "255.255.255.255" }, 1 },
        { { "0.0.0.0/0", "::/0" }, 2 },
        { { "::/1", "8000::/1" }, 1 },
        { { "2001:db8::/33", "2001:db8:8000::/33", "2001:db9::1" }, 2 },
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        fresh_arena();
        struct cidr items[4];
        size_t count = 0;
        for (; count < 4 && rows[i].items[count] != NULL; count++)
            items[count] = prefix(rows[i].items[count]);
        struct span block;
        assert_int_equal(cidrset_build(items, count, &arena, &block), OK);
        assert_true(cidrset_valid(block));
        assert_int_equal(cidrset_ranges(block), rows[i].ranges);
        for (size_t k = 0; k < count; k++)
            assert_true(cidrset_contains(block, &items[k].addr));
    }
}

static void keeps_families_apart(void **state)
{
    (void)state;
    fresh_arena();
    struct cidr all4 = prefix("0.0.0.0/0"), all6 = prefix("::/0");
    struct addr v4 = address("192.0.2.1"), v6 = address("2001:db8::1"),
                mapped = address("::ffff:192.0.2.1"), none = { .family = ADDR_NONE },
                local = { .family = ADDR_UNIX };
    struct span block;
    assert_int_equal(cidrset_build(&all4, 1, &arena, &block), OK);
    assert_true(cidrset_contains(block, &v4));
    assert_true(cidrset_contains(block, &mapped)); /* one client has one spelling */
    assert_false(cidrset_contains(block, &v6));
    assert_false(cidrset_contains(block, &none));
    assert_false(cidrset_contains(block, &local));
    assert_int_equal(cidrset_build(&all6, 1, &arena, &block), OK);
    assert_false(cidrset_contains(block, &v4));
    assert_true(cidrset_contains(block, &v6));
}

static void an_empty_set_is_a_block(void **state)
{
    (void)state;
    fresh_arena();
    struct span block;
    struct addr addr = address("0.0.0.0");
    assert_int_equal(cidrset_build(NULL, 0, &arena, &block), OK);
    assert_true(block.len > 0);
    assert_true(cidrset_valid(block));
    assert_false(cidrset_contains(block, &addr));
    assert_false(cidrset_contains(SPAN(""), &addr));
    assert_int_equal(cidrset_ranges(SPAN("")), 0);
}

static void refuses_what_is_no_prefix(void **state)
{
    (void)state;
    fresh_arena();
    struct span block;
    struct cidr bad[] = { { .addr = { .family = ADDR_V4 }, .bits = 33 },
                          { .addr = { .family = ADDR_V6 }, .bits = 129 },
                          { .addr = { .family = ADDR_UNIX } } };
    for (size_t i = 0; i < ARRAY_LEN(bad); i++)
        assert_int_equal(cidrset_build(&bad[i], 1, &arena, &block), ERR_RANGE);
    assert_int_equal(cidrset_build(bad, CIDRSET_ENTRIES_MAX + 1, &arena, &block), ERR_LIMIT);
}

/* 300 separate hosts of each family: both parts have an index. */
static struct span indexed_block(void)
{
    fresh_arena();
    struct cidr *items = arena_array(&arena, struct cidr, 600);
    for (unsigned i = 0; i < 300; i++) {
        items[2 * i].addr =
            (struct addr){ .family = ADDR_V4, .bytes = { 10, (uint8_t)(i >> 4) } };
        items[2 * i].addr.bytes[3] = (uint8_t)((i & 15) * 2);
        items[2 * i].bits = 32;
        items[2 * i + 1].addr = (struct addr){ .family = ADDR_V6, .bytes = { 0x20, 1, 0xd } };
        items[2 * i + 1].addr.bytes[14] = (uint8_t)(i >> 4);
        items[2 * i + 1].addr.bytes[15] = (uint8_t)((i & 15) * 2);
        items[2 * i + 1].bits = 128;
    }
    struct span block;
    assert_int_equal(cidrset_build(items, 600, &arena, &block), OK);
    assert_int_equal(cidrset_ranges(block), 600);
    assert_true(cidrset_valid(block));
    return block;
}

/* Memory of the exact size, so that the sanitizer sees a read outside. */
static bool forged_is_valid(struct span block, size_t len, size_t offset, uint32_t value)
{
    char *copy = malloc(len);
    assert_non_null(copy);
    memcpy(copy, block.p, len < block.len ? len : block.len);
    if (len > block.len)
        memset(copy + block.len, 0, len - block.len);
    if (offset + sizeof(value) <= len)
        memcpy(copy + offset, &value, sizeof(value));
    bool valid = cidrset_valid(span_of(copy, len));
    if (valid) { /* then a look-up must stay inside */
        struct addr addr = { .family = ADDR_V4, .bytes = { 255, 255, 255, 255 } };
        (void)cidrset_contains(span_of(copy, len), &addr);
    }
    free(copy);
    return valid;
}

static void refuses_forged_blocks(void **state)
{
    (void)state;
    struct span block = indexed_block();
    enum { HEAD = 16, INDEX = 65537 * 4 };
    uint32_t first4;
    memcpy(&first4, block.p + HEAD + INDEX, sizeof(first4));

    assert_true(forged_is_valid(block, block.len, HEAD + INDEX, first4)); /* unchanged */
    static const size_t lengths[] = { 1, 3, 15, 16, 17, HEAD + INDEX };
    for (size_t i = 0; i < ARRAY_LEN(lengths); i++)
        assert_false(forged_is_valid(block, lengths[i], SIZE_MAX / 2, 0));
    assert_false(forged_is_valid(block, block.len - 1, SIZE_MAX / 2, 0));
    assert_false(forged_is_valid(block, block.len + 1, SIZE_MAX / 2, 0));
    const struct {
        size_t offset;
        uint32_t value;
    } rows[] = {
        { 0, 0 },   /* another magic */
        { 4, 299 }, /* counts that do not fit the length */
        { 4, 301 },
        { 4, UINT32_MAX },
        { 8, 0 },
        { 8, UINT32_MAX / 32 },
        { 12, 1 },                         /* the reserved word */
        { HEAD, 1 },                       /* index: first entry */
        { HEAD + 4 * 0x0a00, 1 },          /* before the first range */
        { HEAD + 4 * 0x0a01, UINT32_MAX }, /* far outside */
        { HEAD + INDEX - 4, 0 },           /* last entry */
        { HEAD + INDEX, first4 + 3 },      /* first behind last */
        { HEAD + INDEX + 8, first4 },      /* overlapping its neighbour */
        { HEAD + INDEX + 4, UINT32_MAX },  /* the same from below */
        { HEAD + INDEX + 300 * 8, 7 },     /* index of IPv6 */
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++)
        if (forged_is_valid(block, block.len, rows[i].offset, rows[i].value))
            fail_msg("forged block %zu was taken", i);
}

static void stands_at_any_address(void **state)
{
    (void)state;
    struct span block = indexed_block();
    char *copy = malloc(block.len + 1);
    assert_non_null(copy);
    memcpy(copy + 1, block.p, block.len);
    struct span moved = span_of(copy + 1, block.len);
    assert_true(cidrset_valid(moved));
    struct addr in = address("10.1.0.2"), out = address("10.1.0.3");
    assert_true(cidrset_contains(moved, &in));
    assert_false(cidrset_contains(moved, &out));
    free(copy);
}

static void reads_lists(void **state)
{
    (void)state;
    static const struct {
        struct span text;
        enum err err;
        size_t count;
        unsigned line;
    } rows[] = {
        { SPAN_INIT(""), OK, 0, 0 },
        { SPAN_INIT("# nothing\n\n ; here\r\n"), OK, 0, 0 },
        { SPAN_INIT("192.0.2.1"), OK, 1, 0 },
        { SPAN_INIT("192.0.2.1\r\n192.0.2.0/24 ; SBL123\n\t2001:db8::/32 # doc\r\n"), OK, 3,
          0 },
        { SPAN_INIT("192.0.2.77/24\n"), OK, 1, 0 }, /* host bits */
        { SPAN_INIT("192.0.2.1\nnonsense\n192.0.2.2\n"), ERR_SYNTAX, 0, 2 },
        { SPAN_INIT("192.0.2.1 192.0.2.2\n"), ERR_SYNTAX, 0, 1 },
        { SPAN_INIT("\n\n192.0.2.0/33"), ERR_SYNTAX, 0, 3 },
        { SPAN_INIT("192.0.2.1\0\n"), ERR_SYNTAX, 0, 1 },
        { SPAN_INIT("192.0.2.1\r\r\n"), ERR_SYNTAX, 0, 1 },
        { SPAN_INIT("192.0.2.1/\n"), ERR_SYNTAX, 0, 1 },
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        fresh_arena();
        struct cidrs cidrs = { NULL, 0 };
        unsigned line = 99;
        assert_int_equal(cidrset_parse(rows[i].text, &arena, &cidrs, &line), rows[i].err);
        assert_int_equal(cidrs.count, rows[i].count);
        assert_int_equal(line, rows[i].line);
    }
}

/* limit and limit + 1 of entries; comments are free. */
static void bounds_the_entries(void **state)
{
    (void)state;
    fresh_arena();
    size_t len = 4 + (size_t)(CIDRSET_ENTRIES_MAX + 1) * 4;
    char *text = malloc(len);
    assert_non_null(text);
    memcpy(text, "# a\n", 4);
    for (size_t i = 4; i < len; i += 4)
        memcpy(text + i, "::1\n", 4);
    struct cidrs cidrs;
    unsigned line;
    assert_int_equal(cidrset_parse(span_of(text, len), &arena, &cidrs, &line), ERR_LIMIT);
    assert_int_equal(cidrset_parse(span_of(text, len - 4), &arena, &cidrs, &line), OK);
    assert_int_equal(cidrs.count, CIDRSET_ENTRIES_MAX);
    free(text);
    assert_int_equal(
        cidrset_parse(span_of("", (size_t)CIDRSET_FILE_MAX + 1), &arena, &cidrs, &line),
        ERR_LIMIT);
    arena_reset(&arena);
}

int main(void)
{
    return RUN(TEST(agrees_with_a_naive_set), TEST(merges_what_touches),
               TEST(keeps_families_apart), TEST(an_empty_set_is_a_block),
               TEST(refuses_what_is_no_prefix), TEST(refuses_forged_blocks),
               TEST(stands_at_any_address), TEST(reads_lists), TEST(bounds_the_entries));
}
