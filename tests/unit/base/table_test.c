/* The table at its limit, with keys of any bytes, and with duplicates. */
#include "tests/unit/check.h"

#include "gateway/base/table.h"
#include "gateway/base/text.h"

enum { KEYS = 1000 };

static void full_to_capacity(void **state)
{
    (void)state;
    static char keys[KEYS][8];
    static int values[KEYS];
    struct arena arena;
    struct table table;
    arena_init(&arena, NULL, 0, NULL, 1 << 20);
    assert_int_equal(table_init(&table, &arena, KEYS), OK);
    assert_null(table_get(&table, SPAN("")));
    for (size_t i = 0; i < KEYS; i++) {
        struct text t = text_fixed(keys[i], sizeof(keys[i]));
        text_uint(&t, i);
        text_char(&t, '\0');
        assert_int_equal(table_put(&table, text_span(&t), &values[i]), OK);
        assert_int_equal(table_put(&table, text_span(&t), &values[0]), ERR_DUPLICATE);
    }
    int more;
    assert_int_equal(table_put(&table, SPAN("more"), &more), ERR_LIMIT);
    assert_true(table.mask + 1 >= (size_t)2 * KEYS); /* at most half full */
    for (size_t i = 0; i < KEYS; i++) {
        struct span key = span_of(keys[i], strlen(keys[i]) + 1);
        assert_ptr_equal(table_get(&table, key), &values[i]);
        assert_null(table_get(&table, span_of(keys[i], strlen(keys[i])))); /* without its NUL */
    }
    assert_null(table_get(&table, SPAN("more")));
    arena_reset(&arena);
}

static void edges(void **state)
{
    (void)state;
    struct arena arena;
    struct table table;
    int value;
    arena_init(&arena, NULL, 0, NULL, SLAB_BYTES);
    assert_int_equal(table_init(&table, &arena, 0), OK);
    assert_null(table_get(&table, SPAN("a")));
    assert_int_equal(table_put(&table, SPAN("a"), &value), ERR_LIMIT);
    assert_int_equal(table_init(&table, &arena, 1), OK);
    assert_int_equal(table_put(&table, span_of(NULL, 0), &value), OK); /* an empty key is one */
    assert_ptr_equal(table_get(&table, SPAN("")), &value);
    assert_int_equal(table_init(&table, &arena, 100000), ERR_MEMORY);
    assert_int_equal(table_init(&table, &arena, SIZE_MAX), ERR_LIMIT);
    arena_reset(&arena);
}

int main(void)
{
    return RUN(TEST(full_to_capacity), TEST(edges));
}
