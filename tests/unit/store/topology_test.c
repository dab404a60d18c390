/* Slots as the cluster specification has them, redirects, maps, and what Sentinels say. */
#include "gateway/store/topology.h"

#include "tests/unit/check.h"

static struct redis_parser *parser;
static struct addr self;

/* One reply in the protocol. */
static const struct redis_value *value_of(const char *bytes)
{
    const struct redis_value *value = NULL;
    redis_parser_free(parser);
    parser = redis_parser_new();
    assert_non_null(parser);
    assert_int_equal(redis_parser_feed(parser, span_text(bytes)), OK);
    assert_int_equal(redis_parser_next(parser, &value), OK);
    assert_non_null(value);
    return value;
}

static bool is_at(const struct addr *addr, const char *host, unsigned port)
{
    struct addr expected;
    assert_true(addr_parse(span_text(host), &expected));
    return addr_equal(addr, &expected) && addr->port == port;
}

static void slots_of_keys(void **state)
{
    (void)state;
    assert_int_equal(key_slot(SPAN("123456789")), 0x31c3); /* the specification's example */
    assert_int_equal(key_slot(SPAN("")), 0);
    assert_int_equal(key_slot(SPAN("foo")), 12182);
    assert_int_equal(key_slot(SPAN("{user1000}.following")),
                     key_slot(SPAN("{user1000}.followers")));
    assert_int_equal(key_slot(SPAN("a{user1000}b")), key_slot(SPAN("user1000")));
    assert_int_not_equal(key_slot(SPAN("foo{}{bar}")),
                         key_slot(SPAN("bar"))); /* empty: whole */
    assert_int_equal(key_slot(SPAN("foo{{bar}}zap")), key_slot(SPAN("{bar")));
    assert_int_equal(key_slot(SPAN("foo{bar}{zap}")), key_slot(SPAN("bar")));
    assert_int_equal(key_slot(SPAN("foo{bar")), key_slot(SPAN("foo{bar")));
}

static void redirects(void **state)
{
    (void)state;
    static const struct {
        const char *reply, *host; /* NULL: none */
        unsigned slot, port;
        bool ask;
    } rows[] = {
        { "-MOVED 3999 127.0.0.1:6381\r\n", "127.0.0.1", 3999, 6381, false },
        { "-ASK 0 10.0.0.9:1\r\n", "10.0.0.9", 0, 1, true },
        { "-ASK 16383 2001:db8::1:65535\r\n", "2001:db8::1", 16383, 65535, true },
        { "-MOVED 5 :7000\r\n", "192.0.2.1", 5, 7000, false },
        { "-MOVED 16384 127.0.0.1:6381\r\n", NULL, 0, 0, false },
        { "-MOVED 1 127.0.0.1:0\r\n", NULL, 0, 0, false },
        { "-MOVED 1 127.0.0.1:65536\r\n", NULL, 0, 0, false },
        { "-MOVED 1 127.0.0.1\r\n", NULL, 0, 0, false },
        { "-MOVED 1 redis.example:6379\r\n", NULL, 0, 0, false },
        { "-MOVED 1\r\n", NULL, 0, 0, false },
        { "-MOVED\r\n", NULL, 0, 0, false },
        { "-MOVED -1 127.0.0.1:1\r\n", NULL, 0, 0, false },
        { "-MOVED 1 127.0.0.1:1 x\r\n", NULL, 0, 0, false },
        { "-MOVEDX 1 127.0.0.1:1\r\n", NULL, 0, 0, false },
        { "+MOVED 1 127.0.0.1:1\r\n", NULL, 0, 0, false },
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct redirect redirect;
        bool is = redirect_read(value_of(rows[i].reply), &self, &redirect);
        assert_int_equal(is, rows[i].host != NULL);
        if (!is)
            continue;
        assert_int_equal(redirect.slot, rows[i].slot);
        assert_int_equal(redirect.ask, rows[i].ask);
        assert_true(is_at(&redirect.addr, rows[i].host, rows[i].port));
    }
}

#define NODE(host, port) "*4\r\n" host ":" port "\r\n$1\r\na\r\n*0\r\n"
#define HOST "$9\r\n10.0.0.10\r\n"

