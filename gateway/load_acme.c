/*
 * Top-level `acme:` when a configuration is loaded: what it says, and which sites get their
 * certificates by it. Each begins with one that is self-signed; the generation puts what is
 * kept in its place, and the steward what it gets.
 */
#include <stdlib.h>
#include <unistd.h>

#include "gateway/acme/certificate.h"
#include "gateway/acme/jws.h"
#include "gateway/load_site.h"
#include "gateway/net/certs.h"
#include "gateway/net/challenge.h"
#include "gateway/upstream/fetch_url.h"

enum { DIRECTORY_BYTES_MAX = 512 };

static void complain_at(struct site_load *sl, struct place place, const char *message,
                        struct span hint)
{
    diag_add(sl->load->diags, SEVERITY_ERROR, DIAG_VALUE, place, span_text(message), hint);
}

static struct place place_of(const struct site_load *sl, const char *key)
{
    const struct node *node = node_child(sl->schema.root, SPAN("acme"));
    const struct node *child =
        node != NULL && key != NULL ? node_child(node, span_text(key)) : NULL;
    return child != NULL ? child->place : node != NULL ? node->place : (struct place){ 0 };
}

/* ---- what it says ---- */

static struct span directory_of(struct span text)
{
    static const struct {
        struct span name, url;
    } rows[] = {
        { SPAN_INIT("letsencrypt"),
          SPAN_INIT("https://acme-v02.api.letsencrypt.org/directory") },
        { SPAN_INIT("letsencrypt-staging"),
          SPAN_INIT("https://acme-staging-v02.api.letsencrypt.org/directory") },
    };

    for (size_t i = 0; i < ARRAY_LEN(rows); i++)
        if (span_equal(text, rows[i].name))
            return rows[i].url;
    return text;
}

static void check_directory(struct site_load *sl, struct span directory)
{
    struct url url;
    const char *why = fetch_url(directory, sl->load->arena, &url);

    if (why == NULL && span_equal(url.scheme, SPAN("https")) &&
        directory.len <= DIRECTORY_BYTES_MAX)
        return;
    complain_at(sl, place_of(sl, "directory"),
                "acme.directory is letsencrypt, letsencrypt-staging, or an https URL",
                SPAN(""));
}

/* It goes into a mailto: of JSON; whether it is somebody's the authority says. */
static bool email_valid(struct span email)
{
    ssize_t at = span_index(email, '@');

    for (size_t i = 0; i < email.len; i++)
        if (email.p[i] <= ' ' || email.p[i] >= 0x7f || strchr("<>,;?&\"\\", email.p[i]) != NULL)
            return false;
    return email.len == 0 || (at > 0 && (size_t)at + 1 < email.len && email.len <= 254);
}

static void check_trust(struct site_load *sl)
{
    struct tls_client_conf client = { .ca = sl->config->acme.ca.text,
                                      .verify = true,
                                      .profile = TLS_INTERMEDIATE };
    struct span why = { 0 };
    struct tls_client *tls = tls_client_new(&client, sl->load->arena, &why);

    if (tls == NULL)
        diag_add(sl->load->diags, SEVERITY_ERROR, DIAG_FILE, place_of(sl, "ca"), why, SPAN(""));
    tls_client_free(tls);
}

static void check_binding(struct site_load *sl)
{
    const struct acme_conf *acme = &sl->config->acme;

    if ((acme->eab_kid.len > 0) != (acme->eab_key.len > 0))
        complain_at(sl, place_of(sl, "eab"), "acme.eab needs both kid and key", SPAN(""));
    else if (acme->eab_key.len > 0 && !acme_mac_valid(acme->eab_key))
        complain_at(sl, place_of(sl, "eab"),
                    "acme.eab.key is no key in base64url, as authorities give it", SPAN(""));
}

static void default_folder(struct site_load *sl)
{
    static const struct {
        const char *variable, *behind;
    } rows[] = { { "STATE_DIRECTORY", "/acme" },
                 { "XDG_STATE_HOME", "/sallyport/acme" },
                 { "HOME", "/.local/state/sallyport/acme" } };
    struct text out = text_growing(sl->load->arena, 256);
    struct path *folder = &sl->config->acme.folder;

    if (folder->text.len > 0)
        return;
    for (size_t i = 0; i < ARRAY_LEN(rows) && out.len == 0; i++) {
        /* no threads yet: NOLINTNEXTLINE(concurrency-mt-unsafe) */
        const char *value = getenv(rows[i].variable);
        if (i > 0 && geteuid() == 0) {
            text_lit(&out, "/var/lib/sallyport/acme");
        } else if (value != NULL && value[0] == '/') {
            text_add(&out, span_of(value, strcspn(value, ":"))); /* systemd's may be several */
            text_add(&out, span_text(rows[i].behind));
        }
    }
    if (out.len > 0 && text_cstring(&out) != NULL)
        folder->text = text_span(&out);
    else
        complain_at(sl, place_of(sl, NULL),
                    "acme.folder is needed: there is no home to keep "
                    "certificates in",
                    SPAN(""));
}

