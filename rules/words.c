/*
 * The words stand in buckets by their last two bytes, so that at each byte of a value one bit
 * says whether a word may end there.
 */
#include "rules/words.h"

#include <stdlib.h>

enum { BUCKETS = 4096, BYTE_PAIRS = 256 * 256 };

struct entry {
    struct span lower;
    uint32_t origin, bucket;
};

static unsigned pair_of(char before, char last)
{
    return (unsigned)(uint8_t)before << 8 | (uint8_t)last;
}

static unsigned bucket_of(unsigned pair)
{
    return (pair ^ pair >> 3) % BUCKETS;
}

static int by_bucket(const void *a, const void *b)
{
    const struct entry *left = a, *right = b;
    if (left->bucket != right->bucket)
        return left->bucket < right->bucket ? -1 : 1;
    if (left->lower.len != right->lower.len)
        return left->lower.len > right->lower.len ? -1 : 1;
    return left->origin < right->origin ? -1 : left->origin > right->origin;
}

static bool lower_copy(struct arena *arena, struct span word, struct span *lower)
{
    char *copy = arena_alloc(arena, word.len);
    if (copy == NULL)
        return false;
    for (size_t i = 0; i < word.len; i++)
        copy[i] = ascii_lower(word.p[i]);
    *lower = span_of(copy, word.len);
    return true;
}

/* Fills the tables from entries in their order. */
static void index_entries(struct words *words, const struct entry *entries, size_t count)
{
    struct span *lower = (struct span *)words->lower;
    uint32_t *origin = (uint32_t *)words->origin, *buckets = (uint32_t *)words->buckets;
    size_t bucket = 0;
    for (size_t i = 0; i < count; i++) {
        lower[i] = entries[i].lower;
        origin[i] = entries[i].origin;
        while (bucket < entries[i].bucket)
            buckets[++bucket] = (uint32_t)i;
    }
    while (bucket < BUCKETS)
        buckets[++bucket] = (uint32_t)count;
}

enum err words_build(struct words *words, const struct span *items, size_t count,
                     struct arena *arena)
{
    if (count > WORDS_MAX)
        return ERR_LIMIT;
    uint64_t *endings = arena_array(arena, uint64_t, BYTE_PAIRS / 64);
    uint32_t *singles = arena_array(arena, uint32_t, 256);
    *words = (struct words){ .items = items,
                             .lower = arena_array(arena, struct span, count),
                             .origin = arena_array(arena, uint32_t, count),
                             .buckets = arena_array(arena, uint32_t, BUCKETS + 1),
                             .endings = endings,
                             .singles = singles,
                             .count = count };
    struct entry *entries = arena_array(arena, struct entry, count);
    if (words->lower == NULL || words->origin == NULL || words->buckets == NULL ||
        endings == NULL || singles == NULL || entries == NULL)
        return ERR_MEMORY;

    size_t made = 0;
    for (size_t i = 0; i < count; i++) {
        struct span lower;
        if (items[i].len == 0 || items[i].len > WORD_BYTES_MAX)
            return ERR_RANGE;
        if (!lower_copy(arena, items[i], &lower))
            return ERR_MEMORY;
        if (lower.len == 1) {
            uint32_t *single = &singles[(uint8_t)lower.p[0]];
            *single = *single != 0 ? *single : (uint32_t)i + 1;
            continue;
        }
        unsigned pair = pair_of(lower.p[lower.len - 2], lower.p[lower.len - 1]);
        endings[pair / 64] |= UINT64_C(1) << pair % 64;
        entries[made++] =
            (struct entry){ .lower = lower, .origin = (uint32_t)i, .bucket = bucket_of(pair) };
    }
    qsort(entries, made, sizeof(*entries), by_bucket);
    index_entries(words, entries, made);
    return OK;
}

/* Whether `word`, in lower case, ends right before `end`. */
static bool ends_with_word(struct span value, size_t end, struct span word)
{
    if (word.len > end)
        return false;
    const char *p = value.p + end - word.len;
    for (size_t i = word.len; i-- > 0;) {
        if (ascii_lower(p[i]) != word.p[i])
            return false;
    }
    return true;
}

const struct span *words_find(const struct words *words, struct span value, size_t *offset)
{
    char before = 0;
    for (size_t end = 1; end <= value.len; end++) {
        char last = ascii_lower(value.p[end - 1]);
        unsigned pair = pair_of(before, last);
        before = last;
        if (end > 1 && (words->endings[pair / 64] >> pair % 64 & 1) != 0) {
            unsigned bucket = bucket_of(pair);
            for (size_t i = words->buckets[bucket]; i < words->buckets[bucket + 1]; i++) {
                if (!ends_with_word(value, end, words->lower[i]))
                    continue;
                *offset = end - words->lower[i].len;
                return &words->items[words->origin[i]];
            }
        }
        uint32_t single = words->singles[(uint8_t)last];
        if (single != 0) {
            *offset = end - 1;
            return &words->items[single - 1];
        }
    }
    return NULL;
}
