/*
 * One row a trick. The claims are good unless the row is about claims, the signature is right
 * unless it is about signatures: so each fails for its own reason, and none for another's.
 */
#include "auth/selftest.h"

#include "auth/base64url.h"
#include "auth/forge.h"
#include "auth/strictjson.h"
#include "auth/token.h"

enum { NOW = 1800000000, SELFTEST_ARENA = 1024 * 1024 };

/* What stands in the third part. */
enum maker {
    RIGHT,   /* as the header's algorithm has it, with the issuer's key */
    THIEF,   /* RS256 with a key of nobody */
    NOTHING, /* empty */
    NO_PART, /* not even the dot */
    FOUR_PARTS,
    FIVE_PARTS,    /* a JWE's */
    HMAC_PEM,      /* HMAC, the secret being the public key's text ... */
    HMAC_PEM_BARE, /* ... without its last line end */
    HMAC_DER,      /* ... its DER */
    HMAC_MODULUS,  /* ... its modulus */
    HMAC_EMPTY,    /* ... nothing */
    ZEROS,         /* r = s = 0 */
    ORDER,         /* r = s = the curve's order */
    ONES,
    FLIPPED,       /* one bit */
    SHORT,         /* the last byte is missing */
    LONG,          /* one byte too many */
    PADDED,        /* right, with = behind */
    SPACED,        /* right, with white space behind */
    OTHER_LETTERS, /* right, in the other alphabet's spelling */
    SPARE_BITS,    /* right, but another last letter of the same meaning */
    SWAPPED,       /* right for other claims */
    OTHER_ALG,     /* RS256's signature under a header that says RS512 */
};

struct trick {
    const char *name, *header, *claims;
    enum maker maker;
    enum jose_error expected;
};

#define H(alg, kid, more) "{\"alg\":\"" alg "\",\"kid\":\"" kid "\"" more "}"
#define RS H("RS256", "rsa", "")
#define HS(alg) H(alg, "rsa", "")
#define C(more)                                                                                \
    "{\"iss\":\"https://id.test\",\"aud\":\"api\",\"sub\":\"ann\",\"exp\":1800000300" more "}"
#define ISS(iss) "{\"iss\":" iss ",\"aud\":\"api\",\"sub\":\"ann\",\"exp\":1800000300}"
#define AUD(aud)                                                                               \
    "{\"iss\":\"https://id.test\",\"aud\":" aud ",\"sub\":\"ann\",\"exp\":1800000300}"
#define SUB(sub)                                                                               \
    "{\"iss\":\"https://id.test\",\"aud\":\"api\",\"sub\":" sub ",\"exp\":1800000300}"
#define EXP(exp) "{\"iss\":\"https://id.test\",\"aud\":\"api\",\"sub\":\"ann\",\"exp\":" exp "}"
#define DEEP "[[[[[[[[[[1]]]]]]]]]]"

