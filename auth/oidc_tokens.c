/* Checks of what a provider says: see oidc_tokens.h. */
#include "auth/oidc_tokens.h"

#include <openssl/evp.h>

#include "auth/base64url.h"
#include "auth/strictjson.h"
#include "gateway/base/secret.h"
#include "gateway/base/siphash.h"

#define LOGOUT_EVENT "http://schemas.openid.net/event/backchannel-logout"

/* ---- writing ---- */

static void form_encode(struct text *out, struct span s)
{
    static const char digits[] = "0123456789ABCDEF";

    for (size_t i = 0; i < s.len; i++) {
        unsigned char c = (unsigned char)s.p[i];
        char lower = ascii_lower((char)c);
        if ((lower >= 'a' && lower <= 'z') || (c >= '0' && c <= '9') || c == '-' || c == '.' ||
            c == '_' || c == '~') {
            text_char(out, (char)c);
            continue;
        }
        text_char(out, '%');
        text_char(out, digits[c >> 4]);
        text_char(out, digits[c & 15]);
    }
}

void oidc_param(struct text *out, struct span name, struct span value)
{
    if (out->len > 0 && out->p[out->len - 1] != '?' && out->p[out->len - 1] != '&')
        text_char(out, '&');
    text_add(out, name);
    text_char(out, '=');
    form_encode(out, value);
}

void oidc_random(char out[OIDC_NONCE_BYTES])
{
    uint8_t bytes[32];
    struct text text = text_fixed(out, OIDC_NONCE_BYTES);

    random_bytes(bytes, sizeof bytes);
    base64url_encode(&text, span_of((const char *)bytes, sizeof bytes));
    INVARIANT(!text.overflow && text.len == OIDC_NONCE_BYTES);
}

void oidc_challenge(struct text *out, struct span verifier)
{
    uint8_t digest[32];

    INVARIANT(EVP_Digest(verifier.p, verifier.len, digest, NULL, EVP_sha256(), NULL) == 1);
    base64url_encode(out, span_of((const char *)digest, sizeof digest));
}

void oidc_basic(struct text *out, struct span id, struct span secret)
{
    struct text pair = text_growing(out->arena, 128);
    unsigned char *encoded;

    form_encode(&pair, id);
    text_char(&pair, ':');
    form_encode(&pair, secret);
    encoded = arena_alloc(out->arena, pair.len / 3 * 4 + 8);
    out->overflow = out->overflow || pair.overflow || encoded == NULL;
    if (out->overflow)
        return;
    int len = EVP_EncodeBlock(encoded, (const unsigned char *)pair.p, (int)pair.len);
    text_lit(out, "Basic ");
    text_add(out, span_of((const char *)encoded, (size_t)len));
}

/* ---- what comes back with the browser ---- */

/* Of RFC 6749 section 4.1.2.1 and Core section 3.1.2.6; another one has no name here. */
static struct span known_error(struct span error)
{
    static const struct span names[] = {
        SPAN_INIT("access_denied"),           SPAN_INIT("invalid_request"),
        SPAN_INIT("unauthorized_client"),     SPAN_INIT("unsupported_response_type"),
        SPAN_INIT("invalid_scope"),           SPAN_INIT("server_error"),
        SPAN_INIT("temporarily_unavailable"), SPAN_INIT("interaction_required"),
        SPAN_INIT("login_required"),          SPAN_INIT("account_selection_required"),
        SPAN_INIT("consent_required"),
    };

    for (size_t i = 0; i < ARRAY_LEN(names); i++)
        if (span_equal(names[i], error))
            return names[i];
    return SPAN("unknown");
}

const char *oidc_returned(struct span query, struct arena *arena, struct oidc_return *out)
{
    struct params params = { 0 };
    const struct {
        struct span name;
        struct span *value;
    } wanted[] = { { SPAN_INIT("code"), &out->code },
                   { SPAN_INIT("state"), &out->state },
                   { SPAN_INIT("iss"), &out->issuer },
                   { SPAN_INIT("error"), &out->error } };

    *out = (struct oidc_return){ 0 };
    if (params_parse(&params, query, OIDC_PARAMS_MAX, arena) != OK)
        return "oidc-parameters";
    for (unsigned i = 0; i < params.count; i++)
        for (size_t k = 0; k < ARRAY_LEN(wanted); k++) {
            if (!span_equal(params.items[i].name, wanted[k].name))
                continue;
            if (wanted[k].value->p != NULL) /* one reading */
                return "oidc-parameters";
            *wanted[k].value = params.items[i].value;
        }
    if (out->state.len == 0)
        return "oidc-state";
    if (out->error.p != NULL)
        out->error = known_error(out->error);
    else if (out->code.len == 0 || out->code.len > OIDC_CODE_MAX)
        return "oidc-code";
    return NULL;
}

