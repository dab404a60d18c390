/* Expressions: values, precedence, types, bounds, and the column of every error. */
#include "conf/source.h"
#include "tests/unit/check.h"
#include "tests/unit/conf/fixture.h"
#include "tests/unit/conf/sample.h"

struct request {
    unsigned asked;
    bool missing;
};

static struct expr_value value(void *ctx, int id, struct span argument)
{
    struct request *req = ctx;
    struct expr_value v = { .missing = req->missing };
    req->asked++;
    switch (id) {
    case SAMPLE_PATH:
        v.type = EXPR_TEXT;
        v.text = SPAN("/Admin/x.php");
        break;
    case SAMPLE_IP:
        v.type = EXPR_ADDR;
        assert_true(addr_parse(SPAN("10.1.2.3"), &v.addr));
        break;
    case SAMPLE_FIELD:
        v.type = EXPR_TEXT;
        v.text = argument;
        v.missing = v.missing || span_equal(argument, SPAN("none"));
        break;
    case SAMPLE_SIZE:
        v.type = EXPR_NUMBER;
        v.number = 42;
        break;
    default:
        v.type = EXPR_BOOL;
        v.number = 1;
        break;
    }
    return v;
}

static bool in_list(void *ctx, int list, const struct expr_value *v)
{
    (void)ctx;
    return list == 7 && (v->type == EXPR_ADDR || v->number == 42);
}

static bool matches(void *ctx, int pattern, struct span text)
{
    (void)ctx;
    return (size_t)pattern == text.len; /* as the sample's scope compiles it */
}

static struct expr *parse(struct fixture *f, const char *text)
{
    struct place place = { .line = 1, .column = 1, .width = 1 };
    return expr_parse(span_text(text), place, &sample_scope, &f->arena, &f->diags);
}

static bool eval(const struct expr *expr, struct request *req)
{
    struct expr_source source = { value, in_list, matches, req };
    return expr_eval(expr, &source);
}

static const struct {
    const char *text;
    bool expected, when_missing;
} rows[] = {
    { "true", true, true },
    { "false", false, false },
    { "tls", true, false },
    { "not tls", false, true },
    { "tls == true", true, false },
    { "tls != true", false, true },
    { "path == \"/Admin/x.php\"", true, false },
    { "\"/Admin/x.php\" == path", true, false },
    { "path == \"/admin/x.php\"", false, false },
    { "path != \"/admin/x.php\"", true, true },
    { "path iequals \"/ADMIN/X.PHP\"", true, false },
    { "path contains \"dmin\"", true, false },
    { "path contains \"\"", true, false },
    { "path starts_with \"/Admin\"", true, false },
    { "path ends_with '.php'", true, false },
    { "path ends_with '/Admin'", false, false },
    { "path == path", true, false }, /* what is missing equals nothing, not even itself */
    { "path in [\"a\", \"/Admin/x.php\"]", true, false },
    { "path not in [\"a\", \"b\"]", true, true },
    { "path matches \"^/A[d]in.php$\"", false, false },
    { "path matches \"^/Adm\\w.php$\"", true, false },
    { "field(\"a\") == 'a'", true, false },
    { "field(\"none\") == \"\"", false, false },
    { "field(\"none\") != \"a\"", true, true },
    { "field(\"\\x41\\\"\\\\\\n\") == 'A\"\\\\\\x0a'", true, false },
    { "size == 42", true, false },
    { "size > 41 and size < 43", true, false },
    { "size >= 43 or size <= 41", false, false },
    { "size > -1", true, false },
    { "size in [1, 42]", true, false },
    { "size in @office", true, false },
    { "client.ip == \"10.1.2.3\"", true, false },
    { "client.ip == \"::ffff:10.1.2.3\"", true, false },
    { "client.ip != client.ip", false, true },
    { "client.ip in \"10.0.0.0/8\"", true, false },
    { "client.ip in [\"192.0.2.1\", \"10.1.0.0/16\"]", true, false },
    { "client.ip not in [\"2001:db8::/32\"]", true, true },
    { "client.ip in @office", true, false },
    { "client.ip not in @office", false, true },
    { "true or false and false", true, true }, /* and binds closer */
    { "(true or false) and false", false, false },
    { "not false and false", false, false }, /* not binds closer */
    { "not (false and false)", true, true },
    { "not not true", true, true },
    { "not size == 41", true, true }, /* but a comparison closer still */
    { "false or\n\ttrue", true, true },
    { "(size == 42) == tls", true, false },
    { "path == \"/xmlrpc.php\" and client.ip not in @office", false, false },
};

