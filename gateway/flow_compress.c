/*
 * Upstream's answers in a content coding that the client takes, where the route has `compress`.
 *
 * Left as they are: what has a coding already, parts of ranges, event streams, what says
 * no-transform or carries a digest of its bytes, and what may hold a secret while somebody else
 * makes the client ask (`breach_guard`, below). All others of a listed type get `Vary`, coded
 * or not, and with a coding a weak ETag and no length.
 *
 * Input is taken in slices, one in each turn of the loop, and upstream rests meanwhile. What an
 * encoder holds back goes out when nothing has come for a moment, so that an answer that comes
 * by and by arrives by and by. All encoders of a worker together have a ceiling
 * (`server.limits.compress`); beyond it answers go out plain.
 */
#include "gateway/flow_compress.h"

#include "gateway/http/accept.h"
#include "gateway/http/encode.h"
#include "gateway/net/channel.h"
#include "gateway/net/share.h"
#include "gateway/net/tls.h"

enum {
    SLICE_BYTES = 32 * 1024, /* of input, in one turn */
    PIECE_BYTES = 16 * 1024, /* of output, to the stream at once */
    QUIET_MS = 20,
    ENCODER_SHARE = 4, /* one client has a part of the ceiling, or one encoder */
};

struct flow_compress {
    struct flow *flow;
    struct encoder encoder;
    size_t charged;
    struct client_share *share; /* where it is counted, too; or NULL */
    struct task turn;
    struct timer quiet;
    flow_compressed_fn *taken;
    struct stash rest; /* of what upstream said last */
    size_t rest_at;
    bool unflushed, ending;
};

/* ---- which answers ---- */

static struct span media_type_of(const struct fields *fields)
{
    struct span value = fields_value(fields, FIELD_CONTENT_TYPE), type = { NULL, 0 };

    if (value.p == NULL || ((fields->repeated >> FIELD_CONTENT_TYPE) & 1) != 0)
        return type;
    (void)span_cut(&value, ';', &type);
    return span_trim(type);
}

static bool compress_type_listed(const struct texts *types, struct span type)
{
    if (type.len == 0 || span_equal_nocase(type, SPAN("text/event-stream")))
        return false;
    for (size_t i = 0; i < types->count; i++) {
        struct span item = types->items[i];
        if (span_ends(item, SPAN("/*")) &&
            span_starts_nocase(type, span_sub(item, 0, item.len - 1)))
            return true;
        if (span_equal_nocase(type, item))
            return true;
    }
    return false;
}

/* What looks the same to everybody, as a rule. */
static bool is_static_type(struct span type)
{
    static const struct span names[] = {
        SPAN_INIT("text/css"),         SPAN_INIT("text/javascript"),
        SPAN_INIT("image/svg+xml"),    SPAN_INIT("application/javascript"),
        SPAN_INIT("application/wasm"), SPAN_INIT("application/manifest+json"),
    };

    for (size_t i = 0; i < ARRAY_LEN(names); i++) {
        if (span_equal_nocase(type, names[i]))
            return true;
    }
    return span_starts_nocase(type, SPAN("font/"));
}

static bool has_directive(const struct fields *fields, const char *name)
{
    return fields_list_has(fields, FIELD_CACHE_CONTROL, span_text(name));
}

/* A page of another site cannot make a browser send a bearer's token: scripts add these. */
static bool is_sent_unasked(const struct fields *fields)
{
    struct span said = fields_value(fields, FIELD_AUTHORIZATION);

    return said.p != NULL && !span_starts_nocase(said, SPAN("bearer "));
}

/*
 * BREACH (CVE-2013-3587): who makes a browser ask again and again, with a guess in the query,
 * and sees how long the answers are, reads a secret that stands in them, byte by byte. It takes
 * an answer that is made for somebody, and requests that another site can cause. So such an
 * answer is coded only when the browser says that its own site or its user asked
 * (Sec-Fetch-Site, which no page can forge).
 */
