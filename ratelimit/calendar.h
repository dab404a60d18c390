/*
 * Windows of a calendar: the hour, day, week or month in which a point of time lies, in some
 * place's civil time. What a zone does in the next years is read once, at load; later it takes
 * arithmetic only, so that a sandboxed process can tell.
 */
#ifndef SALLYPORT_RATELIMIT_CALENDAR_H
#define SALLYPORT_RATELIMIT_CALENDAR_H

#include "gateway/base/text.h"

enum window { WINDOW_HOUR, WINDOW_DAY, WINDOW_WEEK, WINDOW_MONTH };

enum {
    ZONE_CHANGES_MAX = 64, /* of offset, in the years below */
    ZONE_YEARS = 20,
    ANCHOR_DAY_MAX = 28, /* every month has it */
};

struct calendar {
    enum window window;
    unsigned anchor; /* WEEK: 1 Monday to 7; MONTH: the day on which it begins */
    unsigned change_count;
    struct {
        int64_t from_s; /* UTC; the first holds for all times before, too */
        int32_t offset_s;
    } changes[ZONE_CHANGES_MAX];
};

/*
 * `zone` as in the tz database, or empty for UTC; looks `from_s` and the years behind up. NULL,
 * or what is wrong. Not for processes with threads: it sets TZ for a moment.
 */
const char *calendar_open(struct calendar *calendar, enum window window, unsigned anchor,
                          struct span zone, int64_t from_s);
/* begin <= now < end. */
void calendar_window(const struct calendar *calendar, int64_t now_s, int64_t *begin_s,
                     int64_t *end_s);

#endif
