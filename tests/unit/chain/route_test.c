/* Sites by host, routes by path and method, and the patterns of paths. */
#include "tests/unit/chain/bench.h"

static void test_patterns_that_are_none(void **state)
{
    (void)state;
    static const char *const bad[] = { "",      "x",     "*.php", "x/**",    "/a?b",
                                       "/a#b",  "/a\nb", "/***",  "/a/../b", "/./a",
                                       "/a/..", "**/..", "*" };
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        struct path_pattern pattern;
        if (path_pattern_parse(span_text(bad[i]), &pattern))
            fail_msg("%s", bad[i]);
    }
    static char text[2000];
    struct path_pattern pattern;
    memset(text, 'a', sizeof(text));
    text[0] = '/';
    assert_true(path_pattern_parse(span_of(text, 1024), &pattern));
    assert_false(path_pattern_parse(span_of(text, 1025), &pattern));
    text[1] = '*';
    assert_true(path_pattern_parse(span_of(text, 64), &pattern)); /* 63 from the star on */
    assert_false(path_pattern_parse(span_of(text, 65), &pattern));
}

static void test_paths(void **state)
{
    (void)state;
    static const struct {
        const char *pattern, *path;
        bool matches;
    } cases[] = {
        { "/x", "/x", true },
        { "/x", "/x/", false },
        { "/x", "/", false },
        { "/x", "/xy", false },
        { "/x", "/X", false },
        { "/x/", "/x/", true },
        { "/x/", "/x", false },
        { "/", "/", true },
        { "/", "/x", false },
        { "/x/**", "/x", true },
        { "/x/**", "/x/", true },
        { "/x/**", "/x/y/z", true },
        { "/x/**", "/xy", false },
        { "/x/**", "/", false },
        { "/x/**", "/y/x", false },
        { "/**", "/", true },
        { "/**", "/x/y", true },
        { "/**", "*", false },
        { "/**", "", false },
        { "/*", "/", true },
        { "/*", "/x", true },
        { "/*", "/x/y", false },
        { "/*", "/x/", false },
        { "/a*", "/abc", true },
        { "/a*", "/a/c", false },
        { "/a*c", "/ac", true },
        { "/a*c", "/abcbc", true },
        { "/a*c", "/abcb", false },
        { "/a/*/b", "/a/x/b", true },
        { "/a/*/b", "/a//b", true },
        { "/a/*/b", "/a/b", false },
        { "/a/*/b", "/a/x/y/b", false },
        { "/a/**/b", "/a/x/y/b", true },
        { "/a/**/b", "/a/b", true },
        { "/a/**/b", "/ab", false },
        { "/a/**/b", "/a/xb", false },
        { "/a/**/b", "/a/x/bc", false },
        { "**/*.php", "/x.php", true },
        { "**/*.php", "/a/b/x.php", true },
        { "**/*.php", "/x.php/y", false },
        { "**.php", "/a/x.php", true },
        { "**.php", "/a/x.phps", false },
        { "/**/*.bak", "/x.bak", true },
        { "/**/*.bak", "/a/x.bak", true },
        { "/**/*.bak", "x.bak", false },
        { "/a/*/**", "/a/x", true },
        { "/a/*/**", "/a/x/y/z", true },
        { "/a/*/**", "/a", false },
        { "/a**b", "/a/x/b", true },
        { "/a**b", "/ab", true },
        { "/a**b", "/a/x/c", false },
        { "/*/**/z", "/a/z", true },
        { "/*/**/z", "/a/b/c/z", true },
        { "/*/**/z", "/z", false },
        { "/a*b*c", "/aXbYc", true },
        { "/a*b*c", "/aXcYb", false },
        { "/*a", "/ba", true },
        { "/*.x/*.y", "/a.x/b.y", true },
        { "/*.x/*.y", "/a.x.b.y", false },
        { "/a/**/b/**", "/a/b", true },
        { "/a/**/b/**", "/a/c/b/d", true },
        { "/a/**/b/**", "/a/c/d", false },
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct path_pattern pattern;
        assert_true(path_pattern_parse(span_text(cases[i].pattern), &pattern));
        if (path_pattern_matches(&pattern, span_text(cases[i].path)) != cases[i].matches)
            fail_msg("%s with %s", cases[i].pattern, cases[i].path);
    }
}

/* The plain reading of the rules, by trying every length of every star. */
static bool by_trying(const char *glob, const char *path)
{
    if (*glob == '\0')
        return *path == '\0';
    if (*glob != '*')
        return *glob == *path && by_trying(glob + 1, path + 1);
    bool crosses = glob[1] == '*';
    for (const char *rest = path;; rest++) {
        if (by_trying(glob + (crosses ? 2 : 1), rest))
            return true;
        if (*rest == '\0' || (!crosses && *rest == '/'))
            return false;
    }
}

