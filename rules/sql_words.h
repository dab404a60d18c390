/*
 * Words with a meaning in SQL, as libinjection has them, in a table that is asked in a few
 * nanoseconds: libinjection itself takes about a hundred for each word.
 *
 * The table is libinjection's own, of the very object that is linked, so it is never out of
 * date. Where it cannot be found or does not look as expected, there is none, and all is
 * decided without.
 */
#ifndef SALLYPORT_RULES_SQL_WORDS_H
#define SALLYPORT_RULES_SQL_WORDS_H

#include <nmmintrin.h>

#include "gateway/base/span.h"

enum { SQL_WORD_BYTES = 32, SQL_FILTER_BITS = 1 << 15 }; /* no word is longer */

/* An entry: a word, a phrase (words with a space or a dot between), an operator; or a
 * fingerprint that libinjection fires on, "0" and types in upper case, itself of type F. */
struct sql_entry {
    const char *word;
    char type;
};

/* libinjection's functions by the byte that a token begins with; they stand behind the table.
 * Weak, as the table: absent where the object was built in another way. */
extern void (*const char_parse_map[256])(void) __attribute__((weak));

/* Set once, at load; asked by all processes that are forked later. */
extern bool sql_words_ready;
void sql_words_prepare(void);

/* Only when they are ready: this, too. */
const struct sql_entry *sql_words_all(size_t *count);

struct sql_meaning {
    char type;   /* '\0': no entry */
    bool opens;  /* a phrase may begin with it; without this, none does */
    bool closes; /* and end with it */
    bool calls;  /* a name or variable that is a function with a parenthesis behind it */
};

/* The last of it, of what is no entry as well. */
bool sql_word_calls(struct span word);

/* Of a word, phrase or operator; in either case of ASCII letters. */
struct sql_meaning sql_word_find(struct span word);

/* Hashes of words and of what phrases begin with: a word without its bit is neither. */
extern uint64_t sql_words_filter[SQL_FILTER_BITS / 64];
struct sql_meaning sql_word_search(__m128i upper, __m128i rest, size_t len, uint32_t hash);

/* In upper case; other bytes than ASCII letters stay. */
static inline __m128i sql_upper(__m128i bytes)
{
    __m128i from_a = _mm_add_epi8(bytes, _mm_set1_epi8((char)(0x80 - 'a')));
    __m128i lower = _mm_cmplt_epi8(from_a, _mm_set1_epi8((char)(0x80 + 26)));
    return _mm_sub_epi8(bytes, _mm_and_si128(lower, _mm_set1_epi8(0x20)));
}

static inline uint32_t sql_word_hash(uint64_t hash, __m128i upper)
{
    hash = _mm_crc32_u64(hash, (uint64_t)_mm_cvtsi128_si64(upper));
    return (uint32_t)_mm_crc32_u64(hash, (uint64_t)_mm_extract_epi64(upper, 1));
}

static inline bool sql_word_may_be(uint32_t hash)
{
    uint32_t bit = hash % SQL_FILTER_BITS;
    return (sql_words_filter[bit / 64] >> bit % 64 & 1) != 0;
}

/* The same of a word of 16 bytes at most, with zeros behind it. */
static inline struct sql_meaning sql_word_find_short(__m128i word, size_t len)
{
    __m128i upper = sql_upper(word);
    uint32_t hash = sql_word_hash(len, upper);
    if (!sql_word_may_be(hash))
        return (struct sql_meaning){ 0 };
    return sql_word_search(upper, _mm_setzero_si128(), len, hash);
}

/* And of a longer one, of SQL_WORD_BYTES at most. */
static inline struct sql_meaning sql_word_find_long(__m128i first, __m128i rest, size_t len)
{
    __m128i upper = sql_upper(first), upper_rest = sql_upper(rest);
    uint32_t hash = sql_word_hash(sql_word_hash(len, upper), upper_rest);
    if (!sql_word_may_be(hash))
        return (struct sql_meaning){ 0 };
    return sql_word_search(upper, upper_rest, len, hash);
}

/* The type of any entry, fingerprints among them, or '\0': what libinjection's own search
 * answers. */
char sql_word_type(struct span word);

#endif
