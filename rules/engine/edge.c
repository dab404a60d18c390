/* Rare bytes of a text, and what stands around them. */
#include "rules/engine/edge.h"

#include <smmintrin.h>

enum {
    BLOCK = 16,
    /* Steps for each byte of the text, and besides; who needs more is let pass: repeated bytes
     * could make every place a long way. */
    STEPS_EACH = 2,
    STEPS_LEAST = 64,
};

struct walk {
    const struct edges *edges;
    struct span text;
    size_t steps; /* that are left */
};

static unsigned after(const struct edges *e, unsigned state, char byte)
{
    return e->next[state + e->class_of[(uint8_t)byte]];
}

/* Through `count` bytes behind `at`, or before it. */
static bool finds(struct walk *walk, unsigned state, const char *at, size_t count, bool back)
{
    const struct edges *e = walk->edges;
    size_t i = 0;
    for (; i < count && state > e->found; i++)
        state = after(e, state, back ? at[-1 - (ssize_t)i] : at[i]);
    walk->steps -= i < walk->steps ? i : walk->steps;
    return state == e->found || walk->steps == 0;
}

static bool finds_around(struct walk *walk, size_t place)
{
    const struct edges *e = walk->edges;
    const char *at = walk->text.p + place;
    unsigned on = after(e, e->forward, *at), back = after(e, e->backward, *at);
    return (on != 0 && finds(walk, on, at + 1, walk->text.len - place - 1, false)) ||
           (back != 0 && finds(walk, back, at, place, true));
}

/* Which of 16 bytes are some to begin at. */
static unsigned begins(const struct edges *e, __m128i bytes)
{
    const __m128i bits = _mm_set1_epi64x((long long)0x8040201008040201);
    const __m128i half = _mm_set1_epi8((char)0x8f), top = _mm_set1_epi8((char)0x80);
    __m128i low = _mm_loadu_si128((const __m128i *)e->low);
    __m128i high = _mm_loadu_si128((const __m128i *)e->high);
    __m128i upper = _mm_and_si128(_mm_srli_epi16(bytes, 4), _mm_set1_epi8(7));
    __m128i bit = _mm_shuffle_epi8(bits, upper);
    /* An index with its topmost bit set answers 0. */
    __m128i row =
        _mm_or_si128(_mm_shuffle_epi8(low, _mm_and_si128(bytes, half)),
                     _mm_shuffle_epi8(high, _mm_and_si128(_mm_xor_si128(bytes, top), half)));
    return (unsigned)_mm_movemask_epi8(_mm_cmpeq_epi8(_mm_and_si128(row, bit), bit));
}

static __m128i block_at(const char *at)
{
    return _mm_loadu_si128((const __m128i *)at);
}

/* Around each of the places behind `from` that have a bit. */
static bool any_finds(struct walk *walk, size_t from, unsigned places)
{
    bool found = false;
    for (; places != 0 && !found; places &= places - 1)
        found = finds_around(walk, from + (unsigned)__builtin_ctz(places));
    return found;
}

/* Of a text that is shorter than a block. */
static bool passes_short(struct walk *walk)
{
    char bytes[BLOCK] = { 0 };
    memcpy(bytes, walk->text.p, walk->text.len);
    unsigned places = begins(walk->edges, block_at(bytes)) & ((1U << walk->text.len) - 1);
    return any_finds(walk, 0, places);
}

bool edges_pass(const struct edges *edges, struct span text)
{
    struct walk walk = { edges, text, STEPS_EACH * text.len + STEPS_LEAST };
    size_t from = 0;
    if (finds(&walk, edges->begin, text.p, text.len, false))
        return true;
    if (text.len < BLOCK)
        return passes_short(&walk);
    for (; text.len - from >= BLOCK; from += BLOCK) {
        unsigned places = begins(edges, block_at(text.p + from));
        if (places != 0 && any_finds(&walk, from, places))
            return true;
    }
    /* The last block has some bytes a second time: these places are left out. */
    const size_t last = text.len - BLOCK;
    unsigned places = begins(edges, block_at(text.p + last)) & (~0U << (from - last));
    return any_finds(&walk, last, places);
}
