/*
 * From what stages say of themselves to the chain of a route: bodies and answers they want,
 * pages they have. The list of stages is the test's own.
 */
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "gateway/http/message.h"
#include "gateway/load.h"
#include "gateway/load_site.h"
#include "gateway/stages.h"

#include "tests/unit/check.h"

struct probe_conf {
    struct texts pages;
    int64_t body, answer;
    bool strict;
};

static struct verdict nothing(struct call *c)
{
    (void)c;
    return pass();
}

static struct span page_of(const void *opened, unsigned i)
{
    const struct probe_conf *conf = opened;
    return i < conf->pages.count ? conf->pages.items[i] : SPAN("");
}

static uint64_t page_body(const void *opened)
{
    return (uint64_t)((const struct probe_conf *)opened)->body;
}

static bool wants_response(const void *opened)
{
    return ((const struct probe_conf *)opened)->answer > 0;
}

static uint64_t response_limit(const void *opened)
{
    return (uint64_t)((const struct probe_conf *)opened)->answer;
}

static bool response_over_denies(const void *opened)
{
    return ((const struct probe_conf *)opened)->strict;
}

static const struct option probe_options[] = {
    OPTION(struct probe_conf, pages, OPT_TEXTS, .help = "Pages."),
    OPTION(struct probe_conf, body, OPT_INT, .fallback = "0", .help = "Bytes of a page."),
    OPTION(struct probe_conf, answer, OPT_INT, .fallback = "0", .help = "Bytes of an answer."),
    OPTION(struct probe_conf, strict, OPT_BOOL, .fallback = "false", .help = "Over it."),
    OPTIONS_END,
};

#define PROBE(title)                                                                           \
    {                                                                                          \
        .name = title, .summary = "A test's.", .options = probe_options,                       \
        .conf_size = sizeof(struct probe_conf), .state_size = 24, .page = page_of,             \
        .page_body = page_body, .wants_response = wants_response,                              \
        .response_limit = response_limit, .response_over_denies = response_over_denies,        \
        .on = {                                                                                \
            [PHASE_REQUEST_HEAD] = nothing,                                                    \
            [PHASE_PAGE] = nothing,                                                            \
            [PHASE_RESPONSE_BODY] = nothing                                                    \
        }                                                                                      \
    }
static const struct stage_type first = PROBE("first"), second = PROBE("second");
static const struct stage_type guard = {
    .name = "guard",
    .summary = "A test's.",
    .options = probe_options,
    .conf_size = sizeof(struct probe_conf),
    .gate = true,
    .on = { [PHASE_REQUEST_HEAD] = nothing },
};
const struct stage_type *const stages[] = { &first, &second, &guard, NULL };

/* ---- loading ---- */

static struct arena arena;
static struct diags diags;
static char file[64];

static int open_arena(void **state)
{
    (void)state;
    (void)snprintf(file, sizeof file, "/tmp/load-chain-XXXXXX");
    int fd = mkstemp(file);
    assert_true(fd >= 0);
    (void)close(fd);
    arena_init(&arena, NULL, 0, NULL, 64 << 20);
    return 0;
}

static int close_arena(void **state)
{
    (void)state;
    (void)unlink(file);
    arena_reset(&arena);
    return 0;
}

#define SITE "version: 1\nsites:\n  - host: \"*\"\n    upstream: http://127.0.0.1:9000\n"

static struct config *load(const char *more)
{
    struct load l = { .arena = &arena, .diags = &diags };
    FILE *out = fopen(file, "w");

    assert_non_null(out);
    assert_true(fprintf(out, SITE "%s", more) > 0);
    assert_int_equal(fclose(out), 0);
    arena_reset(&arena);
    diags_init(&diags, &arena);
    return load_file(&l, file);
}

static const struct route *route_of(const struct config *config, const char *path)
{
    struct request req = { .path_plain = span_text(path), .method_id = METHOD_GET };

    assert_non_null(config);
    return route_find(site_find(config, SPAN("x")), &req, NULL);
}

static unsigned count_of(const struct route *route, enum phase phase,
                         const struct stage_type *type)
{
    unsigned count = 0;

    for (unsigned i = 0; i < route->chain_count[phase]; i++)
        count += route->chain[phase][i].type == type;
    return count;
}

/* ---- answers ---- */

