/* The shared store's options, and what is made of them at load. */
#include "gateway/store/store.h"

#include <netdb.h>
#include <sodium.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "conf/schema.h"
#include "gateway/net/certs.h"
#include "gateway/store/sentinel.h"

static const struct choice failure_choices[] = {
    { "local", FAILURE_LOCAL, "Each node enforces its share of the limit on its own." },
    { "allow", FAILURE_ALLOW, "Limits that need the store let everything through." },
    { "deny", FAILURE_DENY, "Requests that need the store are refused." },
    { NULL, 0, NULL },
};

static void check_tls_verify(const void *field, struct complaint *complaint)
{
    if (!*(const bool *)field)
        diag_add(complaint->schema->diags, SEVERITY_WARNING, DIAG_UNSAFE, complaint->place,
                 SPAN("without verification anybody on the way can be the store"), SPAN(""));
}

static const struct option tls_options[] = {
    OPTION_NAMED("ca", struct store_conf, tls.ca, OPT_FILE,
                 .help = "PEM bundle of authorities; without one the system's."),
    OPTION_NAMED("cert", struct store_conf, tls.cert, OPT_FILE,
                 .help = "Client certificate, PEM."),
    OPTION_NAMED("key", struct store_conf, tls.key, OPT_FILE, .help = "Its key, PEM."),
    OPTION_NAMED("verify", struct store_conf, tls.verify, OPT_BOOL, .fallback = "true",
                 .check = check_tls_verify,
                 .help = "Whether the server's certificate must be valid for its name."),
    OPTION_NAMED("name", struct store_conf, tls.name, OPT_TEXT,
                 .help = "Name to ask for and to verify, when it is not the host."),
    OPTIONS_END,
};

static const struct option sentinel_options[] = {
    OPTION_NAMED("servers", struct store_conf, sentinel.servers, OPT_TEXTS,
                 .max = REDIS_ADDRESSES_MAX, .flags = OPTION_REQUIRED,
                 .example = "[redis://10.0.0.5:26379, redis://10.0.0.6:26379]",
                 .help = "The Sentinels: redis://host:port each, or rediss://host:port, then "
                         "the servers they name are spoken to in TLS, too."),
    OPTION_NAMED("master", struct store_conf, sentinel.master, OPT_TEXT,
                 .flags = OPTION_REQUIRED, .example = "main",
                 .help = "The master's name, as the Sentinels know it."),
    OPTION_NAMED("user", struct store_conf, sentinel.user, OPT_TEXT,
                 .help = "ACL user of the Sentinels; empty for the default user."),
    OPTION_NAMED("password", struct store_conf, sentinel.password, OPT_SECRET,
                 .example = "$(file:/run/secrets/sentinel)", .help = "Its password."),
    OPTIONS_END,
};

