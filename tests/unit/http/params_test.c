/* Pairs of queries and cookies: order, repeats, decoding once, and the limit. */
#include "gateway/http/cookie.h"
#include "gateway/http/params.h"

#include "tests/unit/http/http.h"

static void test_query(void **state)
{
    static const struct param expected[] = {
        { SPAN_INIT("a"), SPAN_INIT("1") },        { SPAN_INIT("a"), SPAN_INIT("2") },
        { SPAN_INIT("b"), SPAN_INIT("") },         { SPAN_INIT("c"), SPAN_INIT("") },
        { SPAN_INIT(""), SPAN_INIT("d") },         { SPAN_INIT("e[]"), SPAN_INIT("f=g") },
        { SPAN_INIT("h i"), SPAN_INIT("j%6B\0") }, { SPAN_INIT("k"), SPAN_INIT("1;l=2") },
        { SPAN_INIT("m"), SPAN_INIT("%zz") },      { SPAN_INIT(""), SPAN_INIT("") },
    };
    struct params params;

    (void)state;
    assert_int_equal(params_parse(&params,
                                  SPAN("a=1&a=2&b&&c=&=d&e%5b%5D=f=g&h+i=j%256B%00&k=1;l=2"
                                       "&m=%zz&=&"),
                                  100, fresh_arena()),
                     OK);
    assert_int_equal(params.count, ARRAY_LEN(expected));
    for (size_t i = 0; i < ARRAY_LEN(expected); i++) {
        assert_span(params.items[i].name, expected[i].name);
        assert_span(params.items[i].value, expected[i].value);
    }
    assert_text(params_find(&params, SPAN("a"))->value, "1");
    assert_null(params_find(&params, SPAN("A")));
    assert_int_equal(params_parse(&params, SPAN(""), 1, fresh_arena()), OK);
    assert_int_equal(params.count, 0);
    assert_int_equal(params_parse(&params, (struct span){ NULL, 0 }, 1, fresh_arena()), OK);
}

static void test_cookies(void **state)
{
    struct params params = { 0 };
    struct arena *arena = fresh_arena();

    (void)state;
    assert_int_equal(cookies_parse(&params, SPAN("a=1; b=\"2%20\" ;;c ; =d"), 10, arena), OK);
    assert_int_equal(cookies_parse(&params, SPAN("a = 3=4"), 10, arena), OK);
    assert_int_equal(params.count, 5);
    assert_text(params.items[1].value, "\"2%20\"");
    assert_text(params.items[2].name, "c");
    assert_text(params.items[3].name, "");
    assert_text(params.items[3].value, "d");
    assert_text(params.items[4].name, "a");
    assert_text(params.items[4].value, "3=4");
}

static void test_cookies_v0(void **state)
{
    static const struct param expected[] = {
        { SPAN_INIT("a"), SPAN_INIT("1 ") },      { SPAN_INIT("b "), SPAN_INIT(" \"2%20\"") },
        { SPAN_INIT("c"), SPAN_INIT("") },        { SPAN_INIT("$Version"), SPAN_INIT("1") },
        { SPAN_INIT("d"), SPAN_INIT("3=4,e=5") },
    };
    struct params params = { 0 };
    struct arena *arena = fresh_arena();

    (void)state;
    assert_int_equal(
        cookies_split_v0(&params, SPAN("a=1 ;\t b = \"2%20\";;c; =x; ;$Version=1"), 5, arena),
        OK);
    assert_int_equal(cookies_split_v0(&params, SPAN("d=3=4,e=5"), 5, arena), OK);
    assert_int_equal(params.count, ARRAY_LEN(expected));
    for (size_t i = 0; i < ARRAY_LEN(expected); i++) {
        assert_span(params.items[i].name, expected[i].name);
        assert_span(params.items[i].value, expected[i].value);
    }
    assert_int_equal(cookies_split_v0(&params, SPAN("f=1"), 5, arena), ERR_LIMIT);
}

/* At the limit, over it, and past every growth of the array. */
static void test_limit(void **state)
{
    char buffer[1200];
    struct text text = text_fixed(buffer, sizeof buffer);
    struct params params;
    struct arena small;

    (void)state;
    for (int i = 0; i < 200; i++)
        text_format(&text, "%d=x&", i);
    assert_int_equal(params_parse(&params, text_span(&text), 200, fresh_arena()), OK);
    assert_int_equal(params.count, 200);
    assert_text(params.items[0].name, "0");
    assert_text(params.items[199].name, "199");
    assert_int_equal(params_parse(&params, text_span(&text), 199, fresh_arena()), ERR_LIMIT);

    params = (struct params){ 0 };
    assert_int_equal(cookies_parse(&params, SPAN("a=1;b=2"), 2, fresh_arena()), OK);
    assert_int_equal(cookies_parse(&params, SPAN("c=3"), 2, &memory), ERR_LIMIT);
    assert_int_equal(params.count, 2);

    arena_init(&small, NULL, 0, NULL, 1);
    assert_int_equal(params_parse(&params, SPAN("a=1"), 2, &small), ERR_MEMORY);
    arena_reset(&small);
}

int main(void)
{
    return finish(
        RUN(TEST(test_query), TEST(test_cookies), TEST(test_cookies_v0), TEST(test_limit)));
}
