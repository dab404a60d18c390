/*
 * `sallyport import modsecurity`: what its parts share. The files are walked in the order in
 * which ModSecurity reads them (import_read.c); what each directive becomes is decided next
 * (import_map.c), and rules are looked up in the program that rules/seclang makes of the same
 * files; import.c prints both sides.
 */
#ifndef SALLYPORT_CLI_IMPORT_H
#define SALLYPORT_CLI_IMPORT_H

#include "rules/exclusion.h"
#include "rules/seclang/lex.h"
#include "rules/seclang/program.h"

enum { EXIT_LOSSES = 3 };
enum {
    IMPORT_FILES_MAX = 512,
    IMPORT_STATEMENTS_MAX = 65536,
    IMPORT_LOSSES_MAX = 4096, /* told; all are counted */
};

enum import_kind {
    IMPORT_OWN,
    IMPORT_SETUP,   /* crs-setup: named in crs.setup */
    IMPORT_COVERED, /* of the Core Rule Set: read by the gateway itself */
};

struct import_file {
    struct source source;
    const char *path; /* absolute */
    enum import_kind kind;
    bool includes; /* names other files: cannot itself be named in `seclang` */
    bool before;   /* stands before the rules of the set */
    bool has_rest; /* something in it stays SecLang: it is named as it is, if it can be */
};

struct import_statement {
    struct statement said;
    struct import_file *file;
    bool before;
};

struct import_values { /* 0: unsaid */
    uint64_t paranoia, detect, inbound, outbound;
    bool conditional; /* a rule sets one of them under a condition: only the file can say it */
};

struct import {
    struct arena arena;
    struct diags diags;
    struct sec_program *program; /* NULL: it has errors */
    struct import_file files[IMPORT_FILES_MAX];
    size_t file_count;
    struct import_statement *statements;
    size_t statement_count, statement_room;
    const char *crs; /* folder of the rules; NULL: there are none */
    const char *mode;
    uint64_t body_limit, response_limit; /* 0: unsaid */
    bool response;
    struct import_values values;
    size_t exclusion_count;
    struct text exclude, losses; /* YAML; lines */
    uint64_t loss_count;
    bool dry; /* the first of two passes: nothing is told yet */
};

/* One line of the report. `what` and `why` are text of ours or of the files. */
void import_loss(struct import *import, const struct import_statement *at, struct span what,
                 const char *why);
/* False after it said why on standard error. */
MUST_USE bool import_read(struct import *import, const char *path);
void import_map(struct import *import);

#endif
