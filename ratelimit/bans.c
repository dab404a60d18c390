/*
 * Bans.
 *
 *     bans: {after: 5 blocks/10m, for: 10m, never: [office], honeypots: [/wp-login.php]}
 *
 * An address that was refused by rules, failed to sign in, ran into limits or looked for pages
 * that are not there gathers points, which halve in the time of `after`; at the number of
 * `after` it is banned. The first ban lasts `for`, each further one `factor` times as long. A
 * honeypot is a path that nobody has a reason to ask for: who does is banned at once.
 *
 * The allow-list comes before, so who is on it is neither banned nor counted, and so is who is
 * on a list in `never`: an operator is not locked out by what a scanner does beside him.
 */
#include "ratelimit/bans.h"

#include "conf/schema.h"
#include "gateway/chain/reply.h"
#include "gateway/chain/txn.h"
#include "gateway/http/message.h"
#include "gateway/net/worker.h"

enum { NEVER_MAX = 32, HONEYPOTS_MAX = 64, DAY_MS = 86400 * 1000 };

struct bans_conf {
    struct rate after;
    struct duration length, longest;
    int64_t factor;
    struct texts never, honeypots;
    bool cut;
    /* ready */
    struct bans bans;
    struct ban_policy policy;
    int *never_lists;
    size_t never_list_count;
    struct cidrs never_nets;
    struct path_pattern *patterns;
    size_t pattern_count;
};

static const struct option bans_options[] = {
    OPTION(struct bans_conf, after, OPT_RATE, .flags = OPTION_SHORTHAND,
           .example = "5 blocks/10m",
           .help = "How many refusals by rules or failed log-ins, within about this time, "
                   "make a ban; five refusals by limits, or ten missing pages, count as one. "
                   "Without it only operators ban, and honeypots."),
    OPTION_NAMED("for", struct bans_conf, length, OPT_DURATION, .fallback = "10m", .min = 1000,
                 .max = 30LL * DAY_MS, .help = "How long the first ban of an address lasts."),
    OPTION(struct bans_conf, factor, OPT_INT, .fallback = "6", .min = 1, .max = 100,
           .help = "How many times as long each further ban of the same address lasts, for as "
                   "long as a week has not passed in peace."),
    OPTION(struct bans_conf, longest, OPT_DURATION, .fallback = "1d", .min = 1000,
           .max = 366LL * DAY_MS, .help = "No ban lasts longer."),
    OPTION(struct bans_conf, never, OPT_TEXTS, .flags = OPTION_APPEND, .max = NEVER_MAX,
           .example = "[office, 192.0.2.0/24]",
           .help = "Lists and addresses that are never banned."),
    OPTION(struct bans_conf, honeypots, OPT_TEXTS, .flags = OPTION_APPEND, .max = HONEYPOTS_MAX,
           .example = "[/.env, /wp-login.php]",
           .help = "Paths that only scanners ask for: one request, and the address is "
                   "banned."),
    OPTION(struct bans_conf, cut, OPT_BOOL, .fallback = "false",
           .help = "Cut the connection of who is banned, in place of an answer."),
    OPTIONS_END,
};

/* ---- at load ---- */

static bool read_never(struct bans_conf *conf, struct setup *setup)
{
    conf->never_lists = arena_array(setup->arena, int, conf->never.count + 1);
    conf->never_nets.items = arena_array(setup->arena, struct cidr, conf->never.count + 1);
    if (conf->never_lists == NULL || conf->never_nets.items == NULL)
        return false;
    conf->never_list_count = conf->never_nets.count = 0;
    for (size_t i = 0; i < conf->never.count; i++) {
        struct span name = conf->never.items[i];
        int list = config_list(setup->config, name);
        if (list >= 0) {
            conf->never_lists[conf->never_list_count++] = list;
            continue;
        }
        if (cidr_parse(name, false, &conf->never_nets.items[conf->never_nets.count])) {
            conf->never_nets.count++;
            continue;
        }
        complain(setup->complaint, SEVERITY_ERROR, "\"%.*s\" is neither an address nor a list",
                 (int)name.len, name.p);
        return false;
    }
    return true;
}

