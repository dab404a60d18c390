/*
 * The metrics as Prometheus reads them (text format 0.0.4). Labels come from the configuration
 * and from tables in the code, never from a request, so that no client makes series. What
 * stands in shared memory may be forged by a worker that was taken over: names are escaped, and
 * nothing is used as a size.
 */
#include "auth/bots/memory.h"
#include "gateway/audit/ring.h"
#include "gateway/base/clock.h"
#include "gateway/chain/meter.h"
#include "gateway/cli/version.h"
#include "gateway/steward/steward.h"
#include "gateway/upstream/health.h"

static uint64_t load(const uint64_t *value)
{
    return __atomic_load_n(value, __ATOMIC_RELAXED);
}

static void family(struct text *out, const char *name, const char *type, const char *help)
{
    text_format(out, "# HELP sallyport_%s %s\n# TYPE sallyport_%s %s\n", name, help, name,
                type);
}

static void sample(struct text *out, const char *name, uint64_t value)
{
    text_format(out, "sallyport_%s %llu\n", name, (unsigned long long)value);
}

static void simple(struct text *out, const char *name, const char *type, const char *help,
                   uint64_t value)
{
    family(out, name, type, help);
    sample(out, name, value);
}

/* A label's value; a name in shared memory need not end. */
static void put_label(struct text *out, const char *name, size_t size)
{
    for (size_t i = 0; i < size && name[i] != '\0'; i++) {
        unsigned char c = (unsigned char)name[i];
        if (c == '"' || c == '\\')
            text_char(out, '\\');
        text_char(out, c >= 0x20 && c != 0x7f ? name[i] : '?');
    }
}

/* ---- counters of the workers ---- */

#define COUNTER(field, metric, help)                                                           \
    {                                                                                          \
        offsetof(struct worker_counters, field), metric, help                                  \
    }
static const struct {
    size_t offset;
    const char *name, *help;
} counter_rows[] = {
    COUNTER(connections_accepted, "connections_accepted_total", "Client connections accepted."),
    COUNTER(connections_refused, "connections_refused_total", "Client connections refused."),
    COUNTER(tls_failures, "tls_failures_total", "Handshakes that failed."),
    COUNTER(requests, "requests_total", "Requests, refused heads included."),
    COUNTER(requests_refused, "requests_refused_total", "Heads that the parser refused."),
    COUNTER(requests_denied, "requests_denied_total", "Requests that were denied."),
    COUNTER(requests_forwarded, "requests_forwarded_total", "Requests sent to an upstream."),
    COUNTER(upstream_failures, "upstream_failures_total", "Exchanges that failed."),
    COUNTER(upstream_retries, "upstream_retries_total", "Further tries of exchanges."),
    COUNTER(records_lost, "audit_ring_full_total", "Records for which the ring had no room."),
    COUNTER(request_bytes, "request_body_bytes_total", "Bytes of request bodies."),
    COUNTER(response_bytes, "response_body_bytes_total", "Bytes of response bodies."),
    COUNTER(limits_evicted, "limit_keys_forgotten_total",
            "Keys of limits that still counted and were forgotten, for too many came."),
    COUNTER(store_calls, "store_calls_total", "Calls to the store about shared limits."),
    COUNTER(store_us, "store_call_microseconds_total",
            "Time from these calls to their answers."),
    COUNTER(store_failures, "store_failures_total",
            "Of these calls: without an answer of use, or in time."),
};
#undef COUNTER

static void write_counters(struct text *out, const struct slots *slots)
{
    for (size_t c = 0; c < ARRAY_LEN(counter_rows); c++) {
        uint64_t sum = 0;
        for (size_t i = 0; i < SLOTS_MAX; i++)
            sum += load((const void *)((const char *)&slots->workers[i].counters +
                                       counter_rows[c].offset));
        simple(out, counter_rows[c].name, "counter", counter_rows[c].help, sum);
    }
}

static void write_workers(struct text *out, const struct steward *steward)
{
    uint64_t workers = 0, connections = 0;
    for (size_t i = 0; i < SLOTS_MAX; i++) {
        if (steward->members[i].pid == 0)
            continue;
        workers++;
        connections += load(&steward->slots->workers[i].counters.connections_open);
    }
    simple(out, "workers", "gauge", "Workers alive.", workers);
    simple(out, "connections_open", "gauge", "Client connections now.", connections);
}

