/* The reference, the answers, and a JSON Schema that accepts what the gateway accepts. */
#include <jansson.h>

#include "conf/manual.h"
#include "tests/unit/check.h"
#include "tests/unit/conf/fixture.h"
#include "tests/unit/conf/sample.h"

static const struct option top_rows[] = {
    { .name = "version",
      .kind = OPT_INT,
      .fallback = "1",
      .min = 1,
      .max = 1,
      .help = "Of this." },
    OPTIONS_END,
};

static const struct manual_part parts[] = {
    { .path = "", .summary = "All of it.", .rows = top_rows },
    { .path = "sites",
      .summary = "What is served.",
      .rows = sample_rows,
      .shape = MANUAL_LIST },
    { .path = "sites.stage",
      .summary = "A stage.",
      .rows = sample_waf_rows,
      .more = sample_common_rows + 1 },
    { .path = "sites.routes",
      .summary = "Parts of a site.",
      .rows = sample_threshold_rows,
      .shape = MANUAL_LIST,
      .like = "sites" },
    { .path = "lists",
      .summary = "Named lists.",
      .rows = sample_plan_rows,
      .shape = MANUAL_MAP },
};

static void writes_the_reference(void **state)
{
    (void)state;
    static const char *const lines[] = {
        "## The file\n\nAll of it.\n\n| key | type | default | |\n|---|---|---|---|\n"
        "| `version` | whole number, 1 to 1 | `1` | Of this. |\n",
        "\n## `sites[]`\n\nWhat is served.\n",
        "| `host` | list of texts | required | Names \\| hosts. Example: `app.example.com`. "
        "|\n",
        "| `body` | size, 1 to 1GiB | `10MiB` | How large. |\n",
        "| `timeout` | duration, 1ms to 1d | `10s` |",
        "| `waf.mode` | one of block, detect, off | `block` | What it does with an attack. "
        "`block`: Refuses. `detect`: Records. |\n",
        "| `waf.exclude` | list of texts |  | Left out. Adds to what is inherited; `[]` clears "
        "it. |",
        "| `waf.threshold.inbound` |",
        "| `servers[].url` | URL | required |",
        "| `plans.<name>.rate` | rate | `60/min` |",
        "| `plan` | name under plans |",
        "\n## `sites.routes[]`\n\nParts of a site.\n\nTakes the sections of `sites`, too.\n",
        "\n## `lists.<name>`\n",
    };
    struct fixture *f = fixture_new();
    struct text t = text_growing(&f->arena, 4096);
    manual_write_markdown(&t, parts, ARRAY_LEN(parts));
    for (size_t i = 0; i < ARRAY_LEN(lines); i++) {
        if (span_find(text_span(&t), span_text(lines[i])) < 0)
            fail_msg("\"%s\" is not in:\n%.*s", lines[i], (int)t.len, t.p);
    }
    fixture_free(f);
}

static const struct {
    const char *path, *answer; /* NULL: none */
} questions[] = {
    { "version", "version: whole number, 1 to 1\n  default: 1\n\n  Of this.\n" },
    { "sites.host", "sites.host: list of texts\n  required\n  example: app.example.com\n" },
    { "sites.waf.mode", "one of block, detect, off\n  default: block\n\n  What it does" },
    { "sites.waf", "sites.waf: mapping\n\n  The rules.\n\n  mode " },
    { "sites.stage.unless", "sites.stage.unless: expression" },
    { "sites.stage", "sites.stage\n  A stage.\n\n  mode " },
    { "sites.servers[].weight", "whole number, 1 to 100" },
    { "sites.servers.weight", "whole number, 1 to 100" },
    { "sites.plans.free.rate", "rate\n  default: 60/min" },
    { "sites.plans.rate", "rate\n  default: 60/min" },
    { "sites.routes.stage.mode", "sites.routes.stage.mode: one of" },
    { "lists.office.rate", "lists.office.rate: rate" },
    { "sites", "  stage " },
    { "", "the file\n  All of it." },
    { "sites.none", NULL },
    { "sites.waf.none", NULL },
    { "sites.host.x", NULL },
    { "none", NULL },
    { "sites.", NULL },
    { "..", NULL },
};

static void answers_questions(void **state)
{
    (void)state;
    struct fixture *f = fixture_new();
    for (size_t i = 0; i < ARRAY_LEN(questions); i++) {
        struct text t = text_growing(&f->arena, 1024);
        bool found = manual_explain(&t, parts, ARRAY_LEN(parts), span_text(questions[i].path),
                                    MANUAL_TEXT);
        if (found != (questions[i].answer != NULL))
            fail_msg("%s: %d\n%.*s", questions[i].path, found, (int)t.len, t.p);
        if (found && span_find(text_span(&t), span_text(questions[i].answer)) < 0)
            fail_msg("%s:\n%.*s", questions[i].path, (int)t.len, t.p);
    }
    fixture_free(f);
}