static void maps(void **state)
{
    (void)state;
    static struct slot_map map;
    assert_true(slot_map_read(
        value_of("*3\r\n"
                 "*4\r\n:0\r\n:5460\r\n" NODE(HOST, "7000")
                     NODE(HOST, "7003") "*3\r\n:5461\r\n:10922\r\n" NODE(
                         "$-1\r\n", "7001") "*3\r\n:16383\r\n:16383\r\n" NODE(HOST, "7000")),
        &self, &map));
    assert_int_equal(map.node_count, 2); /* no replica among them */
    assert_true(is_at(&map.nodes[0], "10.0.0.10", 7000));
    assert_true(is_at(&map.nodes[1], "192.0.2.1", 7001)); /* who told it */
    assert_int_equal(map.owner[0], 0);
    assert_int_equal(map.owner[5460], 0);
    assert_int_equal(map.owner[5461], 1);
    assert_int_equal(map.owner[10922], 1);
    assert_int_equal(map.owner[10923], SLOT_NOBODY);
    assert_int_equal(map.owner[16383], 0);
    /* A node that is known by its name, with its address behind. */
    assert_true(
        slot_map_read(value_of("*1\r\n*3\r\n:0\r\n:1\r\n*4\r\n$4\r\nhost\r\n:7\r\n$1\r\na\r\n"
                               "*2\r\n$2\r\nip\r\n$8\r\n10.0.0.7\r\n"),
                      &self, &map));
    assert_true(is_at(&map.nodes[0], "10.0.0.7", 7));
}

static void bad_maps(void **state)
{
    (void)state;
    static struct slot_map map;
    static const char *const rows[] = {
        "*0\r\n",
        ":1\r\n",
        "-ERR This instance has cluster support disabled\r\n",
        "*1\r\n*2\r\n:0\r\n:1\r\n",
        "*1\r\n*3\r\n:0\r\n:16384\r\n" NODE(HOST, "1"),
        "*1\r\n*3\r\n:-1\r\n:5\r\n" NODE(HOST, "1"),
        "*1\r\n*3\r\n:6\r\n:5\r\n" NODE(HOST, "1"),
        "*1\r\n*3\r\n:0\r\n:1\r\n" NODE(HOST, "0"),
        "*1\r\n*3\r\n:0\r\n:1\r\n" NODE(HOST, "65536"),
        "*1\r\n*3\r\n:0\r\n:1\r\n" NODE("$4\r\nhost\r\n", "1"),
        "*1\r\n*3\r\n:0\r\n:1\r\n*1\r\n" HOST,
        "*2\r\n*3\r\n:0\r\n:1\r\n" NODE(HOST, "1") ":5\r\n",
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++)
        assert_false(slot_map_read(value_of(rows[i]), &self, &map));
}

/* As many masters as are followed, and one more. */
static void many_masters(void **state)
{
    (void)state;
    static struct slot_map map;
    for (unsigned count = CLUSTER_NODES_MAX; count <= CLUSTER_NODES_MAX + 1; count++) {
        static char bytes[16384];
        struct text text = text_fixed(bytes, sizeof(bytes));
        text_format(&text, "*%u\r\n", count);
        for (unsigned i = 0; i < count; i++)
            text_format(&text, "*3\r\n:%u\r\n:%u\r\n*2\r\n" HOST ":%u\r\n", i, i, i + 1);
        assert_false(text.overflow);
        assert_int_equal(slot_map_read(value_of(text_cstring(&text)), &self, &map),
                         count == CLUSTER_NODES_MAX);
    }
}

static void sentinels(void **state)
{
    (void)state;
    struct addr addr;
    assert_true(sentinel_read(value_of("*2\r\n" HOST "$4\r\n6379\r\n"), &addr));
    assert_true(is_at(&addr, "10.0.0.10", 6379));
    static const char *const rows[] = {
        "*-1\r\n",
        "$-1\r\n",
        "*1\r\n" HOST,
        "*3\r\n" HOST "$1\r\n1\r\n$1\r\n1\r\n",
        "*2\r\n" HOST "$1\r\n0\r\n",
        "*2\r\n" HOST ":1\r\n",
        "*2\r\n" HOST "$5\r\n65536\r\n",
        "*2\r\n$4\r\nname\r\n$1\r\n1\r\n",
        "-IDONTKNOW x\r\n",
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++)
        assert_false(sentinel_read(value_of(rows[i]), &addr));
    assert_true(role_is_master(value_of("*3\r\n$6\r\nmaster\r\n:0\r\n*0\r\n")));
    assert_false(role_is_master(value_of("*2\r\n$5\r\nslave\r\n$1\r\nx\r\n")));
    assert_false(role_is_master(value_of("+master\r\n")));
}

int main(void)
{
    assert_true(addr_parse(SPAN("192.0.2.1"), &self));
    self.port = 7009;
    int failed = RUN(TEST(slots_of_keys), TEST(redirects), TEST(maps), TEST(bad_maps),
                     TEST(many_masters), TEST(sentinels));
    redis_parser_free(parser);
    return failed;
}
