/* `waf.rules`: the options of one rule, and the check of all. */
#ifndef SALLYPORT_RULES_OWN_OPTIONS_H
#define SALLYPORT_RULES_OWN_OPTIONS_H

#include "conf/schema.h"

extern const struct option own_rule_options[];
void own_rules_check(const void *field, struct complaint *complaint);

#endif
