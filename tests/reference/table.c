/* Tables of variables, and what is kept of them between transactions. */
#include <stdlib.h>

#include "tests/reference/reference.h"

const struct pair *table_find(const struct table *table, struct span name)
{
    for (unsigned i = 0; i < table->vars.count; i++) {
        if (span_equal_nocase(table->vars.items[i].name, name))
            return &table->vars.items[i];
    }
    return NULL;
}

void table_set(struct table *table, struct arena *arena, struct span name, struct span value)
{
    struct pairs *vars = &table->vars;
    name = arena_copy(arena, name);
    value = arena_copy(arena, value);
    INVARIANT(name.p != NULL && value.p != NULL);
    for (unsigned i = 0; i < vars->count; i++) {
        if (span_equal_nocase(vars->items[i].name, name)) {
            vars->items[i] = (struct pair){ name, value };
            return;
        }
    }
    if (vars->count == vars->capacity) {
        unsigned capacity = vars->capacity == 0 ? 16 : 2 * vars->capacity;
        struct pair *items = must(arena_array(arena, struct pair, capacity));
        if (vars->count > 0)
            memcpy(items, vars->items, vars->count * sizeof(struct pair));
        vars->items = items;
        vars->capacity = capacity;
    }
    vars->items[vars->count++] = (struct pair){ name, value };
}

void table_unset(struct table *table, struct span name)
{
    struct pairs *vars = &table->vars;
    unsigned kept = 0;
    for (unsigned i = 0; i < vars->count; i++) {
        if (!span_equal_nocase(vars->items[i].name, name))
            vars->items[kept++] = vars->items[i];
    }
    vars->count = kept;
}

/* ---- between transactions -------------------------------------------------------------------
 */

struct kept {
    struct kept *next;
    enum sec_collection collection;
    char *bytes; /* of all texts, one after the other */
    struct span key;
    struct pair *vars;
    unsigned count;
};

struct store {
    struct kept *first;
};

struct store *store_new(void)
{
    return must(calloc(1, sizeof(struct store)));
}

static void kept_free(struct kept *kept)
{
    free(kept->bytes);
    free(kept->vars);
    free(kept);
}

void store_free(struct store *store)
{
    while (store->first != NULL) {
        struct kept *kept = store->first;
        store->first = kept->next;
        kept_free(kept);
    }
    free(store);
}

static struct kept **store_find(struct store *store, enum sec_collection collection,
                                struct span key)
{
    struct kept **at = &store->first;
    while (*at != NULL && ((*at)->collection != collection || !span_equal((*at)->key, key)))
        at = &(*at)->next;
    return at;
}

#define EXPIRE SPAN("__expire_")

/* Removes variables whose time is over; the collection's own is called KEY. */
static void expire(struct table *table, time_t now)
{
    for (unsigned i = 0; i < table->vars.count;) {
        struct pair var = table->vars.items[i++];
        if (!span_starts_nocase(var.name, EXPIRE) || leading_number(var.value) > now)
            continue;
        table_unset(table, span_sub(var.name, EXPIRE.len, var.name.len));
        table_unset(table, var.name);
        i = 0;
    }
}

static void begin_new(struct reference *ref, struct table *table, struct span key)
{
    uint64_t timeout = ref->program->settings.collection_timeout;
    int64_t seconds = timeout > 0 ? (int64_t)timeout : 3600, now = ref->txn->now;
    struct arena *arena = ref->arena;
    *table = (struct table){ 0 };
    table_set(table, arena, SPAN("__expire_KEY"), number_text(arena, now + seconds));
    table_set(table, arena, SPAN("KEY"), key);
    table_set(table, arena, SPAN("TIMEOUT"), number_text(arena, seconds));
    table_set(table, arena, SPAN("CREATE_TIME"), number_text(arena, now));
    table_set(table, arena, SPAN("UPDATE_COUNTER"), SPAN("0"));
    table_set(table, arena, SPAN("IS_NEW"), SPAN("1"));
}

static int64_t table_number(const struct table *table, struct span name)
{
    const struct pair *var = table_find(table, name);
    return var == NULL ? 0 : leading_number(var->value);
}

void store_load(struct reference *ref, enum sec_collection collection, struct span key)
{
    struct table *table = &ref->collections[collection];
    if (ref->begun[collection])
        return;
    ref->begun[collection] = true;
    ref->keys[collection] = arena_copy(ref->arena, key);
    *table = (struct table){ 0 };

    const struct kept *kept =
        ref->store == NULL ? NULL : *store_find(ref->store, collection, key);
    for (unsigned i = 0; kept != NULL && i < kept->count; i++)
        table_set(table, ref->arena, kept->vars[i].name, kept->vars[i].value);
    expire(table, ref->txn->now);
    if (table_find(table, SPAN("KEY")) == NULL) {
        begin_new(ref, table, key);
        return;
    }
    int64_t age = ref->txn->now - table_number(table, SPAN("CREATE_TIME"));
    int64_t updates = table_number(table, SPAN("UPDATE_COUNTER"));
    table_set(table, ref->arena, SPAN("UPDATE_RATE"),
              number_text(ref->arena, age <= 0 ? 0 : 60 * updates / age));
}

static void note_update(struct reference *ref, struct table *table)
{
    struct arena *arena = ref->arena;
    int64_t now = ref->txn->now, updates = table_number(table, SPAN("UPDATE_COUNTER"));
    table_unset(table, SPAN("IS_NEW"));
    table_unset(table, SPAN("UPDATE_RATE"));
    table_set(table, arena, SPAN("LAST_UPDATE_TIME"), number_text(arena, now));
    table_set(table, arena, SPAN("UPDATE_COUNTER"), number_text(arena, updates + 1));
    if (table_find(table, SPAN("TIMEOUT")) != NULL)
        table_set(table, arena, SPAN("__expire_KEY"),
                  number_text(arena, now + table_number(table, SPAN("TIMEOUT"))));
}

static struct span put(char **at, struct span text)
{
    char *start = *at;
    if (text.len > 0)
        memcpy(start, text.p, text.len);
    *at += text.len;
    return span_of(start, text.len);
}

void store_save(struct reference *ref, enum sec_collection collection)
{
    struct table *table = &ref->collections[collection];
    struct span key = ref->keys[collection];
    if (ref->store == NULL || !ref->begun[collection] || !ref->dirty[collection])
        return;
    note_update(ref, table);

    struct kept **at = store_find(ref->store, collection, key), *old = *at;
    if (old != NULL) {
        *at = old->next;
        kept_free(old);
    }
    size_t bytes = key.len + 1;
    for (unsigned i = 0; i < table->vars.count; i++)
        bytes += table->vars.items[i].name.len + table->vars.items[i].value.len;
    struct kept *kept = must(calloc(1, sizeof *kept));
    char *p = kept->bytes = must(malloc(bytes));
    kept->vars = must(calloc(table->vars.count + 1, sizeof(struct pair)));
    kept->collection = collection;
    kept->key = put(&p, key);
    kept->count = table->vars.count;
    for (unsigned i = 0; i < kept->count; i++) {
        kept->vars[i].name = put(&p, table->vars.items[i].name);
        kept->vars[i].value = put(&p, table->vars.items[i].value);
    }
    kept->next = ref->store->first;
    ref->store->first = kept;
}
