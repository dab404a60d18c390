/*
 * `sallyport limits list|counts|simulate`: the limits of a configuration, each with who counts
 * it and how far that may be off; and what the running gateway's have decided.
 */
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "gateway/base/json.h"
#include "gateway/cli/control.h"
#include "gateway/cli/loaded.h"
#include "ratelimit/lease.h"
#include "ratelimit/limit.h"

static const char *mode_of(const struct limit *limit)
{
    return limit->lease ? "lease" : limit->exact ? "exact" : "local";
}

/* How many more than the limit may pass in a stretch of time: see lease.h. */
static uint64_t bound_of(const struct limit *limit)
{
    if (!limit->lease)
        return 0;
    uint64_t given = (uint64_t)LEASE_MS * 1000000 / limit->gcra.interval_ns + 1;
    return given < limit->burst ? given : limit->burst;
}

static void write_json(struct json *j, const struct limit *limit)
{
    json_begin_object(j, NULL);
    json_text(j, "site", span_text(limit->site));
    json_text(j, "route", span_text(limit->route != NULL ? limit->route : ""));
    json_text(j, "limit", limit->name);
    json_text(j, "policy", limit->policy);
    json_text(j, "store", span_text(mode_of(limit)));
    json_uint(j, "bound", bound_of(limit));
    json_bool(j, "shadow", limit->shadow);
    json_end_object(j);
}

static void write_line(struct text *out, const struct limit *limit)
{
    text_format(out, "%-6s %-24s %-20s ", mode_of(limit), limit->site,
                limit->route != NULL ? limit->route : "-");
    text_add(out, limit->policy);
    if (limit->shadow)
        text_lit(out, "  (shadow)");
    if (limit->lease)
        text_format(out, "  (at most %llu more in a stretch of time, none in sum)",
                    (unsigned long long)bound_of(limit));
    text_char(out, '\n');
}

static void each_limit(const struct config *config, struct json *j, struct text *out)
{
    for (size_t i = 0; i < config->instance_count; i++) {
        const struct rate_limits *conf = config->instances[i].conf;
        if (config->instances[i].type != &limits_stage)
            continue;
        for (unsigned k = 0; k < conf->count; k++) {
            if (j != NULL)
                write_json(j, &conf->limits[k]);
            else
                write_line(out, &conf->limits[k]);
        }
    }
}

void print_leases(const struct config *config)
{
    for (size_t i = 0; i < config->instance_count; i++) {
        const struct rate_limits *conf = config->instances[i].conf;
        if (config->instances[i].type != &limits_stage)
            continue;
        for (unsigned k = 0; k < conf->count; k++)
            if (conf->limits[k].lease)
                (void)printf("lease %.*s: in a stretch of time at most %llu more than the "
                             "limit, in sum none\n",
                             (int)conf->limits[k].name.len, conf->limits[k].name.p,
                             (unsigned long long)bound_of(&conf->limits[k]));
    }
}

static int list(const struct arguments *arguments, bool json)
{
    struct loaded loaded = { .config = NULL };
    if (arguments->values[FLAG_CONFIG] == NULL)
        return usage_error("needs -c FILE");
    loaded_outline(&loaded, arguments->values[FLAG_CONFIG]);
    int code = EXIT_BAD;
    if (loaded.config != NULL) {
        struct text out = text_growing(&loaded.arena, OUTPUT_BYTES);
        struct json j = json_writer(&out);
        if (json) {
            json_begin_object(&j, NULL);
            json_begin_array(&j, "limits");
            each_limit(loaded.config, &j, NULL);
            json_end_array(&j);
            json_end_object(&j);
            text_char(&out, '\n');
        } else {
            each_limit(loaded.config, NULL, &out);
        }
        code = print_all(STDOUT_FILENO, text_span(&out)) ? EXIT_GOOD : EXIT_TROUBLE;
    } else {
        loaded_print(&loaded, STDERR_FILENO, json);
    }
    loaded_close(&loaded);
    return code;
}

static void print_counts(const json_t *answer)
{
    size_t i;
    json_t *row;
    (void)printf("%12s %-7s %-9s %s\n", "requests", "outcome", "counted", "limit");
    json_array_foreach(json_object_get(answer, "limits"), i, row)(void) printf(
        "%12lld %-7s %-9s %s\n", (long long)json_integer_value(json_object_get(row, "count")),
        json_string_value(json_object_get(row, "outcome")),
        json_string_value(json_object_get(row, "store")),
        json_string_value(json_object_get(row, "limit")));
    (void)printf("keys forgotten because the table was full: %lld\n",
                 (long long)json_integer_value(json_object_get(answer, "evicted")));
}

static int counts(const struct arguments *arguments, bool json)
{
    json_t *answer = NULL;
    int code = control_ask(arguments, json_pack("{s:s}", "command", "limits"), &answer);
    return code == EXIT_GOOD ? control_tell(answer, json, print_counts) : code;
}

int verb_limits(const struct arguments *arguments)
{
    const char *what = arguments->operand_count > 0 ? arguments->operands[0] : "list";
    bool json;
    bool simulated = strcmp(what, "simulate") == 0;
    if (arguments->operand_count > (simulated ? 2 : 1) ||
        (!simulated && strcmp(what, "list") != 0 && strcmp(what, "counts") != 0))
        return usage_error("limits list, limits counts, or limits simulate [LOG]");
    if (!output_is_json(arguments, &json))
        return EXIT_BAD;
    if (simulated)
        return limits_simulate(arguments, json);
    return strcmp(what, "list") == 0 ? list(arguments, json) : counts(arguments, json);
}
