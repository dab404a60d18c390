/* The parser's errors and the methods, as tables. */
#include "gateway/http/message.h"

static const struct {
    int status;
    struct span slug, text;
} errors[HTTP_ERROR_COUNT] = {
    [HTTP_OK] = { 200, SPAN_INIT(""), SPAN_INIT("") },
#define HTTP_ERROR(name, number, short_name, sentence)                                         \
    [HTTP_##name] = { number, SPAN_INIT(short_name), SPAN_INIT(sentence) },
#include "gateway/http/http_error.def"
#undef HTTP_ERROR
};

int http_error_status(enum http_error error)
{
    return errors[error].status;
}

struct span http_error_slug(enum http_error error)
{
    return errors[error].slug;
}

struct span http_error_text(enum http_error error)
{
    return errors[error].text;
}

/* Idempotent as RFC 9110 section 9.2.2 says, so that a retry does no harm. */
static const struct {
    struct span name;
    bool idempotent;
} methods[] = {
    [METHOD_OTHER] = { SPAN_INIT(""), false },
    [METHOD_GET] = { SPAN_INIT("GET"), true },
    [METHOD_HEAD] = { SPAN_INIT("HEAD"), true },
    [METHOD_POST] = { SPAN_INIT("POST"), false },
    [METHOD_PUT] = { SPAN_INIT("PUT"), true },
    [METHOD_DELETE] = { SPAN_INIT("DELETE"), true },
    [METHOD_OPTIONS] = { SPAN_INIT("OPTIONS"), true },
    [METHOD_PATCH] = { SPAN_INIT("PATCH"), false },
    [METHOD_CONNECT] = { SPAN_INIT("CONNECT"), false },
    [METHOD_TRACE] = { SPAN_INIT("TRACE"), true },
};

/* Case counts (RFC 9110 section 9.1): `get` is some other method. */
enum method method_of(struct span name)
{
    for (unsigned i = METHOD_GET; i < ARRAY_LEN(methods); i++)
        if (span_equal(methods[i].name, name))
            return (enum method)i;
    return METHOD_OTHER;
}

bool method_is_idempotent(enum method method)
{
    return methods[method].idempotent;
}
