/* Exclusions: what SecRuleRemove* and SecRuleUpdate* change, and that they look back only. */
#include "tests/unit/rules/seclang/seclang.h"

static struct loaded l;

#define RULES                                                                                  \
    "SecRule ARGS|TX:a a \"id:1,phase:2,msg:'SQL found',tag:attack-sqli,tag:CRS\"\n"           \
    "SecRule ARGS a \"id:2,phase:2,deny,chain,tag:CRS,msg:'xss'\"\n"                           \
    "  SecRule TX:0 b chain\n"                                                                 \
    "  SecRule FILES c nolog\n"                                                                \
    "SecRule ARGS a \"id:3,phase:1,tag:attack-xss\"\n"                                         \
    "SecAction id:9,phase:2\n"

static void load_with(const char *more)
{
    char text[1024];
    struct text t = text_fixed(text, sizeof text);
    text_lit(&t, RULES);
    text_add(&t, span_text(more));
    text_lit(&t, "\nSecRule ARGS a \"id:4,phase:2,msg:'SQL found',tag:attack-sqli\"\n");
    load_good(&l, text_cstring(&t));
}

static void rules_are_removed(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        bool removed[4]; /* 1, 2, 3, 9 */
    } rows[] = {
        { "SecRuleRemoveById 1", { true, false, false, false } },
        { "SecRuleRemoveById 2 3", { false, true, true, false } },
        { "SecRuleRemoveById \"2,9\"", { false, true, false, true } },
        { "SecRuleRemoveById 1-3", { true, true, true, false } },
        { "SecRuleRemoveById \"1 2-8\" 9", { true, true, true, true } },
        { "SecRuleRemoveByTag attack-", { true, false, true, false } },
        { "SecRuleRemoveByTag ^CRS$", { true, true, false, false } },
        { "SecRuleRemoveByMsg \"sql|xss\"", { false, true, false, false } },
        { "SecRuleRemoveByMsg \"SQL found\"", { true, false, false, false } },
    };
    static const unsigned at[] = { 0, 1, 4, 5 };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        load_with(rows[i].text);
        unsigned left = 1; /* rule 4 */
        for (size_t j = 0; j < ARRAY_LEN(at); j++) {
            if (rule_at(&l, at[j])->removed != rows[i].removed[j])
                fail_msg("%s: rule %zu", rows[i].text, j);
            left += rows[i].removed[j] ? 0 : 1;
        }
        assert_false(rule_at(&l, 6)->removed); /* it stands behind */
        assert_int_equal(l.program->item_count[1] + l.program->item_count[2], left);
        assert_int_equal(l.program->rule_count, 7);
        assert_int_equal(l.diags.warnings, 0);
        unload(&l);
    }
}

/* The targets of a rule as the test writes them. */
static void show_targets(const struct sec_rule *rule, char *out, size_t size)
{
    struct text t = text_fixed(out, size - 1);
    for (unsigned i = 0; i < rule->target_count; i++) {
        const struct sec_target *target = &rule->targets[i];
        if (i > 0)
            text_char(&t, '|');
        text_add(&t, target->exclude ? SPAN("!") : target->count ? SPAN("&") : SPAN(""));
        text_add(&t, span_text(variable_rows[target->var].name));
        if (target->key.len > 0)
            text_char(&t, ':');
        text_add(&t, target->key);
    }
    assert_non_null(text_cstring(&t));
}

