/*
 * Forward authentication: ask another server whether this request may pass.
 *
 *     forward_auth:
 *       url: http://127.0.0.1:9091/api/authz/forward-auth
 *       pass: [Remote-User, Remote-Groups]
 *       user: Remote-User
 *
 * The server is told of the request as upstream will receive it, in fields that are written
 * here alone (X-Forwarded-Method, -Proto, -Host, -Uri, -For), and sees the fields named in
 * `send`; never the body. A 2xx answer lets the request through, and lends it the fields named
 * in `pass`, in place of whatever the client called so. A 401, a 403 or a redirect goes back to
 * the client. Any other answer, one that is too late or too large, and one that has two values
 * where one is believed, means that the server could not decide, and so neither can this stage.
 */
#include "auth/forward.h"

#include "auth/demand.h"
#include "auth/lend.h"
#include "auth/token.h"
#include "conf/schema.h"
#include "gateway/chain/edit.h"
#include "gateway/chain/reply.h"
#include "gateway/http/chars.h"
#include "gateway/http/names.h"
#include "gateway/upstream/asker.h"

enum {
    FORWARD_FIELDS_MAX = 12, /* in each of send and pass */
    FORWARD_COOKIES_MAX = 4, /* of an answer */
    GROUPS_MAX = TOKEN_GROUPS_MAX,
};

struct forward_conf {
    struct url url;
    struct texts send, pass;
    struct span user, groups;
    struct path ca;
    struct duration timeout;
    uint64_t body_limit;
    bool cookies;

    struct remote *remote;
    struct span target; /* the URL to ask */
};

struct forward_local {
    struct asker *asker;
};

static const struct option forward_options[] = {
    OPTION(struct forward_conf, url, OPT_URL, .flags = OPTION_SHORTHAND,
           .help = "Server to ask, with the path. Without one the stage is off.",
           .example = "http://127.0.0.1:9091/api/authz/forward-auth"),
    OPTION(struct forward_conf, send, OPT_TEXTS, .fallback = "Authorization, Cookie, Accept",
           .max = FORWARD_FIELDS_MAX, .help = "Request fields the server sees."),
    OPTION(struct forward_conf, pass, OPT_TEXTS, .max = FORWARD_FIELDS_MAX,
           .example = "[Remote-User, Remote-Groups]",
           .help = "Answer fields lent to the request, in place of the client's own."),
    OPTION(struct forward_conf, user, OPT_TEXT, .example = "Remote-User",
           .help = "Answer field that names the user, for policies, limits and the record."),
    OPTION(struct forward_conf, groups, OPT_TEXT, .example = "Remote-Groups",
           .help = "Answer field that lists the user's groups, with commas."),
    OPTION(struct forward_conf, cookies, OPT_BOOL, .fallback = "false",
           .help = "Whether cookies that a 2xx answer sets go to the client."),
    OPTION(struct forward_conf, ca, OPT_FILE,
           .help = "PEM bundle of authorities for https; without one the system's."),
    OPTION(struct forward_conf, timeout, OPT_DURATION, .fallback = "1s", .min = 1, .max = 60000,
           .help = "For the whole answer. The stage's `deadline` holds, too."),
    OPTION(struct forward_conf, body_limit, OPT_SIZE, .fallback = "64KiB", .max = 1 << 20,
           .help = "Of the answer's body; a larger one is an error."),
    OPTIONS_END,
};

/* ---- at load ---- */

static bool forward_idle(const void *base)
{
    const struct forward_conf *conf = base;
    return conf->url.text.len == 0;
}

/* What the gateway says of the request, or how messages end, is nobody else's to say. */
static bool send_valid(struct setup *setup, struct span name)
{
    unsigned flags = field_flags(field_id_of_alias(name));
    enum field_id id = field_id_of_alias(name);
    bool good = span_all(name, CHAR_TOKEN) && name.len > 0 &&
                (flags & (FIELD_HOP | FIELD_OURS)) == 0 && id != FIELD_HOST &&
                id != FIELD_CONTENT_LENGTH && id != FIELD_EXPECT && id != FIELD_ACCEPT_ENCODING;

    if (!good)
        complain(setup->complaint, SEVERITY_ERROR, "send cannot have \"%.*s\"", (int)name.len,
                 name.p);
    return good;
}

