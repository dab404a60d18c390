/* Rows and nodes: every kind, defaults, inheritance, shorthands, and every complaint. */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tests/unit/check.h"
#include "tests/unit/conf/fixture.h"
#include "tests/unit/conf/sample.h"

struct loaded {
    struct sample sample;
    struct sample_common common;
};

/* Applies the text over what stands in `loaded`. */
static void apply(struct fixture *f, struct loaded *loaded, const char *text, bool complete)
{
    static const char *const also[] = { "version", NULL };
    struct section sections[] = { { sample_rows, &loaded->sample },
                                  { sample_common_rows, &loaded->common } };
    struct node *root = fixture_yaml(f, span_text(text));
    assert_non_null(root);
    struct schema schema = { &f->arena, &f->diags, &sample_scope, root };
    schema_apply(&schema, root,
                 &(struct shape){ .what = "site",
                                  .sections = sections,
                                  .count = ARRAY_LEN(sections),
                                  .also = also,
                                  .complete = complete });
}

static struct loaded load(struct fixture *f, const char *text)
{
    struct loaded loaded = { .sample = { .workers = 0 } };
    struct schema schema = { &f->arena, &f->diags, &sample_scope, NULL };
    schema_defaults(&schema, sample_rows, &loaded.sample);
    schema_defaults(&schema, sample_common_rows, &loaded.common);
    apply(f, &loaded, text, true);
    return loaded;
}

static void fills_in_defaults(void **state)
{
    (void)state;
    struct fixture *f = fixture_new();
    struct loaded l = load(f, "host: a\nversion: 1\n");
    assert_text(fixture_codes(f), "");
    assert_true(l.sample.websocket);
    assert_int_equal(l.sample.body, 10 << 20);
    assert_int_equal(l.sample.timeout.ms, 10000);
    assert_int_equal(l.sample.waf.mode, SAMPLE_BLOCK);
    assert_int_equal(l.sample.waf.threshold.inbound, 5);
    assert_int_equal(l.sample.waf.threshold.outbound, 4);
    assert_null(l.sample.when);
    assert_int_equal(l.sample.servers.count, 0);
    fixture_free(f);
}

static void reads_every_kind(void **state)
{
    (void)state;
    struct fixture *f = fixture_new();
    struct loaded l = load(f, "host: [a, \"*.b\"]\nwebsocket: false\nworkers: 4\nbody: 16KiB\n"
                              "timeout: 1m\nrate: 5/10s\ncontact: a@b\ndir: /x/y\n"
                              "upstream: https://H.example\nallow: [10.0.0.0/8, \"::1\"]\n"
                              "when: tls\nunless: not tls\nmode: detect\n"
                              "waf: {mode: off, threshold: {outbound: 9}, exclude: [x]}\n"
                              "servers: [{url: http://a:1, weight: 7}]\n"
                              "limits: [{rate: 5/min per client.ip burst 10}]\n"
                              "plans: {free: {rate: 20/hour}, pro: {limits: y}}\nplan: pro\n");
    const struct sample *s = &l.sample;
    assert_text(fixture_human(f), "");
    assert_int_equal(s->host.count, 2);
    assert_text(s->host.items[1], "*.b");
    assert_false(s->websocket);
    assert_int_equal(s->workers, 4);
    assert_int_equal(s->body, 16384);
    assert_int_equal(s->timeout.ms, 60000);
    assert_int_equal(s->rate.count, 5);
    assert_int_equal(s->rate.per_ms, 10000);
    assert_text(s->dir.text, "/x/y");
    assert_int_equal(s->dir.text.p[s->dir.text.len], 0);
    assert_text(s->upstream.host, "h.example");
    assert_int_equal(s->upstream.port, 443);
    assert_int_equal(s->allow.count, 2);
    assert_int_equal(s->allow.items[0].bits, 8);
    assert_text(expr_text(s->when), "tls");
    assert_text(expr_text(l.common.unless), "not tls");
    assert_int_equal(l.common.mode, SAMPLE_DETECT);
    assert_int_equal(s->waf.mode, SAMPLE_OFF);
    assert_int_equal(s->waf.threshold.inbound, 5);
    assert_int_equal(s->waf.threshold.outbound, 9);
    const struct sample_server *server = s->servers.items;
    assert_int_equal(server->weight, 7);
    assert_int_equal(server->url.port, 1);
    const struct sample_limit *limit = s->limits.items;
    assert_int_equal(limit->rate.rate.count, 5);
    assert_int_equal(limit->rate.burst, 10);
    assert_text(limit->rate.key, "client.ip");
    const struct sample_plan *plans = s->plans.items;
    assert_int_equal(s->plans.count, 2);
    assert_text(plans[0].item.key, "free");
    assert_int_equal(plans[0].rate.per_ms, 3600000);
    assert_int_equal(plans[1].rate.per_ms, 60000); /* the item's own default */
    assert_text(s->plan, "pro");
    fixture_free(f);
}

