/* The values of a transaction, by SecLang variable. */
#include "rules/values.h"

#include "gateway/http/cookie.h"
#include "gateway/http/uri.h"

void sec_values_init(struct sec_values *values, struct arena *arena)
{
    memset(values, 0, sizeof(*values));
    values->arena = arena;
}

/* ---- lists ----------------------------------------------------------------------------------
 */

enum { LIST_FIRST = 4, LIST_GROWS = 4 };

/* Under which further variables a value stands, and where its name does. */
static const struct shown {
    bool is;            /* any of that */
    enum variable also; /* VAR_COUNT: nowhere */
    enum variable names, names_also;
} shown_rows[VAR_COUNT] = {
    [VAR_ARGS_GET] = { true, VAR_ARGS, VAR_ARGS_NAMES, VAR_ARGS_GET_NAMES },
    [VAR_ARGS_POST] = { true, VAR_ARGS, VAR_ARGS_NAMES, VAR_ARGS_POST_NAMES },
    [VAR_REQUEST_COOKIES] = { true, VAR_COUNT, VAR_REQUEST_COOKIES_NAMES, VAR_COUNT },
    [VAR_REQUEST_HEADERS] = { true, VAR_COUNT, VAR_REQUEST_HEADERS_NAMES, VAR_COUNT },
    [VAR_RESPONSE_HEADERS] = { true, VAR_COUNT, VAR_RESPONSE_HEADERS_NAMES, VAR_COUNT },
};

static bool list_grow(struct sec_list *list, struct arena *arena)
{
    unsigned capacity = list->capacity == 0 ? LIST_FIRST : LIST_GROWS * list->capacity;
    struct sec_value **items = arena_alloc(arena, capacity * sizeof(struct sec_value *));
    if (items == NULL)
        return false;
    if (list->count > 0)
        memcpy(items, list->items, list->count * sizeof(struct sec_value *));
    list->items = items;
    list->capacity = capacity;
    return true;
}

static inline bool list_push(struct sec_list *list, struct arena *arena,
                             struct sec_value *value)
{
    if (__builtin_expect(list->count == list->capacity, 0) && !list_grow(list, arena))
        return false;
    list->items[list->count++] = value;
    return true;
}

static inline void value_is(struct sec_value *value, struct span key, struct span text)
{
    memset(value, 0, sizeof(*value));
    value->key = key;
    value->text = text;
}

/* A value, and where fields, cookies and arguments have names, the name behind it. */
enum err sec_values_add(struct sec_values *values, enum variable var, struct span key,
                        struct span text)
{
    const struct shown *shown = &shown_rows[var];
    struct sec_list *lists = values->lists;
    struct arena *arena = values->arena;
    unsigned count = shown->is ? 2 : 1;
    if (values->count >= SEC_VALUES_MAX)
        return ERR_LIMIT;
    struct sec_value *value = arena_alloc(arena, count * sizeof(*value));
    if (value == NULL)
        return ERR_MEMORY;
    value_is(value, key, text);
    values->count += count;
    bool good = list_push(&lists[var], arena, value);
    if (shown->is) {
        struct sec_value *name = value + 1;
        value_is(name, key, key);
        good = good && list_push(&lists[shown->names], arena, name);
        if (shown->also != VAR_COUNT) {
            values->args_size += key.len + text.len;
            good = good && list_push(&lists[shown->also], arena, value) &&
                   list_push(&lists[shown->names_also], arena, name);
        }
    }
    return good ? OK : ERR_MEMORY;
}

enum err sec_values_add_name(struct sec_values *values, struct span name)
{
    if (values->count >= SEC_VALUES_MAX)
        return ERR_LIMIT;
    struct sec_value *value = arena_alloc(values->arena, sizeof(*value));
    if (value == NULL)
        return ERR_MEMORY;
    value_is(value, name, name);
    values->count++;
    return list_push(&values->lists[VAR_ARGS_NAMES], values->arena, value) &&
                   list_push(&values->lists[VAR_ARGS_POST_NAMES], values->arena, value)
               ? OK
               : ERR_MEMORY;
}

/* ---- the head -------------------------------------------------------------------------------
 */

static enum err add_params(struct sec_values *values, enum variable var,
                           const struct params *params)
{
    for (unsigned i = 0; i < params->count; i++)
        TRY(sec_values_add(values, var, params->items[i].name, params->items[i].value));
    return OK;
}

