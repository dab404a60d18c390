/*
 * The servers that hold what nodes share, in one worker: one server, the one that Sentinels
 * name, or the masters of a Cluster. Who asks names a slot, and the question goes to the server
 * that holds it; without a Cluster that is always the same one.
 */
#ifndef SALLYPORT_KEYSPACE_H
#define SALLYPORT_KEYSPACE_H

#include "gateway/store/redis.h"

struct keyspace;
struct store;

/* NULL: out of memory, or no timer. Before the sandbox closes. `store` outlives it. */
struct keyspace *keyspace_new(struct worker *worker, const struct store *store);
void keyspace_free(struct keyspace *keys);
/* On every server, before it counts as usable. */
void keyspace_keep_script(struct keyspace *keys, struct span script);
void keyspace_start(struct keyspace *keys);

/* Whether keys are spread over several servers, so that those of one question share a tag. */
bool keyspace_spread(const struct keyspace *keys);
unsigned keyspace_slot(const struct keyspace *keys, struct span key);

bool keyspace_usable(const struct keyspace *keys, unsigned slot);
/* When a slot was last usable again, or given to another server; 0: it was so all the time. */
uint64_t keyspace_back_ns(const struct keyspace *keys, unsigned slot);

/* As redis_send, and as redis_post. */
MUST_USE enum err keyspace_send(struct keyspace *keys, unsigned slot, struct redis_call *call,
                                unsigned argc, const struct span *argv);
MUST_USE enum err keyspace_post(struct keyspace *keys, unsigned slot, struct redis_call *call,
                                unsigned argc, const struct span *argv);
/* Who holds the slot, to tell those of one server from others; NULL: nobody is known to. */
const struct redis *keyspace_server(const struct keyspace *keys, unsigned slot);
/*
 * What a reply means for where the slot is. MOVED: ask again, it goes elsewhere now; ASK: ask
 * `*asked` once, after ASKING; USELESS: the server cannot serve now, and is not asked for a
 * while; LATER: this question cannot be answered now. NONE: the reply is an answer.
 */
enum detour { DETOUR_NONE, DETOUR_MOVED, DETOUR_ASK, DETOUR_LATER, DETOUR_USELESS };
enum detour keyspace_detour(struct keyspace *keys, unsigned slot,
                            const struct redis_value *value, struct redis **asked);
/* The server of a slot answered what is no answer at all. */
void keyspace_useless(struct keyspace *keys, unsigned slot);

#endif
