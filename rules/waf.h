/*
 * The stage `waf`: rules over the request. A site's own rules first, in their order, then those
 * of the pack.
 *
 * The head is judged when it is complete, the body when all of it is there: rules that look at
 * arguments or the body are asked again then, with what matched before still standing. Each
 * rule fires once at most. A spent budget fails the stage: `on_error` decides.
 */
#ifndef SALLYPORT_RULES_WAF_H
#define SALLYPORT_RULES_WAF_H

#include "gateway/chain/stage.h"
#include "rules/scan.h"

enum ruleset { RULESET_NONE, RULESET_CORE };

struct waf_threshold {
    int64_t inbound;
};

struct waf_budget {
    uint64_t bytes;
    int64_t values;
};

struct waf_conf {
    int ruleset; /* enum ruleset */
    uint64_t body_limit;
    struct list rules; /* of struct rule_source */
    struct waf_threshold threshold;
    struct waf_budget budget;
    struct plan *plan; /* made by waf_open; shared by all that have the same rules */
};

extern const struct stage_type waf_stage;

/* rules/waf_conf.c: the configuration side. */
extern const struct option waf_options[];
enum err waf_open(void *conf, struct setup *setup);
void waf_close(void *conf);

#endif
