/*
 * What a query asks of each interval of the log: the same for who makes evidence and who
 * follows it.
 */
#include "gateway/audit/evidence.h"

const char *block_key_name(enum block_key key)
{
    static const char *const names[KEY_COUNT] = {
        [KEY_CLIENT] = "ip",     [KEY_ID] = "id",         [KEY_USER] = "user",
        [KEY_RULE] = "rule",     [KEY_REASON] = "reason", [KEY_STATUS] = "status",
        [KEY_ACTION] = "action", [KEY_HOST] = "host",
    };
    return names[key];
}

/* Behind the last segment that retention has deleted, and said so. */
static size_t first_kept(const struct seal_list *seals)
{
    size_t kept = 0;
    for (size_t i = 0; i < seals->count; i++) {
        if (seals->items[i].kind != SEAL_PRUNED)
            continue;
        for (size_t k = kept; k < i; k++)
            if (seals->items[k].kind == SEAL_CLOSE &&
                seals->items[k].segment == seals->items[i].segment)
                kept = k;
    }
    return kept;
}

void evidence_scope(struct evidence_scope *scope, const struct query *query,
                    const struct seal_list *seals)
{
    *scope = (struct evidence_scope){ .query = *query,
                                      .since_us = query->since_us,
                                      .until_us = query->until_us,
                                      .begin = first_kept(seals) };
    scope->query.since_us = scope->query.until_us = 0;
    for (int key = 0; key < KEY_COUNT; key++) {
        struct span value = query->values[key];
        if (value.len == 0)
            continue;
        scope->exact[scope->exact_count].key = (enum block_key)key;
        scope->exact[scope->exact_count++].tag = block_tag((enum block_key)key, value);
    }
    scope->vague = query->path.len > 0 || query->status_class > 0 ||
                   (query->has_client && query->values[KEY_CLIENT].len == 0);
    scope->proves = scope->exact_count > 0 || !scope->vague;
}

enum evidence_need evidence_need(const struct evidence_scope *scope,
                                 const struct seal_list *seals, size_t i)
{
    const struct seal_entry *seal = &seals->items[i];
    if (i == 0 || seal->seq <= seals->items[i - 1].seq)
        return EVIDENCE_NOT_ASKED;
    if (i <= scope->begin)
        return EVIDENCE_PRUNED;
    if (!seal->has_roster)
        return EVIDENCE_UNKNOWN;
    if (seal->to_us < scope->since_us ||
        (scope->until_us > 0 && seal->from_us > scope->until_us))
        return EVIDENCE_NOT_ASKED;
    return EVIDENCE_NEEDED;
}

size_t evidence_seal(const struct seal_list *seals, uint64_t seq)
{
    size_t low = 0, high = seals->count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (seals->items[middle].seq < seq)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}
