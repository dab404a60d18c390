/*
 * Bearer tokens (RFC 6750) that are JWTs of configured issuers.
 *
 *     jwt:
 *       issuers:
 *         - {issuer: https://id.example.org, keys: id.jwks, audience: api}
 *         - {issuer: https://login.example.org, discover: true, audience: api}
 *
 * The token is taken from the Authorization field and from nowhere else: in a query it would
 * stand in logs and histories. Why one was refused stands in the record; the client is told
 * only that it is invalid. What was verified a moment ago is not verified again.
 */
#include "auth/jwt.h"

#include <sodium.h>
#include <stdlib.h>

#include "auth/demand.h"
#include "auth/lend.h"
#include "auth/provider.h"
#include "auth/strictjson.h"
#include "auth/tokencache.h"
#include "conf/schema.h"
#include "gateway/base/file.h"
#include "gateway/chain/edit.h"
#include "gateway/chain/reply.h"
#include "gateway/net/worker.h"

enum {
    ISSUERS_MAX = 16,
    ISSUER_BYTES_MAX = 512,
    LIFETIME_MAX_S = 366 * 86400,
    SKEW_MAX_S = 600,
};

struct issuer_row {
    struct span issuer;
    struct path keys, ca;
    struct url keys_url;
    bool discover;
    struct texts audience, algorithms, types;
    struct span user_claim, groups_claim, user_prefix;
    struct duration max_lifetime, skew;
};

struct jwt_conf {
    struct list issuers;
    struct span realm, pass;
    bool forward_credentials;

    struct token_issuer *built;
    int *providers; /* index in config->providers of each issuer; -1: its keys are here */
    bool fetches;   /* some issuer has a provider */
    struct span challenge, invalid;
};

struct jwt_local {
    struct worker *worker;
    struct tokencache *cache;
    struct token_issuer *issuers; /* as built, with the keys of now */
    uint32_t *swaps;              /* of their providers */
    bool fetches;
};

static const struct option issuer_options[] = {
    OPTION(struct issuer_row, issuer, OPT_TEXT, .flags = OPTION_REQUIRED,
           .help = "What tokens have as `iss`, byte by byte.",
           .example = "https://id.example.org"),
    OPTION(struct issuer_row, keys, OPT_FILE,
           .help = "The issuer's keys: a JWK set, or public keys and certificates in PEM."),
    OPTION(struct issuer_row, keys_url, OPT_URL,
           .help = "Or the address of its JWK set: fetched, and fetched again when it changes.",
           .example = "https://id.example.org/keys"),
    OPTION(struct issuer_row, discover, OPT_BOOL, .fallback = "false",
           .help = "Or the issuer tells the address: ISSUER/.well-known/openid-configuration."),
    OPTION(struct issuer_row, ca, OPT_FILE,
           .help = "PEM bundle of authorities for that server; without one the system's."),
    OPTION(struct issuer_row, audience, OPT_TEXTS, .flags = OPTION_REQUIRED,
           .help = "One of these stands in `aud`. `*` takes tokens that were made for others, "
                   "too."),
    OPTION(struct issuer_row, algorithms, OPT_TEXTS,
           .fallback = "RS256, PS256, ES256, ES384, EdDSA",
           .help = "Signatures that are taken: RS256 RS384 RS512 PS256 PS384 PS512 ES256 ES384 "
                   "EdDSA, and HS256 HS384 HS512 with a secret of its own kind."),
    OPTION(struct issuer_row, types, OPT_TEXTS, .fallback = "JWT, at+jwt",
           .help = "What `typ` may be, where a token has one."),
    OPTION(struct issuer_row, user_claim, OPT_TEXT, .fallback = "sub",
           .help = "Claim that names the user. `email` counts only where `email_verified` is "
                   "true."),
    OPTION(struct issuer_row, user_prefix, OPT_TEXT,
           .help = "Stands before the user's name, so that two issuers cannot mean one person.",
           .example = "corp/"),
    OPTION(struct issuer_row, groups_claim, OPT_TEXT, .fallback = "groups",
           .help = "Claim that lists the user's groups; a path with dots for one inside of "
                   "another.",
           .example = "realm_access.roles"),
    OPTION(struct issuer_row, max_lifetime, OPT_DURATION, .fallback = "1d", .min = 1000,
           .max = (int64_t)LIFETIME_MAX_S * 1000,
           .help = "Tokens that are valid for longer are refused."),
    OPTION(struct issuer_row, skew, OPT_DURATION, .fallback = "1m", .max = SKEW_MAX_S * 1000,
           .help = "How far the issuer's clock may be from ours."),
    OPTIONS_END,
};

