/* UUIDv7: layout, order within a reading of the clock and across readings, clock set back. */
#include "tests/unit/check.h"

#include "gateway/base/uuid.h"

enum { IDS = 2000 };

static void layout(void **state)
{
    (void)state;
    struct uuid_source source;
    char id[UUID_TEXT_BYTES + 1] = { [UUID_TEXT_BYTES] = '!' };
    uuid_source_init(&source);
    /* The time of the example in RFC 9562 appendix A.6: 017F22E2-79B0-7... */
    uuid_write(&source, 1645557742000u * 1000, id);
    assert_int_equal(id[UUID_TEXT_BYTES], '!');
    assert_memory_equal(id, "017f22e2-79b0-7000-", 19);
    assert_non_null(memchr("89ab", id[19], 4));
    for (size_t i = 0; i < UUID_TEXT_BYTES; i++)
        if (i == 8 || i == 13 || i == 18 || i == 23)
            assert_int_equal(id[i], '-');
        else
            assert_true(hex_value(id[i]) >= 0 && id[i] == ascii_lower(id[i]));
}

static void increases(struct uuid_source *source, const uint64_t *times, size_t count)
{
    char last[UUID_TEXT_BYTES] = { 0 }, id[UUID_TEXT_BYTES];
    for (size_t i = 0; i < count; i++) {
        uuid_write(source, times[i], id);
        if (memcmp(id, last, sizeof(id)) <= 0)
            fail_msg("id %zu: %.36s after %.36s", i, id, last);
        memcpy(last, id, sizeof(id));
    }
}

static void sorted(void **state)
{
    (void)state;
    static uint64_t times[IDS];
    struct uuid_source source;
    uuid_source_init(&source);
    for (size_t i = 0; i < IDS; i++) /* many ids of one reading, then of each microsecond */
        times[i] = 1700000000000999u + (i > IDS / 2 ? i - IDS / 2 : 0);
    increases(&source, times, IDS);

    uuid_source_init(&source);
    for (size_t i = 0; i < IDS; i++) /* a clock that goes back a millisecond at a time */
        times[i] = 1700000000000000u - i * 1000;
    increases(&source, times, IDS);
}

static void follows_a_clock_set_back_far(void **state)
{
    (void)state;
    struct uuid_source source;
    char id[UUID_TEXT_BYTES];
    uuid_source_init(&source);
    uuid_write(&source, 1900000000000000u, id);
    uuid_write(&source, 1645557742000000u, id);
    assert_memory_equal(id, "017f22e2-79b0-7", 15);
}

static void sources_differ(void **state)
{
    (void)state;
    struct uuid_source a, b;
    char first[UUID_TEXT_BYTES], second[UUID_TEXT_BYTES];
    uuid_source_init(&a);
    uuid_source_init(&b);
    uuid_write(&a, 1645557742000000u, first);
    uuid_write(&b, 1645557742000000u, second);
    assert_memory_not_equal(first, second, UUID_TEXT_BYTES);
}

int main(void)
{
    return RUN(TEST(layout), TEST(sorted), TEST(follows_a_clock_set_back_far),
               TEST(sources_differ));
}
