/* Dates: known ones, both ends of the range, and every day of 400 years against the C library.
 */
#include "tests/unit/check.h"

#include <time.h>

#include "gateway/base/clock.h"

static struct span write_with(void (*fn)(struct text *, uint64_t), uint64_t wall_us)
{
    static char buffer[64];
    struct text t = text_fixed(buffer, sizeof(buffer));
    fn(&t, wall_us);
    assert_false(t.overflow);
    return text_span(&t);
}

static void known_dates(void **state)
{
    (void)state;
    assert_text(write_with(clock_write_http, 784111777000000u),
                "Sun, 06 Nov 1994 08:49:37 GMT");
    assert_text(write_with(clock_write_iso, 1795252361503999u), "2026-11-21T09:12:41.503Z");
    assert_text(write_with(clock_write_iso, 0), "1970-01-01T00:00:00.000Z");
    assert_text(write_with(clock_write_iso, 951782400000000u), "2000-02-29T00:00:00.000Z");
    assert_text(write_with(clock_write_iso, 4107542400000000u), "2100-03-01T00:00:00.000Z");
    assert_text(write_with(clock_write_iso, 253402300799999999u), "9999-12-31T23:59:59.999Z");
    assert_text(write_with(clock_write_iso, UINT64_MAX), "9999-12-31T23:59:59.999Z");
}

static void every_day(void **state)
{
    (void)state;
    for (time_t day = 0; day < 400 * 366; day++) {
        time_t seconds = day * 86400 + day % 86400;
        char iso[64], http[64];
        struct tm tm;
        gmtime_r(&seconds, &tm);
        size_t iso_len = strftime(iso, sizeof(iso), "%Y-%m-%dT%H:%M:%S.000Z", &tm);
        size_t http_len = strftime(http, sizeof(http), "%a, %d %b %Y %H:%M:%S GMT", &tm);
        uint64_t wall_us = (uint64_t)seconds * 1000000;
        assert_span(write_with(clock_write_iso, wall_us), span_of(iso, iso_len));
        assert_span(write_with(clock_write_http, wall_us), span_of(http, http_len));
    }
}

static void reads(void **state)
{
    (void)state;
    struct clock first, second;
    clock_read(&first);
    clock_read(&second);
    assert_true(second.mono_ns >= first.mono_ns);
    assert_true(clock_mono_ns() >= second.mono_ns);
    assert_true(first.wall_us / 1000000 + 2 >= (uint64_t)time(NULL));
    assert_true(clock_ms(&(struct clock){ .mono_ns = 1999999 }) == 1);
}

int main(void)
{
    return RUN(TEST(known_dates), TEST(every_day), TEST(reads));
}
