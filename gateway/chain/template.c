/*
 * Templates: see template.h. No value here can hold a byte that ends a line or a URL part: host
 * and path are canonical, the query has only what RFC 3986 and browsers put there.
 */
#include "gateway/chain/template.h"

#include "gateway/chain/pattern.h"
#include "gateway/chain/txn.h"
#include "gateway/http/chars.h"

enum { FIRST_BYTES = 128 };

typedef void write_fn(struct text *out, const struct txn *txn);

struct template_part {
    struct span text; /* literal; used when `write` is NULL */
    write_fn *write;
    unsigned group; /* 1 to 9; 0: none */
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

/*
 * The path is decoded where the pattern looks, so what is found is encoded again, all but
 * unreserved characters and slashes: it can end no part of a URL. And it begins no host: two
 * slashes do not come together.
 */
static void write_group(struct text *out, const struct txn *txn, unsigned group)
{
    static const char digits[] = "0123456789ABCDEF";
    const struct route *route = txn->route;

    if (route == NULL || route->pattern == 0)
        return;
    struct span found = pattern_group(txn->config->patterns, (int)route->pattern - 1,
                                      txn->req->path_plain, group);
    if (found.len > 0 && found.p[0] == '/' && out->len > 0 && out->p[out->len - 1] == '/')
        found = span_sub(found, 1, found.len);
    for (size_t i = 0; i < found.len; i++) {
        char c = found.p[i];
        if (c == '/' || char_is(c, CHAR_UNRESERVED)) {
            text_char(out, c);
            continue;
        }
        text_char(out, '%');
        text_char(out, digits[(uint8_t)c >> 4]);
        text_char(out, digits[(uint8_t)c & 15]);
    }
}

static unsigned group_named(struct span name)
{
    return name.len == 1 && name.p[0] >= '1' && name.p[0] <= '9' ? (unsigned)(name.p[0] - '0')
                                                                 : 0;
}

static bool push(struct template *template, struct span text, write_fn *write, unsigned group)
{
    if (template->count == TEMPLATE_PARTS_MAX)
        return false;
    if (text.len > 0 || write != NULL || group > 0)
        template->parts[template->count++] =
            (struct template_part){ .text = text, .write = write, .group = group };
    template->groups = group > template->groups ? group : template->groups;
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
            return push(template, text, NULL, 0);
        bool brace = (size_t)open + 1 < text.len && text.p[open + 1] == '{';
        if (!push(template, span_sub(text, 0, (size_t)open + brace), NULL, 0))
            return false;
        text = span_sub(text, (size_t)open + 1 + brace, text.len);
        if (brace)
            continue;
        ssize_t close = span_index(text, '}');
        struct span name = span_sub(text, 0, close < 0 ? 0 : (size_t)close);
        write_fn *write = find_name(name);
        unsigned group = group_named(name);
        if (write == NULL && group == 0) {
            *why = "a template knows {path} {query} {host} {port} {scheme} {method} "
                   "{client.ip} {id} {site}; a brace is {{";
            return false;
        }
        if (!push(template, span_of(NULL, 0), write, group))
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
        else if (part->group > 0)
            write_group(&out, txn, part->group);
        else
            text_add(&out, part->text);
    }
    if (out.overflow || out.p == NULL)
        return span_of(NULL, 0);
    return text_span(&out);
}
