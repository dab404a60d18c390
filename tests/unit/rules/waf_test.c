/*
 * The stage `waf` under the chain: what its options accept, what follows from rules, head and
 * body, and what happens when its means do not suffice.
 */
#include "rules/waf.h"

#include <stdlib.h>
#include <unistd.h>

#include "gateway/chain/scope.h"
#include "rules/inspect.h"
#include "rules/own/rule.h"
#include "tests/unit/check.h"
#include "tests/unit/stage_kit.h"

static struct kit kit;
static struct expr_scope scope;

static void begin_kit(void)
{
    kit_open(&kit, &waf_stage);
    scope = scope_make(&kit.config);
    kit.schema.scope = &scope;
}

static void configure(const char *yaml)
{
    if (!kit_configure(&kit, yaml, NULL))
        fail_msg("%s: %s", yaml, kit_complaint(&kit));
    kit_attach(&kit);
    kit_begin(&kit);
}

static void open_with(const char *yaml)
{
    begin_kit();
    configure(yaml);
}

/* What takes long to compile is shared with all other tests, where they have a cache. */
static void share_cache(void)
{
    const char *folder = getenv("CACHE_DIRECTORY");
    struct cache_conf shared = { .size = UINT64_MAX };
    if (folder == NULL)
        return;
    shared.folder.text = span_text(folder);
    kit.config.server.cache = shared;
}

static const struct waf_conf *opened(void)
{
    return kit.instance.conf;
}

static void query(const char *text)
{
    kit.req.query = span_text(text);
    kit.req.has_query = true;
}

/* "pass", or the slug of the reason for what was refused or failed. */
static const char *ask(enum phase phase)
{
    struct verdict verdict = kit_run(&kit, phase);
    if (verdict.action == ACTION_PASS)
        return "pass";
    return reason_row(verdict.reason)->slug;
}

/* Names of the rules that fired, in order. */
static struct span fired(void)
{
    struct text text = text_growing(&kit.txn_arena, 128);
    for (unsigned i = 0; i < kit.txn.finding_count; i++) {
        if (i > 0)
            text_char(&text, ' ');
        text_add(&text, kit.txn.findings[i].rule);
    }
    return text_span(&text);
}

/* ---- options ---- */

static void what_is_refused_at_load(void **state)
{
    (void)state;
    static const struct {
        const char *yaml, *says;
    } rows[] = {
        { "{rules: [{name: a}]}", "needs \"when\" or \"match\"" },
        { "{rules: [{match: x}]}", "name" },
        { "{rules: [{name: a b, match: x}]}", "letters, digits" },
        { "{rules: [{name: \"\", match: x}]}", "name" },
        { "{rules: [{name: a, match: x}, {name: a, match: y}]}", "two rules are named \"a\"" },
        { "{rules: [{name: a, match: \"(x\"}]}", "pattern \"(x\": Missing close parenthesis" },
        { "{rules: [{name: a, match: [x, \"(a)\\\\1\"]}]}", "pattern \"(a)\\1\"" },
        { "{rules: [{name: a, match: \"x*\"}]}", "matches the empty text" },
        { "{rules: [{name: a, match: x, in: [bogus]}]}", "no target \"bogus\"" },
        { "{rules: [{name: a, match: x, in: [\"arg:\"]}]}", "name is missing" },
        { "{rules: [{name: a, match: x, transform: rot13}]}", "no transformation \"rot13\"" },
        { "{rules: [{name: a, match: x, do: explode}]}", "do" },
        { "{rules: [{name: a, match: x, status: 200}]}", "status" },
        { "{rules: [{name: a, match: x, do: score, score: 0}]}", "score" },
        { "{rules: [{name: a, when: \"pth == \\\"x\\\"\"}]}", "pth" },
        { "{ruleset: bogus}", "ruleset" },
        { "{threshold: 0}", "inbound" },
        { "{budget: {values: 1}}", "values" },
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        begin_kit();
        bool accepted = kit_configure(&kit, rows[i].yaml, NULL);
        if (accepted || strstr(kit_complaint(&kit), rows[i].says) == NULL)
            fail_msg("%s: %s", rows[i].yaml, kit_complaint(&kit));
        kit_close(&kit);
    }
}

