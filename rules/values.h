/*
 * The values of a transaction, by SecLang variable: what targets choose among.
 *
 * A value stands once and is listed under each variable that shows it (an argument of the query
 * under ARGS and ARGS_GET), so that it is transformed and scanned once. Lists keep the order of
 * arrival. Variables that rules make while they run (TX, MATCHED_VARS, ...) are not here.
 *
 * All memory is the transaction's arena. Texts and keys live as long as the message.
 */
#ifndef SALLYPORT_RULES_VALUES_H
#define SALLYPORT_RULES_VALUES_H

#include "gateway/base/addr.h"
#include "gateway/http/message.h"
#include "rules/seclang/program.h"

enum { SEC_VALUES_MAX = 100000 }; /* of one transaction; the stage's budget is lower */

struct form_memo; /* rules/run */

struct sec_value {
    struct span key; /* within the collection; empty for a scalar */
    struct span text;
    uint32_t traits; /* of the text, once somebody asked: rules/transform.h */
    bool has_traits, scanned;
    bool goes_back, goes_on; /* it is a part of a longer text: not its beginning, not its end */
    uint32_t offset;         /* of that part */
    uint16_t group;          /* of the plan's, once it was scanned */
    uint64_t key_asked,
        key_said;            /* by the plan's patterns for keys: asked once, and the answer */
    uint64_t *hits;          /* set of links of the plan whose pattern was found; NULL: none */
    struct form_memo *forms; /* what it is after transformations, as far as anybody asked */
};

struct sec_list {
    struct sec_value **items;
    unsigned count, capacity;
};

/* What is known of the connection; p NULL or 0 where it is not. */
struct sec_peer {
    const struct addr *client, *server;
    struct span server_name, user, unique_id;
};

/* Findings of the body's parser. */
struct sec_body {
    struct span processor; /* "URLENCODED", "MULTIPART", "JSON", "XML", or empty */
    struct span error;     /* why the body could not be read; empty: it could */
    uint64_t length;       /* as received */
    uint64_t files_size;   /* of all uploaded files */
    uint32_t multipart;    /* bits: 1 << (variable - VAR_MULTIPART_STRICT_ERROR) */
    bool present, urlencoded_error, too_long;
};

struct sec_values {
    struct arena *arena;
    struct sec_list lists[VAR_COUNT];
    unsigned count;
    uint64_t args_size; /* names and values of all arguments */
    struct sec_peer peer;
    struct sec_list *client; /* of REMOTE_ADDR, once somebody asked */
    struct sec_body body;
};

void sec_values_init(struct sec_values *values, struct arena *arena);

/*
 * Adds a value to the list of `var` and of those that show it too: ARGS_GET and ARGS_POST are
 * also ARGS, and each argument's, cookie's and field's name stands in the list of names.
 * ERR_LIMIT at SEC_VALUES_MAX; ERR_MEMORY.
 */
MUST_USE enum err sec_values_add(struct sec_values *values, enum variable var, struct span key,
                                 struct span text);

/* The name of an argument that has no value. */
MUST_USE enum err sec_values_add_name(struct sec_values *values, struct span name);

/* Everything that a complete head shows: line, fields, cookies, arguments of the query.
 * ERR_LIMIT: more than `limit` arguments or cookies; nothing of them is to be relied upon. */
MUST_USE enum err sec_values_head(struct sec_values *values, const struct request *req,
                                  unsigned limit);
/* Status line and fields of an answer. */
MUST_USE enum err sec_values_answer(struct sec_values *values, const struct response *rsp);

/*
 * The list of a variable; those that are computed (sizes, flags, addresses) are made now. Empty
 * where the variable has no value, or is made by rules. NULL: out of memory.
 */
const struct sec_list *sec_values_list(struct sec_values *values, enum variable var);

#endif
