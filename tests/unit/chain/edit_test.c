/* Edits: what may be proposed, and what the fields are afterwards. */
#include "tests/unit/chain/bench.h"

static const char *listing(const struct fields *fields)
{
    static char buffer[1024];
    struct text out = text_fixed(buffer, sizeof(buffer));
    for (unsigned i = 0; i < fields->count; i++) {
        if (fields->items[i].dropped)
            continue;
        text_add(&out, fields->items[i].name);
        text_char(&out, '=');
        text_add(&out, fields->items[i].value);
        text_char(&out, ';');
    }
    const char *text = text_cstring(&out);
    assert_non_null(text);
    return text;
}

static struct fields sent(void)
{
    struct fields fields;
    assert_int_equal(fields_init(&fields, &arena, 2), OK);
    assert_int_equal(fields_add(&fields, &arena, SPAN("X-User"), SPAN("root")), OK);
    assert_int_equal(fields_add(&fields, &arena, SPAN("x_user"), SPAN("root")), OK);
    assert_int_equal(fields_add(&fields, &arena, SPAN("X.USER"), SPAN("root")), OK);
    assert_int_equal(fields_add(&fields, &arena, SPAN("Accept"), SPAN("a")), OK);
    return fields;
}

static void test_lent_fields_have_one_author(void **state)
{
    (void)state;
    struct fields fields = sent();
    assert_true(edit_lend_field(&txn, SPAN("X-User"), SPAN("alice")));
    assert_string_equal(listing(&fields), "X-User=root;x_user=root;X.USER=root;Accept=a;");
    assert_int_equal(edits_apply(&txn, EDIT_REQUEST, &fields), OK);
    assert_string_equal(listing(&fields), "Accept=a;X-User=alice;");
}

static void test_trailers_do_not_undo_edits(void **state)
{
    (void)state;
    struct fields trailers = sent(), none = { 0 };
    assert_true(edit_lend_field(&txn, SPAN("X-User"), SPAN("alice")));
    assert_true(edit_field(&txn, EDIT_RESPONSE, EDIT_DROP, SPAN("accept"), SPAN("")));
    edits_guard_trailers(&txn, EDIT_REQUEST, &none);
    edits_guard_trailers(&txn, EDIT_REQUEST, &trailers);
    assert_string_equal(listing(&trailers), "Accept=a;");
    edits_guard_trailers(&txn, EDIT_RESPONSE, &trailers);
    assert_string_equal(listing(&trailers), "");
}

static void test_lent_names_are_ours_on_the_whole_site(void **state)
{
    (void)state;
    static const struct {
        const char *lender; /* NULL: all sites */
        const char *left;
    } rows[] = {
        { "shop", "Accept=a;" },
        { NULL, "Accept=a;" },
        { "blog", "X-User=root;x_user=root;X.USER=root;Accept=a;" },
    };
    static const struct site shop = { .name = "shop" };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct fields fields = sent();
        struct config lending = { 0 };
        struct setup setup = { .arena = &arena, .config = &lending, .site = rows[i].lender };
        struct txn other = { .config = &lending, .site = &shop };
        lent_fields_drop(&other, &fields);
        assert_true(lend_field(&setup, SPAN("X-User")));
        lent_fields_drop(&other, &fields);
        assert_string_equal(listing(&fields), rows[i].left);
    }
}

static void test_kinds_in_order(void **state)
{
    (void)state;
    struct fields fields = sent();
    assert_true(edit_field(&txn, EDIT_RESPONSE, EDIT_DROP, SPAN("x-user"), SPAN("")));
    assert_true(edit_field(&txn, EDIT_RESPONSE, EDIT_SET, SPAN("ACCEPT"), SPAN("b")));
    assert_true(edit_field(&txn, EDIT_RESPONSE, EDIT_ADD, SPAN("Accept"), SPAN("c")));
    assert_true(edit_field(&txn, EDIT_RESPONSE, EDIT_DEFAULT, SPAN("accept"), SPAN("d")));
    assert_true(edit_field(&txn, EDIT_RESPONSE, EDIT_DEFAULT, SPAN("Server"), SPAN("e")));
    assert_true(edit_field(&txn, EDIT_REQUEST, EDIT_DROP, SPAN("accept"), SPAN("")));
    assert_int_equal(edits_apply(&txn, EDIT_RESPONSE, &fields), OK);
    assert_string_equal(listing(&fields),
                        "x_user=root;X.USER=root;ACCEPT=b;Accept=c;Server=e;");
}

