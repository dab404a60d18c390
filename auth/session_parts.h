/*
 * What sessions (session.c) and sign-ins (signin.c) have in common, and nobody else.
 */
#ifndef SALLYPORT_SESSION_PARTS_H
#define SALLYPORT_SESSION_PARTS_H

#include "auth/session.h"
#include "auth/sessionshare.h"

struct sessions {
    struct vault live, signins;
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
