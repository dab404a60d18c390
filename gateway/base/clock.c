/* Reading the clocks, and the two ways to write a date. */
#include "gateway/base/clock.h"

#include <time.h>

/* The last microsecond with a year of four digits: beyond it, dates stand still. */
#define WALL_US_MAX 253402300799999999u

struct date {
    unsigned year, month, day; /* from 1 */
    unsigned weekday;          /* 0: Sunday */
    unsigned hour, minute, second;
};

static uint64_t read_ns(clockid_t id)
{
    struct timespec now;
    INVARIANT(clock_gettime(id, &now) == 0);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

uint64_t clock_mono_ns(void)
{
    return read_ns(CLOCK_MONOTONIC);
}

void clock_read(struct clock *clock)
{
    clock->mono_ns = read_ns(CLOCK_MONOTONIC);
    clock->wall_us = read_ns(CLOCK_REALTIME) / 1000;
}

/*
 * The Gregorian calendar by eras of 400 years of 146,097 days, with years that begin in March,
 * so that the leap day is a year's last. gmtime_r is not used: it takes a lock and reads TZ
 * files.
 */
static struct date date_of(uint64_t seconds)
{
    unsigned in_day = (unsigned)(seconds % 86400);
    unsigned days = (unsigned)(seconds / 86400);
    unsigned shifted = days + 719468; /* since 1 March of the year 0 */
    unsigned era = shifted / 146097, of_era = shifted % 146097;
    unsigned year = (of_era - of_era / 1460 + of_era / 36524 - of_era / 146096) / 365;
    unsigned of_year = of_era - (365 * year + year / 4 - year / 100);
    unsigned march = (5 * of_year + 2) / 153; /* months since March */
    unsigned month = march < 10 ? march + 3 : march - 9;
    return (struct date){
        .year = era * 400 + year + (month <= 2),
        .month = month,
        .day = of_year - (153 * march + 2) / 5 + 1,
        .weekday = (days + 4) % 7,
        .hour = in_day / 3600,
        .minute = in_day / 60 % 60,
        .second = in_day % 60,
    };
}

static char *put(char *p, unsigned value, unsigned digits, char after)
{
    for (unsigned i = digits; i-- > 0; value /= 10)
        p[i] = (char)('0' + value % 10);
    p[digits] = after;
    return p + digits + 1;
}

static uint64_t clamped(uint64_t wall_us)
{
    return wall_us > WALL_US_MAX ? WALL_US_MAX : wall_us;
}

void clock_write_iso(struct text *out, uint64_t wall_us)
{
    wall_us = clamped(wall_us);
    struct date d = date_of(wall_us / 1000000);
    char buffer[24];
    char *p = put(buffer, d.year, 4, '-');
    p = put(p, d.month, 2, '-');
    p = put(p, d.day, 2, 'T');
    p = put(p, d.hour, 2, ':');
    p = put(p, d.minute, 2, ':');
    p = put(p, d.second, 2, '.');
    p = put(p, (unsigned)(wall_us / 1000 % 1000), 3, 'Z');
    text_add(out, span_range(buffer, p));
}

void clock_write_http(struct text *out, uint64_t wall_us)
{
    static const char weekdays[] = "Sun, Mon, Tue, Wed, Thu, Fri, Sat, ";
    static const char months[] = "Jan Feb Mar Apr May Jun Jul Aug Sep Oct Nov Dec ";

    struct date d = date_of(clamped(wall_us) / 1000000);
    char buffer[32];
    memcpy(buffer, weekdays + (size_t)5 * d.weekday, 5);
    char *p = put(buffer + 5, d.day, 2, ' ');
    memcpy(p, months + (size_t)4 * (d.month - 1), 4);
    p = put(p + 4, d.year, 4, ' ');
    p = put(p, d.hour, 2, ':');
    p = put(p, d.minute, 2, ':');
    p = put(p, d.second, 2, ' ');
    memcpy(p, "GMT", 3);
    text_add(out, span_range(buffer, p + 3));
}
