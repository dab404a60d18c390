/*
 * The pack `core`: every attack among its examples is found by its rule, no harmless text by
 * any rule; and things that nobody should write rules about.
 */
#include "rules/pack.h"

#include "tests/unit/rules/own/kit.h"

static struct own_kit kit;

static int open_pack(void **state)
{
    (void)state;
    arena_init(&kit.load_arena, NULL, 0, NULL, 1 << 28);
    size_t count = pack_count(pack_core);
    struct rule_source *rules = arena_array(&kit.load_arena, struct rule_source, count);
    assert_int_equal(pack_read(pack_core, rules, &kit.load_arena), OK);
    kit.kept = true;
    if (own_kit_open(&kit, rules, count) != OK)
        fail_msg("%.*s", (int)kit.why.len, kit.why.p);
    return 0;
}

static int close_pack(void **state)
{
    (void)state;
    own_kit_close(&kit);
    return 0;
}

static void look_at(struct span target, struct span text)
{
    own_kit_begin(&kit);
    own_kit_add(&kit, target, SPAN("x"), text);
    assert_int_equal(own_kit_run(&kit, UINT64_MAX), SEC_DONE);
}

static void check_harmless(const char *text)
{
    const struct sec_match *match = kit.run.matches;
    if (match != NULL)
        fail_msg("%.*s finds: %s", (int)match->rule->own->name.len, match->rule->own->name.p,
                 text);
}

static struct span first_target(const struct pack_rule *row)
{
    struct span list = span_text(row->in), first;
    assert_true(span_cut(&list, ',', &first));
    return first;
}

static void check_examples(const struct pack_rule *row)
{
    struct span target = first_target(row);
    assert_non_null(row->attacks[3]); /* four of each at least */
    assert_non_null(row->harmless[3]);
    for (size_t i = 0; i < PACK_EXAMPLES && row->attacks[i] != NULL; i++) {
        look_at(target, span_text(row->attacks[i]));
        if (!own_kit_fired(&kit, span_text(row->name)))
            fail_msg("%s does not find: %s", row->name, row->attacks[i]);
    }
    for (size_t i = 0; i < PACK_EXAMPLES && row->harmless[i] != NULL; i++) {
        look_at(target, span_text(row->harmless[i]));
        check_harmless(row->harmless[i]);
    }
}

static void examples(void **state)
{
    (void)state;
    for (size_t f = 0; pack_core[f] != NULL; f++) {
        for (const struct pack_rule *row = pack_core[f]; row->name != NULL; row++)
            check_examples(row);
    }
}

/* No attack may be spelled so that it slips through. */
static void spellings(void **state)
{
    (void)state;
    static const char *const attacks[] = {
        "1' UnIoN SeLeCt 1,2",
        "1'/**/union/**/select/**/1,2",
        "1' union%0aselect 1,2",
        "1'%20union%20select%201,2",
        "1'%2520union%2520select%25201,2",
        "1'+union+select+1,2",
        "1' union%09all%0bselect null",
        "1' /*!50000union*/ select 1",
        "%u003cscript%u003ealert(1)",
        "&#x3c;script&#x3e;",
        "\\u003Cscript\\u003E",
        "<ScRiPt>",
        "<script/x>",
        "<svg\nonload=alert(1)>",
        "<img src=x onerror\n=alert(1)>",
        "java%0ascript:alert(1)",
        "&#106;avascript:alert(1)",
        "..%2f..%2fetc%2fpasswd",
        "..%252f..%252fetc%252fpasswd",
        "..\\..\\windows\\win.ini",
        "/etc/./passwd",
        "%2e%2e/%2e%2e/",
        "${jndi:ldap://x}",
        "${${lower:J}NDI:ldap://x}",
        "%24%7bjndi:x%7d",
        "x;cat%20/etc/passwd",
        "x%0aid%0acurl http://x",
        "$(curl http://x)",
        "a%00b",
        "{{7*7}}",
        "%7b%7b7*7%7d%7d",
        "<?php x",
        "x%0d%0aSet-Cookie:a=b",
        "http://169.254.169.254/",
    };
    for (size_t i = 0; i < ARRAY_LEN(attacks); i++) {
        look_at(SPAN("args"), span_text(attacks[i]));
        if (kit.run.own.score < 5)
            fail_msg("%d only: %s", (int)kit.run.own.score, attacks[i]);
    }
}

static void visitors(void **state)
{
    (void)state;
    static const struct {
        const char *target;
        const char *text;
    } rows[] = {
        { "user_agent", "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 "
                        "(KHTML, like Gecko) Chrome/119.0.0.0 Safari/537.36" },
        { "user_agent", "Mozilla/5.0 (iPhone; CPU iPhone OS 17_1 like Mac OS X)" },
        { "user_agent",
          "Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)" },
        { "headers", "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8" },
        { "headers", "\"Chromium\";v=\"118\", \"Not=A?Brand\";v=\"99\"" },
        { "headers", "W/\"6554e1b5-2aa6\"" },
        { "headers", "Wed, 21 Oct 2015 07:28:00 GMT" },
        { "headers", "Bearer eyJhbGciOiJSUzI1NiJ9.eyJzdWIiOiIxIn0.c2ln" },
        { "referer", "https://shop.example.com/search?q=shoes&page=2&sort=-price#top" },
        { "referer", "https://www.google.com/" },
        { "cookies", "GA1.2.1234567890.1700000000" },
        { "cookies", "%7B%22theme%22%3A%22dark%22%2C%22n%22%3A2%7D" },
        { "cookies", "s:abc.Zm9vYmFy/+==" },
        { "args", "O'Reilly & Sons; \"the best\" (since 1978) -- 50% off!" },
        { "args", "https://example.com/callback?code=a&state=b" },
        { "args", "2024-01-31T12:00:00+01:00" },
        { "args", "SELECT your size, then order by phone from 9 to 5" },
        { "args", "if a < b and b > c then a <> c" },
        { "args", "C++ and C# or Java; PHP too" },
        { "args", "name@example.com, other@example.org" },
        { "args", "<p>Hello <b>world</b>, <a href=\"/x?a=1&amp;b=2\">here</a></p>" },
        { "args", "**bold** and `code` and [link](https://example.com)" },
        { "body",
          "{\"name\":\"Ann\",\"tags\":[\"a\",\"b\"],\"n\":1.5,\"ok\":true,\"x\":null}" },
        { "body", "{\"query\":\"query Q($id: ID!) { user(id: $id) { name } }\"}" },
        { "body", "<?xml version=\"1.0\"?><note><to>Ann</to></note>" },
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        look_at(span_text(rows[i].target), span_text(rows[i].text));
        check_harmless(rows[i].text);
    }
}

static void names_are_one_each(void **state)
{
    (void)state;
    for (unsigned i = 0; i < kit.program->rule_count; i++) {
        const struct own_rule *own = kit.program->rules[i]->own;
        for (unsigned j = 0; j < i; j++)
            assert_false(span_equal(kit.program->rules[j]->own->name, own->name));
        assert_true(own->message.len > 0);
        assert_true(own->score >= SCORE_NOTICE);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = { TEST(examples), TEST(spellings), TEST(visitors),
                                        TEST(names_are_one_each) };
    return cmocka_run_group_tests(tests, open_pack, close_pack);
}
