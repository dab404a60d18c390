/*
 * One pattern: what Hyperscan is given for what a user wrote.
 *
 * The syntax is PCRE's, without what cannot be matched in linear time (back references,
 * look-around). `.` takes every byte, newlines too; `$` is the very end and not also before a
 * last newline, because a value with a newline behind it is another value.
 */
#ifndef SALLYPORT_RULES_PATTERN_H
#define SALLYPORT_RULES_PATTERN_H

#include "gateway/base/arena.h"
#include "gateway/base/text.h"

enum { PATTERN_BYTES_MAX = 15 * 1024 };

struct pattern_info {
    const char *text; /* as Hyperscan gets it */
    unsigned flags;
    size_t shortest; /* bytes that a match has at least */
    bool at_start, at_end;
};

/* False: `why` says what is wrong, in Hyperscan's words where they are its. Does not compile.
 */
MUST_USE bool pattern_read(struct span source, bool caseless, struct arena *arena,
                           struct pattern_info *info, struct text *why);
/* Both halves of it: the text as Hyperscan gets it, its flags and `at_start`; and the rest,
 * which takes Hyperscan as long as all else together. `*memory`: it had none. */
MUST_USE bool pattern_rewrite(struct span source, bool caseless, struct arena *arena,
                              struct pattern_info *info, struct text *why);
MUST_USE bool pattern_ask(struct pattern_info *info, struct text *why, bool *memory);
/*
 * The pattern `text`, as pattern_read made it, for values that stand in lines of a longer text:
 * it finds in a line, with HS_FLAG_MULTILINE, all that `text` finds in a value of its own, and
 * perhaps more. `*tied`: it is another one, or needs that flag. NULL: there is none, or no
 * memory.
 */
const char *pattern_for_lines(const char *text, struct arena *arena, bool *tied);
/* The same, compiled and thrown away: finds all that is wrong. */
MUST_USE bool pattern_check(struct span source, struct arena *arena, struct text *why);

#endif
