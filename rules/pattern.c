/* One pattern: rewriting, and what Hyperscan says about it. */
#include "rules/pattern.h"

#include <hs/hs_compile.h>
#include <stdlib.h>

/* ---- rewriting ------------------------------------------------------------------------------
 */

/* The whole character class at `p`, which is its `[`. */
static const char *skip_class(const char *p, const char *end)
{
    p++;
    if (p < end && *p == '^')
        p++;
    if (p < end && *p == ']') /* a first `]` is a member */
        p++;
    while (p < end && *p != ']') {
        if (*p == '\\' && end - p >= 2) {
            p += 2;
        } else if (*p == '[' && end - p >= 2 && p[1] == ':') {
            const char *closing = memmem(p, (size_t)(end - p), ":]", 2);
            p = closing != NULL ? closing + 2 : p + 1;
        } else {
            p++;
        }
    }
    return p < end ? p + 1 : end;
}

/* An escape at `p`, \Q...\E being one. */
static const char *skip_escape(const char *p, const char *end)
{
    if (end - p < 2)
        return end;
    if (p[1] != 'Q')
        return p + 2;
    const char *closing = memmem(p, (size_t)(end - p), "\\E", 2);
    return closing != NULL ? closing + 2 : end;
}

/* (?m), (?im-s) and (?m:...) make `$` the end of a line, which then stays what it is. */
static bool sets_multiline(struct span source)
{
    for (size_t i = 0; i + 2 < source.len; i++) {
        if (source.p[i] != '(' || source.p[i + 1] != '?')
            continue;
        for (size_t j = i + 2; j < source.len && source.p[j] >= 'a' && source.p[j] <= 'z';
             j++) {
            if (source.p[j] == 'm')
                return true;
        }
    }
    return false;
}

/* `$` outside of classes and quotations becomes \z. */
static void rewrite(struct text *out, struct span source)
{
    const char *p = source.p, *end = span_end(source);
    bool lines = sets_multiline(source);
    while (p < end) {
        const char *from = p;
        if (*p == '[')
            p = skip_class(p, end);
        else if (*p == '\\')
            p = skip_escape(p, end);
        else
            p++;
        if (!lines && p - from == 1 && *from == '$')
            text_lit(out, "\\z");
        else
            text_add(out, span_range(from, p));
    }
}

/*
 * Whether the pattern is plainly tied to the start of the value: it begins with `^` (behind
 * flags such as (?i)) and has no alternative, which would not be tied.
 */
static bool tied_to_start(struct span source)
{
    if (sets_multiline(source) || span_index(source, '|') >= 0)
        return false;
    const char *p = source.p, *end = span_end(source);
    if (end - p > 2 && p[0] == '(' && p[1] == '?') {
        p += 2;
        while (p < end && *p >= 'a' && *p <= 'z')
            p++;
        if (p == end || *p != ')')
            return false;
        p++;
    }
    size_t len = p < end && *p == '^' ? 1 : 2;
    if (len == 2 && (end - p < 2 || p[0] != '\\' || p[1] != 'A'))
        return false;
    /* `^?` is no tie. */
    return (size_t)(end - p) > len && strchr("?*+{", p[len]) == NULL;
}

/* ---- lines ----------------------------------------------------------------------------------
 */

/* (?m) and (?-m): lines have a meaning of their own. */
static bool speaks_of_lines(struct span text)
{
    for (size_t i = 0; i + 2 < text.len; i++) {
        if (text.p[i] != '(' || text.p[i + 1] != '?')
            continue;
        size_t j = i + 2;
        while (j < text.len && ((text.p[j] >= 'a' && text.p[j] <= 'z') || text.p[j] == '-')) {
            if (text.p[j++] == 'm')
                return true;
        }
    }
    return false;
}

/* Whether an edge of the value may be meant anywhere: `^` does not mean that only right behind
 * the bracket of a class. Taking a byte of a class for it does no harm. */