/* ---- the token endpoint ---- */

static bool copy_text(const json_t *root, const char *name, size_t max, struct arena *arena,
                      struct span *out)
{
    struct span text = strict_json_text(root, name);

    *out = SPAN("");
    if (json_object_get(root, name) == NULL)
        return true;
    if (text.p == NULL || text.len > max)
        return false;
    *out = arena_copy(arena, text);
    return out->p != NULL;
}

static const char *read_tokens(const json_t *root, struct arena *arena, struct oidc_tokens *out)
{
    const json_t *lasts = json_object_get(root, "expires_in");

    if (!span_equal_nocase(strict_json_text(root, "token_type"), SPAN("Bearer")))
        return "oidc-token-type";
    if (!copy_text(root, "id_token", TOKEN_BYTES_MAX, arena, &out->id_token) ||
        !copy_text(root, "access_token", OIDC_ACCESS_TOKEN_MAX, arena, &out->access_token) ||
        !copy_text(root, "refresh_token", OIDC_REFRESH_TOKEN_MAX, arena, &out->refresh_token))
        return "oidc-answer";
    if (out->access_token.len == 0)
        return "oidc-answer";
    if (json_is_integer(lasts) && json_integer_value(lasts) > 0)
        out->lasts_s = (uint64_t)json_integer_value(lasts);
    return NULL;
}

const char *oidc_answer(int status, struct span body, struct arena *arena,
                        struct oidc_tokens *out, bool *gone)
{
    json_t *root = strict_json_object(body, OIDC_ANSWER_BYTES_MAX);
    const char *why = "oidc-answer";

    *out = (struct oidc_tokens){ 0 };
    *gone = false;
    if (root == NULL)
        return status == 200 ? why : "oidc-status";
    if (status == 200) {
        why = read_tokens(root, arena, out);
    } else {
        /* RFC 6749 section 5.2: anything else may be over in a moment. */
        *gone = span_equal(strict_json_text(root, "error"), SPAN("invalid_grant"));
        why = *gone ? "oidc-invalid-grant" : "oidc-status";
    }
    json_decref(root);
    return why;
}

/* ---- ID tokens ---- */

/* Core section 3.1.3.6: the left half of the hash that the signature's algorithm uses. */
static bool at_hash_right(enum jose_alg alg, struct span token, struct span said)
{
    static const struct {
        const char *name; /* "RS256" and so on end with it */
        const EVP_MD *(*digest)(void);
    } rows[] = { { "256", EVP_sha256 }, { "384", EVP_sha384 }, { "512", EVP_sha512 } };
    const EVP_MD *digest = EVP_sha512(); /* EdDSA with Ed25519 */
    uint8_t bytes[EVP_MAX_MD_SIZE];
    char text[EVP_MAX_MD_SIZE];
    struct text half = text_fixed(text, sizeof text);
    unsigned len = 0;

    for (size_t i = 0; i < ARRAY_LEN(rows); i++)
        if (span_ends(span_text(jose_alg_name(alg)), span_text(rows[i].name)))
            digest = rows[i].digest();
    if (EVP_Digest(token.p, token.len, bytes, &len, digest, NULL) != 1)
        return false;
    base64url_encode(&half, span_of((const char *)bytes, len / 2));
    return span_equal(text_span(&half), said);
}

static bool same_secret(struct span a, struct span b)
{
    return a.len == b.len && bytes_equal_constant_time(a.p, b.p, a.len);
}

static const char *check_party(const json_t *claims, struct span client_id)
{
    const json_t *aud = json_object_get(claims, "aud"), *azp = json_object_get(claims, "azp");

    /* Core section 3.1.3.7, 4 and 5: whom it was made for, where several may read it. */
    if (azp == NULL)
        return json_array_size(aud) > 1 ? "oidc-azp" : NULL;
    return span_equal(strict_json_text(claims, "azp"), client_id) ? NULL : "oidc-azp";
}

