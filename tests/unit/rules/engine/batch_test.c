/*
 * Short values are looked at together, and what is found in each is what is found in it by
 * itself: beside others, by patterns tied to its edges, in forms that are not always made, and
 * when there are more than a batch takes.
 */
#include <stdio.h>
#include <stdlib.h>

#include "tests/unit/rules/engine/kit.h"

enum { VALUE_MAX = 240, SHORT_MAX = 40, MANY = 1500, VALUE_BYTES = 2048 };

static const char rules[] =
    "SecRule ARGS_GET \"@rx ^ab\" \"id:1,phase:2,pass,log,t:none\"\n"
    "SecRule ARGS_GET \"@rx ab$\" \"id:2,phase:2,pass,log,t:none\"\n"
    "SecRule ARGS_GET \"@rx (?:^|;)\\s*ls\" \"id:3,phase:2,pass,log,t:none\"\n"
    "SecRule ARGS_GET \"@rx a.b\" \"id:4,phase:2,pass,log,t:none\"\n"
    "SecRule ARGS_GET \"@pm etc/passwd union <b>\" \"id:5,phase:2,pass,log,t:none\"\n"
    "SecRule ARGS_GET \"@rx union\\s+select\" \"id:6,phase:2,pass,log,t:none,t:urlDecodeUni\"\n"
    "SecRule ARGS_GET \"@rx etc/passwd\" \"id:7,phase:2,pass,log,t:none,t:cmdLine\"\n"
    "SecRule ARGS_GET \"@rx /bin/ls\" \"id:8,phase:2,pass,log,t:none,t:normalizePathWin\"\n"
    "SecRule ARGS_GET \"@rx <b>\" \"id:9,phase:2,pass,log,t:none,t:htmlEntityDecode\"\n"
    "SecRule ARGS_GET \"@rx ;ls\" "
    "\"id:10,phase:2,pass,log,t:none,t:removeWhitespace,t:cmdLine\"\n"
    "SecRule ARGS_GET \"@rx eval\\(\" \"id:11,phase:2,pass,log,t:none,t:base64Decode\"\n"
    "SecRule ARGS_GET \"@rx a b\" \"id:12,phase:2,pass,log,t:none,t:replaceComments\"\n"
    "SecRule ARGS_GET \"!@rx [a-z]\" \"id:13,phase:2,pass,log,t:none\"\n"
    "SecRule ARGS_GET \"@validateByteRange 9,10,32-255\" \"id:14,phase:2,pass,log,t:none\"\n"
    "SecRule ARGS_GET \"@rx \\d{3}-\\d\" \"id:15,phase:2,pass,log,t:none,t:lowercase\"\n"
    "SecRule ARGS_GET \"@rx x\\ny\" \"id:16,phase:2,pass,log,t:none\"\n"
    "SecRule ARGS_GET \"@rx <b\" \"id:17,phase:2,pass,log,t:none,t:lowercase,multiMatch,"
    "t:urlDecodeUni,t:htmlEntityDecode\"\n";

/* Those that say "not" among them: they match most values. */
static const char more_rules[] =
    "SecRule ARGS_GET \"@detectXSS\" \"id:18,phase:2,pass,log,t:none\"\n"
    "SecRule ARGS_GET \"!@detectXSS\" \"id:19,phase:2,pass,log,t:none\"\n"
    "SecRule ARGS_GET \"!@validateUtf8Encoding\" \"id:20,phase:2,pass,log,t:none\"\n"
    "SecRule ARGS_GET \"@validateUrlEncoding\" \"id:21,phase:2,pass,log,t:none\"\n"
    "SecRule ARGS_GET \"!@validateByteRange 1-255\" \"id:22,phase:2,pass,log,t:none\"\n"
    "SecRule ARGS_GET \"@rx union.*select|select.*/passwd\" \"id:23,phase:2,pass,log,t:none\"\n"
    "SecRule ARGS_GET \"@rx ^(?:union|[;a]\\s*ls)\" \"id:24,phase:2,pass,log,t:none\"\n"
    "SecRule ARGS_GET \"@rx (?i)union\\s*/|select.*etc\" \"id:25,phase:2,pass,log,t:none\"\n"
    "SecRule ARGS_GET \"@rx [a-z] ls\" \"id:26,phase:2,pass,log,t:none,t:urlDecode\"\n"
    "SecRule ARGS_GET \"@detectXSS\" \"id:27,phase:2,pass,log,t:none,t:normalizePathWin\"\n"
    "SecRule ARGS_GET \"@rx (?i)(?:etc|ls|ab|xy|bz)://\" \"id:28,phase:2,pass,log,t:none,"
    "t:cmdLine\"\n";