static void what_has_no_effect_is_warned_of(void **state)
{
    (void)state;
    static const char *const rows[] = {
        "{ruleset: none, rules: [{name: a, match: x, score: 3}]}",
        "{ruleset: none, rules: [{name: a, match: x, do: log, status: 404}]}",
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        begin_kit();
        assert_true(kit_configure(&kit, rows[i], NULL));
        assert_int_equal(kit.diags.warnings, 1);
        kit_close(&kit);
    }
}

static void idle_without_rules(void **state)
{
    (void)state;
    begin_kit();
    assert_true(kit_configure(&kit, "{ruleset: none}", NULL));
    assert_true(waf_stage.idle(opened()));
    assert_false(waf_stage.wants_body(opened()));
    assert_int_equal(waf_stage.body_limit(opened()), 10 << 20);
    kit_close(&kit);
}

static void bodies_are_wanted_where_rules_look_at_them(void **state)
{
    (void)state;
    static const struct {
        const char *yaml;
        bool wanted;
    } rows[] = {
        { "{ruleset: none, rules: [{name: a, match: x, in: path}]}", false },
        { "{ruleset: none, rules: [{name: a, match: x, in: [cookies, headers]}]}", false },
        { "{ruleset: none, rules: [{name: a, match: x}]}", true },
        { "{ruleset: none, rules: [{name: a, match: x, in: \"arg:q\"}]}", true },
        { "{ruleset: none, rules: [{name: a, when: path == \"/\"}]}", false },
        { "{ruleset: none, rules: [{name: a, when: 'arg(\"q\") == \"x\"'}]}", true },
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        begin_kit();
        assert_true(kit_configure(&kit, rows[i].yaml, NULL));
        assert_false(waf_stage.idle(opened()));
        if (waf_stage.wants_body(opened()) != rows[i].wanted)
            fail_msg("%s", rows[i].yaml);
        kit_close(&kit);
    }
}

/* Two routes of one site: their stages share what was compiled, and the last one frees it. */
static void same_rules_share_a_plan(void **state)
{
    (void)state;
    open_with("{ruleset: none, rules: [{name: a, match: x}]}");
    struct waf_conf first = *opened(), same = first, other = first;
    same.budget.values = 100;
    assert_int_equal(waf_open(&same, &kit.setup), OK);
    assert_ptr_equal(same.set, first.set);
    assert_int_equal(first.set->users, 2);
    struct span rules = span_of(first.rules.items, sizeof(struct rule_source));
    other.rules.items = (void *)(uintptr_t)arena_copy(&kit.config_arena, rules).p;
    assert_non_null(other.rules.items);
    assert_int_equal(waf_open(&other, &kit.setup), OK);
    assert_ptr_not_equal(other.set, first.set);
    waf_close(&other);
    waf_close(&same);
    assert_int_equal(first.set->users, 1);
    query("q=x");
    assert_string_equal(ask(PHASE_REQUEST_HEAD), "rule");
    kit_close(&kit);
}

/* ---- what follows ---- */

