/*
 * Rows of the configuration outside the stages: the top of the file, lists, sites, routes.
 */
#include "gateway/load_rows.h"

#include "conf/schema.h"
#include "gateway/http/claims.h"
#include "gateway/net/certs.h"
#include "geoip/listfile.h"

#define DAY_MS (24LL * 3600 * 1000)

static const struct choice body_choices[] = {
    { "strict", BODY_STRICT, "A body that cannot be inspected in one way is refused." },
    { "compat", BODY_COMPAT, "It passes, and the record says that it was not seen." },
    { NULL, 0, NULL },
};
static const struct choice profile_choices[] = {
    { "modern", TLS_MODERN, "TLS 1.3 only." },
    { "intermediate", TLS_INTERMEDIATE, "TLS 1.2 with forward secrecy and AEAD, and 1.3." },
    { NULL, 0, NULL },
};
static const struct choice https_choices[] = {
    { "off", HTTPS_OFF, "It is served as HTTPS is." },
    { "redirect", HTTPS_REDIRECT,
      "Sent to the same address under HTTPS, by 308, before anything is asked." },
    { "auto", HTTPS_AUTO, "`redirect` where the certificate comes by `acme`, else `off`." },
    { NULL, 0, NULL },
};
static const struct choice verify_choices[] = {
    { "require", TLS_VERIFY_REQUIRE, "No request without a certificate of this authority." },
    { "optional", TLS_VERIFY_OPTIONAL, "Verified when one is sent." },
    { NULL, 0, NULL },
};

static void check_keep_fields(const void *field, struct complaint *complaint)
{
    const struct texts *texts = field;

    for (size_t i = 0; i < texts->count; i++) {
        if (field_claims(texts->items[i]) == CLAIM_NONE)
            complain(complaint, SEVERITY_ERROR, "\"%.*s\" is no field that could be kept",
                     (int)texts->items[i].len, texts->items[i].p);
    }
}

static const struct choice list_format_choices[] = {
    { "auto", LISTFILE_AUTO, "By what it begins with." },
    { "plain", LISTFILE_PLAIN, "A line an entry; behind # or ; why." },
    { "csv", LISTFILE_CSV, "With a line of column names, or prefix,reason,expires,source." },
    { "json", LISTFILE_JSON, "Objects with the address under any usual name, or strings." },
    { NULL, 0, NULL },
};

static const struct option list_rows[] = {
    OPTION(struct list_item, ips, OPT_CIDRS, .flags = OPTION_SHORTHAND,
           .help = "Addresses and prefixes."),
    OPTION(struct list_item, file, OPT_FILE,
           .help = "A file: an address or prefix a line, # comments; CSV; or JSON."),
    OPTION(struct list_item, watch, OPT_BOOL, .fallback = "false",
           .help = "Take changes of the file without a reload."),
    OPTION(struct list_item, format, OPT_ENUM, .fallback = "auto",
           .choices = list_format_choices,
           .help = "Of the file. Plain is also FireHOL's netset and Spamhaus' DROP."),
    OPTION(struct list_item, reason, OPT_TEXT, .fallback = "",
           .help = "Why addresses are on it, where an entry of the file does not say."),
    OPTION(struct list_item, without, OPT_CIDRS, .max = LIST_WITHOUT_MAX,
           .help = "Prefixes whose entries in the file are passed over.",
           .example = "[10.0.0.0/8]"),
    OPTION(struct list_item, max_cover, OPT_INT, .fallback = "10", .min = 1, .max = 100,
           .help = "A file that covers more percent of the public addresses is refused."),
    OPTION(struct list_item, max_shrink, OPT_INT, .fallback = "50", .min = 0, .max = 100,
           .help = "A changed file that has lost more percent of its entries is refused; a "
                   "reload takes it. From a URL it is refused until this is raised."),
    OPTION(struct list_item, url, OPT_TEXT, .fallback = "",
           .help = "Where it is fetched again and again: https, or http with allow_private. A "
                   "`file` beside it counts until there is an answer.",
           .example = "https://lists.example.net/drop.txt"),
    OPTION(struct list_item, refresh, OPT_DURATION, .fallback = "1h", .min = 1000,
           .max = 30 * DAY_MS, .help = "From one fetch to the next."),
    OPTION(struct list_item, max_age, OPT_DURATION, .fallback = "7d", .min = 1000,
           .max = 365 * DAY_MS,
           .help = "Without an answer for so long it is called stale in the log and in "
                   "`status`; it goes on to count."),
    OPTION(struct list_item, max_bytes, OPT_SIZE, .fallback = "32MiB", .min = 1024,
           .max = LISTFILE_BYTES_MAX, .help = "A longer answer is refused."),
    OPTION(struct list_item, ca, OPT_FILE,
           .help = "PEM bundle of authorities for its server. Default: the system's."),
    OPTION(struct list_item, allow_private, OPT_BOOL, .fallback = "false",
           .help = "The server that the URL names may have an address that is not public, and "
                   "be asked by http. Where a redirect leads elsewhere it may not."),
    OPTIONS_END,
};

