/*
 * Crawlers by name: those that the code knows, and those of the configuration. A claim is a
 * word in the User-Agent; what proves it is a list that the crawler publishes, or its names in
 * DNS.
 */
#include "auth/bots/stage.h"
#include "conf/schema.h"
#include "gateway/net/worker.h"
#include "gateway/store/snapshot.h"

const struct option bots_crawler_options[] = {
    OPTION(struct bots_crawler_row, agent, OPT_TEXT, .flags = OPTION_REQUIRED,
           .example = "examplebot", .help = "A word of its User-Agent, whatever the case."),
    OPTION(struct bots_crawler_row, domains, OPT_TEXTS, .max = CRAWLER_DOMAINS_MAX,
           .example = "[crawl.example.com]",
           .help = "Domains in which its addresses have names, which have the addresses."),
    OPTION(struct bots_crawler_row, lists, OPT_TEXTS, .max = BOTS_LISTS_MAX,
           .help = "Or lists of its addresses, as `lists` defines them, by URL say."),
    OPTIONS_END,
};

static const struct {
    struct span name, agent, domains;
} known[] = {
#define CRAWLER(its_name, its_agent, its_domains)                                              \
    { SPAN_INIT(its_name), SPAN_INIT(its_agent), SPAN_INIT(its_domains) },
#include "auth/bots/crawlers.def"
#undef CRAWLER
};

/* ---- at load ---- */

bool bots_lists_open(struct bots_lists *lists, const struct texts *texts, struct setup *setup)
{
    lists->items = arena_array(setup->arena, int, texts->count + 1);
    lists->count = 0;
    for (size_t i = 0; lists->items != NULL && i < texts->count; i++) {
        int list = config_list(setup->config, texts->items[i]);
        if (list < 0) {
            complain(setup->complaint, SEVERITY_ERROR, "\"%.*s\" is not the name of a list",
                     (int)texts->items[i].len, texts->items[i].p);
            return false;
        }
        lists->items[lists->count++] = list;
    }
    return lists->items != NULL;
}

static bool put(char *to, size_t size, struct span text)
{
    struct text out = text_fixed(to, size - 1);
    text_lower(&out, text);
    to[out.len] = '\0';
    return !out.overflow && text.len > 0;
}

static bool put_domain(struct bots_crawler *crawler, size_t at, struct span domain)
{
    struct verify_question *question = &crawler->question;
    crawler->has_domains = true;
    if (at == CRAWLER_DOMAINS_MAX || domain.len == 0 || domain.p[0] == '.')
        return false;
    struct verify_question probe = { .addr = { .family = ADDR_V4 } };
    bool good = put(question->domains[at], CRAWLER_DOMAIN_BYTES, domain);
    memcpy(probe.domains[0], question->domains[at], CRAWLER_DOMAIN_BYTES);
    return good && verify_question_ok(&probe);
}

static bool add_row(struct bots_crawler *crawler, const struct bots_crawler_row *row,
                    struct setup *setup)
{
    char *agent = arena_alloc(setup->arena, row->agent.len + 1);
    *crawler = (struct bots_crawler){ .name = row->item.key };
    bool good = agent != NULL && put(agent, row->agent.len + 1, row->agent) &&
                put(crawler->question.name, CRAWLER_NAME_BYTES, row->item.key);
    crawler->agent = span_of(agent, row->agent.len);
    for (size_t i = 0; good && i < row->domains.count; i++)
        good = put_domain(crawler, i, row->domains.items[i]);
    if (!good || (row->domains.count == 0 && row->lists.count == 0)) {
        complain(setup->complaint, SEVERITY_ERROR,
                 "crawler %.*s: it has a name of at most %d bytes, a word of its User-Agent, "
                 "and domains or lists",
                 (int)row->item.key.len, row->item.key.p, CRAWLER_NAME_BYTES - 1);
        return false;
    }
    return bots_lists_open(&crawler->lists, &row->lists, setup);
}