static bool may_leak(const struct flow *flow, struct span type)
{
    const struct fields *asked = &flow->txn.req->fields;
    const struct fields *said = &flow->exchange.rsp.fields;
    const struct tls_info *tls = flow->stream->tls;
    bool personal = fields_have(asked, FIELD_COOKIE) || is_sent_unasked(asked) ||
                    (tls != NULL && tls->client_cert) || fields_have(said, FIELD_SET_COOKIE);
    bool kept = has_directive(said, "private") || has_directive(said, "no-store");

    if (!personal || has_directive(said, "public") || (is_static_type(type) && !kept))
        return false;
    const struct field *site = fields_find(asked, SPAN("Sec-Fetch-Site"));
    return site == NULL || fields_next(asked, site) != NULL ||
           !(span_equal(site->value, SPAN("same-origin")) ||
             span_equal(site->value, SPAN("none")));
}

/* Its bytes are spoken of elsewhere, or are not to be touched. */
static bool is_sealed(const struct fields *fields)
{
    static const struct span names[] = {
        SPAN_INIT("Content-Range"), SPAN_INIT("Content-MD5"),    SPAN_INIT("Digest"),
        SPAN_INIT("Repr-Digest"),   SPAN_INIT("Content-Digest"), SPAN_INIT("Signature"),
    };

    for (size_t i = 0; i < ARRAY_LEN(names); i++) {
        if (fields_find(fields, names[i]) != NULL)
            return true;
    }
    return has_directive(fields, "no-transform");
}

static bool has_coding(const struct fields *fields)
{
    struct list_walk walk = list_walk(fields, FIELD_CONTENT_ENCODING);
    struct span member;

    while (list_next(&walk, &member)) {
        if (!span_equal_nocase(member, SPAN("identity")))
            return true;
    }
    return false;
}

static bool status_has_whole_body(int status)
{
    bool success =
        status == 200 || status == 201 || status == 202 || status == 203 || status == 207;
    return success || status / 100 == 4 || status / 100 == 5;
}

/* Whether an answer like this one is ever coded: then `Vary` says so. */
static bool may_code(const struct flow *flow, const struct wire_framing *framing)
{
    const struct compress_conf *conf = flow->txn.route->compress;
    const struct response *rsp = &flow->exchange.rsp;
    bool head = flow->txn.req->method_id == METHOD_HEAD;
    bool length = framing->body == BODY_LENGTH;

    if (conf == NULL || rsp->websocket || !status_has_whole_body(rsp->status) ||
        (length && framing->length < conf->min) || (framing->body == BODY_NONE && !head))
        return false;
    return compress_type_listed(&conf->types, media_type_of(&rsp->fields)) &&
           !has_coding(&rsp->fields) && !is_sealed(&rsp->fields) &&
           !has_directive(&flow->txn.req->fields, "no-transform");
}

/* ---- its head ---- */

static bool varies_by_coding(const struct fields *fields)
{
    const struct field *field = fields_find(fields, SPAN("Vary"));

    for (; field != NULL; field = fields_next(fields, field)) {
        struct span rest = field->value, member;
        while (rest.p != NULL && span_cut(&rest, ',', &member)) {
            member = span_trim(member);
            if (span_equal(member, SPAN("*")) ||
                span_equal_nocase(member, SPAN("Accept-Encoding")))
                return true;
        }
    }
    return false;
}

static enum err add_vary(struct flow *flow)
{
    struct fields *fields = &flow->exchange.rsp.fields;

    if (varies_by_coding(fields))
        return OK;
    return fields_add(fields, flow->txn.arena, SPAN("Vary"), SPAN("Accept-Encoding"));
}

/* RFC 9110 section 8.8.3: two codings of one thing are alike, but not byte by byte. */
static enum err weaken_etag(struct flow *flow)
{
    struct fields *fields = &flow->exchange.rsp.fields;
    const struct field *etag = fields_find(fields, SPAN("ETag"));

    if (etag == NULL || span_starts(etag->value, SPAN("W/")))
        return OK;
    struct text weak = text_growing(flow->txn.arena, etag->value.len + 2);
    text_lit(&weak, "W/");
    text_add(&weak, etag->value);
    if (weak.overflow)
        return ERR_MEMORY;
    fields_drop_alias(fields, SPAN("ETag"));
    return fields_add(fields, flow->txn.arena, SPAN("ETag"), text_span(&weak));
}

static enum err mark_coded(struct flow *flow, enum coding coding)
{
    struct fields *fields = &flow->exchange.rsp.fields;

