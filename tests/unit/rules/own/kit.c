#include "tests/unit/rules/own/kit.h"

#include <stdlib.h>

#include "rules/engine/database.h"
#include "rules/own/values.h"

enum { THRESHOLD = 5 };

/* ---- conditions: true where the name stands, for tests that have none ---- */

static struct expr_value no_value(void *ctx, int id, struct span argument)
{
    (void)ctx, (void)id, (void)argument;
    return (struct expr_value){ .missing = true };
}

static bool no_list(void *ctx, int list, const struct expr_value *value)
{
    (void)ctx, (void)list, (void)value;
    return false;
}

static bool no_match(void *ctx, int pattern, struct span text)
{
    (void)ctx, (void)pattern, (void)text;
    return false;
}

/* ---- the plan ---- */

struct texts own_kit_texts(struct own_kit *kit, const char *list)
{
    struct span rest = span_text(list), item;
    struct texts texts = { arena_array(&kit->load_arena, struct span, 32), 0 };
    assert_non_null(texts.items);
    while (span_cut(&rest, ',', &item))
        texts.items[texts.count++] = span_trim(item);
    return texts;
}

static enum err build_plan(struct own_kit *kit)
{
    const char *folder = kit->kept ? getenv("CACHE_DIRECTORY") : NULL, *why;
    struct database_maker maker;
    database_maker_open(&maker, folder != NULL ? cache_open(folder, UINT64_MAX, &why) : NULL);
    enum err err =
        sec_plan_build_with(&maker, &kit->plan, kit->program, &kit->load_arena, &kit->why);
    database_maker_close(&maker);
    return err;
}

enum err own_kit_open(struct own_kit *kit, const struct rule_source *rules, size_t count)
{
    static const struct seclang_options options;
    struct arena *arena = &kit->load_arena;
    if (arena->ceiling == 0)
        arena_init(arena, NULL, 0, NULL, 1 << 28);
    arena_init(&kit->arena, NULL, 0, NULL, 1 << 26);
    diags_init(&kit->diags, arena);
    kit->ask = (struct sec_ask){ .source = { no_value, no_list, no_match, NULL },
                                 .undecided = &kit->undecided };
    kit->why = text_fixed(kit->said, sizeof(kit->said) - 1);
    kit->plan = NULL;
    assert_int_equal(seclang_load(&kit->program, NULL, 0, &options, arena, &kit->diags), OK);
    TRY(own_translate(kit->program, rules, count,
                      (struct own_threshold){ THRESHOLD, THRESHOLD }, arena, &kit->why));
    TRY(build_plan(kit));
    assert_int_equal(sec_local_attach(&kit->local, kit->plan), OK);
    own_kit_begin(kit);
    return OK;
}

void own_kit_close(struct own_kit *kit)
{
    if (kit->plan != NULL) {
        sec_local_detach(&kit->local);
        sec_plan_free(kit->plan);
    }
    seclang_free(kit->program);
    arena_reset(&kit->arena);
    arena_reset(&kit->load_arena);
}

/* ---- a transaction ---- */

void own_kit_begin(struct own_kit *kit)
{
    arena_reset(&kit->arena);
    assert_int_equal(sec_run_init(&kit->run, kit->plan, &kit->local, &kit->arena), OK);
    kit->run.ceiling = kit->run.engine = ENGINE_DETECT;
    kit->run.own.ask = &kit->ask;
}

void own_kit_add(struct own_kit *kit, struct span target, struct span name, struct span text)
{
    static const struct {
        const char *target, *key;
        enum variable var;
    } rows[] = {
        { "method", NULL, VAR_REQUEST_METHOD },
        { "host", NULL, VAR_OWN_HOST },
        { "path", NULL, VAR_OWN_PATH },
        { "query", NULL, VAR_QUERY_STRING },
        { "args", NULL, VAR_ARGS_GET },
        { "arg_names", NULL, VAR_OWN_ARGS_NAMES },
        { "headers", NULL, VAR_REQUEST_HEADERS },
        { "user_agent", "user-agent", VAR_REQUEST_HEADERS },
        { "referer", "referer", VAR_REQUEST_HEADERS },
        { "cookies", NULL, VAR_OWN_COOKIES },
        { "body", NULL, VAR_OWN_BODY },
        { "response_headers", NULL, VAR_RESPONSE_HEADERS },
        { "response_body", NULL, VAR_RESPONSE_BODY },
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        if (!span_equal(target, span_text(rows[i].target)))
            continue;
        struct span key = rows[i].key != NULL ? span_text(rows[i].key) : name;
        assert_int_equal(sec_values_add(&kit->run.values, rows[i].var, key, text), OK);
        return;
    }
    fail_msg("no target %.*s", (int)target.len, target.p);
}

enum sec_end own_kit_run(struct own_kit *kit, uint64_t slice)
{
    for (unsigned phase = SEC_REQUEST_HEADERS; phase <= SEC_RESPONSE_BODY; phase++) {
        enum sec_end end;
        do {
            end = sec_run_phase(&kit->run, (enum sec_phase)phase, slice);
        } while (end == SEC_PAUSE);
        if (end != SEC_DONE)
            return end;
    }
    return SEC_DONE;
}

bool own_kit_fired(const struct own_kit *kit, struct span name)
{
    for (const struct sec_match *match = kit->run.matches; match != NULL; match = match->next) {
        if (span_equal(match->rule->own->name, name))
            return true;
    }
    return false;
}