/* A few plain texts, and as many as are too many to be looked for by hand. */
static const char few_rules[] =
    "SecRule ARGS_GET \"@pm <b> union\" \"id:1,phase:2,pass,log,t:none\"\n"
    "SecRule ARGS_GET \"@contains a b\" \"id:2,phase:2,pass,log,t:none\"\n"
    "SecRule ARGS_GET \"@rx %\" \"id:3,phase:2,pass,log,t:none\"\n"
    "SecRule ARGS_GET \"@rx B\" \"id:4,phase:2,pass,log,t:none\"\n";
static const char too_many_rules[] =
    "SecRule ARGS_GET \"@pm union select etc passwd abls\" \"id:1,phase:2,pass,log,t:none\"\n"
    "SecRule ARGS_GET \"@pm ls xy bz abab lsls aa\" \"id:2,phase:2,pass,log,t:none\"\n"
    "SecRule ARGS_GET \"@rx x\\ny\" \"id:3,phase:2,pass,log,t:none\"\n";
static const char byte_rules[] =
    "SecRule ARGS_GET \"@pm union select etc passwd abls ls\" "
    "\"id:1,phase:2,pass,log,t:none\"\n"
    "SecRule ARGS_GET \"@rx %\" \"id:2,phase:2,pass,log,t:none\"\n";
static const char many_byte_rules[] =
    "SecRule ARGS_GET \"@pm union select etc passwd abls ls\" "
    "\"id:1,phase:2,pass,log,t:none\"\n"
    "SecRule ARGS_GET \"@pm x y + z 1 ;\" \"id:2,phase:2,pass,log,t:none\"\n"
    "SecRule ARGS_GET \"@rx \\n\" \"id:3,phase:2,pass,log,t:none\"\n";

/* Texts that ways need and that plain text has, too; and three of them, which are too few to
 * be looked for by themselves. */
static const char usual_rules[] =
    "SecRule ARGS_GET \"@rx (?i)union.*?select\" \"id:1,phase:2,pass,log,t:none\"\n"
    "SecRule ARGS_GET \"@rx (?i)select.*?from[^a-z]\" \"id:2,phase:2,pass,log,t:none\"\n"
    "SecRule ARGS_GET \"@rx (?i)(?:like|passwd)\\W*?union\" "
    "\"id:3,phase:2,pass,log,t:none,t:cmdLine\"\n"
    "SecRule ARGS_GET \"@pm etc ls script union\" \"id:4,phase:2,pass,log,t:none\"\n";
static const char three_usual_rules[] =
    "SecRule ARGS_GET \"@rx (?i)union.*?select\" \"id:1,phase:2,pass,log,t:none\"\n"
    "SecRule ARGS_GET \"@rx (?i)select.*?from[^a-z]\" \"id:2,phase:2,pass,log,t:none\"\n";

static const char *const pieces[] = {
    "ab",    " ",      "ls",       ";",         "union",    "select",   "etc",    "/passwd",
    "'",     "\\",     "%20",      "&lt;b&gt;", "123",      "-4",       "/*",     "*/",
    "<B>",   "<b>",    "x",        "y",         "+",        "\n",       "/./bin", "/ls",
    "a",     "b",      "Z",        "\x01",      "ZXZhbCg=", "\xc3\xa4", "..",     "//",
    "UNION", "Select", "<Script>", "://",       "from",     "Like",
};

static char (*values)[VALUE_MAX];

