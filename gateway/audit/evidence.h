/*
 * Records that prove themselves elsewhere: a file of the records that a query found, all seals
 * up to the one behind the last of them, and in place of every other record between two seals
 * its leaf alone, which tells nothing of it. `audit verify FILE` follows it as it follows a
 * log.
 *
 *     {"evidence":1,...}
 *     the seals, as they stand in PATH.seal
 *     {"interval":true,"after":N,"head":H}     N and H as a seal has them
 *     {"leaf":L}                               one for each record that is not shown
 *     the records, as they stand in the log
 *     {"end":true,"records":R,"hidden":L}
 *
 * Intervals ascend. What the one who exports leaves out, or says of the query, nobody proves.
 */
#ifndef SALLYPORT_AUDIT_EVIDENCE_H
#define SALLYPORT_AUDIT_EVIDENCE_H

#include "gateway/audit/search.h"
#include "gateway/audit/verify.h"

struct evidence_result {
    uint64_t records, hidden, unsealed; /* unsealed: found, but behind the last seal */
};

/* Where the text goes, in pieces; false ends the export with ERR_WRITE. */
struct evidence_sink {
    bool (*write)(void *context, struct span bytes);
    void *context;
};

/* `described`: the query in words, for the first line. */
MUST_USE enum err evidence_export(const char *path, const struct query *query,
                                  struct span described, const struct evidence_sink *sink,
                                  struct arena *arena, struct evidence_result *result);
/* Whether the first line says that the file is such a one. */
bool evidence_is(const char *path);

#endif
