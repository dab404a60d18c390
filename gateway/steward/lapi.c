/* Questions to a local API: see lapi.h. */
#include "gateway/steward/lapi.h"

#include "gateway/base/log.h"
#include "gateway/cli/version.h"
#include "gateway/net/certs.h"
#include "gateway/upstream/lookup.h"

enum { CONNECT_MS = 5 * 1000, TOTAL_MS = 60 * 1000, LAPI_MEMORY = 64 * 1024 };

enum err lapi_open(struct lapi *lapi, struct steward *steward,
                   const struct watched_list *settings)
{
    const struct steward_settings *all = steward->settings;
    struct tls_client_conf client = { .ca = span_text(settings->ca),
                                      .verify = true,
                                      .profile = TLS_INTERMEDIATE };
    struct span why = { 0 }, url = span_text(settings->url);

    *lapi = (struct lapi){ .steward = steward, .socket = span_text(all->crowdsec.socket) };
    arena_init(&lapi->arena, NULL, 0, NULL, LAPI_MEMORY);
    if (lapi->socket.len > 0)
        url = SPAN("http://localhost");
    if (fetch_url(url, &lapi->arena, &lapi->url) != NULL)
        return ERR_PROTOCOL; /* the generation has looked at it */
    while (span_ends(lapi->url.path, SPAN("/")))
        lapi->url.path.len--;
    lapi->tls = tls_client_new(&client, &steward->arena, &why);
    if (lapi->tls == NULL)
        log_error("authorities of the LAPI cannot be read", F_SPAN("why", why));
    lapi->resolver = resolver_open(&steward->loop, all->resolver);
    return OK;
}

static void conclude(struct lapi_call *call, const char *why)
{
    call->why = why;
    call->done(call);
}

static void on_fetched(struct fetch *f)
{
    struct lapi_call *call = CONTAINER(f, struct lapi_call, fetch);

    conclude(call, f->err != OK ? f->why : NULL);
}

static unsigned resolve(void *names, struct span host, struct addr *out, unsigned max)
{
    const struct lapi_call *call = names;
    unsigned count = call->addr_count < max ? call->addr_count : max;

    if (!span_equal(host, call->lapi->url.host))
        return 0;
    memcpy(out, call->addrs, count * sizeof *out);
    return count;
}

static void add_address(struct lapi_call *call, const struct addr *addr)
{
    bool shown = !span_equal(call->lapi->url.scheme, SPAN("https")) && addr_is_global(addr);

    if (!shown && call->addr_count < FETCH_ADDRESSES_MAX)
        call->addrs[call->addr_count++] = *addr;
}

static void ask_now(struct lapi_call *call)
{
    struct lapi *lapi = call->lapi;
    struct fetch_ask ask = { .url = span_of(call->url, call->url_len),
                             .post = call->post,
                             .deletes = call->deletes,
                             .post_type = SPAN("application/json"),
                             .accept = SPAN("application/json"),
                             .fields = call->fields,
                             .field_count = LAPI_FIELDS };

    if (call->post.p == NULL)
        ask.post_type = SPAN("");
    if (lapi->socket.len == 0 && call->addr_count == 0) {
        conclude(call, "its name has no address, or a public one, which http must not ask");
        return;
    }
    fetch_start(&call->fetch, &lapi->steward->agent, &call->policy, &ask);
    worker_flush(&lapi->steward->agent);
}

static void on_looked_up(struct lookup *lookup)
{
    struct lapi_call *call = CONTAINER(lookup, struct lapi_call, lookup);

    for (unsigned i = 0; i < lookup->list.count; i++)
        add_address(call, &lookup->list.items[i].addr);
    ask_now(call);
}

static void find(struct lapi_call *call)
{
    struct lapi *lapi = call->lapi;
    struct span host = lapi->url.host;
    struct addr addr;

    if (lapi->socket.len > 0) {
        ask_now(call);
    } else if (addr_parse(host, &addr) ||
               (host_is_loopback(host) && addr_parse(SPAN("127.0.0.1"), &addr))) {
        add_address(call, &addr);
        ask_now(call);
    } else if (host.len >= sizeof call->looked_for.name || lapi->resolver == NULL) {
        conclude(call, "its name cannot be looked up");
    } else {
        call->looked_for = (struct discovery){ .kind = DISCOVER_ADDRESSES,
                                               .port = lapi->url.port,
                                               .slots = 1 };
        memcpy(call->looked_for.name, host.p, host.len);
        call->lookup = (struct lookup){ .done = on_looked_up };
        lookup_start(&call->lookup, lapi->resolver, &call->looked_for);
    }
}

static void ask(struct lapi *lapi, struct lapi_call *call, const char *path,
                const struct fetch_field *field, size_t body)
{
    bool brackets = span_index(lapi->url.host, ':') >= 0;
    struct text url = text_fixed(call->url, sizeof call->url);

    text_add(&url, lapi->url.scheme);
    text_lit(&url, "://");
    text_add(&url, brackets ? SPAN("[") : SPAN(""));
    text_add(&url, lapi->url.host);
    text_add(&url, brackets ? SPAN("]:") : SPAN(":"));
    text_uint(&url, lapi->url.port);
    text_add(&url, lapi->url.path);
    text_add(&url, span_text(path));
    call->lapi = lapi;
    call->why = NULL;
    call->url_len = url.len;
    call->addr_count = 0;
    call->fetch.done = on_fetched;
    call->fields[0] =
        (struct fetch_field){ SPAN("User-Agent"), SPAN("sallyport/" SALLYPORT_VERSION) };
    call->fields[1] = field != NULL ? *field : (struct fetch_field){ SPAN(""), SPAN("") };
    call->policy = (struct fetch_policy){ .tls = lapi->tls,
                                          .gzip = true,
                                          .socket = lapi->socket,
                                          .body_bytes = body,
                                          .connect_ms = CONNECT_MS,
                                          .total_ms = TOTAL_MS,
                                          .resolve = resolve,
                                          .names = call };
    find(call);
}

void lapi_ask(struct lapi *lapi, struct lapi_call *call, const char *path,
              const struct fetch_field *field, struct span post, size_t body)
{
    call->post = post;
    call->deletes = false;
    ask(lapi, call, path, field, body);
}

void lapi_delete(struct lapi *lapi, struct lapi_call *call, const char *path,
                 const struct fetch_field *field, size_t body)
{
    call->post = span_of(NULL, 0);
    call->deletes = true;
    ask(lapi, call, path, field, body);
}

void lapi_close(struct lapi_call *call)
{
    fetch_close(&call->fetch);
}