/* The same questions have an answer for programs. */
static void answers_as_json(void **state)
{
    (void)state;
    struct fixture *f = fixture_new();
    for (size_t i = 0; i < ARRAY_LEN(questions); i++) {
        struct text t = text_growing(&f->arena, 1024);
        bool found = manual_explain(&t, parts, ARRAY_LEN(parts), span_text(questions[i].path),
                                    MANUAL_JSON);
        assert_int_equal(found, questions[i].answer != NULL);
        if (!found)
            continue;
        json_t *said = json_loadb(t.p, t.len, JSON_REJECT_DUPLICATES, NULL);
        assert_non_null(said);
        assert_string_equal(json_string_value(json_object_get(said, "key")), questions[i].path);
        json_decref(said);
    }
    struct text t = text_growing(&f->arena, 1024);
    assert_true(
        manual_explain(&t, parts, ARRAY_LEN(parts), SPAN("sites.waf.mode"), MANUAL_JSON));
    assert_true(span_find(text_span(&t), SPAN("\"default\":\"block\"")) > 0);
    assert_true(span_find(text_span(&t), SPAN("{\"name\":\"detect\"")) > 0);
    fixture_free(f);
}

static void offers_what_may_be_meant(void **state)
{
    static const struct {
        const char *path, *hint;
    } rows[] = {
        { "sites.hots", "did you mean \"sites.host\"?" },
        { "site.host", "did you mean \"sites.host\"?" },
        { "sites.waf.thresold", "did you mean \"sites.waf.threshold\"?" },
        { "inbound", "did you mean sites.waf.threshold.inbound, sites.stage.threshold.inbound, "
                     "sites.routes.inbound?" },
        { "quite.another.thing", "" },
        { "", "" },
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        char buffer[2048];
        struct text hint = text_fixed(buffer, sizeof(buffer));
        manual_suggest(&hint, parts, ARRAY_LEN(parts), span_text(rows[i].path));
        assert_span(text_span(&hint), span_text(rows[i].hint));
    }
}

static json_t *schema_of(struct fixture *f)
{
    struct text t = text_growing(&f->arena, 4096);
    json_error_t error;
    manual_write_schema(&t, parts, ARRAY_LEN(parts));
    json_t *schema = json_loadb(t.p, t.len, JSON_REJECT_DUPLICATES, &error);
    if (schema == NULL)
        fail_msg("%s at %d:\n%.*s", error.text, error.position, (int)t.len, t.p);
    return schema;
}

/* Every $ref leads to a definition. */
static void check_references(json_t *value, json_t *defs)
{
    const char *key;
    json_t *member;
    size_t index;
    json_object_foreach(value, key, member)
    {
        if (strcmp(key, "$ref") == 0) {
            const char *to = json_string_value(member);
            assert_int_equal(strncmp(to, "#/$defs/", 8), 0);
            if (json_object_get(defs, to + 8) == NULL)
                fail_msg("%s leads nowhere", to);
        } else {
            check_references(member, defs);
        }
    }
    json_array_foreach(value, index, member) check_references(member, defs);
}

static void writes_a_schema(void **state)
{
    (void)state;
    struct fixture *f = fixture_new();
    json_t *schema = schema_of(f);
    json_t *defs = json_object_get(schema, "$defs");
    assert_string_equal(json_string_value(json_object_get(schema, "$schema")),
                        "https://json-schema.org/draft/2020-12/schema");
    assert_true(json_is_false(json_object_get(schema, "additionalProperties")));
    check_references(schema, defs);

    json_t *site = json_object_get(defs, "sites");
    json_t *mapping = json_array_get(json_object_get(site, "anyOf"), 0);
    assert_true(json_is_false(json_object_get(mapping, "additionalProperties")));
    assert_string_equal(
        json_string_value(json_array_get(json_object_get(mapping, "required"), 0)), "host");
    json_t *properties = json_object_get(mapping, "properties");
    assert_non_null(json_object_get(properties, "stage"));
    assert_non_null(json_object_get(properties, "routes"));
    json_t *body = json_object_get(properties, "body");
    assert_string_equal(json_string_value(json_object_get(body, "default")), "10MiB");
    assert_string_equal(json_string_value(json_object_get(body, "description")), "How large.");

    json_t *route =
        json_array_get(json_object_get(json_object_get(defs, "sites.routes"), "anyOf"), 0);
    json_t *lent = json_object_get(json_object_get(route, "properties"), "stage");
    assert_string_equal(json_string_value(json_object_get(lent, "$ref")),
                        "#/$defs/sites.stage");
    assert_null(json_object_get(json_object_get(route, "properties"), "routes"));
    json_decref(schema);
    fixture_free(f);
}

int main(void)
{
    return RUN(TEST(writes_the_reference), TEST(answers_questions), TEST(answers_as_json),
               TEST(offers_what_may_be_meant), TEST(writes_a_schema));
}
