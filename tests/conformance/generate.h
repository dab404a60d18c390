/*
 * Exchanges for comparisons: requests and answers that are partly what a browser sends, and
 * partly what the rules of a program look for, bent in the ways that attackers bend it. The
 * same seed gives the same exchanges.
 */
#ifndef SALLYPORT_TESTS_GENERATE_H
#define SALLYPORT_TESTS_GENERATE_H

#include "rules/seclang/program.h"
#include "tests/reference/sample.h"

enum { GENERATE_WORDS_MAX = 65536, GENERATE_PATTERNS_MAX = 8192 };

struct material {
    struct span words[GENERATE_WORDS_MAX]; /* of lists */
    unsigned word_count;
    struct span patterns[GENERATE_PATTERNS_MAX];
    unsigned pattern_count;
};

/* Patterns and words that stand in the program itself. */
void material_of(struct material *material, const struct sec_program *program);
/* Each line of a list of words. */
void material_add_words(struct material *material, struct span text);

/* Appends a whole request to `out`. */
void generate_request(struct text *out, const struct material *material, struct dice *dice);
/* Appends a whole answer to it. */
void generate_answer(struct text *out, const struct material *material, struct dice *dice);

#endif