static void answers_are_held_for_those_who_ask(void **state)
{
    static const struct {
        const char *yaml;
        bool holds, denies;
        uint64_t limit;
        unsigned stages;
    } rows[] = {
        { "", false, false, 0, 0 },
        { "    first: {answer: 1000}\n", true, false, 1000, 1 },
        { "    first: {answer: 1000}\n    second: {answer: 300}\n", true, false, 300, 2 },
        { "    first: {answer: 200, strict: true}\n    second: {answer: 300}\n", true, true,
          200, 2 },
        { "    first: {answer: 200, strict: true, mode: off}\n", false, false, 0, 0 },
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        const struct route *route = route_of(load(rows[i].yaml), "/");
        assert_int_equal(route->holds_response, rows[i].holds);
        assert_int_equal(route->response_over_denies, rows[i].denies);
        assert_int_equal(route->response_limit, rows[i].limit);
        assert_int_equal(route->chain_count[PHASE_RESPONSE_BODY], rows[i].stages);
    }
}

/* ---- pages ---- */

static void pages_are_routes_before_all_others(void **state)
{
    (void)state;
    const struct config *config =
        load("    guard: {}\n    routes:\n      - {path: \"/**\", respond: 204}\n"
             "      - {path: /in/**, upstream: http://127.0.0.1:9001, "
             "first: {pages: [login, log-out], body: 100, mode: detect}}\n");
    const struct route *page = route_of(config, "/.sallyport/login");

    assert_int_equal(page->handler, HANDLER_INTERNAL);
    assert_string_equal(page->name, "/.sallyport/login/**");
    assert_ptr_equal(page, route_of(config, "/.sallyport/login/x"));
    assert_int_equal(route_of(config, "/.sallyport/log-out")->handler, HANDLER_INTERNAL);
    assert_int_equal(route_of(config, "/.sallyport/logins")->handler, HANDLER_RESPOND);
    assert_int_equal(route_of(config, "/in/x")->handler, HANDLER_RESPOND);
    /* Of the route's own options, whatever its mode; without what may ask for a log-in. */
    assert_int_equal(page->chain_count[PHASE_PAGE], 1);
    assert_int_equal(page->chain[PHASE_PAGE][0].mode, MODE_BLOCK);
    assert_int_equal(((const struct probe_conf *)page->chain[PHASE_PAGE][0].conf)->body, 100);
    assert_int_equal(count_of(page, PHASE_REQUEST_HEAD, &guard), 0);
    assert_int_equal(count_of(page, PHASE_REQUEST_HEAD, &second), 1);
    assert_int_equal(count_of(route_of(config, "/"), PHASE_REQUEST_HEAD, &guard), 1);
    assert_true(page->holds_body);
    assert_int_equal(page->body_max, 100);
    assert_int_equal(page->body_limit, 100);
    const struct stage_instance *last = &page->chain[PHASE_PAGE][0];
    assert_true(last->state_offset + 24 <= page->state_size);
    /* And they do not show in what the file says. */
    struct text text = text_growing(&arena, 4096);
    load_print(&text, config);
    assert_int_equal(span_find(text_span(&text), SPAN("/.sallyport/")), -1);
    text = text_growing(&arena, 4096);
    load_print_pipeline(&text, config);
    assert_true(span_find(text_span(&text), SPAN("/.sallyport/login")) >= 0);
}

static void what_pages_must_not_be(void **state)
{
    static const struct {
        const char *yaml, *message;
    } rows[] = {
        { "    first: {pages: [a]}\n    second: {pages: [a]}\n", "two features of the site" },
        { "    first: {pages: [a]}\n    routes:\n      - {path: /x, first: {pages: [a]}}\n",
          "two features of the site" },
        { "    first: {pages: [A]}\n", "a page's name" },
        { "    first: {pages: [a/b]}\n", "a page's name" },
        { "    first: {pages: [aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa]}\n", "a page's name" },
        { "    first: {pages: [a,b,c,d,e,f,g,h,i,j,k,l,m,n,o,p,q]}\n", "more than 16 pages" },
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        assert_null(load(rows[i].yaml));
        struct text text = text_growing(&arena, 4096);
        diags_write(&text, &diags, DIAG_HUMAN);
        assert_true(span_find(text_span(&text), span_text(rows[i].message)) >= 0);
    }
    assert_non_null(load("    first: {pages: [aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa]}\n"));
    assert_non_null(load("    first: {pages: [a,b,c,d,e,f,g,h,i,j,k,l,m,n,o,p]}\n"));
    /* Inherited, it is one and the same. */
    assert_non_null(load("    first: {pages: [a]}\n    routes:\n      - {path: /x}\n"));
}

#define CASE(fn) cmocka_unit_test_setup_teardown(fn, open_arena, close_arena)

int main(void)
{
    return RUN(CASE(answers_are_held_for_those_who_ask),
               CASE(pages_are_routes_before_all_others), CASE(what_pages_must_not_be));
}