static const struct option jwt_options[] = {
    OPTION(struct jwt_conf, issuers, OPT_LIST, .options = issuer_options,
           .item_size = sizeof(struct issuer_row), .max = ISSUERS_MAX,
           .help = "Whose tokens are taken."),
    OPTION(struct jwt_conf, realm, OPT_TEXT, .fallback = "Restricted",
           .help = "Stands in the challenge."),
    OPTION(struct jwt_conf, pass, OPT_TEXT,
           .help = "Request field that tells upstream the user's name; none when empty. A "
                   "client's own field of that name is removed.",
           .example = "X-Remote-User"),
    OPTION(struct jwt_conf, forward_credentials, OPT_BOOL, .fallback = "false",
           .help = "Whether upstream sees the Authorization field."),
    OPTIONS_END,
};

/* ---- at load ---- */

static bool jwt_idle(const void *base)
{
    const struct jwt_conf *conf = base;
    return conf->issuers.count == 0;
}

static bool read_algs(const struct issuer_row *row, struct setup *setup, uint32_t *algs)
{
    *algs = 0;
    for (size_t i = 0; i < row->algorithms.count; i++) {
        struct span name = row->algorithms.items[i];
        enum jose_alg alg = jose_alg_of(name);
        if (alg == JOSE_ALGS) {
            complain(setup->complaint, SEVERITY_ERROR, "there is no algorithm \"%.*s\"",
                     (int)name.len, name.p);
            return false;
        }
        *algs |= 1u << alg;
    }
    if (*algs == 0)
        complain(setup->complaint, SEVERITY_ERROR, "algorithms are at least one");
    return *algs != 0;
}

static bool use_provider(const struct issuer_row *row, struct setup *setup, uint32_t algs,
                         int *provider)
{
    struct provider_want want = { .option = row->discover ? "issuer" : "keys_url",
                                  .issuer = row->discover ? row->issuer : SPAN(""),
                                  .url = row->keys_url.text,
                                  .ca = row->ca,
                                  .algs = algs };
    unsigned index;
    if ((algs & jose_algs_of(JOSE_SECRET)) != 0) {
        complain(setup->complaint, SEVERITY_ERROR,
                 "a secret is not fetched: HS256 and its kin need `keys`");
        return false;
    }
    if (provider_use(setup, &want, &index) != OK)
        return false;
    *provider = (int)index;
    return true;
}

static bool one_source(const struct issuer_row *row, struct setup *setup)
{
    int sources =
        (row->keys.text.len > 0) + (row->keys_url.text.len > 0) + (row->discover ? 1 : 0);
    if (sources == 1 && (row->ca.text.len == 0 || row->keys.text.len == 0))
        return true;
    complain(setup->complaint, SEVERITY_ERROR,
             sources == 1 ? "ca is for keys that are fetched"
                          : "an issuer has one of keys, keys_url and discover");
    return false;
}

static bool read_keys(const struct issuer_row *row, struct setup *setup, uint32_t algs,
                      struct token_issuer *issuer)
{
    struct file file;
    const char *path = row->keys.text.p;
    const char *why = file_read(path, JWKS_BYTES_MAX, setup->arena, &file);
    if (why == NULL)
        why = jwks_parse(&issuer->keys, file.text, algs, setup->arena);
    if (why != NULL) {
        complain(setup->complaint, SEVERITY_ERROR, "%s cannot be used: %s", path, why);
        return false;
    }
    if (issuer->keys.skipped > 0)
        complain(setup->complaint, SEVERITY_WARNING, "%s: %zu of its keys are not used: %s",
                 path, issuer->keys.skipped, issuer->keys.skipped_why);
    for (size_t i = 0; i < issuer->keys.count; i++)
        if (issuer->keys.keys[i].kind == JOSE_SECRET && (file.stat.st_mode & S_IROTH) != 0)
            complain(setup->complaint, SEVERITY_WARNING,
                     "%s holds a secret and can be read by every user: chmod o= it", path);
    return true;
}

