/*
 * The order matters: form before meaning, the issuer before its keys, the signature before any
 * claim is believed. `iss` alone is read earlier, to find the keys; it is signed too.
 */
#include "auth/token.h"

#include <math.h>
#include <stdlib.h>

#include "auth/base64url.h"
#include "auth/strictjson.h"

enum {
    ROOM_BYTES = 1024, /* for paths of claims, besides what the payload itself needs */
    IDENTITY_BYTES_MAX = 128 * 1024,
};

/* 2^53: beyond, a number of JSON is not one number any more (RFC 8259 section 6). */
#define DATE_MAX 9007199254740992.0

/* ---- claims of time and place ---- */

enum date { DATE_NONE, DATE_GOOD, DATE_BAD };

/* NumericDate may have a fraction (RFC 7519 section 2); it is cut. */
static enum date read_date(const json_t *claims, const char *name, uint64_t *seconds)
{
    const json_t *value = json_object_get(claims, name);
    if (value == NULL)
        return DATE_NONE;
    if (!json_is_number(value))
        return DATE_BAD;
    double number = json_number_value(value);
    if (!isfinite(number) || number < 0 || number >= DATE_MAX)
        return DATE_BAD;
    *seconds = (uint64_t)number;
    return DATE_GOOD;
}

static enum jose_error check_dates(const struct token_issuer *issuer, const json_t *claims,
                                   uint64_t now_s, struct trusted *trusted)
{
    uint64_t exp = 0, nbf = 0, iat = now_s;
    enum date has_exp = read_date(claims, "exp", &exp),
              has_nbf = read_date(claims, "nbf", &nbf),
              has_iat = read_date(claims, "iat", &iat);
    /* Without an end it is a password that nobody can take back. */
    if (has_exp != DATE_GOOD || has_nbf == DATE_BAD || has_iat == DATE_BAD)
        return JOSE_CLAIMS;
    if (now_s >= exp + issuer->skew_s)
        return JOSE_EXPIRED;
    if (nbf > now_s + issuer->skew_s || iat > now_s + issuer->skew_s)
        return JOSE_NOT_YET;
    if (exp > iat && exp - iat > issuer->lifetime_s)
        return JOSE_LIFETIME;
    trusted->until_s = exp + issuer->skew_s;
    /* Not `iat`: a token is made anew without anybody proving anything. */
    return read_date(claims, "auth_time", &trusted->proved_s) == DATE_BAD ? JOSE_CLAIMS
                                                                          : JOSE_OK;
}

static bool texts_have(const struct texts *texts, struct span text)
{
    for (size_t i = 0; i < texts->count; i++)
        if (span_equal(texts->items[i], text))
            return true;
    return false;
}

static struct span text_of(const json_t *value)
{
    return json_is_string(value) ? span_of(json_string_value(value), json_string_length(value))
                                 : span_of(NULL, 0);
}

static enum jose_error check_audience(const struct token_issuer *issuer, const json_t *claims)
{
    const json_t *aud = json_object_get(claims, "aud"), *one;
    size_t i;
    bool ours = issuer->any_audience;
    if (aud != NULL && !json_is_string(aud) && !json_is_array(aud))
        return JOSE_CLAIMS;
    if (json_is_string(aud))
        ours |= texts_have(&issuer->audience, text_of(aud));
    json_array_foreach(aud, i, one)
    {
        if (!json_is_string(one))
            return JOSE_CLAIMS;
        ours |= texts_have(&issuer->audience, text_of(one));
    }
    return ours ? JOSE_OK : JOSE_AUDIENCE;
}

/* RFC 8725 section 3.11: a token made for something else is none of ours. */
static bool type_is_good(const struct token_issuer *issuer, struct span type)
{
    if (type.p == NULL)
        return true;
    if (span_starts_nocase(type, SPAN("application/")))
        type = span_sub(type, sizeof("application/") - 1, type.len);
    for (size_t i = 0; i < issuer->types.count; i++)
        if (span_equal_nocase(issuer->types.items[i], type))
            return true;
    return false;
}

