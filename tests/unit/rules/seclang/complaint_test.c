/* Everything that can be wrong with SecLang: what is said, and where. */
#include "tests/unit/rules/seclang/seclang.h"

struct row {
    const char *text;
    unsigned line, column;
    const char *message, *hint; /* parts of them; hint NULL: any */
};

static bool holds(struct span text, const char *part)
{
    return part == NULL || span_find(text, span_text(part)) >= 0;
}

static const struct diag *find(const struct diags *diags, enum severity severity,
                               const struct row *row)
{
    for (unsigned i = 0; i < diags->count; i++) {
        const struct diag *d = &diags->items[i];
        if (d->severity == severity && holds(d->message, row->message) &&
            holds(d->hint, row->hint) && d->place.line == row->line &&
            d->place.column == row->column)
            return d;
    }
    return NULL;
}

static struct loaded l;

static void expect_errors(const struct row *rows, size_t count)
{
    unsigned failed = 0;
    for (size_t i = 0; i < count; i++) {
        load_text(&l, rows[i].text, false);
        if (l.err != ERR_CONFIG || l.diags.errors != 1 ||
            find(&l.diags, SEVERITY_ERROR, &rows[i]) == NULL) {
            show_diags(&l);
            print_error("%s: wants %u:%u %s\n", rows[i].text, rows[i].line, rows[i].column,
                        rows[i].message);
            failed++;
        }
        unload(&l);
    }
    assert_int_equal(failed, 0);
}

static void expect_warnings(const struct row *rows, size_t count, bool skip)
{
    unsigned failed = 0;
    for (size_t i = 0; i < count; i++) {
        load_text(&l, rows[i].text, skip);
        if (l.err != OK || l.diags.warnings != 1 ||
            find(&l.diags, SEVERITY_WARNING, &rows[i]) == NULL) {
            show_diags(&l);
            print_error("%s: wants %u:%u %s\n", rows[i].text, rows[i].line, rows[i].column,
                        rows[i].message);
            failed++;
        }
        unload(&l);
    }
    assert_int_equal(failed, 0);
}

static void lines_and_directives(void **state)
{
    (void)state;
    static const struct row rows[] = {
        { "SecRulee ARGS a id:1", 1, 1, "unknown directive \"SecRulee\"", "\"SecRule\"" },
        { "SecRule ARGS \"a id:1", 1, 15, "never closed", NULL },
        { "SecRule ARGS", 1, 1, "another number of arguments", "takes 2 to 3, and here are 1" },
        { "SecRule ARGS \"a\"b\" id:1", 1, 20, "another number", "\\\"" },
        { "SecRule ARGS a id:1 x", 1, 21, "another number", "here are 4" },
        { "SecMarker a b", 1, 13, "another number", NULL },
        { "SecResponseBodyMimeType", 1, 1, "another number", "takes 1 or more" },
        { "SecMarker \"\"", 1, 12, "a marker needs a name", NULL },
        { "SecRuleEngine Maybe", 1, 15, "not \"Maybe\"", NULL },
        { "SecRequestBodyAccess 1", 1, 22, "On or Off is needed", NULL },
        { "SecRequestBodyLimit 0", 1, 21, "the number \"0\"", NULL },
        { "SecRequestBodyLimit 1k", 1, 21, "the number \"1k\"", NULL },
        { "SecCookieFormat 2", 1, 17, "the number \"2\"", NULL },
        { "SecRequestBodyLimitAction Stop", 1, 27, "Reject or ProcessPartial", NULL },
        { "SecArgumentSeparator ab", 1, 22, "one character", NULL },
        { "<Location /x>\nSecRulee\n</Location>", 1, 1, "blocks of \"Location\"", "sites" },
        { "<IfModule a b>\n</IfModule>", 1, 1, "takes one name", NULL },
        { "<IfModule security2_module>\n", 1, 1, "is never closed", NULL },
        { "</IfModule>", 1, 1, "no block of \"IfModule\"", NULL },
        { "<IfModule x", 1, 1, "ends in >", NULL },
        { "Include x.conf", 1, 9, "cannot use \"x.conf\"", "not in a file" },
    };
    expect_errors(rows, ARRAY_LEN(rows));
}

