/*
 * `upstream:` of the configuration: its rows, and from them servers with addresses and a TLS
 * side.
 */
#include "gateway/upstream/upstream.h"

#include <netdb.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "conf/schema.h"
#include "gateway/http/chars.h"
#include "gateway/net/certs.h"
#include "gateway/upstream/balance.h"

static const struct choice balance_choices[] = {
    { "round-robin", BALANCE_ROUND_ROBIN, "By turns, in proportion to the weights." },
    { "least-conn", BALANCE_LEAST_CONN, "The server with the fewest requests for its weight." },
    { "two-choices", BALANCE_TWO_CHOICES, "Of two at random the one with fewer requests." },
    { "hash", BALANCE_HASH, "The same server for the same `hash`, as long as it is there." },
    { NULL, 0, NULL },
};

static void check_verify(const void *field, struct complaint *complaint)
{
    const bool *verify = field;

    if (!*verify)
        diag_add(complaint->schema->diags, SEVERITY_WARNING, DIAG_UNSAFE, complaint->place,
                 SPAN("whoever is on the way to the servers can pose as one of them"),
                 SPAN(""));
}

static const struct option server_options[] = {
    OPTION(struct server_item, url, OPT_URL, .flags = OPTION_REQUIRED | OPTION_SHORTHAND,
           .help =
               "http://host:port, https://host:port or unix:/path; dns://name:port for "
               "each address of the name, srv://_service._tcp.name for what its SRV records "
               "say, dns+https:// and srv+https:// for these over TLS.",
           .example = "http://10.0.1.11:8080"),
    OPTION(struct server_item, weight, OPT_INT, .fallback = "1", .min = 1, .max = 1000,
           .help = "Its share of the requests."),
    OPTION(struct server_item, backup, OPT_BOOL, .fallback = "false",
           .help = "Serves only when no other server can."),
    OPTION(struct server_item, slots, OPT_INT, .fallback = "16", .min = 1, .max = FOUND_MAX,
           .help = "Of a name: how many servers it may stand for; more are left out."),
    OPTION(struct server_item, ttl_min, OPT_DURATION, .fallback = "1s", .min = 100,
           .max = 3600000,
           .help = "Of a name: it is asked for again when its records say, but not before."),
    OPTION(struct server_item, ttl_max, OPT_DURATION, .fallback = "5m", .min = 100,
           .max = 86400000, .help = "And not later."),
    OPTIONS_END,
};

static void check_hash(const void *field, struct complaint *complaint)
{
    const struct span *text = field;
    struct hash_key key;

    if (!hash_key_parse(*text, &key))
        complain(complaint, SEVERITY_ERROR,
                 "none of client.ip, host, path, header:NAME, cookie:NAME");
}

static void check_cookie(const void *field, struct complaint *complaint)
{
    const struct span *name = field;

    if (name->len > 0 && !span_all(*name, CHAR_TOKEN))
        complain(complaint, SEVERITY_ERROR, "a cookie's name has letters, digits, - and _");
}

static const struct option sticky_options[] = {
    OPTION_NAMED("cookie", struct upstream_conf, sticky.cookie, OPT_TEXT,
                 .flags = OPTION_SHORTHAND, .check = check_cookie, .example = "route",
                 .help = "Name of a cookie that keeps a client with its server."),
    OPTION_NAMED("secret", struct upstream_conf, sticky.secret, OPT_SECRET,
                 .example = "$(file:/run/secrets/sticky)",
                 .help = "The same on all nodes. Without it cookies hold until the gateway is "
                         "started again."),
    OPTION_NAMED("max_age", struct upstream_conf, sticky.max_age, OPT_DURATION,
                 .fallback = "0s", .help = "How long browsers keep it; 0s: until they close."),
    OPTIONS_END,
};

