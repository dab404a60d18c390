/*
 * What may not be shown: values of secret parameters, credentials, cookies.
 *
 * In doubt a value is hidden. Names are compared as an application would read them:
 * percent-decoded, in any case, and each part of `user[password]` by itself. Where a sample
 * comes from a text that holds many values, it is shown only if its place in that text is known
 * and no secret name stands before it.
 */
#include "gateway/audit/record.h"

enum {
    NAME_BYTES_MAX = 256,   /* a longer name counts as secret: it cannot be compared */
    FOLDED_BYTES_MAX = 4096 /* longer texts are compared byte by byte alone */
};

static const struct span secret_fields[] = {
    SPAN_INIT("authorization"),
    SPAN_INIT("proxy-authorization"),
    SPAN_INIT("cookie"),
    SPAN_INIT("set-cookie"),
    SPAN_INIT("x-api-key"),
    SPAN_INIT("x-auth-token"),
    SPAN_INIT("x-csrf-token"),
    SPAN_INIT("x-xsrf-token"),
    SPAN_INIT("x-amz-security-token"),
};

/* Kinds of fields whose values are all hidden, whatever their name. */
static const struct span secret_kinds[] = {
    SPAN_INIT("cookie"),
    SPAN_INIT("cookies"),
    SPAN_INIT("request_cookies"),
};

/* Fields without a name of their own that hold one value, and no secret one. */
static const struct span single_values[] = {
    SPAN_INIT("path"),    SPAN_INIT("method"),     SPAN_INIT("host"),     SPAN_INIT("protocol"),
    SPAN_INIT("version"), SPAN_INIT("user_agent"), SPAN_INIT("filename"),
};

/* Values that rules make of others: whose, the name does not tell. */
static const struct span derived_kinds[] = {
    SPAN_INIT("tx"),      SPAN_INIT("ip"),   SPAN_INIT("global"),   SPAN_INIT("matched_var"),
    SPAN_INIT("session"), SPAN_INIT("user"), SPAN_INIT("resource"), SPAN_INIT("env"),
};

/* Pairs, as in a query. */
static const struct span pair_kinds[] = {
    SPAN_INIT("query"),           SPAN_INIT("uri"),     SPAN_INIT("request_uri"),
    SPAN_INIT("request_uri_raw"), SPAN_INIT("referer"), SPAN_INIT("query_string"),
    SPAN_INIT("request_line"),
};

/* Of SecLang, without a name of their own: one value each. */
static const struct span single_variables[] = {
    SPAN_INIT("request_filename"),  SPAN_INIT("request_basename"),
    SPAN_INIT("request_method"),    SPAN_INIT("request_protocol"),
    SPAN_INIT("response_status"),   SPAN_INIT("remote_addr"),
    SPAN_INIT("status_line"),       SPAN_INIT("server_name"),
    SPAN_INIT("reqbody_error_msg"),
};

static bool listed(const struct span *items, size_t count, struct span name)
{
    for (size_t i = 0; i < count; i++)
        if (span_equal_nocase(items[i], name))
            return true;
    return false;
}

static bool found_nocase(struct span text, struct span needle)
{
    for (size_t i = 0; i + needle.len <= text.len; i++)
        if (ascii_lower(text.p[i]) == ascii_lower(needle.p[0]) &&
            span_equal_nocase(span_of(text.p + i, needle.len), needle))
            return true;
    return false;
}

/* ---- names ---- */

/* A pattern without its stars, and where they stood. */
struct pattern {
    struct span core;
    bool open_start, open_end;
};

static struct pattern pattern_of(struct span text)
{
    struct pattern pattern = { .core = text };
    if (pattern.core.len > 0 && pattern.core.p[0] == '*') {
        pattern.open_start = true;
        pattern.core = span_sub(pattern.core, 1, pattern.core.len);
    }
    if (pattern.core.len > 0 && pattern.core.p[pattern.core.len - 1] == '*') {
        pattern.open_end = true;
        pattern.core.len--;
    }
    return pattern;
}

static bool pattern_covers(const struct pattern *pattern, struct span name)
{
    struct span core = pattern->core;
    if (core.len == 0)
        return pattern->open_start || pattern->open_end;
    if (name.len < core.len)
        return false;
    if (pattern->open_start && pattern->open_end)
        return found_nocase(name, core);
    if (pattern->open_start)
        return span_equal_nocase(span_sub(name, name.len - core.len, core.len), core);
    if (pattern->open_end)
        return span_equal_nocase(span_sub(name, 0, core.len), core);
    return span_equal_nocase(name, core);
}

static bool plain_name_covered(const struct redaction *redaction, struct span name)
{
    for (size_t i = 0; i < redaction->param_count; i++) {
        struct pattern pattern = pattern_of(redaction->params[i]);
        if (pattern_covers(&pattern, name))
            return true;
    }
    return listed(redaction->more, redaction->more_count, name);
}

