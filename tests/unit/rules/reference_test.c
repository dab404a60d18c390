/*
 * The reference evaluator: what a program does with a request, by rows. What other engines are
 * compared with must itself be right, so each row is a sentence of the language.
 */
#include "tests/reference/wire.h"

#include "conf/diag.h"
#include "tests/unit/check.h"

struct row {
    const char *what, *rules, *request;
    const char *logged;       /* ids in their order */
    const char *name, *value; /* of TX at the end; value NULL: unset */
};

#define GET(target) "GET " target " HTTP/1.1\r\nHost: h\r\nUser-Agent: u\r\n\r\n"
#define POST(type, length, body)                                                               \
    "POST / HTTP/1.1\r\nHost: h\r\nContent-Type: " type "\r\nContent-Length: " length          \
    "\r\n\r\n" body
#define LOG ",phase:2,pass,log,t:none"

static const struct row rows[] = {
    { "a pattern on arguments", "SecRule ARGS \"@rx ^b\" \"id:1" LOG "\"", GET("/?x=abc&y=bcd"),
      "1", NULL, NULL },
    { "each value that matches logs", "SecRule ARGS \"@rx b\" \"id:1" LOG "\"",
      GET("/?x=abc&y=bcd"), "1 1", NULL, NULL },
    { "SecAction always matches", "SecAction \"id:1" LOG ",setvar:tx.a=x%{REMOTE_ADDR}\"",
      GET("/"), "1", "a", "x192.0.2.9" },
    { "nolog logs nothing", "SecAction \"id:1,phase:1,pass,nolog,setvar:tx.a=1\"", GET("/"), "",
      "a", "1" },
    { "a chain logs once, when its last link matches",
      "SecRule ARGS:a \"@rx 1\" \"id:1" LOG ",chain\"\nSecRule ARGS:b \"@rx 2\" \"t:none\"",
      GET("/?a=1&b=2"), "1", NULL, NULL },
    { "a chain whose last link fails logs nothing, and its head's actions have run",
      "SecRule ARGS:a \"@rx 1\" \"id:1" LOG ",chain,setvar:tx.a=1\"\n"
      "SecRule ARGS:b \"@rx 2\" \"t:none,setvar:tx.b=1\"",
      GET("/?a=1&b=3"), "", "a", "1" },
    { "setvar runs for each match", "SecRule ARGS \"@rx .\" \"id:1" LOG ",setvar:tx.n=+2\"",
      GET("/?a=1&b=2&c=3"), "1 1 1", "n", "6" },
    { "counters stay above zero",
      "SecAction \"id:1,phase:1,pass,nolog,setvar:tx.n=3,setvar:tx.n=-5\"", GET("/"), "", "n",
      "0" },
    { "unset", "SecAction \"id:1,phase:1,pass,nolog,setvar:tx.n=3,setvar:!tx.n\"", GET("/"), "",
      "n", NULL },
    { "names of variables have no case",
      "SecAction \"id:1,phase:1,pass,nolog,setvar:tx.Ab=1,setvar:tx.aB=+1\"", GET("/"), "",
      "AB", "2" },
    { "a macro in a name",
      "SecRule ARGS \"@rx .\" "
      "\"id:1,phase:2,pass,nolog,t:none,setvar:tx.%{MATCHED_VAR_NAME}=%{MATCHED_VAR}\"",
      GET("/?k=v"), "", "ARGS:k", "v" },
    { "captures", "SecRule ARGS \"@rx (b)(c)\" \"id:1" LOG ",capture\"", GET("/?k=abcd"), "1",
      "2", "c" },
    { "captures of an earlier match do not stay",
      "SecRule ARGS \"@rx (a)(b)?\" \"id:1" LOG ",capture\"", GET("/?x=ab&y=ac"), "1 1", "2",
      NULL },
    { "without `capture` none are made", "SecRule ARGS \"@rx (b)\" \"id:1" LOG "\"",
      GET("/?k=abcd"), "1", "1", NULL },
    { "a negated operator", "SecRule ARGS \"!@rx a\" \"id:1" LOG "\"", GET("/?x=a&y=b"), "1",
      NULL, NULL },
    { "counts", "SecRule &ARGS:x \"@eq 2\" \"id:1" LOG "\"", GET("/?x=1&X=2&y=3"), "1", NULL,
      NULL },
    { "a count of nothing is 0", "SecRule &ARGS:z \"@eq 0\" \"id:1" LOG "\"", GET("/"), "1",
      NULL, NULL },
    { "exclusions by name and by pattern",
      "SecRule ARGS|!ARGS:a|!ARGS:/^b/ \"@rx .\" \"id:1" LOG ",setvar:tx.n=+1\"",
      GET("/?a=1&B1=1&b2=1&c=1"), "1", "n", "1" },
    { "an exclusion before its target takes nothing away",
      "SecRule !ARGS:a|ARGS \"@rx .\" \"id:1" LOG "\"", GET("/?a=1"), "1", NULL, NULL },
    { "variables of TX by pattern",
      "SecAction \"id:1,phase:1,pass,nolog,setvar:tx.p_1=x,setvar:tx.p_2=y,setvar:tx.q=x\"\n"
      "SecRule TX:/^p_/ \"@rx x\" \"id:2" LOG "\"",
      GET("/"), "2", NULL, NULL },
    { "MATCHED_VARS are those of the chain so far",
      "SecRule ARGS \"@rx a\" \"id:1" LOG ",chain\"\n"
      "SecRule MATCHED_VARS \"@rx b\" \"t:none,setvar:tx.m=%{MATCHED_VAR_NAME}\"",
      GET("/?x=a&y=ab&z=b"), "1", "m", "ARGS:y" },
    { "transformations in their order",
      "SecRule ARGS \"@streq a b\" \"id:1,phase:2,pass,log,t:none,t:urlDecode,t:lowercase\"",
      GET("/?x=A%2520B"), "1", NULL, NULL },
    { "multiMatch looks before and behind each change",
      "SecRule ARGS \"@rx [Aa]\" \"id:1" LOG ",t:lowercase,t:removeNulls,multiMatch\"",
      GET("/?x=A"), "1 1 1", NULL, NULL },
    { "multiMatch looks once where nothing changes",
      "SecRule ARGS \"@rx a\" \"id:1" LOG ",t:lowercase,multiMatch\"", GET("/?x=a"), "1", NULL,
      NULL },
    { "skip",
      "SecAction \"id:1" LOG ",skip:1\"\nSecRule ARGS \"@rx .\" \"id:2" LOG ",chain\"\n"
      "SecRule ARGS \"@rx .\"\nSecAction \"id:3" LOG "\"",
      GET("/?x=1"), "1 3", NULL, NULL },
    { "skipAfter a marker",
      "SecAction \"id:1" LOG ",skipAfter:M\"\nSecAction \"id:2" LOG "\"\nSecMarker M\n"
      "SecAction \"id:3" LOG "\"",
      GET("/"), "1 3", NULL, NULL },
    { "skipAfter of a chain waits for its last link",
      "SecRule ARGS:a \"@rx 1\" \"id:1" LOG ",chain,skipAfter:M\"\nSecRule ARGS:b \"@rx 2\"\n"
      "SecAction \"id:2" LOG "\"\nSecMarker M",
      GET("/?a=1&b=3"), "2", NULL, NULL },
    { "ctl removes rules by id, tag and message",
      "SecAction \"id:1,phase:1,pass,nolog,ctl:ruleRemoveById=2-3,ctl:ruleRemoveByTag=^x,"
      "ctl:ruleRemoveByMsg=bad\"\n"
      "SecAction \"id:2" LOG "\"\nSecAction \"id:3" LOG "\"\nSecAction \"id:4" LOG
      ",tag:'xy'\"\n"
      "SecAction \"id:5" LOG ",msg:'too bad'\"\nSecAction \"id:6" LOG ",tag:'yx'\"",
      GET("/"), "6", NULL, NULL },
    { "ctl takes a target away, by id and by tag",
      "SecAction \"id:1,phase:1,pass,nolog,ctl:ruleRemoveTargetById=2;ARGS:A,"
      "ctl:ruleRemoveTargetByTag=t1;ARGS\"\n"
      "SecRule ARGS \"@rx .\" \"id:2" LOG "\"\nSecRule ARGS \"@rx .\" \"id:3" LOG ",tag:'t1'\"",
      GET("/?a=1&b=1"), "2", NULL, NULL },
    { "links keep the targets that ctl takes from their head",
      "SecAction \"id:1,phase:1,pass,nolog,ctl:ruleRemoveTargetById=2;ARGS:b\"\n"
      "SecRule ARGS:a \"@rx .\" \"id:2" LOG ",chain\"\nSecRule ARGS:b \"@rx .\"",
      GET("/?a=1&b=1"), "2", NULL, NULL },
    { "ctl:ruleEngine=Off ends it",
      "SecAction \"id:1" LOG ",ctl:ruleEngine=Off\"\nSecAction \"id:2" LOG "\"", GET("/"), "1",
      NULL, NULL },
    { "deny ends the phase and those behind it, but for logging",
      "SecAction \"id:1,phase:1,deny,log,status:406\"\nSecAction \"id:2" LOG "\"\n"
      "SecAction \"id:3,phase:5,pass,log\"",
      GET("/"), "1 3", NULL, NULL },
    { "allow:phase ends the phase only",
      "SecAction \"id:1,phase:1,allow:phase,log\"\nSecAction \"id:2,phase:1,pass,log\"\n"
      "SecAction \"id:3" LOG "\"",
      GET("/"), "1 3", NULL, NULL },
    { "allow:request ends both phases of requests",
      "SecAction \"id:1,phase:1,allow:request,log\"\nSecAction \"id:2" LOG "\"\n"
      "SecAction \"id:3,phase:5,pass,log\"",
      GET("/"), "1 3", NULL, NULL },
    { "severity",
      "SecAction \"id:1" LOG ",severity:ERROR\"\nSecAction \"id:2" LOG ",severity:NOTICE\"\n"
      "SecRule HIGHEST_SEVERITY \"@eq 3\" \"id:3" LOG "\"",
      GET("/"), "1 2 3", NULL, NULL },
    { "a collection that was not begun takes nothing",
      "SecAction \"id:1,phase:1,pass,nolog,setvar:ip.n=1\"\nSecRule &IP:n \"@eq 0\" \"id:2" LOG
      "\"",
      GET("/"), "2", NULL, NULL },
    { "a collection",
      "SecAction \"id:1,phase:1,pass,nolog,initcol:ip=%{REMOTE_ADDR},setvar:ip.n=+1\"\n"
      "SecRule IP:n \"@eq 1\" \"id:2" LOG "\"\nSecRule IP:IS_NEW \"@eq 1\" \"id:3" LOG "\"",
      GET("/"), "2 3", NULL, NULL },
    { "a pattern with a macro in it",
      "SecAction \"id:1,phase:1,pass,nolog,setvar:'tx.p=b+'\"\nSecRule ARGS \"@rx ^%{tx.p}$\" "
      "\"id:2" LOG "\"",
      GET("/?x=bbb&y=bc"), "2", NULL, NULL },
    { "an operand with a macro in it",
      "SecAction \"id:1,phase:1,pass,nolog,setvar:tx.n=2\"\nSecRule ARGS \"@gt %{tx.n}\" "
      "\"id:2" LOG "\"",
      GET("/?x=2&y=3"), "2", NULL, NULL },
    { "variables of the request line",
      "SecRule REQUEST_LINE \"@streq GET /a%20b/c?d HTTP/1.1\" \"id:1" LOG "\"\n"
      "SecRule REQUEST_FILENAME \"@streq /a b/c\" \"id:2" LOG "\"\n"
      "SecRule REQUEST_BASENAME \"@streq c\" \"id:3" LOG "\"\n"
      "SecRule REQUEST_URI \"@streq /a%20b/c?d\" \"id:4" LOG "\"\n"
      "SecRule QUERY_STRING \"@streq d\" \"id:5" LOG "\"\n"
      "SecRule ARGS_NAMES:d \"@streq d\" \"id:6" LOG "\"\n"
      "SecRule REQUEST_PROTOCOL \"@streq HTTP/1.1\" \"id:7" LOG "\"",
      GET("/a%20b/c?d"), "1 2 3 4 5 6 7", NULL, NULL },
    { "cookies are cut and not trimmed",
      "SecRule REQUEST_COOKIES:a \"@streq 1 \" \"id:1" LOG "\"\n"
      "SecRule &REQUEST_COOKIES \"@eq 3\" \"id:2" LOG "\"",
      "GET / HTTP/1.1\r\nHost: h\r\nCookie: a=1 ; b; =c; d=\r\n\r\n", "1 2", NULL, NULL },
    { "a form",
      "SecRule ARGS_POST:a \"@streq b c\" \"id:1" LOG
      "\"\nSecRule REQUEST_BODY \"@streq a=b+c\" \"id:2" LOG "\"\n"
      "SecRule REQBODY_PROCESSOR \"@streq URLENCODED\" \"id:3,phase:1,pass,log\"",
      POST("application/x-www-form-urlencoded", "5", "a=b+c"), "3 1 2", NULL, NULL },
    { "JSON by name",
      "SecRule ARGS:a.b.b \"@streq 1\" \"id:1" LOG
      "\"\nSecRule REQUEST_BODY \"@rx ^\" \"id:2" LOG "\"",
      POST("application/json", "15", "{\"a\":{\"b\":[1]}}"), "1", NULL, NULL },
    { "JSON that is none", "SecRule REQBODY_ERROR \"@eq 1\" \"id:1" LOG "\"",
      POST("application/json", "5", "{\"a\":"), "1", NULL, NULL },
    { "XML text and attributes",
      "SecRule XML:/* \"@contains one two\" \"id:1" LOG
      "\"\nSecRule XML://@* \"@streq v\" \"id:2" LOG "\"",
      POST("text/xml", "33", "<r a=\"v\"><i>one</i><i> two</i></r>"), "1 2", NULL, NULL },
    { "files and headers of parts",
      "SecRule FILES:f \"@streq x.php\" \"id:1" LOG
      "\"\nSecRule FILES_NAMES \"@streq f\" \"id:2" LOG "\"\n"
      "SecRule FILES_COMBINED_SIZE \"@eq 3\" \"id:3" LOG "\"\n"
      "SecRule MULTIPART_PART_HEADERS:f \"@contains text/x\" \"id:4" LOG "\"\n"
      "SecRule MULTIPART_STRICT_ERROR \"@eq 0\" \"id:5" LOG
      "\"\nSecRule ARGS:a \"@streq 1\" \"id:6" LOG "\"",
      POST("multipart/form-data; boundary=b", "160",
           "--b\r\nContent-Disposition: form-data; name=\"a\"\r\n\r\n1\r\n"
           "--b\r\nContent-Disposition: form-data; name=\"f\"; filename=\"x.php\"\r\n"
           "Content-Type: text/x\r\n\r\nabc\r\n--b--\r\n"),
      "1 2 3 4 5 6", NULL, NULL },
    { "a body of no known type has no values, unless it is asked for",
      "SecRule REQUEST_BODY|ARGS \"@rx ^\" \"id:1" LOG "\"", POST("text/plain", "3", "a=b"), "",
      NULL, NULL },
    { "ctl:forceRequestBodyVariable asks for it",
      "SecAction \"id:1,phase:1,pass,nolog,ctl:forceRequestBodyVariable=On\"\n"
      "SecRule REQUEST_BODY \"@streq a=b\" \"id:2" LOG "\"",
      POST("text/plain", "3", "a=b"), "2", NULL, NULL },
    { "ctl:requestBodyProcessor chooses",
      "SecAction \"id:1,phase:1,pass,nolog,ctl:requestBodyProcessor=URLENCODED\"\n"
      "SecRule ARGS:a \"@streq b\" \"id:2" LOG "\"",
      POST("text/plain", "3", "a=b"), "2", NULL, NULL },
    { "a refused head is looked at", "SecRule ARGS:x \"@rx <i>\" \"id:1" LOG "\"",
      "GET /?x=<i> HTTP/1.1\r\n\r\n", "1", NULL, NULL },
};

