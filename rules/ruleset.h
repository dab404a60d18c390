/*
 * A SecLang rule set as `waf` configures it: which files, in which order, with which values of
 * the YAML in between; read, checked and planned once for all routes that ask for the same.
 *
 * Order: the set's own setup, the YAML's values, `seclang.before`, what `exclude` says of some
 * paths, the rules, `seclang.after`, what `exclude` says of all.
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

struct ruleset_conf {
    bool crs_on; /* the Core Rule Set, or only `seclang` */
    struct ruleset_crs crs;
    struct ruleset_seclang seclang;
    int64_t paranoia, detect_paranoia, inbound, outbound; /* 0: what the set says itself */
    struct list exclude; /* of struct exclusion: rules/exclusion.h */
    bool skip_unsupported;
};

struct ruleset {
    struct ruleset_conf conf;
    struct sec_program *program;
    struct sec_plan *plan;
    bool collects; /* some rule keeps collections: in `store`, which all workers share */
    struct sec_store store;
    unsigned users;
};

/* `known`, when the configuration is the same; else a new one. NULL after a complaint, and when
 * the memory is out. */
struct ruleset *ruleset_open(const struct ruleset_conf *conf, struct ruleset *known,
                             struct setup *setup);
void ruleset_close(struct ruleset *ruleset);
/* What makes the databases, with the cache of the configuration. Closed by
 * database_maker_close. */
void ruleset_maker(struct database_maker *maker, struct setup *setup);
bool ruleset_conf_equal(const struct ruleset_conf *a, const struct ruleset_conf *b);

#endif
