/* Words of SecLang: quotes, escapes and continuations as Apache has them, and their places. */
#include "rules/seclang/lex.h"

#include "rules/seclang/program.h"
#include "tests/unit/check.h"

static struct arena arena;
static struct source source;

static int open_arena(void **state)
{
    (void)state;
    arena_init(&arena, NULL, 0, NULL, 1 << 24);
    return 0;
}

static int close_arena(void **state)
{
    (void)state;
    arena_reset(&arena);
    return 0;
}

static struct lexer lexer_on(const char *text)
{
    source = (struct source){ .name = SPAN("t"), .text = span_text(text) };
    return lexer_of(&source, &arena);
}

static void words_are_read_as_apache_reads_them(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        const char *words[5]; /* the name first */
    } rows[] = {
        { "A b c", { "A", "b", "c" } },
        { "  \tA\tb  \r\n", { "A", "b" } },
        { "A \"b c\" d", { "A", "b c", "d" } },
        { "A 'b \"c' d", { "A", "b \"c", "d" } },
        { "A \"x \\\"y\\\" z\"", { "A", "x \"y\" z" } },
        { "A 'it\\'s'", { "A", "it's" } },
        { "A \"it\\'s\"", { "A", "it\\'s" } },
        { "A \"\\d \\\\d \\\\\\\\\"", { "A", "\\d \\d \\\\" } },
        { "A b\\\\c \\d\"e", { "A", "b\\c", "\\d\"e" } },
        { "A \"b\"c", { "A", "b", "c" } },
        { "A \"\" ''", { "A", "", "" } },
        { "A b \\\n   c", { "A", "b", "c" } },
        { "A b\\\nc", { "A", "bc" } },
        { "A b\\\r\nc", { "A", "bc" } },
        { "A \"b,\\\n   c\"", { "A", "b,   c" } },
        { "A \"b\\\\\n\\c\"", { "A", "b\\c" } }, /* the pair stands across the lines */
        { "A \"b\\\\\nc\"", { "A", "b\\c" } },
        { "A b#c #d", { "A", "b#c", "#d" } },
        { "# x\n\n  # y \\\n  not this\nA b", { "A", "b" } },
        { "A\\\n", { "A" } },
        { "A b\\", { "A", "b\\" } },
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct lexer lexer = lexer_on(rows[i].text);
        struct statement statement;
        assert_int_equal(lex_next(&lexer, &statement), LEXED_STATEMENT);
        assert_span(statement.name.text, span_text(rows[i].words[0]));
        unsigned count = 0;
        while (rows[i].words[count + 1] != NULL) {
            assert_in_range(statement.count, count + 1, 10);
            assert_span(statement.words[count].text, span_text(rows[i].words[count + 1]));
            count++;
        }
        if (statement.count != count)
            fail_msg("%s: %u words", rows[i].text, statement.count);
        assert_int_equal(lex_next(&lexer, &statement), LEXED_END);
    }
}

static void places_go_through_escapes_and_continuations(void **state)
{
    (void)state;
    static const struct {
        const char *text, *part;
        unsigned line, column, width;
    } rows[] = {
        { "A \"abc\"", "bc", 1, 5, 2 },
        { "A \"\\\\a\\\"bc\"", "bc", 1, 9, 2 },
        { "A \"a,\\\n  bc\"", "bc", 2, 3, 2 },
        { "# x \\\n#\nA 'q' \\\r\n\t\"ab\\\r\nc\"", "c", 5, 1, 1 },
        { "A \"\xc3\xa9\xc3\xa9 bc\"", "bc", 1, 7, 2 },
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct lexer lexer = lexer_on(rows[i].text);
        struct statement statement;
        assert_int_equal(lex_next(&lexer, &statement), LEXED_STATEMENT);
        const struct word *word = &statement.words[statement.count - 1];
        ssize_t at = span_find(word->text, span_text(rows[i].part));
        assert_true(at >= 0);
        struct span part = span_sub(word->text, (size_t)at, strlen(rows[i].part));
        struct place place = word_place_of(word, part);
        if (place.line != rows[i].line || place.column != rows[i].column ||
            place.width != rows[i].width)
            fail_msg("%s: %u:%u+%u", rows[i].text, place.line, place.column, place.width);
    }
    /* What is no part of the word is all of it. */
    struct lexer lexer = lexer_on("A \"abc\"");
    struct statement statement;
    assert_int_equal(lex_next(&lexer, &statement), LEXED_STATEMENT);
    assert_int_equal(word_place_of(&statement.words[0], SPAN("abc")).width, 3);
}

