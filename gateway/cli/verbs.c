/*
 * The verbs: name, options, summary, function. Everything that lists or explains them reads
 * this table.
 */
#include <stdio.h>
#include <string.h>

#include "conf/suggest.h"
#include "gateway/cli/cli.h"

#define CONFIG                                                                                 \
    {                                                                                          \
        FLAG_CONFIG, 'c', "config", "FILE", "configuration file"                               \
    }
#define OUTPUT                                                                                 \
    {                                                                                          \
        FLAG_OUTPUT, 'o', "output", "human|json", "form of what is printed"                    \
    }
#define CONTROL                                                                                \
    {                                                                                          \
        FLAG_CONTROL, 0, "control", "PATH", "control socket, in place of the configuration's"  \
    }

#define CAPTURE_KEY                                                                            \
    {                                                                                          \
        FLAG_KEY, 0, "key", "FILE", "private key that captures are sealed to"                  \
    }
#define CAPTURE_FILE                                                                           \
    {                                                                                          \
        FLAG_FILE, 0, "file", "PATH", "audit file, in place of the configuration's"            \
    }

const struct verb verbs[] = {
    { .name = "run",
      .summary = "Serve, in the foreground, until SIGTERM.",
      .flags = { CONFIG,
                 { FLAG_PROTECT, 0, "protect", "URL",
                   "no file: listen on 127.0.0.1:8080 in front of URL, with every default "
                   "on" },
                 { FLAG_WATCH, 0, "watch", NULL,
                   "reload when the file, or one that it includes, changes" } },
      .run = verb_run },
    { .name = "check",
      .summary = "Check a configuration: 0 good, 2 bad, with every error at once.",
      .flags = { CONFIG,
                 OUTPUT,
                 { FLAG_PRINT, 0, "print", "pipeline", "each route's chain, in order" },
                 { FLAG_STRICT, 0, "strict", NULL, "warnings are errors" } },
      .run = verb_check },
    { .name = "reload",
      .summary = "Load the configuration anew; the old one serves on if it is bad.",
      .flags = { CONFIG,
                 CONTROL,
                 OUTPUT,
                 { FLAG_WAIT, 0, "wait", NULL, "until it serves (0) or is refused (2)" },
                 { FLAG_FORCE, 0, "force", NULL,
                   "even if it opens what the audit log shows as protected" },
                 { FLAG_SINCE, 0, "since", "TIME",
                   "how far back the audit log is read for that: 7d if not given" } },
      .run = verb_reload },
    { .name = "upgrade",
      .summary = "Become the program that is installed now; the old one serves "
                 "on if that cannot take over.",
      .flags = { CONFIG,
                 CONTROL,
                 OUTPUT,
                 { FLAG_WAIT, 0, "wait", NULL, "until it serves (0) or is refused (2)" },
                 { FLAG_FORCE, 0, "force", NULL,
                   "even if it opens what the audit log shows as protected" },
                 { FLAG_SINCE, 0, "since", "TIME",
                   "how far back the audit log is read for that: 7d if not given" } },
      .run = verb_upgrade },
    { .name = "stop",
      .summary = "Stop when the requests in flight have ended.",
      .flags = { CONFIG, CONTROL, OUTPUT },
      .run = verb_stop },
    { .name = "status",
      .summary = "Processes, counters and lists of the running gateway.",
      .flags = { CONFIG, CONTROL, OUTPUT },
      .run = verb_status },
    { .name = "ban",
      .operands = "list|add ADDRESS|del ADDRESS|why ADDRESS",
      .summary = "Who is kept out for a while, and why; ban by hand, or lift a ban.",
      .flags = { CONFIG,
                 CONTROL,
                 OUTPUT,
                 { FLAG_FOR, 0, "for", "TIME", "how long: 90s, 30m, 2h (1h if not given), 7d" },
                 { FLAG_REASON, 0, "reason", "TEXT", "stands in the list" },
                 { FLAG_FORCE, 0, "force", NULL, "also an address of your own" } },
      .run = verb_ban },
    { .name = "ip",
      .operands = "why ADDRESS",
      .summary =
          "What is known of an address: place, lists, bans, what it did in the last day.",
      .flags = { CONFIG,
                 CONTROL,
                 OUTPUT,
                 { FLAG_FILE, 0, "file", "PATH",
                   "the audit log, in place of the one in use" } },
      .run = verb_ip },
    { .name = "upstream",
      .operands = "list|drain URL|ready URL",
      .summary = "Servers of upstreams: how they are, take one out of service, or back.",
      .flags = { CONFIG, CONTROL, OUTPUT },
      .run = verb_upstream },
    { .name = "explain",
      .operands = "REQUEST...",
      .summary = "What would become of a request, and why; offline. 0: passes, 3: refused.",
      .flags = { CONFIG,
                 { FLAG_FROM, 0, "from", "ADDRESS",
                   "whom it comes from; 192.0.2.1 if not given" },
                 { FLAG_HTTPS, 0, "https", NULL, "it comes over TLS, as https:// URLs do" },
                 CAPTURE_KEY,
                 CAPTURE_FILE,
                 OUTPUT },
      .run = verb_explain },
    { .name = "replay",
      .summary = "Captured requests once more through a configuration: what is decided "
                 "otherwise (3).",
      .flags = { CONFIG, CAPTURE_KEY, CAPTURE_FILE, OUTPUT },
      .run = verb_replay },
    { .name = "diff",
      .operands = "OLD NEW",
      .summary = "Captured requests through two configurations: which decisions change. 0: "
                 "none, 3: some.",
      .flags = { CAPTURE_KEY, CAPTURE_FILE, OUTPUT },
      .run = verb_diff },
    { .name = "tune",
      .operands = "[TERM...]",
      .summary = "False positives of the log, the narrowest exclusion for each kind, and what "
                 "it would change.",
      .flags = { CONFIG,
                 CAPTURE_KEY,
                 CAPTURE_FILE,
                 OUTPUT,
                 { FLAG_APPLY, 0, "apply", NULL, "write what is proved into the file" } },
      .run = verb_tune },
    { .name = "capture",
      .operands = "key|list|export",
      .summary = "A pair of keys for audit.capture, or what is captured.",
      .flags = { CONFIG,
                 CAPTURE_KEY,
                 CAPTURE_FILE,
                 OUTPUT,
                 { FLAG_TO, 0, "to", "PATH",
                   "key: where the private key goes; export: a folder for requests" } },
      .run = verb_capture },
    { .name = "rules",
      .operands = "list|cost|show ID|test REQUEST",
      .summary = "Rules as they are configured: what is asked of what, and how.",
      .flags = { CONFIG,
                 { FLAG_FROM, 0, "from", "ADDRESS",
                   "test: whom the request comes from; 192.0.2.1 if not given" },
                 OUTPUT },
      .run = verb_rules },
    { .name = "audit",
      .operands = "verify|search|show|timeline|export [TERM...]",
      .summary = "Search, prove and check the audit log.",
      .flags = { CONFIG,
                 { FLAG_FILE, 0, "file", "PATH",
                   "audit file, in place of the configuration's" },
                 OUTPUT,
                 { FLAG_KEY, 0, "key", "KEY", "verify: the key that must have begun the log" },
                 { FLAG_TO, 0, "to", "FILE",
                   "export: where to, in place of standard output" } },
      .run = verb_audit },
    { .name = "limits",
      .operands = "list|counts|simulate [LOG]",
      .summary = "The limits of a configuration; what the running gateway's have decided; "
                 "over a log.",
      .flags = { CONFIG, CONTROL, OUTPUT },
      .run = verb_limits },
    { .name = "quota",
      .operands = "show|reset LIMIT VALUE",
      .summary = "What a client has used of a quota, or give it back. VALUE: what it "
                 "counts by, joined by +.",
      .flags = { CONFIG, CONTROL, OUTPUT },
      .run = verb_quota },
    { .name = "geoip",
      .operands = "build [TABLE...]",
      .summary = "Make a country database from tables of ranges; without any, from those of "
                 "Debian's tor-geoipdb.",
      .flags = { { FLAG_TO, 0, "to", "FILE", "the database (MMDB)" }, OUTPUT },
      .run = verb_geoip },
    { .name = "import",
      .operands = "modsecurity FILE...",
      .summary = "A ModSecurity set-up as a configuration; what is lost, on standard error. 3: "
                 "something is.",
      .flags = { OUTPUT },
      .run = verb_import },
    { .name = "config",
      .operands = "print|schema|explain KEY-OR-CODE|manual|processes",
      .summary = "The effective configuration, or what may stand in one.",
      .flags = { CONFIG, OUTPUT },
      .run = verb_config },
    { .name = "keys",
      .operands = "list|add|rotate ID|revoke ID",
      .summary = "API keys: make, replace and take back.",
      .flags = { CONFIG,
                 CONTROL,
                 OUTPUT,
                 { FLAG_FILE, 0, "file", "PATH",
                   "file of keys, in place of the configuration's" },
                 { FLAG_USER, 0, "user", "NAME", "add: whose key it is" },
                 { FLAG_PLAN, 0, "plan", "NAME", "add: what the user has paid for" },
                 { FLAG_SCOPES, 0, "scopes", "A,B", "add: what the key is good for" },
                 { FLAG_FOR, 0, "for", "TIME",
                   "add: how long it lives; rotate: how long the old one still does (7d)" } },
      .run = verb_keys },
    { .name = "users",
      .operands = "list|add NAME|passwd NAME|groups NAME A,B|totp NAME [off]|remove NAME|"
                  "revoke-sessions NAME",
      .summary = "Local users, who sign in by a form; passwords come on standard input.",
      .flags = { CONFIG,
                 CONTROL,
                 OUTPUT,
                 { FLAG_FILE, 0, "file", "PATH",
                   "store of users, in place of the configuration's" },
                 { FLAG_GROUPS, 0, "groups", "A,B", "add: the groups he is in" } },
      .run = verb_users },
    { .name = "sessions",
      .operands = "list|end ID|end-user NAME",
      .summary = "Who is signed in by a browser now; ends sessions at once.",
      .flags = { CONFIG, CONTROL, OUTPUT },
      .run = verb_sessions },
    { .name = "cert",
      .operands = "list|renew [NAME]",
      .summary = "Certificates that are got by ACME: how they stand; gets them anew now, all "
                 "or those of a name.",
      .flags = { CONFIG,
                 CONTROL,
                 OUTPUT,
                 { FLAG_WAIT, 0, "wait", NULL, "renew: until it is done; 1: it failed" } },
      .run = verb_cert },
    { .name = "policy",
      .operands = "test METHOD URL",
      .summary = "What the policy says about somebody who asks for this.",
      .flags = { CONFIG,
                 OUTPUT,
                 { FLAG_USER, 0, "user", "NAME", "who asks; nobody is signed in without" },
                 { FLAG_GROUPS, 0, "groups", "A,B", "the groups he is in" },
                 { FLAG_CLAIMS, 0, "claims", "NAME=VALUE,...", "what else is known of him" },
                 { FLAG_AUTH, 0, "auth", "WAY",
                   "by which of the route's ways he signed in; where it has one, by that" },
                 { FLAG_MFA, 0, "mfa", NULL, "he proved it by more than one factor" },
                 { FLAG_PROVED, 0, "proved", "TIME",
                   "how long ago he proved it, such as 30m; just now without" },
                 { FLAG_AT, 0, "at", "TIME",
                   "when he asks, in the server's time, such as 2030-01-31T17:00; now "
                   "without" },
                 { FLAG_FROM, 0, "from", "ADDRESS", "where he is; 192.0.2.1 without" } },
      .run = verb_policy },
    { .name = "selftest",
      .operands = "auth",
      .summary = "Tries what is known to have fooled others against this program.",
      .flags = { OUTPUT },
      .run = verb_selftest },
    { .name = "top",
      .summary = "What the gateway does now, as rates, renewed in the terminal until Ctrl-C.",
      .flags = { CONFIG,
                 CONTROL,
                 OUTPUT,
                 { FLAG_EVERY, 0, "every", "TIME", "how often: 2s if not given" },
                 { FLAG_COUNT_OF, 0, "count", "N", "so many times, then it ends" } },
      .run = verb_top },
    { .name = "doctor",
      .summary = "What is wrong around the gateway: origins, files, clock, certificates, "
                 "kernel.",
      .flags = { CONFIG, OUTPUT },
      .run = verb_doctor },
    { .name = "completion",
      .operands = "bash|zsh|fish",
      .summary = "What a shell needs to complete this command's words.",
      .run = verb_completion },
    { .name = "manpage",
      .operands = "[VERB]",
      .summary = "The manual page of this command, or of one verb.",
      .run = verb_manpage },
    { .name = "version",
      .summary = "Versions of this program and of its libraries.",
      .flags = { OUTPUT },
      .run = verb_version },
    { .name = "help",
      .operands = "[VERB]",
      .summary = "This list, or the options of one verb.",
      .flags = { OUTPUT },
      .run = verb_help },
    { .name = NULL },
};

