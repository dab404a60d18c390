/* A transaction's body: what each processor makes of it. */
#include "gateway/http/jsonscan.h"
#include "gateway/http/multipart.h"
#include "gateway/http/xmlscan.h"
#include "tests/reference/parts.h"

enum {
    ALL_AT_ONCE = 1 << 30,
    ARGUMENTS_MAX = 100000,
    DEPTH_MAX = 512,
    NAME_BYTES_MAX = 64 * 1024,
};

static void set_scalar(struct transaction *txn, enum variable var, struct span value)
{
    txn->values[var].count = 0;
    transaction_add(txn, var, SPAN(""), value);
}

static void fail(struct transaction *txn, struct span prefix, const char *why)
{
    struct span text = join(txn->arena, prefix, span_text(why), SPAN(""));
    set_scalar(txn, VAR_REQBODY_ERROR, SPAN("1"));
    set_scalar(txn, VAR_REQBODY_PROCESSOR_ERROR, SPAN("1"));
    set_scalar(txn, VAR_REQBODY_ERROR_MSG, text);
    set_scalar(txn, VAR_REQBODY_PROCESSOR_ERROR_MSG, text);
}

/* ---- arguments ------------------------------------------------------------------------------
 */

void add_argument(struct transaction *txn, enum variable var, struct span name,
                  struct span value)
{
    transaction_add(txn, var, name, value);
    transaction_add(txn, var == VAR_ARGS_GET ? VAR_ARGS_GET_NAMES : VAR_ARGS_POST_NAMES, name,
                    name);
    transaction_add(txn, VAR_ARGS, name, value);
    transaction_add(txn, VAR_ARGS_NAMES, name, name);
}

struct span decode_escapes(struct arena *arena, struct span text, bool plus, bool *malformed)
{
    char *out = must(arena_alloc(arena, text.len + 1));
    size_t len = 0;
    for (size_t i = 0; i < text.len; i++) {
        int high = i + 1 < text.len ? hex_value(text.p[i + 1]) : -1;
        int low = i + 2 < text.len ? hex_value(text.p[i + 2]) : -1;
        if (text.p[i] == '%' && high >= 0 && low >= 0) {
            out[len++] = (char)(high << 4 | low);
            i += 2;
            continue;
        }
        if (text.p[i] == '%' && malformed != NULL)
            *malformed = true;
        out[len++] = plus && text.p[i] == '+' ? ' ' : text.p[i];
    }
    return span_of(out, len);
}

bool add_arguments(struct transaction *txn, enum variable var, struct span text, char separator)
{
    bool malformed = false;
    struct span piece;
    while (span_cut(&text, separator, &piece)) {
        struct span value = piece, name;
        if (piece.len == 0) /* `a&&b` has two arguments */
            continue;
        if (!span_cut(&value, '=', &name) || value.p == NULL)
            value = SPAN("");
        name = decode_escapes(txn->arena, name, true, &malformed);
        value = decode_escapes(txn->arena, value, true, &malformed);
        add_argument(txn, var, name, value);
    }
    return malformed;
}

/* ---- processors -----------------------------------------------------------------------------
 */

static void read_form(struct transaction *txn, struct span body,
                      const struct transaction_reading *reading)
{
    char separator = reading->separator == 0 ? '&' : reading->separator;
    transaction_add(txn, VAR_REQUEST_BODY, SPAN(""), body);
    if (add_arguments(txn, VAR_ARGS_POST, body, separator))
        set_scalar(txn, VAR_URLENCODED_ERROR, SPAN("1"));
}

static bool take_json(void *ctx, struct span name, struct span value, enum jsonscan_kind kind)
{
    if (kind != JSONSCAN_HOLLOW) {
        add_argument(ctx, VAR_ARGS_POST, name, value);
        return true;
    }
    transaction_add(ctx, VAR_ARGS_NAMES, name, name); /* a key over nothing has only its name */
    transaction_add(ctx, VAR_ARGS_POST_NAMES, name, name);
    return true;
}

static void read_json(struct transaction *txn, struct span body,
                      const struct transaction_reading *reading)
{
    const struct jsonscan_limits limits = {
        .depth = reading->json_depth == 0 ? DEPTH_MAX : reading->json_depth,
        .values = ARGUMENTS_MAX,
        .name_bytes = NAME_BYTES_MAX,
        .names = JSONSCAN_NAMES_V2,
    };
    struct jsonscan scan;
    jsonscan_begin(&scan, body, &limits, txn->arena, take_json, txn);
    while (!jsonscan_run(&scan, ALL_AT_ONCE)) {
    }
    INVARIANT(scan.err == OK);
    if (jsonscan_failed(&scan))
        fail(txn, SPAN("JSON parsing error: "), jsonscan_error(&scan));
}

static bool take_xml(void *ctx, struct span name, struct span value, enum xmlscan_kind kind)
{
    if (kind == XMLSCAN_TEXT)
        transaction_add(ctx, VAR_XML, SPAN(""), value);
    else if (kind == XMLSCAN_ATTRIBUTE)
        transaction_add(ctx, VAR_XML, name, value);
    return true;
}

