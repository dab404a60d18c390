/*
 * What an OpenID provider says, and what comes back with a browser: the first byte chooses what
 * is read. Whatever is taken is within its limits, and of the subject that it must be of; a
 * parameter that is written reads back the same.
 */
#include <jansson.h>

#include "auth/oidc_tokens.h"
#include "auth/strictjson.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void read_return(struct span text, struct arena *arena)
{
    struct oidc_return back;
    struct params params = { 0 };

    if (oidc_returned(text, arena, &back) != NULL)
        return;
    INVARIANT(back.state.len > 0);
    INVARIANT(back.error.len > 0 || (back.code.len > 0 && back.code.len <= OIDC_CODE_MAX));
    struct text out = text_growing(arena, 256);
    oidc_param(&out, SPAN("state"), back.state);
    oidc_param(&out, SPAN("code"), back.code);
    INVARIANT(!out.overflow && params_parse(&params, text_span(&out), 4, arena) == OK);
    INVARIANT(params.count == 2 && span_equal(params.items[0].value, back.state) &&
              span_equal(params.items[1].value, back.code));
}

static void read_answer(struct span text, int status, struct arena *arena)
{
    struct oidc_tokens tokens;
    bool gone;
    const char *why = oidc_answer(status, text, arena, &tokens, &gone);

    INVARIANT(!gone || (why != NULL && status != 200));
    if (why != NULL)
        return;
    INVARIANT(status == 200 && tokens.access_token.len > 0);
    INVARIANT(tokens.id_token.len <= TOKEN_BYTES_MAX &&
              tokens.refresh_token.len <= OIDC_REFRESH_TOKEN_MAX &&
              tokens.access_token.len <= OIDC_ACCESS_TOKEN_MAX);
}

static void read_userinfo(struct span text)
{
    struct trusted trusted = { .claims = json_pack("{s:s,s:s}", "sub", "ann", "email", "a@b") };

    INVARIANT(trusted.claims != NULL);
    const char *why = oidc_userinfo(&trusted, 200, SPAN("application/json"), text);
    INVARIANT(span_equal(strict_json_text(trusted.claims, "sub"), SPAN("ann")));
    INVARIANT(span_equal(strict_json_text(trusted.claims, "email"), SPAN("a@b")));
    INVARIANT(why == NULL || json_object_size(trusted.claims) == 2);
    oidc_forget_protocol(trusted.claims);
    INVARIANT(json_object_get(trusted.claims, "iss") == NULL);
    json_decref(trusted.claims);
}

/* Nobody has signed it: no key is there. */
static void read_logout(struct span text, struct arena *arena)
{
    struct token_issuer issuer = { .name = SPAN("i"), .any_audience = true };
    struct oidc_logout out;

    INVARIANT(oidc_logout_token(&issuer, text, 1800000000, arena, &out) != NULL);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct arena arena;

    if (size == 0 || size > 16 * 1024)
        return 0;
    strict_json_init();
    arena_init(&arena, NULL, 0, NULL, 4 << 20);
    struct span text = span_of((const char *)data + 1, size - 1);
    switch (data[0] & 3) {
    case 0:
        read_return(text, &arena);
        break;
    case 1:
        read_answer(text, (data[0] & 4) != 0 ? 400 : 200, &arena);
        break;
    case 2:
        read_userinfo(text);
        break;
    default:
        read_logout(text, &arena);
        break;
    }
    arena_reset(&arena);
    return 0;
}
