/*
 * Short values, many of them together: nearly all values of usual requests.
 *
 * Hyperscan takes about as long to begin as it does for a hundred bytes, and most values are
 * shorter. So the texts that a part is to be asked about stand in one buffer, a line each, and
 * are scanned at once (batch_scan.c). A text comes there only if it has, of each set of bytes
 * that a pattern of the part needs, at least one (the conditions of build_batch.c); a form is
 * not even made where its steps take bytes away and nothing that looks at it could be found in
 * what is left, nor where there is no room for anything in what the step makes.
 *
 * A step that does not decode makes no byte that has a sign which its text has not: so nothing
 * is missed, and what it makes is taken to have the same signs.
 */
#include "rules/engine/batch.h"
#include "rules/engine/set128.h"

#include <stdlib.h>

enum {
    VALUE_BYTES = 2 * 1024, /* of a value; longer ones gain nothing */
    ROOM_MAX = 1 << 20,
    WORK_STEP = 8,
    STEP_BYTES = 4,
};

/* ---- conditions -----------------------------------------------------------------------------
 */

static struct signs signs_of(const struct sec_plan *plan, struct span text)
{
    const struct signs *of = plan->signs;
    const uint8_t *p = (const uint8_t *)text.p, *end = p + text.len;
    __m128i even = _mm_setzero_si128(), odd = even;
    for (; end - p >= 4; p += 4) {
        even = _mm_or_si128(even, _mm_or_si128(set128_load(&of[p[0]]), set128_load(&of[p[1]])));
        odd = _mm_or_si128(odd, _mm_or_si128(set128_load(&of[p[2]]), set128_load(&of[p[3]])));
    }
    for (; p < end; p++)
        even = _mm_or_si128(even, set128_load(&of[*p]));
    struct signs have;
    set128_store(&have, _mm_or_si128(even, odd));
    return have;
}

/* All fours of 128 bits, a byte each. */
static void to_fours(__m128i bits, uint8_t fours[NIBBLES])
{
    const __m128i mask = _mm_set1_epi8(NIBBLE_VALUES - 1);
    __m128i low = _mm_and_si128(bits, mask);
    __m128i high = _mm_and_si128(_mm_srli_epi16(bits, 4), mask);
    set128_store(fours, _mm_unpacklo_epi8(low, high));
    set128_store(fours + NIBBLES / 2, _mm_unpackhi_epi8(low, high));
}

static uint32_t not_zero(const uint8_t fours[NIBBLES])
{
    const __m128i none = _mm_setzero_si128();
    __m128i low = _mm_cmpeq_epi8(set128_load(fours), none);
    __m128i high = _mm_cmpeq_epi8(set128_load(fours + NIBBLES / 2), none);
    return ~((unsigned)_mm_movemask_epi8(low) | (unsigned)_mm_movemask_epi8(high) << 16);
}

/* What a condition wants is wanted where it holds: most do not. */
static void meet(const struct scan_class *class, struct met *met)
{
    __m128i lacks = _mm_setzero_si128(), ways = set128_load(&class->wants[0].ways);
    uint8_t fours[NIBBLES];
    met->wanted = class->wants[0];
    met->conditions = class->all;
    if (class->condition_count == 1)
        return;
    to_fours(set128_load(&met->have), fours);
    for (unsigned i = 0; i < class->lacking_count; i++) {
        const struct lacking *lacking = &class->lacking[i];
        lacks = _mm_or_si128(lacks, set128_load(&lacking->by_value[fours[lacking->nibble]]));
    }
    __m128i hold = _mm_andnot_si128(lacks, set128_load(&class->all));
    set128_store(&met->conditions, hold);
    to_fours(hold, fours);
    for (uint32_t left = not_zero(fours); left != 0; left &= left - 1) {
        const unsigned i = (unsigned)__builtin_ctz(left);
        const struct wanted *wanted = &class->wanting[i][fours[i]];
        met->wanted.asks |= wanted->asks;
        met->wanted.opens |= wanted->opens;
        ways = _mm_or_si128(ways, set128_load(&wanted->ways));
    }
    set128_store(&met->wanted.ways, ways);
}

static void meet_again(struct sec_batch *batch, const struct sec_plan *plan, unsigned class,
                       struct met *met)
{
    const uint64_t *have = met->have.words;
    uint64_t hash = (have[0] ^ class) * UINT64_C(0xff51afd7ed558ccd) ^
                    (have[1] + class) * UINT64_C(0xc4ceb9fe1a85ec53);
    struct kept_met *kept = &batch->kept_met[hash >> 40 & (BATCH_MET - 1)];
    if (kept->class != class || kept->met.have.words[0] != have[0] ||
        kept->met.have.words[1] != have[1]) {
        meet(&plan->classes[class], met);
        *kept = (struct kept_met){ *met, class };
    }
    *met = kept->met;
}

