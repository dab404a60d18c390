/*
 * What `explain` makes of a curl command line or a HAR: bytes or a complaint, and of bytes that
 * are neither, those bytes.
 */
#include "gateway/cli/explain.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct arena arena;
    struct span text = span_of((const char *)data, size), request = { NULL, 0 };
    if (size > 64 * 1024)
        return 0;
    arena_init(&arena, NULL, 0, NULL, (size_t)16 << 20);
    const char *wrong = request_from(text, &arena, &request);
    INVARIANT(wrong != NULL || request.len > 0);
    bool made = span_starts(text, SPAN("curl ")) || span_starts(text, SPAN("http://")) ||
                span_starts(text, SPAN("https://")) || (size > 0 && text.p[0] == '{');
    INVARIANT(made || size == 0 || (request.p == text.p && request.len == size));
    if (made && wrong == NULL)
        INVARIANT(span_find(request, SPAN(" HTTP/1.1\r\n")) > 0);
    arena_reset(&arena);
    return 0;
}
