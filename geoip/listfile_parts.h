/* What the readers of the formats share. Private to geoip/listfile*.c. */
#ifndef SALLYPORT_LISTFILE_PARTS_H
#define SALLYPORT_LISTFILE_PARTS_H

#include "geoip/listfile.h"

struct reading {
    struct span text;
    const struct listfile_how *how;
    struct arena *arena;
    struct addrlist_entries *out;
    size_t room;
    struct listfile_problem *problem;
    enum err err;
};

/* What one entry says, as it stands in the file; empty: nothing. */
enum listfile_part { PART_PREFIX, PART_REASON, PART_SOURCE, PART_EXPIRES, PART_COUNT };
struct listfile_said {
    struct span parts[PART_COUNT];
};

/* Which part a column or key of this name is; PART_COUNT: none. */
enum listfile_part listfile_part(struct span name);
/* False after a problem: not an address, not an expiry, too many. */
MUST_USE bool listfile_add(struct reading *reading, const struct listfile_said *said);
/* Answers false, for the caller to pass on. */
bool listfile_fail(struct reading *reading, enum err err, const char *why);

MUST_USE bool listfile_csv(struct reading *reading);
MUST_USE bool listfile_json(struct reading *reading);

#endif
