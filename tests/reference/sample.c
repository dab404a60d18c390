/* A walk through a pattern that writes what it reads. */
#include "tests/reference/sample.h"

enum { DEPTH_MAX = 40, REPEAT_MAX = 4, SET_BYTES = 256, ENDLESS = 1000000 };

uint64_t dice_roll(struct dice *dice)
{
    uint64_t z = dice->state += 0x9e3779b97f4a7c15;
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9;
    z = (z ^ z >> 27) * 0x94d049bb133111eb;
    return z ^ z >> 31;
}

unsigned dice_below(struct dice *dice, unsigned sides)
{
    return sides == 0 ? 0 : (unsigned)(dice_roll(dice) % sides);
}

bool dice_chance(struct dice *dice, unsigned percent)
{
    return dice_below(dice, 100) < percent;
}

struct walk {
    struct text *out;
    struct dice *dice;
    unsigned depth;
};

static void alternatives(struct walk *w, const char *p, const char *end);

/* ---- sets of bytes --------------------------------------------------------------------------
 */

static void add_range(bool *set, int from, int to)
{
    for (int c = from; c <= to; c++)
        set[c] = true;
}

/* `\d`, `\S` and so on. False: it is none of these. */
static bool add_class(bool *set, char letter)
{
    bool inside[SET_BYTES] = { false };
    char kind = ascii_lower(letter);
    if (kind == 'd') {
        add_range(inside, '0', '9');
    } else if (kind == 'w') {
        add_range(inside, '0', '9');
        add_range(inside, 'A', 'Z');
        add_range(inside, 'a', 'z');
        inside['_'] = true;
    } else if (kind == 's') {
        add_range(inside, '\t', '\r');
        inside[' '] = true;
    } else {
        return false;
    }
    for (int c = 0; c < SET_BYTES; c++) {
        if (inside[c] == (kind == letter) && (kind == letter || (c >= ' ' && c < 0x7f)))
            set[c] = true;
    }
    return true;
}

/* The byte that the escape at `*p` (behind the backslash) stands for; moves `*p`. */
static int escape_byte(const char **p, const char *end)
{
    static const char letters[] = "nrtfvae", bytes[] = "\n\r\t\f\v\a\x1b";
    char c = *(*p)++;
    if (c == 'x') {
        int value = 0, digits = 0;
        bool braces = *p < end && **p == '{';
        *p += braces;
        for (; *p < end && digits < 2 && hex_value(**p) >= 0; digits++)
            value = value << 4 | hex_value(*(*p)++);
        while (braces && *p < end && *(*p)++ != '}') {
        }
        return value;
    }
    const char *at = c == '\0' ? NULL : strchr(letters, c);
    return at != NULL ? (unsigned char)bytes[at - letters] : (unsigned char)c;
}

/* One of `[[:alpha:]]` behind the bracket: taken as letters. */
static const char *posix_class(const char *p, const char *end, bool *set)
{
    const char *stop = p;
    while (end - stop >= 2 && !(stop[0] == ':' && stop[1] == ']'))
        stop++;
    add_range(set, 'a', 'z');
    return end - stop >= 2 ? stop + 2 : end;
}

/* What stands at `*p` in a set; -1: a class was added. */
static int set_item(const char **p, const char *end, bool *set)
{
    if (**p == '[' && end - *p > 1 && (*p)[1] == ':') {
        *p = posix_class(*p + 2, end, set);
        return -1;
    }
    if (**p != '\\' || end - *p < 2)
        return (unsigned char)*(*p)++;
    ++*p;
    if (add_class(set, **p)) {
        ++*p;
        return -1;
    }
    if (**p == 'b') {
        ++*p;
        return '\b';
    }
    return escape_byte(p, end);
}

/* Behind the opening bracket; answers what is behind the closing one. */
static const char *read_set(const char *p, const char *end, bool *set)
{
    bool negated = p < end && *p == '^', inside[SET_BYTES] = { false };
    const char *start = p += negated;
    while (p < end && (*p != ']' || p == start)) {
        int from = set_item(&p, end, inside);
        if (from < 0)
            continue;
        int to = from;
        if (end - p >= 2 && *p == '-' && p[1] != ']') {
            p++;
            to = set_item(&p, end, inside);
        }
        add_range(inside, from, to < from ? from : to);
    }
    for (int c = 0; c < SET_BYTES; c++)
        set[c] = negated ? !inside[c] && c >= ' ' && c < 0x7f : inside[c];
    return p < end ? p + 1 : end;
}

static void put_of(struct walk *w, const bool *set)
{
    unsigned count = 0;
    for (int c = 0; c < SET_BYTES; c++)
        count += set[c];
    unsigned at = dice_below(w->dice, count);
    for (int c = 0; c < SET_BYTES; c++) {
        if (set[c] && at-- == 0) {
            text_char(w->out, (char)c);
            return;
        }
    }
}

/* ---- atoms ----------------------------------------------------------------------------------
 */

