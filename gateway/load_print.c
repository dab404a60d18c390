/*
 * What a configuration says, for people: its values, each route's chain, and the tables of
 * options that the manual, the schema and `config explain` are made from.
 */
#include "conf/schema.h"
#include "gateway/base/json.h"
#include "gateway/chain/chain.h"
#include "gateway/load.h"
#include "gateway/load_site.h"
#include "gateway/stages.h"

enum { PARTS_MAX = 64 };

/* A stage's key stands below each of these. */
static const char stage_prefix[] = "sites.";

const struct manual_part *load_manual(size_t *count)
{
    static struct manual_part parts[PARTS_MAX];
    static char paths[PARTS_MAX][48];
    size_t n = 0;

    parts[n++] =
        (struct manual_part){ .path = "", .summary = "The whole file.", .rows = top_rows };
    parts[n++] =
        (struct manual_part){ .path = "sites",
                              .summary = "A site: names, and what happens to requests.",
                              .rows = site_rows,
                              .more = settings_rows,
                              .shape = MANUAL_LIST };
    parts[n++] = (struct manual_part){ .path = "sites.upstream",
                                       .summary = "Where requests go.",
                                       .rows = upstream_options };
    parts[n++] = (struct manual_part){
        .path = "sites.routes",
        .summary = "A part of a site, by path. First match wins; takes every key of a site but "
                   "name, host, tls and routes.",
        .rows = route_rows,
        .more = settings_rows,
        .shape = MANUAL_LIST,
        .like = "sites",
    };
    parts[n++] = (struct manual_part){ .path = "defaults",
                                       .summary = "What every site starts from.",
                                       .rows = settings_rows,
                                       .like = "sites" };
    parts[n++] = (struct manual_part){
        .path = "connect",
        .summary =
            "What is asked about a connection before TLS, whatever site it will be for. A "
            "denied one is closed without a word. Not about trusted proxies: behind them the "
            "client is known only by its request.",
    };
    for (size_t i = 0; stages[i] != NULL && n < PARTS_MAX; i++) {
        if (stages[i]->on[PHASE_CONNECT] == NULL)
            continue;
        struct text path = text_fixed(paths[n], sizeof paths[n]);
        text_lit(&path, "connect.");
        text_add(&path, span_text(stages[i]->name));
        parts[n] = (struct manual_part){ .path = text_cstring(&path),
                                         .summary = stages[i]->summary,
                                         .rows = stages[i]->options,
                                         .more = stage_common_rows(stages[i]) };
        n++;
    }
    for (size_t i = 0; stages[i] != NULL && n < PARTS_MAX; i++) {
        if (stages[i]->with != NULL)
            continue;
        struct text path = text_fixed(paths[n], sizeof paths[n]);
        text_add(&path, span_text(stage_prefix));
        text_add(&path, span_text(stages[i]->name));
        parts[n] = (struct manual_part){ .path = text_cstring(&path),
                                         .summary = stages[i]->summary,
                                         .rows = stages[i]->options,
                                         .more = stage_common_rows(stages[i]) };
        n++;
    }
    *count = n;
    return parts;
}

/* What holds for a route after all inheritance, stage by stage. */
static void print_level(struct text *out, const struct level *level, unsigned indent)
{
    schema_print(out, settings_rows, &level->settings, indent, false);
    if (level->has_upstream) {
        text_format(out, "%*supstream:\n", (int)indent, "");
        schema_print(out, upstream_options, &level->upstream_conf, indent + 2, false);
    }
    for (size_t i = 0; stages[i] != NULL; i++) {
        if (stages[i]->with != NULL)
            continue;
        text_format(out, "%*s%s:\n", (int)indent, "", stages[i]->name);
        schema_print(out, stage_common_rows(stages[i]), &level->slots[i]->common, indent + 2,
                     false);
        schema_print(out, stages[i]->options, level->slots[i]->raw, indent + 2, false);
    }
}

/* What is off or empty there is not said: it would come to the same. */
static void print_connect(struct text *out, const struct config *config)
{
    if (config->connect_count > 0)
        text_lit(out, "connect:\n");
    for (unsigned i = 0; i < config->connect_count; i++) {
        const struct stage_instance *stage = &config->connect[i];
        text_format(out, "  %s:\n", stage->type->name);
        schema_print(out, stage_common_rows(stage->type), stage->common, 4, false);
        schema_print(out, stage->type->options, stage->conf, 4, false);
    }
}

void load_print(struct text *out, const struct config *config)
{
    schema_print(out, top_rows, config->top, 0, false);
    print_connect(out, config);
    text_lit(out, "sites:\n");
    for (size_t i = 0; i < config->site_count; i++) {
        const struct site *site = &config->sites[i];
        const struct route *last = &site->routes[site->route_count - 1];
        size_t begin = out->len;
        schema_print(out, site_rows, site->conf, 4, false);
        if (!out->overflow)
            out->p[begin + 2] = '-'; /* an item of the list begins at its first key */
        print_level(out, last->level, 4);
        bool first = true;
        for (size_t n = 0; n + 1 < site->route_count; n++) {
            if (site->routes[n].handler == HANDLER_INTERNAL)
                continue;
            if (first)
                text_lit(out, "    routes:\n");
            first = false;
            text_lit(out, "      - path: \"");
            text_add(out, span_text(site->routes[n].name));
            text_lit(out, "\"\n");
            print_level(out, site->routes[n].level, 8);
        }
    }
}

