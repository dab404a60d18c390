/*
 * The lexer. A cursor walks the bytes of a statement and steps over continuations; everything
 * that reads characters, and everything that finds their places again, goes through it.
 */
#include "rules/seclang/lex.h"

#include "rules/seclang/program.h"

struct cursor {
    const char *p, *end;
};

enum { CURSOR_END = -1 };

bool lex_space(char c)
{
    return c == ' ' || (c >= '\t' && c <= '\r');
}

/* The bytes of a continuation at `p`: a backslash and the end of its line. */
static size_t continuation(const char *p, const char *end)
{
    if (end - p >= 2 && p[0] == '\\' && p[1] == '\n')
        return 2;
    if (end - p >= 3 && p[0] == '\\' && p[1] == '\r' && p[2] == '\n')
        return 3;
    return 0;
}

static int peek(struct cursor *c)
{
    for (size_t n; (n = continuation(c->p, c->end)) > 0;)
        c->p += n;
    return c->p < c->end ? (unsigned char)*c->p : CURSOR_END;
}

/* The next character of a word, escapes undone. */
static int take(struct cursor *c, char quote)
{
    int first = peek(c);
    if (first == CURSOR_END)
        return first;
    c->p++;
    if (first != '\\')
        return first;
    int second = peek(c);
    if (second == '\\' || (quote != '\0' && second == quote)) {
        c->p++;
        return second;
    }
    return first;
}

/* How many bytes stand from here on, `most` at most, that are what they say: no escape, no
 * continuation. */
static size_t plain_run(const struct cursor *c, size_t most)
{
    size_t left = (size_t)(c->end - c->p);
    size_t len = left < most ? left : most;
    const char *found = len > 0 ? memchr(c->p, '\\', len) : NULL;
    return found != NULL ? (size_t)(found - c->p) : len;
}

/* Takes `count` characters, or those that are left. */
static void pass(struct cursor *c, char quote, size_t count)
{
    while (count > 0) {
        size_t run = plain_run(c, count);
        c->p += run;
        count -= run;
        if (count > 0 && take(c, quote) == CURSOR_END)
            return;
        count -= count > 0;
    }
}

static void skip_space(struct cursor *c)
{
    for (int ch; (ch = peek(c)) != CURSOR_END && lex_space((char)ch);)
        c->p++;
}

/* ---- places ---- */

static unsigned count_lines(const char *p, const char *end)
{
    unsigned lines = 0;
    while (p < end && (p = memchr(p, '\n', (size_t)(end - p))) != NULL) {
        lines++;
        p++;
    }
    return lines;
}

static struct place place_on(const struct word *word, unsigned line, const char *from,
                             const char *to)
{
    struct span text = word->source->text;
    const char *start = from, *stop = from;
    while (start > text.p && start[-1] != '\n')
        start--;
    while (stop < to && *stop != '\n')
        stop++;
    size_t width = utf8_count(span_range(from, stop));
    return (struct place){
        .source = word->source,
        .line = line,
        .column = (unsigned)utf8_count(span_range(start, from)) + 1,
        .width = width > 0 ? (unsigned)width : 1,
        .offset = (size_t)(from - text.p),
        .length = (size_t)(to - from),
    };
}

static struct place place_at(const struct word *word, const char *from, const char *to)
{
    return place_on(word, word->line + count_lines(word->raw.p, from), from, to);
}

/* `from` is not before the mark, which is then there. */
static struct place place_from(const struct word *word, struct word_mark *mark, size_t from,
                               size_t len)
{
    if (mark->p == NULL)
        *mark = (struct word_mark){ .p = word->raw.p, .line = word->line };
    struct cursor c = { mark->p, span_end(word->raw) };
    pass(&c, word->quote, from > mark->at ? from - mark->at : 0);
    (void)peek(&c);
    unsigned line = mark->line + count_lines(mark->p, c.p);
    *mark = (struct word_mark){ .p = c.p, .at = from, .line = line };
    pass(&c, word->quote, len);
    return place_on(word, line, mark->p, c.p);
}

struct place word_place(const struct word *word, size_t from, size_t len)
{
    struct word_mark mark = { .p = NULL };
    return place_from(word, &mark, from, len);
}

struct place word_place_next(const struct word *word, struct span part, struct word_mark *mark)
{
    struct word_mark start = { .p = NULL };
    uintptr_t at = (uintptr_t)part.p, base = (uintptr_t)word->text.p;
    if (at < base || at - base > word->text.len || part.len > word->text.len - (at - base))
        return word_place(word, 0, word->text.len);
    return place_from(word, at - base < mark->at ? &start : mark, at - base, part.len);
}

struct place word_place_of(const struct word *word, struct span part)
{
    struct word_mark mark = { .p = NULL };
    return word_place_next(word, part, &mark);
}

/* ---- words ---- */

static bool fault_at(struct lexer *lexer, const struct word *word, const char *sentence)
{
    lexer->fault = sentence;
    lexer->place = place_at(word, word->raw.p, span_end(word->raw));
    return false;
}

/* `word->raw` is where its bytes stand; makes its text. False: no memory. */
static bool unescape(struct lexer *lexer, struct word *word)
{
    word->text = word->raw;
    if (span_index(word->raw, '\\') < 0)
        return true;
    char *to = arena_alloc(lexer->arena, word->raw.len);
    if (to == NULL)
        return false;
    word->text = span_of(to, 0);
    struct cursor c = { word->raw.p, span_end(word->raw) };
    for (;;) {
        size_t run = plain_run(&c, word->raw.len);
        memcpy(to + word->text.len, c.p, run);
        word->text.len += run;
        c.p += run;
        int ch = take(&c, word->quote);
        if (ch == CURSOR_END)
            return true;
        to[word->text.len++] = (char)ch;
    }
}

