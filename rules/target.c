/* Targets: their table, how rules name them, and how values are collected. */
#include "rules/target.h"

#include "gateway/http/params.h"

const struct target_row targets[TARGET_COUNT] = {
    [TARGET_METHOD] = { "method", NULL, "method", CLASS_INPUT, false, "The method." },
    [TARGET_HOST] = { "host", NULL, "host", CLASS_INPUT, false,
                      "The host asked for: lower case, without port." },
    [TARGET_PATH] = { "path", NULL, "path", CLASS_INPUT, false,
                      "The canonical path: decoded once, dot segments resolved." },
    [TARGET_QUERY] = { "query", NULL, "query", CLASS_INPUT, false,
                       "The query string as it came, without `?`." },
    [TARGET_ARGS] = { "args", "arg", "args", CLASS_INPUT, true,
                      "Values of arguments, decoded: of the query, of forms, multipart parts "
                      "and JSON, "
                      "file names, and attributes of XML." },
    [TARGET_ARG_NAMES] = { "arg_names", NULL, "arg_names", CLASS_INPUT, true,
                           "Names of arguments, decoded." },
    [TARGET_HEADERS] = { "headers", "header", "header", CLASS_FIELD, true,
                         "Values of all header and trailer fields." },
    [TARGET_USER_AGENT] = { "user_agent", NULL, "header", CLASS_FIELD, false,
                            "The User-Agent field." },
    [TARGET_REFERER] = { "referer", NULL, "header", CLASS_INPUT, false, "The Referer field." },
    [TARGET_COOKIES] = { "cookies", "cookie", "cookies", CLASS_INPUT, false,
                         "Values of cookies, not decoded." },
    [TARGET_BODY] = { "body", NULL, "body", CLASS_INPUT, true,
                      "The text of bodies that are no urlencoded forms, and what is decoded of "
                      "it: "
                      "text of XML, files in a transfer encoding." },
};

#define BIT(target) (UINT64_C(1) << (target))
#define PLAIN (BIT(TARGET_COUNT) - 1)

/* ---- how rules name them --------------------------------------------------------------------
 */

static bool same_name(enum target target, struct span a, struct span b)
{
    return target == TARGET_HEADERS ? span_equal_nocase(a, b) : span_equal(a, b);
}

static enum err add_named(struct selectors *selectors, enum target target, struct span name,
                          uint64_t *bits)
{
    if (name.len == 0 || name.len > TARGET_NAME_MAX)
        return ERR_SYNTAX;
    unsigned i = 0;
    while (i < selectors->count && (selectors->named[i].target != target ||
                                    !same_name(target, selectors->named[i].name, name)))
        i++;
    if (i == NAMED_MAX)
        return ERR_LIMIT;
    if (i == selectors->count) {
        selectors->named[i].target = target;
        selectors->named[i].name = name;
        selectors->count++;
    }
    *bits |= BIT(TARGET_COUNT + i);
    return OK;
}

enum err selectors_add(struct selectors *selectors, struct span text, uint64_t *bits)
{
    if (span_equal(text, SPAN("all"))) {
        *bits |= PLAIN;
        return OK;
    }
    struct span name = text, kind;
    bool named = span_index(text, ':') >= 0 && span_cut(&name, ':', &kind);
    for (unsigned i = 0; i < TARGET_COUNT; i++) {
        const struct target_row *row = &targets[i];
        if (!named && span_equal(text, span_text(row->name))) {
            *bits |= BIT(i);
            return OK;
        }
        if (named && row->named != NULL && span_equal(kind, span_text(row->named)))
            return add_named(selectors, (enum target)i, name, bits);
    }
    return ERR_UNKNOWN;
}

bool selectors_reach(const struct selectors *selectors, uint64_t bits, enum value_class class)
{
    for (unsigned i = 0; i < TARGET_COUNT; i++) {
        if ((bits & BIT(i)) != 0 && targets[i].class == class)
            return true;
    }
    /* The Referer field is a header, too, but of the other class. */
    uint64_t fields = BIT(TARGET_HEADERS);
    for (unsigned i = 0; i < selectors->count; i++) {
        uint64_t bit = BIT(TARGET_COUNT + i);
        if (selectors->named[i].target == TARGET_HEADERS)
            fields |= bit;
        if ((bits & bit) != 0 && targets[selectors->named[i].target].class == class)
            return true;
    }
    return class == targets[TARGET_REFERER].class && (bits & fields) != 0;
}

