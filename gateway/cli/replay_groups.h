/*
 * Decisions of two runs over the same captures, compared and grouped.
 */
#ifndef SALLYPORT_CLI_REPLAY_GROUPS_H
#define SALLYPORT_CLI_REPLAY_GROUPS_H

#include <jansson.h>

#include "gateway/base/text.h"

enum { REPLAY_GROUPS_MAX = 256, REPLAY_EXAMPLES = 3, REPLAY_WHYS = 8 };

struct replay_group {
    struct span from, to;
    size_t count;
    const json_t *examples[REPLAY_EXAMPLES]; /* facts of captures */
};

struct replay_groups {
    struct arena *arena;
    struct replay_group items[REPLAY_GROUPS_MAX];
    size_t count;
    size_t more; /* changes in groups that had no place */
    size_t same, changed, unknown, unreadable, incomplete;
    struct {
        const char *why;
        size_t count;
    } whys[REPLAY_WHYS];
};

/* `from` and `to` are decisions (flow_capture.c). */
void groups_compare(struct replay_groups *groups, const json_t *facts, const json_t *from,
                    const json_t *to, struct arena *arena);
void groups_unknown(struct replay_groups *groups, const char *why);
void groups_print(const struct replay_groups *groups, bool json);
/* "block 403 rule [942100]" */
void decision_text(struct text *out, const json_t *decision);

#endif
