/*
 * The table is a local symbol in libinjection's object, which the Makefile makes a global one.
 */
#include "rules/sql_words.h"

enum {
    LOOKUP_WORD = 1,
    ENTRIES_MIN = 1000,
    SLOTS = 1 << 15, /* of fingerprints, which are most of the table */
    ENTRIES_MAX = SLOTS / 2,
    WORD_SLOTS = 1 << 12,
    WORDS_MAX = WORD_SLOTS / 2,
    PHRASE_BITS = 1 << 12,
};

extern const struct sql_entry sql_keywords[] __attribute__((weak));
char libinjection_sqli_lookup_word(void *state, int kind, const char *word, size_t len);

bool sql_words_ready;

/* Open addressing. */
struct slot {
    uint16_t index; /* of what the table is of, and one more; 0: empty */
    uint16_t tag;   /* the hash's other half: other words are hardly ever looked at */
};

static struct slot fingerprints[SLOTS], words[WORD_SLOTS];
static size_t entry_count;

/* Those that are no fingerprints, in upper case, with zeros behind them. */
static union text {
    char bytes[SQL_WORD_BYTES];
    __m128i parts[SQL_WORD_BYTES / 16];
} texts[WORDS_MAX];
static struct sql_meaning meanings[WORDS_MAX];
static size_t word_count;

uint64_t sql_words_filter[SQL_FILTER_BITS / 64];
static uint64_t openings[PHRASE_BITS / 64], endings[PHRASE_BITS / 64];

const struct sql_entry *sql_words_all(size_t *count)
{
    *count = entry_count;
    return sql_keywords;
}

/* ---- searching ------------------------------------------------------------------------------
 */

/* Of no more than SQL_WORD_BYTES. */
static union text upper_of(struct span word)
{
    union text text = { 0 };
    if (word.len > 0)
        memcpy(text.bytes, word.p, word.len);
    text.parts[0] = sql_upper(text.parts[0]);
    text.parts[1] = sql_upper(text.parts[1]);
    return text;
}

static uint32_t hash_of(const union text *upper, size_t len)
{
    uint32_t hash = sql_word_hash(len, upper->parts[0]);
    return len > sizeof(upper->parts[0]) ? sql_word_hash(hash, upper->parts[1]) : hash;
}

static inline bool has_bit(const uint64_t *bits, uint32_t bit)
{
    return (bits[bit / 64] >> bit % 64 & 1) != 0;
}

static inline void set_bit(uint64_t *bits, uint32_t bit)
{
    bits[bit / 64] |= UINT64_C(1) << bit % 64;
}

static inline uint32_t phrase_bit(uint32_t hash)
{
    return hash >> 20;
}

static inline bool is_same(__m128i a, __m128i b)
{
    return _mm_movemask_epi8(_mm_cmpeq_epi8(a, b)) == 0xffff;
}

static struct sql_meaning search(const union text *upper, uint32_t hash)
{
    for (uint32_t at = hash % WORD_SLOTS; words[at].index != 0; at = (at + 1) % WORD_SLOTS) {
        const union text *text = &texts[words[at].index - 1];
        if (words[at].tag == (uint16_t)(hash >> 16) &&
            is_same(text->parts[0], upper->parts[0]) &&
            is_same(text->parts[1], upper->parts[1]))
            return meanings[words[at].index - 1];
    }
    return (struct sql_meaning){ 0 };
}

static struct sql_meaning find(const union text *upper, size_t len, uint32_t hash)
{
    struct sql_meaning found = { 0 };
    /* None has a NUL, which would look as what is behind a shorter one. */
    if (len > 0 && upper->bytes[len - 1] != '\0')
        found = search(upper, hash);
    found.opens = has_bit(openings, phrase_bit(hash));
    found.closes = has_bit(endings, phrase_bit(hash));
    return found;
}

struct sql_meaning sql_word_search(__m128i upper, __m128i rest, size_t len, uint32_t hash)
{
    const union text text = { .parts = { upper, rest } };
    return find(&text, len, hash);
}

struct sql_meaning sql_word_find(struct span word)
{
    if (word.len > SQL_WORD_BYTES)
        return (struct sql_meaning){ 0 };
    union text upper = upper_of(word);
    uint32_t hash = hash_of(&upper, word.len);
    if (!sql_word_may_be(hash))
        return (struct sql_meaning){ 0 };
    return find(&upper, word.len, hash);
}

static char find_fingerprint(struct span word)
{
    if (word.len > SQL_WORD_BYTES)
        return '\0';
    union text upper = upper_of(word);
    uint32_t hash = hash_of(&upper, word.len);
    for (uint32_t at = hash % SLOTS; fingerprints[at].index != 0; at = (at + 1) % SLOTS) {
        const char *entry = sql_keywords[fingerprints[at].index - 1].word;
        if (fingerprints[at].tag == (uint16_t)(hash >> 16) && strlen(entry) == word.len &&
            memcmp(entry, upper.bytes, word.len) == 0)
            return 'F';
    }
    return '\0';
}

char sql_word_type(struct span word)
{
    bool listed = word.len > 0 && word.p[0] == '0';
    return listed ? find_fingerprint(word) : sql_word_find(word).type;
}

/* Functions of Transact-SQL and MySQL that are as well the names of columns, and words of MySQL
 * that are variables. */
bool sql_word_calls(struct span word)
{
    static const struct span names[] = {
        SPAN_INIT("USER"),         SPAN_INIT("USER_ID"),        SPAN_INIT("USER_NAME"),
        SPAN_INIT("DATABASE"),     SPAN_INIT("PASSWORD"),       SPAN_INIT("CURRENT_USER"),
        SPAN_INIT("CURRENT_DATE"), SPAN_INIT("CURRENT_TIME"),   SPAN_INIT("CURRENT_TIMESTAMP"),
        SPAN_INIT("LOCALTIME"),    SPAN_INIT("LOCALTIMESTAMP"),
    };
    for (size_t i = 0; i < ARRAY_LEN(names); i++) {
        if (span_equal_nocase(word, names[i]))
            return true;
    }
    return false;
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

static void add_part(uint64_t *bits, struct span part)
{
    union text upper = upper_of(part);
    uint32_t hash = hash_of(&upper, part.len);
    set_bit(sql_words_filter, hash % SQL_FILTER_BITS);
    set_bit(bits, phrase_bit(hash));
}

static bool is_capital(char c)
{
    return c >= 'A' && c <= 'Z';
}

/* What a phrase may be put together from, two parts at a time. False: they do not begin as
 * words do. */
static bool add_parts(struct span phrase)
{
    for (size_t i = 0; i + 1 < phrase.len; i++) {
        if (phrase.p[i] != ' ')
            continue;
        if (!is_capital(phrase.p[0]) || !is_capital(phrase.p[i + 1]))
            return false;
        add_part(openings, span_sub(phrase, 0, i));
        add_part(endings, span_sub(phrase, i + 1, phrase.len));
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
    union text upper = upper_of(word);
    uint32_t hash = hash_of(&upper, word.len);
    if (entry->type == 'F') {
        add(fingerprints, SLOTS, hash, index);
        return true;
    }
    texts[word_count] = upper;
    meanings[word_count] = (struct sql_meaning){ entry->type, .calls = sql_word_calls(word) };
    add(words, WORD_SLOTS, hash, word_count++);
    set_bit(sql_words_filter, hash % SQL_FILTER_BITS);
    return add_parts(word);
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
