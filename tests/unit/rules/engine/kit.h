/*
 * What tests of the engine share: a plan from a text in SecLang, values by hand, a run, and
 * what came of it as one text that can be compared.
 */
#ifndef SALLYPORT_TESTS_ENGINE_KIT_H
#define SALLYPORT_TESTS_ENGINE_KIT_H

#include "conf/diag.h"
#include "rules/engine/build.h"
#include "rules/engine/run.h"
#include "tests/unit/check.h"

struct bench {
    struct arena load_arena, arena;
    struct diags diags;
    struct sec_program *program;
    struct sec_plan *plan;
    struct sec_local local;
    struct sec_run run;
};

/* Fails the test with what was complained of. */
void bench_load(struct bench *bench, const char *rules);
/* The same as the gateway does it: what nobody sees is left out. */
void bench_load_lean(struct bench *bench, const char *rules);
void bench_unload(struct bench *bench);

/* A transaction over `values`: lines of VARIABLE[:key]=text; its memory is new each time. */
void bench_begin(struct bench *bench, const char *values);
/* All phases, in slices of counted work; SEC_DONE, or what ended it. */
enum sec_end bench_run(struct bench *bench, uint64_t slice);

/* "1 2 2": ids of the matches in their order. */
struct span bench_ids(struct bench *bench);
/* Those of a transaction over `values`, all of it in one slice. */
struct span bench_ask(struct bench *bench, const char *values);
/* Everything about the matches: for comparing two runs. */
struct span bench_matches(struct bench *bench, struct arena *arena);
/* And all of TX. */
struct span bench_account(struct bench *bench, struct arena *arena);
struct span bench_tx(const struct bench *bench, const char *name);

/* Whether the rule with that id is left in the plan. */
bool bench_stays(const struct bench *bench, uint64_t id);

#endif
