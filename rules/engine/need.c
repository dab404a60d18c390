/*
 * From a pattern's tree to what its matches need.
 *
 * Texts: a part that can only be one of a few texts is spelt out, and texts of parts that
 * follow one another are joined. Of several parts that all must be there the best list is
 * taken, of alternatives all lists together.
 */
#include "rules/engine/need.h"

enum {
    SPELT_MAX = 32, /* texts that one part can be */
    CHOICE_MAX = 4, /* bytes that one place can have */
    TOLD_MIN = 3,   /* shorter ones stand in everything */
    SCORED_MAX = 10,
};

struct deriving {
    struct arena *arena;
    bool plain; /* what holds of values without rare bytes */
    struct byte_set rare;
    bool memory;
};

const struct byte_set need_every_byte = { { UINT64_MAX, UINT64_MAX, UINT64_MAX, UINT64_MAX } };

/* ---- bytes ----------------------------------------------------------------------------------
 */

#define LETTER 500
#define DIGIT 150
#define RARER 2 /* than all that is named */

/* Of arguments, cookies and fields of browsers, roughly. */
static const uint16_t shares[256] = {
    [0 ... 31] = RARER,
    [127] = RARER,
    [128 ... 255] = 1,
    ['A' ... 'Z'] = LETTER,
    ['a' ... 'z'] = LETTER,
    ['0' ... '9'] = DIGIT,
    [' '] = 600,
    ['-'] = 100,
    ['.'] = 100,
    ['/'] = 100,
    ['_'] = 100,
    [':'] = 50,
    [','] = 50,
    ['='] = 50,
    ['%'] = 50,
    ['+'] = 50,
    ['?'] = 30,
    ['&'] = 30,
    ['@'] = 30,
    ['('] = 20,
    [')'] = 20,
    ['\''] = 20,
    [';'] = 15,
    ['"'] = 15,
    ['#'] = 5,
    ['!'] = 5,
    ['*'] = 5,
    ['$'] = RARER,
    ['<'] = RARER,
    ['>'] = RARER,
    ['['] = RARER,
    ['\\'] = RARER,
    [']'] = RARER,
    ['^'] = RARER,
    ['`'] = RARER,
    ['{'] = RARER,
    ['|'] = RARER,
    ['}'] = RARER,
    ['~'] = RARER,
};

unsigned byte_share(uint8_t byte)
{
    return shares[byte];
}

unsigned byte_set_share(const struct byte_set *set)
{
    unsigned sum = 0;
    for (unsigned i = 0; i < 4; i++) {
        for (uint64_t left = set->words[i]; left != 0; left &= left - 1)
            sum += shares[64 * i + (unsigned)__builtin_ctzll(left)];
    }
    return sum;
}

unsigned byte_set_size(const struct byte_set *set)
{
    unsigned size = 0;
    for (unsigned i = 0; i < 4; i++)
        size += (unsigned)__builtin_popcountll(set->words[i]);
    return size;
}

bool byte_is_rare(uint8_t byte)
{
    return byte_share(byte) <= 20;
}

static void keep_duller_out(struct byte_set *best, const struct byte_set *other)
{
    if (byte_set_share(other) < byte_set_share(best))
        *best = *other;
}

/* ---- sets of bytes
 * ---------------------------------------------------------------------------
 */

const struct byte_set need_letters = { { 0, 0x07fffffe07fffffe, 0, 0 } };

/* Of a letter it is only known that there is one: numbers have none. */
void need_add_set(struct byte_set *sets, unsigned *count, const struct byte_set *set)
{
    unsigned kept = 0;
    if (byte_set_is_within(set, &need_letters))
        set = &need_letters;
    else if (byte_set_share(set) > NEED_SET_SHARE_MAX)
        return;
    for (unsigned i = 0; i < *count; i++) {
        if (byte_set_is_within(&sets[i], set))
            return; /* it follows from that one */
        if (!byte_set_is_within(set, &sets[i]))
            sets[kept++] = sets[i];
    }
    unsigned at = kept;
    while (at > 0 && byte_set_share(&sets[at - 1]) > byte_set_share(set))
        at--;
    *count = kept < NEED_SETS_MAX ? kept + 1 : NEED_SETS_MAX;
    if (at == NEED_SETS_MAX)
        return;
    memmove(&sets[at + 1], &sets[at], (*count - 1 - at) * sizeof(*sets));
    sets[at] = *set;
}

/* Of two alternatives: a match has a byte of each set of one or of the other, and so one of
 * each of them and each of those together. The pairs that tell most are kept. */
