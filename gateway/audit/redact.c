/*
 * What may not be shown: values of secret parameters, credentials, cookies.
 *
 * In doubt a value is hidden. Names are compared as an application would read them:
 * percent-decoded, in any case, and each part of `user[password]` by itself. Where a sample
 * comes from a text that holds many values, it is shown only if its place in that text is known
 * and no secret name stands before it.
 */
#include "gateway/audit/record.h"

enum { NAME_BYTES_MAX = 256 }; /* a longer name counts as secret: it cannot be compared */

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
    return false;
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
    if (span_index(text, '%') >= 0 || span_index(text, '\\') >= 0 || span_index(text, '&') >= 0)
        return true;
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

bool redaction_hides(const struct redaction *redaction, const struct record *record,
                     const struct finding *finding)
{
    struct span name = finding->field, kind;
    struct span sample = finding->sample;
    struct span none = { .p = NULL };

    if (sample.len == 0)
        return false;
    if (!span_cut(&name, ':', &kind))
        return true;
    if (name.p == NULL) {
        if (span_equal_nocase(kind, SPAN("query")))
            return hidden_in(redaction, finding, record->query);
        if (!listed(single_values, ARRAY_LEN(single_values), kind))
            return hidden_in(redaction, finding, none);
        return touches(redaction, sample, 0, sample.len);
    }
    if (listed(secret_kinds, ARRAY_LEN(secret_kinds), kind) ||
        listed(secret_fields, ARRAY_LEN(secret_fields), name) ||
        redaction_covers(redaction, name))
        return true;
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
