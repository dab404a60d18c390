/*
 * What batches of values (batch.c) go by: signs of bytes, conditions, and databases for many
 * values at once.
 *
 * A condition is a set of signs that a text has if a pattern matches in it: each of its signs
 * stands for bytes of which every match has one (need.h). Patterns with the same signs share
 * one. Where there is no room for a sign it is left out: a condition with fewer signs holds of
 * more texts, so nothing is lost.
 */
#include "rules/engine/build.h"

#include <hs/hs_compile.h>

#include "rules/engine/database.h"
#include "rules/engine/need.h"
#include "rules/engine/set128.h"
#include "rules/pattern.h"

enum { TRAITS_MAX = 32 };

/* ---- signs ----------------------------------------------------------------------------------
 */

/*
 * All bytes of which a step that does not decode may make one of the set: letters change their
 * case, a backslash becomes a slash, and a space comes of white space, NUL, a plus sign, a
 * comma, a semicolon or a comment, which has a star.
 */
static void close_set(struct byte_set *set)
{
    static const char to_space[] = "\t\n\v\f\r,;*+\xa0";

    for (unsigned c = 'a'; c <= 'z'; c++) {
        uint8_t upper = (uint8_t)(c - 'a' + 'A');
        if (byte_set_has(set, (uint8_t)c) || byte_set_has(set, upper)) {
            byte_set_add(set, (uint8_t)c);
            byte_set_add(set, upper);
        }
    }
    if (byte_set_has(set, '/'))
        byte_set_add(set, '\\');
    if (!byte_set_has(set, ' '))
        return;
    for (size_t i = 0; i < sizeof(to_space); i++) /* with the NUL behind it */
        byte_set_add(set, (uint8_t)to_space[i]);
}

/* Who has one digit has others, too: such a set tells little, and makes texts differ in their
 * signs that differ in nothing else. */
static bool is_mostly_digits(const struct byte_set *set)
{
    struct byte_set digits = { { set->words[0] & UINT64_C(0x3ff) << '0' } };
    return 2 * byte_set_share(&digits) > byte_set_share(set);
}

/* False: there is none for the set. */
static bool sign_of(struct sec_plan *plan, const struct byte_set *of, unsigned *sign)
{
    struct byte_set set = *of;
    close_set(&set);
    if ((byte_set_share(&set) > NEED_SET_SHARE_MAX &&
         memcmp(&set, &need_letters, sizeof(set)) != 0) ||
        is_mostly_digits(&set))
        return false;
    for (*sign = 0; *sign < plan->sign_count; (*sign)++) {
        if (memcmp(&plan->signed_for[*sign], &set, sizeof(set)) == 0)
            return true;
    }
    if (plan->sign_count == SIGNS_MAX)
        return false;
    plan->signed_for[plan->sign_count++] = set;
    for (unsigned c = 0; c < 256; c++) {
        if (byte_set_has(&set, (uint8_t)c))
            bit_add(plan->signs[c].words, *sign);
    }
    return true;
}

/* ---- conditions -----------------------------------------------------------------------------
 */

static unsigned condition_of(struct sec_plan *plan, struct scan_class *class,
                             const struct byte_set *sets, unsigned set_count)
{
    struct signs needs = { { 0 } };
    for (unsigned i = 0; i < set_count; i++) {
        unsigned sign;
        if (sign_of(plan, &sets[i], &sign))
            bit_add(needs.words, sign);
    }
    for (unsigned i = 0; i < class->condition_count; i++) {
        if (memcmp(&class->needs[i], &needs, sizeof(needs)) == 0)
            return i;
    }
    if (class->condition_count == CONDITIONS_MAX)
        return 0;
    class->needs[class->condition_count] = needs;
    return class->condition_count++;
}

/* Where the conditions of these four signs are noted. */
static struct lacking *lacking_of(struct scan_class *class, unsigned sign)
{
    struct lacking *lacking = class->lacking;
    while (lacking < class->lacking + class->lacking_count && lacking->nibble != sign / 4)
        lacking++;
    if (lacking == class->lacking + class->lacking_count) {
        lacking->nibble = (uint8_t)(sign / 4);
        class->lacking_count++;
    }
    return lacking;
}

