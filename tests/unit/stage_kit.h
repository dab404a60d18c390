/*
 * What tests of stages share: one stage on one route, configured from YAML as the loader does
 * it, and asked by the chain itself.
 */
#ifndef SALLYPORT_TESTS_STAGE_KIT_H
#define SALLYPORT_TESTS_STAGE_KIT_H

#include "conf/schema.h"
#include "gateway/chain/chain.h"
#include "gateway/chain/reply.h"
#include "gateway/net/worker.h"
#include "gateway/store/snapshot.h"

enum { KIT_REGIONS = 8 };

struct kit {
    struct arena config_arena, txn_arena;
    struct diags diags;
    struct schema schema;
    struct config config;
    struct site site;
    struct route route;
    struct stage_instance instance;
    struct stage_common common;
    struct worker worker;
    struct snapshots snapshots;
    struct request req;
    struct response rsp;
    struct txn txn;
    struct setup setup;
    struct complaint complaint;
    struct {
        const char *name;
        void *memory;
        size_t size;
    } regions[KIT_REGIONS];
    struct span body; /* what body phases see; kit_begin empties it */
    bool attached, began, done;
    struct verdict verdict;
};

void kit_open(struct kit *kit, const struct stage_type *type);
void kit_close(struct kit *kit);
/* One more list of the configuration, as a snapshot; `addresses` is its text. */
void kit_list(struct kit *kit, const char *name, struct span block);
/*
 * Applies a YAML value over the stage's options (over `parent` when there is one, as a route
 * over its site), then opens the stage. False after a complaint: see kit_complaint.
 */
bool kit_configure(struct kit *kit, const char *yaml, const void *parent);
const char *kit_complaint(const struct kit *kit);
void kit_attach(struct kit *kit);
/* A fresh transaction: GET / of http://example.org, from 192.0.2.1. Ends the one before. */
void kit_begin(struct kit *kit);
void kit_field(struct kit *kit, const char *name, const char *value);
void kit_client(struct kit *kit, const char *address);
/* Begins the phase: kit->done when it is over. */
void kit_start(struct kit *kit, enum phase phase);
/* Runs the phase to its end, turning the loop while the stage waits. */
struct verdict kit_run(struct kit *kit, enum phase phase);
/* kit_begin and kit_run of the request's head. */
struct verdict kit_ask(struct kit *kit);
/* The value of a reply's field, or an empty span. */
struct span kit_reply_field(const struct verdict *verdict, const char *name);

#endif
