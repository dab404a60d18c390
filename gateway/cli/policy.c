/*
 * `sallyport policy test METHOD URL`: what the configuration says about somebody who asks for
 * this, without a gateway that runs. The URL is read as the gateway reads it; who asks is taken
 * from the flags, as if some stage had verified it.
 */
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "auth/apikeys.h"
#include "auth/login.h"
#include "auth/policy.h"
#include "auth/provider.h"
#include "gateway/cli/cli.h"
#include "gateway/cli/loaded.h"
#include "gateway/http/uri.h"
#include "gateway/net/worker.h"

enum { POLICY_WORDS_MAX = 64 };

struct policy_case {
    struct loaded loaded;
    struct worker *worker;
    struct snapshots snapshots;
    struct request req;
    struct txn txn;
    struct clock clock;
    struct identity identity;
    struct span groups[POLICY_WORDS_MAX];
    struct claim claims[POLICY_WORDS_MAX];
};

/* ---- the question ---- */

static int read_request(struct policy_case *test, const char *method, const char *url,
                        bool preserve_encoded)
{
    struct arena *arena = &test->loaded.arena;
    struct uri uri;
    uint16_t port;
    test->req.method = span_text(method);
    test->req.method_id = method_of(test->req.method);
    enum http_error error =
        uri_parse(&uri, span_text(url), test->req.method_id, preserve_encoded, arena);
    if (error != HTTP_OK || uri.authority.len == 0 ||
        authority_parse(uri.authority, arena, &test->req.host, &port) != HTTP_OK)
        return usage_error("%s is no URL that the gateway would take, such as "
                           "https://example.org/reports",
                           url);
    test->req.path = uri.path;
    test->req.path_wire = uri.path_wire;
    test->req.path_plain = uri.path_plain;
    test->req.query = uri.query;
    test->req.has_query = uri.has_query;
    test->req.scheme = uri.scheme;
    test->req.minor = 1;
    return fields_init(&test->req.fields, arena, 4) == OK ? EXIT_GOOD : EXIT_TROUBLE;
}

static int read_who(struct policy_case *test, const struct arguments *arguments)
{
    struct identity *identity = &test->identity;
    const char *from = arguments->values[FLAG_FROM];
    struct span groups = span_text(arguments->values[FLAG_GROUPS]), one;
    struct span claims = span_text(arguments->values[FLAG_CLAIMS]);
    while (identity->group_count < POLICY_WORDS_MAX && groups.len > 0 &&
           span_cut(&groups, ',', &one))
        test->groups[identity->group_count++] = one;
    while (identity->claim_count < POLICY_WORDS_MAX && claims.len > 0 &&
           span_cut(&claims, ',', &one)) {
        struct claim *claim = &test->claims[identity->claim_count++];
        claim->value = one;
        if (!span_cut(&claim->value, '=', &claim->name) || claim->value.p == NULL)
            return usage_error("--claims are such as plan=gold,scope=read");
    }
    identity->user = span_text(arguments->values[FLAG_USER]);
    identity->groups = test->groups;
    identity->claims = test->claims;
    identity->mfa = arguments->values[FLAG_MFA] != NULL;
    identity->proved_s = test->clock.wall_us / 1000000u;
    test->txn.facts.user = identity->user;
    test->txn.facts.identity = identity->user.len > 0 ? identity : NULL;
    if (!addr_parse(from != NULL ? span_text(from) : SPAN("192.0.2.1"), &test->txn.client))
        return usage_error("--from is an address");
    return EXIT_GOOD;
}

static int open_case(struct policy_case *test, const struct arguments *arguments)
{
    const char *path = arguments->values[FLAG_CONFIG];
    if (path == NULL)
        return usage_error("policy test needs -c FILE");
    loaded_open(&test->loaded, path);
    struct config *config = test->loaded.config;
    if (config == NULL) {
        loaded_print(&test->loaded, STDERR_FILENO, false);
        return EXIT_BAD;
    }
    clock_read(&test->clock);
    test->worker = calloc(1, sizeof(*test->worker));
    size_t count = snapshot_ids(config);
    if (test->worker == NULL ||
        snapshots_init(&test->snapshots, &test->loaded.arena, count) != OK)
        return EXIT_TROUBLE;
    for (uint32_t id = 0; id < config->list_count; id++)
        snapshot_initial(&test->snapshots, id, config->lists[id].built);
    key_files_initial(&test->snapshots, config);
    providers_initial(&test->snapshots, config);
    user_files_initial(&test->snapshots, config);
    test->worker->snapshots = &test->snapshots;
    test->worker->config = config;
    test->txn = (struct txn){ .worker = test->worker,
                              .arena = &test->loaded.arena,
                              .clock = &test->clock,
                              .config = config,
                              .req = &test->req };
    int code = read_request(test, arguments->operands[1], arguments->operands[2],
                            config->preserve_encoded);
    return code == EXIT_GOOD ? read_who(test, arguments) : code;
}