static bool read_honeypots(struct bans_conf *conf, struct setup *setup)
{
    conf->patterns = arena_array(setup->arena, struct path_pattern, conf->honeypots.count + 1);
    conf->pattern_count = 0;
    for (size_t i = 0; conf->patterns != NULL && i < conf->honeypots.count; i++) {
        if (path_pattern_parse(conf->honeypots.items[i], &conf->patterns[i])) {
            conf->pattern_count++;
            continue;
        }
        complain(setup->complaint, SEVERITY_ERROR,
                 "a honeypot is a path: it starts with / and has ** only at its end");
        return false;
    }
    return conf->patterns != NULL;
}

/* For those who ban by hand: the plain prefixes, also those of named lists. */
static void tell_never(const struct bans_conf *conf, const struct setup *setup)
{
    struct cidr nets[BAN_NEVER_MAX];
    size_t count = 0;
    for (size_t i = 0; i < conf->never_nets.count && count < BAN_NEVER_MAX; i++)
        nets[count++] = conf->never_nets.items[i];
    for (size_t i = 0; i < conf->never_list_count; i++) {
        const struct cidrs *ips = &setup->config->lists[conf->never_lists[i]].ips;
        for (size_t k = 0; k < ips->count && count < BAN_NEVER_MAX; k++)
            nets[count++] = ips->items[k];
    }
    if (count > 0)
        bans_never_set(&conf->bans, nets, count);
}

static enum err open_bans(void *base, struct setup *setup)
{
    struct bans_conf *conf = base;
    void *memory = setup->shared(setup, "bans", BANS_LAYOUT, bans_bytes());
    if (memory == NULL || !read_never(conf, setup) || !read_honeypots(conf, setup))
        return ERR_CONFIG;
    bans_over(&conf->bans, memory, setup->boot_key);
    if (conf->after.count > OFFENCE_POINTS_MAX / POINTS_PER_COUNT ||
        conf->after.per_ms / 1000 > UINT32_MAX) {
        complain(setup->complaint, SEVERITY_ERROR, "after: at most 6553, within 100 years");
        return ERR_CONFIG;
    }
    uint32_t half_s = (uint32_t)(conf->after.per_ms / 1000);
    conf->policy = (struct ban_policy){
        .threshold = (uint32_t)conf->after.count * POINTS_PER_COUNT,
        .half_s = half_s > 0 ? half_s : 1,
        .first_s = (uint64_t)conf->length.ms / 1000,
        .longest_s = (uint64_t)conf->longest.ms / 1000,
        .factor = (uint64_t)conf->factor,
    };
    if (conf->policy.longest_s < conf->policy.first_s)
        conf->policy.longest_s = conf->policy.first_s;
    tell_never(conf, setup);
    return OK;
}

static enum err attach_bans(void *local, const void *base, struct worker *worker)
{
    const struct bans_conf *conf = base;
    (void)local;
    if (worker->keys == NULL || worker->ban_share != NULL)
        return OK;
    worker->ban_share = ban_share_attach(worker, &conf->bans);
    return worker->ban_share != NULL ? OK : ERR_MEMORY;
}

/* ---- on the request path ---- */

static bool is_spared(const struct bans_conf *conf, struct txn *txn)
{
    if (txn->facts.allowed || cidrs_contain(&conf->never_nets, &txn->client))
        return true;
    const struct config *config = txn->config;
    for (size_t i = 0; i < conf->never_list_count; i++) {
        int list = conf->never_lists[i];
        if (config->list_contains != NULL
                ? config->list_contains(config, txn->worker, list, &txn->client)
                : cidrs_contain(&config->lists[list].ips, &txn->client))
            return true;
    }
    return false;
}

static void copy_text(char *to, size_t size, struct span text)
{
    struct text out = text_fixed(to, size - 1);
    text_add(&out, span_sub(text, 0, size - 1));
    to[out.len] = '\0';
}

struct judged {
    const struct bans_conf *conf;
    struct txn *txn;
    bool detect; /* what would be banned is noted, for other sites share the bans */
};

/* An offence, and the ban that may follow from it, both on record for the steward. */
static void offend(const struct judged *judged, const struct ban_policy *policy,
                   uint32_t points, enum ban_cause cause)
{
    const struct bans *bans = &judged->conf->bans;
    struct txn *txn = judged->txn;
    uint64_t now_s = txn->clock->wall_us / 1000000;
    struct ban_event event = { .at_s = now_s,
                               .net = ban_net(&txn->client),
                               .kind = BAN_OFFENCE,
                               .cause = (uint8_t)cause };
    copy_text(event.request, sizeof(event.request), txn_id(txn));
    copy_text(event.site, sizeof(event.site), span_text(txn->site->name));
    bans_log(bans, &event);
    if (judged->detect)
        return;
    event.until_s = bans_offend(bans, &txn->client, policy, points, now_s, &event.level);
    if (event.until_s == 0)
        return;
    event.kind = BAN_SET;
    bans_log(bans, &event);
}