/* What is looked up for each text (plan.h). */
static enum err tabulate(struct plan_builder *b, struct scan_class *class)
{
    if (class->condition_count == 1)
        return OK;
    class->lacking = arena_array(b->arena, struct lacking, NIBBLES);
    class->wanting = arena_zero(b->arena, NIBBLES, sizeof(*class->wanting));
    if (class->lacking == NULL || class->wanting == NULL)
        return ERR_MEMORY;
    for (unsigned condition = 0; condition < class->condition_count; condition++) {
        for (unsigned value = 0; value < NIBBLE_VALUES; value++) {
            struct wanted *wanted = &class->wanting[condition / 4][value];
            if ((value >> condition % 4 & 1) == 0)
                continue;
            wanted->asks |= class->wants[condition].asks;
            wanted->opens |= class->wants[condition].opens;
            set128_unite(&wanted->ways, &class->wants[condition].ways);
        }
        const uint64_t *needs = class->needs[condition].words;
        for (unsigned sign = bit_next(needs, 0, SIGNS_MAX); sign < SIGNS_MAX;
             sign = bit_next(needs, sign + 1, SIGNS_MAX)) {
            struct lacking *lacking = lacking_of(class, sign);
            for (unsigned value = 0; value < NIBBLE_VALUES; value++) {
                if ((value >> sign % 4 & 1) == 0)
                    bit_add(lacking->by_value[value].words, condition);
            }
        }
    }
    return OK;
}

/* ---- forms ----------------------------------------------------------------------------------
 */

/* By what a step writes bytes which its text need not have. 0: it takes bytes away, or changes
 * them as close_set says. */
static uint32_t decodes_by(const struct transform *step)
{
    static const char *const names[] = {
        "lowercase",       "removeWhitespace", "compressWhitespace",
        "removeNulls",     "replaceNulls",     "trim",
        "trimLeft",        "trimRight",        "normalizePath",
        "normalisePath",   "normalizePathWin", "normalisePathWin",
        "replaceComments", "cmdLine",
    };
    if (step == &seclang_cmd_line_cased)
        return 0;
    for (size_t i = 0; i < ARRAY_LEN(names); i++) {
        if (step == seclang_transform_find(span_text(names[i])))
            return 0;
    }
    return step->triggers & ~(uint32_t)TRAIT_PLUS; /* it becomes a space */
}

/* Without any of these no step that does not decode makes a text that has one of the traits:
 * it may bring the bytes of a pair together, but makes none of those that begin one. */
static uint32_t bytes_of(uint32_t traits)
{
    if ((traits & (TRAIT_ESCAPE_DIGIT | TRAIT_ESCAPE_LETTER)) != 0)
        traits |= TRAIT_PERCENT;
    if ((traits & TRAIT_ENTITY) != 0)
        traits |= TRAIT_AMPERSAND;
    return traits;
}

/* NULL: it is none of the class's, or the value as it came. */
static struct class_form *form_in(const struct scan_class *class, unsigned form)
{
    unsigned place = class->place_of[form];
    return place > 0 && place < class->place_count ? &class->steps[place] : NULL;
}

/* A form, and behind it all that are made of it. */
static void place_form(const struct sec_plan *plan, struct scan_class *class, unsigned form,
                       uint8_t *place_of)
{
    unsigned place = class->place_count++;
    place_of[form] = (uint8_t)place;
    class->steps[place] = (struct class_form){ .step = plan->forms[form].step,
                                               .form = (uint16_t)form,
                                               .parent = plan->forms[form].parent,
                                               .set_off_by = plan->forms[form].set_off_by,
                                               .shortest = UINT32_MAX };
    for (unsigned i = 0; i < class->form_count; i++) {
        if (plan->forms[class->forms[i]].parent == form)
            place_form(plan, class, class->forms[i], place_of);
    }
    class->steps[place].end = (uint16_t) class->place_count;
}

