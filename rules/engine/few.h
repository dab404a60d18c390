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

/* Whether it stands there: its bytes are read as far as they are those. */
static inline bool few_text_at(const struct few_text *few, const char *at)
{
    for (size_t i = 0; i < few->len; i++) {
        if (((uint8_t)at[i] | few->folds[i]) != few->bytes[i])
            return false;
    }
    return true;
}

bool few_text_in(const struct few_text *few, struct span text);

/* Texts of which one is looked for. */
struct few_list {
    const struct few_text *texts;
    const struct few_text *end; /* of all of them; NULL: each is looked for by itself */
    unsigned count;
};

/* False: none of them is there. True also where so many end so that it is not found out. */
bool few_any_in(const struct few_list *list, struct span text);

#endif
