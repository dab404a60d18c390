/*
 * Regular expressions as SecLang means them: PCRE2 over bytes, `.` takes every byte and `$`
 * only the very end (mod_security2's DOTALL and DOLLAR_ENDONLY), always under match limits.
 *
 * The slow way of matching: for captures after a hit, for what Hyperscan does not take, for
 * keys of targets and for the reference evaluator. JIT where the system allows it (not under
 * MemoryDenyWriteExecute), the interpreter otherwise: the answers are the same.
 */
#ifndef SALLYPORT_RULES_REGEX_H
#define SALLYPORT_RULES_REGEX_H

#include "gateway/base/span.h"
#include "gateway/base/text.h"

enum {
    REGEX_BYTES_MAX = 64 * 1024, /* of a pattern */
    REGEX_CAPTURES_MAX = 10,     /* TX:0 to TX:9 */
    REGEX_STEPS_MAX = 1500000,   /* PCRE2's match limit */
    REGEX_HEAP_KIB_MAX = 16 * 1024,
};

struct sec_regex;

/* NULL: `why` says what is wrong, with the offset in the pattern. malloc'd: regex_free. */
struct sec_regex *regex_compile(struct span pattern, bool caseless, struct text *why);
void regex_free(struct sec_regex *regex);
struct span regex_source(const struct sec_regex *regex); /* as long as the regex */

/* Per worker (and one per thread elsewhere): the match's workspace. */
struct regex_local {
    void *match, *context, *stack;
};
MUST_USE enum err regex_attach(struct regex_local *local);
void regex_detach(struct regex_local *local);

/* Whether it matches all of any text. */
bool regex_takes_all(const struct sec_regex *regex);

/* A byte that every text has in which it matches, in either case if it is a letter; -1: none is
 * known. */
int regex_needed_byte(const struct sec_regex *regex);

enum regex_answer { REGEX_NO, REGEX_YES, REGEX_LIMIT };

struct regex_captures {
    unsigned count;                     /* of groups set, the whole match first */
    struct span at[REGEX_CAPTURES_MAX]; /* p NULL: the group took no part */
};

/* `captures` may be NULL. Spans point into `text`. LIMIT: undecided, to be reported as such. */
enum regex_answer regex_match(const struct regex_local *local, const struct sec_regex *regex,
                              struct span text, struct regex_captures *captures);
/* The same of the first match that begins at `from` or behind and is not empty. */
enum regex_answer regex_match_from(const struct regex_local *local,
                                   const struct sec_regex *regex, struct span text, size_t from,
                                   struct regex_captures *captures);

#endif