static void load(struct reference *ref, struct arena *arena, const char *rules)
{
    struct seclang_source source = { .path = SPAN("rules.conf"), .text = span_text(rules) };
    struct seclang_options options = { 0 };
    struct sec_program *program = NULL;
    struct diags diags;
    diags_init(&diags, arena);
    if (seclang_load(&program, &source, 1, &options, arena, &diags) != OK)
        fail_msg("%s\n%.*s", rules, (int)diags.items[0].message.len, diags.items[0].message.p);
    ref->program = program;
}

static bool run_row(const struct row *row, struct regex_local *regex)
{
    static struct reference ref;
    const struct transaction_peer peer = { .client = SPAN("192.0.2.9"),
                                           .server = SPAN("192.0.2.1"),
                                           .server_name = SPAN("h"),
                                           .now = 1000000 };
    struct arena arena;
    struct transaction txn;
    struct wire wire;
    char room[256];
    struct text ids = text_fixed(room, sizeof room);
    arena_init(&arena, NULL, 0, NULL, 1 << 26);
    ref = (struct reference){ .mode = ENGINE_ON, .txn = &txn, .regex = regex };
    load(&ref, &arena, row->rules);
    transaction_init(&txn, &arena, &peer);
    wire_read(&wire, span_text(row->request), SPAN(""), &arena);
    reference_run(&ref, &wire);

    for (unsigned i = 0; i < ref.log_count; i++)
        text_format(&ids, i == 0 ? "%u" : " %u", (unsigned)ref.log[i].rule->id);
    bool good = span_equal(text_span(&ids), span_text(row->logged));
    if (!good)
        print_error("%s: logged \"%.*s\", not \"%s\"\n", row->what, (int)ids.len, ids.p,
                    row->logged);
    if (row->name != NULL) {
        const struct pair *var = vars_find(&ref.tx, span_text(row->name));
        struct span value = var == NULL ? SPAN("(unset)") : var->value;
        struct span wanted = span_text(row->value == NULL ? "(unset)" : row->value);
        if (!span_equal(value, wanted)) {
            good = false;
            print_error("%s: TX:%s is \"%.*s\", not \"%.*s\"\n", row->what, row->name,
                        (int)value.len, value.p, (int)wanted.len, wanted.p);
        }
    }
    seclang_free((struct sec_program *)(uintptr_t)ref.program);
    arena_reset(&arena);
    return good;
}

