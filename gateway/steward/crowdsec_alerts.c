/*
 * Our bans, told to a CrowdSec's local API: a machine's log-in, then an alert for each. Bans
 * come from the ring in shared memory after they hold, so no request waits for any of this.
 *
 * With `as: decisions` each alert brings its decision, under an origin of ours (and not of
 * other nodes), so that our own word does not come back to us as another's; when a ban is
 * lifted, on whichever node, those of our origin are deleted. With `as: signals` the LAPI's
 * profiles decide, and what they have decided is not ours to delete. Bans of other nodes are
 * theirs to tell.
 */
#include <jansson.h>
#include <time.h>

#include "gateway/base/clock.h"
#include "gateway/base/json.h"
#include "gateway/base/log.h"
#include "gateway/base/secret.h"
#include "gateway/steward/crowdsec.h"

enum {
    FIRST_MS = 500, /* bans come in flocks */
    RETRY_MS = 1000,
    RETRY_MOST_MS = 60 * 1000,
    TOKEN_LEAST_S = 60,   /* one that ends sooner is renewed */
    TOKEN_USUAL_S = 1800, /* where the answer does not say */
    QUESTION_MEMORY = 256 * 1024,
    LAPI_PATH_BYTES = 64 + 3 * (SETTINGS_TEXT_BYTES + 16 + 64), /* each byte may become three */
};

static uint64_t now_of(const struct alerts *alerts)
{
    return alerts->crowdsec->steward->loop.clock.wall_us / 1000000u;
}

static const struct crowdsec_settings *settings_of(const struct alerts *alerts)
{
    return &alerts->crowdsec->steward->settings->crowdsec;
}

/* ---- what waits ---- */

static bool is_ours(const struct alerts *alerts, const struct ban_event *event)
{
    if (event->kind == BAN_LIFTED)
        return settings_of(alerts)->as == CROWDSEC_DECISIONS;
    return !event->foreign && !event->restored && event->cause != CAUSE_NODE &&
           event->until_s > now_of(alerts);
}

void crowdsec_banned(struct steward *steward, const struct ban_event *event, uint64_t after)
{
    struct alerts *alerts = steward->crowdsec != NULL ? &steward->crowdsec->alerts : NULL;

    if (alerts == NULL || alerts->crowdsec == NULL || !is_ours(alerts, event) ||
        after <= bans_told(keeper_bans(steward)))
        return;
    if (alerts->count == ALERTS_QUEUE) {
        alerts->dropped++;
        return;
    }
    alerts->queue[(alerts->first + alerts->count++) % ALERTS_QUEUE] =
        (struct alert){ .event = *event, .after = after };
    if (!alerts->busy && alerts->timer.deadline_ms == 0)
        timer_set(&steward->loop, &alerts->timer, FIRST_MS);
}

/* A steward that comes after this one goes on behind them. */
static void forget(struct alerts *alerts, unsigned count)
{
    const struct alert *last = &alerts->queue[(alerts->first + count - 1) % ALERTS_QUEUE];
    bans_told_set(keeper_bans(alerts->crowdsec->steward), last->after);
    alerts->first = (alerts->first + count) % ALERTS_QUEUE;
    alerts->count -= count;
}

static void end_round(struct alerts *alerts, const char *trouble)
{
    struct loop *loop = &alerts->crowdsec->steward->loop;

    if (trouble != NULL && trouble != alerts->trouble)
        log_error("CrowdSec cannot be told of bans; they wait", F_TEXT("why", trouble));
    else if (trouble == NULL && alerts->trouble != NULL)
        log_info("CrowdSec is told of bans again");
    alerts->trouble = trouble;
    alerts->busy = false;
    alerts->batch = alerts->told = 0;
    lapi_close(&alerts->call);
    arena_reset(&alerts->arena);
    alerts->retry_ms = trouble == NULL         ? 0
                       : alerts->retry_ms == 0 ? RETRY_MS
                                               : alerts->retry_ms * 2;
    if (alerts->retry_ms > RETRY_MOST_MS)
        alerts->retry_ms = RETRY_MOST_MS;
    if (alerts->count > 0)
        timer_set(loop, &alerts->timer, trouble != NULL ? alerts->retry_ms : FIRST_MS);
}

/* ---- the log-in ---- */

/* It becomes a field of a request. */
static bool token_good(const char *token, size_t len)
{
    for (size_t i = 0; i < len; i++)
        if (token[i] <= ' ' || token[i] >= 0x7f)
            return false;
    return len > 0 && len <= TOKEN_BYTES_MAX;
}

