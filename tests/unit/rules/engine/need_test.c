/* What every match needs: of known patterns, and of generated ones that PCRE2 matches. */
#include "rules/engine/need.h"

#include <hs/hs_compile.h>
#include <stdio.h>
#include <stdlib.h>

#include "rules/regex.h"
#include "tests/unit/check.h"
#include "tests/unit/rules/engine/patterns.h"

static struct arena arena;

static int begin(void **state)
{
    (void)state;
    arena_init(&arena, NULL, 0, NULL, 64 << 20);
    return 0;
}

static int end(void **state)
{
    (void)state;
    arena_reset(&arena);
    return 0;
}

static struct pattern_need needs(const char *pattern, unsigned flags)
{
    struct pattern_need need;
    assert_int_equal(pattern_need(pattern, flags, &arena, &need), OK);
    return need;
}

/* Sorted as they come, with a bar between. */
static const char *texts_of(const struct pattern_need *need)
{
    static char out[2048];
    struct text text = text_fixed(out, sizeof(out));
    for (unsigned i = 0; i < need->text_count; i++) {
        if (i > 0)
            text_char(&text, '|');
        text_add(&text, need->texts[i]);
    }
    return text_cstring(&text);
}

static void known_texts(void **state)
{
    (void)state;
    static const struct {
        const char *pattern, *texts;
    } rows[] = {
        { "abc", "abc" },
        { "ABC", "abc" },
        { "ab", "" }, /* too short to tell anything */
        { "(?i)union.*?select", "select" },
        { "union\\s+all", "union" },
        { "select|insert", "select|insert" },
        { "(?:select|insert)x?", "select|insert" },
        { "select|in", "" }, /* one that is too short is enough */
        { "x(?:abc)?y", "" },
        { "(?:abc)*def", "def" },
        { "(?:abc)+def", "abc" },
        { "(?:abcd){2,3}", "abcd" },
        { "(?:abcd){0,3}", "" },
        { "(?:abcd){0}efg", "efg" },
        { "a[bc]d", "abd|acd" },
        { "\\bscript\\b", "script" },
        { "^jsessionid$", "jsessionid" },
        { "\\x61\\x62c", "abc" },
        { "a.c|x\\d+", "" },
        { "java\\.lang\\.(?:runtime|process)", "java.lang.runtime|java.lang.process" },
        { "abc{2}def", "def" },
        { "abc{,2}", "abc{,2}" }, /* not a count */
        { "a{1}bc", "abc" },
        { "[[:alpha:]]abc", "abc" },
        { "(?i:AbC)", "abc" },
        { "abc(?#no)", "" },
        { "(?=abc)abc", "" },
        { "(?<n>abc)", "" },
        { "(abc)\\1", "" },
        { "\\Qabc\\E", "" },
        { "(?x)a b c d", "" },
        { "\\p{L}abc", "" },
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct pattern_need need = needs(rows[i].pattern, HS_FLAG_DOTALL);
        const char *got = texts_of(&need);
        if (strcmp(got, rows[i].texts) != 0)
            fail_msg("%s: \"%s\" is not \"%s\"", rows[i].pattern, got, rows[i].texts);
    }
}

static void known_relied(void **state)
{
    (void)state;
    static const struct {
        const char *pattern, *relied;
        bool never;
    } rows[] = {
        { "abc", "", false },
        { "a[\"']?b[\"']?c", "\"'", false },
        { "[\"'](?:x|y)|union", "\"'", false },
        { "\\(x\\)", "(", true },
        { "[;|] *cmd", ";|", true },
        { "(?:<|>)x|[{}]y", "<>{}", true },
        { "ls[ ;|]", ";|", false },
        { "x[<>]{0,3}yz", "<>", false },
        { "a.c", "", false },
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct pattern_need need = needs(rows[i].pattern, HS_FLAG_DOTALL);
        assert_int_equal(need.never, rows[i].never);
        for (unsigned c = 1; c < 256; c++) {
            if (byte_set_has(&need.relied, (uint8_t)c) !=
                (strchr(rows[i].relied, (int)c) != NULL))
                fail_msg("%s: byte %u", rows[i].pattern, c);
        }
    }
}