static void takes_shorthands(void **state)
{
    (void)state;
    struct fixture *f = fixture_new();
    struct loaded l = load(f, "host: a\nwaf: none\nservers: http://a\n"
                              "limits: [60/min, {rate: 1/s}]\nplans: {p: [x, y], q: z}\n");
    assert_text(fixture_human(f), "");
    assert_int_equal(l.sample.waf.ruleset, 1);
    assert_int_equal(l.sample.servers.count, 1);
    assert_text(((struct sample_server *)l.sample.servers.items)->url.host, "a");
    assert_int_equal(l.sample.limits.count, 2);
    assert_int_equal(((struct sample_limit *)l.sample.limits.items)->rate.rate.count, 60);
    assert_int_equal(((struct sample_plan *)l.sample.plans.items)->limits.count, 2);
    fixture_reset(f);

    l = load(f, "host: a\nwaf: off\nlimits: off\n");
    assert_text(fixture_human(f), "");
    assert_int_equal(l.sample.waf.mode, SAMPLE_OFF);
    assert_int_equal(l.sample.waf.ruleset, 0); /* the rest stays */
    fixture_reset(f);
    l = load(f, "host: a\nwaf: false\n");
    assert_int_equal(l.sample.waf.mode, SAMPLE_OFF);
    fixture_free(f);
}

static void inherits(void **state)
{
    (void)state;
    struct fixture *f = fixture_new();
    struct loaded parent = load(f, "host: [a, b]\nallow: 10.0.0.0/8\nlimits: [1/s]\n"
                                   "waf: {exclude: [x], threshold: {inbound: 7}}\nkey: k\n");
    struct loaded child = parent;
    apply(f, &child, "host: c\nallow: [\"::1\"]\nlimits: [2/s]\nwaf: {exclude: y}\nkey: l\n",
          true);
    assert_int_equal(f->diags.errors, 0);
    assert_int_equal(child.sample.host.count, 1);  /* replaces */
    assert_int_equal(child.sample.allow.count, 2); /* appends */
    assert_int_equal(child.sample.limits.count, 2);
    assert_int_equal(child.sample.waf.exclude.count, 2);
    assert_text(child.sample.waf.exclude.items[1], "y");
    assert_int_equal(child.sample.waf.threshold.inbound, 7);
    assert_true(span_equal(span_of(child.sample.key.p, child.sample.key.len), SPAN("l")));
    assert_int_equal(parent.sample.allow.count, 1); /* the parent is as it was */
    assert_true(span_equal(span_of(parent.sample.key.p, parent.sample.key.len), SPAN("k")));
    assert_text(parent.sample.waf.exclude.items[0], "x");

    struct loaded cleared = parent; /* what is required was inherited */
    apply(f, &cleared, "allow: []\nlimits: []\nwaf: {exclude: []}\n", true);
    assert_int_equal(f->diags.errors, 0);
    assert_int_equal(cleared.sample.allow.count, 0);
    assert_int_equal(cleared.sample.limits.count, 0);
    assert_int_equal(cleared.sample.waf.exclude.count, 0);
    fixture_free(f);
}

static void requires_only_when_complete(void **state)
{
    (void)state;
    struct fixture *f = fixture_new();
    struct loaded l = { .sample = { .workers = 0 } };
    apply(f, &l, "workers: 1\n", false);
    assert_text(fixture_codes(f), "");
    apply(f, &l, "workers: 1\n", true);
    assert_text(fixture_codes(f), "SP0205@1:1");
    assert_true(span_find(fixture_human(f), SPAN("for example host: app.example.com")) >= 0);
    fixture_free(f);
}

