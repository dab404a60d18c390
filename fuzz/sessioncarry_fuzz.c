/*
 * The cookie that carries a session: what is not as we have sealed it opens nothing, and what
 * opens is what was sealed.
 */
#include "auth/sessioncarry.h"

#include <sodium.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    enum { NOW = 1800000000 };
    static char text[] = "a secret of thirty-two bytes, or more";
    static struct ticket ticket;
    struct secret secret = { .p = text, .len = sizeof(text) - 1 };
    struct carry carry = { .count = 0 };
    struct carried carried, what = { .issued_s = NOW,
                                     .began_s = NOW,
                                     .until_s = NOW + 600,
                                     .idle_s = 600,
                                     .content = span_of((const char *)data, size) };
    struct arena arena;
    if (sodium_init() < 0)
        return 0;
    carry_add(&carry, &secret);
    arena_init(&arena, NULL, 0, NULL, 1 << 20);
    INVARIANT(!carry_read(&carry, &(struct carry_owner){ &ticket, SPAN("shop") }, what.content,
                          NOW, &arena, &carried));
    struct text out = text_growing(&arena, 64);
    bool sealed =
        carry_write(&carry, &(struct carry_owner){ &ticket, SPAN("shop") }, &what, &out);
    INVARIANT(sealed == (size <= CARRY_CONTENT_MAX));
    if (sealed) {
        INVARIANT(carry_read(&carry, &(struct carry_owner){ &ticket, SPAN("shop") },
                             text_span(&out), NOW, &arena, &carried));
        INVARIANT(span_equal(carried.content, what.content));
    }
    arena_reset(&arena);
    return 0;
}
