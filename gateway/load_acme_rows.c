/* Rows of the top-level `acme:`. */
#include "conf/schema.h"
#include "gateway/load_rows.h"

#define DAY_MS (24LL * 3600 * 1000)

static const struct choice challenge_choices[] = {
    { "http-01", ACME_HTTP_01, "The authority asks on port 80." },
    { "tls-alpn-01", ACME_TLS_ALPN_01, "It asks on port 443, by a handshake of its own." },
    { NULL, 0, NULL },
};

static const struct option eab_rows[] = {
    OPTION_NAMED("kid", struct top_conf, acme.eab.kid, OPT_TEXT, .fallback = "",
                 .help = "Name of the key that the authority has given."),
    OPTION_NAMED("key", struct top_conf, acme.eab.key, OPT_SECRET,
                 .help = "The key, in base64url, as the authority has given it."),
    OPTIONS_END,
};

const struct option acme_rows[] = {
    OPTION_NAMED("mode", struct top_conf, acme.mode, OPT_ENUM, .fallback = "on",
                 .choices = switch_choices, .help = "Whether certificates are asked for."),
    OPTION_NAMED("directory", struct top_conf, acme.directory, OPT_TEXT,
                 .fallback = "letsencrypt", .example = "https://ca.example.net/acme/directory",
                 .help = "The authority: letsencrypt, letsencrypt-staging, or the https URL of "
                         "its directory."),
    OPTION_NAMED("email", struct top_conf, acme.email, OPT_TEXT, .fallback = "",
                 .example = "ops@example.com",
                 .help = "Where the authority may write to. Without it the account has none."),
    OPTION_NAMED("agree_terms", struct top_conf, acme.agree_terms, OPT_BOOL,
                 .fallback = "false",
                 .help = "That you agree to the authority's terms of service. Nothing is asked "
                         "for without."),
    OPTION_NAMED("challenge", struct top_conf, acme.challenge, OPT_ENUM, .fallback = "http-01",
                 .choices = challenge_choices, .help = "How names are proved."),
    OPTION_NAMED("folder", struct top_conf, acme.folder, OPT_FILE,
                 .help =
                     "Where the account and certificates are kept, with their keys, mode "
                     "0700. Default: acme below what systemd says (StateDirectory), else "
                     "/var/lib/sallyport/acme as root, else ~/.local/state/sallyport/acme."),
    OPTION_NAMED("ca", struct top_conf, acme.ca, OPT_FILE,
                 .help = "PEM bundle of authorities for the directory's own server. Default: "
                         "the system's."),
    { .name = "eab",
      .kind = OPT_OBJECT,
      .options = eab_rows,
      .help = "External account binding, for authorities that want a customer's name." },
    OPTION_NAMED("retry", struct top_conf, acme.retry, OPT_DURATION, .fallback = "1m",
                 .min = 1000, .max = DAY_MS,
                 .help = "After a first failure; twice as long after each further one, up to "
                         "a day, and never before the authority allows it."),
    OPTIONS_END,
};
