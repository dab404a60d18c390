/* Address lists: against a naive set over random nested prefixes, as they expire, and forged.
 */
#include "gateway/base/addrlist.h"

#include <stdlib.h>

#include "gateway/base/addrlist_block.h"
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
    for (unsigned i = 0; i < (v6 ? 16 : 4); i++) {
        static const uint8_t edges[] = { 0x00, 0x01, 0x7f, 0x80, 0xfe, 0xff };
        addr.bytes[i] =
            chance() % 3 == 0 ? (uint8_t)chance() : edges[chance() % ARRAY_LEN(edges)];
    }
    return addr;
}

/* The last address of the prefix, or the one behind it, or the one before it. */
static struct addr edge_of(const struct cidr *cidr, int step)
{
    struct addr addr = cidr->addr;
    int width = addr.family == ADDR_V6 ? 16 : 4;
    if (step >= 0)
        for (int bit = cidr->bits; bit < width * 8; bit++)
            addr.bytes[bit / 8] |= (uint8_t)(0x80 >> bit % 8);
    for (int i = width - 1; i >= 0 && step != 0; i--) {
        addr.bytes[i] = (uint8_t)(addr.bytes[i] + step);
        if (addr.bytes[i] != (step > 0 ? 0x00 : 0xff))
            break;
    }
    return addr;
}

/* The longest prefix that lives; of equal ones the longest life, then the first. */
static const struct addrlist_entry *naive(const struct addrlist_entry *entries, size_t count,
                                          const struct addr *addr, uint32_t now_s)
{
    const struct addrlist_entry *best = NULL;
    for (size_t i = 0; i < count; i++) {
        const struct addrlist_entry *entry = &entries[i];
        uint64_t life = entry->expires_s == 0 ? UINT64_MAX : entry->expires_s;
        if (!cidr_contains(&entry->cidr, addr) || life <= now_s)
            continue;
        uint64_t best_life = best == NULL           ? 0
                             : best->expires_s == 0 ? UINT64_MAX
                                                    : best->expires_s;
        if (best == NULL || entry->cidr.bits > best->cidr.bits ||
            (entry->cidr.bits == best->cidr.bits && life > best_life))
            best = entry;
    }
    return best;
}

static void compare(struct span block, const struct addrlist_entry *entries, size_t count,
                    struct addr addr, uint32_t now_s)
{
    const struct addrlist_entry *want = naive(entries, count, &addr, now_s);
    struct addrlist_hit hit;
    uint32_t place = 0;
    assert_int_equal(addrlist_find(block, &addr, now_s, &place), want != NULL);
    if (want == NULL)
        return;
    addrlist_tell(block, &addr, place, &hit);
    assert_int_equal(hit.prefix.bits, want->cidr.bits);
    assert_true(addr_equal(&hit.prefix.addr, &want->cidr.addr));
    assert_span(hit.reason, want->reason);
    assert_span(hit.source, want->source);
    assert_int_equal(hit.expires_s, want->expires_s);
}

static struct addrlist_entry random_entry(unsigned least_bits)
{
    static const char *const texts[] = { "", "scan", "spam", "a botnet" };
    bool v6 = chance() % 2;
    struct addrlist_entry entry = { .source = span_text(texts[chance() % 4]),
                                    .reason = span_text(texts[chance() % 4]) };
    unsigned width = v6 ? 128 : 32;
    entry.cidr.addr = random_addr(v6);
    entry.cidr.bits = (uint8_t)(least_bits + chance() % (width + 1 - least_bits));
    addr_mask(&entry.cidr.addr, entry.cidr.bits);
    entry.expires_s = chance() % 3 == 0 ? 0 : 1 + chance() % 400;
    return entry;
}

