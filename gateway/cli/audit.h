/*
 * `sallyport audit`: the parts of it, and what they share.
 */
#ifndef SALLYPORT_CLI_AUDIT_H
#define SALLYPORT_CLI_AUDIT_H

#include <stdio.h>

#include "gateway/audit/search.h"
#include "gateway/cli/cli.h"

struct audit_command {
    const struct arguments *arguments;
    const char *path; /* of the audit file */
    bool json;
    struct arena *arena;
    struct query query;
};

int audit_verify(struct audit_command *command);
int audit_search(struct audit_command *command);
int audit_show(struct audit_command *command);
int audit_timeline(struct audit_command *command);
int audit_export(struct audit_command *command);

#endif
