/* Field sections to requests: see fields.h. */
#include "gateway/http2/fields.h"

#include <openssl/evp.h>

#include "gateway/base/siphash.h"
#include "gateway/http/chars.h"
#include "gateway/http/framing.h"
#include "gateway/http/names.h"
#include "gateway/http/section.h"

enum { LINES_FIRST_BYTES = 1024, LINE_BYTES = 4, METHOD_BYTES_MAX = 32 };

static const struct span pseudo_names[PSEUDO_COUNT] = {
    [PSEUDO_METHOD] = SPAN_INIT(":method"),       [PSEUDO_SCHEME] = SPAN_INIT(":scheme"),
    [PSEUDO_AUTHORITY] = SPAN_INIT(":authority"), [PSEUDO_PATH] = SPAN_INIT(":path"),
    [PSEUDO_PROTOCOL] = SPAN_INIT(":protocol"),
};

/* RFC 9113 section 8.2.2. HTTP2-Settings belongs to a connection, too. */
static const uint64_t of_connection =
    FIELD_BIT(CONNECTION) | FIELD_BIT(KEEP_ALIVE) | FIELD_BIT(PROXY_CONNECTION) |
    FIELD_BIT(TRANSFER_ENCODING) | FIELD_BIT(UPGRADE) | FIELD_BIT(HTTP2_SETTINGS);

void h2_section_begin(struct h2_section *section, struct arena *arena,
                      const struct head_limits *limits, bool trailers)
{
    *section = (struct h2_section){ .arena = arena, .limits = limits, .trailers = trailers };
    section->lines = text_growing(arena, LINES_FIRST_BYTES);
}

/* ---- pseudo-fields ---- */

static enum http_error add_pseudo(struct h2_section *section, struct span name,
                                  struct span value)
{
    for (unsigned i = 0; i < PSEUDO_COUNT; i++) {
        if (!span_equal(name, pseudo_names[i]))
            continue;
        bool misplaced = section->trailers || section->regular;
        if (misplaced || section->pseudo[i].p != NULL || value.len == 0)
            return HTTP_PSEUDO;
        section->pseudo[i] = arena_copy(section->arena, value);
        return section->pseudo[i].p == NULL ? HTTP_MEMORY : HTTP_OK;
    }
    return HTTP_PSEUDO;
}

static bool path_is_one(struct span method, struct span path)
{
    if (path.p[0] != '/' &&
        !(span_equal(path, SPAN("*")) && span_equal(method, SPAN("OPTIONS"))))
        return false;
    return scan_word(path.p, span_end(path)) == span_end(path);
}

static bool is_method(struct span method)
{
    return method.len <= METHOD_BYTES_MAX && span_all(method, CHAR_TOKEN);
}

/* The start line and Host, when the pseudo-fields are complete. */
static enum http_error write_start(struct h2_section *section)
{
    struct span method = section->pseudo[PSEUDO_METHOD], path = section->pseudo[PSEUDO_PATH];
    struct span authority = section->pseudo[PSEUDO_AUTHORITY];
    struct text *lines = &section->lines;

    section->regular = true;
    if (section->trailers)
        return HTTP_OK;
    if (method.p == NULL)
        return HTTP_PSEUDO;
    if (!is_method(method))
        return HTTP_METHOD;
    struct span protocol = section->pseudo[PSEUDO_PROTOCOL];
    bool connect = method_of(method) == METHOD_CONNECT;
    if (!connect && protocol.p != NULL)
        return HTTP_PSEUDO;
    section->websocket = connect && span_equal(protocol, SPAN("websocket"));
    if (connect && !section->websocket)
        return HTTP_METHOD_REFUSED;
    if (section->pseudo[PSEUDO_SCHEME].p == NULL || path.p == NULL)
        return HTTP_PSEUDO;
    if (path.len > section->limits->uri_bytes)
        return HTTP_TARGET_LONG;
    if (!path_is_one(method, path))
        return HTTP_TARGET;
    text_add(lines, section->websocket ? SPAN("GET") : method);
    text_char(lines, ' ');
    text_add(lines, path);
    text_lit(lines, " HTTP/1.1\r\n");
    section->start_bytes = lines->len;
    if (authority.p == NULL)
        return HTTP_OK;
    if (scan_word(authority.p, span_end(authority)) != span_end(authority))
        return HTTP_HOST;
    text_lit(lines, "Host: ");
    text_add(lines, authority);
    text_lit(lines, "\r\n");
    section->start_bytes = lines->len;
    return HTTP_OK;
}

