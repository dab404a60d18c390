/* Providers as stages see them: see provider.h. */
#include "auth/provider.h"

#include <sodium.h>
#include <stdlib.h>

#include "conf/schema.h"
#include "gateway/net/certs.h"
#include "gateway/net/worker.h"
#include "gateway/upstream/fetch_url.h"
#include "gateway/upstream/lookup.h"

/* What is made of one document; a key is some 2 KiB of it. */
#define DOCUMENT_MEMORY ((size_t)4 << 20)

/* ---- at load ---- */

static void make_key(struct provider *provider)
{
    static const char use[] = "provider";
    const struct span parts[] = { provider->issuer, provider->url, provider->ca.text };
    crypto_generichash_state state;

    (void)crypto_generichash_init(&state, (const uint8_t *)use, sizeof use, PROVIDER_KEY_BYTES);
    for (size_t i = 0; i < ARRAY_LEN(parts); i++) {
        uint64_t len = parts[i].len;
        (void)crypto_generichash_update(&state, (const uint8_t *)&len, sizeof len);
        (void)crypto_generichash_update(&state, (const uint8_t *)parts[i].p, parts[i].len);
    }
    (void)crypto_generichash_final(&state, provider->key, PROVIDER_KEY_BYTES);
}

static void free_tls(void *client)
{
    tls_client_free(client);
}

static enum err open_tls(struct setup *setup, struct provider *provider)
{
    struct tls_client_conf conf = { .ca = provider->ca.text,
                                    .verify = true,
                                    .profile = TLS_INTERMEDIATE };
    struct span why = { 0 };

    provider->tls = tls_client_new(&conf, setup->arena, &why);
    if (provider->tls != NULL)
        return arena_defer(setup->arena, free_tls, provider->tls) ? OK : ERR_MEMORY;
    complain(setup->complaint, SEVERITY_ERROR, "%.*s", (int)why.len,
             why.p != NULL ? why.p : "");
    return ERR_CONFIG;
}

/* A name that has no address now may have one later; until then there are no keys. */
static void look_up(struct setup *setup, const struct url *url, struct provider *provider)
{
    const char *why;

    provider->addr_count =
        lookup_at_load(url->host, provider->addrs, PROVIDER_ADDRESSES_MAX, &why);
    if (provider->addr_count == 0)
        complain(setup->complaint, SEVERITY_WARNING, "cannot resolve \"%.*s\": %s",
                 (int)url->host.len, url->host.p, why);
}

static enum err add(struct setup *setup, const struct provider_want *want, unsigned *index)
{
    struct config *config = setup->config;
    struct url url;
    struct span text = want->url.len > 0 ? want->url : want->issuer;
    const char *why = fetch_url(text, setup->arena, &url);

    if (why == NULL)
        why = provider_url_check(&url);
    if (why != NULL) {
        complain(setup->complaint, SEVERITY_ERROR, "%s cannot be used: %s", want->option, why);
        return ERR_CONFIG;
    }
    if (config->provider_count == PROVIDERS_MAX) {
        complain(setup->complaint, SEVERITY_ERROR, "there are more than %d providers",
                 PROVIDERS_MAX);
        return ERR_CONFIG;
    }
    struct provider *provider = &config->providers[config->provider_count];
    *provider = (struct provider){
        .issuer = want->issuer, .url = want->url, .ca = want->ca, .algs = want->algs
    };
    make_key(provider);
    TRY(open_tls(setup, provider));
    look_up(setup, &url, provider);
    *index = (unsigned)config->provider_count++;
    return OK;
}

enum err provider_use(struct setup *setup, const struct provider_want *want, unsigned *index)
{
    struct config *config = setup->config;

    if (sodium_init() < 0)
        return ERR_SYSTEM;
    for (size_t i = 0; i < config->provider_count; i++) {
        struct provider *provider = &config->providers[i];
        if (!span_equal(provider->issuer, want->issuer) ||
            !span_equal(provider->url, want->url) ||
            !span_equal(provider->ca.text, want->ca.text))
            continue;
        provider->algs |= want->algs;
        *index = (unsigned)i;
        return OK;
    }
    return add(setup, want, index);
}

void providers_initial(struct snapshots *snapshots, const struct config *config)
{
    for (size_t i = 0; i < config->provider_count; i++) {
        uint32_t id = provider_id(config, i);
        snapshot_initial(snapshots, id, SPAN(""));
        snapshots->items[id].kind = SNAPSHOT_PROVIDER;
    }
}

/* ---- in a worker ---- */

struct waiter {
    struct op op; /* first */
    struct providers *providers;
    struct provider_state *state;
    struct waiter *next;
    bool waiting;
};

struct provider_state {
    struct providers *providers;
    const struct provider *conf;
    uint32_t id, swaps;
    struct jwks keys;
    struct provider_meta meta;
    struct arena arena;
    bool asked;       /* the steward owes an answer */
    uint64_t next_ms; /* not to be asked again before */
    struct timer timer;
};

struct providers {
    struct snapshot_listener listener;
    struct worker *worker;
    struct provider_state *states;
    size_t count;
    struct waiter waiters[PROVIDER_WAITERS_MAX];
    struct waiter *free;
    unsigned users;
};

static struct provider_state *state_of(struct worker *worker, unsigned index)
{
    INVARIANT(worker->providers != NULL && index < worker->providers->count);
    return &worker->providers->states[index];
}

