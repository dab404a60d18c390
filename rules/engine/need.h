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
    NEED_TOLD_MAX = 64,       /* texts for one pattern that are worth looking for */
    NEED_WAYS_MAX = 16,
    NEED_LISTS = 2,
    NEED_STARTS = 4,
    NEED_STARTS_SHARE = 5, /* values in a thousand that begin so that it tells something */
};

struct pattern_need {
    struct byte_set bytes; /* any of these; the full set: nothing is needed */
    const struct span
        *texts;          /* any of these, in lower case, to be found without regard to case */
    unsigned text_count; /* 0: nothing is needed */
    bool literal;        /* the pattern is one text and nothing else */
    struct byte_set sets[NEED_SETS_MAX]; /* one byte of each of them; rarest first */
    unsigned set_count;

    bool never; /* values that have none of the bytes `relied` have no match */
    struct byte_set relied;
};

/* How often a byte stands in plain values, in thousandths: about how many values have it. */
unsigned byte_share(uint8_t byte);
/* Plain values rarely have it: what a value without such bytes can match, is asked, too. */
bool byte_is_rare(uint8_t byte);
/* Of each of them, added up. */
unsigned byte_set_share(const struct byte_set *set);
unsigned byte_set_size(const struct byte_set *set); /* how many they are */

struct need_list {
    const struct span *texts; /* one of these is there, without regard to case */
    unsigned count;
};
/* Each of the texts is so long, or has a byte so rare, that plain values hardly have it. */
bool need_list_is_rare(const struct need_list *list, size_t long_enough);

/* What a match by one of the pattern's alternatives has. */
struct need_way {
    struct byte_set sets[NEED_SETS_MAX]; /* one byte of each of them; rarest first */
    unsigned set_count;
    unsigned shortest; /* bytes that such a match has at least */
    /* The value's first bytes, each one of these, as far as it has so many; the full set: any.
     */
    struct byte_set starts[NEED_STARTS];
    struct need_list lists[NEED_LISTS]; /* one text of each */
    unsigned list_count;
};

/* A match has what one of these says; with none, nothing is known. */
struct pattern_ways {
    struct need_way items[NEED_WAYS_MAX];
    unsigned count;
};

extern const struct byte_set need_letters; /* all of them */
extern const struct byte_set need_every_byte;
/* Adds a set of which one byte is needed, where it tells something that the others do not. */
void need_add_set(struct byte_set *sets, unsigned *count, const struct byte_set *set);

/* `flags` as Hyperscan takes them. Memory is the arena's. */
MUST_USE enum err pattern_need(const char *text, unsigned flags, struct arena *arena,
                               struct pattern_need *need);

/* The same of each alternative by itself, which tells more and is kept apart (need_ways.c). */
MUST_USE enum err pattern_ways(const char *text, unsigned flags, struct arena *arena,
                               struct pattern_ways *ways);

/* Whether they rule out what one of a few texts would. */
bool need_starts_tell(const struct byte_set *starts);
/* How many plain values in a thousand go this way, as far as bytes tell. */
unsigned need_way_share(const struct need_way *way);

/* Whether the pattern finds in lower-case text just what it finds in the text as it was, when
 * it is compiled without regard to case. False also when its meaning is not plain. */
bool pattern_is_blind_to_case(const char *text, unsigned flags);
/* Whether it finds in a text what it finds in that in lower case. */
bool pattern_has_no_case(const char *text, unsigned flags);

/* ---- the tree of a pattern, between need_parse.c, need.c and need_ways.c ---- */

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
    bool start;        /* RX_NOTHING: it stands at the value's start and nowhere else */
};

/* NULL: not understood, or out of memory. */
struct rx_node *rx_parse(struct span text, unsigned flags, struct arena *arena);

/* ---- what is derived from a tree, or a part of it ---- */

/* Texts of which one is there. NULL items: not known. */
struct texts_list {
    struct span *items;
    unsigned count;
};

struct derived {
    struct texts_list spelt;              /* all that the part can be */
    struct texts_list needed[NEED_LISTS]; /* one of each of these is in it; best first */
    struct byte_set bytes;                /* one of these is in it */
    struct byte_set sets[NEED_SETS_MAX];  /* one of each of these is in it */
    unsigned set_count;
    struct byte_set relied; /* if none of these is in the value, and `plain` was asked for */
    bool never;             /* then it has no match */
};

/* `plain`: what holds of values without rare bytes. False: not known, for lack of memory. */
bool need_derive(const struct rx_node *tree, bool plain, struct arena *scratch,
                 struct derived *known);
/* A list that tells something, without texts that others of it imply. */
MUST_USE enum err need_copy_texts(const struct texts_list *from, struct arena *arena,
                                  const struct span **to, unsigned *count);

#endif