static void known_bytes(void **state)
{
    (void)state;
    static const struct {
        const char *pattern, *bytes; /* NULL: any */
    } rows[] = {
        { "<script", "<" },   { "a[<>]b", "<>" },
        { "\\w+\\(", "(" },   { "<|>", "<>" },
        { "(?:<|a*)b", "b" }, { "[^a]", NULL },
        { "(?i)x", "Xx" },    { ".", NULL },
        { "a*", NULL },       { "(?:\\n|\\r)x", "\n\r" },
        { "[\\]\\[]", "[]" }, { "[]x-z]", "]xyz" },
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct pattern_need need = needs(rows[i].pattern, HS_FLAG_DOTALL);
        if (rows[i].bytes == NULL) {
            unsigned bytes = 0;
            for (unsigned c = 0; c < 256; c++)
                bytes += byte_set_has(&need.bytes, (uint8_t)c);
            assert_true(bytes > 250);
            continue;
        }
        for (unsigned c = 1; c < 256; c++) {
            bool wanted = strchr(rows[i].bytes, (int)c) != NULL;
            if (byte_set_has(&need.bytes, (uint8_t)c) != wanted)
                fail_msg("%s: byte %u", rows[i].pattern, c);
        }
    }
    struct pattern_need need = needs("\\x00y", 0);
    assert_true(byte_set_has(&need.bytes, 0));
    assert_false(byte_set_has(&need.bytes, 'y'));
}

/* A byte of each of them: rarest first, none that follows from another, letters only as such.
 */
static void known_sets(void **state)
{
    (void)state;
    static const struct {
        const char *pattern, *sets;
    } rows[] = {
        { "a\\.b_c", ". _ letter" },
        { "<a|<b", "< letter" },
        { "<[;=]>|[;=]<", "< ;=" },
        { "(?:;|\\|)\\s*\\(", ";| (" },
        { "\\d+\\w*", "" },
        { "x(?:=y)?", "letter" },
        { "(?:=y)+x", "= letter" },
        { "(?:a=|b=)\\(", "( = letter" },
        { "\\(|a", "" },
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        char buffer[256];
        struct text out = text_fixed(buffer, sizeof(buffer));
        struct pattern_need need = needs(rows[i].pattern, HS_FLAG_DOTALL);
        for (unsigned j = 0; j < need.set_count; j++) {
            bool letters = memcmp(&need.sets[j], &need_letters, sizeof(need_letters)) == 0;
            text_add(&out, span_text(j > 0 ? " " : ""));
            if (letters)
                text_lit(&out, "letter");
            for (unsigned c = 33; c < 127 && !letters; c++) {
                if (byte_set_has(&need.sets[j], (uint8_t)c))
                    text_char(&out, (char)c);
            }
        }
        if (strcmp(text_cstring(&out), rows[i].sets) != 0)
            fail_msg("%s: %s, not %s", rows[i].pattern, buffer, rows[i].sets);
    }
}

static void literals(void **state)
{
    (void)state;
    assert_true(needs("a\\x2e1 z", 0).literal);
    assert_true(needs("Abc", HS_FLAG_CASELESS).literal);
    assert_false(needs("^abc", 0).literal);
    assert_false(needs("ab?c", 0).literal);
    assert_false(needs("a[bc]", 0).literal);
    assert_false(needs("abc|d", 0).literal);
    assert_false(needs("(abc)", 0).literal);
}

/* ---- generated patterns ---------------------------------------------------------------------
 */

static bool has_text(const struct span *texts, unsigned count, struct span text)
{
    char lower[4096];
    bool found = count == 0;
    assert_true(text.len <= sizeof(lower));
    for (size_t i = 0; i < text.len; i++)
        lower[i] = ascii_lower(text.p[i]);
    for (unsigned i = 0; i < count; i++)
        found = found || span_find(span_of(lower, text.len), texts[i]) >= 0;
    return found;
}