static enum err add_cookies(struct sec_values *values, const struct request *req,
                            unsigned limit)
{
    struct params cookies = { .count = 0 };
    const struct field *line = fields_get(&req->fields, FIELD_COOKIE);
    for (; line != NULL; line = fields_next(&req->fields, line))
        TRY(cookies_split_v0(&cookies, line->value, limit, values->arena));
    return add_params(values, VAR_REQUEST_COOKIES, &cookies);
}

static struct span protocol_of(uint8_t minor)
{
    return minor == 0 ? SPAN("HTTP/1.0") : SPAN("HTTP/1.1");
}

/* Path and query as they came; of an absolute target, without scheme and authority. */
static struct span origin_of(struct span target)
{
    ssize_t colon = span_find(target, SPAN("://"));
    if (target.len == 0 || target.p[0] == '/' || colon < 0)
        return target;
    struct span rest = span_sub(target, (size_t)colon + 3, target.len);
    for (size_t i = 0; i < rest.len; i++) {
        if (rest.p[i] == '/' || rest.p[i] == '?')
            return span_sub(rest, i, rest.len);
    }
    return SPAN("/");
}

static struct span path_of(struct span uri)
{
    ssize_t query = span_index(uri, '?');
    return query < 0 ? uri : span_sub(uri, 0, (size_t)query);
}

static struct span basename_of(struct span path)
{
    for (size_t i = path.len; i > 0; i--) {
        if (path.p[i - 1] == '/' || path.p[i - 1] == '\\')
            return span_sub(path, i, path.len);
    }
    return path;
}

static struct span request_protocol(const struct request *req)
{
    if (req->http2)
        return SPAN("HTTP/2.0");
    return req->protocol.p != NULL ? req->protocol : protocol_of(req->minor);
}

/* The path is decoded once, as the reference engine shows it in the phase where rules look. */
static enum err add_line(struct sec_values *values, const struct request *req)
{
    struct span uri = origin_of(req->target);
    struct span path = uri_decode(path_of(uri), false, values->arena);
    struct span protocol = request_protocol(req), none = { 0 };
    struct text line = text_growing(values->arena, req->method.len + req->target.len + 16);
    text_add(&line, req->method);
    text_char(&line, ' ');
    text_add(&line, req->target);
    text_char(&line, ' ');
    text_add(&line, protocol);
    if (line.overflow || path.p == NULL)
        return ERR_MEMORY;
    TRY(sec_values_add(values, VAR_REQUEST_LINE, none, text_span(&line)));
    TRY(sec_values_add(values, VAR_REQUEST_METHOD, none, req->method));
    TRY(sec_values_add(values, VAR_REQUEST_PROTOCOL, none, protocol));
    TRY(sec_values_add(values, VAR_REQUEST_URI_RAW, none, req->target));
    TRY(sec_values_add(values, VAR_REQUEST_URI, none, uri));
    TRY(sec_values_add(values, VAR_REQUEST_FILENAME, none, path));
    TRY(sec_values_add(values, VAR_REQUEST_BASENAME, none, basename_of(path)));
    return req->has_query ? sec_values_add(values, VAR_QUERY_STRING, none, req->query) : OK;
}

enum err sec_values_head(struct sec_values *values, const struct request *req, unsigned limit)
{
    struct params query = { .count = 0 };
    TRY(add_line(values, req));
    for (unsigned i = 0; i < req->fields.count; i++) {
        const struct field *field = &req->fields.items[i];
        TRY(sec_values_add(values, VAR_REQUEST_HEADERS, field->name, field->value));
    }
    TRY(add_cookies(values, req, limit));
    if (req->has_query)
        TRY(params_parse(&query, req->query, limit, values->arena));
    return add_params(values, VAR_ARGS_GET, &query);
}

/* ---- the answer -----------------------------------------------------------------------------
 */

static struct span number_span(struct arena *arena, uint64_t number)
{
    struct text text = text_growing(arena, 24);
    text_uint(&text, number);
    return text.overflow ? (struct span){ 0 } : text_span(&text);
}

