/* Questions about crawlers: what is asked, what is answered, and whose names are whose. */
#include "auth/bots/verify.h"

#include "tests/unit/auth/bots/memory_kit.h"
#include "tests/unit/check.h"

enum { NOW = 1800000000 };

static struct verify_question question_of(const char *address)
{
    struct verify_question question = { .name = "googlebot",
                                        .domains = { "googlebot.com", "google.com" } };
    assert_true(addr_parse(span_text(address), &question.addr));
    return question;
}

static void one_asks_and_all_know(void **state)
{
    (void)state;
    struct verify_question asked = question_of("192.0.2.7"), other = question_of("192.0.2.8"),
                           got;
    uint64_t cursor = 0;
    struct span name = SPAN("googlebot");
    assert_int_equal(verify_look(&memory_kit, &asked.addr, name, NOW), VERIFY_NOTHING);
    for (unsigned i = 0; i < 5; i++)
        verify_ask(&memory_kit, &asked, NOW);
    verify_ask(&memory_kit, &other, NOW);
    assert_int_equal(verify_look(&memory_kit, &asked.addr, name, NOW), VERIFY_PENDING);
    assert_true(verify_next(&memory_kit, &cursor, &got));
    assert_true(addr_equal(&got.addr, &asked.addr));
    assert_string_equal(got.domains[1], "google.com");
    assert_true(verify_next(&memory_kit, &cursor, &got));
    assert_true(addr_equal(&got.addr, &other.addr));
    assert_false(verify_next(&memory_kit, &cursor, &got));
    verify_tell(&memory_kit, &asked, VERIFY_TRUE, NOW, 100);
    verify_tell(&memory_kit, &other, VERIFY_FALSE, NOW, 100);
    assert_int_equal(verify_look(&memory_kit, &asked.addr, name, NOW + 99), VERIFY_TRUE);
    assert_int_equal(verify_look(&memory_kit, &other.addr, name, NOW + 99), VERIFY_FALSE);
    assert_int_equal(verify_look(&memory_kit, &asked.addr, SPAN("bingbot"), NOW),
                     VERIFY_NOTHING);
    assert_int_equal(verify_look(&memory_kit, &asked.addr, name, NOW + 100), VERIFY_NOTHING);
    verify_ask(&memory_kit, &asked, NOW + 100);
    assert_true(verify_next(&memory_kit, &cursor, &got));
}

static void an_answer_that_never_comes_is_asked_for_again(void **state)
{
    (void)state;
    struct verify_question asked = question_of("192.0.2.7"), got;
    uint64_t cursor = 0;
    verify_ask(&memory_kit, &asked, NOW);
    verify_ask(&memory_kit, &asked, NOW + VERIFY_ASKED_S - 1);
    assert_true(verify_next(&memory_kit, &cursor, &got));
    assert_false(verify_next(&memory_kit, &cursor, &got));
    verify_ask(&memory_kit, &asked, NOW + VERIFY_ASKED_S);
    assert_true(verify_next(&memory_kit, &cursor, &got));
}

static void more_than_the_ring_holds_are_forgotten(void **state)
{
    (void)state;
    struct verify_question asked = question_of("192.0.2.7"), got;
    uint64_t cursor = 0;
    unsigned count = 0;
    for (unsigned i = 0; i < 2 * BOTS_QUESTIONS; i++) {
        asked.addr.bytes[2] = (uint8_t)(i >> 8);
        asked.addr.bytes[3] = (uint8_t)i;
        verify_ask(&memory_kit, &asked, NOW);
    }
    while (verify_next(&memory_kit, &cursor, &got))
        count++;
    assert_int_equal(count, BOTS_QUESTIONS);
}

/* The memory may hold anything: neither the count nor a slot is believed. */
static void what_was_forged_is_passed_over(void **state)
{
    (void)state;
    struct verify_question asked = question_of("192.0.2.7"), got;
    uint64_t cursor = 0;
    verify_ask(&memory_kit, &asked, NOW);
    memset(memory_kit.shared->questions[0].question.domains, 'x', CRAWLER_DOMAIN_BYTES);
    assert_false(verify_next(&memory_kit, &cursor, &got));
    asked.addr.bytes[3] = 9;
    verify_ask(&memory_kit, &asked, NOW);
    memory_kit.shared->questions[1].question.addr.family = 77;
    assert_false(verify_next(&memory_kit, &cursor, &got));
    memory_kit.shared->asked = UINT64_MAX;
    cursor = 0;
    assert_false(verify_next(&memory_kit, &cursor, &got));
    memory_kit.shared->asked = 0;
    assert_false(verify_next(&memory_kit, &cursor, &got));
    memory_kit_fill(0xff);
    (void)verify_next(&memory_kit, &cursor, &got);
    (void)verify_look(&memory_kit, &asked.addr, SPAN("googlebot"), NOW);
}

static void domains_end_at_a_label(void **state)
{
    (void)state;
    struct verify_question question = question_of("192.0.2.7");
    assert_true(verify_in_domains(&question, "crawl-1.googlebot.com"));
    assert_true(verify_in_domains(&question, "a.b.google.com"));
    assert_false(verify_in_domains(&question, "evilgooglebot.com"));
    assert_false(verify_in_domains(&question, "googlebot.com"));
    assert_false(verify_in_domains(&question, ".googlebot.com"));
    assert_false(verify_in_domains(&question, "googlebot.com.evil.test"));
    assert_false(verify_in_domains(&question, ""));
    question.domains[0][0] = '\0';
    assert_false(verify_in_domains(&question, "crawl-1.googlebot.com"));
}

static void questions_are_checked(void **state)
{
    (void)state;
    struct verify_question question = question_of("192.0.2.7");
    assert_true(verify_question_ok(&question));
    question.domains[2][0] = 'A';
    assert_false(verify_question_ok(&question));
    question = question_of("192.0.2.7");
    memset(question.name, 'x', sizeof(question.name));
    assert_false(verify_question_ok(&question));
    question = question_of("192.0.2.7");
    question.addr.family = ADDR_UNIX;
    assert_false(verify_question_ok(&question));
}

static void reverse_names(void **state)
{
    (void)state;
    char buffer[80];
    struct verify_question question = question_of("192.0.2.107");
    struct text text = text_fixed(buffer, sizeof(buffer));
    verify_reverse_name(&text, &question.addr);
    assert_text(text_span(&text), "107.2.0.192.in-addr.arpa.");
    question = question_of("2001:db8::567:89ab");
    text = text_fixed(buffer, sizeof(buffer));
    verify_reverse_name(&text, &question.addr);
    assert_text(text_span(&text), "b.a.9.8.7.6.5.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0."
                                  "8.b.d.0.1.0.0.2.ip6.arpa."); /* RFC 3596 section 2.5 */
}

#define CASE(fn) cmocka_unit_test_setup_teardown(fn, memory_kit_open, memory_kit_close)

int main(void)
{
    return RUN(CASE(one_asks_and_all_know), CASE(an_answer_that_never_comes_is_asked_for_again),
               CASE(more_than_the_ring_holds_are_forgotten),
               CASE(what_was_forged_is_passed_over), CASE(domains_end_at_a_label),
               CASE(questions_are_checked), CASE(reverse_names));
}
