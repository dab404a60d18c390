/*
 * The answer to `status`. All of it is for people and graphs: what stands in shared memory may
 * be forged by a worker that was taken over.
 */
#include "gateway/base/clock.h"
#include "gateway/cli/version.h"
#include "gateway/steward/steward.h"

#define COUNTER(name)                                                                          \
    {                                                                                          \
#name, offsetof(struct worker_counters, name)                                          \
    }
static const struct {
    const char *name;
    size_t offset;
} counter_table[] = {
    COUNTER(connections_accepted),
    COUNTER(connections_refused),
    COUNTER(connections_open),
    COUNTER(tls_failures),
    COUNTER(connection_records_suppressed),
    COUNTER(requests),
    COUNTER(requests_refused),
    COUNTER(requests_denied),
    COUNTER(requests_replied),
    COUNTER(requests_forwarded),
    COUNTER(upstream_failures),
    COUNTER(upstream_retries),
    COUNTER(records_lost),
    COUNTER(request_bytes),
    COUNTER(response_bytes),
    COUNTER(limits_evicted),
    COUNTER(collections_evicted),
    COUNTER(collections_lost),
    COUNTER(h2_connections),
    COUNTER(store_calls),
    COUNTER(store_us),
    COUNTER(store_failures),
};
#undef COUNTER

static uint64_t counter(const struct worker_counters *counters, size_t offset)
{
    const uint64_t *value = (const void *)((const char *)counters + offset);
    return __atomic_load_n(value, __ATOMIC_RELAXED);
}

/* Over all slots, those of workers that are gone too: counters only grow. */
static void write_counters(struct json *j, const struct slots *slots)
{
    json_begin_object(j, "counters");
    for (size_t c = 0; c < ARRAY_LEN(counter_table); c++) {
        uint64_t sum = 0;
        for (size_t i = 0; i < SLOTS_MAX; i++)
            sum += counter(&slots->workers[i].counters, counter_table[c].offset);
        json_uint(j, counter_table[c].name, sum);
    }
    static const char *const classes[] = { "other", "1xx", "2xx", "3xx", "4xx", "5xx" };
    json_begin_object(j, "status");
    for (size_t class = 0; class < ARRAY_LEN(classes); class ++) {
        uint64_t sum = 0;
        for (size_t i = 0; i < SLOTS_MAX; i++)
            sum += counter(&slots->workers[i].counters,
                           offsetof(struct worker_counters, status_class) +
                               class * sizeof(uint64_t));
        json_uint(j, classes[class], sum);
    }
    json_end_object(j);
    json_begin_object(j, "h2_floods");
    for (enum flood flood = 0; flood < FLOOD_COUNT; flood++) {
        uint64_t sum = 0;
        for (size_t i = 0; i < SLOTS_MAX; i++)
            sum +=
                counter(&slots->workers[i].counters,
                        offsetof(struct worker_counters, h2_floods) + flood * sizeof(uint64_t));
        json_uint(j, flood_name(flood).p, sum);
    }
    json_end_object(j);
    json_end_object(j);
}

static void write_processes(struct json *j, const struct process_ids *ids)
{
    json_begin_object(j, "processes");
    json_int(j, "master", ids->master);
    json_int(j, "generation", ids->generation);
    json_int(j, "recorder", ids->recorder);
    json_int(j, "steward", ids->steward);
    json_end_object(j);
}

static void write_workers(struct json *j, const struct steward *steward)
{
    uint64_t now_ms = clock_ms(&steward->loop.clock);
    json_begin_array(j, "workers");
    for (size_t i = 0; i < SLOTS_MAX; i++) {
        if (steward->members[i].pid == 0)
            continue;
        const struct worker_shared *worker = &steward->slots->workers[i];
        uint64_t beat = __atomic_load_n(&worker->heartbeat_ms, __ATOMIC_RELAXED);
        json_begin_object(j, NULL);
        json_uint(j, "slot", i);
        json_int(j, "pid", steward->members[i].pid);
        json_uint(j, "generation", worker->generation);
        json_uint(j, "heartbeat_age_ms", beat < now_ms ? now_ms - beat : 0);
        json_uint(j, "connections", worker->counters.connections_open);
        json_uint(j, "requests", worker->counters.requests);
        json_end_object(j);
    }
    json_end_array(j);
}

static void write_time(struct json *j, const char *key, uint64_t wall_s)
{
    char buffer[32];
    struct text time = text_fixed(buffer, sizeof(buffer));
    clock_write_iso(&time, wall_s * 1000000u);
    json_text(j, key, text_span(&time));
}

static void write_origin(struct json *j, const struct steward *steward,
                         const struct watched *list)
{
    if (list->settings->url[0] == '\0') {
        json_text(j, "path", span_text(list->settings->path));
        return;
    }
    json_text(j, "url", span_text(list->settings->url));
    json_bool(j, "stale", feed_stale(list, steward->loop.clock.wall_us / 1000000u));
    if (list->fetched_s != 0)
        write_time(j, "fetched", list->fetched_s);
}

static void write_lists(struct json *j, const struct steward *steward)
{
    json_begin_array(j, "lists");
    for (uint32_t i = 0; i < steward->settings->list_count; i++) {
        const struct watched *list = &steward->lists[i];
        json_begin_object(j, NULL);
        json_text(j, "name", span_text(list->settings->name));
        write_origin(j, steward, list);
        json_uint(j, "version", list->version);
        json_uint(j, "ranges", list->ranges);
        if (list->loaded_s != 0)
            write_time(j, "loaded", list->loaded_s);
        if (list->trouble != NULL)
            json_text(j, "trouble", span_text(list->trouble));
        json_end_object(j);
    }
    json_end_array(j);
}

void status_write(struct json *j, const struct steward *steward)
{
    const struct slots *slots = steward->slots;
    const struct process_ids *ids = &slots->ids;
    uint64_t now_s = steward->loop.clock.wall_us / 1000000u;
    struct span listen = span_of(ids->listen, strnlen(ids->listen, sizeof(ids->listen)));

    json_text(j, "version", span_text(SALLYPORT_VERSION));
    json_text(j, "config", span_text(steward->settings->config));
    json_text(j, "config_hash", span_text(steward->settings->hash));
    json_uint(j, "generation", ids->serving);
    write_time(j, "started", ids->started_s);
    json_uint(j, "uptime_s", ids->started_s <= now_s ? now_s - ids->started_s : 0);
    write_time(j, "configured", ids->serving_s);
    json_uint(j, "reloads_refused", ids->reloads_refused);
    json_text(j, "listen", span_trim(listen));
    json_uint(j, "requests_refused_after_crashes", slots->deaths_refused);
    json_int(j, "landlock_abi", steward->landlock_abi);
    write_processes(j, ids);
    write_workers(j, steward);
    write_counters(j, slots);
    write_lists(j, steward);
    crowdsec_status(j, steward);
}
