/*
 * Address lists, by the client's address.
 *
 *     allow: {lists: [office], ips: [192.0.2.0/24]}
 *     deny:  {lists: [abusers], ips: [198.51.100.7], except: [office]}
 *
 * `allow` is who may come at all: an address on it passes and is marked as allowed, any other
 * is refused. `deny` refuses what is on it, unless the address is allowed or on a list in
 * `except`: a feed that swallows the operator's own address must not lock the operator out.
 * Either takes a plain list, in which an address is an address and anything else the name of a
 * list.
 *
 * Both take countries and networks (`countries: [KP]`, `asns: [64500]`), which the databases of
 * `geoip` know. A country lets in, but does not mark as allowed: half a continent must not be
 * above bans and lists because it may come.
 *
 * Named lists may change while we run: their blocks come from snapshots. Addresses written into
 * the configuration become a block when it is loaded.
 */
#include "geoip/lists.h"

#include "conf/schema.h"
#include "gateway/base/addrlist.h"
#include "gateway/base/cidrset.h"
#include "gateway/chain/txn.h"
#include "gateway/net/worker.h"
#include "gateway/store/snapshot.h"
#include "geoip/places.h"

enum { LISTS_MAX = 64, NAMES_SHOWN = 8 };

/* What an option of names and addresses comes to. */
struct sources {
    uint32_t *ids; /* of snapshots */
    size_t id_count;
    struct cidrs inline_addresses;
    struct span block; /* of these; empty when there are none */
};

struct allow_conf {
    struct texts lists;
    struct cidrs ips;
    struct texts countries, asns;
    struct sources allowed;
    struct places places;
};

struct deny_conf {
    struct texts lists;
    struct cidrs ips;
    struct texts countries, asns;
    struct texts except;
    struct sources denied, excepted;
    struct places places;
};

static const struct option allow_options[] = {
    OPTION(struct allow_conf, lists, OPT_TEXTS, .flags = OPTION_SHORTHAND, .max = LISTS_MAX,
           .help =
               "Lists of addresses that may come; all others are refused. A plain address or "
               "prefix may stand among the names.",
           .example = "[office, 192.0.2.0/24]"),
    OPTION(struct allow_conf, ips, OPT_CIDRS, .help = "Addresses and prefixes that may come."),
    OPTION(struct allow_conf, countries, OPT_TEXTS, .max = PLACES_MAX,
           .help = "Countries that may come: two letters; ZZ are private addresses, XX those "
                   "that no database knows. They pass, and are judged by `deny` and bans.",
           .example = "[DE, FR, ZZ]"),
    OPTION(struct allow_conf, asns, OPT_TEXTS, .max = PLACES_MAX,
           .help = "Networks that may come, by number; the same holds for them.",
           .example = "[64500, AS64501]"),
    OPTIONS_END,
};

static const struct option deny_options[] = {
    OPTION(struct deny_conf, lists, OPT_TEXTS, .flags = OPTION_SHORTHAND | OPTION_APPEND,
           .max = LISTS_MAX,
           .help = "Lists of addresses that are refused, added to those of the site. A plain "
                   "address or prefix may stand among the names.",
           .example = "[abusers, 198.51.100.7]"),
    OPTION(struct deny_conf, ips, OPT_CIDRS, .flags = OPTION_APPEND,
           .help = "Addresses and prefixes that are refused."),
    OPTION(struct deny_conf, countries, OPT_TEXTS, .flags = OPTION_APPEND, .max = PLACES_MAX,
           .help =
               "Countries that are refused: two letters; ZZ are private addresses, XX those "
               "that no database knows.",
           .example = "[KP]"),
    OPTION(struct deny_conf, asns, OPT_TEXTS, .flags = OPTION_APPEND, .max = PLACES_MAX,
           .help = "Networks that are refused, by number.", .example = "[64500, AS64501]"),
    OPTION(struct deny_conf, except, OPT_TEXTS, .flags = OPTION_APPEND, .max = LISTS_MAX,
           .help = "Lists, or addresses, that are never refused here."),
    OPTIONS_END,
};

/* ---- at load ------------------------------------------------------------------------------
 */

static void complain_of_name(struct setup *setup, struct span name)
{
    char buffer[512];
    struct text known = text_fixed(buffer, sizeof(buffer));
    struct cidr cidr;
    if (cidr_parse(name, true, &cidr)) {
        cidr_write(&known, &cidr);
        complain(setup->complaint, SEVERITY_ERROR,
                 "\"%.*s\" has bits set behind the prefix; write %.*s", (int)name.len, name.p,
                 (int)known.len, known.p);
        return;
    }
    for (size_t i = 0; i < setup->config->list_count && i < NAMES_SHOWN; i++) {
        text_add(&known, i > 0 ? SPAN(", ") : SPAN(""));
        text_add(&known, setup->config->lists[i].name);
    }
    complain(setup->complaint, SEVERITY_ERROR,
             "\"%.*s\" is neither an address nor a list; %s%.*s", (int)name.len, name.p,
             known.len > 0 ? "lists are: " : "`lists` defines none", (int)known.len, known.p);
}