static void actions(void **state)
{
    (void)state;
    static const struct {
        const char *rules, *query, *verdict, *fired;
    } rows[] = {
        { "[{name: a, match: evil}]", "q=evil", "rule", "a" },
        { "[{name: a, match: evil}]", "q=good", "pass", "" },
        { "[{name: a, match: evil, do: log}]", "q=evil", "pass", "a" },
        { "[{name: a, match: evil, do: score}]", "q=evil", "rule", "a" },
        { "[{name: a, match: evil, do: score, score: 4}]", "q=evil", "pass", "a" },
        { "[{name: a, match: evil, do: score, severity: warning}]", "q=evil", "pass", "a" },
        { "[{name: a, match: evil, do: score, severity: warning}, "
          "{name: b, match: vil, do: score, severity: notice}]",
          "q=evil", "rule", "a b" },
        { "[{name: a, match: evil, do: score, severity: warning}, "
          "{name: b, match: vil, do: score, score: 1}]",
          "q=evil", "pass", "a b" },
        { "[{name: a, match: evil, do: score, severity: notice}]", "q=evil&r=evil&s=evil",
          "pass", "a" }, /* once for each rule */
        { "[{name: a, match: good, do: allow}, {name: b, match: evil}]", "q=evil&r=good",
          "pass", "a" },
        { "[{name: b, match: evil}, {name: a, match: good, do: allow}]", "q=evil&r=good",
          "rule", "b a" }, /* too late: what is behind a refusal is only recorded */
        { "[{name: b, match: evil, do: score}, {name: a, match: good, do: allow}]",
          "q=evil&r=good", "pass", "b a" },
        { "[{name: a, when: path == \"/\", match: evil}]", "q=evil", "rule", "a" },
        { "[{name: a, when: path == \"/x\", match: evil}]", "q=evil", "pass", "" },
        { "[{name: a, when: path == \"/\"}]", "", "rule", "a" },
        { "[{name: a, when: 'arg(\"q\") == \"evil\"'}]", "q=evil", "rule", "a" },
        { "[{name: a, match: [x1, x2]}]", "q=x2", "rule", "a" },
        { "[{name: a, match: evil, in: \"arg:r\"}]", "q=evil", "pass", "" },
        { "[{name: a, match: evil, in: \"arg:r\"}]", "q=1&r=evil", "rule", "a" },
        { "[{name: a, match: EVIL}]", "q=%2565vil", "rule", "a" },
        { "[{name: a, match: EVIL, transform: none}]", "q=evil", "pass", "" },
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        char yaml[512];
        struct text text = text_fixed(yaml, sizeof(yaml));
        text_format(&text, "{ruleset: none, rules: %s}", rows[i].rules);
        open_with(text_cstring(&text));
        query(rows[i].query);
        const char *verdict = ask(PHASE_REQUEST_HEAD);
        if (strcmp(verdict, rows[i].verdict) != 0)
            fail_msg("%s for %s: %s", rows[i].rules, rows[i].query, verdict);
        assert_span(fired(), span_text(rows[i].fired));
        kit_close(&kit);
    }
}

static void a_finding(void **state)
{
    (void)state;
    open_with("{ruleset: none, rules: [{name: a, match: evil, message: Bad., do: score, "
              "score: 7}, {name: b, when: path == \"/\", message: Root., do: log}]}");
    query("a=1&q=very+evil+thing");
    assert_string_equal(ask(PHASE_REQUEST_HEAD), "rule");
    assert_int_equal(kit.txn.finding_count, 2);
    const struct finding *finding = &kit.txn.findings[0];
    assert_text(finding->rule, "a");
    assert_text(finding->message, "Bad.");
    assert_text(finding->field, "args:q");
    assert_text(finding->sample, "evil");
    assert_int_equal(finding->offset, 5);
    assert_int_equal(finding->score, 7);
    assert_text(kit.txn.findings[1].rule, "b");
    assert_int_equal(kit.txn.findings[1].field.len, 0);
    assert_int_equal(kit.txn.findings[1].score, 0);
    kit_close(&kit);
}

static void a_status_of_its_own(void **state)
{
    (void)state;
    open_with("{ruleset: none, rules: [{name: a, match: evil, status: 404}]}");
    query("q=evil");
    struct verdict verdict = kit_run(&kit, PHASE_REQUEST_HEAD);
    assert_int_equal(verdict.action, ACTION_DENY);
    assert_int_equal(verdict.reason, REASON_RULE);
    assert_non_null(verdict.reply);
    assert_int_equal(verdict.reply->status, 404);
    kit_close(&kit);
}

