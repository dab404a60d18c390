/* Patterns in pieces: large ones in two, at their longest alternation; and alternatives. */
#include "rules/engine/split.h"

#include "gateway/base/text.h"

enum { DEPTH_MAX = 64 };

/* An alternation: what is inside of one group, or the whole pattern. */
struct alternation {
    size_t from, to; /* of the alternatives */
    size_t middle;   /* the bar nearest to the half */
    bool found;
};

struct open_group {
    size_t from;
    bool cuttable;
};

/* ---- walking --------------------------------------------------------------------------------
 */

static size_t behind_class(struct span s, size_t i)
{
    i++;
    if (i < s.len && s.p[i] == '^')
        i++;
    if (i < s.len && s.p[i] == ']')
        i++;
    while (i < s.len && s.p[i] != ']') {
        if (s.p[i] == '\\') {
            i += 2;
        } else if (s.p[i] == '[' && i + 1 < s.len && s.p[i + 1] == ':') {
            ssize_t closing = span_find(span_sub(s, i, s.len), SPAN(":]"));
            i += closing > 0 ? (size_t)closing + 2 : 1;
        } else {
            i++;
        }
    }
    return i + 1;
}

/* The unit at `i`: an escape, a class, or one byte. */
static size_t behind(struct span s, size_t i)
{
    size_t next = i + 1;
    if (s.p[i] == '\\')
        next = i + 2;
    else if (s.p[i] == '[')
        next = behind_class(s, i);
    return next < s.len ? next : s.len;
}

/* ---- what is better left whole --------------------------------------------------------------
 */

/* Back references: numbers would change their meaning. */
static bool refers_back(struct span escape)
{
    return escape.len > 1 && ((escape.p[1] >= '1' && escape.p[1] <= '9') ||
                              escape.p[1] == 'g' || escape.p[1] == 'k');
}

/* `(?i)`, `(?i-s:`: where its letters end; `from` when there are none. */
static size_t behind_letters(struct span s, size_t from)
{
    size_t i = from;
    while (i < s.len && ((s.p[i] >= 'a' && s.p[i] <= 'z') || s.p[i] == '-' || s.p[i] == '^'))
        i++;
    return i;
}

/* A group that is a comment or an order to the engine, that makes blanks and comments possible,
 * or whose flags hold for the alternatives behind it too. */
static bool is_odd_group(struct span s, size_t i, bool leading)
{
    if (i + 1 < s.len && s.p[i + 1] == '*')
        return true;
    if (i + 2 >= s.len || s.p[i + 1] != '?')
        return false;
    size_t end = behind_letters(s, i + 2);
    if (s.p[i + 2] == '#' || (end < s.len && memchr(s.p + i, 'x', end - i) != NULL))
        return true;
    return end > i + 2 && end < s.len && s.p[end] == ')' && !leading;
}

/* Flags that hold to the pattern's end, such as (?i), stay before every half. */
static size_t behind_flags(struct span s)
{
    size_t i = 0;
    while (i + 2 < s.len && s.p[i] == '(' && s.p[i + 1] == '?') {
        size_t end = behind_letters(s, i + 2);
        if (end == i + 2 || end >= s.len || s.p[end] != ')')
            break;
        i = end + 1;
    }
    return i;
}

static bool is_odd(struct span s)
{
    size_t flags = behind_flags(s);
    if (span_find(s, SPAN("\\Q")) >= 0)
        return true;
    for (size_t i = 0; i < s.len; i = behind(s, i)) {
        if (s.p[i] == '\\' && refers_back(span_sub(s, i, 2)))
            return true;
        if (s.p[i] == '(' && is_odd_group(s, i, i < flags))
            return true;
    }
    return false;
}

/* ---- groups ---------------------------------------------------------------------------------
 */

/* Where the alternatives of the group at `i` begin; `*cuttable`: it only groups. */
static size_t inside(struct span s, size_t i, bool *cuttable)
{
    *cuttable = true;
    i++;
    if (i >= s.len || s.p[i] != '?')
        return i;
    if (i + 1 < s.len && s.p[i + 1] == ':')
        return i + 2;
    *cuttable = false;
    return i;
}

static bool quantified(struct span s, size_t i)
{
    return i < s.len && memchr("?*+{", s.p[i], 4) != NULL;
}

