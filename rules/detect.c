/*
 * libinjection comes as members of libmodsecurity.a (Debian has no package of its own), which
 * brings no header for it.
 */
#include "rules/detect.h"

#include <stddef.h>

#include "rules/operator/rows.h"
#include "rules/sql_words.h"
#include "rules/transform.h"

typedef char lookup_fn(void *state, int kind, const char *word, size_t len);

int libinjection_sqli(const char *s, size_t len, char fingerprint[]);
void libinjection_sqli_init(void *state, const char *s, size_t len, int flags);
void libinjection_sqli_callback(void *state, lookup_fn *lookup, void *context);
const char *libinjection_sqli_fingerprint(void *state, int flags);
int libinjection_is_sqli(void *state);
lookup_fn libinjection_sqli_lookup_word;
int libinjection_xss(const char *s, size_t len);

/* ---- libinjection with a faster table -------------------------------------------------------
 */

enum { STATE_ROOM = 4096, STATE_MAX = STATE_ROOM / 2 };
_Static_assert(_Alignof(max_align_t) >= 16, "a state of libinjection is aligned");

/* libinjection's state, whose layout is its own. */
union sqli_state {
    char room[STATE_ROOM];
    max_align_t align;
};

/* Whether it fits with room to spare: nothing behind STATE_MAX is written. */
static bool state_fits(void)
{
    enum { UNTOUCHED = 0x5a };
    union sqli_state state;
    memset(state.room, UNTOUCHED, sizeof(state.room));
    libinjection_sqli_init(&state, "", 0, 0);
    for (size_t i = STATE_MAX; i < STATE_ROOM; i++) {
        if (state.room[i] != UNTOUCHED)
            return false;
    }
    return true;
}

static bool has_own_lookup;
static size_t fingerprint_at; /* within a state */

/* Where a state has its fingerprint; false: not where it is expected. */
static bool find_fingerprint(void)
{
    union sqli_state state;
    libinjection_sqli_init(&state, "a", 1, 0);
    uintptr_t at = (uintptr_t)libinjection_sqli_fingerprint(&state, 0);
    uintptr_t begin = (uintptr_t)state.room;
    fingerprint_at = at - begin;
    return at > begin && fingerprint_at + FINGERPRINT_SIZE <= STATE_MAX &&
           strcmp(state.room + fingerprint_at, "n") == 0;
}

/* In the table a fingerprint has a 0 before it. One that is there is judged by more than that.
 */
static bool is_listed(struct span fingerprint)
{
    char entry[FINGERPRINT_SIZE + 1] = "0";
    if (fingerprint.len >= FINGERPRINT_SIZE)
        return true;
    memcpy(entry + 1, fingerprint.p, fingerprint.len);
    return sql_word_type(span_of(entry, fingerprint.len + 1)) == 'F';
}

static char look_up(void *state, int kind, const char *word, size_t len)
{
    enum { LOOKUP_FINGERPRINT = 4 };
    if (kind != LOOKUP_FINGERPRINT)
        return sql_word_type(span_of(word, len));
    if (!is_listed(span_of(word, len)))
        return '\0';
    return libinjection_sqli_lookup_word(state, kind, word, len);
}

static bool is_sqli(struct span value, char fingerprint[FINGERPRINT_SIZE])
{
    UNCLEARED union sqli_state state;
    if (!has_own_lookup)
        return libinjection_sqli(value.p, value.len, fingerprint) != 0;
    libinjection_sqli_init(&state, value.p, value.len, 0);
    libinjection_sqli_callback(&state, look_up, NULL);
    if (libinjection_is_sqli(&state) == 0)
        return false;
    memcpy(fingerprint, state.room + fingerprint_at, FINGERPRINT_SIZE);
    fingerprint[FINGERPRINT_SIZE - 1] = '\0';
    return true;
}

/* ---- detection ------------------------------------------------------------------------------
 */

bool detect_sqli(struct span value, char fingerprint[FINGERPRINT_SIZE])
{
    fingerprint[0] = '\0';
    return sqli_possible(value) && is_sqli(value, fingerprint);
}

bool detect_xss(struct span value)
{
    return xss_possible(value) && libinjection_xss(value.p, value.len) != 0;
}

void detect_prepare(void)
{
    sqli_prepare();
    xss_prepare();
    has_own_lookup = sql_words_ready && state_fits() && find_fingerprint();
}

bool compile_detect(const struct operator_source *source, const void **prepared)
{
    (void)source, (void)prepared;
    detect_prepare();
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

uint32_t detect_sqli_wants(const void *prepared)
{
    (void)prepared;
    return sqli_possible(SPAN("a")) ? TRAIT_ANY /* all is, unprepared */ : TRAIT_BREAK;
}

uint32_t detect_xss_wants(const void *prepared)
{
    (void)prepared;
    return TRAIT_MARKUP;
}

bool eval_detect_xss(const struct operator_call *call, struct operator_match *match)
{
    if (!detect_xss(call->value))
        return false;
    (void)matched_all(match, call);
    match->captured = call->value;
    return true;
}