/* "2027-01-31T12:00:00Z" or with an offset; what it is to the second does not matter. */
static uint64_t expiry_of(const char *text, uint64_t now_s)
{
    struct tm tm = { .tm_isdst = 0 };
    const char *end = text != NULL ? strptime(text, "%Y-%m-%dT%H:%M:%S", &tm) : NULL;
    time_t at = end != NULL ? timegm(&tm) : 0;
    bool utc = end != NULL && strchr(end, '+') == NULL && strchr(end, '-') == NULL;

    return utc && at > 0 ? (uint64_t)at : now_s + TOKEN_USUAL_S;
}

static const char *take_token(struct alerts *alerts)
{
    struct span body = alerts->call.fetch.body;
    json_error_t error;
    json_t *answer = json_loadb(body.p, body.len, JSON_REJECT_DUPLICATES, &error);
    const json_t *token = json_object_get(answer, "token");
    const char *why = "its answer to the log-in has no token";
    struct text field = text_fixed(alerts->token, sizeof alerts->token);

    if (json_is_string(token) &&
        token_good(json_string_value(token), json_string_length(token))) {
        text_lit(&field, "Bearer ");
        text_add(&field, span_of(json_string_value(token), json_string_length(token)));
        alerts->token_len = field.len;
        alerts->token_until_s =
            expiry_of(json_string_value(json_object_get(answer, "expire")), now_of(alerts));
        alerts->field = (struct fetch_field){ SPAN("Authorization"), text_span(&field) };
        why = NULL;
    }
    json_decref(answer);
    return why;
}

static void log_in(struct alerts *alerts)
{
    const struct crowdsec_settings *settings = settings_of(alerts);
    struct text body = text_growing(&alerts->arena, 1024);
    struct json j = json_writer(&body);

    json_begin_object(&j, NULL);
    json_text(&j, "machine_id", span_text(settings->machine));
    json_text(&j, "password", span_text(settings->password));
    json_begin_array(&j, "scenarios");
    json_end_array(&j);
    json_end_object(&j);
    alerts->busy = alerts->logs_in = true;
    lapi_ask(&alerts->crowdsec->lapi, &alerts->call, "/v1/watchers/login", NULL,
             text_span(&body), ALERTS_BYTES_MAX);
}

/* ---- alerts ---- */

static void write_time(struct json *j, const char *key, uint64_t at_s)
{
    char buffer[32];
    struct text time = text_fixed(buffer, sizeof buffer);
    clock_write_iso(&time, at_s * 1000000u);
    json_text(j, key, text_span(&time));
}

/* An address, or the net that is banned in its place; whether it is an address. */
static bool write_value(struct text *out, const struct ban_event *event)
{
    bool whole = event->net.bits == (event->net.addr.family == ADDR_V6 ? 128 : 32);

    if (whole)
        addr_write(out, &event->net.addr);
    else
        cidr_write(out, &event->net);
    return whole;
}

static void write_scope(struct json *j, const struct ban_event *event)
{
    char buffer[64];
    struct text net = text_fixed(buffer, sizeof buffer);
    bool whole = write_value(&net, event);

    json_text(j, "scope", whole ? SPAN("Ip") : SPAN("Range"));
    json_text(j, "value", text_span(&net));
}

static void write_scenario(struct json *j, const struct ban_event *event)
{
    char buffer[64];
    struct text text = text_fixed(buffer, sizeof buffer);
    text_lit(&text, "sallyport/");
    text_add(&text, span_text(ban_cause_name(event->cause)));
    json_text(j, "scenario", text_span(&text));
}

static void write_meta(struct json *j, const char *key, struct span value)
{
    if (value.len == 0)
        return;
    json_begin_object(j, NULL);
    json_text(j, "key", span_text(key));
    json_text(j, "value", value);
    json_end_object(j);
}

static void write_event(struct json *j, const struct ban_event *event)
{
    json_begin_array(j, "events");
    json_begin_object(j, NULL);
    write_time(j, "timestamp", event->at_s);
    json_begin_array(j, "meta");
    write_meta(j, "request",
               span_of(event->request, strnlen(event->request, sizeof event->request)));
    write_meta(j, "site", span_of(event->site, strnlen(event->site, sizeof event->site)));
    write_meta(j, "reason",
               span_of(event->reason, strnlen(event->reason, sizeof event->reason)));
    json_end_array(j);
    json_end_object(j);
    json_end_array(j);
}