static const struct option timeout_options[] = {
    OPTION_NAMED("connect", struct upstream_conf, timeout.connect, OPT_DURATION,
                 .fallback = "3s", .min = 1, .max = 600000,
                 .help = "For the connection and its TLS handshake."),
    OPTION_NAMED("response", struct upstream_conf, timeout.response, OPT_DURATION,
                 .fallback = "60s", .min = 1, .max = 86400000,
                 .help = "From the complete request to the head of the answer."),
    OPTION_NAMED("idle", struct upstream_conf, timeout.idle, OPT_DURATION, .fallback = "60s",
                 .min = 1, .max = 86400000, .help = "Between two reads of the answer's body."),
    OPTION_NAMED("total", struct upstream_conf, timeout.total, OPT_DURATION, .fallback = "0s",
                 .help = "For the whole exchange, tunnels excepted; 0s: no such limit."),
    OPTION_NAMED("tunnel", struct upstream_conf, timeout.tunnel, OPT_DURATION,
                 .fallback = "10m", .min = 1, .max = 86400000,
                 .help = "Of a WebSocket tunnel without a byte in either direction."),
    OPTION_NAMED("kept", struct upstream_conf, timeout.kept, OPT_DURATION, .fallback = "60s",
                 .min = 1, .max = 86400000,
                 .help = "Of a kept connection without a request; less than the server's own."),
    OPTIONS_END,
};

static void check_bad_status(const void *field, struct complaint *complaint)
{
    const struct span *text = field;
    uint32_t from, to;

    if (text->len > 0 && !health_status_parse(*text, &from, &to))
        complain(complaint, SEVERITY_ERROR, "a status or a range of them: 502-504");
}

static const struct option queue_options[] = {
    OPTION_NAMED("limit", struct upstream_conf, queue.limit, OPT_INT, .fallback = "128",
                 .min = 0, .max = 10000, .flags = OPTION_SHORTHAND,
                 .help =
                     "Requests that wait in one worker; over it 503. Clients take turns, so "
                     "that one with many waits behind one with few."),
    OPTION_NAMED("timeout", struct upstream_conf, queue.timeout, OPT_DURATION, .fallback = "5s",
                 .min = 1, .max = 3600000, .help = "How long one waits; then 503."),
    OPTIONS_END,
};

static const struct option passive_options[] = {
    OPTION_NAMED("mode", struct upstream_conf, passive.mode, OPT_ENUM, .fallback = "on",
                 .choices = switch_choices,
                 .help = "Whether failing servers are left out for a while."),
    OPTION_NAMED("fails", struct upstream_conf, passive.fails, OPT_INT, .fallback = "3",
                 .min = 1, .max = 1000, .help = "Failures in a row that eject a server."),
    OPTION_NAMED("window", struct upstream_conf, passive.window, OPT_DURATION, .fallback = "5s",
                 .min = 1, .max = 3600000,
                 .help =
                     "How long the first time; it doubles with each ejection in a row. Then "
                     "one request at a time tries it, until one succeeds."),
    OPTION_NAMED("status", struct upstream_conf, passive.status, OPT_TEXT,
                 .check = check_bad_status, .example = "502-504",
                 .help = "Answers that count as failures, too. Clients get them as they are."),
    OPTIONS_END,
};

static const struct option tls_options[] = {
    OPTION_NAMED("ca", struct upstream_conf, tls.ca, OPT_FILE,
                 .help = "PEM bundle of authorities; without one the system's."),
    OPTION_NAMED("cert", struct upstream_conf, tls.cert, OPT_FILE,
                 .help = "Client certificate, PEM."),
    OPTION_NAMED("key", struct upstream_conf, tls.key, OPT_FILE, .help = "Its key, PEM."),
    OPTION_NAMED("verify", struct upstream_conf, tls.verify, OPT_BOOL, .fallback = "true",
                 .check = check_verify,
                 .help = "Whether the server's certificate must be valid for its name."),
    OPTION_NAMED("name", struct upstream_conf, tls.name, OPT_TEXT,
                 .help = "Name to ask for (SNI) and to verify, when it is not the URL's host."),
    OPTIONS_END,
};

/* The nested tables address fields of the outer struct, so their objects start at its offset 0.
 */