static void evaluates(void **state)
{
    (void)state;
    struct fixture *f = fixture_new();
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct request req = { 0, false }, missing = { 0, true };
        struct expr *expr = parse(f, rows[i].text);
        if (expr == NULL) {
            struct span human = fixture_human(f);
            fail_msg("%s: %.*s", rows[i].text, (int)human.len, human.p);
        }
        if (eval(expr, &req) != rows[i].expected)
            fail_msg("%s: not %d", rows[i].text, rows[i].expected);
        if (eval(expr, &missing) != rows[i].when_missing)
            fail_msg("%s: not %d when missing", rows[i].text, rows[i].when_missing);
        assert_span(expr_text(expr), span_text(rows[i].text));
    }
    fixture_free(f);
}

static void stops_when_the_answer_is_known(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        unsigned asked;
    } lazy[] = { { "false and tls", 0 },
                 { "true or tls", 0 },
                 { "tls or path == 'a'", 1 },
                 { "not tls and path == 'a'", 1 },
                 { "tls and path == path", 3 } };
    struct fixture *f = fixture_new();
    for (size_t i = 0; i < ARRAY_LEN(lazy); i++) {
        struct request req = { 0, false };
        (void)eval(parse(f, lazy[i].text), &req);
        assert_int_equal(req.asked, lazy[i].asked);
    }
    fixture_free(f);
}

/* Column and width of what is underlined. */
static const struct {
    const char *text, *code, *words;
    unsigned column, width;
} refused[] = {
    { "", "SP0301", "expected a name", 1, 1 },
    { "   ", "SP0301", "expected a name", 3, 1 },
    { "path ==", "SP0301", "expected a name", 7, 1 },
    { "path == \"é", "SP0301", "never closed", 9, 1 },
    { "path == 'a' 'b'", "SP0301", "expected and, or", 13, 3 },
    { "path == 'a' == 'b'", "SP0301", "do not chain", 13, 2 },
    { "path = 'a'", "SP0301", "write ==", 6, 1 },
    { "path =~ 'a'", "SP0301", "write matches", 6, 2 },
    { "tls && tls", "SP0301", "write and", 5, 2 },
    { "tls || tls", "SP0301", "write or", 5, 2 },
    { "!tls", "SP0301", "write not", 1, 1 },
    { "(tls", "SP0301", "closing parenthesis", 4, 1 },
    { "tls)", "SP0301", "expected and, or", 4, 1 },
    { "'é' == pth", "SP0302", "did you mean \"path\"?", 8, 3 },
    { "path == a", "SP0302", "texts stand in quotes", 9, 1 },
    { "method == 'a'", "SP0302", "no name \"method\"", 1, 6 },
    { "field == 'a'", "SP0301", "field(\"name\")", 1, 5 },
    { "field(path) == 'a'", "SP0301", "text in quotes", 7, 4 },
    { "field('a' == 'a'", "SP0301", "expected )", 11, 2 },
    { "path('a') == 'a'", "SP0301", "no argument", 5, 1 },
    { "path", "SP0303", "this is text", 1, 4 },
    { "tls and path", "SP0303", "this is text", 9, 4 },
    { "size or tls", "SP0303", "this is a number", 1, 4 },
    { "not size", "SP0303", "this is a number", 5, 4 },
    { "size == 'a'", "SP0303", "cannot be compared", 9, 3 },
    { "path > 'a'", "SP0303", "a number is needed", 1, 4 },
    { "size contains 'a'", "SP0303", "text is needed", 1, 4 },
    { "path contains 1", "SP0303", "text is needed", 15, 1 },
    { "client.ip == 'x'", "SP0303", "not an address", 14, 3 },
    { "client.ip == '10.0.0.0/8'", "SP0303", "write in", 14, 12 },
    { "client.ip in ['10.0.0.1/8']", "SP0303", "not an address or prefix", 15, 12 },
    { "client.ip == 10.0.0.1", "SP0301", "stand in quotes", 14, 8 },
    { "path in ['a', 1]", "SP0303", "this is a number", 15, 1 },
    { "path in 'a'", "SP0301", "list in brackets", 9, 3 },
    { "path in []", "SP0301", "expected a text or a number", 10, 1 },
    { "path in ['a' 'b']", "SP0301", "a comma or ]", 14, 3 },
    { "tls in @office", "SP0303", "cannot be in a list", 1, 3 },
    { "client.ip in @offic", "SP0306", "no such list", 14, 6 },
    { "@office", "SP0301", "only stand after in", 1, 7 },
    { "path not 'a'", "SP0301", "not in", 6, 3 },
    { "path matches 'a('", "SP0305", "groups are not accepted", 14, 4 },
    { "path matches path", "SP0301", "pattern in quotes", 14, 4 },
    { "size matches 'a'", "SP0303", "text is needed", 1, 4 },
    { "path == 'a\\d'", "SP0301", "unknown escape", 11, 2 },
    { "size == 99999999999999999999", "SP0301", "whole number", 9, 20 },
    { "size == 1x", "SP0301", "whole number", 9, 2 },
    { "size == 1 ;", "SP0301", "no meaning here", 11, 1 },
    { "and tls", "SP0301", "expected a name", 1, 3 },
};

