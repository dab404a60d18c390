/* What rules become: targets, operators, macros, actions, chains, lists, settings. */
#include "rules/seclang/program.h"

#include "tests/unit/rules/seclang/seclang.h"

static struct loaded l;

/* ---- targets ---- */

static void targets_have_all_forms(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        enum variable var;
        int kind;
        const char *key;
        bool count, exclude;
    } rows[] = {
        { "ARGS", VAR_ARGS, KEY_NONE, "", false, false },
        { "args", VAR_ARGS, KEY_NONE, "", false, false },
        { "&ARGS", VAR_ARGS, KEY_NONE, "", true, false },
        { "ARGS:name", VAR_ARGS, KEY_NAME, "name", false, false },
        { "&TX:score", VAR_TX, KEY_NAME, "score", true, false },
        { "REQUEST_HEADERS:'X Y|Z'", VAR_REQUEST_HEADERS, KEY_NAME, "X Y|Z", false, false },
        { "ARGS:'it\\'s'", VAR_ARGS, KEY_NAME, "it's", false, false },
        { "ARGS:/^a.b$/", VAR_ARGS, KEY_REGEX, "^a.b$", false, false },
        { "ARGS:/a|b/", VAR_ARGS, KEY_REGEX, "a|b", false, false },
        { "ARGS:/a, b/", VAR_ARGS, KEY_REGEX, "a, b", false, false },
        { "ARGS:'/a|b/'", VAR_ARGS, KEY_REGEX, "a|b", false, false },
        { "ARGS:/a/b/", VAR_ARGS, KEY_REGEX, "a/b", false, false },
        { "TX:/MULTIPART_HEADERS_CONTENT_TYPES_*/", VAR_TX, KEY_REGEX,
          "MULTIPART_HEADERS_CONTENT_TYPES_*", false, false },
        { "REQUEST_COOKIES:/\\x22?\\x24Version/", VAR_REQUEST_COOKIES, KEY_REGEX,
          "\\x22?\\x24Version", false, false },
        { "XML:/*", VAR_XML, KEY_NAME, "/*", false, false },
        { "XML://@*", VAR_XML, KEY_NAME, "//@*", false, false },
        { "ARGS:", VAR_ARGS, KEY_NONE, "", false, false },
        { "TX:a_%{tx.b}", VAR_TX, KEY_NAME, "a_%{tx.b}", false, false },
        { "HTTP_USER_AGENT", VAR_REQUEST_HEADERS, KEY_NAME, "USER-AGENT", false, false },
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        char line[128];
        struct text text = text_fixed(line, sizeof line - 1);
        text_lit(&text, "SecRule \"");
        text_add(&text, span_text(rows[i].text));
        text_lit(&text, "|!FILES:x\" a id:1");
        load_good(&l, text_cstring(&text));
        const struct sec_rule *rule = rule_at(&l, 0);
        assert_int_equal(rule->target_count, 2);
        const struct sec_target *t = &rule->targets[0];
        assert_int_equal(t->var, rows[i].var);
        assert_int_equal(t->key_kind, rows[i].kind);
        assert_span(t->key, span_text(rows[i].key));
        assert_int_equal(t->count, rows[i].count);
        assert_int_equal(t->exclude, rows[i].exclude);
        assert_true((t->regex != NULL) == (rows[i].kind == KEY_REGEX));
        assert_int_equal(rule->targets[1].var, VAR_FILES);
        assert_true(rule->targets[1].exclude);
        unload(&l);
    }
}

static void names_in_keys_may_hold_macros(void **state)
{
    (void)state;
    load_good(&l, "SecRule TX:a_%{tx.b}|TX:c a id:1");
    const struct sec_target *t = rule_at(&l, 0)->targets;
    assert_false(t[0].key_macro.literal);
    assert_int_equal(t[0].key_macro.count, 2);
    assert_true(t[1].key_macro.literal);
    unload(&l);
}

