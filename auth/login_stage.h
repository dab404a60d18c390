/*
 * What the gate (login.c) and its pages (login_form.c) share, and nobody else.
 */
#ifndef SALLYPORT_LOGIN_STAGE_H
#define SALLYPORT_LOGIN_STAGE_H

#include "auth/hashpool.h"
#include "auth/lockout.h"
#include "auth/pages.h"
#include "auth/users.h"

#define LOGIN_PAGE "/.sallyport/login"
#define LOGIN_OUT "/.sallyport/login/out"
#define LOGIN_FLOW LOGIN_PAGE "?flow="
#define STEP_PASSWORD "login"
#define STEP_SECOND "login second"

enum { LOGIN_BODY_MAX = 8 * 1024, LOGIN_FIELDS_MAX = 8 };
enum { TOTP_OFF, TOTP_OPTIONAL, TOTP_REQUIRED };

struct login_conf {
    struct path users;
    struct texts groups;
    int totp;
    struct session_conf session;
    struct span pass, brand;
    struct path style;

    size_t index; /* in config->user_files */
    struct sessions *sessions;
    struct lockout lockout;
    struct page_style look;
    struct password_hash
        nobody; /* what the passwords of names that are nobody's are checked by */
    struct signed_in signed_in;
    struct span wanted; /* groups, commas between them */
};

struct login_local {
    struct worker *worker; /* NULL: not attached */
    const struct sessions *sessions;
    struct hashpool *pool;
};

/* Of a request that waits for its hash. */
struct login_state {
    char user[USER_NAME_MAX + 1];
    uint64_t epoch; /* 0: there is no such user */
    bool known;
    struct span handle;
};

/* The users as they are now; `*ready` is false when nobody has told yet. */
const struct user_entry *login_user(struct call *c, struct span name, bool *ready);
const struct identity *login_identity(struct arena *arena, const struct user_entry *entry,
                                      uint64_t proved_s, bool mfa);
struct verdict login_page(struct call *c);

#endif
