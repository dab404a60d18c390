/*
 * What nobody sees is not done, and nobody can tell: rules that go away, chains that are looked
 * at only where they could match, sums that are left alone until something is added.
 *
 * Each row names rules that stay and rules that go, and which rules match over several
 * requests, with how many entries looked at. Matches are those of the plan that does
 * everything, for these and for programs by chance.
 */
#include <stdio.h>

#include "tests/unit/rules/engine/kit.h"
#include "tests/unit/rules/engine/programs.h"

#define LOG ",phase:2,pass,log,t:none"
#define SET ",phase:1,pass,nolog,t:none"
#define FEEDER                                                                                 \
    "SecRule ARGS_NAMES \"@rx ^.*$\" \"id:1" LOG ",t:lowercase,capture,"                       \
    "setvar:'tx.name_%{tx.0}=/%{tx.0}/',chain\"\n"                                             \
    "SecRule TX:/^name_/ \"@within %{tx.list}\" \"t:none,setvar:tx.found=+1\"\n"
#define LIST "SecAction \"id:9" SET ",setvar:'tx.list=/bad/ /worse/'\"\n"

struct seen {
    const char *values; /* NULL: no more */
    const char *ids;
    unsigned entries;
};

static const struct row {
    const char *what, *rules, *stay, *go; /* ids */
    struct seen seen[4];
} rows[] = {
    { "a variable that nobody reads, and one that somebody does",
      "SecRule ARGS:a \"@rx .\" \"id:1" SET ",setvar:tx.a=%{MATCHED_VAR}\"\n"
      "SecRule ARGS:b \"@rx .\" \"id:2" SET ",setvar:tx.b=%{MATCHED_VAR}\"\n"
      "SecRule ARGS:c \"@rx .\" \"id:3" LOG ",logdata:'%{tx.b}'\"",
      "2 3",
      "1",
      { { "ARGS_GET:a=1\nARGS_GET:b=2\nARGS_GET:c=3", "3", 2 } } },
    { "what is read by rules that go away goes with them",
      "SecRule ARGS:a \"@rx .\" \"id:1" SET ",setvar:tx.a=%{MATCHED_VAR}\"\n"
      "SecRule ARGS:b \"@rx .\" \"id:2" SET ",setvar:tx.b=%{tx.a}\"\n"
      "SecRule TX:b \"@streq 1\" \"id:3" SET ",setvar:tx.c=1\"",
      "",
      "1 2 3",
      { { "ARGS_GET:a=1\nARGS_GET:b=2", "", 0 } } },
    { "names by a pattern, all names, and what is asked for afterwards",
      "SecRule ARGS:a \"@rx .\" \"id:1" SET ",setvar:tx.ab=1\"\n"
      "SecRule ARGS:a \"@rx .\" \"id:2" SET ",setvar:tx.anomaly_score=1\"\n"
      "SecRule TX:/^a[b]/ \"@eq 1\" \"id:3" LOG "\"",
      "1 2 3",
      "",
      { { "ARGS_GET:a=1", "3", 3 } } },
    { "a collection that no rule looks into",
      "SecAction \"id:1" SET ",initcol:ip=%{REMOTE_ADDR},initcol:global=g\"\n"
      "SecRule ARGS:a \"@rx .\" \"id:2" LOG "\"",
      "2",
      "1",
      { { "ARGS_GET:a=1", "2", 1 } } },
    { "one that some rule writes to is begun when it does",
      "SecRule REQUEST_HEADERS:a \"@rx .\" \"id:1" SET ",setvar:tx.key=%{MATCHED_VAR}\"\n"
      "SecAction \"id:2" SET ",initcol:ip=k%{tx.key},initcol:global=g\"\n"
      "SecRule ARGS:a \"@rx .\" \"id:3" SET
      ",setvar:ip.a=%{ip.key},setvar:tx.b=%{ip.a}%{MATCHED_VAR}\"\n"
      "SecRule TX:b \"@rx .\" \"id:4" LOG ",logdata:'%{tx.b}'\"",
      "1 2 3 4",
      "",
      { { "ARGS_GET:b=1\nREQUEST_HEADERS:a=2", "", 1 },
        { "ARGS_GET:a=1\nREQUEST_HEADERS:a=2", "4", 2 } } },
    { "what comes before, or has a say in its key, comes before",
      "SecRule ARGS:a \"@rx .\" \"id:1" SET ",setvar:ip.a=1\"\n"
      "SecAction \"id:2" SET ",initcol:ip=k\"\n"
      "SecRule IP:a \"@eq 1\" \"id:3" LOG "\"\nSecRule &IP:key \"@eq 1\" \"id:4" LOG "\"",
      "1 2 3 4",
      "",
      { { "ARGS_GET:a=1", "4", 4 } } },
    { "what only a key reads, or a tag",
      "SecRule REQUEST_HEADERS:f \"@rx .\" \"id:1" SET ",setvar:tx.f=%{MATCHED_VAR}\"\n"
      "SecRule ARGS:%{tx.f} \"@rx attack\" \"id:2" LOG "\"\n"
      "SecRule REQUEST_HEADERS:f \"@rx .\" \"id:3" SET ",setvar:tx.g=%{MATCHED_VAR}\"\n"
      "SecRule ARGS:a \"@rx .\" \"id:4" LOG ",tag:'t/%{tx.g}'\"",
      "1 2 3 4",
      "",
      { { "REQUEST_HEADERS:f=q\nARGS_GET:q=attack", "2", 4 } } },
    { "what a key reads is not what it becomes later",
      "SecAction \"id:1" SET ",setvar:tx.f=a\"\n"
      "SecRule ARGS:%{tx.f} \"@rx .\" \"id:2,phase:1,log,pass\"\n"
      "SecAction \"id:3" SET ",setvar:tx.f=b\"\n"
      "SecRule TX:f \"@rx .\" \"id:4" LOG "\"",
      "2 4",
      "",
      { { "ARGS_GET:a=1", "2 4", 3 }, { "ARGS_GET:b=1", "4", 3 } } },
    { "an initcol that cannot wait comes behind one that does",
      "SecAction \"id:1" SET ",initcol:ip=k\"\n"
      "SecRule ARGS:a \"@rx .\" \"id:2" SET ",initcol:ip=%{MATCHED_VAR}\"\n"
      "SecRule IP:key \"@streq k\" \"id:3" LOG "\"",
      "1 2 3",
      "",
      { { "ARGS_GET:a=1", "3", 2 } } },
    { "a rule that skips over nothing that is left",
      "SecRule ARGS:a \"@rx .\" \"id:1" SET ",skipAfter:M\"\n"
      "SecRule ARGS:a \"@rx .\" \"id:2" SET ",setvar:tx.a=1\"\nSecMarker M\n"
      "SecRule ARGS:a \"@rx .\" \"id:3" SET ",skipAfter:N\"\n"
      "SecRule ARGS:a \"@rx .\" \"id:4,phase:1,log,pass\"\nSecMarker N",
      "3 4",
      "1 2",
      { { "ARGS_GET:a=1", "", 1 } } },
    { "whoever comes by is led on, and nobody comes in between",
      "SecRule ARGS:a \"@rx .\" \"id:1" SET ",skipAfter:M\"\n"
      "SecRule &TX:x \"@eq 0\" \"id:2" SET ",skipAfter:M\"\n"
      "SecRule ARGS \"@rx .\" \"id:3,phase:1,log,pass\"\nSecMarker M\n"
      "SecRule ARGS:a \"@rx .\" \"id:4" SET ",skipAfter:N\"\n"
      "SecRule &TX:x \"@eq 0\" \"id:5" SET ",skipAfter:O\"\n"
      "SecRule ARGS \"@rx .\" \"id:6,phase:1,log,pass\"\nSecMarker N\n"
      "SecRule ARGS \"@rx .\" \"id:7,phase:1,log,pass\"\nSecMarker O",
      "4 5 6 7",
      "1 2 3",
      { { "ARGS_GET:a=1", "7", 2 }, { "ARGS_GET:b=1", "", 2 } } },
    { "a chain whose later link is known not to match",
      "SecRule ARGS:a \"@rx .\" \"id:1" LOG ",chain\"\nSecRule TX:x \"@eq 1\"\n"
      "SecRule ARGS:a \"@rx .\" \"id:2" LOG ",chain,setvar:tx.y=1\"\nSecRule TX:x \"@eq 1\"\n"
      "SecRule TX:y \"@eq 1\" \"id:3" LOG "\"",
      "2 3",
      "1",
      { { "ARGS_GET:a=1", "3", 2 } } },
    { "a list of what is allowed is asked ahead",
      "SecAction \"id:1" SET ",setvar:'tx.list=one two'\"\n"
      "SecRule REQUEST_HEADERS:a \"!@within %{tx.list}\" \"id:2" LOG "\"\n"
      "SecRule REQUEST_HEADERS:a \"!@rx ^(?:one|(?=t)two)$\" \"id:3" LOG "\"",
      "2 3",
      "1",
      { { "REQUEST_HEADERS:a=one", "", 0 },
        { "REQUEST_HEADERS:b=three", "", 0 },
        { "REQUEST_HEADERS:a=three", "2 3", 2 },
        { "REQUEST_HEADERS:a=", "3", 1 } } },
    { "a chain whose later link is asked quickly and ahead",
      "SecRule REQUEST_URI \"@rx \\x25\" \"id:1" LOG ",chain\"\n"
      "SecRule REQUEST_URI \"@validateUrlEncoding\"",
      "1",
      "",
      { { "REQUEST_URI=/a%20", "", 0 }, { "REQUEST_URI=/a%2x", "1", 1 } } },
    { "steps that are for others than the engine, captures of what is not there",
      "SecRule REQUEST_METHOD \"!@rx ^GET$\" \"id:1" LOG
      ",capture,ctl:auditLogParts=+E,chain\"\nSecRule ARGS:a \"@rx ab\"",
      "1",
      "",
      { { "REQUEST_METHOD=PUT", "", 0 }, { "REQUEST_METHOD=PUT\nARGS_GET:a=ab", "1", 1 } } },
    { "a list that somebody writes",
      "SecRule ARGS:set \"@rx .\" \"id:1" SET ",setvar:'tx.list=%{MATCHED_VAR}'\"\n"
      "SecRule ARGS:a \"!@within %{tx.list}\" \"id:2" LOG "\"",
      "1 2",
      "",
      { { "ARGS_GET:a=one", "2", 2 }, { "ARGS_GET:a=one\nARGS_GET:set=one", "", 2 } } },
    { "what is found for links of another field wakes nobody",
      "SecRule REQUEST_HEADERS:a|REQUEST_HEADERS:b \"@rx x1\" \"id:1" LOG "\"\n"
      "SecRule REQUEST_HEADERS:a|REQUEST_HEADERS:b \"@rx x2\" \"id:2" LOG "\"\n"
      "SecRule REQUEST_HEADERS:b \"@rx x3\" \"id:3" LOG "\"",
      "1 2 3",
      "",
      { { "REQUEST_HEADERS:a=x3", "", 0 },
        { "REQUEST_HEADERS:a=x3\nREQUEST_HEADERS:b=x3", "3", 1 },
        { "REQUEST_HEADERS:b=x3\nREQUEST_HEADERS:a=x1x3", "1 3", 2 } } },
    { "names that are made only to be looked up",
      LIST FEEDER,
      "1",
      "9",
      { { "ARGS_GET:good=1\nARGS_GET:ba=1", "", 0 },
        { "ARGS_GET:good=1\nARGS_GET:BAD=1", "1", 1 },
        { "ARGS_GET:bad=1\nARGS_GET:worse=1", "1 1", 1 },
        { "ARGS_GET:/bad=1", "", 0 } } },
    { "another pattern sees one of the names",
      LIST FEEDER "SecRule TX:/od+/ \"@rx .\" \"id:2" LOG "\"",
      "1 2",
      "9",
      { { "ARGS_GET:ba=1", "", 0 }, { "ARGS_GET:good=1\nARGS_GET:Odd=1", "2 2", 2 } } },
    { "one of the names is spelt out",
      LIST FEEDER "SecRule ARGS:x \"@rx .\" \"id:2" LOG ",logdata:'%{tx.name_x}'\"",
      "1 2",
      "9",
      { { "ARGS_GET:x=1", "2", 2 } } },
    { "what was captured on the way is read",
      LIST FEEDER "SecRule ARGS:x \"@rx .\" \"id:2" LOG ",logdata:'%{tx.0}'\"",
      "1 2",
      "9",
      { { "ARGS_GET:x=1", "2", 2 } } },
    { "or captured anew",
      LIST FEEDER "SecRule ARGS:x \"@rx .\" \"id:2" LOG ",capture,logdata:'%{tx.0}'\"",
      "1 2",
      "9",
      { { "ARGS_GET:x=1", "2", 1 } } },
    { "a sum stays as it is until something is added",
      "SecAction \"id:1" SET ",setvar:tx.a=0,setvar:tx.sum=0\"\n"
      "SecRule ARGS:a \"@rx .\" \"id:2" SET ",setvar:tx.a=+2\"\n"
      "SecRule TX:on \"!@eq 1\" \"id:3" SET ",setvar:tx.sum=+%{tx.a}\"\n"
      "SecRule &TX:on \"@eq 0\" \"id:4" SET ",setvar:tx.sum=+%{tx.a}\"\n"
      "SecRule TX:sum \"@ge 2\" \"id:5" LOG ",logdata:'%{tx.sum}'\"",
      "2 4 5",
      "3",
      { { "ARGS_GET:b=1", "", 1 }, { "ARGS_GET:a=1", "5", 3 } } },
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

/* Both plans over the same values. */
static bool alike(const char *what, struct bench *lean, struct bench *full, const char *values,
                  enum engine_mode mode)
{
    struct bench *both[2] = { lean, full };
    struct span matches[2];
    for (unsigned i = 0; i < 2; i++) {
        bench_begin(both[i], values);
        both[i]->run.engine = both[i]->run.ceiling = mode;
        assert_int_equal(bench_run(both[i], UINT64_MAX), SEC_DONE);
        matches[i] = bench_matches(both[i], &both[i]->arena);
    }
    if (span_equal(matches[0], matches[1]))
        return true;
    print_error("mode %d, values %s: lean\n%.*s\nfull\n%.*s\n", (int)mode, values,
                (int)matches[0].len, matches[0].p, (int)matches[1].len, matches[1].p);
    fputs(what, stderr);
    return false;
}

static bool shows(struct bench *lean, struct bench *full, const struct row *row,
                  const struct seen *seen)
{
    if (!alike(row->what, lean, full, seen->values, ENGINE_DETECT) ||
        !alike(row->what, lean, full, seen->values, ENGINE_ON))
        return false;
    struct span ids = bench_ids(lean);
    unsigned entries = (unsigned)lean->run.counts.entries;
    if (span_equal(ids, span_text(seen->ids)) && entries == seen->entries)
        return true;
    print_error("%s: \"%s\" matched \"%.*s\", with %u entries looked at\n", row->what,
                seen->values, (int)ids.len, ids.p, entries);
    return false;
}

static void unseen_goes(void **state)
{
    static struct bench lean, full;
    unsigned wrong = 0;
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        bench_load_lean(&lean, rows[i].rules);
        bench_load(&full, rows[i].rules);
        wrong += !told(&rows[i], &lean, rows[i].stay, true);
        wrong += !told(&rows[i], &lean, rows[i].go, false);
        for (size_t j = 0; j < ARRAY_LEN(rows[i].seen) && rows[i].seen[j].values != NULL; j++)
            wrong += !shows(&lean, &full, &rows[i], &rows[i].seen[j]);
        bench_unload(&full);
        bench_unload(&lean);
    }
    assert_int_equal(wrong, 0);
}

