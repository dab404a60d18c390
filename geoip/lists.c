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
 * Named lists may change while we run: their blocks come from snapshots. Addresses written into
 * the configuration become a block when it is loaded.
 */
#include "geoip/lists.h"

#include "conf/schema.h"
#include "gateway/base/cidrset.h"
#include "gateway/chain/txn.h"
#include "gateway/net/worker.h"
#include "gateway/store/snapshot.h"

enum { LISTS_MAX = 64, NAMES_SHOWN = 8 };

/* What an option of names and addresses comes to. */
struct sources {
    uint32_t *ids; /* of snapshots */
    size_t id_count;
    struct span block; /* the inline addresses; empty when there are none */
};

struct allow_conf {
    struct texts lists;
    struct cidrs ips;
    struct sources allowed;
};

struct deny_conf {
    struct texts lists;
    struct cidrs ips;
    struct texts except;
    struct sources denied, excepted;
};

static const struct option allow_options[] = {
    OPTION(struct allow_conf, lists, OPT_TEXTS, .flags = OPTION_SHORTHAND, .max = LISTS_MAX,
           .help =
               "Lists of addresses that may come; all others are refused. A plain address or "
               "prefix may stand among the names.",
           .example = "[office, 192.0.2.0/24]"),
    OPTION(struct allow_conf, ips, OPT_CIDRS, .help = "Addresses and prefixes that may come."),
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
    if (all.count > 0 &&
        cidrset_build(all.items, all.count, setup->arena, &sources->block) != OK) {
        complain(setup->complaint, SEVERITY_ERROR, "too many addresses");
        return false;
    }
    return good;
}

static enum err open_allow(void *base, struct setup *setup)
{
    struct allow_conf *conf = base;
    return resolve(&conf->allowed, &conf->lists, &conf->ips, setup) ? OK : ERR_CONFIG;
}

static enum err open_deny(void *base, struct setup *setup)
{
    struct deny_conf *conf = base;
    static const struct cidrs none;
    bool denied = resolve(&conf->denied, &conf->lists, &conf->ips, setup);
    bool excepted = resolve(&conf->excepted, &conf->except, &none, setup);
    return denied && excepted ? OK : ERR_CONFIG;
}

static bool allow_idle(const void *base)
{
    const struct allow_conf *conf = base;
    return conf->lists.count == 0 && conf->ips.count == 0;
}

static bool deny_idle(const void *base)
{
    const struct deny_conf *conf = base;
    return conf->lists.count == 0 && conf->ips.count == 0;
}

/* ---- on the request path ------------------------------------------------------------------
 */

enum membership { OUTSIDE, INSIDE, UNKNOWN };

struct lookup {
    enum membership membership;
    struct span list; /* INSIDE: its name; empty for addresses of the configuration itself */
};

/* A list without a block, which a snapshot never is, answers nothing about anybody. */
static struct lookup look_up(const struct sources *sources, const struct worker *worker,
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
        else if (cidrset_contains(block, addr))
            return (struct lookup){ INSIDE, worker->config->lists[id].name };
    }
    return lookup;
}

static struct verdict allow_head(struct call *c)
{
    const struct allow_conf *conf = c->conf;
    if (look_up(&conf->allowed, c->worker, &c->txn->client).membership != INSIDE)
        return deny(REASON_ADDRESS_NOT_ALLOWED);
    fact_set_allowed(c, true);
    return pass();
}

/* The address itself, whoever asks; `*list` is the one that denies it. */
static struct verdict judge(const struct deny_conf *conf, const struct worker *worker,
                            const struct addr *addr, struct span *list)
{
    struct lookup denied = look_up(&conf->denied, worker, addr);
    if (denied.membership == OUTSIDE ||
        look_up(&conf->excepted, worker, addr).membership == INSIDE)
        return pass();
    if (denied.membership == UNKNOWN)
        return fail(REASON_STAGE_FAILED);
    *list = denied.list;
    return deny(REASON_ADDRESS_DENIED);
}

static struct verdict deny_head(struct call *c)
{
    struct span list = { NULL, 0 };
    if (c->txn->facts.allowed)
        return pass();
    struct verdict verdict = judge(c->conf, c->worker, &c->txn->client, &list);
    if (verdict.action == ACTION_DENY)
        fact_set_denied_by(c, list);
    return verdict;
}

static struct verdict deny_connect(struct call *c)
{
    return judge(c->conf, c->worker, c->peer, &c->denied_by);
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
