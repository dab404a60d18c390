/*
 * Address lists of other servers: fetched every `refresh`, checked whole as watched files are
 * (watch.c), published, and kept for the next steward and the next configuration in memory that
 * the master holds (geoip/feedkept.h). Whatever goes wrong, the last good set stays; when its
 * server has not been heard for `max_age` the log and `status` say so.
 *
 * Redirects are followed here and not by the fetch, for each host must be looked up, and only
 * the server that the configuration names may be asked at a private address or by http.
 */
#include <sodium.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "gateway/base/log.h"
#include "gateway/net/certs.h"
#include "gateway/process/process.h"
#include "gateway/steward/steward.h"
#include "gateway/upstream/dnslookup.h"
#include "gateway/upstream/fetch.h"
#include "gateway/upstream/lookup.h"
#include "geoip/feedkept.h"

enum {
    CONNECT_MS = 10 * 1000,
    TOTAL_MS = 120 * 1000,
    REDIRECTS_MAX = 3,
    RETRY_MS = 1000, /* after a failure; doubles up to the most */
    RETRY_MOST_MS = 5 * 60 * 1000,
    ROUND_MEMORY = 64 * 1024,
};

#define RECALL_MEMORY ((size_t)1 << 30)

struct feed {
    struct steward *steward;
    struct watched *list;
    struct fetch_policy policy;
    struct fetch fetch;
    struct arena arena; /* of a round: the URLs */
    struct url first, now;
    struct lookup lookup;
    struct discovery looked_for;
    struct addr addrs[FETCH_ADDRESSES_MAX]; /* of the host that is asked now */
    unsigned addr_count, redirects;
    struct feed_facts facts; /* of what is published */
    uint8_t source[FEED_HASH_BYTES], how[FEED_HASH_BYTES];
    struct timer timer;
    uint64_t retry_ms;
    bool stale_said;
};

struct feeds {
    struct feed *items;
    size_t count;
    struct feeds_kept *kept; /* NULL: there is none */
    struct resolver *resolver;
};

static const struct watched_list *settings_of(const struct feed *feed)
{
    return feed->list->settings;
}

static uint64_t now_of(const struct feed *feed)
{
    return feed->steward->loop.clock.wall_us / 1000000u;
}

bool feed_stale(const struct watched *list, uint64_t now_s)
{
    return list->fetched_s == 0 ||
           (now_s > list->fetched_s &&
            now_s - list->fetched_s > list->settings->max_age_ms / 1000);
}

/* ---- what is kept ---- */

static bool in_use(void *ctx, const char *name)
{
    const struct steward_settings *settings = ctx;

    for (uint32_t i = 0; i < settings->list_count; i++)
        if (settings->lists[i].url[0] != '\0' && strcmp(settings->lists[i].name, name) == 0)
            return true;
    return false;
}

bool feeds_keep(struct steward *steward, const struct watched *list,
                const struct feed_facts *facts)
{
    struct feeds *feeds = steward->feeds;
    struct feed_known known = { .facts = *facts, .fetched_s = list->fetched_s };
    void *p = feeds->kept != NULL
                  ? mmap(NULL, list->bytes, PROT_READ, MAP_SHARED, list->memfd, 0)
                  : MAP_FAILED;

    if (p == MAP_FAILED)
        return false;
    known.block = span_of(p, list->bytes);
    bool kept = feed_keep(feeds->kept, list->settings->name, &known, in_use,
                          (void *)(uintptr_t)steward->settings);
    (void)munmap(p, list->bytes);
    return kept;
}

void feeds_heard(struct steward *steward, struct watched *list)
{
    list->fetched_s = steward->loop.clock.wall_us / 1000000u;
    if (steward->feeds->kept != NULL)
        feed_confirm(steward->feeds->kept, list->settings->name, list->fetched_s);
}

static void add_hash(crypto_generichash_state *state, const void *bytes, size_t len)
{
    uint64_t prefix = len;

    (void)crypto_generichash_update(state, (const uint8_t *)&prefix, sizeof prefix);
    (void)crypto_generichash_update(state, bytes, len);
}

