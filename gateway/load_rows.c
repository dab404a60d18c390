/*
 * Rows of the configuration outside the stages: server, audit, lists, sites, routes.
 */
#include "gateway/load_rows.h"

#include "conf/schema.h"
#include "gateway/audit/capture.h"
#include "gateway/http/claims.h"
#include "gateway/net/certs.h"
#include "geoip/listfile.h"

#define DAY_MS (24LL * 3600 * 1000)
#define MIB (1024LL * 1024)
#define GIB (1024LL * 1024 * 1024)

static const struct choice sandbox_choices[] = {
    { "auto", 0, "Privileges dropped, landlock and seccomp as far as the kernel has them." },
    { "off", 1, "For debugging only." },
    { NULL, 0, NULL },
};
static const struct choice unknown_host_choices[] = {
    { "close", UNKNOWN_HOST_CLOSE, "Refused with 404, and the connection is closed." },
    { "404", UNKNOWN_HOST_404, "Refused with 404; the connection may go on." },
    { NULL, 0, NULL },
};

static const struct choice body_choices[] = {
    { "strict", BODY_STRICT, "A body that cannot be inspected in one way is refused." },
    { "compat", BODY_COMPAT, "It passes, and the record says that it was not seen." },
    { NULL, 0, NULL },
};
static const struct choice profile_choices[] = {
    { "modern", TLS_MODERN, "TLS 1.3 only." },
    { "intermediate", TLS_INTERMEDIATE, "TLS 1.2 with forward secrecy and AEAD, and 1.3." },
    { NULL, 0, NULL },
};
static const struct choice https_choices[] = {
    { "off", HTTPS_OFF, "It is served as HTTPS is." },
    { "redirect", HTTPS_REDIRECT,
      "Sent to the same address under HTTPS, by 308, before anything is asked." },
    { "auto", HTTPS_AUTO, "`redirect` where the certificate comes by `acme`, else `off`." },
    { NULL, 0, NULL },
};
static const struct choice verify_choices[] = {
    { "require", TLS_VERIFY_REQUIRE, "No request without a certificate of this authority." },
    { "optional", TLS_VERIFY_OPTIONAL, "Verified when one is sent." },
    { NULL, 0, NULL },
};

static const struct choice durability_choices[] = {
    { "buffered", DURABILITY_BUFFERED,
      "Decisions are in shared memory before they are answered: no process but the master can "
      "lose them." },
    { "write", DURABILITY_WRITE, "They are in the file before they are answered." },
    { "sync", DURABILITY_SYNC, "They are on the disk before they are answered." },
    { NULL, 0, NULL },
};
static const struct choice on_full_choices[] = {
    { "drop-low", ON_FULL_DROP_LOW, "Forwarded requests go unrecorded, and are counted." },
    { "block", ON_FULL_BLOCK, "New requests wait until there is room." },
    { "fail-closed", ON_FULL_FAIL_CLOSED, "New requests are refused until there is room." },
    { NULL, 0, NULL },
};

/* ---- checks ---- */

bool listen_parse(struct span text, struct addr *addr)
{
    char all[64];
    struct text out = text_fixed(all, sizeof all);

    if (text.len > 0 && text.p[0] == ':') {
        text_lit(&out, "[::]");
        text_add(&out, text);
        text = text_span(&out);
    }
    if (out.overflow || !addr_parse_port(text, addr))
        return false;
    /* An explicit port 0 is the system's choice, told on the ready line; none at all is an
     * error. */
    return addr->port != 0 || span_ends(text, SPAN("]:0")) ||
           (addr->family == ADDR_V4 && span_ends(text, SPAN(":0")));
}

static void check_listen(const void *field, struct complaint *complaint)
{
    const struct texts *texts = field;
    struct addr addr;

    for (size_t i = 0; i < texts->count; i++) {
        if (!listen_parse(texts->items[i], &addr))
            complain(complaint, SEVERITY_ERROR, "\"%.*s\" is no address: ip:port, or :port",
                     (int)texts->items[i].len, texts->items[i].p);
    }
}

static void check_metrics(const void *field, struct complaint *complaint)
{
    const struct span *text = field;
    struct addr addr;

    if (text->len > 0 &&
        (!addr_parse_port(*text, &addr) || (addr.port == 0 && !span_ends(*text, SPAN(":0")))))
        complain(complaint, SEVERITY_ERROR, "\"%.*s\" is no address: ip:port", (int)text->len,
                 text->p);
}

