/* Properties of requests that limits count by: one row each. */
#include "ratelimit/key.h"

#include <endian.h>
#include <sodium.h>

#include "gateway/chain/identity.h"
#include "gateway/chain/scope.h"
#include "gateway/http/message.h"
#include "gateway/http/params.h"

/* Where a value comes from; `missing` and `failed` are not values. */
struct value {
    struct span text;
    bool missing, failed;
};

enum { ASN_DIGITS_MAX = 20 };

struct key_kind {
    struct span name; /* with a colon: what follows names the header, cookie, argument */
    enum key_stage stage;
    struct value (*get)(struct txn *txn, struct span name);
};

static struct value value_if_any(struct span text)
{
    return (struct value){ .text = text, .missing = text.len == 0 };
}

const struct claim *only_claim(const struct identity *identity, struct span name)
{
    const struct claim *claim = identity_claim(identity, name, NULL);
    return claim != NULL && identity_claim(identity, name, claim) == NULL ? claim : NULL;
}

/* A token, too, may have a claim of that name, and is no API key for it. */
struct span api_key_of(const struct txn *txn)
{
    const struct identity *identity = txn->facts.identity;
    if (identity == NULL || !span_equal(txn->facts.auth, SPAN("api_keys")))
        return SPAN("");
    const struct claim *claim = identity_claim(identity, SPAN("key"), NULL);
    return claim != NULL ? claim->value : SPAN("");
}

/* ---- the properties ---- */

static struct value get_site(struct txn *txn, struct span name)
{
    (void)name;
    return (struct value){ .text = span_text(txn->site->name) };
}

static struct value get_route(struct txn *txn, struct span name)
{
    (void)name;
    return (struct value){ .text = span_text(txn->route->name) };
}

static struct value get_method(struct txn *txn, struct span name)
{
    (void)name;
    return value_if_any(txn->req->method);
}

static struct value get_host(struct txn *txn, struct span name)
{
    (void)name;
    return value_if_any(txn->req->host);
}

/* What routes are found by, so that /a;x and /a count as one. */
static struct value get_path(struct txn *txn, struct span name)
{
    (void)name;
    const struct request *req = txn->req;
    return value_if_any(req->path_plain.len > 0 ? req->path_plain : req->path);
}

static struct value get_user(struct txn *txn, struct span name)
{
    (void)name;
    return value_if_any(txn->facts.user);
}

/* Nothing of these is the client's own word: a stage has verified it. */
static struct value get_api_key(struct txn *txn, struct span name)
{
    (void)name;
    return value_if_any(api_key_of(txn));
}

/* Who is in several groups is counted by none of them: which one is meant nobody can say. */
static struct value get_group(struct txn *txn, struct span name)
{
    (void)name;
    const struct identity *identity = txn->facts.identity;
    if (identity == NULL || identity->group_count != 1)
        return (struct value){ .missing = true };
    return value_if_any(identity->groups[0]);
}

static struct value get_claim(struct txn *txn, struct span name)
{
    const struct identity *identity = txn->facts.identity;
    const struct claim *claim = identity != NULL ? only_claim(identity, name) : NULL;
    return claim != NULL ? value_if_any(claim->value) : (struct value){ .missing = true };
}

static struct value get_country(struct txn *txn, struct span name)
{
    (void)name;
    const struct geo *geo = txn_geo(txn, false);
    return value_if_any(geo != NULL ? span_text(geo->country) : span_of(NULL, 0));
}

static struct value get_asn(struct txn *txn, struct span name)
{
    (void)name;
    const struct geo *geo = txn_geo(txn, false);
    char *digits =
        geo != NULL && geo->asn != 0 ? arena_alloc(txn->arena, ASN_DIGITS_MAX) : NULL;
    if (digits == NULL)
        return (struct value){ .missing = true, .failed = txn->arena->exhausted };
    struct text text = text_fixed(digits, ASN_DIGITS_MAX);
    text_uint(&text, geo->asn);
    return (struct value){ .text = text_span(&text) };
}

static struct value get_ja4(struct txn *txn, struct span name)
{
    (void)name;
    return value_if_any(txn_ja4(txn));
}

static struct value get_field_order(struct txn *txn, struct span name)
{
    (void)name;
    return value_if_any(txn_field_order(txn));
}

/* Two lines of one name: which of them the backend reads is not known here. */
static struct value get_header(struct txn *txn, struct span name)
{
    const struct field *field = fields_find(&txn->req->fields, name);
    if (field == NULL || fields_next(&txn->req->fields, field) != NULL)
        return (struct value){ .missing = true };
    return value_if_any(field->value);
}

