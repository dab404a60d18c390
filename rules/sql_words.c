/*
 * The table is a local symbol in libinjection's object, which the Makefile makes a global one.
 * It holds words, phrases (words with a space or a dot between), operators, and the
 * fingerprints that libinjection fires on: "0" and types in upper case, themselves of type F.
 */
#include "rules/sql_words.h"

#include <nmmintrin.h>

enum {
    LOOKUP_WORD = 1,
    KEYWORDS_MIN = 1000,
    SLOTS = 1 << 15,
    KEYWORDS_MAX = SLOTS / 2,
    WORD_BYTES = 32, /* of the longest, at most */
};

struct keyword {
    const char *word;
    char type;
};

/* Weak: absent where the object was built in another way. What is behind the table bounds it.
 */
extern const struct keyword sql_keywords[] __attribute__((weak));
extern const struct keyword char_parse_map[] __attribute__((weak));
char libinjection_sqli_lookup_word(void *state, int kind, const char *word, size_t len);

struct sql_words sql_words;

/* Open addressing. */
static struct slot {
    uint16_t index; /* into the table, and one more; 0: empty */
    uint16_t tag;   /* the hash's other half: other words are hardly ever looked at */
} slots[SLOTS];
static size_t longest;

/* What words begin with, and how long they are: most of what is asked for is told by it. */
enum { SHAPES = 1 << 16 };
static uint64_t shapes[SHAPES / 64];

static size_t table_size(void)
{
    if (sql_keywords == NULL || char_parse_map == NULL ||
        (uintptr_t)char_parse_map <= (uintptr_t)sql_keywords)
        return 0;
    uintptr_t bytes = (uintptr_t)char_parse_map - (uintptr_t)sql_keywords;
    size_t count = bytes / sizeof(struct keyword);
    bool whole = bytes % sizeof(struct keyword) == 0;
    return whole && count >= KEYWORDS_MIN && count <= KEYWORDS_MAX ? count : 0;
}

static bool is_name_byte(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
           c == '_';
}

/* Names and operators, and what stands for itself: none of them makes a statement alone. */
static bool is_harmless(char type)
{
    return type == 'n' || type == 'o';
}

/* A fingerprint has something that only a word of the table, a quote, a parenthesis, a comment
 * or a variable can have become. */
static bool is_telling(const char *fingerprint)
{
    return fingerprint[strspn(fingerprint, "0N1O.,:;?[]")] != '\0';
}

static void add(const char *word, size_t len)
{
    uint32_t hash = 0;
    for (size_t i = len; i-- > 0;)
        hash = sql_word_hash(hash, word[i]);
    sql_words.bits[(hash >> 16) / 64] |= UINT64_C(1) << (hash >> 16) % 64;
}

/* False: the filter's reasoning does not hold for this entry. */
static bool take(const struct keyword *keyword)
{
    const char *word = keyword->word;
    size_t len = strlen(word), name = 0;
    if (libinjection_sqli_lookup_word(NULL, LOOKUP_WORD, word, len) != keyword->type)
        return false;
    if (keyword->type == 'F')
        return is_telling(word);
    while (name < len && is_name_byte(word[name]))
        name++;
    if (name == 0) /* an operator; the two that join statements are looked for by themselves */
        return is_harmless(keyword->type) || strcmp(word, "&&") == 0 || strcmp(word, "||") == 0;
    if (word[0] >= '0' && word[0] <= '9')
        return false; /* numbers are not looked up */
    if (name < len || !is_harmless(keyword->type))
        add(word, name);
    return true;
}

/* ---- the table as a hash table --------------------------------------------------------------
 */

/* Case is of ASCII letters, and those of the table are in upper case. */
static inline char upper(char c)
{
    return (char)(c >= 'a' && c <= 'z' ? c - 0x20 : c);
}

static inline __m128i upper_all(const char *p)
{
    __m128i bytes = _mm_loadu_si128((const __m128i *)(const void *)p);
    __m128i from_a = _mm_add_epi8(bytes, _mm_set1_epi8((char)(0x80 - 'a')));
    __m128i lower = _mm_cmplt_epi8(from_a, _mm_set1_epi8((char)(0x80 + 26)));
    return _mm_sub_epi8(bytes, _mm_and_si128(lower, _mm_set1_epi8(0x20)));
}

/* No more than WORD_BYTES. */
static uint32_t hash_of(struct span word)
{
    char text[WORD_BYTES] = { 0 };
    memcpy(text, word.p, word.len);
    __m128i low = upper_all(text), high = upper_all(text + sizeof(low));
    uint64_t hash = _mm_crc32_u64(word.len, (uint64_t)_mm_cvtsi128_si64(low));
    hash = _mm_crc32_u64(hash, (uint64_t)_mm_extract_epi64(low, 1));
    hash = _mm_crc32_u64(hash, (uint64_t)_mm_cvtsi128_si64(high));
    return (uint32_t)_mm_crc32_u64(hash, (uint64_t)_mm_extract_epi64(high, 1));
}

static uint32_t shape_of(struct span word)
{
    char begin[4] = { 0 };
    uint32_t four;
    if (word.len >= sizeof(begin))
        memcpy(begin, word.p, sizeof(begin));
    else
        for (size_t i = 0; i < word.len; i++)
            begin[i] = word.p[i];
    memcpy(&four, begin, sizeof(four));
    four &= 0xdfdfdfdf; /* more than case goes, of words and of what is asked for */
    return (four * 0x9e3779b1u >> 16) ^ (uint32_t)word.len * 0x9e5;
}

static bool is_entry(const char *entry, struct span word)
{
    for (size_t i = 0; i < word.len; i++) {
        if (entry[i] == '\0' || entry[i] != upper(word.p[i]))
            return false;
    }
    return entry[word.len] == '\0';
}

/* False: a word is too long. */
static bool index_table(size_t count)
{
    for (size_t i = 0; i < count; i++) {
        struct span word = span_text(sql_keywords[i].word);
        if (word.len > WORD_BYTES)
            return false;
        uint32_t hash = hash_of(word), at = hash % SLOTS;
        while (slots[at].index != 0)
            at = (at + 1) % SLOTS;
        slots[at] = (struct slot){ (uint16_t)(i + 1), (uint16_t)(hash >> 16) };
        longest = word.len > longest ? word.len : longest;
        uint32_t shape = shape_of(word) % SHAPES;
        shapes[shape / 64] |= UINT64_C(1) << shape % 64;
    }
    return true;
}

char sql_word_type(struct span word)
{
    if (word.len > longest)
        return '\0';
    uint32_t shape = shape_of(word) % SHAPES;
    if ((shapes[shape / 64] >> shape % 64 & 1) == 0)
        return '\0';
    uint32_t hash = hash_of(word);
    for (uint32_t at = hash % SLOTS; slots[at].index != 0; at = (at + 1) % SLOTS) {
        const struct keyword *keyword = &sql_keywords[slots[at].index - 1];
        if (slots[at].tag == (uint16_t)(hash >> 16) && is_entry(keyword->word, word))
            return keyword->type;
    }
    return '\0';
}

void sql_words_prepare(void)
{
    size_t count = table_size();
    if (sql_words.ready || count == 0)
        return;
    for (size_t i = 0; i < count; i++) {
        if (!take(&sql_keywords[i]))
            return;
    }
    sql_words.ready = index_table(count);
}
