/*
 * What the tests of configuration share: one arena and list of diagnostics, and diagnostics as
 * short texts: "SP0103@2:5 SP0202@3:1".
 */
#ifndef SALLYPORT_TESTS_CONF_FIXTURE_H
#define SALLYPORT_TESTS_CONF_FIXTURE_H

#include "conf/yaml.h"
#include "gateway/base/text.h"

struct fixture {
    struct arena arena;
    struct diags diags;
};

struct fixture *fixture_new(void);
void fixture_free(struct fixture *f);
/* Starts again; what was allocated before is gone. */
void fixture_reset(struct fixture *f);
/* Sorted; a warning has a w before its code. */
struct span fixture_codes(struct fixture *f);
/* All of the diagnostics as a person sees them. */
struct span fixture_human(struct fixture *f);
struct span fixture_json(struct fixture *f);
struct node *fixture_yaml(struct fixture *f, struct span text);

#endif
