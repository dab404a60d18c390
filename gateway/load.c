/*
 * From a file to a struct config. All errors of all parts are gathered in one run.
 */
#include "gateway/load.h"

#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "conf/loading.h"
#include "gateway/audit/capture.h"
#include "gateway/chain/scope.h"
#include "gateway/load_site.h"
#include "gateway/net/certs.h"
#include "gateway/process/settings.h"
#include "gateway/stages.h"
#include "gateway/store/snapshot.h"
#include "geoip/database.h"
#include "geoip/feedkept.h"
#include "geoip/geofile.h"
#include "geoip/listfile.h"
#include "geoip/listguard.h"
#include "geoip/lists.h"

#define LIST_SCRATCH_MAX ((size_t)1 << 30)

static const char *const top_keys[] = { "include", "connect", "defaults", "sites", NULL };

static void complain_at(struct site_load *sl, struct place place, const char *message)
{
    diag_add(sl->load->diags, SEVERITY_ERROR, DIAG_VALUE, place, span_text(message), SPAN(""));
}

/* ---- server ---- */

static void add_listen(struct site_load *sl, const struct texts *texts, bool tls)
{
    struct config *config = sl->config;

    for (size_t i = 0; i < texts->count; i++) {
        struct listen_address *listen = &config->listen[config->listen_count];
        listen->text = texts->items[i];
        listen->tls = tls;
        listen->proxy_protocol = config->server.proxy_protocol;
        if (listen_parse(texts->items[i], &listen->addr)) /* else its row has complained */
            config->listen_count++;
    }
}

static void load_listen(struct site_load *sl)
{
    struct config *config = sl->config;
    struct server_conf *server = &config->server;

    if (server->http.count + server->https.count == 0) {
        static struct span fallback = SPAN_INIT("127.0.0.1:8080");
        server->http = (struct texts){ .items = &fallback, .count = 1 };
    }
    if (server->http.count + server->https.count > LISTEN_MAX)
        complain_at(sl, node_child(sl->schema.root, SPAN("server"))->place,
                    "there are more than 60 addresses to listen on");
    config->listen = arena_array(sl->load->arena, struct listen_address,
                                 server->http.count + server->https.count);
    if (config->listen == NULL)
        return;
    add_listen(sl, &server->http, false);
    add_listen(sl, &server->https, true);
}

static void default_control(struct site_load *sl, const char *path)
{
    struct server_conf *server = &sl->config->server;
    struct text out = text_growing(sl->load->arena, 256);
    /* no threads yet: NOLINTNEXTLINE(concurrency-mt-unsafe) */
    const char *runtime = getenv("XDG_RUNTIME_DIR");

    if (server->control.text.len > 0)
        return;
    if (geteuid() == 0) {
        text_lit(&out, "/run/sallyport/control.sock");
    } else if (path != NULL) {
        char *real = realpath(path, NULL);
        struct span folder = span_text(real != NULL ? real : path);
        while (folder.len > 0 && folder.p[folder.len - 1] != '/')
            folder.len--;
        text_add(&out, folder);
        text_lit(&out, "control.sock");
        free(real);
    } else if (runtime != NULL) {
        text_add(&out, span_text(runtime));
        text_lit(&out, "/sallyport.sock");
    }
    const char *text = text_cstring(&out);
    if (text != NULL)
        server->control.text = text_span(&out);
}

static void default_cache(struct site_load *sl)
{
    static const struct {
        const char *variable, *behind;
    } rows[] = { { "CACHE_DIRECTORY", "" },
                 { "STATE_DIRECTORY", "/cache" },
                 { "XDG_CACHE_HOME", "/sallyport" },
                 { "HOME", "/.cache/sallyport" } };
    enum { SYSTEMD_ROWS = 2 };
    struct text out = text_growing(sl->load->arena, 256);
    struct cache_conf *cache = &sl->config->server.cache;

    if (cache->folder.text.len > 0)
        return;
    for (size_t i = 0; i < ARRAY_LEN(rows) && out.len == 0; i++) {
        /* no threads yet: NOLINTNEXTLINE(concurrency-mt-unsafe) */
        const char *value = getenv(rows[i].variable);
        if (i == SYSTEMD_ROWS && geteuid() == 0)
            text_lit(&out, "/var/cache/sallyport");
        else if (value != NULL && value[0] == '/') {
            text_add(&out, span_of(value, strcspn(value, ":"))); /* systemd's may be several */
            text_add(&out, span_text(rows[i].behind));
        }
    }
    if (text_cstring(&out) != NULL)
        cache->folder.text = text_span(&out);
}

