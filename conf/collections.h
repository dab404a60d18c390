/*
 * Options of many values, and the questions about nodes that they share with the rest of the
 * schema. Private to conf.
 */
#ifndef SALLYPORT_COLLECTIONS_H
#define SALLYPORT_COLLECTIONS_H

#include "conf/scalar.h"

bool is_nothing(const struct node *node); /* `key:` and no more */
bool is_off(const struct node *node);
const char *kind_of_node(const struct node *node);
void refuse_type(const struct given *given, const char *wants, const char *hint);

/* An empty list clears what was inherited, where the row appends, too. */
void apply_texts(const struct given *given, void *field);
void apply_cidrs(const struct given *given, void *field);
void apply_list(const struct given *given, void *field);
void apply_map(const struct given *given, void *field);

#endif
