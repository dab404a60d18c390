/* The run side of a rule set in the stage `waf`. */
#include "rules/inspect.h"

#include "gateway/chain/config.h"
#include "gateway/chain/edit.h"
#include "gateway/chain/geo.h"
#include "gateway/chain/reply.h"
#include "gateway/chain/scope.h"
#include "gateway/chain/txn.h"
#include "gateway/net/worker.h"
#include "gateway/store/slots.h"
#include "rules/engine/build.h"
#include "rules/engine/store.h"
#include "rules/own/target.h"
#include "rules/own/values.h"

/* ---- beginning a phase ----------------------------------------------------------------------
 */

static void describe(struct sec_run *run, const struct call *c)
{
    const struct txn *txn = c->txn;
    run->values.peer = (struct sec_peer){
        .client = &txn->client,
        .server_name = c->req->host,
        .user = txn->facts.user.len > 0 ? txn->facts.user : (struct span){ 0 },
        .unique_id = txn_id(txn),
    };
    run->wall_s = txn->began_us / 1000000;
    run->began_us = run->now_us = txn->began_us;
}

static bool has_body(const struct request *req)
{
    return req->body != BODY_NONE && (req->body != BODY_LENGTH || req->length > 0);
}

/* Of the gateway's own databases: what they do not hold has no variable. */
static bool look_up(void *context, struct sec_run *run, struct span address)
{
    struct txn *txn = context;
    const struct config *config = txn->config;
    struct geo *geo = arena_new(run->arena, struct geo);
    struct addr addr;
    if (config->geo_lookup == NULL || geo == NULL || !addr_parse(address, &addr))
        return false;
    config->geo_lookup(txn->worker, &addr, geo, run->arena);
    if (geo->country[0] == '\0' || strcmp(geo->country, GEO_UNKNOWN) == 0 ||
        strcmp(geo->country, GEO_PRIVATE) == 0)
        return false;
    return sec_geo_add(run, "COUNTRY_CODE", span_text(geo->country)) &&
           sec_geo_add(run, "COUNTRY_CONTINENT", span_text(geo->continent)) &&
           (geo->city.len == 0 || sec_geo_add(run, "CITY", geo->city));
}

/* The configuration's own rules, and how they reach the request. */
static enum err begin_own(struct call *c, const struct inspect_conf *conf,
                          struct inspect_state *state, bool evidence)
{
    struct sec_run *run = &state->run;
    if (run->plan->program->own == NULL || evidence)
        return OK;
    state->ask =
        (struct sec_ask){ .source = scope_source(c->txn), .undecided = &c->txn->undecided };
    run->own.ask = &state->ask;
    return own_values_head(&run->values, run->plan, c->req, conf->values);
}

enum err inspect_begin_head(struct call *c, const struct inspect_conf *conf,
                            struct sec_local *local, struct inspect_state *state, bool evidence)
{
    struct sec_run *run = &state->run;
    TRY(sec_run_init(run, conf->plan, local, c->txn->arena));
    run->budget = conf->budget;
    run->store = conf->store;
    state->geo = (struct sec_geo){ .context = c->txn, .lookup = look_up };
    run->geo = &state->geo;
    run->engine = run->ceiling = c->mode == MODE_BLOCK ? ENGINE_ON : ENGINE_DETECT;
    describe(run, c);
    TRY(sec_values_head(&run->values, c->req, conf->values));
    TRY(begin_own(c, conf, state, evidence));
    run->values.body.processor = inspect_processor(c->req);
    state->seclang = conf->seclang;
    state->begun = true;
    state->reported = &run->matches;
    state->first = SEC_REQUEST_HEADERS;
    state->last = has_body(c->req) ? SEC_REQUEST_HEADERS : SEC_REQUEST_BODY;
    return OK;
}

enum err inspect_begin_answer(struct call *c, struct inspect_state *state)
{
    TRY(sec_values_answer(&state->run.values, c->rsp));
    state->first = SEC_RESPONSE_HEADERS;
    state->last = c->rsp->body == BODY_NONE || !inspect_type(inspect_media_type(c->rsp))
                      ? SEC_RESPONSE_BODY
                      : SEC_RESPONSE_HEADERS;
    return OK;
}

