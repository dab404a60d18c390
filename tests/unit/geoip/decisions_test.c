/* Decisions of a CrowdSec: what a stream says, and what the set comes to. */
#include "geoip/decisions.h"

#include <stdio.h>

#include "tests/unit/check.h"

enum { NOW_S = 1800000000 };

static struct arena arena;
static struct decision_rules rules;
static struct decision_tally tally;

static void fresh(void)
{
    arena_reset(&arena);
    arena_init(&arena, NULL, 0, NULL, (size_t)1 << 29);
    rules = (struct decision_rules){ .max_cover = 10 };
}

static const char *take(struct decisions *set, const char *json)
{
    const char *why;
    enum err err = decisions_apply(set, span_text(json), &rules, NOW_S, &tally, &why);
    assert_int_equal(err == OK, why == NULL);
    return why;
}

/* "prefix|reason|source|expires - NOW_S;" of each. */
static struct span told(const struct decisions *set, enum decision_kind kind)
{
    struct text out = text_growing(&arena, 256);
    struct addrlist_hit hit;
    struct span block;
    bool nested;
    assert_int_equal(decisions_build(set, kind, NOW_S, &arena, &block), OK);
    size_t count = addrlist_count(block), places = addrlist_places(block);
    assert_int_equal(count + places, decisions_count(set, kind));
    assert_int_equal(places, decisions_places(set, kind));
    for (size_t i = 0; i < count + places; i++) {
        if (i < count) {
            assert_true(addrlist_at(block, i, &hit, &nested));
            cidr_write(&out, &hit.prefix);
        } else {
            assert_true(addrlist_place_at(block, i - count, &hit));
            addrlist_place_write(&out, hit.place);
        }
        text_format(&out, "|%.*s|%.*s|%u;", (int)hit.reason.len, hit.reason.p,
                    (int)hit.source.len, hit.source.p, hit.expires_s - NOW_S);
    }
    return text_span(&out);
}

#define D(scope, type, value, duration)                                                        \
    "{\"id\":1,\"origin\":\"cscli\",\"scenario\":\"manual\",\"scope\":\"" scope                \
    "\",\"type\":\"" type "\",\"value\":\"" value "\",\"duration\":\"" duration "\"}"

