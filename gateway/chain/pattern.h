/*
 * The regular expressions of a configuration, by id. PCRE2 over bytes, compiled at load, with
 * limits on every match: a pattern that would take too long for some text gives no answer
 * instead. `.` matches every byte and `$` only the very end, since a line end in a value must
 * not hide what is behind it.
 */
#ifndef SALLYPORT_PATTERN_H
#define SALLYPORT_PATTERN_H

#include "gateway/base/arena.h"

enum {
    PATTERN_BYTES_MAX = 4096,
    PATTERN_GROUPS_MAX = 9,     /* that templates can name */
    PATTERN_STEPS_MAX = 100000, /* about a millisecond */
    PATTERN_HEAP_KIB_MAX = 1024,
};

enum pattern_answer { PATTERN_NO, PATTERN_YES, PATTERN_LIMIT };

struct patterns;

/* Its libraries' memory goes when the arena is reset. NULL: out of memory. */
struct patterns *patterns_new(struct arena *arena);
/* The id, or -1 with `*why` set (constant or in the arena). */
int patterns_add(struct patterns *patterns, struct span text, struct arena *arena,
                 struct span *why);
/* How many groups it has. */
unsigned pattern_groups(const struct patterns *patterns, int id);
/* What group `group` (1 to PATTERN_GROUPS_MAX) holds of `text`, empty when it took no part. */
struct span pattern_group(const struct patterns *patterns, int id, struct span text,
                          unsigned group);
enum pattern_answer pattern_match(const struct patterns *patterns, int id, struct span text);

#endif
