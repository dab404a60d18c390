/*
 * A table of options with every kind in it, for the tests and the fuzzer of configuration.
 */
#ifndef SALLYPORT_TESTS_CONF_SAMPLE_H
#define SALLYPORT_TESTS_CONF_SAMPLE_H

#include "conf/expr.h"
#include "conf/schema.h"

enum { SAMPLE_BLOCK, SAMPLE_DETECT, SAMPLE_OFF };

struct sample_server {
    struct url url;
    int64_t weight;
};

struct sample_limit {
    struct keyed_rate rate;
    struct expr *unless;
};

struct sample_plan {
    struct map_item item;
    struct texts limits;
    struct rate rate;
};

struct sample_threshold {
    int64_t inbound, outbound;
};

struct sample_waf {
    int mode;
    int ruleset;
    struct sample_threshold threshold;
    struct texts exclude;
};

struct sample {
    struct texts host;
    bool websocket;
    int64_t workers;
    uint64_t body;
    struct duration timeout;
    struct rate rate;
    struct span contact;
    struct path dir;
    struct secret key;
    struct url upstream;
    struct cidrs allow;
    struct expr *when;
    struct sample_waf waf;
    struct list servers, limits, plans;
    struct span plan;
};

struct sample_common {
    int mode;
    struct expr *unless;
};

static const struct choice sample_modes[] = {
    { "block", SAMPLE_BLOCK, "Refuses." },
    { "detect", SAMPLE_DETECT, "Records." },
    { "off", SAMPLE_OFF, NULL },
    { NULL, 0, NULL },
};

static const struct choice sample_rulesets[] = {
    { "crs", 0, NULL },
    { "none", 1, NULL },
    { NULL, 0, NULL },
};

static const struct option sample_server_rows[] = {
    OPTION(struct sample_server, url, OPT_URL, .flags = OPTION_REQUIRED | OPTION_SHORTHAND,
           .help = "Where it is."),
    OPTION(struct sample_server, weight, OPT_INT, .fallback = "1", .min = 1, .max = 100,
           .help = "Its share."),
    OPTIONS_END,
};

static const struct option sample_limit_rows[] = {
    OPTION(struct sample_limit, rate, OPT_KEYED_RATE,
           .flags = OPTION_REQUIRED | OPTION_SHORTHAND, .help = "How many."),
    OPTION(struct sample_limit, unless, OPT_EXPR, .help = "For whom not."),
    OPTIONS_END,
};

static const struct option sample_plan_rows[] = {
    OPTION(struct sample_plan, limits, OPT_TEXTS, .flags = OPTION_SHORTHAND, .help = "Texts."),
    OPTION(struct sample_plan, rate, OPT_RATE, .fallback = "60/min", .help = "A rate."),
    OPTIONS_END,
};

static const struct option sample_threshold_rows[] = {
    OPTION(struct sample_threshold, inbound, OPT_INT, .fallback = "5", .min = 1, .max = 1000),
    OPTION(struct sample_threshold, outbound, OPT_INT, .fallback = "4", .min = 1, .max = 1000),
    OPTIONS_END,
};

static const struct option sample_waf_rows[] = {
    OPTION(struct sample_waf, mode, OPT_ENUM, .choices = sample_modes, .fallback = "block",
           .help = "What it does with an attack."),
    OPTION(struct sample_waf, ruleset, OPT_ENUM, .flags = OPTION_SHORTHAND,
           .choices = sample_rulesets, .fallback = "crs", .help = "Which rules."),
    OPTION(struct sample_waf, threshold, OPT_OBJECT, .options = sample_threshold_rows,
           .help = "The score that blocks."),
    OPTION(struct sample_waf, exclude, OPT_TEXTS, .flags = OPTION_APPEND, .max = 8,
           .help = "Left out."),
    OPTIONS_END,
};

