/*
 * Rules of the configuration in the plan against a second, plain reading: rules one after the
 * other, each pattern on its own, in each form made step by step, of each value that one of its
 * targets names. Both must find the same rules and come to the same decision, and taking
 * pauses must change nothing.
 *
 * Input: an even first byte means the pack `core`, an odd one rules that the following bytes up
 * to 0xfd describe. Then values, separated by 0xfe; the first byte of each picks its target,
 * the second its name.
 */
#include <hs/hs.h>
#include <stdlib.h>

#include "conf/diag.h"
#include "rules/engine/build.h"
#include "rules/engine/run.h"
#include "rules/own/translate.h"
#include "rules/pack.h"
#include "rules/pattern.h"

enum { VALUES_MAX = 16, OWN_MAX = 5, PATTERNS_MAX = 512, THRESHOLD = 5, TEXT_MAX = 8192 };

struct program {
    struct arena arena;
    struct rule_source *rules;
    size_t count;
    struct sec_program *program;
    struct sec_plan *plan;
    struct sec_local local;
    hs_database_t *single[PATTERNS_MAX]; /* of each pattern, in the order of the rules */
};

static struct program pack;
static struct arena arena, other_arena;
static hs_scratch_t *scratch;
static bool undecided;

/* ---- rules ---- */

struct choices {
    const uint8_t *p, *end;
};

static unsigned below(struct choices *c, unsigned sides)
{
    return c->p < c->end ? *c->p++ % sides : 0;
}

static struct texts choose(struct choices *c, struct arena *a, const char *const *items,
                           unsigned count)
{
    struct texts texts = { arena_array(a, struct span, 4), 0 };
    INVARIANT(texts.items != NULL);
    for (unsigned i = 1 + below(c, 3); i > 0; i--)
        texts.items[texts.count++] = span_text(items[below(c, count)]);
    return texts;
}

static struct rule_source made_rule(struct choices *c, struct arena *a, unsigned index)
{
    static const char *const names[OWN_MAX] = { "r0", "r1", "r2", "r3", "r4" };
    static const char *const patterns[] = { "a",      "^a",   "b$",      "[^a]b c", "A/b",
                                            "\\d\\s", "a|<b", "(?i)x+y", "\\x00",   "^.?$" };
    static const char *const in[] = { "all",      "args",   "arg:a", "headers", "header:x-a",
                                      "cookies",  "body",   "path",  "referer", "user_agent",
                                      "cookie:b", "method", "host",  "query",   "arg_names" };
    static const char *const steps[] = {
        "none",         "lowercase",      "url_decode",      "html_decode",        "js_decode",
        "remove_nulls", "normalize_path", "remove_comments", "compress_whitespace"
    };
    struct rule_source rule = { .name = span_text(names[index]) };
    rule.match = choose(c, a, patterns, ARRAY_LEN(patterns));
    rule.in = choose(c, a, in, ARRAY_LEN(in));
    rule.transform = choose(c, a, steps, ARRAY_LEN(steps));
    rule.action = (int)below(c, RULE_TAG + 1);
    rule.score = 1 + below(c, 4);
    return rule;
}

static bool is_caseless(const struct rule_source *rule)
{
    size_t count = rule->transform.count;
    return count != 0 && span_equal(rule->transform.items[count - 1], SPAN("lowercase"));
}

static void compile_single(struct program *p)
{
    char said[512];
    unsigned at = 0;
    for (size_t i = 0; i < p->count; i++) {
        for (size_t j = 0; j < p->rules[i].match.count; j++, at++) {
            struct pattern_info info;
            struct text why = text_fixed(said, sizeof(said));
            hs_compile_error_t *error;
            INVARIANT(at < PATTERNS_MAX);
            INVARIANT(pattern_read(p->rules[i].match.items[j], is_caseless(&p->rules[i]),
                                   &p->arena, &info, &why));
            INVARIANT(hs_compile(info.text, info.flags, HS_MODE_BLOCK, NULL, &p->single[at],
                                 &error) == HS_SUCCESS);
            INVARIANT(hs_alloc_scratch(p->single[at], &scratch) == HS_SUCCESS);
        }
    }
}

static void program_open(struct program *p)
{
    static const struct seclang_options options;
    char said[512];
    struct text why = text_fixed(said, sizeof(said));
    struct diags diags;
    diags_init(&diags, &p->arena);
    INVARIANT(seclang_load(&p->program, NULL, 0, &options, &p->arena, &diags) == OK);
    INVARIANT(own_translate(p->program, p->rules, p->count,
                            (struct own_threshold){ THRESHOLD, THRESHOLD }, &p->arena,
                            &why) == OK);
    INVARIANT(sec_plan_build(&p->plan, p->program, &p->arena, &why) == OK);
    INVARIANT(sec_local_attach(&p->local, p->plan) == OK);
    compile_single(p);
}

