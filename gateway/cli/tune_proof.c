/*
 * Proof of an exclusion: the captures of its group pass now, nothing else does that did not
 * before, and attacks are found as before, in other fields of the same path and elsewhere.
 */
#include <stdio.h>

#include "gateway/cli/tune.h"

static const char *const attacks[] = {
#define ATTACK(value) value,
#include "gateway/cli/attacks.def"
#undef ATTACK
};

enum { PLACES = 3, ATTACKS = ARRAY_LEN(attacks), ELSEWHERE_MAX = 8 };
/* Where an attack is put: into the field itself, into another one, onto another path. */
enum place_kind { INSIDE, BESIDE, ELSEWHERE };

/* ---- requests ---- */

static void put_encoded(struct text *out, const char *value)
{
    for (const char *p = value; *p != '\0'; p++) {
        unsigned char c = (unsigned char)*p;
        bool plain = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
        if (plain)
            text_char(out, *p);
        else
            text_format(out, "%%%02x", c);
    }
}

static bool has_body(const struct tune_group *group)
{
    return span_equal(group->method, SPAN("POST")) || span_equal(group->method, SPAN("PUT")) ||
           span_equal(group->method, SPAN("PATCH"));
}

/* "name" of args:name, cookie:name, header:name. */
static struct span name_of_field(const struct tune_group *group)
{
    struct span name = group->field, kind;
    return span_cut(&name, ':', &kind) ? name : span_of("", 0);
}

static void put_fields(struct text *out, const struct tune_group *group, enum place_kind place,
                       const char *attack)
{
    bool cookie = span_starts(group->field, SPAN("cookie:"));
    bool header = span_starts(group->field, SPAN("header:"));
    text_lit(out, "Host: ");
    text_add(out, span_equal(group->site, SPAN("*")) ? SPAN("tune.test") : group->site);
    text_lit(out, "\r\nUser-Agent: Mozilla/5.0\r\nAccept: */*\r\n");
    if (place != INSIDE || !(cookie || header))
        return;
    if (cookie)
        text_lit(out, "Cookie: ");
    text_add(out, name_of_field(group));
    text_add(out, cookie ? SPAN("=") : SPAN(": "));
    if (cookie)
        put_encoded(out, attack);
    for (const char *p = attack; header && *p != '\0'; p++)
        text_char(out, (unsigned char)*p >= ' ' ? *p : ' '); /* a header has no line ends */
    text_lit(out, "\r\n");
}

static struct capture_parts request_of(const struct tune_group *group, enum place_kind place,
                                       const char *attack, struct arena *arena)
{
    struct text head = text_growing(arena, 1024), value = text_growing(arena, 512);
    bool argument = place != INSIDE || span_starts(group->field, SPAN("args:"));
    bool body = has_body(group) && argument;
    if (argument) {
        text_add(&value, place == INSIDE ? name_of_field(group) : SPAN("tune_other"));
        text_char(&value, '=');
        put_encoded(&value, attack);
    }
    text_add(&head, body ? group->method : SPAN("GET"));
    text_char(&head, ' ');
    text_add(&head, place == ELSEWHERE ? SPAN("/tune-elsewhere") : group->path_seen);
    if (argument && !body) {
        text_char(&head, '?');
        text_add(&head, text_span(&value));
    }
    text_lit(&head, " HTTP/1.1\r\n");
    put_fields(&head, group, place, attack);
    if (body)
        text_format(
            &head, "Content-Type: application/x-www-form-urlencoded\r\nContent-Length: %zu\r\n",
            value.len);
    text_lit(&head, "\r\n");
    return (struct capture_parts){ .head = text_span(&head),
                                   .body = body ? text_span(&value) : span_of("", 0) };
}

