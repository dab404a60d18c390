/* What is answered to a certificate authority, and nothing else. */
#include "gateway/net/challenge.h"

#include "tests/unit/check.h"

#define TOKEN "0123456789abcdef"
#define ANSWER TOKEN ".print"

static struct challenges block;

static struct span open_block(void)
{
    memset(&block, 0, sizeof(block));
    block.magic = CHALLENGES_MAGIC;
    block.count = 2;
    block.items[0] = (struct challenge){ .name = "a.test", .token = TOKEN, .answer = ANSWER };
    block.items[1] = (struct challenge){ .name = "b.test", .cert_len = 1, .key_len = 1 };
    return span_of((const char *)&block, challenges_size(2));
}

static void test_answers(void **state)
{
    (void)state;
    struct span bytes = open_block();
    static const struct {
        const char *host, *path;
        bool answered;
    } rows[] = {
        { "a.test", CHALLENGE_PATH TOKEN, true },
        { "A.TEST", CHALLENGE_PATH TOKEN, true },
        { "b.test", CHALLENGE_PATH TOKEN, false },
        { "", CHALLENGE_PATH TOKEN, false },
        { "a.test", CHALLENGE_PATH TOKEN "/", false },
        { "a.test", CHALLENGE_PATH TOKEN "x", false },
        { "a.test", CHALLENGE_PATH "0123456789abcde", false },
        { "a.test", CHALLENGE_PATH "0123456789ABCDEF", false },
        { "b.test", CHALLENGE_PATH, false },
        { "a.test", CHALLENGE_PATH, false },
        { "a.test", "/.well-known/acme-challenge", false },
        { "a.test", "/" TOKEN, false },
    };
    assert_true(challenges_valid(bytes));
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct span answer =
            challenge_answer(bytes, span_text(rows[i].host), span_text(rows[i].path));
        assert_span(answer, rows[i].answered ? SPAN(ANSWER) : SPAN(""));
    }
    assert_int_equal(
        challenge_answer(span_of(NULL, 0), SPAN("a.test"), SPAN(CHALLENGE_PATH TOKEN)).len, 0);
    assert_ptr_equal(challenge_certificate(bytes, SPAN("b.test")),
                     &((const struct challenges *)(const void *)bytes.p)->items[1]);
    assert_null(challenge_certificate(bytes, SPAN("a.test")));
    assert_null(challenge_certificate(bytes, SPAN("")));
    assert_null(challenge_certificate(span_of(NULL, 0), SPAN("b.test")));
}

static void test_blocks(void **state)
{
    (void)state;
    struct span bytes = open_block();

    assert_false(challenges_valid(span_of(bytes.p, bytes.len - 1)));
    assert_false(challenges_valid(span_of(bytes.p, 4)));
    block.count = 3;
    assert_false(challenges_valid(bytes));
    block.count = CHALLENGES_MAX;
    assert_false(challenges_valid(span_of(bytes.p, challenges_size(CHALLENGES_MAX))));
    for (unsigned i = 0; i < CHALLENGES_MAX; i++)
        block.items[i] = block.items[i % 2];
    assert_true(challenges_valid(span_of(bytes.p, challenges_size(CHALLENGES_MAX))));
    block.count = CHALLENGES_MAX + 1;
    assert_false(challenges_valid(span_of(bytes.p, challenges_size(CHALLENGES_MAX))));
    (void)open_block();
    block.items[0].answer[0] = 'x'; /* not the token's */
    assert_false(challenges_valid(bytes));
    (void)open_block();
    block.items[0].token[0] = '/';
    assert_false(challenges_valid(bytes));
    (void)open_block();
    memset(block.items[0].name, 'x', sizeof(block.items[0].name)); /* without an end */
    assert_false(challenges_valid(bytes));
    (void)open_block();
    block.items[1].cert_len = CHALLENGE_CERT_MAX + 1;
    assert_false(challenges_valid(bytes));
    (void)open_block();
    block.items[1].cert_len = 0;
    assert_false(challenges_valid(bytes));
}

static void test_tokens(void **state)
{
    (void)state;
    static char longest[CHALLENGE_TOKEN_MAX + 1];
    memset(longest, 'x', sizeof(longest));
    assert_true(challenge_token_valid(span_of(longest, CHALLENGE_TOKEN_MIN)));
    assert_false(challenge_token_valid(span_of(longest, CHALLENGE_TOKEN_MIN - 1)));
    assert_true(challenge_token_valid(span_of(longest, CHALLENGE_TOKEN_MAX)));
    assert_false(challenge_token_valid(span_of(longest, CHALLENGE_TOKEN_MAX + 1)));
    assert_false(challenge_token_valid(SPAN("0123456789.abcdef")));
    assert_false(challenge_token_valid(SPAN("0123456789%2fabcdef")));
}

int main(void)
{
    return RUN(TEST(test_answers), TEST(test_blocks), TEST(test_tokens));
}
