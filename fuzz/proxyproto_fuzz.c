/*
 * PROXY protocol heads. The answer is the same however the bytes arrive: every shorter piece
 * asks for more or refuses for good; the address is only touched by a head that was read.
 */
#include "gateway/net/proxyproto.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const struct addr before = { .bytes = { 203, 0, 113, 9 }, .port = 1, .family = ADDR_V4 };
    struct span input = span_of((const char *)data, size);
    struct addr client = before, again = before;
    ssize_t result = proxy_head_parse(input, &client);

    INVARIANT(result == PROXY_MORE || result == PROXY_BAD ||
              (result > 0 && result <= PROXY_HEAD_MAX && (size_t)result <= size));
    INVARIANT(result > 0 || memcmp(&client, &before, sizeof client) == 0);
    INVARIANT(client.family == ADDR_V4 || client.family == ADDR_V6);
    INVARIANT(result != PROXY_MORE || size < PROXY_HEAD_MAX);

    ssize_t step = PROXY_MORE;
    for (size_t len = 0; len <= size && step == PROXY_MORE; len++)
        step = proxy_head_parse(span_sub(input, 0, len), &again);
    INVARIANT(step == result);
    INVARIANT(addr_equal(&client, &again) && client.port == again.port);
    return 0;
}