static const struct option geoip_rows[] = {
    OPTION_NAMED("country", struct top_conf, geoip.country, OPT_FILE,
                 .help =
                     "A country database, MMDB. Watched: a good new file is taken without a "
                     "reload, as below."),
    OPTION_NAMED("city", struct top_conf, geoip.city, OPT_FILE,
                 .help = "A city database: country, continent and city."),
    OPTION_NAMED("asn", struct top_conf, geoip.asn, OPT_FILE,
                 .help = "A database of networks by number (ASN)."),
    OPTIONS_END,
};

const struct option top_rows[] = {
    OPTION(struct top_conf, version, OPT_INT, .fallback = "1", .min = 1, .max = 1,
           .help = "Of this file's format."),
    OPTION(struct top_conf, server, OPT_OBJECT, .options = server_rows,
           .help = "The process as a whole."),
    { .name = "audit",
      .kind = OPT_OBJECT,
      .options = audit_rows,
      .help = "Records of transactions." },
    OPTION(struct top_conf, store, OPT_OBJECT, .options = store_options,
           .help = "Where counters are kept that several nodes share. Without it each node "
                   "counts alone, in memory."),
    OPTION(struct top_conf, lists, OPT_MAP, .options = list_rows,
           .item_size = sizeof(struct list_item), .help = "Named address lists."),
    { .name = "geoip",
      .kind = OPT_OBJECT,
      .options = geoip_rows,
      .help =
          "Databases that tell where an address is (docs/geoip.md). Any MMDB file may stand "
          "at any key; the first one that knows something is believed." },
    { .name = "acme",
      .kind = OPT_OBJECT,
      .options = acme_rows,
      .help = "Certificates are got, and renewed, for every site without its own "
              "(docs/acme.md). server.listen is then :80 and :443, unless it says otherwise." },
    { .name = "crowdsec",
      .kind = OPT_OBJECT,
      .options = crowdsec_rows,
      .help = "A CrowdSec's local API whose decisions become lists (docs/crowdsec.md)." },
    OPTIONS_END,
};

static const struct option client_cert_rows[] = {
    OPTION_NAMED("ca", struct site_conf, tls.client_cert.ca, OPT_FILE,
                 .help = "PEM bundle of the authorities that sign clients."),
    OPTION_NAMED("crl", struct site_conf, tls.client_cert.crl, OPT_FILE,
                 .help = "Revocation lists, PEM: one of each authority that signed anything, "
                         "or nothing of it is accepted. A reload reads them anew."),
    OPTION_NAMED("require", struct site_conf, tls.client_cert.require, OPT_ENUM,
                 .fallback = "require", .choices = verify_choices,
                 .help = "Whether one must be sent."),
    OPTIONS_END,
};

static const struct option tls_rows[] = {
    OPTION_NAMED("cert", struct site_conf, tls.cert, OPT_FILE,
                 .help = "Certificate chain, PEM."),
    OPTION_NAMED("key", struct site_conf, tls.key, OPT_FILE, .help = "Private key, PEM."),
    OPTION_NAMED("ocsp", struct site_conf, tls.ocsp, OPT_FILE,
                 .help = "OCSP response to staple, DER."),
    OPTION_NAMED("profile", struct site_conf, tls.profile, OPT_ENUM, .fallback = "intermediate",
                 .choices = profile_choices, .help = "Versions and ciphers."),
    OPTION_NAMED("tickets", struct site_conf, tls.tickets, OPT_BOOL, .fallback = "true",
                 .help = "Session resumption by tickets, under keys that rotate."),
    { .name = "client_cert",
      .kind = OPT_OBJECT,
      .options = client_cert_rows,
      .help = "Client certificates." },
    OPTIONS_END,
};

const struct option site_rows[] = {
    OPTION(struct site_conf, name, OPT_TEXT,
           .help = "In records and metrics. Default: the first host."),
    OPTION(struct site_conf, host, OPT_TEXTS, .flags = OPTION_REQUIRED,
           .example = "[shop.example.com, \"*.shop.example.com\"]",
           .help = "Names that this site answers to; \"*\" answers to any."),
    OPTION(struct site_conf, https, OPT_ENUM, .fallback = "auto", .choices = https_choices,
           .help = "What becomes of plain HTTP."),
    OPTION(struct site_conf, acme, OPT_ENUM, .fallback = "on", .choices = switch_choices,
           .help = "Whether a certificate is got for it, when there is a top-level `acme` and "
                   "no tls.cert."),
    { .name = "tls", .kind = OPT_OBJECT, .options = tls_rows, .help = "HTTPS for this site." },
    OPTIONS_END,
};