static struct value only_one(struct txn *txn, enum scope_params which, struct span name)
{
    const struct params *params = scope_params(txn, which);
    if (params == NULL)
        return (struct value){ .failed = txn->arena->exhausted, .missing = true };
    struct value found = { .missing = true };
    for (unsigned i = 0; i < params->count; i++) {
        if (!span_equal(params->items[i].name, name))
            continue;
        if (!found.missing)
            return (struct value){ .missing = true };
        found = (struct value){ .text = params->items[i].value };
    }
    return found;
}

static struct value get_cookie(struct txn *txn, struct span name)
{
    return only_one(txn, SCOPE_COOKIES, name);
}

static struct value get_query(struct txn *txn, struct span name)
{
    return only_one(txn, SCOPE_QUERY, name);
}

static struct value get_field(struct txn *txn, struct span name)
{
    return only_one(txn, SCOPE_FORM, name);
}

/*
 * A property that another stage writes as a fact is one more row here, and counts from the
 * place on where that stage stands.
 */
static const struct key_kind kinds[] = {
    { SPAN_INIT("client.ip"), KEY_AT_HEAD, NULL },
    { SPAN_INIT("site"), KEY_AT_HEAD, get_site },
    { SPAN_INIT("route"), KEY_AT_HEAD, get_route },
    { SPAN_INIT("method"), KEY_AT_HEAD, get_method },
    { SPAN_INIT("host"), KEY_AT_HEAD, get_host },
    { SPAN_INIT("path"), KEY_AT_HEAD, get_path },
    { SPAN_INIT("client.country"), KEY_AT_HEAD, get_country },
    { SPAN_INIT("client.asn"), KEY_AT_HEAD, get_asn },
    { SPAN_INIT("client.ja4"), KEY_AT_HEAD, get_ja4 },
    { SPAN_INIT("client.field_order"), KEY_AT_HEAD, get_field_order },
    { SPAN_INIT("header:"), KEY_AT_HEAD, get_header },
    { SPAN_INIT("cookie:"), KEY_AT_HEAD, get_cookie },
    { SPAN_INIT("query:"), KEY_AT_HEAD, get_query },
    { SPAN_INIT("user"), KEY_AT_SUBJECT, get_user },
    { SPAN_INIT("group"), KEY_AT_SUBJECT, get_group },
    { SPAN_INIT("api_key"), KEY_AT_SUBJECT, get_api_key },
    { SPAN_INIT("claim:"), KEY_AT_SUBJECT, get_claim },
    { SPAN_INIT("field:"), KEY_AT_BODY, get_field },
};

/* ---- at load ---- */

static bool find_kind(struct span text, struct key_part *part)
{
    for (size_t i = 0; i < ARRAY_LEN(kinds); i++) {
        const struct key_kind *kind = &kinds[i];
        bool named = kind->name.p[kind->name.len - 1] == ':';
        if (named ? text.len > kind->name.len && span_starts(text, kind->name)
                  : span_equal(text, kind->name)) {
            *part = (struct key_part){ .kind = kind };
            if (named)
                part->name = span_sub(text, kind->name.len, text.len);
            return true;
        }
    }
    return false;
}

const char *key_plan_parse(struct key_plan *plan, struct span text)
{
    struct span rest = text.len > 0 ? text : SPAN("client.ip"), part;
    bool route = false;
    *plan = (struct key_plan){ .count = 0 };
    while (span_cut(&rest, '+', &part)) {
        if (plan->count == KEY_PROPERTIES_MAX)
            return "a limit counts by at most four properties";
        struct key_part *into = &plan->parts[plan->count++];
        if (!find_kind(span_trim(part), into))
            return "a limit counts by client.ip, client.country, client.asn, client.ja4, "
                   "client.field_order, site, route, "
                   "method, host, path, user, group, api_key, claim:NAME, "
                   "header:NAME, cookie:NAME, query:NAME, field:NAME, or several joined by +";
        if (into->kind->stage > plan->stage)
            plan->stage = into->kind->stage;
        plan->by_address = plan->by_address || into->kind->get == NULL;
        plan->by_geo =
            plan->by_geo || into->kind->get == get_country || into->kind->get == get_asn;
        route = route || into->kind->get == get_route;
    }
    /* Every site has a route of the name "default". */
    if (route && !find_kind(SPAN("site"), &plan->parts[plan->count++]))
        return "a route is of a site";
    return NULL;
}

void key_plan_write(const struct key_plan *plan, struct text *text)
{
    for (unsigned i = 0; i < plan->count; i++) {
        if (i > 0)
            text_char(text, '+');
        text_add(text, plan->parts[i].kind->name);
        text_add(text, plan->parts[i].name);
    }
}

