/*
 * Client certificates: a name for who it is that TLS has verified.
 *
 *     tls: {cert: c.pem, key: k.pem, client_cert: {ca: people.pem, require: optional}}
 *     certificate: {name: email, users: {ann@example.org: ann}}
 *
 * TLS checks that the certificate is one of the site's own CA's, in a first handshake and when
 * a session is resumed; here it becomes a user. A certificate counts only on the site whose CA
 * it was checked against: a connection that was made for another site (HTTP/2 shares them)
 * brings none. One with several names of the kind that is asked for is nobody, unless exactly
 * one of them is among `users`.
 */
#include "auth/certificate.h"

#include "auth/demand.h"
#include "auth/lend.h"
#include "auth/token.h"
#include "conf/schema.h"
#include "gateway/base/table.h"
#include "gateway/chain/edit.h"
#include "gateway/http/stream.h"
#include "gateway/net/certs.h"
#include "gateway/net/tls.h"

enum { CERTIFICATE_USERS_MAX = 10000, CERTIFICATE_CLAIMS = 3 + TLS_SANS_MAX };
enum { NAME_EMAIL, NAME_URI, NAME_DNS, NAME_SUBJECT, NAME_FINGERPRINT, NAME_NONE };

struct certificate_user {
    struct map_item item;
    struct span user;
};

struct certificate_conf {
    int name;
    struct list users;
    struct span pass;

    struct table by_name;
    struct span challenge;
};

static const struct choice name_choices[] = {
    { "email", NAME_EMAIL, "An address among the subject's alternative names." },
    { "uri", NAME_URI, "A URI there, such as a SPIFFE id." },
    { "dns", NAME_DNS, "A host's name there." },
    { "subject", NAME_SUBJECT, "The whole subject, as RFC 2253 writes it." },
    { "fingerprint", NAME_FINGERPRINT, "SHA-256 of the certificate, in small hex." },
    { "none", NAME_NONE, "Certificates are nobody's." },
    { NULL, 0, NULL },
};

static const struct option user_options[] = {
    OPTION(struct certificate_user, user, OPT_TEXT, .flags = OPTION_SHORTHAND | OPTION_REQUIRED,
           .help = "The user's name."),
    OPTIONS_END,
};

static const struct option certificate_options[] = {
    OPTION(struct certificate_conf, name, OPT_ENUM, .fallback = "none", .choices = name_choices,
           .flags = OPTION_SHORTHAND, .help = "What of the certificate names the user."),
    OPTION(struct certificate_conf, users, OPT_MAP, .options = user_options,
           .item_size = sizeof(struct certificate_user), .max = CERTIFICATE_USERS_MAX,
           .help = "Users by that name. Without it the name itself is the user's."),
    OPTION(struct certificate_conf, pass, OPT_TEXT, .example = "X-Remote-User",
           .help = "Request field that tells upstream the user's name; none when empty."),
    OPTIONS_END,
};

/* ---- at load ---- */

static bool certificate_idle(const void *base)
{
    const struct certificate_conf *conf = base;
    return conf->name == NAME_NONE;
}

static enum err open_certificate(void *base, struct setup *setup)
{
    struct certificate_conf *conf = base;
    const struct certificate_user *rows = conf->users.items;
    if (certificate_idle(conf) && conf->users.count > 0) {
        complain(setup->complaint, SEVERITY_ERROR,
                 "name says what of a certificate the users are found by");
        return ERR_CONFIG;
    }
    if (certificate_idle(conf))
        return OK;
    if (!lend_name_valid(setup, "pass", conf->pass))
        return ERR_CONFIG;
    TRY(table_init(&conf->by_name, setup->arena, conf->users.count));
    for (size_t i = 0; i < conf->users.count; i++) {
        if (!token_user_valid(rows[i].user)) {
            complain(setup->complaint, SEVERITY_ERROR,
                     "\"%.*s\" is nobody's name: 1 to 255 bytes, no control characters, no "
                     "space around it",
                     (int)rows[i].user.len, rows[i].user.p);
            return ERR_CONFIG;
        }
        TRY(table_put(&conf->by_name, rows[i].item.key, (void *)(uintptr_t)&rows[i]));
    }
    conf->challenge = SPAN("ClientCertificate");
    return conf->pass.len == 0 || lend_field(setup, conf->pass) ? OK : ERR_MEMORY;
}