/* Each behind "host: a\n", so that the first line is line 2. */
static const struct {
    const char *text, *codes, *words;
} refused[] = {
    { "hosst: a\n", "SP0103@2:1", "did you mean \"host\"?" },
    { "wfa: off\n", "SP0103@2:1", "did you mean \"waf\"?" },
    { "web: a\n", "SP0103@2:1", "did you mean \"websocket\"?" },
    { "verzion: a\n", "SP0103@2:1", "did you mean \"version\"?" },
    { "zzzzz: a\n", "SP0103@2:1", "^^^^^\n" },
    { "waf: {mood: off}\n", "SP0103@2:7", "did you mean \"mode\"?" },
    { "waf: {zzzzz: off}\n", "SP0103@2:7", "known here: mode, ruleset, threshold, exclude" },
    { "websocket: yes\n", "SP0202@2:12", "did you mean \"true\"?" },
    { "websocket: Off\n", "SP0202@2:12", "did you mean \"false\"?" },
    { "websocket: maybe\n", "SP0202@2:12", "true or false, not \"maybe\"" },
    { "workers: x\n", "SP0202@2:10", "whole number" },
    { "workers: 1.5\n", "SP0202@2:10", "whole number" },
    { "workers: 0x10\n", "SP0202@2:10", "whole number" },
    { "workers: 0\n", "SP0203@2:10", "between 1 and 256" },
    { "workers: 257\n", "SP0203@2:10", "between 1 and 256" },
    { "workers: -1\n", "SP0203@2:10", "between" },
    { "workers: 99999999999999999999\n", "SP0202@2:10", "whole number" },
    { "body: 16K\n", "SP0202@2:7", "write KiB (1024 bytes) or kB (1000 bytes)" },
    { "body: 16KB\n", "SP0202@2:7", "write KiB" },
    { "body: 16m\n", "SP0202@2:7", "write MiB" },
    { "body: 16 KiB\n", "SP0202@2:7", "for example" },
    { "body: 1.5GiB\n", "SP0202@2:7", "for example" },
    { "body: 99999999999TiB\n", "SP0202@2:7", "must be a size" },
    { "body: 0\n", "SP0203@2:7", "between 1 and 1GiB" },
    { "body: 2GiB\n", "SP0203@2:7", "between 1 and 1GiB" },
    { "timeout: 30\n", "SP0202@2:10", "add a unit: ms, s, m, h or d" },
    { "timeout: 1w\n", "SP0202@2:10", "for example 50ms" },
    { "timeout: -1s\n", "SP0202@2:10", "must be a duration" },
    { "timeout: 99999999999999999d\n", "SP0202@2:10", "must be a duration" },
    { "timeout: 2d\n", "SP0203@2:10", "between 1ms and 1d" },
    { "rate: 60\n", "SP0202@2:7", "for example 60/min" },
    { "rate: 60/month\n", "SP0202@2:7", "must be a rate" },
    { "rate: 0/min\n", "SP0202@2:7", "must be a rate" },
    { "rate: 5/0s\n", "SP0202@2:7", "must be a rate" },
    { "rate: 5 potatoes/min\n", "SP0202@2:7", "must be a rate" },
    { "rate: 5/min/s\n", "SP0202@2:7", "must be a rate" },
    { "limits: [5/min per]\n", "SP0202@2:10", "per client.ip burst 10" },
    { "limits: [5/min per a per b]\n", "SP0202@2:10", "must be a rate" },
    { "limits: [5/min burst 0]\n", "SP0202@2:10", "must be a rate" },
    { "limits: [5/min from a]\n", "SP0202@2:10", "must be a rate" },
    { "mode: blok\n", "SP0204@2:7", "did you mean \"block\"?" },
    { "mode: zzz\n", "SP0204@2:7", "one of block, detect, off, not \"zzz\"" },
    { "waf: wrong\n", "SP0204@2:6", "crs, none" },
    { "waf: [a]\n", "SP0201@2:6", "takes a mapping, not a list" },
    { "contact: ab\n", "SP0207@2:10", "contact: an address has an @" },
    { "dir: \"\"\n", "SP0202@2:6", "must be a path" },
    { "upstream: 127.0.0.1:3000\n", "SP0202@2:11", "write http://" },
    { "upstream: ftp://a\n", "SP0202@2:11", "must be a URL" },
    { "upstream: http://\n", "SP0202@2:11", "no valid host" },
    { "upstream: http://a:0\n", "SP0202@2:11", "port" },
    { "upstream: http://a:65536\n", "SP0202@2:11", "port" },
    { "upstream: \"http://a:\"\n", "SP0202@2:11", "port" },
    { "upstream: http://u:p@a\n", "SP0202@2:11", "password" },
    { "upstream: http://127.1\n", "SP0202@2:11", "no valid host" },
    { "upstream: \"http://[::1\"\n", "SP0202@2:11", "not closed" },
    { "upstream: \"http://[1.2.3.4]\"\n", "SP0202@2:11", "IPv6" },
    { "upstream: \"http://[::1]x\"\n", "SP0202@2:11", "only a port" },
    { "upstream: \"http://a/#x\"\n", "SP0202@2:11", "fragment" },
    { "upstream: http://a?x\n", "SP0202@2:11", "begin with /" },
    { "upstream: http://é\n", "SP0202@2:11", "percent-encoded" },
    { "upstream: \"unix:\"\n", "SP0202@2:11", "no socket" },
    { "allow: [10.0.0.1/8]\n", "SP0202@2:9", "did you mean \"10.0.0.0/8\"?" },
    { "allow: [10.0.0.0/33, x]\n", "SP0202@2:9 SP0202@2:22", "for example 192.0.2.1" },
    { "allow: [[10.0.0.0/8]]\n", "SP0201@2:9", "list of single values" },
    { "allow: {a: b}\n", "SP0201@2:8", "begin each item" },
    { "plan: x\nplans: {y: [a]}\n", "SP0206@2:7", "there is no \"x\" in \"plans\"" },
    { "plan: fre\nplans: {free: [a]}\n", "SP0206@2:7", "did you mean \"free\"?" },
    { "when: path == 1\n", "SP0303@2:15", "text cannot be compared with a number" },
    { "when: \"path == 1\"\n", "SP0303@2:16", "cannot be compared" },
    { "when: >\n  path == 1\n", "SP0303@2:7", "cannot be compared" },
    { "when: pth == 'a'\n", "SP0302@2:7", "^^^ did you mean \"path\"?" },
    { "servers: [http://a, http://b, http://c, http://d, http://e]\n", "SP0203@2:10",
      "at most 4" },
    { "servers: {url: a}\n", "SP0201@2:10", "begin each item with \"- \"" },
    { "servers: [{weight: 1}]\n", "SP0205@2:11", "url is missing in servers" },
    { "servers: [[a]]\n", "SP0201@2:11", "takes a mapping" },
    { "plans: [a]\n", "SP0201@2:8", "mapping from names" },
    { "workers: [1]\n", "SP0201@2:10", "takes a single value, not a list" },
    { "workers: {a: 1}\n", "SP0201@2:10", "not a mapping" },
    { "workers:\n", "SP0210@2:9", "give a value, or remove the key" },
    { "waf:\n", "SP0210@2:5", "has no value" },
    { "limits: [ , 1/s]\n", "SP0101@2:11", "" },
    { "limits:\n  -\n  - 1/s\n", "SP0210@3:4", "limits has no value" },
    { "allow:\n  -\n", "SP0210@3:4", "has no value" },
    { "key: hunter2\n", "wSP0208@2:6", "key: *******\n" },
    { "workers: $(env:SALLYPORT_TEST)\n", "SP0202@2:10", "not what was substituted" },
};

