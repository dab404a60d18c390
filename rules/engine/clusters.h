/*
 * Which of a class's patterns stand in one database: those that are asked about the same values
 * together, so that a value meets as few of them as possible, in few calls.
 */
#ifndef SALLYPORT_RULES_CLUSTERS_H
#define SALLYPORT_RULES_CLUSTERS_H

#include "gateway/base/arena.h"
#include "rules/engine/bytes.h"

enum cluster_kind {
    CLUSTER_LITERALS,   /* plain texts, with nothing around them */
    CLUSTER_BYTES,      /* the same of one byte: by hand it is found at once, and where it
                           stands often a database would stop each time */
    CLUSTER_USUAL,      /* words that open others and that plain text has, too (usual.h) */
    CLUSTER_LINE_ENDS,  /* patterns that need a line's end: between lines they are found, too */
    CLUSTER_UNTOLD,     /* other patterns for which no text is needed */
    CLUSTER_TOLD,       /* each match has one of some texts in it, or stands at the start */
    CLUSTER_PLAIN_TOLD, /* the same of values that have none of `unless` */
    CLUSTER_OWN,        /* of the configuration, beside a rule set that is seldom changed */
    CLUSTER_KINDS,
};

enum { CLUSTER_TEXT_WORDS_MAX = 256 }; /* of a set of texts */

struct cluster {
    enum cluster_kind kind;
    struct byte_set gate;   /* a match has one of these */
    struct byte_set unless; /* TOLD, PLAIN_TOLD: without such a text, one of these */
    unsigned others;        /* how many values in a thousand may match so */
    uint64_t *texts;        /* TOLD, PLAIN_TOLD: set of texts */
    unsigned weight;        /* what its patterns cost together */
};

/* What texts are worth in a set of them. */
struct cluster_texts {
    const uint64_t *telling; /* set of those with a byte that words do not have */
    unsigned words;          /* of such a set */
};

/*
 * Joins clusters of one kind until no more than its limit are left and joining saves nothing.
 * `became[i]`: which cluster the i-th is part of now. Returns how many there are; they are in
 * order of their first members.
 */
unsigned clusters_join(struct cluster *clusters, unsigned count,
                       const struct cluster_texts *texts, uint16_t *became);

#endif
