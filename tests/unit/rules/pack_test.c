/*
 * The pack `core`: every attack among its examples is found by its rule, no harmless text by
 * any rule; and things that nobody should write rules about.
 */
#include "rules/pack.h"

#include <stdlib.h>

#include "rules/scan.h"
#include "tests/unit/check.h"

static struct arena load_arena, arena;
static struct plan *plan;
static struct scan_local local;
static struct scan scan;

static int open_pack(void **state)
{
    (void)state;
    char said[512];
    struct text why = text_fixed(said, sizeof(said));
    arena_init(&load_arena, NULL, 0, NULL, 1 << 26);
    arena_init(&arena, NULL, 0, NULL, 1 << 26);
    size_t count = pack_count(pack_core);
    struct rule_source *rules = arena_array(&load_arena, struct rule_source, count);
    assert_int_equal(pack_read(pack_core, rules, &load_arena), OK);
    if (plan_compile(&plan, rules, count, &load_arena, &why) != OK)
        fail_msg("%.*s", (int)why.len, why.p);
    assert_int_equal(scan_attach(&local, plan), OK);
    return 0;
}

static int close_pack(void **state)
{
    (void)state;
    scan_detach(&local);
    plan_free(plan);
    arena_reset(&load_arena);
    arena_reset(&arena);
    return 0;
}

static void look_at(enum target target, struct span text)
{
    struct value value = { .text = text, .selects = UINT64_C(1) << target, .target = target };
    if (target == TARGET_USER_AGENT || target == TARGET_REFERER)
        value.selects |= UINT64_C(1) << TARGET_HEADERS;
    arena_reset(&arena);
    scan = (struct scan){ .budget = { 1 << 30, 1 << 20 } };
    scan_begin(&scan, (struct values){ &value, 1 });
    assert_int_equal(scan_run(&scan, plan, &local, &arena, UINT64_MAX), SCAN_DONE);
}

static unsigned rule_index(const char *name)
{
    for (unsigned i = 0; i < plan->rule_count; i++) {
        if (span_equal(plan->rules[i].name, span_text(name)))
            return i;
    }
    fail_msg("no rule %s", name);
    return 0;
}

static enum target first_target(const struct pack_rule *row)
{
    struct span list = span_text(row->in), first;
    assert_true(span_cut(&list, ',', &first));
    for (unsigned i = 0; i < TARGET_COUNT; i++) {
        if (span_equal(first, span_text(targets[i].name)))
            return (enum target)i;
    }
    fail_msg("%s: %s", row->name, row->in);
    return TARGET_COUNT;
}

static void check_examples(const struct pack_rule *row)
{
    unsigned index = rule_index(row->name);
    enum target target = first_target(row);
    assert_non_null(row->attacks[3]); /* four of each at least */
    assert_non_null(row->harmless[3]);
    for (size_t i = 0; i < PACK_EXAMPLES && row->attacks[i] != NULL; i++) {
        look_at(target, span_text(row->attacks[i]));
        if (scan.matched == NULL || !set_has(scan.matched, index))
            fail_msg("%s does not find: %s", row->name, row->attacks[i]);
    }
    for (size_t i = 0; i < PACK_EXAMPLES && row->harmless[i] != NULL; i++) {
        look_at(target, span_text(row->harmless[i]));
        if (scan.hits != NULL)
            fail_msg("%.*s finds: %s", (int)plan->rules[scan.hits->rule].name.len,
                     plan->rules[scan.hits->rule].name.p, row->harmless[i]);
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
        look_at(TARGET_ARGS, span_text(attacks[i]));
        int32_t score = 0;
        for (const struct hit *hit = scan.hits; hit != NULL; hit = hit->next)
            score += plan->rules[hit->rule].score;
        if (score < 5)
            fail_msg("%d only: %s", score, attacks[i]);
    }
}

static void visitors(void **state)
{
    (void)state;
    static const struct {
        enum target target;
        const char *text;
    } rows[] = {
        { TARGET_USER_AGENT, "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 "
                             "(KHTML, like Gecko) Chrome/119.0.0.0 Safari/537.36" },
        { TARGET_USER_AGENT, "Mozilla/5.0 (iPhone; CPU iPhone OS 17_1 like Mac OS X)" },
        { TARGET_USER_AGENT,
          "Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)" },
        { TARGET_HEADERS, "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8" },
        { TARGET_HEADERS, "\"Chromium\";v=\"118\", \"Not=A?Brand\";v=\"99\"" },
        { TARGET_HEADERS, "W/\"6554e1b5-2aa6\"" },
        { TARGET_HEADERS, "Wed, 21 Oct 2015 07:28:00 GMT" },
        { TARGET_HEADERS, "Bearer eyJhbGciOiJSUzI1NiJ9.eyJzdWIiOiIxIn0.c2ln" },
        { TARGET_REFERER, "https://shop.example.com/search?q=shoes&page=2&sort=-price#top" },
        { TARGET_REFERER, "https://www.google.com/" },
        { TARGET_COOKIES, "GA1.2.1234567890.1700000000" },
        { TARGET_COOKIES, "%7B%22theme%22%3A%22dark%22%2C%22n%22%3A2%7D" },
        { TARGET_COOKIES, "s:abc.Zm9vYmFy/+==" },
        { TARGET_ARGS, "O'Reilly & Sons; \"the best\" (since 1978) -- 50% off!" },
        { TARGET_ARGS, "https://example.com/callback?code=a&state=b" },
        { TARGET_ARGS, "2024-01-31T12:00:00+01:00" },
        { TARGET_ARGS, "SELECT your size, then order by phone from 9 to 5" },
        { TARGET_ARGS, "if a < b and b > c then a <> c" },
        { TARGET_ARGS, "C++ and C# or Java; PHP too" },
        { TARGET_ARGS, "name@example.com, other@example.org" },
        { TARGET_ARGS, "<p>Hello <b>world</b>, <a href=\"/x?a=1&amp;b=2\">here</a></p>" },
        { TARGET_ARGS, "**bold** and `code` and [link](https://example.com)" },
        { TARGET_BODY,
          "{\"name\":\"Ann\",\"tags\":[\"a\",\"b\"],\"n\":1.5,\"ok\":true,\"x\":null}" },
        { TARGET_BODY, "{\"query\":\"query Q($id: ID!) { user(id: $id) { name } }\"}" },
        { TARGET_BODY, "<?xml version=\"1.0\"?><note><to>Ann</to></note>" },
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        look_at(rows[i].target, span_text(rows[i].text));
        if (scan.hits != NULL)
            fail_msg("%.*s finds: %s", (int)plan->rules[scan.hits->rule].name.len,
                     plan->rules[scan.hits->rule].name.p, rows[i].text);
    }
}

static void names_are_one_each(void **state)
{
    (void)state;
    for (unsigned i = 0; i < plan->rule_count; i++) {
        assert_int_equal(rule_index(plan->rules[i].name.p), i);
        assert_true(plan->rules[i].message.len > 0);
        assert_true(plan->rules[i].score >= SCORE_NOTICE);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = { TEST(examples), TEST(spellings), TEST(visitors),
                                        TEST(names_are_one_each) };
    return cmocka_run_group_tests(tests, open_pack, close_pack);
}
