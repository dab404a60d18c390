/* Request bodies: decoded, read by a processor or two, and told as values. */
#include "gateway/http/body.h"

#include "gateway/http/uri.h"

enum { VALUES_FIRST = 16, PAIR_BYTES = 32 /* of a slice: what reading any pair is like */ };
enum state { DECODING, TRANSCODING, READING, FINISHING, OVER };
enum class { REFUSE, FACT };
enum {
    JSON_LIMITS =
        JSONSCAN_OVER_DEPTH | JSONSCAN_OVER_COUNT | JSONSCAN_OVER_NAME | JSONSCAN_OVER_NUMBER,
    XML_LIMITS = XMLSCAN_OVER_DEPTH | XMLSCAN_OVER_ATTRIBUTES | XMLSCAN_OVER_TEXT,
};

static const struct {
    enum class class;
    const char *text;
} rows[BODY_FINDINGS] = {
#define FINDING(name, class, text) [BODY_FOUND_##name##_INDEX] = { class, text },
#include "gateway/http/body.def"
#undef FINDING
};

const char *body_refusal(const struct body *body)
{
    for (unsigned i = 0; i < BODY_FINDINGS; i++)
        if ((body->findings >> i & 1) != 0 && rows[i].class == REFUSE)
            return rows[i].text;
    return NULL;
}

bool body_refused(const struct body *body)
{
    return body_refusal(body) != NULL;
}

/* ---- values --------------------------------------------------------------------------------
 */

static bool no_memory(struct body *body)
{
    body->err = ERR_MEMORY;
    body->state = OVER;
    return false;
}

static bool tell(struct body *body, enum body_where where, struct span name, struct span value)
{
    if (body->count == body->capacity) {
        unsigned capacity = body->capacity == 0 ? VALUES_FIRST : body->capacity * 2;
        struct body_value *values =
            arena_alloc(body->arena, capacity * sizeof(struct body_value));
        if (values == NULL)
            return no_memory(body);
        if (body->count > 0)
            memcpy(values, body->values, body->count * sizeof(*values));
        body->values = values;
        body->capacity = capacity;
    }
    body->values[body->count++] =
        (struct body_value){ .name = name, .value = value, .where = where };
    return true;
}

static bool tell_json(void *ctx, struct span name, struct span value, enum jsonscan_kind kind)
{
    return tell(ctx, kind == JSONSCAN_HOLLOW ? WHERE_NAME : WHERE_ARGUMENT, name, value);
}

static bool tell_xml(void *ctx, struct span name, struct span value, enum xmlscan_kind kind)
{
    static const enum body_where wheres[] = {
        [XMLSCAN_TEXT] = WHERE_XML_TEXT,
        [XMLSCAN_ATTRIBUTE] = WHERE_XML_ATTRIBUTE,
        [XMLSCAN_NAMESPACE] = WHERE_XML_NAMESPACE,
    };
    return tell(ctx, wheres[kind], name, value);
}

/* A file without a name is a field to some readers (Go's mime/multipart). Browsers send an
 * empty one where no file was chosen. */
static bool may_be_field(const struct multipart_part *part)
{
    return part->file && part->filename.len == 0 && part->content.len > 0;
}

static bool tell_part(struct body *body, const struct multipart_part *part)
{
    enum body_where where = part->file ? WHERE_FILE : WHERE_ARGUMENT;

    for (unsigned i = 0; i < part->header_count; i++)
        if (!tell(body, WHERE_PART_HEADER, part->name, part->headers[i].line))
            return false;
    if (part->file && !tell(body, WHERE_FILE_NAME, part->name, part->filename))
        return false;
    if (part->extended.p != NULL && !tell(body, WHERE_FILE_NAME, part->name, part->extended))
        return false;
    if (may_be_field(part) && !tell(body, WHERE_ARGUMENT, part->name, part->content))
        return false;
    return tell(body, where, part->name, part->content) &&
           (part->decoded.p == NULL || tell(body, where, part->name, part->decoded));
}

/* ---- forms ---------------------------------------------------------------------------------
 */

