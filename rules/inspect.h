/*
 * The run side of a rule set in the stage `waf`: which values a transaction shows in which
 * phase, and what the stage says when the rules have spoken.
 *
 * Phase 1 runs over the complete head, phase 2 over the body, or behind phase 1 when there is
 * none; 3 and 4 over the answer where it is inspected; 5 before the record is written.
 *
 * SecLang's rules have a body read by the processor that they name. Where there are none, it is
 * read as what it is declared to be and as what it looks like; and where both look at it and
 * that differs, it is read once more for the configuration's own rules.
 */
#ifndef SALLYPORT_RULES_INSPECT_H
#define SALLYPORT_RULES_INSPECT_H

#include "gateway/chain/stage.h"
#include "gateway/http/body.h"
#include "rules/engine/run.h"

enum {
    /* A byte of a body: the Core Rule Set at its highest level comes to half of that with the
     * worst of texts. Content that spends the budget otherwise is too large for it. */
    INSPECT_LOOKS_MAX = 512,
};

struct inspect_conf {
    const struct sec_plan *plan;
    bool seclang;                  /* there are SecLang rules */
    unsigned values;               /* most arguments, and most cookies, of one request */
    uint64_t budget;               /* counted work of one transaction */
    const struct sec_store *store; /* NULL: no rule needs it */
};

struct inspect_state {
    struct sec_run run;
    struct sec_geo geo;
    struct sec_ask ask;
    struct body *body; /* NULL: there is none, or it is not read */
    struct body_limits limits;
    struct body *second; /* read once more, for own rules; NULL: it is not */
    bool begun, refused; /* refused: the objection has been said */
    bool seclang, wants_second;
    bool body_begun, body_read, second_read, body_judged;
    bool failed;                 /* means did not suffice, and that has been said */
    bool over_limit;             /* the body has more values than are looked at */
    struct span tags_sent;       /* upstream is told */
    enum sec_phase first, last;  /* phases to run now */
    struct sec_match **reported; /* up to where matches are on record */
    unsigned dropped;            /* that are told to be missing there */
    unsigned added;              /* values of the body that rules are shown */
};

extern const char *const inspect_severities[8];

/* Each begins a phase: values are added. Then inspect_go_on. `evidence`: of a head that was
 * refused; the configuration's own rules are not asked. */
MUST_USE enum err inspect_begin_head(struct call *c, const struct inspect_conf *conf,
                                     struct sec_local *local, struct inspect_state *state,
                                     bool evidence);
MUST_USE enum err inspect_begin_body(struct call *c, const struct inspect_conf *conf,
                                     struct inspect_state *state);
MUST_USE enum err inspect_begin_answer(struct call *c, struct inspect_state *state);
MUST_USE enum err inspect_begin_answer_body(struct call *c, struct inspect_state *state);

/*
 * Goes on with what was begun. SEC_PAUSE: the slice of counted work is spent, call again.
 * SEC_AWAY: call again after sec_away_look; never where the slice has no end.
 * SEC_DONE: `*verdict` is the stage's.
 */
enum sec_end inspect_go_on(struct call *c, struct inspect_state *state, uint64_t slice,
                           struct verdict *verdict);
/* The logging phase; it decides nothing. A state that never began is passed over. */
void inspect_finish(struct call *c, struct inspect_state *state);

/* The anomaly score that the rules have come to in TX, of either generation of the Core Rule
 * Set. False: they keep none. */
bool inspect_score(const struct inspect_state *state, enum score_kind kind, int64_t *score);

/* Whether answers of that media type are inspected. */
bool inspect_type(struct span media_type);
struct span inspect_media_type(const struct response *rsp);

/* That the body is known to have by now. */
static inline unsigned inspect_values(const struct inspect_state *state)
{
    return (state->body != NULL ? state->body->count : 0) +
           (state->second != NULL ? state->second->count : 0);
}

/* The configuration's own rules let it through: no rule is asked any more. */
static inline bool inspect_allowed(const struct inspect_state *state)
{
    return state->run.own.allowed;
}

/* inspect_body.c: which processor reads the body; empty: none. */
struct span inspect_processor(const struct request *req);
/* Reads on, and when all is read shows rules the values, as many as a slice has time for.
 * SEC_PAUSE: there is more of either. */
enum sec_end inspect_read_body(struct call *c, struct inspect_state *state, uint64_t slice);
/* Whether it has no reading, or several, where that is refused. */
bool inspect_body_refused(const struct call *c, const struct inspect_state *state);

#endif
