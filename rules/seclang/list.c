/*
 * The lists that targets and actions stand in: `name`, `name:value`, `name:'value'`, with a
 * comma or a bar between them and white space around. A value without quotes ends at a comma, a
 * bar or white space; in quotes `\'` is a quote and `\\` a backslash, and nothing else may
 * follow a backslash.
 *
 * As mod_security2 reads them; where it lets a mistake pass that cannot be misread, so does
 * this, with a warning.
 */
#include "rules/seclang/parser.h"

static bool separates(char c)
{
    return c == ',' || c == '|';
}

static bool ends_value(char c)
{
    return separates(c) || lex_space(c);
}

static size_t space_at(struct span text, size_t at)
{
    while (at < text.len && lex_space(text.p[at]))
        at++;
    return at;
}

static enum read_pair bad(struct pair_reader *reader, size_t at, size_t len, const char *text)
{
    fault(reader->parser, DIAG_SECLANG_SYNTAX,
          word_place_of(reader->word, span_sub(reader->rest, at, len)), text,
          span_sub(reader->rest, at, len));
    return PAIR_BAD;
}

/* `*at` is behind the opening quote, and then behind the closing one. */
static enum read_pair read_quoted(struct pair_reader *reader, size_t *at, struct span *value)
{
    struct span text = reader->rest;
    size_t start = *at, end = start;
    bool escaped = false;
    for (; end < text.len && text.p[end] != '\''; end++) {
        if (text.p[end] != '\\')
            continue;
        char next = end + 1 < text.len ? text.p[end + 1] : '\0';
        if (next != '\'' && next != '\\')
            return bad(reader, end, 2, "in quotes a backslash stands before ' or \\ only");
        escaped = true;
        end++;
    }
    if (end >= text.len)
        return bad(reader, start - 1, 1, "the quote that begins here is never closed");
    *value = span_sub(text, start, end - start);
    if (value->p == NULL)
        value->p = "";
    *at = end + 1;
    if (!escaped)
        return PAIR_READ;

    char *copy = arena_alloc(reader->parser->arena, value->len);
    if (copy == NULL) {
        out_of_memory(reader->parser);
        return PAIR_BAD;
    }
    size_t len = 0;
    for (size_t i = 0; i < value->len; i++) {
        if (value->p[i] == '\\')
            i++;
        copy[len++] = value->p[i];
    }
    *value = span_of(copy, len);
    return PAIR_READ;
}

/*
 * Where the value that begins at `at` ends. A target's pattern ends with the slash before a
 * separator: mod_security2 wants quotes around one that holds separators itself, others do not.
 */
static size_t value_end(const struct pair_reader *reader, size_t at)
{
    struct span text = reader->rest;
    size_t end = at;
    while (end < text.len && !ends_value(text.p[end]))
        end++;
    bool pattern = reader->targets && text.p[at] == '/';
    if (!pattern || (end - at >= 2 && text.p[end - 1] == '/'))
        return end;
    for (size_t i = end; i < text.len; i++) {
        bool closes = text.p[i] == '/' && (i + 1 == text.len || ends_value(text.p[i + 1]));
        if (closes)
            return i + 1;
    }
    return end;
}

/*
 * From behind a pair to the next name. Behind a value mod_security2 takes any number of
 * separators, and none: rules that have run for years hold both.
 */
static enum read_pair end_pair(struct pair_reader *reader, const struct pair *pair, size_t at)
{
    struct span text = reader->rest;
    bool lenient = pair->value.p != NULL;
    unsigned commas = 0;
    for (at = space_at(text, at); at < text.len && separates(text.p[at]);
         at = space_at(text, at + 1)) {
        if (commas++ > 0 && !lenient)
            return bad(reader, at, 1, "a name is missing before %");
    }
    if (at < text.len && commas == 0) {
        if (!lenient)
            return bad(reader, at, 1, "a comma is missing before %");
        note(reader->parser, DIAG_SECLANG_SYNTAX,
             word_place_of(reader->word, span_sub(text, at, 1)), "a comma is missing before %",
             span_sub(text, at, 1));
    }
    reader->rest = span_sub(text, at, text.len);
    return PAIR_READ;
}

enum read_pair pair_next(struct pair_reader *reader, struct pair *pair)
{
    size_t at = space_at(reader->rest, 0);
    struct span text = reader->rest = span_sub(reader->rest, at, reader->rest.len);
    if (text.len == 0)
        return PAIR_END;

    at = 0;
    while (at < text.len && text.p[at] != ':' && !ends_value(text.p[at]))
        at++;
    *pair = (struct pair){ .name = span_sub(text, 0, at) };
    if (at == 0)
        return bad(reader, 0, 1, "a name is missing before %");

    if (at < text.len && text.p[at] == ':') {
        size_t start = ++at;
        if (at < text.len && text.p[at] == '\'') {
            pair->quoted = true;
            at++;
            if (read_quoted(reader, &at, &pair->value) != PAIR_READ)
                return PAIR_BAD;
        } else if (at < text.len && !ends_value(text.p[at])) {
            at = value_end(reader, at);
            pair->value = span_sub(text, start, at - start);
        }
    }
    pair->whole = span_sub(text, 0, at);
    return end_pair(reader, pair, at);
}
