/* A few plain texts, looked for by hand. */
#include "rules/engine/few.h"

#include <emmintrin.h>

enum {
    BLOCK = 16,
    ENDS_MAX = 8, /* of several texts, that are looked at */
};

/* Its first and its last byte, which rule out most places. */
struct ends {
    __m128i first, last, first_fold, last_fold;
    size_t between;
};

static inline struct ends ends_of(const struct few_text *few)
{
    const size_t last = few->len - 1;
    return (struct ends){
        .first = _mm_set1_epi8((char)few->bytes[0]),
        .last = _mm_set1_epi8((char)few->bytes[last]),
        .first_fold = _mm_set1_epi8((char)few->folds[0]),
        .last_fold = _mm_set1_epi8((char)few->folds[last]),
        .between = last,
    };
}

static inline __m128i load(const char *at)
{
    return _mm_loadu_si128((const __m128i *)at);
}

/* At which of 16 places it may begin. */
static inline __m128i places_at(const struct ends *ends, const char *at)
{
    __m128i first = _mm_or_si128(load(at), ends->first_fold);
    __m128i last = _mm_or_si128(load(at + ends->between), ends->last_fold);
    return _mm_and_si128(_mm_cmpeq_epi8(first, ends->first), _mm_cmpeq_epi8(last, ends->last));
}

static inline unsigned to_bits(__m128i places)
{
    return (unsigned)_mm_movemask_epi8(places);
}

/* NULL: it is at none of them. */
static const char *first_of(const struct few_text *few, const char *at, unsigned places)
{
    while (places != 0 && !few_text_at(few, at + __builtin_ctz(places)))
        places &= places - 1;
    return places != 0 ? at + __builtin_ctz(places) : NULL;
}

/* At one of less than 16 places. */
static const char *find_short(const struct few_text *few, const char *at, size_t places)
{
    for (size_t i = 0; i < places; i++) {
        if (few_text_at(few, at + i))
            return at + i;
    }
    return NULL;
}

/* Where it stands first; NULL: nowhere. */
static const char *find(const struct few_text *few, struct span text)
{
    if (text.len < few->len)
        return NULL;
    const size_t places = text.len - few->len + 1;
    if (places < BLOCK)
        return find_short(few, text.p, places);
    const struct ends ends = ends_of(few);
    const char *p = text.p, *last = p + places - BLOCK, *at = NULL;
    for (; p + BLOCK <= last && at == NULL; p += 2 * (ptrdiff_t)BLOCK) {
        __m128i one = places_at(&ends, p), two = places_at(&ends, p + BLOCK);
        if (to_bits(_mm_or_si128(one, two)) != 0)
            at = first_of(few, p, to_bits(one) | to_bits(two) << BLOCK);
    }
    if (p < last && at == NULL)
        at = first_of(few, p, to_bits(places_at(&ends, p)));
    /* Some of the last ones a second time. */
    return at != NULL ? at : first_of(few, last, to_bits(places_at(&ends, last)));
}

bool few_text_in(const struct few_text *few, struct span text)
{
    return find(few, text) != NULL;
}

/* Whether one of them ends where the text does. */
static bool is_at_end(const struct few_list *list, struct span text)
{
    bool found = false;
    for (unsigned i = 0; i < list->count && !found; i++) {
        const struct few_text *few = &list->texts[i];
        found = few->len <= text.len && few_text_at(few, span_end(text) - few->len);
    }
    return found;
}

static bool is_any_at_ends(const struct few_list *list, struct span text)
{
    const char *at = find(list->end, text);
    for (unsigned i = 0; i < ENDS_MAX && at != NULL; i++) {
        const char *behind = at + list->end->len;
        if (is_at_end(list, span_of(text.p, (size_t)(behind - text.p))))
            return true;
        at = find(list->end, span_of(at + 1, (size_t)(span_end(text) - at - 1)));
    }
    return at != NULL;
}

bool few_any_in(const struct few_list *list, struct span text)
{
    bool found = false;
    if (list->end != NULL)
        return is_any_at_ends(list, text);
    for (unsigned i = 0; i < list->count && !found; i++)
        found = few_text_in(&list->texts[i], text);
    return found;
}
