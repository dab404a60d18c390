/*
 * Field sections and what is done with them: lists, aliases, dropping. Members lie inside the
 * value and hold no comma outside quotes; alias equality is symmetric and holds after a drop;
 * nothing that is hop by hop travels; what was parsed can be added again and nothing else can.
 */
#include "fuzz/http_fuzz.h"
#include "gateway/http/names.h"
#include "gateway/http/section.h"

static void check_lists(const struct fields *fields, struct span input)
{
    for (unsigned id = 1; id < FIELD_ID_COUNT; id++) {
        struct list_walk walk = list_walk(fields, (enum field_id)id);
        struct span member;
        while (list_next(&walk, &member)) {
            INVARIANT(member.len > 0 && span_within(member, input));
            INVARIANT(span_equal(span_trim(member), member));
            INVARIANT(span_index(member, ',') < 0 || span_index(member, '"') >= 0);
            INVARIANT(fields_list_has(fields, (enum field_id)id, member));
        }
    }
}

static void check_aliases(const struct fields *fields)
{
    for (unsigned i = 0; i < fields->count; i++) {
        for (unsigned k = 0; k < fields->count; k++) {
            struct span a = fields->items[i].name, b = fields->items[k].name;
            bool alias = field_name_alias(a, b);
            INVARIANT(alias == field_name_alias(b, a));
            INVARIANT(!span_equal_nocase(a, b) || alias);
            INVARIANT(!alias || field_id_of_alias(a) == field_id_of_alias(b));
        }
    }
}

static void check_drops(struct fields *fields)
{
    if (fields->count > 0) {
        struct span name = fields->items[fields->count / 2].name;
        fields_drop_alias(fields, name);
        for (unsigned i = 0; i < fields->count; i++)
            INVARIANT(fields->items[i].dropped ==
                      field_name_alias(fields->items[i].name, name));
    }
    fields_drop_ours(fields);
    bool good = fields_drop_hop_by_hop(fields);
    for (unsigned i = 0; good && i < fields->count; i++) {
        const struct field *field = &fields->items[i];
        enum field_id id = field_id_of_alias(field->name);
        if (!field->dropped)
            INVARIANT(!(field_flags(id) & (FIELD_HOP | FIELD_OURS)));
    }
}

static void check_add(const struct fields *fields, struct span input, struct arena *arena)
{
    struct fields copy = { 0 };

    for (unsigned i = 0; i < fields->count; i++) {
        INVARIANT(fields_add(&copy, arena, fields->items[i].name, fields->items[i].value) ==
                  OK);
        INVARIANT(copy.items[i].id == fields->items[i].id);
        INVARIANT(copy.items[i].odd == fields->items[i].odd);
    }
    INVARIANT(copy.present == fields->present && copy.repeated == fields->repeated);
    INVARIANT(copy.odd == fields->odd);
    INVARIANT(fields_add(&copy, arena, SPAN("A"), input) == ERR_SYNTAX ||
              span_index(input, '\n') < 0);
    INVARIANT(fields_add(&copy, arena, input, SPAN("")) == ERR_SYNTAX ||
              span_index(input, ':') < 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct span input = span_of((const char *)data, size);
    struct fields fields = { 0 };
    struct arena arena;

    fuzz_arena(&arena);
    enum http_error error = section_parse(&fields, input, fuzz_limits.fields, &arena);
    check_fields(&fields, input);
    if (error == HTTP_OK)
        check_add(&fields, input, &arena);
    check_lists(&fields, input);
    check_aliases(&fields);
    check_drops(&fields);
    arena_reset(&arena);
    return 0;
}
