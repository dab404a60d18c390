/* Files: what Include finds, in which order, from where; and Debian's Core Rule Set. */
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tests/unit/rules/seclang/seclang.h"

static struct loaded l;
static char folder[64];

static char *path_of(const char *name)
{
    static char path[256];
    (void)snprintf(path, sizeof path, "%s/%s", folder, name);
    return path;
}

static void put(const char *name, const char *text)
{
    FILE *file = fopen(path_of(name), "w");
    assert_non_null(file);
    assert_true(fputs(text, file) >= 0);
    assert_int_equal(fclose(file), 0);
}

static int make_folder(void **state)
{
    (void)state;
    (void)snprintf(folder, sizeof folder, "/tmp/seclang-test.XXXXXX");
    if (mkdtemp(folder) == NULL || mkdir(path_of("d"), 0755) != 0)
        return -1;
    return 0;
}

static int remove_folder(void **state)
{
    static const char *const names[] = { "main.conf", "d/b.conf",  "d/a.conf", "d/words.data",
                                         "loop.conf", "open.conf", "d" };
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(names); i++)
        (void)remove(path_of(names[i]));
    return rmdir(folder);
}

static void load_file(const char *name)
{
    const struct seclang_source source = { .path = span_text(path_of(name)) };
    load_sources(&l, &source, 1, false);
}

static void includes_are_followed_in_order(void **state)
{
    (void)state;
    put("d/words.data", "alpha\nbeta\n");
    put("d/b.conf", "SecAction id:2");
    put("d/a.conf", "SecRule ARGS \"@pmFromFile words.data\" id:1\n");
    put("main.conf", "Include d/*.conf\nIncludeOptional d/*.none\nIncludeOptional d/none\n"
                     "IncludeOptional none/*.conf\n"
                     "SecAction id:3\n");
    load_file("main.conf");
    if (l.err != OK)
        show_diags(&l);
    assert_int_equal(l.err, OK);
    assert_int_equal(l.program->rule_count, 3);
    for (unsigned i = 0; i < 3; i++)
        assert_int_equal(rule_at(&l, i)->id, i + 1);
    uint64_t before = l.program->hash;
    unload(&l);

    /* A glob alone, and the hash knows the words. */
    load_file("d/*.conf");
    assert_int_equal(l.err, OK);
    assert_int_equal(l.program->rule_count, 2);
    unload(&l);
    load_file("main.conf");
    assert_true(l.program->hash == before);
    unload(&l);
    put("d/words.data", "alpha\ngamma\n");
    load_file("main.conf");
    assert_true(l.program->hash != before);
    unload(&l);
}

static void files_that_cannot_be_used(void **state)
{
    (void)state;
    static const struct {
        const char *text, *message, *hint;
    } rows[] = {
        { "Include none.conf", "cannot use \"none.conf\"", "No such file" },
        { "Include none/*.conf", "cannot use \"none/*.conf\"", "no file is meant" },
        { "Include d", "cannot use \"d\"", "not a regular file" },
        { "Include \"\"", "cannot use \"\"", "it is empty" },
        { "Include loop.conf", "cannot use \"loop.conf\"", "nested too deeply" },
        { "SecAction id:1,chain\nInclude d/b.conf\nSecAction nolog", "cannot use", "chain" },
    };
    put("loop.conf", "Include loop.conf\n");
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        put("main.conf", rows[i].text);
        load_file("main.conf");
        assert_int_equal(l.err, ERR_CONFIG);
        assert_int_equal(l.diags.errors, 1);
        assert_true(span_find(l.diags.items[0].message, span_text(rows[i].message)) >= 0);
        assert_true(span_find(l.diags.items[0].hint, span_text(rows[i].hint)) >= 0);
        unload(&l);
    }
    load_file("nothing.conf");
    assert_int_equal(l.diags.errors, 1);
    assert_null(l.diags.items[0].place.source);
    unload(&l);
}

static void a_file_that_everybody_may_write_is_refused_to_root(void **state)
{
    (void)state;
    put("open.conf", "SecAction id:1");
    assert_int_equal(chmod(path_of("open.conf"), 0666), 0);
    load_file("open.conf");
    assert_int_equal(l.err, geteuid() == 0 ? ERR_CONFIG : OK);
    unload(&l);
}

/* ---- limits ---- */

/* Files 0 to `depth`, each of which includes the next. */
static enum err load_nested(unsigned depth)
{
    char name[32], text[64];
    for (unsigned i = 0; i <= depth; i++) {
        (void)snprintf(name, sizeof name, "n%u", i);
        (void)snprintf(text, sizeof text, "%s n%u\n", i < depth ? "Include" : "#", i + 1);
        put(name, text);
    }
    load_file("n0");
    enum err err = l.err;
    unload(&l);
    for (unsigned i = 0; i <= depth; i++) {
        (void)snprintf(name, sizeof name, "n%u", i);
        (void)remove(path_of(name));
    }
    return err;
}

static void nesting_is_limited(void **state)
{
    (void)state;
    assert_int_equal(load_nested(SECLANG_INCLUDE_DEPTH_MAX), OK);
    assert_int_equal(load_nested(SECLANG_INCLUDE_DEPTH_MAX + 1), ERR_CONFIG);
}

static void files_are_limited(void **state)
{
    (void)state;
    struct seclang_source sources[SECLANG_FILES_MAX + 1];
    put("main.conf", "# nothing\n");
    for (size_t i = 0; i < ARRAY_LEN(sources); i++)
        sources[i] = (struct seclang_source){ .path = span_text(path_of("main.conf")) };
    load_sources(&l, sources, SECLANG_FILES_MAX, false);
    assert_int_equal(l.err, OK);
    unload(&l);
    load_sources(&l, sources, SECLANG_FILES_MAX + 1, false);
    assert_int_equal(l.err, ERR_CONFIG);
    unload(&l);
}

