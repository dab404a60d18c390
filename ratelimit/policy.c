/*
 * What clients are told of a limit: its name, its policy, and when to come back.
 *
 *     Retry-After: 11
 *     RateLimit: "login";r=0;t=11
 *     RateLimit-Policy: "login";q=5;w=60
 *
 * in the form of draft-ietf-httpapi-ratelimit-headers-10, or one of the older ones. It is
 * always the limit that denied which is told, never another one.
 */
#include "gateway/chain/reply.h"
#include "ratelimit/limit.h"

/* Words of a quoted string in a structured field (RFC 9651 3.3.3), and easy to search for. */
bool limit_name_ok(struct span name)
{
    for (size_t i = 0; i < name.len; i++) {
        char c = ascii_lower(name.p[i]);
        if ((c < 'a' || c > 'z') && (c < '0' || c > '9') && c != '-' && c != '_' && c != '.')
            return false;
    }
    return name.len <= LIMIT_NAME_BYTES;
}

/* "60-per-min", "5-per-10s": the rate, in the characters of a name. */
static void write_rate(struct text *text, struct rate rate)
{
    static const struct {
        uint64_t ms;
        struct span one, many;
    } units[] = {
        { 86400000, SPAN_INIT("day"), SPAN_INIT("d") },
        { 3600000, SPAN_INIT("hour"), SPAN_INIT("h") },
        { 60000, SPAN_INIT("min"), SPAN_INIT("min") },
        { 1000, SPAN_INIT("s"), SPAN_INIT("s") },
        { 1, SPAN_INIT("ms"), SPAN_INIT("ms") },
    };
    size_t unit = 0;
    while (rate.per_ms % units[unit].ms != 0)
        unit++;
    uint64_t times = rate.per_ms / units[unit].ms;
    text_uint(text, rate.count);
    text_lit(text, "-per-");
    if (times > 1)
        text_uint(text, times);
    text_add(text, times > 1 ? units[unit].many : units[unit].one);
}

static struct span window_word(const struct limit_rule *rule)
{
    static const struct span words[] = { [WINDOW_HOUR] = SPAN_INIT("hour"),
                                         [WINDOW_DAY] = SPAN_INIT("day"),
                                         [WINDOW_WEEK] = SPAN_INIT("week"),
                                         [WINDOW_MONTH] = SPAN_INIT("month") };
    return words[rule->window];
}

/* "5000-a-month", "32-at-a-time": what is not a rate does not read as one. */
static void write_name(struct text *name, const struct limit *limit)
{
    switch (limit->kind) {
    case KIND_RATE:
        write_rate(name, limit->rule->rate.rate);
        return;
    case KIND_QUOTA:
        text_uint(name, (uint64_t)limit->rule->quota);
        text_lit(name, "-a-");
        text_add(name, window_word(limit->rule));
        return;
    case KIND_SLOTS:
        text_uint(name, limit->burst);
        text_lit(name, "-at-a-time");
        return;
    }
}

/* Seconds; 0: it cannot be said, and is optional. A month has no one length. */
static uint64_t window_s(const struct limit *limit)
{
    static const uint64_t windows[] = {
        [WINDOW_HOUR] = 3600, [WINDOW_DAY] = 86400, [WINDOW_WEEK] = 604800, [WINDOW_MONTH] = 0
    };
    if (limit->kind == KIND_QUOTA)
        return windows[limit->rule->window];
    uint64_t per_ms = limit->rule->rate.rate.per_ms;
    return limit->kind == KIND_RATE && per_ms % 1000 == 0 ? per_ms / 1000 : 0;
}

uint64_t limit_amount(const struct limit *limit)
{
    return limit->kind == KIND_RATE ? limit->rule->rate.rate.count * limit->scale
                                    : limit->burst;
}

/* "name";q=60;w=60. A window that is no whole number of seconds cannot be said, and is
 * optional. */
static void write_policy(struct text *text, const struct limit *limit)
{
    text_char(text, '"');
    text_add(text, limit->name);
    text_lit(text, "\";q=");
    text_uint(text, limit_amount(limit));
    if (window_s(limit) > 0) {
        text_lit(text, ";w=");
        text_uint(text, window_s(limit));
    }
    if (limit->kind == KIND_SLOTS)
        text_lit(text, ";qu=\"concurrent-requests\"");
}

