/* The audit line: what stands where, that it is always one JSON line, and that it fits. */
#include "gateway/audit/record.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>
#include <jansson.h>

static const struct span params[] = { SPAN_INIT("password"), SPAN_INIT("*token*") };
static const struct redaction redaction = { .params = params,
                                            .param_count = ARRAY_LEN(params),
                                            .key = { 3, 4 } };
static const struct trail_entry trail[] = {
    { .stage = "allow", .phase = "request_head", .action = "pass", .enforced = true, .us = 3 },
    { .stage = "waf",
      .phase = "request_head",
      .action = "deny",
      .reason = "rule",
      .us = 41,
      .resumes = 2 },
};
static const struct span finding_tags[] = { SPAN_INIT("attack-sqli"),
                                            SPAN_INIT("paranoia-level/1") };
static const struct finding findings[] = {
    { .rule = SPAN_INIT("942100"),
      .field = SPAN_INIT("args:q"),
      .message = SPAN_INIT("SQL \"injection\""),
      .sample = SPAN_INIT("1' or '1'='1"),
      .offset = 4,
      .severity = "critical",
      .tags = finding_tags,
      .tag_count = ARRAY_LEN(finding_tags),
      .logdata = SPAN_INIT("Matched Data: 1' or '1'='1"),
      .score = 5 },
    { .rule = SPAN_INIT("920"),
      .field = SPAN_INIT("args:password"),
      .sample = SPAN_INIT("hunter2"),
      .logdata = SPAN_INIT("Matched Data: hunter2"),
      .score = 3 },
};
static char buffer[RECORD_BYTES_MAX];

static const struct tls_info tls = { .established = true,
                                     .resumed = true,
                                     .version = SPAN_INIT("TLSv1.3"),
                                     .cipher = SPAN_INIT("TLS_AES_256_GCM_SHA384"),
                                     .sni = SPAN_INIT("shop.example.com"),
                                     .alpn = SPAN_INIT("h2"),
                                     .client_cert = true,
                                     .client_subject = SPAN_INIT("CN=ann"),
                                     .client_issuer = SPAN_INIT("CN=ca"),
                                     .client_serial = SPAN_INIT("0A"),
                                     .client_fingerprint = SPAN_INIT("00ff") };

static struct record usual(void)
{
    return (struct record){
        .wall_us = 1795252323503000,
        .duration_us = 1234,
        .id = SPAN("01900000-0000-7000-8000-000000000001"),
        .traceparent = SPAN("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"),
        .client = { .bytes = { 192, 0, 2, 7 }, .port = 4711, .family = ADDR_V4 },
        .peer = { .bytes = { 10, 0, 0, 1 }, .port = 99, .family = ADDR_V4 },
        .forwarded = SPAN("192.0.2.7, 10.0.0.9"),
        .method = SPAN("GET"),
        .host = SPAN("shop.example.com"),
        .path = SPAN("/search"),
        .query = SPAN("q=1%27or&password=hunter2&csrf_token=abc&z"),
        .version = SPAN("1.1"),
        .user_agent = SPAN("curl/7.88\x1b[31m\xff"),
        .scheme = SPAN("https"),
        .referrer = SPAN("https://x.example/?token=hunter2"),
        .tls = &tls,
        .list = SPAN("bad"),
        .limit = SPAN("10/s"),
        .scores = { .set = { true, true }, .value = { 8, -1 } },
        .site = "shop",
        .route = "/search/**",
        .action = "block",
        .reason = "rule",
        .status = 403,
        .request_bytes = 17,
        .response_bytes = 900,
        .upstream = SPAN("10.0.1.1:80"),
        .upstream_us = 812,
        .upstream_tries = 1,
        .upstream_status = 200,
        .user = SPAN("alice"),
        .auth = SPAN("basic"),
        .trail = trail,
        .trail_count = ARRAY_LEN(trail),
        .findings = findings,
        .finding_count = ARRAY_LEN(findings),
        .findings_dropped = 1,
        .config_hash = SPAN("abcdef"),
        .node = SPAN("node-1"),
        .body_unseen = true,
        .response_unseen = true,
    };
}

static json_t *write_and_load(const struct record *record, struct span *line)
{
    struct text out = text_fixed(buffer, sizeof(buffer));
    record_write(&out, record, &redaction);
    assert_false(out.overflow);
    *line = text_span(&out);
    for (size_t i = 0; i < line->len; i++)
        assert_in_range((unsigned char)line->p[i], 0x20, 0x7e);
    json_error_t error;
    json_t *root = json_loadb(line->p, line->len, JSON_REJECT_DUPLICATES, &error);
    if (root == NULL)
        fail_msg("%s at %d: %.*s", error.text, error.position, (int)line->len, line->p);
    return root;
}