static const struct trick tricks[] = {
    { "honest RS256", RS, C(""), RIGHT, JOSE_OK },
    { "honest RS384", H("RS384", "rsa", ""), C(""), RIGHT, JOSE_OK },
    { "honest PS256", H("PS256", "rsa", ""), C(""), RIGHT, JOSE_OK },
    { "honest PS512", H("PS512", "rsa", ""), C(""), RIGHT, JOSE_OK },
    { "honest ES256", H("ES256", "p256", ""), C(""), RIGHT, JOSE_OK },
    { "honest ES384", H("ES384", "p384", ""), C(""), RIGHT, JOSE_OK },
    { "honest EdDSA", H("EdDSA", "ed", ""), C(""), RIGHT, JOSE_OK },
    { "honest HS256", H("HS256", "oct", ""), C(""), RIGHT, JOSE_OK },
    { "honest HS512", H("HS512", "oct", ""), C(""), RIGHT, JOSE_OK },
    { "honest, without a key id", "{\"alg\":\"RS256\"}", C(""), RIGHT, JOSE_OK },
    { "honest, typ at+jwt", H("RS256", "rsa", ",\"typ\":\"at+jwt\""), C(""), RIGHT, JOSE_OK },
    { "honest, typ application/AT+JWT", H("RS256", "rsa", ",\"typ\":\"application/AT+JWT\""),
      C(""), RIGHT, JOSE_OK },
    { "honest, several audiences", RS, AUD("[\"other\",\"api\"]"), RIGHT, JOSE_OK },
    { "honest, just within the skew", RS, EXP("1799999941"), RIGHT, JOSE_OK },

    /* CVE-2015-9235 and all that followed it */
    { "alg none", H("none", "rsa", ""), C(""), NOTHING, JOSE_PARTS },
    { "alg none, some signature", H("none", "rsa", ""), C(""), THIEF, JOSE_ALGORITHM },
    { "alg None", H("None", "rsa", ""), C(""), THIEF, JOSE_ALGORITHM },
    { "alg nOnE", H("nOnE", "rsa", ""), C(""), THIEF, JOSE_ALGORITHM },
    { "alg NONE, unsigned", H("NONE", "rsa", ""), C(""), NO_PART, JOSE_PARTS },
    { "alg empty", H("", "rsa", ""), C(""), THIEF, JOSE_ALGORITHM },
    { "no alg", "{\"kid\":\"rsa\"}", C(""), THIEF, JOSE_ALGORITHM },
    { "alg null", "{\"alg\":null}", C(""), THIEF, JOSE_ALGORITHM },
    { "alg a list", "{\"alg\":[\"RS256\"]}", C(""), THIEF, JOSE_ALGORITHM },
    { "alg in small letters", H("rs256", "rsa", ""), C(""), RIGHT, JOSE_ALGORITHM },
    { "alg with a space", H("RS256 ", "rsa", ""), C(""), THIEF, JOSE_ALGORITHM },
    { "alg twice", "{\"alg\":\"RS256\",\"alg\":\"none\"}", C(""), THIEF, JOSE_HEADER },
    { "alg twice, one escaped", "{\"alg\":\"RS256\",\"\\u0061lg\":\"none\"}", C(""), THIEF,
      JOSE_HEADER },
    { "signature stripped", RS, C(""), NOTHING, JOSE_PARTS },
    { "signature and dot stripped", RS, C(""), NO_PART, JOSE_PARTS },
    { "four parts", RS, C(""), FOUR_PARTS, JOSE_PARTS },
    { "five parts, as an encrypted one", H("RSA-OAEP", "rsa", ",\"enc\":\"A256GCM\""), C(""),
      FIVE_PARTS, JOSE_PARTS },

    /* algorithm confusion: CVE-2016-5431, CVE-2022-23541, CVE-2024-54150 */
    { "HS256 keyed with the public key's PEM", HS("HS256"), C(""), HMAC_PEM, JOSE_KEY_UNKNOWN },
    { "HS256 keyed with the PEM, no line end", HS("HS256"), C(""), HMAC_PEM_BARE,
      JOSE_KEY_UNKNOWN },
    { "HS256 keyed with the public key's DER", HS("HS256"), C(""), HMAC_DER, JOSE_KEY_UNKNOWN },
    { "HS256 keyed with the modulus", HS("HS256"), C(""), HMAC_MODULUS, JOSE_KEY_UNKNOWN },
    { "HS384 keyed with the PEM", HS("HS384"), C(""), HMAC_PEM, JOSE_KEY_UNKNOWN },
    { "HS512 keyed with the PEM", HS("HS512"), C(""), HMAC_PEM, JOSE_KEY_UNKNOWN },
    { "HS256 keyed with the PEM, no key id", "{\"alg\":\"HS256\"}", C(""), HMAC_PEM,
      JOSE_SIGNATURE },
    { "HS256 keyed with nothing", H("HS256", "oct", ""), C(""), HMAC_EMPTY, JOSE_SIGNATURE },
    { "HS256 for an elliptic key", H("HS256", "p256", ""), C(""), HMAC_EMPTY,
      JOSE_KEY_UNKNOWN },
    { "RS256 for an elliptic key", H("RS256", "p256", ""), C(""), RIGHT, JOSE_KEY_UNKNOWN },
    { "ES256 for an RSA key", H("ES256", "rsa", ""), C(""), RIGHT, JOSE_KEY_UNKNOWN },
    { "ES256 for a key on P-384", H("ES256", "p384", ""), C(""), RIGHT, JOSE_KEY_UNKNOWN },
    { "EdDSA for an RSA key", H("EdDSA", "rsa", ""), C(""), RIGHT, JOSE_KEY_UNKNOWN },
    { "ES512, which nobody takes", H("ES512", "p256", ""), C(""), ONES, JOSE_ALGORITHM },
    { "ES256K, which nobody takes", H("ES256K", "p256", ""), C(""), ONES, JOSE_ALGORITHM },
    { "RS512, which this issuer does not use", H("RS512", "rsa", ""), C(""), RIGHT,
      JOSE_KEY_UNKNOWN },
    { "RS384 with the signature of RS256", H("RS384", "rsa", ""), C(""), OTHER_ALG,
      JOSE_SIGNATURE },
    { "PS256 with the signature of RS256", H("PS256", "rsa", ""), C(""), OTHER_ALG,
      JOSE_SIGNATURE },

    /* keys that the token brings along: CVE-2018-0114, CVE-2022-21449 and others */
    { "jwk in the header",
      H("RS256", "rsa", ",\"jwk\":{\"kty\":\"RSA\",\"n\":\"AQAB\",\"e\":\"AQAB\"}"), C(""),
      THIEF, JOSE_KEY_INSIDE },
    { "jku in the header", H("RS256", "rsa", ",\"jku\":\"https://evil.test/jwks\""), C(""),
      THIEF, JOSE_KEY_INSIDE },
    { "x5u in the header", H("RS256", "rsa", ",\"x5u\":\"https://evil.test/c.pem\""), C(""),
      THIEF, JOSE_KEY_INSIDE },
    { "x5c in the header", H("RS256", "rsa", ",\"x5c\":[\"MIIB\"]"), C(""), THIEF,
      JOSE_KEY_INSIDE },
    { "kid that climbs to a file", H("HS256", "../../../../dev/null", ""), C(""), HMAC_EMPTY,
      JOSE_KEY_UNKNOWN },
    { "kid with SQL in it", H("HS256", "x' UNION SELECT 'k' --", ""), C(""), HMAC_EMPTY,
      JOSE_KEY_UNKNOWN },
    { "kid with a command in it", H("RS256", "key;id|", ""), C(""), THIEF, JOSE_KEY_UNKNOWN },
    { "kid that is a URL", H("RS256", "https://evil.test/key", ""), C(""), THIEF,
      JOSE_KEY_UNKNOWN },
    { "kid in other letters", H("RS256", "RSA", ""), C(""), RIGHT, JOSE_KEY_UNKNOWN },
    { "kid with NUL", H("RS256", "rsa\\u0000", ""), C(""), RIGHT, JOSE_HEADER },
    { "kid empty", H("RS256", "", ""), C(""), RIGHT, JOSE_HEADER },
    { "kid a number", "{\"alg\":\"RS256\",\"kid\":1}", C(""), RIGHT, JOSE_HEADER },
    { "kid of another key", H("RS256", "oct", ""), C(""), RIGHT, JOSE_KEY_UNKNOWN },
    { "signed by a stranger", RS, C(""), THIEF, JOSE_SIGNATURE },

    /* signatures */
    { "ES256 with r = s = 0", H("ES256", "p256", ""), C(""), ZEROS, JOSE_SIGNATURE },
    { "ES384 with r = s = 0", H("ES384", "p384", ""), C(""), ZEROS, JOSE_SIGNATURE },
    { "ES256 with r = s = the order", H("ES256", "p256", ""), C(""), ORDER, JOSE_SIGNATURE },
    { "ES256 with r = s = 1", H("ES256", "p256", ""), C(""), ONES, JOSE_SIGNATURE },
    { "RS256 of zeros", RS, C(""), ZEROS, JOSE_SIGNATURE },
    { "EdDSA of zeros", H("EdDSA", "ed", ""), C(""), ZEROS, JOSE_SIGNATURE },
    { "RS256, a bit flipped", RS, C(""), FLIPPED, JOSE_SIGNATURE },
    { "ES256, a bit flipped", H("ES256", "p256", ""), C(""), FLIPPED, JOSE_SIGNATURE },
    { "EdDSA, a bit flipped", H("EdDSA", "ed", ""), C(""), FLIPPED, JOSE_SIGNATURE },
    { "HS256, a bit flipped", H("HS256", "oct", ""), C(""), FLIPPED, JOSE_SIGNATURE },
    { "HS256, cut short", H("HS256", "oct", ""), C(""), SHORT, JOSE_SIGNATURE },
    { "RS256, cut short", RS, C(""), SHORT, JOSE_SIGNATURE },
    { "ES256, cut short", H("ES256", "p256", ""), C(""), SHORT, JOSE_SIGNATURE },
    { "RS256, a byte longer", RS, C(""), LONG, JOSE_SIGNATURE },
    { "EdDSA, a byte longer", H("EdDSA", "ed", ""), C(""), LONG, JOSE_SIGNATURE },
    { "right for other claims", RS, C(",\"admin\":true"), SWAPPED, JOSE_SIGNATURE },
    { "signature padded", RS, C(""), PADDED, JOSE_BASE64 },
    { "white space behind the signature", RS, C(""), SPACED, JOSE_BASE64 },
    { "signature in the other alphabet", RS, C(""), OTHER_LETTERS, JOSE_BASE64 },
    { "spare bits set in the signature", RS, C(""), SPARE_BITS, JOSE_BASE64 },

    /* what must be understood: CVE-2025-59420 */
    { "crit", H("RS256", "rsa", ",\"crit\":[\"exp\"],\"exp\":1"), C(""), RIGHT, JOSE_CRITICAL },
    { "crit empty", H("RS256", "rsa", ",\"crit\":[]"), C(""), RIGHT, JOSE_CRITICAL },
    { "crit null", H("RS256", "rsa", ",\"crit\":null"), C(""), RIGHT, JOSE_CRITICAL },
    { "b64 false", H("RS256", "rsa", ",\"b64\":false,\"crit\":[\"b64\"]"), C(""), RIGHT,
      JOSE_CRITICAL },
    { "zip", H("RS256", "rsa", ",\"zip\":\"DEF\""), C(""), RIGHT, JOSE_CRITICAL },
    { "typ of another use", H("RS256", "rsa", ",\"typ\":\"logout+jwt\""), C(""), RIGHT,
      JOSE_TYPE },
    { "typ dpop+jwt", H("RS256", "rsa", ",\"typ\":\"dpop+jwt\""), C(""), RIGHT, JOSE_TYPE },
    { "typ a list", H("RS256", "rsa", ",\"typ\":[\"JWT\"]"), C(""), RIGHT, JOSE_HEADER },
    { "header that is a list", "[\"RS256\"]", C(""), RIGHT, JOSE_HEADER },
    { "header that is no JSON", "alg=RS256", C(""), RIGHT, JOSE_HEADER },
    { "header with something behind it", RS " {}", C(""), RIGHT, JOSE_HEADER },
    { "header too deep", H("RS256", "rsa", ",\"x\":" DEEP), C(""), RIGHT, JOSE_HEADER },
    { "header in bad UTF-8", H("RS256", "rsa", ",\"x\":\"\xff\""), C(""), RIGHT, JOSE_HEADER },

    /* claims */
    { "expired", RS, EXP("1799999940"), RIGHT, JOSE_EXPIRED },
    { "without an end", RS, "{\"iss\":\"https://id.test\",\"aud\":\"api\",\"sub\":\"ann\"}",
      RIGHT, JOSE_CLAIMS },
    { "end a text", RS, EXP("\"1800000300\""), RIGHT, JOSE_CLAIMS },
    { "end null", RS, EXP("null"), RIGHT, JOSE_CLAIMS },
    { "end negative", RS, EXP("-1"), RIGHT, JOSE_CLAIMS },
    { "end of 1e30", RS, EXP("1e30"), RIGHT, JOSE_CLAIMS },
    { "end of 1e400", RS, EXP("1e400"), RIGHT, JOSE_CLAIMS },
    { "end beyond 64 bits", RS, EXP("99999999999999999999"), RIGHT, JOSE_CLAIMS },
    { "exp twice", RS, EXP("1,\"exp\":1800000300"), RIGHT, JOSE_CLAIMS },
    { "exp in capitals beside one that expired", RS, EXP("1,\"EXP\":1800000300"), RIGHT,
      JOSE_EXPIRED },
    { "valid for years", RS, EXP("2800000000"), RIGHT, JOSE_LIFETIME },
    { "not yet valid", RS, C(",\"nbf\":1800000061"), RIGHT, JOSE_NOT_YET },
    { "issued in the future", RS, C(",\"iat\":1800000061"), RIGHT, JOSE_NOT_YET },
    { "nbf a text", RS, C(",\"nbf\":\"0\""), RIGHT, JOSE_CLAIMS },
    { "iat a boolean", RS, C(",\"iat\":true"), RIGHT, JOSE_CLAIMS },
    { "of another issuer", RS, ISS("\"https://evil.test\""), RIGHT, JOSE_ISSUER },
    { "issuer with a slash behind", RS, ISS("\"https://id.test/\""), RIGHT, JOSE_ISSUER },
    { "issuer in other letters", RS, ISS("\"https://ID.test\""), RIGHT, JOSE_ISSUER },
    { "issuer a list (CVE-2024-53861)", RS, ISS("[\"https://id.test\"]"), RIGHT, JOSE_ISSUER },
    { "issuer empty", RS, ISS("\"\""), RIGHT, JOSE_ISSUER },
    { "for another audience", RS, AUD("\"other\""), RIGHT, JOSE_AUDIENCE },
    { "audience that begins like ours", RS, AUD("\"api2\""), RIGHT, JOSE_AUDIENCE },
    { "audience an empty list", RS, AUD("[]"), RIGHT, JOSE_AUDIENCE },
    { "audience of lists", RS, AUD("[[\"api\"]]"), RIGHT, JOSE_CLAIMS },
    { "audience an object", RS, AUD("{\"api\":1}"), RIGHT, JOSE_CLAIMS },
    { "no audience", RS, "{\"iss\":\"https://id.test\",\"sub\":\"ann\",\"exp\":1800000300}",
      RIGHT, JOSE_AUDIENCE },
    { "user a number", RS, SUB("1"), RIGHT, JOSE_SUBJECT },
    { "user empty", RS, SUB("\"\""), RIGHT, JOSE_SUBJECT },
    { "user with a line end", RS, SUB("\"ann\\r\\nX-Admin: 1\""), RIGHT, JOSE_SUBJECT },
    { "user with NUL", RS, SUB("\"ann\\u0000\""), RIGHT, JOSE_CLAIMS },
    { "user with a space behind", RS, SUB("\"ann \""), RIGHT, JOSE_SUBJECT },
    { "user twice", RS, SUB("\"ann\",\"sub\":\"root\""), RIGHT, JOSE_CLAIMS },
    { "groups left out by the provider", RS, C(",\"_claim_names\":{\"groups\":\"src1\"}"),
      RIGHT, JOSE_GROUPS },
    { "groups left out, as a flag", RS, C(",\"hasgroups\":true"), RIGHT, JOSE_GROUPS },
    { "groups a number", RS, C(",\"groups\":1"), RIGHT, JOSE_GROUPS },
    { "groups with a line end", RS, C(",\"groups\":[\"a\\nb\"]"), RIGHT, JOSE_GROUPS },
    { "claims that are a list", RS, "[1]", RIGHT, JOSE_CLAIMS },
    { "claims that are a token again", RS, "eyJhbGciOiJub25lIn0.e30.", RIGHT, JOSE_CLAIMS },
    { "claims too deep", RS, C(",\"x\":" DEEP), RIGHT, JOSE_CLAIMS },
    { "claims in bad UTF-8", RS, C(",\"x\":\"\xc0\xaf\""), RIGHT, JOSE_CLAIMS },
};