const struct option store_options[] = {
    OPTION(struct store_conf, redis, OPT_TEXT, .flags = OPTION_SHORTHAND,
           .example = "rediss://redis.internal:6379",
           .help = "Redis or Valkey: redis://host:port, rediss://host:port for TLS, or "
                   "unix:/path. Or `sentinel`, or `cluster`."),
    { .name = "sentinel",
      .kind = OPT_OBJECT,
      .options = sentinel_options,
      .help = "A Redis whose master Sentinels name: a failover is followed." },
    OPTION(struct store_conf, cluster, OPT_TEXTS, .max = REDIS_ADDRESSES_MAX,
           .example = "[redis://10.0.0.5:6379, redis://10.0.0.6:6379]",
           .help = "Some nodes of a Redis Cluster; the others are found."),
    OPTION(struct store_conf, user, OPT_TEXT, .help = "ACL user; empty for the default user."),
    OPTION(struct store_conf, password, OPT_SECRET, .example = "$(file:/run/secrets/redis)",
           .help = "Its password."),
    OPTION(struct store_conf, database, OPT_INT, .fallback = "0", .max = 65535,
           .help = "Number of the database."),
    OPTION(struct store_conf, prefix, OPT_TEXT, .fallback = "sallyport",
           .help = "Begins every key, for ACL rules and to share a server with others."),
    OPTION(struct store_conf, secret, OPT_SECRET,
           .help = "Keys are kept under an HMAC by this secret, the same on all nodes. Without "
                   "it the password serves."),
    OPTION(struct store_conf, timeout, OPT_DURATION, .fallback = "5ms", .min = 1, .max = 10000,
           .help = "For each answer. After three in a row that are late, nodes count locally "
                   "until the store answers again."),
    OPTION(struct store_conf, on_failure, OPT_ENUM, .fallback = "local",
           .choices = failure_choices, .help = "What holds while the store does not answer."),
    OPTION(struct store_conf, nodes, OPT_INT, .fallback = "1", .min = 1, .max = STORE_NODES_MAX,
           .help = "How many nodes share each limit while they count locally."),
    OPTION(struct store_conf, sessions, OPT_BOOL, .fallback = "true",
           .help = "Whether sessions of `login` and `oidc` are shared through the store. It "
                   "takes a secret or a password."),
    OPTION(struct store_conf, grace, OPT_DURATION, .fallback = "5m", .max = 86400 * 1000,
           .help = "While the store does not answer: how long a session goes on that this node "
                   "knows. New sign-ins are refused."),
    OPTION(struct store_conf, snapshot, OPT_FILE, .example = "/var/lib/sallyport/state.db",
           .help = "A database in which bans, and what is used of quotas, survive a restart of "
                   "this node. With or without Redis."),
    { .name = "tls",
      .kind = OPT_OBJECT,
      .options = tls_options,
      .help = "For rediss:// servers." },
    OPTIONS_END,
};

/* ---- at load ---- */

/* More than there is room for are not needed: each is only one way to begin. */
static void add_address(struct redis_server *server, const struct addr *addr, struct span host,
                        uint16_t port)
{
    if (server->addr_count == REDIS_ADDRESSES_MAX)
        return;
    server->addrs[server->addr_count] = *addr;
    server->addrs[server->addr_count].port = port;
    server->names[server->addr_count++] = host;
}

static const char *resolve(struct redis_server *server, struct span host, uint16_t port,
                           struct arena *arena)
{
    struct addr addr;
    if (addr_parse(host, &addr)) {
        add_address(server, &addr, host, port);
        return NULL;
    }
    struct addrinfo hints = { .ai_socktype = SOCK_STREAM }, *found = NULL;
    const char *name = arena_cstring(arena, host);
    int code = name == NULL ? EAI_MEMORY : getaddrinfo(name, NULL, &hints, &found);
    if (code != 0)
        return gai_strerror(code);
    for (struct addrinfo *ai = found; ai != NULL; ai = ai->ai_next) {
        addr_from_sockaddr(&addr, ai->ai_addr);
        if (addr.family == ADDR_V4 || addr.family == ADDR_V6)
            add_address(server, &addr, host, port);
    }
    freeaddrinfo(found);
    return server->addr_count > 0 ? NULL : "it has no address";
}

/* host, host:port, [v6], [v6]:port */
static bool split_host(struct span text, struct span *host, uint16_t *port)
{
    uint64_t number = 6379;
    ssize_t end = text.len > 0 && text.p[0] == '[' ? span_index(text, ']') : -1;
    struct span rest;
    if (end >= 0) {
        *host = span_sub(text, 1, (size_t)end - 1);
        rest = span_sub(text, (size_t)end + 1, text.len);
    } else {
        ssize_t colon = span_index(text, ':');
        *host = colon >= 0 ? span_sub(text, 0, (size_t)colon) : text;
        rest = colon >= 0 ? span_sub(text, (size_t)colon, text.len) : SPAN("");
    }
    if (rest.len > 0 && (rest.p[0] != ':' || !span_uint(span_sub(rest, 1, rest.len), &number) ||
                         number == 0 || number > 65535))
        return false;
    *port = (uint16_t)number;
    return host->len > 0;
}