/* ---- operators ---- */

static void operators_and_their_arguments(void **state)
{
    (void)state;
    static const struct {
        const char *text, *name, *argument;
        bool negated, literal;
    } rows[] = {
        { "^a b$", "rx", "^a b$", false, true },
        { "!^a", "rx", "^a", true, true },
        { "@rx a ", "rx", "a ", false, true },
        { "! @RX  a", "rx", "a", true, true },
        { "@rx", "rx", "", false, true },
        { "", "rx", "", false, true },
        { "@rx \\\\d\\d", "rx", "\\d\\d", false, true },
        { "@rx %", "rx", "%", false, true },
        { "@rx a%{", "rx", "a%{", false, true },
        { "@rx a%{}b", "rx", "a%{}b", false, true },
        { "@rx ^%{tx.a}$", "rx", "^%{tx.a}$", false, false },
        { "@streq  a b ", "streq", "a b ", false, true },
        { "!@within %{tx.0} x", "within", "%{tx.0} x", true, false },
        { "@pm a  b", "pm", "a  b", false, true },
        { "@pm %{no.macros}", "pm", "%{no.macros}", false, true },
        { "@eq  5 ", "eq", "5", false, true },
        { "@ge %{tx.threshold}", "ge", "%{tx.threshold}", false, false },
        { "@ipMatch 127.0.0.1,::1", "ipMatch", "127.0.0.1,::1", false, true },
        { "@validateByteRange 9,10,13,32-126,128-255", "validateByteRange",
          "9,10,13,32-126,128-255", false, true },
        { "@detectSQLi", "detectSQLi", "", false, true },
        { "@unconditionalMatch", "unconditionalMatch", "", false, true },
        { "@geoLookup", "geoLookup", "", false, true },
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        char line[128];
        struct text text = text_fixed(line, sizeof line - 1);
        text_lit(&text, "SecRule ARGS \"");
        text_add(&text, span_text(rows[i].text));
        text_lit(&text, "\" id:1");
        load_good(&l, text_cstring(&text));
        const struct sec_operator *op = &rule_at(&l, 0)->op;
        assert_string_equal(op->row->name, rows[i].name);
        assert_span(op->argument.source, span_text(rows[i].argument));
        assert_int_equal(op->negated, rows[i].negated);
        assert_int_equal(op->argument.literal, rows[i].literal);
        bool regex = op->row->kind == OPERATOR_REGEX && rows[i].literal;
        assert_true((op->regex != NULL) == regex);
        bool prepared = op->row->compile != NULL && op->argument.source.len > 0;
        assert_true((op->prepared != NULL) == prepared);
        unload(&l);
    }
}

static void equal_patterns_are_compiled_once(void **state)
{
    (void)state;
    load_good(&l, "SecRule ARGS abc id:1\nSecRule TX abc id:2\nSecRule TX:/abc/ abd id:3");
    assert_ptr_equal(rule_at(&l, 0)->op.regex, rule_at(&l, 1)->op.regex);
    assert_ptr_not_equal(rule_at(&l, 0)->op.regex, rule_at(&l, 2)->targets[0].regex);
    unload(&l);
}

static void macros_are_cut(void **state)
{
    (void)state;
    load_good(&l, "SecAction \"id:1,msg:'a %{tx.0}b%{REQUEST_URI}%{rule.id}%{no} 5% "
                  "%{request_headers.user-agent} %{HTTP_HOST} %{x'\"");
    const struct macro *m = &rule_at(&l, 0)->message;
    static const struct {
        enum variable var;
        const char *text;
    } parts[] = {
        { VAR_COUNT, "a " },
        { VAR_TX, "0" },
        { VAR_COUNT, "b" },
        { VAR_REQUEST_URI, "" },
        { VAR_RULE, "id" },
        { VAR_COUNT, "%{no} 5% " },
        { VAR_REQUEST_HEADERS, "user-agent" },
        { VAR_COUNT, " " },
        { VAR_REQUEST_HEADERS, "HOST" },
        { VAR_COUNT, " %{x" },
    };
    assert_false(m->literal);
    assert_int_equal(m->count, ARRAY_LEN(parts));
    for (size_t i = 0; i < ARRAY_LEN(parts); i++) {
        assert_int_equal(m->parts[i].variable, parts[i].var != VAR_COUNT);
        if (m->parts[i].variable)
            assert_int_equal(m->parts[i].var, parts[i].var);
        assert_span(m->parts[i].text, span_text(parts[i].text));
    }
    unload(&l);
}

