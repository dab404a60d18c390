/* Values by SecLang variable: what a head and an answer show, and what is computed. */
#include "rules/values.h"

#include "tests/reference/wire.h"
#include "tests/unit/check.h"

static struct arena arena;
static struct sec_values values;
static struct wire wire;

static void begin(const char *request, const char *answer)
{
    arena_reset(&arena);
    sec_values_init(&values, &arena);
    wire_read(&wire, span_text(request), span_text(answer), &arena);
    assert_int_equal(wire.refused, 0);
}

/* All values of a variable: "key=text key=text". */
static struct span shown(enum variable var)
{
    struct text text = text_growing(&arena, 256);
    const struct sec_list *list = sec_values_list(&values, var);
    assert_non_null(list);
    for (unsigned i = 0; i < list->count; i++) {
        if (i > 0)
            text_char(&text, ' ');
        text_add(&text, list->items[i]->key);
        if (list->items[i]->key.len > 0)
            text_char(&text, '=');
        text_add(&text, list->items[i]->text);
    }
    return text.len > 0 ? text_span(&text) : SPAN("");
}

static void a_head(void **state)
{
    static const struct {
        enum variable var;
        const char *want;
    } rows[] = {
        { VAR_REQUEST_LINE, "GET /a%20b/../c.php?x=1&y=%41+b&x=&z HTTP/1.1" },
        { VAR_REQUEST_METHOD, "GET" },
        { VAR_REQUEST_PROTOCOL, "HTTP/1.1" },
        { VAR_REQUEST_URI, "/a%20b/../c.php?x=1&y=%41+b&x=&z" },
        { VAR_REQUEST_URI_RAW, "/a%20b/../c.php?x=1&y=%41+b&x=&z" },
        { VAR_REQUEST_FILENAME, "/a b/../c.php" },
        { VAR_REQUEST_BASENAME, "c.php" },
        { VAR_QUERY_STRING, "x=1&y=%41+b&x=&z" },
        { VAR_ARGS, "x=1 y=A b x= z=" },
        { VAR_ARGS_GET, "x=1 y=A b x= z=" },
        { VAR_ARGS_POST, "" },
        { VAR_ARGS_NAMES, "x=x y=y x=x z=z" },
        { VAR_ARGS_GET_NAMES, "x=x y=y x=x z=z" },
        { VAR_ARGS_POST_NAMES, "" },
        { VAR_ARGS_COMBINED_SIZE, "8" },
        { VAR_REQUEST_HEADERS, "Host=h Cookie=a=1; b=2 X-A=v" },
        { VAR_REQUEST_HEADERS_NAMES, "Host=Host Cookie=Cookie X-A=X-A" },
        { VAR_REQUEST_COOKIES, "a=1 b=2" },
        { VAR_REQUEST_COOKIES_NAMES, "a=a b=b" },
        { VAR_REQUEST_BODY, "" },
        { VAR_REQBODY_PROCESSOR, "" },
        { VAR_REQBODY_ERROR, "0" },
        { VAR_MULTIPART_STRICT_ERROR, "0" },
        { VAR_REMOTE_ADDR, "" },
    };
    (void)state;
    begin("GET /a%20b/../c.php?x=1&y=%41+b&x=&z HTTP/1.1\r\nHost: h\r\nCookie: a=1; b=2\r\n"
          "X-A: v\r\n\r\n",
          "");
    assert_int_equal(sec_values_head(&values, &wire.req, 100), OK);
    for (size_t i = 0; i < ARRAY_LEN(rows); i++)
        assert_span(shown(rows[i].var), span_text(rows[i].want));
}

static void an_absolute_target(void **state)
{
    (void)state;
    begin("GET http://h:80/p?q HTTP/1.1\r\nHost: h\r\n\r\n", "");
    assert_int_equal(sec_values_head(&values, &wire.req, 100), OK);
    assert_text(shown(VAR_REQUEST_URI_RAW), "http://h:80/p?q");
    assert_text(shown(VAR_REQUEST_URI), "/p?q");
    assert_text(shown(VAR_REQUEST_FILENAME), "/p");
}

static void no_query_and_an_empty_one(void **state)
{
    (void)state;
    begin("GET / HTTP/1.0\r\nHost: h\r\n\r\n", "");
    assert_int_equal(sec_values_head(&values, &wire.req, 100), OK);
    assert_int_equal(sec_values_list(&values, VAR_QUERY_STRING)->count, 0);
    assert_text(shown(VAR_REQUEST_PROTOCOL), "HTTP/1.0");
    begin("GET /? HTTP/1.1\r\nHost: h\r\n\r\n", "");
    assert_int_equal(sec_values_head(&values, &wire.req, 100), OK);
    assert_int_equal(sec_values_list(&values, VAR_QUERY_STRING)->count, 1);
}

