/*
 * `sallyport upstream list|drain URL|ready URL`: servers as the running gateway sees them, and
 * taking one out of service and back.
 */
#include <stdio.h>
#include <string.h>

#include "gateway/cli/control.h"

static void print_servers(const json_t *answer)
{
    size_t i;
    json_t *row, *circuits = json_object_get(answer, "circuits");

    (void)printf("%-10s %-8s %s\n", "state", "checked", "server");
    json_array_foreach(json_object_get(answer, "servers"), i, row)
    {
        const char *address = json_string_value(json_object_get(row, "address"));
        const char *state = json_string_value(json_object_get(row, "state"));
        if (strcmp(state, "empty") == 0)
            continue;
        const char *why = json_string_value(json_object_get(row, "why"));
        (void)printf("%-10s %-8s %s%s%s%s%s%s\n", state,
                     json_is_true(json_object_get(row, "checked")) ? "yes" : "no",
                     json_string_value(json_object_get(row, "server")),
                     address != NULL ? " " : "", address != NULL ? address : "",
                     why != NULL ? " (" : "", why != NULL ? why : "", why != NULL ? ")" : "");
    }
    if (json_array_size(circuits) > 0)
        (void)printf("\n%-10s %-8s %-8s %s\n", "circuit", "opened", "refused", "upstream");
    json_array_foreach(circuits, i, row)
    {
        (void)printf("%-10s %-8lld %-8lld %s\n",
                     json_string_value(json_object_get(row, "state")),
                     (long long)json_integer_value(json_object_get(row, "opened")),
                     (long long)json_integer_value(json_object_get(row, "refused")),
                     json_string_value(json_object_get(row, "upstream")));
    }
}

int verb_upstream(const struct arguments *arguments)
{
    const char *what = arguments->operand_count > 0 ? arguments->operands[0] : "list";
    const char *server = arguments->operand_count > 1 ? arguments->operands[1] : "";
    bool list = strcmp(what, "list") == 0, json;
    bool change = strcmp(what, "drain") == 0 || strcmp(what, "ready") == 0;

    if (!(list && arguments->operand_count <= 1) && !(change && arguments->operand_count == 2))
        return usage_error("upstream list, upstream drain URL, or upstream ready URL");
    if (!output_is_json(arguments, &json))
        return EXIT_BAD;
    json_t *answer = NULL;
    json_t *request =
        json_pack("{s:s, s:s, s:s}", "command", "upstream", "do", what, "server", server);
    int code = control_ask(arguments, request, &answer);
    return code == EXIT_GOOD ? control_tell(answer, json, print_servers) : code;
}
