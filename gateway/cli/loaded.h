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
/* Without rules, which may take half a minute to compile: for all that does not ask them. */
void loaded_outline(struct loaded *loaded, const char *path);
void loaded_close(struct loaded *loaded);
/* What is wrong, to the descriptor. */
void loaded_print(struct loaded *loaded, int fd, bool json);

/*
 * A file that a command is about: --file, else the one that the configuration names. `files`
 * tells which those are; `what` they are called, `option` they are named by. `user`, if it is
 * not NULL, becomes whom a gateway of that configuration becomes when root starts it, or empty.
 * An exit status; after trouble it was told.
 */
enum { NAMED_PATH_BYTES = 4096, NAMED_USER_BYTES = 64 };
struct named_file {
    const char *option, *what;
    const struct key_file *(*files)(const struct config *config, size_t *count);
};
struct arguments;
MUST_USE int named_path(const struct arguments *arguments, const struct named_file *named,
                        char path[NAMED_PATH_BYTES], char *user);

#endif
