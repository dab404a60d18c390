/*
 * Applies nodes over structs, row by row. Nothing stops at the first error: what can be read is
 * read, and the rest complains.
 */
#include "conf/schema.h"

#include <stdarg.h>
#include <stdio.h>

#include "conf/scalar.h"
#include "conf/suggest.h"

enum { MESSAGE_MAX = 512, KEYS_SHOWN = 12 };

struct application {
    struct schema *schema;
    const struct node *node;
    const char *what;
    const struct section *sections;
    size_t count;
    const char *const *also;
    bool complete;
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

static bool is_nothing(const struct node *node)
{
    return node->kind == NODE_SCALAR && node->text.len == 0 && !node->quoted &&
           !node->substituted;
}

static bool is_off(const struct node *node)
{
    return node->kind == NODE_SCALAR &&
           (span_equal(node->text, SPAN("off")) || span_equal(node->text, SPAN("false")));
}

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

static const char *kind_of_node(const struct node *node)
{
    static const char *const words[] = {
        [NODE_SCALAR] = "a single value",
        [NODE_LIST] = "a list",
        [NODE_MAP] = "a mapping",
    };
    return words[node->kind];
}

static void refuse_type(const struct given *given, const char *wants, const char *hint)
{
    (void)refuse_value(given, DIAG_TYPE, span_text(hint), "%s takes %s, not %s",
                       given->row->name, wants, kind_of_node(given->node));
}

/* Lists */

static bool count_in_bounds(const struct given *given, size_t count)
{
    int64_t min = given->row->min, max = given->row->max;
    if (min > 0 && count < (size_t)min)
        return refuse_value(given, DIAG_RANGE, SPAN(""), "%s needs at least %lld",
                            given->row->name, (long long)min);
    if (max > 0 && count > (size_t)max)
        return refuse_value(given, DIAG_RANGE, SPAN(""), "%s takes at most %lld",
                            given->row->name, (long long)max);
    return true;
}

/*
 * A new array for `more` items, behind the parent's where the row appends. The parent's own
 * array is shared with others and stays as it is. An empty list clears what was inherited.
 */
static void *extend(const struct given *given, const struct list *old, size_t more, size_t size)
{
    bool append = (given->row->flags & OPTION_APPEND) != 0 && more > 0;
    size_t kept = append ? old->count : 0, count;
    if (__builtin_add_overflow(kept, more, &count) || !count_in_bounds(given, count))
        return NULL;
    char *items = arena_zero(given->schema->arena, count > 0 ? count : 1, size);
    if (items == NULL) {
        (void)refuse_memory(given);
        return NULL;
    }
    if (kept > 0)
        memcpy(items, old->items, kept * size);
    return items;
}

static size_t kept_count(const struct given *given, size_t old, size_t more)
{
    return (given->row->flags & OPTION_APPEND) != 0 && more > 0 ? old : 0;
}

static bool item_usable(const struct given *item)
{
    if (item->node->bad)
        return false;
    if (item->node->kind != NODE_SCALAR) {
        refuse_type(item, "a list of single values", "");
        return false;
    }
    if (is_nothing(item->node))
        return refuse_value(item, DIAG_EMPTY, SPAN(""), "an item of %s has no value",
                            item->row->name);
    return true;
}

/* A scalar stands for a list of one; a mapping is refused. */
static bool items_of(const struct given *given, const struct node **first, size_t *count)
{
    const struct node *node = given->node;
    *first = node->kind == NODE_SCALAR ? node : node->child;
    *count = node->kind == NODE_SCALAR ? 1 : node->count;
    if (node->kind != NODE_MAP)
        return true;
    refuse_type(given, "a list", "begin each item with \"- \"");
    return false;
}

static const struct node *after(const struct given *given, const struct node *item)
{
    return given->node->kind == NODE_SCALAR ? NULL : item->next;
}

static void apply_texts(const struct given *given, void *field)
{
    struct texts *texts = field;
    struct list old = { texts->items, texts->count };
    const struct node *node;
    size_t more;
    if (!items_of(given, &node, &more))
        return;
    struct span *items = extend(given, &old, more, sizeof(*items));
    if (items == NULL)
        return;
    size_t count = kept_count(given, old.count, more);
    for (; node != NULL; node = after(given, node)) {
        struct given item = { given->schema, given->row, node };
        if (item_usable(&item) && check_reference(&item))
            items[count++] = node->text;
    }
    *texts = (struct texts){ items, count };
}

static void apply_cidrs(const struct given *given, void *field)
{
    struct cidrs *cidrs = field;
    struct list old = { cidrs->items, cidrs->count };
    const struct node *node;
    size_t more;
    if (!items_of(given, &node, &more))
        return;
    struct cidr *items = extend(given, &old, more, sizeof(*items));
    if (items == NULL)
        return;
    size_t count = kept_count(given, old.count, more);
    for (; node != NULL; node = after(given, node)) {
        struct given item = { given->schema, given->row, node };
        if (item_usable(&item) && parse_cidr(&item, &items[count]))
            count++;
    }
    *cidrs = (struct cidrs){ items, count };
}

static bool has_shorthand(const struct option *rows)
{
    for (; rows->kind != OPT_END; rows++) {
        if ((rows->flags & OPTION_SHORTHAND) != 0)
            return true;
    }
    return false;
}

static void apply_item(const struct given *given, const struct node *node, void *base)
{
    struct section section = { given->row->options, base };
    schema_defaults(given->schema, given->row->options, base);
    schema_apply(given->schema, node, given->row->name, &section, 1, NULL, true);
}

static void apply_list(const struct given *given, void *field)
{
    const struct option *row = given->row;
    struct list *list = field;
    const struct node *node;
    size_t more;

    if (is_off(given->node)) {
        *list = (struct list){ .count = 0 };
        return;
    }
    if (given->node->kind == NODE_SCALAR && !has_shorthand(row->options)) {
        refuse_type(given, "a list", "");
        return;
    }
    if (!items_of(given, &node, &more))
        return;
    char *items = extend(given, list, more, row->item_size);
    if (items == NULL)
        return;
    size_t count = kept_count(given, list->count, more);
    for (; node != NULL; node = after(given, node)) {
        if (!node->bad)
            apply_item(given, node, items + count++ * row->item_size);
    }
    *list = (struct list){ items, count };
}

/* The parent's item of that key, which the child's replaces; or a new one. */
static char *map_slot(char *items, size_t *count, size_t size, struct span key)
{
    for (size_t i = 0; i < *count; i++) {
        struct map_item *item = (struct map_item *)(void *)(items + i * size);
        if (!span_equal(item->key, key))
            continue;
        memset(item, 0, size);
        return (char *)item;
    }
    return items + (*count)++ * size;
}

static void apply_map(const struct given *given, void *field)
{
    const struct option *row = given->row;
    struct list *list = field;
    if (is_off(given->node)) {
        *list = (struct list){ .count = 0 };
        return;
    }
    if (given->node->kind != NODE_MAP) {
        refuse_type(given, "a mapping from names", "");
        return;
    }
    char *items = extend(given, list, given->node->count, row->item_size);
    if (items == NULL)
        return;
    size_t kept = kept_count(given, list->count, given->node->count), count = kept;
    for (const struct node *node = given->node->child; node != NULL; node = node->next) {
        if (node->bad)
            continue;
        /* Keys of one mapping differ already; only those kept can be the same. */
        char *base = kept > 0 ? map_slot(items, &count, row->item_size, node->key->text)
                              : items + count++ * row->item_size;
        apply_item(given, node, base);
        ((struct map_item *)(void *)base)->key = node->key->text;
    }
    *list = (struct list){ items, count };
}

static void apply_object(const struct given *given, void *base, bool complete)
{
    struct section section = { given->row->options, base };
    schema_apply(given->schema, given->node, given->row->name, &section, 1, NULL, complete);
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
    for (size_t i = 0; i < a->count; i++) {
        for (const struct option *row = a->sections[i].rows; row->kind != OPT_END; row++) {
            if (!span_equal(span_text(row->name), key))
                continue;
            *base = a->sections[i].base;
            return row;
        }
    }
    return NULL;
}

static bool is_also(const struct application *a, struct span key)
{
    for (const char *const *name = a->also; name != NULL && *name != NULL; name++) {
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

    for (size_t i = 0; i < a->count; i++) {
        for (const struct option *row = a->sections[i].rows; row->kind != OPT_END; row++) {
            if ((row->flags & OPTION_HIDDEN) == 0)
                consider_key(&known, row->name);
        }
    }
    for (const char *const *name = a->also; name != NULL && *name != NULL; name++)
        consider_key(&known, *name);

    suggest_write(&hint, &known.near);
    if (hint.len == 0 && known.count > 0 && known.count <= KEYS_SHOWN) {
        text_lit(&hint, "known here: ");
        text_add(&hint, text_span(&known.names));
    }
    text_lit(&message, "unknown key \"");
    text_add(&message, span_sub(node->key->text, 0, 80));
    text_lit(&message, "\" in ");
    text_add(&message, span_text(a->what));
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
            apply_value(&given, base + row->offset, a->complete);
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
    for (size_t i = 0; i < a->count; i++) {
        const struct option *row = next_shorthand(a->sections[i].rows);
        while (row->kind != OPT_END) {
            const struct option *next = next_shorthand(row + 1);
            *base = a->sections[i].base;
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
        apply_value(&given, base + row->offset, a->complete);
        return row;
    }
    struct text message = text_growing(a->schema->arena, 64);
    text_add(&message, span_text(a->what));
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
    for (size_t i = 0; i < a->count; i++) {
        for (const struct option *row = a->sections[i].rows; row->kind != OPT_END; row++) {
            if (row_satisfied(a, row, a->sections[i].base, shorthand))
                continue;
            struct text message = text_growing(a->schema->arena, 64);
            struct text hint = text_growing(a->schema->arena, 64);
            text_add(&message, span_text(row->name));
            text_lit(&message, " is missing in ");
            text_add(&message, span_text(a->what));
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

void schema_apply(struct schema *schema, const struct node *node, const char *what,
                  const struct section *sections, size_t count, const char *const *also,
                  bool complete)
{
    struct application a = { schema, node, what, sections, count, also, complete };
    const struct option *shorthand = NULL;
    if (node->bad)
        return;
    if (is_nothing(node)) {
        struct text message = text_growing(schema->arena, 64);
        text_add(&message, span_text(what));
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
    if (complete)
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
