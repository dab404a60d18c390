/*
 * The steward at an ACME server: the steps of gateway/acme/order.h done by fetches, timers and
 * snapshots. One server is asked, the directory's own, at the addresses that its name has when
 * an order begins; redirects are not followed.
 */
#include <stdlib.h>

#include "gateway/base/log.h"
#include "gateway/steward/certificates.h"
#include "gateway/upstream/lookup.h"

enum {
    SETTLE_MS = 200,  /* for workers to read what proves the names */
    SETTLES_MAX = 50, /* ten seconds */
};

static void drive(struct certificates *all);

/* A field that is there once. */
static struct span field_of(const struct fetch *f, struct span name)
{
    const struct field *field = f->fields != NULL ? fields_find(f->fields, name) : NULL;
    bool once = field != NULL && fields_next(f->fields, field) == NULL;

    return once ? field->value : span_of(NULL, 0);
}

static void on_fetched(struct fetch *f)
{
    struct certificates *all = CONTAINER(f, struct certificates, order.fetch);
    struct acme_run *run = all->order.run;

    run->now_s = certificates_now(all);
    if (f->err != OK) {
        acme_broken(run, f->why);
    } else {
        struct acme_answer answer = { .status = f->status,
                                      .body = f->body,
                                      .nonce = field_of(f, SPAN("Replay-Nonce")),
                                      .location = field_of(f, SPAN("Location")),
                                      .retry_after = field_of(f, SPAN("Retry-After")) };
        acme_answered(run, &answer);
        account_keep(all);
    }
    fetch_close(f);
    drive(all);
}

static void ask(struct certificates *all)
{
    struct acme_run *run = all->order.run;
    struct fetch_ask ask = { .url = run->url,
                             .post = run->post,
                             .post_type = run->post.len > 0 ? SPAN("application/jose+json")
                                                            : span_of(NULL, 0) };

    if (run->post.len == 0)
        ask.post = span_of(NULL, 0);
    all->order.fetch.done = on_fetched;
    fetch_start(&all->order.fetch, &all->steward->agent, &all->policy, &ask);
    worker_flush(&all->steward->agent);
}

static void wait(struct certificates *all, uint64_t ms, void (*fire)(struct timer *))
{
    all->order.timer.fire = fire;
    timer_set(&all->steward->loop, &all->order.timer, ms);
}

static void on_waited(struct timer *timer)
{
    drive(CONTAINER(timer, struct certificates, order.timer));
}

/* The authority may ask as soon as it has been told: by then all workers must know. */
static void on_settled(struct timer *timer)
{
    struct certificates *all = CONTAINER(timer, struct certificates, order.timer);

    if (!workers_follow(all->steward) && all->order.settling++ < SETTLES_MAX) {
        wait(all, SETTLE_MS, on_settled);
        return;
    }
    acme_published(all->order.run);
    drive(all);
}

static void drive(struct certificates *all)
{
    struct acme_run *run = all->order.run;

    switch (acme_next(run)) {
    case ACME_ASK:
        ask(all);
        return;
    case ACME_PUBLISH:
        if (proofs_publish(all, &run->block))
            wait(all, SETTLE_MS, on_settled);
        else
            order_failed(all, "the workers cannot be told what proves the names", 0);
        return;
    case ACME_WAIT:
        wait(all, run->wait_ms, on_waited);
        return;
    case ACME_DONE:
        order_done(all);
        return;
    case ACME_FAILED:
        order_failed(all, run->why, run->retry_after_s);
        return;
    }
}

/* ---- beginning ---- */

static void on_looked_up(struct lookup *lookup)
{
    struct certificates *all = CONTAINER(lookup, struct certificates, order.lookup);
    struct order *order = &all->order;

    for (unsigned i = 0; i < lookup->list.count && order->addr_count < FETCH_ADDRESSES_MAX; i++)
        order->addrs[order->addr_count++] = lookup->list.items[i].addr;
    drive(all);
}

static void look_up(struct certificates *all)
{
    struct order *order = &all->order;
    struct span host = all->host;

    order->addr_count = 0;
    if (addr_parse(host, &order->addrs[0]) ||
        (host_is_loopback(host) && addr_parse(SPAN("127.0.0.1"), &order->addrs[0]))) {
        order->addr_count = 1;
        drive(all);
        return;
    }
    if (host.len >= sizeof(order->looked_for.name) || all->resolver == NULL) {
        order_failed(all, "the directory's name cannot be looked up", 0);
        return;
    }
    order->looked_for =
        (struct discovery){ .kind = DISCOVER_ADDRESSES, .port = all->port, .slots = 1 };
    memcpy(order->looked_for.name, host.p, host.len);
    order->lookup = (struct lookup){ .done = on_looked_up };
    lookup_start(&order->lookup, all->resolver, &order->looked_for);
}

void order_start(struct certificates *all, struct certificate *certificate, bool info)
{
    static const char *const challenges[] = {
        [ACME_HTTP_01] = "http-01", [ACME_TLS_ALPN_01] = "tls-alpn-01"
    };
    const struct acme_settings *settings = all->settings;
    struct order *order = &all->order;
    struct acme_job job = { .directory = span_text(settings->directory),
                            .email = span_text(settings->email),
                            .eab_kid = span_text(settings->eab_kid),
                            .eab_key = span_text(settings->eab_key),
                            .challenge = challenges[settings->challenge != ACME_HTTP_01],
                            .hosts = certificate->hosts,
                            .account = &all->account,
                            .held = certificate->held ? &certificate->dates : NULL,
                            .info_only = info };

    INVARIANT(order->of == NULL);
    order->of = certificate;
    order->info = info;
    order->settling = 0;
    order->run = malloc(sizeof(*order->run));
    if (order->run == NULL) {
        order_failed(all, "out of memory", 0);
        return;
    }
    acme_begin(order->run, &job);
    order->run->now_s = certificates_now(all);
    look_up(all);
}

void order_drop(struct certificates *all)
{
    struct order *order = &all->order;

    fetch_close(&order->fetch);
    timer_clear(&order->timer);
    if (order->run != NULL) {
        acme_end(order->run);
        free(order->run);
    }
    order->run = NULL;
    order->of = NULL;
}
