/* Bearer tokens under the chain: who gets in, what upstream and client see, and at load. */
#include "auth/jwt.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "auth/basic.h"
#include "auth/forge.h"
#include "auth/tokencache.h"
#include "tests/unit/auth/hashes.h"
#include "tests/unit/check.h"
#include "tests/unit/stage_kit.h"

#define HEADER "{\"alg\":\"EdDSA\",\"kid\":\"ed\"}"
#define CHALLENGE "Bearer realm=\"Api\""

static struct kit kit;
static struct forge forge;
static char keys_path[64];

static void write_keys(struct span text)
{
    snprintf(keys_path, sizeof(keys_path), "/tmp/sallyport-jwt-%d", (int)getpid());
    FILE *file = fopen(keys_path, "w");
    assert_non_null(file);
    assert_int_equal(fwrite(text.p, 1, text.len, file), text.len);
    assert_int_equal(fclose(file), 0);
    assert_int_equal(chmod(keys_path, 0600), 0);
}

static int make_keys(void **state)
{
    (void)state;
    if (!forge_open(&forge))
        return -1;
    /* Without the secret, which is for none of the usual algorithms. */
    struct text text = text_growing(&forge.arena, forge.jwks.len + 2);
    text_add(&text,
             span_sub(forge.jwks, 0, (size_t)span_find(forge.jwks, SPAN(",{\"kty\":\"oct\""))));
    text_lit(&text, "]}");
    write_keys(text_span(&text));
    return 0;
}

static int drop_keys(void **state)
{
    (void)state;
    forge_close(&forge);
    return unlink(keys_path);
}

static const char *yaml(const char *issuer_more, const char *more)
{
    static char text[1024];
    snprintf(text, sizeof(text),
             "{realm: Api, issuers: [{issuer: \"https://id.test\", keys: %s%s}]%s}", keys_path,
             issuer_more, more);
    return text;
}

static void open_with(const char *issuer_more, const char *more)
{
    kit_open(&kit, &jwt_stage);
    if (!kit_configure(&kit, yaml(issuer_more, more), NULL))
        fail_msg("%s", kit_complaint(&kit));
    kit_attach(&kit);
}

static void open_usual(void)
{
    open_with(", audience: api", ", pass: X-User");
}

/* The field's value with these claims; they end a minute from now. */
static const char *bearer(const char *more)
{
    static char field[4096];
    char claims[1024];
    snprintf(claims, sizeof(claims),
             "{\"iss\":\"https://id.test\",\"aud\":\"api\",\"exp\":%llu%s}",
             (unsigned long long)(time(NULL) + 60), more);
    struct span text = forge_signing_text(&forge, HEADER, claims);
    struct span token = forge_join(
        &forge, text, forge_sign(&forge, forge.keys[FORGE_ED25519], JOSE_EDDSA, text));
    snprintf(field, sizeof(field), "Bearer %.*s", (int)token.len, token.p);
    return field;
}

static struct verdict ask_with(const char *authorization)
{
    kit_begin(&kit);
    kit.txn.clock = &kit.worker.loop.clock;
    if (authorization != NULL)
        kit_field(&kit, "Authorization", authorization);
    return kit_run(&kit, PHASE_REQUEST_HEAD);
}

static struct span sent(const char *name)
{
    assert_int_equal(edits_apply(&kit.txn, EDIT_REQUEST, &kit.req.fields), OK);
    const struct field *field = fields_find(&kit.req.fields, span_text(name));
    return field != NULL ? field->value : SPAN("");
}

static void lets_in_who_has_a_token(void **state)
{
    (void)state;
    open_usual();
    struct verdict verdict = ask_with(bearer(
        ",\"sub\":\"ann\",\"groups\":[\"staff\",\"ops\"],\"a\":{\"b\":[\"x\",\"y\"]},\"n\":7"));
    assert_int_equal(verdict.action, ACTION_PASS);
    assert_text(kit.txn.facts.user, "ann");
    assert_text(kit.txn.facts.auth, "jwt");
    const struct identity *identity = kit.txn.facts.identity;
    assert_text(identity->issuer, "https://id.test");
    assert_true(identity_in_group(identity, SPAN("ops")));
    assert_false(identity_in_group(identity, SPAN("op")));
    const struct claim *claim = identity_claim(identity, SPAN("a.b"), NULL);
    assert_text(claim->value, "x");
    claim = identity_claim(identity, SPAN("a.b"), claim);
    assert_text(claim->value, "y");
    assert_null(identity_claim(identity, SPAN("a.b"), claim));
    assert_text(identity_claim(identity, SPAN("n"), NULL)->value, "7");
    assert_text(sent("X-User"), "ann");
    assert_text(sent("Authorization"), "");
    kit_close(&kit);
}

