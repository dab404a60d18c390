/* From a file to sites, routes and their chains: what is inherited, and what is refused. */
#include "gateway/load.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "conf/expr.h"
#include "gateway/process/settings.h"
#include "gateway/upstream/upstream.h"
#include "tests/unit/plane/plane.h"

#include "tests/unit/check.h"

static struct arena arena;
static struct diags diags;
static char folder[32], file[64];

static int open_folder(void **state)
{
    (void)state;
    (void)snprintf(folder, sizeof folder, "/tmp/load-XXXXXX");
    assert_non_null(mkdtemp(folder));
    (void)snprintf(file, sizeof file, "%s/s.yaml", folder);
    arena_init(&arena, NULL, 0, NULL, 256 << 20);
    return 0;
}

static int close_folder(void **state)
{
    (void)state;
    (void)unlink(file);
    (void)rmdir(folder);
    arena_reset(&arena);
    return 0;
}

static struct config *load_exactly(const char *yaml)
{
    struct load l = { .arena = &arena, .diags = &diags };
    FILE *out = fopen(file, "w");

    assert_non_null(out);
    assert_true(fputs(yaml, out) >= 0);
    assert_int_equal(fclose(out), 0);
    arena_reset(&arena);
    diags_init(&diags, &arena);
    return load_file(&l, file);
}

/* Without the rule set, which takes seconds to compile in a checked build. */
static struct config *load(const char *yaml)
{
    char text[1024];
    bool has = strstr(yaml, "defaults:") != NULL;
    int len = snprintf(text, sizeof text, "%s%s", yaml, has ? "" : "defaults: {waf: off}\n");

    assert_true(len > 0 && (size_t)len < sizeof text);
    return load_exactly(text);
}

static struct span said(void)
{
    struct text text = text_growing(&arena, 4096);

    diags_write(&text, &diags, DIAG_HUMAN);
    return text_span(&text);
}

static const struct config *good(const char *yaml)
{
    const struct config *config = load(yaml);

    if (config == NULL)
        fail_msg("refused: %.*s", (int)said().len, said().p);
    return config;
}

#define SITE "sites:\n  - host: \"*\"\n    upstream: http://127.0.0.1:9000\n"

static const struct route *route_of(const struct config *config, const char *path)
{
    struct request req = { .path_plain = span_text(path), .method_id = METHOD_GET };
    const struct site *site = site_find(config, SPAN("x"));

    assert_non_null(site);
    return route_find(site, &req, NULL);
}

static bool has_stage(const struct route *route, enum phase phase, const char *name,
                      enum mode mode)
{
    for (unsigned i = 0; i < route->chain_count[phase]; i++)
        if (strcmp(route->chain[phase][i].type->name, name) == 0)
            return route->chain[phase][i].mode == mode;
    return false;
}

static void the_smallest_file_has_safe_defaults(void **state)
{
    (void)state;
    const struct config *config =
        load_exactly("version: 1\ndefaults: {waf: {ruleset: core}}\n" SITE);
    assert_non_null(config);
    const struct route *route = route_of(config, "/any");

    assert_true(has_stage(route, PHASE_REQUEST_HEAD, "waf", MODE_BLOCK));
    assert_true(has_stage(route, PHASE_REQUEST_BODY, "waf", MODE_BLOCK));
    assert_int_equal(config->site_count, 1);
    assert_int_equal(config->listen_count, 1);
    assert_text(config->listen[0].text, "127.0.0.1:8080");
    assert_true(config->audit.on);
    assert_int_equal(route->handler, HANDLER_UPSTREAM);
    assert_int_equal(route->upstream->servers[0].addrs[0].port, 9000);
    assert_int_equal(route->upstream->retries, 2);
    assert_int_equal(route->body_policy, BODY_STRICT);
    assert_int_equal(config->server.mode, MODE_BLOCK);
    assert_false(config->preserve_encoded);
    assert_int_equal(config->hash.len, 32);
    assert_true(span_starts(config->server.control.text,
                            geteuid() == 0 ? SPAN("/run/sallyport/") : span_text(folder)));
}