/* Behind the atom that begins at `p`. */
static const char *atom_end(const char *p, const char *end)
{
    bool set[SET_BYTES];
    if (*p == '\\')
        return end - p >= 2 ? p + 2 : end;
    if (*p == '[')
        return read_set(p + 1, end, set);
    if (*p != '(')
        return p + 1;
    for (unsigned depth = 0; p < end;) {
        if (*p == '(') {
            depth++;
            p++;
        } else if (*p == ')') {
            p++;
            if (--depth == 0)
                return p;
        } else {
            p = atom_end(p, end);
        }
    }
    return end;
}

/* Between the parentheses. */
static void group(struct walk *w, const char *p, const char *end)
{
    if (end - p >= 2 && p[0] == '?') {
        if (p[1] == '=' || p[1] == '!' || (p[1] == '<' && (p[2] == '=' || p[2] == '!')))
            return; /* an assertion */
        const char *colon = p + 1;
        while (colon < end && *colon != ':' && *colon != '>' && *colon != ')')
            colon++;
        if (colon == end)
            return; /* options alone: (?i) */
        p = colon + 1;
    }
    alternatives(w, p, end);
}

static void atom(struct walk *w, const char *p, const char *end)
{
    bool set[SET_BYTES] = { false };
    if (*p == '(') {
        group(w, p + 1, end - 1);
    } else if (*p == '[') {
        read_set(p + 1, end, set);
        put_of(w, set);
    } else if (*p == '.') {
        text_char(w->out, (char)(' ' + dice_below(w->dice, 0x5f)));
    } else if (*p == '\\' && end - p >= 2) {
        p++;
        if (add_class(set, *p))
            put_of(w, set);
        else if (strchr("bBAzZGKE", *p) == NULL && (*p < '1' || *p > '9'))
            text_char(w->out, (char)escape_byte(&p, end));
    } else if (*p != '^' && *p != '$') {
        bool flip = dice_chance(w->dice, 5) && *p >= 'a' && *p <= 'z';
        text_char(w->out, flip ? (char)(*p - 32) : *p);
    }
}

/* Escapes of more than one letter belong to their atom. */
static const char *whole_atom(const char *p, const char *end)
{
    const char *stop = atom_end(p, end);
    if (*p == '\\' && stop - p == 2 && p[1] == 'x') {
        const char *digits = p + 1;
        (void)escape_byte(&digits, end);
        stop = digits;
    }
    return stop;
}

/* How often the atom before `*p` is wanted; moves `*p` behind the quantifier. */
static unsigned quantity(struct walk *w, const char **p, const char *end)
{
    unsigned least = 1, most = 1;
    if (*p < end && (**p == '?' || **p == '*' || **p == '+')) {
        least = **p == '+';
        most = **p == '?' ? 1 : ENDLESS;
        ++*p;
    } else if (end - *p >= 3 && **p == '{' && (*p)[1] >= '0' && (*p)[1] <= '9') {
        const char *q = *p + 1;
        for (least = 0; q < end && *q >= '0' && *q <= '9'; q++)
            least = least < ENDLESS ? 10 * least + (unsigned)(*q - '0') : least;
        most = least;
        if (q < end && *q == ',') {
            q++;
            most = q < end && *q == '}' ? ENDLESS : 0;
            for (; q < end && *q >= '0' && *q <= '9'; q++)
                most = most < ENDLESS ? 10 * most + (unsigned)(*q - '0') : most;
        }
        *p = q < end ? q + 1 : end;
    } else {
        return 1;
    }
    if (*p < end && (**p == '?' || **p == '+'))
        ++*p;
    unsigned room = most > least ? most - least : 0;
    return least + dice_below(w->dice, (room < REPEAT_MAX ? room : REPEAT_MAX) + 1);
}

static void sequence(struct walk *w, const char *p, const char *end)
{
    while (p < end && !w->out->overflow) {
        const char *start = p;
        p = whole_atom(p, end);
        const char *stop = p;
        for (unsigned n = quantity(w, &p, end); n > 0 && !w->out->overflow; n--)
            atom(w, start, stop);
    }
}

/* Behind this branch: at a bar, or at the end. */
static const char *branch_end(const char *p, const char *end)
{
    while (p < end && *p != '|')
        p = atom_end(p, end);
    return p;
}

static void alternatives(struct walk *w, const char *p, const char *end)
{
    unsigned count = 1;
    if (w->depth == DEPTH_MAX || p >= end)
        return;
    for (const char *at = branch_end(p, end); at < end; at = branch_end(at + 1, end))
        count++;
    for (unsigned choice = dice_below(w->dice, count); choice > 0; choice--)
        p = branch_end(p, end) + 1;
    w->depth++;
    sequence(w, p, branch_end(p, end));
    w->depth--;
}

void sample_regex(struct text *out, struct span pattern, struct dice *dice)
{
    struct walk walk = { out, dice, 0 };
    alternatives(&walk, pattern.p, span_end(pattern));
}
