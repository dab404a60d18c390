/*
 * Scores, and what follows from them.
 *
 *     bots: {mode: challenge, exempt: [/feed.xml], attack: auto}
 *
 * Each reason adds its weight to a score from 0 to 100. Rules, limits and policies may ask for
 * it (`bot.score`), and the record has it with every reason. From a threshold on who asks for a
 * page is challenged; from a second one on everything is refused.
 *
 * The allow-list comes before, and so do paths that are exempt: nobody there is looked at.
 */
#include "auth/bots/bots.h"

#include "auth/bots/stage.h"
#include "gateway/net/worker.h"

/* ---- what is known ---- */

static bool is_on(const struct bots_paths *paths, const struct request *req)
{
    struct span path = req->path_plain.len > 0 ? req->path_plain : req->path;
    for (size_t i = 0; i < paths->count; i++)
        if (path_pattern_matches(&paths->items[i], path))
            return true;
    return false;
}

static bool is_in_datacentre(const struct bots_conf *conf, struct txn *txn)
{
    const struct geo *geo = NULL;
    if (conf->network_count > 0 && conf->weights[SIGN_DATACENTRE] > 0 &&
        txn->config->geo_lookup != NULL)
        geo = txn_geo(txn, false);
    for (size_t low = 0, high = conf->network_count; geo != NULL && low < high;) {
        size_t middle = (low + high) / 2;
        if (conf->networks[middle] == geo->asn)
            return true;
        if (conf->networks[middle] < geo->asn)
            low = middle + 1;
        else
            high = middle;
    }
    return false;
}

static uint32_t bit(bool seen, enum sign sign)
{
    return seen ? UINT32_C(1) << sign : 0;
}

static uint32_t signs_of_visitor(const struct visitor *visitor)
{
    const unsigned *counts = visitor->counts;
    return bit(counts[VISITOR_TRAPPED] > 0, SIGN_HONEYPOT) |
           bit(counts[VISITOR_MISSED] >= NOT_FOUND_MANY, SIGN_NOT_FOUND) |
           bit(counts[VISITOR_ASKED] >= ASKED_MANY && counts[VISITOR_PASSED] == 0,
               SIGN_UNANSWERED) |
           bit(counts[VISITOR_FAILED] > 0, SIGN_ANSWER_WRONG);
}

/* What the request claims to be, and whether that is known to be so. */
struct crawler_claim {
    const struct bots_crawler *crawler; /* NULL: none */
    enum verify_state state;
};

static struct crawler_claim claim_of(struct call *c, const struct agent *agent)
{
    const struct bots_conf *conf = c->conf;
    struct crawler_claim claim = { .state = VERIFY_NOTHING };
    if (agent_is_browser(agent) || agent->kind == AGENT_ABSENT)
        return claim;
    claim.crawler = bots_crawler_of(c, fields_value(&c->req->fields, FIELD_USER_AGENT));
    if (claim.crawler != NULL)
        claim.state = bots_crawler_state(c, claim.crawler);
    if (claim.state == VERIFY_TRUE)
        bots_count(&conf->memory, COUNT_VERIFIED);
    if (claim.state == VERIFY_FALSE)
        bots_count(&conf->memory, COUNT_FALSE);
    return claim;
}

static uint32_t look(struct call *c, struct crawler_claim *claim)
{
    const struct bots_conf *conf = c->conf;
    struct txn *txn = c->txn;
    uint64_t now_s = bots_now(c);
    struct sight sight = { .req = c->req,
                           .ja4 = txn_ja4(txn),
                           .direct = addr_equal(&txn->client, &txn->peer) };
    struct visitor visitor = bots_visitor(&conf->memory, &txn->client, now_s);
    uint32_t signs = signs_of_request(&sight);
    *claim = claim_of(c, &sight.agent);
    if (claim->state == VERIFY_TRUE) /* what it says of itself is so */
        signs &= ~bit(true, SIGN_AGENT_ROBOT);
    return signs | signs_of_visitor(&visitor) |
           bit(claim->state == VERIFY_FALSE, SIGN_CRAWLER_FALSE) |
           bit(bots_is_listed(&conf->sign_lists, txn), SIGN_LISTED) |
           bit(bots_is_listed(&conf->tor_lists, txn), SIGN_TOR) |
           bit(is_in_datacentre(conf, txn), SIGN_DATACENTRE) |
           bit(is_on(&conf->honeypot_paths, c->req), SIGN_HONEYPOT);
}

