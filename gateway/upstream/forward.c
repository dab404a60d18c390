/*
 * Rewriting of requests on their way through: see forward.h.
 */
#include "gateway/upstream/forward.h"

#include "gateway/base/text.h"
#include "gateway/http/claims.h"

static struct span addr_text(const struct addr *addr, struct arena *arena)
{
    char buffer[64];
    struct text out = text_fixed(buffer, sizeof buffer);

    addr_write(&out, addr);
    return arena_copy(arena, text_span(&out));
}

/* The chain as it is known: the client, then the hop that told of it. */
static struct span forwarded_for(const struct forward_facts *facts, struct span client,
                                 struct arena *arena)
{
    char buffer[128];
    struct text out = text_fixed(buffer, sizeof buffer);

    if (addr_equal(&facts->client, &facts->peer))
        return client;
    text_add(&out, client);
    text_lit(&out, ", ");
    addr_write(&out, &facts->peer);
    return arena_copy(arena, text_span(&out));
}

/* With its port, as the client said it: links that are made of it lead back here. */
static enum err host_text(const struct request *req, struct arena *arena, struct span *host)
{
    enum { PORT_BYTES = 6 };

    *host = req->host;
    if (req->port == 0)
        return OK;
    struct text out = text_growing(arena, req->host.len + PORT_BYTES);
    text_add(&out, req->host);
    text_char(&out, ':');
    text_uint(&out, req->port);
    *host = text_span(&out);
    return out.overflow ? ERR_MEMORY : OK;
}

enum err forward_prepare(struct request *req, struct arena *arena,
                         const struct forward_facts *facts)
{
    struct fields *fields = &req->fields;

    fields_drop(fields, FIELD_EXPECT); /* answered here */
    fields_drop_ours(fields);
    fields_drop_claims(fields, facts->keep_fields.items, facts->keep_fields.count,
                       facts->trusted);

    struct span client = addr_text(&facts->client, arena), host;
    TRY(host_text(req, arena, &host));
    TRY(fields_add_known(fields, arena, FIELD_X_FORWARDED_FOR,
                         forwarded_for(facts, client, arena)));
    TRY(fields_add_known(fields, arena, FIELD_X_FORWARDED_PROTO, req->scheme));
    TRY(fields_add_known(fields, arena, FIELD_X_FORWARDED_HOST, host));
    TRY(fields_add_known(fields, arena, FIELD_X_REAL_IP, client));
    TRY(fields_add_known(fields, arena, FIELD_X_REQUEST_ID, facts->id));
    /* RFC 9110 section 7.6.3: the version of the message that came. */
    struct span via = req->http2        ? SPAN("2 sallyport")
                      : req->minor == 0 ? SPAN("1.0 sallyport")
                                        : SPAN("1.1 sallyport");
    return fields_add_known(fields, arena, FIELD_VIA, via);
}
