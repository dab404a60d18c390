/* A plan, values and a run, for tests of the engine. */
#include "tests/unit/rules/engine/kit.h"

#include "rules/engine/database.h"

enum { CEILING = 256 * 1024 * 1024 };

static enum err plan_for(struct bench *bench, bool lean, struct text *why)
{
    struct database_maker maker;
    if (!lean)
        return sec_plan_build(&bench->plan, bench->program, &bench->load_arena, why);
    database_maker_open(&maker, NULL);
    enum err err =
        sec_plan_build_with(&maker, &bench->plan, bench->program, &bench->load_arena, why);
    database_maker_close(&maker);
    return err;
}

static void load(struct bench *bench, const char *rules, bool lean)
{
    const struct seclang_options options = { .skip_unsupported = false };
    struct seclang_source source = { .path = SPAN("rules.conf"), .text = span_text(rules) };
    char buffer[512];
    struct text why = text_fixed(buffer, sizeof(buffer));
    *bench = (struct bench){ .program = NULL };
    arena_init(&bench->load_arena, NULL, 0, NULL, CEILING);
    arena_init(&bench->arena, NULL, 0, NULL, CEILING);
    diags_init(&bench->diags, &bench->load_arena);
    if (seclang_load(&bench->program, &source, 1, &options, &bench->load_arena,
                     &bench->diags) != OK)
        fail_msg("%s\n%.*s", rules, (int)bench->diags.items[0].message.len,
                 bench->diags.items[0].message.p);
    if (plan_for(bench, lean, &why) != OK)
        fail_msg("%s\n%.*s", rules, (int)why.len, why.p);
    assert_int_equal(sec_local_attach(&bench->local, bench->plan), OK);
}

void bench_load(struct bench *bench, const char *rules)
{
    load(bench, rules, false);
}

void bench_load_lean(struct bench *bench, const char *rules)
{
    load(bench, rules, true);
}

void bench_unload(struct bench *bench)
{
    sec_local_detach(&bench->local);
    sec_plan_free(bench->plan);
    seclang_free(bench->program);
    arena_reset(&bench->arena);
    arena_reset(&bench->load_arena);
}

static void add_line(struct bench *bench, struct span line)
{
    struct span rest = line, name, key;
    assert_true(span_cut(&rest, '=', &name));
    struct span value = rest, left = name;
    assert_true(span_cut(&left, ':', &key));
    enum variable var = variable_find(key);
    assert_int_not_equal(var, VAR_COUNT);
    assert_int_equal(sec_values_add(&bench->run.values, var,
                                    left.p != NULL ? left : (struct span){ 0 }, value),
                     OK);
}

void bench_begin(struct bench *bench, const char *values)
{
    struct span rest = span_text(values), line;
    arena_reset(&bench->arena);
    assert_int_equal(sec_run_init(&bench->run, bench->plan, &bench->local, &bench->arena), OK);
    bench->run.wall_s = 1000000;
    while (span_cut(&rest, '\n', &line)) {
        if (line.len > 0)
            add_line(bench, line);
    }
}

enum sec_end bench_run(struct bench *bench, uint64_t slice)
{
    for (unsigned phase = SEC_REQUEST_HEADERS; phase <= SEC_LOGGING; phase++) {
        enum sec_end end;
        do {
            end = sec_run_phase(&bench->run, (enum sec_phase)phase, slice);
        } while (end == SEC_PAUSE);
        if (end != SEC_DONE)
            return end;
    }
    return SEC_DONE;
}

struct span bench_ids(struct bench *bench)
{
    struct text text = text_growing(&bench->arena, 256);
    for (const struct sec_match *match = bench->run.matches; match != NULL; match = match->next)
        text_format(&text, text.len == 0 ? "%llu" : " %llu",
                    (unsigned long long)match->rule->id);
    return text.len > 0 ? text_span(&text) : SPAN("");
}

struct span bench_ask(struct bench *bench, const char *values)
{
    bench_begin(bench, values);
    assert_int_equal(bench_run(bench, UINT64_MAX), SEC_DONE);
    return bench_ids(bench);
}

static void add_span(struct text *text, const char *name, struct span s)
{
    text_format(text, " %s=", name);
    text_add(text, s.p != NULL ? s : SPAN("(null)"));
}

static void add_matches(struct text *text, const struct sec_run *run)
{
    for (const struct sec_match *match = run->matches; match != NULL; match = match->next) {
        text_format(text, "%llu phase %d at %u+%u", (unsigned long long)match->rule->id,
                    (int)match->phase, match->offset, match->len);
        add_span(text, "field", match->field);
        add_span(text, "text", match->text);
        add_span(text, "original", match->original);
        add_span(text, "message", match->message);
        add_span(text, "log_data", match->log_data);
        text_char(text, '\n');
    }
    text_format(text, "severity %d intercepted %llu would %llu\n", run->highest_severity,
                run->intercepted != NULL ? (unsigned long long)run->intercepted->id : 0ULL,
                run->would_intercept != NULL ? (unsigned long long)run->would_intercept->id
                                             : 0ULL);
}

struct span bench_matches(struct bench *bench, struct arena *arena)
{
    struct text text = text_growing(arena, 1024);
    add_matches(&text, &bench->run);
    assert_false(text.overflow);
    return text_span(&text);
}

struct span bench_account(struct bench *bench, struct arena *arena)
{
    const struct sec_run *run = &bench->run;
    struct text text = text_growing(arena, 1024);
    add_matches(&text, run);
    for (unsigned i = 0; i < run->plan->slot_count; i++) {
        text_add(&text, run->plan->slot_names[i]);
        add_span(&text, "", run->slots[i]);
        text_char(&text, '\n');
    }
    assert_false(text.overflow);
    return text_span(&text);
}

struct span bench_tx(const struct bench *bench, const char *name)
{
    return sec_run_tx(&bench->run, span_text(name));
}

bool bench_stays(const struct bench *bench, uint64_t id)
{
    for (unsigned phase = 1; phase < SEC_PHASES; phase++) {
        const struct plan_phase *list = &bench->plan->phases[phase];
        for (unsigned i = 0; i < list->count; i++) {
            if (list->entries[i].head->rule->id == id)
                return true;
        }
    }
    return false;
}
