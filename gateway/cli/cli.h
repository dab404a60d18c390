/*
 * The command line. One table of verbs drives the program, `help`, and later manual pages and
 * completion.
 */
#ifndef SALLYPORT_CLI_H
#define SALLYPORT_CLI_H

#include "gateway/base/text.h"

/* What every verb answers, and scripts rely on. */
enum { EXIT_GOOD = 0, EXIT_TROUBLE = 1, EXIT_BAD = 2 }; /* BAD: configuration or usage */

enum { FLAGS_MAX = 12, OPERANDS_MAX = 64, OUTPUT_BYTES = 64 * 1024 /* at first: it grows */ };

enum flag_id {
    FLAG_NONE,
    FLAG_CONFIG,
    FLAG_PROTECT,
    FLAG_OUTPUT,
    FLAG_PRINT,
    FLAG_STRICT,
    FLAG_CONTROL,
    FLAG_WAIT,
    FLAG_WATCH,
    FLAG_FOR,
    FLAG_REASON,
    FLAG_FORCE,
    FLAG_SINCE,
    FLAG_FILE,
    FLAG_KEY,
    FLAG_TO,
    FLAG_FROM,
    FLAG_USER,
    FLAG_PLAN,
    FLAG_SCOPES,
    FLAG_GROUPS,
    FLAG_CLAIMS,
    FLAG_MFA,
    FLAG_AUTH,
    FLAG_PROVED,
    FLAG_AT,
    FLAG_APPLY,
    FLAG_EVERY,
    FLAG_COUNT_OF,
    FLAG_HTTPS,
    FLAG_HELP, /* of every verb, in no table */
    FLAG_COUNT
};

struct flag {
    enum flag_id id;
    char letter;       /* 0: none */
    const char *name;  /* without the dashes */
    const char *value; /* what it takes, for the help; NULL: nothing */
    const char *help;
};

struct arguments {
    const char *values[FLAG_COUNT]; /* NULL: not given; "" for flags without a value */
    const char *operands[OPERANDS_MAX];
    unsigned operand_count;
};

struct verb {
    const char *name, *operands, *summary;
    struct flag flags[FLAGS_MAX]; /* ends with FLAG_NONE */
    int (*run)(const struct arguments *arguments);
};
extern const struct verb verbs[]; /* ends with name NULL */

int cli_main(int argc, char **argv);
/* False after it has said on standard error what is wrong. */
MUST_USE bool arguments_parse(const struct verb *verb, int argc, char **argv,
                              struct arguments *arguments);
const struct verb *verb_find(const char *name);

/* "error: ..." on standard error; answers EXIT_BAD. */
int usage_error(const char *format, ...) __attribute__((format(printf, 1, 2)));
/* Everything to the descriptor; false when it does not take it. */
bool print_all(int fd, struct span bytes);
/* 90s, 30m, 2h, 7d */
MUST_USE bool length_read(struct span text, int64_t *seconds);
/* -o json; false and a message when it is neither that nor human. */
MUST_USE bool output_is_json(const struct arguments *arguments, bool *json);

/* Configuration text, such as load_print writes, as one JSON document. */
MUST_USE bool yaml_to_json(struct text *out, struct span yaml);
int help_verb(const struct verb *verb);

int verb_run(const struct arguments *arguments);
int verb_check(const struct arguments *arguments);
int verb_reload(const struct arguments *arguments);
int verb_upgrade(const struct arguments *arguments);
int verb_stop(const struct arguments *arguments);
int verb_explain(const struct arguments *arguments);
int verb_replay(const struct arguments *arguments);
int verb_diff(const struct arguments *arguments);
int verb_tune(const struct arguments *arguments);
int verb_capture(const struct arguments *arguments);
int verb_rules(const struct arguments *arguments);
int verb_audit(const struct arguments *arguments);
int verb_status(const struct arguments *arguments);
int verb_quota(const struct arguments *arguments);
int verb_limits(const struct arguments *arguments);
int limits_simulate(const struct arguments *arguments, bool json); /* a part of it */
struct config;
/* Of each limit that is leased, how far it may be off: limits.c. */
void print_leases(const struct config *config);
int verb_ban(const struct arguments *arguments);
int verb_ip(const struct arguments *arguments);
int verb_upstream(const struct arguments *arguments);
int verb_keys(const struct arguments *arguments);
int verb_users(const struct arguments *arguments);
int verb_cert(const struct arguments *arguments);
int verb_sessions(const struct arguments *arguments);
int verb_policy(const struct arguments *arguments);
int verb_selftest(const struct arguments *arguments);
int verb_geoip(const struct arguments *arguments);
int verb_import(const struct arguments *arguments);
int verb_config(const struct arguments *arguments);
int verb_top(const struct arguments *arguments);
int verb_doctor(const struct arguments *arguments);
int verb_completion(const struct arguments *arguments);
int verb_manpage(const struct arguments *arguments);
int verb_version(const struct arguments *arguments);
int verb_help(const struct arguments *arguments);

#endif
