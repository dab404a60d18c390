/* Pairs of query strings, urlencoded forms and cookies. */
#include "gateway/http/params.h"

#include "gateway/http/uri.h"

enum { PARAMS_FIRST = 8 };

/*
 * The array is full whenever its count is a power of two from PARAMS_FIRST on (or nothing), so
 * the struct needs no capacity. Doubling keeps the copies linear.
 */
enum err params_push(struct params *params, struct param param, unsigned limit,
                     struct arena *arena)
{
    unsigned count = params->count;

    if (count >= limit)
        return ERR_LIMIT;
    if (count == 0 || (count >= PARAMS_FIRST && (count & (count - 1)) == 0)) {
        size_t capacity = count == 0 ? PARAMS_FIRST : (size_t)count * 2;
        struct param *items = arena_alloc(arena, capacity * sizeof(struct param));
        if (items == NULL)
            return ERR_MEMORY;
        if (count > 0)
            memcpy(items, params->items, count * sizeof(struct param));
        params->items = items;
    }
    params->items[params->count++] = param;
    return OK;
}

/* Without `=` the whole piece is the name. */
static struct param split(struct span piece)
{
    const char *equals = piece.len > 0 ? memchr(piece.p, '=', piece.len) : NULL;

    if (equals == NULL)
        return (struct param){ piece, SPAN("") };
    return (struct param){ span_range(piece.p, equals),
                           span_range(equals + 1, span_end(piece)) };
}

enum err params_parse(struct params *params, struct span text, unsigned limit,
                      struct arena *arena)
{
    struct span rest = text, piece;

    *params = (struct params){ 0 };
    while (span_cut(&rest, '&', &piece)) {
        if (piece.len == 0) /* `a&&b` has two pairs to everybody */
            continue;
        struct param raw = split(piece);
        struct param param = { uri_decode(raw.name, true, arena),
                               uri_decode(raw.value, true, arena) };
        if (param.name.p == NULL || param.value.p == NULL)
            return ERR_MEMORY;
        TRY(params_push(params, param, limit, arena));
    }
    return OK;
}

enum err cookies_parse(struct params *params, struct span text, unsigned limit,
                       struct arena *arena)
{
    struct span rest = text, piece;

    while (span_cut(&rest, ';', &piece)) {
        piece = span_trim(piece);
        if (piece.len == 0)
            continue;
        struct param param = split(piece);
        param.name = span_trim(param.name);
        param.value = span_trim(param.value);
        TRY(params_push(params, param, limit, arena));
    }
    return OK;
}

const struct param *params_find(const struct params *params, struct span name)
{
    for (unsigned i = 0; i < params->count; i++)
        if (span_equal(params->items[i].name, name))
            return &params->items[i];
    return NULL;
}
