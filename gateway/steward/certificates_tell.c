/*
 * What is told of certificates that are got by ACME: to `sallyport cert`, and in metrics. All
 * of it is public: no key, and no proof of a name.
 */
#include <jansson.h>

#include "gateway/base/clock.h"
#include "gateway/steward/certificates.h"

/* ---- commands ---- */

static const char *state_of(const struct certificates *all, const struct certificate *one)
{
    if (all->order.of == one && !all->order.info)
        return "ordering";
    if (one->asked)
        return "queued";
    if (!one->held)
        return one->tries.failures > 0 ? "failing" : "pending";
    if (one->dates.until_s <= certificates_now(all))
        return "expired";
    return one->tries.failures > 0 ? "renewal failing" : "valid";
}

static void write_time(struct json *j, const char *key, int64_t wall_s)
{
    char buffer[32];
    struct text time = text_fixed(buffer, sizeof(buffer));

    clock_write_iso(&time, (uint64_t)wall_s * 1000000u);
    json_text(j, key, text_span(&time));
}

static void write_one(struct json *j, const struct certificates *all,
                      const struct certificate *one)
{
    int64_t next = one->due_s > one->tries.next_s ? one->due_s : one->tries.next_s;

    json_begin_object(j, NULL);
    json_text(j, "site", span_text(one->settings->site));
    json_begin_array(j, "hosts");
    for (size_t i = 0; i < one->hosts.count; i++)
        json_text(j, NULL, one->hosts.items[i]);
    json_end_array(j);
    json_text(j, "state", span_text(state_of(all, one)));
    if (one->held) {
        write_time(j, "from", one->dates.from_s);
        write_time(j, "until", one->dates.until_s);
        json_int(j, "expires", one->dates.until_s);
    }
    if (next > 0)
        write_time(j, "next", next);
    json_uint(j, "got", one->got);
    json_uint(j, "failed", one->failed);
    json_uint(j, "failures", one->tries.failures);
    if (one->tries.failures > 0)
        json_text(j, "why", span_text(one->tries.why));
    json_text(j, "file", span_text(one->file));
    json_end_object(j);
}

static void list(struct client *client)
{
    const struct certificates *all = client->steward->certificates;
    struct json j = answer_begin(client, true);

    if (all != NULL)
        json_text(&j, "directory", span_text(all->settings->directory));
    json_begin_array(&j, "certificates");
    for (size_t i = 0; all != NULL && i < all->count; i++)
        write_one(&j, all, &all->items[i]);
    json_end_array(&j);
    answer_end(client, &j);
}

static bool is_named(const struct certificate *one, struct span name)
{
    if (name.len == 0 || span_equal(span_text(one->settings->site), name))
        return true;
    for (size_t i = 0; i < one->hosts.count; i++)
        if (span_equal_nocase(one->hosts.items[i], name))
            return true;
    return false;
}

/* By name, or all of them. */
static void renew(struct client *client, struct span name)
{
    struct certificates *all = client->steward->certificates;
    uint64_t count = 0;

    for (size_t i = 0; all != NULL && i < all->count; i++) {
        struct certificate *one = &all->items[i];
        if (!is_named(one, name))
            continue;
        one->asked = true;
        count++;
    }
    if (count == 0) {
        answer_error(client, name.len > 0 ? "no certificate of that name is got by acme"
                                          : "no certificate is got by acme");
        return;
    }
    struct json j = answer_begin(client, true);
    json_uint(&j, "asked", count);
    answer_end(client, &j);
    certificates_look(all);
}

void certificates_command(struct client *client, const json_t *request)
{
    const char *action = json_string_value(json_object_get(request, "action"));
    const char *name = json_string_value(json_object_get(request, "name"));

    if (action != NULL && strcmp(action, "renew") == 0)
        renew(client, span_text(name));
    else if (action != NULL && strcmp(action, "list") == 0)
        list(client);
    else
        answer_error(client, "the action is list or renew");
}

/* ---- metrics ---- */

/* Names of sites come from the configuration. */
static void sample(struct text *out, const char *name, const struct certificate *one,
                   const char *more, uint64_t value)
{
    text_format(out, "sallyport_%s{site=\"", name);
    for (const char *p = one->settings->site; *p != '\0'; p++) {
        if (*p == '"' || *p == '\\')
            text_char(out, '\\');
        text_char(out, (unsigned char)*p >= 0x20 && *p != 0x7f ? *p : '?');
    }
    text_format(out, "\"%s} %llu\n", more, (unsigned long long)value);
}

void certificates_metrics(struct text *out, const struct steward *steward)
{
    const struct certificates *all = steward->certificates;

    if (all == NULL)
        return;
    text_lit(out, "# HELP sallyport_certificate_expiry_seconds When a certificate that is got "
                  "by ACME runs out, since 1970; 0: there is none yet.\n"
                  "# TYPE sallyport_certificate_expiry_seconds gauge\n");
    for (size_t i = 0; i < all->count; i++)
        sample(out, "certificate_expiry_seconds", &all->items[i], "",
               all->items[i].held ? (uint64_t)all->items[i].dates.until_s : 0);
    text_lit(out,
             "# HELP sallyport_certificate_orders_total Orders of certificates, by how they "
             "ended.\n"
             "# TYPE sallyport_certificate_orders_total counter\n");
    for (size_t i = 0; i < all->count; i++) {
        sample(out, "certificate_orders_total", &all->items[i], ",outcome=\"got\"",
               all->items[i].got);
        sample(out, "certificate_orders_total", &all->items[i], ",outcome=\"failed\"",
               all->items[i].failed);
    }
    text_lit(out, "# HELP sallyport_certificate_failures Failures in a row.\n"
                  "# TYPE sallyport_certificate_failures gauge\n");
    for (size_t i = 0; i < all->count; i++)
        sample(out, "certificate_failures", &all->items[i], "", all->items[i].tries.failures);
}
