/*
 * Secrets: bytes that are wiped when freed, compared in constant time, kept out of core dumps
 * where the kernel allows, and that nothing prints. A zeroed struct is an empty secret.
 */
#ifndef SALLYPORT_SECRET_H
#define SALLYPORT_SECRET_H

#include "gateway/base/span.h"

struct secret {
    char *p;
    size_t len;
};

MUST_USE enum err secret_set(struct secret *secret, struct span bytes); /* copies */
void secret_wipe(struct secret *secret);                                /* wipes and frees */
bool bytes_equal_constant_time(const void *a, const void *b, size_t len);
void wipe(void *p, size_t len);

#endif
