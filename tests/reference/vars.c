/* Tables of variables, and what is kept of them between transactions. */
#include <stdlib.h>

#include "tests/reference/reference.h"

const struct pair *vars_find(const struct vars *table, struct span name)
{
    for (unsigned i = 0; i < table->list.count; i++) {
        if (span_equal_nocase(table->list.items[i].name, name))
            return &table->list.items[i];
    }
    return NULL;
}

void vars_set(struct vars *table, struct arena *arena, struct span name, struct span value)
{
    struct pairs *vars = &table->list;
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

void vars_unset(struct vars *table, struct span name)
{
    struct pairs *vars = &table->list;
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
static void expire(struct vars *table, time_t now)
{
    for (unsigned i = 0; i < table->list.count;) {
        struct pair var = table->list.items[i++];
        if (!span_starts_nocase(var.name, EXPIRE) || leading_number(var.value) > now)
            continue;
        vars_unset(table, span_sub(var.name, EXPIRE.len, var.name.len));
        vars_unset(table, var.name);
        i = 0;
    }
}

static void begin_new(struct reference *ref, struct vars *table, struct span key)
{
    uint64_t timeout = ref->program->settings.collection_timeout;
    int64_t seconds = timeout > 0 ? (int64_t)timeout : 3600, now = ref->txn->now;
    struct arena *arena = ref->arena;
    *table = (struct vars){ 0 };
    vars_set(table, arena, SPAN("__expire_KEY"), number_text(arena, now + seconds));
    vars_set(table, arena, SPAN("KEY"), key);
    vars_set(table, arena, SPAN("TIMEOUT"), number_text(arena, seconds));
    vars_set(table, arena, SPAN("CREATE_TIME"), number_text(arena, now));
    vars_set(table, arena, SPAN("UPDATE_COUNTER"), SPAN("0"));
    vars_set(table, arena, SPAN("IS_NEW"), SPAN("1"));
}

static int64_t vars_number(const struct vars *table, struct span name)
{
    const struct pair *var = vars_find(table, name);
    return var == NULL ? 0 : leading_number(var->value);
}

void store_load(struct reference *ref, enum sec_collection collection, struct span key)
{
    struct vars *table = &ref->collections[collection];
    if (ref->begun[collection])
        return;
    ref->begun[collection] = true;
    ref->keys[collection] = arena_copy(ref->arena, key);
    *table = (struct vars){ 0 };

    const struct kept *kept =
        ref->store == NULL ? NULL : *store_find(ref->store, collection, key);
    for (unsigned i = 0; kept != NULL && i < kept->count; i++)
        vars_set(table, ref->arena, kept->vars[i].name, kept->vars[i].value);
    expire(table, ref->txn->now);
    if (vars_find(table, SPAN("KEY")) == NULL) {
        begin_new(ref, table, key);
        return;
    }
    int64_t age = ref->txn->now - vars_number(table, SPAN("CREATE_TIME"));
    int64_t updates = vars_number(table, SPAN("UPDATE_COUNTER"));
    vars_set(table, ref->arena, SPAN("UPDATE_RATE"),
             number_text(ref->arena, age <= 0 ? 0 : 60 * updates / age));
}

static void note_update(struct reference *ref, struct vars *table)
{
    struct arena *arena = ref->arena;
    int64_t now = ref->txn->now, updates = vars_number(table, SPAN("UPDATE_COUNTER"));
    vars_unset(table, SPAN("IS_NEW"));
    vars_unset(table, SPAN("UPDATE_RATE"));
    vars_set(table, arena, SPAN("LAST_UPDATE_TIME"), number_text(arena, now));
    vars_set(table, arena, SPAN("UPDATE_COUNTER"), number_text(arena, updates + 1));
    if (vars_find(table, SPAN("TIMEOUT")) != NULL)
        vars_set(table, arena, SPAN("__expire_KEY"),
                 number_text(arena, now + vars_number(table, SPAN("TIMEOUT"))));
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
    struct vars *table = &ref->collections[collection];
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
    for (unsigned i = 0; i < table->list.count; i++)
        bytes += table->list.items[i].name.len + table->list.items[i].value.len;
    struct kept *kept = must(calloc(1, sizeof *kept));
    char *p = kept->bytes = must(malloc(bytes));
    kept->vars = must(calloc(table->list.count + 1, sizeof(struct pair)));
    kept->collection = collection;
    kept->key = put(&p, key);
    kept->count = table->list.count;
    for (unsigned i = 0; i < kept->count; i++) {
        kept->vars[i].name = put(&p, table->list.items[i].name);
        kept->vars[i].value = put(&p, table->list.items[i].value);
    }
    kept->next = ref->store->first;
    ref->store->first = kept;
}
