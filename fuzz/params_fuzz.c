/*
 * Pairs of queries and cookies. Each is the decoding of its piece, in order; the limit is a
 * refusal and never a shorter list; cookies lie inside the input and are not decoded.
 */
#include "fuzz/http_fuzz.h"
#include "gateway/http/cookie.h"
#include "gateway/http/params.h"
#include "gateway/http/uri.h"

static void check_query(struct span text, unsigned limit, struct arena *arena)
{
    struct params params;
    struct span rest = text, piece;
    unsigned n = 0;
    enum err err = params_parse(&params, text, limit, arena);

    INVARIANT(params.count <= limit);
    while (span_cut(&rest, '&', &piece)) {
        if (piece.len == 0)
            continue;
        if (n == limit) {
            INVARIANT(err == ERR_LIMIT);
            return;
        }
        INVARIANT(n < params.count);
        const struct param *param = &params.items[n++];
        ssize_t equals = span_index(piece, '=');
        size_t split = equals < 0 ? piece.len : (size_t)equals;
        struct span value = equals < 0 ? SPAN("") : span_sub(piece, split + 1, SIZE_MAX);
        INVARIANT(span_equal(param->name, uri_decode(span_sub(piece, 0, split), true, arena)));
        INVARIANT(span_equal(param->value, uri_decode(value, true, arena)));
    }
    INVARIANT(err == OK && n == params.count);
    if (n > 0)
        INVARIANT(params_find(&params, params.items[n - 1].name) != NULL);
}

static void check_cookies(struct span text, unsigned limit, struct arena *arena)
{
    struct params params = { 0 };
    enum err err = cookies_parse(&params, text, limit, arena);

    if (err == OK) { /* a second line goes on where the first ended */
        unsigned once = params.count;
        err = cookies_parse(&params, text, limit, arena);
        INVARIANT(err == OK ? params.count == 2 * once : 2 * once > limit);
    }
    INVARIANT(params.count <= limit);
    INVARIANT(err == OK || (err == ERR_LIMIT && params.count == limit));
    for (unsigned i = 0; i < params.count; i++) {
        INVARIANT(span_within(params.items[i].name, text));
        INVARIANT(span_within(params.items[i].value, text));
        INVARIANT(span_index(params.items[i].name, ';') < 0);
    }
}

static void check_cookies_v0(struct span text, unsigned limit, struct arena *arena)
{
    struct params params = { 0 };
    enum err err = cookies_split_v0(&params, text, limit, arena);

    INVARIANT(params.count <= limit);
    INVARIANT(err == OK || (err == ERR_LIMIT && params.count == limit));
    for (unsigned i = 0; i < params.count; i++) {
        struct span name = params.items[i].name;
        INVARIANT(span_within(name, text) && span_within(params.items[i].value, text));
        INVARIANT(name.len > 0 && name.p[0] != ' ' && span_index(name, '=') < 0);
        INVARIANT(span_index(name, ';') < 0 && span_index(params.items[i].value, ';') < 0);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size == 0)
        return 0;
    struct span text = span_of((const char *)data + 1, size - 1);
    unsigned limit = data[0] % 64;
    struct arena arena;

    fuzz_arena(&arena);
    check_query(text, limit, &arena);
    check_cookies(text, limit, &arena);
    check_cookies_v0(text, limit, &arena);
    arena_reset(&arena);
    return 0;
}
