/*
 * Keys and endpoints of providers: fetched when they run out, or when a worker has met a key
 * that nobody knows (at most once in 30 seconds), and published to the workers. Whatever goes
 * wrong, the last good document stays, also over a reload: it is left to the next steward in
 * memory that nobody else maps.
 *
 * Before a server is asked, its name is. Without an answer the addresses count that the name
 * had last, or when the configuration was loaded.
 */
#include <openssl/evp.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "auth/provider.h"
#include "auth/strictjson.h"
#include "gateway/base/log.h"
#include "gateway/net/certs.h"
#include "gateway/process/process.h"
#include "gateway/steward/steward.h"
#include "gateway/upstream/dnslookup.h"
#include "gateway/upstream/fetch.h"
#include "gateway/upstream/lookup.h"

enum {
    FETCH_BYTES_MAX = 128 * 1024,
    CONNECT_MS = 5 * 1000,
    TOTAL_MS = 15 * 1000,
    KEPT_LEAST_S = 5 * 60, /* what Cache-Control may say of them */
    KEPT_MOST_S = 24 * 60 * 60,
    KEPT_USUAL_S = 60 * 60,
    RETRY_MS = 1000, /* after a failure; doubles up to the most */
    RETRY_MOST_MS = 30 * 1000,
    ASKS_PER_EVENT = 16,    /* of one worker */
    NAMED_MOST_S = 10 * 60, /* workers are told the addresses of names no less often */
    HOSTS_MAX = PROVIDER_HOSTS_MAX + 1,
};

#define DOCUMENT_MEMORY ((size_t)4 << 20)

/* A name that was looked up, and what it stands for. */
struct known_host {
    char name[DISCOVERY_NAME_BYTES];
    struct addr addrs[PROVIDER_ADDRESSES_MAX];
    unsigned count;
};

struct source {
    struct steward *steward;
    const struct watched_provider *settings;
    struct fetch_policy policy;
    struct fetch fetch;
    struct arena arena; /* of a round: what was discovered */
    struct provider_meta meta;
    struct lookup lookup;
    struct discovery looked_for;
    struct known_host hosts[HOSTS_MAX];
    unsigned host_count;
    unsigned next_host;                  /* of the discovered ones, to be looked up */
    void (*then)(struct source *source); /* when the name has an answer, or none */
    bool named;                          /* some server has a name, and not an address */
    bool busy, discovering, owed;        /* owed: some worker waits for the end of this round */
    struct timer timer;                  /* the next round */
    uint64_t asked_ms, retry_ms;         /* when workers were heard last */
    uint64_t fetched_s, max_age_s;
    char url[FETCH_URL_BYTES_MAX]; /* that is asked now */
    size_t url_len;
    int memfd;
    uint64_t bytes;
    uint32_t version;
    char *document; /* what was published last */
    const char *trouble;
};

struct sources {
    struct source *items;
    size_t count;
    struct kept *kept; /* NULL: there is none */
    struct resolver *resolver;
};

/* ---- to the workers ---- */

static enum err send_source(const struct source *source, int fd)
{
    struct snapshot_message message = { .magic = SNAPSHOT_MAGIC,
                                        .kind = SNAPSHOT_PROVIDER,
                                        .id = source->settings->id,
                                        .version = source->version,
                                        .bytes = source->bytes };
    if (source->memfd < 0)
        message.magic = SNAPSHOT_ASK_MAGIC;
    return snapshot_send(fd, source->memfd, &message);
}

bool sources_send(struct steward *steward, int fd)
{
    bool all = true;

    for (size_t i = 0; steward->sources != NULL && i < steward->sources->count; i++)
        if (steward->sources->items[i].memfd >= 0)
            all = send_source(&steward->sources->items[i], fd) != ERR_BUSY && all;
    return all;
}

/* One that cannot take it now gets all its snapshots later. */
static void tell_workers(struct source *source)
{
    struct steward *steward = source->steward;

    for (size_t i = 0; i < SLOTS_MAX; i++) {
        struct member *member = &steward->members[i];
        if (member->pid != 0 && send_source(source, member->watch.fd) == ERR_BUSY)
            lists_resend(steward, member);
    }
    source->owed = false;
}

