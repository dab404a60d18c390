/*
 * API keys.
 *
 *     api_keys: {file: api.keys, scopes: [orders:read]}
 *
 * A key comes in a field of its own (X-API-Key) or as `Authorization: Bearer sp_...`; never in
 * a query, which stands in logs. Upstream does not see it. The file is watched: a key that is
 * added or revoked counts on all workers at once, without a reload.
 */
#include "auth/apikeys.h"

#include <errno.h>
#include <sodium.h>
#include <unistd.h>

#include "auth/demand.h"
#include "auth/keyfile.h"
#include "auth/lend.h"
#include "conf/schema.h"
#include "gateway/base/file.h"
#include "gateway/chain/edit.h"
#include "gateway/chain/reply.h"
#include "gateway/net/worker.h"

enum { SCOPES_MAX = 16, CLAIMS = 3 };

struct api_keys_conf {
    struct path file;
    struct span header, pass, pass_plan, realm;
    struct texts scopes;

    size_t index; /* in config->key_files */
    struct span challenge;
};

static const struct option api_keys_options[] = {
    OPTION(struct api_keys_conf, file, OPT_FILE, .flags = OPTION_SHORTHAND,
           .help = "The keys, as `sallyport keys` writes them. Watched: what changes counts at "
                   "once."),
    OPTION(struct api_keys_conf, header, OPT_TEXT, .fallback = "X-API-Key",
           .help = "Request field with the key. It also may come as a bearer token."),
    OPTION(struct api_keys_conf, scopes, OPT_TEXTS, .max = SCOPES_MAX,
           .help = "A key needs all of these.", .example = "[orders.read]"),
    OPTION(struct api_keys_conf, pass, OPT_TEXT,
           .help = "Request field that tells upstream the key's user; none when empty.",
           .example = "X-Remote-User"),
    OPTION(struct api_keys_conf, pass_plan, OPT_TEXT,
           .help = "Request field that tells upstream the key's plan; none when empty.",
           .example = "X-Plan"),
    OPTION(struct api_keys_conf, realm, OPT_TEXT, .fallback = "Restricted",
           .help = "Stands in the challenge."),
    OPTIONS_END,
};

/* ---- at load ---- */

static bool api_keys_idle(const void *base)
{
    const struct api_keys_conf *conf = base;
    return conf->file.text.len == 0;
}

/* One that is not there yet has no key in it: the first one is made with this configuration. */
static bool is_missing(struct api_keys_conf *conf, struct setup *setup)
{
    const char *path = conf->file.text.p;
    if (access(path, F_OK) == 0 || errno != ENOENT)
        return false;
    complain(setup->complaint, SEVERITY_WARNING,
             "there is no %s yet, so nobody has a key: sallyport keys add --user NAME", path);
    return true;
}

static const char *read_keys(struct api_keys_conf *conf, struct setup *setup,
                             struct key_file *file, unsigned *line)
{
    struct file content = { .text = SPAN("") };
    const char *why = file_read(conf->file.text.p, KEYFILE_BYTES_MAX, setup->arena, &content);
    if (why != NULL && !is_missing(conf, setup))
        return why;
    if ((content.stat.st_mode & S_IWOTH) != 0)
        return "every user can write it: chmod o= it";
    file->seen = content.stat;
    enum err err = keyfile_build(content.text, setup->arena, &file->built, line);
    return err == OK              ? NULL
           : err == ERR_DUPLICATE ? "a key stands twice"
           : err == ERR_SYNTAX    ? "not a line of a file of keys"
                                  : err_text(err);
}

/* One snapshot a file, however many routes name it. */
static enum err find_file(struct api_keys_conf *conf, struct setup *setup)
{
    struct config *config = setup->config;
    unsigned line = 0;
    for (size_t i = 0; i < config->key_file_count; i++) {
        conf->index = i;
        if (span_equal(config->key_files[i].path, conf->file.text))
            return OK;
    }
    if (config->key_file_count == KEY_FILES_MAX) {
        complain(setup->complaint, SEVERITY_ERROR, "there are more than %d files of keys",
                 KEY_FILES_MAX);
        return ERR_CONFIG;
    }
    struct key_file *file = &config->key_files[config->key_file_count];
    const char *why = read_keys(conf, setup, file, &line);
    if (why != NULL && line > 0)
        complain(setup->complaint, SEVERITY_ERROR, "%s:%u: %s", conf->file.text.p, line, why);
    else if (why != NULL)
        complain(setup->complaint, SEVERITY_ERROR, "%s cannot be used: %s", conf->file.text.p,
                 why);
    if (why != NULL)
        return ERR_CONFIG;
    file->path = conf->file.text;
    conf->index = config->key_file_count++;
    return OK;
}

