/*
 * Evidence out of a file that anybody made: it is read to its end without harm, and none of it
 * is good under a key that signed nothing; nor is what is shown of a roster that nobody made.
 */
#include <stdio.h>
#include <sys/mman.h>
#include <unistd.h>

#include "gateway/audit/evidence.h"

enum { INPUT_MAX = 64 * 1024, VERIFY_BYTES = 64 << 20 };

static void check_roster(struct span input)
{
    uint8_t root[ROSTER_HASH] = { 0 };
    struct roster_proof proof = { .entries = input };
    size_t at = 0;
    uint32_t number;
    for (int level = 0; level < ROSTER_LEVELS && input.len >= ROSTER_HASH; level++)
        memcpy(proof.path[level], input.p, ROSTER_HASH);
    INVARIANT(!roster_check(root, input.len, &proof));
    while (roster_next(&proof, 0, &at, &number))
        INVARIANT(at <= input.len);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char nobody[] = "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";
    static struct verify verify;
    char path[64];
    struct arena arena;
    if (size > INPUT_MAX || chain_init() != OK)
        return 0;
    check_roster(span_of((const char *)data, size));
    int fd = memfd_create("evidence", MFD_CLOEXEC);
    if (fd < 0 || write(fd, data, size) != (ssize_t)size)
        return 0;
    (void)snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
    arena_init(&arena, NULL, 0, NULL, VERIFY_BYTES);
    if (evidence_is(path)) {
        INVARIANT(verify_evidence(&verify, path, nobody, &arena) != OK || verify.count > 0);
        INVARIANT(!verify.complete);
    }
    arena_reset(&arena);
    (void)close(fd);
    return 0;
}
