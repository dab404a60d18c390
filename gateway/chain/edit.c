/* Edits: checked when proposed, applied in order. */
#include "gateway/chain/edit.h"

#include "gateway/chain/txn.h"

bool edit_make(struct ready_edit *ready, enum edit_kind kind, struct span name,
               struct span value)
{
    ready->kind = kind;
    /* A line end in the value would be a response split. */
    if (field_make(&ready->field, name, value) != OK || ready->field.value.len != value.len)
        return false;
    /* What ends a message, or where it goes, has one author: the writer. */
    unsigned id = ready->field.id;
    return (field_flags((enum field_id)id) & FIELD_HOP) == 0 && id != FIELD_CONTENT_LENGTH &&
           id != FIELD_HOST;
}

static void propose(struct txn *txn, struct edit *edit)
{
    edit->next = NULL;
    *txn->edits_tail = edit;
    txn->edits_tail = &edit->next;
}

bool edits_propose(struct txn *txn, enum edit_side side, const struct ready_edit *items,
                   size_t count)
{
    struct edit *edit = arena_alloc(txn->arena, sizeof(*edit));
    if (edit == NULL)
        return false;
    edit->side = side;
    edit->items = items;
    edit->count = count;
    propose(txn, edit);
    return true;
}

bool edit_field(struct txn *txn, enum edit_side side, enum edit_kind kind, struct span name,
                struct span value)
{
    struct ready_edit one;
    if (!edit_make(&one, kind, name, value))
        return false;
    struct edit *edit = arena_alloc(txn->arena, sizeof(*edit));
    if (edit == NULL)
        return false;
    *edit = (struct edit){ .side = side, .items = &edit->one, .count = 1, .one = one };
    propose(txn, edit);
    return true;
}

bool edit_lend_field(struct txn *txn, struct span name, struct span value)
{
    return edit_field(txn, EDIT_REQUEST, EDIT_SET, name, value);
}

bool lend_field(struct setup *setup, struct span name)
{
    struct lent_field *lent = arena_new(setup->arena, struct lent_field);
    if (lent == NULL)
        return false;
    *lent =
        (struct lent_field){ .name = name, .site = setup->site, .next = setup->config->lent };
    setup->config->lent = lent;
    return true;
}

void lent_fields_drop(const struct txn *txn, struct fields *fields)
{
    for (const struct lent_field *lent = txn->config->lent; lent != NULL; lent = lent->next)
        if (lent->site == NULL || strcmp(lent->site, txn->site->name) == 0)
            fields_drop_alias(fields, lent->name);
}

/* ---- the gateway's own cookies ---- */

static bool is_own(struct span cookie)
{
    struct span pair = span_trim(cookie);
    return span_starts_nocase(pair, SPAN(OWN_COOKIES)) ||
           span_starts_nocase(pair, SPAN(OWN_PLAIN_COOKIES));
}

static bool has_own(struct span cookies)
{
    struct span rest = cookies, one;
    while (span_cut(&rest, ';', &one))
        if (is_own(one))
            return true;
    return false;
}

/* What is left of one line; empty: nothing. */
struct span own_cookies_without(struct span cookies, struct arena *arena, bool *good)
{
    struct text out = text_growing(arena, cookies.len);
    struct span rest = cookies, one;
    while (span_cut(&rest, ';', &one)) {
        if (is_own(one) || span_trim(one).len == 0)
            continue;
        if (out.len > 0)
            text_lit(&out, "; ");
        text_add(&out, span_trim(one));
    }
    *good = !out.overflow;
    return text_span(&out);
}

bool own_cookies_hide(struct txn *txn, struct fields *fields)
{
    unsigned count = fields->count;
    for (unsigned i = 0; fields_have(fields, FIELD_COOKIE) && i < count; i++) {
        struct field *field = &fields->items[i];
        bool good = true;
        if (field->id != FIELD_COOKIE || field->dropped || !has_own(field->value))
            continue;
        struct span left = own_cookies_without(field->value, txn->arena, &good);
        field->dropped = true; /* for the record it still stands there */
        if (!good || (left.len > 0 &&
                      fields_add(fields, txn->arena, field_name(FIELD_COOKIE), left) != OK))
            return false;
    }
    return true;
}

void own_cookies_refuse(struct fields *fields)
{
    for (unsigned i = 0; fields_have(fields, FIELD_SET_COOKIE) && i < fields->count; i++) {
        struct field *field = &fields->items[i];
        field->dropped |= field->id == FIELD_SET_COOKIE && is_own(field->value);
    }
}

static void drop(struct fields *fields, enum edit_side side, const struct field *field)
{
    if (side == EDIT_REQUEST)
        fields_drop_alias(fields, field->name);
    else
        fields_drop_like(fields, field);
}

/* Fields that are edited, and the lengths modulo 64 of their names that are not known. */
struct edited {
    struct fields *fields;
    struct arena *arena;
    enum edit_side side;
    uint64_t lengths;
};

static uint64_t length_bit(const struct field *field)
{
    return field->id == FIELD_OTHER ? UINT64_C(1) << field->name.len % 64 : 0;
}

static uint64_t lengths_of(const struct fields *fields)
{
    uint64_t lengths = 0;
    for (unsigned i = 0; i < fields->count; i++)
        lengths |= length_bit(&fields->items[i]);
    return lengths;
}

/* False: no field there has that name. Most edits of answers are of fields that are not there.
 */
static bool may_stand(const struct edited *edited, const struct field *field)
{
    return field->id != FIELD_OTHER ? fields_have(edited->fields, (enum field_id)field->id)
                                    : (edited->lengths & length_bit(field)) != 0;
}

static void take_away(const struct edited *edited, const struct field *field)
{
    if (edited->side == EDIT_REQUEST || may_stand(edited, field))
        drop(edited->fields, edited->side, field);
}

static enum err add(struct edited *edited, const struct field *field)
{
    edited->lengths |= length_bit(field);
    return fields_put(edited->fields, edited->arena, field);
}

static enum err apply(const struct ready_edit *edit, struct edited *edited)
{
    const struct field *field = &edit->field;
    switch (edit->kind) {
    case EDIT_DROP:
        take_away(edited, field);
        return OK;
    case EDIT_SET:
        take_away(edited, field);
        return add(edited, field);
    case EDIT_ADD:
        return add(edited, field);
    case EDIT_DEFAULT:
        if (may_stand(edited, field) && fields_like(edited->fields, field) != NULL)
            return OK;
        return add(edited, field);
    }
    return ERR_UNKNOWN;
}

enum err edits_apply(struct txn *txn, enum edit_side side, struct fields *fields)
{
    struct edited edited = { .fields = fields, .arena = txn->arena, .side = side };
    edited.lengths = txn->edits != NULL ? lengths_of(fields) : 0;
    for (const struct edit *edit = txn->edits; edit != NULL; edit = edit->next)
        for (size_t i = 0; edit->side == side && i < edit->count; i++)
            TRY(apply(&edit->items[i], &edited));
    return OK;
}

void edits_guard_trailers(const struct txn *txn, enum edit_side side, struct fields *trailers)
{
    if (trailers->count == 0)
        return;
    for (const struct edit *edit = txn->edits; edit != NULL; edit = edit->next)
        for (size_t i = 0; edit->side == side && i < edit->count; i++)
            drop(trailers, side, &edit->items[i].field);
}
