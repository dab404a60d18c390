/* Servers that were found: see discovery.h. */
#include "gateway/upstream/discovery.h"

static bool addr_usable(const struct addr *addr)
{
    static const uint8_t none[16];
    bool v4 = addr->family == ADDR_V4;

    if ((!v4 && addr->family != ADDR_V6) || memcmp(addr->bytes, none, v4 ? 4 : 16) == 0)
        return false;
    return v4 ? addr->bytes[0] != 0 && addr->bytes[0] < 224 : addr->bytes[0] != 0xff;
}

bool found_valid(struct span block)
{
    const struct found_block *b = (const struct found_block *)(const void *)block.p;

    if (block.len != sizeof *b || b->magic != FOUND_MAGIC || b->count > DISCOVERIES_MAX)
        return false;
    for (uint32_t i = 0; i < b->count; i++) {
        for (unsigned n = 0; n < FOUND_MAX; n++) {
            const struct found_server *server = &b->items[i].slots[n];
            if (server->addr.family == ADDR_NONE)
                continue;
            if (!addr_usable(&server->addr) || server->addr.port == 0 || server->weight == 0 ||
                server->weight > FOUND_WEIGHT_MAX || server->backup > 1)
                return false;
        }
    }
    return true;
}

static bool same_server(const struct addr *a, const struct addr *b)
{
    return a->family == b->family && a->port == b->port && addr_equal(a, b);
}

bool found_add(struct found_list *list, const struct addr *addr, uint32_t weight, bool backup)
{
    if (!addr_usable(addr) || addr->port == 0)
        return false;
    for (unsigned i = 0; i < list->count; i++) {
        if (same_server(&list->items[i].addr, addr))
            return true;
    }
    if (list->count == FOUND_MAX)
        return false;
    uint32_t bounded = weight < FOUND_WEIGHT_MAX ? weight : FOUND_WEIGHT_MAX;
    list->items[list->count++] = (struct found_server){
        .addr = *addr, .weight = (uint16_t)(bounded > 0 ? bounded : 1), .backup = backup
    };
    return true;
}

static const struct found_server *in_list(const struct found_list *list,
                                          const struct addr *addr)
{
    for (unsigned i = 0; i < list->count; i++) {
        if (same_server(&list->items[i].addr, addr))
            return &list->items[i];
    }
    return NULL;
}

static bool in_slots(const struct found *found, uint32_t slots, const struct addr *addr)
{
    for (uint32_t i = 0; i < slots; i++) {
        if (same_server(&found->slots[i].addr, addr))
            return true;
    }
    return false;
}

/* One that was free before, or one that is now. */
static struct found_server *free_slot(struct found *found, const struct found *before,
                                      uint32_t slots)
{
    struct found_server *any = NULL;

    for (uint32_t i = 0; i < slots; i++) {
        if (found->slots[i].addr.family != ADDR_NONE)
            continue;
        if (before->slots[i].addr.family == ADDR_NONE)
            return &found->slots[i];
        any = any == NULL ? &found->slots[i] : any;
    }
    return any;
}

bool found_merge(struct found *found, const struct found_list *list, uint32_t slots)
{
    struct found before = *found;

    for (uint32_t i = 0; i < FOUND_MAX; i++) {
        struct found_server *server = &found->slots[i];
        const struct found_server *now =
            i < slots && server->addr.family != ADDR_NONE ? in_list(list, &server->addr) : NULL;
        *server = now != NULL ? *now : (struct found_server){ .weight = 0 };
    }
    for (unsigned i = 0; i < list->count; i++) {
        if (in_slots(found, slots, &list->items[i].addr))
            continue;
        struct found_server *slot = free_slot(found, &before, slots);
        if (slot == NULL)
            break;
        *slot = list->items[i];
    }
    /* Copies of one another, with what is between members:
     * NOLINTNEXTLINE(bugprone-suspicious-memory-comparison,cert-exp42-c,cert-flp37-c) */
    return memcmp(&before, found, sizeof before) != 0;
}

unsigned found_count(const struct found *found)
{
    unsigned count = 0;

    for (unsigned i = 0; i < FOUND_MAX; i++)
        count += found->slots[i].addr.family != ADDR_NONE;
    return count;
}

/* ---- what is kept ---- */

static bool kept_is(const struct name_kept *row, const struct discovery *discovery)
{
    return row->used != 0 && row->kind == discovery->kind && row->port == discovery->port &&
           strncmp(row->name, discovery->name, sizeof row->name) == 0;
}

bool names_recall(const struct names_kept *kept, const struct discovery *discovery,
                  struct found *found)
{
    enum { READS_MAX = 100 };

    for (unsigned i = 0; i < NAMES_KEPT_MAX; i++) {
        const struct name_kept *row = &kept->rows[i];
        if (!kept_is(row, discovery))
            continue;
        for (unsigned n = 0; n < READS_MAX; n++) {
            uint32_t turn = __atomic_load_n(&row->turn, __ATOMIC_ACQUIRE);
            memcpy(found, &row->found, sizeof *found);
            __atomic_thread_fence(__ATOMIC_ACQUIRE);
            if ((turn & 1) == 0 && __atomic_load_n(&row->turn, __ATOMIC_RELAXED) == turn)
                return true;
        }
    }
    return false;
}

void names_keep(struct names_kept *kept, const struct discovery *discovery,
                const struct found *found)
{
    struct name_kept *place = &kept->rows[0];

    for (unsigned i = 0; i < NAMES_KEPT_MAX; i++) {
        struct name_kept *row = &kept->rows[i];
        if (kept_is(row, discovery)) {
            place = row;
            break;
        }
        if (row->used < place->used)
            place = row;
    }
    uint32_t turn = place->turn | 1;
    __atomic_store_n(&place->turn, turn, __ATOMIC_RELAXED);
    __atomic_thread_fence(__ATOMIC_RELEASE);
    place->kind = discovery->kind;
    place->port = discovery->port;
    memcpy(place->name, discovery->name, sizeof place->name);
    place->found = *found;
    place->used = ++kept->used;
    __atomic_store_n(&place->turn, turn + 1, __ATOMIC_RELEASE);
}
