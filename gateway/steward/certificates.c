/*
 * The life of certificates that are got by ACME: which one is due, where it is kept, how it
 * reaches the workers.
 *
 * What is kept is the truth: a certificate is written before it is used, and what is found at
 * the start is not got again. Before each order a note of it is written, too: a steward that is
 * killed over and over does not wear the authority out, and a folder that cannot be written to
 * means that nothing is ordered at all. Whatever goes wrong, the certificate of before stays.
 */
#include "gateway/steward/certificates.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "gateway/acme/schedule.h"
#include "gateway/base/log.h"
#include "gateway/base/secret.h"
#include "gateway/net/certs.h"
#include "gateway/store/snapshot.h"
#include "gateway/upstream/fetch_url.h"

enum {
    CONNECT_MS = 10 * 1000,
    TOTAL_MS = 60 * 1000,      /* of one question */
    LOOK_MOST_MS = 600 * 1000, /* the wall clock may be set meanwhile */
    LOOK_LEAST_MS = 200,
    BODY_BYTES_MAX = 256 * 1024,
    FILE_MEMORY = 2 * ACME_FILE_MAX,
};

int64_t certificates_now(const struct certificates *all)
{
    return (int64_t)(all->steward->loop.clock.wall_us / 1000000u);
}

static uint32_t dice(void)
{
    uint32_t number;
    random_bytes(&number, sizeof(number));
    return number;
}

/* ---- to the workers ---- */

static enum err send_certificate(const struct certificate *one, int fd)
{
    struct snapshot_message message = { .magic = SNAPSHOT_MAGIC,
                                        .kind = SNAPSHOT_CERTIFICATE,
                                        .id = one->settings->id,
                                        .version = one->version,
                                        .bytes = one->bytes };
    return one->memfd >= 0 ? snapshot_send(fd, one->memfd, &message) : OK;
}

static enum err send_proofs(const struct certificates *all, int fd)
{
    struct snapshot_message message = { .magic = SNAPSHOT_MAGIC,
                                        .kind = SNAPSHOT_CHALLENGES,
                                        .id = all->settings->challenges_id,
                                        .version = all->proofs_version,
                                        .bytes = all->proofs_bytes };
    return all->proofs_memfd >= 0 ? snapshot_send(fd, all->proofs_memfd, &message) : OK;
}

bool certificates_send(struct steward *steward, int fd)
{
    const struct certificates *all = steward->certificates;
    bool sent = all == NULL || send_proofs(all, fd) != ERR_BUSY;

    for (size_t i = 0; all != NULL && i < all->count; i++)
        sent = send_certificate(&all->items[i], fd) != ERR_BUSY && sent;
    return sent;
}

static void send_all(struct certificates *all, const struct certificate *one)
{
    for (size_t i = 0; i < SLOTS_MAX; i++) {
        struct member *member = &all->steward->members[i];
        if (member->pid == 0)
            continue;
        enum err err = one != NULL ? send_certificate(one, member->watch.fd)
                                   : send_proofs(all, member->watch.fd);
        if (err == ERR_BUSY)
            lists_resend(all->steward, member);
    }
}

bool workers_follow(const struct steward *steward)
{
    bool some = false;

    for (size_t i = 0; i < SLOTS_MAX; i++) {
        if (steward->members[i].pid != 0 && steward->members[i].behind)
            return false;
        some = some || steward->members[i].pid != 0;
    }
    return some;
}

bool proofs_publish(struct certificates *all, const struct challenges *block)
{
    size_t bytes = challenges_size(block->count);
    int memfd = snapshot_seal(span_of((const char *)block, bytes));

    if (memfd < 0)
        return false;
    if (all->proofs_memfd >= 0)
        (void)close(all->proofs_memfd);
    all->proofs_memfd = memfd;
    all->proofs_bytes = bytes;
    all->proofs_version++;
    send_all(all, NULL);
    return true;
}

static const char *publish(struct certificate *one, struct span bundle)
{
    int memfd = snapshot_seal(bundle);

    if (memfd < 0)
        return "it cannot be published";
    if (one->memfd >= 0)
        (void)close(one->memfd);
    one->memfd = memfd;
    one->bytes = bundle.len;
    one->version++;
    send_all(one->steward->certificates, one);
    return NULL;
}

/* ---- what is due ---- */

