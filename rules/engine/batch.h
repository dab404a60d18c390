/*
 * What is in a batch of short values (batch.c), and its scan (batch_scan.c).
 */
#ifndef SALLYPORT_RULES_BATCH_H
#define SALLYPORT_RULES_BATCH_H

#include "rules/engine/run.h"

enum {
    BATCH_VALUES_MAX = 512,
    BATCH_BYTES = 24 * 1024, /* of texts */
    BATCH_TEXTS_MAX = 2048,
    BATCH_FORMS_MAX = 64, /* different texts of one value; with more it is looked through */
    BATCH_MADE_MAX = 24,
    BATCH_MET = 128, /* answers kept; a power of two */
};

/* Which conditions hold of a text with some signs, and what then may find something in it. */
struct met {
    struct signs have;
    struct conditions conditions;
    struct wanted wanted;
};

/* What is met with some signs is so in every text that has them, and few differ in them. */
struct kept_met {
    struct met met;
    unsigned class; /* 0: none */
};

/* A text to be scanned for one class. */
struct line {
    struct span text;
    uint16_t value, next; /* of the class */
    uint8_t class, index; /* index: which of the value's texts it is */
    uint32_t asks;
    struct ways may;              /* be open */
    struct ways found[WAY_LISTS]; /* as far as texts go */
};

struct batch_value {
    struct sec_value *value;
    struct sec_known *kept;
    const uint8_t *index_of; /* which of its texts each form is, by place */
    uint64_t work;
    uint8_t class;
};

/* The different texts of one value. */
struct forms {
    struct span text[BATCH_FORMS_MAX];
    uint32_t traits[BATCH_FORMS_MAX]; /* 0: not seen yet */
    struct met met[BATCH_FORMS_MAX];
    unsigned count;
    struct made {
        struct span (*apply)(struct span in, char *room);
        uint8_t from, to;
    } made[BATCH_MADE_MAX];
    unsigned made_count;
};

struct sec_batch {
    struct batch_value values[BATCH_VALUES_MAX];
    struct line lines[BATCH_TEXTS_MAX];
    unsigned value_count, line_count;
    bool begun;                          /* something is in it, or was */
    size_t bytes;                        /* of all lines */
    unsigned class_end;                  /* behind the last one that it has values of */
    uint16_t lines_of[PLAN_CLASSES_MAX]; /* the last one, and 1 */
    uint32_t asked[PLAN_CLASSES_MAX];    /* parts, by any line */
    struct sec_room room;
    size_t used;
    struct forms texts; /* of the value at hand */
    struct kept_met kept_met[BATCH_MET];
    uint8_t indexes[BATCH_VALUES_MAX][PLAN_FORMS_MAX + 1];
    /* of one scan */
    struct sec_run *run;
    const struct scan_part *part;
    struct line *alone;                   /* the one that is asked about by itself */
    const uint16_t *picked;               /* lines that the part is asked about */
    uint32_t starts[BATCH_TEXTS_MAX + 1]; /* of these, in `buffer` */
    unsigned pick_count, at, hit;
    bool memory; /* is exhausted */
    unsigned picks[PARTS_MAX];
    uint16_t picks_of[PARTS_MAX][BATCH_TEXTS_MAX]; /* of the class at hand */
    char buffer[2 * BATCH_BYTES + BATCH_TEXTS_MAX];
};

/* Which of the value's texts a form is; NO_TEXT: none. */
static inline unsigned sec_batch_text(const struct scan_class *class,
                                      const struct batch_value *of, unsigned form)
{
    return of->index_of[class->place_of[form]];
}

/* Of each text of the value at hand the parts that are asked about it, and in what is met with
 * it the ways that may be open (asks.c). */
void sec_batch_asks(struct sec_batch *batch, const struct scan_class *class,
                    const struct plan_group *group, const struct batch_value *of,
                    uint32_t *asks);

/* What is found in its lines becomes bits of the values. */
enum sec_end sec_batch_scan(struct sec_batch *batch, struct sec_run *run);

#endif