static enum err load_macros(unsigned count)
{
    char text[SECLANG_MACRO_PARTS_MAX * 16 + 64];
    struct text t = text_fixed(text, sizeof text);
    text_lit(&t, "SecAction id:1,msg:");
    for (unsigned i = 0; i < count; i++)
        text_lit(&t, "%{tx.a}");
    load_text(&l, text_cstring(&t), false);
    enum err err = l.err;
    unload(&l);
    return err;
}

static void macros_are_limited(void **state)
{
    (void)state;
    assert_int_equal(load_macros(SECLANG_MACRO_PARTS_MAX), OK);
    assert_int_equal(load_macros(SECLANG_MACRO_PARTS_MAX + 1), ERR_CONFIG);
}

/* ---- actions ---- */

static void metadata_and_flow(void **state)
{
    (void)state;
    load_good(&l, "SecRule ARGS a \"id:'12',phase:request,deny,status:'418',msg:'it\\'s',"
                  "logdata:'%{tx.0}',ver:'V/1',rev:2,severity:critical,maturity:7,accuracy:8,"
                  "tag:'a',tag:b_%{tx.x},capture,multiMatch,skip:3,nolog,auditlog\"");
    const struct sec_rule *r = rule_at(&l, 0);
    assert_int_equal(r->id, 12);
    assert_int_equal(r->phase, SEC_REQUEST_BODY);
    assert_int_equal(r->disruptive, DISRUPT_DENY);
    assert_int_equal(r->resolved, DISRUPT_DENY);
    assert_int_equal(r->status, 418);
    assert_text(r->message.source, "it's");
    assert_false(r->log_data.literal);
    assert_text(r->version, "V/1");
    assert_text(r->revision, "2");
    assert_int_equal(r->severity, 2);
    assert_text(r->severity_name, "CRITICAL");
    assert_int_equal(r->maturity, 7);
    assert_int_equal(r->accuracy, 8);
    assert_int_equal(r->tag_count, 2);
    assert_text(r->tags[1], "b_%{tx.x}");
    assert_false(r->tag_macros[1].literal);
    assert_true(r->capture && r->multi_match);
    assert_int_equal(r->skip, 3);
    assert_false(r->log);
    assert_true(r->audit_log);
    assert_ptr_equal(r->head, r);
    assert_null(r->next);
    assert_int_equal(r->place.line, 1);
    unload(&l);
}

static void what_is_not_said_has_defaults(void **state)
{
    (void)state;
    load_good(&l, "SecRule ARGS a id:1");
    const struct sec_rule *r = rule_at(&l, 0);
    assert_int_equal(r->phase, SEC_REQUEST_BODY);
    assert_int_equal(r->disruptive, DISRUPT_PASS);
    assert_int_equal(r->resolved, DISRUPT_PASS);
    assert_int_equal(r->status, 403);
    assert_int_equal(r->severity, -1);
    assert_true(r->log && r->audit_log);
    assert_int_equal(r->message.source.len, 0);
    assert_int_equal(r->step_count + r->tag_count + r->transform_count, 0);
    unload(&l);
}