static void differs_from_naive(size_t count, unsigned least_bits)
{
    fresh_arena();
    struct addrlist_entry *entries = arena_array(&arena, struct addrlist_entry, count);
    for (size_t i = 0; i < count; i++) {
        entries[i] = random_entry(least_bits);
        if (i > 0 && chance() % 8 == 0)
            entries[i].cidr = entries[chance() % i].cidr;
    }
    struct span block;
    uint32_t built_s = chance() % 100;
    assert_int_equal(addrlist_build(entries, count, built_s, &arena, &block), OK);
    assert_true(addrlist_valid(block));
    assert_true(addrlist_count(block) <= count);
    static const uint32_t later[] = { 0, 100, 200, 399, 400, 100000 };
    for (size_t i = 0; i < count; i++) {
        uint32_t now_s = built_s + later[chance() % ARRAY_LEN(later)];
        compare(block, entries, count, entries[i].cidr.addr, now_s);
        for (int step = -1; step <= 1; step++)
            compare(block, entries, count, edge_of(&entries[i].cidr, step), now_s);
    }
    for (unsigned i = 0; i < 1000; i++)
        compare(block, entries, count, random_addr(chance() % 2), built_s + chance() % 500);
}

static void agrees_with_a_naive_set(void **state)
{
    (void)state;
    for (unsigned round = 0; round < 60; round++)
        differs_from_naive(1 + chance() % 40, 0);
    for (unsigned round = 0; round < 6; round++)
        differs_from_naive(300 + chance() % 500, chance() % 2 * 8);
    differs_from_naive(ADDRLIST_INDEXED_FROM + 300, 12);
    differs_from_naive(ADDRLIST_INDEXED_FROM + 300, 0);
}

/* Many hosts in one /64, and nested prefixes longer than it. */
static void knows_hosts_of_one_network(void **state)
{
    (void)state;
    enum { COUNT = 600 };
    fresh_arena();
    struct addrlist_entry *entries = arena_array(&arena, struct addrlist_entry, COUNT);
    for (size_t i = 0; i < COUNT; i++) {
        entries[i].cidr = prefix("2001:db8::/64");
        entries[i].cidr.addr.bytes[13] = (uint8_t)(chance() % 3);
        entries[i].cidr.addr.bytes[15] = (uint8_t)chance();
        entries[i].cidr.bits = (uint8_t)(i == 0 ? 64 : 100 + chance() % 29);
        addr_mask(&entries[i].cidr.addr, entries[i].cidr.bits);
    }
    struct span block;
    assert_int_equal(addrlist_build(entries, COUNT, 0, &arena, &block), OK);
    for (size_t i = 0; i < COUNT; i++)
        for (int step = -1; step <= 1; step++)
            compare(block, entries, COUNT, edge_of(&entries[i].cidr, step), 1);
}

/* All under a few top bits, so that enclosing prefixes stand lines before, with an index. */
static void knows_crowded_networks(void **state)
{
    (void)state;
    enum { COUNT = ADDRLIST_INDEXED_FROM + 100 };
    fresh_arena();
    struct addrlist_entry *entries = arena_array(&arena, struct addrlist_entry, COUNT);
    for (size_t i = 0; i < COUNT; i++) {
        static const uint8_t lengths[] = {
            8, 14, 16, 17, 20, 22, 24, 25, 28, 30, 31, 32, 32, 32
        };
        entries[i].cidr = prefix("10.0.0.0/32");
        entries[i].cidr.addr.bytes[1] = (uint8_t)(chance() % 3);
        entries[i].cidr.addr.bytes[2] = (uint8_t)(chance() % 8 == 0 ? chance() : 7);
        entries[i].cidr.addr.bytes[3] = (uint8_t)chance();
        entries[i].cidr.bits = lengths[chance() % ARRAY_LEN(lengths)];
        entries[i].expires_s = chance() % 2 == 0 ? 0 : 1 + chance() % 400;
        addr_mask(&entries[i].cidr.addr, entries[i].cidr.bits);
    }
    struct span block;
    assert_int_equal(addrlist_build(entries, COUNT, 0, &arena, &block), OK);
    for (size_t i = 0; i < COUNT; i++)
        for (int step = -1; step <= 1; step++)
            compare(block, entries, COUNT, edge_of(&entries[i].cidr, step), chance() % 500);
}

/* Both ways of going through a list say the same, with and without an index, as often as there
 * are prefixes. */
