/*
 * Decisions of a CrowdSec: its local API is asked for everything once, and then for what has
 * changed, every `refresh`; what the set comes to is published as two lists. Whatever goes
 * wrong, the last set stays, and each entry of it counts until it expires.
 *
 * The LAPI reckons by the key what it has told already. An answer that we have not taken is
 * lost to us, and so are those that another client of the same key was given. So everything is
 * asked for anew after each failure, and every `resync`.
 */
#include "gateway/steward/crowdsec.h"

#include "gateway/base/log.h"
#include "gateway/store/snapshot.h"
#include "geoip/listguard.h"

enum { RETRY_MS = 1000, RETRY_MOST_MS = 60 * 1000 };
#define BUILD_MEMORY ((size_t)1 << 30)
/* Without `scopes`, only addresses and prefixes are told. */
#define STREAM "/v1/decisions/stream?scopes=ip,range,country,as&startup="

static const struct watched_list *settings_of(const struct crowdsec *crowdsec)
{
    return crowdsec->lists[DECISION_BAN]->settings;
}

static uint32_t now_of(const struct crowdsec *crowdsec)
{
    return (uint32_t)(crowdsec->steward->loop.clock.wall_us / 1000000u);
}

/* ---- to the workers ---- */

/* Refused whole, as a list of another server would be: the lists that stand are better. */
static const char *guard(struct crowdsec *crowdsec, enum decision_kind kind, struct span block)
{
    const struct watched_list *settings = crowdsec->lists[kind]->settings;
    struct listguard guard = { .max_cover = settings->max_cover, .max_shrink = 100 };
    char buffer[256];
    struct text detail = text_fixed(buffer, sizeof buffer);

    if (block.len > FEED_BYTES_MAX)
        return "its decisions are too many";
    if (kind != DECISION_BAN)
        return NULL;
    return listguard_refuses(&guard, block, 0, now_of(crowdsec), &detail) != NULL ||
                   crowdsec_covers_too_much(crowdsec, block, settings->max_cover)
               ? "its bans cover more than max_cover"
               : NULL;
}

static const char *publish(struct crowdsec *crowdsec, enum decision_kind kind,
                           const struct decisions *set)
{
    static const struct feed_facts none;
    struct watched *list = crowdsec->lists[kind];
    struct arena arena;
    struct span block;

    arena_init(&arena, NULL, 0, NULL, BUILD_MEMORY);
    const char *why = decisions_build(set, kind, now_of(crowdsec), &arena, &block) != OK
                          ? "there is no memory for its decisions"
                          : guard(crowdsec, kind, block);
    if (why == NULL)
        why = lists_take_block(crowdsec->steward, list, block);
    arena_reset(&arena);
    if (why == NULL && !feeds_keep(crowdsec->steward, list, &none))
        log_error("decisions cannot be kept: a reload will begin with those before",
                  F_TEXT("list", list->settings->name));
    return why;
}

/* ---- one round ---- */

static void end_round(struct crowdsec *crowdsec, const char *trouble)
{
    uint64_t refresh = settings_of(crowdsec)->refresh_ms;

    if (trouble != NULL && trouble != crowdsec->trouble)
        log_error("CrowdSec's decisions cannot be had; the last ones stay",
                  F_TEXT("why", trouble));
    else if (trouble == NULL && crowdsec->trouble != NULL)
        log_info("CrowdSec's decisions are had again");
    crowdsec->trouble = trouble;
    for (unsigned kind = 0; kind < DECISION_KINDS; kind++)
        crowdsec->lists[kind]->trouble = trouble;
    lapi_close(&crowdsec->call);
    crowdsec->rounds++;
    crowdsec->begun = crowdsec->begun && trouble == NULL;
    crowdsec->retry_ms = trouble == NULL           ? 0
                         : crowdsec->retry_ms == 0 ? RETRY_MS
                                                   : crowdsec->retry_ms * 2;
    if (crowdsec->retry_ms > RETRY_MOST_MS)
        crowdsec->retry_ms = RETRY_MOST_MS;
    bool soon = trouble != NULL && crowdsec->retry_ms < refresh;
    timer_set(&crowdsec->steward->loop, &crowdsec->timer, soon ? crowdsec->retry_ms : refresh);
}