static void keeps_what_a_stream_says(void **state)
{
    (void)state;
    static const struct {
        const char *json, *bans, *challenges;
    } steps[] = {
        { "{\"new\":[" D("Ip", "ban", "192.0.2.1", "59m59.308361842s") "," D(
              "Range", "ban", "198.51.100.7/24", "1h") "," D("Ip", "captcha", "192.0.2.2",
                                                             "10s") "],\"deleted\":null}",
          "192.0.2.1/32|manual|cscli|3599;198.51.100.0/24|manual|cscli|3600;",
          "192.0.2.2/32|manual|cscli|10;" },
        { "{\"deleted\":null,\"new\":null}",
          "192.0.2.1/32|manual|cscli|3599;198.51.100.0/24|manual|cscli|3600;",
          "192.0.2.2/32|manual|cscli|10;" },
        /* of another number and scenario, and long over */
        { "{\"new\":[],\"deleted\":[{\"id\":7,\"scope\":\"ip\",\"value\":\"192.0.2.1\","
          "\"type\":\"ban\",\"duration\":\"-3h2m1.5s\"}]}",
          "198.51.100.0/24|manual|cscli|3600;", "192.0.2.2/32|manual|cscli|10;" },
        /* gone and new at once: new */
        { "{\"new\":[" D("ip", "BAN", "192.0.2.1", "5s") "],\"deleted\":[" D(
              "ip", "ban", "192.0.2.1", "-1s") "," D("ip", "ban", "192.0.2.2", "-1s") "]}",
          "192.0.2.1/32|manual|cscli|5;198.51.100.0/24|manual|cscli|3600;",
          "192.0.2.2/32|manual|cscli|10;" },
        /* a shorter one replaces; of two in one answer the longer one stays */
        { "{\"new\":[" D("Range", "ban", "198.51.100.0/24", "9s") "," D(
              "Ip", "ban", "2001:db8::1", "9s") "," D("Ip", "ban", "2001:db8::1", "5s") "]}",
          "192.0.2.1/32|manual|cscli|5;198.51.100.0/24|manual|cscli|9;"
          "2001:db8::1/128|manual|cscli|9;",
          "192.0.2.2/32|manual|cscli|10;" },
        { "{\"new\":[" D("Country", "ban", "cn", "1h") "," D(
              "AS", "ban", "AS64500",
              "1h") "," D("as", "captcha", "64501",
                          "1h") "],\"deleted\":[" D("ip", "ban", "2001:db8::1",
                                                    "-1s") "," D("ip", "captcha", "192.0.2.2",
                                                                 "-1s") "]}",
          "192.0.2.1/32|manual|cscli|5;198.51.100.0/24|manual|cscli|9;"
          "country:CN|manual|cscli|3600;asn:64500|manual|cscli|3600;",
          "asn:64501|manual|cscli|3600;" },
        /* what is not known keeps out; exceptions do not */
        { "{\"deleted\":[" D("ip", "ban", "192.0.2.1", "1s") "," D(
              "range", "ban", "198.51.100.0/24",
              "1s") "," D("country", "ban", "CN",
                          "1s") "],\"new\":[" D("ip", "throttle", "192.0.2.9",
                                                "1s") "," D("ip", "bypass", "192.0.2.8",
                                                            "1s") "]}",
          "192.0.2.9/32|manual|cscli|1;asn:64500|manual|cscli|3600;",
          "asn:64501|manual|cscli|3600;" },
    };
    fresh();
    struct decisions *set = decisions_new();
    assert_non_null(set);
    for (size_t i = 0; i < ARRAY_LEN(steps); i++) {
        assert_null(take(set, steps[i].json));
        assert_span(told(set, DECISION_BAN), span_text(steps[i].bans));
        assert_span(told(set, DECISION_CHALLENGE), span_text(steps[i].challenges));
    }
    decisions_free(set);
}

static void passes_over_what_makes_no_sense(void **state)
{
    (void)state;
    static const char *const rows[] = {
        D("Ip", "ban", "nobody", "1h"),
        D("Ip", "ban", "192.0.2.1", ""),
        D("Ip", "ban", "192.0.2.1", "soon"),
        D("Ip", "ban", "192.0.2.1", "-1h"),
        D("Ip", "ban", "192.0.2.1", "0s"),
        D("username", "ban", "root", "1h"),
        D("Country", "ban", "UK", "1h"),
        D("Country", "ban", "XX", "1h"),
        D("Country", "ban", "DEU", "1h"),
        D("AS", "ban", "AS0", "1h"),
        D("AS", "ban", "AS4294967296", "1h"),
        D("AS", "ban", "AS", "1h"),
        D("", "ban", "192.0.2.1", "1h"),
        D("Ip", "", "192.0.2.1", "1h"),
        "{}",
        "{\"scope\":1,\"value\":[\"192.0.2.1\"],\"type\":{\"a\":null},\"duration\":true}",
        "{\"simulated\":true,\"scope\":\"Ip\",\"type\":\"ban\",\"value\":\"192.0.2.1\","
        "\"duration\":\"1h\"}",
    };
    fresh();
    struct decisions *set = decisions_new();
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        char json[1024];
        (void)snprintf(json, sizeof(json), "{\"new\":[%s,%s],\"deleted\":[%s]}", rows[i],
                       D("Ip", "ban", "192.0.2.77", "1h"), rows[i]);
        assert_null(take(set, json));
        assert_int_equal(tally.unusable, 1);
        assert_span(told(set, DECISION_BAN), SPAN("192.0.2.77/32|manual|cscli|3600;"));
    }
    decisions_free(set);
}

