/*
 * pm, pmFromFile and strmatch: words, in Snort's notation: `|41 42|` is bytes in hexadecimal;
 * `\:`, `\;`, `\"` and `\\` stand for what is behind the backslash. Where a bar has no partner,
 * or anything else stands between two, or behind a backslash, all of the text means itself.
 */
#include "rules/words.h"

#include "gateway/base/file.h"
#include "rules/operator/rows.h"

enum {
    WORD_FILES_MAX = 16, /* in one rule */
    WORD_FILE_BYTES_MAX = 16 * 1024 * 1024,
};

/* ---- notation -------------------------------------------------------------------------------
 */

static bool is_blank(char c)
{
    return c == ' ' || (c >= '\t' && c <= '\r');
}

/* `41 42|` at `*p`: the bytes to `*out`, both moved. */
static bool hex_bytes(const char **p, const char *end, char **out)
{
    const char *at = *p;
    for (; at < end && *at != '|'; at++) {
        if (*at == ' ')
            continue;
        if (end - at < 2 || hex_value(at[0]) < 0 || hex_value(at[1]) < 0)
            return false;
        *(*out)++ = (char)(hex_value(at[0]) << 4 | hex_value(at[1]));
        at++;
    }
    bool closed = at < end && at > *p;
    *p = at + 1;
    return closed;
}

static bool decode_into(struct span text, char **out)
{
    const char *p = text.p, *end = span_end(text);
    while (p < end) {
        char c = *p++;
        if (c == '|') {
            if (!hex_bytes(&p, end, out))
                return false;
        } else if (c == '\\') {
            if (p == end || *p == '\0' || strchr(":;\\\"", *p) == NULL)
                return false;
            *(*out)++ = *p++;
        } else {
            *(*out)++ = c;
        }
    }
    return true;
}

/* What `text` stands for; p NULL: out of memory. */
static struct span decoded(struct span text, struct arena *arena)
{
    if (text.len >= 2 && text.p[0] == '"' && text.p[text.len - 1] == '"')
        text = span_sub(text, 1, text.len - 2);
    char *room = arena_alloc(arena, text.len), *out = room;
    if (room == NULL)
        return span_of(NULL, 0);
    if (decode_into(text, &out))
        return span_range(room, out);
    return text;
}

/* ---- lists ----------------------------------------------------------------------------------
 */

struct list {
    const struct operator_source *source;
    struct span *items;
    size_t count, size;
};

static bool fail(const struct operator_source *source, enum err err)
{
    text_add(source->why, span_text(err_text(err)));
    return false;
}

static bool add(struct list *list, struct span word)
{
    if (word.len > WORD_BYTES_MAX || list->count == WORDS_MAX) {
        text_format(list->source->why,
                    word.len > WORD_BYTES_MAX ? "a word has more than %d bytes"
                                              : "there are more than %d words",
                    word.len > WORD_BYTES_MAX ? WORD_BYTES_MAX : WORDS_MAX);
        return false;
    }
    if (list->count == list->size) {
        size_t size = list->size == 0 ? 64 : list->size * 2;
        struct span *items = arena_array(list->source->arena, struct span, size);
        if (items == NULL)
            return fail(list->source, ERR_MEMORY);
        if (list->count > 0)
            memcpy(items, list->items, list->count * sizeof(*items));
        list->items = items;
        list->size = size;
    }
    list->items[list->count++] = word;
    return true;
}

static bool finish(struct list *list, const void **prepared)
{
    struct words *words = arena_new(list->source->arena, struct words);
    if (words == NULL)
        return fail(list->source, ERR_MEMORY);
    enum err err = words_build(words, list->items, list->count, list->source->arena);
    if (err != OK)
        return fail(list->source, err);
    *prepared = words;
    return true;
}

/* The next run of what is not white space. */
static bool next_word(struct span *rest, struct span *word)
{
    size_t from = 0;
    while (from < rest->len && is_blank(rest->p[from]))
        from++;
    size_t to = from;
    while (to < rest->len && !is_blank(rest->p[to]))
        to++;
    *word = span_sub(*rest, from, to - from);
    *rest = span_sub(*rest, to, rest->len);
    return word->len > 0;
}

bool compile_pm(const struct operator_source *source, const void **prepared)
{
    struct list list = { .source = source };
    struct span rest = decoded(source->argument, source->arena), word;
    if (rest.p == NULL)
        return fail(source, ERR_MEMORY);
    while (next_word(&rest, &word)) {
        if (!add(&list, word))
            return false;
    }
    return finish(&list, prepared);
}

/* One word a line, white space around it left out; empty lines and those with a # first too. */
static bool add_lines(struct list *list, struct span text)
{
    struct span rest = text, line;
    while (span_cut(&rest, '\n', &line)) {
        while (line.len > 0 && is_blank(line.p[line.len - 1]))
            line.len--;
        while (line.len > 0 && is_blank(line.p[0]))
            line = span_sub(line, 1, line.len);
        if (line.len == 0 || line.p[0] == '#')
            continue;
        struct span word = decoded(line, list->source->arena);
        if (word.p == NULL)
            return fail(list->source, ERR_MEMORY);
        if (word.len > 0 && !add(list, word))
            return false;
    }
    return true;
}

bool compile_pm_from_file(const struct operator_source *source, const void **prepared)
{
    struct list list = { .source = source };
    struct span rest = source->argument, path, text;
    for (unsigned files = 0; next_word(&rest, &path); files++) {
        if (files == WORD_FILES_MAX) {
            text_format(source->why, "there are more than %d files", WORD_FILES_MAX);
            return false;
        }
        if (!read_operator_file(source, path, WORD_FILE_BYTES_MAX, &text) ||
            !add_lines(&list, text))
            return false;
    }
    return finish(&list, prepared);
}

bool eval_pm(const struct operator_call *call, struct operator_match *match)
{
    size_t offset;
    const struct span *word = words_find(call->prepared, call->value, &offset);
    if (word == NULL)
        return false;
    (void)matched(match, offset, word->len);
    match->captured = *word;
    return true;
}

/* ---- strmatch -------------------------------------------------------------------------------
 */

bool compile_strmatch(const struct operator_source *source, const void **prepared)
{
    struct span *needle = arena_new(source->arena, struct span);
    if (needle == NULL)
        return fail(source, ERR_MEMORY);
    *needle = decoded(source->argument, source->arena);
    if (needle->p == NULL)
        return fail(source, ERR_MEMORY);
    *prepared = needle;
    return true;
}

bool eval_strmatch(const struct operator_call *call, struct operator_match *match)
{
    const struct span *needle = call->prepared;
    ssize_t at = span_find(call->value, *needle);
    return at >= 0 && matched(match, (size_t)at, needle->len);
}
