/*
 * `sallyport replay` and `sallyport diff`: captured requests through the gateway's own code
 * once more, and what is decided otherwise.
 *
 * What a decision rests on beside the request and the configuration is taken from the record:
 * where the client was, when it was, which certificate it had, and the words of the stages that
 * count or ask others (bans, limits). Upstream is never asked: a request that would go on to it
 * has gone on, and what became of the answer is not replayed.
 */
#ifndef SALLYPORT_CLI_REPLAY_H
#define SALLYPORT_CLI_REPLAY_H

#include <jansson.h>

#include "gateway/audit/capture.h"
#include "gateway/chain/replayed.h"
#include "gateway/cli/cli.h"
#include "gateway/cli/loaded.h"

enum { EXIT_CHANGED = 3 };

struct captured {
    struct capture_parts parts; /* in the arena */
    json_t *facts;              /* of parts.facts, checked to be of our version */
};

struct captured_list {
    struct captured *items;
    size_t count;
    size_t unreadable; /* for another key, or not as they were written */
    size_t incomplete; /* parts of them are gone */
};

/* replay_files.c. All that is kept beside the audit file, oldest first, each once. NULL, or
 * what is wrong. */
const char *captured_read(struct captured_list *list, const char *audit_path,
                          const char *key_path, struct arena *arena);
/* The frames of a file, into an empty list. */
void captured_add(struct captured_list *list, struct span bytes, struct capture_opener *opener,
                  struct arena *arena);

/*
 * replay_run.c. Each through the configuration, in this process, which then reaches no network
 * and should end. `told` gets the facts that the run left, as text: its `decision` is the
 * answer; empty: it could not be decided, and `why` says why.
 */
struct replay_told {
    struct span facts;
    const char *why;
};
MUST_USE bool replay_run(struct loaded *loaded, const struct captured_list *list,
                         void (*told)(void *owner, size_t index,
                                      const struct replay_told *told),
                         void *owner);

/* One of them: the record that it leaves now; empty, and why. */
MUST_USE struct span replay_record(struct loaded *loaded, const struct captured *captured,
                                   const char **why);

/* replay_answers.c. The same in a process of its own; the answers live in the arena. */
struct replay_answers {
    json_t **decisions; /* NULL: not decided */
    const char **whys;  /* then this is why */
};
MUST_USE bool replay_answers(struct loaded *loaded, const struct captured_list *list,
                             struct replay_answers *answers, struct arena *arena);

/* replay_facts.c. What the record says, for the chain. Lives in the arena. */
struct replay_facts {
    uint64_t time_us;
    struct addr peer;
    bool http2, bodyless, whole, secure;
    const char *refused; /* slug of the parser's error, or NULL */
    bool refused_head;   /* it was the head that was refused */
    struct tls_info *tls;
    struct span sni;
    bool same_config;
    bool identity; /* somebody else's word on the user, which is not there any more */
    struct replayed replayed;
};
MUST_USE bool replay_facts_read(struct replay_facts *facts, const json_t *from,
                                const struct config *config, struct arena *arena);

#endif
