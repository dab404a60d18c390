/* The field array, its names, aliases and lists; methods and errors, the other tables. */
#include "gateway/http/fields.h"

#include "gateway/http/names.h"
#include "gateway/http/section.h"
#include "tests/unit/http/http.h"

/* A row of field.def without its slot fails here. */
static void test_every_name(void **state)
{
    (void)state;
    for (unsigned id = 1; id < FIELD_ID_COUNT; id++) {
        struct span name = field_name((enum field_id)id);
        char other[64];
        assert_true(name.len > 0 && name.len + 2 <= FIELD_WIRE_BYTES);
        assert_int_equal(field_id_of(name), id);
        for (size_t i = 0; i < name.len; i++)
            other[i] = (char)(ascii_lower(name.p[i]) == name.p[i] && name.p[i] >= 'a'
                                  ? name.p[i] - 32
                                  : ascii_lower(name.p[i]));
        memset(other + name.len, ':', sizeof other - name.len);
        assert_int_equal(field_id_of(span_of(other, name.len)), id);
        assert_int_equal(field_id_of_token(span_of(other, name.len), true), id);
        for (size_t i = 0; i < name.len; i++) {
            char kept = other[i];
            other[i] = '~';
            assert_int_equal(field_id_of_token(span_of(other, name.len), true), FIELD_OTHER);
            assert_int_equal(field_id_of(span_of(other, name.len)), FIELD_OTHER);
            other[i] = kept;
        }
        assert_int_equal(field_id_of_token(span_of(other, name.len - 1), true),
                         field_id_of(span_of(other, name.len - 1)));
    }
    assert_int_equal(field_id_of(SPAN("")), FIELD_OTHER);
    assert_int_equal(field_id_of(SPAN("Content\rLength")), FIELD_OTHER);
    assert_int_equal(field_id_of_alias(SPAN("content_LENGTH")), FIELD_CONTENT_LENGTH);
    assert_int_equal(field_flags(FIELD_HOST), FIELD_SINGLE);
    assert_int_equal(field_flags(FIELD_TE), FIELD_HOP);
}

static void test_add(void **state)
{
    struct arena *arena = fresh_arena();
    struct fields fields;

    (void)state;
    assert_int_equal(fields_init(&fields, arena, 1), OK);
    assert_int_equal(fields_add(&fields, arena, SPAN("X-User"), SPAN(" a b\t")), OK);
    assert_int_equal(fields_add(&fields, arena, SPAN("host"), SPAN("")), OK);
    assert_int_equal(fields_add(&fields, arena, SPAN("x_y"), SPAN("\xc3\xa4")), OK);
    assert_text(fields.items[0].value, "a b");
    assert_int_equal(fields.items[1].id, FIELD_HOST);
    assert_true(fields_have(&fields, FIELD_HOST));
    assert_true(fields.items[2].odd && fields.odd && !fields.items[0].odd);
    /* what a stage lends cannot end a line */
    assert_int_equal(fields_add(&fields, arena, SPAN("X-User"), SPAN("a\r\nHost: b")),
                     ERR_SYNTAX);
    assert_int_equal(fields_add(&fields, arena, SPAN("X-User"), SPAN("a\0")), ERR_SYNTAX);
    assert_int_equal(fields_add(&fields, arena, SPAN("X User"), SPAN("a")), ERR_SYNTAX);
    assert_int_equal(fields_add(&fields, arena, SPAN("X:"), SPAN("a")), ERR_SYNTAX);
    assert_int_equal(fields_add(&fields, arena, SPAN(""), SPAN("a")), ERR_SYNTAX);
    assert_int_equal(fields.count, 3);
    for (unsigned i = 3; i < 200; i++)
        assert_int_equal(fields_add(&fields, arena, SPAN("A"), SPAN("b")), OK);
    assert_text(fields.items[0].value, "a b");
}

static void parse(struct fields *fields, struct span section)
{
    *fields = (struct fields){ 0 };
    assert_http(section_parse(fields, exact(section), 100, fresh_arena()), HTTP_OK);
}