static void nobody_can_tell(void **state)
{
    enum { PROGRAMS = 400 };
    static const char *const value_sets[] = {
        "",
        "ARGS_GET:a=1",
        "ARGS_GET:v1=2\nARGS_GET:x=a",
        "ARGS_POST:a=3\nARGS_GET:f_=0",
        "ARGS_GET:a=b\nARGS_POST:v0=1\nARGS_GET:1=x",
        "ARGS_GET:a=b\nREQUEST_HEADERS:a=k",
    };
    static struct bench lean, full;
    struct arena arena;
    unsigned wrong = 0, left_out = 0;
    (void)state;
    for (unsigned i = 0; i < PROGRAMS && wrong == 0; i++) {
        struct dice dice = { .state = 1000 + i };
        arena_init(&arena, NULL, 0, NULL, 1 << 24);
        struct text text = text_growing(&arena, 4096);
        program_write(&text, &dice);
        assert_non_null(text_cstring(&text));
        bench_load_lean(&lean, text.p);
        bench_load(&full, text.p);
        for (size_t j = 0; j < ARRAY_LEN(value_sets); j++) {
            wrong += wrong == 0 && !alike(text.p, &lean, &full, value_sets[j], ENGINE_ON);
            wrong += wrong == 0 && !alike(text.p, &lean, &full, value_sets[j], ENGINE_DETECT);
        }
        for (unsigned id = 1; id <= PROGRAM_RULES; id++)
            left_out += bench_stays(&full, id) && !bench_stays(&lean, id);
        bench_unload(&full);
        bench_unload(&lean);
        arena_reset(&arena);
    }
    assert_int_equal(wrong, 0);
    assert_true(left_out > PROGRAMS / 4);
}

int main(void)
{
    return RUN(TEST(unseen_goes), TEST(nobody_can_tell));
}
