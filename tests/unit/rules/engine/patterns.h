/* Patterns of all kinds, at random, and texts that they match. */
#ifndef SALLYPORT_TESTS_PATTERNS_H
#define SALLYPORT_TESTS_PATTERNS_H

#include "gateway/base/text.h"
#include "rules/engine/need.h"

struct random {
    uint64_t state;
};

unsigned random_below(struct random *random, unsigned limit);

void pattern_write(struct random *random, struct text *out, unsigned depth);
/* A text that the tree stands for. */
void pattern_write_text(struct random *random, struct text *out, const struct rx_node *node);

#endif
