/* Targets: how rules select them, and which values a request has. */
#include "rules/bodies.h"
#include "rules/target.h"

#include <stdlib.h>

#include "tests/unit/check.h"

static struct arena arena;
static struct selectors selectors;
static struct request req;

#define BIT(target) (UINT64_C(1) << (target))
#define NAMED(i) (UINT64_C(1) << (TARGET_COUNT + (i)))

static int open_request(void **state)
{
    (void)state;
    arena_init(&arena, NULL, 0, NULL, 1 << 24);
    selectors = (struct selectors){ .count = 0 };
    req = (struct request){ .method = SPAN("POST"), .host = SPAN("h"), .path = SPAN("/p") };
    assert_int_equal(fields_init(&req.fields, &arena, 4), OK);
    assert_int_equal(fields_init(&req.trailers, &arena, 4), OK);
    return 0;
}

static int close_request(void **state)
{
    (void)state;
    arena_reset(&arena);
    return 0;
}

static void field(const char *name, const char *value)
{
    assert_int_equal(fields_add(&req.fields, &arena, span_text(name), span_text(value)), OK);
}

static uint64_t select_all(const char *const *names)
{
    uint64_t bits = 0;
    for (; *names != NULL; names++)
        assert_int_equal(selectors_add(&selectors, span_text(*names), &bits), OK);
    return bits;
}

static struct intake intake_of(uint64_t wanted)
{
    return (struct intake){ &selectors, wanted, 8, &arena };
}

/* "target:name=text" of each value, one a line. */
static struct span listed(const struct values *values)
{
    struct text text = text_growing(&arena, 256);
    for (unsigned i = 0; i < values->count; i++) {
        const struct value *value = &values->items[i];
        text_add(&text, span_text(targets[value->target].name));
        text_lit(&text, ":");
        text_add(&text, value->name);
        text_lit(&text, "=");
        text_add(&text, value->text);
        text_lit(&text, "\n");
    }
    return text_span(&text);
}

static struct span head_values(uint64_t wanted)
{
    struct values values;
    struct intake intake = intake_of(wanted);
    assert_int_equal(values_of_head(&values, &intake, &req), OK);
    return listed(&values);
}

static struct values read_body(uint64_t wanted, const char *text)
{
    struct values values;
    struct intake intake = intake_of(wanted);
    struct body_limits limits;
    bodies_limits(&limits, 100);
    struct body *body =
        body_open(&req.fields, span_text(text), PROCESSOR_AUTO, &limits, &arena);
    assert_non_null(body);
    while (!body_run(body, 7))
        ;
    assert_int_equal(body->err, OK);
    assert_int_equal(values_of_body(&values, &intake, &req, body), OK);
    return values;
}

static struct span body_values(uint64_t wanted, const char *text)
{
    struct values values = read_body(wanted, text);
    return listed(&values);
}

static void names_of_targets(void **state)
{
    (void)state;
    uint64_t bits = 0;
    for (unsigned i = 0; i < TARGET_COUNT; i++) {
        bits = 0;
        assert_int_equal(selectors_add(&selectors, span_text(targets[i].name), &bits), OK);
        assert_int_equal(bits, BIT(i));
    }
    bits = 0;
    assert_int_equal(selectors_add(&selectors, SPAN("all"), &bits), OK);
    assert_int_equal(bits, BIT(TARGET_COUNT) - 1);
    static const char *const unknown[] = { "",       "arg",    "header", "Path", "paths",
                                           "body:x", "path:x", "args:x", ":x",   "user-agent" };
    for (size_t i = 0; i < ARRAY_LEN(unknown); i++)
        assert_int_equal(selectors_add(&selectors, span_text(unknown[i]), &bits), ERR_UNKNOWN);
    assert_int_equal(selectors_add(&selectors, SPAN("header:"), &bits), ERR_SYNTAX);
    assert_int_equal(selectors.count, 0);
}