static void check_resolver(const void *field, struct complaint *complaint)
{
    const struct texts *texts = field;
    struct addr addr;

    for (size_t i = 0; i < texts->count; i++) {
        if (!addr_parse_port(texts->items[i], &addr))
            complain(complaint, SEVERITY_ERROR, "\"%.*s\" is no address: ip or ip:port",
                     (int)texts->items[i].len, texts->items[i].p);
    }
    if (texts->count > RESOLVERS_MAX)
        complain(complaint, SEVERITY_ERROR, "no more than %d name servers", RESOLVERS_MAX);
}

uint32_t audit_record_bit(struct span name)
{
    static const struct {
        struct span name;
        uint32_t bit;
    } names[] = {
        { SPAN_INIT("all"), AUDIT_ALL },           { SPAN_INIT("blocked"), AUDIT_BLOCKED },
        { SPAN_INIT("detected"), AUDIT_DETECTED }, { SPAN_INIT("limited"), AUDIT_LIMITED },
        { SPAN_INIT("auth"), AUDIT_AUTH },         { SPAN_INIT("admin"), AUDIT_ADMIN },
    };

    for (size_t i = 0; i < ARRAY_LEN(names); i++) {
        if (span_equal(name, names[i].name))
            return names[i].bit;
    }
    return 0;
}

static void check_record(const void *field, struct complaint *complaint)
{
    const struct texts *texts = field;

    for (size_t i = 0; i < texts->count; i++) {
        if (audit_record_bit(texts->items[i]) == 0)
            complain(complaint, SEVERITY_ERROR,
                     "\"%.*s\" is none of all, blocked, detected, limited, auth, admin",
                     (int)texts->items[i].len, texts->items[i].p);
    }
}

static void check_keep_fields(const void *field, struct complaint *complaint)
{
    const struct texts *texts = field;

    for (size_t i = 0; i < texts->count; i++) {
        if (field_claims(texts->items[i]) == CLAIM_NONE)
            complain(complaint, SEVERITY_ERROR, "\"%.*s\" is no field that could be kept",
                     (int)texts->items[i].len, texts->items[i].p);
    }
}

static void check_sandbox(const void *field, struct complaint *complaint)
{
    const int *sandbox = field;

    if (*sandbox != 0)
        diag_add(complaint->schema->diags, SEVERITY_WARNING, DIAG_UNSAFE, complaint->place,
                 SPAN("without the sandbox, who takes over a process may do all that its user "
                      "may"),
                 SPAN(""));
}

/* ---- rows ---- */

static const struct option listen_rows[] = {
    OPTION_NAMED("http", struct server_conf, http, OPT_TEXTS, .example = "127.0.0.1:8080",
                 .check = check_listen,
                 .help = "Addresses for plain HTTP: ip:port, or :port for all interfaces."),
    OPTION_NAMED("https", struct server_conf, https, OPT_TEXTS, .example = "0.0.0.0:8443",
                 .check = check_listen, .help = "Addresses for HTTPS."),
    OPTIONS_END,
};