static void test_rows(void **state)
{
    struct regex_local regex;
    unsigned failed = 0;
    (void)state;
    assert_int_equal(regex_attach(&regex), OK);
    for (size_t i = 0; i < ARRAY_LEN(rows); i++)
        failed += !run_row(&rows[i], &regex);
    regex_detach(&regex);
    assert_int_equal(failed, 0);
}

static void test_collections_outlive_transactions(void **state)
{
    static const char rules[] =
        "SecAction \"id:1,phase:1,pass,nolog,initcol:ip=%{REMOTE_ADDR},setvar:ip.n=+1,"
        "setvar:tx.n=%{ip.n},setvar:ip.once=1,expirevar:ip.once=60\"\n"
        "SecRule &IP:once \"@eq 0\" \"id:2,phase:1,pass,log\"";
    static struct reference ref;
    static const time_t times[] = { 1000, 1030, 1100, 99999 };
    static const char *const counts[] = { "1", "2", "3", "1" };
    struct regex_local regex;
    struct store *store = store_new();
    (void)state;
    assert_int_equal(regex_attach(&regex), OK);
    for (size_t i = 0; i < ARRAY_LEN(times); i++) {
        struct transaction_peer peer = { .client = SPAN("192.0.2.9"), .now = times[i] };
        struct arena arena;
        struct transaction txn;
        struct wire wire;
        arena_init(&arena, NULL, 0, NULL, 1 << 26);
        ref = (struct reference){
            .mode = ENGINE_ON, .txn = &txn, .regex = &regex, .store = store
        };
        load(&ref, &arena, rules);
        transaction_init(&txn, &arena, &peer);
        wire_read(&wire, SPAN(GET("/")), SPAN(""), &arena);
        reference_run(&ref, &wire);
        assert_span(vars_find(&ref.tx, SPAN("n"))->value, span_text(counts[i]));
        seclang_free((struct sec_program *)(uintptr_t)ref.program);
        arena_reset(&arena);
    }
    store_free(store);
    regex_detach(&regex);
}