static void names_of_values(void **state)
{
    (void)state;
    uint64_t bits = 0, again = 0;
    assert_int_equal(selectors_add(&selectors, SPAN("header:X-A"), &bits), OK);
    assert_int_equal(selectors_add(&selectors, SPAN("cookie:X-A"), &bits), OK);
    assert_int_equal(selectors_add(&selectors, SPAN("arg:a:b"), &bits), OK);
    assert_int_equal(bits, NAMED(0) | NAMED(1) | NAMED(2));
    assert_int_equal(selectors_add(&selectors, SPAN("header:x-a"), &again), OK);
    assert_int_equal(again, NAMED(0));
    assert_int_equal(selectors_add(&selectors, SPAN("cookie:x-a"), &again), OK);
    assert_int_equal(again, NAMED(0) | NAMED(3)); /* names of cookies have a case */

    char longest[sizeof("arg:") + TARGET_NAME_MAX];
    memset(longest, 'a', sizeof(longest));
    memcpy(longest, "arg:", 4);
    struct span text = span_of(longest, 4 + TARGET_NAME_MAX);
    assert_int_equal(selectors_add(&selectors, text, &bits), OK);
    text.len++;
    assert_int_equal(selectors_add(&selectors, text, &bits), ERR_SYNTAX);
}

static void as_many_names_as_bits(void **state)
{
    (void)state;
    static char names[NAMED_MAX + 1][16];
    uint64_t bits = 0;
    for (unsigned i = 0; i <= NAMED_MAX; i++) {
        struct text name = text_fixed(names[i], sizeof(names[i]));
        text_lit(&name, "arg:");
        text_uint(&name, i);
        assert_int_equal(selectors_add(&selectors, text_span(&name), &bits),
                         i < NAMED_MAX ? OK : ERR_LIMIT);
    }
    assert_int_equal(bits, ~(BIT(TARGET_COUNT) - 1));
}

static void reach_of_selectors(void **state)
{
    (void)state;
    uint64_t named = 0;
    assert_int_equal(selectors_add(&selectors, SPAN("header:a"), &named), OK);
    assert_true(selectors_reach(&selectors, BIT(TARGET_ARGS), CLASS_INPUT));
    assert_false(selectors_reach(&selectors, BIT(TARGET_ARGS), CLASS_FIELD));
    assert_true(selectors_reach(&selectors, named, CLASS_FIELD));
    assert_true(selectors_reach(&selectors, named, CLASS_INPUT)); /* it may be the Referer */
    assert_true(selectors_reach_body(&selectors, BIT(TARGET_BODY)));
    assert_true(selectors_reach_body(&selectors, BIT(TARGET_ARG_NAMES)));
    assert_false(selectors_reach_body(&selectors, BIT(TARGET_HEADERS) | named));
    assert_false(selectors_reach_body(&selectors, BIT(TARGET_PATH) | BIT(TARGET_COOKIES)));
}

static void values_in_the_head(void **state)
{
    (void)state;
    req.query = SPAN("a=1+%32&b&c=&a=3");
    field("Host", "h");
    field("User-Agent", "ua");
    field("Referer", "ref");
    field("X-Empty", "");
    field("Cookie", "s=1; t=%32");
    field("Cookie", "u=3");
    assert_text(head_values(BIT(TARGET_COUNT) - 1),
                "method:=POST\nhost:=h\npath:=/p\nquery:=a=1+%32&b&c=&a=3\n"
                "args:a=1 2\narg_names:=a\narg_names:=b\narg_names:=c\nargs:a=3\narg_names:=a\n"
                "headers:Host=h\nuser_agent:User-Agent=ua\nreferer:Referer=ref\n"
                "headers:Cookie=s=1; t=%32\nheaders:Cookie=u=3\n"
                "cookies:s=1\ncookies:t=%32\ncookies:u=3\n");
    assert_text(head_values(0), "");
    assert_text(head_values(BIT(TARGET_BODY)), "");
    assert_text(head_values(BIT(TARGET_USER_AGENT)), "user_agent:User-Agent=ua\n");
    assert_text(head_values(select_all((const char *const[]){ "header:REFERER", "arg:b",
                                                              "arg:a", "cookie:t", NULL })),
                "args:a=1 2\nargs:a=3\nreferer:Referer=ref\ncookies:t=%32\n");
}

static void values_in_the_body(void **state)
{
    (void)state;
    uint64_t all = BIT(TARGET_COUNT) - 1;
    assert_text(body_values(all, ""), "");
    assert_text(body_values(all, "a 1"), "body:=a 1\n");
    /* Without a label it may be a form to somebody. */
    assert_text(body_values(all, "a=1"), "args:a=1\narg_names:=a\nbody:=a=1\n");
    field("Content-Type", "Application/X-WWW-Form-Urlencoded ; charset=utf-8");
    assert_true(body_is_form(&req));
    assert_text(body_values(all, "a=%31&b"), "args:a=1\narg_names:=a\narg_names:=b\n");
    assert_text(body_values(BIT(TARGET_BODY), "a=%31&b"), "");
    /* Labelled as a form, but somebody may read it as JSON. */
    assert_text(body_values(BIT(TARGET_BODY), " \r\n{\"a\":\"&\"}"),
                "body:= \r\n{\"a\":\"&\"}\n");
    assert_text(body_values(BIT(TARGET_BODY), "<a>"), "body:=<a>\n");
    assert_int_equal(fields_add(&req.trailers, &arena, SPAN("X-Sum"), SPAN("1")), OK);
    assert_text(body_values(BIT(TARGET_HEADERS), "a=b"), "headers:X-Sum=1\n");
}

