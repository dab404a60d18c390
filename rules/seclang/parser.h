/*
 * What the parts of the SecLang front end share. Private to rules/seclang.
 *
 * A file's statements (lex.h) go one by one to the directive table (directives.c). Rules are
 * built from targets (targets.c), an operator (operand.c) and an action set (actions.c,
 * steps.c), and merged with the defaults that stand (actionset.c). Exclusions act at once on
 * what stands before them (exclude.c). At the end markers are resolved and the phases' lists
 * are made (finish.c).
 */
#ifndef SALLYPORT_RULES_SECLANG_PARSER_H
#define SALLYPORT_RULES_SECLANG_PARSER_H

#include "rules/regex.h"
#include "rules/seclang/lex.h"
#include "rules/seclang/program.h"

/* ---- lists that grow in the arena ---- */

struct step_list {
    struct sec_step *at;
    unsigned count, room;
};
struct target_list {
    struct sec_target *at;
    unsigned count, room;
};
struct macro_list {
    struct macro *at;
    unsigned count, room;
};

/* ---- actions ---- */

/* What an action list says; merged with its default it is what a rule does. */
struct action_set {
    uint64_t id; /* 0: unsaid */
    struct span id_text;
    enum sec_phase phase; /* 0: unsaid */
    enum sec_disruptive disruptive;
    int status; /* 0: unsaid */
    struct macro redirect;
    struct span skip_after; /* p NULL: unsaid */
    unsigned skip;
    enum sec_tristate log, audit_log;
    bool chain, capture, multi_match;
    struct macro message, log_data; /* source.p NULL: unsaid */
    struct span version, revision;
    int severity; /* -1: unsaid */
    unsigned maturity, accuracy;
    struct macro_list tags;
    const struct transform *transforms[SECLANG_TRANSFORMS_MAX];
    unsigned transform_count;
    bool transforms_anew; /* t:none: those of the default do not count */
    struct step_list steps;
    /* Where the first of a kind stands; line 0: there is none. */
    struct place id_at, phase_at, disruptive_at, metadata_at, flow_at, skip_after_at, chain_at;
};

/* A rule with what it was made of, for SecRuleUpdateActionById. */
struct draft {
    struct sec_rule rule;
    struct action_set actions;     /* merged */
    enum sec_disruptive inherited; /* what `block` means */
    struct place skip_after_at;
    struct target_list targets;
};

static inline struct draft *draft_of(struct sec_rule *rule)
{
    return CONTAINER(rule, struct draft, rule);
}

/* In file order: a head, or a marker. */
struct entry {
    struct sec_rule *rule;
    struct span marker;
};

/* ---- the parser ---- */

enum { ID_BUCKETS = 4096, REGEX_BUCKETS = 1024, BLOCK_DEPTH_MAX = 32 };

struct block_frame { /* <IfModule> that is open */
    struct span name;
    struct place place;
    bool skipped; /* what stands in it is not read */
};

struct id_node {
    struct id_node *next;
    struct sec_rule *rule;
};
struct regex_node {
    struct regex_node *next;
    struct span pattern;
    bool caseless;
    struct sec_regex *regex;
};
struct obstacle { /* why a rule cannot run */
    struct place place;
    struct span what;
    const char *why; /* NULL: it can */
    bool usual;      /* stands in common rule sets: never an error */
};
struct sec_owned {
    struct sec_owned *next;
    void (*release)(const void *);
    const void *ptr;
};

struct parser {
    struct arena *arena;
    struct diags *diags;
    struct seclang_options options;
    struct sec_program *program;
    bool no_memory;

    struct sec_rule **rules;
    unsigned rule_count, rule_room;
    struct entry *entries;
    unsigned entry_count, entry_room;
    struct id_node *ids[ID_BUCKETS];
    struct regex_node *regexes[REGEX_BUCKETS];
    unsigned files, depth;
    struct block_frame blocks[BLOCK_DEPTH_MAX];
    unsigned block_count;

    struct action_set *defaults[SEC_PHASES]; /* by SecDefaultAction; NULL: none yet */
    struct action_set *last_default;         /* the last one: for rules that name no phase */
    struct draft *chain;                     /* the last link, while one more must follow */
    struct obstacle obstacle;                /* of the rule that is being read: the first */
};

/* ---- complaints (complain.c) ---- */

/* `%` in the text stands for `name`, in quotes and cut where it is long. */
void fault(struct parser *parser, enum diag_code code, struct place place, const char *text,
           struct span name);
void fault_hint(struct parser *parser, enum diag_code code, struct place place,
                const char *text, struct span name, struct span hint);
void fault_pair(struct parser *parser, enum diag_code code, const struct place places[2],
                const char *text, struct span name);
/* A warning. */
void note(struct parser *parser, enum diag_code code, struct place place, const char *text,
          struct span name);
void note_hint(struct parser *parser, enum diag_code code, struct place place, const char *text,
               struct span name, struct span hint);
/* An error, or a warning where what is not supported is to be left out. */
void unsupported(struct parser *parser, struct place place, struct span what, const char *why);
/* The same of the rule that is being read, told when all of it was: then its id is known. */
void cannot_run(struct parser *parser, struct place place, struct span what, const char *why);
bool parser_full(const struct parser *parser); /* enough errors; or no memory */
void out_of_memory(struct parser *parser);

