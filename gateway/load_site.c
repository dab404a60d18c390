/*
 * Sites, routes, inheritance. A level starts as a copy of its parent; what its node says is
 * applied over it. A stage is opened (files read, patterns compiled) once per place in the file
 * that says something about it, however many routes inherit that.
 */
#include "gateway/load_site.h"

#include "gateway/chain/pattern.h"
#include "gateway/chain/template.h"
#include "gateway/http/chars.h"
#include "gateway/http/idn.h"
#include "gateway/http/uri.h"
#include "gateway/net/certs.h"
#include "gateway/stages.h"

static bool span_printable(struct span text)
{
    return text.len == 0 || scan_word(text.p, span_end(text)) == span_end(text);
}

static const char *const level_keys[] = { "upstream", "routes", "name", NULL };

static void warn(struct site_load *sl, enum diag_code code, struct place place,
                 struct span message)
{
    diag_add(sl->load->diags, SEVERITY_WARNING, code, place, message, SPAN(""));
}

static void conflict(struct site_load *sl, struct place place, struct span message)
{
    diag_add(sl->load->diags, SEVERITY_ERROR, DIAG_CONFLICT, place, message, SPAN(""));
}

/* ---- levels ---- */

/* Names that servers are found by are numbered over all upstreams. */
static bool note_names(struct site_load *sl, struct upstream *upstream, struct place place)
{
    struct config *config = sl->config;

    if (config->discoveries == NULL && upstream->discovers)
        config->discoveries = load_need(
            sl, arena_array(sl->load->arena, const struct discovery *, DISCOVERIES_MAX));
    if (config->discoveries == NULL)
        return !upstream->discovers;
    for (size_t i = 0; i < upstream->server_count; i++) {
        struct discovery *discovery = upstream->servers[i].discovery;
        if (discovery == NULL || upstream->servers[i].slot > 0)
            continue;
        if (config->discovery_count == DISCOVERIES_MAX) {
            struct complaint complaint = load_complaint(sl, place, "upstream");
            complain(&complaint, SEVERITY_ERROR, "servers are found by no more than %d names",
                     DISCOVERIES_MAX);
            return false;
        }
        discovery->index = (uint32_t)config->discovery_count;
        config->discoveries[config->discovery_count++] = discovery;
    }
    return true;
}

static void apply_upstream(struct site_load *sl, const struct node *node, struct level *level)
{
    const struct node *child = node_child(node, SPAN("upstream"));
    struct config *config = sl->config;

    if (child == NULL)
        return;
    unsigned errors = sl->load->diags->errors;
    struct section section = { upstream_options, &level->upstream_conf };
    schema_apply(&sl->schema, child,
                 &(struct shape){
                     .what = "upstream", .sections = &section, .count = 1, .complete = true });
    level->has_upstream = true;
    if (sl->load->diags->errors != errors)
        return;
    INVARIANT(config->upstream_count < sl->upstream_max);
    struct upstream *upstream = &config->upstreams[config->upstream_count];
    struct complaint complaint = load_complaint(sl, child->place, "upstream");
    if (upstream_open(upstream, &level->upstream_conf, sl->load->arena, &complaint) != OK)
        return;
    if (!note_names(sl, upstream, child->place))
        return;
    upstream->index = (unsigned)config->upstream_count++;
    level->upstream = upstream;
}

/* Keys that are read by hand, for schema_apply to pass over: the stages' and the structure's.
 */
static const char *const *hand_keys(void)
{
    static const char *keys[STAGES_MAX + ARRAY_LEN(level_keys) + 1];
    size_t n = 0;

    for (size_t i = 0; level_keys[i] != NULL; i++)
        keys[n++] = level_keys[i];
    for (size_t i = 0; stages[i] != NULL; i++)
        if (stages[i]->with == NULL)
            keys[n++] = stages[i]->name;
    keys[n] = NULL;
    return keys;
}

static void apply_level(struct site_load *sl, const struct node *node, const char *what,
                        struct level *level, const struct option *own_rows, void *own)
{
    struct section sections[] = { { settings_rows, &level->settings }, { own_rows, own } };