/* ---- by site, by stage ---- */

static void write_requests(struct text *out, const struct meters *meters)
{
    static const char *const classes[METER_CLASSES] = { "none", "1xx", "2xx",
                                                        "3xx",  "4xx", "5xx" };
    family(out, "http_requests_total", "counter",
           "Requests by site, method and class of the answer.");
    for (unsigned site = 0; site < METER_SITES; site++)
        for (unsigned method = 0; method < METER_METHODS; method++)
            for (unsigned class = 0; class < METER_CLASSES; class ++) {
                uint64_t sum = 0;
                for (size_t i = 0; i < METER_WORKERS; i++)
                    sum += load(&meters->workers[i].requests[site][method][class]);
                if (sum == 0)
                    continue;
                text_lit(out, "sallyport_http_requests_total{site=\"");
                if (meters->sites[site][0] != '\0')
                    put_label(out, meters->sites[site], METER_NAME_BYTES);
                else
                    text_lit(out, "none");
                text_format(out, "\",method=\"%s\",status_class=\"%s\"} %llu\n",
                            meter_methods[method], classes[class], (unsigned long long)sum);
            }
}

static void write_limits(struct text *out, const struct meters *meters)
{
    family(out, "limit_decisions_total", "counter",
           "What limits decided, by limit, outcome and who counted.");
    for (unsigned row = 0; row < METER_LIMITS; row++)
        for (unsigned outcome = 0; outcome < LIMIT_OUTCOMES; outcome++)
            for (unsigned counter = 0; counter < LIMIT_COUNTERS; counter++) {
                uint64_t sum = meter_limit_sum(meters, row, (enum limit_outcome)outcome,
                                               (enum limit_counter)counter);
                if (sum == 0)
                    continue;
                text_lit(out, "sallyport_limit_decisions_total{limit=\"");
                put_label(out, meters->limits[row], METER_LIMIT_BYTES);
                text_format(out, "\",outcome=\"%s\",store=\"%s\"} %llu\n",
                            meter_outcomes[outcome], meter_counters[counter],
                            (unsigned long long)sum);
            }
}

static void sum_stage(const struct meters *meters, unsigned row, struct stage_meter *sum)
{
    *sum = (struct stage_meter){ .sum_us = 0 };
    for (size_t i = 0; i < METER_WORKERS; i++) {
        const struct stage_meter *meter = &meters->workers[i].stages[row];
        for (unsigned a = 0; a < METER_ACTIONS; a++)
            sum->actions[a] += load(&meter->actions[a]);
        for (unsigned b = 0; b < METER_BUCKETS; b++)
            sum->buckets[b] += load(&meter->buckets[b]);
        sum->sum_us += load(&meter->sum_us);
    }
}

static void write_actions(struct text *out, const struct meters *meters)
{
    family(out, "decisions_total", "counter", "What stages decided.");
    for (unsigned row = 0; row < METER_STAGES && meters->stages[row][0] != '\0'; row++) {
        struct stage_meter sum;
        sum_stage(meters, row, &sum);
        for (unsigned a = 0; a < METER_ACTIONS; a++) {
            text_lit(out, "sallyport_decisions_total{stage=\"");
            put_label(out, meters->stages[row], METER_NAME_BYTES);
            text_format(out, "\",action=\"%s\"} %llu\n", meter_actions[a],
                        (unsigned long long)sum.actions[a]);
        }
    }
}

static void put_bucket(struct text *out, const char *stage, unsigned bucket, uint64_t count)
{
    text_lit(out, "sallyport_stage_duration_seconds_bucket{stage=\"");
    put_label(out, stage, METER_NAME_BYTES);
    if (bucket < METER_BUCKETS - 1)
        text_format(out, "\",le=\"%g\"} %llu\n", meter_bounds_us[bucket] / 1e6,
                    (unsigned long long)count);
    else
        text_format(out, "\",le=\"+Inf\"} %llu\n", (unsigned long long)count);
}