static void load_audit(struct site_load *sl, const struct top_conf *top)
{
    struct audit_conf *audit = &sl->config->audit;

    audit->on = top->audit.mode == 0;
    audit->file = top->audit.file;
    audit->durability = top->audit.durability;
    audit->on_full = top->audit.on_full;
    audit->flood = top->audit.flood;
    audit->reserve = top->audit.reserve;
    audit->rotate_size = top->audit.rotate.size;
    audit->rotate_every = top->audit.rotate.every;
    audit->compress = top->audit.rotate.compress;
    audit->keep_age = top->audit.keep.age;
    audit->keep_size = top->audit.keep.size;
    audit->redaction.params = top->audit.redact.fields.items;
    audit->redaction.param_count = top->audit.redact.fields.count;
    memcpy(&audit->redaction.key, sl->config->boot_key + 16, sizeof audit->redaction.key);
    struct capture_conf *capture = &audit->capture;
    capture->sample = top->audit.capture.sample;
    capture->rate = top->audit.capture.rate;
    capture->body = top->audit.capture.body;
    capture->size = top->audit.capture.size;
    capture->on = audit->on && capture_key_read(top->audit.capture.key, capture->key);
    for (size_t i = 0; i < top->audit.capture.of.count; i++)
        capture->of |= audit_record_bit(top->audit.capture.of.items[i]);
    if (capture->on && audit->file.text.len == 0)
        complain_at(sl, node_child(sl->schema.root, SPAN("audit"))->place,
                    "audit.capture needs audit.file: captures are kept beside it");
    for (size_t i = 0; i < top->audit.record.count; i++)
        audit->record |= audit_record_bit(top->audit.record.items[i]);
}

/* ---- lists ---- */

static void load_store(struct site_load *sl, const struct top_conf *top,
                       const struct node *root)
{
    const struct node *node = node_child(root, SPAN("store"));
    struct complaint complaint = { .schema = &sl->schema,
                                   .place = node != NULL ? node->place : (struct place){ 0 },
                                   .option = "store" };

    memcpy(sl->config->kept_key, sl->config->boot_key, sizeof(sl->config->kept_key));
    sl->config->snapshot = top->store.snapshot.text;
    if (sl->config->snapshot.len > 0 &&
        !store_kept_key(sl->config->snapshot, sl->config->kept_key))
        diag_add(sl->load->diags, SEVERITY_WARNING, DIAG_FILE, complaint.place,
                 SPAN("this machine has no /etc/machine-id: quotas will not survive a restart"),
                 SPAN(""));
    sl->config->store = store_open(&top->store, sl->load->arena, &complaint);
}

static void complain_of_list(struct site_load *sl, const struct list_conf *list,
                             struct place place, const struct listfile_problem *problem)
{
    struct text message = text_growing(sl->load->arena, 256);
    text_lit(&message, "cannot use ");
    text_add(&message, list->file.text);
    text_lit(&message, ": ");
    if (problem->line > 0) {
        text_lit(&message, "line ");
        text_uint(&message, problem->line);
        text_lit(&message, ": ");
    }
    text_add(&message, span_text(problem->why));
    diag_add(sl->load->diags, SEVERITY_ERROR, DIAG_FILE, place, text_span(&message), SPAN(""));
}