static enum err find_server(struct redis_server *server, struct span url, bool *secure,
                            struct arena *arena, struct complaint *complaint)
{
    struct span host;
    uint16_t port;
    *secure = span_starts(url, SPAN("rediss://"));
    if (span_starts(url, SPAN("unix:/"))) {
        server->path = span_sub(url, 5, url.len);
        server->addrs[server->addr_count++] = (struct addr){ .family = ADDR_UNIX };
        if (server->path.len < sizeof(((struct sockaddr_un *)0)->sun_path))
            return OK;
        complain(complaint, SEVERITY_ERROR, "the socket's path is too long");
        return ERR_CONFIG;
    }
    if (span_index(url, '@') >= 0) {
        complain(complaint, SEVERITY_ERROR,
                 "user and password do not stand in the address: set store.user and "
                 "store.password");
        return ERR_CONFIG;
    }
    size_t scheme = *secure ? 9 : 8;
    if ((!*secure && !span_starts(url, SPAN("redis://"))) ||
        !split_host(span_sub(url, scheme, url.len), &host, &port)) {
        complain(complaint, SEVERITY_ERROR,
                 "redis is redis://host:port, rediss://host:port or unix:/path");
        return ERR_CONFIG;
    }
    const char *wrong = resolve(server, host, port, arena);
    if (wrong != NULL) {
        complain(complaint, SEVERITY_ERROR, "cannot resolve \"%.*s\": %s", (int)host.len,
                 host.p, wrong);
        return ERR_CONFIG;
    }
    return OK;
}

/* All in TLS, or none. */
static enum err find_servers(struct redis_server *server, const struct texts *urls,
                             bool *secure, struct arena *arena, struct complaint *complaint)
{
    for (size_t i = 0; i < urls->count; i++) {
        bool this_one;
        TRY(find_server(server, urls->items[i], &this_one, arena, complaint));
        if (server->path.len > 0 || (i > 0 && this_one != *secure)) {
            complain(complaint, SEVERITY_ERROR,
                     "several servers are all redis://host:port, or all rediss://host:port");
            return ERR_CONFIG;
        }
        *secure = this_one;
    }
    return OK;
}

static enum err find_sentinels(struct store *store, const struct store_conf *conf, bool *secure,
                               struct arena *arena, struct complaint *complaint)
{
    store->sentinels = (struct redis_server){ .sentinel = true,
                                              .user = conf->sentinel.user,
                                              .password = &conf->sentinel.password,
                                              .tls_name = conf->tls.name,
                                              .timeout_ms = SENTINEL_TIMEOUT_MS };
    store->master = conf->sentinel.master;
    store->server.check_role = true;
    if (store->master.len == 0) {
        complain(complaint, SEVERITY_ERROR, "sentinel.master is missing");
        return ERR_CONFIG;
    }
    return find_servers(&store->sentinels, &conf->sentinel.servers, secure, arena, complaint);
}

/* What a hash tag is made of, and the one database that a Cluster has. */
static enum err find_cluster(struct store *store, const struct store_conf *conf, bool *secure,
                             struct arena *arena, struct complaint *complaint)
{
    if (conf->database != 0 || span_index(conf->prefix, '{') >= 0) {
        complain(complaint, SEVERITY_ERROR,
                 "a Cluster has no database but 0, and there is no { in store.prefix");
        return ERR_CONFIG;
    }
    return find_servers(&store->server, &conf->cluster, secure, arena, complaint);
}

static enum err find_store(struct store *store, const struct store_conf *conf, bool *secure,
                           struct arena *arena, struct complaint *complaint)
{
    bool sentinel = conf->sentinel.servers.count > 0, cluster = conf->cluster.count > 0;
    if ((conf->redis.len > 0) + sentinel + cluster > 1) {
        complain(complaint, SEVERITY_ERROR,
                 "a store is one of redis, sentinel and cluster, not several");
        return ERR_CONFIG;
    }
    store->kind = sentinel ? STORE_SENTINEL : cluster ? STORE_CLUSTER : STORE_SERVER;
    switch (store->kind) {
    case STORE_SENTINEL:
        return find_sentinels(store, conf, secure, arena, complaint);
    case STORE_CLUSTER:
        return find_cluster(store, conf, secure, arena, complaint);
    case STORE_SERVER:
        break;
    }
    return find_server(&store->server, conf->redis, secure, arena, complaint);
}

static void free_tls(void *client)
{
    tls_client_free(client);
}