static void the_second_time_is_as_the_first(void **state)
{
    (void)state;
    open_usual();
    const char *field = bearer(",\"sub\":\"ann\",\"groups\":\"staff\"");
    for (unsigned i = 0; i < 3; i++) {
        assert_int_equal(ask_with(field).action, ACTION_PASS);
        assert_text(kit.txn.facts.user, "ann");
        assert_true(identity_in_group(kit.txn.facts.identity, SPAN("staff")));
    }
    kit_close(&kit);
}

/* What the cache holds ends when the token does. */
static void a_token_that_has_ended_is_not_in_the_cache(void **state)
{
    (void)state;
    open_with(", audience: api, skew: 0s", "");
    const char *field = bearer(",\"sub\":\"ann\"");
    assert_int_equal(ask_with(field).action, ACTION_PASS);
    struct clock later = kit.worker.loop.clock;
    later.wall_us += 61 * UINT64_C(1000000);
    kit_begin(&kit);
    kit.txn.clock = &later;
    kit_field(&kit, "Authorization", field);
    struct verdict verdict = kit_run(&kit, PHASE_REQUEST_HEAD);
    assert_int_equal(verdict.reason, REASON_AUTH_TOKEN);
    assert_string_equal(kit.txn.facts.auth_detail, "token-expired");
    kit_close(&kit);
}

static void asks_who_brings_none(void **state)
{
    (void)state;
    static const char *const rows[] = { NULL, "Basic YTpi", "Bearerx abc", "" };
    open_usual();
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct verdict verdict = ask_with(rows[i]);
        assert_int_equal(verdict.action, ACTION_REPLY);
        assert_int_equal(verdict.reason, REASON_AUTH_REQUIRED);
        assert_text(kit_reply_field(&verdict, "WWW-Authenticate"), CHALLENGE);
    }
    kit_close(&kit);
}

static void refuses_bad_tokens_alike(void **state)
{
    (void)state;
    static const struct {
        const char *field, *detail;
    } rows[] = {
        { "Bearer abc", "token-parts" },     { "Bearer", "token-parts" },
        { "Bearer a.b.c d", "token-parts" }, { "Bearer a.b.c,a.b.c", "token-parts" },
        { "Bearer  ", "token-parts" },       { "bearer e30.e30.AAAA", "token-algorithm" },
    };
    open_usual();
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct verdict verdict = ask_with(rows[i].field);
        assert_int_equal(verdict.action, ACTION_REPLY);
        assert_int_equal(verdict.reason, REASON_AUTH_TOKEN);
        assert_string_equal(kit.txn.facts.auth_detail, rows[i].detail);
        assert_text(kit_reply_field(&verdict, "WWW-Authenticate"),
                    CHALLENGE ", error=\"invalid_token\"");
        assert_int_equal(kit.txn.facts.user.len, 0);
    }
    kit_close(&kit);
}

static void bounds_the_token(void **state)
{
    (void)state;
    static char field[TOKEN_BYTES_MAX + 64] = "Bearer ";
    open_usual();
    memset(field + 7, 'a', TOKEN_BYTES_MAX);
    (void)ask_with(field);
    assert_string_equal(kit.txn.facts.auth_detail, "token-parts");
    field[7 + TOKEN_BYTES_MAX] = 'a';
    (void)ask_with(field);
    assert_string_equal(kit.txn.facts.auth_detail, "token-too-long");
    kit_close(&kit);
}

static void two_fields_are_no_token(void **state)
{
    (void)state;
    open_usual();
    kit_begin(&kit);
    kit_field(&kit, "Authorization", bearer(",\"sub\":\"ann\""));
    kit_field(&kit, "Authorization", "Bearer x");
    assert_int_equal(kit_run(&kit, PHASE_REQUEST_HEAD).reason, REASON_AUTH_TOKEN);
    kit_close(&kit);
}

static void nobody_lends_the_field_to_himself(void **state)
{
    (void)state;
    open_usual();
    kit_begin(&kit);
    kit_field(&kit, "X_User", "root");
    kit_field(&kit, "x.user", "root");
    kit_field(&kit, "Authorization", bearer(",\"sub\":\"ann\""));
    assert_int_equal(kit_run(&kit, PHASE_REQUEST_HEAD).action, ACTION_PASS);
    assert_text(sent("X-User"), "ann");
    assert_text(sent("X_User"), "");
    assert_text(sent("x.user"), "");
    kit_close(&kit);
}

