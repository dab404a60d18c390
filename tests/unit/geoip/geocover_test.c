/* What networks cover: sums by hand over both families, tunnels, shared parts of a tree, and a
 * tree that cannot be walked in time. */
#include "geoip/geocover.h"

#include "gateway/base/addr.h"
#include "geoip/geofile.h"
#include "tests/unit/check.h"

enum { NODES = 512, FILE_BYTES = 16 * 1024, VALUE_BYTES = 30 };

/* A database as its parts: records below NODES are nodes, above are values. */
struct draft {
    uint32_t nodes[NODES][2], count;
    uint32_t values[16], value_count;
};

enum { NOTHING = 0x00ffffff, VALUE = 0x00100000 };

static uint32_t node_new(struct draft *draft)
{
    assert_true(draft->count < NODES);
    draft->nodes[draft->count][0] = draft->nodes[draft->count][1] = NOTHING;
    return draft->count++;
}

static uint32_t value_of(struct draft *draft, uint32_t asn)
{
    for (uint32_t i = 0; i < draft->value_count; i++)
        if (draft->values[i] == asn)
            return VALUE + i;
    draft->values[draft->value_count] = asn;
    return VALUE + draft->value_count++;
}

static void put(struct draft *draft, const char *prefix, uint32_t record)
{
    struct cidr cidr;
    uint8_t bytes[16] = { 0 };
    assert_true(cidr_parse(span_text(prefix), true, &cidr));
    bool v4 = cidr.addr.family == ADDR_V4;
    memcpy(bytes + (v4 ? 12 : 0), cidr.addr.bytes, v4 ? 4 : 16);
    unsigned bits = cidr.bits + (v4 ? 96u : 0u);
    uint32_t at = 0;
    for (unsigned i = 0; i < bits; i++) {
        uint32_t *record_at = &draft->nodes[at][bytes[i / 8] >> (7 - i % 8) & 1];
        if (i + 1 == bits)
            *record_at = record;
        else if (*record_at == NOTHING)
            *record_at = node_new(draft);
        at = draft->nodes[at][bytes[i / 8] >> (7 - i % 8) & 1];
    }
}

static void put_network(struct draft *draft, const char *prefix, uint32_t asn)
{
    put(draft, prefix, value_of(draft, asn));
}

static void put_number(struct text *out, uint64_t value, unsigned bytes)
{
    while (bytes-- > 0)
        text_char(out, (char)(value >> 8 * bytes));
}

static void put_key(struct text *out, const char *key)
{
    text_char(out, (char)(0x40 | strlen(key)));
    text_add(out, span_text(key));
}

static struct span file_of(const struct draft *draft, char *buffer)
{
    struct text out = text_fixed(buffer, FILE_BYTES);
    for (uint32_t i = 0; i < draft->count; i++)
        for (unsigned side = 0; side < 2; side++) {
            uint32_t record = draft->nodes[i][side];
            put_number(&out,
                       record == NOTHING ? draft->count
                       : record < NODES  ? record
                                         : draft->count + 16 + (record - VALUE) * VALUE_BYTES,
                       3);
        }
    put_number(&out, 0, 8);
    put_number(&out, 0, 8);
    for (uint32_t i = 0; i < draft->value_count; i++) {
        text_char(&out, (char)0xe1);
        put_key(&out, "autonomous_system_number");
        text_char(&out, (char)0xc3);
        put_number(&out, draft->values[i], 3);
    }
    text_lit(&out, "\xab\xcd\xefMaxMind.com\xe6");
    put_key(&out, "binary_format_major_version");
    text_lit(&out, "\xa1\x02");
    put_key(&out, "binary_format_minor_version");
    text_char(&out, (char)0xa0);
    put_key(&out, "database_type");
    put_key(&out, "Test");
    put_key(&out, "ip_version");
    text_lit(&out, "\xa1\x06");
    put_key(&out, "node_count");
    text_char(&out, (char)0xc2);
    put_number(&out, draft->count, 2);
    put_key(&out, "record_size");
    text_lit(&out, "\xa1\x18");
    assert_true(out.len < FILE_BYTES);
    return text_span(&out);
}