static struct span upstream_field(const char *name)
{
    assert_int_equal(edits_apply(&kit.txn, EDIT_REQUEST, &kit.req.fields), OK);
    const struct field *field = fields_find(&kit.req.fields, span_text(name));
    return field != NULL ? field->value : SPAN("none");
}

static void tags_are_ours_alone(void **state)
{
    (void)state;
    const char *yaml = "{ruleset: none, rules: [{name: one, match: evil, do: tag}, "
                       "{name: two, match: vil, do: tag}]}";
    open_with(yaml);
    query("q=evil");
    kit_field(&kit, "X_Sallyport.Tags", "mine");
    assert_string_equal(ask(PHASE_REQUEST_HEAD), "pass");
    assert_text(upstream_field("X-Sallyport-Tags"), "one,two");
    assert_text(upstream_field("X_Sallyport.Tags"), "none");
    kit_begin(&kit);
    kit_field(&kit, "X-Sallyport-Tags", "mine");
    assert_string_equal(ask(PHASE_REQUEST_HEAD), "pass");
    assert_text(upstream_field("X-Sallyport-Tags"), "");
    kit_close(&kit);
}

/* ---- the body ---- */

static void post(const char *type, const char *body)
{
    kit_begin(&kit);
    kit.req.method = SPAN("POST");
    kit.req.method_id = METHOD_POST;
    kit.req.body = BODY_CHUNKED;
    kit_field(&kit, "Content-Type", type);
    assert_string_equal(ask(PHASE_REQUEST_HEAD), "pass");
    kit.body = span_text(body);
}

static void forms_and_other_bodies(void **state)
{
    (void)state;
    static const struct {
        const char *type, *body, *verdict, *field;
    } rows[] = {
        { "application/x-www-form-urlencoded", "a=1&q=ev%69l", "rule", "args:q" },
        { "application/x-www-form-urlencoded", "evil", "rule", "arg_names" },
        { "application/x-www-form-urlencoded", "q=ev%69", "pass", NULL },
        { "application/x-www-form-urlencoded", "{\"a\":\"e&vil\"}", "pass", NULL },
        { "application/x-www-form-urlencoded", "{\"a\":\"evil\"}", "rule", "args:a" },
        { "application/json", "{\"a\":\"\\u0065vil\"}", "rule", "args:a" },
        { "", "x evil", "rule", "body" },
        { "multipart/form-data; boundary=b", "--b\r\n\r\nevil\r\n--b--", "rule", "args" },
    };
    open_with("{ruleset: none, rules: [{name: a, match: evil}]}");
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        post(rows[i].type, rows[i].body);
        const char *verdict = ask(PHASE_REQUEST_BODY);
        if (strcmp(verdict, rows[i].verdict) != 0)
            fail_msg("%s: %s", rows[i].body, verdict);
        if (rows[i].field != NULL)
            assert_span(kit.txn.findings[0].field, span_text(rows[i].field));
    }
    kit_close(&kit);
}

static void head_and_body_together(void **state)
{
    (void)state;
    const char *form = "application/x-www-form-urlencoded";
    open_with(
        "{ruleset: none, rules: ["
        "{name: late, when: 'arg(\"user\") == \"root\"', match: \"^/$\", in: path, do: log},"
        "{name: root, when: 'arg(\"user\") == \"root\"', do: log},"
        "{name: half, match: evil, do: score, severity: warning},"
        "{name: rest, match: worse, do: score, severity: notice},"
        "{name: here, when: path == \"/\", do: log}]}");
    post(form, "user=root&q=evil");
    assert_text(fired(), "here");
    assert_string_equal(ask(PHASE_REQUEST_BODY), "pass");
    assert_text(fired(), "here late root half");
    post(form, "q=evil&r=worse");
    assert_string_equal(ask(PHASE_REQUEST_BODY), "rule");
    assert_text(fired(), "here half rest");

    /* The sum goes on from the head. */
    kit_begin(&kit);
    query("q=evil");
    kit.req.body = BODY_CHUNKED;
    kit_field(&kit, "Content-Type", "text/plain");
    assert_string_equal(ask(PHASE_REQUEST_HEAD), "pass");
    kit.body = SPAN("evil and worse");
    assert_string_equal(ask(PHASE_REQUEST_BODY), "rule");
    assert_text(fired(), "half here rest");
    kit_close(&kit);
}

