/* Regular expressions over PCRE2; see pattern.h. */
#include "gateway/chain/pattern.h"

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

enum {
    FIRST_CAPACITY = 16,
    JIT_STACK_FIRST = 32 * 1024,
    JIT_STACK_MAX = 256 * 1024,
    COMPILE_OPTIONS = PCRE2_DOTALL | PCRE2_DOLLAR_ENDONLY | PCRE2_NEVER_UTF | PCRE2_NEVER_UCP |
                      PCRE2_NEVER_BACKSLASH_C,
};

struct patterns {
    pcre2_code **items;
    unsigned count, capacity;
    /* Used by one match at a time: a process has one thread that matches. */
    pcre2_match_data *match, *groups;
    pcre2_match_context *limits;
    pcre2_jit_stack *stack;
};

static void patterns_close(void *ptr)
{
    struct patterns *patterns = ptr;
    for (unsigned i = 0; i < patterns->count; i++)
        pcre2_code_free(patterns->items[i]);
    pcre2_jit_stack_free(patterns->stack);
    pcre2_match_context_free(patterns->limits);
    pcre2_match_data_free(patterns->match);
    pcre2_match_data_free(patterns->groups);
}

struct patterns *patterns_new(struct arena *arena)
{
    struct patterns *patterns = arena_new(arena, struct patterns);
    if (patterns == NULL || !arena_defer(arena, patterns_close, patterns))
        return NULL;
    patterns->match = pcre2_match_data_create(1, NULL);
    patterns->limits = pcre2_match_context_create(NULL);
    patterns->groups = pcre2_match_data_create(PATTERN_GROUPS_MAX + 1, NULL);
    if (patterns->match == NULL || patterns->limits == NULL || patterns->groups == NULL)
        return NULL;
    (void)pcre2_set_match_limit(patterns->limits, PATTERN_STEPS_MAX);
    (void)pcre2_set_depth_limit(patterns->limits, PATTERN_STEPS_MAX);
    (void)pcre2_set_heap_limit(patterns->limits, PATTERN_HEAP_KIB_MAX);
    /* Without one, matches run on the small stack that the library brings along. */
    patterns->stack = pcre2_jit_stack_create(JIT_STACK_FIRST, JIT_STACK_MAX, NULL);
    if (patterns->stack != NULL)
        pcre2_jit_stack_assign(patterns->limits, NULL, patterns->stack);
    return patterns;
}

static bool make_room(struct patterns *patterns, struct arena *arena)
{
    if (patterns->count < patterns->capacity)
        return true;
    unsigned capacity = patterns->capacity == 0 ? FIRST_CAPACITY : patterns->capacity * 2;
    pcre2_code **items = arena_array(arena, pcre2_code *, capacity);
    if (items == NULL)
        return false;
    if (patterns->count > 0)
        memcpy(items, patterns->items, patterns->count * sizeof(pcre2_code *));
    patterns->items = items;
    patterns->capacity = capacity;
    return true;
}

static struct span reason_of(int error, struct arena *arena)
{
    PCRE2_UCHAR text[128];
    int len = pcre2_get_error_message(error, text, sizeof(text));
    if (len <= 0)
        return SPAN("it is not a regular expression");
    struct span why = arena_copy(arena, span_of((const char *)text, (size_t)len));
    return why.p != NULL ? why : SPAN("out of memory");
}

int patterns_add(struct patterns *patterns, struct span text, struct arena *arena,
                 struct span *why)
{
    int error = 0;
    PCRE2_SIZE offset = 0;

    if (text.len > PATTERN_BYTES_MAX) {
        *why = SPAN("it is too long");
        return -1;
    }
    if (!make_room(patterns, arena)) {
        *why = SPAN("out of memory");
        return -1;
    }
    pcre2_code *code =
        pcre2_compile((PCRE2_SPTR)text.p, text.len, COMPILE_OPTIONS, &error, &offset, NULL);
    if (code == NULL) {
        *why = reason_of(error, arena);
        return -1;
    }
    /* Where writable memory may not become executable this fails, and matching is slower but
     * the same. */
    (void)pcre2_jit_compile(code, PCRE2_JIT_COMPLETE);
    patterns->items[patterns->count] = code;
    return (int)patterns->count++;
}

enum pattern_answer pattern_match(const struct patterns *patterns, int id, struct span text)
{
    INVARIANT(id >= 0 && (unsigned)id < patterns->count);
    /* The library takes no NULL, not even for no bytes. */
    const char *p = text.p != NULL ? text.p : "";
    int found = pcre2_match(patterns->items[id], (PCRE2_SPTR)p, text.len, 0, 0, patterns->match,
                            patterns->limits);
    if (found >= 0)
        return PATTERN_YES;
    return found == PCRE2_ERROR_NOMATCH ? PATTERN_NO : PATTERN_LIMIT;
}

unsigned pattern_groups(const struct patterns *patterns, int id)
{
    uint32_t count = 0;

    INVARIANT(id >= 0 && (unsigned)id < patterns->count);
    (void)pcre2_pattern_info(patterns->items[id], PCRE2_INFO_CAPTURECOUNT, &count);
    return count;
}

struct span pattern_group(const struct patterns *patterns, int id, struct span text,
                          unsigned group)
{
    const char *p = text.p != NULL ? text.p : "";

    INVARIANT(id >= 0 && (unsigned)id < patterns->count && group <= PATTERN_GROUPS_MAX);
    int found = pcre2_match(patterns->items[id], (PCRE2_SPTR)p, text.len, 0, 0,
                            patterns->groups, patterns->limits);
    if (found > 0 && found <= (int)group)
        return span_of(p, 0); /* fewer took part */
    if (found < 0)
        return span_of(NULL, 0);
    const PCRE2_SIZE *at = pcre2_get_ovector_pointer(patterns->groups) + 2 * (size_t)group;
    if (at[0] == PCRE2_UNSET || at[1] < at[0] || at[1] > text.len)
        return span_of(p, 0);
    return span_of(p + at[0], at[1] - at[0]);
}
