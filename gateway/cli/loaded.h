/*
 * A configuration loaded for the command line: nothing shared, nothing bound, nothing started.
 */
#ifndef SALLYPORT_LOADED_H
#define SALLYPORT_LOADED_H

#include "gateway/load.h"

struct loaded {
    struct arena arena;
    struct diags diags;
    struct config *config; /* NULL: see diags */
};

void loaded_open(struct loaded *loaded, const char *path);
void loaded_close(struct loaded *loaded);
/* What is wrong, to the descriptor. */
void loaded_print(struct loaded *loaded, int fd, bool json);

#endif
