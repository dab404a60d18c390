/*
 * What is known of a transaction that happened, for its replay: the words of stages that
 * remember more than the request (`remembers` of stage.h), where the client was, which route
 * it took. A live transaction has none of it.
 */
#ifndef SALLYPORT_CHAIN_REPLAYED_H
#define SALLYPORT_CHAIN_REPLAYED_H

#include "gateway/audit/record_bots.h"
#include "gateway/chain/geo.h"
#include "gateway/chain/stage.h"

enum { REPLAYED_WORDS_MAX = TRAIL_MAX };

struct replayed {
    struct replayed_stage {
        const char *stage, *phase;
        struct verdict said; /* its reply: NULL */
        int status;          /* of that reply; 0: the reason's */
        const char *detail;  /* what was wrong with a credential, or NULL */
        struct span list;    /* that denied the address */
    } words[REPLAYED_WORDS_MAX];
    unsigned word_count;
    const char *route;      /* name, or "" */
    struct span user, auth; /* who, and which stage said so; empty: nobody */
    bool has_geo, has_bots;
    struct geo geo;
    struct bots_told bots;
};

/* What the stage said then; one that was not asked passes. The user is known again, when it was
 * the stage that knew. */
struct verdict replayed_word(struct txn *txn, const struct stage_type *stage, enum phase phase);
/* Whether a word of this stage was kept. */
bool replayed_knows(const struct replayed *replayed, const struct stage_type *stage,
                    enum phase phase);
/* The reason with that slug; REASON_NONE when there is none. */
enum reason replayed_reason(const char *slug);

#endif
