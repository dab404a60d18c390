/*
 * The htpasswd file: one `name:hash` a line, `#` comments, blank lines, CR LF. Taken whole or
 * not at all: a line that is not understood, or a user that stands twice, is an error.
 */
#ifndef SALLYPORT_HTPASSWD_H
#define SALLYPORT_HTPASSWD_H

#include "gateway/base/arena.h"

enum {
    HTPASSWD_FILE_MAX = 8 * 1024 * 1024,
    HTPASSWD_USERS_MAX = 50000,
    HTPASSWD_NAME_BYTES_MAX = 255,
};

struct htpasswd_user {
    struct span name, hash; /* into the text */
    unsigned line;
};

struct htpasswd {
    struct htpasswd_user *users;
    size_t count;
};

/* ERR_SYNTAX or ERR_DUPLICATE with the number of the line; ERR_LIMIT when there is too much. */
MUST_USE enum err htpasswd_parse(struct span text, struct arena *arena, struct htpasswd *out,
                                 unsigned *line);
/* 1 to 255 bytes without control characters or a colon: what may be a user's name. */
bool htpasswd_name_valid(struct span name);

#endif