static void disruptive_actions(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        enum sec_disruptive said, resolved;
        int status;
    } rows[] = {
        { "pass", DISRUPT_PASS, DISRUPT_PASS, 403 },
        { "block", DISRUPT_BLOCK, DISRUPT_PASS, 403 },
        { "deny", DISRUPT_DENY, DISRUPT_DENY, 403 },
        { "deny,pass", DISRUPT_PASS, DISRUPT_PASS, 403 },
        { "drop", DISRUPT_DROP, DISRUPT_DROP, 403 },
        { "allow", DISRUPT_ALLOW, DISRUPT_ALLOW, 403 },
        { "allow:phase", DISRUPT_ALLOW_PHASE, DISRUPT_ALLOW_PHASE, 403 },
        { "allow:request", DISRUPT_ALLOW_REQUEST, DISRUPT_ALLOW_REQUEST, 403 },
        { "redirect:http://x/%{tx.a}", DISRUPT_REDIRECT, DISRUPT_REDIRECT, 302 },
        { "status:301,redirect:/x", DISRUPT_REDIRECT, DISRUPT_REDIRECT, 301 },
        { "phase:5,block", DISRUPT_BLOCK, DISRUPT_PASS, 403 },
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        char line[128];
        struct text text = text_fixed(line, sizeof line - 1);
        text_lit(&text, "SecAction id:1,");
        text_add(&text, span_text(rows[i].text));
        load_good(&l, text_cstring(&text));
        const struct sec_rule *r = rule_at(&l, 0);
        assert_int_equal(r->disruptive, rows[i].said);
        assert_int_equal(r->resolved, rows[i].resolved);
        assert_int_equal(r->status, rows[i].status);
        assert_true(r->unconditional);
        unload(&l);
    }
}

static void logs(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        bool log, audit;
    } rows[] = {
        { "log", true, true },
        { "nolog", false, false },
        { "nolog,auditlog", false, true },
        { "auditlog,nolog", false, false },
        { "noauditlog", true, false },
        { "log,noauditlog", true, false },
        { "nolog,log", true, false }, /* log says nothing of the audit log */
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        char line[128];
        struct text text = text_fixed(line, sizeof line - 1);
        text_lit(&text, "SecAction id:1,");
        text_add(&text, span_text(rows[i].text));
        load_good(&l, text_cstring(&text));
        assert_int_equal(rule_at(&l, 0)->log, rows[i].log);
        assert_int_equal(rule_at(&l, 0)->audit_log, rows[i].audit);
        unload(&l);
    }
}

/* ---- chains and lists ---- */

static void chains_are_tied(void **state)
{
    (void)state;
    load_good(&l, "SecRule ARGS a id:1,phase:3,deny,chain,msg:m\n"
                  "  SecRule ARGS b chain,capture\n"
                  "  # between\n"
                  "  SecAction setvar:tx.x=1\n"
                  "SecRule ARGS c id:2\n");
    const struct sec_rule *r = rule_at(&l, 0);
    assert_int_equal(l.program->rule_count, 4);
    assert_ptr_equal(r->next, rule_at(&l, 1));
    assert_ptr_equal(r->next->next, rule_at(&l, 2));
    assert_null(r->next->next->next);
    assert_ptr_equal(rule_at(&l, 2)->head, r);
    assert_int_equal(rule_at(&l, 1)->phase, SEC_RESPONSE_HEADERS);
    assert_int_equal(rule_at(&l, 1)->id, 0);
    assert_true(rule_at(&l, 1)->capture);
    assert_true(rule_at(&l, 2)->unconditional);
    assert_int_equal(l.program->item_count[SEC_RESPONSE_HEADERS], 1);
    assert_int_equal(l.program->item_count[SEC_REQUEST_BODY], 1);
    unload(&l);
}

