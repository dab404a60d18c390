/* Options of `bots`, and what they come to. */
#include <sodium.h>
#include <stdlib.h>

#include "auth/bots/stage.h"
#include "conf/schema.h"

enum { DAY_MS = 86400 * 1000 };

struct weight_row {
    struct map_item item;
    int64_t weight;
};

static const struct choice mode_rows[] = {
    { "off", BOTS_OFF, "Do not look." },
    { "score", BOTS_SCORE,
      "Score each request; the record tells the reasons. Nobody is kept out." },
    { "challenge", BOTS_CHALLENGE,
      "And who asks for a page with a score of `threshold.challenge` proves some work first." },
    { "block", BOTS_BLOCK,
      "And a score of `threshold.block` is refused, whatever was asked for." },
    { NULL, 0, NULL },
};

static const struct choice others_choices[] = {
    { "pass", OTHERS_PASS,
      "Let it through: programs, feeds and forms go on working. A scraper that does not ask as "
      "browsers do comes through, too." },
    { "deny", OTHERS_DENY,
      "Refuse it. For routes that only browsers use: who has a clearance sends it with scripts "
      "and pictures, too." },
    { NULL, 0, NULL },
};

static const struct choice attack_choices[] = {
    { "off", ATTACK_OFF, "Only the score counts." },
    { "auto", ATTACK_AUTO,
      "While the route is under attack, who asks for a page is challenged whatever the "
      "score." },
    { "on", ATTACK_ON, "It always is." },
    { NULL, 0, NULL },
};

static const struct option threshold_options[] = {
    OPTION(struct bots_threshold, challenge, OPT_INT, .flags = OPTION_SHORTHAND,
           .fallback = "40", .min = 0, .max = SCORE_MAX,
           .help = "Score from which on a visitor is challenged; 0: everybody."),
    OPTION(struct bots_threshold, block, OPT_INT, .fallback = "80", .min = 1, .max = SCORE_MAX,
           .help = "Score from which on mode `block` refuses."),
    OPTIONS_END,
};

static const struct option attack_options[] = {
    OPTION(struct bots_attack, mode, OPT_ENUM, .flags = OPTION_SHORTHAND, .fallback = "off",
           .choices = attack_choices, .help = "Whether there is such a thing."),
    OPTION(struct bots_attack, requests, OPT_RATE, .example = "500/s",
           .help = "So many requests without a clearance begin it."),
    OPTION(struct bots_attack, suspicious, OPT_RATE, .example = "50/s",
           .help = "So many of them with a score of `threshold.challenge` begin it."),
    OPTION(struct bots_attack, learn, OPT_BOOL, .fallback = "true",
           .help = "Eight times as many requests as usual on this route begin it, too, but "
                   "never fewer than 20 a second. What is usual is learned within five "
                   "minutes."),
    OPTION(struct bots_attack, hold, OPT_DURATION, .fallback = "2m", .min = 1000, .max = DAY_MS,
           .help = "It is over when for so long there has been less than half of that."),
    OPTIONS_END,
};

static const struct option weight_options[] = {
    OPTION(struct weight_row, weight, OPT_INT, .flags = OPTION_REQUIRED | OPTION_SHORTHAND,
           .min = 0, .max = SCORE_MAX,
           .help = "What this reason adds to the score; 0: nothing."),
    OPTIONS_END,
};

