/*
 * The rejects before libinjection are exact: what they turn away, it does not fire on.
 */
#include "rules/detect.h"
#include "rules/sql_fold.h"
#include "rules/transform.h"

enum { QUOTE_NONE = 1, QUOTE_SINGLE = 2, QUOTE_DOUBLE = 4, SQL_ANSI = 8, SQL_MYSQL = 16 };
enum { STATE_ROOM = 4096 };

int libinjection_sqli(const char *s, size_t len, char fingerprint[]);
void libinjection_sqli_init(void *state, const char *s, size_t len, int flags);
const char *libinjection_sqli_fingerprint(void *state, int flags);
int libinjection_sqli_check_fingerprint(void *state);
int libinjection_xss(const char *s, size_t len);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* In one context: the same fingerprint, and no less than libinjection fires on. */
static void check_context(struct span value, char quote, bool mysql)
{
    _Alignas(16) static char state[STATE_ROOM];
    int flags = quote == '\'' ? QUOTE_SINGLE : quote == '"' ? QUOTE_DOUBLE : QUOTE_NONE;
    struct sql_folded folded;
    bool possible = sql_fold(value, (struct sql_context){ quote, mysql }, &folded);
    libinjection_sqli_init(state, value.p, value.len, 0);
    const char *types =
        libinjection_sqli_fingerprint(state, flags | (mysql ? SQL_MYSQL : SQL_ANSI));
    INVARIANT(possible || *types == 'X' || libinjection_sqli_check_fingerprint(state) == 0);
    INVARIANT(possible || *types != 'X' || span_find(value, SPAN("/*")) >= 0 ||
              (span_index(value, '{') >= 0 && span_index(value, '`') >= 0));
    INVARIANT(!folded.whole || strcmp(folded.types, types) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    detect_prepare();
    struct span value = span_of((const char *)data, size);
    char fingerprint[FINGERPRINT_SIZE], ours[FINGERPRINT_SIZE];
    bool sqli = libinjection_sqli(value.p, value.len, fingerprint) != 0;
    INVARIANT(!sqli || sqli_possible(value));
    INVARIANT(!sqli || (traits_of(value) & TRAIT_BREAK) != 0);
    INVARIANT(detect_sqli(value, ours) == sqli);
    INVARIANT(!sqli || strcmp(fingerprint, ours) == 0);
    for (const char *quote = "\'\""; size > 0; quote++) {
        check_context(value, *quote, false);
        check_context(value, *quote, true);
        if (*quote == '\0')
            break;
    }
    bool xss = libinjection_xss(value.p, value.len) != 0;
    INVARIANT(!xss || xss_possible(value));
    INVARIANT(!xss || (traits_of(value) & TRAIT_MARKUP) != 0);
    INVARIANT(detect_xss(value) == xss);
    return 0;
}