    schema_apply(&sl->schema, node,
                 &(struct shape){ .what = what,
                                  .sections = sections,
                                  .count = own_rows != NULL ? 2 : 1,
                                  .also = hand_keys(),
                                  .complete = true });
    apply_upstream(sl, node, level);
}

void load_defaults(struct site_load *sl, const struct node *defaults, struct level *level)
{
    *level = (struct level){ 0 };
    schema_defaults(&sl->schema, settings_rows, &level->settings);
    schema_defaults(&sl->schema, upstream_options, &level->upstream_conf);
    for (size_t i = 0; stages[i] != NULL; i++) {
        INVARIANT(i < STAGES_MAX);
        if (stages[i]->with == NULL)
            level->slots[i] = load_slot(sl, stages[i], NULL);
    }
    if (defaults == NULL)
        return;
    apply_level(sl, defaults, "defaults", level, NULL, NULL);
    load_stages(sl, defaults, level, NULL, NULL);
}

/* ---- routes ---- */

static void set_methods(struct site_load *sl, struct route *route,
                        const struct route_conf *conf, struct place place)
{
    for (size_t i = 0; i < conf->methods.count; i++) {
        enum method method = method_of(conf->methods.items[i]);
        if (method == METHOD_OTHER) {
            struct complaint complaint = load_complaint(sl, place, "methods");
            complain(&complaint, SEVERITY_ERROR, "unknown method \"%.*s\"",
                     (int)conf->methods.items[i].len, conf->methods.items[i].p);
        }
        route->methods |= 1u << method;
    }
}

static struct template *load_template(struct site_load *sl, const struct route *route,
                                      struct span text, struct place place, const char *option)
{
    struct template *template = load_need(sl, arena_new(sl->load->arena, struct template));
    struct complaint complaint = load_complaint(sl, place, option);
    const char *why = NULL;

    if (template == NULL)
        return NULL;
    if (template_parse(template, text, sl->load->arena, &why)) {
        unsigned groups = route->pattern == 0
                              ? 0
                              : pattern_groups(sl->config->patterns, (int)route->pattern - 1);
        if (template->groups > groups)
            complain(
                &complaint, SEVERITY_ERROR,
                "the route's path has no group {%u}: a path with groups is ~ and a regular "
                "expression with parentheses",
                template->groups);
        return template;
    }
    complain(&complaint, SEVERITY_ERROR, "%s", why);
    return NULL;
}

/* A prefix as it stands on the wire: canonical, without a slash at the end. */
static struct span load_prefix(struct site_load *sl, struct span text, struct place place,
                               const char *option)
{
    struct complaint complaint = load_complaint(sl, place, option);
    struct uri uri = { 0 };

    if (text.len == 0)
        return text;
    if (text.p[0] != '/' || span_index(text, '?') >= 0 ||
        uri_parse(&uri, text, METHOD_GET, false, sl->load->arena) != HTTP_OK) {
        complain(&complaint, SEVERITY_ERROR, "a prefix is a path: /api");
        return span_of(NULL, 0);
    }
    while (uri.path_wire.len > 0 && uri.path_wire.p[uri.path_wire.len - 1] == '/')
        uri.path_wire.len--;
    return uri.path_wire;
}

static void set_rewrite(struct site_load *sl, struct route *route, const struct level *level,
                        struct place place)
{
    struct rewrite *rewrite = &route->rewrite;
    struct span path = level->settings.rewrite.path, query = level->settings.rewrite.query;

    rewrite->strip =
        load_prefix(sl, level->settings.rewrite.strip_prefix, place, "rewrite.strip_prefix");
    rewrite->add =
        load_prefix(sl, level->settings.rewrite.add_prefix, place, "rewrite.add_prefix");
    if (path.p != NULL && path.len > 0)
        rewrite->path = load_template(sl, route, path, place, "rewrite.path");
    if (query.p != NULL)
        rewrite->query = load_template(sl, route, query, place, "rewrite.query");
    /* What is literal is checked here; the parts of a request are canonical. */
    struct complaint complaint = load_complaint(sl, place, "rewrite");
    if ((path.len > 0 && !span_starts(path, SPAN("/")) && !span_starts(path, SPAN("{path}"))) ||
        !span_printable(path) || !span_printable(query))
        complain(&complaint, SEVERITY_ERROR,
                 "a path begins with / or {path}, and neither it nor a query has spaces");
}