static bool add_known(struct bots_crawler *crawler, struct span name, struct setup *setup)
{
    size_t i = 0;
    while (i < ARRAY_LEN(known) && !span_equal(known[i].name, name))
        i++;
    if (i == ARRAY_LEN(known)) {
        complain(setup->complaint, SEVERITY_ERROR,
                 "verify: \"%.*s\" is not a crawler that is known; `crawlers` defines others",
                 (int)name.len, name.p);
        return false;
    }
    *crawler = (struct bots_crawler){ .name = known[i].name, .agent = known[i].agent };
    struct span rest = known[i].domains, domain;
    bool good = put(crawler->question.name, CRAWLER_NAME_BYTES, known[i].name);
    for (size_t n = 0; good && span_cut(&rest, ',', &domain); n++)
        good = put_domain(crawler, n, domain);
    INVARIANT(good);
    return true;
}

bool bots_crawlers_open(struct bots_conf *conf, struct setup *setup)
{
    const struct bots_crawler_row *rows = conf->crawler_rows.items;
    size_t most = conf->crawler_rows.count + conf->verify.count;
    conf->crawlers = arena_array(setup->arena, struct bots_crawler, most + 1);
    conf->crawler_count = 0;
    bool good = conf->crawlers != NULL;
    /* One of the configuration comes before one that is known by the same word. */
    for (size_t i = 0; good && i < conf->crawler_rows.count; i++)
        good = add_row(&conf->crawlers[conf->crawler_count++], &rows[i], setup);
    for (size_t i = 0; good && i < conf->verify.count; i++)
        good = add_known(&conf->crawlers[conf->crawler_count++], conf->verify.items[i], setup);
    return good;
}

/* ---- on the request path ---- */

bool bots_is_listed(const struct bots_lists *lists, struct txn *txn)
{
    const struct config *config = txn->config;
    for (size_t i = 0; i < lists->count; i++) {
        struct list_hit hit;
        if (config->list_why == NULL) {
            if (cidrs_contain(&config->lists[lists->items[i]].ips, &txn->client))
                return true;
        } else if (config->list_why(config, txn->worker, lists->items[i], &txn->client, &hit)) {
            txn_list_hit(txn, &hit);
            return true;
        }
    }
    return false;
}

/* A list of another server may not have come yet: then nobody is a liar. */
static bool lists_are_there(const struct bots_lists *lists, const struct worker *worker)
{
    for (size_t i = 0; i < lists->count; i++)
        if (worker->snapshots != NULL &&
            addrlist_count(snapshot_get(worker->snapshots, (uint32_t)lists->items[i])) == 0)
            return false;
    return true;
}

const struct bots_crawler *bots_crawler_of(struct call *c, struct span user_agent)
{
    const struct bots_conf *conf = c->conf;
    for (size_t i = 0; i < conf->crawler_count; i++)
        if (agent_names(user_agent, conf->crawlers[i].agent))
            return &conf->crawlers[i];
    return NULL;
}

enum verify_state bots_crawler_state(struct call *c, const struct bots_crawler *crawler)
{
    const struct bots_conf *conf = c->conf;
    const struct addr *client = &c->txn->client;
    uint64_t now_s = bots_now(c);
    if (bots_is_listed(&crawler->lists, c->txn))
        return VERIFY_TRUE;
    if (!crawler->has_domains)
        return lists_are_there(&crawler->lists, c->worker) ? VERIFY_FALSE : VERIFY_UNKNOWN;
    enum verify_state state = verify_look(&conf->memory, client, crawler->name, now_s);
    if (state != VERIFY_NOTHING || (client->family != ADDR_V4 && client->family != ADDR_V6))
        return state;
    struct verify_question question = crawler->question;
    question.addr = *client;
    question.addr.port = 0;
    verify_ask(&conf->memory, &question, now_s);
    return VERIFY_PENDING;
}