/* ---- what is kept for the next steward ---- */

static bool digest_of(struct span bytes, uint8_t digest[32])
{
    return EVP_Digest(bytes.p, bytes.len, digest, NULL, EVP_sha256(), NULL) == 1;
}

static struct kept_document *kept_of(const struct source *source)
{
    struct kept *kept = source->steward->sources->kept;
    struct kept_document *oldest = NULL;

    for (size_t i = 0; kept != NULL && i < PROVIDERS_MAX; i++) {
        struct kept_document *document = &kept->documents[i];
        if (memcmp(document->key, source->settings->key, sizeof document->key) == 0)
            return document;
        if (oldest == NULL || document->fetched_s < oldest->fetched_s)
            oldest = document;
    }
    return oldest;
}

static void keep(const struct source *source, struct span document)
{
    struct kept_document *kept = kept_of(source);

    if (kept == NULL || document.len > sizeof kept->bytes)
        return;
    kept->len = 0;
    memcpy(kept->key, source->settings->key, sizeof kept->key);
    memcpy(kept->bytes, document.p, document.len);
    kept->fetched_s = source->fetched_s;
    if (digest_of(document, kept->digest))
        kept->len = document.len;
}

/* ---- one round ---- */

static bool publish(struct source *source, struct span document)
{
    char *copy = malloc(document.len);
    int memfd = copy != NULL ? snapshot_seal(document) : -1;

    if (memfd < 0) {
        free(copy);
        return false;
    }
    if (source->memfd >= 0)
        (void)close(source->memfd);
    memcpy(copy, document.p, document.len);
    free(source->document);
    source->document = copy;
    source->memfd = memfd;
    source->bytes = document.len;
    source->version++;
    return true;
}

static struct span name_of(const struct source *source)
{
    const struct watched_provider *settings = source->settings;
    return span_text(settings->issuer[0] != '\0' ? settings->issuer : settings->url);
}

static void end_round(struct source *source, const char *trouble)
{
    struct loop *loop = &source->steward->loop;

    if (trouble != NULL && trouble != source->trouble)
        log_warn("provider's keys could not be fetched; the last good ones stay",
                 F_SPAN("provider", name_of(source)), F_TEXT("why", trouble));
    else if (trouble == NULL && source->trouble != NULL)
        log_info("provider's keys are fetched again", F_SPAN("provider", name_of(source)));
    source->trouble = trouble;
    source->busy = false;
    fetch_close(&source->fetch);
    arena_reset(&source->arena);
    source->retry_ms = trouble == NULL         ? 0
                       : source->retry_ms == 0 ? RETRY_MS
                                               : source->retry_ms * 2;
    if (source->retry_ms > RETRY_MOST_MS)
        source->retry_ms = RETRY_MOST_MS;
    if (source->named && source->max_age_s > NAMED_MOST_S)
        source->max_age_s = NAMED_MOST_S;
    timer_set(loop, &source->timer,
              trouble != NULL ? source->retry_ms : source->max_age_s * 1000);
    if (source->owed)
        tell_workers(source);
}

/* The answer as text, or why it is none. */
static const char *answer_of(const struct fetch *f)
{
    if (f->err != OK)
        return f->why;
    return f->status == 200 ? NULL : "it does not answer with 200";
}

static void shorten_age(struct source *source, const struct fetch *f)
{
    uint64_t age = fetch_max_age(f->fields, KEPT_USUAL_S);

    age = age < KEPT_LEAST_S ? KEPT_LEAST_S : age > KEPT_MOST_S ? KEPT_MOST_S : age;
    source->max_age_s = age < source->max_age_s ? age : source->max_age_s;
}

