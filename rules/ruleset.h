/*
 * The rules of a stage `waf`: the configuration's own, a rule set, SecLang files; read, checked
 * and planned once for all routes that ask for the same.
 *
 * Order: own rules and the pack `core`; then, in SecLang, the set's setup, the YAML's values,
 * `seclang.before`, what `exclude` says of some paths, the set's rules, `seclang.after`, what
 * `exclude` says of all.
 */
#ifndef SALLYPORT_RULES_RULESET_H
#define SALLYPORT_RULES_RULESET_H

#include "gateway/chain/stage.h"
#include "rules/engine/database.h"
#include "rules/engine/store.h"

struct ruleset_crs {
    struct span path; /* a folder of *.conf files */
    struct texts setup;
};

struct ruleset_seclang {
    struct texts before, after; /* files, folders or globs */
};

enum ruleset_base {
    RULESET_NONE,
    RULESET_CORE,
    RULESET_CRS,
    RULESET_AUTO, /* the Core Rule Set where it is, else the pack `core` */
};

struct ruleset_conf {
    enum ruleset_base base; /* never AUTO in an open set */
    bool found;             /* nobody asked for it by name */
    struct ruleset_crs crs;
    struct ruleset_seclang seclang;
    int64_t paranoia, detect_paranoia, inbound, outbound; /* 0: what the set says itself */
    struct list exclude; /* of struct exclusion: rules/exclusion.h */
    bool skip_unsupported;
    struct list rules; /* of struct rule_source: rules/own/rule.h */
};

struct ruleset {
    struct ruleset_conf conf;
    struct sec_program *program;
    struct sec_plan *plan;
    bool seclang;  /* there are files of SecLang */
    bool collects; /* some rule keeps collections: in `store`, which all workers share */
    struct sec_store store;
    unsigned users;
};

/* `known`, when the configuration is the same; else a new one. NULL after a complaint, and when
 * the memory is out. */
struct ruleset *ruleset_open(const struct ruleset_conf *conf, struct ruleset *known,
                             struct setup *setup);
void ruleset_close(struct ruleset *ruleset);
/* "OWASP_CRS/3.3.4 (/usr/share/modsecurity-crs/rules), 633 rules, 2 of the configuration". */
void ruleset_describe(const struct ruleset *set, struct text *out);
/* With what AUTO comes to on this machine. */
struct ruleset_conf ruleset_found(const struct ruleset_conf *conf);
/* Whether there is nothing to ask. */
bool ruleset_conf_empty(const struct ruleset_conf *conf);
bool ruleset_conf_equal(const struct ruleset_conf *a, const struct ruleset_conf *b);

#endif
