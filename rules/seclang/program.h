/*
 * A SecLang program: what the front end makes of directives, and what both the plan and the
 * reference evaluator in tests/ run.
 *
 * It is the language and nothing else: no rule is folded away, merged or reordered here.
 * Semantics are those of mod_security2 2.9 (the engine that passes all of the Core Rule Set's
 * tests), whose sources are the reference where its manual is silent.
 *
 * Made at load in the generation process, in one arena; read-only ever after. Every span lives
 * as long as that arena.
 */
#ifndef SALLYPORT_RULES_PROGRAM_H
#define SALLYPORT_RULES_PROGRAM_H

#include "conf/diag.h"
#include "rules/operator.h"
#include "rules/own/rule.h"
#include "rules/transform.h"

enum {
    SECLANG_RULES_MAX = 16384, /* links of chains counted each */
    SECLANG_FILE_BYTES_MAX = 16 * 1024 * 1024,
    SECLANG_LINE_BYTES_MAX = 1024 * 1024, /* of a directive, its continuations joined */
    SECLANG_INCLUDE_DEPTH_MAX = 16,
    SECLANG_FILES_MAX = 1024,
    SECLANG_CHAIN_MAX = 64,
    SECLANG_TARGETS_MAX = 1024,  /* of one rule, exclusions counted */
    SECLANG_ACTIONS_MAX = 512,   /* of one rule */
    SECLANG_TRANSFORMS_MAX = 32, /* of one rule */
    SECLANG_MACRO_PARTS_MAX = 64,
};

enum sec_phase { /* SecLang's own numbers */
                 SEC_REQUEST_HEADERS = 1,
                 SEC_REQUEST_BODY = 2,
                 SEC_RESPONSE_HEADERS = 3,
                 SEC_RESPONSE_BODY = 4,
                 SEC_LOGGING = 5,
                 SEC_PHASES, /* one more than the last */
};

/* VARIABLE(id, name, shape, from): variables.def. From VAR_OWN_FIRST on no SecLang rule names
 * them. */
enum variable {
#define VARIABLE(id, name, shape, from) VAR_##id,
#include "rules/seclang/variables.def"
#undef VARIABLE
    VAR_COUNT,
    VAR_OWN_FIRST = VAR_OWN_PATH
};

enum variable_shape {
    SHAPE_SCALAR,     /* one value */
    SHAPE_COLLECTION, /* values with names; `:key` and `:/regex/` choose among them */
    SHAPE_XML,        /* takes an XPath behind the colon */
};

struct variable_row {
    const char *name; /* as written in rules and in findings: "REQUEST_HEADERS" */
    enum variable_shape shape;
    enum sec_phase from; /* the first phase in which it can have its full value */
};
extern const struct variable_row variable_rows[VAR_COUNT];
/* VAR_COUNT: there is none of that name. Without case. */
enum variable variable_find(struct span name);

/* Text with %{collection.key} in it, cut at load. */
struct macro_part {
    bool variable; /* else `text` is literal */
    enum variable var;
    uint16_t slot;    /* of a variable in TX once there is a plan, and one more; 0: by name */
    struct span text; /* literal; or the key (empty: none) */
};
struct macro {
    struct span source; /* as written */
    const struct macro_part *parts;
    unsigned count;
    bool literal; /* no variable in it: `source` is the value */
};

struct sec_regex; /* a compiled PCRE2 pattern: rules/regex.h */

/* One of a rule's targets, in the order written: `ARGS`, `&TX:x`, `!ARGS:/^re/`. */
struct sec_target {
    enum variable var;
    bool count;   /* & */
    bool exclude; /* ! : takes away what targets before it brought */
    enum { KEY_NONE, KEY_NAME, KEY_REGEX } key_kind;
    bool cased;                    /* a name with case; SecLang's have none */
    struct span key;               /* name (compared without case), or the pattern's text */
    const struct sec_regex *regex; /* KEY_REGEX */
    struct macro key_macro;        /* when the name holds macros (literal: it does not) */
};

struct sec_operator {
    const struct operator_row *row; /* rules/operator.h */
    bool negated;
    struct macro argument;
    const void *prepared; /* by row->compile when the argument is literal; may be NULL */
    const struct sec_regex *regex; /* @rx with a literal argument */
};

enum sec_collection { /* what setvar, expirevar and initcol may name */
                      COLLECTION_TX,
                      COLLECTION_IP,
                      COLLECTION_GLOBAL,
                      COLLECTION_SESSION,
                      COLLECTION_USER,
                      COLLECTION_RESOURCE,
                      COLLECTION_ENV, /* setenv, and `setvar:env.x` */
                      COLLECTION_COUNT
};

enum sec_ctl {
#define CTL(id, name, argument) CTL_##id,
#include "rules/seclang/ctl.def"
#undef CTL
    CTL_COUNT
};

/* Actions that change state, in the order written: they run once for each match. */
struct sec_step {
    enum sec_step_kind {
        STEP_SETVAR,    /* collection.name = value */
        STEP_ADDVAR,    /* += , value may be negative */
        STEP_UNSETVAR,  /* setvar:!tx.x */
        STEP_EXPIREVAR, /* seconds in value */
        STEP_DEPRECATEVAR,
        STEP_INITCOL, /* collection, key in value */
        STEP_CTL,
        STEP_SETENV,
        STEP_SETUID,
        STEP_SETSID,
        STEP_SETRSC,
        STEP_SANITISE, /* sanitiseArg and its family: `name` names what is masked in records */
    } kind;
    enum sec_collection collection;
    struct macro name;  /* of the variable, without the collection */
    struct macro value; /* setvar without `=`: "1" */
    enum sec_ctl ctl;
    /* ctl:ruleRemove*: which rules, and which target of theirs. */
    uint64_t id_from, id_to;       /* ById: an inclusive range */
    struct span tag;               /* ByTag, ByMsg: pattern's text */
    const struct sec_regex *regex; /* ByTag, ByMsg: as a regular expression */
    struct sec_target target;      /* ruleRemoveTarget* */
    int option;                    /* other ctl: enum engine_mode; on 1, off 0 */
    uint64_t number;               /* ctl of a limit */
    enum variable sanitise; /* STEP_SANITISE: VAR_ARGS, VAR_REQUEST_HEADERS, VAR_MATCHED_VARS */
    bool sanitise_bytes;    /* sanitiseMatchedBytes: only the bytes that matched */
    unsigned keep_first, keep_last; /* and of those not the first and the last n */
};

