/*
 * Texts of the configuration with parts of the request in them: `https://{host}/new{path}`.
 * Names: path (as it goes to upstream, encoded), query (as received), host, port, scheme,
 * method, client.ip, id (of the transaction), site; and {1} to {9}, what the groups of the
 * route's regular expression found in the path. `{{` is a brace.
 */
#ifndef SALLYPORT_TEMPLATE_H
#define SALLYPORT_TEMPLATE_H

#include "gateway/base/text.h"

enum { TEMPLATE_PARTS_MAX = 32 };

struct txn;

struct template
{
    struct template_part *parts;
    unsigned count;
    unsigned groups; /* the highest of {1} to {9}; 0: none */
};

/* False with `*why` (constant). The text lives as long as the template. */
MUST_USE bool template_parse(struct template *template, struct span text, struct arena *arena,
                             const char **why);
/* In the transaction's arena; NULL when that is exhausted. */
struct span template_render(const struct template *template, const struct txn *txn);

#endif
