/*
 * differ [--requests N] [--seed S] [--from I] [--mode detect|block] [--words FILE] RULES...
 *
 * Runs generated exchanges through the plan and the reference evaluator, and shows the first
 * ones about which they disagree. Ends with 0 when there are none. The same seed, number and
 * rules give the same exchange: --from I --requests 1 shows one again.
 */
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>

#include "conf/diag.h"
#include "gateway/base/json.h"
#include "rules/engine/build.h"
#include "rules/engine/database.h"
#include "tests/conformance/differ.h"
#include "tests/conformance/generate.h"

enum {
    RULES_BYTES_MAX = 1 << 30,
    EXCHANGE_BYTES_MAX = 1 << 30,
    FILES_MAX = 256,
    SHOWN_MAX = 5,
    WORDS_BYTES_MAX = 4 * 1024 * 1024,
};

struct options {
    uint64_t requests, seed, from;
    enum engine_mode mode;
};

struct counts {
    uint64_t run, refused, undecided, differ, matches;
};

struct differ {
    struct options options;
    struct sec_program *program;
    struct sec_plan *plan;
    struct sec_local local;
    struct regex_local regex;
    struct material material;
    struct arena rules, arena;
    struct counts counts;
};

NORETURN static void die(const char *what, struct span why)
{
    fprintf(stderr, "differ: %s: %.*s\n", what, (int)why.len, why.p);
    exit(2);
}

NORETURN static void complain(const struct diags *diags)
{
    for (unsigned i = 0; i < diags->count; i++) {
        if (diags->items[i].severity == SEVERITY_ERROR) {
            fprintf(stderr, "line %u: ", diags->items[i].place.line);
            die("rules", diags->items[i].message);
        }
    }
    die("rules", SPAN("not loaded"));
}

static void add_words(struct differ *d, const char *path)
{
    FILE *file = fopen(path, "re");
    char *text = must(arena_alloc(&d->rules, WORDS_BYTES_MAX));
    if (file == NULL)
        die("cannot open", span_text(path));
    material_add_words(&d->material, span_of(text, fread(text, 1, WORDS_BYTES_MAX, file)));
    fclose(file);
}

static void load(struct differ *d, char **paths, int count)
{
    struct seclang_source sources[FILES_MAX];
    struct seclang_options options = { .skip_unsupported = true };
    struct diags diags;
    char room[256];
    struct text why = text_fixed(room, sizeof room);
    diags_init(&diags, &d->rules);
    INVARIANT(count <= FILES_MAX);
    for (int i = 0; i < count; i++)
        sources[i] = (struct seclang_source){ .path = span_text(paths[i]) };
    if (seclang_load(&d->program, sources, (size_t)count, &options, &d->rules, &diags) != OK)
        complain(&diags);
    struct database_maker maker;
    database_maker_open(&maker, NULL);
    if (sec_plan_build_with(&maker, &d->plan, d->program, &d->rules, &why) != OK)
        die("plan", text_span(&why));
    database_maker_close(&maker);
    if (sec_local_attach(&d->local, d->plan) != OK || regex_attach(&d->regex) != OK)
        die("memory", SPAN("none left"));
    material_of(&d->material, d->program);
}

static void show(struct differ *d, uint64_t number, struct span request, struct span what)
{
    struct text out = text_growing(&d->arena, 4096);
    if (d->counts.differ++ >= SHOWN_MAX)
        return;
    text_format(&out, "exchange %lu of seed %lu:\n", (unsigned long)number,
                (unsigned long)d->options.seed);
    text_add(&out, what);
    text_lit(&out, "  request: ");
    json_escape(&out, request);
    text_char(&out, '\n');
    fwrite(out.p, 1, out.len, stdout);
    fflush(stdout);
}

