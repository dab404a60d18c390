/*
 * The top-level `crowdsec:` when a configuration is loaded: its rows, what is wrong with it,
 * and the lists that its decisions become. They begin empty, or as the last steward left them.
 */
#include "gateway/load_site.h"
#include "gateway/net/certs.h"
#include "geoip/decisions.h"

#define HOUR_MS (3600LL * 1000)
enum { LAPI_KEY_BYTES_MAX = 256, LAPI_URL_BYTES_MAX = 1024, MACHINE_BYTES_MAX = 128 };

static const struct choice as_choices[] = {
    { "decisions", CROWDSEC_DECISIONS, "Others that ask the same LAPI keep them out, too." },
    { "signals", CROWDSEC_SIGNALS, "Its profiles decide what follows." },
    { NULL, 0, NULL },
};

enum { ASKED_AUTO, ASKED, ASKED_NEVER };

static const struct choice asked_choices[] = {
    { "auto", ASKED_AUTO, "Where `lapi` or `key` is given." },
    { "on", ASKED, NULL },
    { "off", ASKED_NEVER, NULL },
    { NULL, 0, NULL },
};

static const struct option alerts_rows[] = {
    OPTION_NAMED("machine", struct top_conf, crowdsec.alerts.machine, OPT_TEXT, .fallback = "",
                 .example = "gate-1",
                 .help = "The LAPI's name for this gateway (`cscli machines add`). Without it "
                         "the LAPI is told nothing."),
    OPTION_NAMED("password", struct top_conf, crowdsec.alerts.password, OPT_SECRET,
                 .example = "$(file:/etc/sallyport/lapi-password)", .help = "Its password."),
    OPTION_NAMED("as", struct top_conf, crowdsec.alerts.as, OPT_ENUM, .fallback = "decisions",
                 .choices = as_choices, .help = "What our bans are to it."),
    OPTIONS_END,
};

const struct option crowdsec_rows[] = {
    OPTION_NAMED("mode", struct top_conf, crowdsec.mode, OPT_ENUM, .fallback = "auto",
                 .choices = asked_choices, .help = "Whether it is asked."),
    OPTION_NAMED("lapi", struct top_conf, crowdsec.lapi, OPT_URL,
                 .example = "http://127.0.0.1:8080",
                 .help = "Its local API: https, unix, or http to an address that is not "
                         "public."),
    OPTION_NAMED("key", struct top_conf, crowdsec.key, OPT_SECRET,
                 .example = "$(file:/etc/sallyport/lapi-key)",
                 .help = "A key of this gateway alone (`cscli bouncers add`): the LAPI counts "
                         "by it what we know already."),
    OPTION_NAMED("refresh", struct top_conf, crowdsec.refresh, OPT_DURATION, .fallback = "10s",
                 .min = 200, .max = HOUR_MS, .help = "From one question to the next."),
    OPTION_NAMED("resync", struct top_conf, crowdsec.resync, OPT_DURATION, .fallback = "1h",
                 .min = 1000, .max = 24 * HOUR_MS,
                 .help = "How often everything is asked for anew. So it is after each failure, "
                         "too."),
    OPTION_NAMED("max_age", struct top_conf, crowdsec.max_age, OPT_DURATION, .fallback = "1h",
                 .min = 1000, .max = 24 * 365 * HOUR_MS,
                 .help = "Without an answer for so long its lists are called stale in the log "
                         "and in `status`; they go on to count, each entry until it expires."),
    OPTION_NAMED("without", struct top_conf, crowdsec.without, OPT_CIDRS,
                 .max = LIST_WITHOUT_MAX, .example = "[10.0.0.0/8]",
                 .help = "Prefixes whose decisions are passed over."),
    OPTION_NAMED("max_cover", struct top_conf, crowdsec.max_cover, OPT_INT, .fallback = "10",
                 .min = 1, .max = 100,
                 .help = "A decision over more percent of the public addresses is passed over; "
                         "an answer whose bans together are over more, or over so many "
                         "of the countries, is refused."),
    OPTION_NAMED("max_bytes", struct top_conf, crowdsec.max_bytes, OPT_SIZE,
                 .fallback = "64MiB", .min = 1024, .max = DECISIONS_BYTES_MAX,
                 .help = "A longer answer is refused."),
    OPTION_NAMED("ca", struct top_conf, crowdsec.ca, OPT_FILE,
                 .help = "PEM bundle of authorities for the LAPI. Default: the system's."),
    { .name = "alerts",
      .kind = OPT_OBJECT,
      .options = alerts_rows,
      .help = "Our bans are told to the LAPI." },
    OPTIONS_END,
};

