/* Answers of name servers: what is taken of them, and what is not. */
#include "gateway/net/dns.h"

#include "tests/unit/check.h"

static struct dns_answer answer;
static char message[4096];
static size_t len;

static void put(const char *bytes, size_t count)
{
    assert_true(len + count <= sizeof message);
    memcpy(message + len, bytes, count);
    len += count;
}

static void put16(unsigned value)
{
    put((char[]){ (char)(value >> 8), (char)value }, 2);
}

static void put_name(const char *name)
{
    while (*name != '\0') {
        size_t part = strcspn(name, ".");
        put((char[]){ (char)part }, 1);
        put(name, part);
        name += part + (name[part] == '.');
    }
    put("", 1);
}

static void begin(const char *name, unsigned answers, unsigned type)
{
    len = 0;
    put16(7);
    put16(0x8180);
    put16(1);
    put16(answers);
    put16(0);
    put16(0);
    put_name(name);
    put16(type);
    put16(1);
}

static void put_record(const char *name, unsigned type, unsigned ttl, const char *data,
                       size_t data_len)
{
    if (name == NULL)
        put("\xc0\x0c", 2); /* the question's */
    else
        put_name(name);
    put16(type);
    put16(1);
    put16(ttl >> 16);
    put16(ttl & 0xffff);
    put16((unsigned)data_len);
    put(data, data_len);
}

static enum err parse(enum dns_type type)
{
    /* In a block of its own, so that a read past the end is seen. */
    char *copy = test_malloc(len > 0 ? len : 1);
    memcpy(copy, message, len);
    enum err err = dns_parse(span_of(copy, len), type, &answer);
    test_free(copy);
    return err;
}

static void addresses_of_the_name_that_was_asked_for(void **state)
{
    (void)state;
    begin("App.test", 4, DNS_A);
    put_record(NULL, DNS_A, 60, "\x0a\0\0\1", 4);
    put_record("app.TEST", DNS_A, 30, "\x0a\0\0\2", 4);
    put_record("other.test", DNS_A, 1, "\x0a\0\0\3", 4); /* nobody asked for it */
    put_record("app.test", DNS_AAAA, 1, "0123456789abcdef", 16);
    assert_int_equal(parse(DNS_A), OK);
    assert_int_equal(answer.count, 2);
    assert_int_equal(answer.ttl, 30);
    assert_int_equal(answer.records[1].addr.bytes[3], 2);
    assert_int_equal(parse(DNS_AAAA), OK);
    assert_int_equal(answer.count, 1);
    assert_int_equal(answer.records[0].addr.family, ADDR_V6);
}

static void aliases_are_followed_and_their_time_counts(void **state)
{
    (void)state;
    begin("app.test", 3, DNS_A);
    put_record("b.test", DNS_A, 60, "\x0a\0\0\1", 4);
    put_record(NULL, 5, 7, "\1a\4test", 8);
    put_record("a.test", 5, 9, "\1b\4test", 8);
    assert_int_equal(parse(DNS_A), OK);
    assert_int_equal(answer.count, 1);
    assert_int_equal(answer.ttl, 7);
    /* In a circle: an end, and no records. */
    begin("app.test", 3, DNS_A);
    put_record(NULL, 5, 7, "\1a\4test", 8);
    put_record("a.test", 5, 9, "\xc0\x0c", 2);
    put_record("c.test", DNS_A, 60, "\x0a\0\0\1", 4);
    assert_int_equal(parse(DNS_A), OK);
    assert_int_equal(answer.count, 0);
    assert_int_equal(answer.ttl, 0);
}

static void services_have_targets(void **state)
{
    (void)state;
    begin("_http._tcp.test", 5, DNS_SRV);
    put_record(NULL, DNS_SRV, 60, "\0\1\0\2\x1f\x90\1a\4TEST", 14);
    put_record(NULL, DNS_SRV, 60, "\0\1\0\2\0\0\1a\4test", 14);        /* port 0 */
    put_record(NULL, DNS_SRV, 60, "\0\1\0\2\x1f\x90", 7);              /* "." */
    put_record(NULL, DNS_SRV, 60, "\0\1\0\2\x1f\x90\3a b\4test", 16);  /* no host */
    put_record(NULL, DNS_SRV, 60, "\0\1\0\2\x1f\x90\1a\4test\0x", 15); /* more behind it */
    assert_int_equal(parse(DNS_SRV), OK);
    assert_int_equal(answer.count, 1);
    const struct dns_record *record = &answer.records[0];
    assert_int_equal(record->priority, 1);
    assert_int_equal(record->weight, 2);
    assert_int_equal(record->port, 8080);
    assert_string_equal(record->target, "a.test");
}