/* ---- claims of identity ---- */

static bool is_clean(struct span text)
{
    for (size_t i = 0; i < text.len; i++)
        if ((unsigned char)text.p[i] < 0x20 || text.p[i] == 0x7f)
            return false;
    return true;
}

bool token_user_valid(struct span user)
{
    return user.len > 0 && user.len <= TOKEN_USER_BYTES_MAX && is_clean(user) &&
           user.p[0] != ' ' && user.p[user.len - 1] != ' ';
}

/* The value at a path of names with dots between them; a name with dots in it comes first. */
static const json_t *at_path(const json_t *claims, struct span path)
{
    const json_t *value = json_object_getn(claims, path.p, path.len);
    struct span rest = path, name;
    if (value != NULL)
        return value;
    for (value = claims; span_cut(&rest, '.', &name);)
        value = json_object_getn(value, name.p, name.len);
    return value;
}

struct flatten {
    struct verified *verified;
    struct claim *claims;
    bool full;
};

static void add_claim(struct flatten *f, struct span name, struct span value)
{
    struct identity *identity = &f->verified->identity;
    if (f->full || !is_clean(value) || !is_clean(name))
        return; /* what no condition could be written for */
    struct span copy = arena_copy(&f->verified->arena, value);
    f->full = identity->claim_count == TOKEN_CLAIMS_MAX || copy.p == NULL;
    if (!f->full)
        f->claims[identity->claim_count++] = (struct claim){ name, copy };
}

static void add_scalar(struct flatten *f, struct span name, const json_t *value)
{
    char buffer[24];
    struct text number = text_fixed(buffer, sizeof(buffer));
    switch (json_typeof(value)) {
    case JSON_STRING:
        add_claim(f, name, text_of(value));
        return;
    case JSON_INTEGER:
        text_int(&number, json_integer_value(value));
        add_claim(f, name, text_span(&number));
        return;
    case JSON_TRUE:
        add_claim(f, name, SPAN("true"));
        return;
    case JSON_FALSE:
        add_claim(f, name, SPAN("false"));
        return;
    case JSON_REAL: /* has many spellings */
    case JSON_NULL:
    case JSON_OBJECT:
    case JSON_ARRAY:
        return;
    }
}

static void flatten(struct flatten *f, struct span above, json_t *object, unsigned depth)
{
    const char *key;
    json_t *value, *one;
    size_t i;
    json_object_foreach(object, key, value)
    {
        struct text name = text_growing(&f->verified->arena, above.len + 1 + strlen(key));
        text_add(&name, above);
        if (above.len > 0)
            text_char(&name, '.');
        text_add(&name, span_text(key));
        f->full |= name.overflow;
        if (json_is_object(value) && depth < TOKEN_CLAIM_DEPTH_MAX)
            flatten(f, text_span(&name), value, depth + 1);
        else if (json_is_array(value))
            json_array_foreach(value, i, one) add_scalar(f, text_span(&name), one);
        else
            add_scalar(f, text_span(&name), value);
        if (f->full)
            return;
    }
}

/*
 * An address is one that its provider vouches for, and has one `@`: what stands behind the
 * first is not what stands behind the last (CVE-2026-40574).
 */
static bool email_is_good(const json_t *claims, struct span email)
{
    ssize_t at = span_index(email, '@');
    for (size_t i = 0; i < email.len; i++)
        if ((unsigned char)email.p[i] > 0x7e || (unsigned char)email.p[i] <= 0x20)
            return false;
    return at > 0 && (size_t)at + 1 < email.len &&
           span_index(span_sub(email, (size_t)at + 1, email.len), '@') < 0 &&
           json_is_true(json_object_get(claims, "email_verified"));
}

