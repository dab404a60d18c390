/*
 * One row per configuration option: from these rows come parsing, type and bound checks,
 * defaults, "did you mean", the manual, the JSON Schema and the annotated print. A default is
 * written as the user would write it and goes through the same parser.
 *
 * An option's YAML key, its struct field and its name in the manual are one word.
 */
#ifndef SALLYPORT_OPTION_H
#define SALLYPORT_OPTION_H

#include "conf/kinds.h"

enum option_kind {
    OPT_END,
    OPT_BOOL,       /* bool: true | false, nothing else */
    OPT_INT,        /* int64_t */
    OPT_SIZE,       /* uint64_t bytes: 16KiB, 10MiB, 500B, 1GiB or plain digits */
    OPT_DURATION,   /* struct duration: 50ms 10s 5m 1h 7d */
    OPT_RATE,       /* struct rate: 60/min, 5/10s, 5000/day; s min h day and counts of them */
    OPT_KEYED_RATE, /* struct keyed_rate */
    OPT_ENUM,       /* int, one of `choices` */
    OPT_TEXT,       /* struct span */
    OPT_TEXTS,      /* struct texts: a list, or one scalar; in a fallback comma-separated */
    OPT_FILE,       /* struct path */
    OPT_SECRET,     /* struct secret: printed as <secret>; a literal is a warning */
    OPT_URL,        /* struct url */
    OPT_CIDRS,      /* struct cidrs: addresses and prefixes */
    OPT_EXPR,       /* struct expr *: NULL when not given */
    OPT_OBJECT,     /* a struct inside, described by `options` */
    OPT_LIST,       /* struct list of structs of `item_size`, described by `options` */
    OPT_MAP,        /* struct list of structs of `item_size` that begin with struct map_item */
    OPT_REF,        /* struct span: the key of an item in the map named by `refers` */
};

struct choice {
    const char *name; /* NULL ends the list */
    int value;
    const char *help;
};

extern const struct choice switch_choices[]; /* on: 0, off: 1 */

enum {
    OPTION_REQUIRED = 1,
    OPTION_APPEND = 2,    /* inheritance appends to the parent's list; otherwise it replaces */
    OPTION_SHORTHAND = 4, /* takes a scalar or list given in place of this row's object */
    OPTION_HIDDEN = 8,    /* not in the manual */
    OPTION_ANSWERS = 16,  /* this expression may ask about an answer */
};

struct complaint; /* conf/schema.h: where a check says what is wrong */

struct option {
    const char *name;
    enum option_kind kind;
    uint32_t flags;
    size_t offset;
    const char *fallback; /* NULL: zeroed */
    const char *help;     /* one or two sentences */
    int64_t min, max; /* INT, SIZE (bytes), DURATION (ms), counts of lists; 0,0: no bounds */
    const struct choice *choices;
    const struct option *options; /* OBJECT, LIST, MAP */
    size_t item_size;             /* LIST, MAP */
    const char *refers;           /* REF, or each of TEXTS: name of a top-level map */
    const char *example;          /* for the manual */
    /* A further check, after the kind's own; complains by complain(). */
    void (*check)(const void *field, struct complaint *complaint);
};

/*
 * A scalar `off` (or `false`) for an OBJECT sets its `mode` row to `off` when it has one; for a
 * LIST or MAP it clears it. One scalar for a LIST is a list of one, and a scalar item of a LIST
 * or MAP is its shorthand row.
 */

#define OPTION_TYPE_OK(kind, type_struct, field)                                               \
    _Generic(((type_struct *)0)->field, bool                                                   \
             : (kind) == OPT_BOOL, int64_t                                                     \
             : (kind) == OPT_INT, uint64_t                                                     \
             : (kind) == OPT_SIZE, struct duration                                             \
             : (kind) == OPT_DURATION, struct rate                                             \
             : (kind) == OPT_RATE, struct keyed_rate                                           \
             : (kind) == OPT_KEYED_RATE, int                                                   \
             : (kind) == OPT_ENUM, struct span                                                 \
             : (kind) == OPT_TEXT || (kind) == OPT_REF, struct texts                           \
             : (kind) == OPT_TEXTS, struct path                                                \
             : (kind) == OPT_FILE, struct secret                                               \
             : (kind) == OPT_SECRET, struct url                                                \
             : (kind) == OPT_URL, struct cidrs                                                 \
             : (kind) == OPT_CIDRS, struct expr *                                              \
             : (kind) == OPT_EXPR, struct list                                                 \
             : (kind) == OPT_LIST || (kind) == OPT_MAP, default                                \
             : (kind) == OPT_OBJECT)

/*
 * A row whose YAML key is not its field's name (a C keyword, a nested path). Where kind and
 * field disagree, the bit-field is of negative size and does not compile.
 */
#define OPTION_NAMED(key, type_struct, field, option_kind, ...)                                \
    {                                                                                          \
        .name = key, .kind = (option_kind),                                                    \
        .offset = offsetof(type_struct, field) +                                               \
                  0 * sizeof(struct {                                                          \
                      int kind_and_field_agree                                                 \
                          : OPTION_TYPE_OK(option_kind, type_struct, field)                    \
                            ? 1                                                                \
                            : -1;                                                              \
                  }),                                                                          \
        __VA_ARGS__                                                                            \
    }
/* A row with the name of its field. */
#define OPTION(type_struct, field, option_kind, ...)                                           \
    OPTION_NAMED(#field, type_struct, field, option_kind, __VA_ARGS__)
#define OPTIONS_END                                                                            \
    {                                                                                          \
        .name = NULL, .kind = OPT_END                                                          \
    }

#endif
