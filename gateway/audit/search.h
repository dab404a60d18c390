/*
 * Finding records: filters over the lines of all segments, oldest first. Complete segments are
 * read only where their index says that there may be something.
 */
#ifndef SALLYPORT_SEARCH_H
#define SALLYPORT_SEARCH_H

#include "gateway/audit/blocks.h"
#include "gateway/audit/segments.h"
#include "gateway/base/addr.h"

/* Numbers of records, both ends included. */
struct seq_range {
    uint64_t first, last;
};

struct query {
    uint64_t since_us, until_us; /* until 0: now */
    struct cidr client;
    bool has_client;
    struct span values[KEY_COUNT];  /* as JSON has them; len 0: any. KEY_CLIENT: one address */
    struct span path;               /* prefix, as JSON has it */
    unsigned status_class;          /* 4 for 4xx; 0: any */
    uint64_t limit;                 /* 0: no end */
    unsigned given;                 /* set of terms: each is there once, or not */
    const struct seq_range *ranges; /* ascending: blocks without any of them are not read */
    size_t range_count;
};

/*
 * One term of a query: ip=198.51.100.7 (or a prefix), id=, user=, rule=, reason=, action=,
 * status=403 (or 4xx), host=, path=/login, since=2h (or a time), until=, limit=. NULL, or what
 * is wrong with it.
 */
const char *query_term(struct query *query, struct span term, uint64_t now_us,
                       struct arena *arena);
bool query_matches(const struct query *query, struct span line);

/* Called for each line that matches; false ends the search. */
typedef bool search_hit(void *context, struct span line);

struct search_stats {
    uint64_t hits, lines, blocks_read, blocks_skipped;
};
MUST_USE enum err search(const char *path, const struct query *query, struct arena *arena,
                         search_hit *hit, void *context, struct search_stats *stats);

#endif