static bool names_valid(struct forward_conf *conf, struct setup *setup)
{
    bool good = true;

    for (size_t i = 0; i < conf->send.count; i++)
        good = send_valid(setup, conf->send.items[i]) && good;
    for (size_t i = 0; i < conf->pass.count; i++) {
        struct span name = conf->pass.items[i];
        good = lend_name_valid(setup, "pass", name) && name.len > 0 && good;
        for (size_t k = 0; k < i; k++)
            if (field_name_alias(name, conf->pass.items[k])) {
                complain(setup->complaint, SEVERITY_ERROR, "pass has \"%.*s\" twice",
                         (int)name.len, name.p);
                good = false;
            }
    }
    if (conf->groups.len > 0 && conf->user.len == 0) {
        complain(setup->complaint, SEVERITY_ERROR,
                 "groups are of a user: `user` names the field");
        good = false;
    }
    return good;
}

static enum err open_forward(void *base, struct setup *setup)
{
    struct forward_conf *conf = base;

    if (forward_idle(conf))
        return OK;
    if (!names_valid(conf, setup))
        return ERR_CONFIG;
    conf->remote = arena_new(setup->arena, struct remote);
    if (conf->remote == NULL)
        return ERR_MEMORY;
    struct remote_conf remote = { .url = conf->url,
                                  .ca = conf->ca,
                                  .body_bytes = conf->body_limit,
                                  .connect_ms = (uint64_t)conf->timeout.ms,
                                  .total_ms = (uint64_t)conf->timeout.ms,
                                  .keepalive = 64 };
    TRY(remote_open(conf->remote, &remote, setup->arena, setup->complaint));
    struct text target = text_growing(setup->arena, 128);
    text_add(&target, conf->remote->base);
    if (!span_equal(conf->url.scheme, SPAN("unix")))
        text_add(&target, conf->url.path);
    conf->target = text_span(&target);
    if (target.overflow)
        return ERR_MEMORY;
    for (size_t i = 0; i < conf->pass.count; i++)
        if (!lend_field(setup, conf->pass.items[i]))
            return ERR_MEMORY;
    return OK;
}

static enum err attach_forward(void *base, const void *from, struct worker *worker)
{
    struct forward_local *local = base;
    const struct forward_conf *conf = from;

    if (forward_idle(conf))
        return OK;
    local->asker = asker_new(worker, conf->remote);
    return local->asker != NULL ? OK : ERR_MEMORY;
}

static void detach_forward(void *base)
{
    struct forward_local *local = base;

    asker_free(local->asker);
    local->asker = NULL;
}

/* ---- what the server said ---- */

/* The field's one value. False: there are several, and each could be the one that is meant. */
static bool one_value(const struct fetch_answer *said, struct span name, struct span *value)
{
    const struct field *field = fields_find(&said->fields, name);

    *value = field != NULL ? field->value : SPAN("");
    return field == NULL || fields_next(&said->fields, field) == NULL;
}

static struct verdict undecided(struct call *c, const char *detail)
{
    fact_set_auth_detail(c, detail);
    return fail(REASON_AUTH_PROVIDER);
}

/* That server can put nobody into one of our sessions. */
static bool is_own_cookie(const struct field *field)
{
    return field->id == FIELD_SET_COOKIE &&
           span_starts_nocase(span_trim(field->value), SPAN(OWN_COOKIES));
}

static bool pass_on(struct reply *reply, const struct fetch_answer *said, const char *name,
                    unsigned most)
{
    const struct field *field = fields_find(&said->fields, span_text(name));

    for (unsigned i = 0; field != NULL && i < most; i++) {
        if (!is_own_cookie(field) && !reply_field(reply, span_text(name), field->value))
            return false;
        field = fields_next(&said->fields, field);
    }
    return true;
}

/* A challenge, a refusal or the way to a login: as the server would have it. */
static struct verdict relay(struct call *c, const struct fetch_answer *said)
{
    struct reply *reply = reply_new(c->txn, said->status);
    const struct field *type = fields_get(&said->fields, FIELD_CONTENT_TYPE);

