/*
 * `sallyport status`: the steward's answer, as JSON or for a person.
 */
#include <stdio.h>
#include <unistd.h>

#include "gateway/cli/control.h"

static const char *text_of(const json_t *object, const char *key)
{
    const char *text = json_string_value(json_object_get(object, key));
    return text != NULL ? text : "";
}

static long long number_of(const json_t *object, const char *key)
{
    return (long long)json_integer_value(json_object_get(object, key));
}

static void print_workers(const json_t *workers)
{
    (void)printf("\n%-6s %8s %11s %12s %12s %14s\n", "worker", "pid", "generation",
                 "connections", "requests", "heartbeat ms");
    size_t i;
    json_t *worker;
    json_array_foreach(workers, i, worker)(void)
        printf("%-6lld %8lld %11lld %12lld %12lld %14lld\n", number_of(worker, "slot"),
               number_of(worker, "pid"), number_of(worker, "generation"),
               number_of(worker, "connections"), number_of(worker, "requests"),
               number_of(worker, "heartbeat_age_ms"));
}

static void print_counters(json_t *counters)
{
    const char *name;
    json_t *value;
    (void)printf("\n");
    json_object_foreach(counters, name, value) if (json_is_integer(value))(void)
        printf("%-22s %lld\n", name, (long long)json_integer_value(value));
    json_object_foreach(json_object_get(counters, "status"), name, value)(void)
        printf("status %-15s %lld\n", name, (long long)json_integer_value(value));
}

static void print_lists(const json_t *lists)
{
    if (json_array_size(lists) > 0)
        (void)printf("\n");
    size_t i;
    json_t *list;
    json_array_foreach(lists, i, list)
    {
        const char *trouble = text_of(list, "trouble");
        (void)printf("list %s: version %lld, %lld ranges, %s%s%s%s%s\n", text_of(list, "name"),
                     number_of(list, "version"), number_of(list, "ranges"),
                     text_of(list, "path"), text_of(list, "url"),
                     json_is_true(json_object_get(list, "stale")) ? ", stale" : "",
                     *trouble != '\0' ? ": " : "", trouble);
    }
}

static void print_human(const json_t *status)
{
    const json_t *processes = json_object_get(status, "processes");
    (void)printf("sallyport %s, up %lld s\n%s\nconfiguration %s, generation %lld\n",
                 text_of(status, "version"), number_of(status, "uptime_s"),
                 text_of(status, "listen"), text_of(status, "config"),
                 number_of(status, "generation"));
    (void)printf("master %lld, generation %lld, recorder %lld, steward %lld\n",
                 number_of(processes, "master"), number_of(processes, "generation"),
                 number_of(processes, "recorder"), number_of(processes, "steward"));
    print_workers(json_object_get(status, "workers"));
    print_counters(json_object_get(status, "counters"));
    print_lists(json_object_get(status, "lists"));
}

int verb_status(const struct arguments *arguments)
{
    bool json;
    if (!output_is_json(arguments, &json))
        return EXIT_BAD;
    json_t *answer = NULL;
    int code = control_ask(arguments, json_pack("{s:s}", "command", "status"), &answer);
    if (code != EXIT_GOOD)
        return code;
    if (json) {
        (void)json_dumpf(answer, stdout, JSON_COMPACT);
        (void)putchar('\n');
    } else {
        print_human(answer);
    }
    code = json_is_true(json_object_get(answer, "ok")) ? EXIT_GOOD : EXIT_TROUBLE;
    json_decref(answer);
    return code;
}
