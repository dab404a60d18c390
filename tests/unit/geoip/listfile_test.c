/* Files of addresses in every format, expiries, and what a list may not do. */
#include "geoip/listfile.h"

#include "geoip/listguard.h"
#include "tests/unit/check.h"

enum { NOW_S = 1800000000 };

static struct arena arena;

static void fresh_arena(void)
{
    arena_reset(&arena);
    arena_init(&arena, NULL, 0, NULL, (size_t)1 << 29);
}

/* "prefix|reason|source|expires;" of each entry, or "line N: why". */
static struct span told(struct span text, enum listfile_format format)
{
    struct listfile_how how = { .format = format, .now_s = NOW_S, .reason = SPAN("-") };
    struct addrlist_entries entries;
    struct listfile_problem problem;
    struct text out = text_growing(&arena, 256);
    if (listfile_read(text, &how, &arena, &entries, &problem) != OK) {
        assert_int_equal(entries.count, 0);
        text_format(&out, "line %u: %s", problem.line, problem.why);
        return text_span(&out);
    }
    for (size_t i = 0; i < entries.count; i++) {
        cidr_write(&out, &entries.items[i].cidr);
        text_char(&out, '|');
        text_add(&out, entries.items[i].reason);
        text_char(&out, '|');
        text_add(&out, entries.items[i].source);
        text_char(&out, '|');
        text_uint(&out, entries.items[i].expires_s);
        text_char(&out, ';');
    }
    return text_span(&out);
}

struct row {
    const char *text, *want;
};

static void check_rows(const struct row *rows, size_t count, enum listfile_format format)
{
    fresh_arena();
    for (size_t i = 0; i < count; i++)
        assert_span(told(span_text(rows[i].text), format), span_text(rows[i].want));
}

static void reads_plain_lists(void **state)
{
    (void)state;
    static const struct row rows[] = {
        { "", "" },
        { "# nothing\n\n ; here\r\n", "" },
        { "192.0.2.1", "192.0.2.1/32|-||0;" },
        { "\xef\xbb\xbf"
          "192.0.2.1\n",
          "192.0.2.1/32|-||0;" },
        { "1.10.16.0/20 ; SBL256894\r\n\t2001:db8::/32 # doc \n",
          "1.10.16.0/20|SBL256894||0;2001:db8::/32|doc||0;" },
        { "192.0.2.77/24\n", "192.0.2.0/24|-||0;" },
        { "192.0.2.1\nnonsense\n", "line 2: that is no address and no prefix" },
        { "192.0.2.1 192.0.2.2\n", "line 1: that is no address and no prefix" },
        { "\n\n192.0.2.0/33", "line 3: that is no address and no prefix" },
        { "192.0.2.1\r\r\n", "line 1: that is no address and no prefix" },
    };
    check_rows(rows, ARRAY_LEN(rows), LISTFILE_AUTO);
    fresh_arena();
    assert_text(told(SPAN("192.0.2.1\0\n"), LISTFILE_PLAIN),
                "line 1: that is no address and no prefix");
}

static void reads_csv(void **state)
{
    (void)state;
    static const struct row rows[] = {
        { "10.0.0.1,scan,1900000000,me\n", "10.0.0.1/32|scan|me|1900000000;" },
        { "# c\n10.0.0.1,\n10.0.0.2,,,\n", "10.0.0.1/32|-||0;10.0.0.2/32|-||0;" },
        { "\"10.0.0.1\" , \"a, \"\"b\"\"\"\r\n", "10.0.0.1/32|a, \"b\"||0;" },
        { "Comment,IP,other,Expires\nx,10.0.0.1,y,1h\n", "10.0.0.1/32|x||1800003600;" },
        { "ip,duration\n10.0.0.1,-1h\n", "10.0.0.1/32|-||1799996400;" },
        { "\"10.0.0.1,x\n", "line 1: a quote is not closed" },
        { "\"10.0.0.1\"x,\n", "line 1: something stands behind a closing quote" },
        { "reason,when\nx,y\n", "line 1: that is no address and no prefix" },
        { "10.0.0.1,x,soon\n", "line 1: its expiry is no time and no duration" },
        { "ip,reason\n10.0.0.1\n,x\n", "line 3: that is no address and no prefix" },
    };
    check_rows(rows, ARRAY_LEN(rows), LISTFILE_CSV);
    fresh_arena();
    struct text wide = text_growing(&arena, 256);
    text_lit(&wide, "10.0.0.1");
    for (unsigned i = 1; i < LISTFILE_COLUMNS_MAX; i++)
        text_char(&wide, ',');
    assert_text(told(text_span(&wide), LISTFILE_CSV), "10.0.0.1/32|-||0;");
    text_char(&wide, ',');
    assert_text(told(text_span(&wide), LISTFILE_CSV), "line 1: it has too many columns");
}