static void addresses_have_names(void **state)
{
    (void)state;
    begin("7.2.0.192.in-addr.arpa", 4, DNS_PTR);
    put_record(NULL, DNS_PTR, 300, "\5Crawl\4test\0", 12);
    put_record("8.2.0.192.in-addr.arpa", DNS_PTR, 60, "\1x\4test\0", 8);
    put_record(NULL, DNS_PTR, 60, "\3a b\4test\0", 10);
    put_record(NULL, DNS_PTR, 60, "\1y\0z", 4);
    assert_int_equal(parse(DNS_PTR), OK);
    assert_int_equal(answer.count, 1);
    assert_string_equal(answer.records[0].target, "crawl.test");
    assert_int_equal(answer.ttl, 300);
}

static void what_is_malformed_is_not_believed(void **state)
{
    (void)state;
    begin("app.test", 1, DNS_A);
    put_record(NULL, DNS_A, 60, "\x0a\0\0\1", 4);
    size_t whole = len;
    for (len = 0; len < whole; len++)
        assert_int_equal(parse(DNS_A), ERR_PROTOCOL);
    assert_int_equal(parse(DNS_A), OK);
    message[5] = 2; /* questions */
    assert_int_equal(parse(DNS_A), ERR_PROTOCOL);
    /* A pointer to itself, one ahead, and a label of a kind that nobody knows. */
    static const char *const names[] = { "\xc0\x1a", "\xc0\x30", "\x41x", "\x80x" };
    for (size_t i = 0; i < ARRAY_LEN(names); i++) {
        begin("app.test", 1, DNS_A);
        assert_int_equal(len, 0x1a);
        put(names[i], 2);
        put("\0\1\0\1\0\0\0\1\0\4\x0a\0\0\1", 14);
        assert_int_equal(parse(DNS_A), ERR_PROTOCOL);
    }
    begin("app.test", 2, DNS_A);
    put_record(NULL, DNS_A, 60, "\x0a\0\0", 3);
    put_record(NULL, DNS_A, 0x80000000u, "\x0a\0\0\1", 4);
    assert_int_equal(parse(DNS_A), OK);
    assert_int_equal(answer.count, 1);
    assert_int_equal(answer.ttl, 0);
}

static void counts_and_names_have_limits(void **state)
{
    char label[64];

    (void)state;
    begin("a.b", DNS_RECORDS_MAX + 1, DNS_A);
    for (unsigned i = 0; i <= DNS_RECORDS_MAX; i++)
        put_record(NULL, DNS_A, 60, "\x0a\0\0\1", 4);
    assert_int_equal(parse(DNS_A), OK);
    assert_int_equal(answer.count, DNS_RECORDS_MAX);
    /* 255 bytes as sent: 253 characters. One more is refused. */
    memset(label, 'x', sizeof label);
    for (unsigned more = 0; more < 2; more++) {
        begin("q", 1, DNS_A);
        for (unsigned i = 0; i < 4; i++) {
            unsigned size = i < 3 ? 63 : 61 + more;
            put((char[]){ (char)size }, 1);
            put(label, size);
        }
        put("", 1);
        put("\0\1\0\1\0\0\0\1\0\4\x0a\0\0\1", 14);
        assert_int_equal(parse(DNS_A), more == 0 ? OK : ERR_PROTOCOL);
    }
}

int main(void)
{
    return RUN(TEST(addresses_of_the_name_that_was_asked_for),
               TEST(aliases_are_followed_and_their_time_counts), TEST(services_have_targets),
               TEST(addresses_have_names), TEST(what_is_malformed_is_not_believed),
               TEST(counts_and_names_have_limits));
}
