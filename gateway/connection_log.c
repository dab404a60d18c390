/* Records of connections: see connection_log.h. */
#include "gateway/connection_log.h"

#include "gateway/audit/record.h"
#include "gateway/chain/config.h"
#include "gateway/store/slots.h"

enum { WINDOW_MS = 1000 };

static bool is_selected(const struct worker *worker)
{
    const struct audit_conf *audit = &worker->config->audit;

    return audit->on && worker->ring != NULL &&
           (audit->record & (AUDIT_ALL | AUDIT_BLOCKED)) != 0;
}

static void commit(struct worker *worker, struct connection_record *record)
{
    struct refusals *refusals = &worker->refusals;
    struct text line = text_fixed(worker->record, RECORD_BYTES_MAX);

    record->wall_us = worker->loop.clock.wall_us;
    record->suppressed = refusals->suppressed;
    record->config_hash = worker->config->hash;
    record->node = worker->config->server.node;
    record_connection(&line, record);
    if (line.overflow || !ring_commit(worker->ring, RECORD_DECIDED, text_span(&line)))
        worker->shared->counters.records_lost++;
    refusals->suppressed = 0;
    refusals->written++;
}

void connection_log_flush(struct worker *worker)
{
    struct connection_record record = { .reason = "suppressed" };

    timer_remove(&worker->loop, &worker->refusals.timer);
    if (worker->refusals.suppressed > 0)
        commit(worker, &record);
}

static void on_window_end(struct timer *timer)
{
    connection_log_flush(CONTAINER(timer, struct worker, refusals.timer));
}

/* Whether this second has room for one more record. */
static bool has_room(struct worker *worker)
{
    struct refusals *refusals = &worker->refusals;
    uint64_t now = clock_ms(&worker->loop.clock);

    if (now - refusals->began_ms >= WINDOW_MS) {
        refusals->began_ms = now;
        refusals->written = 0;
    }
    return refusals->written < CONNECTION_RECORDS_PER_S;
}

void connection_log(struct worker *worker, const struct connection_fault *fault)
{
    struct worker_counters *counters = &worker->shared->counters;
    struct refusals *refusals = &worker->refusals;

    if (fault->kind == CONNECTION_TLS_FAILED)
        counters->tls_failures++;
    else
        counters->connections_refused++;
    if (!is_selected(worker))
        return;
    if (!has_room(worker)) {
        counters->connection_records_suppressed++;
        if (refusals->suppressed++ == 0) {
            refusals->timer.fire = on_window_end;
            timer_set(&worker->loop, &refusals->timer, WINDOW_MS);
        }
        return;
    }
    struct connection_record record = {
        .peer = fault->peer,
        .reason = fault->reason,
        .detail = fault->detail,
        .sni = fault->sni,
        .list = fault->list,
    };
    commit(worker, &record);
}
