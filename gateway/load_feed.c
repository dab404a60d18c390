/*
 * Lists that have a URL, when a configuration is loaded: what is known to be wrong with them
 * without asking their servers.
 */
#include "gateway/load_site.h"
#include "gateway/net/certs.h"
#include "gateway/upstream/fetch_url.h"
#include "geoip/feedkept.h"

/* NULL, or why it cannot be fetched. */
static const char *feed_trouble(struct site_load *sl, const struct list_conf *list)
{
    struct tls_client_conf client = { .ca = list->ca.text,
                                      .verify = true,
                                      .profile = TLS_INTERMEDIATE };
    struct span reason = { 0 };
    struct url url;
    const char *why = fetch_url(list->url, sl->load->arena, &url);

    if (why != NULL)
        return why;
    if (list->ips.count > 0 || list->watch)
        return "`ips` and `watch` do not go with it";
    if (list->name.len >= FEED_NAME_BYTES)
        return "the name of the list is too long";
    if (!span_equal(url.scheme, SPAN("https")) && !list->allow_private)
        return "http needs allow_private: true";
    struct tls_client *tls = tls_client_new(&client, sl->load->arena, &reason);
    if (tls == NULL)
        return "its authorities cannot be read";
    tls_client_free(tls);
    return NULL;
}

bool load_feed(struct site_load *sl, const struct list_conf *list, struct place place)
{
    if (list->url.len == 0)
        return false;
    const char *why = feed_trouble(sl, list);
    if (why != NULL) {
        struct text message = text_growing(sl->load->arena, 256);
        text_lit(&message, "lists.url cannot be used: ");
        text_add(&message, span_text(why));
        diag_add(sl->load->diags, SEVERITY_ERROR, DIAG_VALUE, place, text_span(&message),
                 SPAN(""));
    }
    return true;
}