/* What was made once goes into any message as if it had been added there. */
static void test_made_once(void **state)
{
    static const struct {
        struct span name, value;
    } bad[] = { { SPAN_INIT("X-A"), SPAN_INIT("a\r\nb: c") },
                { SPAN_INIT("X-A"), SPAN_INIT("a\x7f") },
                { SPAN_INIT("X A"), SPAN_INIT("a") },
                { SPAN_INIT(""), SPAN_INIT("a") } };
    struct arena *arena = fresh_arena();
    struct fields fields;
    struct field host, own, odd;

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(bad); i++)
        assert_int_equal(field_make(&own, bad[i].name, bad[i].value), ERR_SYNTAX);
    assert_int_equal(field_make(&host, SPAN("HOST"), SPAN(" a ")), OK);
    assert_int_equal(field_make(&own, SPAN("X-Own"), SPAN("b")), OK);
    assert_int_equal(field_make(&odd, SPAN("X_Own"), SPAN("c")), OK);
    assert_int_equal(fields_init(&fields, arena, 1), OK);
    assert_null(fields_like(&fields, &host));
    assert_null(fields_like(&fields, &own));
    assert_int_equal(fields_put(&fields, arena, &host), OK);
    assert_int_equal(fields_put(&fields, arena, &own), OK);
    assert_false(fields.odd);
    assert_int_equal(fields_put(&fields, arena, &odd), OK);
    assert_true(fields.odd && fields_have(&fields, FIELD_HOST) && fields.repeated == 0);
    assert_int_equal(fields_add(&fields, arena, SPAN("x-OWN"), SPAN("d")), OK);
    assert_int_equal(fields_add_known(&fields, arena, FIELD_HOST, SPAN("e\t")), OK);
    assert_int_equal(fields_add_known(&fields, arena, FIELD_VIA, SPAN("a\nb: c")), ERR_SYNTAX);
    assert_int_equal(fields.repeated, FIELD_BIT(HOST));
    assert_text(fields.items[4].name, "Host");
    assert_text(fields.items[4].value, "e");
    assert_int_equal(fields.count, 5);

    assert_ptr_equal(fields_like(&fields, &host), &fields.items[0]);
    assert_ptr_equal(fields_like(&fields, &own), &fields.items[1]);
    fields_drop_like(&fields, &own); /* in any case, and no alias */
    assert_null(fields_like(&fields, &own));
    assert_true(fields.items[1].dropped && fields.items[3].dropped && !fields.items[2].dropped);
    fields_drop_like(&fields, &host);
    assert_true(fields.items[0].dropped && fields.items[4].dropped);
    assert_null(fields_like(&fields, &host));
}

static void test_alias(void **state)
{
    struct fields fields;

    (void)state;
    assert_true(field_name_alias(SPAN("X-User"), SPAN("x_uSER")));
    assert_true(field_name_alias(SPAN("x.user"), SPAN("X_User")));
    assert_false(field_name_alias(SPAN("XUser"), SPAN("X-User")));
    assert_false(field_name_alias(SPAN("X-User"), SPAN("X-Usex")));

    parse(&fields,
          SPAN("X_User: 1\r\nx.user: 2\r\nX-USER: 3\r\nX-User-Id: 4\r\nA_B: 5\r\n\r\n"));
    fields_drop_alias(&fields, SPAN("X-User"));
    assert_true(fields.items[0].dropped && fields.items[1].dropped && fields.items[2].dropped);
    assert_false(fields.items[3].dropped || fields.items[4].dropped);
    assert_null(fields_find(&fields, SPAN("x-user")));
}

/* nobody strips client-sent X-Real-IP, Forwarded, True-Client-IP, X-Original-URL by default */
static void test_ours(void **state)
{
    struct fields fields;

    (void)state;
    parse(&fields, SPAN("X-Real-IP: 1\r\nForwarded: for=1.1.1.1\r\nTrue_Client_IP: 2\r\n"
                        "X-Original-URL: /\r\nx.forwarded_for: 3\r\nProxy: 4\r\n"
                        "Accept: 5\r\nA_B: 6\r\n\r\n"));
    fields_drop_ours(&fields);
    for (unsigned i = 0; i < fields.count; i++)
        assert_int_equal(fields.items[i].dropped, i < 6);
}

