/*
 * Applies nodes over structs, row by row. Nothing stops at the first error: what can be read is
 * read, and the rest complains.
 */
#include "conf/schema.h"

#include <stdarg.h>
#include <stdio.h>

#include "conf/collections.h"
#include "conf/scalar.h"
#include "conf/suggest.h"

const struct choice switch_choices[] = {
    { "on", 0, NULL },
    { "off", 1, NULL },
    { NULL, 0, NULL },
};

enum { MESSAGE_MAX = 512, KEYS_SHOWN = 12 };

struct application {
    struct schema *schema;
    const struct node *node;
    const struct shape *as;
};

void complain(struct complaint *complaint, enum severity severity, const char *format, ...)
{
    char message[MESSAGE_MAX];
    va_list args;
    va_start(args, format);
    int len = vsnprintf(message, sizeof(message), format, args);
    va_end(args);
    INVARIANT(len >= 0);

    struct text t = text_growing(complaint->schema->arena, 128);
    if (complaint->option != NULL) {
        text_add(&t, span_text(complaint->option));
        text_lit(&t, ": ");
    }
    text_add(&t, span_text(message));
    diag_add(complaint->schema->diags, severity, DIAG_CHECK, complaint->place, text_span(&t),
             SPAN(""));
}

static void apply_value(const struct given *given, void *field, bool complete);

static const struct choice *find_choice(const struct option *row, struct span name)
{
    if (row->kind != OPT_ENUM)
        return NULL;
    for (const struct choice *c = row->choices; c->name != NULL; c++) {
        if (span_equal(span_text(c->name), name))
            return c;
    }
    return NULL;
}

static void apply_object(const struct given *given, void *base, bool complete)
{
    struct section section = { given->row->options, base };
    schema_apply(
        given->schema, given->node,
        &(struct shape){
            .what = given->row->name, .sections = &section, .count = 1, .complete = complete });
}

static void apply_kind(const struct given *given, void *field, bool complete)
{
    if (kind_is_scalar(given->row->kind)) {
        if (given->node->kind == NODE_SCALAR)
            (void)scalar_parse(given, field);
        else
            refuse_type(given, "a single value", "");
        return;
    }
    switch (given->row->kind) {
    case OPT_TEXTS:
        apply_texts(given, field);
        return;
    case OPT_CIDRS:
        apply_cidrs(given, field);
        return;
    case OPT_LIST:
        apply_list(given, field);
        return;
    case OPT_MAP:
        apply_map(given, field);
        return;
    default:
        INVARIANT(given->row->kind == OPT_OBJECT);
        apply_object(given, field, complete);
        return;
    }
}

static void apply_value(const struct given *given, void *field, bool complete)
{
    struct diags *diags = given->schema->diags;
    unsigned errors = diags->errors;
    if (given->node->bad)
        return;
    if (is_nothing(given->node)) {
        (void)refuse_value(given, DIAG_EMPTY, SPAN("give a value, or remove the key"),
                           "%s has no value", given->row->name);
        return;
    }
    apply_kind(given, field, complete);
    if (given->row->check == NULL || diags->errors != errors)
        return;
    struct complaint complaint = { given->schema, given->node->place, given->row->name };
    given->row->check(field, &complaint);
}

/* Sections */

static const struct option *find_row(const struct application *a, struct span key, char **base)
{
    for (size_t i = 0; i < a->as->count; i++) {
        for (const struct option *row = a->as->sections[i].rows; row->kind != OPT_END; row++) {
            if (!span_equal(span_text(row->name), key))
                continue;
            *base = a->as->sections[i].base;
            return row;
        }
    }
    return NULL;
}

static bool is_also(const struct application *a, struct span key)
{
    for (const char *const *name = a->as->also; name != NULL && *name != NULL; name++) {
        if (span_equal(span_text(*name), key))
            return true;
    }
    return false;
}

struct known_keys {
    struct suggestion near;
    struct text names;
    unsigned count;
};

static void consider_key(struct known_keys *known, const char *name)
{
    suggest_consider(&known->near, span_text(name));
    if (known->count++ > 0)
        text_lit(&known->names, ", ");
    text_add(&known->names, span_text(name));
}

