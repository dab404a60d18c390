/* What the harnesses of rules share: an input read as choices of a grammar, and the plan
 * against the reference evaluator. */
#ifndef SALLYPORT_RULES_FUZZ_H
#define SALLYPORT_RULES_FUZZ_H

#include <stdio.h>
#include <stdlib.h>

#include "conf/diag.h"
#include "rules/engine/build.h"
#include "tests/conformance/differ.h"

enum { RULES_ARENA_BYTES = 256 * 1024 * 1024 };

struct choices {
    const uint8_t *p, *end;
};

static inline unsigned below(struct choices *c, unsigned sides)
{
    return c->p < c->end ? *c->p++ % sides : 0;
}

static inline void compare_evaluators(const struct sec_program *program,
                                      const struct sec_plan *plan, struct span request,
                                      struct arena *arena)
{
    static struct reference ref;
    static struct sec_run run;
    const struct transaction_peer peer = { .client = SPAN("192.0.2.9"),
                                           .server = SPAN("192.0.2.1"),
                                           .server_name = SPAN("h"),
                                           .now = 1000000 };
    struct transaction txn;
    struct sec_local local;
    struct wire wire;
    INVARIANT(sec_local_attach(&local, plan) == OK);
    wire_read(&wire, request, SPAN(""), arena);
    transaction_init(&txn, arena, &peer);
    ref = (struct reference){
        .program = program, .mode = ENGINE_ON, .txn = &txn, .regex = &local.regex
    };
    reference_run(&ref, &wire);
    if (plan_run(&run, plan, &local, &wire, &peer, ENGINE_ON, arena) && !ref.undecided) {
        struct text said = text_growing(arena, 1024);
        differ_compare(&said, &ref, &run);
        if (said.len > 0) {
            (void)fprintf(stderr, "%.*s\n%.*s\n", (int)request.len, request.p, (int)said.len,
                          said.p);
            abort();
        }
    }
    sec_local_detach(&local);
}

/* Rules that do not load, or do not become a plan, are as good as none. With SHOW in the
 * environment they are printed. */
static inline void fuzz_rules(const struct text *rules, const struct text *request,
                              struct arena *arena)
{
    struct diags diags;
    struct sec_program *program = NULL;
    struct sec_plan *plan = NULL;
    char buffer[512];
    struct text why = text_fixed(buffer, sizeof(buffer));
    struct seclang_source source = { .path = SPAN("rules.conf"), .text = text_span(rules) };
    const struct seclang_options options = { .skip_unsupported = false };
    diags_init(&diags, arena);
    if (rules->overflow || request->overflow ||
        seclang_load(&program, &source, 1, &options, arena, &diags) != OK)
        return;
    if (sec_plan_build(&plan, program, arena, &why) == OK) {
        if (getenv("SHOW") != NULL)
            (void)fprintf(stderr, "%.*s", (int)rules->len, rules->p);
        compare_evaluators(program, plan, text_span(request), arena);
        sec_plan_free(plan);
    }
    seclang_free(program);
}

#endif