static bool add_attacks(struct captured_list *list, const struct tune_group *group,
                        struct arena *arena)
{
    for (int place = INSIDE; place <= ELSEWHERE; place++)
        for (size_t i = 0; i < ATTACKS; i++) {
            struct captured *one = &list->items[list->count];
            one->parts = request_of(group, (enum place_kind)place, attacks[i], arena);
            one->facts = json_pack("{s:s, s:I, s:b, s:b, s:b, s:{}}", "peer", "192.0.2.1",
                                   "time", (json_int_t)1800000000000000, "whole", 1, "bodyless",
                                   one->parts.body.len == 0, "http2", 0, "decision");
            if (one->facts == NULL || one->parts.head.p == NULL)
                return false;
            list->count++;
        }
    return true;
}

/* ---- judgement ---- */

static bool is_caught(const json_t *decision)
{
    const char *action = json_string_value(json_object_get(decision, "action"));
    return (action != NULL && strcmp(action, "forward") != 0) ||
           json_is_true(json_object_get(decision, "detected")) ||
           json_array_size(json_object_get(decision, "rules")) > 0;
}

static bool matches_text(const json_t *facts, const char *key, struct span value)
{
    const char *text = json_string_value(json_object_get(facts, key));
    return text != NULL && span_equal(span_text(text), value);
}

static bool is_of_group(const struct tune_group *group, const json_t *facts,
                        struct arena *arena)
{
    const json_t *rules = json_object_get(json_object_get(facts, "decision"), "rules"), *rule;
    const char *path = json_string_value(json_object_get(facts, "path"));
    size_t i;
    if (path == NULL || !matches_text(facts, "site", group->site) ||
        !matches_text(facts, "method", group->method) ||
        !span_equal(tune_path_pattern(span_text(path), arena), group->path))
        return false;
    json_array_foreach(rules, i, rule)
    {
        uint64_t id;
        const char *text = json_string_value(rule);
        for (unsigned k = 0; text != NULL && k < group->rule_count; k++)
            if (span_uint(span_text(text), &id) && id == group->rules[k])
                return true;
    }
    return false;
}

static void judge(struct tune_proof *proof, const struct tune_group *group,
                  const struct captured_list *list, size_t captures,
                  const struct replay_answers answers[2], struct arena *arena)
{
    for (size_t i = 0; i < list->count; i++) {
        const json_t *old = answers[0].decisions[i], *new = answers[1].decisions[i];
        if (old == NULL || new == NULL)
            continue;
        bool lost = is_caught(old) && !is_caught(new);
        if (i >= captures && (i - captures) / ATTACKS == INSIDE) {
            proof->inside += is_caught(old);
            proof->inside_kept += is_caught(old) && !lost;
        } else if (i >= captures) {
            proof->attacks += is_caught(old);
            proof->attacks_lost += lost;
        } else if (is_of_group(group, list->items[i].facts, arena)) {
            proof->captures += is_caught(old);
            proof->passing += lost;
        } else {
            proof->others++;
            proof->others_lost += lost;
        }
    }
}

bool tune_prove(struct tune_proof *proof, const struct tune_group *group,
                const struct captured_list *captures, const char *old_config,
                const char *new_config, struct arena *arena)
{
    const char *const configs[2] = { old_config, new_config };
    struct replay_answers answers[2];
    struct captured_list list = {
        .items = arena_array(arena, struct captured, captures->count + PLACES * ATTACKS + 1)
    };
    *proof = (struct tune_proof){ .captures = 0 };
    if (list.items == NULL)
        return false;
    if (captures->count > 0)
        memcpy(list.items, captures->items, captures->count * sizeof(*list.items));
    list.count = captures->count;
    if (!add_attacks(&list, group, arena))
        return false;
    for (int i = 0; i < 2; i++) {
        struct loaded loaded;
        loaded_open(&loaded, configs[i]);
        bool good = loaded.config != NULL;
        if (!good)
            loaded_print(&loaded, 2, false);
        good = good && replay_answers(&loaded, &list, &answers[i], arena);
        loaded_close(&loaded);
        if (!good)
            return false;
    }
    judge(proof, group, &list, captures->count, answers, arena);
    return true;
}