enum err inspect_begin_answer_body(struct call *c, struct inspect_state *state)
{
    struct span none = { 0 };
    state->first = state->last = SEC_RESPONSE_BODY;
    if (c->body.len == 0 || state->run.phase == SEC_RESPONSE_BODY)
        return OK;
    return sec_values_add(&state->run.values, VAR_RESPONSE_BODY, none, c->body);
}

/* ---- which answers --------------------------------------------------------------------------
 */

struct span inspect_media_type(const struct response *rsp)
{
    struct span value = fields_value(&rsp->fields, FIELD_CONTENT_TYPE), type = { 0 };
    if (value.p != NULL)
        (void)span_cut(&value, ';', &type);
    return span_trim(type);
}

/* What the reference engine's recommended configuration names, and JSON. */
bool inspect_type(struct span media_type)
{
    static const char *const types[] = {
        "text/plain", "text/html", "text/xml", "application/json", "application/xml",
    };
    for (size_t i = 0; i < ARRAY_LEN(types); i++) {
        if (span_equal_nocase(media_type, span_text(types[i])))
            return true;
    }
    return false;
}

/* ---- what is on record ----------------------------------------------------------------------
 */

static struct span id_text(struct arena *arena, const struct sec_rule *rule)
{
    struct text text = text_growing(arena, 24);
    text_uint(&text, rule->id);
    return text.overflow ? (struct span){ 0 } : text_span(&text);
}

/* The severity's weight in the set's anomaly score. */
static int32_t score_of(const struct sec_rule *rule)
{
    static const int32_t scores[] = { 5, 5, 5, 4, 3, 2, 0, 0 };
    return rule->severity >= 0 && rule->severity < (int)ARRAY_LEN(scores)
               ? scores[rule->severity]
               : 0;
}

/* Names of what made the text that was inspected. */
static void name_transformations(struct finding *finding, struct arena *arena,
                                 const struct sec_match *match)
{
    struct span *names = arena_array(arena, struct span, match->transform_count);
    for (unsigned i = 0; names != NULL && i < match->transform_count; i++)
        names[i] = span_text(match->link->transforms[i]->name);
    finding->transformations = names;
    finding->transformation_count = names != NULL ? match->transform_count : 0;
}

/* What log data may tell of: captures of an earlier link, say. A source without a name hides
 * it, as do too many. */
static void name_sources(struct finding *finding, struct arena *arena,
                         const struct sec_match *match)
{
    enum { SOURCES_MAX = 32 };
    static const struct finding_source hidden[1];
    const struct sec_matched *met = match->rule->next != NULL ? match->met : NULL;
    struct finding_source *sources =
        met != NULL ? arena_array(arena, struct finding_source, SOURCES_MAX) : NULL;
    unsigned count = 0;
    for (; sources != NULL && met != NULL && count < SOURCES_MAX; met = met->next)
        sources[count++] = (struct finding_source){ met->name, met->text };
    finding->sources = met == NULL ? sources : hidden;
    finding->source_count = met == NULL ? count : 1;
}

/* The least of the value that shows what was found, by the names of `waf.rules`. */
static void report_own(struct call *c, const struct sec_match *match, bool decides)
{
    enum { SAMPLE_BYTES = 64 };
    const struct own_rule *own = match->rule->own;
    struct finding finding = { .rule = own->name,
                               .message = own->message,
                               .severity = own->severity,
                               .score = own->action == RULE_SCORE ? own->score : 0,
                               .decides = decides };
    if (own->pattern_count > 0) {
        uint32_t len = match->len < SAMPLE_BYTES ? match->len : SAMPLE_BYTES;
        finding.field = own_field(match->var, match->field, c->txn->arena);
        finding.sample = span_sub(match->text, match->offset, len);
        finding.value = match->original;
        finding.offset = match->offset + match->base;
        name_transformations(&finding, c->txn->arena, match);
    }
    txn_find(c->txn, &finding);
}

static void report(struct call *c, const struct sec_run *run, const struct sec_match *match)
{
    bool decides = match->rule == run->intercepted || match->rule == run->would_intercept;
    if (match->rule->own != NULL) {
        report_own(c, match, decides || match->rule->own->action == RULE_BLOCK);
        return;
    }
    struct finding finding = {
        .rule = id_text(c->txn->arena, match->rule),
        .field = match->field,
        .message = match->message,
        .sample = span_sub(match->text, match->offset, match->len),
        .value = match->original,
        .offset = match->offset,
        .score = score_of(match->rule),
        .logdata = match->log_data,
        .severity =
            match->rule->severity >= 0 ? inspect_severities[match->rule->severity] : NULL,
        .tags = match->rule->tags,
        .tag_count = match->rule->tag_count,
        .decides = decides,
    };
    name_transformations(&finding, c->txn->arena, match);
    name_sources(&finding, c->txn->arena, match);
    txn_find(c->txn, &finding);
}

