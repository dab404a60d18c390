/*
 * `sallyport limits simulate`: the limits of a configuration over the requests of an audit
 * log, in their order. A record has the client's address, the site and the route, and so only
 * rates that ask for no more than these are simulated; the others are named, with the reason.
 */
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "gateway/audit/search.h"
#include "gateway/base/json.h"
#include "gateway/base/siphash.h"
#include "gateway/cli/cli.h"
#include "gateway/cli/loaded.h"
#include "ratelimit/limit.h"

enum { EXIT_WOULD_REFUSE = 3 };
enum { SIMULATED_MAX = 1024, CLIENTS_MAX = 1 << 22 /* of all limits together */ };

struct tally {
    const struct limit *limit;
    const char *why_not; /* NULL: it is simulated */
    uint64_t requests, refused, clients, clients_refused;
};

struct client {
    uint64_t key, tat; /* key 0: free */
    bool refused;
};

struct simulation {
    const struct config *config;
    struct arena *arena;
    struct tally tallies[SIMULATED_MAX];
    size_t count;
    struct client *clients;
    size_t client_count, room; /* room: a power of two */
    struct siphash_key hash;
    uint64_t now_us, first_us;
    uint64_t records, elsewhere, repeats; /* elsewhere: of no site or route that there is */
    bool full;
};

static const char *why_not(const struct limit *limit)
{
    const struct limit_rule *rule = limit->rule;
    if (limit->kind != KIND_RATE)
        return "only rates are simulated";
    if (limit->of_plan != NULL)
        return "records do not tell the plan";
    if (limit->plan.count != 1 || !limit->plan.by_address)
        return "records do not have what it counts by";
    if (limit->v6_bits < KEY_NETWORK_BITS && limit->v6_bits != 0)
        return "wider networks are not simulated";
    if (rule->when != NULL)
        return "its condition needs the request";
    if (rule->costs.count > 0 || rule->response_cost.len > 0)
        return "what a request costs needs the request";
    return NULL;
}

/* ---- who has asked ---- */

static bool grow(struct simulation *s)
{
    size_t room = s->room == 0 ? 4096 : 2 * s->room;
    struct client *clients =
        room > CLIENTS_MAX ? NULL : arena_array(s->arena, struct client, room);
    if (clients == NULL)
        return false;
    for (size_t i = 0; i < s->room; i++) {
        size_t at = s->clients[i].key & (room - 1);
        while (s->clients[i].key != 0 && clients[at].key != 0)
            at = (at + 1) & (room - 1);
        if (s->clients[i].key != 0)
            clients[at] = s->clients[i];
    }
    s->clients = clients;
    s->room = room;
    return true;
}

/* There is room. */
static struct client *client_of(struct simulation *s, struct tally *tally,
                                const struct key *key)
{
    uint64_t hash = siphash(&s->hash, key->bytes, key->len) | 1;
    size_t at = hash & (s->room - 1);
    while (s->clients[at].key != 0 && s->clients[at].key != hash)
        at = (at + 1) & (s->room - 1);
    if (s->clients[at].key == 0) {
        s->clients[at].key = hash;
        s->client_count++;
        tally->clients++;
    }
    return &s->clients[at];
}

/* ---- a record ---- */

/* One state for all routes that inherit a limit: its id says where it stands. */
static struct tally *tally_of(struct simulation *s, const struct limit *limit)
{
    for (size_t i = 0; i < s->count; i++)
        if (memcmp(s->tallies[i].limit->id, limit->id, sizeof(limit->id)) == 0 &&
            s->tallies[i].limit->v6_bits == limit->v6_bits)
            return &s->tallies[i];
    if (s->count == SIMULATED_MAX)
        return NULL;
    s->tallies[s->count] = (struct tally){ .limit = limit, .why_not = why_not(limit) };
    return &s->tallies[s->count++];
}

static const struct rate_limits *limits_of(const struct route *route)
{
    for (unsigned phase = 0; phase < PHASE_COUNT; phase++)
        for (unsigned i = 0; i < route->chain_count[phase]; i++)
            if (route->chain[phase][i].type == &limits_stage)
                return route->chain[phase][i].conf;
    return NULL;
}