static struct addrlist_entries inline_entries(const struct list_conf *list,
                                              struct arena *scratch)
{
    struct addrlist_entries entries = {
        .items = arena_array(scratch, struct addrlist_entry, list->ips.count + 1),
    };
    for (size_t i = 0; entries.items != NULL && i < list->ips.count; i++)
        entries.items[entries.count++] =
            (struct addrlist_entry){ .cidr = list->ips.items[i], .reason = list->reason };
    return entries;
}

/* Text and entries are large, and go when the block is made: workers would inherit them. */
static void build_list(struct site_load *sl, struct list_conf *list, struct place place)
{
    struct listfile_problem problem = { .why = NULL };
    struct listfile_how how = { .format = (enum listfile_format)list->format,
                                .reason = list->reason };
    struct addrlist_entries entries;
    struct clock clock;
    struct arena scratch;
    struct file file;

    clock_read(&clock);
    how.now_s = (uint32_t)(clock.wall_us / 1000000u);
    arena_init(&scratch, NULL, 0, NULL, LIST_SCRATCH_MAX);
    if (list->file.text.len > 0) {
        problem.why = file_read(list->file.text.p, LISTFILE_BYTES_MAX, &scratch, &file);
        if (problem.why == NULL &&
            listfile_read(file.text, &how, &scratch, &entries, &problem) == OK)
            listguard_without(&entries, &list->without);
    } else {
        entries = inline_entries(list, &scratch);
    }
    if (problem.why == NULL && addrlist_build(entries.items, entries.count, how.now_s,
                                              sl->load->arena, &list->built) != OK)
        problem.why = "it is too large";
    if (problem.why != NULL)
        complain_of_list(sl, list, place, &problem);
    arena_reset(&scratch);
}

/* As the list is now: the steward's last snapshot, or what was there at load. */
static bool list_why(const struct config *config, struct worker *worker, int list,
                     const struct addr *addr, struct list_hit *hit)
{
    const struct snapshots *snapshots = worker->snapshots;
    struct span block =
        snapshots != NULL ? snapshot_get(snapshots, (uint32_t)list) : config->lists[list].built;

    hit->list = config->lists[list].name;
    return list_find(block, worker, addr, &hit->what);
}

static bool list_contains(const struct config *config, struct worker *worker, int list,
                          const struct addr *addr)
{
    struct list_hit hit;
    return list_why(config, worker, list, addr, &hit);
}

static struct place place_of_list(const struct node *root, const struct list_conf *list)
{
    const struct node *node = node_child(root, SPAN("lists"));
    const struct node *child = node_child(node, list->name);
    return child != NULL ? child->place : node->place;
}

/* When all stages are known: what feeds may not do (geoip/listguard.h). */
static void guard_lists(struct site_load *sl, const struct node *root)
{
    struct config *config = sl->config;
    for (size_t i = 0; i < config->server.trusted_proxies.count; i++)
        config_spare(config, &config->server.trusted_proxies.items[i]);
    for (size_t i = 0; i < config->list_count; i++) {
        const struct list_conf *list = &config->lists[i];
        size_t spared = config->spared_count < SPARED_MAX ? config->spared_count : SPARED_MAX;
        struct listguard guard = { .max_cover = (unsigned)list->max_cover,
                                   .max_shrink = 100,
                                   .spared = { config->spared, list->denies ? spared : 0 } };
        struct text message = text_growing(sl->load->arena, 256);
        char buffer[256];
        struct text detail = text_fixed(buffer, sizeof(buffer));
        if (list->file.text.len == 0)
            continue;
        const char *why = listguard_refuses(&guard, list->built, 0, 0, &detail);
        if (why == NULL)
            continue;
        text_lit(&message, "cannot use ");
        text_add(&message, list->file.text);
        text_lit(&message, ": ");
        text_add(&message, span_text(why));
        text_lit(&message, " (");
        text_add(&message, text_span(&detail));
        text_lit(&message, ")");
        diag_add(sl->load->diags, SEVERITY_ERROR, DIAG_FILE, place_of_list(root, list),
                 text_span(&message), SPAN("see `without` and `max_cover` of the list"));
    }
    if (config->spared_count > SPARED_MAX)
        diag_add(sl->load->diags, SEVERITY_WARNING, DIAG_VALUE, root->place,
                 SPAN("more than 256 prefixes are allowed or trusted: lists are checked for "
                      "the first 256 only"),
                 SPAN(""));
}

