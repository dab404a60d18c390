/*
 * Folding: what the configuration decides goes away, and nobody can tell the difference.
 *
 * Each row names rules that have to stay and rules that have to go; it is run with and without
 * folding, and so are thousands of generated programs: matches and variables are the same.
 */
#include "tests/unit/rules/engine/kit.h"
#include "tests/unit/rules/engine/programs.h"

#define LOG ",phase:2,pass,log,t:none"
#define QUIET ",phase:1,pass,nolog,t:none"
/* A head that looks at what matched before it: nothing can be folded behind its back. */
#define UNFOLDED                                                                               \
    "\nSecRule MATCHED_VAR \"@streq no such value\" \"id:9999,phase:5,pass,nolog\"\n"

struct row {
    const char *what, *rules;
    const char *stay, *go; /* ids */
};

static const struct row rows[] = {
    { "a level that is not reached takes its rules with it",
      "SecAction \"id:1" QUIET ",setvar:tx.level=1\"\n"
      "SecRule TX:LEVEL \"@lt 2\" \"id:2,phase:2,pass,nolog,skipAfter:END\"\n"
      "SecRule ARGS \"@rx a\" \"id:3" LOG "\"\nSecMarker END\n"
      "SecRule ARGS \"@rx a\" \"id:4" LOG "\"",
      "4", "1 2 3" },
    { "a level that is reached keeps them",
      "SecAction \"id:1" QUIET ",setvar:tx.level=2\"\n"
      "SecRule TX:LEVEL \"@lt 2\" \"id:2,phase:2,pass,nolog,skipAfter:END\"\n"
      "SecRule ARGS \"@rx a\" \"id:3" LOG "\"\nSecMarker END",
      "3", "1 2" },
    { "a default that is not needed, and one that is",
      "SecAction \"id:1" QUIET ",setvar:tx.a=1\"\n"
      "SecRule &TX:a \"@eq 0\" \"id:2" QUIET ",setvar:tx.a=5\"\n"
      "SecRule &TX:b \"@eq 0\" \"id:3" QUIET ",setvar:tx.b=5\"\n"
      "SecRule ARGS \"@rx a\" \"id:4" LOG ",msg:'%{tx.a}%{tx.b}'\"",
      "4", "1 2 3" },
    { "a counter of known terms",
      "SecAction \"id:1" QUIET ",setvar:tx.a=1,setvar:tx.a=+%{tx.b}\"\n"
      "SecAction \"id:2" QUIET ",setvar:tx.a=+4\"\n"
      "SecRule TX:a \"@eq 5\" \"id:3" QUIET ",setvar:tx.c=1\"",
      "", "1 2 3" },
    { "how often an action of several steps matches, the address tells",
      "SecAction \"id:1" QUIET ",t:hexEncode,multiMatch,setvar:tx.a=+1\"\n"
      "SecAction \"id:2" QUIET ",t:hexEncode,setvar:tx.b=+1\"\n"
      "SecRule TX:a \"@gt 1\" \"id:3" LOG "\"",
      "1 3", "2" },
    { "what logs stays", "SecAction \"id:1" LOG ",setvar:tx.a=1\"", "1", "" },
    { "what may have been written is not known",
      "SecRule ARGS \"@rx a\" \"id:1" LOG ",setvar:tx.a=1\"\n"
      "SecRule TX:a \"@eq 1\" \"id:2" LOG "\"\nSecRule &TX:a \"@eq 0\" \"id:3" LOG "\"",
      "1 2 3", "" },
    { "what may have been skipped is not known",
      "SecRule ARGS \"@rx a\" \"id:1,phase:1,pass,nolog,skipAfter:M\"\n"
      "SecAction \"id:2" QUIET ",setvar:tx.a=1\"\nSecMarker M\n"
      "SecRule TX:a \"@eq 1\" \"id:3" LOG "\"\nSecRule TX:a \"!@eq 1\" \"id:4" LOG "\"",
      "1 2 3 4", "" },
    { "and behind the marker all is sure again",
      "SecRule ARGS \"@rx a\" \"id:1,phase:1,pass,nolog,skipAfter:M\"\nSecMarker M\n"
      "SecAction \"id:2" QUIET ",setvar:tx.a=1\"\n"
      "SecRule TX:a \"!@eq 1\" \"id:3" LOG "\"",
      "1", "2 3" },
    { "skip by count opens the same uncertainty",
      "SecRule ARGS \"@rx a\" \"id:1,phase:1,pass,nolog,skip:1\"\n"
      "SecAction \"id:2" QUIET ",setvar:tx.a=1\"\n"
      "SecAction \"id:3" QUIET ",setvar:tx.b=1\"\n"
      "SecRule TX:a \"!@eq 1\" \"id:4" LOG "\"\nSecRule TX:b \"!@eq 1\" \"id:5" LOG "\"",
      "1 2 4", "3 5" },
    { "a name that is made at run time may be any",
      "SecAction \"id:1" QUIET ",setvar:tx.a=1\"\n"
      "SecRule ARGS_NAMES \"@rx .\" \"id:2" QUIET ",setvar:tx.%{MATCHED_VAR}=1\"\n"
      "SecRule TX:a \"!@eq 1\" \"id:3" LOG "\"",
      "2 3", "1" },
    { "one that begins otherwise may not",
      "SecAction \"id:1" QUIET ",setvar:tx.a=1\"\n"
      "SecRule ARGS_NAMES \"@rx .\" \"id:2" QUIET ",setvar:tx.x_%{MATCHED_VAR}=1\"\n"
      "SecRule TX:a \"!@eq 1\" \"id:3" LOG "\"",
      "2", "1 3" },
    { "what was looked at before cannot be set at the beginning",
      "SecRule ARGS \"@eq %{tx.a}\" \"id:1" QUIET ",setvar:tx.b=1\"\n"
      "SecAction \"id:2" QUIET ",setvar:tx.a=1\"\n"
      "SecRule TX:a \"!@eq 1\" \"id:3" LOG "\"",
      "1 2", "3" },
    { "what is listed in the order of creation cannot either",
      "SecRule &TX:/^b$/ \"@eq 1\" \"id:3,phase:4,pass,nolog\"\n"
      "SecRule ARGS \"@rx a\" \"id:1" QUIET ",setvar:tx.l1=1\"\n"
      "SecAction \"id:2" QUIET ",setvar:tx.l2=1\"\n"
      "SecRule TX:/^l/ \"@eq 1\" \"id:4" LOG "\"",
      "1 2 4", "" },
    { "behind an interruption only the logging phase runs",
      "SecRule ARGS \"@rx deny\" \"id:1,phase:1,deny,log\"\n"
      "SecAction \"id:2" QUIET ",setvar:tx.a=1\"\n"
      "SecRule TX:a \"!@eq 1\" \"id:3" LOG "\"\n"
      "SecRule TX:a \"!@eq 1\" \"id:4,phase:5,pass,log\"",
      "1 2 4", "3" },
    { "behind allow:phase the next phase runs",
      "SecRule ARGS \"@rx allow\" \"id:1,phase:1,allow:phase,log\"\n"
      "SecAction \"id:2" QUIET ",setvar:tx.a=1\"\n"
      "SecRule TX:a \"!@eq 1\" \"id:3" LOG "\"",
      "1 2 3", "" },
    { "behind allow:request the answer's do",
      "SecRule ARGS \"@rx allow\" \"id:1,phase:1,allow:request,log\"\n"
      "SecAction \"id:2" QUIET ",setvar:tx.a=1\"\n"
      "SecRule TX:a \"!@eq 1\" \"id:3,phase:3,pass,log\"",
      "1 2 3", "" },
    { "what ctl may remove is not sure to run",
      "SecRule ARGS \"@rx a\" \"id:1,phase:1,pass,nolog,ctl:ruleRemoveById=2\"\n"
      "SecAction \"id:2" QUIET ",setvar:tx.a=1\"\nSecAction \"id:3" QUIET ",setvar:tx.b=1\"\n"
      "SecRule TX:a \"!@eq 1\" \"id:4" LOG "\"\nSecRule TX:b \"!@eq 1\" \"id:5" LOG "\"",
      "1 2 4", "3 5" },
    { "nor is what may lose its target",
      "SecAction \"id:1" QUIET ",setvar:tx.a=1\"\n"
      "SecRule ARGS \"@rx a\" \"id:2,phase:1,pass,nolog,ctl:ruleRemoveTargetById=3;TX:a\"\n"
      "SecRule TX:a \"@eq 1\" \"id:3,phase:2,pass,nolog,skipAfter:M\"\n"
      "SecAction \"id:4" LOG "\"\nSecMarker M",
      "2 3 4", "1" },
    { "a chain whose first link is known not to match",
      "SecRule TX:a \"@eq 1\" \"id:1" LOG ",chain\"\nSecRule ARGS \"@rx a\"", "", "1" },
    { "a chain whose second link is open stays",
      "SecAction \"id:1" QUIET ",setvar:tx.a=1\"\n"
      "SecRule TX:a \"@eq 1\" \"id:2" LOG ",chain\"\nSecRule ARGS \"@rx a\"",
      "2", "1" },
    { "a chain that sets before it is decided stays",
      "SecRule &TX:a \"@eq 0\" \"id:1" QUIET ",chain,setvar:tx.a=1\"\nSecRule TX:b \"@eq 1\"\n"
      "SecRule TX:a \"!@eq 1\" \"id:2" LOG "\"",
      "1 2", "" },
    { "captures are not known",
      "SecRule ARGS \"@rx (a)\" \"id:1" QUIET ",capture\"\nSecRule &TX:1 \"@eq 0\" \"id:2" LOG
      "\"",
      "1 2", "" },
    { "an operand of the request is not known",
      "SecAction \"id:1" QUIET ",setvar:tx.a=1\"\nSecRule TX:a \"@eq %{ARGS.x}\" \"id:2" LOG
      "\"",
      "2", "1" },
};