static void set_path(struct site_load *sl, struct route *route, const struct route_conf *conf,
                     struct place place)
{
    struct complaint complaint = load_complaint(sl, place, "path");
    struct span why = { 0 };

    if (conf->path.len == 0)
        return;
    if (conf->path.p[0] != '~') {
        if (!path_pattern_parse(conf->path, &route->path))
            complain(&complaint, SEVERITY_ERROR,
                     "a path starts with / and has ** only at its end, or is ~ and a regular "
                     "expression");
        return;
    }
    struct span text = span_sub(conf->path, 1, conf->path.len);
    const struct expr_scope *scope = sl->schema.scope;
    int id = scope->pattern(scope->owner, text, sl->load->arena, &why);
    if (id < 0)
        complain(&complaint, SEVERITY_ERROR, "%.*s", (int)why.len, why.p);
    route->path.text = conf->path;
    route->pattern = (unsigned)(id + 1);
}

static void set_handler(struct site_load *sl, struct route *route,
                        const struct route_conf *conf, const struct level *level,
                        struct place place)
{
    route->upstream = level->upstream;
    route->handler = level->has_upstream ? HANDLER_UPSTREAM : HANDLER_NONE;
    if (conf->respond.status != 0) {
        route->handler = HANDLER_RESPOND;
        route->respond_status = (int)conf->respond.status;
        route->respond_body = conf->respond.body;
        route->respond_type = conf->respond.type;
    }
    if (conf->respond.status != 0 && conf->redirect.to.len > 0)
        conflict(sl, place, SPAN("a route either responds or redirects"));
    if (conf->redirect.to.len > 0) {
        route->handler = HANDLER_REDIRECT;
        route->redirect_to = conf->redirect.to;
        route->redirect = load_template(sl, route, conf->redirect.to, place, "redirect.to");
        route->redirect_status = (int)conf->redirect.status;
    }
    /* After another error this would often be its echo: a misspelt `upstream`, say. */
    if (route->handler == HANDLER_NONE && sl->load->diags->errors == 0) {
        struct complaint complaint = load_complaint(sl, place, "upstream");
        complain(&complaint, SEVERITY_ERROR,
                 "there is nowhere to send requests: set upstream, respond or redirect");
    }
}

static void finish_route(struct site_load *sl, struct route *route, const struct level *level)
{
    struct level *kept = load_need(sl, arena_new(sl->load->arena, struct level));

    if (kept == NULL)
        return;
    *kept = *level;
    route->level = kept;
    route->body_policy = level->settings.body;
    route->preserve_encoded = level->settings.preserve_encoded;
    route->websocket = level->settings.websocket;
    route->keep_fields = level->settings.keep_fields;
    route->compress = load_compress(sl, &level->settings);
    sl->config->preserve_encoded |= route->preserve_encoded;
    load_chain(sl, route, level, false);
}

/* The first match wins: behind a route that takes the same path, or all, nothing arrives. */
static void warn_if_unreachable(struct site_load *sl, const struct site *site,
                                const struct route *route, struct place place)
{
    for (const struct route *before = site->routes; before < route; before++) {
        bool all = before->path.below && before->path.prefix.len == 0;
        bool same = span_equal(before->path.text, route->path.text);
        if (before->when != NULL || before->withheld > 0 || before->pattern != 0)
            continue;
        bool methods = before->methods == 0 ||
                       (route->methods != 0 && (route->methods & ~before->methods) == 0);
        if (!methods || !(all || same))
            continue;
        warn(sl, DIAG_UNREACHABLE, place,
             SPAN("no request gets here: a route before it takes them all"));
        return;
    }
}

static void load_route(struct site_load *sl, const struct node *node, const struct site *site,
                       const struct level *parent, struct route *route)
{
    struct level level = *parent;
    struct route_conf conf = { 0 };

    schema_defaults(&sl->schema, route_rows, &conf);
    apply_level(sl, node, "route", &level, route_rows, &conf);
    set_path(sl, route, &conf, node->place);
    route->when = conf.when;
    route->withheld = (unsigned)(100 - conf.share);
    route->name = arena_cstring(sl->load->arena, conf.path);
    route->site = site;
    load_stages(sl, node, &level, site->name, route->name);
    set_methods(sl, route, &conf, node->place);
    set_handler(sl, route, &conf, &level, node->place);
    set_rewrite(sl, route, &level, node->place);
    warn_if_unreachable(sl, site, route, node->place);
    finish_route(sl, route, &level);
}