bool limit_describe(struct limit *limit, struct arena *arena)
{
    struct text name = text_growing(arena, 64), policy = text_growing(arena, 128);
    if (limit->of_plan != NULL) {
        text_add(&name, limit->of_plan->item.key);
        text_char(&name, '.');
    }
    if (limit->rule->name.len > 0)
        text_add(&name, limit->rule->name);
    else
        write_name(&name, limit);
    if (limit->v6_bits < KEY_NETWORK_BITS) {
        text_lit(&name, "-net");
        text_uint(&name, limit->v6_bits);
    }
    limit->name = text_span(&name);
    write_policy(&policy, limit);
    limit->policy = text_span(&policy);
    return !name.overflow && !policy.overflow;
}

/* ---- refusals ---- */

/* Whole seconds, rounded up: who comes back then is not refused again. */
static uint64_t seconds(uint64_t ns)
{
    const uint64_t second = UINT64_C(1000000000);
    return ns / second + (ns % second != 0 || ns == 0);
}

static struct span number(struct txn *txn, uint64_t value)
{
    struct text text = text_growing(txn->arena, 24);
    text_uint(&text, value);
    return text.overflow ? SPAN("") : text_span(&text);
}

void limit_write_state(struct text *text, const struct limit *limit, uint64_t remaining,
                       uint64_t in_s)
{
    text_char(text, '"');
    text_add(text, limit->name);
    text_lit(text, "\";r=");
    text_uint(text, remaining);
    text_lit(text, ";t=");
    text_uint(text, in_s);
}

static bool tell_draft(struct reply *reply, struct txn *txn, const struct limit_answer *answer)
{
    struct text state = text_growing(txn->arena, 128);
    limit_write_state(&state, answer->limit, answer->remaining, seconds(answer->wait_ns));
    return !state.overflow && reply_field(reply, SPAN("RateLimit"), text_span(&state)) &&
           reply_field(reply, SPAN("RateLimit-Policy"), answer->limit->policy);
}

const struct span *limit_field_names(enum limit_fields fields)
{
    static const struct span legacy[3] = { SPAN_INIT("RateLimit-Limit"),
                                           SPAN_INIT("RateLimit-Remaining"),
                                           SPAN_INIT("RateLimit-Reset") };
    static const struct span github[3] = { SPAN_INIT("X-RateLimit-Limit"),
                                           SPAN_INIT("X-RateLimit-Remaining"),
                                           SPAN_INIT("X-RateLimit-Reset") };
    return fields == FIELDS_GITHUB ? github : legacy;
}

static bool tell_three(struct reply *reply, struct txn *txn, const struct limit_answer *answer,
                       const struct span *names, uint64_t reset)
{
    struct span limit = number(txn, limit_amount(answer->limit));
    struct span remaining = number(txn, answer->remaining), at = number(txn, reset);
    return reply_field(reply, names[0], limit) && reply_field(reply, names[1], remaining) &&
           reply_field(reply, names[2], at);
}

static bool tell(struct reply *reply, struct txn *txn, enum limit_fields fields,
                 const struct limit_answer *answer)
{
    uint64_t in = seconds(answer->wait_ns);
    switch (fields) {
    case FIELDS_DRAFT:
        return tell_draft(reply, txn, answer);
    case FIELDS_LEGACY:
        return tell_three(reply, txn, answer, limit_field_names(fields), in);
    case FIELDS_GITHUB: /* a point in time, in seconds since 1970 */
        return tell_three(reply, txn, answer, limit_field_names(fields),
                          txn->clock->wall_us / 1000000 + in);
    case FIELDS_NONE:
        return true;
    }
    return false;
}

const struct reply *limit_refusal(struct txn *txn, const struct rate_limits *conf,
                                  const struct limit_answer *answer)
{
    struct reply *reply = reply_new(txn, 0);
    struct span after = number(txn, seconds(answer->wait_ns));
    if (reply == NULL || after.len == 0)
        return NULL; /* refused in any case, if need be without a word more */
    reply->cut = answer->limit->rule->action == LIMIT_CLOSE;
    reply->problem = SPAN("https://iana.org/assignments/http-problem-types#quota-exceeded");
    reply->policy = answer->limit->name;
    bool whole = reply_field(reply, SPAN("Retry-After"), after) &&
                 tell(reply, txn, (enum limit_fields)conf->fields, answer);
    return whole ? reply : NULL;
}