static void what_is_allowed_stays_so(void **state)
{
    (void)state;
    open_with("{ruleset: none, rules: [{name: good, when: path == \"/\", do: allow}, "
              "{name: bad, match: evil}]}");
    post("text/plain", "evil");
    assert_string_equal(ask(PHASE_REQUEST_BODY), "pass");
    assert_text(fired(), "good");
    kit_close(&kit);
}

static void detecting_says_it_once(void **state)
{
    (void)state;
    open_with("{ruleset: none, mode: detect, rules: [{name: a, match: evil, do: score}]}");
    query("q=evil");
    kit.req.body = BODY_CHUNKED;
    assert_string_equal(ask(PHASE_REQUEST_HEAD), "pass");
    assert_true(kit.txn.detected);
    kit.txn.detected = false;
    kit.body = SPAN("evil");
    assert_string_equal(ask(PHASE_REQUEST_BODY), "pass");
    assert_false(kit.txn.detected);
    kit_close(&kit);
}

/* ---- means ---- */

static void repeat(struct text *text, const char *item, unsigned times)
{
    for (unsigned i = 0; i < times; i++)
        text_add(text, span_text(item));
}

static void budget_of_values(void **state)
{
    (void)state;
    open_with("{ruleset: none, budget: {values: 16}, rules: [{name: a, match: evil, "
              "in: [args, path]}]}");
    static char buffer[256];
    struct text args = text_fixed(buffer, sizeof(buffer));
    repeat(&args, "a=1&", 15);
    kit.req.query = text_span(&args);
    kit.req.has_query = true;
    assert_string_equal(ask(PHASE_REQUEST_HEAD), "pass");
    kit_begin(&kit);
    repeat(&args, "a=1&", 2);
    kit.req.query = text_span(&args);
    kit.req.has_query = true;
    assert_string_equal(ask(PHASE_REQUEST_HEAD), "argument-limit");
    kit_close(&kit);

    open_with("{ruleset: none, on_error: pass, budget: {values: 16}, rules: [{name: a, "
              "match: evil}]}");
    kit.req.query = text_span(&args);
    kit.req.has_query = true;
    assert_string_equal(ask(PHASE_REQUEST_HEAD), "pass");
    kit_close(&kit);
}

static void budget_of_bytes(void **state)
{
    (void)state;
    open_with("{ruleset: none, budget: {bytes: 64KiB}, rules: [{name: a, match: evil, "
              "in: body}]}");
    struct text body = text_growing(&kit.config_arena, 65537);
    repeat(&body, "xxxxxxxxxxxxxxxx", (65536 - 512) / 16); /* what is done besides counts */
    post("text/plain", "");
    kit.body = text_span(&body);
    assert_string_equal(ask(PHASE_REQUEST_BODY), "pass");
    repeat(&body, "xxxxxxxxxxxxxxxx", 512 / 16);
    post("text/plain", "");
    kit.body = text_span(&body);
    assert_string_equal(ask(PHASE_REQUEST_BODY), "body-budget");
    kit_close(&kit);
}