static void write_decision(struct json *j, const struct alerts *alerts,
                           const struct ban_event *event)
{
    char buffer[32];
    struct text duration = text_fixed(buffer, sizeof buffer);

    text_uint(&duration, event->until_s - now_of(alerts));
    text_char(&duration, 's');
    json_begin_array(j, "decisions");
    json_begin_object(j, NULL);
    json_text(j, "origin", span_text(alerts->crowdsec->own));
    json_text(j, "type", SPAN("ban"));
    json_text(j, "duration", text_span(&duration));
    write_scenario(j, event);
    write_scope(j, event);
    json_end_object(j);
    json_end_array(j);
}

/* The members that LAPIs since 1.0 ask for; durations count from stop_at. */
static void write_alert(struct json *j, const struct alerts *alerts,
                        const struct ban_event *event)
{
    json_begin_object(j, NULL);
    write_scenario(j, event);
    json_text(j, "scenario_hash", SPAN(""));
    json_text(j, "scenario_version", SPAN(""));
    json_text(j, "message", SPAN("banned by sallyport"));
    json_int(j, "events_count", 1);
    write_time(j, "start_at", event->at_s);
    write_time(j, "stop_at", now_of(alerts));
    json_int(j, "capacity", 0);
    json_text(j, "leakspeed", SPAN("0"));
    json_bool(j, "simulated", false);
    json_bool(j, "remediation", true);
    write_event(j, event);
    json_begin_object(j, "source");
    write_scope(j, event);
    json_end_object(j);
    if (settings_of(alerts)->as == CROWDSEC_DECISIONS)
        write_decision(j, alerts, event);
    json_end_object(j);
}

static const struct ban_event *event_at(const struct alerts *alerts, unsigned i)
{
    return &alerts->queue[(alerts->first + i) % ALERTS_QUEUE].event;
}

/* It may have waited long: until its end, or until it was lifted. */
static bool still_holds(const struct alerts *alerts, unsigned i)
{
    const struct ban_event *event = event_at(alerts, i);

    for (unsigned k = i + 1; k < alerts->count; k++) {
        const struct ban_event *later = event_at(alerts, k);
        if (later->kind == BAN_LIFTED && later->net.bits == event->net.bits &&
            addr_equal(&later->net.addr, &event->net.addr))
            return false;
    }
    return event->until_s > now_of(alerts);
}

static void tell_bans(struct alerts *alerts)
{
    struct text body = text_growing(&alerts->arena, 8192);
    struct json j = json_writer(&body);

    json_begin_array(&j, NULL);
    for (; alerts->batch < ALERTS_BATCH && alerts->batch < alerts->count &&
           event_at(alerts, alerts->batch)->kind == BAN_SET;
         alerts->batch++) {
        if (!still_holds(alerts, alerts->batch))
            continue;
        write_alert(&j, alerts, event_at(alerts, alerts->batch));
        alerts->told++;
    }
    json_end_array(&j);
    if (alerts->told > 0) {
        lapi_ask(&alerts->crowdsec->lapi, &alerts->call, "/v1/alerts", &alerts->field,
                 text_span(&body), ALERTS_BYTES_MAX);
        return;
    }
    forget(alerts, alerts->batch);
    end_round(alerts, NULL);
}

/* As it stands in a query (RFC 3986, section 2.1). */
static void write_encoded(struct text *out, struct span value)
{
    static const char digits[] = "0123456789ABCDEF";

    for (size_t i = 0; i < value.len; i++) {
        unsigned char c = (unsigned char)value.p[i];
        bool plain = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
                     (c >= '0' && c <= '9') || c == '-' || c == '.' || c == '_' || c == '~';
        if (plain) {
            text_char(out, (char)c);
            continue;
        }
        text_char(out, '%');
        text_char(out, digits[c >> 4]);
        text_char(out, digits[c & 15]);
    }
}

static void tell_lift(struct alerts *alerts)
{
    char net[64], path[LAPI_PATH_BYTES];
    struct text value = text_fixed(net, sizeof net), query = text_fixed(path, sizeof path - 1);

    write_value(&value, event_at(alerts, 0));
    text_lit(&query, "/v1/decisions?origin=");
    write_encoded(&query, span_text(alerts->crowdsec->own));
    text_lit(&query, "&value=");
    write_encoded(&query, text_span(&value));
    path[query.len] = '\0';
    alerts->batch = alerts->told = 1;
    lapi_delete(&alerts->crowdsec->lapi, &alerts->call, path, &alerts->field, ALERTS_BYTES_MAX);
}