static void an_answer(void **state)
{
    (void)state;
    begin("GET / HTTP/1.1\r\nHost: h\r\n\r\n",
          "HTTP/1.1 404 Not Found\r\nContent-Type: text/html; charset=utf-8\r\n"
          "Content-Length: 3\r\n\r\nabc");
    assert_true(wire.answered);
    assert_int_equal(sec_values_answer(&values, &wire.rsp), OK);
    assert_text(shown(VAR_RESPONSE_STATUS), "404");
    assert_text(shown(VAR_STATUS), "404");
    assert_text(shown(VAR_STATUS_LINE), "HTTP/1.1 404 Not Found");
    assert_text(shown(VAR_RESPONSE_PROTOCOL), "HTTP/1.1");
    assert_text(shown(VAR_RESPONSE_CONTENT_TYPE), "text/html; charset=utf-8");
    assert_text(shown(VAR_RESPONSE_CONTENT_LENGTH), "3");
    assert_text(shown(VAR_RESPONSE_HEADERS_NAMES),
                "Content-Type=Content-Type Content-Length=Content-Length");
}

static void a_value_stands_once(void **state)
{
    (void)state;
    begin("GET / HTTP/1.1\r\nHost: h\r\n\r\n", "");
    assert_int_equal(sec_values_add(&values, VAR_ARGS_POST, SPAN("n"), SPAN("v")), OK);
    assert_ptr_equal(values.lists[VAR_ARGS].items[0], values.lists[VAR_ARGS_POST].items[0]);
    assert_ptr_equal(values.lists[VAR_ARGS_NAMES].items[0],
                     values.lists[VAR_ARGS_POST_NAMES].items[0]);
    assert_int_equal(values.lists[VAR_ARGS_GET].count, 0);
    assert_int_equal(sec_values_add_name(&values, SPAN("bare")), OK);
    assert_text(shown(VAR_ARGS_NAMES), "n=n bare=bare");
    assert_text(shown(VAR_ARGS), "n=v");
}

static void of_the_connection_and_the_body(void **state)
{
    struct addr client;
    (void)state;
    begin("GET / HTTP/1.1\r\nHost: h\r\n\r\n", "");
    assert_true(addr_parse(SPAN("192.0.2.7"), &client));
    client.port = 1234;
    values.peer = (struct sec_peer){
        .client = &client, .server_name = SPAN("h"), .user = SPAN("u"), .unique_id = SPAN("id")
    };
    values.body = (struct sec_body){
        .processor = SPAN("MULTIPART"),
        .error = SPAN("bad"),
        .length = 12,
        .files_size = 3,
        .multipart = 1U << (VAR_MULTIPART_BOUNDARY_QUOTED - VAR_MULTIPART_STRICT_ERROR),
    };
    assert_text(shown(VAR_REMOTE_ADDR), "192.0.2.7");
    assert_text(shown(VAR_REMOTE_PORT), "1234");
    assert_text(shown(VAR_SERVER_NAME), "h");
    assert_text(shown(VAR_REMOTE_USER), "u");
    assert_text(shown(VAR_UNIQUE_ID), "id");
    assert_text(shown(VAR_REQBODY_PROCESSOR), "MULTIPART");
    assert_text(shown(VAR_REQBODY_ERROR), "1");
    assert_text(shown(VAR_REQBODY_ERROR_MSG), "bad");
    assert_text(shown(VAR_REQUEST_BODY_LENGTH), "12");
    assert_text(shown(VAR_FILES_COMBINED_SIZE), "3");
    assert_text(shown(VAR_MULTIPART_BOUNDARY_QUOTED), "1");
    assert_text(shown(VAR_MULTIPART_STRICT_ERROR), "0");
}

static void limits(void **state)
{
    (void)state;
    begin("GET /?a&b&c HTTP/1.1\r\nHost: h\r\nCookie: a=1; b=2; c=3\r\n\r\n", "");
    assert_int_equal(sec_values_head(&values, &wire.req, 3), OK);
    sec_values_init(&values, &arena);
    assert_int_equal(sec_values_head(&values, &wire.req, 2), ERR_LIMIT);
    sec_values_init(&values, &arena);
    values.count = SEC_VALUES_MAX - 1;
    assert_int_equal(sec_values_add(&values, VAR_XML, SPAN("/*"), SPAN("t")), OK);
    assert_int_equal(sec_values_add(&values, VAR_XML, SPAN("/*"), SPAN("t")), ERR_LIMIT);
    assert_int_equal(sec_values_add_name(&values, SPAN("n")), ERR_LIMIT);
}

int main(void)
{
    arena_init(&arena, NULL, 0, NULL, 1 << 24);
    return RUN(TEST(a_head), TEST(an_absolute_target), TEST(no_query_and_an_empty_one),
               TEST(an_answer), TEST(a_value_stands_once), TEST(of_the_connection_and_the_body),
               TEST(limits));
}
