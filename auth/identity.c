/*
 * What upstream is told of who is signed in: plain fields, and a statement that it can check.
 *
 *     identity: {user: X-Remote-User, groups: X-Remote-Groups, assertion: X-Assertion}
 *
 * A plain field is as good as the network between us and upstream; the assertion is a JWT,
 * signed with Ed25519, good for a minute or two and for one audience, so that upstream can tell
 * a request that came past us from one that came around us. The key to check it with stands at
 * /.sallyport/jwks. It is made of `seed`, the same on all nodes and at each start; without one,
 * of this boot's key. What a client sends under any of these names, or an alias, goes no
 * further.
 */
#include "auth/identity.h"

#include <sodium.h>

#include "auth/base64url.h"
#include "auth/lend.h"
#include "conf/schema.h"
#include "gateway/base/json.h"
#include "gateway/base/secret.h"
#include "gateway/chain/edit.h"
#include "gateway/chain/reply.h"

enum {
    SEED_BYTES_MIN = 32,
    KID_BYTES = 8,
    LIFETIME_MAX_S = 600,
    EARLY_S = 5, /* upstream's clock may be behind */
    ASSERTION_BYTES_MAX = 6 * 1024,
    GROUPS_BYTES_MAX = 4 * 1024,
};

struct identity_conf {
    struct span user, groups, email, assertion, issuer, audience;
    struct duration lifetime;
    struct secret seed;

    uint8_t secret_key[crypto_sign_ed25519_SECRETKEYBYTES];
    struct span kid, head, jwks; /* `head` is encoded */
};

static const struct option identity_options[] = {
    OPTION(struct identity_conf, user, OPT_TEXT, .example = "X-Remote-User",
           .help = "Request field with the user's name; none when empty."),
    OPTION(struct identity_conf, groups, OPT_TEXT, .example = "X-Remote-Groups",
           .help = "Request field with the groups, commas between them. A group with a comma "
                   "in its name is left out."),
    OPTION(struct identity_conf, email, OPT_TEXT, .example = "X-Remote-Email",
           .help = "Request field with the claim `email`, where `email_verified` is true."),
    OPTION(struct identity_conf, assertion, OPT_TEXT, .example = "X-Sallyport-Assertion",
           .help = "Request field with a signed statement (JWT, EdDSA), which upstream can "
                   "check by the keys at /.sallyport/jwks."),
    OPTION(struct identity_conf, issuer, OPT_TEXT, .fallback = "sallyport",
           .help = "`iss` of the assertion."),
    OPTION(struct identity_conf, audience, OPT_TEXT,
           .help = "`aud` of the assertion. Default: the site's name."),
    OPTION(struct identity_conf, lifetime, OPT_DURATION, .fallback = "2m", .min = 10 * 1000,
           .max = LIFETIME_MAX_S * 1000, .help = "How long an assertion is good."),
    OPTION(struct identity_conf, seed, OPT_SECRET, .example = "$(file:/run/secrets/assertion)",
           .help = "The signing key is made of this: 32 random bytes or more, the same on all "
                   "nodes. Without it the key changes with each start."),
    OPTIONS_END,
};

/* ---- at load ---- */

static bool identity_idle(const void *base)
{
    const struct identity_conf *conf = base;
    return conf->user.len == 0 && conf->groups.len == 0 && conf->email.len == 0 &&
           conf->assertion.len == 0;
}

static void make_key(struct identity_conf *conf, struct setup *setup,
                     uint8_t public_key[crypto_sign_ed25519_PUBLICKEYBYTES])
{
    static const uint8_t use[] = "sallyport identity assertion key";
    uint8_t seed[crypto_sign_ed25519_SEEDBYTES];
    crypto_generichash_state state;
    (void)crypto_generichash_init(&state, use, sizeof(use) - 1, sizeof(seed));
    if (conf->seed.len > 0)
        (void)crypto_generichash_update(&state, (const uint8_t *)conf->seed.p, conf->seed.len);
    else
        (void)crypto_generichash_update(&state, setup->boot_key, 32);
    (void)crypto_generichash_final(&state, seed, sizeof(seed));
    (void)crypto_sign_ed25519_seed_keypair(public_key, conf->secret_key, seed);
    wipe(seed, sizeof(seed));
    wipe(&state, sizeof(state));
}