/* ---- fields ---- */

static bool name_is_good(struct span name)
{
    bool odd = false;

    if (name.len == 0 || scan_name(name.p, span_end(name), &odd) != span_end(name))
        return false;
    for (size_t i = 0; i < name.len; i++) {
        if (name.p[i] >= 'A' && name.p[i] <= 'Z') /* RFC 9113 section 8.2.1 */
            return false;
    }
    return true;
}

static bool value_is_good(struct span value)
{
    if (value.len == 0)
        return true;
    char first = value.p[0], last = value.p[value.len - 1];
    if (first == ' ' || first == '\t' || last == ' ' || last == '\t')
        return false;
    return scan_value(value.p, span_end(value)) == span_end(value);
}

static void write_line(struct h2_section *section, struct span name, struct span value)
{
    struct text *lines = &section->lines;

    if (!text_reserve(lines, name.len + value.len + LINE_BYTES))
        return;
    text_add(lines, name);
    text_lit(lines, ": ");
    text_add(lines, value);
    text_lit(lines, "\r\n");
}

static enum http_error add_field(struct h2_section *section, struct span name,
                                 struct span value)
{
    if (!section->regular) {
        enum http_error error = write_start(section);
        if (error != HTTP_OK)
            return error;
    }
    if (!name_is_good(name))
        return HTTP_FIELD_NAME;
    if (!value_is_good(value))
        return HTTP_FIELD_VALUE;
    enum field_id id = field_id_of_token(name, false);
    if (id != FIELD_OTHER && field_in(of_connection, id))
        return HTTP_CONNECTION_FIELD;
    if (id == FIELD_TE && !span_equal(value, SPAN("trailers")))
        return HTTP_CONNECTION_FIELD;
    if (id == FIELD_HOST && !section->trailers) {
        if (section->host.p != NULL)
            return HTTP_FIELD_REPEATED;
        section->host = arena_copy(section->arena, value);
        if (section->host.p == NULL)
            return HTTP_MEMORY;
        if (section->pseudo[PSEUDO_AUTHORITY].p != NULL)
            return HTTP_OK; /* compared later, written once */
    }
    section->versioned |= id == FIELD_SEC_WEBSOCKET_VERSION;
    if (id == FIELD_COOKIE && !section->trailers) {
        if (section->cookies.arena == NULL)
            section->cookies = text_growing(section->arena, LINES_FIRST_BYTES / 4);
        if (section->cookies.len > 0)
            text_lit(&section->cookies, "; ");
        text_add(&section->cookies, value);
        return HTTP_OK;
    }
    if (span_equal(name, SPAN("priority")) && section->priority.p == NULL)
        section->priority = arena_copy(section->arena, value);
    write_line(section, name, value);
    return HTTP_OK;
}

/* ---- what is refused ---- */

/* As it came, but in one line. */
static void note_bytes(struct text *out, struct span bytes)
{
    for (size_t i = 0; i < bytes.len; i++) {
        bool ends = bytes.p[i] == '\r' || bytes.p[i] == '\n' || bytes.p[i] == '\0';
        text_char(out, ends ? ' ' : bytes.p[i]);
    }
}

/* The field that the section is refused for, and those behind it: for the record and for rules,
 * which are to know an attack by its own name (http/evidence.h). */
static void note(struct h2_section *section, struct span name, struct span value)
{
    size_t limit = section->limits->head_bytes;
    size_t room = limit > section->noted.len ? limit - section->noted.len : 0;

    if (section->trailers)
        return;
    if (section->noted.arena == NULL)
        section->noted = text_growing(section->arena, LINES_FIRST_BYTES / 4);
    for (unsigned i = 0; i < PSEUDO_COUNT; i++) {
        if (!span_equal(name, pseudo_names[i]))
            continue;
        if (section->pseudo[i].p == NULL)
            section->pseudo[i] = arena_copy(section->arena, span_sub(value, 0, limit));
        return;
    }
    if (name.len + LINE_BYTES >= room)
        return;
    note_bytes(&section->noted, name);
    text_lit(&section->noted, ": ");
    note_bytes(&section->noted, span_sub(value, 0, room - name.len - LINE_BYTES));
    text_lit(&section->noted, "\r\n");
}