static void reads_json(void **state)
{
    (void)state;
    static const struct row rows[] = {
        { "[]", "" },
        { "[\"10.0.0.1\", \"2001:db8::/32\"]", "10.0.0.1/32|-||0;2001:db8::/32|-||0;" },
        { "{\"creationTime\": \"x\", \"prefixes\": [{\"ipv6Prefix\": \"2001:db8::/64\"},\n"
          " {\"ipv4Prefix\": \"66.249.64.0/27\"}]}",
          "2001:db8::/64|-||0;66.249.64.0/27|-||0;" },
        { "{\"cidr\":\"1.10.16.0/20\",\"sblid\":\"SBL1\",\"rir\":\"apnic\"}\n"
          "{\"type\":\"metadata\",\"timestamp\":1}\n",
          "1.10.16.0/20|SBL1||0;" },
        { "[{\"reason\":\"a "
          "\\\"\\u00e9\\n\",\"value\":\"10.0.0.1\",\"duration\":\"3h59m59.9s\","
          "\"origin\":\"cscli\",\"scope\":\"Ip\"}]",
          "10.0.0.1/32|a \"\xc3\xa9\n|cscli|1800014399;" },
        { "[{\"ip\":\"10.0.0.1\",\"expires\":1900000000,\"reason\":null,\"source\":null}]",
          "10.0.0.1/32|-||1900000000;" },
        { "{\"new\":[{\"value\":\"10.0.0.1\"}],\"deleted\":null}", "10.0.0.1/32|-||0;" },
        { "[{\"ip\":5}]", "line 1: an address is not a string" },
        { "[{\"host\":\"10.0.0.1\"}]", "line 1: no object in it names an address" },
        { "[{\"ip\":\"10.0.0.1\",\"cidr\":\"10.0.0.2\"}]",
          "line 1: an object names two addresses" },
        { "[\n\"10.0.0.1\",\n\"x\"]", "line 3: that is no address and no prefix" },
        { "[\"10.0.0.1\"", "line 1: an array is not closed" },
        { "{\"a\":1", "line 1: an object is not closed" },
        { "{\"a\" 1}", "line 1: a colon is missing" },
        { "{1:2}", "line 1: a key is missing" },
        { "[\"10.0.0.1", "line 1: it ends in a string" },
        { "[\"10.0.0.1\\", "line 1: it ends in a string" },
        { "[\"\\x\"]", "line 1: an escape is not one of JSON" },
        { "[\"\\u00\"]", "line 1: an escape is not one of JSON" },
        { "[\"a\nb\"]", "line 1: a control character stands in a string" },
        { "[nope]", "line 1: that is not JSON" },
        { "[]]", "line 1: that is not JSON" },
        { "5", "line 1: neither an object nor an array" },
    };
    check_rows(rows, ARRAY_LEN(rows), LISTFILE_JSON);
    fresh_arena();
    struct text deep = text_growing(&arena, 256);
    for (unsigned i = 0; i < LISTFILE_DEPTH_MAX - 1; i++)
        text_char(&deep, '[');
    struct text over = text_growing(&arena, 256);
    text_add(&over, text_span(&deep));
    text_lit(&over, "[\"10.0.0.1\"]");
    text_lit(&deep, "\"10.0.0.1\"");
    for (unsigned i = 0; i < LISTFILE_DEPTH_MAX - 1; i++) {
        text_char(&deep, ']');
        text_char(&over, ']');
    }
    assert_text(told(text_span(&deep), LISTFILE_JSON), "10.0.0.1/32|-||0;");
    assert_text(told(text_span(&over), LISTFILE_JSON), "line 1: it is nested too deeply");
}