static void walks_as_it_is_asked(void **state)
{
    (void)state;
    for (unsigned round = 0; round < 3; round++) {
        size_t count = round == 0 ? 100 : round == 1 ? 700 : 3 * ADDRLIST_INDEXED_FROM;
        fresh_arena();
        struct addrlist_entry *entries = arena_array(&arena, struct addrlist_entry, count);
        for (size_t i = 0; i < count; i++)
            entries[i] = random_entry(6);
        struct span block;
        assert_int_equal(addrlist_build(entries, count, 0, &arena, &block), OK);
        struct addrlist_walk walk = { .block = block };
        struct addrlist_hit one, other;
        bool nested, nested_too;
        size_t i = 0;
        for (; addrlist_next(&walk, &one, &nested); i++) {
            assert_true(addrlist_at(block, i, &other, &nested_too));
            assert_int_equal(nested, nested_too);
            assert_int_equal(one.prefix.bits, other.prefix.bits);
            assert_true(addr_equal(&one.prefix.addr, &other.prefix.addr));
            assert_true(one.reason.p == other.reason.p && one.expires_s == other.expires_s);
        }
        assert_int_equal(i, addrlist_count(block));
        assert_false(addrlist_at(block, i, &other, &nested_too));
    }
}

static void tells_what_overlaps(void **state)
{
    (void)state;
    fresh_arena();
    for (unsigned round = 0; round < 40; round++) {
        enum { COUNT = 300 };
        struct addrlist_entry entries[COUNT];
        size_t count = round % 2 ? COUNT : 20;
        for (size_t i = 0; i < count; i++)
            entries[i] = random_entry(6);
        struct span block;
        assert_int_equal(addrlist_build(entries, count, 0, &arena, &block), OK);
        for (unsigned i = 0; i < 100; i++) {
            struct cidr cidr = random_entry(6).cidr;
            uint32_t now_s = chance() % 500;
            bool want = false;
            for (size_t k = 0; k < count; k++)
                want = want || ((cidr_contains(&entries[k].cidr, &cidr.addr) ||
                                 cidr_contains(&cidr, &entries[k].cidr.addr)) &&
                                (entries[k].expires_s == 0 || entries[k].expires_s > now_s));
            struct addrlist_hit hit;
            assert_int_equal(addrlist_overlaps(block, &cidr, now_s, &hit), want);
            if (want)
                assert_true(cidr_contains(&hit.prefix, &cidr.addr) ||
                            cidr_contains(&cidr, &hit.prefix.addr));
        }
    }
}

static void walks_in_order(void **state)
{
    (void)state;
    static const char *const items[] = { "10.0.0.0/8", "10.1.0.0/16", "192.0.2.1/32",
                                         "2001:db8::/32", "2001:db8::1/128" };
    struct addrlist_entry entries[5] = { 0 };
    fresh_arena();
    for (size_t i = 0; i < 5; i++)
        entries[4 - i].cidr = prefix(items[i]);
    struct span block;
    assert_int_equal(addrlist_build(entries, 5, 0, &arena, &block), OK);
    struct addrlist_hit hit;
    bool nested = false;
    for (size_t i = 0; i < 5; i++) {
        char buffer[64];
        struct text text = text_fixed(buffer, sizeof(buffer));
        assert_true(addrlist_at(block, i, &hit, &nested));
        cidr_write(&text, &hit.prefix);
        assert_span(text_span(&text), span_text(items[i]));
        assert_int_equal(nested, i == 1 || i == 4);
    }
    assert_false(addrlist_at(block, 5, &hit, &nested));
}

static void an_empty_list_holds_nobody(void **state)
{
    (void)state;
    fresh_arena();
    struct span block;
    struct addr none = { .family = ADDR_NONE }, v4 = address("0.0.0.0"), v6 = address("::");
    uint32_t place;
    assert_int_equal(addrlist_build(NULL, 0, 0, &arena, &block), OK);
    assert_true(block.len > 0);
    assert_true(addrlist_valid(block));
    assert_int_equal(addrlist_count(block), 0);
    assert_false(addrlist_find(block, &v4, 0, &place));
    assert_false(addrlist_find(block, &v6, 0, &place));
    assert_false(addrlist_find(block, &none, 0, &place));
    assert_false(addrlist_find(SPAN(""), &v4, 0, &place));
    assert_int_equal(addrlist_count(SPAN("")), 0);
}

