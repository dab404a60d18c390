/*
 * The C types that configuration options fill in. All memory belongs to the configuration.
 */
#ifndef SALLYPORT_KINDS_H
#define SALLYPORT_KINDS_H

#include "gateway/base/addr.h"
#include "gateway/base/secret.h"

struct duration {
    int64_t ms;
};

/* `count` in `per_ms`: "60/min". */
struct rate {
    uint64_t count;
    uint64_t per_ms;
};

/* "5/min per client.ip burst 10": what is counted stands in `key`, empty for the default. */
struct keyed_rate {
    struct rate rate;
    struct span key;
    uint64_t burst; /* 0: not given */
};

struct texts {
    struct span *items;
    size_t count;
};

/* A path, made absolute from the folder of the file that names it; `text` is NUL-terminated. */
struct path {
    struct span text;
};

/* http://host:port/path, https://..., unix:/path (HTTP over a unix socket). */
struct url {
    struct span text;
    struct span scheme; /* "http", "https", "unix"; of names "dns", "srv", and with "+https" */
    struct span host;   /* no brackets */
    uint16_t port;      /* the scheme's own when none was given */
    struct span path;   /* "" when none; the socket's path for unix */
};

/* An OPT_LIST or OPT_MAP: `count` structs of the row's item_size at `items`. */
struct list {
    void *items;
    size_t count;
};

/* First member of every item of an OPT_MAP. */
struct map_item {
    struct span key;
};

struct expr; /* conf/expr.h */

#endif
