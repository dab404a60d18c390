/* Replies as they come: whole, in pieces, at their caps, and numbers that no server writes. */
#include "gateway/store/redis_reply.h"

#include <stdlib.h>

#include "gateway/base/text.h"
#include "tests/unit/check.h"

static struct redis_parser *parser;

static enum err feed(const char *bytes)
{
    return redis_parser_feed(parser, span_text(bytes));
}

static const struct redis_value *next(void)
{
    const struct redis_value *value = NULL;
    assert_int_equal(redis_parser_next(parser, &value), OK);
    return value;
}

static int set_up(void **state)
{
    (void)state;
    parser = redis_parser_new();
    return parser == NULL;
}

static int tear_down(void **state)
{
    (void)state;
    redis_parser_free(parser);
    return 0;
}

static void is_numbers(const struct redis_value *value, unsigned count, const int64_t *numbers)
{
    assert_non_null(value);
    assert_int_equal(value->type, REDIS_ARRAY);
    assert_int_equal(value->count, count);
    for (unsigned i = 0; i < count; i++) {
        assert_int_equal(value->items[i].type, REDIS_INTEGER);
        assert_true(value->items[i].integer == numbers[i]);
    }
}

static void numbers_whole(void **state)
{
    (void)state;
    assert_int_equal(feed("*3\r\n:1\r\n:0\r\n:9007199254740992\r\n*1\r\n:7\r\n*0\r\n+OK\r\n"),
                     OK);
    is_numbers(next(), 3, (const int64_t[]){ 1, 0, 9007199254740992 });
    is_numbers(next(), 1, (const int64_t[]){ 7 });
    is_numbers(next(), 0, NULL);
    assert_int_equal(next()->type, REDIS_STATUS);
    assert_null(next());
}

/* However they are cut, also behind a reply of another kind. */
static void numbers_in_pieces(void **state)
{
    static const char all[] = "*2\r\n:12\r\n:345\r\n$2\r\nab\r\n*2\r\n:12\r\n:345\r\n";
    const size_t len = sizeof(all) - 1;
    (void)state;
    for (size_t cut = 1; cut < len; cut++) {
        unsigned lists = 0, texts = 0;
        const struct span pieces[] = { span_of(all, cut), span_of(all + cut, len - cut) };
        for (unsigned i = 0; i < 2; i++) {
            const struct redis_value *value;
            assert_int_equal(redis_parser_feed(parser, pieces[i]), OK);
            while ((value = next()) != NULL) {
                if (value->type == REDIS_ARRAY)
                    is_numbers(value, 2, (const int64_t[]){ 12, 345 });
                *(value->type == REDIS_ARRAY ? &lists : &texts) += 1;
            }
        }
        assert_int_equal(lists, 2);
        assert_int_equal(texts, 1);
    }
}

/* They are hiredis' to judge, which takes some and refuses some. */
static void numbers_of_other_kinds(void **state)
{
    const struct redis_value *value;
    (void)state;
    assert_int_equal(feed("*2\r\n:-5\r\n:9223372036854775807\r\n"), OK);
    is_numbers(next(), 2, (const int64_t[]){ -5, INT64_MAX });
    assert_null(next());
    assert_int_equal(feed("*2\r\n:1\r\n+OK\r\n"), OK);
    value = next();
    assert_int_equal(value->items[1].type, REDIS_STATUS);
    assert_null(next());
    assert_int_equal(feed("*1\r\n:1x\r\n"), OK);
    assert_int_equal(redis_parser_next(parser, &value), ERR_PROTOCOL);
}

static void counts_at_the_cap(void **state)
{
    const struct redis_value *value;
    size_t at = 0;
    (void)state;
    char *bytes = malloc((REDIS_VALUES_MAX + 1) * 4 + 16);
    assert_non_null(bytes);
    for (unsigned more = 0; more < 2; more++) {
        struct text text = text_fixed(bytes, 16);
        text_char(&text, '*');
        text_uint(&text, REDIS_VALUES_MAX + more);
        text_lit(&text, "\r\n");
        at = text_span(&text).len;
        for (unsigned i = 0; i < REDIS_VALUES_MAX + more; i++, at += 4)
            memcpy(bytes + at, ":1\r\n", 4);
        assert_int_equal(redis_parser_feed(parser, span_of(bytes, at)), OK);
        enum err err = redis_parser_next(parser, &value);
        assert_int_equal(err, more ? ERR_PROTOCOL : OK);
        if (more == 0) {
            assert_int_equal(value->count, REDIS_VALUES_MAX);
            assert_null(next());
        }
    }
    free(bytes);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(numbers_whole, set_up, tear_down),
        cmocka_unit_test_setup_teardown(numbers_in_pieces, set_up, tear_down),
        cmocka_unit_test_setup_teardown(numbers_of_other_kinds, set_up, tear_down),
        cmocka_unit_test_setup_teardown(counts_at_the_cap, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