static enum err place_forms(struct plan_builder *b, struct scan_class *class)
{
    uint8_t *place_of = arena_array(b->arena, uint8_t, b->plan->form_count);
    class->steps = arena_array(b->arena, struct class_form, class->form_count + 1);
    class->asked = arena_array(b->arena, uint8_t, class->form_count + 1);
    class->set_off = arena_array(b->arena, struct places, TRAITS_MAX);
    if (place_of == NULL || class->steps == NULL || class->asked == NULL ||
        class->set_off == NULL)
        return ERR_MEMORY;
    memset(place_of, (int)class->form_count + 1, b->plan->form_count);
    place_form(b->plan, class, 0, place_of);
    class->place_of = place_of;
    for (unsigned i = 1; i < class->place_count; i++) {
        for (uint32_t by = class->steps[i].set_off_by; by != 0; by &= by - 1)
            bit_add(class->set_off[__builtin_ctz(by)].words, i);
    }
    return OK;
}

static void want_form(struct scan_class *class, unsigned form, unsigned condition)
{
    struct class_form *step = form_in(class, form);
    for (; step != NULL; step = form_in(class, step->parent))
        bit_add(step->wanted.words, condition);
}

/* The forms of a value that sets nothing off but bounded steps: none of them has a text. */
static enum err find_plain(struct plan_builder *b, struct scan_class *class)
{
    uint8_t *index = arena_array(b->arena, uint8_t, class->place_count + 1);
    uint8_t *bounded = arena_array(b->arena, uint8_t, class->place_count);
    if (index == NULL || bounded == NULL)
        return ERR_MEMORY;
    index[class->place_count] = NO_TEXT;
    class->plain_index = index;
    class->bounded = bounded;
    for (unsigned i = 1; i < class->place_count; i++) {
        const struct class_form *form = &class->steps[i];
        if (index[i] == NO_TEXT)
            continue;
        if (form->step->bound == NULL) {
            class->plain_triggers |= form->set_off_by;
            continue;
        }
        memset(index + i, NO_TEXT, form->end - i);
        bounded[class->bounded_count++] = (uint8_t)i;
    }
    for (unsigned i = 0; i < class->place_count; i++) {
        if (class->steps[i].parts != 0)
            class->asked[class->asked_count++] = (uint8_t)i;
        if (index[i] == NO_TEXT)
            continue;
        class->plain_parts |= class->steps[i].parts;
        set128_unite(&class->plain_ways, &class->steps[i].ways);
    }
    return OK;
}

enum err plan_batch_begin(struct plan_builder *b, struct scan_class *class)
{
    const struct sec_plan *plan = b->plan;
    TRY(place_forms(b, class));
    class->condition_count = 1;
    class->fitting = arena_array(b->arena, struct fitting, FITTING_LENGTHS);
    if (class->fitting == NULL)
        return ERR_MEMORY;
    memset(class->fitting, 0xff, FITTING_LENGTHS * sizeof(*class->fitting));
    for (unsigned i = 1; i < class->place_count; i++) {
        struct class_form *parent = form_in(class, class->steps[i].parent);
        if (parent != NULL)
            parent->shortest = 0;
    }
    /* Of each step, and of all before it on the way there. */
    for (unsigned i = 1; i < class->place_count; i++) {
        struct class_form *at = &class->steps[i];
        const uint32_t by = decodes_by(at->step);
        at->decoded_by = by;
        at->traits_matter = at->end > i + 1;
        for (; at != NULL; at = form_in(class, at->parent))
            at->decodes |= bytes_of(by);
    }
    for (unsigned i = 0; i < class->check_count; i++) {
        const struct plan_pattern *check = &plan->patterns[class->ids[class->id_count + i]];
        for (unsigned j = 0; j < check->find_count; j++) {
            struct class_form *form = form_in(class, check->finds[j].form);
            want_form(class, check->finds[j].form, 0);
            if (form == NULL)
                continue;
            form->shortest = 0;
            form->traits_matter = true;
        }
    }
    return OK;
}

