/* Times of renewals and of further tries: see schedule.h. */
#include "gateway/acme/schedule.h"

#include <time.h>

enum { LIFE_PART = 3, SPREAD_PART = 50, LATEST_PART = 8, JITTER_PART = 10 };

/* 0 to `range` - 1. */
static int64_t roll(int64_t range, uint32_t dice)
{
    return range > 0 ? (int64_t)(dice % (uint64_t)range) : 0;
}

static int64_t life_of(const struct acme_dates *dates)
{
    return dates->until_s - dates->from_s;
}

int64_t acme_due(const struct acme_dates *dates, uint32_t dice)
{
    int64_t life = life_of(dates);
    return dates->until_s - life / LIFE_PART - roll(life / SPREAD_PART, dice);
}

int64_t acme_due_window(const struct acme_dates *dates, const struct acme_window *window,
                        int64_t got_s, uint32_t dice)
{
    int64_t latest = dates->until_s - life_of(dates) / LATEST_PART;
    int64_t due = window->from_s + roll(window->until_s - window->from_s, dice);

    if (due < got_s + ACME_HELD_LEAST_S)
        due = got_s + ACME_HELD_LEAST_S;
    return due < latest ? due : latest;
}

int64_t acme_backoff(int64_t first_s, unsigned failures, int64_t retry_after_s, uint32_t dice)
{
    int64_t wait = first_s;

    for (unsigned i = 1; i < failures && wait < ACME_BACKOFF_MOST_S; i++)
        wait *= 2;
    if (wait > ACME_BACKOFF_MOST_S)
        wait = ACME_BACKOFF_MOST_S;
    wait += roll(wait / JITTER_PART * 2, dice) - wait / JITTER_PART;
    return wait > retry_after_s ? wait : retry_after_s;
}

static int64_t until_date(struct span value, int64_t now_s)
{
    char copy[32];
    struct tm tm = { .tm_isdst = 0 };

    if (value.len >= sizeof(copy))
        return 0;
    memcpy(copy, value.p, value.len);
    copy[value.len] = '\0';
    const char *end = strptime(copy, "%a, %d %b %Y %H:%M:%S GMT", &tm);
    if (end == NULL || *end != '\0')
        return 0;
    int64_t at = timegm(&tm);
    return at > now_s ? at - now_s : 0;
}

int64_t acme_retry_after(struct span value, int64_t now_s)
{
    uint64_t seconds = 0;

    if (value.len == 0)
        return 0;
    if (!span_uint(value, &seconds))
        seconds = (uint64_t)until_date(value, now_s);
    return seconds < ACME_RETRY_AFTER_MOST_S ? (int64_t)seconds : ACME_RETRY_AFTER_MOST_S;
}

int64_t acme_info_wait(int64_t retry_after_s)
{
    if (retry_after_s == 0)
        return ACME_INFO_USUAL_S;
    if (retry_after_s < ACME_INFO_LEAST_S)
        return ACME_INFO_LEAST_S;
    return retry_after_s < ACME_INFO_MOST_S ? retry_after_s : ACME_INFO_MOST_S;
}