static const char *const value_sets[] = {
    "",
    "ARGS_GET:a=a",
    "ARGS_GET:x=1\nARGS_GET:a=5",
    "ARGS_GET:x=deny",
    "ARGS_GET:x=allow",
    "REMOTE_ADDR=192.0.2.9",
};

static bool told(const struct row *row, const struct bench *bench, const char *ids, bool stay)
{
    struct span rest = span_text(ids), id;
    bool good = true;
    while (rest.len > 0 && span_cut(&rest, ' ', &id)) {
        uint64_t number;
        assert_true(span_uint(id, &number));
        if (bench_stays(bench, number) == stay)
            continue;
        print_error("%s: rule %u %s\n", row->what, (unsigned)number, stay ? "went" : "stayed");
        good = false;
    }
    return good;
}

/* Both plans over the same values. What rules have left in TX when they were all switched off
 * nobody sees. */
static bool alike(const char *what, struct bench *folded, struct bench *unfolded,
                  const char *values, enum engine_mode mode)
{
    struct bench *both[2] = { folded, unfolded };
    struct span accounts[2];
    for (unsigned i = 0; i < 2; i++) {
        bench_begin(both[i], values);
        both[i]->run.engine = both[i]->run.ceiling = mode;
        assert_int_equal(bench_run(both[i], UINT64_MAX), SEC_DONE);
        for (unsigned j = 0; both[i]->run.engine == ENGINE_OFF && j < both[i]->plan->slot_count;
             j++)
            both[i]->run.slots[j] = (struct span){ 0 };
        accounts[i] = bench_account(both[i], &both[i]->arena);
    }
    if (span_equal(accounts[0], accounts[1]))
        return true;
    print_error("%s, mode %d, values %s: folded\n%.*s\nunfolded\n%.*s\n", what, (int)mode,
                values, (int)accounts[0].len, accounts[0].p, (int)accounts[1].len,
                accounts[1].p);
    return false;
}

