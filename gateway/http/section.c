/* Field lines, strictly (RFC 9112 section 5): one pass, nothing copied. */
#include "gateway/http/section.h"

#include "gateway/http/chars.h"
#include "gateway/http/names.h"

struct line {
    struct span name, value;
    bool odd;
};

/*
 * One `name: OWS value OWS CR LF` at `*p`. No space before the colon (it splits parsers that
 * strip it from those that do not: RFC 9112 section 5.1) and no folding (section 5.2).
 */
static inline enum http_error read_line(const char **p, const char *end, struct line *line)
{
    const char *name = *p;
    const char *colon = scan_name(name, end, &line->odd);

    if (colon == end || *colon != ':' || colon == name)
        return *name == ' ' || *name == '\t' ? HTTP_FIELD_FOLDED : HTTP_FIELD_NAME;
    const char *value = colon + 1;
    while (value < end && (*value == ' ' || *value == '\t'))
        value++;
    const char *stop = scan_value(value, end);
    if (end - stop < 2 || stop[0] != '\r' || stop[1] != '\n')
        return stop < end && *stop != '\r' && *stop != '\n' ? HTTP_FIELD_VALUE : HTTP_LINE_END;
    *p = stop + 2;
    while (stop > value && (stop[-1] == ' ' || stop[-1] == '\t'))
        stop--;
    line->name = span_range(name, colon);
    line->value = span_range(value, stop);
    return HTTP_OK;
}

enum http_error section_parse(struct fields *fields, struct span section, unsigned limit,
                              struct arena *arena)
{
    const char *p = section.p, *end = span_end(section);
    const uint64_t single = fields_single;

    if (fields->items == NULL) {
        unsigned room = limit < SECTION_FIELDS ? limit : SECTION_FIELDS;
        if (fields_init(fields, arena, room) != OK)
            return HTTP_MEMORY;
    }
    while (end - p > 2 || (p < end && *p != '\r')) {
        struct line line;
        line.odd = false;
        enum http_error error = read_line(&p, end, &line);
        if (error != HTTP_OK)
            return error;
        if (fields->count >= limit)
            return HTTP_FIELDS_MANY;
        if (fields->count == fields->capacity && fields_grow(fields, arena) != OK)
            return HTTP_MEMORY;
        bool readable = end - line.name.p >= FIELD_WIRE_BYTES;
        unsigned id = field_id_of_token(line.name, readable);
        struct field *field = &fields->items[fields->count++];
        field->name = line.name;
        field->value = line.value;
        field->id = (uint8_t)id;
        field->dropped = false;
        field->odd = line.odd;
        uint64_t bit = id != FIELD_OTHER ? UINT64_C(1) << id : 0;
        if (fields->present & bit & single)
            return HTTP_FIELD_REPEATED;
        fields->repeated |= fields->present & bit;
        fields->present |= bit;
        fields->odd |= line.odd;
    }
    if (end - p != 2 || p[1] != '\n')
        return HTTP_LINE_END;
    return HTTP_OK;
}
