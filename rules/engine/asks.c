/*
 * Which parts of its class are asked about each text of a value, and by which ways texts may
 * match: those of patterns that look at a form which the text is, as far as its bytes, its
 * length and its beginning let them.
 *
 * A part is asked for all of its patterns, so a long text that could match few of them is first
 * looked at by hand for what these need: a scan costs as much for one as for hundreds.
 */
#include "rules/engine/batch.h"
#include "rules/engine/few.h"
#include "rules/engine/set128.h"

enum {
    LONG_BYTES = 64, /* shorter texts are scanned as fast as it is told, by form or by hand,
                        what would be in vain */
    BY_HAND_MAX = 4, /* texts looked for, for one text's ways */
};

/* What the forms tell of a text. */
struct sought {
    uint32_t parts;
    struct ways ways;
};

static bool is_long(struct span text)
{
    return text.len >= LONG_BYTES;
}

/* ---- by hand --------------------------------------------------------------------------------
 */

/* False: that is too much to look for. */
static bool is_little(const struct scan_class *class, const uint64_t *ways)
{
    unsigned texts = 0;
    for (unsigned i = bit_next(ways, 0, WAYS_MAX); i < WAYS_MAX;
         i = bit_next(ways, i + 1, WAYS_MAX)) {
        const struct few_list *closer = &class->closers[i];
        texts += closer->end != NULL ? 1 : closer->count;
        if (closer->count == 0 || texts > BY_HAND_MAX)
            return false;
    }
    return true;
}

static __m128i close_ways(const struct scan_class *class, struct span text, __m128i open)
{
    uint64_t ways[2];
    set128_store(ways, open);
    if (class->closers == NULL || !is_little(class, ways))
        return open;
    for (unsigned i = bit_next(ways, 0, WAYS_MAX); i < WAYS_MAX;
         i = bit_next(ways, i + 1, WAYS_MAX)) {
        if (!few_any_in(&class->closers[i], text))
            bit_remove(ways, i);
    }
    return set128_load(ways);
}

/* ---- by what bytes there are ----------------------------------------------------------------
 */

static uint32_t parts_for(const struct class_form *form, const struct met *met)
{
    uint32_t parts = 0;
    for (uint32_t left = form->parts & met->wanted.asks; left != 0; left &= left - 1) {
        if (set128_meet(&form->by_part[__builtin_ctz(left)], &met->conditions))
            parts |= left & -left;
    }
    return parts;
}

/* Texts that open others are worth looking for only if there is one to open. */
static uint32_t opening_parts(const struct scan_class *class, uint32_t opens, __m128i ways)
{
    uint32_t parts = 0;
    for (; opens != 0; opens &= opens - 1) {
        const struct scan_part *part = &class->parts[__builtin_ctz(opens)];
        if (set128_any(_mm_and_si128(ways, set128_load(&part->opened))))
            parts |= opens & -opens;
    }
    return parts;
}

static uint32_t asks_of(const struct scan_class *class, struct span text, struct wanted *wanted,
                        const struct sought *sought)
{
    const struct fitting *fitting =
        &class->fitting[text.len < FITTING_LENGTHS ? text.len : FITTING_LENGTHS - 1];
    uint32_t asks = wanted->asks & sought->parts & fitting->parts;
    __m128i ways = _mm_and_si128(set128_load(&wanted->ways), set128_load(&fitting->ways));
    for (size_t i = 0; class->starts != NULL && i < WAY_STARTS && i < text.len; i++)
        ways = _mm_and_si128(ways, set128_load(&class->starts[i][(uint8_t)text.p[i]]));
    if (is_long(text))
        ways = _mm_and_si128(ways, set128_load(&sought->ways));
    /* What is asked in any case finds nearly all of these texts, too. */
    if (is_long(text) && (asks & ~class->told & wanted->opens) == 0)
        ways = close_ways(class, text, ways);
    set128_store(&wanted->ways, ways);
    if (!set128_any(ways))
        asks &= ~class->told;
    if ((asks & class->told) != 0)
        asks |= is_long(text) ? opening_parts(class, wanted->opens, ways) : wanted->opens;
    return asks;
}

/* The value is all of its forms, so what its bytes let match looks at one of them. */
static uint32_t asks_of_plain(struct forms *t, const struct scan_class *class,
                              const struct plan_group *group)
{
    struct sought sought = { class->plain_parts & group->parts, class->plain_ways };
    return asks_of(class, t->text[0], &t->met[0].wanted, &sought);
}

void sec_batch_asks(struct sec_batch *batch, const struct scan_class *class,
                    const struct plan_group *group, const struct batch_value *of,
                    uint32_t *asks)
{
    struct forms *t = &batch->texts;
    UNCLEARED struct sought sought[BATCH_FORMS_MAX];
    if (of->index_of == class->plain_index) {
        asks[0] = asks_of_plain(t, class, group);
        return;
    }
    memset(sought, 0, t->count * sizeof(*sought));
    for (unsigned i = 0; i < class->asked_count; i++) {
        const struct class_form *form = &class->steps[class->asked[i]];
        unsigned text = of->index_of[class->asked[i]];
        if (text == NO_TEXT)
            continue;
        if (!is_long(t->text[text])) {
            sought[text].parts |= form->parts;
            continue;
        }
        sought[text].parts |= parts_for(form, &t->met[text]);
        set128_unite(&sought[text].ways, &form->ways);
    }
    for (unsigned i = 0; i < t->count; i++) {
        sought[i].parts &= group->parts;
        asks[i] = asks_of(class, t->text[i], &t->met[i].wanted, &sought[i]);
    }
}
