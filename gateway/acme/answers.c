/* The ACME answers' reader: see answers.h. */
#include "gateway/acme/answers.h"

#include <time.h>

#include "auth/strictjson.h"
#include "gateway/upstream/fetch_url.h"

#define ERROR_PREFIX "urn:ietf:params:acme:error:"

/* ---- texts ---- */

static bool visible(struct span text)
{
    for (size_t i = 0; i < text.len; i++)
        if (text.p[i] <= ' ' || text.p[i] >= 0x7f || text.p[i] == '"' || text.p[i] == '\\')
            return false;
    return true;
}

/* Cut to what there is room for; nothing of it steers a terminal. */
static void put_shown(char *to, size_t size, struct span text)
{
    size_t n = 0;

    for (; n < text.len && n + 1 < size; n++)
        to[n] = text.p[n] >= ' ' && text.p[n] < 0x7f ? text.p[n] : '?';
    to[n] = '\0';
}

bool acme_url_allowed(struct span directory, struct span text)
{
    _Alignas(16) char room[8 * ACME_URL_MAX];
    struct arena arena;
    struct url base, url;

    if (text.len == 0 || text.len > ACME_URL_MAX || !visible(text))
        return false;
    arena_init(&arena, room, sizeof(room), NULL, 0);
    bool same = fetch_url(directory, &arena, &base) == NULL &&
                fetch_url(text, &arena, &url) == NULL &&
                span_equal(url.scheme, SPAN("https")) && span_equal(base.host, url.host) &&
                base.port == url.port;
    arena_reset(&arena);
    return same;
}

static bool put_url(struct acme_url *to, struct span directory, struct span text)
{
    to->text[0] = '\0';
    if (!acme_url_allowed(directory, text))
        return false;
    memcpy(to->text, text.p, text.len);
    to->text[text.len] = '\0';
    return true;
}

/* False: it is there, and may not be asked. */
static bool take_url(const json_t *object, const char *name, struct span directory,
                     struct acme_url *to)
{
    struct span text = strict_json_text(object, name);

    to->text[0] = '\0';
    return text.p == NULL || put_url(to, directory, text);
}

static enum acme_status status_of(const json_t *object)
{
    static const struct {
        struct span name;
        enum acme_status status;
    } rows[] = {
        { SPAN_INIT("pending"), ACME_PENDING },
        { SPAN_INIT("ready"), ACME_READY },
        { SPAN_INIT("processing"), ACME_PROCESSING },
        { SPAN_INIT("valid"), ACME_VALID },
    };
    struct span text = strict_json_text(object, "status");

    for (size_t i = 0; i < ARRAY_LEN(rows); i++)
        if (span_equal(text, rows[i].name))
            return rows[i].status;
    return ACME_INVALID;
}

static void take_problem(const json_t *object, struct acme_problem *out)
{
    struct span type = strict_json_text(object, "type");

    memset(out, 0, sizeof(*out));
    if (span_starts(type, SPAN(ERROR_PREFIX)))
        put_shown(out->type, sizeof(out->type),
                  span_sub(type, sizeof(ERROR_PREFIX) - 1, type.len));
    put_shown(out->detail, sizeof(out->detail), strict_json_text(object, "detail"));
}

void acme_read_problem(struct span body, struct acme_problem *out)
{
    json_t *object = strict_json_object(body, ACME_JSON_MAX);

    take_problem(object, out);
    json_decref(object);
}

/* ---- directory ---- */

const char *acme_read_directory(struct span body, struct span directory,
                                struct acme_directory *out)
{
    json_t *object = strict_json_object(body, ACME_JSON_MAX);
    const char *why = NULL;

    memset(out, 0, sizeof(*out));
    if (object == NULL)
        return "the directory is no JSON object";
    if (!take_url(object, "newNonce", directory, &out->nonce) ||
        !take_url(object, "newAccount", directory, &out->account) ||
        !take_url(object, "newOrder", directory, &out->order) ||
        !take_url(object, "renewalInfo", directory, &out->renewal))
        why = "the directory names another server";
    else if (out->nonce.text[0] == '\0' || out->account.text[0] == '\0' ||
             out->order.text[0] == '\0')
        why = "the directory is not one of ACME";
    out->binding_required = json_is_true(
        json_object_get(json_object_get(object, "meta"), "externalAccountRequired"));
    json_decref(object);
    return why;
}

/* ---- orders ---- */

static const char *take_order(const json_t *object, struct span directory,
                              struct acme_order *out)
{
    const json_t *list = json_object_get(object, "authorizations"), *one;
    size_t i;