static void tell(struct alerts *alerts)
{
    alerts->busy = true;
    alerts->logs_in = false;
    alerts->batch = alerts->told = 0;
    alerts->lifts = event_at(alerts, 0)->kind == BAN_LIFTED;
    if (alerts->lifts)
        tell_lift(alerts);
    else
        tell_bans(alerts);
}

/* ---- rounds ---- */

static void go_on(struct alerts *alerts)
{
    if (alerts->token_len == 0 || alerts->token_until_s < now_of(alerts) + TOKEN_LEAST_S)
        log_in(alerts);
    else
        tell(alerts);
}

static void on_login(struct alerts *alerts)
{
    int status = alerts->call.fetch.status;
    const char *why = status == 200 ? take_token(alerts)
                      : status == 401 || status == 403
                          ? "it does not know machine and password"
                          : "it does not answer the log-in with 200";
    if (why == NULL && alerts->token_until_s < now_of(alerts) + TOKEN_LEAST_S)
        why = "its token is over before it can be used";
    if (why != NULL) {
        end_round(alerts, why);
        return;
    }
    lapi_close(&alerts->call);
    arena_reset(&alerts->arena);
    tell(alerts);
}

/* Asked again it would say the same, and all others would wait behind it. LAPIs answer what
 * they do not know with 500, too. */
static bool is_final(struct alerts *alerts, int status)
{
    if (status / 100 == 4 && status != 429)
        return true;
    return alerts->lifts && ++alerts->lift_tries == ALERTS_LIFT_TRIES;
}

static void on_told(struct alerts *alerts)
{
    int status = alerts->call.fetch.status;
    uint64_t *done = alerts->lifts ? &alerts->lifted : &alerts->sent;
    const char *why = NULL;

    if (status == 401 || status == 403) {
        alerts->token_len = 0; /* the next round begins with a log-in */
        end_round(alerts, "it does not take the token");
        return;
    }
    if (status / 100 == 2) {
        *done += alerts->told;
    } else if (is_final(alerts, status)) {
        log_error("CrowdSec does not take our bans, or their ends",
                  F_INT("status", (uint64_t)status));
        alerts->rejected += alerts->told;
    } else {
        why = alerts->lifts ? "it does not answer with 200" : "it does not answer with 201";
    }
    if (why == NULL) {
        forget(alerts, alerts->batch);
        alerts->lift_tries = 0;
    }
    end_round(alerts, why);
}

static void on_answer(struct lapi_call *call)
{
    struct alerts *alerts = CONTAINER(call, struct alerts, call);

    if (call->why != NULL)
        end_round(alerts, call->why);
    else if (alerts->logs_in)
        on_login(alerts);
    else
        on_told(alerts);
}

static void on_timer(struct timer *timer)
{
    struct alerts *alerts = CONTAINER(timer, struct alerts, timer);

    if (!alerts->busy && alerts->count > 0)
        go_on(alerts);
}

void alerts_open(struct crowdsec *crowdsec)
{
    struct alerts *alerts = &crowdsec->alerts;
    struct text own = text_fixed(crowdsec->own, sizeof crowdsec->own - 1);

    if (crowdsec->steward->settings->crowdsec.machine[0] == '\0')
        return;
    text_lit(&own, "sallyport/");
    text_add(&own, span_text(crowdsec->steward->settings->crowdsec.machine));
    alerts->crowdsec = crowdsec;
    alerts->call.done = on_answer;
    alerts->timer.fire = on_timer;
    arena_init(&alerts->arena, NULL, 0, NULL, QUESTION_MEMORY);
}

void alerts_status(struct json *j, const struct crowdsec *crowdsec)
{
    const struct alerts *alerts = &crowdsec->alerts;

    if (alerts->crowdsec == NULL)
        return;
    json_begin_object(j, "alerts");
    json_uint(j, "waiting", alerts->count);
    json_uint(j, "sent", alerts->sent);
    json_uint(j, "lifted", alerts->lifted);
    json_uint(j, "dropped", alerts->dropped);
    json_uint(j, "rejected", alerts->rejected);
    if (alerts->trouble != NULL)
        json_text(j, "trouble", span_text(alerts->trouble));
    json_end_object(j);
}