static void load_lists(struct site_load *sl, const struct top_conf *top,
                       const struct node *root)
{
    struct config *config = sl->config;
    const struct list_item *items = top->lists.items;
    const struct node *node = node_child(root, SPAN("lists"));

    size_t watched = 0, feeds = 0;
    config->list_contains = list_contains;
    config->list_why = list_why;
    config->lists =
        arena_array(sl->load->arena, struct list_conf, top->lists.count + CROWDSEC_LISTS + 1);
    if (config->lists == NULL)
        return;
    for (size_t i = 0; i < top->lists.count; i++) {
        struct list_conf *list = &config->lists[config->list_count++];
        const struct node *child = node_child(node, items[i].map.key);
        *list = (struct list_conf){ .name = items[i].map.key,
                                    .ips = items[i].ips,
                                    .file = items[i].file,
                                    .watch = items[i].watch,
                                    .format = items[i].format,
                                    .reason = items[i].reason,
                                    .without = items[i].without,
                                    .max_cover = items[i].max_cover,
                                    .max_shrink = items[i].max_shrink,
                                    .url = items[i].url,
                                    .ca = items[i].ca,
                                    .refresh_ms = (uint64_t)items[i].refresh.ms,
                                    .max_age_ms = (uint64_t)items[i].max_age.ms,
                                    .max_bytes = items[i].max_bytes,
                                    .allow_private = items[i].allow_private };
        feeds += load_feed(sl, list, child != NULL ? child->place : node->place);
        build_list(sl, list, child != NULL ? child->place : node->place);
        watched += list->url.len > 0 || (list->watch && list->file.text.len > 0);
    }
    if (feeds > FEEDS_MAX)
        complain_at(sl, node->place, "more than 16 lists have a url");
    if (watched > WATCHED_LISTS_MAX)
        complain_at(sl, node->place, "more than 256 lists are watched");
}

/* ---- geo databases ---- */

static void complain_of_file(struct site_load *sl, struct span path, struct place place,
                             const char *why)
{
    struct text message = text_growing(sl->load->arena, 256);
    text_lit(&message, "cannot use ");
    text_add(&message, path);
    text_lit(&message, ": ");
    text_add(&message, span_text(why));
    diag_add(sl->load->diags, SEVERITY_ERROR, DIAG_FILE, place, text_span(&message), SPAN(""));
}

static void load_geo(struct site_load *sl, const struct top_conf *top, const struct node *root)
{
    const struct {
        const char *name;
        const struct path *path;
    } keys[] = { { "country", &top->geoip.country },
                 { "city", &top->geoip.city },
                 { "asn", &top->geoip.asn } };
    struct config *config = sl->config;
    const struct node *node = node_child(root, SPAN("geoip"));

    _Static_assert(ARRAY_LEN(keys) == GEO_DATABASES_MAX, "a database a key");
    for (size_t i = 0; i < ARRAY_LEN(keys); i++) {
        struct file file = { 0 };
        if (keys[i].path->text.len == 0)
            continue;
        const struct node *child = node_child(node, span_text(keys[i].name));
        const char *why =
            file_read(keys[i].path->text.p, GEOFILE_BYTES_MAX, sl->load->arena, &file);
        if (why == NULL)
            why = geofile_verify(file.text);
        if (why != NULL) {
            complain_of_file(sl, keys[i].path->text, child != NULL ? child->place : root->place,
                             why);
            continue;
        }
        config->geo[config->geo_count++] =
            (struct geo_conf){ keys[i].name, keys[i].path->text, .bytes = file.text,
                               .seen = file.stat };
    }
    if (config->geo_count > 0)
        config->geo_lookup = geo_look_up;
}

/* ---- the whole ---- */

/* Upper bounds of what sites can make, so that arrays need not grow while pointers into them
 * are held. */
