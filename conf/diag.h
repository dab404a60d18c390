/*
 * What is wrong with a configuration, and where: all of it in one run. Printed for a person as
 *
 *     error[SP0103]: unknown key "upsteam" in site
 *       --> typo.yaml:3:5
 *        |
 *      3 |     upsteam: http://127.0.0.1:3000
 *        |     ^^^^^^^ did you mean "upstream"?
 *
 * or as JSON. Codes are stable; conf/diag.def lists them with cause and remedy.
 */
#ifndef SALLYPORT_DIAG_H
#define SALLYPORT_DIAG_H

#include "gateway/base/arena.h"
#include "gateway/base/text.h"

struct source; /* a file's name and text */

struct place {
    const struct source *source; /* NULL: nowhere in particular */
    unsigned line, column;       /* from 1; columns count characters */
    unsigned width;              /* characters to underline */
    size_t offset, length;       /* in bytes of the source: for edits */
};

enum severity { SEVERITY_WARNING, SEVERITY_ERROR };

enum diag_code {
#define DIAG(name, code, cause, remedy) DIAG_##name,
#include "conf/diag.def"
#undef DIAG
    DIAG_COUNT
};

struct diag {
    enum severity severity;
    enum diag_code code;
    struct place place, other; /* `other`: the first of two duplicates, and the like */
    struct span message, hint;
};

enum { DIAGS_MAX = 100 };

struct diag_mask; /* a secret's bytes in a source */

struct diags {
    struct arena *arena;
    struct diag_mask *masks;
    struct diag items[DIAGS_MAX];
    unsigned count, errors, warnings; /* the last two count what did not fit, too */
};

void diags_init(struct diags *diags, struct arena *arena);
/* `message` and `hint` are copied; `hint` may be empty. */
void diag_add(struct diags *diags, enum severity severity, enum diag_code code,
              struct place place, struct span message, struct span hint);
/* The same with a second place, such as the first of two duplicates. */
void diag_add_pair(struct diags *diags, enum severity severity, enum diag_code code,
                   const struct place places[2], struct span message, struct span hint);
/* A secret stands there: its bytes are never written. */
void diag_mask(struct diags *diags, struct place place);

enum diag_format { DIAG_HUMAN, DIAG_JSON };
/* Sorted by file and line. */
void diags_write(struct text *out, struct diags *diags, enum diag_format format);
const char *diag_code_text(enum diag_code code); /* "SP0103" */
const char *diag_code_cause(enum diag_code code);
const char *diag_code_remedy(enum diag_code code);
bool diag_code_find(struct span text, enum diag_code *code);

#endif
