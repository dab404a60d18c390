/*
 * What a reload would expose: paths that the audit log of the last days shows as protected, and
 * that anybody could reach with the configuration that is to be loaded.
 */
#ifndef SALLYPORT_CLI_EXPOSED_H
#define SALLYPORT_CLI_EXPOSED_H

#include "gateway/cli/cli.h"

enum {
    EXPOSED_DAYS = 7,          /* unless --since says otherwise */
    EXPOSED_PATHS_MAX = 65536, /* that are looked at; of more, the first that were seen */
    EXPOSED_SHOWN_MAX = 20,
};

/*
 * EXIT_GOOD: it exposes none, or there is no log to tell. EXIT_BAD after the list of them. A
 * configuration that cannot be loaded is the gateway's to refuse: EXIT_GOOD.
 */
MUST_USE int exposed_check(const struct arguments *arguments, const char *config);

#endif