static enum err open_tls(struct redis_server *server, const struct store_conf *conf,
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
    server->tls = tls_client_new(&client, arena, &why);
    if (server->tls != NULL)
        return arena_defer(arena, free_tls, server->tls) ? OK : ERR_MEMORY;
    complain(complaint, SEVERITY_ERROR, "%.*s", (int)why.len, why.p != NULL ? why.p : "");
    return ERR_CONFIG;
}

/* Without a secret, names are merely hashed: who reads the store could try all addresses. */
static void derive_key(struct store *store, const struct store_conf *conf,
                       struct complaint *complaint)
{
    const struct secret *from = conf->secret.len > 0 ? &conf->secret : &conf->password;
    crypto_hash_sha256_state state;
    (void)crypto_hash_sha256_init(&state);
    (void)crypto_hash_sha256_update(&state, (const unsigned char *)"sallyport store 1", 17);
    if (from->len > 0)
        (void)crypto_hash_sha256_update(&state, (const unsigned char *)from->p, from->len);
    (void)crypto_hash_sha256_final(&state, store->key);
    wipe(&state, sizeof(state));
    store->keyed = from->len > 0;
    if (from->len == 0)
        diag_add(complaint->schema->diags, SEVERITY_WARNING, DIAG_UNSAFE, complaint->place,
                 SPAN("without store.secret or store.password, who reads the store can guess "
                      "which clients are counted in it"),
                 SPAN(""));
}

const struct store *store_open(const struct store_conf *conf, struct arena *arena,
                               struct complaint *complaint)
{
    if (conf->redis.len == 0 && conf->sentinel.servers.count == 0 && conf->cluster.count == 0)
        return NULL;
    struct store *store = arena_new(arena, struct store);
    bool secure = false;
    if (store == NULL) {
        complain(complaint, SEVERITY_ERROR, "out of memory");
        return NULL;
    }
    store->prefix = conf->prefix;
    store->sessions = conf->sessions;
    store->grace_ms = (uint64_t)conf->grace.ms;
    if (conf->prefix.len > STORE_PREFIX_MAX) {
        complain(complaint, SEVERITY_ERROR, "store.prefix has at most %d bytes",
                 STORE_PREFIX_MAX);
        return NULL;
    }
    store->nodes = (unsigned)conf->nodes;
    store->on_failure = (enum on_failure)conf->on_failure;
    store->server = (struct redis_server){ .user = conf->user,
                                           .password = &conf->password,
                                           .database = conf->database,
                                           .tls_name = conf->tls.name,
                                           .timeout_ms = (uint64_t)conf->timeout.ms };
    if (find_store(store, conf, &secure, arena, complaint) != OK)
        return NULL;
    if (secure && open_tls(&store->server, conf, arena, complaint) != OK)
        return NULL;
    store->sentinels.tls = store->server.tls;
    derive_key(store, conf, complaint);
    return store;
}

/* Hashed, for the id itself is not to leave this process (machine-id(5)). */
bool store_kept_key(struct span snapshot, uint8_t key[STORE_KEY_BYTES])
{
    unsigned char id[64];
    FILE *file = fopen("/etc/machine-id", "re");
    size_t len = file != NULL ? fread(id, 1, sizeof(id), file) : 0;
    if (file != NULL)
        (void)fclose(file);
    if (len < 32)
        return false;
    crypto_hash_sha256_state state;
    (void)crypto_hash_sha256_init(&state);
    (void)crypto_hash_sha256_update(&state, (const unsigned char *)"sallyport kept 1", 16);
    (void)crypto_hash_sha256_update(&state, id, len);
    (void)crypto_hash_sha256_update(&state, (const unsigned char *)snapshot.p, snapshot.len);
    (void)crypto_hash_sha256_final(&state, key);
    return true;
}

/* ---- in workers ---- */

enum err store_attach(struct worker *worker, const struct store *store)
{
    if (store == NULL)
        return OK;
    worker->keys = keyspace_new(worker, store);
    return worker->keys != NULL ? OK : ERR_MEMORY;
}

void store_start(struct worker *worker)
{
    if (worker->keys != NULL)
        keyspace_start(worker->keys);
}
