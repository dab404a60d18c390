/*
 * `sallyport tune`: matches of SecLang rules that the log shows to be everyday traffic, and the
 * narrowest exclusion for each kind, proved before it is offered.
 *
 * A log is what clients wrote: who can send requests can put anything there, and an exclusion
 * made of it would be his. So a kind is offered only when several users who were signed in met
 * it, or clients of many networks; never on the word of one who is nobody.
 */
#ifndef SALLYPORT_CLI_TUNE_H
#define SALLYPORT_CLI_TUNE_H

#include "gateway/cli/replay.h"

enum {
    TUNE_GROUPS_MAX = 512,
    TUNE_RULES_MAX = 32,
    TUNE_SEEN_MAX = 32, /* networks, users and requests that are told apart in one group */
    TUNE_NETWORKS_MIN = 10,
    TUNE_USERS_MIN = 2,
    TUNE_DAYS = 180, /* that an exclusion holds */
};

/* Who met a rule: no more than need be. */
struct tune_vouchers {
    struct span networks[TUNE_NETWORKS_MIN], users[TUNE_USERS_MIN];
    unsigned network_count, user_count;
};

struct tune_group {
    struct span site, method, path, field; /* path: a pattern; field: as `exclude` names it */
    uint64_t rules[TUNE_RULES_MAX];        /* ascending */
    struct tune_vouchers vouchers[TUNE_RULES_MAX];
    unsigned rule_count, unvouched; /* unvouched: rules that were left out */
    uint64_t hits, signed_in;
    struct span networks[TUNE_SEEN_MAX], users[TUNE_SEEN_MAX];
    unsigned network_count, user_count;
    struct span path_seen; /* one of them, for trials */
    const char *refusal;   /* NULL: may be offered */
};

struct tune_groups {
    struct arena *arena;
    struct tune_group items[TUNE_GROUPS_MAX];
    size_t count, dropped;
    uint64_t unnamed; /* matches of rules that have no number: the built-in pack's */
};

/* tune_groups.c. One record (parsed) to the groups that it belongs to. */
void tune_add(struct tune_groups *groups, const json_t *record);
/* Says of each whether it may be offered, with the rules that enough have met; most hits first.
 */
void tune_judge(struct tune_groups *groups);
/* /blog/edit/12 -> /blog/edit/: behind the first segment that looks like a name of one thing.
 */
struct span tune_path_pattern(struct span path, struct arena *arena);
/* ARGS:comment -> args:comment; empty: `exclude` knows no such field. */
struct span tune_field(struct span variable, struct arena *arena);

/* tune_edit.c. The file's text with one more exclusion; NULL, or why it cannot be edited.
 * Nothing else of it is changed: comments and layout stay. */
struct tune_edit {
    struct span file, text, added; /* the new text, and the lines that are new */
    unsigned line;                 /* where they stand */
};
const char *tune_edit(struct tune_edit *edit, struct span text, const char *name,
                      const struct tune_group *group, uint64_t now_s, struct arena *arena);

/* tune_proof.c. What becomes of captures and of attacks. */
struct tune_proof {
    size_t captures, passing;   /* of this group: false positives, and those that pass now */
    size_t others, others_lost; /* captures that the exclusion is not about; let through now */
    size_t attacks, attacks_lost; /* in other fields, on this path and elsewhere */
    size_t inside, inside_kept;   /* in the field itself: what other rules still find */
};
MUST_USE bool tune_prove(struct tune_proof *proof, const struct tune_group *group,
                         const struct captured_list *captures, const char *old_config,
                         const char *new_config, struct arena *arena);

#endif
