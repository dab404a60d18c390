/*
 * Name and value pairs of a query string, an urlencoded form or a Cookie field, in order,
 * repeats kept. Names and values are decoded once (cookies are not decoded). The number of
 * pairs is bounded: over it, ERR_LIMIT, and never "the first N".
 */
#ifndef SALLYPORT_PARAMS_H
#define SALLYPORT_PARAMS_H

#include "gateway/base/arena.h"

struct param {
    struct span name, value;
};

struct params {
    struct param *items;
    unsigned count;
};

MUST_USE enum err params_parse(struct params *params, struct span text, unsigned limit,
                               struct arena *arena);
/* All lines of the Cookie field are one list; `text` is one line. Appends to `params`. */
MUST_USE enum err cookies_parse(struct params *params, struct span text, unsigned limit,
                                struct arena *arena);
/* One more; the list was zeroed at first. ERR_LIMIT, ERR_MEMORY. */
MUST_USE enum err params_push(struct params *params, struct param param, unsigned limit,
                              struct arena *arena);
/* First of that name, or NULL. */
const struct param *params_find(const struct params *params, struct span name);

#endif