bool key_plan_equal(const struct key_plan *a, const struct key_plan *b)
{
    bool equal = a->count == b->count;
    for (unsigned i = 0; i < a->count && equal; i++)
        equal = a->parts[i].kind == b->parts[i].kind &&
                span_equal(a->parts[i].name, b->parts[i].name);
    return equal;
}

/* ---- on the request path ---- */

/* Mark and length stand before each part, so that no two lists of parts read the same. */
static void add(struct key *key, char mark, const void *bytes, size_t len)
{
    INVARIANT(len <= KEY_VALUE_BYTES && sizeof(key->bytes) - key->len >= len + 2);
    key->bytes[key->len++] = mark;
    key->bytes[key->len++] = (char)len;
    if (len > 0)
        memcpy(key->bytes + key->len, bytes, len);
    key->len += len;
}

/*
 * Mark, length and address in whole words: the hash reads words, and what was just written in
 * smaller pieces a processor cannot read as one without waiting.
 */
static void add_address(struct key *key, const struct addr *client, unsigned v6_bits)
{
    struct addr addr = *client;
    uint64_t words[3] = { 0 }, halves[2] = { 0 };
    if (addr.family == ADDR_V6)
        addr_mask(&addr, v6_bits);
    bool v6 = addr.family == ADDR_V6; /* short keys are hashed faster */
    size_t len = v6 ? sizeof(addr.bytes) : KEY_V4_BYTES;
    memcpy(halves, addr.bytes, v6 ? sizeof(addr.bytes) : KEY_V4_BYTES);
    words[0] = (uint64_t)(v6 ? '6' : '4') | (uint64_t)len << 8 | le64toh(halves[0]) << 16;
    words[1] = le64toh(halves[0]) >> 48 | le64toh(halves[1]) << 16;
    words[2] = le64toh(halves[1]) >> 48;
    INVARIANT(sizeof(key->bytes) - key->len >= sizeof(words));
    for (unsigned i = 0; i < ARRAY_LEN(words); i++) {
        uint64_t word = htole64(words[i]);
        memcpy(key->bytes + key->len + i * sizeof(word), &word, sizeof(word));
    }
    key->len += 2 + len;
}

static void add_value(struct key *key, struct span text)
{
    unsigned char digest[crypto_hash_sha256_BYTES];
    if (text.len <= KEY_VALUE_BYTES) {
        add(key, 'v', text.p, text.len);
        return;
    }
    (void)crypto_hash_sha256(digest, (const unsigned char *)text.p, text.len);
    add(key, 'h', digest, sizeof(digest));
}

enum key_found key_write(struct key *key, const struct key_plan *plan,
                         const uint8_t id[KEY_ID_BYTES], enum on_missing on_missing,
                         unsigned v6_bits, struct txn *txn)
{
    _Static_assert(KEY_VALUE_BYTES >= crypto_hash_sha256_BYTES, "a digest is a value");
    memcpy(key->bytes, id, KEY_ID_BYTES);
    key->len = KEY_ID_BYTES;
    for (unsigned i = 0; i < plan->count; i++) {
        const struct key_part *part = &plan->parts[i];
        if (part->kind->get == NULL) {
            add_address(key, &txn->client, v6_bits);
            continue;
        }
        struct value value = part->kind->get(txn, part->name);
        if (value.failed)
            return KEY_FAILED;
        if (!value.missing)
            add_value(key, value.text);
        else if (on_missing == MISSING_SKIP)
            return KEY_SKIPPED;
        else if (on_missing == MISSING_REJECT)
            return KEY_REJECTED;
        else if (on_missing == MISSING_ADDRESS && !plan->by_address)
            add_address(key, &txn->client, KEY_NETWORK_BITS);
        else
            add(key, '-', "", 0);
    }
    return KEY_FOUND;
}

bool key_of_text(struct key *key, const struct key_plan *plan, const uint8_t id[KEY_ID_BYTES],
                 unsigned v6_bits, struct span values)
{
    struct span value;
    memcpy(key->bytes, id, KEY_ID_BYTES);
    key->len = KEY_ID_BYTES;
    for (unsigned i = 0; i < plan->count; i++) {
        struct addr addr;
        if (!span_cut(&values, '+', &value) || value.len == 0)
            return false;
        if (plan->parts[i].kind->get != NULL) {
            add_value(key, value);
            continue;
        }
        if (!addr_parse(value, &addr))
            return false;
        add_address(key, &addr, v6_bits);
    }
    return values.len == 0;
}