static void refuses_and_says_where(void **state)
{
    (void)state;
    struct fixture *f = fixture_new();
    setenv("SALLYPORT_TEST", "hush", 1);
    for (size_t i = 0; i < ARRAY_LEN(refused); i++) {
        struct text t = text_growing(&f->arena, 128);
        text_lit(&t, "host: a\n");
        text_add(&t, span_text(refused[i].text));
        struct loaded l = { .sample = { .workers = 0 } };
        struct section sections[] = { { sample_rows, &l.sample },
                                      { sample_common_rows, &l.common } };
        static const char *const also[] = { "version", NULL };
        struct node *root = fixture_yaml(f, text_span(&t));
        struct schema schema = { &f->arena, &f->diags, &sample_scope, root };
        if (root != NULL)
            schema_apply(&schema, root,
                         &(struct shape){ .what = "site",
                                          .sections = sections,
                                          .count = 2,
                                          .also = also,
                                          .complete = true });
        assert_span(fixture_codes(f), span_text(refused[i].codes));
        struct span human = fixture_human(f);
        if (span_find(human, span_text(refused[i].words)) < 0)
            fail_msg("\"%s\" is not in:\n%.*s", refused[i].words, (int)human.len, human.p);
        assert_true(span_find(human, SPAN("hunter2")) < 0 &&
                    span_find(human, SPAN("hush")) < 0);
        fixture_reset(f);
    }
    fixture_free(f);
}