/* The value at a dotted path ("http.request.id", "sallyport.stages.1.us") as text. */
static const char *at(json_t *root, const char *path)
{
    static char text[4][256];
    static unsigned turn;
    struct span rest = span_text(path), part;
    while (root != NULL && span_cut(&rest, '.', &part)) {
        uint64_t index;
        root = span_uint(part, &index) ? json_array_get(root, index)
                                       : json_object_getn(root, part.p, part.len);
    }
    char *out = text[turn++ % 4];
    out[0] = '\0';
    if (json_is_string(root))
        (void)snprintf(out, 256, "%s", json_string_value(root));
    else if (json_is_integer(root))
        (void)snprintf(out, 256, "%lld", (long long)json_integer_value(root));
    else if (json_is_boolean(root))
        (void)snprintf(out, 256, "%s", json_is_true(root) ? "true" : "false");
    return out;
}

static void test_every_field(void **state)
{
    (void)state;
    static const struct {
        const char *path, *value;
    } expected[] = {
        { "@timestamp", "2026-11-21T09:12:03.503Z" },
        { "event.kind", "alert" },
        { "event.category.0", "web" },
        { "event.action", "block" },
        { "event.outcome", "failure" },
        { "event.reason", "rule" },
        { "event.duration", "1234000" },
        { "http.version", "1.1" },
        { "http.request.id", "01900000-0000-7000-8000-000000000001" },
        { "http.request.method", "GET" },
        { "http.request.body.bytes", "17" },
        { "http.response.status_code", "403" },
        { "http.response.body.bytes", "900" },
        { "url.scheme", "https" },
        { "url.domain", "shop.example.com" },
        { "url.path", "/search" },
        { "source.ip", "192.0.2.7" },
        { "source.port", "4711" },
        { "client.ip", "192.0.2.7" },
        { "user_agent.original", "curl/7.88\x1b[31m\xc3\xbf" },
        { "user.name", "alice" },
        { "tls.version", "1.3" },
        { "tls.cipher", "TLS_AES_256_GCM_SHA384" },
        { "tls.next_protocol", "h2" },
        { "tls.resumed", "true" },
        { "tls.client.server_name", "shop.example.com" },
        { "tls.client.subject", "CN=ann" },
        { "tls.client.issuer", "CN=ca" },
        { "tls.client.x509.serial_number", "0A" },
        { "tls.client.hash.sha256", "00ff" },
        { "trace.id", "0af7651916cd43dd8448eb211c80319c" },
        { "rule.id", "942100" },
        { "sallyport.site", "shop" },
        { "sallyport.route", "/search/**" },
        { "sallyport.action", "block" },
        { "sallyport.reason", "rule" },
        { "sallyport.auth", "basic" },
        { "sallyport.upstream.address", "10.0.1.1:80" },
        { "sallyport.upstream.status", "200" },
        { "sallyport.upstream.us", "812" },
        { "sallyport.upstream.tries", "1" },
        { "sallyport.body_unseen", "true" },
        { "sallyport.response_unseen", "true" },
        { "sallyport.client.peer", "10.0.0.1" },
        { "sallyport.client.forwarded", "192.0.2.7, 10.0.0.9" },
        { "sallyport.config", "abcdef" },
        { "sallyport.node", "node-1" },
        { "sallyport.stages.0.stage", "allow" },
        { "sallyport.stages.0.enforced", "true" },
        { "sallyport.stages.1.phase", "request_head" },
        { "sallyport.stages.1.action", "deny" },
        { "sallyport.stages.1.reason", "rule" },
        { "sallyport.stages.1.enforced", "false" },
        { "sallyport.stages.1.us", "41" },
        { "sallyport.stages.1.resumes", "2" },
        { "sallyport.matches.0.rule", "942100" },
        { "sallyport.matches.0.msg", "SQL \"injection\"" },
        { "sallyport.matches.0.field", "args:q" },
        { "sallyport.matches.0.sample", "1' or '1'='1" },
        { "sallyport.matches.0.offset", "4" },
        { "sallyport.matches.0.score", "5" },
        { "sallyport.matches_dropped", "1" },
        { "sallyport.matches.0.severity", "critical" },
        { "sallyport.matches.0.tags.0", "attack-sqli" },
        { "sallyport.matches.0.tags.1", "paranoia-level/1" },
        { "sallyport.matches.0.logdata", "Matched Data: 1' or '1'='1" },
        { "sallyport.score.inbound", "8" },
        { "sallyport.score.outbound", "-1" },
        { "sallyport.list", "bad" },
        { "sallyport.limit.name", "10/s" },
    };
    struct record record = usual();
    struct span line;
    json_t *root = write_and_load(&record, &line);
    for (size_t i = 0; i < ARRAY_LEN(expected); i++)
        if (strcmp(at(root, expected[i].path), expected[i].value) != 0)
            fail_msg("%s is %s, not %s", expected[i].path, at(root, expected[i].path),
                     expected[i].value);
    json_decref(root);
}