/* Every site has a last route that takes what no other did. */
static void default_route(struct site_load *sl, const struct node *node,
                          const struct site *site, const struct level *level,
                          struct route *route)
{
    bool parsed = path_pattern_parse(SPAN("/**"), &route->path);

    INVARIANT(parsed);
    route->name = "default";
    route->site = site;
    route->upstream = level->upstream;
    route->handler = level->has_upstream ? HANDLER_UPSTREAM : HANDLER_NONE;
    set_rewrite(sl, route, level, node->place);
    if (!level->has_upstream && node_child(node, SPAN("routes")) == NULL &&
        sl->load->diags->errors == 0) {
        struct complaint complaint = load_complaint(sl, node->place, "upstream");
        complain(&complaint, SEVERITY_ERROR, "a site needs an upstream, or routes");
    }
    finish_route(sl, route, level);
}

static void load_routes(struct site_load *sl, const struct node *node, struct site *site,
                        const struct level *level)
{
    const struct node *list = node_child(node, SPAN("routes"));
    size_t count = list != NULL && list->kind == NODE_LIST ? list->count : 0;

    if (list != NULL && list->kind != NODE_LIST) {
        struct complaint complaint = load_complaint(sl, list->place, "routes");
        complain(&complaint, SEVERITY_ERROR, "routes is a list");
    }
    /* Pages come in front, and are known last. */
    site->room =
        load_need(sl, arena_array(sl->load->arena, struct route, PAGES_MAX + count + 1));
    if (site->room == NULL)
        return;
    site->routes = site->room + PAGES_MAX;
    const struct node *child = count > 0 ? list->child : NULL;
    for (; child != NULL; child = child->next)
        load_route(sl, child, site, level, &site->routes[site->route_count++]);
    default_route(sl, node, site, level, &site->routes[site->route_count]);
    site->route_count++;
    load_pages(sl, site, level);
}

/* ---- sites ---- */

/*
 * In the one spelling that requests have (authority_parse): under any other no request would
 * ever get there, but to the site for any host, which may ask for less.
 */
static bool host_read(struct arena *arena, struct span text, struct span *host,
                      const char **why)
{
    *why = idn_to_ascii(text, arena, &text);
    if (*why != NULL)
        return false;
    *why = "a host is a name, *.name or an address, without a port";
    bool wildcard = span_starts(text, SPAN("*."));
    struct span name = wildcard ? span_sub(text, 2, text.len) : text, parsed;
    uint16_t port;

    if (authority_parse(name, arena, &parsed, &port) != HTTP_OK || port != 0)
        return false;
    if (wildcard && parsed.p[0] == '[')
        return false;
    struct text whole = text_growing(arena, parsed.len + 2);
    text_add(&whole, wildcard ? SPAN("*.") : SPAN(""));
    text_add(&whole, parsed);
    *host = text_span(&whole);
    return !whole.overflow;
}

static void set_hosts(struct site_load *sl, struct site *site, const struct site_conf *conf,
                      struct place place)
{
    struct arena *arena = sl->load->arena;

    site->hosts = load_need(sl, arena_array(arena, struct span, conf->host.count + 1));
    for (size_t i = 0; site->hosts != NULL && i < conf->host.count; i++) {
        struct span host = conf->host.items[i];
        struct complaint complaint = load_complaint(sl, place, "host");
        const char *said = load_need(sl, arena_cstring(arena, host));
        if (said == NULL)
            return;
        bool any = span_equal(host, SPAN("*"));
        const char *why = NULL;
        if (!any && !host_read(arena, host, &host, &why)) {
            complain(&complaint, SEVERITY_ERROR, "\"%s\" is no host: %s", said, why);
            continue;
        }
        site->hosts[site->host_count++] = host;
        if (any) {
            if (sl->config->any != NULL)
                conflict(sl, place, SPAN("two sites answer to any host"));
            sl->config->any = site;
        } else if (!span_starts(host, SPAN("*.")) &&
                   table_put(&sl->config->hosts, host, site) == ERR_DUPLICATE) {
            complain(&complaint, SEVERITY_ERROR, "two sites answer to \"%s\"", said);
        }
    }
}