static const struct option rewrite_rows[] = {
    OPTION_NAMED("strip_prefix", struct settings, rewrite.strip_prefix, OPT_TEXT,
                 .example = "/api", .help = "Taken off the path, when it begins with that."),
    OPTION_NAMED("add_prefix", struct settings, rewrite.add_prefix, OPT_TEXT, .example = "/v1",
                 .help = "Put before the path, after strip_prefix."),
    OPTION_NAMED(
        "path", struct settings, rewrite.path, OPT_TEXT, .example = "\"/archive{path}\"",
        .help =
            "The whole path, encoded, in place of both. Knows {path} {query} {host} "
            "{port} {scheme} {method} {client.ip} {id} {site}; {1} to {9} for the groups of a "
            "~ path."),
    OPTION_NAMED("query", struct settings, rewrite.query, OPT_TEXT,
                 .example = "\"from={host}&{query}\"",
                 .help = "The query, encoded, with the same names."),
    OPTIONS_END,
};

const struct option settings_rows[] = {
    OPTION(struct settings, mode, OPT_ENUM, .fallback = "block", .choices = mode_choices,
           .help = "block; detect: judge and record, but let through; off."),
    OPTION(struct settings, body, OPT_ENUM, .fallback = "strict", .choices = body_choices,
           .help = "What happens to bodies that cannot be inspected."),
    OPTION(struct settings, preserve_encoded, OPT_BOOL, .fallback = "false",
           .help = "Keep the path as it is spelled, encoded slashes included."),
    OPTION(struct settings, websocket, OPT_BOOL, .fallback = "true",
           .help = "Let WebSocket handshakes through."),
    { .name = "rewrite",
      .kind = OPT_OBJECT,
      .options = rewrite_rows,
      .help = "What upstream is asked for in place of what the client asked for. Routes, rules "
              "and records see the client's." },
    { .name = "compress",
      .kind = OPT_OBJECT,
      .options = compress_rows,
      .help = "Answers in a coding that the client takes. Off unless said." },
    OPTION(struct settings, keep_fields, OPT_TEXTS, .check = check_keep_fields,
           .example = "[X-HTTP-Method-Override]",
           .help =
               "Fields that claim an address, host, scheme, path or method, such as "
               "X-Forwarded-Ssl or CF-Connecting-IP, are taken from requests, but for those "
               "named here. Other than methods they stay only when a trusted proxy sends "
               "them."),
    OPTIONS_END,
};

static const struct option respond_rows[] = {
    OPTION_NAMED("status", struct route_conf, respond.status, OPT_INT,
                 .flags = OPTION_SHORTHAND, .min = 200, .max = 599,
                 .help = "Status of the fixed answer."),
    OPTION_NAMED("body", struct route_conf, respond.body, OPT_TEXT,
                 .help = "Its body; without one a page is made."),
    OPTION_NAMED("type", struct route_conf, respond.type, OPT_TEXT,
                 .fallback = "text/plain; charset=utf-8", .help = "Its Content-Type."),
    OPTIONS_END,
};

static const struct option redirect_rows[] = {
    OPTION_NAMED("to", struct route_conf, redirect.to, OPT_TEXT, .flags = OPTION_SHORTHAND,
                 .example = "\"https://new.example{path}\"",
                 .help =
                     "Location: a URL or an absolute path. Knows {path} {query} {host} {port} "
                     "{scheme} {method} {client.ip} {id} {site}."),
    OPTION_NAMED("status", struct route_conf, redirect.status, OPT_INT, .fallback = "302",
                 .min = 301, .max = 308, .help = "301, 302, 303, 307 or 308."),
    OPTIONS_END,
};

const struct option route_rows[] = {
    OPTION(struct route_conf, path, OPT_TEXT, .flags = OPTION_REQUIRED, .example = "/api/**",
           .help = "/x exactly; /x/** that folder and all below; * within a segment; ~ and a "
                   "regular expression, looked for in the path."),
    OPTION(struct route_conf, when, OPT_EXPR, .example = "\"header('x-beta') == '1'\"",
           .help = "Only requests for which this holds; others go on to the next route."),
    OPTION(struct route_conf, share, OPT_INT, .fallback = "100", .min = 0, .max = 100,
           .help = "Percent of the clients that come here, by address; the others go on to the "
                   "next route."),
    OPTION(struct route_conf, methods, OPT_TEXTS, .help = "Only these methods. Default: any."),
    { .name = "respond",
      .kind = OPT_OBJECT,
      .options = respond_rows,
      .help = "Answer here, after the inspection." },
    { .name = "redirect",
      .kind = OPT_OBJECT,
      .options = redirect_rows,
      .help = "Send elsewhere, after the inspection." },
    OPTIONS_END,
};