/* ---- what is told ---- */

static void tell_signs(struct bots_told *told, uint32_t signs, const int32_t *weights)
{
    told->scored = true;
    told->score = signs_score(signs, weights);
    for (unsigned i = 0; i < SIGN_COUNT; i++)
        if ((signs >> i & 1) != 0 && weights[i] > 0)
            told->reasons[told->reason_count++] =
                (struct bot_reason){ sign_rows[i].slug, weights[i] };
}

static struct route_pressure *pressure_of(struct call *c)
{
    const struct bots_conf *conf = c->conf;
    struct bots_local *local = c->local;
    const struct route *route = c->txn->route;
    size_t at = ((uintptr_t)route / sizeof(*route)) % BOTS_PLACES;
    if (local->places[at].route != route) {
        local->places[at].route = route;
        local->places[at].pressure =
            bots_route(&conf->memory, span_text(c->txn->site->name), span_text(route->name));
    }
    return local->places[at].pressure;
}

/* Whether the route is under attack, with this request. */
static bool is_attacked(struct call *c, const struct bots_told *told)
{
    const struct bots_conf *conf = c->conf;
    if (conf->attack.mode == ATTACK_ON)
        return true;
    if (conf->attack.mode == ATTACK_OFF)
        return false;
    struct route_pressure *pressure = pressure_of(c);
    if (told->cleared)
        return pressure_is_on(pressure, bots_now(c));
    return pressure_note(pressure, &conf->pressure_rules, bots_now(c),
                         told->score >= conf->threshold.challenge);
}

/* ---- what follows ---- */

static struct verdict refuse(struct call *c, struct bots_told *told, enum bots_count count,
                             enum reason reason)
{
    const struct bots_conf *conf = c->conf;
    bots_count(&conf->memory, count);
    told->outcome = "deny";
    return deny(reason);
}

static struct verdict spring(struct call *c, struct bots_told *told)
{
    const struct bots_conf *conf = c->conf;
    bots_note(&conf->memory, &c->txn->client, VISITOR_TRAPPED, bots_now(c));
    if (conf->mode != BOTS_SCORE)
        return refuse(c, told, COUNT_TRAPPED, REASON_BOT_HONEYPOT);
    bots_count(&conf->memory, COUNT_TRAPPED);
    return pass();
}

static unsigned bits_of(const struct bots_conf *conf)
{
    return (unsigned)conf->difficulty;
}

static struct verdict judge(struct call *c, struct bots_told *told,
                            const struct crawler_claim *claim)
{
    const struct bots_conf *conf = c->conf;
    if (claim->state == VERIFY_TRUE) {
        told->verified = claim->crawler->name;
        told->outcome = "verified";
        return pass();
    }
    /* A clearance is worth nothing where nobody is asked for one. */
    if (conf->mode >= BOTS_CHALLENGE)
        told->cleared = bots_is_cleared(c, bits_of(conf));
    told->attack = is_attacked(c, told);
    bool due = told->score >= conf->threshold.challenge;
    told->noted = due && told->score > 0; /* with a threshold of 0, not everything */
    told->outcome = told->cleared ? "cleared" : "pass";
    if (is_on(&conf->honeypot_paths, c->req))
        return spring(c, told);
    if (conf->mode == BOTS_SCORE)
        return pass();
    if (conf->mode == BOTS_BLOCK && told->score >= conf->threshold.block)
        return refuse(c, told, COUNT_BLOCKED, REASON_BOT_SCORE);
    if (told->cleared || (!due && !told->attack))
        return pass();
    if (conf->sessions != NULL && session_here(c, conf->sessions)) {
        told->outcome = "signed-in";
        return pass();
    }
    /* Pages of other stages give what cannot be come back to, such as the end of a sign-in. */
    if (c->txn->route->handler == HANDLER_INTERNAL)
        return pass();
    if (visit_of(c->req) == VISIT_PAGE) {
        told->outcome = "challenge";
        return bots_challenge(c, bits_of(conf), claim->state == VERIFY_PENDING);
    }
    return conf->others == OTHERS_DENY ? refuse(c, told, COUNT_UNCLEARED, REASON_BOT_UNCLEARED)
                                       : pass();
}