static bool size_arrays(struct site_load *sl, const struct node *sites)
{
    struct config *config = sl->config;
    size_t levels = 1, count = 0;

    for (const struct node *site = sites->child; site != NULL; site = site->next) {
        const struct node *routes = node_child(site, SPAN("routes"));
        levels += 1 + (routes != NULL ? routes->count : 0);
    }
    while (stages[count] != NULL)
        count++;
    sl->upstream_max = levels;
    sl->instance_max = (levels + 1) * count; /* one level more: `connect` */
    config->upstreams = arena_array(sl->load->arena, struct upstream, levels);
    config->instances = arena_array(sl->load->arena, struct stage_instance, sl->instance_max);
    config->sites = arena_array(sl->load->arena, struct site, sites->count + 1);
    sl->tls_sites = arena_array(sl->load->arena, struct tls_site, sites->count + 1);
    size_t hosts = 16;
    for (const struct node *site = sites->child; site != NULL; site = site->next) {
        const struct node *host = node_child(site, SPAN("host"));
        hosts += 1 + (host != NULL ? host->count : 0);
    }
    return config->upstreams != NULL && config->instances != NULL && config->sites != NULL &&
           sl->tls_sites != NULL && table_init(&config->hosts, sl->load->arena, hosts) == OK;
}

static void free_tls(void *server)
{
    tls_server_free(server);
}

static void load_tls(struct site_load *sl)
{
    struct config *config = sl->config;
    struct span why = { 0 };

    if (config->server.https.count == 0)
        return;
    if (sl->tls_count == 0) {
        const struct node *listen =
            node_child(node_child(sl->schema.root, SPAN("server")), SPAN("listen"));
        const struct node *https = node_child(listen, SPAN("https"));
        diag_add(sl->load->diags, SEVERITY_ERROR, DIAG_CONFLICT,
                 https != NULL ? https->place : (struct place){ 0 },
                 SPAN("https is listened on, but no site has a certificate"), SPAN(""));
        return;
    }
    config->tls = tls_server_new(sl->tls_sites, sl->tls_count, sl->load->ticket_keys,
                                 sl->load->arena, &why);
    if (config->tls != NULL && config->server.http2 == 0)
        tls_server_offer_http2(config->tls);
    if (config->tls == NULL)
        diag_add(sl->load->diags, SEVERITY_ERROR, DIAG_VALUE, (struct place){ 0 }, why,
                 SPAN(""));
    else if (!arena_defer(sl->load->arena, free_tls, config->tls))
        complain_at(sl, (struct place){ 0 }, "out of memory");
}

/* The configuration's name in records: a hash over what it says, includes and substitutions
 * done. */
static void hash_node(EVP_MD_CTX *ctx, const struct node *node)
{
    for (; node != NULL; node = node->next) {
        unsigned char kind = (unsigned char)node->kind;
        if (node->key != NULL)
            (void)EVP_DigestUpdate(ctx, node->key->text.p, node->key->text.len);
        (void)EVP_DigestUpdate(ctx, &kind, 1);
        if (node->kind == NODE_SCALAR)
            (void)EVP_DigestUpdate(ctx, node->text.p, node->text.len);
        hash_node(ctx, node->kind == NODE_SCALAR ? NULL : node->child);
        (void)EVP_DigestUpdate(ctx, "\n", 1);
    }
}

static struct span hash_of(const struct node *root, struct arena *arena)
{
    unsigned char digest[EVP_MAX_MD_SIZE];
    unsigned len = 0;
    char hex[2 * EVP_MAX_MD_SIZE];
    struct text out = text_fixed(hex, sizeof hex);
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();

    if (ctx == NULL)
        return SPAN("");
    if (EVP_DigestInit_ex(ctx, EVP_sha256(), NULL) == 1) {
        hash_node(ctx, root);
        (void)EVP_DigestFinal_ex(ctx, digest, &len);
    }
    EVP_MD_CTX_free(ctx);
    text_hex(&out, digest, len < 16 ? len : 16);
    return arena_copy(arena, text_span(&out));
}