static void complain_about(struct site_load *sl, const char *key, const char *message)
{
    const struct node *node = node_child(sl->schema.root, SPAN("crowdsec"));
    const struct node *child = node_child(node, span_text(key));
    struct place place = child != NULL ? child->place : node->place;
    diag_add(sl->load->diags, SEVERITY_ERROR, DIAG_VALUE, place, span_text(message), SPAN(""));
}

/* What goes into a field of a request. */
static bool is_token(const char *p, size_t len, size_t most)
{
    for (size_t i = 0; i < len; i++)
        if (p[i] <= ' ' || p[i] >= 0x7f)
            return false;
    return len > 0 && len <= most;
}

static void check(struct site_load *sl, const struct crowdsec_conf *crowdsec)
{
    struct tls_client_conf client = { .ca = crowdsec->ca.text,
                                      .verify = true,
                                      .profile = TLS_INTERMEDIATE };
    struct span scheme = crowdsec->lapi.scheme, why = { 0 };
    bool known = span_equal(scheme, SPAN("http")) || span_equal(scheme, SPAN("https")) ||
                 span_equal(scheme, SPAN("unix"));
    struct addr addr;

    if (crowdsec->lapi.text.len == 0)
        complain_about(sl, "lapi", "crowdsec.lapi is needed: where its local API listens");
    else if (!known || crowdsec->lapi.text.len > LAPI_URL_BYTES_MAX)
        complain_about(sl, "lapi", "crowdsec.lapi is an http, https or unix URL");
    else if (span_equal(scheme, SPAN("http")) && addr_parse(crowdsec->lapi.host, &addr) &&
             addr_is_global(&addr))
        complain_about(sl, "lapi",
                       "crowdsec.lapi is public: http would show the key, write https");
    if (!is_token(crowdsec->key.p, crowdsec->key.len, LAPI_KEY_BYTES_MAX))
        complain_about(sl, "key",
                       "crowdsec.key is needed: up to 256 printable characters, as `cscli "
                       "bouncers add` gives them");
    if (crowdsec->alerts.machine.len > MACHINE_BYTES_MAX ||
        (crowdsec->alerts.machine.len > 0) != (crowdsec->alerts.password.len > 0) ||
        crowdsec->alerts.password.len > LAPI_KEY_BYTES_MAX)
        complain_about(sl, "alerts",
                       "crowdsec.alerts needs both machine (up to 128 bytes) and password "
                       "(up to 256)");
    struct tls_client *tls = tls_client_new(&client, sl->load->arena, &why);
    if (tls == NULL)
        complain_about(sl, "ca", "crowdsec.ca: its authorities cannot be read");
    tls_client_free(tls);
}

static void add_list(struct site_load *sl, const struct crowdsec_conf *crowdsec,
                     struct span name, enum decision_kind kind)
{
    struct config *config = sl->config;
    if (config_list(config, name) >= 0)
        complain_about(sl, "lapi", "`lists` has one of the names that CrowdSec's have");
    struct list_conf *list = &config->lists[config->list_count++];
    *list = (struct list_conf){ .name = name,
                                .url = crowdsec->lapi.text,
                                .ca = crowdsec->ca,
                                .remedy = (int)kind + 1,
                                .without = crowdsec->without,
                                .max_cover = crowdsec->max_cover,
                                .max_shrink = 100,
                                .refresh_ms = (uint64_t)crowdsec->refresh.ms,
                                .max_age_ms = (uint64_t)crowdsec->max_age.ms,
                                .max_bytes = crowdsec->max_bytes };
    if (addrlist_build(NULL, 0, 0, sl->load->arena, &list->built) != OK)
        complain_about(sl, "lapi", "out of memory");
}

void load_crowdsec(struct site_load *sl, const struct top_conf *top)
{
    const struct crowdsec_conf *crowdsec = &top->crowdsec;
    bool said = crowdsec->lapi.text.len > 0 || crowdsec->key.len > 0 ||
                crowdsec->alerts.machine.len > 0;
    if (crowdsec->mode == ASKED_NEVER || (crowdsec->mode == ASKED_AUTO && !said) ||
        node_child(sl->schema.root, SPAN("crowdsec")) == NULL || sl->config->lists == NULL)
        return;
    check(sl, crowdsec);
    sl->config->crowdsec = crowdsec;
    add_list(sl, crowdsec, SPAN(CROWDSEC_BANS), DECISION_BAN);
    add_list(sl, crowdsec, SPAN(CROWDSEC_CHALLENGES), DECISION_CHALLENGE);
}