/* ---- making them ---- */

static struct span sign_as(struct forge *forge, enum jose_alg alg, struct span text)
{
    static const enum forge_key keys[JOSE_ALGS] = {
        [JOSE_ES256] = FORGE_P256,   [JOSE_ES384] = FORGE_P384,   [JOSE_EDDSA] = FORGE_ED25519,
        [JOSE_HS256] = FORGE_SECRET, [JOSE_HS384] = FORGE_SECRET, [JOSE_HS512] = FORGE_SECRET,
    };
    if (alg == JOSE_ALGS)
        alg = JOSE_RS256;
    if (keys[alg] == FORGE_SECRET)
        return forge_hmac(forge, forge->secret, alg, text);
    return forge_sign(forge, forge->keys[keys[alg]], alg, text);
}

static struct span constant(struct forge *forge, enum jose_alg alg, enum maker maker)
{
    static const uint8_t order[] = { 0xff, 0xff, 0xff, 0xff, 0,    0,    0,    0,
                                     0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
                                     0xbc, 0xe6, 0xfa, 0xad, 0xa7, 0x17, 0x9e, 0x84,
                                     0xf3, 0xb9, 0xca, 0xc2, 0xfc, 0x63, 0x25, 0x51 };
    size_t len = alg == JOSE_ES384 ? 96 : alg == JOSE_RS256 ? 256 : 64;
    char *bytes = arena_zero(&forge->arena, 1, len);
    if (bytes == NULL)
        return span_of(NULL, 0);
    if (maker == ONES)
        bytes[len / 2 - 1] = bytes[len - 1] = 1;
    for (size_t i = 0; maker == ORDER && i < len; i++)
        bytes[i] = (char)order[i % sizeof(order)];
    return span_of(bytes, len);
}

