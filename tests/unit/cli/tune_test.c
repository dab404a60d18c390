/* tune: what is one kind, who vouches for it, and one more exclusion in somebody's file. */
#include "gateway/cli/tune.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

static struct arena arena;
static struct tune_groups groups;

static int open_all(void **state)
{
    (void)state;
    arena_init(&arena, NULL, 0, NULL, (size_t)64 << 20);
    memset(&groups, 0, sizeof(groups));
    groups.arena = &arena;
    return 0;
}

static int close_all(void **state)
{
    (void)state;
    arena_reset(&arena);
    return 0;
}

static void add(const char *rule, const char *field, const char *path, const char *client,
                const char *user)
{
    json_t *record = json_pack("{s:{s:s}, s:{s:s}, s:{s:{s:s}}, s:{s:s, s:[{s:s, s:s, s:i}]}}",
                               "url", "path", path, "client", "ip", client, "http", "request",
                               "method", "POST", "sallyport", "site", "shop", "matches", "rule",
                               rule, "field", field, "score", 5);
    assert_non_null(record);
    if (user != NULL)
        (void)json_object_set_new(record, "user", json_pack("{s:s}", "name", user));
    tune_add(&groups, record);
    json_decref(record);
}

static void check_pattern(const char *path, const char *pattern)
{
    assert_true(span_equal(tune_path_pattern(span_text(path), &arena), span_text(pattern)));
}

static void test_paths(void **state)
{
    (void)state;
    check_pattern("/", "/");
    check_pattern("/search", "/search");
    check_pattern("/blog/edit/12", "/blog/edit/**");
    check_pattern("/blog/12/edit", "/blog/**");
    check_pattern("/12", "/**");
    check_pattern("/a/0198f3aa-7c1e-7000-8000-0123456789ab/b", "/a/**");
    check_pattern("/deadbeef1/x", "/**");
    check_pattern("/deadbeef/x", "/deadbeef/x"); /* a word without a digit */
    check_pattern("/v1/items", "/v1/items");
    check_pattern("/a//b", "/a//b");
}

static void check_field(const char *variable, const char *field)
{
    assert_true(span_equal(tune_field(span_text(variable), &arena), span_text(field)));
}

static void test_fields(void **state)
{
    (void)state;
    check_field("ARGS:comment", "args:comment");
    check_field("ARGS_GET:q", "args:q");
    check_field("REQUEST_COOKIES:c", "cookie:c");
    check_field("REQUEST_HEADERS:X-Y", "header:X-Y");
    check_field("REQUEST_FILENAME", "path");
    check_field("ARGS", "");
    check_field("ARGS:", "");
    check_field("REQUEST_FILENAME:x", "");
    check_field("TX:anomaly_score", "");
}

static void test_one_client_vouches_for_nothing(void **state)
{
    (void)state;
    char client[64];
    for (unsigned i = 0; i < 200; i++) { /* one /24, and one /48, whatever the rest */
        (void)snprintf(client, sizeof(client), "198.51.100.%u", i);
        add("942100", "ARGS:a", "/x", client, NULL);
        (void)snprintf(client, sizeof(client), "2001:db8:7:%x::%x", i, i);
        add("942100", "ARGS:b", "/x", client, NULL);
    }
    tune_judge(&groups);
    assert_int_equal(groups.count, 2);
    for (size_t i = 0; i < 2; i++) {
        assert_int_equal(groups.items[i].network_count, 1);
        assert_string_equal(groups.items[i].refusal,
                            "one client that is not signed in met it: he may have planted it");
    }
}

static void test_many_networks_or_users_do(void **state)
{
    (void)state;
    char client[64];
    for (unsigned i = 0; i < TUNE_NETWORKS_MIN; i++) {
        tune_judge(&groups);
        assert_true(groups.count == 0 || groups.items[0].refusal != NULL);
        (void)snprintf(client, sizeof(client), "198.51.%u.7", i);
        add("942100", "ARGS:a", "/x", client, NULL);
    }
    tune_judge(&groups);
    assert_null(groups.items[0].refusal);

    memset(&groups.items, 0, sizeof(groups.items));
    groups.count = 0;
    add("942100", "ARGS:a", "/x/1", "198.51.100.7", "ann");
    add("942100", "ARGS:a", "/x/2", "198.51.100.7", "ann");
    tune_judge(&groups);
    assert_string_equal(groups.items[0].refusal, "one user alone met it");
    add("942100", "ARGS:a", "/x/3", "198.51.100.7", "bob");
    add("942200", "ARGS:a", "/x/3", "198.51.100.7", "bob");
    add("942200", "ARGS:a", "/x/3", "198.51.100.7", "ann");
    tune_judge(&groups);
    assert_int_equal(groups.count, 1);
    assert_null(groups.items[0].refusal);
    assert_int_equal(groups.items[0].rule_count, 2);
    /* Somebody sends an attack to where others have false positives. */
    add("932100", "ARGS:a", "/x/4", "203.0.113.9", NULL);
    add("932100", "ARGS:a", "/x/4", "203.0.113.9", NULL);
    tune_judge(&groups);
    assert_null(groups.items[0].refusal);
    assert_int_equal(groups.items[0].rule_count, 2);
    assert_int_equal(groups.items[0].rules[0], 942100);
    assert_int_equal(groups.items[0].unvouched, 1);
    assert_true(span_equal(groups.items[0].path, SPAN("/x/**")));
}

static void test_what_has_no_number_is_counted(void **state)
{
    (void)state;
    add("sql-tautology", "ARGS:a", "/x", "198.51.100.7", NULL);
    add("949110", "TX:anomaly_score", "/x", "198.51.100.7", NULL);
    assert_int_equal(groups.count, 0);
    assert_int_equal(groups.unnamed, 1);
}