static bool pair_read(struct body *body, struct span piece)
{
    ssize_t equals = span_index(piece, '=');
    size_t len = equals < 0 ? piece.len : (size_t)equals;
    struct span raw = equals < 0 ? SPAN("") : span_sub(piece, len + 1, piece.len);
    bool broken = false;

    if (body->arguments == body->limits.values) {
        body->findings |= body->guess ? 0 : BODY_FOUND_VALUES;
        body->guess_cut = body->guess;
        body->state = FINISHING;
        return false;
    }
    body->arguments++;
    struct span name = uri_decode_form(span_sub(piece, 0, len), &broken, body->arena);
    struct span value = uri_decode_form(raw, &broken, body->arena);
    if (!body->untyped && broken)
        body->findings |= BODY_FOUND_ESCAPES;
    if (name.p == NULL || value.p == NULL)
        return no_memory(body);
    return tell(body, WHERE_ARGUMENT, name, value);
}

/* False: there is none left. */
static bool next_pair(struct body *body, struct span *piece)
{
    if (!body->untyped)
        return span_cut(&body->rest, '&', piece);
    if (body->rest.p == NULL)
        return false;
    const char *from = body->rest.p, *p = from, *end = span_end(body->rest);
    while (p < end && *p != '&' && *p != '\0')
        p++;
    *piece = span_range(from, p);
    body->rest = p < end ? span_range(p + 1, end) : span_of(NULL, 0);
    return true;
}

/* True when all is read. */
static bool form_run(struct body *body, size_t bytes)
{
    size_t left = bytes;
    struct span piece;

    while (left > 0) {
        if (!next_pair(body, &piece))
            return true;
        /* `a&&b` has two pairs to everybody but mod_security2, which counts three. */
        if ((piece.len > 0 || (!body->automatic && body->rest.p != NULL)) &&
            !pair_read(body, piece))
            return true;
        size_t cost = piece.len + PAIR_BYTES;
        left -= cost < left ? cost : left;
    }
    return false;
}

/* ---- processors ----------------------------------------------------------------------------
 */

static void processor_begin(struct body *body)
{
    struct jsonscan_limits json = body->limits.json;
    struct xmlscan_limits xml = body->limits.xml;

    switch (body->processor) {
    case PROCESSOR_URLENCODED:
        body->rest = body->text;
        break;
    case PROCESSOR_MULTIPART:
        multipart_begin(&body->multipart, body->type, body->text, &body->limits.multipart,
                        body->arena);
        break;
    case PROCESSOR_JSON:
        jsonscan_begin(&body->json, body->text, &json, body->arena, tell_json, body);
        break;
    case PROCESSOR_XML:
        xml.utf8 = body->transcode.out != NULL;
        xmlscan_begin(&body->xml, body->text, &xml, body->arena, tell_xml, body);
        break;
    case PROCESSOR_AUTO:
    case PROCESSOR_UNTYPED:
    case PROCESSOR_NONE:
        break;
    }
    body->state = READING;
}

/* True when the processor is done with the body. */
static bool processor_run(struct body *body, size_t bytes)
{
    switch (body->processor) {
    case PROCESSOR_URLENCODED:
        return form_run(body, bytes);
    case PROCESSOR_MULTIPART:
        return multipart_run(&body->multipart, bytes);
    case PROCESSOR_JSON:
        return jsonscan_run(&body->json, bytes);
    case PROCESSOR_XML:
        return xmlscan_run(&body->xml, bytes);
    case PROCESSOR_AUTO:
    case PROCESSOR_UNTYPED:
    case PROCESSOR_NONE:
        break;
    }
    return true;
}

static void unparsed(struct body *body, const char *prefix, const char *error)
{
    body->findings |= BODY_FOUND_UNPARSED;
    body->error_prefix = prefix;
    body->error = error;
}

static void multipart_end(struct body *body)
{
    const struct multipart *m = &body->multipart;

    if (m->err != OK) {
        no_memory(body);
        return;
    }
    if (multipart_error(m))
        unparsed(body, "Multipart parsing error: ", m->error);
    if (multipart_refused(m))
        body->findings |= BODY_FOUND_AMBIGUOUS;
    if ((m->findings & (MULTIPART_OVER_LIMIT | MULTIPART_FILE_LIMIT_EXCEEDED)) != 0)
        body->findings |= BODY_FOUND_VALUES;
    for (unsigned i = 0; i < m->count; i++)
        if (!tell_part(body, &m->parts[i]))
            return;
}

