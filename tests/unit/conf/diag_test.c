/* Diagnostics: how they look, in which order, and what is never shown. */
#include "conf/source.h"
#include "tests/unit/check.h"
#include "tests/unit/conf/fixture.h"

static const struct source file = {
    .name = SPAN_INIT("typo.yaml"),
    .text =
        SPAN_INIT("sites:\n  - host: é\n    upsteam: http://127.0.0.1:3000\nkey: hunter2\n"),
};

static struct place at(unsigned line, unsigned column, unsigned width, size_t offset)
{
    return (struct place){ &file, line, column, width, offset, width };
}

static void looks_as_designed(void **state)
{
    (void)state;
    struct fixture *f = fixture_new();
    diag_add(&f->diags, SEVERITY_ERROR, DIAG_UNKNOWN_KEY, at(3, 5, 7, 24),
             SPAN("unknown key \"upsteam\" in site"), SPAN("did you mean \"upstream\"?"));
    assert_text(fixture_human(f), "error[SP0103]: unknown key \"upsteam\" in site\n"
                                  "  --> typo.yaml:3:5\n"
                                  "   |\n"
                                  " 3 |     upsteam: http://127.0.0.1:3000\n"
                                  "   |     ^^^^^^^ did you mean \"upstream\"?\n"
                                  "\n"
                                  "1 error\n");
    assert_text(fixture_json(f),
                "{\"errors\":1,\"warnings\":0,\"diagnostics\":[{\"severity\":\"error\","
                "\"code\":\"SP0103\",\"message\":\"unknown key \\\"upsteam\\\" in site\","
                "\"hint\":\"did you mean \\\"upstream\\\"?\",\"file\":\"typo.yaml\",\"line\":3,"
                "\"column\":5,\"end_column\":12,\"offset\":24,\"length\":7}]}\n");
    fixture_free(f);
}

static void shows_two_places(void **state)
{
    (void)state;
    struct fixture *f = fixture_new();
    const struct place places[2] = { at(4, 1, 3, 55), at(1, 1, 5, 0) };
    diag_add_pair(&f->diags, SEVERITY_WARNING, DIAG_DUPLICATE, places, SPAN("twice"), SPAN(""));
    assert_text(fixture_human(f), "warning[SP0102]: twice\n"
                                  "  --> typo.yaml:4:1\n"
                                  "   |\n"
                                  " 4 | key: hunter2\n"
                                  "   | ^^^\n"
                                  "  ::: typo.yaml:1:1\n"
                                  "   |\n"
                                  " 1 | sites:\n"
                                  "   | -----\n"
                                  "\n"
                                  "1 warning\n");
    fixture_free(f);
}

static void hides_secrets(void **state)
{
    (void)state;
    struct fixture *f = fixture_new();
    diag_mask(&f->diags, at(4, 6, 7, 60));
    diag_add(&f->diags, SEVERITY_ERROR, DIAG_CHECK, at(4, 1, 3, 55), SPAN("m"), SPAN(""));
    assert_true(span_find(fixture_human(f), SPAN("key: *******\n")) >= 0);
    assert_true(span_find(fixture_human(f), SPAN("hunter")) < 0);
    fixture_free(f);
}

static void sorts_and_keeps_the_order_of_equals(void **state)
{
    (void)state;
    struct fixture *f = fixture_new();
    diag_add(&f->diags, SEVERITY_ERROR, DIAG_VALUE, at(3, 5, 1, 24), SPAN("b"), SPAN(""));
    diag_add(&f->diags, SEVERITY_ERROR, DIAG_RANGE, at(3, 5, 1, 24), SPAN("c"), SPAN(""));
    diag_add(&f->diags, SEVERITY_WARNING, DIAG_TYPE, at(1, 1, 1, 0), SPAN("a"), SPAN(""));
    diag_add(&f->diags, SEVERITY_ERROR, DIAG_FILE, (struct place){ .line = 0 }, SPAN("z"),
             SPAN("hint"));
    assert_text(fixture_codes(f), "SP0106@0:0 wSP0201@1:1 SP0202@3:5 SP0203@3:5");
    assert_true(span_starts(fixture_human(f), SPAN("error[SP0106]: z\n  = hint\n\n")));
    fixture_free(f);
}