static void load_root(struct site_load *sl, const struct node *root, const char *path)
{
    struct config *config = sl->config;
    struct top_conf *top = arena_new(sl->load->arena, struct top_conf);
    struct section section = { top_rows, top };
    const struct node *sites = node_child(root, SPAN("sites"));

    if (top == NULL) {
        complain_at(sl, (struct place){ 0 }, "out of memory");
        return;
    }
    sl->schema.root = root;
    schema_defaults(&sl->schema, top_rows, top);
    schema_apply(&sl->schema, root,
                 &(struct shape){ .what = "the configuration",
                                  .sections = &section,
                                  .count = 1,
                                  .also = top_keys,
                                  .complete = true });
    config->top = top;
    config->server = top->server;
    config->hash = hash_of(root, sl->load->arena);
    default_control(sl, path);
    default_cache(sl);
    load_acme(sl, top, sites != NULL ? sites->count : 0);
    load_acme_listen(sl);
    load_listen(sl);
    load_audit(sl, top);
    load_store(sl, top, root);
    load_lists(sl, top, root);
    load_crowdsec(sl, top);
    load_geo(sl, top, root);
    if (sites != NULL && sites->kind != NODE_LIST) {
        diag_add(sl->load->diags, SEVERITY_ERROR, DIAG_TYPE, sites->place,
                 SPAN("sites is a list: each site begins with \"- host:\""), SPAN(""));
        return;
    }
    if (sites == NULL || sites->count == 0) {
        complain_at(sl, root->place,
                    "there are no sites: set sites to a list with host and upstream");
        return;
    }
    if (!size_arrays(sl, sites)) {
        complain_at(sl, (struct place){ 0 }, "out of memory");
        return;
    }
    struct expr_scope scope = scope_make(config);
    sl->schema.scope = &scope;
    struct level defaults;
    load_defaults(sl, node_child(root, SPAN("defaults")), &defaults);
    load_connect(sl, node_child(root, SPAN("connect")));
    load_sites(sl, sites, &defaults);
    load_tls(sl);
    load_acme_end(sl);
    guard_lists(sl, root);
    sl->schema.scope = NULL;
}

/* For `check`, which shares with nobody: zeroed pages, as shared memory would be; gone with the
 * process. */
static void *private_memory(struct setup *setup, const char *name, uint32_t layout, size_t size)
{
    (void)setup;
    (void)name;
    (void)layout;
    void *p = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    return p != MAP_FAILED ? p : NULL;
}

static struct config *load_tree(struct load *load, const struct node *root, const char *path)
{
    struct config *config = arena_new(load->arena, struct config);
    struct site_load sl = {
        .load = load,
        .schema = { .arena = load->arena, .diags = load->diags },
        .config = config,
    };

    if (root == NULL || config == NULL)
        return NULL;
    if (load->shared == NULL)
        load->shared = private_memory;
    config->arena = load->arena;
    if (load->boot_key != NULL)
        memcpy(config->boot_key, load->boot_key, sizeof config->boot_key);
    else
        random_bytes(config->boot_key, sizeof config->boot_key);
    load_root(&sl, root, path);
    return load->diags->errors == 0 ? config : NULL;
}

struct config *load_file(struct load *load, const char *path)
{
    return load_tree(load, yaml_load_watched(path, load->arena, load->diags, load->watch),
                     path);
}

struct config *load_protect(struct load *load, const char *url)
{
    struct text out = text_growing(load->arena, 512);

    text_lit(&out, "version: 1\nserver: {listen: {http: \"127.0.0.1:8080\"}}\n"
                   "sites:\n  - host: \"*\"\n    upstream: \"");
    for (const char *p = url; *p != '\0'; p++) {
        if (*p == '"' || *p == '\\' || (unsigned char)*p < 0x20)
            return NULL;
        text_char(&out, *p);
    }
    text_lit(&out, "\"\n");
    return load_tree(
        load, yaml_load_text(text_span(&out), "--protect", load->arena, load->diags), NULL);
}
