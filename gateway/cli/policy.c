/*
 * `sallyport policy test METHOD URL`: what the configuration says about somebody who asks for
 * this. Who asks is taken from the flags.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "gateway/cli/cli.h"
#include "gateway/cli/policycase.h"

enum { POLICY_WORDS_MAX = 64 };

struct who {
    struct identity identity;
    struct span groups[POLICY_WORDS_MAX];
    struct claim claims[POLICY_WORDS_MAX];
};

/* ---- the question ---- */

/* When, and how long before he proved who he is. */
static int read_times(struct policy_case *test, struct who *who,
                      const struct arguments *arguments)
{
    const char *at = arguments->values[FLAG_AT], *proved = arguments->values[FLAG_PROVED];
    struct tm tm = { .tm_isdst = -1 };
    int64_t ago_s = 0;
    if (at != NULL) {
        const char *end = strptime(at, "%Y-%m-%dT%H:%M", &tm);
        time_t when = end != NULL && *end == '\0' ? mktime(&tm) : -1;
        if (when < 0)
            return usage_error("--at is such as 2030-01-31T17:00");
        test->clock.wall_us = (uint64_t)when * 1000000u;
    }
    uint64_t now_s = test->clock.wall_us / 1000000u;
    if (proved != NULL && (!length_read(span_text(proved), &ago_s) || (uint64_t)ago_s >= now_s))
        return usage_error("--proved takes a time of at least a second: 90s, 2h, 7d");
    who->identity.proved_s = now_s - (uint64_t)ago_s;
    return EXIT_GOOD;
}

static int read_who(struct policy_case *test, struct who *who,
                    const struct arguments *arguments)
{
    struct identity *identity = &who->identity;
    const char *from = arguments->values[FLAG_FROM];
    struct span groups = span_text(arguments->values[FLAG_GROUPS]), one;
    struct span claims = span_text(arguments->values[FLAG_CLAIMS]);
    while (identity->group_count < POLICY_WORDS_MAX && groups.len > 0 &&
           span_cut(&groups, ',', &one))
        who->groups[identity->group_count++] = one;
    while (identity->claim_count < POLICY_WORDS_MAX && claims.len > 0 &&
           span_cut(&claims, ',', &one)) {
        struct claim *claim = &who->claims[identity->claim_count++];
        claim->value = one;
        if (!span_cut(&claim->value, '=', &claim->name) || claim->value.p == NULL)
            return usage_error("--claims are such as plan=gold,scope=read");
    }
    identity->user = span_text(arguments->values[FLAG_USER]);
    identity->groups = who->groups;
    identity->claims = who->claims;
    identity->mfa = arguments->values[FLAG_MFA] != NULL;
    test->txn.facts.auth = span_text(arguments->values[FLAG_AUTH]);
    test->txn.facts.user = identity->user;
    test->txn.facts.identity = identity->user.len > 0 ? identity : NULL;
    if (!addr_parse(from != NULL ? span_text(from) : SPAN("192.0.2.1"), &test->txn.client))
        return usage_error("--from is an address");
    return read_times(test, who, arguments);
}

/* ---- the answer ---- */

static void print_answer(const struct policy_case *test, const struct policy_answer *answer,
                         bool json)
{
    char buffer[4096];
    struct text out = text_fixed(buffer, sizeof(buffer));
    const struct txn *txn = &test->txn;
    if (!json) {
        (void)printf("%s (%s)\n  site %s, route %s", answer->decision, answer->detail,
                     txn->site->name, txn->route->name);
        for (unsigned i = 0; i < answer->gate_count; i++)
            (void)printf("%s%s", i == 0 ? ", who signs in by " : " or ",
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
    struct who who = { .identity = { .mfa = false } };
    int code = read_who(test, &who, arguments);
    if (code != EXIT_GOOD)
        return code;
    struct policy_answer answer =
        policycase_ask(test, arguments->operands[1], arguments->operands[2]);
    if (answer.trouble != NULL)
        return usage_error("%s", answer.trouble);
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
                           "[--claims NAME=VALUE,...] [--auth WAY] [--mfa] [--proved TIME] "
                           "[--at TIME] [--from ADDRESS]");
    if (arguments->values[FLAG_CONFIG] == NULL)
        return usage_error("policy test needs -c FILE");
    struct policy_case *test = calloc(1, sizeof(*test));
    if (test == NULL)
        return EXIT_TROUBLE;
    int code = policycase_open(test, arguments->values[FLAG_CONFIG], false);
    if (code == EXIT_GOOD)
        code = run_case(test, arguments, json);
    policycase_close(test);
    free(test);
    return code;
}
