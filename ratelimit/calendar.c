/* Civil time by arithmetic; days count from 1970-01-01, a Thursday. */
#include "ratelimit/calendar.h"

#include <stdlib.h>
#include <time.h>
#include <unistd.h>

enum { HOUR_S = 3600, DAY_S = 86400, ZONE_NAME_MAX = 64, THURSDAY = 3 };

/* ---- zones, at load ---- */

static bool zone_name_ok(struct span zone)
{
    for (size_t i = 0; i < zone.len; i++) {
        char c = ascii_lower(zone.p[i]);
        if ((c < 'a' || c > 'z') && (c < '0' || c > '9') && c != '/' && c != '_' && c != '+' &&
            c != '-')
            return false;
    }
    return zone.len < ZONE_NAME_MAX && zone.len > 0 && zone.p[0] != '/';
}

static int32_t offset_now(int64_t at_s)
{
    time_t at = (time_t)at_s;
    struct tm tm;
    return localtime_r(&at, &tm) != NULL ? (int32_t)tm.tm_gmtoff : 0;
}

static bool add_change(struct calendar *calendar, int64_t from_s, int32_t offset_s)
{
    if (calendar->change_count == ZONE_CHANGES_MAX)
        return false;
    calendar->changes[calendar->change_count].from_s = from_s;
    calendar->changes[calendar->change_count++].offset_s = offset_s;
    return true;
}

/* The second between `low` and `high` at which the offset changes. */
static int64_t find_change(int64_t low, int64_t high)
{
    int32_t before = offset_now(low);
    while (high - low > 1) {
        int64_t middle = low + (high - low) / 2;
        if (offset_now(middle) == before)
            low = middle;
        else
            high = middle;
    }
    return high;
}

/* No zone changes twice within a day. */
static bool read_changes(struct calendar *calendar, int64_t from_s)
{
    int64_t at = from_s - 366 * (int64_t)DAY_S, end = at + ZONE_YEARS * 366 * (int64_t)DAY_S;
    int32_t offset = offset_now(at);
    if (!add_change(calendar, at, offset))
        return false;
    for (; at < end; at += DAY_S) {
        if (offset_now(at + DAY_S) == offset)
            continue;
        offset = offset_now(at + DAY_S);
        if (!add_change(calendar, find_change(at, at + DAY_S), offset))
            return false;
    }
    return true;
}

const char *calendar_open(struct calendar *calendar, enum window window, unsigned anchor,
                          struct span zone, int64_t from_s)
{
    char path[ZONE_NAME_MAX + 32], name[ZONE_NAME_MAX + 2];
    struct text file = text_fixed(path, sizeof(path)), value = text_fixed(name, sizeof(name));
    *calendar = (struct calendar){ .window = window, .anchor = anchor > 0 ? anchor : 1 };
    if (window == WINDOW_WEEK && calendar->anchor > 7)
        return "a week begins on day 1 (Monday) to 7";
    if (calendar->anchor > ANCHOR_DAY_MAX)
        return "a month begins on day 1 to 28, which every month has";
    if (zone.len == 0)
        return add_change(calendar, 0, 0) ? NULL : "no room";
    if (!zone_name_ok(zone))
        return "a zone is named as in the tz database: Europe/Berlin";
    text_lit(&file, "/usr/share/zoneinfo/");
    text_add(&file, zone);
    text_char(&value, ':');
    text_add(&value, zone);
    const char *found = text_cstring(&file), *set = text_cstring(&value);
    if (found == NULL || set == NULL || access(found, R_OK) != 0)
        return "no such time zone in /usr/share/zoneinfo";

    /* While a configuration is loaded there are no threads:
     * NOLINTBEGIN(concurrency-mt-unsafe) */
    const char *before = getenv("TZ");
    char *kept = before != NULL ? strdup(before) : NULL;
    (void)setenv("TZ", set, 1);
    tzset();
    bool read = read_changes(calendar, from_s);
    if (kept != NULL)
        (void)setenv("TZ", kept, 1);
    else
        (void)unsetenv("TZ");
    /* NOLINTEND(concurrency-mt-unsafe) */
    tzset();
    free(kept);
    return read ? NULL : "the zone changes its time too often";
}

/* ---- later ---- */

static int64_t offset_at(const struct calendar *calendar, int64_t utc_s)
{
    unsigned i = calendar->change_count - 1;
    while (i > 0 && calendar->changes[i].from_s > utc_s)
        i--;
    return calendar->changes[i].offset_s;
}

/* A local time that a change skips is the moment of the change; of one that comes twice, the
 * first. */
static int64_t to_utc(const struct calendar *calendar, int64_t local_s)
{
    int64_t early = local_s - offset_at(calendar, local_s - DAY_S);
    int64_t late = local_s - offset_at(calendar, local_s + DAY_S);
    int64_t first = early < late ? early : late, second = early < late ? late : early;
    return first + offset_at(calendar, first) == local_s ? first : second;
}

static int64_t floor_div(int64_t a, int64_t b)
{
    return a / b - (a % b != 0 && (a < 0) != (b < 0));
}

/* Day number of year, month (1 to 12), day: years from March, 400 of them have 146097 days. */
static int64_t day_of(int64_t year, int64_t month, int64_t day)
{
    int64_t months = year * 12 + month - 3, y = floor_div(months, 12), m = months - y * 12;
    int64_t leaps = floor_div(y, 4) - floor_div(y, 100) + floor_div(y, 400);
    return y * 365 + leaps + (153 * m + 2) / 5 + day - 1 - 719468;
}

/* The month that has this day, by search from near below. */
static void month_of(int64_t day, int64_t *year, int64_t *month)
{
    *year = 1970 + floor_div(day * 400, 146097) - 1;
    *month = 1;
    while (day_of(*year + 1, 1, 1) <= day)
        (*year)++;
    while (*month < 12 && day_of(*year, *month + 1, 1) <= day)
        (*month)++;
}

static void month_window(int64_t day, unsigned anchor, int64_t *begin, int64_t *end)
{
    int64_t year, month;
    month_of(day, &year, &month);
    if (day < day_of(year, month, anchor))
        month--; /* 0 is December of the year before: day_of counts months */
    *begin = day_of(year, month, anchor);
    *end = day_of(year, month + 1, anchor);
}

void calendar_window(const struct calendar *calendar, int64_t now_s, int64_t *begin_s,
                     int64_t *end_s)
{
    int64_t local = now_s + offset_at(calendar, now_s), day = floor_div(local, DAY_S);
    int64_t begin = day, end = day + 1;
    switch (calendar->window) {
    case WINDOW_HOUR: /* as long as an hour is, whatever a change does to its name */
        *begin_s = now_s - (local - floor_div(local, HOUR_S) * HOUR_S);
        *end_s = *begin_s + HOUR_S;
        return;
    case WINDOW_DAY:
        break;
    case WINDOW_WEEK: {
        int64_t since = day + THURSDAY - (calendar->anchor - 1);
        begin = day - (since - floor_div(since, 7) * 7);
        end = begin + 7;
        break;
    }
    case WINDOW_MONTH:
        month_window(day, calendar->anchor, &begin, &end);
        break;
    }
    *begin_s = to_utc(calendar, begin * DAY_S);
    *end_s = to_utc(calendar, end * DAY_S);
}