    if (reply == NULL || (said->status == 401 && !demand_add(c, reply, SPAN(""))) ||
        !pass_on(reply, said, "WWW-Authenticate", 2) || !pass_on(reply, said, "Location", 1) ||
        !pass_on(reply, said, "Set-Cookie", FORWARD_COOKIES_MAX))
        return fail(REASON_MEMORY);
    if (said->body.len > 0 && type != NULL) {
        reply->body = said->body;
        reply->type = type->value;
    }
    if (said->status == 403)
        return deny_with(REASON_AUTH_REFUSED, reply);
    return answer(said->status == 401 ? REASON_AUTH_REQUIRED : REASON_AUTH_REDIRECT, reply);
}

static bool read_groups(struct call *c, struct span list, struct identity *identity)
{
    struct span *groups = arena_array(c->txn->arena, struct span, GROUPS_MAX), one;

    if (groups == NULL)
        return false;
    identity->groups = groups;
    while (list.len > 0 && span_cut(&list, ',', &one)) {
        one = span_trim(one);
        if (one.len == 0)
            continue;
        if (identity->group_count == GROUPS_MAX || !token_user_valid(one))
            return false;
        groups[identity->group_count++] = one;
    }
    return true;
}

/* The user, if the server names one. NULL, or a slug why what it says is not believed. */
static const char *take_user(struct call *c, const struct fetch_answer *said)
{
    const struct forward_conf *conf = c->conf;
    struct span user, groups = { 0 };

    if (conf->user.len == 0)
        return NULL;
    if (!one_value(said, conf->user, &user) ||
        (conf->groups.len > 0 && !one_value(said, conf->groups, &groups)))
        return "forward-two-values";
    if (user.len == 0)
        return NULL;
    struct identity *identity = arena_new(c->txn->arena, struct identity);
    if (identity == NULL || !token_user_valid(user))
        return "forward-user";
    identity->user = user;
    if (!read_groups(c, groups, identity))
        return "forward-groups";
    fact_set_user(c, user);
    fact_set_auth(c, SPAN("forward_auth"));
    fact_set_identity(c, identity);
    return NULL;
}

static struct verdict let_pass(struct call *c, const struct fetch_answer *said)
{
    const struct forward_conf *conf = c->conf;
    const struct field *cookie = fields_get(&said->fields, FIELD_SET_COOKIE);

    for (size_t i = 0; i < conf->pass.count; i++) {
        struct span value;
        if (!one_value(said, conf->pass.items[i], &value))
            return undecided(c, "forward-two-values");
        if (value.len > 0 && !edit_lend_field(c->txn, conf->pass.items[i], value))
            return fail(REASON_MEMORY);
    }
    const char *why = take_user(c, said);
    if (why != NULL)
        return undecided(c, why);
    for (unsigned i = 0; conf->cookies && cookie != NULL && i < FORWARD_COOKIES_MAX; i++) {
        if (!is_own_cookie(cookie) &&
            !edit_field(c->txn, EDIT_RESPONSE, EDIT_ADD, SPAN("Set-Cookie"), cookie->value))
            return fail(REASON_MEMORY);
        cookie = fields_next(&said->fields, cookie);
    }
    return pass();
}

static struct verdict judge(struct call *c)
{
    const struct fetch_answer *said = c->answer;

    if (c->error != OK)
        return undecided(c, c->error == ERR_TIMEOUT ? "forward-late"
                            : c->error == ERR_LIMIT ? "forward-too-large"
                                                    : "forward-unreachable");
    int status = said->status;
    bool redirect = status == 302 || status == 303 || status == 307;
    if (redirect && fields_get(&said->fields, FIELD_LOCATION) != NULL)
        return relay(c, said);
    if (status == 401 || status == 403)
        return relay(c, said);
    if (status < 200 || status > 299)
        return undecided(c, "forward-status");
    return let_pass(c, said);
}

/* ---- what it is asked ---- */

static struct span target_of(const struct request *req, struct arena *arena)
{
    struct text text = text_growing(arena, req->path_wire.len + req->query.len + 2);

    text_add(&text, req->path_wire);
    if (req->has_query) {
        text_char(&text, '?');
        text_add(&text, req->query);
    }
    return text_span(&text);
}

