/*
 * What every match of a pattern has in it: one byte of a set, one text of a list. A value
 * without it need not be scanned for the pattern.
 *
 * Derived from the pattern's text. Where its meaning is not plain, nothing is needed: that is
 * never wrong.
 */
#ifndef SALLYPORT_RULES_NEED_H
#define SALLYPORT_RULES_NEED_H

#include "gateway/base/arena.h"
#include "rules/engine/bytes.h"

enum {
    NEED_TEXTS_MAX = 1024, /* in one list */
    NEED_TEXT_BYTES_MAX = 24,
    NEED_DEPTH_MAX = 100,       /* of groups in groups */
    NEED_MEMORY_MAX = 64 << 20, /* to understand one pattern */
    NEED_SETS_MAX = 4,
    NEED_SET_SHARE_MAX = 850, /* of byte_share: what is in more values than this tells little */
};

struct pattern_need {
    struct byte_set bytes; /* any of these; the full set: nothing is needed */
    const struct span
        *texts;          /* any of these, in lower case, to be found without regard to case */
    unsigned text_count; /* 0: nothing is needed */
    bool literal;        /* the pattern is one text and nothing else */
    struct byte_set sets[NEED_SETS_MAX]; /* one byte of each of them; rarest first */
    unsigned set_count;

    /* The same again, of values that have none of the bytes `relied`. */
    struct byte_set relied;
    bool never; /* they have no match */
    const struct span *plain_texts;
    unsigned plain_count; /* 0: nothing is needed */
};

/* How often a byte stands in plain values, in thousandths: about how many values have it. */
unsigned byte_share(uint8_t byte);
/* Of each of them, added up. */
unsigned byte_set_share(const struct byte_set *set);

extern const struct byte_set need_letters; /* all of them */
/* Adds a set of which one byte is needed, where it tells something that the others do not. */
void need_add_set(struct byte_set *sets, unsigned *count, const struct byte_set *set);

/* `flags` as Hyperscan takes them. Memory is the arena's. */
MUST_USE enum err pattern_need(const char *text, unsigned flags, struct arena *arena,
                               struct pattern_need *need);

/* Whether the pattern finds in lower-case text just what it finds in the text as it was, when
 * it is compiled without regard to case. False also when its meaning is not plain. */
bool pattern_is_blind_to_case(const char *text, unsigned flags);

/* ---- the tree of a pattern, between need_parse.c and need.c ---- */

enum rx_kind {
    RX_SET,    /* one byte of `set` */
    RX_SEQ,    /* children, one after the other */
    RX_ALT,    /* one of the children */
    RX_REPEAT, /* the child, `min` times or more; `max` times at most */
    RX_NOTHING /* no bytes: an anchor, an edge */
};

struct rx_node {
    enum rx_kind kind;
    struct byte_set set;
    struct rx_node *child, *last, *next;
    unsigned min, max; /* UINT32_MAX: no end */
};

/* NULL: not understood, or out of memory. */
struct rx_node *rx_parse(struct span text, unsigned flags, struct arena *arena);

#endif
