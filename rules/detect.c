/*
 * libinjection comes as members of libmodsecurity.a (Debian has no package of its own), which
 * brings no header for it.
 */
#include "rules/detect.h"

#include "rules/operator/rows.h"
#include "rules/sql_words.h"

int libinjection_sqli(const char *s, size_t len, char fingerprint[]);
int libinjection_xss(const char *s, size_t len);

/* ---- what cannot be script ------------------------------------------------------------------
 */

/*
 * libinjection fires on tags, declarations and comments, which begin with `<`, and on the value
 * of an attribute whose name is known, which stands behind `=`.
 */
bool xss_possible(struct span value)
{
    return value.len > 0 &&
           (memchr(value.p, '<', value.len) != NULL || memchr(value.p, '=', value.len) != NULL);
}

/* ---- detection ------------------------------------------------------------------------------
 */

bool detect_sqli(struct span value, char fingerprint[FINGERPRINT_SIZE])
{
    fingerprint[0] = '\0';
    return sqli_possible(value) && libinjection_sqli(value.p, value.len, fingerprint) != 0;
}

bool detect_xss(struct span value)
{
    return xss_possible(value) && libinjection_xss(value.p, value.len) != 0;
}

bool compile_detect_sqli(const struct operator_source *source, const void **prepared)
{
    (void)source, (void)prepared;
    sql_words_prepare();
    return true;
}

bool eval_detect_sqli(const struct operator_call *call, struct operator_match *match)
{
    _Static_assert(FINGERPRINT_SIZE <= sizeof(match->room), "a fingerprint has room");
    if (!detect_sqli(call->value, match->room))
        return false;
    (void)matched_all(match, call);
    match->captured = span_text(match->room);
    return true;
}

bool eval_detect_xss(const struct operator_call *call, struct operator_match *match)
{
    if (!detect_xss(call->value))
        return false;
    (void)matched_all(match, call);
    match->captured = call->value;
    return true;
}
