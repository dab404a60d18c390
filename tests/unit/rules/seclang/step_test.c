/* What actions leave behind: variables, collections, ctl, masks; and what defaults add. */
#include "tests/unit/rules/seclang/seclang.h"

static struct loaded l;

/* ---- steps ---- */

static void variables_are_set_in_all_forms(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        int kind;
        enum sec_collection collection;
        const char *name, *value;
    } rows[] = {
        { "setvar:tx.a", STEP_SETVAR, COLLECTION_TX, "a", "1" },
        { "setvar:tx.a=", STEP_SETVAR, COLLECTION_TX, "a", "" },
        { "setvar:tx.a=b=c", STEP_SETVAR, COLLECTION_TX, "a", "b=c" },
        { "setvar:TX.A.b=c", STEP_SETVAR, COLLECTION_TX, "A.b", "c" },
        { "setvar:'tx.a=|%{tx.0}| x,y'", STEP_SETVAR, COLLECTION_TX, "a", "|%{tx.0}| x,y" },
        { "setvar:tx.a=+5", STEP_ADDVAR, COLLECTION_TX, "a", "5" },
        { "setvar:tx.a=-5", STEP_ADDVAR, COLLECTION_TX, "a", "-5" },
        { "setvar:'tx.a= +%{tx.b}'", STEP_ADDVAR, COLLECTION_TX, "a", "%{tx.b}" },
        { "setvar:tx.a_%{rule.id}=+%{tx.b}", STEP_ADDVAR, COLLECTION_TX, "a_%{rule.id}",
          "%{tx.b}" },
        { "setvar:!tx.a", STEP_UNSETVAR, COLLECTION_TX, "a", "" },
        { "setvar:ip.a=1", STEP_SETVAR, COLLECTION_IP, "a", "1" },
        { "setvar:global.a=1", STEP_SETVAR, COLLECTION_GLOBAL, "a", "1" },
        { "setvar:session.a=1", STEP_SETVAR, COLLECTION_SESSION, "a", "1" },
        { "setvar:user.a=1", STEP_SETVAR, COLLECTION_USER, "a", "1" },
        { "setvar:resource.a=1", STEP_SETVAR, COLLECTION_RESOURCE, "a", "1" },
        { "expirevar:'ip.a=60'", STEP_EXPIREVAR, COLLECTION_IP, "a", "60" },
        { "expirevar:ip.a=%{tx.t}", STEP_EXPIREVAR, COLLECTION_IP, "a", "%{tx.t}" },
        { "deprecatevar:session.a=60/300", STEP_DEPRECATEVAR, COLLECTION_SESSION, "a",
          "60/300" },
        { "initcol:ip=%{remote_addr}_%{tx.h}", STEP_INITCOL, COLLECTION_IP, "ip",
          "%{remote_addr}_%{tx.h}" },
        { "initcol:global=global", STEP_INITCOL, COLLECTION_GLOBAL, "global", "global" },
        { "setsid:%{request_cookies.s}", STEP_SETSID, COLLECTION_SESSION, "",
          "%{request_cookies.s}" },
        { "setuid:x", STEP_SETUID, COLLECTION_USER, "", "x" },
        { "setrsc:x", STEP_SETRSC, COLLECTION_RESOURCE, "", "x" },
        { "setenv:a=b", STEP_SETENV, COLLECTION_ENV, "a", "b" },
        { "setenv:a", STEP_SETENV, COLLECTION_ENV, "a", "1" },
        { "setenv:!a", STEP_UNSETVAR, COLLECTION_ENV, "a", "1" },
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        char line[128];
        struct text text = text_fixed(line, sizeof line - 1);
        text_lit(&text, "SecAction \"id:1,");
        text_add(&text, span_text(rows[i].text));
        text_lit(&text, "\"");
        load_good(&l, text_cstring(&text));
        const struct sec_rule *r = rule_at(&l, 0);
        assert_int_equal(r->step_count, 1);
        assert_int_equal(r->steps[0].kind, rows[i].kind);
        assert_int_equal(r->steps[0].collection, rows[i].collection);
        assert_span(r->steps[0].name.source, span_text(rows[i].name));
        assert_span(r->steps[0].value.source, span_text(rows[i].value));
        unload(&l);
    }
}