static void test_ready_ones_go_between_the_others(void **state)
{
    (void)state;
    struct fields fields = sent();
    struct ready_edit ready[3];
    assert_true(edit_make(&ready[0], EDIT_DROP, SPAN("x-user"), SPAN("")));
    assert_true(edit_make(&ready[1], EDIT_SET, SPAN("X-Frame"), SPAN("DENY")));
    assert_true(edit_make(&ready[2], EDIT_DEFAULT, SPAN("Server"), SPAN("none")));
    assert_false(edit_make(&ready[2], EDIT_SET, SPAN("Host"), SPAN("a")));
    assert_false(edit_make(&ready[2], EDIT_SET, SPAN("X-A"), SPAN("b ")));
    assert_true(edit_make(&ready[2], EDIT_DEFAULT, SPAN("Server"), SPAN("none")));
    assert_true(edit_field(&txn, EDIT_RESPONSE, EDIT_ADD, SPAN("X-Frame"), SPAN("first")));
    assert_true(edits_propose(&txn, EDIT_RESPONSE, ready, ARRAY_LEN(ready)));
    assert_true(edits_propose(&txn, EDIT_REQUEST, ready, 1));
    assert_true(edits_propose(&txn, EDIT_RESPONSE, ready, 0));
    assert_true(edit_field(&txn, EDIT_RESPONSE, EDIT_ADD, SPAN("X-Frame"), SPAN("last")));
    assert_int_equal(edits_apply(&txn, EDIT_RESPONSE, &fields), OK);
    assert_string_equal(
        listing(&fields),
        "x_user=root;X.USER=root;Accept=a;X-Frame=DENY;Server=none;X-Frame=last;");
    edits_guard_trailers(&txn, EDIT_REQUEST, &fields); /* every alias */
    assert_string_equal(listing(&fields), "Accept=a;X-Frame=DENY;Server=none;X-Frame=last;");
}

/* Names that are as long as others modulo 64, and such as an edit before has brought. */
static void test_names_are_found_whatever_their_length(void **state)
{
    (void)state;
    static const char name[] =
        "x-aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
        "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa";
    for (size_t len = 1; len < sizeof(name); len++) {
        struct span named = span_of(name, len);
        struct fields fields;
        txn.edits = NULL;
        txn.edits_tail = &txn.edits;
        assert_int_equal(fields_init(&fields, &arena, 1), OK);
        assert_int_equal(fields_add(&fields, &arena, named, SPAN("theirs")), OK);
        assert_true(edit_field(&txn, EDIT_RESPONSE, EDIT_DEFAULT, named, SPAN("1")));
        assert_true(edit_field(&txn, EDIT_RESPONSE, EDIT_SET, named, SPAN("2")));
        assert_true(edit_field(&txn, EDIT_RESPONSE, EDIT_DROP, named, SPAN("")));
        assert_true(edit_field(&txn, EDIT_RESPONSE, EDIT_ADD, named, SPAN("3")));
        assert_true(edit_field(&txn, EDIT_RESPONSE, EDIT_DEFAULT, named, SPAN("4")));
        assert_int_equal(edits_apply(&txn, EDIT_RESPONSE, &fields), OK);
        assert_int_equal(fields.count, 3);
        assert_true(fields.items[0].dropped && fields.items[1].dropped);
        assert_false(fields.items[2].dropped);
        assert_true(span_equal(fields.items[2].value, SPAN("3")));
    }
}