static void refuse_unknown(const struct application *a, const struct node *node)
{
    struct arena *arena = a->schema->arena;
    struct known_keys known = { suggest_for(node->key->text), text_growing(arena, 256), 0 };
    struct text message = text_growing(arena, 64), hint = text_growing(arena, 64);

    for (size_t i = 0; i < a->as->count; i++) {
        for (const struct option *row = a->as->sections[i].rows; row->kind != OPT_END; row++) {
            if ((row->flags & OPTION_HIDDEN) == 0)
                consider_key(&known, row->name);
        }
    }
    for (const char *const *name = a->as->also; name != NULL && *name != NULL; name++)
        consider_key(&known, *name);

    suggest_write(&hint, &known.near);
    if (hint.len == 0 && known.count > 0 && known.count <= KEYS_SHOWN) {
        text_lit(&hint, "known here: ");
        text_add(&hint, text_span(&known.names));
    }
    text_lit(&message, "unknown key \"");
    text_add(&message, span_sub(node->key->text, 0, 80));
    text_lit(&message, "\" in ");
    text_add(&message, span_text(a->as->what));
    diag_add(a->schema->diags, SEVERITY_ERROR, DIAG_UNKNOWN_KEY, node->key->place,
             text_span(&message), text_span(&hint));
}

static void apply_mapping(const struct application *a)
{
    for (const struct node *node = a->node->child; node != NULL; node = node->next) {
        char *base = NULL;
        if (node->key->bad)
            continue;
        const struct option *row = find_row(a, node->key->text, &base);
        if (row != NULL) {
            struct given given = { a->schema, row, node };
            apply_value(&given, base + row->offset, a->as->complete);
        } else if (!is_also(a, node->key->text)) {
            refuse_unknown(a, node);
        }
    }
}

/* Of several shorthand rows, the first that fits what was given. */
static bool shorthand_fits(const struct option *row, const struct node *node, bool last)
{
    if (node->kind == NODE_LIST)
        return row->kind == OPT_TEXTS || row->kind == OPT_CIDRS || row->kind == OPT_LIST;
    if (row->kind == OPT_ENUM && !last)
        return find_choice(row, node->text) != NULL;
    return true;
}

static const struct option *next_shorthand(const struct option *row)
{
    while (row->kind != OPT_END && (row->flags & OPTION_SHORTHAND) == 0)
        row++;
    return row;
}

static const struct option *find_shorthand(const struct application *a, char **base)
{
    for (size_t i = 0; i < a->as->count; i++) {
        const struct option *row = next_shorthand(a->as->sections[i].rows);
        while (row->kind != OPT_END) {
            const struct option *next = next_shorthand(row + 1);
            *base = a->as->sections[i].base;
            if (shorthand_fits(row, a->node, next->kind == OPT_END))
                return row;
            row = next;
        }
    }
    return NULL;
}

/* A scalar or list where a mapping could stand; answers the row that took it. */
static const struct option *apply_shorthand(const struct application *a)
{
    char *base = NULL;
    if (is_off(a->node)) {
        const struct option *mode = find_row(a, SPAN("mode"), &base);
        const struct choice *off = mode != NULL ? find_choice(mode, SPAN("off")) : NULL;
        if (off != NULL) {
            *(int *)(void *)(base + mode->offset) = off->value;
            return mode;
        }
    }
    const struct option *row = find_shorthand(a, &base);
    if (row != NULL) {
        struct given given = { a->schema, row, a->node };
        apply_value(&given, base + row->offset, a->as->complete);
        return row;
    }
    struct text message = text_growing(a->schema->arena, 64);
    text_add(&message, span_text(a->as->what));
    text_lit(&message, " takes a mapping, not ");
    text_add(&message, span_text(kind_of_node(a->node)));
    diag_add(a->schema->diags, SEVERITY_ERROR, DIAG_TYPE, a->node->place, text_span(&message),
             SPAN(""));
    return NULL;
}

static bool all_zero(const char *p, size_t len)
{
    for (size_t i = 0; i < len; i++) {
        if (p[i] != 0)
            return false;
    }
    return true;
}