/* CVE-2026-40574, and addresses that nobody has checked. */
static void an_address_counts_when_it_is_one_and_was_verified(void **state)
{
    (void)state;
    static const struct {
        const char *claims;
        enum action action;
    } rows[] = {
        { ",\"email\":\"ann@company.com\",\"email_verified\":true", ACTION_PASS },
        { ",\"email\":\"ann@company.com\"", ACTION_REPLY },
        { ",\"email\":\"ann@company.com\",\"email_verified\":\"true\"", ACTION_REPLY },
        { ",\"email\":\"ann@company.com\",\"email_verified\":false", ACTION_REPLY },
        { ",\"email\":\"a@evil.com@company.com\",\"email_verified\":true", ACTION_REPLY },
        { ",\"email\":\"company.com\",\"email_verified\":true", ACTION_REPLY },
        { ",\"email\":\"@company.com\",\"email_verified\":true", ACTION_REPLY },
        { ",\"email\":\"ann@\",\"email_verified\":true", ACTION_REPLY },
        { ",\"email\":\"ann@comp\\u0430ny.com\",\"email_verified\":true", ACTION_REPLY },
        { ",\"email\":\"a b@company.com\",\"email_verified\":true", ACTION_REPLY },
    };
    open_with(", audience: api, user_claim: email", "");
    for (size_t i = 0; i < ARRAY_LEN(rows); i++)
        assert_int_equal(ask_with(bearer(rows[i].claims)).action, rows[i].action);
    kit_close(&kit);
}

static void bounds_claims_and_groups(void **state)
{
    (void)state;
    char claims[8192];
    static const struct {
        unsigned groups, claims;
        enum action action;
    } rows[] = { { TOKEN_GROUPS_MAX, 0, ACTION_PASS },
                 { TOKEN_GROUPS_MAX + 1, 0, ACTION_REPLY },
                 /* iss, aud, exp, sub and these */
                 { 0, TOKEN_CLAIMS_MAX - 4, ACTION_PASS },
                 { 0, TOKEN_CLAIMS_MAX - 3, ACTION_REPLY } };
    open_usual();
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct text text = text_fixed(claims, sizeof(claims));
        text_lit(&text, ",\"sub\":\"a\"");
        for (unsigned n = 0; n < rows[i].groups; n++)
            text_format(&text, "%s\"%u\"", n == 0 ? ",\"groups\":[" : ",", n);
        if (rows[i].groups > 0)
            text_lit(&text, "]");
        for (unsigned n = 0; n < rows[i].claims; n++)
            text_format(&text, ",\"%u\":1", n);
        static char copy[8192];
        memcpy(copy, text.p, text.len);
        copy[text.len] = '\0';
        assert_true(text.len < 1000 || rows[i].claims > 0);
        assert_int_equal(ask_with(bearer(copy)).action, rows[i].action);
    }
    kit_close(&kit);
}

static void complains_at_load(void **state)
{
    (void)state;
    static const struct {
        const char *issuer, *more, *part;
    } rows[] = {
        { "", "", "audience" },
        { ", audience: []", "", "audience" },
        { ", audience: api, algorithms: [none]", "", "there is no algorithm" },
        { ", audience: api, algorithms: [RS257]", "", "there is no algorithm" },
        { ", audience: api", ", pass: Host", "a field of its own" },
        { ", audience: api, user_claim: \"\"", "", "user_claim" },
        { ", audience: api, skew: 11m", "", "" },
        { ", audience: api}, {issuer: \"https://id.test\", keys: /etc/hosts, audience: a", "",
          "stands twice" },
        { ", audience: api}, {issuer: x, keys: /etc/hosts, audience: a", "",
          "there is no key in it" },
        { ", audience: api}, {issuer: x, keys: /nowhere, audience: a", "", "cannot be used" },
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        kit_open(&kit, &jwt_stage);
        assert_false(kit_configure(&kit, yaml(rows[i].issuer, rows[i].more), NULL));
        if (strstr(kit_complaint(&kit), rows[i].part) == NULL)
            fail_msg("row %zu: %s", i, kit_complaint(&kit));
        kit_close(&kit);
    }
}

static void warns_of_any_audience(void **state)
{
    (void)state;
    kit_open(&kit, &jwt_stage);
    assert_true(kit_configure(&kit, yaml(", audience: \"*\"", ""), NULL));
    assert_non_null(strstr(kit_complaint(&kit), "another application"));
    kit_close(&kit);
}

