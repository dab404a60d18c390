/* Bodies: the states of the chunked decoder, and the three simple framings. */
#include "gateway/http/framing.h"

#include "gateway/http/chars.h"
#include "gateway/http/names.h"
#include "gateway/http/section.h"

enum { CHUNK_DIGITS_MAX = 16, TRAILER_FIRST_BYTES = 256 };

enum chunk_state {
    SIZE, /* first, so that a zeroed reader begins here */
    SIZE_LF,
    EXT_NAME_FIRST,
    EXT_NAME,
    EXT_VALUE_FIRST,
    EXT_VALUE,
    EXT_QUOTED,
    EXT_ESCAPED,
    EXT_END,
    DATA,
    DATA_CR,
    DATA_LF,
    TRAILER_FIRST,
    TRAILER_LINE,
    TRAILER_END,
    CHUNK_STATES
};

void body_begin(struct body_reader *body, enum body_kind kind, uint64_t length,
                struct arena *arena)
{
    *body = (struct body_reader){ .kind = kind, .left = length, .arena = arena };
    body->ended = kind == BODY_NONE || (kind == BODY_LENGTH && length == 0);
    if (kind == BODY_CHUNKED)
        body->left = 0;
}

/* ---- one byte of a size line; HTTP_OK or why it may not stand there ---- */

static enum http_error size_end(struct body_reader *body, char c)
{
    if (c == '\r') {
        body->state = SIZE_LF;
        return HTTP_OK;
    }
    if (c != ';')
        return HTTP_CHUNK;
    body->state = EXT_NAME_FIRST;
    return HTTP_OK;
}

static enum http_error on_size(struct body_reader *body, char c)
{
    int digit = hex_value(c);

    if (digit < 0)
        return body->digits > 0 ? size_end(body, c) : HTTP_CHUNK;
    if (body->digits == CHUNK_DIGITS_MAX)
        return HTTP_CHUNK;
    body->digits++;
    body->left = body->left << 4 | (unsigned)digit;
    return HTTP_OK;
}

/*
 * The size is complete. The sum stays within a signed 64-bit integer, and lines far heavier
 * than the data they announce are an attack on our time (CVE-2023-39326).
 */
static enum http_error on_size_lf(struct body_reader *body, char c)
{
    uint64_t sum;

    if (c != '\n')
        return HTTP_CHUNK;
    if (__builtin_add_overflow(body->total, body->left, &sum) || sum > INT64_MAX)
        return HTTP_CHUNK;
    uint64_t share = sum > INT64_MAX / CHUNK_OVERHEAD ? INT64_MAX : sum * CHUNK_OVERHEAD;
    if (body->overhead > CHUNK_OVERHEAD_FREE && body->overhead - CHUNK_OVERHEAD_FREE > share)
        return HTTP_CHUNK;
    body->state = body->left > 0 ? DATA : TRAILER_FIRST;
    body->digits = 0;
    body->line = 0;
    return HTTP_OK;
}

static enum http_error on_ext_name_first(struct body_reader *body, char c)
{
    body->state = EXT_NAME;
    return char_is(c, CHAR_TOKEN) ? HTTP_OK : HTTP_CHUNK;
}

static enum http_error on_ext_name(struct body_reader *body, char c)
{
    if (char_is(c, CHAR_TOKEN))
        return HTTP_OK;
    if (c != '=')
        return size_end(body, c);
    body->state = EXT_VALUE_FIRST;
    return HTTP_OK;
}

static enum http_error on_ext_value_first(struct body_reader *body, char c)
{
    body->state = c == '"' ? EXT_QUOTED : EXT_VALUE;
    return c == '"' || char_is(c, CHAR_TOKEN) ? HTTP_OK : HTTP_CHUNK;
}

static enum http_error on_ext_value(struct body_reader *body, char c)
{
    return char_is(c, CHAR_TOKEN) ? HTTP_OK : size_end(body, c);
}

static enum http_error on_ext_quoted(struct body_reader *body, char c)
{
    if (c == '"')
        body->state = EXT_END;
    else if (c == '\\')
        body->state = EXT_ESCAPED;
    return char_is(c, CHAR_VALUE) ? HTTP_OK : HTTP_CHUNK;
}

static enum http_error on_ext_escaped(struct body_reader *body, char c)
{
    body->state = EXT_QUOTED;
    return char_is(c, CHAR_VALUE) ? HTTP_OK : HTTP_CHUNK;
}

static enum http_error on_data_cr(struct body_reader *body, char c)
{
    body->state = DATA_LF;
    return c == '\r' ? HTTP_OK : HTTP_CHUNK;
}

static enum http_error on_data_lf(struct body_reader *body, char c)
{
    body->state = SIZE;
    return c == '\n' ? HTTP_OK : HTTP_CHUNK;
}