static void test_what_may_not_be_proposed(void **state)
{
    (void)state;
    static const struct {
        struct span name, value;
        bool allowed;
    } cases[] = {
        { SPAN_INIT("X-A"), SPAN_INIT("b"), true },
        { SPAN_INIT("X-A"), SPAN_INIT(""), true },
        { SPAN_INIT("X-A"), SPAN_INIT("a b\tc \x80"), true },
        { SPAN_INIT("X-A"), SPAN_INIT("b\r\nSet-Cookie: c"), false },
        { SPAN_INIT("X-A"), SPAN_INIT("b\n"), false },
        { SPAN_INIT("X-A"), SPAN_INIT("b\0"), false },
        { SPAN_INIT("X-A"), SPAN_INIT("b\x7f"), false },
        { SPAN_INIT("X-A"), SPAN_INIT(" b"), false },
        { SPAN_INIT(""), SPAN_INIT("b"), false },
        { SPAN_INIT("X A"), SPAN_INIT("b"), false },
        { SPAN_INIT("X-A:"), SPAN_INIT("b"), false },
        { SPAN_INIT("X-\xc3\xa4"), SPAN_INIT("b"), false },
        { SPAN_INIT("Content-Length"), SPAN_INIT("5"), false },
        { SPAN_INIT("transfer-encoding"), SPAN_INIT("chunked"), false },
        { SPAN_INIT("Connection"), SPAN_INIT("close"), false },
        { SPAN_INIT("HOST"), SPAN_INIT("a"), false },
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++)
        assert_int_equal(
            edit_field(&txn, EDIT_RESPONSE, EDIT_SET, cases[i].name, cases[i].value),
            cases[i].allowed);
}

static void test_out_of_memory_says_so(void **state)
{
    (void)state;
    arena_init(&arena, NULL, 0, NULL, 0);
    assert_false(edit_field(&txn, EDIT_RESPONSE, EDIT_SET, SPAN("X-A"), SPAN("b")));
    assert_false(edits_propose(&txn, EDIT_RESPONSE, NULL, 0));
    assert_null(txn.edits);
}

static void test_own_cookies_stay_here(void **state)
{
    (void)state;
    static const struct {
        const char *sent, *left;
    } rows[] = {
        { "a=1; __Host-sallyport=x; b=2", "Cookie=a=1; b=2;" },
        { "__Host-sallyport=x", "" },
        { "__host-SALLYPORT-signin=x;;a=1", "Cookie=a=1;" },
        { "a=\"; __Host-sallyport=x; b=\"", "Cookie=a=\"; b=\";" }, /* quotes hide nothing */
        { "__Host-sally=x; a=__Host-sallyport", "Cookie=__Host-sally=x; a=__Host-sallyport;" },
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct fields fields;
        assert_int_equal(fields_init(&fields, &arena, 1), OK);
        assert_int_equal(fields_add(&fields, &arena, SPAN("Cookie"), span_text(rows[i].sent)),
                         OK);
        assert_true(own_cookies_hide(&txn, &fields));
        assert_string_equal(listing(&fields), rows[i].left);
    }
}

static void test_own_cookies_are_not_set_by_others(void **state)
{
    (void)state;
    struct fields fields;
    assert_int_equal(fields_init(&fields, &arena, 2), OK);
    assert_int_equal(fields_add(&fields, &arena, SPAN("Set-Cookie"), SPAN("a=1; Path=/")), OK);
    assert_int_equal(
        fields_add(&fields, &arena, SPAN("set-cookie"), SPAN("__HOST-sallyport=x; Path=/")),
        OK);
    own_cookies_refuse(&fields);
    assert_string_equal(listing(&fields), "Set-Cookie=a=1; Path=/;");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        BENCH_TEST(test_lent_fields_have_one_author),
        BENCH_TEST(test_trailers_do_not_undo_edits),
        BENCH_TEST(test_lent_names_are_ours_on_the_whole_site),
        BENCH_TEST(test_kinds_in_order),
        BENCH_TEST(test_ready_ones_go_between_the_others),
        BENCH_TEST(test_names_are_found_whatever_their_length),
        BENCH_TEST(test_what_may_not_be_proposed),
        BENCH_TEST(test_out_of_memory_says_so),
        BENCH_TEST(test_own_cookies_stay_here),
        BENCH_TEST(test_own_cookies_are_not_set_by_others),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
