/*
 * A record as an explanation: each stage, each match with the bytes that matched, the line of
 * the configuration that is behind it, and what would let it through.
 */
#include <jansson.h>
#include <stdio.h>

#include "conf/source.h"
#include "gateway/base/json.h"
#include "gateway/cli/clean.h"
#include "gateway/cli/explain.h"
#include "gateway/cli/tune.h"

static const struct {
    const char *reason, *advice;
} advice_rows[] = {
    { "rule", "if it is a false positive, exclude the rule here, as below (`tune` proves that "
              "it opens nothing else), or set `mode: detect` on this route's waf" },
    { "rule with a name", "change that rule, put one with `do: allow` before it, or set "
                          "`mode: detect` on this route's waf" },
    { "rate-limit", "raise the limit that is named above, or exempt the client with `unless`" },
    { "address-denied", "take the address off the list, or put it on `allow`" },
    { "address-not-allowed", "add the address to `allow`" },
    { "bot-score", "raise `bots.threshold.block`, or change what a reason weighs" },
    { "bot-challenge", "raise `bots.threshold.challenge`, or put the path on `bots.exempt`" },
    { "bot-uncleared", "put the path on `bots.exempt`, or set `others: pass` there" },
    { "bot-honeypot", "take the path off `bots.honeypots`" },
    { "auth-required", "send credentials" },
    { "auth-failed", "the credentials are not right" },
    { "no-site", "add this Host to a site" },
    { "no-route", "add a route for this path, or an upstream" },
    { "body-limit", "raise `server.limits.body`, or the body limit of the stage" },
    { "body-budget", "raise `waf.budget.bytes`, or exclude what need not be looked at" },
    { "http", "the request itself is not acceptable HTTP: the client has to change" },
};

static const char *text_at(const json_t *object, const char *key)
{
    const char *text = json_string_value(json_object_get(object, key));
    return text != NULL ? text : "";
}

void print_clean(const char *text, size_t max)
{
    for (size_t i = 0; i < max && text[i] != '\0'; i++) {
        unsigned char c = (unsigned char)text[i];
        (void)putchar(c >= 0x20 && c < 0x7f ? (int)c : '.');
    }
}

/* ---- places ---- */

static const struct route *route_named(const struct config *config, const char *site,
                                       const char *route)
{
    for (size_t s = 0; s < config->site_count; s++)
        for (size_t r = 0; r < config->sites[s].route_count; r++)
            if (strcmp(config->sites[s].name, site) == 0 &&
                strcmp(config->sites[s].routes[r].name, route) == 0)
                return &config->sites[s].routes[r];
    return NULL;
}

/* " (file:line)" of a stage on this route, where the file says anything of it. */
static void print_place(const struct route *route, const char *stage)
{
    for (unsigned phase = 0; route != NULL && phase < PHASE_COUNT; phase++)
        for (unsigned i = 0; i < route->chain_count[phase]; i++) {
            const struct stage_instance *instance = &route->chain[phase][i];
            if (strcmp(instance->type->name, stage) != 0)
                continue;
            if (instance->source != NULL)
                (void)printf("  %.*s:%u", (int)instance->source->name.len,
                             instance->source->name.p, instance->line);
            else
                (void)printf("  (default)");
            return;
        }
}

/* ---- parts ---- */

/* The value that the rule saw is what these made of the client's. */
static void print_steps(const json_t *match)
{
    const json_t *steps = json_object_get(match, "transformations"), *name;
    size_t i;
    json_array_foreach(steps, i, name)
    {
        (void)printf("%s%s", i == 0 ? "          normalised by " : ", ",
                     json_string_value(name));
    }
    if (i > 0)
        (void)putchar('\n');
}

static void print_matches(const json_t *ours)
{
    const json_t *match;
    size_t i;
    json_array_foreach(json_object_get(ours, "matches"), i, match)
    {
        const char *sample = text_at(match, "sample");
        size_t shown = strlen(sample) < 72 ? strlen(sample) : 72;
        (void)printf("      %s", text_at(match, "rule"));
        if (json_integer_value(json_object_get(match, "score")) != 0)
            (void)printf(" %+lld",
                         (long long)json_integer_value(json_object_get(match, "score")));
        if (*text_at(match, "field") != '\0')
            (void)printf("  %s at %lld", text_at(match, "field"),
                         (long long)json_integer_value(json_object_get(match, "offset")));
        if (*text_at(match, "msg") != '\0')
            (void)printf("  ");
        print_clean(text_at(match, "msg"), 100);
        if (shown == 0) { /* a condition matches no text */
            (void)putchar('\n');
            continue;
        }
        (void)printf("\n          ");
        print_clean(sample, shown);
        (void)printf("\n          ");
        for (size_t k = 0; k < shown; k++)
            (void)putchar('^');
        (void)putchar('\n');
        print_steps(match);
    }
}

/* The score, and what it is the sum of. */
static void print_bots(const json_t *ours)
{
    const json_t *bots = json_object_get(ours, "bots"), *reason;
    const json_t *score = json_object_get(bots, "score");
    size_t i;
    if (score == NULL)
        return;
    (void)printf("      score %lld of 100", (long long)json_integer_value(score));
    json_array_foreach(json_object_get(bots, "reasons"), i, reason)
    {
        (void)printf("%s %s %lld", i == 0 ? ":" : " +", text_at(reason, "reason"),
                     (long long)json_integer_value(json_object_get(reason, "weight")));
    }
    (void)putchar('\n');
}

