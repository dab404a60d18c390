/* XML bodies, by expat. */
#include "gateway/http/xmlscan.h"

#include <expat.h>

#include "gateway/base/siphash.h"
#include "gateway/base/text.h"

/*
 * Bytes that expat is given at once, whatever the slice, so that nothing depends on slices. It
 * looks at an unfinished token from its start again with every block (CVE-2023-52425), so one
 * that spans more than the limit of text is refused while it is still short.
 */
enum { TEXT_FIRST = 1024, BLOCK_BYTES = 64 * 1024 };

static void stop(struct xmlscan *scan, unsigned findings)
{
    scan->findings |= findings;
    (void)XML_StopParser(scan->parser, XML_FALSE);
}

/* False: over the limit, and the parser is stopped. */
static bool count_bytes(struct xmlscan *scan, size_t len)
{
    if (len > scan->limits.text_bytes - scan->bytes) {
        stop(scan, XMLSCAN_OVER_TEXT);
        return false;
    }
    scan->bytes += len;
    return true;
}

static bool tell(struct xmlscan *scan, struct span name, struct span value,
                 enum xmlscan_kind kind)
{
    if (scan->fn(scan->ctx, name, value, kind))
        return true;
    stop(scan, XMLSCAN_STOPPED);
    return false;
}

/* ---- what expat tells ----------------------------------------------------------------------
 */

static bool attribute(struct xmlscan *scan, struct span name, struct span value)
{
    bool namespace = span_equal(name, SPAN("xmlns")) || span_starts(name, SPAN("xmlns:"));

    if (scan->attributes == scan->limits.attributes) {
        stop(scan, XMLSCAN_OVER_ATTRIBUTES);
        return false;
    }
    scan->attributes++;
    if (!count_bytes(scan, name.len + value.len))
        return false;
    struct span copy = arena_copy(scan->arena, value), own = arena_copy(scan->arena, name);
    if (copy.p == NULL || own.p == NULL) {
        scan->err = ERR_MEMORY;
        stop(scan, 0);
        return false;
    }
    return tell(scan, own, copy, namespace ? XMLSCAN_NAMESPACE : XMLSCAN_ATTRIBUTE);
}

static void XMLCALL on_start(void *ctx, const XML_Char *name, const XML_Char **attributes)
{
    struct xmlscan *scan = ctx;

    (void)name;
    if (scan->depth == scan->limits.depth) {
        stop(scan, XMLSCAN_OVER_DEPTH);
        return;
    }
    scan->depth++;
    for (; attributes[0] != NULL; attributes += 2)
        if (!attribute(scan, span_text(attributes[0]), span_text(attributes[1])))
            return;
}

static void XMLCALL on_end(void *ctx, const XML_Char *name)
{
    struct xmlscan *scan = ctx;

    (void)name;
    scan->depth--;
}

static void XMLCALL on_text(void *ctx, const XML_Char *bytes, int len)
{
    struct xmlscan *scan = ctx;

    if (len <= 0 || !count_bytes(scan, (size_t)len))
        return;
    text_add(scan->text, span_of(bytes, (size_t)len));
    if (scan->text->overflow) {
        scan->err = ERR_MEMORY;
        stop(scan, 0);
    }
}

static void XMLCALL on_doctype(void *ctx, const XML_Char *name, const XML_Char *system,
                               const XML_Char *public, int internal)
{
    (void)name;
    (void)system;
    (void)public;
    (void)internal;
    stop(ctx, XMLSCAN_DTD);
}

/* Character sets that expat has not built in: none. */
static int XMLCALL on_encoding(void *ctx, const XML_Char *name, XML_Encoding *encoding)
{
    (void)ctx;
    (void)name;
    (void)encoding;
    return XML_STATUS_ERROR;
}

/* ---- running -------------------------------------------------------------------------------
 */

static void parser_free(void *parser)
{
    XML_ParserFree(parser);
}