/* ---- forms ----------------------------------------------------------------------------------
 */

static void see_traits(struct forms *t, unsigned i)
{
    if (t->traits[i] == 0)
        t->traits[i] = traits_of(t->text[i]);
}

/* Which of the value's texts it is. BATCH_FORMS_MAX: there is no room for another. `like`: one
 * that has all its signs; BATCH_FORMS_MAX: there is none. */
static unsigned index_of(struct sec_batch *batch, const struct sec_plan *plan, unsigned class,
                         struct span text, unsigned like)
{
    struct forms *t = &batch->texts;
    for (unsigned i = 0; i < t->count; i++) {
        if (t->text[i].len == text.len &&
            (t->text[i].p == text.p || memcmp(t->text[i].p, text.p, text.len) == 0))
            return i;
    }
    if (t->count == BATCH_FORMS_MAX)
        return BATCH_FORMS_MAX;
    t->text[t->count] = text;
    t->traits[t->count] = 0;
    if (like != BATCH_FORMS_MAX) {
        t->met[t->count] = t->met[like];
    } else {
        t->met[t->count].have = signs_of(plan, text);
        meet_again(batch, plan, class, &t->met[t->count]);
    }
    return t->count++;
}

static unsigned make(struct sec_batch *batch, struct sec_run *run, unsigned class,
                     const struct class_form *form, unsigned from)
{
    struct forms *t = &batch->texts;
    const struct transform *step = form->step;
    for (unsigned i = 0; i < t->made_count; i++) {
        if (t->made[i].apply == step->apply && t->made[i].from == from)
            return t->made[i].to;
    }
    struct span in = t->text[from];
    char *room = batch->room.p + batch->used;
    struct span out = step->apply(in, room);
    run->work += in.len / STEP_BYTES + WORK_STEP;
    if (out.p == NULL)
        out = SPAN("");
    bool decoded = (t->traits[from] & form->decoded_by) != 0;
    unsigned to = index_of(batch, run->plan, class, out, decoded ? BATCH_FORMS_MAX : from);
    if (to == BATCH_FORMS_MAX)
        return BATCH_FORMS_MAX;
    if (out.p == room && t->text[to].p == room)
        batch->used += (out.len + 15) & ~(size_t)15;
    if (t->made_count < BATCH_MADE_MAX)
        t->made[t->made_count++] = (struct made){ step->apply, (uint8_t)from, (uint8_t)to };
    return to;
}

/* Whether what the step makes of the text has not the room for anything to be found in it. */
static bool is_too_short(const struct class_form *form, struct span text)
{
    return form->step->bound != NULL &&
           form->step->bound(text, form->shortest) < form->shortest;
}

/* No form is another text, but for those in which nothing could be found. */
static bool is_plain(const struct forms *t, const struct scan_class *class)
{
    bool plain = (t->traits[0] & class->plain_triggers) == 0;
    for (unsigned i = 0; i < class->bounded_count && plain; i++)
        plain = is_too_short(&class->steps[class->bounded[i]], t->text[0]);
    return plain;
}

/* Places from `from` to `to` of the steps that a text with those traits sets off, as far as the
 * group has to do with them; the others stay as they are. */
static void set_off(const struct scan_class *class, const struct plan_group *group,
                    uint32_t traits, unsigned from, unsigned to, struct places *places)
{
    struct places all = { { 0 } };
    for (traits &= class->triggers; traits != 0; traits &= traits - 1) {
        const struct places *by = &class->set_off[__builtin_ctz(traits)];
        for (unsigned i = 0; i < ARRAY_LEN(all.words); i++)
            all.words[i] |= by->words[i];
    }
    for (unsigned i = from / 64; i < ARRAY_LEN(all.words) && i * 64 < to; i++) {
        uint64_t mask = UINT64_MAX;
        if (i == from / 64)
            mask &= UINT64_MAX << from % 64;
        if (to - i * 64 < 64)
            mask &= ~(UINT64_MAX << (to - i * 64));
        uint64_t due = all.words[i] & group->places.words[i];
        places->words[i] = (places->words[i] & ~mask) | (due & mask);
    }
}

/* The text of a form whose step is set off by a text. NO_TEXT: nothing would be found in it;
 * BATCH_FORMS_MAX: there are too many. */
static unsigned make_form(struct sec_batch *batch, struct sec_run *run, unsigned number,
                          const struct class_form *form, unsigned from)
{
    const struct forms *t = &batch->texts;
    if (is_too_short(form, t->text[from]) ||
        ((t->traits[from] & form->decodes) == 0 &&
         !set128_meet(form->wanted.words, t->met[from].conditions.words)))
        return NO_TEXT;
    return make(batch, run, number, form, from);
}

