/*
 * Patterns to trees, as far as their meaning is plain. Whatever is rare (back references, named
 * characters, free spacing, properties, quotations) is not understood, and the caller goes
 * without. Hyperscan has taken the pattern already, so mistakes in it are not looked for.
 */
#include "rules/engine/need.h"

#include <hs/hs_compile.h>

struct parser {
    const char *p, *end;
    struct arena *arena;
    bool caseless, dotall;
    bool lines; /* an anchor may stand at any line's start: (?m) was somewhere */
    bool failed;
    unsigned depth;
    struct rx_node spare; /* in place of one for which there is no memory */
};

/* ---- sets -----------------------------------------------------------------------------------
 */

static void add_range(struct byte_set *set, unsigned from, unsigned to)
{
    for (unsigned c = from; c <= to; c++)
        byte_set_add(set, (uint8_t)c);
}

static void invert(struct byte_set *set)
{
    for (unsigned i = 0; i < 4; i++)
        set->words[i] = ~set->words[i];
}

/* Both cases of each letter: of those that are caseless, at least what is meant. */
static void fold(struct byte_set *set)
{
    for (unsigned c = 'A'; c <= 'Z'; c++) {
        if (byte_set_has(set, (uint8_t)c) || byte_set_has(set, (uint8_t)(c | 32))) {
            byte_set_add(set, (uint8_t)c);
            byte_set_add(set, (uint8_t)(c | 32));
        }
    }
}

/* Generously: what libraries disagree about (vertical tab, no-break space) is in. */
static const struct shorthand {
    char letter;
    const char *ranges; /* pairs */
} shorthands[] = {
    { 'd', "09" },
    { 'w', "azAZ09__" },
    { 's', "\x09\x0d  " },
    { 'h', "\x09\x09  \xa0\xa0" },
    { 'v', "\x0a\x0d\x85\x85" },
};

static void add_pairs(struct byte_set *set, const char *pairs)
{
    for (; pairs[0] != '\0'; pairs += 2)
        add_range(set, (uint8_t)pairs[0], (uint8_t)pairs[1]);
}

/*
 * \d and the like; of \D what is surely out is out: \S without the vertical tab would be wrong
 * where the library counts that as no white space.
 */
static bool add_shorthand(struct byte_set *set, char letter)
{
    for (size_t i = 0; i < ARRAY_LEN(shorthands); i++) {
        struct byte_set own = { { 0 } };
        if (ascii_lower(letter) != shorthands[i].letter)
            continue;
        add_pairs(&own, shorthands[i].ranges);
        if (letter != shorthands[i].letter)
            invert(&own);
        if (letter != shorthands[i].letter && (letter == 'S' || letter == 'H' || letter == 'V'))
            add_pairs(&own, "\x0b\x0b\x85\x85\xa0\xa0");
        byte_set_unite(set, &own);
        return true;
    }
    return false;
}

/* ---- nodes ----------------------------------------------------------------------------------
 */

static struct rx_node *node(struct parser *x, enum rx_kind kind)
{
    struct rx_node *made = arena_new(x->arena, struct rx_node);
    if (made == NULL) {
        x->failed = true;
        return &x->spare;
    }
    made->kind = kind;
    return made;
}

static void append(struct rx_node *parent, struct rx_node *child)
{
    if (parent->last != NULL)
        parent->last->next = child;
    else
        parent->child = child;
    parent->last = child;
}

static struct rx_node *give_up(struct parser *x)
{
    x->failed = true;
    x->p = x->end;
    return node(x, RX_NOTHING);
}

static struct rx_node *byte_node(struct parser *x, uint8_t byte)
{
    struct rx_node *made = node(x, RX_SET);
    byte_set_add(&made->set, byte);
    if (x->caseless)
        fold(&made->set);
    return made;
}

/* ---- escapes --------------------------------------------------------------------------------
 */

/* \xHH; any other way to write it is not understood: -1. */
static int hex_byte(struct parser *x)
{
    if (x->end - x->p < 2 || hex_value(x->p[0]) < 0 || hex_value(x->p[1]) < 0)
        return -1;
    int byte = hex_value(x->p[0]) * 16 + hex_value(x->p[1]);
    x->p += 2;
    return byte;
}

/* The byte that the escape whose letter was just read stands for; -1: it is something else. */
static int escaped_byte(struct parser *x, char letter)
{
    static const char from[] = "ntrfae", to[] = "\n\t\r\f\a\x1b";
    const char *found = letter != '\0' ? strchr(from, letter) : NULL;
    if (found != NULL)
        return (uint8_t)to[found - from];
    if (letter == 'x')
        return hex_byte(x);
    bool word = (letter >= '0' && letter <= '9') || (letter >= 'a' && letter <= 'z') ||
                (letter >= 'A' && letter <= 'Z');
    return word ? -1 : (uint8_t)letter;
}