/* When the next order of this one may begin. */
static int64_t order_at(const struct certificate *one)
{
    if (one->asked)
        return 0;
    int64_t due = one->held ? one->due_s : 0;
    return due > one->tries.next_s ? due : one->tries.next_s;
}

static int64_t next_at(const struct certificate *one)
{
    int64_t order = order_at(one);
    return one->held && one->info_s < order ? one->info_s : order;
}

static struct certificate *soonest(const struct certificates *all)
{
    struct certificate *found = NULL;

    for (size_t i = 0; i < all->count; i++)
        if (found == NULL || next_at(&all->items[i]) < next_at(found))
            found = &all->items[i];
    return found;
}

/* The order counts as a failure until it is none. */
static const char *note_order(struct certificates *all, struct certificate *one)
{
    struct acme_tries tries = one->tries;

    tries.failures += tries.failures < 1000;
    tries.next_s =
        certificates_now(all) + acme_backoff(all->settings->retry_s, tries.failures, 0, dice());
    (void)memcpy(tries.why, "interrupted", sizeof("interrupted"));
    const char *why = acme_tries_write(all->folder, one->file, &tries);
    one->tries = tries;
    return why;
}

static void begin(struct certificates *all, struct certificate *one)
{
    bool info = !one->asked && order_at(one) > certificates_now(all);

    all->order.before = one->tries;
    if (!info) {
        const char *why = note_order(all, one);
        if (why != NULL) {
            log_error("acme.folder cannot be written to: no certificate is asked for",
                      F_TEXT("site", one->settings->site), F_TEXT("why", why));
            (void)snprintf(one->tries.why, sizeof(one->tries.why),
                           "acme.folder cannot be written to: %s", why);
            one->asked = false;
            one->failed++;
            certificates_look(all);
            return;
        }
        log_info("certificate is asked for", F_TEXT("site", one->settings->site),
                 F_TEXT("directory", all->settings->directory),
                 F_INT("expires", one->held ? one->dates.until_s : 0));
    }
    order_start(all, one, info);
}

void certificates_look(struct certificates *all)
{
    struct certificate *one = soonest(all);
    int64_t now = certificates_now(all);

    if (all->order.of != NULL || one == NULL || all->account.key == NULL)
        return;
    int64_t wait_ms = (next_at(one) - now) * 1000;
    if (wait_ms <= 0) {
        begin(all, one);
        return;
    }
    wait_ms = wait_ms < LOOK_MOST_MS ? wait_ms : LOOK_MOST_MS;
    timer_set(&all->steward->loop, &all->timer, (uint64_t)wait_ms);
}

static void on_timer(struct timer *timer)
{
    certificates_look(CONTAINER(timer, struct certificates, timer));
}

/* Not on the stack of what ended. */
static void look_soon(struct certificates *all)
{
    timer_set(&all->steward->loop, &all->timer, LOOK_LEAST_MS);
}

/* ---- what came of it ---- */

void account_keep(struct certificates *all)
{
    char buffer[4096];
    struct text out = text_fixed(buffer, sizeof(buffer));
    const char *url = all->account.url.text;

    if (url[0] == '\0' || strcmp(url, all->account_kept.text) == 0)
        return;
    const char *why =
        acme_account_write(&out, span_text(all->settings->directory), &all->account)
            ? acme_store_write(all->folder, all->account_file, text_span(&out))
            : "out of memory";
    wipe(buffer, sizeof(buffer));
    if (why == NULL)
        all->account_kept = all->account.url;
    else
        log_error("the account at the certificate authority cannot be kept",
                  F_TEXT("file", all->account_file), F_TEXT("why", why));
}

static void finish(struct certificates *all)
{
    static const struct challenges none = { .magic = CHALLENGES_MAGIC };

    order_drop(all);
    if (all->proofs_bytes > challenges_size(0) && !proofs_publish(all, &none))
        log_error("what proved names cannot be taken back from the workers");
    look_soon(all);
}

static const char *take(struct certificates *all, struct certificate *one)
{
    struct span bundle = text_span(&all->order.run->bundle);
    struct acme_dates dates;
    const char *why = acme_bundle_read(bundle, one->hosts, &dates);

    if (why == NULL && !tls_bundle_valid(bundle))
        why = "the certificate is not understood";
    if (why != NULL)
        return why;
    const char *lost = acme_store_write(all->folder, one->file, bundle);
    if (lost != NULL)
        log_error("certificate cannot be kept: a restart will have to get another",
                  F_TEXT("site", one->settings->site), F_TEXT("why", lost));
    why = publish(one, bundle);
    if (why != NULL)
        return why;
    one->dates = dates;
    one->held = true;
    one->due_s = acme_due(&dates, dice());
    one->got_s = one->info_s = certificates_now(all);
    one->window_known = false;
    return NULL;
}

