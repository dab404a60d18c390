/*
 * The table is a local symbol in libinjection's object, which the Makefile makes a global one.
 */
#include "rules/sql_words.h"

#include <nmmintrin.h>

enum {
    LOOKUP_WORD = 1,
    ENTRIES_MIN = 1000,
    SLOTS = 1 << 15, /* of fingerprints, which are most of the table */
    ENTRIES_MAX = SLOTS / 2,
    WORD_SLOTS = 1 << 12,
    WORDS_MAX = WORD_SLOTS / 2,
    FILTER_BITS = 1 << 15,
    OPENING_BITS = 1 << 12,
};

extern const struct sql_entry sql_keywords[] __attribute__((weak));
char libinjection_sqli_lookup_word(void *state, int kind, const char *word, size_t len);

bool sql_words_ready;

/* Open addressing. */
struct slot {
    uint16_t index; /* into the table, and one more; 0: empty */
    uint16_t tag;   /* the hash's other half: other words are hardly ever looked at */
};

static struct slot fingerprints[SLOTS], words[WORD_SLOTS];
static size_t entry_count, word_count;

/* Hashes of words and of what phrases begin with: a word without its bit is neither. */
static uint64_t filter[FILTER_BITS / 64];
static uint64_t openings[OPENING_BITS / 64];

const struct sql_entry *sql_words_all(size_t *count)
{
    *count = entry_count;
    return sql_keywords;
}

/* ---- searching ------------------------------------------------------------------------------
 */

static inline uint64_t load8(const char *p)
{
    uint64_t bytes;
    memcpy(&bytes, p, sizeof(bytes));
    return bytes;
}

static inline uint64_t load4(const char *p)
{
    uint32_t bytes;
    memcpy(&bytes, p, sizeof(bytes));
    return bytes;
}

/* Of all bytes, some of them twice; of no more than SQL_WORD_BYTES. */
static inline uint32_t hash_of(struct span word)
{
    const uint64_t folded = 0xdfdfdfdfdfdfdfdf; /* more than case goes */
    const char *p = word.p, *end = p + word.len;
    uint64_t first = 0, last = 0, hash = word.len;
    if (word.len >= 8) {
        first = load8(p);
        last = load8(end - 8);
    } else if (word.len >= 4) {
        first = load4(p);
        last = load4(end - 4);
    } else if (word.len > 0) {
        first = (uint8_t)p[0] | (uint64_t)(uint8_t)p[word.len / 2] << 8;
        last = (uint8_t)end[-1];
    }
    hash = _mm_crc32_u64(hash, first & folded);
    hash = _mm_crc32_u64(hash, last & folded);
    if (word.len > 16) {
        hash = _mm_crc32_u64(hash, load8(p + 8) & folded);
        hash = _mm_crc32_u64(hash, load8(end - 16) & folded);
    }
    return (uint32_t)hash;
}

static inline bool has_bit(const uint64_t *bits, uint32_t bit)
{
    return (bits[bit / 64] >> bit % 64 & 1) != 0;
}

static inline void set_bit(uint64_t *bits, uint32_t bit)
{
    bits[bit / 64] |= UINT64_C(1) << bit % 64;
}

static inline uint32_t filter_bit(uint32_t hash)
{
    return hash % FILTER_BITS;
}

static inline uint32_t opening_bit(uint32_t hash)
{
    return hash >> 20;
}

/* Case is of ASCII letters, and those of the table are in upper case. */
static inline char upper(char c)
{
    return (char)(c >= 'a' && c <= 'z' ? c - 0x20 : c);
}

static bool is_entry(const char *entry, struct span word)
{
    for (size_t i = 0; i < word.len; i++) {
        if (entry[i] == '\0' || entry[i] != upper(word.p[i]))
            return false;
    }
    return entry[word.len] == '\0';
}

static char search(const struct slot *slots, uint32_t size, struct span word, uint32_t hash)
{
    for (uint32_t at = hash % size; slots[at].index != 0; at = (at + 1) % size) {
        const struct sql_entry *entry = &sql_keywords[slots[at].index - 1];
        if (slots[at].tag == (uint16_t)(hash >> 16) && is_entry(entry->word, word))
            return entry->type;
    }
    return '\0';
}

struct sql_meaning sql_word_find(struct span word)
{
    if (word.len > SQL_WORD_BYTES)
        return (struct sql_meaning){ 0 };
    uint32_t hash = hash_of(word);
    if (!has_bit(filter, filter_bit(hash)))
        return (struct sql_meaning){ 0 };
    return (struct sql_meaning){
        .type = search(words, WORD_SLOTS, word, hash),
        .opens = has_bit(openings, opening_bit(hash)),
    };
}

char sql_word_type(struct span word)
{
    if (word.len == 0 || word.p[0] != '0')
        return sql_word_find(word).type;
    if (word.len > SQL_WORD_BYTES)
        return '\0';
    return search(fingerprints, SLOTS, word, hash_of(word));
}

/* ---- making ---------------------------------------------------------------------------------
 */

static size_t table_size(void)
{
    if (sql_keywords == NULL || char_parse_map == NULL ||
        (uintptr_t)char_parse_map <= (uintptr_t)sql_keywords)
        return 0;
    uintptr_t bytes = (uintptr_t)char_parse_map - (uintptr_t)sql_keywords;
    size_t count = bytes / sizeof(struct sql_entry);
    bool whole = bytes % sizeof(struct sql_entry) == 0;
    return whole && count >= ENTRIES_MIN && count <= ENTRIES_MAX ? count : 0;
}

static void add(struct slot *slots, uint32_t size, uint32_t hash, size_t index)
{
    uint32_t at = hash % size;
    while (slots[at].index != 0)
        at = (at + 1) % size;
    slots[at] = (struct slot){ (uint16_t)(index + 1), (uint16_t)(hash >> 16) };
}

/* What a phrase is put together from, a word at a time. False: it does not begin as words do.
 */
static bool add_openings(struct span phrase)
{
    for (size_t i = 0; i < phrase.len; i++) {
        if (phrase.p[i] != ' ')
            continue;
        if (phrase.p[0] < 'A' || phrase.p[0] > 'Z')
            return false;
        uint32_t hash = hash_of(span_sub(phrase, 0, i));
        set_bit(filter, filter_bit(hash));
        set_bit(openings, opening_bit(hash));
    }
    return true;
}

/* False: the table is not what this file takes it for. */
static bool take(size_t index)
{
    const struct sql_entry *entry = &sql_keywords[index];
    struct span word = span_text(entry->word);
    if (word.len == 0 || word.len > SQL_WORD_BYTES || word_count == WORDS_MAX ||
        libinjection_sqli_lookup_word(NULL, LOOKUP_WORD, word.p, word.len) != entry->type)
        return false;
    if ((entry->type == 'F') != (word.p[0] == '0'))
        return false;
    uint32_t hash = hash_of(word);
    if (entry->type == 'F') {
        add(fingerprints, SLOTS, hash, index);
        return true;
    }
    add(words, WORD_SLOTS, hash, index);
    word_count++;
    set_bit(filter, filter_bit(hash));
    return add_openings(word);
}

void sql_words_prepare(void)
{
    size_t count = table_size();
    if (sql_words_ready || entry_count > 0)
        return;
    entry_count = count;
    for (size_t i = 0; i < count; i++) {
        if (!take(i))
            return;
    }
    sql_words_ready = count > 0;
}
