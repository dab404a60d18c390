/* One row a trick, with the publication that it is from. */
#include "gateway/cli/selftest_requests.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "gateway/chain/edit.h"
#include "gateway/cli/cli.h"
#include "gateway/cli/policycase.h"

/* Whoever may see /public has no way from there to /admin, nor to what no rule names. */
static const char yaml[] = "version: 1\n"
                           "server: {listen: {http: \"127.0.0.1:0\"}}\n"
                           "audit: off\n"
                           "sites:\n"
                           "  - host: app.example\n"
                           "    upstream: http://127.0.0.1:9\n"
                           "    waf: {mode: off}\n"
                           "    policy:\n"
                           "      - {name: ops, paths: [/admin/**], groups: [ops]}\n"
                           "      - {name: not-admin, do: deny, paths: [/admin/**]}\n"
                           "      - {name: public, paths: [/public/**], methods: [GET]}\n"
                           "      - {name: staff, groups: [staff]}\n"
                           "    routes:\n"
                           "      - path: /raw/**\n"
                           "        preserve_encoded: true\n"
                           "        policy: [{name: raw, paths: [/raw/open/**]}]\n"
                           "  - host: other.example\n"
                           "    upstream: http://127.0.0.1:9\n"
                           "    waf: {mode: off}\n"
                           "    policy: [{name: all, paths: [/**]}]\n";

struct trick {
    const char *name, *method, *url;
    const char *field, *value; /* that the request has besides; NULL: none */
    const char *group;         /* of a user; NULL: nobody */
    bool allowed;
};

#define APP "https://app.example"

static const struct trick tricks[] = {
    { "honest stranger", "GET", APP "/public/x", NULL, NULL, NULL, true },
    { "honest operator", "GET", APP "/admin/x", NULL, NULL, "ops", true },
    { "honest operator, host in capitals", "GET", "https://APP.Example/admin/x", NULL, NULL,
      "ops", true },
    { "nobody where a gate is", "GET", APP "/admin/x", NULL, NULL, NULL, false },
    { "somebody else where a gate is", "GET", APP "/admin/x", NULL, NULL, "staff", false },
    { "nobody where no rule is (default deny)", "GET", APP "/", NULL, NULL, NULL, false },
    { "path ..", "GET", APP "/public/../admin/x", NULL, NULL, NULL, false },
    { "path %2e%2e", "GET", APP "/public/%2e%2e/admin/x", NULL, NULL, NULL, false },
    { "path .%2e", "GET", APP "/public/.%2e/admin/x", NULL, NULL, NULL, false },
    { "path ..%2f", "GET", APP "/public/..%2fadmin/x", NULL, NULL, NULL, false },
    { "path ..%5c", "GET", APP "/public/..%5cadmin/x", NULL, NULL, NULL, false },
    { "path ..\\", "GET", APP "/public/..\\admin/x", NULL, NULL, NULL, false },
    { "path ..;", "GET", APP "/public/..;/admin/x", NULL, NULL, NULL, false },
    { "path ..%3b", "GET", APP "/public/..%3b/admin/x", NULL, NULL, NULL, false },
    { "path with a parameter", "GET", APP "/admin;/public/x", NULL, NULL, NULL, false },
    { "path with a parameter before the slash", "GET", APP "/admin;a=/public/x", NULL, NULL,
      "staff", false },
    { "path with two slashes", "GET", APP "//admin/x", NULL, NULL, "staff", false },
    { "path with a dot", "GET", APP "/./admin/x", NULL, NULL, "staff", false },
    { "path with an encoded letter", "GET", APP "/%61dmin/x", NULL, NULL, "staff", false },
    { "path encoded twice", "GET", APP "/public/%252e%252e/../../admin/x", NULL, NULL, NULL,
      false },
    { "path with an encoded slash", "GET", APP "/%2fadmin/x", NULL, NULL, "staff", false },
    { "path in overlong UTF-8", "GET", APP "/public/%c0%ae%c0%ae/../../admin/x", NULL, NULL,
      NULL, false },
    { "path with NUL", "GET", APP "/admin%00/../public/x", NULL, NULL, "staff", false },
    { "path with half an escape (CVE-2021-32637)", "GET", APP "/%/public/x", NULL, NULL, "ops",
      false },
    { "path with a bad escape (CVE-2021-32637)", "GET", APP "/public/%zz/x", NULL, NULL, NULL,
      false },
    { "path with a line end", "GET", APP "/public/\r\nx", NULL, NULL, NULL, false },
    { "encoded slash where they are kept (CVE-2023-33189)", "GET", APP "/raw/open%2f..%2fx",
      NULL, NULL, NULL, false },
    { "encoded slash before what is open", "GET", APP "/raw%2fopen/../x", NULL, NULL, NULL,
      false },
    { "query that looks like an open path (CVE-2025-54576)", "GET", APP "/admin/x?/public/x",
      NULL, NULL, NULL, false },
    { "query with another path behind ..", "GET", APP "/admin/x?a=/../../public/x", NULL, NULL,
      NULL, false },
    { "fragment (CVE-2026-41059)", "GET", APP "/admin/x#/public/x", NULL, NULL, "staff",
      false },
    { "encoded fragment (CVE-2026-41059)", "GET", APP "/admin/x%23/public/x", NULL, NULL, NULL,
      false },
    { "host in capitals (CVE-2026-77560)", "GET", "https://APP.EXAMPLE/admin/x", NULL, NULL,
      "staff", false },
    { "host with a dot behind", "GET", "https://app.example./admin/x", NULL, NULL, "staff",
      false },
    { "host with a port", "GET", "https://app.example:8443/admin/x", NULL, NULL, "staff",
      false },
    { "user@ before the host", "GET", "https://other.example@app.example/admin/x", NULL, NULL,
      "staff", false },
    { "host behind user@", "GET", "https://app.example@other.example:x/", NULL, NULL, NULL,
      false },
    { "another method", "POST", APP "/public/x", NULL, NULL, NULL, false },
    { "method in small letters", "get", APP "/public/x", NULL, NULL, NULL, false },
    { "method of somebody's own", "GETT", APP "/public/x", NULL, NULL, NULL, false },
    { "another method by a field", "POST", APP "/public/x", "X-HTTP-Method-Override", "GET",
      NULL, false },
    { "user agent of a health check (CVE-2026-34457)", "GET", APP "/admin/x", "User-Agent",
      "GoogleHC/1.0", NULL, false },
    { "user agent kube-probe", "GET", APP "/admin/x", "User-Agent", "kube-probe/1.27", NULL,
      false },
    { "user agent that is empty (oauth2-proxy 649)", "GET", APP "/admin/x", "User-Agent", "",
      NULL, false },
    { "X-Forwarded-Uri (CVE-2026-40575)", "GET", APP "/admin/x", "X-Forwarded-Uri", "/public/x",
      NULL, false },
    { "X-Original-URL", "GET", APP "/admin/x", "X-Original-URL", "/public/x", NULL, false },
    { "X-Rewrite-URL", "GET", APP "/admin/x", "X-Rewrite-URL", "/public/x", NULL, false },
    { "X-Forwarded-Host", "GET", APP "/admin/x", "X-Forwarded-Host", "other.example", NULL,
      false },
    { "X-Forwarded-Prefix (CVE-2026-35051)", "GET", APP "/admin/x", "X-Forwarded-Prefix",
      "/public", NULL, false },
    { "X-Forwarded-For of this machine", "GET", APP "/admin/x", "X-Forwarded-For", "127.0.0.1",
      NULL, false },
    { "name of a user in a field", "GET", APP "/admin/x", "X-Remote-User", "root", NULL,
      false },
    { "groups in a field", "GET", APP "/admin/x", "X-Remote-Groups", "ops", "staff", false },
    { "internal call by a field (CVE-2025-29927)", "GET", APP "/admin/x",
      "X-Middleware-Subrequest", "middleware:middleware", NULL, false },
};

