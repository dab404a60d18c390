/* ftw-driver RULES...: the reference evaluator as a driver of tests/conformance/run. */
#include <stdio.h>
#include <stdlib.h>

#include "conf/diag.h"
#include "tests/conformance/driver.h"

enum { RULES_BYTES_MAX = 1 << 30, FILES_MAX = 256 };

struct evaluator {
    struct sec_program *program;
    struct regex_local regex;
    struct store *store;
};

static struct sec_program *load(char **paths, int count, struct arena *arena)
{
    struct seclang_source sources[FILES_MAX];
    struct seclang_options options = { .skip_unsupported = true };
    struct diags diags;
    struct sec_program *program = NULL;
    diags_init(&diags, arena);
    INVARIANT(count <= FILES_MAX);
    for (int i = 0; i < count; i++)
        sources[i] = (struct seclang_source){ .path = span_text(paths[i]) };
    enum err err = seclang_load(&program, sources, (size_t)count, &options, arena, &diags);
    for (unsigned i = 0; i < diags.count; i++)
        fprintf(stderr, "line %u: %.*s\n", diags.items[i].place.line,
                (int)diags.items[i].message.len, diags.items[i].message.p);
    if (err != OK) {
        fprintf(stderr, "ftw-driver: %s\n", err_text(err));
        exit(2);
    }
    return program;
}

static void run(void *ctx, const struct wire *wire, struct json *matches, struct arena *arena)
{
    struct evaluator *evaluator = ctx;
    const struct transaction_peer peer = {
        .client = SPAN("127.0.0.1"),
        .server = SPAN("127.0.0.1"),
        .server_name = SPAN("localhost"),
        .unique_id = SPAN("00000000-0000-7000-8000-000000000000"),
        .client_port = 40000,
        .server_port = 80,
        .now = time(NULL),
    };
    struct transaction txn;
    struct reference *ref = must(arena_new(arena, struct reference));
    transaction_init(&txn, arena, &peer);
    ref->program = evaluator->program;
    ref->mode = ENGINE_DETECT;
    ref->txn = &txn;
    ref->regex = &evaluator->regex;
    ref->store = evaluator->store;
    reference_run(ref, wire);

    for (unsigned i = 0; i < ref->log_count; i++) {
        const struct logged *logged = &ref->log[i];
        json_begin_object(matches, NULL);
        json_uint(matches, "rule", logged->rule->id);
        json_uint(matches, "phase", logged->phase);
        json_text(matches, "msg", logged->message);
        json_text(matches, "logdata", logged->log_data);
        json_text(matches, "severity", logged->rule->severity_name);
        json_text(matches, "field", logged->variable);
        json_text(matches, "value", logged->value);
        json_end_object(matches);
    }
    if (ref->undecided)
        fprintf(stderr, "ftw-driver: a pattern reached its limit\n");
}

int main(int argc, char **argv)
{
    struct arena rules;
    struct evaluator evaluator = { .store = store_new() };
    arena_init(&rules, NULL, 0, NULL, RULES_BYTES_MAX);
    evaluator.program = load(argv + 1, argc - 1, &rules);
    INVARIANT(regex_attach(&evaluator.regex) == OK);
    driver_loop(run, &evaluator);
    store_free(evaluator.store);
    regex_detach(&evaluator.regex);
    seclang_free(evaluator.program);
    arena_reset(&rules);
    return 0;
}