/* A set that was read by other settings is asked for whole. */
static void hash_settings(struct feed *feed)
{
    const struct watched_list *s = settings_of(feed);
    const struct steward_settings *all = feed->steward->settings;
    const uint32_t numbers[] = { s->format, s->max_cover, s->max_shrink, s->denies };
    crypto_generichash_state state;

    (void)crypto_generichash(feed->source, sizeof feed->source, (const uint8_t *)s->url,
                             strlen(s->url), NULL, 0);
    (void)crypto_generichash_init(&state, NULL, 0, FEED_HASH_BYTES);
    add_hash(&state, s->url, strlen(s->url));
    add_hash(&state, s->reason, strlen(s->reason));
    add_hash(&state, numbers, sizeof numbers);
    add_hash(&state, s->without, s->without_count * sizeof s->without[0]);
    add_hash(&state, all->spared, all->spared_count * sizeof all->spared[0]);
    (void)crypto_generichash_final(&state, feed->how, FEED_HASH_BYTES);
}

/* ---- one round ---- */

static void tell_stale(struct feed *feed)
{
    bool stale = feed->list->fetched_s != 0 && feed_stale(feed->list, now_of(feed));

    if (stale && !feed->stale_said)
        log_error("list is stale: its server has not been heard for max_age; it still counts",
                  F_TEXT("list", settings_of(feed)->name));
    feed->stale_said = stale;
}

static void end_round(struct feed *feed, const char *trouble)
{
    struct watched *list = feed->list;
    uint64_t refresh = settings_of(feed)->refresh_ms;

    if (trouble != NULL && trouble != list->trouble)
        log_error("list could not be fetched; the last good one stays",
                  F_TEXT("list", list->settings->name), F_TEXT("why", trouble));
    else if (trouble == NULL && list->trouble != NULL)
        log_info("list is fetched again", F_TEXT("list", list->settings->name));
    list->trouble = trouble;
    fetch_close(&feed->fetch);
    arena_reset(&feed->arena);
    tell_stale(feed);
    feed->retry_ms = trouble == NULL ? 0 : feed->retry_ms == 0 ? RETRY_MS : feed->retry_ms * 2;
    if (feed->retry_ms > RETRY_MOST_MS)
        feed->retry_ms = RETRY_MOST_MS;
    bool soon = trouble != NULL && feed->retry_ms < refresh;
    timer_set(&feed->steward->loop, &feed->timer, soon ? feed->retry_ms : refresh);
}

static const char *take(struct feed *feed)
{
    struct watched *list = feed->list;
    struct feed_facts fresh = { 0 };
    struct span etag = fetch_etag(&feed->fetch);

    list->another =
        memcmp(feed->facts.source, feed->source, sizeof feed->source) != 0 && list->version > 0;
    const char *trouble = lists_take(feed->steward, list, feed->fetch.body);
    list->another = false;
    if (trouble != NULL)
        return trouble;
    memcpy(fresh.source, feed->source, sizeof fresh.source);
    memcpy(fresh.how, feed->how, sizeof fresh.how);
    if (etag.len > 0 && etag.len < sizeof fresh.etag)
        memcpy(fresh.etag, etag.p, etag.len);
    feed->facts = fresh;
    list->fetched_s = now_of(feed);
    log_info("list fetched", F_TEXT("list", list->settings->name),
             F_INT("ranges", list->ranges), F_INT("version", list->version));
    if (!feeds_keep(feed->steward, list, &feed->facts))
        log_error("list cannot be kept: a reload will begin with the one before",
                  F_TEXT("list", list->settings->name));
    return NULL;
}

/* ---- questions ---- */

static void write_url(struct text *out, const struct url *url)
{
    bool brackets = span_index(url->host, ':') >= 0;

    text_add(out, url->scheme);
    text_lit(out, "://");
    text_add(out, brackets ? SPAN("[") : SPAN(""));
    text_add(out, url->host);
    text_add(out, brackets ? SPAN("]:") : SPAN(":"));
    text_uint(out, url->port);
    text_add(out, url->path);
}

static void ask_now(struct feed *feed)
{
    char buffer[2 * FETCH_URL_BYTES_MAX];
    struct text url = text_fixed(buffer, sizeof buffer);
    bool same =
        span_equal(feed->now.host, feed->first.host) && feed->now.port == feed->first.port;
    bool known = memcmp(feed->facts.how, feed->how, sizeof feed->how) == 0;
    bool trusted = settings_of(feed)->allow_private && same;

    write_url(&url, &feed->now);
    feed->policy.private_refused = !trusted;
    feed->policy.https_only = !trusted;
    struct fetch_ask ask = { .url = text_span(&url) };
    if (known && feed->list->memfd >= 0)
        ask.if_none_match = span_text(feed->facts.etag);
    fetch_start(&feed->fetch, &feed->steward->agent, &feed->policy, &ask);
    worker_flush(&feed->steward->agent);
}

