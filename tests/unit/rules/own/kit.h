/*
 * What tests of the configuration's rules share: a plan from rules as they are written, values
 * by the names of their targets, and which rules fired.
 */
#ifndef SALLYPORT_TESTS_OWN_KIT_H
#define SALLYPORT_TESTS_OWN_KIT_H

#include "conf/diag.h"
#include "rules/engine/build.h"
#include "rules/engine/run.h"
#include "rules/own/translate.h"
#include "tests/unit/check.h"

struct own_kit {
    struct arena load_arena, arena;
    struct diags diags;
    struct sec_program *program;
    struct sec_plan *plan;
    struct sec_local local;
    struct sec_run run;
    struct sec_ask ask;
    bool undecided;
    char said[512];
    struct text why;
    bool kept; /* takes long to compile: shared with all other tests, where they have a cache */
};

/* ERR_CONFIG: `why` says what is wrong, and there is nothing to close but the kit. */
enum err own_kit_open(struct own_kit *kit, const struct rule_source *rules, size_t count);
void own_kit_close(struct own_kit *kit);
/* "a, b" to texts of the load arena. */
struct texts own_kit_texts(struct own_kit *kit, const char *list);

/* A transaction; its memory is new each time. */
void own_kit_begin(struct own_kit *kit);
/* A value of a target: "args", "user_agent"; `name` where it has one. */
void own_kit_add(struct own_kit *kit, struct span target, struct span name, struct span text);
enum sec_end own_kit_run(struct own_kit *kit, uint64_t slice);
/* Whether the rule of that name fired. */
bool own_kit_fired(const struct own_kit *kit, struct span name);

#endif