static enum jose_error read_user(const struct token_issuer *issuer, const json_t *claims,
                                 struct verified *verified)
{
    struct span user = text_of(at_path(claims, issuer->user_claim));
    struct text name = text_growing(&verified->arena, issuer->user_prefix.len + user.len + 1);
    if (span_equal(issuer->user_claim, SPAN("email")) && !email_is_good(claims, user))
        return JOSE_SUBJECT;
    if (user.len == 0)
        return JOSE_SUBJECT;
    text_add(&name, issuer->user_prefix);
    text_add(&name, user);
    verified->identity.user = text_span(&name);
    if (name.overflow)
        return JOSE_MEMORY;
    return token_user_valid(verified->identity.user) ? JOSE_OK : JOSE_SUBJECT;
}

/* Some providers leave long lists of groups out and say where to ask (Entra's overage): that is
 * not "in no group". */
static bool groups_left_out(const struct token_issuer *issuer, const json_t *claims)
{
    const json_t *elsewhere = json_object_get(claims, "_claim_names");
    return json_object_getn(elsewhere, issuer->groups_claim.p, issuer->groups_claim.len) !=
               NULL ||
           json_is_true(json_object_get(claims, "hasgroups"));
}

static enum jose_error read_groups(const struct token_issuer *issuer, const json_t *claims,
                                   struct verified *verified)
{
    struct identity *identity = &verified->identity;
    if (issuer->groups_claim.len == 0)
        return JOSE_OK;
    const json_t *value = at_path(claims, issuer->groups_claim), *one;
    size_t count = json_is_array(value) ? json_array_size(value) : 1, i;
    if (groups_left_out(issuer, claims))
        return JOSE_GROUPS;
    if (value == NULL)
        return JOSE_OK;
    struct span *groups = arena_array(&verified->arena, struct span, count + 1);
    if (groups == NULL)
        return JOSE_MEMORY;
    identity->groups = groups;
    if (json_is_string(value))
        groups[identity->group_count++] = text_of(value);
    else if (!json_is_array(value) || count > TOKEN_GROUPS_MAX)
        return JOSE_GROUPS;
    json_array_foreach(value, i, one)
    {
        if (!json_is_string(one))
            return JOSE_GROUPS;
        groups[identity->group_count++] = text_of(one);
    }
    for (i = 0; i < identity->group_count; i++) {
        if (!is_clean(groups[i]))
            return JOSE_GROUPS;
        groups[i] = arena_copy(&verified->arena, groups[i]);
        if (groups[i].p == NULL)
            return JOSE_MEMORY;
    }
    return JOSE_OK;
}

/* RFC 8176: `mfa` among the methods that were used. */
static bool has_mfa(const json_t *claims)
{
    const json_t *amr = json_object_get(claims, "amr"), *one;
    size_t i;
    json_array_foreach(amr, i, one) if (span_equal(text_of(one), SPAN("mfa"))) return true;
    return false;
}

static enum jose_error read_identity(const struct token_issuer *issuer, json_t *claims,
                                     struct verified *verified)
{
    struct flatten f = { .verified = verified };
    f.claims = arena_array(&verified->arena, struct claim, TOKEN_CLAIMS_MAX);
    if (f.claims == NULL)
        return JOSE_MEMORY;
    verified->identity.claims = f.claims;
    verified->identity.issuer = issuer->name;
    verified->identity.mfa = has_mfa(claims);
    flatten(&f, SPAN(""), claims, 1);
    if (f.full)
        return JOSE_CLAIMS;
    enum jose_error error = read_user(issuer, claims, verified);
    return error != JOSE_OK ? error : read_groups(issuer, claims, verified);
}

/* ---- the whole ---- */

static const struct token_issuer *issuer_of(const struct token_issuer *issuers, size_t count,
                                            struct span name)
{
    for (size_t i = 0; i < count && name.len > 0; i++)
        if (span_equal(issuers[i].name, name))
            return &issuers[i];
    return NULL;
}

static enum jose_error check_signature(const struct token_issuer *issuer, const struct jws *jws)
{
    const struct jose_key *keys[JWKS_FITTING_MAX];
    size_t count = jwks_fitting(&issuer->keys, jws->alg, jws->kid, keys);
    struct span signature = span_of((const char *)jws->signature, jws->signature_len);
    for (size_t i = 0; i < count; i++)
        if (jose_verify(keys[i], jws->alg, jws->signed_text, signature))
            return JOSE_OK;
    return count > 0 ? JOSE_SIGNATURE : JOSE_KEY_UNKNOWN;
}

