/* Refused heads, read leniently. */
#include "gateway/http/evidence.h"

#include "gateway/http/names.h"
#include "gateway/http/section.h"

/* Cuts a line off, without its end. False: there is none left. */
static bool next_line(struct span *rest, struct span *line)
{
    if (!span_cut(rest, '\n', line))
        return false;
    if (line->len > 0 && line->p[line->len - 1] == '\r')
        line->len--;
    return true;
}

/* What follows the last space when it looks like a version; else empty. */
static struct span version_of(struct span line)
{
    size_t at = line.len;
    while (at > 0 && line.p[at - 1] != ' ')
        at--;
    struct span last = span_sub(line, at, line.len);
    return at > 0 && span_starts_nocase(last, SPAN("HTTP/")) ? last : SPAN("");
}

static void read_line(struct request *req, struct span line, size_t uri_bytes)
{
    ssize_t space = span_index(line, ' ');
    req->method = space < 0 ? line : span_sub(line, 0, (size_t)space);
    req->method_id = method_of(req->method);
    req->target = SPAN("");
    req->protocol = SPAN("");
    if (space < 0)
        return;
    struct span target = span_sub(line, (size_t)space + 1, line.len);
    req->protocol = version_of(target);
    target.len -= req->protocol.len;
    if (req->protocol.len > 0)
        target.len--; /* the space before it */
    req->minor = span_equal(req->protocol, SPAN("HTTP/1.1"));
    req->target = span_sub(target, 0, uri_bytes);
    ssize_t mark = span_index(req->target, '?');
    req->has_query = mark >= 0;
    if (mark >= 0)
        req->query = span_sub(req->target, (size_t)mark + 1, req->target.len);
}

/* False at a limit. A line without a colon is passed over. */
static bool read_field(struct fields *fields, struct span line, struct arena *arena,
                       unsigned limit)
{
    struct span value = line, name;
    if (span_index(line, ':') < 0)
        return true;
    (void)span_cut(&value, ':', &name);
    name = span_trim(name);
    if (name.len == 0)
        return true;
    if (fields->count >= limit)
        return false;
    if (fields->count == fields->capacity && fields_grow(fields, arena) != OK)
        return false;
    enum field_id id = field_id_of(name);
    fields->items[fields->count++] =
        (struct field){ .name = name, .value = span_trim(value), .id = (uint8_t)id };
    fields->present |= id == FIELD_OTHER ? 0 : UINT64_C(1) << id;
    return true;
}

/* As a recipient that does not refuse it would (RFC 9112 section 6.3). */
static void let_coding_override_length(struct fields *fields)
{
    unsigned kept = 0;
    if (!fields_have(fields, FIELD_TRANSFER_ENCODING))
        return;
    for (unsigned i = 0; i < fields->count; i++) {
        if (fields->items[i].id != FIELD_CONTENT_LENGTH)
            fields->items[kept++] = fields->items[i];
    }
    fields->count = kept;
    fields->present &= ~(UINT64_C(1) << FIELD_CONTENT_LENGTH);
}

void request_evidence(struct request *req, struct span head, struct arena *arena,
                      const struct head_limits *limits)
{
    struct span rest = span_sub(head, 0, limits->head_bytes), line = { 0 };
    *req = (struct request){ 0 };
    if (!next_line(&rest, &line))
        return;
    read_line(req, line, limits->uri_bytes);
    unsigned room = limits->fields < SECTION_FIELDS ? limits->fields : SECTION_FIELDS;
    if (fields_init(&req->fields, arena, room) != OK)
        return;
    while (next_line(&rest, &line) && line.len > 0) {
        if (!read_field(&req->fields, line, arena, limits->fields))
            break;
    }
    let_coding_override_length(&req->fields);
}