static void refuses_a_broken_answer_whole(void **state)
{
    (void)state;
    static const char *const rows[] = {
        "",
        "null",
        "[]",
        "{}",
        "{\"message\":\"access forbidden\"}",
        "<html>",
        "{\"new\":{}}",
        "{\"new\":\"x\"}",
        "{\"new\":[1]}",
        "{\"new\":[null]}",
        "{\"new\":false}",
        "{\"new\":[" D("Ip", "ban", "192.0.2.1", "1h"),
        "{\"new\":[" D("Ip", "ban", "192.0.2.1", "1h") "]",
        "{\"new\":[" D("Ip", "ban", "192.0.2.1", "1h") "]}{",
        "{\"new\":[" D("Ip", "ban", "192.0.2.1", "1h") "],\"deleted\":[{\"scope\"}]}",
        "{\"new\":[{\"a\":[[[[[[[[[[[[[[[[[[]]]]]]]]]]]]]]]]]]}]}",
        "{\"new\":[{\"scope\":\"Ip\\x\"}]}",
    };
    fresh();
    struct decisions *set = decisions_new();
    assert_null(take(set, "{\"new\":[" D("Ip", "ban", "192.0.2.7", "1h") "]}"));
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        if (take(set, rows[i]) == NULL)
            fail_msg("taken: %s", rows[i]);
        assert_span(told(set, DECISION_BAN), SPAN("192.0.2.7/32|manual|cscli|3600;"));
    }
    decisions_free(set);
}

static void spares_what_must_not_be_kept_out(void **state)
{
    (void)state;
    struct cidr proxy, office;
    assert_true(cidr_parse(SPAN("203.0.113.5/32"), false, &proxy));
    assert_true(cidr_parse(SPAN("10.0.0.0/8"), false, &office));
    fresh();
    rules.spared = (struct cidrs){ &proxy, 1 };
    rules.without = (struct cidrs){ &office, 1 };
    rules.own = SPAN("sallyport/here");
    struct decisions *set = decisions_new();
    assert_null(take(
        set,
        "{\"new\":[" D("Range", "ban", "203.0.113.0/24", "1h") "," D(
            "Range", "ban", "0.0.0.0/0",
            "1h") "," D("Range", "ban", "::/0",
                        "1h") "," D("Range", "ban", "64.0.0.0/3",
                                    "1h") "," D("Ip", "ban", "10.1.2.3",
                                                "1h") "," D("Ip", "ban", "192.0.2.1",
                                                            "1h") ",{\"origin\":\"sallyport/"
                                                                  "here\",\"scenario\":\"x\","
                                                                  "\"scope\":\"Ip\","
                                                                  "\"type\":\"ban\",\"value\":"
                                                                  "\"192.0.2.2\",\"duration\":"
                                                                  "\"1h\"}]}"));
    assert_int_equal(tally.refused, 4);
    assert_int_equal(tally.unusable, 0);
    assert_int_equal(tally.fresh, 1);
    assert_span(told(set, DECISION_BAN), SPAN("192.0.2.1/32|manual|cscli|3600;"));
    /* The end of ours is not the end of theirs. */
    assert_null(take(set, "{\"deleted\":[{\"origin\":\"sallyport/here\",\"scope\":\"Ip\","
                          "\"type\":\"ban\",\"value\":\"192.0.2.1\"}]}"));
    assert_int_equal(decisions_count(set, DECISION_BAN), 1);
    decisions_free(set);
}

static void forgets_what_is_over(void **state)
{
    (void)state;
    const char *why;
    fresh();
    struct decisions *set = decisions_new();
    assert_null(take(set, "{\"new\":[" D("Ip", "ban", "192.0.2.1",
                                         "5s") "," D("Ip", "ban", "192.0.2.2", "1h") "]}"));
    assert_int_equal(
        decisions_apply(set, SPAN("{\"new\":null}"), &rules, NOW_S + 5, &tally, &why), OK);
    assert_int_equal(decisions_count(set, DECISION_BAN), 1);
    decisions_free(set);
}

static uint64_t state_of_chance = 0x9e3779b97f4a7c15u;