static void json_end(struct body *body)
{
    unsigned findings = body->json.findings;

    if (body->json.err != OK) {
        no_memory(body);
        return;
    }
    body->guess_cut = body->guess && (findings & JSON_LIMITS) != 0;
    if (body->guess)
        return;
    if (jsonscan_failed(&body->json))
        unparsed(body, "JSON parsing error: ", jsonscan_error(&body->json));
    if ((findings & JSONSCAN_OVER_COUNT) != 0)
        body->findings |= BODY_FOUND_VALUES;
    if ((findings & ~(unsigned)JSONSCAN_FATAL) != 0)
        body->findings |= BODY_FOUND_AMBIGUOUS;
}

static void xml_end(struct body *body)
{
    if (body->xml.err != OK) {
        no_memory(body);
        return;
    }
    body->guess_cut = body->guess && (body->xml.findings & XML_LIMITS) != 0;
    if (body->guess || !xmlscan_failed(&body->xml))
        return;
    unparsed(body, "XML parsing error: ", xmlscan_error(&body->xml));
    if ((body->xml.findings & XMLSCAN_OVER_ATTRIBUTES) != 0)
        body->findings |= BODY_FOUND_VALUES;
}

static void processor_end(struct body *body)
{
    switch (body->processor) {
    case PROCESSOR_MULTIPART:
        multipart_end(body);
        break;
    case PROCESSOR_JSON:
        json_end(body);
        break;
    case PROCESSOR_XML:
        xml_end(body);
        break;
    case PROCESSOR_URLENCODED:
    case PROCESSOR_AUTO:
    case PROCESSOR_UNTYPED:
    case PROCESSOR_NONE:
        break;
    }
    if (body->state != OVER)
        body->state = FINISHING;
}

/* ---- which processor -----------------------------------------------------------------------
 */

static enum body_processor processor_of(enum content_kind kind)
{
    static const enum body_processor processors[CONTENT_KINDS] = {
        [CONTENT_EMPTY] = PROCESSOR_NONE,
        [CONTENT_FORM] = PROCESSOR_URLENCODED,
        [CONTENT_MULTIPART] = PROCESSOR_MULTIPART,
        [CONTENT_JSON] = PROCESSOR_JSON,
        [CONTENT_XML] = PROCESSOR_XML,
        [CONTENT_TEXT] = PROCESSOR_NONE,
        [CONTENT_BINARY] = PROCESSOR_NONE,
    };
    return processors[kind];
}

static bool is_structured(enum content_kind kind)
{
    return kind == CONTENT_JSON || kind == CONTENT_XML;
}

/* Once the text is there. */
static void choose(struct body *body)
{
    body->seen = content_sniff(body->text);
    if (body->seen != body->declared && body->declared != CONTENT_EMPTY &&
        (is_structured(body->seen) || body->seen == CONTENT_MULTIPART))
        body->findings |= BODY_FOUND_MISLABELLED;
    if (body->text.len == 0) {
        body->processor = PROCESSOR_NONE;
        body->state = OVER;
        return;
    }
    if (body->untyped) {
        body->processor = PROCESSOR_URLENCODED;
    } else if (body->automatic) {
        body->processor = processor_of(body->declared);
        /* Other kinds of multipart have parts that are not fields. */
        if (body->processor == PROCESSOR_MULTIPART &&
            !span_starts_nocase(body->type, SPAN("multipart/form-data")))
            body->processor = PROCESSOR_NONE;
        if (body->processor == PROCESSOR_NONE && body->declared != CONTENT_MULTIPART) {
            body->guess = true;
            body->processor = processor_of(body->seen);
            if (body->processor == PROCESSOR_MULTIPART) /* to which the boundary is not told */
                body->processor = PROCESSOR_NONE;
        }
    }
    processor_begin(body);
}

