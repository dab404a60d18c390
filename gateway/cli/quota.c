/*
 * `sallyport quota show|reset LIMIT VALUE`: what a client has used of a quota. The
 * configuration says how the limit counts; the running gateway has the number, or the store
 * that nodes share, which is asked by the command line itself.
 *
 * In the store a reset is a number of its own above what is used, for every node remembers what
 * was used, and would tell it to a store that knows less.
 */
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "gateway/cli/control.h"
#include "gateway/cli/storeask.h"
#include "ratelimit/exact.h"
#include "ratelimit/limit.h"

struct asked {
    struct loaded loaded;
    const struct rate_limits *conf;
    const struct limit *limit;
    struct key key;
    int64_t begins_s, ends_s;
};

struct told {
    uint64_t used;
    bool here; /* the store did not say, or is not asked: as this node knows it */
};

/* The last quota of that name, and how many there are. */
static unsigned find_limit(struct asked *asked, struct span name)
{
    const struct config *config = asked->loaded.config;
    unsigned count = 0;
    for (size_t i = 0; i < config->instance_count; i++) {
        const struct rate_limits *conf = config->instances[i].conf;
        if (config->instances[i].type != &limits_stage)
            continue;
        for (unsigned k = 0; k < conf->count; k++) {
            const struct limit *limit = &conf->limits[k];
            if (limit->kind != KIND_QUOTA || !span_equal(limit->name, name))
                continue;
            asked->conf = conf;
            asked->limit = limit;
            count++;
        }
    }
    return count;
}

static int read_limit(const struct arguments *arguments, struct asked *asked)
{
    const char *name = arguments->operands[1];
    if (arguments->values[FLAG_CONFIG] == NULL)
        return usage_error("needs -c FILE: it says how the limit counts");
    loaded_outline(&asked->loaded, arguments->values[FLAG_CONFIG]);
    if (asked->loaded.config == NULL) {
        loaded_print(&asked->loaded, STDERR_FILENO, false);
        return EXIT_BAD;
    }
    unsigned count = find_limit(asked, span_text(name));
    if (count == 0)
        return usage_error("no quota has the name %s", name);
    if (count > 1)
        return usage_error("several quotas have the name %s: give them names of their own",
                           name);
    if (!key_of_text(&asked->key, &asked->limit->plan, asked->limit->id, asked->limit->v6_bits,
                     span_text(arguments->operands[2]))) {
        char by[512];
        struct text text = text_fixed(by, sizeof(by));
        key_plan_write(&asked->limit->plan, &text);
        const char *parts = text_cstring(&text);
        return usage_error("%s is not what %s counts by, which is %s", arguments->operands[2],
                           name, parts != NULL ? parts : "too long");
    }
    calendar_window(asked->limit->calendar, (int64_t)time(NULL), &asked->begins_s,
                    &asked->ends_s);
    return EXIT_GOOD;
}

/* ---- the running gateway ---- */

static int ask_gateway(const struct arguments *arguments, const struct asked *asked, bool reset,
                       uint64_t *used)
{
    char hex[2 * sizeof(asked->key.bytes) + 1];
    struct text text = text_fixed(hex, sizeof(hex));
    json_t *answer = NULL;
    text_hex(&text, asked->key.bytes, asked->key.len);
    int code = control_ask(arguments,
                           json_pack("{s:s, s:s, s:I, s:b}", "command", "quota", "key",
                                     text_cstring(&text), "ends", (json_int_t)asked->ends_s,
                                     "reset", (int)reset),
                           &answer);
    if (code != EXIT_GOOD)
        return code;
    *used = (uint64_t)json_integer_value(json_object_get(answer, "used"));
    if (!json_is_true(json_object_get(answer, "ok"))) {
        (void)usage_error("%s", json_string_value(json_object_get(answer, "error")));
        code = EXIT_TROUBLE;
    }
    json_decref(answer);
    return code;
}

/* ---- the store ---- */

struct counter {
    uint64_t number;
    bool bad;
};

static void take_number(void *ctx, const struct redis_value *value)
{
    struct counter *counter = ctx;
    counter->bad = value->type != REDIS_NIL &&
                   (value->type != REDIS_TEXT || !span_uint(value->text, &counter->number));
}

static void take_status(void *ctx, const struct redis_value *value)
{
    struct counter *counter = ctx;
    counter->bad = value->type != REDIS_STATUS;
}