static void guesses_the_format(void **state)
{
    (void)state;
    static const struct row rows[] = {
        { "\n [\"10.0.0.1\"]", "10.0.0.1/32|-||0;" },
        { "# a, b\n10.0.0.1,x\n", "10.0.0.1/32|x||0;" },
        { "10.0.0.1 # a, b\n", "10.0.0.1/32|a, b||0;" },
    };
    check_rows(rows, ARRAY_LEN(rows), LISTFILE_AUTO);
}

static void reads_expiries(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        bool good;
        uint32_t want;
    } rows[] = {
        { "0", true, 1 },
        { "1", true, 1 },
        { "4294967295", true, UINT32_MAX },
        { "99999999999", true, UINT32_MAX },
        { "2027-01-31", true, 1801353600 },
        { "2027-01-31T12:00:00Z", true, 1801396800 },
        { "2027-01-31 12:00:00.25+01:00", true, 1801393200 },
        { "2027-01-31T12:00:00-00:30", true, 1801398600 },
        { "1969-12-31T23:59:59Z", true, 1 },
        { "59m59.308361842s", true, NOW_S + 3599 },
        { "1h", true, NOW_S + 3600 },
        { "-6s", true, NOW_S - 6 },
        { "1.5s", true, NOW_S + 1 },
        { "100ms", true, NOW_S },
        { "3\xc2\xb5s", true, NOW_S },
        { "999999999999h", true, UINT32_MAX },
        { "99999999999999999999999h", true, UINT32_MAX },
        { "-99999999h", true, 1 },
        { "", false, 0 },
        { "-", false, 0 },
        { "h", false, 0 },
        { ".h", false, 0 },
        { "1", true, 1 },
        { "1d", false, 0 },
        { "1h 2m", false, 0 },
        { "2027-13-01", false, 0 },
        { "2027-01-31T25:00:00Z", false, 0 },
        { "2027-01-31T12:00:00+1", false, 0 },
        { "2027-01-31T12", false, 0 },
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        uint32_t got = 0;
        assert_int_equal(listfile_expiry(span_text(rows[i].text), NOW_S, &got), rows[i].good);
        assert_int_equal(got, rows[i].want);
    }
}

static void bounds_the_file(void **state)
{
    (void)state;
    fresh_arena();
    struct listfile_how how = { .format = LISTFILE_PLAIN };
    struct addrlist_entries entries;
    struct listfile_problem problem;
    assert_int_equal(listfile_read(span_of("", (size_t)LISTFILE_BYTES_MAX + 1), &how, &arena,
                                   &entries, &problem),
                     ERR_LIMIT);
    size_t len = (size_t)(ADDRLIST_ENTRIES_MAX + 1) * 4;
    char *text = arena_alloc(&arena, len);
    for (size_t i = 0; i < len; i += 4)
        memcpy(text + i, "::1\n", 4);
    assert_int_equal(listfile_read(span_of(text, len), &how, &arena, &entries, &problem),
                     ERR_LIMIT);
    assert_int_equal(listfile_read(span_of(text, len - 4), &how, &arena, &entries, &problem),
                     OK);
    assert_int_equal(entries.count, ADDRLIST_ENTRIES_MAX);
}

/* ---- what a list may not do ---- */

static struct span block_of(const char *text)
{
    struct listfile_how how = { .now_s = NOW_S };
    struct addrlist_entries entries;
    struct listfile_problem problem;
    struct span block;
    assert_int_equal(listfile_read(span_text(text), &how, &arena, &entries, &problem), OK);
    assert_int_equal(addrlist_build(entries.items, entries.count, NOW_S, &arena, &block), OK);
    return block;
}

