/*
 * What sessions (session.c) and sign-ins (signin.c) have in common, and nobody else.
 */
#ifndef SALLYPORT_SESSION_PARTS_H
#define SALLYPORT_SESSION_PARTS_H

#include "auth/session.h"
#include "auth/sessionshare.h"

struct sessions {
    struct vault live, signins;
    struct cells ended;     /* sessions that are, though a browser may carry a copy */
    struct carry carry;     /* .count 0: none does */
    uint64_t max_s, idle_s; /* at the most, whatever a copy says */
    uint8_t form_key[32];
    bool shared;       /* with other nodes */
    uint64_t grace_ms; /* how long they go on when the store is silent */
};

/* What the store is being told on behalf of a transaction. */
struct session_told {
    const struct sessions *sessions;
    struct share_join *join;
    struct verdict verdict; /* that waits for it */
    struct ticket begun;    /* a session that nobody gets if it is not taken down there */
    bool has_begun;
    struct span counted; /* what begins to be counted anew, if all is well */
};
/* NULL: memory, or (then it is no failure) nothing is shared. */
struct share_join *session_telling(struct call *c, const struct sessions *sessions);

uint64_t session_now_s(const struct call *c);

/* ---- in the memory (session.c) ---- */

uint64_t session_tag(const struct sessions *sessions, struct arena *arena, const char *kind,
                     struct span realm, struct span what);
bool session_put(struct call *c, const struct sessions *sessions, const struct ticket *ticket,
                 struct vault_facts *facts, const struct session_content *content);

/* ---- what the browser carries (session_carried.c) ---- */

/* Its cookie, as text; empty where it has no room: then no copy is carried. False: memory. */
MUST_USE bool session_carried_write(struct call *c, const struct sessions *sessions,
                                    const struct ticket *ticket,
                                    const struct vault_facts *facts,
                                    const struct session_content *content, struct span *cookie);
/* With the answer to this request, whoever gives it. Without memory it goes on as it was. */
void session_carry_on(struct call *c, const struct sessions *sessions,
                      const struct ticket *ticket, const struct vault_facts *facts,
                      const struct session_content *content);
/* One that this node does not know, or not any more: from the copy, into the memory. */
bool session_carried_take(struct call *c, const struct sessions *sessions,
                          const struct ticket *ticket);
/* Makes the copy anew if it is due. */
void session_carried_renew(struct call *c, const struct sessions *sessions,
                           const struct ticket *ticket, const struct vault_facts *facts,
                           const struct session_content *content);

/* ---- what is sealed ---- */

void sealed_put_number(struct text *out, uint64_t number);
void sealed_put_text(struct text *out, struct span s);

struct sealed {
    struct span rest;
    bool bad;
};
uint64_t sealed_take_number(struct sealed *r);
struct span sealed_take_text(struct sealed *r);

/* ---- cookies ---- */

#define SESSION_AGE_BROWSER UINT64_MAX
struct span session_cookie(struct call *c, struct span name);
bool session_cookie_ticket(struct call *c, struct span name, struct ticket *ticket);
/* An age of 0 takes it away; SESSION_AGE_BROWSER: as long as the browser runs. */
bool session_put_cookie(struct call *c, struct reply *reply, struct span name,
                        struct span value, uint64_t max_age_s, bool strict);
bool session_put_ticket(struct call *c, struct reply *reply, struct span name,
                        const struct ticket *ticket, bool strict);

#endif