static void routes_inherit_and_replace(void **state)
{
    (void)state;
    const struct config *config =
        good("version: 1\n"
             "defaults:\n  waf: off\n  headers: strict\n  websocket: false\n"
             "sites:\n"
             "  - host: [\"*\"]\n"
             "    upstream: http://127.0.0.1:9000\n"
             "    deny: [192.0.2.0/24]\n"
             "    routes:\n"
             "      - path: /own/**\n"
             "        upstream: {servers: [\"http://127.0.0.1:9001\"], retries: 0}\n"
             "        deny: {mode: detect}\n"
             "        websocket: true\n"
             "      - {path: /gone, respond: {status: 410, body: bye}}\n"
             "      - {path: /moved, redirect: {to: /new, status: 308}}\n"
             "      - {path: /quiet, headers: off}\n");
    const struct route *any = route_of(config, "/"), *own = route_of(config, "/own/x");

    assert_string_equal(any->name, "default");
    assert_true(has_stage(any, PHASE_REQUEST_HEAD, "deny", MODE_BLOCK));
    assert_true(has_stage(any, PHASE_RESPONSE_HEAD, "headers", MODE_BLOCK));
    assert_false(any->websocket);
    assert_true(has_stage(own, PHASE_REQUEST_HEAD, "deny", MODE_DETECT));
    assert_true(own->websocket);
    assert_ptr_not_equal(own->upstream, any->upstream);
    assert_int_equal(own->upstream->retries, 0);
    assert_int_equal(own->upstream->servers[0].addrs[0].port, 9001);
    assert_int_equal(route_of(config, "/gone")->handler, HANDLER_RESPOND);
    assert_int_equal(route_of(config, "/gone")->respond_status, 410);
    assert_int_equal(route_of(config, "/moved")->handler, HANDLER_REDIRECT);
    assert_int_equal(route_of(config, "/moved")->redirect_status, 308);
    assert_false(
        has_stage(route_of(config, "/quiet"), PHASE_RESPONSE_HEAD, "headers", MODE_BLOCK));
    /* What is inherited unchanged is opened once. */
    assert_ptr_equal(route_of(config, "/moved")->chain[PHASE_REQUEST_HEAD][0].conf,
                     any->chain[PHASE_REQUEST_HEAD][0].conf);
}

/* `mode` of the server, the site, the route and the stage: the least strict counts. */
static void the_least_strict_mode_wins(void **state)
{
    static const struct {
        const char *server, *site, *stage;
        bool there;
        enum mode mode;
    } rows[] = {
        { "block", "block", "block", true, MODE_BLOCK },
        { "detect", "block", "block", true, MODE_DETECT },
        { "block", "detect", "block", true, MODE_DETECT },
        { "block", "block", "detect", true, MODE_DETECT },
        { "off", "block", "block", false, MODE_OFF },
        { "block", "block", "off", false, MODE_OFF },
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        char yaml[512];
        (void)snprintf(yaml, sizeof yaml,
                       "version: 1\nserver: {mode: \"%s\"}\nsites:\n  - host: \"*\"\n"
                       "    upstream: http://127.0.0.1:9000\n    mode: \"%s\"\n"
                       "    deny: {mode: \"%s\", lists: [bad]}\n"
                       "lists: {bad: [192.0.2.1]}\n",
                       rows[i].server, rows[i].site, rows[i].stage);
        const struct route *route = route_of(good(yaml), "/");
        assert_int_equal(has_stage(route, PHASE_REQUEST_HEAD, "deny", rows[i].mode),
                         rows[i].there);
    }
}

static void connections_are_asked_what_the_file_names(void **state)
{
    static const struct {
        const char *yaml;
        unsigned count;
    } rows[] = {
        { "version: 1\n" SITE, 0 },
        { "version: 1\nconnect: {deny: [192.0.2.1]}\n" SITE, 1 },
        { "version: 1\nconnect: {deny: {}}\n" SITE, 0 },
        { "version: 1\nconnect: {deny: {ips: [192.0.2.1], mode: \"off\"}}\n" SITE, 0 },
        { "version: 1\nserver: {mode: detect}\nconnect: {deny: [192.0.2.1]}\n" SITE, 0 },
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        const struct config *config = good(rows[i].yaml);
        assert_int_equal(config->connect_count, rows[i].count);
        /* It is no stage of any request. */
        assert_false(has_stage(route_of(config, "/"), PHASE_REQUEST_HEAD, "deny", MODE_BLOCK));
    }
}

/* `count` items of a list in YAML, into one flow sequence. */
static const char *with_many(const char *before, const char *item, unsigned count,
                             const char *after)
{
    static char yaml[64 * 1024];
    struct text text = text_fixed(yaml, sizeof yaml);

    text_add(&text, span_text(before));
    for (unsigned i = 0; i < count; i++) {
        struct span rest = span_text(item), part;
        text_add(&text, i > 0 ? SPAN(", ") : SPAN(""));
        while (span_cut(&rest, '%', &part)) {
            text_add(&text, part);
            if (rest.p != NULL)
                text_uint(&text, i + 1);
        }
    }
    text_add(&text, span_text(after));
    return text_cstring(&text);
}