static void refuses_and_says_where(void **state)
{
    (void)state;
    struct fixture *f = fixture_new();
    for (size_t i = 0; i < ARRAY_LEN(refused); i++) {
        assert_null(parse(f, refused[i].text));
        struct span human = fixture_human(f);
        const struct diag *diag = &f->diags.items[0];
        bool right = f->diags.count == 1 && diag->place.column == refused[i].column &&
                     diag->place.width == refused[i].width &&
                     strcmp(diag_code_text(diag->code), refused[i].code) == 0 &&
                     span_find(human, span_text(refused[i].words)) >= 0;
        if (!right)
            fail_msg("%s: %u wide %u\n%.*s", refused[i].text, diag->place.column,
                     diag->place.width, (int)human.len, human.p);
        fixture_reset(f);
    }
    fixture_free(f);
}

/* Where the text stands verbatim the place is exact; elsewhere it is where the text begins. */
static void places_follow_the_source(void **state)
{
    (void)state;
    static const struct source source = { .name = SPAN_INIT("s"),
                                          .text = SPAN_INIT("é: pth == 1\n") };
    struct fixture *f = fixture_new();
    struct place place = { &source, 1, 4, 8, 4, 8 };
    assert_null(expr_parse(SPAN("pth == 1"), place, &sample_scope, &f->arena, &f->diags));
    assert_int_equal(f->diags.items[0].place.column, 4);
    assert_int_equal(f->diags.items[0].place.width, 3);
    assert_null(expr_parse(SPAN("1 == pth"), place, &sample_scope, &f->arena, &f->diags));
    assert_int_equal(f->diags.items[1].place.column, 4);
    assert_int_equal(f->diags.items[1].place.width, 8);
    fixture_free(f);
}

static struct span repeated(struct fixture *f, const char *before, const char *middle,
                            const char *after, int times)
{
    struct text t = text_growing(&f->arena, 4096);
    for (int i = 0; i < times; i++)
        text_add(&t, span_text(before));
    text_add(&t, span_text(middle));
    for (int i = 0; i < times; i++)
        text_add(&t, span_text(after));
    return text_span(&t);
}

