/* Frames in, lines of JSON out. */
#include "tests/conformance/driver.h"

#include <stdio.h>
#include <stdlib.h>

enum { MESSAGE_BYTES_MAX = 64 * 1024 * 1024, EXCHANGE_BYTES_MAX = 1 << 30 };

static struct span read_bytes(struct arena *arena, size_t len)
{
    INVARIANT(len <= MESSAGE_BYTES_MAX);
    char *bytes = must(arena_alloc(arena, len + 1));
    INVARIANT(fread(bytes, 1, len, stdin) == len);
    return span_of(bytes, len);
}

static int status_of(const struct wire *wire)
{
    if (wire->refused != 0)
        return wire->refused;
    if (!wire->complete)
        return 0;
    return wire->answered ? wire->rsp.status : 502;
}

static void answer(driver_fn *fn, void *ctx, const struct wire *wire, struct arena *arena)
{
    struct text out = text_growing(arena, 4096);
    struct json json = json_writer(&out);
    json_begin_object(&json, NULL);
    json_int(&json, "status", status_of(wire));
    json_begin_array(&json, "matches");
    if (wire->req.method.len > 0 && (wire->refused != 0 || wire->complete))
        fn(ctx, wire, &json, arena);
    json_end_array(&json);
    json_end_object(&json);
    text_char(&out, '\n');
    INVARIANT(!out.overflow);
    fwrite(out.p, 1, out.len, stdout);
    fflush(stdout);
}

void driver_loop(driver_fn *fn, void *ctx)
{
    struct arena arena;
    char line[64];
    arena_init(&arena, NULL, 0, NULL, EXCHANGE_BYTES_MAX);
    puts("ready");
    fflush(stdout);
    while (fgets(line, sizeof line, stdin) != NULL) {
        char *end;
        size_t request_len = strtoul(line, &end, 10), answer_len = strtoul(end, NULL, 10);
        struct span request = read_bytes(&arena, request_len);
        struct span reply = read_bytes(&arena, answer_len);
        struct wire wire;
        wire_read(&wire, request, reply, &arena);
        answer(fn, ctx, &wire, &arena);
        arena_reset(&arena);
    }
}