/* What a terminal takes as a command, or a reader for other text, is not passed on. */
static void writes_nothing_that_moves_a_cursor(void **state)
{
    (void)state;
    static const struct source evil = {
        .name = SPAN_INIT("a\033[2J.yaml"),
        .text = SPAN_INIT("k\t\033]0;x\a: \xe2\x80\xaetxt\xff\n"),
    };
    struct fixture *f = fixture_new();
    struct place place = { &evil, 1, 3, 1, 2, 1 };
    diag_add(&f->diags, SEVERITY_ERROR, DIAG_VALUE, place, SPAN("\033[1m\r"), SPAN("\x9b"));
    assert_text(fixture_human(f), "error[SP0202]: ?[1m?\n"
                                  "  --> a?[2J.yaml:1:3\n"
                                  "   |\n"
                                  " 1 | k ?]0;x?: ?txt?\n"
                                  "   |   ^ ?\n"
                                  "\n"
                                  "1 error\n");
    fixture_free(f);
}

static void shows_a_window_of_long_lines(void **state)
{
    (void)state;
    struct fixture *f = fixture_new();
    struct text t = text_growing(&f->arena, 4096);
    for (int i = 0; i < 1000; i++)
        text_char(&t, i == 500 ? 'X' : '.');
    struct source source = { .name = SPAN("l"), .text = text_span(&t) };
    struct place place = { &source, 1, 501, 1, 500, 1 };
    diag_add(&f->diags, SEVERITY_ERROR, DIAG_VALUE, place, SPAN("m"), SPAN(""));
    struct span human = fixture_human(f);
    assert_true(human.len < 600);
    ssize_t line = span_find(human, SPAN(" 1 | ")), x = span_index(human, 'X');
    ssize_t caret = span_index(human, '^');
    ssize_t below = span_find(human, SPAN("\n   | "));
    below += 1 + span_find(span_sub(human, (size_t)below + 1, human.len), SPAN("\n   | "));
    assert_int_equal(x - line, caret - (below + 1));
    fixture_free(f);
}

static void counts_what_does_not_fit(void **state)
{
    (void)state;
    struct fixture *f = fixture_new();
    for (int i = 0; i < DIAGS_MAX; i++)
        diag_add(&f->diags, SEVERITY_WARNING, DIAG_CHECK, at(1, 1, 1, 0), SPAN("w"), SPAN(""));
    diag_add(&f->diags, SEVERITY_ERROR, DIAG_VALUE, at(2, 1, 1, 7), SPAN("e"), SPAN(""));
    diag_add(&f->diags, SEVERITY_WARNING, DIAG_CHECK, at(1, 1, 1, 0), SPAN("w"), SPAN(""));
    assert_int_equal(f->diags.count, DIAGS_MAX);
    assert_int_equal(f->diags.errors, 1);
    assert_int_equal(f->diags.warnings, DIAGS_MAX + 1);
    struct span human = fixture_human(f);
    assert_true(span_find(human, SPAN("error[SP0202]: e")) >= 0); /* before a warning */
    assert_true(span_ends(human, SPAN("1 error, 101 warnings (the first 100 are shown)\n")));
    fixture_free(f);
}

static void knows_every_code(void **state)
{
    (void)state;
    for (unsigned i = 0; i < DIAG_COUNT; i++) {
        enum diag_code code = (enum diag_code)i, found;
        assert_true(diag_code_find(span_text(diag_code_text(code)), &found));
        assert_int_equal(found, code); /* none stands twice */
        assert_true(strlen(diag_code_cause(code)) > 10);
        assert_true(strlen(diag_code_remedy(code)) > 10);
    }
    enum diag_code code;
    assert_true(diag_code_find(SPAN("sp0103"), &code));
    assert_int_equal(code, DIAG_UNKNOWN_KEY);
    assert_false(diag_code_find(SPAN("SP9999"), &code));
}

int main(void)
{
    return RUN(TEST(looks_as_designed), TEST(shows_two_places), TEST(hides_secrets),
               TEST(sorts_and_keeps_the_order_of_equals),
               TEST(writes_nothing_that_moves_a_cursor), TEST(shows_a_window_of_long_lines),
               TEST(counts_what_does_not_fit), TEST(knows_every_code));
}