static void refuses_what_is_no_prefix(void **state)
{
    (void)state;
    fresh_arena();
    struct span block;
    struct addrlist_entry bad[] = { { .cidr = { { .family = ADDR_V4 }, 33 } },
                                    { .cidr = { { .family = ADDR_V6 }, 129 } },
                                    { .cidr = { { .family = ADDR_UNIX }, 0 } } };
    for (size_t i = 0; i < ARRAY_LEN(bad); i++)
        assert_int_equal(addrlist_build(&bad[i], 1, 0, &arena, &block), ERR_RANGE);
    struct addrlist_entry *many =
        arena_array(&arena, struct addrlist_entry, ADDRLIST_PLACES_MAX + 1);
    for (size_t i = 0; i <= ADDRLIST_PLACES_MAX; i++)
        many[i].place = addrlist_network((uint32_t)i + 1);
    assert_int_equal(addrlist_build(many, ADDRLIST_PLACES_MAX, 0, &arena, &block), OK);
    assert_int_equal(addrlist_places(block), ADDRLIST_PLACES_MAX);
    assert_int_equal(addrlist_build(many, ADDRLIST_PLACES_MAX + 1, 0, &arena, &block),
                     ERR_LIMIT);
    assert_int_equal(addrlist_build(bad, ADDRLIST_ENTRIES_MAX + 1, 0, &arena, &block),
                     ERR_LIMIT);
}

static void bounds_texts(void **state)
{
    (void)state;
    fresh_arena();
    char long_text[ADDRLIST_TEXT_MAX + 2];
    memset(long_text, 'x', sizeof(long_text));
    memcpy(long_text + ADDRLIST_TEXT_MAX - 1, "\xc3\xa9", 2); /* would be cut in two */
    struct addrlist_entry entries[2] = {
        { .cidr = prefix("10.0.0.1"), .reason = span_of(long_text, ADDRLIST_TEXT_MAX - 1) },
        { .cidr = prefix("10.0.0.2"), .reason = span_of(long_text, sizeof(long_text)) },
    };
    struct span block;
    assert_int_equal(addrlist_build(entries, 2, 0, &arena, &block), OK);
    for (size_t i = 0; i < 2; i++) {
        struct addrlist_hit hit;
        uint32_t place;
        assert_true(addrlist_find(block, &entries[i].cidr.addr, 0, &place));
        addrlist_tell(block, &entries[i].cidr.addr, place, &hit);
        assert_int_equal(hit.reason.len, ADDRLIST_TEXT_MAX - 1);
    }
}

/* What passes the check may hold anything: lookups stay inside. Memory of the exact size. */
static void survives_forged_blocks(void **state)
{
    (void)state;
    enum { COUNT = 3 * ADDRLIST_INDEXED_FROM }; /* so that both families have an index */
    fresh_arena();
    struct addrlist_entry *entries = arena_array(&arena, struct addrlist_entry, COUNT);
    for (size_t i = 0; i < COUNT; i++)
        entries[i] = random_entry(8);
    for (size_t i = 0; i < 16; i++)
        entries[i] = (struct addrlist_entry){ .place = addrlist_network((uint32_t)i + 1) };
    struct span block;
    assert_int_equal(addrlist_build(entries, COUNT, 0, &arena, &block), OK);
    char *copy = malloc(block.len);
    assert_non_null(copy);
    for (unsigned round = 0; round < 150; round++) {
        memcpy(copy, block.p, block.len);
        struct span forged = span_of(copy, block.len);
        for (unsigned i = 0; i < 1 + round * 20; i++) {
            size_t at = sizeof(struct addrlist_head) +
                        chance() % (block.len - sizeof(struct addrlist_head));
            copy[at] = (char)chance();
        }
        assert_true(addrlist_valid(forged));
        for (unsigned i = 0; i < 200; i++) {
            struct addr addr = random_addr(i % 2);
            struct addrlist_hit hit;
            uint32_t place;
            bool nested;
            if (addrlist_find(forged, &addr, chance() % 500, &place))
                addrlist_tell(forged, &addr, place, &hit);
            (void)addrlist_at(forged, chance() % COUNT, &hit, &nested);
            (void)addrlist_find_place(forged, addrlist_network(chance() % 20), 0, &hit);
            struct cidr cidr = { addr, (uint8_t)(addr.family == ADDR_V4 ? 24 : 48) };
            (void)addrlist_overlaps(forged, &cidr, 0, &hit);
        }
        struct addrlist_walk walk = { .block = forged };
        struct addrlist_hit hit;
        bool nested;
        while (addrlist_next(&walk, &hit, &nested))
            assert_true(hit.prefix.bits <= 128);
    }
    free(copy);
}