static enum jose_error check_claims(const struct token_issuer *issuer, const struct jws *jws,
                                    const json_t *claims, uint64_t now_s,
                                    struct trusted *trusted)
{
    enum jose_error error = check_signature(issuer, jws);
    if (error == JOSE_OK && !type_is_good(issuer, jws->type))
        error = JOSE_TYPE;
    if (error == JOSE_OK)
        error = check_dates(issuer, claims, now_s, trusted);
    return error == JOSE_OK ? check_audience(issuer, claims) : error;
}

static struct verified *verified_new(size_t payload)
{
    size_t room = ROOM_BYTES + 3 * payload + (TOKEN_CLAIMS_MAX + 1) * sizeof(struct claim);
    struct verified *verified = malloc(sizeof(*verified) + room);
    if (verified == NULL)
        return NULL;
    *verified = (struct verified){ .references = 1 };
    arena_init(&verified->arena, verified->room, room, NULL, IDENTITY_BYTES_MAX);
    return verified;
}

void verified_release(void *base)
{
    struct verified *verified = base;
    if (--verified->references > 0)
        return;
    arena_reset(&verified->arena);
    free(verified);
}

enum jose_error token_trust(const struct token_issuer *issuers, size_t count, struct span token,
                            uint64_t now_s, struct arena *arena, struct trusted *out)
{
    struct jws jws;
    char payload[TOKEN_BYTES_MAX];
    size_t len;
    *out = (struct trusted){ 0 };
    enum jose_error error = jws_parse(&jws, token, arena);
    if (error != JOSE_OK)
        return error;
    if (!base64url_decode(jws.payload, payload, sizeof(payload), &len))
        return JOSE_BASE64;
    json_t *claims = strict_json_object(span_of(payload, len), sizeof(payload));
    if (claims == NULL)
        return JOSE_CLAIMS;
    out->issuer = issuer_of(issuers, count, strict_json_text(claims, "iss"));
    out->alg = jws.alg;
    out->bytes = len;
    error =
        out->issuer != NULL ? check_claims(out->issuer, &jws, claims, now_s, out) : JOSE_ISSUER;
    if (error == JOSE_OK)
        out->claims = claims;
    else
        json_decref(claims);
    return error;
}

enum jose_error token_identity(const struct trusted *trusted, struct verified **out)
{
    struct verified *verified = verified_new(trusted->bytes);
    if (verified == NULL)
        return JOSE_MEMORY;
    verified->until_s = trusted->until_s;
    verified->identity.proved_s = trusted->proved_s;
    enum jose_error error = read_identity(trusted->issuer, trusted->claims, verified);
    if (error == JOSE_OK)
        *out = verified;
    else
        verified_release(verified);
    return error;
}

size_t token_issuer_of(const struct token_issuer *issuers, size_t count, struct span token,
                       struct arena *arena)
{
    struct jws jws;
    char payload[TOKEN_BYTES_MAX];
    size_t len;
    if (jws_parse(&jws, token, arena) != JOSE_OK ||
        !base64url_decode(jws.payload, payload, sizeof(payload), &len))
        return count;
    json_t *claims = strict_json_object(span_of(payload, len), sizeof(payload));
    const struct token_issuer *issuer =
        issuer_of(issuers, count, strict_json_text(claims, "iss"));
    json_decref(claims);
    return issuer != NULL ? (size_t)(issuer - issuers) : count;
}

enum jose_error token_verify(const struct token_issuer *issuers, size_t count,
                             struct span token, uint64_t now_s, struct arena *arena,
                             struct verified **out)
{
    struct trusted trusted;
    enum jose_error error = token_trust(issuers, count, token, now_s, arena, &trusted);
    if (error == JOSE_OK)
        error = token_identity(&trusted, out);
    json_decref(trusted.claims);
    return error;
}
