/*
 * Options of many values: texts, prefixes, lists of structs, maps of structs.
 */
#include "conf/collections.h"

bool is_nothing(const struct node *node)
{
    return node->kind == NODE_SCALAR && node->text.len == 0 && !node->quoted &&
           !node->substituted;
}

bool is_off(const struct node *node)
{
    return node->kind == NODE_SCALAR &&
           (span_equal(node->text, SPAN("off")) || span_equal(node->text, SPAN("false")));
}

const char *kind_of_node(const struct node *node)
{
    static const char *const words[] = {
        [NODE_SCALAR] = "a single value",
        [NODE_LIST] = "a list",
        [NODE_MAP] = "a mapping",
    };
    return words[node->kind];
}

void refuse_type(const struct given *given, const char *wants, const char *hint)
{
    (void)refuse_value(given, DIAG_TYPE, span_text(hint), "%s takes %s, not %s",
                       given->row->name, wants, kind_of_node(given->node));
}

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

void apply_texts(const struct given *given, void *field)
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

void apply_cidrs(const struct given *given, void *field)
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
    schema_apply(
        given->schema, node,
        &(struct shape){
            .what = given->row->name, .sections = &section, .count = 1, .complete = true });
}

void apply_list(const struct given *given, void *field)
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

void apply_map(const struct given *given, void *field)
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
