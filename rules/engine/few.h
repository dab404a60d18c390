/*
 * A few plain texts, looked for by hand: they are found before Hyperscan has begun.
 */
#ifndef SALLYPORT_RULES_FEW_H
#define SALLYPORT_RULES_FEW_H

#include "gateway/base/span.h"

enum { FEW_MAX = 5, FEW_BYTES_MAX = 64 };

/* A byte is the text's at `i` if it is bytes[i] with the bits of folds[i] set: letters in lower
 * case, where case means nothing, and the bit that tells it. */
struct few_text {
    const uint8_t *bytes, *folds;
    size_t len; /* 1 or more */
};

bool few_text_in(const struct few_text *few, struct span text);

#endif
