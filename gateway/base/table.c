/* Open addressing with linear steps. A slot without a value is free; nothing is ever removed.
 */
#include "gateway/base/table.h"

enum err table_init(struct table *table, struct arena *arena, size_t capacity)
{
    size_t slots = 2;
    if (capacity > SIZE_MAX / 4)
        return ERR_LIMIT;
    while (slots < capacity * 2)
        slots *= 2;
    *table = (struct table){ .mask = slots - 1, .capacity = capacity };
    table->slots = arena_array(arena, struct table_slot, slots);
    if (table->slots == NULL)
        return ERR_MEMORY;
    random_bytes(&table->seed, sizeof(table->seed));
    return OK;
}

/* The slot of the key, or the free one where it would go. Half of the slots are free. */
static struct table_slot *find(const struct table *table, struct span key, uint64_t hash)
{
    for (size_t i = hash & table->mask;; i = (i + 1) & table->mask) {
        struct table_slot *slot = &table->slots[i];
        if (slot->value == NULL || (slot->hash == hash && span_equal(slot->key, key)))
            return slot;
    }
}

enum err table_put(struct table *table, struct span key, void *value)
{
    INVARIANT(value != NULL);
    uint64_t hash = siphash(&table->seed, key.p, key.len);
    struct table_slot *slot = find(table, key, hash);
    if (slot->value != NULL)
        return ERR_DUPLICATE;
    if (table->count >= table->capacity)
        return ERR_LIMIT;
    *slot = (struct table_slot){ .key = key, .hash = hash, .value = value };
    table->count++;
    return OK;
}

void *table_get(const struct table *table, struct span key)
{
    if (table->count == 0)
        return NULL;
    return find(table, key, siphash(&table->seed, key.p, key.len))->value;
}