static const struct route *route_named(const struct config *config, struct span site,
                                       struct span route)
{
    for (size_t i = 0; i < config->site_count; i++) {
        if (!span_equal(site, span_text(config->sites[i].name)))
            continue;
        for (size_t k = 0; k < config->sites[i].route_count; k++)
            if (span_equal(route, span_text(config->sites[i].routes[k].name)))
                return &config->sites[i].routes[k];
    }
    return NULL;
}

struct asked {
    struct tally *tally;
    struct client *client;
    struct gcra_answer answer;
};

/* False: the limit is not simulated, or does not count this address. */
static bool ask_one(struct simulation *s, const struct limit *limit, struct span address,
                    struct asked *asked)
{
    struct tally *tally = tally_of(s, limit);
    struct key key;
    if (tally == NULL || tally->why_not != NULL ||
        !key_of_text(&key, &limit->plan, limit->id, KEY_NETWORK_BITS, address))
        return false;
    asked->tally = tally;
    asked->client = client_of(s, tally, &key);
    asked->answer = gcra_ask(&limit->gcra, asked->client->tat, s->now_us * 1000,
                             (uint64_t)limit->rule->cost * limit->gcra.interval_ns);
    tally->requests++;
    if (!asked->answer.allowed) {
        tally->refused++;
        tally->clients_refused += asked->client->refused ? 0 : 1;
        asked->client->refused = true;
    }
    return true;
}

/* As the gateway does: all are asked before any is charged, and a refusal charges none. */
static bool ask(struct simulation *s, const struct rate_limits *conf, struct span address)
{
    struct asked asked[LIMITS_MAX * LIMITS_NETS];
    unsigned count = 0;
    bool passes = true;
    while (2 * (s->client_count + ARRAY_LEN(asked)) >= s->room) /* it moves the clients */
        if (!grow(s))
            return false;
    for (unsigned i = 0; i < conf->count && count < ARRAY_LEN(asked); i++) {
        if (!ask_one(s, &conf->limits[i], address, &asked[count]))
            continue;
        passes = passes && (asked[count].answer.allowed || conf->limits[i].shadow);
        count++;
    }
    for (unsigned i = 0; i < count && passes; i++)
        if (asked[i].answer.allowed)
            asked[i].client->tat = asked[i].answer.tat;
    return true;
}

static struct span member_of(struct span line, struct span name)
{
    struct span value = { NULL, 0 };
    return line_member(line, name, &value) ? value : SPAN("");
}

static bool on_record(void *context, struct span line)
{
    struct simulation *s = context;
    struct span action = SPAN(""), address = SPAN("");
    const struct route *route = route_named(s->config, member_of(line, SPAN("\"site\":")),
                                            member_of(line, SPAN("\"route\":")));
    uint64_t us = line_time(line);
    size_t at = 0, from = 0;
    if (line_value(line, KEY_ACTION, &from, &action) && span_equal(action, SPAN("repeat"))) {
        s->repeats++;
        return true;
    }
    if (!line_value(line, KEY_CLIENT, &at, &address))
        return true;
    s->records++;
    if (us > s->now_us) /* workers' lines may come a little out of order */
        s->now_us = us;
    if (s->first_us == 0)
        s->first_us = us;
    const struct rate_limits *conf = route != NULL ? limits_of(route) : NULL;
    if (conf == NULL) {
        s->elsewhere++;
        return true;
    }
    s->full = !ask(s, conf, address);
    return !s->full;
}

/* ---- what came of it ---- */