static void on_looked_up(struct lookup *lookup)
{
    struct feed *feed = CONTAINER(lookup, struct feed, lookup);

    for (unsigned i = 0; i < lookup->list.count && feed->addr_count < FETCH_ADDRESSES_MAX; i++)
        feed->addrs[feed->addr_count++] = lookup->list.items[i].addr;
    ask_now(feed);
}

static void ask_for(struct feed *feed)
{
    struct span host = feed->now.host;
    struct resolver *resolver = feed->steward->feeds->resolver;

    feed->addr_count = 0;
    if (addr_parse(host, &feed->addrs[0]) ||
        (host_is_loopback(host) && addr_parse(SPAN("127.0.0.1"), &feed->addrs[0]))) {
        feed->addr_count = 1;
        ask_now(feed);
        return;
    }
    if (host.len >= sizeof feed->looked_for.name || resolver == NULL) {
        end_round(feed, "its name cannot be looked up");
        return;
    }
    feed->looked_for =
        (struct discovery){ .kind = DISCOVER_ADDRESSES, .port = feed->now.port, .slots = 1 };
    memcpy(feed->looked_for.name, host.p, host.len);
    feed->lookup = (struct lookup){ .done = on_looked_up };
    lookup_start(&feed->lookup, resolver, &feed->looked_for);
}

static void follow(struct feed *feed)
{
    const struct field *location = fields_get(feed->fetch.fields, FIELD_LOCATION);
    struct url next;

    if (feed->redirects++ >= REDIRECTS_MAX) {
        end_round(feed, "it redirects too often");
        return;
    }
    if (location == NULL || fields_next(feed->fetch.fields, location) != NULL) {
        end_round(feed, "it redirects without one Location");
        return;
    }
    const char *why = fetch_url_join(&feed->now, location->value, &feed->arena, &next);
    if (why != NULL) {
        end_round(feed, why);
        return;
    }
    fetch_close(&feed->fetch);
    feed->now = next;
    ask_for(feed);
}

static void on_fetched(struct fetch *f)
{
    struct feed *feed = CONTAINER(f, struct feed, fetch);
    static const int moved[] = { 301, 302, 303, 307, 308 };

    if (f->err != OK) {
        end_round(feed, f->why);
        return;
    }
    for (size_t i = 0; i < ARRAY_LEN(moved); i++)
        if (f->status == moved[i]) {
            follow(feed);
            return;
        }
    if (f->status == 304)
        feeds_heard(feed->steward, feed->list);
    end_round(feed, f->status == 304   ? NULL
                    : f->status == 200 ? take(feed)
                                       : "it does not answer with 200");
}

static void begin_round(struct feed *feed)
{
    feed->redirects = 0;
    const char *why = fetch_url(span_text(settings_of(feed)->url), &feed->arena, &feed->first);

    feed->now = feed->first;
    if (why != NULL)
        end_round(feed, why);
    else
        ask_for(feed);
}

static void on_timer(struct timer *timer)
{
    begin_round(CONTAINER(timer, struct feed, timer));
}

/* ---- beginning ---- */

static unsigned resolve(void *names, struct span host, struct addr *out, unsigned max)
{
    const struct feed *feed = names;
    unsigned count = feed->addr_count < max ? feed->addr_count : max;

    if (!span_equal(host, feed->now.host))
        return 0;
    memcpy(out, feed->addrs, count * sizeof *out);
    return count;
}

static struct feeds_kept *map_kept(void)
{
    struct stat info;
    void *p = MAP_FAILED;

    if (fstat(ROLE_FD_FEEDS, &info) != 0)
        return NULL;
    if ((size_t)info.st_size >= sizeof(struct feeds_kept))
        p = mmap(NULL, sizeof(struct feeds_kept), PROT_READ | PROT_WRITE, MAP_SHARED,
                 ROLE_FD_FEEDS, 0);
    (void)close(ROLE_FD_FEEDS);
    return p != MAP_FAILED ? p : NULL;
}

