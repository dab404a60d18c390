/*
 * Replies of a Redis server, read by hiredis' parser into values of our own. The server counts
 * as hostile: how much is buffered, how many values a reply has and how long its texts are in
 * all is capped, and over a cap the connection is of no further use.
 */
#ifndef SALLYPORT_REDIS_REPLY_H
#define SALLYPORT_REDIS_REPLY_H

#include "gateway/base/span.h"

enum {
    REDIS_VALUES_MAX = 16 * 1024, /* in one reply */
    REDIS_TEXT_MAX = 256 * 1024,  /* of all texts in one reply */
    REDIS_UNREAD_MAX = 1024 * 1024,
};

enum redis_type {
    REDIS_NIL,
    REDIS_INTEGER,
    REDIS_TEXT,
    REDIS_STATUS,
    REDIS_ERROR,
    REDIS_ARRAY
};

struct redis_value {
    enum redis_type type;
    int64_t integer;
    struct span text;          /* TEXT, STATUS, ERROR */
    struct redis_value *items; /* ARRAY */
    unsigned count;
};

struct redis_parser;

/* NULL: out of memory. */
struct redis_parser *redis_parser_new(void);
void redis_parser_free(struct redis_parser *parser);
/*
 * The bytes are to stay until redis_parser_next has said that it needs more, and that is asked
 * before more are fed. ERR_LIMIT: more than REDIS_UNREAD_MAX would wait to be read.
 */
MUST_USE enum err redis_parser_feed(struct redis_parser *parser, struct span bytes);
/*
 * The next whole reply, valid until the next call; `*value` NULL when more bytes are needed.
 * ERR_PROTOCOL: nothing that follows can be understood.
 */
MUST_USE enum err redis_parser_next(struct redis_parser *parser,
                                    const struct redis_value **value);

/* Item `i` of an array, as an integer from 0 to `max`; else false. */
MUST_USE bool redis_uint(const struct redis_value *array, unsigned i, uint64_t max,
                         uint64_t *out);
/* Whether it is an error that begins with this word ("NOSCRIPT"). */
bool redis_is_error(const struct redis_value *value, struct span word);

#endif