static void write_durations(struct text *out, const struct meters *meters)
{
    family(out, "stage_duration_seconds", "histogram",
           "Time in a stage, its waiting included.");
    for (unsigned row = 0; row < METER_STAGES && meters->stages[row][0] != '\0'; row++) {
        struct stage_meter sum;
        uint64_t count = 0;
        sum_stage(meters, row, &sum);
        for (unsigned b = 0; b < METER_BUCKETS; b++) {
            count += sum.buckets[b];
            put_bucket(out, meters->stages[row], b, count);
        }
        text_lit(out, "sallyport_stage_duration_seconds_sum{stage=\"");
        put_label(out, meters->stages[row], METER_NAME_BYTES);
        text_format(out, "\"} %.6f\n", (double)sum.sum_us / 1e6);
        text_lit(out, "sallyport_stage_duration_seconds_count{stage=\"");
        put_label(out, meters->stages[row], METER_NAME_BYTES);
        text_format(out, "\"} %llu\n", (unsigned long long)count);
    }
}

/* ---- upstreams ---- */

static bool is_ours(const struct steward *steward, uint64_t key, uint32_t generation)
{
    return key != 0 && generation >= steward->settings->generation;
}

/* Two upstreams may have one server, with other checks each: no two samples have one name. */
static bool stands_before(const struct steward *steward, const struct server_states *states,
                          size_t index)
{
    const struct server_state *row = &states->rows[index];

    for (size_t i = 0; i < index; i++) {
        const struct server_state *other = &states->rows[i];
        if (is_ours(steward, other->key, other->generation) && other->found == row->found &&
            strncmp(other->label, row->label, SERVER_LABEL_BYTES) == 0)
            return true;
    }
    return false;
}

static void write_servers(struct text *out, const struct steward *steward,
                          const struct server_states *states)
{
    family(out, "upstream_server_up", "gauge",
           "Whether checks and the operator let a server serve.");
    for (size_t i = 0; i < SERVER_STATES_MAX; i++) {
        const struct server_state *row = &states->rows[i];
        if (!is_ours(steward, row->key, row->generation) ||
            (row->found && row->address[0] == '\0') || stands_before(steward, states, i))
            continue;
        text_lit(out, "sallyport_upstream_server_up{server=\"");
        put_label(out, row->label, SERVER_LABEL_BYTES);
        if (row->found)
            text_lit(out, "\",address=\"");
        put_label(out, row->address, row->found ? SERVER_ADDRESS_BYTES : 0);
        text_format(out, "\"} %d\n", !server_is_down(row) && !server_is_drained(row));
    }
}

static void write_circuit_family(struct text *out, const struct steward *steward,
                                 const struct server_states *states, const char *name,
                                 size_t offset)
{
    for (size_t i = 0; i < CIRCUITS_MAX; i++) {
        const struct circuit *circuit = &states->circuits[i];
        uint64_t value;
        if (!is_ours(steward, circuit->key, circuit->generation))
            continue;
        memcpy(&value, (const char *)circuit + offset, sizeof(value));
        if (offset == offsetof(struct circuit, state))
            value = __atomic_load_n(&circuit->state, __ATOMIC_RELAXED);
        text_format(out, "sallyport_%s{upstream=\"", name);
        put_label(out, circuit->label, CIRCUIT_LABEL_BYTES);
        text_format(out, "\"} %llu\n", (unsigned long long)value);
    }
}

static void write_upstreams(struct text *out, const struct steward *steward)
{
    static const struct {
        const char *name, *type, *help;
        size_t offset;
    } rows[] = {
        { "upstream_circuit_state", "gauge", "Circuit breakers: 0 closed, 1 open, 2 half-open.",
          offsetof(struct circuit, state) },
        { "upstream_circuit_opened_total", "counter", "How often they opened.",
          offsetof(struct circuit, opened) },
        { "upstream_circuit_refused_total", "counter", "Requests that they refused.",
          offsetof(struct circuit, refused) },
    };
    const struct server_states *states = checks_states(steward);
    if (states == NULL)
        return;
    write_servers(out, steward, states);
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        family(out, rows[i].name, rows[i].type, rows[i].help);
        write_circuit_family(out, steward, states, rows[i].name, rows[i].offset);
    }
}

/* ---- the audit log ---- */