/* ---- on the request path ---- */

/* NULL: none that was checked against this site's CA. */
static const struct tls_info *certificate_of(const struct txn *txn)
{
    const struct tls_info *info = txn->stream != NULL ? txn->stream->tls : NULL;
    if (info == NULL || !info->client_cert || txn->site->tls_site < 0)
        return NULL;
    if (info->site == txn->site->tls_site)
        return info;
    return txn->config->tls != NULL &&
                   tls_server_sites_alike(txn->config->tls, info->site, txn->site->tls_site)
               ? info
               : NULL;
}

struct choice_of_user {
    struct span user;
    unsigned count;
};

static void consider(const struct certificate_conf *conf, struct span name,
                     struct choice_of_user *choice)
{
    struct span user = name;
    if (conf->users.count > 0) {
        const struct certificate_user *row = table_get(&conf->by_name, name);
        if (row == NULL)
            return;
        user = row->user;
    }
    if (!token_user_valid(user))
        return;
    choice->user = user;
    choice->count++;
}

static struct choice_of_user user_of(const struct certificate_conf *conf,
                                     const struct tls_info *info)
{
    static const struct span kinds[] = { SPAN_INIT("email"), SPAN_INIT("uri"),
                                         SPAN_INIT("dns") };
    struct choice_of_user choice = { .count = 0 };
    struct span rest = info->client_sans, line, kind;
    if (conf->name == NAME_SUBJECT)
        consider(conf, info->client_subject, &choice);
    else if (conf->name == NAME_FINGERPRINT)
        consider(conf, info->client_fingerprint, &choice);
    else
        while (rest.len > 0 && span_cut(&rest, '\n', &line))
            if (span_cut(&line, ':', &kind) && span_equal(kind, kinds[conf->name]))
                consider(conf, line, &choice);
    return choice;
}

static const struct identity *identity_of(struct txn *txn, const struct tls_info *info,
                                          struct span user)
{
    struct identity *identity = arena_new(txn->arena, struct identity);
    struct claim *claims = arena_array(txn->arena, struct claim, CERTIFICATE_CLAIMS);
    struct span rest = info->client_sans, line, kind;
    if (identity == NULL || claims == NULL)
        return NULL;
    *identity = (struct identity){ .user = user, .claims = claims };
    claims[identity->claim_count++] =
        (struct claim){ SPAN("fingerprint"), info->client_fingerprint };
    claims[identity->claim_count++] = (struct claim){ SPAN("subject"), info->client_subject };
    claims[identity->claim_count++] = (struct claim){ SPAN("issuer"), info->client_issuer };
    while (rest.len > 0 && span_cut(&rest, '\n', &line) &&
           identity->claim_count < CERTIFICATE_CLAIMS)
        if (span_cut(&line, ':', &kind))
            claims[identity->claim_count++] = (struct claim){ kind, line };
    return identity;
}

static struct verdict certificate_head(struct call *c)
{
    const struct certificate_conf *conf = c->conf;
    const struct tls_info *info = certificate_of(c->txn);
    if (conf->pass.len > 0 && !demand_met(c) &&
        !edit_field(c->txn, EDIT_REQUEST, EDIT_DROP, conf->pass, SPAN("")))
        return fail(REASON_MEMORY);
    if (demand_met(c))
        return pass();
    if (info == NULL)
        return demand(c, conf->challenge);
    struct choice_of_user choice = user_of(conf, info);
    if (choice.count != 1)
        return demand_failed(c, REASON_AUTH_CERTIFICATE, conf->challenge,
                             choice.count == 0 ? "certificate-nobody" : "certificate-several");
    const struct identity *identity = identity_of(c->txn, info, choice.user);
    if (identity == NULL ||
        (conf->pass.len > 0 && !edit_lend_field(c->txn, conf->pass, choice.user)))
        return fail(REASON_MEMORY);
    fact_set_user(c, choice.user);
    fact_set_auth(c, SPAN("certificate"));
    fact_set_identity(c, identity);
    return pass();
}

const struct stage_type certificate_stage = {
    .name = "certificate",
    .summary = "Takes the client's certificate for a user.",
    .options = certificate_options,
    .conf_size = sizeof(struct certificate_conf),
    .open = open_certificate,
    .idle = certificate_idle,
    .gate = true,
    .authenticates = true,
    .on = { [PHASE_REQUEST_HEAD] = certificate_head },
};
