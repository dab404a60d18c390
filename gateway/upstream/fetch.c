/*
 * Fetches: see fetch.h. Each step ends in the task, so that nobody is called, and nothing
 * freed, on the stack of the exchange.
 */
#include "gateway/upstream/fetch.h"

#include <stdlib.h>

#include "gateway/base/secret.h"
#include "gateway/http/decode.h"

enum { BODY_FIRST = 4096, ETAG_BYTES_MAX = 256, ANSWER_FIELDS = 16 };

static void begin(struct fetch *f);

/* ---- the outcome ---- */

static void conclude(struct fetch *f, enum err err, const char *why)
{
    f->err = err;
    f->why = why;
    f->again = false;
    exchange_abort(&f->exchange);
    loop_post(&f->worker->loop, &f->task);
}

static void free_connections(struct fetch *f)
{
    while (f->local.free_conns != NULL) {
        struct server_conn *conn = f->local.free_conns;
        f->local.free_conns = conn->next;
        free(conn);
    }
}

static void on_task(struct task *task)
{
    struct fetch *f = CONTAINER(task, struct fetch, task);
    struct worker *worker = f->worker;

    if (f->again) {
        begin(f);
        worker_flush(worker);
        return;
    }
    f->done(f); /* it may be gone behind this */
}

/* ---- the answer's body ---- */

static bool make_room(struct fetch *f, size_t more)
{
    if (more > f->policy->body_bytes || f->len > f->policy->body_bytes - more)
        return false;
    if (f->size - f->len >= more)
        return true;
    size_t size = f->size > 0 ? f->size * 2 : BODY_FIRST;
    size = size > f->len + more ? size : f->len + more;
    size = size < f->policy->body_bytes ? size : f->policy->body_bytes;
    char *bytes = realloc(f->bytes, size);
    if (bytes == NULL)
        return false;
    f->bytes = bytes;
    f->size = size;
    return true;
}

static void on_body(struct exchange *x, struct span bytes)
{
    struct fetch *f = CONTAINER(x, struct fetch, exchange);

    if (!make_room(f, bytes.len)) {
        conclude(f, ERR_LIMIT, "the answer is too large");
        return;
    }
    memcpy(f->bytes + f->len, bytes.p, bytes.len);
    f->len += bytes.len;
}

static const char *decode_body(struct fetch *f, enum err *err)
{
    struct codings codings;
    enum decode_error error = codings_of(&codings, &f->exchange.rsp.fields);

    f->body = span_of(f->bytes, f->len);
    *err = ERR_PROTOCOL;
    if (error != DECODE_OK)
        return "the answer's coding is not known";
    if (codings.count == 0)
        return NULL;
    if (!f->policy->gzip || codings.count > 1)
        return "the answer is coded though nobody asked for it";
    struct decode_limits limits = { .bytes = f->policy->body_bytes, .ratio = FETCH_RATIO_MAX };
    struct decode *d = arena_new(&f->arena, struct decode);
    if (d == NULL) {
        *err = ERR_MEMORY;
        return "out of memory";
    }
    decode_begin(d, &codings, f->body, &limits, &f->arena);
    while (!decode_run(d, SCRATCH_BYTES))
        continue;
    if (d->error == DECODE_OVER_BYTES || d->error == DECODE_OVER_RATIO)
        *err = ERR_LIMIT;
    if (d->error != DECODE_OK)
        return decode_error_text(d->error);
    f->body = d->output;
    return NULL;
}

/* ---- the answer ---- */

static bool is_redirect(int status)
{
    return status == 301 || status == 302 || status == 303 || status == 307 || status == 308;
}

static void follow(struct fetch *f)
{
    const struct field *location = fields_get(&f->exchange.rsp.fields, FIELD_LOCATION);
    struct url next;

    if (f->redirects++ >= f->policy->redirects) {
        conclude(f, ERR_LIMIT, "it redirects too often");
        return;
    }
    if (location == NULL || fields_next(&f->exchange.rsp.fields, location) != NULL) {
        conclude(f, ERR_PROTOCOL, "it redirects without one Location");
        return;
    }
    const char *why = fetch_url_join(&f->url, location->value, &f->arena, &next);
    if (why != NULL) {
        conclude(f, ERR_PROTOCOL, why);
        return;
    }
    conclude(f, OK, NULL);
    f->url = next;
    f->again = true;
}

static void on_head(struct exchange *x)
{
    struct fetch *f = CONTAINER(x, struct fetch, exchange);

    f->status = x->rsp.status;
    f->fields = &x->rsp.fields;
    if (x->rsp.status == 304 && !f->conditional)
        conclude(f, ERR_PROTOCOL, "304 answers what was not asked");
    else if (is_redirect(x->rsp.status) && f->policy->redirects > 0 && f->post.p == NULL)
        follow(f);
    else if (x->rsp.body == BODY_LENGTH && x->rsp.length > f->policy->body_bytes)
        conclude(f, ERR_LIMIT, "the answer is too large");
}

