/*
 * `sallyport rules test REQUEST`: which rules match a request, in which field, at which bytes,
 * and what had been done to the value by then. The request goes through the gateway's own code,
 * offline, as with `explain`.
 */
#include <jansson.h>
#include <stdio.h>
#include <string.h>

#include "gateway/cli/clean.h"
#include "gateway/cli/explain.h"
#include "gateway/cli/rules.h"

enum { SHOWN_MAX = 96, MESSAGE_SHOWN_MAX = 200 };

static const char *text_at(const json_t *object, const char *key)
{
    const char *text = json_string_value(json_object_get(object, key));
    return text != NULL ? text : "";
}

static void print_line(const char *label, const char *text)
{
    if (*text == '\0')
        return;
    (void)printf("    %-10s ", label);
    print_clean(text, MESSAGE_SHOWN_MAX);
    (void)putchar('\n');
}

static void print_chain(const json_t *match)
{
    const json_t *name;
    size_t i;
    json_array_foreach(json_object_get(match, "transformations"), i, name)(void)
        printf("%s%s", i == 0 ? "    made by    " : ", ", json_string_value(name));
    if (i > 0)
        (void)putchar('\n');
}

static void print_match(const json_t *match)
{
    const char *sample = text_at(match, "sample");
    size_t shown = strlen(sample) < SHOWN_MAX ? strlen(sample) : SHOWN_MAX;
    (void)printf("%s %s\n", text_at(match, "rule"), text_at(match, "severity"));
    print_line("message", text_at(match, "msg"));
    print_line("field", text_at(match, "field"));
    (void)printf("    at %-7lld ",
                 (long long)json_integer_value(json_object_get(match, "offset")));
    print_clean(sample, shown);
    (void)printf("\n               ");
    for (size_t i = 0; i < shown; i++)
        (void)putchar('^');
    (void)putchar('\n');
    print_chain(match);
    print_line("log", text_at(match, "logdata"));
}

static int show(struct span line, bool json)
{
    json_t *record = json_loadb(line.p, line.len, JSON_ALLOW_NUL, NULL);
    if (record == NULL)
        return EXIT_TROUBLE;
    const json_t *ours = json_object_get(record, "sallyport");
    const json_t *matches = json_object_get(ours, "matches"), *match;
    size_t i;
    if (json) {
        json_t *empty = json_array();
        (void)json_dumpf(matches != NULL ? matches : empty, stdout, JSON_COMPACT);
        (void)putchar('\n');
        json_decref(empty);
    } else {
        clean_json(record);
        json_array_foreach(matches, i, match) print_match(match);
        (void)printf("%zu matches; score %lld in, %lld out\n", json_array_size(matches),
                     (long long)json_integer_value(
                         json_object_get(json_object_get(ours, "score"), "inbound")),
                     (long long)json_integer_value(
                         json_object_get(json_object_get(ours, "score"), "outbound")));
    }
    json_decref(record);
    return EXIT_GOOD;
}

int rules_test(struct loaded *loaded, const char *what, const struct addr *from, bool json)
{
    struct asked asked;
    const char *wrong = request_named(what, &loaded->arena, &asked);
    if (wrong != NULL)
        return usage_error("cannot make a request of %s: %s", what, wrong);
    const struct explain_client client = { .from = *from, .https = asked.https };
    struct span line = explain_record(loaded, asked.bytes, &client);
    return line.len > 0 ? show(line, json) : EXIT_TROUBLE;
}
