/*
 * Collections that outlive a transaction (initcol): IP, GLOBAL and their kin.
 */
#ifndef SALLYPORT_RULES_STORE_H
#define SALLYPORT_RULES_STORE_H

#include "rules/engine/run.h"

struct sec_store {
    void *context;
    /* Puts what is kept under this key into run->variables[collection]. False: no memory. */
    bool (*load)(void *context, struct sec_run *run, enum sec_collection collection);
    /* Keeps run->variables[collection]. */
    void (*save)(void *context, const struct sec_run *run, enum sec_collection collection);
};

#endif
