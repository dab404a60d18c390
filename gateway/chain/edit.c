/* Edits: checked when proposed, applied in order. */
#include "gateway/chain/edit.h"

#include "gateway/chain/txn.h"
#include "gateway/http/chars.h"

static bool name_allowed(struct span name)
{
    if (!span_all(name, CHAR_TOKEN))
        return false;
    /* What ends a message, or where it goes, has one author: the writer. */
    enum field_id id = field_id_of(name);
    return (field_flags(id) & FIELD_HOP) == 0 && id != FIELD_CONTENT_LENGTH && id != FIELD_HOST;
}

/* A line end here would be a response split. */
static bool value_allowed(struct span value)
{
    return value.len == 0 || (span_all(value, CHAR_VALUE) && span_trim(value).len == value.len);
}

bool edit_field(struct txn *txn, enum edit_side side, enum edit_kind kind, struct span name,
                struct span value)
{
    if (!name_allowed(name) || !value_allowed(value))
        return false;
    struct edit *edit = arena_alloc(txn->arena, sizeof(*edit));
    if (edit == NULL)
        return false;
    *edit = (struct edit){ .side = side, .kind = kind, .name = name, .value = value };
    *txn->edits_tail = edit;
    txn->edits_tail = &edit->next;
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
    return span_starts_nocase(span_trim(cookie), SPAN(OWN_COOKIES)) ||
           span_starts_nocase(span_trim(cookie), SPAN(OWN_PLAIN_COOKIES));
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

static void drop(struct fields *fields, enum edit_side side, struct span name)
{
    if (side == EDIT_REQUEST) {
        fields_drop_alias(fields, name);
        return;
    }
    for (unsigned i = 0; i < fields->count; i++)
        if (span_equal_nocase(fields->items[i].name, name))
            fields->items[i].dropped = true;
}

static enum err apply(const struct edit *edit, struct fields *fields, struct arena *arena)
{
    switch (edit->kind) {
    case EDIT_DROP:
        drop(fields, edit->side, edit->name);
        return OK;
    case EDIT_SET:
        drop(fields, edit->side, edit->name);
        return fields_add(fields, arena, edit->name, edit->value);
    case EDIT_ADD:
        return fields_add(fields, arena, edit->name, edit->value);
    case EDIT_DEFAULT:
        if (fields_find(fields, edit->name) != NULL)
            return OK;
        return fields_add(fields, arena, edit->name, edit->value);
    }
    return ERR_UNKNOWN;
}

enum err edits_apply(struct txn *txn, enum edit_side side, struct fields *fields)
{
    for (const struct edit *edit = txn->edits; edit != NULL; edit = edit->next)
        if (edit->side == side)
            TRY(apply(edit, fields, txn->arena));
    return OK;
}

void edits_guard_trailers(const struct txn *txn, enum edit_side side, struct fields *trailers)
{
    if (trailers->count == 0)
        return;
    for (const struct edit *edit = txn->edits; edit != NULL; edit = edit->next)
        if (edit->side == side)
            drop(trailers, side, edit->name);
}
