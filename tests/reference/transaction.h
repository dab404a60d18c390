/*
 * A transaction as rules see it: for each SecLang variable the values that the message gives
 * it. Plain data that every engine under test can be fed with. Variables that rules make while
 * they run (TX, MATCHED_VARS, ...) are not here.
 *
 * Written to be read and not to be fast. Memory is the arena's, and an exhausted arena ends the
 * program: this is for tests only.
 */
#ifndef SALLYPORT_TESTS_TRANSACTION_H
#define SALLYPORT_TESTS_TRANSACTION_H

#include <time.h>

#include "gateway/http/message.h"
#include "rules/seclang/program.h"

struct pair {
    struct span name, value; /* name: within the collection; empty for a scalar */
};

struct pairs {
    struct pair *items;
    unsigned count, capacity;
};

struct transaction {
    struct arena *arena;
    struct pairs values[VAR_COUNT];
    time_t now;
    bool has_body; /* the head announces one */
};

/* What is not in the message. Spans with a NULL pointer: not known. */
struct transaction_peer {
    struct span client, server, server_name, unique_id;
    unsigned client_port, server_port;
    time_t now;
};

/* How the body is read, as phase 1 left it. */
struct transaction_reading {
    struct span processor; /* URLENCODED, MULTIPART, JSON, XML; empty: none */
    bool force_variable;   /* REQUEST_BODY also without a processor */
    char separator;        /* 0: & */
    unsigned json_depth;   /* 0: the default */
};

void transaction_init(struct transaction *txn, struct arena *arena,
                      const struct transaction_peer *peer);
void transaction_head(struct transaction *txn, const struct request *req);
/* The processor that the media type asks for, before any rule has its say. */
struct span transaction_processor(const struct transaction *txn);
void transaction_body(struct transaction *txn, struct span body,
                      const struct transaction_reading *reading);
void transaction_answer(struct transaction *txn, const struct response *rsp);
void transaction_answer_body(struct transaction *txn, struct span body);

/* Adds one value to one list, and to no other. */
void transaction_add(struct transaction *txn, enum variable var, struct span name,
                     struct span value);
/* The only value of a scalar; p NULL: it has none. */
struct span transaction_scalar(const struct transaction *txn, enum variable var);
/* First field of that name, any case; p NULL: there is none. */
struct span transaction_header(const struct transaction *txn, struct span name);

/* Memory and text that cannot fail. */
void *must(void *ptr);
struct span number_text(struct arena *arena, int64_t number);
struct span join(struct arena *arena, struct span a, struct span b, struct span c);

#endif