static void test_limits(void **state)
{
    (void)state;
    char path[300], rule[16];
    for (unsigned i = 0; i <= TUNE_GROUPS_MAX; i++) {
        (void)snprintf(path, sizeof(path), "/p%u", i);
        add("942100", "ARGS:a", path, "198.51.100.7", NULL);
    }
    assert_int_equal(groups.count, TUNE_GROUPS_MAX);
    assert_int_equal(groups.dropped, 1);
    for (unsigned i = 0; i <= TUNE_RULES_MAX; i++) {
        (void)snprintf(rule, sizeof(rule), "%u", 942999 - i);
        add(rule, "ARGS:a", "/p0", "198.51.100.7", NULL);
    }
    assert_int_equal(groups.items[0].rule_count, TUNE_RULES_MAX);
    for (unsigned i = 1; i < TUNE_RULES_MAX; i++)
        assert_true(groups.items[0].rules[i - 1] < groups.items[0].rules[i]);
    memset(path, 'x', sizeof(path));
    path[0] = '/';
    path[257] = '\0';
    add("942100", "ARGS:a", path, "198.51.100.7", NULL);
    assert_int_equal(groups.dropped, 1); /* too long for a path of an exclusion: passed over */
}

/* ---- files ---- */

static const char *edited(const char *text, struct tune_edit *edit, struct span site)
{
    char path[] = "/tmp/tune-XXXXXX";
    int fd = mkstemp(path);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, text, strlen(text)), (ssize_t)strlen(text));
    assert_int_equal(close(fd), 0);
    const struct tune_group group = { .site = site,
                                      .method = SPAN("POST"),
                                      .path = SPAN("/blog/edit/**"),
                                      .field = SPAN("args:comment"),
                                      .rules = { 942100, 942200 },
                                      .rule_count = 2,
                                      .hits = 412,
                                      .network_count = 37,
                                      .user_count = 3 };
    const char *wrong = tune_edit(edit, span_text(text), path, &group, 1800000000, &arena);
    assert_int_equal(unlink(path), 0);
    return wrong;
}

#define ADDED                                                                                  \
    "{\"rules\": [942100, 942200], \"fields\": [\"args:comment\"], \"paths\": "                \
    "[\"/blog/edit/**\"], \"methods\": [\"POST\"], \"reason\": \"tune 2027-01-15: 412 hits, "  \
    "37+ networks, 3 users signed in\", \"expires\": \"2027-07-14\"}"

static void check_edit(const char *before, const char *after, unsigned line)
{
    struct tune_edit edit;
    const char *wrong = edited(before, &edit, SPAN("shop"));
    if (wrong != NULL)
        fail_msg("%s", wrong);
    char *text = arena_cstring(&arena, edit.text);
    assert_string_equal(text, after);
    assert_int_equal(edit.line, line);
}

static void test_edits(void **state)
{
    (void)state;
    /* Into a list that is there, comments and all. */
    check_edit(
        "sites:\n  - name: shop # ours\n    host: x\n    waf:\n      # why\n      exclude:\n"
        "        # first\n        - rules: [1] # one\n          reason: r\n",
        "sites:\n  - name: shop # ours\n    host: x\n    waf:\n      # why\n      exclude:\n"
        "        # first\n        - " ADDED "\n        - rules: [1] # one\n"
        "          reason: r\n",
        8);
    /* A waf of several keys; of one; none; all in brackets. */
    check_edit("sites:\n  - name: shop\n    waf:\n      mode: block\n      paranoia: 2 # two\n",
               "sites:\n  - name: shop\n    waf:\n      mode: block\n      \"exclude\": [" ADDED
               "]\n      paranoia: 2 # two\n",
               5);
    check_edit("sites:\n  - name: shop\n    waf:\n      mode: block # on\n",
               "sites:\n  - name: shop\n    waf:\n      \"exclude\": [" ADDED
               "]\n      mode: block # on\n",
               4);
    check_edit(
        "sites:\n  - name: shop\n    host: x\n    # up\n    upstream: y\n",
        "sites:\n  - name: shop\n    host: x\n    # up\n    \"waf\": {\"exclude\": [" ADDED
        "]}\n    upstream: y\n",
        5);
    check_edit("{\"sites\": [{\"name\": \"shop\", \"waf\": {\"mode\": \"block\"}}]}",
               "{\"sites\": [{\"name\": \"shop\", \"waf\": {\"exclude\": [" ADDED
               "], \"mode\": \"block\"}}]}",
               1);
    check_edit("sites:\n  - {host: [shop, b], waf: {exclude: []}}\n",
               "sites:\n  - {host: [shop, b], waf: {exclude: [" ADDED "]}}\n", 2);
}

static void test_what_is_left_alone(void **state)
{
    (void)state;
    struct tune_edit edit;
    assert_non_null(edited("sites:\n  - name: shop\n", &edit, SPAN("other")));
    assert_non_null(edited("sites:\n  - name: shop\n", &edit, SPAN("shop"))); /* one key only */
    assert_non_null(edited("sites:\n  - name: shop\n    waf: detect\n", &edit, SPAN("shop")));
    assert_non_null(edited("sites: [\n", &edit, SPAN("shop")));
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, open_all, close_all)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_paths),
        TEST(test_fields),
        TEST(test_one_client_vouches_for_nothing),
        TEST(test_many_networks_or_users_do),
        TEST(test_what_has_no_number_is_counted),
        TEST(test_limits),
        TEST(test_edits),
        TEST(test_what_is_left_alone),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