static void tell(struct crowdsec *crowdsec, const struct decisions *set,
                 const struct decision_tally *tally)
{
    char buffer[64] = "";
    struct text blame = text_fixed(buffer, sizeof buffer);

    if (tally->refused > 0) {
        if (tally->blame.addr.family != ADDR_NONE)
            cidr_write(&blame, &tally->blame);
        else
            addrlist_place_write(&blame, tally->blame_place);
        log_error("decisions of CrowdSec are passed over: they hold an address of the "
                  "allow-list, a trusted proxy, or more than max_cover",
                  F_INT("count", tally->refused), F_SPAN("one", text_span(&blame)));
    }
    size_t places =
        decisions_places(set, DECISION_BAN) + decisions_places(set, DECISION_CHALLENGE);
    bool known = places == 0;
    for (uint32_t i = 0; i < crowdsec->steward->settings->list_count; i++)
        known |= crowdsec->steward->settings->lists[i].kind == SNAPSHOT_GEO_DATABASE;
    if (!known && !crowdsec->places_told)
        log_error("decisions of CrowdSec by country or network count only with `geoip`",
                  F_INT("count", places));
    crowdsec->places_told = !known;
    if (tally->fresh + tally->gone > 0)
        log_info("CrowdSec has decided", F_INT("new", tally->fresh), F_INT("gone", tally->gone),
                 F_INT("bans", decisions_count(set, DECISION_BAN)),
                 F_INT("challenges", decisions_count(set, DECISION_CHALLENGE)));
}

static struct decision_rules rules_of(struct crowdsec *crowdsec)
{
    const struct steward_settings *all = crowdsec->steward->settings;
    const struct watched_list *settings = settings_of(crowdsec);
    return (struct decision_rules){
        .own = span_text(crowdsec->own),
        .without = { (struct cidr *)settings->without, settings->without_count },
        .spared = { (struct cidr *)all->spared, settings->denies ? all->spared_count : 0 },
        .max_cover = settings->max_cover,
        .network_share = crowdsec_network_share,
        .ctx = crowdsec,
    };
}

static const char *publish_both(struct crowdsec *crowdsec, const struct decisions *set)
{
    for (unsigned kind = 0; kind < DECISION_KINDS; kind++) {
        const char *why = publish(crowdsec, (enum decision_kind)kind, set);
        if (why != NULL)
            return why;
    }
    return NULL;
}

/* A whole answer makes a new set, and only then the old one goes. */
static const char *take(struct crowdsec *crowdsec)
{
    struct decision_rules rules = rules_of(crowdsec);
    struct decisions *set = crowdsec->whole ? decisions_new() : crowdsec->set;
    struct decision_tally tally;
    const char *why = "there is no memory for its decisions";
    bool good = set != NULL && decisions_apply(set, crowdsec->call.fetch.body, &rules,
                                               now_of(crowdsec), &tally, &why) == OK;

    if (good && (crowdsec->whole || tally.fresh + tally.gone > 0)) {
        why = publish_both(crowdsec, set);
        good = why == NULL;
    }
    if (crowdsec->whole) {
        struct decisions *old = good ? crowdsec->set : set;
        crowdsec->set = good ? set : crowdsec->set;
        decisions_free(old);
    }
    if (!good)
        return why;
    if (crowdsec->whole)
        crowdsec->unusable = crowdsec->refused = 0;
    crowdsec->unusable += tally.unusable;
    crowdsec->refused += tally.refused;
    tell(crowdsec, set, &tally);
    for (unsigned kind = 0; kind < DECISION_KINDS; kind++)
        feeds_heard(crowdsec->steward, crowdsec->lists[kind]);
    if (crowdsec->whole) {
        crowdsec->begun = true;
        crowdsec->whole_ms = clock_ms(&crowdsec->steward->loop.clock);
    }
    return NULL;
}

static void on_answer(struct lapi_call *call)
{
    struct crowdsec *crowdsec = CONTAINER(call, struct crowdsec, call);
    int status = call->fetch.status;

    if (call->why != NULL)
        end_round(crowdsec, call->why);
    else if (status == 401 || status == 403)
        end_round(crowdsec, "it does not know the key");
    else
        end_round(crowdsec, status == 200 ? take(crowdsec) : "it does not answer with 200");
}

static void begin_round(struct crowdsec *crowdsec)
{
    const struct steward_settings *all = crowdsec->steward->settings;
    uint64_t now_ms = clock_ms(&crowdsec->steward->loop.clock);

    crowdsec->whole =
        !crowdsec->begun || now_ms - crowdsec->whole_ms >= all->crowdsec.resync_ms;
    crowdsec->call.done = on_answer;
    lapi_ask(&crowdsec->lapi, &crowdsec->call, crowdsec->whole ? STREAM "true" : STREAM "false",
             &crowdsec->field, span_of(NULL, 0), settings_of(crowdsec)->max_bytes);
}

