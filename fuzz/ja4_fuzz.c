/*
 * ClientHellos from hostile bytes: what has a fingerprint has one of the published form, the
 * same each time; nothing behind the message counts, and no beginning of it has one.
 */
#include <stdlib.h>

#include "gateway/net/ja4.h"

static bool form_good(const char *text)
{
    for (size_t i = 0; i < JA4_BYTES; i++) {
        char c = text[i];
        bool hex = (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f');
        bool good = i == 0               ? c == 't'
                    : i == 3             ? c == 'd' || c == 'i'
                    : i == 10 || i == 23 ? c == '_'
                    : i >= 4 && i <= 7   ? c >= '0' && c <= '9'
                    : i > 10             ? hex
                                         : c > ' ' && c < 127;
        if (!good)
            return false;
    }
    return true;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char first[JA4_BYTES], second[JA4_BYTES];
    if (size > 16 * 1024)
        return 0;
    char *copy = malloc(size + 1); /* of the exact size, but for the last try */
    INVARIANT(copy != NULL);
    if (size > 0)
        memcpy(copy, data, size);
    copy[size] = 0;
    if (ja4_write(span_of(copy, size), first)) {
        INVARIANT(form_good(first));
        INVARIANT(ja4_write(span_of(copy, size), second));
        INVARIANT(memcmp(first, second, JA4_BYTES) == 0);
        INVARIANT(!ja4_write(span_of(copy, size - 1), second));
        INVARIANT(!ja4_write(span_of(copy, size + 1), second));
    }
    free(copy);
    return 0;
}
