/*
 * Lines about connections that never came to a request: a handshake that failed, a client that
 * was not let in.
 */
#include "gateway/audit/record.h"
#include "gateway/base/clock.h"

static void write_time(struct json *j, uint64_t wall_us)
{
    char buffer[32];
    struct text time = text_fixed(buffer, sizeof buffer);

    clock_write_iso(&time, wall_us);
    json_text(j, "@timestamp", text_span(&time));
}

static void write_event(struct json *j, const struct connection_record *record)
{
    json_begin_object(j, "ecs");
    json_text(j, "version", SPAN("8.11"));
    json_end_object(j);
    json_begin_object(j, "event");
    json_text(j, "kind", SPAN("event"));
    json_begin_array(j, "category");
    json_text(j, NULL, SPAN("network"));
    json_end_array(j);
    json_text(j, "action", SPAN("refuse-connection"));
    json_text(j, "outcome", SPAN("failure"));
    json_text(j, "reason", span_text(record->reason));
    json_end_object(j);
}

static void write_endpoint(struct json *j, const char *key, const struct addr *addr)
{
    char buffer[64];
    struct text ip = text_fixed(buffer, sizeof buffer);

    addr_write(&ip, addr);
    json_begin_object(j, key);
    json_text(j, "ip", text_span(&ip));
    if (addr->port != 0)
        json_uint(j, "port", addr->port);
    json_end_object(j);
}

static void write_text(struct json *j, const char *key, struct span value)
{
    if (value.len > 0)
        json_text(j, key, value);
}

/* As in the record of a transaction: record.c, put_lists. */
static void write_hit(struct json *j, const struct list_hit *hit)
{
    char buffer[64];
    struct text text = text_fixed(buffer, sizeof buffer);

    bool place = hit->what.place != 0;

    if (!list_hit_named(hit))
        return;
    json_begin_array(j, "lists");
    json_begin_object(j, NULL);
    json_text(j, "list", hit->list);
    if (place)
        addrlist_place_write(&text, hit->what.place);
    else
        cidr_write(&text, &hit->what.prefix);
    json_text(j, place ? "place" : "prefix", text_span(&text));
    write_text(j, "source", hit->what.source);
    write_text(j, "reason", hit->what.reason);
    if (hit->what.expires_s != 0) {
        text = text_fixed(buffer, sizeof buffer);
        clock_write_iso(&text, hit->what.expires_s * UINT64_C(1000000));
        json_text(j, "expires", text_span(&text));
    }
    json_end_object(j);
    json_end_array(j);
}

void record_connection(struct text *out, const struct connection_record *record)
{
    struct json j = json_writer(out);

    json_begin_object(&j, NULL);
    write_time(&j, record->wall_us);
    write_event(&j, record);
    if (record->peer.family == ADDR_V4 || record->peer.family == ADDR_V6) {
        write_endpoint(&j, "source", &record->peer);
        write_endpoint(&j, "client", &record->peer);
    }
    if (record->sni.len > 0) {
        json_begin_object(&j, "tls");
        json_begin_object(&j, "client");
        json_text(&j, "server_name", record->sni);
        json_end_object(&j);
        json_end_object(&j);
    }
    json_begin_object(&j, "sallyport");
    json_text(&j, "action", SPAN("refuse-connection"));
    json_text(&j, "reason", span_text(record->reason));
    if (record->detail != NULL)
        json_text(&j, "detail", span_text(record->detail));
    write_text(&j, "list", record->list.list);
    write_hit(&j, &record->list);
    if (record->suppressed > 0)
        json_uint(&j, "suppressed", record->suppressed);
    write_text(&j, "config", record->config_hash);
    write_text(&j, "node", record->node);
    json_end_object(&j);
    json_end_object(&j);
}
