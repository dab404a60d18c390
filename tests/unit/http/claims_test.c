/* Fields that claim what a client cannot know: every spelling, and who may say them. */
#include "gateway/http/claims.h"

#include "gateway/http/names.h"

#include "tests/unit/check.h"

static void every_spelling_is_known(void **state)
{
    static const struct {
        const char *name;
        enum claim claim;
    } rows[] = {
        { "X-Forwarded-Ssl", CLAIM_ORIGIN },
        { "x_forwarded_ssl", CLAIM_ORIGIN },
        { "X.FORWARDED-ssl", CLAIM_ORIGIN },
        { "X-Forwarded-Scheme", CLAIM_ORIGIN },
        { "X-Forwarded-Path", CLAIM_ORIGIN },
        { "X-Forwarded-Protocol", CLAIM_ORIGIN },
        { "x_forwarded_user", CLAIM_ORIGIN },
        { "X.Forwarded.Next", CLAIM_ORIGIN },
        { "X-Forwarded-", CLAIM_NONE },
        { "X-Forwardedness", CLAIM_NONE },
        { "wl_proxy_client_ip", CLAIM_ORIGIN },
        { "Proxy-Client-IP", CLAIM_ORIGIN },
        { "Fly-Client-IP", CLAIM_ORIGIN },
        { "Front-End-Https", CLAIM_ORIGIN },
        { "X-Cluster-Client-IP", CLAIM_ORIGIN },
        { "cf_connecting_ip", CLAIM_ORIGIN },
        { "Client-IP", CLAIM_ORIGIN },
        { "Fastly-Client-IP", CLAIM_ORIGIN },
        { "X-Original-Host", CLAIM_ORIGIN },
        { "X-Original-URI", CLAIM_ORIGIN },
        { "X-Host", CLAIM_ORIGIN },
        { "X-HTTP-Method-Override", CLAIM_METHOD },
        { "x.http.method.override", CLAIM_METHOD },
        { "X-Hosts", CLAIM_NONE },
        { "X-Hos", CLAIM_NONE },
        { "Client-IP-", CLAIM_NONE },
        { "XX-Host", CLAIM_NONE },
        { "X-Requested-With", CLAIM_NONE },
        { "Accept", CLAIM_NONE },
        { "", CLAIM_NONE },
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        if (field_claims(span_text(rows[i].name)) != rows[i].claim)
            fail_msg("%s", rows[i].name);
    }
}

static void kept_are_those_that_are_named(void **state)
{
    static const struct span keep[] = { SPAN_INIT("x_host"), SPAN_INIT("X-HTTP-Method") };
    static const struct {
        const char *name;
        bool trusted, stays;
    } rows[] = {
        { "X-Host", false, false },         { "X-Host", true, true },
        { "X-HTTP-Method", false, true },   { "x_http_method", false, true },
        { "X-Original-Host", true, false }, { "X-Method-Override", true, false },
        { "X-Else", false, true },
    };
    struct arena arena;

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct fields fields;
        arena_init(&arena, NULL, 0, NULL, 1 << 16);
        assert_int_equal(fields_init(&fields, &arena, 4), OK);
        assert_int_equal(fields_add(&fields, &arena, span_text(rows[i].name), SPAN("1")), OK);
        fields_drop_claims(&fields, keep, ARRAY_LEN(keep), rows[i].trusted);
        assert_int_equal(fields.items[0].dropped, !rows[i].stays);
        /* Behind a body, nobody may make them. */
        if (field_claims(span_text(rows[i].name)) != CLAIM_NONE)
            assert_false(field_may_trail(&fields.items[0]));
        arena_reset(&arena);
    }
}

int main(void)
{
    return RUN(TEST(every_spelling_is_known), TEST(kept_are_those_that_are_named));
}