/* Nearly all of it is spent for the head: by how large the body is, the body is to blame. */
static void the_large_one_is_to_blame(void **state)
{
    (void)state;
    enum { BUDGET = 64 * 1024, SMALL = BUDGET / INSPECT_LOOKS_MAX };
    static const struct {
        size_t len;
        const char *reason;
    } rows[] = { { 1, "pass" }, { SMALL, "stage-failed" }, { SMALL + 1, "body-budget" } };
    open_with("{ruleset: none, budget: {bytes: 64KiB}, rules: [{name: a, match: evil, "
              "in: [args, body], transform: none}]}");
    struct text query = text_growing(&kit.config_arena, BUDGET);
    text_lit(&query, "a=");
    repeat(&query, "elvielvielvielvi", (BUDGET - 256) / 16);
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        kit_begin(&kit);
        kit.req.query = text_span(&query);
        kit.req.has_query = true;
        kit.req.body = BODY_CHUNKED;
        kit_field(&kit, "Content-Type", "text/plain");
        assert_string_equal(ask(PHASE_REQUEST_HEAD), "pass");
        kit.body = span_sub(text_span(&query), 0, rows[i].len);
        assert_string_equal(ask(PHASE_REQUEST_BODY), rows[i].reason);
    }
    kit_close(&kit);
}

/* Long bodies give others their turn, and come to the same. */
static void long_bodies_take_turns(void **state)
{
    (void)state;
    open_with("{ruleset: none, rules: [{name: a, match: evil, in: body, do: log}]}");
    struct text body = text_growing(&kit.config_arena, 5 << 20);
    repeat(&body, "0123456789+abcde", (4 << 20) / 16);
    repeat(&body, "ev%69l", 1);
    post("text/plain", "");
    kit.body = text_span(&body);
    assert_string_equal(ask(PHASE_REQUEST_BODY), "pass");
    assert_text(fired(), "a");
    unsigned last = kit.txn.trail_count - 1;
    assert_true(kit.txn.trail[last].resumes > 4);
    assert_true(kit.txn.trail[last].resumes < RESUMES_MAX);
    kit_close(&kit);
}

static unsigned resumes_for(const char *piece, unsigned times)
{
    struct text body = text_growing(&kit.config_arena, strlen(piece) * times);
    repeat(&body, piece, times);
    post("application/x-www-form-urlencoded", "");
    kit.body = text_span(&body);
    assert_string_equal(ask(PHASE_REQUEST_BODY), "pass");
    return kit.txn.trail[kit.txn.trail_count - 1].resumes;
}

/* Short values take longer than their bytes tell; a great many make slices longer. */
static void many_values_take_turns(void **state)
{
    (void)state;
    open_with("{ruleset: none, budget: {values: 30000}, rules: [{name: a, match: evil}]}");
    assert_int_equal(resumes_for("a&", 100), 0);
    assert_true(resumes_for("a&", 2000) > 6);
    assert_true(resumes_for("a&", 30000) < RESUMES_MAX / 3);
    kit_close(&kit);
}

/* What may take more than a slice waits once before it begins. */
static void long_work_begins_later(void **state)
{
    static const char piece[] =
        "a=0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
        "0123456789abcdef0123456789abcdef0&";
    (void)state;
    open_with("{ruleset: none, rules: [{name: a, match: evil, in: method}]}");
    assert_int_equal(resumes_for(piece, 320), 0);
    assert_int_equal(resumes_for(piece, 330), 1);
    kit_close(&kit);
}

static void memory_runs_out(void **state)
{
    (void)state;
    open_with("{ruleset: none, rules: [{name: a, match: evil}]}");
    query("q=evil");
    kit.txn_arena.ceiling = kit.txn_arena.used;
    while (arena_alloc(&kit.txn_arena, 16) != NULL)
        ;
    kit.txn_arena.exhausted = false;
    kit.txn.state = arena_zero(&kit.config_arena, 1, waf_stage.state_size);
    const char *verdict = ask(PHASE_REQUEST_HEAD);
    if (strcmp(verdict, "memory") != 0)
        fail_msg("%s", verdict);
    kit_close(&kit);
}