/* Some of the pieces behind `before`. */
static void make_value(char *value, const char *before, size_t max, unsigned parts,
                       uint64_t *state)
{
    struct text out = text_fixed(value, max - 1);
    text_add(&out, span_text(before));
    while (parts-- > 0) {
        *state = *state * UINT64_C(6364136223846793005) + 1442695040888963407u;
        text_add(&out, span_text(pieces[(*state >> 33) % ARRAY_LEN(pieces)]));
    }
    value[out.len] = '\0';
}

static void make_values(unsigned count)
{
    uint64_t state = 11;
    values = calloc(count, sizeof(*values));
    assert_non_null(values);
    for (unsigned i = 0; i < count; i++)
        make_value(values[i], "", SHORT_MAX, 1 + i % 4, &state);
}

/* So long that what their forms are looked at for is told apart; few pieces, so that little
 * is to be looked for. */
static void make_long_values(unsigned count)
{
    static const char prose[] = "it was late when the last of them had gone and the gate was "
                                "closed behind them for the night, ";
    uint64_t state = 12;
    values = calloc(count, sizeof(*values));
    assert_non_null(values);
    for (unsigned i = 0; i < count; i++)
        make_value(values[i], prose, VALUE_MAX, i % 7, &state);
}

/* A run over values[from, to): by value, the set of rules that matched it. */
static void run_over(struct bench *bench, unsigned from, unsigned to, uint64_t slice,
                     uint32_t *found)
{
    bench_begin(bench, "");
    for (unsigned i = from; i < to; i++)
        assert_int_equal(
            sec_values_add(&bench->run.values, VAR_ARGS_GET, SPAN("k"), span_text(values[i])),
            OK);
    for (unsigned phase = SEC_REQUEST_HEADERS; phase <= SEC_REQUEST_BODY; phase++) {
        enum sec_end end = SEC_PAUSE;
        while (end == SEC_PAUSE)
            end = sec_run_phase(&bench->run, (enum sec_phase)phase, slice);
        assert_int_equal(end, SEC_DONE);
    }
    const struct sec_list *list = &bench->run.values.lists[VAR_ARGS_GET];
    for (unsigned i = 0; i < bench->plan->phases[SEC_REQUEST_BODY].count; i++) {
        const struct sec_link *link = bench->plan->phases[SEC_REQUEST_BODY].entries[i].head;
        for (unsigned j = 0; link->bit != NO_BIT && j < list->count; j++) {
            const struct sec_value *value = list->items[j];
            assert_true(value->scanned);
            for (unsigned k = 0; k < (link->rule->multi_match ? link->path_count : 1U); k++) {
                if (value->hits != NULL && bit_has(value->hits, link->bit + k))
                    found[from + j] |= UINT32_C(1) << i;
            }
        }
    }
}

/* How often something is found. */
static unsigned check_together(struct bench *bench, void (*make)(unsigned count))
{
    static const uint64_t slices[] = { UINT64_MAX, 3000 };
    static uint32_t alone[MANY], together[ARRAY_LEN(slices)][MANY];
    uint64_t scans = 0;
    unsigned found = 0;
    memset(alone, 0, sizeof(alone));
    memset(together, 0, sizeof(together));
    make(MANY);
    for (unsigned i = 0; i < MANY; i++) {
        run_over(bench, i, i + 1, UINT64_MAX, alone);
        scans += bench->run.counts.scans;
        found += (unsigned)__builtin_popcount(alone[i]);
    }
    for (unsigned i = 0; i < ARRAY_LEN(slices); i++) {
        run_over(bench, 0, MANY, slices[i], together[i]);
        assert_memory_equal(together[i], alone, sizeof(alone));
    }
    assert_true(bench->run.counts.scans < scans);
    free(values);
    return found;
}

static void together_as_alone(void **state)
{
    struct bench bench;
    char all[sizeof(rules) + sizeof(more_rules)];
    (void)state;
    (void)snprintf(all, sizeof(all), "%s%s", rules, more_rules);
    bench_load(&bench, all);
    assert_true(check_together(&bench, make_values) > MANY);
    bench_unload(&bench);
}

