/*
 * What a request may look like, by measures that need no rule.
 *
 *     restrict: {methods: [GET, HEAD, POST], headers: 60, args: 255, body: 1MiB,
 *                content_types: [application/json]}
 *
 * All of it is off until it is set, and 0 switches a measure off again. `server.limits` bounds
 * what is read at all; these are for what one site or route needs. Names and values of
 * arguments are measured after decoding, as the application will see them. Arguments of a form
 * count together with those of the query, where the body is held for inspection.
 */
#include "rules/restrict.h"

#include "conf/schema.h"
#include "gateway/chain/reply.h"
#include "gateway/chain/txn.h"
#include "gateway/http/params.h"

enum {
    METHODS_MAX = 32,
    TYPES_MAX = 64,
    COUNT_MAX = 100000,
    ARGS_WHEN_UNSET = 100000, /* parsed at most to measure lengths */
};

struct restrict_conf {
    struct texts methods, content_types;
    int64_t headers, args;
    uint64_t arg_name, arg_length, uri, body;

    uint32_t known_methods; /* bit per enum method */
    struct span allow;      /* the Allow field */
};

static const struct option restrict_options[] = {
    OPTION(struct restrict_conf, methods, OPT_TEXTS, .max = METHODS_MAX,
           .help = "Methods that are served, in capitals; GET does not include HEAD. All when "
                   "empty.",
           .example = "[GET, HEAD, POST]"),
    OPTION(struct restrict_conf, headers, OPT_INT, .max = COUNT_MAX,
           .help = "Most fields in a request."),
    OPTION(struct restrict_conf, args, OPT_INT, .max = COUNT_MAX,
           .help = "Most arguments in query and form together."),
    OPTION(struct restrict_conf, arg_name, OPT_SIZE,
           .help = "Longest name of an argument, decoded."),
    OPTION(struct restrict_conf, arg_length, OPT_SIZE,
           .help = "Longest value of an argument, decoded."),
    OPTION(struct restrict_conf, uri, OPT_SIZE, .help = "Longest path and query together."),
    OPTION(struct restrict_conf, body, OPT_SIZE,
           .help = "Longest body by its Content-Length. One without, which is chunked, is "
                   "measured where arguments are measured too, and else bound by "
                   "server.limits.body."),
    OPTION(struct restrict_conf, content_types, OPT_TEXTS, .max = TYPES_MAX,
           .help = "Kinds of content that a body may be; all when empty. A body without a "
                   "Content-Type is refused then.",
           .example = "[application/json, image/*]"),
    OPTIONS_END,
};

/* ---- at load ------------------------------------------------------------------------------
 */

static bool token_without_lower(struct span name)
{
    for (size_t i = 0; i < name.len; i++) {
        char c = name.p[i];
        if ((c < 'A' || c > 'Z') && (c < '0' || c > '9') && c != '-' && c != '_')
            return false;
    }
    return name.len > 0 && name.len <= 32;
}

static bool prepare_methods(struct restrict_conf *conf, struct setup *setup)
{
    struct text allow = text_growing(setup->arena, 64);
    conf->known_methods = 0;
    for (size_t i = 0; i < conf->methods.count; i++) {
        struct span name = conf->methods.items[i];
        if (!token_without_lower(name)) {
            complain(setup->complaint, SEVERITY_ERROR,
                     "\"%.*s\" is no method; methods are written in capitals", (int)name.len,
                     name.p);
            return false;
        }
        conf->known_methods |= UINT32_C(1) << method_of(name);
        text_add(&allow, i > 0 ? SPAN(", ") : SPAN(""));
        text_add(&allow, name);
    }
    conf->known_methods &= ~(UINT32_C(1) << METHOD_OTHER); /* those are compared as text */
    conf->allow = text_span(&allow);
    if (allow.overflow)
        complain(setup->complaint, SEVERITY_ERROR, "out of memory");
    return !allow.overflow;
}

/* type/subtype or type/star, without parameters. */
static bool type_valid(struct span type)
{
    struct span rest = type, major;
    if (!span_cut(&rest, '/', &major) || major.len == 0 || rest.len == 0 || type.len > 128)
        return false;
    for (size_t i = 0; i < type.len; i++) {
        char c = type.p[i];
        if (c <= ' ' || c == 0x7f || c == ';' || c == ',' || c == '"')
            return false;
    }
    return span_index(rest, '/') < 0 && span_index(major, '*') < 0 &&
           (span_index(rest, '*') < 0 || rest.len == 1);
}

static enum err open_restrict(void *base, struct setup *setup)
{
    struct restrict_conf *conf = base;
    bool good = prepare_methods(conf, setup);
    for (size_t i = 0; i < conf->content_types.count; i++) {
        struct span type = conf->content_types.items[i];
        if (type_valid(type))
            continue;
        complain(setup->complaint, SEVERITY_ERROR,
                 "\"%.*s\" is no kind of content; write application/json or image/*",
                 (int)type.len, type.p);
        good = false;
    }
    return good ? OK : ERR_CONFIG;
}

static bool measures_args(const struct restrict_conf *conf)
{
    return conf->args > 0 || conf->arg_name > 0 || conf->arg_length > 0;
}