const char *const inspect_severities[8] = {
    "emergency", "alert", "critical", "error", "warning", "notice", "info", "debug",
};

static void report_new(struct call *c, struct inspect_state *state)
{
    while (*state->reported != NULL) {
        report(c, &state->run, *state->reported);
        state->reported = &(*state->reported)->next;
    }
    c->txn->findings_dropped += state->run.matches_dropped - state->dropped;
    state->dropped = state->run.matches_dropped;
    for (const struct sec_hidden *hidden = state->run.hidden; hidden != NULL;
         hidden = hidden->next)
        txn_hide(c->txn, hidden->name);
}

bool inspect_score(const struct inspect_state *state, enum score_kind kind, int64_t *score)
{
    static const enum plan_asked names[SCORE_KINDS][2] = {
        [SCORE_INBOUND] = { ASKED_INBOUND, ASKED_BLOCKING_INBOUND },
        [SCORE_OUTBOUND] = { ASKED_OUTBOUND, ASKED_BLOCKING_OUTBOUND },
    };
    bool any = false;
    *score = 0;
    for (unsigned i = 0; i < 2; i++) {
        struct span text = sec_run_tx(&state->run, plan_asked[names[kind][i]]);
        int64_t number = sec_number(text);
        any = any || text.p != NULL;
        *score = number > *score ? number : *score;
    }
    return any;
}

/* ---- what is decided ------------------------------------------------------------------------
 */

/* A rule that decides is on record even where it logs nothing. */
static void name_silent(struct call *c, const struct sec_rule *rule)
{
    struct finding finding = { .rule = id_text(c->txn->arena, rule) };
    if (!rule->log && !rule->audit_log)
        txn_find(c->txn, &finding);
}

/* Where `redirect` leads, with what its macros brought from the client: no byte of that may end
 * the field, or begin another one. */
static struct span location_of(struct txn *txn, struct span to)
{
    static const char digits[] = "0123456789ABCDEF";
    struct text out = text_growing(txn->arena, to.len + 16);
    for (size_t i = 0; i < to.len; i++) {
        unsigned char c = (unsigned char)to.p[i];
        if (c > ' ' && c < 0x7f && memchr("\"<>\\^`{|}", c, 9) == NULL) {
            text_char(&out, to.p[i]);
            continue;
        }
        text_char(&out, '%');
        text_char(&out, digits[c >> 4]);
        text_char(&out, digits[c & 15]);
    }
    return out.overflow ? span_of(NULL, 0) : text_span(&out);
}

static struct verdict objection(struct call *c, struct inspect_state *state,
                                const struct sec_rule *rule)
{
    struct sec_run *run = &state->run;
    name_silent(c, rule);
    int status = rule->resolved == DISRUPT_REDIRECT ? 302 : rule->status;
    struct reply *reply = reply_new(c->txn, status);
    state->refused = true;
    if (reply == NULL)
        return fail(REASON_MEMORY);
    reply->cut = rule->resolved == DISRUPT_DROP;
    if (rule->resolved == DISRUPT_REDIRECT &&
        !reply_field(reply, SPAN("Location"),
                     location_of(c->txn, sec_expand(run, &rule->redirect))))
        return fail(REASON_MEMORY);
    return deny_with(REASON_RULE, reply);
}

static struct verdict own_objection(struct call *c, struct inspect_state *state)
{
    const struct own_rule *by = state->run.own.by;
    struct reply *reply = by != NULL && by->status != 0 ? reply_new(c->txn, by->status) : NULL;
    state->refused = true;
    return deny_with(REASON_RULE, reply);
}