static void on_end(struct exchange *x)
{
    struct fetch *f = CONTAINER(x, struct fetch, exchange);
    enum err err;
    const char *why = decode_body(f, &err);

    conclude(f, why != NULL ? err : OK, why);
}

static void on_error(struct exchange *x, enum err err)
{
    struct fetch *f = CONTAINER(x, struct fetch, exchange);

    if (x->why != NULL)
        conclude(f, ERR_TLS, x->why);
    else
        conclude(f, err, err_text(err));
}

/* The whole body was at hand: nothing is to be sent after it. */
static void on_drained(struct exchange *x)
{
    (void)x;
}

static const struct exchange_events fetch_events = {
    .head = on_head, .body = on_body, .end = on_end, .error = on_error, .drained = on_drained
};

/* ---- the request ---- */

static unsigned addresses_of(const struct fetch *f, struct addr *out)
{
    const struct fetch_policy *policy = f->policy;

    if (addr_parse(f->url.host, &out[0]))
        return 1;
    return policy->resolve != NULL
               ? policy->resolve(policy->names, f->url.host, out, FETCH_ADDRESSES_MAX)
               : 0;
}

static void add_server(struct fetch *f, const struct addr *addr)
{
    size_t at = f->upstream.server_count++;
    struct upstream_server *server = &f->servers[at];

    *server = (struct upstream_server){
        .url = f->url, .weight = 1, .label = f->url.host, .addrs = { *addr }, .addr_count = 1
    };
    if (addr->family == ADDR_UNIX)
        server->url.path = f->policy->socket;
    else
        server->addrs[0].port = f->url.port;
    server_local_init(&f->locals[at], server, &f->local);
}

/* NULL, or why the server may not be asked. */
static const char *choose_server(struct fetch *f)
{
    const struct fetch_policy *policy = f->policy;
    bool secure = span_equal(f->url.scheme, SPAN("https"));
    struct addr found[FETCH_ADDRESSES_MAX];
    struct addr socket = { .family = ADDR_UNIX };

    f->upstream.server_count = 0;
    if (policy->socket.len > 0) {
        add_server(f, &socket);
        return secure ? "a unix socket is asked by http" : NULL;
    }
    unsigned count = addresses_of(f, found);
    if (!secure && policy->https_only)
        return "only https may be asked";
    if (secure && policy->tls == NULL)
        return "https is not set up";
    for (unsigned i = 0; i < count; i++)
        if (!policy->private_refused || addr_is_global(&found[i]))
            add_server(f, &found[i]);
    if (count == 0)
        return "its name has no address";
    return f->upstream.server_count == 0 ? "its address is private" : NULL;
}

static void set_target(struct fetch *f)
{
    struct span path = f->url.path, before;
    bool brackets = span_index(f->url.host, ':') >= 0;
    bool secure = span_equal(f->url.scheme, SPAN("https"));
    struct text host = text_growing(&f->arena, f->url.host.len + 3);

    if (brackets)
        text_char(&host, '[');
    text_add(&host, f->url.host);
    if (brackets)
        text_char(&host, ']');
    f->req.host = text_span(&host);
    f->req.port = f->url.port == (secure ? 443 : 80) ? 0 : f->url.port;
    f->req.scheme = f->url.scheme;
    (void)span_cut(&path, '?', &before);
    f->req.path_wire = before.len > 0 ? before : SPAN("/");
    f->req.query = path;
    f->req.has_query = path.p != NULL;
}

/* The way to the server that was chosen: an upstream of its own, without memory. */
static void make_path(struct fetch *f, int64_t total)
{
    const struct fetch_policy *policy = f->policy;
    bool secure = span_equal(f->url.scheme, SPAN("https"));
    size_t count = f->upstream.server_count;

    free_connections(f);
    f->upstream = (struct upstream){ .servers = f->servers,
                                     .server_count = count,
                                     .connect = { .ms = (int64_t)policy->connect_ms },
                                     .response = { .ms = total },
                                     .idle = { .ms = total },
                                     .total = { .ms = total },
                                     .retries = (int64_t)count - 1,
                                     .tls = secure ? policy->tls : NULL };
    f->local = (struct upstream_local){ .conf = &f->upstream,
                                        .worker = f->worker,
                                        .servers = f->locals,
                                        .retry_credit = RETRY_CREDIT_MAX };
}

