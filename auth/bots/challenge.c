/*
 * Asking, and taking answers.
 *
 *     GET  anything                      the challenge, in place of the page (403)
 *     GET  /.sallyport/bots/worker.js    the script that does the work
 *     POST /.sallyport/bots/answer       token and proof; then back (303), with a clearance
 *     GET  /.sallyport/bots/wait?token=  who runs no scripts, after the time to wait
 *
 * An answer costs us one MAC, and one hash when that was right. It counts once: the table of
 * used challenges is all workers'. What is wrong is told to people, and is a reason from then
 * on.
 */
#include "auth/bots/stage.h"
#include "auth/session_parts.h"
#include "gateway/chain/reply.h"
#include "gateway/http/params.h"
#include "gateway/net/ja4.h"
#include "gateway/net/worker.h"

enum { COOKIE_BYTES = 192, REFERER_MAX = 2048 };

/* Of both families, since a browser with IPv4 and IPv6 may come by one and return by the other:
 * with one name each would take the other's clearance away, for ever. */
static struct span cookie_name(const struct call *c)
{
    bool https = span_equal(c->req->scheme, SPAN("https"));
    bool four = c->txn->client.family == ADDR_V4;
    if (https)
        return four ? SPAN("__Host-sallyport-clear4") : SPAN("__Host-sallyport-clear6");
    return four ? SPAN("sallyport-clear4") : SPAN("sallyport-clear6");
}

struct bot_holder bots_holder(const struct call *c)
{
    struct span ja4 = txn_ja4(c->txn);
    return (struct bot_holder){ .host = c->req->host,
                                .scheme = c->req->scheme,
                                .net = bot_net(&c->txn->client),
                                .ciphers = ja4.len == JA4_BYTES
                                               ? span_sub(ja4, 11, BOT_CIPHERS_BYTES)
                                               : SPAN("") };
}

bool bots_is_cleared(struct call *c, unsigned bits)
{
    const struct bots_conf *conf = c->conf;
    struct bots_local *local = c->local;
    struct clearance clearance;
    struct span text = session_cookie(c, cookie_name(c));
    if (text.len == 0)
        return false;
    struct bot_holder holder = bots_holder(c);
    return clearance_read(&local->keys, &holder, text, bots_now(c), &clearance) == TOKEN_GOOD &&
           clearance.bits >= bits && (clearance.proved || conf->no_js);
}

/* ---- asking ---- */

/* The page that was asked for is the one that it comes from: the clearance did not come along.
 */
static bool has_come_back(const struct call *c, struct span target)
{
    struct span referer = fields_value(&c->req->fields, FIELD_REFERER);
    struct span site = SPAN("");
    const struct field *field = fields_find(&c->req->fields, SPAN("Sec-Fetch-Site"));
    if (field != NULL)
        site = field->value;
    return referer.len <= REFERER_MAX && span_ends(referer, target) && target.len > 0 &&
           span_find(referer, c->req->host) > 0 &&
           (site.len == 0 || span_equal(site, SPAN("same-origin")));
}

struct verdict bots_challenge(struct call *c, unsigned bits, bool later)
{
    const struct bots_conf *conf = c->conf;
    struct bots_local *local = c->local;
    struct txn *txn = c->txn;
    struct bot_holder holder = bots_holder(c);
    uint64_t now_s = bots_now(c);
    /* Who is not asked is not to blame for having given no answer. */
    if (c->mode == MODE_DETECT)
        return answer(REASON_BOT_CHALLENGE, NULL);
    struct challenge challenge = {
        .issued_s = (uint32_t)now_s,
        .clear_s = (uint32_t)(conf->clearance.ms / 1000),
        .bits = (uint8_t)bits,
        .wait_s = conf->no_js ? (uint8_t)(conf->no_js_wait.ms / 1000) : 0,
        .target = return_target(c),
    };
    struct text token = text_growing(txn->arena, 256);
    random_bytes(challenge.id, sizeof(challenge.id));
    if (!challenge_write(&token, &local->keys, &holder, &challenge))
        return fail(REASON_MEMORY);
    struct bots_question question = { .token = text_span(&token),
                                      .target = challenge.target,
                                      .bits = bits,
                                      .later = later,
                                      .wait_s = challenge.wait_s,
                                      .again = has_come_back(c, challenge.target) };
    const struct reply *reply = bots_page_question(c, &question);
    if (reply == NULL)
        return fail(REASON_MEMORY);
    bots_count(&conf->memory, COUNT_CHALLENGED);
    bots_note(&conf->memory, &txn->client, VISITOR_ASKED, now_s);
    return answer(REASON_BOT_CHALLENGE, reply);
}