static const char *take_keys(struct source *source)
{
    const struct watched_provider *settings = source->settings;
    struct text out = text_growing(&source->arena, source->fetch.body.len + 4096);
    const char *why =
        provider_write(&out, settings->key, settings->issuer[0] != '\0' ? &source->meta : NULL,
                       source->fetch.body, settings->algs, &source->arena);

    if (why != NULL)
        return why;
    shorten_age(source, &source->fetch);
    source->fetched_s = source->steward->loop.clock.wall_us / 1000000u;
    struct span document = text_span(&out);
    keep(source, document);
    if (source->memfd >= 0 && span_equal(span_of(source->document, source->bytes), document))
        return NULL;
    if (!publish(source, document))
        return "there is no memory for it";
    log_info("provider's keys fetched", F_SPAN("provider", name_of(source)),
             F_INT("version", source->version));
    source->owed = true;
    return NULL;
}

/* ---- names ---- */

static struct known_host *host_of(struct source *source, struct span name)
{
    for (unsigned i = 0; i < source->host_count; i++)
        if (span_equal(span_text(source->hosts[i].name), name))
            return &source->hosts[i];
    return NULL;
}

static void on_looked_up(struct lookup *lookup)
{
    struct source *source = CONTAINER(lookup, struct source, lookup);
    struct span name = span_text(source->looked_for.name);
    struct known_host *host = host_of(source, name);

    if (host == NULL && lookup->list.count > 0) {
        /* The provider has moved more often than there is room for: begin again. */
        source->host_count = source->host_count == HOSTS_MAX ? 0 : source->host_count;
        host = &source->hosts[source->host_count++];
        memcpy(host->name, source->looked_for.name, sizeof host->name);
    }
    if (lookup->list.count > 0)
        host->count = 0;
    for (unsigned i = 0; i < lookup->list.count && host->count < PROVIDER_ADDRESSES_MAX; i++)
        host->addrs[host->count++] = lookup->list.items[i].addr;
    source->then(source);
}

/* `then`, when it is known what the name stands for, or that nobody says. */
static void look_up(struct source *source, struct span name, void (*then)(struct source *))
{
    struct addr addr;

    source->then = then;
    bool literal = addr_parse(name, &addr) || host_is_loopback(name);
    if (literal || name.len >= sizeof source->looked_for.name ||
        source->steward->sources->resolver == NULL) {
        then(source);
        return;
    }
    source->named = true;
    source->looked_for =
        (struct discovery){ .kind = DISCOVER_ADDRESSES, .port = 443, .slots = 1 };
    memcpy(source->looked_for.name, name.p, name.len);
    source->lookup = (struct lookup){ .done = on_looked_up };
    lookup_start(&source->lookup, source->steward->sources->resolver, &source->looked_for);
}

/* ---- questions ---- */

static void ask_now(struct source *source)
{
    struct fetch_ask ask = { .url = span_of(source->url, source->url_len),
                             .accept = SPAN("application/json") };

    fetch_start(&source->fetch, &source->steward->agent, &source->policy, &ask);
    worker_flush(&source->steward->agent);
}

static void ask_for(struct source *source, struct span text)
{
    struct url url;

    /* Whatever is wrong with it, the fetch says. */
    source->url_len = text.len < sizeof source->url ? text.len : 0;
    memcpy(source->url, text.p, source->url_len);
    if (fetch_url(text, &source->arena, &url) != NULL)
        ask_now(source);
    else
        look_up(source, url.host, ask_now);
}

/* The documents' own addresses of what is asked by workers go along with it. */
static void add_addresses(struct source *source)
{
    for (unsigned i = 0; i < source->meta.host_count; i++) {
        struct provider_host *host = &source->meta.hosts[i];
        if (addr_parse(host->name, &host->addrs[0]))
            host->addr_count = 1;
        else
            host->addr_count = source->policy.resolve(source->policy.names, host->name,
                                                      host->addrs, PROVIDER_ADDRESSES_MAX);
    }
}

static void look_up_next(struct source *source);

static void on_discovered(struct source *source)
{
    struct span issuer = span_text(source->settings->issuer);
    const char *why =
        provider_discovered(source->fetch.body, issuer, &source->arena, &source->meta);

    if (why != NULL) {
        end_round(source, why);
        return;
    }
    shorten_age(source, &source->fetch);
    source->discovering = false;
    source->next_host = 0;
    fetch_close(&source->fetch);
    look_up_next(source);
}

