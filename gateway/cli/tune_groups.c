/*
 * Grouping matches, and who vouches for them.
 */
#include <stdlib.h>

#include "gateway/base/addr.h"
#include "gateway/cli/tune.h"

enum { PATH_MAX_BYTES = 256, RULE_ID_MAX = 2000000000 };

static struct span text_of(const json_t *object, const char *key)
{
    const json_t *value = json_object_get(object, key);
    if (!json_is_string(value))
        return span_of("", 0);
    return span_of(json_string_value(value), json_string_length(value));
}

/* ---- names ---- */

struct span tune_field(struct span variable, struct arena *arena)
{
    static const struct {
        const char *variable, *field;
        bool named;
    } rows[] = {
        { "ARGS", "args", true },
        { "ARGS_GET", "args", true },
        { "ARGS_POST", "args", true },
        { "REQUEST_COOKIES", "cookie", true },
        { "REQUEST_HEADERS", "header", true },
        { "REQUEST_FILENAME", "path", false },
        { "REQUEST_BODY", "body", false },
    };
    struct span name = variable, kind;
    if (!span_cut(&name, ':', &kind))
        return span_of("", 0);
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        if (!span_equal(kind, span_text(rows[i].variable)) ||
            rows[i].named != (name.p != NULL && name.len > 0))
            continue;
        struct text out = text_growing(arena, 64);
        text_add(&out, span_text(rows[i].field));
        if (rows[i].named) {
            text_char(&out, ':');
            text_add(&out, name);
        }
        return text_span(&out);
    }
    return span_of("", 0);
}

/* A number, a UUID, a long run of hexadecimal digits: one thing of many. */
static bool names_one_thing(struct span segment)
{
    size_t digits = 0, hex = 0;
    for (size_t i = 0; i < segment.len; i++) {
        digits += segment.p[i] >= '0' && segment.p[i] <= '9';
        hex += hex_value(segment.p[i]) >= 0 || segment.p[i] == '-';
    }
    return segment.len > 0 &&
           (digits == segment.len || (hex == segment.len && segment.len >= 8 && digits > 0));
}

struct span tune_path_pattern(struct span path, struct arena *arena)
{
    size_t at = 0;
    while (at < path.len) {
        size_t end = at + 1;
        while (end < path.len && path.p[end] != '/')
            end++;
        if (names_one_thing(span_sub(path, at + 1, end - at - 1))) {
            struct text out = text_growing(arena, at + 4);
            text_add(&out, span_sub(path, 0, at));
            text_lit(&out, "/**");
            return text_span(&out);
        }
        at = end;
    }
    return path;
}

/* Who may have many addresses counts once: a /24, an IPv6 client's /48. */
static struct span network_of(struct span client, struct arena *arena)
{
    struct addr addr;
    if (!addr_parse(client, &addr))
        return client;
    addr.port = 0;
    addr_mask(&addr, addr.family == ADDR_V4 ? 24 : 48);
    struct text out = text_growing(arena, 64);
    addr_write(&out, &addr);
    return text_span(&out);
}

/* ---- groups ---- */

static void see(struct span *seen, unsigned *count, unsigned room, struct span what,
                struct arena *arena)
{
    for (unsigned i = 0; i < *count; i++)
        if (span_equal(seen[i], what))
            return;
    if (*count < room && what.len > 0)
        seen[(*count)++] = arena_copy(arena, what);
}

static struct tune_group *group_for(struct tune_groups *groups, const struct tune_group *like)
{
    for (size_t i = 0; i < groups->count; i++) {
        struct tune_group *group = &groups->items[i];
        if (span_equal(group->site, like->site) && span_equal(group->method, like->method) &&
            span_equal(group->path, like->path) && span_equal(group->field, like->field))
            return group;
    }
    if (groups->count == TUNE_GROUPS_MAX) {
        groups->dropped++;
        return NULL;
    }
    struct tune_group *group = &groups->items[groups->count++];
    *group = (struct tune_group){ .site = arena_copy(groups->arena, like->site),
                                  .method = arena_copy(groups->arena, like->method),
                                  .path = arena_copy(groups->arena, like->path),
                                  .field = arena_copy(groups->arena, like->field),
                                  .path_seen = arena_copy(groups->arena, like->path_seen) };
    return group;
}

/* The place of a rule, a new one perhaps; NULL: there is no more room. */
static struct tune_vouchers *add_rule(struct tune_group *group, uint64_t rule)
{
    unsigned at = 0;
    while (at < group->rule_count && group->rules[at] < rule)
        at++;
    if (at < group->rule_count && group->rules[at] == rule)
        return &group->vouchers[at];
    if (group->rule_count == TUNE_RULES_MAX)
        return NULL;
    size_t behind = group->rule_count - at;
    memmove(&group->rules[at + 1], &group->rules[at], behind * sizeof(group->rules[0]));
    memmove(&group->vouchers[at + 1], &group->vouchers[at],
            behind * sizeof(group->vouchers[0]));
    group->rules[at] = rule;
    group->vouchers[at] = (struct tune_vouchers){ .network_count = 0 };
    group->rule_count++;
    return &group->vouchers[at];
}

