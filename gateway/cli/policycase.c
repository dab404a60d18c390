/* The way of a request from its URL to a route, and what stands there. */
#include "gateway/cli/policycase.h"

#include <stdlib.h>
#include <unistd.h>

#include "auth/apikeys.h"
#include "auth/login.h"
#include "auth/policy.h"
#include "auth/provider.h"
#include "gateway/chain/chain.h"
#include "gateway/cli/cli.h"
#include "gateway/cli/stand.h"

int policycase_open(struct policy_case *test, const char *path, bool quiet)
{
    loaded_open(&test->loaded, path);
    struct config *config = test->loaded.config;
    test->worker = NULL;
    if (config == NULL) {
        if (!quiet)
            loaded_print(&test->loaded, STDERR_FILENO, false);
        return EXIT_BAD;
    }
    clock_read(&test->clock);
    test->worker = calloc(1, sizeof(*test->worker));
    if (test->worker == NULL ||
        snapshots_init(&test->snapshots, &test->loaded.arena, snapshot_ids(config)) != OK)
        return EXIT_TROUBLE;
    for (uint32_t id = 0; id < config->list_count; id++)
        snapshot_initial(&test->snapshots, id, config->lists[id].built);
    key_files_initial(&test->snapshots, config);
    providers_initial(&test->snapshots, config);
    user_files_initial(&test->snapshots, config);
    if (stand_geo(test->worker, &test->snapshots, config, &test->loaded.arena) != OK)
        return EXIT_TROUBLE;
    test->worker->snapshots = &test->snapshots;
    test->worker->config = config;
    test->txn = (struct txn){ .worker = test->worker,
                              .arena = &test->loaded.arena,
                              .clock = &test->clock,
                              .config = config,
                              .req = &test->req };
    return EXIT_GOOD;
}

void policycase_close(struct policy_case *test)
{
    free(test->worker);
    loaded_close(&test->loaded);
}

static bool read_request(struct policy_case *test, const char *method, const char *url,
                         bool preserve_encoded)
{
    struct arena *arena = test->txn.arena;
    struct uri uri;
    uint16_t port;
    test->req = (struct request){ .method = span_text(method) };
    test->req.method_id = method_of(test->req.method);
    enum http_error error =
        uri_parse(&uri, span_text(url), test->req.method_id, preserve_encoded, arena);
    if (error != HTTP_OK || uri.authority.len == 0 ||
        authority_parse(uri.authority, arena, &test->req.host, &port) != HTTP_OK)
        return false;
    test->req.path = uri.path;
    test->req.path_wire = uri.path_wire;
    test->req.path_plain = uri.path_plain;
    test->req.query = uri.query;
    test->req.has_query = uri.has_query;
    test->req.scheme = uri.scheme;
    test->req.minor = 1;
    if (fields_init(&test->req.fields, arena, 4) != OK)
        return false;
    for (size_t i = 0; i < test->field_count; i++)
        if (fields_add(&test->req.fields, arena, test->fields[i][0], test->fields[i][1]) != OK)
            return false;
    return true;
}

static const char *find_route(struct policy_case *test, const char *method, const char *url)
{
    static const char unread[] = "this is no URL that the gateway would take, such as "
                                 "https://example.org/reports";
    static const char no_route[] = "which route that is could not be decided";
    bool preserve_encoded = test->loaded.config->preserve_encoded;
    if (!read_request(test, method, url, preserve_encoded))
        return unread;
    test->txn.site = site_find(test->loaded.config, test->req.host);
    if (test->txn.site == NULL)
        return "no site of that name is served";
    test->txn.route = route_find(test->txn.site, &test->req, &test->txn);
    if (test->txn.route == NULL)
        return no_route;
    /* As in gateway/flow.c: only the routes that keep encoded slashes see them. */
    if (preserve_encoded && !test->txn.route->preserve_encoded) {
        if (!read_request(test, method, url, false))
            return unread;
        test->txn.route = route_find(test->txn.site, &test->req, &test->txn);
    }
    return test->txn.route != NULL ? NULL : no_route;
}

/* The stage by which somebody has signed in; NULL: by none of these, or it is not said which.
 */
static const struct stage_instance *way_of(const struct policy_case *test,
                                           const struct policy_answer *answer)
{
    struct span auth = test->txn.facts.auth;
    if (auth.len == 0 && answer->gate_count == 1)
        return answer->gates[0];
    for (unsigned i = 0; i < answer->gate_count; i++)
        if (span_equal(span_text(answer->gates[i]->type->name), auth))
            return answer->gates[i];
    return NULL;
}

static void judge(struct policy_case *test, const struct stage_instance *policy,
                  struct policy_answer *answer)
{
    struct txn *txn = &test->txn;
    struct span said = txn->facts.auth;
    const struct stage_instance *way = way_of(test, answer);
    const char *lacks = NULL;
    if (answer->gate_count > 0 && (txn->facts.user.len == 0 || (way == NULL && said.len > 0))) {
        answer->decision = "sign-in";
        answer->detail = "auth-required";
        return;
    }
    if (way != NULL && way->type->lacks != NULL && txn->facts.identity != NULL)
        lacks = way->type->lacks(way->conf, txn->facts.identity);
    if (lacks != NULL) {
        answer->decision = "deny";
        answer->detail = lacks;
    } else if (policy != NULL) {
        if (way != NULL && txn->facts.user.len > 0)
            txn->facts.auth = span_text(way->type->name);
        struct policy_decision decision = policy_decide(policy->conf, txn);
        answer->decision = decision.allowed ? "allow" : "deny";
        answer->detail = decision.detail;
        txn->facts.auth = said; /* the next route may have another way */
    }
}

struct policy_answer policycase_ask(struct policy_case *test, const char *method,
                                    const char *url)
{
    struct policy_answer answer = { .decision = "allow", .detail = "no-policy" };
    const struct stage_instance *policy = NULL;
    test->txn.scope = NULL; /* what is remembered of the request before */
    test->txn.undecided = false;
    answer.trouble = find_route(test, method, url);
    if (answer.trouble != NULL)
        return answer;
    const struct route *route = test->txn.route;
    for (unsigned i = 0; i < route->chain_count[PHASE_REQUEST_HEAD]; i++) {
        const struct stage_instance *stage = &route->chain[PHASE_REQUEST_HEAD][i];
        if (!chain_will_ask(&test->txn, stage))
            continue;
        if (stage->type == &policy_stage)
            policy = stage;
        if (stage->type->authenticates && answer.gate_count < ARRAY_LEN(answer.gates))
            answer.gates[answer.gate_count++] = stage;
    }
    judge(test, policy, &answer);
    return answer;
}
