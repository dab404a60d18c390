/* The rows of `server:`: where it listens, its limits, its cache; and what is wrong with them.
 */
#include "conf/schema.h"
#include "gateway/load_rows.h"

#define DAY_MS (24LL * 3600 * 1000)
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

const struct option server_rows[] = {
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