static void test_globs_against_trying(void **state)
{
    (void)state;
    unsigned compared = 0, matched = 0;
    srandom(5);
    for (int round = 0; round < 200000; round++) {
        char glob[10] = "/", path[10] = "/";
        size_t glob_len = 2 + (size_t)random() % 7, path_len = 1 + (size_t)random() % 8;
        for (size_t i = 1; i < glob_len; i++)
            glob[i] = "ab/**"[random() % 5];
        for (size_t i = 1; i < path_len; i++)
            path[i] = "ab/"[random() % 3];
        struct path_pattern pattern;
        /* Folders that may be none are a rule of their own, with cases above. */
        if (strstr(glob, "/**/") != NULL ||
            strcmp(glob + glob_len - 3 + (glob_len < 3), "/**") == 0 ||
            !path_pattern_parse(span_text(glob), &pattern))
            continue;
        bool expected = by_trying(glob, path);
        if (path_pattern_matches(&pattern, span_text(path)) != expected)
            fail_msg("%s with %s", glob, path);
        compared++;
        matched += expected;
    }
    assert_true(compared > 50000 && matched > 2000);
}

static void test_sites(void **state)
{
    (void)state;
    static struct span shop[] = { SPAN_INIT("shop.example.com"),
                                  SPAN_INIT("*.shop.example.com") };
    static struct span all[] = { SPAN_INIT("*.example.com") };
    static struct span any[] = { SPAN_INIT("*") };
    static struct site sites[] = {
        { .name = "any", .hosts = any, .host_count = 1 },
        { .name = "all", .hosts = all, .host_count = 1 },
        { .name = "shop", .hosts = shop, .host_count = 2 },
    };
    static const struct {
        const char *host, *site;
    } cases[] = {
        { "shop.example.com", "shop" },
        { "a.shop.example.com", "shop" },
        { "a.b.shop.example.com", "shop" },
        { "www.example.com", "all" },
        { "xshop.example.com", "all" },
        { "example.com", "any" },
        { ".example.com", "any" },
        { "example.org", "any" },
        { "", "any" },
        { "[::1]", "any" },
        { "*.example.com", "all" },
    };
    config.sites = sites;
    config.site_count = ARRAY_LEN(sites);
    assert_int_equal(table_init(&config.hosts, &arena, 4), OK);
    assert_int_equal(table_put(&config.hosts, shop[0], &sites[2]), OK);
    config.any = &sites[0];
    for (size_t i = 0; i < ARRAY_LEN(cases); i++)
        assert_string_equal(site_find(&config, span_text(cases[i].host))->name, cases[i].site);
    config.any = NULL;
    assert_null(site_find(&config, SPAN("example.org")));
    assert_null(site_find(&config, SPAN("")));
}

static void test_routes(void **state)
{
    (void)state;
    static struct route routes[] = {
        { .name = "login", .methods = 1u << METHOD_POST },
        { .name = "get", .methods = 1u << METHOD_GET | 1u << METHOD_HEAD },
        { .name = "below" },
        { .name = "default" },
    };
    static const struct site site = { .routes = routes, .route_count = ARRAY_LEN(routes) };
    static const struct {
        enum method method;
        const char *path, *route;
    } cases[] = {
        { METHOD_POST, "/login", "login" }, { METHOD_GET, "/login", "get" },
        { METHOD_PUT, "/login", "below" },  { METHOD_OTHER, "/login", "below" },
        { METHOD_GET, "/x", "below" },      { METHOD_OPTIONS, "*", "default" },
    };
    assert_true(path_pattern_parse(SPAN("/login"), &routes[0].path));
    assert_true(path_pattern_parse(SPAN("/log*"), &routes[1].path));
    assert_true(path_pattern_parse(SPAN("/**"), &routes[2].path));
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        req.method_id = cases[i].method;
        req.path_plain = span_text(cases[i].path);
        assert_string_equal(route_find(&site, &req, NULL)->name, cases[i].route);
    }
}

static void test_lists(void **state)
{
    (void)state;
    static struct list_conf lists[] = { { .name = SPAN_INIT("office") },
                                        { .name = SPAN_INIT("abusers") } };
    config.lists = lists;
    config.list_count = 2;
    assert_int_equal(config_list(&config, SPAN("abusers")), 1);
    assert_int_equal(config_list(&config, SPAN("other")), -1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        BENCH_TEST(test_patterns_that_are_none),
        BENCH_TEST(test_paths),
        BENCH_TEST(test_globs_against_trying),
        BENCH_TEST(test_sites),
        BENCH_TEST(test_routes),
        BENCH_TEST(test_lists),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