static void targets_and_operators(void **state)
{
    (void)state;
    static const struct row rows[] = {
        { "SecRule ARG a id:1", 1, 9, "unknown variable \"ARG\"", "\"ARGS\"" },
        { "SecRule ARGS|!ARGZ:x a id:1", 1, 15, "unknown variable \"ARGZ\"", NULL },
        { "SecRule &REQUEST_URI a id:1", 1, 9, "& counts values", NULL },
        { "SecRule REQUEST_URI:x a id:1", 1, 9, "takes no name", NULL },
        { "SecRule !ARGS:x a id:1", 1, 9, "only takes away", NULL },
        { "SecRule \"\" a id:1", 1, 10, "no target", NULL },
        { "SecRule ARGS:/(/ a id:1", 1, 14, "invalid pattern \"(\"", "parenthesis" },
        { "SecRule ARGS:/a%{tx.b}/ a id:1", 1, 9, "cannot hold macros", NULL },
        { "SecRule ARGS:%{x.y} a id:1", 1, 16, "macro \"x.y\"", NULL },
        { "SecRule \"ARGS||TX\" a id:1", 1, 15, "a name is missing", NULL },
        { "SecRule \"ARGS TX\" a id:1", 1, 15, "a comma is missing before \"T\"", NULL },
        { "SecRule ARGS:'a a id:1", 1, 14, "never closed", NULL },
        { "SecRule \"ARGS:'a\\\\b'\" a id:1", 1, 17, "a backslash stands before", NULL },
        { "SecRule ARGS @rxx id:1", 1, 14, "unknown operator \"@rxx\"", "\"rx\"" },
        { "SecRule ARGS \"@rx a(\" id:1", 1, 19, "invalid pattern \"a(\"", NULL },
        { "SecRule ARGS \"(?<a\" id:1", 1, 15, "invalid pattern", NULL },
        { "SecRule ARGS \"@rx a%{nope.x}\" id:1", 1, 22, "unknown variable in the macro",
          NULL },
        { "SecRule ARGS \"@rx a%{9}\" id:1", 1, 22, "in the macro \"9\"", "\\x25" },
        { "SecRule ARGS \"@streq %{request_uri.x}\" id:1", 1, 24, "takes no name", NULL },
        { "SecRule ARGS \"@eq\" id:1", 1, 15, "\"@eq\" needs an argument", NULL },
        { "SecRule ARGS \"@ipMatch 1.2.3.4.5\" id:1", 1, 24, "cannot use its argument", NULL },
        { "SecRule ARGS \"@pmFromFile /nowhere/x\" id:1", 1, 27, "cannot use", "/nowhere/x" },
        { "SecRule ARGS \"!@inspectFile x\" id:77", 1, 16, "rule 77 cannot run", NULL },
        { "SecRule STREAM_INPUT_BODY a id:1", 1, 9, "\"STREAM_INPUT_BODY\" is not supported",
          "REQUEST_BODY" },
        { "SecRule XML://a/b a id:1", 1, 9, "rule 1 cannot run: \"XML://a/b\"", "XPath" },
    };
    expect_errors(rows, ARRAY_LEN(rows));
}

#define ACTION(list) "SecRule ARGS a \"" list "\""