static const char *try_request(struct policy_case *test, const struct trick *trick)
{
    static struct identity identity;
    struct arena arena;
    struct span field[1][2], group = span_text(trick->group);
    arena_init(&arena, NULL, 0, NULL, 1 << 20);
    test->txn.arena = &arena;
    test->fields = field;
    test->field_count = trick->field != NULL;
    if (trick->field != NULL) {
        field[0][0] = span_text(trick->field);
        field[0][1] = span_text(trick->value);
    }
    identity = (struct identity){ .user = SPAN("ann"), .groups = &group, .group_count = 1 };
    test->txn.facts.user = trick->group != NULL ? identity.user : SPAN("");
    test->txn.facts.identity = trick->group != NULL ? &identity : NULL;
    struct policy_answer answer = policycase_ask(test, trick->method, trick->url);
    bool allowed = answer.trouble == NULL && strcmp(answer.decision, "allow") == 0;
    const char *trouble = allowed == trick->allowed ? NULL
                          : allowed                 ? "was let through"
                                                    : "was refused";
    test->txn.arena = &test->loaded.arena;
    test->txn.scope = NULL;
    test->fields = NULL;
    test->field_count = 0;
    arena_reset(&arena);
    return trouble;
}

/* ---- fields ---- */

/* Ours on each site, or lent by a stage: whatever the client calls so is gone. */
static const struct {
    const char *name, *field;
    bool ours;
} aliases[] = {
    { "lent field", "X-Remote-User", false },
    { "lent field in small letters", "x-remote-user", false },
    { "lent field with underscores (CVE-2025-64484, CVE-2026-39858)", "X_Remote_User", false },
    { "lent field with one underscore", "X-Remote_User", false },
    { "lent field with dots (PHP)", "X.Remote.User", false },
    { "lent field, everything at once", "x_REMOTE.uSER", false },
    { "Forwarded", "Forwarded", true },
    { "X-Forwarded-For", "X-Forwarded-For", true },
    { "X_Forwarded_For", "X_Forwarded_For", true },
    { "X-Forwarded-Host (caddy-security 268)", "x-forwarded-host", true },
    { "X.Forwarded.Host", "X.Forwarded.Host", true },
    { "X-Forwarded-Proto", "X-Forwarded-Proto", true },
    { "X-Forwarded-Prefix (CVE-2026-35051)", "X-Forwarded-Prefix", true },
    { "X-Forwarded-Uri (CVE-2026-40575)", "X-Forwarded-Uri", true },
    { "X-Real-IP", "X-Real_IP", true },
    { "True-Client-IP", "True-Client-IP", true },
    { "X-Original-URL", "X-Original-URL", true },
    { "Proxy (httpoxy)", "Proxy", true },
};