static struct rx_node *start_node(struct parser *x, bool lines)
{
    struct rx_node *made = node(x, RX_NOTHING);
    made->start = !lines;
    return made;
}

static struct rx_node *escape(struct parser *x)
{
    if (x->p == x->end)
        return give_up(x);
    char letter = *x->p++;
    if (letter == 'A')
        return start_node(x, false);
    if (letter != '\0' && strchr("bBzZ", letter) != NULL)
        return node(x, RX_NOTHING);
    struct byte_set set = { { 0 } };
    if (add_shorthand(&set, letter)) {
        struct rx_node *made = node(x, RX_SET);
        made->set = set;
        return made;
    }
    int byte = escaped_byte(x, letter);
    return byte >= 0 ? byte_node(x, (uint8_t)byte) : give_up(x);
}

/* ---- classes --------------------------------------------------------------------------------
 */

static const struct named_class {
    const char *name, *ranges;
} named_classes[] = {
    { "alpha", "azAZ" },
    { "digit", "09" },
    { "alnum", "azAZ09" },
    { "upper", "AZ" },
    { "lower", "az" },
    { "space", "\x09\x0d  " },
    { "blank", "\x09\x09  " },
    { "punct", "!/:@[`{~" },
    { "xdigit", "09afAF" },
    { "word", "azAZ09__" },
    { "print", " ~" },
    { "graph", "!~" },
    { "cntrl", "\x01\x1f\x7f\x7f" }, /* without NUL, which ends the list: added below */
};

static bool add_named(struct parser *x, struct byte_set *set)
{
    const char *from = x->p + 2; /* behind `[:` */
    const char *closing = memmem(from, (size_t)(x->end - from), ":]", 2);
    if (closing == NULL)
        return false;
    struct span name = span_range(from, closing);
    for (size_t i = 0; i < ARRAY_LEN(named_classes); i++) {
        if (!span_equal(name, span_text(named_classes[i].name)))
            continue;
        add_pairs(set, named_classes[i].ranges);
        if (span_equal(name, SPAN("cntrl")))
            byte_set_add(set, 0);
        x->p = closing + 2;
        return true;
    }
    return false; /* `[:^alpha:]` too */
}

/* One member; `*byte` -1: it was a set. False: not understood. */
static bool class_member(struct parser *x, struct byte_set *set, int *byte)
{
    *byte = -1;
    if (*x->p == '[' && x->end - x->p >= 2 && memchr(":.=", x->p[1], 3) != NULL)
        return add_named(x, set);
    if (*x->p != '\\') {
        *byte = (uint8_t)*x->p++;
        return true;
    }
    if (x->end - x->p < 2)
        return false;
    char letter = x->p[1];
    x->p += 2;
    if (add_shorthand(set, letter))
        return true;
    *byte = letter == 'b' ? '\b' : escaped_byte(x, letter);
    return *byte >= 0;
}

static bool class_range(struct parser *x, struct byte_set *set, int from)
{
    int to = from;
    if (x->end - x->p >= 2 && *x->p == '-' && x->p[1] != ']') {
        x->p++;
        if (!class_member(x, set, &to) || to < from)
            return false; /* `[a-\d]` */
    }
    add_range(set, (unsigned)from, (unsigned)to);
    return true;
}

/* Behind its `[`. */
static struct rx_node *class(struct parser *x)
{
    struct byte_set set = { { 0 } };
    bool negated = x->p < x->end && *x->p == '^';
    x->p += negated;
    for (bool first = true; x->p < x->end && (first || *x->p != ']'); first = false) {
        int byte;
        if (!class_member(x, &set, &byte) || (byte >= 0 && !class_range(x, &set, byte)))
            return give_up(x);
    }
    if (x->p == x->end)
        return give_up(x);
    x->p++;
    if (x->caseless)
        fold(&set);
    if (negated)
        invert(&set);
    /* What generous shorthands have put in must not be missing from the inverse. */
    if (negated)
        add_pairs(&set, "\x0b\x0b\x85\x85\xa0\xa0");
    struct rx_node *made = node(x, RX_SET);
    made->set = set;
    return made;
}

/* ---- groups ---------------------------------------------------------------------------------
 */

static struct rx_node *alternatives(struct parser *x);

/* `i`, `s-i` and so on; false for those that change more than we know. */
static bool read_flags(struct parser *x)
{
    bool on = true;
    for (; x->p < x->end && *x->p != ')' && *x->p != ':'; x->p++) {
        if (*x->p == '-')
            on = false;
        else if (*x->p == 'i')
            x->caseless = on;
        else if (*x->p == 's')
            x->dotall = on;
        else if (*x->p == 'm')
            x->lines = true;
        else
            return false;
    }
    return x->p < x->end;
}