static void phases_have_their_rules_and_all_markers(void **state)
{
    (void)state;
    load_good(&l, "SecAction id:1,phase:1,skipAfter:END\n"
                  "SecAction id:2,phase:2,skipAfter:4\n"
                  "SecMarker END\n"
                  "SecAction id:3,phase:1\n"
                  "SecAction id:4,phase:2\n"
                  "SecAction id:5,phase:2\n");
    const struct sec_item *items = l.program->items[SEC_REQUEST_HEADERS];
    assert_int_equal(l.program->item_count[SEC_REQUEST_HEADERS], 3);
    assert_int_equal(items[0].rule->id, 1);
    assert_null(items[1].rule);
    assert_text(items[1].marker, "END");
    assert_int_equal(items[2].rule->id, 3);
    /* Behind rule 4, which is named by its id, there is a marker in its phase. */
    items = l.program->items[SEC_REQUEST_BODY];
    assert_int_equal(l.program->item_count[SEC_REQUEST_BODY], 5);
    assert_int_equal(items[2].rule->id, 4);
    assert_text(items[3].marker, "4");
    assert_int_equal(items[4].rule->id, 5);
    assert_int_equal(l.program->item_count[SEC_LOGGING], 1);
    unload(&l);
}

/* Forms that the Core Rule Set 4 and its plugins use and version 3 does not. */
static void texts_go_over_lines_and_links_need_no_actions(void **state)
{
    (void)state;
    load_good(&l, "SecRule &TX:a-b_c \"@eq 0\" \\\n    \"id:1,phase:5,chain,\\\n"
                  "    msg:'Scores: \\\n(in=%{tx.a}, out=%{tx.b}) - \\\n(c)',\\\n"
                  "    skipAfter:END-X\"\n"
                  "    SecRule &TX:d \"@eq 0\"\n"
                  "SecRule ARGS \"!@streq %{ARGS}\" \"id:2,phase:2,t:none,t:base64DecodeExt,"
                  "ctl:ruleRemoveTargetByTag=CRS;ARGS:_target[6][]\"\n"
                  "SecMarker END-X\n");
    assert_text(rule_at(&l, 0)->message.source, "Scores: (in=%{tx.a}, out=%{tx.b}) - (c)");
    assert_int_equal(rule_at(&l, 0)->message.count, 5);
    assert_text(rule_at(&l, 0)->skip_after, "END-X");
    assert_ptr_equal(rule_at(&l, 1)->head, rule_at(&l, 0));
    assert_text(rule_at(&l, 2)->steps[0].target.key, "_target[6][]");
    assert_int_equal(l.diags.warnings, 0);
    unload(&l);
}

/* A pattern may end with a blank, and a message may have quotes. */
static void blanks_and_quotes_inside_stay(void **state)
{
    (void)state;
    load_good(&l, "SecRule RESPONSE_BODY \"@rx ^ <title>shell v[0-9.]+ \" \\\n"
                  "    \"id:1,phase:4,msg:'It\\'s o\\'clock',logdata:'a, b'\"\n"
                  "SecRule ARGS \"@contains  x \" id:2\n"
                  "SecRule TX:SEEN_ARGS_NAMES:id \"!@streq %{tx.2} \" id:3\n");
    assert_span(rule_at(&l, 0)->op.argument.source, SPAN("^ <title>shell v[0-9.]+ "));
    assert_text(rule_at(&l, 0)->message.source, "It's o'clock");
    assert_span(rule_at(&l, 1)->op.argument.source, SPAN("x "));
    assert_text(rule_at(&l, 2)->targets[0].key, "SEEN_ARGS_NAMES:id");
    assert_span(rule_at(&l, 2)->op.argument.source, SPAN("%{tx.2} "));
    unload(&l);
}

static void a_failed_part_keeps_the_chain(void **state)
{
    (void)state;
    load_text(&l, "SecRule ARGX a id:1,chain\nSecRule ARGS @nope nolog\nSecAction id:2", false);
    assert_int_equal(l.diags.errors, 2);
    unload(&l);
}

