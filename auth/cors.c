/*
 * Cross-origin requests (Fetch standard, section 3.2): which origins may read answers. Browsers
 * hold to it; the gateway refuses nothing by it. Preflights are answered here, before anybody
 * asks for a password, which they never carry.
 *
 * What the application says of its own about sharing is replaced, so that there is one policy.
 */
#include "auth/cors.h"

#include "conf/schema.h"
#include "gateway/chain/edit.h"
#include "gateway/chain/reply.h"
#include "gateway/chain/txn.h"
#include "gateway/http/chars.h"

enum { ORIGINS_MAX = 64, WORDS_MAX = 64, JOINED_BYTES = 128, AGE_BYTES = 24 };

struct cors_conf {
    struct texts origins, methods, headers, expose;
    bool credentials;
    struct duration max_age;
    bool any; /* "*" */
    struct span joined_methods, joined_headers, joined_expose, age;
};

static const struct option cors_options[] = {
    OPTION(struct cors_conf, origins, OPT_TEXTS, .flags = OPTION_SHORTHAND, .max = ORIGINS_MAX,
           .example = "[https://app.example, \"https://*.app.example\"]",
           .help = "Who may read answers: scheme://host, with port if it is not the usual one; "
                   "* for one label or more at the front of the host; \"*\" alone: everybody."),
    OPTION(struct cors_conf, methods, OPT_TEXTS, .max = WORDS_MAX,
           .fallback = "GET, HEAD, POST, PUT, PATCH, DELETE",
           .help = "Methods that may be used."),
    OPTION(struct cors_conf, headers, OPT_TEXTS, .max = WORDS_MAX,
           .fallback = "Authorization, Content-Type", .help = "Fields that may be sent."),
    OPTION(struct cors_conf, expose, OPT_TEXTS, .max = WORDS_MAX,
           .help = "Fields of answers that may be read, beside the usual ones."),
    OPTION(struct cors_conf, credentials, OPT_BOOL, .fallback = "false",
           .help = "Whether cookies and passwords may go along."),
    OPTION(struct cors_conf, max_age, OPT_DURATION, .fallback = "10m", .max = 86400000,
           .help = "How long browsers remember the answer to a preflight."),
    OPTIONS_END,
};

/* ---- at load ---- */

static bool join(struct span *out, const struct texts *words, struct setup *setup)
{
    struct text text = text_growing(setup->arena, JOINED_BYTES);

    for (size_t i = 0; i < words->count; i++) {
        if (!span_all(words->items[i], CHAR_TOKEN)) {
            complain(setup->complaint, SEVERITY_ERROR, "\"%.*s\" is no method or field name",
                     (int)words->items[i].len, words->items[i].p);
            return false;
        }
        if (i > 0)
            text_lit(&text, ", ");
        text_add(&text, words->items[i]);
    }
    *out = text_span(&text);
    return !text.overflow;
}

/* `scheme://host`, with one star at the front of the host at most. */
static bool origin_valid(struct span origin)
{
    ssize_t at = span_find(origin, SPAN("://"));
    if (at <= 0)
        return false;
    struct span host = span_sub(origin, (size_t)at + 3, origin.len);
    if (span_starts(host, SPAN("*.")))
        host = span_sub(host, 2, host.len);
    return host.len > 0 && span_index(host, '*') < 0 && span_index(host, '/') < 0 &&
           scan_word(host.p, span_end(host)) == span_end(host);
}

static enum err open_cors(void *base, struct setup *setup)
{
    struct cors_conf *conf = base;

    for (size_t i = 0; i < conf->origins.count; i++) {
        struct span origin = conf->origins.items[i];
        if (span_equal(origin, SPAN("*"))) {
            conf->any = true;
        } else if (!origin_valid(origin)) {
            complain(setup->complaint, SEVERITY_ERROR,
                     "\"%.*s\" is no origin: https://app.example", (int)origin.len, origin.p);
            return ERR_CONFIG;
        }
    }
    if (conf->any && conf->credentials) {
        complain(setup->complaint, SEVERITY_ERROR,
                 "with credentials the origins are named: any site could act for its visitors");
        return ERR_CONFIG;
    }
    struct text age = text_growing(setup->arena, AGE_BYTES);
    text_uint(&age, (uint64_t)conf->max_age.ms / 1000);
    conf->age = text_span(&age);
    bool good = join(&conf->joined_methods, &conf->methods, setup) &&
                join(&conf->joined_headers, &conf->headers, setup) &&
                join(&conf->joined_expose, &conf->expose, setup);
    return good && !age.overflow ? OK : ERR_CONFIG;
}

