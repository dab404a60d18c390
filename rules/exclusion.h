/*
 * `waf.exclude`: rules, or some of their targets, that are not to be asked, everywhere or on
 * some paths. Each becomes the SecLang that a person would write for it.
 */
#ifndef SALLYPORT_RULES_EXCLUSION_H
#define SALLYPORT_RULES_EXCLUSION_H

#include "conf/schema.h"
#include "gateway/base/text.h"

enum { EXCLUSIONS_MAX = 512 };

struct exclusion {
    struct texts rules;          /* ids and ranges of ids */
    struct texts fields;         /* "args:comment"; none: the whole rule */
    struct texts paths;          /* as of routes; none: everywhere */
    struct texts methods;        /* none: all */
    struct span reason, expires; /* expires: 2027-06-01, or empty */
};

extern const struct option exclusion_options[];
void exclusions_check(const void *field, struct complaint *complaint);

/*
 * What has to stand before the rules (run-time exclusions, by path or method) and behind them
 * (the others). One that has expired by `now` (seconds since 1970) is left out with a warning.
 * Overflow of the texts is the caller's to see.
 */
void exclusions_write(const struct list *exclusions, uint64_t now, struct complaint *complaint,
                      struct text *before, struct text *behind);

#endif