static void sample_check_contact(const void *field, struct complaint *complaint)
{
    const struct span *contact = field;
    if (span_index(*contact, '@') < 0)
        complain(complaint, SEVERITY_ERROR, "an address has an @");
}

static const struct option sample_rows[] = {
    OPTION(struct sample, host, OPT_TEXTS, .flags = OPTION_REQUIRED,
           .example = "app.example.com", .help = "Names | hosts."),
    OPTION(struct sample, websocket, OPT_BOOL, .fallback = "true", .help = "Whether."),
    OPTION(struct sample, workers, OPT_INT, .min = 1, .max = 256, .help = "How many."),
    OPTION(struct sample, body, OPT_SIZE, .fallback = "10MiB", .min = 1, .max = 1 << 30,
           .help = "How large."),
    OPTION(struct sample, timeout, OPT_DURATION, .fallback = "10s", .min = 1, .max = 86400000,
           .help = "How long."),
    OPTION(struct sample, rate, OPT_RATE, .help = "How often."),
    OPTION(struct sample, contact, OPT_TEXT, .check = sample_check_contact,
           .help = "Whom to ask."),
    OPTION(struct sample, dir, OPT_FILE, .help = "A folder."),
    OPTION(struct sample, key, OPT_SECRET, .help = "A secret."),
    OPTION(struct sample, upstream, OPT_URL, .help = "One server."),
    OPTION(struct sample, allow, OPT_CIDRS, .flags = OPTION_APPEND, .help = "Who may."),
    OPTION(struct sample, when, OPT_EXPR, .help = "When."),
    OPTION(struct sample, waf, OPT_OBJECT, .options = sample_waf_rows, .help = "The rules."),
    OPTION(struct sample, servers, OPT_LIST, .options = sample_server_rows,
           .item_size = sizeof(struct sample_server), .max = 4, .help = "The servers."),
    OPTION(struct sample, limits, OPT_LIST, .flags = OPTION_APPEND,
           .options = sample_limit_rows, .item_size = sizeof(struct sample_limit),
           .help = "The limits."),
    OPTION(struct sample, plans, OPT_MAP, .options = sample_plan_rows,
           .item_size = sizeof(struct sample_plan), .help = "The plans."),
    OPTION(struct sample, plan, OPT_REF, .refers = "plans", .help = "One of the plans."),
    OPTIONS_END,
};

static const struct option sample_common_rows[] = {
    OPTION(struct sample_common, mode, OPT_ENUM, .choices = sample_modes, .help = "Overall."),
    OPTION(struct sample_common, unless, OPT_EXPR, .help = "Not asked."),
    OPTIONS_END,
};

enum { SAMPLE_PATH = 1, SAMPLE_IP, SAMPLE_FIELD, SAMPLE_SIZE, SAMPLE_TLS };

static const struct expr_name sample_names[] = {
    { "path", EXPR_TEXT, false, SAMPLE_PATH, "" },
    { "client.ip", EXPR_ADDR, false, SAMPLE_IP, "" },
    { "field", EXPR_TEXT, true, SAMPLE_FIELD, "" },
    { "size", EXPR_NUMBER, false, SAMPLE_SIZE, "" },
    { "tls", EXPR_BOOL, false, SAMPLE_TLS, "" },
    { .name = NULL },
};

static int sample_list(void *owner, struct span name)
{
    (void)owner;
    return span_equal(name, SPAN("office")) ? 7 : -1;
}

/* The pattern itself is the memory: its length is the id. */
static int sample_pattern(void *owner, struct span pattern, struct arena *arena,
                          struct span *why)
{
    (void)owner;
    (void)arena;
    if (span_index(pattern, '(') >= 0) {
        *why = SPAN("groups are not accepted");
        return -1;
    }
    return (int)pattern.len;
}

static const struct expr_scope sample_scope = {
    .names = sample_names,
    .list = sample_list,
    .pattern = sample_pattern,
};

#endif