/* The bar nearest to the middle of s[from, to), outside of groups in it. */
static bool middle_bar(struct span s, struct alternation *a)
{
    size_t half = a->from + (a->to - a->from) / 2;
    unsigned depth = 0;
    bool found = false;
    for (size_t i = a->from; i < a->to; i = behind(s, i)) {
        if (s.p[i] == '(')
            depth++;
        else if (s.p[i] == ')' && depth > 0)
            depth--;
        else if (s.p[i] == '|' && depth == 0 && (!found || i <= half)) {
            a->middle = i;
            found = true;
        }
    }
    return found;
}

static void consider(struct span s, struct alternation *best, size_t from, size_t to)
{
    struct alternation a = { .from = from, .to = to, .found = true };
    if ((!best->found || to - from > best->to - best->from) && middle_bar(s, &a))
        *best = a;
}

/* Of the alternation at the top, or else of the groups there: inside of something that is
 * repeated or only looked at nothing may be cut. */
static struct alternation longest(struct span s)
{
    struct alternation best = { .found = false };
    struct open_group open[DEPTH_MAX];
    unsigned depth = 0;
    consider(s, &best, behind_flags(s), s.len);
    if (best.found)
        return best;
    for (size_t i = behind_flags(s); i < s.len; i = behind(s, i)) {
        if (s.p[i] == '(' && depth == DEPTH_MAX)
            return (struct alternation){ .found = false };
        if (s.p[i] == '(') {
            open[depth].from = inside(s, i, &open[depth].cuttable);
            depth++;
        } else if (s.p[i] == ')' && depth > 0 && --depth == 0 && open[0].cuttable &&
                   !quantified(s, i + 1)) {
            consider(s, &best, open[0].from, i);
        }
    }
    return best;
}

bool pattern_split(struct span source, struct arena *arena, struct span halves[2])
{
    if (is_odd(source))
        return false;
    struct alternation cut = longest(source);
    if (!cut.found)
        return false;
    for (unsigned i = 0; i < 2; i++) {
        struct text text = text_growing(arena, source.len + 1);
        text_add(&text, span_sub(source, 0, cut.from));
        if (i == 0)
            text_add(&text, span_range(source.p + cut.from, source.p + cut.middle));
        else
            text_add(&text, span_range(source.p + cut.middle + 1, source.p + cut.to));
        text_add(&text, span_sub(source, cut.to, source.len));
        if (text.overflow)
            return false;
        halves[i] = text_span(&text);
    }
    return true;
}

/* ---- alternatives ---------------------------------------------------------------------------
 */

/* `(?i:` and the like: the colon; 0: it is no such group. */
static size_t behind_group_flags(struct span s, size_t i)
{
    if (i + 2 >= s.len || s.p[i + 1] != '?')
        return 0;
    size_t end = behind_letters(s, i + 2);
    return end < s.len && s.p[end] == ':' ? end + 1 : 0;
}

/* Goes into the group that is all of s[*from, *to); false: there is none, or it does more than
 * group and set flags. */
static bool enter(struct span s, size_t *from, size_t *to)
{
    unsigned depth = 0;
    size_t i = *from;
    bool cuttable;
    if (i >= *to || s.p[i] != '(' || s.p[*to - 1] != ')')
        return false;
    for (; i < *to; i = behind(s, i)) {
        depth += s.p[i] == '(';
        if (s.p[i] == ')' && --depth == 0)
            break;
    }
    if (i + 1 != *to)
        return false;
    size_t flags = behind_group_flags(s, *from), begin = inside(s, *from, &cuttable);
    if (flags == 0 && !cuttable)
        return false;
    *from = flags > 0 ? flags : begin;
    *to = i;
    return true;
}

/* False: there are too many, or but one. */
static bool list_alternatives(struct span s, size_t from, size_t to,
                              struct split_alternatives *out)
{
    unsigned depth = 0;
    size_t begin = from;
    out->count = 0;
    for (size_t i = from; i < to; i = behind(s, i)) {
        depth += s.p[i] == '(';
        depth -= s.p[i] == ')';
        if (s.p[i] != '|' || depth > 0)
            continue;
        if (out->count == SPLIT_ALTERNATIVES_MAX - 1)
            return false;
        out->items[out->count++] = span_range(s.p + begin, s.p + i);
        begin = i + 1;
    }
    out->items[out->count++] = span_range(s.p + begin, s.p + to);
    return out->count > 1;
}

bool pattern_alternatives(struct span source, struct split_alternatives *out)
{
    size_t from = behind_flags(source), to = source.len;
    if (is_odd(source))
        return false;
    while (!list_alternatives(source, from, to, out)) {
        if (out->count > 1 || !enter(source, &from, &to))
            return false;
    }
    out->before = span_sub(source, 0, from);
    out->behind = span_sub(source, to, source.len);
    return true;
}
