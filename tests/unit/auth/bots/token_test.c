/* Challenges and clearances: what was written is read, and nothing else is. */
#include "auth/bots/token.h"

#include <sodium.h>

#include "tests/unit/check.h"

enum { NOW = 1800000000 };

static struct arena arena;
static struct bot_keys keys;
static struct bot_holder holder;

static struct cidr net_of(const char *text)
{
    struct addr addr;
    assert_true(addr_parse(span_text(text), &addr));
    return bot_net(&addr);
}

static int set_up(void **state)
{
    (void)state;
    if (sodium_init() < 0)
        return -1;
    arena_init(&arena, NULL, 0, NULL, 1 << 20);
    bot_keys_init(&keys, SPAN("a key of this boot, for tests .."));
    holder = (struct bot_holder){ .host = SPAN("shop.test"),
                                  .scheme = SPAN("https"),
                                  .net = net_of("192.0.2.7"),
                                  .ciphers = SPAN("8daaf6152771") };
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    arena_reset(&arena);
    return 0;
}

static struct span make(struct span target, uint8_t bits)
{
    struct challenge challenge = { .issued_s = NOW,
                                   .clear_s = 3600,
                                   .bits = bits,
                                   .wait_s = 5,
                                   .id = "twelve bytes",
                                   .target = target };
    struct text out = text_growing(&arena, 0);
    assert_true(challenge_write(&out, &keys, &holder, &challenge));
    return text_span(&out);
}

static enum token_verdict read(struct span text, uint64_t now_s, struct challenge *challenge)
{
    return challenge_read(&keys, &holder, text, now_s, &arena, challenge);
}

static void what_was_written_is_read(void **state)
{
    (void)state;
    struct challenge challenge;
    struct span text = make(SPAN("/a?b=c"), 16);
    assert_int_equal(read(text, NOW, &challenge), TOKEN_GOOD);
    assert_int_equal(challenge.issued_s, NOW);
    assert_int_equal(challenge.clear_s, 3600);
    assert_int_equal(challenge.bits, 16);
    assert_int_equal(challenge.wait_s, 5);
    assert_memory_equal(challenge.id, "twelve bytes", CHALLENGE_ID_BYTES);
    assert_text(challenge.target, "/a?b=c");
}

static void targets_have_a_limit(void **state)
{
    (void)state;
    static char target[CHALLENGE_TARGET_MAX + 1];
    struct challenge challenge = { .issued_s = NOW, .target = { target, sizeof(target) - 1 } };
    struct text out = text_growing(&arena, 0);
    memset(target, 'x', sizeof(target));
    assert_true(challenge_write(&out, &keys, &holder, &challenge));
    assert_true(out.len <= CHALLENGE_TEXT_MAX);
    assert_int_equal(read(text_span(&out), NOW, &challenge), TOKEN_GOOD);
    assert_int_equal(challenge.target.len, CHALLENGE_TARGET_MAX);
    challenge.target = span_of(target, sizeof(target));
    assert_false(challenge_write(&out, &keys, &holder, &challenge));
}

static void it_ends(void **state)
{
    (void)state;
    struct challenge challenge;
    struct span text = make(SPAN("/x"), 16);
    assert_int_equal(read(text, NOW + CHALLENGE_S - 1, &challenge), TOKEN_GOOD);
    assert_int_equal(read(text, NOW + CHALLENGE_S, &challenge), TOKEN_EXPIRED);
    assert_text(challenge.target, "/x"); /* to be asked anew there */
    assert_int_equal(read(text, NOW - CLOCK_SLACK_S, &challenge), TOKEN_GOOD);
    assert_int_equal(read(text, NOW - CLOCK_SLACK_S - 1, &challenge), TOKEN_EXPIRED);
}

/* Each byte of it, and each thing that is not in it. */
static void nothing_of_it_can_be_changed(void **state)
{
    (void)state;
    struct challenge challenge;
    struct span text = make(SPAN("/x"), 16);
    char *changed = arena_cstring(&arena, text);
    for (size_t i = 0; i < text.len; i++) {
        char was = changed[i];
        for (const char *c = "AZaz09-_.=+ "; *c != '\0'; c++) {
            changed[i] = *c;
            if (*c != was)
                assert_in_range(read(span_of(changed, text.len), NOW, &challenge),
                                TOKEN_MALFORMED, TOKEN_FORGED);
        }
        changed[i] = was;
        assert_in_range(read(span_sub(text, 0, i), NOW, &challenge), TOKEN_MALFORMED,
                        TOKEN_FORGED);
    }
    struct bot_holder mine = holder, others[] = { holder, holder, holder, holder, holder };
    others[0].host = SPAN("other.test");
    others[1].scheme = SPAN("http");
    others[2].net = net_of("192.0.3.7");
    others[3].ciphers = SPAN("");
    others[4].net = net_of("2001:db8::1");
    for (size_t i = 0; i < ARRAY_LEN(others); i++) {
        holder = others[i];
        assert_int_equal(read(text, NOW, &challenge), TOKEN_FORGED);
    }
    holder = mine;
    holder.net = net_of("192.0.2.200"); /* the same network */
    assert_int_equal(read(text, NOW, &challenge), TOKEN_GOOD);
    bot_keys_init(&keys, SPAN("another key of this boot, for tests"));
    assert_int_equal(read(text, NOW, &challenge), TOKEN_FORGED);
}

