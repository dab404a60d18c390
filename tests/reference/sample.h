/*
 * Random text with a seed: and texts that a regular expression probably matches, so that rules
 * are met often and not by chance alone.
 */
#ifndef SALLYPORT_TESTS_SAMPLE_H
#define SALLYPORT_TESTS_SAMPLE_H

#include "gateway/base/text.h"

struct dice {
    uint64_t state;
};

uint64_t dice_roll(struct dice *dice);
/* 0 to `sides` - 1. */
unsigned dice_below(struct dice *dice, unsigned sides);
/* True in `percent` of 100. */
bool dice_chance(struct dice *dice, unsigned percent);

/*
 * Appends what `pattern` may match: branches and repetitions by chance; assertions are passed
 * over, so that it does not always. Stops when `out` is full.
 */
void sample_regex(struct text *out, struct span pattern, struct dice *dice);

#endif