/* A head that says what the section seems to say, to be read leniently; empty: no memory. */
static struct span refused_head(struct h2_section *section)
{
    struct text head = text_growing(section->arena, LINES_FIRST_BYTES);
    const struct span *pseudo = section->pseudo;
    struct span lines = text_span(&section->lines);

    note_bytes(&head, pseudo[PSEUDO_METHOD]);
    text_char(&head, ' ');
    note_bytes(&head, pseudo[PSEUDO_PATH]);
    text_lit(&head, " HTTP/2\r\n");
    if (pseudo[PSEUDO_AUTHORITY].p != NULL) {
        text_lit(&head, "Host: ");
        note_bytes(&head, pseudo[PSEUDO_AUTHORITY]);
        text_lit(&head, "\r\n");
    }
    text_add(&head, span_sub(lines, section->start_bytes, lines.len));
    if (section->cookies.len > 0) {
        text_lit(&head, "Cookie: ");
        text_add(&head, text_span(&section->cookies));
        text_lit(&head, "\r\n");
    }
    text_add(&head, text_span(&section->noted));
    text_lit(&head, "\r\n");
    return head.overflow ? span_of(NULL, 0) : text_span(&head);
}

void h2_section_add(struct h2_section *section, struct span name, struct span value)
{
    size_t limit = section->trailers ? TRAILER_BYTES_MAX : section->limits->head_bytes;
    unsigned fields = section->trailers ? TRAILER_FIELDS_MAX : section->limits->fields;
    bool pseudo = name.len > 0 && name.p[0] == ':';

    section->bytes += name.len + value.len + LINE_BYTES;
    section->count += !pseudo;
    if (section->error != HTTP_OK) {
        note(section, name, value);
        return;
    }
    if (section->bytes > limit) {
        bool target = span_equal(name, pseudo_names[PSEUDO_PATH]);
        section->error = target ? HTTP_TARGET_LONG : HTTP_FIELDS_LARGE;
    } else if (section->count > fields + 16) { /* crumbs: counted again when they are joined */
        section->error = HTTP_FIELDS_MANY;
    } else {
        section->error =
            pseudo ? add_pseudo(section, name, value) : add_field(section, name, value);
    }
    if (section->error != HTTP_OK)
        note(section, name, value);
}

/* ---- the whole ---- */

static unsigned default_port(struct span scheme)
{
    return span_equal_nocase(scheme, SPAN("https")) ? 443 : 80;
}

/* :authority and Host, when both are there, must be one reading (RFC 9113 section 8.3.1). */
static enum http_error same_host(const struct h2_section *section)
{
    struct span authority = section->pseudo[PSEUDO_AUTHORITY], a, b;
    uint16_t port_a, port_b;

    if (authority.p == NULL || section->host.p == NULL)
        return HTTP_OK;
    enum http_error error = authority_parse(authority, section->arena, &a, &port_a);
    if (error == HTTP_OK)
        error = authority_parse(section->host, section->arena, &b, &port_b);
    if (error != HTTP_OK)
        return error;
    unsigned port = default_port(section->pseudo[PSEUDO_SCHEME]);
    bool same =
        span_equal(a, b) && (port_a != 0 ? port_a : port) == (port_b != 0 ? port_b : port);
    return same ? HTTP_OK : HTTP_HOST;
}

/* What we serve; and over TLS nothing calls itself plain. */
static enum http_error scheme_fits(struct span scheme, bool tls)
{
    bool https = span_equal_nocase(scheme, SPAN("https"));

    return https || (!tls && span_equal_nocase(scheme, SPAN("http"))) ? HTTP_OK : HTTP_TARGET;
}