const struct option bots_options[] = {
    OPTION(struct bots_conf, mode, OPT_ENUM, .flags = OPTION_SHORTHAND, .fallback = "off",
           .choices = mode_rows, .help = "What follows from the score."),
    { .name = "threshold",
      .kind = OPT_OBJECT,
      .offset = offsetof(struct bots_conf, threshold),
      .options = threshold_options,
      .help = "Scores that have consequences." },
    OPTION_NAMED("weights", struct bots_conf, weight_rows, OPT_MAP, .options = weight_options,
                 .item_size = sizeof(struct weight_row), .max = SIGN_COUNT,
                 .example = "{agent-tool: 0, tor: 60}",
                 .help = "What single reasons weigh; the others weigh what docs/bots.md says."),
    OPTION(struct bots_conf, difficulty, OPT_INT, .fallback = "16", .min = 1,
           .max = CHALLENGE_BITS_MAX,
           .help = "Bits of zero that the proof's hash has to begin with. Each one doubles the "
                   "work: 16 is about a tenth of a second in a browser of today, 20 two."),
    OPTION(struct bots_conf, clearance, OPT_DURATION, .fallback = "1h", .min = 60 * 1000,
           .max = DAY_MS, .help = "How long who has proved it is not asked again."),
    OPTION(struct bots_conf, no_js, OPT_BOOL, .fallback = "true",
           .help = "Whether who runs no scripts may wait instead: a program can do that, too, "
                   "so such a clearance lasts a quarter of the time."),
    OPTION(struct bots_conf, no_js_wait, OPT_DURATION, .fallback = "5s", .min = 1000,
           .max = 60 * 1000, .help = "How long."),
    OPTION(struct bots_conf, signed_in, OPT_BOOL, .fallback = "false",
           .help = "Whether who is signed in on this site by `login` or `oidc` is spared the "
                   "challenge."),
    OPTION(struct bots_conf, others, OPT_ENUM, .fallback = "pass", .choices = others_choices,
           .help = "What becomes of a request that would be challenged but can answer none: of "
                   "a script, a picture, a feed, a program, a form."),
    OPTION(struct bots_conf, exempt, OPT_TEXTS, .flags = OPTION_APPEND, .max = BOTS_PATHS_MAX,
           .example = "[/api/**, /feed/**]", .help = "Paths that are not looked at."),
    OPTION(struct bots_conf, honeypots, OPT_TEXTS, .flags = OPTION_APPEND,
           .max = BOTS_PATHS_MAX, .example = "[/trap/**]",
           .help = "Paths that nobody has a reason to ask for: they may stand in robots.txt or "
                   "behind a link that nobody sees. Who does is refused, but in mode `score`, "
                   "and remembered for a while; `bans` counts it like a refusal by rules."),
    OPTION(struct bots_conf, lists, OPT_TEXTS, .flags = OPTION_APPEND, .max = BOTS_LISTS_MAX,
           .example = "[scanners]", .help = "Lists of addresses that are a reason (listed)."),
    OPTION(struct bots_conf, tor, OPT_TEXTS, .flags = OPTION_APPEND, .max = BOTS_LISTS_MAX,
           .example = "[tor-exits]", .help = "Lists of Tor's exits (tor)."),
    OPTION(struct bots_conf, datacentres, OPT_TEXTS, .max = BOTS_NETWORKS_MAX,
           .fallback = "AS14061,AS14618,AS16276,AS16509,AS20473,AS24940,AS31898,AS37963,"
                       "AS45090,AS45102,AS51167,AS55990,AS60781,AS63949,AS8075,AS12876,"
                       "AS132203,AS136907,AS212238,AS396982,AS9009",
           .help = "Networks that servers stand in; known where `geoip` has a database."),
    OPTION(struct bots_conf, verify, OPT_TEXTS, .max = BOTS_CRAWLERS_MAX,
           .fallback =
               "googlebot,bingbot,applebot,yandexbot,baiduspider,seznambot,slurp,petalbot,"
               "amazonbot,mojeekbot,qwantbot",
           .help = "Crawlers that are asked after by name: whose address has a name in their "
                   "domains, and that name the address, is never challenged; who lies has the "
                   "reason crawler-false."),
    OPTION_NAMED("crawlers", struct bots_conf, crawler_rows, OPT_MAP,
                 .options = bots_crawler_options, .item_size = sizeof(struct bots_crawler_row),
                 .max = BOTS_CRAWLERS_MAX,
                 .example = "{duckduckbot: {agent: duckduckbot, lists: [duckduckbot]}}",
                 .help = "Others, by domains or by lists that they publish."),
    { .name = "attack",
      .kind = OPT_OBJECT,
      .offset = offsetof(struct bots_conf, attack),
      .options = attack_options,
      .help = "When a route is under attack." },
    OPTION(struct bots_conf, secret, OPT_SECRET,
           .help = "Of 32 bytes at least, the same on all nodes that serve a site, so that a "
                   "clearance of one is good at the others. Without it each start makes one."),
    OPTION(struct bots_conf, brand, OPT_TEXT, .example = "Dashboards",
           .help = "Stands above the page that visitors see."),
    OPTION(struct bots_conf, style, OPT_FILE, .example = "pages.css",
           .help = "A style sheet that is added to the page's own, as in `login`."),
    OPTIONS_END,
};

/* ---- what they come to ---- */

static bool read_paths(struct bots_paths *paths, const struct texts *texts, const char *what,
                       struct setup *setup)
{
    paths->items = arena_array(setup->arena, struct path_pattern, texts->count + 1);
    paths->count = 0;
    for (size_t i = 0; paths->items != NULL && i < texts->count; i++) {
        if (path_pattern_parse(texts->items[i], &paths->items[paths->count++]))
            continue;
        complain(setup->complaint, SEVERITY_ERROR,
                 "%s: a path starts with / and has ** only at its end", what);
        return false;
    }
    return paths->items != NULL;
}