static bool restrict_wants_body(const void *base)
{
    return measures_args(base);
}

static bool restrict_idle(const void *base)
{
    const struct restrict_conf *conf = base;
    return conf->methods.count == 0 && conf->content_types.count == 0 && conf->headers == 0 &&
           conf->uri == 0 && conf->body == 0 && !measures_args(conf);
}

/* ---- on the request path ------------------------------------------------------------------
 */

static bool method_allowed(const struct restrict_conf *conf, const struct request *req)
{
    if (conf->methods.count == 0 || (conf->known_methods >> req->method_id & 1) != 0)
        return true;
    if (req->method_id != METHOD_OTHER)
        return false;
    for (size_t i = 0; i < conf->methods.count; i++)
        if (span_equal(conf->methods.items[i], req->method))
            return true;
    return false;
}

/* RFC 9110 section 15.5.6: a 405 carries Allow. */
static struct verdict refuse_method(struct call *c)
{
    const struct restrict_conf *conf = c->conf;
    struct reply *reply = reply_new(c->txn, 0);
    if (reply == NULL || !reply_field(reply, SPAN("Allow"), conf->allow))
        return deny(REASON_METHOD);
    return deny_with(REASON_METHOD, reply);
}

static bool type_matches(struct span pattern, struct span type)
{
    if (span_ends(pattern, SPAN("/*")))
        return span_starts_nocase(type, span_sub(pattern, 0, pattern.len - 1));
    return span_equal_nocase(pattern, type);
}

static struct span media_type(const struct request *req)
{
    struct span rest = fields_value(&req->fields, FIELD_CONTENT_TYPE), type = SPAN("");
    return span_cut(&rest, ';', &type) ? span_trim(type) : SPAN("");
}

static bool content_allowed(const struct restrict_conf *conf, const struct request *req)
{
    bool empty = req->body == BODY_NONE || (req->body == BODY_LENGTH && req->length == 0);
    if (conf->content_types.count == 0 || empty)
        return true;
    struct span type = media_type(req);
    for (size_t i = 0; i < conf->content_types.count; i++)
        if (type_matches(conf->content_types.items[i], type))
            return true;
    return false;
}

static bool params_within(const struct restrict_conf *conf, const struct params *params)
{
    for (unsigned i = 0; i < params->count; i++)
        if ((conf->arg_name > 0 && params->items[i].name.len > conf->arg_name) ||
            (conf->arg_length > 0 && params->items[i].value.len > conf->arg_length))
            return false;
    return true;
}

/* `before` arguments are counted already. */
static struct verdict measure_args(struct call *c, struct span text, unsigned before,
                                   unsigned *count)
{
    const struct restrict_conf *conf = c->conf;
    unsigned limit = conf->args > 0 ? (unsigned)conf->args : ARGS_WHEN_UNSET;
    struct params params;
    *count = 0;
    enum err err = params_parse(&params, text, limit - before, c->txn->arena);
    if (err == ERR_LIMIT)
        return deny(REASON_ARGUMENT_LIMIT);
    if (err != OK)
        return fail(REASON_MEMORY);
    *count = params.count;
    return params_within(conf, &params) ? pass() : deny(REASON_ARGUMENT_LIMIT);
}

static struct verdict restrict_head(struct call *c)
{
    const struct restrict_conf *conf = c->conf;
    const struct request *req = c->req;
    uint64_t uri = req->path_wire.len + (req->has_query ? 1 + req->query.len : 0);
    unsigned count;

    if (!method_allowed(conf, req))
        return refuse_method(c);
    if (conf->uri > 0 && uri > conf->uri)
        return deny(REASON_URI_LIMIT);
    if (conf->headers > 0 && req->fields.count > (uint64_t)conf->headers)
        return deny(REASON_HEADER_LIMIT);
    if (conf->body > 0 && req->body == BODY_LENGTH && req->length > conf->body)
        return deny(REASON_BODY_LIMIT);
    if (!content_allowed(conf, req))
        return deny(REASON_CONTENT_TYPE);
    return measures_args(conf) ? measure_args(c, req->query, 0, &count) : pass();
}

static struct verdict restrict_body(struct call *c)
{
    const struct restrict_conf *conf = c->conf;
    unsigned in_query, in_form;
    if (conf->body > 0 && c->body.len > conf->body)
        return deny(REASON_BODY_LIMIT);
    if (!span_equal_nocase(media_type(c->req), SPAN("application/x-www-form-urlencoded")))
        return pass();
    struct verdict verdict = measure_args(c, c->req->query, 0, &in_query);
    if (verdict.action != ACTION_PASS)
        return verdict; /* in detect mode the head's verdict did not end it */
    return measure_args(c, c->body, in_query, &in_form);
}

const struct stage_type restrict_stage = {
    .name = "restrict",
    .summary = "Limits methods, counts, lengths and kinds of content.",
    .options = restrict_options,
    .conf_size = sizeof(struct restrict_conf),
    .open = open_restrict,
    .idle = restrict_idle,
    .wants_body = restrict_wants_body,
    .on = { [PHASE_REQUEST_HEAD] = restrict_head, [PHASE_REQUEST_BODY] = restrict_body },
};