static enum err load_repeated(const char *before, const char *part, unsigned count,
                              const char *after)
{
    static char text[1 << 20];
    struct text t = text_fixed(text, sizeof text);
    text_add(&t, span_text(before));
    for (unsigned i = 0; i < count; i++)
        text_add(&t, span_text(part));
    text_add(&t, span_text(after));
    load_text(&l, text_cstring(&t), false);
    enum err err = l.err;
    unload(&l);
    return err;
}

static void sizes_are_limited(void **state)
{
    (void)state;
    static const struct {
        const char *before, *part, *after;
        unsigned most;
    } rows[] = {
        { "SecAction id:1,chain\n", "SecAction chain\n", "SecAction nolog\n",
          SECLANG_CHAIN_MAX - 2 },
        { "SecRule \"", "ARGS|", "TX\" a id:1", SECLANG_TARGETS_MAX - 1 },
        { "SecAction \"id:1", ",nolog", "\"", SECLANG_ACTIONS_MAX - 1 },
        { "SecAction \"id:1", ",t:length", "\"", SECLANG_TRANSFORMS_MAX },
        { "SecDefaultAction \"phase:2,pass,t:length\"\nSecAction \"id:1", ",t:length", "\"",
          SECLANG_TRANSFORMS_MAX - 1 },
        { "", "SecMarker x\n", "", 2 * SECLANG_RULES_MAX },
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        assert_int_equal(
            load_repeated(rows[i].before, rows[i].part, rows[i].most, rows[i].after), OK);
        assert_int_equal(
            load_repeated(rows[i].before, rows[i].part, rows[i].most + 1, rows[i].after),
            ERR_CONFIG);
    }
}

static void blocks_are_limited(void **state)
{
    (void)state;
    for (unsigned more = 0; more < 2; more++) {
        static char text[8192];
        struct text t = text_fixed(text, sizeof text);
        unsigned depth = 32 + more;
        for (unsigned i = 0; i < depth; i++)
            text_lit(&t, "<IfModule mod_security2.c>\n");
        for (unsigned i = 0; i < depth; i++)
            text_lit(&t, "</IfModule>\n");
        load_text(&l, text_cstring(&t), false);
        assert_int_equal(l.err, more == 0 ? OK : ERR_CONFIG);
        unload(&l);
    }
}

static void a_rule_shows_its_lines(void **state)
{
    (void)state;
    load_good(&l, "# first\nSecRule ARGS a \\\r\n  \"id:9223372036854775807,chain\"\r\n"
                  "  SecRule TX b\nSecAction id:2");
    assert_true(rule_at(&l, 0)->id == INT64_MAX);
    assert_text(rule_text(rule_at(&l, 0)),
                "SecRule ARGS a \\\r\n  \"id:9223372036854775807,chain\"");
    assert_text(rule_text(rule_at(&l, 1)), "SecRule TX b");
    assert_text(rule_text(rule_at(&l, 2)), "SecAction id:2");
    unload(&l);
}

static void rules_are_limited(void **state)
{
    (void)state;
    static char text[SECLANG_RULES_MAX * 24];
    for (unsigned more = 0; more < 2; more++) {
        struct text t = text_fixed(text, sizeof text);
        for (unsigned i = 0; i < SECLANG_RULES_MAX + more; i++)
            text_format(&t, "SecAction id:%u\n", i + 1);
        load_text(&l, text_cstring(&t), false);
        assert_int_equal(l.err, more == 0 ? OK : ERR_CONFIG);
        unload(&l);
    }
}

static void memory_ends_cleanly(void **state)
{
    (void)state;
    const struct seclang_source source = {
        .path = SPAN("t"),
        .text = SPAN("SecRule ARGS:/x/ \"@rx (a)\" \"id:1,msg:'%{tx.0}',setvar:tx.a=1\"\n"
                     "SecMarker X\nSecRule ARGS \"@pm a b\" id:2,skipAfter:Y\nSecMarker Y\n")
    };
    const struct seclang_options options = { .skip_unsupported = false };
    bool loaded = false;
    for (size_t ceiling = 0; ceiling < 1 << 20; ceiling += 16384) {
        struct arena arena;
        struct sec_program *program;
        arena_init(&arena, NULL, 0, NULL, ceiling);
        diags_init(&l.diags, &arena);
        enum err err = seclang_load(&program, &source, 1, &options, &arena, &l.diags);
        assert_true(err == OK || (err == ERR_MEMORY && !loaded));
        loaded = err == OK;
        if (loaded)
            seclang_free(program);
        arena_reset(&arena);
    }
    assert_true(loaded);
}