const struct option upstream_options[] = {
    OPTION(struct upstream_conf, servers, OPT_LIST, .flags = OPTION_REQUIRED | OPTION_SHORTHAND,
           .options = server_options, .item_size = sizeof(struct server_item), .min = 1,
           .max = SERVERS_MAX, .help = "The servers."),
    OPTION(struct upstream_conf, balance, OPT_ENUM, .fallback = "round-robin",
           .choices = balance_choices, .help = "How a server is chosen."),
    OPTION(struct upstream_conf, hash, OPT_TEXT, .fallback = "client.ip", .check = check_hash,
           .help = "What `balance: hash` goes by: client.ip (IPv6 by /64), host, path, "
                   "header:NAME, cookie:NAME; by the address where that is missing."),
    { .name = "sticky",
      .kind = OPT_OBJECT,
      .options = sticky_options,
      .help = "Clients stay with their server." },
    OPTION(struct upstream_conf, slow_start, OPT_DURATION, .fallback = "0s", .max = 3600000,
           .help = "How long a server that comes back takes to its full share."),
    { .name = "timeout",
      .kind = OPT_OBJECT,
      .options = timeout_options,
      .help = "Deadlines towards the servers." },
    OPTION(struct upstream_conf, keepalive, OPT_INT, .fallback = "64", .min = 0, .max = 4096,
           .help = "Kept connections per server and worker."),
    OPTION(struct upstream_conf, retries, OPT_INT, .fallback = "2", .min = 0, .max = 10,
           .help =
               "Further tries: of requests that reached nobody, and of idempotent ones whose "
               "connection ended without a byte of an answer."),
    OPTION(struct upstream_conf, max_active, OPT_INT, .fallback = "0", .min = 0, .max = 1000000,
           .help = "Requests that one worker has at a server at a time; others wait in the "
                   "queue. 0: no such limit."),
    { .name = "queue",
      .kind = OPT_OBJECT,
      .options = queue_options,
      .help = "Requests that wait while all servers have max_active." },
    OPTION(struct upstream_conf, health, OPT_OBJECT, .options = health_options,
           .help = "Checks of the servers, beside what requests show."),
    { .name = "passive",
      .kind = OPT_OBJECT,
      .options = passive_options,
      .help = "Ejection of servers that fail." },
    OPTION(struct upstream_conf, breaker, OPT_OBJECT, .options = circuit_options,
           .help = "Circuit breaker: an upstream that fails too often is left alone."),
    { .name = "tls",
      .kind = OPT_OBJECT,
      .options = tls_options,
      .help = "For https:// servers." },
    OPTIONS_END,
};

static void add_address(struct upstream_server *server, const struct sockaddr *sa)
{
    struct addr addr;

    if (server->addr_count == SERVER_ADDRESSES_MAX)
        return;
    addr_from_sockaddr(&addr, sa);
    if (addr.family != ADDR_V4 && addr.family != ADDR_V6)
        return;
    addr.port = server->url.port;
    server->addrs[server->addr_count++] = addr;
}

static enum err resolve(struct upstream_server *server, struct arena *arena,
                        struct complaint *complaint)
{
    struct addr addr;

    if (span_equal(server->url.scheme, SPAN("unix"))) {
        size_t longest = sizeof((struct sockaddr_un *)0)->sun_path - 1;
        if (server->url.path.len > longest) {
            complain(complaint, SEVERITY_ERROR, "a socket's path is not longer than %zu bytes",
                     longest);
            return ERR_CONFIG;
        }
        server->addrs[0] = (struct addr){ .family = ADDR_UNIX };
        server->addr_count = 1;
        return OK;
    }
    if (addr_parse(server->url.host, &addr)) {
        addr.port = server->url.port;
        server->addrs[0] = addr;
        server->addr_count = 1;
        return OK;
    }
    struct addrinfo hints = { .ai_socktype = SOCK_STREAM }, *found = NULL;
    char *host = arena_cstring(arena, server->url.host);
    int code = host == NULL ? EAI_MEMORY : getaddrinfo(host, NULL, &hints, &found);
    if (code != 0) {
        complain(complaint, SEVERITY_ERROR, "cannot resolve the upstream \"%s\": %s",
                 host != NULL ? host : "", gai_strerror(code));
        return ERR_CONFIG;
    }
    for (struct addrinfo *ai = found; ai != NULL; ai = ai->ai_next)
        add_address(server, ai->ai_addr);
    freeaddrinfo(found);
    if (server->addr_count > 0)
        return OK;
    complain(complaint, SEVERITY_ERROR, "the upstream \"%s\" has no IP address", host);
    return ERR_CONFIG;
}