static void take_window(struct certificates *all, struct certificate *one)
{
    const struct acme_run *run = all->order.run;

    one->info_s = certificates_now(all) + acme_info_wait(run->retry_after_s);
    if (!run->window_known) {
        one->info_s = certificates_now(all) + ACME_INFO_MOST_S;
        return;
    }
    /* A window is rolled once: else the earliest of many throws would count. */
    if (one->window_known && one->window.from_s == run->window.from_s &&
        one->window.until_s == run->window.until_s)
        return;
    one->window = run->window;
    one->window_known = true;
    int64_t due = acme_due_window(&one->dates, &run->window, one->got_s, dice());
    log_info("the authority wishes when the certificate is renewed",
             F_TEXT("site", one->settings->site), F_INT("due", due));
    one->due_s = due;
}

void order_done(struct certificates *all)
{
    struct certificate *one = all->order.of;

    if (all->order.info) {
        take_window(all, one);
        finish(all);
        return;
    }
    const char *why = take(all, one);
    if (why != NULL) {
        order_failed(all, why, 0);
        return;
    }
    one->asked = false;
    one->got++;
    one->tries = (struct acme_tries){ .failures = 0 };
    (void)acme_tries_write(all->folder, one->file, &one->tries);
    log_info("certificate is here", F_TEXT("site", one->settings->site),
             F_INT("expires", one->dates.until_s), F_INT("renewal", one->due_s));
    finish(all);
}

void order_failed(struct certificates *all, const char *why, int64_t retry_after_s)
{
    struct certificate *one = all->order.of;
    int64_t now = certificates_now(all);

    if (all->order.info) { /* the dates of the certificate are good enough */
        one->info_s = now + ACME_INFO_USUAL_S;
        log_warn("the authority does not say when to renew", F_TEXT("why", why));
        finish(all);
        return;
    }
    struct text text = text_fixed(one->tries.why, sizeof(one->tries.why) - 1);
    text_add(&text, span_sub(span_text(why), 0, text.size));
    one->tries.why[text.len] = '\0';
    int64_t wait =
        acme_backoff(all->settings->retry_s, one->tries.failures, retry_after_s, dice());
    one->tries.next_s = now + wait + (retry_after_s > 0); /* `now` is rounded down */
    one->asked = false;
    one->failed++;
    (void)acme_tries_write(all->folder, one->file, &one->tries);
    log_error("certificate could not be got; the one of before stays",
              F_TEXT("site", one->settings->site), F_TEXT("why", one->tries.why),
              F_INT("failures", one->tries.failures), F_INT("next_try_s", wait),
              F_INT("expires", one->held ? one->dates.until_s : 0));
    finish(all);
}

/* ---- beginning and end ---- */

static unsigned resolve(void *names, struct span host, struct addr *out, unsigned max)
{
    const struct certificates *all = names;
    unsigned count = all->order.addr_count < max ? all->order.addr_count : max;

    if (!span_equal(host, all->host))
        return 0;
    memcpy(out, all->order.addrs, count * sizeof(*out));
    return count;
}

static bool open_hosts(struct certificate *one, struct arena *arena)
{
    struct span rest = span_text(one->settings->hosts), host;
    struct span *items = arena_array(arena, struct span, ACME_HOSTS_MAX);

    if (items == NULL)
        return false;
    one->hosts.items = items;
    while (rest.len > 0 && span_cut(&rest, '\n', &host)) {
        if (one->hosts.count == ACME_HOSTS_MAX)
            return false;
        items[one->hosts.count++] = host;
    }
    return one->hosts.count > 0;
}

static enum err open_policy(struct certificates *all)
{
    const struct acme_settings *settings = all->settings;
    struct tls_client_conf client = { .ca = span_text(settings->ca),
                                      .verify = true,
                                      .profile = TLS_INTERMEDIATE };
    struct arena *arena = &all->steward->arena;
    struct span why = { 0 };
    struct url url;