static void program_close(struct program *p)
{
    for (unsigned i = 0; i < PATTERNS_MAX; i++)
        (void)hs_free_database(p->single[i]);
    sec_local_detach(&p->local);
    sec_plan_free(p->plan);
    seclang_free(p->program);
    arena_reset(&p->arena);
}

static void open_pack(void)
{
    if (pack.plan != NULL)
        return;
    arena_init(&arena, NULL, 0, NULL, 1 << 26);
    arena_init(&other_arena, NULL, 0, NULL, 1 << 26);
    arena_init(&pack.arena, NULL, 0, NULL, 1 << 28);
    pack.count = pack_count(pack_core);
    pack.rules = arena_array(&pack.arena, struct rule_source, pack.count);
    INVARIANT(pack.rules != NULL);
    INVARIANT(pack_read(pack_core, pack.rules, &pack.arena) == OK);
    program_open(&pack);
}

static void open_made(struct program *p, struct span text)
{
    struct choices c = { (const uint8_t *)text.p, (const uint8_t *)text.p + text.len };
    *p = (struct program){ .count = 0 };
    arena_init(&p->arena, NULL, 0, NULL, 1 << 26);
    p->rules = arena_array(&p->arena, struct rule_source, OWN_MAX);
    INVARIANT(p->rules != NULL);
    for (unsigned left = 1 + below(&c, OWN_MAX); left > 0; left--, p->count++)
        p->rules[p->count] = made_rule(&c, &p->arena, (unsigned)p->count);
    program_open(p);
}

/* ---- values ---- */

static const struct {
    const char *target, *named;
    enum variable var;
} targets[] = {
    { "method", NULL, VAR_REQUEST_METHOD },
    { "host", NULL, VAR_OWN_HOST },
    { "path", NULL, VAR_OWN_PATH },
    { "query", NULL, VAR_QUERY_STRING },
    { "args", "arg", VAR_ARGS_GET },
    { "arg_names", NULL, VAR_OWN_ARGS_NAMES },
    { "headers", "header", VAR_REQUEST_HEADERS },
    { "cookies", "cookie", VAR_OWN_COOKIES },
    { "body", NULL, VAR_OWN_BODY },
    { "args", "arg", VAR_OWN_ARGS },
    { "args", "arg", VAR_FILES },
    { "arg_names", NULL, VAR_FILES_NAMES },
};

struct value {
    unsigned target;
    struct span name, text;
};

static struct value value_of(struct span text)
{
    static const char *const names[] = { "a", "b", "x-a", "X-A", "q", "User-Agent", "referer" };
    struct value value = { .target = (uint8_t)text.p[0] % ARRAY_LEN(targets),
                           .name = span_text(names[(uint8_t)text.p[1] % ARRAY_LEN(names)]),
                           .text = span_sub(text, 2, TEXT_MAX) };
    /* In memory of its own, so that a byte beyond it is seen. */
    char *copy = malloc(value.text.len);
    INVARIANT(copy != NULL);
    memcpy(copy, value.text.p, value.text.len);
    value.text.p = copy;
    return value;
}

/* ---- the plain reading ---- */

static bool selects_name(struct span in, const struct value *value)
{
    const char *named = targets[value->target].named;
    struct span rest = in, kind;
    if (value->target == 6 && span_equal(in, SPAN("user_agent")))
        return span_equal_nocase(value->name, SPAN("user-agent"));
    if (value->target == 6 && span_equal(in, SPAN("referer")))
        return span_equal_nocase(value->name, SPAN("referer"));
    return named != NULL && span_cut(&rest, ':', &kind) && rest.p != NULL &&
           span_equal(kind, span_text(named)) &&
           (value->target == 6 ? span_equal_nocase(rest, value->name)
                               : span_equal(rest, value->name));
}

static bool selects(const struct rule_source *rule, const struct value *value)
{
    for (size_t i = 0; i < rule->in.count; i++) {
        struct span in = rule->in.items[i];
        if (span_equal(in, SPAN("all")) ||
            span_equal(in, span_text(targets[value->target].target)) || selects_name(in, value))
            return true;
    }
    return false;
}

static int note_match(unsigned id, unsigned long long from, unsigned long long to,
                      unsigned flags, void *found)
{
    (void)id, (void)from, (void)to, (void)flags;
    *(bool *)found = true;
    return 1;
}

static bool is_in(hs_database_t *const *single, size_t count, struct span text)
{
    bool found = false;
    for (size_t i = 0; i < count && !found; i++)
        (void)hs_scan(single[i], text.p, (unsigned)text.len, 0, scratch, note_match, &found);
    return found;
}