/* Behind its `(`. Flags that are set alone hold to the end of the group around. */
static struct rx_node *group(struct parser *x)
{
    bool caseless = x->caseless, dotall = x->dotall;
    if (x->p < x->end && *x->p == '*')
        return give_up(x);
    if (x->p < x->end && *x->p == '?') {
        x->p++;
        if (!read_flags(x)) /* names, looking around, comments */
            return give_up(x);
        if (*x->p++ == ')')
            return node(x, RX_NOTHING);
    }
    if (++x->depth > NEED_DEPTH_MAX)
        return give_up(x);
    struct rx_node *inside = alternatives(x);
    x->depth--;
    if (x->p == x->end)
        return give_up(x);
    x->p++;
    x->caseless = caseless;
    x->dotall = dotall;
    return inside;
}

/* ---- repeats --------------------------------------------------------------------------------
 */

static bool number(const char **p, const char *end, unsigned *value)
{
    const char *from = *p;
    *value = 0;
    for (; *p < end && **p >= '0' && **p <= '9'; (*p)++) {
        if (*value > 1000000)
            return false;
        *value = *value * 10 + (unsigned)(**p - '0');
    }
    return *p > from;
}

/* `{n}`, `{n,}`, `{n,m}`; any other brace is a brace. */
static bool counted(struct parser *x, unsigned *min, unsigned *max)
{
    const char *p = x->p + 1;
    if (!number(&p, x->end, min))
        return false;
    *max = *min;
    if (p < x->end && *p == ',') {
        p++;
        *max = UINT32_MAX;
        if (p < x->end && *p != '}' && !number(&p, x->end, max))
            return false;
    }
    if (p == x->end || *p != '}')
        return false;
    x->p = p + 1;
    return true;
}

static bool quantifier(struct parser *x, unsigned *min, unsigned *max)
{
    if (x->p == x->end)
        return false;
    char c = *x->p;
    if (c == '{')
        return counted(x, min, max);
    if (c != '*' && c != '+' && c != '?')
        return false;
    *min = c == '+';
    *max = c == '?' ? 1 : UINT32_MAX;
    x->p++;
    return true;
}

static struct rx_node *repeated(struct parser *x, struct rx_node *one)
{
    unsigned min, max;
    while (quantifier(x, &min, &max)) {
        struct rx_node *made = node(x, RX_REPEAT);
        made->min = min;
        made->max = max;
        append(made, one);
        one = made;
        if (x->p < x->end && (*x->p == '?' || *x->p == '+'))
            x->p++; /* lazy or possessive: it matches no less */
    }
    return one;
}

/* ---- all ------------------------------------------------------------------------------------
 */

static struct rx_node *any_byte(struct parser *x)
{
    struct rx_node *made = node(x, RX_SET);
    invert(&made->set);
    if (!x->dotall)
        made->set.words[0] &= ~(UINT64_C(1) << '\n');
    return made;
}

static struct rx_node *one(struct parser *x)
{
    char c = *x->p++;
    switch (c) {
    case '\\':
        return escape(x);
    case '[':
        return class(x);
    case '(':
        return group(x);
    case '.':
        return any_byte(x);
    case '^':
        return start_node(x, x->lines);
    case '$':
        return node(x, RX_NOTHING);
    default:
        return byte_node(x, (uint8_t)c);
    }
}

static struct rx_node *sequence(struct parser *x)
{
    struct rx_node *made = node(x, RX_SEQ);
    while (x->p < x->end && *x->p != '|' && *x->p != ')' && !x->failed)
        append(made, repeated(x, one(x)));
    return made;
}

static struct rx_node *alternatives(struct parser *x)
{
    struct rx_node *made = node(x, RX_ALT);
    append(made, sequence(x));
    while (x->p < x->end && *x->p == '|') {
        x->p++;
        append(made, sequence(x));
    }
    return made;
}

struct rx_node *rx_parse(struct span text, unsigned flags, struct arena *arena)
{
    struct parser x = { .p = text.p,
                        .end = span_end(text),
                        .arena = arena,
                        .caseless = (flags & HS_FLAG_CASELESS) != 0,
                        .dotall = (flags & HS_FLAG_DOTALL) != 0 };
    if ((flags & ~(unsigned)(HS_FLAG_CASELESS | HS_FLAG_DOTALL | HS_FLAG_SINGLEMATCH)) != 0)
        return NULL;
    struct rx_node *all = alternatives(&x);
    return x.failed || x.p != x.end ? NULL : all;
}
