/* Names of JSON values, and keys that stand twice in one object: the scanner's other half. */
#ifndef SALLYPORT_JSONSCAN_NAME_H
#define SALLYPORT_JSONSCAN_NAME_H

#include "gateway/http/jsonscan.h"

enum { LEVEL_KEYS = 8 };

/* An open object or array. */
struct jsonscan_level {
    uint64_t keys[LEVEL_KEYS]; /* hashes of an object's first keys */
    unsigned key_count;
    struct span element; /* of an array: the name of its values, copied once; or NULL */
    size_t own_len;      /* of the name: up to and with this container */
    size_t inner_len;    /* of the name of its values, in an array */
    unsigned serial, index, told;
    bool array, keyed,
        dot; /* keyed: it stands under a key; dot: one stands before a key here */
};

/* Each answers false when a limit was met or memory ended, with finding or `err` set. */
MUST_USE bool jsonscan_name_open(struct jsonscan *scan, struct jsonscan_level *outer,
                                 struct jsonscan_level *level);
MUST_USE bool jsonscan_name_key(struct jsonscan *scan, struct jsonscan_level *level,
                                struct span key);
/* `level` is NULL for a value that stands alone. */
MUST_USE bool jsonscan_name_of_value(struct jsonscan *scan, struct jsonscan_level *level,
                                     struct span *name);
/* What stood in `level` was closed. */
void jsonscan_name_back(struct jsonscan *scan, const struct jsonscan_level *level);

#endif
