/* The head of a part: header lines, Content-Disposition and what else decides about content. */
#include "gateway/http/chars.h"
#include "gateway/http/charset.h"
#include "gateway/http/multipart_parts.h"
#include "gateway/http/uri.h"

enum { HEADERS_FIRST = 4 };

/* ---- lines ---------------------------------------------------------------------------------
 */

static bool is_blank(char c)
{
    return c == ' ' || (c >= '\t' && c <= '\r');
}

static struct multipart_header *header_find(struct multipart_part *part, struct span name)
{
    for (unsigned i = 0; i < part->header_count; i++)
        if (span_equal_nocase(part->headers[i].name, name))
            return &part->headers[i];
    return NULL;
}

static struct multipart_header *header_push(struct multipart *m)
{
    struct multipart_part *part = &m->part;

    if (part->header_count == m->header_capacity) {
        unsigned capacity = m->header_capacity == 0 ? HEADERS_FIRST : m->header_capacity * 2;
        struct multipart_header *headers =
            arena_alloc(m->arena, capacity * sizeof(struct multipart_header));
        if (headers == NULL) {
            m->err = ERR_MEMORY;
            return NULL;
        }
        if (part->header_count > 0)
            memcpy(headers, part->headers, part->header_count * sizeof(*headers));
        part->headers = headers;
        m->header_capacity = capacity;
    }
    return &part->headers[part->header_count++];
}

/* `a b` of two spans and what stands between, in the arena. */
static struct span join(struct multipart *m, struct span a, struct span between, struct span b)
{
    char *p = arena_alloc(m->arena, a.len + between.len + b.len);

    if (p == NULL) {
        m->err = ERR_MEMORY;
        return SPAN("");
    }
    struct text text = text_fixed(p, a.len + between.len + b.len);
    text_add(&text, a);
    text_add(&text, between);
    text_add(&text, b);
    return text_span(&text);
}

/* White space at the start goes on with the header before (RFC 5322 section 2.2.3). */
static bool fold(struct multipart *m, struct span line)
{
    size_t blanks = 0;

    multipart_find(m, MULTIPART_HEADER_FOLDING);
    /* PHP takes any white space: told apart. */
    for (; blanks < line.len && is_blank(line.p[blanks]); blanks++)
        if (line.p[blanks] != ' ' && line.p[blanks] != '\t')
            multipart_find(m, MULTIPART_INVALID_HEADER_FOLDING);
    if (m->part.header_count == 0) {
        multipart_fail(m, "Multipart: Invalid part header (folding error).");
        return true;
    }
    struct multipart_header *header = &m->part.headers[m->part.header_count - 1];
    header->value = join(m, header->value, SPAN(" "), span_sub(line, blanks, line.len));
    header->line = join(m, header->name, SPAN(": "), header->value);
    return m->err == OK;
}

bool multipart_head_line(struct multipart *m, struct span line)
{
    if (line.len > m->limits.header_bytes - m->header_bytes) {
        multipart_find(m, MULTIPART_OVER_LIMIT);
        multipart_fail(m, "Multipart: Part header too long.");
        return false;
    }
    m->header_bytes += (unsigned)line.len;
    if (memchr(line.p, '\0', line.len) != NULL) {
        multipart_find(m, MULTIPART_NUL);
        multipart_fail(m, "Multipart: Nul byte in part headers.");
    }
    if (is_blank(line.p[0]))
        return fold(m, line);

    ssize_t colon = span_index(line, ':');
    if (colon < 0) {
        multipart_fail(m, "Multipart: Invalid part header (colon missing).");
        return true;
    }
    struct span name = span_sub(line, 0, (size_t)colon);
    /* mod_security2 takes any byte, and CRS has a rule for such names. */
    if (!span_all(name, CHAR_TOKEN))
        multipart_find(m, MULTIPART_HEADER_BYTES);
    if (m->part.header_count == m->limits.headers) {
        multipart_find(m, MULTIPART_OVER_LIMIT);
        multipart_fail(m, "Multipart: Too many part headers.");
        return false;
    }
    if (header_find(&m->part, name) != NULL)
        multipart_fail(m, "Multipart: Duplicate part header.");
    struct span value = span_sub(line, (size_t)colon + 1, line.len);
    while (value.len > 0 && (value.p[0] == ' ' || value.p[0] == '\t'))
        value = span_sub(value, 1, value.len);
    struct multipart_header *header = header_push(m);
    if (header == NULL)
        return false;
    *header = (struct multipart_header){ .line = line, .name = name, .value = value };
    return true;
}

