/* The boundary of a multipart body, as Content-Type declares it. */
#include "gateway/http/multipart_parts.h"

static const struct span media = SPAN_INIT("multipart/form-data");
static const struct span parameter = SPAN_INIT("boundary");

static bool is_blank(char c)
{
    return c == ' ' || (c >= '\t' && c <= '\r');
}

/* The first `boundary` in any case, or NULL. */
static const char *find_parameter(struct span text)
{
    for (size_t i = 0; i + parameter.len <= text.len; i++)
        if (span_equal_nocase(span_of(text.p + i, parameter.len), parameter))
            return text.p + i;
    return NULL;
}

/* How many times the word stands there with a `=` somewhere behind it. */
static unsigned count_parameters(struct span text)
{
    unsigned count = 0;

    for (;;) {
        const char *found = find_parameter(text);
        if (found == NULL)
            return count;
        text = span_range(found + parameter.len, span_end(text));
        if (span_index(text, '=') >= 0)
            count++;
    }
}

/* bchars of RFC 2046 section 5.1.1, without the space, which no sane boundary has. */
static bool boundary_valid(struct span boundary)
{
    for (size_t i = 0; i < boundary.len; i++) {
        char c = boundary.p[i];
        bool letter =
            (c >= '0' && c <= '9') || (ascii_lower(c) >= 'a' && ascii_lower(c) <= 'z');
        if (!letter && (c == '\0' || strchr("'()+_,-./:=?", c) == NULL))
            return false;
    }
    return true;
}

/* What stands between the media type and the word: white space and one semicolon. */
static void check_before(struct multipart *m, struct span before)
{
    bool semicolon = false;

    for (size_t i = 0; i < before.len; i++) {
        if (is_blank(before.p[i]))
            continue;
        if (before.p[i] != ';' || semicolon)
            multipart_fail(m, "Multipart: Invalid boundary in C-T (malformed).");
        semicolon = true;
    }
    if (!semicolon)
        multipart_find(m, MULTIPART_MISSING_SEMICOLON);
}

/* Between the word and `=`. */
static void check_between(struct multipart *m, struct span between)
{
    for (size_t i = 0; i < between.len; i++) {
        if (is_blank(between.p[i]))
            multipart_find(m, MULTIPART_BOUNDARY_WHITESPACE);
        else /* RFC 2231 `boundary*0=` is one of these */
            multipart_fail(m, "Multipart: Invalid boundary in C-T (parameter name).");
    }
}

/*
 * The value, which mod_security2 takes to the end of the field. What it refuses is cut as
 * others would cut it, so that there is something to go by.
 */
static struct span boundary_value(struct multipart *m, struct span value)
{
    if (value.len > 0 && is_blank(value.p[0]))
        multipart_find(m, MULTIPART_BOUNDARY_WHITESPACE);
    if (value.len >= 2 && value.p[0] == '"' && value.p[value.len - 1] == '"') {
        multipart_find(m, MULTIPART_BOUNDARY_QUOTED);
        value = span_sub(value, 1, value.len - 2);
    } else if (value.len > 0 && (value.p[0] == '"' || value.p[value.len - 1] == '"')) {
        multipart_fail(m, "Multipart: Invalid boundary in C-T (quote).");
    }
    if (boundary_valid(value))
        return value;

    multipart_fail(m, "Multipart: Invalid boundary in C-T (characters).");
    value = span_trim(value);
    if (value.len > 0 && value.p[0] == '"') {
        value = span_sub(value, 1, value.len);
        ssize_t quote = span_index(value, '"');
        return quote < 0 ? SPAN("") : span_sub(value, 0, (size_t)quote);
    }
    ssize_t semicolon = span_index(value, ';');
    return semicolon < 0 ? value : span_trim(span_sub(value, 0, (size_t)semicolon));
}

static bool take_boundary(struct multipart *m, struct span boundary)
{
    if (boundary.len == 0) {
        multipart_fail(m, "Multipart: Invalid boundary in C-T (empty).");
        return false;
    }
    if (boundary.len > MULTIPART_BOUNDARY_MAX) {
        multipart_fail(m, "Multipart: Invalid boundary in C-T (length).");
        return false;
    }
    if (find_parameter(boundary) != NULL)
        multipart_fail(m, "Multipart: Invalid boundary in C-T (content).");
    m->delimiter[0] = m->delimiter[1] = '-';
    memcpy(m->delimiter + 2, boundary.p, boundary.len);
    m->boundary = span_of(m->delimiter + 2, boundary.len);
    return true;
}

bool multipart_type_read(struct multipart *m, struct span type)
{
    if (type.len > MULTIPART_TYPE_MAX) {
        multipart_fail(m, "Multipart: Invalid boundary in C-T (length).");
        return false;
    }
    if (!span_starts_nocase(type, media)) {
        multipart_fail(m, "Multipart: Invalid MIME type.");
        return false;
    }
    /* Two boundaries make two readings: which one the backend takes nobody knows. */
    if (count_parameters(type) > 1) {
        multipart_fail(m, "Multipart: Multiple boundary parameters in C-T.");
        return false;
    }
    const char *word = find_parameter(span_sub(type, media.len, type.len));
    if (word == NULL) {
        multipart_fail(m, "Multipart: Boundary not found in C-T.");
        return false;
    }
    struct span behind = span_range(word + parameter.len, span_end(type));
    ssize_t equals = span_index(behind, '=');
    if (equals < 0) {
        multipart_fail(m, "Multipart: Boundary not found in C-T.");
        return false;
    }
    if (!span_equal(span_of(word, parameter.len), parameter))
        multipart_fail(m, "Multipart: Invalid boundary in C-T (case sensitivity).");
    check_before(m, span_range(type.p + media.len, word));
    check_between(m, span_sub(behind, 0, (size_t)equals));
    return take_boundary(m,
                         boundary_value(m, span_sub(behind, (size_t)equals + 1, behind.len)));
}