/* One after the other; then the keys. */
static void look_up_next(struct source *source)
{
    if (source->next_host < source->meta.host_count) {
        look_up(source, source->meta.hosts[source->next_host++].name, look_up_next);
        return;
    }
    add_addresses(source);
    bool given = source->settings->url[0] != '\0';
    ask_for(source,
            given ? span_text(source->settings->url) : source->meta.endpoints[ENDPOINT_JWKS]);
}

static void on_fetched(struct fetch *f)
{
    struct source *source = CONTAINER(f, struct source, fetch);
    const char *why = answer_of(f);

    if (why != NULL)
        end_round(source, why);
    else if (source->discovering)
        on_discovered(source);
    else
        end_round(source, take_keys(source));
}

static void begin_round(struct source *source)
{
    const struct watched_provider *settings = source->settings;
    char url[FETCH_URL_BYTES_MAX];
    struct text text = text_fixed(url, sizeof url);

    if (source->busy)
        return;
    source->busy = true;
    source->discovering = settings->issuer[0] != '\0';
    source->max_age_s = KEPT_MOST_S;
    timer_clear(&source->timer);
    if (source->discovering && !provider_discovery_url(span_text(settings->issuer), &text)) {
        end_round(source, "its name is too long");
        return;
    }
    ask_for(source, source->discovering ? text_span(&text) : span_text(settings->url));
}

static void on_timer(struct timer *timer)
{
    begin_round(CONTAINER(timer, struct source, timer));
}

/* ---- what workers ask for ---- */

static struct source *source_of(const struct steward *steward, uint32_t id)
{
    for (size_t i = 0; steward->sources != NULL && i < steward->sources->count; i++)
        if (steward->sources->items[i].settings->id == id)
            return &steward->sources->items[i];
    return NULL;
}

static void asked(struct steward *steward, struct member *member, uint32_t id)
{
    struct source *source = source_of(steward, id);
    uint64_t now = clock_ms(&steward->loop.clock);

    if (source == NULL)
        return;
    /* Without any keys it tries again by itself. */
    if (!source->busy && source->memfd >= 0 &&
        (source->asked_ms == 0 || now - source->asked_ms >= PROVIDER_FRESH_MS)) {
        source->asked_ms = now;
        begin_round(source);
    }
    if (source->busy)
        source->owed = true;
    else if (send_source(source, member->watch.fd) == ERR_BUSY)
        lists_resend(steward, member);
}

void sources_asked(struct watch *watch, uint32_t events)
{
    struct member *member = CONTAINER(watch, struct member, watch);
    struct steward *steward = member->steward;

    (void)events;
    for (unsigned i = 0; i < ASKS_PER_EVENT; i++) {
        uint32_t id;
        enum err err = snapshot_asked(watch->fd, &id);
        if (err == OK)
            asked(steward, member, id);
        if (err == ERR_CLOSED) /* the master tells when it is gone */
            loop_change(&steward->loop, watch, EPOLLET);
        if (err == ERR_BUSY || err == ERR_CLOSED)
            return;
    }
}

/* ---- beginning ---- */

static unsigned resolve(void *names, struct span host, struct addr *out, unsigned max)
{
    struct source *source = names;
    const struct steward *steward = source->steward;
    const struct known_host *known = host_of(source, host);

    if (known != NULL) {
        unsigned count = known->count < max ? known->count : max;
        memcpy(out, known->addrs, count * sizeof *out);
        return count;
    }
    for (uint32_t i = 0; i < steward->settings->provider_count; i++) {
        const struct watched_provider *from = &steward->settings->providers[i];
        struct url url;
        struct arena arena;
        _Alignas(16) char room[2 * FETCH_URL_BYTES_MAX + 64];
        const char *text = from->url[0] != '\0' ? from->url : from->issuer;
        arena_init(&arena, room, sizeof room, NULL, 0);
        if (fetch_url(span_text(text), &arena, &url) != NULL || !span_equal(url.host, host))
            continue;
        unsigned count = from->addr_count < max ? from->addr_count : max;
        memcpy(out, from->addrs, count * sizeof *out);
        return count;
    }
    return 0;
}

