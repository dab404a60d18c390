/* Words that plain text has, too. */
#include "rules/engine/usual.h"

#include "rules/transform/blocks32.h"

enum {
    TOLD = 3,         /* bytes by which places are told */
    WIDE = 2 * BLOCK, /* places at once with AVX2 */
    WIDE_READ = WIDE + TOLD - 1,
};

struct search {
    const struct usual *usual;
    uint32_t found;
    uint8_t groups; /* that have a word which is not found yet */
};

/* ---- tables ---------------------------------------------------------------------------------
 */

/* What stands `at` bytes behind its first one; behind its end, any byte. */
static void add_byte(struct edge_bytes *bytes, const struct few_text *word, unsigned at,
                     uint8_t bit)
{
    if (at < word->len) {
        edge_bytes_add(bytes, word->bytes[at], bit);
        edge_bytes_add(bytes, word->bytes[at] & (uint8_t)~word->folds[at], bit);
        return;
    }
    for (unsigned c = 0; c <= UINT8_MAX; c++)
        edge_bytes_add(bytes, (uint8_t)c, bit);
}

static void add_word(struct usual *usual, unsigned number, unsigned group)
{
    usual->words_of[group] |= UINT32_C(1) << number;
    for (unsigned at = 0; at < TOLD; at++)
        add_byte(&usual->bytes[at], &usual->words[number], at, (uint8_t)(1U << group));
}

/* The shortest of those that have none of these bits. */
static unsigned shortest_word(const struct usual *usual, uint32_t without)
{
    unsigned shortest = USUAL_MAX;
    for (unsigned i = 0; i < usual->count; i++) {
        if ((without >> i & 1) == 0 &&
            (shortest == USUAL_MAX || usual->words[i].len < usual->words[shortest].len))
            shortest = i;
    }
    return shortest;
}

/* The shortest words, which are told worst, are in a group of their own as long as there is
 * one for them. */
void usual_make(struct usual *usual, const struct few_text *words, unsigned count)
{
    uint32_t placed = 0;
    *usual = (struct usual){ .words = words, .count = count };
    for (unsigned i = 0; i < count; i++) {
        const unsigned word = shortest_word(usual, placed);
        add_word(usual, word, i < USUAL_GROUPS ? i : 2 * USUAL_GROUPS - 1 - i);
        placed |= UINT32_C(1) << word;
    }
}

/* ---- search ---------------------------------------------------------------------------------
 */

/* At a place where words of some groups may begin; `len` bytes are left there. */
static void look_at(struct search *s, const char *at, size_t len, unsigned groups)
{
    for (groups &= s->groups; groups != 0; groups &= groups - 1) {
        const unsigned group = (unsigned)__builtin_ctz(groups);
        const uint32_t words = s->usual->words_of[group];
        for (uint32_t left = words & ~s->found; left != 0; left &= left - 1) {
            const struct few_text *word = &s->usual->words[__builtin_ctz(left)];
            if (word->len <= len && few_text_at(word, at))
                s->found |= left & -left;
        }
        if ((words & ~s->found) == 0)
            s->groups &= (uint8_t) ~(1U << group);
    }
}

/* At each of these places, of which `groups` tells what may begin there. */
static void look_at_places(struct search *s, const char *at, const char *end, uint32_t places,
                           const uint8_t *groups)
{
    for (; places != 0; places &= places - 1) {
        const unsigned place = (unsigned)__builtin_ctz(places);
        look_at(s, at + place, (size_t)(end - at) - place, groups[place]);
    }
}

/* ---- places ---------------------------------------------------------------------------------
 */

/* At which of 16 places words of some groups may begin, by the bytes there and behind them. */
static unsigned places16(const struct usual *usual, uint8_t among, const __m128i told[TOLD],
                         uint8_t groups[BLOCK])
{
    __m128i may = _mm_set1_epi8((char)among);
    for (unsigned i = 0; i < TOLD; i++)
        may = _mm_and_si128(may, classes16(told[i], usual->bytes[i].low, usual->bytes[i].high));
    store16((char *)groups, may);
    return ~mask16(_mm_cmpeq_epi8(may, _mm_setzero_si128())) & 0xffff;
}

/* Those of the last 16 bytes that stand at `p` or behind it; nothing is read behind them. */
static void look_at_last(struct search *s, struct span text, const char *p)
{
    uint8_t groups[BLOCK];
    const bool whole = text.len < BLOCK;
    const char *end = span_end(text), *from = whole ? text.p : end - BLOCK;
    const __m128i bytes = whole ? load_part(text.p, text.len) : load16(from);
    const __m128i told[TOLD] = { bytes, _mm_srli_si128(bytes, 1), _mm_srli_si128(bytes, 2) };
    unsigned places = places16(s->usual, s->groups, told, groups);
    if (whole)
        places &= (1U << text.len) - 1;
    look_at_places(s, from, end, places & (~0U << (p - from)), groups);
}

/* As long as there are more than 16 bytes. */
static const char *look_at_blocks(struct search *s, const char *p, const char *end)
{
    uint8_t groups[BLOCK];
    for (; end - p > BLOCK && s->groups != 0; p += BLOCK) {
        const __m128i second = load16(p + 1);
        const bool more = end - p >= BLOCK + 2;
        const __m128i told[TOLD] = { load16(p), second,
                                     more ? load16(p + 2) : _mm_srli_si128(second, 1) };
        look_at_places(s, p, end, places16(s->usual, s->groups, told, groups), groups);
    }
    return p;
}

/* The first of the next blocks that has places; they are 0 if there is none. */
WITH_AVX2 static uint32_t next_wide(const struct usual *usual, uint8_t among, const char **p,
                                    const char *end, uint8_t groups[WIDE])
{
    const struct edge_bytes *bytes = usual->bytes;
    const __m256i all = _mm256_set1_epi8((char)among);
    for (; end - *p >= WIDE_READ; *p += WIDE) {
        __m256i may = _mm256_and_si256(
            _mm256_and_si256(all, classes32(load32(*p), bytes[0].low, bytes[0].high)),
            _mm256_and_si256(classes32(load32(*p + 1), bytes[1].low, bytes[1].high),
                             classes32(load32(*p + 2), bytes[2].low, bytes[2].high)));
        _mm256_storeu_si256((__m256i *)(void *)groups, may);
        const uint32_t places = not_zero32(may);
        if (places != 0)
            return places;
    }
    return 0;
}

static const char *look_at_wide_blocks(struct search *s, const char *p, const char *end)
{
    uint8_t groups[WIDE];
    uint32_t places;
    while (s->groups != 0 && (places = next_wide(s->usual, s->groups, &p, end, groups)) != 0) {
        look_at_places(s, p, end, places, groups);
        p += WIDE;
    }
    return p;
}

static uint32_t search(const struct usual *usual, struct span text, bool wide)
{
    struct search s = { .usual = usual };
    const char *p = text.p, *end = span_end(text);
    for (unsigned i = 0; i < USUAL_GROUPS; i++)
        s.groups |= (uint8_t)((usual->words_of[i] != 0) << i);
    if (wide)
        p = look_at_wide_blocks(&s, p, end);
    p = look_at_blocks(&s, p, end);
    if (s.groups != 0 && end - p > 1)
        look_at_last(&s, text, p);
    return s.found;
}

uint32_t usual_in(const struct usual *usual, struct span text)
{
    return search(usual, text, has_avx2());
}

uint32_t usual_in_narrow(const struct usual *usual, struct span text)
{
    return search(usual, text, false);
}