/* What a match needs at all, and what it needs without rare bytes. */
static bool has(const struct pattern_need *need, struct span text)
{
    bool plain = !byte_set_any(&need->relied, text);
    for (unsigned i = 0; i < need->set_count; i++) {
        if (!byte_set_any(&need->sets[i], text))
            return false;
    }
    return byte_set_any(&need->bytes, text) && has_text(need->texts, need->text_count, text) &&
           !(plain && need->never);
}

/* In either case; -1: it need have none. */
static bool has_byte(struct span text, int byte)
{
    bool found = byte < 0;
    for (size_t i = 0; i < text.len; i++)
        found = found || ascii_lower(text.p[i]) == ascii_lower((char)byte);
    return found;
}

/* Whether a match by one of the alternatives is possible. */
static bool goes(const struct pattern_ways *ways, struct span text)
{
    bool possible = ways->count == 0;
    for (unsigned i = 0; i < ways->count && !possible; i++) {
        const struct need_way *way = &ways->items[i];
        possible = text.len >= way->shortest;
        for (size_t j = 0; j < NEED_STARTS && j < text.len; j++)
            possible = possible && byte_set_has(&way->starts[j], (uint8_t)text.p[j]);
        for (unsigned j = 0; j < way->set_count; j++)
            possible = possible && byte_set_any(&way->sets[j], text);
        for (unsigned j = 0; j < way->list_count; j++)
            possible = possible && has_text(way->lists[j].texts, way->lists[j].count, text);
    }
    return possible;
}

static void matches_have_it(void **state)
{
    (void)state;
    enum { PATTERNS = 3000, TEXTS = 12 };
    struct random random = { 42 };
    struct regex_local local;
    unsigned matched = 0, useful = 0, relying = 0, several = 0, both = 0, started = 0;
    unsigned told = 0;
    assert_int_equal(regex_attach(&local), OK);
    for (unsigned i = 0; i < PATTERNS; i++) {
        char pattern[4096], text[4096], buffer[128];
        struct text out = text_fixed(pattern, sizeof(pattern) - 1);
        struct text why = text_fixed(buffer, sizeof(buffer));
        text_add(&out, span_text(random_below(&random, 4) == 0 ? "^" : ""));
        pattern_write(&random, &out, 3);
        if (out.overflow)
            continue;
        const char *cstring = text_cstring(&out);
        struct sec_regex *regex = regex_compile(text_span(&out), false, &why);
        const struct rx_node *tree = rx_parse(text_span(&out), HS_FLAG_DOTALL, &arena);
        assert_non_null(tree);
        struct pattern_need need = needs(cstring, HS_FLAG_DOTALL);
        struct pattern_ways ways;
        assert_int_equal(pattern_ways(cstring, HS_FLAG_DOTALL, &arena, &ways), OK);
        several += ways.count > 1;
        both += ways.count > 0 && ways.items[0].list_count > 1;
        started += ways.count > 0 && need_starts_tell(ways.items[0].starts);
        useful += need.text_count > 0;
        told += regex != NULL && regex_needed_byte(regex) >= 0;
        relying += need.never;
        for (unsigned j = 0; regex != NULL && j < TEXTS; j++) {
            struct text made = text_fixed(text, sizeof(text));
            pattern_write_text(&random, &made, tree);
            if (made.overflow || made.len == 0 ||
                regex_match(&local, regex, text_span(&made), NULL) != REGEX_YES)
                continue;
            matched++;
            if (!has(&need, text_span(&made)) || !goes(&ways, text_span(&made)) ||
                !has_byte(text_span(&made), regex_needed_byte(regex)))
                fail_msg("%s matches \"%.*s\", which has not what it needs", cstring,
                         (int)made.len, made.p);
        }
        regex_free(regex);
        arena_reset(&arena);
    }
    regex_detach(&local);
    assert_true(matched > PATTERNS * TEXTS / 2);
    assert_true(useful > PATTERNS / 8);
    assert_true(told > PATTERNS / 8);
    assert_true(relying > PATTERNS / 20);
    assert_true(several > PATTERNS / 20);
    assert_true(both > PATTERNS / 100);
    assert_true(started > PATTERNS / 50);
}

/* ---- ways -----------------------------------------------------------------------------------
 */