static bool may_be_tied(struct span text)
{
    for (size_t i = 0; i < text.len; i++) {
        char before = i > 0 ? text.p[i - 1] : '\0';
        bool escaped = i > 1 && text.p[i - 2] == '\\';
        if (text.p[i] == '$' || (text.p[i] == '^' && (before != '[' || escaped)) ||
            (before == '\\' && memchr("AzZ", text.p[i], 3) != NULL))
            return true;
    }
    return false;
}

const char *pattern_for_lines(const char *pattern, struct arena *arena, bool *tied)
{
    struct span text = span_text(pattern);
    *tied = may_be_tied(text);
    if (speaks_of_lines(text) || span_find(text, SPAN("\\Q")) >= 0 ||
        span_find(text, SPAN("\\G")) >= 0 || span_find(text, SPAN("(*")) >= 0)
        return NULL;
    if (!*tied)
        return pattern;
    struct text out = text_growing(arena, text.len + 1);
    const char *p = text.p, *end = span_end(text);
    while (p < end) {
        const char *from = p;
        p = *p == '[' ? skip_class(p, end) : *p == '\\' ? skip_escape(p, end) : p + 1;
        bool escape = *from == '\\' && p - from == 2;
        if (escape && (from[1] == 'z' || from[1] == 'Z'))
            text_char(&out, '$');
        else if (escape && from[1] == 'A')
            text_char(&out, '^');
        else
            text_add(&out, span_range(from, p));
    }
    return text_cstring(&out);
}

/* ---- what Hyperscan says --------------------------------------------------------------------
 */

static bool refused(hs_compile_error_t *error, struct text *why)
{
    const char *said = error != NULL ? error->message : "out of memory";
    size_t len = strlen(said);
    text_add(why, span_of(said, len > 0 && said[len - 1] == '.' ? len - 1 : len));
    if (error != NULL)
        hs_free_compile_error(error);
    return false;
}

bool pattern_rewrite(struct span source, bool caseless, struct arena *arena,
                     struct pattern_info *info, struct text *why)
{
    if (source.len == 0 || source.len > PATTERN_BYTES_MAX ||
        memchr(source.p, '\0', source.len) != NULL) {
        text_lit(why, "it is empty, too long, or has a NUL byte");
        return false;
    }
    struct text text = text_growing(arena, source.len + 64);
    rewrite(&text, source);
    *info = (struct pattern_info){
        .text = text_cstring(&text),
        .flags = HS_FLAG_DOTALL | HS_FLAG_SINGLEMATCH | (caseless ? HS_FLAG_CASELESS : 0),
        .at_start = tied_to_start(source),
    };
    return info->text != NULL || refused(NULL, why);
}

bool pattern_ask(struct pattern_info *info, struct text *why, bool *memory)
{
    hs_expr_info_t *said = NULL;
    hs_compile_error_t *error = NULL;
    if (hs_expression_info(info->text, info->flags, &said, &error) != HS_SUCCESS) {
        *memory = error == NULL || strstr(error->message, "allocate") != NULL;
        return refused(error, why);
    }
    *memory = false;
    info->shortest = said->min_width;
    info->at_end = said->matches_only_at_eod != 0;
    free(said);
    /* Also `a*`: it would match everything. */
    if (info->shortest == 0) {
        text_lit(why, "it matches the empty text");
        return false;
    }
    return true;
}

bool pattern_read(struct span source, bool caseless, struct arena *arena,
                  struct pattern_info *info, struct text *why)
{
    bool memory;
    return pattern_rewrite(source, caseless, arena, info, why) &&
           pattern_ask(info, why, &memory);
}

bool pattern_check(struct span source, struct arena *arena, struct text *why)
{
    struct pattern_info info;
    if (!pattern_read(source, false, arena, &info, why))
        return false;
    hs_database_t *db = NULL;
    hs_compile_error_t *error = NULL;
    if (hs_compile(info.text, info.flags, HS_MODE_BLOCK, NULL, &db, &error) != HS_SUCCESS)
        return refused(error, why);
    hs_free_database(db);
    return true;
}
