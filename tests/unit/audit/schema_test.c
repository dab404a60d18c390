/*
 * What record.c writes is what docs/audit-schema.json says: every member is in the schema with
 * its type, and what the schema requires is there. The reader here knows as much of JSON Schema
 * as the file uses.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>
#include <jansson.h>

#include "gateway/audit/record.h"

static json_t *schema;
static char wrong[256];

static int load_schema(void **state)
{
    (void)state;
    schema = json_load_file("docs/audit-schema.json", JSON_REJECT_DUPLICATES, NULL);
    return schema != NULL ? 0 : -1;
}

static int free_schema(void **state)
{
    (void)state;
    json_decref(schema);
    return 0;
}

static bool complain(const char *what, const char *name)
{
    (void)snprintf(wrong, sizeof(wrong), "%s: %s", what, name);
    return false;
}

static bool valid(const json_t *rule, const json_t *value, const char *name);

static bool type_valid(const char *type, const json_t *value)
{
    static const struct {
        const char *name;
        json_type type;
    } types[] = { { "object", JSON_OBJECT },
                  { "array", JSON_ARRAY },
                  { "string", JSON_STRING },
                  { "integer", JSON_INTEGER } };
    if (strcmp(type, "boolean") == 0)
        return json_is_boolean(value);
    for (size_t i = 0; i < ARRAY_LEN(types); i++)
        if (strcmp(types[i].name, type) == 0)
            return json_typeof(value) == types[i].type;
    return false;
}

static bool object_valid(const json_t *rule, json_t *value, const char *name)
{
    const char *key;
    json_t *member;
    size_t i;
    json_t *properties = json_object_get(rule, "properties");
    json_array_foreach(json_object_get(rule, "required"), i,
                       member) if (json_object_get(value, json_string_value(member)) ==
                                   NULL) return complain("required", json_string_value(member));
    json_object_foreach(value, key, member)
    {
        const json_t *known = json_object_get(properties, key);
        if (known == NULL)
            return complain(name, key);
        if (!valid(known, member, key))
            return false;
    }
    return true;
}

static bool valid(const json_t *rule, const json_t *value, const char *name)
{
    const char *ref = json_string_value(json_object_get(rule, "$ref"));
    if (ref != NULL) /* "#/$defs/..." */
        rule = json_object_get(json_object_get(schema, "$defs"), ref + 8);
    assert_non_null(rule);
    if (!type_valid(json_string_value(json_object_get(rule, "type")), value))
        return complain("type", name);

    json_t *choice, *choices = json_object_get(rule, "enum"),
                    *least = json_object_get(rule, "minimum");
    size_t i;
    bool found = choices == NULL;
    json_array_foreach(choices, i, choice) found = found || json_equal(choice, value);
    if (!found)
        return complain("enum", name);
    if (least != NULL && json_integer_value(value) < json_integer_value(least))
        return complain("minimum", name);
    if (json_is_object(value))
        return object_valid(rule, (json_t *)(uintptr_t)value, name);
    json_t *item;
    json_array_foreach(
        value, i, item) if (!valid(json_object_get(rule, "items"), item, name)) return false;
    return true;
}

static void expect_valid(const struct text *line, const char *shape)
{
    json_t *root = json_loadb(line->p, line->len, 0, NULL);
    assert_non_null(root);
    if (!valid(json_object_get(json_object_get(schema, "$defs"), shape), root, shape))
        fail_msg("%s", wrong);
    json_decref(root);
}

static char buffer[RECORD_BYTES_MAX];
static const struct redaction redaction = { .key = { 1, 2 } };

static void expect_record(const struct record *record)
{
    struct text line = text_fixed(buffer, sizeof(buffer));
    record_write(&line, record, &redaction);
    expect_valid(&line, "transaction");
}

