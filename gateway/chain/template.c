/*
 * Templates: see template.h. No value here can hold a byte that ends a line or a URL part: host
 * and path are canonical, the query has only what RFC 3986 and browsers put there.
 */
#include "gateway/chain/template.h"

#include "gateway/chain/txn.h"

enum { FIRST_BYTES = 128 };

typedef void write_fn(struct text *out, const struct txn *txn);

struct template_part {
    struct span text; /* literal; used when `write` is NULL */
    write_fn *write;
};

static void write_path(struct text *out, const struct txn *txn)
{
    text_add(out, txn->req->path_wire);
}

static void write_query(struct text *out, const struct txn *txn)
{
    text_add(out, txn->req->query);
}

static void write_host(struct text *out, const struct txn *txn)
{
    text_add(out, txn->req->host);
}

static void write_port(struct text *out, const struct txn *txn)
{
    text_uint(out, txn->req->port);
}

static void write_scheme(struct text *out, const struct txn *txn)
{
    text_add(out, txn->req->scheme);
}

static void write_method(struct text *out, const struct txn *txn)
{
    text_add(out, txn->req->method);
}

static void write_client(struct text *out, const struct txn *txn)
{
    addr_write(out, &txn->client);
}

static void write_id(struct text *out, const struct txn *txn)
{
    text_add(out, txn_id(txn));
}

static void write_site(struct text *out, const struct txn *txn)
{
    text_add(out, span_text(txn->site != NULL ? txn->site->name : ""));
}

static const struct {
    struct span name;
    write_fn *write;
} names[] = {
    { SPAN_INIT("path"), write_path },        { SPAN_INIT("query"), write_query },
    { SPAN_INIT("host"), write_host },        { SPAN_INIT("port"), write_port },
    { SPAN_INIT("scheme"), write_scheme },    { SPAN_INIT("method"), write_method },
    { SPAN_INIT("client.ip"), write_client }, { SPAN_INIT("id"), write_id },
    { SPAN_INIT("site"), write_site },
};

static write_fn *find_name(struct span name)
{
    for (size_t i = 0; i < ARRAY_LEN(names); i++) {
        if (span_equal(name, names[i].name))
            return names[i].write;
    }
    return NULL;
}

static bool push(struct template *template, struct span text, write_fn *write)
{
    if (template->count == TEMPLATE_PARTS_MAX)
        return false;
    if (text.len > 0 || write != NULL)
        template->parts[template->count++] =
            (struct template_part){ .text = text, .write = write };
    return true;
}

bool template_parse(struct template *template, struct span text, struct arena *arena,
                    const char **why)
{
    *template = (struct template){ .parts = arena_array(arena, struct template_part,
                                                        TEMPLATE_PARTS_MAX) };
    *why = "out of memory";
    if (template->parts == NULL)
        return false;
    *why = "a template has at most 32 parts";
    for (;;) {
        ssize_t open = span_index(text, '{');
        if (open < 0)
            return push(template, text, NULL);
        bool brace = (size_t)open + 1 < text.len && text.p[open + 1] == '{';
        if (!push(template, span_sub(text, 0, (size_t)open + brace), NULL))
            return false;
        text = span_sub(text, (size_t)open + 1 + brace, text.len);
        if (brace)
            continue;
        ssize_t close = span_index(text, '}');
        write_fn *write = close < 0 ? NULL : find_name(span_sub(text, 0, (size_t)close));
        if (write == NULL) {
            *why = "a template knows {path} {query} {host} {port} {scheme} {method} "
                   "{client.ip} {id} {site}; a brace is {{";
            return false;
        }
        if (!push(template, span_of(NULL, 0), write))
            return false;
        text = span_sub(text, (size_t)close + 1, text.len);
    }
}

struct span template_render(const struct template *template, const struct txn *txn)
{
    struct text out = text_growing(txn->arena, FIRST_BYTES);

    for (unsigned i = 0; i < template->count; i++) {
        const struct template_part *part = &template->parts[i];
        if (part->write != NULL)
            part->write(&out, txn);
        else
            text_add(&out, part->text);
    }
    if (out.overflow || out.p == NULL)
        return span_of(NULL, 0);
    return text_span(&out);
}
