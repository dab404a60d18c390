/*
 * Configuration nodes to a `struct config`: server, lists, sites, routes, inheritance, stages.
 * The one place that knows every option table; `check`, `config print|schema|explain` and the
 * docs use it too.
 */
#ifndef SALLYPORT_LOAD_H
#define SALLYPORT_LOAD_H

#include "conf/diag.h"
#include "conf/manual.h"
#include "gateway/chain/config.h"

struct load {
    struct arena *arena;
    struct diags *diags;
    /* As struct setup has them; NULL `shared`: private memory (check). */
    void *(*shared)(struct setup *setup, const char *name, uint32_t layout, size_t size);
    void *shared_owner;
    void (*progress)(struct setup *setup, unsigned done, unsigned all);
    const uint8_t *boot_key;
    const void *ticket_keys;  /* struct ticket_keys in shared memory, or NULL */
    struct yaml_watch *watch; /* filled in by load_file; may be NULL */
    bool outline;             /* as struct setup has it */
};

/* NULL when there is an error in load->diags. Warnings do not stop it. */
struct config *load_file(struct load *load, const char *path);
/* `run --protect URL`: everything on by default, no file. */
struct config *load_protect(struct load *load, const char *url);

/* For config print|schema|explain and the reference. */
const struct manual_part *load_manual(size_t *count);
void load_print(struct text *out, const struct config *config);
/* `check --print pipeline`: each route's chain, in order, with effective modes. */
void load_print_pipeline(struct text *out, const struct config *config);
void load_print_pipeline_json(struct text *out, const struct config *config);

#endif