static bool check_audience_option(const struct issuer_row *row, struct setup *setup,
                                  struct token_issuer *issuer)
{
    issuer->audience = row->audience;
    for (size_t i = 0; i < row->audience.count; i++)
        issuer->any_audience |= span_equal(row->audience.items[i], SPAN("*"));
    if (row->audience.count == 0)
        complain(setup->complaint, SEVERITY_ERROR, "audience is at least one");
    if (issuer->any_audience)
        complain(setup->complaint, SEVERITY_WARNING,
                 "with audience \"*\" whoever serves another application of this issuer can "
                 "use its visitors' tokens here");
    return row->audience.count > 0;
}

static bool build_issuer(struct jwt_conf *conf, struct setup *setup, size_t index)
{
    const struct issuer_row *row = (const struct issuer_row *)conf->issuers.items + index;
    struct token_issuer *issuer = &conf->built[index];
    uint32_t algs;
    for (size_t i = 0; i < index; i++)
        if (span_equal(conf->built[i].name, row->issuer)) {
            complain(setup->complaint, SEVERITY_ERROR, "the issuer \"%.*s\" stands twice",
                     (int)row->issuer.len, row->issuer.p);
            return false;
        }
    if (row->issuer.len == 0 || row->issuer.len > ISSUER_BYTES_MAX ||
        row->user_claim.len == 0) {
        complain(setup->complaint, SEVERITY_ERROR,
                 "issuer has 1 to %d bytes, and user_claim is not empty", ISSUER_BYTES_MAX);
        return false;
    }
    issuer->name = row->issuer;
    issuer->types = row->types;
    issuer->user_claim = row->user_claim;
    issuer->groups_claim = row->groups_claim;
    issuer->user_prefix = row->user_prefix;
    issuer->lifetime_s = (uint64_t)row->max_lifetime.ms / 1000;
    issuer->skew_s = (uint64_t)row->skew.ms / 1000;
    conf->providers[index] = -1;
    bool audience = check_audience_option(row, setup, issuer);
    if (!read_algs(row, setup, &algs) || !one_source(row, setup))
        return false;
    if (row->keys.text.len > 0)
        return read_keys(row, setup, algs, issuer) && audience;
    conf->fetches = true;
    return use_provider(row, setup, algs, &conf->providers[index]) && audience;
}

/* RFC 6750 section 3: who brought no token is told nothing of errors. */
static bool make_challenges(struct jwt_conf *conf, struct setup *setup)
{
    struct text text = text_growing(setup->arena, conf->realm.len + 64);
    text_lit(&text, "Bearer realm=\"");
    text_add(&text, conf->realm);
    text_lit(&text, "\"");
    size_t short_len = text.len;
    text_lit(&text, ", error=\"invalid_token\"");
    conf->challenge = span_of(text.p, short_len);
    conf->invalid = text_span(&text);
    return !text.overflow;
}

static enum err open_jwt(void *base, struct setup *setup)
{
    struct jwt_conf *conf = base;
    conf->built = NULL;
    if (jwt_idle(conf))
        return OK;
    strict_json_init();
    if (sodium_init() < 0)
        return ERR_SYSTEM;
    conf->built = arena_array(setup->arena, struct token_issuer, conf->issuers.count);
    conf->providers = arena_array(setup->arena, int, conf->issuers.count);
    conf->fetches = false;
    if (conf->built == NULL || conf->providers == NULL)
        return ERR_MEMORY;
    bool good = realm_valid(setup, conf->realm) && lend_name_valid(setup, "pass", conf->pass);
    for (size_t i = 0; i < conf->issuers.count; i++)
        good = build_issuer(conf, setup, i) && good;
    if (!good)
        return ERR_CONFIG;
    if (!make_challenges(conf, setup))
        return ERR_MEMORY;
    return conf->pass.len == 0 || lend_field(setup, conf->pass) ? OK : ERR_MEMORY;
}

