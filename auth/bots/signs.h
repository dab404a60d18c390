/*
 * Signs that a request comes from a program that pretends: what is claimed, held against what
 * was sent. Each is one bit; what it weighs is the configuration's (signs.def has the usual).
 */
#ifndef SALLYPORT_SIGNS_H
#define SALLYPORT_SIGNS_H

#include "auth/bots/agent.h"
#include "gateway/http/message.h"

enum sign {
#define SIGN(name, slug, weight, help) SIGN_##name,
#include "auth/bots/signs.def"
#undef SIGN
    SIGN_COUNT
};

struct sign_row {
    struct span slug;
    int32_t weight;
    const char *help;
};
extern const struct sign_row sign_rows[SIGN_COUNT];

enum { SCORE_MAX = 100 };

struct sight {
    const struct request *req;
    struct span ja4; /* empty: not known, and then nothing is held against it */
    bool direct;     /* no proxy of ours stands between, which could have reordered fields */
    struct agent agent;
};

/* Fills in the agent; answers bits of what the request itself shows. */
uint32_t signs_of_request(struct sight *sight);
/* The sum of the weights, from 0 to SCORE_MAX. */
int32_t signs_score(uint32_t signs, const int32_t weights[SIGN_COUNT]);

/* How much of a page's visitor a request can be. */
enum visit {
    VISIT_PAGE,  /* somebody wants to see a page: may be asked to prove it */
    VISIT_OTHER, /* a script, a picture, a feed, a program, a form: can answer no question */
};
enum visit visit_of(const struct request *req);

#endif
