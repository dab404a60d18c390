/*
 * `selftest auth`, the part that needs whole requests: paths, hosts, methods and fields that
 * have opened a gate of others, against a policy; and fields by which clients have passed for
 * somebody else.
 */
#ifndef SALLYPORT_CLI_SELFTEST_REQUESTS_H
#define SALLYPORT_CLI_SELFTEST_REQUESTS_H

#include "auth/selftest.h"

struct selftest_result
selftest_requests(void (*tell)(void *ctx, const char *name, const char *trouble), void *ctx);

#endif