static void close_jwt(void *base)
{
    struct jwt_conf *conf = base;
    for (size_t i = 0; conf->built != NULL && i < conf->issuers.count; i++)
        jwks_free(&conf->built[i].keys);
}

/* ---- in a worker ---- */

static enum err attach_jwt(void *base, const void *from, struct worker *worker)
{
    struct jwt_local *local = base;
    const struct jwt_conf *conf = from;
    size_t count = conf->issuers.count;
    if (jwt_idle(conf))
        return OK;
    local->worker = worker;
    local->cache = tokencache_new(worker->config->boot_key);
    local->issuers = calloc(count, sizeof(*local->issuers));
    local->swaps = calloc(count, sizeof(*local->swaps));
    if (local->cache == NULL || local->issuers == NULL || local->swaps == NULL)
        return ERR_MEMORY;
    memcpy(local->issuers, conf->built, count * sizeof(*local->issuers));
    if (conf->fetches)
        TRY(providers_attach(worker));
    local->fetches = conf->fetches;
    return OK;
}

static void detach_jwt(void *base)
{
    struct jwt_local *local = base;
    tokencache_free(local->cache);
    local->cache = NULL;
    free(local->issuers);
    free(local->swaps);
    if (local->fetches)
        providers_detach(local->worker);
    local->fetches = false;
}

/* The keys of now; what was verified with others is forgotten. */
static void renew_keys(const struct jwt_conf *conf, struct jwt_local *local)
{
    bool changed = false;
    for (size_t i = 0; i < conf->issuers.count; i++) {
        if (conf->providers[i] < 0)
            continue;
        struct provider_view view = provider_now(local->worker, (unsigned)conf->providers[i]);
        local->issuers[i].keys = view.keys != NULL ? *view.keys : (struct jwks){ 0 };
        changed = changed || view.swaps != local->swaps[i];
        local->swaps[i] = view.swaps;
    }
    if (changed)
        tokencache_clear(local->cache);
}

/* ---- on the request path ---- */

/* RFC 6750 section 2.1: b64token; of a JWT nothing but base64url and dots. */
static bool is_token(struct span text)
{
    for (size_t i = 0; i < text.len; i++) {
        char c = text.p[i];
        if (!(c >= 'a' && c <= 'z') && !(c >= 'A' && c <= 'Z') && !(c >= '0' && c <= '9') &&
            c != '-' && c != '_' && c != '.')
            return false;
    }
    return text.len > 0;
}

static struct verdict refuse(struct call *c, enum jose_error error)
{
    const struct jwt_conf *conf = c->conf;
    if (error == JOSE_MEMORY)
        return fail(REASON_MEMORY);
    return demand_failed(c, REASON_AUTH_TOKEN, conf->invalid, jose_slug(error));
}

static struct verdict accept_identity(struct call *c, struct verified *verified)
{
    const struct jwt_conf *conf = c->conf;
    const struct identity *identity = &verified->identity;
    if (!arena_defer(c->txn->arena, verified_release, verified)) {
        verified_release(verified);
        return fail(REASON_MEMORY);
    }
    if (conf->pass.len > 0 && !edit_lend_field(c->txn, conf->pass, identity->user))
        return fail(REASON_MEMORY);
    fact_set_user(c, identity->user);
    fact_set_auth(c, SPAN("jwt"));
    fact_set_identity(c, identity);
    return pass();
}

static struct verdict check_again(struct call *c);

