/*
 * What two runs decided otherwise, in groups of their kind.
 */
#include "gateway/cli/replay_groups.h"

#include <stdio.h>

#include "gateway/cli/explain.h"

static const char *text_at(const json_t *object, const char *key)
{
    const char *text = json_string_value(json_object_get(object, key));
    return text != NULL ? text : "";
}

static void add_rules(struct text *out, const json_t *decision)
{
    const json_t *rules = json_object_get(decision, "rules"), *rule;
    size_t i;
    json_array_foreach(rules, i, rule)
    {
        text_add(out, i == 0 ? SPAN(" [") : SPAN(","));
        text_add(out, span_text(json_string_value(rule)));
    }
    if (json_array_size(rules) > 0)
        text_char(out, ']');
}

void decision_text(struct text *out, const json_t *decision)
{
    text_add(out, span_text(text_at(decision, "action")));
    if (json_object_get(decision, "status") != NULL)
        text_format(out, " %lld",
                    (long long)json_integer_value(json_object_get(decision, "status")));
    if (*text_at(decision, "reason") != '\0') {
        text_char(out, ' ');
        text_add(out, span_text(text_at(decision, "reason")));
    }
    if (strcmp(text_at(decision, "action"), "forward") == 0 &&
        json_is_true(json_object_get(decision, "detected")))
        text_lit(out, " (detected)");
    add_rules(out, decision);
}

static struct replay_group *group_for(struct replay_groups *groups, struct span from,
                                      struct span to)
{
    for (size_t i = 0; i < groups->count; i++)
        if (span_equal(groups->items[i].from, from) && span_equal(groups->items[i].to, to))
            return &groups->items[i];
    if (groups->count == REPLAY_GROUPS_MAX) {
        groups->more++;
        return NULL;
    }
    struct replay_group *group = &groups->items[groups->count++];
    *group = (struct replay_group){ .from = from, .to = to };
    return group;
}

static struct span shown(const json_t *decision, struct arena *arena)
{
    struct text out = text_growing(arena, 128);
    decision_text(&out, decision);
    return text_span(&out);
}

void groups_compare(struct replay_groups *groups, const json_t *facts, const json_t *from,
                    const json_t *to, struct arena *arena)
{
    if (json_equal(from, to)) {
        groups->same++;
        return;
    }
    groups->changed++;
    struct replay_group *group = group_for(groups, shown(from, arena), shown(to, arena));
    if (group == NULL)
        return;
    if (group->count < REPLAY_EXAMPLES)
        group->examples[group->count] = facts;
    group->count++;
}

void groups_unknown(struct replay_groups *groups, const char *why)
{
    groups->unknown++;
    for (size_t i = 0; i < ARRAY_LEN(groups->whys); i++) {
        if (groups->whys[i].why == NULL)
            groups->whys[i].why = why;
        if (strcmp(groups->whys[i].why, why) != 0)
            continue;
        groups->whys[i].count++;
        return;
    }
}

/* ---- telling ---- */

static void print_example(const json_t *facts)
{
    (void)printf("        %s  ", text_at(facts, "id"));
    print_clean(text_at(facts, "method"), 32);
    (void)putchar(' ');
    print_clean(text_at(facts, "host"), 100);
    print_clean(text_at(facts, "path"), 200);
    (void)printf("  from %s\n", text_at(facts, "client"));
}

static void print_human(const struct replay_groups *groups)
{
    for (size_t i = 0; i < groups->count; i++) {
        const struct replay_group *group = &groups->items[i];
        (void)printf("%6zu  ", group->count);
        print_clean(arena_cstring(groups->arena, group->from), 200);
        (void)printf("  ->  ");
        print_clean(arena_cstring(groups->arena, group->to), 200);
        (void)putchar('\n');
        for (size_t k = 0; k < group->count && k < REPLAY_EXAMPLES; k++)
            print_example(group->examples[k]);
    }
    if (groups->more > 0)
        (void)printf("%6zu  more, in groups beyond %d\n", groups->more, REPLAY_GROUPS_MAX);
    (void)printf("%zu captured: %zu decided alike, %zu otherwise, %zu not decided\n",
                 groups->same + groups->changed + groups->unknown, groups->same,
                 groups->changed, groups->unknown);
    for (size_t i = 0; i < ARRAY_LEN(groups->whys) && groups->whys[i].why != NULL; i++)
        (void)printf("        %zu: %s\n", groups->whys[i].count, groups->whys[i].why);
    if (groups->unreadable + groups->incomplete > 0)
        (void)printf("        %zu frames are for another key or damaged, %zu captures are "
                     "incomplete\n",
                     groups->unreadable, groups->incomplete);
    (void)printf(
        "Taken from the record, not decided anew: the words of bans, limits and log-ins, "
        "where clients were, the time.\nNot replayed: answers of upstream.\n");
}

static json_t *group_json(const struct replay_group *group)
{
    json_t *examples = json_array();
    for (size_t k = 0; k < group->count && k < REPLAY_EXAMPLES; k++)
        (void)json_array_append_new(examples,
                                    json_pack("{s:s, s:s, s:s, s:s, s:s}", "id",
                                              text_at(group->examples[k], "id"), "method",
                                              text_at(group->examples[k], "method"), "host",
                                              text_at(group->examples[k], "host"), "path",
                                              text_at(group->examples[k], "path"), "client",
                                              text_at(group->examples[k], "client")));
    return json_pack("{s:s%, s:s%, s:I, s:o}", "from", group->from.p, group->from.len, "to",
                     group->to.p, group->to.len, "count", (json_int_t)group->count, "examples",
                     examples);
}

static void print_json(const struct replay_groups *groups)
{
    json_t *list = json_array(), *whys = json_array();
    for (size_t i = 0; i < groups->count; i++)
        (void)json_array_append_new(list, group_json(&groups->items[i]));
    for (size_t i = 0; i < ARRAY_LEN(groups->whys) && groups->whys[i].why != NULL; i++)
        (void)json_array_append_new(whys,
                                    json_pack("{s:s, s:I}", "why", groups->whys[i].why, "count",
                                              (json_int_t)groups->whys[i].count));
    json_t *all = json_pack("{s:I, s:I, s:I, s:o, s:I, s:I, s:o}", "same",
                            (json_int_t)groups->same, "changed", (json_int_t)groups->changed,
                            "unknown", (json_int_t)groups->unknown, "unknown_why", whys,
                            "unreadable", (json_int_t)groups->unreadable, "incomplete",
                            (json_int_t)groups->incomplete, "groups", list);
    (void)json_dumpf(all, stdout, JSON_COMPACT);
    (void)putchar('\n');
    json_decref(all);
}

void groups_print(const struct replay_groups *groups, bool json)
{
    if (json)
        print_json(groups);
    else
        print_human(groups);
}