static void free_tls(void *client)
{
    tls_client_free(client);
}

static enum err open_tls(struct upstream *upstream, const struct upstream_conf *conf,
                         struct arena *arena, struct complaint *complaint)
{
    struct tls_client_conf client = {
        .ca = conf->tls.ca.text,
        .cert = conf->tls.cert.text,
        .key = conf->tls.key.text,
        .verify = conf->tls.verify,
        .profile = TLS_INTERMEDIATE,
    };
    struct span why = { 0 };

    upstream->tls = tls_client_new(&client, arena, &why);
    if (upstream->tls != NULL)
        return arena_defer(arena, free_tls, upstream->tls) ? OK : ERR_MEMORY;
    complain(complaint, SEVERITY_ERROR, "%.*s", (int)why.len, why.p != NULL ? why.p : "");
    return ERR_CONFIG;
}

/* Kind of the name that a URL stands for; false: it has its servers itself. */
static bool is_found(const struct url *url, enum discovery_kind *kind)
{
    *kind = span_starts(url->scheme, SPAN("srv")) ? DISCOVER_SERVICES : DISCOVER_ADDRESSES;
    return *kind == DISCOVER_SERVICES || span_starts(url->scheme, SPAN("dns"));
}

static size_t slots_of(const struct server_item *item)
{
    enum discovery_kind kind;

    return is_found(&item->url, &kind) ? (size_t)item->slots : 1;
}

static struct discovery *discovery_new(const struct server_item *item, struct arena *arena)
{
    struct discovery *discovery = arena_new(arena, struct discovery);
    enum discovery_kind kind;

    if (discovery == NULL || !is_found(&item->url, &kind))
        return NULL;
    *discovery = (struct discovery){ .kind = kind,
                                     .slots = (uint32_t)item->slots,
                                     .ttl_min_ms = (uint32_t)item->ttl_min.ms,
                                     .ttl_max_ms = (uint32_t)item->ttl_max.ms,
                                     .port = item->url.port };
    /* A host in a URL is no longer than a name may be; a longer label is cut. */
    struct text name = text_fixed(discovery->name, sizeof discovery->name - 1);
    text_lower(&name, item->url.host);
    INVARIANT(!name.overflow);
    struct text label = text_fixed(discovery->label, sizeof discovery->label - 8);
    text_add(&label, span_sub(item->url.text, 0, sizeof discovery->label - 8));
    return discovery;
}

static enum err enter_slots(struct upstream_server *servers, const struct server_item *item,
                            struct arena *arena)
{
    struct discovery *discovery = discovery_new(item, arena);

    if (discovery == NULL)
        return ERR_MEMORY;
    for (unsigned i = 0; i < discovery->slots; i++) {
        struct text label = text_growing(arena, sizeof discovery->label);
        text_add(&label, span_text(discovery->label));
        text_char(&label, '#');
        text_uint(&label, i);
        if (label.overflow)
            return ERR_MEMORY;
        servers[i] = (struct upstream_server){ .url = item->url,
                                               .weight = 1,
                                               .label = text_span(&label),
                                               .backup = item->backup,
                                               .discovery = discovery,
                                               .slot = i };
    }
    return OK;
}

static enum err enter_server(struct upstream_server *server, const struct server_item *item,
                             struct arena *arena, struct complaint *complaint)
{
    *server = (struct upstream_server){ .url = item->url,
                                        .weight = item->weight,
                                        .label = item->url.text,
                                        .backup = item->backup };
    return resolve(server, arena, complaint);
}

static enum err enter_servers(struct upstream *upstream, const struct upstream_conf *conf,
                              struct arena *arena, struct complaint *complaint)
{
    const struct server_item *items = conf->servers.items;
    size_t count = 0, at = 0;

