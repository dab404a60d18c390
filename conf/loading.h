/*
 * What the parts of the YAML loader share: the tree from one text (yaml.c), what its syntax
 * errors mean (yaml_fault.c), substitution (subst.c), files and includes (include.c). Private
 * to conf.
 */
#ifndef SALLYPORT_LOADING_H
#define SALLYPORT_LOADING_H

#include <yaml.h>

#include "conf/source.h"
#include "conf/yaml.h"
#include "gateway/base/file.h"

struct file_id {
    dev_t device;
    ino_t inode;
};

/* One call of yaml_load_*: the main file and all that it includes. */
struct loading {
    struct arena *arena;
    struct diags *diags;
    unsigned nodes, files;
    struct file_id ids[YAML_FILES_MAX];
    struct yaml_watch *watch; /* NULL: nobody wants to know the files */
};

/* The root MAP of one text, or NULL after an error. */
struct node *yaml_parse(struct loading *loading, const struct source *source);

/* What a syntax error of libyaml means, and what to do about it. */
struct yaml_fault {
    struct span message, hint;
    bool at_context,
        show_context; /* the error is where the construct began; show that as well */
};
/* Where libyaml stopped, and where the construct began, as byte offsets into the text. */
struct yaml_stop {
    struct span text;
    size_t problem, context;
};
void yaml_fault_explain(const yaml_parser_t *parser, const struct yaml_stop *stop,
                        struct arena *arena, struct yaml_fault *fault);

/* Replaces each $(...) of a scalar. */
void substitute(struct loading *loading, struct node *scalar);

#endif