static void controls(void **state)
{
    (void)state;
    load_good(&l, "SecAction \"id:1,ctl:ruleRemoveById=5,ctl:'ruleRemoveById=7-9,12',"
                  "ctl:ruleRemoveByTag=^a,ctl:ruleRemoveTargetById=5;ARGS:pwd,"
                  "ctl:'ruleRemoveTargetById=5;ARGS:a,TX',"
                  "ctl:ruleRemoveTargetByTag=CRS;REQUEST_COOKIES:/^x/,ctl:ruleEngine=Off,"
                  "ctl:ruleEngine=DetectionOnly,ctl:requestBodyProcessor=xml,"
                  "ctl:forceRequestBodyVariable=On,ctl:auditEngine=Off,ctl:auditLogParts=+E,"
                  "ctl:requestBodyLimit=100,ctl:'ruleRemoveByMsg=a b',ctl:hashEngine=off\"");
    const struct sec_rule *r = rule_at(&l, 0);
    static const enum sec_ctl ctls[] = {
        CTL_RULE_REMOVE_BY_ID,
        CTL_RULE_REMOVE_BY_ID,
        CTL_RULE_REMOVE_BY_ID,
        CTL_RULE_REMOVE_BY_TAG,
        CTL_RULE_REMOVE_TARGET_BY_ID,
        CTL_RULE_REMOVE_TARGET_BY_ID,
        CTL_RULE_REMOVE_TARGET_BY_ID,
        CTL_RULE_REMOVE_TARGET_BY_TAG,
        CTL_RULE_ENGINE,
        CTL_RULE_ENGINE,
        CTL_REQUEST_BODY_PROCESSOR,
        CTL_FORCE_REQUEST_BODY_VARIABLE,
        CTL_AUDIT_ENGINE,
        CTL_AUDIT_LOG_PARTS,
        CTL_REQUEST_BODY_LIMIT,
        CTL_RULE_REMOVE_BY_MSG,
        CTL_HASH_ENGINE,
    };
    const struct sec_step *s = r->steps;
    assert_int_equal(r->step_count, ARRAY_LEN(ctls));
    for (size_t i = 0; i < ARRAY_LEN(ctls); i++) {
        assert_int_equal(s[i].kind, STEP_CTL);
        assert_int_equal(s[i].ctl, ctls[i]);
    }
    assert_true(s[0].id_from == 5 && s[0].id_to == 5);
    assert_true(s[1].id_from == 7 && s[1].id_to == 9);
    assert_true(s[2].id_from == 12 && s[2].id_to == 12);
    assert_text(s[3].tag, "^a");
    assert_non_null(s[3].regex);
    assert_int_equal(s[4].target.var, VAR_ARGS);
    assert_text(s[4].target.key, "pwd");
    assert_int_equal(s[6].target.var, VAR_TX);
    assert_int_equal(s[7].target.key_kind, KEY_REGEX);
    assert_int_equal(s[8].option, ENGINE_OFF);
    assert_int_equal(s[9].option, ENGINE_DETECT);
    assert_text(s[10].value.source, "XML");
    assert_int_equal(s[11].option, 1);
    assert_text(s[13].value.source, "+E");
    assert_int_equal(s[14].number, 100);
    unload(&l);
}

static void masks(void **state)
{
    (void)state;
    load_good(&l, "SecAction id:1,sanitiseArg:password,sanitizeMatched,"
                  "sanitiseMatchedBytes:1/4,sanitiseRequestHeader:Authorization");
    const struct sec_step *s = rule_at(&l, 0)->steps;
    assert_int_equal(rule_at(&l, 0)->step_count, 4);
    assert_int_equal(s[0].sanitise, VAR_ARGS);
    assert_text(s[0].name.source, "password");
    assert_int_equal(s[1].sanitise, VAR_MATCHED_VARS);
    assert_false(s[1].sanitise_bytes);
    assert_true(s[2].sanitise_bytes);
    assert_int_equal(s[2].keep_first, 1);
    assert_int_equal(s[2].keep_last, 4);
    assert_int_equal(s[3].sanitise, VAR_REQUEST_HEADERS);
    unload(&l);
}

/* ---- defaults ---- */

static void defaults_are_merged(void **state)
{
    (void)state;
    load_good(&l, "SecDefaultAction phase:1,deny,status:406,nolog,t:lowercase,setvar:tx.d=1\n"
                  "SecRule ARGS a id:1,phase:1,t:urlDecode,setvar:tx.r=2,tag:r\n"
                  "SecRule ARGS a id:2,phase:1,t:none,t:length,block,log\n"
                  "SecRule ARGS a id:3,phase:1,t:none,pass,chain\n"
                  "  SecRule ARGS b t:length\n"
                  "SecRule ARGS a id:4\n"
                  "SecRule ARGS a id:5,phase:3\n"
                  "SecDefaultAction phase:2,drop\n"
                  "SecRule ARGS a id:6,phase:1,block\n"
                  "SecRule ARGS a id:7,block\n"
                  "SecRule ARGS a id:8,phase:5\n");
    const struct sec_rule *r = rule_at(&l, 0);
    assert_int_equal(r->resolved, DISRUPT_DENY);
    assert_int_equal(r->status, 406);
    assert_false(r->log);
    assert_int_equal(r->transform_count, 2);
    assert_string_equal(r->transforms[0]->name, "lowercase");
    assert_string_equal(r->transforms[1]->name, "urlDecode");
    assert_int_equal(r->step_count, 2);
    assert_text(r->steps[0].name.source, "d");
    assert_text(r->steps[1].name.source, "r");

    r = rule_at(&l, 1);
    assert_int_equal(r->disruptive, DISRUPT_BLOCK);
    assert_int_equal(r->resolved, DISRUPT_DENY);
    assert_int_equal(r->transform_count, 1);
    assert_string_equal(r->transforms[0]->name, "length");
    assert_true(r->log);
    assert_int_equal(rule_at(&l, 2)->resolved, DISRUPT_PASS);
    assert_int_equal(rule_at(&l, 2)->transform_count, 0);
    assert_int_equal(rule_at(&l, 3)->transform_count, 2); /* a link has them, too */

    /* No phase: the last default's, and no default of the phase: the last one. */
    assert_int_equal(rule_at(&l, 4)->phase, SEC_REQUEST_HEADERS);
    assert_int_equal(rule_at(&l, 5)->phase, SEC_RESPONSE_HEADERS);
    assert_int_equal(rule_at(&l, 5)->resolved, DISRUPT_DENY);
    /* Each phase has its own. */
    assert_int_equal(rule_at(&l, 6)->resolved, DISRUPT_DENY);
    assert_int_equal(rule_at(&l, 7)->resolved, DISRUPT_DROP);
    assert_int_equal(rule_at(&l, 7)->phase, SEC_REQUEST_BODY);
    /* When it is logged nothing can be stopped. */
    assert_int_equal(rule_at(&l, 8)->resolved, DISRUPT_PASS);
    unload(&l);
}

int main(void)
{
    return RUN(TEST(variables_are_set_in_all_forms), TEST(controls), TEST(masks),
               TEST(defaults_are_merged));
}