static bool set_number(struct storeask *ask, struct span name, uint64_t number, int64_t ttl_s)
{
    char digits[24], seconds[24];
    struct text text = text_fixed(digits, sizeof(digits)),
                ttl = text_fixed(seconds, sizeof(seconds));
    struct counter counter = { 0 };
    text_uint(&text, number);
    text_int(&ttl, ttl_s * 1000);
    const struct span command[] = { SPAN("SET"), name, text_span(&text), SPAN("PX"),
                                    text_span(&ttl) };
    return storeask_put(ask, name, ARRAY_LEN(command), command, take_status, &counter) &&
           !counter.bad;
}

static int ask_counter(struct storeask *ask, const struct asked *asked, struct span name,
                       bool reset, uint64_t *used)
{
    struct counter counter = { 0 };
    const struct span get[] = { SPAN("GET"), name };
    if (!storeask_put(ask, name, ARRAY_LEN(get), get, take_number, &counter) || counter.bad)
        return usage_error("the store does not answer as it should");
    uint64_t turn = counter.number >> TURN_BITS;
    *used = counter.number & ((UINT64_C(1) << TURN_BITS) - 1);
    if (!reset)
        return EXIT_GOOD;
    if (turn >= QUOTA_TURN_MAX)
        return usage_error("it was given back %d times in this window already",
                           (int)QUOTA_TURN_MAX);
    int64_t left_s = asked->ends_s - (int64_t)time(NULL);
    if (!set_number(ask, name, (turn + 1) << TURN_BITS, (left_s > 0 ? left_s : 0) + 60))
        return usage_error("the store does not take it");
    return EXIT_GOOD;
}

static int ask_store(const struct arguments *arguments, const struct asked *asked, bool reset,
                     uint64_t *used)
{
    struct exact_names names;
    struct storeask ask;
    char buffer[EXACT_KEY_TEXT_MAX];
    struct text name = text_fixed(buffer, sizeof(buffer));
    exact_names_open(&names, asked->loaded.config->store);
    if (!limit_shared_name(asked->conf, asked->limit, &names, span_text(arguments->operands[2]),
                           asked->ends_s, &name))
        return usage_error("this value has no name in the store");
    int code = storeask_open(&ask, asked->loaded.config->store)
                   ? ask_counter(&ask, asked, text_span(&name), reset, used)
                   : usage_error("the store cannot be reached");
    storeask_close(&ask);
    return code == EXIT_GOOD ? EXIT_GOOD : EXIT_TROUBLE;
}

/* ---- the verb ---- */

/* The gateway of this machine knows at once; others find out when they ask the store. */
static int find_used(const struct arguments *arguments, const struct asked *asked, bool reset,
                     struct told *told)
{
    uint64_t here = 0;
    told->here = !asked->limit->exact;
    if (told->here)
        return ask_gateway(arguments, asked, reset, &told->used);
    int code = ask_store(arguments, asked, reset, &told->used);
    if (code == EXIT_GOOD || reset)
        return code;
    code = ask_gateway(arguments, asked, false, &here);
    told->used = here;
    told->here = true;
    return code;
}

static void print_human(const struct asked *asked, const struct told *told, bool reset)
{
    char until[64] = "";
    time_t end = (time_t)asked->ends_s;
    struct tm tm;
    if (localtime_r(&end, &tm) != NULL)
        (void)strftime(until, sizeof(until), "%Y-%m-%d %H:%M:%S %Z", &tm);
    (void)printf("%llu of %llu used, until %s%s\n", (unsigned long long)told->used,
                 (unsigned long long)asked->limit->burst, until, reset ? "; given back" : "");
    if (asked->limit->exact && told->here)
        (void)printf("as this node knows it: the store counts, and does not answer\n");
}

int verb_quota(const struct arguments *arguments)
{
    bool json,
        reset = arguments->operand_count == 3 && strcmp(arguments->operands[0], "reset") == 0;
    struct asked asked = { .limit = NULL };
    struct told told = { .used = 0 };
    if (!output_is_json(arguments, &json))
        return EXIT_BAD;
    if (arguments->operand_count != 3 ||
        (!reset && strcmp(arguments->operands[0], "show") != 0))
        return usage_error("quota show LIMIT VALUE | quota reset LIMIT VALUE");
    int code = read_limit(arguments, &asked);
    if (code == EXIT_GOOD)
        code = find_used(arguments, &asked, reset, &told);
    if (code == EXIT_GOOD && json)
        (void)printf("{\"ok\":true,\"used\":%llu,\"quota\":%llu,\"ends\":%lld,"
                     "\"store\":%s}\n",
                     (unsigned long long)told.used, (unsigned long long)asked.limit->burst,
                     (long long)asked.ends_s, told.here ? "false" : "true");
    else if (code == EXIT_GOOD)
        print_human(&asked, &told, reset);
    if (arguments->values[FLAG_CONFIG] != NULL)
        loaded_close(&asked.loaded);
    return code;
}