enum err sec_values_answer(struct sec_values *values, const struct response *rsp)
{
    struct span none = { 0 }, status = number_span(values->arena, (uint64_t)rsp->status);
    struct span protocol = protocol_of(rsp->minor);
    struct text line = text_growing(values->arena, rsp->reason.len + 16);
    text_add(&line, protocol);
    text_char(&line, ' ');
    text_add(&line, status);
    text_char(&line, ' ');
    text_add(&line, rsp->reason);
    if (status.p == NULL || line.overflow)
        return ERR_MEMORY;
    TRY(sec_values_add(values, VAR_STATUS_LINE, none, text_span(&line)));
    TRY(sec_values_add(values, VAR_RESPONSE_STATUS, none, status));
    TRY(sec_values_add(values, VAR_STATUS, none, status));
    TRY(sec_values_add(values, VAR_RESPONSE_PROTOCOL, none, protocol));
    for (unsigned i = 0; i < rsp->fields.count; i++) {
        const struct field *field = &rsp->fields.items[i];
        TRY(sec_values_add(values, VAR_RESPONSE_HEADERS, field->name, field->value));
    }
    if (fields_have(&rsp->fields, FIELD_CONTENT_TYPE))
        TRY(sec_values_add(values, VAR_RESPONSE_CONTENT_TYPE, none,
                           fields_value(&rsp->fields, FIELD_CONTENT_TYPE)));
    if (rsp->body != BODY_LENGTH)
        return OK;
    return sec_values_add(values, VAR_RESPONSE_CONTENT_LENGTH, none,
                          number_span(values->arena, rsp->length));
}

/* ---- computed on demand ---------------------------------------------------------------------
 */

static struct span address(struct arena *arena, const struct addr *addr)
{
    struct text text = text_growing(arena, 48);
    if (addr == NULL || addr->family == ADDR_NONE)
        return (struct span){ 0 };
    addr_write(&text, addr);
    return text.overflow ? (struct span){ 0 } : text_span(&text);
}

static struct span port(struct arena *arena, const struct addr *addr)
{
    return addr == NULL ? (struct span){ 0 } : number_span(arena, addr->port);
}

static struct span flag(bool set)
{
    return set ? SPAN("1") : SPAN("0");
}

static bool is_multipart_flag(enum variable var)
{
    return var >= VAR_MULTIPART_STRICT_ERROR && var <= VAR_MULTIPART_FILE_LIMIT_EXCEEDED;
}

/* p NULL: the variable has no value now. */
static struct span computed(struct sec_values *values, enum variable var)
{
    struct arena *arena = values->arena;
    const struct sec_body *body = &values->body;
    if (is_multipart_flag(var))
        return flag((body->multipart >> (var - VAR_MULTIPART_STRICT_ERROR) & 1) != 0);
    switch ((int)var) {
    case VAR_ARGS_COMBINED_SIZE:
        return number_span(arena, values->args_size);
    case VAR_FILES_COMBINED_SIZE:
        return number_span(arena, body->files_size);
    case VAR_REQUEST_BODY_LENGTH:
        return number_span(arena, body->length);
    case VAR_REQBODY_PROCESSOR:
        return body->processor.len > 0 ? body->processor : SPAN("");
    case VAR_REQBODY_ERROR:
    case VAR_REQBODY_PROCESSOR_ERROR:
        return flag(body->error.len > 0);
    case VAR_REQBODY_ERROR_MSG:
    case VAR_REQBODY_PROCESSOR_ERROR_MSG:
        return body->error.len > 0 ? body->error : SPAN("");
    case VAR_URLENCODED_ERROR:
        return flag(body->urlencoded_error);
    case VAR_INBOUND_DATA_ERROR:
        return flag(body->too_long);
    case VAR_OUTBOUND_DATA_ERROR:
        return flag(false);
    case VAR_REMOTE_ADDR:
    case VAR_REMOTE_HOST:
        return address(arena, values->peer.client);
    case VAR_REMOTE_PORT:
        return port(arena, values->peer.client);
    case VAR_SERVER_ADDR:
        return address(arena, values->peer.server);
    case VAR_SERVER_PORT:
        return port(arena, values->peer.server);
    case VAR_SERVER_NAME:
        return values->peer.server_name;
    case VAR_REMOTE_USER:
        return values->peer.user;
    case VAR_UNIQUE_ID:
        return values->peer.unique_id;
    default:
        return (struct span){ 0 };
    }
}

const struct sec_list *sec_values_list(struct sec_values *values, enum variable var)
{
    static const struct sec_list none = { .count = 0 };
    if (values->lists[var].count > 0)
        return &values->lists[var];
    if (var == VAR_REMOTE_ADDR && values->client != NULL)
        return values->client;
    struct span text = computed(values, var);
    if (text.p == NULL)
        return values->arena->exhausted ? NULL : &none;
    struct sec_list *list = arena_new(values->arena, struct sec_list);
    struct sec_value *value = arena_new(values->arena, struct sec_value);
    if (list == NULL || value == NULL)
        return NULL;
    value->text = text;
    if (!list_push(list, values->arena, value))
        return NULL;
    if (var == VAR_REMOTE_ADDR)
        values->client = list;
    return list;
}