static void test_records(void **state)
{
    (void)state;
    static const char *const actions[] = {
        "pass", "detect", "reply", "block", "refuse", "fail"
    };
    static char agent[2000];
    static const struct trail_entry trail[] = {
        { "a", "request_head", "pass", NULL, true, 1, 0 },
        { "b", "request_body", "fail", "stage-failed", false, 1, 2 },
    };
    static const struct span tags[] = { SPAN_INIT("t") };
    static const struct tls_info tls = { .resumed = true,
                                         .version = SPAN_INIT("x"),
                                         .cipher = SPAN_INIT("x"),
                                         .sni = SPAN_INIT("x"),
                                         .alpn = SPAN_INIT("x"),
                                         .client_cert = true,
                                         .client_subject = SPAN_INIT("x"),
                                         .client_issuer = SPAN_INIT("x"),
                                         .client_serial = SPAN_INIT("x"),
                                         .client_fingerprint = SPAN_INIT("x") };
    static struct finding findings[] = {
        { .rule = SPAN_INIT("1"),
          .field = SPAN_INIT("args:q"),
          .message = SPAN_INIT("m"),
          .severity = "critical",
          .tags = tags,
          .tag_count = ARRAY_LEN(tags),
          .logdata = SPAN_INIT("l"),
          .score = 5 },
        { .rule = SPAN_INIT("1"), .field = SPAN_INIT("args:q") },
    };
    memset(agent, 'a', sizeof(agent));
    findings[0].sample = span_of(agent, sizeof(agent));
    const struct addr address = { .bytes = { 1 }, .port = 7, .family = ADDR_V6 };
    for (size_t i = 0; i < ARRAY_LEN(actions); i++) {
        struct record least = { .action = actions[i] };
        expect_record(&least);
        struct record most = {
            .id = SPAN("x"),
            .traceparent = SPAN("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"),
            .client = address,
            .peer = address,
            .forwarded = SPAN("x"),
            .method = SPAN("x"),
            .host = SPAN("x"),
            .path = SPAN("x"),
            .query = SPAN("x"),
            .version = SPAN("x"),
            .user_agent = span_of(agent, sizeof(agent)),
            .scheme = SPAN("x"),
            .referrer = SPAN("x"),
            .tls = &tls,
            .list = SPAN("x"),
            .limit = SPAN("x"),
            .scores = { { true, true }, { 1, 2 } },
            .site = "x",
            .route = "x",
            .action = actions[i],
            .reason = "x",
            .detail = "x",
            .status = 200,
            .upstream_status = 200,
            .request_bytes = UINT64_MAX,
            .response_bytes = UINT64_MAX,
            .upstream = SPAN("x"),
            .upstream_us = UINT32_MAX,
            .upstream_tries = 3,
            .cut = "x",
            .body_unseen = true,
            .response_unseen = true,
            .user = SPAN("x"),
            .auth = SPAN("x"),
            .trail = trail,
            .trail_count = ARRAY_LEN(trail),
            .findings = findings,
            .finding_count = ARRAY_LEN(findings),
            .findings_dropped = 1,
            .config_hash = SPAN("x"),
            .node = SPAN("x"),
            .duration_us = UINT64_MAX,
            .wall_us = UINT64_MAX,
        };
        expect_record(&most);
    }
}

static void test_connections(void **state)
{
    (void)state;
    static const char *const reasons[] = { "tls-failed",     "conns-per-ip",   "connections",
                                           "address-denied", "country-denied", "network-denied",
                                           "proxy-head",     "memory",         "suppressed" };
    for (size_t i = 0; i < ARRAY_LEN(reasons); i++) {
        struct connection_record least = { .reason = reasons[i] };
        struct connection_record most = {
            .peer = { .bytes = { 1 }, .port = 7, .family = ADDR_V6 },
            .reason = reasons[i],
            .detail = "x",
            .sni = SPAN("x"),
            .list = SPAN("x"),
            .suppressed = 3,
            .config_hash = SPAN("x"),
            .node = SPAN("x"),
        };
        struct text line = text_fixed(buffer, sizeof(buffer));
        record_connection(&line, &least);
        expect_valid(&line, "connection");
        line = text_fixed(buffer, sizeof(buffer));
        record_connection(&line, &most);
        expect_valid(&line, "connection");
    }
}

static void test_gaps(void **state)
{
    (void)state;
    static const char *const reasons[] = { "ring-full", "ring-damaged", "torn-line" };
    for (size_t i = 0; i < ARRAY_LEN(reasons); i++) {
        struct text line = text_fixed(buffer, sizeof(buffer));
        record_gap(&line, 1, reasons[i], (const uint64_t[RECORD_CLASSES]){ 1, 2, UINT64_MAX });
        expect_valid(&line, "gap");
    }
}

/* The reader of the schema finds what is wrong: otherwise it would prove nothing. */
static void test_the_reader_can_object(void **state)
{
    (void)state;
    static const char *const bad[] = {
        "{}", "{\"ip\": 5}", "{\"ip\": \"a\", \"port\": 0}", "{\"ip\": \"a\", \"more\": 1}",
        "[]",
    };
    const json_t *rule = json_object_get(json_object_get(schema, "$defs"), "endpoint");
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        json_t *value = json_loads(bad[i], 0, NULL);
        assert_non_null(value);
        assert_false(valid(rule, value, "endpoint"));
        json_decref(value);
    }
    json_t *ecs = json_loads("{\"version\": \"9\"}", 0, NULL);
    assert_false(valid(json_object_get(json_object_get(schema, "$defs"), "ecs"), ecs, "ecs"));
    json_decref(ecs);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_records),
        cmocka_unit_test(test_gaps),
        cmocka_unit_test(test_connections),
        cmocka_unit_test(test_the_reader_can_object),
    };
    return cmocka_run_group_tests(tests, load_schema, free_schema);
}