void load_acme(struct site_load *sl, struct top_conf *top, size_t sites)
{
    enum { MODE_SAYS_OFF = 1 };
    struct acme_conf *acme = &sl->config->acme;

    if (node_child(sl->schema.root, SPAN("acme")) == NULL)
        top->acme.mode = MODE_SAYS_OFF; /* what `config print` prints may be loaded again */
    if (top->acme.mode != 0)
        return;
    *acme = (struct acme_conf){ .directory = directory_of(top->acme.directory),
                                .email = top->acme.email,
                                .folder = top->acme.folder,
                                .ca = top->acme.ca,
                                .challenge = top->acme.challenge,
                                .eab_kid = top->acme.eab.kid,
                                .eab_key = span_of(top->acme.eab.key.p, top->acme.eab.key.len),
                                .retry = top->acme.retry };
    acme->sites = load_need(sl, arena_array(sl->load->arena, struct acme_site, sites + 1));
    sl->acme = acme->sites != NULL;
    default_folder(sl);
    check_directory(sl, acme->directory);
    check_trust(sl);
    check_binding(sl);
    if (!email_valid(acme->email))
        complain_at(sl, place_of(sl, "email"), "acme.email is no address", SPAN(""));
    if (!top->acme.agree_terms)
        complain_at(sl, place_of(sl, "agree_terms"),
                    "the authority issues certificates only to those who agree to its terms of "
                    "service",
                    SPAN("read them, then set acme.agree_terms: true"));
}

void load_acme_listen(struct site_load *sl)
{
    static struct span http = SPAN_INIT(":80"), https = SPAN_INIT(":443");
    struct server_conf *server = &sl->config->server;

    if (sl->acme && server->http.count + server->https.count == 0) {
        server->http = (struct texts){ .items = &http, .count = 1 };
        server->https = (struct texts){ .items = &https, .count = 1 };
    }
}

/* ---- sites ---- */

static const char *trouble_of(const struct site *site)
{
    struct addr addr;
    size_t bytes = 0;

    for (size_t i = 0; i < site->host_count; i++) {
        bytes += site->hosts[i].len + 1;
        if (span_equal(site->hosts[i], SPAN("*")))
            return "a site for any host cannot get a certificate by acme";
        if (span_starts(site->hosts[i], SPAN("*.")))
            return "a wildcard cannot be proved by http-01 or tls-alpn-01";
        if (addr_parse(site->hosts[i], &addr))
            return "an address cannot get a certificate by acme";
        if (site->hosts[i].len > CHALLENGE_NAME_MAX)
            return "the host is too long for a certificate";
    }
    if (site->host_count > ACME_HOSTS_MAX || bytes > ACME_HOSTS_BYTES)
        return "the site has too many hosts for one certificate";
    return NULL;
}

bool load_acme_site(struct site_load *sl, struct site *site, struct place place,
                    struct span *bundle)
{
    struct acme_conf *acme = &sl->config->acme;
    struct text text = text_growing(sl->load->arena, 2048);
    const char *trouble = trouble_of(site);

    if (trouble == NULL && acme->site_count == ACME_SITES_MAX)
        trouble = "more than 64 sites get their certificates by acme";
    if (trouble != NULL) {
        complain_at(sl, place, trouble, SPAN("give it tls.cert and tls.key, or acme: off"));
        return false;
    }
    if (!acme_self_signed(&text, (struct acme_hosts){ site->hosts, site->host_count })) {
        complain_at(sl, place, "out of memory", SPAN(""));
        return false;
    }
    *bundle = text_span(&text);
    acme->sites[acme->site_count++] =
        (struct acme_site){ .site = site, .tls_site = (int)sl->tls_count };
    return true;
}

void load_acme_end(struct site_load *sl)
{
    const struct server_conf *server = &sl->config->server;
    const struct acme_conf *acme = &sl->config->acme;

    if (acme->site_count == 0)
        return;
    if (server->https.count == 0)
        complain_at(sl, place_of(sl, NULL),
                    "certificates are asked for, but nothing listens for HTTPS",
                    SPAN("set server.listen.https"));
    if (acme->challenge == ACME_HTTP_01 && server->http.count == 0)
        complain_at(sl, place_of(sl, NULL),
                    "http-01 is proved on plain HTTP, and nothing listens for that",
                    SPAN("set server.listen.http, or challenge: tls-alpn-01"));
}
