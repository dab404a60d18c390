/*
 * A text from which nodes come, and the places in it. Private to conf.
 */
#ifndef SALLYPORT_SOURCE_H
#define SALLYPORT_SOURCE_H

#include "conf/diag.h"

struct source {
    struct span name;   /* as in messages */
    struct span text;   /* all of it */
    struct span folder; /* absolute, with the last slash: where relative paths start */
    bool memory;        /* not a file: may name no other file */
    unsigned order;     /* files sort in the order in which they were read */
};

/*
 * The place of `len` bytes at `from` of a text whose first character stands at `place`. Exact
 * when the text stands there verbatim on one line; `place` itself for folded or escaped texts.
 */
struct place place_inside(struct place place, struct span text, size_t from, size_t len);

/* `path` as an absolute path from the folder of `source` (or the working one); NULL: no memory.
 */
const char *source_path(const struct source *source, struct span path, struct arena *arena);

/* Characters of UTF-8 text; a byte that is not UTF-8 counts as one. */
size_t utf8_count(struct span text);
/* The code point at `*p`, which moves behind it; -1 for a byte that is not UTF-8. */
int32_t utf8_next(const char **p, const char *end);

#endif
