/* The field array: adding, finding, dropping, and list-valued fields. */
#include "gateway/http/fields.h"

#include "gateway/http/chars.h"
#include "gateway/http/names.h"
#include "gateway/http/section.h"

enum { FIELDS_FIRST = 16, CONNECTION_OPTIONS_MAX = 16 };

enum err fields_init(struct fields *fields, struct arena *arena, unsigned capacity)
{
    *fields = (struct fields){ 0 };
    if (capacity == 0)
        return OK;
    fields->items = arena_alloc(arena, capacity * sizeof(struct field));
    if (fields->items == NULL)
        return ERR_MEMORY;
    fields->capacity = capacity;
    return OK;
}

enum err fields_grow(struct fields *fields, struct arena *arena)
{
    unsigned capacity;
    size_t bytes;

    if (fields->capacity == 0)
        capacity = FIELDS_FIRST;
    else if (__builtin_mul_overflow(fields->capacity, 2u, &capacity))
        return ERR_LIMIT;
    if (__builtin_mul_overflow(capacity, sizeof(struct field), &bytes))
        return ERR_LIMIT;
    struct field *items = arena_alloc(arena, bytes);
    if (items == NULL)
        return ERR_MEMORY;
    if (fields->count > 0)
        memcpy(items, fields->items, fields->count * sizeof(struct field));
    fields->items = items;
    fields->capacity = capacity;
    return OK;
}

static bool value_good(struct span value)
{
    return value.len == 0 || scan_value(value.p, span_end(value)) == span_end(value);
}

enum err field_make(struct field *field, struct span name, struct span value)
{
    bool odd = false;
    struct span trimmed = span_trim(value);

    if (name.len == 0 || scan_name(name.p, span_end(name), &odd) != span_end(name) ||
        !value_good(trimmed))
        return ERR_SYNTAX;
    enum field_id id = field_id_of_token(name, false);
    *field = (struct field){ .name = name, .value = trimmed, .id = (uint8_t)id, .odd = odd };
    return OK;
}

enum err fields_put(struct fields *fields, struct arena *arena, const struct field *made)
{
    if (fields->count == fields->capacity)
        TRY(fields_grow(fields, arena));
    fields->items[fields->count++] = *made;
    uint64_t bit = made->id != FIELD_OTHER ? UINT64_C(1) << made->id : 0;
    fields->repeated |= fields->present & bit;
    fields->present |= bit;
    fields->odd |= made->odd;
    return OK;
}

enum err fields_add(struct fields *fields, struct arena *arena, struct span name,
                    struct span value)
{
    struct field made;

    TRY(field_make(&made, name, value));
    return fields_put(fields, arena, &made);
}

enum err fields_add_known(struct fields *fields, struct arena *arena, enum field_id id,
                          struct span value)
{
    struct field made = { .name = field_name(id),
                          .value = span_trim(value),
                          .id = (uint8_t)id };

    INVARIANT(id != FIELD_OTHER);
    return value_good(made.value) ? fields_put(fields, arena, &made) : ERR_SYNTAX;
}

/* Known names are told apart by their ids, others letter by letter. */
static inline bool is_like(const struct field *field, unsigned id, struct span name)
{
    return field->id == id && (id != FIELD_OTHER || (field->name.len == name.len &&
                                                     span_equal_nocase(field->name, name)));
}

static const struct field *find_from(const struct fields *fields, unsigned from, unsigned id,
                                     struct span name)
{
    if (id != FIELD_OTHER && !field_in(fields->present, id))
        return NULL;
    for (unsigned i = from; i < fields->count; i++) {
        const struct field *field = &fields->items[i];
        if (!field->dropped && is_like(field, id, name))
            return field;
    }
    return NULL;
}

const struct field *fields_get(const struct fields *fields, enum field_id id)
{
    if (id == FIELD_OTHER || !fields_have(fields, id))
        return NULL;
    return find_from(fields, 0, id, SPAN(""));
}

const struct field *fields_find(const struct fields *fields, struct span name)
{
    return find_from(fields, 0, field_id_of(name), name);
}

const struct field *fields_like(const struct fields *fields, const struct field *made)
{
    return find_from(fields, 0, made->id, made->name);
}

struct span fields_value(const struct fields *fields, enum field_id id)
{
    const struct field *field = fields_get(fields, id);
    return field != NULL ? field->value : (struct span){ NULL, 0 };
}

const struct field *fields_next(const struct fields *fields, const struct field *field)
{
    if (field->id != FIELD_OTHER && !field_in(fields->repeated, field->id))
        return NULL;
    unsigned from = (unsigned)(field - fields->items) + 1;
    return find_from(fields, from, field->id, field->name);
}

