/*
 * What providers say of themselves: a discovery document, a NUL, a key set. Whatever is taken
 * names the issuer that was asked, leads nowhere but over https (or to this machine), and comes
 * back the same from the document that is made of it, without a secret. The whole is read as
 * such a document, too.
 */
#include "auth/providerdoc.h"
#include "auth/strictjson.h"
#include "gateway/upstream/fetch_url.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const uint8_t key[PROVIDER_KEY_BYTES] = { 7 };

static void check_meta(const struct provider_meta *meta, struct arena *arena)
{
    INVARIANT(meta->host_count <= PROVIDER_HOSTS_MAX);
    for (int i = 0; i < ENDPOINT_COUNT; i++) {
        struct url url;
        if (meta->endpoints[i].len == 0)
            continue;
        INVARIANT(fetch_url(meta->endpoints[i], arena, &url) == NULL);
        INVARIANT(provider_url_check(&url) == NULL);
    }
}

static void round_trip(const struct provider_meta *meta, struct span jwks, struct arena *arena)
{
    struct text out = text_growing(arena, 1024);
    struct provider_meta again;
    struct jwks keys;

    if (provider_write(&out, key, meta, jwks, JOSE_ALL_ALGS, arena) != NULL)
        return;
    INVARIANT(provider_document_valid(text_span(&out)));
    INVARIANT(provider_read(text_span(&out), key, JOSE_ALL_ALGS, arena, &keys, &again));
    INVARIANT(keys.count > 0);
    for (size_t i = 0; i < keys.count; i++)
        INVARIANT(keys.keys[i].kind != JOSE_SECRET);
    for (int i = 0; i < ENDPOINT_COUNT; i++)
        INVARIANT(span_equal(meta->endpoints[i], again.endpoints[i]));
    jwks_free(&keys);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct span rest = span_of((const char *)data, size), discovery;
    struct provider_meta meta;
    struct arena arena;
    struct jwks keys;

    if (size == 0 || size > 32 * 1024)
        return 0;
    strict_json_init();
    arena_init(&arena, NULL, 0, NULL, 16 << 20);
    if (provider_read(rest, key, JOSE_ALL_ALGS, &arena, &keys, &meta))
        jwks_free(&keys);
    (void)span_cut(&rest, '\0', &discovery);
    if (provider_discovered(discovery, SPAN("https://i"), &arena, &meta) == NULL) {
        check_meta(&meta, &arena);
        if (rest.p != NULL)
            round_trip(&meta, rest, &arena);
    }
    arena_reset(&arena);
    return 0;
}