static bool is_separator(char c)
{
    return c == '[' || c == ']' || c == '.' || c == ':' || c == '/' || c == ' ';
}

static bool any_part_covered(const struct redaction *redaction, struct span name)
{
    size_t start = 0;
    for (size_t i = 0; i <= name.len; i++) {
        if (i < name.len && !is_separator(name.p[i]))
            continue;
        struct span part = span_sub(name, start, i - start);
        if (part.len > 0 && plain_name_covered(redaction, part))
            return true;
        start = i + 1;
    }
    return false;
}

bool redaction_covers(const struct redaction *redaction, struct span name)
{
    char decoded[NAME_BYTES_MAX];
    size_t len = 0;
    bool parts = false;

    if (redaction->all)
        return true;
    for (size_t i = 0; i < name.len; i++) {
        char c = name.p[i] == '+' ? ' ' : name.p[i];
        if (c == '%' && name.len - i > 2 && hex_value(name.p[i + 1]) >= 0 &&
            hex_value(name.p[i + 2]) >= 0) {
            c = (char)(hex_value(name.p[i + 1]) << 4 | hex_value(name.p[i + 2]));
            i += 2;
        }
        if (len == sizeof(decoded))
            return true;
        parts = parts || is_separator(c);
        decoded[len++] = c;
    }
    struct span whole = span_of(decoded, len);
    return plain_name_covered(redaction, whole) ||
           (parts && any_part_covered(redaction, whole));
}

/* ---- texts that hold many values ---- */

static size_t segment(struct span rest, size_t from, bool secret)
{
    for (size_t i = from; i < rest.len; i++) {
        char c = rest.p[i];
        if (c == '&' || (!secret && (c == ';' || c == '?' || c == '#')))
            return i;
    }
    return rest.len;
}

bool redaction_pair(const struct redaction *redaction, struct span *rest,
                    struct redaction_pair *pair)
{
    if (rest->len == 0)
        return false;
    size_t end = segment(*rest, 0, false);
    struct span whole = span_sub(*rest, 0, end);
    ssize_t equals = span_index(whole, '=');

    *pair = (struct redaction_pair){ .name = whole, .value = span_of(span_end(whole), 0) };
    if (equals >= 0) {
        pair->has_value = true;
        pair->name = span_sub(whole, 0, (size_t)equals);
        pair->secret = redaction_covers(redaction, pair->name);
        if (pair->secret)
            end = segment(*rest, end, true);
        pair->value = span_range(rest->p + equals + 1, rest->p + end);
    }
    pair->end = span_sub(*rest, end, 1);
    *rest = span_sub(*rest, end + pair->end.len, rest->len);
    return true;
}

/* Whether text[from, to) touches a secret value; `text` is a query or URL as received. */
static bool touches(const struct redaction *redaction, struct span text, size_t from, size_t to)
{
    struct redaction_pair pair;
    struct span rest = text;
    while (redaction_pair(redaction, &rest, &pair)) {
        size_t start = (size_t)(pair.value.p - text.p);
        if (pair.secret && start < to && start + pair.value.len > from)
            return true;
    }
    return false;
}

/*
 * Whether a secret's name may stand in `text`: a body of whatever type, decoded or not. An
 * escape could hide a name, so it counts as one.
 */
static bool mentions(const struct redaction *redaction, struct span text)
{
    if (span_index(text, '%') >= 0 || span_index(text, '\\') >= 0 ||
        span_index(text, '&') >= 0 || redaction->all)
        return true;
    for (size_t i = 0; i < redaction->more_count; i++) {
        if (redaction->more[i].len == 0 || found_nocase(text, redaction->more[i]))
            return true;
    }
    for (size_t i = 0; i < redaction->param_count; i++) {
        struct pattern pattern = pattern_of(redaction->params[i]);
        if (pattern.core.len == 0 || found_nocase(text, pattern.core))
            return true;
    }
    return false;
}

/* Whether the sample stands in `text` where the finding says it does. */
static bool sample_stands_in(const struct finding *finding, struct span text)
{
    return finding->sample.len <= text.len &&
           finding->offset <= text.len - finding->sample.len &&
           span_equal(span_sub(text, finding->offset, finding->sample.len), finding->sample);
}

static bool hidden_in(const struct redaction *redaction, const struct finding *finding,
                      struct span raw)
{
    size_t end = (size_t)finding->offset + finding->sample.len;
    if (sample_stands_in(finding, raw))
        return touches(redaction, raw, finding->offset, end);
    if (finding->value.p == NULL || !sample_stands_in(finding, finding->value))
        return true;
    return mentions(redaction, span_sub(finding->value, 0, end));
}

/* Of values that rules made, a number says nothing; not that of a capture, which is a piece of
 * the request. */
