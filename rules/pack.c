/* Packs as rules. */
#include "rules/pack.h"

size_t pack_count(const struct pack_rule *const *families)
{
    size_t count = 0;
    for (; *families != NULL; families++) {
        for (const struct pack_rule *row = *families; row->name != NULL; row++)
            count++;
    }
    return count;
}

/* "args, path" to two texts. */
static enum err split(const char *list, struct texts *texts, struct arena *arena)
{
    struct span rest = span_text(list), item;
    size_t commas = 0;
    for (size_t i = 0; i < rest.len; i++)
        commas += rest.p[i] == ',';
    texts->items = arena_array(arena, struct span, commas + 1);
    if (texts->items == NULL)
        return ERR_MEMORY;
    while (span_cut(&rest, ',', &item))
        texts->items[texts->count++] = span_trim(item);
    return OK;
}

static enum err read_row(const struct pack_rule *row, struct rule_source *rule,
                         struct arena *arena)
{
    *rule = (struct rule_source){ .name = span_text(row->name),
                                  .message = span_text(row->message),
                                  .action = RULE_SCORE,
                                  .score = row->score };
    TRY(split(row->in, &rule->in, arena));
    TRY(split(row->transform, &rule->transform, arena));
    rule->match.items = arena_array(arena, struct span, PACK_PATTERNS);
    if (rule->match.items == NULL)
        return ERR_MEMORY;
    for (size_t i = 0; i < PACK_PATTERNS && row->match[i] != NULL; i++)
        rule->match.items[rule->match.count++] = span_text(row->match[i]);
    return OK;
}

enum err pack_read(const struct pack_rule *const *families, struct rule_source *rules,
                   struct arena *arena)
{
    for (; *families != NULL; families++) {
        for (const struct pack_rule *row = *families; row->name != NULL; row++)
            TRY(read_row(row, rules++, arena));
    }
    return OK;
}