/* ---- Content-Disposition -------------------------------------------------------------------
 */

struct disposition {
    struct multipart *m;
    const char *p, *end;
    bool bare; /* the value stands without quotes */
};

static void skip_blanks(struct disposition *d)
{
    while (d->p < d->end && (*d->p == ' ' || *d->p == '\t'))
        d->p++;
}

static void malformed(struct multipart *m)
{
    multipart_fail(m, "Multipart: Invalid Content-Disposition header.");
}

/* Within quotes: `\` counts before the quote and before itself, since browsers of old wrote
 * paths. */
static bool quoted_value(struct disposition *d, struct span *value)
{
    char quote = *d->p++;
    const char *close = d->p;
    bool escapes = false;

    while (close < d->end && *close != quote) {
        bool escape =
            *close == '\\' && close + 1 < d->end && (close[1] == quote || close[1] == '\\');
        escapes |= escape;
        close += escape ? 2 : 1;
    }
    if (close >= d->end)
        return false;
    *value = span_range(d->p, close);
    d->p = close + 1;
    if (!escapes)
        return true;

    char *out = arena_alloc(d->m->arena, value->len);
    size_t len = 0;
    if (out == NULL) {
        d->m->err = ERR_MEMORY;
        return false;
    }
    for (size_t i = 0; i < value->len; i++) {
        if (value->p[i] == '\\' && (value->p[i + 1] == quote || value->p[i + 1] == '\\'))
            i++;
        out[len++] = value->p[i];
    }
    *value = span_of(out, len);
    return true;
}

static bool parameter_value(struct disposition *d, struct span *value)
{
    char first = *d->p;

    d->bare = first != '"' && first != '\'';
    if (first == '"')
        return quoted_value(d, value);
    if (first == '\'') {
        /* No quote to the RFC, one to some backends. */
        multipart_find(d->m, MULTIPART_INVALID_QUOTING);
        return quoted_value(d, value);
    }
    const char *start = d->p;
    d->p = chars_skip(d->p, d->end, CHAR_TOKEN);
    *value = span_range(start, d->p);
    return true;
}

/* RFC 8187: charset, language, and percent-encoded bytes between apostrophes. */
static void extended_name(struct multipart *m, struct span value)
{
    struct span part = value;

    multipart_find(m, MULTIPART_EXTENDED_NAME);
    for (unsigned i = 0; i < 2; i++) {
        ssize_t quote = span_index(part, '\'');
        if (quote >= 0)
            part = span_sub(part, (size_t)quote + 1, part.len);
    }
    m->part.extended = uri_decode(part, false, m->arena);
    if (m->part.extended.p == NULL)
        m->err = ERR_MEMORY;
}

static void parameter_take(struct disposition *d, struct span name, struct span value)
{
    struct multipart *m = d->m;
    struct multipart_part *part = &m->part;
    bool extended = span_equal_nocase(name, SPAN("filename*"));

    if (span_equal_nocase(name, SPAN("name"))) {
        if (part->named)
            malformed(m);
        else
            part->name = value;
        part->named = true;
    } else if (span_equal_nocase(name, SPAN("filename"))) {
        if (part->filename.p != NULL)
            malformed(m);
        else
            part->filename = value;
        part->file = true;
    } else if (extended) {
        extended_name(m, value);
        malformed(m);
    } else {
        malformed(m);
    }
    if (!span_equal(name, SPAN("name")) && !span_equal(name, SPAN("filename")))
        malformed(m);
    if (d->bare && !extended && span_index(value, '\'') >= 0)
        multipart_find(m, MULTIPART_INVALID_QUOTING);
}