/* Room for one more of `size` bytes each in a list; NULL: no memory, which was told. */
void *list_add(struct parser *parser, void *at, unsigned *count, unsigned *room, size_t size);
#define LIST_ADD(parser, list)                                                                 \
    ((list)->at =                                                                              \
         list_add((parser), (list)->at, &(list)->count, &(list)->room, sizeof *(list)->at),    \
     (list)->at == NULL ? NULL : &(list)->at[(list)->count - 1])

/* ---- names and texts ---- */

enum variable_name { NAME_KNOWN, NAME_UNKNOWN, NAME_REFUSED };
struct variable_ref {
    enum variable var;
    struct span key;    /* of HTTP_USER_AGENT: "USER-AGENT"; p NULL: none */
    const char *reason; /* NAME_REFUSED */
};
/* HTTP_* is an older way to write REQUEST_HEADERS:*. */
enum variable_name variable_resolve(struct arena *arena, struct span name,
                                    struct variable_ref *ref);
void variable_unknown(struct parser *parser, struct place place, struct span name);

enum macro_use {
    MACRO_VALUE, /* what cannot be expanded is an error */
    MACRO_TEXT,  /* a message: it stays as it is, and a warning says so */
};
bool macro_parse(struct parser *parser, struct macro *macro, struct span text,
                 const struct word *word, enum macro_use use);
struct macro macro_literal(struct span text);

/* Compiled once for all who ask for the same; NULL after a complaint. */
const struct sec_regex *pattern_compile(struct parser *parser, struct span pattern,
                                        bool caseless, struct place place);
/* Remembers what seclang_free must release. False: no memory, and it was released. */
bool own(struct parser *parser, void (*release)(const void *), const void *ptr);

bool span_number(struct span text, uint64_t max, uint64_t *value);
bool span_switch(struct span text, bool *on); /* on, off */

/* One `name`, `name:value` of an action or target list (list.c). */
struct pair {
    struct span whole; /* as it stands in the list */
    struct span name;
    struct span value; /* p NULL: none; quotes and escapes undone */
    bool quoted;
};
struct pair_reader {
    struct parser *parser;
    const struct word *word;
    struct span rest;
    bool targets; /* names of targets: a pattern between slashes may hold | and , */
};
enum read_pair { PAIR_END, PAIR_READ, PAIR_BAD };
enum read_pair pair_next(struct pair_reader *reader, struct pair *pair);

/* ---- rules ---- */

void targets_parse(struct parser *parser, const struct word *word, struct span text,
                   struct target_list *targets);
/* False: after a complaint. */
bool target_parse_one(struct parser *parser, const struct word *word, struct span text,
                      struct sec_target *target);
bool target_same(const struct sec_target *a, const struct sec_target *b);

void operand_parse(struct parser *parser, const struct word *word, struct sec_operator *op);

void action_set_init(struct action_set *set);
void actions_parse(struct parser *parser, const struct word *word, struct action_set *set);
/* `child` where it says something, else `parent`. False: too many, or no memory. */
bool actions_merge(struct parser *parser, struct action_set *out,
                   const struct action_set *parent, const struct action_set *child,
                   struct place place);
/* Puts into the rule what its merged set says. */
bool actions_apply(struct parser *parser, struct draft *draft);
const struct action_set *default_actions(struct parser *parser, enum sec_phase phase);

struct action_at { /* one action of a list, for what reads its value */
    const struct word *word;
    struct pair pair;
    struct place place; /* of the whole action */
    struct action_set *set;
    int data; /* from its row */
};
struct place value_place(const struct action_at *at, struct span part);
/* steps.c, control.c */
void read_setvar(struct parser *parser, const struct action_at *at);
void read_lifetime(struct parser *parser, const struct action_at *at);
void read_initcol(struct parser *parser, const struct action_at *at);
void read_named(struct parser *parser, const struct action_at *at);
void read_setenv(struct parser *parser, const struct action_at *at);
void read_sanitise(struct parser *parser, const struct action_at *at);
void read_ctl(struct parser *parser, const struct action_at *at);

/* ---- directives ---- */

typedef void directive_fn(struct parser *parser, const struct statement *statement, int data);
directive_fn rule_directive, action_directive, marker_directive, default_directive;
directive_fn remove_directive, update_target_directive, update_action_directive;
void statement_run(struct parser *parser, const struct statement *statement);
struct place statement_place(const struct statement *statement);
struct place argument_place(const struct statement *statement, unsigned i);

struct sec_rule *rule_find(struct parser *parser, uint64_t id);
bool ids_parse(struct span text, uint64_t *from, uint64_t *to); /* 12, 12-20 */

/* blocks.c: whether the statement is one, and was dealt with, or stands in one that is skipped.
 */
bool block_run(struct parser *parser, const struct statement *statement);
/* The end of a file: blocks above `count` were never closed. */
void blocks_end(struct parser *parser, unsigned count);

/* load.c */
void include_directive(struct parser *parser, const struct statement *statement, int data);
/* finish.c */
void program_finish(struct parser *parser);

#endif
