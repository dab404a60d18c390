/*
 * Records that prove themselves elsewhere: a file of the records that a query found, all seals,
 * in place of every other record between two seals its leaf alone, which tells nothing of it,
 * and what of the rosters shows that no other record answers. `audit verify FILE` follows it as
 * it follows a log.
 *
 *     {"evidence":2,"query":[terms]}           times as moments, not as "2h"
 *     the seals, as they stand in PATH.seal
 *     {"interval":true,"after":N,"head":H}     N and H as a seal has them
 *     {"leaf":L}                               one for each record that is not shown
 *     the records, as they stand in the log
 *     {"roster":K,"upto":N,"entries":E,"path":[...]}
 *     {"end":true,"records":R,"hidden":L}
 *
 * Intervals ascend. Of each between two seals that may have an answer, by the times that the
 * seal gives, there is a roster line for each term that names a whole value (an address, a
 * user, a rule, a status, ...): all records with that value. What has all of them is shown,
 * unless a term that no roster knows (a path, a prefix of addresses, a class of statuses) can
 * be the reason that it is not; such are counted as not proven. A query of times alone shows
 * all of its intervals. One of terms that no roster knows has no roster lines, and proves of
 * the records that it shows that they are the log's, not that they are all.
 *
 * Times at the ends of the query are those of seals: records of the same values that were
 * sealed together with the first and the last ones are shown beside.
 */
#ifndef SALLYPORT_EVIDENCE_H
#define SALLYPORT_EVIDENCE_H

#include "gateway/audit/search.h"
#include "gateway/audit/verify.h"

struct evidence_result {
    uint64_t records, hidden, unsealed; /* unsealed: found, but behind the last seal */
    uint64_t unknown;                   /* records that no roster tells of */
    bool complete;                      /* it shows that nothing was left out */
};

/* Where the text goes, in pieces; false ends the export with ERR_WRITE. */
struct evidence_sink {
    bool (*write)(void *context, struct span bytes);
    void *context;
};

/* `terms`: those of the query, as a JSON array that evidence_terms reads to the same query. */
MUST_USE enum err evidence_export(const char *path, const struct query *query,
                                  struct span terms, const struct evidence_sink *sink,
                                  struct arena *arena, struct evidence_result *result);
/* Whether the first line says that the file is such a one. */
bool evidence_is(const char *path);

/* ---- shared by making and following ---- */

enum { EVIDENCE_HASH_TEXT = 43 };

/* What a query asks of an interval between two seals. */
struct evidence_scope {
    struct query query; /* without times: what is shown answers this */
    uint64_t since_us, until_us;
    struct {
        enum block_key key;
        uint64_t tag;
    } exact[KEY_COUNT];
    size_t exact_count;
    bool vague;   /* a term that no roster knows */
    bool proves;  /* rosters, or times alone */
    size_t begin; /* the first seal behind which there are records still */
};
void evidence_scope(struct evidence_scope *scope, const struct query *query,
                    const struct seal_list *seals);
/* Of the records between seal i - 1 and seal i: whether one may answer. */
enum evidence_need { EVIDENCE_NOT_ASKED, EVIDENCE_PRUNED, EVIDENCE_UNKNOWN, EVIDENCE_NEEDED };
enum evidence_need evidence_need(const struct evidence_scope *scope,
                                 const struct seal_list *seals, size_t i);
/* The first seal at or behind this record; the count of seals: there is none. */
size_t evidence_seal(const struct seal_list *seals, uint64_t seq);
const char *block_key_name(enum block_key key);

#endif