static void begin(struct fetch *f)
{
    const struct fetch_policy *policy = f->policy;
    const char *why = f->via == NULL ? choose_server(f) : NULL;
    uint64_t spent = clock_ms(&f->worker->loop.clock) - f->began_ms;

    f->again = false;
    f->status = 0;
    f->fields = NULL;
    f->len = 0;
    if (why == NULL && spent >= policy->total_ms)
        why = err_text(ERR_TIMEOUT);
    set_target(f);
    if (why == NULL && f->arena.exhausted)
        why = err_text(ERR_MEMORY);
    if (why != NULL) {
        conclude(f, ERR_CONNECT, why);
        return;
    }
    f->exchange = (struct exchange){ .events = &fetch_events, .body = f->post };
    f->exchange.framing =
        (struct wire_framing){ .body = f->post.p != NULL ? BODY_LENGTH : BODY_NONE,
                               .length = f->post.len,
                               .keep_alive = f->via != NULL };
    if (f->via == NULL)
        make_path(f, (int64_t)(policy->total_ms - spent));
    exchange_start_at(&f->exchange, f->worker, f->via != NULL ? f->via : &f->local, &f->arena,
                      &f->req);
}

static enum err add_field(struct fetch *f, struct span name, struct span value)
{
    if (value.len == 0)
        return OK;
    struct span name_copy = arena_copy(&f->arena, name);
    struct span value_copy = arena_copy(&f->arena, value);
    if (name_copy.p == NULL || value_copy.p == NULL)
        return ERR_MEMORY;
    return fields_add(&f->req.fields, &f->arena, name_copy, value_copy);
}

static bool brings(const struct fetch_ask *ask, struct span name)
{
    for (unsigned i = 0; i < ask->field_count; i++)
        if (ask->fields[i].value.len > 0 && span_equal_nocase(ask->fields[i].name, name))
            return true;
    return false;
}

static enum err make_request(struct fetch *f, const struct fetch_ask *ask)
{
    bool post = ask->post.p != NULL;

    f->req.method = ask->deletes ? SPAN("DELETE") : post ? SPAN("POST") : SPAN("GET");
    f->req.method_id = ask->deletes ? METHOD_DELETE : post ? METHOD_POST : METHOD_GET;
    f->req.minor = 1;
    f->conditional = ask->if_none_match.len > 0;
    if (post) {
        f->post = arena_copy(&f->arena, ask->post);
        if (f->post.p == NULL)
            return ERR_MEMORY;
        f->req.body = BODY_LENGTH;
        f->req.length = f->post.len;
    }
    TRY(fields_init(&f->req.fields, &f->arena, ANSWER_FIELDS));
    if (!brings(ask, SPAN("User-Agent")))
        TRY(add_field(f, SPAN("User-Agent"), SPAN("sallyport")));
    if (!brings(ask, SPAN("Accept")))
        TRY(add_field(f, SPAN("Accept"), ask->accept.len > 0 ? ask->accept : SPAN("*/*")));
    TRY(add_field(f, SPAN("Accept-Encoding"),
                  f->policy->gzip ? SPAN("gzip") : SPAN("identity")));
    TRY(add_field(f, SPAN("If-None-Match"), ask->if_none_match));
    TRY(add_field(f, SPAN("Content-Type"), ask->post_type));
    for (unsigned i = 0; i < ask->field_count; i++)
        TRY(add_field(f, ask->fields[i].name, ask->fields[i].value));
    return OK;
}

/* ---- entry points ---- */

void fetch_start(struct fetch *f, struct worker *worker, const struct fetch_policy *policy,
                 const struct fetch_ask *ask)
{
    INVARIANT(policy->redirects <= FETCH_REDIRECTS_MAX && ask->field_count <= FETCH_FIELDS_MAX);
    INVARIANT(!ask->deletes || (ask->post.p == NULL && policy->redirects == 0));
    f->worker = worker;
    f->policy = policy;
    f->task.run = on_task;
    f->began_ms = clock_ms(&worker->loop.clock);
    arena_init(&f->arena, NULL, 0, &worker->slabs, FETCH_MEMORY);
    const char *why = fetch_url(ask->url, &f->arena, &f->url);
    enum err err = why != NULL ? ERR_SYNTAX : make_request(f, ask);
    if (err != OK) {
        conclude(f, err, why != NULL ? why : err_text(err));
        return;
    }
    begin(f);
}

void fetch_close(struct fetch *f)
{
    if (f->worker == NULL)
        return;
    exchange_abort(&f->exchange);
    task_cancel(&f->task);
    free_connections(f);
    arena_reset(&f->arena); /* gives back what was decoded, too */
    wipe(f->bytes, f->len); /* it may have been a token */
    free(f->bytes);
    void (*done)(struct fetch *) = f->done;
    memset(f, 0, sizeof *f);
    f->done = done;
}

struct span fetch_etag(const struct fetch *f)
{
    const struct field *etag = f->fields != NULL ? fields_find(f->fields, SPAN("ETag")) : NULL;
    bool good = etag != NULL && etag->value.len <= ETAG_BYTES_MAX &&
                fields_next(f->fields, etag) == NULL;
    return good ? etag->value : span_of(NULL, 0);
}