static void actions(void **state)
{
    (void)state;
    static const struct row rows[] = {
        { ACTION("id:1,denny"), 1, 22, "unknown action \"denny\"", "\"deny\"" },
        { ACTION("id:1,msg"), 1, 22, "needs a value", NULL },
        { ACTION("id:1,deny:x"), 1, 22, "takes no value", NULL },
        { ACTION("id:0"), 1, 20, "above 0, not \"0\"", NULL },
        { ACTION("id:9223372036854775808"), 1, 20, "above 0", NULL },
        { ACTION("id:x1"), 1, 20, "above 0, not \"x1\"", NULL },
        { ACTION("id:1,phase:6"), 1, 28, "a phase is 1 to 5", NULL },
        { ACTION("id:1,phase:0"), 1, 28, "a phase is 1 to 5", NULL },
        { ACTION("id:1,status:99"), 1, 29, "from 200 to 599", NULL },
        { ACTION("id:1,status:600"), 1, 29, "from 200 to 599", NULL },
        { ACTION("id:1,allow:all"), 1, 28, "phase, request or nothing", NULL },
        { ACTION("id:1,severity:8"), 1, 31, "0 to 7", NULL },
        { ACTION("id:1,severity:'BAD'"), 1, 32, "not \"BAD\"", NULL },
        { ACTION("id:1,accuracy:11"), 1, 31, "1 to 9", NULL },
        { ACTION("id:1,skip:x"), 1, 27, "number of rules", NULL },
        { ACTION("id:1,skipAfter:X"), 1, 22, "no marker \"X\"", NULL },
        { ACTION("id:1,t:lowercas"), 1, 24, "unknown transformation", "\"lowercase\"" },
        { ACTION("id:1,exec:/bin/x"), 1, 22, "\"exec\" is not supported", "no program" },
        { ACTION("id:1,proxy:http://x"), 1, 22, "rule 1 cannot run", "route" },
        { ACTION("id:1,append:x"), 1, 22, "\"append\" is not supported", NULL },
        { ACTION("id:1,prepend:x"), 1, 22, "\"prepend\" is not supported", NULL },
        { ACTION("id:1,pause:5"), 1, 22, "\"pause\" is not supported", NULL },
        { ACTION("id:1,setvar:x=1"), 1, 29, "collection.name, not \"x\"", NULL },
        { ACTION("id:1,setvar:tx.=1"), 1, 29, "collection.name", NULL },
        { ACTION("id:1,setvar:ty.a=1"), 1, 29, "unknown collection \"ty\"", "\"tx\"" },
        { ACTION("id:1,setvar:!tx.a=1"), 1, 29, "has no value", NULL },
        { ACTION("id:1,setvar:tx.a=%{rule_id}"), 1, 36, "in the macro \"rule_id\"", NULL },
        { ACTION("id:1,setvar:tx.%{no}=1"), 1, 34, "in the macro \"no\"", NULL },
        { ACTION("id:1,expirevar:ip.a=soon"), 1, 37, "takes seconds", NULL },
        { ACTION("id:1,deprecatevar:ip.a=60"), 1, 40, "as in ip.name=60/300", NULL },
        { ACTION("id:1,deprecatevar:ip.a=60/0"), 1, 40, "as in ip.name=60/300", NULL },
        { ACTION("id:1,initcol:ip"), 1, 30, "a collection and its key", NULL },
        { ACTION("id:1,initcol:tx=1"), 1, 30, "\"tx\" is there in every", NULL },
        { ACTION("id:1,setenv:=1"), 1, 29, "name=value", NULL },
        { ACTION("id:1,sanitiseMatchedBytes:4"), 1, 43, "as in 1/4", NULL },
        { ACTION("id:1,ctl:ruleEngine"), 1, 26, "name=value", NULL },
        { ACTION("id:1,ctl:ruleEngin=On"), 1, 26, "unknown ctl", "\"ruleEngine\"" },
        { ACTION("id:1,ctl:ruleEngine=1"), 1, 37, "DetectionOnly is needed", NULL },
        { ACTION("id:1,ctl:requestBodyAccess=x"), 1, 44, "On or Off", NULL },
        { ACTION("id:1,ctl:ruleRemoveById=a"), 1, 41, "not \"a\"", NULL },
        { ACTION("id:1,ctl:ruleRemoveById=9-1"), 1, 41, "not \"9-1\"", NULL },
        { ACTION("id:1,ctl:ruleRemoveByTag=("), 1, 42, "invalid pattern", NULL },
        { ACTION("id:1,ctl:ruleRemoveTargetById=1"), 1, 47, "a target is missing", NULL },
        { ACTION("id:1,ctl:ruleRemoveTargetById=1;ARG"), 1, 49, "unknown variable", NULL },
        { ACTION("id:1,ctl:ruleRemoveTargetById=1;!ARGS"), 1, 49, "without ! and &", NULL },
        { ACTION("id:1,ctl:auditEngine=Maybe"), 1, 38, "RelevantOnly is needed", NULL },
        { ACTION("id:1,ctl:auditLogParts=+L"), 1, 40, "from A to K", NULL },
        { ACTION("id:1,ctl:requestBodyProcessor=YAML"), 1, 47, "URLENCODED", NULL },
        { ACTION("id:1,ctl:requestBodyLimit=1k"), 1, 43, "a number", NULL },
        { ACTION("id:1,ctl:hashEngine=On"), 1, 22, "rule 1 cannot run", NULL },
        { ACTION("id:1,msg:'a\\\\b'"), 1, 28, "a backslash stands before", NULL },
        { ACTION("id:1,msg:'a"), 1, 26, "never closed", NULL },
        { ACTION("id:1,deny log"), 1, 27, "a comma is missing before \"l\"", NULL },
        { ACTION("id:1,deny,,log"), 1, 27, "a name is missing", NULL },
        { ACTION(":x"), 1, 17, "a name is missing", NULL },
    };
    expect_errors(rows, ARRAY_LEN(rows) - 1);
    /* The last has no id either. */
    load_text(&l, rows[ARRAY_LEN(rows) - 1].text, false);
    assert_int_equal(l.diags.errors, 2);
    assert_non_null(find(&l.diags, SEVERITY_ERROR, &rows[ARRAY_LEN(rows) - 1]));
    unload(&l);
}