static const struct option limits_rows[] = {
    OPTION_NAMED("header", struct server_conf, limits.header, OPT_SIZE, .fallback = "15KiB",
                 .min = 256, .max = 15 * 1024,
                 .help = "Request line and fields together; over it 431."),
    OPTION_NAMED("headers", struct server_conf, limits.headers, OPT_INT, .fallback = "100",
                 .min = 1, .max = 1000, .help = "Number of fields; over it 431."),
    OPTION_NAMED("uri", struct server_conf, limits.uri, OPT_SIZE, .fallback = "8KiB", .min = 16,
                 .max = 14 * 1024, .help = "Request target; over it 414."),
    OPTION_NAMED("body", struct server_conf, limits.body, OPT_SIZE, .fallback = "10MiB",
                 .max = 1024 * GIB, .help = "Any request body; over it 413."),
    OPTION_NAMED(
        "connections", struct server_conf, limits.connections, OPT_INT, .fallback = "8000",
        .min = 1, .max = 1000000,
        .help = "Client connections of one worker; at the limit the oldest idle one goes."),
    OPTION_NAMED("conns_per_ip", struct server_conf, limits.conns_per_ip, OPT_INT,
                 .fallback = "200", .min = 0, .max = 60000,
                 .help =
                     "Connections of one address (IPv6: /64) in all workers, trusted proxies "
                     "aside; 0: no cap."),
    OPTION_NAMED("h2_streams", struct server_conf, limits.h2_streams, OPT_INT,
                 .fallback = "100", .min = 1, .max = 1000,
                 .help = "Requests of one HTTP/2 connection at a time."),
    OPTION_NAMED("client_share", struct server_conf, limits.client_share, OPT_INT,
                 .fallback = "12", .min = 1, .max = 100,
                 .help = "Per cent of a worker's memory for messages under way, and of its "
                         "HTTP/2 requests, for one address (IPv6: /64) that is no trusted "
                         "proxy; 100: all of it."),
    OPTION_NAMED("header_timeout", struct server_conf, limits.header_timeout, OPT_DURATION,
                 .fallback = "10s", .min = 10, .max = DAY_MS,
                 .help = "For a whole head, from its first byte; over it 408."),
    OPTION_NAMED("body_timeout", struct server_conf, limits.body_timeout, OPT_DURATION,
                 .fallback = "10s", .min = 10, .max = DAY_MS,
                 .help = "The window in which body_min_rate must be reached; over it 408."),
    OPTION_NAMED("body_min_rate", struct server_conf, limits.body_min_rate, OPT_SIZE,
                 .fallback = "500B", .max = GIB,
                 .help =
                     "Bytes a second that a body must bring, on average over body_timeout, and "
                     "that a client must take of its answer, over send_timeout."),
    OPTION_NAMED("send_timeout", struct server_conf, limits.send_timeout, OPT_DURATION,
                 .fallback = "20s", .min = 10, .max = DAY_MS,
                 .help =
                     "The window in which a client must take body_min_rate of its answer, or "
                     "it is cut."),
    OPTION_NAMED("tls_timeout", struct server_conf, limits.tls_timeout, OPT_DURATION,
                 .fallback = "10s", .min = 10, .max = DAY_MS, .help = "For the handshake."),
    OPTION_NAMED("idle", struct server_conf, limits.idle, OPT_DURATION, .fallback = "60s",
                 .min = 10, .max = DAY_MS, .help = "Between two requests of a connection."),
    OPTION_NAMED(
        "held", struct server_conf, limits.held, OPT_SIZE, .fallback = "256MiB", .min = 65536,
        .max = 64 * GIB,
        .help =
            "Bodies held for inspection in one worker, a quarter of it for one client; over "
            "it 503."),
    OPTION_NAMED("request_memory", struct server_conf, limits.request_memory, OPT_SIZE,
                 .fallback = "8MiB", .min = 65536, .max = GIB,
                 .help = "Memory of one transaction, its held body aside; over it 503."),
    OPTION_NAMED("compress", struct server_conf, limits.compress, OPT_SIZE, .fallback = "64MiB",
                 .max = 64 * GIB,
                 .help = "Memory of what compresses answers in one worker, about 0.3 MiB each "
                         "for gzip and 2.5 for the others; over it answers go out plain."),
    OPTION_NAMED("response_buffer", struct server_conf, limits.response_buffer, OPT_SIZE,
                 .fallback = "256KiB", .min = 1024, .max = 64 * 1024 * 1024,
                 .help = "Answer kept for a slow client before its upstream is paused."),
    OPTIONS_END,
};

static const struct option cache_rows[] = {
    OPTION_NAMED("mode", struct server_conf, cache.mode, OPT_ENUM, .fallback = "on",
                 .choices = switch_choices, .help = "Whether compiled rules are kept."),
    OPTION_NAMED("folder", struct server_conf, cache.folder, OPT_FILE,
                 .flags = OPTION_SHORTHAND,
                 .help = "Must belong to the user that runs the gateway, mode 0700. Default: "
                         "what systemd says (CacheDirectory, StateDirectory), else "
                         "/var/cache/sallyport as root, else ~/.cache/sallyport."),
    OPTION_NAMED("size", struct server_conf, cache.size, OPT_SIZE, .fallback = "512MiB",
                 .min = 1024 * 1024, .help = "What was used longest ago is removed beyond it."),
    OPTIONS_END,
};