/* When a processor is done: another reading, or the bytes as they are, or the end. */
static void finish(struct body *body)
{
    bool shown = body->processor != PROCESSOR_NONE && !body->guess &&
                 (body->findings & (BODY_FOUND_UNPARSED | BODY_FOUND_VALUES)) == 0;
    bool again = body->processor == PROCESSOR_URLENCODED && is_structured(body->seen);

    body->state = OVER;
    if (!body->automatic || body->raw_told || (shown && !again))
        return;
    body->raw_told = true;
    if (!tell(body, WHERE_RAW, SPAN(""), body->text) || !again || body->guess)
        return;
    /* Frameworks that look at the content and not at its label would read it so, and cutting
     * it at `&` and `=` has taken an attack apart. */
    body->guess = true;
    body->processor = processor_of(body->seen);
    processor_begin(body);
}

/* ---- decoding ------------------------------------------------------------------------------
 */

static bool is_wide(enum charset charset)
{
    return charset >= CHARSET_UTF16LE && charset <= CHARSET_UTF32;
}

static void decoded(struct body *body)
{
    static const unsigned findings[] = {
        [DECODE_OK] = 0,
        [DECODE_UNKNOWN] = BODY_FOUND_CODING,
        [DECODE_MALFORMED] = BODY_FOUND_CODED,
        [DECODE_TRUNCATED] = BODY_FOUND_CODED,
        [DECODE_TRAILING] = BODY_FOUND_CODED,
        [DECODE_OVER_BYTES] = BODY_FOUND_BOMB,
        [DECODE_OVER_RATIO] = BODY_FOUND_BOMB,
        [DECODE_MEMORY] = 0,
    };
    size_t mark;

    body->findings |= findings[body->coding_error];
    if (body->coding_error == DECODE_MEMORY) {
        no_memory(body);
        return;
    }
    if (body->coding_error != DECODE_OK) { /* there is no text to read */
        body->processor = PROCESSOR_NONE;
        body->state = FINISHING;
        return;
    }
    body->text = body->decode.output;
    body->charset = charset_of(body->type);
    if (body->charset == CHARSET_UNKNOWN || body->charset == CHARSET_AMBIGUOUS)
        body->findings |= BODY_FOUND_CHARSET;
    bool may_be_text = body->declared != CONTENT_MULTIPART && body->declared != CONTENT_BINARY;
    if (!is_wide(body->charset) && may_be_text && is_wide(charset_sniff(body->text, &mark)))
        body->charset = charset_sniff(body->text, &mark);
    if (!is_wide(body->charset) || !may_be_text) {
        choose(body);
        return;
    }
    transcode_begin(&body->transcode, body->charset, body->text, body->arena);
    body->state = TRANSCODING;
}

static void transcoded(struct body *body)
{
    if (body->transcode.err != OK) {
        no_memory(body);
        return;
    }
    if (body->transcode.lossy)
        body->findings |= BODY_FOUND_LOSSY;
    body->text = body->transcode.output;
    choose(body);
}

/* ---- entry points --------------------------------------------------------------------------
 */

struct body *body_open(const struct fields *fields, struct span held,
                       enum body_processor processor, const struct body_limits *limits,
                       struct arena *arena)
{
    struct body *body = arena_new(arena, struct body);
    struct codings codings;

    if (body == NULL)
        return NULL;
    body->text = held;
    body->processor = processor;
    body->untyped = processor == PROCESSOR_UNTYPED;
    body->automatic = processor == PROCESSOR_AUTO || body->untyped;
    body->limits = *limits;
    body->arena = arena;
    body->type = fields_value(fields, FIELD_CONTENT_TYPE);
    body->declared = content_declared(body->type);
    if (!limits->decoded)
        body->coding_error = codings_of(&codings, fields);
    if (limits->decoded || body->coding_error != DECODE_OK)
        codings.count = 0;
    decode_begin(&body->decode, &codings, held, &limits->decode, arena);
    body->state = DECODING;
    return body;
}

bool body_run(struct body *body, size_t bytes)
{
    while (body->state != OVER) {
        switch ((enum state)body->state) {
        case DECODING:
            if (!decode_run(&body->decode, bytes))
                return false;
            if (body->coding_error == DECODE_OK)
                body->coding_error = body->decode.error;
            decoded(body);
            break;
        case TRANSCODING:
            if (!transcode_run(&body->transcode, bytes))
                return false;
            transcoded(body);
            break;
        case READING:
            if (!processor_run(body, bytes))
                return false;
            if (body->state == READING)
                processor_end(body);
            break;
        case FINISHING:
            finish(body);
            break;
        case OVER:
            break;
        }
    }
    return true;
}