static void test_log_data_is_expanded_at_the_match(void **state)
{
    static struct reference ref;
    struct transaction_peer peer = { .client = SPAN("192.0.2.9") };
    struct regex_local regex;
    struct arena arena;
    struct transaction txn;
    struct wire wire;
    (void)state;
    assert_int_equal(regex_attach(&regex), OK);
    arena_init(&arena, NULL, 0, NULL, 1 << 26);
    ref = (struct reference){ .mode = ENGINE_DETECT, .txn = &txn, .regex = &regex };
    load(&ref, &arena,
         "SecRule ARGS \"@rx b+\" \"id:1,phase:2,deny,log,capture,t:none,t:lowercase,"
         "msg:'of %{MATCHED_VAR_NAME}',logdata:'%{TX.0} in %{MATCHED_VAR}, %{tx.none}'\"");
    transaction_init(&txn, &arena, &peer);
    wire_read(&wire, SPAN(GET("/?x=aB&y=BBc")), SPAN(""), &arena);
    reference_run(&ref, &wire);
    assert_int_equal(ref.log_count, 2);
    assert_text(ref.log[0].log_data, "b in ab, ");
    assert_text(ref.log[1].log_data, "bb in bbc, ");
    assert_text(ref.log[1].message, "of ARGS:y");
    assert_text(ref.log[1].variable, "ARGS:y");
    assert_text(ref.log[1].value, "bbc");
    assert_int_equal(ref.verdict.action, DISRUPT_NONE);
    seclang_free((struct sec_program *)(uintptr_t)ref.program);
    arena_reset(&arena);
    regex_detach(&regex);
}

int main(void)
{
    return RUN(TEST(test_rows), TEST(test_collections_outlive_transactions),
               TEST(test_log_data_is_expanded_at_the_match));
}
