/*
 * Certificates that the steward has got before: they are read when a configuration is loaded,
 * so that no handshake sees the self-signed ones again. What cannot be used is said, and got
 * anew.
 */
#include <unistd.h>

#include "auth/provider.h"
#include "gateway/acme/store.h"
#include "gateway/base/log.h"
#include "gateway/base/secret.h"
#include "gateway/net/certs.h"
#include "gateway/process/generation.h"
#include "gateway/process/settings.h"

static void refuse_folder(struct home *home, struct span folder, const char *why)
{
    char buffer[SETTINGS_PATH_BYTES + 256];
    struct text text = text_fixed(buffer, sizeof(buffer));

    text_lit(&text, "error: acme.folder ");
    text_add(&text, folder);
    text_lit(&text, " cannot be used: ");
    text_add(&text, span_text(why));
    text_char(&text, '\n');
    refuse(home, text_span(&text));
}

/* What the file holds, for the site; NULL, or why not. `*there`: it is there. */
static const char *take(struct home *home, int folder, const struct acme_site *site,
                        const char *name, bool *there)
{
    struct arena arena;
    struct span bundle;

    arena_init(&arena, NULL, 0, NULL, 2 * ACME_FILE_MAX);
    const char *why = acme_store_read(folder, name, &arena, &bundle);
    *there = why == NULL && bundle.len > 0;
    if (*there && home->config->tls != NULL &&
        tls_server_replace(home->config->tls, site->tls_site, bundle) != OK)
        why = "it is no private key with its chain of certificates";
    if (bundle.len > 0)
        wipe((void *)(uintptr_t)bundle.p, bundle.len);
    arena_reset(&arena);
    return why;
}

/* Better one for some of the hosts than one that nobody trusts: a host was added, say. */
static bool use_nearest(struct home *home, int folder, const struct acme_site *site)
{
    struct acme_hosts hosts = { site->site->hosts, site->site->host_count };
    int64_t now_s = (int64_t)(home->loop.clock.wall_us / 1000000u);
    char name[ACME_NAME_MAX];
    bool there;

    if (!acme_store_nearest(folder, hosts, now_s, name) ||
        take(home, folder, site, name, &there) != NULL || !there)
        return false;
    log_warn("site has no certificate for just its hosts yet: another one until it is got",
             F_TEXT("site", site->site->name), F_TEXT("file", name));
    return true;
}

static void use(struct home *home, int folder, const struct acme_site *site)
{
    struct acme_hosts hosts = { site->site->hosts, site->site->host_count };
    char name[ACME_NAME_MAX];
    bool there;

    acme_store_name(name, home->config->acme.directory, hosts);
    const char *why = take(home, folder, site, name, &there);
    if (why != NULL)
        log_error("certificate that was kept cannot be used; another one is got",
                  F_TEXT("site", site->site->name), F_TEXT("file", name), F_TEXT("why", why));
    if ((why != NULL || !there) && !use_nearest(home, folder, site))
        log_warn("site has no certificate yet: a self-signed one until it is got",
                 F_TEXT("site", site->site->name));
}

void certificates_load(struct home *home)
{
    const struct acme_conf *acme = &home->config->acme;
    char user[SETTINGS_TEXT_BYTES];

    if (acme->site_count == 0)
        return;
    if (!settings_put(user, sizeof(user), home->config->server.user))
        refuse(home, SPAN("error: server.user is too long\n"));
    const char *why = acme_store_make(acme->folder.text.p, user[0] != '\0' ? user : NULL);
    int folder = why == NULL ? acme_store_open(acme->folder.text.p) : -1;
    if (folder < 0)
        refuse_folder(home, acme->folder.text, why != NULL ? why : "it cannot be opened");
    for (size_t i = 0; i < acme->site_count; i++)
        use(home, folder, &acme->sites[i]);
    (void)close(folder);
}

/* The steward tells a new worker, too, but its first handshakes may come before. What cannot be
 * read is no trouble: the one of before stays. */
void certificates_again(struct home *home)
{
    const struct acme_conf *acme = &home->config->acme;
    int folder = acme->site_count > 0 ? acme_store_open(acme->folder.text.p) : -1;
    char name[ACME_NAME_MAX];
    bool there;

    for (size_t i = 0; folder >= 0 && i < acme->site_count; i++) {
        const struct site *site = acme->sites[i].site;
        acme_store_name(name, acme->directory,
                        (struct acme_hosts){ site->hosts, site->host_count });
        (void)take(home, folder, &acme->sites[i], name, &there);
    }
    if (folder >= 0)
        (void)close(folder);
}

/* ---- what the steward is told ---- */

bool certificates_put(struct acme_settings *to, const struct config *config)
{
    const struct acme_conf *acme = &config->acme;
    bool fits = true;

    if (acme->site_count == 0)
        return true;
    to->challenge = (uint32_t)acme->challenge;
    to->challenges_id = challenges_id(config);
    to->retry_s = acme->retry.ms / 1000;
    for (size_t i = 0; i < acme->site_count && fits; i++) {
        const struct site *site = acme->sites[i].site;
        struct watched_certificate *item = &to->items[to->count++];
        struct text hosts = text_fixed(item->hosts, sizeof(item->hosts) - 1);
        item->id = certificate_id(config, i);
        for (size_t n = 0; n < site->host_count; n++) {
            text_add(&hosts, site->hosts[n]);
            text_char(&hosts, '\n');
        }
        fits = !hosts.overflow &&
               settings_put(item->site, sizeof(item->site), span_text(site->name));
    }
    return fits && settings_put(to->directory, sizeof(to->directory), acme->directory) &&
           settings_put(to->email, sizeof(to->email), acme->email) &&
           settings_put(to->eab_kid, sizeof(to->eab_kid), acme->eab_kid) &&
           settings_put(to->eab_key, sizeof(to->eab_key), acme->eab_key) &&
           settings_put(to->folder, sizeof(to->folder), acme->folder.text) &&
           settings_put(to->ca, sizeof(to->ca), acme->ca.text);
}
