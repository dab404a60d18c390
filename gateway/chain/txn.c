/* A transaction's beginning and end, and what stages leave in it: findings and facts. */
#include "gateway/chain/txn.h"

#include "gateway/chain/replayed.h"
#include "gateway/http/fieldorder.h"
#include "gateway/net/worker.h"

void txn_init(struct txn *txn, struct worker *worker, struct arena *arena, struct request *req)
{
    /* The trail is most of the struct, and nobody reads beyond its count. */
    memset(txn, 0, offsetof(struct txn, trail));
    txn->worker = worker;
    txn->arena = arena;
    txn->clock = &worker->loop.clock;
    txn->config = worker->config;
    txn->req = req;
    txn->edits_tail = &txn->edits;
    txn->replayed = worker->replayed;
    txn->began_ns = txn->clock->mono_ns;
    txn->began_us = txn->clock->wall_us;
    uuid_write(&worker->uuids, txn->began_us, txn->id);
}

struct span txn_id(const struct txn *txn)
{
    return span_of(txn->id, sizeof(txn->id));
}

void txn_cancel_phase(struct txn *txn)
{
    INVARIANT(!txn->run.calling);
    txn->run.running = txn->run.waiting = false;
    txn->run.done = NULL;
    await_cut(&txn->await);
    /* Nothing of this phase may reach into the next one. */
    timer_clear(&txn->await.deadline);
    txn->await.deadline_ms = 0;
    txn->await.expired = false;
}

void txn_abort(struct txn *txn)
{
    txn_cancel_phase(txn);
    txn->ended = true;
    timer_remove(&txn->worker->loop, &txn->await.deadline);
}

static bool found_before(const struct txn *txn, struct span rule, unsigned count)
{
    for (unsigned i = 0; i < count; i++) {
        if (span_equal(txn->findings[i].rule, rule))
            return true;
    }
    return false;
}

/*
 * Makes room for the first finding of a rule: the last one of a rule that has others goes;
 * where each has but one, the last of all, for one that decides. A hundred odd arguments cannot
 * keep an attack out of the record, and nothing the reason of a refusal.
 */
static bool make_room(struct txn *txn, const struct finding *finding)
{
    if (found_before(txn, finding->rule, txn->finding_count))
        return false;
    unsigned i = txn->finding_count;
    while (i > 0 && !found_before(txn, txn->findings[i - 1].rule, i - 1))
        i--;
    if (i == 0 && finding->decides)
        for (i = txn->finding_count; i > 0 && txn->findings[i - 1].decides;)
            i--;
    if (i == 0)
        return false;
    memmove(&txn->findings[i - 1], &txn->findings[i],
            (txn->finding_count - i) * sizeof(*txn->findings));
    txn->finding_count--;
    return true;
}

void txn_find(struct txn *txn, const struct finding *finding)
{
    if (txn->findings == NULL)
        txn->findings = arena_alloc(txn->arena, FINDINGS_MAX * sizeof(*txn->findings));
    bool full = txn->findings == NULL || txn->finding_count == FINDINGS_MAX;
    txn->findings_dropped += full;
    if (txn->findings == NULL || (full && !make_room(txn, finding)))
        return;
    txn->findings[txn->finding_count++] = *finding;
}

void txn_hide(struct txn *txn, struct span name)
{
    if (txn->hidden == NULL)
        txn->hidden = arena_array(txn->arena, struct span, TXN_HIDDEN_MAX);
    for (unsigned i = 0; i < txn->hidden_count; i++) {
        if (span_equal_nocase(txn->hidden[i], name))
            return;
    }
    if (txn->hidden == NULL || txn->hidden_count == TXN_HIDDEN_MAX)
        txn->hide_all = true;
    else
        txn->hidden[txn->hidden_count++] = name;
}

struct span txn_ja4(const struct txn *txn)
{
    return addr_equal(&txn->client, &txn->peer) ? txn->ja4 : SPAN("");
}

struct span txn_field_order(struct txn *txn)
{
    char *text = txn->field_order.len > 0 ? NULL : arena_alloc(txn->arena, FIELD_ORDER_BYTES);
    if (text != NULL) {
        fields_order(&txn->req->fields, txn->req->http2, text);
        txn->field_order = span_of(text, FIELD_ORDER_BYTES);
    }
    return txn->field_order;
}

void txn_list_hit(struct txn *txn, const struct list_hit *hit)
{
    if (txn->list_hits == NULL)
        txn->list_hits = arena_array(txn->arena, struct list_hit, TXN_LIST_HITS_MAX);
    for (unsigned i = 0; i < txn->list_hit_count; i++) {
        if (span_equal(txn->list_hits[i].list, hit->list))
            return;
    }
    if (txn->list_hits == NULL || txn->list_hit_count == TXN_LIST_HITS_MAX)
        return;
    struct list_hit *kept = &txn->list_hits[txn->list_hit_count++];
    *kept = *hit;
    /* A snapshot may be swapped while the transaction waits. */
    kept->what.source = arena_copy(txn->arena, hit->what.source);
    kept->what.reason = arena_copy(txn->arena, hit->what.reason);
}

void txn_score(struct txn *txn, enum score_kind kind, int64_t value)
{
    txn->scores.set[kind] = true;
    txn->scores.value[kind] = value;
}

const struct geo *txn_geo(struct txn *txn, bool names)
{
    const struct config *config = txn->config;
    if (txn->replayed != NULL && txn->replayed->has_geo)
        return &txn->replayed->geo;
    if (config->geo_lookup == NULL)
        return NULL;
    if (txn->geo != NULL && (txn->geo->named || !names))
        return txn->geo;
    struct geo *geo = arena_new(txn->arena, struct geo);
    if (geo == NULL)
        return txn->geo;
    config->geo_lookup(txn->worker, &txn->client, geo, names ? txn->arena : NULL);
    txn->geo = geo;
    return geo;
}

/* A writer that nobody knows of would be an accident of ordering: the later one would win. */
static struct facts *facts_for(struct call *c, struct span writers)
{
    const struct chain_run *run = &c->txn->run;
    INVARIANT(run->calling);
    const struct stage_type *type = c->txn->route->chain[run->phase][run->index].type;
    struct span name = span_text((type->with != NULL ? type->with : type)->name), writer;
    bool listed = false;
    while (!listed && span_cut(&writers, ' ', &writer))
        listed = span_equal(writer, name);
    INVARIANT(listed);
    return &c->txn->facts;
}

#define FACT(name, type, writer)                                                               \
    void fact_set_##name(struct call *c, type value)                                           \
    {                                                                                          \
        facts_for(c, SPAN(writer))->name = value;                                              \
    }
#include "gateway/chain/facts.def"
#undef FACT