bool selectors_reach_body(const struct selectors *selectors, uint64_t bits)
{
    for (unsigned i = 0; i < TARGET_COUNT + selectors->count; i++) {
        enum target target =
            i < TARGET_COUNT ? (enum target)i : selectors->named[i - TARGET_COUNT].target;
        /* Trailers alone are no reason to hold a body back. */
        if ((bits & BIT(i)) != 0 && targets[target].body && target != TARGET_HEADERS)
            return true;
    }
    return false;
}

/* ---- how values are collected ---------------------------------------------------------------
 */

struct collector {
    struct values *values;
    const struct intake *intake;
};

/* `selects`: the plain selectors; the named ones for values of `named` are added here. */
static void collect(struct collector *c, struct value value, enum target named)
{
    if (value.text.len == 0)
        return;
    for (unsigned i = 0; i < c->intake->selectors->count; i++) {
        if (c->intake->selectors->named[i].target == named &&
            same_name(named, c->intake->selectors->named[i].name, value.name))
            value.selects |= BIT(TARGET_COUNT + i);
    }
    value.selects &= c->intake->wanted;
    if (value.selects != 0)
        c->values->items[c->values->count++] = value;
}

static void collect_plain(struct collector *c, enum target target, struct span text)
{
    if ((c->intake->wanted & BIT(target)) != 0 && text.len != 0)
        c->values->items[c->values->count++] =
            (struct value){ .text = text, .selects = BIT(target), .target = target };
}

static void collect_params(struct collector *c, const struct params *params, enum target target)
{
    for (unsigned i = 0; i < params->count; i++) {
        const struct param *param = &params->items[i];
        collect(c,
                (struct value){ .text = param->value,
                                .name = param->name,
                                .selects = BIT(target),
                                .target = target },
                target);
        if (target == TARGET_ARGS)
            collect_plain(c, TARGET_ARG_NAMES, param->name);
    }
}

static void collect_fields(struct collector *c, const struct fields *fields)
{
    for (unsigned i = 0; i < fields->count; i++) {
        const struct field *field = &fields->items[i];
        struct value value = { .text = field->value,
                               .name = field->name,
                               .selects = BIT(TARGET_HEADERS),
                               .target = TARGET_HEADERS };
        if (field->id == FIELD_USER_AGENT)
            value.target = TARGET_USER_AGENT;
        else if (field->id == FIELD_REFERER)
            value.target = TARGET_REFERER;
        value.selects |= BIT(value.target);
        collect(c, value, TARGET_HEADERS);
    }
}

static enum err parse_cookies(struct params *cookies, const struct request *req,
                              const struct intake *intake)
{
    const struct field *field = fields_get(&req->fields, FIELD_COOKIE);
    for (; field != NULL; field = fields_next(&req->fields, field))
        TRY(cookies_parse(cookies, field->value, intake->limit, intake->arena));
    return OK;
}

/* Bits of a plain target and of everything that selects one of its values by name. */
static uint64_t bits_of(const struct selectors *selectors, enum target target)
{
    uint64_t bits = BIT(target);
    for (unsigned i = 0; i < selectors->count; i++) {
        if (selectors->named[i].target == target)
            bits |= BIT(TARGET_COUNT + i);
    }
    return bits;
}

static enum err parse_args(struct params *args, struct span text, const struct intake *intake)
{
    uint64_t asked = bits_of(intake->selectors, TARGET_ARGS) | BIT(TARGET_ARG_NAMES);
    if (text.len == 0 || (intake->wanted & asked) == 0)
        return OK;
    return params_parse(args, text, intake->limit, intake->arena);
}

static enum err values_init(struct values *values, const struct intake *intake, size_t capacity)
{
    values->count = 0;
    values->items = arena_alloc(intake->arena, capacity * sizeof(*values->items));
    return values->items != NULL ? OK : ERR_MEMORY;
}