/* ---- taking answers ---- */

struct answered {
    struct bots_told *told;
    struct challenge challenge;
    struct bot_holder holder;
    struct span token;
};

static struct verdict trouble(struct call *c, struct answered *answered, enum bots_count count,
                              struct span sentence, struct span target)
{
    const struct bots_conf *conf = c->conf;
    bots_count(&conf->memory, count);
    if (count == COUNT_WRONG || count == COUNT_REPLAYED)
        bots_note(&conf->memory, &c->txn->client, VISITOR_FAILED, bots_now(c));
    answered->told->outcome = bots_count_names[count];
    const struct reply *reply = bots_page_trouble(c, sentence, target);
    return reply != NULL ? deny_with(REASON_BOT_ANSWER, reply) : fail(REASON_MEMORY);
}

static struct verdict go_back(struct call *c, struct span target)
{
    const struct reply *reply = page_redirect(c, 303, target);
    return reply != NULL ? answer(REASON_BOT_PASSED, reply) : fail(REASON_MEMORY);
}

/* OK to go on; otherwise `*said` is the answer. */
static bool read_challenge(struct call *c, struct span token, struct answered *answered,
                           struct verdict *said)
{
    struct bots_local *local = c->local;
    answered->holder = bots_holder(c);
    answered->token = token;
    answered->told = arena_new(c->txn->arena, struct bots_told);
    if (answered->told == NULL) {
        *said = fail(REASON_MEMORY);
        return false;
    }
    fact_set_bots(c, answered->told);
    enum token_verdict verdict =
        challenge_read(&local->keys, &answered->holder, token, bots_now(c), c->txn->arena,
                       &answered->challenge);
    if (verdict == TOKEN_GOOD && return_target_safe(answered->challenge.target))
        return true;
    if (verdict == TOKEN_EXPIRED && return_target_safe(answered->challenge.target)) {
        const struct bots_conf *conf = c->conf;
        bots_count(&conf->memory, COUNT_EXPIRED);
        answered->told->outcome = "expired";
        *said = go_back(c, answered->challenge.target); /* to be asked anew */
        return false;
    }
    *said =
        trouble(c, answered, COUNT_WRONG,
                SPAN("This answer does not fit the question. That happens when your address "
                     "changed meanwhile, or the server was started anew."),
                SPAN("/"));
    return false;
}

static struct verdict clear(struct call *c, struct answered *answered, bool proved)
{
    const struct bots_conf *conf = c->conf;
    struct bots_local *local = c->local;
    const struct challenge *challenge = &answered->challenge;
    struct txn *txn = c->txn;
    uint64_t now_s = bots_now(c);
    char text[CLEARANCE_TEXT_BYTES];
    struct clearance clearance = {
        .issued_s = (uint32_t)now_s,
        .clear_s = proved ? challenge->clear_s : challenge->clear_s / 4,
        .bits = challenge->bits,
        .proved = proved,
    };
    struct span id = span_of((const char *)challenge->id, sizeof(challenge->id));
    uint64_t until_s = (uint64_t)challenge->issued_s + CHALLENGE_S + CLOCK_SLACK_S;
    if (!bots_use_once(&conf->memory, id, now_s, until_s)) {
        if (bots_is_cleared(c, challenge->bits)) /* sent twice by one browser */
            return go_back(c, challenge->target);
        return trouble(c, answered, COUNT_REPLAYED, SPAN("This answer was used before."),
                       challenge->target);
    }
    clearance_write(text, &local->keys, &answered->holder, &clearance);
    struct text cookie = text_growing(txn->arena, COOKIE_BYTES);
    text_add(&cookie, cookie_name(c));
    text_char(&cookie, '=');
    text_add(&cookie, span_of(text, sizeof(text)));
    text_format(&cookie, "; Path=/; HttpOnly; SameSite=Lax; Max-Age=%u", clearance.clear_s);
    if (span_equal(c->req->scheme, SPAN("https")))
        text_lit(&cookie, "; Secure");
    struct reply *reply = page_redirect(c, 303, challenge->target);
    if (cookie.overflow || !reply_field(reply, SPAN("Set-Cookie"), text_span(&cookie)))
        return fail(REASON_MEMORY);
    enum bots_count count = proved ? COUNT_PROVED : COUNT_WAITED;
    bots_count(&conf->memory, count);
    bots_note(&conf->memory, &txn->client, VISITOR_PASSED, now_s);
    answered->told->outcome = bots_count_names[count];
    answered->told->cleared = true;
    return answer(REASON_BOT_PASSED, reply);
}

