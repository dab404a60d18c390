/*
 * What was found out about patterns, kept from one start to the next in one file of the cache:
 * what Hyperscan says of them, what their matches need, whether case means anything to them.
 * To find it out takes longer than anything else of a start whose databases are there.
 *
 * A fact is known by the pattern's whole text and its flags, so none is taken for another's.
 * The file's name has in it Hyperscan's version, the processor, and the build of this program:
 * another build finds out anew, for it may derive otherwise. What the file says is believed, as
 * databases are (cache.h); but whatever stands in it, nothing outside of it is read, and facts
 * keep within the limits of need.h.
 *
 * Without a cache, and for NULL, everything is found out.
 */
#ifndef SALLYPORT_RULES_FACTS_H
#define SALLYPORT_RULES_FACTS_H

#include "rules/engine/cache.h"
#include "rules/engine/need.h"
#include "rules/pattern.h"

enum {
    FACTS_MAX = 32 * 1024, /* patterns; beyond it nothing is kept of more */
    FACTS_BYTES_MAX = 16 << 20,
};

struct facts;

/* What `content` says, as far as it can be read; it is copied. NULL: no memory. */
struct facts *facts_open(struct span content);
/* All of it, those first that were asked for since; `p` NULL: there is nothing new, or no
 * memory. Until facts_close. */
struct span facts_content(struct facts *facts);
void facts_close(struct facts *facts);

/* pattern_read, pattern_need, pattern_ways and pattern_is_blind_to_case; `why` NULL: nobody
 * asks. */
MUST_USE bool facts_read(struct facts *facts, struct span source, bool caseless,
                         struct arena *arena, struct pattern_info *info, struct text *why);
MUST_USE enum err facts_need(struct facts *facts, const char *text, unsigned flags,
                             struct arena *arena, struct pattern_need *need);
MUST_USE enum err facts_ways(struct facts *facts, const char *text, unsigned flags,
                             struct arena *arena, struct pattern_ways *ways);
bool facts_is_blind_to_case(struct facts *facts, const char *text, unsigned flags);

#endif