static struct verdict bots_head(struct call *c)
{
    const struct bots_conf *conf = c->conf;
    struct bots_state *state = c->state;
    struct txn *txn = c->txn;
    struct span path = c->req->path_plain;
    if (txn->facts.allowed || span_equal(path, SPAN(BOTS_PAGE)) ||
        span_starts(path, SPAN(BOTS_PAGE "/")) || is_on(&conf->exempt_paths, c->req))
        return pass();
    struct bots_told *told = arena_new(txn->arena, struct bots_told);
    if (told == NULL)
        return fail(REASON_MEMORY);
    state->watched = true;
    struct crawler_claim claim;
    tell_signs(told, look(c, &claim), conf->weights);
    if (told->score > 0)
        bots_note_score(&conf->memory, &txn->client, (unsigned)told->score, bots_now(c));
    fact_set_bots(c, told);
    return judge(c, told, &claim);
}

static void bots_finish(struct call *c)
{
    const struct bots_conf *conf = c->conf;
    const struct bots_state *state = c->state;
    const struct txn *txn = c->txn;
    if (state->watched && txn->decided == ACTION_PASS && txn->rsp != NULL &&
        txn->rsp->status == 404)
        bots_note(&conf->memory, &txn->client, VISITOR_MISSED, bots_now(c));
}

/* ---- the stage ---- */

static enum err bots_attach(void *base, const void *conf_base, struct worker *worker)
{
    struct bots_local *local = base;
    const struct bots_conf *conf = conf_base;
    local->keys = conf->keys;
    local->worker = worker;
    if (conf->sessions != NULL)
        TRY(sessions_attach(worker, conf->sessions));
    local->sessions = conf->sessions;
    return OK;
}

static void bots_detach(void *base)
{
    struct bots_local *local = base;
    if (local->sessions != NULL)
        sessions_detach(local->worker, local->sessions);
}

static bool bots_idle(const void *base)
{
    const struct bots_conf *conf = base;
    return conf->mode == BOTS_OFF;
}

static struct span bots_page_name(const void *base, unsigned i)
{
    (void)base;
    return i == 0 ? SPAN("bots") : SPAN("");
}

/* Whatever routes ask for stands in the challenge: any of them can take the answer, if it has
 * the key. */
static bool bots_pages_alike(const void *a, const void *b)
{
    const struct bots_conf *one = a, *other = b;
    return memcmp(one->keys.root, other->keys.root, BOT_KEY_BYTES) == 0;
}

static uint64_t bots_page_body(const void *base)
{
    (void)base;
    return BOTS_BODY_MAX;
}

const struct stage_type bots_stage = {
    .name = "bots",
    .summary =
        "Scores how likely a request is from a program that pretends, and challenges it.",
    .remembers = true,
    .options = bots_options,
    .conf_size = sizeof(struct bots_conf),
    .local_size = sizeof(struct bots_local),
    .state_size = sizeof(struct bots_state),
    .open = bots_open,
    .attach = bots_attach,
    .detach = bots_detach,
    .idle = bots_idle,
    .page = bots_page_name,
    .pages_alike = bots_pages_alike,
    .page_body = bots_page_body,
    .finish = bots_finish,
    .on = { [PHASE_REQUEST_HEAD] = bots_head, [PHASE_PAGE] = bots_page },
};