static void either_sets(struct derived *known, const struct derived *other)
{
    struct byte_set sets[NEED_SETS_MAX] = { 0 };
    unsigned count = 0;
    for (unsigned i = 0; i < known->set_count; i++) {
        for (unsigned j = 0; j < other->set_count; j++) {
            struct byte_set both = known->sets[i];
            byte_set_unite(&both, &other->sets[j]);
            need_add_set(sets, &count, &both);
        }
    }
    memcpy(known->sets, sets, count * sizeof(*sets));
    known->set_count = count;
}

/* ---- lists of texts -------------------------------------------------------------------------
 */

static struct texts_list list_of(struct deriving *d, unsigned capacity)
{
    struct texts_list list = { .items = arena_array(d->arena, struct span, capacity + 1) };
    d->memory = d->memory || list.items == NULL;
    return list;
}

/* How much a text tells: its bytes, and one more for each that words do not have. */
static size_t tells(struct span text)
{
    size_t sum = text.len;
    for (size_t i = 0; i < text.len; i++)
        sum += byte_share((uint8_t)text.p[i]) <= 100;
    return sum;
}

static size_t least_told(const struct texts_list *list)
{
    size_t least = SIZE_MAX;
    for (unsigned i = 0; i < list->count; i++) {
        size_t told = list->items[i].len > 1 ? tells(list->items[i]) : 0;
        least = told < least ? told : least;
    }
    return least;
}

/* The longer the better, and the fewer; 0: of no use. */
static unsigned worth(const struct texts_list *list)
{
    if (list->items == NULL || list->count == 0 || list->count > NEED_TEXTS_MAX)
        return 0;
    size_t least = least_told(list);
    if (least < TOLD_MIN)
        return 0;
    unsigned scored = least < SCORED_MAX ? (unsigned)least : SCORED_MAX;
    return 16 * scored + NEED_TEXTS_MAX / 64 - list->count / 64;
}

/* Where one text of `list` is, one of `other` is, too. */
static bool implies(const struct texts_list *list, const struct texts_list *other)
{
    enum { COMPARED_MAX = 4096 }; /* of more it is not found out */
    bool all = list->count * other->count <= COMPARED_MAX;
    for (unsigned i = 0; i < list->count && all; i++) {
        bool one = false;
        for (unsigned j = 0; j < other->count && !one; j++)
            one = span_find(list->items[i], other->items[j]) >= 0;
        all = one;
    }
    return all;
}

/* All lists are needed; those that tell most are kept. */
static void keep_list(struct derived *known, const struct texts_list *list)
{
    struct texts_list *best = &known->needed[0], *second = &known->needed[1];
    unsigned now = worth(list), first = worth(best);
    if (now > first) {
        if (first > 0 && !implies(list, best))
            *second = *best;
        *best = *list;
    } else if (now > worth(second) && !implies(best, list)) {
        *(implies(list, best) ? best : second) = *list;
    }
}

static void add_text(struct texts_list *list, struct span text)
{
    for (unsigned i = 0; i < list->count; i++) {
        if (span_equal(list->items[i], text))
            return;
    }
    list->items[list->count++] = text;
}

static struct texts_list nothing_spelt(struct deriving *d)
{
    struct texts_list list = list_of(d, 1);
    if (list.items != NULL)
        list.items[list.count++] = SPAN("");
    return list;
}

/* Every text of `a` with every one of `b` behind it; unknown when there are too many. */
static struct texts_list joined(struct deriving *d, const struct texts_list *a,
                                const struct texts_list *b)
{
    struct texts_list unknown = { .items = NULL };
    if (a->count * b->count > SPELT_MAX)
        return unknown;
    struct texts_list list = list_of(d, a->count * b->count);
    for (unsigned i = 0; list.items != NULL && i < a->count; i++) {
        for (unsigned j = 0; j < b->count; j++) {
            size_t len = a->items[i].len + b->items[j].len;
            char *p = len <= NEED_TEXT_BYTES_MAX ? arena_alloc(d->arena, len) : NULL;
            if (p == NULL)
                return unknown;
            memcpy(p, a->items[i].p, a->items[i].len);
            memcpy(p + a->items[i].len, b->items[j].p, b->items[j].len);
            add_text(&list, span_of(p, len));
        }
    }
    return list;
}

/* Unknown when one of them is, or there are too many. */
static struct texts_list together(struct deriving *d, const struct texts_list *a,
                                  const struct texts_list *b, unsigned max)
{
    struct texts_list unknown = { .items = NULL };
    if (a->items == NULL || b->items == NULL || a->count + b->count > max)
        return unknown;
    struct texts_list list = list_of(d, a->count + b->count);
    if (list.items == NULL)
        return list;
    /* Those of one list differ: a thousand alternatives are compared once, not a thousand
     * times. */
    memcpy(list.items, a->items, a->count * sizeof(*a->items));
    list.count = a->count;
    for (unsigned i = 0; i < b->count; i++)
        add_text(&list, b->items[i]);
    return list;
}

