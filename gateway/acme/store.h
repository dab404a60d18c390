/*
 * What survives a restart: accounts, certificates with their keys, and when a further try is
 * due, each in a file of its own below one folder. Files are mode 0600 and written beside, then
 * renamed, so that there is always a whole one. What is read back is checked by whoever uses
 * it.
 */
#ifndef SALLYPORT_ACME_STORE_H
#define SALLYPORT_ACME_STORE_H

#include "gateway/acme/certificate.h"

enum {
    ACME_NAME_MAX = 128, /* of a file */
    ACME_FILE_MAX = 256 * 1024,
    ACME_FILES_MAX = 256,
    ACME_WHY_MAX = 256,
};

/* Names a certificate: by its first host, for people, and all hosts and the directory. */
void acme_store_name(char out[static ACME_NAME_MAX], struct span directory,
                     struct acme_hosts hosts);
/* The same of the account at that directory. */
void acme_account_name(char out[static ACME_NAME_MAX], struct span directory);

/*
 * The folder, made when it is not there, for `user` (NULL: whoever we are). NULL, or why not:
 * others may read or write it, or it is none.
 */
const char *acme_store_make(const char *folder, const char *user);
/* A descriptor of it, or -1. */
int acme_store_open(const char *folder);
/* The file, whole; NULL, or why not. Files that are not there are empty. */
const char *acme_store_read(int folder, const char *name, struct arena *arena,
                            struct span *content);
/* NULL, or why not; then what was there before is there still. */
const char *acme_store_write(int folder, const char *name, struct span content);
void acme_store_remove(int folder, const char *name);
/*
 * Of all certificates that are kept, the one that is good now for most of these names, from
 * when a site had other hosts, say: its name, or false when there is none. No more than
 * ACME_FILES_MAX files are looked at.
 */
MUST_USE bool acme_store_nearest(int folder, struct acme_hosts hosts, int64_t now_s,
                                 char name[static ACME_NAME_MAX]);
/* When it was written, wall clock; 0: it is not there. */
int64_t acme_store_time(int folder, const char *name);

/* Of a certificate that could not be got, beside it. */
struct acme_tries {
    unsigned failures;
    int64_t next_s;         /* wall clock */
    char why[ACME_WHY_MAX]; /* visible ASCII */
};
/* All zero, when there is none or it is not understood. */
void acme_tries_read(int folder, const char *name, struct acme_tries *tries);
/* Without failures: there is nothing to remember. */
const char *acme_tries_write(int folder, const char *name, const struct acme_tries *tries);

#endif
