/*
 * What the manual and the JSON Schema say alike about a row. Private to conf.
 */
#ifndef SALLYPORT_MANUAL_ROWS_H
#define SALLYPORT_MANUAL_ROWS_H

#include "conf/manual.h"

/* "duration, 1s to 1h", "one of block, detect, off". */
void manual_type(struct text *out, const struct option *row);
/* manual_json.c */
void manual_row_json(struct text *out, struct span path, const struct option *row);
void manual_part_json(struct text *out, struct span path, const struct manual_part *part);
/* The part directly under `path` whose last word is `name`. */
bool manual_is_child(const struct manual_part *part, struct span path);
/* "waf" of "sites.waf". */
struct span manual_last(const char *path);
const struct manual_part *manual_find(const struct manual_part *parts, size_t count,
                                      struct span path);
/* A mapping that part `like` lends to `to`. */
bool manual_lends(const struct manual_part *like, const struct manual_part *part,
                  const struct manual_part *to);

#endif