static bool is_score(struct span name, struct span value)
{
    enum { DIGITS_MAX = 10 };
    for (size_t i = 0; i < value.len; i++) {
        if (value.p[i] < '0' || value.p[i] > '9')
            return false;
    }
    return name.len > 1 && value.len <= DIGITS_MAX;
}

/* Named or not, without a look at its value. */
static bool is_secret(const struct redaction *redaction, struct span kind, struct span name)
{
    if (name.p == NULL)
        return redaction->all || listed(redaction->more, redaction->more_count, kind);
    return listed(secret_kinds, ARRAY_LEN(secret_kinds), kind) ||
           listed(secret_fields, ARRAY_LEN(secret_fields), name) ||
           redaction_covers(redaction, name);
}

static bool is_edge(char c)
{
    return memchr("./:;,|-_=#", c, 10) != NULL;
}

/* Rules put dots and slashes around a piece, and take it in lower case. */
static bool stands_in(struct span value, struct span text)
{
    struct span piece = text;
    while (piece.len > 0 && is_edge(piece.p[0]))
        piece = span_sub(piece, 1, piece.len);
    while (piece.len > 0 && is_edge(piece.p[piece.len - 1]))
        piece.len--;
    if (piece.len == 0)
        piece = text;
    if (span_find(value, piece) >= 0)
        return true;
    return value.len <= FOLDED_BYTES_MAX && found_nocase(value, piece);
}

/*
 * Whether a text that rules made is a piece of a field that the chain met, as a capture is, and
 * what matched before. Such a piece tells no more than that field, which is looked at by
 * itself.
 */
static bool stands_in_source(const struct finding *finding, struct span text)
{
    for (unsigned i = 0; i < finding->source_count; i++) {
        const struct finding_source *source = &finding->sources[i];
        struct span name = source->field, kind;
        if (source->value.p != NULL && span_cut(&name, ':', &kind) &&
            !listed(derived_kinds, ARRAY_LEN(derived_kinds), kind) &&
            stands_in(source->value, text))
            return true;
    }
    return false;
}

/* Whether all of the value of a field that the finding may tell of may not be shown. */
static bool hides_whole(const struct redaction *redaction, const struct finding *finding,
                        struct span field, struct span value)
{
    struct span name = field, kind;
    if (!span_cut(&name, ':', &kind) || is_secret(redaction, kind, name))
        return true;
    if (listed(derived_kinds, ARRAY_LEN(derived_kinds), kind))
        return !is_score(name, value) && !stands_in_source(finding, value);
    if (span_equal_nocase(kind, SPAN("xml")) || value.p == NULL)
        return true;
    bool single = listed(single_values, ARRAY_LEN(single_values), kind) ||
                  listed(single_variables, ARRAY_LEN(single_variables), kind);
    if (name.p != NULL || single || listed(pair_kinds, ARRAY_LEN(pair_kinds), kind))
        return touches(redaction, value, 0, value.len);
    return mentions(redaction, value);
}

bool redaction_hides_logdata(const struct redaction *redaction, const struct finding *finding)
{
    bool named = span_index(finding->field, ':') >= 0;
    struct span value = finding->value.p == NULL && named ? finding->logdata : finding->value;
    if (hides_whole(redaction, finding, finding->field, value))
        return true;
    for (unsigned i = 0; i < finding->source_count; i++) {
        const struct finding_source *source = &finding->sources[i];
        if (hides_whole(redaction, finding, source->field, source->value))
            return true;
    }
    return false;
}

bool redaction_hides(const struct redaction *redaction, const struct record *record,
                     const struct finding *finding)
{
    struct span name = finding->field, kind;
    struct span sample = finding->sample;
    struct span none = { .p = NULL };

    if (sample.len == 0)
        return false;
    if (!span_cut(&name, ':', &kind) || is_secret(redaction, kind, name))
        return true;
    if (listed(derived_kinds, ARRAY_LEN(derived_kinds), kind))
        return !is_score(name, sample) && (!stands_in_source(finding, sample) ||
                                           redaction_hides_logdata(redaction, finding));
    if (name.p == NULL) {
        if (span_equal_nocase(kind, SPAN("query")))
            return hidden_in(redaction, finding, record->query);
        if (!listed(single_values, ARRAY_LEN(single_values), kind))
            return hidden_in(redaction, finding, none);
        return touches(redaction, sample, 0, sample.len);
    }
    if (span_equal_nocase(name, SPAN("referer")))
        return hidden_in(redaction, finding, record->referrer);
    return touches(redaction, sample, 0, sample.len);
}

void redaction_pseudonym(struct text *out, const struct redaction *redaction, struct span value)
{
    uint64_t hash = siphash(&redaction->key, value.p, value.len);
    unsigned char bytes[sizeof(hash)];
    for (size_t i = 0; i < sizeof(bytes); i++)
        bytes[i] = (unsigned char)(hash >> (56 - 8 * i));
    text_lit(out, "<redacted:");
    text_hex(out, bytes, sizeof(bytes));
    text_char(out, '>');
}
