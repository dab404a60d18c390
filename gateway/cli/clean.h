/*
 * What came from outside, fit for a terminal.
 */
#ifndef SALLYPORT_CLI_CLEAN_H
#define SALLYPORT_CLI_CLEAN_H

#include <jansson.h>

#include "gateway/base/span.h"

/* In place: what a terminal would act upon becomes dots. */
void clean_text(char *text);
/* The same of every string within. Names of members are the program's own. */
void clean_json(json_t *value);

#endif