static void test_secrets_stay_behind(void **state)
{
    (void)state;
    struct record record = usual();
    struct span line;
    json_t *root = write_and_load(&record, &line);
    assert_int_equal(span_find(line, SPAN("hunter2")), -1);
    struct span query = span_text(at(root, "url.query"));
    assert_true(span_starts(query, SPAN("q=1%27or&password=<redacted:")));
    assert_true(span_find(query, SPAN(">&csrf_token=<redacted:")) > 0);
    assert_true(span_ends(query, SPAN(">&z")));
    assert_true(span_starts(span_text(at(root, "http.request.referrer")),
                            SPAN("https://x.example/?token=<redacted:")));
    assert_true(
        span_starts(span_text(at(root, "sallyport.matches.1.sample")), SPAN("<redacted:")));
    assert_true(
        span_starts(span_text(at(root, "sallyport.matches.1.logdata")), SPAN("<redacted:")));
    json_decref(root);
}

static void test_what_is_not_known_is_left_out(void **state)
{
    (void)state;
    struct record record = {
        .action = "refuse", .reason = "http", .detail = "http-syntax", .status = 400
    };
    struct span line;
    json_t *root = write_and_load(&record, &line);
    static const char *const absent[] = {
        "source", "user", "user_agent", "tls", "trace", "rule"
    };
    for (size_t i = 0; i < ARRAY_LEN(absent); i++)
        assert_null(json_object_get(root, absent[i]));
    assert_string_equal(at(root, "sallyport.detail"), "http-syntax");
    assert_string_equal(at(root, "event.outcome"), "failure");
    assert_null(json_object_get(json_object_get(root, "sallyport"), "matches"));
    json_decref(root);

    record = (struct record){ .action = "pass",
                              .client = { .family = ADDR_UNIX },
                              .duration_us = UINT64_MAX };
    root = write_and_load(&record, &line);
    assert_null(json_object_get(root, "source"));
    assert_null(json_object_get(json_object_get(root, "http"), "response"));
    json_decref(root);
}

/* Everything at its longest, in bytes that escape to six each. */
static void test_the_longest_line_fits(void **state)
{
    (void)state;
    static const unsigned char fills[] = { 'x', 0x01, 0xff, '"', '=', '&' };
    static char long_text[100 * 1024];
    static struct finding many[FINDINGS_MAX];
    static struct trail_entry steps[TRAIL_MAX];
    static char name[5000];

    for (size_t i = 0; i < ARRAY_LEN(fills); i++) {
        memset(long_text, fills[i], sizeof(long_text));
        memset(name, fills[i], sizeof(name) - 1);
        struct span text = span_of(long_text, sizeof(long_text));
        struct span tags[17];
        for (size_t k = 0; k < ARRAY_LEN(tags); k++)
            tags[k] = text;
        for (size_t k = 0; k < FINDINGS_MAX; k++)
            many[k] = (struct finding){ .rule = text,
                                        .field = SPAN("args:q"),
                                        .message = text,
                                        .sample = text,
                                        .severity = name,
                                        .tags = tags,
                                        .tag_count = ARRAY_LEN(tags),
                                        .logdata = text,
                                        .offset = UINT32_MAX,
                                        .score = INT32_MIN };
        for (size_t k = 0; k < TRAIL_MAX; k++)
            steps[k] = (struct trail_entry){ "response_head_stage",
                                             "response_head",
                                             "fail",
                                             "stage-deadline",
                                             false,
                                             UINT32_MAX,
                                             UINT16_MAX };
        const struct tls_info long_tls = { .version = text,
                                           .cipher = text,
                                           .sni = text,
                                           .alpn = text,
                                           .resumed = true,
                                           .client_cert = true,
                                           .client_subject = text,
                                           .client_issuer = text,
                                           .client_serial = text,
                                           .client_fingerprint = text };
        struct record record = {
            .id = text,
            .forwarded = text,
            .method = text,
            .host = text,
            .path = text,
            .query = text,
            .version = text,
            .user_agent = text,
            .scheme = text,
            .referrer = text,
            .tls = &long_tls,
            .list = text,
            .limit = text,
            .scores = { { true, true }, { INT64_MIN, INT64_MIN } },
            .traceparent = text,
            .site = name,
            .route = name,
            .action = name,
            .reason = name,
            .detail = name,
            .status = -1,
            .cut = name,
            .upstream = text,
            .user = text,
            .auth = text,
            .findings = many,
            .finding_count = FINDINGS_MAX,
            .trail = steps,
            .trail_count = TRAIL_MAX,
            .config_hash = text,
            .node = text,
            .duration_us = UINT64_MAX,
        };
        struct span line;
        json_t *root = write_and_load(&record, &line);
        assert_true(line.len <= RECORD_BYTES_MAX);
        json_t *ours = json_object_get(root, "sallyport");
        size_t written = json_array_size(json_object_get(ours, "matches"));
        assert_int_equal(
            written + (size_t)json_integer_value(json_object_get(ours, "matches_dropped")),
            FINDINGS_MAX);
        assert_true(written > 5);
        assert_true(json_array_size(json_object_get(ours, "truncated")) > 10);
        json_decref(root);
    }
}