    for (size_t i = 0; i < conf->servers.count; i++)
        count += slots_of(&items[i]);
    if (count > SERVERS_MAX) {
        complain(complaint, SEVERITY_ERROR, "an upstream has no more than %d servers and slots",
                 SERVERS_MAX);
        return ERR_CONFIG;
    }
    upstream->server_count = count;
    upstream->servers = arena_array(arena, struct upstream_server, count);
    if (upstream->servers == NULL)
        return ERR_MEMORY;
    for (size_t i = 0; i < conf->servers.count; i++) {
        enum discovery_kind kind;
        bool found = is_found(&items[i].url, &kind);
        upstream->discovers |= found;
        if (items[i].url.path.len > 1 && !span_equal(items[i].url.scheme, SPAN("unix")))
            complain(complaint, SEVERITY_ERROR,
                     "an upstream's URL ends with its port: a path is not added to requests");
        if (found && kind == DISCOVER_SERVICES &&
            span_ends(items[i].url.scheme, SPAN("https")) && conf->tls.name.len == 0)
            complain(complaint, SEVERITY_ERROR,
                     "srv+https:// needs tls.name: the name in the servers' certificates");
        if (found)
            TRY(enter_slots(&upstream->servers[at], &items[i], arena));
        else
            TRY(enter_server(&upstream->servers[at], &items[i], arena, complaint));
        at += slots_of(&items[i]);
    }
    return OK;
}

enum err upstream_open(struct upstream *upstream, const struct upstream_conf *conf,
                       struct arena *arena, struct complaint *complaint)
{
    const struct server_item *items = conf->servers.items;
    size_t secure = 0;

    *upstream = (struct upstream){
        .balance = conf->balance,
        .connect = conf->timeout.connect,
        .response = conf->timeout.response,
        .idle = conf->timeout.idle,
        .total = conf->timeout.total,
        .tunnel = conf->timeout.tunnel,
        .kept = conf->timeout.kept,
        .keepalive = conf->keepalive,
        .retries = conf->retries,
        .passive_fails = conf->passive.mode == 0 ? (int)conf->passive.fails : 0,
        .passive_for = conf->passive.window,
        .max_active = conf->max_active,
        .queue_limit = conf->queue.limit,
        .queue_wait = conf->queue.timeout,
        .tls_name = conf->tls.name,
        .tls_ca = conf->tls.ca.text,
        .tls_cert = conf->tls.cert.text,
        .tls_key = conf->tls.key.text,
        .tls_verify = conf->tls.verify,
        .sticky_cookie = conf->sticky.cookie,
        .sticky_secret = span_of(conf->sticky.secret.p, conf->sticky.secret.len),
        .sticky_age = conf->sticky.max_age,
        .slow_start = conf->slow_start,
        .health = conf->health,
        .breaker = conf->breaker,
    };
    if (conf->breaker.status.len > 0 &&
        !health_status_parse(conf->breaker.status, &upstream->breaker.bad_from,
                             &upstream->breaker.bad_to))
        return ERR_CONFIG; /* complained about already */
    if (conf->passive.status.len > 0 &&
        !health_status_parse(conf->passive.status, &upstream->bad_from, &upstream->bad_to))
        return ERR_CONFIG; /* complained about already */
    if (!hash_key_parse(conf->hash, &upstream->hash))
        return ERR_CONFIG; /* complained about already */
    if (conf->servers.count == 0)
        return ERR_CONFIG; /* complained about already */
    TRY(enter_servers(upstream, conf, arena, complaint));
    size_t backups = 0;
    for (size_t i = 0; i < conf->servers.count; i++) {
        backups += items[i].backup;
        secure += span_ends(items[i].url.scheme, SPAN("https"));
    }
    if (backups == conf->servers.count) {
        complain(complaint, SEVERITY_ERROR, "the servers of an upstream are not all backups");
        return ERR_CONFIG;
    }
    if (secure != 0 && secure != conf->servers.count) {
        complain(complaint, SEVERITY_ERROR,
                 "the servers of one upstream are all https or none is");
        return ERR_CONFIG;
    }
    return secure != 0 ? open_tls(upstream, conf, arena, complaint) : OK;
}