static void finds_all_errors_in_one_run(void **state)
{
    (void)state;
    struct fixture *f = fixture_new();
    load(f, "hosst: a\nbody: 16K\nworkers: $(env:SALLYPORT_TEST_NONE)\nmode: x\na: *b\n"
            "waf: {mod: x}\nallow: [x, y]\n");
    assert_text(fixture_codes(f), "SP0103@1:1 SP0205@1:1 SP0202@2:7 SP0108@3:10 SP0204@4:7 "
                                  "SP0103@5:1 SP0104@5:4 SP0103@6:7 SP0202@7:9 SP0202@7:12");
    fixture_free(f);
}

static const struct {
    const char *text;
    uint64_t count, per_ms, burst;
    const char *key;
} rates[] = {
    { "60/min", 60, 60000, 0, "" },
    { "100/s", 100, 1000, 0, "" },
    { "20/hour", 20, 3600000, 0, "" },
    { "20/h", 20, 3600000, 0, "" },
    { "5000/day", 5000, 86400000, 0, "" },
    { "5/10s", 5, 10000, 0, "" },
    { "5/10min", 5, 600000, 0, "" },
    { "5/500ms", 5, 500, 0, "" },
    { "5 blocks/10m", 5, 600000, 0, "" },
    { "5/min per field:username", 5, 60000, 0, "field:username" },
    { "5/min burst 3 per x", 5, 60000, 3, "x" },
    { "5/min   per   x   burst   3", 5, 60000, 3, "x" },
};

static void reads_rates(void **state)
{
    (void)state;
    static const struct option row = { .name = "r", .kind = OPT_KEYED_RATE };
    struct fixture *f = fixture_new();
    struct schema schema = { &f->arena, &f->diags, NULL, NULL };
    for (size_t i = 0; i < ARRAY_LEN(rates); i++) {
        struct node node = { .kind = NODE_SCALAR, .text = span_text(rates[i].text) };
        struct keyed_rate rate = { .burst = 0 };
        assert_true(schema_scalar(&schema, &row, &node, &rate));
        assert_int_equal(rate.rate.count, rates[i].count);
        assert_int_equal(rate.rate.per_ms, rates[i].per_ms);
        assert_int_equal(rate.burst, rates[i].burst);
        assert_span(rate.key, span_text(rates[i].key));
    }
    fixture_free(f);
}

static const struct {
    const char *text, *scheme, *host, *path;
    int port;
} urls[] = {
    { "http://127.0.0.1:3000", "http", "127.0.0.1", "", 3000 },
    { "http://a", "http", "a", "", 80 },
    { "https://A.b-c_d/", "https", "a.b-c_d", "/", 443 },
    { "https://[2001:db8::1]:8443/x?y=1", "https", "2001:db8::1", "/x?y=1", 8443 },
    { "http://[::1]", "http", "::1", "", 80 },
    { "unix:/run/a b.sock", "unix", "", "/run/a b.sock", 0 },
};

static void reads_urls(void **state)
{
    (void)state;
    static const struct option row = { .name = "u", .kind = OPT_URL };
    struct fixture *f = fixture_new();
    struct schema schema = { &f->arena, &f->diags, NULL, NULL };
    for (size_t i = 0; i < ARRAY_LEN(urls); i++) {
        struct node node = { .kind = NODE_SCALAR, .text = span_text(urls[i].text) };
        struct url url = { .port = 1 };
        assert_true(schema_scalar(&schema, &row, &node, &url));
        assert_span(url.text, span_text(urls[i].text));
        assert_span(url.scheme, span_text(urls[i].scheme));
        assert_span(url.host, span_text(urls[i].host));
        assert_span(url.path, span_text(urls[i].path));
        assert_int_equal(url.port, urls[i].port);
    }
    fixture_free(f);
}

static const struct {
    const char *text;
    uint64_t bytes;
} sizes[] = {
    { "4096", 4096 },      { "500B", 500 },
    { "16KiB", 16384 },    { "10MiB", 10485760 },
    { "1GiB", 1u << 30 },  { "1TiB", 1ull << 40 },
    { "16kB", 16000 },     { "10MB", 10000000 },
    { "2GB", 2000000000 }, { "0", 0 },
};