static void test_cuts_say_so(void **state)
{
    (void)state;
    static char agent[1025];
    memset(agent, 'a', sizeof(agent));
    struct span line;
    struct record record = { .action = "pass", .user_agent = span_of(agent, 1024) };
    json_t *root = write_and_load(&record, &line);
    assert_null(json_object_get(json_object_get(root, "sallyport"), "truncated"));
    json_decref(root);
    record.user_agent.len = 1025;
    root = write_and_load(&record, &line);
    assert_string_equal(at(root, "sallyport.truncated.0"), "user_agent.original");
    json_decref(root);
}

static void test_a_small_buffer_overflows_cleanly(void **state)
{
    (void)state;
    struct record record = usual();
    for (size_t size = 0; size < 600; size++) {
        struct text out = text_fixed(buffer, size);
        record_write(&out, &record, &redaction);
        assert_true(out.overflow);
        assert_true(out.len <= size);
    }
}

static void test_gaps(void **state)
{
    (void)state;
    struct text out = text_fixed(buffer, sizeof(buffer));
    record_gap(&out, 0, "ring-full", (const uint64_t[RECORD_CLASSES]){ 1, 2, 3 });
    json_t *root = json_loadb(out.p, out.len, 0, NULL);
    assert_non_null(root);
    assert_string_equal(at(root, "sallyport.lost.decided"), "3");
    assert_string_equal(at(root, "event.kind"), "pipeline_error");
    json_decref(root);
}

/* A refused target is kept as it came, and so may be a Referer. */
static void test_user_names_of_urls(void **state)
{
    static const struct {
        struct span url;
        const char *begin, *end;
    } rows[] = {
        { SPAN_INIT("http://ann:hunter2@a/x"), "http://<redacted:", ">@a/x" },
        { SPAN_INIT("https://hunter2@a"), "https://<redacted:", ">@a" },
        { SPAN_INIT("http://ann:hunter2@b@a?c=d"), "http://<redacted:", ">@a?c=d" },
        { SPAN_INIT("http://a/ann@b"), "http://a/ann@b", "" },
        { SPAN_INIT("http://a?ann@b"), "http://a?ann@b", "" },
        { SPAN_INIT("http://@a"), "http://@a", "" },
        { SPAN_INIT("/x://y@z"), "/x://y@z", "" },
        { SPAN_INIT("/x"), "/x", "" },
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct record record = usual();
        record.path = record.referrer = rows[i].url;
        struct span line;
        json_t *root = write_and_load(&record, &line);
        struct span path = span_text(at(root, "url.path"));
        assert_true(span_starts(path, span_text(rows[i].begin)));
        assert_true(span_ends(path, span_text(rows[i].end)));
        assert_true(span_find(path, SPAN("hunter2")) < 0);
        assert_string_equal(at(root, "http.request.referrer"), at(root, "url.path"));
        json_decref(root);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_field),
        cmocka_unit_test(test_secrets_stay_behind),
        cmocka_unit_test(test_what_is_not_known_is_left_out),
        cmocka_unit_test(test_the_longest_line_fits),
        cmocka_unit_test(test_cuts_say_so),
        cmocka_unit_test(test_a_small_buffer_overflows_cleanly),
        cmocka_unit_test(test_gaps),
        cmocka_unit_test(test_user_names_of_urls),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