static void rules_and_chains(void **state)
{
    (void)state;
    static const struct row rows[] = {
        { "SecRule ARGS a deny", 1, 1, "the rule has no id", NULL },
        { "SecRule ARGS a", 1, 1, "the rule has no id", NULL },
        { "SecAction pass", 1, 1, "the rule has no id", NULL },
        { "SecAction id:1\nSecAction id:1", 2, 11, "another rule has the id \"1\"", NULL },
        { "SecAction id:1,chain", 1, 1, "the chain ends with its file", NULL },
        { "SecAction id:1,chain\nSecRule ARGS a chain", 2, 1, "the chain ends", NULL },
        { "SecAction id:1,chain\nSecAction id:2", 2, 11, "has an id", NULL },
        { "SecAction id:1,chain\nSecAction deny", 2, 11, "says what happens", NULL },
        { "SecAction id:1,chain\nSecAction block", 2, 11, "says what happens", NULL },
        { "SecAction id:1,chain\nSecAction phase:2", 2, 11, "names its phase", NULL },
        { "SecAction id:1,chain\nSecAction skip:2", 2, 11, "skips others", NULL },
        { "SecAction id:1,chain\nSecAction skipAfter:X\nSecMarker X", 2, 11, "skips others",
          NULL },
        { "SecAction id:1,chain\nSecAction msg:x", 2, 11, "has metadata", NULL },
        { "SecAction id:1,chain\nSecAction severity:2", 2, 11, "has metadata", NULL },
        { "SecAction id:1,chain\nSecMarker X\nSecAction nolog", 2, 1, "inside of a chain",
          NULL },
        { "SecAction id:1,phase:5,deny", 1, 24, "nothing can be stopped", NULL },
        { "SecMarker X\nSecAction id:1,skipAfter:X", 2, 16, "stands before", NULL },
        { "SecAction id:1,skipAfter:END-\nSecMarker END-X", 1, 16, "no marker", "\"END-X\"" },
        { "SecAction id:1\nSecAction id:2,skipAfter:1", 2, 16, "stands before", NULL },
        { "SecAction id:1,phase:1,skipAfter:2\nSecAction id:2,phase:2", 1, 24, "no marker",
          NULL },
        { "SecDefaultAction phase:1,log", 1, 1, "what happens", NULL },
        { "SecDefaultAction phase:1,block", 1, 1, "what happens", NULL },
        { "SecDefaultAction deny", 1, 1, "name a phase", NULL },
        { "SecDefaultAction phase:1,deny,id:1", 1, 31, "no metadata", NULL },
        { "SecDefaultAction phase:1,deny,chain", 1, 31, "no chain", NULL },
        { "SecDefaultAction phase:1,deny,skip:1", 1, 31, "no skip", NULL },
        { "SecDefaultAction phase:1,exec:x", 1, 26, "\"exec\" is not supported", NULL },
        { "SecRuleRemoveById x", 1, 19, "range of ids", NULL },
        { "SecRuleRemoveById 1:1", 1, 19, "only whole chains", NULL },
        { "SecRuleRemoveByTag (", 1, 20, "invalid pattern", NULL },
        { "SecRuleUpdateTargetById 1 !ARG", 1, 28, "unknown variable", NULL },
        { "SecRuleUpdateTargetById 1 ARGS ARGS|TX", 1, 32, "one target can be replaced", NULL },
        { "SecRuleUpdateTargetById 1 USERAGENT_IP", 1, 27, "is not supported", "REMOTE_ADDR" },
        { "SecAction id:1\nSecRuleUpdateActionById 1 id:2", 2, 27, "cannot be changed", NULL },
        { "SecAction id:1\nSecRuleUpdateActionById 1 phase:2", 2, 27, "cannot be changed",
          NULL },
        { "SecAction id:1,chain\nSecAction nolog\nSecRuleUpdateActionById 1:1 deny", 3, 29,
          "only the first rule", NULL },
        { "SecAction id:1\nSecRuleUpdateActionById 1 exec:x", 2, 27, "not supported", NULL },
    };
    expect_errors(rows, ARRAY_LEN(rows));
}

