/*
 * Nanoseconds per value of what the rules do to each: traits, transformation chains, detection,
 * word lists. `make rules-micro`; for reading, never a test.
 *
 * Each row goes round 64 different values of one kind, so that branches are not learnt by
 * heart.
 */
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "rules/detect.h"
#include "rules/operator/valid.h"
#include "rules/transform.h"
#include "rules/words.h"

enum { VALUES = 64, VALUE_BYTES = 1024, CHAIN_MAX = 8, CALLS = 64 * 4000 };

static char memory[VALUES][VALUE_BYTES];
static struct span values[VALUES];
static volatile size_t sink; /* so that nothing is left out */

static uint64_t nanoseconds(void)
{
    struct timespec now;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
    return (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
}

/* ---- values ---------------------------------------------------------------------------------
 */

static const struct kind {
    const char *name, *pattern; /* # a digit, @ a letter, the rest as it stands */
} kinds[] = {
    { "word", "@@@@@@@@" },
    { "number", "######" },
    { "session id", "@#@@#@#@@@#@#@#@@@#@#@#@@@#@#@#@" },
    { "two words", "@@@@@ @@@@@@" },
    { "e-mail", "@@@@@.@@@@@@@%40@@@@@@.org" },
    { "path", "/@@@@@@/@@@@@/@@@@-##.html" },
    { "URL", "https://www.@@@@@@@@.com/@@@@@/@@@?@@=###&@@@@=@@@@@" },
    { "User-Agent", "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.## (KHTML, like Gecko) "
                    "Chrome/1##.0.0.0 Safari/537.##" },
    { "prose", "The @@@@@ of @@@@@@ was @@@@@ than a @@@@@@@ in @@@, but @@@@@@ @@@@ and @@@@@ "
               "again; see page ##." },
    { "escaped", "%3C@@@@@@%3E+@@@@%20%26%2327%3B+@@@%5Cx3c" },
    { "markup", "<p class=\"@@@@@\">@@@@@ &amp; @@@@@@</p>" },
};

static void fill(const struct kind *kind)
{
    uint64_t random = 88172645463325252u;
    for (size_t i = 0; i < VALUES; i++) {
        size_t len = 0;
        for (const char *p = kind->pattern; *p != '\0' && len < VALUE_BYTES; p++) {
            random ^= random << 13;
            random ^= random >> 7;
            random ^= random << 17;
            memory[i][len++] = *p == '#'   ? (char)('0' + random % 10)
                               : *p == '@' ? (char)('a' + random % 26)
                                           : *p;
        }
        values[i] = span_of(memory[i], len);
    }
}

/* ---- chains ---------------------------------------------------------------------------------
 */

/* The chains that most rules of the Core Rule Set have. */
static const char *const chains[][CHAIN_MAX] = {
    { "lowercase" },
    { "urlDecodeUni" },
    { "urlDecodeUni", "lowercase" },
    { "urlDecodeUni", "compressWhitespace" },
    { "urlDecodeUni", "normalizePath", "cmdLine" },
    { "utf8toUnicode", "urlDecodeUni", "removeNulls" },
    { "utf8toUnicode", "urlDecodeUni", "htmlEntityDecode", "jsDecode", "cssDecode",
      "removeNulls" },
};

static struct span apply(const struct transform *const *chain, struct span value)
{
    static char room[2][VALUE_BYTES * 8];
    uint32_t traits = traits_of(value);
    for (size_t i = 0; chain[i] != NULL; i++) {
        if ((traits & chain[i]->triggers) == 0)
            continue;
        struct span made = chain[i]->apply(value, room[i & 1]);
        if (made.p != value.p || made.len != value.len)
            traits = traits_of(made);
        value = made;
    }
    return value;
}

/* ---- rows -----------------------------------------------------------------------------------
 */

static struct words words;

static size_t run_traits(struct span value)
{
    return traits_of(value);
}

static size_t run_sqli(struct span value)
{
    char fingerprint[FINGERPRINT_SIZE];
    return detect_sqli(value, fingerprint);
}

static size_t run_sqli_reject(struct span value)
{
    return sqli_possible(value);
}

static size_t run_xss(struct span value)
{
    return detect_xss(value);
}

static size_t run_utf8(struct span value)
{
    return utf8_valid_len(value);
}

static size_t run_words(struct span value)
{
    size_t offset;
    return words_find(&words, value, &offset) != NULL;
}

static const struct {
    const char *name;
    size_t (*run)(struct span value);
} rows[] = {
    { "traits", run_traits }, { "SQLi, reject only", run_sqli_reject },
    { "SQLi", run_sqli },     { "XSS", run_xss },
    { "UTF-8", run_utf8 },    { "400 words", run_words },
};

static void print_row(const char *name, uint64_t began)
{
    printf("  %-76s %8.1f ns\n", name, (double)(nanoseconds() - began) / CALLS);
}

static void bench_chain(const char *const *names)
{
    const struct transform *chain[CHAIN_MAX + 1] = { NULL };
    char label[256] = "";
    size_t len = 0;
    for (size_t i = 0; i < CHAIN_MAX && names[i] != NULL; i++) {
        chain[i] = seclang_transform_find(span_text(names[i]));
        len += (size_t)snprintf(label + len, sizeof(label) - len, "%s%s", i > 0 ? "," : "",
                                names[i]);
    }
    uint64_t began = nanoseconds();
    for (size_t i = 0; i < CALLS; i++)
        sink += apply(chain, values[i % VALUES]).len;
    print_row(label, began);
}

static void build_words(void)
{
    static struct arena arena;
    static char text[400][12];
    static struct span items[400];
    for (size_t i = 0; i < ARRAY_LEN(items); i++) {
        int len = snprintf(text[i], sizeof(text[i]), "%c%cx%zuq", (int)('a' + i % 26),
                           (int)('a' + i / 26), i);
        items[i] = span_of(text[i], (size_t)len);
    }
    arena_init(&arena, NULL, 0, NULL, 8 * 1024 * 1024);
    INVARIANT(words_build(&words, items, ARRAY_LEN(items), &arena) == OK);
}

int main(void)
{
    build_words();
    detect_prepare();
    for (size_t k = 0; k < ARRAY_LEN(kinds); k++) {
        fill(&kinds[k]);
        printf("%s (%zu bytes): %.*s\n", kinds[k].name, values[0].len, (int)values[0].len,
               values[0].p);
        for (size_t r = 0; r < ARRAY_LEN(rows); r++) {
            uint64_t began = nanoseconds();
            for (size_t i = 0; i < CALLS; i++)
                sink += rows[r].run(values[i % VALUES]);
            print_row(rows[r].name, began);
        }
        for (size_t c = 0; c < ARRAY_LEN(chains); c++)
            bench_chain(chains[c]);
    }
    return 0;
}