static uint32_t chance(void)
{
    state_of_chance ^= state_of_chance >> 12;
    state_of_chance ^= state_of_chance << 25;
    state_of_chance ^= state_of_chance >> 27;
    return (uint32_t)((state_of_chance * 0x2545f4914f6cdd1du) >> 32);
}

enum { HOSTS = 2000, ROUNDS = 60, SETS = 12 };

/* A bit a host, over many rounds of additions and removals, also past what a table grows by. */
static void differs_from_naive(void)
{
    bool there[HOSTS] = { false };
    fresh();
    struct decisions *set = decisions_new();
    for (unsigned round = 0; round < ROUNDS; round++) {
        struct text json = text_growing(&arena, 4096);
        unsigned changes = chance() % (round % 10 == 0 ? 3000 : 200);
        bool gone[HOSTS] = { false };
        text_lit(&json, "{\"deleted\":[");
        for (unsigned i = 0, n = 0; i < changes; i++) {
            unsigned host = chance() % HOSTS;
            if (chance() % 2 != 0)
                continue;
            gone[host] = true;
            text_format(&json, "%s{\"scope\":\"Ip\",\"type\":\"ban\",\"value\":\"10.0.%u.%u\"}",
                        n++ > 0 ? "," : "", host / 256, host % 256);
        }
        text_lit(&json, "],\"new\":[");
        for (unsigned i = 0; i < HOSTS; i++)
            there[i] = there[i] && !gone[i];
        for (unsigned i = 0; i < changes; i++) {
            unsigned host = chance() % HOSTS;
            there[host] = true;
            text_format(&json,
                        "%s{\"scope\":\"Ip\",\"type\":\"ban\",\"value\":\"10.0.%u.%u\","
                        "\"duration\":\"1h\"}",
                        i > 0 ? "," : "", host / 256, host % 256);
        }
        text_lit(&json, "]}");
        assert_null(take(set, text_cstring(&json)));
        struct span block;
        assert_int_equal(decisions_build(set, DECISION_BAN, NOW_S, &arena, &block), OK);
        for (unsigned i = 0; i < HOSTS; i++) {
            struct addr addr = { .family = ADDR_V4,
                                 .bytes = { 10, 0, (uint8_t)(i / 256), (uint8_t)i } };
            uint32_t place;
            assert_int_equal(addrlist_find(block, &addr, NOW_S, &place), there[i]);
        }
    }
    decisions_free(set);
}

/* Each set has a seed of its own, and so an order of its own in its table. */
static void agrees_with_a_naive_set(void **state)
{
    (void)state;
    for (unsigned i = 0; i < SETS; i++)
        differs_from_naive();
}

static void bounds_texts(void **state)
{
    (void)state;
    fresh();
    struct decisions *set = decisions_new();
    struct text json = text_growing(&arena, 4096);
    text_lit(&json, "{\"new\":[");
    for (unsigned i = 0; i <= DECISIONS_TEXTS_MAX; i++)
        text_format(&json,
                    "%s{\"scope\":\"Ip\",\"type\":\"ban\",\"value\":\"10.0.%u.%u\","
                    "\"scenario\":\"s%u\",\"duration\":\"1h\"}",
                    i > 0 ? "," : "", i / 256, i % 256, i);
    text_lit(&json, "]}");
    assert_null(take(set, text_cstring(&json)));
    struct span all = told(set, DECISION_BAN);
    assert_true(span_find(all, SPAN("|s0|")) > 0);
    assert_true(span_find(all, SPAN("10.0.16.0/32|...|")) > 0);
    decisions_free(set);
    arena_reset(&arena);
}

int main(void)
{
    return RUN(TEST(keeps_what_a_stream_says), TEST(passes_over_what_makes_no_sense),
               TEST(refuses_a_broken_answer_whole), TEST(spares_what_must_not_be_kept_out),
               TEST(forgets_what_is_over), TEST(agrees_with_a_naive_set), TEST(bounds_texts));
}