/* Certificates are tried on their own, so that what is wrong has its place in the file, and is
 * found even while nothing listens for HTTPS. */
static void try_tls(struct site_load *sl, const struct tls_site *site, const struct node *node)
{
    const struct node *tls = node_child(node, SPAN("tls"));
    struct span why = { 0 };
    struct tls_server *server = tls_server_new(site, 1, NULL, sl->load->arena, &why);

    if (server == NULL)
        diag_add(sl->load->diags, SEVERITY_ERROR, DIAG_FILE,
                 tls != NULL ? tls->place : node->place, why, SPAN(""));
    else
        tls_server_free(server);
}

static void set_tls(struct site_load *sl, struct site *site, const struct site_conf *conf,
                    const struct node *node)
{
    bool cert = conf->tls.cert.text.len > 0, key = conf->tls.key.text.len > 0;
    struct span bundle = { NULL, 0 };
    struct text name = text_growing(sl->load->arena, 64);
    bool client = conf->tls.client_cert.ca.text.len > 0;

    site->tls_site = -1;
    if (!cert && !key && (!sl->acme || conf->acme != 0))
        return;
    if (!cert && !key) {
        text_lit(&name, "acme:");
        text_add(&name, span_text(site->name));
        if (!load_acme_site(sl, site, node->place, &bundle) || text_cstring(&name) == NULL)
            return;
    } else if (!cert || !key) {
        struct complaint complaint = load_complaint(sl, node->place, "tls");
        complain(&complaint, SEVERITY_ERROR, "tls needs both cert and key");
        return;
    }
    site->tls = true;
    site->tls_site = (int)sl->tls_count;
    site->client_cert_required = client && conf->tls.client_cert.require == TLS_VERIFY_REQUIRE;
    sl->tls_sites[sl->tls_count++] = (struct tls_site){
        .hosts = site->hosts,
        .host_count = site->host_count,
        .cert = cert ? conf->tls.cert.text : text_span(&name),
        .key = conf->tls.key.text,
        .bundle = bundle,
        .staple = cert ? conf->tls.ocsp.text : SPAN(""),
        .client_ca = conf->tls.client_cert.ca.text,
        .client_crl = conf->tls.client_cert.crl.text,
        .verify = client ? (enum tls_verify)conf->tls.client_cert.require : TLS_VERIFY_OFF,
        .profile = (enum tls_profile)conf->tls.profile,
        .tickets = conf->tls.tickets,
    };
    try_tls(sl, &sl->tls_sites[sl->tls_count - 1], node);
}

static void load_site(struct site_load *sl, const struct node *node,
                      const struct level *defaults)
{
    struct site *site = &sl->config->sites[sl->config->site_count];
    struct level level = *defaults;
    struct site_conf *conf = load_need(sl, arena_new(sl->load->arena, struct site_conf));

    if (conf == NULL)
        return;
    schema_defaults(&sl->schema, site_rows, conf);
    apply_level(sl, node, "site", &level, site_rows, conf);
    if (conf->host.count == 0)
        return;
    site->conf = conf;
    struct span name = conf->name.len > 0 ? conf->name : conf->host.items[0];
    site->name = arena_cstring(sl->load->arena, name);
    sl->config->site_count++;
    set_hosts(sl, site, conf, node->place);
    set_tls(sl, site, conf, node);
    site->https_only = conf->https == HTTPS_REDIRECT ||
                       (conf->https == HTTPS_AUTO && site->tls && conf->tls.cert.text.len == 0);
    load_stages(sl, node, &level, site->name, NULL);
    load_routes(sl, node, site, &level);
}

void load_sites(struct site_load *sl, const struct node *sites, const struct level *defaults)
{
    for (const struct node *node = sites->child; node != NULL; node = node->next)
        load_site(sl, node, defaults);
}