/* ---- the answer ---- */

struct answer {
    const char *decision, *detail;
    const struct stage_instance *gates[8];
    unsigned gate_count;
};

static bool has_credentials(const struct policy_case *test)
{
    return test->txn.facts.user.len > 0;
}

static void decide(struct policy_case *test, struct answer *answer)
{
    const struct route *route = test->txn.route;
    const struct stage_instance *policy = NULL;
    for (unsigned i = 0; i < route->chain_count[PHASE_REQUEST_HEAD]; i++) {
        const struct stage_instance *stage = &route->chain[PHASE_REQUEST_HEAD][i];
        if (stage->type == &policy_stage && stage->mode == MODE_BLOCK)
            policy = stage;
        if (stage->type->authenticates && stage->mode == MODE_BLOCK &&
            answer->gate_count < ARRAY_LEN(answer->gates))
            answer->gates[answer->gate_count++] = stage;
    }
    answer->decision = "allow";
    answer->detail = "no-policy";
    if (answer->gate_count > 0 && !has_credentials(test)) {
        answer->decision = "sign-in";
        answer->detail = "auth-required";
    } else if (policy != NULL) {
        struct policy_decision decision = policy_decide(policy->conf, &test->txn);
        answer->decision = decision.allowed ? "allow" : "deny";
        answer->detail = decision.detail;
    }
}

static void print_answer(const struct policy_case *test, const struct answer *answer, bool json)
{
    char buffer[4096];
    struct text out = text_fixed(buffer, sizeof(buffer));
    const struct txn *txn = &test->txn;
    if (!json) {
        (void)printf("%s (%s)\n  site %s, route %s", answer->decision, answer->detail,
                     txn->site->name, txn->route->name);
        for (unsigned i = 0; i < answer->gate_count; i++)
            (void)printf("%s%s", i == 0 ? ", signed in by " : " or ",
                         answer->gates[i]->type->name);
        (void)putchar('\n');
        return;
    }
    struct json j = json_writer(&out);
    json_begin_object(&j, NULL);
    json_text(&j, "decision", span_text(answer->decision));
    json_text(&j, "detail", span_text(answer->detail));
    json_text(&j, "site", span_text(txn->site->name));
    json_text(&j, "route", span_text(txn->route->name));
    json_begin_array(&j, "gates");
    for (unsigned i = 0; i < answer->gate_count; i++)
        json_text(&j, NULL, span_text(answer->gates[i]->type->name));
    json_end_array(&j);
    json_end_object(&j);
    text_lit(&out, "\n");
    (void)print_all(STDOUT_FILENO, text_span(&out));
}

static int run_case(struct policy_case *test, const struct arguments *arguments, bool json)
{
    struct answer answer = { 0 };
    int code = open_case(test, arguments);
    if (code != EXIT_GOOD)
        return code;
    test->txn.site = site_find(test->loaded.config, test->req.host);
    if (test->txn.site == NULL)
        return usage_error("no site of that name is served");
    test->txn.route = route_find(test->txn.site, &test->req, &test->txn);
    if (test->txn.route == NULL)
        return usage_error("which route that is could not be decided");
    /* As in gateway/flow.c: only the routes that keep encoded slashes see them. */
    if (test->loaded.config->preserve_encoded && !test->txn.route->preserve_encoded) {
        code = read_request(test, arguments->operands[1], arguments->operands[2], false);
        if (code != EXIT_GOOD)
            return code;
        test->txn.route = route_find(test->txn.site, &test->req, &test->txn);
    }
    if (test->txn.route == NULL)
        return usage_error("which route that is could not be decided");
    decide(test, &answer);
    print_answer(test, &answer, json);
    return strcmp(answer.decision, "allow") == 0 ? EXIT_GOOD : EXIT_TROUBLE;
}

int verb_policy(const struct arguments *arguments)
{
    bool json;
    if (!output_is_json(arguments, &json))
        return EXIT_BAD;
    if (arguments->operand_count != 3 || strcmp(arguments->operands[0], "test") != 0)
        return usage_error("policy test METHOD URL [--user NAME] [--groups A,B] "
                           "[--claims NAME=VALUE,...] [--mfa] [--from ADDRESS]");
    struct policy_case *test = calloc(1, sizeof(*test));
    if (test == NULL)
        return EXIT_TROUBLE;
    int code = run_case(test, arguments, json);
    if (arguments->values[FLAG_CONFIG] != NULL)
        loaded_close(&test->loaded);
    free(test->worker);
    free(test);
    return code;
}