static void compare(struct differ *d, uint64_t number, const struct wire *wire,
                    struct span request)
{
    const struct transaction_peer peer = {
        .client = SPAN("198.51.100.7"),
        .server = SPAN("192.0.2.1"),
        .server_name = wire->req.host,
        .unique_id = SPAN("00000000-0000-7000-8000-000000000000"),
        .client_port = 40000,
        .server_port = 443,
        .now = 1700000000,
    };
    struct transaction txn;
    struct reference *ref = must(arena_new(&d->arena, struct reference));
    struct sec_run run;
    struct text out = text_growing(&d->arena, 1024);
    transaction_init(&txn, &d->arena, &peer);
    ref->program = d->program;
    ref->mode = d->options.mode;
    ref->txn = &txn;
    ref->regex = &d->regex;
    reference_run(ref, wire);
    bool ended = plan_run(&run, d->plan, &d->local, wire, &peer, d->options.mode, &d->arena);
    d->counts.run++;
    d->counts.matches += ref->log_count;
    if (ref->undecided) {
        d->counts.undecided++;
        return;
    }
    if (!ended)
        text_lit(&out, "the plan came to no end\n");
    else
        differ_compare(&out, ref, &run);
    if (out.len > 0)
        show(d, number, request, text_span(&out));
}

static void run_one(struct differ *d, uint64_t number)
{
    struct dice dice = { d->options.seed * 0x100000001b3 + number };
    struct text request = text_growing(&d->arena, 4096), answer = text_growing(&d->arena, 4096);
    struct wire wire;
    generate_request(&request, &d->material, &dice);
    generate_answer(&answer, &d->material, &dice);
    wire_read(&wire, text_span(&request), text_span(&answer), &d->arena);
    if (wire.refused != 0)
        d->counts.refused++;
    if (wire.refused != 0 || wire.complete)
        compare(d, number, &wire, text_span(&request));
    arena_reset(&d->arena);
}

static int usage(void)
{
    fputs("usage: differ [--requests N] [--seed S] [--from I] [--mode detect|block] "
          "[--words FILE] RULES...\n",
          stderr);
    return 2;
}

static bool read_options(struct differ *d, int argc, char **argv)
{
    static const struct option known[] = {
        { "requests", required_argument, NULL, 'n' }, { "seed", required_argument, NULL, 's' },
        { "from", required_argument, NULL, 'f' },     { "mode", required_argument, NULL, 'm' },
        { "words", required_argument, NULL, 'w' },    { 0 },
    };
    d->options = (struct options){ .requests = 1000, .seed = 1, .mode = ENGINE_DETECT };
    for (int c; (c = getopt_long(argc, argv, "", known, NULL)) != -1;) {
        if (c == 'n')
            d->options.requests = strtoull(optarg, NULL, 10);
        else if (c == 's')
            d->options.seed = strtoull(optarg, NULL, 10);
        else if (c == 'f')
            d->options.from = strtoull(optarg, NULL, 10);
        else if (c == 'm')
            d->options.mode = strcmp(optarg, "block") == 0 ? ENGINE_ON : ENGINE_DETECT;
        else if (c == 'w')
            add_words(d, optarg);
        else
            return false;
    }
    return optind < argc;
}

int main(int argc, char **argv)
{
    struct differ *d = must(calloc(1, sizeof *d));
    arena_init(&d->rules, NULL, 0, NULL, RULES_BYTES_MAX);
    arena_init(&d->arena, NULL, 0, NULL, EXCHANGE_BYTES_MAX);
    if (!read_options(d, argc, argv))
        return usage();
    load(d, argv + optind, argc - optind);
    for (uint64_t i = 0; i < d->options.requests; i++)
        run_one(d, d->options.from + i);
    printf("%lu exchanges (%lu of them refused by the parser), %lu matches, %lu undecided, "
           "%lu differ\n",
           (unsigned long)d->counts.run, (unsigned long)d->counts.refused,
           (unsigned long)d->counts.matches, (unsigned long)d->counts.undecided,
           (unsigned long)d->counts.differ);
    int status = d->counts.differ > 0;
    sec_local_detach(&d->local);
    regex_detach(&d->regex);
    sec_plan_free(d->plan);
    seclang_free(d->program);
    arena_reset(&d->rules);
    free(d);
    return status;
}