static void other_bodies(void **state)
{
    (void)state;
    uint64_t args = BIT(TARGET_ARGS) | BIT(TARGET_ARG_NAMES), text = BIT(TARGET_BODY);
    field("Content-Type", "application/json");
    assert_text(body_values(args, "{\"a\":{\"b\":\"\\u0027\"},\"<k>\":[]}"),
                "args:a.b='\narg_names:=a.b\narg_names:=<k>\n");
    assert_text(body_values(text, "{\"a\":1}"), "body:={\"a\":1}\n");
    assert_int_equal(fields_init(&req.fields, &arena, 4), OK);
    field("Content-Type", "text/xml");
    assert_text(body_values(args | text, "<a b='&lt;'>un<!-- -->ion</a>"),
                "args:b=<\narg_names:=b\nbody:=union\nbody:=<a b='&lt;'>un<!-- -->ion</a>\n");
    assert_int_equal(fields_init(&req.fields, &arena, 4), OK);
    field("Content-Type", "multipart/form-data; boundary=b");
    static const char parts[] = "--b\r\nContent-Disposition: form-data; name=a; filename=x\r\n"
                                "Content-Transfer-Encoding: base64\r\n\r\nPHM+\r\n--b--\r\n";
    assert_text(body_values(args, parts), "args:a=x\narg_names:=a\n");
    struct values values = read_body(text, parts);
    assert_int_equal(values.count, 2);
    assert_text(values.items[0].text, "<s>");
}

static void kinds_of_bodies(void **state)
{
    (void)state;
    static const struct {
        const char *type;
        bool form, mixed;
    } rows[] = {
        { "application/x-www-form-urlencoded", true, false },
        { "application/x-www-form-urlencoded;a", true, false },
        { "application/x-www-form-urlencodedx", false, true },
        { "application/json", false, false },
        { "application/problem+JSON; charset=x", false, false },
        { "text/plain", false, false },
        { "image/svg+xml", false, false },
        { "multipart/form-data; boundary=x", false, true },
        { "image/png", false, true },
        { "", false, false },
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        assert_int_equal(fields_init(&req.fields, &arena, 4), OK);
        field("Content-Type", rows[i].type);
        struct values values = read_body(BIT(TARGET_BODY), "x");
        assert_int_equal(body_is_form(&req), rows[i].form);
        if (values.count != !rows[i].form ||
            (values.count != 0 && values.items[0].mixed != rows[i].mixed))
            fail_msg("%s", rows[i].type);
    }
}

static void all_arguments_or_none(void **state)
{
    (void)state;
    struct values values;
    struct intake intake = intake_of(BIT(TARGET_ARGS));
    req.query = SPAN("1&2&3&4&5&6&7&8");
    assert_int_equal(values_of_head(&values, &intake, &req), OK);
    req.query = SPAN("1&2&3&4&5&6&7&8&9");
    assert_int_equal(values_of_head(&values, &intake, &req), ERR_LIMIT);
    intake.wanted = BIT(TARGET_PATH);
    assert_int_equal(values_of_head(&values, &intake, &req), OK);
    intake.wanted = BIT(TARGET_COOKIES);
    field("Cookie", "1=1; 2=2; 3=3; 4=4; 5=5; 6=6; 7=7; 8=8; 9=9");
    assert_int_equal(values_of_head(&values, &intake, &req), ERR_LIMIT);
}

#define CASE(fn) cmocka_unit_test_setup_teardown(fn, open_request, close_request)

int main(void)
{
    return RUN(CASE(names_of_targets), CASE(names_of_values), CASE(as_many_names_as_bits),
               CASE(reach_of_selectors), CASE(values_in_the_head), CASE(values_in_the_body),
               CASE(other_bodies), CASE(kinds_of_bodies), CASE(all_arguments_or_none));
}