/* A field that stood in this record before is no new hit. */
static bool is_first_of_field(const json_t *matches, size_t index)
{
    struct span field = text_of(json_array_get(matches, index), "field");
    for (size_t i = 0; i < index; i++)
        if (span_equal(text_of(json_array_get(matches, i), "field"), field))
            return false;
    return true;
}

static void count_hit(struct tune_groups *groups, struct tune_group *group,
                      const json_t *record)
{
    struct span user = text_of(json_object_get(record, "user"), "name");
    struct span client = text_of(json_object_get(record, "client"), "ip");
    group->hits++;
    group->signed_in += user.len > 0;
    see(group->networks, &group->network_count, TUNE_SEEN_MAX,
        network_of(client, groups->arena), groups->arena);
    see(group->users, &group->user_count, TUNE_SEEN_MAX, user, groups->arena);
}

static void vouch(struct tune_groups *groups, struct tune_vouchers *who, const json_t *record)
{
    struct span user = text_of(json_object_get(record, "user"), "name");
    struct span client = text_of(json_object_get(record, "client"), "ip");
    see(who->networks, &who->network_count, TUNE_NETWORKS_MIN,
        network_of(client, groups->arena), groups->arena);
    see(who->users, &who->user_count, TUNE_USERS_MIN, user, groups->arena);
}

void tune_add(struct tune_groups *groups, const json_t *record)
{
    const json_t *ours = json_object_get(record, "sallyport"), *match;
    const json_t *matches = json_object_get(ours, "matches");
    struct span path = text_of(json_object_get(record, "url"), "path");
    const json_t *request = json_object_get(json_object_get(record, "http"), "request");
    size_t i;
    if (path.len == 0 || path.len > PATH_MAX_BYTES)
        return;
    json_array_foreach(matches, i, match)
    {
        uint64_t rule;
        /* Sums of scores, and what else is no part of a request, have no such field. */
        struct span field = tune_field(text_of(match, "field"), groups->arena);
        if (!span_uint(text_of(match, "rule"), &rule) || rule == 0 || rule >= RULE_ID_MAX) {
            groups->unnamed++;
            continue;
        }
        if (field.len == 0)
            continue;
        const struct tune_group like = { .site = text_of(ours, "site"),
                                         .method = text_of(request, "method"),
                                         .path = tune_path_pattern(path, groups->arena),
                                         .field = field,
                                         .path_seen = path };
        struct tune_group *group = group_for(groups, &like);
        if (group == NULL)
            continue;
        struct tune_vouchers *who = add_rule(group, rule);
        if (who != NULL)
            vouch(groups, who, record);
        if (is_first_of_field(matches, i))
            count_hit(groups, group, record);
    }
}

static int by_hits(const void *a, const void *b)
{
    const struct tune_group *x = a, *y = b;
    return (x->hits < y->hits) - (x->hits > y->hits);
}

/*
 * Everyday traffic vouches for the rules that it meets and for no other: who sends an attack to
 * where many are known to have false positives would else have his rule excluded with theirs.
 */
static void leave_out_unvouched(struct tune_group *group)
{
    unsigned kept = 0;
    for (unsigned i = 0; i < group->rule_count; i++) {
        const struct tune_vouchers *who = &group->vouchers[i];
        if (who->user_count < TUNE_USERS_MIN && who->network_count < TUNE_NETWORKS_MIN)
            continue;
        group->rules[kept] = group->rules[i];
        group->vouchers[kept++] = *who;
    }
    group->unvouched += group->rule_count - kept;
    group->rule_count = kept;
    if (kept == 0)
        group->refusal = "each of its rules was met by too few";
}

void tune_judge(struct tune_groups *groups)
{
    for (size_t i = 0; i < groups->count; i++) {
        struct tune_group *group = &groups->items[i];
        group->refusal = NULL;
        if (group->user_count >= TUNE_USERS_MIN || group->network_count >= TUNE_NETWORKS_MIN) {
            leave_out_unvouched(group);
            continue;
        }
        if (group->user_count == 1)
            group->refusal = "one user alone met it";
        else if (group->network_count == 1)
            group->refusal = "one client that is not signed in met it: he may have planted it";
        else
            group->refusal = "too few clients, none signed in: they may be one, and have "
                             "planted it";
    }
    qsort(groups->items, groups->count, sizeof(groups->items[0]), by_hits);
}