static void on_timer(struct timer *timer)
{
    begin_round(CONTAINER(timer, struct crowdsec, timer));
}

/* ---- beginning ---- */

/* NULL: there is none. */
static const struct watched_list *list_of(const struct steward_settings *settings,
                                          enum decision_kind kind, uint32_t *at)
{
    for (*at = 0; *at < settings->list_count; (*at)++)
        if (settings->lists[*at].remedy == (uint32_t)kind + 1)
            return &settings->lists[*at];
    return NULL;
}

enum err crowdsec_open(struct steward *steward)
{
    const struct steward_settings *settings = steward->settings;
    uint32_t at;
    const struct watched_list *bans = list_of(settings, DECISION_BAN, &at);

    if (settings->crowdsec.key[0] == '\0' || bans == NULL)
        return OK;
    struct crowdsec *crowdsec = arena_new(&steward->arena, struct crowdsec);
    if (crowdsec == NULL)
        return ERR_MEMORY;
    crowdsec->steward = steward;
    crowdsec->timer.fire = on_timer;
    crowdsec->field =
        (struct fetch_field){ SPAN("X-Api-Key"), span_text(settings->crowdsec.key) };
    steward->crowdsec = crowdsec;
    return lapi_open(&crowdsec->lapi, steward, bans);
}

void crowdsec_start(struct steward *steward)
{
    struct crowdsec *crowdsec = steward->crowdsec;

    if (crowdsec == NULL)
        return;
    for (unsigned kind = 0; kind < DECISION_KINDS; kind++) {
        struct feed_known known;
        uint32_t at;
        const struct watched_list *settings =
            list_of(steward->settings, (enum decision_kind)kind, &at);
        INVARIANT(settings != NULL); /* the generation makes both or none */
        crowdsec->lists[kind] = &steward->lists[at];
        if (feeds_take_kept(steward, crowdsec->lists[kind], &known))
            crowdsec->lists[kind]->fetched_s = known.fetched_s;
    }
    alerts_open(crowdsec);
    begin_round(crowdsec);
}

/* ---- what is told ---- */

void crowdsec_status(struct json *j, const struct steward *steward)
{
    const struct crowdsec *crowdsec = steward->crowdsec;

    if (crowdsec == NULL)
        return;
    json_begin_object(j, "crowdsec");
    json_text(j, "lapi", span_text(settings_of(crowdsec)->url));
    json_uint(j, "rounds", crowdsec->rounds);
    if (crowdsec->set != NULL) {
        json_uint(j, "bans", decisions_count(crowdsec->set, DECISION_BAN));
        json_uint(j, "challenges", decisions_count(crowdsec->set, DECISION_CHALLENGE));
    }
    json_uint(j, "unusable", crowdsec->unusable);
    json_uint(j, "refused", crowdsec->refused);
    if (crowdsec->trouble != NULL)
        json_text(j, "trouble", span_text(crowdsec->trouble));
    alerts_status(j, crowdsec);
    json_end_object(j);
}

void crowdsec_metrics(struct text *out, const struct steward *steward)
{
    const struct crowdsec *crowdsec = steward->crowdsec;

    if (crowdsec == NULL)
        return;
    const struct decisions *set = crowdsec->set;
    const struct {
        const char *name, *type, *help;
        uint64_t value;
    } rows[] = {
        { "bans", "gauge", "Bans of CrowdSec that are known.",
          set != NULL ? decisions_count(set, DECISION_BAN) : 0 },
        { "challenges", "gauge", "Challenges of CrowdSec that are known.",
          set != NULL ? decisions_count(set, DECISION_CHALLENGE) : 0 },
        { "up", "gauge", "Whether its last answer was good.",
          crowdsec->trouble == NULL && crowdsec->begun },
        { "alerts_sent_total", "counter", "Bans that it was told.", crowdsec->alerts.sent },
        { "lifts_sent_total", "counter", "Ends of bans that it was told.",
          crowdsec->alerts.lifted },
        { "alerts_dropped_total", "counter", "Bans that it was not told.",
          crowdsec->alerts.dropped + crowdsec->alerts.rejected },
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++)
        text_format(out,
                    "# HELP sallyport_crowdsec_%s %s\n# TYPE sallyport_crowdsec_%s %s\n"
                    "sallyport_crowdsec_%s %llu\n",
                    rows[i].name, rows[i].help, rows[i].name, rows[i].type, rows[i].name,
                    (unsigned long long)rows[i].value);
}