/* Of two alternatives, each of which may have but one list. */
static void either_lists(struct deriving *d, struct derived *known, const struct derived *other)
{
    const struct texts_list *ours = &known->needed[known->needed[1].items != NULL];
    const struct texts_list *theirs = &other->needed[other->needed[1].items != NULL];
    struct texts_list second = { .items = NULL };
    if (ours != known->needed || theirs != other->needed)
        second = together(d, ours, theirs, NEED_TEXTS_MAX);
    known->needed[0] = together(d, &known->needed[0], &other->needed[0], NEED_TEXTS_MAX);
    known->needed[1] = (struct texts_list){ .items = NULL };
    if (second.items != NULL && !implies(&known->needed[0], &second))
        known->needed[1] = second;
}

/* ---- parts ----------------------------------------------------------------------------------
 */

static void derive(struct deriving *d, const struct rx_node *node, struct derived *known);

/* Without its rare bytes, where little is left then. Those are relied on. */
static void narrow(struct deriving *d, const struct rx_node *node, struct derived *known)
{
    struct byte_set common = node->set, rare = node->set;
    for (unsigned i = 0; i < 4; i++) {
        common.words[i] &= ~d->rare.words[i];
        rare.words[i] &= d->rare.words[i];
    }
    unsigned left = byte_set_size(&common);
    if (left > CHOICE_MAX)
        return;
    known->bytes = common;
    known->relied = rare;
    known->never = left == 0;
}

static void derive_set(struct deriving *d, const struct rx_node *node, struct derived *known)
{
    known->bytes = node->set;
    need_add_set(known->sets, &known->set_count, &node->set);
    if (d->plain)
        narrow(d, node, known);
    if (byte_set_size(&known->bytes) > CHOICE_MAX)
        return;
    struct texts_list list = list_of(d, CHOICE_MAX);
    for (unsigned c = 0; list.items != NULL && c < 256; c++) {
        if (!byte_set_has(&known->bytes, (uint8_t)c))
            continue;
        char *p = arena_alloc(d->arena, 1);
        if (p == NULL)
            return;
        *p = ascii_lower((char)c);
        add_text(&list, span_of(p, 1));
    }
    known->spelt = list;
}

static void derive_alternatives(struct deriving *d, const struct rx_node *node,
                                const struct texts_list *before, struct derived *known);

static void add_part(struct derived *known, const struct derived *part)
{
    byte_set_unite(&known->relied, &part->relied);
    keep_duller_out(&known->bytes, &part->bytes);
    for (unsigned i = 0; i < part->set_count; i++)
        need_add_set(known->sets, &known->set_count, &part->sets[i]);
    for (unsigned i = 0; i < NEED_LISTS; i++)
        keep_list(known, &part->needed[i]);
}

/* What alternatives begin with, where one text stands before them. */
static bool goes_inside(const struct rx_node *node, const struct texts_list *before)
{
    return node->kind == RX_ALT && before->items != NULL && before->count == 1 &&
           before->items[0].len > 0;
}

/* `before`: what stands directly before it, and is a part of its texts then. */
static void derive_sequence(struct deriving *d, const struct rx_node *node,
                            const struct texts_list *before, struct derived *known)
{
    struct texts_list run = before != NULL ? *before : nothing_spelt(d);
    bool whole = true;
    *known = (struct derived){ .bytes = need_every_byte };
    for (const struct rx_node *child = node->child; child != NULL; child = child->next) {
        struct derived part;
        struct texts_list longer = { .items = NULL };
        bool inside = goes_inside(child, &run);
        if (inside)
            derive_alternatives(d, child, &run, &part);
        else
            derive(d, child, &part);
        if (part.never) { /* for its own reasons alone */
            *known = part;
            return;
        }
        add_part(known, &part);
        if (inside)
            longer = part.spelt;
        else if (part.spelt.items != NULL && run.items != NULL)
            longer = joined(d, &run, &part.spelt);
        if (longer.items == NULL) {
            keep_list(known, &run);
            longer = !inside && part.spelt.items != NULL ? part.spelt : nothing_spelt(d);
            whole = false;
        }
        run = longer;
    }
    keep_list(known, &run);
    if (whole)
        known->spelt = run;
}

static void derive_alternatives(struct deriving *d, const struct rx_node *node,
                                const struct texts_list *before, struct derived *known)
{
    struct byte_set relied = { { 0 } };
    bool first = true;
    *known = (struct derived){ .bytes = need_every_byte };
    for (const struct rx_node *child = node->child; child != NULL; child = child->next) {
        struct derived part;
        derive_sequence(d, child, before, &part);
        byte_set_unite(&relied, &part.relied);
        if (part.never)
            continue;
        keep_list(&part, &part.spelt);
        if (first) {
            *known = part;
        } else {
            byte_set_unite(&known->bytes, &part.bytes);
            either_sets(known, &part);
            either_lists(d, known, &part);
            known->spelt = together(d, &known->spelt, &part.spelt, SPELT_MAX);
        }
        first = false;
    }
    known->never = first && node->child != NULL;
    known->relied = relied;
}