/* Each field once: of two of a name each reader could mean another one. */
static bool read_fields(struct call *c, struct span text, struct span *token,
                        struct span *proof)
{
    struct params params = { 0 };
    *token = *proof = span_of(NULL, 0);
    if (params_parse(&params, text, BOTS_FIELDS_MAX, c->txn->arena) != OK)
        return false;
    for (unsigned i = 0; i < params.count; i++) {
        bool is_token = span_equal(params.items[i].name, SPAN("token"));
        struct span *to = is_token                                          ? token
                          : span_equal(params.items[i].name, SPAN("proof")) ? proof
                                                                            : NULL;
        if (to == NULL)
            continue;
        if (to->p != NULL)
            return false;
        *to = params.items[i].value;
    }
    return token->p != NULL;
}

static struct verdict take_answer(struct call *c)
{
    struct answered answered = { .told = NULL };
    struct span token, proof;
    struct verdict said;
    if (!read_fields(c, c->body, &token, &proof))
        token = proof = SPAN("");
    if (!read_challenge(c, token, &answered, &said))
        return said;
    if (!challenge_proved(challenge_seed(token), answered.challenge.bits, proof))
        return trouble(c, &answered, COUNT_WRONG, SPAN("The proof is not right."),
                       answered.challenge.target);
    return clear(c, &answered, true);
}

static struct verdict take_waiting(struct call *c)
{
    struct answered answered = { .told = NULL };
    struct span token, proof;
    struct verdict said;
    if (!read_fields(c, c->req->query, &token, &proof))
        token = SPAN("");
    if (!read_challenge(c, token, &answered, &said))
        return said;
    const struct challenge *challenge = &answered.challenge;
    if (challenge->wait_s == 0)
        return trouble(c, &answered, COUNT_WRONG,
                       SPAN("This site lets nobody in without a script."), challenge->target);
    uint64_t now_s = bots_now(c), due_s = (uint64_t)challenge->issued_s + challenge->wait_s;
    if (now_s >= due_s)
        return clear(c, &answered, false);
    answered.told->outcome = "early";
    const struct reply *reply = bots_page_wait(c, token, due_s - now_s);
    return reply != NULL ? answer(REASON_BOT_CHALLENGE, reply) : fail(REASON_MEMORY);
}

struct verdict bots_page(struct call *c)
{
    static const struct {
        struct span path;
        enum method method;
    } rows[] = {
        { SPAN_INIT(BOTS_ANSWER), METHOD_POST },
        { SPAN_INIT(BOTS_WAIT), METHOD_GET },
        { SPAN_INIT(BOTS_WORKER), METHOD_GET },
    };
    size_t i = 0;
    while (i < ARRAY_LEN(rows) &&
           !(span_equal(c->req->path, rows[i].path) && c->req->method_id == rows[i].method))
        i++;
    if (i == ARRAY_LEN(rows))
        return pass(); /* no such page */
    if (i == 0)
        return take_answer(c);
    if (i == 1)
        return take_waiting(c);
    const struct reply *reply = bots_page_worker(c);
    return reply != NULL ? answer(REASON_PAGE, reply) : fail(REASON_MEMORY);
}
