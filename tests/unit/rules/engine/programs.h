/*
 * Programs of a dozen rules, by chance: variables that rules set, count, take away and look at,
 * names made of values, captures, what ctl removes, and markers to skip to.
 */
#ifndef SALLYPORT_TESTS_ENGINE_PROGRAMS_H
#define SALLYPORT_TESTS_ENGINE_PROGRAMS_H

#include "tests/reference/sample.h"

enum { PROGRAM_RULES = 12 }; /* their ids are 1 to that */

void program_write(struct text *out, struct dice *dice);

#endif