static bool has_alias(const struct fields *fields, struct span name)
{
    for (unsigned i = 0; i < fields->count; i++)
        if (!fields->items[i].dropped && field_name_alias(fields->items[i].name, name))
            return true;
    return false;
}

static const char *try_field(struct policy_case *test, const char *field, bool ours)
{
    struct arena arena;
    struct fields fields = { .count = 0 };
    const char *trouble = "memory";
    struct span name = span_text(field);
    arena_init(&arena, NULL, 0, NULL, 1 << 20);
    test->txn.arena = &arena;
    test->txn.edits = NULL;
    test->txn.edits_tail = &test->txn.edits;
    if (fields_init(&fields, &arena, 8) == OK &&
        fields_add(&fields, &arena, name, SPAN("root")) == OK &&
        fields_add(&fields, &arena, name, SPAN("eve")) == OK &&
        (ours || edit_lend_field(&test->txn, SPAN("X-Remote-User"), SPAN("ann")))) {
        if (ours)
            fields_drop_ours(&fields);
        trouble = edits_apply(&test->txn, EDIT_REQUEST, &fields) != OK ? "memory" : NULL;
        unsigned left = 0;
        for (unsigned i = 0; i < fields.count; i++)
            left += !fields.items[i].dropped && field_name_alias(fields.items[i].name, name) &&
                    !span_equal(fields.items[i].value, SPAN("ann"));
        if (left > 0 || has_alias(&fields, name) != !ours)
            trouble = "reached the application";
    }
    test->txn.edits = NULL;
    test->txn.edits_tail = &test->txn.edits;
    test->txn.arena = &test->loaded.arena;
    arena_reset(&arena);
    return trouble;
}

static const struct {
    const char *name;
    struct span value;
} values[] = {
    { "lent name with a line end", SPAN_INIT("ann\r\nX-Admin: 1") },
    { "lent name with LF", SPAN_INIT("ann\nX-Admin: 1") },
    { "lent name with NUL", SPAN_INIT("ann\0root") },
};

static const char *try_value(struct policy_case *test, struct span value)
{
    struct arena arena;
    arena_init(&arena, NULL, 0, NULL, 1 << 16);
    test->txn.arena = &arena;
    test->txn.edits = NULL;
    test->txn.edits_tail = &test->txn.edits;
    bool taken = edit_lend_field(&test->txn, SPAN("X-Remote-User"), value);
    test->txn.edits = NULL;
    test->txn.edits_tail = &test->txn.edits;
    test->txn.arena = &test->loaded.arena;
    arena_reset(&arena);
    return taken ? "was lent" : NULL;
}

/* ---- all of them ---- */

struct telling {
    void (*tell)(void *ctx, const char *name, const char *trouble);
    void *ctx;
    struct selftest_result result;
};

static void say(struct telling *telling, const char *name, const char *trouble)
{
    telling->tell(telling->ctx, name, trouble);
    telling->result.passed += trouble == NULL;
    telling->result.failed += trouble != NULL;
}

static void try_all(struct policy_case *test, struct telling *telling)
{
    if (!addr_parse(SPAN("192.0.2.1"), &test->txn.client))
        return;
    test->txn.edits_tail = &test->txn.edits;
    for (size_t i = 0; i < ARRAY_LEN(tricks); i++)
        say(telling, tricks[i].name, try_request(test, &tricks[i]));
    for (size_t i = 0; i < ARRAY_LEN(aliases); i++)
        say(telling, aliases[i].name, try_field(test, aliases[i].field, aliases[i].ours));
    for (size_t i = 0; i < ARRAY_LEN(values); i++)
        say(telling, values[i].name, try_value(test, values[i].value));
}

/* The configuration is read from a file, as any other. */
struct selftest_result
selftest_requests(void (*tell)(void *ctx, const char *name, const char *trouble), void *ctx)
{
    struct telling telling = { .tell = tell, .ctx = ctx };
    char path[] = "/tmp/sallyport-selftest-XXXXXX";
    struct policy_case *test = calloc(1, sizeof(*test));
    int fd = mkstemp(path);
    if (test == NULL || fd < 0 || !print_all(fd, span_text(yaml))) {
        say(&telling, "a configuration for the test", "it cannot be written to /tmp");
    } else {
        if (policycase_open(test, path, false) == EXIT_GOOD)
            try_all(test, &telling);
        else
            say(&telling, "a configuration for the test", "it cannot be loaded");
        policycase_close(test);
    }
    if (fd >= 0) {
        (void)unlink(path);
        (void)close(fd);
    }
    free(test);
    return telling.result;
}
