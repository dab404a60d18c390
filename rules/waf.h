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
#include "rules/ruleset.h"
#include "rules/scan.h"

enum waf_set { WAF_SET_NONE, WAF_SET_CORE, WAF_SET_CRS };

struct waf_threshold {
    int64_t inbound, outbound; /* 0: not said */
};

struct waf_budget {
    uint64_t bytes;
    int64_t values;
};

struct waf_conf {
    int ruleset; /* enum waf_set */
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
    /* Made by waf_open; shared by all that have the same rules. */
    struct plan *plan;           /* of `rules` and the core pack; NULL: there is none */
    struct ruleset *seclang_set; /* NULL: there is none */
};

extern const struct stage_type waf_stage;

/* rules/waf_conf.c: the configuration side. */
extern const struct option waf_options[];
enum err waf_open(void *conf, struct setup *setup);
void waf_close(void *conf);

#endif
