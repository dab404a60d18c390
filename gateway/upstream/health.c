/* The table of servers, and the rows of `upstream.health`: see health.h. */
#include "gateway/upstream/health.h"

#include "conf/schema.h"
#include "gateway/base/siphash.h"
#include "gateway/http/chars.h"
#include "gateway/upstream/upstream.h"

/* ---- options ---- */

bool health_status_parse(struct span text, uint32_t *from, uint32_t *to)
{
    struct span first, rest = text;
    uint64_t a, b;

    if (!span_cut(&rest, '-', &first) || !span_uint(first, &a))
        return false;
    b = a;
    if (rest.p != NULL && !span_uint(rest, &b))
        return false;
    if (a < 100 || b > 599 || a > b)
        return false;
    *from = (uint32_t)a;
    *to = (uint32_t)b;
    return true;
}

static void check_status(const void *field, struct complaint *complaint)
{
    const struct span *text = field;
    uint32_t from, to;

    if (!health_status_parse(*text, &from, &to))
        complain(complaint, SEVERITY_ERROR, "a status or a range of them: 200-399");
}

/* It is written into a request line as it is. */
static void check_path(const void *field, struct complaint *complaint)
{
    const struct span *path = field;

    if (path->len == 0)
        return;
    if (path->p[0] != '/' || path->len >= CHECK_TEXT_BYTES ||
        scan_word(path->p, span_end(*path)) != span_end(*path))
        complain(complaint, SEVERITY_ERROR, "a path, encoded, of less than %d bytes",
                 CHECK_TEXT_BYTES);
}

static void check_word(const void *field, struct complaint *complaint)
{
    const struct span *text = field;

    if (text->len >= CHECK_TEXT_BYTES ||
        (text->len > 0 && scan_value(text->p, span_end(*text)) != span_end(*text)))
        complain(complaint, SEVERITY_ERROR, "less than %d bytes, no control characters",
                 CHECK_TEXT_BYTES);
}

const struct option health_options[] = {
    OPTION(struct health_conf, path, OPT_TEXT, .flags = OPTION_SHORTHAND, .check = check_path,
           .example = "/healthz",
           .help =
               "Asked for regularly, as requests are: of https:// servers over TLS. Without it "
               "servers are not checked."),
    OPTION(struct health_conf, host, OPT_TEXT, .check = check_word,
           .help = "Host field of the check; that of the URL when not given."),
    OPTION(struct health_conf, status, OPT_TEXT, .fallback = "200-399", .check = check_status,
           .help = "What a server in health answers."),
    OPTION(struct health_conf, body, OPT_TEXT, .check = check_word,
           .help = "Text that the first 16 KiB of the answer must contain."),
    OPTION(struct health_conf, interval, OPT_DURATION, .fallback = "5s", .min = 100,
           .max = 3600000, .help = "From one check to the next."),
    OPTION(struct health_conf, timeout, OPT_DURATION, .fallback = "2s", .min = 10, .max = 60000,
           .help = "For a whole check."),
    OPTION(struct health_conf, rise, OPT_INT, .fallback = "2", .min = 1, .max = 100,
           .help = "Good checks in a row that bring a server back."),
    OPTION(struct health_conf, fall, OPT_INT, .fallback = "3", .min = 1, .max = 100,
           .help = "Bad checks in a row that take it out."),
    OPTIONS_END,
};

/* ---- the table ---- */

static void put(char *to, size_t size, struct span text)
{
    size_t len = text.len < size - 1 ? text.len : size - 1;

    memset(to, 0, size);
    if (len > 0)
        memcpy(to, text.p, len);
}

/* A row is found again by it, in a table that outlives the configuration. */
static uint64_t key_of_tls(const struct check_tls *tls)
{
    const struct siphash_key key = { 0x636865636b, 0x746c73 };
    const char *const parts[] = { tls->ca, tls->cert, tls->file };
    uint64_t hash = tls->verify;

    for (size_t i = 0; i < ARRAY_LEN(parts); i++) {
        const struct siphash_key inner = { key.k0 ^ hash, key.k1 };
        hash = siphash(&inner, parts[i], strlen(parts[i]));
    }
    return hash != 0 ? hash : 1;
}

bool check_tls_of(const struct upstream *upstream, struct check_tls *tls)
{
    const struct span paths[] = { upstream->tls_ca, upstream->tls_cert, upstream->tls_key };
    char *const places[] = { tls->ca, tls->cert, tls->file };

    *tls = (struct check_tls){ .verify = upstream->tls_verify };
    for (size_t i = 0; i < ARRAY_LEN(paths); i++) {
        if (paths[i].len >= CHECK_PATH_BYTES)
            return false;
        put(places[i], CHECK_PATH_BYTES, paths[i]);
    }
    tls->key = key_of_tls(tls);
    return true;
}

static struct server_check check_of(const struct upstream *upstream,
                                    const struct upstream_server *server)
{
    const struct health_conf *conf = &upstream->health;
    struct server_check check = { .on = conf->path.len > 0,
                                  .secure = upstream->tls != NULL,
                                  .addr = server->addrs[0],
                                  .interval_ms = (uint32_t)conf->interval.ms,
                                  .timeout_ms = (uint32_t)conf->timeout.ms,
                                  .rise = (uint32_t)conf->rise,
                                  .fall = (uint32_t)conf->fall };

    if (!check.on || !health_status_parse(conf->status, &check.status_from, &check.status_to))
        return (struct server_check){ .on = false };
    if (server->addrs[0].family == ADDR_UNIX)
        put(check.unix_path, sizeof check.unix_path, server->url.path);
    put(check.host, sizeof check.host, conf->host.len > 0 ? conf->host : server->url.host);
    if (check.host[0] == '\0')
        put(check.host, sizeof check.host, SPAN("localhost"));
    struct check_tls tls;
    if (check.secure && check_tls_of(upstream, &tls))
        check.tls = tls.key;
    put(check.tls_name, sizeof check.tls_name,
        upstream->tls_name.len > 0 ? upstream->tls_name : server->url.host);
    put(check.path, sizeof check.path, conf->path);
    put(check.body, sizeof check.body, conf->body);
    return check;
}

