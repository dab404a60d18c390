/* What is printed: readable, the same when read again, and without secrets. */
#include "tests/unit/check.h"
#include "tests/unit/conf/fixture.h"
#include "tests/unit/conf/sample.h"

static struct span print(struct fixture *f, struct span yaml, bool comments)
{
    struct sample sample = { .workers = 0 };
    struct section section = { sample_rows, &sample };
    struct node *root = fixture_yaml(f, yaml);
    struct schema schema = { &f->arena, &f->diags, &sample_scope, root };
    assert_non_null(root);
    schema_defaults(&schema, sample_rows, &sample);
    schema_apply(
        &schema, root,
        &(struct shape){ .what = "site", .sections = &section, .count = 1, .complete = true });
    struct span human = fixture_human(f);
    if (f->diags.errors > 0)
        fail_msg("%.*s", (int)human.len, human.p);
    struct text t = text_growing(&f->arena, 1024);
    schema_print(&t, sample_rows, &sample, 0, comments);
    return text_span(&t);
}

static const char whole[] =
    "host: [app.example.com, '*.b', \"\", \"a: b\", \"\\\"\\\\\\e\\u202e\\uFEFFé\"]\n"
    "websocket: false\nworkers: 4\nbody: 1536\ntimeout: 90s\nrate: 5/10m\n"
    "contact: '$$(env:X) $${y} @'\ndir: /x y\nkey: hunter2\n"
    "upstream: http://[::1]:80/\nallow: [10.0.0.0/8, 192.0.2.1]\n"
    "when: path == \"a\\\\\" and tls\n"
    "waf: {mode: off, exclude: []}\n"
    "servers: [http://a:1, {url: unix:/u, weight: 2}]\n"
    "limits: [5/min per client.ip burst 10]\n"
    "plans: {free: {rate: 1/s}, \"a: b\": [x]}\nplan: free\n";

static const char expected[] = "host: [app.example.com, \"*.b\", \"\", \"a: b\", "
                               "\"\\\"\\\\\\x1b\\U0000202e\\U0000feffé\"]\n"
                               "websocket: false\n"
                               "workers: 4\n"
                               "body: 1536\n"
                               "timeout: 90s\n"
                               "rate: 5/10m\n"
                               "contact: \"$$(env:X) $${y} @\"\n"
                               "dir: \"/x y\"\n"
                               "key: <secret>\n"
                               "upstream: \"http://[::1]:80/\"\n"
                               "allow: [10.0.0.0/8, 192.0.2.1/32]\n"
                               "when: \"path == \\\"a\\\\\\\\\\\" and tls\"\n"
                               "waf:\n"
                               "  mode: off\n"
                               "  ruleset: crs\n"
                               "  threshold:\n"
                               "    inbound: 5\n"
                               "    outbound: 4\n"
                               "  exclude: []\n"
                               "servers:\n"
                               "  - url: http://a:1\n"
                               "    weight: 1\n"
                               "  - url: unix:/u\n"
                               "    weight: 2\n"
                               "limits:\n"
                               "  - rate: \"5/min per client.ip burst 10\"\n"
                               "plans:\n"
                               "  free:\n"
                               "    rate: 1/s\n"
                               "  \"a: b\":\n"
                               "    limits: [x]\n"
                               "    rate: 60/min\n"
                               "plan: free\n";

static void prints_what_can_be_read_again(void **state)
{
    (void)state;
    struct fixture *f = fixture_new();
    struct span once = print(f, span_text(whole), false);
    assert_span(once, span_text(expected));
    assert_span(print(f, once, false), once);
    fixture_free(f);
}

static void says_what_is_not_set(void **state)
{
    (void)state;
    struct fixture *f = fixture_new();
    struct span text = print(f, SPAN("host: a\n"), true);
    assert_true(
        span_starts(text, SPAN("# Names | hosts.\nhost: [a]\n# Whether.\nwebsocket: true\n"
                               "# How many.\n# workers:\n# How large.\nbody: 10MiB\n")));
    assert_true(span_find(text, SPAN("# The rules.\nwaf:\n  # What it does with an attack.\n"
                                     "  mode: block\n")) >= 0);
    assert_true(span_find(text, SPAN("# A secret.\n# key:\n")) >= 0);
    struct span bare = print(f, SPAN("host: a\n"), false);
    assert_span(print(f, text, false), bare); /* comments change nothing */
    fixture_free(f);
}

static void leaves_out_empty_objects(void **state)
{
    (void)state;
    static const struct option inner[] = { { .name = "t", .kind = OPT_TEXT }, OPTIONS_END };
    static const struct option rows[] = {
        { .name = "o", .kind = OPT_OBJECT, .options = inner },
        { .name = "n", .kind = OPT_INT, .offset = sizeof(struct span) },
        OPTIONS_END,
    };
    struct {
        struct span t;
        int64_t n;
    } value = { .n = -3 };
    struct fixture *f = fixture_new();
    struct text t = text_growing(&f->arena, 64);
    schema_print(&t, rows, &value, 4, false);
    assert_text(text_span(&t), "    n: -3\n");
    fixture_free(f);
}

static void keeps_to_its_room(void **state)
{
    (void)state;
    struct sample_waf waf = { .mode = SAMPLE_OFF };
    char buffer[32];
    for (size_t size = 0; size <= sizeof(buffer); size++) {
        struct text t = text_fixed(buffer, size);
        schema_print(&t, sample_waf_rows, &waf, 2, true);
        assert_true(t.overflow && t.len <= size);
    }
}

int main(void)
{
    return RUN(TEST(prints_what_can_be_read_again), TEST(says_what_is_not_set),
               TEST(leaves_out_empty_objects), TEST(keeps_to_its_room));
}