static void long_texts(void **state)
{
    static const char *const sets[] = { rules,          more_rules, few_rules,
                                        too_many_rules, byte_rules, many_byte_rules };
    struct bench bench;
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(sets); i++) {
        bench_load(&bench, sets[i]);
        assert_true(check_together(&bench, make_long_values) > MANY / 4);
        bench_unload(&bench);
    }
}

/* Six texts are too many to be looked for one by one, but where all of them end alike that is
 * looked for; two are few enough. */
static void closed_by_their_end(void **state)
{
    enum { TIMES = 20 };
    static const char
        same_end[] = "SecRule ARGS_GET \"@rx (?i)(?:etc|ls|ab|xy|bz|zip)://\\b\" "
                     "\"id:1,phase:2,pass,t:none\"\n",
        two[] = "SecRule ARGS_GET \"@rx (?i)(?:xp_cmdshell|pg_sleep)\\b\" "
                "\"id:1,phase:2,pass,t:none\"\n",
        two_and_five[] =
            "SecRule ARGS_GET \"@rx (?i)(?:xp_cmdshell|pg_sleep)\\b\" "
            "\"id:1,phase:2,pass,t:none\"\n"
            "SecRule ARGS_GET \"@rx (?i)(?:etc/a|ls/bc|ab/de|xy/fg|bz/hi|zip/jk)\\b\" "
            "\"id:2,phase:2,pass,t:none\"\n";
    static const struct {
        const char *rules, *value;
        bool scans;
    } rows[] = {
        { same_end, "it was late when the last of them had gone and the gate was closed: ls //",
          false },
        { same_end,
          "it was late when the last of them had gone and the gate was closed at //x://y",
          false },
        { same_end,
          "it was late when the last of them had gone and the gate was closed by ab://z",
          true },
        { two, "it was late when the last of them had gone and the gate was closed: pg_slee",
          false },
        { two, "it was late when the last of them had gone and the gate was closed: pg_sleep",
          true },
        { two_and_five,
          "it was late when the last of them had gone and the gate was closed: zip/jk", true },
    };
    struct bench bench;
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        bench_load(&bench, rows[i].rules);
        bench_begin(&bench, "");
        for (unsigned j = 0; j < TIMES; j++)
            assert_int_equal(sec_values_add(&bench.run.values, VAR_ARGS_GET, SPAN("k"),
                                            span_text(rows[i].value)),
                             OK);
        for (unsigned phase = SEC_REQUEST_HEADERS; phase <= SEC_REQUEST_BODY; phase++)
            assert_int_equal(sec_run_phase(&bench.run, (enum sec_phase)phase, UINT64_MAX),
                             SEC_DONE);
        if ((bench.run.counts.scans > 0) != rows[i].scans)
            fail_msg("\"%s\": %u scans", rows[i].value, (unsigned)bench.run.counts.scans);
        bench_unload(&bench);
    }
}

/* More conditions than one word has bits: the later ones count, too. */
static void many_conditions(void **state)
{
    enum { RULES = 100, FIRST = 0x80, VALUES = 20 };
    static char text[RULES * 64];
    struct text rules_text = text_fixed(text, sizeof(text));
    struct bench bench;
    (void)state;
    for (unsigned i = 0; i < RULES; i++) {
        char rule[64];
        (void)snprintf(rule, sizeof(rule),
                       "SecRule ARGS_GET \"@rx \\x%02x[0-9]z\" \"id:%u,phase:2,pass,log\"\n",
                       FIRST + i, i + 1);
        text_add(&rules_text, span_text(rule));
    }
    bench_load(&bench, text_cstring(&rules_text));
    for (unsigned i = 0; i < RULES; i++) {
        char value[] = { 'a', (char)(FIRST + i), '7', 'z' }, id[8];
        bench_begin(&bench, "");
        for (unsigned j = 0; j < VALUES; j++)
            assert_int_equal(
                sec_values_add(&bench.run.values, VAR_ARGS_GET, SPAN("k"),
                               j == i % VALUES ? span_of(value, sizeof(value)) : SPAN("plain")),
                OK);
        assert_int_equal(bench_run(&bench, UINT64_MAX), SEC_DONE);
        (void)snprintf(id, sizeof(id), "%u", i + 1);
        assert_span(bench_ids(&bench), span_text(id));
    }
    bench_unload(&bench);
}

