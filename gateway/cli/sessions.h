/*
 * Sessions that nodes share, for the command line.
 */
#ifndef SALLYPORT_CLI_SESSIONS_H
#define SALLYPORT_CLI_SESSIONS_H

#include <jansson.h>

#include "gateway/cli/cli.h"

/*
 * All of them, in place of those in `answer`; or the end of one, or of all of a user, with how
 * many there were in `answer`. An exit status; after trouble it was told.
 */
MUST_USE int sessions_shared_list(const struct arguments *arguments, json_t *answer);
MUST_USE int sessions_shared_end(const struct arguments *arguments, const char *handle,
                                 json_t *answer);
MUST_USE int sessions_shared_end_user(const struct arguments *arguments, const char *user,
                                      json_t *answer);

#endif
