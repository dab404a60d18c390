/*
 * In libinjection's table fingerprints have a 0 before them, and types in upper case: so one of
 * its letters may be more than one type's.
 */
#include "rules/sql_list.h"

#include "rules/sql_words.h"

struct sql_list sql_list;

/* By the letter in the list. */
static uint32_t types_of[256];

static char listed_letter(char letter)
{
    return (char)(letter >= 'a' && letter <= 'z' ? letter - 0x20 : letter);
}

bool sql_is_listed(const uint8_t *types, size_t count)
{
    char entry[1 + SQL_FINGERPRINT_MAX] = "0";
    if (count < 2) /* none is of one, see is_plain, but X, which stands for what is not read */
        return false;
    if (count == 2)
        return (sql_list.pairs[types[0]] >> types[1] & 1) != 0;
    if (count == 3)
        return (sql_list.triples[types[0]][types[1]] >> types[2] & 1) != 0;
    if (!sql_may_begin_with_four(types[0], types[1], types[2], types[3]))
        return false;
    for (size_t i = 0; i < count; i++)
        entry[1 + i] = listed_letter(sql_letters[types[i]]);
    return sql_word_type(span_of(entry, 1 + count)) == 'F';
}

/* ---- making ---------------------------------------------------------------------------------
 */

static void name_types(void)
{
    for (unsigned type = 1; type < SQL_TYPE_COUNT; type++)
        types_of[(uint8_t)listed_letter(sql_letters[type])] |= UINT32_C(1) << type;
}

/*
 * One number, or one run of bytes that end no word: it becomes numbers and names, and at its
 * end one word. No fingerprint is of that, but a number with UNION behind it, which
 * libinjection forgives if there is no more.
 */
static bool is_plain(const char *types, size_t len)
{
    bool word = types[len - 1] == '&' || (types[len - 1] >= 'A' && types[len - 1] <= 'Z' &&
                                          types[len - 1] != 'C' && types[len - 1] != 'S');
    bool plain = len == 1 ? types[0] != 'X' : word && strspn(types, "N1") >= len - 1;
    return (plain || strspn(types, "N1") == len) && strcmp(types, "1U") != 0;
}

/* The lowest of a set that is not empty, which goes. */
static unsigned take_type(uint32_t *set)
{
    unsigned type = (unsigned)__builtin_ctz(*set);
    *set &= *set - 1;
    return type;
}

static void add_fourth(unsigned a, unsigned b, uint32_t thirds, uint32_t fourths)
{
    while (thirds != 0) {
        unsigned c = take_type(&thirds);
        for (uint32_t rest = fourths; rest != 0;) {
            uint32_t bit = sql_fourth_bit(a, b, c, take_type(&rest));
            sql_list.fourth[bit / 64] |= UINT64_C(1) << bit % 64;
        }
    }
}

/* False: it is not as this file has it. */
static bool add_fingerprint(const char *types)
{
    size_t len = strlen(types);
    uint32_t sets[4] = { 0 };
    if (len == 0 || len > SQL_FINGERPRINT_MAX || is_plain(types, len))
        return false;
    for (size_t i = 0; i < len && i < ARRAY_LEN(sets); i++)
        sets[i] = types_of[(uint8_t)types[i]];
    while (sets[0] != 0) {
        unsigned a = take_type(&sets[0]);
        sql_list.second[a] |= sets[1];
        sql_list.pairs[a] |= len == 2 ? sets[1] : 0;
        for (uint32_t rest = sets[1]; rest != 0;) {
            unsigned b = take_type(&rest);
            sql_list.third[a][b] |= sets[2];
            sql_list.triples[a][b] |= len == 3 ? sets[2] : 0;
            add_fourth(a, b, sets[2], sets[3]);
        }
    }
    return true;
}

bool sql_list_prepare(void)
{
    size_t count = 0;
    const struct sql_entry *entries = sql_words_all(&count);
    name_types();
    for (size_t i = 0; i < count; i++) {
        char type = entries[i].type;
        bool known = type == 'F' ? add_fingerprint(entries[i].word + 1)
                                 : types_of[(uint8_t)listed_letter(type)] != 0;
        if (!known)
            return false;
    }
    return count > 0;
}
