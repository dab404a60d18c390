/* Windows of days, weeks and months across leap years, month ends and changes of the clock. */
#include "ratelimit/calendar.h"

#include <time.h>

#include "tests/unit/check.h"

static int64_t utc(int year, int month, int day, int hour, int minute)
{
    struct tm tm = { .tm_year = year - 1900,
                     .tm_mon = month - 1,
                     .tm_mday = day,
                     .tm_hour = hour,
                     .tm_min = minute };
    return (int64_t)timegm(&tm);
}

static void expect(const struct calendar *calendar, int64_t now, int64_t begin, int64_t end)
{
    int64_t got_begin, got_end;
    calendar_window(calendar, now, &got_begin, &got_end);
    assert_int_equal(got_begin, begin);
    assert_int_equal(got_end, end);
    assert_true(got_begin <= now && now < got_end);
}

static void in_utc(void **state)
{
    (void)state;
    struct calendar c;
    int64_t load = utc(2026, 1, 1, 0, 0);
    assert_null(calendar_open(&c, WINDOW_DAY, 0, SPAN(""), load));
    expect(&c, utc(2028, 2, 29, 23, 59), utc(2028, 2, 29, 0, 0), utc(2028, 3, 1, 0, 0));
    assert_null(calendar_open(&c, WINDOW_HOUR, 0, SPAN(""), load));
    expect(&c, utc(2026, 12, 31, 23, 30), utc(2026, 12, 31, 23, 0), utc(2027, 1, 1, 0, 0));
    assert_null(calendar_open(&c, WINDOW_WEEK, 0, SPAN(""), load));
    expect(&c, utc(2026, 11, 22, 10, 0), utc(2026, 11, 16, 0, 0), utc(2026, 11, 23, 0, 0));
    assert_null(calendar_open(&c, WINDOW_WEEK, 7, SPAN(""), load));
    expect(&c, utc(2026, 11, 22, 10, 0), utc(2026, 11, 22, 0, 0), utc(2026, 11, 29, 0, 0));
    assert_null(calendar_open(&c, WINDOW_MONTH, 0, SPAN(""), load));
    expect(&c, utc(2027, 2, 28, 23, 59), utc(2027, 2, 1, 0, 0), utc(2027, 3, 1, 0, 0));
    expect(&c, utc(2026, 12, 1, 0, 0), utc(2026, 12, 1, 0, 0), utc(2027, 1, 1, 0, 0));
    assert_null(calendar_open(&c, WINDOW_MONTH, 15, SPAN(""), load));
    expect(&c, utc(2027, 1, 14, 23, 59), utc(2026, 12, 15, 0, 0), utc(2027, 1, 15, 0, 0));
    expect(&c, utc(2027, 1, 15, 0, 0), utc(2027, 1, 15, 0, 0), utc(2027, 2, 15, 0, 0));
}

/* Days of 23 and 25 hours, and months that begin in another offset than they end in. */
static void with_summer_time(void **state)
{
    (void)state;
    struct calendar c;
    int64_t load = utc(2026, 11, 21, 0, 0);
    assert_null(calendar_open(&c, WINDOW_DAY, 0, SPAN("Europe/Berlin"), load));
    expect(&c, utc(2027, 3, 28, 12, 0), utc(2027, 3, 27, 23, 0), utc(2027, 3, 28, 22, 0));
    expect(&c, utc(2027, 10, 31, 12, 0), utc(2027, 10, 30, 22, 0), utc(2027, 10, 31, 23, 0));
    expect(&c, utc(2027, 7, 1, 22, 0), utc(2027, 7, 1, 22, 0), utc(2027, 7, 2, 22, 0));
    assert_null(calendar_open(&c, WINDOW_MONTH, 1, SPAN("Europe/Berlin"), load));
    expect(&c, utc(2027, 3, 15, 0, 0), utc(2027, 2, 28, 23, 0), utc(2027, 3, 31, 22, 0));
    assert_null(calendar_open(&c, WINDOW_DAY, 0, SPAN("America/New_York"), load));
    expect(&c, utc(2027, 3, 14, 12, 0), utc(2027, 3, 14, 5, 0), utc(2027, 3, 15, 4, 0));
}

/* Every second belongs to exactly one window: they join without a gap, whatever the zone. */
static void windows_join(void **state)
{
    (void)state;
    static const struct span zones[] = {
        SPAN_INIT("Europe/Berlin"),       SPAN_INIT("America/Havana"),
        SPAN_INIT("Australia/Lord_Howe"), SPAN_INIT("Asia/Kolkata"),
        SPAN_INIT("Africa/Cairo"),
    };
    for (size_t z = 0; z < ARRAY_LEN(zones); z++) {
        for (enum window w = WINDOW_DAY; w <= WINDOW_MONTH; w++) {
            struct calendar c;
            int64_t at = utc(2026, 11, 21, 7, 0), stop = utc(2030, 1, 1, 0, 0), begin, end,
                    next;
            assert_null(calendar_open(&c, w, 0, zones[z], at));
            calendar_window(&c, at, &begin, &end);
            while (end < stop) {
                calendar_window(&c, end - 1, &begin, &next);
                assert_int_equal(next, end);
                calendar_window(&c, end, &begin, &next);
                assert_int_equal(begin, end);
                assert_true(next > end);
                end = next;
            }
        }
    }
}

static void refuses_what_it_does_not_know(void **state)
{
    (void)state;
    struct calendar c;
    assert_non_null(calendar_open(&c, WINDOW_DAY, 0, SPAN("Mars/Olympus"), 0));
    assert_non_null(calendar_open(&c, WINDOW_DAY, 0, SPAN("../../../etc/passwd"), 0));
    assert_non_null(calendar_open(&c, WINDOW_DAY, 0, SPAN("/etc/localtime"), 0));
    assert_non_null(calendar_open(&c, WINDOW_MONTH, 29, SPAN(""), 0));
    assert_null(calendar_open(&c, WINDOW_MONTH, 28, SPAN(""), 0));
    assert_non_null(calendar_open(&c, WINDOW_WEEK, 8, SPAN(""), 0));
}

int main(void)
{
    return RUN(TEST(in_utc), TEST(with_summer_time), TEST(windows_join),
               TEST(refuses_what_it_does_not_know));
}