/* The key's id, the head of all assertions, and the page. */
static bool publish(struct identity_conf *conf, struct setup *setup, const uint8_t *public_key)
{
    uint8_t hash[KID_BYTES * 2];
    struct text kid = text_growing(setup->arena, 32), head = text_growing(setup->arena, 256),
                encoded = text_growing(setup->arena, 256),
                jwks = text_growing(setup->arena, 512);
    (void)crypto_generichash(hash, sizeof(hash), public_key, crypto_sign_ed25519_PUBLICKEYBYTES,
                             NULL, 0);
    text_hex(&kid, hash, KID_BYTES);
    conf->kid = text_span(&kid);
    text_lit(&head, "{\"alg\":\"EdDSA\",\"kid\":\"");
    text_add(&head, conf->kid);
    text_lit(&head, "\",\"typ\":\"JWT\"}");
    base64url_encode(&encoded, text_span(&head));
    conf->head = text_span(&encoded);
    text_lit(&jwks, "{\"keys\":[{\"kty\":\"OKP\",\"crv\":\"Ed25519\",\"use\":\"sig\","
                    "\"alg\":\"EdDSA\",\"kid\":\"");
    text_add(&jwks, conf->kid);
    text_lit(&jwks, "\",\"x\":\"");
    base64url_encode(&jwks,
                     span_of((const char *)public_key, crypto_sign_ed25519_PUBLICKEYBYTES));
    text_lit(&jwks, "\"}]}\n");
    conf->jwks = text_span(&jwks);
    return !kid.overflow && !head.overflow && !encoded.overflow && !jwks.overflow;
}

static bool fields_good(const struct identity_conf *conf, struct setup *setup, bool *memory)
{
    const struct {
        const char *option;
        struct span name;
    } fields[] = { { "user", conf->user },
                   { "groups", conf->groups },
                   { "email", conf->email },
                   { "assertion", conf->assertion } };
    *memory = true;
    for (size_t i = 0; i < ARRAY_LEN(fields); i++) {
        if (!lend_name_valid(setup, fields[i].option, fields[i].name))
            return false;
        if (fields[i].name.len > 0)
            *memory &= lend_field(setup, fields[i].name);
    }
    return true;
}

static enum err open_identity(void *base, struct setup *setup)
{
    struct identity_conf *conf = base;
    uint8_t public_key[crypto_sign_ed25519_PUBLICKEYBYTES];
    bool memory;
    if (identity_idle(conf))
        return OK;
    if (sodium_init() < 0)
        return ERR_SYSTEM;
    if (!fields_good(conf, setup, &memory))
        return ERR_CONFIG;
    if (conf->seed.len > 0 && conf->seed.len < SEED_BYTES_MIN) {
        complain(setup->complaint, SEVERITY_ERROR, "seed has at least %d bytes",
                 SEED_BYTES_MIN);
        return ERR_CONFIG;
    }
    make_key(conf, setup, public_key);
    return memory && publish(conf, setup, public_key) ? OK : ERR_MEMORY;
}

static void close_identity(void *base)
{
    struct identity_conf *conf = base;
    wipe(conf->secret_key, sizeof(conf->secret_key));
}

/* ---- on the request path ---- */

static void write_groups(struct json *j, const struct identity *identity)
{
    json_begin_array(j, "groups");
    for (size_t i = 0; identity != NULL && i < identity->group_count; i++)
        json_text(j, NULL, identity->groups[i]);
    json_end_array(j);
}

static struct span write_claims(struct call *c, struct text *out)
{
    const struct identity_conf *conf = c->conf;
    const struct txn *txn = c->txn;
    uint64_t now_s = txn->clock->wall_us / 1000000u;
    struct json j = json_writer(out);
    json_begin_object(&j, NULL);
    json_text(&j, "iss", conf->issuer);
    json_text(&j, "aud", conf->audience.len > 0 ? conf->audience : span_text(txn->site->name));
    json_text(&j, "sub", txn->facts.user);
    json_uint(&j, "iat", now_s);
    json_uint(&j, "nbf", now_s - EARLY_S);
    json_uint(&j, "exp", now_s + (uint64_t)conf->lifetime.ms / 1000);
    json_text(&j, "jti", txn_id(txn));
    json_text(&j, "auth", txn->facts.auth);
    write_groups(&j, txn->facts.identity);
    json_end_object(&j);
    return text_span(out);
}