/* How many parts are looked for by hand; `*others`: by Hyperscan. */
static unsigned count_few(const struct sec_plan *plan, unsigned *others)
{
    const struct scan_class *class = &plan->classes[plan_class_of(plan, VAR_ARGS_GET)];
    unsigned count = 0;
    for (unsigned i = 0; i < class->part_count; i++)
        count += class->parts[i].few != NULL;
    *others = class->part_count - count;
    return count;
}

static void plain_texts(void **state)
{
    /* Those of one byte stand apart. */
    static const struct {
        const char *rules;
        unsigned few, others;
    } rows[] = {
        { few_rules, 2, 0 },
        { too_many_rules, 0, 1 },
        { byte_rules, 1, 1 },
        { many_byte_rules, 0, 2 },
    };
    struct bench bench;
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        unsigned others;
        bench_load(&bench, rows[i].rules);
        assert_int_equal(count_few(bench.plan, &others), rows[i].few);
        assert_int_equal(others, rows[i].others);
        assert_true(check_together(&bench, make_values) > MANY / 4);
        bench_unload(&bench);
    }
}

static unsigned count_usual(const struct sec_plan *plan)
{
    const struct scan_class *class = &plan->classes[plan_class_of(plan, VAR_ARGS_GET)];
    unsigned words = 0;
    for (unsigned i = 0; i < class->part_count; i++) {
        if (class->parts[i].usual != NULL)
            words += class->parts[i].id_count;
    }
    return words;
}

static void usual_words(void **state)
{
    static const struct {
        const char *rules;
        unsigned words;
    } rows[] = { { usual_rules, 4 }, { three_usual_rules, 0 } };
    struct bench bench;
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        bench_load(&bench, rows[i].rules);
        assert_int_equal(count_usual(bench.plan), rows[i].words);
        assert_true(check_together(&bench, make_values) > 0);
        assert_true(check_together(&bench, make_long_values) > 0);
        bench_unload(&bench);
    }
}

/* What is taken away may stand within what a later step decodes. */
static void parts_come_together(void **state)
{
    static const char *const given[] = { "& lt;b& gt;", "% 3cb% 3e", "&\t#60;b>", "%u 003cb>" };
    enum { TIMES = 8, COUNT = TIMES * ARRAY_LEN(given) };
    static uint32_t found[COUNT];
    struct bench bench;
    (void)state;
    bench_load(&bench, "SecRule ARGS_GET \"@rx <b>\" \"id:1,phase:2,pass,t:none,"
                       "t:removeWhitespace,t:urlDecodeUni,t:htmlEntityDecode\"\n");
    make_values(COUNT);
    for (unsigned i = 0; i < COUNT; i++)
        (void)snprintf(values[i], VALUE_MAX, "%s", given[i / TIMES]);
    run_over(&bench, 0, COUNT, UINT64_MAX, found);
    assert_true(bench.run.together);
    for (unsigned i = 0; i < COUNT; i++)
        assert_int_equal(found[i], 1);
    free(values);
    bench_unload(&bench);
}

/* What a value costs does not depend on its neighbours: no decision does, then. */
static void work_is_counted_by_value(void **state)
{
    static uint32_t found[MANY];
    struct bench bench;
    uint64_t none, sum = 0;
    (void)state;
    bench_load(&bench, "SecRule ARGS_GET \"@rx ^ab\" \"id:1,phase:2,pass,t:none\"\n"
                       "SecRule ARGS_GET \"@rx [;<]\\s+b\" \"id:2,phase:2,pass,t:none\"\n"
                       "SecRule ARGS_GET \"@pm union x\" \"id:3,phase:2,pass,t:urlDecode\"\n"
                       "SecMarker END\n");
    make_values(200);
    for (unsigned i = 0; i < 200; i++) { /* none of which has a find */
        struct text out = text_fixed(values[i], VALUE_MAX);
        text_format(&out, "a %u;%u%%20", i, i);
        (void)text_cstring(&out);
    }
    run_over(&bench, 0, 0, UINT64_MAX, found);
    none = bench.run.work;
    for (unsigned i = 0; i < 200; i += 20) {
        run_over(&bench, i, i + 20, UINT64_MAX, found);
        assert_true(bench.run.together);
        sum += bench.run.work - none;
    }
    run_over(&bench, 0, 200, UINT64_MAX, found);
    assert_int_equal(bench.run.work - none, sum);
    free(values);
    bench_unload(&bench);
}