enum err values_of_head(struct values *values, const struct intake *intake,
                        const struct request *req)
{
    struct params args = { .count = 0 }, cookies = { .count = 0 };
    TRY(parse_args(&args, req->query, intake));
    if ((intake->wanted & bits_of(intake->selectors, TARGET_COOKIES)) != 0)
        TRY(parse_cookies(&cookies, req, intake));

    size_t plain = 4; /* method, host, path, query */
    TRY(values_init(values, intake,
                    plain + 2 * (size_t)args.count + cookies.count + req->fields.count));
    struct collector c = { values, intake };
    collect_plain(&c, TARGET_METHOD, req->method);
    collect_plain(&c, TARGET_HOST, req->host);
    collect_plain(&c, TARGET_PATH, req->path);
    collect_plain(&c, TARGET_QUERY, req->query);
    collect_params(&c, &args, TARGET_ARGS);
    collect_fields(&c, &req->fields);
    collect_params(&c, &cookies, TARGET_COOKIES);
    return OK;
}

static struct span media_type(const struct request *req)
{
    struct span type = fields_value(&req->fields, FIELD_CONTENT_TYPE), media;
    return span_cut(&type, ';', &media) ? span_trim(media) : SPAN("");
}

bool body_is_form(const struct request *req)
{
    return span_equal_nocase(media_type(req), SPAN("application/x-www-form-urlencoded"));
}

static bool media_ends(struct span media, struct span suffix)
{
    return media.len >= suffix.len &&
           span_equal_nocase(span_sub(media, media.len - suffix.len, suffix.len), suffix);
}

/* Whether a body of this type is text as a whole, or may hold binary data. No type: text. */
static bool media_is_text(struct span media)
{
    return media.len == 0 || span_starts_nocase(media, SPAN("text/")) ||
           media_ends(media, SPAN("json")) || media_ends(media, SPAN("xml")) ||
           media_ends(media, SPAN("urlencoded")) || media_ends(media, SPAN("script")) ||
           media_ends(media, SPAN("graphql")) || media_ends(media, SPAN("yaml"));
}

static bool lies_in(struct span part, struct span whole)
{
    return part.len == 0 || (part.p >= whole.p && part.p < whole.p + whole.len);
}

static void collect_argument(struct collector *c, const struct body_value *value)
{
    collect(c,
            (struct value){ .text = value->value,
                            .name = value->name,
                            .selects = BIT(TARGET_ARGS),
                            .target = TARGET_ARGS },
            TARGET_ARGS);
    collect_plain(c, TARGET_ARG_NAMES, value->name);
}

static void collect_text(struct collector *c, struct span text, bool mixed)
{
    collect(
        c,
        (struct value){
            .text = text, .selects = BIT(TARGET_BODY), .target = TARGET_BODY, .mixed = mixed },
        TARGET_BODY);
}

/* Files, part headers and such stand in the body's text already, unless they were decoded. */
static void collect_body_value(struct collector *c, const struct body *body,
                               const struct body_value *value)
{
    switch (value->where) {
    case WHERE_ARGUMENT:
    case WHERE_FILE_NAME:
    case WHERE_XML_ATTRIBUTE:
        collect_argument(c, value);
        break;
    case WHERE_NAME:
        collect_plain(c, TARGET_ARG_NAMES, value->name);
        break;
    case WHERE_FILE:
    case WHERE_PART_HEADER:
    case WHERE_XML_TEXT:
    case WHERE_XML_NAMESPACE:
        if (!lies_in(value->value, body->text))
            collect_text(c, value->value, value->where == WHERE_FILE);
        break;
    case WHERE_RAW:
        break;
    }
}

enum err values_of_body(struct values *values, const struct intake *intake,
                        const struct request *req, const struct body *body)
{
    bool raw = !body_is_form(req);

    TRY(values_init(values, intake, 1 + 2 * (size_t)body->count + req->trailers.count));
    struct collector c = { values, intake };
    for (unsigned i = 0; i < body->count; i++) {
        raw |= body->values[i].where == WHERE_RAW;
        collect_body_value(&c, body, &body->values[i]);
    }
    if (raw)
        collect_text(&c, body->text, !media_is_text(media_type(req)));
    collect_fields(&c, &req->trailers);
    return OK;
}