static enum err load_large(size_t size)
{
    static char line[1 << 16];
    FILE *file = fopen(path_of("main.conf"), "w");
    assert_non_null(file);
    memset(line, '#', sizeof line);
    line[sizeof line - 1] = '\n';
    for (size_t left = size, n; left > 0; left -= n) {
        n = left < sizeof line ? left : sizeof line;
        assert_int_equal(fwrite(line, 1, n, file), n);
    }
    assert_int_equal(fclose(file), 0);
    load_file("main.conf");
    enum err err = l.err;
    unload(&l);
    return err;
}

static void a_file_is_limited(void **state)
{
    (void)state;
    assert_int_equal(load_large(SECLANG_FILE_BYTES_MAX), OK);
    assert_int_equal(load_large(SECLANG_FILE_BYTES_MAX + 1), ERR_CONFIG);
}

static void a_source_may_be_absent(void **state)
{
    (void)state;
    static const struct seclang_source sources[] = {
        { .path = { "/nowhere/*.conf", 15 }, .optional = true },
        { .path = { "/nowhere/x.conf", 15 }, .optional = true },
        { .path = { "/nowhere/*.conf", 15 } },
    };
    load_sources(&l, sources, 2, false);
    assert_int_equal(l.err, OK);
    assert_int_equal(l.program->rule_count, 0);
    unload(&l);
    load_sources(&l, sources, 3, false);
    assert_int_equal(l.err, ERR_CONFIG);
    unload(&l);
}

static void sources_are_one_program(void **state)
{
    (void)state;
    const struct seclang_source sources[] = {
        { .path = SPAN("before"), .text = SPAN("SecDefaultAction phase:2,deny\n") },
        { .path = SPAN("rules"), .text = SPAN("SecRule ARGS a id:1,block\n") },
        { .path = SPAN("after"), .text = SPAN("SecRuleRemoveById 1\n") },
    };
    load_sources(&l, sources, 3, false);
    assert_int_equal(l.err, OK);
    assert_int_equal(rule_at(&l, 0)->resolved, DISRUPT_DENY);
    assert_true(rule_at(&l, 0)->removed);
    uint64_t hash = l.program->hash;
    unload(&l);
    load_sources(&l, sources, 2, false);
    assert_true(l.program->hash != hash);
    unload(&l);
}

/* ---- the Core Rule Set of Debian's package ---- */

static void count_operators(unsigned *rx, unsigned *lt)
{
    *rx = *lt = 0;
    for (unsigned i = 0; i < l.program->rule_count; i++) {
        const struct sec_rule *rule = rule_at(&l, i);
        if (rule->unconditional)
            continue;
        *rx += strcmp(rule->op.row->name, "rx") == 0 ? 1 : 0;
        *lt += strcmp(rule->op.row->name, "lt") == 0 ? 1 : 0;
    }
}

static void the_core_rule_set_loads(void **state)
{
    (void)state;
    static const struct seclang_source sources[] = {
        { .path = { "/etc/modsecurity/crs/crs-setup.conf", 35 } },
        { .path = { "/usr/share/modsecurity-crs/rules/*.conf", 39 } },
    };
    static const unsigned per_phase[SEC_PHASES] = { 0, 147, 388, 24, 58, 16 };
    enum { MARKERS = 40 };

    if (access("/usr/share/modsecurity-crs/rules/REQUEST-901-INITIALIZATION.conf", R_OK) != 0)
        skip();
    load_sources(&l, sources, 2, false);
    if (l.err != OK)
        show_diags(&l);
    assert_int_equal(l.err, OK);

    /* Besides the 633 rules the set-up file has one action. */
    unsigned heads = 0, longest = 0;
    for (unsigned i = 0; i < l.program->rule_count; i++) {
        const struct sec_rule *rule = rule_at(&l, i);
        if (rule->head != rule)
            continue;
        unsigned links = 0;
        for (; rule != NULL; rule = rule->next)
            links++;
        longest = links > longest ? links : longest;
        heads++;
    }
    assert_int_equal(heads, 634);
    assert_int_equal(l.program->rule_count - heads, 166);
    assert_int_equal(longest, 5);
    for (int phase = SEC_REQUEST_HEADERS; phase < SEC_PHASES; phase++)
        assert_int_equal(l.program->item_count[phase], per_phase[phase] + MARKERS);
    unsigned rx, lt;
    count_operators(&rx, &lt);
    assert_int_equal(rx, 265);
    assert_int_equal(lt, 190);

    /* One chain asks a list on the network, behind a switch that is off. */
    assert_int_equal(l.program->left_out, 1);
    assert_int_equal(l.diags.warnings, 1);
    assert_true(span_find(l.diags.items[0].message, SPAN("rule 910140 is left out")) >= 0);
    assert_int_equal(l.program->settings.collection_timeout, 600);
    assert_text(l.program->settings.component_signature, "OWASP_CRS/3.3.4");
    unload(&l);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(includes_are_followed_in_order),
        TEST(files_that_cannot_be_used),
        TEST(a_file_that_everybody_may_write_is_refused_to_root),
        TEST(nesting_is_limited),
        TEST(files_are_limited),
        TEST(a_file_is_limited),
        TEST(a_source_may_be_absent),
        TEST(sources_are_one_program),
        TEST(the_core_rule_set_loads),
    };
    return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
