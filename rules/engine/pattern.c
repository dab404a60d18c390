/* Patterns with macros in them: compiled when a value meets them, the last few kept. */
#include "rules/engine/run.h"

enum { WORK_COMPILE = 32 * 1024 };

const struct sec_regex *sec_pattern(struct sec_run *run, const struct macro *macro)
{
    struct sec_patterns *patterns = &run->local->patterns;
    struct span text = sec_expand(run, macro);
    char buffer[128];
    struct text why = text_fixed(buffer, sizeof(buffer));
    if (text.p == NULL || text.len > RUN_PATTERN_BYTES_MAX)
        return NULL;
    for (unsigned i = 0; i < RUN_PATTERNS_MAX; i++) {
        if (patterns->items[i] != NULL && span_equal(regex_source(patterns->items[i]), text))
            return patterns->items[i];
    }
    run->work += WORK_COMPILE;
    struct sec_regex *regex = regex_compile(text, false, &why);
    if (regex == NULL)
        return NULL;
    regex_free(patterns->items[patterns->next]);
    patterns->items[patterns->next] = regex;
    patterns->next = (patterns->next + 1) % RUN_PATTERNS_MAX;
    return regex;
}