/* Each at its limit, and one more. */
static void counts_have_their_limits(void **state)
{
    static const struct {
        const char *before, *item, *after;
        unsigned max;
        const char *message;
    } rows[] = {
        { "version: 1\ndefaults: {waf: off}\nsites:\n  - host: \"*\"\n    upstream: [",
          "http://127.0.0.1:%", "]\n", SERVERS_MAX, "servers" },
        { "version: 1\ndefaults: {waf: off}\n" SITE "server: {listen: {http: [", "127.0.0.1:%",
          "]}}\n", LISTEN_MAX, "more than 60 addresses" },
        { "version: 1\ndefaults: {waf: off}\n" SITE "lists: {",
          "l%: {file: empty, watch: true}", "}\n", WATCHED_LISTS_MAX, "more than 256 lists" },
    };

    (void)state;
    char empty[80];
    (void)snprintf(empty, sizeof empty, "%s/empty", folder);
    FILE *out = fopen(empty, "w");
    assert_non_null(out);
    assert_int_equal(fclose(out), 0);
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        if (load_exactly(with_many(rows[i].before, rows[i].item, rows[i].max, rows[i].after)) ==
            NULL)
            fail_msg("row %zu: %.*s", i, (int)said().len, said().p);
        assert_null(load_exactly(
            with_many(rows[i].before, rows[i].item, rows[i].max + 1, rows[i].after)));
        if (!span_has(said(), rows[i].message))
            fail_msg("row %zu: %.*s", i, (int)said().len, said().p);
    }
    (void)unlink(empty);
}

#define NO_HOST(text)                                                                          \
    "version: 1\nsites:\n  - {host: \"" text "\", upstream: \"http://127.0.0.1:1\"}\n",        \
        "\"" text "\" is no host"

static void what_is_wrong_is_said(void **state)
{
    static const struct {
        const char *yaml, *message;
    } rows[] = {
        { "version: 1\n", "there are no sites" },
        { "version: 1\nsites: []\n", "there are no sites" },
        { "version: 2\n" SITE, "version" },
        { "version: 1\nconnect: {waf: {}}\n" SITE, "nothing named \"waf\" is asked" },
        { "version: 1\nconnect: {deny: {mode: detect, ips: [192.0.2.1]}}\n" SITE,
          "here are only block and off" },
        { "version: 1\nconnect: [deny]\n" SITE, "connect is a mapping" },
        { "version: 1\nconnect: {deny: [nobody]}\n" SITE, "neither an address nor a list" },
        { "version: 1\nsites:\n  - host: a\n", "a site needs an upstream, or routes" },
        { "version: 1\n" SITE "  - {host: \"*\", upstream: \"http://127.0.0.1:1\"}\n",
          "two sites answer to any host" },
        { "version: 1\nsites:\n  - {host: a, upstream: \"http://127.0.0.1:1\"}\n"
          "  - {host: A, upstream: \"http://127.0.0.1:1\"}\n",
          "two sites answer to \"A\"" },
        { "version: 1\nsites:\n  - {host: a., upstream: \"http://127.0.0.1:1\"}\n"
          "  - {host: A, upstream: \"http://127.0.0.1:1\"}\n",
          "two sites answer to \"A\"" },
        { NO_HOST("") },
        { NO_HOST("a:80") },
        { NO_HOST("http://a") },
        { NO_HOST("a..b") },
        { NO_HOST("*.*.a") },
        { NO_HOST("*.") },
        { NO_HOST("*.[::1]") },
        { NO_HOST("::1") },
        { NO_HOST("mu\xcc\x88nchen.de") }, /* the dots apart from their letter */
        { NO_HOST("a b") },
        { "version: 1\nsites:\n  - {host: b, routes: [{path: /x}]}\n", "nowhere to send" },
        { "version: 1\n" SITE "    routes: 5\n", "routes is a list" },
        { "version: 1\n" SITE "    routes: [{path: nowhere}]\n", "a path starts with /" },
        { "version: 1\n" SITE "    tls: {cert: /x.pem}\n", "tls needs both cert and key" },
        { "version: 1\nserver: {listen: {https: \":8443\"}}\n" SITE, "s.yaml:2:26" },
        { "version: 1\nserver: {listen: {http: \"localhost\"}}\n" SITE, "s.yaml:2:25" },
        { "version: 1\naudit: {record: [everything]}\n" SITE, "s.yaml:2:17" },
        { "version: 1\n" SITE
          "    routes: [{path: /x, respond: {status: 200}, redirect: {to: /y}}]\n",
          "SP0401" },
        { "version: 1\nlists: {bad: {file: /nowhere/at/all}}\n" SITE, "" },
        { "version: 1\n" SITE "    routs: []\n", "did you mean" },
        { "version: 1\nsites:\n  - {host: a, upstream: \"http://127.0.0.1:1/path\"}\n",
          "a path is not added" },
        { "version: 1\nsites:\n  - host: a\n    upstream: {servers: [\"http://127.0.0.1:1\", "
          "\"https://127.0.0.1:2\"]}\n",
          "all https or none" },
        { "version: 1\nsites:\n  - host: a\n    upstream: \"unix:/"
          "0123456789012345678901234567890123456789012345678901234567890123456789"
          "0123456789012345678901234567890123456789\"\n",
          "longer than" },
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        if (load(rows[i].yaml) != NULL)
            fail_msg("accepted: %s", rows[i].yaml);
        if (!span_has(said(), rows[i].message))
            fail_msg("\"%s\" is not in: %.*s", rows[i].message, (int)said().len, said().p);
    }
}

