/*
 * YAML (libyaml's event interface) to a tree of nodes that remember where they stand. Aliases,
 * anchors, tags, merge keys, several documents and duplicate keys are errors with both places
 * named; bytes, depth and nodes are bounded. Scalars stay text: the option's kind decides their
 * type.
 *
 * $(env:NAME), $(env:NAME:-default), $(file:PATH) and $(cred:NAME) (systemd's LoadCredential
 * folder) are expanded per scalar after parsing, so a value cannot add structure. `include:` at
 * the top level takes globs, relative to the including file: lists append, maps add keys,
 * duplicates are errors.
 */
#ifndef SALLYPORT_YAML_H
#define SALLYPORT_YAML_H

#include "conf/diag.h"
#include "gateway/base/arena.h"

enum {
    YAML_BYTES_MAX = 4 * 1024 * 1024,
    YAML_DEPTH_MAX = 64,
    YAML_NODES_MAX = 200000,
    YAML_INCLUDE_DEPTH_MAX = 4,
    YAML_FILES_MAX = 256,
    YAML_SUBSTITUTED_MAX = 64 * 1024,
};

enum node_kind { NODE_SCALAR, NODE_LIST, NODE_MAP };

struct node {
    enum node_kind kind;
    struct place place;
    struct span text;   /* SCALAR, after substitution */
    bool quoted;        /* SCALAR: it stood in quotes */
    bool substituted;   /* SCALAR: a $(...) was in it; it may be a secret */
    bool exposed;       /* SCALAR: a file named in it is readable by everybody */
    bool bad;           /* an error about it stands already: passed over in silence */
    struct node *key;   /* in a MAP: the key's scalar */
    struct node *next;  /* sibling */
    struct node *child; /* first child of LIST and MAP */
    unsigned count;
};

/*
 * The root (a MAP). NULL after an error that leaves no tree (syntax, a limit, an unreadable
 * file). After other errors there is a tree, so that the schema can find what else is wrong:
 * callers look at diags->errors once, at the end.
 */
struct node *yaml_load_file(const char *path, struct arena *arena, struct diags *diags);
/* The same, and which files these were; `watch` may be NULL. */
struct yaml_watch;
struct node *yaml_load_watched(const char *path, struct arena *arena, struct diags *diags,
                               struct yaml_watch *watch);
/* The same from memory; `name` stands in the places. Includes and file references are refused.
 */
struct node *yaml_load_text(struct span text, const char *name, struct arena *arena,
                            struct diags *diags);
struct node *node_child(const struct node *map, struct span key);
/* Where the first character of a scalar's text stands: behind the opening quote, if there is
 * one. */
struct place node_text_place(const struct node *scalar);

#endif