/* The right signature, bent. */
static struct span bent(struct forge *forge, struct span signature, enum maker maker)
{
    char *bytes = arena_zero(&forge->arena, 1, signature.len + 1);
    if (bytes == NULL || signature.len == 0)
        return span_of(NULL, 0);
    memcpy(bytes, signature.p, signature.len);
    if (maker == FLIPPED)
        bytes[signature.len / 2] ^= 1;
    size_t len = maker == SHORT  ? signature.len - 1
                 : maker == LONG ? signature.len + 1
                                 : signature.len;
    return span_of(bytes, len);
}

/* The token's text, bent. */
static struct span respelled(struct forge *forge, struct span token, enum maker maker)
{
    struct text out = text_growing(&forge->arena, token.len + 8);
    text_add(&out, token);
    if (maker == PADDED)
        text_lit(&out, "==");
    else if (maker == SPACED)
        text_lit(&out, " ");
    else if (maker == FOUR_PARTS)
        text_lit(&out, ".AAAA");
    else if (maker == FIVE_PARTS)
        text_lit(&out, ".AAAA.AAAA");
    else if (maker == OTHER_LETTERS)
        out.p[out.len - 2] = '+';
    else if (maker == SPARE_BITS)
        out.p[out.len -
              1]++; /* 256 bytes end in two letters, of which the last has 4 spare bits
                     */
    return text_span(&out);
}