/* Adds up names and addresses. False after a complaint or when memory ran out. */
static bool resolve(struct sources *sources, const struct texts *names, const struct cidrs *ips,
                    struct setup *setup)
{
    *sources = (struct sources){ .ids = arena_array(setup->arena, uint32_t, names->count) };
    struct cidrs all = {
        .items = arena_array(setup->arena, struct cidr, names->count + ips->count),
    };
    if (sources->ids == NULL || all.items == NULL)
        return false;

    bool good = true;
    for (size_t i = 0; i < names->count; i++) {
        int id = config_list(setup->config, names->items[i]);
        if (id >= 0)
            sources->ids[sources->id_count++] = (uint32_t)id;
        else if (cidr_parse(names->items[i], false, &all.items[all.count]))
            all.count++;
        else {
            complain_of_name(setup, names->items[i]);
            good = false;
        }
    }
    for (size_t i = 0; i < ips->count; i++)
        all.items[all.count++] = ips->items[i];
    sources->inline_addresses = all;
    if (all.count > 0 &&
        cidrset_build(all.items, all.count, setup->arena, &sources->block) != OK) {
        complain(setup->complaint, SEVERITY_ERROR, "too many addresses");
        return false;
    }
    return good;
}

/* Feeds that deny must not hold these: see geoip/listguard.h. What `except` names they may:
 * that is what it is for. */
static void spare(const struct sources *sources, struct setup *setup)
{
    for (size_t i = 0; i < sources->inline_addresses.count; i++)
        config_spare(setup->config, &sources->inline_addresses.items[i]);
    for (size_t i = 0; i < sources->id_count; i++) {
        struct span block = setup->config->lists[sources->ids[i]].built;
        struct addrlist_hit hit;
        bool nested;
        for (size_t k = 0; k <= SPARED_MAX && addrlist_at(block, k, &hit, &nested); k++)
            config_spare(setup->config, &hit.prefix);
    }
}

static enum err open_allow(void *base, struct setup *setup)
{
    struct allow_conf *conf = base;
    bool addresses = resolve(&conf->allowed, &conf->lists, &conf->ips, setup);
    bool places = places_resolve(&conf->places, &conf->countries, &conf->asns, setup);
    spare(&conf->allowed, setup);
    return addresses && places ? OK : ERR_CONFIG;
}

static enum err open_deny(void *base, struct setup *setup)
{
    struct deny_conf *conf = base;
    static const struct cidrs none;
    bool denied = resolve(&conf->denied, &conf->lists, &conf->ips, setup);
    bool excepted = resolve(&conf->excepted, &conf->except, &none, setup);
    bool places = places_resolve(&conf->places, &conf->countries, &conf->asns, setup);
    for (size_t i = 0; i < conf->denied.id_count; i++)
        setup->config->lists[conf->denied.ids[i]].denies = true;
    return denied && excepted && places ? OK : ERR_CONFIG;
}

static bool allow_idle(const void *base)
{
    const struct allow_conf *conf = base;
    return conf->lists.count == 0 && conf->ips.count == 0 && conf->countries.count == 0 &&
           conf->asns.count == 0;
}

static bool deny_idle(const void *base)
{
    const struct deny_conf *conf = base;
    return conf->lists.count == 0 && conf->ips.count == 0 && conf->countries.count == 0 &&
           conf->asns.count == 0;
}

/* ---- on the request path ------------------------------------------------------------------
 */

enum membership { OUTSIDE, INSIDE, UNKNOWN };

struct lookup {
    enum membership membership;
    struct list_hit
        hit; /* INSIDE: by what; no name for addresses of the configuration itself */
};

static bool find_place(struct span block, struct worker *worker, const struct addr *addr,
                       uint32_t now_s, struct addrlist_hit *hit)
{
    struct geo geo;
    if (worker->config->geo_lookup == NULL)
        return false;
    worker->config->geo_lookup(worker, addr, &geo, NULL);
    return addrlist_find_place(block, addrlist_country(geo.country), now_s, hit) ||
           (geo.asn != 0 && addrlist_find_place(block, addrlist_network(geo.asn), now_s, hit));
}

bool list_find(struct span block, struct worker *worker, const struct addr *addr,
               struct addrlist_hit *hit)
{
    uint32_t now_s = (uint32_t)(worker->loop.clock.wall_us / 1000000u), place;
    if (addrlist_find(block, addr, now_s, &place)) {
        addrlist_tell(block, addr, place, hit);
        return true;
    }
    return addrlist_places(block) > 0 && find_place(block, worker, addr, now_s, hit);
}