static void targets_are_updated(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        unsigned rule;
        const char *targets;
    } rows[] = {
        { "SecRuleUpdateTargetById 1 !ARGS:pwd", 0, "ARGS|TX:a|!ARGS:pwd" },
        { "SecRuleUpdateTargetById 1 \"!ARGS:/^p/\"", 0, "ARGS|TX:a|!ARGS:^p" },
        { "SecRuleUpdateTargetById 1 !ARGS:a,!ARGS:b", 0, "ARGS|TX:a|!ARGS:a|!ARGS:b" },
        { "SecRuleUpdateTargetById 1 !ARGS:a|!ARGS:b", 0, "ARGS|TX:a|!ARGS:a|!ARGS:b" },
        { "SecRuleUpdateTargetById 1 ARGS", 0, "ARGS|TX:a" }, /* is there */
        { "SecRuleUpdateTargetById 1 args:A", 0, "ARGS|TX:a|ARGS:A" },
        { "SecRuleUpdateTargetById 1 tx:A", 0, "ARGS|TX:a" },
        { "SecRuleUpdateTargetById 1 FILES ARGS", 0, "TX:a|FILES" },
        { "SecRuleUpdateTargetById 1 FILES|XML TX:A", 0, "ARGS|FILES|XML" },
        { "SecRuleUpdateTargetById 1-3 !ARGS:a", 4, "ARGS|!ARGS:a" },
        { "SecRuleUpdateTargetById 2 !ARGS:a", 1, "ARGS|!ARGS:a" },
        { "SecRuleUpdateTargetById 2 !ARGS:a", 2, "TX:0|!ARGS:a" }, /* all of the chain */
        { "SecRuleUpdateTargetById 2:1 !ARGS:a", 1, "ARGS" },
        { "SecRuleUpdateTargetById 2:1 !ARGS:a", 2, "TX:0|!ARGS:a" },
        { "SecRuleUpdateTargetById 2:2 !ARGS:a", 3, "FILES|!ARGS:a" },
        { "SecRuleUpdateTargetById 2 !ARGS:a ARGS", 2, "TX:0" },
        { "SecRuleUpdateTargetByTag attack- !ARGS:a", 0, "ARGS|TX:a|!ARGS:a" },
        { "SecRuleUpdateTargetByTag attack- !ARGS:a", 4, "ARGS|!ARGS:a" },
        { "SecRuleUpdateTargetByTag attack- !ARGS:a", 1, "ARGS" },
        { "SecRuleUpdateTargetByTag attack- !ARGS:a", 6, "ARGS" }, /* stands behind */
        { "SecRuleUpdateTargetByMsg ^SQL !ARGS:a", 0, "ARGS|TX:a|!ARGS:a" },
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        char shown[256];
        load_with(rows[i].text);
        show_targets(rule_at(&l, rows[i].rule), shown, sizeof shown);
        if (strcmp(shown, rows[i].targets) != 0)
            fail_msg("%s: %s", rows[i].text, shown);
        unload(&l);
    }
}

static void actions_are_updated(void **state)
{
    (void)state;
    load_with("SecRuleUpdateActionById 1 deny,status:429,nolog,t:length,setvar:tx.a=1,msg:new\n"
              "SecRuleUpdateActionById 2 pass\n"
              "SecRuleUpdateActionById 2:1 t:length,capture\n"
              "SecRuleUpdateActionById 3 t:none,skipAfter:END\n"
              "SecRuleUpdateActionById 9 block\nSecMarker END");
    const struct sec_rule *r = rule_at(&l, 0);
    assert_int_equal(r->resolved, DISRUPT_DENY);
    assert_int_equal(r->status, 429);
    assert_false(r->log || r->audit_log);
    assert_text(r->message.source, "new");
    assert_int_equal(r->step_count, 1);
    assert_int_equal(r->transform_count, 1);
    assert_int_equal(r->tag_count, 2);
    assert_int_equal(r->id, 1);
    assert_int_equal(rule_at(&l, 1)->resolved, DISRUPT_PASS);
    assert_non_null(rule_at(&l, 1)->next);
    assert_true(rule_at(&l, 2)->capture);
    assert_int_equal(rule_at(&l, 2)->transform_count, 1);
    assert_text(rule_at(&l, 4)->skip_after, "END");
    assert_int_equal(rule_at(&l, 5)->resolved, DISRUPT_PASS);
    unload(&l);
}

/* What the exclusions of the Core Rule Set 4 look like. */
static void one_cookie_is_taken_out_of_many_rules(void **state)
{
    (void)state;
    load_good(&l, "SecRule REQUEST_COOKIES|!REQUEST_COOKIES:/__utm/|ARGS_NAMES|ARGS|XML:/* "
                  "\"@rx a\" id:941100,phase:2,block\n"
                  "SecRuleUpdateTargetById 941100 \"!REQUEST_COOKIES:/^_ga(?:_\\w+)?$/\"\n"
                  "SecRuleUpdateTargetById 941100 \"!REQUEST_COOKIES:FCCDCF\"\n"
                  "SecRuleUpdateTargetById 941100 !ARGS_NAMES:json.profile\n");
    char shown[256];
    show_targets(rule_at(&l, 0), shown, sizeof shown);
    assert_string_equal(shown, "REQUEST_COOKIES|!REQUEST_COOKIES:__utm|ARGS_NAMES|ARGS|XML:/*|"
                               "!REQUEST_COOKIES:^_ga(?:_\\w+)?$|!REQUEST_COOKIES:FCCDCF|"
                               "!ARGS_NAMES:json.profile");
    unload(&l);
}

int main(void)
{
    return RUN(TEST(rules_are_removed), TEST(targets_are_updated), TEST(actions_are_updated),
               TEST(one_cookie_is_taken_out_of_many_rules));
}