    out->status = status_of(object);
    take_problem(json_object_get(object, "error"), &out->problem);
    if (!take_url(object, "finalize", directory, &out->finalize) ||
        !take_url(object, "certificate", directory, &out->certificate))
        return "the order names another server";
    if (json_array_size(list) > ACME_NAMES_MAX)
        return "the order has too many authorizations";
    json_array_foreach(list, i, one)
    {
        struct span url = span_of(json_string_value(one), json_string_length(one));
        if (!put_url(&out->authorizations[i], directory, url))
            return "the order names another server";
        out->authorization_count++;
    }
    if (out->authorization_count == 0 || out->finalize.text[0] == '\0')
        return "the order is not whole";
    return out->status == ACME_VALID && out->certificate.text[0] == '\0'
               ? "the order is done, and has no certificate"
               : NULL;
}

const char *acme_read_order(struct span body, struct span directory, struct acme_order *out)
{
    json_t *object = strict_json_object(body, ACME_JSON_MAX);

    memset(out, 0, sizeof(*out));
    const char *why =
        object != NULL ? take_order(object, directory, out) : "the order is no JSON object";
    json_decref(object);
    return why;
}

/* ---- authorizations ---- */

static const char *take_challenge(const json_t *challenge, struct span directory,
                                  struct acme_authorization *out)
{
    struct span token = strict_json_text(challenge, "token");

    if (!take_url(challenge, "url", directory, &out->challenge) ||
        out->challenge.text[0] == '\0')
        return "the challenge names another server";
    /* It becomes a path of ours. */
    if (!challenge_token_valid(token))
        return "the challenge's token is not one";
    memcpy(out->token, token.p, token.len);
    out->token[token.len] = '\0';
    take_problem(json_object_get(challenge, "error"), &out->problem);
    return NULL;
}

static const char *take_authorization(const json_t *object, struct span directory,
                                      const char *type, struct acme_authorization *out)
{
    const json_t *identifier = json_object_get(object, "identifier"), *one;
    struct span name = strict_json_text(identifier, "value");
    size_t i;

    out->status = status_of(object);
    if (!span_equal(strict_json_text(identifier, "type"), SPAN("dns")) || name.len == 0 ||
        name.len > CHALLENGE_NAME_MAX || !visible(name))
        return "the authorization is for no name";
    for (size_t n = 0; n < name.len; n++)
        out->name[n] = ascii_lower(name.p[n]);
    json_array_foreach(json_object_get(object, "challenges"), i, one)
    {
        if (span_equal(strict_json_text(one, "type"), span_text(type)))
            return take_challenge(one, directory, out);
    }
    return NULL;
}

const char *acme_read_authorization(struct span body, struct span directory, const char *type,
                                    struct acme_authorization *out)
{
    json_t *object = strict_json_object(body, ACME_JSON_MAX);

    memset(out, 0, sizeof(*out));
    const char *why = object != NULL ? take_authorization(object, directory, type, out)
                                     : "the authorization is no JSON object";
    json_decref(object);
    return why;
}

/* ---- renewal information ---- */

/* RFC 3339 in UTC or with an offset; fractions are passed over. */
static bool time_of(struct span text, int64_t *out)
{
    char copy[40];
    struct tm tm = { .tm_isdst = 0 };

    if (text.len < 20 || text.len >= sizeof(copy))
        return false;
    memcpy(copy, text.p, text.len);
    copy[text.len] = '\0';
    const char *p = strptime(copy, "%Y-%m-%dT%H:%M:%S", &tm);
    if (p == NULL)
        return false;
    if (*p == '.')
        p += 1 + strspn(p + 1, "0123456789");
    *out = timegm(&tm);
    if (strcmp(p, "Z") == 0)
        return true;
    bool offset = (*p == '+' || *p == '-') && strlen(p) == 6 && p[3] == ':';
    uint64_t hours, minutes;
    if (!offset || !span_uint(span_of(p + 1, 2), &hours) ||
        !span_uint(span_of(p + 4, 2), &minutes) || hours > 23 || minutes > 59)
        return false;
    int64_t seconds = (int64_t)(hours * 3600 + minutes * 60);
    *out += *p == '+' ? -seconds : seconds;
    return true;
}

const char *acme_read_window(struct span body, struct acme_window *out)
{
    json_t *object = strict_json_object(body, ACME_JSON_MAX);
    const json_t *window = json_object_get(object, "suggestedWindow");
    bool good = time_of(strict_json_text(window, "start"), &out->from_s) &&
                time_of(strict_json_text(window, "end"), &out->until_s) &&
                out->from_s < out->until_s; /* RFC 9773 section 4.2 */

    json_decref(object);
    return good ? NULL : "the window for the renewal is none";
}
