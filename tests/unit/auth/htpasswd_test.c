/* htpasswd files: what a line may be, and that a bad one refuses the whole. */
#include "auth/htpasswd.h"

#include <stdlib.h>

#include "gateway/base/text.h"
#include "tests/unit/check.h"

static struct arena arena;

static enum err parse(struct span text, struct htpasswd *file, unsigned *line)
{
    arena_reset(&arena);
    arena_init(&arena, NULL, 0, NULL, 64 << 20);
    *file = (struct htpasswd){ NULL, 0 };
    *line = 999;
    return htpasswd_parse(text, &arena, file, line);
}

static void reads_files(void **state)
{
    (void)state;
    static const struct {
        struct span text;
        enum err err;
        size_t count;
        unsigned line;
    } rows[] = {
        { SPAN_INIT(""), OK, 0, 0 },
        { SPAN_INIT("# nobody\n\n"), OK, 0, 0 },
        { SPAN_INIT("ann:$2y$x"), OK, 1, 0 },
        { SPAN_INIT("ann:x\r\nbob:y\r\n  # who else\r\n\xc3\xa9ve:z\n"), OK, 3, 0 },
        { SPAN_INIT("ann\n"), ERR_SYNTAX, 0, 1 },
        { SPAN_INIT("ann:x\nbob:\n"), ERR_SYNTAX, 0, 2 },
        { SPAN_INIT(":x\n"), ERR_SYNTAX, 0, 1 },
        { SPAN_INIT("ann:x:y\n"), ERR_SYNTAX, 0, 1 }, /* htdigest */
        { SPAN_INIT("ann:x y\n"), ERR_SYNTAX, 0, 1 },
        { SPAN_INIT("an\tn:x\n"), ERR_SYNTAX, 0, 1 },
        { SPAN_INIT("an\0n:x\n"), ERR_SYNTAX, 0, 1 },
        { SPAN_INIT("ann :x\n"), ERR_SYNTAX, 0, 1 },
        { SPAN_INIT("ann:x\n#\nann:y\n"), ERR_DUPLICATE, 0, 3 },
    };
    struct htpasswd file;
    unsigned line;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        assert_int_equal(parse(rows[i].text, &file, &line), rows[i].err);
        assert_int_equal(file.count, rows[i].count);
        assert_int_equal(line, rows[i].line);
    }
    assert_int_equal(parse(SPAN(" ann:x\nAnn:$y$1\r\n"), &file, &line), OK);
    assert_text(file.users[0].name, "ann");
    assert_text(file.users[1].name, "Ann");
    assert_text(file.users[1].hash, "$y$1");
    assert_int_equal(file.users[1].line, 2);
    arena_reset(&arena);
}

static void bounds_names_and_users(void **state)
{
    (void)state;
    char name[300];
    memset(name, 'n', sizeof(name));
    assert_true(htpasswd_name_valid(span_of(name, HTPASSWD_NAME_BYTES_MAX)));
    assert_false(htpasswd_name_valid(span_of(name, HTPASSWD_NAME_BYTES_MAX + 1)));
    assert_false(htpasswd_name_valid(SPAN("")));

    size_t len = 0, size = (size_t)(HTPASSWD_USERS_MAX + 1) * 16;
    char *text = malloc(size);
    assert_non_null(text);
    struct text out = text_fixed(text, size);
    for (unsigned i = 0; i <= HTPASSWD_USERS_MAX; i++) {
        len = i == HTPASSWD_USERS_MAX ? out.len : 0;
        text_uint(&out, i);
        text_lit(&out, ":x\n");
    }
    struct htpasswd file;
    unsigned line;
    assert_int_equal(parse(span_of(text, len), &file, &line), OK);
    assert_int_equal(file.count, HTPASSWD_USERS_MAX);
    assert_int_equal(parse(text_span(&out), &file, &line), ERR_LIMIT);
    assert_int_equal(parse(span_of(text, (size_t)HTPASSWD_FILE_MAX + 1), &file, &line),
                     ERR_LIMIT);
    free(text);
    arena_reset(&arena);
}

int main(void)
{
    return RUN(TEST(reads_files), TEST(bounds_names_and_users));
}
