/*
 * What the record tells of the stage `bots`: the score, and each reason with its weight. Here,
 * since the record lies below the stage.
 */
#ifndef SALLYPORT_RECORD_BOTS_H
#define SALLYPORT_RECORD_BOTS_H

#include "gateway/base/span.h"

enum { BOT_REASONS_MAX = 32 };

struct bot_reason {
    struct span name; /* a constant of the code */
    int32_t weight;
};

struct bots_told {
    int32_t score;
    struct bot_reason reasons[BOT_REASONS_MAX];
    unsigned reason_count;
    const char *outcome;  /* slug: "pass" "cleared" "challenge" ...; docs/bots.md */
    struct span verified; /* name of the crawler that it is; or empty */
    bool scored;          /* false: an answer to a challenge, which has no score */
    bool cleared, attack; /* it has a clearance; the route is under attack */
    bool noted;           /* at a threshold: on record among what was detected */
};

struct line;
/* record_bots.c. NULL: nothing. */
void record_put_bots(struct line *line, const struct bots_told *bots);

#endif