static void reads_sizes(void **state)
{
    (void)state;
    static const struct option row = { .name = "s", .kind = OPT_SIZE };
    struct fixture *f = fixture_new();
    struct schema schema = { &f->arena, &f->diags, NULL, NULL };
    for (size_t i = 0; i < ARRAY_LEN(sizes); i++) {
        struct node node = { .kind = NODE_SCALAR, .text = span_text(sizes[i].text) };
        uint64_t bytes = 1;
        assert_true(schema_scalar(&schema, &row, &node, &bytes));
        assert_true(bytes == sizes[i].bytes);
    }
    fixture_free(f);
}

/* From a file: relative paths, and secrets that everybody can read. */
static void knows_where_files_are(void **state)
{
    (void)state;
    char folder[] = "/tmp/sallyport-schema-XXXXXX", path[64], secret[64];
    assert_non_null(mkdtemp(folder));
    snprintf(path, sizeof(path), "%s/c.yaml", folder);
    snprintf(secret, sizeof(secret), "%s/secret", folder);
    struct fixture *f = fixture_new();
    for (int exposed = 0; exposed <= 1; exposed++) {
        static const char text[] =
            "host: a\ndir: ./x\nkey: $(file:secret)\nupstream: unix:u.sock\n";
        int fd = open(path, O_WRONLY | O_CREAT, 0600);
        assert_int_equal(write(fd, text, sizeof(text) - 1), (ssize_t)sizeof(text) - 1);
        close(fd);
        fd = open(secret, O_WRONLY | O_CREAT, 0600);
        assert_int_equal(write(fd, "s3cret\n", 7), 7);
        assert_int_equal(fchmod(fd, exposed ? 0644 : 0640), 0);
        close(fd);

        struct sample sample = { .workers = 0 };
        struct section section = { sample_rows, &sample };
        struct node *root = yaml_load_file(path, &f->arena, &f->diags);
        struct schema schema = { &f->arena, &f->diags, &sample_scope, root };
        schema_apply(&schema, root,
                     &(struct shape){
                         .what = "site", .sections = &section, .count = 1, .complete = true });
        assert_span(fixture_codes(f), exposed ? SPAN("SP0209@3:6") : SPAN(""));
        if (!exposed)
            assert_true(span_equal(span_of(sample.key.p, sample.key.len), SPAN("s3cret")));
        assert_true(span_starts(sample.dir.text, span_text(folder)));
        assert_true(span_ends(sample.dir.text, SPAN("/x")));
        assert_true(span_ends(sample.upstream.path, SPAN("/u.sock")));
        assert_true(span_starts(sample.upstream.text, SPAN("unix:/tmp/")));
        fixture_reset(f);
    }
    unlink(path);
    unlink(secret);
    rmdir(folder);
    fixture_free(f);
}

static void lives_with_little_memory(void **state)
{
    (void)state;
    static const char text[] = "host: a\nlimits: [1/s, 2/s]\nplans: {a: [b]}\nkey: x\n"
                               "when: path == \"a\" and client.ip in [\"10.0.0.0/8\"]\nzz: 1\n";
    unsigned good = 0;
    for (size_t ceiling = 0; ceiling < 160 * 1024; ceiling += 1531) {
        static struct diags diags;
        struct arena arena;
        arena_init(&arena, NULL, 0, NULL, ceiling);
        diags_init(&diags, &arena);
        struct sample sample = { .workers = 0 };
        struct section section = { sample_rows, &sample };
        struct node *root = yaml_load_text(span_text(text), "t", &arena, &diags);
        struct schema schema = { &arena, &diags, &sample_scope, root };
        schema_defaults(&schema, sample_rows, &sample);
        if (root != NULL)
            schema_apply(
                &schema, root,
                &(struct shape){
                    .what = "site", .sections = &section, .count = 1, .complete = true });
        assert_true(diags.errors > 0); /* there is one, always */
        good += diags.errors == 1;
        arena_reset(&arena);
    }
    assert_true(good > 0);
}

int main(void)
{
    return RUN(TEST(fills_in_defaults), TEST(reads_every_kind), TEST(takes_shorthands),
               TEST(inherits), TEST(requires_only_when_complete), TEST(refuses_and_says_where),
               TEST(finds_all_errors_in_one_run), TEST(reads_rates), TEST(reads_urls),
               TEST(reads_sizes), TEST(knows_where_files_are), TEST(lives_with_little_memory));
}
