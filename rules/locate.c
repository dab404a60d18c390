/* Where a match begins: see locate.h. */
#include "rules/locate.h"

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

struct locator *locator_compile(const char *text, bool caseless)
{
    uint32_t options = PCRE2_DOTALL | PCRE2_DOLLAR_ENDONLY | PCRE2_NEVER_UTF |
                       PCRE2_NEVER_BACKSLASH_C | (caseless ? PCRE2_CASELESS : 0);
    int error;
    PCRE2_SIZE at;

    return (struct locator *)pcre2_compile((PCRE2_SPTR)text, PCRE2_ZERO_TERMINATED, options,
                                           &error, &at, NULL);
}

void locator_free(struct locator *locator)
{
    pcre2_code_free((pcre2_code *)locator);
}

enum err locate_attach(struct locate_local *local)
{
    local->match = pcre2_match_data_create(1, NULL);
    local->limits = pcre2_match_context_create(NULL);
    if (local->match == NULL || local->limits == NULL)
        return ERR_MEMORY;
    (void)pcre2_set_match_limit(local->limits, LOCATE_STEPS_MAX);
    (void)pcre2_set_heap_limit(local->limits, 1024); /* KiB */
    return OK;
}

void locate_detach(struct locate_local *local)
{
    pcre2_match_data_free(local->match);
    pcre2_match_context_free(local->limits);
    local->match = local->limits = NULL;
}

size_t locate(const struct locate_local *local, const struct locator *locator, struct span text,
              size_t otherwise)
{
    if (locator == NULL || pcre2_match((const pcre2_code *)locator, (PCRE2_SPTR)text.p,
                                       text.len, 0, 0, local->match, local->limits) < 0)
        return otherwise;
    size_t start = pcre2_get_ovector_pointer(local->match)[0];
    return start <= text.len ? start : otherwise;
}
