/*
 * A set of address prefixes as one position-independent block of bytes: sorted, merged ranges,
 * behind an index of the addresses' top 16 bits once there are many. Built at load or by the
 * steward, mapped read-only by workers as a snapshot. A trie takes ten times as long and as
 * much memory at a million prefixes.
 */
#ifndef SALLYPORT_CIDRSET_H
#define SALLYPORT_CIDRSET_H

#include "gateway/base/addr.h"
#include "gateway/base/arena.h"

enum { CIDRSET_ENTRIES_MAX = 2 * 1000 * 1000, CIDRSET_FILE_MAX = 64 * 1024 * 1024 };

/* Sorted and merged on building; `*out` is allocated in the arena. */
MUST_USE enum err cidrset_build(const struct cidr *items, size_t count, struct arena *arena,
                                struct span *out);
/* Checks all offsets and orders once; a block that passes cannot make a lookup read outside. */
bool cidrset_valid(struct span block);
bool cidrset_contains(struct span block, const struct addr *addr);
size_t cidrset_ranges(struct span block);

/*
 * A text list: one address or prefix a line, `#` and `;` comments, blank lines, CR LF; host
 * bits are cleared. On a malformed line ERR_SYNTAX with its number: a list is taken whole or
 * not at all.
 */
MUST_USE enum err cidrset_parse(struct span text, struct arena *arena, struct cidrs *out,
                                unsigned *line);

#endif