static void open_feed(struct steward *steward, struct feed *feed,
                      const struct watched_list *settings)
{
    struct tls_client_conf client = { .ca = span_text(settings->ca),
                                      .verify = true,
                                      .profile = TLS_INTERMEDIATE };
    struct span why = { 0 };

    *feed = (struct feed){ .steward = steward,
                           .fetch = { .done = on_fetched },
                           .timer = { .fire = on_timer } };
    arena_init(&feed->arena, NULL, 0, NULL, ROUND_MEMORY);
    /* A file that is gone since the load: https has nobody to trust then. */
    feed->policy = (struct fetch_policy){ .tls = tls_client_new(&client, &steward->arena, &why),
                                          .body_bytes = settings->max_bytes,
                                          .connect_ms = CONNECT_MS,
                                          .total_ms = TOTAL_MS,
                                          .resolve = resolve,
                                          .names = feed };
    if (feed->policy.tls == NULL)
        log_error("list's authorities cannot be read", F_TEXT("list", settings->name),
                  F_SPAN("why", why));
}

static bool is_feed(const struct watched_list *list)
{
    return list->url[0] != '\0' && list->remedy == 0;
}

enum err feeds_open(struct steward *steward)
{
    const struct steward_settings *settings = steward->settings;
    struct feeds_kept *kept = map_kept();
    struct feeds *feeds = arena_new(&steward->arena, struct feeds);

    if (feeds == NULL || sodium_init() < 0)
        return ERR_MEMORY;
    steward->feeds = feeds;
    feeds->kept = kept;
    feeds->items = calloc(FEEDS_MAX, sizeof *feeds->items);
    if (feeds->items == NULL)
        return ERR_MEMORY;
    for (uint32_t i = 0; i < settings->list_count; i++) {
        if (!is_feed(&settings->lists[i]))
            continue;
        if (feeds->count == FEEDS_MAX)
            return ERR_PROTOCOL;
        open_feed(steward, &feeds->items[feeds->count++], &settings->lists[i]);
    }
    if (feeds->count > 0)
        feeds->resolver = resolver_open(&steward->loop, settings->resolver);
    return OK;
}

bool feeds_take_kept(struct steward *steward, struct watched *list, struct feed_known *known)
{
    const struct watched_list *s = list->settings;
    struct cidrs without = { (struct cidr *)s->without, s->without_count };
    const struct feeds_kept *kept = steward->feeds->kept;
    uint32_t now_s = (uint32_t)(steward->loop.clock.wall_us / 1000000u);
    struct arena arena;

    arena_init(&arena, NULL, 0, NULL, RECALL_MEMORY);
    bool taken = kept != NULL && feed_recall(kept, s->name, &without, now_s, &arena, known) &&
                 lists_take_block(steward, list, known->block) == NULL;
    arena_reset(&arena);
    return taken;
}

/* What the last steward has left is published at once, and fetched anew when it is due. */
static uint64_t take_kept(struct feed *feed)
{
    const struct watched_list *s = settings_of(feed);
    uint64_t now_s = now_of(feed), due_ms = 0;
    struct feed_known known;

    if (feeds_take_kept(feed->steward, feed->list, &known)) {
        feed->facts = known.facts;
        uint64_t age_ms = known.fetched_s < now_s ? (now_s - known.fetched_s) * 1000 : 0;
        if (memcmp(feed->facts.source, feed->source, sizeof feed->source) == 0)
            feed->list->fetched_s = known.fetched_s;
        if (memcmp(feed->facts.how, feed->how, sizeof feed->how) == 0 && age_ms < s->refresh_ms)
            due_ms = s->refresh_ms - age_ms;
    }
    return due_ms;
}

void feeds_start(struct steward *steward)
{
    struct feeds *feeds = steward->feeds;
    size_t next = 0;

    for (uint32_t i = 0; i < steward->settings->list_count; i++)
        if (is_feed(&steward->settings->lists[i]))
            feeds->items[next++].list = &steward->lists[i];
    for (size_t i = 0; i < feeds->count; i++) {
        struct feed *feed = &feeds->items[i];
        hash_settings(feed);
        uint64_t due_ms = take_kept(feed);
        if (due_ms > 0)
            timer_set(&steward->loop, &feed->timer, due_ms);
        else
            begin_round(feed);
    }
}