static XML_Parser parser_new(struct xmlscan *scan)
{
    XML_Parser parser = XML_ParserCreate(scan->limits.utf8 ? "UTF-8" : NULL);
    unsigned long salt;

    if (parser == NULL)
        return NULL;
    if (!arena_defer(scan->arena, parser_free, parser)) {
        XML_ParserFree(parser);
        return NULL;
    }
    random_bytes(&salt, sizeof(salt));
    (void)XML_SetHashSalt(parser, salt != 0 ? salt : 1); /* 0: expat looks for one itself */
    XML_SetUserData(parser, scan);
    XML_SetElementHandler(parser, on_start, on_end);
    XML_SetCharacterDataHandler(parser, on_text);
    XML_SetStartDoctypeDeclHandler(parser, on_doctype);
    XML_SetUnknownEncodingHandler(parser, on_encoding, NULL);
    (void)XML_SetParamEntityParsing(parser, XML_PARAM_ENTITY_PARSING_NEVER);
    return parser;
}

void xmlscan_begin(struct xmlscan *scan, struct span text, const struct xmlscan_limits *limits,
                   struct arena *arena, xmlscan_fn *fn, void *ctx)
{
    *scan = (struct xmlscan){ .rest = text,
                              .limits = *limits,
                              .arena = arena,
                              .fn = fn,
                              .ctx = ctx,
                              .text = arena_new(arena, struct text) };
    scan->parser = parser_new(scan);
    if (scan->parser == NULL || scan->text == NULL) {
        scan->err = ERR_MEMORY;
        scan->done = true;
        return;
    }
    *scan->text = text_growing(arena, TEXT_FIRST);
}

static void finish(struct xmlscan *scan, enum XML_Status status)
{
    scan->done = true;
    if (status == XML_STATUS_ERROR && scan->err == OK) {
        enum XML_Error error = XML_GetErrorCode(scan->parser);
        if (error == XML_ERROR_NO_MEMORY)
            scan->err = ERR_MEMORY;
        else if (error == XML_ERROR_UNDEFINED_ENTITY)
            scan->findings |= XMLSCAN_ENTITY | XMLSCAN_MALFORMED;
        else if (error != XML_ERROR_ABORTED)
            scan->findings |= XMLSCAN_MALFORMED;
    }
    if (scan->err == OK && (scan->findings & XMLSCAN_STOPPED) == 0 &&
        !scan->fn(scan->ctx, SPAN(""), text_span(scan->text), XMLSCAN_TEXT))
        scan->findings |= XMLSCAN_STOPPED;
}

/* Bytes of a token that expat holds back because its end has not come yet. */
static size_t pending(const struct xmlscan *scan)
{
    XML_Index index = XML_GetCurrentByteIndex(scan->parser);

    return index >= 0 && (size_t)index < scan->fed ? scan->fed - (size_t)index : 0;
}

bool xmlscan_run(struct xmlscan *scan, size_t bytes)
{
    size_t left = bytes;

    while (!scan->done && left > 0) {
        struct span block = span_sub(scan->rest, 0, BLOCK_BYTES);
        bool last = block.len == scan->rest.len;
        enum XML_Status status = XML_Parse(scan->parser, block.p, (int)block.len, last);
        scan->fed += block.len;
        scan->rest = span_sub(scan->rest, block.len, scan->rest.len);
        left -= block.len < left ? block.len : left;
        if (status == XML_STATUS_OK && !last && pending(scan) > scan->limits.text_bytes) {
            scan->findings |= XMLSCAN_OVER_TEXT;
            last = true;
        }
        if (status != XML_STATUS_OK || last)
            finish(scan, status);
    }
    return scan->done;
}

bool xmlscan_failed(const struct xmlscan *scan)
{
    return scan->findings != 0;
}

const char *xmlscan_error(const struct xmlscan *scan)
{
    static const struct {
        unsigned finding;
        const char *text;
    } texts[] = {
        { XMLSCAN_DTD, "XML: a document type declaration is not accepted" },
        { XMLSCAN_ENTITY, "XML: an entity is not defined" },
        { XMLSCAN_OVER_DEPTH, "XML: elements are nested too deeply" },
        { XMLSCAN_OVER_ATTRIBUTES, "XML: too many attributes" },
        { XMLSCAN_OVER_TEXT, "XML: too much text" },
        { XMLSCAN_STOPPED, "XML: it was not read to its end" },
        { XMLSCAN_MALFORMED, "XML: Failed parsing document." },
    };

    for (size_t i = 0; i < ARRAY_LEN(texts); i++)
        if ((scan->findings & texts[i].finding) != 0)
            return texts[i].text;
    return NULL;
}