static bool found_plainly(const struct rule_source *rule, hs_database_t *const *single,
                          struct span text)
{
    size_t steps = rule->transform.count - is_caseless(rule);
    bool found = is_in(single, rule->match.count, text);
    for (size_t i = 0; i < steps && !found; i++) {
        const struct transform *row = transform_find(rule->transform.items[i]);
        for (unsigned n = 0; n < row->times && !found; n++) {
            char *room = arena_alloc(&other_arena, transform_room(row, text.len) + 1);
            INVARIANT(room != NULL);
            text = row->apply(text, room);
            found = is_in(single, rule->match.count, text);
        }
    }
    return found;
}

struct decision {
    bool fired[PATTERNS_MAX];
    int64_t score;
    struct span by; /* the rule that refuses; p NULL: none does */
    bool refused, allowed;
};

static void decide(struct decision *d, const struct program *p, const struct value *values,
                   unsigned count)
{
    unsigned first = 0;
    memset(d, 0, sizeof(*d));
    for (size_t i = 0; i < p->count && !d->allowed; i++) {
        const struct rule_source *rule = &p->rules[i];
        for (unsigned v = 0; v < count && !d->fired[i]; v++)
            d->fired[i] = selects(rule, &values[v]) &&
                          found_plainly(rule, &p->single[first], values[v].text);
        first += (unsigned)rule->match.count;
        if (!d->fired[i] || d->by.p != NULL)
            continue;
        d->score += rule->action == RULE_SCORE ? rule->score : 0;
        d->allowed = rule->action == RULE_ALLOW;
        if (rule->action == RULE_BLOCK)
            d->by = rule->name;
    }
    d->refused = d->by.p != NULL || (!d->allowed && d->score >= THRESHOLD);
    arena_reset(&other_arena);
}

/* ---- the plan ---- */

static struct expr_value no_value(void *ctx, int id, struct span argument)
{
    (void)ctx, (void)id, (void)argument;
    return (struct expr_value){ .missing = true };
}

static void run(struct sec_run *run, struct program *p, const struct value *values,
                unsigned count, uint64_t slice)
{
    static const struct sec_ask ask = { .source = { .value = no_value },
                                        .undecided = &undecided };
    INVARIANT(sec_run_init(run, p->plan, &p->local, &arena) == OK);
    run->engine = run->ceiling = ENGINE_DETECT;
    run->own.ask = &ask;
    for (unsigned i = 0; i < count; i++)
        INVARIANT(sec_values_add(&run->values, targets[values[i].target].var, values[i].name,
                                 values[i].text) == OK);
    for (unsigned phase = SEC_REQUEST_HEADERS; phase <= SEC_REQUEST_BODY; phase++) {
        enum sec_end end;
        do {
            end = sec_run_phase(run, (enum sec_phase)phase, slice);
        } while (end == SEC_PAUSE);
        INVARIANT(end == SEC_DONE);
    }
}

static void compare(const struct sec_run *run, const struct program *p,
                    const struct decision *d)
{
    for (unsigned i = 0; i < p->count; i++) {
        bool fired = run->own.fired != NULL && bit_has(run->own.fired, i);
        INVARIANT(fired == d->fired[i]);
    }
    INVARIANT(run->own.score == d->score && run->own.allowed == d->allowed);
    INVARIANT(run->own.refused == d->refused);
    INVARIANT((run->own.by != NULL) == (d->by.p != NULL));
    INVARIANT(run->own.by == NULL || span_equal(run->own.by->name, d->by));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct decision d;
    struct value values[VALUES_MAX];
    unsigned count = 0;
    struct program made;
    struct span rest = span_of((const char *)data, size), text;
    bool own = size > 0 && (data[0] & 1) != 0;
    open_pack();
    if (own) {
        (void)span_cut(&rest, (char)0xfd, &text);
        open_made(&made, span_sub(text, 1, text.len));
    }
    while (count < VALUES_MAX && size < TEXT_MAX && span_cut(&rest, (char)0xfe, &text)) {
        if (text.len > 2)
            values[count++] = value_of(text);
    }
    struct program *p = own ? &made : &pack;
    struct sec_run whole, paused;
    decide(&d, p, values, count);
    run(&whole, p, values, count, UINT64_MAX);
    compare(&whole, p, &d);
    run(&paused, p, values, count, 0);
    compare(&paused, p, &d);
    INVARIANT(whole.work == paused.work);
    for (unsigned i = 0; i < count; i++)
        free((void *)(uintptr_t)values[i].text.p);
    arena_reset(&arena);
    if (own)
        program_close(&made);
    return 0;
}