/* A form that is not made is the same text as what it is made of, and so are all behind it; or
 * nobody looks at it in such a value. False: there are too many. */
static bool make_forms(struct sec_batch *batch, struct sec_run *run,
                       const struct plan_group *group, uint8_t *index_of)
{
    const unsigned number = group->class;
    const struct scan_class *class = &run->plan->classes[number];
    struct places due = { { 0 } };
    set_off(class, group, batch->texts.traits[0], 1, class->place_count, &due);
    for (unsigned i = bit_next(due.words, 1, class->place_count); i < class->place_count;
         i = bit_next(due.words, i + 1, class->place_count)) {
        const struct class_form *form = &class->steps[i];
        unsigned index = make_form(batch, run, number, form, index_of[i]);
        if (index == BATCH_FORMS_MAX)
            return false;
        memset(index_of + i, (int)index, form->end - i);
        if (form->traits_matter && index != NO_TEXT)
            see_traits(&batch->texts, index);
        set_off(class, group, index == NO_TEXT ? 0 : batch->texts.traits[index], i + 1,
                form->end, &due);
    }
    return true;
}

/* ---- checks ---------------------------------------------------------------------------------
 */

/* False: out of memory. */
static bool ask_check(struct sec_batch *batch, struct sec_run *run,
                      const struct batch_value *of, const struct plan_pattern *check)
{
    const struct scan_class *class = &run->plan->classes[of->class];
    const struct plan_group *group = &run->plan->groups[of->value->group];
    const struct forms *t = &batch->texts;
    uint64_t asked = 0, said = 0;
    for (unsigned j = 0; j < check->find_count; j++) {
        if (!bit_has(group->bits, check->finds[j].bit))
            continue;
        unsigned text = sec_batch_text(class, of, check->finds[j].form);
        if (text == NO_TEXT || (t->traits[text] & check->check->traits) == 0)
            continue;
        uint64_t bit = UINT64_C(1) << text;
        if ((asked & bit) == 0 &&
            sec_check_says_yes(run, run->local, check->check, t->text[text]))
            said |= bit;
        asked |= bit;
        if ((said & bit) != 0 && !sec_note_find(run, of->value, check->finds[j].bit))
            return false;
    }
    return true;
}

static bool ask_checks(struct sec_batch *batch, struct sec_run *run,
                       const struct batch_value *of)
{
    const struct plan_group *group = &run->plan->groups[of->value->group];
    const struct forms *t = &batch->texts;
    uint32_t traits = 0;
    bool good = true;
    for (unsigned i = 0; i < t->count; i++)
        traits |= t->traits[i];
    for (unsigned i = 0; i < group->check_count && good; i++) {
        if ((traits & group->checks[i].traits) != 0)
            good = ask_check(batch, run, of, group->checks[i].pattern);
    }
    return good;
}

/* ---- lines ----------------------------------------------------------------------------------
 */

/* False: there is no room. */
static bool add_line(struct sec_batch *batch, const struct scan_class *row, unsigned class,
                     unsigned text, uint32_t asks)
{
    size_t len = batch->texts.text[text].len + 1;
    if (asks == 0)
        return true;
    if (len > sizeof(batch->buffer) - batch->bytes)
        return false;
    batch->lines[batch->line_count] = (struct line){
        .text = batch->texts.text[text],
        .value = (uint16_t)batch->value_count,
        .next = batch->lines_of[class],
        .class = (uint8_t) class,
        .index = (uint8_t)text,
        .asks = asks,
        .may = batch->texts.met[text].wanted.ways,
        .found = { row->unlisted[0], row->unlisted[1] },
    };
    batch->lines_of[class] = (uint16_t)++batch->line_count;
    batch->asked[class] |= asks;
    batch->bytes += len;
    return true;
}

/* False: there is no room for all of them. */
static bool add_texts(struct sec_batch *batch, const struct scan_class *class,
                      const struct plan_group *group, const struct batch_value *of)
{
    UNCLEARED uint32_t asks[BATCH_FORMS_MAX];
    bool good = true;
    sec_batch_asks(batch, class, group, of, asks);
    for (unsigned i = 0; i < batch->texts.count && good; i++)
        good = add_line(batch, class, group->class, i, asks[i]);
    return good;
}

/* ---- values ---------------------------------------------------------------------------------
 */

bool sec_batch_takes(const struct sec_run *run, const struct sec_value *value)
{
    return run->together && value->text.len <= VALUE_BYTES && run->turns == NULL &&
           run->away == NULL;
}