/* ---- edges ----------------------------------------------------------------------------------
 */

/* Whether some part has two patterns with edges and one without. */
static bool any_is_mixed(const struct sec_plan *plan)
{
    const struct scan_class *class = &plan->classes[plan_class_of(plan, VAR_ARGS_GET)];
    bool any = false;
    for (unsigned i = 0; i < class->part_count; i++) {
        const struct scan_part *part = &class->parts[i];
        unsigned sure = 0;
        for (size_t j = 0; j < ARRAY_LEN(part->sure.words); j++)
            sure += (unsigned)__builtin_popcountll(part->sure.words[j]);
        any = any || (part->edges != NULL && sure > 0 && part->id_count >= sure + 2);
    }
    return any;
}

/* Each value matches one pattern alone: of those with edges, and of those without. */
static void edges_of_several(void **state)
{
    static const char *const words[] = { "union",  "select", "update", "script", "create",
                                         "having", "alert",  "table",  "order",  "profile" };
    static const struct {
        const char *pattern, *value; /* behind a word; the last one is plain text */
    } kinds[] = { { "\\s*\\(\\d", "(1" }, { "\\s*\\[\\d", "[2" }, { "[\\s:].*\\.", ": ." } };
    enum { COUNT = ARRAY_LEN(words) * ARRAY_LEN(kinds) };
    static uint32_t found[COUNT];
    struct bench bench;
    char all[4096];
    struct text out = text_fixed(all, sizeof(all));
    (void)state;
    make_values(COUNT);
    for (unsigned i = 0; i < COUNT; i++) {
        unsigned word = i / ARRAY_LEN(kinds), kind = i % ARRAY_LEN(kinds);
        (void)snprintf(values[i], VALUE_MAX, "a %s%s", words[word], kinds[kind].value);
        text_format(&out, "SecRule ARGS_GET \"@rx %s%s\" \"id:%u,phase:2,pass,t:none\"\n",
                    words[word], kinds[kind].pattern, i + 1);
    }
    bench_load(&bench, text_cstring(&out));
    assert_true(any_is_mixed(bench.plan));
    run_over(&bench, 0, COUNT, UINT64_MAX, found);
    assert_true(bench.run.together);
    for (unsigned i = 0; i < COUNT; i++)
        assert_int_equal(found[i], UINT32_C(1) << i);
    free(values);
    bench_unload(&bench);
}

static uint64_t work_of(struct bench *bench, unsigned others, unsigned len, enum variable var,
                        struct span text)
{
    char filler[VALUE_BYTES];
    memset(filler, 'q', sizeof(filler));
    memcpy(filler, "union", 5);
    bench_begin(bench, "");
    for (unsigned i = 0; i < others; i++)
        assert_int_equal(
            sec_values_add(&bench->run.values, VAR_ARGS_GET, SPAN("k"), span_of(filler, len)),
            OK);
    if (text.len > 0)
        assert_int_equal(sec_values_add(&bench->run.values, var, SPAN("k"), text), OK);
    for (unsigned phase = SEC_REQUEST_HEADERS; phase <= SEC_REQUEST_BODY; phase++)
        assert_int_equal(sec_run_phase(&bench->run, (enum sec_phase)phase, UINT64_MAX),
                         SEC_DONE);
    return bench->run.work;
}

