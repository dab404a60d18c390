/* What upstream is told: the fields, the assertion and its key, and what clients cannot say. */
#include "auth/identity.h"

#include "auth/jwks.h"
#include "auth/strictjson.h"
#include "auth/token.h"
#include "tests/unit/check.h"
#include "tests/unit/stage_kit.h"

#define ALL "user: X-User, groups: X-Groups, email: X-Email, assertion: X-Assertion"

static struct kit kit;
static struct identity ann;

static void open_with(const char *yaml)
{
    kit_open(&kit, &identity_stage);
    if (!kit_configure(&kit, yaml, NULL))
        fail_msg("%s: %s", yaml, kit_complaint(&kit));
    kit_attach(&kit);
    strict_json_init();
}

static void begin(const char *user)
{
    static const struct span groups[] = { SPAN_INIT("staff"), SPAN_INIT("a,b"),
                                          SPAN_INIT("ops") };
    static const struct claim claims[] = { { SPAN_INIT("email"), SPAN_INIT("ann@x.test") },
                                           { SPAN_INIT("email_verified"), SPAN_INIT("true") } };
    kit_begin(&kit);
    kit.txn.clock = &kit.worker.loop.clock;
    if (user == NULL)
        return;
    ann = (struct identity){ .user = span_text(user),
                             .groups = groups,
                             .group_count = 3,
                             .claims = claims,
                             .claim_count = 2 };
    kit.txn.facts.user = ann.user;
    kit.txn.facts.auth = SPAN("jwt");
    kit.txn.facts.identity = &ann;
}

static void run(void)
{
    assert_int_equal(kit_run(&kit, PHASE_REQUEST_HEAD).action, ACTION_PASS);
    assert_int_equal(edits_apply(&kit.txn, EDIT_REQUEST, &kit.req.fields), OK);
}

static struct span sent(const char *name)
{
    const struct field *field = fields_find(&kit.req.fields, span_text(name));
    return field != NULL && !field->dropped ? field->value : SPAN("");
}

static struct span page(void)
{
    kit_begin(&kit);
    kit.req.path = SPAN("/.sallyport/jwks");
    struct verdict verdict = kit_run(&kit, PHASE_PAGE);
    assert_int_equal(verdict.action, ACTION_REPLY);
    return verdict.reply->body;
}

static void says_who_it_is(void **state)
{
    (void)state;
    open_with("{" ALL "}");
    begin("ann");
    run();
    assert_text(sent("X-User"), "ann");
    assert_text(sent("X-Groups"), "staff,ops"); /* the one with a comma would be two */
    assert_text(sent("X-Email"), "ann@x.test");
    kit_close(&kit);
}

/* By our own verifier, as upstream would do it. */
static void the_assertion_is_signed_by_the_published_key(void **state)
{
    (void)state;
    static struct span audience[] = { SPAN_INIT("shop") }, types[] = { SPAN_INIT("JWT") };
    struct token_issuer issuer = { .name = SPAN("sallyport"),
                                   .audience = { audience, 1 },
                                   .types = { types, 1 },
                                   .user_claim = SPAN("sub"),
                                   .groups_claim = SPAN("groups"),
                                   .lifetime_s = 120 };
    struct verified *verified;
    open_with("{" ALL "}");
    assert_null(jwks_parse(&issuer.keys, page(), JOSE_ALL_ALGS, &kit.config_arena));
    begin("ann \"x\"");
    run();
    uint64_t now_s = kit.txn.clock->wall_us / 1000000u;
    struct span token = sent("X-Assertion");
    assert_int_equal(token_verify(&issuer, 1, token, now_s, &kit.txn_arena, &verified),
                     JOSE_OK);
    assert_text(verified->identity.user, "ann \"x\"");
    assert_int_equal(verified->identity.group_count, 3);
    assert_text(identity_claim(&verified->identity, SPAN("auth"), NULL)->value, "jwt");
    assert_true(span_equal(identity_claim(&verified->identity, SPAN("jti"), NULL)->value,
                           txn_id(&kit.txn)));
    verified_release(verified);
    assert_int_equal(token_verify(&issuer, 1, token, now_s + 120, &kit.txn_arena, &verified),
                     JOSE_EXPIRED);
    jwks_free(&issuer.keys);
    kit_close(&kit);
}

