/*
 * Clusters are joined in pairs, the pair first for which that costs least: a call of Hyperscan
 * is saved for values that meet both, and values that meet only one are scanned for the other
 * in vain. Shares are in thousandths of plain values (need.h).
 */
#include "rules/engine/clusters.h"

#include "rules/engine/need.h"

enum {
    CALL = 2500, /* what a call costs, in the measure of weights: hundredths of a nanosecond */
    LARGER = 2, /* patterns cost that part more together: fewer become deterministic automata */
    EVERY_VALUE = 1000,
    TEXT_SHARE = 20,   /* of a word, in tenths of thousandths */
    TELLING_SHARE = 2, /* of a text with brackets, dots and the like in it */
};

/* How many there are of a kind at most. All plain texts stand together: a scan for them costs
 * by the bytes that it sees, and what it reads of its tables, hardly by their number. */
static const unsigned limits[CLUSTER_KINDS] = {
    [CLUSTER_LITERALS] = 1,   [CLUSTER_BYTES] = 1,   [CLUSTER_USUAL] = 1,
    [CLUSTER_LINE_ENDS] = 1,  [CLUSTER_UNTOLD] = 10, [CLUSTER_TOLD] = 12,
    [CLUSTER_PLAIN_TOLD] = 2, [CLUSTER_OWN] = 1,
};

static unsigned smaller(unsigned a, unsigned b)
{
    return a < b ? a : b;
}

/* How many values it is asked about. */
static unsigned share_of(const struct cluster *c, const struct cluster_texts *texts)
{
    unsigned gate = smaller(byte_set_share(&c->gate), EVERY_VALUE), sum = 0;
    if (c->texts == NULL)
        return gate;
    for (unsigned i = 0; i < texts->words; i++) {
        unsigned telling = (unsigned)__builtin_popcountll(c->texts[i] & texts->telling[i]);
        unsigned all = (unsigned)__builtin_popcountll(c->texts[i]);
        sum += telling * TELLING_SHARE + (all - telling) * TEXT_SHARE;
    }
    sum += 10 * smaller(c->others, EVERY_VALUE);
    return smaller(gate, sum / 10);
}

/* `texts` of the result: room for a set. */
static void unite(struct cluster *out, const struct cluster *a, const struct cluster *b,
                  const struct cluster_texts *texts, uint64_t *room)
{
    *out = *a;
    byte_set_unite(&out->gate, &b->gate);
    byte_set_unite(&out->unless, &b->unless);
    out->others += b->others;
    out->weight += b->weight;
    out->texts = a->texts != NULL ? room : NULL;
    for (unsigned i = 0; a->texts != NULL && i < texts->words; i++)
        room[i] = a->texts[i] | b->texts[i];
}

/* What joining them adds for a thousand values; below zero: it saves. */
static int64_t price(const struct cluster *a, const struct cluster *b,
                     const struct cluster_texts *texts, uint64_t *room)
{
    struct cluster both;
    unite(&both, a, b, texts, room);
    int64_t share_a = share_of(a, texts), share_b = share_of(b, texts);
    int64_t share = share_of(&both, texts);
    return (share - share_a) * a->weight + (share - share_b) * b->weight +
           share * both.weight / LARGER + CALL * (share - share_a - share_b);
}

struct choice {
    unsigned a, b;
    int64_t price;
};

static struct choice cheapest(const struct cluster *clusters, unsigned count,
                              const struct cluster_texts *texts, uint64_t *room)
{
    struct choice best = { .price = INT64_MAX };
    for (unsigned a = 0; a < count; a++) {
        for (unsigned b = a + 1; b < count; b++) {
            int64_t now = price(&clusters[a], &clusters[b], texts, room);
            if (now < best.price)
                best = (struct choice){ a, b, now };
        }
    }
    return best;
}

unsigned clusters_join(struct cluster *clusters, unsigned count,
                       const struct cluster_texts *texts, uint16_t *became)
{
    unsigned members = count;
    uint64_t room[CLUSTER_TEXT_WORDS_MAX];
    for (unsigned i = 0; i < count; i++)
        became[i] = (uint16_t)i;
    while (count > 1) {
        struct choice best = cheapest(clusters, count, texts, room);
        if (count <= limits[clusters[0].kind] && best.price > 0)
            break;
        struct cluster *a = &clusters[best.a], both;
        unite(&both, a, &clusters[best.b], texts, a->texts);
        *a = both;
        count--;
        memmove(&clusters[best.b], &clusters[best.b + 1], (count - best.b) * sizeof(*clusters));
        for (unsigned i = 0; i < members; i++) {
            if (became[i] == best.b)
                became[i] = (uint16_t)best.a;
            else if (became[i] > best.b)
                became[i]--;
        }
    }
    return count;
}
