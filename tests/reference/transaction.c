/* A transaction from parsed messages: line, fields, cookies, arguments and the answer. */
#include "tests/reference/transaction.h"

#include <stdio.h>

#include "gateway/base/text.h"
#include "tests/reference/parts.h"

void transaction_add(struct transaction *txn, enum variable var, struct span name,
                     struct span value)
{
    struct pairs *list = &txn->values[var];
    if (list->count == list->capacity) {
        unsigned capacity = list->capacity == 0 ? 8 : 2 * list->capacity;
        struct pair *items = must(arena_array(txn->arena, struct pair, capacity));
        if (list->count > 0)
            memcpy(items, list->items, list->count * sizeof(struct pair));
        list->items = items;
        list->capacity = capacity;
    }
    list->items[list->count++] = (struct pair){ name, value };
}

static void add_scalar(struct transaction *txn, enum variable var, struct span value)
{
    if (value.p != NULL)
        transaction_add(txn, var, SPAN(""), value);
}

struct span transaction_scalar(const struct transaction *txn, enum variable var)
{
    return txn->values[var].count > 0 ? txn->values[var].items[0].value : (struct span){ 0 };
}

struct span transaction_header(const struct transaction *txn, struct span name)
{
    const struct pairs *headers = &txn->values[VAR_REQUEST_HEADERS];
    for (unsigned i = 0; i < headers->count; i++) {
        if (span_equal_nocase(headers->items[i].name, name))
            return headers->items[i].value;
    }
    return (struct span){ 0 };
}

static void add_padded(struct transaction *txn, enum variable var, int number, int digits)
{
    char text[16];
    int len = snprintf(text, sizeof text, "%0*d", digits, number);
    add_scalar(txn, var, arena_copy(txn->arena, span_of(text, (size_t)len)));
}

static void add_times(struct transaction *txn)
{
    struct tm tm;
    localtime_r(&txn->now, &tm);
    add_padded(txn, VAR_TIME_YEAR, tm.tm_year + 1900, 4);
    add_padded(txn, VAR_TIME_MON, tm.tm_mon + 1, 2);
    add_padded(txn, VAR_TIME_DAY, tm.tm_mday, 2);
    add_padded(txn, VAR_TIME_HOUR, tm.tm_hour, 2);
    add_padded(txn, VAR_TIME_MIN, tm.tm_min, 2);
    add_padded(txn, VAR_TIME_SEC, tm.tm_sec, 2);
    add_padded(txn, VAR_TIME_WDAY, tm.tm_wday, 1);
    add_scalar(txn, VAR_TIME_EPOCH, number_text(txn->arena, txn->now));

    char text[32];
    size_t len = strftime(text, sizeof text, "%Y%m%d%H%M%S", &tm);
    add_scalar(txn, VAR_TIME, arena_copy(txn->arena, span_of(text, len)));
}

static void add_flags(struct transaction *txn)
{
    for (enum variable var = 0; var < VAR_COUNT; var++) {
        if (var == VAR_URLENCODED_ERROR || var == VAR_INBOUND_DATA_ERROR ||
            var == VAR_OUTBOUND_DATA_ERROR || var == VAR_REQBODY_ERROR ||
            var == VAR_REQBODY_PROCESSOR_ERROR || is_multipart_flag(var))
            add_scalar(txn, var, SPAN("0"));
    }
    add_scalar(txn, VAR_REQBODY_ERROR_MSG, SPAN(""));
    add_scalar(txn, VAR_REQBODY_PROCESSOR_ERROR_MSG, SPAN(""));
    add_scalar(txn, VAR_REQUEST_BODY_LENGTH, SPAN("0"));
    add_scalar(txn, VAR_DURATION, SPAN("0"));
}

void transaction_init(struct transaction *txn, struct arena *arena,
                      const struct transaction_peer *peer)
{
    *txn = (struct transaction){ .arena = arena, .now = peer->now };
    add_scalar(txn, VAR_REMOTE_ADDR, peer->client);
    add_scalar(txn, VAR_REMOTE_HOST, peer->client);
    add_scalar(txn, VAR_REMOTE_PORT, number_text(arena, peer->client_port));
    add_scalar(txn, VAR_SERVER_ADDR, peer->server);
    add_scalar(txn, VAR_SERVER_NAME, peer->server_name);
    add_scalar(txn, VAR_SERVER_PORT, number_text(arena, peer->server_port));
    add_scalar(txn, VAR_UNIQUE_ID, peer->unique_id);
    add_times(txn);
    add_flags(txn);
}

/* ---- the request's head ---------------------------------------------------------------------
 */