static struct span hmac_secret(const struct forge *forge, enum maker maker)
{
    switch (maker) {
    case HMAC_PEM:
        return forge->pem;
    case HMAC_PEM_BARE:
        return forge->pem_bare;
    case HMAC_DER:
        return forge->der;
    case HMAC_MODULUS:
        return forge->modulus;
    default:
        return SPAN("");
    }
}

static struct span make(struct forge *forge, const struct trick *trick)
{
    struct span text = forge_signing_text(forge, trick->header, trick->claims);
    json_t *header = strict_json_object(span_text(trick->header), TOKEN_HEADER_BYTES_MAX);
    enum jose_alg alg = jose_alg_of(strict_json_text(header, "alg"));
    enum maker maker = trick->maker;
    json_decref(header);

    if (maker == NO_PART)
        return text;
    if (maker == NOTHING)
        return forge_join(forge, text, SPAN(""));
    if (maker == THIEF)
        return forge_join(forge, text, forge_sign(forge, forge->thief, JOSE_RS256, text));
    if (maker == OTHER_ALG)
        return forge_join(forge, text, sign_as(forge, JOSE_RS256, text));
    if (maker >= HMAC_PEM && maker <= HMAC_EMPTY)
        return forge_join(forge, text, forge_hmac(forge, hmac_secret(forge, maker), alg, text));
    if (maker >= ZEROS && maker <= ONES)
        return forge_join(forge, text, constant(forge, alg, maker));
    if (maker == SWAPPED) {
        struct span other = forge_signing_text(forge, trick->header, C(""));
        return forge_join(forge, text, sign_as(forge, alg, other));
    }
    struct span signature = sign_as(forge, alg, text);
    if (maker >= FLIPPED && maker <= LONG)
        return forge_join(forge, text, bent(forge, signature, maker));
    return respelled(forge, forge_join(forge, text, signature), maker);
}