const struct verb *verb_find(const char *name)
{
    for (const struct verb *verb = verbs; verb->name != NULL; verb++)
        if (strcmp(verb->name, name) == 0)
            return verb;
    return NULL;
}

static int no_such_verb(const char *name)
{
    char buffer[128];
    struct text hint = text_fixed(buffer, sizeof(buffer));
    struct suggestion suggestion = suggest_for(span_text(name));
    for (const struct verb *verb = verbs; verb->name != NULL; verb++)
        suggest_consider(&suggestion, span_text(verb->name));
    suggest_write(&hint, &suggestion);
    if (hint.len == 0)
        text_lit(&hint, "`sallyport help` lists them");
    return usage_error("no verb \"%s\"; %.*s", name, (int)hint.len, hint.p);
}

int cli_main(int argc, char **argv)
{
    struct arguments arguments;
    if (argc < 2) {
        memset(&arguments, 0, sizeof(arguments));
        (void)verb_help(&arguments);
        return EXIT_BAD;
    }
    const char *name = argv[1];
    if (strcmp(name, "--help") == 0 || strcmp(name, "-h") == 0)
        name = "help";
    if (strcmp(name, "--version") == 0)
        name = "version";
    const struct verb *verb = verb_find(name);
    if (verb == NULL)
        return no_such_verb(name);
    if (!arguments_parse(verb, argc - 2, argv + 2, &arguments))
        return EXIT_BAD;
    if (arguments.values[FLAG_HELP] != NULL)
        return help_verb(verb);
    return verb->run(&arguments);
}
