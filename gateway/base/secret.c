/*
 * Secrets have pages of their own, away from the heap: nothing that reads past a neighbour
 * meets them, and the kernel can be told to leave them out of dumps and swap.
 */
#include "gateway/base/secret.h"

#include <sys/mman.h>

enum err secret_set(struct secret *secret, struct span bytes)
{
    struct secret made = { .len = bytes.len };
    if (bytes.len > 0) {
        void *pages =
            mmap(NULL, bytes.len, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        if (pages == MAP_FAILED)
            return ERR_MEMORY;
        /* Where the kernel or RLIMIT_MEMLOCK refuses, the secret still works. */
        (void)madvise(pages, bytes.len, MADV_DONTDUMP);
        (void)mlock(pages, bytes.len);
        made.p = memcpy(pages, bytes.p, bytes.len);
    }
    secret_wipe(secret); /* last, as the new bytes may be the old */
    *secret = made;
    return OK;
}

void secret_wipe(struct secret *secret)
{
    if (secret->p != NULL) {
        wipe(secret->p, secret->len);
        INVARIANT(munmap(secret->p, secret->len) == 0);
    }
    *secret = (struct secret){ .p = NULL };
}

bool bytes_equal_constant_time(const void *a, const void *b, size_t len)
{
    /* Volatile, or the compiler may leave the loop at the first difference. */
    const volatile unsigned char *x = a, *y = b;
    unsigned difference = 0;
    for (size_t i = 0; i < len; i++)
        difference |= (unsigned)(x[i] ^ y[i]);
    return difference == 0;
}

void wipe(void *p, size_t len)
{
    if (len > 0)
        explicit_bzero(p, len);
}