static bool accepted(struct fixture *f, struct span text)
{
    struct place place = { .line = 1, .column = 1, .width = 1 };
    struct expr *expr = expr_parse(text, place, &sample_scope, &f->arena, &f->diags);
    struct request req = { 0, false };
    if (expr != NULL)
        (void)eval(expr, &req);
    else
        assert_int_equal(f->diags.items[0].code, DIAG_EXPR_LIMIT);
    bool good = expr != NULL;
    fixture_reset(f);
    return good;
}

/* At each limit and one over it. */
static void is_bounded(void **state)
{
    (void)state;
    struct fixture *f = fixture_new();
    assert_true(accepted(f, repeated(f, "(", "tls", ")", EXPR_DEPTH_MAX)));
    assert_false(accepted(f, repeated(f, "(", "tls", ")", EXPR_DEPTH_MAX + 1)));
    assert_true(accepted(f, repeated(f, "not ", "tls", "", EXPR_DEPTH_MAX)));
    assert_false(accepted(f, repeated(f, "not ", "tls", "", EXPR_DEPTH_MAX + 1)));
    /* A chain of n has 2n - 1 nodes. */
    assert_true(accepted(f, repeated(f, "tls or ", "tls", "", EXPR_NODES_MAX / 2 - 1)));
    assert_false(accepted(f, repeated(f, "tls or ", "tls", "", EXPR_NODES_MAX / 2)));
    assert_true(accepted(f, repeated(f, "", "tls", " ", EXPR_BYTES_MAX - 3)));
    assert_false(accepted(f, repeated(f, "", "tls", " ", EXPR_BYTES_MAX - 2)));
    struct text list = text_growing(&f->arena, 4096);
    text_add(&list, repeated(f, "", "size in [1", ",1", EXPR_LIST_MAX - 1));
    text_lit(&list, "]");
    assert_true(accepted(f, text_span(&list)));
    list = text_growing(&f->arena, 4096);
    text_add(&list, repeated(f, "", "size in [1", ",1", EXPR_LIST_MAX));
    text_lit(&list, "]");
    assert_false(accepted(f, text_span(&list)));
    fixture_free(f);
}

static void note(void *ctx, int id, struct span argument)
{
    struct text *t = ctx;
    text_format(t, "%d", id);
    text_add(t, argument);
    text_char(t, ' ');
}

static void tells_what_it_uses(void **state)
{
    (void)state;
    struct fixture *f = fixture_new();
    struct text t = text_growing(&f->arena, 64);
    expr_each_name(parse(f, "path == field('b') or (not tls and client.ip in @office)"), note,
                   &t);
    assert_text(text_span(&t), "2 5 3b 1 ");
    fixture_free(f);
}

static void needs_no_scope_for_constants(void **state)
{
    (void)state;
    static const struct expr_name none[] = { { .name = NULL } };
    static const struct expr_scope scope = { .names = none };
    static const char *const texts[] = { "'a' matches 'b'", "'a' in @office", "path == 'a'" };
    struct fixture *f = fixture_new();
    struct place place = { .line = 1, .column = 1, .width = 1 };
    assert_non_null(expr_parse(SPAN("1 < 2"), place, &scope, &f->arena, &f->diags));
    for (size_t i = 0; i < ARRAY_LEN(texts); i++)
        assert_null(expr_parse(span_text(texts[i]), place, &scope, &f->arena, &f->diags));
    assert_text(fixture_codes(f), "SP0302@1:1 SP0306@1:8 SP0305@1:13");
    fixture_free(f);
}

int main(void)
{
    return RUN(TEST(evaluates), TEST(stops_when_the_answer_is_known),
               TEST(refuses_and_says_where), TEST(places_follow_the_source), TEST(is_bounded),
               TEST(tells_what_it_uses), TEST(needs_no_scope_for_constants));
}