/* One parameter and the semicolon behind it. False: there is nothing more to read. */
static bool parameter_read(struct disposition *d)
{
    const char *start;
    struct span name, value;

    skip_blanks(d);
    start = d->p;
    while (d->p < d->end && *d->p != '=' && *d->p != ' ' && *d->p != '\t' && *d->p != ';')
        d->p++;
    name = span_range(start, d->p);
    skip_blanks(d);
    if (d->p == d->end) {
        malformed(d->m);
        return false;
    }
    if (*d->p != '=') {
        malformed(d->m);
        d->p++;
        return true;
    }
    d->p++;
    skip_blanks(d);
    if (d->p == d->end || !parameter_value(d, &value)) {
        malformed(d->m);
        return false;
    }
    parameter_take(d, name, value);
    skip_blanks(d);
    if (d->p == d->end)
        return false;
    if (*d->p != ';') {
        if (d->p[-1] == '"' || d->p[-1] == '\'')
            multipart_find(d->m, MULTIPART_INVALID_QUOTING);
        malformed(d->m);
        while (d->p < d->end && *d->p != ';')
            d->p++;
        if (d->p == d->end)
            return false;
    }
    d->p++;
    return d->p < d->end;
}

static void disposition_read(struct multipart *m, struct span value)
{
    static const struct span form_data = SPAN_INIT("form-data");
    struct disposition d = { .m = m, .p = value.p, .end = span_end(value) };

    if (!span_starts(value, form_data))
        malformed(m);
    if (span_starts_nocase(value, form_data))
        d.p += form_data.len;
    else
        d.p = chars_skip(d.p, d.end, CHAR_TOKEN);
    skip_blanks(&d);
    if (d.p < d.end) {
        if (*d.p != ';')
            malformed(m);
        d.p++;
        while (d.p < d.end && m->err == OK && parameter_read(&d))
            ;
    }
    /* Crude readers look for these very bytes. */
    if (m->part.file && span_find(value, SPAN("filename=")) < 0)
        multipart_fail(m, "Multipart: Invalid Content-Disposition header (filename).");
}

/* ---- the whole head ------------------------------------------------------------------------
 */

static void type_read(struct multipart *m, struct span type)
{
    m->part.type = type;
    if (span_starts_nocase(type, SPAN("multipart/")))
        multipart_find(m, MULTIPART_NESTED);
    enum charset charset = charset_of(type);
    if (charset != CHARSET_NONE && charset != CHARSET_ASCII_LIKE)
        multipart_find(m, MULTIPART_CHARSET);
}

static void encoding_read(struct multipart *m, struct span value)
{
    static const struct {
        struct span name;
        enum multipart_encoding encoding;
    } encodings[] = {
        { SPAN_INIT("7bit"), PART_PLAIN },
        { SPAN_INIT("8bit"), PART_PLAIN },
        { SPAN_INIT("binary"), PART_PLAIN },
        { SPAN_INIT("base64"), PART_BASE64 },
        { SPAN_INIT("quoted-printable"), PART_QUOTED },
    };

    m->encoding = PART_OTHER;
    for (size_t i = 0; i < ARRAY_LEN(encodings); i++)
        if (span_equal_nocase(span_trim(value), encodings[i].name))
            m->encoding = (uint8_t)encodings[i].encoding;
    if (m->encoding != PART_PLAIN)
        multipart_find(m, MULTIPART_ENCODED);
}

bool multipart_head_end(struct multipart *m)
{
    struct multipart_part *part = &m->part;
    const struct multipart_header *header = header_find(part, SPAN("Content-Disposition"));

    if (header == NULL) {
        multipart_fail(m, "Multipart: Part missing Content-Disposition header.");
    } else {
        disposition_read(m, header->value);
        if (!part->named)
            multipart_fail(m, "Multipart: Content-Disposition header missing name field.");
    }
    header = header_find(part, SPAN("Content-Type"));
    if (header != NULL)
        type_read(m, header->value);
    header = header_find(part, SPAN("Content-Transfer-Encoding"));
    if (header != NULL)
        encoding_read(m, header->value);
    if (part->file && ++m->files > m->limits.files)
        multipart_find(m, MULTIPART_FILE_LIMIT_EXCEEDED);
    return m->err == OK;
}