/* What neither the own rules' scores nor the set's come to, they may come to together. */
static bool scores_refuse(const struct inspect_state *state)
{
    const struct sec_run *run = &state->run;
    int64_t score,
        threshold = run->own.score > 0 ? run->plan->program->own->threshold.inbound : 0;
    struct span said = sec_run_tx(run, plan_asked[ASKED_THRESHOLD]);
    if (threshold == 0 || run->phase != SEC_REQUEST_BODY ||
        !inspect_score(state, SCORE_INBOUND, &score))
        return false;
    if (sec_number(said) > threshold)
        threshold = sec_number(said);
    return score > 0 && score + run->own.score >= threshold;
}

/* In the head always, so that no client can lend itself a tag. */
static bool send_tags(struct call *c, struct inspect_state *state)
{
    const struct own_rules *own = state->run.plan->program->own;
    struct span tags = state->run.own.tags;
    bool first = state->tags_sent.p == NULL;
    if (own == NULL || !own->tags || (!first && tags.len == state->tags_sent.len))
        return true;
    state->tags_sent = tags.p != NULL ? tags : SPAN("");
    return edit_lend_field(c->txn, SPAN("X-Sallyport-Tags"), state->tags_sent);
}

static struct verdict decided(struct call *c, struct inspect_state *state)
{
    const struct sec_run *run = &state->run;
    if (run->phase <= SEC_REQUEST_BODY && !send_tags(c, state))
        return fail(REASON_MEMORY);
    if (run->own.by != NULL && !state->refused)
        return own_objection(c, state);
    if (run->own.allowed)
        return pass();
    const struct sec_rule *rule =
        run->intercepted != NULL ? run->intercepted : run->would_intercept;
    if (rule != NULL && !state->refused)
        return objection(c, state, rule);
    /* Rules have seen what there is of it: whatever upstream makes of the rest is unseen. */
    if (state->body != NULL && state->body_read && !state->body_judged) {
        state->body_judged = true;
        if (inspect_body_refused(c, state))
            return deny(REASON_BODY_MALFORMED);
    }
    if (!state->refused && (run->own.refused || scores_refuse(state)))
        return own_objection(c, state);
    return pass();
}

/*
 * Who sends less is let through where it was the content that spent the counted work; where it
 * was the rules, or a pattern met a limit of its own, nothing that the client could do helps.
 */
static enum reason spent_by(const struct call *c, const struct sec_run *run)
{
    bool large = c->body.len > run->budget / INSPECT_LOOKS_MAX;
    bool request = run->phase <= SEC_REQUEST_BODY;
    return run->work > run->budget && request && large ? REASON_BODY_BUDGET
                                                       : REASON_STAGE_FAILED;
}

enum sec_end inspect_go_on(struct call *c, struct inspect_state *state, uint64_t slice,
                           struct verdict *verdict)
{
    enum sec_end end = inspect_read_body(c, state, slice);
    if (end == SEC_PAUSE)
        return end;
    while (end == SEC_DONE && state->first <= state->last) {
        end = sec_run_phase(&state->run, state->first, slice);
        if (end == SEC_PAUSE || end == SEC_AWAY)
            return end;
        if (end != SEC_DONE)
            break;
        state->first++;
    }
    report_new(c, state);
    state->failed = end != SEC_DONE;
    if (end == SEC_DONE)
        *verdict = decided(c, state);
    else if (state->over_limit)
        *verdict = fail(REASON_ARGUMENT_LIMIT);
    else
        *verdict = fail(end == SEC_SPENT ? spent_by(c, &state->run) : REASON_MEMORY);
    return SEC_DONE;
}

static void keep_collections(struct call *c, const struct sec_run *run)
{
    struct sec_kept kept = sec_collections_keep(run);
    struct worker_shared *shared = c->txn->worker->shared;
    if (shared == NULL)
        return;
    shared->counters.collections_evicted += kept.evicted;
    shared->counters.collections_lost += kept.lost;
}

void inspect_finish(struct call *c, struct inspect_state *state)
{
    struct sec_run *run = &state->run;
    if (!state->begun)
        return;
    run->now_us = c->txn->clock->wall_us;
    /* Of a body too long to be held the rules have seen nothing: of the head they see all. */
    if (run->phase < SEC_REQUEST_BODY && c->txn->decided == ACTION_PASS)
        (void)sec_run_phase(run, SEC_REQUEST_BODY, UINT64_MAX);
    (void)sec_run_phase(run, SEC_LOGGING, UINT64_MAX);
    keep_collections(c, run);
    report_new(c, state);
}
