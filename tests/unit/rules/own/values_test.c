/* Values that only rules of the configuration look at: of bodies read as what they look like,
 * long texts in windows, binary data, trailers. */
#include "rules/own/values.h"

#include "rules/bodies.h"
#include "tests/unit/check.h"

static struct arena arena;
static struct request req;
static struct sec_values values;

static int begin(void **state)
{
    (void)state;
    arena_init(&arena, NULL, 0, NULL, 1 << 26);
    req = (struct request){ .method = SPAN("POST"), .host = SPAN("h"), .path = SPAN("/p") };
    assert_int_equal(fields_init(&req.fields, &arena, 4), OK);
    assert_int_equal(fields_init(&req.trailers, &arena, 4), OK);
    sec_values_init(&values, &arena);
    return 0;
}

static int end(void **state)
{
    (void)state;
    arena_reset(&arena);
    return 0;
}

static void read_body(const char *type, struct span text, bool alone)
{
    struct body_limits limits;
    bodies_limits(&limits, 100, &(struct siphash_key){ 1, 2 });
    assert_int_equal(fields_add(&req.fields, &arena, SPAN("Content-Type"), span_text(type)),
                     OK);
    struct body *body = body_open(&req.fields, text, PROCESSOR_AUTO, &limits, &arena);
    assert_non_null(body);
    while (!body_run(body, 7))
        ;
    assert_int_equal(body->err, OK);
    assert_int_equal(own_values_body(&values, &req, body, alone), OK);
}

/* "name=text" of each value, separated by a bar. */
static struct span listed(enum variable var)
{
    struct text text = text_growing(&arena, 256);
    for (unsigned i = 0; i < values.lists[var].count; i++) {
        const struct sec_value *value = values.lists[var].items[i];
        text_add(&text, i > 0 ? SPAN("|") : SPAN(""));
        text_add(&text, value->key);
        text_char(&text, '=');
        text_add(&text, value->text);
    }
    return text_span(&text);
}

static void json_alone_and_beside(void **state)
{
    (void)state;
    read_body("text/plain", SPAN("{\"a\":{\"b\":\"x\"},\"c\":{}}"), true);
    assert_text(listed(VAR_OWN_ARGS), "a.b=x");
    assert_text(listed(VAR_OWN_ARGS_NAMES), "a.b=a.b|c=c");
    assert_text(listed(VAR_OWN_BODY), "={\"a\":{\"b\":\"x\"},\"c\":{}}");
}

/* Its arguments stand among SecLang's. */
static void json_as_it_is_labelled(void **state)
{
    (void)state;
    read_body("application/json", SPAN("{\"a\":\"x\"}"), false);
    assert_int_equal(values.lists[VAR_OWN_ARGS].count, 0);
    assert_text(listed(VAR_OWN_BODY), "={\"a\":\"x\"}");
}

static void attributes_have_names(void **state)
{
    (void)state;
    read_body("text/xml", SPAN("<a k=\"v\">t&amp;u</a>"), false);
    assert_text(listed(VAR_OWN_ARGS), "k=v");
    assert_text(listed(VAR_OWN_ARGS_NAMES), "k=k");
    assert_int_equal(values.lists[VAR_OWN_BODY].count, 2); /* the body, and the decoded text */
}

static void forms_are_no_text(void **state)
{
    (void)state;
    read_body("application/x-www-form-urlencoded", SPAN("a=b&c=d"), false);
    assert_int_equal(values.lists[VAR_OWN_BODY].count, 0);
}

static void binary_data_comes_down_to_its_text(void **state)
{
    (void)state;
    read_body("image/png", SPAN("\x01\x02short\x03 a long run of text\x04"), false);
    assert_text(listed(VAR_OWN_BODY), "= a long run of text");
}

static void trailers(void **state)
{
    (void)state;
    assert_int_equal(fields_add(&req.trailers, &arena, SPAN("X-Sum"), SPAN("evil")), OK);
    assert_int_equal(own_values_trailers(&values, &req), OK);
    assert_text(listed(VAR_REQUEST_HEADERS), "X-Sum=evil");
}

static void windows(void **state)
{
    (void)state;
    enum { STEP = OWN_WINDOW_BYTES - OWN_WINDOW_OVERLAP };
    static const struct {
        size_t len;
        unsigned count;
    } rows[] = { { 1, 1 },
                 { OWN_WINDOW_BYTES, 1 },
                 { OWN_WINDOW_BYTES + 1, 2 },
                 { OWN_WINDOW_BYTES + STEP, 2 },
                 { OWN_WINDOW_BYTES + STEP + 1, 3 } };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        char *text = arena_alloc(&arena, rows[i].len);
        assert_non_null(text);
        memset(text, 'x', rows[i].len);
        assert_int_equal(fields_init(&req.fields, &arena, 4), OK);
        sec_values_init(&values, &arena);
        read_body("text/plain", span_of(text, rows[i].len), false);
        const struct sec_list *list = &values.lists[VAR_OWN_BODY];
        assert_int_equal(list->count, rows[i].count);
        for (unsigned w = 0; w < list->count; w++) {
            const struct sec_value *value = list->items[w];
            bool last = w + 1 == list->count;
            assert_int_equal(value->offset, w * STEP);
            assert_int_equal(value->goes_back, w > 0);
            assert_int_equal(value->goes_on, !last);
            assert_int_equal(value->text.len, last ? rows[i].len - w * STEP : OWN_WINDOW_BYTES);
        }
    }
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, begin, end)

int main(void)
{
    return RUN(CASE(json_alone_and_beside), CASE(json_as_it_is_labelled),
               CASE(attributes_have_names), CASE(forms_are_no_text),
               CASE(binary_data_comes_down_to_its_text), CASE(trailers), CASE(windows));
}