/* For each way: what the first bytes can be (*: any), and the texts. */
static const char *show_ways(const char *pattern)
{
    struct pattern_ways ways;
    struct text out = text_growing(&arena, 256);
    assert_int_equal(pattern_ways(pattern, HS_FLAG_DOTALL, &arena, &ways), OK);
    for (unsigned i = 0; i < ways.count; i++) {
        const struct need_way *way = &ways.items[i];
        text_add(&out, span_text(i > 0 ? "; " : ""));
        for (unsigned j = 0; j < NEED_STARTS; j++) {
            bool any = memcmp(&way->starts[j], &need_every_byte, sizeof(*way->starts)) == 0;
            text_add(&out, span_text(j > 0 ? "," : ""));
            for (unsigned c = 0; c < 256 && !any; c++) {
                if (byte_set_has(&way->starts[j], (uint8_t)c))
                    text_char(&out, (char)c);
            }
            text_add(&out, span_text(any ? "*" : ""));
        }
        for (unsigned j = 0; j < way->list_count; j++) {
            for (unsigned k = 0; k < way->lists[j].count; k++) {
                text_char(&out, k > 0 ? '|' : ' ');
                text_add(&out, way->lists[j].texts[k]);
            }
        }
    }
    return text_cstring(&out);
}

static void ways_of_patterns(void **state)
{
    static const struct {
        const char *pattern, *ways;
    } rows[] = {
        { "union.*?select", "*,*,*,* select union" },
        { "(?:one|two)", "*,*,*,* one|two" },
        /* What has the first list is rare as it is. */
        { "end.*?\\);", "*,*,*,* );" },
        { "new .*?constructor", "*,*,*,* constructor" },
        /* Where it begins says all that the texts would. */
        { "^(?:http|ftp)://", "h,t,t,p; f,t,p,:" },
        { "^(?:http|ftp|wss|file)://", "fhw,ist,lpst,:ep" },
        { "^(?i:http)://", "Hh,Tt,Tt,Pp" },
        { "^ab.*select", "a,b,*,* select" },
        { "^a?bc", "ab,bc,*,*" },
        { "^(?:ab)?c+d", "ac,bcd,*,*" },
        { "^(?:a|bc){2}xyz", "ab,abcx,abcxy,abcxyz" },
        { "^x*(?:ab)+select", "ax,abx,absx,abesx" },
        { "(?m)^http://", "*,*,*,* http://" },
        { "a(?:^http)://", "*,*,*,* ahttp://" },
        { "(?:^abc|def)x", "a,b,c,x; *,*,*,* defx" },
        { "^abc.*\\(|[0-9];", "a,b,c,*; *,*,*,*" },
        { "\\b(?:create\\s+table|;\\s*drop)\\b", "*,*,*,* create table; *,*,*,* drop" },
        { "['\"](?:having|select\\s*!)", "*,*,*,* \"having|'having|\"select|'select" },
        { "s(?:elect\\s*1|leep\\s*2)", "*,*,*,* select; *,*,*,* sleep" },
        /* Few alternatives are looked at one by one, with what stands before them. */
        { "u(?:nion.*?select|ser\\s*\\()", "*,*,*,* select union; *,*,*,* user" },
        /* Whose texts tell enough are one, whatever bytes they have besides. */
        { "<object.*;|x\\[\\?php", "*,*,*,* <object|x[?php" },
        { "\\A(?:x|yy)z", "x,z,*,*; y,y,z,*" },
        { "^a*", "*,*,*,*" },
        { "a*", "*,*,*,*" },
        { "^abc.*x|[0-9]x", "*,*,*,*" }, /* who has an x may go the second way */
        { "(?=x)a", "" },                /* nothing is known */
    };
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        const char *ways = show_ways(rows[i].pattern);
        if (strcmp(ways, rows[i].ways) != 0)
            fail_msg("%s: %s, not %s", rows[i].pattern, ways, rows[i].ways);
    }
}