/* The same of a value beside others, short ones and long ones. */
static void check_work_beside(const char *rules_of_two, enum variable var, struct span text)
{
    static const unsigned lens[] = { 9, 400, 850, 880, 910, 940, 1000, 1900 };
    struct bench bench;
    uint64_t first = 0;
    bench_load(&bench, rules_of_two);
    for (size_t i = 0; i < ARRAY_LEN(lens); i++) {
        uint64_t without = work_of(&bench, 20, lens[i], var, SPAN(""));
        uint64_t cost = work_of(&bench, 20, lens[i], var, text) - without;
        assert_true(bench.run.together);
        first = i == 0 ? cost : first;
        assert_int_equal(cost, first);
    }
    bench_unload(&bench);
}

static void take_edges(struct sec_plan *plan)
{
    for (unsigned i = 0; i < plan->class_count; i++) {
        for (unsigned j = 0; j < plan->classes[i].part_count; j++)
            plan->classes[i].parts[j].edges = NULL;
    }
}

/* Looking for edges is work, which saves more where they do not pass the text. */
static void work_of_edges(void **state)
{
    static const char *const given[] = { "it was late when <the last had gone",
                                         "it was late when < b the last had gone" };
    enum { WITH, WITHOUT, BOTH };
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(given); i++) {
        uint64_t work[BOTH];
        for (unsigned j = 0; j < BOTH; j++) {
            struct bench bench;
            bench_load(&bench,
                       "SecRule ARGS_GET \"@rx [;<]\\s+b\" \"id:1,phase:2,pass,t:none\"\n");
            if (j == WITHOUT)
                take_edges(bench.plan);
            work[j] = work_of(&bench, 20, 9, VAR_ARGS_GET, span_text(given[i])) -
                      work_of(&bench, 20, 9, VAR_ARGS_GET, SPAN(""));
            bench_unload(&bench);
        }
        if (i == 0)
            assert_in_range(work[WITH], strlen(given[i]) / 4, work[WITHOUT] - 1);
        else
            assert_in_range(work[WITH], work[WITHOUT] + strlen(given[i]) / 4, UINT64_MAX);
    }
}

/* Finds that only other values of the class are looked at for. */
static void work_of_other_groups(void **state)
{
    char text[400];
    (void)state;
    for (size_t i = 0; i < sizeof(text); i++)
        text[i] = "unionzzzz"[i % 9];
    check_work_beside("SecRule ARGS_GET|ARGS_POST \"@pm select etc passwd ls xy bz\" "
                      "\"id:1,phase:2,pass,t:none\"\n"
                      "SecRule ARGS_GET \"@pm union zz\" \"id:2,phase:2,pass,t:none\"\n",
                      VAR_ARGS_POST, span_of(text, sizeof(text)));
}

/* One that has many texts, where little room is left for them. */
static void work_where_room_is_short(void **state)
{
    static const char *const steps[] = {
        "urlEncode",
        "hexEncode",
        "base64Encode",
        "uppercase",
        "urlEncode,t:urlEncode",
        "hexEncode,t:hexEncode",
        "uppercase,t:hexEncode",
        "uppercase,t:base64Encode",
        "urlEncode,t:base64Encode",
        "urlEncode,t:hexEncode",
    };
    char text[1500], all[4096];
    struct text out = text_fixed(all, sizeof(all));
    (void)state;
    for (size_t i = 0; i < sizeof(text); i++)
        text[i] = i % 3 == 0 ? '(' : 'z';
    for (unsigned i = 0; i < ARRAY_LEN(steps); i++)
        text_format(&out, "SecRule ARGS_GET \"@rx ....\" \"id:%u,phase:2,pass,t:none,t:%s\"\n",
                    i + 1, steps[i]);
    check_work_beside(text_cstring(&out), VAR_ARGS_GET, span_of(text, sizeof(text)));
}

