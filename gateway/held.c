/*
 * Held bodies: see held.h. A declared length is only a hint: memory grows with what has really
 * come.
 */
#include "gateway/held.h"

#include <stdlib.h>

enum { HELD_FIRST = 16 * 1024 };

void held_begin(struct held *held, const struct addr *client, uint64_t expected)
{
    held->share = client_share_of(held->worker, client);
    held->p = NULL;
    held->len = held->size = held->counted = 0;
    if (expected > 0 && expected <= HELD_IN_ARENA_MAX && expected <= held->limit) {
        held->p = arena_alloc(held->arena, (size_t)expected);
        held->size = held->p != NULL ? (size_t)expected : 0;
    }
}

size_t held_share_max(const struct held *held)
{
    size_t max = held->worker_max / HELD_SHARE;

    return max > held->limit ? max : held->limit;
}

static bool share_allows(const struct held *held, size_t more)
{
    size_t max = held_share_max(held);

    return held->share == NULL || (more <= max && held->share->held <= max - more);
}

static enum err grow(struct held *held, size_t need)
{
    size_t size = held->size < HELD_FIRST ? HELD_FIRST : held->size * 2;

    size = size < need ? need : size;
    size = size > held->limit ? held->limit : size;
    size_t more = size - held->counted;
    if (more > held->worker_max || held->worker->held_bytes > held->worker_max - more)
        return ERR_MEMORY;
    if (!share_allows(held, more))
        return ERR_BUSY;
    char *p = held->counted > 0 ? realloc(held->p, size) : malloc(size);
    if (p == NULL)
        return ERR_MEMORY;
    if (held->counted == 0 && held->len > 0)
        memcpy(p, held->p, held->len);
    held->worker->held_bytes += more;
    if (held->share != NULL)
        held->share->held += more;
    held->counted = held->size = size;
    held->p = p;
    return OK;
}

enum err held_add(struct held *held, struct span bytes)
{
    if (bytes.len > held->limit - held->len)
        return ERR_LIMIT;
    if (bytes.len > held->size - held->len)
        TRY(grow(held, held->len + bytes.len));
    memcpy(held->p + held->len, bytes.p, bytes.len);
    held->len += bytes.len;
    return OK;
}

void held_free(struct held *held)
{
    if (held->counted > 0) {
        held->worker->held_bytes -= held->counted;
        if (held->share != NULL)
            held->share->held -= held->counted;
        free(held->p);
    }
    *held = (struct held){ 0 };
}