static int by_number(const void *a, const void *b)
{
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
    return x < y ? -1 : x > y;
}

static bool read_networks(struct bots_conf *conf, struct setup *setup)
{
    conf->networks = arena_array(setup->arena, uint32_t, conf->datacentres.count + 1);
    conf->network_count = 0;
    for (size_t i = 0; conf->networks != NULL && i < conf->datacentres.count; i++) {
        struct span text = conf->datacentres.items[i];
        uint64_t number;
        if (span_starts_nocase(text, SPAN("AS")))
            text = span_sub(text, 2, text.len);
        if (!span_uint(text, &number) || number == 0 || number > UINT32_MAX) {
            complain(setup->complaint, SEVERITY_ERROR,
                     "\"%.*s\" is not the number of a network",
                     (int)conf->datacentres.items[i].len, conf->datacentres.items[i].p);
            return false;
        }
        conf->networks[conf->network_count++] = (uint32_t)number;
    }
    if (conf->networks != NULL)
        qsort(conf->networks, conf->network_count, sizeof(uint32_t), by_number);
    return conf->networks != NULL;
}

static bool read_weights(struct bots_conf *conf, struct setup *setup)
{
    const struct weight_row *rows = conf->weight_rows.items;
    for (unsigned i = 0; i < SIGN_COUNT; i++)
        conf->weights[i] = sign_rows[i].weight;
    for (size_t r = 0; r < conf->weight_rows.count; r++) {
        unsigned i = 0;
        while (i < SIGN_COUNT && !span_equal(sign_rows[i].slug, rows[r].item.key))
            i++;
        if (i == SIGN_COUNT) {
            complain(setup->complaint, SEVERITY_ERROR, "there is no reason \"%.*s\"",
                     (int)rows[r].item.key.len, rows[r].item.key.p);
            return false;
        }
        conf->weights[i] = (int32_t)rows[r].weight;
    }
    return true;
}

static uint64_t in_window(const struct rate *rate)
{
    uint64_t scaled;
    if (rate->count == 0 || rate->per_ms == 0)
        return 0;
    if (__builtin_mul_overflow(rate->count, (uint64_t)PRESSURE_WINDOW_S * 1000, &scaled))
        return UINT32_MAX;
    scaled /= rate->per_ms;
    return scaled > 0 ? scaled : 1;
}

static bool read_secret(struct bots_conf *conf, struct setup *setup)
{
    struct span secret = span_of(conf->secret.p, conf->secret.len);
    if (secret.len > 0 && secret.len < BOT_KEY_BYTES) {
        complain(setup->complaint, SEVERITY_ERROR, "secret: %d bytes at least", BOT_KEY_BYTES);
        return false;
    }
    if (secret.len == 0)
        secret = span_of((const char *)setup->boot_key, BOT_KEY_BYTES);
    bot_keys_init(&conf->keys, secret);
    return true;
}

enum err bots_open(void *base, struct setup *setup)
{
    struct bots_conf *conf = base;
    if (conf->mode == BOTS_OFF)
        return OK;
    void *memory = setup->shared(setup, "bots", BOTS_LAYOUT, bots_memory_bytes());
    if (sodium_init() < 0 || memory == NULL || !read_secret(conf, setup) ||
        !read_paths(&conf->exempt_paths, &conf->exempt, "exempt", setup) ||
        !read_paths(&conf->honeypot_paths, &conf->honeypots, "honeypots", setup) ||
        !bots_lists_open(&conf->sign_lists, &conf->lists, setup) ||
        !bots_lists_open(&conf->tor_lists, &conf->tor, setup) || !read_networks(conf, setup) ||
        !read_weights(conf, setup) || !bots_crawlers_open(conf, setup))
        return ERR_CONFIG;
    bots_memory_over(&conf->memory, memory, setup->boot_key);
    conf->pressure_rules = (struct pressure_rules){
        .all = in_window(&conf->attack.requests),
        .odd = in_window(&conf->attack.suspicious),
        .learn = conf->attack.learn,
        .hold_s = (uint64_t)conf->attack.hold.ms / 1000,
    };
    if (conf->signed_in && conf->mode >= BOTS_CHALLENGE) {
        conf->sessions = sessions_open(setup, NULL);
        if (conf->sessions == NULL)
            return ERR_CONFIG;
    }
    if (conf->attack.mode != ATTACK_OFF && conf->mode == BOTS_SCORE)
        complain(setup->complaint, SEVERITY_WARNING,
                 "attack: in mode score nobody is challenged, so it does nothing");
    return bots_page_open(conf, setup);
}