static void settings(void **state)
{
    (void)state;
    load_good(&l,
              "<IfModule security2_module>\nSecRuleEngine DetectionOnly\n</IfModule>\n"
              "SecRequestBodyAccess On\nSecResponseBodyAccess Off\n"
              "SecRequestBodyLimit 13107200\nSecRequestBodyNoFilesLimit 131072\n"
              "SecRequestBodyLimitAction Reject\nSecResponseBodyLimitAction ProcessPartial\n"
              "SecResponseBodyLimit 524288\nSecArgumentsLimit 1000\n"
              "SecRequestBodyJsonDepthLimit 512\nSecCollectionTimeout 600\n"
              "SecPcreMatchLimit 1000\nSecPcreMatchLimitRecursion 2000\n"
              "SecArgumentSeparator ;\nSecCookieFormat 1\nSecWebAppId app\n"
              "SecComponentSignature 'CRS/4'\nSecResponseBodyMimeType a/b c/d\n"
              "SecResponseBodyMimeTypesClear\nSecResponseBodyMimeType text/plain text/html\n"
              "SecResponseBodyMimeType text/xml\nSecXmlExternalEntity Off\n"
              "SecHashEngine off\nSecStreamInBodyInspection 0\n");
    const struct sec_settings *s = &l.program->settings;
    assert_true(s->engine_said);
    assert_int_equal(s->engine, ENGINE_DETECT);
    assert_int_equal(s->request_body, YES);
    assert_int_equal(s->response_body, NO);
    assert_int_equal(s->request_body_limit, 13107200);
    assert_int_equal(s->request_body_no_files_limit, 131072);
    assert_int_equal(s->partial_request, NO);
    assert_int_equal(s->partial_response, YES);
    assert_int_equal(s->response_body_limit, 524288);
    assert_int_equal(s->arguments_limit, 1000);
    assert_int_equal(s->json_depth_limit, 512);
    assert_int_equal(s->collection_timeout, 600);
    assert_int_equal(s->pcre_match_limit, 1000);
    assert_int_equal(s->pcre_match_limit_recursion, 2000);
    assert_int_equal(s->argument_separator, ';');
    assert_int_equal(s->cookie_format, 1);
    assert_text(s->web_app_id, "app");
    assert_text(s->component_signature, "CRS/4");
    assert_int_equal(s->response_type_count, 3);
    assert_text(s->response_types[2], "text/xml");
    assert_int_equal(l.diags.warnings, 0);
    unload(&l);
}

int main(void)
{
    return RUN(TEST(targets_have_all_forms), TEST(names_in_keys_may_hold_macros),
               TEST(operators_and_their_arguments), TEST(equal_patterns_are_compiled_once),
               TEST(macros_are_cut), TEST(macros_are_limited), TEST(metadata_and_flow),
               TEST(what_is_not_said_has_defaults), TEST(disruptive_actions), TEST(logs),
               TEST(chains_are_tied), TEST(phases_have_their_rules_and_all_markers),
               TEST(texts_go_over_lines_and_links_need_no_actions),
               TEST(blanks_and_quotes_inside_stay), TEST(a_failed_part_keeps_the_chain),
               TEST(sizes_are_limited), TEST(blocks_are_limited), TEST(a_rule_shows_its_lines),
               TEST(rules_are_limited), TEST(memory_ends_cleanly), TEST(settings));
}
