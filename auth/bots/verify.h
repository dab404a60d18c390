/*
 * Whether an address is that of a crawler that it claims to be, by forward-confirmed reverse
 * DNS. A worker asks and goes on: the steward finds out, and a later request has the answer. No
 * request waits for a name server, and what is not known yet is treated as a claim that nobody
 * has proved.
 *
 * Questions and answers are in memory that workers write: of a question the steward believes
 * nothing but that somebody wants to know it, and asks no more than so many at a time.
 */
#ifndef SALLYPORT_BOTS_VERIFY_H
#define SALLYPORT_BOTS_VERIFY_H

#include "auth/bots/memory.h"

enum {
    VERIFY_ASKED_S = 10,   /* until it may be asked again */
    VERIFY_UNKNOWN_S = 60, /* nobody could say */
    VERIFY_FALSE_S = 3600, /* what was found, negative ... */
    VERIFY_LEAST_S = 3600, /* ... and positive, by the records' own times within these */
    VERIFY_MOST_S = 86400,
    VERIFY_NAMES_MAX = 4, /* of one address that are looked at */
};

enum verify_state { VERIFY_NOTHING, VERIFY_PENDING, VERIFY_TRUE, VERIFY_FALSE, VERIFY_UNKNOWN };

/* What is known; VERIFY_NOTHING: ask. */
enum verify_state verify_look(const struct bots_memory *view, const struct addr *addr,
                              struct span name, uint64_t now_s);
/* Asks, unless somebody has just done so. */
void verify_ask(const struct bots_memory *view, const struct verify_question *question,
                uint64_t now_s);

/* ---- the steward's side ---- */

/* The next question from `*cursor` on; false: none. What was overwritten is skipped, and so is
 * one whose writer died. */
bool verify_next(const struct bots_memory *view, uint64_t *cursor,
                 struct verify_question *question);
void verify_tell(const struct bots_memory *view, const struct verify_question *question,
                 enum verify_state state, uint64_t now_s, uint64_t ttl_s);

/* Whole: every text ends, and names are of letters, digits, `-` and dots. */
bool verify_question_ok(const struct verify_question *question);
/* Whether the name of a host is in one of the domains. */
bool verify_in_domains(const struct verify_question *question, const char *host);
/* "7.2.0.192.in-addr.arpa." and its like of IPv6 (RFC 1035 section 3.5, RFC 3596). */
void verify_reverse_name(struct text *out, const struct addr *addr);

#endif
