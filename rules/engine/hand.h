/*
 * Texts of a part that are looked for by hand, of a value by itself and of one in a batch
 * alike.
 */
#ifndef SALLYPORT_RULES_HAND_H
#define SALLYPORT_RULES_HAND_H

#include "rules/engine/few.h"
#include "rules/engine/plan.h"
#include "rules/engine/usual.h"

/* Of a part with `few`: which of its texts are there, by number, a set of bits. */
static inline uint32_t hand_found(const struct scan_part *part, struct span text)
{
    uint32_t found = 0;
    if (part->usual != NULL)
        return usual_in(part->usual, text);
    for (unsigned id = 0; id < part->id_count; id++)
        found |= (uint32_t)few_text_in(&part->few[id], text) << id;
    return found;
}

#endif