static void print_stages(const json_t *ours, const struct route *route)
{
    const json_t *stage;
    size_t i;
    json_array_foreach(json_object_get(ours, "stages"), i, stage)
    {
        const char *action = text_at(stage, "action"), *reason = text_at(stage, "reason");
        bool objected = strcmp(action, "pass") != 0;
        (void)printf("  %-14s %-13s %-6s %s%s", text_at(stage, "stage"),
                     text_at(stage, "phase"), objected ? action : "pass", reason,
                     objected && json_is_false(json_object_get(stage, "enforced"))
                         ? " (not enforced)"
                         : "");
        print_place(route, text_at(stage, "stage"));
        (void)putchar('\n');
        if (strcmp(text_at(stage, "stage"), "bots") == 0)
            print_bots(ours);
        else if (objected)
            print_matches(ours);
    }
}

/* Rules with numbers that matched a field which `waf.exclude` names, each field once. */
static void print_exclusions(const json_t *record, struct arena *arena)
{
    const json_t *matches = json_object_get(json_object_get(record, "sallyport"), "matches");
    const char *path = text_at(json_object_get(record, "url"), "path");
    const json_t *match;
    bool any = false;
    size_t i;
    json_array_foreach(matches, i, match)
    {
        uint64_t rule;
        struct span field = tune_field(span_text(text_at(match, "field")), arena);
        if (field.len == 0 || !span_uint(span_text(text_at(match, "rule")), &rule))
            continue;
        struct text line = text_growing(arena, 512);
        text_format(&line, "        - {rules: [%llu], fields: [\"", (unsigned long long)rule);
        json_escape(&line, field);
        text_lit(&line, "\"], paths: [\"");
        json_escape(&line, span_text(path));
        text_lit(&line, "\"], reason: ..., expires: ...}");
        if (!any)
            (void)printf("    waf:\n      exclude:\n");
        any = true;
        (void)printf("%.*s\n", (int)line.len, line.p);
    }
}

/* Whether one of the rules has a number: those with names cannot be excluded. */
static bool can_exclude(const json_t *record)
{
    const json_t *match;
    uint64_t rule;
    size_t i;
    json_array_foreach(json_object_get(json_object_get(record, "sallyport"), "matches"), i,
                       match)
    {
        if (span_uint(span_text(text_at(match, "rule")), &rule))
            return true;
    }
    return false;
}

static void print_advice(const json_t *record)
{
    const char *reason = text_at(json_object_get(record, "sallyport"), "reason");
    if (strcmp(reason, "rule") == 0 && !can_exclude(record))
        reason = "rule with a name";
    for (size_t i = 0; i < ARRAY_LEN(advice_rows); i++)
        if (strcmp(advice_rows[i].reason, reason) == 0)
            (void)printf("To let it through: %s.\n", advice_rows[i].advice);
}

/* The upstream is not there in this process: having come so far means having passed. */
static bool is_refused(const json_t *record)
{
    const char *action = text_at(json_object_get(record, "event"), "action");
    const char *reason = text_at(json_object_get(record, "sallyport"), "reason");
    return strcmp(action, "block") == 0 || strcmp(action, "refuse") == 0 ||
           (strcmp(action, "reply") == 0 && strcmp(reason, "bot-challenge") == 0) ||
           (strcmp(action, "fail") == 0 &&
            json_object_get(json_object_get(record, "sallyport"), "upstream") == NULL);
}

static void print_human(const json_t *record, const struct config *config)
{
    const json_t *ours = json_object_get(record, "sallyport"),
                 *url = json_object_get(record, "url");
    const json_t *request = json_object_get(json_object_get(record, "http"), "request");
    const json_t *answer = json_object_get(json_object_get(record, "http"), "response");
    const char *reason = text_at(ours, "reason");
    print_clean(text_at(request, "method"), 32);
    (void)putchar(' ');
    print_clean(text_at(url, "domain"), 200);
    print_clean(text_at(url, "path"), 500);
    if (*text_at(url, "query") != '\0')
        (void)putchar('?');
    print_clean(text_at(url, "query"), 500);
    (void)printf("   from %s\n", text_at(json_object_get(record, "client"), "ip"));
    (void)printf("  site %s, route %s\n",
                 *text_at(ours, "site") != '\0' ? text_at(ours, "site") : "-",
                 *text_at(ours, "route") != '\0' ? text_at(ours, "route") : "-");
    print_stages(ours, config != NULL
                           ? route_named(config, text_at(ours, "site"), text_at(ours, "route"))
                           : NULL);
    if (json_is_true(json_object_get(ours, "body_unseen")))
        (void)printf("  not looked at: the body, or part of it\n");
    if (!is_refused(record)) {
        (void)printf("PASS%s\n", strcmp(text_at(ours, "action"), "reply") == 0
                                     ? ": answered by the gateway itself"
                                     : "");
        return;
    }
    (void)printf("REFUSED with %lld: %s",
                 (long long)json_integer_value(json_object_get(answer, "status_code")), reason);
    if (*text_at(ours, "detail") != '\0')
        (void)printf(" (%s)", text_at(ours, "detail"));
    (void)putchar('\n');
    print_advice(record);
    if (strcmp(reason, "rule") == 0) {
        struct arena arena;
        arena_init(&arena, NULL, 0, NULL, (size_t)1 << 20);
        print_exclusions(record, &arena);
        arena_reset(&arena);
    }
}

int explain_show(const struct config *config, struct span line, bool json)
{
    json_t *record = json_loadb(line.p, line.len, JSON_ALLOW_NUL, NULL);
    if (record == NULL)
        return EXIT_TROUBLE;
    if (json) {
        (void)fwrite(line.p, 1, line.len, stdout);
        (void)putchar('\n');
    } else {
        clean_json(record);
        print_human(record, config);
    }
    int code = is_refused(record) ? EXIT_REFUSED : EXIT_GOOD;
    json_decref(record);
    return code;
}