static struct sec_batch *batch_of(struct sec_local *local)
{
    if (local->batch == NULL)
        local->batch = calloc(1, sizeof(*local->batch));
    return local->batch;
}

/* The lines from `count` on are not there. */
static void take_back(struct sec_batch *batch, unsigned count, size_t bytes)
{
    while (batch->line_count > count) {
        const struct line *line = &batch->lines[--batch->line_count];
        batch->lines_of[line->class] = line->next;
    }
    batch->bytes = bytes;
}

/* False: it has more texts than there is room for. */
static bool take(struct sec_batch *batch, struct sec_run *run, struct batch_value *of)
{
    const struct sec_plan *plan = run->plan;
    const struct scan_class *class = &plan->classes[of->class];
    struct sec_value *value = of->value;
    const struct plan_group *group = &plan->groups[value->group];
    unsigned lines = batch->line_count;
    size_t bytes = batch->bytes;
    struct forms *t = &batch->texts;
    t->count = t->made_count = 0;
    (void)index_of(batch, plan, of->class, value->text.p != NULL ? value->text : SPAN(""),
                   BATCH_FORMS_MAX);
    see_traits(t, 0);
    value->traits = t->traits[0];
    value->has_traits = true;
    of->index_of = class->plain_index;
    if (is_plain(t, class))
        return add_texts(batch, class, group, of);
    uint8_t *index_of_place = batch->indexes[batch->value_count];
    memset(index_of_place, 0, class->place_count);
    index_of_place[class->place_count] = NO_TEXT;
    of->index_of = index_of_place;
    if (!make_forms(batch, run, group, index_of_place))
        return false;
    bool good = add_texts(batch, class, group, of);
    if (!good)
        take_back(batch, lines, bytes);
    return good;
}

enum sec_end sec_batch_add(struct sec_run *run, struct sec_value *value, unsigned class,
                           struct sec_known *kept)
{
    struct sec_batch *batch = batch_of(run->local);
    const struct scan_class *row = &run->plan->classes[class];
    size_t bound = sec_forms_bound(row, value->text.len);
    if (batch == NULL || bound > ROOM_MAX)
        return SEC_AWAY;
    bool full = batch->value_count == BATCH_VALUES_MAX ||
                batch->line_count + BATCH_FORMS_MAX > BATCH_TEXTS_MAX ||
                batch->bytes > BATCH_BYTES || batch->used + bound > batch->room.size;
    if (full && batch->value_count > 0) {
        enum sec_end end = sec_batch_end(run);
        if (end != SEC_DONE)
            return end;
    }
    if (!sec_room_for(&batch->room, bound, ROOM_MAX))
        return SEC_AWAY;
    batch->begun = true;
    batch->class_end = class < batch->class_end ? batch->class_end : class + 1;
    struct batch_value *of = &batch->values[batch->value_count];
    uint64_t before = run->work;
    *of = (struct batch_value){ .value = value, .kept = kept, .class = (uint8_t) class };
    if (!take(batch, run, of)) {
        run->work = before;
        if (batch->value_count == 0)
            return SEC_AWAY;
        /* There may be room where nothing waits: what becomes of it is up to itself alone. */
        enum sec_end end = sec_batch_end(run);
        return end == SEC_DONE ? sec_batch_add(run, value, class, kept) : end;
    }
    run->counts.values++;
    run->counts.distinct += batch->texts.count;
    if (!ask_checks(batch, run, of))
        return SEC_MEMORY;
    of->work = run->work - before;
    batch->value_count++;
    return SEC_DONE;
}

enum sec_end sec_batch_end(struct sec_run *run)
{
    struct sec_batch *batch = run->local->batch;
    enum sec_end end = SEC_DONE;
    if (batch == NULL || !batch->begun)
        return SEC_DONE;
    if (batch->line_count > 0)
        end = sec_batch_scan(batch, run);
    for (unsigned i = 0; i < batch->value_count && end == SEC_DONE; i++) {
        const struct batch_value *of = &batch->values[i];
        if (of->kept != NULL)
            sec_known_note(run, of->kept, of->value, of->work);
    }
    sec_batch_drop(run->local);
    return end;
}

void sec_batch_drop(struct sec_local *local)
{
    struct sec_batch *batch = local->batch;
    if (batch == NULL || !batch->begun)
        return;
    batch->begun = false;
    batch->value_count = batch->line_count = 0;
    batch->bytes = batch->used = 0;
    memset(batch->lines_of, 0, batch->class_end * sizeof(*batch->lines_of));
    memset(batch->asked, 0, batch->class_end * sizeof(*batch->asked));
    batch->class_end = 0;
}

void sec_batch_free(struct sec_batch *batch)
{
    if (batch == NULL)
        return;
    free(batch->room.p);
    free(batch);
}