static struct server_state *find(struct server_states *states, uint64_t key)
{
    struct server_state *oldest = &states->rows[0];

    for (size_t i = 0; i < SERVER_STATES_MAX; i++) {
        struct server_state *row = &states->rows[i];
        if (row->key == key)
            return row;
        bool free = row->key == 0;
        if (oldest->key != 0 && (free || row->generation < oldest->generation))
            oldest = row;
    }
    return oldest;
}

/* An operator means the server, whatever is asked of it. */
static bool drained_elsewhere(const struct server_states *states, const char *label)
{
    for (size_t i = 0; i < SERVER_STATES_MAX; i++) {
        const struct server_state *row = &states->rows[i];
        if (row->key != 0 && row->drained != 0 &&
            strncmp(row->label, label, SERVER_LABEL_BYTES) == 0)
            return true;
    }
    return false;
}

static void enter(struct server_states *states, const struct upstream *upstream,
                  struct upstream_server *server, uint32_t generation)
{
    const struct siphash_key key = { 0x736572766572, 0x7374617465 };
    struct server_state fresh = { .generation = generation,
                                  .found = server->discovery != NULL,
                                  .check = check_of(upstream, server) };

    put(fresh.label, sizeof fresh.label, server->label);
    char name[SERVER_LABEL_BYTES + CHECK_HOST_BYTES + 4 * CHECK_TEXT_BYTES];
    struct text text = text_fixed(name, sizeof name);
    text_add(&text, span_of(fresh.label, sizeof fresh.label));
    text_add(&text, span_of(fresh.check.host, sizeof fresh.check.host));
    text_add(&text, span_of(fresh.check.path, sizeof fresh.check.path));
    text_add(&text, span_of(fresh.check.body, sizeof fresh.check.body));
    text_uint(&text, fresh.check.status_from);
    text_char(&text, '-');
    text_uint(&text, fresh.check.status_to);
    text_add(&text, span_of((const char *)&fresh.check.tls, sizeof fresh.check.tls));
    uint64_t hash = siphash(&key, name, text.len);
    fresh.key = hash != 0 ? hash : 1;
    struct server_state *row = find(states, fresh.key);
    if (row->key == fresh.key) {
        row->check = fresh.check; /* other intervals, another address */
    } else {
        if (row->key != 0 && row->generation == generation)
            return; /* full of our own */
        fresh.drained = drained_elsewhere(states, fresh.label);
        *row = fresh;
    }
    row->generation = generation;
    server->state = row;
}

/* An upstream has no name of its own: its servers are. */
static struct span label_of(const struct upstream *upstream, char *to, size_t size)
{
    struct text text = text_fixed(to, size);

    for (size_t i = 0; i < upstream->server_count; i++) {
        if (i > 0)
            text_char(&text, ' ');
        text_add(&text, upstream->servers[i].label);
    }
    return span_of(to, text.len < size ? text.len : size);
}

/* Names differ, also those that are too long. */
static void put_circuit_label(struct circuit *circuit, struct span label)
{
    struct text text = text_fixed(circuit->label, sizeof circuit->label - 1);
    size_t room = sizeof circuit->label - 1;

    if (label.len <= room) {
        text_add(&text, label);
        return;
    }
    text_add(&text, span_sub(label, 0, room - 2 * sizeof circuit->key - 1));
    text_char(&text, '#');
    text_hex(&text, &circuit->key, sizeof circuit->key);
}

/* The rows of upstreams that nobody names any more make room. */
static void enter_circuit(struct server_states *states, struct upstream *upstream,
                          uint32_t generation)
{
    const struct siphash_key key = { 0x636972637569, 0x7473 };
    char name[SERVER_LABEL_BYTES * SERVERS_MAX];
    struct circuit *oldest = NULL;

    if (upstream->breaker.threshold == 0)
        return;
    struct span label = label_of(upstream, name, sizeof name);
    uint64_t hash = siphash(&key, label.p, label.len) | 1;
    for (size_t i = 0; i < CIRCUITS_MAX; i++) {
        struct circuit *circuit = &states->circuits[i];
        if (circuit->key == hash) {
            oldest = circuit;
            break;
        }
        bool better =
            oldest == NULL || (oldest->key != 0 &&
                               (circuit->key == 0 || circuit->generation < oldest->generation));
        oldest = better ? circuit : oldest;
    }
    if (oldest->key != hash) {
        if (oldest->key != 0 && oldest->generation == generation)
            return; /* full of our own: it has none */
        *oldest = (struct circuit){ .key = hash };
        put_circuit_label(oldest, label);
    }
    oldest->generation = generation;
    upstream->circuit = oldest;
}

void server_states_fill(struct server_states *states, struct upstream *upstreams, size_t count,
                        uint32_t generation)
{
    for (size_t i = 0; i < count; i++) {
        enter_circuit(states, &upstreams[i], generation);
        for (size_t n = 0; n < upstreams[i].server_count; n++)
            enter(states, &upstreams[i], &upstreams[i].servers[n], generation);
    }
}