/* The provider may have a new key, or none have come yet: the steward looks. */
static struct verdict unknown_key(struct call *c, struct span token, bool asked)
{
    const struct jwt_conf *conf = c->conf;
    struct jwt_local *local = c->local;
    size_t index = token_issuer_of(local->issuers, conf->issuers.count, token, c->txn->arena);
    if (index == conf->issuers.count || conf->providers[index] < 0)
        return refuse(c, JOSE_KEY_UNKNOWN);
    struct op *op = asked ? NULL : provider_ask(c->worker, (unsigned)conf->providers[index]);
    if (op != NULL)
        return wait_for(c, op, check_again);
    if (local->issuers[index].keys.count > 0)
        return refuse(c, JOSE_KEY_UNKNOWN);
    fact_set_auth_detail(c, "keys-missing");
    return fail(REASON_AUTH_PROVIDER);
}

static struct verdict check(struct call *c, struct span token, bool asked)
{
    const struct jwt_conf *conf = c->conf;
    struct jwt_local *local = c->local;
    uint64_t now_s = c->txn->clock->wall_us / 1000000u;
    struct verified *verified;
    if (token.len > TOKEN_BYTES_MAX)
        return refuse(c, JOSE_TOO_LONG);
    if (!is_token(token))
        return refuse(c, JOSE_PARTS);
    if (conf->fetches)
        renew_keys(conf, local);
    struct token_tag tag = tokencache_tag(local->cache, token);
    verified = tokencache_get(local->cache, &tag, now_s);
    if (verified != NULL)
        return accept_identity(c, verified);
    enum jose_error error = token_verify(local->issuers, conf->issuers.count, token, now_s,
                                         c->txn->arena, &verified);
    if (error == JOSE_KEY_UNKNOWN && conf->fetches)
        return unknown_key(c, token, asked);
    if (error != JOSE_OK)
        return refuse(c, error);
    tokencache_put(local->cache, &tag, verified, now_s);
    return accept_identity(c, verified);
}

/* The token behind `Bearer`; NULL pointer: there is none. */
static struct span bearer_of(const struct field *field)
{
    struct span token = field != NULL ? field->value : SPAN(""), scheme;
    bool bearer = field != NULL && span_cut(&token, ' ', &scheme) &&
                  span_equal_nocase(scheme, SPAN("Bearer"));
    return !bearer ? span_of(NULL, 0) : token.p != NULL ? span_trim(token) : SPAN("");
}

static struct verdict check_again(struct call *c)
{
    return check(c, bearer_of(fields_get(&c->req->fields, FIELD_AUTHORIZATION)), true);
}

static struct verdict jwt_head(struct call *c)
{
    const struct jwt_conf *conf = c->conf;
    const struct field *field = fields_get(&c->req->fields, FIELD_AUTHORIZATION);

    /* Before anything can end this: no client may lend a field to itself. */
    if (conf->pass.len > 0 && !demand_met(c) &&
        !edit_field(c->txn, EDIT_REQUEST, EDIT_DROP, conf->pass, SPAN("")))
        return fail(REASON_MEMORY);
    struct span token = bearer_of(field);
    bool bearer = token.p != NULL;
    if (bearer && !conf->forward_credentials &&
        !edit_field(c->txn, EDIT_REQUEST, EDIT_DROP, SPAN("Authorization"), SPAN("")))
        return fail(REASON_MEMORY);
    if (demand_met(c))
        return pass();
    if (!bearer)
        return demand(c, conf->challenge);
    /* One reading: a second one could be the one that upstream believes. */
    if (fields_next(&c->req->fields, field) != NULL)
        return refuse(c, JOSE_PARTS);
    return check(c, token, false);
}

const struct stage_type jwt_stage = {
    .name = "jwt",
    .summary = "Asks for a bearer token (RFC 6750) that a configured issuer signed.",
    .options = jwt_options,
    .conf_size = sizeof(struct jwt_conf),
    .local_size = sizeof(struct jwt_local),
    .open = open_jwt,
    .close = close_jwt,
    .attach = attach_jwt,
    .detach = detach_jwt,
    .idle = jwt_idle,
    .gate = true,
    .authenticates = true,
    .on = { [PHASE_REQUEST_HEAD] = jwt_head },
};