static void derive_repeat(struct deriving *d, const struct rx_node *node, struct derived *known)
{
    struct derived one;
    derive(d, node->child, &one);
    known->relied = one.relied;
    if (node->min > 0) {
        *known = one;
        keep_list(known, &one.spelt);
        if (node->max > 1)
            known->spelt = (struct texts_list){ .items = NULL };
        return;
    }
    struct texts_list empty = nothing_spelt(d);
    if (node->max == 0 || one.never)
        known->spelt = empty;
    else if (node->max == 1)
        known->spelt = together(d, &one.spelt, &empty, SPELT_MAX);
}

static void derive(struct deriving *d, const struct rx_node *node, struct derived *known)
{
    *known = (struct derived){ .bytes = need_every_byte };
    switch (node->kind) {
    case RX_SET:
        derive_set(d, node, known);
        return;
    case RX_SEQ:
        derive_sequence(d, node, NULL, known);
        return;
    case RX_ALT:
        derive_alternatives(d, node, NULL, known);
        return;
    case RX_REPEAT:
        derive_repeat(d, node, known);
        return;
    case RX_NOTHING:
        known->spelt = nothing_spelt(d);
        return;
    }
}

/* ---- a pattern ------------------------------------------------------------------------------
 */

/* One text, byte by byte, and no anchor. */
static bool is_literal(const struct rx_node *node)
{
    const struct rx_node *child = node->child;
    if (node->kind != RX_ALT || child == NULL || child->next != NULL)
        return false;
    for (child = child->child; child != NULL; child = child->next) {
        unsigned bytes = byte_set_size(&child->set);
        if (child->kind != RX_SET || bytes > 2)
            return false;
        for (unsigned c = 'a'; c <= 'z' && bytes == 2; c++) { /* of any case */
            if (byte_set_has(&child->set, (uint8_t)c) &&
                byte_set_has(&child->set, (uint8_t)(c ^ 32)))
                bytes = 1;
        }
        if (bytes != 1)
            return false;
    }
    return true;
}

/* Where it is, another of them is, too. */
static bool is_implied(const struct texts_list *list, unsigned index)
{
    for (unsigned i = 0; i < list->count; i++) {
        if (i != index && span_find(list->items[index], list->items[i]) >= 0)
            return true;
    }
    return false;
}

enum err need_copy_texts(const struct texts_list *from, struct arena *arena,
                         const struct span **to, unsigned *count)
{
    if (worth(from) == 0)
        return OK;
    struct span *texts = arena_array(arena, struct span, from->count);
    if (texts == NULL)
        return ERR_MEMORY;
    for (unsigned i = 0; i < from->count; i++) {
        if (is_implied(from, i))
            continue;
        texts[*count] = arena_copy(arena, from->items[i]);
        if (texts[(*count)++].p == NULL)
            return ERR_MEMORY;
    }
    *to = texts;
    return OK;
}

bool need_derive(const struct rx_node *tree, bool plain, struct arena *scratch,
                 struct derived *known)
{
    struct deriving d = { .arena = scratch, .plain = plain };
    for (unsigned c = 0; c < 256; c++) {
        if (byte_is_rare((uint8_t)c))
            byte_set_add(&d.rare, (uint8_t)c);
    }
    derive(&d, tree, known);
    keep_list(known, &known->spelt);
    return !d.memory;
}

/* Of a pattern that takes too much memory to understand nothing is known. */
enum err pattern_need(const char *text, unsigned flags, struct arena *arena,
                      struct pattern_need *need)
{
    struct arena scratch;
    struct derived known, plain;
    enum err err = OK;
    *need = (struct pattern_need){ .bytes = need_every_byte };
    arena_init(&scratch, NULL, 0, NULL, NEED_MEMORY_MAX);
    const struct rx_node *tree = rx_parse(span_text(text), flags, &scratch);
    if (tree != NULL && need_derive(tree, false, &scratch, &known)) {
        need->literal = is_literal(tree);
        need->bytes = known.bytes;
        need->set_count = known.set_count;
        memcpy(need->sets, known.sets, known.set_count * sizeof(*known.sets));
        err = need_copy_texts(&known.needed[0], arena, &need->texts, &need->text_count);
    }
    if (err == OK && tree != NULL && need_derive(tree, true, &scratch, &plain)) {
        need->relied = plain.relied;
        need->never = plain.never;
    }
    arena_reset(&scratch);
    return err;
}