/* ---- the pack ---- */

static void the_pack(void **state)
{
    (void)state;
    begin_kit();
    share_cache();
    configure("{ruleset: core, rules: [{name: own, match: \"^friend$\", in: \"cookie:pass\", "
              "do: allow}]}");
    static const char *const attacks[] = {
        "id=1+union+select+1,2",
        "q=%3Cscript%3Ealert(1)%3C/script%3E",
        "f=../../../etc/passwd",
        "x=$%7Bjndi:ldap://e/a%7D",
    };
    for (size_t i = 0; i < ARRAY_LEN(attacks); i++) {
        kit_begin(&kit);
        query(attacks[i]);
        assert_string_equal(ask(PHASE_REQUEST_HEAD), "rule");
        kit_begin(&kit);
        query(attacks[i]);
        kit_field(&kit, "Cookie", "pass=friend");
        assert_string_equal(ask(PHASE_REQUEST_HEAD), "pass");
        assert_text(fired(), "own");
    }
    kit_begin(&kit);
    query("q=hello&page=2");
    assert_string_equal(ask(PHASE_REQUEST_HEAD), "pass");
    assert_int_equal(kit.txn.finding_count, 0);
    post("application/json", "{\"q\":\"\\u003cscript\\u003e\"}");
    assert_string_equal(ask(PHASE_REQUEST_BODY), "rule");
    kit_close(&kit);
}

/* ---- turns of the loop ---- */

static enum phase event_phase;
static bool done_at_once;

static void bring(struct watch *watch, uint32_t events)
{
    (void)watch, (void)events;
    kit_start(&kit, event_phase);
    done_at_once = kit.done;
}

/* The phase begins with an event, and is over with its turn. */
static void with_an_event(enum phase phase)
{
    struct watch watch = { .on_event = bring };
    int ends[2];
    event_phase = phase;
    assert_int_equal(pipe(ends), 0);
    assert_int_equal(loop_add(&kit.worker.loop, &watch, ends[0], EPOLLIN), OK);
    assert_int_equal(write(ends[1], "x", 1), 1);
    loop_turn(&kit.worker.loop, 0);
    assert_true(kit.done);
    loop_remove(&kit.worker.loop, &watch);
    (void)close(ends[0]);
    (void)close(ends[1]);
}

/* A request lets the turn's other events be read first; an answer does not. */
static void requests_wait_for_the_events(void **state)
{
    struct response rsp = { .status = 200 };
    (void)state;
    open_with("{ruleset: none, response: true, rules: [{name: a, match: evil, do: log}, "
              "{name: b, when: response.status == 200, do: log}]}");
    query("q=evil");
    with_an_event(PHASE_REQUEST_HEAD);
    assert_false(done_at_once);
    assert_text(fired(), "a");
    kit.txn.rsp = &rsp;
    with_an_event(PHASE_RESPONSE_HEAD);
    assert_true(done_at_once);
    assert_text(fired(), "a b");
    kit_close(&kit);
}

int main(void)
{
    return RUN(TEST(what_is_refused_at_load), TEST(what_has_no_effect_is_warned_of),
               TEST(idle_without_rules), TEST(bodies_are_wanted_where_rules_look_at_them),
               TEST(same_rules_share_a_plan), TEST(actions), TEST(a_finding),
               TEST(a_status_of_its_own), TEST(tags_are_ours_alone),
               TEST(forms_and_other_bodies), TEST(head_and_body_together),
               TEST(what_is_allowed_stays_so), TEST(detecting_says_it_once),
               TEST(budget_of_values), TEST(budget_of_bytes), TEST(the_large_one_is_to_blame),
               TEST(long_bodies_take_turns), TEST(many_values_take_turns),
               TEST(long_work_begins_later), TEST(requests_wait_for_the_events),
               TEST(memory_runs_out), TEST(the_pack));
}
