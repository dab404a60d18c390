/* The scans answer what the table says, for every byte at every place; the table is the RFCs'.
 */
#include "gateway/http/chars.h"

#include <stdlib.h>

#include "tests/unit/check.h"

enum { ROOM = 40 };

static void test_table(void **state)
{
    (void)state;
    for (int c = 1; c < 256; c++) {
        bool alnum = (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z');
        bool unreserved = alnum || (c < 128 && strchr("-._~", c) != NULL);
        bool sub = c < 128 && strchr("!$&'()*+,;=", c) != NULL;
        bool path = unreserved || sub || c == ':' || c == '@' || c == '/';
        bool token = alnum || (c < 128 && strchr("!#$%&'*+-.^_`|~", c) != NULL);
        bool query =
            path || c == '?' || c == '%' || (c < 128 && strchr("[]|\"^{}`", c) != NULL);
        bool value = (c >= ' ' && c != 0x7f) || c == '\t';

        assert_int_equal(char_is((char)c, CHAR_UNRESERVED), unreserved);
        assert_int_equal(char_is((char)c, CHAR_HOST), unreserved);
        assert_int_equal(char_is((char)c, CHAR_PATH), path);
        assert_int_equal(char_is((char)c, CHAR_QUERY), query);
        assert_int_equal(char_is((char)c, CHAR_TOKEN), token);
        assert_int_equal(char_is((char)c, CHAR_VALUE), value);
    }
    assert_int_equal(char_classes[0], 0);
}

struct places {
    const char *name, *value, *word, *query, *path;
};

/* The same, one byte after the other. */
static struct places by_table(const char *p, const char *end)
{
    struct places at = { chars_skip(p, end, CHAR_TOKEN), chars_skip(p, end, CHAR_VALUE), p,
                         chars_skip(p, end, CHAR_QUERY), p + 1 };

    while (at.word < end && (uint8_t)*at.word > ' ' && *at.word != 0x7f)
        at.word++;
    while (at.path < end && char_is(*at.path, CHAR_PATH) && *at.path != ';' &&
           !((*at.path == '.' || *at.path == '/') && at.path[-1] == '/'))
        at.path++;
    return at;
}

static void check_scans(const char *p, const char *end)
{
    struct places at = by_table(p, end);
    bool odd = false, expected = false;

    assert_ptr_equal(scan_name(p, end, &odd), at.name);
    for (const char *q = p; q < at.name; q++)
        expected |= *q == '_' || *q == '.';
    assert_int_equal(odd, expected);
    assert_ptr_equal(scan_value(p, end), at.value);
    assert_ptr_equal(scan_word(p, end), at.word);
    assert_ptr_equal(scan_query(p, end), at.query);
    const char *path = scan_path(p, end);
    assert_int_equal(path == end, at.path == end);
    assert_true(path <= at.path);
}

static void test_scans(void **state)
{
    char *bytes = malloc(ROOM);

    (void)state;
    assert_non_null(bytes);
    for (int c = 0; c < 256; c++) {
        for (size_t at = 0; at < ROOM; at++) {
            memset(bytes, 'a', ROOM);
            bytes[0] = '/';
            bytes[at] = (char)c;
            check_scans(bytes, bytes + ROOM);
            bytes[0] = 'a';
            bytes[at] = (char)c;
            check_scans(bytes, bytes + ROOM);
            if (at + 1 < ROOM) {
                bytes[at + 1] = '/';
                check_scans(bytes, bytes + ROOM);
            }
        }
    }
    for (size_t len = 1; len < ROOM; len++) {
        memset(bytes, '/', 1);
        memset(bytes + 1, 'a', ROOM - 1);
        check_scans(bytes + ROOM - len, bytes + ROOM);
    }
    free(bytes);
}

int main(void)
{
    return RUN(TEST(test_table), TEST(test_scans));
}
