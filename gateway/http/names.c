/*
 * Field names to ids and back. A name's slot comes from its length and three of its letters;
 * the slots were chosen so that no two known names share one, and the compiler refuses a table
 * in which they do. Then one comparison decides.
 */
#include "gateway/http/names.h"

#include "gateway/http/chars.h"
#include "gateway/http/claims.h"

enum { SINGLE = FIELD_SINGLE, HOP = FIELD_HOP, OURS = FIELD_OURS }; /* as field.def says them */

const struct known_name known_names[FIELD_ID_COUNT] = {
    [FIELD_OTHER] = { .wire = "" },
#define FIELD(id, text, bits)                                                                  \
    [FIELD_##id] = { .wire = text ": ", .len = sizeof(text) - 1, .flags = (bits) },
#include "gateway/http/field.def"
#undef FIELD
};

#define FIELD(id, text, bits) | ((bits)&FIELD_SINGLE ? FIELD_BIT(id) : 0)
const uint64_t fields_single = 0
#include "gateway/http/field.def"
    ;
#undef FIELD

#define FIELD(id, text, bits) | ((bits)&FIELD_HOP ? FIELD_BIT(id) : 0)
const uint64_t fields_hop = 0
#include "gateway/http/field.def"
    ;
#undef FIELD

#define FIELD(id, text, bits) | ((bits)&FIELD_OURS ? FIELD_BIT(id) : 0)
const uint64_t fields_ours = 0
#include "gateway/http/field.def"
    ;
#undef FIELD

/*
 * What Connection must not name. Dropping one of these would change the framing, the route or
 * the origin that the next hop believes in (RFC 9110 section 7.6.1; X-Forwarded-For stripped
 * so).
 */
#define FIELD(id, text, bits) | ((bits)&FIELD_OURS ? FIELD_BIT(id) : 0)
const uint64_t fields_not_nominated =
    FIELD_BIT(HOST) | FIELD_BIT(CONTENT_LENGTH) | FIELD_BIT(TRANSFER_ENCODING) |
    FIELD_BIT(CONTENT_TYPE) | FIELD_BIT(CONTENT_ENCODING) | FIELD_BIT(EXPECT) |
    FIELD_BIT(AUTHORIZATION) | FIELD_BIT(COOKIE) | FIELD_BIT(SET_COOKIE) |
    FIELD_BIT(CACHE_CONTROL) | FIELD_BIT(WWW_AUTHENTICATE) | FIELD_BIT(SEC_WEBSOCKET_ACCEPT) |
    FIELD_BIT(SEC_WEBSOCKET_KEY) | FIELD_BIT(SEC_WEBSOCKET_VERSION)
#include "gateway/http/field.def"
    ;
#undef FIELD

#define FIELD(id, text, bits) | ((bits) & (FIELD_HOP | FIELD_OURS) ? FIELD_BIT(id) : 0)
static const uint64_t not_in_trailer =
    FIELD_BIT(HOST) | FIELD_BIT(CONTENT_LENGTH) | FIELD_BIT(CONTENT_TYPE) |
    FIELD_BIT(CONTENT_ENCODING) | FIELD_BIT(EXPECT) | FIELD_BIT(RANGE) | FIELD_BIT(TRAILER) |
    FIELD_BIT(AUTHORIZATION) | FIELD_BIT(WWW_AUTHENTICATE) | FIELD_BIT(COOKIE) |
    FIELD_BIT(SET_COOKIE) | FIELD_BIT(CACHE_CONTROL) | FIELD_BIT(LOCATION) |
    FIELD_BIT(RETRY_AFTER) | FIELD_BIT(ORIGIN) | FIELD_BIT(SEC_WEBSOCKET_ACCEPT) |
    FIELD_BIT(SEC_WEBSOCKET_KEY) | FIELD_BIT(SEC_WEBSOCKET_VERSION)
#include "gateway/http/field.def"
    ;
#undef FIELD

_Static_assert(FIELD_ID_COUNT <= 64, "one bit for each known name");
/* A new name needs its row in slots below; if its slot is taken, choose other factors. */
_Static_assert(FIELD_ID_COUNT == 55, "slots has a row for each known name");

enum { SLOTS = 256 };
/* First letter, the letter at three quarters, the last one (lower case), and the length. */
#define SLOT(first, inner, last, len)                                                          \
    (((unsigned)(first) + (unsigned)(inner) + (unsigned)(last)*7u + (unsigned)(len)*18u) %     \
     SLOTS)

static const uint8_t slots[SLOTS] = {
    [SLOT('a', 'p', 't', 6)] = FIELD_ACCEPT,
    [SLOT('a', 'd', 'g', 15)] = FIELD_ACCEPT_ENCODING,
    [SLOT('a', 'u', 'e', 15)] = FIELD_ACCEPT_LANGUAGE,
    [SLOT('a', 't', 'n', 13)] = FIELD_AUTHORIZATION,
    [SLOT('c', 't', 'l', 13)] = FIELD_CACHE_CONTROL,
    [SLOT('c', 's', 'e', 5)] = FIELD_CLOSE,
    [SLOT('c', 'i', 'n', 10)] = FIELD_CONNECTION,
    [SLOT('c', 'd', 'g', 16)] = FIELD_CONTENT_ENCODING,
    [SLOT('c', 'n', 'h', 14)] = FIELD_CONTENT_LENGTH,
    [SLOT('c', 'y', 'e', 12)] = FIELD_CONTENT_TYPE,
    [SLOT('c', 'i', 'e', 6)] = FIELD_COOKIE,
    [SLOT('d', 'e', 'e', 4)] = FIELD_DATE,
    [SLOT('e', 'c', 't', 6)] = FIELD_EXPECT,
    [SLOT('f', 'd', 'd', 9)] = FIELD_FORWARDED,
    [SLOT('h', 't', 't', 4)] = FIELD_HOST,
    [SLOT('h', 'i', 's', 14)] = FIELD_HTTP2_SETTINGS,
    [SLOT('k', 'i', 'e', 10)] = FIELD_KEEP_ALIVE,
    [SLOT('l', 'o', 'n', 8)] = FIELD_LOCATION,
    [SLOT('o', 'i', 'n', 6)] = FIELD_ORIGIN,
    [SLOT('p', 'i', 'e', 18)] = FIELD_PROXY_AUTHENTICATE,
    [SLOT('p', 'a', 'n', 19)] = FIELD_PROXY_AUTHORIZATION,
    [SLOT('p', 't', 'n', 16)] = FIELD_PROXY_CONNECTION,
    [SLOT('p', 'x', 'y', 5)] = FIELD_PROXY,
    [SLOT('r', 'g', 'e', 5)] = FIELD_RANGE,
    [SLOT('r', 'e', 'r', 7)] = FIELD_REFERER,
    [SLOT('r', 't', 'r', 11)] = FIELD_RETRY_AFTER,
    [SLOT('s', 'e', 'r', 6)] = FIELD_SERVER,
    [SLOT('s', 'k', 'e', 10)] = FIELD_SET_COOKIE,
    [SLOT('t', 'e', 'e', 2)] = FIELD_TE,
    [SLOT('t', 'e', 'r', 7)] = FIELD_TRAILER,
    [SLOT('t', 'o', 'g', 17)] = FIELD_TRANSFER_ENCODING,
    [SLOT('u', 'd', 'e', 7)] = FIELD_UPGRADE,
    [SLOT('u', 'e', 't', 10)] = FIELD_USER_AGENT,
    [SLOT('v', 'a', 'a', 3)] = FIELD_VIA,
    [SLOT('w', 'c', 'e', 16)] = FIELD_WWW_AUTHENTICATE,
    [SLOT('s', 'c', 't', 20)] = FIELD_SEC_WEBSOCKET_ACCEPT,
    [SLOT('s', 't', 'y', 17)] = FIELD_SEC_WEBSOCKET_KEY,
    [SLOT('s', 'e', 'n', 21)] = FIELD_SEC_WEBSOCKET_VERSION,
    [SLOT('t', 'e', 't', 11)] = FIELD_TRACEPARENT,
    [SLOT('t', 't', 'p', 14)] = FIELD_TRUE_CLIENT_IP,
    [SLOT('x', '-', 'p', 11)] = FIELD_X_CLIENT_IP,
    [SLOT('x', 'd', 'y', 14)] = FIELD_X_FORWARDED_BY,
    [SLOT('x', '-', 'r', 15)] = FIELD_X_FORWARDED_FOR,
    [SLOT('x', 'h', 't', 16)] = FIELD_X_FORWARDED_HOST,
    [SLOT('x', 'p', 't', 16)] = FIELD_X_FORWARDED_PORT,
    [SLOT('x', 'r', 'x', 18)] = FIELD_X_FORWARDED_PREFIX,
    [SLOT('x', 'p', 'o', 17)] = FIELD_X_FORWARDED_PROTO,
    [SLOT('x', 'e', 'r', 18)] = FIELD_X_FORWARDED_SERVER,
    [SLOT('x', '-', 'i', 15)] = FIELD_X_FORWARDED_URI,
    [SLOT('x', '-', 'l', 14)] = FIELD_X_ORIGINAL_URL,
    [SLOT('x', '-', 'y', 12)] = FIELD_X_POWERED_BY,
    [SLOT('x', '-', 'p', 9)] = FIELD_X_REAL_IP,
    [SLOT('x', '-', 'd', 12)] = FIELD_X_REQUEST_ID,
    [SLOT('x', '-', 'l', 13)] = FIELD_X_REWRITE_URL,
};

/*
 * Equal but for the bit of case. Exact for tokens against our names: no token character other
 * than the same letter, digit or hyphen comes to the same byte by that bit.
 */
static bool same_but_case(const char *a, const char *b, size_t len, bool readable)
{
#if defined(__SSSE3__)
    if (readable) { /* no branch on the length: it differs from field to field */
        const __m128i bit = _mm_set1_epi8(0x20);
        __m128i low =
            _mm_cmpeq_epi8(_mm_or_si128(load_bytes(a), bit), _mm_or_si128(load_bytes(b), bit));
        __m128i high = _mm_cmpeq_epi8(_mm_or_si128(load_bytes(a + 16), bit),
                                      _mm_or_si128(load_bytes(b + 16), bit));
        uint64_t same = (unsigned)_mm_movemask_epi8(low) |
                        (uint64_t)(unsigned)_mm_movemask_epi8(high) << 16;
        uint64_t wanted = (UINT64_C(1) << len) - 1;
        return (same & wanted) == wanted;
    }
#else
    (void)readable;
#endif
    for (size_t i = 0; i < len; i++)
        if ((a[i] ^ b[i]) & ~0x20)
            return false;
    return true;
}

enum field_id field_id_of_token(struct span token, bool readable)
{
    if (token.len == 0)
        return FIELD_OTHER;
    unsigned first = (uint8_t)token.p[0] | 0x20u;
    unsigned inner = (uint8_t)token.p[token.len * 3 / 4] | 0x20u;
    unsigned last = (uint8_t)token.p[token.len - 1] | 0x20u;
    unsigned id = slots[SLOT(first, inner, last, token.len)];
    const struct known_name *name = &known_names[id];

    if (name->len != token.len || !same_but_case(token.p, name->wire, token.len, readable))
        return FIELD_OTHER;
    return (enum field_id)id;
}

enum field_id field_id_of(struct span name)
{
    return span_all(name, CHAR_TOKEN) ? field_id_of_token(name, false) : FIELD_OTHER;
}

enum field_id field_id_of_alias(struct span token)
{
    char folded[32];

    if (token.len > sizeof folded)
        return FIELD_OTHER;
    for (size_t i = 0; i < token.len; i++) {
        char c = token.p[i];
        folded[i] = c == '_' || c == '.' ? '-' : c;
    }
    return field_id_of(span_of(folded, token.len));
}

bool field_may_trail(const struct field *field)
{
    return !field_in(not_in_trailer, field->id) &&
           !(field->odd && field_in(not_in_trailer, field_id_of_alias(field->name))) &&
           !(field->id == FIELD_OTHER && field_claims(field->name) != CLAIM_NONE);
}

struct span field_name(enum field_id id)
{
    return span_of(known_names[id].wire, known_names[id].len);
}

unsigned field_flags(enum field_id id)
{
    return known_names[id].flags;
}
