/* Bytes that wait: see pile.h. */
#include "gateway/http2/pile.h"

struct pile_slab {
    struct pile_slab *next;
    uint32_t from, to;
    char bytes[SLAB_BYTES - 16];
};

static struct pile_slab *slab_with_room(struct pile *pile, struct slab_pool *pool)
{
    struct pile_slab *last = pile->last;

    if (last != NULL && last->to < sizeof last->bytes)
        return last;
    struct pile_slab *slab = slab_get(pool);
    if (slab == NULL)
        return NULL;
    slab->next = NULL;
    slab->from = slab->to = 0;
    if (last != NULL)
        last->next = slab;
    else
        pile->first = slab;
    pile->last = slab;
    return slab;
}

bool pile_add(struct pile *pile, struct slab_pool *pool, struct span bytes)
{
    while (bytes.len > 0) {
        struct pile_slab *slab = slab_with_room(pile, pool);
        if (slab == NULL)
            return false;
        size_t room = sizeof slab->bytes - slab->to;
        size_t n = bytes.len < room ? bytes.len : room;
        memcpy(slab->bytes + slab->to, bytes.p, n);
        slab->to += (uint32_t)n;
        pile->len += n;
        bytes = span_of(bytes.p + n, bytes.len - n);
    }
    return true;
}

struct span pile_front(const struct pile *pile)
{
    const struct pile_slab *first = pile->first;

    return first == NULL ? span_of(NULL, 0)
                         : span_of(first->bytes + first->from, first->to - first->from);
}

void pile_take(struct pile *pile, struct slab_pool *pool, size_t len)
{
    struct pile_slab *first = pile->first;

    if (len == 0)
        return;
    INVARIANT(first != NULL && len <= first->to - first->from);
    first->from += (uint32_t)len;
    pile->len -= len;
    if (first->from < first->to)
        return;
    pile->first = first->next;
    if (pile->first == NULL)
        pile->last = NULL;
    slab_put(pool, first);
}

void pile_free(struct pile *pile, struct slab_pool *pool)
{
    while (pile->first != NULL) {
        struct pile_slab *next = pile->first->next;
        slab_put(pool, pile->first);
        pile->first = next;
    }
    *pile = (struct pile){ 0 };
}