static const char *check_id_claims(const struct oidc_expect *expect,
                                   const struct trusted *trusted)
{
    const json_t *claims = trusted->claims;
    struct span subject = strict_json_text(claims, "sub");
    const char *why = check_party(claims, expect->client_id);

    if (why != NULL)
        return why;
    if (!token_user_valid(subject) || subject.len > OIDC_SUBJECT_MAX)
        return "oidc-subject";
    if (expect->subject.len > 0 && !span_equal(subject, expect->subject))
        return "oidc-other-subject";
    if (json_object_get(claims, "iat") == NULL)
        return "token-claims"; /* required: Core section 2 */
    struct span nonce = strict_json_text(claims, "nonce");
    if (expect->nonce.len > 0 && !same_secret(nonce, expect->nonce))
        return "oidc-nonce";
    if (json_object_get(claims, "at_hash") != NULL && expect->access_token.len > 0 &&
        !at_hash_right(trusted->alg, expect->access_token, strict_json_text(claims, "at_hash")))
        return "oidc-at-hash";
    return NULL;
}

const char *oidc_id_token(const struct oidc_expect *expect, struct span token, uint64_t now_s,
                          struct arena *arena, struct trusted *out)
{
    enum jose_error error = token.len > TOKEN_BYTES_MAX
                                ? JOSE_TOO_LONG
                                : token_trust(expect->issuer, 1, token, now_s, arena, out);

    if (error != JOSE_OK) {
        out->claims = NULL;
        return jose_slug(error);
    }
    const char *why = check_id_claims(expect, out);
    if (why != NULL) {
        json_decref(out->claims);
        out->claims = NULL;
    }
    return why;
}

/* ---- userinfo ---- */

static bool is_json(struct span type)
{
    struct span rest = type, kind;

    return span_cut(&rest, ';', &kind) &&
           span_equal_nocase(span_trim(kind), SPAN("application/json"));
}

const char *oidc_userinfo(struct trusted *trusted, int status, struct span content_type,
                          struct span body)
{
    if (status != 200 || !is_json(content_type))
        return "oidc-userinfo";
    json_t *more = strict_json_object(body, OIDC_ANSWER_BYTES_MAX);
    if (more == NULL)
        return "oidc-userinfo";
    /* Core section 5.3.2: it may be of somebody else, where tokens were swapped. */
    struct span subject = strict_json_text(more, "sub");
    bool same =
        subject.len > 0 && span_equal(subject, strict_json_text(trusted->claims, "sub"));
    if (same && json_object_update_missing(trusted->claims, more) == 0)
        trusted->bytes += body.len;
    else
        same = false;
    json_decref(more);
    return same ? NULL : "oidc-userinfo-subject";
}

void oidc_forget_protocol(json_t *claims)
{
    static const char *const names[] = { "iss",       "aud",    "exp",    "nbf", "iat", "nonce",
                                         "at_hash",   "c_hash", "s_hash", "azp", "jti", "sid",
                                         "auth_time", "rat",    "uti",    "aio", "rh" };

    for (size_t i = 0; i < ARRAY_LEN(names); i++)
        (void)json_object_del(claims, names[i]);
}

/* ---- logout tokens ---- */

static const char *check_logout(const json_t *claims, struct arena *arena,
                                struct oidc_logout *out)
{
    const json_t *events = json_object_get(claims, "events");

    /* An ID token must not pass for one: they have `nonce`, and no such event. */
    if (!json_is_object(json_object_get(events, LOGOUT_EVENT)))
        return "oidc-logout-event";
    if (json_object_get(claims, "nonce") != NULL)
        return "oidc-logout-nonce";
    if (json_object_get(claims, "iat") == NULL || strict_json_text(claims, "jti").len == 0)
        return "token-claims";
    if (!copy_text(claims, "sub", OIDC_SUBJECT_MAX, arena, &out->subject) ||
        !copy_text(claims, "sid", OIDC_SUBJECT_MAX, arena, &out->sid) ||
        (out->subject.len == 0 && out->sid.len == 0))
        return "oidc-logout-subject";
    return NULL;
}

const char *oidc_logout_token(const struct token_issuer *issuer, struct span token,
                              uint64_t now_s, struct arena *arena, struct oidc_logout *out)
{
    struct trusted trusted = { 0 };
    enum jose_error error = token.len > TOKEN_BYTES_MAX
                                ? JOSE_TOO_LONG
                                : token_trust(issuer, 1, token, now_s, arena, &trusted);

    *out = (struct oidc_logout){ 0 };
    if (error != JOSE_OK)
        return jose_slug(error);
    const char *why = check_logout(trusted.claims, arena, out);
    json_decref(trusted.claims);
    return why;
}
