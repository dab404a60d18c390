/*
 * Fingerprints made here are those that libinjection makes, in each context; and what is told
 * before a value's end is so.
 */
#include "rules/sql_fold.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "rules/detect.h"

enum { QUOTE_NONE = 1, QUOTE_SINGLE = 2, QUOTE_DOUBLE = 4, SQL_ANSI = 8, SQL_MYSQL = 16 };
enum { STATE_ROOM = 4096, TEXT_BYTES = 512 };

void libinjection_sqli_init(void *state, const char *s, size_t len, int flags);
const char *libinjection_sqli_fingerprint(void *state, int flags);
int libinjection_sqli_check_fingerprint(void *state);

static const struct {
    struct sql_context context;
    int flags;
} contexts[] = {
    { { '\0', false }, QUOTE_NONE | SQL_ANSI },   { { '\0', true }, QUOTE_NONE | SQL_MYSQL },
    { { '\'', false }, QUOTE_SINGLE | SQL_ANSI }, { { '\'', true }, QUOTE_SINGLE | SQL_MYSQL },
    { { '"', true }, QUOTE_DOUBLE | SQL_MYSQL },
};

/* How much was told, and how. */
static struct {
    size_t early, fired, whole, unsaid;
} told;

/* libinjection fires on it wherever it is; sql_fold is not asked then. */
static bool is_evil(struct span value)
{
    return span_find(value, SPAN("/*")) >= 0 ||
           (span_index(value, '{') >= 0 && span_index(value, '`') >= 0);
}

static void check_context(struct span value, size_t i)
{
    _Alignas(16) char state[STATE_ROOM];
    struct sql_folded folded;
    bool possible = sql_fold(value, contexts[i].context, &folded);
    libinjection_sqli_init(state, value.p, value.len, 0);
    const char *types = libinjection_sqli_fingerprint(state, contexts[i].flags);
    bool fires = libinjection_sqli_check_fingerprint(state) != 0;
    if (fires && !possible)
        fail_msg("context %zu: \"%.*s\" has \"%s\"", i, (int)value.len, value.p, types);
    if (folded.whole && strcmp(folded.types, types) != 0)
        fail_msg("context %zu: \"%.*s\" has \"%s\", not \"%s\"", i, (int)value.len, value.p,
                 types, folded.types);
    told.early += !possible && !folded.whole;
    told.unsaid += possible && !folded.whole;
    told.whole += folded.whole;
    told.fired += fires;
}

/* The value is where no byte behind it may be read. */
static void check(struct span value)
{
    if (value.len == 0 || is_evil(value))
        return;
    char *text = malloc(value.len);
    assert_non_null(text);
    memcpy(text, value.p, value.len);
    for (size_t i = 0; i < ARRAY_LEN(contexts); i++)
        check_context(span_of(text, value.len), i);
    free(text);
}

/* Every rule has something here. */
static const char *const parts[] = {
    "select",      "union",
    "all",         "distinct",
    "from",        "where",
    "and",         "or",
    "not",         "in",
    "like",        "is",
    "null",        "group",
    "by",          "order",
    "lock",        "share",
    "mode",        "into",
    "outfile",     "exec",
    "if",          "ifnull",
    "sleep",       "user",
    "password",    "current_user",
    "int",         "varchar",
    "collate",     "a_b",
    "waitfor",     "delay",
    "create",      "similar",
    "to",          "foo",
    "1",           "2.5",
    "1e",          "0x1f",
    "0b",          "1f",
    "1.e3",        "'",
    "\"",          "`",
    "``",          "\\'",
    "\\",          "\\N",
    "--",          "-- ",
    "#",           "\n",
    "/",           "-",
    "+",           "!!",
    "&&",          "||",
    "::",          ":=",
    ":",           "<=>",
    "<",           "=",
    "*",           "(",
    ")",           ",",
    ";",           "{",
    "}",           "[",
    "]",           "@",
    "@@a",         "@user",
    "$",           "$1",
    "$.",          "$a",
    ".",           "a.b",
    "select.1",    "user.x",
    "e'",          "n'",
    "\xa0",        "\xc3\xa9",
    "?",           "%",
    "it's",        "O'Neill",
    "sp_password", "a123456789012345678901234567890",
};