static const char *mode_name(enum mode mode)
{
    for (const struct choice *choice = mode_choices; choice->name != NULL; choice++) {
        if (choice->value == (int)mode)
            return choice->name;
    }
    return "";
}

static const char *const handler_names[] = {
    [HANDLER_UPSTREAM] = "upstream", [HANDLER_RESPOND] = "respond",
    [HANDLER_REDIRECT] = "redirect", [HANDLER_INTERNAL] = "internal",
    [HANDLER_NONE] = "404",
};

static void print_handler(struct text *out, const struct route *route)
{
    text_lit(out, "    -> ");
    text_add(out, span_text(handler_names[route->handler]));
    for (size_t i = 0; route->handler == HANDLER_UPSTREAM && i < route->upstream->server_count;
         i++) {
        text_char(out, ' ');
        text_add(out, route->upstream->servers[i].label);
    }
    if (route->handler == HANDLER_RESPOND) {
        text_char(out, ' ');
        text_int(out, route->respond_status);
    }
    if (route->handler == HANDLER_REDIRECT) {
        text_char(out, ' ');
        text_add(out, route->redirect_to);
    }
    text_char(out, '\n');
}

static void print_stage(struct text *out, const struct stage_instance *stage, enum phase phase)
{
    text_format(out, "    %-14s %-10s %-6s on_error: %s\n", phase_name(phase),
                stage->type->name, mode_name(stage->mode),
                stage->common->on_error == ON_ERROR_PASS ? "pass" : "deny");
}

static void print_route(struct text *out, const struct route *route)
{
    text_lit(out, "  route ");
    text_add(out, span_text(route->name));
    text_char(out, '\n');
    for (unsigned phase = 0; phase < PHASE_COUNT; phase++) {
        for (unsigned i = 0; i < route->chain_count[phase]; i++) {
            print_stage(out, &route->chain[phase][i], (enum phase)phase);
        }
    }
    print_handler(out, route);
}

void load_print_pipeline(struct text *out, const struct config *config)
{
    if (config->connect_count > 0)
        text_lit(out, "connections\n");
    for (unsigned i = 0; i < config->connect_count; i++)
        print_stage(out, &config->connect[i], PHASE_CONNECT);
    for (size_t i = 0; i < config->site_count; i++) {
        const struct site *site = &config->sites[i];
        text_lit(out, "site ");
        text_add(out, span_text(site->name));
        text_char(out, '\n');
        for (size_t n = 0; n < site->route_count; n++)
            print_route(out, &site->routes[n]);
    }
}

/* ---- the pipeline, for programs ---- */

static void put_stage(struct json *j, const struct stage_instance *stage, enum phase phase)
{
    json_begin_object(j, NULL);
    json_text(j, "phase", span_text(phase_name(phase)));
    json_text(j, "stage", span_text(stage->type->name));
    json_text(j, "mode", span_text(mode_name(stage->mode)));
    json_text(j, "on_error",
              stage->common->on_error == ON_ERROR_PASS ? SPAN("pass") : SPAN("deny"));
    json_end_object(j);
}

static void put_handler(struct json *j, const struct route *route)
{
    json_text(j, "handler", span_text(handler_names[route->handler]));
    if (route->handler == HANDLER_UPSTREAM) {
        json_begin_array(j, "servers");
        for (size_t i = 0; i < route->upstream->server_count; i++)
            json_text(j, NULL, route->upstream->servers[i].label);
        json_end_array(j);
    }
    if (route->handler == HANDLER_RESPOND)
        json_int(j, "status", route->respond_status);
    if (route->handler == HANDLER_REDIRECT)
        json_text(j, "to", route->redirect_to);
}

static void put_route(struct json *j, const struct route *route)
{
    json_begin_object(j, NULL);
    json_text(j, "path", span_text(route->name));
    json_begin_array(j, "stages");
    for (unsigned phase = 0; phase < PHASE_COUNT; phase++) {
        for (unsigned i = 0; i < route->chain_count[phase]; i++)
            put_stage(j, &route->chain[phase][i], (enum phase)phase);
    }
    json_end_array(j);
    put_handler(j, route);
    json_end_object(j);
}

void load_print_pipeline_json(struct text *out, const struct config *config)
{
    struct json j = json_writer(out);

    json_begin_object(&j, NULL);
    json_begin_array(&j, "connections");
    for (unsigned i = 0; i < config->connect_count; i++)
        put_stage(&j, &config->connect[i], PHASE_CONNECT);
    json_end_array(&j);
    json_begin_array(&j, "sites");
    for (size_t i = 0; i < config->site_count; i++) {
        const struct site *site = &config->sites[i];
        json_begin_object(&j, NULL);
        json_text(&j, "site", span_text(site->name));
        json_begin_array(&j, "routes");
        for (size_t n = 0; n < site->route_count; n++)
            put_route(&j, &site->routes[n]);
        json_end_array(&j);
        json_end_object(&j);
    }
    json_end_array(&j);
    json_end_object(&j);
    text_char(out, '\n');
}
