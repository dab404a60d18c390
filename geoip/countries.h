/*
 * Countries by their ISO 3166-1 alpha-2 codes: which there are, and on which continent.
 */
#ifndef SALLYPORT_COUNTRIES_H
#define SALLYPORT_COUNTRIES_H

#include "gateway/base/span.h"

/* Number of two capital letters, or -1. */
int country_number(const char code[2]);
/* Two letters, or NULL: no such country. */
const char *country_continent(const char code[2]);

#endif
