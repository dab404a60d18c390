/*
 * Nodes and option rows to structs. A mapping is applied to one or more sections, each a table
 * of rows over a struct of its own, so that options that the chain adds to every stage need no
 * copy. Inheritance is copying the parent's struct and applying the child's node over it.
 */
#ifndef SALLYPORT_SCHEMA_H
#define SALLYPORT_SCHEMA_H

#include "conf/option.h"
#include "conf/yaml.h"

struct section {
    const struct option *rows;
    void *base;
};

struct expr_scope;

struct schema {
    struct arena *arena; /* of the configuration */
    struct diags *diags;
    const struct expr_scope *scope; /* names that OPT_EXPR may use; NULL: none */
    const struct node *root;        /* where OPT_REF looks */
};

struct complaint {
    struct schema *schema;
    struct place place;
    const char *option;
};

/* For an option's `check`. The message is ours: constant format, no untrusted text as format.
 */
void complain(struct complaint *complaint, enum severity severity, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* Fills a zeroed struct with the fallbacks. A bad fallback is a programmer's error. */
void schema_defaults(struct schema *schema, const struct option *rows, void *base);
/* What the mapping may say. */
struct shape {
    const char *what; /* the thing in messages ("site") */
    const struct section *sections;
    size_t count;
    const char *const *also; /* keys that are passed over, as the caller reads them; ends with
                                NULL, and may be NULL */
    bool complete;           /* required rows are checked */
};

/*
 * Applies `node` over what stands in the sections. A scalar or list in place of a MAP goes to
 * the section's shorthand row (of several, to the first that fits); `off` to its `mode`. An
 * empty list clears what was inherited, even where it appends. Unknown keys complain with the
 * nearest known one.
 */
void schema_apply(struct schema *schema, const struct node *node, const struct shape *shape);

/* One scalar as a value of `row`; used for fallbacks, tests and command lines. */
bool schema_scalar(struct schema *schema, const struct option *row, const struct node *scalar,
                   void *field);

/*
 * Writes the values as the user would, `indent` spaces in; secrets as <secret>. Reading that
 * again gives the same values. Annotates with help, and names what is not set, when `comments`.
 */
void schema_print(struct text *out, const struct option *rows, const void *base,
                  unsigned indent, bool comments);

#endif