/* Each is accepted with one warning, or with none. */
static void what_is_doubtful_is_warned_of(void **state)
{
#define ROUTES(list) "version: 1\n" SITE "    routes: [" list "]\n"
    static const struct {
        const char *yaml, *code;
    } rows[] = {
        { "version: 1\nserver: {sandbox: off}\n" SITE, "SP0403" },
        { "version: 1\nserver: {sandbox: auto}\n" SITE, NULL },
        { "version: 1\nsites:\n  - host: a\n    upstream: {servers: [\"https://127.0.0.1:1\"], "
          "tls: {verify: false}}\n",
          "SP0403" },
        { ROUTES("{path: /a}, {path: /a}"), "SP0402" },
        { ROUTES("{path: /**}, {path: /a}"), "SP0402" },
        { ROUTES("{path: /a, methods: [GET]}, {path: /a, methods: [GET]}"), "SP0402" },
        { ROUTES("{path: /a/**}, {path: /a}"), NULL },
        { ROUTES("{path: /a, methods: [GET]}, {path: /a}"), NULL },
        { ROUTES("{path: /a, methods: [GET]}, {path: /a, methods: [GET, PUT]}"), NULL },
        { ROUTES("{path: /**, methods: [GET]}, {path: /a}"), NULL },
    };
#undef ROUTES

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        (void)good(rows[i].yaml);
        assert_int_equal(diags.warnings, rows[i].code != NULL);
        if (rows[i].code != NULL && !span_has(said(), rows[i].code))
            fail_msg("\"%s\" is not in: %.*s", rows[i].code, (int)said().len, said().p);
    }
}

static void all_errors_are_told_in_one_run(void **state)
{
    (void)state;
    assert_null(load("version: 1\nserver: {workers: many}\nsites:\n"
                     "  - {host: a, upstream: \"ftp://x\"}\n"
                     "  - {host: b, upstream: \"http://127.0.0.1:1\", tls: {cert: /x}}\n"));
    if (diags.errors < 3)
        fail_msg("%.*s", (int)said().len, said().p);
}

static void protect_needs_no_file(void **state)
{
    struct load l = { .arena = &arena, .diags = &diags };

    (void)state;
    diags_init(&diags, &arena);
    const struct config *config = load_protect(&l, "http://127.0.0.1:3000");
    assert_non_null(config);
    assert_int_equal(route_of(config, "/")->upstream->servers[0].addrs[0].port, 3000);
    assert_null(load_protect(&l, "http://x\"\nsites: []"));
}

static void the_pipeline_names_the_stages_in_order(void **state)
{
    (void)state;
    const struct config *config =
        good("version: 1\n"
             "defaults: {waf: off, headers: strict, deny: [192.0.2.0/24], "
             "allow: [198.51.100.0/24]}\n" SITE);
    struct text text = text_growing(&arena, 4096);
    load_print_pipeline(&text, config);
    struct span all = text_span(&text);
    assert_true(span_has(all, "allow") && span_has(all, "deny") && span_has(all, "headers"));
    ssize_t allow = -1, deny = -1;
    for (size_t i = 0; i + 5 <= all.len; i++) {
        if (allow < 0 && memcmp(all.p + i, "allow", 5) == 0)
            allow = (ssize_t)i;
        if (deny < 0 && memcmp(all.p + i, "deny", 4) == 0)
            deny = (ssize_t)i;
    }
    assert_true(allow >= 0 && allow < deny); /* an operator is never locked out */
}

#define CASE(fn) cmocka_unit_test_setup_teardown(fn, open_folder, close_folder)

int main(void)
{
    return RUN(CASE(the_smallest_file_has_safe_defaults), CASE(routes_inherit_and_replace),
               CASE(the_least_strict_mode_wins),
               CASE(connections_are_asked_what_the_file_names), CASE(counts_have_their_limits),
               CASE(what_is_wrong_is_said), CASE(what_is_doubtful_is_warned_of),
               CASE(all_errors_are_told_in_one_run), CASE(protect_needs_no_file),
               CASE(the_pipeline_names_the_stages_in_order));
}