static bool make_challenge(struct api_keys_conf *conf, struct setup *setup)
{
    struct text text = text_growing(setup->arena, conf->realm.len + 64);
    text_lit(&text, "ApiKey realm=\"");
    text_add(&text, conf->realm);
    text_lit(&text, "\"");
    conf->challenge = text_span(&text);
    return !text.overflow;
}

static bool fields_good(const struct api_keys_conf *conf, struct setup *setup)
{
    bool good = realm_valid(setup, conf->realm) &&
                lend_name_valid(setup, "header", conf->header) &&
                lend_name_valid(setup, "pass", conf->pass) &&
                lend_name_valid(setup, "pass_plan", conf->pass_plan);
    if (good && conf->header.len > 0 &&
        (span_equal_nocase(conf->header, conf->pass) ||
         span_equal_nocase(conf->header, conf->pass_plan))) {
        complain(setup->complaint, SEVERITY_ERROR,
                 "header is one of the client's, pass is not");
        return false;
    }
    return good;
}

static enum err open_api_keys(void *base, struct setup *setup)
{
    struct api_keys_conf *conf = base;
    if (api_keys_idle(conf))
        return OK;
    if (sodium_init() < 0)
        return ERR_SYSTEM;
    if (!fields_good(conf, setup))
        return ERR_CONFIG;
    TRY(find_file(conf, setup));
    if (!make_challenge(conf, setup))
        return ERR_MEMORY;
    bool lent = (conf->pass.len == 0 || lend_field(setup, conf->pass)) &&
                (conf->pass_plan.len == 0 || lend_field(setup, conf->pass_plan));
    return lent ? OK : ERR_MEMORY;
}

void key_files_initial(struct snapshots *snapshots, const struct config *config)
{
    for (size_t i = 0; i < config->key_file_count; i++) {
        uint32_t id = key_file_id(config, i);
        snapshot_initial(snapshots, id, config->key_files[i].built);
        snapshots->items[id].kind = SNAPSHOT_API_KEYS;
    }
}

/* ---- on the request path ---- */

/* A bearer token that is one of ours, and not a JWT. */
static struct span bearer_of(const struct request *req)
{
    struct span rest = fields_value(&req->fields, FIELD_AUTHORIZATION), scheme;
    if (rest.len == 0 || !span_cut(&rest, ' ', &scheme) ||
        !span_equal_nocase(scheme, SPAN("Bearer")))
        return span_of(NULL, 0);
    rest = span_trim(rest);
    return span_starts(rest, SPAN("sp_")) ? rest : span_of(NULL, 0);
}

/* Upstream sees neither the key nor a copy of a field of ours. */
static bool hide(struct call *c, struct span bearer)
{
    const struct api_keys_conf *conf = c->conf;
    const struct span names[] = { conf->header, demand_met(c) ? SPAN("") : conf->pass,
                                  demand_met(c) ? SPAN("") : conf->pass_plan,
                                  bearer.p != NULL ? SPAN("Authorization") : SPAN("") };
    for (size_t i = 0; i < ARRAY_LEN(names); i++)
        if (names[i].len > 0 &&
            !edit_field(c->txn, EDIT_REQUEST, EDIT_DROP, names[i], SPAN("")))
            return false;
    return true;
}

