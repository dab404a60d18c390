/*
 * `sallyport reload`, `sallyport upgrade` and `sallyport stop`. What would open what the audit
 * log shows as protected is not loaded (exposed.h).
 */
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "gateway/cli/control.h"
#include "gateway/cli/exposed.h"

/* Prints the answer; its exit code. */
static int outcome(json_t *answer, bool json, const char *done)
{
    bool ok = json_is_true(json_object_get(answer, "ok"));
    const char *diagnostics = json_string_value(json_object_get(answer, "diagnostics"));
    const char *error = json_string_value(json_object_get(answer, "error"));
    if (json) {
        (void)json_dumpf(answer, stdout, JSON_COMPACT);
        (void)putchar('\n');
    } else if (ok) {
        (void)printf("%s\n", done);
    } else {
        (void)fputs(diagnostics != NULL ? diagnostics : "", stderr);
        (void)usage_error("%s", error != NULL ? error : "refused");
    }
    json_decref(answer);
    if (ok)
        return EXIT_GOOD;
    return diagnostics != NULL ? EXIT_BAD : EXIT_TROUBLE;
}

/* The file that the gateway would load, also where only its socket is named. */
static int check_exposed(const struct arguments *arguments)
{
    const char *config = arguments->values[FLAG_CONFIG];
    json_t *answer = NULL;
    if (arguments->values[FLAG_FORCE] != NULL)
        return EXIT_GOOD;
    if (config == NULL) {
        int code = control_ask(arguments, json_pack("{s:s}", "command", "status"), &answer);
        if (code != EXIT_GOOD)
            return code;
        config = json_string_value(json_object_get(answer, "config"));
    }
    int code = config != NULL ? exposed_check(arguments, config) : EXIT_GOOD;
    json_decref(answer);
    return code;
}

static int ask_for(const struct arguments *arguments, const char *command, const char *begun,
                   const char *done)
{
    bool json, wait = arguments->values[FLAG_WAIT] != NULL;
    if (!output_is_json(arguments, &json))
        return EXIT_BAD;
    json_t *answer = NULL;
    int code = check_exposed(arguments);
    if (code != EXIT_GOOD)
        return code;
    code = control_ask(arguments,
                       json_pack("{s:s, s:b}", "command", command, "wait", (int)wait), &answer);
    if (code != EXIT_GOOD)
        return code;
    return outcome(answer, json, wait ? done : begun);
}

int verb_reload(const struct arguments *arguments)
{
    return ask_for(arguments, "reload", "reload begun", "the new configuration serves");
}

int verb_upgrade(const struct arguments *arguments)
{
    return ask_for(arguments, "upgrade", "upgrade begun", "the new version serves");
}

int verb_stop(const struct arguments *arguments)
{
    bool json;
    if (!output_is_json(arguments, &json))
        return EXIT_BAD;
    json_t *answer = NULL;
    int code = control_ask(arguments, json_pack("{s:s}", "command", "stop"), &answer);
    return code != EXIT_GOOD ? code : outcome(answer, json, "stopping");
}