enum sec_disruptive {
    DISRUPT_NONE, /* not said: SecDefaultAction's */
    DISRUPT_PASS,
    DISRUPT_BLOCK, /* whatever SecDefaultAction says; resolved into `resolved` */
    DISRUPT_DENY,
    DISRUPT_DROP,
    DISRUPT_REDIRECT,
    DISRUPT_ALLOW,
    DISRUPT_ALLOW_PHASE,
    DISRUPT_ALLOW_REQUEST,
    DISRUPT_PROXY, /* refused at load */
};

enum sec_tristate { UNSAID, NO, YES };

/* One SecRule or SecAction line: a rule of its own, or a link of a chain. */
struct sec_rule {
    uint64_t id; /* 0: none (links) */
    enum sec_phase phase;
    struct place place;               /* of the directive */
    const struct sec_target *targets; /* none: SecAction, which always matches */
    unsigned target_count;
    struct sec_operator op;
    const struct transform *transforms[SECLANG_TRANSFORMS_MAX];
    unsigned transform_count;
    const struct sec_step *steps;
    unsigned step_count;
    bool capture, multi_match;
    bool unconditional; /* SecAction */

    const struct own_rule *own; /* of the configuration; NULL: SecLang's */
    struct sec_rule *next;      /* link of the chain; NULL: the last, or no chain */
    struct sec_rule *head;      /* the chain's first: itself where there is no chain */

    /* Of the head: what the whole chain does and says. */
    enum sec_disruptive disruptive, resolved; /* resolved: never NONE or BLOCK */
    int status;                               /* for deny; 403 by default */
    struct macro redirect;
    struct span skip_after; /* marker; empty: none */
    unsigned skip;          /* rules to skip */
    bool log, audit_log;    /* resolved */
    struct macro message, log_data;
    struct span version, revision, severity_name;
    int severity; /* 0 emergency .. 7 debug; -1 none (then the name is empty) */
    unsigned maturity, accuracy;
    const struct span *tags; /* may hold macros: expanded by the log */
    const struct macro *tag_macros;
    unsigned tag_count;
    bool removed;  /* by SecRuleRemove*: stays for the tools, is in no phase's list */
    bool left_out; /* uses what is not supported: the same, and a warning told so */
};

/*
 * What stands in one phase's list: rule heads and markers in file order. A marker stands in
 * every phase; `skipAfter` may name a rule's id as well, behind which a marker stands then.
 */
struct sec_item {
    struct sec_rule *rule; /* NULL: a marker */
    struct span marker;
};

enum engine_mode { ENGINE_OFF, ENGINE_DETECT, ENGINE_ON };

/* Directives that are not rules. Zero is "not said". */
struct sec_settings {
    enum sec_tristate request_body, response_body, partial_request, partial_response;
    enum engine_mode engine;
    bool engine_said;
    uint64_t request_body_limit, request_body_no_files_limit, response_body_limit;
    uint64_t arguments_limit, json_depth_limit, collection_timeout;
    char argument_separator; /* 0: & */
    int cookie_format;       /* 0 or 1 */
    const struct span *response_types;
    unsigned response_type_count;
    unsigned pcre_match_limit, pcre_match_limit_recursion;
    struct span component_signature, upload_dir, web_app_id;
};

struct sec_program {
    struct sec_item *items[SEC_PHASES]; /* [0] is unused */
    unsigned item_count[SEC_PHASES];
    struct sec_rule **rules; /* all heads and links, in file order */
    unsigned rule_count;
    struct sec_settings settings;
    unsigned left_out;           /* heads that are left out */
    const struct own_rules *own; /* NULL: there is none */
    uint64_t hash; /* of every file read, lists of words too: for caches and records */
    struct sec_owned *owned; /* what seclang_free releases */
};

/* Where a program comes from: files in this order, each read whole. */
struct seclang_source {
    struct span path; /* of a file or a glob; or the name to show where `text` is given */
    struct span text; /* inline directives; p NULL: read the file */
    bool optional;    /* it need not be there */
};

struct seclang_options {
    bool unasked; /* a set that was found by itself: what is usual to leave out needs no word */
    bool skip_unsupported; /* refused operators and directives are warnings, the rule is left
                              out */
};

/*
 * Errors go to `diags` with file, line and column, all in one run; then ERR_CONFIG. ERR_MEMORY
 * at the arena's ceiling.
 */
MUST_USE enum err seclang_load(struct sec_program **program,
                               const struct seclang_source *sources, size_t count,
                               const struct seclang_options *options, struct arena *arena,
                               struct diags *diags);
/* `ptr` is released with the program. False: out of memory, and it was released at once. */
MUST_USE bool program_own(struct sec_program *program, struct arena *arena,
                          void (*release)(const void *), const void *ptr);
/* The rule as it stands in its file, with its continuations: of one link. */
struct span rule_text(const struct sec_rule *rule);
/* Releases what is not the arena's: compiled patterns, prepared operators. */
void seclang_free(struct sec_program *program);

#endif