static void blocks_have_a_name_and_words(void **state)
{
    (void)state;
    struct lexer lexer = lexer_on("<IfModule !x>\n</IfModule>\n< b>\n<b\n<>");
    struct statement s;
    assert_int_equal(lex_next(&lexer, &s), LEXED_STATEMENT);
    assert_int_equal(s.block, BLOCK_OPEN);
    assert_text(s.name.text, "IfModule");
    assert_int_equal(s.count, 1);
    assert_text(s.words[0].text, "!x");
    assert_int_equal(lex_next(&lexer, &s), LEXED_STATEMENT);
    assert_int_equal(s.block, BLOCK_CLOSE);
    assert_text(s.name.text, "IfModule");
    assert_int_equal(s.count, 0);
    assert_int_equal(lex_next(&lexer, &s), LEXED_FAULT);
    assert_int_equal(lex_next(&lexer, &s), LEXED_FAULT);
    assert_int_equal(lexer.place.line, 4);
    assert_int_equal(lex_next(&lexer, &s), LEXED_STATEMENT);
    assert_int_equal(s.name.text.len, 0);
    assert_int_equal(lex_next(&lexer, &s), LEXED_END);
}

static void an_open_quote_is_a_fault_and_the_next_line_is_read(void **state)
{
    (void)state;
    struct lexer lexer = lexer_on("A b \"c d\nB c\n");
    struct statement s;
    assert_int_equal(lex_next(&lexer, &s), LEXED_FAULT);
    assert_int_equal(lexer.place.line, 1);
    assert_int_equal(lexer.place.column, 6);
    assert_int_equal(lex_next(&lexer, &s), LEXED_STATEMENT);
    assert_text(s.name.text, "B");
}

/* `A`, then `count` words of one letter. */
static enum lexed read_many(unsigned count)
{
    char *text = arena_alloc(&arena, 2 * (size_t)count + 2);
    size_t len = 0;
    text[len++] = 'A';
    for (unsigned i = 0; i < count; i++) {
        text[len++] = ' ';
        text[len++] = 'b';
    }
    source = (struct source){ .text = span_of(text, len) };
    struct lexer lexer = lexer_of(&source, &arena);
    struct statement s;
    return lex_next(&lexer, &s);
}

static void words_are_limited(void **state)
{
    (void)state;
    assert_int_equal(read_many(SECLANG_WORDS_MAX - 1), LEXED_STATEMENT);
    assert_int_equal(read_many(SECLANG_WORDS_MAX), LEXED_STATEMENT);
    assert_int_equal(read_many(SECLANG_WORDS_MAX + 1), LEXED_FAULT);
}

static enum lexed read_long(size_t len)
{
    char *text = arena_alloc(&arena, len);
    memset(text, 'x', len);
    source = (struct source){ .text = span_of(text, len) };
    struct lexer lexer = lexer_of(&source, &arena);
    struct statement s;
    return lex_next(&lexer, &s);
}

static void lines_are_limited(void **state)
{
    (void)state;
    assert_int_equal(read_long(SECLANG_LINE_BYTES_MAX), LEXED_STATEMENT);
    assert_int_equal(read_long(SECLANG_LINE_BYTES_MAX + 1), LEXED_FAULT);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(words_are_read_as_apache_reads_them),
        TEST(places_go_through_escapes_and_continuations),
        TEST(blocks_have_a_name_and_words),
        TEST(an_open_quote_is_a_fault_and_the_next_line_is_read),
        TEST(words_are_limited),
        TEST(lines_are_limited),
    };
    return cmocka_run_group_tests(tests, open_arena, close_arena);
}
