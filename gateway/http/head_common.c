/* Framing and Connection, the same for requests and responses (RFC 9112 sections 6 and 9). */
#include "gateway/http/head_common.h"

#include "gateway/http/names.h"

enum { LENGTH_DIGITS_MAX = 19 };

/*
 * Digits only, one spelling, and within what everybody's signed 64-bit integer holds: 2^63 + 5
 * is a small negative number to some.
 */
static bool parse_length(struct span text, uint64_t *length)
{
    if (text.len == 0 || text.len > LENGTH_DIGITS_MAX || (text.p[0] == '0' && text.len > 1))
        return false;
    return span_uint(text, length) && *length <= INT64_MAX;
}

enum http_error framing_parse(const struct fields *fields, unsigned minor, enum body_kind *kind,
                              uint64_t *length)
{
    const uint64_t bits = FIELD_BIT(CONTENT_LENGTH) | FIELD_BIT(TRANSFER_ENCODING);

    *length = 0;
    if ((fields->present & bits) == 0)
        return HTTP_OK;
    const struct field *size = fields_get(fields, FIELD_CONTENT_LENGTH);
    const struct field *coding = fields_get(fields, FIELD_TRANSFER_ENCODING);

    if (size != NULL && coding != NULL)
        return HTTP_FRAMING;
    if (size != NULL) {
        /* Even equal ones, which RFC 9112 section 6.3 would let us merge. */
        if (fields_next(fields, size) != NULL || !parse_length(size->value, length))
            return HTTP_LENGTH;
        *kind = BODY_LENGTH;
        return HTTP_OK;
    }
    if (minor == 0) /* RFC 9112 section 6.1: the framing is faulty */
        return HTTP_FRAMING;
    if (fields_next(fields, coding) != NULL ||
        !span_equal_nocase(coding->value, SPAN("chunked")))
        return HTTP_CODING;
    *kind = BODY_CHUNKED;
    return HTTP_OK;
}

struct connection_said connection_read(const struct fields *fields, unsigned minor)
{
    struct connection_said said = { .keep_alive = minor >= 1 };
    const struct field *field = fields_get(fields, FIELD_CONNECTION);

    if (field == NULL || span_equal(field->value, SPAN("keep-alive"))) {
        /* The usual line alone; another one may still follow it. */
        said.keep_alive |= field != NULL;
        if (field == NULL || fields_next(fields, field) == NULL)
            return said;
    }
    struct list_walk walk = list_walk(fields, FIELD_CONNECTION);
    struct span option;
    bool closes = false;

    while (list_next(&walk, &option)) {
        closes |= span_equal_nocase(option, SPAN("close"));
        said.keep_alive |= span_equal_nocase(option, SPAN("keep-alive"));
        said.upgrade |= span_equal_nocase(option, SPAN("upgrade"));
    }
    said.keep_alive &= !closes;
    return said;
}

int version_minor(const char *p)
{
    if (memcmp(p, "HTTP/1.", 7) != 0 || (p[7] != '0' && p[7] != '1'))
        return -1;
    return p[7] - '0';
}
