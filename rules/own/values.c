/* Values that only rules of the configuration look at. */
#include "rules/own/values.h"

#include "gateway/http/params.h"
#include "rules/transform.h"

static const struct span no_key = { 0 };

static enum err add_cookies(struct sec_values *values, const struct request *req,
                            unsigned limit)
{
    struct params cookies = { .count = 0 };
    const struct field *line = fields_get(&req->fields, FIELD_COOKIE);
    for (; line != NULL; line = fields_next(&req->fields, line))
        TRY(cookies_parse(&cookies, line->value, limit, values->arena));
    for (unsigned i = 0; i < cookies.count; i++)
        TRY(sec_values_add(values, VAR_OWN_COOKIES, cookies.items[i].name,
                           cookies.items[i].value));
    return OK;
}

enum err own_values_head(struct sec_values *values, const struct sec_plan *plan,
                         const struct request *req, unsigned limit)
{
    if (plan_class_of(plan, VAR_OWN_PATH) != 0)
        TRY(sec_values_add(values, VAR_OWN_PATH, no_key, req->path));
    if (plan_class_of(plan, VAR_OWN_HOST) != 0)
        TRY(sec_values_add(values, VAR_OWN_HOST, no_key, req->host));
    return plan_class_of(plan, VAR_OWN_COOKIES) != 0 ? add_cookies(values, req, limit) : OK;
}

enum err own_values_trailers(struct sec_values *values, const struct request *req)
{
    for (unsigned i = 0; i < req->trailers.count; i++) {
        const struct field *field = &req->trailers.items[i];
        TRY(sec_values_add(values, VAR_REQUEST_HEADERS, field->name, field->value));
    }
    return OK;
}

/* ---- texts ----------------------------------------------------------------------------------
 */

static bool media_ends(struct span media, struct span suffix)
{
    return media.len >= suffix.len &&
           span_equal_nocase(span_sub(media, media.len - suffix.len, suffix.len), suffix);
}

static struct span media_type(const struct request *req)
{
    struct span type = fields_value(&req->fields, FIELD_CONTENT_TYPE), media;
    return span_cut(&type, ';', &media) ? span_trim(media) : SPAN("");
}

/* Whether a body of this type is text as a whole, or may hold binary data. No type: text. */
static bool media_is_text(struct span media)
{
    return media.len == 0 || span_starts_nocase(media, SPAN("text/")) ||
           media_ends(media, SPAN("json")) || media_ends(media, SPAN("xml")) ||
           media_ends(media, SPAN("urlencoded")) || media_ends(media, SPAN("script")) ||
           media_ends(media, SPAN("graphql")) || media_ends(media, SPAN("yaml"));
}

static enum err add_window(struct sec_values *values, struct span text, size_t offset,
                           bool first, bool last)
{
    if (text.len == 0)
        return OK;
    TRY(sec_values_add(values, VAR_OWN_BODY, no_key, text));
    const struct sec_list *list = &values->lists[VAR_OWN_BODY];
    struct sec_value *value = list->items[list->count - 1];
    value->offset = offset < UINT32_MAX ? (uint32_t)offset : UINT32_MAX;
    value->goes_back = !first;
    value->goes_on = !last;
    return OK;
}

/* `room`: where the text of a window of `mixed` data goes; made when it is needed. */
static enum err add_text(struct sec_values *values, struct span text, bool mixed, char **room)
{
    size_t offset = 0;
    bool last = text.len == 0;
    if (mixed && *room == NULL && !last)
        *room = arena_alloc(values->arena, OWN_WINDOW_BYTES);
    if (mixed && *room == NULL && !last)
        return ERR_MEMORY;
    while (!last) {
        struct span window = span_sub(text, offset, OWN_WINDOW_BYTES), shown = window;
        last = offset + window.len == text.len;
        if (mixed)
            shown = text_runs(window, *room);
        if (shown.p == *room)
            shown = arena_copy(values->arena, shown);
        if (shown.p == NULL)
            return ERR_MEMORY;
        TRY(add_window(values, shown, offset, offset == 0, last));
        offset += OWN_WINDOW_BYTES - OWN_WINDOW_OVERLAP;
    }
    return OK;
}

/* ---- the body -------------------------------------------------------------------------------
 */

static bool lies_in(struct span part, struct span whole)
{
    return part.len == 0 || (part.p >= whole.p && part.p < whole.p + whole.len);
}

static enum err add_argument(struct sec_values *values, const struct body_value *value)
{
    TRY(sec_values_add(values, VAR_OWN_ARGS, value->name, value->value));
    return sec_values_add(values, VAR_OWN_ARGS_NAMES, value->name, value->name);
}

/* Files, part headers and such stand in the body's text already, unless they were decoded. */
static enum err add_value(struct sec_values *values, const struct body *body,
                          const struct body_value *value, bool alone, char **room)
{
    switch (value->where) {
    case WHERE_ARGUMENT:
    case WHERE_FILE_NAME:
        return alone ? add_argument(values, value) : OK;
    case WHERE_XML_ATTRIBUTE: /* without its name among SecLang's */
        return add_argument(values, value);
    case WHERE_NAME:
        return alone ? sec_values_add(values, VAR_OWN_ARGS_NAMES, value->name, value->name)
                     : OK;
    case WHERE_FILE:
    case WHERE_PART_HEADER:
    case WHERE_XML_TEXT:
    case WHERE_XML_NAMESPACE:
        if (lies_in(value->value, body->text))
            return OK;
        return add_text(values, value->value, value->where == WHERE_FILE, room);
    case WHERE_RAW:
        break;
    }
    return OK;
}

static bool is_form(const struct request *req)
{
    return span_equal_nocase(media_type(req), SPAN("application/x-www-form-urlencoded"));
}

enum err own_values_body(struct sec_values *values, const struct request *req,
                         const struct body *body, bool alone)
{
    bool raw = !is_form(req) || (body->findings & BODY_FOUND_UNPARSED) != 0;
    char *room = NULL;

    for (unsigned i = 0; i < body->count; i++) {
        raw = raw || body->values[i].where == WHERE_RAW;
        TRY(add_value(values, body, &body->values[i], alone, &room));
    }
    return raw ? add_text(values, body->text, !media_is_text(media_type(req)), &room) : OK;
}