static void what_is_not_done_is_an_error_or_left_out(void **state)
{
    (void)state;
    static const char *const refused[] = {
        "SecHashEngine On",           "SecHashKey a b",
        "SecRuleScript x.lua",        "SecRemoteRules key https://x",
        "SecXmlExternalEntity On",    "SecHttpBlKey x",
        "SecGsbLookupDb x",           "SecGuardianLog x",
        "SecContentInjection On",     "SecStreamOutBodyInspection On",
        "SecUploadKeepFiles On",      "SecPdfProtect On",
        "SecTmpSaveUploadedFiles On", "SecParseXmlIntoArgs On",
    };
    for (size_t i = 0; i < ARRAY_LEN(refused); i++) {
        struct row row = { refused[i], 1, 1, "is not supported", NULL };
        expect_errors(&row, 1);
        row.message = "is left out: not supported";
        expect_warnings(&row, 1, true);
    }
    static const struct row rules[] = {
        { "SecRule ARGS \"@inspectFile x\" id:7", 1, 15, "rule 7 is left out", NULL },
        { "SecAction id:7,chain\nSecRule FILES \"@fuzzyHash x 1\" log", 2, 16,
          "rule 7 is left out", NULL },
        { "SecAction id:7,exec:x", 1, 16, "rule 7 is left out", NULL },
        { "SecRule SCRIPT_UID a id:7", 1, 9, "rule 7 is left out", NULL },
        { "SecRule XML://a a id:7", 1, 9, "rule 7 is left out", NULL },
        { "SecRule XML \"@validateSchema x\" id:7", 1, 14, "rule 7 is left out", NULL },
    };
    expect_warnings(rules, ARRAY_LEN(rules), true);
    for (size_t i = 0; i < ARRAY_LEN(rules); i++) {
        load_text(&l, rules[i].text, true);
        assert_int_equal(l.program->left_out, 1);
        assert_int_equal(l.program->item_count[SEC_REQUEST_BODY], 0);
        assert_true(rule_at(&l, 0)->left_out);
        unload(&l);
    }
}