/* Path and query of the target as they came: what stands behind scheme and authority. */
static struct span origin_form(struct span target)
{
    ssize_t at = span_find(target, SPAN("://"));
    if (at < 0 || target.p[0] == '/')
        return target;
    for (size_t i = (size_t)at + 3; i < target.len; i++) {
        if (target.p[i] == '/' || target.p[i] == '?')
            return span_sub(target, i, target.len);
    }
    return SPAN("/");
}

/*
 * REQUEST_FILENAME and REQUEST_BASENAME are decoded once, as they are in both ModSecurities by
 * the time that attacks are looked for; REQUEST_URI is as it came.
 */
static void add_line(struct transaction *txn, const struct request *req)
{
    struct span protocol = req->protocol.p == NULL ? SPAN("HTTP/2.0") : req->protocol;
    struct span uri = origin_form(req->target), path = uri;
    ssize_t mark = span_index(uri, '?');
    if (mark >= 0)
        path.len = (size_t)mark;
    path = decode_escapes(txn->arena, path, false, NULL);
    size_t base = path.len;
    while (base > 0 && path.p[base - 1] != '/' && path.p[base - 1] != '\\')
        base--;

    struct span start = join(txn->arena, req->method, SPAN(" "), req->target);
    add_scalar(txn, VAR_REQUEST_LINE, join(txn->arena, start, SPAN(" "), protocol));
    add_scalar(txn, VAR_REQUEST_METHOD, req->method);
    add_scalar(txn, VAR_REQUEST_PROTOCOL, protocol);
    add_scalar(txn, VAR_REQUEST_URI_RAW, req->target);
    add_scalar(txn, VAR_REQUEST_URI, uri);
    add_scalar(txn, VAR_REQUEST_FILENAME, path);
    add_scalar(txn, VAR_REQUEST_BASENAME, span_sub(path, base, path.len));
    if (req->has_query)
        add_scalar(txn, VAR_QUERY_STRING, req->query);
}

/* Pieces between semicolons, cut at the first `=`; only white space before the name goes. */
static void add_cookies(struct transaction *txn, struct span line)
{
    struct span piece;
    while (span_cut(&line, ';', &piece)) {
        while (piece.len > 0 &&
               (piece.p[0] == ' ' || (piece.p[0] >= '\t' && piece.p[0] <= '\r')))
            piece = span_sub(piece, 1, piece.len);
        struct span value = piece, name;
        if (!span_cut(&value, '=', &name) || name.len == 0)
            continue;
        if (value.p == NULL)
            value = SPAN("");
        transaction_add(txn, VAR_REQUEST_COOKIES, name, value);
        transaction_add(txn, VAR_REQUEST_COOKIES_NAMES, name, name);
    }
}

void transaction_head(struct transaction *txn, const struct request *req)
{
    add_line(txn, req);
    for (unsigned i = 0; i < req->fields.count; i++) {
        const struct field *field = &req->fields.items[i];
        transaction_add(txn, VAR_REQUEST_HEADERS, field->name, field->value);
        transaction_add(txn, VAR_REQUEST_HEADERS_NAMES, field->name, field->name);
        if (span_equal_nocase(field->name, SPAN("cookie")))
            add_cookies(txn, field->value);
    }
    if (req->has_query)
        add_arguments(txn, VAR_ARGS_GET, req->query, '&');
    txn->has_body = req->body != BODY_NONE;
}

/* ---- the answer -----------------------------------------------------------------------------
 */

void transaction_answer(struct transaction *txn, const struct response *rsp)
{
    struct span status = number_text(txn->arena, rsp->status);
    struct span protocol = rsp->minor == 0 ? SPAN("HTTP/1.0") : SPAN("HTTP/1.1");
    struct span line = join(txn->arena, protocol, SPAN(" "), status);
    add_scalar(txn, VAR_STATUS_LINE, join(txn->arena, line, SPAN(" "), rsp->reason));
    add_scalar(txn, VAR_RESPONSE_STATUS, status);
    add_scalar(txn, VAR_STATUS, status);
    add_scalar(txn, VAR_RESPONSE_PROTOCOL, protocol);
    for (unsigned i = 0; i < rsp->fields.count; i++) {
        const struct field *field = &rsp->fields.items[i];
        transaction_add(txn, VAR_RESPONSE_HEADERS, field->name, field->value);
        transaction_add(txn, VAR_RESPONSE_HEADERS_NAMES, field->name, field->name);
        if (field->id == FIELD_CONTENT_TYPE)
            add_scalar(txn, VAR_RESPONSE_CONTENT_TYPE, field->value);
    }
    if (rsp->body == BODY_LENGTH)
        add_scalar(txn, VAR_RESPONSE_CONTENT_LENGTH,
                   number_text(txn->arena, (int64_t)rsp->length));
}

void transaction_answer_body(struct transaction *txn, struct span body)
{
    add_scalar(txn, VAR_RESPONSE_BODY, body.p == NULL ? SPAN("") : body);
}