static struct span hosts(unsigned count)
{
    struct text text = text_growing(&arena, 4096);
    for (unsigned i = 0; i < count; i++)
        text_format(&text, "198.51.%u.%u\n", i / 256, i % 256);
    return block_of(text_cstring(&text) != NULL ? text.p : "");
}

static const char *refused(const struct listguard *guard, struct span fresh, size_t before)
{
    char buffer[256];
    struct text detail = text_fixed(buffer, sizeof(buffer));
    const char *why = listguard_refuses(guard, fresh, before, NOW_S, &detail);
    assert_int_equal(why != NULL, detail.len > 0);
    return why;
}

static void refuses_a_list_that_shrinks(void **state)
{
    (void)state;
    fresh_arena();
    struct listguard guard = { .max_cover = 10, .max_shrink = 50 };
    assert_null(refused(&guard, hosts(50), 100));
    assert_non_null(refused(&guard, hosts(49), 100));
    assert_non_null(refused(&guard, hosts(0), LISTGUARD_SHRINK_FROM));
    assert_null(refused(&guard, hosts(0), LISTGUARD_SHRINK_FROM - 1));
    assert_null(refused(&guard, hosts(0), 0));
    guard.max_shrink = 100;
    assert_null(refused(&guard, hosts(0), 1000));
}

static void refuses_a_list_that_covers_too_much(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        unsigned percent;
    } rows[] = {
        { "", 0 },
        { "8.8.8.8", 1 },
        { "0.0.0.0/0", 100 },
        { "64.0.0.0/2", 30 },
        { "64.0.0.0/2\n64.0.0.0/3\n65.1.2.3", 30 }, /* nested ones count once */
        { "10.0.0.0/8\n127.0.0.0/8\n224.0.0.0/4", 0 },
        { "2000::/3", 100 },
        { "2000::/4", 50 },
        { "::/0", 100 },
        { "fc00::/7", 0 },
        { "2001:4860::/128", 1 },
    };
    fresh_arena();
    for (size_t i = 0; i < ARRAY_LEN(rows); i++)
        assert_int_equal(listguard_cover(block_of(rows[i].text)), rows[i].percent);
    struct listguard guard = { .max_cover = 30, .max_shrink = 50 };
    assert_null(refused(&guard, block_of("64.0.0.0/2"), 0));
    guard.max_cover = 29;
    assert_non_null(refused(&guard, block_of("64.0.0.0/2"), 0));
    guard.max_cover = 100;
    assert_null(refused(&guard, block_of("0.0.0.0/0"), 0));
}

static void refuses_a_list_that_holds_the_spared(void **state)
{
    (void)state;
    fresh_arena();
    struct cidr spared[2];
    assert_true(cidr_parse(SPAN("192.0.2.0/24"), false, &spared[0]));
    assert_true(cidr_parse(SPAN("2001:db8::1"), false, &spared[1]));
    struct listguard guard = { .max_cover = 100, .max_shrink = 100, .spared = { spared, 2 } };
    assert_null(refused(&guard, block_of("192.0.3.0/24\n2001:db8::2"), 0));
    assert_non_null(refused(&guard, block_of("192.0.2.77"), 0));
    assert_non_null(refused(&guard, block_of("192.0.0.0/16"), 0));
    assert_non_null(refused(&guard, block_of("2001:db8::/32"), 0));
    struct addrlist_entries entries;
    struct listfile_how how = { .now_s = NOW_S };
    struct listfile_problem problem;
    assert_int_equal(listfile_read(SPAN("192.0.2.77\n192.0.0.0/16\n8.8.8.8"), &how, &arena,
                                   &entries, &problem),
                     OK);
    struct cidrs without = { spared, 1 };
    listguard_without(&entries, &without);
    assert_int_equal(entries.count, 2); /* what encloses it stays, and is refused */
    arena_reset(&arena);
}

int main(void)
{
    return RUN(TEST(reads_plain_lists), TEST(reads_csv), TEST(reads_json),
               TEST(guesses_the_format), TEST(reads_expiries), TEST(bounds_the_file),
               TEST(refuses_a_list_that_shrinks), TEST(refuses_a_list_that_covers_too_much),
               TEST(refuses_a_list_that_holds_the_spared));
}