static bool alike_everywhere(const char *what, const char *rules, struct bench *folded,
                             struct arena *arena)
{
    static struct bench unfolded;
    struct text text = text_growing(arena, 1024);
    bool good = true;
    text_add(&text, span_text(rules));
    text_lit(&text, UNFOLDED);
    assert_non_null(text_cstring(&text));
    bench_load(&unfolded, text.p);
    for (size_t i = 0; i < ARRAY_LEN(value_sets); i++) {
        good = alike(what, folded, &unfolded, value_sets[i], ENGINE_ON) && good;
        good = alike(what, folded, &unfolded, value_sets[i], ENGINE_DETECT) && good;
    }
    bench_unload(&unfolded);
    return good;
}

static void what_is_decided_goes(void **state)
{
    static struct bench bench;
    struct arena arena;
    unsigned wrong = 0;
    (void)state;
    arena_init(&arena, NULL, 0, NULL, 1 << 24);
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        bench_load(&bench, rows[i].rules);
        wrong += !told(&rows[i], &bench, rows[i].stay, true);
        wrong += !told(&rows[i], &bench, rows[i].go, false);
        wrong += !alike_everywhere(rows[i].what, rows[i].rules, &bench, &arena);
        bench_unload(&bench);
        arena_reset(&arena);
    }
    assert_int_equal(wrong, 0);
}

/* ---- generated programs ---------------------------------------------------------------------
 */

static void nobody_can_tell(void **state)
{
    enum { PROGRAMS = 400, SHOWN_MAX = 1 };
    static struct bench bench;
    struct arena arena;
    unsigned wrong = 0, folded = 0;
    (void)state;
    for (unsigned i = 0; i < PROGRAMS && wrong < SHOWN_MAX; i++) {
        struct dice dice = { .state = i };
        arena_init(&arena, NULL, 0, NULL, 1 << 24);
        struct text text = text_growing(&arena, 4096);
        program_write(&text, &dice);
        assert_non_null(text_cstring(&text));
        bench_load(&bench, text.p);
        for (unsigned id = 1; id <= 12; id++)
            folded += !bench_stays(&bench, id);
        wrong += !alike_everywhere(text.p, text.p, &bench, &arena);
        bench_unload(&bench);
        arena_reset(&arena);
    }
    assert_int_equal(wrong, 0);
    assert_true(folded > PROGRAMS / 2);
}

int main(void)
{
    return RUN(TEST(what_is_decided_goes), TEST(nobody_can_tell));
}