/* ---- the trailer section: gathered here, parsed by body_trailers ---- */

static enum http_error keep_trailer(struct body_reader *body, char c)
{
    if (body->trailer == NULL) {
        struct text *text = arena_alloc(body->arena, sizeof *text);
        if (text == NULL)
            return HTTP_MEMORY;
        *text = text_growing(body->arena, TRAILER_FIRST_BYTES);
        body->trailer = text;
    }
    if (body->trailer->len == TRAILER_BYTES_MAX)
        return HTTP_TRAILER;
    text_char(body->trailer, c);
    return body->trailer->overflow ? HTTP_MEMORY : HTTP_OK;
}

static enum http_error on_trailer_first(struct body_reader *body, char c)
{
    if (c == '\r') {
        body->state = TRAILER_END;
        return HTTP_OK;
    }
    body->state = TRAILER_LINE;
    return c == '\n' ? HTTP_TRAILER : keep_trailer(body, c);
}

static enum http_error on_trailer_line(struct body_reader *body, char c)
{
    if (c == '\n') {
        const struct text *text = body->trailer;
        if (text->p[text->len - 1] != '\r')
            return HTTP_TRAILER;
        body->state = TRAILER_FIRST;
    }
    return keep_trailer(body, c);
}

static enum http_error on_trailer_end(struct body_reader *body, char c)
{
    if (c != '\n')
        return HTTP_TRAILER;
    if (body->trailer != NULL) { /* a field section ends with its empty line */
        text_lit(body->trailer, "\r\n");
        if (body->trailer->overflow)
            return HTTP_MEMORY;
    }
    body->ended = true;
    return HTTP_OK;
}

typedef enum http_error state_fn(struct body_reader *body, char c);

static state_fn *const on_byte[CHUNK_STATES] = {
    [SIZE] = on_size,
    [SIZE_LF] = on_size_lf,
    [EXT_NAME_FIRST] = on_ext_name_first,
    [EXT_NAME] = on_ext_name,
    [EXT_VALUE_FIRST] = on_ext_value_first,
    [EXT_VALUE] = on_ext_value,
    [EXT_QUOTED] = on_ext_quoted,
    [EXT_ESCAPED] = on_ext_escaped,
    [EXT_END] = size_end,
    [DATA_CR] = on_data_cr,
    [DATA_LF] = on_data_lf,
    [TRAILER_FIRST] = on_trailer_first,
    [TRAILER_LINE] = on_trailer_line,
    [TRAILER_END] = on_trailer_end,
};

/* Up to `left` bytes of data. */
static struct span take_data(struct body_reader *body, struct span *input)
{
    size_t len = input->len < body->left ? input->len : (size_t)body->left;
    struct span data = span_of(input->p, len);

    *input = span_range(input->p + len, span_end(*input));
    body->left -= len;
    body->total += len;
    return data;
}

static struct span next_chunked(struct body_reader *body, struct span *input)
{
    while (input->len > 0 && body->state != DATA) {
        char c = *input->p++;
        input->len--;
        body->overhead++;
        if (body->state < DATA && ++body->line > CHUNK_LINE_MAX)
            body->error = HTTP_CHUNK;
        else
            body->error = on_byte[body->state](body, c);
        if (body->error != HTTP_OK || body->ended)
            return (struct span){ NULL, 0 };
    }
    if (input->len == 0)
        return (struct span){ NULL, 0 };
    struct span data = take_data(body, input);
    if (body->left == 0)
        body->state = DATA_CR;
    return data;
}

struct span body_next(struct body_reader *body, struct span *input)
{
    struct span data;

    if (body->ended || body->error != HTTP_OK || input->len == 0)
        return (struct span){ NULL, 0 };
    if (body->kind == BODY_CHUNKED)
        return next_chunked(body, input);
    if (body->kind == BODY_CLOSE) {
        data = *input;
        *input = span_of(span_end(data), 0);
        body->total += data.len;
        return data;
    }
    data = take_data(body, input);
    body->ended = body->left == 0;
    return data;
}

bool body_at_close(struct body_reader *body)
{
    if (body->kind == BODY_CLOSE)
        body->ended = true;
    return body->ended && body->error == HTTP_OK;
}

enum http_error body_trailers(const struct body_reader *body, struct fields *trailers)
{
    INVARIANT(body->ended);
    *trailers = (struct fields){ 0 };
    if (body->trailer == NULL)
        return HTTP_OK;
    struct span section = text_span(body->trailer);
    enum http_error error = section_parse(trailers, section, TRAILER_FIELDS_MAX, body->arena);
    if (error != HTTP_OK)
        return error == HTTP_MEMORY ? error : HTTP_TRAILER;
    for (unsigned i = 0; i < trailers->count; i++)
        if (!field_may_trail(&trailers->items[i]))
            return HTTP_TRAILER;
    return HTTP_OK;
}