static bool cors_idle(const void *base)
{
    const struct cors_conf *conf = base;
    return conf->origins.count == 0;
}

/* ---- on the request path ---- */

/* A star at the front of the host stands for one label or more. */
static bool origin_matches(struct span pattern, struct span origin)
{
    ssize_t star = span_find(pattern, SPAN("://*."));
    if (star < 0)
        return span_equal_nocase(pattern, origin);
    struct span scheme = span_sub(pattern, 0, (size_t)star + 3);
    struct span suffix = span_sub(pattern, (size_t)star + 4, pattern.len);
    return origin.len > scheme.len + suffix.len && span_starts_nocase(origin, scheme) &&
           origin.p[scheme.len] != '.' &&
           span_equal_nocase(span_sub(origin, origin.len - suffix.len, suffix.len), suffix);
}

static bool is_allowed(const struct cors_conf *conf, struct span origin)
{
    for (size_t i = 0; i < conf->origins.count; i++) {
        if (origin_matches(conf->origins.items[i], origin))
            return true;
    }
    return conf->any;
}

static struct span told_origin(const struct cors_conf *conf, struct span origin)
{
    return conf->any ? SPAN("*") : origin;
}

static struct verdict preflight(struct call *c)
{
    const struct cors_conf *conf = c->conf;
    struct span origin = fields_value(&c->req->fields, FIELD_ORIGIN);

    if (c->req->method_id != METHOD_OPTIONS || origin.len == 0 ||
        fields_find(&c->req->fields, SPAN("Access-Control-Request-Method")) == NULL)
        return pass();
    struct reply *reply = reply_new(c->txn, 204);
    if (reply == NULL)
        return fail(REASON_MEMORY);
    bool good = true;
    if (is_allowed(conf, origin)) { /* else nothing is said, and the browser asks no further */
        good = reply_field(reply, SPAN("Access-Control-Allow-Methods"), conf->joined_methods) &&
               reply_field(reply, SPAN("Access-Control-Allow-Headers"), conf->joined_headers) &&
               reply_field(reply, SPAN("Access-Control-Max-Age"), conf->age);
    }
    return good ? answer(REASON_CORS, reply) : fail(REASON_MEMORY);
}

static struct verdict respond(struct call *c)
{
    static const struct span ours[] = {
        SPAN_INIT("Access-Control-Allow-Origin"),
        SPAN_INIT("Access-Control-Allow-Credentials"),
        SPAN_INIT("Access-Control-Expose-Headers"),
    };
    const struct cors_conf *conf = c->conf;
    struct txn *txn = c->txn;
    struct span origin =
        c->req != NULL ? fields_value(&c->req->fields, FIELD_ORIGIN) : span_of(NULL, 0);
    bool good = true;

    for (size_t i = 0; i < ARRAY_LEN(ours); i++)
        good &= edit_field(txn, EDIT_RESPONSE, EDIT_DROP, ours[i], SPAN(""));
    if (!conf->any) /* a cache must not give one origin's answer to another */
        good &= edit_field(txn, EDIT_RESPONSE, EDIT_ADD, SPAN("Vary"), SPAN("Origin"));
    if (origin.len > 0 && is_allowed(conf, origin)) {
        good &= edit_field(txn, EDIT_RESPONSE, EDIT_SET, ours[0], told_origin(conf, origin));
        if (conf->credentials)
            good &= edit_field(txn, EDIT_RESPONSE, EDIT_SET, ours[1], SPAN("true"));
        if (conf->joined_expose.len > 0)
            good &= edit_field(txn, EDIT_RESPONSE, EDIT_SET, ours[2], conf->joined_expose);
    }
    return good ? pass() : fail(REASON_MEMORY);
}

const struct stage_type cors_stage = {
    .name = "cors",
    .summary = "Tells browsers which other origins may read answers, and answers preflights.",
    .options = cors_options,
    .conf_size = sizeof(struct cors_conf),
    .open = open_cors,
    .idle = cors_idle,
    .on = { [PHASE_REQUEST_HEAD] = preflight, [PHASE_RESPONSE_HEAD] = respond },
};
