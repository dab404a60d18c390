/*
 * "Did you mean": the candidate nearest to a misspelt word. Private to conf.
 */
#ifndef SALLYPORT_SUGGEST_H
#define SALLYPORT_SUGGEST_H

#include "gateway/base/text.h"

struct suggestion {
    struct span given, best; /* best.p is NULL while nothing is near */
    unsigned distance;
};

struct suggestion suggest_for(struct span given);
void suggest_consider(struct suggestion *suggestion, struct span candidate);
/* did you mean "upstream"? Or nothing. */
void suggest_write(struct text *out, const struct suggestion *suggestion);

#endif