void fields_drop(struct fields *fields, enum field_id id)
{
    if (id == FIELD_OTHER || !fields_have(fields, id))
        return;
    for (unsigned i = 0; i < fields->count; i++)
        if (fields->items[i].id == id)
            fields->items[i].dropped = true;
}

void fields_drop_like(struct fields *fields, const struct field *made)
{
    if (made->id != FIELD_OTHER) {
        fields_drop(fields, (enum field_id)made->id);
        return;
    }
    for (unsigned i = 0; i < fields->count; i++)
        if (is_like(&fields->items[i], FIELD_OTHER, made->name))
            fields->items[i].dropped = true;
}

static char alias_fold(char c)
{
    return c == '_' || c == '.' ? '-' : ascii_lower(c);
}

bool field_name_alias(struct span a, struct span b)
{
    if (a.len != b.len)
        return false;
    for (size_t i = 0; i < a.len; i++)
        if (alias_fold(a.p[i]) != alias_fold(b.p[i]))
            return false;
    return true;
}

void fields_drop_alias(struct fields *fields, struct span name)
{
    for (unsigned i = 0; i < fields->count; i++)
        if (field_name_alias(fields->items[i].name, name))
            fields->items[i].dropped = true;
}

/* Drops the known names in `set`, and among odd names those that are aliases of `aliases`. */
static void drop_set(struct fields *fields, uint64_t set, uint64_t aliases)
{
    if ((fields->present & set) == 0 && !fields->odd)
        return;
    for (unsigned i = 0; i < fields->count; i++) {
        struct field *field = &fields->items[i];
        if (field_in(set, field->id) ||
            (field->odd && field_in(aliases, field_id_of_alias(field->name))))
            field->dropped = true;
    }
}

void fields_drop_ours(struct fields *fields)
{
    drop_set(fields, fields_ours, fields_ours);
}

static void drop_name(struct fields *fields, struct span name)
{
    for (unsigned i = 0; i < fields->count; i++)
        if (span_equal_nocase(fields->items[i].name, name))
            fields->items[i].dropped = true;
}

/*
 * Each option costs a walk over the fields, so their number is bounded: a Connection of
 * thousands of options beside as many fields would be quadratic.
 */
static bool drop_nominated(struct fields *fields)
{
    const struct field *first = fields_get(fields, FIELD_CONNECTION);
    if (first == NULL ||
        (span_equal(first->value, SPAN("keep-alive")) && fields_next(fields, first) == NULL))
        return true;
    struct list_walk walk = list_walk(fields, FIELD_CONNECTION);
    struct span option;

    for (unsigned n = 0; list_next(&walk, &option); n++) {
        if (n >= CONNECTION_OPTIONS_MAX || !span_all(option, CHAR_TOKEN))
            return false;
        if (field_in(fields_not_nominated, field_id_of_alias(option)))
            return false;
        if (!field_in(fields_hop, field_id_of_token(option, false)))
            drop_name(fields, option);
    }
    return true;
}

bool fields_drop_hop_by_hop(struct fields *fields)
{
    const uint64_t framing =
        fields_hop | FIELD_BIT(CONTENT_LENGTH) | FIELD_BIT(HOST) | FIELD_BIT(EXPECT);

    if (fields_have(fields, FIELD_CONNECTION) && !drop_nominated(fields))
        return false;
    drop_set(fields, fields_hop, framing);
    return true;
}

struct list_walk list_walk(const struct fields *fields, enum field_id id)
{
    const struct field *first = fields_get(fields, id);
    struct span rest = first != NULL ? first->value : (struct span){ NULL, 0 };
    return (struct list_walk){ .fields = fields, .field = first, .rest = rest };
}

/* Up to the next comma that stands in no quoted string (RFC 9110 section 5.6.4). */
static struct span list_member(struct span *rest)
{
    const char *p = rest->p, *end = span_end(*rest);
    bool quoted = false;

    for (; p < end && (quoted || *p != ','); p++) {
        if (*p == '"')
            quoted = !quoted;
        else if (*p == '\\' && quoted && p + 1 < end)
            p++;
    }
    struct span member = span_trim(span_range(rest->p, p));
    *rest = span_range(p < end ? p + 1 : end, end);
    return member;
}

bool list_next(struct list_walk *walk, struct span *member)
{
    while (walk->field != NULL) {
        while (walk->rest.len > 0) {
            *member = list_member(&walk->rest);
            if (member->len > 0)
                return true;
        }
        walk->field = fields_next(walk->fields, walk->field);
        if (walk->field != NULL)
            walk->rest = walk->field->value;
    }
    return false;
}

bool fields_list_has(const struct fields *fields, enum field_id id, struct span token)
{
    struct list_walk walk = list_walk(fields, id);
    struct span member;

    while (list_next(&walk, &member))
        if (span_equal_nocase(member, token))
            return true;
    return false;
}
