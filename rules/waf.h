/*
 * The stage `waf`: rules over the request, and over the answer where that is asked for. A
 * site's own rules first, in their order, then those of the rule set; all are one plan.
 *
 * The head is judged when it is complete, the body when all of it is there: rules that look at
 * arguments or the body are asked again then, with what matched before still standing. Each
 * own rule fires once at most. A spent budget fails the stage: `on_error` decides.
 */
#ifndef SALLYPORT_RULES_WAF_H
#define SALLYPORT_RULES_WAF_H

#include "gateway/chain/stage.h"
#include "rules/ruleset.h"

struct waf_threshold {
    int64_t inbound, outbound; /* 0: not said */
};

struct waf_budget {
    uint64_t bytes;
    int64_t values;
};

struct waf_conf {
    int ruleset; /* enum ruleset_base */
    struct ruleset_crs crs;
    struct ruleset_seclang seclang;
    int64_t paranoia, detect_paranoia; /* 0: not said */
    bool response, skip_unsupported;
    uint64_t response_limit;
    struct list exclude; /* of struct exclusion */
    uint64_t body_limit;
    struct list rules; /* of struct rule_source */
    struct waf_threshold threshold;
    struct waf_budget budget;
    /* Made by waf_open; shared by all that have the same. */
    struct ruleset *set; /* NULL: there is no rule at all */
};

extern const struct stage_type waf_stage;

/* rules/waf_conf.c: the configuration side. */
extern const struct option waf_options[];
enum err waf_open(void *conf, struct setup *setup);
void waf_close(void *conf);
/* The different rule sets of a configuration; no more than `max`. */
unsigned waf_sets(const struct config *config, const struct ruleset **sets, unsigned max);

#endif