static void test_hop_by_hop(void **state)
{
    struct fields fields;

    (void)state;
    parse(&fields,
          SPAN("Connection: keep-alive\r\nConnection: X-A\r\nX-A: 1\r\nX-B: 2\r\n\r\n"));
    assert_true(fields_drop_hop_by_hop(&fields));
    assert_true(fields.items[0].dropped && fields.items[1].dropped && fields.items[2].dropped);
    assert_false(fields.items[3].dropped);
    parse(&fields, SPAN("Connection: keep-alive\r\nX_B: 2\r\nKeep_Alive: 3\r\n\r\n"));
    assert_true(fields_drop_hop_by_hop(&fields));
    assert_false(fields.items[1].dropped);
    assert_true(fields.items[2].dropped);
    parse(&fields, SPAN("Connection: Transfer_Encoding\r\n\r\n"));
    assert_false(fields_drop_hop_by_hop(&fields));
}

static void test_drop_and_find(void **state)
{
    struct fields fields;

    (void)state;
    parse(&fields, SPAN("X-A: 1\r\nCookie: 2\r\nx-a: 3\r\nCOOKIE: 4\r\n\r\n"));
    assert_text(fields_next(&fields, fields_find(&fields, SPAN("X-a")))->value, "3");
    fields_drop(&fields, FIELD_COOKIE);
    assert_null(fields_get(&fields, FIELD_COOKIE));
    assert_null(fields_value(&fields, FIELD_COOKIE).p);
    assert_true(fields_have(&fields, FIELD_COOKIE));
    assert_null(fields_get(&fields, FIELD_HOST));
    assert_null(fields_get(&fields, FIELD_OTHER));
    fields_drop(&fields, FIELD_OTHER);
    assert_false(fields.items[0].dropped);
}

static void test_lists(void **state)
{
    static const struct span members[] = {
        SPAN_INIT("a"), SPAN_INIT("\"b,c\""),   SPAN_INIT("d \"e\\\",f\" g"),
        SPAN_INIT("h"), SPAN_INIT("\"open, i"), SPAN_INIT("\"\\"),
    };
    struct fields fields;
    struct span member;
    size_t n = 0;

    (void)state;
    parse(&fields, SPAN("Via: a,\"b,c\" ,, d \"e\\\",f\" g\r\nVia: ,\r\nVia:\r\nVia: , h ,\r\n"
                        "Via: \"open, i\r\nVia: \"\\\r\n\r\n"));
    struct list_walk walk = list_walk(&fields, FIELD_VIA);
    for (; list_next(&walk, &member); n++)
        assert_span(member, members[n]);
    assert_int_equal(n, ARRAY_LEN(members));
    assert_true(fields_list_has(&fields, FIELD_VIA, SPAN("H")));
    assert_false(fields_list_has(&fields, FIELD_VIA, SPAN("b")));
    assert_false(fields_list_has(&fields, FIELD_TE, SPAN("a")));
    walk = list_walk(&fields, FIELD_TE);
    assert_false(list_next(&walk, &member));
}

static void test_methods_and_errors(void **state)
{
    (void)state;
    assert_int_equal(method_of(SPAN("GET")), METHOD_GET);
    assert_int_equal(method_of(SPAN("TRACE")), METHOD_TRACE);
    assert_int_equal(method_of(SPAN("get")), METHOD_OTHER);
    assert_int_equal(method_of(SPAN("")), METHOD_OTHER);
    assert_true(method_is_idempotent(METHOD_PUT));
    assert_false(method_is_idempotent(METHOD_POST));
    assert_false(method_is_idempotent(METHOD_OTHER));
    for (unsigned i = 1; i < HTTP_ERROR_COUNT; i++) {
        int status = http_error_status((enum http_error)i);
        assert_true(status >= 400 && status <= 599);
        assert_true(http_error_slug((enum http_error)i).len > 0);
    }
}

int main(void)
{
    return finish(RUN(TEST(test_every_name), TEST(test_add), TEST(test_made_once),
                      TEST(test_alias), TEST(test_ours), TEST(test_hop_by_hop),
                      TEST(test_drop_and_find), TEST(test_lists),
                      TEST(test_methods_and_errors)));
}