static struct span host_of(const struct request *req, struct arena *arena)
{
    struct text text = text_growing(arena, req->host.len + 8);

    text_add(&text, req->host);
    if (req->port != 0) {
        text_char(&text, ':');
        text_uint(&text, req->port);
    }
    return text_span(&text);
}

static struct span client_of(const struct txn *txn)
{
    struct text text = text_growing(txn->arena, 64);

    addr_write(&text, &txn->client);
    return text_span(&text);
}

/* The gateway's own sessions are no business of that server. */
static bool hide_own(struct call *c, struct span *cookies)
{
    bool good = true;

    *cookies = own_cookies_without(*cookies, c->txn->arena, &good);
    return good;
}

/* A field of several lines goes as one value only where that is the same (RFC 9110 section
 * 5.3); cookies of HTTP/2 come in pieces and are joined as RFC 9113 section 8.2.3 has it. */
static bool sent_value(struct call *c, struct span name, struct span *value)
{
    const struct field *field = fields_find(&c->req->fields, name);
    struct text all = text_growing(c->txn->arena, 256);
    bool cookie = span_equal_nocase(name, SPAN("Cookie"));
    const struct field *next = field != NULL ? fields_next(&c->req->fields, field) : NULL;

    *value = field != NULL ? field->value : SPAN("");
    if (next == NULL)
        return !cookie || hide_own(c, value);
    text_add(&all, field->value);
    for (; next != NULL; next = fields_next(&c->req->fields, next)) {
        text_add(&all, cookie ? SPAN("; ") : SPAN(", "));
        text_add(&all, next->value);
    }
    *value = text_span(&all);
    return !all.overflow && (!cookie || hide_own(c, value));
}

static struct verdict ask(struct call *c)
{
    const struct forward_conf *conf = c->conf;
    struct forward_local *local = c->local;
    struct arena *arena = c->txn->arena;
    struct fetch_field fields[FETCH_FIELDS_MAX];
    unsigned count = 0;

    /* Before anything can fail: no client may lend a field to itself. */
    for (size_t i = 0; i < conf->pass.count; i++)
        if (!edit_field(c->txn, EDIT_REQUEST, EDIT_DROP, conf->pass.items[i], SPAN("")))
            return fail(REASON_MEMORY);
    if (demand_met(c))
        return pass();
    const struct fetch_field told[] = {
        { SPAN_INIT("X-Forwarded-Method"), c->req->method },
        { SPAN_INIT("X-Forwarded-Proto"), c->req->scheme },
        { SPAN_INIT("X-Forwarded-Host"), host_of(c->req, arena) },
        { SPAN_INIT("X-Forwarded-Uri"), target_of(c->req, arena) },
        { SPAN_INIT("X-Forwarded-For"), client_of(c->txn) },
        { SPAN_INIT("X-Request-Id"), txn_id(c->txn) },
    };
    _Static_assert(ARRAY_LEN(told) + FORWARD_FIELDS_MAX <= FETCH_FIELDS_MAX, "all fit");
    for (; count < ARRAY_LEN(told); count++)
        fields[count] = told[count];
    for (size_t i = 0; i < conf->send.count; i++) {
        fields[count].name = conf->send.items[i];
        if (!sent_value(c, conf->send.items[i], &fields[count].value))
            return fail(REASON_MEMORY);
        count++;
    }
    struct fetch_ask question = { .url = conf->target, .fields = fields, .field_count = count };
    struct op *op = asker_ask(local->asker, NULL, &question);
    if (op == NULL)
        return fail(REASON_AUTH_BUSY);
    return wait_for(c, op, judge);
}

const struct stage_type forward_auth_stage = {
    .name = "forward_auth",
    .summary = "Asks another server whether the request may pass.",
    .remembers = true,
    .options = forward_options,
    .conf_size = sizeof(struct forward_conf),
    .local_size = sizeof(struct forward_local),
    .open = open_forward,
    .attach = attach_forward,
    .detach = detach_forward,
    .idle = forward_idle,
    .gate = true,
    .authenticates = true,
    .on = { [PHASE_REQUEST_HEAD] = ask },
};