struct sums {
    uint64_t v4, v6;
};

static struct sums sums_of(const struct geocover *cover, uint32_t asn)
{
    struct sums sums = { 0, 0 };
    geocover_add(cover, asn, &sums.v4, &sums.v6);
    return sums;
}

static void adds_up(void **state)
{
    (void)state;
    static struct draft draft;
    static char buffer[FILE_BYTES];
    draft = (struct draft){ .count = 0 };
    (void)node_new(&draft);
    put_network(&draft, "8.0.0.0/8", 64500);
    put_network(&draft, "9.1.2.0/24", 64500);
    put_network(&draft, "9.1.3.7/32", 64501);
    put_network(&draft, "2001:db8::/32", 64500);
    put_network(&draft, "2a00:1::/64", 64501);
    put_network(&draft, "2a00:2::5/128", 64501);
    put_network(&draft, "2002:808::/32", 64502);   /* 6to4 */
    put_network(&draft, "2001:0:808::/48", 64502); /* Teredo */
    put_network(&draft, "fd00::/8", 64502);        /* not on the Internet */
    put_network(&draft, "11.0.0.0/8", 0);
    struct span bytes = file_of(&draft, buffer);
    assert_null(geofile_verify(bytes));
    struct geocover *cover = geocover_new(bytes);
    assert_non_null(cover);
    assert_int_equal(geocover_count(cover), 2);
    struct sums sums = sums_of(cover, 64500);
    assert_int_equal(sums.v4, (1 << 24) + 256);
    assert_true(sums.v6 == UINT64_C(1) << 32);
    sums = sums_of(cover, 64501);
    assert_int_equal(sums.v4, 1);
    assert_int_equal(sums.v6, 2);
    sums = sums_of(cover, 64502);
    assert_int_equal(sums.v4 + sums.v6, 0);
    sums = sums_of(cover, 1);
    assert_int_equal(sums.v4 + sums.v6, 0);
    geocover_free(cover);
}

/* Each node leads twice to the next one: 2^32 ways of the same few nodes. */
static void gives_up_on_what_never_ends(void **state)
{
    (void)state;
    static struct draft draft;
    static char buffer[FILE_BYTES];
    draft = (struct draft){ .count = 0 };
    (void)node_new(&draft);
    put(&draft, "::/96", 200);
    while (draft.count <= 240)
        (void)node_new(&draft);
    for (uint32_t i = 200; i < 231; i++)
        draft.nodes[i][0] = draft.nodes[i][1] = i + 1;
    draft.nodes[231][0] = draft.nodes[231][1] = value_of(&draft, 64500);
    struct span bytes = file_of(&draft, buffer);
    assert_null(geocover_new(bytes));
    draft.nodes[206][0] = value_of(&draft, 64500); /* 2^-7 of it, and the same of the rest */
    draft.nodes[206][1] = value_of(&draft, 64501);
    bytes = file_of(&draft, buffer);
    struct geocover *cover = geocover_new(bytes);
    assert_non_null(cover);
    assert_true(sums_of(cover, 64500).v4 == UINT64_C(1) << 31 &&
                sums_of(cover, 64501).v4 == UINT64_C(1) << 31);
    geocover_free(cover);
}

static void knows_when_there_is_nothing(void **state)
{
    (void)state;
    static struct draft draft;
    static char buffer[FILE_BYTES];
    draft = (struct draft){ .count = 0 };
    (void)node_new(&draft);
    put_network(&draft, "8.0.0.0/8", 0);
    assert_null(geocover_new(file_of(&draft, buffer)));
    assert_null(geocover_new(SPAN("no database")));
    assert_null(geocover_new(SPAN("")));
    geocover_free(NULL);
}

int main(void)
{
    return RUN(TEST(adds_up), TEST(gives_up_on_what_never_ends),
               TEST(knows_when_there_is_nothing));
}
