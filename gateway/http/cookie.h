/*
 * Cookies as mod_security2 reads them (SecCookieFormat 0), for REQUEST_COOKIES and their names:
 * pieces between semicolons, white space before the name skipped and nothing else, cut at the
 * first `=`, not decoded; a piece without a name is passed over. All other readers use
 * cookies_parse.
 */
#ifndef SALLYPORT_COOKIE_H
#define SALLYPORT_COOKIE_H

#include "gateway/http/params.h"

/* Appends to `params`, which was zeroed at first. ERR_LIMIT, ERR_MEMORY. */
MUST_USE enum err cookies_split_v0(struct params *params, struct span text, unsigned limit,
                                   struct arena *arena);

#endif
