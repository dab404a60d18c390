/*
 * `sallyport sessions list|end ID|end-user NAME`: who is signed in now, and their ends. The
 * store comes last: what was ended here must not come back from there.
 */
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "gateway/cli/control.h"
#include "gateway/cli/sessions.h"

static void print_time(json_int_t at_s)
{
    char text[32] = "?";
    time_t at = (time_t)at_s;
    struct tm tm;
    if (gmtime_r(&at, &tm) != NULL)
        (void)strftime(text, sizeof(text), "%Y-%m-%dT%H:%M:%SZ", &tm);
    (void)printf("%-21s", text);
}

/* Names come from a provider, perhaps: nothing of them may steer a terminal. */
static void print_name(const char *name)
{
    size_t shown = 0;
    for (; name != NULL && *name != '\0'; name++, shown++)
        (void)putchar(*name >= ' ' && *name < 0x7f ? *name : '?');
    (void)printf("%*s", shown < 24 ? (int)(24 - shown) : 1, "");
}

static void print_list(const json_t *answer)
{
    const json_t *sessions = json_object_get(answer, "sessions"), *one;
    size_t i;
    json_array_foreach(sessions, i, one)
    {
        (void)printf("%s  ", json_string_value(json_object_get(one, "session")));
        print_name(json_string_value(json_object_get(one, "user")));
        print_time(json_integer_value(json_object_get(one, "since")));
        print_time(json_integer_value(json_object_get(one, "seen")));
        print_time(json_integer_value(json_object_get(one, "until")));
        (void)putchar('\n');
    }
}

static json_t *request_of(const struct arguments *arguments)
{
    const char *action = arguments->operand_count > 0 ? arguments->operands[0] : "list";
    if (strcmp(action, "list") == 0 && arguments->operand_count <= 1)
        return json_pack("{s:s, s:s}", "command", "sessions", "action", "list");
    if (strcmp(action, "end") == 0 && arguments->operand_count == 2)
        return json_pack("{s:s, s:s, s:s}", "command", "sessions", "action", "end", "session",
                         arguments->operands[1]);
    if (strcmp(action, "end-user") == 0 && arguments->operand_count == 2)
        return json_pack("{s:s, s:s, s:s}", "command", "sessions", "action", "end-user", "user",
                         arguments->operands[1]);
    return NULL;
}

/* The same where other nodes know of it. */
static int in_store(const struct arguments *arguments, json_t *answer)
{
    if (!json_is_true(json_object_get(answer, "shared")))
        return EXIT_GOOD;
    if (arguments->operand_count < 2)
        return sessions_shared_list(arguments, answer);
    return strcmp(arguments->operands[0], "end") == 0
               ? sessions_shared_end(arguments, arguments->operands[1], answer)
               : sessions_shared_end_user(arguments, arguments->operands[1], answer);
}

int verb_sessions(const struct arguments *arguments)
{
    json_t *request = request_of(arguments), *answer = NULL;
    bool json;
    if (!output_is_json(arguments, &json) || request == NULL) {
        json_decref(request);
        return usage_error("sessions list | sessions end ID | sessions end-user NAME");
    }
    int code = control_ask(arguments, request, &answer);
    if (code != EXIT_GOOD)
        return code;
    const char *trouble = json_string_value(json_object_get(answer, "error"));
    if (trouble == NULL)
        code = in_store(arguments, answer);
    if (trouble != NULL) {
        (void)usage_error("%s", trouble);
        code = EXIT_TROUBLE;
    } else if (code != EXIT_GOOD) {
        json_decref(answer);
        return code;
    } else if (json) {
        (void)json_dumpf(answer, stdout, JSON_COMPACT);
        (void)putchar('\n');
    } else if (json_object_get(answer, "sessions") != NULL) {
        print_list(answer);
    } else {
        (void)printf("%lld ended\n",
                     (long long)json_integer_value(json_object_get(answer, "ended")));
    }
    json_decref(answer);
    return code;
}
