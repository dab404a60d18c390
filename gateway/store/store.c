/* The shared store's options, and what is made of them at load. */
#include "gateway/store/store.h"

#include <netdb.h>
#include <sodium.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "conf/schema.h"
#include "gateway/net/certs.h"

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

const struct option store_options[] = {
    OPTION(struct store_conf, redis, OPT_TEXT, .flags = OPTION_SHORTHAND,
           .example = "rediss://redis.internal:6379",
           .help = "Redis or Valkey: redis://host:port, rediss://host:port for TLS, or "
                   "unix:/path."),
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

static void add_address(struct redis_server *server, const struct sockaddr *sa, uint16_t port)
{
    struct addr addr;
    if (server->addr_count == REDIS_ADDRESSES_MAX)
        return;
    addr_from_sockaddr(&addr, sa);
    if (addr.family != ADDR_V4 && addr.family != ADDR_V6)
        return;
    addr.port = port;
    server->addrs[server->addr_count++] = addr;
}

static const char *resolve(struct redis_server *server, struct span host, uint16_t port,
                           struct arena *arena)
{
    struct addr addr;
    if (addr_parse(host, &addr)) {
        addr.port = port;
        server->addrs[server->addr_count++] = addr;
        return NULL;
    }
    struct addrinfo hints = { .ai_socktype = SOCK_STREAM }, *found = NULL;
    const char *name = arena_cstring(arena, host);
    int code = name == NULL ? EAI_MEMORY : getaddrinfo(name, NULL, &hints, &found);
    if (code != 0)
        return gai_strerror(code);
    for (struct addrinfo *ai = found; ai != NULL; ai = ai->ai_next)
        add_address(server, ai->ai_addr, port);
    freeaddrinfo(found);
    return server->addr_count > 0 ? NULL : "it has no address";
}

/* host, host:port, [v6], [v6]:port */
static bool split_host(struct span text, struct span *host, uint16_t *port)
{
    uint64_t number = 6379;
    ssize_t end = text.len > 0 && text.p[0] == '[' ? span_index(text, ']') : -1;
    struct span rest = text;
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
    if (server->tls_name.len == 0)
        server->tls_name = host;
    return OK;
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
    if (from->len == 0)
        diag_add(complaint->schema->diags, SEVERITY_WARNING, DIAG_UNSAFE, complaint->place,
                 SPAN("without store.secret or store.password, who reads the store can guess "
                      "which clients are counted in it"),
                 SPAN(""));
}

const struct store *store_open(const struct store_conf *conf, struct arena *arena,
                               struct complaint *complaint)
{
    if (conf->redis.len == 0)
        return NULL;
    struct store *store = arena_new(arena, struct store);
    bool secure = false;
    if (store == NULL) {
        complain(complaint, SEVERITY_ERROR, "out of memory");
        return NULL;
    }
    store->prefix = conf->prefix;
    store->nodes = (unsigned)conf->nodes;
    store->on_failure = (enum on_failure)conf->on_failure;
    store->server = (struct redis_server){ .user = conf->user,
                                           .password = &conf->password,
                                           .database = conf->database,
                                           .tls_name = conf->tls.name,
                                           .timeout_ms = (uint64_t)conf->timeout.ms };
    if (find_server(&store->server, conf->redis, &secure, arena, complaint) != OK)
        return NULL;
    if (secure && open_tls(&store->server, conf, arena, complaint) != OK)
        return NULL;
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
    worker->redis = redis_new(worker, &store->server);
    return worker->redis != NULL ? OK : ERR_MEMORY;
}

void store_start(struct worker *worker)
{
    if (worker->redis != NULL)
        redis_start(worker->redis);
}