/* What is of one use, is of no other; and what is next to another is not taken for it. */
static void parts_do_not_run_into_one_another(void **state)
{
    (void)state;
    char text[CLEARANCE_TEXT_BYTES];
    struct clearance clearance = { .issued_s = NOW, .clear_s = 3600, .bits = 9 };
    struct challenge challenge;
    clearance_write(text, &keys, &holder, &clearance);
    assert_int_not_equal(read(span_of(text, sizeof(text)), NOW, &challenge), TOKEN_GOOD);
    assert_int_not_equal(clearance_read(&keys, &holder, make(SPAN("/"), 9), NOW, &clearance),
                         TOKEN_GOOD);
    struct span whole = make(SPAN("/x"), 16);
    holder.host = SPAN("shop.tes");
    holder.ciphers = SPAN("t8daaf6152771");
    assert_int_equal(read(whole, NOW, &challenge), TOKEN_FORGED);
}

static struct span prove(struct span seed, unsigned bits, char *buffer, size_t size)
{
    for (unsigned i = 0;; i++) {
        struct text text = text_fixed(buffer, size);
        text_uint(&text, i);
        if (challenge_proved(seed, bits, text_span(&text)))
            return text_span(&text);
    }
}

static void proofs(void **state)
{
    (void)state;
    char buffer[32];
    struct span seed = challenge_seed(make(SPAN("/x"), 10));
    struct span proof = prove(seed, 10, buffer, sizeof(buffer));
    assert_true(challenge_proved(seed, 9, proof));
    assert_true(challenge_proved(seed, 0, proof));
    assert_false(challenge_proved(seed, CHALLENGE_BITS_MAX + 1, proof));
    assert_false(challenge_proved(seed, 0, SPAN("")));
    assert_false(challenge_proved(seed, 0, SPAN("1x")));
    assert_false(challenge_proved(seed, 0, SPAN("-1")));
    assert_true(challenge_proved(seed, 0, SPAN("12345678901234567890")));
    assert_false(challenge_proved(seed, 0, SPAN("123456789012345678901")));
    assert_false(challenge_proved(span_sub(seed, 1, seed.len), 0, proof));
    /* By another program: 055dd7... and 334775... */
    seed = SPAN("0123456789012345678901");
    assert_true(challenge_proved(seed, 5, SPAN("8")));
    assert_false(challenge_proved(seed, 6, SPAN("8")));
    assert_true(challenge_proved(seed, 2, SPAN("5")));
    assert_false(challenge_proved(seed, 3, SPAN("5")));
}

static void clearances(void **state)
{
    (void)state;
    char text[CLEARANCE_TEXT_BYTES];
    struct clearance clearance = {
        .issued_s = NOW, .clear_s = 3600, .bits = 16, .proved = true
    };
    struct span span = span_of(text, sizeof(text));
    clearance_write(text, &keys, &holder, &clearance);
    clearance = (struct clearance){ .bits = 0 };
    assert_int_equal(clearance_read(&keys, &holder, span, NOW + 3599, &clearance), TOKEN_GOOD);
    assert_int_equal(clearance.bits, 16);
    assert_true(clearance.proved);
    assert_int_equal(clearance_read(&keys, &holder, span, NOW + 3600, &clearance),
                     TOKEN_EXPIRED);
    assert_int_equal(
        clearance_read(&keys, &holder, span_sub(span, 0, span.len - 1), NOW, &clearance),
        TOKEN_MALFORMED);
    text[0] = 'B';
    assert_in_range(clearance_read(&keys, &holder, span, NOW, &clearance), TOKEN_MALFORMED,
                    TOKEN_FORGED);
    /* Not longer than its key is known, whatever it says. */
    clearance =
        (struct clearance){ .issued_s = NOW, .clear_s = CLEARANCE_S_MAX + 1, .bits = 16 };
    clearance_write(text, &keys, &holder, &clearance);
    assert_int_equal(clearance_read(&keys, &holder, span, NOW, &clearance), TOKEN_EXPIRED);
}

/* Of two days each has a key of its own, and texts of both are read in any order. */
static void keys_change_with_the_day(void **state)
{
    (void)state;
    char first[CLEARANCE_TEXT_BYTES], second[CLEARANCE_TEXT_BYTES];
    uint32_t day = NOW / BOT_KEY_S * BOT_KEY_S;
    struct clearance clearance = { .issued_s = day - 1, .clear_s = 3600 };
    clearance_write(first, &keys, &holder, &clearance);
    uint8_t old[BOT_KEY_BYTES];
    memcpy(old, keys.kept[((day - 1) / BOT_KEY_S + 1) & 1].key, sizeof(old));
    clearance.issued_s = day;
    clearance_write(second, &keys, &holder, &clearance);
    assert_memory_not_equal(old, keys.kept[(day / BOT_KEY_S + 1) & 1].key, sizeof(old));
    for (unsigned i = 0; i < 3; i++) {
        assert_int_equal(
            clearance_read(&keys, &holder, span_of(first, sizeof(first)), day + 1, &clearance),
            TOKEN_GOOD);
        assert_int_equal(clearance_read(&keys, &holder, span_of(second, sizeof(second)),
                                        day + 1, &clearance),
                         TOKEN_GOOD);
    }
}

#define CASE(fn) cmocka_unit_test_setup_teardown(fn, set_up, tear_down)

int main(void)
{
    return RUN(CASE(what_was_written_is_read), CASE(targets_have_a_limit), CASE(it_ends),
               CASE(nothing_of_it_can_be_changed), CASE(parts_do_not_run_into_one_another),
               CASE(proofs), CASE(clearances), CASE(keys_change_with_the_day));
}
