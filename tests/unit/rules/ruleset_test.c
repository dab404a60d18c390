/* A rule set as it is configured: which files, in which order, and what is missing. */
#include "rules/ruleset.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "rules/waf.h"
#include "tests/unit/check.h"
#include "tests/unit/stage_kit.h"

static struct kit kit;
static char folder[64];

static const char *path_of(const char *name)
{
    static char path[512];
    snprintf(path, sizeof(path), "%s/%s", folder, name);
    return path;
}

/* One rule each, so that the order of rules is the order of files. */
static void put(const char *name, unsigned id)
{
    FILE *file = fopen(path_of(name), "w");
    assert_non_null(file);
    fprintf(file, "SecRule ARGS \"@rx a\" \"id:%u,phase:2,pass,nolog\"\n", id);
    assert_int_equal(fclose(file), 0);
}

static int make_files(void **state)
{
    static const char *const folders[] = { "crs", "crs/rules", "crs/plugins",
                                           "own", "bare",      "bare/rules" };
    static const struct {
        const char *name;
        unsigned id;
    } files[] = {
        { "crs/crs-setup.conf", 1 },
        { "crs/plugins/a-config.conf", 2 },
        { "crs/plugins/a-before.conf", 4 },
        { "crs/rules/B.conf", 6 },
        { "crs/rules/A.conf", 5 },
        { "crs/rules/ignored.conf.example", 99 },
        { "crs/plugins/a-after.conf", 7 },
        { "own/2.conf", 12 },
        { "own/1.conf", 11 },
        { "own/last.conf", 20 },
        { "bare/rules/X.conf", 5 },
        { "bare/crs-setup.conf.example", 1 },
        { "own/setup.conf", 3 },
    };
    (void)state;
    snprintf(folder, sizeof(folder), "/tmp/ruleset-test.XXXXXX");
    if (mkdtemp(folder) == NULL)
        return -1;
    for (size_t i = 0; i < ARRAY_LEN(folders); i++) {
        if (mkdir(path_of(folders[i]), 0700) != 0)
            return -1;
    }
    for (size_t i = 0; i < ARRAY_LEN(files); i++)
        put(files[i].name, files[i].id);
    return 0;
}

static int remove_files(void **state)
{
    char command[128];
    (void)state;
    snprintf(command, sizeof(command), "rm -rf '%s'", folder);
    return system(command);
}

/* `yaml` with each %s replaced by the folder. */
static bool configure(const char *yaml)
{
    kit_open(&kit, &waf_stage);
    struct text text = text_growing(&kit.config_arena, 512);
    struct span rest = span_text(yaml), part;
    for (bool first = true; span_cut(&rest, '%', &part); first = false) {
        if (!first)
            text_add(&text, span_text(folder));
        text_add(&text, part);
    }
    return kit_configure(&kit, text_cstring(&text), NULL);
}

/* Ids of all rules, in their order. */
static struct span order(void)
{
    const struct waf_conf *conf = kit.instance.conf;
    struct text text = text_growing(&kit.config_arena, 256);
    const struct sec_program *program = conf->set->program;
    for (unsigned i = 0; i < program->rule_count; i++)
        text_format(&text, i == 0 ? "%llu" : " %llu",
                    (unsigned long long)program->rules[i]->id);
    return text_span(&text);
}

static void check_order(const char *yaml, const char *want)
{
    if (!configure(yaml))
        fail_msg("%s: %s", yaml, kit_complaint(&kit));
    assert_span(order(), span_text(want));
    kit_close(&kit);
}

static void order_of_files(void **state)
{
    (void)state;
    check_order("{ruleset: crs, crs: {path: %/crs/rules}}", "1 2 4 5 6 7");
    check_order("{ruleset: crs, crs: %/crs/rules, paranoia: 3}", "1 19000001 2 4 5 6 7");
    check_order("{ruleset: crs, crs: {path: %/crs/rules}, "
                "seclang: {before: [%/own/1.conf], after: [%/own/last.conf]}}",
                "1 2 11 4 5 6 7 20");
    check_order(
        "{ruleset: crs, crs: {path: %/crs/rules, setup: [%/own/setup.conf]}, paranoia: 1,"
        " exclude: [{rules: [6], paths: [/x], reason: r}]}",
        "3 19000001 2 19000100 4 5 6 7");
    check_order("{ruleset: crs, crs: %/bare/rules}", "1 5");
}