/* A list without a block, which a snapshot never is, answers nothing about anybody. */
static struct lookup look_up(const struct sources *sources, struct worker *worker,
                             const struct addr *addr)
{
    struct lookup lookup = { .membership = OUTSIDE };
    if (cidrset_contains(sources->block, addr))
        return (struct lookup){ .membership = INSIDE };
    for (size_t i = 0; i < sources->id_count; i++) {
        uint32_t id = sources->ids[i];
        struct span block = snapshot_get(worker->snapshots, id);
        if (block.len == 0)
            lookup.membership = UNKNOWN;
        if (!list_find(block, worker, addr, &lookup.hit.what))
            continue;
        lookup.membership = INSIDE;
        lookup.hit.list = worker->config->lists[id].name;
        return lookup;
    }
    return lookup;
}

static struct verdict allow_head(struct call *c)
{
    const struct allow_conf *conf = c->conf;
    struct span label;
    struct lookup allowed = look_up(&conf->allowed, c->worker, &c->txn->client);
    if (allowed.membership == INSIDE) {
        if (allowed.hit.list.len > 0)
            txn_list_hit(c->txn, &allowed.hit);
        fact_set_allowed(c, true);
        return pass();
    }
    const struct geo *geo = places_any(&conf->places) ? txn_geo(c->txn, false) : NULL;
    if (geo == NULL || places_find(&conf->places, geo, &label) == PLACE_NONE)
        return deny(REASON_ADDRESS_NOT_ALLOWED);
    return pass();
}

/* By country or network; `*label` is the one that denies. */
static enum reason judge_place(const struct places *places, struct call *c,
                               const struct addr *addr, struct span *label)
{
    static const enum reason reasons[] = { [PLACE_NONE] = REASON_NONE,
                                           [PLACE_COUNTRY] = REASON_COUNTRY_DENIED,
                                           [PLACE_NETWORK] = REASON_NETWORK_DENIED };
    struct geo here;
    const struct geo *geo = &here;
    if (!places_any(places))
        return REASON_NONE;
    if (c->txn != NULL)
        geo = txn_geo(c->txn, false);
    else
        c->worker->config->geo_lookup(c->worker, addr, &here, NULL);
    return geo != NULL ? reasons[places_find(places, geo, label)] : REASON_STAGE_FAILED;
}

/* The address itself, whoever asks; `*hit` is what denies it. */
static struct verdict judge(struct call *c, const struct addr *addr, struct list_hit *hit)
{
    const struct deny_conf *conf = c->conf;
    struct lookup denied = look_up(&conf->denied, c->worker, addr);
    enum reason place = REASON_NONE;
    if (denied.membership != INSIDE)
        place = judge_place(&conf->places, c, addr, &hit->list);
    if ((denied.membership == OUTSIDE && place == REASON_NONE) ||
        look_up(&conf->excepted, c->worker, addr).membership == INSIDE)
        return pass();
    if (denied.membership == INSIDE) {
        *hit = denied.hit;
        return deny(REASON_ADDRESS_DENIED);
    }
    if (place == REASON_NONE || place == REASON_STAGE_FAILED)
        return fail(REASON_STAGE_FAILED);
    return deny(place);
}

static struct verdict deny_head(struct call *c)
{
    struct list_hit hit = { .list = { NULL, 0 } };
    if (c->txn->facts.allowed)
        return pass();
    struct verdict verdict = judge(c, &c->txn->client, &hit);
    if (verdict.action == ACTION_DENY)
        fact_set_denied_by(c, hit.list);
    if (list_hit_named(&hit))
        txn_list_hit(c->txn, &hit);
    return verdict;
}

static struct verdict deny_connect(struct call *c)
{
    struct list_hit hit = { .list = { NULL, 0 } };
    struct verdict verdict = judge(c, c->peer, &hit);
    if (verdict.action == ACTION_DENY)
        c->denied_by = hit;
    return verdict;
}

const struct stage_type allow_stage = {
    .name = "allow",
    .summary = "Lets in only clients on a list of addresses, and marks them as allowed.",
    .options = allow_options,
    .conf_size = sizeof(struct allow_conf),
    .open = open_allow,
    .idle = allow_idle,
    .on = { [PHASE_REQUEST_HEAD] = allow_head },
};

const struct stage_type deny_stage = {
    .name = "deny",
    .summary = "Refuses clients on a list of addresses.",
    .options = deny_options,
    .conf_size = sizeof(struct deny_conf),
    .open = open_deny,
    .idle = deny_idle,
    .on = { [PHASE_CONNECT] = deny_connect, [PHASE_REQUEST_HEAD] = deny_head },
};