static void the_cache_lets_go_of_the_oldest(void **state)
{
    (void)state;
    static const uint8_t boot_key[32] = { 1 };
    struct tokencache *cache = tokencache_new(boot_key);
    struct verified *verified = calloc(1, sizeof(*verified) + 64);
    arena_init(&verified->arena, verified->room, 64, NULL, 64);
    verified->references = 1;
    verified->until_s = 1000;
    char token[16];
    for (unsigned i = 0; i < 4 * TOKENCACHE_ENTRIES; i++) {
        snprintf(token, sizeof(token), "%u", i);
        struct token_tag tag = tokencache_tag(cache, span_text(token));
        assert_null(tokencache_get(cache, &tag, 10));
        tokencache_put(cache, &tag, verified, 10);
        assert_ptr_equal(tokencache_get(cache, &tag, 10), verified);
        verified_release(verified);
        if (i % 2 == 0) {
            assert_null(tokencache_get(cache, &tag, 10 + TOKENCACHE_TTL_S));
        } else {
            assert_non_null(tokencache_get(cache, &tag, 9 + TOKENCACHE_TTL_S));
            verified_release(verified);
        }
    }
    assert_true(verified->references <= 1 + TOKENCACHE_ENTRIES);
    tokencache_free(cache);
    assert_int_equal(verified->references, 1);
    verified_release(verified);
}

/* Two ways to sign in on one route: either will do, and who brings none hears of both. */
static void either_of_two_ways_will_do(void **state)
{
    (void)state;
    struct kit other;
    open_usual();
    kit_open(&other, &basic_stage);
    assert_true(kit_configure(&other, "{realm: Staff, users: {bob: \"" HASH_2B "\"}}", NULL));
    struct stage_instance both[] = { kit.instance, other.instance };
    both[1].local = 1;
    chain_detach(&kit.worker, &kit.config);
    kit.config.instances = both;
    kit.config.instance_count = 2;
    kit_attach(&kit);
    kit.route.chain[PHASE_REQUEST_HEAD] = both;
    kit.route.chain_count[PHASE_REQUEST_HEAD] = 2;
    kit.route.state_size = 256;

    struct verdict verdict = ask_with(NULL);
    assert_int_equal(verdict.reason, REASON_AUTH_REQUIRED);
    assert_int_equal(verdict.reply->field_count, 2);
    assert_text(verdict.reply->fields[0].value, CHALLENGE);
    assert_text(verdict.reply->fields[1].value, "Basic realm=\"Staff\", charset=\"UTF-8\"");
    assert_int_equal(ask_with("Basic Ym9iOm9wZW4gc2VzYW1l").action, ACTION_PASS);
    assert_text(kit.txn.facts.user, "bob");
    assert_int_equal(ask_with(bearer(",\"sub\":\"ann\"")).action, ACTION_PASS);
    assert_text(kit.txn.facts.user, "ann");
    /* A wrong one is not given a second chance by the other stage. */
    assert_int_equal(ask_with("Bearer a.b.c").reason, REASON_AUTH_TOKEN);
    /* In detect mode, or exempt, the second stage demands nothing: the first does. */
    both[1].mode = MODE_DETECT;
    verdict = ask_with(NULL);
    assert_int_equal(verdict.action, ACTION_REPLY);
    assert_int_equal(verdict.reply->field_count, 1);
    txn_abort(&kit.txn);
    kit.began = false;
    chain_detach(&kit.worker, &kit.config);
    kit.attached = false;
    kit_close(&other);
    kit_close(&kit);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(lets_in_who_has_a_token),
        cmocka_unit_test(the_second_time_is_as_the_first),
        cmocka_unit_test(a_token_that_has_ended_is_not_in_the_cache),
        cmocka_unit_test(asks_who_brings_none),
        cmocka_unit_test(refuses_bad_tokens_alike),
        cmocka_unit_test(bounds_the_token),
        cmocka_unit_test(two_fields_are_no_token),
        cmocka_unit_test(nobody_lends_the_field_to_himself),
        cmocka_unit_test(an_address_counts_when_it_is_one_and_was_verified),
        cmocka_unit_test(bounds_claims_and_groups),
        cmocka_unit_test(complains_at_load),
        cmocka_unit_test(warns_of_any_audience),
        cmocka_unit_test(the_cache_lets_go_of_the_oldest),
        cmocka_unit_test(either_of_two_ways_will_do),
    };
    return cmocka_run_group_tests(tests, make_keys, drop_keys);
}