/* NULL pointer: it does not fit, and then nothing is said rather than half of it. */
static struct span make_assertion(struct call *c)
{
    const struct identity_conf *conf = c->conf;
    struct arena *arena = c->txn->arena;
    uint8_t signature[crypto_sign_ed25519_BYTES];
    struct text claims = text_growing(arena, 512), token = text_growing(arena, 1024);
    struct span payload = write_claims(c, &claims);
    text_add(&token, conf->head);
    text_char(&token, '.');
    base64url_encode(&token, payload);
    (void)crypto_sign_ed25519_detached(signature, NULL, (const uint8_t *)token.p, token.len,
                                       conf->secret_key);
    text_char(&token, '.');
    base64url_encode(&token, span_of((char *)signature, sizeof(signature)));
    return claims.overflow || token.overflow || token.len > ASSERTION_BYTES_MAX
               ? span_of(NULL, 0)
               : text_span(&token);
}

static struct span groups_of(struct call *c)
{
    const struct identity *identity = c->txn->facts.identity;
    struct text out = text_growing(c->txn->arena, 128);
    for (size_t i = 0; identity != NULL && i < identity->group_count; i++) {
        if (span_index(identity->groups[i], ',') >= 0)
            continue;
        if (out.len > 0)
            text_char(&out, ',');
        text_add(&out, identity->groups[i]);
    }
    return out.overflow || out.len > GROUPS_BYTES_MAX ? span_of(NULL, 0) : text_span(&out);
}

/* Empty: there is none that its provider vouches for. */
static struct span email_of(const struct identity *identity)
{
    const struct claim *email =
        identity != NULL ? identity_claim(identity, SPAN("email"), NULL) : NULL;
    const struct claim *verified =
        identity != NULL ? identity_claim(identity, SPAN("email_verified"), NULL) : NULL;
    return email != NULL && verified != NULL && span_equal(verified->value, SPAN("true"))
               ? email->value
               : SPAN("");
}

static bool lend(struct call *c, struct span name, struct span value)
{
    if (name.len == 0)
        return true;
    if (c->txn->facts.user.len == 0 || value.len == 0)
        return value.p != NULL && edit_field(c->txn, EDIT_REQUEST, EDIT_DROP, name, SPAN(""));
    return edit_lend_field(c->txn, name, value);
}

static struct verdict identity_head(struct call *c)
{
    const struct identity_conf *conf = c->conf;
    bool known = c->txn->facts.user.len > 0;
    struct span none = SPAN("");
    bool good =
        lend(c, conf->user, known ? c->txn->facts.user : none) &&
        lend(c, conf->groups, known && conf->groups.len > 0 ? groups_of(c) : none) &&
        lend(c, conf->email, known ? email_of(c->txn->facts.identity) : none) &&
        lend(c, conf->assertion, known && conf->assertion.len > 0 ? make_assertion(c) : none);
    return good ? pass() : fail(REASON_MEMORY);
}

/* ---- the page ---- */

static struct span identity_page(const void *base, unsigned i)
{
    const struct identity_conf *conf = base;
    return i == 0 && conf->assertion.len > 0 ? SPAN("jwks") : SPAN("");
}

static struct verdict identity_jwks(struct call *c)
{
    const struct identity_conf *conf = c->conf;
    if (!span_equal(c->req->path, SPAN("/.sallyport/jwks")))
        return pass();
    if (c->req->method_id != METHOD_GET && c->req->method_id != METHOD_HEAD)
        return deny(REASON_METHOD);
    struct reply *reply = reply_new(c->txn, 200);
    if (reply == NULL)
        return fail(REASON_MEMORY);
    reply->body = conf->jwks;
    reply->type = SPAN("application/jwk-set+json");
    return answer(REASON_PAGE, reply);
}

const struct stage_type identity_stage = {
    .name = "identity",
    .summary = "Tells upstream who is signed in, by fields and by a signed statement.",
    .options = identity_options,
    .conf_size = sizeof(struct identity_conf),
    .open = open_identity,
    .close = close_identity,
    .idle = identity_idle,
    .page = identity_page,
    .gate = true,
    .on = { [PHASE_REQUEST_HEAD] = identity_head, [PHASE_PAGE] = identity_jwks },
};