static void add(char *text, size_t *len, const char *part)
{
    size_t size = strlen(part);
    if (*len + size > TEXT_BYTES)
        return;
    memcpy(text + *len, part, size);
    *len += size;
}

static void test_pairs(void **state)
{
    (void)state;
    static const char *const between[] = { "", " " };
    for (size_t i = 0; i < ARRAY_LEN(parts) * ARRAY_LEN(parts); i++) {
        for (size_t k = 0; k < ARRAY_LEN(between); k++) {
            char text[TEXT_BYTES];
            size_t len = 0;
            add(text, &len, parts[i / ARRAY_LEN(parts)]);
            add(text, &len, between[k]);
            add(text, &len, parts[i % ARRAY_LEN(parts)]);
            check(span_of(text, len));
        }
    }
}

/* Each byte first, last and within. */
static void test_bytes(void **state)
{
    (void)state;
    for (unsigned c = 0; c < 256; c++) {
        static const char *const around[][2] = {
            { "", "" },     { "", "1" },    { "a", "" },
            { "ab", "cd" }, { "1", "a=1" }, { "x' ", "1" },
        };
        for (size_t i = 0; i < ARRAY_LEN(around); i++) {
            char text[TEXT_BYTES];
            size_t len = 0;
            add(text, &len, around[i][0]);
            text[len++] = (char)c;
            add(text, &len, around[i][1]);
            check(span_of(text, len));
        }
    }
}

static unsigned draw(uint64_t *random, size_t of)
{
    *random ^= *random << 13;
    *random ^= *random >> 7;
    *random ^= *random << 17;
    return (unsigned)((*random >> 20) % of);
}

/* Some parts, with spaces between some, and a byte of any kind at times. */
static void test_mixed(void **state)
{
    (void)state;
    enum { VALUES = 60000, PARTS_MAX = 9 };
    uint64_t random = 88172645463325252u;
    for (unsigned i = 0; i < VALUES; i++) {
        char text[TEXT_BYTES];
        size_t len = 0;
        unsigned spaced = draw(&random, 3);
        for (unsigned left = 2 + draw(&random, PARTS_MAX - 1); left > 0; left--) {
            add(text, &len, parts[draw(&random, ARRAY_LEN(parts))]);
            if (spaced > 0 && draw(&random, 3) < spaced)
                add(text, &len, " ");
            if (draw(&random, 50) == 0)
                text[draw(&random, len)] = (char)draw(&random, 256);
        }
        check(span_of(text, len));
    }
    /* Each of it was there, or this says nothing. */
    assert_true(told.early > 10000);
    assert_true(told.whole > 100000);
    assert_true(told.fired > 500);
    assert_true(told.unsaid < told.whole / 10);
}

/* Where a token is changed after those before it were looked at. */
static void test_late_changes(void **state)
{
    (void)state;
    static const struct span values[] = {
        SPAN_INIT(",-is distinct froma\\'"),
        SPAN_INIT(", - is distinct from\\ 'a"),
        SPAN_INIT("1 in (1) in (1)"),
        SPAN_INIT("a user(1"),
        SPAN_INIT("1 ; if(1"),
        SPAN_INIT("a collate a_b + 1"),
        SPAN_INIT("1,(1),(1),(1)"),
        SPAN_INIT("a-(a)-(a)-(a)"),
        SPAN_INIT(
            "lock in share mode lock in share mode lock in share mode lock in share mode"),
        SPAN_INIT("a lock in share mode"),
        SPAN_INIT("'a' 'b' 'c' || 1"),
        SPAN_INIT("n-- \n(--a"),
        SPAN_INIT("a #b\n or 1=1"),
    };
    for (size_t i = 0; i < ARRAY_LEN(values); i++)
        check(values[i]);
}

static int prepare(void **state)
{
    (void)state;
    detect_prepare();
    return sqli_possible(SPAN("a b")); /* or nothing is told */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_pairs),
        cmocka_unit_test(test_bytes),
        cmocka_unit_test(test_mixed),
        cmocka_unit_test(test_late_changes),
    };
    return cmocka_run_group_tests(tests, prepare, NULL);
}