static const struct option server_rows[] = {
    { .name = "listen",
      .kind = OPT_OBJECT,
      .options = listen_rows,
      .help = "Where requests come in. Without it: http 127.0.0.1:8080." },
    OPTION(struct server_conf, workers, OPT_INT, .fallback = "0", .max = WORKERS_MAX,
           .help = "Worker processes; 0: one per core."),
    OPTION(struct server_conf, control, OPT_FILE,
           .help = "Control socket. Default: /run/sallyport/control.sock as root, else "
                   "control.sock beside the configuration."),
    OPTION(struct server_conf, metrics, OPT_TEXT, .fallback = "", .check = check_metrics,
           .example = "127.0.0.1:9145",
           .help =
               "Address at which GET /metrics answers as Prometheus reads it. Everybody who "
               "reaches it may read; without it there is none."),
    OPTION(struct server_conf, user, OPT_TEXT, .fallback = "nobody",
           .help = "Whom the processes become when started as root."),
    OPTION(struct server_conf, resolver, OPT_TEXTS, .check = check_resolver,
           .example = "[192.0.2.53, \"[2001:db8::53]:53\"]",
           .help =
               "Name servers that are asked for dns:// and srv:// upstreams. Default: those "
               "of /etc/resolv.conf."),
    OPTION(struct server_conf, trusted_proxies, OPT_CIDRS, .example = "[10.0.0.0/8]",
           .help = "Whose word on the client's address counts. Nobody's, unless said here."),
    OPTION(struct server_conf, proxy_protocol, OPT_BOOL, .fallback = "false",
           .help = "Trusted proxies begin connections with a PROXY protocol head."),
    OPTION(struct server_conf, http2, OPT_ENUM, .fallback = "on", .choices = switch_choices,
           .help = "HTTP/2: by ALPN on HTTPS, by prior knowledge on plain HTTP."),
    { .name = "limits",
      .kind = OPT_OBJECT,
      .options = limits_rows,
      .help = "Sizes, counts and times of every connection." },
    OPTION(struct server_conf, drain_timeout, OPT_DURATION, .fallback = "5m", .min = 1,
           .max = DAY_MS,
           .help = "How long requests in flight may go on after a reload or stop."),
    OPTION(struct server_conf, mode, OPT_ENUM, .fallback = "block", .choices = mode_choices,
           .help = "The strictest mode of all; the least strict of server, site, route and "
                   "feature holds."),
    OPTION(struct server_conf, sandbox, OPT_ENUM, .fallback = "auto",
           .choices = sandbox_choices, .check = check_sandbox,
           .help = "Confinement of the processes."),
    OPTION(struct server_conf, unknown_host, OPT_ENUM, .fallback = "close",
           .choices = unknown_host_choices, .help = "What a request for no known site gets."),
    OPTION(struct server_conf, node, OPT_TEXT, .fallback = "",
           .help = "Name of this node in records."),
    { .name = "cache",
      .kind = OPT_OBJECT,
      .options = cache_rows,
      .help = "Compiled rules, kept so that only the first start has to compile them." },
    OPTIONS_END,
};

static const struct option redact_rows[] = {
    OPTION_NAMED("fields", struct top_conf, audit.redact.fields, OPT_TEXTS,
                 .fallback =
                     "password, passwd, pwd, *secret*, *token*, api_key, apikey, access_key",
                 .help = "Parameters whose values are replaced by a keyed pseudonym; `*` at "
                         "either end matches any run."),
    OPTIONS_END,
};

static const struct option rotate_rows[] = {
    OPTION_NAMED("size", struct top_conf, audit.rotate.size, OPT_SIZE, .fallback = "256MiB",
                 .max = 1024 * GIB, .flags = OPTION_SHORTHAND,
                 .help = "A file of this size is complete, and another begins; 0: never."),
    OPTION_NAMED("every", struct top_conf, audit.rotate.every, OPT_DURATION, .fallback = "0s",
                 .max = 366 * DAY_MS, .help = "So is one of this age; 0s: never."),
    OPTION_NAMED("compress", struct top_conf, audit.rotate.compress, OPT_BOOL,
                 .fallback = "true", .help = "Complete files are compressed by zstd."),
    OPTIONS_END,
};

