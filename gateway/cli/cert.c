/* `sallyport cert list|renew [NAME]`: certificates that the gateway gets by ACME. */
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

#include "gateway/cli/control.h"

enum { POLL_US = 250 * 1000, WAIT_POLLS = 20 * 60 * 4 /* twenty minutes */ };

static const char usage[] = "cert list | cert renew [NAME] [--wait]";

static const char *text_of(const json_t *one, const char *key)
{
    const char *text = json_string_value(json_object_get(one, key));
    return text != NULL ? text : "-";
}

static void print_list(const json_t *answer)
{
    const json_t *one;
    size_t i;

    (void)printf("%-32s %-16s %-25s %s\n", "SITE", "STATE", "UNTIL", "NEXT");
    json_array_foreach(json_object_get(answer, "certificates"), i, one)
    {
        (void)printf("%-32s %-16s %-25s %s\n", text_of(one, "site"), text_of(one, "state"),
                     text_of(one, "until"), text_of(one, "next"));
        if (json_object_get(one, "why") != NULL)
            (void)printf("    %s\n", text_of(one, "why"));
    }
}

static json_t *request_of(const char *action, const char *name)
{
    json_t *request = json_pack("{s:s, s:s}", "command", "cert", "action", action);
    if (name != NULL)
        (void)json_object_set_new(request, "name", json_string(name));
    return request;
}

/* By its site or a host, as the gateway has it; NULL: all of them. */
static bool is_named(const json_t *one, const char *name)
{
    const json_t *host;
    size_t i;

    if (name == NULL || strcmp(text_of(one, "site"), name) == 0)
        return true;
    json_array_foreach(json_object_get(one, "hosts"), i, host)
    {
        if (strcasecmp(json_string_value(host), name) == 0)
            return true;
    }
    return false;
}

static bool is_open(const json_t *one)
{
    const char *state = text_of(one, "state");
    return strcmp(state, "ordering") == 0 || strcmp(state, "queued") == 0;
}

static bool is_failing(const json_t *one)
{
    return json_integer_value(json_object_get(one, "failures")) > 0;
}

static bool any_named(const json_t *answer, const char *name, bool (*is)(const json_t *one))
{
    const json_t *one;
    size_t i;

    json_array_foreach(json_object_get(answer, "certificates"), i, one)
    {
        if (is_named(one, name) && is(one))
            return true;
    }
    return false;
}

/* Until none of that name is under way; `*answer` is then the list. */
static int wait_for_orders(const struct arguments *arguments, const char *name, json_t **answer)
{
    for (int i = 0; i < WAIT_POLLS; i++) {
        json_decref(*answer);
        *answer = NULL;
        int code = control_ask(arguments, request_of("list", NULL), answer);
        if (code != EXIT_GOOD)
            return code;
        if (!any_named(*answer, name, is_open))
            return any_named(*answer, name, is_failing) ? EXIT_TROUBLE : EXIT_GOOD;
        (void)usleep(POLL_US);
    }
    return EXIT_TROUBLE;
}

int verb_cert(const struct arguments *arguments)
{
    const char *action = arguments->operand_count > 0 ? arguments->operands[0] : "list";
    const char *name = arguments->operand_count > 1 ? arguments->operands[1] : NULL;
    bool renew = strcmp(action, "renew") == 0, json;
    json_t *answer = NULL;

    if (!output_is_json(arguments, &json))
        return EXIT_BAD;
    if ((!renew && strcmp(action, "list") != 0) || (!renew && name != NULL) ||
        arguments->operand_count > 2)
        return usage_error("%s", usage);
    int code = control_ask(arguments, request_of(action, name), &answer);
    if (code != EXIT_GOOD)
        return code;
    const char *trouble = json_string_value(json_object_get(answer, "error"));
    if (trouble != NULL) {
        (void)usage_error("%s", trouble);
        json_decref(answer);
        return EXIT_TROUBLE;
    }
    bool waited = renew && arguments->values[FLAG_WAIT] != NULL;
    if (waited)
        code = wait_for_orders(arguments, name, &answer);
    if (answer != NULL && json) {
        (void)json_dumpf(answer, stdout, JSON_COMPACT);
        (void)putchar('\n');
    } else if (answer != NULL && (waited || !renew)) {
        print_list(answer);
    } else if (answer != NULL) {
        (void)printf("%lld asked for\n",
                     (long long)json_integer_value(json_object_get(answer, "asked")));
    }
    json_decref(answer);
    return code;
}