/* What the request came to, once that is known. */
static const struct judgement {
    enum reason reason;
    enum ban_cause cause;
    uint32_t points;
} judgements[] = {
    { REASON_RULE, CAUSE_RULE, POINTS_RULE },
    { REASON_AUTH_FAILED, CAUSE_LOGIN, POINTS_LOGIN },
    { REASON_RATE_LIMIT, CAUSE_LIMIT, POINTS_LIMIT },
    { REASON_BOT_HONEYPOT, CAUSE_HONEYPOT, POINTS_RULE },
    { REASON_BOT_SCORE, CAUSE_RULE, POINTS_RULE },
    { REASON_BOT_ANSWER, CAUSE_RULE, POINTS_LIMIT },
};

/* As the transaction's memory goes: all is decided, and it is still there to be read. */
static void judge(void *owned)
{
    const struct judged *judged = owned;
    struct txn *txn = judged->txn;
    const struct bans_conf *conf = judged->conf;
    bool enforced = txn->decided == ACTION_DENY || txn->decided == ACTION_REPLY;
    for (size_t i = 0; i < ARRAY_LEN(judgements); i++) {
        const struct judgement *row = &judgements[i];
        if (!enforced || txn->reason != row->reason)
            continue;
        offend(judged, &conf->policy, row->points, row->cause);
        return;
    }
    if (txn->decided == ACTION_PASS && txn->rsp != NULL && txn->rsp->status == 404)
        offend(judged, &conf->policy, POINTS_NOT_FOUND, CAUSE_NOT_FOUND);
}

static const struct reply *refusal(const struct bans_conf *conf, struct txn *txn,
                                   uint64_t left_s)
{
    struct reply *reply = reply_new(txn, 0);
    struct text after = text_growing(txn->arena, 24);
    text_uint(&after, left_s);
    if (reply == NULL || after.overflow ||
        !reply_field(reply, SPAN("Retry-After"), text_span(&after)))
        return NULL;
    reply->cut = conf->cut;
    return reply;
}

static bool is_honeypot(const struct bans_conf *conf, const struct request *req)
{
    struct span path = req->path_plain.len > 0 ? req->path_plain : req->path;
    for (size_t i = 0; i < conf->pattern_count; i++)
        if (path_pattern_matches(&conf->patterns[i], path))
            return true;
    return false;
}

static struct verdict ban_head(struct call *c)
{
    const struct bans_conf *conf = c->conf;
    struct txn *txn = c->txn;
    uint64_t now_s = txn->clock->wall_us / 1000000;
    uint64_t until_s = bans_until(&conf->bans, &txn->client, now_s);
    const struct stage_instance *stage = &txn->route->chain[txn->run.phase][txn->run.index];
    struct judged judged = { conf, txn, stage->mode == MODE_DETECT };
    bool judging = conf->policy.threshold > 0 || conf->pattern_count > 0;

    if ((until_s == 0 && !judging) || is_spared(conf, txn))
        return pass();
    if (until_s > 0)
        return deny_with(REASON_BANNED, refusal(conf, txn, until_s - now_s));
    if (is_honeypot(conf, c->req)) {
        struct ban_policy at_once = conf->policy;
        at_once.threshold = 1;
        offend(&judged, &at_once, 1, CAUSE_HONEYPOT);
        return deny_with(REASON_BANNED, refusal(conf, txn, conf->policy.first_s));
    }
    if (conf->policy.threshold == 0)
        return pass();
    struct judged *kept = arena_new(txn->arena, struct judged);
    if (kept == NULL)
        return fail(REASON_MEMORY);
    *kept = judged;
    return arena_defer(txn->arena, judge, kept) ? pass() : fail(REASON_MEMORY);
}

const struct stage_type bans_stage = {
    .name = "bans",
    .summary = "Keeps out addresses that keep offending, and those that operators banned.",
    .remembers = true,
    .options = bans_options,
    .conf_size = sizeof(struct bans_conf),
    .open = open_bans,
    .attach = attach_bans,
    .on = { [PHASE_REQUEST_HEAD] = ban_head },
};