static bool open_memory(struct worker *agent)
{
    agent->scratch = malloc(SCRATCH_BYTES);
    agent->cipher = malloc(CIPHER_BYTES);
    agent->cork = malloc(CORK_BYTES);
    agent->wire = malloc(CORK_BYTES + 16 * 1024);
    slab_pool_init(&agent->slabs, 16, 4096);
    return agent->scratch != NULL && agent->cipher != NULL && agent->cork != NULL &&
           agent->wire != NULL;
}

/* What the last steward has left is published at once; it is fetched anew all the same. */
static void take_kept(struct source *source)
{
    const struct kept_document *kept = kept_of(source);
    uint8_t digest[32];

    if (kept == NULL || kept->len == 0 || kept->len > sizeof kept->bytes ||
        memcmp(kept->key, source->settings->key, sizeof kept->key) != 0)
        return;
    struct span document = span_of(kept->bytes, kept->len);
    if (!digest_of(document, digest) || memcmp(digest, kept->digest, sizeof digest) != 0 ||
        !provider_document_valid(document))
        return;
    source->fetched_s = kept->fetched_s;
    (void)publish(source, document);
}

static struct kept *map_kept(void)
{
    struct stat info;

    if (fstat(ROLE_FD_KEPT, &info) != 0)
        return NULL;
    void *p = (uint64_t)info.st_size >= sizeof(struct kept)
                  ? mmap(NULL, sizeof(struct kept), PROT_READ | PROT_WRITE, MAP_SHARED,
                         ROLE_FD_KEPT, 0)
                  : MAP_FAILED;
    (void)close(ROLE_FD_KEPT);
    return p != MAP_FAILED ? p : NULL;
}

_Static_assert(offsetof(struct worker, loop) == 0, "steward->loop is the agent's");

enum err sources_open(struct steward *steward)
{
    const struct steward_settings *settings = steward->settings;

    strict_json_init();
    struct sources *sources = arena_new(&steward->arena, struct sources);
    if (sources == NULL || !open_memory(&steward->agent))
        return ERR_MEMORY;
    sources->items = calloc(settings->provider_count + 1, sizeof *sources->items);
    if (sources->items == NULL)
        return ERR_MEMORY;
    sources->kept = map_kept();
    if (settings->provider_count > 0)
        sources->resolver = resolver_open(&steward->loop, settings->resolver);
    for (uint32_t i = 0; i < settings->provider_count; i++) {
        struct source *source = &sources->items[sources->count++];
        struct tls_client_conf client = { .ca = span_text(settings->providers[i].ca),
                                          .verify = true,
                                          .profile = TLS_INTERMEDIATE };
        struct span why = { 0 };
        *source = (struct source){ .steward = steward,
                                   .settings = &settings->providers[i],
                                   .fetch = { .done = on_fetched },
                                   .timer = { .fire = on_timer },
                                   .memfd = -1 };
        arena_init(&source->arena, NULL, 0, NULL, DOCUMENT_MEMORY);
        /* A file that is gone since the load: https has nobody to trust then. */
        source->policy =
            (struct fetch_policy){ .tls = tls_client_new(&client, &steward->arena, &why),
                                   .body_bytes = FETCH_BYTES_MAX,
                                   .gzip = true,
                                   .connect_ms = CONNECT_MS,
                                   .total_ms = TOTAL_MS,
                                   .resolve = resolve,
                                   .names = source };
        if (source->policy.tls == NULL)
            log_error("provider's authorities cannot be read", F_SPAN("why", why));
    }
    steward->sources = sources;
    return OK;
}

void sources_start(struct steward *steward)
{
    for (size_t i = 0; i < steward->sources->count; i++) {
        take_kept(&steward->sources->items[i]);
        begin_round(&steward->sources->items[i]);
    }
}