/* The entry may go with the next snapshot: what is kept of it is copied. */
static const struct identity *identity_of(struct txn *txn, const struct apikey *found)
{
    struct identity *identity = arena_new(txn->arena, struct identity);
    struct apikey *key = arena_alloc(txn->arena, sizeof(*key));
    size_t scopes = 0;
    for (const char *p = found->scopes; *p != '\0'; p++)
        scopes += *p == ',' || p == found->scopes;
    struct claim *claims = arena_array(txn->arena, struct claim, scopes + CLAIMS);
    if (identity == NULL || key == NULL || claims == NULL)
        return NULL;
    *key = *found;
    *identity = (struct identity){ .user = span_text(key->user), .claims = claims };
    claims[identity->claim_count++] =
        (struct claim){ SPAN("key"), span_of(key->id, APIKEY_ID_BYTES) };
    if (key->plan[0] != '\0')
        claims[identity->claim_count++] = (struct claim){ SPAN("plan"), span_text(key->plan) };
    struct span rest = span_text(key->scopes), one;
    while (rest.len > 0 && span_cut(&rest, ',', &one))
        claims[identity->claim_count++] = (struct claim){ SPAN("scope"), one };
    return identity;
}

static bool has_scope(const struct identity *identity, struct span scope)
{
    const struct claim *claim = NULL;
    while ((claim = identity_claim(identity, SPAN("scope"), claim)) != NULL)
        if (span_equal(claim->value, scope))
            return true;
    return false;
}

static const char *api_keys_lacks(const void *base, const struct identity *identity)
{
    const struct api_keys_conf *conf = base;
    for (size_t i = 0; i < conf->scopes.count; i++)
        if (!has_scope(identity, conf->scopes.items[i]))
            return "key-scope";
    return NULL;
}

static struct verdict accept_key(struct call *c, const struct apikey *key)
{
    const struct api_keys_conf *conf = c->conf;
    const struct identity *identity = identity_of(c->txn, key);
    if (identity == NULL)
        return fail(REASON_MEMORY);
    const struct claim *plan = identity_claim(identity, SPAN("plan"), NULL);
    if (conf->pass.len > 0 && !edit_lend_field(c->txn, conf->pass, identity->user))
        return fail(REASON_MEMORY);
    if (conf->pass_plan.len > 0 && plan != NULL &&
        !edit_lend_field(c->txn, conf->pass_plan, plan->value))
        return fail(REASON_MEMORY);
    fact_set_user(c, identity->user);
    fact_set_auth(c, SPAN("api_keys"));
    fact_set_identity(c, identity);
    const char *lacks = api_keys_lacks(conf, identity);
    if (lacks == NULL)
        return pass();
    fact_set_auth_detail(c, lacks);
    return deny(REASON_AUTH_REFUSED);
}

static struct verdict check(struct call *c, struct span text)
{
    const struct api_keys_conf *conf = c->conf;
    uint32_t id = key_file_id(c->worker->config, conf->index);
    INVARIANT(id < c->worker->snapshots->count);
    const struct apikey *key = keyfile_find(snapshot_get(c->worker->snapshots, id), text);
    if (key == NULL)
        return demand_failed(c, REASON_AUTH_TOKEN, conf->challenge, "key-unknown");
    if (key->expires_s != 0 && c->txn->clock->wall_us / 1000000u >= key->expires_s)
        return demand_failed(c, REASON_AUTH_TOKEN, conf->challenge, "key-expired");
    return accept_key(c, key);
}

static struct verdict api_keys_head(struct call *c)
{
    const struct api_keys_conf *conf = c->conf;
    struct span bearer = bearer_of(c->req);
    const struct field *field =
        conf->header.len > 0 ? fields_find(&c->req->fields, conf->header) : NULL;

    if (!hide(c, bearer))
        return fail(REASON_MEMORY);
    if (demand_met(c))
        return pass();
    if (field == NULL && bearer.p == NULL)
        return demand(c, conf->challenge);
    /* One reading: of two keys each reader could believe another one. */
    if (field != NULL && (bearer.p != NULL || fields_next(&c->req->fields, field) != NULL))
        return demand_failed(c, REASON_AUTH_TOKEN, conf->challenge, "key-several");
    return check(c, field != NULL ? field->value : bearer);
}

const struct stage_type api_keys_stage = {
    .name = "api_keys",
    .summary = "Asks for an API key.",
    .options = api_keys_options,
    .conf_size = sizeof(struct api_keys_conf),
    .open = open_api_keys,
    .idle = api_keys_idle,
    .gate = true,
    .authenticates = true,
    .lacks = api_keys_lacks,
    .on = { [PHASE_REQUEST_HEAD] = api_keys_head },
};