/* ---- trying them ---- */

static bool issuer_for(struct token_issuer *issuer, struct forge *forge)
{
    static struct span audience[] = { SPAN_INIT("api") };
    static struct span types[] = { SPAN_INIT("JWT"), SPAN_INIT("at+jwt") };
    *issuer = (struct token_issuer){
        .name = SPAN("https://id.test"),
        .audience = { audience, 1 },
        .types = { types, ARRAY_LEN(types) },
        .user_claim = SPAN("sub"),
        .groups_claim = SPAN("groups"),
        .lifetime_s = 86400,
        .skew_s = 60,
    };
    uint32_t algs = JOSE_ALL_ALGS & ~(1u << JOSE_RS512);
    return jwks_parse(&issuer->keys, forge->jwks, algs, &forge->arena) == NULL;
}

static const char *try_one(const struct token_issuer *issuer, struct forge *forge,
                           const struct trick *trick)
{
    struct arena arena;
    struct verified *verified = NULL;
    struct span token = make(forge, trick);
    if (token.p == NULL)
        return "the token could not be made";
    arena_init(&arena, NULL, 0, NULL, SELFTEST_ARENA);
    enum jose_error error = token_verify(issuer, 1, token, NOW, &arena, &verified);
    arena_reset(&arena);
    if (error == JOSE_OK)
        verified_release(verified);
    if (error == trick->expected)
        return NULL;
    return error == JOSE_OK ? "was let in" : jose_slug(error);
}

struct selftest_result
selftest_tokens(void (*tell)(void *ctx, const char *name, const char *trouble), void *ctx)
{
    struct selftest_result result = { 0 };
    struct forge forge;
    struct token_issuer issuer = { 0 };
    strict_json_init();
    if (!forge_open(&forge) || !issuer_for(&issuer, &forge)) {
        tell(ctx, "keys for the test", "cannot be made");
        result.failed++;
    }
    for (size_t i = 0; i < ARRAY_LEN(tricks) && issuer.name.len > 0; i++) {
        const char *trouble = try_one(&issuer, &forge, &tricks[i]);
        tell(ctx, tricks[i].name, trouble);
        result.passed += trouble == NULL;
        result.failed += trouble != NULL;
    }
    jwks_free(&issuer.keys);
    forge_close(&forge);
    return result;
}
