/*
 * XML bodies: `XML:/` `*` (one value: all text below the root, as XPath's string value has it)
 * and `XML://@*` (each attribute, one value). Parsed by expat without a DTD, without entities
 * but the five of XML itself, and with nothing from elsewhere: a document type declaration is
 * refused where it begins, before anything in it is read.
 */
#ifndef SALLYPORT_XMLSCAN_H
#define SALLYPORT_XMLSCAN_H

#include "gateway/base/arena.h"

enum xmlscan_kind {
    XMLSCAN_TEXT,      /* once, at the end; an error cuts it short */
    XMLSCAN_ATTRIBUTE, /* name: the attribute's */
    XMLSCAN_NAMESPACE, /* xmlns and xmlns:x, which are no attributes to XPath */
};

enum xmlscan_finding {
    XMLSCAN_MALFORMED = 1,
    XMLSCAN_DTD = 2,
    XMLSCAN_ENTITY = 4, /* a reference to an entity that only a DTD could define */
    XMLSCAN_OVER_DEPTH = 8,
    XMLSCAN_OVER_ATTRIBUTES = 16, /* in all */
    XMLSCAN_OVER_TEXT = 32,       /* bytes of text and attributes */
    XMLSCAN_STOPPED = 64,         /* by the callback */
};

struct xmlscan_limits {
    unsigned depth, attributes;
    size_t text_bytes;
    bool utf8; /* it was decoded to UTF-8, and what its declaration says of that is past */
};

typedef bool xmlscan_fn(void *ctx, struct span name, struct span value, enum xmlscan_kind kind);

struct xmlscan {
    unsigned findings; /* enum xmlscan_finding */
    enum err err;      /* ERR_MEMORY */
    /* the scanner's */
    struct span rest;
    struct xmlscan_limits limits;
    struct arena *arena;
    xmlscan_fn *fn;
    void *ctx;
    void *parser;
    struct text *text;
    unsigned depth, attributes;
    size_t bytes, fed;
    bool done;
};

void xmlscan_begin(struct xmlscan *scan, struct span text, const struct xmlscan_limits *limits,
                   struct arena *arena, xmlscan_fn *fn, void *ctx);
/*
 * Reads about `bytes` more, some 64 KiB at the least. True when all is done. The scan stays
 * where it is in memory.
 */
MUST_USE bool xmlscan_run(struct xmlscan *scan, size_t bytes);
bool xmlscan_failed(const struct xmlscan *scan);
const char *xmlscan_error(const struct xmlscan *scan);

#endif
