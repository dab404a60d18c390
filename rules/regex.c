/*
 * Regular expressions over PCRE2.
 */
#define PCRE2_CODE_UNIT_WIDTH 8

#include "rules/regex.h"

#include <pcre2.h>
#include <stdlib.h>

/* Patterns whose answer needs no matcher: with these options `.` takes every byte. */
static const struct {
    const char *source;
    bool empty; /* only the empty text; else all of any text */
} plain_rows[] = {
    { "^$", true }, { ".*", false }, { "^.*", false }, { ".*$", false }, { "^.*$", false },
};

enum plain { PLAIN_NOT, PLAIN_EMPTY, PLAIN_ALL };

struct sec_regex {
    pcre2_code *code;
    enum plain plain;
    char *source;
    size_t len;
};

static void explain(struct text *why, int error, size_t offset)
{
    char message[128];
    if (pcre2_get_error_message(error, (PCRE2_UCHAR *)message, sizeof message) < 0)
        message[0] = '\0';
    text_format(why, "%s at offset %zu of the pattern", message, offset);
}

static enum plain plain_of(struct span pattern)
{
    for (size_t i = 0; i < ARRAY_LEN(plain_rows); i++) {
        if (span_equal(pattern, span_text(plain_rows[i].source)))
            return plain_rows[i].empty ? PLAIN_EMPTY : PLAIN_ALL;
    }
    return PLAIN_NOT;
}

struct sec_regex *regex_compile(struct span pattern, bool caseless, struct text *why)
{
    if (pattern.len > REGEX_BYTES_MAX) {
        text_format(why, "the pattern has %zu bytes; the most is %d", pattern.len,
                    REGEX_BYTES_MAX);
        return NULL;
    }
    struct sec_regex *regex = calloc(1, sizeof *regex);
    char *source = malloc(pattern.len + 1);
    if (regex == NULL || source == NULL)
        goto no_memory;
    if (pattern.len > 0)
        memcpy(source, pattern.p, pattern.len);
    source[pattern.len] = '\0';
    *regex = (struct sec_regex){
        .source = source,
        .len = pattern.len,
        .plain = plain_of(pattern),
    };

    int error;
    PCRE2_SIZE offset;
    uint32_t flags = PCRE2_DOTALL | PCRE2_DOLLAR_ENDONLY | PCRE2_NEVER_BACKSLASH_C |
                     (caseless ? PCRE2_CASELESS : 0);
    regex->code = pcre2_compile((PCRE2_SPTR)source, pattern.len, flags, &error, &offset, NULL);
    if (regex->code == NULL) {
        explain(why, error, offset);
        regex_free(regex);
        return NULL;
    }
    /* Without JIT pcre2_match interprets: slower, and nothing else. */
    (void)pcre2_jit_compile(regex->code, PCRE2_JIT_COMPLETE);
    return regex;

no_memory:
    free(regex);
    free(source);
    text_lit(why, "out of memory");
    return NULL;
}

void regex_free(struct sec_regex *regex)
{
    if (regex == NULL)
        return;
    pcre2_code_free(regex->code);
    free(regex->source);
    free(regex);
}

struct span regex_source(const struct sec_regex *regex)
{
    return span_of(regex->source, regex->len);
}

bool regex_takes_all(const struct sec_regex *regex)
{
    return regex->plain == PLAIN_ALL;
}

int regex_needed_byte(const struct sec_regex *regex)
{
    uint32_t known = 0, byte = 0;
    (void)pcre2_pattern_info(regex->code, PCRE2_INFO_FIRSTCODETYPE, &known);
    if (known == 1)
        return pcre2_pattern_info(regex->code, PCRE2_INFO_FIRSTCODEUNIT, &byte) == 0 ? (int)byte
                                                                                     : -1;
    (void)pcre2_pattern_info(regex->code, PCRE2_INFO_LASTCODETYPE, &known);
    if (known != 1 || pcre2_pattern_info(regex->code, PCRE2_INFO_LASTCODEUNIT, &byte) != 0)
        return -1;
    return (int)byte;
}

enum err regex_attach(struct regex_local *local)
{
    enum { STACK_FIRST = 32 * 1024, STACK_MAX = 1024 * 1024 };

    *local = (struct regex_local){
        .match = pcre2_match_data_create(REGEX_CAPTURES_MAX, NULL),
        .context = pcre2_match_context_create(NULL),
        .stack = pcre2_jit_stack_create(STACK_FIRST, STACK_MAX, NULL),
    };
    if (local->match == NULL || local->context == NULL || local->stack == NULL) {
        regex_detach(local);
        return ERR_MEMORY;
    }
    pcre2_set_match_limit(local->context, REGEX_STEPS_MAX);
    pcre2_set_heap_limit(local->context, REGEX_HEAP_KIB_MAX);
    pcre2_jit_stack_assign(local->context, NULL, local->stack);
    return OK;
}

void regex_detach(struct regex_local *local)
{
    pcre2_match_data_free(local->match);
    pcre2_match_context_free(local->context);
    pcre2_jit_stack_free(local->stack);
    *local = (struct regex_local){ 0 };
}

static void take_captures(const struct regex_local *local, int groups, struct span text,
                          struct regex_captures *captures)
{
    const PCRE2_SIZE *at = pcre2_get_ovector_pointer(local->match);
    /* 0 groups: there are more than the vector holds; those that it holds are right. */
    unsigned count = groups == 0 ? REGEX_CAPTURES_MAX : (unsigned)groups;
    captures->count = count;
    for (unsigned i = 0; i < count; i++) {
        bool set = at[2 * i] != PCRE2_UNSET && at[2 * i + 1] != PCRE2_UNSET &&
                   at[2 * i] <= at[2 * i + 1];
        captures->at[i] =
            set ? span_of(text.p + at[2 * i], at[2 * i + 1] - at[2 * i]) : (struct span){ 0 };
    }
}

static enum regex_answer match(const struct regex_local *local, const struct sec_regex *regex,
                               struct span text, size_t from, uint32_t options,
                               struct regex_captures *captures)
{
    if (text.p == NULL)
        text.p = "";
    int found = pcre2_match(regex->code, (PCRE2_SPTR)text.p, text.len, from, options,
                            local->match, local->context);
    if (found == PCRE2_ERROR_NOMATCH)
        return REGEX_NO;
    if (found < 0)
        return REGEX_LIMIT;
    if (captures != NULL)
        take_captures(local, found, text, captures);
    return REGEX_YES;
}

enum regex_answer regex_match(const struct regex_local *local, const struct sec_regex *regex,
                              struct span text, struct regex_captures *captures)
{
    if (regex->plain == PLAIN_NOT)
        return match(local, regex, text, 0, 0, captures);
    if (regex->plain == PLAIN_EMPTY && text.len > 0)
        return REGEX_NO;
    if (captures != NULL) {
        captures->count = 1;
        captures->at[0] = text.p != NULL ? text : SPAN("");
    }
    return REGEX_YES;
}

enum regex_answer regex_match_from(const struct regex_local *local,
                                   const struct sec_regex *regex, struct span text, size_t from,
                                   struct regex_captures *captures)
{
    return match(local, regex, text, from, PCRE2_NOTEMPTY, captures);
}