/* The bytes of the word at the cursor, which is not white space. */
static bool find_word(struct lexer *lexer, struct cursor *c, struct word *word)
{
    int first = peek(c);
    word->quote = first == '"' || first == '\'' ? (char)first : '\0';
    if (word->quote != '\0')
        c->p++;
    word->source = lexer->source;
    word->raw = span_of(c->p, 0);
    for (int ch; (ch = peek(c)) != CURSOR_END;) {
        bool ends = word->quote != '\0' ? ch == word->quote : lex_space((char)ch);
        if (ends)
            break;
        (void)take(c, word->quote);
        while (word->quote != '\0' && c->p < c->end && *c->p != word->quote && *c->p != '\\')
            c->p++;
    }
    word->raw.len = (size_t)(c->p - word->raw.p);
    if (word->quote == '\0')
        return true;
    if (c->p == c->end)
        return fault_at(lexer, word, "the quote that begins here is never closed");
    c->p++;
    return true;
}

/* <Name and Name> are told apart from the name and the last word. */
static bool make_block(struct lexer *lexer, struct statement *statement, struct word *words)
{
    struct word *name = &statement->name;
    if (name->quote != '\0' || !span_starts(name->text, SPAN("<")))
        return true;
    struct word *last = statement->count > 0 ? &words[statement->count - 1] : name;
    if (!span_ends(last->text, SPAN(">")) || name->text.len < 2)
        return fault_at(lexer, name, "a block's first line ends in >");
    last->text.len--;
    statement->block = BLOCK_OPEN;
    name->text = span_sub(name->text, 1, name->text.len);
    if (span_starts(name->text, SPAN("/"))) {
        statement->block = BLOCK_CLOSE;
        name->text = span_sub(name->text, 1, name->text.len);
    }
    while (statement->count > 0 && last->text.len == 0) {
        statement->count--;
        last = &words[statement->count > 0 ? statement->count - 1 : 0];
    }
    return true;
}

/* ---- statements ---- */

struct lexer lexer_of(const struct source *source, struct arena *arena)
{
    return (struct lexer){ .source = source, .arena = arena, .line = 1 };
}

/* Cuts the next line and its continuations off. */
static struct span next_lines(struct lexer *lexer, unsigned *line)
{
    struct span text = lexer->source->text;
    size_t start = lexer->at, end = start;
    *line = lexer->line;
    for (;;) {
        const char *found = end < text.len ? memchr(text.p + end, '\n', text.len - end) : NULL;
        if (found == NULL) {
            end = lexer->at = text.len;
            break;
        }
        lexer->line++;
        end = lexer->at = (size_t)(found - text.p) + 1;
        size_t back = end - 1;
        if (back > start && text.p[back - 1] == '\r')
            back--;
        if (back == start || text.p[back - 1] != '\\')
            break;
    }
    return span_of(text.p + start, end - start);
}

/* Reads all words of the lines: the first is the name. */
static enum lexed read_words(struct lexer *lexer, struct cursor *c, unsigned line,
                             struct statement *statement)
{
    struct word *words = NULL;
    unsigned count = 0, room = 0;
    const char *seen = c->p;

    for (skip_space(c); peek(c) != CURSOR_END; skip_space(c)) {
        if (count == room) {
            unsigned more = room == 0 ? 8 : room * 2;
            struct word *grown = arena_array(lexer->arena, struct word, more);
            if (grown == NULL)
                return LEXED_MEMORY;
            if (count > 0)
                memcpy(grown, words, count * sizeof *words);
            words = grown;
            room = more;
        }
        struct word *word = &words[count];
        line += count_lines(seen, c->p);
        seen = c->p;
        word->line = line;
        if (!find_word(lexer, c, word))
            return LEXED_FAULT;
        if (count++ == SECLANG_WORDS_MAX + 1) { /* the name is not counted */
            (void)fault_at(lexer, word, "there are too many words in this line");
            return LEXED_FAULT;
        }
        if (!unescape(lexer, word))
            return LEXED_MEMORY;
    }
    if (count == 0)
        return LEXED_END;
    statement->name = words[0];
    statement->words = words + 1;
    statement->count = count - 1;
    return make_block(lexer, statement, words + 1) ? LEXED_STATEMENT : LEXED_FAULT;
}

enum lexed lex_next(struct lexer *lexer, struct statement *statement)
{
    while (lexer->at < lexer->source->text.len) {
        unsigned line;
        struct span lines = next_lines(lexer, &line);
        struct cursor c = { lines.p, span_end(lines) };
        const char *seen = c.p;
        skip_space(&c);
        if (peek(&c) == '#' || peek(&c) == CURSOR_END)
            continue;
        *statement = (struct statement){ .block = BLOCK_NONE };
        line += count_lines(seen, c.p);
        if (lines.len > SECLANG_LINE_BYTES_MAX) {
            struct word word = { .raw = span_of(c.p, 1),
                                 .source = lexer->source,
                                 .line = line };
            (void)fault_at(lexer, &word, "the line and its continuations are too long");
            return LEXED_FAULT;
        }
        enum lexed lexed = read_words(lexer, &c, line, statement);
        if (lexed != LEXED_END)
            return lexed;
    }
    return LEXED_END;
}

struct span rule_text(const struct sec_rule *rule)
{
    struct lexer lexer = { .source = rule->place.source, .at = rule->place.offset };
    unsigned line;
    struct span text = next_lines(&lexer, &line);
    while (text.len > 0 && lex_space(text.p[text.len - 1]))
        text.len--;
    return text;
}