/* Given here, or inherited. */
static bool row_satisfied(const struct application *a, const struct option *row,
                          const char *base, const struct option *shorthand)
{
    if ((row->flags & OPTION_REQUIRED) == 0 || row == shorthand)
        return true;
    if (a->node->kind == NODE_MAP && node_child(a->node, span_text(row->name)) != NULL)
        return true;
    return row->kind != OPT_OBJECT && !all_zero(base + row->offset, kind_size(row->kind));
}

static void check_required(const struct application *a, const struct option *shorthand)
{
    for (size_t i = 0; i < a->as->count; i++) {
        for (const struct option *row = a->as->sections[i].rows; row->kind != OPT_END; row++) {
            if (row_satisfied(a, row, a->as->sections[i].base, shorthand))
                continue;
            struct text message = text_growing(a->schema->arena, 64);
            struct text hint = text_growing(a->schema->arena, 64);
            text_add(&message, span_text(row->name));
            text_lit(&message, " is missing in ");
            text_add(&message, span_text(a->as->what));
            if (row->example != NULL) {
                text_lit(&hint, "for example ");
                text_add(&hint, span_text(row->name));
                text_lit(&hint, ": ");
                text_add(&hint, span_text(row->example));
            }
            diag_add(a->schema->diags, SEVERITY_ERROR, DIAG_REQUIRED, a->node->place,
                     text_span(&message), text_span(&hint));
        }
    }
}

void schema_apply(struct schema *schema, const struct node *node, const struct shape *shape)
{
    struct application a = { schema, node, shape };
    const struct option *shorthand = NULL;
    if (node->bad)
        return;
    if (is_nothing(node)) {
        struct text message = text_growing(schema->arena, 64);
        text_add(&message, span_text(shape->what));
        text_lit(&message, " has no value");
        diag_add(schema->diags, SEVERITY_ERROR, DIAG_EMPTY, node->place, text_span(&message),
                 SPAN("give a value, or remove the key"));
        return;
    }
    if (node->kind == NODE_MAP) {
        apply_mapping(&a);
    } else {
        shorthand = apply_shorthand(&a);
        if (shorthand == NULL)
            return;
    }
    if (shape->complete)
        check_required(&a, shorthand);
}

bool schema_scalar(struct schema *schema, const struct option *row, const struct node *scalar,
                   void *field)
{
    struct given given = { schema, row, scalar };
    unsigned errors = schema->diags->errors;
    apply_value(&given, field, false);
    return !scalar->bad && schema->diags->errors == errors;
}

/* Defaults */

/* A fallback as the node that the file would have given: comma-separated for lists. */
static bool fallback_node(struct schema *schema, const struct option *row, struct node *node)
{
    struct span rest = span_text(row->fallback), part;
    bool list = row->kind == OPT_TEXTS || row->kind == OPT_CIDRS || row->kind == OPT_LIST;
    *node = (struct node){ .kind = NODE_SCALAR, .text = rest, .quoted = true };
    if (!list || is_off(node))
        return true;

    *node = (struct node){ .kind = NODE_LIST };
    struct node **link = &node->child;
    while (row->fallback[0] != '\0' && span_cut(&rest, ',', &part)) {
        struct node *item = arena_new(schema->arena, struct node);
        if (item == NULL)
            return false;
        *item = (struct node){ .kind = NODE_SCALAR, .text = span_trim(part), .quoted = true };
        *link = item;
        link = &item->next;
        node->count++;
    }
    return true;
}

static void apply_fallback(struct schema *schema, const struct option *row, void *field)
{
    struct node node;
    unsigned errors = schema->diags->errors;
    struct given given = { schema, row, &node };
    if (fallback_node(schema, row, &node))
        apply_value(&given, field, false);
    /* Without memory the configuration is refused, whatever this value is. */
    if (schema->diags->errors != errors && !schema->arena->exhausted)
        invariant_failed(row->name, row->fallback, 0);
    if (schema->arena->exhausted && schema->diags->errors == 0)
        (void)refuse_value(&given, DIAG_LIMIT, SPAN(""), "the configuration is too large");
}

void schema_defaults(struct schema *schema, const struct option *rows, void *base)
{
    for (const struct option *row = rows; row->kind != OPT_END; row++) {
        char *field = (char *)base + row->offset;
        if (row->kind == OPT_OBJECT)
            schema_defaults(schema, row->options, field);
        if (row->fallback != NULL)
            apply_fallback(schema, row, field);
    }
}