static void warnings(void **state)
{
    (void)state;
    static const struct row rows[] = {
        { "SecAuditLog /x", 1, 1, "\"SecAuditLog\" has no effect", "audit" },
        { "SecDebugLogLevel 3", 1, 1, "has no effect", NULL },
        { "SecUnicodeMapFile unicode.mapping 20127", 1, 1, "has no effect", "%u" },
        { "SecRule TX:IP \"@rbl x.org\" id:9", 1, 16, "rule 9 is left out", "network" },
        { "<IfModule mod_geoip.c>\nSecRulee\n</IfModule>", 1, 11, "left out", NULL },
        { "<IfDefine X>\n<Location x>\n</Location>\n</IfDefine>", 1, 11, "left out", NULL },
        { "<IfModule !mod_security2.c>\n</IfModule>", 1, 11, "left out", NULL },
        { "SecAction \"id:1,msg:'%{nope} x'\"", 1, 24, "stays as it is", NULL },
        { "SecAction \"id:1,logdata:'%{request_uri.x}'\"", 1, 28, "stays as it is", NULL },
        { "SecAction \"id:1,setvar:tx.a='b'\"", 1, 29, "part of the value", "around all" },
        { "SecAction id:1,xmlns:a=b", 1, 16, "\"xmlns\" has no effect", NULL },
        { "SecAction id:1,expirevar:tx.a=1", 1, 16, "ends with its transaction", NULL },
        { "SecAction id:1,ctl:debugLogLevel=3", 1, 16, "has no effect", NULL },
        { "SecAction \"id:1 phase:2\"", 1, 17, "a comma is missing", NULL },
        { "SecRule ARGS:/a a id:1", 1, 14, "taken as a name", NULL },
        { "SecRule ARGS \" @rx a\" id:1", 1, 15, "taken as a pattern", NULL },
        { "SecRuleRemoveById 5", 1, 19, "no rule that stands before", NULL },
        { "SecRuleUpdateTargetByTag x !ARGS:a", 1, 26, "no rule that stands before", NULL },
        { "SecRuleUpdateActionById 5 pass", 1, 25, "no rule that stands before", NULL },
        { "SecRule ARGS a id:1\nSecRuleUpdateTargetById 1 TX FILES", 2, 30, "is replaced",
          NULL },
    };
    expect_warnings(rows, ARRAY_LEN(rows), false);
}

static void complaints_come_in_one_run_and_are_capped(void **state)
{
    (void)state;
    load_text(&l, "SecA\nSecRule ARG @rxx id:0\nSecMarker\n", false);
    assert_int_equal(l.diags.errors, 5);
    unload(&l);

    char text[5 * (DIAGS_MAX + 50) + 1];
    for (size_t i = 0; i < DIAGS_MAX + 50; i++)
        memcpy(text + 5 * i, "SecA\n", 6);
    load_text(&l, text, false);
    assert_int_equal(l.err, ERR_CONFIG);
    assert_int_equal(l.diags.errors, DIAGS_MAX);
    unload(&l);
}

static void a_duplicate_shows_both(void **state)
{
    (void)state;
    load_text(&l, "SecAction id:1\nSecAction id:1", false);
    assert_int_equal(l.diags.items[0].other.line, 1);
    unload(&l);
}

static void a_nul_is_refused(void **state)
{
    (void)state;
    const struct seclang_source source = { .path = SPAN("t"),
                                           .text = SPAN("SecAction id:1\nSec\0Rule") };
    load_sources(&l, &source, 1, false);
    assert_int_equal(l.err, ERR_CONFIG);
    assert_int_equal(l.diags.items[0].place.line, 2);
    assert_int_equal(l.diags.items[0].place.column, 4);
    unload(&l);
}

int main(void)
{
    return RUN(TEST(lines_and_directives), TEST(targets_and_operators), TEST(actions),
               TEST(rules_and_chains), TEST(what_is_not_done_is_an_error_or_left_out),
               TEST(warnings), TEST(complaints_come_in_one_run_and_are_capped),
               TEST(a_duplicate_shows_both), TEST(a_nul_is_refused));
}