static void read_xml(struct transaction *txn, struct span body)
{
    const struct xmlscan_limits limits = { .depth = DEPTH_MAX,
                                           .attributes = ARGUMENTS_MAX,
                                           .text_bytes = ALL_AT_ONCE };
    struct xmlscan scan;
    xmlscan_begin(&scan, body, &limits, txn->arena, take_xml, txn);
    while (!xmlscan_run(&scan, ALL_AT_ONCE)) {
    }
    INVARIANT(scan.err == OK);
    if (xmlscan_failed(&scan))
        fail(txn, SPAN("XML parsing error: "), xmlscan_error(&scan));
}

static void add_part(struct transaction *txn, const struct multipart_part *part)
{
    if (!part->named)
        return;
    for (unsigned i = 0; i < part->header_count; i++)
        transaction_add(txn, VAR_MULTIPART_PART_HEADERS, part->name, part->headers[i].line);
    if (!part->file) {
        add_argument(txn, VAR_ARGS_POST, part->name, part->content);
        return;
    }
    transaction_add(txn, VAR_FILES, part->name, part->filename);
    transaction_add(txn, VAR_FILES_NAMES, part->name, part->name);
    transaction_add(txn, VAR_FILES_SIZES, part->name,
                    number_text(txn->arena, (int64_t)part->content.len));
    transaction_add(txn, VAR_FILES_TMP_CONTENT, part->name, part->content);
    set_scalar(txn, VAR_MULTIPART_FILENAME, part->filename);
    set_scalar(txn, VAR_MULTIPART_NAME, part->name);
}

static void add_findings(struct transaction *txn, const struct multipart *m)
{
    for (unsigned i = 0; i < MULTIPART_FINDINGS; i++) {
        if (multipart_rows[i].variable == NULL || (m->findings & (1U << i)) == 0)
            continue;
        enum variable var = variable_find(span_text(multipart_rows[i].variable));
        if (var != VAR_COUNT && is_multipart_flag(var))
            set_scalar(txn, var, SPAN("1"));
    }
    if ((m->findings & MULTIPART_MISSING_SEMICOLON) != 0)
        set_scalar(txn, VAR_MULTIPART_SEMICOLON_MISSING, SPAN("1"));
    if (multipart_strict_error(m))
        set_scalar(txn, VAR_MULTIPART_STRICT_ERROR, SPAN("1"));
    if (multipart_error(m))
        fail(txn, SPAN("Multipart parsing error: "), m->error == NULL ? "" : m->error);
}

static void read_multipart(struct transaction *txn, struct span body)
{
    const struct multipart_limits limits = { ARGUMENTS_MAX, 100, 100, NAME_BYTES_MAX };
    struct span type = transaction_header(txn, SPAN("content-type"));
    struct multipart m;
    multipart_begin(&m, type.p == NULL ? SPAN("") : type, body, &limits, txn->arena);
    while (!multipart_run(&m, ALL_AT_ONCE)) {
    }
    INVARIANT(m.err == OK);
    for (unsigned i = 0; i < m.count; i++)
        add_part(txn, &m.parts[i]);
    add_findings(txn, &m);
}

/* ---- all of it ------------------------------------------------------------------------------
 */

/* `application/` or `text/`, a prefix of the subtype that ends in `+`, and the subtype. */
static bool media_is(struct span type, struct span subtype)
{
    struct span media = type;
    if (!span_cut(&media, ';', &type))
        return false;
    type = span_trim(type);
    ssize_t slash = span_index(type, '/');
    if (slash < 0)
        return false;
    struct span rest = span_sub(type, (size_t)slash + 1, type.len);
    if (span_equal_nocase(rest, subtype))
        return true;
    if (rest.len <= subtype.len || rest.p[rest.len - subtype.len - 1] != '+')
        return false;
    return span_equal_nocase(span_sub(rest, rest.len - subtype.len, subtype.len), subtype);
}

struct span transaction_processor(const struct transaction *txn)
{
    struct span type = transaction_header(txn, SPAN("content-type"));
    if (type.p == NULL || !txn->has_body)
        return SPAN("");
    if (span_starts_nocase(type, SPAN("application/x-www-form-urlencoded")))
        return SPAN("URLENCODED");
    if (span_starts_nocase(type, SPAN("multipart/form-data")))
        return SPAN("MULTIPART");
    if (media_is(type, SPAN("json")))
        return SPAN("JSON");
    if (media_is(type, SPAN("xml")))
        return SPAN("XML");
    return SPAN("");
}

void transaction_body(struct transaction *txn, struct span body,
                      const struct transaction_reading *reading)
{
    set_scalar(txn, VAR_REQUEST_BODY_LENGTH, number_text(txn->arena, (int64_t)body.len));
    if (body.p == NULL)
        body = SPAN("");
    if (span_equal_nocase(reading->processor, SPAN("URLENCODED")))
        read_form(txn, body, reading);
    else if (span_equal_nocase(reading->processor, SPAN("MULTIPART")))
        read_multipart(txn, body);
    else if (span_equal_nocase(reading->processor, SPAN("JSON")))
        read_json(txn, body, reading);
    else if (span_equal_nocase(reading->processor, SPAN("XML")))
        read_xml(txn, body);
    else if (reading->force_variable)
        transaction_add(txn, VAR_REQUEST_BODY, SPAN(""), body);
}