static void refuses_a_head_that_does_not_add_up(void **state)
{
    (void)state;
    fresh_arena();
    struct addrlist_entry entry = { .cidr = prefix("10.0.0.1"), .reason = SPAN("x") };
    struct span block;
    assert_int_equal(addrlist_build(&entry, 1, 0, &arena, &block), OK);
    char *copy = malloc(block.len + 8);
    assert_non_null(copy);
    /* One of these more still fits into the padding of its part, and is inside. */
    static const size_t counts[] = {
        offsetof(struct addrlist_head, v4.count),   offsetof(struct addrlist_head, v4.slots),
        offsetof(struct addrlist_head, v6.count),   offsetof(struct addrlist_head, v6.slots),
        offsetof(struct addrlist_head, low_count),  offsetof(struct addrlist_head, place_count),
        offsetof(struct addrlist_head, info_count), offsetof(struct addrlist_head, text_bytes),
        offsetof(struct addrlist_head, soonest_s),
    };
    for (size_t at = 0; at < sizeof(struct addrlist_head); at += 4) {
        bool count = false;
        memcpy(copy, block.p, block.len);
        copy[at] = (char)(copy[at] + 1);
        for (size_t i = 0; i < ARRAY_LEN(counts); i++)
            count = count || at == counts[i];
        if (addrlist_valid(span_of(copy, block.len)) && !count)
            fail_msg("word %zu of the head was taken", at / 4);
    }
    static const struct {
        size_t at;
        uint32_t most;
    } limits[] = {
        { offsetof(struct addrlist_head, v4.count), ADDRLIST_ENTRIES_MAX },
        { offsetof(struct addrlist_head, v6.count), ADDRLIST_ENTRIES_MAX },
        { offsetof(struct addrlist_head, place_count), ADDRLIST_PLACES_MAX },
    };
    for (size_t i = 0; i < ARRAY_LEN(limits); i++) {
        struct addrlist_head head = { .magic = ADDRLIST_MAGIC };
        head.v4.slots = i == 0 ? 2 * ADDRLIST_ENTRIES_MAX : 0;
        head.v6.slots = i == 1 ? ADDRLIST_ENTRIES_MAX : 0;
        memcpy((char *)&head + limits[i].at, &limits[i].most, sizeof(uint32_t));
        assert_true(addrlist_lay_out(&head));
        uint32_t over = limits[i].most + 1;
        memcpy((char *)&head + limits[i].at, &over, sizeof(uint32_t));
        assert_false(addrlist_lay_out(&head));
    }
    memcpy(copy, block.p, block.len);
    assert_true(addrlist_valid(span_of(copy, block.len)));
    assert_false(addrlist_valid(span_of(copy, block.len - 1)));
    assert_false(addrlist_valid(span_of(copy, block.len + 8)));
    assert_false(addrlist_valid(span_of(copy + 1, block.len)));
    assert_false(addrlist_valid(span_of(copy, 8)));
    free(copy);
    arena_reset(&arena);
}

int main(void)
{
    return RUN(TEST(agrees_with_a_naive_set), TEST(knows_hosts_of_one_network),
               TEST(knows_crowded_networks), TEST(tells_what_overlaps), TEST(walks_in_order),
               TEST(walks_as_it_is_asked), TEST(an_empty_list_holds_nobody),
               TEST(refuses_what_is_no_prefix), TEST(bounds_texts),
               TEST(survives_forged_blocks), TEST(refuses_a_head_that_does_not_add_up));
}