static const struct option keep_rows[] = {
    OPTION_NAMED("age", struct top_conf, audit.keep.age, OPT_DURATION, .fallback = "0s",
                 .max = 36600 * DAY_MS,
                 .help = "Complete files that are older are deleted; 0s: never."),
    OPTION_NAMED("size", struct top_conf, audit.keep.size, OPT_SIZE, .fallback = "0",
                 .max = 1024 * 1024 * GIB,
                 .help =
                     "Over this size in sum the oldest complete ones are deleted; 0: never."),
    OPTIONS_END,
};

static void check_capture_key(const void *field, struct complaint *complaint)
{
    const struct span *text = field;
    uint8_t key[CAPTURE_KEY_BYTES];
    if (text->len > 0 && !capture_key_read(*text, key))
        complain(complaint, SEVERITY_ERROR,
                 "this is no public key: `sallyport capture key` makes a pair");
}

static const struct option capture_rows[] = {
    OPTION_NAMED("key", struct top_conf, audit.capture.key, OPT_TEXT, .flags = OPTION_SHORTHAND,
                 .check = check_capture_key,
                 .example = "hSDwCYkwp1R0i33ctD73Wg2/Og0mOBr066SpjqqbTmo",
                 .help = "Public key that captures are sealed to (`sallyport capture key`). "
                         "Without it nothing is captured."),
    OPTION_NAMED("of", struct top_conf, audit.capture.of, OPT_TEXTS, .check = check_record,
                 .fallback = "blocked, detected",
                 .help = "Which transactions: any of all, blocked, detected, limited, auth."),
    OPTION_NAMED("sample", struct top_conf, audit.capture.sample, OPT_INT, .fallback = "0",
                 .max = 1000000000, .help = "And one in so many of all transactions; 0: none."),
    OPTION_NAMED("rate", struct top_conf, audit.capture.rate, OPT_INT, .fallback = "20",
                 .min = 1, .max = 100000,
                 .help = "Of one worker in one second, at most; a flood is not kept whole."),
    OPTION_NAMED("body", struct top_conf, audit.capture.body, OPT_SIZE, .fallback = "64KiB",
                 .max = CAPTURE_BODY_MAX,
                 .help = "Bytes of a body that are kept. What was cut cannot be replayed "
                         "beyond the cut."),
    OPTION_NAMED("size", struct top_conf, audit.capture.size, OPT_SIZE, .fallback = "256MiB",
                 .min = 8 * MIB, .max = 1024 * GIB,
                 .help = "Of all captures that are kept; over it the oldest are deleted."),
    OPTIONS_END,
};

static const struct option audit_rows[] = {
    OPTION_NAMED("mode", struct top_conf, audit.mode, OPT_ENUM, .fallback = "on",
                 .choices = switch_choices, .help = "Whether records are written."),
    OPTION_NAMED("file", struct top_conf, audit.file, OPT_FILE,
                 .help = "JSON lines are appended here. Without it: standard output."),
    OPTION_NAMED(
        "record", struct top_conf, audit.record, OPT_TEXTS, .check = check_record,
        .fallback = "blocked, detected, limited, auth, admin",
        .help = "Which transactions: any of all, blocked, detected, limited, auth, admin."),
    OPTION_NAMED("durability", struct top_conf, audit.durability, OPT_ENUM,
                 .fallback = "buffered", .choices = durability_choices,
                 .help = "How far the record of a refusal or another answer of the gateway's "
                         "own has come before that answer is sent."),
    OPTION_NAMED("on_full", struct top_conf, audit.on_full, OPT_ENUM, .fallback = "drop-low",
                 .choices = on_full_choices,
                 .help = "What gives way when records cannot be written."),
    OPTION_NAMED("reserve", struct top_conf, audit.reserve, OPT_SIZE, .fallback = "16MiB",
                 .max = 64 * GIB,
                 .help = "Set aside beside the file for when the disk is full; 0: nothing."),
    OPTION_NAMED(
        "flood", struct top_conf, audit.flood, OPT_INT, .fallback = "50", .max = 1000000,
        .help = "Refusals that are alike (client, reason, rule, route) recorded one by "
                "one in a second; more are counted in one line. 0, or `record: all`: "
                "each has its own."),
    { .name = "rotate",
      .kind = OPT_OBJECT,
      .options = rotate_rows,
      .help = "When a file is complete." },
    { .name = "keep",
      .kind = OPT_OBJECT,
      .options = keep_rows,
      .help = "When complete files are deleted." },
    { .name = "capture",
      .kind = OPT_OBJECT,
      .options = capture_rows,
      .help =
          "Requests kept whole and sealed, beside the audit file, for `replay` and `diff`." },
    { .name = "redact",
      .kind = OPT_OBJECT,
      .options = redact_rows,
      .help = "What never reaches a record." },
    OPTIONS_END,
};