/* What Hyperscan takes by itself and not in lines. */
static void starts_behind_starts(void **state)
{
    static uint32_t found[MANY];
    struct bench bench;
    (void)state;
    bench_load(&bench, "SecRule ARGS_GET \"@rx ^^abc\" \"id:1,phase:2,pass,t:none\"\n"
                       "SecRule ARGS_GET \"@rx ^(?:\\.\\./|^/etc/)\" "
                       "\"id:2,phase:2,pass,t:none\"\n");
    make_values(30);
    for (unsigned i = 0; i < 30; i++)
        (void)snprintf(values[i], VALUE_MAX, "%s",
                       i % 3 == 0   ? "abc"
                       : i % 3 == 1 ? "/etc/"
                                    : "x/etc/");
    run_over(&bench, 0, 30, UINT64_MAX, found);
    for (unsigned i = 0; i < 30; i++)
        assert_int_equal(found[i], i % 3 == 0 ? 1 : i % 3 == 1 ? 2 : 0);
    free(values);
    bench_unload(&bench);
}

/* Alternatives are patterns of their own: what prose may have, and what it has not. */
static void alternatives_stand_apart(void **state)
{
    static const struct {
        const char *pattern;
        unsigned patterns;
    } rows[] = {
        { "@\\W*imp|<script[^>]*>|waitfor\\s+delay", 2 },
        { "(?i)(?:@\\W*imp|\\(\\s*x|waitfor\\s+delay|benchmark\\()", 3 },
        { "<script[^>]*>|waitfor\\s+delay", 1 },
        { "@\\W*imp", 1 },
        { "(?:@\\W*imp|\\(\\s*x)+", 1 },
    };
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        char rule[512];
        struct bench bench;
        unsigned patterns = 0;
        (void)snprintf(rule, sizeof(rule),
                       "SecRule ARGS_GET \"@rx %s\" \"id:1,phase:2,pass,t:none\"",
                       rows[i].pattern);
        bench_load(&bench, rule);
        for (unsigned j = 0; j < bench.plan->pattern_count; j++)
            patterns += bench.plan->patterns[j].check == NULL;
        assert_int_equal(patterns, rows[i].patterns);
        bench_unload(&bench);
    }
}

/* A budget ends it between two parts, and a value that is too long for a batch is seen, too. */
static void limits(void **state)
{
    enum { LONG = 4096 };
    static uint32_t found[MANY];
    struct bench bench;
    char *text = malloc(LONG);
    (void)state;
    assert_non_null(text);
    bench_load(&bench, rules);
    make_values(MANY);
    bench_begin(&bench, "");
    for (unsigned i = 0; i < MANY; i++)
        assert_int_equal(
            sec_values_add(&bench.run.values, VAR_ARGS_GET, SPAN("k"), span_text(values[i])),
            OK);
    bench.run.budget = 5000;
    assert_int_equal(bench_run(&bench, UINT64_MAX), SEC_SPENT);
    /* What was left waiting is not looked at for the next transaction. */
    run_over(&bench, 0, 3, UINT64_MAX, found);
    bench_begin(&bench, "ARGS_GET:a=ab");
    memset(text, 'z', LONG);
    memcpy(text + LONG - 2, "ab", 2);
    assert_int_equal(
        sec_values_add(&bench.run.values, VAR_ARGS_GET, SPAN("l"), span_of(text, LONG)), OK);
    assert_int_equal(bench_run(&bench, UINT64_MAX), SEC_DONE);
    struct span ids = bench_ids(&bench);
    assert_true(span_equal(ids, SPAN("1 2 2")));
    free(text);
    free(values);
    bench_unload(&bench);
}

int main(void)
{
    return RUN(cmocka_unit_test(together_as_alone), cmocka_unit_test(long_texts),
               cmocka_unit_test(closed_by_their_end), cmocka_unit_test(many_conditions),
               cmocka_unit_test(plain_texts), cmocka_unit_test(usual_words),
               cmocka_unit_test(parts_come_together),
               cmocka_unit_test(work_is_counted_by_value), cmocka_unit_test(edges_of_several),
               cmocka_unit_test(work_of_edges), cmocka_unit_test(work_of_other_groups),
               cmocka_unit_test(work_where_room_is_short),
               cmocka_unit_test(starts_behind_starts),
               cmocka_unit_test(alternatives_stand_apart), cmocka_unit_test(limits));
}