static void write_json(struct text *out, const struct simulation *s)
{
    struct json j = json_writer(out);
    json_begin_object(&j, NULL);
    json_uint(&j, "records", s->records);
    json_uint(&j, "elsewhere", s->elsewhere);
    json_uint(&j, "repeats", s->repeats);
    json_uint(&j, "seconds", (s->now_us - s->first_us) / 1000000);
    json_begin_array(&j, "limits");
    for (size_t i = 0; i < s->count; i++) {
        const struct tally *t = &s->tallies[i];
        json_begin_object(&j, NULL);
        json_text(&j, "site", span_text(t->limit->site));
        json_text(&j, "route", span_text(t->limit->route != NULL ? t->limit->route : ""));
        json_text(&j, "limit", t->limit->name);
        json_text(&j, "policy", t->limit->policy);
        json_bool(&j, "simulated", t->why_not == NULL);
        json_text(&j, "why_not", span_text(t->why_not != NULL ? t->why_not : ""));
        json_uint(&j, "requests", t->requests);
        json_uint(&j, "refused", t->refused);
        json_uint(&j, "clients", t->clients);
        json_uint(&j, "clients_refused", t->clients_refused);
        json_end_object(&j);
    }
    json_end_array(&j);
    json_end_object(&j);
    text_char(out, '\n');
}

static void write_human(struct text *out, const struct simulation *s)
{
    for (size_t i = 0; i < s->count; i++) {
        const struct tally *t = &s->tallies[i];
        text_format(out, "%-24s %-20s ", t->limit->site,
                    t->limit->route != NULL ? t->limit->route : "-");
        text_add(out, t->limit->policy);
        if (t->why_not != NULL)
            text_format(out, "  not simulated: %s\n", t->why_not);
        else
            text_format(out, "  refuses %llu of %llu requests, %llu of %llu clients%s\n",
                        (unsigned long long)t->refused, (unsigned long long)t->requests,
                        (unsigned long long)t->clients_refused, (unsigned long long)t->clients,
                        t->limit->shadow ? " (shadow: it would only say so)" : "");
    }
    text_format(out, "%llu records of %llu s; %llu of no limited route",
                (unsigned long long)s->records,
                (unsigned long long)((s->now_us - s->first_us) / 1000000),
                (unsigned long long)s->elsewhere);
    if (s->repeats > 0)
        text_format(out, "; %llu lines of repeats not counted", (unsigned long long)s->repeats);
    text_lit(out, "\n");
}

static int conclude(const struct simulation *s, bool json)
{
    struct text out = text_growing(s->arena, OUTPUT_BYTES);
    bool refused = false;
    for (size_t i = 0; i < s->count; i++)
        refused = refused || s->tallies[i].refused > 0;
    if (json)
        write_json(&out, s);
    else
        write_human(&out, s);
    if (out.overflow || !print_all(STDOUT_FILENO, text_span(&out)))
        return EXIT_TROUBLE;
    return refused ? EXIT_WOULD_REFUSE : EXIT_GOOD;
}

static int simulate(struct loaded *loaded, const char *log, bool json)
{
    struct simulation *s = arena_new(&loaded->arena, struct simulation);
    struct query query = { .since_us = 0 };
    struct search_stats stats;
    if (log == NULL && loaded->config->audit.file.text.len > 0)
        log = arena_cstring(&loaded->arena, loaded->config->audit.file.text);
    if (log == NULL || s == NULL)
        return usage_error("the configuration names no audit file: name the log");
    s->config = loaded->config;
    s->arena = &loaded->arena;
    random_bytes(&s->hash, sizeof(s->hash));
    for (size_t i = 0; i < loaded->config->instance_count; i++) {
        const struct rate_limits *conf = loaded->config->instances[i].conf;
        for (unsigned k = 0;
             loaded->config->instances[i].type == &limits_stage && k < conf->count; k++)
            (void)tally_of(s, &conf->limits[k]);
    }
    enum err err = search(log, &query, s->arena, on_record, s, &stats);
    if (err != OK || s->full) {
        (void)usage_error("cannot read %s: %s", log,
                          s->full ? "there are too many clients" : err_text(err));
        return EXIT_TROUBLE;
    }
    return conclude(s, json);
}

int limits_simulate(const struct arguments *arguments, bool json)
{
    struct loaded loaded;
    if (arguments->values[FLAG_CONFIG] == NULL)
        return usage_error("needs -c FILE");
    loaded_outline(&loaded, arguments->values[FLAG_CONFIG]);
    int code = EXIT_BAD;
    if (loaded.config == NULL)
        loaded_print(&loaded, STDERR_FILENO, json);
    else
        code = simulate(&loaded, arguments->operand_count > 1 ? arguments->operands[1] : NULL,
                        json);
    loaded_close(&loaded);
    return code;
}
