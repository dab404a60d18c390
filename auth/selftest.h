/*
 * What has been tried against others, tried against ourselves: forged tokens, and tricks
 * against signing in, by the name of the trick, each with the reason for which it must be
 * refused, and honest ones that must pass. With keys made on the spot.
 */
#ifndef SALLYPORT_SELFTEST_H
#define SALLYPORT_SELFTEST_H

#include "gateway/base/text.h"

struct selftest_result {
    unsigned passed, failed;
};

/* Each case is told to `tell`: its name, and NULL or what happened in place of what should. */
struct selftest_result
selftest_tokens(void (*tell)(void *ctx, const char *name, const char *trouble), void *ctx);
/* The same for signing in: cookies, states, addresses to return to, codes, guesses. */
struct selftest_result
selftest_signin(void (*tell)(void *ctx, const char *name, const char *trouble), void *ctx);

#endif