/* What RFC 8441 leaves out of the handshake. */
static void write_handshake(struct h2_section *section)
{
    unsigned char nonce[16], key[25]; /* base64, and a NUL */

    random_bytes(nonce, sizeof nonce);
    int len = EVP_EncodeBlock(key, nonce, sizeof nonce);
    write_line(section, SPAN("Connection"), SPAN("Upgrade"));
    write_line(section, SPAN("Upgrade"), SPAN("websocket"));
    write_line(section, SPAN("Sec-WebSocket-Key"), span_of((const char *)key, (size_t)len));
    if (!section->versioned)
        write_line(section, SPAN("Sec-WebSocket-Version"), SPAN("13"));
}

static enum http_error finish_lines(struct h2_section *section)
{
    if (!section->regular) {
        enum http_error error = write_start(section);
        if (error != HTTP_OK)
            return error;
    }
    if (section->cookies.len > 0)
        write_line(section, SPAN("cookie"), text_span(&section->cookies));
    if (section->websocket)
        write_handshake(section);
    text_lit(&section->lines, "\r\n");
    return section->lines.overflow || section->cookies.overflow ? HTTP_MEMORY : HTTP_OK;
}

/* RFC 9113 section 8.1.1: what Content-Length says must be what comes. */
static enum http_error read_framing(struct request *req, bool ended)
{
    bool some = req->body == BODY_LENGTH && req->length > 0;

    if (req->websocket)
        return ended ? HTTP_UPGRADE : HTTP_OK; /* nothing to talk over */
    if (ended)
        return some ? HTTP_LENGTH : HTTP_OK;
    if (req->body == BODY_NONE)
        req->body = BODY_CHUNKED; /* its end is told by the stream */
    return HTTP_OK;
}

static enum http_error read_request(struct h2_section *section, struct request *req,
                                    struct span *head, bool tls, bool ended)
{
    enum http_error error = section->error;

    if (error == HTTP_OK)
        error = finish_lines(section);
    if (error != HTTP_OK)
        return error;
    *head = text_span(&section->lines);
    /* Measured as it came: joined crumbs are shorter. */
    struct head_limits limits = *section->limits;
    error = request_parse(req, *head, section->arena, &limits);
    if (error == HTTP_OK)
        error = scheme_fits(section->pseudo[PSEUDO_SCHEME], tls);
    if (error == HTTP_OK)
        error = same_host(section);
    return error != HTTP_OK ? error : read_framing(req, ended);
}

enum http_error h2_section_request(struct h2_section *section, struct request *req,
                                   struct span *head, bool tls, bool ended)
{
    enum http_error error = read_request(section, req, head, tls, ended);

    if (error != HTTP_OK)
        *head = refused_head(section);
    req->http2 = true;
    if (req->method.len == 0 && is_method(section->pseudo[PSEUDO_METHOD])) {
        req->method = section->pseudo[PSEUDO_METHOD];
        req->method_id = method_of(req->method);
    }
    if (req->target.len == 0)
        req->target = section->pseudo[PSEUDO_PATH];
    req->expect_continue = !ended && fields_have(&req->fields, FIELD_EXPECT);
    return error;
}

enum http_error h2_section_trailers(struct h2_section *section, struct fields *trailers)
{
    enum http_error error = section->error;

    *trailers = (struct fields){ 0 };
    if (error == HTTP_OK)
        error = finish_lines(section);
    if (error == HTTP_OK)
        error = section_parse(trailers, text_span(&section->lines), TRAILER_FIELDS_MAX,
                              section->arena);
    if (error != HTTP_OK)
        return error == HTTP_MEMORY ? error : HTTP_TRAILER;
    for (unsigned i = 0; i < trailers->count; i++) {
        if (!field_may_trail(&trailers->items[i]))
            return HTTP_TRAILER;
    }
    return HTTP_OK;
}

struct priority priority_read(struct span value)
{
    struct priority priority = { .urgency = 3 };
    struct span part;

    /* Without a word of the client's, its streams share. */
    if (value.len == 0)
        priority.incremental = true;
    while (value.p != NULL && span_cut(&value, ',', &part)) {
        part = span_trim(part);
        if (part.len == 3 && span_starts(part, SPAN("u=")) && part.p[2] >= '0' &&
            part.p[2] <= '7')
            priority.urgency = (unsigned)(part.p[2] - '0');
        if (span_equal(part, SPAN("i")) || span_equal(part, SPAN("i=?1")))
            priority.incremental = true;
    }
    return priority;
}