static const struct choice list_format_choices[] = {
    { "auto", LISTFILE_AUTO, "By what it begins with." },
    { "plain", LISTFILE_PLAIN, "A line an entry; behind # or ; why." },
    { "csv", LISTFILE_CSV, "With a line of column names, or prefix,reason,expires,source." },
    { "json", LISTFILE_JSON, "Objects with the address under any usual name, or strings." },
    { NULL, 0, NULL },
};

static const struct option list_rows[] = {
    OPTION(struct list_item, ips, OPT_CIDRS, .flags = OPTION_SHORTHAND,
           .help = "Addresses and prefixes."),
    OPTION(struct list_item, file, OPT_FILE,
           .help = "A file: an address or prefix a line, # comments; CSV; or JSON."),
    OPTION(struct list_item, watch, OPT_BOOL, .fallback = "false",
           .help = "Take changes of the file without a reload."),
    OPTION(struct list_item, format, OPT_ENUM, .fallback = "auto",
           .choices = list_format_choices,
           .help = "Of the file. Plain is also FireHOL's netset and Spamhaus' DROP."),
    OPTION(struct list_item, reason, OPT_TEXT, .fallback = "",
           .help = "Why addresses are on it, where an entry of the file does not say."),
    OPTION(struct list_item, without, OPT_CIDRS, .max = LIST_WITHOUT_MAX,
           .help = "Prefixes whose entries in the file are passed over.",
           .example = "[10.0.0.0/8]"),
    OPTION(struct list_item, max_cover, OPT_INT, .fallback = "10", .min = 1, .max = 100,
           .help = "A file that covers more percent of the public addresses is refused."),
    OPTION(struct list_item, max_shrink, OPT_INT, .fallback = "50", .min = 0, .max = 100,
           .help = "A changed file that has lost more percent of its entries is refused; a "
                   "reload takes it. From a URL it is refused until this is raised."),
    OPTION(struct list_item, url, OPT_TEXT, .fallback = "",
           .help = "Where it is fetched again and again: https, or http with allow_private. A "
                   "`file` beside it counts until there is an answer.",
           .example = "https://lists.example.net/drop.txt"),
    OPTION(struct list_item, refresh, OPT_DURATION, .fallback = "1h", .min = 1000,
           .max = 30 * DAY_MS, .help = "From one fetch to the next."),
    OPTION(struct list_item, max_age, OPT_DURATION, .fallback = "7d", .min = 1000,
           .max = 365 * DAY_MS,
           .help = "Without an answer for so long it is called stale in the log and in "
                   "`status`; it goes on to count."),
    OPTION(struct list_item, max_bytes, OPT_SIZE, .fallback = "32MiB", .min = 1024,
           .max = LISTFILE_BYTES_MAX, .help = "A longer answer is refused."),
    OPTION(struct list_item, ca, OPT_FILE,
           .help = "PEM bundle of authorities for its server. Default: the system's."),
    OPTION(struct list_item, allow_private, OPT_BOOL, .fallback = "false",
           .help = "The server that the URL names may have an address that is not public, and "
                   "be asked by http. Where a redirect leads elsewhere it may not."),
    OPTIONS_END,
};

static const struct option geoip_rows[] = {
    OPTION_NAMED("country", struct top_conf, geoip.country, OPT_FILE,
                 .help =
                     "A country database, MMDB. Watched: a good new file is taken without a "
                     "reload, as below."),
    OPTION_NAMED("city", struct top_conf, geoip.city, OPT_FILE,
                 .help = "A city database: country, continent and city."),
    OPTION_NAMED("asn", struct top_conf, geoip.asn, OPT_FILE,
                 .help = "A database of networks by number (ASN)."),
    OPTIONS_END,
};