static void nobody_says_it_of_himself(void **state)
{
    (void)state;
    static const char *const names[] = { "X-User",  "x_user",      "X.GROUPS",
                                         "X-Email", "X_Assertion", "x.assertion" };
    for (unsigned signed_in = 0; signed_in < 2; signed_in++) {
        open_with("{" ALL "}");
        begin(signed_in ? "ann" : NULL);
        for (size_t i = 0; i < ARRAY_LEN(names); i++)
            kit_field(&kit, names[i], "root");
        run();
        for (unsigned i = 0; i < kit.req.fields.count; i++)
            assert_false(!kit.req.fields.items[i].dropped &&
                         span_equal(kit.req.fields.items[i].value, SPAN("root")));
        assert_int_equal(sent("X-User").len > 0, signed_in);
        kit_close(&kit);
    }
}

static void an_address_that_nobody_verified_is_not_told(void **state)
{
    (void)state;
    open_with("{" ALL "}");
    begin("ann");
    ann.claim_count = 1;
    kit_field(&kit, "X-Email", "root@x.test");
    run();
    assert_text(sent("X-Email"), "");
    kit_close(&kit);
}

static void a_seed_makes_the_same_key_everywhere(void **state)
{
    (void)state;
    char pages[3][512];
    static const char *const seeds[] = { "0123456789abcdef0123456789abcdef",
                                         "0123456789abcdef0123456789abcdef",
                                         "0123456789abcdef0123456789abcdeg" };
    for (unsigned i = 0; i < 3; i++) {
        char yaml[256];
        struct text text = text_fixed(yaml, sizeof(yaml));
        text_format(&text, "{assertion: X-A, seed: %s}", seeds[i]);
        open_with(text_cstring(&text));
        struct span body = page();
        assert_true(body.len < sizeof(pages[i]));
        memcpy(pages[i], body.p, body.len);
        pages[i][body.len] = '\0';
        kit_close(&kit);
    }
    assert_string_equal(pages[0], pages[1]);
    assert_string_not_equal(pages[0], pages[2]);
}

static void the_page_is_one(void **state)
{
    (void)state;
    open_with("{" ALL "}");
    kit_begin(&kit);
    kit.req.path = SPAN("/.sallyport/jwks/x");
    assert_int_equal(kit_run(&kit, PHASE_PAGE).action, ACTION_PASS);
    kit_begin(&kit);
    kit.req.path = SPAN("/.sallyport/jwks");
    kit.req.method_id = METHOD_POST;
    assert_int_equal(kit_run(&kit, PHASE_PAGE).action, ACTION_DENY);
    kit_close(&kit);
}

static void complains_at_load(void **state)
{
    (void)state;
    static const struct {
        const char *yaml, *part;
    } rows[] = {
        { "{user: Host}", "user is a field" },
        { "{assertion: \"a b\"}", "assertion is a field" },
        { "{assertion: X-A, seed: 0123456789abcdef0123456789abcde}", "seed has" },
        { "{assertion: X-A, lifetime: 11m}", "" },
        { "{assertion: X-A, lifetime: 9s}", "" },
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        kit_open(&kit, &identity_stage);
        assert_false(kit_configure(&kit, rows[i].yaml, NULL));
        if (strstr(kit_complaint(&kit), rows[i].part) == NULL)
            fail_msg("%s: %s", rows[i].yaml, kit_complaint(&kit));
        kit_close(&kit);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(says_who_it_is),
        cmocka_unit_test(the_assertion_is_signed_by_the_published_key),
        cmocka_unit_test(nobody_says_it_of_himself),
        cmocka_unit_test(an_address_that_nobody_verified_is_not_told),
        cmocka_unit_test(a_seed_makes_the_same_key_everywhere),
        cmocka_unit_test(the_page_is_one),
        cmocka_unit_test(complains_at_load),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