    TRY(weaken_etag(flow));
    /* Ranges would be of the coded bytes, which upstream does not have. */
    fields_drop_alias(fields, SPAN("Accept-Ranges"));
    fields_drop(fields, FIELD_CONTENT_ENCODING);
    fields_drop(fields, FIELD_CONTENT_LENGTH);
    return fields_add(fields, flow->txn.arena, SPAN("Content-Encoding"), coding_name(coding));
}

/* What the client has was coded here: the ETag that it named is the weak one. */
static enum err answer_not_modified(struct flow *flow)
{
    const struct fields *asked = &flow->txn.req->fields, *said = &flow->exchange.rsp.fields;
    const struct field *etag = fields_find(said, SPAN("ETag"));
    const struct field *match = fields_find(asked, SPAN("If-None-Match"));

    if (etag != NULL && match != NULL) {
        ssize_t at = span_find(match->value, etag->value);
        if (at >= 2 && span_equal(span_sub(match->value, (size_t)at - 2, 2), SPAN("W/")))
            TRY(weaken_etag(flow));
    }
    return add_vary(flow);
}

/* ---- life ---- */

static size_t ceiling(const struct flow *flow)
{
    return (size_t)flow->txn.config->server.limits.compress;
}

static void let_go(struct flow_compress *fc)
{
    struct worker *worker = fc->flow->txn.worker;

    task_cancel(&fc->turn);
    timer_remove(&worker->loop, &fc->quiet);
    encoder_close(&fc->encoder);
    stash_free(&fc->rest, fc->flow->txn.arena->pool);
    worker->encoder_bytes -= fc->charged;
    if (fc->share != NULL)
        fc->share->encoder_bytes -= fc->charged;
    fc->charged = 0;
}

void flow_compress_cut(struct flow *flow)
{
    if (flow->compress != NULL)
        let_go(flow->compress);
    flow->compress = NULL;
}

static void on_turn(struct task *task);
static void on_quiet(struct timer *timer);

/* False: plain, then; memory is no reason to fail. */
static bool begin(struct flow *flow, enum coding coding, flow_compressed_fn *taken)
{
    struct worker *worker = flow->txn.worker;
    size_t bytes = encoder_bytes(coding), most = ceiling(flow);

    if (worker->encoder_bytes > most || bytes > most - worker->encoder_bytes)
        return false;
    struct client_share *share = client_share_of(worker, &flow->txn.client);
    if (share != NULL && worker->share_slabs > 0 &&
        share->encoder_bytes + bytes > most / ENCODER_SHARE && share->encoder_bytes > 0)
        return false;
    struct flow_compress *fc = arena_new(flow->txn.arena, struct flow_compress);
    if (fc == NULL || !encoder_open(&fc->encoder, coding, worker->encoders))
        return false;
    fc->flow = flow;
    fc->taken = taken;
    fc->turn.run = on_turn;
    fc->quiet.fire = on_quiet;
    fc->charged = bytes;
    fc->share = share;
    worker->encoder_bytes += bytes;
    if (share != NULL)
        share->encoder_bytes += bytes;
    flow->compress = fc;
    return true;
}

enum err flow_compress_begin(struct flow *flow, struct wire_framing *framing,
                             flow_compressed_fn *taken)
{
    const struct compress_conf *conf = flow->txn.route->compress;
    const struct response *rsp = &flow->exchange.rsp;

    if (conf != NULL && rsp->status == 304)
        return answer_not_modified(flow);
    if (!may_code(flow, framing))
        return OK;
    TRY(add_vary(flow));
    enum coding coding =
        coding_accepted(&flow->txn.req->fields, conf->codings, conf->coding_count);
    if (coding == CODING_IDENTITY || flow->answer_overran ||
        (conf->breach_guard && may_leak(flow, media_type_of(&rsp->fields))))
        return OK;
    if (rsp->body == BODY_NONE) { /* to HEAD: the fields that GET would get */
        framing->body = BODY_NONE;
        return mark_coded(flow, coding);
    }
    if (!begin(flow, coding, taken))
        return OK;
    framing->body = BODY_CHUNKED;
    return mark_coded(flow, coding);
}