const struct option top_rows[] = {
    OPTION(struct top_conf, version, OPT_INT, .fallback = "1", .min = 1, .max = 1,
           .help = "Of this file's format."),
    OPTION(struct top_conf, server, OPT_OBJECT, .options = server_rows,
           .help = "The process as a whole."),
    { .name = "audit",
      .kind = OPT_OBJECT,
      .options = audit_rows,
      .help = "Records of transactions." },
    OPTION(struct top_conf, store, OPT_OBJECT, .options = store_options,
           .help = "Where counters are kept that several nodes share. Without it each node "
                   "counts alone, in memory."),
    OPTION(struct top_conf, lists, OPT_MAP, .options = list_rows,
           .item_size = sizeof(struct list_item), .help = "Named address lists."),
    { .name = "geoip",
      .kind = OPT_OBJECT,
      .options = geoip_rows,
      .help =
          "Databases that tell where an address is (docs/geoip.md). Any MMDB file may stand "
          "at any key; the first one that knows something is believed." },
    { .name = "acme",
      .kind = OPT_OBJECT,
      .options = acme_rows,
      .help = "Certificates are got, and renewed, for every site without its own "
              "(docs/acme.md). server.listen is then :80 and :443, unless it says otherwise." },
    { .name = "crowdsec",
      .kind = OPT_OBJECT,
      .options = crowdsec_rows,
      .help = "A CrowdSec's local API whose decisions become lists (docs/crowdsec.md)." },
    OPTIONS_END,
};

static const struct option client_cert_rows[] = {
    OPTION_NAMED("ca", struct site_conf, tls.client_cert.ca, OPT_FILE,
                 .help = "PEM bundle of the authorities that sign clients."),
    OPTION_NAMED("crl", struct site_conf, tls.client_cert.crl, OPT_FILE,
                 .help = "Revocation lists, PEM: one of each authority that signed anything, "
                         "or nothing of it is accepted. A reload reads them anew."),
    OPTION_NAMED("require", struct site_conf, tls.client_cert.require, OPT_ENUM,
                 .fallback = "require", .choices = verify_choices,
                 .help = "Whether one must be sent."),
    OPTIONS_END,
};

static const struct option tls_rows[] = {
    OPTION_NAMED("cert", struct site_conf, tls.cert, OPT_FILE,
                 .help = "Certificate chain, PEM."),
    OPTION_NAMED("key", struct site_conf, tls.key, OPT_FILE, .help = "Private key, PEM."),
    OPTION_NAMED("ocsp", struct site_conf, tls.ocsp, OPT_FILE,
                 .help = "OCSP response to staple, DER."),
    OPTION_NAMED("profile", struct site_conf, tls.profile, OPT_ENUM, .fallback = "intermediate",
                 .choices = profile_choices, .help = "Versions and ciphers."),
    OPTION_NAMED("tickets", struct site_conf, tls.tickets, OPT_BOOL, .fallback = "true",
                 .help = "Session resumption by tickets, under keys that rotate."),
    { .name = "client_cert",
      .kind = OPT_OBJECT,
      .options = client_cert_rows,
      .help = "Client certificates." },
    OPTIONS_END,
};

const struct option site_rows[] = {
    OPTION(struct site_conf, name, OPT_TEXT,
           .help = "In records and metrics. Default: the first host."),
    OPTION(struct site_conf, host, OPT_TEXTS, .flags = OPTION_REQUIRED,
           .example = "[shop.example.com, \"*.shop.example.com\"]",
           .help = "Names that this site answers to; \"*\" answers to any."),
    OPTION(struct site_conf, https, OPT_ENUM, .fallback = "auto", .choices = https_choices,
           .help = "What becomes of plain HTTP."),
    OPTION(struct site_conf, acme, OPT_ENUM, .fallback = "on", .choices = switch_choices,
           .help = "Whether a certificate is got for it, when there is a top-level `acme` and "
                   "no tls.cert."),
    { .name = "tls", .kind = OPT_OBJECT, .options = tls_rows, .help = "HTTPS for this site." },
    OPTIONS_END,
};