/* Of a set that nobody asked for by name. */
static void found_by_itself(void **state)
{
    (void)state;
    check_order("{crs: %/crs/rules}", "1 19000002 2 4 5 6 7");
    check_order("{ruleset: auto, crs: %/crs/rules, paranoia: 2}",
                "1 19000001 19000002 2 4 5 6 7");
    assert_true(configure("{crs: %/crs/rules, rules: [{name: a, match: x}]}"));
    const struct waf_conf *conf = kit.instance.conf;
    struct text text = text_growing(&kit.config_arena, 128);
    assert_int_equal(conf->set->conf.base, RULESET_CRS);
    assert_true(conf->set->seclang);
    ruleset_describe(conf->set, &text);
    assert_true(span_starts(text_span(&text), SPAN("OWASP Core Rule Set (/tmp/ruleset-test.")));
    assert_true(span_ends(text_span(&text), SPAN(", 8 rules, 1 of the configuration")));
    kit_close(&kit);
    if (configure("{crs: %/nowhere}"))
        fail_msg("a set that is named has to be there");
    kit_close(&kit);
}

static void without_the_core_rule_set(void **state)
{
    (void)state;
    check_order("{ruleset: none, seclang: %/own/last.conf}", "20");
    check_order(
        "{ruleset: none, seclang: {before: [%/own/last.conf], after: [\"%/own/?.conf\"]}}",
        "20 11 12");
    check_order("{ruleset: none, seclang: %/crs/rules}", "5 6");
}

static void what_is_missing(void **state)
{
    static const struct {
        const char *yaml, *says;
    } rows[] = {
        { "{ruleset: crs, crs: %/nowhere}", "there is no folder" },
        { "{ruleset: crs, crs: %/own}", "no crs-setup.conf beside" },
        { "{ruleset: none, seclang: %/nowhere.conf}", "nowhere.conf" },
        { "{ruleset: crs, crs: {path: %/crs/rules, setup: [%/nowhere.conf]}}", "nowhere.conf" },
    };
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        if (configure(rows[i].yaml))
            fail_msg("%s was taken", rows[i].yaml);
        if (strstr(kit_complaint(&kit), rows[i].says) == NULL)
            fail_msg("%s: %s", rows[i].yaml, kit_complaint(&kit));
        kit_close(&kit);
    }
}

static void values_of_the_configuration(void **state)
{
    (void)state;
    assert_true(configure("{ruleset: crs, crs: %/crs/rules, paranoia: 2, detect_paranoia: 3, "
                          "threshold: {inbound: 7, outbound: 9}}"));
    const struct waf_conf *conf = kit.instance.conf;
    const struct sec_rule *rule = conf->set->program->rules[1];
    static const char *const names[] = {
        "paranoia_level",
        "blocking_paranoia_level",
        "executing_paranoia_level",
        "detection_paranoia_level",
        "inbound_anomaly_score_threshold",
        "outbound_anomaly_score_threshold",
    };
    static const char *const values[] = { "2", "2", "3", "3", "7", "9" };
    assert_int_equal(rule->id, 19000001);
    assert_int_equal(rule->step_count, ARRAY_LEN(names));
    for (unsigned i = 0; i < rule->step_count; i++) {
        assert_span(rule->steps[i].name.source, span_text(names[i]));
        assert_span(rule->steps[i].value.source, span_text(values[i]));
    }
    kit_close(&kit);
}

static void equal_ones_are_shared(void **state)
{
    struct ruleset_conf a = { .base = RULESET_CRS,
                              .crs = { .path = SPAN("/x") },
                              .paranoia = 1 };
    struct ruleset_conf b = a;
    (void)state;
    assert_true(ruleset_conf_equal(&a, &b));
    b.crs.path = SPAN("/y");
    assert_false(ruleset_conf_equal(&a, &b));
    b = a;
    b.outbound = 4;
    assert_false(ruleset_conf_equal(&a, &b));
    b = a;
    struct span file = SPAN("f");
    b.seclang.after = (struct texts){ &file, 1 };
    assert_false(ruleset_conf_equal(&a, &b));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(found_by_itself),
        TEST(order_of_files),
        TEST(without_the_core_rule_set),
        TEST(what_is_missing),
        TEST(values_of_the_configuration),
        TEST(equal_ones_are_shared),
    };
    return cmocka_run_group_tests(tests, make_files, remove_files);
}