    if (fetch_url(span_text(settings->directory), arena, &url) != NULL)
        return ERR_PROTOCOL;
    all->host = url.host;
    all->port = url.port;
    /* A file that is gone since the load: there is nobody to trust then. */
    all->policy = (struct fetch_policy){ .tls = tls_client_new(&client, arena, &why),
                                         .https_only = true,
                                         .body_bytes = BODY_BYTES_MAX,
                                         .connect_ms = CONNECT_MS,
                                         .total_ms = TOTAL_MS,
                                         .resolve = resolve,
                                         .names = all };
    if (all->policy.tls == NULL)
        log_error("authorities for the certificate authority's server cannot be read",
                  F_SPAN("why", why));
    return OK;
}

enum err certificates_open(struct steward *steward)
{
    const struct acme_settings *settings = &steward->settings->acme;

    if (settings->count == 0)
        return OK;
    if (settings->count > ACME_SITES_MAX)
        return ERR_PROTOCOL;
    struct certificates *all = calloc(1, sizeof(*all));
    if (all == NULL)
        return ERR_MEMORY;
    *all = (struct certificates){ .steward = steward,
                                  .settings = settings,
                                  .proofs_memfd = -1,
                                  .timer = { .fire = on_timer } };
    all->items = calloc(settings->count, sizeof(*all->items));
    enum err err = all->items != NULL ? open_policy(all) : ERR_MEMORY;
    if (err != OK) {
        free(all->items);
        free(all);
        return err;
    }
    for (uint32_t i = 0; i < settings->count; i++) {
        struct certificate *one = &all->items[all->count++];
        *one = (struct certificate){ .steward = steward,
                                     .settings = &settings->items[i],
                                     .memfd = -1 };
        if (!open_hosts(one, &steward->arena))
            return ERR_PROTOCOL;
        acme_store_name(one->file, span_text(settings->directory), one->hosts);
    }
    acme_account_name(all->account_file, span_text(settings->directory));
    all->folder = acme_store_open(settings->folder);
    all->resolver = resolver_open(&steward->loop, steward->settings->resolver);
    steward->certificates = all;
    return OK;
}

/* What is kept of the account, or a new key for one. */
static void open_account(struct certificates *all)
{
    struct arena arena;
    struct span content;

    arena_init(&arena, NULL, 0, NULL, FILE_MEMORY);
    const char *why = acme_store_read(all->folder, all->account_file, &arena, &content);
    if (why == NULL && content.len > 0)
        why = acme_account_read(content, span_text(all->settings->directory), &all->account);
    if (why != NULL)
        log_error("the account at the certificate authority cannot be read; another is made",
                  F_TEXT("file", all->account_file), F_TEXT("why", why));
    if (content.len > 0)
        wipe((void *)(uintptr_t)content.p, content.len);
    arena_reset(&arena);
    all->account_kept = all->account.url;
    if (all->account.key == NULL)
        all->account.key = acme_key_new();
}

/* The workers have it from the load. */
static void open_kept(struct certificates *all, struct certificate *one)
{
    struct arena arena;
    struct span bundle;

    arena_init(&arena, NULL, 0, NULL, FILE_MEMORY);
    acme_tries_read(all->folder, one->file, &one->tries);
    const char *why = acme_store_read(all->folder, one->file, &arena, &bundle);
    if (why == NULL && bundle.len > 0 &&
        acme_bundle_read(bundle, one->hosts, &one->dates) == NULL) {
        one->held = publish(one, bundle) == NULL;
        one->due_s = acme_due(&one->dates, dice());
        one->got_s = acme_store_time(all->folder, one->file);
        one->info_s = certificates_now(all);
    }
    if (bundle.len > 0)
        wipe((void *)(uintptr_t)bundle.p, bundle.len);
    arena_reset(&arena);
}

void certificates_start(struct steward *steward)
{
    struct certificates *all = steward->certificates;

    if (all == NULL)
        return;
    open_account(all);
    if (all->account.key == NULL) {
        log_error("no key can be made for the account: no certificate is asked for");
        return;
    }
    for (size_t i = 0; i < all->count; i++)
        open_kept(all, &all->items[i]);
    look_soon(all);
}

/* The next steward begins anew with what was under way: that is no failure. */
void certificates_close(struct steward *steward)
{
    struct certificates *all = steward->certificates;

    if (all == NULL || all->order.of == NULL || all->order.info)
        return;
    (void)acme_tries_write(all->folder, all->order.of->file, &all->order.before);
}