static const struct option rewrite_rows[] = {
    OPTION_NAMED("strip_prefix", struct settings, rewrite.strip_prefix, OPT_TEXT,
                 .example = "/api", .help = "Taken off the path, when it begins with that."),
    OPTION_NAMED("add_prefix", struct settings, rewrite.add_prefix, OPT_TEXT, .example = "/v1",
                 .help = "Put before the path, after strip_prefix."),
    OPTION_NAMED(
        "path", struct settings, rewrite.path, OPT_TEXT, .example = "\"/archive{path}\"",
        .help =
            "The whole path, encoded, in place of both. Knows {path} {query} {host} "
            "{port} {scheme} {method} {client.ip} {id} {site}; {1} to {9} for the groups of a "
            "~ path."),
    OPTION_NAMED("query", struct settings, rewrite.query, OPT_TEXT,
                 .example = "\"from={host}&{query}\"",
                 .help = "The query, encoded, with the same names."),
    OPTIONS_END,
};

const struct option settings_rows[] = {
    OPTION(struct settings, mode, OPT_ENUM, .fallback = "block", .choices = mode_choices,
           .help = "block; detect: judge and record, but let through; off."),
    OPTION(struct settings, body, OPT_ENUM, .fallback = "strict", .choices = body_choices,
           .help = "What happens to bodies that cannot be inspected."),
    OPTION(struct settings, preserve_encoded, OPT_BOOL, .fallback = "false",
           .help = "Keep the path as it is spelled, encoded slashes included."),
    OPTION(struct settings, websocket, OPT_BOOL, .fallback = "true",
           .help = "Let WebSocket handshakes through."),
    { .name = "rewrite",
      .kind = OPT_OBJECT,
      .options = rewrite_rows,
      .help = "What upstream is asked for in place of what the client asked for. Routes, rules "
              "and records see the client's." },
    { .name = "compress",
      .kind = OPT_OBJECT,
      .options = compress_rows,
      .help = "Answers in a coding that the client takes. Off unless said." },
    OPTION(struct settings, keep_fields, OPT_TEXTS, .check = check_keep_fields,
           .example = "[X-HTTP-Method-Override]",
           .help =
               "Fields that claim an address, host, scheme, path or method, such as "
               "X-Forwarded-Ssl or CF-Connecting-IP, are taken from requests, but for those "
               "named here. Other than methods they stay only when a trusted proxy sends "
               "them."),
    OPTIONS_END,
};

static const struct option respond_rows[] = {
    OPTION_NAMED("status", struct route_conf, respond.status, OPT_INT,
                 .flags = OPTION_SHORTHAND, .min = 200, .max = 599,
                 .help = "Status of the fixed answer."),
    OPTION_NAMED("body", struct route_conf, respond.body, OPT_TEXT,
                 .help = "Its body; without one a page is made."),
    OPTION_NAMED("type", struct route_conf, respond.type, OPT_TEXT,
                 .fallback = "text/plain; charset=utf-8", .help = "Its Content-Type."),
    OPTIONS_END,
};

static const struct option redirect_rows[] = {
    OPTION_NAMED("to", struct route_conf, redirect.to, OPT_TEXT, .flags = OPTION_SHORTHAND,
                 .example = "\"https://new.example{path}\"",
                 .help =
                     "Location: a URL or an absolute path. Knows {path} {query} {host} {port} "
                     "{scheme} {method} {client.ip} {id} {site}."),
    OPTION_NAMED("status", struct route_conf, redirect.status, OPT_INT, .fallback = "302",
                 .min = 301, .max = 308, .help = "301, 302, 303, 307 or 308."),
    OPTIONS_END,
};

const struct option route_rows[] = {
    OPTION(struct route_conf, path, OPT_TEXT, .flags = OPTION_REQUIRED, .example = "/api/**",
           .help = "/x exactly; /x/** that folder and all below; * within a segment; ~ and a "
                   "regular expression, looked for in the path."),
    OPTION(struct route_conf, when, OPT_EXPR, .example = "\"header('x-beta') == '1'\"",
           .help = "Only requests for which this holds; others go on to the next route."),
    OPTION(struct route_conf, share, OPT_INT, .fallback = "100", .min = 0, .max = 100,
           .help = "Percent of the clients that come here, by address; the others go on to the "
                   "next route."),
    OPTION(struct route_conf, methods, OPT_TEXTS, .help = "Only these methods. Default: any."),
    { .name = "respond",
      .kind = OPT_OBJECT,
      .options = respond_rows,
      .help = "Answer here, after the inspection." },
    { .name = "redirect",
      .kind = OPT_OBJECT,
      .options = redirect_rows,
      .help = "Send elsewhere, after the inspection." },
    OPTIONS_END,
};