/* ---- the body ---- */

/* False: the coder failed, and what the client has cannot be completed. */
static bool put(struct flow_compress *fc, struct span bytes, enum encode_op op)
{
    struct flow *flow = fc->flow;
    char piece[PIECE_BYTES];

    for (;;) {
        size_t made = 0;
        enum encode_result result =
            encoder_run(&fc->encoder, &bytes, op, span_of(piece, sizeof piece), &made);
        if (made > 0)
            flow->stream->ops->send_body(flow->stream, span_of(piece, made));
        if (result == ENCODE_DONE)
            return true;
        if (result == ENCODE_FAILED)
            break;
    }
    flow->cut = "memory";
    flow_compress_cut(flow);
    exchange_abort(&flow->exchange);
    flow->stream->ops->cut(flow->stream);
    return false;
}

static void end_now(struct flow_compress *fc)
{
    struct flow *flow = fc->flow;

    if (!put(fc, span_of(NULL, 0), ENCODE_END))
        return;
    flow_compress_cut(flow); /* the encoder's memory is for others */
    flow->stream->ops->send_end(flow->stream, &flow->exchange.rsp.trailers);
}

/* A slice of what is left; answers whether the coder is still there. */
static bool take_slice(struct flow_compress *fc, struct span *bytes)
{
    struct span slice = span_sub(*bytes, 0, SLICE_BYTES);

    *bytes = span_sub(*bytes, slice.len, bytes->len);
    fc->unflushed |= slice.len > 0;
    return put(fc, slice, ENCODE_MORE);
}

static void on_turn(struct task *task)
{
    struct flow_compress *fc = CONTAINER(task, struct flow_compress, turn);
    struct flow *flow = fc->flow;
    struct worker *worker = flow->txn.worker;

    worker->current = flow->stream;
    if (fc->rest.p != NULL) {
        struct span rest = span_of(fc->rest.p + fc->rest_at, fc->rest.len - fc->rest_at);
        if (!take_slice(fc, &rest)) {
            worker_flush(worker);
            return;
        }
        fc->rest_at = fc->rest.len - rest.len;
        if (rest.len > 0) {
            loop_post(&worker->loop, &fc->turn);
            worker_flush(worker);
            return;
        }
        stash_free(&fc->rest, fc->flow->txn.arena->pool);
        timer_set(&worker->loop, &fc->quiet, QUIET_MS);
    }
    if (fc->ending)
        end_now(fc);
    else
        fc->taken(flow);
    worker_flush(worker);
}

static void on_quiet(struct timer *timer)
{
    struct flow_compress *fc = CONTAINER(timer, struct flow_compress, quiet);
    struct flow *flow = fc->flow;
    struct worker *worker = flow->txn.worker;

    if (!fc->unflushed || fc->rest.p != NULL || fc->ending)
        return;
    worker->current = flow->stream;
    fc->unflushed = false;
    (void)put(fc, span_of(NULL, 0), ENCODE_FLUSH);
    worker_flush(worker);
}

void flow_compress_body(struct flow *flow, struct span bytes)
{
    struct flow_compress *fc = flow->compress;
    struct worker *worker = flow->txn.worker;

    INVARIANT(fc->rest.p == NULL);
    if (!take_slice(fc, &bytes))
        return;
    timer_set(&worker->loop, &fc->quiet, QUIET_MS);
    if (bytes.len == 0)
        return;
    fc->rest_at = 0;
    if (!stash_keep(&fc->rest, fc->flow->txn.arena->pool, bytes)) {
        flow->cut = "memory";
        flow_compress_cut(flow);
        exchange_abort(&flow->exchange);
        flow->stream->ops->cut(flow->stream);
        return;
    }
    loop_post(&worker->loop, &fc->turn);
}

void flow_compress_more(struct flow *flow)
{
    loop_post(&flow->txn.worker->loop, &flow->compress->turn);
}

bool flow_compress_busy(const struct flow *flow)
{
    return flow->compress != NULL && flow->compress->rest.p != NULL;
}

void flow_compress_end(struct flow *flow)
{
    struct flow_compress *fc = flow->compress;

    fc->ending = true;
    if (fc->rest.p == NULL)
        end_now(fc);
}
