/*
 * `sallyport quota show|reset LIMIT VALUE`: what a client has used of a quota. The
 * configuration says how the limit counts; the running gateway has the number.
 */
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "gateway/cli/control.h"
#include "gateway/cli/loaded.h"
#include "ratelimit/limit.h"

struct asked {
    struct key key;
    uint64_t quota;
    int64_t begins_s, ends_s;
    bool shared;
};

/* The last quota of that name, and how many there are. */
static const struct limit *find_limit(const struct config *config, struct span name,
                                      unsigned *count)
{
    const struct limit *found = NULL;
    *count = 0;
    for (size_t i = 0; i < config->instance_count; i++) {
        const struct rate_limits *conf = config->instances[i].conf;
        if (config->instances[i].type != &limits_stage)
            continue;
        for (unsigned k = 0; k < conf->count; k++) {
            const struct limit *limit = &conf->limits[k];
            if (limit->kind != KIND_QUOTA || !span_equal(limit->name, name))
                continue;
            found = limit;
            (*count)++;
        }
    }
    return found;
}

static int read_limit(const struct arguments *arguments, struct asked *asked)
{
    struct loaded loaded = { .config = NULL };
    const char *name = arguments->operands[1];
    int code = EXIT_GOOD;
    if (arguments->values[FLAG_CONFIG] == NULL)
        return usage_error("needs -c FILE: it says how the limit counts");
    loaded_open(&loaded, arguments->values[FLAG_CONFIG]);
    if (loaded.config == NULL) {
        loaded_print(&loaded, STDERR_FILENO, false);
        loaded_close(&loaded);
        return EXIT_BAD;
    }
    unsigned count;
    const struct limit *limit = find_limit(loaded.config, span_text(name), &count);
    if (limit == NULL) {
        code = usage_error("no quota has the name %s", name);
    } else if (count > 1) {
        code =
            usage_error("several quotas have the name %s: give them names of their own", name);
    } else if (!key_of_text(&asked->key, &limit->plan, limit->id,
                            span_text(arguments->operands[2]))) {
        code = usage_error("%s is not what %s counts by; several values are joined by +",
                           arguments->operands[2], name);
    } else {
        asked->quota = limit->burst;
        asked->shared = limit->exact;
        calendar_window(limit->calendar, (int64_t)time(NULL), &asked->begins_s, &asked->ends_s);
    }
    loaded_close(&loaded);
    return code;
}

static void print_human(const struct asked *asked, long long used, bool reset)
{
    char until[32] = "";
    time_t end = (time_t)asked->ends_s;
    struct tm tm;
    if (localtime_r(&end, &tm) != NULL)
        (void)strftime(until, sizeof(until), "%Y-%m-%d %H:%M:%S", &tm);
    (void)printf("%lld of %llu used, until %s%s\n", used, (unsigned long long)asked->quota,
                 until, reset ? "; given back" : "");
    if (asked->shared)
        (void)printf("as this node knows it: the store counts\n");
}

int verb_quota(const struct arguments *arguments)
{
    bool json,
        reset = arguments->operand_count == 3 && strcmp(arguments->operands[0], "reset") == 0;
    struct asked asked = { .quota = 0 };
    if (!output_is_json(arguments, &json))
        return EXIT_BAD;
    if (arguments->operand_count != 3 ||
        (!reset && strcmp(arguments->operands[0], "show") != 0))
        return usage_error("quota show LIMIT VALUE | quota reset LIMIT VALUE");
    int code = read_limit(arguments, &asked);
    if (code != EXIT_GOOD)
        return code;
    if (reset && asked.shared)
        return usage_error("this quota is counted in the store, which this does not reach yet");
    char hex[2 * sizeof(asked.key.bytes) + 1];
    struct text text = text_fixed(hex, sizeof(hex));
    text_hex(&text, asked.key.bytes, asked.key.len);
    json_t *answer = NULL;
    code = control_ask(arguments,
                       json_pack("{s:s, s:s, s:I, s:b}", "command", "quota", "key",
                                 text_cstring(&text), "window", (json_int_t)(asked.ends_s / 60),
                                 "reset", (int)reset),
                       &answer);
    if (code != EXIT_GOOD)
        return code;
    bool good = json_is_true(json_object_get(answer, "ok"));
    long long used = (long long)json_integer_value(json_object_get(answer, "used"));
    if (!good)
        (void)usage_error("%s", json_string_value(json_object_get(answer, "error")));
    else if (json)
        (void)printf("{\"ok\":true,\"used\":%lld,\"quota\":%llu,\"ends\":%lld}\n", used,
                     (unsigned long long)asked.quota, (long long)asked.ends_s);
    else
        print_human(&asked, used, reset);
    json_decref(answer);
    return good ? EXIT_GOOD : EXIT_TROUBLE;
}