/* Texts of the form are asked about where one of its conditions holds. */
static enum err look_at_form(struct plan_builder *b, struct class_form *form, unsigned part,
                             unsigned condition)
{
    if (form->by_part == NULL)
        form->by_part = arena_array(b->arena, struct conditions, PARTS_MAX);
    if (form->by_part == NULL)
        return ERR_MEMORY;
    form->parts |= UINT32_C(1) << part;
    bit_add(((struct conditions *)form->by_part)[part].words, condition);
    return OK;
}

static enum err add_pattern(struct plan_builder *b, struct scan_class *class, unsigned part,
                            const struct plan_pattern *pattern, unsigned condition)
{
    class->wants[condition].asks |= UINT32_C(1) << part;
    for (unsigned i = 0; i < pattern->find_count; i++) {
        const struct plan_find *find = &pattern->finds[i];
        struct class_form *form = form_in(class, find->form);
        want_form(class, find->form, condition);
        if (form != NULL && pattern->shortest < form->shortest)
            form->shortest = pattern->shortest;
        if (class->place_of[find->form] < class->place_count)
            TRY(look_at_form(b, &class->steps[class->place_of[find->form]], part, condition));
        class->parts[part].alone |= bit_has(b->negated, find->bit);
    }
    return OK;
}

enum err plan_batch_add(struct plan_builder *b, struct scan_class *class, unsigned part,
                        const struct plan_pattern *pattern, const struct byte_set *sets,
                        unsigned set_count, unsigned *condition)
{
    *condition = condition_of(b->plan, class, sets, set_count);
    if (pattern != NULL)
        return add_pattern(b, class, part, pattern, *condition);
    class->wants[*condition].opens |= UINT32_C(1) << part;
    return OK;
}

enum err plan_batch_end(struct plan_builder *b, struct scan_class *class)
{
    for (unsigned i = 0; i < class->condition_count; i++)
        bit_add(class->all.words, i);
    for (unsigned i = 0; i < class->part_count; i++)
        class->told |= class->parts[i].needs_text ? UINT32_C(1) << i : 0;
    for (unsigned i = 0; i < class->part_count; i++) {
        for (unsigned len = 0; len < FITTING_LENGTHS - 1 && len < class->parts[i].shortest;
             len++)
            class->fitting[len].parts &= ~(UINT32_C(1) << i);
    }
    TRY(find_plain(b, class));
    return tabulate(b, class);
}

/* ---- databases ------------------------------------------------------------------------------
 */

/* What one database finds, with a line for each value: plain texts wherever they stand, and
 * patterns once. */
enum err plan_batch_job(struct plan_builder *b, const struct scan_part *part,
                        const struct database_job *of, struct database_job *wide,
                        bool *possible, bool *own)
{
    const char **texts = arena_array(b->arena, const char *, of->count);
    unsigned *flags = arena_array(b->arena, unsigned, of->count);
    if (texts == NULL || flags == NULL)
        return ERR_MEMORY;
    *possible = part->few == NULL && (part->literals || !part->alone);
    *own = part->literals;
    for (unsigned i = 0; i < of->count && *possible; i++) {
        bool tied = false;
        texts[i] =
            part->literals ? of->texts[i] : pattern_for_lines(of->texts[i], b->arena, &tied);
        flags[i] = part->literals ? of->flags[i] & ~(unsigned)HS_FLAG_SINGLEMATCH
                                  : of->flags[i] | (tied ? HS_FLAG_MULTILINE : 0);
        *own = *own || tied;
        *possible = texts[i] != NULL;
        struct database_fit fit = { .text = texts[i], .flags = flags[i], .fits = true };
        if (*possible &&
            tied) /* in lines it is another pattern: `^` behind `^` is none there */
            TRY(database_fits(b->maker, &fit, 1));
        *possible = *possible && fit.fits;
    }
    *wide = (struct database_job){
        .texts = texts, .flags = flags, .ids = of->ids, .count = of->count, .mode = of->mode
    };
    return OK;
}