static void write_audit(struct text *out, const struct rings *rings)
{
    static const char *const classes[RECORD_CLASSES] = { "forwarded", "detected", "decided" };
    simple(out, "audit_records_total", "counter", "Records written.", load(&rings->sequence));
    simple(out, "audit_write_errors_total", "counter", "Batches that no file took.",
           load(&rings->write_errors));
    simple(out, "audit_file_bytes", "gauge", "Size of the audit file.",
           load(&rings->file_bytes));
    simple(out, "audit_reserved_bytes", "gauge", "Records that wait for room on the disk.",
           load(&rings->spilled));
    simple(out, "audit_pressure", "gauge",
           "What is asked of requests: 0 nothing, 1 forwarded ones go unrecorded, 2 they wait, "
           "3 they are refused.",
           ring_pressure(rings));
    family(out, "audit_dropped_total", "counter", "Records that were not written.");
    for (unsigned class = 0; class < RECORD_CLASSES; class ++) {
        uint64_t sum = load(&rings->dropped[class]);
        text_format(out, "sallyport_audit_dropped_total{class=\"%s\"} %llu\n", classes[class],
                    (unsigned long long)sum);
    }
}

static void write_gateway(struct text *out, const struct steward *steward)
{
    const struct process_ids *ids = &steward->slots->ids;
    family(out, "build_info", "gauge", "The version of this program.");
    text_format(out, "sallyport_build_info{version=\"%s\"} 1\n", SALLYPORT_VERSION);
    simple(out, "start_time_seconds", "gauge", "When the gateway started, since 1970.",
           ids->started_s);
    simple(out, "config_generation", "gauge", "Number of the configuration that serves.",
           ids->serving);
    simple(out, "config_last_load_seconds", "gauge", "When it began to serve, since 1970.",
           ids->serving_s);
    simple(out, "config_refused_total", "counter", "Reloads that were refused.",
           ids->reloads_refused);
    if (steward->settings->list_count == 0)
        return;
    uint64_t now_s = steward->loop.clock.wall_us / 1000000u;
    family(out, "list_age_seconds", "gauge", "Since a watched list was last loaded.");
    for (uint32_t i = 0; i < steward->settings->list_count; i++) {
        const struct watched *list = &steward->lists[i];
        if (list->loaded_s == 0)
            continue;
        text_lit(out, "sallyport_list_age_seconds{list=\"");
        put_label(out, list->settings->name, SETTINGS_TEXT_BYTES);
        text_format(out, "\"} %llu\n", (unsigned long long)(now_s - list->loaded_s));
    }
}

static void write_bots(struct text *out, const struct steward *steward)
{
    const struct bots_memory *memory = crawlers_memory(steward);
    uint64_t now_s = steward->loop.clock.wall_us / 1000000u;
    if (memory == NULL)
        return;
    family(out, "bots_total", "counter", "What came of requests that `bots` looked at.");
    for (unsigned i = 0; i < BOTS_COUNTS; i++)
        text_format(out, "sallyport_bots_total{event=\"%s\"} %llu\n", bots_count_names[i],
                    (unsigned long long)bots_counted(memory, (enum bots_count)i));
    family(out, "bots_under_attack", "gauge", "Whether a route is: 1, or 0 when it was.");
    for (unsigned i = 0; i < BOTS_ROUTES; i++) {
        const struct route_pressure *route = &memory->shared->routes[i];
        if (load(&route->began_s) == 0)
            continue;
        text_lit(out, "sallyport_bots_under_attack{route=\"");
        put_label(out, route->name, BOTS_ROUTE_BYTES);
        text_format(out, "\"} %d\n", pressure_is_on(route, now_s));
    }
}

void metrics_write(struct text *out, const struct steward *steward)
{
    write_gateway(out, steward);
    write_workers(out, steward);
    write_counters(out, steward->slots);
    if (steward->meters != NULL) {
        write_requests(out, steward->meters);
        write_actions(out, steward->meters);
        write_durations(out, steward->meters);
        write_limits(out, steward->meters);
    }
    write_bots(out, steward);
    write_upstreams(out, steward);
    if (steward->rings != NULL)
        write_audit(out, steward->rings);
    certificates_metrics(out, steward);
    crowdsec_metrics(out, steward);
}