/* What is as short goes one of the ways that need no more than it has. */
static void shortest_of_ways(void **state)
{
    static const struct {
        const char *pattern;
        unsigned shortest[2];
    } rows[] = {
        { "union.*?select", { 11 } },         { "u(?:nion.*?select|ser\\s*\\()", { 11, 5 } },
        { "(?:three|one)", { 3 } }, /* alike, and so one */
        { "\\bab{3}c?(?:de|f)+\\b", { 5 } },  { "a*", { 0 } },
        { "ab.*x|[0-9]{9}x", { 3 } },     /* who is as long as the second may go the first */
        { "[^\\n]{9};|\\(;", { 10, 2 } }, /* but not who is shorter than that */
        { "(?:[a-f]{60000}){2}", { 65536 } },
    };
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct pattern_ways ways;
        assert_int_equal(pattern_ways(rows[i].pattern, HS_FLAG_DOTALL, &arena, &ways), OK);
        assert_int_equal(ways.count, rows[i].shortest[1] != 0 ? 2 : 1);
        for (unsigned j = 0; j < ways.count; j++) {
            if (ways.items[j].shortest != rows[i].shortest[j])
                fail_msg("%s: %u", rows[i].pattern, ways.items[j].shortest);
        }
    }
}

/* ---- case -----------------------------------------------------------------------------------
 */

static void case_of_patterns(void **state)
{
    static const struct {
        const char *pattern;
        bool blind, none;
    } rows[] = {
        { "(?:^|[\\/])\\.\\.(?:[\\/]|$)", true, true },
        { "\\d+[^\\w]\\s", true, true },
        { "[a-zA-Z]=", true, true },
        { "(?i)select", true, true },
        { "(?i)sel(?-i:E)ct", false, false },
        { "select", true, false },
        { "[^a]", true, false },
        { "[A-Z]=", false, false },
        { "x\\.\\.", true, false },
    };
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        if (pattern_is_blind_to_case(rows[i].pattern, 0) != rows[i].blind ||
            pattern_has_no_case(rows[i].pattern, 0) != rows[i].none)
            fail_msg("%s", rows[i].pattern);
    }
}

/* ---- limits ---------------------------------------------------------------------------------
 */

static void depth(void **state)
{
    (void)state;
    for (unsigned deep = NEED_DEPTH_MAX - 1; deep <= NEED_DEPTH_MAX + 1; deep++) {
        char pattern[4 * NEED_DEPTH_MAX + 32];
        struct text out = text_fixed(pattern, sizeof(pattern) - 1);
        for (unsigned i = 0; i < deep; i++)
            text_char(&out, '(');
        text_lit(&out, "needed");
        for (unsigned i = 0; i < deep; i++)
            text_char(&out, ')');
        assert_int_equal(needs(text_cstring(&out), 0).text_count, deep <= NEED_DEPTH_MAX);
    }
}

static void many_texts(void **state)
{
    (void)state;
    for (unsigned count = NEED_TEXTS_MAX - 1; count <= NEED_TEXTS_MAX + 1; count++) {
        char pattern[16 * NEED_TEXTS_MAX + 16];
        struct text out = text_fixed(pattern, sizeof(pattern) - 1);
        for (unsigned i = 0; i < count; i++)
            text_format(&out, "%sword%04u", i > 0 ? "|" : "", i);
        assert_int_equal(needs(text_cstring(&out), 0).text_count,
                         count <= NEED_TEXTS_MAX ? count : 0);
    }
    /* where a longer one is, a shorter one is, too */
    const struct pattern_need few = needs("wordy|word|swords|other|words|word", 0);
    assert_int_equal(few.text_count, 2);
    for (unsigned i = 0; i < few.text_count; i++)
        assert_true(span_equal(few.texts[i], SPAN("word")) ||
                    span_equal(few.texts[i], SPAN("other")));
}

#define WITH_ARENA(fn) cmocka_unit_test_setup_teardown(fn, begin, end)

int main(void)
{
    return RUN(WITH_ARENA(known_texts), WITH_ARENA(known_relied), WITH_ARENA(known_bytes),
               WITH_ARENA(known_sets), WITH_ARENA(literals), WITH_ARENA(ways_of_patterns),
               WITH_ARENA(shortest_of_ways), WITH_ARENA(case_of_patterns),
               WITH_ARENA(matches_have_it), WITH_ARENA(depth), WITH_ARENA(many_texts));
}