/* Reads the document anew when it is another one. One that is no good changes nothing. */
static void refresh(const struct snapshots *snapshots, struct provider_state *state)
{
    const struct snapshot *snapshot = &snapshots->items[state->id];
    struct arena arena;
    struct jwks keys;
    struct provider_meta meta;

    if (snapshot->swaps == state->swaps)
        return;
    state->swaps = snapshot->swaps;
    arena_init(&arena, NULL, 0, NULL, DOCUMENT_MEMORY);
    if (!provider_read(snapshot->bytes, state->conf->key, state->conf->algs, &arena, &keys,
                       &meta)) {
        arena_reset(&arena);
        return;
    }
    jwks_free(&state->keys);
    arena_reset(&state->arena);
    state->keys = keys;
    state->meta = meta;
    state->arena = arena;
}

struct provider_view provider_now(struct worker *worker, unsigned index)
{
    struct provider_state *state = state_of(worker, index);

    refresh(worker->snapshots, state);
    return (struct provider_view){ .keys = state->keys.count > 0 ? &state->keys : NULL,
                                   .meta = state->meta.endpoints[ENDPOINT_TOKEN].len > 0
                                               ? &state->meta
                                               : NULL,
                                   .swaps = state->swaps };
}

/* ---- waiting for the steward ---- */

static void give_back(struct op *op)
{
    struct waiter *waiter = (struct waiter *)(void *)op;

    waiter->waiting = false;
    waiter->next = waiter->providers->free;
    waiter->providers->free = waiter;
}

static void tell_waiters(struct providers *providers, const struct provider_state *state,
                         enum err err)
{
    for (unsigned i = 0; i < PROVIDER_WAITERS_MAX; i++) {
        struct waiter *waiter = &providers->waiters[i];
        if (waiter->waiting && waiter->state == state && !waiter->op.finished)
            op_finish(&waiter->op, providers->worker, err, NULL);
    }
}

static void answered(struct provider_state *state)
{
    state->asked = false;
    timer_clear(&state->timer);
}

static void on_came(struct snapshot_listener *listener, uint32_t id)
{
    struct providers *providers = CONTAINER(listener, struct providers, listener);

    for (size_t i = 0; i < providers->count; i++) {
        struct provider_state *state = &providers->states[i];
        if (state->id != id)
            continue;
        bool none = state->keys.count == 0;
        refresh(providers->worker->snapshots, state);
        if (none && state->keys.count > 0)
            state->next_ms = 0; /* it was asked for others than these */
        answered(state);
        tell_waiters(providers, state, OK);
    }
}

static void on_late(struct timer *timer)
{
    struct provider_state *state = CONTAINER(timer, struct provider_state, timer);
    struct providers *providers = state->providers;

    answered(state);
    tell_waiters(providers, state, ERR_TIMEOUT);
}

static bool ask_steward(struct providers *providers, struct provider_state *state)
{
    struct worker *worker = providers->worker;
    uint64_t now = clock_ms(&worker->loop.clock);

    if (state->asked)
        return true;
    if (now < state->next_ms || !snapshot_ask(worker->snapshots, state->id))
        return false;
    state->asked = true;
    state->next_ms = now + (state->keys.count > 0 ? PROVIDER_FRESH_MS : PROVIDER_NONE_MS);
    timer_set(&worker->loop, &state->timer, PROVIDER_WAIT_MS);
    return true;
}

struct op *provider_ask(struct worker *worker, unsigned index)
{
    struct provider_state *state = state_of(worker, index);
    struct providers *providers = worker->providers;
    struct waiter *waiter = providers->free;

    if (!ask_steward(providers, state) || waiter == NULL)
        return NULL;
    providers->free = waiter->next;
    waiter->waiting = true;
    waiter->state = state;
    op_init(&waiter->op);
    waiter->op.release = give_back;
    waiter->op.abandon = give_back;
    return &waiter->op;
}

/* ---- beginning and end ---- */

static enum err make(struct worker *worker)
{
    const struct config *config = worker->config;
    struct providers *providers = calloc(1, sizeof *providers);

    if (providers == NULL)
        return ERR_MEMORY;
    providers->states = calloc(config->provider_count + 1, sizeof *providers->states);
    if (providers->states == NULL) {
        free(providers);
        return ERR_MEMORY;
    }
    providers->worker = worker;
    providers->count = config->provider_count;
    for (size_t i = 0; i < providers->count; i++) {
        struct provider_state *state = &providers->states[i];
        state->providers = providers;
        state->conf = &config->providers[i];
        state->id = provider_id(config, i);
        state->timer.fire = on_late;
        arena_init(&state->arena, NULL, 0, NULL, DOCUMENT_MEMORY);
    }
    for (unsigned i = 0; i < PROVIDER_WAITERS_MAX; i++) {
        providers->waiters[i].providers = providers;
        providers->waiters[i].next = providers->free;
        providers->free = &providers->waiters[i];
    }
    providers->listener.came = on_came;
    snapshots_tell(worker->snapshots, &providers->listener);
    worker->providers = providers;
    return OK;
}

enum err providers_attach(struct worker *worker)
{
    if (worker->snapshots == NULL)
        return ERR_MISSING;
    if (worker->providers == NULL)
        TRY(make(worker));
    worker->providers->users++;
    return OK;
}

void providers_detach(struct worker *worker)
{
    struct providers *providers = worker->providers;

    if (providers == NULL || --providers->users > 0)
        return;
    for (size_t i = 0; i < providers->count; i++) {
        timer_remove(&worker->loop, &providers->states[i].timer);
        jwks_free(&providers->states[i].keys);
        arena_reset(&providers->states[i].arena);
    }
    snapshots_forget(worker->snapshots, &providers->listener);
    free(providers->states);
    free(providers);
    worker->providers = NULL;
}
